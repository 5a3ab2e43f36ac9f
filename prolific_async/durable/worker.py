"""The worker: DBOS in this process, and the workflow that it runs."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from prolific_async._logging import log as _log
from prolific_async.durable.database import translated
from prolific_async.durable.dbos_log import quiet_dbos
from prolific_async.durable.order_spec import NAME, OrderSpec
from prolific_async.durable.daemon_threads import in_thread
from prolific_async.durable.running_orders import RunningOrders
from prolific_async.durable.worker_dbos import WorkerDBOS
from prolific_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterator

    from dbos import DBOSConfig

    from prolific_async.batches import Batches
    from prolific_async.durable.order_queues import OrderQueues

STEPS = 1
"""Raised when the workflow's steps change: DBOS runs what was begun under the same version alone,
and this version outlives releases, of this package and of applications."""

_THREADS = 20  # as many as DBOS's pool has connections; without a bound it makes one for each task


_work: RunningOrders | None = None


@contextmanager
def at_work(work: RunningOrders) -> Iterator[None]:
    """Let the workflows of this process run by a worker.

    Raises:
        ConfigurationError: This process has one.

    """
    global _work  # noqa: PLW0603 - DBOS calls plain functions, and is itself one for each process
    if _work is not None:
        raise ConfigurationError("this process has a worker: one takes all that it is given")
    _work = work
    try:
        yield
    finally:
        _work = None


@DBOS.workflow(name=NAME)
async def carry_out(**terms: Any) -> dict[str, Any]:
    """Run by DBOS, with the fields of ``OrderSpec``."""
    if _work is None:
        _log.error(
            "%s was taken by a DBOS of this process that no worker of DurableBatches runs: give "
            "DurableBatches an application name that no other DBOS has, then take_over(%r)",
            DBOS.workflow_id,
            DBOS.executor_id,
        )
        raise asyncio.CancelledError("this process has no worker")
    return await _work.carry_out(OrderSpec(**terms))


@asynccontextmanager
async def worker(
    batches: Batches,
    settings: DBOSConfig,
    queues: OrderQueues,
    *,
    settle_seconds: float,
    max_starts_per_second: float | None,
    pick_up_every: float,
) -> AsyncGenerator[None]:
    """Run DBOS in this process until the block ends.

    Args:
        batches: The client's.
        settings: DBOS's.
        queues: Of the application.
        settle_seconds: As for ``OrderSteps``.
        max_starts_per_second: As for ``DurableBatches.worker``.
        pick_up_every: Seconds between searches for orders that an outage has stopped.

    Raises:
        ConfigurationError: This process has a worker, or a DBOS that is not a worker's; or the
            database refuses.
        DatabaseUnavailableError: There is no database.

    """
    settings = {
        # With the name, since applications that share a database can share no version.
        "application_version": os.environ.get("DBOS__APPVERSION")
        or f"{settings['name']}:steps-{STEPS}",
        "log_level": "WARNING",
        "max_executor_threads": _THREADS,
        **settings,
    }
    executor_id = settings["executor_id"] or ""
    work = RunningOrders(batches, settle_seconds)
    with at_work(work), quiet_dbos(work):
        dbos = WorkerDBOS.make(settings)
        picking_up: asyncio.Task[None] | None = None
        try:
            await queues.register(max_starts_per_second)
            await queues.resume(await queues.begun_by(executor_id))
            await _launch()
            picking_up = asyncio.create_task(
                dbos.orders.pick_up(
                    queues, executor_id, lambda: dbos.at_work() | work.left, every=pick_up_every
                )
            )
            yield
        finally:
            await _surely(_end(work, dbos, settings, picking_up))


async def _launch() -> None:
    # In another thread, so that DBOS makes a loop of its own for workflows and leaves this one
    # alone; to the end, as half of a DBOS cannot be destroyed.
    try:
        await _surely(in_thread(DBOS.launch))
    except SQLAlchemyError as error:
        raise translated(error) from error


async def _end(
    work: RunningOrders, dbos: WorkerDBOS, settings: DBOSConfig, picking_up: asyncio.Task[None] | None
) -> None:
    if picking_up is not None:
        picking_up.cancel()
        await asyncio.wait([picking_up])
    await work.end()
    await in_thread(partial(dbos.end, settings))
    _restore_default_executor()


def _restore_default_executor() -> None:
    """Give the loop a pool for threads, if it has that of the DBOS that has ended.

    DBOS's own coroutines put that in its place, if the application awaits one in this loop.
    """
    loop = asyncio.get_running_loop()
    try:
        loop.run_in_executor(None, int).cancel()
    except RuntimeError:  # it takes no more
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


async def _surely(ending: Awaitable[None]) -> None:
    """Await what must not be left half done, however often this task is cancelled meanwhile."""
    task = asyncio.ensure_future(ending)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
