"""The orders that run in this process, in DBOS's event loop and in the client's."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dbos import DBOS

from prolific_async.durable.database import DatabaseUnavailableError
from prolific_async.durable.order_steps import OrderSteps, wait_until_ready
from prolific_async.errors import ConfigurationError, ProlificError
from prolific_async.extensions import log as _log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from prolific_async.batches import Batches
    from prolific_async.durable.order_queues import OrderQueues
    from prolific_async.durable.order_spec import OrderSpec

T = TypeVar("T")

_STEP = "make"
"""Name of the recorded step. DBOS refuses to replay an order under another name, so it stays."""


class RunningOrders:
    """Runs this process's share of the queue; there is at most one instance.

    DBOS runs workflows in a loop and a thread of its own, since its calls replace the default
    executor of their loop. Requests to the service run in the client's loop, in which this
    instance is made.

    Args:
        batches: The client's ``batches``, which all workflows share.
        settle_seconds: As for ``OrderSteps``.

    Attributes:
        left: Ids of orders that were left for the next worker, since the client is closed.

    """

    def __init__(self, batches: Batches, settle_seconds: float) -> None:
        self._batches = batches
        self._settle_seconds = settle_seconds
        self._client_loop = asyncio.get_running_loop()
        self._dbos_loop: asyncio.AbstractEventLoop | None = None
        # Tasks in DBOS's loop, and their orders' ids.
        self._workflows: dict[asyncio.Task[Any], str] = {}
        self._calls: set[asyncio.Task[Any]] = set()  # the workflows' calls, in the client's loop
        self._is_ending = False
        self.left: set[str] = set()

    def runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether a task runs an order."""
        return task in self._workflows

    async def end(self) -> None:
        """Stop all workflows; none records an outcome, so that each can be resumed."""
        self._is_ending = True
        loop = self._dbos_loop
        if loop is not None and loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._stop(), loop))
        while self._calls:
            await asyncio.wait(self._calls)

    async def keep_cancelling(self, queues: OrderQueues, *, every: float) -> None:
        """Stop orders that were cancelled in the database; runs until its own task is cancelled.

        By itself DBOS notices only when an order has something to record.

        Args:
            queues: The application's queues.
            every: Seconds between reads; while no order runs, nothing is read.

        """
        while True:
            await asyncio.sleep(every)
            try:
                if running := list(self._workflows.values()):
                    self._cancel(await queues.cancelled(running))
            except DatabaseUnavailableError:
                pass  # the next read tries again
            except Exception as error:  # noqa: BLE001 - else no order would be stopped any more
                _log.warning("%s; cancelled orders are searched for later", error, exc_info=error)

    def _cancel(self, ids: list[str]) -> None:
        cancelled = set(ids)
        for task, workflow_id in list(self._workflows.items()):
            if workflow_id in cancelled and self._dbos_loop is not None:
                self._dbos_loop.call_soon_threadsafe(task.cancel)

    async def run(self, spec: OrderSpec) -> dict[str, Any]:
        """Run an order, and return its copy as a dict (``Batch.to_dict``) once the copy is READY.

        DBOS calls this in its loop.
        """
        steps = OrderSteps(self._batches, spec, settle_seconds=self._settle_seconds)

        async def find_and_set_up() -> str | None:
            with self._cancel_if_closed():
                return await self._in_client_loop(steps.find_and_set_up)

        self._add_workflow(_current_task())
        with _failure_logged(spec), self._cancel_if_closed():
            # Recorded before each duplicate, in a transaction that fails if the order was moved to
            # another worker or cancelled, so that only the worker that has the order sends one.
            step = partial(DBOS.run_step_async, {"name": _STEP}, find_and_set_up)
            while (copy_id := await step()) is None:
                await self._in_client_loop(steps.duplicate)
            # Not a step: its outcome is the workflow's outcome, which is recorded anyway.
            wait = partial(wait_until_ready, self._batches, copy_id, spec)
            return (await self._in_client_loop(wait)).to_dict()

    async def _in_client_loop(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a call in the client's loop, and return its result."""

        async def run() -> T:
            task = _current_task()
            self._calls.add(task)
            task.add_done_callback(self._discard_call)
            return await call()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._client_loop))

    def _discard_call(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it once the workflow is cancelled

    def _add_workflow(self, task: asyncio.Task[Any]) -> None:
        self._dbos_loop = asyncio.get_running_loop()
        # Until the task ends: after a move of the order to another worker, DBOS awaits its result
        # in this task.
        self._workflows[task] = str(DBOS.workflow_id)
        task.add_done_callback(lambda done: self._workflows.pop(done, None))
        if self._is_ending:
            raise asyncio.CancelledError

    async def _stop(self) -> None:
        workflows = set(self._workflows)
        for workflow in workflows:
            workflow.cancel()
        if workflows:
            await asyncio.wait(workflows)

    @contextmanager
    def _cancel_if_closed(self) -> Iterator[None]:
        """If the client is closed, raise CancelledError, for which DBOS records no outcome."""
        try:
            yield
        except ProlificError as error:
            failure = error.failure
            if isinstance(error, ConfigurationError) or isinstance(failure, ConfigurationError):
                _log.error("%s; the work is left for the next start of a worker", error)
                self.left.add(str(DBOS.workflow_id))
                raise asyncio.CancelledError from error
            raise


@contextmanager
def _failure_logged(spec: OrderSpec) -> Iterator[None]:
    """Log an order's failure in one line: DBOS's own record of it, a traceback, is dropped."""
    try:
        yield
    except ProlificError as error:
        _log.info("the order of %r, a copy of %s, failed: %s", spec.name, spec.source_id, error)
        raise


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - called by coroutines
    return task
