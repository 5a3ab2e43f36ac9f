"""Server-sent events of waits, sent by FastAPI's own support for them.

Standard: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import logging
import random
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from http import HTTPStatus
from types import EllipsisType
from typing import Annotated, Any, cast
from uuid import UUID

from attrs import asdict, define, field
from attrs.filters import exclude
from fastapi import Depends, Header, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.sse import ServerSentEvent

from prolific_async.batches import Batches, BatchOrId
from prolific_async.errors import ConfigurationError, ProlificError, WaitError
from prolific_async.fastapi.dependencies import Client, get_server_stop
from prolific_async.fastapi.problem_documents import NO_SOURCE, log_problem, problem_of
from prolific_async.fastapi.server_stop import ServerStop
from prolific_async.models import Batch, StatusEvent
from prolific_async.policies import PollPolicy

__all__ = ["WaitEvents"]

_log = logging.getLogger("prolific_async")

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
    _server_stop: ServerStop
    _tasks: list[asyncio.Task[Any]] = field(factory=list, init=False)

    async def __call__(
        self,
        *batches: BatchOrId | Iterable[BatchOrId] | AsyncIterable[BatchOrId],
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
    ) -> AsyncGenerator[ServerSentEvent]:
        """Wait for batches and yield their events, see ``prolific_async.fastapi``.

        Args:
            batches: The batches to wait for, or one iterable of them, which may be async. An async
                generator is closed when the stream ends.
            timeout: Seconds for each wait, as in ``wait_until_ready``, from each connection on, or
                from when the async iterable gave the batch.
            poll: How often to poll and what to tolerate; by default the client's policy.

        """
        yield ServerSentEvent(retry=random.randint(*_RETRY))  # noqa: S311 - no secret
        unsent = _UnsentEvents()
        collecting = asyncio.create_task(
            self._collect(_one_iterable(batches), timeout, poll, unsent)
        )
        collecting.add_done_callback(lambda _: unsent.complete())
        self._tasks.append(collecting)
        with self._server_stop.call_on_stop(collecting.cancel):
            while (event := await unsent.get()) is not None:
                yield event
        if collecting.cancelled():
            return  # the server stops: the browser reconnects to its next process
        counts = collecting.result()
        if not counts["restarting"]:  # else the client was closed, as the server stops
            ended = {"ready": counts["ready"], "failed": counts["failed"]}
            yield ServerSentEvent(event=_END, id=_END, data=ended)

    async def cancel(self) -> None:
        """Cancel the waits that still go on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _collect(
        self,
        batches: Iterable[BatchOrId] | AsyncIterable[BatchOrId],
        timeout: float | EllipsisType | None,
        poll: PollPolicy | None,
        unsent: _UnsentEvents,
    ) -> Counter[str]:
        """Put an event for each poll and each failure; return the number of each outcome."""
        counts: Counter[str] = Counter()
        try:
            if isinstance(batches, AsyncIterable):
                batches = self._errors_as_events(batches, unsent)
            outcomes = self._batches.as_ready(
                batches,
                timeout=timeout,
                poll=poll,
                on_event=lambda event: unsent.put("status", event.id, self._status(event)),
            )
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    if isinstance(outcome, Batch):
                        counts["ready"] += 1
                    elif isinstance(outcome.failure, ConfigurationError):
                        counts["restarting"] += 1
                    else:
                        counts["failed"] += 1
                        unsent.put("failed", outcome.id, self._failure(outcome))
        except ConfigurationError as error:  # the client was closed before a wait could begin
            log_problem(error, self._connection)
            counts["restarting"] += 1
        finally:
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()
        return counts

    async def _errors_as_events(
        self, batches: AsyncIterable[BatchOrId], unsent: _UnsentEvents
    ) -> AsyncGenerator[BatchOrId]:
        """Yield batches; an error becomes an event, so that it ends no wait that has begun."""
        try:
            try:
                async for batch in batches:
                    yield batch
            finally:
                if isinstance(batches, AsyncGenerator):
                    await batches.aclose()
        except Exception as error:  # noqa: BLE001 - it is sent and logged
            if isinstance(error, ProlificError):
                problem = log_problem(error, self._connection)
            else:
                problem = NO_SOURCE
                _log.error("the batches of an event stream broke off: %s", error, exc_info=error)
            unsent.put("incomplete", "", {"code": problem.code, "detail": problem.detail})

    def _status(self, event: StatusEvent) -> dict[str, Any]:
        error = event.error and problem_of(event.error, self._connection).detail
        return asdict(event, filter=exclude("kind", "id")) | {"error": error}

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


def _one_iterable(
    batches: tuple[BatchOrId | Iterable[BatchOrId] | AsyncIterable[BatchOrId], ...],
) -> Iterable[BatchOrId] | AsyncIterable[BatchOrId]:
    match batches:
        case [Batch() | str() | UUID()]:
            pass
        case [Iterable() | AsyncIterable() as iterable]:
            return iterable
    return cast("tuple[BatchOrId, ...]", batches)


async def _wait_events(
    client: Client,
    connection: HTTPConnection,
    server_stop: Annotated[ServerStop, Depends(get_server_stop)],
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> AsyncGenerator[_WaitEvents]:
    if last_event_id == _END:
        raise HTTPException(HTTPStatus.NO_CONTENT)
    wait_events = _WaitEvents(client.batches, connection, server_stop)
    try:
        yield wait_events
    finally:
        # Not in the generator: a generator that is not read to its end is closed only when it is
        # garbage-collected.
        await wait_events.cancel()


WaitEvents = Annotated[_WaitEvents, Depends(_wait_events)]
"""Yields server-sent events of waits, as a parameter of a route; see ``prolific_async.fastapi``."""
