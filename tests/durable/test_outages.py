"""A database that goes away and comes back, and one that stays away."""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dbos
import psycopg
import pytest
import sqlalchemy as sa
from dbos import DBOS
from dbos import error as dbos_error

from prolific_async import ConfigurationError, ProlificClient, ProlificError, WaitTimeoutError
from prolific_async.durable import DatabaseUnavailableError, DurableBatches
from prolific_async.durable.daemon_threads import in_thread
from prolific_async.durable.database import Database, is_outage, with_time_limits
from prolific_async.durable.dbos_log import QuietDBOS
from prolific_async.durable.order_queues import OrderQueues
from prolific_async.durable.order_spec import OrderSpec, order_id
from prolific_async.durable.running_orders import RunningOrders
from prolific_async.durable.stopped_orders import StoppedOrders
from prolific_async.durable.worker_dbos import shut_down
from tests.conftest import RaisingHandler
from tests.durable.databases import Mortal
from tests.durable.worker import QUICK_WORKER, SECONDS, Settings, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from prolific_async.simulator import Simulator
    from tests.durable.databases import PostgreSQL, SQLite

pytestmark = pytest.mark.slow

ENOUGH = 20


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortal]:
    with Mortal() as server:
        yield server


@pytest.fixture
def mortal(mortals: Mortal) -> Mortal:
    """A running PostgreSQL server that the test may kill."""
    if not mortals.runs():
        mortals.start()
    return mortals


async def in_background(function: Any) -> None:
    """Run a slow function in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, function)


async def are_waited_for(sim: Simulator, number: int) -> None:
    async with asyncio.timeout(SECONDS):
        while len([seen for seen in sim.requests if seen.path.endswith("/status")]) < number:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("way", ["tcp", "socket"])
async def test_orders_outlive_a_database_that_is_killed_and_restarted(
    mortal: Mortal, sim: Simulator, client: ProlificClient, way: str
) -> None:
    source = sim.add_batch()
    copies = [sim.add_batch(f"Round {number}", status="WORKING") for number in range(ENOUGH)]
    async with (
        DurableBatches(mortal.address("orders", way), poll_every=0.05) as durable,
        durable.worker(client, **QUICK_WORKER),
    ):
        orders = [await durable.order(source, name=f"Round {n}") for n in range(ENOUGH)]
        results = [asyncio.create_task(order.result()) for order in orders]
        await are_waited_for(sim, ENOUGH)
        await in_background(mortal.kill)
        for copy in copies:
            sim.set_status(copy, "READY")
        later = asyncio.create_task(durable.order(source, name="Later"))
        for _ in range(10):
            await asyncio.wait_for(asyncio.to_thread(int), 1)
            await asyncio.sleep(0.02)
        assert [result for result in [*results, later] if result.done()] == []
        await in_background(mortal.start)
        ready = await asyncio.wait_for(asyncio.gather(*results), SECONDS)
        assert (await asyncio.wait_for((await later).result(), SECONDS)).name == "Later"
    assert [batch.id for batch in ready] == copies
    assert len([seen for seen in sim.requests if seen.method == "POST"]) == 2


async def test_orders_of_two_workers_outlive_two_outages(mortal: Mortal, sim: Simulator) -> None:
    source = sim.add_batch()
    url = mortal.address("shared", "tcp")
    async with DurableBatches(url, poll_every=0.05) as durable:
        for name in ("one", "two"):
            start(Settings(database_url=url, base_url=sim.url, token=sim.token, executor_id=name))
        results = []
        for outage in range(2):
            for number in range(ENOUGH):
                order = await durable.order(source, name=f"Round {outage}.{number}")
                results.append(asyncio.create_task(order.result()))
            async with asyncio.timeout(SECONDS):
                while len([seen for seen in sim.requests if seen.method == "POST"]) <= outage * 40:
                    await asyncio.sleep(0.01)
            await in_background(mortal.kill)
            await asyncio.sleep(0.05)
            await in_background(mortal.start)
        ready = await asyncio.wait_for(asyncio.gather(*results), SECONDS)
    names = [batch.name for batch in sim.batches.values()][1:]
    assert sorted(names) == sorted({batch.name for batch in ready})
    assert len(names) == 2 * ENOUGH


@pytest.mark.parametrize(
    ("statement", "name"),
    [("operation_outputs", "step"), ("workflow_output", "outcome")],
    ids=lambda value: value,
)
async def test_a_connection_that_is_lost_while_an_end_is_recorded_is_no_outcome(
    postgresql: PostgreSQL, sim: Simulator, client: ProlificClient, statement: str, name: str
) -> None:
    url = postgresql.new()
    lost: list[str] = []

    def lose(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        # Only once: the statement after it finds a database, and could record this failure.
        if f"INSERT INTO dbos.{statement}" in text and not lost:
            lost.append(text)
            postgresql.disconnect(url)

    sa.event.listen(sa.Engine, "before_cursor_execute", lose)
    try:
        async with (
            DurableBatches(url, poll_every=0.05) as durable,
            durable.worker(client, settle_seconds=0.1, **QUICK_WORKER),
        ):
            order = await durable.order(sim.add_batch(), name=name)
            assert (await asyncio.wait_for(order.result(), SECONDS)).name == name
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", lose)
    assert len(lost) == 1
    assert len(sim.batches) == 2


async def test_calls_without_a_database_raise_within_their_time_limits(
    mortal: Mortal, client: ProlificClient
) -> None:
    url = mortal.address("absent", "tcp")
    async with DurableBatches(url, poll_every=0.05) as durable:
        await durable.order("source", name="Round 2")
        durable._parts.database._patience = 0.2
        durable._parts.results._margin = 0.1
        timed = await durable.order("source", name="timed", timeout=0)
        awaited = asyncio.create_task(timed.result())
        patient = await durable.order("source", name="patient")
        still = asyncio.create_task(patient.result())
        async with asyncio.timeout(SECONDS):
            while len(durable._parts.results._awaited) < 2:
                await asyncio.sleep(0.01)
        await in_background(mortal.kill)
        with pytest.raises(DatabaseUnavailableError, match="not available") as told:
            await durable.order("source", name="Round 3")
        with pytest.raises(DatabaseUnavailableError):
            await awaited
        with pytest.raises(DatabaseUnavailableError):
            await timed.result()
        with pytest.raises(DatabaseUnavailableError):
            await durable.take_over("one")
        with pytest.raises(DatabaseUnavailableError):
            async with durable.worker(client, **QUICK_WORKER):
                pass  # pragma: no cover
        with pytest.raises(DatabaseUnavailableError):
            async with DurableBatches(url):
                pass  # pragma: no cover
        assert not still.done()
        still.cancel()
    assert isinstance(told.value, ProlificError | ConnectionError)
    again = pickle.loads(pickle.dumps(told.value))
    assert (str(again), again.reason) == (str(told.value), told.value.reason)
    assert "INSERT" not in str(told.value)


async def test_an_order_given_in_an_outage_can_be_cancelled_and_was_not_given(
    mortal: Mortal,
) -> None:
    async with DurableBatches(mortal.address("cancelled", "socket"), poll_every=0.05) as durable:
        await in_background(mortal.kill)
        giving = asyncio.create_task(durable.order("source", name="Round 2"))
        await asyncio.sleep(0.05)
        giving.cancel()
        await asyncio.wait([giving], timeout=1)
        assert giving.cancelled()
        await in_background(mortal.start)
        with pytest.raises(dbos_error.DBOSException, match="Round 2"):
            await durable.find("source", name="Round 2").result()


@pytest.mark.parametrize("by", ["its end", "Ctrl-C"])
async def test_a_process_ends_in_an_outage(mortal: Mortal, sim: Simulator, by: str) -> None:
    script = """
        import asyncio, sys
        from prolific_async import PollPolicy, ProlificClient
        from prolific_async.durable import DurableBatches

        async def main():
            poll = PollPolicy(initial=0.05, maximum=0.1)
            durable = DurableBatches(sys.argv[1], poll_every=0.05)
            async with ProlificClient(poll=poll) as client, durable:
                async with durable.worker(client, executor_id="one"):
                    for number in range(3):
                        await durable.order(sys.argv[2], name=f"Round {number}")
                    if await asyncio.to_thread(sys.stdin.readline) == "wait\\n":
                        await durable.order(sys.argv[2], name="Later")

        asyncio.run(main())
    """
    copies = [sim.add_batch(f"Round {number}", status="WORKING") for number in range(3)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(script)),
        *(mortal.address("ended", "tcp"), sim.add_batch()),
        env={"PROLIFIC_TOKEN": sim.token, "PROLIFIC_URL": sim.url},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        await are_waited_for(sim, 3)
        await in_background(mortal.kill)
        for copy in copies:
            sim.set_status(copy, "READY")
        await asyncio.sleep(0.05)
        assert process.stdin is not None
        process.stdin.write(b"\n" if by == "its end" else b"wait\n")
        if by == "Ctrl-C":
            await asyncio.sleep(0.05)
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), SECONDS / 2)
        assert process.returncode == (0 if by == "its end" else -signal.SIGINT)
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_thread_is_freed_of_a_server_that_hangs(mortal: Mortal) -> None:
    connection = psycopg.connect(mortal.address("postgres", "tcp"))
    asking = asyncio.ensure_future(in_thread(lambda: connection.execute("SELECT pg_sleep(60)")))
    await asyncio.sleep(0.05)
    assert not asking.done()
    shut_down(connection)
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(asking, SECONDS)
    connection.close()
    shut_down(connection)


@pytest.fixture
async def database(sqlite: SQLite) -> AsyncIterator[Database]:
    database = Database(sqlite.new(), "the-application", patience=SECONDS)
    await database.open(migrate=True)
    yield database
    await database.close()


async def test_a_cancelled_call_ends_only_after_its_function(database: Database) -> None:
    begun, end, over = threading.Event(), threading.Event(), threading.Event()

    def call(_client: object) -> None:
        begun.set()
        end.wait(SECONDS)
        over.set()

    calling = asyncio.create_task(database.call(call))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    calling.cancel()
    await asyncio.sleep(0.02)
    assert not calling.done()
    end.set()
    await asyncio.wait([calling], timeout=SECONDS)
    assert calling.cancelled()
    assert over.is_set()


async def test_a_database_that_hangs_is_left_and_holds_no_more_than_its_calls(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prolific_async.durable.database._CANCEL_WAIT", 0.01)
    database._patience = 0.05
    hanging = threading.Event()
    calls = [asyncio.create_task(database.call(lambda _: hanging.wait(SECONDS))) for _ in range(9)]
    await asyncio.wait(calls, timeout=SECONDS)
    for call in calls:
        with pytest.raises(DatabaseUnavailableError, match="no answer"):
            await call
    assert threading.active_count() < len(calls)
    hanging.set()
    database._patience = SECONDS
    assert await database.call(lambda client: client.list_workflows()) == []


async def test_orders_that_were_taken_though_the_database_said_nothing_are_picked_up(
    database: Database,
) -> None:
    """The connection is lost after the commit, so DBOS does not know which orders it took."""
    queues = OrderQueues(database, "the-application", 0.05)
    ids = [order_id("the-application", "source", name) for name in ("lost", "other's", "at work")]
    for number, workflow_id in enumerate(ids):
        spec = OrderSpec.checked(
            "source", f"{number}", dataset_id=None, tasks_per_group=None, timeout=None
        )
        await queues.enqueue(workflow_id, spec)
    engine = database.client._sys_db.engine
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE workflow_status SET status = 'PENDING', executor_id = 'one'")
        )
        connection.execute(
            sa.text("UPDATE workflow_status SET executor_id = 'two' WHERE workflow_uuid = :id"),
            {"id": ids[1]},
        )

    class Silent:
        """A database of DBOS's that loses its connection."""

        def check_operation_execution(self) -> None: ...
        def record_operation_result(self) -> None: ...
        def update_workflow_outcome(self) -> None: ...
        def get_workflow_status(self) -> None: ...
        def start_queued_workflows(self) -> None:
            raise sa.exc.OperationalError("COMMIT", None, psycopg.OperationalError("lost"))

    orders, silent = StoppedOrders(), Silent()
    orders.watch(silent)

    async def states() -> list[str]:
        found = {one.workflow_id: one.status for one in await database.call(_all)}
        return [found[workflow_id] for workflow_id in ids]

    resuming = asyncio.create_task(
        orders.keep_resuming(queues, "one", lambda: {ids[2]}, every=0.01)
    )
    await asyncio.sleep(0.05)
    assert await states() == ["PENDING"] * 3
    with pytest.raises(sa.exc.OperationalError):
        silent.start_queued_workflows()
    async with asyncio.timeout(SECONDS):
        while await states() != ["ENQUEUED", "PENDING", "PENDING"]:
            await asyncio.sleep(0.01)
    assert orders.idle(set()) == {ids[2]}  # before it is cancelled, which may break a resume off
    resuming.cancel()
    await asyncio.wait([resuming])


def _all(client: Any) -> Any:
    return client.list_workflows(load_input=False)


async def test_a_result_is_not_awaited_beyond_the_order_s_time_without_a_worker(
    sqlite: SQLite,
) -> None:
    async with DurableBatches(sqlite.new(), poll_every=0.05) as durable:
        durable._parts.results._margin = 0.05
        order = await durable.order("source", name="Round 2", timeout=0.02)
        with pytest.raises(WaitTimeoutError) as late:
            await asyncio.wait_for(order.result(), SECONDS)
    assert late.value.batch_id == "source"
    assert late.value.elapsed > 0.02
    assert "no worker has recorded" in str(late.value)


async def test_what_a_database_refuses_is_a_configuration_error(
    sqlite: SQLite, postgresql: PostgreSQL
) -> None:
    for url in (sqlite.new(), postgresql.without_tables()):
        async with DurableBatches(url, migrate=False) as durable:
            with pytest.raises(ConfigurationError, match="DBOS's tables"):
                await durable.order("source", name="Round 2")


def test_each_line_of_dbos_tells_of_an_outage_once_a_minute() -> None:
    wanted = QuietDBOS(RunningOrders.__new__(RunningOrders))

    def shows(line: int, message: str, path: str = dbos.__file__) -> bool:
        return wanted.filter(logging.LogRecord("dbos", 30, path, line, message, (), None))

    outage = "Exception listing queues: (psycopg.OperationalError) connection failed"
    assert [shows(1, outage), shows(1, outage), shows(2, outage), shows(2, outage)] == [
        *(True, False),
        *(True, False),
    ]
    assert [shows(1, outage, "an application's.py") for _ in range(2)] == [True, True]
    assert [shows(3, "Workflow is no longer owned") for _ in range(2)] == [True, True]
    wanted._shown = dict.fromkeys(wanted._shown, time.monotonic() - 61)
    assert shows(1, outage)


def test_a_record_that_cannot_be_formatted_is_left_to_its_handlers() -> None:
    record = logging.LogRecord("dbos", 30, dbos.__file__, 1, "%d", ("no number",), None)
    assert QuietDBOS(RunningOrders.__new__(RunningOrders)).filter(record)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Exception encountered in asynchronous workflow:", ConfigurationError("no order's")),
        ("Exception encountered in asynchronous workflow:", None),
        ("Workflow failed", ConfigurationError("in words of another version")),
    ],
)
def test_a_failure_that_is_not_surely_an_order_s_is_reported(
    message: str, error: Exception | None
) -> None:
    exc_info = None if error is None else (type(error), error, None)
    record = logging.LogRecord("dbos", 40, dbos.__file__, 1, message, (), exc_info)
    assert QuietDBOS(RunningOrders.__new__(RunningOrders)).filter(record)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql//me:secret@host",
        "postgresql://me:secret@host:5432x/db",
        "mysql://me:secret@host/db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///secret%00",
        "sqlite+aiosqlite:///secret",
        "",
        None,
        5,
    ],
)
def test_an_address_that_cannot_be_read_is_told_without_its_password(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as told:
        DurableBatches(url)
    assert "secret" not in str(told.value)
    assert told.value.__cause__ is None
    assert told.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "limited"),
    [
        ("sqlite:///x", "sqlite:///x"),
        (
            "postgresql://me:a%40b@host/x",
            "postgresql://me:a%40b@host/x?connect_timeout=10&tcp_user_timeout=30000",
        ),
        (
            "postgres://host/x",
            "postgres://host/x?connect_timeout=10&tcp_user_timeout=30000",
        ),
        (
            "postgresql:///x?host=/run&connect_timeout=3",
            "postgresql:///x?connect_timeout=3&host=%2Frun&tcp_user_timeout=30000",
        ),
    ],
)
def test_a_postgresql_url_gets_time_limits_unless_it_has_them(url: str, limited: str) -> None:
    assert with_time_limits(url) == limited


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (sa.exc.OperationalError("", None, psycopg.OperationalError("connection is bad")), True),
        (sa.exc.InternalError("", None, psycopg.errors.ReadOnlySqlTransaction()), True),
        (sa.exc.InternalError("", None, psycopg.errors.InternalError_()), False),
        (sa.exc.ProgrammingError("", None, psycopg.errors.UndefinedTable()), False),
        (sa.exc.DBAPIError("", None, Exception(), connection_invalidated=True), True),
        (sa.exc.TimeoutError(), True),
        (sa.exc.ArgumentError(), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_is_outage_distinguishes_outages_from_wrong_statements(
    error: Exception | None, *, outage: bool
) -> None:
    assert is_outage(error) == outage


@pytest.mark.parametrize(
    "failure", [DatabaseUnavailableError("it is away"), ZeroDivisionError("a bug")]
)
async def test_orders_are_picked_up_once_the_database_answers(
    caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    orders, resumed = StoppedOrders(), []

    class Away:
        """OrderQueues whose database is away at first."""

        asked = 0

        async def begun_by(self, _executor_id: str) -> list[str]:
            self.asked += 1
            if self.asked == 1:
                raise failure
            return ["stopped", "another's since"]

        async def resume(self, ids: list[str]) -> None:
            resumed.append(ids)

    orders._stopped = {"stopped", "at work", "ended"}
    away: Any = Away()
    resuming = asyncio.create_task(
        orders.keep_resuming(away, "one", lambda: {"at work"}, every=0.001)
    )
    async with asyncio.timeout(SECONDS):
        while not resumed:
            await asyncio.sleep(0.001)
    resuming.cancel()
    await asyncio.wait([resuming])
    assert resumed == [["stopped"]]
    assert orders.idle(set()) == {"at work"}
    assert f"{failure}; orders that have stopped are searched for later" in caplog.text
    assert [bool(record.exc_info) for record in caplog.records] == [
        isinstance(failure, ZeroDivisionError),
        False,
    ]


async def test_an_order_that_is_picked_up_and_begun_at_once_can_be_stopped_again() -> None:
    orders = StoppedOrders()
    at_work: set[str] = set()
    checks, resumed = [0], []

    class Prompt:
        """Order queues whose ``resume`` returns after this worker has stopped the order again."""

        async def begun_by(self, _executor_id: str) -> list[str]:
            return ["order"]

        async def resume(self, ids: list[str]) -> None:
            resumed.append(checks[0])
            orders._stopped.update(ids)

    def poll() -> set[str]:
        checks[0] += 1
        return at_work

    orders._stopped = {"order"}
    prompt: Any = Prompt()
    resuming = asyncio.create_task(orders.keep_resuming(prompt, "one", poll, every=0.001))
    async with asyncio.timeout(SECONDS):
        while len(resumed) < 3:
            await asyncio.sleep(0.001)
    resuming.cancel()
    await asyncio.wait([resuming])
    assert resumed == [2, 4, 6]


async def test_orders_that_were_taken_and_could_not_be_read_are_picked_up() -> None:
    class Away:
        """A database of DBOS's that gives out orders, and then cannot be read."""

        def check_operation_execution(self) -> None: ...
        def record_operation_result(self) -> None: ...
        def update_workflow_outcome(self) -> None: ...
        def start_queued_workflows(self) -> tuple[list[str], None]:
            return ids, None

        def get_workflow_status(self, _workflow_id: str) -> None:
            raise sa.exc.OperationalError("SELECT", None, psycopg.OperationalError("lost"))

    ids = [order_id("the-application", "source", "Round 2"), "of the application"]
    orders, away = StoppedOrders(), Away()
    orders.watch(away)
    away.start_queued_workflows()
    assert orders.idle(set()) == set(), "they are begun in a moment, however long that is"
    for workflow_id in ids:
        with pytest.raises(sa.exc.OperationalError):
            away.get_workflow_status(workflow_id)
    assert orders.idle(set()) == {ids[0]}


async def test_orders_taken_unknowingly_while_others_are_asked_for_are_picked_up() -> None:
    orders, asked, resumed = StoppedOrders(), [0], []

    class Unknowing:
        """Order queues from which this worker takes another order while ``begun_by`` reads."""

        async def begun_by(self, _executor_id: str) -> list[str]:
            asked[0] += 1
            if asked[0] == 1:
                orders._may_have_taken = True
                return []
            return ["order"]

        async def resume(self, ids: list[str]) -> None:
            resumed.extend(ids)

    orders._may_have_taken = True
    unknowing: Any = Unknowing()
    resuming = asyncio.create_task(orders.keep_resuming(unknowing, "one", set, every=0.001))
    async with asyncio.timeout(SECONDS):
        while resumed != ["order"]:
            await asyncio.sleep(0.001)
    resuming.cancel()
    await asyncio.wait([resuming])


async def test_a_worker_that_loses_the_database_while_it_starts_can_be_started_again(
    sqlite: SQLite, sim: Simulator, client: ProlificClient
) -> None:
    def lose(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if "application_versions" in text:
            raise sa.exc.OperationalError(text, None, psycopg.OperationalError("it is gone"))

    async with DurableBatches(sqlite.new(), poll_every=0.05) as durable:
        order = await durable.order(sim.add_batch(), name="Round 2")
        sa.event.listen(sa.Engine, "before_cursor_execute", lose)
        try:
            with pytest.raises(DatabaseUnavailableError, match="it is gone"):
                async with durable.worker(client, **QUICK_WORKER):
                    pass  # pragma: no cover
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", lose)
        async with durable.worker(client, **QUICK_WORKER):
            assert (await asyncio.wait_for(order.result(), SECONDS)).name == "Round 2"


@pytest.mark.parametrize("raised_by_the_log", [ZeroDivisionError], indirect=True)
@pytest.mark.usefixtures("raised_by_the_log")
@pytest.mark.parametrize(
    "statement",
    ["workflow_status (workflow_uuid", "operation_outputs (workflow_uuid", "status IN"],
    ids=["order", "worker", "result"],
)
async def test_a_log_that_raises_loses_nothing_in_an_outage(
    sqlite: SQLite,
    sim: Simulator,
    client: ProlificClient,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    monkeypatch.setattr("prolific_async.durable.worker._RESUME_EVERY", 1)
    lost: list[str] = []

    def lose(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if statement in text and not lost:
            lost.append(text)
            raise sa.exc.OperationalError(text, None, psycopg.OperationalError("it is gone"))

    url = sqlite.new()
    DBOS.migrate(url)
    sa.event.listen(sa.Engine, "before_cursor_execute", lose)
    try:
        async with (
            DurableBatches(url, poll_every=0.05) as durable,
            durable.worker(client, settle_seconds=0.1, **QUICK_WORKER),
        ):
            order = await durable.order(sim.add_batch(), name="Round 2")
            assert (await asyncio.wait_for(order.result(), SECONDS)).name == "Round 2"
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", lose)
    assert len(lost) == 1
    assert len(sim.batches) == 2


@pytest.mark.parametrize("raised", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_log_of_dbos_that_raises_stops_no_queue(
    sqlite: SQLite,
    sim: Simulator,
    client: ProlificClient,
    monkeypatch: pytest.MonkeyPatch,
    raised: type[BaseException],
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    lost: set[str] = set()

    def lose(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        name = threading.current_thread().name
        if ".queues" in text and "queue" in name and name not in lost:
            lost.add(name)
            raise sa.exc.OperationalError(text, None, psycopg.OperationalError("it is gone"))

    logger = logging.getLogger("dbos")
    logger.addHandler(handler := RaisingHandler(raised))
    sa.event.listen(sa.Engine, "before_cursor_execute", lose)
    try:
        async with (
            DurableBatches(sqlite.new(), poll_every=0.05) as durable,
            durable.worker(client, **QUICK_WORKER),
        ):
            order = await durable.order(sim.add_batch(), name="Round 2")
            assert (await asyncio.wait_for(order.result(), SECONDS)).name == "Round 2"
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", lose)
        logger.removeHandler(handler)
    assert lost


@pytest.mark.usefixtures("raised_by_the_log")
async def test_orders_are_picked_up_though_the_log_raises() -> None:
    resumed: list[list[str]] = []

    class Away:
        """OrderQueues whose database is away each other time."""

        asked = 0

        async def begun_by(self, _executor_id: str) -> list[str]:
            self.asked += 1
            if self.asked % 2:
                raise DatabaseUnavailableError("it is away")
            return ["first", "second"]

        async def resume(self, ids: list[str]) -> None:
            resumed.append(ids)

    orders = StoppedOrders()
    away: Any = Away()
    resuming = asyncio.create_task(orders.keep_resuming(away, "one", set, every=0.001))
    for workflow_id in ("first", "second"):
        orders._stopped = {workflow_id}
        async with asyncio.timeout(SECONDS):
            while [workflow_id] not in resumed:
                await asyncio.sleep(0.001)
    resuming.cancel()
    await asyncio.wait([resuming])


async def test_a_time_out_of_the_called_function_is_no_outage(
    database: Database,
) -> None:
    def call(_client: object) -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await database.call(call)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", "exceeded its maximum recovery attempts"),
        ("ERROR", "cannot be read"),
    ],
)
async def test_an_end_without_an_outcome_is_an_error_of_dbos(
    sqlite: SQLite, status: str, message: str
) -> None:
    async with DurableBatches(sqlite.new(), poll_every=0.05) as durable:
        order = await durable.order("source", name="Round 2")
        with durable._parts.database.client._sys_db.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE workflow_status SET status = :status, error = 'no pickle'"),
                {"status": status},
            )
        with pytest.raises(dbos_error.DBOSException, match=message):
            await asyncio.wait_for(order.result(), SECONDS)
    assert "Round 2" in repr(order)


def test_an_outage_passes_between_processes() -> None:
    told = DatabaseUnavailableError("server closed the connection")
    told.failure = ConfigurationError("the first")
    copy = pickle.loads(pickle.dumps(told))
    assert type(copy) is DatabaseUnavailableError
    assert (copy.reason, str(copy), copy.args) == (told.reason, str(told), told.args)
    assert isinstance(copy, ProlificError)
    assert str(copy.failure) == "the first"


async def test_events_and_a_cancelled_order_outlive_an_outage(
    mortal: Mortal, sim: Simulator, client: ProlificClient
) -> None:
    source = sim.add_batch()
    copies = {name: sim.add_batch(name, status="WORKING") for name in ("goes on", "cancelled")}
    async with (
        DurableBatches(mortal.address("events", "socket"), poll_every=0.05) as durable,
        durable.worker(client, **QUICK_WORKER),
    ):
        orders = {name: await durable.order(source, name=name) for name in copies}
        ends: dict[str, str] = {}

        async def read(name: str) -> None:
            async for status in orders[name].events():
                ends[name] = status.state

        reading = [asyncio.create_task(read(name)) for name in orders]
        await are_waited_for(sim, 6)
        await in_background(mortal.kill)
        cancelling = asyncio.create_task(orders["cancelled"].cancel())
        await asyncio.sleep(0.2)
        assert not cancelling.done()
        await in_background(mortal.start)
        assert (await asyncio.wait_for(cancelling, SECONDS)).copy_id == copies["cancelled"]
        for copy in copies.values():
            sim.set_status(copy, "READY")
        await asyncio.wait_for(asyncio.gather(*reading), SECONDS)
    assert ends == {"goes on": "ready", "cancelled": "cancelled"}


async def test_reads_and_cancels_say_that_there_is_no_database(mortal: Mortal) -> None:
    async with DurableBatches(mortal.address("nobody", "socket"), poll_every=0.05) as durable:
        order = await durable.order("source", name="Round 2")
        late = await durable.order("source", name="late", timeout=0)
        events = late.events()
        await anext(events)
        durable._parts.database._patience = 0.2
        durable._parts.results._margin = 0.3
        await in_background(mortal.kill)
        for call in (order.status, order.cancel, durable.orders, order.events().__anext__):
            with pytest.raises(DatabaseUnavailableError, match="not available"):
                await call()
        with pytest.raises(DatabaseUnavailableError):
            await anext(events)
