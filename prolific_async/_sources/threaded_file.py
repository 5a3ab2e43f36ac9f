"""``ThreadedFile``: a file that is used in threads, and is closed even after a cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import BinaryIO, TypeVar

T = TypeVar("T")


class ThreadedFile:
    """A file that one thread at a time uses; a thread goes on even if its caller is cancelled."""

    def __init__(self, open_file: Callable[[], BinaryIO]) -> None:
        """Take the function that opens the file; the first ``use`` calls it, in its thread."""
        self._open = open_file
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self.close()

    def use(self, work: Callable[[BinaryIO], T]) -> asyncio.Future[T]:
        """Start ``work(file)`` in a thread, and return a future of its result.

        The future raises ValueError if the file is closed by then.
        """
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
            if self._is_closed:  # meanwhile: close() does not wait for this thread
                self.close()

    def close(self) -> None:
        """Close the file now or, if a thread is using it, as soon as that thread is done."""
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                self._lock.release()
