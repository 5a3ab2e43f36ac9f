"""Makes the looks that waits ask for, each wait in its caller's task and at its own batch."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from prolific_async.errors import ProlificError
    from prolific_async.waiting import Look, StatusEvent, Wait

_log = logging.getLogger("prolific_async")


class Poller:
    """Drives waits by an injected look function, on the clock of the running loop."""

    def __init__(self, look: Callable[[str, bool], Awaitable[Look]]) -> None:
        """Take the look function: given a batch's id and whether all of it must be read."""
        self._look = look
        self._steps: set[asyncio.Timeout] = set()
        self._closed_by: ProlificError | None = None

    def close(self, reason: ProlificError) -> None:
        """End every wait, those to come included, with WaitFailedError from ``reason``."""
        self._closed_by = reason
        for step in self._steps:
            if not step.expired():
                step.reschedule(asyncio.get_running_loop().time())

    async def run(self, wait: Wait, on_event: Callable[[StatusEvent], object] | None) -> Batch:
        """Return the READY batch, or raise the WaitError that the wait ends with."""
        while wait.outcome is None:
            for event in await self._step(wait):
                if on_event is not None:
                    _tell(on_event, event)
        return _result(wait)

    async def watch(self, wait: Wait) -> AsyncGenerator[StatusEvent]:
        """Yield each event, the terminal one last; raise as ``run`` would."""
        while wait.outcome is None:
            for event in await self._step(wait):
                yield event
        _result(wait)

    async def _step(self, wait: Wait) -> list[StatusEvent]:
        """Sleep until the next look is due and make it, or end the wait at its deadline."""
        loop = asyncio.get_running_loop()
        looking = False
        try:
            async with asyncio.timeout_at(wait.deadline) as step:
                self._steps.add(step)
                try:
                    if self._closed_by is None:
                        await _sleep_until(wait.due)
                    if self._closed_by is None:
                        looking = True
                        look = await self._look(wait.batch_id, wait.wants_batch)
                        return wait.observe(look, loop.time())
                finally:
                    self._steps.discard(step)
        except TimeoutError:
            if not step.expired():
                raise
        if self._closed_by is None:
            return wait.expire(loop.time(), looking=looking)
        wait.fail(self._closed_by, loop.time())
        return []


async def _sleep_until(when: float | None) -> None:
    """Sleep until a time of the loop's clock, or until cancelled."""
    loop = asyncio.get_running_loop()
    if when is None:
        await loop.create_future()
    elif when > loop.time():
        await asyncio.sleep(when - loop.time())


def _tell(on_event: Callable[[StatusEvent], object], event: StatusEvent) -> None:
    try:
        on_event(event)
    except Exception:  # noqa: BLE001 - whatever it is, the wait is not its place
        _log.exception("on_event raised for batch %s; the wait goes on", event.batch_id)


def _result(wait: Wait) -> Batch:
    if isinstance(wait.outcome, Batch):
        return wait.outcome
    assert wait.outcome is not None  # noqa: S101 - for the type checker
    raise wait.outcome
