"""Calls that make or change things, broken at every byte: no second one, none lost silently."""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import DatasetSchema, OutcomeUnknownError, RetryPolicy, TaskDetails
from tests.recovery.bench import GIVEN, UNKNOWN, Bench
from tests.recovery.breaking import EVERY, Break, Ending, Side
from tests.recovery.failures import outcome_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async import ProlificClient

    Call = Callable[[], Awaitable[Any]]

ONCE = RetryPolicy(max_attempts=1)
TASK = TaskDetails("Rate", "Read both.", "Choose one.")
SCHEMA = DatasetSchema.of(prompt="text")
ENDINGS: list[Ending] = ["reset", "close"]
BATCHES, DATASETS = "/batches", "/datasets"


async def sizes(bench: Bench, call: Call) -> dict[Side, int]:
    """Return the sizes of the call's POST and of its response."""
    await call()
    request, response = bench.proxy.posts.pop()
    return {"request": len(request), "answer": len(response)}


def create(client: ProlificClient, bench: Bench) -> Awaitable[Any]:
    return client.batches.create(bench.sim.workspace_id, name="Round 2", task=TASK)


@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("every", EVERY)
async def test_a_batch_is_made_once_and_found(every: int, side: Side, bench: Bench) -> None:
    async with bench.client(ONCE) as client:
        call = partial(create, client, bench)
        size = (await sizes(bench, call))[side]
        for batch_id in bench.copies():
            bench.sim.remove(batch_id)
        words = []
        for at, ending in zip(range(0, size, every), cycle(ENDINGS), strict=False):
            bench.proxy.breaks.append((BATCHES, Break(side, at, ending)))
            words.append(await bench.outcome(call()))
    assert words == [UNKNOWN if side == "request" else GIVEN] * len(words)
    assert len(bench.proxy.posts) == len(words) > 300 // every


@pytest.mark.parametrize("side", ["request", "answer"])
async def test_a_batch_whose_create_is_silent_from_a_byte_on(side: Side, bench: Bench) -> None:
    async with bench.client(request_timeout=0.05) as client:
        call = partial(create, client, bench)
        size = (await sizes(bench, call))[side]
        for batch_id in bench.copies():
            bench.sim.remove(batch_id)
        words = []
        for at in (0, 60, size - 1):
            bench.proxy.breaks.append((BATCHES, Break(side, at, "stall")))
            words.append(await bench.outcome(call()))
    assert words == [UNKNOWN if side == "request" else GIVEN] * len(words)
    assert len(bench.proxy.posts) == len(words)


async def test_a_create_that_is_applied_after_its_time_out_is_found(bench: Bench) -> None:
    patient = RetryPolicy(max_attempts=20, initial=0.01, maximum=0.01)
    async with bench.client(patient, request_timeout=0.05) as client:
        bench.proxy.breaks.append((BATCHES, Break("request", 0, "late")))
        assert await bench.outcome(create(client, bench)) == GIVEN
    assert len(bench.proxy.posts) == 1


@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("every", EVERY)
async def test_the_outcome_of_a_dataset_s_create_is_unknown(
    every: int, side: Side, bench: Bench
) -> None:
    async with bench.client() as client:
        call = partial(client.datasets.create, bench.sim.workspace_id, name="Rows", schema=SCHEMA)
        size = (await sizes(bench, call))[side]
        stops = range(0, size, every)
        for at, ending in zip(stops, cycle(ENDINGS), strict=False):
            bench.proxy.breaks.append((DATASETS, Break(side, at, ending)))
            error = await outcome_of(call())
            assert isinstance(error, OutcomeUnknownError)
            assert error.candidates == ()
    assert len(bench.proxy.posts) == len(stops)


@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("every", EVERY)
async def test_records_whose_append_breaks_are_taken_once(
    every: int, side: Side, bench: Bench
) -> None:
    async with bench.client() as client:
        dataset = await client.datasets.create(bench.sim.workspace_id, name="R", schema=SCHEMA)
        bench.proxy.posts.clear()
        size = (await sizes(bench, partial(dataset.append, [{"prompt": "number 0000"}])))[side]
        stops = range(0, size, every)
        for at, ending in zip(stops, cycle(ENDINGS), strict=False):
            bench.proxy.breaks.append(("/datapoints", Break(side, at, ending)))
            result = await dataset.append([{"prompt": f"number {at + 1:04}"}])
            assert (result.accepted, result.rejected, result.errors) == (1, 0, ())
        assert (await dataset.refresh()).total_datapoint_count == len(stops) + 1
    assert len(bench.proxy.posts) == 2 * len(stops)
