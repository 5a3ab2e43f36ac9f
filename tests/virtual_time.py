"""Event loops whose clocks do not depend on the speed of the machine.

Most jump to the next timer as soon as there is nothing else to do; ``SteadyLoop`` waits for it.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_SILENCE = 0.002  # real seconds without a byte after which loopback is taken as idle
_TURN = 0.001  # seconds that a turn of the loop counts for at most
_STUCK = 10_000  # idle periods after which a missing response is a bug of the test


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for code without I/O. It raises when it would wait for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.unhandled: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what a callback raises; a test that expects it sets a handler of its own."""
        super().default_exception_handler(context)
        self.unhandled.append(context)

    def jump(self, when: float) -> None:
        """Move the clock forward."""
        self.now = when

    def is_idle(self) -> bool:
        """Return whether only a timer can make anything happen."""
        return True

    def is_alone(self) -> bool:
        """Return whether neither a thread nor anything outside can wake the loop."""
        inside: Any = self
        return inside._default_executor is None

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for threads without a limit, as Python 3.12's limit would be over at once."""
        await super().shutdown_default_executor()

    def _run_once(self) -> None:
        inside: Any = self
        while inside._scheduled and inside._scheduled[0]._cancelled:
            inside._timer_cancelled_count -= 1
            heapq.heappop(inside._scheduled)._scheduled = False
        if not (inside._ready or inside._scheduled or inside._stopping) and self.is_alone():
            raise RuntimeError("nothing is left that could happen, and the test is not over")
        if not inside._ready and inside._scheduled:
            when = inside._scheduled[0].when()
            if when > self.time() and self.is_idle():
                self.jump(when)
        base: Any = super()
        base._run_once()


class LoopbackLoop(VirtualLoop):
    """A loop for code that runs both ends of a loopback connection and does no other I/O.

    Its clock stands still while bytes are on their way, however slow the machine is, and jumps
    only when none come any more and ``may_jump`` says that no answer is outstanding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.may_jump: Callable[[], bool] = lambda: True

    def is_alone(self) -> bool:
        return False

    def is_idle(self) -> bool:
        inside: Any = self
        for _ in range(_STUCK):
            if inside._selector.select(_SILENCE):  # the loop's own turn gets the same events
                return False
            if self.may_jump():
                return True
        raise RuntimeError("an answer is outstanding, and nothing happens any more")


class SteadyLoop(asyncio.SelectorEventLoop):
    """A loop for any code, whose clock does not count the time that the machine takes.

    It runs while the loop waits in vain. A turn in which something happens counts for a millisecond
    at most, however long others have had the processor: so no answer that is on its way comes too
    late, and no timer overtakes it.
    """

    def __init__(self) -> None:
        super().__init__()
        inside: Any = self
        self._now = self._turned = time.monotonic()
        self._select: Callable[[float | None], list[Any]] = inside._selector.select
        inside._selector.select = self._wait

    def time(self) -> float:
        return self._now + min(time.monotonic() - self._turned, _TURN)

    def _wait(self, seconds: float | None = None) -> list[Any]:
        began = self.time()
        events = self._select(seconds)
        self._now = self.time() if events or not seconds else began + seconds
        self._turned = time.monotonic()
        return events


class SleepingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved forward, as if the machine slept or the loop was blocked."""

    slept = 0.0

    def time(self) -> float:
        return super().time() + self.slept


def run(main: Coroutine[Any, Any, T], loop: type[VirtualLoop] = VirtualLoop) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=loop) as runner:
        result = runner.run(main)
        used = runner.get_loop()
        assert isinstance(used, VirtualLoop)
        assert not used.unhandled, used.unhandled
        return result
