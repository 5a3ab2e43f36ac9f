"""Cells of rows: text, numbers, booleans and empty values are sent; all else is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from datetime import date, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, TypeAlias
from uuid import UUID

from prolific_async import _numbers
from prolific_async._message_parts import brief, place

Cell: TypeAlias = "str | int | float | bool | Decimal | None"

EXACT = frozenset({str, int, float, bool, NoneType})
"""Types whose values the encoders write as they are."""

_MAX_PLAIN_BITS = 1000  # Python's limit of digits, however it is set, allows ints of this size
_MISSING = frozenset({"NAType", "NaTType", "MaskedConstant"})  # types of pandas and numpy.ma
_FOR_EMPTY = "for an empty cell, give None"


def plain(value: Any) -> Cell:
    """Return the value of a cell as a plain str, int, float, bool, Decimal or None.

    Raises:
        ValueError: The value cannot be sent; the message says why, and often what to pass.

    """
    if type(value) is int and value.bit_length() < _MAX_PLAIN_BITS:
        return value
    if isinstance(value, str):
        text = str.__str__(value)  # for a member of a StrEnum, its value
        _check_text(text)
        return text
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return _finite(float(value))
    return _of_other_type(value)


def text(value: Any) -> str:
    """Return the value of a cell as text, empty for None.

    Raises:
        ValueError: As ``plain``.

    """
    cell = plain(value)
    return "" if cell is None else str(cell)


def _of_other_type(value: Any) -> Cell:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} cannot be sent; {_FOR_EMPTY}")
        return Decimal(value)
    if isinstance(value, UUID):
        return str(value)
    if _dtype(value) == "bool" and not isinstance(value, Sized):
        return bool(value)
    if _is_missing(value):
        raise ValueError(f"it is a missing value ({type(value).__name__}); {_FOR_EMPTY}")
    if (refused := _refused(value)) is not None:
        raise ValueError(refused)
    try:
        number = _numbers.plain(value)
        str(number)  # raises for an integer with more digits than Python's limit
    except Exception as error:
        shown = brief(f"{type(value).__name__}: {error}")
        raise ValueError(f"it is neither text nor a number ({shown})") from error
    return _finite(number)


def _finite(number: float) -> int | float:
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{'NaN' if math.isnan(number) else number} cannot be sent; {_FOR_EMPTY}")
    return number


def _is_missing(value: Any) -> bool:
    """Return whether a value is pandas' or numpy's marker of a missing value."""
    if "time" in _dtype(value):
        return bool(value != value)  # noqa: PLR0124 - only NaT differs from itself
    return type(value).__name__ in _MISSING


def _refused(value: Any) -> str | None:
    """Return why bytes, times and containers are refused, None for any other type."""
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray | memoryview):
        return f"it is {kind}: decode it to text"
    if isinstance(value, date | time | timedelta) or "time" in _dtype(value):
        return f"it is a date or time ({kind}): give its text, such as isoformat() returns"
    if isinstance(value, Iterable | Sized):
        return f"it is a container ({kind}): give text, such as json.dumps returns"
    return None


def _dtype(value: Any) -> str:
    """Return the name of a value's numpy type, empty if it has none."""
    return str(getattr(value, "dtype", ""))


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        raise ValueError(
            f"it has half a surrogate pair (U+{code:04X}) at position {error.start}, "
            "which UTF-8 cannot hold"
        ) from None


def plain_row(row: int, cells: Mapping[Any, Any]) -> dict[str, Cell]:
    """Return a row with names and cells of plain types.

    Args:
        row: Index of the row, for messages.
        cells: The row.

    Raises:
        ValueError: A name or a cell cannot be sent; the message names the row and the column.

    """
    found: dict[str, Cell] = {}
    for name, value in cells.items():
        check_name(row, name)
        try:
            found[str.__str__(name)] = plain(value)
        except ValueError as error:
            raise ValueError(f"{place(row, name)}: {error}") from error.__cause__
    return found


def check_name(row: int, name: object) -> None:
    """Check the name of a column in a row.

    Raises:
        ValueError: The name is not text, is blank, or cannot be encoded as UTF-8.

    """
    if not isinstance(name, str):
        raise ValueError(
            f"{place(row)}: the name of a column must be text, not {type(name).__name__} "
            f"({brief(repr(name))})"
        )
    if not name.strip():
        raise ValueError(f"{place(row)}: the name of a column is empty: {name!r}")
    try:
        _check_text(name)
    except ValueError as error:
        raise ValueError(f"{place(row)}: the name of the column {name!a}: {error}") from None
