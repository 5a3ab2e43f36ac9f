"""Outages of the database, in a worker: its orders stop, and are picked up when it is back."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from dbos import DBOS
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from prolific_async._logging import log as _log
from prolific_async.durable.database import is_outage
from prolific_async.durable.order_spec import is_order
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.durable.order_queues import OrderQueues

_OF_WORKFLOWS = ("check_operation_execution", "record_operation_result", "update_workflow_outcome")
"""What DBOS asks of the database in the course of a workflow."""


class StoppedOrders:
    """The orders of this process that an outage may have stopped.

    DBOS has no setting for what its database does in an outage, so that it is changed here; the
    tests name each thing of DBOS that is leant on. DBOS tells a socket's lost connection from a
    failed statement by no means each time, and takes that for what the step or the workflow has
    raised. Or it repeats a call until there is a database, and holds a thread for up to 90 seconds
    each time.
    """

    def __init__(self) -> None:
        self._stopped: set[str] = set()
        self._may_have_taken = False

    def watch(self, database: Any) -> None:
        """Change DBOS's database so that outages stop orders, and those stopped are known."""
        database._retry_connection_errors = _ForTheApplication()  # noqa: SLF001 - see the class
        for method in _OF_WORKFLOWS:
            setattr(database, method, self._of_a_workflow(getattr(database, method)))
        database.start_queued_workflows = self._taking(database.start_queued_workflows)
        database.get_workflow_status = self._beginning(database.get_workflow_status)

    def idle(self, at_work: set[str]) -> set[str]:
        """Return the orders that may have stopped and are not among those at work."""
        return self._stopped - at_work

    async def pick_up(
        self, queues: OrderQueues, executor_id: str, at_work: Callable[[], set[str]], *, every: float
    ) -> None:
        """Give orders again that have stopped, until cancelled; reads nothing unless some have.

        Args:
            queues: Of the application.
            executor_id: The worker's.
            at_work: Returns the ids of the workflows that run in this process.
            every: Seconds between checks. What two of them find idle has stopped: one that is
                begun in the moment of an outage is not at work yet.

        """
        idle: set[str] = set()
        while True:
            await asyncio.sleep(every)
            try:
                await self._know_all(queues, executor_id)
                now_idle = self.idle(at_work())
                stopped = idle & now_idle
                if stopped:
                    await self._give_again(stopped, queues, executor_id)
            except Exception as error:  # noqa: BLE001 - without it, orders are stranded for ever
                _log.warning(
                    "%s; orders that have stopped are searched for later",
                    error,
                    exc_info=not isinstance(error, ProlificError),
                )
            else:
                idle = now_idle - stopped

    async def _know_all(self, queues: OrderQueues, executor_id: str) -> None:
        """Learn which orders were taken, if an answer that says so was lost."""
        if not self._may_have_taken:
            return
        self._may_have_taken = False  # before it asks: another one may be lost meanwhile
        try:
            self._stopped.update(await queues.begun_by(executor_id))
        except BaseException:
            self._may_have_taken = True
            raise

    async def _give_again(self, stopped: set[str], queues: OrderQueues, executor_id: str) -> None:
        # Before they are in the queue again, of which this worker may take one at once. What has
        # ended meanwhile is nobody's.
        self._stopped -= stopped
        try:
            begun = sorted(stopped.intersection(await queues.begun_by(executor_id)))
            await queues.resume(begun)
        except BaseException:
            self._stopped |= stopped
            raise
        if begun:
            _log.warning("an outage of the database had stopped %d orders", len(begun))

    def _of_a_workflow(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            workflow_id: str | None = DBOS.workflow_id
            if workflow_id is None or not is_order(workflow_id):
                return method(*args, **kwargs)
            try:
                answer = method(*args, **kwargs)
            except dbos_error.DBOSWorkflowConflictIDError:
                self._stopped.discard(workflow_id)  # another worker's
                raise
            except SQLAlchemyError as error:
                if not is_outage(error):
                    raise
                self._stopped.add(workflow_id)
                _log.info("%s is left until the database is back", workflow_id)
                raise asyncio.CancelledError from error
            if method.__name__ == "update_workflow_outcome":
                self._stopped.discard(workflow_id)  # it has ended, or is another worker's
            return answer

        return call

    def _taking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except SQLAlchemyError as error:
                self._may_have_taken = self._may_have_taken or is_outage(error)
                raise

        return call

    def _beginning(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(workflow_id: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(workflow_id, *args, **kwargs)
            except SQLAlchemyError:
                if is_order(workflow_id):  # one that was taken, and is not begun now
                    self._stopped.add(workflow_id)
                raise

        return call


class _ForTheApplication:
    """True in the application's own workflows, in which DBOS repeats calls as it always does."""

    def __bool__(self) -> bool:
        workflow_id: str | None = DBOS.workflow_id
        return workflow_id is not None and not is_order(workflow_id)
