"""The simulator, used through a plain aiohttp session."""

import ast
import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from prolific_async import simulator
from prolific_async.simulator import (
    AfterPolls,
    AfterSeconds,
    BatchSnapshot,
    Ending,
    Fault,
    Immediately,
    SeenRequest,
    Simulator,
)

BATCHES = "/api/v1/data-collection/batches"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with asyncio.timeout(10), aiohttp.ClientSession() as opened:
        yield opened


async def ask(
    session: aiohttp.ClientSession, sim: Simulator, method: str, path: str, **options: Any
) -> tuple[int, Any]:
    headers = {"Authorization": f"Token {sim.token}"}
    url = f"{sim.url}{BATCHES}{path}"
    async with session.request(method, url, headers=headers, **options) as response:
        return response.status, await response.json()


async def test_duplicate_setup_and_poll_until_ready(session: aiohttp.ClientSession) -> None:
    async with Simulator(setup=AfterPolls(2)) as sim:
        source = sim.add_batch("Original", datapoints=200)
        _, copy = await ask(session, sim, "POST", f"/{source}/duplicate", json={"name": "Round 2"})
        path = f"/{copy['id']}"
        await ask(session, sim, "POST", f"{path}/setup", json={"tasks_per_group": 5})
        polls = [(await ask(session, sim, "GET", f"{path}/status"))[1]["status"] for _ in range(3)]
        assert polls == ["PROCESSING", "PROCESSING", "READY"]
        ready = sim.batches[copy["id"]]
        assert (ready.name, ready.source_id) == ("Round 2", source)
        assert (ready.total_task_count, ready.total_task_groups) == (200, 40)
        assert [seen.status for seen in sim.requests] == [201, 202, 200, 200, 200]
        assert sim.requests[1].body == {"tasks_per_group": 5}


async def test_one_poll_is_the_default(session: aiohttp.ClientSession) -> None:
    async with Simulator() as sim:
        batch_id = sim.add_batch(status="PROCESSING")
        polls = [(await ask(session, sim, "GET", f"/{batch_id}"))[1]["status"] for _ in range(2)]
    assert polls == ["PROCESSING", "READY"]


async def test_seconds_are_those_of_the_loop(session: aiohttp.ClientSession) -> None:
    async with Simulator(setup=AfterSeconds(0.03)) as sim:
        batch_id = sim.add_batch()
        await ask(session, sim, "POST", f"/{batch_id}/setup")
        assert sim.batches[batch_id].status == "PROCESSING"
        await asyncio.sleep(0.04)
        assert sim.batches[batch_id].status == "READY"


async def test_a_function_may_choose_when_each_setup_ends(session: aiohttp.ClientSession) -> None:
    def choose(batch: BatchSnapshot) -> Ending:
        return Immediately() if batch.tasks_per_group == 2 else AfterPolls(9)

    async with Simulator(setup=choose) as sim:
        ids = [sim.add_batch(), sim.add_batch()]
        for size, batch_id in enumerate(ids, start=1):
            await ask(session, sim, "POST", f"/{batch_id}/setup", json={"tasks_per_group": size})
        assert [sim.batches[batch_id].status for batch_id in ids] == ["PROCESSING", "READY"]


async def test_faults_can_be_scripted_and_cleared(session: aiohttp.ClientSession) -> None:
    async with Simulator() as sim:
        path = f"/{sim.add_batch()}/status"
        sim.inject("GET", "/status", Fault(429, headers={"Retry-After": "1"}), times=2)
        sim.inject("GET", path, Fault(503), times=None)
        statuses = [(await ask(session, sim, "GET", path))[0] for _ in range(5)]
        assert statuses == [429, 429, 503, 503, 503]
        sim.clear_faults()
        assert (await ask(session, sim, "GET", path))[0] == 200


async def test_a_reset_reaches_a_session_as_a_connection_error(
    session: aiohttp.ClientSession,
) -> None:
    async with Simulator() as sim:
        path = f"/{sim.add_batch()}/duplicate"
        for reset in ("before", "after"):
            sim.inject("POST", "/duplicate", Fault(reset=reset))
            with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
                await ask(session, sim, "POST", path)
        assert [seen.status for seen in sim.requests] == [None, None]
        assert len(sim.batches) == 2


async def test_a_cancelled_request_is_either_in_flight_or_in_the_log(
    session: aiohttp.ClientSession,
) -> None:
    async with Simulator() as sim:
        sim.inject("POST", "/duplicate", Fault(delay=30))
        call = asyncio.create_task(ask(session, sim, "POST", f"/{sim.add_batch()}/duplicate"))
        while not sim.in_flight:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        seen = [*sim.requests, *sim.in_flight]
        assert [(one.method, one.status) for one in seen] == [("POST", None)]
        assert len(sim.batches) == 2


async def test_many_clients_at_once(session: aiohttp.ClientSession) -> None:
    async with Simulator(setup=AfterPolls(1)) as sim:
        source = sim.add_batch()
        copies = await asyncio.gather(
            *(ask(session, sim, "POST", f"/{source}/duplicate") for _ in range(500))
        )
        assert {status for status, _ in copies} == {201}
        assert len({copy["id"] for _, copy in copies}) == 500
        assert len(sim.requests) == 500
        assert sim.in_flight == ()


async def test_a_long_list_costs_no_more_per_batch(session: aiohttp.ClientSession) -> None:
    async with Simulator() as sim:

        async def cost(count: int) -> float:
            workspace = sim.add_workspace()
            ids = [sim.add_batch(datapoints=None, workspace_id=workspace) for _ in range(count)]
            costs = []
            for _ in range(3):
                began = time.thread_time()
                _, listed = await ask(session, sim, "GET", "", params={"workspace_id": workspace})
                costs.append(time.thread_time() - began)
                assert [batch["id"] for batch in listed["results"]] == ids
            return min(costs)

        # Fifteen times as much or so; were it quadratic, hundreds of times.
        assert await cost(10_000) < 80 * await cost(500)


async def test_the_token_is_not_shown(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Simulator(token="hush-hush") as sim:
        await ask(session, sim, "GET", f"/{sim.add_batch()}")
        assert sim.token == "hush-hush"
        assert "hush" not in repr(sim)
        assert "hush" not in repr([(seen, seen.headers) for seen in sim.requests])
        assert sim.requests[0].headers["user-agent"].startswith("Python")
    assert "hush" not in caplog.text


@pytest.mark.parametrize("token", ["", "two words", "a\n", "é", "a\x7f"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        Simulator(token=token)


@pytest.mark.parametrize("setup", [None, 3, Immediately, AfterPolls])
def test_a_setup_that_is_neither_ending_nor_function_is_refused(setup: Any) -> None:
    with pytest.raises(TypeError, match="setup"):
        Simulator(setup=setup)


def test_random_tokens_differ() -> None:
    assert Simulator().token != Simulator().token


def test_it_can_be_filled_without_a_loop() -> None:
    sim = Simulator(setup=AfterSeconds(60))
    batch_id = sim.add_batch(status="PROCESSING")
    assert sim.batches[batch_id].status == "PROCESSING"
    assert repr(sim) == "<Simulator not started, 1 batches>"
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = sim.url

    async def run() -> str | None:
        async with sim:
            return sim.batches[batch_id].status

    assert asyncio.run(run()) == "PROCESSING"


async def test_start_and_close_by_hand(session: aiohttp.ClientSession) -> None:
    sim = Simulator()
    await sim.close()  # before the start: nothing to do
    await sim.start()
    assert sim.url.startswith("http://127.0.0.1:")
    assert repr(sim) == f"<Simulator {sim.url}, 0 batches>"
    with pytest.raises(RuntimeError, match="once"):
        await sim.start()
    assert (await ask(session, sim, "GET", "/x"))[0] == 404
    await sim.close()
    await sim.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(session, sim, "GET", "/x")
    with pytest.raises(RuntimeError, match="once"):
        await sim.start()


async def test_a_port_can_be_chosen_and_only_once(session: aiohttp.ClientSession) -> None:
    async with Simulator() as first:
        port = int(first.url.rpartition(":")[2])
        second = Simulator(port=port)
        with pytest.raises(OSError, match="in use"):
            await second.start()
    await second.start()  # it is free now
    assert second.url == first.url
    await second.close()


async def test_an_error_in_the_block_is_not_hidden() -> None:
    with pytest.raises(LookupError):
        async with Simulator():
            raise LookupError


async def test_the_log_can_be_limited(session: aiohttp.ClientSession) -> None:
    async with Simulator(log_size=1) as sim:
        for number in range(3):
            await ask(session, sim, "GET", f"/{number}")
        assert [seen.path for seen in sim.requests] == [f"{BATCHES}/2"]
        assert isinstance(sim.requests[0], SeenRequest)


def test_the_public_names_are_sorted_and_there() -> None:
    assert simulator.__all__ == sorted(simulator.__all__)
    assert all(hasattr(simulator, name) for name in simulator.__all__)


def test_it_shares_no_code_with_the_client() -> None:
    imported = set()
    for file in Path(simulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
    ours = {name for name in imported if name.startswith("prolific_async")}
    assert all(name.startswith("prolific_async.simulator.") for name in ours)
    assert not {name.split(".")[0] for name in imported} & {"cattrs", "backoff", "typer", "rich"}
