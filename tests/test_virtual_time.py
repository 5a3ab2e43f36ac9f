"""The loop that the tests run on: what its clock counts."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtual_time import SteadyLoop


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_tests_run_on_it() -> None:
    assert isinstance(asyncio.get_running_loop(), SteadyLoop)


async def test_what_the_machine_takes_hits_no_time_out() -> None:
    async with asyncio.timeout(0.02):
        for _ in range(3):
            time.sleep(0.03)  # noqa: ASYNC251 - as if another program had the processor
            await asyncio.sleep(0)


async def test_a_timer_takes_as_long_as_it_says() -> None:
    began, real = now(), time.monotonic()
    await asyncio.sleep(0.03)
    assert now() - began == pytest.approx(0.03, abs=0.005)
    assert time.monotonic() - real >= 0.029


async def test_time_passes_while_there_is_always_something_to_do() -> None:
    end = now() + 0.02
    while now() < end:
        await asyncio.sleep(0)


async def test_it_never_goes_back() -> None:
    seen = [now()]
    for pause in (0, 0.001, 0, 0.002):
        await asyncio.sleep(pause)
        seen += [now(), now()]
    assert seen == sorted(seen)
