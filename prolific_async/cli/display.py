"""Base class of the displays that are drawn while a command works."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["Display"]

T = TypeVar("T")

_FRAME = 0.1  # seconds


class Display(ABC):
    """Shows the newest state of some work ten times a second.

    It never writes from a callback of the client, where an error such as a closed pipe would only
    be logged.
    """

    async def show_during(self, work: Awaitable[T]) -> T:
        """Draw until the work is done, and return its result."""
        task = asyncio.ensure_future(work)
        try:
            with self._open():
                while not task.done():
                    await asyncio.wait([task], timeout=_FRAME)
                    self._draw()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @contextmanager
    def _open(self) -> Iterator[None]:
        yield

    @abstractmethod
    def _draw(self) -> None:
        """Write what has changed since the last call, perhaps nothing."""
