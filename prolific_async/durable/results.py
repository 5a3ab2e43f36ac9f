"""``Results``: awaits results and events of orders, with few database queries for all of them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from prolific_async.durable.database import DatabaseUnavailableError
from prolific_async.durable.order_status import (
    ENDED,
    OrderNotFoundError,
    OrderStatus,
    outcome_of,
    read_status,
    read_statuses,
    spec_of,
)
from prolific_async.errors import WaitTimeoutError
from prolific_async.extensions import log as _log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from dbos import DBOSClient, WorkflowStatus

    from prolific_async.durable.database import Database
    from prolific_async.durable.order_spec import OrderSpec

    Ended: TypeAlias = asyncio.Future[WorkflowStatus]
    Changed: TypeAlias = asyncio.Future[OrderStatus]

T = TypeVar("T")

IDS_PER_STATEMENT = 1000
"""Ids of workflows in one statement: SQLite allows at most 32,766 parameters."""

_NO_WORKER = "no worker has recorded the order's outcome: make sure that one runs, then ask again"


class Results:
    """Awaits the outcomes and the changes of orders.

    Args:
        database: The database of the orders.
        poll_every: Seconds between queries.
        margin: Seconds after the end of an order's time in which its worker must record an outcome,
            an outage of the database included.

    """

    def __init__(self, database: Database, poll_every: float, *, margin: float = 60.0) -> None:
        self._database = database
        self._poll_every = poll_every
        self._margin = margin
        self._awaited: defaultdict[str, set[Ended]] = defaultdict(set)
        self._watched: dict[Changed, OrderStatus] = {}  # with the status that the caller knows
        self._poll_now = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._outage: DatabaseUnavailableError | None = None

    async def get(self, workflow_id: str) -> Any:
        """Return or raise the outcome of a workflow once it has ended."""
        spec = await self._database.call(partial(_spec, workflow_id=workflow_id))
        return outcome_of(await self._in_time(spec, self._end_of(workflow_id)))

    async def status(self, workflow_id: str) -> OrderStatus:
        """Return the status of an order."""
        return await self._database.call(partial(read_status, workflow_id=workflow_id))

    async def changes(self, workflow_id: str) -> AsyncGenerator[OrderStatus]:
        """Yield the status of an order, now and after each change, until the order has ended."""
        spec = await self._database.call(partial(_spec, workflow_id=workflow_id))
        status = await self.status(workflow_id)
        yield status
        while not status.state.is_over:
            status = await self._in_time(spec, self._change_of(status))
            yield status

    async def _in_time(self, spec: OrderSpec, awaited: Coroutine[Any, Any, T]) -> T:
        """Await a result or a change, until the order's time and the margin are over."""
        left = spec.seconds_left()
        try:
            async with asyncio.timeout(None if left is None else left + self._margin) as limit:
                return await awaited
        except TimeoutError:
            if not limit.expired():  # the database raised it
                raise
        if self._outage is not None:
            raise self._outage
        late = WaitTimeoutError(spec.source_id, None, time.time() - spec.began, 0, ())
        late.advice = _NO_WORKER
        raise late

    async def close(self) -> None:
        """End the queries, and cancel all calls that await a result or a change."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        for future in self._all_pending():
            future.cancel()

    async def _change_of(self, known: OrderStatus) -> OrderStatus:
        changed: Changed = asyncio.get_running_loop().create_future()
        self._watched[changed] = known
        self._keep_polling()
        try:
            return await changed
        finally:
            del self._watched[changed]

    async def _end_of(self, workflow_id: str) -> WorkflowStatus:
        ended: Ended = asyncio.get_running_loop().create_future()
        self._awaited[workflow_id].add(ended)
        self._keep_polling()
        try:
            return await ended
        finally:
            self._awaited[workflow_id].discard(ended)
            if not self._awaited[workflow_id]:
                del self._awaited[workflow_id]

    def _keep_polling(self) -> None:
        self._poll_now.set()
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        try:
            while self._awaited or self._watched:
                self._poll_now.clear()
                await self._poll_once()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_every):
                        await self._poll_now.wait()
        except Exception as error:  # noqa: BLE001 - raised by all calls that await a result
            for future in self._all_pending():
                future.set_exception(error)
        finally:
            self._polling = None

    async def _poll_once(self) -> None:
        try:
            await self._poll_ends(list(self._awaited))
            await self._poll_changes()
        except DatabaseUnavailableError as error:
            if self._outage is None:
                awaited = len(self._all_pending())
                _log.warning("%s; %d results or events are still awaited", error, awaited)
            self._outage = error
        else:
            self._outage = None

    async def _poll_ends(self, ids: list[str]) -> None:
        for start in range(0, len(ids), IDS_PER_STATEMENT):
            poll = partial(_ended, ids=ids[start : start + IDS_PER_STATEMENT])
            for workflow in await self._database.attempt(poll):
                for ended in self._pending([workflow.workflow_id]):
                    ended.set_result(workflow)

    async def _poll_changes(self) -> None:
        copies = {known.workflow_id: known.copy_id for known in self._watched.values()}
        ids = list(copies)
        for start in range(0, len(ids), IDS_PER_STATEMENT):
            page = ids[start : start + IDS_PER_STATEMENT]
            read = await self._database.attempt(partial(read_statuses, ids=page, copies=copies))
            statuses = {status.workflow_id: status for status in read}
            for changed, known in self._watched.items():
                if known.workflow_id not in page or changed.done():
                    continue
                status = statuses.get(known.workflow_id)
                if status is None:
                    changed.set_exception(OrderNotFoundError(known.workflow_id))
                elif status != known:
                    changed.set_result(status)

    def _pending(self, ids: list[str]) -> list[Ended]:
        return [ended for one in ids for ended in self._awaited.get(one, ()) if not ended.done()]

    def _all_pending(self) -> list[asyncio.Future[Any]]:
        changes = [changed for changed in self._watched if not changed.done()]
        return [*self._pending(list(self._awaited)), *changes]


def _spec(client: DBOSClient, *, workflow_id: str) -> OrderSpec:
    found = client.list_workflows(workflow_ids=[workflow_id], load_output=False)
    if not found:
        raise OrderNotFoundError(workflow_id)
    return spec_of(found[0])


def _ended(client: DBOSClient, *, ids: list[str]) -> list[WorkflowStatus]:
    return client.list_workflows(workflow_ids=ids, status=ENDED, load_input=False)
