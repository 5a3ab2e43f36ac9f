"""The DBOS queues of an application: new orders, and orders to resume."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import asdict
from dbos import DBOSClient
from dbos import error as dbos_error

from prolific_async.durable.order_spec import NAME, first_queue
from prolific_async.durable.results import IDS_PER_STATEMENT

if TYPE_CHECKING:
    from dbos import EnqueueOptions

    from prolific_async.durable.database import Database
    from prolific_async.durable.order_spec import OrderSpec


class OrderQueues:
    """Enqueues orders, and resumes those that a worker has begun.

    Args:
        database: The database of the orders.
        application: DBOS's name for the application.
        poll_every: Seconds between a worker's searches for orders.

    """

    def __init__(self, database: Database, application: str, poll_every: float) -> None:
        self._database = database
        self._application = application
        self._poll_every = poll_every
        self._orders = first_queue(application)
        # For orders that were begun before. This queue has no rate limit: in the first queue, where
        # DBOS would put them, orders would be resumed no faster than new ones may begin.
        self._resumed = f"{application}:resumed"

    async def register(self, rate: float | None) -> None:
        """Create both queues; ``rate`` new orders may begin per second, None for no limit."""
        limit = max(1, int(rate or 1))
        limiter: Any = None if rate is None else {"limit": limit, "period": limit / rate}
        for queue, its_limiter in ((self._orders, limiter), (self._resumed, None)):
            await self._database.call(
                partial(
                    DBOSClient.register_queue,
                    name=queue,
                    limiter=its_limiter,
                    polling_interval_sec=self._poll_every,
                )
            )

    async def enqueue(self, workflow_id: str, spec: OrderSpec) -> None:
        """Record an order, unless it exists already."""
        options: EnqueueOptions = {
            "workflow_name": NAME,
            "queue_name": self._orders,
            "workflow_id": workflow_id,
            "workflow_id_reuse_policy": "reject",
        }

        def enqueue(client: DBOSClient) -> None:
            # By default DBOS accepts an id that exists, too, but warns if its workflow was moved to
            # another queue, as every resumed order was.
            with suppress(dbos_error.DBOSWorkflowIDInUseError):
                client.enqueue(options, **asdict(spec))

        await self._database.call(enqueue)

    async def begun_by(self, executor_id: str) -> list[str]:
        """Return the ids of the orders that a worker has begun and not ended."""
        begun = await self._database.call(
            lambda client: client.list_workflows(
                name=NAME,
                status="PENDING",
                executor_id=executor_id,
                application_name=self._application,
                load_input=False,
                load_output=False,
            )
        )
        return [workflow.workflow_id for workflow in begun]

    async def resume(self, ids: list[str]) -> None:
        """Enqueue begun orders again, except those that have ended since."""

        def resume(client: DBOSClient, *, ids: list[str]) -> None:
            # Read anew, since DBOS would resume an order that was cancelled meanwhile, too.
            if begun := _with_status(client, "PENDING", ids):
                client.resume_workflows(begun, queue_name=self._resumed)

        for start in range(0, len(ids), IDS_PER_STATEMENT):
            await self._database.call(partial(resume, ids=ids[start : start + IDS_PER_STATEMENT]))

    async def cancel(self, workflow_id: str) -> None:
        """Cancel an order unless it has ended."""

        def cancel(client: DBOSClient) -> None:
            # For an order that is cancelled already, DBOS would set the time of its end to now.
            if not _with_status(client, "CANCELLED", [workflow_id]):
                client.cancel_workflow(workflow_id)

        await self._database.call(cancel)

    async def cancelled(self, ids: list[str]) -> list[str]:
        """Return the ids in ``ids`` of cancelled orders; in an outage, raise without a retry.

        Raises:
            DatabaseUnavailableError: The database cannot be reached, or does not answer.

        """
        cancelled: list[str] = []
        for start in range(0, len(ids), IDS_PER_STATEMENT):
            page = ids[start : start + IDS_PER_STATEMENT]
            read = partial(_with_status, status="CANCELLED", ids=page)
            cancelled += await self._database.attempt(read)
        return cancelled


def _with_status(client: DBOSClient, status: str, ids: list[str]) -> list[str]:
    found = client.list_workflows(
        workflow_ids=ids, status=status, load_input=False, load_output=False
    )
    return [workflow.workflow_id for workflow in found]
