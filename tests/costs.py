"""Measurement of a call's CPU time, and of the longest time for which it blocks the loop.

A busy machine makes calls longer, never shorter, and so does memory that is touched for the first
time: the best of several calls counts, and one below the limit is enough. What a tracer, such as
coverage's, adds to each line is no part of them.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

LIMIT = 0.02  # seconds for which a turn may hold the loop


async def held_by(call: Callable[[], Awaitable[object]]) -> float:
    """Make a call and return the CPU seconds of the loop's longest iteration."""
    best = math.inf
    with _untraced():
        for _ in range(10):
            best = min(best, await _longest_turn(call))
            if best < LIMIT:
                break
    return best


def cost_of(call: Callable[[], object], limit: float = 0.0) -> float:
    """Make a call and return its CPU seconds."""
    best = math.inf
    with _untraced():
        for _ in range(3):
            before = time.thread_time()
            call()
            best = min(best, time.thread_time() - before)
            if best < limit:
                break
    return best


@contextmanager
def _untraced() -> Iterator[None]:
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


async def _longest_turn(call: Callable[[], Awaitable[object]]) -> float:
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    gc.collect()
    gc.disable()  # how long a collection lasts depends on all that the tests before have left
    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        await call()
        await asyncio.sleep(0)
    finally:
        gc.enable()
        ticker.cancel()
        await asyncio.wait([ticker])
    return longest
