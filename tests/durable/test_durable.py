"""Orders, their results, and the worker, in one process."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import threading
import time
from asyncio.subprocess import PIPE
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
import sqlalchemy as sa
from dbos import DBOS, error

import prolific_async.durable
from prolific_async import (
    Batch,
    BatchFailedError,
    BatchStatus,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    PollPolicy,
    ProlificClient,
    WaitTimeoutError,
)
from prolific_async.durable import DurableBatches
from prolific_async.durable.database import checked_database
from prolific_async.durable.order_spec import OrderSpec, order_id
from prolific_async.durable.running_orders import RunningOrders
from prolific_async.simulator import Fault, Simulator
from tests.conftest import QUICK_POLL
from tests.durable.worker import QUICK_WORKER, SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.durable.databases import SQLite


@pytest.fixture
async def durable(sqlite: SQLite) -> AsyncIterator[DurableBatches]:
    async with DurableBatches(sqlite.new(), poll_every=0.05) as batches:
        yield batches


def sent(sim: Simulator, verb: str) -> list[Any]:
    return [seen for seen in sim.requests if seen.method == "POST" and seen.path.endswith(verb)]


async def test_an_order_becomes_a_batch_that_is_ready(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    dataset = sim.add_dataset()
    async with durable.worker(client, settle_seconds=3600, **QUICK_WORKER):
        given = await client.datasets.get(dataset)
        order = await durable.order(source, name="Round 2", dataset_id=given, tasks_per_group=5)
        ready = await asyncio.wait_for(order.result(), SECONDS)
    copy = await client.batches.get(ready.id)
    assert ready == copy
    assert (copy.status, copy.name, copy.tasks_per_group) == (BatchStatus.READY, "Round 2", 5)
    assert copy.datasets[0].id == dataset


async def test_ordered_twice_it_is_one(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    orders = [await durable.order(source, name=name) for name in ("Round 2", " Round 2 ")]
    async with durable.worker(client, **QUICK_WORKER):
        ready = [await order.result() for order in orders]
        again = await durable.order(source, name="Round 2")
        other = await durable.order(source, name="Round 3")
        assert await again.result() == ready[0]
        assert (await other.result()).id != ready[0].id
    assert ready[0] == ready[1]
    assert len(sent(sim, "/duplicate")) == 2
    found = await durable.find(source, name="Round 2 ").result()
    assert found == ready[0]


def test_no_two_orders_have_one_id() -> None:
    orders = [
        ("application", "source", "name"),
        ("other", "source", "name"),
        ("application", "source:name", "name"),
        ("application", "source", "name:name"),
        ("application", "source%3Aname", "name"),
    ]
    assert len({order_id(*order) for order in orders}) == len(orders)
    assert order_id(*orders[0]) == "prolific_async.order:application:source:name"


async def test_errors_come_out_as_they_are(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    failing = sim.add_batch("failing")
    sim.fail(failing)
    twins = {sim.add_batch("twins"), sim.add_batch("twins")}
    sim.add_batch("slow", status="PROCESSING")
    sim.set_status(failing, "ERROR")
    async with durable.worker(client, **QUICK_WORKER):
        orders = [
            await durable.order(source, name="failing"),
            await durable.order(source, name="twins"),
            await durable.order(source, name="slow", timeout=0),
            await durable.order("nowhere", name="nothing"),
        ]
        results: list[Any] = await asyncio.gather(
            *(order.result() for order in orders), return_exceptions=True
        )
    failed, several, late, missing = results
    assert isinstance(failed, BatchFailedError)
    assert failed.batch_id == failing
    assert failed.batch is not None
    assert isinstance(several, OutcomeUnknownError)
    assert {batch.id for batch in several.candidates} == twins
    assert isinstance(late, WaitTimeoutError)
    assert late.batch_id == source
    assert "wait again" not in str(late)
    assert "another name" in str(late)
    assert isinstance(missing, NotFoundError)


async def test_a_crowd_of_orders_is_polled_as_a_group(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    copies = {f"Round {number}": "" for number in range(30)}
    for name in copies:
        copies[name] = sim.add_batch(name, status="WORKING")
    async with durable.worker(client, **QUICK_WORKER):
        orders = [await durable.order(source, name=name) for name in copies]
        while len([seen for seen in sim.requests if seen.path.endswith("/status")]) < len(orders):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(SECONDS):
            while True:  # the last of them may have had a first poll of its own
                seen_before = len(sim.requests)
                await asyncio.sleep(0.05)
                polls = {seen.path.rpartition("/")[2] for seen in sim.requests[seen_before:]}
                if polls == {"batches"}:
                    break
        for copy in copies.values():
            sim.set_status(copy, "READY")
        ready = await asyncio.gather(*(order.result() for order in orders))
    assert {batch.name: batch.id for batch in ready} == copies
    assert sent(sim, "/duplicate") == []


class Told:
    """A client that records the time-outs of its waits."""

    def __init__(self, client: ProlificClient) -> None:
        self._batches = client.batches
        self.timeouts: list[float] = []

    @property
    def batches(self) -> Self:
        return self

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._batches, verb)

    async def wait_until_ready(self, batch: str, *, timeout: float) -> Batch:
        self.timeouts.append(timeout)
        return await self._batches.wait_until_ready(batch, timeout=timeout)


async def test_the_time_is_counted_from_the_order_whatever_is_restarted(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    copy = sim.add_batch("Round 2", status="WORKING")
    order = await durable.order(source, name="Round 2", timeout=3600)
    told: Any = Told(client)
    for _ in range(2):
        polls = len(sim.requests)
        async with durable.worker(told, **QUICK_WORKER):
            await _is_waited_for(sim, copy, since=polls)
    sim.set_status(copy, "READY")
    async with durable.worker(told, **QUICK_WORKER):
        await order.result()
    first, second, third = told.timeouts
    assert 3600 > first > second > third


async def test_an_order_that_an_earlier_version_began_goes_on(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    copy = sim.add_batch("Round 2", status="WORKING")
    order = await durable.order(source, name="Round 2")
    async with durable.worker(client, **QUICK_WORKER):
        await _is_waited_for(sim, copy)
    with durable._parts.database.client._sys_db.engine.begin() as connection:
        # The step's name before its function was renamed.
        recorded = connection.execute(
            sa.text("UPDATE operation_outputs SET function_name = 'make'")
        )
    assert recorded.rowcount == 1
    sim.set_status(copy, "READY")
    async with durable.worker(client, **QUICK_WORKER):
        assert (await asyncio.wait_for(order.result(), SECONDS)).id == copy


async def test_the_time_in_the_queue_counts(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    order = await durable.order(source, name="Round 2", timeout=0.05)
    await asyncio.sleep(0.05)
    async with durable.worker(client, **QUICK_WORKER):
        with pytest.raises(WaitTimeoutError):
            await order.result()
    assert sent(sim, "/duplicate") == []


@pytest.mark.parametrize("first", ["worker", "client"])
async def test_what_ends_before_the_work_is_done_leaves_it_for_the_next(
    sim: Simulator, durable: DurableBatches, dbos_warnings: list[str], first: str
) -> None:
    source = sim.add_batch()
    copy = sim.add_batch("Round 2", status="WORKING")
    order = await durable.order(source, name="Round 2")
    poll = PollPolicy(initial=0.01, maximum=0.02)
    ending = ProlificClient(sim.token, base_url=sim.url, poll=poll)
    async with durable.worker(ending, **QUICK_WORKER):
        await _is_waited_for(sim, copy)
        if first == "client":
            await ending.close()
            await asyncio.sleep(0.05)
    await ending.close()
    polls = len(sim.requests)
    await asyncio.sleep(0.05)
    assert len(sim.requests) == polls
    sim.set_status(copy, "READY")
    async with (
        ProlificClient(sim.token, base_url=sim.url, poll=poll) as client,
        durable.worker(client, **QUICK_WORKER),
    ):
        assert (await order.result()).id == copy
    assert dbos_warnings == []


@pytest.mark.parametrize("raised_by_the_log", [ZeroDivisionError], indirect=True)
@pytest.mark.usefixtures("raised_by_the_log")
async def test_what_a_closed_client_leaves_is_left_though_the_log_raises(
    sim: Simulator, durable: DurableBatches, dbos_warnings: list[str]
) -> None:
    await test_what_ends_before_the_work_is_done_leaves_it_for_the_next(
        sim, durable, dbos_warnings, "client"
    )


async def test_an_order_that_is_begun_while_its_worker_ends_is_left(
    client: ProlificClient, sim: Simulator
) -> None:
    work = RunningOrders(client.batches, 1)
    await work.end()
    spec = OrderSpec.checked(
        "source", "Round 2", dataset_id=None, tasks_per_group=None, timeout=None
    )
    begun = asyncio.create_task(work.run(spec))
    await asyncio.wait([begun])
    assert begun.cancelled()
    assert not sim.requests


@pytest.mark.slow
async def test_a_duplicate_that_may_be_under_way_has_time_to_show(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(504, delay=60))
    order = await durable.order(source, name="Round 2")
    async with durable.worker(client, settle_seconds=1, **QUICK_WORKER):
        await _is_asked(sim, "/duplicate")
    began = asyncio.get_running_loop().time()
    async with durable.worker(client, settle_seconds=1, **QUICK_WORKER):
        await order.result()
    assert sent(sim, "/duplicate")[-1].at - began > 0.99


async def test_what_ended_before_it_sent_anything_need_not_settle(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    sim.inject("GET", "/batches", Fault(delay=60))
    order = await durable.order(source, name="Round 2")
    async with durable.worker(client, settle_seconds=3600, **QUICK_WORKER):
        await _is_asked(sim, "/batches")
    async with durable.worker(client, settle_seconds=3600, **QUICK_WORKER):
        await asyncio.wait_for(order.result(), SECONDS)


class Held(aiohttp.TraceConfig):
    """Holds requests for a list until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()
        self.on_request_start.append(self._hold)

    async def _hold(self, _session: object, _context: object, told: Any) -> None:
        if told.url.path.endswith("/batches"):
            self.asked.set()
            await self.let_go.wait()


@pytest.mark.slow
async def test_an_order_that_was_cancelled_makes_no_copy(
    sim: Simulator, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    order = await durable.order(source, name="Round 2")
    held = Held()
    async with (
        ProlificClient(sim.token, base_url=sim.url, trace_configs=[held]) as client,
        durable.worker(client, **QUICK_WORKER),
    ):
        await held.asked.wait()
        await durable._parts.database.client.cancel_workflow_async(order.workflow_id)
        held.let_go.set()
        with pytest.raises(error.DBOSException, match="cancelled"):
            await order.result()
        await (await durable.order(source, name="Round 3")).result()
    assert [seen.body for seen in sent(sim, "/duplicate")] == [{"name": "Round 3"}]


@pytest.mark.slow
async def test_a_worker_ends_that_has_lost_an_order_to_another(
    sim: Simulator, sqlite: SQLite
) -> None:
    url = sqlite.new()
    source = sim.add_batch()
    held = Held()
    async with (
        DurableBatches(url, poll_every=0.05) as durable,
        ProlificClient(sim.token, base_url=sim.url, trace_configs=[held]) as client,
    ):
        await durable.order(source, name="Round 2")
        async with durable.worker(client, **QUICK_WORKER):
            await held.asked.wait()
            engine = sa.create_engine(url)
            with engine.begin() as connection:
                connection.execute(sa.text("UPDATE workflow_status SET owner_xid = 'another'"))
            engine.dispose()
            held.let_go.set()
            # When this one is done, it has long found the other to be lost.
            await (await durable.order(source, name="Round 3")).result()
    assert not any("workflow" in str(task.get_coro()) for task in asyncio.all_tasks())
    assert [seen.body for seen in sent(sim, "/duplicate")] == [{"name": "Round 3"}]


async def _is_asked(sim: Simulator, ending: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not any(seen.path.endswith(ending) for seen in sim.in_flight):
            await asyncio.sleep(0.02)


async def _is_waited_for(sim: Simulator, copy: str, *, since: int = 0) -> None:
    async with asyncio.timeout(SECONDS):
        # In the first life, the first poll is whether it was set up.
        polls = 1 if since else 2
        while sum(seen.path.endswith(f"/{copy}/status") for seen in sim.requests[since:]) < polls:
            await asyncio.sleep(0.02)


async def test_the_loop_is_as_it_was_when_the_worker_has_ended(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    pool = ThreadPoolExecutor(1, thread_name_prefix="of-the-application")
    asyncio.get_running_loop().set_default_executor(pool)
    async with durable.worker(client, **QUICK_WORKER):
        order = await durable.order(sim.add_batch(), name="Round 2")
        await asyncio.wait_for(order.result(), SECONDS)
        assert await asyncio.to_thread(thread_name) == "of-the-application_0"
    assert await asyncio.to_thread(thread_name) == "of-the-application_0"
    assert len(await client.batches.list(sim.workspace_id)) == 2


def thread_name() -> str:
    return threading.current_thread().name


async def test_a_process_has_one_worker(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    order = await durable.order(sim.add_batch(), name="Round 2")
    async with durable.worker(client, **QUICK_WORKER):
        with pytest.raises(ConfigurationError, match="has a worker already"):
            async with durable.worker(client, executor_id="two"):
                pass
        await asyncio.wait_for(order.result(), SECONDS)
    async with durable.worker(client, **QUICK_WORKER):
        pass


def test_workers_follow_each_other_in_loops_of_their_own(sqlite: SQLite) -> None:
    url = sqlite.new()

    async def work(name: str) -> None:
        async with (
            Simulator() as sim,
            ProlificClient(sim.token, base_url=sim.url, poll=QUICK_POLL) as client,
            DurableBatches(url, poll_every=0.05) as durable,
            durable.worker(client, **QUICK_WORKER),
        ):
            order = await durable.order(sim.add_batch(), name=name)
            await asyncio.wait_for(order.result(), SECONDS)

    for name in ("Round 2", "Round 3"):
        asyncio.run(work(name))


async def test_an_order_may_be_awaited_before_there_is_a_worker(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    order = await durable.order(source, name="Round 2")
    result = asyncio.create_task(order.result())
    await asyncio.sleep(0.05)
    assert not result.done()
    async with durable.worker(client, **QUICK_WORKER):
        assert (await result).status == "READY"


async def test_dbos_can_be_set_up_further(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    config = {"application_version": "7", "executor_id": "ignored", **QUICK_WORKER["config"]}
    async with durable.worker(client, **QUICK_WORKER | {"config": config}):
        assert (DBOS.application_version, DBOS.executor_id) == ("7", "one")
        order = await durable.order(source, name="Round 2")
        await order.result()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " "},
        {"name": None},
        {"name": "a\0b"},
        {"name": "half \ud800"},
        {"name": "x", "tasks_per_group": 0},
        {"name": "x", "tasks_per_group": True},
        {"name": "x", "timeout": -1},
        {"name": "x", "timeout": "1"},
        {"name": "x", "dataset_id": ""},
        {"name": "x", "batch": ".."},
    ],
)
async def test_orders_that_make_no_sense_are_refused(
    durable: DurableBatches, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"name|tasks_per_group|timeout|id"):
        await durable.order(**{"batch": "source", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"executor_id": ""},
        {"executor_id": None},
        {"executor_id": "a\0b"},
        {"executor_id": "one", "max_starts_per_second": 0},
        {"executor_id": "one", "settle_seconds": -1},
    ],
)
async def test_workers_that_make_no_sense_are_refused(
    client: ProlificClient, durable: DurableBatches, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(reversed(wrong))):
        async with durable.worker(client, **wrong):
            pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"application": "My App"},
        {"application": "_dbos_mine"},  # DBOS's own queues begin so
        {"application": None},
        {"poll_every": 0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DurableBatches("sqlite:///never", **wrong)


@pytest.mark.parametrize(
    ("url", "python", "sqlite", "serves"),
    [
        ("sqlite:///x", (3, 11), (3, 40, 1), True),
        ("sqlite:///x", (3, 12), (3, 40, 1), False),
        ("sqlite+pysqlite:///x", (3, 13), (3, 41, 2), False),
        ("sqlite:///x", (3, 12), (3, 42, 0), True),
        ("postgresql:///x", (3, 12), (3, 40, 1), True),
    ],
)
def test_an_sqlite_that_is_too_old_is_told_before_it_is_used(
    url: str, python: tuple[int, int], sqlite: tuple[int, ...], *, serves: bool
) -> None:
    if serves:
        assert checked_database(url, python=python, sqlite=sqlite) == url
    else:
        with pytest.raises(ConfigurationError, match=r"3\.42 .*has 3\.4[01]\.\d: use"):
            checked_database(url, python=python, sqlite=sqlite)


async def test_it_is_used_when_it_is_open(sqlite: SQLite, client: ProlificClient) -> None:
    durable = DurableBatches(sqlite.new())
    with pytest.raises(ConfigurationError, match="async with"):
        await durable.order("source", name="Round 2")
    with pytest.raises(ConfigurationError, match="async with"):
        async with durable.worker(client, **QUICK_WORKER):
            pass


def test_without_the_extra_the_import_says_what_to_do() -> None:
    code = "import sys; sys.modules['dbos'] = None; import prolific_async.durable"
    run = subprocess.run(  # noqa: PLW1510 - it fails
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "ImportError" in run.stderr
    assert "needs the extra [durable]: install prolific_async with it, see README" in run.stderr


@pytest.mark.slow
async def test_many_results_are_awaited_with_one_poll(
    sim: Simulator, client: ProlificClient, durable: DurableBatches
) -> None:
    source = sim.add_batch()
    reads: list[str] = []

    def read(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        reads.append(statement)

    orders = [await durable.order(source, name=f"Round {number}") for number in range(20)]
    results = asyncio.gather(*(order.result() for order in orders))
    while len(durable._parts.results._awaited) < len(orders):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    sa.event.listen(sa.Engine, "before_cursor_execute", read)
    began = time.monotonic()
    try:
        while len(reads) < 4:
            await asyncio.sleep(0.02)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", read)
    assert time.monotonic() - began > 2 * 0.05
    async with durable.worker(client, **QUICK_WORKER):
        assert len({batch.id for batch in await results}) == len(orders)


async def test_a_result_that_nobody_awaits_any_longer_is_not_searched_for(
    durable: DurableBatches,
) -> None:
    order = await durable.order("source", name="Round 2")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await order.result()
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.02)


async def test_who_awaits_a_result_is_cancelled_when_it_closes(sqlite: SQLite) -> None:
    async with DurableBatches(sqlite.new(), poll_every=0.05) as durable:
        order = await durable.order("source", name="Round 2")
        result = asyncio.create_task(order.result())
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await result


async def test_an_order_that_was_never_given_has_no_result(durable: DurableBatches) -> None:
    with pytest.raises(error.DBOSException, match="Round 2"):
        await durable.find("source", name="Round 2").result()


async def test_an_order_that_an_operator_cancelled_says_so(durable: DurableBatches) -> None:
    order = await durable.order("source", name="Round 2")
    result = asyncio.create_task(order.result())
    await asyncio.sleep(0.05)
    await durable._parts.database.client.cancel_workflow_async(order.workflow_id)
    with pytest.raises(error.DBOSException, match="cancelled"):
        await result


async def test_a_database_that_fails_is_told_to_all_who_await(
    durable: DurableBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await durable.order("source", name="Round 2")
    results = [asyncio.create_task(order.result()) for _ in range(2)]
    await asyncio.sleep(0.05)

    def fail(**_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(durable._parts.database.client, "list_workflows", fail)
    for result in results:
        with pytest.raises(OSError, match="gone"):
            await result


def documented() -> str:
    """Return the program in the docstring of the package."""
    text = inspect.getdoc(prolific_async.durable) or ""
    return text.partition("```python\n")[2].partition("\n```")[0]


def test_readme_shows_the_example_that_is_run() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"```python\n{documented()}\n```" in readme


@pytest.mark.slow
async def test_the_program_of_the_example_run_twice_makes_one_copy(
    sim: Simulator, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(documented())
    environment = os.environ | {
        "PROLIFIC_TOKEN": sim.token,
        "PROLIFIC_URL": sim.url,
        "BATCH_ID": sim.add_batch(),
    }
    copies = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE
        )
        printed, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        copies.append(printed)
    assert copies[0] == copies[1]
    assert b" 'Round 2' READY, " in copies[0]
    assert len(sent(sim, "/duplicate")) == 1
    assert (tmp_path / "prolific.sqlite").exists()
