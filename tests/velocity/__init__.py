"""Apache Velocity, the engine behind API Gateway's mapping templates, as a second oracle."""
