"""Scripted faults on the routes of datasets, their uploads, and changes of batches."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from prolific_async.simulator import Fault, Immediately, OmittedBody
from tests.simulator.dataset_world import DETAILS, ROOT, SCHEMA, World

DROPPED = aiohttp.ClientConnectionError, aiohttp.ClientPayloadError
LINE = b'{"q": 1, "a": 2}'
ROUTES = [
    ("POST", "/datasets", {"name": "D", "workspace_id": "WORKSPACE"}, 201),
    ("GET", "/datasets/DATASET", None, 200),
    ("PATCH", "/datasets/DATASET", {"schema": SCHEMA}, 200),
    ("GET", "/datasets/DATASET/status", None, 200),
    ("GET", "/datasets/DATASET/upload-url/rows.csv", None, 201),
    ("GET", "/datasets/DATASET/imports/IMPORT", None, 200),
    ("POST", "/datasets/DATASET/datapoints", LINE, 200),
    ("GET", "/datasets/DATASET/schema-migrations/MIGRATION", None, 200),
    (
        "POST",
        "/batches",
        {"name": "B", "workspace_id": "WORKSPACE", "task_details": DETAILS},
        201,
    ),
    ("PATCH", "/batches/BATCH", {"name": "New"}, 200),
    ("POST", "/batches/BATCH/sync", None, 202),
    ("GET", "/batches/BATCH/syncs/SYNC", None, 200),
    ("GET", "/batches/BATCH/tasks", None, 200),
    ("GET", "/batches/BATCH/task-groups", None, 200),
]


class Prepared(World):
    """A world with one of everything."""

    async def prepare(self) -> None:
        dataset_id = self.add_dataset(schema=SCHEMA)
        ((import_id, _),) = self.datasets[dataset_id].imports
        document = (await self.ask("PATCH", f"/datasets/{dataset_id}", {"schema": SCHEMA}))[1]
        await self.ask("GET", f"/datasets/{dataset_id}")
        batch_id = self.add_batch(dataset_id=dataset_id)
        await self.ask("POST", f"/batches/{batch_id}/setup")
        sync = (await self.ask("POST", f"/batches/{batch_id}/sync"))[1]
        self.names = {
            "WORKSPACE": self.workspace_id,
            "DATASET": dataset_id,
            "IMPORT": import_id,
            "MIGRATION": document["migration_job_id"],
            "BATCH": batch_id,
            "SYNC": sync["sync_id"],
        }

    def named(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.named(each) for key, each in value.items()}
        if not isinstance(value, str):
            return value
        for name, known in self.names.items():
            value = value.replace(name, known)
        return value

    async def route(self, route: tuple[str, str, Any, int]) -> tuple[int, Any]:
        method, path, body, _ = route
        return await self.ask(method, self.named(path), self.named(body))


@pytest.fixture
async def world() -> AsyncIterator[Prepared]:
    async with Prepared(setup=Immediately(), imports=Immediately()) as started:
        await started.prepare()
        yield started


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
async def test_faults_meet_every_route(world: Prepared, route: tuple[str, str, Any, int]) -> None:
    method, path, expected = route[0], world.named(route[1]), route[3]
    before = len(world.requests)
    world.inject(method, path, Fault(503, headers={"Retry-After": "2"}))
    world.inject(method, path, Fault(502, applied=True))
    world.inject(method, path, Fault(reset="before"), times=2)  # aiohttp repeats a GET
    status, body = await world.route(route)
    assert (status, body["error"]["status"]) == (503, 503)
    assert (await world.route(route))[0] == 502
    world.clear_faults()
    assert (await world.route(route))[0] == expected
    for fault in (Fault(reset="before"), Fault(reset="after"), Fault(cut=1), Fault(cut_request=0)):
        world.inject(method, path, fault, times=None)
        with pytest.raises(DROPPED):
            await world.route(route)
        world.clear_faults()
    seen = world.requests[before:]
    assert {(each.method, each.path) for each in seen} == {(method, f"{ROOT}{path}")}
    assert [each.status for each in seen[:3]] == [503, 502, expected]
    assert None in [each.status for each in seen[3:]]


@pytest.mark.parametrize(
    ("fault", "applied"),
    [
        (Fault(503), False),
        (Fault(503, applied=True), True),
        (Fault(reset="before"), False),
        (Fault(reset="after"), True),
        (Fault(cut_request=5), False),
        (Fault(status=403, body="<Error><Code>AccessDenied</Code></Error>"), False),
    ],
)
async def test_a_fault_of_the_storage_decides_whether_an_import_starts(
    world: Prepared, fault: Fault, *, applied: bool
) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    upload = (await world.ask("GET", f"/datasets/{dataset_id}/upload-url/new.csv"))[1]
    world.inject("PUT", "/new.csv", fault, times=None)  # aiohttp repeats a PUT, too
    content = b"q,a\n1,2\n"
    if fault.is_scripted:
        assert await world.put(upload, content) == fault.status
    else:
        with pytest.raises(DROPPED):
            await world.put(upload, content)
    world.clear_faults()
    assert world.datasets[dataset_id].total_datapoint_count == int(applied)
    assert await world.put(upload, content) == 200
    assert world.datasets[dataset_id].total_datapoint_count == 1
    *faulty, last = (seen for seen in world.requests if seen.method == "PUT")
    assert {seen.status for seen in faulty} == {fault.status}
    assert (last.status, last.body) == (200, OmittedBody(len(content)))
    assert all("X-Amz-Signature" in seen.query for seen in (*faulty, last))
    assert upload["upload_url"].rpartition("=")[2] not in repr(world.requests)


@pytest.mark.parametrize("size", range(0, 100, 10))
async def test_an_upload_is_cut_after_any_number_of_bytes(world: Prepared, size: int) -> None:
    dataset_id = await world.create(schema=SCHEMA)
    content = b"q,a\n" + b"1,2\n" * 24
    upload = (await world.ask("GET", f"/datasets/{dataset_id}/upload-url/new.csv"))[1]
    world.inject("PUT", "/new.csv", Fault(cut_request=size), times=None)
    with pytest.raises(DROPPED):
        await world.put(upload, content)
    world.clear_faults()
    assert world.datasets[dataset_id].imports == ((upload["import_id"], "uninitialised"),)
    assert await world.put(upload, content) == 200
    assert world.datasets[dataset_id].imports == ((upload["import_id"], "complete"),)
