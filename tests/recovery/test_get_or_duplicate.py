"""``get_or_duplicate`` over loopback: two hundred callers, and responses lost at every byte."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import sys
from itertools import cycle
from typing import Any

import pytest

from prolific_async import (
    Batch,
    ConfigurationError,
    ConnectionLostError,
    OutcomeUnknownError,
    ProlificClient,
    RetryPolicy,
    ServerError,
)
from prolific_async.simulator import Fault, Simulator
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.recovery import rival
from tests.recovery.bench import GIVEN, NAMED, Bench
from tests.recovery.breaking import Break, Ending, Side
from tests.recovery.failures import outcome_of

POST = "/duplicate"
CALLERS = 200
ONE_PROCESS = [59, pytest.param(1, marks=pytest.mark.slow)]
"""From one byte at which an exchange breaks to the next."""
FOUR_PROCESSES = [97, 3]


def quick(bench: Bench) -> ProlificClient:
    return ProlificClient(
        bench.sim.token,
        base_url=bench.proxy.url,
        retry=QUICK_RETRY,
        poll=QUICK_POLL,
        request_timeout=2,
    )


async def get(client: ProlificClient, source: Any, settle_seconds: float = 0.02) -> Batch:
    return await client.batches.get_or_duplicate(
        source, name="Round 2", settle_seconds=settle_seconds
    )


@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("every", ONE_PROCESS)
async def test_two_hundred_callers_of_one_process_get_one_copy(
    every: int, side: Side, bench: Bench
) -> None:
    endings: list[Ending] = ["reset", "close"]
    async with quick(bench) as client:
        size = (await bench.sizes(client, "Round 2"))[side]
        stops = range(0, size, every)
        for at, ending in zip(stops, cycle(endings), strict=False):
            bench.proxy.posts.clear()
            bench.proxy.breaks.append((POST, Break(side, at, ending)))
            calls = [asyncio.ensure_future(get(client, bench.source)) for _ in range(CALLERS)]
            for call in calls[: at % CALLERS]:  # the first one among them
                await asyncio.sleep(0)
                call.cancel()
            outcomes = await asyncio.gather(*calls[at % CALLERS :])
            assert {batch.id for batch in outcomes} == bench.copies()
            # What broke before it was there was sent again.
            assert len(bench.proxy.posts) == (2 if side == "request" else 1)
            assert await bench.outcome(get(client, bench.source)) == GIVEN
            assert not bench.proxy.breaks


async def test_callers_of_one_process_send_one_search_and_one_duplicate(bench: Bench) -> None:
    async with quick(bench) as client:
        copies = await asyncio.gather(*(get(client, bench.source) for _ in range(CALLERS)))
    assert len(set(copies)) == 1
    seen = [(one.method, one.path.rpartition("/")[2]) for one in bench.sim.requests]
    assert seen == [
        ("GET", bench.source),
        ("GET", "batches"),
        ("POST", "duplicate"),
        ("GET", "batches"),
    ]


async def test_other_names_are_made_side_by_side(bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(delay=60))
    async with quick(bench) as client:
        source = await client.batches.get(bench.source)
        slow = asyncio.ensure_future(source.get_or_duplicate(name="Round 0"))
        while not [one for one in bench.sim.in_flight if one.method == "POST"]:
            await asyncio.sleep(0.001)
        copies = await asyncio.gather(
            *(source.get_or_duplicate(name=f"Round {1 + n % 3}") for n in range(30))
        )
        assert not slow.done()
        slow.cancel()
        await asyncio.wait([slow])
    assert len({copy.id for copy in copies}) == 3
    assert [copy.name for copy in copies[:3]] == ["Round 1", "Round 2", "Round 3"]


async def test_a_job_that_runs_again_gets_its_copy(bench: Bench) -> None:
    ids = set()
    for _ in range(3):
        async with quick(bench) as client:
            ids.add((await get(client, bench.source)).id)
    assert ids == bench.copies()


async def test_a_503_that_did_nothing_is_no_end(bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(503))
    async with quick(bench) as client:
        assert await bench.outcome(get(client, bench.source)) == GIVEN
    assert len(bench.proxy.posts) == 2


async def test_searches_are_repeated_as_the_policy_says(bench: Bench) -> None:
    async with quick(bench) as client:
        for route in (f"/{bench.source}", "/batches"):
            bench.sim.inject("GET", route, Fault(503), times=2)
            bench.sim.inject("GET", route, Fault(reset="before"))
        assert await bench.outcome(get(client, bench.source)) == GIVEN
        bench.sim.inject("GET", "/batches", Fault(503), times=4)
        with pytest.raises(ServerError, match="after 4 attempts"):
            await get(client, bench.source)
    assert len(bench.proxy.posts) == 1


async def test_the_copy_is_bound_and_so_are_candidates(bench: Bench) -> None:
    async with quick(bench) as client:
        copy = await get(client, bench.source)
        assert (await copy.refresh()).name == "Round 2"
        bench.sim.add_batch("Round 2")
        with pytest.raises(OutcomeUnknownError) as caught:
            await get(client, bench.source)
        assert len(caught.value.candidates) == 2
        for one in caught.value.candidates:
            await one.get_status()


async def test_a_client_that_is_closed_ends_it(bench: Bench) -> None:
    client = quick(bench)
    bench.sim.inject("POST", POST, Fault(503), times=None)
    call = asyncio.ensure_future(outcome_of(get(client, bench.source, 1000)))
    while not bench.proxy.posts:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    await client.close()
    async with asyncio.timeout(1):
        lost = await call
    assert isinstance(lost, OutcomeUnknownError)
    assert re.search("search for its copy 'Round 2' failed: .*closed.* the same name", str(lost))
    with pytest.raises(ConfigurationError, match="closed"):
        await get(client, bench.source)


@pytest.mark.parametrize(
    ("batch", "options", "match"),
    [
        ("", {"name": "Round 2"}, "cannot be an id"),
        ("b", {"name": " "}, "name must not be blank"),
        ("b", {"name": 5}, "name must be text"),
        ("b", {"name": "Round 2", "settle_seconds": -1}, "settle_seconds must be"),
        ("b", {"name": "Round 2", "settle_seconds": float("inf")}, "settle_seconds must be"),
    ],
)
async def test_nonsense_is_refused_before_any_request(
    batch: str, options: dict[str, Any], match: str, bench: Bench
) -> None:
    async with quick(bench) as client:
        with pytest.raises(ValueError, match=match):
            await client.batches.get_or_duplicate(batch, **options)
    assert not bench.sim.requests


async def test_the_retry_policy_bounds_what_is_sent(bench: Bench) -> None:
    bench.sim.inject("POST", POST, Fault(503, headers={"X-Request-Id": "r-1"}), times=None)
    retry = RetryPolicy(max_attempts=2, initial=0)
    async with quick(bench) as client:
        view = client.with_options(retry=retry)
        with pytest.raises(OutcomeUnknownError, match=r"none was seen.*request id r-1"):
            await get(view, bench.source)
    assert len(bench.proxy.posts) == 2


@pytest.mark.slow
@pytest.mark.parametrize("every", FOUR_PROCESSES)
async def test_four_processes_never_get_different_copies(every: int, bench: Bench) -> None:
    async with quick(bench) as client:
        sizes = await bench.sizes(client, "Round 2")
        stops: list[tuple[Side, int]] = [
            (side, at) for side in ("request", "answer") for at in range(0, sizes[side], every)
        ]
        names = [f"Round {number}" for number in range(len(stops))]
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", rival.__name__, bench.proxy.url, bench.sim.token),
                *(bench.source, str(CALLERS // 4), *names),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        # Whose they are does not matter: each byte breaks one POST of somebody's.
        bench.proxy.breaks += [(POST, Break(side, at, "reset")) for side, at in stops]
        ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        told: list[dict[str, list[Any]]] = [json.loads(out) for out, _ in ended]
        for name in names:
            there = {one.id for one in bench.sim.batches.values() if one.name == name}
            of_processes = [callers[name] for callers in told]
            assert all(len(callers) == CALLERS // 4 for callers in of_processes)
            # In one process they share what they are told.
            assert all(callers == callers[:1] * len(callers) for callers in of_processes)
            outcomes = [callers[0] for callers in of_processes]
            given_back = {outcome for outcome in outcomes if isinstance(outcome, str)}
            candidates = [outcome for outcome in outcomes if isinstance(outcome, list)]
            assert len(given_back) <= 1
            assert all(isinstance(outcome, str | list) for outcome in outcomes)
            assert all(set(ids) <= there for ids in [given_back, *candidates])
            if not candidates:
                assert given_back == there
            else:
                assert len(there) > 1
            last = rival.told(
                await outcome_of(client.batches.get_or_duplicate(bench.source, name=name))
            )
            assert last == (sorted(there) if len(there) > 1 else next(iter(there)))
    assert not bench.proxy.breaks


async def test_a_rival_that_was_quicker_is_seen(bench: Bench, sim: Simulator) -> None:
    # Neither finds the other's copy, however their requests follow each other.
    sim.inject("GET", "/batches", Fault(body={"results": []}), times=2)
    sim.inject("POST", POST, Fault(delay=0.05), times=2)
    async with quick(bench) as one, quick(bench) as other:
        outcomes = await asyncio.gather(
            outcome_of(get(one, bench.source)), outcome_of(get(other, bench.source))
        )
        assert len(bench.copies()) == 2
        named = [rival.told(outcome) for outcome in outcomes]
        assert sorted(bench.copies()) in named
        assert await bench.outcome(get(one, bench.source)) == NAMED
    assert not sim.batches.keys() - {bench.source}


async def test_an_error_says_that_several_batches_bear_the_name(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch("Original")
    ids = [sim.add_batch("Round 2"), sim.add_batch("Round 2")]
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.batches.get_or_duplicate(source, name="Round 2")
    assert "several batches bear the name 'Round 2'" in str(caught.value)
    assert all(one in str(caught.value) for one in ids)
    assert "may or may not" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_an_error_says_that_a_copy_was_made_if_the_search_after_it_fails(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch("Original")
    sim.inject("GET", "/batches", Fault(body={"results": []}))
    sim.inject("GET", "/batches", Fault(403))
    with pytest.raises(OutcomeUnknownError, match="made a copy, but it is not known") as caught:
        await client.batches.get_or_duplicate(source, name="Round 2")
    assert [one.name for one in caught.value.candidates] == ["Round 2"]


@pytest.mark.parametrize("status", [403, 404])
async def test_an_error_says_why_a_lost_copy_could_not_be_searched_for(
    sim: Simulator, client: ProlificClient, status: int
) -> None:
    source = sim.add_batch("Original")
    for _ in range(2):  # the second one is the search of `duplicate` itself
        sim.inject("GET", "/batches", Fault(body={"results": []}))
    sim.inject("GET", "/batches", Fault(status), times=None)
    sim.inject("POST", POST, Fault(reset="after"))
    hasty = client.with_options(retry=RetryPolicy(max_attempts=1))
    with pytest.raises(OutcomeUnknownError) as caught:
        await hasty.batches.get_or_duplicate(source, name="Round 2")
    text = str(caught.value)
    assert "may or may not have run, and the search for its copy 'Round 2' failed: GET /" in text
    assert f"was answered with {status}" in text
    assert "give the same name, which is searched for first (candidates: none was seen" in text
    assert isinstance(caught.value.failure, ConnectionLostError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == text
