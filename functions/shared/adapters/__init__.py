"""The ports' implementations on AWS and at the gateway. Each imports its third-party package; nothing else does."""
