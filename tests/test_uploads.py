"""Uploads to datasets, over real connections to scripted answers of the API and of the storage."""

from __future__ import annotations

import io
import pickle
import traceback
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    DatasetSchema,
    DecodeError,
    PermissionDeniedError,
    Progress,
    ProlificError,
    ServerError,
    Upload,
)
from tests import samples
from tests.scripted import DATE, Scripted, scripted
from tests.stepping import cancelled_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from prolific_async import ProlificClient

SECRET = "5ca1ab1e" * 4
ROWS = [{"a": "1", "b": "x"}, {"a": "2", "b": "y, z"}]
CSV = b'"a","b"\r\n"1","x"\r\n"2","y, z"\r\n'
V3 = samples.dataset("UNINITIALISED").to_dict()
SCHEMA = DatasetSchema.of(a="text", b="text")
KEYED = DatasetSchema.of(a="text", b="text", META_ROW_KEY="metadata")
V4 = samples.dataset(None, schema_version=4, schema=SCHEMA.to_dict(), imports=[]).to_dict()
STORED: tuple[int, Any] = (200, b"")


@asynccontextmanager
async def storing(
    dataset: dict[str, Any], *answers: Any, **options: Any
) -> AsyncIterator[tuple[ProlificClient, Scripted]]:
    """Serve a dataset, then answers; a function among them makes one of the server's address."""
    async with scripted((200, dataset), **options) as (client, service):
        service.answers += [one(service.url) if callable(one) else one for one in answers]
        yield client, service


def link(number: int = 1, **more: Any) -> Any:
    def answer(url: str) -> tuple[int, Any]:
        wire = {
            "dataset_id": "d1",
            "upload_url": f"{url}/storage/{number}?X-Amz-Signature={SECRET}",
            "http_method": "PUT",
            "content_type": "text/csv; charset=utf-8",
            "expires_at": "2026-03-04T05:16:07Z",
        }
        return 201, wire | more

    return answer


async def test_rows_are_sent_as_csv_to_a_dataset_without_a_schema() -> None:
    async with storing(V3, link(), STORED) as (client, service):
        upload = await client.datasets.upload("d1", iter(ROWS))
    assert upload == Upload("d1", "d1", "rows.csv", len(CSV), 2)
    assert service.calls == [
        ("GET", "/datasets/d1"),
        ("GET", "/datasets/d1/upload-url/rows.csv"),
        ("PUT", f"/storage/1?X-Amz-Signature={SECRET}"),
    ]
    put = service.received[-1]
    assert put.body == CSV
    assert put.headers["content-type"] == "text/csv; charset=utf-8"
    assert put.headers["content-length"] == str(len(CSV))
    assert "authorization" not in put.headers


async def test_rows_are_sent_as_json_lines_to_a_dataset_with_a_schema() -> None:
    url = link(import_id="i-1", content_type=None)
    async with storing(V4, url, STORED) as (client, service):
        dataset = samples.dataset(None, schema_version=4).bind(client.datasets)
        upload = await dataset.upload(ROWS)
        assert upload._resource is client.datasets
    assert (upload.id, upload.import_id, upload.dataset_id) == ("i-1", "i-1", "d1")
    assert (upload.filename, upload.rows, upload.status) == ("rows.jsonl", 2, None)
    put = service.received[-1]
    assert put.headers["content-type"] == "application/x-ndjson"
    assert put.body == b'{"a":"1","b":"x"}\n{"a":"2","b":"y, z"}\n'


async def test_a_file_is_sent_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "Größe 1.CSV"
    file.write_bytes(CSV)
    async with storing(V3, link(), STORED) as (client, service):
        upload = await client.datasets.upload("d1", file)
    assert (upload.filename, upload.size) == ("Größe 1.CSV", len(CSV))
    assert service.calls[1][1] == "/datasets/d1/upload-url/Gr%C3%B6%C3%9Fe%201.CSV"
    assert service.received[-1].body == CSV


async def test_a_key_is_sent_a_second_time() -> None:
    async with storing(V4 | {"schema": KEYED.to_dict()}, link(), STORED) as (client, service):
        await client.datasets.upload("d1", ROWS[:1], key="a")
    assert service.received[-1].json == {"a": "1", "b": "x", "META_ROW_KEY": "1"}


async def test_on_progress_gets_the_bytes_of_the_upload() -> None:
    told: list[Progress] = []
    async with storing(V3, link(), STORED) as (client, _):
        await client.datasets.upload("d1", CSV, filename="x.csv", on_progress=told.append)
    assert [(one.step, one.done, one.total, one.unit) for one in told] == [
        ("upload", len(CSV), len(CSV), "bytes")
    ]
    assert told[0].elapsed >= 0


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (V3 | {"status": "READY"}, {}, r"dataset d1 has its file \(READY\)"),
        (V3 | {"status": "PROCESSING"}, {}, "upload to a new dataset"),
        (V3, {"filename": "rows.jsonl"}, r"takes files that end in \.csv or \.zip"),
        (V4, {"filename": "rows.zip"}, r"takes files that end in \.csv or \.jsonl"),
        (V4, {"key": "a"}, "must have the field 'META_ROW_KEY'"),
        (V3, {"key": "c"}, "the key is missing or empty"),
    ],
)
async def test_what_the_dataset_does_not_take_is_refused_after_one_request(
    dataset: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    async with storing(dataset) as (client, service):
        with pytest.raises(ValueError, match=message):
            await client.datasets.upload("d1", ROWS, **options)
    assert service.calls == [("GET", "/datasets/d1")]


async def test_a_status_that_is_not_sent_refuses_nothing() -> None:
    wire = {"id": "d1", "name": "Rows"}
    async with storing(wire, link(), STORED) as (client, _):
        assert (await client.datasets.upload("d1", ROWS)).id == "d1"


@pytest.mark.parametrize(
    ("source", "options", "kind"),
    [
        ([], {}, ValueError),
        (b"", {"filename": "a.csv"}, ValueError),
        (b"a\n1\n", {}, ValueError),
        (b"a\n1\n", {"filename": "a.txt"}, ValueError),
        ("missing.csv", {}, OSError),
        ("~/missing.csv", {}, FileNotFoundError),
        (Path("/dev"), {"filename": "a.csv"}, ValueError),
        ("/dev/zero", {"filename": "a.csv"}, ValueError),
        (b"/dev/zero", {}, ValueError),
        (io.StringIO("a\n1\n"), {"filename": "a.csv"}, TypeError),
        (io.BytesIO(b"a\n1\n"), {}, ValueError),
        (io.BytesIO(), {"filename": "a.csv"}, ValueError),
        ({"a": 1}, {}, TypeError),
        (5, {}, TypeError),
        (ROWS, {"key": ""}, ValueError),
        (ROWS, {"on_progress": 5}, ValueError),
    ],
)
async def test_what_is_no_source_is_refused_before_anything_is_sent(
    source: Any, options: dict[str, Any], kind: type[Exception]
) -> None:
    async with scripted() as (client, service):
        with pytest.raises(kind):
            await client.datasets.upload("d1", source, **options)
    assert service.received == []


async def test_an_upload_of_an_invalid_id_is_refused() -> None:
    async with scripted() as (client, _):
        with pytest.raises(ValueError, match="cannot be an id"):
            await client.datasets.upload("..", ROWS)


# --- What is repeated -----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [None, (503, b"")])
async def test_a_file_is_sent_again(lost: Any) -> None:
    def once() -> Iterator[dict[str, str]]:
        yield from ROWS

    async with storing(V3, link(), lost, lost, STORED) as (client, service):
        await client.datasets.upload("d1", once())
    assert [one.body for one in service.received if one.method == "PUT"] == [CSV] * 3


async def test_an_expired_link_is_renewed_and_its_import_forgotten() -> None:
    old = link(1, import_id="i-1", expires_at="2026-03-04T05:06:06Z")
    async with storing(V4, old, link(2, import_id="i-2"), STORED) as (client, service):
        upload = await client.datasets.upload("d1", ROWS)
    assert upload.id == "i-2"
    assert service.calls[-1][1].startswith("/storage/2?")
    assert DATE.endswith("05:06:07 GMT")


async def test_a_refusal_because_of_its_age_is_a_new_link() -> None:
    refusal = b"<Error><Code>ExpiredToken</Code><Message>It has expired</Message></Error>"
    answers = [link(1, import_id="i-1"), (403, refusal), link(2, import_id="i-2"), STORED]
    async with storing(V4, *answers) as (client, _):
        assert (await client.datasets.upload("d1", ROWS)).id == "i-2"


# --- Links are secrets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([link(), (403, b"<Error><Code>AccessDenied</Code></Error>")], PermissionDeniedError),
        ([link(), *[(500, SECRET.encode())] * 4], ServerError),
        ([link(), *[None] * 4], ProlificError),
        ([link(upload_url=f"http://far.example/?X-Amz-Signature={SECRET}")], DecodeError),
        ([link(upload_url=f"ftp://127.0.0.1/?X-Amz-Signature={SECRET}")], DecodeError),
        ([link(http_method=f"GET {SECRET}")], DecodeError),
        ([link(expires_at=f"in {SECRET} s")], DecodeError),
    ],
    ids=range(7),
)
async def test_a_link_is_in_no_error(answers: list[Any], kind: type[ProlificError]) -> None:
    async with storing(V3, *answers) as (client, _):
        with pytest.raises(kind) as caught:
            await client.datasets.upload("d1", ROWS)
    error = caught.value
    assert "/upload-url/rows.csv" in str(error)
    link: BaseException | None = error
    while link is not None:
        assert SECRET not in str(link) + repr(link) + repr(vars(link))
        link = link.__cause__ or link.__context__
    assert SECRET not in repr(pickle.loads(pickle.dumps(error)).__dict__)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "prolific_async/" in frame.f_code.co_filename:
            assert SECRET not in repr(frame.f_locals)


def temporary_files() -> list[str]:
    """Return the open files without a name, where the system shows them."""
    folder = Path("/proc/self/fd")
    found = []
    for one in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            found.append(str(one.readlink()))
    return [one for one in found if one.endswith("(deleted)")]


@pytest.mark.parametrize("manner", ["woken", "waiting"])
async def test_a_cancelled_upload_leaves_no_temporary_file(manner: Any) -> None:
    before = temporary_files()
    came_that_far, steps = True, count(1)
    while came_that_far:
        async with storing(V3, link(), (503, b""), STORED) as (client, service):
            call = partial(client.datasets.upload, "d1", iter(ROWS))
            came_that_far = await cancelled_at(next(steps), manner, call)
            service.answers.clear()
        assert temporary_files() == before
    assert next(steps) > 5
