"""One attempt over real sockets: what is sent, what is received, and the error of each failure."""

from __future__ import annotations

import asyncio
import gzip
import socket
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    PollPolicy,
    ProlificClient,
    ProlificError,
    RateLimitedError,
    RequestTimeoutError,
    RetryPolicy,
    __version__,
)
from prolific_async._api import batches as api
from prolific_async._http.base_url import is_loopback, proxy_for
from prolific_async._http.request import PollTiming
from tests.http.raw import REQUEST, TOKEN, failure, plain, serving, transport
from tests.virtual_time import LoopbackLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from prolific_async.simulator import Simulator


async def test_the_request_is_what_the_service_documents() -> None:
    async with serving(plain(b'{"status": "READY"}')) as (url, heads):
        sender = transport(url)
        answer = await sender.send(REQUEST)
        await sender.close()
    assert answer.data == {"status": "READY"}
    line, *headers = heads[0].decode().strip().split("\r\n")
    sent = dict(header.split(": ", 1) for header in headers)
    assert line == "GET /api/v1/data-collection/batches/b1/status HTTP/1.1"
    assert sent["Authorization"] == f"Token {TOKEN}"
    assert sent["User-Agent"].startswith(f"prolific-async/{__version__} python/3.")
    assert sent["User-Agent"].endswith(f" aiohttp/{aiohttp.__version__}")
    assert sent["Referer"] == f"https://prolific-async/{__version__}/"
    assert sent["Accept"] == "application/json"
    assert sent["Cache-Control"] == "no-cache"
    assert "Cookie" not in sent


async def test_a_post_sends_its_keys_as_json() -> None:
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(2))
        writer.write(plain(b"{}", status="202 Accepted"))

    async with serving(answer) as (url, heads):
        sender = transport(url)
        await sender.send(api.set_up_batch("b1", dataset_id=None))
        await sender.close()
    assert heads[0].count(b"\r\nContent-Type: application/json\r\n") == 1
    assert b"\r\nAccept: application/json\r\n" in heads[0]
    assert bodies == [b"{}"]


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content"])
async def test_a_delete_has_no_body_and_may_be_answered_by_none(status: str) -> None:
    async with serving(plain(b"", status=status)) as (url, heads):
        sender = transport(url)
        answer = await sender.send(REQUEST._replace(method="DELETE"))
        await sender.close()
    assert answer.data is None
    assert heads[0].startswith(b"DELETE /api/v1/data-collection/batches/b1/status HTTP/1.1\r\n")
    assert b"Content-Type" not in heads[0]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
async def test_a_body_may_be_of_another_type(method: str) -> None:
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(6))
        writer.write(plain(b"{}", status="201 Created"))

    request = REQUEST._replace(method=method, body=b"[]\n{}\n", content_type="application/x-ndjson")
    async with serving(answer) as (url, heads):
        sender = transport(url)
        answered = await sender.send(request)
        await sender.close()
    assert answered.data == {}
    assert heads[0].count(b"\r\nContent-Type: application/x-ndjson\r\n") == 1
    assert b"\r\nContent-Length: 6\r\n" in heads[0]
    assert bodies == [b"[]\n{}\n"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
async def test_a_lost_connection_is_never_retried_below_the_policy(method: str) -> None:
    async def hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        pass

    async with serving(hang_up) as (url, heads):
        error = await failure(url, REQUEST._replace(method=method))
    assert isinstance(error, ConnectionLostError)
    assert len(heads) == 1


async def test_cookies_are_not_kept(sim: Simulator) -> None:
    async with serving(plain(b"{}", "Set-Cookie: machine=7; Path=/")) as (url, heads):
        sender = transport(url)
        await sender.send(REQUEST)
        await sender.send(REQUEST)
        await sender.close()
    assert b"Cookie" not in heads[1]


async def test_a_refused_connection_is_a_connect_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert isinstance(error, ConnectError)
    assert error.method == "GET"
    assert error.path.endswith("/b1/status")
    assert "Connect call failed" in error.reason
    assert "127.0.0.1:" in error.reason
    assert "ssl" not in error.reason


async def test_no_such_host() -> None:
    error = await failure("https://nothing.invalid")
    assert isinstance(error, ConnectError)
    assert error.reason.startswith("nothing.invalid:443: ")
    assert "ssl" not in error.reason


async def test_no_such_socket(tmp_path: Path) -> None:
    where = str(tmp_path / "nothing.sock")
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(where)) as session:
        error = await failure("http://localhost", session=session)
    assert isinstance(error, ConnectError)
    assert error.reason == f"{where}: No such file or directory"


async def test_an_exception_without_a_text_is_named() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)  # the whole TLS hello: unread bytes would make a reset
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(f"https://127.0.0.1:{port}")
    assert isinstance(error, ConnectError)
    assert error.reason == f"127.0.0.1:{port}: ConnectionResetError"


async def refuse_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10_000)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.slow
@pytest.mark.parametrize("bad", [refuse_tls, plain(b"{}")])
async def test_a_server_without_tls(bad: Any) -> None:
    async with serving(bad) as (url, _):
        error = await failure(url.replace("http:", "https:"))
    assert isinstance(error, ConnectError)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_a_reset_connection_is_a_connection_lost_error() -> None:
    async with serving(reset) as (url, _):
        assert isinstance(await failure(url), ConnectionLostError)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (plain(b'{"status": "REA', length=100), ConnectionLostError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionLostError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", ConnectionLostError),
        (b"", ConnectionLostError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", DecodeError),
        (b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\n{}", DecodeError),
        (plain(b'{"status": "REA'), DecodeError),
        (plain(b"<html>log in</html>", "Content-Type: text/html"), DecodeError),
        (plain(b"\xff\xfe"), DecodeError),
        (plain(b"[" * 100_000), DecodeError),
        (plain(b'{"n": NaN}'), DecodeError),
        (plain(b"not gzip", "Content-Encoding: gzip"), DecodeError),
        (plain(b"{}", "Location: https://elsewhere.invalid/", status="302 Found"), APIStatusError),
        (plain(b"{}", "Location: /status", status="307 Temporary Redirect"), APIStatusError),
        (plain(b"", status="304 Not Modified"), APIStatusError),
        (plain(b"", status="401 Unauthorized"), AuthenticationError),
    ],
)
async def test_broken_answers(answer: bytes, kind: type[ProlificError]) -> None:
    async with serving(answer) as (url, heads):
        error = await failure(url, api.set_up_batch("b1"))
    assert type(error) is kind
    assert "POST" in str(error)
    assert "/b1/setup" in str(error)
    assert len(heads) == 1


async def test_the_error_of_a_response_that_is_cut_in_its_head_does_not_quote_it() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nX-Wanted: no\r\n") as (url, _):
        error = await failure(url)
    assert isinstance(error, ConnectionLostError)
    assert error.reason == "it ended within the headers of the response"


@pytest.mark.parametrize(
    "answer",
    [
        lambda *headers: plain(b"\x0b\x02\x80{}", *headers),
        lambda *headers: plain(b"\x0b\x02\x80{}", *headers, status="401 Unauthorized"),
        lambda *headers: (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
            + "".join(f"{header}\r\n" for header in headers).encode()
            + b"\r\n5\r\n\x0b\x02\x80{}\r\n0\r\n\r\n"
        ),
    ],
    ids=["whole", "refusal", "chunked"],
)
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate"])
async def test_a_body_that_cannot_be_decompressed_is_reported_with_its_encoding(
    answer: Callable[..., bytes], encoding: str
) -> None:
    async with serving(answer(f"Content-Encoding: {encoding}")) as (url, _):
        error = await failure(url)
    assert isinstance(error, DecodeError)
    (problem,) = error.problems
    assert f"Content-Encoding {encoding}" in problem
    assert "not HTTP" not in problem
    # Brotli and Zstandard may be installed here, and are not corrupt then but said to be.
    assert problem.endswith(("says", "cannot be decoded here"))
    assert problem.endswith("says") or encoding not in ("gzip", "deflate")


async def test_empty_success_has_no_data() -> None:
    async with serving(plain(b"", status="202 Accepted")) as (url, _):
        sender = transport(url)
        assert (await sender.send(REQUEST)).data is None
        await sender.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in plain(b"{}" + b" " * 1000):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [silent, drip])
async def test_an_attempt_is_bounded(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    async with serving(answer) as (url, _):
        error = await failure(url, request_timeout=0.05)
    assert isinstance(error, RequestTimeoutError)
    assert "0.05 s were allowed" in str(error)


@pytest.mark.parametrize(("within", "allowed"), [(0.05, 0.05), (5, 0.1)])
async def test_a_call_may_have_a_shorter_time_limit(within: float, allowed: float) -> None:
    async with serving(silent) as (url, _):
        sender = transport(url, request_timeout=0.1)
        with pytest.raises(RequestTimeoutError, match=f"{allowed:g} s were allowed"):
            await sender.send(REQUEST, PollTiming(time_limit=within))
        await sender.close()


def test_a_connection_that_hangs_is_a_connect_error() -> None:
    async def main() -> None:
        # With a full backlog and no accept, further connections hang.
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.settimeout(0)
                filler.connect_ex(address)
            error = await failure(f"http://127.0.0.1:{address[1]}", request_timeout=20)
        assert isinstance(error, ConnectError)

    run(main(), LoopbackLoop)


async def one_after_the_other(**settings: Any) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.04)
        writer.write(plain(b"{}"))

    async with serving(slow) as (url, _):
        sender = transport(url, request_timeout=0.15, **settings)
        answers = await asyncio.gather(*(sender.send(REQUEST) for _ in range(8)))
        await sender.close()
    assert len(answers) == 8


async def test_the_time_of_an_attempt_starts_when_a_connection_is_free() -> None:
    await one_after_the_other(max_connections=1)


@pytest.mark.parametrize(
    "limits", [{"limit": 1}, {"limit_per_host": 1}, {"limit": 0, "limit_per_host": 1}]
)
async def test_the_connections_of_a_borrowed_session_are_not_waited_for_in_that_time(
    limits: dict[str, Any],
) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(**limits)) as session:
        await one_after_the_other(session=session)


async def test_a_borrowed_session_without_a_limit_has_that_of_the_client() -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        assert transport("http://127.0.0.1", session=session, max_connections=9).polls_at_once == 4


async def test_connections_are_bounded() -> None:
    at_once = most = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        writer.write(plain(b"{}"))

    async with serving(count) as (url, _):
        sender = transport(url, max_connections=3)
        await asyncio.gather(*(sender.send(REQUEST) for _ in range(12)))
        await sender.close()
    assert most == 3


async def test_a_paused_poll_leaves_the_only_connection_to_calls() -> None:
    answers = [plain(b"", "Retry-After: 60", status="429 Too Many Requests"), plain(b"{}")]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with serving(answer) as (url, heads):
        sender = transport(url, max_connections=1)
        with pytest.raises(RateLimitedError):
            await sender.send(REQUEST, PollTiming())
        poll = asyncio.create_task(sender.send(REQUEST, PollTiming()))
        await asyncio.sleep(0)
        assert (await asyncio.wait_for(sender.send(REQUEST), 5)).data == {}
        assert len(heads) == 2
        poll.cancel()
        await asyncio.wait([poll])
        await sender.close()


async def test_cancelling_frees_the_slot() -> None:
    async with serving(silent) as (url, _):
        sender = transport(url, max_connections=1)
        for _ in range(3):
            task = asyncio.create_task(sender.send(REQUEST))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await sender.close()


async def test_a_borrowed_session_is_neither_closed_nor_changed() -> None:
    async with (
        serving(plain(b"{}")) as (url, heads),
        aiohttp.ClientSession(headers={"User-Agent": "theirs", "X-Mine": "1"}) as session,
    ):
        before = dict(session.headers)
        sender = transport(url, session=session)
        await sender.send(REQUEST)
        await sender.close()
        assert not session.closed
        assert dict(session.headers) == before
    assert f"Authorization: Token {TOKEN}".encode() in heads[0]
    assert b"X-Mine: 1" in heads[0]


async def test_a_borrowed_session_that_raises_for_status_or_has_a_base_url() -> None:
    async with (
        serving(plain(b"{}", status="404 Not Found")) as (url, _),
        aiohttp.ClientSession("http://elsewhere.invalid", raise_for_status=True) as session,
    ):
        error = await failure(url, session=session)
    assert isinstance(error, APIStatusError)


async def test_a_borrowed_session_that_does_not_decompress_does_so_for_the_client() -> None:
    body = gzip.compress(b'{"status": "READY"}')
    async with (
        serving(plain(body, "Content-Encoding: gzip")) as (url, _),
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        sender = transport(url, session=session)
        for request in (REQUEST, api.set_up_batch("b1")._replace(read=None)):
            assert (await sender.send(request)).data == {"status": "READY"}
        async with sender.stream(REQUEST) as chunks:
            assert [chunk async for chunk in chunks] == [b'{"status": "READY"}']


async def test_a_borrowed_session_with_its_own_authorization_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp 3.14 has news about auth
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("me", "mine"))
    async with serving(plain(b"{}")) as (url, heads), session:
        error = await failure(url, session=session)
    assert isinstance(error, ConfigurationError)
    assert not heads


async def test_a_borrowed_session_that_expects_100_continue_is_refused() -> None:
    session = aiohttp.ClientSession(headers={"expect": "100-continue"})
    async with serving(plain(b"{}")) as (url, heads), session:
        error = await failure(url, session=session)
    assert isinstance(error, ConfigurationError)
    assert "Expect" in str(error)
    assert not heads


@pytest.mark.parametrize(
    "login", ["default login me password w0rd", "machine 127.0.0.1 login me password w0rd"]
)
async def test_a_borrowed_session_with_a_login_from_netrc_is_refused(
    login: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    async with (
        serving(plain(b"{}")) as (url, heads),
        aiohttp.ClientSession(trust_env=True) as session,
    ):
        sender = transport(url, session=session)
        file.write_text("machine elsewhere.example login me password w0rd")
        await sender.send(REQUEST)
        file.write_text(login)  # aiohttp reads it before each request
        for request in (REQUEST, api.set_up_batch("b1")):
            with pytest.raises(ConfigurationError, match="netrc") as caught:
                await sender.send(request)
            assert "w0rd" not in str(caught.value)
            assert caught.value.__context__ is None
        assert len(heads) == 1


async def test_the_own_session_reads_no_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "netrc"
    file.write_text("default login me password w0rd")
    monkeypatch.setenv("NETRC", str(file))
    async with serving(plain(b"{}")) as (url, heads):
        sender = transport(url)
        await sender.send(REQUEST)
        await sender.close()
    assert f"Authorization: Token {TOKEN}".encode() in heads[0]


@pytest.mark.parametrize("prefix", ["", "/prolific", "/a%20b/c"])
async def test_errors_name_the_whole_path(prefix: str) -> None:
    """The path of a gateway is part of it."""
    at = f"{prefix}/api/v1/data-collection/batches"
    poll = PollPolicy(max_consecutive_failures=0)
    answers = {
        f"GET {at}/b1/status": b"7",
        f"GET {at}/b1": b"7",
        f"GET {at}?workspace_id=w1": b"7",
        f"POST {at}/b1/setup": b"no JSON",
        f"POST {at}/b1/duplicate": b"7",
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(answers.pop(heads[-1].decode().split(" HTTP")[0])))

    async with (
        serving(answer) as (url, heads),
        ProlificClient(TOKEN, base_url=url + prefix, retry=RetryPolicy(max_attempts=1)) as client,
    ):
        verbs = client.batches
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            f"GET {at}/b1/status": lambda: verbs.get_status("b1"),
            f"GET {at}/b1": lambda: verbs.get("b1"),
            f"GET {at}": lambda: verbs.list("w1"),
            f"POST {at}/b1/setup": lambda: verbs.setup("b1"),
            f"POST {at}/b1/duplicate": lambda: verbs.duplicate("b1", name="unique"),
            f"GET {at}/b2/status": lambda: verbs.wait_until_ready("b2", poll=poll),
            f"GET {at}/b3/status": lambda: verbs.wait_until_ready("b3", timeout=0),
        }
        for line, call in calls.items():
            with pytest.raises(ProlificError) as caught:
                await call()
            waited = "/b2" in line or "/b3" in line
            error: Any = caught.value.__cause__ if waited else caught.value
            assert f"{error.method} {error.path}" == line


async def test_a_borrowed_session_that_is_closed() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    assert isinstance(await failure("http://localhost:1", session=session), ConfigurationError)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("2130706433", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback(host: str | None, here: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://api.prolific.com", None),
        ({"https_proxy": "http://p:1"}, "https://api.prolific.com", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.prolific.com", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "https://api.prolific.com", None),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.1:8000", None),
        ({"http_proxy": "http://p:1"}, "http://localhost:8000", None),
        (
            {"https_proxy": "http://p:1", "no_proxy": ".prolific.com"},
            "https://api.prolific.com",
            None,
        ),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, "https://api.prolific.com", None),
        (
            {"https_proxy": "http://p:1", "no_proxy": "example.com"},
            "https://api.prolific.com",
            "http://p:1",
        ),
    ],
)
def test_proxies(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


def test_a_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    assert proxy_for("https://api.prolific.com") == "http://proxy.example:3128"


@pytest.mark.parametrize(
    "proxy", ["socks5://user:word@p:1", "http://word:99999", "http://[::1", "http://"]
)
def test_an_invalid_proxy_is_refused_by_the_name_of_its_variable(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="https_proxy") as caught:
        proxy_for("https://api.prolific.com")
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("borrowed", [True, False])
async def test_closing_ends_running_requests_and_sends_no_queued_ones(
    borrowed: bool,  # noqa: FBT001
) -> None:
    session = aiohttp.ClientSession() if borrowed else None
    async with serving(silent) as (url, heads):
        sender = transport(url, session=session, max_connections=1, request_timeout=30)
        first, second = (asyncio.create_task(sender.send(REQUEST)) for _ in range(2))
        while not heads:
            await asyncio.sleep(0.001)
        await sender.close()
        with pytest.raises(ConnectionLostError, match="closed"):
            await first
        with pytest.raises(ConfigurationError, match="closed"):
            await second
        assert len(heads) == 1
    if session is not None:
        assert not session.closed
        await session.close()


async def test_closing_while_a_host_name_is_looked_up_cancels_no_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    async def never(*args: object, **more: object) -> list[Any]:
        asked.set()
        await asyncio.sleep(30)
        return []

    monkeypatch.setattr(loop, "getaddrinfo", never)
    sender = transport("https://slow.invalid", request_timeout=30)
    calls = [asyncio.create_task(sender.send(REQUEST)) for _ in range(3)]
    calls.append(asyncio.create_task(sender.send(api.set_up_batch("b1"))))
    await asked.wait()
    await sender.close()
    for call in calls:
        with pytest.raises(ConnectError, match="closed"):  # it surely was not sent
            await call


def test_a_slow_lookup_of_the_host_name_is_a_connect_error() -> None:
    async def never(*args: object, **more: object) -> list[Any]:
        await asyncio.sleep(30)
        return []

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.getaddrinfo = never
        error = await failure("https://slow.invalid", request_timeout=20)
        assert isinstance(error, ConnectError)

    run(main())
