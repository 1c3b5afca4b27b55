"""Apache Velocity itself, which API Gateway's mapping templates are written for, as a second oracle."""
