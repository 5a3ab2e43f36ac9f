"""``batches.responses``: streams that are slow, cut, endless or malformed, and loops left early."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import tracemalloc
import zlib
from collections import Counter
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import (
    AuthenticationError,
    Batch,
    ConfigurationError,
    ConnectionLostError,
    DatasetSchema,
    DecodeError,
    NotFoundError,
    ProlificClient,
    ProlificError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TaskDetails,
    TaskResponse,
    TransportError,
    _time_slices,
)
from prolific_async import layout as ui
from prolific_async._api.task_responses import MAX_RECORD
from prolific_async.simulator import Fault, Simulator
from tests.conftest import QUICK_RETRY
from tests.http.raw import TOKEN, plain, serving
from tests.samples import batch, task_response
from tests.virtual_time import LoopbackLoop, run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

MIB = 2**20
PATH = "/api/v1/data-collection/batches/b1/responses"
CALL = f"GET {PATH}"
RECORDS = [task_response(id=f"r{number}") for number in range(5)]
IDS = [record["id"] for record in RECORDS]
WHOLE = json.dumps({"results": RECORDS, "meta": {"count": 5}}).encode()
BEGIN = b'{"results": ['
THREE = BEGIN + b",".join(json.dumps(record).encode() for record in RECORDS[:3])
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def one_after_another(*answers: Any) -> Any:
    """Answer each request by the next handler, and all further ones by the last handler."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(this, bytes):
            writer.write(this)
            await writer.drain()
        else:
            await this(reader, writer)

    return answer


@asynccontextmanager
async def client_of(answer: Any, **given: Any) -> AsyncIterator[tuple[ProlificClient, list[bytes]]]:
    """Yield a client of a server with this handler, and the heads of the requests."""
    options: dict[str, Any] = {"request_timeout": 2.0, "retry": QUICK_RETRY} | given
    async with (
        serving(answer) as (url, heads),
        ProlificClient(TOKEN, base_url=url, **options) as client,
    ):
        yield client, heads


async def collect(client: ProlificClient, found: list[str]) -> None:
    """Add the ids of all responses, those before an error too."""
    async for one in client.batches.responses("b1"):
        found += [one.id]


async def ids_of(client: ProlificClient) -> list[str]:
    found: list[str] = []
    await collect(client, found)
    return found


async def failing(answer: Any, **options: Any) -> tuple[list[str], ProlificError, int]:
    """Return what is yielded before an error, the error, and the number of requests."""
    found: list[str] = []
    async with client_of(answer, **options) as (client, heads):
        with pytest.raises(ProlificError) as caught:
            await collect(client, found)
        error = caught.value
    assert CALL in str(error)
    assert TOKEN not in f"{error} {error!r} {vars(error)}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    return found, error, len(heads)


# --- what is yielded, and when ---------------------------------------------------------------


async def test_responses_are_yielded_in_their_order() -> None:
    async with client_of(plain(WHOLE)) as (client, heads):
        found = [one async for one in client.batches.responses("b1")]
    assert found == [TaskResponse.from_dict(record) for record in RECORDS]
    assert [head.split(b"\r\n")[0] for head in heads] == [f"{CALL} HTTP/1.1".encode()]
    assert b"\r\nAuthorization: Token " in heads[0]


@pytest.mark.parametrize(
    "body",
    [
        b'{"results": []}',
        b'{"results": null, "meta": {"count": 0}}',
        b'{"meta": {"count": 0}}',
        b"\xef\xbb\xbf {}\r\n",
    ],
    ids=repr,
)
async def test_an_empty_list_yields_nothing(body: bytes) -> None:
    async with client_of(plain(body)) as (client, _):
        assert await ids_of(client) == []


async def test_a_batch_has_the_verb_too() -> None:
    async with client_of(
        one_after_another(plain(json.dumps(batch().to_dict()).encode()), plain(WHOLE))
    ) as (client, _):
        ready = await client.batches.get("b1")
        assert [one.id async for one in ready.responses()] == IDS
    with pytest.raises(ConfigurationError, match="came from no client"):
        Batch.from_dict(ready.to_dict()).responses()


async def test_each_response_is_yielded_before_the_next_one_has_come() -> None:
    more = asyncio.Queue[bytes]()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b' { "meta" : { "count" : 5 } , "results" : [ '))
        while piece := await more.get():
            writer.write(chunk(piece))
        writer.write(chunk(b"]}") + chunk(b""))

    async with client_of(answer) as (client, _):
        responses = client.batches.responses("b1")
        for number, record in enumerate(RECORDS):
            more.put_nowait(b", "[: 2 * number] + json.dumps(record).encode())
            assert (await anext(responses)).id == IDS[number]
        more.put_nowait(b"")
        with pytest.raises(StopAsyncIteration):
            await anext(responses)


async def test_responses_may_come_byte_by_byte() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for byte in WHOLE:
            writer.write(chunk(bytes([byte])))
            await asyncio.sleep(0)
        writer.write(chunk(b""))

    async with client_of(answer) as (client, _):
        assert await ids_of(client) == IDS


async def test_others_run_while_responses_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_time_slices, "_SLICE", 0.0)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with client_of(plain(WHOLE)) as (client, _):
        other = asyncio.create_task(count_turns())
        at = [turns async for _ in client.batches.responses("b1")]
        other.cancel()
    assert len(set(at)) == len(RECORDS)


async def test_every_page_is_read() -> None:
    page = {"results": RECORDS[:2], "_links": {"next": {"href": "https://x/?page=2"}}}
    last = {"meta": {"count": 5}, "results": RECORDS[2:]}
    pages = [plain(json.dumps(one).encode()) for one in (page, last)]
    async with client_of(one_after_another(*pages)) as (client, heads):
        assert await ids_of(client) == IDS
    assert [head.split()[1].decode() for head in heads] == [PATH, f"{PATH}?page=2"]


@pytest.mark.parametrize("given", ["", "..", "a b", 5, None])
async def test_an_invalid_id_is_refused_by_the_call_itself(given: Any) -> None:
    client = ProlificClient(TOKEN)
    with pytest.raises(ValueError, match="id"):
        client.batches.responses(given)


async def test_a_closed_client_is_refused_by_the_call_itself() -> None:
    async with ProlificClient(TOKEN) as client:
        pass
    with pytest.raises(ConfigurationError, match="closed"):
        client.batches.responses("b1")


# --- slow streams ----------------------------------------------------------------------------


def then_silent(begin: bytes) -> Any:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(begin))
        await reader.read()

    return answer


async def test_a_stream_may_take_longer_than_a_request() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for at in range(0, len(WHOLE), 70):
            writer.write(chunk(WHOLE[at : at + 70]))
            await asyncio.sleep(0.02)
        writer.write(chunk(b""))

    async with client_of(answer, request_timeout=0.1) as (client, _):
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await ids_of(client) == IDS
        assert loop.time() - began > 0.2


async def test_a_stream_that_stands_still_is_timed_out() -> None:
    found, error, requests = await failing(then_silent(THREE + b","), request_timeout=0.05)
    assert (found, requests) == (IDS[:3], 1)
    assert isinstance(error, RequestTimeoutError)
    assert "after 3 responses had been yielded; another call starts over" in str(error)


async def test_a_loop_may_take_longer_than_request_timeout() -> None:
    async with client_of(one_after_another(plain(WHOLE)), request_timeout=0.05) as (client, _):
        found = []
        async for one in client.batches.responses("b1"):
            found.append(one.id)
            await asyncio.sleep(0.04)
        assert found == IDS


# --- cut streams -----------------------------------------------------------------------------


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def then_reset(begin: bytes) -> Any:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(begin))
        await asyncio.sleep(0.01)
        writer.transport.abort()

    return answer


def without_length(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


CUTS: dict[str, Callable[[bytes], Any]] = {
    "reset": then_reset,
    "of a length": lambda begin: plain(begin, length=len(WHOLE)),
    "chunked": lambda begin: CHUNKED + chunk(begin) + b"400\r\n{",
    "without a length": without_length,
    "of its own length": plain,
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_stream_that_is_cut_before_its_first_response_begins_again(cut: str) -> None:
    cuts = [CUTS[cut](begin) for begin in (b"{", BEGIN + b'{"id": "r0')]
    async with client_of(one_after_another(*cuts, plain(WHOLE))) as (client, heads):
        assert await ids_of(client) == IDS
    assert len(heads) == 3


@pytest.mark.parametrize("cut", CUTS)
async def test_a_stream_that_is_cut_later_tells_how_many_responses_there_were(cut: str) -> None:
    answer = one_after_another(CUTS[cut](THREE + b', {"id":'), plain(WHOLE))
    found, error, requests = await failing(answer)
    assert (found, requests) == (IDS[:3], 1)
    assert isinstance(error, ConnectionLostError)
    assert "after 3 responses had been yielded; another call starts over); try again" in str(error)


async def test_a_stream_that_is_cut_at_any_byte() -> None:
    for end in range(0, len(WHOLE) - 1, 97):
        answer = one_after_another(plain(WHOLE[:end], length=len(WHOLE)), plain(WHOLE))
        async with client_of(answer) as (client, heads):
            found: list[str] = []
            with suppress(ConnectionLostError):
                await collect(client, found)
        came = WHOLE[:end].count(b"}}")
        assert found == (IDS[:came] or IDS)
        assert len(heads) == (1 if came else 2)


@pytest.mark.parametrize(
    "answer",
    [reset, plain(b"", status="503 Busy"), then_silent(b"{")],
    ids=["reset", "503", "silent"],
)
async def test_a_stream_that_fails_at_first_begins_again(answer: Any) -> None:
    answers = one_after_another(answer, plain(WHOLE))
    async with client_of(answers, request_timeout=0.1) as (client, heads):
        assert await ids_of(client) == IDS
    assert len(heads) == 2


def test_a_stream_begins_again_after_the_pause_that_is_asked_for() -> None:
    async def main() -> None:
        async with (
            Simulator() as service,
            ProlificClient(service.token, base_url=service.url) as client,
        ):
            batch_id = service.add_batch(status="READY", datapoints=3)
            service.answer(batch_id, participants=3)
            service.inject("GET", "/responses", Fault(503, headers={"Retry-After": "40"}))
            began = asyncio.get_running_loop().time()
            assert len([one async for one in client.batches.responses(batch_id)]) == 3
            assert asyncio.get_running_loop().time() - began >= 40

    run(main(), LoopbackLoop)


async def test_a_stream_begins_again_as_often_as_the_policy_says() -> None:
    retry = RetryPolicy(max_attempts=3, initial=0.001, maximum=0.001)
    found, error, requests = await failing(plain(b"{", length=10), retry=retry)
    assert (found, requests, error.attempts) == ([], 3, 3)
    assert isinstance(error, ConnectionLostError)
    assert "responses, which" not in str(error)


async def test_the_failure_of_a_later_attempt_tells_all_of_them() -> None:
    answers = one_after_another(plain(b"", status="503 Busy"), plain(THREE, length=9000))
    found, error, requests = await failing(answers)
    assert (found, requests, error.attempts) == (IDS[:3], 2, 2)


async def test_a_page_that_is_cut_before_its_first_response_begins_again() -> None:
    page = {"results": RECORDS[:2], "_links": {"next": {"href": "https://x/?page=2"}}}
    pages = [
        plain(json.dumps(page).encode()),
        plain(b"{", length=10),
        plain(json.dumps({"results": RECORDS[2:]}).encode()),
    ]
    async with client_of(one_after_another(*pages)) as (client, heads):
        assert await ids_of(client) == IDS
    assert len(heads) == 3


async def test_a_page_that_is_given_up_tells_of_the_responses_before_it() -> None:
    pages = [
        plain(json.dumps({"results": records, "_links": {"next": {"href": link}}}).encode())
        for records, link in (
            (RECORDS[:2], "https://x/?page=2"),
            (RECORDS[2:], "https://x/?page=3"),
        )
    ]
    found, error, _ = await failing(one_after_another(*pages, reset))
    assert found == IDS
    assert isinstance(error, TransportError)
    assert "after 5 responses" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [("401 No", AuthenticationError), ("404 No", NotFoundError), ("501 No", ServerError)],
)
async def test_a_refusal_is_not_repeated(status: str, kind: type[ProlificError]) -> None:
    found, error, requests = await failing(plain(b'{"detail": "no"}', status=status))
    assert (found, requests) == ([], 1)
    assert isinstance(error, kind)


# --- endless and malformed streams -----------------------------------------------------------


def endless(begin: bytes, piece: bytes) -> Any:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + begin)
        while True:
            writer.write(piece)
            await writer.drain()

    return answer


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (BEGIN + b'{"id": "', b"x" * 10_000),
        (BEGIN + b'{"id": "', b'\\"' * 5000),
        (THREE + b', {"x": [', (b'"' + b"x" * 100 + b'",') * 100),
        (THREE, b" " * 10_000),
        (b'{"', b"x" * 10_000),
        (b'{"meta": ', b"1" * 10_000),
    ],
    ids=["text", "escapes", "array", "space", "key", "number"],
)
async def test_a_value_without_end_is_refused_in_bounded_memory(begin: bytes, piece: bytes) -> None:
    tracemalloc.start()
    try:
        found, error, requests = await failing(endless(begin, piece), request_timeout=20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(found), requests) == (begin.count(b"}}"), 1)
    assert isinstance(error, DecodeError)
    assert f"more than {MAX_RECORD} characters in one value" in str(error)
    assert error.body is None
    assert peak < 48 * MIB


async def test_members_without_end_are_refused() -> None:
    members = endless(THREE + b"]", b',"x":1' * 5000)
    found, error, _ = await failing(members, request_timeout=20)
    assert len(found) == 3
    assert isinstance(error, DecodeError)
    assert "more than 1000 keys" in str(error)


async def test_a_stream_without_end_is_read_in_bounded_memory() -> None:
    many = b"".join(json.dumps(record).encode() + b"," for record in RECORDS) * 20
    number = 0
    async with client_of(endless(BEGIN, many)) as (client, _):
        tracemalloc.start()
        try:
            async with aclosing(client.batches.responses("b1")) as responses:
                async for _one in responses:
                    number += 1
                    if number == 6000:
                        break
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert number == 6000
    assert peak < 6 * MIB


async def test_a_response_may_be_4_mib_long() -> None:
    record = task_response(answer=[{"value": "x" * (MAX_RECORD - 500)}])
    async with client_of(plain(json.dumps({"results": [record]}).encode())) as (client, _):
        [found] = [one async for one in client.batches.responses("b1")]
    assert found.to_dict()["response"] == record["response"]


async def test_a_bomb_is_refused_in_bounded_memory() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(THREE + b',{"id":"')
    packed += b"".join(packer.compress(b"x" * MIB) for _ in range(64)) + packer.flush()
    assert len(packed) < MIB
    tracemalloc.start()
    try:
        found, error, _ = await failing(plain(packed, "Content-Encoding: gzip"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == IDS[:3]
    assert isinstance(error, DecodeError)
    assert f"more than {MAX_RECORD} characters in one value" in str(error)
    assert peak < 48 * MIB


MALFORMED: dict[str, tuple[bytes, int, str]] = {
    "HTML": (b"<html>sorry</html>", 0, "$: not a readable list of JSON ({ is missing at 0)"),
    "nothing": (b"", 0, "$: not a readable list of JSON ({ is missing at 0)"),
    "an array": (b"[]", 0, "$: not a readable list of JSON ({ is missing at 0)"),
    "a message": (
        b'{"message": "maintenance"}',
        0,
        "$: not a list, which has an array of 'results', but an object with 'message'",
    ),
    "an object": (b'{"results": {}}', 0, "$.results: an array is needed, not an object"),
    "no JSON": (THREE + b",oops", 3, "$: not a readable list of JSON (Expecting value at"),
    "NaN": (THREE + b",NaN]}", 3, "$: not a readable list of JSON (NaN is not JSON)"),
    "not UTF-8": (THREE + b',"\xff"]}', 0, "$: not a readable list of JSON ('utf-8' codec"),
    "too deep": (THREE + b"," + b"[" * 100_000, 3, "$: not a readable list of JSON ("),
    "more": (WHOLE + b"{}", 5, "$: not a readable list of JSON (more than one value)"),
    "twice": (
        WHOLE[:-1] + b', "results": []}',
        5,
        "$: not a readable list of JSON (results twice)",
    ),
    "text": (THREE + b',"r3"]}', 3, "$.results[3]: an object is needed, not a string"),
    "a time": (
        WHOLE.replace(b"2026-03-04T05:06:07.5Z", b"yesterday"),
        0,
        "$.results[0].created_at: an RFC 3339 time is needed",
    ),
    "no answer": (
        WHOLE.replace(b'"answer"', b'"x"', 3).replace(b'"x"', b'"answer"', 2),
        2,
        "$.results[2].response.answer: it is missing",
    ),
    "too few": (
        WHOLE.replace(b'"count": 5', b'"count": 6'),
        5,
        "$: 5 of 6 responses, and no link to more",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_stream_is_a_decode_error(kind: str) -> None:
    body, number, problem = MALFORMED[kind]
    found, error, requests = await failing(plain(body, "X-Request-Id: q1"))
    assert (found, requests) == (IDS[:number], 1)
    assert isinstance(error, DecodeError)
    assert error.problems[0].startswith(problem)
    if kind != "too few":
        assert error.request_id == "q1"


# --- loops that are left early ---------------------------------------------------------------


async def test_closing_the_generator_gives_the_connection_back() -> None:
    answer = one_after_another(*[then_silent(THREE + b",")] * 3, plain(WHOLE))
    async with client_of(answer, max_connections=1) as (client, _):
        for number in range(3):
            async with aclosing(client.batches.responses("b1")) as responses:
                for _one in range(number):
                    await anext(responses)
                if number == 0:
                    await anext(responses)
        async with asyncio.timeout(1):
            assert await ids_of(client) == IDS


async def test_a_break_gives_the_connection_back_as_soon_as_the_loop_runs() -> None:
    answer = one_after_another(then_silent(THREE + b","), plain(WHOLE))
    async with client_of(answer, max_connections=1) as (client, _):
        async for one in client.batches.responses("b1"):
            assert one.id == "r0"
            break
        async with asyncio.timeout(1):
            assert await ids_of(client) == IDS


async def dropped(responses: AsyncGenerator[TaskResponse]) -> None:
    await anext(responses)


async def left_by_an_error(responses: AsyncGenerator[TaskResponse]) -> None:
    with suppress(ValueError):
        async for one in responses:
            raise ValueError(f"of the loop: {one.id}")


async def dropped_in_a_cycle(responses: AsyncGenerator[TaskResponse]) -> None:
    await anext(responses)
    kept: list[Any] = [responses]
    kept.append(kept)


@pytest.mark.parametrize("leave", [dropped, left_by_an_error, dropped_in_a_cycle])
async def test_responses_that_nobody_closes_give_the_connection_back(leave: Any) -> None:
    answer = one_after_another(then_silent(THREE + b","), plain(WHOLE))
    async with client_of(answer, max_connections=1) as (client, _):
        await leave(client.batches.responses("b1"))
        gc.collect()
        async with asyncio.timeout(1):
            assert await ids_of(client) == IDS


async def test_an_error_of_the_loop_is_its_own() -> None:
    answer = one_after_another(then_silent(THREE + b","), plain(WHOLE))

    async def fail(client: ProlificClient) -> None:
        async with aclosing(client.batches.responses("b1")) as responses:
            async for _one in responses:
                raise ValueError("of the loop")

    async with client_of(answer, max_connections=1) as (client, _):
        with pytest.raises(ValueError, match="of the loop"):
            await fail(client)
        async with asyncio.timeout(1):
            assert await ids_of(client) == IDS


@pytest.mark.parametrize("begin", [b"", THREE + b","], ids=["at first", "later"])
async def test_cancelling_gives_the_connection_back(begin: bytes) -> None:
    silent = then_silent(begin) if begin else _silent
    async with client_of(one_after_another(silent, plain(WHOLE)), max_connections=1) as (
        client,
        heads,
    ):
        reading = asyncio.create_task(ids_of(client))
        while not heads:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with asyncio.timeout(1):
            assert await ids_of(client) == IDS


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_closing_the_client_ends_it() -> None:
    async with client_of(then_silent(THREE + b","), request_timeout=30) as (client, _):
        responses = client.batches.responses("b1")
        found = [(await anext(responses)).id for _ in range(3)]
        waiting = asyncio.create_task(anext(responses))
        await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(ConnectionLostError, match="closed, after 3 responses") as caught:
            await waiting
    assert found == IDS[:3]
    assert CALL in str(caught.value)


async def test_a_generator_that_was_never_begun_sends_nothing() -> None:
    async with client_of(plain(WHOLE)) as (client, heads):
        client.batches.responses("b1")
        await asyncio.sleep(0)
    assert heads == []


# --- many at once ----------------------------------------------------------------------------

STATUS = json.dumps({"status": "READY"}).encode()


@asynccontextmanager
async def with_two_of_three(*later: Any) -> AsyncIterator[tuple[ProlificClient, Any, Any]]:
    """Yield a client of four connections, two stalled streams, and one that waits."""
    silent = then_silent(THREE + b",")
    async with client_of(one_after_another(silent, silent, *later), max_connections=4) as (
        client,
        heads,
    ):
        streams = [client.batches.responses("b1") for _ in range(2)]
        for one in streams:
            await anext(one)
        third = asyncio.create_task(ids_of(client))
        await asyncio.sleep(0.02)
        assert len(heads) == 2
        yield client, streams, third
        for one in streams:
            await one.aclose()


async def test_streams_leave_half_of_the_connections_to_waits_and_calls() -> None:
    async with with_two_of_three(plain(STATUS), plain(STATUS), plain(WHOLE)) as (
        client,
        streams,
        third,
    ):
        async with asyncio.timeout(1):
            assert await client.batches.get_status("b1") == "READY"
            assert await client.with_options().batches.get_status("b1") == "READY"
            assert not third.done()
            await streams[0].aclose()
            assert await third == IDS


async def test_a_stream_that_waits_for_its_turn_may_be_cancelled() -> None:
    async with with_two_of_three(plain(WHOLE)) as (client, streams, third):
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third
        async with asyncio.timeout(1):
            await streams[1].aclose()
            assert await ids_of(client) == IDS


async def test_closing_the_client_ends_the_streams_that_wait_for_their_turn() -> None:
    async with with_two_of_three(plain(WHOLE)) as (client, _, third):
        fourth = asyncio.create_task(ids_of(client))
        await asyncio.sleep(0)
        await client.close()
        for one in (third, fourth):
            with pytest.raises(ConfigurationError, match="is closed"):
                async with asyncio.timeout(1):
                    await one


async def test_views_take_turns_with_their_client() -> None:
    async with with_two_of_three(plain(WHOLE)) as (client, streams, third):
        third.cancel()
        view = asyncio.create_task(ids_of(client.with_options(request_timeout=1)))
        await asyncio.sleep(0.02)
        assert not view.done()
        await streams[0].aclose()
        assert await view == IDS


# --- from the rows to their answers, over the simulator -----------------------------------------

KEYED = DatasetSchema.of(id="text", prompt="text", META_ROW_KEY="metadata")
TASK = TaskDetails("Rate", "Say what you think.", "<ol><li>Read</li></ol>")
ITEMS: list[ui.Item] = [
    ui.FreeText("Which is better?"),
    ui.MultipleChoice("Good?", ["Yes", "No"]),
    ui.FreeTextWithUnit("How heavy?", ["kg", "lb"], "suffix"),
    ui.StarRating("How good?"),
    ui.FileUpload("A photo"),
]
ROWS = [
    {"id": "1", "prompt": "equal"},
    {"id": "2 ", "prompt": "equal"},
    {"id": '&amp; <b>"3"</b>', "prompt": "typed &amp; by people"},
    {"id": "é😀", "prompt": "line\r\nend"},
    {"id": "5,\n", "prompt": "null"},
]


@pytest.mark.parametrize("schema", [None, KEYED], ids=["V3", "V4"])
async def test_every_answer_has_the_key_of_its_row(
    sim: Simulator, client: ProlificClient, schema: DatasetSchema | None
) -> None:
    dataset = await client.datasets.create(sim.workspace_id, name="Rows", schema=schema)
    await (await dataset.upload(ROWS, key="id")).wait()
    new = await client.batches.create(
        sim.workspace_id, name="R", task=TASK, items=[ui.Page.of(*ITEMS)], dataset=dataset
    )
    await new.setup()
    ready = await new.wait_until_ready()
    assert [one async for one in ready.responses()] == []
    people = sim.answer(ready.id, participants=len(ROWS) * len(ITEMS))

    found = [one async for one in ready.responses()]
    assert len(found) == len(ROWS) * len(ITEMS)
    assert {one.participant_id for one in found} == set(people)
    assert {one.batch_id for one in found} == {ready.id}
    tasks = {one.task_id: one.key for one in found}
    assert Counter(tasks.values()) == {row["id"]: len(ITEMS) for row in ROWS}
    assert [one.key for one in found] == [tasks[one.task_id] for one in found]
    assert {one.type for one in found} == {item.to_dict()["type"] for item in ITEMS}
    assert all(one.answers for one in found)


@pytest.mark.slow
async def test_faults_of_the_simulator(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="READY", datapoints=3)
    sim.answer(batch_id, participants=3)
    for fault in (
        Fault(503),
        Fault(429),
        Fault(reset="before"),
        Fault(reset="after"),
        Fault(cut=9),
    ):
        sim.inject("GET", "/responses", fault)
        assert len([one async for one in client.batches.responses(batch_id)]) == 3
    sim.inject("GET", "/responses", Fault(cut=900))
    with pytest.raises(ConnectionLostError, match="after 1 response had"):
        [one async for one in client.batches.responses(batch_id)]
