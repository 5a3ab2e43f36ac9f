"""Numbers of any type, such as numpy's, as plain `int` and `float`.

What is no number stays as it is, to be refused where it is checked. The types of arguments and
results are those that callers are to see.
"""

import operator
from contextlib import suppress
from typing import Any, SupportsFloat, SupportsIndex

__all__ = ["real", "real_or_none", "whole", "whole_or_none"]


def real(value: float) -> float:
    """Return a number as a plain one. Raises ValueError for a timedelta."""
    number: float = _plain(value)
    return number


def real_or_none(value: float | None) -> float | None:
    """Do the same for what may be None."""
    return None if value is None else real(value)


def whole(value: int) -> int:
    """Return a whole number as a plain one; one with a fraction stays one, to be refused."""
    number: int = _plain(value)
    return number


def whole_or_none(value: int | None) -> int | None:
    """Do the same for what may be None."""
    return None if value is None else whole(value)


def _plain(value: Any) -> Any:
    if hasattr(value, "total_seconds"):
        raise ValueError(f"a number of seconds is needed, not {value!r}: give its total_seconds()")
    if isinstance(value, bool | str) or not isinstance(value, SupportsFloat | SupportsIndex):
        return value
    dtype = str(getattr(value, "dtype", "float"))  # numpy makes numbers of its booleans and texts
    if not ("int" in dtype or "float" in dtype):
        return value
    if isinstance(value, SupportsIndex):
        with suppress(Exception):  # as one with a fraction does
            return operator.index(value)
    with suppress(Exception):
        return float(value)
    return value
