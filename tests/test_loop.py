"""No call blocks the event loop for long, whatever the size of the response."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest

from prolific_async import DecodeError, PollPolicy, ProlificClient, ProlificError, RetryPolicy
from prolific_async._api.task_responses import stream_responses
from prolific_async._json.decoding import MAX_PROBLEMS
from prolific_async.simulator import Fault, Simulator
from tests.costs import LIMIT, held_by
from tests.samples import task_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from prolific_async import StatusEvent
    from prolific_async._http.transport import Transport

MANY, HEAVY = 1000, [{"type": "text", "content": "x" * 20_000}]
POLL = PollPolicy(initial=0.01, maximum=0.01, timeout=20)


@pytest.fixture
async def client(far_sim: Simulator) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        far_sim.token, base_url=far_sim.url, poll=POLL, retry=RetryPolicy(max_attempts=1)
    ) as one:
        await one.batches.get(far_sim.add_batch())  # imports and caches
        yield one
    far_sim.clear_faults()


@pytest.fixture(scope="module")
def heavy(far_sim: Simulator) -> str:
    workspace = far_sim.add_workspace()
    for _ in range(MANY):
        far_sim.add_batch(batch_items=HEAVY, workspace_id=workspace, status="READY")
    return workspace


async def test_a_large_list_does_not_block_the_loop(client: ProlificClient, heavy: str) -> None:
    async def call() -> None:
        batches = await client.batches.list(heavy)
        assert len(batches) == MANY
        assert batches[-1].batch_items is not None

    assert await held_by(call) < LIMIT


async def test_a_list_of_many_small_batches_does_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient
) -> None:
    workspace = far_sim.add_workspace()
    for _ in range(5000):
        far_sim.add_batch(workspace_id=workspace)

    async def call() -> None:
        assert len(await client.batches.list(workspace)) == 5000

    assert await held_by(call) < LIMIT


async def test_waits_with_a_large_list_do_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient, heavy: str
) -> None:
    ids = [one.id for one in far_sim.batches.values() if one.workspace_id == heavy]

    async def call() -> None:
        assert len(await client.batches.wait_all(ids)) == MANY

    assert await held_by(call) < LIMIT


@pytest.mark.slow
async def test_later_polls_of_a_large_list_do_not_block_the_loop(far_sim: Simulator) -> None:
    workspace = far_sim.add_workspace()
    ids = [far_sim.add_batch(batch_items=HEAVY, workspace_id=workspace) for _ in range(MANY)]
    async with ProlificClient(
        far_sim.token, base_url=far_sim.url, poll=POLL, strategy="list"
    ) as lister:
        await lister.batches.list(workspace)

        async def call() -> None:
            polled = asyncio.Event()

            def tell(event: StatusEvent) -> None:
                if event.polls == 3:
                    polled.set()

            waits = asyncio.create_task(lister.batches.wait_all(ids, on_event=tell))
            await polled.wait()
            waits.cancel()
            await asyncio.wait([waits])

        assert await held_by(call) < LIMIT


async def test_a_large_invalid_list_does_not_block_the_loop(
    client: ProlificClient, far_sim: Simulator
) -> None:
    wrong = {"id": 5, "batch_items": HEAVY}
    far_sim.inject("GET", "/batches", Fault(body={"results": [wrong] * MANY}), times=None)

    async def call() -> None:
        with pytest.raises(DecodeError) as caught:
            await client.batches.list("w1")
        assert "$.results[10].id: a string is needed, not an integer" in caught.value.problems
        assert MAX_PROBLEMS <= len(caught.value.problems) < MAX_PROBLEMS + 10
        assert len(caught.value.body["results"]) == MANY

    assert await held_by(call) < LIMIT


async def test_the_search_in_a_large_list_does_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient, heavy: str
) -> None:
    source = next(one.id for one in far_sim.batches.values() if one.workspace_id == heavy)
    numbers = count()

    async def call() -> None:
        far_sim.inject("POST", "/duplicate", Fault(reset="after"))
        name = f"unique {next(numbers)}"
        copy = await client.batches.duplicate(source, name=name)
        assert copy.name == name
        far_sim.remove(copy.id)

    assert await held_by(call) < LIMIT


@pytest.mark.parametrize(
    "answer", [{"value": "good"}, {"value": "x" * 100_000}], ids=["many", "long"]
)
async def test_a_stream_of_responses_does_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient, answer: dict[str, str]
) -> None:
    record = task_response(answer=[answer])
    number = 10_000_000 // len(json.dumps(record))
    far_sim.inject("GET", "/responses", Fault(body={"results": [record] * number}), times=None)

    async def call() -> None:
        read = 0
        async for _ in client.batches.responses("b1"):
            read += 1
        assert read == number

    assert await held_by(call) < LIMIT


async def test_responses_that_have_come_already_do_not_block_the_loop() -> None:
    record = json.dumps(task_response()).encode()
    number = 20_000

    class Arrived:
        """A transport whose body never has to be awaited."""

        prefix = ""
        retry = RetryPolicy()

        @asynccontextmanager
        async def stream(self, *_: object, **__: object) -> AsyncIterator[AsyncIterator[bytes]]:
            yield self.body()

        async def body(self) -> AsyncIterator[bytes]:
            yield b'{"results": ['
            for _ in range(number // 100 - 1):
                yield (record + b",") * 100
            yield b",".join([record] * 100) + b"]}"

    async def call() -> None:
        read = 0
        async for _ in stream_responses(cast("Transport", Arrived()), "b1"):
            read += 1
        assert read == number

    assert await held_by(call) < LIMIT


HEADER = (
    b'"DataPoint_ID","Task_Group_ID","Task_Type","Question","text",'
    b'"Annotator1_ID","Annotator1_Response","Annotator1_Timestamp"\r\n'
)
CELLS = {
    "short": b"x",
    "long": b"x" * 3_000_000,
    "of lines": b"a line\n" * 400_000,
    "of entities": b"&amp;" * 200_000,
    "of quotes": b'""' * 1_000_000,
    "of quotes and lines": b'""\n' * 1_000_000,
    "that looks like many": b'"",""' * 400_000,
    "that looks like many rows": b'""\r\n""' * 400_000,
}
QUICK_CELLS = ("short", "of quotes and lines")


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, id=name, marks=() if name in QUICK_CELLS else pytest.mark.slow)
        for name, cell in CELLS.items()
    ],
)
async def test_a_report_does_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient, cell: bytes
) -> None:
    row = b'"d","g","free_text","Why?","%b","p","y","2026-03-04T05:06:07Z"\r\n' % cell
    number = 5_000_000 // len(row)
    far_sim.inject("GET", "/report.csv", Fault(body=HEADER + row * number), times=None)
    batch_id = far_sim.add_batch(status="READY")

    async def call() -> None:
        read = 0
        async for _ in client.batches.report(batch_id).rows():
            read += 1
        assert read == number

    assert await held_by(call) < LIMIT


LARGE = 20_000_000
ELEMENTS = [{"x": "y" * 10_000}] * (LARGE // 10_000)
BODIES: dict[str, bytes] = {
    "text": b"x" * LARGE,
    "escapes": rb"\"" * (LARGE // 2),
    "HTML": b"<p>sorry</p>" * (LARGE // 12),
    "JSON": json.dumps({"status": [], "results": ELEMENTS}).encode(),
    "not UTF-8": b"\xff" * LARGE,
    "number": b"7" * LARGE,
    "array": json.dumps(ELEMENTS).encode(),
    "cut JSON": json.dumps({"results": ELEMENTS}).encode()[:-2],
}
QUICK = ("escapes", "JSON", "cut JSON")


async def test_a_large_response_of_near_tokens_does_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient
) -> None:
    # Each byte is the token's last one, which is where a search polls first.
    body = far_sim.token[-1].encode() * LARGE

    async def call() -> None:
        with pytest.raises(ProlificError):
            await client.batches.get_status("b1")

    far_sim.inject("GET", "/b1/status", Fault(200, body=body), times=None)
    assert await held_by(call) < LIMIT


@pytest.mark.parametrize(
    "status", [200, *(pytest.param(error, marks=pytest.mark.slow) for error in (400, 500))]
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(body, marks=() if name in QUICK else pytest.mark.slow, id=name)
        for name, body in BODIES.items()
    ],
)
async def test_a_large_invalid_response_does_not_block_the_loop(
    far_sim: Simulator, client: ProlificClient, body: bytes, status: int
) -> None:
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.batches.get_status("b1"),
        lambda: client.batches.list("w1"),
    ]

    async def call() -> None:
        for verb in verbs:
            with pytest.raises(ProlificError) as caught:
                await verb()
            assert len(str(caught.value)) < 1000

    for route in ("/b1/status", "/batches"):
        far_sim.inject("GET", route, Fault(status, body=body), times=None)
    assert await held_by(call) < LIMIT
