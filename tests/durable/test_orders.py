"""The status, events, listing and cancelling of orders."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from dbos import error as dbos_error

from prolific_async import (
    BatchFailedError,
    ConfigurationError,
    NotFoundError,
    ProlificClient,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.durable import (
    DatabaseUnavailableError,
    DurableBatches,
    Order,
    OrderCancelledError,
    OrderNotFoundError,
    OrderState,
    OrderStatus,
)
from prolific_async.durable.order_steps import OrderSteps
from prolific_async.durable.running_orders import RunningOrders
from prolific_async.simulator import Fault, Simulator
from tests.durable.databases import SOME_OF_BOTH, SQLITE_FIRST
from tests.durable.worker import QUICK_WORKER, SECONDS, Settings, kill, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.durable.databases import PostgreSQL, SQLite

CANCELLED = OrderState.CANCELLED


@pytest.fixture
async def durable(sqlite: SQLite) -> AsyncIterator[DurableBatches]:
    async with DurableBatches(sqlite.new(), poll_every=0.05) as batches:
        yield batches


def posts(sim: Simulator) -> list[str]:
    seen = (*sim.requests, *sim.in_flight)
    return [one.path.rpartition("/")[2] for one in seen if one.method == "POST"]


async def until(condition: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def is_waited_for(sim: Simulator, copy: str) -> None:
    path = f"/{copy}/status"
    await until(lambda: sum(seen.path.endswith(path) for seen in sim.requests) >= 3)


async def no_more_polls(sim: Simulator) -> None:
    """Return once no request has come for five gaps of a worker's polls."""
    before = -1
    async with asyncio.timeout(SECONDS):
        while len(sim.requests) != before:
            before = len(sim.requests)
            await asyncio.sleep(0.5)


class Told:
    """Reads an order's events to their end."""

    def __init__(self, order: Order) -> None:
        self.statuses: list[OrderStatus] = []
        self.reading = asyncio.create_task(self._read(order))

    async def _read(self, order: Order) -> None:
        async for status in order.events():
            self.statuses.append(status)
            assert order.last_status is status

    @property
    def states(self) -> list[OrderState]:
        return [status.state for status in self.statuses]

    async def end(self) -> OrderStatus:
        await asyncio.wait_for(self.reading, SECONDS)
        return self.statuses[-1]


async def test_events_tell_of_each_change_and_end(
    databases: SQLite | PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    copy = sim.add_batch("Round 2", status="PROCESSING")
    sim.set_status(copy, "PROCESSING")
    before = datetime.now(UTC)
    async with DurableBatches(databases.new(), poll_every=0.05) as durable:
        order = await durable.order(source, name=" Round 2 ", timeout=600)
        told = Told(order)
        await until(lambda: told.statuses)
        async with durable.worker(client, **QUICK_WORKER):
            await until(lambda: told.statuses[-1].copy_id)
        async with durable.worker(client, **QUICK_WORKER):
            sim.set_status(copy, "READY")
            ready = await told.end()
        assert await order.status() == ready
    queued = told.statuses[0]
    assert (queued.state, queued.copy_id, queued.copy_may_exist) == ("queued", None, False)
    assert (queued.source_id, queued.name, queued.timeout) == (source, "Round 2", 600)
    assert before <= queued.ordered_at <= datetime.now(UTC)
    assert (queued.ended_at, queued.workflow_id) == (None, order.workflow_id)
    assert OrderState.RUNNING in told.states
    assert (ready.state, ready.copy_id, ready.failure) == ("ready", copy, None)
    assert ready.ended_at is not None
    assert ready.ended_at.tzinfo is UTC
    assert all(one != following for one, following in pairwise(told.statuses))


async def test_a_failure_is_the_last_event(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    copy = sim.add_batch("Round 2")
    sim.set_status(copy, "ERROR")
    order = await durable.order(sim.add_batch(), name="Round 2")
    async with durable.worker(client, **QUICK_WORKER):
        failed = await Told(order).end()
    assert (failed.state, failed.copy_id) == ("failed", copy)
    assert isinstance(failed.failure, BatchFailedError)
    with pytest.raises(BatchFailedError):
        await order.result()


async def test_many_who_watch_share_the_queries(durable: DurableBatches) -> None:
    orders = [await durable.order("source", name=f"Round {number}") for number in range(30)]
    told = [Told(order) for order in orders]
    await until(lambda: all(one.statuses for one in told))
    reads: list[str] = []

    def read(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "SELECT" in statement:
            reads.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", read)
    try:
        began = asyncio.get_running_loop().time()
        await until(lambda: len(reads) >= 4)
        assert asyncio.get_running_loop().time() - began > 2 * 0.05
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", read)
    for order in orders:
        await order.cancel()
    assert {(await one.end()).state for one in told} == {CANCELLED}


async def test_events_that_nobody_reads_any_longer_are_not_searched_for(
    durable: DurableBatches,
) -> None:
    order = await durable.order("source", name="Round 2")
    async with aclosing(order.events()) as events:
        assert (await anext(events)).state == "queued"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.05)
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_events_are_cancelled_when_it_closes(sqlite: SQLite) -> None:
    async with DurableBatches(sqlite.new(), poll_every=0.05) as durable:
        told = Told(await durable.order("source", name="Round 2"))
        await until(lambda: told.statuses)
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await told.reading


async def test_events_end_when_no_worker_takes_the_order_in_time(durable: DurableBatches) -> None:
    durable._parts.results._margin = 0.05
    order = await durable.order("source", name="Round 2", timeout=0)
    with pytest.raises(WaitTimeoutError, match="make sure that one runs"):
        await Told(order).end()


async def test_events_of_an_order_that_is_deleted_end(durable: DurableBatches) -> None:
    order = await durable.order("source", name="Round 2")
    told = Told(order)
    await until(lambda: told.statuses)
    await durable._parts.database.client.delete_workflow_async(order.workflow_id)
    with pytest.raises(OrderNotFoundError):
        await told.end()


async def test_an_order_that_was_never_given_is_not_found(durable: DurableBatches) -> None:
    order = durable.find("source", name="Round 2")
    for call in (order.status, order.cancel, Told(order).end, order.result):
        with pytest.raises(OrderNotFoundError, match="Round 2"):
            await call()
    assert order.last_status is None


async def test_an_order_that_is_cancelled_before_it_began_sends_nothing(
    databases: SQLite | PostgreSQL, sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    async with DurableBatches(databases.new(), poll_every=0.05) as durable:
        order = await durable.order(source, name="Round 2")
        result, told = asyncio.create_task(order.result()), Told(order)
        await until(lambda: told.statuses)
        status = await order.cancel()
        assert (status.state, status.copy_may_exist, status.failure) == (CANCELLED, False, None)
        assert await order.cancel() == status == order.last_status
        async with durable.worker(client, **QUICK_WORKER):
            again = await durable.order(source, name="Round 2")
            with pytest.raises(OrderCancelledError, match="another name"):
                await again.result()
            await (await durable.order(source, name="Round 3")).result()
        with pytest.raises(OrderCancelledError):
            await result
        assert (await told.end()).state is CANCELLED
    assert posts(sim) == ["duplicate", "setup"]
    assert sorted(batch.name for batch in sim.batches.values()) == ["Original", "Round 3"]


@pytest.mark.slow
@pytest.mark.parametrize(("databases", "verb"), SOME_OF_BOTH, indirect=["databases"])
async def test_a_worker_elsewhere_stops_in_the_middle_of_a_post(
    databases: SQLite | PostgreSQL, sim: Simulator, verb: str
) -> None:
    url = databases.new()
    sim.inject("POST", f"/{verb}", Fault(delay=60))
    async with DurableBatches(url, poll_every=0.1) as durable:
        order = await durable.order(sim.add_batch(), name="Round 2")
        life = Settings(database_url=url, base_url=sim.url, token=sim.token)
        process = start(life)
        await until(lambda: any(seen.path.endswith(verb) for seen in sim.in_flight))
        status = await order.cancel()
        assert (status.state, status.copy_id, status.copy_may_exist) == (CANCELLED, None, True)
        with pytest.raises(OrderCancelledError):
            await order.result()
        await until(lambda: not sim.in_flight)
        before = len(sim.requests)
        kill(process)
        process = start(life)  # a new one does not resume it
        other = await durable.order(sim.add_batch(), name="Round 3")
        await asyncio.wait_for(other.result(), SECONDS)
        kill(process)
        assert (await order.status()).state is CANCELLED
    copies = [batch.id for batch in sim.batches.values() if batch.name == "Round 2"]
    later = sim.requests[before:]
    assert not [seen for seen in later if any(copy in seen.path for copy in copies)]
    assert [seen.body for seen in later if "duplicate" in seen.path] == [{"name": "Round 3"}]


@pytest.mark.slow
@pytest.mark.parametrize("databases", SQLITE_FIRST, indirect=True)
async def test_a_worker_elsewhere_stops_its_wait(
    databases: SQLite | PostgreSQL, sim: Simulator
) -> None:
    url = databases.new()
    copy = sim.add_batch("Round 2", status="PROCESSING")
    sim.set_status(copy, "PROCESSING")
    async with DurableBatches(url, poll_every=0.1) as durable:
        order = await durable.order(sim.add_batch(), name="Round 2")
        process = start(Settings(database_url=url, base_url=sim.url, token=sim.token))
        await is_waited_for(sim, copy)
        status = await order.cancel()
        assert (status.state, status.copy_id) == (CANCELLED, copy)
        await no_more_polls(sim)
        sim.set_status(copy, "READY")
        kill(process)
        assert await order.status() == status


async def test_an_order_that_has_ended_stays_as_it_was(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    async with durable.worker(client, **QUICK_WORKER):
        order = await durable.order(source, name="Round 2")
        late = await durable.order(source, name="late", timeout=0)
        ready = await order.result()
        with pytest.raises(WaitTimeoutError):
            await late.result()
        status = await order.cancel()
        assert (status.state, status.copy_id) == ("ready", ready.id)
        assert (await late.cancel()).state == "failed"
        assert await order.result() == ready


async def test_an_order_that_waits_out_a_refused_token_can_be_cancelled(
    sim: Simulator, durable: DurableBatches, dbos_warnings: list[str]
) -> None:
    order = await durable.order(sim.add_batch(), name="Round 2")
    async with (
        ProlificClient("another", base_url=sim.url) as client,
        durable.worker(client, **QUICK_WORKER),
    ):
        await until(lambda: sim.requests)
        assert (await order.cancel()).copy_may_exist is False
        await until(lambda: not [task for task in asyncio.all_tasks() if "in_client" in repr(task)])
        await no_more_polls(sim)
    assert dbos_warnings == []


@pytest.mark.slow
async def test_dbos_warns_of_no_order_that_it_finds_cancelled_itself(
    sim: Simulator,
    durable: DurableBatches,
    dbos_warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(RunningOrders, "keep_cancelling", never)
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(delay=0.5))
    order = await durable.order(source, name="Round 2")
    async with (
        ProlificClient(sim.token, base_url=sim.url) as client,
        durable.worker(client, **QUICK_WORKER),
    ):
        await until(lambda: sim.in_flight)
        await order.cancel()
        other = await durable.order(source, name="Round 3")
        await other.result()
        await until(lambda: not sim.in_flight)
        await asyncio.sleep(0.05)  # the worker records it now, or is refused to
    assert posts(sim) == ["duplicate", "duplicate", "setup"]
    assert dbos_warnings == []


async def test_a_failed_order_is_one_line_of_our_log_and_none_of_dbos_s(
    client: ProlificClient,
    durable: DurableBatches,
    dbos_warnings: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "prolific_async")
    order = await durable.order("nowhere", name="Round 2")
    async with durable.worker(client, **QUICK_WORKER):
        with pytest.raises(NotFoundError) as raised:
            await order.result()
    assert dbos_warnings == []
    (line,) = [text for text in caplog.messages if "failed" in text]
    assert line == f"the order of 'Round 2', a copy of nowhere, failed: {raised.value}"


@pytest.mark.parametrize(
    "bug", [TypeError("a bug"), WaitFailedError("b1", None, 0.0, 1, (), TypeError("a bug"))]
)
async def test_dbos_reports_a_bug_in_an_order(
    client: ProlificClient,
    durable: DurableBatches,
    dbos_warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    bug: Exception,
) -> None:
    async def fail(_: object) -> None:
        raise bug

    monkeypatch.setattr(OrderSteps, "find_and_set_up", fail)
    order = await durable.order("nowhere", name="Round 2")
    async with durable.worker(client, **QUICK_WORKER):
        with pytest.raises(type(bug), match="a bug"):
            await order.result()
    assert any("Exception encountered" in warning for warning in dbos_warnings)


async def test_an_order_that_was_cancelled_after_begun_by_read_it_is_not_resumed(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    copy = sim.add_batch("Round 2", status="PROCESSING")
    sim.set_status(copy, "PROCESSING")
    order = await durable.order(sim.add_batch(), name="Round 2")
    async with durable.worker(client, **QUICK_WORKER):
        await is_waited_for(sim, copy)
    queues = durable._parts.queues
    begun = await queues.begun_by("one")
    assert begun == [order.workflow_id]
    await order.cancel()
    await queues.resume(begun)
    assert (await order.status()).state is CANCELLED


@pytest.mark.parametrize(
    ("error", "warnings"), [(DatabaseUnavailableError("away"), 0), (OSError("odd"), 1)]
)
async def test_a_read_that_fails_stops_no_later_cancelling(
    client: ProlificClient, error: Exception, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    orders = RunningOrders(client.batches, 1)
    tried: list[list[str]] = []

    class Failing:
        async def cancelled(self, ids: list[str]) -> list[str]:
            tried.append(ids)
            if len(tried) == 1:
                raise error
            return ["one"]

    queues: Any = Failing()
    orders._dbos_loop = asyncio.get_running_loop()
    one, two = (asyncio.create_task(asyncio.Event().wait()) for _ in range(2))
    cancelling = asyncio.create_task(orders.keep_cancelling(queues, every=0.001))
    await asyncio.sleep(0.01)
    assert not tried  # nothing runs
    orders._workflows.update({one: "one", two: "two"})
    await asyncio.wait([one], timeout=SECONDS)
    assert (one.cancelled(), two.done()) == (True, False)
    cancelling.cancel()
    two.cancel()
    await asyncio.wait([cancelling, two])
    assert tried[0] == ["one", "two"]
    assert len(caplog.records) == warnings


async def test_orders_are_listed_the_newest_first(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source, odd = sim.add_batch(), sim.add_batch(batch_id="odd_%:id")
    async with durable.worker(client, **QUICK_WORKER):
        ready = await durable.order(source, name="ready")
        await ready.result()
        failed = await durable.order(source, name="failed", timeout=0)
        with pytest.raises(WaitTimeoutError):
            await failed.result()
    queued = await durable.order(odd, name="queued")
    cancelled = await durable.order(source, name="cancelled")
    await cancelled.cancel()

    async def names(*args: Any, **kwargs: Any) -> list[str]:
        return [order.name for order in await durable.orders(*args, **kwargs)]

    assert await names() == ["cancelled", "queued", "failed", "ready"]
    assert await names(limit=2) == ["cancelled", "queued"]
    assert await names(limit=2, offset=2) == ["failed", "ready"]
    assert await names(offset=4) == []
    assert await names(odd) == ["queued"]
    assert await names("odd_%25") == []
    assert await names(state="failed") == ["failed"]
    assert await names(source, state=[OrderState.READY, "cancelled"]) == ["cancelled", "ready"]
    assert await names(state=[]) == []
    for order in await durable.orders():
        assert order.last_status == await order.status()
        assert order.last_status is not None
        assert order.last_status.state == order.name
        assert order.source_id == order.last_status.source_id
    assert queued.workflow_id == (await durable.orders(odd))[0].workflow_id


async def test_orders_of_other_applications_are_not_listed(sqlite: SQLite) -> None:
    url = sqlite.new()
    async with (
        DurableBatches(url) as one,
        DurableBatches(url, application="prolific-async-too") as other,
    ):
        await one.order("source", name="Round 2")
        assert len(await one.orders()) == 1
        assert await other.orders() == []


@pytest.mark.parametrize(
    "given",
    [
        {"limit": 0},
        {"limit": 1.5},
        {"limit": True},
        {"limit": "5"},
        {"offset": -1},
        {"state": "done"},
        {"state": ["ready", "done"]},
        {"batch": ""},
    ],
)
async def test_filters_that_make_no_sense_are_refused(
    durable: DurableBatches, given: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(given)) + "|done|id"):
        await durable.orders(**given)


async def test_orders_need_an_open_database(sqlite: SQLite) -> None:
    with pytest.raises(ConfigurationError, match="not open"):
        await DurableBatches(sqlite.new()).orders()


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (OrderCancelledError("Round 2"), dbos_error.DBOSAwaitedWorkflowCancelledError),
        (OrderNotFoundError("Round 2"), dbos_error.DBOSNonExistentWorkflowError),
    ],
)
def test_errors_of_orders_pass_between_processes(
    error: OrderCancelledError | OrderNotFoundError, base: type[Exception]
) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert isinstance(copy, base)
    assert (copy.workflow_id, str(copy), copy.args) == ("Round 2", str(error), error.args)
