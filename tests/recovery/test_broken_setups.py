"""Setups over loopback, broken at every byte: each is accepted exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from prolific_async.errors import BadRequestError, OutcomeUnknownError
from prolific_async.simulator import AfterPolls, BatchSnapshot, Fault, Simulator
from tests.recovery.bench import Bench
from tests.recovery.breaking import EVERY, Break, Ending, Side, breaking
from tests.recovery.failures import outcome_of
from tests.stepping import cancelled_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async import ProlificClient

POST = "/setup"
LAG = Fault(body={"status": "UNINITIALISED"})


@define
class Setups:
    """Batches that are set up through a proxy, with the number of accepted setups of each."""

    bench: Bench
    accepted: Counter[str] = field(factory=Counter)

    async def outcome(self, client: ProlificClient, *breaks: Break) -> tuple[str, int]:
        """Return a setup's outcome and number of POSTs; check that it was accepted once."""
        batch_id = self.bench.sim.add_batch()
        self.bench.proxy.posts.clear()
        self.bench.proxy.breaks += [(POST, broken) for broken in breaks]
        outcome = await outcome_of(client.batches.setup(batch_id, tasks_per_group=5))
        assert self.accepted.pop(batch_id, 0) == 1, outcome
        assert self.bench.sim.batches[batch_id].tasks_per_group == 5
        word = "done" if outcome is None else type(outcome).__name__
        self.bench.sim.remove(batch_id)
        return word, len(self.bench.proxy.posts)


@pytest.fixture
async def setups() -> AsyncIterator[Setups]:
    accepted = Counter[str]()

    def accept(batch: BatchSnapshot) -> AfterPolls:
        accepted[batch.id] += 1
        return AfterPolls(2)

    async with Simulator(setup=accept) as sim, breaking(sim.url) as proxy:
        yield Setups(Bench(sim, proxy, ""), accepted)


@pytest.mark.parametrize("endings", [["reset", "close"], ["close", "reset"]])
@pytest.mark.parametrize(("side", "posts"), [("request", 2), ("answer", 1)])
@pytest.mark.parametrize("every", EVERY)
async def test_broken_at_every_byte(
    every: int, side: Side, posts: int, endings: list[Ending], setups: Setups
) -> None:
    async with setups.bench.client() as client:
        assert await setups.outcome(client) == ("done", 1)
        request, answer = setups.bench.proxy.posts.pop()
        size = len(request if side == "request" else answer)
        outcomes = [
            await setups.outcome(client, Break(side, at, ending))
            for at, ending in zip(range(0, size, every), cycle(endings), strict=False)
        ]
    assert outcomes == [("done", posts)] * len(outcomes)
    assert len(outcomes) > 100 // every


@pytest.mark.parametrize(("side", "posts"), [("request", 2), ("answer", 1)])
async def test_silent_from_a_byte_on(side: Side, posts: int, setups: Setups) -> None:
    async with setups.bench.client(request_timeout=0.05) as client:
        for at in range(0, 150, 30):
            assert await setups.outcome(client, Break(side, at, "stall")) == ("done", posts)


async def test_broken_again_and_again(setups: Setups) -> None:
    async with setups.bench.client() as client:
        breaks = [
            Break("request", 0, "reset"),
            Break("request", 200, "close"),
            Break("answer", 10, "reset"),
        ]
        assert await setups.outcome(client, *breaks) == ("done", 3)
        assert await setups.outcome(client, *breaks[:2], breaks[1], breaks[2]) == ("done", 4)


async def test_a_request_applied_after_its_time_out(setups: Setups) -> None:
    # The repeat may come first; then the late POST is refused.
    async with setups.bench.client(request_timeout=0.05) as client:
        word, posts = await setups.outcome(client, Break("request", 0, "late"))
    assert word == "done"
    assert posts in (1, 2)


def made(answer: int, body: Any) -> Fault:
    return Fault(answer, body=body, applied=True)


FAULTS = {
    **{
        f"{status}, {'' if applied else 'not '}applied": (
            Fault(status, applied=applied),
            1 if applied else 2,
        )
        for status in (408, 500, 501, 502, 503, 504, 599)
        for applied in (True, False)
    },
    "reset before": (Fault(reset="before"), 2),
    "reset after": (Fault(reset="after"), 1),
    "empty": (made(202, b""), 1),
    "no content": (made(204, None), 1),
    "not JSON": (made(202, b"{"), 1),
    "HTML": (made(202, "<h1>502</h1>"), 1),
    "a list": (made(202, []), 1),
    "deep": (made(202, b"[" * 100_000), 1),
}


@pytest.mark.parametrize(("fault", "posts"), FAULTS.values(), ids=FAULTS)
async def test_a_response_without_information(fault: Fault, posts: int, setups: Setups) -> None:
    setups.bench.sim.inject("POST", POST, fault)
    async with setups.bench.client() as client:
        assert await setups.outcome(client) == ("done", posts)


async def test_lost_after_a_429(setups: Setups) -> None:
    setups.bench.sim.inject("POST", POST, Fault(429))
    setups.bench.sim.inject("POST", POST, Fault(reset="after"))
    async with setups.bench.client() as client:
        assert await setups.outcome(client) == ("done", 2)


LOOKS = [Fault(503), Fault(reset="before"), Fault(cut=5), Fault(500)]


@pytest.mark.parametrize("polls", [LOOKS[:3], LOOKS[1:], [Fault(504)] * 3])
async def test_reads_that_fail_for_a_while(polls: list[Fault], setups: Setups) -> None:
    setups.bench.sim.inject("POST", POST, Fault(reset="after"))
    for fault in polls:
        setups.bench.sim.inject("GET", "/status", fault)
    async with setups.bench.client() as client:
        assert await setups.outcome(client) == ("done", 1)


@pytest.mark.parametrize("poll", [Fault(401), Fault(404), Fault(500), Fault(body="<h1>")])
async def test_reads_that_fail_for_good(poll: Fault, setups: Setups) -> None:
    setups.bench.sim.inject("POST", POST, Fault(reset="after"))
    setups.bench.sim.inject("GET", "/status", poll, times=None)
    async with setups.bench.client() as client:
        assert await setups.outcome(client) == (OutcomeUnknownError.__name__, 1)


@pytest.mark.parametrize("repeat", [None, Fault(400), Fault(reset="after"), Fault(503)])
async def test_a_status_that_lags_behind(repeat: Fault | None, setups: Setups) -> None:
    setups.bench.sim.inject("POST", POST, Fault(reset="after"))
    setups.bench.sim.inject("GET", "/status", LAG)
    if repeat is not None:
        setups.bench.sim.inject("POST", POST, repeat)
    async with setups.bench.client() as client:
        assert await setups.outcome(client) == ("done", 2)


@pytest.mark.parametrize("calls", [2, 20])
async def test_many_setups_of_one_batch_at_once(calls: int, setups: Setups) -> None:
    sim = setups.bench.sim
    batch_id = sim.add_batch()
    for fault in (Fault(503), Fault(reset="after"), Fault(), Fault(reset="before")):
        sim.inject("POST", POST, fault)
    async with setups.bench.client() as client:
        outcomes = await asyncio.gather(
            *(client.batches.setup(batch_id) for _ in range(calls)), return_exceptions=True
        )
    assert setups.accepted == {batch_id: 1}
    # Who was refused was so by the service, because it had accepted another call.
    assert None in outcomes
    assert all(isinstance(outcome, BadRequestError | None) for outcome in outcomes)


async def test_cancelled_at_every_wait(setups: Setups) -> None:
    sim, proxy = setups.bench.sim, setups.bench.proxy
    accepted = set()
    for step in count(1):
        proxy.posts.clear()
        batch_id = sim.add_batch()
        sim.inject("POST", POST, Fault(reset="after"))
        async with setups.bench.client() as client:
            if not await cancelled_at(step, "waiting", partial(client.batches.setup, batch_id)):
                break
            for _ in range(100):  # requests that were sent may still arrive
                await asyncio.sleep(0)
            assert len(proxy.posts) <= 1
            accepted.add(setups.accepted[batch_id])
            sim.clear_faults()
            # The next call is refused if this one was accepted, and only then.
            refused = setups.accepted[batch_id] == 1
            outcome = await outcome_of(client.batches.setup(batch_id))
            assert isinstance(outcome, BadRequestError) is refused
        assert setups.accepted[batch_id] == 1
    assert accepted == {0, 1}
