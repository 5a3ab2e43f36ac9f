"""Recovery of POSTs whose response is lost: duplicate, create, setup and export.

A POST that may have run is never simply repeated, since the service has no idempotency keys.
"""
