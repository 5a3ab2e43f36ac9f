"""Checks of text files before they are sent: that they are UTF-8 and have a row."""

from __future__ import annotations

import codecs

from attrs import frozen

from prolific_async._sources.contents import PIECE, Content
from prolific_async._sources.csv_splitter import check_separator, column_names, first_record
from prolific_async._time_slices import TimeSlices

CHECKED_FIRST = 8 * 1024 * 1024
"""Bytes that are checked before a file is sent; the rest is checked while it is sent."""

_BYTE_ORDER_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x00\x00\xfe\xff": "UTF-32",
}


class Utf8Check:
    """Checks that a file, read in pieces, is UTF-8."""

    def __init__(self, start: int, end: int) -> None:
        """Take the offset of the first piece in the file, and that of the end of the file."""
        self._at = start
        self._end = end
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, piece: bytes) -> None:
        """Check the next piece.

        Raises:
            ValueError: The piece is not UTF-8; the message has the offset in the file.

        """
        pending = self._decoder.getstate()[0]
        if pending or not piece.isascii():
            try:
                self._decoder.decode(piece, self._at + len(piece) == self._end)
            except UnicodeDecodeError as error:
                at = self._at - len(pending) + error.start
                raise ValueError(
                    f"the source is not UTF-8 (see its byte {at}): save it as UTF-8 first"
                ) from None
        self._at += len(piece)


@frozen
class Text:
    """Properties of a text file that are found before it is sent.

    Attributes:
        start: Offset of the first character, behind a byte order mark. If the mark were sent, the
            service would take it as a part of the first column's name.
        lines: Number of lines; an estimate if the file is larger than 8 MiB.

    """

    start: int
    lines: int


async def checked_text(content: Content) -> Text:
    """Check that the first 8 MiB of a file are UTF-8, and count its lines.

    Raises:
        ValueError: The source is empty, or is not UTF-8.

    """
    if content.size == 0:
        raise ValueError("the source is empty")
    head = await content.read(0, 4)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            raise ValueError(f"the source is {encoding}: save it as UTF-8 first")
    if b"\0" in head[:2]:  # a first character of two or four bytes
        raise ValueError("the source is UTF-16 or UTF-32: save it as UTF-8 first")
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    check = Utf8Check(start, content.size)
    last = min(content.size, CHECKED_FIRST)
    slices = TimeSlices()
    lines = 0
    piece = b""
    for at in range(start, last, PIECE):
        piece = await content.read(at, min(PIECE, last - at), check.feed)
        lines += piece.count(b"\n")
        await slices.yield_if_due()
    is_open = not piece.endswith(b"\n")  # the last line
    return Text(start, lines * content.size // last + is_open)


async def check_csv(content: Content, start: int) -> None:
    """Check that a CSV has a header and a row.

    Raises:
        ValueError: The CSV has no row, the name of a column is empty or appears twice, or the cells
            are not separated by commas.

    """
    data = b""
    found = None
    while found is None:
        data += await content.read(start + len(data), PIECE)
        found = first_record(data, is_whole=start + len(data) == content.size)
    header, end = found
    if b"\0" in header:  # checked_text() misses it if the first character is beyond Latin-1
        raise ValueError("the source is UTF-16 or UTF-32: save it as UTF-8 first")
    check_separator(header)
    column_names(header)
    if not await _has_byte_outside(b"\r\n", content, start + end):
        raise ValueError("the CSV has a header, but no row")


async def check_json_lines(content: Content, start: int) -> None:
    """Check that a file of JSON lines has a line that is not blank.

    Raises:
        ValueError: All lines are blank.

    """
    if not await _has_byte_outside(b" \t\r\n", content, start):
        raise ValueError("the source is empty: all its lines are blank")


async def _has_byte_outside(blanks: bytes, content: Content, start: int) -> bool:
    """Return whether there is any byte, from an offset on, that is not one of ``blanks``."""
    for at in range(start, content.size, PIECE):
        piece = await content.read(at, PIECE)
        if piece.strip(blanks):
            return True
    return False
