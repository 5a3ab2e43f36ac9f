"""``Order``: returns the status, the events and the result of one order, and cancels it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from prolific_async.durable.database import Database
from prolific_async.durable.order_queues import OrderQueues
from prolific_async.durable.order_spec import order_id
from prolific_async.durable.order_status import OrderStatus
from prolific_async.durable.results import Results
from prolific_async.models import Batch


class OrderParts(NamedTuple):
    """The objects that all orders of an open ``DurableBatches`` share."""

    database: Database
    queues: OrderQueues
    results: Results


class Order:
    """One order: a copy of a batch that is made, set up and waited for.

    Attributes:
        workflow_id: Its id in DBOS, made of the source's id and the copy's name.
        source_id: The batch to copy.
        name: Name of the copy.
        last_status: The newest status that ``orders``, ``status``, ``events`` or ``cancel`` has
            read for this object; None before.

    """

    def __init__(self, parts: OrderParts, application: str, source_id: str, name: str) -> None:
        self._parts = parts
        self.workflow_id = order_id(application, source_id, name)
        self.source_id = source_id
        self.name = name
        self.last_status: OrderStatus | None = None

    async def result(self) -> Batch:
        """Return the copy, bound to no client, once it is READY, whichever process works on it.

        All results that a process awaits cost one query of the database each ``poll_every``. An
        outage of the database is survived for as long as the order has time, and a minute more.

        Raises:
            WaitError: As in ``wait_until_ready``; WaitTimeoutError has the source's ``batch_id``
                if the time was over before a copy was known, and an OutcomeUnknownError as its
                ``failure`` if there may be one. It is also raised if the order's time has been
                over for a minute and no worker has recorded an outcome.
            OutcomeUnknownError: More than one batch bears the name; they are the candidates.
            ProlificError: The service refused the duplicate or the setup.
            OrderCancelledError: The order was cancelled.
            OrderNotFoundError: There is no such order.
            DatabaseUnavailableError: The database was away when the order's time had been over
                for a minute, or that time could not be read within 30 seconds.
            ConfigurationError: The database refuses.
            dbos.error.DBOSException: DBOS has given the order up, or its error cannot be read.

        """
        return Batch.from_dict(await self._parts.results.get(self.workflow_id))

    async def status(self) -> OrderStatus:
        """Return the order's status, whichever process works on it; reads the database once.

        Raises:
            OrderNotFoundError: There is no such order.
            DatabaseUnavailableError: There was no database for 30 seconds.

        """
        return self._keep_status(await self._parts.results.status(self.workflow_id))

    async def events(self) -> AsyncGenerator[OrderStatus]:
        """Yield the order's status, now and after each change, until the order has ended.

        A page that shows an order needs no more: the first event is the current status, so a page
        that reconnects misses nothing, and the last event has the state READY, FAILED or CANCELLED.
        A failure is that event's ``failure``, and is not raised. Changes within ``poll_every`` may
        be shown as one. Once ``copy_id`` is known, ``client.batches.watch`` shows each poll.

        All events and results that a process awaits cost two queries of the database each
        ``poll_every``, and one more for each order that has begun and has no copy yet. An outage
        of the database is survived for as long as the order has time, and a minute more.

        Raises:
            WaitTimeoutError: The order's time has been over for a minute and no worker has
                recorded an outcome.
            OrderNotFoundError: There is no such order, or it was deleted.
            DatabaseUnavailableError: As ``result``.

        """
        async with aclosing(self._parts.results.changes(self.workflow_id)) as changes:
            async for status in changes:
                yield self._keep_status(status)

    async def cancel(self) -> OrderStatus:
        """Cancel the order unless it has ended, and return its status then.

        It works from any process, also while no worker runs. The status tells what the order did:

        - READY or FAILED: the order had ended before, and stays as it was.
        - CANCELLED, and ``copy_may_exist`` is False: no duplicate was sent, and none will be.
        - CANCELLED, and ``copy_id`` is None: a duplicate may have been sent, once. Its copy may
          still appear under the name, set up or not: ``client.batches.find_copies`` finds it.
        - CANCELLED with a ``copy_id``: that copy was set up, and stays so at the service. Nothing
          is deleted.

        A worker that runs the order stops within ``poll_every``, at any step and in its wait. A
        POST that is on its way at that moment may still take effect. Every call of ``result``
        raises OrderCancelledError. A cancelled order stays cancelled, also when it is ordered
        again: give the copy another name. To cancel again is always safe.

        Raises:
            OrderNotFoundError: There is no such order.
            DatabaseUnavailableError: There was no database for 30 seconds; the order may or may
                not be cancelled.

        """
        await self._parts.queues.cancel(self.workflow_id)
        return await self.status()

    def _keep_status(self, status: OrderStatus) -> OrderStatus:
        self.last_status = status
        return status

    def __repr__(self) -> str:
        return f"<Order {self.workflow_id}>"
