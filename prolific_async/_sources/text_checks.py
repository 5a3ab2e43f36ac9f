"""Checks of files of text before they are sent: that they are UTF-8 and have a row."""

from __future__ import annotations

import codecs

from attrs import frozen

from prolific_async._json.slices import TimeSlices
from prolific_async._sources.contents import PART, PIECE, Content
from prolific_async._sources.csv_records import check_separator, columns_of, first_record

CHECKED_FIRST = 8 * 1024 * 1024
"""Bytes at the start of a file that are checked before it is sent, and the rest on its way."""

_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x00\x00\xfe\xff": "UTF-32",
}


class Utf8Check:
    """Checks that pieces of a file are UTF-8 together."""

    def __init__(self, start: int, end: int) -> None:
        """Take the place of the first piece in its file, for messages, and of the file's end."""
        self._at = start
        self._end = end
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, piece: bytes) -> None:
        """Check the next piece.

        Raises:
            ValueError: It is not UTF-8.

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
        start: Where it begins: behind a byte order mark, which would become a part of the first
            column's name if it were sent.
        lines: The number of its lines, of a text of more than 8 MiB about that.

    """

    start: int
    lines: int


async def checked_text(content: Content) -> Text:
    """Check the encoding of a text, as far as that takes no time worth mentioning.

    Raises:
        ValueError: The source is empty, or is not UTF-8.

    """
    if content.size == 0:
        raise ValueError("the source is empty")
    head = await content.read(0, 4)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            raise ValueError(f"the source is {encoding}: save it as UTF-8 first")
    if b"\0" in head[:2]:  # a first character in two bytes or four
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
        ValueError: It has no row, a column without a name of its own, or another separator.

    """
    data = b""
    found = None
    while found is None:
        data += await content.read(start + len(data), PART)
        found = first_record(data, is_whole=start + len(data) == content.size)
    header, end = found
    if b"\0" in header:  # first letters beyond Latin-1 have no such byte
        raise ValueError("the source is UTF-16 or UTF-32: save it as UTF-8 first")
    check_separator(header)
    columns_of(header)
    if not await _has_other_than(b"\r\n", content, start + end):
        raise ValueError("the CSV has a header, but no row")


async def check_json_lines(content: Content, start: int) -> None:
    """Check that a file of JSON lines has a line that is not blank.

    Raises:
        ValueError: It has not.

    """
    if not await _has_other_than(b" \t\r\n", content, start):
        raise ValueError("the source is empty: it has no JSON")


async def _has_other_than(blanks: bytes, content: Content, start: int) -> bool:
    for at in range(start, content.size, PART):
        piece = await content.read(at, PART)
        if piece.strip(blanks):
            return True
    return False
