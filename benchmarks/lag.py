"""Measures the lateness of the event loop, with a ticker of 10 ms."""

import asyncio
import statistics
import time
from collections.abc import Sequence

TICK = 0.01


def percentiles(values: Sequence[float]) -> dict[str, float]:
    if len(values) == 1:
        return dict.fromkeys(("p50", "p95", "p99", "max"), values[0])
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    return {
        "p50": hundredths[49],
        "p95": hundredths[94],
        "p99": hundredths[98],
        "max": max(values),
    }


class Ticker:
    """Measures the lateness of the event loop every 10 ms, from `start` to `stop`."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._tick())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _tick(self) -> None:
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.lags.append(time.monotonic() - due)
