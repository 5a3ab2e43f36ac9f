"""Runs the waits of a client, alone or many at once, on one poller for each event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._polling.sliced_work import CHUNK
from prolific_async._time_slices import TimeSlices

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from contextvars import Context

    from prolific_async._polling.kinds import Key
    from prolific_async._polling.poller import Poller
    from prolific_async._polling.wait import Wait
    from prolific_async._polling.wait_listeners import Observer
    from prolific_async.errors import ConfigurationError

_STREAMED_AT_A_TIME = 100  # waits of a stream that are started before the event loop runs
_STREAMED = 10_000  # waits of a stream that are going on, or over but not yet yielded, at most


class WaitRunner:
    """Starts waits, and returns or yields them when they are over.

    Attributes:
        observers: Called with the batch's id when a wait for a batch starts, see
            ``Batches.add_wait_observer``.
        job_observers: Called with the ``TargetKey`` when a wait for a dataset or job starts.

    """

    def __init__(self, new_poller: Callable[[], Poller]) -> None:
        """Store the function that makes a poller; the first wait in an event loop calls it."""
        self.observers: tuple[Observer, ...] = ()
        self.job_observers: tuple[Observer, ...] = ()
        self._new_poller = new_poller
        self._poller: Poller | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, wait: Wait) -> asyncio.Future[None]:
        """Start a wait, and return a future that is done when the wait has its outcome."""
        poller, listeners = self._current_poller(), wait.listeners
        if listeners is None:
            return poller.start(wait)
        listeners.begin()
        over = poller.start(wait)
        over.add_done_callback(lambda _: listeners.end(wait.outcome))
        return over

    async def leave(self, wait: Wait, over: asyncio.Future[None]) -> None:
        """Give up a wait; return when its poll has ended. ``over`` is the future of ``start``."""
        poller = self._poller if over.get_loop() is self._loop else None  # its loop has ended
        await _leave(poller, [wait])

    async def ended(self, waits: Iterable[Wait]) -> AsyncGenerator[Wait]:
        """Start waits, and yield each when it is over."""
        poller = self._current_poller()
        ended: asyncio.Queue[Wait] = asyncio.Queue()
        going = dict.fromkeys(waits)
        try:
            slices = TimeSlices()
            for number, wait in enumerate(going, 1):
                self.start(wait).add_done_callback(partial(_put, ended, wait))
                # Never let a few start alone, not even the last: they would be polled singly.
                if number % CHUNK == 0 and len(going) - number >= CHUNK:
                    await slices.yield_if_due()
            while going:
                wait = await ended.get()
                del going[wait]
                yield wait
        finally:
            await _leave(poller, going)

    async def ended_of_stream(
        self, waits: AsyncGenerator[Wait], context: Context
    ) -> AsyncGenerator[Wait]:
        """Start the waits of a stream, and yield each when it is over.

        At most 10,000 waits are read from the stream and not yet yielded; ``context`` is the
        context in which the stream is read.
        """
        poller = self._current_poller()
        ended: asyncio.Queue[Wait | None] = asyncio.Queue()
        going: dict[Wait, None] = {}
        room = asyncio.Semaphore(_STREAMED)

        async def feed() -> None:
            try:
                async with aclosing(waits):
                    async for wait in waits:
                        await room.acquire()
                        going[wait] = None
                        self.start(wait).add_done_callback(partial(_put, ended, wait))
                        # A stream that never suspends must not block the loop. Not after each
                        # wait, though: waits that start one by one are polled singly.
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

    def poll_now(self, key: Key) -> None:
        """Make the next poll of a target due now."""
        if self._poller is not None:
            self._current_poller().poll_now(key)

    async def close(self, reason: ConfigurationError) -> None:
        """End every wait with a WaitFailedError; return when all polls have ended."""
        if self._poller is not None:
            poller = self._current_poller()
            poller.close(reason)
            try:
                await poller.until_idle()
            finally:
                self._poller = None  # a later wait needs a new one, which a closed client refuses

    def _current_poller(self) -> Poller:
        """Return the poller of the running event loop; make one if there is none."""
        loop = asyncio.get_running_loop()
        if self._poller is None or self._loop is not loop:
            self._poller = self._new_poller()
            self._loop = loop
        return self._poller


async def _leave(poller: Poller | None, waits: Iterable[Wait]) -> None:
    """Give up waits; return when the polls that only they needed have ended."""
    leaving = list(waits)
    try:
        if poller is not None:
            await poller.leave_all(leaving)
    finally:  # also when cancelled again
        for wait in leaving:
            if wait.listeners is not None:
                wait.listeners.end(wait.outcome)


def _put(ended: asyncio.Queue[Any], wait: Wait, _: object) -> None:
    ended.put_nowait(wait)
