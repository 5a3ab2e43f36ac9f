"""Reading of uploaded files: small ones at once, larger ones in a thread."""

import io
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from prolific_async.simulator.dataset_models import ImportedRows
from prolific_async.simulator.row_import import read_upload

__all__ = ["ImportReader"]

_AT_ONCE = 128 * 1024  # bytes; reading them holds the loop for some milliseconds
_SLICE = 64 * 1024
_PAUSE = 0.0001  # seconds after each slice, in which the serving thread gets its turn


class ImportReader:
    """Reads files into rows, one large file at a time.

    A small file is read before `read` returns, so that a test does not depend on how long it takes.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "prolific-simulator-imports")
        self._stopped = threading.Event()

    def read(
        self,
        file: BinaryIO,
        filename: str,
        schema: Mapping[str, Any] | None,
        done: Callable[[ImportedRows], object],
    ) -> None:
        """Read a file and close it.

        Args:
            file: The file, at its beginning.
            filename: Its suffix tells the format.
            schema: The dataset's schema; None for version 3.
            done: Called with the rows, in this thread or another one; not at all after `close`.
        """
        if file.seek(0, os.SEEK_END) <= _AT_ONCE:
            with file:
                file.seek(0)
                done(read_upload(file, filename, schema))
            return
        file.seek(0)
        self._pool.submit(self._read, file, filename, schema, done)

    def close(self) -> None:
        """Stop reading and close the files. Waits for the thread, which takes milliseconds."""
        self._stopped.set()
        self._pool.shutdown()

    def _read(
        self,
        file: BinaryIO,
        filename: str,
        schema: Mapping[str, Any] | None,
        done: Callable[[ImportedRows], object],
    ) -> None:
        with file:
            try:
                rows = read_upload(file, filename, schema, in_slices=self._in_slices)
            except _StoppedError:
                return
        done(rows)

    def _in_slices(self, file: BinaryIO) -> BinaryIO:
        return io.BufferedReader(_Slices(file, self._stopped), _SLICE)


class _StoppedError(Exception):
    """Reading was stopped because the simulator closes."""


class _Slices(io.RawIOBase):
    """Wraps a file and pauses while it is read, so that other threads run; can be stopped."""

    def __init__(self, file: BinaryIO, stopped: threading.Event) -> None:
        self._file = file
        self._stopped = stopped
        self._size = 0  # bytes read of the current slice; text is read in smaller pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._stopped.is_set():
            raise _StoppedError
        if self._size >= _SLICE:
            self._size = 0
            time.sleep(_PAUSE)
        size: int = self._file.readinto(buffer)  # type: ignore[attr-defined] # all such files have it
        self._size += size
        return size
