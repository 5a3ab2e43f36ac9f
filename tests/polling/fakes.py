"""Fakes for tests of the poller: waits and a status source, in virtual time."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from prolific_async import BatchStatus, PollPolicy, RetryPolicy
from prolific_async._polling.deadline import Deadline
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.poll_results import GroupResult, PollResult, failed_poll
from prolific_async._polling.poller import Poller
from prolific_async._polling.wait import Wait
from prolific_async._polling.wait_listeners import WaitListeners
from prolific_async.errors import (
    ConfigurationError,
    ConnectionLostError,
    ProlificError,
    RequestTimeoutError,
    TransportError,
)
from tests import samples
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from prolific_async import Batch, StatusEvent
    from prolific_async._http.request import PollTiming

START = 1000.0  # where the virtual clock begins; all times in these tests count from there

PENDING, READY = PollResult(BatchStatus.PROCESSING), PollResult(BatchStatus.READY)
BROKEN = PollResult(error=ConnectionLostError("GET", "/x", "broken"))
LOST = TransportError("GET", "/x", "lost")
CLOSED = ConfigurationError("closed")


def note_sent(poll: PollTiming) -> None:
    """Do what the transport does when it sends a request of a poll."""
    if poll.sent_at is None:
        poll.sent_at = asyncio.get_running_loop().time()


WRONG: list[str] = []  # calls of a wait that is over


def real_wait(
    key: str,
    *,
    poll: PollPolicy,
    retry: RetryPolicy,
    timeout: float | None,
    now: float,
    request_timeout: float = math.inf,
    made_at: float | None = None,
    on_event: Callable[[StatusEvent], object] | None = None,
    **more: Any,
) -> Wait:
    """Return a wait as ``Batches`` makes it."""
    return Wait(
        key=key,
        time=Deadline.after(now, timeout, request_timeout),
        listeners=None if on_event is None else WaitListeners(key, on_event),
        policy=poll,
        retry=retry,
        not_found_until=-math.inf if made_at is None else made_at + poll.not_found_grace,
        **more,
    )


def clock() -> float:
    return round(asyncio.get_running_loop().time() - START, 6)


class FakeWait(Wait):
    """A wait with a fixed gap that ends when it sees READY."""

    def __init__(
        self,
        key: str,
        *,
        gap: float = 3.0,
        timeout: float | None = None,
        fresh: float = 1.0,
        whole: bool = False,
    ) -> None:
        self.key = key
        self.workspace_id = None
        self.listeners = None
        self.gap = gap
        policy: Any = SimpleNamespace(initial=fresh)  # may be 0 here
        self.policy = policy
        self.needs_object = whole
        now = asyncio.get_running_loop().time()
        self.due = now
        self.deadline = math.inf if timeout is None else now + timeout
        self.outcome: Any = None
        self.seen: list[tuple[float, PollResult]] = []
        self.sent: list[float] = []  # by observed results
        self.cut: ProlificError | None = None
        self.ended: Any = None
        self.ended_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self.outcome is not None

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
        self.must_go_on("observes")
        self.sent.append(round(sent - START, 6))
        self.seen.append((round(now - START, 6), PollResult(result.status, None, result.error)))
        self.due = self.pause_until = now + self.gap
        if result.status is READY.status:
            self._finish("ready", now)

    def expire(self, now: float, *, cut: ProlificError | None = None, held: bool = False) -> None:
        self.must_go_on("expires")
        self.cut = cut
        self._finish("expired" if cut is None else "expired while polling", now)

    def fail(self, error: Any, now: float) -> None:
        self.must_go_on("fails")
        self._finish(error, now)

    def must_go_on(self, what: str) -> None:
        if self.is_over:
            WRONG.append(f"{self.key} is over, and {what}")

    def _finish(self, how: Any, now: float) -> None:
        self.due, self.outcome = math.inf, how
        self.ended, self.ended_at = how, round(now - START, 6)


class SetWorkspaces(KnownWorkspaces):
    """Workspaces that a test sets."""

    def __init__(self, group_of: Callable[[str], str | None]) -> None:
        super().__init__()
        self.group_of = group_of
        self.learnt: dict[str, str] = {}

    def of(self, batch_id: str) -> str | None:
        return self.group_of(batch_id)

    def learn(self, batch_id: str, workspace_id: str) -> None:
        """Record the call only: the test sets which workspaces are known."""
        self.learnt[batch_id] = workspace_id


class Service:
    """A status source with a poller of its own. Every poll takes scripted seconds."""

    def __init__(
        self,
        *,
        list_threshold: float = 8,
        at_once: int = 50,
        seconds: float = 0.1,
        group_of: Callable[[str], str | None] = lambda _: "home",
        checks_lists: bool = False,
    ) -> None:
        self.seconds = seconds
        self.group_seconds = 0.1
        self.held = 0.0  # seconds until a poll is sent
        self.shown: dict[str, PollResult] = {}
        self.missing: set[str] = set()
        self.groups: list[GroupResult] = []  # scripted results that replace the next ones
        self.singles: list[tuple[float, str]] = []
        self.wholes: list[bool] = []
        self.group_polls: list[tuple[float, str | None, list[str]]] = []
        self.patiences: list[float] = []
        self.failures: list[tuple[str, BaseException | None]] = []
        self.forgotten: list[str | None] = []
        self.running = 0
        self.most = 0
        source: Any = self
        self.poller = Poller(
            source, SetWorkspaces(group_of), list_threshold=list_threshold, at_once=at_once
        )
        self.scheduler = self.poller._scheduler
        self.scheduler.groups.have_checks = checks_lists

    def failed(self, key: str, error: BaseException | None) -> PollResult:
        self.failures.append((key, error))
        return failed_poll(error if isinstance(error, ProlificError) else LOST)

    def cut_off(self, key: str, *, whole: bool) -> RequestTimeoutError:
        return RequestTimeoutError("GET", f"/{key}{'' if whole else '/status'}", "over")

    def forget(self, workspace_id: str | None) -> None:
        self.forgotten.append(workspace_id)

    async def get(self, key: str, poll: PollTiming) -> Batch:
        result = raised(await self.poll(key, True, partial(note_sent, poll)))  # noqa: FBT003
        return result.value or samples.batch(str(result.status))

    async def get_status(self, key: str, poll: PollTiming) -> Any:
        return raised(await self.poll(key, False, partial(note_sent, poll))).status  # noqa: FBT003

    async def poll_list(
        self, name: str | None, keys: list[str], wanted: Container[str], poll: PollTiming
    ) -> GroupResult:
        return await self.poll_group(name, keys, wanted, poll.time_limit, partial(note_sent, poll))

    async def poll(self, key: str, whole: bool, sent: Callable[[], object]) -> PollResult:  # noqa: FBT001
        if self.held:
            await asyncio.sleep(self.held)
        sent()
        self.singles.append((clock(), key))
        self.wholes.append(whole)
        await self.take(self.seconds)
        return self.shown.get(key, PENDING)

    async def poll_group(
        self,
        name: str | None,
        keys: list[str],
        wanted: Container[str],
        patience: float,
        sent: Callable[[], object],
    ) -> GroupResult:
        if self.held:
            await asyncio.sleep(self.held)
        sent()
        self.group_polls.append((clock(), name, keys))
        self.patiences.append(patience)
        await self.take(self.group_seconds)
        if self.groups:
            return self.groups.pop(0)
        found = {
            key: self.shown.get(key, PENDING)
            for key in set(self.scheduler.targets) - self.missing
            if key in wanted
        }
        return GroupResult(found=found, size=100)

    async def take(self, seconds: float) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1

    def start(self, count: int, first: int = 0, **settings: Any) -> list[FakeWait]:
        waits = [FakeWait(f"k{number}", **settings) for number in range(first, first + count)]
        for wait in waits:
            self.poller.start(wait)
        return waits

    def leave(self, waits: list[FakeWait]) -> None:
        for wait in waits:
            self.poller.leave(wait)

    def at(self, key: str) -> list[float]:
        return [when for when, polled in self.singles if polled == key]

    @property
    def group_poll_times(self) -> list[float]:
        return [when for when, _, _ in self.group_polls]


async def nothing_left(poller: Poller) -> None:
    wrong = WRONG.copy()
    WRONG.clear()
    assert wrong == []
    await poller.until_idle()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    scheduler = poller._scheduler
    assert not scheduler.targets
    assert not scheduler.groups.by_workspace
    assert not scheduler._heap
    assert not scheduler._old
    assert not scheduler._workspaces.awaited
    assert not poller._queue
    assert not poller._under_way
    assert poller._timer is None
    loop: Any = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def poller_test(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def ran() -> None:
        async def main() -> None:
            await test()

        run(main())

    ran.__name__ = test.__name__
    return ran


def raised(result: PollResult) -> PollResult:
    """Return a result, or raise its error."""
    if result.error is not None:
        raise result.error
    return result


def refused(seconds: float) -> GroupResult:
    return GroupResult(failure="429", refused_for=seconds)
