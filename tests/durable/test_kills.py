"""Workers that are killed, with SIGKILL, and how the next ones continue."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from dbos import DBOSClient

from prolific_async.durable import DurableBatches
from prolific_async.simulator import AfterPolls, Fault, Simulator
from tests.durable.databases import SOME_OF_BOTH, SQLITE_FIRST
from tests.durable.worker import (
    SECONDS,
    AtInsert,
    AtRequest,
    Settings,
    died,
    go_on,
    kill,
    pause,
    start,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.durable.databases import PostgreSQL, SQLite

pytestmark = pytest.mark.slow

SOURCE = "source"

# In the order in which they come.
DEATHS: dict[str, AtInsert | AtRequest] = {
    "claimed": AtRequest("GET", f"/{SOURCE}", answered=False),
    "polled": AtRequest("GET", "/batches", answered=True),
    "polled, not recorded": AtInsert("operation_outputs", 1),
    "duplicate not sent": AtRequest("POST", "/duplicate", answered=False),
    "duplicate answered": AtRequest("POST", "/duplicate", answered=True),
    "setup not sent": AtRequest("POST", "/setup", answered=False),
    "setup answered": AtRequest("POST", "/setup", answered=True),
    "made, not recorded": AtInsert("operation_outputs", 2),
    "waiting": AtRequest("GET", "/status", answered=True),
    "ready, not recorded": AtInsert("workflow_output", 1),
}


def posts(sim: Simulator) -> dict[str, int]:
    return Counter(
        seen.path.rpartition("/")[2]
        for seen in (*sim.requests, *sim.in_flight)
        if seen.method == "POST"
    )


async def _two_lives(url: str, death: AtInsert | AtRequest) -> tuple[int, dict[str, int], str]:
    async with (
        Simulator(setup=AfterPolls(3)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        life = Settings(database_url=url, base_url=sim.url, token=sim.token)
        first = start(evolve(life, death=death))
        order = await durable.order(SOURCE, name="Round 2", timeout=600)
        await died(first)
        second = start(evolve(life, deployed_anew=True))
        try:
            ready = await asyncio.wait_for(order.result(), SECONDS)
        finally:
            kill(second)
        return len(sim.batches) - 1, posts(sim), ready.status


async def test_a_worker_may_die_at_every_step_and_a_new_one_be_deployed(
    databases: SQLite | PostgreSQL,
) -> None:
    outcomes = await asyncio.gather(
        *(_two_lives(databases.new(), death) for death in DEATHS.values())
    )
    expected = (1, {"duplicate": 1, "setup": 1}, "READY")
    assert dict(zip(DEATHS, outcomes, strict=True)) == dict.fromkeys(DEATHS, expected)


async def _is_asked(sim: Simulator, ending: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not any(seen.path.endswith(ending) for seen in sim.in_flight):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("databases", "verb"), SOME_OF_BOTH, indirect=["databases"])
async def test_a_worker_may_die_in_the_middle_of_a_post(
    databases: SQLite | PostgreSQL, verb: str
) -> None:
    url = databases.new()
    async with (
        Simulator(setup=AfterPolls(3)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        sim.inject("POST", f"/{verb}", Fault(delay=60))
        life = Settings(database_url=url, base_url=sim.url, token=sim.token)
        first = start(life)
        order = await durable.order(SOURCE, name="Round 2", timeout=600)
        await _is_asked(sim, verb)
        kill(first)
        second = start(life)
        try:
            ready = await asyncio.wait_for(order.result(), SECONDS)
        finally:
            kill(second)
        assert ready.status == "READY"
        assert len(sim.batches) == 2
        assert posts(sim) == {"duplicate": 1, "setup": 1}


async def test_a_suspended_worker_sends_nothing_for_an_order_that_was_taken_over(
    databases: SQLite | PostgreSQL,
) -> None:
    url = databases.new()
    async with (
        Simulator(setup=AfterPolls(3)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        no_batches: dict[str, Any] = {"results": [], "meta": {"count": 0}}
        sim.inject("GET", "/batches", Fault(body=no_batches, delay=2))
        life = Settings(database_url=url, base_url=sim.url, token=sim.token, settle_seconds=0.1)
        frozen = start(evolve(life, executor_id="frozen"))
        order = await durable.order(SOURCE, name="Round 2", timeout=600)
        await _is_asked(sim, "/batches")
        pause(frozen)  # while the answer that there is no copy is on its way to it
        other = start(evolve(life, executor_id="other"))
        try:
            assert await durable.take_over("frozen") == 1
            await asyncio.wait_for(order.result(), SECONDS)
            kill(other)
            go_on(frozen)
            # When this one is done, it has long decided about the other.
            second = await durable.order(SOURCE, name="Round 3", timeout=600)
            await asyncio.wait_for(second.result(), SECONDS)
        finally:
            kill(other)
            kill(frozen)
        assert posts(sim) == {"duplicate": 2, "setup": 2}


async def test_waits_are_resumed_at_once_however_slowly_orders_are_begun(
    databases: SQLite | PostgreSQL,
) -> None:
    url = databases.new()
    names = [f"Round {number}" for number in range(20)]
    async with (
        Simulator(setup=AfterPolls(10**6)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        life = Settings(database_url=url, base_url=sim.url, token=sim.token)
        first = start(life)
        orders = [await durable.order(SOURCE, name=name) for name in names]
        async with asyncio.timeout(SECONDS):
            while posts(sim).get("setup", 0) < len(names):
                await asyncio.sleep(0.02)
        kill(first)
        sent = posts(sim)

        for copy in set(sim.batches) - {SOURCE}:
            sim.set_status(copy, "READY")
        second = start(evolve(life, rate=0.2))
        try:
            ready = await asyncio.wait_for(
                asyncio.gather(*(one.result() for one in orders)), SECONDS
            )
        finally:
            kill(second)
        assert {batch.name for batch in ready} == set(names)
        assert posts(sim) == sent == {"duplicate": len(names), "setup": len(names)}


async def test_workers_share_a_queue_and_one_of_them_is_killed(
    databases: SQLite | PostgreSQL,
) -> None:
    url = databases.new()
    number = 12
    async with (
        Simulator(setup=AfterPolls(3)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        life = Settings(database_url=url, base_url=sim.url, token=sim.token, rate=4.0)
        settings = [evolve(life, executor_id=name) for name in ("one", "two")]
        workers = [start(each) for each in settings]
        try:
            orders = [await durable.order(SOURCE, name=f"Round {each}") for each in range(number)]
            async with asyncio.timeout(SECONDS):
                while posts(sim).get("duplicate", 0) < number // 3:
                    await asyncio.sleep(0.02)
            kill(workers[0])
            workers[0] = start(settings[0])
            ready = await asyncio.wait_for(
                asyncio.gather(*(one.result() for one in orders)), SECONDS
            )
        finally:
            for worker in workers:
                kill(worker)
        assert len({batch.id for batch in ready}) == len(sim.batches) - 1 == number
        assert posts(sim) == {"duplicate": number, "setup": number}


async def test_workers_share_a_rate(postgresql: PostgreSQL) -> None:
    await _the_rate_is_kept(postgresql.new(), workers=("one", "two"))


async def test_a_worker_on_sqlite_keeps_its_rate(sqlite: SQLite) -> None:
    await _the_rate_is_kept(sqlite.new(), workers=("one",))


async def _the_rate_is_kept(url: str, *, workers: tuple[str, ...]) -> None:
    number, rate = 10, 4.0
    async with Simulator() as sim, DurableBatches(url, poll_every=0.1) as durable:
        sim.add_batch(batch_id=SOURCE)
        for each in range(number):
            sim.add_batch(f"Round {each}", status="READY")
            await durable.order(SOURCE, name=f"Round {each}")
        life = Settings(database_url=url, base_url=sim.url, token=sim.token, rate=rate)
        processes = [start(evolve(life, executor_id=name)) for name in workers]
        try:
            async with asyncio.timeout(SECONDS):
                while len(began := await _began(url)) < number:
                    await asyncio.sleep(0.1)
        finally:
            for process in processes:
                kill(process)
    windows = zip(began, began[int(rate) :], strict=False)
    assert all(later - earlier >= 1000 for earlier, later in windows), began


async def _began(url: str) -> list[int]:
    """Return when each order was begun, in milliseconds, which is before its first request."""
    client = DBOSClient(system_database_url=url)
    orders = await client.list_workflows_async()
    await asyncio.to_thread(client.destroy)
    return sorted(order.dequeued_at for order in orders if order.dequeued_at is not None)


async def test_unfinished_orders_are_given_again_after_a_restart_without_a_warning(
    databases: SQLite | PostgreSQL, tmp_path: Path, dbos_warnings: list[str]
) -> None:
    url = databases.new()
    warnings = tmp_path / "warnings"
    names = [f"Round {number}" for number in range(3)]
    async with (
        Simulator(setup=AfterPolls(10**6)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        life = Settings(database_url=url, base_url=sim.url, token=sim.token, warnings=str(warnings))
        lives = [start(life)]
        try:
            orders = [await durable.order(SOURCE, name=name) for name in names]
            async with asyncio.timeout(SECONDS):
                while posts(sim).get("setup", 0) < len(names):
                    await asyncio.sleep(0.02)
            kill(lives[0])
            polls = len(sim.requests)
            lives.append(start(life))
            async with asyncio.timeout(SECONDS):
                while len(sim.requests) == polls:
                    await asyncio.sleep(0.02)
            again = [await durable.order(SOURCE, name=name, timeout=0) for name in names]
            for copy in set(sim.batches) - {SOURCE}:
                sim.set_status(copy, "READY")
            ready = await asyncio.wait_for(
                asyncio.gather(*(order.result() for order in again)), SECONDS
            )
            finished = [await (await durable.order(SOURCE, name=name)).result() for name in names]
        finally:
            for each in lives:
                kill(each)
        assert [order.workflow_id for order in again] == [order.workflow_id for order in orders]
        assert [batch.name for batch in ready] == names
        assert finished == ready
        assert posts(sim) == {"duplicate": 3, "setup": 3}
    assert warnings.read_text() == ""
    assert dbos_warnings == []


@pytest.mark.parametrize("databases", SQLITE_FIRST, indirect=True)
@pytest.mark.parametrize("procedure", ["take_over", "dbos"])
async def test_orders_of_a_killed_worker_can_be_moved_to_another(
    databases: SQLite | PostgreSQL, procedure: str
) -> None:
    url = databases.new()
    async with (
        Simulator(setup=AfterPolls(10**6)) as sim,
        DurableBatches(url, poll_every=0.1) as durable,
    ):
        sim.add_batch(batch_id=SOURCE)
        life = Settings(database_url=url, base_url=sim.url, token=sim.token)
        gone = start(evolve(life, executor_id="gone"))
        order = await durable.order(SOURCE, name="Round 2")
        async with asyncio.timeout(SECONDS):
            while posts(sim).get("setup", 0) < 1:
                await asyncio.sleep(0.02)
        kill(gone)
        (copy,) = set(sim.batches) - {SOURCE}
        sim.set_status(copy, "READY")
        sim.add_batch("other", status="READY")
        result = asyncio.create_task(order.result())
        other = start(evolve(life, executor_id="other"))
        try:
            await asyncio.wait_for((await durable.order(SOURCE, name="other")).result(), SECONDS)
            # The other one is at work, but not on what is nobody's but its own worker's.
            assert not result.done()
            if procedure == "take_over":
                assert await durable.take_over("gone") == 1
                assert await durable.take_over("gone") == 0
            else:
                await _resume(url, order.workflow_id)
            ready = await asyncio.wait_for(result, SECONDS)
        finally:
            kill(other)
        assert ready.id == copy
        assert posts(sim) == {"duplicate": 1, "setup": 1}


async def _resume(url: str, workflow_id: str) -> None:
    """Do what ``dbos workflow resume`` does."""
    client = DBOSClient(system_database_url=url)
    await client.resume_workflow_async(workflow_id)
    await asyncio.to_thread(client.destroy)
