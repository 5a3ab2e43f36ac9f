"""Wait methods of a resource: make and start waits, and return, yield or raise the outcomes."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

from prolific_async._polling.deadline import Deadline
from prolific_async._polling.kinds import BATCH_VERDICT, TargetKey
from prolific_async._polling.wait import Wait
from prolific_async._polling.wait_listeners import WaitListeners
from prolific_async._time_slices import TimeSlices
from prolific_async._tracebacks import without_frames
from prolific_async.errors import BatchFailedError, WaitError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from prolific_async._polling.kinds import Key, Kind, Verdict
    from prolific_async._polling.wait_runner import WaitRunner
    from prolific_async._validation import WaitRules
    from prolific_async.models import StatusEvent
    from prolific_async.policies import RetryPolicy

    Owner: TypeAlias = Any  # a resource such as Batches, of a layer that must not be imported here

T = TypeVar("T")


class Awaited(NamedTuple):
    """The target of a wait and its verdict; for a dataset or job, ``awaited_job`` makes it.

    Attributes:
        key: Its kind and id, of a batch the id alone.
        workspace_id: The batch's workspace, None if the caller does not know it.
        error: Why the id is invalid, so that the wait fails; None if it is valid.
        verdict: What its statuses mean for the wait.
        made_at: When this client created it, in loop time; None if another client did. Not used
            for a batch, whose time ``WaitMethods`` looks up.

    """

    key: Key
    workspace_id: str | None = None
    error: ValueError | None = None
    verdict: Verdict = BATCH_VERDICT
    made_at: float | None = None


def awaited_job(
    kind: Kind,
    job_id: str,
    parent_id: str | None = None,
    *,
    verdict: Verdict | None = None,
    made_at: float | None = None,
) -> Awaited:
    """Return the target of a wait for a dataset or a job.

    Waits with the same kind and ids share their polls, whatever their verdicts.

    Args:
        kind: Its kind.
        job_id: Its id.
        parent_id: Id of the dataset or batch that it belongs to, if the kind's requests need it.
        verdict: What its statuses mean for the wait; by default the kind's verdict.
        made_at: When this client created it, in loop time, None if another client did. For
            ``not_found_grace`` from then on, a 404 counts as pending.

    """
    key = TargetKey(kind, job_id, parent_id)
    return Awaited(key, None, None, verdict or kind.verdict, made_at)


class WaitMethods(Generic[T]):
    """Waits for one target or many, with the settings of one client or view; T is a result.

    Each method takes the rules of its waits and an owner: the resource to which results are bound.

    Args:
        waits: Runs all waits of the client.
        made_at: When this client created each of its new batches, by id, in loop time.
        request_timeout: Seconds that a request may last.
        retry: Pauses after failures, and the cap of ``Retry-After``.

    Attributes:
        leave: Gives up a wait that ``start`` returned; ``WaitRunner.leave``.

    """

    def __init__(
        self,
        waits: WaitRunner,
        made_at: Mapping[str, float],
        request_timeout: float,
        retry: RetryPolicy,
    ) -> None:
        self.leave = waits.leave
        self._waits = waits
        self._made_at = made_at
        self._request_timeout = request_timeout
        self._retry = retry

    def start(self, awaited: Awaited, rules: WaitRules) -> tuple[Wait, asyncio.Future[None]]:
        """Start a wait, and return it with a future that is done when the wait is over.

        The caller awaits the future, calls ``leave`` if cancelled, and then ``result_of``. A
        coroutine for these steps would take another 250 bytes for each wait.
        """
        wait = self._wait(awaited, rules)
        return wait, self._waits.start(wait)

    async def wait(self, awaited: Awaited, rules: WaitRules, owner: Owner) -> T:
        """Wait for one target, and return its result or raise the wait's error."""
        wait, over = self.start(awaited, rules)
        try:
            await over
        finally:
            if wait.outcome is None:
                await self.leave(wait, over)
        outcome: T = result_of(wait, owner)
        return outcome

    async def wait_all(
        self,
        awaited: Iterable[Awaited],
        rules: WaitRules,
        owner: Owner,
        *,
        return_exceptions: bool,
    ) -> list[T | WaitError]:
        """Wait for many targets, and return their outcomes in the order given.

        Raises:
            WaitError: The first wait to fail ended with this, and ``return_exceptions`` is false.

        """
        waits = await self._waits_of(awaited, rules, self._deadline(rules), copy_context())
        async with aclosing(self._waits.ended(waits)) as ended:
            async for wait in ended:
                if return_exceptions:
                    _bind_outcome(wait, owner)
                else:
                    result_of(wait, owner)
        return cast("list[T | WaitError]", [wait.outcome for wait in waits])

    def as_ready(
        self, awaited: Iterable[Awaited], rules: WaitRules, owner: Owner
    ) -> AsyncGenerator[T | WaitError]:
        """Yield the outcome of each wait when it is over; the timeout runs from this call."""
        # Waits are made later, in slices: making 30,000 waits at once would block the loop.
        build = partial(self._waits_of, awaited, rules, self._deadline(rules), copy_context())
        return self._outcomes_of(build, owner)

    def as_ready_of_stream(
        self, awaited: AsyncGenerator[Awaited], rules: WaitRules, owner: Owner
    ) -> AsyncGenerator[T | WaitError]:
        """Yield the outcome of each wait when it is over; each starts when the stream yields it."""
        stream = self._waits_of_stream(awaited, rules)
        return _outcomes(self._waits.ended_of_stream(stream, copy_context()), owner)

    def watch(
        self, awaited: Awaited, rules: WaitRules, owner: Owner
    ) -> AsyncGenerator[StatusEvent]:
        """Yield the events of one wait, then raise its error if it ends with one."""
        events: asyncio.Queue[StatusEvent | None] = asyncio.Queue()
        wait = self._wait(awaited, rules._replace(on_event=events.put_nowait))
        return self._watched(wait, events, owner)

    async def _watched(
        self, wait: Wait, events: asyncio.Queue[StatusEvent | None], owner: Owner
    ) -> AsyncGenerator[StatusEvent]:
        over = self._waits.start(wait)
        over.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
        finally:
            await self._waits.leave(wait, over)
        result_of(wait, owner)

    async def _waits_of(
        self, awaited: Iterable[Awaited], rules: WaitRules, time: Deadline, context: Context
    ) -> list[Wait]:
        """Make many waits, in slices, in one context and with the same deadline."""
        waits: list[Wait] = []
        slices = TimeSlices()
        for one in awaited:
            waits.append(context.run(self._wait, one, rules, time))
            await slices.yield_if_due()
        return waits

    async def _waits_of_stream(
        self, awaited: AsyncGenerator[Awaited], rules: WaitRules
    ) -> AsyncGenerator[Wait]:
        async with aclosing(awaited):
            async for one in awaited:
                if one.error is None:
                    yield self._wait(one, rules)
                    continue
                wait = self._wait(one, rules._replace(on_event=None))
                wait.fail(without_frames(one.error), asyncio.get_running_loop().time())
                yield wait

    async def _outcomes_of(
        self, build: Callable[[], Awaitable[list[Wait]]], owner: Owner
    ) -> AsyncGenerator[T | WaitError]:
        outcomes = _outcomes(self._waits.ended(await build()), owner)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    def _wait(self, awaited: Awaited, rules: WaitRules, time: Deadline | None = None) -> Wait:
        key = awaited.key
        time = time or self._deadline(rules)
        tell = rules.on_event
        if isinstance(key, str):
            observers, made_at = self._waits.observers, self._made_at.get(key)
        else:
            observers, made_at = self._waits.job_observers, awaited.made_at
        policy = rules.policy
        return Wait(
            key=key,
            workspace_id=awaited.workspace_id,
            time=time,
            listeners=WaitListeners(key, tell, observers) if tell or observers else None,
            policy=policy,
            retry=self._retry,
            verdict=awaited.verdict,
            not_found_until=-math.inf if made_at is None else made_at + policy.not_found_grace,
        )

    def _deadline(self, rules: WaitRules) -> Deadline:
        now = asyncio.get_running_loop().time()
        return Deadline.after(now, rules.timeout, self._request_timeout)


async def _outcomes(ended: AsyncGenerator[Wait], owner: Owner) -> AsyncGenerator[Any]:
    async with aclosing(ended):
        async for wait in ended:
            _bind_outcome(wait, owner)
            if wait.outcome is not None:
                yield wait.outcome


def _bind_outcome(wait: Wait, owner: Owner) -> None:
    # Waits of several views may share one batch: ``bind`` copies it for the second view.
    outcome = wait.outcome
    if isinstance(outcome, BatchFailedError):
        outcome.batch = outcome.batch and outcome.batch.bind(owner)
    elif outcome is not None and not isinstance(outcome, WaitError):
        wait.outcome = outcome.bind(owner)


def result_of(wait: Wait, owner: Owner) -> Any:
    """Return the result of a wait that is over, or raise its error; must be called only once."""
    _bind_outcome(wait, owner)
    outcome = wait.outcome
    if not isinstance(outcome, WaitError):
        return outcome
    # An error refers to the frames that it has passed. If these referred to the error, all of
    # them would stay in memory until the next garbage collection.
    wait.outcome = None
    try:
        raise outcome
    finally:
        del outcome
