"""The public API as a caller's type checker sees it; never run, only checked.

Lines that must be refused say so with an ignore, which the checker wants to be needed.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import aiohttp

import prolific_async
from prolific_async import (
    UNSET,
    Annotation,
    Answer,
    APIStatusError,
    AppendResult,
    Batch,
    Batches,
    BatchFailedError,
    BatchOrId,
    BatchStatus,
    BatchSync,
    ConnectError,
    Copies,
    Dataset,
    DatasetOrId,
    DatasetRef,
    Datasets,
    DatasetSchema,
    DatasetStatus,
    DecodeError,
    Export,
    ExportArchive,
    FieldType,
    ImportJob,
    JobStatus,
    OutcomeUnknownError,
    PollPolicy,
    Progress,
    ProlificClient,
    ProlificError,
    RateLimitedError,
    Report,
    ReportRow,
    RetryPolicy,
    SchemaField,
    SchemaMigration,
    ServerError,
    StatusEvent,
    TaskDetails,
    TaskResponse,
    TransportError,
    Unset,
    Upload,
    WaitError,
    WaitTimeoutError,
    Workspace,
)
from prolific_async import layout as ui
from prolific_async.layout.sending import batch_items
from prolific_async.models import WaitStatus

assert_type(prolific_async.__version__, str)


# --- The client -------------------------------------------------------------------------------

ProlificClient()
ProlificClient("token")
ProlificClient(
    token=None,
    base_url="https://api.prolific.com",
    session=None,
    request_timeout=30,
    retry=RetryPolicy(max_attempts=1),
    poll=PollPolicy(timeout=None),
    max_connections=10,
    trace_configs=[aiohttp.TraceConfig()],
)
ProlificClient("token", "https://api.prolific.com")  # type: ignore[call-arg]
ProlificClient(token=5)  # type: ignore[arg-type]


async def client_as_context(session: aiohttp.ClientSession) -> None:
    async with ProlificClient(session=session) as client:
        assert_type(client, ProlificClient)
        assert_type(await client.batches.get("b-1"), Batch)
    assert_type(await client.close(), None)


# --- The verbs --------------------------------------------------------------------------------


async def verbs(client: ProlificClient, batch: Batch, uuid: UUID) -> None:
    batches = client.batches
    for identifier in ("b-1", batch, uuid):
        assert_type(await batches.duplicate(identifier), Batch)
        assert_type(await batches.get(identifier), Batch)
    assert_type(await batches.duplicate(batch, name="Round 2", upload_new_dataset=True), Batch)
    assert_type(await batches.setup(batch), None)
    assert_type(await batches.setup(batch, dataset_id=uuid, tasks_per_group=5), None)
    assert_type(await batches.setup(batch, dataset_id="d-1"), None)
    assert_type(await batches.get_status(batch), BatchStatus | None)
    assert_type(await batches.find_copies(batch, name="Round 2"), Copies)
    assert_type(await batches.list("w-1"), list[Batch])
    await batches.duplicate(batch, "Round 2")  # type: ignore[call-arg]
    await batches.get(5)  # type: ignore[arg-type]
    await batches.setup(batch, tasks_per_group="5")  # type: ignore[arg-type]


async def copying(client: ProlificClient, batch: Batch, uuid: UUID, flag: bool) -> None:  # noqa: FBT001
    for verbs in (client.batches, client.with_options(request_timeout=5).batches):
        assert_type(await verbs.get_or_duplicate(uuid, name="Round 2"), Batch)
        assert_type(await verbs.get_or_duplicate("b", name="Round 2", settle_seconds=5), Batch)
        assert_type(await verbs.duplicate_and_wait("b", tasks_per_group=5, on_event=print), Batch)
        assert_type(await verbs.duplicate_and_wait("b", name="R", timeout=None), Batch)
        assert_type(await verbs.duplicate_and_wait_all("b", ["R"]), list[Batch])
        both = list[Batch | ProlificError]
        assert_type(await verbs.duplicate_and_wait_all("b", {"R"}, return_exceptions=True), both)
        assert_type(await verbs.duplicate_and_wait_all("b", ("R",), return_exceptions=flag), both)
    assert_type(await batch.get_or_duplicate(name="Round 2"), Batch)
    assert_type(await batch.duplicate_and_wait(dataset_id=uuid), Batch)
    assert_type(await batch.duplicate_and_wait_all(["R"]), list[Batch])
    assert_type(client.with_options(retry=RetryPolicy(), poll=PollPolicy()), ProlificClient)
    for workspace in await client.workspaces.list():
        assert_type(workspace, Workspace)
        assert_type(workspace.title, str)
    await client.batches.get_or_duplicate(batch)  # type: ignore[call-arg]
    await client.batches.duplicate_and_wait(batch, "R")  # type: ignore[call-arg]


def on_event(event: StatusEvent) -> None:
    assert_type(event.batch_id, str | None)
    assert_type((event.kind, event.id), tuple[str, str])
    statuses: list[WaitStatus | None] = [event.status, event.previous]
    assert_type(statuses[0] is BatchStatus.READY, bool)
    assert_type(event.polls, int)
    assert_type(event.elapsed, float)
    assert_type(event.next_in, float | None)
    assert_type(event.error, ProlificError | None)
    event.polls = 2  # type: ignore[misc]


async def waits(client: ProlificClient, batch: Batch, uuid: UUID, flag: bool) -> None:  # noqa: FBT001
    batches = client.batches
    assert_type(await batches.wait_until_ready(batch), Batch)
    assert_type(await batches.wait_until_ready("b-1", timeout=600), Batch)
    assert_type(await batches.wait_until_ready(uuid, timeout=None, poll=PollPolicy()), Batch)
    assert_type(await batches.wait_until_ready(batch, on_event=on_event), Batch)
    seen: list[StatusEvent] = []
    assert_type(await batches.wait_until_ready(batch, on_event=seen.append), Batch)

    assert_type(await batches.wait_all([batch, "b-1", uuid]), list[Batch])
    assert_type(await batches.wait_all((one for one in ("b-1", "b-2")), timeout=1.5), list[Batch])
    assert_type(await batches.wait_all({batch}, return_exceptions=False), list[Batch])
    both = list[Batch | WaitError]
    assert_type(await batches.wait_all(["b-1"], return_exceptions=True), both)
    assert_type(await batches.wait_all(["b-1"], return_exceptions=flag), both)

    async for outcome in batches.as_ready(
        [batch, "b-1"], timeout=10, poll=PollPolicy(), on_event=print
    ):
        assert_type(outcome, Batch | WaitError)
    ready: AsyncIterator[Batch | WaitError] = batches.as_ready(["b-1"])
    async for event in batches.watch(batch, timeout=None):
        assert_type(event, StatusEvent)
    watched: AsyncIterator[StatusEvent] = batches.watch("b-1")
    assert_type(await anext(ready), Batch | WaitError)
    assert_type(await anext(watched), StatusEvent)
    await batches.wait_until_ready(batch, timeout="10")  # type: ignore[arg-type]
    await batches.wait_until_ready(batch, 10)  # type: ignore[call-arg]


async def helper_of_a_caller(batches: Batches, batch: BatchOrId) -> Batch:
    return await batches.wait_until_ready(batch)


async def calls_of_the_helper(client: ProlificClient, batch: Batch, uuid: UUID) -> None:
    await helper_of_a_caller(client.batches, batch)
    await helper_of_a_caller(client.batches, "b-1")
    await helper_of_a_caller(client.batches, uuid)
    await helper_of_a_caller(client.batches, 1)  # type: ignore[arg-type]


async def bound_verbs(batch: Batch, uuid: UUID) -> None:
    copy = await batch.duplicate(name="Round 2", upload_new_dataset=False)
    assert_type(copy, Batch)
    assert_type(await copy.setup(dataset_id=uuid, tasks_per_group=5), None)
    assert_type(await copy.refresh(), Batch)
    assert_type(await copy.get_status(), BatchStatus | None)
    assert_type((await copy.find_copies(name="Round 2")).ids, tuple[str, ...])
    assert_type(await copy.wait_until_ready(timeout=600, on_event=on_event), Batch)
    async for event in copy.watch(timeout=None, poll=PollPolicy()):
        assert_type(event, StatusEvent)


# --- The models -------------------------------------------------------------------------------


def models(batch: Batch) -> None:
    assert_type(batch.id, str)
    assert_type(batch.created_at, datetime)
    assert_type(batch.created_by, str)
    assert_type(batch.datasets, tuple[DatasetRef, ...])
    assert_type(batch.name, str)
    assert_type(batch.status, BatchStatus)
    assert_type(batch.total_task_count, int)
    assert_type(batch.total_instruction_count, int)
    assert_type(batch.workspace_id, str)
    assert_type(batch.task_details, TaskDetails | None)
    assert_type(batch.schema_version, int | None)
    assert_type(batch.total_task_groups, int | None)
    assert_type(batch.batch_items, tuple[Mapping[str, Any], ...] | None)
    assert_type(batch.auto_sync_enabled, bool | None)
    assert_type(batch.tasks_per_group, int | None)
    assert_type(batch.extra, Mapping[str, Any])
    assert_type(batch.to_dict(), dict[str, Any])
    assert_type(Batch.from_dict(batch.to_dict()), Batch)
    assert_type({batch: 1}, dict[Batch, int])
    batch.name = "other"  # type: ignore[misc]
    batch.extra["more"] = 1  # type: ignore[index]

    (dataset,) = batch.datasets
    assert_type(dataset.id, str)
    assert_type(dataset.total_datapoint_count, int)
    assert_type(dataset.extra, Mapping[str, Any])
    assert_type(DatasetRef.from_dict({}), DatasetRef)
    assert_type(StatusEvent.from_dict({}).to_dict(), dict[str, Any])
    assert_type(PollPolicy.from_dict({}), PollPolicy)
    if batch.task_details is not None:
        assert_type(batch.task_details.task_name, str)
        assert_type(batch.task_details.task_introduction, str | None)
        assert_type(batch.task_details.task_steps, str | None)
        assert_type(batch.task_details.extra, Mapping[str, Any])
        assert_type(TaskDetails.from_dict({}), TaskDetails)


def by_hand(created_at: datetime) -> Batch:
    return Batch(
        id="b-1",
        created_at=created_at,
        created_by="u-1",
        datasets=(DatasetRef("d-1", 3, extra={"later": 1}),),
        name="Original",
        status=BatchStatus.READY,
        total_task_count=3,
        total_instruction_count=1,
        workspace_id="w-1",
        task_details=TaskDetails("Poll"),
        extra={"new": 1},
    )


def statuses(batch: Batch) -> str:
    text: str = batch.status
    assert_type(BatchStatus("SYNCING"), BatchStatus)
    if batch.status is BatchStatus.READY or batch.status == "ERROR":
        return batch.status
    return text


def schemas() -> None:
    schema = DatasetSchema.of({"strict": "text"}, strict=False, prompt="text", a="image_url")
    assert_type(schema, DatasetSchema)
    assert_type(schema.fields["a"], SchemaField)
    assert_type(schema.fields["a"].type, FieldType)
    assert_type(schema.fields["a"].label, str | None)
    assert_type(schema.strict, bool)
    DatasetSchema({"prompt": "text", "a": FieldType.IMAGE_URL, "b": SchemaField("text", "B")})
    DatasetSchema({"prompt": {"type": "text", "label": "Prompt"}}, strict=False)
    DatasetSchema.of(["prompt"])  # type: ignore[arg-type]
    schema.strict = False  # type: ignore[misc]
    schema.fields["a"] = SchemaField("text")  # type: ignore[index]


# --- Policies ---------------------------------------------------------------------------------


def policies(retry: RetryPolicy, poll: PollPolicy) -> None:
    assert_type(retry.max_attempts, int)
    assert_type(retry.initial, float)
    assert_type(retry.maximum, float)
    assert_type(retry.retry_after_cap, float)
    assert_type(poll.initial, float)
    assert_type(poll.factor, float)
    assert_type(poll.maximum, float)
    assert_type(poll.jitter, float)
    assert_type(poll.timeout, float | None)
    assert_type(poll.uninitialised_grace, float)
    assert_type(poll.not_found_grace, float)
    assert_type(poll.max_consecutive_failures, int)
    retry.initial = 1  # type: ignore[misc]
    poll.initial = 1  # type: ignore[misc]
    PollPolicy(initial="1")  # type: ignore[arg-type]
    RetryPolicy(unknown=1)  # type: ignore[call-arg]


# --- Errors -----------------------------------------------------------------------------------


async def failures(client: ProlificClient) -> None:
    try:
        await client.batches.wait_until_ready("b-1")
    except BatchFailedError as error:
        assert_type(error.batch, Batch | None)
    except WaitTimeoutError as error:
        timed_out: TimeoutError = error
        raise timed_out from None
    except WaitError as error:
        assert_type(error.batch_id, str | None)
        assert_type((error.kind, error.id), tuple[str, str])
        statuses: list[WaitStatus | None] = [error.last_status, BatchStatus.READY]
        assert_type(statuses[0] is BatchStatus.READY, bool)
        assert_type(error.elapsed, float)
        assert_type(error.polls, int)
        assert_type(error.events, tuple[StatusEvent, ...])
    try:
        await client.batches.duplicate("b-1")
    except OutcomeUnknownError as error:
        assert_type(error.candidates, tuple[Batch, ...])
    except DecodeError as error:
        assert_type(error.problems, tuple[str, ...])
        assert_type(error.body, Any)
    except ConnectError as error:
        refused: ConnectionError = error
        raise refused from None
    except TransportError as error:
        assert_type(str(error), str)
    except (RateLimitedError, ServerError) as error:
        assert_type(error.retry_after, float | None)
    except APIStatusError as error:
        assert_type(error.status, int)
        assert_type(error.method, str)
        assert_type(error.path, str)
        assert_type(error.error_code, int | str | None)
        assert_type(error.title, str | None)
        assert_type(error.detail, Any)
        assert_type(error.body, Any)
        assert_type(error.headers, Mapping[str, str])
    except ProlificError as error:
        caught: Exception = error
        raise caught from None


# --- Datasets and batches from nothing ----------------------------------------------------------


async def answers(client: ProlificClient, batch: Batch, uuid: UUID) -> None:
    export = await batch.export(study_id="s-1", since=datetime.now(UTC))
    assert_type(export, Export)
    assert_type(await client.batches.exports(uuid), list[Export])
    assert_type(export.until, datetime | None)
    assert_type(await export.wait(timeout=600), Export)
    assert_type(await export.download(Path("x.zip"), overwrite=True, on_progress=print), Path)
    await export.delete()
    await export.download("x.zip", True)  # type: ignore[call-arg]  # noqa: FBT003
    await batch.export(since="2026-03-01")  # type: ignore[arg-type]
    with ExportArchive("x.zip") as archive:
        assert_type(archive.submissions(), Iterator[Mapping[str, Any]])
        assert_type(archive.names, tuple[str, ...])


async def from_nothing(client: ProlificClient, batch: Batch, uuid: UUID) -> None:
    schema = DatasetSchema.of(prompt="text")
    datasets: Datasets = client.datasets
    dataset = await datasets.create("w-1", name="Rows", schema=schema)
    assert_type(dataset, Dataset)
    given: tuple[DatasetOrId, ...] = (dataset, "d-1", uuid)
    for one in given:
        assert_type(await datasets.get(one), Dataset)
        assert_type(await datasets.get_status(one), DatasetStatus | None)
        assert_type(await datasets.update_schema(one, schema), SchemaMigration | None)
        assert_type(await datasets.append(one, [{"prompt": 1}], timeout=None), AppendResult)
        assert_type(await datasets.upload(one, [{"prompt": 1}], key="prompt"), Upload)
    assert_type(await dataset.refresh(), Dataset)
    assert_type(await dataset.append([], key="id", on_progress=on_progress), AppendResult)
    upload = await dataset.upload(b"a\n1\n", filename="rows.csv", on_progress=on_progress)
    assert_type(upload.id, str)
    assert_type(upload.rows, int | None)
    await dataset.upload(5)  # type: ignore[arg-type]
    assert_type(await upload.wait(), Dataset)
    assert_type(await upload.wait(partial="accept", timeout=None, on_event=on_event), Dataset)
    await upload.wait(partial="maybe")  # type: ignore[arg-type]
    migration = await dataset.update_schema(schema)
    if migration is not None:
        assert_type(await migration.wait(timeout=600, poll=PollPolicy()), SchemaMigration)
    for one in given:
        assert_type(await datasets.wait_until_ready(one, on_event=on_event), Dataset)
    assert_type(await dataset.wait_until_ready(timeout=600, poll=PollPolicy()), Dataset)
    assert_type(dataset.generation, int)
    assert_type(dataset.imports, tuple[ImportJob, ...] | None)
    await datasets.create("w-1", name="Rows", schema={})  # type: ignore[arg-type]
    await datasets.create("w-1", "Rows")  # type: ignore[call-arg]
    await datasets.append("d-1", "rows.csv")  # type: ignore[arg-type]

    task = TaskDetails("Rate", "Read.", "Choose.")
    pages = [ui.Page.of(ui.DatasetField("prompt"))]
    created = await client.batches.create(
        "w-1", name="Round 1", task=task, items=pages, dataset=dataset, auto_sync=True
    )
    assert_type(created, Batch)
    assert_type(await client.batches.update(batch, items=None, name="Round 2"), Batch)
    assert_type(await batch.update(dataset=uuid, task=task, auto_sync=UNSET), Batch)
    unchanged: str | Unset = UNSET
    assert_type(await batch.update(name=unchanged, items={"batch_items": []}), Batch)
    await batch.setup(dataset_id=dataset)
    sync = await batch.sync()
    assert_type(sync, BatchSync)
    assert_type(sync.status, JobStatus)
    assert_type(sync.id, str)
    assert_type(await sync.wait(timeout=None, on_event=on_event), BatchSync)
    await sync.wait(600)  # type: ignore[call-arg]
    assert_type(await batch.task_ids(), list[str])
    assert_type(await client.batches.task_group_ids(uuid), list[str])
    assert_type(await batch.preview_url(), str)
    await batch.update(name=None)  # type: ignore[arg-type]
    await client.batches.create("w-1", name="Round 1")  # type: ignore[call-arg]


async def the_report(client: ProlificClient, batch: Batch, uuid: UUID) -> None:
    report = client.batches.report(uuid)
    assert_type(batch.report(), Report)
    async for row in report.rows():
        assert_type(row, ReportRow)
        assert_type(row.data, Mapping[str, str])
        assert_type(row.annotations, tuple[Annotation, ...])
        assert_type(row.annotations[0].at, datetime | None)
        assert_type(row.flat(), list[dict[str, Any]])
    assert_type(await report.download("r.csv", overwrite=True, on_progress=on_progress), Path)


async def the_responses(client: ProlificClient, batch: Batch, uuid: UUID) -> None:
    assert_type(client.batches.responses(uuid), AsyncGenerator[TaskResponse])
    async for response in batch.responses():
        assert_type(response, TaskResponse)
        assert_type(response.answers, tuple[Answer, ...])
        assert_type(response.answers[0].value, str | int | float | bool | None)
        assert_type(response.key, str | None)
        assert_type(response.metadata, Mapping[str, Any] | None)
    batch.responses("b-1")  # type: ignore[call-arg]


def on_progress(progress: Progress) -> None:
    assert_type(progress.done, int)
    assert_type(progress.total, int | None)


# --- Layouts ----------------------------------------------------------------------------------


def layouts(batch: Batch, images: list[ui.Image], parts: list[ui.Item | ui.Column]) -> None:
    left, right = ui.DatasetField("a"), ui.Image("https://example.com/a.png", "A map")
    page = ui.Page.of(
        ui.RichText("..."), [left, right], ui.MultipleChoice("Which is better?", ["A", "B"])
    )
    assert_type(page, ui.Page)
    assert_type(page.rows[0].columns[0].items[0], ui.Item)
    ui.Page.of(images, parts, (left, ui.Column([right])), ui.Row([left]), position="intro")
    ui.Page.of(left, position="middle")  # type: ignore[arg-type]
    ui.Page.of("text")  # type: ignore[arg-type]
    ui.Page.of(3)  # type: ignore[arg-type]
    ui.Page([ui.Row([ui.Column([left], id="c"), right], id="r")], display_position="outro")
    ui.MultipleChoice("?", ["A", ui.Option("B", 2)], answer_limit=-1, id="i")
    ui.MultipleChoice("?", ["A", 3])  # type: ignore[list-item]
    ui.MultipleChoice("?")  # type: ignore[call-arg]
    ui.MultipleChoice("?", ["A"], 1)  # type: ignore[call-arg, arg-type]
    ui.FreeTextWithUnit("?", ["cm", ui.UnitOption("in", "in")], "suffix", default_unit="cm")
    ui.FileUpload("?", accepted_file_types=[".png"], max_file_size_mb=2)
    ui.Validation("number", min=1, max=2.5)
    ui.DatasetField()  # type: ignore[call-arg]
    ui.Image("https://example.com/a.png")  # type: ignore[call-arg]
    assert_type(ui.MultipleChoice("?", ["A"]).options, tuple[ui.Option, ...])
    assert_type(ui.Option("A", "a").value, str | int | float | bool)
    assert_type(batch.layout, tuple[ui.Page, ...] | None)
    assert_type(batch_items([page, page.to_dict()]), list[dict[str, Any]])
    batch_items({"batch_items": [page]})
    batch_items(page)  # type: ignore[arg-type]
    batch_items("pages")  # type: ignore[arg-type]
    match page.rows[0].columns[0].items[0]:
        case ui.Image(url=url):
            assert_type(url, str)
        case ui.UnknownItem(type=kind, extra=keys):
            assert_type(kind, str | None)
            assert_type(keys, Mapping[str, Any])
