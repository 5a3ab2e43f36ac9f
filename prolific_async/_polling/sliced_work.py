"""Long loops over many waits, in slices, so that the event loop gets its turns."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, TypeVar

from prolific_async._polling import bugs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_SLICE = 0.0025  # seconds of work after which the loop gets its turn; it is not alone in one
FEW = 32
"""Waits that are served between two readings of the clock, and without a slice of their own."""


def chunks(things: list[T]) -> Iterator[list[T]]:
    """Yield a list in pieces; after each, work may be interrupted."""
    for start in range(0, len(things), FEW):
        yield things[start : start + FEW]


def used_up(things: list[T]) -> Iterator[list[T]]:
    """Yield a list in pieces as ``chunks`` does, and empty it: to free many takes its time, too."""
    things.reverse()
    while things:
        some = things[: -FEW - 1 : -1]
        del things[-FEW:]
        yield some


class Work:
    """Runs generators, each at once if there is time for it in this turn, else in later turns.

    Between two steps anything may happen: what a generator works on may have ended.
    """

    def __init__(self, after: Callable[[], object]) -> None:
        """Take what is called after each slice."""
        self._after = after
        self._queue: deque[Iterator[None]] = deque()
        # As of the timer: what is done for all is no doing of whoever happened to be first.
        self._context = Context()

    def do(self, steps: Iterator[None]) -> None:
        """Run a generator; what it raises is logged."""
        if self._queue or not _is_done(steps, time.perf_counter() + _SLICE):
            self._queue.append(steps)
            if len(self._queue) == 1:
                self._arrange()

    async def drained(self) -> None:
        """Return when all is done."""
        while self._queue:  # noqa: ASYNC110 - each turn does a slice of it
            await asyncio.sleep(0)

    def _arrange(self) -> None:
        asyncio.get_running_loop().call_soon(self._go, context=self._context)

    def _go(self) -> None:
        until = time.perf_counter() + _SLICE
        try:
            while self._queue and _is_done(self._queue[0], until):
                self._queue.popleft()
        except BaseException:  # from the keyboard: the others go on
            self._queue.popleft()
            raise
        finally:
            if self._queue:
                self._arrange()
            self._after()


def _is_done(steps: Iterator[None], until: float) -> bool:
    try:
        for _ in steps:
            if time.perf_counter() > until:
                return False
    except bugs.BUGS as error:  # they must not stop the others
        bugs.log("working for", "many waits", error)
    return True
