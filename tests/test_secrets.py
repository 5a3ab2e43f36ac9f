"""The token: never shown, and sent to the configured host alone."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import re
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import TypeAdapter

from prolific_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    Dataset,
    PollPolicy,
    ProlificClient,
    ProlificError,
    RetryPolicy,
    StatusEvent,
    TaskResponse,
    Upload,
    WaitError,
)
from prolific_async._http.base_url import ROOT
from prolific_async._http.credentials import Token
from prolific_async.simulator import AfterPolls, Fault, Simulator
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.http.raw import plain, serving
from tests.samples import batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

HERE = "http://127.0.0.1:1"  # nothing listens there
TOKEN = "s3cret-of-the-account"
ONCE = RetryPolicy(max_attempts=1)
BRIEF = PollPolicy(initial=0.001, maximum=0.001, max_consecutive_failures=1, timeout=0.05)


# --- what is shown -----------------------------------------------------------------------------


def within(value: object) -> str:
    """Return how a logger shows a local variable: the parts of containers, else the repr."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(map(within, value.values())) + repr(value)
    if isinstance(value, list | tuple | set | frozenset):
        return "\n".join(map(within, value)) + repr(value)
    return repr(value)


def locals_of(error: BaseException) -> list[str]:
    """Return the local variables of an error's frames, without those of the tests."""
    return [
        f"{frame.f_code.co_qualname}: {name} = {within(value)}"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if f"{os.sep}tests{os.sep}" not in frame.f_code.co_filename
        for name, value in frame.f_locals.items()
    ]


def told_by(error: BaseException) -> str:
    """Return everything that can be printed of an error, with its chain, frames and pickle."""
    told = ["".join(traceback.format_exception(error))]
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None:
            continue
        chain += [link.__cause__]
        if link.__context__ is not link.__cause__:
            chain += [link.__context__]
        told += [str(link), repr(link), repr(getattr(link, "__dict__", "")), *locals_of(link)]
        if isinstance(link, ProlificError):
            copy = pickle.loads(pickle.dumps(link))
            told += [str(pickle.dumps(link)), str(copy), repr(copy), repr(vars(copy))]
        if isinstance(link, WaitError):
            told.append(repr(link.events))
    return "\n".join(told)


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect everything a test prints or logs, and check that it has no token."""
    caplog.set_level(logging.DEBUG)
    loggers = (
        "prolific_async",
        "aiohttp",
        "aiohttp.client",
        "aiohttp.server",
        "asyncio",
        "backoff",
    )
    for name in loggers:
        caplog.set_level(logging.DEBUG, name)
    texts: list[str] = []
    yield texts
    texts += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
    leaks = re.findall(f".{{0,90}}{TOKEN}.{{0,30}}", "\n".join(texts))
    if leaks:
        pytest.fail("\n".join(leaks[:9]), pytrace=False)


async def outcome(shown: list[str], call: Awaitable[object]) -> object:
    """Await a call and add its result or error to what was shown."""
    try:
        result = await call
    except (ProlificError, ValueError, TimeoutError, asyncio.CancelledError) as error:
        shown.append(told_by(error))
        return error
    shown.append(repr(result))
    return result


def everything(client: ProlificClient) -> dict[str, Callable[[], Awaitable[object]]]:
    """Make every call, against a service that fails."""
    verbs = client.batches

    async def events() -> list[StatusEvent]:
        return [event async for event in verbs.watch("b1")]

    async def ends() -> list[object]:
        return [end async for end in verbs.as_ready(["b1", "b2"])]

    async def answers() -> list[TaskResponse]:
        return [one async for one in verbs.responses("b1")]

    async def with_little_patience() -> None:
        async with asyncio.timeout(0.005):
            await verbs.get("b1")

    async def cancelled() -> None:
        call = asyncio.create_task(verbs.duplicate("b1"))
        await asyncio.sleep(0.005)
        call.cancel()
        await call

    return {
        "get_status": lambda: verbs.get_status("b1"),
        "get": lambda: verbs.get("b1"),
        "list": lambda: verbs.list("w1"),
        "find_copies": lambda: verbs.find_copies(batch("READY", "b1"), name="Round 2"),
        "duplicate": lambda: verbs.duplicate("b1", name="Round 2"),
        "setup": lambda: verbs.setup("b1"),
        "responses": answers,
        "wait_until_ready": lambda: verbs.wait_until_ready("b1"),
        "wait_all": lambda: verbs.wait_all(["b1", "b2"], return_exceptions=True),
        "as_ready": ends,
        "watch": events,
        "with little patience": with_little_patience,
        "cancelled": cancelled,
    }


ECHO = TOKEN.encode()
BAD_ANSWERS = {
    "nothing": b"",
    "another protocol": b"SSH-2.0 " + ECHO + b"\r\n",
    "an echo for a status": b"HTTP/1.1 " + ECHO + b"\r\n\r\n",
    "an echo for a reason": plain(b"{}", status=f"403 no {TOKEN}"),
    "an echo for a version": ECHO + b"/1.1 200 OK\r\n\r\n",
    "an echo for a header": b"HTTP/1.1 200 OK\r\n" + ECHO + b"\r\n\r\n",
    "an echo in a header's name": b"HTTP/1.1 200 OK\r\n(" + ECHO + b"): 1\r\n\r\n",
    "an echo in a header's value": b"HTTP/1.1 200 OK\r\nX: " + ECHO + b"\x00\r\n\r\n",
    "an echo for a length": b"HTTP/1.1 200 OK\r\nContent-Length: " + ECHO + b"\r\n\r\n",
    "an echo for a chunk's size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + ECHO
    + b"\r\n",
    "an echo for a coding": plain(b"{}", f"Content-Encoding: {TOKEN}"),
    "an echo for gzip": plain(ECHO, "Content-Encoding: gzip"),
    "an echo for a charset": plain(b"\xff", f"Content-Type: text/html; charset={TOKEN}"),
    "an echo for a type": plain(b"<html>", f"Content-Type: text/{TOKEN}"),
    "an echo that is cut": plain(ECHO, length=99),
    "an echo with 200": plain(b"you sent " + ECHO),
    "an echo with 400": plain(b'{"detail": "' + ECHO + b'"}', status="400 Bad Request"),
    "an escaped echo with 400": plain(
        b'{"detail": ["\\u0073' + ECHO[1:] + b'"]}', status="400 Bad Request"
    ),
    "an echo in a header with 404": plain(b"", f"X-Echo: {TOKEN}", status="404 Not Found"),
    "an echo in a hint": plain(b"", f"Retry-After: {TOKEN}", status="503 Busy"),
    "an echo with 500": plain(ECHO, f"Set-Cookie: t={TOKEN}", status="500 Oops"),
    "an echo in a header with 200": plain(b"you sent it", f"X-Echo: {TOKEN}"),
    "an echo in a header of a list that is cut": plain(b'{"', f"X-Echo: {TOKEN}", length=99),
    "an echo in a head that is cut": f"HTTP/1.1 401 No\r\nX-Echo: {TOKEN}\r\n".encode(),
    "an echo in a redirect": plain(b"", f"Location: /{TOKEN}", status="302 Found"),
}
SLOWING = plain(b"", f"Retry-After: {TOKEN}", status="429 Too Many")


async def late_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(ECHO + b"\r\n")
    await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def verbs_show_nothing(client: ProlificClient, shown: list[str]) -> None:
    for call in everything(client).values():
        await outcome(shown, call())
    shown += [repr(client), str(client), repr(client.batches), repr(vars(client.batches))]


@pytest.mark.parametrize(
    "bad",
    [
        *(pytest.param(bad, id=name) for name, bad in BAD_ANSWERS.items()),
        pytest.param(late_chunk, id="late", marks=pytest.mark.slow),
        pytest.param(SLOWING, marks=pytest.mark.slow, id="an echo in the hint of a 429"),
    ],
)
async def test_no_bad_response_shows_the_token(bad: Any, shown: list[str]) -> None:
    async with (
        serving(bad) as (url, heads),
        ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=BRIEF, request_timeout=0.2) as client,
    ):
        await verbs_show_nothing(client, shown)
        assert all(f"\r\nAuthorization: Token {TOKEN}\r\n".encode() in head for head in heads)
        assert heads


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 5, "status": 5, "results": 5, "' + ECHO + b'": ["' + ECHO + b'"]}',
        b'{"results": [{"id": 5, "name": "' + ECHO + b'"}]}',
        b'["' + ECHO + b'"]',
    ],
)
async def test_no_decode_error_keeps_the_token(body: bytes) -> None:
    async with (
        serving(plain(body)) as (url, heads),
        ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=BRIEF, request_timeout=0.2) as client,
    ):
        for call in everything(client).values():
            with suppress(TimeoutError, asyncio.CancelledError):
                link: BaseException | None = None
                try:
                    await call()
                except ProlificError as error:
                    link = error
                while link is not None:
                    assert TOKEN not in f"{link} {link!r} {link.args} {vars(link)}"
                    link = link.__cause__ or link.__context__
        assert heads


async def test_no_failure_to_connect_shows_the_token(shown: list[str]) -> None:
    async with serving(silent) as (url, _):
        client = ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=BRIEF, request_timeout=0.01)
        async with client:
            await verbs_show_nothing(client, shown)
    async with ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=BRIEF) as client:
        await verbs_show_nothing(client, shown)  # nothing listens there now


async def test_no_use_after_close_shows_the_token(shown: list[str]) -> None:
    async with aiohttp.ClientSession() as session, serving(silent) as (url, _):
        clients = [ProlificClient(TOKEN, base_url=url, session=one) for one in (session, None)]
        for client in clients:
            waiting = asyncio.gather(
                client.batches.get("b1"),
                client.batches.wait_until_ready("b1"),
                return_exceptions=True,
            )
            await asyncio.sleep(0.01)
            await client.close()
            for error in await waiting:
                assert isinstance(error, ProlificError)
                shown.append(told_by(error))
            await verbs_show_nothing(client, shown)
    closed = ProlificClient(TOKEN, base_url=url, session=session)
    await verbs_show_nothing(closed, shown)


async def test_no_successful_round_shows_the_token(shown: list[str]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # asyncio's log shows each callback
    async with Simulator(setup=AfterPolls(1), token=TOKEN) as sim:
        client = ProlificClient(TOKEN, base_url=sim.url, poll=QUICK_POLL, retry=QUICK_RETRY)
        async with client:
            events: list[StatusEvent] = []
            sim.inject("GET", "/status", Fault(503))
            made = await client.batches.duplicate(sim.add_batch(), name="Round 2")
            await made.setup()
            await made.wait_until_ready(on_event=events.append)
            shown += map(repr, (client, made, pickle.dumps(made), events, sim.requests, sim))
        # The service knows the right token and refuses a wrong one.
        async with ProlificClient(f"wrong-{TOKEN[::-1]}", base_url=sim.url, retry=ONCE) as client:
            error = await outcome(shown, client.batches.get(made.id))
        assert isinstance(error, AuthenticationError)
        shown += [repr(one.headers) for one in sim.requests]


@pytest.mark.parametrize(
    "settings",
    [
        {"token": TOKEN + "\n"},
        {"token": [TOKEN]},
        {"token": TOKEN, "base_url": f"https://{TOKEN}@api.prolific.com"},
        {"token": TOKEN, "base_url": f"https://api.prolific.com/?token={TOKEN}"},
        {"token": TOKEN, "base_url": f"https://api.prolific.com/#{TOKEN}"},
        {"token": TOKEN, "base_url": f"https://[{TOKEN}"},
        {"token": TOKEN, "base_url": f"http://{TOKEN}"},
        {"token": TOKEN, "base_url": f"https://api.prolific.com{ROOT}/{TOKEN}"},
        {"token": "https://api.prolific.com", "base_url": TOKEN},
        {"token": "", "base_url": TOKEN},
        {"token": TOKEN, "max_connections": 0},
        {"token": TOKEN, "session": 5},
        {"token": TOKEN, "request_timeout": -1},
        {"token": TOKEN, "retry": None},
        {"token": TOKEN, "strategy": "magic"},
    ],
)
def test_no_invalid_setting_shows_the_token(settings: dict[str, Any], shown: list[str]) -> None:
    with pytest.raises((ConfigurationError, ValueError)) as caught:
        ProlificClient(**settings)
    shown.append(told_by(caught.value))


async def test_no_invalid_argument_shows_the_token(shown: list[str]) -> None:
    client = ProlificClient(TOKEN)
    verbs = client.batches
    calls = [
        verbs.get(""),
        verbs.setup("b1", tasks_per_group=0),
        verbs.duplicate("b1", name=5),  # type: ignore[arg-type]
        verbs.wait_until_ready("b1", timeout=-1),
        verbs.wait_all("b1"),
    ]
    for call in calls:
        assert isinstance(await outcome(shown, call), ValueError)
    copies: tuple[Callable[[object], object], ...] = (pickle.dumps, copy.copy)
    for copied in copies:
        with pytest.raises(TypeError) as caught:
            copied(client)
        shown.append(told_by(caught.value))
    await client.close()


async def test_headers_of_a_borrowed_session_are_not_shown(shown: list[str]) -> None:
    async with (
        serving(silent) as (url, _),
        aiohttp.ClientSession(headers={"X-Gateway-Key": f"of-{TOKEN}"}) as session,
    ):
        client = ProlificClient(
            "another", base_url=url, session=session, retry=ONCE, poll=BRIEF, request_timeout=0.01
        )
        async with client:
            await verbs_show_nothing(client, shown)


@pytest.mark.parametrize(
    "event",
    ["request_start", "connection_create_start", "request_headers_sent", "request_end"],
)
async def test_no_trace_that_raises_shows_the_token(event: str, shown: list[str]) -> None:
    async def broken(session: object, context: object, parameters: object) -> None:
        shown.append(repr(parameters))
        raise ValueError("of the trace")

    trace = aiohttp.TraceConfig()
    getattr(trace, f"on_{event}").append(broken)
    async with (
        serving(plain(b"{}")) as (url, _),
        ProlificClient(TOKEN, base_url=url, retry=ONCE, trace_configs=[trace]) as client,
    ):
        error: object = await outcome(shown, client.batches.get("b1"))
        assert isinstance(error, ValueError)
        assert traceback.extract_tb(error.__traceback__)[-1].name == "broken"
        error = await outcome(shown, client.batches.setup("b1"))
        while isinstance(error, ProlificError):
            error = error.__cause__
        assert isinstance(error, ValueError)
        assert traceback.extract_tb(error.__traceback__)[-1].name == "broken"


async def test_the_parts_of_a_group_that_a_trace_raises_keep_no_locals() -> None:
    def send(headers: object) -> None:
        raise ValueError(f"{type(headers).__name__} of the trace")

    async def broken(session: object, context: object, parameters: Any) -> None:
        failures: list[ValueError] = []
        try:
            send(parameters.headers)
        except ValueError as error:
            failures.append(error)
        raise ExceptionGroup("of the trace", failures)  # without one of them as its context

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(broken)
    async with ProlificClient(TOKEN, base_url=HERE, retry=ONCE, trace_configs=[trace]) as client:
        with pytest.raises(ExceptionGroup) as failed:
            await client.batches.get("b1")
    (part,) = failed.value.exceptions
    frames = [frame for frame, _ in traceback.walk_tb(part.__traceback__)]
    assert [frame.f_code.co_name for frame in frames] == ["broken", "send"]
    assert [frame.f_locals for frame in frames] == [{}, {}]


async def test_the_exception_that_the_caller_handles_is_unchanged() -> None:
    async def fail() -> None:
        kept = 5
        raise KeyError(kept)

    async with ProlificClient(TOKEN, base_url=HERE, retry=ONCE) as client:
        try:
            await fail()
        except KeyError as error:
            with pytest.raises(ConnectError):
                await client.batches.get("b1")
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert frames[-1].f_locals == {"kept": 5}


def test_the_repr_of_a_token_does_not_show_it() -> None:
    token = Token(TOKEN)
    assert {str(token), repr(token), f"{token}"} == {"[token]"}
    assert TOKEN not in repr(CIMultiDict({"Authorization": token.authorization()}))
    assert token.authorization() == f"Token {TOKEN}"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickled"):
            copied(token)


# --- where it is sent --------------------------------------------------------------------------

READY = {"status": "READY", "results": []}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with serving(plain(b"{}")) as (elsewhere, strayed):
        away = [f"{header}: {elsewhere}/x" for header in ("Location", "Content-Location")]
        away += [f'Refresh: 0; url="{elsewhere}"', f'Alt-Svc: h2="{elsewhere[7:]}"']
        async with (
            serving(plain(b"", *away, status=f"{status} Elsewhere")) as (url, heads),
            ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=BRIEF) as client,
        ):
            await verbs_show_nothing(client, [])
            assert heads
    assert strayed == []


async def test_a_link_to_another_host_is_not_followed() -> None:
    async with serving(plain(b"{}")) as (elsewhere, strayed):
        answers = [
            {"results": [], "_links": {"next": {"href": f"{elsewhere}/x?page={page}"}}}
            for page in range(3)
        ]
        bodies = iter([*map(json.dumps, answers), "{}"])

        async def pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(plain(next(bodies).encode()))
            await writer.drain()

        async with serving(pages) as (url, heads), ProlificClient(TOKEN, base_url=url) as client:
            assert await client.batches.list("w1") == []
    assert strayed == []
    assert [head.split()[1].split(b"?")[1] for head in heads] == [
        b"workspace_id=w1",
        *(b"page=%d" % page for page in range(3)),
    ]


async def test_a_proxy_does_not_get_the_token(
    monkeypatch: pytest.MonkeyPatch, shown: list[str]
) -> None:
    refusal = plain(b"", status="407 Proxy Authentication Required")
    async with serving(refusal) as (proxy, heads), serving(plain(b"{}")) as (url, direct):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        async with ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=BRIEF) as client:
            await verbs_show_nothing(client, shown)
        assert direct
        assert heads == []  # loopback is never proxied
        remote = ProlificClient(
            TOKEN, base_url="https://api.prolific.invalid", retry=ONCE, poll=BRIEF
        )
        async with remote:
            assert isinstance(await outcome(shown, remote.batches.get("b1")), ConnectError)
            await verbs_show_nothing(remote, shown)
    assert {head.split(b" HTTP/")[0] for head in heads} == {b"CONNECT api.prolific.invalid:443"}
    assert TOKEN.encode() not in b"".join(heads)


# --- presigned links ---------------------------------------------------------------------------

SIGNATURE = "5ca1ab1e" * 8
LINKED = {"id": "d1", "name": "Rows", "status": "UNINITIALISED"}


@pytest.fixture
def unlinked(shown: list[str]) -> Iterator[list[str]]:
    """Collect as ``shown`` does, and check that it has no presigned link either."""
    yield shown
    assert shown
    assert not re.findall(f".{{0,90}}{SIGNATURE[:16]}.{{0,30}}", "\n".join(shown))


async def uploading(
    storage: Any, shown: list[str], caplog: pytest.LogCaptureFixture, **options: Any
) -> tuple[list[bytes], list[bytes]]:
    """Upload to a storage with a given response; return the heads of all requests."""
    async with serving(storage) as (far, stored):

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link = {"upload_url": f"{far}/rows.csv?X-Amz-Signature={SIGNATURE}&X-Amz-Expires=60"}
            is_link = b"/upload-url/" in heads[-1].split(b"\r\n")[0]
            writer.write(plain(json.dumps(link if is_link else LINKED).encode()))

        async with serving(answer) as (url, heads):
            client = ProlificClient(TOKEN, base_url=url, retry=ONCE, request_timeout=0.2, **options)
            async with client:
                told: list[object] = []
                call = client.datasets.upload("d1", [{"a": 1}], on_progress=told.append)
                found = await outcome(shown, call)
                shown += map(repr, (client, vars(client), client.datasets, told))
                if isinstance(found, Upload):
                    shown += [repr(found.to_dict()), str(pickle.dumps(found)), repr(found)]
            shown += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
            return list(heads), list(stored)


SIGNED = SIGNATURE.encode()
STORAGES = {
    "stored": plain(b""),
    "stored, with an echo": plain(SIGNED, f"ETag: {SIGNATURE}", f"X-Echo: {SIGNATURE}"),
    "a redirect": plain(b"", f"Location: /{SIGNATURE}", status="307 Elsewhere"),
    "refused": plain(
        b"<Error><Code>AccessDenied</Code><Message>no " + SIGNED + b"</Message></Error>",
        status="403 No",
    ),
    "refused as JSON": plain(b'{"detail": "' + SIGNED + b'"}', status="400 No"),
    "refused in a reason": plain(b"", status=f"403 {SIGNATURE}"),
    "refused in a hint": plain(b"", f"Retry-After: {SIGNATURE}", status="503 Busy"),
    "refused with an id": plain(b"", f"X-Amz-Request-Id: {SIGNATURE}", status="403 No"),
    "no HTTP": SIGNED + b"\r\n\r\n",
    "a bad header": b"HTTP/1.1 200 OK\r\n(" + SIGNED + b"): 1\r\n\r\n",
    "nothing": b"",
    "half": plain(SIGNED, status="500 Oops", length=1000),
    "silent": silent,
}


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
async def test_no_upload_shows_the_link_or_sends_the_token_to_the_storage(
    storage: Any, unlinked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # asyncio's log shows each callback
    traced: list[str] = []

    async def note(_session: object, _context: object, parameters: Any) -> None:
        traced.append(repr(parameters))

    trace = aiohttp.TraceConfig()
    for event in ("request_start", "request_end", "request_exception", "request_headers_sent"):
        getattr(trace, f"on_{event}").append(note)
    asked, stored = await uploading(storage, unlinked, caplog, trace_configs=[trace])
    assert len(asked) == 2
    assert all(TOKEN.encode() in head for head in asked)
    assert stored
    assert not any(TOKEN.encode() in head for head in stored)
    assert not any("PUT" in one for one in traced)
    # A trace sees the token itself, as it sees all headers.
    unlinked += [one.replace(TOKEN, "") for one in traced]


async def test_a_session_s_credentials_do_not_go_to_the_storage(
    unlinked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Gateway-Key": "of-the-gateway"}
    async with aiohttp.ClientSession(headers=headers, cookies={"c": "of-the-jar"}) as session:
        asked, stored = await uploading(plain(b""), unlinked, caplog, session=session)
    assert all(b"of-the-gateway" in head for head in asked)
    assert not any(b"of-the" in head for head in stored)


def test_no_schema_has_a_link() -> None:
    schema = json.dumps(TypeAdapter(Upload | Dataset).json_schema()).lower()
    assert "upload_url" not in schema
    assert "expires_at" not in schema
    assert "import_id" in schema


# --- ids ---------------------------------------------------------------------------------------


class Wire:
    """A client and a raw server that records the target of each request."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._stack = AsyncExitStack()
        runner.run(self._open())

    async def _open(self) -> None:
        url, self._heads = await self._stack.enter_async_context(
            serving(plain(json.dumps(READY).encode()))
        )
        self._client = await self._stack.enter_async_context(
            ProlificClient(TOKEN, base_url=url, retry=ONCE, poll=PollPolicy(timeout=0))
        )

    def close(self) -> None:
        self._runner.run(self._stack.aclose())

    def target_of(self, verb: str, identifier: str) -> str:
        """Make a call with an id and return the target of its request."""
        self._heads.clear()

        async def call() -> None:
            with suppress(ProlificError):
                await getattr(self._client.batches, verb)(identifier)

        self._runner.run(call())
        return self._heads[0].split(b"\r\n")[0].decode("ascii")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with asyncio.Runner() as runner:
        wire = Wire(runner)
        yield wire
        wire.close()


PIECES = [
    *("..", "/", "\\", "%2e%2e", "%2F", "%252f", "..%00", "//evil.example", "a"),
    *"?#;&=@:~.",
    *("\u2024\u2024", "\uff0f", "\u2215", "caf\u00e9", "\U0001f600"),  # dots and slashes of others
]
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join) | st.text(
    st.characters(exclude_categories=("C", "Z")), min_size=1
)
BATCHES = "/api/v1/data-collection/batches"


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("get", f"GET {BATCHES}/ID HTTP/1.1"),
        ("get_status", f"GET {BATCHES}/ID/status HTTP/1.1"),
        ("wait_until_ready", f"GET {BATCHES}/ID/status HTTP/1.1"),
        ("duplicate", f"POST {BATCHES}/ID/duplicate HTTP/1.1"),
        ("setup", f"POST {BATCHES}/ID/setup HTTP/1.1"),
        ("list", f"GET {BATCHES}?workspace_id=ID HTTP/1.1"),
    ],
)
@given(identifier=HOSTILE.filter(lambda text: text not in (".", "..")))
@example(identifier="../../users/me")
@example(identifier="%2e%2e")
@example(identifier="b1?x=1#y")
@example(identifier="long" * 1500)
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_id_changes_the_path_of_a_request(
    wire: Wire, verb: str, line: str, identifier: str
) -> None:
    before, after = line.split("ID")
    seen = wire.target_of(verb, identifier)
    assert seen.startswith(before)
    assert seen.endswith(after)
    encoded = seen.removeprefix(before).removesuffix(after)
    assert re.fullmatch(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})+", encoded)
    assert encoded not in (".", "..")
    assert unquote(encoded, errors="strict") == identifier
