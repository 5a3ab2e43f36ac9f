"""All calls on uvloop's own loop, in real time.

With --uvloop most other tests run on it, too, with a clock that does not count what a slow machine
takes.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
from fastapi import FastAPI

from prolific_async import (
    Batch,
    BatchFailedError,
    ConnectionLostError,
    PollPolicy,
    ProlificClient,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async._http.rate_limiter import RateLimiter
from prolific_async._polling.poller import Poller
from prolific_async.fastapi import BatchId, Client, exception_handlers, lifespan
from prolific_async.simulator import Fault, Simulator
from tests.conftest import HANGS, QUICK_POLL, QUICK_RETRY
from tests.fastapi.serving import serving
from tests.polling.fakes import Service
from tests.stepping import Manner, cancelled_at
from tests.uvloops import UVLoop, timers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

SLOW = PollPolicy(initial=30, maximum=30, timeout=60)
MANY = 20


def going(sim: Simulator, count: int) -> list[str]:
    """Add batches that are READY at their third poll."""
    return [sim.add_batch(f"Batch {index}", status="PROCESSING") for index in range(count)]


async def asked(sim: Simulator, requests: int) -> None:
    async with asyncio.timeout(HANGS):
        while len(sim.requests) < requests:
            await asyncio.sleep(0.001)


async def test_tests_run_on_this_loop() -> None:
    assert UVLoop is not None
    loop = asyncio.get_running_loop()
    assert isinstance(loop, UVLoop)
    assert not hasattr(loop.call_at(loop.time(), print), "when")  # a due timer has none


# --- peculiarities of uvloop -----------------------------------------------------------------


async def test_a_due_timer_can_be_set_again() -> None:
    service = Service(list_threshold=8)
    waits = service.start(2)
    await asyncio.sleep(0)
    waits += service.start(1, first=2)
    assert timers() == [Poller.__module__]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [key for _, key in service.singles] == ["k0", "k1", "k2"]
    service.leave(waits)
    await service.poller.until_idle()
    assert timers() == []


async def test_a_rate_limiter_does_not_spin_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = 0
    serve = RateLimiter._serve

    def counted(rate_limiter: RateLimiter, loop: asyncio.AbstractEventLoop, *due: float) -> None:
        nonlocal served
        served += 1
        serve(rate_limiter, loop, *due)

    monkeypatch.setattr(RateLimiter, "_serve", counted)
    rate_limiter = RateLimiter(300.0)
    await asyncio.gather(*(rate_limiter.start(poll=False) for _ in range(100)))
    assert 100 < served < 300


async def test_a_poll_may_start_when_its_pause_is_over() -> None:
    rate_limiter = RateLimiter()
    for tenths in range(10):
        pause = 0.004 + tenths / 10_000  # uvloop's timers have milliseconds
        rate_limiter.pause_polls(asyncio.get_running_loop().time() + pause)
        await rate_limiter.start(poll=True)
        assert rate_limiter.start_now(asyncio.get_running_loop().time(), poll=True)


# --- the verbs -------------------------------------------------------------------------------


async def test_duplicate_setup_and_wait(sim: Simulator, client: ProlificClient) -> None:
    copy = await client.batches.duplicate(sim.add_batch(datapoints=10), name="Round 2")
    assert await copy.get_status() == "UNINITIALISED"
    await copy.setup(tasks_per_group=5)
    ready = await copy.wait_until_ready()
    assert ready == await client.batches.get(copy.id)
    assert [batch.id for batch in await client.batches.list(sim.workspace_id)] == list(sim.batches)


async def test_lost_responses(sim: Simulator, client: ProlificClient) -> None:
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    sim.inject("POST", "/setup", Fault(reset="after"))
    sim.inject("GET", "/status", Fault(503))
    copy = await client.batches.duplicate(sim.add_batch(), name="Round 2")
    await copy.setup()
    assert len(sim.batches) == 2
    assert (await copy.wait_until_ready()).id == copy.id


async def test_two_waits_of_one_client(sim: Simulator, client: ProlificClient) -> None:
    ids = going(sim, 2)
    ready = await asyncio.gather(*(client.batches.wait_until_ready(one) for one in ids))
    assert [batch.id for batch in ready] == ids


@pytest.mark.parametrize("count", [2, MANY])
async def test_wait_all_returns_batches_in_order(
    sim: Simulator, client: ProlificClient, count: int
) -> None:
    ids = going(sim, count)
    assert [batch.id for batch in await client.batches.wait_all(ids)] == ids


async def test_many_waits_are_polled_as_a_group_from_the_first_poll_on(
    sim: Simulator, client: ProlificClient
) -> None:
    ids = going(sim, MANY)
    await client.batches.get(ids[0])
    await client.batches.list(sim.workspace_id)  # where they belong is known from here on
    before = len(sim.requests)
    await client.batches.wait_all(ids)
    assert {one.path.rpartition("/")[2] for one in sim.requests[before:]} == {"batches"}


@pytest.mark.parametrize("count", [2, MANY])
async def test_as_ready(sim: Simulator, client: ProlificClient, count: int) -> None:
    ids = going(sim, count)
    bad = sim.add_batch(status="ERROR")
    outcomes = [one async for one in client.batches.as_ready([*ids, bad])]
    assert sorted(one.id for one in outcomes if isinstance(one, Batch)) == sorted(ids)
    assert [type(one) for one in outcomes if isinstance(one, WaitError)] == [BatchFailedError]


async def test_two_watches(sim: Simulator, client: ProlificClient) -> None:
    async def watched(batch_id: str) -> str | None:
        return [event.status async for event in client.batches.watch(batch_id)][-1]

    assert await asyncio.gather(*map(watched, going(sim, 2))) == ["READY", "READY"]


async def test_responses(sim: Simulator, client: ProlificClient) -> None:
    batch_id = sim.add_batch(status="READY", datapoints=MANY)
    sim.answer(batch_id, participants=MANY)
    sim.inject("GET", "/responses", Fault(cut=9))
    assert len([one async for one in client.batches.responses(batch_id)]) == MANY
    sim.inject("GET", "/responses", Fault(reset="after"))
    async with aclosing(client.batches.responses(batch_id)) as responses:
        assert (await anext(responses)).batch_id == batch_id
    sim.inject("GET", "/responses", Fault(cut=900))
    with pytest.raises(ConnectionLostError, match="after 1 response had"):
        [one async for one in client.batches.responses(batch_id)]


async def test_poll_now_twice(sim: Simulator, client: ProlificClient) -> None:
    batch_id, other = (sim.add_batch(status="UNINITIALISED") for _ in range(2))
    async with asyncio.TaskGroup() as group:
        for one in (batch_id, other):
            group.create_task(client.batches.wait_until_ready(one, poll=SLOW))
        await asked(sim, 2)
        for one in (batch_id, other):
            sim.set_status(one, "READY")
            client.batches.poll_now(one)
            client.batches.poll_now(one)


@pytest.mark.parametrize("count", [1, 2, MANY])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_close_in_the_first_iterations_of_the_loop(
    sim: Simulator, client: ProlificClient, count: int, turns: int
) -> None:
    waits = [asyncio.create_task(client.batches.wait_until_ready(one)) for one in going(sim, count)]
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    await client.close()
    async with asyncio.timeout(HANGS):
        ended = await asyncio.gather(*waits, return_exceptions=True)
    assert {type(one) for one in ended} == {WaitFailedError}


async def test_deadlines(sim: Simulator, client: ProlificClient) -> None:
    ids = [sim.add_batch() for _ in range(3)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    ended = await asyncio.gather(
        *(
            client.batches.wait_until_ready(one, timeout=timeout)
            for one, timeout in zip(ids, (0, 0.0004, 0.05), strict=True)
        ),
        return_exceptions=True,
    )
    assert {type(one) for one in ended} == {WaitTimeoutError}
    assert loop.time() - began >= 0.049


CALLS: dict[str, Callable[[Simulator, ProlificClient], Awaitable[object]]] = {
    "duplicate": lambda sim, client: client.batches.duplicate(sim.add_batch(), name="Round 2"),
    "setup": lambda sim, client: client.batches.setup(sim.add_batch()),
    "list": lambda sim, client: client.batches.list(sim.workspace_id),
    "wait_until_ready": lambda sim, client: client.batches.wait_until_ready(*going(sim, 1)),
    "wait_all": lambda sim, client: client.batches.wait_all(going(sim, 9)),
}


@pytest.mark.parametrize("manner", ["woken", "timeout"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_cancelled_wait_leaves_nothing(sim: Simulator, name: str, manner: Manner) -> None:
    step, came_that_far = 0, True
    while came_that_far:
        step += 1
        async with ProlificClient(
            sim.token, base_url=sim.url, poll=QUICK_POLL, retry=QUICK_RETRY
        ) as client:
            call = CALLS[name]
            came_that_far = await cancelled_at(step, manner, lambda: call(sim, client))  # noqa: B023 - called at once
            assert [task for task in asyncio.all_tasks() if "prolific" in task.get_name()] == []
            own = ("aiohttp", "prolific_async._http.time_limit")
            assert timers(but=own) == []
            assert await client.batches.get_status(sim.add_batch()) is not None
    assert step > 1


async def test_leaving_as_ready_of_a_stream(sim: Simulator, client: ProlificClient) -> None:
    ids = going(sim, 3)
    for verb in (client.batches.as_ready(ids, poll=SLOW), client.batches.watch(ids[0], poll=SLOW)):
        async with aclosing(verb) as stream:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    async for _ in stream:
                        pass
    assert timers(but=("aiohttp", "prolific_async._http.time_limit")) == []


# --- in an application -----------------------------------------------------------------------


async def test_a_route_that_waits_is_served(sim: Simulator) -> None:
    of_app = partial(ProlificClient, sim.token, base_url=sim.url, poll=QUICK_POLL)
    app = FastAPI(lifespan=lifespan(client=of_app), exception_handlers=exception_handlers)

    @app.get("/ready/{batch_id}")
    async def ready(batch_id: BatchId, client: Client) -> str:
        return (await client.batches.wait_until_ready(batch_id)).id

    async def get(batch_id: str) -> tuple[int, str]:
        async with session.get(f"{url}/ready/{batch_id}") as answer:
            return answer.status, await answer.json()

    async with serving(app) as url, aiohttp.ClientSession() as session:
        ids = going(sim, 40)
        assert await asyncio.gather(*map(get, ids)) == [(200, one) for one in ids]
