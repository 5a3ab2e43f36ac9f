"""A simulator in a thread of its own."""

import asyncio
import contextlib
import http.client
import inspect
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from prolific_async import ProlificClient
from prolific_async.simulator import (
    AfterPolls,
    AfterSeconds,
    BatchSnapshot,
    Ending,
    Fault,
    Immediately,
    Simulator,
)
from prolific_async.simulator.contents import Contents
from prolific_async.simulator.dataset_models import ImportJob
from tests.conftest import HANGS, NOON

BATCHES = "/api/v1/data-collection/batches"


class Browser:
    """A synchronous client with one connection."""

    def __init__(self, sim: Simulator) -> None:
        self.token = sim.token
        self.connection = http.client.HTTPConnection(sim.url.removeprefix("http://"), timeout=HANGS)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        raw = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Token {self.token}"}
        self.connection.request(method, BATCHES + path, body=raw, headers=headers)
        response = self.connection.getresponse()
        try:
            return response.status, response.read()
        except http.client.IncompleteRead as error:
            return response.status, error.partial

    def close(self) -> None:
        self.connection.close()


def ask(sim: Simulator, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    browser = Browser(sim)
    try:
        return browser.ask(method, path, body)
    finally:
        browser.close()


def serving() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "prolific-simulator"]


@pytest.fixture(autouse=True)
def _restless() -> Iterator[None]:
    """Switch threads as often as possible, so that races show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_it_serves_while_the_test_blocks_and_ends_with_the_block() -> None:
    before = len(serving())
    with Simulator(setup=AfterPolls(1)) as sim:
        assert len(serving()) == before + 1
        batch_id = sim.add_batch(datapoints=10)
        sim.inject("POST", "/setup", Fault(503))
        statuses = [ask(sim, "POST", f"/{batch_id}/setup", {})[0] for _ in range(2)]
        polls = [json.loads(ask(sim, "GET", f"/{batch_id}/status")[1])["status"] for _ in range(2)]
        assert (statuses, polls) == ([503, 202], ["PROCESSING", "READY"])
        assert sim.batches[batch_id].total_task_count == 10
        assert [seen.status for seen in sim.requests] == [503, 202, 200, 200]
        assert sim.in_flight == ()
    assert len(serving()) == before
    with pytest.raises(ConnectionRefusedError):
        ask(sim, "GET", f"/{batch_id}")


def test_a_client_can_use_it_from_any_loop() -> None:
    async def main(sim: Simulator) -> str:
        async with ProlificClient(sim.token, base_url=sim.url) as client:
            return (await client.batches.duplicate(sim.add_batch(), name="Round 2")).name

    with Simulator() as sim:
        assert [asyncio.run(main(sim)) for _ in range(2)] == ["Round 2"] * 2


async def test_it_serves_while_the_loop_of_the_test_is_blocked() -> None:
    with Simulator() as sim:
        assert ask(sim, "GET", f"/{sim.add_batch()}")[0] == 200


async def test_seconds_do_not_depend_on_the_clock_of_the_tests_loop() -> None:
    with Simulator(setup=AfterSeconds(0.03)) as sim:
        batch_id = sim.add_batch()
        ask(sim, "POST", f"/{batch_id}/setup")
        assert sim.batches[batch_id].status == "PROCESSING"
        time.sleep(0.04)  # noqa: ASYNC251 - the loop's clock hardly moves meanwhile
        assert sim.batches[batch_id].status == "READY"
        assert sim.requests[0].at <= time.monotonic()


@pytest.mark.parametrize("fault", [Fault(cut=3), Fault(cut=0), Fault(drip=0), Fault(reset="after")])
def test_a_request_is_logged_before_its_response_arrives(fault: Fault) -> None:
    with Simulator() as sim:
        batch_id = sim.add_batch()
        sim.inject("GET", "/status", fault, times=None)
        for number in range(50):
            try:
                ask(sim, "GET", f"/{batch_id}/status")
            except ConnectionResetError:
                assert fault.reset
            assert len(sim.requests) == number + 1


def test_many_threads_at_once() -> None:
    def work(source: str) -> int:
        browser = Browser(sim)
        for _ in range(20):
            status, body = browser.ask("POST", f"/{source}/duplicate")
            assert status == 201
            copy = json.loads(body)["id"]
            assert browser.ask("POST", f"/{copy}/setup")[0] == 202
            sim.fail(copy)
            assert json.loads(browser.ask("GET", f"/{copy}/status")[1])["status"] == "ERROR"
        browser.close()
        return 20

    with Simulator(setup=AfterPolls(0)) as sim, ThreadPoolExecutor(4) as pool:
        source = sim.add_batch()
        working = [pool.submit(work, source) for _ in range(4)]
        while not all(one.done() for one in working):
            assert all(batch.name for batch in sim.batches.values())
            assert len(sim.requests) <= 4 * 60
            sim.inject("GET", "/nowhere", Fault(404))
            sim.clear_faults()
        assert sum(one.result() for one in working) == 80
        assert len(sim.requests) == 4 * 60


class Counting:
    """A lock that counts how often it was taken."""

    def __init__(self) -> None:
        self.lock, self.taken = threading.RLock(), 0

    def __enter__(self) -> None:
        self.lock.acquire()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_every_method_holds_the_lock() -> None:
    arguments: dict[str, Any] = {
        "add_workspace": (),
        "add_dataset": (),
        "add_batch": (),
        "fail": ("b1",),
        "set_status": ("b1", "READY"),
        "remove": ("b1",),
        "set_import": ("i1", "failed"),
        "set_migration": ("m1", "failed"),
        "set_sync": ("s1", "failed"),
        "fail_imports": ("d1",),
    }
    sim = Simulator()
    dataset_id = sim.add_dataset()
    sim._state.datasets[dataset_id].imports["i1"] = ImportJob(
        id="i1", filename="a.jsonl", created_at=NOON, updated_at=NOON
    )
    arguments["set_dataset_status"] = (dataset_id, "READY")
    arguments["set_import"] = ("i1", "complete")
    arguments["fail_imports"] = (dataset_id,)
    calls = {name for name, _ in inspect.getmembers(Contents, inspect.isfunction)}
    assert {name for name in calls if not name.startswith("_")} == set(arguments)
    sim.add_batch(batch_id="b1")
    counting: Any = Counting()
    sim._state.lock = counting
    for name, values in arguments.items():
        before = counting.taken
        with contextlib.suppress(KeyError):  # there are no jobs
            getattr(sim, name)(*values)
        assert counting.taken == before + 1, name
    assert dict(sim.batches)
    assert counting.taken >= len(arguments) + 2


def test_a_request_waits_for_the_lock() -> None:
    with Simulator() as sim, ThreadPoolExecutor(1) as pool:
        batch_id = sim.add_batch()
        with sim._state.lock:
            asking = pool.submit(ask, sim, "GET", f"/{batch_id}")
            while not (sim.in_flight or sim.requests):
                time.sleep(0.001)
            time.sleep(0.01)
            assert not asking.done()
            sim.set_status(batch_id, "READY")
        assert b'"status": "READY"' in asking.result()[1]


def test_a_setup_function_may_change_the_simulator_itself() -> None:
    def choose(batch: BatchSnapshot) -> Ending:
        sim.fail(batch.id)
        return Immediately()

    with Simulator(setup=choose) as sim:
        batch_id = sim.add_batch()
        assert ask(sim, "POST", f"/{batch_id}/setup")[0] == 202
        assert sim.batches[batch_id].status == "ERROR"


def test_an_error_in_the_block_is_not_hidden_and_leaves_no_thread() -> None:
    with pytest.raises(LookupError), Simulator():
        raise LookupError


def test_an_exception_of_the_start_is_raised_and_leaves_no_thread() -> None:
    with Simulator() as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), Simulator(port=port):
            pass
        with pytest.raises(RuntimeError, match="once"), first:
            pass
        assert ask(first, "GET", f"/{first.add_batch()}")[0] == 200


def test_a_request_in_flight_is_dropped_at_the_end() -> None:
    with ThreadPoolExecutor(1) as pool:
        with Simulator() as sim:
            batch_id = sim.add_batch()
            sim.inject("GET", "/status", Fault(delay=2 * HANGS))
            asking = pool.submit(ask, sim, "GET", f"/{batch_id}/status")
            while not sim.in_flight:
                time.sleep(0.001)
            began = time.monotonic()
        assert time.monotonic() - began < HANGS
        with pytest.raises(ConnectionError):
            asking.result()
    assert [seen.status for seen in sim.requests] == [None]


def test_it_can_be_closed_before_the_block_ends() -> None:
    with Simulator() as sim:
        asyncio.run(sim.close())
        with pytest.raises(ConnectionRefusedError):
            ask(sim, "GET", "/x")
    asyncio.run(sim.close())
