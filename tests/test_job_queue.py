"""README's job for a queue, run again after a failure, and again after a success."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from taskiq import AsyncResultBackend, AsyncTaskiqTask, InMemoryBroker, TaskiqResult

from prolific_async import Batch, BatchStatus, ProlificClient
from prolific_async.simulator import Fault, Simulator
from tests.test_readme import BLOCKS


class ResultsAsJSON(AsyncResultBackend[Any]):
    """Keeps results as bytes, as those backends do that other processes read."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        self.kept[task_id] = json.dumps(result.model_dump()).encode()

    async def is_result_ready(self, task_id: str) -> bool:
        return task_id in self.kept

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:  # noqa: FBT001, FBT002 - as taskiq has it
        return TaskiqResult[Any].model_validate_json(self.kept[task_id])


@pytest.fixture
async def jobs(client: ProlificClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """README's example as a module, on a broker that sends results as JSON."""
    jobs = ModuleType("jobs")
    monkeypatch.setitem(sys.modules, "jobs", jobs)
    exec(BLOCKS["In a job queue"][0].replace("asyncio.run(main())", ""), vars(jobs))
    broker: InMemoryBroker = jobs.broker
    broker.with_result_backend(ResultsAsJSON())
    broker.add_dependency_context({ProlificClient: client})
    await broker.startup()
    yield jobs
    await broker.shutdown()


async def result(job: AsyncTaskiqTask[Any]) -> TaskiqResult[Any]:
    return await job.wait_result(check_interval=0.01, timeout=10)


async def test_a_job_that_is_run_twice_makes_one_copy(sim: Simulator, jobs: Any) -> None:
    original = sim.add_batch("Round 1")
    first, second = [await result(await jobs.new_round.kiq(original, "R2")) for _ in range(2)]
    assert len(sim.batches) == 2
    assert [seen.path for seen in sim.requests if seen.method == "POST"] == [
        f"/api/v1/data-collection/batches/{original}/duplicate",
        f"/api/v1/data-collection/batches/{first.return_value.id}/setup",
    ]
    assert isinstance(first.return_value, Batch)
    assert first.return_value == second.return_value
    assert first.return_value.status is BatchStatus.READY


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("/setup", Fault(status=400)),  # the copy is there, and has no tasks
        ("/status", Fault(status=401)),  # the copy is being set up
    ],
)
async def test_a_job_that_failed_goes_on_where_it_stopped(
    route: str, fault: Fault, sim: Simulator, jobs: Any
) -> None:
    original = sim.add_batch("Round 1")
    sim.inject("GET" if route == "/status" else "POST", route, fault)
    failed = await result(await jobs.new_round.kiq(original, "Round 2"))
    assert failed.is_err
    again = await result(await jobs.new_round.kiq(original, "Round 2"))
    assert again.return_value.status == "READY"
    assert len(sim.batches) == 2


async def test_a_lost_copy_is_found_within_the_job(sim: Simulator, jobs: Any) -> None:
    original = sim.add_batch("Round 1")
    sim.inject("POST", "/duplicate", Fault(reset="after"))
    done = await result(await jobs.new_round.kiq(original, "Round 2"))
    assert done.return_value.name == "Round 2"
    assert len(sim.batches) == 2


async def test_a_batch_may_be_an_argument(sim: Simulator, jobs: Any) -> None:
    async def name_of(batch: Batch) -> str:
        assert type(batch) is Batch
        return batch.name

    async with ProlificClient(sim.token, base_url=sim.url) as client:
        batch = await client.batches.get(sim.add_batch("Round 1"))
    done = await result(await jobs.broker.task(name_of).kiq(batch))
    assert done.return_value == "Round 1"
