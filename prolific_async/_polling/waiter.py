"""Wait verbs of a resource: they make and start waits, and return, yield or raise the outcomes."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from prolific_async._json.slices import TimeSlices
from prolific_async._polling.deadline import Deadline
from prolific_async._polling.kinds import BATCH_VERDICT, TargetKey
from prolific_async._polling.wait import Wait
from prolific_async._polling.wait_listeners import WaitListeners
from prolific_async._tracebacks import without_frames
from prolific_async.errors import BatchFailedError, WaitError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from prolific_async._http.transport import Transport
    from prolific_async._polling.kinds import Key, Kind, Verdict
    from prolific_async._polling.waits import Waits
    from prolific_async._validation import WaitRules
    from prolific_async.models import StatusEvent
    from prolific_async.policies import RetryPolicy

T = TypeVar("T")


class Awaited(NamedTuple):
    """What a wait is for: a batch, or what ``awaited_job`` returns.

    Attributes:
        key: Its kind and id, of a batch the id alone.
        workspace_id: The batch's workspace, None if the caller does not know it.
        error: Why the id is invalid, so that the wait fails; None if it is valid.
        verdict: What its statuses mean.
        made_at: When this client made it, in loop time; None if it did not, or for a batch, of
            which the ``Waiter`` knows it.

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
    """Return what a wait for something else than a batch is for.

    Waits with the same kind and ids share their polls, whatever their verdicts.

    Args:
        kind: Its kind.
        job_id: Its id.
        parent_id: The id of what it belongs to, if the kind's requests need that.
        verdict: What its statuses mean; by default what the kind says.
        made_at: When this client made it, in loop time, None if it did not: for
            ``not_found_grace`` from then on, a 404 counts as pending.

    """
    key = TargetKey(kind, job_id, parent_id)
    return Awaited(key, None, None, verdict or kind.verdict, made_at)


class Waiter(Generic[T]):
    """Waits for one T or many, with the settings of one client or view.

    Each verb takes the rules of its waits, and what binds a T to the client.

    Args:
        waits: All waits of the client.
        made_at: When this client made the batches that it waits for, by id, in loop time.
        transport: Tells whether the client can be used, and how long a request may last.
        retry: Pauses after failures, and the cap of the service's hints.

    """

    def __init__(
        self, waits: Waits, made_at: Mapping[str, float], transport: Transport, retry: RetryPolicy
    ) -> None:
        self._waits = waits
        self._made_at = made_at
        self._check_usable = transport.check_usable
        self._request_timeout = transport.request_timeout
        self._retry = retry

    async def wait(self, awaited: Awaited, rules: WaitRules, bind: Callable[[T], T]) -> T:
        """Wait for one thing, and return it or raise the wait's error."""
        wait = self._wait(awaited, rules)
        over = self._waits.start(wait)
        try:
            await over
        finally:
            if wait.outcome is None:
                await self._waits.leave(wait, over)
        return _result(wait, bind)

    async def wait_all(
        self,
        awaited: Iterable[Awaited],
        rules: WaitRules,
        bind: Callable[[T], T],
        *,
        return_exceptions: bool,
    ) -> list[T | WaitError]:
        """Wait for many things and return the outcomes in the order given.

        Raises:
            WaitError: The first one, unless ``return_exceptions``.

        """
        waits = await self._waits_of(awaited, rules, self._deadline(rules), copy_context())
        async with aclosing(self._waits.ended(waits)) as ended:
            async for wait in ended:
                if return_exceptions:
                    _bind_outcome(wait, bind)
                else:
                    _result(wait, bind)
        return cast("list[T | WaitError]", [wait.outcome for wait in waits])

    def as_ready(
        self, awaited: Iterable[Awaited], rules: WaitRules, bind: Callable[[T], T]
    ) -> AsyncGenerator[T | WaitError]:
        """Yield the outcome of each wait when it is over; the waits begin with this call."""
        # The rest is done in slices: making 30,000 waits at once would block the loop.
        build = partial(self._waits_of, awaited, rules, self._deadline(rules), copy_context())
        return self._outcomes_of(build, bind)

    def as_ready_of_stream(
        self, awaited: AsyncGenerator[Awaited], rules: WaitRules, bind: Callable[[T], T]
    ) -> AsyncGenerator[T | WaitError]:
        """Yield the outcome of each wait when it is over; each begins when the stream yields it."""
        stream = self._waits_of_stream(awaited, rules)
        return _outcomes(self._waits.ended_of_stream(stream, copy_context()), bind)

    def watch(
        self, awaited: Awaited, rules: WaitRules, bind: Callable[[T], T]
    ) -> AsyncGenerator[StatusEvent]:
        """Yield the events of one wait, then raise its error if it ends with one."""
        events: asyncio.Queue[StatusEvent | None] = asyncio.Queue()
        wait = self._wait(awaited, rules._replace(on_event=events.put_nowait))
        return self._watched(wait, events, bind)

    async def _watched(
        self, wait: Wait, events: asyncio.Queue[StatusEvent | None], bind: Callable[[T], T]
    ) -> AsyncGenerator[StatusEvent]:
        over = self._waits.start(wait)
        over.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
        finally:
            await self._waits.leave(wait, over)
        _result(wait, bind)

    async def _waits_of(
        self, awaited: Iterable[Awaited], rules: WaitRules, time: Deadline, context: Context
    ) -> list[Wait]:
        """Make many waits, in slices; all share a deadline and a context."""
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
        self, build: Callable[[], Awaitable[list[Wait]]], bind: Callable[[T], T]
    ) -> AsyncGenerator[T | WaitError]:
        outcomes = _outcomes(self._waits.ended(await build()), bind)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    def _wait(self, awaited: Awaited, rules: WaitRules, time: Deadline | None = None) -> Wait:
        key = awaited.key
        time = time or self._deadline(rules)
        self._check_usable()
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
            found_by=-math.inf if made_at is None else made_at + policy.not_found_grace,
        )

    def _deadline(self, rules: WaitRules) -> Deadline:
        now = asyncio.get_running_loop().time()
        return Deadline.after(now, rules.timeout, self._request_timeout)


async def _outcomes(ended: AsyncGenerator[Wait], bind: Callable[[T], T]) -> AsyncGenerator[Any]:
    async with aclosing(ended):
        async for wait in ended:
            _bind_outcome(wait, bind)
            if wait.outcome is not None:
                yield wait.outcome


def _bind_outcome(wait: Wait, bind: Callable[[Any], Any]) -> None:
    # Waits of several views may share one value, which is copied for the second of them.
    outcome = wait.outcome
    if isinstance(outcome, BatchFailedError):
        outcome.batch = outcome.batch and bind(outcome.batch)
    elif outcome is not None and not isinstance(outcome, WaitError):
        wait.outcome = bind(outcome)


def _result(wait: Wait, bind: Callable[[T], T]) -> T:
    """Return what a wait that is over has come to, or raise its error, once."""
    _bind_outcome(wait, bind)
    outcome: T | WaitError = wait.outcome
    if not isinstance(outcome, WaitError):
        return outcome
    # An error holds the frames that it has passed. What these hold must not hold the error, or
    # all of it would stay until the next collection.
    wait.outcome = None
    try:
        raise outcome
    finally:
        del outcome
