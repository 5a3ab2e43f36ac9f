"""Requests: what they say, how fast, how many at once, how long, and how often again."""
