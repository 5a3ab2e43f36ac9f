"""No call of ours holds the event loop for long, however much there is to read."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async import DecodeError, PollPolicy, ProlificClient, ProlificError, RetryPolicy
from prolific_async.simulator import Fault, Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LIMIT = 0.02  # seconds of CPU; the time of day tells more of the other programs than of us
MANY, HEAVY = 1000, [{"type": "text", "content": "x" * 20_000}]
POLL = PollPolicy(initial=0.01, maximum=0.01, timeout=20)


@asynccontextmanager
async def never_held() -> AsyncIterator[None]:
    """Fail when a turn of the loop costs its thread more CPU than it may."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    gc.collect()
    gc.disable()  # how long a collection lasts depends on all that the tests before have left
    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield
        await asyncio.sleep(0)
    finally:
        gc.enable()
        ticker.cancel()
        await asyncio.wait([ticker])
    assert longest < LIMIT


@pytest.fixture
async def client(far: Simulator) -> AsyncIterator[ProlificClient]:
    async with ProlificClient(
        far.token, base_url=far.url, poll=POLL, retry=RetryPolicy(max_attempts=1)
    ) as one:
        await one.batches.get(far.add_batch())  # what is imported and made once
        yield one


@pytest.fixture(scope="module")
def heavy(far: Simulator) -> str:
    workspace = far.add_workspace()
    for _ in range(MANY):
        far.add_batch(batch_items=HEAVY, workspace_id=workspace, status="READY")
    return workspace


async def test_a_heavy_list(far: Simulator, client: ProlificClient, heavy: str) -> None:
    async with never_held():
        batches = await client.batches.list(heavy)
    assert len(batches) == MANY
    assert batches[-1].batch_items is not None


async def test_a_list_of_many_light_batches(far: Simulator, client: ProlificClient) -> None:
    workspace = far.add_workspace()
    for _ in range(5000):
        far.add_batch(workspace_id=workspace)
    async with never_held():
        batches = await client.batches.list(workspace)
    assert len(batches) == 5000


async def test_waits_for_a_heavy_list(far: Simulator, client: ProlificClient, heavy: str) -> None:
    ids = [one.id for one in far.batches.values() if one.workspace_id == heavy]
    async with never_held():
        batches = await client.batches.wait_all(ids)
    assert len(batches) == MANY


async def test_a_heavy_list_that_is_wrong(client: ProlificClient, far: Simulator) -> None:
    wrong = {"id": 5, "batch_items": HEAVY}
    far.inject("GET", "/batches", Fault(body={"results": [wrong] * MANY}))
    async with never_held():
        with pytest.raises(DecodeError) as caught:
            await client.batches.list("w1")
    problems = caught.value.problems
    assert "$.results[3].id: a string is needed, not an integer" in problems
    assert f"$.results[{MANY - 1}].id: a string is needed, not an integer" in problems
    assert len(caught.value.body["results"]) == MANY


async def test_a_lost_duplicate_that_is_looked_for_in_a_heavy_list(
    far: Simulator, client: ProlificClient, heavy: str
) -> None:
    source = next(one.id for one in far.batches.values() if one.workspace_id == heavy)
    far.inject("POST", "/duplicate", Fault(reset="after"))
    async with never_held():
        copy = await client.batches.duplicate(source, name="unique")
    assert copy.name == "unique"
    far.remove(copy.id)


LARGE = 20_000_000
ELEMENTS = [{"x": "y" * 10_000}] * (LARGE // 10_000)
BODIES: dict[str, bytes] = {
    "text": b"x" * LARGE,
    "escapes": rb"\"" * (LARGE // 2),
    "HTML": b"<p>sorry</p>" * (LARGE // 12),
    "JSON": json.dumps({"status": [], "results": ELEMENTS}).encode(),
    "not UTF-8": b"\xff" * LARGE,
    "cut JSON": json.dumps({"results": ELEMENTS}).encode()[:-2],
}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_large_bad_answer(
    far: Simulator, client: ProlificClient, body: bytes, status: int
) -> None:
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.batches.get_status("b1"),
        lambda: client.batches.list("w1"),
    ]
    for verb in verbs:
        far.inject("GET", "/b1/status", Fault(status, body=body))
        far.inject("GET", "/batches", Fault(status, body=body))
        async with never_held():
            with pytest.raises(ProlificError) as caught:
                await verb()
            assert len(str(caught.value)) < 1000
        far.clear_faults()
