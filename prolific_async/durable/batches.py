"""``DurableBatches`` takes orders, finds them again and runs workers."""

from __future__ import annotations

import operator
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

from dbos import DBOSConfig

from prolific_async.client import ProlificClient
from prolific_async.dataset_models import Dataset
from prolific_async.durable.database import Database, checked_database, with_time_limits
from prolific_async.durable.order import Order, OrderParts
from prolific_async.durable.order_queues import OrderQueues
from prolific_async.durable.order_spec import (
    OrderSpec,
    checked_executor_id,
    checked_name,
    checked_source_id,
)
from prolific_async.durable.order_status import OrderState, orders_reader
from prolific_async.durable.results import Results
from prolific_async.durable.worker import worker
from prolific_async.errors import ConfigurationError
from prolific_async.extensions import number
from prolific_async.models import Batch

_APPLICATION = re.compile("(?!_dbos_)[a-z0-9_-]{3,256}")  # DBOS reserves that prefix for queues


class DurableBatches:
    """Takes orders into a database, where a worker of any process finds them.

    ``async with`` opens and closes it.

    Args:
        database_url: Where DBOS keeps its state: ``sqlite:///path`` for one machine,
            ``postgresql://…`` for many.
        application: DBOS's name for all processes that share the work: 3 to 256 lower-case
            letters, digits, "-" and "_", without "_dbos_" at its beginning. Others may use the same
            database. An application's own DBOS must have another name there, since it would take
            the orders out of the queue.
        poll_every: Seconds between queries of the database, for results and, in a worker, for
            orders: each may take about that much longer. All workers must give the same.
        migrate: Whether to create and update DBOS's tables; False if that was done by
            ``dbos migrate``, with a role that may.

    Raises:
        ValueError: ``application`` or ``poll_every`` is invalid.
        ConfigurationError: The URL cannot be read, the database refuses, or this Python's SQLite
            is too old for DBOS: from Python 3.12 on it must be 3.42 or later.
        DatabaseUnavailableError: By ``async with``: there is no database.

    """

    def __init__(
        self,
        database_url: str,
        *,
        application: str = "prolific-async",
        poll_every: float = 1.0,
        migrate: bool = True,
    ) -> None:
        if not isinstance(application, str) or not _APPLICATION.fullmatch(application):
            raise ValueError(f"application must be a name that DBOS accepts: {application!r}")
        self._poll_every = number("poll_every", poll_every, positive=True)
        self._database_url = with_time_limits(checked_database(database_url))
        self._application = application
        self._migrate = migrate
        self._opened: OrderParts | None = None

    async def __aenter__(self) -> Self:
        database = Database(self._database_url, self._application)
        await database.open(migrate=self._migrate)
        self._opened = OrderParts(
            database,
            OrderQueues(database, self._application, self._poll_every),
            Results(database, self._poll_every),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        parts, self._opened = self._parts, None
        await parts.results.close()
        await parts.database.close()

    async def order(
        self,
        batch: Batch | str | UUID,
        *,
        name: str,
        dataset_id: Dataset | str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | None = 1800.0,
    ) -> Order:
        """Order a copy of a batch, set up and READY; returns as soon as the order is recorded.

        The application, the batch and the name identify the order: a second call with the same ones
        returns the same order, whatever became of it, and ignores its other arguments.

        When cancelled, this waits up to five seconds until the order is recorded or never will be;
        ``find`` and ``status`` tell which. If the database hangs for longer, the order may be
        recorded when it goes on. If you do not want it then, call ``find(…).cancel()`` once the
        database answers, and again a minute later if that raises OrderNotFoundError: after that
        minute the order is not recorded any more. To order again is always safe.

        Args:
            batch: The batch to copy.
            name: Name of the copy. It must be unique in the workspace: **a batch that bears it is
                taken for the copy**, which is how none is made twice. Space around it is dropped.
                At most 1,024 bytes of UTF-8, as the database indexes it.
            dataset_id: The dataset, or its id, as for ``client.batches.setup``.
            tasks_per_group: As for ``client.batches.setup``.
            timeout: Seconds from now for everything, by the system's clock: the time in the queue
                counts, and a restart does not begin anew. None for no limit.

        Raises:
            ValueError: An argument is invalid.
            ConfigurationError: Not opened, or closed; or the database refuses.
            DatabaseUnavailableError: There was no database for 30 seconds.

        """
        spec = OrderSpec.checked(
            batch,
            name,
            dataset_id=dataset_id,
            tasks_per_group=tasks_per_group,
            timeout=timeout,
        )
        order = self._order(spec.source_id, spec.name)
        await self._parts.queues.enqueue(order.workflow_id, spec)
        return order

    def find(self, batch: Batch | str | UUID, *, name: str) -> Order:
        """Return an order that was given before, by any process; does no I/O.

        Args:
            batch: The batch to copy.
            name: Name of the copy.

        """
        return self._order(checked_source_id(batch), checked_name(name))

    async def orders(
        self,
        batch: Batch | str | UUID | None = None,
        *,
        state: OrderState | str | Iterable[OrderState | str] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Order]:
        """Return orders of this application, the newest first, each with its ``last_status``.

        Reads the database once, and once more for each order on the page that a worker has begun
        and that is not READY.

        Args:
            batch: The batch to copy; by default orders of all batches.
            state: Only orders in this state or these states, such as "failed"; by default in any.
            limit: The largest number of orders to return.
            offset: The number of newest orders to skip. Orders that are given meanwhile move the
                pages.

        Raises:
            ValueError: An argument is invalid.
            DatabaseUnavailableError: There was no database for 30 seconds.

        """
        read = orders_reader(
            self._application,
            source_id=None if batch is None else checked_source_id(batch),
            states=_states(state),
            limit=_count("limit", limit, least=1),
            offset=_count("offset", offset, least=0),
        )
        parts = self._parts
        orders = []
        for status in await parts.database.call(read):
            order = self._order(status.source_id, status.name)
            order.last_status = status
            orders.append(order)
        return orders

    async def take_over(self, executor_id: str) -> int:
        """Move the orders of a dead process to the other workers; return how many there were.

        They go on where they were, outside of ``max_starts_per_second``, since each was counted
        when it was begun.

        Args:
            executor_id: The process, which must no longer run. If it does, it sends no more
                duplicates, but its waits poll on.

        Raises:
            DatabaseUnavailableError: There was no database for 30 seconds.

        """
        queues = self._parts.queues
        begun = await queues.begun_by(executor_id)
        await queues.resume(begun)
        return len(begun)

    @asynccontextmanager
    async def worker(
        self,
        client: ProlificClient,
        *,
        executor_id: str,
        max_starts_per_second: float | None = None,
        settle_seconds: float = 30.0,
        config: DBOSConfig | None = None,
    ) -> AsyncGenerator[None]:
        """Run orders in this process and this event loop, until the block ends.

        Orders that were begun under the same ``executor_id`` are resumed first. At the end all
        are left as they are, for the next start.

        Args:
            client: Sends all requests and polls for all orders; it can be used otherwise, too.
            executor_id: Name of this process, which no other running process has, and which stays
                the same after a restart, such as a pod's name in a StatefulSet.
            max_starts_per_second: Orders that all workers together begin, None for no limit. Each
                makes two POSTs and two reads or three. All workers must give the same.
            settle_seconds: Seconds in which a duplicate must show in the list after its response
                was lost or its sender was found dead; then it is taken not to have run.
            config: Further settings of DBOS, if the process has workflows of its own. The name,
                the database and the executor's id are set here.

        Raises:
            ConfigurationError: Not opened, or this process has a worker, or a DBOS of the
                application's own, which is left alone; orders can be given beside it.
            ValueError: A number is out of range.

        """
        checked_executor_id(executor_id)
        if max_starts_per_second is not None:
            max_starts_per_second = number(
                "max_starts_per_second", max_starts_per_second, positive=True, or_none=True
            )
        settle_seconds = number("settle_seconds", settle_seconds, positive=True)
        settings: DBOSConfig = {
            **(config or {}),
            "name": self._application,
            "system_database_url": self._database_url,
            "executor_id": executor_id,
            "run_migrations": self._migrate,
        }

        async with worker(
            client.batches,
            settings,
            self._parts.queues,
            settle_seconds=settle_seconds,
            max_starts_per_second=max_starts_per_second,
            poll_every=self._poll_every,
        ):
            yield

    def _order(self, source_id: str, name: str) -> Order:
        return Order(self._parts, self._application, source_id, name)

    @property
    def _parts(self) -> OrderParts:
        if self._opened is None:
            raise ConfigurationError("DurableBatches is not open: use it in 'async with'")
        return self._opened


def _states(state: OrderState | str | Iterable[OrderState | str] | None) -> frozenset[OrderState]:
    if state is None:
        return frozenset(OrderState)
    return frozenset(map(OrderState, [state] if isinstance(state, str) else state))


def _count(name: str, given: object, *, least: int) -> int:
    try:
        count = operator.index(given)  # type: ignore[arg-type] # anything may be given
    except TypeError:
        count = least - 1
    if count < least or isinstance(given, bool):
        raise ValueError(f"{name} must be a whole number of at least {least}: {given!r}")
    return count
