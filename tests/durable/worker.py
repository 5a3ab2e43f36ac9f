"""A worker in a process of its own, which kills itself at a chosen point.

The processes are forked from one that has imported everything, so that a life costs 50 ms.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import sqlalchemy as sa
from attrs import frozen
from dbos import DBOS

from prolific_async import PollPolicy, ProlificClient, RetryPolicy
from prolific_async.durable import DurableBatches
from tests.uvloops import install_uvloop, runs_on_uvloop

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess
    from types import SimpleNamespace

SECONDS = 60
"""For what takes three, when the machine has other things to do."""

QUICK_WORKER: dict[str, Any] = {
    "executor_id": "one",
    "config": {"notification_listener_polling_interval_sec": 0.05},  # it ends as quickly
}
"""For ``DurableBatches.worker`` in the test's own process."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.durable.worker"])


@frozen
class AtRequest:
    """Die before a request is sent, or when its response has come."""

    method: str
    ending: str
    answered: bool


@frozen
class AtInsert:
    """Die at the insert with this number (from 1) into a table, before it runs."""

    table: str
    number: int


@frozen(kw_only=True)
class Settings:
    """The arguments of a worker's process."""

    database_url: str
    base_url: str
    token: str
    executor_id: str = "first"
    rate: float | None = None
    settle_seconds: float = 1.0
    death: AtRequest | AtInsert | None = None
    warnings: str | None = None
    """Path of a file for DBOS's warnings."""
    deployed_anew: bool = False


def start(settings: Settings) -> ForkServerProcess:
    """Start a worker on a loop like this one; the caller must kill it."""
    process = _context.Process(target=_run, args=(settings, runs_on_uvloop()), daemon=True)
    process.start()
    return process


def kill(process: ForkServerProcess) -> None:
    """Kill a worker with SIGKILL, and wait until it is gone."""
    process.kill()
    process.join()


def pause(process: ForkServerProcess) -> None:
    """Suspend a worker, as if its machine were out of memory or being moved."""
    _signal(process, signal.SIGSTOP)


def go_on(process: ForkServerProcess) -> None:
    """Resume a suspended worker."""
    _signal(process, signal.SIGCONT)


def _signal(process: ForkServerProcess, number: int) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


async def died(process: ForkServerProcess) -> None:
    """Wait until a worker has killed itself."""
    async with asyncio.timeout(SECONDS):
        while process.exitcode is None:
            await asyncio.sleep(0.02)
    assert process.exitcode == -signal.SIGKILL


def _run(settings: Settings, on_uvloop: bool) -> None:  # noqa: FBT001 - a process takes no other
    if on_uvloop:
        install_uvloop()
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    traces = []
    if settings.warnings is not None:
        log = logging.FileHandler(settings.warnings)
        log.setLevel(logging.WARNING)
        logging.getLogger("dbos").addHandler(log)
    if isinstance(settings.death, AtRequest):
        traces.append(_trace(settings.death))
    if isinstance(settings.death, AtInsert):
        _listen(settings.death)
    if settings.deployed_anew:
        DBOS.workflow(name="of the application")(_deployed)  # by which DBOS tells a new version
    client = ProlificClient(
        settings.token,
        base_url=settings.base_url,
        poll=PollPolicy(initial=0.05, maximum=0.1),
        retry=RetryPolicy(initial=0.01, maximum=0.1),
        trace_configs=traces,
    )
    durable = DurableBatches(settings.database_url, poll_every=0.1)
    async with (
        client,
        durable,
        durable.worker(
            client,
            executor_id=settings.executor_id,
            max_starts_per_second=settings.rate,
            settle_seconds=settings.settle_seconds,
        ),
    ):
        await asyncio.Event().wait()


async def _deployed() -> None:
    """Do nothing: a workflow that only the newer version of the application has."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _trace(death: AtRequest) -> aiohttp.TraceConfig:
    async def poll(_session: aiohttp.ClientSession, _context: SimpleNamespace, told: Any) -> None:
        if told.method == death.method and told.url.path.endswith(death.ending):
            _die()

    trace = aiohttp.TraceConfig()
    (trace.on_request_end if death.answered else trace.on_request_start).append(poll)
    return trace


def _listen(death: AtInsert) -> None:
    seen = 0

    def poll(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal seen
        if f"{death.table} (workflow_uuid" in statement:
            seen += 1
            if seen == death.number:
                _die()

    sa.event.listen(sa.Engine, "before_cursor_execute", poll)
