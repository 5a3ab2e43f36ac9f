"""The results that this process awaits, with one query of the database for all of them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from dbos import error as dbos_error

from prolific_async.durable.database import DatabaseUnavailableError
from prolific_async.durable.order_spec import OrderSpec
from prolific_async.errors import WaitTimeoutError
from prolific_async.extensions import log as _log

if TYPE_CHECKING:
    from dbos import DBOSClient, WorkflowStatus

    from prolific_async.durable.database import Database

    Ended: TypeAlias = asyncio.Future[WorkflowStatus]

AT_ONCE = 1000
"""Workflows that one statement names: SQLite takes 32,766 parameters."""

_STAYS_SO = "the order stays so: wait for its copy by client.batches, or order one by another name"
_NO_WORKER = "no worker has said what became of the order: see that one runs, then ask again"

_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


class Results:
    """Awaits the outcomes of orders.

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
        self._poll_now = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._outage: DatabaseUnavailableError | None = None

    async def get(self, workflow_id: str) -> Any:
        """Return or raise the outcome of a workflow once it has ended."""
        spec = await self._database.call(partial(_spec, workflow_id=workflow_id))
        left = spec.seconds_left()
        try:
            async with asyncio.timeout(None if left is None else left + self._margin) as limit:
                return _outcome(await self._end_of(workflow_id))
        except TimeoutError:
            if not limit.expired():  # the workflow raised it
                raise
        if self._outage is not None:
            raise self._outage
        late = WaitTimeoutError(spec.source_id, None, time.time() - spec.began, 0, ())
        late.advice = _NO_WORKER
        raise late

    async def close(self) -> None:
        """End the queries, and cancel the calls that await a result."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        for ended in self._pending(list(self._awaited)):
            ended.cancel()

    async def _end_of(self, workflow_id: str) -> WorkflowStatus:
        ended: Ended = asyncio.get_running_loop().create_future()
        self._awaited[workflow_id].add(ended)
        self._poll_now.set()
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            return await ended
        finally:
            self._awaited[workflow_id].discard(ended)
            if not self._awaited[workflow_id]:
                del self._awaited[workflow_id]

    async def _poll(self) -> None:
        try:
            while self._awaited:
                self._poll_now.clear()
                await self._poll_once(list(self._awaited))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_every):
                        await self._poll_now.wait()
        except Exception as error:  # noqa: BLE001 - raised to all who await a result
            for ended in self._pending(list(self._awaited)):
                ended.set_exception(error)
        finally:
            self._polling = None

    async def _poll_once(self, ids: list[str]) -> None:
        try:
            for start in range(0, len(ids), AT_ONCE):
                poll = partial(_ended, ids=ids[start : start + AT_ONCE])
                for workflow in await self._database.attempt(poll):
                    for ended in self._pending([workflow.workflow_id]):
                        ended.set_result(workflow)
        except DatabaseUnavailableError as error:
            if self._outage is None:
                _log.warning("%s; %d results are still awaited", error, len(ids))
            self._outage = error
        else:
            self._outage = None

    def _pending(self, ids: list[str]) -> list[Ended]:
        return [ended for one in ids for ended in self._awaited.get(one, ()) if not ended.done()]


def _spec(client: DBOSClient, *, workflow_id: str) -> OrderSpec:
    found = client.list_workflows(workflow_ids=[workflow_id], load_output=False)
    if not found:
        raise dbos_error.DBOSNonExistentWorkflowError("target", workflow_id)
    given = found[0].input
    assert given is not None  # noqa: S101 - it was loaded
    return OrderSpec(**given["kwargs"])


def _ended(client: DBOSClient, *, ids: list[str]) -> list[WorkflowStatus]:
    return client.list_workflows(workflow_ids=ids, status=_ENDED, load_input=False)


def _outcome(workflow: WorkflowStatus) -> Any:
    if workflow.status == "CANCELLED":
        raise dbos_error.DBOSAwaitedWorkflowCancelledError(workflow.workflow_id)
    if workflow.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        raise dbos_error.DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded(workflow.workflow_id)
    if workflow.status == "ERROR":
        error = workflow.error
        if isinstance(error, WaitTimeoutError):
            error.advice = _STAYS_SO
        if isinstance(error, Exception):
            raise error
        raise dbos_error.DBOSException(f"the error of {workflow.workflow_id} cannot be read")
    return workflow.output
