"""Contents: bytes of a known length, in memory, a spool or a file, that can be read repeatedly."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from prolific_async._sources.threaded_file import ThreadedFile

PIECE = 256 * 1024
"""Bytes that are read, processed, written and sent at once.

Measured: pieces twice as large cost a third more CPU, as glibc gives their pages back to the system
and gets new ones for each piece.
"""

Check: TypeAlias = Callable[[bytes], object]


class Content(Protocol):
    """Bytes that can be read from any offset, more than once."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read(self, start: int, length: int, check: Check | None = None) -> asyncio.Future[bytes]:
        """Start to read bytes, and return a future of them.

        Args:
            start: Offset of the first byte.
            length: Number of bytes; fewer are returned only at the end.
            check: Called with the bytes, in the thread that reads them; raises ValueError if they
                are invalid.

        """

    async def verify(self) -> None:
        """Raise ValueError if the bytes have changed since their number was determined."""

    def close(self) -> None:
        """Release the file or the memory that holds the bytes; called in a thread."""


def flat(given: bytes | bytearray | memoryview) -> memoryview:
    """Return the buffer as a view of bytes; the buffer cannot be resized until the release."""
    view = memoryview(given)
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


class BytesContent:
    """Bytes of the caller in memory, not copied as a whole."""

    def __init__(self, given: bytes | bytearray | memoryview) -> None:
        self._view = flat(given)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self._view)

    def read(self, start: int, length: int, check: Check | None = None) -> asyncio.Future[bytes]:
        """Return bytes from an offset on."""
        return _completed(bytes(self._view[start : start + length]), check)

    async def verify(self) -> None:
        """Do nothing: the size of the caller's buffer is locked."""

    def close(self) -> None:
        """Unlock the caller's buffer."""
        self._view.release()


class Spool:
    """Bytes that are written piece by piece; from 256 KiB on, to a temporary file.

    The file has no name where the system allows that, so it vanishes even if the process is killed.
    """

    def __init__(self) -> None:
        self.size = 0
        self._file = ThreadedFile(_temporary_file)
        self._pieces: list[bytes] = []
        self._in_memory = 0
        self._whole = b""

    async def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._pieces.append(data)
        self.size += len(data)
        self._in_memory += len(data)
        if self._in_memory >= PIECE:
            await self._store()

    async def finish(self) -> None:
        """Make the written bytes readable; do not write afterwards."""
        if self.size > self._in_memory:
            await self._store()
        else:
            self._whole = b"".join(self._pieces)
            self._pieces.clear()

    async def _store(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._in_memory = 0
        await self._file.use(lambda file: file.write(data))

    def read(self, start: int, length: int, check: Check | None = None) -> asyncio.Future[bytes]:
        """Return bytes from an offset on."""
        if self._whole or not self.size:
            return _completed(self._whole[start : start + length], check)
        return self._file.use(lambda file: _checked(_read(file, start, length), check))

    async def verify(self) -> None:
        """Do nothing: nobody else can write to the file."""

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()


class FileContent:
    """A file of the caller, which must not change while it is read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._file = ThreadedFile(lambda: _regular_file(path))
        self._original: tuple[int, ...] = ()

    async def open(self) -> None:
        """Open the file.

        Raises:
            OSError: The file does not exist, or cannot be read.
            ValueError: The path names something other than a regular file.

        """
        self._original = await self._file.use(lambda file: _identity(os.fstat(file.fileno())))
        self.size = self._original[-1]

    def read(self, start: int, length: int, check: Check | None = None) -> asyncio.Future[bytes]:
        """Return bytes from an offset on.

        Raises:
            ValueError: The file has become shorter.

        """
        wanted = min(length, self.size - start)

        def whole(file: BinaryIO) -> bytes:
            data = _read(file, start, wanted)
            if len(data) < wanted:
                raise self._changed_error()
            return _checked(data, check)

        return self._file.use(whole)

    async def verify(self) -> None:
        """Check that the path still names the same file, unchanged.

        Raises:
            ValueError: The file was changed, replaced or removed.

        """
        if await self._file.use(self._has_changed):
            raise self._changed_error()

    def _has_changed(self, file: BinaryIO) -> bool:
        try:
            now = Path(self.path).stat()
        except OSError:
            return True
        return not self._original == _identity(now) == _identity(os.fstat(file.fileno()))

    def _changed_error(self) -> ValueError:
        return ValueError(f"the file {self.path!r} changed while it was read")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _completed(data: bytes, check: Check | None) -> asyncio.Future[bytes]:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(_checked(data, check))
    except ValueError as error:
        future.set_exception(error)
    return future


def _checked(data: bytes, check: Check | None) -> bytes:
    if check is not None:
        check(data)
    return data


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _temporary_file() -> BinaryIO:
    return tempfile.TemporaryFile()


def _regular_file(path: str) -> BinaryIO:
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError as error:
        if not path.startswith("~"):
            raise
        advice = f"{error.strerror}; ~ is not expanded here, use Path.expanduser()"
        raise FileNotFoundError(error.errno, advice, path) from None
    _check_regular(path, mode)
    file = open(path, "rb", opener=_opener)  # noqa: SIM115 - the caller closes it
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)
    except ValueError:
        file.close()
        raise
    return file


def _opener(path: str, flags: int) -> int:
    # Opening a pipe that took the file's place must not wait for a writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise ValueError(f"{path!r} is {kind}, not a file")
