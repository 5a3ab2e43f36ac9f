"""Waits: the rules of one, the poller of many, and the polls that they share."""
