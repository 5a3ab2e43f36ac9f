"""``duplicate_and_wait``: duplicate, setup and wait in one call, for one copy or for many."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from prolific_async._api.batches import duplicate_batch, set_up_batch
from prolific_async._message_parts import brief
from prolific_async._recovery.setup import set_up_once
from prolific_async.errors import (
    BatchFailedError,
    OutcomeUnknownError,
    ProlificError,
    WaitTimeoutError,
)
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import EllipsisType
    from uuid import UUID

    from prolific_async._recovery.single_flight import SingleFlight
    from prolific_async.models import Batch, StatusEvent


class BatchMethods(Protocol):
    """The methods of ``Batches`` that ``duplicate_and_wait`` calls."""

    async def duplicate(self, batch: Batch | str | UUID, /) -> Batch:
        """Duplicate a batch and return the copy."""

    async def get_or_duplicate(self, batch: Batch | str | UUID, /, *, name: str) -> Batch:
        """Return the copy of a batch that has a unique name; make it if there is none."""

    async def setup(
        self, batch: Batch, /, *, dataset_id: str | None, tasks_per_group: int | None
    ) -> None:
        """Set a copy up, so that its tasks are built."""

    async def get_status(self, batch: Batch, /) -> BatchStatus | None:
        """Return a copy's status."""

    async def wait_until_ready(
        self,
        batch: Batch,
        /,
        *,
        timeout: float | EllipsisType | None,
        on_event: Callable[[StatusEvent], object] | None,
    ) -> Batch:
        """Return a copy once it is READY."""


@frozen(eq=False, repr=False)
class CopyPlan:
    """The checked arguments of ``duplicate_and_wait``, without the name.

    Attributes:
        source: The batch to copy.
        source_id: Id of the batch to copy.
        prefix: Path of a gateway before the service's own paths.
        dataset_id: As in ``Batches.setup``.
        tasks_per_group: As in ``Batches.setup``.
        timeout: Seconds for all steps of a copy, None for no limit; ``...`` for the client's
            default, which bounds the wait alone.
        on_event: As in ``Batches.wait_until_ready``.

    """

    source: Batch | str | UUID
    source_id: str
    prefix: str
    dataset_id: str | None
    tasks_per_group: int | None
    timeout: float | EllipsisType | None
    on_event: Callable[[StatusEvent], object] | None


async def duplicate_and_wait(
    batches: BatchMethods, setups: SingleFlight[str, None], plan: CopyPlan, name: str | None
) -> Batch:
    """Duplicate a batch, set the copy up, and return it once it is READY.

    Args:
        batches: The methods of ``Batches``.
        setups: The setups of named copies that are under way, by the copy's id.
        plan: The arguments of the call.
        name: Unique name of the copy, None for the default name.

    Raises:
        ProlificError: The error of the step that failed, with its ``step`` and ``copy`` set.

    """
    now = asyncio.get_running_loop().time
    began = now()
    until = None if plan.timeout is ... or plan.timeout is None else began + plan.timeout
    limit = asyncio.timeout_at(until)
    copy: Batch | None = None
    step = "duplicate"
    is_over = False
    try:
        try:
            async with limit:
                if name is None:
                    copy = await batches.duplicate(plan.source)
                else:
                    copy = await batches.get_or_duplicate(plan.source, name=name)
                step = "setup"
                if name is None:
                    await _set_up(batches, copy, plan)
                else:
                    send = partial(_set_up, batches, copy, plan)
                    status = partial(batches.get_status, copy)
                    await setups.run(copy.id, partial(set_up_once, send, status))
        except TimeoutError as error:
            if not limit.expired() or isinstance(error, ProlificError):
                raise
            is_over = True
        if is_over or copy is None:  # not in "except": the TimeoutError's traceback holds the task
            raise _timed_out(plan, copy, name, now() - began)
        step = "wait"
        timeout = plan.timeout if until is None else max(0.001, until - now())
        return await batches.wait_until_ready(copy, timeout=timeout, on_event=plan.on_event)
    except ProlificError as error:
        error.step, error.copy = step, copy
        if name is not None and isinstance(error, BatchFailedError):
            kept = f"the copy with the name {brief(name)!r} is kept and would be found again"
            error.advice = f"try again with another name: {kept}"
        raise
    finally:
        del limit  # breaks a reference cycle: limit, its task, the error, this frame


async def duplicate_and_wait_all(
    batches: BatchMethods,
    setups: SingleFlight[str, None],
    plan: CopyPlan,
    names: list[str],
    *,
    return_exceptions: bool,
) -> list[Batch | ProlificError]:
    """Make many copies, and return them, READY, in the order of their names.

    Args:
        batches: The methods of ``Batches``.
        setups: The setups of named copies that are under way, by the copy's id.
        plan: The arguments of the call.
        names: Unique names of the copies.
        return_exceptions: Whether a ProlificError is returned in place of its copy; else the first
            error cancels the other copies and is raised.

    """
    failures: list[Exception] = []

    async def outcome_of(name: str) -> Batch | ProlificError:
        try:
            return await duplicate_and_wait(batches, setups, plan, name)
        # Only a ProlificError is returned: a trace callback of the application can raise anything.
        except Exception as error:
            if return_exceptions and isinstance(error, ProlificError):
                return error
            failures.append(error)
            raise

    by_name = {name: asyncio.ensure_future(outcome_of(name)) for name in names}
    await _finish_all(by_name.values())
    if not failures:
        return [by_name[name].result() for name in names]
    first = failures[0]
    # Else this frame and the error would be in a reference cycle.
    failures.clear()
    by_name.clear()
    try:
        raise first
    finally:
        del first


async def _finish_all(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Wait for all tasks; if one raises, or this call is cancelled, cancel the others."""
    left = tasks
    try:
        if tasks:
            _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # else asyncio logs that it was never retrieved


async def _set_up(batches: BatchMethods, copy: Batch, plan: CopyPlan) -> None:
    await batches.setup(copy, dataset_id=plan.dataset_id, tasks_per_group=plan.tasks_per_group)


def _timed_out(
    plan: CopyPlan, copy: Batch | None, name: str | None, elapsed: float
) -> WaitTimeoutError:
    """Return the error of a call whose timeout ended before its wait began."""
    if copy is None:
        batch_id = plan.source_id
        request = duplicate_batch(batch_id, prefix=plan.prefix)
        check = "look for the copy in the workspace before you try again"
    else:
        batch_id = copy.id
        request = set_up_batch(batch_id, prefix=plan.prefix)
        check = "set the copy up if its status is still UNINITIALISED, else wait for it"
    lost = OutcomeUnknownError("POST", request.path)
    error = WaitTimeoutError(batch_id, None, elapsed, 0, (), lost)
    if name is not None:
        check = "try again with the same name, which goes on with that copy, and a longer timeout"
    error.advice = check
    return error
