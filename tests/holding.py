"""For how long a call holds the event loop."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 0.02  # seconds of CPU; the time of day tells more of the other programs than of us


async def held_by(call: Callable[[], Awaitable[object]]) -> float:
    """Make a call and return the CPU seconds that the longest turn of the loop cost its thread.

    A busy machine makes turns longer, never shorter, and so does memory that is touched for the
    first time: the best of ten calls counts, and one below the limit is enough. What a tracer, such
    as coverage's, adds to each line is no part of them.
    """
    best = math.inf
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        for _ in range(10):
            best = min(best, await _longest_turn(call))
            if best < LIMIT:
                break
    finally:
        sys.settrace(tracer)
    return best


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
