"""Many waits at once over loopback: how many requests each scenario costs."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections import Counter
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from benchmarks.waits_server import BatchPlan, Plan, serving_waits
from prolific_async import (
    Batch,
    BatchFailedError,
    BatchStatus,
    ConfigurationError,
    NotFoundError,
    PollPolicy,
    ProlificClient,
    RateLimitedError,
    StatusEvent,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.simulator import AfterPolls, AfterSeconds, Fault, SeenRequest, Simulator
from tests import samples
from tests.conftest import QUICK_RETRY
from tests.costs import LIMIT, held_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

ROOT = "/api/v1/data-collection"
GAP = 0.02
EVEN = PollPolicy(initial=GAP, maximum=GAP, factor=1, jitter=0, timeout=10)
SLOW = PollPolicy(initial=30, maximum=30, factor=1, jitter=0, timeout=100)


def of_client(sim: Simulator, **options: Any) -> ProlificClient:
    given: dict[str, Any] = {"poll": EVEN, "retry": QUICK_RETRY, "request_timeout": 5, **options}
    return ProlificClient(sim.token, base_url=sim.url, **given)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lists be slow, as they are on a busy machine."""
    monkeypatch.setattr("prolific_async._polling.list_polls.PATIENCE", 5.0)


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ProlificClient]:
    async with of_client(sim) as even:
        yield even


def kind(request: SeenRequest) -> str:
    if request.method == "POST":
        return request.path.rpartition("/")[2]
    if request.path.endswith("/status"):
        return "status"
    return "list" if request.path.endswith("/batches") else "batch"


def counted(sim: Simulator, since: int = 0) -> dict[str, int]:
    return dict(Counter(map(kind, sim.requests[since:])))


def of_kind(sim: Simulator, what: str) -> list[SeenRequest]:
    return [request for request in sim.requests if kind(request) == what]


def polled(sim: Simulator, batch_id: str) -> int:
    return sum(f"/{batch_id}" in request.path for request in sim.requests)


def going(sim: Simulator, count: int, **more: Any) -> list[str]:
    more = {"status": "PROCESSING"} | more
    return [sim.add_batch(f"Batch {index}", **more) for index in range(count)]


async def known(client: ProlificClient, ids: list[str]) -> list[Batch]:
    """Return batches after single gets, so that their workspace is known without a list."""
    return await asyncio.gather(*(client.batches.get(one) for one in ids))


def tasks() -> set[asyncio.Task[Any] | None]:
    """Return all tasks but the simulator's, which run in the same loop."""
    return {task for task in asyncio.all_tasks() if "aiohttp/web" not in repr(task)}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def now() -> float:
    return asyncio.get_running_loop().time()


def all_ready(batches: list[Batch] | list[Batch | WaitError], ids: list[str]) -> bool:
    return [(one.id, one.status) for one in batches if isinstance(one, Batch)] == [
        (one, BatchStatus.READY) for one in ids
    ]


@pytest.fixture
def sim_of() -> Callable[..., Any]:
    @asynccontextmanager
    async def make(polls: int) -> AsyncIterator[Simulator]:
        async with Simulator(setup=AfterPolls(polls)) as simulator:
            yield simulator

    return make


# --- one batch -------------------------------------------------------------------------------


async def test_a_thousand_waits_on_one_id_send_the_requests_of_one(
    sim: Simulator, client: ProlificClient
) -> None:
    (batch_id,) = going(sim, 1)
    events: list[list[StatusEvent]] = [[] for _ in range(1000)]
    batches = await asyncio.gather(
        *(client.batches.wait_until_ready(batch_id, on_event=one.append) for one in events)
    )
    assert counted(sim) == {"status": 3, "batch": 1}
    assert all_ready(batches, [batch_id] * 1000)
    for seen in events:
        assert [(one.polls, one.status) for one in seen] == [
            (1, "PROCESSING"),
            (2, "PROCESSING"),
            (3, "READY"),
        ]
    assert not tasks() - {asyncio.current_task()}


@pytest.mark.parametrize("how", ["polls", "newcomers", "wait_all", "as_ready"])
async def test_on_event_has_no_task_to_cancel(
    sim: Simulator, client: ProlificClient, how: str
) -> None:
    (batch_id,) = going(sim, 1)

    def cancel(_: StatusEvent) -> None:
        task = asyncio.current_task()
        called.append(task)
        if task is not None:
            task.cancel()

    called: list[object] = []
    other = asyncio.create_task(client.batches.wait_until_ready(batch_id))
    if how == "newcomers":  # which take the result of the first one
        await until(lambda: polled(sim, batch_id))
        await asyncio.sleep(GAP / 4)
    if how == "wait_all":
        ready = await client.batches.wait_all([batch_id] * 3, on_event=cancel)
    elif how == "as_ready":
        outcomes = client.batches.as_ready([batch_id] * 3, on_event=cancel)
        ready = [one async for one in outcomes if isinstance(one, Batch)]
    else:
        waits = [client.batches.wait_until_ready(batch_id, on_event=cancel) for _ in range(3)]
        ready = list(await asyncio.gather(*waits))
    assert all_ready(ready, [batch_id] * 3)
    assert (await other).status is BatchStatus.READY
    assert set(called) == {None}
    assert not tasks() - {asyncio.current_task()}


async def test_the_last_of_a_thousand_waits_for_one_id_goes_on(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    sim.set_status(batch_id, "PROCESSING")
    waits = [asyncio.create_task(client.batches.wait_until_ready(batch_id)) for _ in range(1000)]
    await until(lambda: len(sim.requests) == 2)
    for wait in waits[:-1]:
        wait.cancel()
    await asyncio.wait(waits[:-1])
    assert all(wait.cancelled() for wait in waits[:-1])
    before = len(sim.requests)
    await until(lambda: len(sim.requests) >= before + 3)
    sim.set_status(batch_id, "READY")
    assert (await waits[-1]).status == "READY"
    assert set(counted(sim)) == {"status", "batch"}
    after = len(sim.requests)
    await asyncio.sleep(0.05)
    assert len(sim.requests) == after


async def test_polls_end_with_the_last_wait(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    sim.set_status(batch_id, "PROCESSING")
    sim.inject("GET", "/status", Fault(delay=3), times=1)
    waits = [asyncio.create_task(client.batches.wait_until_ready(batch_id)) for _ in range(50)]
    await until(lambda: sim.in_flight)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
    assert not tasks() - {asyncio.current_task()}
    await asyncio.sleep(0.05)
    assert len(sim.requests) == 1


async def test_a_joining_wait_takes_a_fresh_result(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    sim.set_status(batch_id, "PROCESSING")
    first = asyncio.create_task(client.batches.wait_until_ready(batch_id, poll=SLOW))
    await until(lambda: len(sim.requests) == 1)
    await asyncio.sleep(0.01)
    events: list[StatusEvent] = []
    second = asyncio.create_task(
        client.batches.wait_until_ready(batch_id, poll=SLOW, on_event=events.append)
    )
    await until(lambda: events)
    assert (events[0].polls, events[0].status) == (1, "PROCESSING")
    assert len(sim.requests) == 1
    for task in (first, second):
        task.cancel()
    await asyncio.wait([first, second])


# --- one workspace ---------------------------------------------------------------------------


async def test_a_hundred_batches_of_one_workspace_are_polled_as_a_group(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 100)
    batches = await known(client, ids)
    for one in ids:  # the gets were polls
        sim.set_status(one, "UNINITIALISED")
    await asyncio.gather(*(one.setup() for one in batches))
    before = len(sim.requests)
    ready = await client.batches.wait_all(batches)
    assert all_ready(ready, ids)
    assert counted(sim, before) == {"list": 3}
    assert {one.query["workspace_id"] for one in of_kind(sim, "list")} == {sim.workspace_id}
    # Bound, and whole.
    assert await ready[0].refresh() == ready[0]


async def test_a_hundred_single_waits_are_polled_as_a_group(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 100)
    batches = await known(client, ids)
    before = len(sim.requests)
    ready = await asyncio.gather(*(one.wait_until_ready() for one in batches))
    assert all_ready(ready, ids)
    assert counted(sim, before) == {"list": 2}


async def test_a_hundred_ids_are_polled_as_a_group(sim: Simulator, client: ProlificClient) -> None:
    ids = going(sim, 100)
    assert all_ready(await client.batches.wait_all(ids), ids)
    counts = counted(sim)
    assert counts.pop("batch") == 1
    assert counts == {"list": 3}


async def test_ids_from_an_earlier_list_need_no_search_for_their_workspace(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 100)
    await client.batches.list(sim.workspace_id)
    assert all_ready(await client.batches.wait_all(ids), ids)
    assert counted(sim) == {"list": 3}


async def test_seven_batches_are_polled_singly(sim: Simulator, client: ProlificClient) -> None:
    ids = going(sim, 7)
    assert all_ready(await client.batches.wait_all(await known(client, ids)), ids)
    assert counted(sim) == {"batch": 14, "status": 14}


async def test_strategy_status_never_lists(sim: Simulator) -> None:
    ids = going(sim, 30)
    async with of_client(sim, strategy="status") as client:
        assert all_ready(await client.batches.wait_all(ids), ids)
    assert counted(sim) == {"batch": 30, "status": 90}


@pytest.mark.usefixtures("patient")
async def test_strategy_list_lists_from_the_first_batch_on(sim: Simulator) -> None:
    (batch_id,) = going(sim, 1)
    async with of_client(sim, strategy="list") as client:
        batch = await client.batches.get(batch_id)
        assert (await batch.wait_until_ready()).status == "READY"
        assert counted(sim) == {"batch": 1, "list": 2}
        sim.set_status(batch_id, "READY")
    async with of_client(sim, strategy="list") as client:
        before = len(sim.requests)
        assert (await client.batches.wait_until_ready(batch_id)).status == "READY"
        assert counted(sim, before)["batch"] == 1
        assert "status" not in counted(sim)


async def test_strategy_list_lists_whatever_the_size_and_latency(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async._polling.list_polls.PATIENCE", 0.0)
    batch_id, *_ = [sim.add_batch("long " * 5000, status="PROCESSING") for _ in range(10)]
    async with of_client(sim, strategy="list") as client:
        batch = await client.batches.get(batch_id)
        sim.inject("GET", "/batches", Fault(delay=0.05))
        assert (await batch.wait_until_ready()).status == "READY"
        assert counted(sim) == {"batch": 1, "list": 2}


async def test_new_waits_do_not_wait_for_the_next_list(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(20)]
    late = sim.add_batch(status="READY")
    batches = await known(client, [*ids, late])
    waits = asyncio.create_task(client.batches.wait_all(batches[:-1], poll=SLOW))
    await until(lambda: of_kind(sim, "list"))
    before = len(sim.requests)
    ready = await asyncio.wait_for(batches[-1].wait_until_ready(poll=SLOW), 2)
    assert ready.status == "READY"
    assert len(sim.requests) - before <= 2
    waits.cancel()
    await asyncio.wait([waits])


# --- bare ids of several workspaces ----------------------------------------------------------


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("workspaces", [2, 5])
async def test_workspaces_are_learnt_one_after_the_other(
    workspaces: int, sim_of: Callable[..., Any]
) -> None:
    async with sim_of(6) as sim, of_client(sim) as client:
        names = [sim.add_workspace() for _ in range(workspaces)]
        ids = [
            sim.add_batch(status="PROCESSING", workspace_id=names[index % workspaces])
            for index in range(workspaces * 20)
        ]
        assert all_ready(await client.batches.wait_all(ids), ids)
        counts = counted(sim)
        assert "status" not in counts
        assert counts["batch"] == workspaces
        # Seven polls of each, a few more where two lists were not yet in step.
        assert 6 * workspaces <= counts["list"] <= 9 * workspaces
        lists = Counter(one.query["workspace_id"] for one in of_kind(sim, "list"))
        assert set(lists) == set(names)


async def test_a_list_longer_than_the_memory_of_workspaces_is_searched_once(
    monkeypatch: pytest.MonkeyPatch, sim: Simulator, client: ProlificClient
) -> None:
    monkeypatch.setattr("prolific_async._polling.known_workspaces._GENERATION", 10)
    ids = going(sim, 100)
    assert all_ready(await client.batches.wait_all(ids[:40]), ids[:40])
    assert counted(sim) == {"batch": 1, "list": 3}


async def test_whole_batches_need_no_memory_of_their_workspace(
    monkeypatch: pytest.MonkeyPatch, sim: Simulator, client: ProlificClient
) -> None:
    monkeypatch.setattr("prolific_async._polling.known_workspaces._GENERATION", 10)
    ids = going(sim, 100)
    batches = await client.batches.list(sim.workspace_id)
    assert all_ready(await client.batches.wait_all(batches), ids)
    assert set(counted(sim)) == {"list"}


@pytest.mark.parametrize("count", [8, 35, 100])
async def test_a_machine_that_is_slow_to_start_waits_polls_them_as_a_group(
    monkeypatch: pytest.MonkeyPatch, count: int, sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, count)
    batches = await client.batches.list(sim.workspace_id)
    monkeypatch.setattr("prolific_async._time_slices._SLICE", -1.0)  # over at once
    assert all_ready(await client.batches.wait_all(batches), ids)
    assert set(counted(sim)) == {"list"}


async def test_batches_of_another_client_tell_their_workspace(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 8, status="UNINITIALISED")
    batches = await known(client, ids)
    async with of_client(sim) as ours:
        for batch in batches:
            with pytest.raises(WaitTimeoutError):
                await ours.batches.wait_until_ready(batch, timeout=0)
        before = len(sim.requests)
        await ours.batches.wait_all(ids, timeout=0, return_exceptions=True)
        assert counted(sim, before) == {"list": 1}


async def wait_all(client: ProlificClient, ids: list[str]) -> None:
    await client.batches.wait_all(ids)


async def wait_for_each(client: ProlificClient, ids: list[str]) -> None:
    await asyncio.gather(*map(client.batches.wait_until_ready, ids))


@pytest.mark.parametrize("wait", [wait_all, wait_for_each])
async def test_ended_waits_leave_nothing_in_memory(
    wait: Any, monkeypatch: pytest.MonkeyPatch, sim: Simulator, client: ProlificClient
) -> None:
    monkeypatch.setattr("prolific_async._polling.known_workspaces._GENERATION", 10)
    waits = client.batches.state.wait_runner
    for _ in range(3):
        await wait(client, going(sim, 100))
        assert not client.batches.state.workspaces._newer
        assert not client.batches.state.workspaces._older
        assert waits._poller is not None
        assert not waits._poller._requests._lists
        scheduler = waits._poller._scheduler
        assert sys.getsizeof(scheduler.targets) == sys.getsizeof({})
        assert sys.getsizeof(client.batches.state.workspaces.awaited) == sys.getsizeof(set())


@pytest.mark.slow
@pytest.mark.parametrize("wait", [wait_all, wait_for_each])
async def test_no_memory_stays_allocated_for_many_waits_that_are_over(wait: Any) -> None:
    rounds = [[f"{number}-{index}" for index in range(3000)] for number in range(3)]
    plan = Plan(
        tuple(
            BatchPlan(batch_id, f"w{number}", ready_after=0)
            for number, ids in enumerate(rounds)
            for batch_id in ids
        )
    )
    with serving_waits(plan) as service:
        service.begin(0)
        async with ProlificClient("t", base_url=service.url) as client:
            await client.batches.wait_until_ready(rounds[0][0])
            gc.collect()
            before = sys.getallocatedblocks()
            for ids in rounds:
                await wait(client, ids)
            await asyncio.sleep(0)
            gc.collect()
            # A connection and the newest URLs, which yarl keeps; one for each batch would be 9,000.
            assert sys.getallocatedblocks() - before < 1000


async def test_the_search_for_workspaces_ends(client: ProlificClient, sim: Simulator) -> None:
    names = [sim.add_workspace() for _ in range(2)]
    ids = [
        sim.add_batch(workspace_id=names[index % 2], status="UNINITIALISED") for index in range(40)
    ]
    waits = asyncio.create_task(client.batches.wait_all(ids, poll=SLOW))
    await until(lambda: len(of_kind(sim, "list")) >= 2)
    for _ in range(6):
        await asyncio.sleep(0.05)
    waits.cancel()
    await asyncio.wait([waits])
    assert counted(sim) == {"batch": 2, "list": 2}


@pytest.mark.parametrize("first", [False, True])
async def test_unknown_ids_fail_alone(
    first: bool,  # noqa: FBT001 - a parameter
    sim: Simulator,
    client: ProlificClient,
) -> None:
    ids = going(sim, 30)
    strangers = [f"stranger-{index}" for index in range(3)]
    given = [*strangers, *ids] if first else [*ids[:10], *strangers, *ids[10:]]
    outcomes = await client.batches.wait_all(given, return_exceptions=True)
    for one, outcome in zip(given, outcomes, strict=True):
        if one in strangers:
            assert isinstance(outcome, WaitFailedError)
            assert isinstance(outcome.__cause__, NotFoundError)
            assert polled(sim, one) == 1
        else:
            assert isinstance(outcome, Batch)
            assert (outcome.id, outcome.status) == (one, "READY")


async def test_an_unknown_id_in_front_does_not_prevent_a_group(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 50)
    outcomes = await client.batches.wait_all(["stranger", *ids], return_exceptions=True)
    assert all_ready(outcomes[1:], ids)
    assert sum(counted(sim).values()) < 60


async def test_a_batch_of_another_workspace_in_front_does_not_prevent_a_group(
    sim: Simulator, client: ProlificClient
) -> None:
    lonely = sim.add_batch(workspace_id=sim.add_workspace(), status="PROCESSING")
    ids = [lonely, *going(sim, 50)]
    assert all_ready(await client.batches.wait_all(ids), ids)
    assert sum(counted(sim).values()) < 60


async def test_a_failed_search_for_a_workspace_does_not_prevent_a_group(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 50)
    sim.inject("GET", f"/{ids[0]}", Fault(500), times=1)
    assert all_ready(await client.batches.wait_all(ids), ids)
    assert sum(counted(sim).values()) < 60


# --- lists that fail -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(403),
        Fault(404),
        Fault(body="<html>"),
        Fault(body=b""),
        Fault(body=b'{"results": [' + b"[" * 100_000),
        Fault(cut=300),
        Fault(reset="after"),
        Fault(body=[]),
        Fault(body={"results": 5}),
        Fault(body={"message": "maintenance"}),
        Fault(body={"id": "b-1", "status": "READY"}),
        Fault(body=b'{"results": [}'),
    ],
    ids=lambda fault: repr(fault)[:60],
)
async def test_a_list_that_fails_ends_no_wait(
    fault: Fault, sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 12)
    batches = await known(client, ids)
    for one in ids:
        sim.set_status(one, "PROCESSING")
    before = len(sim.requests)
    sim.inject("GET", "/batches", fault, times=None)
    waits = asyncio.create_task(client.batches.wait_all(batches))
    await until(lambda: counted(sim, before).get("status", 0) >= 24)
    for one in ids:
        sim.set_status(one, "READY")
    assert all_ready(await waits, ids)
    counts = counted(sim, before)
    assert counts["list"] == 1
    assert counts["batch"] == 12


@pytest.mark.parametrize("fault", [Fault(500), Fault(body="<html>")], ids=repr)
async def test_a_list_that_fails_for_ids_ends_no_wait(
    fault: Fault, sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 12)
    sim.inject("GET", "/batches", fault, times=None)
    assert all_ready(await client.batches.wait_all(ids), ids)
    assert counted(sim)["list"] <= 2


async def test_changes_between_group_and_single_polls_are_logged(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = going(sim, 12)
    batches = await known(client, ids)
    caplog.set_level(logging.INFO, "prolific_async")
    await client.batches.wait_all(batches)
    sim.inject("GET", "/batches", Fault(503), times=None)
    await client.batches.wait_all(batches)
    assert sim.workspace_id in caplog.text
    assert "503" in caplog.text


async def test_a_response_that_is_not_a_list_is_logged_as_a_failure(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    batches = await known(client, going(sim, 12))
    sim.inject("GET", "/batches", Fault(body={"message": "maintenance"}), times=None)
    caplog.set_level(logging.INFO, "prolific_async")
    await client.batches.wait_all(batches)
    (told,) = [text for text in caplog.messages if "are polled singly for 60 s" in text]
    assert "an object with 'message'" in told


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (None, "no list that was read shows two of the batches"),
        ("/batches", "GET /api/v1/data-collection/batches was answered with 500"),
        ("", "lost its connection"),
    ],
)
async def test_a_failed_search_for_workspaces_is_logged_with_its_reason(
    spoilt: str | None,
    why: str,
    sim: Simulator,
    client: ProlificClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    workspaces = [sim.add_workspace() if spoilt is None else None for _ in range(12)]
    ids = [sim.add_batch(status="READY", workspace_id=one) for one in workspaces]
    if spoilt is not None:
        fault = Fault(500) if spoilt else Fault(reset="after")
        sim.inject("GET", spoilt or f"/{ids[0]}", fault, times=2)
    caplog.set_level(logging.INFO, "prolific_async")
    await client.batches.wait_all(ids)
    (told,) = [
        text for text in caplog.messages if text.startswith("batches of unknown workspaces (12)")
    ]
    assert told.startswith("batches of unknown workspaces (12) are polled singly for 60 s: ")
    assert why in told


def listed(sim: Simulator, ids: list[str], **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": one,
            "created_at": "2026-03-04T05:06:07Z",
            "created_by": "u1",
            "datasets": [],
            "name": "Round 1",
            "status": sim.batches[one].status,
            "total_task_count": 4,
            "total_instruction_count": 2,
            "workspace_id": sim.workspace_id,
            "task_details": {"task_name": "Rate"},
            **changes,
        }
        for one in ids
    ]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        {"status": 5},
        {"status": None},
        {"id": 5},
        {"status": "READY", "datasets": 5},
    ],
    ids=repr,
)
async def test_a_batch_that_a_list_does_not_show_is_polled_singly(
    odd: Any, sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch() for _ in range(12)]
    batches = await known(client, ids)
    for one in ids:
        sim.set_status(one, "PROCESSING")
    shown: list[Any] = listed(sim, ids[1:])
    if isinstance(odd, dict):
        shown.insert(3, listed(sim, ids[:1])[0] | odd)
    elif odd is not None:
        shown.insert(3, odd)
    before = len(sim.requests)
    sim.inject("GET", "/batches", Fault(body={"results": shown}), times=None)
    waits = asyncio.create_task(client.batches.wait_all(batches))
    await until(lambda: len(of_kind(sim, "list")) >= 4 and len(of_kind(sim, "status")) >= 4)
    sim.clear_faults()
    for one in ids:
        sim.set_status(one, "READY")
    assert all_ready(await waits, ids)
    counts = counted(sim, before)
    assert counts.get("batch", 0) <= 1  # unless the list shows it again before then
    assert {one.path for one in of_kind(sim, "status")} == {f"{ROOT}/batches/{ids[0]}/status"}
    assert abs(counts["list"] - counts["status"]) <= 2


# --- lists that are refused ------------------------------------------------------------------


async def warmed_up(sim: Simulator, client: ProlificClient, ids: list[str]) -> list[Batch]:
    """Send many requests, so that a slow-down still leaves a high rate."""
    for _ in range(15):
        batches = await known(client, ids)
    return batches


@pytest.mark.parametrize(
    "headers", [{}, pytest.param({"Retry-After": "1"}, marks=pytest.mark.slow)], ids=repr
)
async def test_a_refused_list_is_held_back_without_single_polls(
    headers: dict[str, str], sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(12)]
    batches = await warmed_up(sim, client, ids)
    before = len(sim.requests)
    sim.inject("GET", "/batches", Fault(429, headers=headers), times=1)
    assert all_ready(await client.batches.wait_all(batches), ids)
    assert counted(sim, before) == {"list": 2}
    first, second = of_kind(sim, "list")
    # A clock may have milliseconds only.
    assert second.at - first.at >= (0.99 if headers else QUICK_RETRY.maximum - 0.0011)


async def test_with_timeout_0_a_held_back_list_takes_no_longer_than_a_request(
    sim: Simulator,
) -> None:
    async with of_client(sim, request_timeout=0.1) as client:
        ids = [sim.add_batch(status="PROCESSING") for _ in range(12)]
        sim.inject("GET", "/batches", Fault(429, headers={"Retry-After": "60"}), times=1)
        batches = await known(client, ids)
        held = asyncio.create_task(client.batches.wait_all(batches))
        await until(lambda: of_kind(sim, "list"))
        for count in (1, 12):
            outcomes = await asyncio.wait_for(
                client.batches.wait_all(batches[:count], timeout=0, return_exceptions=True), 1
            )
            assert {type(outcome) for outcome in outcomes} == {WaitTimeoutError}
        held.cancel()


@pytest.mark.usefixtures("patient")
@pytest.mark.slow
async def test_a_refused_list_of_ids_is_held_back_without_single_polls(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(12)]
    sim.inject("GET", "/batches", Fault(429, headers={"Retry-After": "1"}), times=1)
    for one in ids:
        sim.set_status(one, "READY")
    assert all_ready(await client.batches.wait_all(ids), ids)
    assert "status" not in counted(sim)


@pytest.mark.usefixtures("patient")
async def test_a_refused_search_for_workspaces_causes_no_single_polls(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(30)]
    for one in ids:
        sim.inject("GET", f"/{one}", Fault(429), times=1)
    assert all_ready(await client.batches.wait_all(ids), ids)
    assert counted(sim)["batch"] <= 6
    assert "status" not in counted(sim)


async def test_a_list_refused_three_times_is_given_up(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(12)]
    batches = await warmed_up(sim, client, ids)
    before = len(sim.requests)
    sim.inject("GET", "/batches", Fault(429), times=None)
    waits = asyncio.create_task(client.batches.wait_all(batches))
    await until(lambda: counted(sim, before).get("status", 0) >= 2)
    assert counted(sim, before)["list"] == 3
    waits.cancel()
    await asyncio.wait([waits])


async def test_a_deadline_is_kept_while_the_list_is_held(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(12)]
    batches = await known(client, ids)
    sim.inject("GET", "/batches", Fault(429, headers={"Retry-After": "5"}), times=None)
    started = now()
    outcomes = await client.batches.wait_all(batches, timeout=0.1, return_exceptions=True)
    assert 0.09 < now() - started < 0.3
    assert all(isinstance(one, WaitTimeoutError) for one in outcomes)
    assert not tasks() - {asyncio.current_task()}


# --- ends in a list --------------------------------------------------------------------------


async def test_a_list_that_shows_the_end_needs_no_get(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY" if index % 2 else "ERROR") for index in range(10)]
    batches = await known(client, ids)
    before = len(sim.requests)
    events: list[StatusEvent] = []
    outcomes = await client.batches.wait_all(
        batches, return_exceptions=True, on_event=events.append
    )
    assert counted(sim, before) == {"list": 1}
    for index, (batch_id, outcome) in enumerate(zip(ids, outcomes, strict=True)):
        if index % 2:
            assert outcome == batches[index]
        else:
            assert isinstance(outcome, BatchFailedError)
            assert outcome.batch == batches[index]
            assert outcome.batch_id == batch_id
    assert [(one.polls, one.next_in) for one in events] == [(1, None)] * 10


async def test_a_later_wait_ends_by_the_same_list(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(20)]
    batches = await known(client, ids)
    before = len(sim.requests)
    for half in (batches[:10], batches[10:], batches):
        assert all_ready(await client.batches.wait_all(half), [one.id for one in half])
    assert counted(sim, before) == {"list": 3}


# --- heavy lists -----------------------------------------------------------------------------


async def test_large_lists_are_used_only_for_many_waits(sim: Simulator) -> None:
    heavy = [{"type": "text", "content": "x" * 20_000}]
    ids = [sim.add_batch(batch_items=heavy, status="UNINITIALISED") for _ in range(1000)]
    # The simulator encodes the list now, so that it does not block the loop later.
    async with of_client(sim) as client:
        await client.batches.list(sim.workspace_id)
        before = len(sim.requests)
        some = asyncio.create_task(client.batches.wait_all(ids[:10]))
        await until(lambda: counted(sim, before).get("status", 0) >= 20)
        assert counted(sim, before)["list"] == 1
        some.cancel()
        await asyncio.wait([some])
    async with of_client(sim) as client:
        await client.batches.list(sim.workspace_id)
        before = len(sim.requests)
        waits = asyncio.create_task(client.batches.wait_all(ids))
        await until(lambda: len(sim.requests) >= before + 3)
        assert counted(sim, before) == {"list": 3}
        waits.cancel()
        await asyncio.wait([waits])


# --- one poll --------------------------------------------------------------------------------


async def test_timeout_0_for_many_batches_is_one_list(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY" if index < 5 else "UNINITIALISED") for index in range(20)]
    batches = await known(client, ids)
    before = len(sim.requests)
    outcomes = await client.batches.wait_all(batches, timeout=0, return_exceptions=True)
    assert counted(sim, before) == {"list": 1}
    assert all_ready(outcomes[:5], ids[:5])
    assert all(isinstance(one, WaitTimeoutError) for one in outcomes[5:])
    before = len(sim.requests)
    sim.inject("GET", "/batches", Fault(500))
    outcomes = await client.batches.wait_all(batches, timeout=0, return_exceptions=True)
    assert counted(sim, before) == {"list": 1, "status": 20, "batch": 5}
    assert all(isinstance(one, WaitTimeoutError) for one in outcomes[5:])


async def test_staggered_waits_fall_into_step(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(60)]
    batches = await known(client, ids)
    before = len(sim.requests)
    waits = []
    for one in batches:
        waits.append(asyncio.create_task(one.wait_until_ready()))
        await asyncio.sleep(0.003)
    await asyncio.sleep(0.05)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
    counts = counted(sim, before)
    assert set(counts) == {"list", "status"}
    # One poll of its own for each newcomer, a few more before there are eight.
    assert counts["status"] <= 60 + 8 * 3
    lists = [one.at for one in of_kind(sim, "list")]
    assert all(later - one > GAP * 0.9 for one, later in pairwise(lists))


@pytest.mark.usefixtures("patient")
async def test_waits_may_leave_during_the_search_for_workspaces(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 20)
    sim.inject("GET", f"/{ids[0]}", Fault(delay=0.05), times=1)
    waits = [asyncio.create_task(client.batches.wait_until_ready(one)) for one in ids]
    await until(lambda: sim.in_flight)
    for wait in waits[:5]:
        wait.cancel()
    assert all_ready(await asyncio.gather(*waits[5:]), ids[5:])
    assert "status" not in counted(sim)
    assert counted(sim)["batch"] == 1


async def test_a_new_wait_is_served_when_all_others_have_left(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [*going(sim, 8), sim.add_batch(status="READY")]
    sim.inject("GET", f"/{ids[0]}", Fault(delay=1), times=1)
    waits = [asyncio.create_task(client.batches.wait_until_ready(one)) for one in ids[:8]]
    await until(lambda: sim.in_flight)
    waits.append(asyncio.create_task(client.batches.wait_until_ready(ids[8])))
    await asyncio.sleep(0)
    for wait in waits[:8]:
        wait.cancel()
    assert (await asyncio.wait_for(waits[8], 0.9)).id == ids[8]
    assert "broken" not in caplog.text


# --- one rate limiter ------------------------------------------------------------------------


def busiest_second(sim: Simulator, since: int = 0) -> int:
    times = sorted(request.at for request in sim.requests[since:])
    return max(sum(start <= at < start + 1 for at in times) for start in times)


@pytest.mark.slow
async def test_the_limit_holds_for_everything(sim: Simulator) -> None:
    ids = [sim.add_batch() for _ in range(200)]
    for one in ids:
        sim.set_status(one, "PROCESSING")
    async with of_client(sim, max_requests_per_second=100, strategy="status") as client:
        waits = asyncio.create_task(client.batches.wait_all(ids))
        await until(lambda: len(sim.requests) > 20)
        took = []
        for index in range(5):
            started = now()
            await client.batches.duplicate(ids[0], name=f"Copy {index}")
            took.append(now() - started)
        await until(lambda: len(sim.requests) > 150)
        waits.cancel()
        await asyncio.wait([waits])
    # As the server sees it, where a few arrive late; test_rate_limiter checks the rule itself.
    assert busiest_second(sim) <= 130
    assert max(took) < 0.15  # a turn is 0.01 s
    assert counted(sim)["duplicate"] == 5


@pytest.mark.slow
async def test_the_limit_holds_after_a_server_that_hung(sim: Simulator) -> None:
    batch_id = sim.add_batch()
    sim.inject("GET", f"/{batch_id}", Fault(delay=0.4), times=2)
    async with of_client(sim, max_requests_per_second=40, max_connections=2) as client:
        await asyncio.gather(*(client.batches.get(batch_id) for _ in range(60)))
    assert busiest_second(sim) <= 49


@pytest.mark.slow
async def test_a_429_slows_all_waits_and_none_starves(sim: Simulator) -> None:
    ids = going(sim, 30)
    async with of_client(sim, strategy="status") as client:
        await warmed_up(sim, client, ids)
        for one in ids:
            sim.set_status(one, "PROCESSING")
        sim.inject("GET", "/status", Fault(429), times=1)
        waits = asyncio.create_task(client.batches.wait_all(ids))
        await until(lambda: any(one.status == 429 for one in sim.requests))
        before = len(sim.requests)
        began = now()
        await until(lambda: len(sim.requests) >= before + 240)
        # Without the slow-down it would be 30 each 0.02 s, so 0.2 s.
        assert now() - began > 0.5
        polls = Counter(one.path for one in sim.requests[before:])
        assert len(polls) == 30
        assert max(polls.values()) - min(polls.values()) <= 3
        waits.cancel()
        await asyncio.wait([waits])


@pytest.mark.slow
async def test_a_retry_after_pauses_polls_alone(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch() for _ in range(5)]
    for one in ids:
        sim.set_status(one, "PROCESSING")
    waits = asyncio.create_task(client.batches.wait_all(ids))
    await until(lambda: len(sim.requests) > 20)
    sim.inject("GET", "/status", Fault(503, headers={"Retry-After": "1"}), times=1)
    await until(lambda: any(one.status == 503 for one in sim.requests))
    await asyncio.sleep(0.01)  # requests that were sent before the response arrive
    paused = now()
    await until(lambda: not sim.in_flight)
    before = len(sim.requests)
    started = now()
    await client.batches.get(ids[0])
    await client.batches.duplicate(ids[0])
    assert now() - started < 0.3
    await until(lambda: len(sim.requests) > before + 2)
    assert counted(sim, before)["status"] >= 1
    after = next(one.at for one in sim.requests[before:] if kind(one) == "status")
    assert 0.9 <= after - paused <= 1.5
    waits.cancel()
    await asyncio.wait([waits])


async def test_a_pause_without_waits_leaves_no_timer(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(3)]
    sim.inject("GET", "/status", Fault(503, headers={"Retry-After": "30"}), times=None)
    waits = asyncio.create_task(client.batches.wait_all(ids))
    await until(lambda: any(one.status == 503 for one in sim.requests))
    more = asyncio.create_task(client.batches.wait_until_ready(sim.add_batch(status="READY")))
    await asyncio.sleep(0.02)
    connected = client._transport._session
    assert connected is not None
    assert connected.rate_limiter._timer is not None
    for task in (waits, more):
        task.cancel()
    await asyncio.wait([waits, more])
    await asyncio.sleep(0)
    assert connected.rate_limiter._timer is None


async def test_a_poll_paused_until_the_deadline_does_not_count(
    sim: Simulator, client: ProlificClient
) -> None:
    first, second = going(sim, 2)
    sim.inject("GET", "/status", Fault(429, headers={"Retry-After": "30"}))
    with pytest.raises(WaitTimeoutError) as failed:
        await client.batches.wait_until_ready(first, timeout=0)
    assert (failed.value.polls, len(failed.value.events)) == (1, 1)
    assert isinstance(failed.value.__cause__, RateLimitedError)
    with pytest.raises(WaitTimeoutError) as held:
        await client.batches.wait_until_ready(second, timeout=0.03)
    assert (held.value.polls, held.value.events, held.value.__cause__) == (0, (), None)
    assert len(sim.requests) == 1


@pytest.mark.parametrize(("connections", "most"), [(10, 5), (3, 1), (1, 1)])
async def test_polls_use_half_of_the_connections(
    connections: int, most: int, sim: Simulator
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(20)]
    sim.inject("GET", "/status", Fault(delay=0.01), times=None)
    seen: Counter[int] = Counter()
    async with of_client(sim, strategy="status", max_connections=connections) as client:
        waits = asyncio.create_task(client.batches.wait_all(ids))
        while not waits.done():
            seen[len(sim.in_flight)] += 1
            await asyncio.sleep(0.001)
        assert all_ready(await waits, ids)
    assert max(seen) == most


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("b1", "not one id: 'b1'"),
        (UUID(int=1), "not one id: UUID"),
        (samples.batch(), "not one id: 'b1'"),
        (None, "not NoneType"),
        (5, "not int"),
    ],
)
async def test_arguments_that_are_no_iterable_of_batches_are_refused(
    client: ProlificClient, wrong: Any, told: str
) -> None:
    with pytest.raises(ValueError, match=f"an iterable of batches is needed, {told}"):
        await client.batches.wait_all(wrong)
    with pytest.raises(ValueError, match=f"an iterable of batches is needed, {told}"):
        client.batches.as_ready(wrong)


# --- poll_now --------------------------------------------------------------------------------


async def test_poll_now_makes_one_poll_now(sim: Simulator, client: ProlificClient) -> None:
    batch_id, other = (sim.add_batch(status="UNINITIALISED") for _ in range(2))
    wait = asyncio.create_task(client.batches.wait_until_ready(batch_id, poll=SLOW))
    more = asyncio.create_task(client.batches.wait_until_ready(other, poll=SLOW))
    await until(lambda: len(sim.requests) == 2)
    await asyncio.sleep(0.01)
    for _ in range(100):
        client.batches.poll_now(batch_id)
    await until(lambda: len(sim.requests) == 3)
    await asyncio.sleep(0.03)
    assert len(sim.requests) == 3
    client.batches.poll_now("stranger")
    sim.set_status(batch_id, "READY")
    for _ in range(100):
        client.batches.poll_now(batch_id)
    assert (await asyncio.wait_for(wait, 2)).status == "READY"
    assert counted(sim) == {"status": 4, "batch": 1}
    assert polled(sim, other) == 1
    client.batches.poll_now(batch_id)  # there is no wait
    await asyncio.sleep(0.02)
    assert len(sim.requests) == 5
    more.cancel()
    await asyncio.wait([more])


async def test_poll_now_during_a_poll_makes_another(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="UNINITIALISED")
    sim.inject("GET", "/status", Fault(delay=0.05), times=1)
    wait = asyncio.create_task(client.batches.wait_until_ready(batch_id, poll=SLOW))
    await until(lambda: sim.in_flight)
    await asyncio.sleep(0.01)
    sim.set_status(batch_id, "READY")
    client.batches.poll_now(batch_id)
    assert (await asyncio.wait_for(wait, 2)).status == "READY"


async def test_poll_now_for_many_batches_is_one_list(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(20)]
    batches = await known(client, ids)
    before = len(sim.requests)
    waits = asyncio.create_task(client.batches.wait_all(batches, poll=SLOW))
    await until(lambda: of_kind(sim, "list"))
    await asyncio.sleep(0.02)
    for one in ids:
        sim.set_status(one, "READY")
        client.batches.poll_now(one)
    assert all_ready(await asyncio.wait_for(waits, 2), ids)
    assert counted(sim, before) == {"list": 2}


async def test_poll_now_after_close(sim: Simulator) -> None:
    async with of_client(sim) as client:
        client.batches.poll_now("b1")
    with pytest.raises(ConfigurationError):
        client.batches.poll_now("b1")
    for bad in ("", "..", 5):
        async with of_client(sim) as client:
            with pytest.raises(ValueError, match="id"):
                client.batches.poll_now(bad)  # type: ignore[arg-type]


async def test_poll_now_in_another_thread_is_an_error_that_says_what_to_do(
    client: ProlificClient,
) -> None:
    with pytest.raises(ConfigurationError, match="call_soon_threadsafe"):
        await asyncio.to_thread(client.batches.poll_now, "b1")


# --- as_ready --------------------------------------------------------------------------------


async def stream(ids: list[str]) -> AsyncIterator[str]:
    for one in ids:
        await asyncio.sleep(0)
        yield one


async def read_into(seen: list[Any], values: AsyncIterator[Any]) -> None:
    async for value in values:
        seen.append(value)  # noqa: PERF401 - what comes before an error counts


async def test_as_ready_of_a_stream(sim: Simulator, client: ProlificClient) -> None:
    ids = going(sim, 30)
    sim.fail(ids[3])
    outcomes = [one async for one in client.batches.as_ready(stream([*ids, ids[0]]))]
    assert len(outcomes) == 31
    failed = [one for one in outcomes if isinstance(one, WaitError)]
    assert [(type(one), one.batch_id) for one in failed] == [(BatchFailedError, ids[3])]
    ready = {one.id for one in outcomes if isinstance(one, Batch)}
    assert ready == set(ids) - {ids[3]}
    assert not tasks() - {asyncio.current_task()}


async def test_batches_of_a_stream_are_polled_as_a_group(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, 300)
    batches = await known(client, ids)
    before = len(sim.requests)

    async def brought() -> AsyncIterator[Batch]:
        for batch in batches:
            yield batch

    outcomes = [one async for one in client.batches.as_ready(brought())]
    assert {one.id for one in outcomes if isinstance(one, Batch)} == set(ids)
    assert set(counted(sim, before)) == {"list"}


async def test_as_ready_of_an_empty_stream(client: ProlificClient) -> None:
    assert [one async for one in client.batches.as_ready(stream([]))] == []
    assert [one async for one in client.batches.as_ready([])] == []


@pytest.mark.parametrize("pausing", [pytest.param(False, marks=pytest.mark.slow), True])
async def test_as_ready_of_an_endless_stream_that_is_left(
    pausing: bool,  # noqa: FBT001 - a parameter
    sim: Simulator,
    client: ProlificClient,
) -> None:
    batch_id = sim.add_batch(status="READY")
    brought = 0
    closed = False

    async def endless() -> AsyncIterator[str]:
        nonlocal brought, closed
        try:
            while True:
                if pausing:
                    await asyncio.sleep(0)
                brought += 1
                yield batch_id
        finally:
            closed = True

    source = endless()
    async with aclosing(client.batches.as_ready(source)) as outcomes:
        count = 0
        async for one in outcomes:
            assert isinstance(one, Batch)
            count += 1
            if count == 12_000:
                break
    assert brought <= 12_000 + 10_002
    assert not tasks() - {asyncio.current_task()}
    after, sent = brought, len(sim.requests)
    await asyncio.sleep(0.05)
    assert (brought, len(sim.requests)) == (after, sent)
    del source, outcomes
    gc.collect()
    await until(lambda: closed)
    await until(lambda: not tasks() - {asyncio.current_task()})


@pytest.mark.slow
async def test_a_stream_never_blocks_the_loop(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="UNINITIALISED")

    async def endless() -> AsyncIterator[str]:
        while True:
            yield batch_id

    async def call() -> None:
        before = len(sim.requests)
        async with aclosing(client.batches.as_ready(endless(), poll=SLOW)) as outcomes:
            first = asyncio.ensure_future(anext(outcomes))
            await until(lambda: len(sim.requests) > before)
            await asyncio.sleep(0.05)
            first.cancel()
            await asyncio.wait([first])

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize("number", [10_000, pytest.param(30_000, marks=pytest.mark.slow)])
async def test_as_ready_of_many_never_blocks_the_loop(
    number: int, sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="UNINITIALISED")] * number

    async def call() -> None:
        before = len(sim.requests)
        async with aclosing(client.batches.as_ready(ids, poll=SLOW)) as outcomes:
            first = asyncio.ensure_future(anext(outcomes))
            await until(lambda: len(sim.requests) > before)
            await asyncio.sleep(0.05)
            first.cancel()
            await asyncio.wait([first])

    assert await held_by(call) < LIMIT


async def test_the_waits_of_as_ready_begin_with_the_call(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="PROCESSING") for _ in range(3)]
    outcomes = client.batches.as_ready(ids, timeout=0.03)
    await asyncio.sleep(0.04)  # as a caller may do something else first
    async with aclosing(outcomes):
        ended = [one async for one in outcomes]
    assert all(isinstance(one, WaitTimeoutError) for one in ended)
    assert {one.elapsed > 0.035 for one in ended if isinstance(one, WaitTimeoutError)} == {True}


async def test_an_error_of_the_stream_is_raised(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    ready, going_on = sim.add_batch(status="READY"), sim.add_batch(status="UNINITIALISED")

    async def broken() -> AsyncIterator[str]:
        yield ready
        yield going_on
        await asyncio.sleep(0.05)
        raise LookupError("no more")

    seen: list[Any] = []
    with pytest.raises(LookupError, match="no more"):
        await read_into(seen, client.batches.as_ready(broken(), poll=SLOW))
    assert [one.id for one in seen if isinstance(one, Batch)] == [ready]
    assert not tasks() - {asyncio.current_task()}


async def test_an_error_of_a_stream_that_was_left_is_dropped(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    ready = sim.add_batch(status="READY")

    async def broken() -> AsyncIterator[str]:
        yield ready
        await asyncio.sleep(0.04)
        raise LookupError("no more")

    async with aclosing(client.batches.as_ready(broken())) as outcomes:
        async for _ in outcomes:
            await asyncio.sleep(0.05)
            break
    gc.collect()
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("bad", ["", "..", "a\nb", "\ud800", None, 7, b"b1", float("nan")])
async def test_an_invalid_id_in_a_stream_fails_alone(
    sim: Simulator, client: ProlificClient, bad: Any
) -> None:
    ids = going(sim, 3)
    given = [ids[0], bad, *ids[1:], bad]
    outcomes = [one async for one in client.batches.as_ready(stream(given))]
    assert {one.id for one in outcomes if isinstance(one, Batch)} == set(ids)
    errors = [one for one in outcomes if isinstance(one, WaitError)]
    assert [type(one) for one in errors] == [WaitFailedError, WaitFailedError]
    for error in errors:
        assert (error.batch_id, error.polls, error.events) == (str(bad), 0, ())
        assert isinstance(error.__cause__, ValueError)
        assert str(error.__cause__) in str(error)
    assert not tasks() - {asyncio.current_task()}


async def test_an_invalid_id_that_comes_late_ends_no_other_wait(
    sim: Simulator, client: ProlificClient
) -> None:
    first, last = sim.add_batch(), sim.add_batch()
    come = asyncio.Event()

    async def ids() -> AsyncIterator[str]:
        yield first
        yield ".."
        await come.wait()
        yield last

    seen: list[Any] = []
    reading = asyncio.create_task(read_into(seen, client.batches.as_ready(ids())))
    await until(lambda: len(seen) == 1 and sim.requests)
    assert isinstance(seen[0], WaitFailedError)
    assert not reading.done()
    for batch_id in (first, last):
        sim.set_status(batch_id, "READY")
    come.set()
    await reading
    assert {one.id for one in seen[1:]} == {first, last}


async def test_a_list_of_ids_is_checked_before_any_poll(
    sim: Simulator, client: ProlificClient
) -> None:
    given = (one for one in [sim.add_batch(status="READY"), ".."])
    with pytest.raises(ValueError, match="id"):
        client.batches.as_ready(given)
    with pytest.raises(ValueError, match="id"):
        await client.batches.wait_all(["b1", ".."], return_exceptions=True)
    assert sim.requests == ()


@pytest.mark.parametrize("wrong", [{"timeout": -1}, {"timeout": True}, {"poll": "quick"}])
async def test_invalid_rules_are_raised_before_the_stream_is_read(
    client: ProlificClient, wrong: Any
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        client.batches.as_ready(stream(["b1"]), **wrong)


# --- wait_all and watch ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [5, 40])
async def test_the_first_failure_ends_the_other_waits(
    count: int, sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(count)]
    batches = await known(client, ids)
    sim.set_status(ids[2], "ERROR")
    with pytest.raises(BatchFailedError) as caught:
        await client.batches.wait_all(batches)
    assert caught.value.batch_id == ids[2]
    assert not tasks() - {asyncio.current_task()}
    await until(lambda: not sim.in_flight)
    after = len(sim.requests)
    await asyncio.sleep(0.05)
    assert len(sim.requests) == after


async def test_wait_all_of_repeated_ids_and_of_none(sim: Simulator, client: ProlificClient) -> None:
    first, second = going(sim, 2)
    given = [first, second, first, first]
    assert all_ready(await client.batches.wait_all(given), given)
    assert counted(sim) == {"status": 6, "batch": 2}
    assert await client.batches.wait_all([]) == []
    assert await client.batches.wait_all(iter([]), return_exceptions=True) == []
    assert len(sim.requests) == 8


async def test_watch_ends_with_the_last_event(sim: Simulator, client: ProlificClient) -> None:
    (batch_id,) = going(sim, 1)
    seen = [event async for event in client.batches.watch(batch_id)]
    assert [one.status for one in seen] == ["PROCESSING", "PROCESSING", "READY"]
    assert [one.next_in is None for one in seen] == [False, False, True]
    sim.set_status(batch_id, "ERROR")
    failed: list[Any] = []
    with pytest.raises(BatchFailedError):
        await read_into(failed, client.batches.watch(batch_id))
    assert [one.status for one in failed] == ["ERROR"]


async def test_leaving_a_watch_cancels_its_poll(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="UNINITIALISED")
    sim.inject("GET", "/status", Fault(), times=2)
    sim.inject("GET", "/status", Fault(delay=3), times=None)
    async with aclosing(client.batches.watch(batch_id)) as events:
        async for event in events:
            if event.polls == 2:
                break
        await until(lambda: sim.in_flight)
    assert not tasks() - {asyncio.current_task()}
    await asyncio.sleep(0.05)
    assert not sim.in_flight


# --- the end ---------------------------------------------------------------------------------


def in_turn(sim: Simulator) -> Iterator[str]:
    while True:
        yield sim.add_batch(status="UNINITIALISED")


async def test_close_ends_calls_that_wait_for_the_rate_limiter(sim: Simulator) -> None:
    batch_id = sim.add_batch(status="READY")
    client = of_client(sim, max_requests_per_second=1, max_connections=5)
    calls = [asyncio.create_task(client.batches.get(batch_id)) for _ in range(10)]
    await until(lambda: any(call.done() for call in calls))
    await client.close()
    done, pending = await asyncio.wait(calls, timeout=0.05)
    assert not pending
    assert [type(call.exception()) for call in done].count(ConfigurationError) == 9


@pytest.mark.parametrize("poll", [EVEN, SLOW])
@pytest.mark.parametrize("delay", [0.0, 3.0])
async def test_close_ends_every_wait(delay: float, poll: PollPolicy, sim: Simulator) -> None:
    ids = [one for one, _ in zip(in_turn(sim), range(500), strict=False)]
    client = of_client(sim)
    await client.batches.list(sim.workspace_id)
    if delay:
        sim.inject("GET", "/batches", Fault(delay=delay), times=None)
    waits = [asyncio.create_task(client.batches.wait_until_ready(one, poll=poll)) for one in ids]
    crowd = asyncio.create_task(client.batches.wait_all(ids, poll=poll, return_exceptions=True))
    await until(lambda: sim.in_flight if delay else len(sim.requests) > 1)
    await client.close()
    outcomes = await asyncio.gather(*waits, return_exceptions=True)
    for outcome in [*outcomes, *await crowd]:
        assert isinstance(outcome, WaitFailedError)
        assert isinstance(outcome.__cause__, ConfigurationError)
    assert not tasks() - {asyncio.current_task()}
    await asyncio.sleep(0.02)
    assert set(counted(sim)) == {"list"}
    with pytest.raises(ConfigurationError):
        await client.batches.wait_all(ids)


async def test_a_deadline_is_kept_among_many_waits(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch(status="UNINITIALISED") for _ in range(20)]
    batches = await known(client, ids)
    sim.inject("GET", "/batches", Fault(delay=3), times=None)
    started = now()
    outcomes = await client.batches.wait_all(batches, timeout=0.1, return_exceptions=True)
    assert 0.09 < now() - started < 0.3
    assert all(isinstance(one, WaitError) for one in outcomes)
    assert not tasks() - {asyncio.current_task()}


async def test_a_slow_list_delays_no_wait(sim: Simulator) -> None:
    async with Simulator(setup=AfterSeconds(0.05)) as other, of_client(other) as client:
        ids = going(other, 20)
        batches = await known(client, ids)
        other.inject("GET", "/batches", Fault(delay=0.6), times=None)
        assert all_ready(await client.batches.wait_all(batches), ids)
        assert counted(other)["list"] == 1


@pytest.mark.parametrize("bare", [False, True])
async def test_a_hanging_list_delays_no_wait(
    bare: bool,  # noqa: FBT001 - a parameter
    sim: Simulator,
    client: ProlificClient,
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(20)]
    batches = [] if bare else await known(client, ids)
    sim.inject("GET", "/batches", Fault(delay=2.5), times=None)
    started = now()
    await client.batches.wait_all(batches or ids)
    assert now() - started < 1.5


async def test_a_hanging_search_for_a_workspace_delays_no_other_wait(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(20)]
    sim.inject("GET", f"/{ids[0]}", Fault(delay=2.5), times=1)
    started = now()
    waits = [asyncio.create_task(client.batches.wait_until_ready(one)) for one in ids]
    await asyncio.wait(waits[1:])
    took = now() - started
    await waits[0]
    assert took < 1.5


async def test_on_event_runs_in_the_context_of_its_wait(
    sim: Simulator, client: ProlificClient
) -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    batch_id = sim.add_batch()
    seen: dict[str, set[str]] = {"first": set(), "second": set()}

    async def wait(name: str) -> None:
        whose.set(name)
        await client.batches.wait_until_ready(
            batch_id, on_event=lambda _: seen[name].add(whose.get())
        )

    waiting = [asyncio.create_task(wait(name)) for name in seen]
    await client.batches.setup(batch_id)
    await asyncio.gather(*waiting)
    assert seen == {"first": {"first"}, "second": {"second"}}


async def test_as_ready_reports_every_poll(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch(), sim.add_batch(status="READY")]
    await client.batches.setup(ids[0])
    told: list[StatusEvent] = []
    async for _ in client.batches.as_ready(ids, on_event=told.append):
        pass
    polls = Counter(event.batch_id for event in told)
    assert polls == {ids[0]: 3, ids[1]: 1}


async def test_a_coroutine_function_is_refused_as_on_event(
    sim: Simulator, client: ProlificClient
) -> None:
    class Awaited:
        async def __call__(self, _: StatusEvent) -> None: ...

    batch_id = sim.add_batch()
    for wrong in (asyncio.sleep, partial(asyncio.sleep), Awaited(), 1):
        on_event: Any = wrong
        with pytest.raises(ValueError, match="plain function"):
            client.batches.as_ready([batch_id], on_event=on_event)
    assert sim.requests == ()
