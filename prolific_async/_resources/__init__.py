"""Parts of the resources ``batches.py`` and ``datasets.py``, and the client's state they share."""
