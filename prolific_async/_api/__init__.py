"""Typed calls of the service: what each request says and how its response is read."""
