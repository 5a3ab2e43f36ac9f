"""The name under which the key of a row is uploaded, and comes back with the row's answers."""

META_ROW_KEY = "META_ROW_KEY"
"""The column (V3) or ``metadata`` field (V4) to which an upload copies its ``key`` column."""
