"""Recognition of what a caller passes as a source, with advice if it is something else."""

from __future__ import annotations

import io
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from prolific_async._message_parts import brief

# By a method of tables, how to get their rows as a list of dicts: polars, pyarrow, pandas.
_TABLES = {
    "to_dicts": "its to_dicts()",
    "to_pylist": "its to_pylist()",
    "to_dict": 'df.astype(object).where(df.notna(), None).to_dict("records")',
}

# How to turn rows that are not mappings into mappings, by an attribute that such rows have: named
# tuples and rows of SQLAlchemy; dataclasses; rows of sqlite3 and asyncpg.
_ROWS = {
    "_asdict": "(row._asdict() for row in rows)",
    "__dataclass_fields__": "map(dataclasses.asdict, rows)",
    "keys": "map(dict, rows)",
}

_NEEDED = (
    "a source is a path, bytes, an iterable of bytes, or an iterable of rows, which are mappings "
    "of column names to cells"
)


def is_bytes(given: object) -> bool:
    """Return whether a value is bytes in memory."""
    return isinstance(given, bytes | bytearray | memoryview)


def check_iterable(given: Any, needed: str = _NEEDED) -> None:
    """Check a source that is neither a path nor bytes, without reading it.

    Args:
        given: The source.
        needed: What the caller should pass, for the start of the message.

    Raises:
        TypeError: The source cannot be an iterable of bytes or rows; the message says what to pass.

    """
    kind = type(given).__name__
    if isinstance(given, Mapping):
        raise TypeError(f"{needed}; for one row, pass a list of it, not the {kind} itself")
    rows = next((call for name, call in _TABLES.items() if hasattr(given, name)), None)
    if rows is not None and hasattr(given, "columns"):
        raise TypeError(f"{needed}; pass {rows}, not the {kind} itself")
    if isinstance(given, io.TextIOBase):
        raise TypeError(f"{needed}; open the file in binary mode, or pass its path")
    if not isinstance(given, Iterable | AsyncIterable):
        raise TypeError(f"{needed}, not {kind}")


def first_is_bytes(item: Any) -> bool:
    """Return whether the first item of an iterable is bytes; if not, it is a row.

    Raises:
        TypeError: The item is neither; the message says what to pass.

    """
    if is_bytes(item):
        return True
    if isinstance(item, Mapping):
        return False
    kind = type(item).__name__
    if isinstance(item, str):
        raise TypeError(
            f"{_NEEDED}, not an iterable of {kind} ({brief(repr(item[:20]))}…): pass a text file's "
            "path, or encode the text to UTF-8"
        )
    raise TypeError(f"{_NEEDED}, not an iterable of {kind}{advice(item)}")


def advice(row: object) -> str:
    """Return how to turn rows like this one into mappings, for the end of a message, or ""."""
    rows = next((call for name, call in _ROWS.items() if hasattr(row, name)), None)
    return "" if rows is None else f": pass {rows}"
