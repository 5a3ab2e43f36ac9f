"""The worker: DBOS in this process and this event loop, and the workflow that it runs."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from dbos import DBOS

from prolific_async.durable.making import Making, wait
from prolific_async.durable.terms import Terms
from prolific_async.durable.workers_dbos import WorkersDBOS
from prolific_async.errors import ConfigurationError, ProlificError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator

    from dbos import DBOSConfig

    from prolific_async.batches import Batches

_log = logging.getLogger("prolific_async")

NAME = "prolific_async.order"

STEPS = 1
"""Raised when the workflow's steps change: DBOS runs what was begun under the same version alone,
and this version outlives releases, of this package and of applications."""

_THREADS = 20  # as many as DBOS's pool has connections; without a bound it makes one for each task


class Work:
    """What this process does of the queue; there is one at most.

    Args:
        batches: The client's, which all workflows share.
        settling: As for ``Making``.

    """

    def __init__(self, batches: Batches, settling: float) -> None:
        self._batches = batches
        self._settling = settling
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ending = False

    def is_its(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether a task runs one of its workflows."""
        return task in self._tasks

    async def end(self) -> None:
        """Stop every workflow where it is, without an outcome, so that it can be resumed."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def carry_out(self, terms: Terms) -> dict[str, Any]:
        """Return the order's batch once it is READY, as ``Batch.to_dict`` gives it."""
        making = Making(self._batches, terms, settling=self._settling)

        async def make() -> str | None:
            with _left_for_later():
                return await making.make()

        self._end_with(asyncio.current_task())
        with _left_for_later():
            # Recorded before each duplicate, in a transaction that fails when the order was given
            # to another worker or was cancelled: whoever is no longer its worker sends none.
            while (copy_id := await DBOS.run_step_async({"name": "make"}, make)) is None:
                await making.duplicate()
            # No step: its outcome is the workflow's, and is written once.
            ready = await wait(self._batches, copy_id, terms)
            return ready.to_dict()

    def _end_with(self, task: asyncio.Task[Any] | None) -> None:
        assert task is not None  # noqa: S101 - called by a coroutine
        # DBOS goes on with it when an order was given to another worker, whose result it awaits.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._ending:
            raise asyncio.CancelledError


_work: Work | None = None


@contextmanager
def at_work(work: Work) -> Iterator[None]:
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


@contextmanager
def _without_a_line_for_each(work: Work) -> Iterator[None]:
    """Keep DBOS from warning of each workflow of a worker that stops, by design, to go on later."""

    def wanted(record: logging.LogRecord) -> bool:
        # DBOS logs it in the task that was cancelled; an application's own are left alone.
        return not (
            record.getMessage().startswith("Asyncio task cancelled")
            and work.is_its(asyncio.current_task())
        )

    logger = logging.getLogger("dbos")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


@contextmanager
def _left_for_later() -> Iterator[None]:
    """Keep a client that was closed from becoming an outcome: DBOS records none of a cancelled."""
    try:
        yield
    except ProlificError as error:
        if isinstance(error, ConfigurationError) or isinstance(error.failure, ConfigurationError):
            _log.error("%s; the work is left for the next start of a worker", error)
            raise asyncio.CancelledError from error
        raise


@DBOS.workflow(name=NAME)
async def carry_out(**terms: Any) -> dict[str, Any]:
    """Run by DBOS, with the fields of ``Terms``."""
    if _work is None:
        _log.error(
            "%s was taken by a DBOS of this process that no worker of DurableBatches runs: give "
            "DurableBatches an application name that no other DBOS has, then take_over(%r)",
            DBOS.workflow_id,
            DBOS.executor_id,
        )
        raise asyncio.CancelledError("this process has no worker")
    return await _work.carry_out(Terms(**terms))


@asynccontextmanager
async def worker(
    batches: Batches,
    settings: DBOSConfig,
    *,
    settling: float,
    before: Callable[[], Awaitable[object]],
) -> AsyncGenerator[None]:
    """Run DBOS in this process and this loop until the block ends.

    Args:
        batches: The client's.
        settings: DBOS's.
        settling: As for ``Making``.
        before: Called when no workflow of this process runs, and none can begin.

    Raises:
        ConfigurationError: This process has a worker, or a DBOS that is not a worker's.

    """
    settings = {
        # With the name, since applications that share a database can share no version.
        "application_version": os.environ.get("DBOS__APPVERSION")
        or f"{settings['name']}:steps-{STEPS}",
        "log_level": "WARNING",
        "max_executor_threads": _THREADS,
        **settings,
    }
    work = Work(batches, settling)
    with at_work(work), _without_a_line_for_each(work):
        dbos = WorkersDBOS.make(settings)
        try:
            await before()
            # In this thread, since DBOS runs workflows in the loop that it is launched in.
            DBOS.launch()
            yield
        finally:
            await _surely(_end(work, dbos, settings))


async def _end(work: Work, dbos: WorkersDBOS, settings: DBOSConfig) -> None:
    await work.end()
    loop = asyncio.get_running_loop()
    # In another thread, since DBOS's own ones may wait for this loop, and not in the loop's pool,
    # which DBOS has made its own.
    with ThreadPoolExecutor(1) as pool:
        await loop.run_in_executor(pool, dbos.end, settings)
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


async def _surely(ending: Coroutine[Any, Any, None]) -> None:
    """Await what must not be left half done, however often this task is cancelled meanwhile."""
    task = asyncio.create_task(ending)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
