"""``GuardedFile``: a file that only threads use, and that is closed on every path."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import BinaryIO, TypeVar

T = TypeVar("T")


class GuardedFile:
    """A file for one thread at a time; a cancelled caller does not stop the thread that uses it."""

    def __init__(self, open_file: Callable[[], BinaryIO]) -> None:
        """Take a function that opens the file; it is called by the thread that uses it first."""
        self._open = open_file
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self.close()

    def use(self, work: Callable[[BinaryIO], T]) -> asyncio.Future[T]:
        """Call a function of the file in a thread, at once, and return what it returns."""
        return asyncio.get_running_loop().run_in_executor(None, self._use, work)

    def _use(self, work: Callable[[BinaryIO], T]) -> T:
        try:
            with self._lock:
                if self._is_closed:
                    raise ValueError("the file was closed")
                if self._file is None:
                    self._file = self._open()
                return work(self._file)
        finally:
            if self._is_closed:  # by another thread, which could not wait for this one
                self.close()

    def close(self) -> None:
        """Close the file at once or, if a thread is using it, when that is done."""
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                self._lock.release()
