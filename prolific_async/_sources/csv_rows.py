"""Encoding of rows as CSV: columns in order of their first appearance, text unchanged.

All cells are quoted, as in the service's own reports, so that every reader keeps line ends, spaces
and a byte order mark in a cell.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources.cells import EXACT, check_name
from prolific_async._sources.contents import PIECE, Spool
from prolific_async._sources.row_blocks import Row, mappings, plain_rows, raise_cell_error
from prolific_async._sources.row_keys import RowKey
from prolific_async._time_slices import TimeSlices

_ROW_END = "\r\n"


class CsvRows:
    """Encodes blocks of rows as CSV.

    Rows that were encoded before a column first appeared have no cell for it until ``fill_up``.
    """

    def __init__(self, key: RowKey | None) -> None:
        self.count = 0
        self._key = key
        self._columns: dict[str, None] = {}
        self._get: Any = None
        self._size = 0
        self._widths: list[tuple[int, int]] = []  # offset of the first row, and number of columns

    def encode(self, block: list[Any]) -> bytes:
        """Return the next rows as CSV.

        Raises:
            TypeError: A row is no mapping.
            ValueError: A cell, a name or a key cannot be sent; the message names row and column.

        """
        rows = mappings(block, self.count)
        cells = self._cells_of(rows)
        columns = list(zip(*cells, strict=True))
        kinds = [set(map(type, column)) for column in columns]
        if not EXACT.issuperset(chain.from_iterable(kinds)) or _is_not_finite(columns, kinds):
            rows = plain_rows(rows, self.count)
            cells = self._cells_of(rows)
        if self._key is not None:
            cells = [
                (*some[:1], self._key.of_row(number, row), *some[1:])
                for number, (row, some) in enumerate(zip(rows, cells, strict=True), self.count)
            ]
        try:
            data = _csv_text(cells).encode()
        except ValueError as error:
            raise_cell_error(rows, self.count, error)
        self.count += len(rows)
        self._size += len(data)
        return data

    def header(self) -> bytes:
        """Return the header line, with all columns that have appeared.

        Raises:
            ValueError: No row with a column was encoded.

        """
        if not self._columns:
            raise ValueError("the source is empty: none of its rows has a column")
        first, *others = self._columns
        return _csv_text([(first, *([META_ROW_KEY] if self._key else []), *others)]).encode()

    @property
    def is_ragged(self) -> bool:
        """Whether earlier rows lack cells for columns that appeared later."""
        return len(self._widths) > 1

    async def fill_up(self, spool: Spool, filled: Spool) -> None:
        """Copy all encoded rows from one spool to another, with a cell for each column.

        Args:
            spool: The spool with the data that ``encode`` returned.
            filled: The empty spool to write to.

        """
        slices = TimeSlices()
        ends = [start for start, _ in self._widths[1:]] + [spool.size]
        for (start, width), end in zip(self._widths, ends, strict=True):
            missing = b',""' * (len(self._columns) - width)
            await _fill_up(spool, (start, end), missing if width else missing[1:], filled, slices)
        await filled.finish()

    def _cells_of(self, rows: list[Row]) -> list[Sequence[Any]]:
        width = len(self._columns)
        if width and set(map(len, rows)) == {width}:
            try:
                return list(map(self._get, rows))
            except KeyError:
                pass
        self._learn_columns(rows)
        return [list(map(row.get, self._columns)) for row in rows]

    def _learn_columns(self, rows: list[Row]) -> None:
        for number, row in enumerate(rows, self.count):
            for name in row:
                if name not in self._columns:
                    check_name(number, name)
                    self._columns[str.__str__(name)] = None
        width = len(self._columns)
        if not self._widths or width > self._widths[-1][1]:
            self._widths.append((self._size, width))
            get = itemgetter(*self._columns) if width else None
            self._get = (lambda row: (get(row),)) if get is not None and width == 1 else get


def _is_not_finite(columns: list[tuple[Any, ...]], kinds: list[set[type]]) -> bool:
    """Return whether the sum of a column's floats is not finite, as with a NaN or infinity."""
    sums = (
        sum(cell for cell in column if type(cell) is float)
        for column, kind in zip(columns, kinds, strict=True)
        if float in kind
    )
    return not all(map(math.isfinite, sums))


def _csv_text(rows: Iterable[Iterable[Any]]) -> str:
    lines: list[str] = []
    target = SimpleNamespace(write=lines.append)
    csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator=_ROW_END).writerows(rows)
    return "".join(lines)


async def _fill_up(
    spool: Spool, places: tuple[int, int], missing: bytes, filled: Spool, slices: TimeSlices
) -> None:
    """Copy rows between two offsets, with ``missing`` added at the end of each row."""
    ending = _ROW_END.encode()
    start, end = places
    quotes = 0  # so far; if their number is odd, a line end is inside a cell
    while start < end:
        part = await spool.read(start, min(PIECE, end - start))
        if part.endswith(b"\r") and len(part) > 1:  # perhaps half a line end
            part = part[:-1]
        start += len(part)
        *lines, rest = part.split(ending)
        for number, line in enumerate(lines):
            quotes += line.count(b'"')
            lines[number] = line if quotes % 2 else line + missing
        quotes += rest.count(b'"')
        await filled.write(ending.join((*lines, rest)))
        await slices.yield_if_due()
