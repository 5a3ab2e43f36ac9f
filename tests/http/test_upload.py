"""Uploads to presigned URLs: of the simulator's storage, and of faulty raw servers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, BinaryIO

import aiohttp
import attrs
import pytest
from yarl import URL

from prolific_async import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    PermissionDeniedError,
    ProlificError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
)
from prolific_async._http import presigned
from prolific_async._http.presigned import PresignedUrl
from prolific_async._http.transport import Transport
from prolific_async._http.transport_view import TransportView
from prolific_async._http.upload import upload
from prolific_async._sources.source import Source
from prolific_async.simulator import Fault, OmittedBody, Simulator
from prolific_async.simulator.storage import Upload
from tests.conftest import NOON
from tests.http.raw import TOKEN, plain, serving, transport
from tests.http.test_tls import AUTHORITY, serving_tls
from tests.uvloops import timers

PATH = "/api/v1/data-collection/datasets/d1/upload-url/rows.csv"
QUICK = RetryPolicy(initial=0.001, maximum=0.002)
ONCE = RetryPolicy(max_attempts=1)
TEXT = b"a,b\n" + b"1,2\n" * 40
SECRET = "5ca1ab1e" * 8
LONG = b"x,y\n" + b"longer,row\n" * 1_000_000  # more than the system buffers on both sides


@attrs.define
class Bytes:
    """A payload of bytes, which may raise in the middle."""

    content: bytes
    broken_at: int | None = None
    failure: Exception | None = None
    readings: int = 0
    pause: float = 0.0

    @property
    def size(self) -> int:
        return len(self.content)

    async def chunks(self) -> AsyncGenerator[bytes]:
        self.failure = None
        self.readings += 1
        for start in range(0, len(self.content), 512 * 1024):
            await asyncio.sleep(self.pause)
            if self.broken_at is not None and start >= self.broken_at:
                self.failure = ValueError("the file changed while it was read")
                raise self.failure
            yield self.content[start : start + 512 * 1024]


@attrs.define
class Storage:
    """The uploads that the simulator's storage has received."""

    sim: Simulator
    files: list[bytes] = attrs.Factory(list)

    def stored(self, _: Upload, file: BinaryIO) -> None:
        with file:
            self.files.append(file.read())

    def link(
        self, content_type: str = "text/csv", *, lifetime: float | None = None
    ) -> PresignedUrl:
        if lifetime is not None:
            self.sim._uploads.urls.lifetime = lifetime
        given = self.sim._uploads.new_url("d1", "rows.csv", content_type)
        expires = asyncio.get_running_loop().time() + self.sim._uploads.urls.lifetime
        return PresignedUrl(
            given.url, method=given.method, content_type=content_type, expires=expires
        )


@pytest.fixture
async def storage(sim: Simulator) -> Storage:
    kept = Storage(sim)
    sim._uploads.stored = kept.stored
    return kept


@contextlib.asynccontextmanager
async def sender(**settings: Any) -> AsyncIterator[Transport]:
    made = transport("http://127.0.0.1:1", **({"retry": QUICK} | settings))
    try:
        yield made
    finally:
        await made.close()


async def send(link: PresignedUrl, payload: Any = None, **options: Any) -> PresignedUrl:
    settings = {name: options.pop(name) for name in ("retry", "request_timeout") if name in options}
    async with sender(**settings) as made:
        return await upload(made, PATH, payload or Bytes(TEXT), link, **options)


async def failure(link: PresignedUrl, payload: Any = None, **options: Any) -> Any:
    with pytest.raises(ProlificError) as caught:
        await send(link, payload, **options)
    return caught.value


def never() -> Awaitable[PresignedUrl]:
    raise AssertionError("no other URL is needed")


def url(base: str) -> PresignedUrl:
    return PresignedUrl(f"{base}/rows.csv?X-Amz-Signature={SECRET}", content_type="text/csv")


# --- what is sent ------------------------------------------------------------------------------


async def test_a_source_goes_whole_with_its_length_and_type_and_no_credentials(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    link = storage.link("text/csv; charset=utf-8")
    async with Source([{"a": "1", "b": None}]) as source:
        payload = await source.payload(3)
        assert await send(link, payload, renew=never) is link
        assert storage.files == [b"".join([chunk async for chunk in payload.chunks()])]
    (seen,) = storage.sim.requests
    assert (seen.method, seen.status, seen.body) == ("PUT", 200, OmittedBody(payload.size))
    assert seen.headers["content-type"] == "text/csv; charset=utf-8"
    assert seen.headers["content-length"] == str(payload.size)
    assert "transfer-encoding" not in seen.headers


async def test_the_head_has_nothing_of_the_client() -> None:
    async with serving(plain(b"")) as (base, heads):
        await send(url(base))
    (head,) = heads
    lines = head.decode().split("\r\n")
    assert lines[0] == f"PUT /rows.csv?X-Amz-Signature={SECRET} HTTP/1.1"
    names = {line.partition(":")[0].lower() for line in lines[1:] if line}
    assert names == {
        "host", "accept", "accept-encoding", "user-agent", "content-type", "content-length"
    }  # fmt: skip
    assert TOKEN not in head.decode()
    assert "prolific" not in head.decode().lower()


async def test_the_url_is_sent_as_it_was_signed() -> None:
    target = "/b%2Fc/r%20o+w%41s.csv?sig=a%2Bb+c%2F%3D&X=%e4"
    async with serving(plain(b"")) as (base, heads):
        await send(PresignedUrl(base + target, method="POST"))
    assert heads[0].startswith(f"POST {target} HTTP/1.1\r\n".encode())


async def test_a_borrowed_session_and_trace_configs_see_nothing(storage: Storage) -> None:
    called: list[str] = []

    async def note(*_: Any) -> None:
        called.append("traced")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    async with (
        aiohttp.ClientSession(headers={"X-Mine": "1"}, trace_configs=[trace]) as session,
        sender(session=session) as made,
    ):
        await upload(made, PATH, Bytes(TEXT), storage.link())
    async with sender(trace_configs=[trace]) as made:
        await upload(made, PATH, Bytes(TEXT), storage.link())
    assert called == []
    assert all("x-mine" not in seen.headers for seen in storage.sim.requests)


async def test_it_takes_no_connection_slot_and_no_share_of_the_rate(storage: Storage) -> None:
    async with sender(max_connections=1, max_requests_per_second=0.01) as made:
        session = await made.session_here()
        await session.rate_limiter.start(poll=False)  # the only slot, and all of the rate
        before = session.loop.time()
        links = [storage.link() for _ in range(8)]
        await asyncio.gather(*(upload(made, PATH, Bytes(TEXT), link) for link in links))
        assert session.loop.time() - before < 1
        session.rate_limiter.finish()
    assert storage.files == [TEXT] * 8


async def test_progress_counts_the_bytes_and_begins_anew_with_each_attempt(
    storage: Storage,
) -> None:
    content = bytes(1_200_000)
    storage.sim.inject("PUT", "/rows.csv", Fault(503))
    told: list[int] = []
    await send(storage.link(), Bytes(content), on_progress=told.append)
    assert told == [524_288, 1_048_576, 1_200_000] * 2


@pytest.mark.parametrize("raised", [ZeroDivisionError, asyncio.CancelledError])
async def test_what_on_progress_raises_is_logged(
    storage: Storage, raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: int) -> None:
        raise raised

    await send(storage.link(), on_progress=broken)
    assert storage.files == [TEXT]
    assert [record.getMessage() for record in caplog.records] == ["on_progress raised"]


# --- what is sent again ------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(0, len(TEXT), 10))
async def test_a_body_that_is_cut_is_sent_again(storage: Storage, size: int) -> None:
    storage.sim.inject("PUT", "/rows.csv", Fault(cut_request=size))
    await send(storage.link())
    assert storage.files == [TEXT]
    assert [seen.status for seen in storage.sim.requests] == [None, 200]


ANSWER = plain(b"<Error><Code>InternalError</Code></Error>", status="500 Internal Server Error")


@pytest.mark.parametrize("size", range(0, len(ANSWER), 10))
async def test_after_an_answer_that_is_cut_it_is_sent_again(size: int) -> None:
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(len(TEXT)))
        writer.write(plain(b"") if len(bodies) > 1 else ANSWER[:size])

    async with serving(answer) as (base, _):
        await send(url(base))
    assert bodies == [TEXT, TEXT]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset="before"),
        Fault(reset="after"),
        Fault(500),
        Fault(503, headers={"Retry-After": "0"}),
        Fault(429),
        Fault(400, body="<Error><Code>RequestTimeout</Code></Error>"),
        Fault(body=b"", headers={}, delay=0.1),
    ],
    ids=str,
)
async def test_a_passing_failure_is_tried_again(storage: Storage, fault: Fault) -> None:
    storage.sim.inject("PUT", "/rows.csv", fault, times=3)
    await send(storage.link(), request_timeout=0.05, renew=never)
    assert storage.files[-1] == TEXT
    assert len(storage.sim.requests) == 4


async def test_it_gives_up_after_the_attempts_of_the_policy(storage: Storage) -> None:
    storage.sim.inject("PUT", "/rows.csv", Fault(503, body="<html>busy</html>"), times=None)
    error = await failure(storage.link())
    assert isinstance(error, ServerError)
    assert (error.attempts, error.method, error.path) == (4, "PUT", PATH)
    assert error.body == "<html>busy</html>"
    assert len(storage.sim.requests) == 4
    assert "look at the dataset before you upload it again" in str(error)


async def test_aiohttp_repeats_nothing_by_itself(storage: Storage) -> None:
    storage.sim.inject("PUT", "/rows.csv", Fault(reset="before"), times=None)
    error = await failure(storage.link(), retry=ONCE)
    assert isinstance(error, ConnectionLostError)
    assert len(storage.sim.requests) == 1
    assert (error.method, error.path) == ("PUT", PATH)


async def test_a_connection_that_is_never_made(port: int) -> None:
    error = await failure(url(f"http://127.0.0.1:{port}"))
    assert isinstance(error, ConnectError)
    assert error.attempts == 4
    assert isinstance(error.__cause__, OSError)


async def test_a_storage_that_does_not_prove_who_it_is_gets_nothing() -> None:
    async with serving_tls(AUTHORITY.issue_cert("127.0.0.1")) as (base, received):
        error = await failure(url(base), retry=ONCE)
    assert isinstance(error, ConnectError)
    assert "certificate verify failed" in error.reason
    assert received == []
    assert SECRET not in shown(error)


async def test_a_post_is_not_sent_again(storage: Storage) -> None:
    async with serving(plain(b"", status="503 Busy")) as (base, heads):
        await failure(PresignedUrl(base, method="POST"))
    assert len(heads) == 1


async def test_what_is_not_http_is_tried_again() -> None:
    async with serving(b"no HTTP\r\n\r\n") as (base, heads):
        error = await failure(url(base))
    assert isinstance(error, DecodeError)
    assert len(heads) == 4


# --- what is refused ---------------------------------------------------------------------------


async def test_a_refusal_is_raised_at_once(storage: Storage) -> None:
    link = storage.link()
    link.content_type = "text/plain"
    error = await failure(link, renew=never)
    assert isinstance(error, PermissionDeniedError)
    assert (error.method, error.path) == ("PUT", PATH)
    assert error.error_code == "SignatureDoesNotMatch"
    assert error.detail.startswith("The request signature we calculated")
    assert error.request_id == error.headers["x-amz-request-id"]
    assert "upload it again" in str(error)
    assert storage.files == []
    assert len(storage.sim.requests) == 1


async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_kept() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(TEXT))
        if len(heads) > 1:
            writer.write(plain(b"", status="403 No"))

    async with serving(answer) as (base, heads):
        error = await failure(url(base))
    assert (error.status, error.attempts) == (403, 2)
    assert "an attempt before may have stored it, so look at the dataset before" in str(error)
    assert "kept nothing" not in str(error)


async def test_a_redirect_is_not_followed_and_not_shown() -> None:
    async with serving(plain(b"")) as (other, followed):
        location = f"Location: {other}/?X-Amz-Signature={SECRET}"
        async with serving(plain(b"", location, status="307 Elsewhere")) as (base, _):
            error = await failure(url(base))
    assert error.status == 307
    assert followed == []
    assert SECRET not in str(vars(error))


async def test_a_refusal_that_comes_early_ends_the_upload() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"<Error><Code>AccessDenied</Code></Error>", status="403 No"))
        await writer.drain()
        await asyncio.sleep(0.2)

    async with serving(answer) as (base, heads):
        error = await failure(url(base), Bytes(LONG), request_timeout=5)
    assert (error.status, error.error_code) == (403, "AccessDenied")
    assert len(heads) == 1


async def test_an_html_page_with_200_is_a_decode_error_unless_it_is_empty() -> None:
    page = plain(b"<h1>Welcome</h1>", "Content-Type: text/html; charset=utf-8")
    async with serving(page) as (base, heads):
        error = await failure(url(base))
    assert isinstance(error, DecodeError)
    assert "HTML, where the storage says" in str(error)
    assert len(heads) == 4
    async with serving(plain(b"", "Content-Type: text/html; charset=UTF-8")) as (base, heads):
        await send(url(base))
    assert len(heads) == 1


def early(status: str) -> Callable[..., Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(plain(b"<Error><Code>Full</Code></Error>", status=status))
        await writer.drain()
        await asyncio.sleep(0.2)

    return answer


async def test_a_success_before_the_whole_file_was_sent_is_a_lost_connection() -> None:
    async with serving(early("200 OK")) as (base, heads):
        error = await failure(url(base), Bytes(LONG))
    assert isinstance(error, ConnectionLostError)
    assert error.reason == "it was answered with 200 before the whole file was sent"
    assert len(heads) == 4


@pytest.mark.parametrize("status", ["200 OK", "403 No", "503 Busy"])
@pytest.mark.parametrize("content", [LONG, bytes(1_200_000)], ids=["connection", "source"])
async def test_an_early_answer_leaves_nothing_that_runs(status: str, content: bytes) -> None:
    before = asyncio.all_tasks()
    async with serving(early(status)) as (base, _), sender(retry=ONCE) as made:
        with pytest.raises(ProlificError):
            await upload(made, PATH, Bytes(content, pause=0.02), url(base))
        mine = asyncio.all_tasks() - before
        assert [one for one in mine if "write_bytes" in repr(one)] == []
        assert "prolific_async._http.upload_stall" not in timers()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a URL is needed"),
        ("rows.csv", "a URL is needed"),
        ("https:///rows.csv", "a URL is needed"),
        ("https://[::1/rows.csv", "a URL is needed"),
        ("https://storage.example/a b", "a URL is needed"),
        ("https://storage.example/a\r\nX: y", "a URL is needed"),
        ("http://storage.example/rows.csv", "https:// is needed"),
        ("ftp://127.0.0.1/rows.csv", "https:// is needed"),
        ("https://me:pass@storage.example/rows.csv", "user and password"),
    ],
)
async def test_an_address_that_must_not_be_used(text: str, said: str) -> None:
    error = await failure(PresignedUrl(text), renew=never)
    assert isinstance(error, DecodeError)
    assert (error.method, error.path) == ("GET", PATH)
    assert said in str(error)
    assert "storage.example" not in str(error)


def test_http_is_for_loopback_and_a_service_on_loopback_only() -> None:
    local = URL("http://localhost:1")
    link = PresignedUrl("http://127.0.0.1:5/x")
    assert link.problem(local) is None
    assert link.problem(URL("https://api.prolific.com")) is not None
    assert PresignedUrl("https://s3.example/x").problem(local) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "GET"}, "$.http_method"),
        ({"method": "PUT /x HTTP/1.1\r\n"}, "$.http_method"),
        ({"content_type": "a\r\nX: y"}, "$.content_type"),
        ({"content_type": ""}, "$.content_type"),
    ],
)
def test_a_method_or_type_that_must_not_be_sent(options: Any, said: str) -> None:
    problem = PresignedUrl("https://s3.example/x", **options).problem(URL("https://a.example"))
    assert problem is not None
    assert said in problem


# --- what expires ------------------------------------------------------------------------------


def renewing(storage: Storage, **options: Any) -> tuple[Callable[[], Any], list[PresignedUrl]]:
    given: list[PresignedUrl] = []

    async def renew() -> PresignedUrl:
        given.append(storage.link(**options))
        return given[-1]

    return renew, given


async def test_an_expired_url_is_not_used(storage: Storage) -> None:
    link = storage.link(lifetime=0.0)
    renew, given = renewing(storage, lifetime=60.0)
    assert await send(link, renew=renew) is given[0]
    assert len(given) == 1
    assert [seen.status for seen in storage.sim.requests] == [200]


async def test_a_url_that_expires_between_attempts_is_replaced(storage: Storage) -> None:
    link = storage.link(lifetime=0.02)
    storage.sim.inject("PUT", "/rows.csv", Fault(cut_request=50, delay=0.03))
    renew, given = renewing(storage, lifetime=60.0)
    assert await send(link, renew=renew) is given[0]
    first, second = storage.sim.requests
    assert first.path != second.path
    assert storage.files == [TEXT]


async def test_a_refusal_because_of_expiry_gets_one_new_url(storage: Storage) -> None:
    link = storage.link(lifetime=0.0)
    link.expires = None  # as if the service had not said
    renew, given = renewing(storage, lifetime=60.0)
    assert await send(link, renew=renew, retry=ONCE) is given[0]
    assert [seen.status for seen in storage.sim.requests] == [403, 200]


async def test_there_is_no_third_url(storage: Storage) -> None:
    renew, given = renewing(storage, lifetime=0.0)
    error = await failure(storage.link(lifetime=0.0), renew=renew)
    assert isinstance(error, PermissionDeniedError)
    assert (error.error_code, error.detail) == ("AccessDenied", "Request has expired")
    assert len(given) == 1
    assert len(storage.sim.requests) == 1


async def test_an_expired_url_that_cannot_be_renewed_is_still_tried(storage: Storage) -> None:
    error = await failure(storage.link(lifetime=0.0))
    assert error.detail == "Request has expired"


async def test_what_renewing_raises_is_raised(storage: Storage) -> None:
    async def renew() -> PresignedUrl:
        raise ConnectError("GET", PATH, "no route")

    error = await failure(storage.link(lifetime=0.0), renew=renew)
    assert isinstance(error, ConnectError)
    assert error.method == "GET"
    assert storage.sim.requests == ()


async def test_a_url_that_may_not_be_used_is_refused_when_it_is_new(storage: Storage) -> None:
    async def renew() -> PresignedUrl:
        return PresignedUrl("http://storage.example/")

    assert isinstance(await failure(storage.link(lifetime=0.0), renew=renew), DecodeError)


def test_expiry_is_measured_by_the_services_clock() -> None:
    headers = {"Date": "Mon, 04 May 2026 12:00:00 GMT"}
    assert presigned.expiry(NOON + timedelta(hours=1), headers, 100.0) == 3700.0
    assert presigned.expiry(None, headers, 100.0) is None
    assert presigned.expiry(NOON, {}, 100.0) is not None


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("rows.csv", "text/csv"),
        ("ROWS.CSV", "text/csv"),
        ("rows.jsonl", "application/x-ndjson"),
        ("all.zip", "application/zip"),
        ("rows", "application/octet-stream"),
    ],
)
def test_the_ending_tells_the_type_where_the_service_does_not(filename: str, kind: str) -> None:
    assert presigned.content_type_of(filename) == kind


# --- what takes long ---------------------------------------------------------------------------


async def test_a_slow_upload_may_take_any_time() -> None:
    loop = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = len(LONG)
        while left:
            left -= len(await reader.read(256 * 1024))
            await asyncio.sleep(0.005)
        writer.write(plain(b""))

    async with serving(answer) as (base, heads):
        began = loop.time()
        await send(url(base), Bytes(LONG), request_timeout=0.08)
        assert loop.time() - began > 0.16
    assert len(heads) == 1


async def test_a_source_may_take_any_time(storage: Storage) -> None:
    await send(storage.link(), Bytes(bytes(2_000_000), pause=0.04), request_timeout=0.02)
    assert [len(file) for file in storage.files] == [2_000_000]
    assert len(storage.sim.requests) == 1


@pytest.mark.parametrize(
    "fault", [Fault(cut_request=70_000, delay=60.0), Fault(delay=60.0)], ids=["body", "answer"]
)
async def test_a_stalled_upload_is_given_up(storage: Storage, fault: Fault) -> None:
    storage.sim.inject("PUT", "/rows.csv", fault, times=None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    content = LONG if fault.cut_request else TEXT
    error = await failure(storage.link(), Bytes(content), request_timeout=0.2, retry=ONCE)
    assert isinstance(error, RequestTimeoutError)
    assert error.reason == "no byte moved for 0.2 s"
    assert 0.19 < loop.time() - began < 5


async def test_a_refusal_that_trickles_is_given_up() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(TEXT))
        writer.write(plain(b"", status="403 No", length=100_000))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(answer) as (base, _):
        error = await failure(url(base), request_timeout=0.1, retry=ONCE)
    assert isinstance(error, RequestTimeoutError)


async def test_closing_the_client_ends_it(storage: Storage) -> None:
    storage.sim.inject("PUT", "/rows.csv", Fault(delay=60.0), times=None)
    async with sender() as made:
        task = asyncio.create_task(upload(made, PATH, Bytes(TEXT), storage.link()))
        while not storage.sim.in_flight:
            await asyncio.sleep(0.005)
        await made.close()
        with pytest.raises(ConfigurationError, match="closed"):
            await task


async def test_it_ends_with_the_client_of_a_view(storage: Storage) -> None:
    storage.sim.inject("PUT", "/rows.csv", Fault(delay=60.0), times=None)
    async with sender() as made:
        view = TransportView(made, 5.0, ONCE)
        task = asyncio.create_task(upload(view, PATH, Bytes(TEXT), storage.link()))
        while not storage.sim.in_flight:
            await asyncio.sleep(0.005)
        await made.close()
        with pytest.raises(ConnectionLostError, match="closed"):
            await task


async def test_a_closed_client_sends_nothing(storage: Storage) -> None:
    async with sender() as made:
        await made.close()
        with pytest.raises(ConfigurationError):
            await upload(made, PATH, Bytes(TEXT), storage.link())


@pytest.mark.parametrize("steps", range(0, 40, 2))
async def test_cancellation_leaves_nothing_behind(storage: Storage, steps: int) -> None:
    before = asyncio.all_tasks()
    storage.sim.inject("PUT", "/rows.csv", Fault(cut_request=9_000_000, delay=60.0), times=None)
    async with sender() as made:
        task = asyncio.create_task(upload(made, PATH, Bytes(LONG), storage.link()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        mine = asyncio.all_tasks() - before
        assert [one for one in mine if "write_bytes" in repr(one) and not one.done()] == []
        session = await made.session_here()
        assert session.transfers == set()
    assert storage.files == []


# --- the source --------------------------------------------------------------------------------


async def test_what_the_source_raises_is_raised_and_the_file_is_never_whole(
    storage: Storage,
) -> None:
    payload = Bytes(bytes(1_200_000), broken_at=1_000_000)
    with pytest.raises(ValueError, match="changed while it was read") as caught:
        await send(storage.link(), payload)
    assert caught.value is payload.failure
    assert payload.readings == 1
    assert storage.files == []


async def test_a_file_that_changes_between_attempts(storage: Storage, tmp_path: Any) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT)
    storage.sim.inject("PUT", "/rows.csv", Fault(reset="before"))

    async with Source(path) as source:
        payload = await source.payload(3)

        def change(_: int) -> None:
            path.write_bytes(TEXT + b"3,4\n")

        with pytest.raises(ValueError, match="changed while it was read"):
            await send(storage.link(), payload, on_progress=change)
    assert storage.files == []


# --- the secret --------------------------------------------------------------------------------


def shown(error: BaseException) -> str:
    """Return everything that a logger that prints local variables shows of an error."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format()) + repr(error) + repr(vars(error))


ECHO = plain(
    f"<Error><Code>SignatureDoesNotMatch</Code><Message>no {SECRET}</Message>"
    f"<SignatureProvided>{SECRET}</SignatureProvided></Error>".encode(),
    f"X-Echo: {SECRET}",
    status="403 No",
)


@pytest.mark.parametrize(
    "answer",
    [
        ECHO,
        plain(f"<html>/rows.csv?X-Amz-Signature={SECRET}</html>".encode(), status="502 Bad"),
        f"HTTP/1.1 {SECRET}\r\n\r\n".encode(),
        f"HTTP/1.1 307 Elsewhere\r\nLocation: /rows.csv?X-Amz-Signature={SECRET}\r\n".encode(),
        b"",
        None,
    ],
    ids=["refused", "gateway", "malformed", "cut in its head", "lost", "stalled"],
)
async def test_the_link_is_in_no_error_and_no_log(
    answer: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def stall(*_: Any) -> None:
        await asyncio.sleep(0.5)

    async with serving(stall if answer is None else answer) as (base, _):
        error = await failure(url(base), request_timeout=0.1, retry=ONCE)
    text = shown(error)
    assert SECRET not in text
    assert SECRET not in caplog.text
    assert error.path == PATH
    assert SECRET.encode() not in pickle.dumps(error)


async def test_the_link_is_in_no_error_of_a_connection_that_breaks_while_sending() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(hang_up) as (base, _):
        error = await failure(url(base), Bytes(LONG), retry=ONCE)
    assert isinstance(error, ConnectionLostError)
    assert SECRET not in shown(error)


async def test_the_link_is_in_no_cancellation(storage: Storage) -> None:
    storage.sim.inject("PUT", "/rows.csv", Fault(delay=60.0))
    link = storage.link()
    async with sender() as made:
        task = asyncio.create_task(upload(made, PATH, Bytes(TEXT), link))
        while not storage.sim.in_flight:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    text = shown(caught.value)
    assert link.reveal().query["X-Amz-Signature"] not in text


@pytest.mark.parametrize("cut", [*range(8, 90, 9), 200])
@pytest.mark.parametrize("length", [None, 99_999_999], ids=["at the end", "in a long answer"])
async def test_a_link_that_is_cut_is_in_no_error(cut: int, length: int | None) -> None:
    text = f"X-Amz-Signature={SECRET}"[:cut] if cut < 200 else SECRET
    if length is None:  # the answer ends with the connection
        answer = b"HTTP/1.1 403 No\r\n\r\n" + text.encode()
    else:
        echo = f"{'x' * (64 * 1024 - len(text))}{text}{SECRET}".encode()
        answer = plain(echo, status="403 No", length=length)
    async with serving(answer) as (base, _):
        error = await failure(url(base), retry=ONCE)
    assert error.status == 403
    shown = f"{error.body} {error}"
    assert SECRET[:8] not in shown
    assert text not in shown


async def test_a_link_in_a_header_is_hidden() -> None:
    async with serving(plain(b"", f"Server: {SECRET}", status="403 No")) as (base, _):
        error = await failure(url(base))
    assert error.headers["server"] == "[link]"


def test_a_link_hides_itself() -> None:
    link = url("https://s3.example")
    assert SECRET not in repr(link)
    assert link.hide(f"{SECRET} and {link.reveal()}") == "[link] and [link]"
    quoted = PresignedUrl("https://s3.example/x?Key=AKIA%2F20260504%2Feu%2Fs3%2Faws4")
    assert quoted.hide("for AKIA/20260504/eu/s3/aws4") == "for [link]"
    assert quoted.hide("for AKIA%2f20260504%2feu%2fs3%2faws4") == "for [link]"
    with pytest.raises(TypeError):
        pickle.dumps(link)
