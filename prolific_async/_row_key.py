"""The name under which the key of a row is sent, and comes back with its answers."""

META_ROW_KEY = "META_ROW_KEY"
"""The column (V3) or the ``metadata`` field (V4) that has the text of an upload's ``key``."""
