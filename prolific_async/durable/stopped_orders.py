"""Orders of a worker that an outage of the database has stopped, to be resumed after it."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from dbos import DBOS
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from prolific_async.durable.database import is_outage
from prolific_async.durable.order_spec import is_order
from prolific_async.errors import ProlificError
from prolific_async.extensions import log as _log

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.durable.order_queues import OrderQueues

_WORKFLOW_METHODS = (
    "check_operation_execution",
    "record_operation_result",
    "update_workflow_outcome",
)
"""Methods of DBOS's database that a workflow calls."""


class StoppedOrders:
    """Stops the orders of this process in an outage of the database, and resumes them later.

    DBOS has no setting for outages, so methods of its database are replaced;
    tests/durable/test_assumptions.py names all that this relies on. By itself DBOS would take some
    lost connections for failures of a step or a workflow, and in other cases repeat the call until
    there is a database, and hold a thread for up to 90 seconds each time.
    """

    def __init__(self) -> None:
        self._stopped: set[str] = set()
        self._may_have_taken = False

    def watch(self, database: Any) -> None:
        """Replace methods of DBOS's database, so that outages stop orders and are noticed."""
        database._retry_connection_errors = _RetryInApplication()  # noqa: SLF001 - see the class
        for method in _WORKFLOW_METHODS:
            setattr(database, method, self._stop_on_outage(getattr(database, method)))
        database.start_queued_workflows = self._watch_taking(database.start_queued_workflows)
        database.get_workflow_status = self._watch_beginning(database.get_workflow_status)

    def idle(self, running: set[str]) -> set[str]:
        """Return the ids of the orders that may have stopped, without the running ones."""
        return self._stopped - running

    async def keep_resuming(
        self,
        queues: OrderQueues,
        executor_id: str,
        running: Callable[[], set[str]],
        *,
        every: float,
    ) -> None:
        """Resume stopped orders until cancelled; while no order may have stopped, read nothing.

        Args:
            queues: The application's queues.
            executor_id: The worker's name.
            running: Returns the ids of the workflows that run in this process.
            every: Seconds between checks. An order counts as stopped if two checks find it idle:
                at the first, an order that was taken during an outage may not have begun yet.

        """
        idle: set[str] = set()
        while True:
            await asyncio.sleep(every)
            try:
                await self._find_taken(queues, executor_id)
                now_idle = self.idle(running())
                stopped = idle & now_idle
                if stopped:
                    await self._resume(stopped, queues, executor_id)
            except Exception as error:  # noqa: BLE001 - else orders would be stranded for ever
                _log.warning(
                    "%s; orders that have stopped are searched for later",
                    error,
                    exc_info=not isinstance(error, ProlificError),
                )
            else:
                idle = now_idle - stopped

    async def _find_taken(self, queues: OrderQueues, executor_id: str) -> None:
        """If a response about taken orders was lost, read which orders this worker has begun."""
        if not self._may_have_taken:
            return
        self._may_have_taken = False  # before the query: another response may be lost meanwhile
        try:
            self._stopped.update(await queues.begun_by(executor_id))
        except BaseException:
            self._may_have_taken = True
            raise

    async def _resume(self, stopped: set[str], queues: OrderQueues, executor_id: str) -> None:
        # Removed before the orders are enqueued, since this worker may take and stop one again at
        # once. Orders that have ended meanwhile are removed for good.
        self._stopped -= stopped
        try:
            begun = sorted(stopped.intersection(await queues.begun_by(executor_id)))
            await queues.resume(begun)
        except BaseException:
            self._stopped |= stopped
            raise
        if begun:
            _log.warning("an outage of the database had stopped %d orders", len(begun))

    def _stop_on_outage(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a method that workflows call, so that an outage stops an order."""

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            workflow_id: str | None = DBOS.workflow_id
            if workflow_id is None or not is_order(workflow_id):
                return method(*args, **kwargs)
            try:
                result = method(*args, **kwargs)
            except dbos_error.DBOSWorkflowConflictIDError:
                self._stopped.discard(workflow_id)  # another worker has it
                raise
            except SQLAlchemyError as error:
                if not is_outage(error):
                    raise
                self._stopped.add(workflow_id)
                _log.info("%s is left until the database is back", workflow_id)
                raise asyncio.CancelledError from error
            if method.__name__ == "update_workflow_outcome":
                self._stopped.discard(workflow_id)  # it has ended, or another worker has it
            return result

        return call

    def _watch_taking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the method that takes orders out of the queue, to notice lost responses."""

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except SQLAlchemyError as error:
                self._may_have_taken = self._may_have_taken or is_outage(error)
                raise

        return call

    def _watch_beginning(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the method that reads a workflow to begin it, to notice orders that do not begin."""

        @functools.wraps(method)
        def call(workflow_id: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(workflow_id, *args, **kwargs)
            except SQLAlchemyError:
                if is_order(workflow_id):
                    self._stopped.add(workflow_id)
                raise

        return call


class _RetryInApplication:
    """A flag for DBOS to repeat calls in an outage: true only in the application's workflows."""

    def __bool__(self) -> bool:
        workflow_id: str | None = DBOS.workflow_id
        return workflow_id is not None and not is_order(workflow_id)
