"""The key of rows: a column with unique texts, sent a second time in a field that answers show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from prolific_async._message_parts import brief, place
from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources.cells import text
from prolific_async.dataset_schema import DatasetSchema, FieldType

_BUCKETS = 1 << 14
_DIGEST = 16  # bytes; enough that two texts never have the same digest


class RowKey:
    """The key of the rows of one source; refuses a key that an earlier row had."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._seen: list[bytearray | None] = [None] * _BUCKETS

    def of_row(self, row: int, cells: Mapping[Any, Any]) -> str:
        """Return the text of a row's key, and remember it.

        Args:
            row: Index of the row, for messages.
            cells: The row.

        Raises:
            ValueError: The row has no key, or has ``META_ROW_KEY`` already, or an earlier row has
                the same key.

        """
        if META_ROW_KEY in cells:
            raise ValueError(f"{place(row)}: {reserved_column_message(self.column)}")
        cell = cells.get(self.column)
        try:
            key = cell if type(cell) is str else text(cell)
        except ValueError as error:
            raise ValueError(f"{place(row, self.column)}: {error}") from error.__cause__
        self.add(row, key)
        return key

    def add(self, row: int, key: str) -> None:
        """Remember the key of a row.

        Raises:
            ValueError: The key is empty, or an earlier row has it.

        """
        if not key:
            raise ValueError(f"{place(row, self.column)}: the key is missing or empty")
        # Each bucket has the digests of its keys, one after the other. This takes 30 bytes for each
        # row, a set would take 120.
        digest = hashlib.blake2b(_encoded(row, self.column, key), digest_size=_DIGEST).digest()
        number = (digest[0] << 8 | digest[1]) % _BUCKETS
        bucket = self._seen[number]
        if bucket is None:
            self._seen[number] = bytearray(digest)
        elif digest in bucket:
            raise ValueError(
                f"{place(row, self.column)}: the key {brief(repr(key))} is not unique, "
                "an earlier row has it"
            )
        else:
            bucket += digest


def _encoded(row: int, column: str, key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{place(row, column)}: the key has half a surrogate pair, which UTF-8 cannot hold"
        ) from None


def reserved_column_message(key: str) -> str:
    """Return the error message for a source that has the column ``META_ROW_KEY`` already."""
    return f"the source has {META_ROW_KEY} already: leave out key={key!r}"


def checked_key(key: object) -> str | None:
    """Check the argument ``key``, and return it.

    Raises:
        ValueError: It is neither the name of a column nor None.

    """
    if key is None:
        return None
    if not isinstance(key, str) or not key.strip():
        raise ValueError(f"key must be the name of a column: {brief(repr(key))}")
    if key == META_ROW_KEY:
        raise ValueError(reserved_column_message(key))
    return key


def takes_keys(schema: DatasetSchema | None) -> bool:
    """Return whether a dataset's schema has a field for keys."""
    field = None if schema is None else schema.fields.get(META_ROW_KEY)
    return field is not None and field.type == FieldType.METADATA


def check_schema(schema: DatasetSchema | None) -> None:
    """Check that a dataset's schema has a field for keys.

    Raises:
        ValueError: The schema has no such field, or there is no schema.

    """
    if takes_keys(schema):
        return
    field = None if schema is None else schema.fields.get(META_ROW_KEY)
    there = "none" if field is None else repr(str(field.type))
    found = "no schema" if schema is None else there
    raise ValueError(
        f"with key, the dataset's schema must have the field {META_ROW_KEY!r} of the type "
        f"'metadata'; it has {found}"
    )
