"""The steps of an order, after and during failures, restarts and other calls."""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Any

import pytest

from prolific_async import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    RetryPolicy,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.durable.order_spec import OrderSpec
from prolific_async.durable.order_steps import OrderSteps, wait_until_ready
from prolific_async.simulator import Fault, Simulator
from tests.conftest import QUICK_RETRY

NAME = "Round 2"
PAUSES = PollPolicy(initial=0.01, maximum=0.02)


def spec(source: str, *, timeout: float | None = 60.0) -> OrderSpec:
    return OrderSpec(source, NAME, None, 5, time.time(), timeout)


def steps_of(
    client: ProlificClient, wanted: OrderSpec, *, settle_seconds: float = 0.05
) -> OrderSteps:
    return OrderSteps(client.batches, wanted, settle_seconds=settle_seconds, pauses=PAUSES)


async def made_by(steps: OrderSteps) -> str:
    while (copy_id := await steps.find_and_set_up()) is None:
        await steps.duplicate()
    return copy_id


async def make(client: ProlificClient, wanted: OrderSpec, *, settle_seconds: float = 0.05) -> str:
    return await made_by(steps_of(client, wanted, settle_seconds=settle_seconds))


def posts(sim: Simulator) -> list[str]:
    return [seen.path.rpartition("/")[2] for seen in sim.requests if seen.method == "POST"]


def copies(sim: Simulator, *, but: Iterable[str]) -> list[str]:
    return [batch_id for batch_id in sim.batches if batch_id not in but]


async def test_it_duplicates_and_sets_up_once(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    made = await make(client, spec(source))
    assert copies(sim, but=[source]) == [made]
    assert posts(sim) == ["duplicate", "setup"]
    copy = sim.batches[made]
    assert (copy.name, copy.tasks_per_group) == (NAME, 5)


async def test_it_polls_before_it_posts(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    await make(client, spec(source))
    seen = [request.method for request in sim.requests]
    assert seen[: seen.index("POST")] == ["GET", "GET"]
    assert sim.requests[1].query == {"workspace_id": sim.workspace_id}


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("UNINITIALISED", ["setup"]),
        ("PROCESSING", []),
        ("READY", []),
        ("ERROR", []),
        ("QUEUED", []),
    ],
)
async def test_a_copy_that_is_there_is_taken_and_its_status_is_polled_first(
    sim: Simulator, client: ProlificClient, status: str, sent: list[str]
) -> None:
    source = sim.add_batch()
    there = sim.add_batch(NAME, status=status)
    assert await make(client, spec(source)) == there
    assert posts(sim) == sent


async def test_the_source_itself_and_other_workspaces_are_no_copies(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch(NAME)
    elsewhere = sim.add_batch(NAME, workspace_id=sim.add_workspace())
    made = await make(client, spec(source))
    assert copies(sim, but=[source, elsewhere]) == [made]


async def test_of_several_none_is_taken(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    there = {sim.add_batch(NAME), sim.add_batch(NAME)}
    with pytest.raises(OutcomeUnknownError, match="several batches bear the name") as caught:
        await make(client, spec(source))
    assert {batch.id for batch in caught.value.candidates} == there
    assert posts(sim) == []


async def test_another_process_that_made_a_copy_at_the_same_time_is_noticed(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    steps = steps_of(client, spec(source))
    assert await steps.find_and_set_up() is None
    rival = sim.add_batch(NAME)
    await steps.duplicate()
    with pytest.raises(OutcomeUnknownError, match="several batches bear the name") as caught:
        await steps.find_and_set_up()
    assert {batch.id for batch in caught.value.candidates} == {rival, *copies(sim, but=[source])}
    assert posts(sim) == ["duplicate"]


async def test_a_copy_is_set_up_once_the_list_shows_it(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    steps = steps_of(client, spec(source), settle_seconds=60)
    assert await steps.find_and_set_up() is None
    sim.inject("GET", "/batches", Fault(503))
    sim.inject("GET", "/batches", Fault(body={"results": []}))
    await steps.duplicate()
    assert copies(sim, but=[source]) == [await steps.find_and_set_up()]
    last = [seen.path.rpartition("/")[2] for seen in sim.requests]
    assert set(last[last.index("duplicate") + 1 : -1]) == {"batches"}
    assert last[-1] == "setup"


async def test_when_the_time_is_over_before_the_list_shows_the_copy_it_is_named(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    steps = steps_of(client, spec(source), settle_seconds=60)
    assert await steps.find_and_set_up() is None
    await steps.duplicate()
    sim.inject("GET", "/batches", Fault(body={"results": []}), times=None)
    steps._spec = spec(source, timeout=0.1)
    with pytest.raises(WaitTimeoutError) as caught:
        await steps.find_and_set_up()
    (made,) = copies(sim, but=[source])
    assert caught.value.batch_id == made
    assert isinstance(caught.value.failure, OutcomeUnknownError)
    assert [batch.id for batch in caught.value.failure.candidates] == [made]


ODD: dict[str, Any] = {"total_task_count": "3", "created_by": None}


@pytest.mark.parametrize("whose", ["the source", "another"])
async def test_an_odd_batch_is_passed_over(
    sim: Simulator, client: ProlificClient, whose: str
) -> None:
    source = sim.add_batch(**(ODD if whose == "the source" else {}))
    other = sim.add_batch("Other", **ODD)
    made = await make(client, spec(source))
    assert copies(sim, but=[source, other]) == [made]
    assert posts(sim) == ["duplicate", "setup"]


async def test_an_odd_batch_of_the_name_is_the_copy(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    there = sim.add_batch(f" {NAME} ", **ODD)
    assert await make(client, spec(source)) == there
    assert posts(sim) == ["setup"]


async def test_of_several_none_is_taken_odd_or_not(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    there, odd = sim.add_batch(NAME), sim.add_batch(NAME, **ODD)
    with pytest.raises(OutcomeUnknownError) as caught:
        await make(client, spec(source))
    assert [batch.id for batch in caught.value.candidates] == [there]
    assert caught.value.unreadable == (odd,)
    assert posts(sim) == []


NO_LISTS: list[Any] = [
    {"message": "maintenance"},
    {"error": {"title": "maintenance"}},
    {"results": None, "detail": "maintenance"},
    {"id": "b-1", "status": "READY"},
    [],
    {"results": [{"id": None, "name": NAME}]},
]


@pytest.mark.parametrize("body", NO_LISTS, ids=repr)
async def test_only_a_list_shows_that_there_is_no_copy(
    sim: Simulator, client: ProlificClient, body: Any
) -> None:
    source = sim.add_batch()
    there = sim.add_batch(NAME)
    sim.inject("GET", "/batches", Fault(body=body), times=3)
    assert await make(client, spec(source)) == there
    assert posts(sim) == ["setup"]


@pytest.mark.parametrize("at_first", [503, 408])
async def test_what_passes_is_survived(
    sim: Simulator, client: ProlificClient, at_first: int
) -> None:
    source = sim.add_batch()
    for route, times in (("/batches", 5), (f"/{source}", 5)):
        sim.inject("GET", route, Fault(at_first), times=times)
    await make(client, spec(source))
    assert len(copies(sim, but=[source])) == 1


async def test_what_does_not_pass_is_raised(sim: Simulator, client: ProlificClient) -> None:
    with pytest.raises(NotFoundError):
        await make(client, spec("nowhere"))
    source = sim.add_batch(dataset_status="PROCESSING")
    with pytest.raises(BadRequestError):
        await make(client, spec(source))


async def test_a_duplicate_that_failed_in_silence_is_sent_again_once_it_has_settled(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(502))
    await make(client, spec(source), settle_seconds=0.3)
    first, second = (seen for seen in sim.requests if seen.path.endswith("/duplicate"))
    assert second.at - first.at >= 0.3
    assert len(copies(sim, but=[source])) == 1


async def test_a_duplicate_that_shows_late_is_not_sent_again(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(504))
    steps = asyncio.create_task(make(client, spec(source), settle_seconds=60))
    while posts(sim) != ["duplicate"]:
        await asyncio.sleep(0.01)
    late = sim.add_batch(NAME)
    assert await steps == late
    assert posts(sim) == ["duplicate", "setup"]


async def test_one_that_may_have_been_sent_by_a_dead_process_has_time_to_show(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    later = steps_of(client, spec(source), settle_seconds=60)
    await later.duplicate()  # which an earlier life was about to send
    steps = asyncio.create_task(made_by(later))
    while len(sim.requests) < 6:
        await asyncio.sleep(0.01)
    assert posts(sim) == []
    late = sim.add_batch(NAME)
    assert await steps == late
    assert posts(sim) == ["setup"]


async def test_one_that_a_dead_process_did_not_send_is_sent_once_it_would_have_shown(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    later = steps_of(client, spec(source), settle_seconds=0.2)
    began = time.monotonic()
    await later.duplicate()
    await made_by(later)
    assert time.monotonic() - began > 0.19
    assert posts(sim) == ["duplicate", "setup"]


@pytest.mark.slow
async def test_an_unsent_duplicate_needs_no_time_to_settle(sim: Simulator) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(429))
    once = RetryPolicy(max_attempts=1)
    async with ProlificClient(sim.token, base_url=sim.url, retry=once) as client:
        await make(client, spec(source), settle_seconds=60)
    assert len(copies(sim, but=[source])) == 1


async def test_a_batch_that_is_listed_twice_is_one(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    there = sim.add_batch(f"{NAME} ")
    shown = (await client.batches.get(there)).to_dict()
    sim.inject("GET", "/batches", Fault(body={"results": [shown, shown]}))
    assert await make(client, spec(source)) == there


async def test_a_refused_token_is_no_end(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    sim.inject("GET", f"/{source}", Fault(401), times=2)
    sim.inject("POST", "/duplicate", Fault(401))
    sim.inject("POST", "/setup", Fault(401))
    await make(client, spec(source))
    assert posts(sim) == ["duplicate"] * 2 + ["setup"] * 2


async def test_when_the_time_is_over_while_it_is_sent_there_may_be_a_copy(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(delay=60))
    steps = steps_of(client, spec(source, timeout=0.2))
    steps._copy.may_send = True
    with pytest.raises(WaitTimeoutError) as caught:
        await steps.duplicate()
    assert isinstance(caught.value.__cause__, OutcomeUnknownError)
    caught.value.__cause__ = None  # as others do to it
    assert isinstance(caught.value.failure, OutcomeUnknownError)


@pytest.mark.parametrize("life", ["the same", "a later"])
async def test_that_there_may_be_a_copy_is_told_whatever_fails_afterwards(
    sim: Simulator, client: ProlificClient, life: str
) -> None:
    source = sim.add_batch()
    steps = steps_of(client, spec(source))
    steps._copy.may_send = life == "the same"
    sim.inject("POST", "/duplicate", Fault(504))
    await steps.duplicate()
    sim.inject("GET", "/batches", Fault(503), times=None)
    steps._spec = spec(source, timeout=0.2)
    with pytest.raises(WaitTimeoutError) as caught:
        await steps.find_and_set_up()
    assert isinstance(caught.value.__cause__, OutcomeUnknownError)
    caught.value.__cause__ = None  # as others do to it
    assert isinstance(caught.value.failure, OutcomeUnknownError)


async def test_a_setup_whose_answer_is_lost_is_looked_up(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(403))  # the client itself cannot tell
    await make(client, spec(source))
    assert posts(sim) == ["duplicate", "setup"]


async def test_a_setup_of_a_dead_process_may_be_accepted_under_our_hands(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    there = sim.add_batch(NAME, status="PROCESSING")
    sim.inject("GET", "/status", Fault(body={"status": "UNINITIALISED"}))
    sim.inject("POST", "/setup", Fault(400))
    assert await make(client, spec(source)) == there
    assert posts(sim) == ["setup"]


@pytest.mark.parametrize("known", [False, True])
async def test_it_ends_when_the_time_is_over(
    sim: Simulator, client: ProlificClient, *, known: bool
) -> None:
    source = sim.add_batch()
    there = sim.add_batch(NAME) if known else source
    sim.inject("GET", "/status" if known else "/batches", Fault(503), times=None)
    steps = steps_of(client, spec(source, timeout=0.2))
    steps._copy_id, steps._may_be_set_up = (there, True) if known else (None, False)
    with pytest.raises(WaitTimeoutError) as caught:
        await steps.find_and_set_up()
    assert caught.value.batch_id == there
    assert caught.value.elapsed > 0.19  # uvloop may wake it milliseconds too early
    assert posts(sim) == []


async def test_after_its_time_nothing_is_sent(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    await client.batches.get(source)  # with a connection at hand
    late = OrderSpec(source, NAME, None, None, time.time() - 60, 59.0)
    steps = steps_of(client, late)
    steps._copy.may_send = True
    for late_step in (steps.find_and_set_up, steps.duplicate):
        with pytest.raises(WaitTimeoutError) as caught:
            await late_step()
        assert caught.value.__cause__ is None
    assert posts(sim) == []


async def test_a_closed_client_is_said(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch()
    await client.close()
    with pytest.raises(ConfigurationError):
        await make(client, spec(source))


def test_the_time_that_is_left() -> None:
    assert spec("b", timeout=None).seconds_left() is None
    assert 0 < (spec("b", timeout=60).seconds_left() or 0) <= 60
    assert OrderSpec("b", NAME, None, None, time.time() - 9, 5.0).seconds_left() == 0
    given: dict[str, Any] = {"dataset_id": None, "tasks_per_group": None}
    assert OrderSpec.checked("b", NAME, timeout=math.inf, **given).seconds_left() is None


async def test_a_wait_outlasts_an_outage(sim: Simulator) -> None:
    copy = sim.add_batch(NAME, status="READY")
    sim.inject("GET", "/status", Fault(503), times=10)
    poll = PollPolicy(initial=0.01, maximum=0.01, max_consecutive_failures=2)
    async with ProlificClient(sim.token, base_url=sim.url, poll=poll, retry=QUICK_RETRY) as client:
        assert (
            await wait_until_ready(client.batches, copy, spec("source"), pauses=PAUSES)
        ).id == copy


async def test_a_wait_ends_with_its_order_s_time(sim: Simulator) -> None:
    copy = sim.add_batch(NAME, status="PROCESSING")
    sim.inject("GET", "/status", Fault(503), times=None)
    poll = PollPolicy(initial=0.01, maximum=0.01, max_consecutive_failures=2)
    async with ProlificClient(sim.token, base_url=sim.url, poll=poll) as client:
        with pytest.raises(WaitTimeoutError):
            await wait_until_ready(client.batches, copy, spec("source", timeout=0.3))


async def test_a_wait_outlasts_a_refused_token(sim: Simulator, client: ProlificClient) -> None:
    copy = sim.add_batch(NAME, status="READY")
    sim.inject("GET", "/status", Fault(401), times=2)
    assert (await wait_until_ready(client.batches, copy, spec("source"), pauses=PAUSES)).id == copy


async def test_a_token_that_stays_refused_is_the_end_at_last(
    sim: Simulator, client: ProlificClient
) -> None:
    sim.inject("GET", "/status", Fault(401), times=None)
    with pytest.raises(WaitFailedError) as caught:
        await wait_until_ready(client.batches, "copy", spec("source", timeout=0))
    assert isinstance(caught.value.__cause__, AuthenticationError)


async def test_a_wait_that_cannot_be_mended_ends(sim: Simulator, client: ProlificClient) -> None:
    with pytest.raises(WaitFailedError) as caught:
        await wait_until_ready(client.batches, "nowhere", spec("source"))
    assert isinstance(caught.value.__cause__, NotFoundError)


@pytest.mark.usefixtures("raised_by_the_log")
async def test_a_log_that_raises_ends_no_order(sim: Simulator) -> None:
    source = sim.add_batch()
    sim.inject("GET", f"/{source}", Fault(401), times=2)
    sim.inject("POST", "/duplicate", Fault(504))
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(403))
    poll = PollPolicy(initial=0.01, maximum=0.01, max_consecutive_failures=2)
    async with ProlificClient(sim.token, base_url=sim.url, poll=poll, retry=QUICK_RETRY) as client:
        copy = await make(client, spec(source))
        sim.inject("GET", "/status", Fault(503), times=10)
        assert (
            await wait_until_ready(client.batches, copy, spec(source), pauses=PAUSES)
        ).id == copy
    assert posts(sim) == ["duplicate"] * 2 + ["setup"]


async def test_its_errors_name_the_whole_path_behind_a_gateway() -> None:
    async with ProlificClient("t", base_url="https://gateway.example/prolific") as client:
        batches = client.batches
        steps = OrderSteps(batches, spec("source", timeout=0.0), settle_seconds=30)
        await steps.duplicate()  # of an earlier life: it may have run
        with pytest.raises(WaitTimeoutError) as caught:
            await steps.find_and_set_up()
    cause = caught.value.__cause__
    assert isinstance(cause, OutcomeUnknownError)
    assert cause.path == "/prolific/api/v1/data-collection/batches/source/duplicate"
