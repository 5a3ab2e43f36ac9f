"""``duplicate_and_wait``: the three steps in one call, which says where it failed."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    BadRequestError,
    Batch,
    BatchFailedError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PollPolicy,
    ProlificClient,
    ProlificError,
    StatusEvent,
    WaitTimeoutError,
)
from prolific_async.simulator import Fault
from tests.recovery.failures import outcome_of

if TYPE_CHECKING:
    from prolific_async.simulator import Simulator


def posts(sim: Simulator) -> list[str]:
    return [one.path.rpartition("/")[2] for one in sim.requests if one.method == "POST"]


def copies(sim: Simulator, source: str) -> list[str]:
    return [one.id for one in sim.batches.values() if one.source_id == source]


@pytest.fixture
def source(sim: Simulator) -> str:
    return sim.add_batch("Original")


@pytest.mark.parametrize("name", ["Round 2", None])
async def test_it_returns_a_ready_copy(
    sim: Simulator, client: ProlificClient, source: str, name: str | None
) -> None:
    events: list[StatusEvent] = []
    ready = await client.batches.duplicate_and_wait(
        source, name=name, tasks_per_group=5, on_event=events.append
    )
    assert (ready.status, ready.tasks_per_group) == ("READY", 5)
    assert ready.name == (name or "Original (Copy)")
    assert [ready.id] == copies(sim, source)
    assert events[-1].status == "READY"
    assert (await ready.refresh()).id == ready.id
    assert posts(sim) == ["duplicate", "setup"]


async def test_a_dataset_can_be_given(sim: Simulator, client: ProlificClient, source: str) -> None:
    dataset = sim.add_dataset(datapoints=7)
    batch = await client.batches.get(source)
    ready = await batch.duplicate_and_wait(name="Round 2", dataset_id=dataset)
    assert [one.id for one in ready.datasets] == [dataset]


async def test_with_a_name_it_can_be_called_again(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    first = await client.batches.duplicate_and_wait(source, name="Round 2")
    assert await client.batches.duplicate_and_wait(source, name="Round 2") == first
    assert posts(sim) == ["duplicate", "setup"]
    await client.batches.duplicate_and_wait(source)
    await client.batches.duplicate_and_wait(source)
    assert len(copies(sim, source)) == 3


async def test_callers_of_one_name_share_copy_and_setup(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    calls = (client.batches.duplicate_and_wait(source, name="Round 2") for _ in range(50))
    assert len(set(await asyncio.gather(*calls))) == 1
    assert posts(sim) == ["duplicate", "setup"]


async def test_a_setup_that_another_process_has_sent_meanwhile_is_accepted(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    copy = await client.batches.get_or_duplicate(source, name="Round 2")
    sim.inject("GET", f"/{copy.id}/status", Fault(body={"status": "UNINITIALISED"}))
    await copy.setup()
    ready = await client.batches.duplicate_and_wait(source, name="Round 2")
    assert ready.id == copy.id
    assert [one.status for one in sim.requests if one.path.endswith("/setup")] == [202, 400]


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("name", ["Round 2", None])
async def test_a_lost_setup_is_handled_as_setup_does(
    sim: Simulator, client: ProlificClient, source: str, name: str | None, reset: Any
) -> None:
    sim.inject("POST", "/setup", Fault(reset=reset))
    ready = await client.batches.duplicate_and_wait(source, name=name)
    assert ready.status == "READY"
    assert posts(sim).count("setup") == (2 if reset == "before" else 1)


async def test_an_error_tells_the_step_and_the_copy(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    async def failed() -> ProlificError:
        with pytest.raises(ProlificError) as caught:
            await client.batches.duplicate_and_wait(source, name="Round 2")
        again: ProlificError = pickle.loads(pickle.dumps(caught.value))
        assert (again.step, again.copy) == (caught.value.step, caught.value.copy)
        assert str(again) == str(caught.value)
        return caught.value

    sim.inject("POST", "/duplicate", Fault(400))
    error = await failed()
    assert isinstance(error, BadRequestError)
    assert (error.step, error.copy) == ("duplicate", None)
    assert str(error).endswith("(step: duplicate, no copy is known)")

    sim.inject("POST", "/setup", Fault(404))
    error = await failed()
    (copy,) = copies(sim, source)
    assert isinstance(error, NotFoundError)
    assert error.copy is not None
    assert (error.step, error.copy.id) == ("setup", copy)
    assert str(error).endswith(f"(step: setup, copy: {copy})")

    sim.fail(copy)
    error = await failed()
    assert isinstance(error, BatchFailedError)
    assert error.copy is not None
    assert (error.step, error.copy.id, error.batch_id) == ("wait", copy, copy)
    assert "try again with another name: the copy with the name 'Round 2' is kept" in str(error)
    await error.copy.refresh()


async def test_without_a_name_a_failed_copy_asks_for_no_other_name(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    sim.inject("POST", "/setup", Fault(delay=0.02))
    call = asyncio.ensure_future(client.batches.duplicate_and_wait(source))
    while not copies(sim, source):
        await asyncio.sleep(0.001)
    sim.fail(copies(sim, source)[0])
    with pytest.raises(BatchFailedError) as caught:
        await call
    assert "another name" not in str(caught.value)
    assert "set up a duplicate of the batch with it" in str(caught.value)


async def test_errors_of_other_calls_tell_no_step(client: ProlificClient) -> None:
    error = await outcome_of(client.batches.get("no-such-batch"))
    assert isinstance(error, NotFoundError)
    assert (error.step, error.copy) == (None, None)
    assert "step" not in str(error)


@pytest.mark.parametrize(("route", "step"), [("/duplicate", "duplicate"), ("/setup", "setup")])
@pytest.mark.parametrize("name", ["Round 2", None])
async def test_the_timeout_bounds_every_step(
    sim: Simulator, client: ProlificClient, source: str, name: str | None, route: str, step: str
) -> None:
    sim.inject("POST", route, Fault(delay=60))
    with pytest.raises(WaitTimeoutError) as caught:
        await client.batches.duplicate_and_wait(source, name=name, timeout=0.04)
    error = caught.value
    assert error.step == step
    assert error.batch_id == (source if error.copy is None else error.copy.id)
    assert (error.copy is None) == (step == "duplicate")
    assert isinstance(error.failure, OutcomeUnknownError)
    assert error.failure.path.endswith(route)
    assert (error.polls, error.events) == (0, ())
    assert 0.03 < error.elapsed < 5
    text = str(error)
    assert text.startswith("timed out after 0.")
    assert f" s in the {step} of batch {error.batch_id}, which may have run; " in text
    assert "wait" not in text.replace("duplicate_and_wait", "").replace("wait for it", "")
    assert "poll" not in text
    assert str(pickle.loads(pickle.dumps(error))) == text
    if name is not None:
        assert "try again with the same name" in text
    elif step == "duplicate":
        assert "look for the copy in the workspace before you try again" in text
    else:
        assert "set the copy up if its status is still UNINITIALISED" in text


async def test_the_wait_has_what_is_left_of_the_timeout(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    sim.inject("POST", "/duplicate", Fault(delay=0.03))
    sim.inject("GET", "/status", Fault(body={"status": "PROCESSING"}), times=None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(WaitTimeoutError) as caught:
        await client.batches.duplicate_and_wait(source, timeout=0.06)
    assert caught.value.step == "wait"
    assert loop.time() - began < 2
    assert caught.value.polls >= 1


async def test_the_default_bounds_the_wait_alone(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    sim.inject("POST", "/duplicate", Fault(delay=0.04))
    sim.inject("GET", "/status", Fault(body={"status": "PROCESSING"}), times=None)
    hasty = client.with_options(poll=PollPolicy(initial=0.01, timeout=0.02))
    with pytest.raises(WaitTimeoutError) as caught:
        await hasty.batches.duplicate_and_wait(source)
    assert caught.value.step == "wait"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"timeout": 0}, "timeout must be above 0"),
        ({"timeout": -1}, "timeout must be"),
        ({"tasks_per_group": 0}, "tasks_per_group"),
        ({"dataset_id": ""}, "cannot be an id"),
        ({"name": ""}, "name must not be blank"),
        ({"on_event": asyncio.sleep}, "on_event must be a plain function"),
    ],
)
async def test_nonsense_is_refused_before_any_request(
    sim: Simulator, client: ProlificClient, source: str, options: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        await client.batches.duplicate_and_wait(source, **options)
    if "name" not in options:
        with pytest.raises(ValueError, match=match):
            await client.batches.duplicate_and_wait_all(source, ["Round 2"], **options)
    assert not sim.requests


async def test_many_names_come_back_in_their_order(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    names = [f"Round {number}" for number in range(20)]
    ready = await client.batches.duplicate_and_wait_all(source, [*names, "Round 3"])
    assert [one.name for one in ready] == [*names, "Round 3"]
    assert {one.status for one in ready} == {"READY"}
    assert ready[3] == ready[-1]
    assert len(copies(sim, source)) == 20
    batch = await client.batches.get(source)
    assert await batch.duplicate_and_wait_all(iter(names)) == ready[:-1]
    assert len(copies(sim, source)) == 20
    assert await client.batches.duplicate_and_wait_all(source, []) == []


async def test_errors_take_the_places_of_their_copies(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    names = ["one", "two", "three"]
    broken = await client.batches.get_or_duplicate(source, name="two")
    sim.inject("POST", f"/{broken.id}/setup", Fault(400))
    one, two, three = await client.batches.duplicate_and_wait_all(
        source, names, return_exceptions=True
    )
    assert isinstance(one, Batch)
    assert isinstance(three, Batch)
    assert isinstance(two, BadRequestError)
    assert two.step == "setup"
    assert two.copy == broken


async def test_the_first_error_ends_the_others(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    broken = await client.batches.get_or_duplicate(source, name="two")
    sim.inject("POST", "/duplicate", Fault(delay=60), times=None)
    sim.inject("POST", f"/{broken.id}/setup", Fault(400))
    with pytest.raises(BadRequestError) as caught:
        await client.batches.duplicate_and_wait_all(source, ["one", "two", "three"])
    assert caught.value.copy == broken
    ours = [task for task in asyncio.all_tasks() if "Shared" in repr(task.get_coro())]
    assert ours == []


@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_an_exception_of_the_application_is_raised_as_it_is(
    sim: Simulator, source: str, *, return_exceptions: bool
) -> None:
    broken_id = None

    async def break_status(_: object, __: object, params: Any) -> None:
        if broken_id and params.url.path.endswith(f"/{broken_id}/status"):
            raise RuntimeError("of the trace")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(break_status)
    async with ProlificClient(sim.token, base_url=sim.url, trace_configs=[trace]) as client:
        broken_id = (await client.batches.get_or_duplicate(source, name="two")).id
        sim.inject("POST", "/duplicate", Fault(delay=60), times=None)
        with pytest.raises(RuntimeError, match="of the trace"):
            await client.batches.duplicate_and_wait_all(
                source, ["one", "two"], return_exceptions=return_exceptions
            )


async def test_an_error_that_callers_share_tells_the_step_only_to_its_own(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    sim.inject("GET", "/batches", Fault(403), times=None)
    shared, own = await asyncio.gather(
        client.batches.get_or_duplicate(source, name="Round 2"),
        client.batches.duplicate_and_wait(source, name="Round 2"),
        return_exceptions=True,
    )
    assert isinstance(own, PermissionDeniedError)
    assert isinstance(shared, PermissionDeniedError)
    assert (own.step, shared.step) == ("duplicate", None)
    assert "step" not in str(shared)
    assert (shared.args, shared.headers) == (own.args, own.headers)


async def test_what_is_no_list_of_names_is_refused(
    sim: Simulator, client: ProlificClient, source: str
) -> None:
    for names in ("Round 2", 5, ["Round 2", " "]):
        with pytest.raises(ValueError, match="name"):
            await client.batches.duplicate_and_wait_all(source, names)  # type: ignore[arg-type]
    assert not sim.requests
