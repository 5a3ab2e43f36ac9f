"""Many waits at once, on one poller for each event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from contextvars import copy_context
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
    from prolific_async.errors import ConfigurationError

_STREAMED_AT_A_TIME = 100  # waits of a stream that are started before the loop gets its turn
_STREAMED = 10_000  # waits of a stream that go on, or are over and not yet asked for, at most


class ObservedWait(Wait):
    """A wait that reports its start, each poll and its outcome to observers, see ``Batches``."""

    __slots__ = ("_context", "_listeners", "_observers")

    def __init__(
        self,
        observers: tuple[Callable[[str], Callable[[Any], object] | None], ...],
        key: str,
        **rules: Any,
    ) -> None:
        super().__init__(key, **rules)
        self._context = copy_context()
        self._observers = observers
        self._listeners: list[Callable[[Any], object]] = []

    def begin(self) -> None:
        """Report the start, and keep the listeners that the observers return."""
        for observer in self._observers:
            self._report(self._add_listener, observer)

    def end(self, _: object = None) -> None:
        """Report the outcome, once: None if the wait was cancelled."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._report(listener, self.outcome)

    def _call(self, event: Any) -> None:
        for listener in self._listeners:
            self._report(listener, StatusEvent(self.key, *event))
        super()._call(event)

    def _add_listener(self, observer: Callable[[str], Callable[[Any], object] | None]) -> None:
        if (listener := observer(self.key)) is not None:
            self._listeners.append(listener)

    def _report(self, function: Callable[[Any], object], news: Any) -> None:
        self._inform("a wait observer", lambda one: self._context.run(function, one), news)


class Waits:
    """Starts waits, and tells of their ends."""

    def __init__(self, polls: StatusSource, few: float, at_once: int) -> None:
        self.observers: tuple[Callable[[str], Callable[[Any], object] | None], ...] = ()
        self._polls = polls
        self._few = few
        self._at_once = at_once
        self._poller: Poller | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, wait: Wait) -> None:
        """Return when a wait has its outcome."""
        poller = self._here()
        try:
            await self._start(poller, wait)
        finally:
            if not wait.is_over:
                await _leave(poller, [wait])

    async def watch(
        self, wait: Wait, events: asyncio.Queue[StatusEvent | None]
    ) -> AsyncGenerator[StatusEvent]:
        """Yield the events that a wait puts into the queue, until it has its outcome."""
        poller = self._here()
        try:
            self._start(poller, wait).add_done_callback(lambda _: events.put_nowait(None))
            while (event := await events.get()) is not None:
                yield event
        finally:
            await _leave(poller, [wait])

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
        if not isinstance(wait, ObservedWait):
            return poller.start(wait)
        wait.begin()
        done = poller.start(wait)
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
