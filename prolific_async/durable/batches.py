"""``DurableBatches`` takes orders and runs workers; ``Order`` awaits a result."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID

from dbos import DBOSConfig

from prolific_async.client import ProlificClient
from prolific_async.durable.database import Database, checked_database, with_time_limits
from prolific_async.durable.order_queues import OrderQueues
from prolific_async.durable.order_spec import OrderSpec, checked_executor_id, order_id
from prolific_async.durable.results import Results
from prolific_async.durable.worker import worker
from prolific_async.errors import ConfigurationError
from prolific_async.extensions import number
from prolific_async.models import Batch

_APPLICATION = re.compile("(?!_dbos_)[a-z0-9_-]{3,256}")  # DBOS reserves that prefix for queues
_RESUME_EVERY = 10  # times ``poll_every``


class Order:
    """One order: a copy of a batch that is made, set up and waited for.

    Attributes:
        workflow_id: Its id in DBOS, made of the source's id and the copy's name.

    """

    def __init__(self, results: Results, workflow_id: str) -> None:
        self._results = results
        self.workflow_id = workflow_id

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
            DatabaseUnavailableError: The database was away when the order's time had been over
                for a minute, or that time could not be read within 30 seconds.
            ConfigurationError: The database refuses.
            dbos.error.DBOSException: The workflow was cancelled by an operator, or is unknown.

        """
        return Batch.from_dict(await self._results.get(self.workflow_id))

    def __repr__(self) -> str:
        return f"<Order {self.workflow_id}>"


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
            orders: each may take about so much longer. All workers must give the same.
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
        self._opened: _Parts | None = None

    async def __aenter__(self) -> Self:
        database = Database(self._database_url, self._application)
        await database.open(migrate=self._migrate)
        self._opened = _Parts(
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
        dataset_id: str | UUID | None = None,
        tasks_per_group: int | None = None,
        timeout: float | None = 1800.0,
    ) -> Order:
        """Order a copy of a batch, set up and READY; returns as soon as the order is recorded.

        The application, the batch and the name identify the order: a second call with the same ones
        returns the same order, whatever became of it, and ignores its other arguments.

        When cancelled, this waits up to five seconds until the order is recorded or never will be;
        ``find`` and ``result`` tell which. If the database hangs for longer, the order may be
        recorded later. To order again is always safe.

        Args:
            batch: The batch to copy.
            name: Name of the copy. It must be unique in the workspace: **a batch that bears it is
                taken for the copy**, which is how none is made twice. Space around it is dropped.
                At most 1,024 bytes of UTF-8, as the database indexes it.
            dataset_id: As for ``client.batches.setup``.
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
        order = self.find(spec.source_id, name=spec.name)
        await self._parts.queues.enqueue(order.workflow_id, spec)
        return order

    def find(self, batch: Batch | str | UUID, *, name: str) -> Order:
        """Return an order that was given before, by any process; does no I/O.

        Args:
            batch: The batch to copy.
            name: Name of the copy.

        """
        return Order(self._parts.results, order_id(self._application, batch, name))

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
            resume_every=_RESUME_EVERY * self._poll_every,
        ):
            yield

    @property
    def _parts(self) -> _Parts:
        if self._opened is None:
            raise ConfigurationError("DurableBatches is not open: use it in 'async with'")
        return self._opened


class _Parts(NamedTuple):
    database: Database
    queues: OrderQueues
    results: Results
