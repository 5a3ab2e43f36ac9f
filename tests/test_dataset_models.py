"""Models of datasets and jobs: what is read, what compares equal, and what a client binds."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from prolific_async import (
    AppendResult,
    BatchSync,
    ConfigurationError,
    Dataset,
    DatasetSchema,
    DatasetStatus,
    DecodeError,
    ImportJob,
    JobStatus,
    Progress,
    RejectedRow,
    SchemaMigration,
    UnmigratedDatapoint,
    Upload,
)
from tests import samples

IMPORT = {
    "dataset_id": "d1",
    "import_id": "i1",
    "type": "file_upload",
    "created_at": "2026-03-04T05:06:07Z",
    "updated_at": "2026-03-04T05:06:08Z",
    "status": "complete",
    "accepted_count": 3,
}
V4: dict[str, Any] = {
    "schema_version": "4",
    "schema": {"strict": True, "fields": {"prompt": {"type": "text"}}},
    "imports": [IMPORT],
}
SYNC = BatchSync("s1", "b1", JobStatus.QUEUED)
MIGRATION = SchemaMigration("j1", "d1", JobStatus.PROCESSING)
UPLOAD = Upload("i1", "d1", "rows.jsonl", 100, 3, "i1")
BOUND = [samples.dataset(), SYNC, MIGRATION, UPLOAD]
MODELS = [
    *BOUND,
    samples.dataset(**V4),
    ImportJob.from_dict(IMPORT),
    RejectedRow(0, "a", "missing"),
    UnmigratedDatapoint("p1", "a", "missing"),
    AppendResult(2, 1, (RejectedRow(0),)),
    Progress("append", 1000, None, "records", 0.5),
]


def test_a_dataset_without_a_schema() -> None:
    dataset = samples.dataset()
    assert dataset.generation == 3
    assert dataset.status is DatasetStatus.READY
    assert (dataset.schema, dataset.imports) == (None, None)
    assert repr(dataset) == "<Dataset d1 'Rows' V3 READY, 3 rows>"


def test_a_dataset_with_a_schema() -> None:
    dataset = samples.dataset(None, **V4)
    assert dataset.generation == 4
    assert dataset.schema == DatasetSchema.of(prompt="text")
    assert dataset.imports is not None
    assert [job.id for job in dataset.imports] == ["i1"]
    assert dataset.imports[0].status is JobStatus.COMPLETE
    assert repr(dataset) == "<Dataset d1 'Rows' V4, 3 rows>"
    assert Dataset.from_dict(dataset.to_dict()) == dataset


@pytest.mark.parametrize(
    ("more", "generation"),
    [
        ({}, 3),
        ({"schema": None, "imports": None}, 3),
        ({"imports": []}, 4),
        ({"schema": {"strict": True, "fields": {}}}, 4),
        ({"schema_version": "3", "imports": []}, 3),
        ({"schema_version": 4}, 4),
        ({"schema_version": 5}, 4),
    ],
)
def test_the_generation_is_told_by_what_there_is(more: dict[str, Any], generation: int) -> None:
    assert Dataset.from_dict({"id": "d1", "name": "Rows"} | more).generation == generation


def test_older_responses_have_few_fields() -> None:
    dataset = Dataset.from_dict({"id": "d1", "name": "Rows", "status": "PARKED"})
    assert dataset.status == "PARKED"
    assert (dataset.workspace_id, dataset.total_datapoint_count) == (None, None)
    assert repr(dataset) == "<Dataset d1 'Rows' V3 PARKED>"


def test_every_bad_path_is_named() -> None:
    wire = {"id": "d1", "imports": [{"import_id": 5}], "schema": {"fields": {"a": 1}}}
    with pytest.raises(DecodeError) as caught:
        Dataset.from_dict(wire)
    assert set(caught.value.problems) == {
        "$.name: it is missing",
        "$.imports[0].import_id: a string is needed, not an integer",
        "$.imports[0].status: it is missing",
        "$.schema.fields['a']: an object is needed, not an integer",
    }


_WHEN = datetime(2026, 11, 29, 10, 0, 53, tzinfo=UTC)
_ROWS = tuple(RejectedRow(index, "a", "missing") for index in range(10_000))


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (Upload("d1", "d1", "a.csv", 17), "<Upload d1 'a.csv', 17 bytes>"),
        (Upload("i1", "d1", "a.csv", 17, 2, "i1"), "<Upload i1 'a.csv', 17 bytes, 2 rows>"),
        (ImportJob("i1", JobStatus.QUEUED, created_at=_WHEN), "<ImportJob i1 queued>"),
        (
            ImportJob("i1", JobStatus.PARTIAL, accepted_count=2, rejected_count=1, errors=_ROWS),
            "<ImportJob i1 partial, 2 accepted, 1 rejected>",
        ),
        (
            ImportJob("i1", JobStatus.FAILED, reason="no\nrows"),
            "<ImportJob i1 failed: no rows>",
        ),
        (
            SchemaMigration("j1", "d1", JobStatus.PARTIAL, reprocessed_count=0, failed_count=3),
            "<SchemaMigration j1 partial, 0 reprocessed, 3 failed>",
        ),
        (BatchSync("s1", "b1", JobStatus("parked")), "<BatchSync s1 parked>"),
        (
            BatchSync("s1", "b1", JobStatus.COMPLETE, tasks_created=7, created_at=_WHEN),
            "<BatchSync s1 complete, 7 tasks created>",
        ),
        (Progress("upload", 17, 68, "bytes", 0.0231), "<Progress upload 17 of 68 bytes in 0.0 s>"),
        (Progress("append", 9, None, "records", 12.06), "<Progress append 9 records in 12.1 s>"),
        (AppendResult(0, 10_000, _ROWS), "<AppendResult 0 accepted, 10000 rejected>"),
    ],
)
def test_a_job_is_shown_in_one_line(model: Any, shown: str) -> None:
    assert repr(model) == shown


def test_a_schema_is_shown_as_it_is_made() -> None:
    schema = DatasetSchema.of(prompt="text", b={"type": "metadata", "label": "B"})
    assert repr(schema) == (
        "DatasetSchema({'prompt': 'text', 'b': {'type': 'metadata', 'label': 'B'}})"
    )
    loose = DatasetSchema({"a": "text"}, strict=False, extra={"x": 1})
    assert repr(loose) == "DatasetSchema({'a': 'text'}, strict=False, extra={'x': 1})"
    for made in (schema, loose):
        assert eval(repr(made), {"DatasetSchema": DatasetSchema}) == made


@pytest.mark.parametrize("model", MODELS, ids=lambda one: type(one).__name__)
def test_models_are_frozen_and_survive_pickle_and_json(model: Any) -> None:
    assert not hasattr(model, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        model.status = "x"
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again == model
    assert type(model).from_dict(model.to_dict()) == model


def test_equal_by_value_and_hashed_by_id() -> None:
    dataset, other = samples.dataset(), samples.dataset("ERROR")
    assert dataset == samples.dataset()
    assert dataset != other
    assert hash(dataset) == hash(other)
    assert BatchSync.from_dict(SYNC.to_dict()) == SYNC
    assert BatchSync("s1", "b1", JobStatus.COMPLETE) != SYNC
    assert hash(SYNC) == hash(BatchSync("s1", "b1", JobStatus.QUEUED))


@pytest.mark.parametrize("model", BOUND, ids=lambda one: type(one).__name__)
def test_what_is_bound_twice_is_a_copy(model: Any) -> None:
    free = type(model).from_dict(model.to_dict())
    first = free.bind("one resource")
    assert first is free
    assert first.bind("one resource") is first
    second = first.bind("another")
    assert second is not first
    assert second == first == model
    assert (first._resource, second._resource) == ("one resource", "another")
    assert pickle.loads(pickle.dumps(second))._resource is None
    assert "resource" not in repr(second)


@pytest.mark.parametrize("verb", ["refresh", "get_status", "update_schema", "append", "upload"])
async def test_verbs_of_a_dataset_without_a_client_are_an_error(verb: str) -> None:
    given: dict[str, Any] = {"update_schema": ("schema",), "append": ([],), "upload": (b"",)}
    with pytest.raises(ConfigurationError, match="dataset d1 came from no client"):
        await getattr(samples.dataset(), verb)(*given.get(verb, ()))


class Recorder:
    """A resource whose methods return their arguments."""

    def __getattr__(self, verb: str) -> Any:
        async def call(*given: Any, **options: Any) -> Any:
            return verb, given, options

        return call


async def test_each_verb_passes_its_arguments_to_the_resource() -> None:
    dataset: Any = samples.dataset().bind(Recorder())
    assert await dataset.refresh() == ("get", (dataset,), {})
    assert await dataset.get_status() == ("get_status", (dataset,), {})
    assert await dataset.update_schema("S") == ("update_schema", (dataset, "S"), {})
    options: dict[str, Any] = {"key": "k", "filename": "f", "on_progress": print}
    assert await dataset.upload(b"", **options) == ("upload", (dataset, b""), options)
    options = {"timeout": 5, "poll": "P", "on_event": print}
    assert await dataset.wait_until_ready(**options) == ("wait_until_ready", (dataset,), options)
    options = {"key": "k", "timeout": 5, "on_progress": print}
    assert await dataset.append([], **options) == ("append", (dataset, []), options)


async def test_each_new_verb_of_a_batch_passes_its_arguments_to_the_resource() -> None:
    recorder: Any = Recorder()
    batch: Any = samples.batch().bind(recorder)
    for verb in ("sync", "task_ids", "task_group_ids", "preview_url"):
        assert await getattr(batch, verb)() == (verb, (batch,), {})
    assert await batch.report() == ("report", (batch,), {})
    options = {"name": "N", "task": 1, "dataset": 2, "items": None, "auto_sync": True}
    assert await batch.update(**options) == ("update", (batch,), options)
