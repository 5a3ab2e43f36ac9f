"""Files that are read from presigned URLs, over connections that break."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import logging
import pickle
import traceback
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    APIStatusError,
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
from prolific_async._http.download import Download, Piece
from prolific_async._http.presigned import PresignedUrl
from tests.file_server import SECRET, WEAK, FileServer, file_server
from tests.http.raw import TOKEN, plain, transport
from tests.virtual_time import LoopbackLoop, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async._http.transport import Transport

PATH = "/api/v1/data-collection/batches/b1/export/e1"
QUICK = RetryPolicy(initial=0.0001, maximum=0.0002)
TEXT = bytes(range(200))
LONG = b"0123456789abcdef" * 200_000
EXPIRED = plain(
    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
    status="403 Forbidden",
)


@asynccontextmanager
async def sender(**settings: Any) -> AsyncIterator[Transport]:
    made = transport("http://127.0.0.1:1", **({"retry": QUICK} | settings))
    try:
        yield made
    finally:
        await made.close()


class File:
    """Puts the pieces together, as a reader does."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.begun = self.most = 0
        self.totals: list[int | None] = []

    def add(self, piece: Piece) -> None:
        assert piece.start <= len(self.content)
        self.begun += piece.start == 0 and not piece.data
        del self.content[piece.start :]
        self.content += piece.data
        self.most = max(self.most, len(self.content))
        self.totals.append(piece.total)


async def read(server: FileServer, **settings: Any) -> File:
    file = File()
    get_url = settings.pop("get_url", server.get_url)
    async with (
        sender(**settings) as made,
        aclosing(Download(made, PATH, get_url).pieces()) as pieces,
    ):
        async for piece in pieces:
            file.add(piece)
    return file


async def failure(server: FileServer, **settings: Any) -> Any:
    with pytest.raises(ProlificError) as caught:
        await read(server, **settings)
    return caught.value


# --- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", TEXT, LONG])
async def test_a_file_comes_whole_in_one_request(content: bytes) -> None:
    async with file_server(content) as server:
        file = await read(server)
    assert bytes(file.content) == content
    assert set(file.totals) == {len(content)}
    head = server.received[0]
    assert len(server.received) == 1
    assert head.startswith(f"GET /file/1?X-Amz-Signature={SECRET} HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in head
    assert "Range" not in head
    assert "uthorization" not in head
    assert TOKEN not in head


async def test_a_chunked_file_has_no_total() -> None:
    async with file_server(TEXT, chunked=True) as server:
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert set(file.totals) == {None}


async def test_a_compressed_file_is_decompressed() -> None:
    async with file_server(gzip.compress(TEXT), headers=("Content-Encoding: gzip",)) as server:
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert set(file.totals) == {None}


# --- what is resumed ----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(0, len(TEXT), 10))
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_file_cut_anywhere_is_resumed(cut: int, *, chunked: bool) -> None:
    async with file_server(TEXT, cuts=iter([cut]), chunked=chunked) as server:
        file = await read(server)
    assert bytes(file.content) == TEXT
    resumed = cut > 0 and not chunked
    assert server.asked == ["", f"bytes={cut}-" if resumed else ""]
    assert file.begun == (1 if resumed else 2)


async def test_a_file_cut_at_every_tenth_byte_is_resumed_each_time() -> None:
    async with file_server(TEXT, cuts=itertools.repeat(10)) as server:
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert server.asked == ["", *(f"bytes={one}-" for one in range(10, 200, 10))]
    assert server.received[-1].count('If-Range: "v1"') == 1
    assert file.begun == 1


@pytest.mark.parametrize(
    "options",
    [{"ranges": False}, {"etag": None}, {"etag": WEAK}, {"etag": "v1"}, {"chunked": True}],
)
async def test_a_file_that_cannot_be_resumed_is_begun_anew(options: dict[str, Any]) -> None:
    async with file_server(TEXT, cuts=iter([50, 20, None]), **options) as server:
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert file.begun == 3
    if "ranges" not in options:
        assert server.asked == [""] * 3


async def test_a_whole_file_that_is_cut_before_where_it_was_is_given_up() -> None:
    async with file_server(TEXT, ranges=False, cuts=itertools.repeat(50)) as server:
        error = await failure(server)
    assert isinstance(error, ConnectionLostError)
    assert len(server.received) == QUICK.max_attempts
    assert error.attempts == QUICK.max_attempts


def changing(server: FileServer, to: bytes, etag: str | None = '"v2"') -> None:
    def before(number: int) -> None:
        if number == 2:
            server.content, server.etag = to, etag

    server.before = before


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("to", [TEXT[::-1], TEXT * 2, TEXT[:60], b"", TEXT[:50]])
async def test_a_file_that_has_changed_is_begun_anew(to: bytes, *, heeds_if_range: bool) -> None:
    async with file_server(TEXT, cuts=iter([50]), heeds_if_range=heeds_if_range) as server:
        changing(server, to)
        file = await read(server)
    assert bytes(file.content) == to
    assert file.begun == 2


async def test_a_part_without_an_etag_is_no_part_of_the_file() -> None:
    async with file_server(TEXT, cuts=iter([50]), heeds_if_range=False) as server:
        changing(server, TEXT[::-1], None)
        file = await read(server)
    assert bytes(file.content) == TEXT[::-1]


def part(of: str, body: bytes = TEXT[50:], *headers: str) -> bytes:
    lines = (f"Content-Range: {of}", 'ETag: "v1"', *headers)
    return plain(body, *lines, status="206 Partial Content")


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"", "Content-Range: bytes */200", status="416 Range Not Satisfiable"),
        part("bytes 49-199/200", TEXT[49:]),
        part("bytes 51-199/200", TEXT[51:]),
        part("bytes 50-199/201"),
        part("bytes 50-199/*"),
        part("rows 50-199/200"),
        part("bytes 50-199/200, more"),
        part(""),
        part("bytes 50-199/200", gzip.compress(TEXT[50:]), "Content-Encoding: gzip"),
    ],
)
async def test_another_part_than_the_missing_one_is_not_taken(answer: bytes) -> None:
    async with file_server(TEXT, cuts=iter([50])) as server:
        server.before = lambda number: server.answers.extend([answer] if number == 2 else [])
        file = await read(server, retry=RetryPolicy(max_attempts=2, initial=0.0001))
    assert bytes(file.content) == TEXT
    assert server.asked == ["", "bytes=50-", ""]


async def test_a_part_that_ends_early_is_followed_by_another() -> None:
    async with file_server(TEXT, cuts=iter([50])) as server:
        short = part("bytes 50-99/200", TEXT[50:100])
        server.before = lambda number: server.answers.extend([short] if number == 2 else [])
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert server.asked == ["", "bytes=50-", "bytes=100-"]


async def test_a_part_with_more_than_the_file_has_is_not_taken() -> None:
    async with file_server(TEXT, cuts=iter([50])) as server:
        long = part("bytes 50-199/200", TEXT)
        server.before = lambda number: server.answers.extend([long] if number == 2 else [])
        file = await read(server)
    assert bytes(file.content) == TEXT


async def test_a_part_without_end_is_not_read_to_its_end() -> None:
    async with file_server(TEXT, cuts=iter([50])) as server:
        chunks = b"10000\r\n%b\r\n" % bytes(0x10000) * 200
        lines = b'Content-Range: bytes 50-199/200\r\nETag: "v1"\r\nTransfer-Encoding: chunked'
        long = b"HTTP/1.1 206 Partial Content\r\nConnection: close\r\n%b\r\n\r\n%b" % (
            lines,
            chunks,
        )
        server.before = lambda number: server.answers.extend([long] if number == 2 else [])
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert file.most < 2_000_000


@pytest.mark.parametrize("status", ["206 Partial Content", "416 Range Not Satisfiable"])
async def test_a_part_where_all_was_asked_for_is_no_file(status: str) -> None:
    async with file_server(TEXT) as server:
        server.answers = [plain(TEXT, "Content-Range: bytes 0-199/200", status=status)] * 4
        error = await failure(server)
    assert isinstance(error, DecodeError | APIStatusError)


# --- what fails ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["500 X", "503 X", "429 X", "408 X"])
async def test_a_passing_refusal_is_followed_by_another_attempt(status: str) -> None:
    async with file_server(TEXT, answers=[plain(b"", status=status), None]) as server:
        file = await read(server)
    assert bytes(file.content) == TEXT
    assert len(server.received) == 3


def locals_of(error: BaseException) -> str:
    """Return what loggers show of the local variables of the package's frames."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [one for one in frames if one.f_globals["__name__"].startswith("prolific_async")]
    assert ours
    return repr([one.f_locals for one in ours])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (plain(b"", status="500 X"), ServerError),
        (plain(b"no", status="403 X"), PermissionDeniedError),
        (plain(b"", "Location: https://elsewhere.example/", status="302 X"), APIStatusError),
        (plain(b"<html>", "Content-Type: text/html; charset=utf-8"), DecodeError),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na,b", DecodeError),
        (b"HTTP/1.0 200 OK\r\n\r\na,b", DecodeError),
        (b"nothing of HTTP\r\n\r\n", DecodeError),
        (None, ConnectionLostError),
        (
            f"HTTP/1.1 307 Elsewhere\r\nLocation: /file/1?X-Amz-Signature={SECRET}\r\n".encode(),
            ConnectionLostError,
        ),
    ],
)
async def test_what_is_no_file_is_an_error(answer: bytes | None, kind: type[Exception]) -> None:
    async with file_server(TEXT, answers=[answer] * 4) as server:
        error = await failure(server)
    assert type(error) is kind
    assert f"GET {PATH}" in str(error)
    text = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error)
    for one in (text, pickle.dumps(error).decode(errors="replace"), locals_of(error)):
        assert SECRET not in one
        assert server.url.removeprefix("http://") not in one


async def test_no_connection_is_an_error(port: int) -> None:
    error = await failure(FileServer(TEXT, url=f"http://127.0.0.1:{port}"))
    assert isinstance(error, ConnectError)
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        (PresignedUrl("nothing", method="GET"), "$.url: a URL is needed"),
        (PresignedUrl("https://s3.example:99999/x", method="GET"), "$.url: a URL is needed"),
        (PresignedUrl("https://s3.example:x/x", method="GET"), "$.url: a URL is needed"),
        (PresignedUrl("https://xn--/x", method="GET"), "$.url: a URL is needed"),
        (PresignedUrl("http://s3.example/x", method="GET"), "$.url: an address with https://"),
        (PresignedUrl("https://a:b@s3.example/x", method="GET"), "$.url: it must hold no user"),
        (PresignedUrl("https://s3.example/x", method="PUT"), "$.http_method: GET is needed"),
    ],
)
async def test_a_url_that_must_not_be_used_is_not(link: PresignedUrl, problem: str) -> None:
    async def get_url() -> PresignedUrl:
        return link

    async with file_server(TEXT) as server:
        error = await failure(server, get_url=get_url)
    assert error.problems[0].startswith(problem)
    assert server.received == []


async def test_a_stall_is_followed_by_another_attempt() -> None:
    async with file_server(TEXT, cuts=iter([50]), stall=9) as server:
        file = await read(server, request_timeout=0.03)
    assert bytes(file.content) == TEXT
    assert server.asked == ["", "bytes=50-"]


async def test_a_storage_that_does_not_answer_is_a_stall() -> None:
    async with standing(b"") as (server, _), asyncio.timeout(5):
        error = await failure(server, request_timeout=0.03, retry=RetryPolicy(max_attempts=1))
    assert isinstance(error, RequestTimeoutError)


def test_another_attempt_comes_after_the_pause_that_is_asked_for() -> None:
    async def main() -> None:
        busy = plain(b"", "Retry-After: 40", status="503 X")
        async with file_server(TEXT, answers=[busy]) as server:
            began = asyncio.get_running_loop().time()
            file = await read(server)
            assert bytes(file.content) == TEXT
            assert asyncio.get_running_loop().time() - began >= 40

    run(main(), LoopbackLoop)


async def test_a_refusal_that_stands_still_is_a_stall() -> None:
    half = plain(b"<Error>", status="403 Forbidden", length=100)
    async with standing(half) as (server, _), asyncio.timeout(5):
        error = await failure(server, request_timeout=0.03, retry=RetryPolicy(max_attempts=1))
    assert isinstance(error, RequestTimeoutError)


async def test_a_stall_says_so() -> None:
    async with file_server(TEXT, cuts=itertools.repeat(0), stall=9) as server:
        once = RetryPolicy(max_attempts=1)
        error = await failure(server, request_timeout=0.03, retry=once)
    assert isinstance(error, RequestTimeoutError)
    assert "no byte moved for 0.03 s" in str(error)


async def test_a_slow_reader_is_no_stall() -> None:
    async with file_server(LONG) as server, sender(request_timeout=0.03) as made:
        file = File()
        async with aclosing(Download(made, PATH, server.get_url).pieces()) as pieces:
            async for piece in pieces:
                file.add(piece)
                await asyncio.sleep(0.04 if len(file.totals) < 3 else 0)
    assert bytes(file.content) == LONG
    assert len(server.received) == 1


# --- expiry -------------------------------------------------------------------------------------


class Links:
    """Returns presigned URLs, each with its own lifetime or with none."""

    def __init__(self, server: FileServer, *lives: float | None) -> None:
        self.server = server
        self.lives = [*lives]
        self.given = 0

    async def __call__(self) -> PresignedUrl:
        self.given += 1
        lives = self.lives.pop(0) if self.lives else None
        now = asyncio.get_running_loop().time()
        return self.server.link(self.given, None if lives is None else now + lives)


def numbers(server: FileServer) -> list[str]:
    return [head.removeprefix("GET /file/")[0] for head in server.received]


async def test_a_link_that_has_expired_is_not_used() -> None:
    async with file_server(TEXT) as server:
        links = Links(server, 0, None)
        assert bytes((await read(server, get_url=links)).content) == TEXT
        assert numbers(server) == ["1"]  # only just given: the storage decides


async def test_a_link_that_expires_in_the_middle_is_replaced() -> None:
    async with file_server(TEXT, cuts=iter([50, 50])) as server:
        links = Links(server, 0, 0, None)
        file = await read(server, get_url=links)
    assert bytes(file.content) == TEXT
    assert numbers(server) == ["1", "2", "3"]
    assert server.asked == ["", "bytes=50-", "bytes=100-"]


async def test_a_refusal_because_of_expiry_is_followed_by_a_new_link() -> None:
    async with file_server(TEXT, answers=[EXPIRED]) as server:
        links = Links(server)
        file = await read(server, get_url=links, retry=RetryPolicy(max_attempts=1))
    assert bytes(file.content) == TEXT
    assert numbers(server) == ["1", "2"]


async def test_a_new_link_that_is_refused_as_expired_is_an_error() -> None:
    async with file_server(TEXT, answers=[EXPIRED] * 2) as server:
        error = await failure(server, get_url=Links(server))
    assert isinstance(error, PermissionDeniedError)
    assert numbers(server) == ["1", "2"]


# --- leaving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
async def test_closing_the_client_ends_a_download(*, before: bool) -> None:
    async with file_server(TEXT, cuts=iter([50]), stall=9) as server, sender() as made:
        pieces = Download(made, PATH, server.get_url).pieces()
        while not (await anext(pieces)).data:
            pass
        closing = asyncio.ensure_future(made.close())
        if before:
            await closing
        with pytest.raises(ConfigurationError, match="closed"):
            await asyncio.wait_for(anext(pieces), 1)
        await closing
    assert len(server.received) == 1


async def test_closing_the_client_ends_a_download_that_is_there_already() -> None:
    async with file_server(TEXT) as server, sender() as made:
        pieces = Download(made, PATH, server.get_url).pieces()
        await anext(pieces)  # the head, with which all of a small file comes
        await asyncio.sleep(0.01)
        await made.close()
        with pytest.raises(ConfigurationError, match="closed"):
            await anext(pieces)


async def test_a_closed_client_asks_for_nothing() -> None:
    async with file_server(TEXT) as server, sender() as made:
        await made.close()
        with pytest.raises(ConfigurationError, match="closed"):
            await anext(Download(made, PATH, server.get_url).pieces())
    assert server.received == []


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"


@asynccontextmanager
async def standing(answer: bytes) -> AsyncIterator[tuple[FileServer, asyncio.Event]]:
    """Serve a response that stalls; the event is set when its connection is closed."""
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        gone.set()
        writer.close()

    endless = await asyncio.start_server(handle, "127.0.0.1", 0)
    yield FileServer(b"", url=f"http://127.0.0.1:{endless.sockets[0].getsockname()[1]}"), gone
    endless.close()


async def test_leaving_early_gives_the_connection_back() -> None:
    async with standing(HALF) as (server, gone), sender() as made:
        async with aclosing(Download(made, PATH, server.get_url).pieces()) as pieces:
            async for piece in pieces:
                if piece.data:
                    break
        assert not (await made.session_here()).transfers  # at once, not when it is collected
        async with asyncio.timeout(2):
            await gone.wait()


async def test_closing_the_client_closes_the_connection_of_a_download_that_nobody_goes_on() -> None:
    async with standing(HALF) as (server, gone):
        async with sender() as made:
            pieces = Download(made, PATH, server.get_url).pieces()
            while not (await anext(pieces)).data:
                pass
        async with asyncio.timeout(2):
            await gone.wait()
        with pytest.raises(ConfigurationError, match="closed"):
            await anext(pieces)


async def test_the_log_shows_no_link(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with file_server(TEXT, cuts=iter([50]), answers=[EXPIRED]) as server:
        await read(server, get_url=Links(server))
    assert f"GET {PATH}: 200 in" in caplog.text
    assert f"GET {PATH}: 206 in" in caplog.text
    assert SECRET not in caplog.text
