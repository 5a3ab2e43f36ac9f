"""Applications that have a DBOS of their own in a process with orders, or with a worker."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from dbos import DBOS

from prolific_async import ConfigurationError, ProlificClient
from prolific_async.durable import DurableBatches
from tests.durable import worker as processes
from tests.durable.databases import SQLITE_FIRST, count_writes
from tests.durable.worker import QUICK_WORKER, SECONDS, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from prolific_async.simulator import Simulator
    from tests.durable.databases import PostgreSQL, SQLite

pytestmark = pytest.mark.slow

QUICK = QUICK_WORKER["config"]
ORDERING: dict[str, DurableBatches] = {}


@DBOS.workflow(name="of an application")
async def answer() -> str:
    return DBOS.application_version


@DBOS.workflow(name="of an application, cancelled")
async def stop() -> None:
    raise asyncio.CancelledError


@DBOS.workflow(name="of an application, failing")
async def fail() -> None:
    raise ConfigurationError("no such thing")


@DBOS.workflow(name="of an application, with an order")
async def give_an_order(source: str, name: str) -> str:
    async def step() -> str:
        return (await ORDERING["durable"].order(source, name=name)).workflow_id

    return await DBOS.run_step_async({"name": "order"}, step)


def made(url: str, *, name: str = "the-application") -> DBOS:
    config: Any = {
        "name": name,
        "system_database_url": url,
        "application_version": "of the application",
        "log_level": "WARNING",
        **QUICK,
    }
    return DBOS(config=config)


async def works() -> bool:
    """Tell whether the DBOS of this process is the application's, and runs its workflows."""
    handle = await DBOS.start_workflow_async(answer)
    return await asyncio.wait_for(handle.get_result(), SECONDS) == "of the application"


def end() -> None:
    """End the application's DBOS, and give the loop back a pool for threads, which that took."""
    DBOS.destroy()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())


@pytest.fixture(autouse=True)
def _no_dbos_left() -> Iterator[None]:
    yield
    DBOS.destroy()


@pytest.fixture
def url(sqlite: SQLite) -> str:
    return sqlite.new()


@pytest.fixture
async def durable(url: str) -> AsyncIterator[DurableBatches]:
    async with DurableBatches(url, poll_every=0.05) as batches:
        yield batches


@pytest.mark.parametrize("launched", [False, True])
@pytest.mark.parametrize("shared", [False, True])
async def test_a_worker_leaves_the_application_s_dbos_alone_and_says_what_to_do(
    sim: Simulator,
    client: ProlificClient,
    durable: DurableBatches,
    sqlite: SQLite,
    url: str,
    *,
    launched: bool,
    shared: bool,
) -> None:
    theirs = made(url if shared else sqlite.new())
    if launched:
        DBOS.launch()
    order = await durable.order(sim.add_batch(), name="Round 2")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"has made it.* process of its own"):
            async with durable.worker(client, **QUICK_WORKER):
                pass
    assert DBOS(config={"name": "ignored"}) is theirs
    if not launched:
        DBOS.launch()
    assert await works()
    end()
    async with durable.worker(client, **QUICK_WORKER):
        await asyncio.wait_for(order.result(), SECONDS)
    assert len(sim.batches) == 2


async def test_a_worker_that_is_refused_writes_nothing(
    client: ProlificClient, durable: DurableBatches, sqlite: SQLite, url: str
) -> None:
    made(sqlite.new())
    written = count_writes(url)
    with pytest.raises(ConfigurationError, match="application has made it"):
        async with durable.worker(client, **QUICK_WORKER):
            pass
    assert not written()


async def test_an_application_is_told_that_the_worker_s_dbos_is_not_its_own(
    sim: Simulator, client: ProlificClient, durable: DurableBatches, sqlite: SQLite
) -> None:
    theirs = sqlite.new()
    async with durable.worker(client, **QUICK_WORKER):
        with pytest.raises(ConfigurationError, match=r"belongs to DurableBatches\.worker"):
            made(theirs)
        order = await durable.order(sim.add_batch(), name="Round 2")
        await asyncio.wait_for(order.result(), SECONDS)
    made(theirs)
    DBOS.launch()
    assert await works()
    with pytest.raises(ConfigurationError, match="application has made it"):
        async with durable.worker(client, **QUICK_WORKER):
            pass
    assert await works()


@pytest.mark.parametrize("made_another", [False, True])
async def test_a_worker_whose_dbos_was_destroyed_says_so_and_destroys_no_other(
    client: ProlificClient,
    durable: DurableBatches,
    sqlite: SQLite,
    caplog: pytest.LogCaptureFixture,
    *,
    made_another: bool,
) -> None:
    async with durable.worker(client, **QUICK_WORKER):
        await asyncio.to_thread(DBOS.destroy)
        if made_another:
            made(sqlite.new())
            DBOS.launch()
    assert "the application destroyed the worker's DBOS" in caplog.text
    if made_another:
        assert await works()
        end()
    async with durable.worker(client, **QUICK_WORKER):
        pass


@pytest.mark.parametrize("raised_by_the_log", [ZeroDivisionError], indirect=True)
@pytest.mark.usefixtures("raised_by_the_log")
async def test_a_log_that_raises_keeps_no_dbos(
    client: ProlificClient, durable: DurableBatches
) -> None:
    for _ in range(2):
        async with durable.worker(client, **QUICK_WORKER):
            await asyncio.to_thread(DBOS.destroy)


async def test_workflows_of_an_application_run_in_the_worker_s_dbos(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    config = {"application_version": "of the application", **QUICK}
    async with durable.worker(client, **QUICK_WORKER | {"config": config}):
        assert await works()
        order = await durable.order(sim.add_batch(), name="Round 2")
        await asyncio.wait_for(order.result(), SECONDS)
    # DBOS's own coroutines, awaited in this loop, have put DBOS's pool into it.
    assert await asyncio.to_thread(int) == 0


async def test_dbos_warns_of_an_application_s_cancelled_workflow_and_of_no_order(
    sim: Simulator, client: ProlificClient, durable: DurableBatches, dbos_warnings: list[str]
) -> None:
    await durable.order(sim.add_batch(), name="Round 2")
    copy = sim.add_batch("Round 2", status="WORKING")
    async with durable.worker(client, **QUICK_WORKER):
        async with asyncio.timeout(SECONDS):
            while not any(copy in seen.path for seen in sim.requests):
                await asyncio.sleep(0.02)
        handle = await DBOS.start_workflow_async(stop)
        async with asyncio.timeout(SECONDS):
            while not dbos_warnings:
                await asyncio.sleep(0.02)
        assert (await handle.get_status()).status == "PENDING"
    assert len(dbos_warnings) == 1
    assert "cancelled" in dbos_warnings[0]


async def test_dbos_reports_an_application_s_workflow_that_fails_with_an_error_of_ours(
    client: ProlificClient, durable: DurableBatches, dbos_warnings: list[str]
) -> None:
    async with durable.worker(client, **QUICK_WORKER):
        handle = await DBOS.start_workflow_async(fail)
        with pytest.raises(ConfigurationError, match="no such thing"):
            await asyncio.wait_for(handle.get_result(), SECONDS)
    (warning,) = dbos_warnings
    assert "Exception encountered" in warning


@pytest.mark.parametrize("databases", SQLITE_FIRST, indirect=True)
async def test_orders_are_given_beside_an_application_s_dbos_and_carried_out_elsewhere(
    sim: Simulator, databases: SQLite | PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.new()
    source = sim.add_batch()
    life = Settings(database_url=url, base_url=sim.url, token=sim.token)
    elsewhere = processes.start(life)
    made(url)
    DBOS.launch()
    try:
        async with DurableBatches(url, poll_every=0.05) as durable:
            monkeypatch.setitem(ORDERING, "durable", durable)
            handle = await DBOS.start_workflow_async(give_an_order, source, "Round 3")
            orders = [
                await durable.order(source, name="Round 2"),
                durable.find(source, name="Round 3"),
            ]
            assert await handle.get_result() == orders[1].workflow_id
            results = asyncio.gather(*(order.result() for order in orders))
            ready = await asyncio.wait_for(results, SECONDS)
            assert await works()
    finally:
        processes.kill(elsewhere)
    assert [batch.name for batch in ready] == ["Round 2", "Round 3"]


async def test_durable_batches_may_be_closed_after_the_application_s_dbos(url: str) -> None:
    made(url)
    DBOS.launch()
    async with DurableBatches(url, poll_every=0.05) as durable:
        await durable.order("source", name="Round 2")
        assert await works()
        DBOS.destroy()


async def test_an_application_of_the_same_name_that_takes_an_order_says_so(
    durable: DurableBatches, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    order = await durable.order("source", name="Round 2")
    made(url, name="prolific-async")
    DBOS.launch()
    await durable._parts.queues.register(None)
    async with asyncio.timeout(SECONDS):
        while not caplog.messages:
            await asyncio.sleep(0.02)
    assert f"{order.workflow_id} was taken by a DBOS of this process" in caplog.text
    assert "application name that no other DBOS has" in caplog.text
    end()
    assert await durable.take_over("local") == 1


@pytest.mark.parametrize("raised_by_the_log", [ZeroDivisionError], indirect=True)
async def test_an_order_that_is_taken_without_a_worker_is_left_though_the_log_raises(
    durable: DurableBatches, url: str, raised_by_the_log: object
) -> None:
    order = await durable.order("source", name="Round 2")
    result = asyncio.create_task(order.result())
    made(url, name="prolific-async")
    DBOS.launch()
    await durable._parts.queues.register(None)
    async with asyncio.timeout(SECONDS):
        while await durable._parts.queues.begun_by("local") != [order.workflow_id]:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    assert not result.done()
    end()
    assert await durable.take_over("local") == 1


async def test_a_worker_ends_its_dbos_however_often_it_is_cancelled(
    sim: Simulator, client: ProlificClient, durable: DurableBatches, url: str
) -> None:
    await durable.order(sim.add_batch(), name="Round 2")
    sim.add_batch("Round 2", status="WORKING")

    async def work() -> None:
        async with durable.worker(client, **QUICK_WORKER):
            await asyncio.Event().wait()

    worker = asyncio.create_task(work())
    async with asyncio.timeout(SECONDS):
        while not sim.requests:
            await asyncio.sleep(0.02)
    while not worker.done():
        worker.cancel()
        await asyncio.sleep(0)
    assert worker.cancelled()
    made(url)
    DBOS.launch()
    assert await works()
