"""Storing of a request's body of any size, in constant memory and without holding the loop."""

import asyncio
import tempfile
from collections.abc import Callable
from typing import BinaryIO, cast

from aiohttp import StreamReader

__all__ = ["spool"]

_IN_MEMORY = 1024 * 1024  # bytes of a body before it goes to a file
_SLICE = 1024 * 1024  # bytes that are written at a time


async def spool(content: StreamReader, arrived: Callable[[int], object]) -> BinaryIO:
    """Read a body to its end, and return it as a file at its beginning, which the caller closes.

    A large body goes to a temporary file that has no name, so that it goes away with the process.
    It is written in a thread while the next bytes come.

    Args:
        content: The body.
        arrived: Called with the number of bytes so far, whenever some have come.

    Raises:
        OSError: The file cannot be written.
    """
    # The caller closes it.
    file = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
    writer = _Writer(file)
    size = 0
    try:
        async for piece in content.iter_any():
            size += len(piece)
            arrived(size)
            await writer.add(piece)
        await writer.finish()
        file.seek(0)
    except BaseException:
        writer.close()
        raise
    return file


class _Writer:
    """Writes slices of a body to a file in a thread, while the next slice arrives."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pieces: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        """Add bytes. Returns when there is room for more."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _SLICE:
            await self._wait_for_write()
            pieces, self._pieces, self._size = self._pieces, [], 0
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(None, self._file.writelines, pieces)

    async def finish(self) -> None:
        """Write the rest, which is less than a slice."""
        await self._wait_for_write()
        self._file.writelines(self._pieces)

    def close(self) -> None:
        """Close the file, once the thread no longer writes to it."""
        if self._writing is None or self._writing.done():
            self._file.close()
        else:
            self._writing.add_done_callback(self._close_after)

    async def _wait_for_write(self) -> None:
        if self._writing is not None:
            # A thread cannot be cancelled, so its future must not be cancelled either.
            await asyncio.shield(self._writing)

    def _close_after(self, writing: asyncio.Future[None]) -> None:
        if not writing.cancelled():
            writing.exception()  # retrieved, or asyncio would log it
        self._file.close()
