"""Copies of text files in which each row has its key a second time, as ``META_ROW_KEY``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain

from prolific_async._message_parts import brief, place
from prolific_async._row_key import META_ROW_KEY
from prolific_async._sources import csv_splitter
from prolific_async._sources.contents import PIECE, Content, Spool
from prolific_async._sources.csv_splitter import (
    CsvRecordSplitter,
    column_names,
    quoted,
    raw_cells,
    unquoted,
)
from prolific_async._sources.formats import Format
from prolific_async._sources.row_keys import RowKey, reserved_column_message
from prolific_async._sources.text_checks import Utf8Check
from prolific_async._time_slices import TimeSlices

_YIELD_EVERY = 64  # rows between two checks whether to yield to the event loop


class KeyedCsv:
    """Adds the column ``META_ROW_KEY`` to a CSV, as its second one; other cells are unchanged."""

    def __init__(self, key: RowKey) -> None:
        self._key = key
        self._records = CsvRecordSplitter()
        self._index = -1  # of the key's column; -1 until the header was read

    @property
    def count(self) -> int:
        """Number of rows so far."""
        return max(0, self._records.count - 1)

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """Yield the lines that are complete by now.

        Raises:
            ValueError: A row has no key, or the key of another row, or is not valid CSV.

        """
        return map(self._line, self._records.feed(piece))

    def finish(self) -> Iterable[bytes]:
        """Yield the last line if it has no line end."""
        return map(self._line, self._records.finish())

    def _line(self, record: bytes) -> bytes:
        cells = raw_cells(record)
        if self._index < 0:
            self._find_key(column_names(record))
            cell = quoted(META_ROW_KEY)
        else:
            key = unquoted(cells[self._index]) if self._index < len(cells) else ""
            self._key.add(self.count - 1, key)
            cell = quoted(key)
        rest = record[len(cells[0]) :]
        return b"%b,%b%b\r\n" % (cells[0], cell, rest)

    def _find_key(self, columns: list[str]) -> None:
        if META_ROW_KEY in columns:
            raise ValueError(reserved_column_message(self._key.column))
        if self._key.column not in columns:
            there = brief(", ".join(map(repr, columns)))
            raise ValueError(f"the CSV has no column {self._key.column!r} for key, only {there}")
        self._index = columns.index(self._key.column)


class KeyedJsonLines:
    """Adds the field ``META_ROW_KEY`` to JSON lines, as the first one, and drops blank lines."""

    def __init__(self, key: RowKey) -> None:
        self.count = 0
        self._key = key
        self._rest = b""

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """Yield the lines that are complete by now.

        Raises:
            ValueError: A line is no JSON object, is too long, or has no key or the key of another.

        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        limit = csv_splitter.MAX_RECORD_BYTES
        if len(self._rest) > limit:
            raise ValueError(f"{place(self.count)}: longer than {limit} bytes")
        return (self._line(line) for line in lines if line.strip())

    def finish(self) -> Iterable[bytes]:
        """Yield the last line if it has no line end."""
        return self.feed(b"\n")

    def _line(self, line: bytes) -> bytes:
        try:
            # Numbers are read as text, so that a key has the same digits as in the file.
            row = json.loads(line, parse_int=str, parse_float=str)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place(self.count)}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{place(self.count)}: a JSON object is needed")
        if META_ROW_KEY in row:
            raise ValueError(f"{place(self.count)}: {reserved_column_message(self._key.column)}")
        key = row.get(self._key.column)
        if key is not None and not isinstance(key, str):
            kind = type(key).__name__
            raise ValueError(
                f"{place(self.count, self._key.column)}: a key is text or a number, not {kind}"
            )
        self._key.add(self.count, key or "")
        self.count += 1
        pair = f'{{"{META_ROW_KEY}":{json.dumps(key)},'.encode()
        return line.replace(b"{", pair, 1) + b"\n"


async def write_with_keys(
    content: Content, start: int, kind: Format, key: RowKey, spool: Spool
) -> int:
    """Copy a text file to a spool, with ``META_ROW_KEY`` in each row; return the number of rows.

    Args:
        content: The file.
        start: Offset of its text, behind a byte order mark.
        kind: ``Format.CSV`` or ``Format.JSONL``.
        key: The key.
        spool: The empty spool to write to.

    Raises:
        ValueError: A row has no key, has the key of another row, or cannot be read; or the file
            changed meanwhile.

    """
    rewriter = KeyedCsv(key) if kind is Format.CSV else KeyedJsonLines(key)
    slices = TimeSlices()
    check = Utf8Check(start, content.size)
    for at in range(start, content.size, PIECE):
        piece = await content.read(at, PIECE, check.feed)
        is_last = at + len(piece) == content.size
        lines = []
        for line in chain(rewriter.feed(piece), rewriter.finish() if is_last else ()):
            lines.append(line)
            if len(lines) % _YIELD_EVERY == 0:
                await slices.yield_if_due()
        await spool.write(b"".join(lines))
    await content.verify()
    await spool.finish()
    return rewriter.count
