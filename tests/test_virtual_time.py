"""The event loops of the tests, and their clocks."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.uvloops import SteadyUVLoop, timers
from tests.virtual_time import SteadyLoop, run

STEADY = pytest.mark.asyncio(
    loop_factories=["steady"] if SteadyUVLoop is None else ["steady", "steady uvloop"]
)


def now() -> float:
    return asyncio.get_running_loop().time()


@STEADY
async def test_tests_run_on_this_loop() -> None:
    assert type(asyncio.get_running_loop()) in {SteadyLoop, SteadyUVLoop}


@STEADY
async def test_a_slow_machine_causes_no_time_out() -> None:
    async with asyncio.timeout(0.02):
        for _ in range(3):
            time.sleep(0.03)  # noqa: ASYNC251 - as if another program had the processor
            await asyncio.sleep(0)


@STEADY
async def test_a_slow_machine_makes_no_timer_due() -> None:
    rung: list[float] = []
    loop = asyncio.get_running_loop()
    due = loop.time() + 0.02
    loop.call_at(due, lambda: rung.append(loop.time()))
    cancelled = loop.call_at(due, lambda: rung.clear())  # noqa: PLW0108 - it has a module
    for _ in range(3):
        time.sleep(0.03)  # noqa: ASYNC251 - as above
        await asyncio.sleep(0)
    assert rung == []
    assert timers() == [__name__] * 2
    cancelled.cancel()
    assert timers() == [__name__]
    await asyncio.sleep(0.03)
    assert len(rung) == 1
    assert rung[0] >= due - 0.001
    assert timers() == []


@STEADY
async def test_a_timer_takes_its_time() -> None:
    began, real = now(), time.monotonic()
    await asyncio.sleep(0.03)
    assert now() - began == pytest.approx(0.03, abs=0.005)
    assert time.monotonic() - real >= 0.029


@STEADY
async def test_time_passes_in_a_busy_loop() -> None:
    end = now() + 0.02
    while now() < end:
        await asyncio.sleep(0)


@STEADY
async def test_time_never_goes_back() -> None:
    seen = [now()]
    for pause in (0, 0.001, 0, 0.002):
        await asyncio.sleep(pause)
        seen += [now(), now()]
    assert seen == sorted(seen)


def test_a_coroutine_that_would_wait_for_ever_is_an_error() -> None:
    ended = []

    async def hang() -> None:
        await asyncio.sleep(5)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(now())

    with pytest.raises(RuntimeError, match="nothing is left that could happen"):
        run(hang())
    assert ended == [1005.0]


def test_a_thread_may_wake_the_loop() -> None:
    assert run(asyncio.to_thread(lambda: 5)) == 5


def test_what_a_callback_raises_fails_the_test() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon([].pop)
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="pop from empty list"):
        run(main())
