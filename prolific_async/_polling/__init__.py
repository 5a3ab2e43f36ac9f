"""Waits: the rules of a single wait, and the poller that serves many waits with shared polls."""
