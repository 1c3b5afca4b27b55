"""The Sparkle payment gateway, according to its contract in docs/sparkle.yaml."""
