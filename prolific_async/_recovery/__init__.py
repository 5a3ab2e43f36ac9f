"""Recovery of the two POSTs, duplicate and setup, when a response is lost.

A POST that may have run is never simply repeated, since the service knows no idempotency key.
"""
