"""Parses the records of a CSV that arrives in pieces, without the csv module's cell size limit.

That limit, 128 KiB by default, applies to the whole process, so a library must not change it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from typing import TypeAlias

PIECE = 64 * 1024
"""Bytes or characters that are processed at once, in much less time than a slice of work."""

MAX_CELL = 4 * 1024 * 1024
"""Characters of the longest cell that is accepted, counted as in the file, with quotes doubled."""

MAX_RECORD = 4 * MAX_CELL
"""Characters of the longest record that is accepted, counted as in the file."""

Records: TypeAlias = list[list[str]]

_END = "\r\n"
_UNQUOTED = re.compile(r"[^,\r\n]*+")
_BLANK = re.compile(r"[\r\n]+")
_AFTER_CELL = re.compile(r",|\r\n|\r|\n|\Z")
_QUOTES_PER_SLICE = 2000  # quotes that are passed before other tasks may run
_PARSED_AT_ONCE = 2 * PIECE  # characters; parsing them takes less time than a slice of work


class CsvParser:
    """Reads records from pieces of text; skips blank lines, as the csv module does.

    The generators yield lists of records, and an empty list only to let other tasks run.
    """

    def __init__(self) -> None:
        self._incomplete = io.StringIO()  # a record whose end has not arrived
        self._size = 0
        self._quotes = 0  # number of quotes in ``_incomplete``; odd if it ends within a cell

    def feed(self, piece: str) -> Iterator[Records]:
        """Yield the records that are complete by now.

        Args:
            piece: The next characters, at most ``PIECE``, so that other tasks may run in between.

        Raises:
            ValueError: A record cannot be read, or is too long.

        """
        quotes = self._quotes + piece.count('"')
        end, before = yield from _end_of_records(piece, quotes)
        if end:
            block = self._incomplete.getvalue() + piece[:end]
            self._incomplete, self._size = io.StringIO(), 0
            yield from _read(block, before)
            piece, quotes = piece[end:], quotes - before
        self._incomplete.write(piece)
        self._size += len(piece)
        self._quotes = quotes
        if self._size > MAX_RECORD:
            raise ValueError(f"longer than {MAX_RECORD} characters")

    def finish(self) -> Iterator[Records]:
        """Yield the record at the end of the file, which may have no line end.

        Raises:
            ValueError: The record cannot be read.

        """
        yield from _read(self._incomplete.getvalue(), self._quotes)


def _end_of_records(piece: str, quotes: int) -> Generator[Records, None, tuple[int, int]]:
    """Find the end of the last record that ends in a piece.

    Args:
        piece: The piece.
        quotes: Number of quotes up to its end, from the start of the incomplete record.

    Returns:
        The index of the end, 0 if no record ends here, and the number of quotes up to the end.

    """
    # Within a cell, the number of quotes so far is odd; a doubled quote counts twice.
    end = len(piece)
    while True:
        for _ in range(_QUOTES_PER_SLICE):
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
    """Yield the records of a text of whole records; ``quotes`` is its number of quotes."""
    records = None
    if len(block) <= _PARSED_AT_ONCE:
        records = _split_quoted(block, quotes)
        if records is None:
            records = _read_with_csv(block)
    if records is None:
        yield from _parse_each(block)
    else:
        yield records


def _read_with_csv(block: str) -> Records | None:
    """Read records with the csv module; return None if the module would refuse them."""
    if len(block) > csv.field_size_limit():
        return None
    try:
        records = list(csv.reader(io.StringIO(block, newline="\n"), strict=True))
    except csv.Error:  # _parse_each() yields the records before the fault, then says where it is
        return None
    return [record for record in records if record]


def _split_quoted(block: str, quotes: int) -> Records | None:
    """Read records whose cells are all quoted; return None if this is not sure.

    This takes half of the csv module's time, as it does not check each character.
    """
    body = block.removesuffix(_END)
    if len(body) < len('""') or body[0] != '"' or body[-1] != '"':
        return None
    records = [line.split('","') for line in body[1:-1].split('"\r\n"')]
    # If every quote begins or ends a cell, every match is a real separator.
    if quotes == 2 * sum(map(len, records)):
        return records
    for record in records:
        for place, cell in enumerate(record):
            if '"' in cell:
                # A separator inside a text would have split a doubled quote, and left a single one.
                if cell.count('"') != 2 * cell.count('""'):
                    return None
                record[place] = cell.replace('""', '"')
    return records


def _parse_each(block: str) -> Iterator[Records]:
    """Yield records one by one, so that other tasks may run in between."""
    at = 0
    while at < len(block):
        if blank := _BLANK.match(block, at):
            at = blank.end()
            continue
        record, at = yield from _record(block, at)
        yield [record]


def _record(block: str, at: int) -> Generator[Records, None, tuple[list[str], int]]:
    """Return the record at an index, and the index of the next one."""
    cells: list[str] = []
    while True:
        if block.startswith('"', at):
            cell, end = yield from _quoted(block, at + 1)
        else:
            unquoted = _UNQUOTED.match(block, at)
            assert unquoted is not None  # noqa: S101 - for the type checker: it also matches ""
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
    """Return the text of a quoted cell and the index of its end; ``at`` is behind its first quote.

    Raises:
        ValueError: The quote is never closed.

    """
    parts: list[str] = []
    while True:
        start = at
        for _ in range(_QUOTES_PER_SLICE):
            quote = block.find('"', at)
            if quote < 0:
                raise ValueError("a quote is never closed")
            if not block.startswith('"', quote + 1):
                parts.append(block[start:quote].replace('""', '"'))
                return "".join(parts), quote + 1
            at = quote + 2
        parts.append(block[start:at].replace('""', '"'))
        yield []
