"""Conversion of numbers of any type, such as numpy's, to plain `int` and `float`.

Any other value stays unchanged, for a validator to refuse. The four functions differ only in their
types: attrs converters cannot be generic.
"""

import operator
from contextlib import suppress
from typing import Any, SupportsFloat, SupportsIndex

__all__ = ["real", "real_or_none", "whole", "whole_or_none"]


def real(value: float) -> float:
    """Return a plain number. Raises ValueError for a timedelta."""
    number: float = _plain(value)
    return number


def real_or_none(value: float | None) -> float | None:
    """Return a plain number, or None for None. Raises ValueError for a timedelta."""
    number: float | None = _plain(value)
    return number


def whole(value: int) -> int:
    """Return an integer of any type as a plain int, any other number as a float."""
    number: int = _plain(value)
    return number


def whole_or_none(value: int | None) -> int | None:
    """Return a plain whole number, or None for None."""
    number: int | None = _plain(value)
    return number


def _plain(value: Any) -> Any:
    if hasattr(value, "total_seconds"):
        raise ValueError(f"a number of seconds is needed, not {value!r}: give its total_seconds()")
    if isinstance(value, bool | str) or not isinstance(value, SupportsFloat | SupportsIndex):
        return value
    dtype = str(getattr(value, "dtype", "float"))  # numpy's booleans and texts convert, too
    if not ("int" in dtype or "float" in dtype):
        return value
    if isinstance(value, SupportsIndex):
        with suppress(Exception):  # not an integer after all
            return operator.index(value)
    with suppress(Exception):
        return float(value)
    return value
