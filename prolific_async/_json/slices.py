"""Long work on bodies, done in slices so that the event loop gets its turns."""

from __future__ import annotations

import asyncio
import codecs
import time

LONG = 256 * 1024
"""Bytes from which on a body is worth slices."""

_SLICE = 0.005  # seconds of work after which the loop gets its turn
_PIECE = 1 << 20  # bytes that are handled in one go; less than a slice's work


class TimeSlices:
    """Gives the event loop its turn whenever a slice of work is done."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _SLICE

    async def yield_if_due(self) -> None:
        """Let the loop run, if it is time; to be called between short steps of work."""
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + _SLICE


async def hashes(body: bytes, slices: TimeSlices) -> list[int]:
    """Return what tells a body from others: the hashes of its pieces."""
    found = []
    for start in range(0, len(body), _PIECE):
        found.append(hash(body[start : start + _PIECE]))
        await slices.yield_if_due()
    return found


async def text_of(body: bytes, slices: TimeSlices) -> str:
    """Decode UTF-8, without a byte order mark.

    Raises:
        UnicodeDecodeError: It is none.

    """
    # "utf-8-sig" would be imported here, into memory that is to be given back after the waits.
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = []
    begin = len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0
    for start in range(begin, len(body), _PIECE):
        pieces.append(decoder.decode(body[start : start + _PIECE]))
        await slices.yield_if_due()
    decoder.decode(b"", final=True)
    await asyncio.sleep(0)  # to put the pieces together is a turn's work of its own
    return "".join(pieces)
