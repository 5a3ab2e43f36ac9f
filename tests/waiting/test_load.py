"""However many wait, no turn of the loop is long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import BatchStatus, PollPolicy, RetryPolicy, WaitFailedError
from prolific_async._waiting.engine import Engine
from prolific_async._waiting.entries import GroupLook
from prolific_async._waiting.look import Look
from prolific_async._waiting.wait import Wait
from prolific_async._waiting.work import FEW, Work, chunks
from prolific_async._wire.turns import Turns
from tests.costs import LIMIT, held_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PENDING = Look(BatchStatus.PROCESSING)
LONG = 600.0
MANY = [10_000, pytest.param(30_000, marks=pytest.mark.slow)]


class Crowd:
    """Waits on an engine whose polls take no time and show nothing new."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.polls = 0
        self.fails = self.is_broken = False
        self.groups: Mapping[str, str] = dict.fromkeys(keys, "home")
        self.found = dict.fromkeys(keys, PENDING)
        self.futures: list[asyncio.Future[None]] = []
        self.waits: list[Wait] = []
        self.engine = Engine(
            self.look,
            self.look_as_one,
            self.group_of,
            few=8,
            at_once=50,
            lost=lambda _key: PENDING,
        )

    def group_of(self, key: str) -> str | None:
        return self.groups.get(key)

    async def look(self, *_: object) -> Look:
        await asyncio.sleep(0)
        self.polls += 1
        if self.is_broken:
            raise ZeroDivisionError
        return PENDING

    async def look_as_one(self, name: str | None, *_: object) -> GroupLook:
        self.polls += 1
        if self.fails:
            return GroupLook(failure="no list")
        if name is None:
            self.groups = dict.fromkeys(self.keys, "home")
        return GroupLook(self.found, again=name is None)

    async def start(self, *, gap: float = LONG, timeout: float = LONG) -> None:
        poll = PollPolicy(initial=gap, maximum=gap, factor=1)
        turns = Turns()
        until = asyncio.get_running_loop().time() + timeout
        for key in self.keys:
            now = asyncio.get_running_loop().time()
            wait = Wait(key, poll=poll, retry=RetryPolicy(), timeout=until - now, now=now)
            self.waits.append(wait)
            self.futures.append(self.engine.start(wait))
            await turns.give()

    async def polled(self, polls: int = 1) -> None:
        """Return when all have seen so many polls."""
        while any(wait._polls < polls for wait in (self.waits[0], self.waits[-1])):
            await asyncio.sleep(0.001)
        await self.engine.drained()

    async def close(self) -> None:
        self.engine.close(RuntimeError("closed"))
        await self.engine.drained()


def many(number: int) -> list[str]:
    return [f"k{index}" for index in range(number)]


def one(number: int) -> list[str]:
    return ["k"] * number


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("keys", [many, one])
async def test_starts_polls_and_close(keys: Any, number: int) -> None:
    names = keys(number)
    kept: list[Crowd] = []  # what is freed in a turn belongs to the one before

    async def call() -> None:
        crowd = Crowd(names)
        kept.append(crowd)
        await crowd.start(gap=0.5)
        await crowd.polled(3)
        await crowd.close()
        assert all(future.done() for future in crowd.futures)

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("keys", [many, one])
async def test_a_common_deadline(keys: Any, number: int) -> None:
    names = keys(number)
    kept: list[Crowd] = []

    async def call() -> None:
        crowd = Crowd(names)
        kept.append(crowd)
        await crowd.start(timeout=number / 20_000)
        # On a busy machine some may end a second later, as after a loop that was blocked.
        async with asyncio.timeout(10):
            while not all(future.done() for future in crowd.futures):
                await asyncio.sleep(0.01)

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("keys", [many, one])
async def test_all_leave(keys: Any, number: int) -> None:
    names = keys(number)
    kept: list[Crowd] = []

    async def call() -> None:
        crowd = Crowd(names)
        kept.append(crowd)
        await crowd.start()
        await crowd.polled()
        crowd.engine.for_each(crowd.waits, crowd.engine.leave)
        await crowd.engine.drained()
        assert not crowd.engine._entries

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize(
    ("fails", "number"),
    [
        ("fails", 10_000),
        pytest.param("fails", 30_000, marks=pytest.mark.slow),
        ("is learnt", 10_000),
        pytest.param("is learnt", 30_000, marks=pytest.mark.slow),
    ],
)
async def test_a_group_that(fails: str, number: int) -> None:
    names = many(number)
    kept: list[Crowd] = []

    async def call() -> None:
        crowd = Crowd(names)
        kept.append(crowd)
        crowd.groups = {}
        crowd.fails = fails == "fails"
        await crowd.start()
        if crowd.fails:
            await asyncio.sleep(0.2)
        else:
            await crowd.polled()
        assert crowd.polls
        await crowd.close()

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", MANY)
async def test_a_bug_that_ends_all_of_one_batch(number: int) -> None:
    names = one(number)
    kept: list[Crowd] = []

    async def call() -> None:
        crowd = Crowd(names)
        kept.append(crowd)
        await crowd.start(gap=0.5)
        crowd.is_broken = True
        await asyncio.gather(crowd.futures[0], crowd.futures[-1])
        await crowd.engine.drained()
        assert all(future.done() for future in crowd.futures)
        assert all(isinstance(wait.outcome, WaitFailedError) for wait in crowd.waits)

    assert await held_by(call) < LIMIT


async def test_who_leaves_while_a_bug_ends_all_is_told_nothing() -> None:
    crowd = Crowd(one(5000))
    await crowd.start()
    crowd.engine.look_now("k")
    crowd.is_broken = True
    await crowd.futures[0]
    assert not crowd.futures[-1].done()
    crowd.engine.leave(crowd.waits[-1])
    await crowd.engine.drained()
    assert crowd.waits[-1].outcome is None
    assert [future.done() for future in crowd.futures] == [True] * 4999 + [False]
    assert crowd.engine._failing == {}


async def test_who_comes_while_a_list_is_shown_is_polled() -> None:
    crowd = Crowd(many(5000))
    await crowd.start()
    showing = asyncio.create_task(crowd.polled())
    late: list[Wait] = []
    for number in range(200):
        now = asyncio.get_running_loop().time()
        poll = PollPolicy(initial=LONG, maximum=LONG, factor=1)
        late.append(Wait(f"late{number}", poll=poll, retry=RetryPolicy(), timeout=LONG, now=now))
        crowd.groups = {**crowd.groups, late[-1].key: "home"}
        crowd.found[late[-1].key] = PENDING
        crowd.engine.start(late[-1])
        await asyncio.sleep(0)
    await showing
    async with asyncio.timeout(5):
        while any(wait._polls == 0 for wait in late):
            await asyncio.sleep(0.001)
    await crowd.close()


# --- slices ----------------------------------------------------------------------------------


def test_chunks_are_all_there_is() -> None:
    for size in (0, 1, FEW, FEW + 1, 3 * FEW):
        assert [one for some in chunks(list(range(size))) for one in some] == list(range(size))


async def test_what_is_short_is_done_at_once() -> None:
    after: list[None] = []
    work = Work(lambda: after.append(None))
    done: list[int] = []

    def steps() -> Iterator[None]:
        for number in range(3):
            done.append(number)
            yield

    work.do(steps())
    assert done == [0, 1, 2]
    await work.drained()
    assert after == []


def busy(done: list[str], name: str, steps: int = 3) -> Iterator[None]:
    for _ in range(steps):
        until = time.perf_counter() + 0.003
        while time.perf_counter() < until:
            pass
        done.append(name)
        yield


async def test_what_is_long_is_done_in_turns_and_in_order() -> None:
    after: list[None] = []
    work = Work(lambda: after.append(None))
    done: list[str] = []
    work.do(busy(done, "a"))
    work.do(busy(done, "b"))
    work.do(busy(done, "c", 1))
    assert done == ["a"] * len(done)
    assert len(done) < 3
    await work.drained()
    assert done == ["a"] * 3 + ["b"] * 3 + ["c"]
    assert len(after) >= 2


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError, KeyboardInterrupt])
def test_what_raises_stops_no_other(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    works: list[Work] = []

    def broken() -> Iterator[None]:
        yield from busy(done, "a")
        raise error

    async def main() -> None:
        works.append(Work(lambda: None))
        works[0].do(broken())
        works[0].do(busy(done, "b"))
        await works[0].drained()

    with asyncio.Runner() as runner:
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                runner.run(main())

            async def rest() -> None:
                await works[0].drained()

            runner.run(rest())
        else:
            runner.run(main())
            assert "is broken" in caplog.text
    assert done == ["a"] * 3 + ["b"] * 3
