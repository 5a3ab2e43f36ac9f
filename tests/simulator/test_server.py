"""Faults and odd requests on a socket, byte by byte."""

import asyncio
import contextlib
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from prolific_async.simulator import Ending, Fault, OmittedBody, Simulator
from prolific_async.simulator.fault_middleware import _reset
from prolific_async.simulator.request_body import MAX_BODY
from tests.conftest import NOON
from tests.costs import LIMIT, held_by

BATCHES = "/api/v1/data-collection/batches"
STATUS_BODY = b'{"status": "UNINITIALISED"}'


@attrs.define
class Connection:
    """One connection without an HTTP client, so that nothing is repeated or hidden."""

    sim: Simulator
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, method: str, path: str, *lines: str, body: bytes = b"") -> None:
        head = [f"{method} {BATCHES}{path} HTTP/1.1", "Host: localhost"]
        head += [f"Authorization: Token {self.sim.token}", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers

    async def response(self) -> tuple[int, bytes]:
        status, headers = await self.head()
        return status, await self.reader.readexactly(int(headers["content-length"]))

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def connect(sim: Simulator) -> Connection:
    port = int(sim.url.rpartition(":")[2])
    return Connection(sim, *await asyncio.open_connection("127.0.0.1", port))


@pytest.fixture
async def quiet(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Fail if a warning is logged or the loop's exception handler is called."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    yield
    await asyncio.sleep(0.01)
    assert complaints == []
    # Not `caplog.records`, which is a new list by now.
    records = caplog.get_records("setup") + caplog.get_records("call")
    assert [record for record in records if record.levelno >= logging.WARNING] == []


@pytest.fixture
async def sim(quiet: None) -> AsyncIterator[Simulator]:
    async with asyncio.timeout(5), Simulator() as simulator:
        yield simulator


@pytest.fixture
async def wire(sim: Simulator) -> AsyncIterator[Connection]:
    connection = await connect(sim)
    yield connection
    await connection.close()


@pytest.fixture
def batch_id(sim: Simulator) -> str:
    return sim.add_batch()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def finished(sim: Simulator, count: int = 1) -> list[int | None]:
    """Wait until so many requests are over; returns their statuses."""
    await until(lambda: len(sim.requests) >= count)
    return [seen.status for seen in sim.requests]


async def test_a_connection_is_kept_and_every_response_has_a_date(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    for _ in range(3):
        await wire.send("GET", f"/{batch_id}/status")
        status, headers = await wire.head()
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["date"] == format_datetime(NOON, usegmt=True).lower()
        assert await wire.reader.readexactly(int(headers["content-length"])) == STATUS_BODY
    assert await finished(sim) == [200] * 3


async def test_the_path_arrives_undecoded_and_the_query_decoded(
    sim: Simulator, wire: Connection
) -> None:
    sim.add_batch(batch_id="a/b %41")
    await wire.send("GET", "/a%2Fb%20%2541/status/?x=%2F&y=1&x=2")
    assert await wire.response() == (200, STATUS_BODY)
    assert sim.requests[0].path == f"{BATCHES}/a%2Fb%20%2541/status/"
    assert sim.requests[0].query == {"x": "/", "y": "1"}


async def test_a_large_body_is_accepted(sim: Simulator, wire: Connection, batch_id: str) -> None:
    name = "x" * 3_000_000
    body = json.dumps({"name": name}).encode()
    await wire.send("POST", f"/{batch_id}/duplicate", body=body)
    assert (await wire.response())[0] == 201
    assert sim.requests[0].body == {"name": name}


async def test_a_body_that_is_too_long_is_read_refused_and_not_kept(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    size = MAX_BODY + 2**20

    async def call() -> None:
        await wire.send("POST", f"/{batch_id}/duplicate", f"Content-Length: {size + 2}")
        wire.writer.write(b'"')
        for _ in range(size // 2**18):  # in pieces, so that the test does not block the loop
            wire.writer.write(b"x" * 2**18)
            await wire.writer.drain()
        wire.writer.write(b'"')
        status, response = await wire.response()
        assert (status, str(MAX_BODY) in response.decode()) == (413, True)

    assert await held_by(call) < LIMIT
    await wire.send("GET", f"/{batch_id}/status")  # the connection is still good
    assert await wire.response() == (200, STATUS_BODY)
    assert [seen.body for seen in sim.requests[-2:]] == [OmittedBody(size + 2), None]
    assert len(sim.batches) == 1


async def test_a_fault_comes_before_the_length_of_a_body(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("POST", "/duplicate", Fault(429))
    await wire.send("POST", f"/{batch_id}/duplicate", body=b" " * (MAX_BODY + 1))
    assert (await wire.response())[0] == 429


async def test_100_continue_is_sent_on_request(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    for expect in ("100-continue", "100-Continue"):
        lines = (f"Expect: {expect}", "Content-Length: 13")
        await wire.send("POST", f"/{batch_id}/duplicate", *lines)
        assert await wire.head() == (100, {})
        assert sim.in_flight
        wire.writer.write(b'{"name": "a"}')
        assert (await wire.response())[0] == 201
    assert [seen.body for seen in sim.requests] == [{"name": "a"}] * 2


async def test_100_continue_is_sent_for_a_chunked_body(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    lines = ("Expect: 100-continue", "Transfer-Encoding: chunked")
    await wire.send("POST", f"/{batch_id}/duplicate", *lines)
    assert (await wire.head())[0] == 100
    wire.writer.write(b'3;x=y\r\n{"n\r\nA\r\name": "a"}\r\n0\r\nX-Sum: 1\r\n\r\n')
    assert (await wire.response())[0] == 201
    assert sim.requests[0].body == {"name": "a"}


async def test_a_compressed_body_is_accepted(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    body = gzip.compress(b'{"name": "packed"}')
    await wire.send("POST", f"/{batch_id}/duplicate", "Content-Encoding: gzip", body=body)
    assert (await wire.response())[0] == 201
    assert sim.requests[0].body == {"name": "packed"}


async def test_a_body_that_is_too_long_when_decompressed_is_refused(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    body = gzip.compress(b" " * (MAX_BODY + 1))
    await wire.send("POST", f"/{batch_id}/duplicate", "Content-Encoding: gzip", body=body)
    assert (await wire.response())[0] == 413
    assert sim.requests[0].body == OmittedBody(MAX_BODY + 1)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"name": NaN}'])
async def test_a_connection_outlives_a_body_that_is_refused(
    sim: Simulator, wire: Connection, batch_id: str, body: bytes
) -> None:
    await wire.send("POST", f"/{batch_id}/duplicate", body=body)
    await wire.send("GET", f"/{batch_id}/status")
    assert (await wire.response())[0] == 400
    assert await wire.response() == (200, STATUS_BODY)


async def test_requests_can_be_pipelined(sim: Simulator, wire: Connection, batch_id: str) -> None:
    for number in range(50):
        await wire.send("POST", f"/{batch_id}/duplicate", body=b'{"name": "%d"}' % number)
    assert [(await wire.response())[0] for _ in range(50)] == [201] * 50
    assert [batch.name for batch in sim.batches.values()][1:] == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    "fault", [None, Fault(503), Fault(body={"a": 1}, cut=3), Fault(body={"a": 1}, drip=0)]
)
async def test_a_response_to_head_has_no_body(
    sim: Simulator, wire: Connection, batch_id: str, fault: Fault | None
) -> None:
    if fault:
        sim.inject("HEAD", "/status", fault)
    await wire.send("HEAD", f"/{batch_id}/status")
    await wire.send("GET", f"/{batch_id}/status")
    status, headers = await wire.head()
    assert status == (fault.scripted_response().status if fault else 405)
    assert int(headers["content-length"]) > 0
    assert await wire.response() == (200, STATUS_BODY)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("OPTIONS", "/ID/status", 405), ("GET", "/" + "x" * 7000, 404), ("GET", "/%zz%ff%00", 404)],
)
async def test_odd_requests_keep_the_connection(
    sim: Simulator, wire: Connection, batch_id: str, method: str, path: str, status: int
) -> None:
    await wire.send(method, path.replace("ID", batch_id))
    assert (await wire.response())[0] == status
    await wire.send("GET", f"/{batch_id}/status")
    assert await wire.response() == (200, STATUS_BODY)


async def test_an_offer_to_upgrade_is_ignored(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    for _ in range(2):
        await wire.send("POST", f"/{batch_id}/duplicate", *offer, body=b"{}")
        assert (await wire.response())[0] == 201


@pytest.mark.parametrize(
    ("fault", "copies"),
    [
        (Fault(reset="before"), 0),
        (Fault(reset="after"), 1),
        (Fault(reset="before", delay=0.01), 0),
        (Fault(reset="after", delay=0.01), 1),
    ],
)
async def test_a_reset_reaches_the_client_as_one(
    sim: Simulator, wire: Connection, batch_id: str, fault: Fault, copies: int
) -> None:
    sim.inject("POST", "/duplicate", fault)
    await wire.send("POST", f"/{batch_id}/duplicate", body=b"{}")
    with pytest.raises(ConnectionResetError):
        await wire.reader.read()
    assert len(sim.batches) == 1 + copies
    assert await finished(sim) == [None]
    assert sim.requests[0].body == {}


async def test_the_next_connection_after_a_reset_is_served(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    await wire.send("GET", f"/{batch_id}/status")
    await wire.response()
    sim.inject("GET", "/status", Fault(reset="before"))
    await wire.send("GET", f"/{batch_id}/status")
    with pytest.raises(ConnectionResetError):
        await wire.reader.read()
    other = await connect(sim)
    await other.send("GET", f"/{batch_id}/status")
    assert await other.response() == (200, STATUS_BODY)
    await other.close()
    assert await finished(sim) == [200, None, 200]


@pytest.mark.parametrize(
    "fault", [Fault(503), Fault(body={"id": 1}), Fault(body=b"[", cut=0), Fault(204, drip=0)]
)
async def test_a_scripted_response_replaces_the_request(
    sim: Simulator, wire: Connection, batch_id: str, fault: Fault
) -> None:
    sim.inject("POST", "/duplicate", fault)
    await wire.send("POST", f"/{batch_id}/duplicate")
    status = fault.scripted_response().status
    assert (await wire.head())[0] == status
    assert await finished(sim) == [status]
    assert len(sim.batches) == 1


async def test_an_applied_fault_responds_after_the_request_is_applied(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("POST", "/duplicate", Fault(502, body="<h1>Bad gateway</h1>", applied=True))
    await wire.send("POST", f"/{batch_id}/duplicate")
    assert await wire.response() == (502, b"<h1>Bad gateway</h1>")
    assert len(sim.batches) == 2


async def test_an_applied_fault_does_not_apply_what_the_service_refuses(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("POST", "/setup", Fault(500, applied=True))
    await wire.send("POST", f"/{batch_id}/setup", body=b"[]")
    assert (await wire.response())[0] == 500
    assert sim.batches[batch_id].status == "UNINITIALISED"


async def test_headers_alone_are_added_to_the_real_response(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    sim.inject("GET", "/status", Fault(headers={"Retry-After": "3", "date": date}))
    await wire.send("GET", f"/{batch_id}/status")
    status, headers = await wire.head()
    assert (status, headers["retry-after"], headers["date"]) == (200, "3", date.lower())
    assert headers["content-type"] == "application/json"
    assert await wire.reader.readexactly(len(STATUS_BODY)) == STATUS_BODY


@pytest.mark.parametrize("cut", [0, 1, 5, len(STATUS_BODY), 99])
@pytest.mark.parametrize("drip", [None, 0, 0.001])
async def test_a_cut_response_has_the_full_length_header_and_ends_early(
    sim: Simulator, wire: Connection, batch_id: str, cut: int, drip: float | None
) -> None:
    sim.inject("GET", "/status", Fault(cut=cut, drip=drip))
    await wire.send("GET", f"/{batch_id}/status")
    status, headers = await wire.head()
    assert (status, int(headers["content-length"])) == (200, len(STATUS_BODY))
    assert await wire.reader.read() == STATUS_BODY[:cut]
    assert await finished(sim) == [200]


async def test_a_scripted_response_can_be_cut(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("GET", "/status", Fault(500, body="0123456789", cut=4))
    await wire.send("GET", f"/{batch_id}/status")
    status, headers = await wire.head()
    assert (status, headers["content-length"]) == (500, "10")
    assert await wire.reader.read() == b"0123"


async def test_a_dripping_body_comes_byte_by_byte_and_whole(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("GET", "/status", Fault(body=b"abcd", drip=0.01))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await wire.send("GET", f"/{batch_id}/status")
    await wire.head()
    pieces = [await wire.reader.read(100) for _ in range(4)]
    assert pieces == [b"a", b"b", b"c", b"d"]
    assert loop.time() - begin >= 0.029
    await wire.send("GET", f"/{batch_id}/status")  # the connection is still good
    assert await wire.response() == (200, STATUS_BODY)


async def test_a_delayed_request_is_applied_before_the_delay(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("POST", "/setup", Fault(delay=0.03))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await wire.send("POST", f"/{batch_id}/setup")
    await until(lambda: sim.in_flight)
    assert sim.batches[batch_id].status == "PROCESSING"
    assert (sim.in_flight[0].status, sim.requests) == (None, ())
    assert await wire.response() == (202, b"{}")
    assert loop.time() - begin >= 0.029
    assert await finished(sim) == [202]
    assert sim.in_flight == ()


async def test_requests_are_logged_in_order_of_arrival(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("GET", "/status", Fault(delay=0.02))
    await wire.send("GET", f"/{batch_id}/status")
    await until(lambda: sim.in_flight)
    other = await connect(sim)
    await other.send("GET", f"/{batch_id}")
    await other.response()
    await wire.response()
    await other.close()
    await finished(sim, 2)
    first, second = sim.requests
    assert first.path.endswith("/status")
    assert first.at <= second.at <= asyncio.get_running_loop().time()


async def test_a_request_whose_client_gave_up_is_logged_and_stays_applied(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("POST", "/setup", Fault(delay=60))
    await wire.send("POST", f"/{batch_id}/setup", body=b'{"tasks_per_group": 2}')
    await until(lambda: sim.in_flight)
    await wire.close()
    assert await finished(sim) == [None]
    assert sim.requests[0].body == {"tasks_per_group": 2}
    assert sim.batches[batch_id].status == "PROCESSING"


@pytest.mark.parametrize("drip", [0.0, 0.005])
async def test_a_client_may_disconnect_while_the_body_drips(
    sim: Simulator, wire: Connection, batch_id: str, drip: float
) -> None:
    sim.inject("GET", "/status", Fault(body="x" * 5000, drip=drip))
    await wire.send("GET", f"/{batch_id}/status")
    await wire.head()
    wire.writer.transport.abort()
    assert await finished(sim) == [200]


async def test_a_client_may_disconnect_within_its_request(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    sim.inject("POST", "/duplicate", Fault(500))
    await wire.send("POST", f"/{batch_id}/duplicate", "Content-Length: 20")
    await until(lambda: sim.in_flight)
    wire.writer.transport.abort()
    assert await finished(sim) == [None]
    other = await connect(sim)
    await other.send("POST", f"/{batch_id}/duplicate")
    assert (await other.response())[0] == 500  # the fault waited for a whole request
    await other.close()
    assert len(sim.batches) == 1


async def test_a_client_may_disconnect_without_reading_a_large_response(
    sim: Simulator, wire: Connection
) -> None:
    sim.add_batch(batch_items=["x" * 20_000_000])
    await wire.send("GET", f"?workspace_id={sim.workspace_id}")
    await wire.head()
    wire.writer.transport.abort()
    assert await finished(sim) == [200]


async def test_a_fault_comes_before_every_check(sim: Simulator, wire: Connection) -> None:
    sim.inject("GET", "/nowhere", Fault(429), times=2)
    for status in (429, 429, 404):
        await wire.send("GET", "/nowhere")
        assert (await wire.response())[0] == status


async def test_closing_drops_idle_delayed_and_unfinished_connections_at_once(quiet: None) -> None:
    async with asyncio.timeout(5), Simulator() as sim:
        batch_id = sim.add_batch()
        sim.inject("GET", "/status", Fault(delay=60))
        idle, delayed, unfinished, silent = [await connect(sim) for _ in range(4)]
        await idle.send("GET", f"/{batch_id}")
        await idle.response()
        await delayed.send("GET", f"/{batch_id}/status")
        await unfinished.send("POST", f"/{batch_id}/setup", "Content-Length: 20")
        await until(lambda: len(sim.in_flight) == 2)
        begin = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begin < 4
    for connection in (idle, delayed, unfinished, silent):
        with contextlib.suppress(ConnectionResetError):
            assert await connection.reader.read() == b""
        await connection.close()
    assert [seen.status for seen in sim.requests] == [200, None, None]


async def test_an_exception_in_a_setup_function_gets_500_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def choose(_: object) -> Ending:
        raise LookupError("no plan for this batch")

    async with Simulator(setup=choose) as sim:
        wire = await connect(sim)
        batch_id = sim.add_batch()
        await wire.send("POST", f"/{batch_id}/setup")
        assert (await wire.response())[0] == 500
        await wire.close()
    assert sim.requests[0].status == 500
    assert "no plan for this batch" in caplog.text
    assert sim.token not in caplog.text
    assert sim.batches[batch_id].status == "UNINITIALISED"


async def test_a_body_that_cannot_be_decompressed_ends_the_connection(
    sim: Simulator, wire: Connection, batch_id: str
) -> None:
    await wire.send("POST", f"/{batch_id}/setup", "Content-Encoding: gzip", body=b"no gzip")
    assert (await wire.response())[0] == 400
    assert await wire.reader.read() == b""  # where the next request begins is not known
    assert [seen.status for seen in sim.requests] == [400]


def test_a_closed_connection_is_not_reset() -> None:
    request: Any = SimpleNamespace(transport=None)
    assert _reset(request).status == 200
