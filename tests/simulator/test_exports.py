"""Exports of the answers to a batch, over HTTP."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from prolific_async.simulator import AfterPolls, AfterSeconds, Fault, Immediately, Simulator
from tests.simulator.dataset_world import ROOT, World
from tests.simulator.test_answers import layout, ready, uploaded

DROPPED = aiohttp.ClientConnectionError, aiohttp.ClientPayloadError
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


class ExportWorld(World):
    """A simulator with a client of exports."""

    async def export(self, batch_id: str, **query: str) -> tuple[int, Any]:
        """Request an export; the query is encoded."""
        headers = {"Authorization": f"Token {self.token}"}
        url = f"{self.url}{ROOT}/batches/{batch_id}/export"
        async with aiohttp.request("POST", url, params=query, headers=headers) as response:
            return response.status, await response.json()

    async def started(self, batch_id: str, **query: str) -> str:
        """Request an export and return the path of the job."""
        status, document = await self.export(batch_id, **query)
        assert (status, document.keys()) == (202, {"status", "export_id"})
        assert document["status"] == "generating"
        return f"/batches/{batch_id}/export/{document['export_id']}"

    async def delete(self, path: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Token {self.token}"}
        async with aiohttp.request("DELETE", self.url + ROOT + path, headers=headers) as response:
            return response.status, await response.read()

    async def archive(self, path: str) -> zipfile.ZipFile:
        status, document = await self.ask("GET", path)
        assert (status, document["status"]) == (200, "complete")
        async with aiohttp.request("GET", document["url"]) as response:
            assert response.headers["Content-Type"] == "application/zip"
            return zipfile.ZipFile(io.BytesIO(await response.read()))


def lines(archive: zipfile.ZipFile, name: str) -> list[Any]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


@pytest.fixture
async def world() -> AsyncIterator[ExportWorld]:
    options: Any = dict.fromkeys(("setup", "imports", "exports"), Immediately())
    async with ExportWorld(**options) as started:
        yield started


async def test_an_export_is_generating_then_complete() -> None:
    async with ExportWorld(exports=AfterPolls(2)) as world:
        batch_id = world.add_batch(status="READY")
        path = await world.started(batch_id)
        generating = {"status": "generating", "export_id": path.rpartition("/")[2]}
        assert await world.ask("GET", path) == (200, generating)
        assert (await world.ask("GET", f"/batches/{batch_id}/export"))[0] == 200
        status, document = await world.ask("GET", path)
        assert (status, document["status"]) == (200, "complete")
        assert document.keys() == {"status", "url", "expires_at"}
        assert document["expires_at"] == "2026-05-04T13:00:00.000000Z"


async def test_an_export_ends_after_some_seconds() -> None:
    async with ExportWorld(exports=AfterSeconds(60)) as world:
        path = await world.started(world.add_batch(status="READY"))
        assert (await world.ask("GET", path))[1]["status"] == "generating"


async def test_the_five_kinds_of_files_in_the_archive(world: ExportWorld) -> None:
    dataset_id = await uploaded(world, "q,META_ROW_KEY\nä,k1\n<b>,k2\n")
    pages = layout("free_text", "file_upload")
    batch_id = await ready(world, dataset_id, 2, batch_items=pages)
    first, second = world.answer(batch_id, participants=2, study_id="study")
    (third,) = world.answer(
        batch_id, answer=lambda _, item: "ö" if item["type"] == "free_text" else None
    )
    path = await world.started(batch_id)
    archive = await world.archive(path)
    assert archive.testzip() is None
    given = (await world.ask("GET", f"/batches/{batch_id}/responses"))[1]["results"]
    files = [
        entry["file_key"]
        for response in given
        for entry in response["response"]["answer"]
        if "file_key" in entry
    ]
    assert len(files) == 2
    assert archive.namelist() == [
        "responses-by-submission.jsonl",
        "responses-by-task.jsonl",
        "batch.json",
        "README.md",
        *(f"files/{key}" for key in files),
    ]
    assert all(archive.read(f"files/{key}") for key in files)
    assert (
        json.loads(archive.read("batch.json"))
        == (await world.ask("GET", f"/batches/{batch_id}"))[1]
    )
    submissions = lines(archive, "responses-by-submission.jsonl")
    assert [each["participant_id"] for each in submissions] == [first, second, third]
    assert [each["study_id"] for each in submissions][:2] == ["study"] * 2
    assert len(submissions[2]["study_id"]) == 24
    assert [each for submission in submissions for each in submission["responses"]] == given
    tasks = lines(archive, "responses-by-task.jsonl")
    assert [each["task_id"] for each in tasks] == (
        await world.ask("GET", f"/batches/{batch_id}/tasks")
    )[1]
    assert [each["data"]["META_ROW_KEY"] for each in tasks] == ["k1", "k1", "k2", "k2"]
    assert [len(each["responses"]) for each in tasks] == [2, 1, 1, 1]
    assert tasks[0]["data"]["q"] == "ä"


async def test_half_a_surrogate_pair(world: ExportWorld) -> None:
    schema = {"strict": True, "fields": {"q": {"type": "text"}}}
    dataset_id = await uploaded(world, '{"q": "a\\ud83d"}\n', "rows.jsonl", schema=schema)
    batch_id = await ready(world, dataset_id)
    world.answer(batch_id)
    archive = await world.archive(await world.started(batch_id))
    assert lines(archive, "responses-by-task.jsonl")[0]["data"] == {"q": "a\ud83d"}
    url = (await world.ask("GET", f"/batches/{batch_id}/report"))[1]["url"]
    async with aiohttp.request("GET", url) as response:
        assert b',"a?",' in await response.read()


async def test_an_archive_without_answers(world: ExportWorld) -> None:
    for batch_id in (world.add_batch(), world.add_batch(datapoints=None)):
        archive = await world.archive(await world.started(batch_id))
        assert len(archive.namelist()) == 4
        assert lines(archive, "responses-by-task.jsonl") == []


async def test_an_archive_is_of_the_moment_at_which_it_was_requested(world: ExportWorld) -> None:
    batch_id = world.add_batch(status="READY")
    world.answer(batch_id)
    path = await world.started(batch_id)
    world.answer(batch_id)
    assert len(lines(await world.archive(path), "responses-by-submission.jsonl")) == 1
    path = await world.started(batch_id)
    assert len(lines(await world.archive(path), "responses-by-submission.jsonl")) == 2


@pytest.mark.parametrize(
    ("query", "months"),
    [
        ({}, [1, 3, 5]),
        ({"study_id": "one"}, [1, 3]),
        ({"study_id": "none"}, []),
        ({"from": "2026-03-01T00:00:00Z"}, [3, 5]),
        ({"from": "2026-03-01T01:00:00.000001+01:00"}, [5]),
        ({"to": "2026-03-01"}, [1, 3]),
        ({"to": "2026-03-01T00:00:00"}, [1, 3]),
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-05-02T00:00:00Z"}, [3, 5]),
        ({"from": "2026-02-01T00:00:00Z", "study_id": "one"}, [3]),
    ],
)
async def test_an_export_has_only_the_answers_that_its_filters_allow(
    world: ExportWorld, query: dict[str, str], months: list[int]
) -> None:
    batch_id = world.add_batch(status="READY")
    for month in (1, 3, 5):
        study_id = "one" if month < 5 else "other"
        world.answer(batch_id, study_id=study_id, at=MARCH.replace(month=month))
    path = await world.started(batch_id, **query)
    submissions = lines(await world.archive(path), "responses-by-submission.jsonl")
    assert [int(each["created_at"][5:7]) for each in submissions] == months


@pytest.mark.parametrize(
    ("query", "field"),
    [({"from": "soon"}, "from"), ({"to": ""}, "to"), ({"since": "2026-03-01"}, "since")],
)
async def test_filters_that_are_refused(
    world: ExportWorld, query: dict[str, str], field: str
) -> None:
    status, refused = await world.export(world.add_batch(), **query)
    assert (status, list(refused["error"]["detail"])) == (400, [field])


async def test_the_list_of_exports(world: ExportWorld) -> None:
    batch_id = world.add_batch(status="READY")
    listed = f"/batches/{batch_id}/export"
    assert await world.ask("GET", listed) == (200, {"results": [], "meta": {"count": 0}})
    query = {"from": "2026-03-01T01:00:00.5+01:00", "study_id": "s"}
    paths = [await world.started(batch_id), await world.started(batch_id, **query)]
    old, new = (path.rpartition("/")[2] for path in paths)
    created = "2026-05-04T12:00:00.000000Z"
    wanted = {"study_id": "s", "from": "2026-03-01T00:00:00.500000Z", "to": None}
    results = [
        {"export_id": new, "filter": wanted, "status": "complete", "created_at": created},
        {"export_id": old, "filter": None, "status": "complete", "created_at": created},
    ]
    expected = {"results": results, "meta": {"count": 2}}
    assert await world.ask("GET", listed) == (200, expected)
    assert await world.delete(paths[1]) == (204, b"")
    assert (await world.ask("GET", listed))[1]["results"] == results[1:]
    assert (await world.ask("GET", paths[1]))[0] == 404
    assert (await world.delete(paths[1]))[0] == 404


async def test_an_export_that_is_generating_is_found_again_and_not_deleted() -> None:
    async with ExportWorld(exports=AfterPolls(1)) as world:
        batch_id = world.add_batch(status="READY")
        at = {"from": "2026-03-01T00:00:00Z"}
        plain, filtered = await world.started(batch_id), await world.started(batch_id, **at)
        assert plain != filtered
        assert await world.started(batch_id) == plain
        assert await world.started(batch_id, **{"from": "2026-03-01T01:00:00+01:00"}) == filtered
        assert (await world.delete(plain))[0] == 409
        assert [(await world.ask("GET", plain))[1]["status"] for _ in "12"][1] == "complete"
        assert await world.started(batch_id) != plain
        assert (await world.delete(plain))[0] == 204


async def test_the_cap_of_ten() -> None:
    async with ExportWorld(exports=AfterPolls(0)) as world:
        batch_id = world.add_batch(status="READY")
        paths = [await world.started(batch_id, study_id=str(number)) for number in range(10)]
        status, refused = await world.export(batch_id)
        assert status == 400
        assert "at most 10 exports" in refused["error"]["detail"]
        assert await world.started(batch_id, study_id="3") == paths[3]
        await world.ask("GET", paths[3])
        assert (await world.export(batch_id, study_id="3"))[0] == 400
        assert (await world.delete(paths[3]))[0] == 204
        assert await world.started(batch_id, study_id="3") not in paths
        await world.started(world.add_batch(status="READY"))


async def test_exports_that_fail() -> None:
    async with ExportWorld(exports=AfterPolls(0)) as world:
        batch_id = world.add_batch(status="READY")
        path = await world.started(batch_id)
        world.fail_exports(batch_id)
        assert await world.ask("GET", path) == (200, {"status": "failed"})
        assert (await world.delete(path))[0] == 204
        path = await world.started(batch_id)
        assert (await world.ask("GET", path))[1]["status"] == "failed"
        with pytest.raises(KeyError, match="no batch 'b'"):
            world.fail_exports("b")


async def test_an_export_is_set_by_a_test() -> None:
    async with ExportWorld(exports=AfterPolls(0)) as world:
        path = await world.started(world.add_batch(status="READY"))
        export_id = path.rpartition("/")[2]
        world.set_export(export_id, "generating")
        for _ in range(3):
            assert (await world.ask("GET", path))[1]["status"] == "generating"
        world.set_export(export_id, "paused", reason="why")
        assert await world.ask("GET", path) == (200, {"status": "paused", "reason": "why"})
        world.set_export(export_id, "complete")
        assert (await world.archive(path)).testzip() is None
        world.set_export(export_id, "complete", url="http://x/y", expires_at=None)
        expected = {"status": "complete", "url": "http://x/y", "expires_at": None}
        assert await world.ask("GET", path) == (200, expected)
        with pytest.raises(KeyError, match="no export 'e'"):
            world.set_export("e", "failed")
        with pytest.raises(TypeError):
            world.set_export(export_id, "failed", reason=object())


async def test_each_poll_gives_a_link_to_the_same_file(world: ExportWorld) -> None:
    path = await world.started(world.add_batch(status="READY"))
    urls = [(await world.ask("GET", path))[1]["url"] for _ in "12"]
    assert urls[0] != urls[1]
    etags = []
    for url in urls:
        async with aiohttp.request("GET", url, headers={"Range": "bytes=2-3"}) as response:
            assert (response.status, await response.read()) == (206, b"\3\4")
            etags.append(response.headers["ETag"])
    assert etags[0] == etags[1]
    assert not etags[0].startswith("W/")


async def test_a_link_expires_and_is_renewed_by_a_poll() -> None:
    async with ExportWorld(exports=Immediately(), url_lifetime=0.03) as world:
        path = await world.started(world.add_batch(status="READY"))
        expired = (await world.ask("GET", path))[1]["url"]
        while True:
            async with aiohttp.request("GET", expired) as response:
                if response.status != 200:
                    break
        assert response.status == 403
        assert (await world.archive(path)).testzip() is None


async def test_all_links_expire_at_once(world: ExportWorld) -> None:
    path = await world.started(world.add_batch(status="READY"))
    url = (await world.ask("GET", path))[1]["url"]
    world.expire_urls()
    async with aiohttp.request("GET", url) as response:
        assert response.status == 403
        assert "Request has expired" in await response.text()
    assert (await world.archive(path)).testzip() is None


ROUTES = [
    ("GET", "/responses", 200),
    ("GET", "/report", 200),
    ("POST", "/export", 202),
    ("GET", "/export", 200),
    ("GET", "/export/EXPORT", 200),
    ("DELETE", "/export/EXPORT", 204),
]


@pytest.mark.parametrize(("method", "route", "expected"), ROUTES)
async def test_faults_meet_every_route(
    world: ExportWorld, method: str, route: str, expected: int
) -> None:
    batch_id = world.add_batch(status="READY")
    world.answer(batch_id)
    path = await world.started(batch_id)
    route = f"/batches/{batch_id}{route}".replace("EXPORT", path.rpartition("/")[2])

    async def status() -> int:
        headers = {"Authorization": f"Token {world.token}"}
        async with aiohttp.request(method, world.url + ROOT + route, headers=headers) as response:
            await response.read()
            return response.status

    world.inject(method, route, Fault(503))
    assert await status() == 503
    for fault in (Fault(reset="before"), Fault(cut_request=0)):
        world.inject(method, route, fault, times=None)
        with pytest.raises(DROPPED):
            await status()
        world.clear_faults()
    if method != "DELETE":
        world.inject(method, route, Fault(cut=1))
        with pytest.raises(DROPPED):
            await status()
    assert await status() == expected
    world.inject(method, route, Fault(502, applied=True))
    assert await status() == 502


async def test_exports_over_the_control_endpoints(world: ExportWorld) -> None:
    batch_id = world.add_batch(status="READY")
    path = await world.started(batch_id)

    async def control(path: str, body: Any = None) -> int:
        headers = {"Authorization": f"Token {world.token}"}
        url = f"{world.url}/_simulator{path}"
        async with aiohttp.request("POST", url, json=body, headers=headers) as response:
            return response.status

    job = f"/exports/{path.rpartition('/')[2]}"
    assert await control(job, {"status": "generating"}) == 204
    assert (await world.ask("GET", path))[1]["status"] == "generating"
    assert await control(job, {"reason": "x"}) == 400
    assert await control("/exports/e", {"status": "failed"}) == 404
    assert await control(job, {"status": "complete"}) == 204
    url = (await world.ask("GET", path))[1]["url"]
    assert await control("/urls/expire") == 204
    async with aiohttp.request("GET", url) as response:
        assert response.status == 403
    assert (await world.archive(path)).testzip() is None
    assert await control(f"/batches/{batch_id}/exports/fail") == 204
    other = await world.started(batch_id, study_id="s")
    assert (await world.ask("GET", other))[1] == {"status": "failed"}
    assert await control("/batches/b/exports/fail") == 404


def test_endings_of_exports_that_make_no_sense() -> None:
    with pytest.raises(TypeError, match="exports: 3 is neither"):
        Simulator(exports=3)  # type: ignore[arg-type]
