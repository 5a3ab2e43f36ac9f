"""Requests that were surely not sent: their connection had ended, or was never made."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
import trustme
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from prolific_async import (
    APIStatusError,
    ConnectError,
    ConnectionLostError,
    ProlificClient,
    ProlificError,
    RateLimitedError,
    RetryPolicy,
)
from prolific_async._api import batches as api
from prolific_async._http.attempt import Body
from prolific_async._http.request import Request
from tests.conftest import HANGS
from tests.http.raw import REQUEST, TOKEN, failure, plain, serving, transport
from tests.test_cycles import left_by
from tests.virtual_time import LoopbackLoop, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from aiohttp.connector import Connection

    from prolific_async._http.transport import Transport

AUTHORITY = trustme.CA()
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
ONCE = RetryPolicy(max_attempts=1)
POST = api.set_up_batch("b1")
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


class Peer:
    """A server in a thread, which keeps its connections open until ``end`` is called.

    Attributes:
        url: Its address.
        seen: The number of the connection and the method of each request, in order.

    """

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._connections = 0
        self.seen: list[tuple[int, str]] = []
        self.on_request: Callable[[asyncio.StreamWriter], object] = lambda writer: writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        )

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = self._do(self._serve())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS)

    async def _serve(self) -> str:
        context = None
        if self._tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=context)
        port = self._server.sockets[0].getsockname()[1]
        return f"http{'s' if self._tls else ''}://127.0.0.1:{port}"

    async def _stop(self) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._connections
        self._connections += 1
        self._open[writer] = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen.append((number, head.split()[0].decode()))
                if length := re.search(rb"\r\nContent-Length: (\d+)", head):
                    await reader.readexactly(int(length[1]))
                self.on_request(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            del self._open[writer]

    def end(self, how: Callable[[asyncio.StreamWriter], object]) -> None:
        """End every open connection in a given way, while the caller's loop is blocked."""

        async def end() -> None:
            while not self._open:
                await asyncio.sleep(0.001)
            for writer in self._open:
                how(writer)
            for _ in range(10):  # TLS would wait for the other side, which does not respond now
                await asyncio.sleep(0)

        self._do(end())


class Writer:
    """A writer for a body, over a socket that no loop reads."""

    def __init__(self, over: socket.socket | None) -> None:
        self.protocol = self.transport = self
        self.should_close = False
        self.written: list[bytes] = []
        self.get_extra_info = {"socket": over}.get

    def is_closing(self) -> bool:
        return False

    async def write(self, data: bytes) -> None:
        self.written.append(data)


async def test_nothing_is_written_to_a_socket_with_unread_data() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer: Any = Writer(ours)
        theirs.send(b"?")
        body = Body(b"{}")
        with pytest.raises(ConnectionError):
            await body.write_with_length(writer, 2)
        assert (writer.written, body.may_have_been_sent) == ([], False)
        ours.recv(1)
        await body.write_with_length(writer, 2)
        assert (writer.written, body.may_have_been_sent) == ([b"{}"], True)


async def test_a_socket_with_the_number_of_an_earlier_one_is_asked_itself() -> None:
    numbers = set()
    for said in (b"", b"?", b""):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            numbers.add(ours.fileno())
            theirs.send(said)
            body = Body(b"{}")
            writer: Any = Writer(ours)
            if said:
                with pytest.raises(ConnectionError):
                    await body.write_with_length(writer, 2)
            else:
                await body.write_with_length(writer, 2)
            assert body.may_have_been_sent is not bool(said)
    assert len(numbers) == 1


async def test_a_transport_may_have_no_socket() -> None:
    writer: Any = Writer(None)  # a named pipe
    await Body(b"{}").write_with_length(writer, 2)
    assert writer.written == [b"{}"]


@asynccontextmanager
async def connected(peer: Peer, *, borrowed: bool) -> AsyncIterator[Any]:
    """Yield a transport to the server; a borrowed session knows its certificate authority."""
    if not borrowed:
        sender = transport(peer.url)
        try:
            yield sender
        finally:
            await sender.close()
        return
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield transport(peer.url, session=session)


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def say_why(writer: asyncio.StreamWriter) -> None:
    writer.write(TIMED_OUT)
    writer.close()


def say_no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


ENDS = [close, reset, say_why, say_no_http]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("tls", "borrowed"),
    [(False, False), (False, True), (True, True)],
    ids=["own", "borrowed", "tls"],
)
def test_a_post_is_sent_again_if_its_idle_connection_had_ended(
    runner: asyncio.Runner,
    end: Callable[[asyncio.StreamWriter], object],
    tls: bool,  # noqa: FBT001
    borrowed: bool,  # noqa: FBT001
) -> None:
    async def main(peer: Peer) -> None:
        async with connected(peer, borrowed=borrowed) as sender:
            await asyncio.gather(*(sender.send(REQUEST) for _ in range(3)))
            peer.end(end)
            await sender.send(POST)

    with Peer(tls=tls) as peer:
        runner.run(main(peer))
    assert [method for _, method in peer.seen] == ["GET", "GET", "GET", "POST"]
    assert peer.seen[-1][0] == 3


@pytest.mark.parametrize("end", [close, reset, say_no_http])
def test_a_get_is_sent_again_if_its_idle_connection_had_ended(
    runner: asyncio.Runner, end: Callable[[asyncio.StreamWriter], object]
) -> None:
    async def main(peer: Peer) -> None:
        async with connected(peer, borrowed=False) as sender:
            await asyncio.gather(*(sender.send(REQUEST) for _ in range(3)))
            peer.end(end)
            await sender.send(REQUEST)

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen[-1] == (3, "GET")


@pytest.mark.parametrize("tls", [False, True])
def test_a_get_notices_an_ended_connection_before_it_is_sent(
    runner: asyncio.Runner,
    tls: bool,  # noqa: FBT001
) -> None:
    async def main(peer: Peer) -> None:
        async with connected(peer, borrowed=True) as sender:
            await asyncio.gather(*(sender.send(REQUEST) for _ in range(3)))
            peer.end(say_why)
            await sender.send(REQUEST)

    with Peer(tls=tls) as peer:
        runner.run(main(peer))
    assert sorted(number for number, _ in peer.seen) == [0, 1, 2, 3]


@pytest.mark.parametrize("borrowed", [False, True])
def test_a_get_that_was_sent_counts_as_an_attempt(
    runner: asyncio.Runner,
    borrowed: bool,  # noqa: FBT001
) -> None:
    async def main(peer: Peer) -> None:
        session = aiohttp.ClientSession() if borrowed else None
        retry = RetryPolicy(max_attempts=4, initial=0.001, maximum=0.001)
        async with ProlificClient("t", base_url=peer.url, retry=retry, session=session) as client:
            await client.batches.list("w1")
            peer.on_request = reset
            peer.seen.clear()
            with pytest.raises(ConnectionLostError) as caught:
                await client.batches.get_status("b1")
            assert isinstance(caught.value.__cause__, aiohttp.ClientConnectionError)
        if session is not None:
            await session.close()

    with Peer(tls=False) as peer:
        peer.on_request = lambda writer: writer.write(
            b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"results":[]}'
        )
        runner.run(main(peer))
    assert len(peer.seen) == 4


@pytest.mark.parametrize("borrowed", [False, True])
def test_the_rate_limit_holds_when_connections_break(
    borrowed: bool,  # noqa: FBT001
) -> None:
    async def main() -> None:
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()

        async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b""):
                arrivals.append(loop.time())
                writer.write(answer)
                if answer:
                    await reader.readuntil(b"\r\n\r\n")

        session = aiohttp.ClientSession() if borrowed else None
        async with serving(answer_once) as (url, _):
            sender = transport(url, session=session, max_requests_per_second=50)
            ends = await asyncio.gather(
                *(sender.send(REQUEST) for _ in range(80)), return_exceptions=True
            )
            await sender.close()
        if session is not None:
            await session.close()
        assert len(arrivals) == 80
        assert sum(isinstance(end, ConnectionLostError) for end in ends) > 20
        assert most_in_a_second(arrivals) <= 60

    run(main(), LoopbackLoop)


def most_in_a_second(times: list[float]) -> int:
    return max(sum(begin <= time < begin + 1 for time in times) for begin in times)


@pytest.mark.parametrize("times", [1, 3])
async def test_the_middlewares_of_a_borrowed_session_run(times: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"{}"))
        await writer.drain()

    async def again_and_again(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["X-Tenant"] = "a"
        for _ in range(times - 1):
            (await handler(request)).release()
        return await handler(request)

    async with (
        serving(answer) as (url, heads),
        aiohttp.ClientSession(middlewares=(again_and_again,)) as session,
    ):
        await transport(url, session=session).send(REQUEST)
    assert len(heads) == times
    assert all(b"X-Tenant: a" in head for head in heads)


@pytest.mark.parametrize("request_", [REQUEST, POST], ids=["GET", "POST"])
async def test_a_middleware_of_a_borrowed_session_may_wrap_how_a_request_is_sent(
    request_: Request,
) -> None:
    sent: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"{}"))
        await writer.drain()

    async def wrap(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        send = request.send

        async def wrapped(conn: Any) -> aiohttp.ClientResponse:
            sent.append(request.method)
            return await send(conn)

        request.send = wrapped  # type: ignore[method-assign]
        return await handler(request)

    async with (
        serving(answer) as (url, _),
        aiohttp.ClientSession(middlewares=(wrap,)) as session,
    ):
        await transport(url, session=session).send(request_)
    assert sent == [request_.method]


async def test_a_middleware_of_a_borrowed_session_may_replace_the_body() -> None:
    async def replace(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        await request.update_body(b"[1]")
        return await handler(request)

    with Peer(tls=False) as peer:
        async with aiohttp.ClientSession(middlewares=(replace,)) as session:
            sender = transport(peer.url, session=session)
            await sender.send(POST)
            peer.on_request = reset
            with pytest.raises(ConnectionLostError):
                await sender.send(POST)
    assert peer.seen == [(0, "POST"), (0, "POST")]


def test_a_connection_that_ended_while_the_loop_stood_still_is_replaced(
    runner: asyncio.Runner,
) -> None:
    with Peer(tls=False) as peer:
        sender = transport(peer.url)
        runner.run(sender.send(POST))
        peer.end(close)
        runner.run(sender.send(POST))
        runner.run(sender.close())
    assert peer.seen == [(0, "POST"), (1, "POST")]


def test_a_duplicate_on_an_ended_connection_needs_no_search(runner: asyncio.Runner) -> None:
    copy = {
        "id": "c1",
        "name": "unique",
        "status": "UNINITIALISED",
        "created_at": "2026-03-11T09:24:17Z",
        "created_by": "u1",
        "workspace_id": "w1",
        "datasets": [],
        "total_task_count": 0,
        "total_instruction_count": 0,
        "task_details": None,
    }
    body = json.dumps(copy).encode()

    async def main(peer: Peer) -> None:
        peer.on_request = lambda writer: writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        async with ProlificClient(TOKEN, base_url=peer.url, retry=ONCE) as client:
            await client.batches.get("b1")
            peer.end(close)
            assert (await client.batches.duplicate("b1", name="unique")).id == "c1"

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen == [(0, "GET"), (1, "POST")]


@pytest.mark.parametrize("tls", [False, True])
def test_a_living_connection_is_reused(
    runner: asyncio.Runner,
    tls: bool,  # noqa: FBT001
) -> None:
    async def main(peer: Peer) -> None:
        async with connected(peer, borrowed=True) as sender:
            for request in (POST, POST, REQUEST, POST):
                await sender.send(request)

    with Peer(tls=tls) as peer:
        runner.run(main(peer))
    assert [number for number, _ in peer.seen] == [0, 0, 0, 0]


def test_a_post_that_was_sent_is_not_sent_again(runner: asyncio.Runner) -> None:
    async def main(peer: Peer) -> None:
        async with connected(peer, borrowed=False) as sender:
            await sender.send(POST)
            peer.on_request = reset
            with pytest.raises(ConnectionLostError):
                await sender.send(POST)

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen == [(0, "POST"), (0, "POST")]


@pytest.mark.parametrize("end", [close, reset, say_why])
def test_a_connection_closed_before_the_request_is_a_connect_error(
    runner: asyncio.Runner, end: Callable[[asyncio.StreamWriter], object]
) -> None:
    async def main(peer: Peer) -> None:
        async def hold_the_loop(*_: object) -> None:
            peer.end(end)

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(hold_the_loop)
        sender = transport(peer.url, trace_configs=[trace])
        try:
            with pytest.raises(ConnectError):
                await sender.send(POST)
        finally:
            await sender.close()

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen == []


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("request_", [REQUEST, POST], ids=["GET", "POST"])
def test_a_request_over_a_second_connection_leaves_nothing_to_collect(
    runner: asyncio.Runner,
    request_: Request,
    observed: bool,  # noqa: FBT001
) -> None:
    async def main(peer: Peer) -> None:
        configs = [aiohttp.TraceConfig()] if observed else []
        sender = transport(peer.url, trace_configs=configs)
        try:
            await sender.send(request_)

            async def again() -> None:
                peer.end(close)
                await sender.send(request_)

            assert await left_by(again) == []
        finally:
            await sender.close()

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert [number for number, _ in peer.seen] == [0, 1]


class SlowingConnector(aiohttp.TCPConnector):
    """A connector that has a client slow down while the client waits for a connection."""

    sender: Transport

    async def connect(self, *args: Any, **options: Any) -> Any:
        connection = await super().connect(*args, **options)
        now = asyncio.get_running_loop().time()
        session = self.sender._session
        assert session is not None
        session.rate_limiter.slow_down(now, now)
        return connection


def test_a_post_that_a_429_holds_back_leaves_nothing_to_collect(runner: asyncio.Runner) -> None:
    async def main(peer: Peer) -> None:
        connector = SlowingConnector()
        async with aiohttp.ClientSession(connector=connector) as session:
            connector.sender = sender = transport(peer.url, session=session)
            assert await left_by(lambda: sender.send(POST)) == []

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen == [(1, "POST")]


class EndedConnector(aiohttp.TCPConnector):
    """A connector that counts its connections, which have all ended when they are used."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer
        self.count = 0

    async def connect(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        connection = await super().connect(*args, **options)
        self._peer.end(close)
        return connection


@pytest.mark.parametrize("request_", [REQUEST, POST], ids=["GET", "POST"])
def test_a_second_connection_that_has_ended_is_a_connect_error(
    runner: asyncio.Runner, request_: Request
) -> None:
    async def main(peer: Peer) -> None:
        connector = EndedConnector(peer)
        async with aiohttp.ClientSession(connector=connector) as session:
            sender = transport(peer.url, session=session)
            with pytest.raises(ConnectError):
                await sender.send(request_)
        assert connector.count == 2

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen == []


@pytest.mark.parametrize("request_", [REQUEST, POST], ids=["GET", "POST"])
def test_a_connection_that_is_refused_is_not_tried_again(
    runner: asyncio.Runner, request_: Request
) -> None:
    async def main() -> None:
        connector = EndedConnector(peer)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(ConnectError):
                await transport(peer.url, session=session).send(request_)
        assert connector.count == 1

    with Peer(tls=False) as peer:
        pass
    runner.run(main())


@pytest.mark.parametrize("when", ["before the first request", "after it"])
def test_a_trace_config_sees_one_request_where_its_connection_had_ended(
    runner: asyncio.Runner, when: str
) -> None:
    async def main(peer: Peer) -> None:
        seen: list[str] = []

        async def see(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
            seen.append(params.method)

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(see)
        trace.freeze()
        is_late = when == "after it"
        async with aiohttp.ClientSession(trace_configs=[] if is_late else [trace]) as session:
            sender = transport(peer.url, session=session)
            await sender.send(REQUEST)
            if is_late:
                session.trace_configs.append(trace)
            seen.clear()
            peer.end(close)
            await sender.send(POST)
        assert seen == ["POST"]

    with Peer(tls=False) as peer:
        runner.run(main(peer))
    assert peer.seen == [(0, "GET"), (1, "POST")]


class Made(SimpleNamespace):
    """A response that came over no connection, with what aiohttp and the client ask of it."""

    async def start(self, connection: Connection) -> Self:
        connection.release()
        return self


class Mocked(aiohttp.ClientRequest):
    """A request that is answered without being sent, as a mock or a cache does."""

    count = 0

    async def send(self, conn: Connection) -> Any:
        Mocked.count += 1
        content = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda: b"{}")
        return Made(
            status=200,
            headers={},
            content=content,
            connection=None,
            close=lambda: None,
            _raw_cookie_headers=None,
        )


@pytest.mark.parametrize("rate", [None, 100.0])
@pytest.mark.parametrize("call", [REQUEST, POST], ids=["GET", "POST"])
async def test_a_response_of_a_mock_is_taken(call: Request, rate: float | None) -> None:
    Mocked.count = 0
    async with (
        serving(plain(b"")) as (url, heads),
        aiohttp.ClientSession(request_class=Mocked) as session,
    ):
        await transport(url, session=session, max_requests_per_second=rate).send(call)
    assert (Mocked.count, heads) == (1, [])


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("call", [REQUEST, POST], ids=["GET", "POST"])
async def test_a_switch_to_another_protocol_leaves_no_connection(call: Request) -> None:
    async def switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHING)
        ended.append(await reader.read())

    asyncio.get_running_loop().set_debug(True)  # else aiohttp does not warn of an open connection
    ended: list[bytes] = []
    async with serving(switch) as (url, _), aiohttp.ClientSession() as session:
        sender = transport(url, session=session)
        with pytest.raises(APIStatusError, match="answered with 101"):
            await sender.send(call)
        while not ended:
            await asyncio.sleep(0.001)
        await sender.close()


def says(answer: bytes, then: Callable[[asyncio.StreamWriter], object] = close) -> Any:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        then(writer)

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def opens_and_waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OPEN)
    await reader.read()


async def opens_and_is_another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("elsewhere.example").configure_cert(context)
    writer.write(OPEN)
    await writer.start_tls(context)


OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
PROXIES: dict[str, Any] = {
    "drops": says(b""),
    "resets": says(b"", reset),
    "403": plain(b"no", status="403 Forbidden"),
    "407": plain(b"", status="407 Proxy Authentication Required"),
    "502": plain(b"<html>", status="502 Bad Gateway"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half an answer": b"HTTP/1.1 200 Conn",
    "silent": silent,
    "opens and drops": says(OPEN),
    "opens and resets": says(OPEN, reset),
    "opens, and no TLS": says(OPEN + b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "opens, and silence": opens_and_waits,
    "opens to another": opens_and_is_another,
}


@pytest.mark.parametrize("call", [REQUEST, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)
def test_a_bad_proxy_is_a_connect_error(
    runner: asyncio.Runner, proxy: Any, call: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.2 if proxy in (silent, opens_and_waits) else 5

    async def main() -> ProlificError:
        async with serving(proxy) as (url, heads):
            monkeypatch.setenv("https_proxy", url)
            error = await failure("https://api.prolific.invalid", call, request_timeout=seconds)
            assert heads[0].startswith(b"CONNECT api.prolific.invalid:443 ")
            return error

    error = runner.run(main())
    assert isinstance(error, ConnectError)
    assert str(error).startswith(f"{call.method} {call.path} was not sent")


async def sixty_requests(session: aiohttp.ClientSession, url: str, heads: list[bytes]) -> list[Any]:
    """Begin sixty requests that take all connections of a session, and wait until they arrive."""
    requests = [asyncio.create_task(session.get(url)) for _ in range(60)]
    while len(heads) < 60:
        await asyncio.sleep(0.001)
    return requests


@pytest.mark.parametrize("call", [REQUEST, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("refused", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_the_rate_limit_holds_when_a_borrowed_pool_frees_at_once(
    call: Request, refused: int
) -> None:
    async def main() -> None:
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()
        free = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if free.is_set():
                arrivals.append(loop.time())
            else:
                await free.wait()
            too_many = 0 < len(arrivals) <= refused
            writer.write(plain(b"{}", status="429 Too Many Requests" if too_many else "200 OK"))
            await writer.drain()

        async with (
            serving(answer) as (url, heads),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=60)) as session,
        ):
            others = await sixty_requests(session, url, heads)
            # Longer than they wait for a connection, shorter than they then wait for their turns.
            sender = transport(
                url,
                session=session,
                max_connections=100,
                max_requests_per_second=50,
                request_timeout=2,
            )
            calls = [asyncio.create_task(sender.send(call)) for _ in range(100)]
            await asyncio.sleep(1.5)
            free.set()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            for other in others:
                (await other).release()
            await sender.close()
        assert len(arrivals) == 100
        assert sum(isinstance(end, RateLimitedError) for end in ends) == refused
        assert sum(isinstance(end, BaseException) for end in ends) == refused
        assert most_in_a_second(arrivals) <= 60
        assert arrivals[-1] - arrivals[0] < (15 if refused else 2.2)

    run(main(), LoopbackLoop)


def test_a_first_429_slows_requests_that_still_wait_for_their_connections() -> None:
    async def main() -> None:
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()
        first, rest = asyncio.Event(), asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            status = "200 OK"
            if len(heads) <= 60:
                await (rest if len(heads) > 1 else first).wait()
            elif rest.is_set():
                arrivals.append(loop.time())
            else:
                status = "429 Too Many Requests"
            writer.write(plain(b"{}", status=status))
            await writer.drain()

        async with (
            serving(answer) as (url, heads),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=60)) as session,
        ):
            others = await sixty_requests(session, url, heads)
            sender = transport(url, session=session, max_connections=100)
            calls = [asyncio.create_task(sender.send(POST)) for _ in range(60)]
            await asyncio.sleep(0.1)
            first.set()
            ends, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert [type(end.exception()) for end in ends] == [RateLimitedError]
            rest.set()
            await asyncio.wait(calls)
            for other in others:
                (await other).release()
            await sender.close()
        assert len(arrivals) == 59
        assert most_in_a_second(arrivals) <= 40

    run(main(), LoopbackLoop)


class SlowLookup(AbstractResolver):
    """Takes a second to look up a host name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(1)
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("call", [REQUEST, POST], ids=["GET", "POST"])
def test_a_429_slows_down_if_its_request_waited_for_a_connection_during_the_last_slow_down(
    call: Request,
) -> None:
    async def main() -> None:
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrivals.append(loop.time())
            writer.write(plain(b"{}", status="429 Too Many Requests"))
            await writer.drain()

        connector = aiohttp.TCPConnector(resolver=SlowLookup(), use_dns_cache=False)
        async with (
            serving(answer) as (url, _),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            sender = transport(
                url.replace("127.0.0.1", "localhost"), session=session, request_timeout=60
            )
            calls = [asyncio.create_task(sender.send(call))]
            await asyncio.sleep(0.9)
            calls += [asyncio.create_task(sender.send(call)) for _ in range(40)]
            await asyncio.sleep(10)
            await sender.close()
            await asyncio.gather(*calls, return_exceptions=True)
        # Each is refused, so the rate falls from 5 a second to one in two seconds.
        assert 4 < len(arrivals) < 12

    run(main(), LoopbackLoop)


async def test_closing_leaves_no_timer_of_a_request_that_waits_to_depart() -> None:
    at_once = asyncio.Event()
    connected = 0

    async def hold(*_: object) -> None:
        nonlocal connected
        connected += 1
        await at_once.wait()

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(hold)
    async with serving(plain(b"{}")) as (url, heads):
        sender = transport(url, trace_configs=[config], max_requests_per_second=20)
        calls = [asyncio.create_task(sender.send(REQUEST)) for _ in range(6)]
        while connected < 6:
            await asyncio.sleep(0.001)
        at_once.set()
        while not heads:
            await asyncio.sleep(0)
        session = sender._session
        assert session is not None
        await sender.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(end, ConnectError) for end in ends)
    assert session.time_limit.timer is None


@pytest.mark.parametrize("size", [0, 2**20 + 1, 3 * 2**20])
async def test_a_body_of_any_size_is_sent_without_a_warning(size: int) -> None:
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readexactly(size))
        writer.write(plain(b"{}"))

    request = REQUEST._replace(method="POST", body=bytes(size))
    async with serving(answer) as (url, heads):
        sender = transport(url)
        assert (await sender.send(request)).data == {}
        await sender.close()
    assert f"\r\nContent-Length: {size}\r\n".encode() in heads[0]
    assert received == [bytes(size)]


def test_a_body_says_that_it_is_json() -> None:
    assert Body(b"{}").content_type == "application/json"
