"""Records of CSV files, cut from bytes as the csv module would, but without its cell size limit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from prolific_async._message_parts import brief, place

MAX_RECORD_BYTES = 1024 * 1024
"""Bytes of the longest record that is accepted; reading it takes several times as much memory."""

# A quote is special only at the start of a cell, as in the csv module.
_CELL = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n][^,\r\n]*+|)'
_RECORD = re.compile(rb"(?:%b,)*+%b(\r\n|\r|\n)" % (_CELL, _CELL))
_CELLS = re.compile(rb"(%b)(?:,|\Z)" % _CELL)


class CsvRecordSplitter:
    """Cuts records from pieces of a file; skips blank lines, as the csv module does."""

    def __init__(self) -> None:
        self.count = 0  # records so far, including the header
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the records that are complete by now, without their line ends.

        Raises:
            ValueError: A quote is out of place, or a record is too long.

        """
        data = self._rest + piece
        at = 0
        # A "\r" at the end of a piece ends a record, too; the "\n" to come is then a blank line.
        while (found := _RECORD.match(data, at)) is not None:
            yield from self._record(data[at : found.start(1)])
            at = found.end()
        self._rest = data[at:]
        if len(self._rest) > MAX_RECORD_BYTES:
            raise self._unreadable()

    def finish(self) -> Iterator[bytes]:
        """Yield the record at the end of the file, which may have no line end.

        Raises:
            ValueError: A quote is out of place.

        """
        data, self._rest = self._rest, b""
        ended = data if data.endswith((b"\r", b"\n")) else data + b"\n"
        found = _RECORD.fullmatch(ended)
        if found is None:
            raise self._unreadable()
        yield from self._record(ended[: found.start(1)])

    def _record(self, record: bytes) -> Iterator[bytes]:
        if record:
            self.count += 1
            yield record

    def _unreadable(self) -> ValueError:
        where = place(self.count - 1) if self.count else "the header"
        return ValueError(
            f"{where}: not valid CSV (a quote is never closed, or something follows a closing "
            f"quote), or longer than {MAX_RECORD_BYTES} bytes"
        )


def first_record(data: bytes, *, is_whole: bool) -> tuple[bytes, int] | None:
    """Return the first record of a file and the offset of its end, None if more data is needed.

    Args:
        data: The beginning of the file.
        is_whole: Whether ``data`` is the whole file.

    Raises:
        ValueError: The file has no record, or the first one is unreadable.

    """
    records = CsvRecordSplitter()
    found = next(records.feed(data), None)
    if found is None and is_whole:
        found = next(records.finish(), None)
        if found is None:
            raise ValueError("the source is empty: it has no header")
    return None if found is None else (found, data.index(found) + len(found))


def raw_cells(record: bytes) -> list[bytes]:
    """Return the cells of a record unchanged, quotes included."""
    cells = _CELLS.findall(record)
    return cells if record.endswith(b",") else cells[:-1] if len(cells) > 1 else cells


def unquoted(cell: bytes) -> str:
    """Return the text of a cell, without quotes and doubled quotes."""
    if cell.startswith(b'"'):
        cell = cell[1:-1].replace(b'""', b'"')
    return cell.decode()


def quoted(text: str) -> bytes:
    """Return a quoted cell that contains a text."""
    return b'"%b"' % text.replace('"', '""').encode()


def column_names(header: bytes) -> list[str]:
    """Return the names of the columns of a header.

    Raises:
        ValueError: A name is empty, or appears twice.

    """
    columns = [unquoted(cell) for cell in raw_cells(header)]
    for number, name in enumerate(columns, 1):
        if not name.strip():
            raise ValueError(f"the name of column {number} of the CSV is empty")
    (name, times), *_ = Counter(columns).most_common(1)
    if times > 1:
        raise ValueError(f"the CSV has the column {brief(repr(name))} more than once")
    return columns


def check_separator(header: bytes) -> None:
    """Check that the cells of a header are separated by commas, not by something else.

    With another separator, the file would be a valid CSV of one column, and participants would see
    each row in one piece.

    Raises:
        ValueError: The header has one column, whose name is unquoted and has a semicolon or a tab,
            or is the "#TYPE" line that Windows PowerShell writes before the header.

    """
    if len(raw_cells(header)) > 1 or header.startswith(b'"'):
        return
    found = f"the CSV has one column, {brief(repr(unquoted(header)))}"
    if header.startswith(b"#TYPE "):
        raise ValueError(f"{found}: leave out that line, as Export-Csv -NoTypeInformation does")
    if b";" in header or b"\t" in header:
        raise ValueError(f"{found}: separate cells by commas, or quote the name if it is one")
