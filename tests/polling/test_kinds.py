"""Waits for datasets, imports and other jobs, on the poller that batches are polled by."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    BatchFailedError,
    JobFailedError,
    JobStatus,
    NothingUploadedError,
    PartialImportError,
    PollPolicy,
    ProlificClient,
    RetryPolicy,
    SchemaNeededError,
    StatusEvent,
    WaitFailedError,
    WaitTimeoutError,
    _validation,
)
from prolific_async._api.batches import get_batch, get_batch_status
from prolific_async._polling.kinds import BATCH_VERDICT, Kind
from prolific_async._polling.wait_methods import Awaited, WaitMethods, awaited_job
from prolific_async.errors import (
    ConfigurationError,
    ConnectionLostError,
    NotFoundError,
    RequestTimeoutError,
)
from tests import samples
from tests.polling.fakes import clock, nothing_left, poller_test
from tests.polling.jobs import (
    ACCEPTING,
    DATASET,
    EVERY_SECOND,
    IMPORT,
    SYNC,
    Dataset,
    Job,
    Jobs,
)
from tests.polling.jobs import (
    policy as changed,
)

if TYPE_CHECKING:
    from prolific_async import Batch
    from prolific_async._http.request import Request
    from prolific_async._polling.kinds import TargetKey
    from prolific_async.simulator import Simulator

AN_IMPORT = awaited_job(IMPORT, "i1", "d1")
THE_DATASET = awaited_job(DATASET, "d1")
A_SYNC = awaited_job(SYNC, "s1", "b1")
ROOT = "/api/v1/data-collection"
DATASET_PATH = "/datasets/d1"
IMPORT_PATH, STATUS_PATH = f"{DATASET_PATH}/imports/i1", f"{DATASET_PATH}/status"
SYNC_PATH = "/batches/b1/syncs/s1"
PROCESSING = "processing"
LOST = ConnectionLostError("GET", "/x", "reset")


def shown(events: list[StatusEvent]) -> list[str | None]:
    return [event.status for event in events]


# --- what ends a wait ------------------------------------------------------------------------


@poller_test
async def test_a_job_that_its_polls_read_whole_is_returned_by_the_last_of_them() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, "queued", PROCESSING, {"status": "complete", "accepted_count": 7})
    done = await it.wait(A_SYNC, owner="bound")
    assert done == (Job(JobStatus.COMPLETE, accepted_count=7), "bound")
    assert it.network.sent == [(0, SYNC_PATH), (1.01, SYNC_PATH), (2.02, SYNC_PATH)]
    assert shown(it.events) == ["queued", "processing", "complete"]
    first = it.events[0]
    assert first == StatusEvent(
        None, JobStatus.QUEUED, None, 1, first.elapsed, 1, kind="sync", id="s1"
    )
    assert first.elapsed == pytest.approx(0.01)
    await nothing_left(it.poller)


@poller_test
async def test_what_a_finished_job_has_made_is_read_after_it() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, PROCESSING, "complete")
    it.shows(DATASET_PATH, {"id": "d1"})
    assert await it.wait(AN_IMPORT) == Dataset("d1")
    assert it.network.paths() == [IMPORT_PATH, IMPORT_PATH, DATASET_PATH]
    assert shown(it.events) == ["processing", "complete"]
    assert it.events[-1].next_in is None
    await nothing_left(it.poller)


@poller_test
async def test_a_follow_up_that_fails_is_made_again() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, "complete")
    it.shows(DATASET_PATH, LOST, samples.status_error(503), {"id": "d1"})
    assert await it.wait(AN_IMPORT) == Dataset("d1")
    assert it.network.paths() == [IMPORT_PATH, *[DATASET_PATH] * 3]
    assert shown(it.events) == ["complete"] * 4
    assert [event.error is None for event in it.events] == [True, False, False, True]


@poller_test
async def test_a_wait_that_joins_during_the_follow_up_shares_it() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, "complete")
    it.shows(DATASET_PATH, {"id": "d1"})
    first = asyncio.ensure_future(it.wait(AN_IMPORT))
    await asyncio.sleep(0.015)
    assert await it.wait(AN_IMPORT) == await first == Dataset("d1")
    assert it.network.paths() == [IMPORT_PATH, DATASET_PATH]


@poller_test
async def test_a_wait_that_needs_a_newer_poll_than_that_makes_its_own() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, "complete", "queued", "complete")
    it.shows(DATASET_PATH, {"id": "d1"})
    first = asyncio.ensure_future(it.wait(AN_IMPORT))
    await asyncio.sleep(0.015)
    second = await it.wait(AN_IMPORT, poll=changed(initial=0.001))
    assert second == await first == Dataset("d1")
    # What is read for the first one has no status, and so tells the second one nothing.
    assert it.network.paths() == [IMPORT_PATH, DATASET_PATH, IMPORT_PATH, IMPORT_PATH, DATASET_PATH]
    assert shown(it.events) == ["complete", "queued", "complete"]
    assert [event.polls for event in it.events] == [1, 1, 2]


@poller_test
async def test_a_failed_job_raises_with_what_the_service_said() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, PROCESSING, {"status": "failed", "reason": "row 3 has no text"})
    error = await it.fails(AN_IMPORT)
    assert type(error) is JobFailedError
    assert (error.kind, error.id, error.batch_id, error.polls) == ("import", "i1", None, 2)
    assert error.job == Job(JobStatus.FAILED, "row 3 has no text")
    assert error.last_status is JobStatus.FAILED
    assert str(error).startswith("waiting for import i1 found that it failed: row 3 has no text;")
    assert error.events == tuple(it.events)
    assert {(event.kind, event.id, event.batch_id) for event in error.events} == {
        ("import", "i1", None)
    }
    assert it.network.paths() == [IMPORT_PATH] * 2  # it needs no other request
    await nothing_left(it.poller)


@poller_test
async def test_a_partial_job_raises_or_is_accepted_and_both_share_its_polls() -> None:
    it = Jobs()
    partial = {"status": "partial", "accepted_count": 5, "rejected_count": 2}
    it.shows(IMPORT_PATH, PROCESSING, partial)
    it.shows(DATASET_PATH, {"id": "d1"})
    accepting = awaited_job(IMPORT, "i1", "d1", verdict=ACCEPTING)
    error, done = await asyncio.gather(it.fails(AN_IMPORT), it.wait(accepting))
    assert type(error) is PartialImportError
    assert (error.accepted_count, error.rejected_count) == (5, 2)
    assert done == Dataset("d1")
    assert it.network.paths() == [IMPORT_PATH, IMPORT_PATH, DATASET_PATH]


@poller_test
async def test_an_import_without_a_schema_raises() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, "pending_schema")
    error = await it.fails(AN_IMPORT)
    assert type(error) is SchemaNeededError
    assert "waiting for import i1 found that its dataset has no schema: call upd" in str(error)


@poller_test
async def test_a_status_alone_that_shows_an_error_is_followed_by_one_read() -> None:
    it = Jobs()
    it.shows(STATUS_PATH, "ERROR")
    it.shows(DATASET_PATH, {"id": "d1", "status": "ERROR"})
    error = await it.fails(THE_DATASET)
    assert (type(error), error.job) == (JobFailedError, it_is("ERROR"))
    it.shows(DATASET_PATH, LOST)
    again = await it.fails(THE_DATASET)
    assert (type(again), again.job, again.failure) == (JobFailedError, None, None)
    assert "dataset d1 found that it failed; correct the data" in str(again)


def it_is(status: str) -> Dataset:
    return Dataset.from_dict({"id": "d1", "status": status})


@poller_test
async def test_an_error_whose_read_hangs_is_raised_at_the_deadline() -> None:
    it = Jobs()
    it.shows(STATUS_PATH, "ERROR")
    it.network.hanging.add(DATASET_PATH)
    error = await it.fails(THE_DATASET, given_timeout=5)
    assert (type(error), error.job, error.elapsed) == (JobFailedError, None, 5)
    await nothing_left(it.poller)


@poller_test
async def test_the_newer_answer_wins_over_a_ready_status() -> None:
    it = Jobs()
    it.shows(STATUS_PATH, "READY")
    it.shows(DATASET_PATH, {"id": "d1", "status": "PROCESSING"}, {"id": "d1", "status": "READY"})
    assert await it.wait(THE_DATASET) == it_is("READY")
    assert it.network.paths() == [STATUS_PATH, DATASET_PATH, DATASET_PATH]
    assert shown(it.events) == ["READY", "PROCESSING", "READY"]


# --- what does not ---------------------------------------------------------------------------


@poller_test
async def test_null_and_unseen_statuses_are_pending_and_logged_once() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, "paused", "paused", None, None, "complete")
    it.shows(STATUS_PATH, None, "new", "READY")
    it.shows(DATASET_PATH, {"id": "d1", "status": "READY"})
    warned: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warned.append(record.getMessage())  # type: ignore[method-assign] # a handler of this test alone
    logger = logging.getLogger("prolific_async")
    logger.addHandler(handler)
    try:
        await it.wait(A_SYNC)
        await it.wait(THE_DATASET)
    finally:
        logger.removeHandler(handler)
    assert warned == [
        "sync s1 shows the unseen status 'paused', which counts as pending",
        "sync s1 shows no status, which counts as pending",
        "dataset d1 shows no status, which counts as pending",
        "dataset d1 shows the unseen status 'new', which counts as pending",
    ]
    assert shown(it.events)[:5] == ["paused"] * 4 + ["complete"]


@poller_test
async def test_only_a_kind_with_an_unstarted_status_has_a_grace() -> None:
    it = Jobs()
    it.shows(STATUS_PATH, "UNINITIALISED")
    error = await it.fails(THE_DATASET, poll=changed(uninitialised_grace=5))
    assert type(error) is NothingUploadedError
    assert 5 <= error.elapsed < 6.1
    it.shows(SYNC_PATH, None)
    late = await it.fails(A_SYNC, poll=changed(uninitialised_grace=5), given_timeout=20)
    assert type(late) is WaitTimeoutError
    assert late.elapsed == pytest.approx(20)
    assert (
        late.polls == len(it.network.sent) - 6 == 20
    )  # a response without a status has a gap, too


@poller_test
async def test_what_was_just_made_may_be_unknown_for_a_while() -> None:
    it = Jobs()
    unknown = samples.status_error(404)
    it.shows(SYNC_PATH, *[unknown] * 3, "complete")
    new = awaited_job(SYNC, "s1", "b1", made_at=asyncio.get_running_loop().time())
    assert (await it.wait(new)).status is JobStatus.COMPLETE
    it.shows(SYNC_PATH, unknown)
    error = await it.fails(new)
    assert type(error) is WaitFailedError
    assert isinstance(error.failure, NotFoundError)
    assert clock() > 5  # not_found_grace
    it.shows(SYNC_PATH, unknown, "complete")
    at_once = await it.fails(A_SYNC)  # this client did not make it
    assert (type(at_once), at_once.polls) == (WaitFailedError, 1)


@poller_test
async def test_passing_failures_are_survived_as_often_as_the_policy_says() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, LOST, samples.status_error(429), samples.status_error(502), "complete")
    assert (await it.wait(A_SYNC)).status is JobStatus.COMPLETE
    it.shows(SYNC_PATH, LOST)
    error = await it.fails(A_SYNC, poll=changed(max_consecutive_failures=2))
    assert (type(error), error.polls) == (WaitFailedError, 3)
    assert isinstance(error.failure, ConnectionLostError)
    it.shows(SYNC_PATH, samples.status_error(400))
    refused = await it.fails(A_SYNC)
    assert (type(refused), refused.polls) == (WaitFailedError, 1)
    assert str(refused).startswith("waiting for sync s1 failed: GET /x was answered with 400")


@poller_test
async def test_a_job_that_lags_is_polled_until_the_timeout() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, "queued")
    error = await it.fails(AN_IMPORT, given_timeout=10)
    assert type(error) is WaitTimeoutError
    assert isinstance(error, TimeoutError)
    assert (error.elapsed, error.kind, error.last_status) == (10, "import", JobStatus.QUEUED)
    assert "waiting for import i1 timed out: wait again, or longer (queued," in str(error)
    assert it.network.sent[-1][0] == pytest.approx(9.5)  # the last poll is shortly before it
    await nothing_left(it.poller)


@poller_test
async def test_a_poll_that_hangs_is_cut_off_at_the_deadline() -> None:
    it = Jobs()
    it.network.hanging.add(IMPORT_PATH)
    error = await it.fails(AN_IMPORT, given_timeout=5)
    assert type(error) is WaitTimeoutError
    assert isinstance(error.failure, RequestTimeoutError)
    assert f"GET /gateway{IMPORT_PATH} got no whole response" in str(error)
    await nothing_left(it.poller)


@poller_test
async def test_cancelling_and_closing_leave_nothing() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, PROCESSING)
    it.shows(IMPORT_PATH, PROCESSING)
    waiting = [asyncio.ensure_future(it.fails(one)) for one in (A_SYNC, AN_IMPORT)]
    await asyncio.sleep(2.5)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    poller = it.poller
    await it.state.wait_runner.close(ConfigurationError("closed"))
    closed = await waiting[1]
    assert (type(closed), closed.kind) == (WaitFailedError, "import")
    await nothing_left(poller)


# --- many ------------------------------------------------------------------------------------


@poller_test
async def test_equal_ids_of_several_kinds_are_different_targets() -> None:
    it = Jobs()
    it.shows("/datasets/x/status", "READY")
    it.shows("/datasets/x", {"id": "x", "status": "READY"})
    it.shows("/datasets/p/imports/x", {"status": "failed"})
    it.shows("/batches/p/syncs/x", {"status": "complete"})
    it.shows(f"{ROOT}/batches/x/status", {"status": "PROCESSING"}, {"status": "READY"})
    it.shows(f"{ROOT}/batches/x", samples.batch("READY", "x").to_dict())
    batch, dataset, sync, error = await asyncio.gather(
        it.wait(Awaited("x")),
        it.wait(awaited_job(DATASET, "x")),
        it.wait(awaited_job(SYNC, "x", "p")),
        it.fails(awaited_job(IMPORT, "x", "p")),
    )
    assert batch == samples.batch("READY", "x")
    assert dataset.id == "x"
    assert sync == Job(JobStatus.COMPLETE)
    assert (error.kind, error.id) == ("import", "x")
    assert {event.kind: event.batch_id for event in it.events} == {
        "batch": "x",
        "dataset": None,
        "sync": None,
        "import": None,
    }


@poller_test
async def test_many_waits_for_one_job_share_its_polls() -> None:
    it = Jobs()
    it.shows(IMPORT_PATH, PROCESSING, PROCESSING, "complete")
    it.shows(DATASET_PATH, {"id": "d1"})
    done = await asyncio.gather(*(it.wait(AN_IMPORT) for _ in range(1000)))
    assert done == [Dataset("d1")] * 1000
    assert it.network.paths() == [*[IMPORT_PATH] * 3, DATASET_PATH]


@poller_test
async def test_a_thousand_jobs_and_a_thousand_batches_wait_side_by_side() -> None:
    it = Jobs(limit=200)
    count = 1000
    for number in range(count):
        it.shows(f"/batches/b/syncs/s{number}", PROCESSING, "complete")

    def listed(status: str) -> bytes:
        items = [samples.batch(status, f"b{number}").to_dict() for number in range(count)]
        return json.dumps({"results": items}).encode()

    it.network.answers[f"{ROOT}/batches?workspace_id=w1"] = [listed("PROCESSING"), listed("READY")]
    rules = _validation.wait_rules(..., None, None, default=EVERY_SECOND)
    jobs = it.waiter.wait_all(
        [awaited_job(SYNC, f"s{number}", "b") for number in range(count)],
        rules,
        None,
        return_exceptions=False,
    )
    batches = it.waiter.wait_all(
        [Awaited(f"b{number}", "w1") for number in range(count)],
        rules,
        None,
        return_exceptions=False,
    )
    done: list[Any]
    ready: list[Any]
    done, ready = await asyncio.gather(jobs, batches)
    assert {job.status for job in done} == {JobStatus.COMPLETE}
    assert [batch.id for batch in ready] == [f"b{number}" for number in range(count)]
    lists = [path for path in it.network.paths() if "?" in path]
    assert len(it.network.sent) == 2 * count + len(lists)  # no batch is polled singly
    assert len(lists) == 2
    times = [at for at, _ in it.network.sent]
    busiest = max(sum(start <= at < start + 1 for at in times) for start in set(times))
    assert 150 < busiest <= 240  # 1.2 times the rate
    await nothing_left(it.poller)


@poller_test
async def test_jobs_join_no_group_whatever_the_strategy() -> None:
    it = Jobs(list_threshold=1)
    for number in range(20):
        it.shows(f"/batches/b/syncs/s{number}", PROCESSING, "complete")
    await asyncio.gather(*(it.wait(awaited_job(SYNC, f"s{number}", "b")) for number in range(20)))
    assert len(it.network.sent) == 40
    assert not it.poller._workspaces.awaited


@poller_test
async def test_a_bug_in_a_kind_ends_its_waits_and_no_others() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, {"status": "complete"})
    it.network.answers[IMPORT_PATH] = [ZeroDivisionError()]
    error, done = await asyncio.gather(it.fails(AN_IMPORT), it.wait(A_SYNC))
    assert type(error) is WaitFailedError
    assert "this is a bug" in str(error)
    assert done == Job(JobStatus.COMPLETE)


@poller_test
async def test_a_job_can_be_polled_now() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, PROCESSING, "complete")
    waiting = asyncio.ensure_future(it.wait(A_SYNC, poll=changed(initial=30, maximum=30)))
    await asyncio.sleep(2)
    it.state.wait_runner.poll_now(A_SYNC.key)
    await waiting
    assert clock() == pytest.approx(2.01)


@poller_test
async def test_observers_of_batches_are_not_told_of_jobs() -> None:
    it = Jobs()
    it.shows(SYNC_PATH, PROCESSING, "complete")
    told: list[Any] = []
    it.state.wait_runner.observers += (lambda key: told.append(("batch", key)),)
    it.state.wait_runner.job_observers += (lambda key: told.append(str(key)) or told.append,)  # type: ignore[func-returns-value] # on purpose
    await it.wait(A_SYNC)
    assert told[0] == "sync s1"
    assert told[1:] == [*it.events, Job(JobStatus.COMPLETE)]


async def test_jobs_of_a_client_are_polled_beside_its_batches(sim: Simulator) -> None:
    # The simulator stands for a service with jobs whose statuses are those of batches.
    def get_status(key: TargetKey, prefix: str) -> Request:
        return get_batch_status(key.id, prefix=prefix)

    kind = Kind(
        name="build",
        get_status=get_status,
        get=lambda key, prefix: get_batch(key.id, prefix=prefix),
        status_of=lambda batch: batch.status,
        verdict=BATCH_VERDICT,
    )
    ids = [sim.add_batch() for _ in range(30)]
    for one in ids[:-1]:
        sim.set_status(one, "READY")
    sim.set_status(ids[-1], "ERROR")
    quick = PollPolicy(initial=0.01, maximum=0.02)
    async with ProlificClient(sim.token, base_url=sim.url, poll=quick) as client:
        batches = client.batches
        waiter: WaitMethods[Batch] = WaitMethods(
            batches.state.wait_runner, {}, client._transport.request_timeout, RetryPolicy()
        )
        rules = _validation.wait_rules(5, None, None, default=quick)
        jobs = waiter.wait_all(
            [awaited_job(kind, one) for one in ids],
            rules,
            batches,
            return_exceptions=True,
        )
        *done, failed = await jobs
        assert [one.id for one in done] == ids[:-1]
        assert isinstance(failed, BatchFailedError)
        assert (failed.kind, failed.batch_id) == ("build", None)
        assert (failed.batch and failed.batch.id) == ids[-1]
        assert not [one for one in sim.requests if one.query]  # no list
        before = len(sim.requests)
        await asyncio.gather(
            batches.wait_until_ready(ids[0]), waiter.wait(awaited_job(kind, ids[0]), rules, batches)
        )
        assert len(sim.requests) == before + 4  # two targets, though the ids are equal


# --- rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "rows", "given", "seconds"),
    [
        (1800, None, ..., 1800),
        (1800, 100, ..., 1800),
        (1800, 100_000, ..., 10_060),
        (10, 0, ..., 60),
        (None, 100_000, ..., None),
        (1800, 100_000, 5, 5),
        (1800, 100_000, None, None),
    ],
)
def test_the_default_limit_grows_with_the_rows(
    default: float | None, rows: int | None, given: Any, seconds: float | None
) -> None:
    policy = PollPolicy(timeout=default)
    rules = _validation.wait_rules(given, None, None, default=policy, rows=rows)
    assert rules.timeout == seconds
