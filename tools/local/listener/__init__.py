"""The webhook endpoint of a local stack: it verifies every event and keeps the latest, for whoever listens."""
