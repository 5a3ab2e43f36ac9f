"""The endpoints of datasets: creation, upload URLs, appends, schemas and their migrations."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from prolific_async.simulator import Immediately
from tests.simulator.dataset_world import SCHEMA, World

LOOSE = {**SCHEMA, "strict": False}
GROUPED: dict[str, Any] = {
    "strict": True,
    "fields": {"q": {"type": "text"}, "g": {"type": "task_group_id"}},
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately()) as started:
        yield started


# --- D1, D2, D4: create, get and status ---------------------------------------------------------


async def test_a_dataset_of_version_3(world: World) -> None:
    body = {"name": "Rows", "workspace_id": world.workspace_id}
    status, dataset = await world.ask("POST", "/datasets", body)
    assert status == 201
    assert datetime.fromisoformat(dataset["created_at"]).utcoffset() == timedelta(0)
    assert len(dataset["created_by"]) == 24
    assert dataset == {
        "id": dataset["id"],
        "name": "Rows",
        "created_at": dataset["created_at"],
        "created_by": dataset["created_by"],
        "workspace_id": world.workspace_id,
        "total_datapoint_count": 0,
        "schema_version": 3,
        "status": "UNINITIALISED",
        "filename": None,
        "has_predetermined_grouping_id": False,
    }
    assert await world.ask("GET", f"/datasets/{dataset['id']}") == (200, dataset)


async def test_a_dataset_of_version_4_has_a_schema_and_no_status(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    assert (document["schema_version"], document["schema"]) == (4, SCHEMA)
    assert document["imports"] == []
    assert document.keys().isdisjoint({"status", "filename"})
    assert await world.ask("GET", f"/datasets/{dataset_id}/status") == (200, {"status": None})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": None}, 400),
        ({"name": ""}, 400),
        ({"workspace_id": 1}, 400),
        ({"workspace_id": "nowhere"}, 404),
        ({"schema": {"strict": True}}, 400),
    ],
)
async def test_what_create_refuses(world: World, fields: Any, status: int) -> None:
    body = {"name": "D", "workspace_id": world.workspace_id, **fields}
    assert (await world.ask("POST", "/datasets", body))[0] == status
    assert dict(world.datasets) == {}


@pytest.mark.parametrize(
    ("strict", "fields", "problem"),
    [
        (1, {"a": {"type": "text"}}, "strict"),
        (True, {}, "1 to 200 fields"),
        (True, {f"f{i}": {"type": "text"} for i in range(201)}, "1 to 200 fields"),
        (True, {"": {"type": "text"}}, "1 to 128 characters"),
        (True, {"k" * 129: {"type": "text"}}, "1 to 128 characters"),
        (True, {"a": "text"}, "a: type must be"),
        (True, {"a": {"type": "number"}}, "a: type must be"),
        (True, {"a": {"type": ["text"]}}, "a: type must be"),
        (True, {"a": {"type": "text", "label": "l" * 256}}, "at most 255"),
        (True, {"a": {"type": "task_group_id"}, "b": {"type": "task_group_id"}}, "At most one"),
    ],
)
async def test_schemas_that_break_a_rule(
    world: World, strict: Any, fields: Any, problem: str
) -> None:
    schema = {"strict": strict, "fields": fields}
    body = {"name": "D", "workspace_id": world.workspace_id, "schema": schema}
    status, refused = await world.ask("POST", "/datasets", body)
    assert status == 400
    assert problem in refused["error"]["detail"]["schema"][0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("GET", "/status"),
        ("GET", "/upload-url/a.csv"),
        ("GET", "/imports/i"),
        ("POST", "/datapoints"),
        ("GET", "/schema-migrations/m"),
    ],
)
async def test_what_is_not_there_is_404(world: World, method: str, path: str) -> None:
    assert (await world.ask(method, f"/datasets/nothing{path}"))[0] == 404
    if "/" in path[1:]:
        known = await world.create(schema=SCHEMA)
        expected = 201 if "upload" in path else 404
        assert (await world.ask(method, f"/datasets/{known}{path}"))[0] == expected


# --- D5: upload URLs ------------------------------------------------------------------------


async def test_an_upload_url(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    status, upload = await world.ask("GET", f"/datasets/{dataset_id}/upload-url/a%2Fb%20%C3%A9.CSV")
    assert status == 201
    assert upload["upload_url"].startswith(world.storage_url)
    assert upload["file_key"].endswith("/a/b é.CSV")
    assert (upload["http_method"], upload["content_type"]) == ("PUT", "text/csv")
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    (job,) = document["imports"]
    assert job == {
        "dataset_id": dataset_id,
        "import_id": upload["import_id"],
        "type": "file_upload",
        "filename": "a/b é.CSV",
        "created_at": job["created_at"],
        "updated_at": job["created_at"],
        "status": "uninitialised",
    }


@pytest.mark.parametrize(
    ("fields", "filename", "content_type"),
    [
        ({}, "a.csv", "text/csv"),
        ({}, "a.ZIP", "application/zip"),
        ({}, "a.jsonl", None),
        ({}, "csv", None),
        ({"schema": SCHEMA}, "a.jsonl", "application/x-ndjson"),
        ({"schema": SCHEMA}, "a.zip", None),
    ],
)
async def test_each_generation_has_its_types(
    world: World, fields: Any, filename: str, content_type: str | None
) -> None:
    dataset_id = await world.create(**fields)
    status, upload = await world.ask("GET", f"/datasets/{dataset_id}/upload-url/{filename}")
    assert status == (400 if content_type is None else 201)
    assert upload.get("content_type") == content_type
    assert ("import_id" in upload) == (status == 201 and bool(fields))


# --- D7: append -------------------------------------------------------------------------------


async def test_appended_records_count_once_with_one_based_errors(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=0, schema=SCHEMA)
    path = f"/datasets/{dataset_id}/datapoints"
    lines = b'{"q": 1, "a": 2}\n{"a": 2, "q": 1}\n\n{"q": 1}\nno\n'
    assert await world.ask("POST", path, lines) == (
        200,
        {
            "accepted": 2,
            "rejected": 2,
            "errors": [
                {"record_index": 3, "field": "a", "reason": "missing"},
                {
                    "record_index": 4,
                    "field": "_raw",
                    "reason": "not JSON: Expecting value: line 1 column 1 (char 0)",
                },
            ],
        },
    )
    assert world.datasets[dataset_id].total_datapoint_count == 1
    again = (await world.ask("POST", path, b'{"q": 1, "a": 2}'))[1]
    assert (again["accepted"], again["rejected"]) == (1, 0)
    assert world.datasets[dataset_id].total_datapoint_count == 1


async def test_an_append_of_rejected_records_only_is_200(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=0, schema=SCHEMA)
    status, result = await world.ask("POST", f"/datasets/{dataset_id}/datapoints", b"{}\n{}")
    assert (status, result["accepted"], result["rejected"]) == (200, 0, 2)


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"schema": SCHEMA}, b""),
        ({"schema": SCHEMA}, b"\n \r\n"),
        ({"schema": SCHEMA}, b"{}\n" * 1001),
        ({"schema": None}, b"{}"),
        ({}, b"{}"),
    ],
)
async def test_appends_that_are_refused(world: World, fields: Any, lines: bytes) -> None:
    dataset_id = await world.create(**fields)
    assert (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", lines))[0] == 400


async def test_appends_that_are_no_records_are_refused(world: World) -> None:
    path = f"/datasets/{world.add_dataset(schema=SCHEMA)}/datapoints"
    url = f"{world.url}/api/v1/data-collection{path}"
    headers = {"Authorization": f"Token {world.token}", "Content-Type": "text/csv"}
    async with aiohttp.request("POST", url, data=b"q,a\n1,2\n", headers=headers) as response:
        assert response.status == 400
    assert (await world.ask("POST", path, b" " * (8 * 2**20 + 1)))[0] == 413


async def test_a_thousand_records_are_accepted(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=0, schema=SCHEMA)
    lines = b"".join(b'{"q": %d, "a": "x"}\n' % i for i in range(1000))
    result = (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", lines))[1]
    assert result["accepted"] == world.datasets[dataset_id].total_datapoint_count == 1000


# --- D3, D8: schemas and migrations -----------------------------------------------------------


async def test_a_second_schema_migrates_and_appends_wait(world: World) -> None:
    dataset_id = await world.create(schema=LOOSE)
    upload = await world.send(dataset_id, "rows.csv", b"q,b\n1,2\n3,4\n")
    await world.ended(f"/datasets/{dataset_id}/imports/{upload['import_id']}")
    append = f"/datasets/{dataset_id}/datapoints"
    await world.ask("POST", append, b'{"q": 1, "a": 2}')
    status, document = await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": SCHEMA})
    assert (status, document["schema"]) == (200, SCHEMA)
    path = f"/datasets/{dataset_id}/schema-migrations/{document['migration_job_id']}"
    assert (await world.ask("GET", path))[1]["status"] == "processing"
    assert (await world.ask("POST", append, b"{}"))[0] == 409
    assert (await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": LOOSE}))[0] == 409
    job = await world.ended(path)
    assert (job["status"], job["schema_version"]) == ("partial", 2)
    assert (job["reprocessed_count"], job["failed_count"]) == (1, 2)
    assert [(each["field"], each["reason"]) for each in job["errors"]] == [("a", "missing")] * 2
    assert (await world.ask("POST", append, b'{"q": 1, "a": 2}'))[0] == 200
    document = (await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": LOOSE}))[1]
    path = f"/datasets/{dataset_id}/schema-migrations/{document['migration_job_id']}"
    job = await world.ended(path)
    assert (job["status"], job["schema_version"]) == ("complete", 3)
    assert (job["reprocessed_count"], "failed_count" in job) == (3, False)


async def test_a_migration_is_set_by_a_test(world: World) -> None:
    dataset_id = world.add_dataset(schema=SCHEMA)
    document = (await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": LOOSE}))[1]
    world.set_migration(document["migration_job_id"], "failed", reason="No space.")
    path = f"/datasets/{dataset_id}/schema-migrations/{document['migration_job_id']}"
    job = (await world.ask("GET", path))[1]
    assert (job["status"], job["reason"]) == ("failed", "No space.")
    with pytest.raises(KeyError, match="no migration 'm'"):
        world.set_migration("m", "failed")


async def test_the_group_field_is_fixed_once_there_are_records(world: World) -> None:
    empty = await world.create(schema=GROUPED)
    assert (await world.ask("PATCH", f"/datasets/{empty}", {"schema": SCHEMA}))[0] == 200
    full = world.add_dataset(schema=GROUPED, datapoints=1)
    assert (await world.ask("PATCH", f"/datasets/{full}", {"schema": SCHEMA}))[0] == 400
    wider = {**GROUPED, "fields": {**GROUPED["fields"], "a": {"type": "text"}}}
    assert (await world.ask("PATCH", f"/datasets/{full}", {"schema": wider}))[0] == 200


@pytest.mark.parametrize(("fields", "body"), [({}, {"schema": SCHEMA}), ({"schema": SCHEMA}, {})])
async def test_schemas_that_cannot_be_set(world: World, fields: Any, body: Any) -> None:
    dataset_id = await world.create(**fields)
    assert (await world.ask("PATCH", f"/datasets/{dataset_id}", body))[0] == 400


# --- what tests add ---------------------------------------------------------------------------


async def test_datasets_are_added_and_shown(world: World) -> None:
    first = world.add_dataset(datapoints=3, name="D", status="PROCESSING")
    second = world.add_dataset(datapoints=0, schema=SCHEMA)
    third = world.add_dataset(datapoints=1, schema=SCHEMA, filename="x.csv")
    assert list(world.datasets) == [first, second, third]
    shown = world.datasets[first]
    assert (shown.status, shown.schema_version, shown.total_datapoint_count) == ("PROCESSING", 3, 3)
    assert (world.datasets[second].status, world.datasets[second].imports) == (None, ())
    ((_, status),) = world.datasets[third].imports
    assert status == "complete"
    document = (await world.ask("GET", f"/datasets/{third}"))[1]
    assert document["imports"][0]["accepted_count"] == 1
    with pytest.raises(TypeError):
        world.add_dataset(schema={"fields": object()})
    with pytest.raises(ValueError, match="schema: strict must be"):
        world.add_dataset(schema={"fields": {}})
    assert len(world.datasets) == 3
