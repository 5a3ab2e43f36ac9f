"""A single run of benchmarks.waits: one subject and a number of waits, in a fresh process.

A run has five stages: the waits start; they settle; CPU and requests are counted while nothing
changes; the batches get READY, spread evenly; and once all waits have ended, as many start again to
measure their memory at rest. A ticker measures the lag of the event loop in all stages but the
third, where it would cost more than what is measured.
"""

import asyncio
import gc
import math
import random
import resource
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from benchmarks.lag import TICK, Ticker, percentiles
from benchmarks.waiting_methods import BARE, CONNECTIONS, OURS_ALL, READY, SUBJECTS, Start, Subject
from benchmarks.waits_server import REFUSED, BatchPlan, Handle, Plan, serving_waits

AT_REST = 3600.0  # longer than any run
QUIET = 0.2  # seconds without a request after which all have polled
PATIENCE = 90.0  # seconds after the last batch is READY


@attrs.frozen(kw_only=True)
class Case:
    """The settings of one run: `waits_each` waits for each of `batches`; times in seconds."""

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
        """Return the batches and when they get READY, which is the same for every subject."""
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
    """The results of one run in seconds and bytes, None where a subject has no such value."""

    case: Case
    start: float
    "CPU of a wait until its first await."
    memory: float | None = None
    "Python heap of a wait at rest, after its first poll."
    peak: int = 0
    "Highest resident memory of the process, before memory at rest is measured."
    rate: float | None = None
    "Requests a second while nothing changes."
    cpu: float | None = None
    "CPU of a wait in a minute while nothing changes."
    delays: dict[str, float] = attrs.field(factory=dict)
    "Time from READY until the awaiting code continues."
    lag: dict[str, float] = attrs.field(factory=dict)
    "Lateness of a ticker of 10 ms."
    requests: dict[str, int] = attrs.field(factory=dict)
    "Requests of the whole run by kind."
    refused: float | None = None
    "Share of the requests after the waits have settled that got 429."


async def all_begun() -> None:
    """Let every new task run up to its first await."""
    await asyncio.sleep(0)


async def until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def field(batch: Any, name: str) -> str:
    return str(batch[name] if isinstance(batch, dict) else getattr(batch, name))


async def timed(case: Case, plan: Plan, server: Handle) -> Figures:
    """Measure all figures but the memory at rest."""
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
        server.begin(begin)  # starting a hundred thousand takes longer than settling
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
        await asyncio.sleep(2 * TICK)  # the ticker ticks once more, however late
        ticker.stop()
    if len(delays) != case.waits:
        raise RuntimeError(f"{case.subject} ended {len(delays)} of {case.waits} waits")
    counts = server.counts()
    # wait_all returns once, after the last batch: that is its only delay.
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
    """Return the heap of a wait at rest, without its client and connections."""
    server.begin()
    async with subject(server.url, AT_REST) as start:
        # Some waits first, so that connections and what else a client makes once do not count.
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
    """Run one case; called in a fresh process."""
    plan = case.plan()
    with serving_waits(plan) as server:
        figures = asyncio.run(timed(case, plan, server))
        figures.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if case.weigh:
            ids = [batch.id for batch in plan.batches for _ in range(case.waits_each)]
            figures.memory = asyncio.run(weighed(SUBJECTS[case.subject], ids, server))
    return figures
