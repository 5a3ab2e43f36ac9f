"""Many waits at once, on one engine for each event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from prolific_async._waiting.look import is_older
from prolific_async._waiting.wait import Wait
from prolific_async._waiting.work import FEW
from prolific_async._wire.turns import Turns
from prolific_async.models import StatusEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from contextvars import Context

    from prolific_async._waiting.engine import Engine
    from prolific_async._waiting.looks import Looks
    from prolific_async.errors import ConfigurationError, WaitError
    from prolific_async.models import Batch

_STREAMED_AT_A_TIME = 100  # waits of a stream that are started before the loop gets its turn
_STREAMED = 10_000  # waits of a stream that go on, or are over and not yet asked for, at most


class ObservedWait(Wait):
    """A wait that tells an observer each look and then its outcome, None if it was left."""

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

    def __init__(self, looks: Looks, few: float, at_once: int) -> None:
        # Makes the observer of a batch's wait, in the context of the call that is to wait.
        self.observe: Callable[[str], Callable[[Any], object]] | None = None
        self._looks = looks
        self._few = few
        self._at_once = at_once
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, wait: Wait) -> Batch:
        """Return the READY batch of a wait, or raise its error."""
        engine = self._here()
        try:
            await self._start(engine, wait)
        finally:
            if not wait.is_over:
                await _leave(engine, [wait])
        return wait.result()

    async def watch(
        self, wait: Wait, events: asyncio.Queue[StatusEvent | None]
    ) -> AsyncGenerator[StatusEvent]:
        """Yield the events that a wait puts into the queue, and raise its error at the end."""
        engine = self._here()
        try:
            self._start(engine, wait).add_done_callback(lambda _: events.put_nowait(None))
            while (event := await events.get()) is not None:
                yield event
        finally:
            await _leave(engine, [wait])
        wait.result()

    async def ended(self, waits: Iterable[Wait]) -> AsyncGenerator[Wait]:
        """Start waits, and yield each when it is over."""
        engine = self._here()
        ended: asyncio.Queue[Wait] = asyncio.Queue()
        going = dict.fromkeys(waits)
        try:
            turns = Turns()
            for wait in going:
                self._start(engine, wait).add_done_callback(partial(_put, ended, wait))
                await turns.give()  # the loop must not starve of a crowd
            while going:
                wait = await ended.get()
                del going[wait]
                yield wait
        finally:
            await _leave(engine, going)

    async def ended_of_stream(
        self, waits: AsyncGenerator[Wait], context: Context
    ) -> AsyncGenerator[Wait]:
        """Start the waits of a stream, read in a context, and yield each when it is over.

        The stream is read ahead of its consumer by a bounded number of waits only.
        """
        engine = self._here()
        ended: asyncio.Queue[Wait | None] = asyncio.Queue()
        going: dict[Wait, None] = {}
        room = asyncio.Semaphore(_STREAMED)

        async def feed() -> None:
            try:
                async with aclosing(waits):
                    async for wait in waits:
                        await room.acquire()
                        going[wait] = None
                        self._start(engine, wait).add_done_callback(partial(_put, ended, wait))
                        # The stream may never wait for anything; the loop must not starve of it.
                        # At each one, they would all be looked at singly, as they come singly.
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
                await _leave(engine, going)

    def look_now(self, batch_id: str) -> None:
        """Make the next look at a batch due now."""
        if self._engine is not None:
            self._here().look_now(batch_id)

    async def close(self, reason: ConfigurationError) -> None:
        """End every wait."""
        if self._engine is not None:
            engine = self._here()
            engine.close(reason)
            await engine.drained()
            await engine.settled()

    def _start(self, engine: Engine, wait: Wait) -> asyncio.Future[None]:
        # Not before: of a crowd that has not begun to wait, most would be forgotten again.
        if wait.workspace_id is not None:
            self._looks.learn(wait.key, wait.workspace_id)
        done = engine.start(wait)
        if isinstance(wait, ObservedWait):
            done.add_done_callback(wait.end)
        return done

    def _here(self) -> Engine:
        """Return the engine of this loop; of one whose loop has ended nothing can be awaited."""
        loop = asyncio.get_running_loop()
        if self._engine is None or self._loop is not loop:
            # With the first wait: what never waits need not import it.
            from prolific_async._waiting.engine import Engine  # noqa: PLC0415

            looks = self._looks
            self._engine = Engine(
                looks.at,
                looks.at_all,
                looks.workspaces.of,
                few=self._few,
                at_once=self._at_once,
                forget=looks.forget,
                lost=looks.lost,
                is_older=is_older,
            )
            looks.workspaces.is_needed = self._engine.lacks_group
            self._loop = loop
        return self._engine


async def _leave(engine: Engine, waits: Iterable[Wait]) -> None:
    leaving = list(waits)
    if len(leaving) <= FEW:
        for wait in leaving:
            _leave_one(engine, wait)
    else:
        engine.for_each(leaving, partial(_leave_one, engine))
        await engine.drained()
    await engine.settled()


def _leave_one(engine: Engine, wait: Wait) -> None:
    engine.leave(wait)
    if isinstance(wait, ObservedWait):
        wait.end()


def _put(ended: asyncio.Queue[Any], wait: Wait, _: object) -> None:
    ended.put_nowait(wait)
