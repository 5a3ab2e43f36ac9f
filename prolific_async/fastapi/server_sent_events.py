"""Server-sent events of waits, sent by FastAPI's own support for them.

Standard: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from types import EllipsisType
from typing import Annotated, Any

from attrs import asdict, define, field
from fastapi import Depends, Header, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.sse import ServerSentEvent

from prolific_async.batches import Batches, BatchOrId
from prolific_async.errors import ConfigurationError, WaitError
from prolific_async.fastapi.dependencies import Client
from prolific_async.fastapi.problem_documents import log_problem, problem_of
from prolific_async.models import Batch, StatusEvent
from prolific_async.policies import PollPolicy

__all__ = ["WaitEvents"]

_END = "end"
_RETRY = (1000, 3000)
"""Milliseconds until a browser reconnects, random so that not all do at once after a restart."""


@define(eq=False)
class _UnsentEvents:
    """Events that a browser has not read yet: only the newest of each kind and batch.

    So a browser that reads slowly, or not at all, does not make them grow with time.
    """

    _events: OrderedDict[tuple[str, str], Any] = field(factory=OrderedDict, init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _is_complete: bool = field(default=False, init=False)

    def put(self, kind: str, batch_id: str, data: Any) -> None:
        """Add an event in place of the older one of its kind and batch."""
        self._events[kind, batch_id] = data
        self._changed.set()

    def complete(self) -> None:
        """Note that no further event will be put."""
        self._is_complete = True
        self._changed.set()

    async def get(self) -> ServerSentEvent | None:
        """Wait for the next event and return it, None after the last one."""
        while not self._events and not self._is_complete:
            self._changed.clear()
            await self._changed.wait()
        if not self._events:
            return None
        (kind, _), data = self._events.popitem(last=False)
        return ServerSentEvent(event=kind, data=data)


@define(eq=False)
class _WaitEvents:
    """Streams waits to one request, and cancels them when it ends."""

    _batches: Batches
    _connection: HTTPConnection
    _tasks: list[asyncio.Task[Any]] = field(factory=list, init=False)

    async def __call__(
        self,
        *batches: BatchOrId,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
    ) -> AsyncGenerator[ServerSentEvent]:
        """Wait for batches and yield their events, see ``prolific_async.fastapi``.

        Args:
            batches: The batches to wait for.
            timeout: Seconds for each wait, as in ``wait_until_ready``, from each connection on.
            poll: Gaps and graces, by default the client's.

        """
        yield ServerSentEvent(retry=random.randint(*_RETRY))  # noqa: S311 - no secret
        unsent = _UnsentEvents()
        outcomes = self._batches.as_ready(
            batches,
            timeout=timeout,
            poll=poll,
            on_event=lambda event: unsent.put("status", event.batch_id, self._status(event)),
        )
        collecting = asyncio.create_task(self._collect(outcomes, unsent))
        self._tasks.append(collecting)
        while (event := await unsent.get()) is not None:
            yield event
        counts = await collecting
        if not counts["restarting"]:  # else the browser reconnects, to the service's next process
            ended = {"ready": counts["ready"], "failed": counts["failed"]}
            yield ServerSentEvent(event=_END, id=_END, data=ended)

    async def cancel(self) -> None:
        """Cancel the waits that still go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _collect(
        self, outcomes: AsyncGenerator[Batch | WaitError], unsent: _UnsentEvents
    ) -> Counter[str]:
        """Put an event for each wait that fails, and return the number of each outcome."""
        counts: Counter[str] = Counter()
        try:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    if isinstance(outcome, Batch):
                        counts["ready"] += 1
                    elif isinstance(outcome.failure, ConfigurationError):
                        counts["restarting"] += 1
                    else:
                        counts["failed"] += 1
                        unsent.put("failed", outcome.batch_id, self._failure(outcome))
        finally:
            unsent.complete()
        return counts

    def _status(self, event: StatusEvent) -> dict[str, Any]:
        error = event.error and problem_of(event.error, self._connection).detail
        return asdict(event) | {"error": error}

    def _failure(self, error: WaitError) -> dict[str, Any]:
        problem = log_problem(error, self._connection)
        return {
            "batch_id": error.batch_id,
            "last_status": error.last_status,
            "polls": error.polls,
            "elapsed": error.elapsed,
            "code": problem.code,
            "detail": problem.detail,
        }


async def _wait_events(
    client: Client,
    connection: HTTPConnection,
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> AsyncGenerator[_WaitEvents]:
    if last_event_id == _END:
        raise HTTPException(HTTPStatus.NO_CONTENT)
    wait_events = _WaitEvents(client.batches, connection)
    try:
        yield wait_events
    finally:
        # Not in the generator: a generator that is not read to its end is closed only when it is
        # garbage-collected.
        await wait_events.cancel()


WaitEvents = Annotated[_WaitEvents, Depends(_wait_events)]
"""Yields server-sent events of waits, as a parameter of a route; see ``prolific_async.fastapi``."""
