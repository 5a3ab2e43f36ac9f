"""Calls leave no reference cycles: everything is freed without a collection."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import gc
import queue
import types
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from prolific_async import (
    PollPolicy,
    ProlificClient,
    ProlificError,
    RetryPolicy,
)
from prolific_async._polling.wait import Wait
from prolific_async._resources.downloading import DownloadTarget
from prolific_async.simulator import Fault, Simulator
from tests.file_server import file_server
from tests.http.raw import transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

POLL = PollPolicy(initial=0.001, maximum=0.001, max_consecutive_failures=1, timeout=5)
RETRY = RetryPolicy(max_attempts=3, initial=0.001, maximum=0.001)
EXECUTORS = (concurrent.futures.thread.__file__,)
PACKAGE = Wait.__module__.partition(".")[0]


def is_of_a_call(thing: object) -> bool:
    """Return whether an object belongs to a call, and so must not be left."""
    if isinstance(thing, queue.Empty) or (
        isinstance(thing, types.TracebackType) and thing.tb_frame.f_code.co_filename in EXECUTORS
    ):
        return False  # an idle thread of an executor keeps it, from Python 3.12 on
    if isinstance(thing, types.FrameType):
        return f"/{PACKAGE}/" in thing.f_code.co_filename
    if isinstance(thing, aiohttp.ServerDisconnectedError) and thing.__traceback__ is None:
        return False  # never raised, and in a cycle of aiohttp's connection and its reader
    return isinstance(thing, Wait | BaseException | types.TracebackType)


async def left_by(call: Callable[[], Awaitable[object]]) -> list[object]:
    """Make a call in a task of its own; return the objects left without a collection."""
    gc.disable()
    gc.freeze()  # so that existing objects do not count, here and in the collections to come
    try:
        task = asyncio.ensure_future(_dropped(call))
        await asyncio.wait([task])
        assert task.exception() is None
        del task
        for _ in range(5):
            await asyncio.sleep(0)
        return [thing for thing in gc.get_objects() if is_of_a_call(thing)]
    finally:
        gc.enable()


async def _in_a_task(call: Callable[[], Awaitable[object]]) -> None:
    """Make a call in a task, and keep neither the task nor its error."""
    task = asyncio.ensure_future(call())
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() or task.result() is not task


async def _dropped(call: Callable[[], Awaitable[object]]) -> None:
    with suppress(ProlificError, asyncio.CancelledError, TimeoutError):
        await call()


async def test_a_reference_cycle_is_detected() -> None:
    async def call() -> None:
        error = ProlificError("it holds this frame, and this frame holds it")
        raise error

    left = await left_by(call)
    assert [type(thing) for thing in left if isinstance(thing, BaseException)] == [ProlificError]


async def collected(values: Any) -> list[Any]:
    return [value async for value in values]


WAITS: dict[str, Callable[[ProlificClient, str, float], Awaitable[object]]] = {
    "wait_until_ready": lambda client, one, seconds: client.batches.wait_until_ready(
        one, timeout=seconds
    ),
    "wait_all": lambda client, one, seconds: client.batches.wait_all([one] * 3, timeout=seconds),
    "wait_all, errors returned": lambda client, one, seconds: client.batches.wait_all(
        [one] * 3, timeout=seconds, return_exceptions=True
    ),
    "as_ready": lambda client, one, seconds: collected(
        client.batches.as_ready([one] * 3, timeout=seconds)
    ),
    "as_ready of a stream": lambda client, one, seconds: collected(
        client.batches.as_ready(stream([one] * 3 + [".."]), timeout=seconds)
    ),
    "watch": lambda client, one, seconds: collected(client.batches.watch(one, timeout=seconds)),
}


async def stream(ids: list[str]) -> Any:
    for one in ids:
        yield one


def never(sim: Simulator, batch_id: str) -> None:
    sim.set_status(batch_id, "PROCESSING")


def hangs(sim: Simulator, batch_id: str) -> None:
    sim.inject("GET", "/status", Fault(delay=30), times=None)


def answers(fault: Fault) -> Callable[[Simulator, str], None]:
    def script(sim: Simulator, batch_id: str) -> None:
        sim.inject("GET", "/status", fault, times=None)
        sim.inject("GET", f"/{batch_id}", fault, times=None)

    return script


ENDS: dict[str, Callable[[Simulator, str], None]] = {
    "ready": lambda sim, one: sim.set_status(one, "READY"),
    "failed": lambda sim, one: sim.set_status(one, "ERROR"),
    "timed out": never,
    "cut": hangs,
    "refused": answers(Fault(401)),
    "unavailable": answers(Fault(503)),
    "lost": answers(Fault(reset="before")),
    "broken": answers(Fault(body="{")),
    "bad keys": answers(Fault(body={"id": 1, "status": 2, "datasets": [1]})),
    "cut body": answers(Fault(cut=3)),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("verb", WAITS)
async def test_a_wait_leaves_nothing_to_collect(
    sim: Simulator, quick: ProlificClient, verb: str, end: str
) -> None:
    batch_id = sim.add_batch()
    ENDS[end](sim, batch_id)
    assert await left_by(lambda: WAITS[verb](quick, batch_id, 0.05)) == []


@pytest.mark.parametrize("verb", WAITS)
@pytest.mark.parametrize("after", [0.0, 0.005, 0.02])
async def test_a_cancelled_wait_leaves_nothing_to_collect(
    sim: Simulator, quick: ProlificClient, verb: str, after: float
) -> None:
    batch_id = sim.add_batch()
    sim.inject("GET", "/status", Fault(delay=0.01), times=None)

    async def cancelled() -> None:
        async with asyncio.timeout(after):
            await WAITS[verb](quick, batch_id, 5)

    assert await left_by(cancelled) == []


@pytest.fixture
async def quick(sim: Simulator) -> Any:
    async with ProlificClient(
        sim.token, base_url=sim.url, poll=POLL, retry=RETRY, request_timeout=0.5
    ) as client:
        yield client


CALLS: dict[str, tuple[str, str, Callable[[ProlificClient, str], Awaitable[object]]]] = {
    "get": ("GET", "/{}", lambda client, one: client.batches.get(one)),
    "get_status": ("GET", "/status", lambda client, one: client.batches.get_status(one)),
    "list": ("GET", "/batches", lambda client, one: client.batches.list("w")),
    "duplicate": ("POST", "/duplicate", lambda client, one: client.batches.duplicate(one)),
    "setup": ("POST", "/setup", lambda client, one: client.batches.setup(one)),
    "get_or_duplicate": (
        "POST",
        "/duplicate",
        lambda client, one: client.batches.get_or_duplicate(one, name="n", settle_seconds=0),
    ),
    "duplicate_and_wait": (
        "POST",
        "/setup",
        lambda client, one: client.batches.duplicate_and_wait(one, name="n", timeout=0.2),
    ),
    "duplicate_and_wait_all": (
        "POST",
        "/setup",
        lambda client, one: client.batches.duplicate_and_wait_all(one, ["n", "m"], timeout=0.2),
    ),
    "report": (
        "GET",
        "/report/",
        lambda client, one: collected(client.batches.report(one).rows()),
    ),
    "responses": (
        "GET",
        "/responses",
        lambda client, one: collected(client.batches.responses(one)),
    ),
    "workspaces": ("GET", "/workspaces/", lambda client, _: client.workspaces.list()),
}
FAULTS = {
    "none": None,
    "400": Fault(400),
    "401": Fault(401),
    "429": Fault(429),
    "429 for long": Fault(429, headers={"Retry-After": "100"}),
    "503": Fault(503),
    "lost": Fault(reset="before"),
    "lost after": Fault(reset="after"),
    "broken": Fault(body="{"),
    "another shape": Fault(body=[1]),
    "bad keys": Fault(body={"id": 1, "datasets": [1, {"id": 2}], "task_details": {}}),
    "bad results": Fault(body={"results": [{"id": "b", "datasets": [1]}, {"id": 1}, 2]}),
    "cut": Fault(cut=1),
    "late": Fault(delay=0.05),
}
QUICK = ("none", "400", "503", "lost after", "broken", "another shape", "cut")


@pytest.mark.parametrize("own_task", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, marks=() if one in QUICK else pytest.mark.slow) for one in FAULTS],
)
@pytest.mark.parametrize("verb", CALLS)
async def test_a_call_leaves_nothing_to_collect(
    sim: Simulator, verb: str, fault: str, *, own_task: bool
) -> None:
    batch_id = sim.add_batch()
    method, route, call = CALLS[verb]
    if (scripted := FAULTS[fault]) is not None:
        sim.inject(method, route.format(batch_id), scripted, times=None)
    async with ProlificClient(
        sim.token,
        base_url=sim.url,
        retry=RETRY,
        poll=POLL,
        request_timeout=0.02 if fault == "late" else 5,
    ) as client:

        async def made() -> None:
            await (
                _in_a_task(lambda: call(client, batch_id)) if own_task else call(client, batch_id)
            )

        assert await left_by(made) == []


@pytest.mark.parametrize("verb", ["duplicate", "get_or_duplicate", "duplicate_and_wait_all"])
@pytest.mark.parametrize("after", [0.0, 0.005, 0.02])
async def test_a_cancelled_call_leaves_nothing_to_collect(
    sim: Simulator, quick: ProlificClient, verb: str, after: float
) -> None:
    batch_id = sim.add_batch()
    sim.inject("POST", "/duplicate", Fault(delay=1), times=None)

    async def cancelled() -> None:
        async with asyncio.timeout(after):
            await CALLS[verb][2](quick, batch_id)

    assert await left_by(cancelled) == []


@pytest.mark.parametrize("ends_well", [True, False])
async def test_a_download_leaves_no_cycle(tmp_path: Path, *, ends_well: bool) -> None:
    target = DownloadTarget(tmp_path / "x", overwrite=True, on_progress=None)
    cuts = iter([10]) if ends_well else repeat(10)
    async with file_server(b"x" * 100, ranges=ends_well, cuts=cuts) as server:
        sender = transport(server.url, retry=RETRY)
        left = await left_by(lambda: target.fetch(sender, "/export", server.get_url))
        assert left == []
        await sender.close()
