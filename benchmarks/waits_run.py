"""One run: one subject, so many waits, in a process of its own that has done nothing else.

Five stretches, all lengths in gaps: the waits are started; they settle; the CPU and the requests of
a steady window are taken; the batches get READY, spread evenly; and, once all waits have ended, as
many are started again to see what they weigh at rest. The ticker that tells the lag of the loop
runs in all but the window, where it would cost more than what is measured.
"""

import asyncio
import gc
import math
import random
import resource
import statistics
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from benchmarks.waiters import BARE, CONNECTIONS, OURS_ALL, READY, SUBJECTS, Start, Subject
from benchmarks.waits_server import REFUSED, BatchPlan, Handle, Plan, serving_waits

TICK = 0.01
AT_REST = 3600.0  # a gap that nobody lives to see the end of
QUIET = 0.2  # seconds without a request: all have polled
PATIENCE = 90.0  # seconds after the last batch is READY


@attrs.frozen(kw_only=True)
class Case:
    """What one run measures. `waits_each` waits for each of `batches`; times in seconds."""

    subject: str
    batches: int
    workspaces: int = 1
    waits_each: int = 1
    gap: float = 3.0
    settle: float = 3.0
    window: float = 9.0
    spread: float = 6.0
    batch_bytes: int = 400
    limit: float = math.inf
    weigh: bool = True

    @property
    def waits(self) -> int:
        return self.batches * self.waits_each

    def plan(self) -> Plan:
        """The same batches, READY at the same moments, for every subject."""
        moments = [
            self.settle + self.window + self.spread * (number + 1) / self.batches
            for number in range(self.batches)
        ]
        random.Random(self.batches).shuffle(moments)
        batches = tuple(
            BatchPlan(
                f"018f2b7e-7d3c-7a10-9c55-{number:012x}",
                f"6061a2b3c4d5e6f7{number % self.workspaces:08x}",
                moment,
            )
            for number, moment in enumerate(moments)
        )
        return Plan(batches, self.batch_bytes, self.limit)


@attrs.define(kw_only=True)
class Figures:
    """What one run gave; None where the subject has no such thing. Seconds and bytes."""

    case: Case
    start: float
    "CPU of a wait from its making until it has been begun and awaits something."
    memory: float | None = None
    "Of the Python heap, of a wait at rest after its first poll."
    peak: int = 0
    "Resident memory of the process at its highest, tests of memory apart."
    rate: float | None = None
    "Requests a second while nothing changes."
    cpu: float | None = None
    "Of a wait in a minute while nothing changes."
    delays: dict[str, float] = attrs.field(factory=dict)
    "From READY until the awaiting code goes on."
    lag: dict[str, float] = attrs.field(factory=dict)
    "By which a ticker of 10 ms is late."
    requests: dict[str, int] = attrs.field(factory=dict)
    "All of the run by kind."
    refused: float | None = None
    "Share of the requests after settle_seconds that got 429."


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
    """How late the loop is, every 10 ms, from `start` to `stop`."""

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


async def all_begun() -> None:
    """Let every task that was just made take its first step."""
    await asyncio.sleep(0)


async def until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def field(batch: Any, name: str) -> str:
    return str(batch[name] if isinstance(batch, dict) else getattr(batch, name))


async def timed(case: Case, plan: Plan, server: Handle) -> Figures:
    """All but the weighing."""
    ids = [batch.id for batch in plan.batches for _ in range(case.waits_each)]
    ready_after = [batch.ready_after for batch in plan.batches for _ in range(case.waits_each)]
    delays: list[float] = []
    ticker = Ticker()

    def seen(position: int, batch: Any) -> None:
        if (field(batch, "id"), field(batch, "status")) != (ids[position], READY):
            raise RuntimeError(f"{case.subject} gave {batch!r} for {ids[position]}")
        delays.append(time.monotonic() - begin - ready_after[position])

    async with SUBJECTS[case.subject](server.url, case.gap) as start:
        gc.collect()
        cpu = time.process_time()
        tasks = start(ids, seen)
        await all_begun()
        figures = Figures(case=case, start=(time.process_time() - cpu) / case.waits)
        begin = time.monotonic()
        server.begin(begin)  # only now: to start a hundred thousand may take longer than to settle
        if case.subject == BARE:
            await stopped(tasks)
            return figures
        ticker.start()
        await until(begin + case.settle)
        ticker.stop()
        settled, moment, cpu = server.counts(), time.monotonic(), time.process_time()
        await until(begin + case.settle + case.window)
        figures.cpu = time.process_time() - cpu
        counts, passed = server.counts(), time.monotonic() - moment
        figures.rate = (counts - settled).total() / passed
        figures.cpu *= 60 / passed / case.waits
        ticker.start()
        last = begin + max(ready_after)
        async with asyncio.timeout(last + PATIENCE - time.monotonic()):
            await asyncio.gather(*tasks)
        await asyncio.sleep(2 * TICK)  # so that it ticks, however late it has become
        ticker.stop()
    if len(delays) != case.waits:
        raise RuntimeError(f"{case.subject} ended {len(delays)} of {case.waits} waits")
    counts = server.counts()
    # wait_all goes on once, after the last one: that is its only delay.
    figures.delays = percentiles([min(delays)] if case.subject == OURS_ALL else delays)
    figures.lag = percentiles(ticker.lags)
    figures.requests = dict(counts)
    figures.refused = share_refused(counts - settled)
    return figures


def share_refused(counts: Counter[str]) -> float:
    return counts[REFUSED] / max(1, counts.total())


async def stopped(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def weighed(subject: Subject, ids: Sequence[str], server: Handle) -> float:
    """The heap of a wait that has polled once and sleeps, its client and connections left out."""
    server.begin()
    async with subject(server.url, AT_REST) as start:
        # Some waits first: what a client makes once, its connections above all, is no wait's.
        await at_rest(start, ids[: 2 * CONNECTIONS], server)
        return await at_rest(start, ids, server) / len(ids)


async def at_rest(start: Start, ids: Sequence[str], server: Handle) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        tasks = start(ids, lambda _position, _batch: None)
        await all_begun()
        before = Counter[str]()
        while (after := server.counts()) != before:
            before = after
            await asyncio.sleep(QUIET)
        gc.collect()
        heap = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    await stopped(tasks)
    return heap


def run(case: Case) -> Figures:
    """Make the run; called in a fresh process."""
    plan = case.plan()
    with serving_waits(plan) as server:
        figures = asyncio.run(timed(case, plan, server))
        figures.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if case.weigh:
            ids = [batch.id for batch in plan.batches for _ in range(case.waits_each)]
            figures.memory = asyncio.run(weighed(SUBJECTS[case.subject], ids, server))
    return figures
