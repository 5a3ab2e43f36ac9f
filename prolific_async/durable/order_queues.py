"""The queues of an application's orders: what is put into them, and what a worker has of them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import asdict
from dbos import DBOSClient
from dbos import error as dbos_error

from prolific_async.durable.results import AT_ONCE
from prolific_async.durable.order_spec import NAME

if TYPE_CHECKING:
    from dbos import EnqueueOptions

    from prolific_async.durable.database import Database
    from prolific_async.durable.order_spec import OrderSpec


class OrderQueues:
    """Gives orders, and gives them again.

    Args:
        database: Where they are kept.
        application: DBOS's name for the application.
        poll_every: Seconds between a worker's searches for orders.

    """

    def __init__(self, database: Database, application: str, poll_every: float) -> None:
        self._database = database
        self._application = application
        self._poll_every = poll_every
        self._orders = f"{application}:orders"
        # Of what was begun before. It has no rate: in the first queue, where DBOS would put it, a
        # thousand waits would be resumed no faster than a thousand copies may be made.
        self._resumed = f"{application}:resumed"

    async def register(self, rate: float | None) -> None:
        """Make both queues; orders are begun at a rate a second, None for no limit."""
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

    async def give(self, workflow_id: str, terms: OrderSpec) -> None:
        """Record an order, unless it is there."""
        options: EnqueueOptions = {
            "workflow_name": NAME,
            "queue_name": self._orders,
            "workflow_id": workflow_id,
            "workflow_id_reuse_policy": "reject",
        }

        def enqueue(client: DBOSClient) -> None:
            # By default DBOS takes an order that exists for the same one, too, but with a warning
            # when it was moved to another queue, as each is that a restart has resumed.
            with suppress(dbos_error.DBOSWorkflowIDInUseError):
                client.enqueue(options, **asdict(terms))

        await self._database.call(enqueue)

    async def begun_by(self, executor_id: str) -> list[str]:
        """Return the ids of a worker's orders that have no end."""
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
        """Give orders again that were begun."""
        for start in range(0, len(ids), AT_ONCE):
            await self._database.call(
                partial(
                    DBOSClient.resume_workflows,
                    workflow_ids=ids[start : start + AT_ONCE],
                    queue_name=self._resumed,
                )
            )
