"""Encoding of rows as JSON lines, text unchanged."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import chain
from typing import Any

from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources.cells import EXACT, check_name
from prolific_async._sources.row_blocks import (
    Row,
    kinds_of,
    mappings,
    plain_rows,
    raise_cell_error,
)
from prolific_async._sources.row_keys import RowKey

# No check for circular references: a container in a cell is refused before.
_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode

# Characters that JSON does not escape, but that some readers take for line ends.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class JsonRows:
    """Encodes blocks of rows as JSON lines."""

    def __init__(self, key: RowKey | None) -> None:
        self.count = 0
        self._key = key
        self._names: set[Any] = set()

    def encode(self, block: list[Any]) -> bytes:
        """Return the next rows as JSON, each with a line end.

        Raises:
            TypeError: A row is no mapping.
            ValueError: A cell, a name or a key cannot be sent; the message names row and column.

        """
        rows = mappings(block, self.count)
        self._check_names(rows)
        kinds = kinds_of(map(dict.values, rows))
        if not kinds <= EXACT:
            rows = plain_rows(rows, self.count)
        if self._key is not None:
            rows = [
                {**row, META_ROW_KEY: self._key.of_row(number, row)}
                for number, row in enumerate(rows, self.count)
            ]
        try:
            lines = map(_dumps if kinds <= EXACT else _with_decimals, rows)
            data = _escaped("\n".join(chain(lines, ("",)))).encode()
        except ValueError as error:
            raise_cell_error(rows, self.count, error)
        self.count += len(rows)
        return data

    def _check_names(self, rows: list[Row]) -> None:
        names = set(chain.from_iterable(rows))
        if not names <= self._names:
            for number, row in enumerate(rows, self.count):
                for name in row:
                    check_name(number, name)
            self._names |= names


def _with_decimals(row: Row) -> str:
    """Return a row as JSON; Decimals are written with all their digits."""
    cells = (
        f"{_dumps(name)}:{cell if isinstance(cell, Decimal) else _dumps(cell)}"
        for name, cell in row.items()
    )
    return f"{{{','.join(cells)}}}"


def _escaped(text: str) -> str:
    for end, escape in _LINE_ENDS.items():
        if end in text:
            text = text.replace(end, escape)
    return text
