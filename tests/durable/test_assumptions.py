"""Behaviour of DBOS that orders rely on and its documentation does not promise.

Each test names one thing. Where a version of DBOS breaks one, what leans on it must change: until
then pyproject.toml excludes that version.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, error
from dbos._sys_db import SystemDatabase, db_retry

from prolific_async.durable.daemon_threads import in_thread
from prolific_async.durable.worker_dbos import WorkerDBOS
from tests.durable.worker import QUICK_WORKER, SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from dbos import DBOSConfig

    from tests.durable.databases import SQLite

RUN: dict[str, Callable[[], Any]] = {}


@DBOS.workflow(name="of the assumptions")
async def workflow() -> Any:
    return await RUN["it"]()


@pytest.fixture
def url(sqlite: SQLite) -> str:
    url = sqlite.new()
    DBOS.migrate(url)
    return url


@pytest.fixture
def client(url: str) -> Iterator[DBOSClient]:
    client = DBOSClient(system_database_url=url, application_name="the-application")
    client.register_queue("the-queue", polling_interval_sec=0.05)
    yield client
    client.destroy()


@pytest.fixture
async def launched(url: str, client: DBOSClient) -> AsyncIterator[WorkerDBOS]:
    """Return a DBOS that was launched as a worker launches it."""
    quick: DBOSConfig = QUICK_WORKER["config"]
    settings: DBOSConfig = {
        **quick,
        "name": "the-application",
        "system_database_url": url,
        "executor_id": "one",
        "application_version": "1",
        "log_level": "WARNING",
    }
    made = WorkerDBOS.make(settings)
    await in_thread(DBOS.launch)
    yield made
    await in_thread(lambda: made.end(settings))


def enqueue(client: DBOSClient, workflow_id: str = "it", **given: Any) -> None:
    client.enqueue(
        {"workflow_name": "of the assumptions", "queue_name": "the-queue"}
        | {"workflow_id": workflow_id, "workflow_id_reuse_policy": "reject"},  # type: ignore[arg-type] # of a TypedDict
        **given,
    )


def status_of(client: DBOSClient, workflow_id: str = "it") -> str:
    return str(client.list_workflows(workflow_ids=[workflow_id])[0].status)


async def run(client: DBOSClient, what: Callable[[], Any]) -> None:
    RUN["it"] = what
    await in_thread(lambda: enqueue(client))


def test_its_major_version_is_one_that_was_tried() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert extras["durable"] == ["dbos>=3.4,<4"]


def test_its_database_asks_for_each_failure_whether_to_repeat_the_call() -> None:
    asked: list[bool] = []

    class Flag:
        def __bool__(self) -> bool:
            asked.append(True)
            return False

    class Database:
        _retry_connection_errors = Flag()

        @db_retry()
        def read(self) -> None:
            raise sa.exc.OperationalError("", None, Exception(), connection_invalidated=True)

    for number in (1, 2):
        with pytest.raises(sa.exc.OperationalError):
            Database().read()
        assert len(asked) == number


def test_its_database_repeats_no_call_for_a_socket_that_nobody_serves() -> None:
    lost = psycopg.OperationalError("connection is bad: connection to server on socket failed")
    calls: list[int] = []

    @db_retry()
    def read() -> None:
        calls.append(1)
        raise sa.exc.OperationalError("", None, lost)

    with pytest.raises(sa.exc.OperationalError):
        read()
    assert len(calls) == 1


def test_its_client_can_be_told_to_repeat_no_call(client: DBOSClient) -> None:
    assert client._sys_db._retry_connection_errors is True
    for function in (DBOSClient.__init__, SystemDatabase.__init__):
        assert inspect.signature(function).parameters["retry_connection_errors"].default is True


async def test_its_database_is_one_attribute_that_launching_sets(launched: WorkerDBOS) -> None:
    database = launched._sys_db
    assert database is launched._sys_db_field
    assert not database._retry_connection_errors
    for method in (
        "check_operation_execution",
        "record_operation_result",
        "update_workflow_outcome",
        "start_queued_workflows",
        "get_workflow_status",
    ):
        assert method in vars(database), f"{method} is not the worker's"
        assert callable(getattr(SystemDatabase, method))


async def test_workflows_run_in_a_loop_of_its_own_when_it_is_launched_without_one(
    client: DBOSClient, launched: WorkerDBOS
) -> None:
    loops: list[Any] = []

    async def tell() -> None:
        loops.extend([asyncio.get_running_loop(), threading.current_thread()])

    await run(client, tell)
    async with asyncio.timeout(SECONDS):
        while status_of(client) != "SUCCESS":
            await asyncio.sleep(0.02)
    assert loops[0] is not asyncio.get_running_loop()
    assert loops[1] is not threading.main_thread()


async def test_a_workflow_that_is_cancelled_has_no_outcome_and_logs_a_line_in_its_task(
    client: DBOSClient, launched: WorkerDBOS
) -> None:
    lines: list[tuple[str, Any]] = []
    tasks: list[Any] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.WARNING:
                lines.append((record.getMessage(), asyncio.current_task()))

    async def stop() -> None:
        tasks.append(asyncio.current_task())
        raise asyncio.CancelledError

    handler = Kept()
    logging.getLogger("dbos").addHandler(handler)
    try:
        await run(client, stop)
        async with asyncio.timeout(SECONDS):
            while not lines:
                await asyncio.sleep(0.02)
    finally:
        logging.getLogger("dbos").removeHandler(handler)
    ((text, task),) = lines
    assert text.startswith("Asyncio task cancelled")
    assert task is tasks[0]
    assert status_of(client) == "PENDING"


async def test_what_its_database_raises_as_cancelled_ends_a_workflow_without_an_outcome(
    client: DBOSClient, launched: WorkerDBOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def fail(_workflow_id: str, status: str, **_rest: Any) -> bool:
        written.append(status)
        raise asyncio.CancelledError

    async def succeed() -> str:
        return "done"

    monkeypatch.setattr(launched._sys_db, "update_workflow_outcome", fail)
    await run(client, succeed)
    async with asyncio.timeout(SECONDS):
        while not written or launched.running():
            await asyncio.sleep(0.02)
    assert written == ["SUCCESS"], "it takes the failure for the workflow's own"
    assert status_of(client) == "PENDING"


async def test_what_its_database_raises_becomes_the_outcome_else(
    client: DBOSClient, launched: WorkerDBOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is why outages are raised as cancelled; without it, that could go."""
    write, lost = (
        launched._sys_db.update_workflow_outcome,
        [sa.exc.OperationalError("", {}, OSError())],
    )

    def fail_once(*args: Any, **rest: Any) -> bool:
        if lost:
            raise lost.pop()
        return bool(write(*args, **rest))

    async def succeed() -> str:
        return "done"

    monkeypatch.setattr(launched._sys_db, "update_workflow_outcome", fail_once)
    await run(client, succeed)
    async with asyncio.timeout(SECONDS):
        while (status := status_of(client)) in ("ENQUEUED", "PENDING"):
            await asyncio.sleep(0.02)
    assert status == "ERROR"


async def test_it_knows_which_workflows_run_here_and_in_which_one_a_thread_works(
    client: DBOSClient, launched: WorkerDBOS
) -> None:
    seen: list[Any] = []
    go_on = threading.Event()

    async def wait() -> None:
        seen.append(await asyncio.to_thread(lambda: DBOS.workflow_id))
        while not go_on.is_set():
            await asyncio.sleep(0.01)

    await run(client, wait)
    async with asyncio.timeout(SECONDS):
        while not seen:
            await asyncio.sleep(0.02)
    assert seen == ["it"]
    assert launched.running() == {"it"}
    assert DBOS.workflow_id is None
    go_on.set()
    async with asyncio.timeout(SECONDS):
        while launched.running():
            await asyncio.sleep(0.02)
    assert status_of(client) == "SUCCESS"


async def test_taking_orders_returns_their_ids_and_writing_outcomes_whether_they_were_written(
    client: DBOSClient, launched: WorkerDBOS
) -> None:
    for stop in launched.background_thread_stop_events:
        stop.set()
    async with asyncio.timeout(SECONDS):
        while any("queue-worker" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0.02)
    enqueue(client)
    database = launched._sys_db
    queue = database.get_queue("the-queue")
    assert queue is not None
    claimed = database.start_queued_workflows(queue, "one", "1", None, owner_xid="its")
    assert claimed == (["it"], None)
    assert status_of(client) == "PENDING"
    assert database.update_workflow_outcome("it", "SUCCESS", owner_xid="another's") is False
    assert database.update_workflow_outcome("it", "SUCCESS", owner_xid="its") is True


def test_a_workflow_s_id_that_is_in_use_can_be_refused(client: DBOSClient) -> None:
    enqueue(client)
    with pytest.raises(error.DBOSWorkflowIDInUseError):
        enqueue(client)


def test_lists_tell_what_was_given(client: DBOSClient) -> None:
    enqueue(client, name="Round 2", timeout=None)
    (found,) = client.list_workflows(workflow_ids=["it"], load_output=False)
    assert found.input is not None
    assert found.input["kwargs"] == {"name": "Round 2", "timeout": None}
    assert (found.output, found.error) == (None, None)


async def test_lists_tell_what_was_returned_and_what_was_raised(
    client: DBOSClient, launched: WorkerDBOS
) -> None:
    async def either() -> str:
        if DBOS.workflow_id == "it":
            return "done"
        raise ValueError("it is odd")

    await run(client, either)
    enqueue(client, "the other")
    async with asyncio.timeout(SECONDS):
        while {status_of(client), status_of(client, "the other")} != {"SUCCESS", "ERROR"}:
            await asyncio.sleep(0.02)
    found = {one.workflow_id: one for one in client.list_workflows(load_input=False)}
    assert found["it"].output == "done"
    assert isinstance(found["the other"].error, ValueError)


def test_only_what_has_not_ended_is_resumed(client: DBOSClient) -> None:
    for workflow_id in ("it", "ended"):
        enqueue(client, workflow_id)
    with client._sys_db.engine.begin() as connection:
        for status, workflow_id in (("PENDING", "it"), ("SUCCESS", "ended")):
            connection.execute(
                sa.text("UPDATE workflow_status SET status = :status WHERE workflow_uuid = :id"),
                {"status": status, "id": workflow_id},
            )
    client.resume_workflows(["it", "ended"], queue_name="the-queue")
    assert (status_of(client), status_of(client, "ended")) == ("ENQUEUED", "SUCCESS")


def test_a_class_of_its_own_can_be_the_one_of_a_process(url: str) -> None:
    settings: DBOSConfig = {"name": "the-application", "system_database_url": url}
    made = WorkerDBOS.make(settings)
    assert DBOS.__new__(WorkerDBOS, config=settings) is made
    DBOS.destroy()
