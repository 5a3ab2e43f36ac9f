"""The storage on the second port, to which presigned URLs lead."""

import asyncio
import contextlib
import gzip
import http.client
import io
import socket
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, BinaryIO

import aiohttp
import attrs
import pytest

from prolific_async.simulator import Fault, OmittedBody, Simulator
from prolific_async.simulator.storage import Download, StoredFile, Upload
from tests.conftest import HANGS, NOON

CSV = b"a,b\n1,2\n"
KIND = "text/csv"
TYPED = {"Content-Type": KIND}
REPORT = StoredFile("report.csv", "text/csv", b"0123456789")


@attrs.define
class Kept:
    """What was stored, and in which files."""

    uploads: list[tuple[Upload, bytes]] = attrs.Factory(list)
    files: list[Any] = attrs.Factory(list)

    def stored(self, upload: Upload, file: BinaryIO) -> None:
        self.files.append(file)
        self.uploads.append((upload, file.read()))


@pytest.fixture
async def sim(kept: Kept) -> AsyncIterator[Simulator]:
    async with asyncio.timeout(5), Simulator() as simulator:
        simulator._uploads.stored = kept.stored
        yield simulator


@pytest.fixture
def kept() -> Iterator[Kept]:
    yield (made := Kept())
    for file in made.files:
        file.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def new(sim: Simulator, filename: str = "rows.csv", content_type: str = KIND) -> Upload:
    return sim._uploads.new_url("d1", filename, content_type)


async def put(
    session: aiohttp.ClientSession, url: str, method: str = "PUT", **options: Any
) -> tuple[int, str]:
    options = {"data": CSV, "headers": TYPED} | options
    async with session.request(method, url, **options) as response:
        return response.status, await response.text()


async def refusal(
    session: aiohttp.ClientSession, url: str, method: str = "PUT", **options: Any
) -> tuple[int, str, str]:
    status, text = await put(session, url, method, **options)
    error = ET.fromstring(text)
    assert error.tag == "Error"
    assert error.findtext("RequestId")
    return status, error.findtext("Code") or "", error.findtext("Message") or ""


async def test_a_file_is_stored_without_a_token(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept
) -> None:
    upload = new(sim, "räte/1.csv")
    assert (upload.method, upload.dataset_id, upload.content_type) == ("PUT", "d1", KIND)
    assert upload.expires_at == NOON + timedelta(hours=1)
    assert upload.url.startswith(f"{sim.storage_url}/d1/{upload.id}/r%C3%A4te%2F1.csv?X-Amz-")
    assert sim.storage_url != sim.url
    assert await put(session, upload.url) == (200, "")
    assert kept.uploads == [(upload, CSV)]


async def test_each_file_has_a_url_of_its_own_which_may_be_used_again(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept
) -> None:
    first, second = new(sim), new(sim)
    assert first.url != second.url
    for url in (second.url, first.url, first.url):
        assert await put(session, url) == (200, "")
    assert [upload for upload, _ in kept.uploads] == [second, first, first]


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("POST", {}, (403, "SignatureDoesNotMatch")),
        ("GET", {"data": None}, (403, "SignatureDoesNotMatch")),
        ("PUT", {"headers": {"Content-Type": "text/csv; charset=utf-8"}}, (403, "Sign")),
        ("PUT", {"headers": {"Content-Type": "application/csv"}}, (403, "Sign")),
        ("PUT", {"skip_auto_headers": ["Content-Type"], "headers": {}}, (403, "Sign")),
        ("PUT", {"headers": TYPED | {"Authorization": "Basic x"}}, (400, "InvalidArgument")),
        ("PUT", {"headers": TYPED | {"X-Token": "the token"}}, (400, "InvalidArgument")),
        ("PUT", {"chunked": True}, (411, "MissingContentLength")),
    ],
)
async def test_what_was_not_signed_is_refused(
    session: aiohttp.ClientSession,
    kept: Kept,
    method: str,
    options: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    async with Simulator(token="token") as sim:
        sim._uploads.stored = kept.stored
        status, code, _ = await refusal(session, new(sim).url, method, **options)
        assert (status, code[: len(expected[1])]) == expected
        assert kept.uploads == []
        (seen,) = sim.requests
        assert (seen.method, seen.status) == (method, expected[0])


async def test_urls_that_were_not_given_out(sim: Simulator, session: aiohttp.ClientSession) -> None:
    url = new(sim).url
    signature = url.rpartition("=")[2]
    base = url.partition("?")[0]
    changed = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999")
    for other in (changed, url + "&more=1", url.replace("rows.csv", "other.csv")):
        assert (await refusal(session, other))[:2] == (403, "SignatureDoesNotMatch")
    wrong = url.replace(signature, "0" * len(signature))
    assert (await refusal(session, wrong))[:2] == (403, "SignatureDoesNotMatch")
    assert (await refusal(session, base))[:2] == (403, "AccessDenied")
    assert (await refusal(session, sim.storage_url + "/"))[:2] == (403, "AccessDenied")
    assert (await refusal(session, new(sim).url.partition("?")[0] + "?" + url.partition("?")[2]))[
        :2
    ] == (403, "SignatureDoesNotMatch")


async def test_a_url_expires_on_the_clock_of_the_simulator(
    session: aiohttp.ClientSession, kept: Kept
) -> None:
    async with Simulator(url_lifetime=0.03) as sim:
        sim._uploads.stored = kept.stored
        url = new(sim).url
        assert (await put(session, url))[0] == 200
        await asyncio.sleep(0.04)
        assert await refusal(session, url) == (403, "AccessDenied", "Request has expired")
        assert (await put(session, new(sim).url))[0] == 200
        for file in kept.files:
            file.close()


@pytest.mark.parametrize("lifetime", [-1, float("inf"), float("nan"), True])
def test_a_lifetime_that_makes_no_sense(lifetime: float) -> None:
    with pytest.raises(ValueError, match="url_lifetime"):
        Simulator(url_lifetime=lifetime)


async def test_a_refused_file_of_any_size_gets_its_response(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    data = bytes(8_000_000)
    assert (await refusal(session, new(sim).url, data=io.BytesIO(data), headers={}))[0] == 403
    sim.inject("PUT", "/rows.csv", Fault(503))
    assert (await put(session, new(sim).url, data=io.BytesIO(data)))[0] == 503


async def test_files_go_to_the_disk(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept
) -> None:
    data = bytes(6_000_000)
    sim._uploads.stored = lambda _, file: kept.files.append(file)
    await put(session, new(sim).url, data=io.BytesIO(data))
    with kept.files[0] as file:
        assert file._rolled
        assert file.read() == data


async def test_a_large_body_that_ends_early_leaves_no_file(
    sim: Simulator, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Any] = []
    real = tempfile.SpooledTemporaryFile

    def make(**options: Any) -> Any:
        files.append(real(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", make)
    target = new(sim).url.removeprefix(sim.storage_url)
    port = int(sim.storage_url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        "Content-Length: 9999999\r\n\r\n"
    )
    writer.write(head.encode() + bytes(5_000_000))
    await writer.drain()
    writer.close()
    while not (sim.requests and files[0].closed):
        await asyncio.sleep(0.002)
    assert kept.uploads == []


async def test_a_short_token_is_not_found_within_other_words(
    session: aiohttp.ClientSession, kept: Kept
) -> None:
    async with Simulator(token="c") as sim:
        sim._uploads.stored = kept.stored
        assert (await put(session, new(sim).url))[0] == 200
        kept.files[0].close()


async def test_a_compressed_body_is_stored_as_it_is(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept
) -> None:
    data = gzip.compress(CSV)
    await put(session, new(sim).url, data=data, headers=TYPED | {"Content-Encoding": "gzip"})
    assert kept.uploads[0][1] == data


async def test_a_body_that_ends_early_is_not_stored(sim: Simulator, kept: Kept) -> None:
    target = new(sim).url.removeprefix(sim.storage_url)
    port = int(sim.storage_url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 9\r\n\r\n"
    )
    writer.write(head.encode() + b"a,b\n")
    while not (sim.in_flight and sim.in_flight[0].body):
        await asyncio.sleep(0.002)
    assert sim.in_flight[0].body == OmittedBody(4)
    writer.close()
    while not sim.requests:
        await asyncio.sleep(0.002)
    assert (sim.requests[0].status, sim.requests[0].body) == (None, OmittedBody(4))
    assert kept.uploads == []


async def test_what_storing_raises_is_a_server_error_and_closes_the_file(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept
) -> None:
    def stored(_: Upload, file: BinaryIO) -> None:
        kept.files.append(file)
        raise ZeroDivisionError

    sim._uploads.stored = stored
    assert (await put(session, new(sim).url))[0] == 500
    assert kept.files[0].closed
    assert sim.requests[0].status == 500


# --- the log -----------------------------------------------------------------------------------


async def test_requests_of_both_ports_stand_in_the_log_without_secrets(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    upload, download = new(sim), sim._uploads.new_download(REPORT)
    await put(session, upload.url)
    await put(session, sim.url + "/elsewhere")
    await put(session, download.url, "GET", data=None)
    one, two, three = sim.requests
    assert (one.method, one.path, one.status) == ("PUT", f"/d1/{upload.id}/rows.csv", 200)
    assert (one.body, one.headers["content-type"]) == (OmittedBody(len(CSV)), KIND)
    assert (two.path, two.status) == ("/elsewhere", 401)
    assert (three.method, three.status, three.body) == ("GET", 200, None)
    told = repr([sim, *sim.requests, upload, download])
    told += repr([dict(seen.query) for seen in sim.requests])
    told += repr(list(sim._uploads.urls._by_path.values()))
    for secret in (upload, download):
        assert secret.url.rpartition("=")[2] not in told
    assert one.query["X-Amz-Expires"] == "3600"


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("applied", "stored"), [(False, 0), (True, 1)])
async def test_a_scripted_response(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept, *, applied: bool, stored: int
) -> None:
    body = "<Error><Code>SlowDown</Code></Error>"
    sim.inject("PUT", "/rows.csv", Fault(503, body=body, applied=applied))
    assert await put(session, new(sim).url) == (503, body)
    assert len(kept.uploads) == stored
    assert (await put(session, new(sim).url))[0] == 200


@pytest.mark.parametrize(("reset", "stored"), [("before", 0), ("after", 1)])
async def test_a_reset(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept, reset: Any, stored: int
) -> None:
    sim.inject("PUT", "/rows.csv", Fault(reset=reset, delay=0.01), times=None)
    with pytest.raises(aiohttp.ClientConnectionError):
        await put(session, new(sim).url)
    assert len(kept.uploads) >= stored
    assert bool(kept.uploads) is bool(stored)
    assert all(seen.status is None for seen in sim.requests)


@pytest.mark.parametrize("size", [0, 5, 400_000, 2_000_000])
async def test_a_request_is_cut(
    sim: Simulator, session: aiohttp.ClientSession, kept: Kept, size: int
) -> None:
    sim.inject("PUT", "/rows.csv", Fault(cut_request=size), times=None)
    with pytest.raises(aiohttp.ClientConnectionError):
        await put(session, new(sim).url, data=bytes(1_000_000))
    assert kept.uploads == []


async def test_a_request_to_the_service_is_cut_too(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    batch_id = sim.add_batch()
    url = f"{sim.url}/api/v1/data-collection/batches/{batch_id}/duplicate"
    headers = {"Authorization": f"Token {sim.token}"}
    sim.inject("POST", "/duplicate", Fault(cut_request=3))
    with pytest.raises(aiohttp.ClientConnectionError):
        await put(session, url, "POST", data=b'{"name": "Copy"}', headers=headers)
    assert len(sim.batches) == 1
    assert (await put(session, url, "POST", data=b'{"name": "Copy"}', headers=headers))[0] == 201


async def test_a_response_is_cut(sim: Simulator, session: aiohttp.ClientSession) -> None:
    url = sim._uploads.new_download(REPORT).url
    sim.inject("GET", "/report.csv", Fault(cut=4))
    async with session.get(url) as response:
        assert response.headers["Content-Length"] == "10"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    sim.inject("GET", "/report.csv", Fault(drip=0.001))
    async with session.get(url) as response:
        assert await response.read() == REPORT.content


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"cut_request": -1}, "cut_request must be bytes"),
        ({"cut_request": 1.5}, "cut_request must be bytes"),
        ({"cut_request": 1, "reset": "after"}, "cut_request is a reset"),
        ({"cut_request": 1, "status": 503}, "a reset sends no response"),
        ({"cut_request": 1, "cut": 1}, "a reset sends no response"),
    ],
)
def test_cuts_that_make_no_sense(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Fault(**arguments)


# --- downloads ---------------------------------------------------------------------------------


async def get(
    session: aiohttp.ClientSession, download: Download, **headers: str
) -> tuple[int, bytes, str | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.get(download.url, headers=named) as response:
        assert response.headers["ETag"] == REPORT.etag
        assert response.headers["Content-Type"] == "text/csv"
        return response.status, await response.read(), response.headers.get("Content-Range")


async def test_a_kept_file_and_its_ranges(sim: Simulator, session: aiohttp.ClientSession) -> None:
    file = sim._uploads.new_download(REPORT)
    whole = (200, b"0123456789", None)
    assert file.method == "GET"
    assert await get(session, file) == whole
    assert await get(session, file, Range="bytes=4-") == (206, b"456789", "bytes 4-9/10")
    assert await get(session, file, Range="bytes=4-5") == (206, b"45", "bytes 4-5/10")
    assert await get(session, file, Range="bytes=4-99") == (206, b"456789", "bytes 4-9/10")
    assert await get(session, file, Range="bytes=-3") == (206, b"789", "bytes 7-9/10")
    assert await get(session, file, Range="bytes=-30") == (206, b"0123456789", "bytes 0-9/10")
    assert await get(session, file, Range="bytes=1-2,4-5") == whole
    assert await get(session, file, Range="bytes=4-", If_Range='"other"') == whole
    assert (await get(session, file, Range="bytes=4-", If_Range=REPORT.etag))[0] == 206
    async with session.get(file.url, headers={"Range": "bytes=10-"}) as response:
        assert (response.status, response.headers["Content-Range"]) == (416, "bytes */10")
        assert "<Code>InvalidRange</Code>" in await response.text()


# --- starting and stopping ---------------------------------------------------------------------


def is_open(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port)), 1):
        return True
    return False


async def test_both_ports_start_and_stop_together() -> None:
    sim = Simulator()
    with pytest.raises(RuntimeError, match="no URL before"):
        _ = sim.storage_url
    await sim.start()
    assert is_open(sim.url)
    assert is_open(sim.storage_url)
    await asyncio.sleep(0.01)
    await sim.close()
    assert not is_open(sim.url)
    assert not is_open(sim.storage_url)


async def test_a_taken_storage_port_leaves_the_other_one_free(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sim = Simulator(port=port, storage_port=taken.getsockname()[1])
        with pytest.raises(OSError, match=r"in use|attempting to bind"):
            await sim.start()
    assert not is_open(f"http://127.0.0.1:{port}")


def test_it_serves_in_a_thread(kept: Kept) -> None:
    with Simulator() as sim:
        sim._uploads.stored = kept.stored
        url = new(sim).url
        host = sim.storage_url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=HANGS)
        connection.request("PUT", url.removeprefix(sim.storage_url), body=CSV, headers=TYPED)
        assert connection.getresponse().status == 200
        connection.close()
        assert kept.uploads[0][1] == CSV
    assert not is_open(sim.storage_url)
