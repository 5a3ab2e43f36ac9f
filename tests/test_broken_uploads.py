"""Uploads whose connections break at every tenth byte: the file is stored whole, or an error says.

One server is the API and the storage. What it has stored is what came whole, by its address.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import pytest
from attrs import define, field

from prolific_async import (
    ConnectionLostError,
    DatasetSchema,
    PermissionDeniedError,
    ProlificClient,
    ProlificError,
    RequestTimeoutError,
    RetryPolicy,
)
from prolific_async._sources import contents, payload
from tests import samples
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.http.raw import plain
from tests.scripted import DATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterator
    from pathlib import Path

PAST, LATER = "2026-03-04T05:06:06Z", "2026-03-04T06:06:07Z"  # a second before DATE, and later
ONCE = RetryPolicy(max_attempts=1)
STEP = 10  # bytes from one break to the next
CSV = b'"a","b"\r\n' + b"".join(b'"%d","x, \xc3\xa9"\r\n' % number for number in range(12))
JSON_LINES = b"".join(b'{"a":%d,"b":"x, \xc3\xa9"}\n' % number for number in range(12))
ROWS = [{"a": number, "b": "x, é"} for number in range(12)]
DATASETS = {
    3: samples.dataset("UNINITIALISED").to_dict(),
    4: samples.dataset(
        None, schema_version=4, schema=DatasetSchema.of(a="text", b="text").to_dict(), imports=[]
    ).to_dict(),
}
STORED = plain(b"", 'ETag: "5ca1ab1e"')
EXPIRED = plain(
    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
    status="403 Forbidden",
)
Side = Literal["request", "answer"]


@define
class Break:
    """Where the connection of one request breaks, and how.

    Attributes:
        at: How many bytes of its body, or of the answer, get through.
        side: Which of them breaks; the answer's storage has the file.
        answer: The answer, of which all is sent unless it breaks.
        stall: Whether nothing more comes instead of the connection's end.

    """

    at: int | None = None
    side: Side = "request"
    answer: bytes = STORED
    stall: bool = False


@define
class Service:
    """The API and the storage.

    Attributes:
        generation: That of its dataset.
        breaks: What the next requests to the storage meet.
        api_breaks: What the next requests to the API meet.
        expired: Numbers of the links that are too old when they come.
        stored: Whole files by their address.
        puts: The requests to the storage: address and what came of the body.
        links: How many links were given.

    """

    generation: int
    breaks: list[Break] = field(factory=list)
    api_breaks: list[Break] = field(factory=list)
    expired: Container[int] = ()
    stored: dict[str, bytes] = field(factory=dict)
    puts: list[tuple[str, bytes]] = field(factory=list)
    links: int = 0
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        if method == "PUT":
            assert "authorization" not in head.lower()
            length = re.search(r"(?i)content-length: *(\d+)", head)
            assert length is not None
            met = self.breaks.pop(0) if self.breaks else Break()
            cut = met.at if met.side == "request" else None
            body = await reader.readexactly(int(length[1]) if cut is None else cut)
            self.puts.append((target, body))
            if cut is None and met.answer.startswith(b"HTTP/1.1 200"):
                self.stored[target] = body
            answer = met.answer
        else:
            met = self.api_breaks.pop(0) if self.api_breaks else Break()
            body = json.dumps(self._data(target)).encode()
            answer = plain(body, f"Date: {DATE}")
        if met.at is not None and met.side == "answer":
            answer = answer[: met.at]
        if met.at is None or met.side == "answer":
            writer.write(answer)
            await writer.drain()
        if met.stall:
            await reader.read()
        elif met.side == "answer" or met.at is None:
            writer.close()
            await writer.wait_closed()

    def _data(self, target: str) -> dict[str, Any]:
        if "/upload-url/" not in target:
            return DATASETS[self.generation]
        self.links += 1
        link = {
            "upload_url": f"{self.url}/storage/{self.links}",
            "expires_at": PAST if self.links in self.expired else LATER,
        }
        return link | ({"import_id": f"i-{self.links}"} if self.generation == 4 else {})


@asynccontextmanager
async def serving(
    generation: int, *, retry: RetryPolicy = QUICK_RETRY, request_timeout: float = 2.0
) -> AsyncIterator[tuple[ProlificClient, Service]]:
    service = Service(generation)
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = ProlificClient(
        "token",
        base_url=service.url,
        retry=retry,
        poll=QUICK_POLL,
        request_timeout=request_timeout,
    )
    try:
        async with client:
            yield client, service
    finally:
        server.close()


def path(file: Path) -> Path:
    return file


def in_memory(file: Path) -> bytes:
    return file.read_bytes()


def rows(file: Path) -> Iterator[dict[str, Any]]:
    yield from ROWS


async def slow_rows(file: Path) -> AsyncIterator[dict[str, Any]]:
    for row in ROWS:
        await asyncio.sleep(0)
        yield row


async def stream(file: Path) -> AsyncIterator[bytes]:
    for start in range(0, len(CSV), 30):
        await asyncio.sleep(0)
        yield CSV[start : start + 30]


def open_file(file: Path) -> io.BytesIO:
    return io.BytesIO(file.read_bytes())


SOURCES: list[Callable[[Path], Any]] = [path, in_memory, rows, slow_rows, stream, open_file]
QUICK = (path, rows, stream)  # the others are read by the same code
BY_NAME = pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            one, marks=() if one in QUICK else pytest.mark.slow, id=getattr(one, "__name__", "")
        )
        for one in SOURCES
    ],
)
EACH = pytest.mark.parametrize("generation", [3, 4])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file, whose spooled copies go through a temporary one."""
    monkeypatch.setattr(contents, "PIECE", 64)
    made = tmp_path / "rows.csv"
    made.write_bytes(CSV)
    return made


def whole(generation: int, source: Callable[[Path], Any]) -> bytes:
    return JSON_LINES if generation == 4 and source in (rows, slow_rows) else CSV


async def uploaded(
    client: ProlificClient, source: Callable[[Path], Any], file: Path
) -> str | ProlificError:
    named: dict[str, Any] = (
        {"filename": "rows.csv"} if source in (in_memory, stream, open_file) else {}
    )
    try:
        return (await client.datasets.upload("d1", source(file), **named)).id
    except ProlificError as error:
        return error


def breaks(side: Side, size: int, **more: Any) -> list[Break]:
    return [Break(at, side, **more) for at in (*range(0, size, STEP), size - 1)]


@EACH
@BY_NAME
@pytest.mark.parametrize("side", ["request", "answer"])
async def test_broken_at_every_tenth_byte_it_is_sent_again(
    side: Side, source: Callable[[Path], Any], generation: int, file: Path
) -> None:
    data = whole(generation, source)
    async with serving(generation) as (client, service):
        for met in breaks(side, len(data if side == "request" else STORED)):
            service.breaks, service.puts, service.stored = [met], [], {}
            found = await uploaded(client, source, file)
            target = f"/storage/{service.links}"
            assert found == (f"i-{service.links}" if generation == 4 else "d1")
            assert service.stored == {target: data}
            came = data if side == "answer" else data[: met.at]
            assert service.puts == [(target, came), (target, data)]


@EACH
@BY_NAME
@pytest.mark.parametrize("side", ["request", "answer"])
async def test_broken_at_every_tenth_byte_and_sent_once_it_is_an_error(
    side: Side, source: Callable[[Path], Any], generation: int, file: Path
) -> None:
    data = whole(generation, source)
    async with serving(generation, retry=ONCE) as (client, service):
        for met in breaks(side, len(data if side == "request" else STORED)):
            service.breaks, service.stored = [met], {}
            error = await uploaded(client, source, file)
            assert isinstance(error, ConnectionLostError)
            assert error.path.endswith(("/upload-url/rows.csv", "/upload-url/rows.jsonl"))
            assert service.stored == (
                {} if side == "request" else {f"/storage/{service.links}": data}
            )


@pytest.mark.parametrize("side", ["request", "answer"])
async def test_silent_from_a_byte_on_it_is_sent_again(side: Side, file: Path) -> None:
    async with serving(4, request_timeout=0.05) as (client, service):
        for at in (0, 50, len(CSV if side == "request" else STORED) - 1):
            service.breaks, service.puts = [Break(at, side, stall=True)], []
            assert await uploaded(client, path, file) == f"i-{service.links}"
            assert service.puts[-1] == (f"/storage/{service.links}", CSV)
            assert len(service.puts) == 2


async def test_silent_each_time_it_is_an_error(file: Path) -> None:
    async with serving(4, request_timeout=0.03) as (client, service):
        service.breaks = [Break(50, "answer", stall=True)] * 4
        error = await uploaded(client, path, file)
    assert isinstance(error, RequestTimeoutError)
    assert (error.attempts, len(service.puts)) == (4, 4)


@EACH
async def test_an_api_that_breaks_at_every_tenth_byte_is_asked_again(
    generation: int, file: Path
) -> None:
    async with serving(generation) as (client, service):
        for at in range(0, 300, STEP):
            service.api_breaks = [Break(at, "answer"), Break(), Break(at, "answer")]
            service.puts, service.stored = [], {}
            assert not isinstance(await uploaded(client, rows, file), ProlificError)
            assert list(service.stored) == [f"/storage/{service.links}"]
            assert len(service.puts) == 1


@BY_NAME
@pytest.mark.parametrize(
    ("expired", "met"),
    [([1], None), ([], Break(answer=EXPIRED))],
    ids=["by its time", "by a refusal"],
)
async def test_an_expired_link_makes_one_new_import(
    expired: list[int], met: Break | None, source: Callable[[Path], Any], file: Path
) -> None:
    async with serving(4) as (client, service):
        service.expired = expired
        service.breaks = [met] if met else []
        assert await uploaded(client, source, file) == "i-2"
    assert service.stored == {"/storage/2": whole(4, source)}
    assert service.links == 2


@BY_NAME
async def test_a_link_that_is_refused_as_expired_after_a_break_is_renewed(
    source: Callable[[Path], Any], file: Path
) -> None:
    async with serving(4) as (client, service):
        service.breaks = [Break(100), Break(answer=EXPIRED), Break(3, "answer")]
        assert await uploaded(client, source, file) == "i-2"
    assert service.stored == {"/storage/2": whole(4, source)}
    assert [target for target, _ in service.puts] == ["/storage/1"] * 2 + ["/storage/2"] * 2


async def test_there_is_one_new_link_only(file: Path) -> None:
    async with serving(4) as (client, service):
        service.breaks = [Break(answer=EXPIRED)] * 2
        error = await uploaded(client, path, file)
    assert isinstance(error, PermissionDeniedError)
    assert error.detail == "Request has expired"
    assert (service.links, service.stored) == (2, {})


@BY_NAME
@pytest.mark.parametrize("status", ["307 Elsewhere", "413 Large", "404 None", "411 Length"])
async def test_a_refusal_ends_it_at_once(
    status: str, source: Callable[[Path], Any], file: Path
) -> None:
    async with serving(3) as (client, service):
        away = f"Location: {service.url}/storage/9"
        service.breaks = [Break(answer=plain(b"", away, status=status))]
        error = await uploaded(client, source, file)
    assert isinstance(error, ProlificError)
    assert f"answered with {status[:3]}" in str(error)
    assert len(service.puts) == 1
    assert service.stored == {}


def appended(file: Path) -> None:
    with file.open("ab") as writing:
        writing.write(b'"13","y"\r\n')


def truncated(file: Path) -> None:
    os.truncate(file, len(CSV) // 2)


def touched(file: Path) -> None:
    os.utime(file, ns=(1, 1))


def replaced(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_bytes(CSV)
    other.replace(file)


def removed(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [appended, truncated, touched, replaced, removed])
@pytest.mark.parametrize("met", [[], [Break(100)]], ids=["while it is sent", "between attempts"])
async def test_a_file_that_changes_is_never_stored(
    change: Callable[[Path], None],
    met: list[Break],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not met:
        monkeypatch.setattr(payload, "PIECE", 64)
    told: list[object] = []

    def one_came(progress: object) -> None:
        told.append(progress)
        if len(told) == 1:
            change(file)

    async with serving(3) as (client, service):
        service.breaks = list(met)
        with pytest.raises(ValueError, match=r"rows\.csv' changed while it was read"):
            await client.datasets.upload("d1", file, on_progress=one_came)
    assert service.stored == {}
    assert len(told) <= len(CSV) // 64
