"""``DurableBatches``: orders, what became of them, and the worker that carries them out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from attrs import asdict
from dbos import DBOS, DBOSClient, DBOSConfig
from dbos import error as dbos_error

from prolific_async._numbers import number
from prolific_async.client import ProlificClient
from prolific_async.durable.database import checked_database
from prolific_async.durable.results import AT_ONCE, Results
from prolific_async.durable.terms import Terms, checked_name, source_id
from prolific_async.durable.worker import NAME, worker
from prolific_async.errors import ConfigurationError, WaitTimeoutError
from prolific_async.models import Batch

_STAYS_SO = "the order stays so: wait for its copy by client.batches, or order one by another name"


class Order:
    """One order: a copy of a batch that is made, set up and waited for.

    Attributes:
        workflow_id: Its name in DBOS, made of the source's id and the copy's name.

    """

    def __init__(self, results: Results, workflow_id: str) -> None:
        self._results = results
        self.workflow_id = workflow_id

    async def result(self) -> Batch:
        """Return the copy once it is READY, whichever process works on it. It has no client.

        All results that a process awaits cost one look into the database each ``look_every``.

        Raises:
            WaitError: As in ``wait_until_ready``; WaitTimeoutError has the source's ``batch_id``
                when the time was over before a copy was known, and an OutcomeUnknownError as its
                ``failure`` when there may be one.
            OutcomeUnknownError: More than one batch bears the name; they are the candidates.
            ProlificError: The service refused the duplicate or the setup.
            dbos.error.DBOSException: The workflow was cancelled by an operator, or is unknown.

        """
        try:
            return Batch.from_dict(await self._results.of(self.workflow_id))
        except WaitTimeoutError as error:
            error.advice = _STAYS_SO
            raise

    def __repr__(self) -> str:
        return f"<Order {self.workflow_id}>"


class DurableBatches:
    """Takes orders into a database, where a worker of any process finds them.

    ``async with`` opens and closes it.

    Args:
        database_url: Where DBOS keeps its state: ``sqlite:///path`` for one machine,
            ``postgresql://…`` for many.
        application: DBOS's name for all processes that share the work: from three lower-case
            letters, digits, "-" and "_" on. Others may use the same database. An application's own
            DBOS must have another name there, since it would take the orders out of the queue.
        look_every: Seconds between looks into the database, for results and, in a worker, for
            orders: about so long either may take longer. All workers must say the same.
        migrate: Whether to create and to update DBOS's tables; False when that was done by
            ``dbos migrate``, by a role that may.

    Raises:
        ValueError: ``application`` or ``look_every`` makes no sense.
        ConfigurationError: This Python's SQLite is too old for DBOS: from Python 3.12 on it must be
            3.42 or later.

    """

    def __init__(
        self,
        database_url: str,
        *,
        application: str = "prolific-async",
        look_every: float = 1.0,
        migrate: bool = True,
    ) -> None:
        if not re.fullmatch("[a-z0-9_-]{3,256}", application):
            raise ValueError(f"application must be a name that DBOS accepts: {application!r}")
        self._look_every = number("look_every", look_every, positive=True)
        self._database_url = checked_database(database_url)
        self._application = application
        self._migrate = migrate
        self._orders = f"{application}:orders"
        # Of what was begun before. It has no rate: in the first queue, where DBOS would put it, a
        # thousand waits would be resumed no faster than a thousand copies may be made.
        self._resumed = f"{application}:resumed"
        self._opened: tuple[DBOSClient, Results] | None = None

    async def __aenter__(self) -> Self:
        client = await asyncio.to_thread(self._open)
        self._opened = client, Results(client, self._look_every)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        (client, results), self._opened = self._parts, None
        await results.close()
        # Not in the loop's own pool: a DBOS of the application that has ended leaves it shut down.
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, client.destroy)

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

        The batch and the name are the order: ordered again it is the same one, whatever became
        of it, and the other arguments of the second call are not used.

        Args:
            batch: The batch to copy.
            name: Name of the copy. It must be unique in the workspace: **a batch that bears it is
                taken for the copy**, which is how none is made twice. Space around it is dropped.
            dataset_id: As for ``client.batches.setup``.
            tasks_per_group: As for ``client.batches.setup``.
            timeout: Seconds from now for everything, on the clock of the wall, so that the time
                in the queue counts and a restart doesn't begin anew; None for no limit.

        Raises:
            ValueError: An argument makes no sense.
            ConfigurationError: Not opened, or closed.

        """
        terms = Terms.checked(
            batch,
            name,
            dataset_id=dataset_id,
            tasks_per_group=tasks_per_group,
            timeout=timeout,
        )
        order = self.find(terms.source_id, name=terms.name)
        # By default DBOS takes an order that exists for the same one, too, but with a warning when
        # it was moved to another queue, as each is that a restart has resumed.
        with suppress(dbos_error.DBOSWorkflowIDInUseError):
            await self._client.enqueue_async(
                {
                    "workflow_name": NAME,
                    "queue_name": self._orders,
                    "workflow_id": order.workflow_id,
                    "workflow_id_reuse_policy": "reject",
                },
                **asdict(terms),
            )
        return order

    def find(self, batch: Batch | str | UUID, *, name: str) -> Order:
        """Return an order that was given before, by any process; does no I/O.

        Args:
            batch: The batch to copy.
            name: Name of the copy.

        """
        workflow_id = f"{NAME}:{source_id(batch)}:{checked_name(name)}"
        return Order(self._parts[1], workflow_id)

    async def take_over(self, executor_id: str) -> int:
        """Give the work of a process that is gone to the others; returns the number of orders.

        They go on where they were, outside of ``max_starts_per_second``: each was counted when it
        was begun.

        Args:
            executor_id: Of a process that no longer runs. One that does sends no duplicate any
                more, but its waits look on.

        """
        begun = await self._client.list_workflows_async(
            name=NAME,
            status="PENDING",
            executor_id=executor_id,
            application_name=self._application,
            load_input=False,
            load_output=False,
        )
        ids = [workflow.workflow_id for workflow in begun]
        for start in range(0, len(ids), AT_ONCE):
            await self._client.resume_workflows_async(
                ids[start : start + AT_ONCE], queue_name=self._resumed
            )
        return len(ids)

    @asynccontextmanager
    async def worker(
        self,
        client: ProlificClient,
        *,
        executor_id: str,
        max_starts_per_second: float | None = None,
        settling: float = 30.0,
        config: DBOSConfig | None = None,
    ) -> AsyncGenerator[None]:
        """Carry orders out in this process and this event loop, until the block ends.

        What was begun under the same ``executor_id`` is taken up first. At the end everything is
        left as it is, for the next start.

        Args:
            client: Waits for all orders by its one engine; it can be used for other things, too.
            executor_id: Name of this process: no other one that runs has it, and it is the same
                after a restart, such as a pod's name in a StatefulSet.
            max_starts_per_second: Orders that all workers begin together, None for no limit. Each
                makes two POSTs and two reads or three. All workers must say the same.
            settling: Seconds that a duplicate has to show in the list, from when its answer was
                lost or its sender was found gone; then it is taken not to have run.
            config: DBOS's further settings, when the process has workflows of its own. The name,
                the database and the executor's id come from here.

        Raises:
            ConfigurationError: Not opened, or there is a worker in this process, or a DBOS of the
                application's own. That one is left alone, and orders can be given beside it.
            ValueError: A number is out of range.

        """
        if not (executor_id and isinstance(executor_id, str)):
            raise ValueError(f"executor_id must be this process's own name: {executor_id!r}")
        if max_starts_per_second is not None:
            max_starts_per_second = number(
                "max_starts_per_second", max_starts_per_second, positive=True, or_none=True
            )
        settling = number("settling", settling, positive=True)
        settings: DBOSConfig = {
            **(config or {}),
            "name": self._application,
            "system_database_url": self._database_url,
            "executor_id": executor_id,
            "run_migrations": self._migrate,
        }

        async def before() -> None:
            await self._register_queues(max_starts_per_second)
            await self.take_over(executor_id)

        async with worker(client.batches, settings, settling=settling, before=before):
            yield

    async def _register_queues(self, rate: float | None) -> None:
        limit = max(1, int(rate or 1))
        limiter: Any = None if rate is None else {"limit": limit, "period": limit / rate}
        await self._client.register_queue_async(
            self._orders, limiter=limiter, polling_interval_sec=self._look_every
        )
        await self._client.register_queue_async(
            self._resumed, polling_interval_sec=self._look_every
        )

    def _open(self) -> DBOSClient:
        if self._migrate:
            DBOS.migrate(self._database_url)
        return DBOSClient(
            system_database_url=self._database_url, application_name=self._application
        )

    @property
    def _client(self) -> DBOSClient:
        return self._parts[0]

    @property
    def _parts(self) -> tuple[DBOSClient, Results]:
        if self._opened is None:
            raise ConfigurationError("DurableBatches is not open: use it in 'async with'")
        return self._opened
