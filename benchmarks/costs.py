"""The cost of one piece of work, measured in a process of its own, and a table of costs."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import attrs

from benchmarks.comparison import Comparison
from benchmarks.lag import TICK, Ticker, percentiles
from benchmarks.tables import markdown

T = TypeVar("T")


@attrs.frozen
class Cost:
    """The cost of the work, in seconds and bytes."""

    wall: float
    cpu: float
    "Of the process, user and system."
    lag: float
    "Lateness of a ticker of 10 ms, 99th percentile."
    memory: int
    "Peak of the resident memory, above what was resident before."
    first: float = 0.0
    "Until the first record was there, as long as `wall` where all come at once."


class PeakMemory:
    """The peak of this process's resident memory since the object was made (Linux)."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
        self._before = self._peak()

    def _peak(self) -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def above_start(self) -> int:
        return self._peak() - self._before


class Meter:
    """Measures from `start` to `stop`; work that has to prepare something calls `start` again."""

    def __init__(self) -> None:
        self._ticker = Ticker()

    async def start(self) -> None:
        self._ticker.stop()
        gc.collect()
        self._ticker = Ticker()
        self._ticker.start()
        await asyncio.sleep(0)  # its first tick begins
        self._first = 0.0
        self._memory = PeakMemory()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def first(self) -> None:
        """Note the time of the first record."""
        self._first = time.perf_counter() - self._wall

    async def stop(self) -> Cost:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        memory = self._memory.above_start()
        await asyncio.sleep(2 * TICK)  # the ticker ticks once more, however late
        self._ticker.stop()
        lag = percentiles(self._ticker.lags)["p99"]
        return Cost(wall, cpu, lag, memory, self._first or wall)


async def measured(work: Callable[[Meter], Awaitable[T]]) -> tuple[T, Cost]:
    """Return the result of the work, and its cost."""
    meter = Meter()
    await meter.start()
    result = await work(meter)
    return result, await meter.stop()


def add(comparison: Comparison, subject: str, cost: Cost) -> None:
    """Add a sample, of seconds and bytes."""
    comparison.add(
        subject,
        wall=cost.wall,
        cpu=cost.cpu,
        lag=cost.lag,
        memory=float(cost.memory),
        first=cost.first,
    )


def table(comparison: Comparison, *, first: bool = False) -> str:
    """Return least times, ratios within a round, the median lag and the highest memory.

    With `first` there is the time to the first record, divided by that to the last, too.
    """
    rows = [
        [
            comparison.title,
            "least wall, s",
            "least cpu, s",
            *(f"{measure} / {base}" for measure, base in comparison.ratios),
            *(["first / last"] if first else []),
            "lag p99, ms",
            "memory, MB",
        ]
    ]
    for subject in comparison.subjects:
        wall, cpu, firsts, memory = (
            comparison.seconds(subject, measure) for measure in ("wall", "cpu", "first", "memory")
        )
        ratios = (comparison.ratio(subject, *ratio) for ratio in comparison.ratios)
        share = max(map(float.__truediv__, firsts, wall))
        rows.append(
            [
                subject,
                f"{min(wall):.2f}",
                f"{min(cpu):.2f}",
                *map(str, ratios),
                *([f"{share:.3f}"] if first else []),
                f"{comparison.time(subject, 'lag').median * 1e3:.1f}",
                f"{max(memory) / 1e6:.1f}",
            ]
        )
    return markdown(rows)
