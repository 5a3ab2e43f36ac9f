"""Waits as server-sent events, by FastAPI's own support for these.

https://html.spec.whatwg.org/multipage/server-sent-events.html is what browsers keep to.
"""

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from types import EllipsisType
from typing import Annotated, Any

import attrs
from fastapi import Depends, Header, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.sse import ServerSentEvent

from prolific_async.batches import BatchOrId
from prolific_async.client import ProlificClient
from prolific_async.errors import ConfigurationError, WaitError
from prolific_async.fastapi.client import Client
from prolific_async.fastapi.problems import problem_of, told
from prolific_async.models import Batch, StatusEvent
from prolific_async.policies import PollPolicy

__all__ = ["WaitEvents"]

_END = "end"
_RETRY = (1000, 3000)
"""Milliseconds until a browser connects again: not the same for all, when a service restarts."""


class _Untold:
    """What a browser has not been told yet: the newest of each kind and batch, and nothing older.

    So what waits for a browser that reads slowly, or not at all, does not grow with time.
    """

    def __init__(self) -> None:
        self._untold: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._news = asyncio.Event()
        self._is_all = False

    def put(self, kind: str, batch_id: str, data: Any) -> None:
        self._untold[kind, batch_id] = data
        self._news.set()

    def end(self) -> None:
        self._is_all = True
        self._news.set()

    async def get(self) -> ServerSentEvent | None:
        """Wait for the next event and return it, None when all was told."""
        while not self._untold and not self._is_all:
            self._news.clear()
            await self._news.wait()
        if not self._untold:
            return None
        (kind, _), data = self._untold.popitem(last=False)
        return ServerSentEvent(event=kind, data=data)


class _WaitEvents:
    """Streams waits to one request, and ends them with it."""

    def __init__(self, client: ProlificClient, connection: HTTPConnection) -> None:
        self._batches = client.batches
        self._connection = connection
        self._going: list[asyncio.Task[Any]] = []

    async def __call__(
        self,
        *batches: BatchOrId,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
    ) -> AsyncGenerator[ServerSentEvent]:
        """Wait for batches and yield what becomes of them; see the package for the events.

        Args:
            batches: The batches to wait for.
            timeout: Seconds for each wait, as in ``wait_until_ready``, from each connection on.
            poll: Gaps and graces, by default the client's.

        """
        yield ServerSentEvent(retry=random.randint(*_RETRY))  # noqa: S311 - no secret
        untold = _Untold()
        outcomes = self._batches.as_ready(
            batches,
            timeout=timeout,
            poll=poll,
            on_event=lambda poll: untold.put("status", poll.batch_id, self._poll(poll)),
        )
        following = asyncio.create_task(self._follow(outcomes, untold))
        self._going.append(following)
        while (event := await untold.get()) is not None:
            yield event
        ends = await following
        if not ends["restarting"]:  # else what a browser connects to next goes on with the waits
            counts = {"ready": ends["ready"], "failed": ends["failed"]}
            yield ServerSentEvent(event=_END, id=_END, data=counts)

    async def _follow(
        self, outcomes: AsyncGenerator[Batch | WaitError], untold: _Untold
    ) -> Counter[str]:
        """Tell of each wait that fails, and count the ends of all."""
        ends: Counter[str] = Counter()
        try:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    if isinstance(outcome, Batch):
                        ends["ready"] += 1
                    elif isinstance(outcome.failure, ConfigurationError):
                        ends["restarting"] += 1
                    else:
                        ends["failed"] += 1
                        untold.put("failed", outcome.batch_id, self._failure(outcome))
        finally:
            untold.end()
        return ends

    def _poll(self, poll: StatusEvent) -> dict[str, Any]:
        error = poll.error and problem_of(poll.error, self._connection).detail
        return attrs.asdict(poll) | {"error": error}

    def _failure(self, error: WaitError) -> dict[str, Any]:
        problem = told(error, self._connection)
        return {
            "batch_id": error.batch_id,
            "last_status": error.last_status,
            "polls": error.polls,
            "elapsed": error.elapsed,
            "code": problem.code,
            "detail": problem.detail,
        }

    async def stop(self) -> None:
        """End the waits that still go on."""
        for wait in self._going:
            wait.cancel()
        if self._going:
            await asyncio.wait(self._going)


async def _wait_events(
    client: Client,
    connection: HTTPConnection,
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> AsyncGenerator[_WaitEvents]:
    if last_event_id == _END:
        raise HTTPException(HTTPStatus.NO_CONTENT)
    wait_events = _WaitEvents(client, connection)
    try:
        yield wait_events
    finally:
        # Here and not in the generator, which is told of its end only when it is collected.
        await wait_events.stop()


WaitEvents = Annotated[_WaitEvents, Depends(_wait_events)]
"""Turns waits into server-sent events, as a parameter of a route that yields them.

The package's text says what they are.
"""
