"""Long loops over many items, in slices, so that the event loop is not blocked."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from prolific_async._polling.bugs import BUGS, log_bug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_SLICE = 0.0025  # seconds of work after which the loop gets its turn; it is not alone in one
FEW = 32
"""Things that are worked on between two readings of the clock, and without slices."""


Job: TypeAlias = "tuple[Iterator[Any], Callable[[Any], object], Callable[[], object]]"


class SlicedWork:
    """Runs loops over many items, in order: at once while there is time in this slice, else later.

    Anything may happen between two things of a loop: what the next one stands for may have ended.

    Attributes:
        jobs: What is left to do.

    """

    def __init__(self, after: Callable[[], object]) -> None:
        """Store the function that is called after each slice."""
        self.jobs: deque[Job] = deque()
        self._after = after
        # As of the timer: work for many waits is not traced and logged as that of one of them.
        self._context = Context()

    def each(
        self,
        things: Iterable[T],
        act: Callable[[T], object],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Call a function with each item, and another one at the end; log the errors of both."""
        self.jobs.append((iter(things), act, then))
        if len(self.jobs) == 1:
            self._run_slice()

    async def drained(self) -> None:
        """Return when nothing is left to do."""
        while self.jobs:  # noqa: ASYNC110 - each turn does a slice of it
            await asyncio.sleep(0)

    def _run_slice(self) -> None:
        until = time.perf_counter() + _SLICE
        try:
            while self.jobs:
                things, act, then = self.jobs[0]
                if not _is_done(things, act, until):
                    return
                try:
                    then()
                except BUGS as error:
                    log_bug(error)
                finally:
                    self.jobs.popleft()
        finally:
            if self.jobs:
                asyncio.get_running_loop().call_soon(self._run_slice, context=self._context)
            self._after()


def _is_done(things: Iterator[T], act: Callable[[T], object], until: float) -> bool:
    """Call a function with each item until all are done or the time is over."""
    try:
        for count, thing in enumerate(things, 1):
            try:
                act(thing)
            except BUGS as error:
                log_bug(error)
            if count % FEW == 0 and time.perf_counter() > until:
                return False
    except BUGS as error:  # of what yields the things
        log_bug(error)
    return True
