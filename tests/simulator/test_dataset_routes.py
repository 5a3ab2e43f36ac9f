"""Datasets, their imports, and batches that use them, over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from prolific_async.simulator import Immediately, RowsPerSecond, Simulator

ROOT = "/api/v1/data-collection"
SCHEMA = {"strict": True, "fields": {"q": {"type": "text"}, "a": {"type": "text"}}}
DETAILS = {"task_name": "n", "task_introduction": "i", "task_steps": "s"}
LAYOUT = [
    {
        "rows": [
            {"columns": [{"items": [{"type": "dataset_field", "field": "q"}]}]},
            {"columns": [{"items": [{"type": "free_text", "description": "Why?"}]}]},
        ]
    }
]


class World(Simulator):
    """A simulator with a client."""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Token {self.token}"}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = self.url + ROOT + path
        async with aiohttp.request(method, url, data=data, headers=headers) as response:
            return response.status, await response.json()

    async def create(self, **fields: Any) -> str:
        body = {"name": "D", "workspace_id": self.workspace_id, **fields}
        status, dataset = await self.ask("POST", "/datasets", body)
        assert status == 201
        return str(dataset["id"])

    async def send(self, dataset_id: str, filename: str, content: bytes) -> Any:
        status, upload = await self.ask("GET", f"/datasets/{dataset_id}/upload-url/{filename}")
        assert status == 201
        async with aiohttp.request(
            upload["http_method"],
            upload["upload_url"],
            data=content,
            headers={"Content-Type": upload["content_type"]},
        ) as response:
            assert response.status == 200
        return upload


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(setup=Immediately()) as started:
        yield started


async def test_version_3_goes_from_uninitialised_to_ready(world: World) -> None:
    dataset_id = await world.create()
    status = f"/datasets/{dataset_id}/status"
    assert await world.ask("GET", status) == (200, {"status": "UNINITIALISED"})
    upload = await world.send(dataset_id, "rows.csv", b"q,META_TASK_GROUP_ID\n1,x\n2,x\n3,y\n")
    assert "import_id" not in upload
    assert await world.ask("GET", status) == (200, {"status": "PROCESSING"})
    assert await world.ask("GET", status) == (200, {"status": "READY"})
    batch_id = world.add_batch(datapoints=None)
    body = {"dataset_id": dataset_id}
    assert (await world.ask("POST", f"/batches/{batch_id}/setup", body))[0] == 202
    assert len((await world.ask("GET", f"/batches/{batch_id}/tasks"))[1]) == 3
    assert len((await world.ask("GET", f"/batches/{batch_id}/task-groups"))[1]) == 2


async def test_a_broken_file_of_version_3_ends_in_error(world: World) -> None:
    dataset_id = await world.create()
    await world.send(dataset_id, "rows.csv", b"a,b\n1\n")
    await world.ask("GET", f"/datasets/{dataset_id}")
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    assert document["status"] == "ERROR"
    assert (await world.ask("GET", f"/datasets/{dataset_id}/upload-url/rows.jsonl"))[0] == 400


async def test_an_import_of_version_4_is_partial_with_zero_based_errors(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    content = b'{"q": 1, "a": 2}\n{"q": 3}\nno\n'
    upload = await world.send(dataset_id, "rows.jsonl", content)
    path = f"/datasets/{dataset_id}/imports/{upload['import_id']}"
    assert (await world.ask("GET", path))[1]["status"] == "processing"
    assert (await world.ask("POST", f"/datasets/{dataset_id}/datapoints", b"{}"))[0] == 409
    job = (await world.ask("GET", path))[1]
    assert (job["status"], job["accepted_count"], job["rejected_count"]) == ("partial", 1, 2)
    assert [(each["record_index"], each["field"]) for each in job["errors"]] == [
        (1, "a"),
        (2, "_raw"),
    ]


async def test_appended_records_count_once_with_one_based_errors(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=0, schema=SCHEMA)
    path = f"/datasets/{dataset_id}/datapoints"
    lines = b'{"q": 1, "a": 2}\n{"a": 2, "q": 1}\n\n{"q": 1}\n'
    status, result = await world.ask("POST", path, lines)
    assert (status, result["accepted"], result["rejected"]) == (200, 2, 1)
    assert result["errors"][0]["record_index"] == 3
    document = (await world.ask("GET", f"/datasets/{dataset_id}"))[1]
    assert document["total_datapoint_count"] == 1
    assert (await world.ask("POST", path, b"{}\n" * 1001))[0] == 400
    assert (await world.ask("POST", path))[0] == 400


async def test_an_upload_waits_for_a_schema_and_a_second_schema_migrates(world: World) -> None:
    dataset_id = await world.create(schema=None)
    upload = await world.send(dataset_id, "rows.csv", b"q\n1\n")
    path = f"/datasets/{dataset_id}/imports/{upload['import_id']}"
    assert (await world.ask("GET", path))[1]["status"] == "pending_schema"
    loose = {**SCHEMA, "strict": False}
    status, document = await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": loose})
    assert status == 200
    assert "migration_job_id" not in document
    await world.ask("GET", path)
    assert (await world.ask("GET", path))[1]["status"] == "complete"
    document = (await world.ask("PATCH", f"/datasets/{dataset_id}", {"schema": SCHEMA}))[1]
    path = f"/datasets/{dataset_id}/schema-migrations/{document['migration_job_id']}"
    assert (await world.ask("GET", path))[1]["status"] == "processing"
    job = (await world.ask("GET", path))[1]
    assert (job["status"], job["failed_count"], job["schema_version"]) == ("partial", 1, 2)


async def test_a_batch_is_created_changed_and_synced(world: World) -> None:
    dataset_id = world.add_dataset(datapoints=3, schema=SCHEMA)
    fields: dict[str, Any] = {
        "name": "B",
        "workspace_id": world.workspace_id,
        "task_details": DETAILS,
    }
    status, refused = await world.ask("POST", "/batches", {**fields, "batch_items": LAYOUT})
    assert (status, refused["type"]) == (422, "INVALID_BATCH_ITEMS")
    fields |= {"batch_items": LAYOUT, "dataset_id": dataset_id}
    status, batch = await world.ask("POST", "/batches", fields)
    assert status == 201
    assert batch["batch_items"][0]["rows"][1]["columns"][0]["items"][0]["id"]
    path = f"/batches/{batch['id']}"
    patched = (await world.ask("PATCH", path, {"batch_items": batch["batch_items"]}))[1]
    assert patched["batch_items"] == batch["batch_items"]
    assert (await world.ask("PATCH", path, {"name": None}))[0] == 400
    assert (await world.ask("POST", f"{path}/sync"))[0] == 400
    assert (await world.ask("POST", f"{path}/setup", {"tasks_per_group": 2}))[0] == 202
    await world.ask("POST", f"/datasets/{dataset_id}/datapoints", b'{"q": 1, "a": 2}')
    assert (await world.ask("GET", path))[1]["total_task_count"] == 3
    status, sync = await world.ask("POST", f"{path}/sync")
    assert (status, sync["status"]) == (202, "queued")
    sync_path = f"{path}/syncs/{sync['sync_id']}"
    assert (await world.ask("GET", sync_path))[1]["status"] == "processing"
    sync = (await world.ask("GET", sync_path))[1]
    assert (sync["status"], sync["tasks_created"], sync["groups_expanded"]) == ("complete", 1, 1)
    cleared = (await world.ask("PATCH", path, {"batch_items": None, "name": "C"}))[1]
    assert (cleared["batch_items"], cleared["name"]) == (None, "C")


async def test_an_import_takes_a_time_that_grows_with_its_rows() -> None:
    async with World(imports=RowsPerSecond(1000)) as world:
        dataset_id = await world.create()
        await world.send(dataset_id, "rows.csv", b"q\n" + b"1\n" * 20_000)
        status = f"/datasets/{dataset_id}/status"
        assert (await world.ask("GET", status))[1] == {"status": "PROCESSING"}
        assert (await world.ask("GET", status))[1] == {"status": "PROCESSING"}


async def test_tests_fail_and_set_imports(world: World) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    world.fail_imports(dataset_id, "no")
    upload = await world.send(dataset_id, "rows.csv", b"q,a\n1,2\n")
    path = f"/datasets/{dataset_id}/imports/{upload['import_id']}"
    await world.ask("GET", path)
    assert (await world.ask("GET", path))[1]["reason"] == "no"
    world.set_import(upload["import_id"], "complete", accepted_count=1)
    assert (await world.ask("GET", path))[1]["status"] == "complete"
