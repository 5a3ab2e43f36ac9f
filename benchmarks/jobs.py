"""Measures waits for imports, alone and beside waits for batches that no list serves.

Every batch has a workspace of its own, and the client's strategy is "status", so each wait is
polled by a request of its own. Nothing ends while it is measured. Each run has a process and a
service of its own, and the runs take turns; the least CPU of each is shown.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import attrs

from benchmarks.tables import machine, markdown, one_line
from benchmarks.waits_server import BatchPlan, Handle, Plan, serving_waits
from prolific_async import PollPolicy, ProlificClient, Upload

TOKEN = "benchmark-token"
CONNECTIONS = 100
PATIENCE = 120.0  # seconds until every wait has polled


@attrs.frozen
class Case:
    """Waits for batches and imports, polled every `gap` seconds, measured for `window` seconds."""

    batches: int
    imports: int
    gap: float = 15.0
    window: float = 30.0

    @property
    def waits(self) -> int:
        return self.batches + self.imports

    @property
    def name(self) -> str:
        kinds = {"batches": self.batches, "imports": self.imports}
        return " and ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


@attrs.frozen
class Figures:
    case: Case
    requests: dict[str, int]
    "Polls while it was measured, by kind."
    cpu: float
    "Seconds of the process, user and system, in the same time."
    window: float
    "That time, in seconds."

    @property
    def of_wait(self) -> float:
        """CPU of a wait in a minute."""
        return self.cpu * 60 / self.window / self.case.waits

    @property
    def of_poll(self) -> float:
        return self.cpu / sum(self.requests.values())


def hex_id(kind: int, number: int) -> str:
    return f"018f2b7e-7d3c-7a10-{kind:04x}-{number:012x}"


async def waiting(case: Case, server: Handle) -> Figures:
    """Start all waits, and measure them when each has polled and a gap is over."""
    poll = PollPolicy(initial=case.gap, maximum=case.gap, factor=1, timeout=None)
    async with ProlificClient(
        TOKEN, base_url=server.url, poll=poll, strategy="status", max_connections=CONNECTIONS
    ) as client:
        waits = [
            client.batches.wait_until_ready(hex_id(1, number)) for number in range(case.batches)
        ]
        uploads = [
            Upload(hex_id(3, number), hex_id(2, number), "rows.jsonl", 1, 1, hex_id(3, number))
            for number in range(case.imports)
        ]
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(wait)
            for wait in (*waits, *(one.bind(client.datasets).wait(timeout=None) for one in uploads))
        ]
        async with asyncio.timeout(PATIENCE):
            while server.counts().total() < case.waits:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(case.gap / 10)
        await asyncio.sleep(case.gap)
        gc.collect()
        before, began, cpu = server.counts(), time.monotonic(), time.process_time()
        await asyncio.sleep(case.window)
        cpu, window = time.process_time() - cpu, time.monotonic() - began
        requests = server.counts() - before
        if ended := [task for task in tasks if task.done()]:
            raise RuntimeError(f"{len(ended)} waits have ended")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return Figures(case, dict(requests), cpu, window)


def run(case: Case) -> Figures:
    """Run one case; called in a fresh process."""
    plan = Plan(
        tuple(
            BatchPlan(hex_id(1, number), f"6061a2b3c4d5e6f7{number:08x}", 0.0)
            for number in range(case.batches)
        )
    )
    with serving_waits(plan) as server:
        server.begin()
        return asyncio.run(waiting(case, server))


def least(figures: Sequence[Figures]) -> Figures:
    return min(figures, key=lambda each: each.of_poll)


def table(runs: Sequence[Sequence[Figures]]) -> str:
    """Return a table of the least figures of each case, of which the first is batches alone."""
    base = least(runs[0])
    rows = [
        [
            f"every {base.case.gap:g} s",
            "requests/s",
            "CPU of a wait and minute, µs",
            "/ batches alone",
            "CPU of a poll, µs",
        ]
    ]
    rows += [
        [
            figures.case.name,
            f"{sum(figures.requests.values()) / figures.window:,.0f}",
            f"{figures.of_wait * 1e6:,.0f}",
            f"{figures.of_wait / base.of_wait:.2f}",
            f"{figures.of_poll * 1e6:,.0f}",
        ]
        for figures in map(least, runs)
    ]
    return markdown(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--waits", type=int, default=10_000, help="of each kind (10,000)")
    parser.add_argument("--gap", type=float, default=15.0, help="seconds between two polls (15)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    waits, gap, rounds = options.waits, options.gap, options.rounds
    if options.quick:
        waits, gap, rounds = 30, 0.1, 1
    cases = [
        Case(batches, imports, gap, 2 * gap)
        for batches, imports in ((waits, 0), (0, waits), (waits, waits))
    ]
    spawn = multiprocessing.get_context("spawn")
    fresh = None if options.quick else 1
    runs: list[list[Figures]] = [[] for _ in cases]
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=fresh) as pool:
        for _ in range(rounds):
            for case, figures in zip(cases, runs, strict=True):
                print(f"{case.name} ...", file=sys.stderr)
                figures.append(pool.submit(run, case).result())
    about = machine("aiohttp")
    if options.json:
        plain = [[attrs.asdict(each) for each in figures] for figures in runs]
        print(json.dumps({"machine": about, "runs": plain}, indent=1))
        return
    print(one_line(about))
    print(f"\n{table(runs)}")


if __name__ == "__main__":
    main()
