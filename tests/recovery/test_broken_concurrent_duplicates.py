"""Duplicates under one name at the same time over loopback, broken and cancelled."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count

import pytest

from prolific_async import Batch, ProlificClient
from prolific_async.errors import BadRequestError, OutcomeUnknownError
from prolific_async.simulator import Fault
from tests.recovery.bench import GIVEN, NAMED, UNKNOWN, Bench
from tests.recovery.breaking import Break
from tests.stepping import cancelled_at

POST = "/duplicate"
ROUND = "Round 2"

AT_ONCE = {
    "all lost": [Fault(reset="after")],
    "none made": [Fault(reset="before")],
    "one of two lost": [Fault(), Fault(reset="after")],
    "one of two not made": [Fault(reset="before"), Fault()],
    "one made, the other not": [Fault(reset="after"), Fault(reset="before")],
    "of all sorts": [
        Fault(504, applied=True),
        Fault(),
        Fault(503),
        Fault(cut=60),
        Fault(reset="before"),
        Fault(400),
        Fault(201, body="<h1>", applied=True),
    ],
}


@pytest.mark.parametrize("many_sources", [False, True])
@pytest.mark.parametrize("calls", [2, 20])
@pytest.mark.parametrize(
    "name", [ROUND, None, pytest.param("Original (Copy)", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("faults", AT_ONCE.values(), ids=AT_ONCE)
async def test_duplicates_at_the_same_time_get_different_copies(
    faults: list[Fault],
    name: str | None,
    calls: int,
    many_sources: bool,  # noqa: FBT001 - a case
    bench: Bench,
) -> None:
    sim = bench.sim
    # A list does not tell of what a batch is a copy, but the simulator does: so it shows whether
    # a call was given another one's.
    sources = [sim.add_batch("Original") if many_sources else bench.source for _ in range(calls)]
    before = set(sim.batches)
    for number in range(calls):
        sim.inject("POST", POST, faults[number % len(faults)])
    async with bench.client() as client:
        outcomes = await asyncio.gather(
            *(client.batches.duplicate(source, name=name) for source in sources),
            return_exceptions=True,
        )
    copies = set(sim.batches) - before
    given = [outcome.id for outcome in outcomes if isinstance(outcome, Batch)]
    named: set[str] = set()
    for source, outcome in zip(sources, outcomes, strict=True):
        if isinstance(outcome, Batch):
            assert sim.batches[outcome.id].source_id == source
        elif isinstance(outcome, OutcomeUnknownError):
            ids = {batch.id for batch in outcome.candidates}
            named |= ids
            if many_sources:
                own = {one for one in copies if sim.batches[one].source_id == source}
                assert own <= ids
        else:
            assert isinstance(outcome, BadRequestError)
    assert len(given) == len(set(given))
    assert set(given) | named == copies
    assert len(bench.proxy.posts) == calls


@pytest.mark.parametrize("other", [ROUND, None])
async def test_a_lost_duplicate_beside_a_slow_one_is_unknown(
    other: str | None, bench: Bench
) -> None:
    name = other or "Original (Copy)"
    async with bench.client() as client:
        bench.proxy.breaks.append((POST, Break("answer", 0, "stall")))
        slow = asyncio.ensure_future(client.batches.duplicate(bench.source, name=other))
        while not bench.copies():
            await asyncio.sleep(0.001)
        bench.sim.inject("POST", POST, Fault(reset="before"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.batches.duplicate(bench.source, name=name)
        assert {batch.id for batch in caught.value.candidates} == bench.copies()
        await cancel(slow)


async def cancel(task: asyncio.Task[Batch]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("name", [ROUND, None])
async def test_the_copy_of_a_cancelled_call_is_not_given_to_another(
    name: str | None, bench: Bench
) -> None:
    async with bench.client() as client:
        bench.proxy.breaks.append((POST, Break("answer", 0, "stall")))
        call = asyncio.ensure_future(client.batches.duplicate(bench.source, name=name))
        while not bench.copies():
            await asyncio.sleep(0.001)
        await cancel(call)
        # Calls with a response, or with another name, are not in doubt.
        first = bench.copies()
        copy = await client.batches.duplicate(bench.source, name=name)
        assert {copy.id} == bench.copies() - first
        bench.sim.remove(copy.id)
        bench.sim.inject("POST", POST, Fault(reset="after"))
        other = await client.batches.duplicate(bench.source, name="Round 3")
        bench.sim.remove(other.id)
        # A call whose response is lost is in doubt.
        bench.sim.inject("POST", POST, Fault(reset="before"))
        assert await bench.outcome(client.batches.duplicate(bench.source, name=name)) == NAMED
    assert len(bench.proxy.posts) == 4


async def test_cancelled_at_every_wait(bench: Bench) -> None:
    words: list[str] = []

    async def duplicate(client: ProlificClient) -> None:
        call = client.batches.duplicate(bench.source, name=ROUND)
        assert await bench.outcome(call) == GIVEN

    for step in count(1):
        bench.proxy.posts.clear()
        bench.sim.inject("POST", POST, Fault(reset="after"))
        async with bench.client() as client:
            if not await cancelled_at(step, "waiting", partial(duplicate, client)):
                break
            for _ in range(100):  # requests that were sent may still arrive
                await asyncio.sleep(0)
            assert len(bench.proxy.posts) <= 1
            bench.sim.clear_faults()
            bench.sim.inject("POST", POST, Fault(reset="before"))
            words.append(await bench.outcome(client.batches.duplicate(bench.source, name=ROUND)))
    # Early steps send nothing, later ones make a copy; it is never given to the second call.
    assert set(words) == {UNKNOWN, NAMED}
    assert words == sorted(words, key=[UNKNOWN, NAMED].index)
