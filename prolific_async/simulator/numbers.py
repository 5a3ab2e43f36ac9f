"""Numbers of any type, such as numpy's, as plain `int` and `float`."""

import operator
from contextlib import suppress
from typing import Any, SupportsFloat, SupportsIndex

__all__ = ["plain", "plain_or_none"]


def plain(value: Any) -> Any:
    """Return a number as a plain `int` or `float`, and what is none as it is, to be refused.

    Raises:
        ValueError: It is a timedelta.
    """
    if hasattr(value, "total_seconds"):
        raise ValueError(f"a number of seconds is needed, not {value!r}: give its total_seconds()")
    if isinstance(value, bool | str) or not isinstance(value, SupportsFloat | SupportsIndex):
        return value
    dtype = str(getattr(value, "dtype", "float"))  # numpy makes numbers of its booleans and texts
    if not ("int" in dtype or "float" in dtype):
        return value
    with suppress(Exception):  # as one with a fraction does
        return operator.index(value)
    with suppress(Exception):
        return float(value)
    return value


def plain_or_none(value: Any) -> Any:
    """Do the same for what may be None."""
    return None if value is None else plain(value)
