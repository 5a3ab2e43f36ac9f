"""Typed API calls: they build requests and decode responses, without waits or recovery."""
