"""Records of a CSV that arrives in pieces, without the csv module's limit for a cell.

That limit, 128 KiB at first, is one for the whole process, so it is not a library's to change.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from typing import TypeAlias

PIECE = 64 * 1024
"""Bytes or characters that are handled at once, in much less than a slice of work."""

MAX_CELL = 4 * 1024 * 1024
"""Characters of the longest cell that is read, as it stands in the file."""

MAX_RECORD = 4 * MAX_CELL
"""Characters of the longest record that is read, as it stands in the file."""

Records: TypeAlias = list[list[str]]

_END = "\r\n"
_UNQUOTED = re.compile(r"[^,\r\n]*+")
_BLANK = re.compile(r"[\r\n]+")
_AFTER_CELL = re.compile(r",|\r\n|\r|\n|\Z")
_QUOTES = 2000  # that are passed at once
_AT_ONCE = 2 * PIECE  # characters whose records are read in less than a slice of work


class CsvRecords:
    """Cuts records from pieces of text; blank lines are left out, as the csv module does.

    Its generators yield some records at a time, and none where they only let others run.
    """

    def __init__(self) -> None:
        self._begun = io.StringIO()  # a record whose end has not come
        self._size = 0
        self._quotes = 0  # in it; their number is odd where it breaks off within a cell

    def feed(self, piece: str) -> Iterator[Records]:
        """Yield the records that are complete by now.

        Args:
            piece: The next ``PIECE`` characters at the most, so that others may run in between.

        Raises:
            ValueError: A record cannot be read, or is too long.

        """
        quotes = self._quotes + piece.count('"')
        end, before = yield from _end_of_records(piece, quotes)
        if end:
            block = self._begun.getvalue() + piece[:end]
            self._begun, self._size = io.StringIO(), 0
            yield from _read(block, before)
            piece, quotes = piece[end:], quotes - before
        self._begun.write(piece)
        self._size += len(piece)
        self._quotes = quotes
        if self._size > MAX_RECORD:
            raise ValueError(f"longer than {MAX_RECORD} characters")

    def finish(self) -> Iterator[Records]:
        """Yield the record at the end of the file, which may have no line end.

        Raises:
            ValueError: It cannot be read.

        """
        yield from _read(self._begun.getvalue(), self._quotes)


def _end_of_records(piece: str, quotes: int) -> Generator[Records, None, tuple[int, int]]:
    """Return the end of the last record that ends in a piece, 0 if none does.

    Args:
        piece: The piece.
        quotes: Quotes up to its end, from the beginning of a record.

    Returns:
        The end, and the quotes up to it.

    """
    # Within a cell, the number of quotes before a place is odd: a doubled one counts twice.
    end = len(piece)
    while True:
        for _ in range(_QUOTES):
            line_end = piece.rfind("\n", 0, end)
            if line_end < 0:
                return 0, 0
            quotes -= piece.count('"', line_end, end)
            if quotes % 2 == 0:
                return line_end + 1, quotes
            end = piece.rfind('"', 0, line_end)
            if end < 0:
                return 0, 0
            quotes -= 1
        yield []


def _read(block: str, quotes: int) -> Iterator[Records]:
    """Yield the records of a text that has whole ones and so many quotes."""
    records = None
    if len(block) <= _AT_ONCE:
        records = _split(block, quotes)
        if records is None:
            records = _read_with_csv(block)
    if records is None:
        yield from _read_each(block)
    else:
        yield records


def _read_with_csv(block: str) -> Records | None:
    """Return records as the csv module reads them, None if it does not."""
    if len(block) > csv.field_size_limit():
        return None
    try:
        records = list(csv.reader(io.StringIO(block, newline="\n"), strict=True))
    except csv.Error:  # the other reader tells where, after the records before it
        return None
    return [record for record in records if record]


def _split(block: str, quotes: int) -> Records | None:
    """Return records all of whose cells are quoted, None of others.

    It takes half of the csv module's time, as it does not look at each character.
    """
    body = block.removesuffix(_END)
    if len(body) < len('""') or body[0] != '"' or body[-1] != '"':
        return None
    records = [line.split('","') for line in body[1:-1].split('"\r\n"')]
    # If no quote is left, each of these ends was one.
    if quotes == 2 * sum(map(len, records)):
        return records
    for record in records:
        for place, cell in enumerate(record):
            if '"' in cell:
                # Where a text was cut in two, the quote before it was doubled, and is single now.
                if cell.count('"') != 2 * cell.count('""'):
                    return None
                record[place] = cell.replace('""', '"')
    return records


def _read_each(block: str) -> Iterator[Records]:
    """Yield records one by one, and others run in between."""
    at = 0
    while at < len(block):
        if blank := _BLANK.match(block, at):
            at = blank.end()
            continue
        record, at = yield from _record(block, at)
        yield [record]


def _record(block: str, at: int) -> Generator[Records, None, tuple[list[str], int]]:
    """Return the record at a place, and the place behind its end."""
    cells: list[str] = []
    while True:
        if block.startswith('"', at):
            cell, end = yield from _quoted(block, at + 1)
        else:
            unquoted = _UNQUOTED.match(block, at)
            assert unquoted is not None  # noqa: S101 - for the type checker: it matches nothing, too
            cell, end = unquoted[0], unquoted.end()
        if end - at > MAX_CELL + len('""'):
            raise ValueError(f"column {len(cells) + 1}: longer than {MAX_CELL} characters")
        cells.append(cell)
        after = _AFTER_CELL.match(block, end)
        if after is None:
            raise ValueError(f"column {len(cells)}: something follows its closing quote")
        at = after.end()
        if after[0] != ",":
            return cells, at


def _quoted(block: str, at: int) -> Generator[Records, None, tuple[str, int]]:
    """Return the text of the cell whose quote was opened before a place, and the cell's end."""
    parts: list[str] = []
    while True:
        start = at
        for _ in range(_QUOTES):
            quote = block.find('"', at)
            if quote < 0:
                raise ValueError("a quote is never closed")
            if not block.startswith('"', quote + 1):
                parts.append(block[start:quote].replace('""', '"'))
                return "".join(parts), quote + 1
            at = quote + 2
        parts.append(block[start:at].replace('""', '"'))
        yield []
