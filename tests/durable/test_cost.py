"""What a durable wait costs the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from prolific_async.durable import DurableBatches
from prolific_async.simulator import AfterPolls, Simulator
from tests.durable.databases import PostgreSQL, SQLite, count_transactions, count_writes
from tests.durable.worker import QUICK_WORKER

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator

    from prolific_async import ProlificClient

ORDERS = 7


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    def ending(batch: Any) -> AfterPolls:
        return AfterPolls({"short": 3, "long": 60, "endless": 10**6}[batch.name.split()[0]])

    async with Simulator(setup=ending) as simulator:
        yield simulator


@pytest.mark.slow
async def test_a_wait_writes_ten_rows_at_most_however_long_it_is(
    databases: SQLite | PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    url = databases.new()
    source = sim.add_batch()
    counted = count_writes(url)
    written: dict[str, Counter[str]] = {}
    async with (
        DurableBatches(url, poll_every=0.1) as durable,
        durable.worker(client, **QUICK_WORKER),
    ):
        for kind in ("short", "long"):
            before = counted()
            orders = [
                await durable.order(source, name=f"{kind} {number}") for number in range(ORDERS)
            ]
            await asyncio.gather(*(order.result() for order in orders))
            written[kind] = counted() - before
    print(f"rows written by {ORDERS} waits:", dict(written["short"]))  # noqa: T201
    assert written["short"] == written["long"]
    # Nine on SQLite and seven on PostgreSQL, by DBOS 3.4.
    assert 5 * ORDERS < written["short"].total() <= 10 * ORDERS


async def test_an_order_is_written_in_five_transactions(
    postgresql: PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    url = postgresql.new()
    source = sim.add_batch()
    counted = count_writes(url)
    async with (
        DurableBatches(url, poll_every=0.1) as durable,
        durable.worker(client, **QUICK_WORKER),
    ):
        rows, before = counted().total(), count_transactions(url)
        await (await durable.order(source, name="short")).result()
        assert counted().total() - rows <= 7
        assert count_transactions(url) - before <= 5


@pytest.mark.slow
async def test_a_restart_writes_two_more(
    databases: SQLite | PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    url = databases.new()
    source = sim.add_batch()
    counted = count_writes(url)
    async with DurableBatches(url, poll_every=0.1) as durable:
        async with durable.worker(client, **QUICK_WORKER):
            for number in range(ORDERS):
                await durable.order(source, name=f"endless {number}")
            while len(_waited_for(sim)) < ORDERS:
                await asyncio.sleep(0.02)
        before, seen = counted(), len(sim.requests)
        async with durable.worker(client, **QUICK_WORKER):
            while len(_waited_for(sim, since=seen)) < ORDERS:
                await asyncio.sleep(0.02)
        written = counted() - before
    assert written["UPDATE workflow_status"] == 2 * ORDERS
    assert written["INSERT operation_outputs"] == 0


def _waited_for(sim: Simulator, *, since: int = 0) -> set[str]:
    return {seen.path for seen in sim.requests[since:] if seen.path.endswith("/status")}
