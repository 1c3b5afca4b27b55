"""The Sparkle payment gateway, as its contract says in docs/sparkle.yaml."""
