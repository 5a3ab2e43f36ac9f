"""The two POSTs and what became of one whose answer was lost.

Neither is sent again while it may have run: the service knows no idempotency key.
"""
