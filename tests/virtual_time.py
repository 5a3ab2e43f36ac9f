"""An event loop whose clock jumps to the next timer as soon as there is nothing else to do."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for code that does no I/O."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        inside: Any = self
        while inside._scheduled and inside._scheduled[0]._cancelled:
            inside._timer_cancelled_count -= 1
            heapq.heappop(inside._scheduled)._scheduled = False
        if not inside._ready and inside._scheduled:
            self.now = max(self.now, inside._scheduled[0].when())
        inside.__class__.__mro__[1]._run_once(self)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
