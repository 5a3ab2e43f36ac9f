"""An engine, what it looks at, and who waits, in virtual time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from prolific_async._waiting.engine import Engine
from prolific_async._waiting.entries import GroupLook
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

START = 1000.0  # where the virtual clock begins; all times in these tests count from there


class Seen(NamedTuple):
    """What a look saw."""

    value: str = "pending"
    error: str | None = None


PENDING, READY, BROKEN = Seen(), Seen("ready"), Seen(error="broken")


WRONG: list[str] = []  # what was done to a waiter that must not be


def clock() -> float:
    return round(asyncio.get_running_loop().time() - START, 6)


class Waiter:
    """A waiter with a fixed gap that ends when it sees READY."""

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
        self.gap = gap
        self.fresh = fresh
        self.wants_whole = whole
        now = asyncio.get_running_loop().time()
        self.due: float | None = now
        self.deadline = None if timeout is None else now + timeout
        self.is_over = False
        self.seen: list[tuple[float, Seen]] = []
        self.ended: Any = None
        self.ended_at: float | None = None

    @property
    def again_at(self) -> float:
        return math.inf if self.due is None else self.due

    def observe(self, seen: Seen, now: float, sent: float) -> None:
        self.must_go_on("observes")
        self.seen.append((round(now - START, 6), seen))
        self.due = now + self.gap
        if seen == READY:
            self._end("ready", now)

    def expire(self, now: float, *, looking: bool, held: bool) -> None:
        self.must_go_on("expires")
        self._end("expired while looking" if looking else "expired", now)

    def fail(self, error: Any, now: float) -> None:
        self.must_go_on("fails")
        self._end(error, now)

    def must_go_on(self, what: str) -> None:
        if self.is_over:
            WRONG.append(f"{self.key} is over, and {what}")

    def _end(self, how: Any, now: float) -> None:
        self.due, self.is_over = None, True
        self.ended, self.ended_at = how, round(now - START, 6)


class Service:
    """What is looked at, by an engine of its own. Every look takes scripted seconds."""

    def __init__(
        self,
        *,
        few: float = 8,
        at_once: int = 50,
        seconds: float = 0.1,
        group_of: Callable[[str], str | None] = lambda _: "home",
        is_older: Callable[[Seen, Seen], bool] | None = None,
    ) -> None:
        self.seconds = seconds
        self.group_seconds = 0.1
        self.held = 0.0  # seconds until a look is sent
        self.shown: dict[str, Seen] = {}
        self.missing: set[str] = set()
        self.groups: list[GroupLook] = []  # scripted answers that replace the next ones
        self.singles: list[tuple[float, str]] = []
        self.wholes: list[bool] = []
        self.as_ones: list[tuple[float, str | None, list[str]]] = []
        self.patiences: list[float] = []
        self.running = 0
        self.most = 0
        self.engine = Engine(
            self.look,
            self.look_as_one,
            group_of,
            few=few,
            at_once=at_once,
            lost=self.lost,
            is_older=is_older,
        )

    def lost(self, _key: str) -> Seen:
        return Seen(error="lost")

    async def look(self, key: str, whole: bool, sent: Callable[[], None]) -> Seen:  # noqa: FBT001 - the engine's call
        if self.held:
            await asyncio.sleep(self.held)
        sent()
        self.singles.append((clock(), key))
        self.wholes.append(whole)
        await self.take(self.seconds)
        return self.shown.get(key, PENDING)

    async def look_as_one(
        self,
        name: str | None,
        keys: list[str],
        wanted: Callable[[str], bool],
        patience: float,
        sent: Callable[[], None],
    ) -> GroupLook:
        if self.held:
            await asyncio.sleep(self.held)
        sent()
        self.as_ones.append((clock(), name, keys))
        self.patiences.append(patience)
        await self.take(self.group_seconds)
        if self.groups:
            return self.groups.pop(0)
        every = set(self.engine._entries) - self.missing
        return GroupLook({key: self.shown.get(key, PENDING) for key in every if wanted(key)}, 100)

    async def take(self, seconds: float) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1

    def start(self, count: int, first: int = 0, **settings: Any) -> list[Waiter]:
        waiters = [Waiter(f"k{number}", **settings) for number in range(first, first + count)]
        for waiter in waiters:
            self.engine.start(waiter)
        return waiters

    def leave(self, waiters: list[Waiter]) -> None:
        for waiter in waiters:
            self.engine.leave(waiter)

    def at(self, key: str) -> list[float]:
        return [when for when, looked_at in self.singles if looked_at == key]

    @property
    def as_one_at(self) -> list[float]:
        return [when for when, _, _ in self.as_ones]


async def nothing_left(engine: Engine) -> None:
    wrong = WRONG.copy()
    WRONG.clear()
    assert wrong == []
    await engine.drained()  # a busy machine closes in more than one turn
    await engine.settled()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not engine._entries
    assert not engine._schedule._groups
    assert not engine._schedule._timetable._heap
    assert not engine._schedule._timetable._old
    assert not engine._queue
    assert not engine._under_way
    assert engine._schedule._timetable._timer is None
    loop: Any = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def engine_test(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def ran() -> None:
        async def main() -> None:
            await test()

        run(main())

    ran.__name__ = test.__name__
    return ran


def refused(seconds: float) -> GroupLook:
    return GroupLook(failure="429", refused_for=seconds)
