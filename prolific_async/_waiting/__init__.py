"""Waits: the rules of one, the engine of many, and the looks that they share."""
