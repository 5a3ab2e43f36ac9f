"""Long loops over many things, in slices, so that the event loop gets its turns."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from prolific_async._logging import log as _log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_SLICE = 0.0025  # seconds of work after which the loop gets its turn; it is not alone in one
FEW = 32
"""Things that are worked on between two readings of the clock, and without slices."""

BUGS = (Exception, asyncio.CancelledError)
"""What a callback or policy of the caller's may raise by mistake; it must stop nothing else."""


class SlicedWork:
    """Runs loops over many things, in order: at once if there is time in this turn, else later.

    Anything may happen between two things of a loop: what the next one stands for may have ended.
    """

    def __init__(self, after: Callable[[], object]) -> None:
        """Store the function that is called after each slice."""
        self._after = after
        self._jobs: deque[tuple[Iterator[Any], Callable[[Any], object], Callable[[], object]]]
        self._jobs = deque()
        # As of the timer: work for many waits is not traced and logged as that of one of them.
        self._context = Context()

    def each(
        self,
        things: Iterable[T],
        act: Callable[[T], object],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Call a function with each thing, and another one at the end; log what they raise."""
        self._jobs.append((iter(things), act, then))
        if len(self._jobs) == 1:
            self._run_slice()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        return not self._jobs

    async def drained(self) -> None:
        """Return when nothing is left to do."""
        while self._jobs:  # noqa: ASYNC110 - each turn does a slice of it
            await asyncio.sleep(0)

    def _run_slice(self) -> None:
        until = time.perf_counter() + _SLICE
        try:
            while self._jobs:
                things, act, then = self._jobs[0]
                if not _is_done(things, act, until):
                    break
                try:
                    _guarded(then)
                finally:
                    self._jobs.popleft()
        finally:
            if self._jobs:
                asyncio.get_running_loop().call_soon(self._run_slice, context=self._context)
            self._after()


def _is_done(things: Iterator[T], act: Callable[[T], object], until: float) -> bool:
    """Call a function with things until all are done or the time is over."""
    for count, thing in enumerate(things, 1):
        try:
            act(thing)
        except BUGS as error:
            _log_bug(error)
        if count % FEW == 0 and time.perf_counter() > until:
            return False
    return True


def _guarded(then: Callable[[], object]) -> None:
    try:
        then()
    except BUGS as error:
        _log_bug(error)


def _log_bug(error: BaseException) -> None:
    _log.error("working for many waits is broken", exc_info=error)
