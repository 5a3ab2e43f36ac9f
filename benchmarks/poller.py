"""Measures what a wait costs inside the poller, without tasks, HTTP and the history of events.

For comparison, in the same run: one future for each wait in a heap of times, the least that any
poller must keep, and one sleeping task for each wait, the least that a loop of its own keeps.
"""

import argparse
import asyncio
import gc
import heapq
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import attrs

from benchmarks.tables import machine, markdown, one_line
from prolific_async import BatchStatus, PollPolicy, RetryPolicy
from prolific_async._polling.deadline import Deadline
from prolific_async._polling.known_workspaces import KnownWorkspaces
from prolific_async._polling.poll_results import GroupResult, PollResult
from prolific_async._polling.poller import Poller
from prolific_async._polling.wait import Wait

AT_REST = 3600.0  # longer than any run
GAP = 0.2
PENDING = PollResult(BatchStatus.PROCESSING)


@attrs.frozen
class Figures:
    subject: str
    waits: int
    memory: float
    "Bytes of the Python heap for each wait after its first poll, without its history."
    start: float
    "CPU seconds for each wait."
    poll: float | None = None
    "CPU seconds for each wait and poll of its group, when nothing has changed."


def ids(waits: int) -> list[str]:
    return [f"018f2b7e-7d3c-7a10-9c55-{number:012x}" for number in range(waits)]


class OneWorkspace(KnownWorkspaces):
    """Has every batch in one workspace."""

    def of(self, batch_id: str) -> str | None:  # noqa: ARG002 - wherever it is asked for
        return "home"


class Polling:
    """A poller whose polls cost nothing and show nothing new; counts them."""

    def __init__(self, keys: Sequence[str], gap: float) -> None:
        self.polls = 0
        source: Any = self
        self.poller = Poller(source, OneWorkspace(), list_threshold=8, at_once=50)
        self._found = dict.fromkeys(keys, PENDING)
        self._keys = keys
        self._poll = PollPolicy(initial=gap, maximum=gap, factor=1)
        self._retry = RetryPolicy()

    async def get_status(self, *_: object) -> BatchStatus | None:
        return BatchStatus.PROCESSING

    async def poll_list(self, *_: object) -> GroupResult:
        self.polls += 1
        return GroupResult(found=self._found)

    def forget(self, _workspace_id: str | None) -> None:
        pass

    def start(self) -> list[Wait]:
        now = asyncio.get_running_loop().time()
        deadline = Deadline.after(now, 600, 30)  # shared, as in ``wait_all``
        waits = [
            Wait(
                key=key,
                time=deadline,
                policy=self._poll,
                retry=self._retry,
            )
            for key in self._keys
        ]
        for wait in waits:
            self.poller.start(wait)
        return waits


async def in_the_poller(keys: Sequence[str]) -> Callable[[], object]:
    return Polling(keys, AT_REST).start


async def in_a_heap(keys: Sequence[str]) -> Callable[[], object]:
    loop = asyncio.get_running_loop()

    def start() -> object:
        heap: list[tuple[float, int, asyncio.Future[None]]] = []
        order = count()
        for _ in keys:
            heapq.heappush(heap, (loop.time() + AT_REST, next(order), loop.create_future()))
        return heap

    return start


async def asleep(keys: Sequence[str]) -> Callable[[], object]:
    return lambda: [asyncio.ensure_future(asyncio.sleep(AT_REST)) for _ in keys]


OURS = "prolific_async's poller"
SUBJECTS: dict[str, Callable[[Sequence[str]], Awaitable[Callable[[], object]]]] = {
    OURS: in_the_poller,
    "futures in a heap": in_a_heap,
    "tasks asleep": asleep,
}


async def started(subject: str, waits: int) -> float:
    """Return the CPU seconds of starting a wait."""
    start = await SUBJECTS[subject](ids(waits))
    gc.collect()
    cpu = time.process_time()
    kept = start()
    cpu = time.process_time() - cpu
    del kept
    return cpu / waits


async def at_rest(subject: str, waits: int) -> float:
    """Return the bytes of the Python heap for each wait after its first poll."""
    start = await SUBJECTS[subject](ids(waits))
    gc.collect()
    tracemalloc.start()
    kept: Any = start()
    await asyncio.sleep(GAP)  # by then tasks sleep and waits have polled
    for wait in kept if subject == OURS else ():
        wait._events = None  # noqa: SLF001 - there is no other way to leave it out
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return memory / waits


async def polled(waits: int, seconds: float) -> float:
    """Return the CPU seconds for each wait of a group poll in which nothing has changed."""
    polling = Polling(ids(waits), GAP)
    polling.start()
    await asyncio.sleep(GAP / 2)
    polls, cpu = polling.polls, time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    polls = polling.polls - polls
    polling.poller.close(RuntimeError("measured"))
    return cpu / polls / waits


def measured(subject: str, waits: int, seconds: float) -> Figures:
    memory = asyncio.run(at_rest(subject, waits))
    start = asyncio.run(started(subject, waits))
    poll = asyncio.run(polled(waits, seconds)) if subject == OURS else None
    return Figures(subject, waits, memory, start, poll)


def table(figures: Sequence[Figures]) -> str:
    rows = [[f"{figures[0].waits:,} waits", "memory, B", "start, µs", "poll, µs"]]
    for each in figures:
        poll = "-" if each.poll is None else f"{each.poll * 1e6:.1f}"
        rows.append([each.subject, f"{each.memory:,.0f}", f"{each.start * 1e6:.1f}", poll])
    return markdown(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.poller", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    sizes, seconds = ([100], 2 * GAP) if options.quick else (options.sizes, 20 * GAP)
    ran = [[measured(subject, size, seconds) for subject in SUBJECTS] for size in sizes]
    about = machine("attrs")
    if options.json:
        figures = [attrs.asdict(each) for of_size in ran for each in of_size]
        print(json.dumps({"machine": about, "figures": figures}, indent=1))
        return
    print(one_line(about))
    for of_size in ran:
        print(f"\n{table(of_size)}")


if __name__ == "__main__":
    main()
