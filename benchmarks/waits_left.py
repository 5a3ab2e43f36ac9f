"""Measures the memory left after many waits: several rounds, each for other batches.

Each case runs in a process of its own. All batches are READY from the start, and each round has
workspaces of its own. Resident memory is measured before the first round, after it and after the
last; the blocks of Python's heap, which do not count what was freed, after the first and the last.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.tables import machine, markdown, one_line
from benchmarks.waiting_methods import (
    BARE,
    NAIVE,
    OURS,
    OURS_ALL,
    SUBJECTS,
    Seen,
    Start,
    session_of,
)
from benchmarks.waits_server import BatchPlan, Plan, serving_waits
from benchmarks.waits_single_run import all_begun, stopped

GAP = 3.0
BARE_LIST = f"{BARE}, one list"


@attrs.frozen
class Case:
    """Rounds of `size` waits, for batches of `workspaces` workspaces in each round."""

    subject: str
    rounds: int
    size: int
    workspaces: int = 1

    def workspace(self, number: int, index: int) -> str:
        return f"6061a2b3c4d5e6f7{number:04x}{index % self.workspaces:04x}"

    def ids(self, number: int) -> list[str]:
        return [f"018f2b7e-7d3c-7a10-{number:04x}-{index:012x}" for index in range(self.size)]

    def plan(self) -> Plan:
        return Plan(
            tuple(
                BatchPlan(batch_id, self.workspace(number, index), 0.0)
                for number in range(self.rounds)
                for index, batch_id in enumerate(self.ids(number))
            )
        )


@attrs.frozen
class Left:
    case: Case
    rss: tuple[int, int, int]
    "Bytes before the first round, after it, and after the last."
    blocks: int
    "Blocks of Python's heap after the last round, less those after the first."


@asynccontextmanager
async def bare_list(url: str, case: Case) -> AsyncIterator[Start]:
    """Await a future in each task, and set them all from one list, read with aiohttp and json.

    It is the least that any code does that reads a list for many tasks.
    """
    async with session_of(url) as get:
        numbers = iter([0, *range(case.rounds)])

        def start(batch_ids: Sequence[str], seen: Seen) -> list[asyncio.Task[None]]:
            loop = asyncio.get_running_loop()
            futures = {batch_id: loop.create_future() for batch_id in batch_ids}

            async def wait(position: int, future: asyncio.Future[Any]) -> None:
                seen(position, await future)

            async def read() -> None:
                await all_begun()
                page = await get(f"?workspace_id={case.workspace(next(numbers), 0)}")
                for batch in page["results"]:
                    if future := futures.pop(batch["id"], None):
                        future.set_result(batch)

            waits = [wait(position, future) for position, future in enumerate(futures.values())]
            return [asyncio.create_task(one) for one in (*waits, read())]

        yield start


def resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def rounds_of(case: Case, url: str) -> Left:
    rss, blocks = [], []
    subject = (
        bare_list(url, case) if case.subject == BARE_LIST else SUBJECTS[case.subject](url, GAP)
    )
    async with subject as start:

        async def one(batch_ids: Sequence[str]) -> None:
            tasks = start(batch_ids, lambda _position, _batch: None)
            await all_begun()
            await (stopped(tasks) if case.subject == BARE else asyncio.gather(*tasks))

        def measure() -> None:
            gc.collect()
            rss.append(resident())
            blocks.append(sys.getallocatedblocks())

        await one(case.ids(0)[:1])
        measure()
        for number in range(case.rounds):
            await one(case.ids(number))
            await asyncio.sleep(0.01)
            if number in (0, case.rounds - 1):
                measure()
    return Left(case, (rss[0], rss[1], rss[-1]), blocks[-1] - blocks[1])


def run(case: Case, url: str) -> Left:
    """Run a case; called in a fresh process, which holds nothing of the service's plan."""
    return asyncio.run(rounds_of(case, url))


def measured(case: Case) -> Left:
    spawn = multiprocessing.get_context("spawn")
    with serving_waits(case.plan()) as server, ProcessPoolExecutor(1, spawn) as pool:
        server.begin(0.0)
        return pool.submit(run, case, server.url).result()


def cases(rounds: int, size: int) -> list[Case]:
    fewer = min(rounds, 4)  # of what takes seconds for each
    ours = [Case(subject, rounds, size) for subject in (OURS, OURS_ALL)]
    return [
        *(Case(subject, rounds, size) for subject in (BARE, BARE_LIST)),
        Case(NAIVE, fewer, size),
        *ours,
        *(attrs.evolve(case, rounds=fewer, workspaces=100) for case in ours),
        *(attrs.evolve(case, rounds=10 * rounds, size=size // 10) for case in ours),
    ]


def table(lefts: Sequence[Left]) -> str:
    rows = [
        [
            "waits",
            "at a time",
            "rounds",
            "workspaces",
            "RSS before, MB",
            "after the first",
            "after the last",
            "blocks, last - first",
        ]
    ]
    rows += [
        [
            left.case.subject,
            f"{left.case.size:,}",
            str(left.case.rounds),
            str(left.case.workspaces),
            *(f"{rss / 2**20:.1f}" for rss in left.rss),
            f"{left.blocks:,}",
        ]
        for left in lefts
    ]
    return markdown(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.waits_left", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of 10,000 waits (20)")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    rounds, size = (2, 50) if options.quick else (options.rounds, 10_000)
    about = machine("aiohttp")
    lefts = [measured(case) for case in cases(rounds, size)]
    if options.json:
        print(json.dumps({"machine": about, "figures": [attrs.asdict(one) for one in lefts]}))
        return
    print(one_line(about))
    print(f"\n{table(lefts)}")


if __name__ == "__main__":
    main()
