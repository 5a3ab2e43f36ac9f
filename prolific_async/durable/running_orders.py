"""The orders that this process carries out, between DBOS's event loop and the client's."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dbos import DBOS

from prolific_async._logging import log as _log
from prolific_async.durable.order_steps import OrderSteps, wait
from prolific_async.errors import ConfigurationError, ProlificError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from prolific_async.batches import Batches
    from prolific_async.durable.order_spec import OrderSpec

T = TypeVar("T")


class RunningOrders:
    """What this process does of the queue; there is one at most.

    DBOS runs workflows in a loop and a thread of its own, so that its calls, which take over their
    loop's default executor, hold up nobody else's. What talks to the service runs in the client's
    loop, in which this is made.

    Args:
        batches: The client's, which all workflows share.
        settle_seconds: As for ``OrderSteps``.

    Attributes:
        left: Ids of orders that are left for the next start of a worker, as the client is closed.

    """

    def __init__(self, batches: Batches, settle_seconds: float) -> None:
        self._batches = batches
        self._settle_seconds = settle_seconds
        self._loop = asyncio.get_running_loop()
        self._dbos_loop: asyncio.AbstractEventLoop | None = None
        self._workflows: set[asyncio.Task[Any]] = set()  # in DBOS's loop
        self._parts: set[asyncio.Task[Any]] = set()  # of them, in the client's loop
        self._ending = False
        self.left: set[str] = set()

    def is_its(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether a task runs one of its workflows."""
        return task in self._workflows

    async def end(self) -> None:
        """Stop every workflow where it is, without an outcome, so that it can be resumed."""
        self._ending = True
        loop = self._dbos_loop
        if loop is not None and loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._stop(), loop))
        while self._parts:
            await asyncio.wait(self._parts)

    async def carry_out(self, terms: OrderSpec) -> dict[str, Any]:
        """Return the order's batch once it is READY, as ``Batch.to_dict`` gives it.

        Called by DBOS, in its loop.
        """
        making = OrderSteps(self._batches, terms, settle_seconds=self._settle_seconds)

        async def make() -> str | None:
            with self._left_for_later():
                return await self._by_the_client(making.make)

        self._end_with(_current_task())
        with self._left_for_later():
            # Recorded before each duplicate, in a transaction that fails when the order was given
            # to another worker or was cancelled: whoever is no longer its worker sends none.
            while (copy_id := await DBOS.run_step_async({"name": "make"}, make)) is None:
                await self._by_the_client(making.duplicate)
            # No step: its outcome is the workflow's, and is written once.
            ready = await self._by_the_client(partial(wait, self._batches, copy_id, terms))
            return ready.to_dict()

    async def _by_the_client(self, part: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what a part of a workflow returns, run in the client's loop."""

        async def run() -> T:
            task = _current_task()
            self._parts.add(task)
            task.add_done_callback(self._part_is_over)
            return await part()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))

    def _part_is_over(self, task: asyncio.Task[Any]) -> None:
        self._parts.discard(task)
        if not task.cancelled():
            task.exception()  # else asyncio would log it when its workflow was cancelled meanwhile

    def _end_with(self, task: asyncio.Task[Any]) -> None:
        self._dbos_loop = asyncio.get_running_loop()
        # DBOS goes on with it when an order was given to another worker, whose result it awaits.
        self._workflows.add(task)
        task.add_done_callback(self._workflows.discard)
        if self._ending:
            raise asyncio.CancelledError

    async def _stop(self) -> None:
        workflows = set(self._workflows)
        for workflow in workflows:
            workflow.cancel()
        if workflows:
            await asyncio.wait(workflows)

    @contextmanager
    def _left_for_later(self) -> Iterator[None]:
        """Keep a closed client from becoming an outcome: DBOS records none of a cancelled task."""
        try:
            yield
        except ProlificError as error:
            failure = error.failure
            if isinstance(error, ConfigurationError) or isinstance(failure, ConfigurationError):
                _log.error("%s; the work is left for the next start of a worker", error)
                self.left.add(str(DBOS.workflow_id))
                raise asyncio.CancelledError from error
            raise


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - called by coroutines
    return task
