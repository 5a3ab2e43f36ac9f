"""Many waits at once, on one poller for each event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._json.slices import TimeSlices
from prolific_async._polling.poll_result import is_older
from prolific_async._polling.sliced_work import FEW
from prolific_async._polling.wait import Wait
from prolific_async.models import StatusEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from contextvars import Context

    from prolific_async._polling.poller import Poller
    from prolific_async._polling.status_source import StatusSource
    from prolific_async.errors import ConfigurationError, WaitError
    from prolific_async.models import Batch

_STREAMED_AT_A_TIME = 100  # waits of a stream that are started before the loop gets its turn
_STREAMED = 10_000  # waits of a stream that go on, or are over and not yet asked for, at most


class ObservedWait(Wait):
    """A wait that tells an observer each poll and then its outcome, None if it was left."""

    __slots__ = ("_observer",)

    def __init__(self, observer: Callable[[Any], object], key: str, **rules: Any) -> None:
        super().__init__(key, **rules)
        self._observer: Callable[[Any], object] | None = observer

    def end(self, _: object = None) -> None:
        """Tell the outcome, once."""
        self._observe(self.outcome)
        self._observer = None

    def _call(self, event: Any) -> None:
        self._observe(StatusEvent(self.key, *event))
        super()._call(event)

    def _observe(self, news: StatusEvent | Batch | WaitError | None) -> None:
        if self._observer is not None:
            self._inform("an observer", self._observer, news)


class Waits:
    """Starts waits, and tells of their ends."""

    def __init__(self, polls: StatusSource, few: float, at_once: int) -> None:
        # Makes the observer of a batch's wait, in the context of the call that is to wait.
        self.observe: Callable[[str], Callable[[Any], object]] | None = None
        self._polls = polls
        self._few = few
        self._at_once = at_once
        self._poller: Poller | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, wait: Wait) -> Batch:
        """Return the READY batch of a wait, or raise its error."""
        poller = self._here()
        try:
            await self._start(poller, wait)
        finally:
            if not wait.is_over:
                await _leave(poller, [wait])
        return wait.result()

    async def watch(
        self, wait: Wait, events: asyncio.Queue[StatusEvent | None]
    ) -> AsyncGenerator[StatusEvent]:
        """Yield the events that a wait puts into the queue, and raise its error at the end."""
        poller = self._here()
        try:
            self._start(poller, wait).add_done_callback(lambda _: events.put_nowait(None))
            while (event := await events.get()) is not None:
                yield event
        finally:
            await _leave(poller, [wait])
        wait.result()

    async def ended(self, waits: Iterable[Wait]) -> AsyncGenerator[Wait]:
        """Start waits, and yield each when it is over."""
        poller = self._here()
        ended: asyncio.Queue[Wait] = asyncio.Queue()
        going = dict.fromkeys(waits)
        try:
            slices = TimeSlices()
            for wait in going:
                self._start(poller, wait).add_done_callback(partial(_put, ended, wait))
                await slices.yield_if_due()  # the loop must not starve of a crowd
            while going:
                wait = await ended.get()
                del going[wait]
                yield wait
        finally:
            await _leave(poller, going)

    async def ended_of_stream(
        self, waits: AsyncGenerator[Wait], context: Context
    ) -> AsyncGenerator[Wait]:
        """Start the waits of a stream, read in a context, and yield each when it is over.

        The stream is read ahead of its consumer by a bounded number of waits only.
        """
        poller = self._here()
        ended: asyncio.Queue[Wait | None] = asyncio.Queue()
        going: dict[Wait, None] = {}
        room = asyncio.Semaphore(_STREAMED)

        async def feed() -> None:
            try:
                async with aclosing(waits):
                    async for wait in waits:
                        await room.acquire()
                        going[wait] = None
                        self._start(poller, wait).add_done_callback(partial(_put, ended, wait))
                        # The stream may never wait for anything; the loop must not starve of it.
                        # At each one, they would all be polled singly, as they come singly.
                        if len(going) % _STREAMED_AT_A_TIME == 0:
                            await asyncio.sleep(0)
            finally:
                ended.put_nowait(None)

        feeding = asyncio.create_task(feed(), context=context)
        try:
            fed = False
            while going or not fed:
                over = await ended.get()
                if over is None:
                    fed = True
                    await feeding
                else:
                    del going[over]
                    yield over
                    room.release()
        finally:
            feeding.cancel()
            try:
                await asyncio.wait([feeding])
            finally:  # also when cancelled again
                await _leave(poller, going)

    def poll_now(self, batch_id: str) -> None:
        """Make the next poll of a batch due now."""
        if self._poller is not None:
            self._here().poll_now(batch_id)

    async def close(self, reason: ConfigurationError) -> None:
        """End every wait."""
        if self._poller is not None:
            poller = self._here()
            poller.close(reason)
            await poller.drained()
            await poller.settled()

    def _start(self, poller: Poller, wait: Wait) -> asyncio.Future[None]:
        # Not before: of a crowd that has not begun to wait, most would be forgotten again.
        if wait.workspace_id is not None:
            self._polls.learn(wait.key, wait.workspace_id)
        done = poller.start(wait)
        if isinstance(wait, ObservedWait):
            done.add_done_callback(wait.end)
        return done

    def _here(self) -> Poller:
        """Return the poller of this loop; of one whose loop has ended nothing can be awaited."""
        loop = asyncio.get_running_loop()
        if self._poller is None or self._loop is not loop:
            # With the first wait: what never waits need not import it.
            from prolific_async._polling.poller import Poller  # noqa: PLC0415

            polls = self._polls
            self._poller = Poller(
                polls.at,
                polls.at_all,
                polls.workspaces.of,
                few=self._few,
                at_once=self._at_once,
                forget=polls.forget,
                lost=polls.lost,
                is_older=is_older,
            )
            polls.workspaces.is_needed = self._poller.lacks_group
            self._loop = loop
        return self._poller


async def _leave(poller: Poller, waits: Iterable[Wait]) -> None:
    leaving = list(waits)
    if len(leaving) <= FEW:
        for wait in leaving:
            _leave_one(poller, wait)
    else:
        poller.for_each(leaving, partial(_leave_one, poller))
        await poller.drained()
    await poller.settled()


def _leave_one(poller: Poller, wait: Wait) -> None:
    poller.leave(wait)
    if isinstance(wait, ObservedWait):
        wait.end()


def _put(ended: asyncio.Queue[Any], wait: Wait, _: object) -> None:
    ended.put_nowait(wait)
