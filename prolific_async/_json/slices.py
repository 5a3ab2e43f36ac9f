"""Slices of long work on bodies, between which the event loop runs."""

from __future__ import annotations

import asyncio
import codecs
import time

LONG = 256 * 1024
"""Bytes above which a body is worked on in slices."""

_SLICE = 0.005  # seconds of work after which the event loop runs
_PIECE = 1 << 20  # bytes that are handled at once, in less than a slice


class TimeSlices:
    """Lets the event loop run after each slice of work."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _SLICE

    async def yield_if_due(self) -> None:
        """Let the event loop run if the slice is over; called between short steps of work."""
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + _SLICE


async def hashes(body: bytes, slices: TimeSlices) -> list[int]:
    """Return the hashes of a body's pieces, which tell it from other bodies."""
    found = []
    for start in range(0, len(body), _PIECE):
        found.append(hash(body[start : start + _PIECE]))
        await slices.yield_if_due()
    return found


async def text_of(body: bytes, slices: TimeSlices) -> str:
    """Decode UTF-8, and drop a byte order mark.

    Raises:
        UnicodeDecodeError: The body is not valid UTF-8.

    """
    # "utf-8-sig" would be imported here, into memory that is to be given back after the waits.
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = []
    begin = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0
    for start in range(begin, len(body), _PIECE):
        pieces.append(decoder.decode(body[start : start + _PIECE]))
        await slices.yield_if_due()
    decoder.decode(b"", final=True)
    await asyncio.sleep(0)  # joining the pieces takes as long as a slice
    return "".join(pieces)
