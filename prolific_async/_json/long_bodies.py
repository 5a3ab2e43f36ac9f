"""Work on long bodies, between whose pieces the event loop runs."""

from __future__ import annotations

import asyncio
import codecs

from prolific_async._time_slices import TimeSlices

LONG = 256 * 1024
"""Bytes above which a body is processed in slices."""

_PIECE = 1 << 20  # bytes that are processed at once, in less time than a slice


async def hashes(body: bytes, slices: TimeSlices) -> list[int]:
    """Return the hashes of a body's pieces, to compare the body with another."""
    found = []
    for start in range(0, len(body), _PIECE):
        found.append(hash(body[start : start + _PIECE]))
        await slices.yield_if_due()
    return found


async def decode_text(body: bytes, slices: TimeSlices) -> str:
    """Decode UTF-8, and drop a byte order mark.

    Raises:
        UnicodeDecodeError: The body is not valid UTF-8.

    """
    # Importing "utf-8-sig" here would leave objects in memory that is to be freed after the waits.
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = []
    begin = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0
    for start in range(begin, len(body), _PIECE):
        pieces.append(decoder.decode(body[start : start + _PIECE]))
        await slices.yield_if_due()
    decoder.decode(b"", final=True)
    await asyncio.sleep(0)  # joining the pieces may take a slice of its own
    return "".join(pieces)
