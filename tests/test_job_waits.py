"""Waits for datasets and jobs of a client, against the simulator."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from attrs import evolve

from prolific_async import (
    BatchSync,
    ConfigurationError,
    Dataset,
    DatasetSchema,
    DatasetStatus,
    DecodeError,
    Export,
    JobFailedError,
    JobStatus,
    NotFoundError,
    NothingUploadedError,
    PartialImportError,
    PartialMigrationError,
    PermissionDeniedError,
    PollPolicy,
    ProlificClient,
    RateLimitedError,
    RejectedRow,
    SchemaMigration,
    SchemaNeededError,
    StatusEvent,
    Upload,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async._polling.job_kinds import status_of_dataset
from prolific_async._polling.job_starts import JobStarts
from prolific_async.simulator import AfterPolls, AfterSeconds, Fault, Simulator
from tests import samples
from tests.conftest import QUICK_POLL, QUICK_RETRY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROWS = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}]
ONE_BAD = [*ROWS, {"other": "d"}]
SCHEMA = DatasetSchema.of(prompt="text")
WIDER = DatasetSchema.of(prompt="text", other="text")
NEVER = AfterSeconds(10**6)
BRIEF = evolve(QUICK_POLL, uninitialised_grace=0.03)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(setup=AfterPolls(1), imports=AfterPolls(2)) as simulator:
        yield simulator


def client_of(sim: Simulator, **options: Any) -> ProlificClient:
    quick: dict[str, Any] = {"poll": QUICK_POLL, "retry": QUICK_RETRY, "request_timeout": 2}
    return ProlificClient(sim.token, base_url=sim.url, **quick | options)


async def v3(client: ProlificClient, sim: Simulator) -> Dataset:
    return await client.datasets.create(sim.workspace_id, name="Rows")


async def v4(client: ProlificClient, sim: Simulator) -> Dataset:
    return await client.datasets.create(sim.workspace_id, name="Rows", schema=SCHEMA)


def paths(sim: Simulator, *, after: int = 0) -> Counter[str]:
    """Count the requests by what follows the ids in their paths."""
    root = "/api/v1/data-collection/"
    return Counter(one.path.removeprefix(root) for one in sim.requests[after:])


async def fails(waiting: Any) -> Any:
    with pytest.raises(WaitError) as caught:
        await waiting
    return caught.value


# --- uploads ---------------------------------------------------------------------------------


async def test_an_upload_to_a_dataset_with_a_schema_follows_its_import(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v4(client, sim)
    upload = await dataset.upload(ROWS)
    before = len(sim.requests)
    events: list[StatusEvent] = []
    ready = await upload.wait(on_event=events.append)
    assert (ready.id, ready.total_datapoint_count) == (dataset.id, 3)
    assert ready._resource is client.datasets
    assert [one.status for one in ready.imports or ()] == [JobStatus.COMPLETE]
    an_import = f"datasets/{dataset.id}/imports/{upload.id}"
    assert paths(sim, after=before) == {an_import: 3, f"datasets/{dataset.id}": 1}
    assert [event.status for event in events] == ["processing", "processing", "complete"]
    assert {(one.kind, one.id, one.batch_id) for one in events} == {("import", upload.id, None)}
    assert type(events[-1].status) is JobStatus
    await (await ready.refresh()).wait_until_ready()  # what it returned has its verbs


async def test_an_upload_to_a_dataset_without_a_schema_follows_its_status(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v3(client, sim)
    upload = await dataset.upload(ROWS)
    events: list[StatusEvent] = []
    ready = await upload.wait(partial="accept", on_event=events.append)
    assert (ready.status, ready.total_datapoint_count) == (DatasetStatus.READY, 3)
    assert [event.status for event in events] == ["PROCESSING", "PROCESSING", "READY"]
    assert {(one.kind, one.id, one.batch_id) for one in events} == {("dataset", dataset.id, None)}
    sim.fail_imports((other := await v3(client, sim)).id)
    error = await fails((await other.upload(ROWS)).wait())
    assert type(error) is JobFailedError
    assert (error.kind, error.id, error.last_status) == ("dataset", other.id, DatasetStatus.ERROR)
    assert error.job == await other.refresh()
    assert "correct the data, and upload it to a new dataset" in str(error)


async def test_a_dataset_that_lags_behind_its_upload_is_waited_for(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v3(client, sim)
    upload = await dataset.upload(ROWS)
    shown = await client.datasets.get(dataset)
    lagging = shown.to_dict() | {"status": "UNINITIALISED"}
    sim.inject("GET", f"/{dataset.id}", Fault(body=lagging), times=8)
    events: list[StatusEvent] = []
    await asyncio.gather(
        upload.wait(poll=evolve(BRIEF, initial=0.02), on_event=events.append),
        dataset.wait_until_ready(poll=evolve(BRIEF, initial=0.02)),
    )
    statuses = [event.status for event in events]
    assert statuses[:8] == ["UNINITIALISED"] * 8
    assert events[7].elapsed > BRIEF.uninitialised_grace
    assert statuses[-1] == "READY"


async def test_a_partial_import_raises_or_is_accepted(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v4(client, sim)
    upload = await dataset.upload(ONE_BAD)
    error, ready = await asyncio.gather(fails(upload.wait()), upload.wait(partial="accept"))
    assert type(error) is PartialImportError
    assert (error.kind, error.id, error.last_status) == ("import", upload.id, JobStatus.PARTIAL)
    assert (error.accepted_count, error.rejected_count) == (3, 1)
    assert [type(one) for one in error.errors] == [RejectedRow]
    assert error.errors[0].record_index == 3
    assert (ready.id, ready.total_datapoint_count) == (dataset.id, 3)
    again = pickle.loads(pickle.dumps(error))
    assert (again.accepted_count, again.errors, str(again)) == (3, error.errors, str(error))
    with pytest.raises(ValueError, match="partial must be 'raise' or 'accept': 'maybe'"):
        await upload.wait(partial="maybe")  # type: ignore[arg-type] # on purpose


async def test_a_failed_import_raises_with_the_reason(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v4(client, sim)
    sim.fail_imports(dataset.id, "The disk is full.")
    error = await fails((await dataset.upload(ROWS)).wait(partial="accept"))
    assert type(error) is JobFailedError
    assert (error.reason, error.kind) == ("The disk is full.", "import")
    assert error.job.status is JobStatus.FAILED
    assert "found that it failed: The disk is full.; correct the data" in str(error)


@pytest.mark.parametrize("partial", ["raise", "accept"])
async def test_an_import_without_a_schema_raises_and_goes_on_with_one(
    sim: Simulator, client: ProlificClient, partial: Any
) -> None:
    upload = await (await v4(client, sim)).upload(ROWS)
    assert upload.import_id
    sim.set_import(upload.import_id, "pending_schema")
    error = await fails(upload.wait(partial=partial))
    assert type(error) is SchemaNeededError
    assert "call update_schema, then wait again" in str(error)
    sim.set_import(upload.import_id, "complete", accepted_count=3)
    assert (await upload.wait()).id == upload.dataset_id


async def test_each_upload_follows_its_own_import(sim: Simulator, client: ProlificClient) -> None:
    dataset = await v4(client, sim)
    first, second = await dataset.upload(ROWS), await dataset.upload(ROWS[:1])
    assert first.import_id
    assert second.import_id
    sim.set_import(first.import_id, "failed", reason="No.")
    sim.set_import(second.import_id, "complete", accepted_count=1)
    error, ready = await asyncio.gather(fails(first.wait()), second.wait())
    assert (error.reason, ready.id) == ("No.", dataset.id)


# --- datasets --------------------------------------------------------------------------------


async def test_a_dataset_is_awaited_by_itself_or_its_id(
    sim: Simulator, client: ProlificClient
) -> None:
    ready = sim.add_dataset()
    with_schema = sim.add_dataset(schema=SCHEMA.to_dict(), datapoints=5)
    for one in (ready, with_schema):
        for given in (one, UUID(one), await client.datasets.get(one)):
            events: list[StatusEvent] = []
            dataset = await client.datasets.wait_until_ready(given, on_event=events.append)
            assert dataset.id == one
            assert dataset._resource is client.datasets
            assert len(events) == 1
    sim.set_dataset_status(ready, "PROCESSING")
    error = await fails(client.datasets.wait_until_ready(ready, timeout=0.05))
    assert type(error) is WaitTimeoutError
    assert (error.kind, error.last_status) == ("dataset", DatasetStatus.PROCESSING)
    sim.set_dataset_status(ready, "ERROR")
    failed = await fails(client.datasets.wait_until_ready(ready))
    assert (type(failed), failed.job.status) == (JobFailedError, "ERROR")
    with pytest.raises(ValueError, match="cannot be an id"):
        await client.datasets.wait_until_ready("a b")


async def test_a_dataset_without_a_schema_may_stay_uninitialised(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v3(client, sim)
    error = await fails(dataset.wait_until_ready(poll=BRIEF, timeout=0.1))
    assert type(error) is WaitTimeoutError  # it shows this after an upload, too, for a while
    assert "upload its rows, or if that was done wait longer" in str(error)


async def test_a_dataset_with_a_schema_follows_the_imports_that_run(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v4(client, sim)
    await (await dataset.upload(ROWS[:1])).wait()
    await dataset.upload(ROWS)
    events: list[StatusEvent] = []
    ready = await dataset.wait_until_ready(on_event=events.append)
    assert ready.total_datapoint_count == 3
    assert [event.status for event in events] == ["processing", "processing", "complete"]
    partial = await v4(client, sim)
    await partial.upload(ONE_BAD)
    assert (await partial.wait_until_ready()).total_datapoint_count == 3


@pytest.mark.parametrize(
    ("shown", "status", "message"),
    [
        (None, "uninitialised", "nothing was uploaded to it for too long: upload its rows"),
        ("uninitialised", "uninitialised", "nothing was uploaded to it for too long"),
        ("failed", "failed", "its import failed: see the dataset's imports for the reason"),
        ("pending_schema", "pending_schema", "its rows wait for a schema: call update_schema"),
    ],
)
async def test_a_dataset_without_rows_ends_after_the_grace(
    sim: Simulator, client: ProlificClient, shown: str | None, status: str, message: str
) -> None:
    dataset = await v4(client, sim)
    if shown is not None:
        upload = await dataset.upload(ROWS)
        assert upload.import_id
        sim.set_import(upload.import_id, shown)
    error = await fails(dataset.wait_until_ready(poll=BRIEF))
    assert type(error) is NothingUploadedError
    assert error.elapsed >= BRIEF.uninitialised_grace
    assert (error.kind, error.id, error.last_status) == ("dataset", dataset.id, status)
    assert message in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_an_upload_during_the_grace_is_followed(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v4(client, sim)
    waiting = asyncio.ensure_future(dataset.wait_until_ready())
    await asyncio.sleep(0.03)
    await dataset.upload(ROWS)
    assert (await waiting).total_datapoint_count == 3


def a_dataset(*statuses: str, **changes: Any) -> Dataset:
    imports = [{"import_id": f"i{at}", "status": one} for at, one in enumerate(statuses)]
    wire = {"status": None, "schema_version": 4, "imports": imports, "total_datapoint_count": 0}
    return samples.dataset(**wire | changes)


@pytest.mark.parametrize(
    ("dataset", "status"),
    [
        (samples.dataset("PROCESSING"), "PROCESSING"),
        (samples.dataset(None), None),
        (a_dataset(), "uninitialised"),
        (a_dataset(imports=None), "uninitialised"),
        (a_dataset(total_datapoint_count=7), "complete"),
        (a_dataset(total_datapoint_count=None), "uninitialised"),
        (a_dataset("uninitialised", total_datapoint_count=7), "complete"),
        (a_dataset("failed", total_datapoint_count=7), "complete"),
        (a_dataset("failed", "complete"), "complete"),
        (a_dataset("pending_schema", "partial"), "partial"),
        (a_dataset("complete", "queued"), "queued"),
        (a_dataset("complete", "processing", "failed"), "processing"),
        (a_dataset("complete", "paused", total_datapoint_count=7), "paused"),
        (a_dataset("uninitialised", "failed"), "failed"),
        (a_dataset("pending_schema", "failed"), "pending_schema"),
        (a_dataset("uninitialised"), "uninitialised"),
    ],
)
def test_what_a_wait_for_a_dataset_goes_by(dataset: Dataset, status: str | None) -> None:
    assert status_of_dataset(dataset) == status


# --- migrations and syncs --------------------------------------------------------------------


async def test_a_migration_returns_itself(sim: Simulator, client: ProlificClient) -> None:
    dataset = await v4(client, sim)
    await (await dataset.upload(ROWS)).wait()
    migration = await dataset.update_schema(DatasetSchema.of(prompt="text", strict=False))
    assert migration is not None
    events: list[StatusEvent] = []
    before = len(sim.requests)
    done = await migration.wait(on_event=events.append)
    assert type(done) is SchemaMigration
    assert (done.id, done.status, done.reprocessed_count) == (migration.id, "complete", 3)
    assert done._resource is client.datasets
    assert paths(sim, after=before) == {f"datasets/{dataset.id}/schema-migrations/{done.id}": 3}
    assert {(one.kind, one.id) for one in events} == {("migration", migration.id)}
    assert await done.wait() == done
    partial = await dataset.update_schema(WIDER)
    assert partial is not None
    error = await fails(partial.wait())
    assert type(error) is PartialMigrationError
    assert (error.accepted_count, error.rejected_count) == (0, 3)
    assert {one.field for one in error.errors} == {"other"}


async def test_a_failed_migration_raises(sim: Simulator, client: ProlificClient) -> None:
    migration = SchemaMigration("m1", "d1", JobStatus.PROCESSING).bind(client.datasets)
    wire = migration.to_dict() | {"status": "failed", "reason": "Too many."}
    sim.inject("GET", "/schema-migrations/m1", Fault(body=wire))
    error = await fails(migration.wait())
    assert (type(error), error.kind, error.reason) == (JobFailedError, "migration", "Too many.")


async def ready_batch(client: ProlificClient, sim: Simulator) -> Any:
    dataset_id = sim.add_dataset(schema=SCHEMA.to_dict(), datapoints=3)
    batch = await client.batches.get(sim.add_batch(dataset_id=dataset_id))
    await batch.setup()
    await client.datasets.append(dataset_id, ROWS)
    return await batch.wait_until_ready()


async def test_a_sync_returns_itself(sim: Simulator, client: ProlificClient) -> None:
    batch = await ready_batch(client, sim)
    sync = await batch.sync()
    events: list[StatusEvent] = []
    done = await sync.wait(on_event=events.append)
    assert type(done) is BatchSync
    assert (done.id, done.status) == (sync.id, JobStatus.COMPLETE)
    assert done._resource is client.batches
    assert {(one.kind, one.id, one.batch_id) for one in events} == {("sync", sync.id, None)}
    wire = sync.to_dict() | {"status": "failed", "reason": "No room."}
    sim.inject("GET", f"/syncs/{sync.id}", Fault(body=wire))
    error = await fails(sync.wait())
    assert (type(error), error.kind, error.reason) == (JobFailedError, "sync", "No room.")


# --- values ----------------------------------------------------------------------------------


JOBS: list[Any] = [
    Upload("i1", "d1", "rows.jsonl", 9, 3, "i1"),
    Upload("d1", "d1", "rows.csv", 9, 3),
    SchemaMigration("m1", "d1", JobStatus.PROCESSING),
    BatchSync("s1", "b1", JobStatus.QUEUED),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda one: f"{type(one).__name__} {one.id}")
async def test_a_job_without_a_client_is_an_error(job: Any) -> None:
    owner = "batches" if isinstance(job, BatchSync) else "datasets"
    for one in (job, pickle.loads(pickle.dumps(job.bind(object())))):
        free = type(one).from_dict(one.to_dict())
        with pytest.raises(ConfigurationError, match=f"{job.id} came from no.*client.{owner}"):
            await free.wait()


async def test_a_dataset_without_a_client_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="dataset d1 came from no client"):
        await samples.dataset().wait_until_ready()


async def test_a_job_from_another_process_is_awaited_once_it_is_bound(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v4(client, sim)
    upload = pickle.loads(pickle.dumps(await dataset.upload(ROWS)))
    assert (await upload.bind(client.datasets).wait()).total_datapoint_count == 3


async def test_a_job_has_the_settings_of_the_view_that_it_is_bound_to(
    sim: Simulator, client: ProlificClient
) -> None:
    hasty = client.with_options(poll=evolve(QUICK_POLL, timeout=0.05))
    dataset = await v4(client, sim)
    upload = await hasty.datasets.upload(dataset, ROWS)
    upload = evolve(upload, rows=None).bind(hasty.datasets)
    assert upload.import_id
    sim.set_import(upload.import_id, "processing")
    other = await v3(client, sim)
    error = await fails(hasty.datasets.wait_until_ready(other))
    assert isinstance(error, WaitTimeoutError)
    assert error.elapsed < 2  # of 0.05, not of the 5 seconds of the client
    sim.set_import(upload.import_id, "complete")
    ours = upload.bind(client.datasets)
    mine, its = await asyncio.gather(ours.wait(), upload.wait())
    assert (mine._resource, its._resource) == (client.datasets, hasty.datasets)
    assert mine == its


async def test_a_job_of_a_closed_client_is_an_error(sim: Simulator) -> None:
    async with client_of(sim) as client:
        upload = await (await v4(client, sim)).upload(ROWS)
    with pytest.raises(ConfigurationError, match="closed"):
        await upload.wait()


@pytest.mark.parametrize("job", JOBS, ids=lambda one: f"{type(one).__name__} {one.id}")
async def test_arguments_are_checked_before_anything_is_sent(
    sim: Simulator, client: ProlificClient, job: Any
) -> None:
    bound = job.bind(client.batches if isinstance(job, BatchSync) else client.datasets)

    async def awaited(event: StatusEvent) -> None:
        raise AssertionError(event)

    wrong: list[dict[str, Any]] = [{"timeout": -1}, {"poll": 5}, {"on_event": awaited}]
    for options in wrong:
        with pytest.raises(ValueError, match=next(iter(options))):
            await bound.wait(**options)
    assert not sim.requests


# --- how they are polled ---------------------------------------------------------------------


async def test_two_waits_on_one_import_send_what_one_sends(
    sim: Simulator, client: ProlificClient
) -> None:
    upload = await (await v4(client, sim)).upload(ROWS)
    before = len(sim.requests)
    waits = [upload.wait(partial="accept" if number % 2 else "raise") for number in range(50)]
    done = await asyncio.gather(*waits)
    assert {one.total_datapoint_count for one in done} == {3}
    assert len(sim.requests) - before == 4


async def test_an_upload_without_a_schema_shares_its_polls_with_its_dataset(
    sim: Simulator, client: ProlificClient
) -> None:
    dataset = await v3(client, sim)
    upload = await dataset.upload(ROWS)
    before = len(sim.requests)
    one, other = await asyncio.gather(upload.wait(), dataset.wait_until_ready())
    assert one == other
    assert paths(sim, after=before) == {f"datasets/{dataset.id}": 3}


@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.slow)])
async def test_imports_and_batches_wait_side_by_side_within_one_rate_limit(count: int) -> None:
    limit = 20 * count  # a second: it must hold them back, but not for long
    async with Simulator(setup=AfterPolls(2), imports=AfterPolls(2)) as sim:
        schema = SCHEMA.to_dict()
        dataset_ids = [sim.add_dataset(schema=schema, datapoints=0) for _ in range(count)]
        batch_ids = [sim.add_batch(status="PROCESSING") for _ in range(count)]
        async with client_of(sim, max_requests_per_second=limit) as client:
            links = [client.datasets._api.upload_url(one, "r.csv") for one in dataset_ids]
            ids = [str(link.import_id) for link in await asyncio.gather(*links)]
            for one in ids:
                sim.set_import(one, "processing")
            uploads = [
                Upload(one, dataset_id, "r.csv", 1, 1, one).bind(client.datasets)
                for one, dataset_id in zip(ids, dataset_ids, strict=True)
            ]
            waits = [one.wait(timeout=30) for one in uploads]
            before, began = len(sim.requests), asyncio.get_running_loop().time()
            waiting = asyncio.gather(*waits, client.batches.wait_all(batch_ids, timeout=30))
            await asyncio.sleep(0.05)
            for one in ids:
                sim.set_import(one, "complete", accepted_count=1)
            outcomes: list[Any] = await waiting
            took = asyncio.get_running_loop().time() - began
        assert [one.id for one in outcomes[:-1]] == dataset_ids
        assert [one.id for one in outcomes[-1]] == batch_ids
        sent = sim.requests[before:]
        assert len([one for one in sent if "/batches/" in one.path]) < 5  # they have their list
        assert len(sent) > 2 * count
        assert len(sent) <= limit * (1.2 * took + 1)


async def test_events_tell_what_was_polled_and_errors_keep_them(
    sim: Simulator, client: ProlificClient
) -> None:
    upload = await (await v4(client, sim)).upload(ROWS)
    assert upload.import_id
    sim.set_import(upload.import_id, "processing")
    events: list[StatusEvent] = []
    error = await fails(upload.wait(timeout=0.05, on_event=events.append))
    assert type(error) is WaitTimeoutError
    assert error.events == tuple(events[-20:])
    assert (error.kind, error.id, error.batch_id) == ("import", upload.id, None)
    read = StatusEvent.from_dict(events[0].to_dict())
    assert read == events[0]
    assert read.status is events[0].status is JobStatus.PROCESSING


async def test_cancelling_a_wait_leaves_nothing(sim: Simulator, client: ProlificClient) -> None:
    upload = await (await v4(client, sim)).upload(ROWS)
    assert upload.import_id
    sim.set_import(upload.import_id, "processing")
    waiting = [asyncio.ensure_future(upload.wait()) for _ in range(3)]
    await asyncio.sleep(0.03)
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    poller: Any = client._state.wait_runner._poller
    assert not poller._scheduler.targets
    assert not poller._under_way
    assert poller._timer is None
    sent = len(sim.requests)
    await asyncio.sleep(0.03)
    assert len(sim.requests) == sent


async def test_closing_the_client_ends_the_wait(sim: Simulator) -> None:
    client = client_of(sim)
    dataset = await v3(client, sim)
    waiting = asyncio.ensure_future(fails(dataset.wait_until_ready()))
    await asyncio.sleep(0.02)
    await client.close()
    error = await waiting
    assert (type(error), type(error.failure)) == (WaitFailedError, ConfigurationError)


# --- faults ----------------------------------------------------------------------------------


def a_job(sim: Simulator, client: ProlificClient, kind: str) -> tuple[Any, str]:
    """Return a job that runs, and the end of the path that it is polled by."""
    dataset_id = sim.add_dataset(schema=SCHEMA.to_dict(), datapoints=0)
    if kind == "import":
        job: Any = Upload("i1", dataset_id, "r.csv", 1, None, "i1").bind(client.datasets)
        return job, f"/datasets/{dataset_id}/imports/i1"
    if kind == "dataset":
        job = Upload(dataset_id, dataset_id, "r.csv", 1).bind(client.datasets)
        return job, f"/datasets/{dataset_id}"
    if kind == "migration":
        job = SchemaMigration("m1", dataset_id, JobStatus.PROCESSING).bind(client.datasets)
        return job, f"/datasets/{dataset_id}/schema-migrations/m1"
    if kind == "export":
        export = Export("e1", "b1", JobStatus.GENERATING).bind(client.batches)
        return export, "/batches/b1/export/e1"
    return BatchSync("s1", "b1", JobStatus.QUEUED).bind(client.batches), "/batches/b1/syncs/s1"


def done(job: Any) -> dict[str, Any]:
    """Return what the last poll of a job is answered with."""
    if not isinstance(job, Upload):
        return {**job.to_dict(), "status": "complete"}
    if job.import_id is None:
        return {"id": job.id, "name": "Rows", "schema_version": 3, "status": "READY"}
    return {"import_id": job.id, "status": "complete"}


each_kind = pytest.mark.parametrize("kind", ["import", "dataset", "migration", "sync", "export"])


@each_kind
async def test_passing_failures_are_survived(
    sim: Simulator, client: ProlificClient, kind: str
) -> None:
    job, route = a_job(sim, client, kind)
    passing = [
        Fault(reset="before"),
        Fault(reset="after"),
        Fault(status=408),
        Fault(status=425),
        Fault(status=500),
        Fault(status=503),
        Fault(body=b"<html>", headers={"Content-Type": "text/html"}),
        Fault(body={"status": 5}),
    ]
    for fault in passing:
        sim.inject("GET", route, fault)
    sim.inject("GET", route, Fault(body=done(job)))
    events: list[StatusEvent] = []
    await job.wait(on_event=events.append)
    failures = [one.error for one in events if one.error is not None]
    assert len(failures) == len(passing)
    assert [type(one) for one in failures[-2:]] == [DecodeError, DecodeError]


@each_kind
async def test_a_fatal_refusal_ends_the_wait_at_once(
    sim: Simulator, client: ProlificClient, kind: str
) -> None:
    job, route = a_job(sim, client, kind)
    for status, expected in ((403, PermissionDeniedError), (404, NotFoundError)):
        sim.inject("GET", route, Fault(status=status))
        error = await fails(job.wait())
        assert (type(error), error.polls, error.kind) == (WaitFailedError, 1, kind)
        assert type(error.failure) is expected


@each_kind
async def test_too_many_failures_in_a_row_end_the_wait(
    sim: Simulator, client: ProlificClient, kind: str
) -> None:
    job, route = a_job(sim, client, kind)
    sim.inject("GET", route, Fault(body=b"{"), times=None)
    error = await fails(job.wait(poll=evolve(QUICK_POLL, max_consecutive_failures=2)))
    assert (type(error), error.polls) == (WaitFailedError, 3)
    assert type(error.failure) is DecodeError


@each_kind
async def test_a_retry_after_is_a_floor_of_the_pause(sim: Simulator, kind: str) -> None:
    capped = evolve(QUICK_RETRY, retry_after_cap=0.05)
    async with client_of(sim, retry=capped) as client:
        job, route = a_job(sim, client, kind)
        sim.inject("GET", route, Fault(status=503, headers={"Retry-After": "9"}))
        sim.inject("GET", route, Fault(body=done(job)))
        events: list[StatusEvent] = []
        await job.wait(on_event=events.append)
    assert events[0].next_in == pytest.approx(0.05)
    assert events[1].elapsed - events[0].elapsed >= 0.05


async def test_a_429_slows_the_client_down_and_ends_no_wait(
    sim: Simulator, client: ProlificClient
) -> None:
    job, route = a_job(sim, client, "sync")
    sim.inject("GET", route, Fault(status=429))
    sim.inject("GET", route, Fault(body=done(job)))
    events: list[StatusEvent] = []
    await job.wait(on_event=events.append)
    assert [type(one.error) for one in events] == [RateLimitedError, type(None)]


@each_kind
async def test_a_wait_that_times_out_says_for_what(
    sim: Simulator, client: ProlificClient, kind: str
) -> None:
    job, route = a_job(sim, client, kind)
    sim.inject("GET", route, Fault(delay=1), times=None)
    error = await fails(job.wait(timeout=0.05))
    assert type(error) is WaitTimeoutError
    assert isinstance(error, TimeoutError)
    assert str(error).startswith(f"waiting for {kind} {job.id} timed out: GET ")
    sim.clear_faults()
    sim.inject("GET", route, Fault(body=done(job)))
    await job.wait(timeout=0)  # one poll, with what it returns


async def test_a_status_that_is_missing_or_unseen_is_pending(
    sim: Simulator, client: ProlificClient, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = await v3(client, sim)
    wire = (await dataset.refresh()).to_dict()
    shown: list[Any] = [None, None, "RESTING", "RESTING", "READY"]
    for status in shown:
        sim.inject("GET", f"/{dataset.id}", Fault(body=wire | {"status": status}))
    events: list[StatusEvent] = []
    before = len(sim.requests)
    await dataset.wait_until_ready(on_event=events.append)
    assert [event.status for event in events] == shown
    assert len(sim.requests) - before == 5
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warned == [
        f"dataset {dataset.id} shows no status, which counts as pending",
        f"dataset {dataset.id} shows the unseen status 'RESTING', which counts as pending",
    ]


async def test_what_this_client_has_just_begun_may_be_unknown_for_a_while(
    sim: Simulator, client: ProlificClient
) -> None:
    new = await v4(client, sim)
    upload = await new.upload(ROWS)
    batch = await ready_batch(client, sim)
    sync = await batch.sync()
    migration = await (await client.datasets.get(batch.datasets[0].id)).update_schema(SCHEMA)
    assert migration is not None
    for route in (f"/imports/{upload.id}", f"/syncs/{sync.id}", f"/migrations/{migration.id}"):
        sim.inject("GET", route.replace("/migrations", "/schema-migrations"), Fault(status=404))
    for job in (upload, sync, migration):
        events: list[StatusEvent] = []
        await job.wait(on_event=events.append)
        assert isinstance(events[0].error, NotFoundError)
    other = await v4(client, sim)
    sim.inject("GET", f"/{other.id}", Fault(status=404))
    assert type(await fails(other.wait_until_ready(poll=BRIEF))) is NothingUploadedError
    sim.inject("GET", f"/imports/{upload.id}", Fault(status=404), times=None)
    error = await fails(upload.wait(poll=evolve(QUICK_POLL, not_found_grace=0)))
    assert (type(error), error.polls) == (WaitFailedError, 1)


# --- limits ----------------------------------------------------------------------------------


async def limit_of(waiting: Any, monkeypatch: pytest.MonkeyPatch, jobs: Any) -> float | None:
    """Return the time limit that a wait begins with, instead of waiting."""
    rules: list[Any] = []

    async def wait(_awaited: object, given: Any, _owner: object) -> None:
        rules.append(given)

    monkeypatch.setattr(jobs._waits, "wait", wait)
    await waiting
    (given,) = rules
    limit: float | None = given.timeout
    return limit


async def test_the_default_limit_grows_with_the_rows(
    sim: Simulator, client: ProlificClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = client.datasets
    large = Upload("i1", "d1", "r.csv", 1, 10_000, "i1").bind(datasets)

    async def limit(waiting: Any) -> float | None:
        return await limit_of(waiting, monkeypatch, datasets.job_waits)

    assert await limit(large.wait()) == 1060
    assert await limit(large.wait(timeout=7)) == 7
    assert await limit(large.wait(timeout=None)) is None
    assert await limit(large.wait(poll=PollPolicy(timeout=None))) is None
    assert await limit(large.wait(poll=PollPolicy(timeout=5000))) == 5000
    assert await limit(evolve(large, rows=None).bind(datasets).wait()) == QUICK_POLL.timeout
    assert await limit(evolve(large, import_id=None, id="d1").bind(datasets).wait()) == 1060
    assert await limit(datasets.wait_until_ready("d1")) == QUICK_POLL.timeout


async def test_rows_that_this_client_sent_are_known_to_later_waits(
    sim: Simulator, client: ProlificClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = client.datasets
    dataset = await v4(client, sim)
    await (await dataset.upload(ROWS * 100)).wait()
    migration = await dataset.update_schema(WIDER)
    assert migration is not None
    jobs = datasets.job_waits
    assert await limit_of(datasets.wait_until_ready(dataset), monkeypatch, jobs) == 90
    assert await limit_of(migration.wait(), monkeypatch, jobs) == 60.3  # rows that differ


async def test_the_oldest_jobs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prolific_async._polling.job_starts._KEPT", 2)
    begun = JobStarts()
    begun.add("a", "b", rows=1)
    begun.add("a")
    begun.add("c")
    assert begun.get("b") is None
    assert (begun.get("a") or (0, 1))[1] is None
    assert begun.get("c") is not None
