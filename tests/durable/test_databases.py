"""Databases that are new or fail, and what orders store in them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import random
import string
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from prolific_async import BadRequestError, ProlificClient
from prolific_async.durable import DurableBatches
from prolific_async.simulator import Fault, Simulator
from tests.durable.worker import QUICK_WORKER, SECONDS

if TYPE_CHECKING:
    from tests.durable.databases import PostgreSQL, SQLite


@pytest.mark.slow
async def test_processes_that_start_at_once_make_the_tables_once(
    databases: SQLite | PostgreSQL,
) -> None:
    url = databases.empty()

    async def order(number: int) -> None:
        async with DurableBatches(url) as durable:
            await durable.order("source", name=f"Round {number}")

    await asyncio.gather(*(order(number) for number in range(4)))


async def test_applications_share_a_database_and_no_orders(
    databases: SQLite | PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    url = databases.new()
    source = sim.add_batch()
    async with DurableBatches(url, application="first", poll_every=0.05) as first:
        waiting = await first.order(source, name="of both")
        async with (
            DurableBatches(url, application="second", poll_every=0.05) as second,
            second.worker(client, **QUICK_WORKER),
        ):
            others = await second.order(source, name="of both")
            ready = await asyncio.wait_for(others.result(), SECONDS)
        assert others.workflow_id != waiting.workflow_id
        async with first.worker(client, **QUICK_WORKER):
            assert (await waiting.result()).id == ready.id
    assert [batch.name for batch in sim.batches.values()][1:] == ["of both"]


async def test_the_longest_names_that_are_taken_fit_into_an_index(
    databases: SQLite | PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    drawn = random.Random(20)

    def text(letters: str, length: int) -> str:
        return "".join(drawn.choices(letters, k=length))

    chinese = "".join(map(chr, range(0x4E00, 0x9FA5)))
    letters = string.ascii_lowercase + string.digits
    source = sim.add_batch(batch_id=text(letters, 1024))
    url = databases.new()
    async with DurableBatches(url, application=text(letters, 256), poll_every=0.05) as durable:
        name = text(chinese, 341) + "x"
        assert len(name.encode()) == 1024
        orders = [await durable.order(source, name=name) for _ in range(2)]
        for number in (1, 2000):
            with pytest.raises(ValueError, match=r"name must have at most 1024 bytes of UTF-8"):
                await durable.order(source, name=name + "y" * number)
        with pytest.raises(ValueError, match="id must have at most 1024 bytes"):
            await durable.order(source + "y", name=name)
        with pytest.raises(ValueError, match="executor_id"):
            async with durable.worker(client, executor_id="y" * 1025):
                pass  # pragma: no cover
        name_of_process = text(letters, 1024)
        async with durable.worker(client, **QUICK_WORKER | {"executor_id": name_of_process}):
            ready = await asyncio.wait_for(orders[1].result(), SECONDS)
    assert ready.name == name


@pytest.mark.slow
async def test_a_wait_outlives_the_connections_to_the_database(
    postgresql: PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    url = postgresql.new()
    source = sim.add_batch()
    copy = sim.add_batch("Round 1", status="WORKING")
    async with (
        DurableBatches(url, poll_every=0.05) as durable,
        durable.worker(client, **QUICK_WORKER),
    ):
        first = await durable.order(source, name="Round 1")
        result = asyncio.create_task(first.result())
        async with asyncio.timeout(SECONDS):
            while not any(seen.path.endswith(f"{copy}/status") for seen in sim.requests):
                await asyncio.sleep(0.02)
        assert await asyncio.to_thread(postgresql.disconnect, url) > 1
        second = await durable.order(source, name="Round 2")
        sim.set_status(copy, "READY")
        assert (await asyncio.wait_for(result, SECONDS)).id == copy
        await asyncio.wait_for(second.result(), SECONDS)


async def test_the_token_stands_neither_in_the_database_nor_in_a_log(
    sqlite: SQLite,
    sim: Simulator,
    client: ProlificClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    # DBOS stops the propagation of its log when it is first used and the log has no handler.
    monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [caplog.handler])
    url = sqlite.new()
    source = sim.add_batch()
    sim.add_batch("refused")
    echo = Fault(400, body={"detail": sim.token}, headers={"Echo": f"Token {sim.token}"})
    async with (
        DurableBatches(url, poll_every=0.05) as durable,
        durable.worker(client, **QUICK_WORKER),
    ):
        await (await durable.order(source, name="Round 2")).result()
        sim.inject("POST", "/setup", echo)
        with pytest.raises(BadRequestError):
            await (await durable.order(source, name="refused")).result()
    written = _values(url)
    for what, where in ((b"Round 2", written), (b"BadRequestError", written)):
        assert any(what in value for value in where)
    assert "the order of 'refused', a copy of" in caplog.text
    token = sim.token.encode()
    assert not any(token in value for value in written)
    assert sim.token not in caplog.text


def _values(url: str) -> set[bytes]:
    """Return all values in a database, decoded where it is a pickle in base64."""
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = [row for table in tables.sorted_tables for row in connection.execute(table.select())]
    engine.dispose()
    values = {str(value).encode() for row in rows for value in row}
    for value in tuple(values):
        with suppress(binascii.Error):
            values.add(base64.b64decode(value, validate=True))
    return values
