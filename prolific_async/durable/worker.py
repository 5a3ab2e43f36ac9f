"""The worker: a DBOS in this process, and the workflow that it runs."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from prolific_async.durable.daemon_threads import in_thread
from prolific_async.durable.database import translated
from prolific_async.durable.dbos_log import quiet_dbos
from prolific_async.durable.order_spec import NAME, OrderSpec
from prolific_async.durable.running_orders import RunningOrders
from prolific_async.durable.worker_dbos import WorkerDBOS
from prolific_async.errors import ConfigurationError
from prolific_async.extensions import log as _log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterator

    from dbos import DBOSConfig

    from prolific_async.batches import Batches
    from prolific_async.durable.order_queues import OrderQueues

STEPS = 1
"""Version of the workflow's steps; raise it when they change.

DBOS resumes only orders that were begun under the same version, so it must not change with each
release of this package or of an application.
"""

_RESUME_EVERY = 10  # times ``poll_every``

_THREADS = 20  # as many as DBOS's pool has connections; by default, each task gets a thread


_running: RunningOrders | None = None


@contextmanager
def _registered(orders: RunningOrders) -> Iterator[None]:
    """Make ``run_order`` use a worker's ``RunningOrders`` within this context.

    Raises:
        ConfigurationError: This process has a worker already.

    """
    global _running  # noqa: PLW0603 - DBOS calls plain functions, and has one instance itself
    if _running is not None:
        raise ConfigurationError("this process has a worker already: it runs any number of orders")
    _running = orders
    try:
        yield
    finally:
        _running = None


@DBOS.workflow(name=NAME)
async def run_order(**fields: Any) -> dict[str, Any]:
    """Run an order; DBOS calls this with the fields of ``OrderSpec``."""
    if _running is None:
        _log.error(
            "%s was taken by a DBOS of this process that no worker of DurableBatches runs: give "
            "DurableBatches an application name that no other DBOS has, then take_over(%r)",
            DBOS.workflow_id,
            DBOS.executor_id,
        )
        raise asyncio.CancelledError("this process has no worker")
    return await _running.run(OrderSpec(**fields))


@asynccontextmanager
async def worker(
    batches: Batches,
    settings: DBOSConfig,
    queues: OrderQueues,
    *,
    settle_seconds: float,
    max_starts_per_second: float | None,
    poll_every: float,
) -> AsyncGenerator[None]:
    """Run DBOS in this process until the block ends.

    Args:
        batches: The client's ``batches``.
        settings: DBOS's settings.
        queues: The application's queues.
        settle_seconds: As for ``OrderSteps``.
        max_starts_per_second: As for ``DurableBatches.worker``.
        poll_every: Seconds between searches for cancelled orders. Orders that an outage has stopped
            are searched for a tenth as often.

    Raises:
        ConfigurationError: This process has a worker or an application's DBOS already, or the
            database refuses a statement of DBOS.
        DatabaseUnavailableError: The database cannot be reached, or does not answer.

    """
    settings = {
        # With the name: applications that share a database cannot share a version.
        "application_version": os.environ.get("DBOS__APPVERSION")
        or f"{settings['name']}:steps-{STEPS}",
        "log_level": "WARNING",
        "max_executor_threads": _THREADS,
        **settings,
    }
    executor_id = settings["executor_id"] or ""
    orders = RunningOrders(batches, settle_seconds)
    with _registered(orders), quiet_dbos(orders):
        dbos = WorkerDBOS.make(settings)
        tasks: list[asyncio.Task[None]] = []
        try:
            await queues.register(max_starts_per_second)
            await queues.resume(await queues.begun_by(executor_id))
            await _launch()
            resuming = dbos.stopped_orders.keep_resuming(
                queues,
                executor_id,
                lambda: dbos.running() | orders.left,
                every=_RESUME_EVERY * poll_every,
            )
            tasks.append(asyncio.create_task(resuming))
            tasks.append(asyncio.create_task(orders.keep_cancelling(queues, every=poll_every)))
            yield
        finally:
            await _uninterrupted(_end(orders, dbos, settings, tasks))


async def _launch() -> None:
    # In another thread, so that DBOS makes a loop of its own for workflows and leaves this one
    # alone. Never interrupted, since a DBOS that is half launched cannot be destroyed.
    try:
        await _uninterrupted(in_thread(DBOS.launch))
    except SQLAlchemyError as error:
        raise translated(error) from error


async def _end(
    orders: RunningOrders,
    dbos: WorkerDBOS,
    settings: DBOSConfig,
    tasks: list[asyncio.Task[None]],
) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await orders.end()
    await in_thread(partial(dbos.end, settings))
    _restore_default_executor()


def _restore_default_executor() -> None:
    """Give the loop a new default executor if the DBOS that has ended has shut the old one down.

    DBOS's coroutines install it in each loop in which the application awaits them.
    """
    loop = asyncio.get_running_loop()
    try:
        loop.run_in_executor(None, int).cancel()
    except RuntimeError:  # it is shut down
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


async def _uninterrupted(work: Awaitable[None]) -> None:
    """Await work that must not be left half done, however often this task is cancelled."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
