"""Follows waits while they run; how it is shown is up to its kinds in ``lines`` and ``live``."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from attrs import frozen

from prolific_async.errors import (
    BatchFailedError,
    BatchNotSetUpError,
    WaitError,
    WaitTimeoutError,
)
from prolific_async.models import Batch, StatusEvent

__all__ = ["Board", "Ended", "ending", "in_words"]

T = TypeVar("T")

_FRAME = 0.1  # seconds


@frozen
class Ended:
    """How the wait for a batch ended."""

    batch_id: str
    outcome: Batch | WaitError


def ending(outcome: Batch | WaitError) -> str:
    """Name how a wait ended, in one word."""
    match outcome:
        case Batch():
            return "ready"
        case BatchFailedError():
            return "failed"
        case BatchNotSetUpError():
            return "not_set_up"
        case WaitTimeoutError():
            return "timed_out"
        case _:
            return "gave_up"


def in_words(error: WaitError) -> str:
    """Name how a wait failed, for a person."""
    return ending(error).replace("_", " ")


class Board(ABC):
    """Takes in what waits tell, and writes it now and then while they run.

    It never writes from within a wait, where a closed pipe would be taken for a callback's fault.
    """

    def __init__(self) -> None:
        self._news: list[StatusEvent | Ended] = []

    def saw(self, event: StatusEvent) -> None:
        """Take in a poll: made for ``on_event``."""
        self._news.append(event)

    def ended(self, batch_id: str, outcome: Batch | WaitError) -> None:
        """Take in a wait's end."""
        self._news.append(Ended(batch_id, outcome))

    async def during(self, work: Awaitable[T]) -> T:
        """Show the news until the work is done, and return its result."""
        task = asyncio.ensure_future(work)
        try:
            with self._shown():
                while not task.done():
                    await asyncio.wait([task], timeout=_FRAME)
                    news, self._news = self._news, []
                    self._show(news)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @contextmanager
    def _shown(self) -> Iterator[None]:
        yield

    @abstractmethod
    def _show(self, news: Iterable[StatusEvent | Ended]) -> None:
        """Write what is new, perhaps nothing."""
