"""Long loops over many items, in slices, so that the event loop is not blocked."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from prolific_async._polling.bugs import CALLBACK_ERRORS, log_bug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_SLICE = 0.0025  # seconds of work after which the event loop runs other callbacks
CHUNK = 32
"""Items that are handled between two readings of the clock; so few are never sliced."""


_ItemLoop: TypeAlias = "tuple[Iterator[Any], Callable[[Any], object], Callable[[], object]]"


class SlicedWork:
    """Runs loops over many items, one loop after another, in slices of a few milliseconds.

    A loop begins at once if no other is unfinished. Other code runs between slices, and may end the
    wait or target that a later item stands for.

    Attributes:
        loops: Loops that are not finished: the items left, ``act`` and ``then`` of ``each``.

    """

    def __init__(self, after: Callable[[], object]) -> None:
        """Store the function that is called after each slice."""
        self.loops: deque[_ItemLoop] = deque()
        self._after = after
        # Empty: work for many waits must not be traced and logged as the work of one caller.
        self._context = Context()

    def each(
        self,
        items: Iterable[T],
        act: Callable[[T], object],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Call ``act`` with each item, then ``then`` without arguments; log the errors of both."""
        self.loops.append((iter(items), act, then))
        if len(self.loops) == 1:
            self._run_slice()

    async def drained(self) -> None:
        """Return when all loops are finished."""
        while self.loops:  # noqa: ASYNC110 - a slice runs in each iteration of the event loop
            await asyncio.sleep(0)

    def _run_slice(self) -> None:
        until = time.perf_counter() + _SLICE
        try:
            while self.loops:
                items, act, then = self.loops[0]
                if not _is_done(items, act, until):
                    return
                try:
                    then()
                except CALLBACK_ERRORS as error:
                    log_bug(error)
                finally:
                    self.loops.popleft()
        finally:
            if self.loops:
                asyncio.get_running_loop().call_soon(self._run_slice, context=self._context)
            self._after()


def _is_done(items: Iterator[T], act: Callable[[T], object], until: float) -> bool:
    """Call ``act`` with items until the slice is over; return whether none is left."""
    try:
        for count, item in enumerate(items, 1):
            try:
                act(item)
            except CALLBACK_ERRORS as error:
                log_bug(error)
            if count % CHUNK == 0 and time.perf_counter() > until:
                return False
    except CALLBACK_ERRORS as error:  # raised by the iterator
        log_bug(error)
    return True
