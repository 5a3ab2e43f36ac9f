"""The calls of ``client.batches``, against the simulator over loopback."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    APIStatusError,
    BadRequestError,
    Batch,
    BatchFailedError,
    BatchNotSetUpError,
    BatchStatus,
    ConnectionLostError,
    Copies,
    DecodeError,
    NotFoundError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    RateLimitedError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    StatusEvent,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.simulator import (
    AfterPolls,
    AfterSeconds,
    Ending,
    Fault,
    Immediately,
    Simulator,
)
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.virtual_time import LoopbackLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = "/api/v1/data-collection"


def seen(sim: Simulator) -> list[tuple[str, str, Any]]:
    return [(one.method, one.path.removeprefix(ROOT), one.body) for one in sim.requests]


def tasks() -> set[asyncio.Task[Any] | None]:
    """Return all tasks but the simulator's, which run in the same loop."""
    return {task for task in asyncio.all_tasks() if "aiohttp/web" not in repr(task)}


async def test_duplicate_setup_and_wait(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(name="Original", datapoints=30)
    copy = await client.batches.duplicate(batch_id, name="Round 2")
    assert (copy.name, copy.status) == ("Round 2", BatchStatus.UNINITIALISED)
    await copy.setup(tasks_per_group=5)
    ready = await copy.wait_until_ready(timeout=5)
    assert (ready.status, ready.total_task_count) == (BatchStatus.READY, 30)
    assert ready.tasks_per_group == 5
    assert seen(sim) == [
        ("POST", f"/batches/{batch_id}/duplicate", {"name": "Round 2"}),
        ("POST", f"/batches/{copy.id}/setup", {"tasks_per_group": 5}),
        *[("GET", f"/batches/{copy.id}/status", None)] * 3,
        ("GET", f"/batches/{copy.id}", None),
    ]
    assert [one.status for one in sim.requests] == [201, 202, 200, 200, 200, 200]


async def test_only_given_keys_are_sent(sim: Simulator, client: ProlificClient) -> None:
    batch_id, dataset_id = sim.add_batch(), sim.add_dataset()
    await client.batches.duplicate(batch_id)
    bare = await client.batches.duplicate(batch_id, name="", upload_new_dataset=True)
    await bare.setup(dataset_id=uuid.UUID(dataset_id))
    await client.batches.setup(batch_id)
    assert [body for method, _, body in seen(sim) if method == "POST"] == [
        {},
        {"name": "", "upload_new_dataset": True},
        {"dataset_id": dataset_id},
        {},
    ]


async def test_a_batch_an_id_and_a_uuid_are_the_same(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch(status="READY")
    batch = await client.batches.get(batch_id)
    for one in (batch, batch_id, uuid.UUID(batch_id)):
        assert await client.batches.get(one) == batch
        assert await client.batches.wait_until_ready(one) == batch
    assert await batch.refresh() == batch
    assert await batch.get_status() is BatchStatus.READY
    assert (await batch.duplicate()).name == "Original (Copy)"


async def test_null_status_is_none(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    sim.set_status(batch_id, None)
    assert await client.batches.get_status(batch_id) is None
    sim.inject("GET", "/status", Fault(body={}))
    assert await client.batches.get_status(batch_id) is None
    sim.set_status(batch_id, "SYNCING")
    assert await client.batches.get_status(batch_id) == "SYNCING"


BAD_IDS = ["", ".", "..", "a\nb", "\x00", "a\x85b", "a b", "\ufeffb1", "\ud800", None, 7, b"b1"]


@pytest.mark.parametrize("bad", BAD_IDS)
async def test_invalid_ids_are_refused(bad: Any, sim: Simulator, client: ProlificClient) -> None:
    batches = client.batches
    verbs: list[Callable[[], Awaitable[object]]] = [
        lambda: batches.duplicate(bad),
        lambda: batches.setup(bad),
        lambda: batches.get(bad),
        lambda: batches.get_status(bad),
        lambda: batches.list(bad),
        lambda: batches.wait_until_ready(bad),
        lambda: batches.wait_all(["fine", bad]),
    ]
    for verb in verbs:
        with pytest.raises(ValueError, match="id"):
            await verb()
    with pytest.raises(ValueError, match="id"):
        batches.watch(bad)
    with pytest.raises(ValueError, match="id"):
        batches.as_ready(["fine", bad])
    assert sim.requests == ()


@pytest.mark.parametrize(
    "odd", ["../studies", "a/b", "a?b=c", "a#b", "%2e%2e", "ä+ö", "a;b", "..."]
)
async def test_any_id_stays_in_its_path_segment(
    odd: str, sim: Simulator, client: ProlificClient
) -> None:
    with pytest.raises(NotFoundError):
        await client.batches.get_status(odd)
    (request,) = sim.requests
    assert request.status == 404
    batch_id = sim.add_batch(status="READY")
    assert (await client.batches.get(batch_id)).id == batch_id


@pytest.mark.parametrize(
    "arguments",
    [
        {"tasks_per_group": 0},
        {"tasks_per_group": -1},
        {"tasks_per_group": 1.5},
        {"tasks_per_group": True},
        {"tasks_per_group": "5"},
        {"dataset_id": ""},
        {"dataset_id": 5},
    ],
)
async def test_invalid_arguments_of_setup_are_refused(
    arguments: dict[str, Any], sim: Simulator, client: ProlificClient
) -> None:
    with pytest.raises(ValueError, match=r"tasks_per_group|id"):
        await client.batches.setup("b1", **arguments)
    assert sim.requests == ()


@pytest.mark.parametrize("arguments", [{"name": 5}, {"upload_new_dataset": "yes"}])
async def test_invalid_arguments_of_duplicate_are_refused(
    arguments: dict[str, Any], sim: Simulator, client: ProlificClient
) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        await client.batches.duplicate("b1", **arguments)
    assert sim.requests == ()


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), True, "5"])
async def test_invalid_timeouts_are_refused(
    timeout: Any, sim: Simulator, client: ProlificClient
) -> None:
    with pytest.raises(ValueError, match="timeout"):
        await client.batches.wait_until_ready("b1", timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        client.batches.watch("b1", timeout=timeout)
    assert sim.requests == ()


# --- duplicate -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset="after"),
        Fault(reset="before"),
        Fault(delay=5),
        Fault(cut=0),
        Fault(cut=40),
        *(Fault(status=status, applied=True) for status in (408, 500, 502, 503, 504)),
        Fault(status=201, body="<html>", applied=True),
        Fault(status=201, body=b"", applied=True),
        Fault(status=201, body={"id": 5}, applied=True),
    ],
    ids=repr,
)
async def test_a_lost_copy_is_found_or_named(fault: Fault, sim: Simulator) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/duplicate", fault)
    async with ProlificClient(
        sim.token, base_url=sim.url, retry=QUICK_RETRY, request_timeout=0.05
    ) as client:
        if fault.reset == "before":
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.batches.duplicate(batch_id, name="Round 2")
            assert caught.value.candidates == ()
        else:
            copy = await client.batches.duplicate(batch_id, name="Round 2")
            assert sim.batches[copy.id].name == "Round 2"
            await copy.setup()  # it is bound
    posts = [one for one in sim.requests if one.path.endswith("/duplicate")]
    assert len(posts) == 1
    assert len(sim.batches) == (1 if fault.reset == "before" else 2)


async def test_a_lost_copy_with_the_default_name_is_only_a_candidate(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.batches.duplicate(batch_id)
    (copy,) = caught.value.candidates
    assert copy.name == "Original (Copy)"
    assert copy.id in str(caught.value)
    assert caught.value.__cause__ is not None


async def test_older_namesakes_are_no_candidates(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    older = await client.batches.duplicate(batch_id, name="Round 2")
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    copy = await client.batches.duplicate(batch_id, name="Round 2")
    assert copy.id != older.id


async def test_two_duplicates_at_once_never_return_the_same_copy(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    for fault in (Fault(reset="after"), Fault(reset="before"), Fault(reset="after")):
        sim.inject("POST", "/duplicate", fault)
    outcomes = await asyncio.gather(
        *(client.batches.duplicate(batch_id, name="Round 2") for _ in range(6)),
        return_exceptions=True,
    )
    copies = [one.id for one in outcomes if isinstance(one, Batch)]
    assert len(copies) == len(set(copies)) == 3
    told = [one for one in outcomes if isinstance(one, OutcomeUnknownError)]
    assert len(told) == 3
    named = {batch.id for error in told for batch in error.candidates}
    assert set(copies) | named == set(sim.batches) - {batch_id}


def test_a_duplicate_that_did_not_run_is_sent_again() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LoopbackLoop)
        async with Simulator() as sim, ProlificClient(sim.token, base_url=sim.url) as client:
            loop.may_jump = lambda: not sim.in_flight
            batch_id = sim.add_batch()
            sim.inject("POST", "/duplicate", Fault(status=429), times=3)
            await client.batches.duplicate(batch_id)
            assert len(sim.requests) == 4
            sim.inject("POST", "/duplicate", Fault(status=429), times=4)
            with pytest.raises(RateLimitedError):
                await client.batches.duplicate(batch_id)
            assert len(sim.batches) == 2

    run(main(), LoopbackLoop)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 405, 409, 422, 425])
async def test_a_refused_duplicate_is_raised(
    status: int, sim: Simulator, client: ProlificClient
) -> None:
    fault = Fault(status=status, headers={"Location": "/elsewhere"})
    sim.inject("POST", "/duplicate", fault)
    with pytest.raises(APIStatusError) as caught:
        await client.batches.duplicate(sim.add_batch(), name="Round 2")
    assert caught.value.status == status
    assert len(sim.requests) == 1


ODD: list[dict[str, Any]] = [
    {"created_by": None},
    {"datasets": 5},
    {"total_task_count": "3"},
    {"status": 5},
    {"workspace_id": None},
]


@pytest.mark.parametrize(
    ("source", "other"),
    [({}, odd) for odd in ODD] + [(odd, {}) for odd in ODD if "workspace_id" not in odd],
    ids=repr,
)
async def test_an_unreadable_batch_hides_no_lost_copy(
    source: dict[str, Any], other: dict[str, Any], sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch(**source)
    sim.add_batch("Other", **other)
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    copy = await client.batches.duplicate(batch_id, name="Round 2")
    assert sim.batches[copy.id].source_id == batch_id
    await copy.setup()  # it is bound
    assert [one.path.rpartition("/")[2] for one in sim.requests if one.method == "POST"] == [
        "duplicate",
        "setup",
    ]


async def test_a_copy_that_cannot_be_read_is_named_by_its_id(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(503))  # it did not run, but another one's did
    there = sim.add_batch("Round 2", total_task_count="3")
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.batches.duplicate(batch_id, name="Round 2")
    assert (caught.value.candidates, caught.value.unreadable) == ((), (there,))
    assert f"(candidates: {there} (unreadable))" in str(caught.value)
    assert len([one for one in sim.requests if one.method == "POST"]) == 1


async def test_candidates_are_bound(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.batches.duplicate(batch_id)
    (copy,) = caught.value.candidates
    assert await copy.get_status() is BatchStatus.UNINITIALISED


@pytest.mark.parametrize("older", [True, False])
async def test_without_a_date_a_lost_copy_is_found(
    sim: Simulator, client: ProlificClient, monkeypatch: pytest.MonkeyPatch, *, older: bool
) -> None:
    # The service uses this machine's clock, a little ahead of the loop's.
    ahead = timedelta(seconds=0.5)
    monkeypatch.setattr(sim._state, "utc_now", lambda: datetime.now(UTC) + ahead)
    batch_id = sim.add_batch()
    sim.inject("GET", f"/{batch_id}", Fault(headers={"Date": "unknown"}), times=None)
    if older:
        made = datetime.now(UTC) - timedelta(minutes=1)
        there = sim.add_batch("Round 2", created_at=made)
        sim.inject("POST", "/duplicate", Fault(reset="before"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.batches.duplicate(batch_id, name="Round 2")
        assert [batch.id for batch in caught.value.candidates] == [there]
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    copy = await client.batches.duplicate(batch_id, name="Round 3")
    assert sim.batches[copy.id].name == "Round 3"


# --- find_copies -----------------------------------------------------------------------------


async def test_copies_are_found_by_their_name(sim: Simulator, client: ProlificClient) -> None:
    source = sim.add_batch("Round 2")
    sim.add_batch("Other")
    sim.add_batch("Round 2", workspace_id=sim.add_workspace())
    there = sim.add_batch("Round 2"), sim.add_batch(" Round 2 ")
    odd = sim.add_batch("Round 2", total_task_count="3")
    found = await client.batches.find_copies(source, name="\tRound 2")
    assert [batch.id for batch in found.batches] == list(there)
    assert found.unreadable == (odd,)
    assert found.ids == (*there, odd)
    assert len(found) == 3
    await found.batches[0].setup()  # bound to the client


async def test_copies_without_any_are_false(sim: Simulator, client: ProlificClient) -> None:
    found = await client.batches.find_copies(sim.add_batch(), name="Round 2")
    assert not found
    assert found == Copies((), ())


async def test_find_copies_of_a_batch_needs_no_read_of_it(
    sim: Simulator, client: ProlificClient
) -> None:
    batch = await client.batches.get(sim.add_batch())
    there = sim.add_batch("Round 2")
    assert (await batch.find_copies(name="Round 2")).ids == (there,)
    assert seen(sim)[1:] == [("GET", "/batches", None)]


async def test_get_or_duplicate_of_a_batch_needs_no_read_of_it(
    sim: Simulator, client: ProlificClient
) -> None:
    batch = await client.batches.get(sim.add_batch())
    there = sim.add_batch("Round 2")
    assert (await batch.get_or_duplicate(name="Round 2")).id == there
    assert seen(sim)[1:] == [("GET", "/batches", None)]


async def test_find_copies_finds_the_copy_of_a_cancelled_duplicate(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(reset="after", delay=0.02))
    call = asyncio.create_task(client.batches.duplicate(source, name="Round 2"))
    while len(sim.batches) == 1:
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    found = await client.batches.find_copies(source, name="Round 2")
    assert found.ids == (list(sim.batches)[1],)


async def test_searches_at_the_same_time_share_their_requests(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    names = [f"Round {one}" for one in range(20)]
    there = [sim.add_batch(name) for name in names]
    found = await asyncio.gather(*(client.batches.find_copies(source, name=name) for name in names))
    assert [one.ids for one in found] == [(batch_id,) for batch_id in there]
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    ("batch", "name", "message"),
    [
        ("", "Round 2", "cannot be an id"),
        ("b1", " ", r"^name must not be blank: ' '$"),
        ("b1", None, r"^name must be text: None$"),
    ],
)
async def test_invalid_arguments_of_find_copies_are_refused(
    sim: Simulator, client: ProlificClient, batch: str, name: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await client.batches.find_copies(batch, name=name)
    assert not sim.requests


# --- setup -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset="after"),
        Fault(reset="before"),
        Fault(delay=5),
        Fault(status=503),
        *(Fault(status=status, applied=True) for status in (408, 500, 502, 503, 504)),
        Fault(status=202, body="<html>", applied=True),
    ],
    ids=repr,
)
async def test_a_setup_is_accepted_once(fault: Fault, sim: Simulator) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/setup", fault)
    async with ProlificClient(
        sim.token, base_url=sim.url, retry=QUICK_RETRY, request_timeout=0.05
    ) as client:
        await client.batches.setup(batch_id)
    accepted = fault.reset != "before" and (fault.status != 503 or fault.applied)
    posts = [one for one in sim.requests if one.method == "POST"]
    assert len(posts) == (1 if accepted else 2)
    assert sim.batches[batch_id].status in ("PROCESSING", "READY")


@pytest.mark.parametrize("body", [b"", {}, [], {"anything": 1}])
async def test_any_json_accepts_a_setup(body: Any, sim: Simulator, client: ProlificClient) -> None:
    sim.inject("POST", "/setup", Fault(status=202, body=body, applied=True))
    await client.batches.setup(sim.add_batch())
    assert len(sim.requests) == 1


async def test_a_refused_repeat_of_a_setup_may_mean_acceptance(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(body={"status": "UNINITIALISED"}))  # reads lag behind
    await client.batches.setup(batch_id)
    assert [one.status for one in sim.requests if one.method == "POST"] == [None, 400]


async def test_a_setup_that_never_runs_is_raised(sim: Simulator, client: ProlificClient) -> None:
    sim.inject("POST", "/setup", Fault(status=503), times=9)
    with pytest.raises(ServerError):
        await client.batches.setup(sim.add_batch())
    assert len([one for one in sim.requests if one.method == "POST"]) == 4


@pytest.mark.parametrize("status", ["ERROR", "SYNCING", None])
async def test_a_setup_whose_outcome_stays_unknown(
    status: str | None, sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(body={"status": status}))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.setup(batch_id)
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(status=403))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.batches.setup(batch_id)
    assert not isinstance(caught.value.__cause__, APIStatusError)


async def test_a_refused_setup_is_raised(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(dataset_status="PROCESSING")
    with pytest.raises(BadRequestError):
        await client.batches.setup(batch_id)
    assert len(sim.requests) == 1


# --- reading ---------------------------------------------------------------------------------


async def test_a_get_is_tried_again(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    for fault in (Fault(status=503), Fault(reset="before"), Fault(status=429)):
        sim.inject("GET", f"/{batch_id}", fault)
    assert (await client.batches.get(batch_id)).id == batch_id


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 425, 501])
async def test_a_get_is_not_tried_again(
    status: int, sim: Simulator, client: ProlificClient
) -> None:
    sim.inject("GET", "/status", Fault(status=status))
    with pytest.raises(APIStatusError):
        await client.batches.get_status("b1")
    assert len(sim.requests) == 1


async def test_a_retry_after_of_a_year_is_raised_at_once(
    sim: Simulator, client: ProlificClient
) -> None:
    year = 365 * 86400
    for verb in (client.batches.get_status, client.batches.duplicate, client.batches.setup):
        sim.clear_faults()
        sim.inject("GET", "/status", Fault(status=429, headers={"Retry-After": str(year)}))
        for post in ("/duplicate", "/setup"):
            sim.inject("POST", post, Fault(status=429, headers={"Retry-After": str(year)}))
        with pytest.raises(RateLimitedError) as caught:
            await verb(sim.add_batch())
        assert caught.value.retry_after == year
    assert len(sim.requests) == 3


async def test_list_returns_bound_batches(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch(name=f"Batch {n}") for n in range(3)]
    other = sim.add_workspace()
    sim.add_batch(workspace_id=other)
    found = await client.batches.list(sim.workspace_id)
    assert sorted(batch.id for batch in found) == sorted(ids)
    await found[0].refresh()
    assert sim.requests[0].query == {"workspace_id": sim.workspace_id}


async def test_list_follows_links_without_sending_the_token_elsewhere(
    sim: Simulator, client: ProlificClient
) -> None:
    one, two = [(await client.batches.get(sim.add_batch())).to_dict() for _ in range(2)]
    link = f"https://elsewhere.invalid/x?workspace_id={sim.workspace_id}&offset=1"
    first = {"results": [one], "meta": {"count": 2}, "_links": {"next": {"href": link}}}
    last = {"results": [two], "meta": {"count": 2}, "_links": {"next": {"href": None}}}
    sim.inject("GET", "/batches", Fault(body=first))
    sim.inject("GET", "/batches", Fault(body=last))
    found = await client.batches.list(sim.workspace_id)
    assert [batch.id for batch in found] == [one["id"], two["id"]]
    assert "offset" in str(sim.requests[-1].query)


async def test_list_with_fewer_batches_than_counted_is_an_error(
    sim: Simulator, client: ProlificClient
) -> None:
    one = (await client.batches.get(sim.add_batch())).to_dict()
    link = {"next": {"href": f"?workspace_id={sim.workspace_id}"}}
    for body, told in (
        ({"results": [], "meta": {"count": 1}}, "0 of 1"),
        ({"results": [], "_links": link}, "circle"),
        ({"results": [{"id": 5}]}, r"\$\.results\[0\]\.id"),
        ({"results": {}}, r"\$\.results"),
        ([], "an object is needed, not an array"),
        ({"message": "maintenance"}, "an object with 'message'"),
        ({"error": {"title": "maintenance"}}, "an object with 'error'"),
        ({"status": 5}, "an object with 'status'"),
        (one, "an object with 'id', 'created_at'"),
        ({"results": None, "detail": "maintenance"}, "an object with 'results', 'detail'"),
    ):
        sim.clear_faults()
        sim.inject("GET", "/batches", Fault(body=body), times=2)
        with pytest.raises(DecodeError, match=told):
            await client.batches.list(sim.workspace_id)
    empties: list[dict[str, Any]] = [
        {},
        {"results": None},
        {"results": [], "meta": None},
        {"meta": {"count": 0}, "_links": {"next": None}},
    ]
    for empty in empties:
        sim.clear_faults()
        sim.inject("GET", "/batches", Fault(body=empty))
        assert await client.batches.list(sim.workspace_id) == []


async def test_list_names_the_batch_that_cannot_be_read(
    sim: Simulator, client: ProlificClient
) -> None:
    sim.add_batch()
    odd = sim.add_batch(total_task_count="3", datasets=[{"id": 5}])
    with pytest.raises(DecodeError) as caught:
        await client.batches.list(sim.workspace_id)
    assert set(caught.value.problems) == {
        f"$.results[1].total_task_count: an integer is needed, not a string (batch {odd})",
        f"$.results[1].datasets[0].id: a string is needed, not an integer (batch {odd})",
        f"$.results[1].datasets[0].total_datapoint_count: it is missing (batch {odd})",
    }
    assert odd in str(caught.value)


async def test_null_datasets_are_an_empty_tuple(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(datasets=None, status="READY")
    batch = await client.batches.get(batch_id)
    assert batch.datasets == ()
    assert await client.batches.list(sim.workspace_id) == [batch]
    assert await batch.wait_until_ready() == batch
    assert Batch.from_dict(batch.to_dict()) == batch


async def test_list_ends_after_a_thousand_pages(sim: Simulator, client: ProlificClient) -> None:
    for page in range(1001):
        link = {"next": {"href": f"?workspace_id={sim.workspace_id}&page={page}"}}
        sim.inject("GET", "/batches", Fault(body={"results": [], "_links": link}))
    with pytest.raises(DecodeError, match="more than 1000 pages"):
        await client.batches.list(sim.workspace_id)
    assert len(sim.requests) == 1000


async def test_an_invalid_workspace_id_hides_no_copy(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    odd = (await client.batches.get(batch_id)).to_dict() | {"workspace_id": ".."}
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    sim.inject("GET", f"/batches/{batch_id}", Fault(body=odd))
    with pytest.raises(OutcomeUnknownError):
        await client.batches.duplicate(batch_id, name="Round 2")


async def test_an_invalid_workspace_id_breaks_no_poll(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [sim.add_batch() for _ in range(9)]
    for batch_id in ids:
        await client.batches.setup(batch_id)
        odd = (await client.batches.get(batch_id)).to_dict() | {"workspace_id": ".."}
        sim.inject("GET", f"/batches/{batch_id}", Fault(body=odd))
    async with ProlificClient(sim.token, base_url=sim.url, poll=QUICK_POLL) as another:
        ready = await another.batches.wait_all(ids)
    assert [batch.id for batch in ready] == ids
    assert "broken" not in caplog.text


# --- waiting ---------------------------------------------------------------------------------


async def test_a_batch_in_error_raises(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    sim.fail(batch_id)
    await client.batches.setup(batch_id)
    with pytest.raises(BatchFailedError) as caught:
        await client.batches.wait_until_ready(batch_id)
    assert caught.value.batch is not None
    assert caught.value.batch.id == batch_id
    await caught.value.batch.refresh()


async def test_a_batch_that_is_not_set_up_raises(sim: Simulator, client: ProlificClient) -> None:
    poll = PollPolicy(initial=0.01, uninitialised_grace=0.03)
    with pytest.raises(BatchNotSetUpError):
        await client.batches.wait_until_ready(sim.add_batch(), poll=poll)


async def test_an_early_404_is_survived_by_the_client_that_made_the_batch(
    sim: Simulator, client: ProlificClient
) -> None:
    copy = await client.batches.duplicate(sim.add_batch())
    await copy.setup()
    sim.inject("GET", "/status", Fault(status=404), times=2)
    assert (await copy.wait_until_ready()).status is BatchStatus.READY
    sim.inject("GET", "/status", Fault(status=404))
    with pytest.raises(WaitFailedError) as caught:
        await client.batches.wait_until_ready(sim.add_batch())
    assert isinstance(caught.value.__cause__, NotFoundError)


async def test_a_ready_batch_that_goes_back_is_waited_for(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch(status="PROCESSING")
    sim.inject("GET", "/status", Fault(body={"status": "READY"}))
    events: list[StatusEvent] = []
    await client.batches.wait_until_ready(batch_id, on_event=events.append)
    assert [event.status for event in events] == ["READY", *["PROCESSING"] * 2, "READY"]
    assert [event.next_in == 0 for event in events] == [True, False, False, False]
    polls = [one.path.endswith("/status") for one in sim.requests]
    assert polls == [True, False, False, False]


async def test_transient_faults_do_not_end_a_wait(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch()
    await client.batches.setup(batch_id)
    for fault in (
        Fault(status=503),
        Fault(reset="before"),  # on a kept connection, after which aiohttp would repeat it
        Fault(status=429, headers={"Retry-After": "0.02"}),
        Fault(body="<html>"),
        Fault(cut=5),
        Fault(body={"status": None}),
        Fault(body={"status": "SYNCING"}),
    ):
        sim.inject("GET", "/status", fault)
    events: list[StatusEvent] = []
    ready = await client.batches.wait_until_ready(batch_id, on_event=events.append)
    assert ready.status is BatchStatus.READY
    assert [event.error is not None for event in events[:7]] == [True] * 5 + [False] * 2
    # A poll is one attempt: the request layer does not multiply what the wait repeats.
    polls = [one for one in sim.requests if one.path.endswith("/status")]
    assert len(polls) == len(events) == events[-1].polls


async def test_errors_of_events_have_no_frames(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="READY")
    for fault in (Fault(status=503), Fault(reset="before"), Fault(body="<html>")):
        sim.inject("GET", "/status", fault)
    events: list[StatusEvent] = []
    await client.batches.wait_until_ready(batch_id, on_event=events.append)
    kinds = [type(event.error) for event in events]
    assert kinds == [ServerError, ConnectionLostError, DecodeError, type(None)]
    errors: list[BaseException] = [event.error for event in events if event.error is not None]
    for error in errors:
        assert error.__traceback__ is None
        errors += [inner for inner in (error.__cause__, error.__context__) if inner is not None]
    assert len(errors) > 3


async def test_a_hanging_request_is_cut_at_the_deadline() -> None:
    async with Simulator() as sim, ProlificClient(sim.token, base_url=sim.url) as client:
        sim.inject("GET", "/status", Fault(delay=30))
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(WaitTimeoutError) as caught:
            await client.batches.wait_until_ready(sim.add_batch(), timeout=0.05)
        assert 0.04 < loop.time() - began < 1
        assert isinstance(caught.value.__cause__, RequestTimeoutError)
        assert caught.value.polls == 1


async def test_timeout_0_is_one_poll(sim: Simulator, client: ProlificClient) -> None:
    with pytest.raises(WaitTimeoutError):
        await client.batches.wait_until_ready(sim.add_batch(status="PROCESSING"), timeout=0)
    assert len(sim.requests) == 1
    batch_id = sim.add_batch(status="READY")
    assert (await client.batches.wait_until_ready(batch_id, timeout=0)).id == batch_id


@pytest.mark.parametrize("timeout", [None, float("inf")])
async def test_a_wait_without_a_timeout(
    timeout: float | None, sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    await client.batches.setup(batch_id)
    assert (await client.batches.wait_until_ready(batch_id, timeout=timeout)).id == batch_id


async def test_wait_all_returns_batches_in_order(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch() for _ in range(5)]
    for batch_id in ids:
        await client.batches.setup(batch_id)
    events: list[StatusEvent] = []
    asked = [*ids, ids[0]]
    ready = await client.batches.wait_all(asked, on_event=events.append)
    assert [batch.id for batch in ready] == asked
    assert {event.batch_id for event in events} == set(ids)
    assert await client.batches.wait_all([]) == []


async def test_wait_all_can_return_errors(sim: Simulator, client: ProlificClient) -> None:
    good, bad = sim.add_batch(status="READY"), sim.add_batch(status="ERROR")
    outcomes = await client.batches.wait_all([bad, good, bad], return_exceptions=True)
    assert [type(one) for one in outcomes] == [BatchFailedError, Batch, BatchFailedError]


async def test_as_ready_yields_in_the_order_of_readiness() -> None:
    endings: dict[str, Ending] = {
        "late": AfterPolls(6),
        "early": Immediately(),
        "middle": AfterPolls(2),
    }
    async with (
        Simulator(setup=lambda batch: endings[batch.name]) as sim,
        ProlificClient(sim.token, base_url=sim.url, poll=QUICK_POLL) as client,
    ):
        ids = {name: sim.add_batch(name=name) for name in endings}
        for batch_id in ids.values():
            await client.batches.setup(batch_id)
        bad = sim.add_batch(status="ERROR")
        outcomes = [one async for one in client.batches.as_ready([*ids.values(), bad])]
        assert [one.name for one in outcomes if isinstance(one, Batch)] == [
            "early",
            "middle",
            "late",
        ]
        (error,) = (one for one in outcomes if isinstance(one, WaitError))
        assert error.batch_id == bad


async def test_leaving_as_ready_ends_its_waits() -> None:
    async with (
        Simulator(setup=AfterSeconds(60)) as sim,
        ProlificClient(sim.token, base_url=sim.url, poll=QUICK_POLL) as client,
    ):
        ids = [sim.add_batch(status="READY"), sim.add_batch(status="PROCESSING")]
        async with aclosing(client.batches.as_ready(ids)) as outcomes:
            async for one in outcomes:
                assert isinstance(one, Batch)
                break
        assert tasks() == {asyncio.current_task()}


async def test_cancelling_a_wait_changes_nothing_else(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch()
    first, second = (
        asyncio.create_task(client.batches.wait_until_ready(batch_id)) for _ in range(2)
    )
    await asyncio.sleep(0.02)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await client.batches.setup(batch_id)
    assert (await second).status is BatchStatus.READY
    assert tasks() == {asyncio.current_task()}
    assert all(one.method == "GET" or one.status == 202 for one in sim.requests)


async def test_a_wait_may_have_its_own_policy(sim: Simulator) -> None:
    batch_id = sim.add_batch()
    async with ProlificClient(
        sim.token, base_url=sim.url, retry=RetryPolicy(), poll=PollPolicy(timeout=0)
    ) as client:
        with pytest.raises(WaitTimeoutError):
            await client.batches.wait_until_ready(batch_id)
        with pytest.raises(WaitTimeoutError):
            await client.batches.wait_until_ready(batch_id, poll=QUICK_POLL, timeout=0.1)
        assert len(sim.requests) > 2


@pytest.mark.parametrize(
    "body",
    [
        {"message": "maintenance"},
        {"results": [{"id": "b1"}]},
        {"results": [], "meta": {"count": 3}},
        {"results": [], "_links": {"next": {"href": "http://["}}},
        [],
    ],
    ids=range(5),
)
async def test_a_list_that_cannot_be_read_tells_its_request_id(
    sim: Simulator, client: ProlificClient, body: Any
) -> None:
    sim.inject("GET", "/batches", Fault(body=body, headers={"X-Request-Id": "r-1"}))
    with pytest.raises(DecodeError) as caught:
        await client.batches.list(sim.workspace_id)
    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize("body", ['{"message": "maintenance"}', "[]", '{"results": [', "<h1>"])
async def test_a_search_that_cannot_be_read_tells_its_request_id(
    sim: Simulator, client: ProlificClient, body: str
) -> None:
    source = sim.add_batch("Original")
    sim.inject("GET", "/batches", Fault(body=body.encode(), headers={"X-Request-Id": "r-1"}))
    with pytest.raises(DecodeError) as caught:
        await client.batches.find_copies(source, name="Round 2")
    assert caught.value.request_id == "r-1"


async def test_a_source_that_cannot_be_read_tells_its_request_id(
    sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch("Original")
    sim.inject("GET", f"/{source}", Fault(body={"id": 5}, headers={"X-Request-Id": "r-1"}))
    with pytest.raises(DecodeError) as caught:
        await client.batches.find_copies(source, name="Round 2")
    assert caught.value.request_id == "r-1"
