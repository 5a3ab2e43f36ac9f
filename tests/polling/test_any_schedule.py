"""Random schedules of waits, results and failures, compared with a model."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.targets import HEAVY, SINGLY_SECONDS
from tests.polling.fakes import (
    BROKEN,
    PENDING,
    READY,
    FakeWait,
    Service,
    clock,
    nothing_left,
    refused,
)
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from prolific_async import ProlificError


class Rounds:
    """Makes a loop that counts its iterations and fails if it spins."""

    def __init__(self) -> None:
        self.count = 0

    def loop(self) -> VirtualLoop:
        loop: Any = VirtualLoop()
        process = loop._process_events

        def counted(events: Any) -> None:
            self.count += 1
            if self.count == 20_000:
                raise AssertionError("the loop spins")
            process(events)

        loop._process_events = counted
        made: VirtualLoop = loop
        return made


class World(Service):
    """A service with random results, and a model of what the poller may do."""

    def __init__(self, chance: random.Random, list_threshold: float, at_once: int) -> None:
        super().__init__(list_threshold=list_threshold, at_once=at_once, group_of=self.name_of)
        self.chance = chance
        self.at_once = at_once
        self.names: dict[str, str | None] = {}
        self.kind = False  # whether every poll shows READY
        self.waiting: dict[FakeWait, asyncio.Future[None]] = {}
        self.all: list[FakeWait] = []
        self.asked: set[str] = set()
        self.sent: Counter[str | None] = Counter()  # polls in flight
        self.left_due: dict[str, float] = {}  # when a wait that wanted a poll ended
        self.jumps: list[tuple[float, float]] = []
        self.problems: list[str] = []

    def name_of(self, key: str) -> str | None:
        return self.names.get(key)

    def may_poll(self, key: str) -> bool:
        """Return whether a poll of a key is requested, and note that it has begun."""
        now = asyncio.get_running_loop().time()
        by_key = [wait for wait in self.all if wait.key == key and not wait.is_over]
        may = key in self.asked or key in self.left_due
        may = may or any(wait.due <= now + 1e-6 for wait in by_key)
        self.asked.discard(key)
        self.left_due.pop(key, None)
        return may

    def answer(self) -> PollResult:
        if self.kind:
            return READY
        return self.chance.choice((PENDING, PENDING, PENDING, PENDING, BROKEN, READY))

    def check(self, ok: object, problem: str) -> None:
        if not ok:
            self.problems.append(f"{clock()}: {problem}")

    async def send(self, what: str | None, sent: Callable[[], object]) -> None:
        """Send a poll, perhaps later, and take seconds for its response."""
        await self.take(self.chance.choice((0, 0, 0.1, 2)))
        sent()
        self.sent[what] += 1
        try:
            await self.take(self.chance.choice((0, 0.1, 0.1, 2)))
        finally:
            self.sent[what] -= 1

    async def poll(self, key: str, whole: bool, sent: Callable[[], object]) -> PollResult:  # noqa: FBT001 - the poller's call
        self.singles.append((clock(), key))
        self.check(self.may_poll(key), f"{key} is polled too early")
        await self.send(key, sent)
        return self.answer()

    async def poll_group(
        self,
        name: str | None,
        keys: list[str],
        wanted: Container[str],
        patience: float,
        sent: Callable[[], object],
    ) -> GroupResult:
        self.group_polls.append((clock(), name, keys))
        self.check(keys, "a group is polled for nobody")
        asked = self.asked.intersection(keys)
        due = [key for key in keys if self.may_poll(key)]  # each is taken as begun
        # One that asked for the poll may have ended while that was queued.
        ended = any(clock() - when < 10 for when in self.left_due.values())
        self.check(due or ended, f"group {name!r} is polled too early")
        await self.send(name, sent)
        fate = 0 if self.kind else self.chance.randrange(12)
        if fate in {1, 2}:
            self.asked |= asked
        if fate == 1:
            return GroupResult(failure="broken")
        if fate == 2:
            return refused(self.chance.choice((0, 1, 7)))
        shown = keys if fate < 9 else self.chance.sample(keys, self.chance.randint(1, len(keys)))
        found = {key: self.answer() for key in shown if key in wanted}
        self.asked |= asked - found.keys()
        self.names |= dict.fromkeys(found, "ab"[len(keys) % 2] if fate % 2 else name)
        return GroupResult(
            found=found, size=len(keys) * HEAVY * 2 if fate == 3 else 1, again=fate == 9
        )

    def leave_one(self, wait: FakeWait) -> None:
        now = asyncio.get_running_loop().time()
        if wait.due <= now:
            self.left_due[wait.key] = clock()
        self.waiting.pop(wait, None)
        self.all.remove(wait)
        self.poller.leave(wait)

    async def act(self, what: int, key: str, extent: int) -> None:
        loop: Any = asyncio.get_running_loop()
        match what:
            case 0 | 1:
                count = 12 if what else 1
                for number in range(count):
                    new = ModelWaiter(
                        self,
                        f"{key}{number}",
                        gap=(0.5, 1, 3, 10)[extent % 4],
                        timeout=(None, 0.05, 4, 20)[(extent + number) % 4],
                        fresh=(0, 1, 3)[extent % 3],
                        whole=extent == 11,
                    )
                    self.all.append(new)
                    self.waiting[new] = self.poller.start(new)
            case 2:
                for wait in list(self.waiting)[:: extent + 1]:
                    if not wait.is_over:
                        self.leave_one(wait)
            case 3:
                if f"{key}0" in self.poller._scheduler.targets:
                    self.asked.add(f"{key}0")
                self.poller.poll_now(f"{key}0")
            case 4:
                self.names[f"{key}0"] = "abc"[extent % 3]
            case 5:
                if extent > 8:
                    again = bool(self.jumps) and self.jumps[-1][1] == loop.now
                    before = self.jumps.pop()[0] if again else loop.now
                    loop.now += 5 * extent
                    self.jumps.append((before, loop.now))
            case _:
                await asyncio.sleep((0, 0.05, 0.1, 1, 3, 8)[extent % 6])


class ModelWaiter(FakeWait):
    """A wait that reports violations to its world."""

    def __init__(self, world: World, key: str, **settings: Any) -> None:
        super().__init__(key, **settings)
        self.world = world

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> None:
        super().observe(result, now, sent)
        late = now > self.deadline
        # A response that came while the loop was blocked is handled before the deadline.
        late = late and not self.slept_over(now)
        self.world.check(not late, f"{self.key} is served after its deadline")

    def expire(self, now: float, *, cut: ProlificError | None = None, held: bool = False) -> None:
        polling = cut is not None
        if self.due <= now:
            self.world.left_due[self.key] = clock()
        sent = self.world.sent
        may_poll = sent[self.key] or sent[None] or sent["a"] or sent["b"] or sent["c"]
        self.world.check(may_poll if polling else not sent[self.key], f"{self.key}: a poll is sent")
        super().expire(now, cut=cut, held=held)
        on_time = abs(now - self.deadline) < 1e-6 or self.slept_over(now)
        self.world.check(on_time, f"{self.key} is expired {now - self.deadline} s late")

    def slept_over(self, now: float) -> bool:
        """Return whether the clock jumped over the deadline."""
        over = self.deadline
        return any(before <= over <= now <= after + 1e-6 for before, after in self.world.jumps)


async def any_schedule(
    rounds: Rounds,
    actions: list[tuple[int, str, int]],
    seed: int,
    list_threshold: float,
    at_once: int,
) -> None:
    world = World(random.Random(seed), list_threshold, at_once)
    for action in actions:
        await world.act(*action)
    world.kind = True
    await asyncio.sleep(2 * SINGLY_SECONDS)
    for wait in world.all:
        world.check(wait.is_over, f"{wait.key} hangs")
    assert world.problems == []
    assert world.most <= at_once
    polls = len(world.singles) + len(world.group_polls)
    assert rounds.count < 100 + 10 * (polls + len(actions) + len(world.all))
    await nothing_left(world.poller)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6)),
        st.sampled_from("xyz"),
        st.integers(0, 11),
    ),
    max_size=40,
)


@settings(
    max_examples=10 * settings().max_examples,
    suppress_health_check=list(HealthCheck),
)
@given(
    actions=ACTIONS,
    seed=st.integers(0, 2**16),
    list_threshold=st.sampled_from((1, 3, 8, float("inf"))),
    at_once=st.sampled_from((1, 2, 5, 50)),
)
def test_any_schedule(
    actions: list[tuple[int, str, int]], seed: int, list_threshold: float, at_once: int
) -> None:
    rounds = Rounds()
    with asyncio.Runner(loop_factory=rounds.loop) as runner:
        runner.run(any_schedule(rounds, actions, seed, list_threshold, at_once))
