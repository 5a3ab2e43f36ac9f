"""Nothing lost, doubled or left behind: rounds of duplicate, setup and wait, for a long time.

A simulated service in another process spoils a good part of the requests, callers lose patience,
clients are closed under those who use them. After each epoch, a second or two of one mood of the
service, what the callers were told is held against what the service did; and with all clients
closed, tasks, timers, file descriptors and memory against what they were after the warm-up. Exits
with 1 when anything is amiss.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import attrs

from benchmarks.harness import machine
from benchmarks.soak_rounds import Book, Clients, Rounds
from benchmarks.soak_server import MAY_HAVE_RUN, Handle, soaked
from prolific_async import Batch, DecodeError
from prolific_async._posts.search import Source
from prolific_async.simulator.records import UNINITIALISED

WORKERS = 16
EPOCH = 1.5  # seconds in which new rounds begin
REPLACED = 0.02  # share of rounds after which a client is closed and made anew
WARM_UP = 0.25  # share of the epochs at the beginning, in which caches are filled
# Growth from the warm-up to the end that counts as none.
OBJECTS = 1.01
RSS = 1.05
RSS_AT_LEAST = 8 * 2**20  # bytes, which the allocator may come to hold however short a run is


@attrs.frozen
class Sample:
    """What the process holds while no client is open."""

    rss: int
    objects: int
    fds: int
    tasks: int
    timers: int

    @classmethod
    async def take(cls) -> "Sample":
        await asyncio.sleep(0.01)  # transports close their sockets a turn later
        gc.collect()
        loop: Any = asyncio.get_running_loop()
        return cls(
            rss=_resident(),
            # But for the samples themselves, which pile up.
            objects=sum(type(one) is not cls for one in gc.get_objects()),
            fds=_descriptors(),
            tasks=len(asyncio.all_tasks()) - 1,
            timers=sum(not timer.cancelled() for timer in loop._scheduled),  # noqa: SLF001 - asyncio does not tell otherwise
        )


def _resident() -> int:
    """Return the bytes of this process in memory, as Linux tells them."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@attrs.define
class Tally:
    """The sums over all epochs."""

    counts: Counter[str] = attrs.field(factory=Counter)
    outcomes: Counter[str] = attrs.field(factory=Counter)
    faults: Counter[str] = attrs.field(factory=Counter)
    moods: Counter[str] = attrs.field(factory=Counter)
    samples: list[Sample] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)

    def add(self, book: Book, truth: dict[str, Any]) -> None:
        """Add an epoch: what its callers were told, and what the service says of it."""
        returned = set(book.returned)
        untold = Counter(_untold(book, truth).values())
        self.counts.update(
            {
                "rounds": book.rounds,
                "copies made": len(truth["copies"]),
                "returned": len(returned),
                "named as candidates": len(book.candidates - returned),
                "of cancelled calls": (untold & book.cancelled).total(),
                "of calls that saw no list": (untold - book.cancelled).total(),
            }
        )
        self.outcomes += book.outcomes
        self.problems += book.problems + audit(book, truth)

    def report(self, about: dict[str, object]) -> dict[str, Any]:
        first, last = stretches(self.samples)
        return {
            "machine": about,
            **self.counts,
            "moods": dict(self.moods),
            "faults": dict(sorted(self.faults.items())),
            "outcomes": dict(sorted(self.outcomes.items())),
            "rss, MB": [round(_median(some, "rss") / 2**20, 1) for some in (first, last)],
            "objects": [_median(some, "objects") for some in (first, last)],
            "file descriptors": [_median(some, "fds") for some in (first, last)],
            "problems": self.problems,
        }


def _untold(book: Book, truth: dict[str, Any]) -> dict[str, str]:
    """Return the copies that nobody was told of, and the keys of the calls that made them."""
    told = book.returned.keys() | book.candidates
    return {copy: key for copy, (key, _) in truth["copies"].items() if copy not in told}


def audit(book: Book, truth: dict[str, Any]) -> list[str]:
    """Hold what callers were told against what the service did."""
    statuses = {copy: status for copy, (_, status) in truth["copies"].items()}
    told = book.returned.keys() | book.candidates
    problems = [f"{copy} was returned {n} times" for copy, n in book.returned.items() if n > 1]
    problems += [f"{copy} is no copy" for copy in told - statuses.keys()]
    secret = Counter(_untold(book, truth).values()) - (book.cancelled + book.unlisted)
    problems += [f"copies of {key} that nobody was told of: {n}" for key, n in secret.items()]
    for key, posts in truth["posts"].items():
        # Each call sends one POST that may have run, and it is the call's last.
        calls = book.calls[key]
        if any(posts.split(MAY_HAVE_RUN, calls)[calls:]):
            problems.append(f"{calls} duplicates of {key} sent {posts}")
    problems += [f"{batch} was set up {n} times" for batch, n in truth["setups"].items() if n > 1]
    problems += [
        f"the setup of {batch} was not accepted"
        for batch in book.accepted
        if statuses.get(batch) == UNINITIALISED
    ]
    problems += [
        f"{batch} was told to be {end}, but is {statuses.get(batch)}"
        for batch, end in book.ends.items()
        if statuses.get(batch) != end
    ]
    return problems


def stretches(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Return the samples at the end of the warm-up, and as many at the end of the run."""
    warm = samples[min(int(len(samples) * WARM_UP), len(samples) - 1) :]
    some = max(1, len(warm) // 4)
    return warm[:some], warm[-some:]


def _median(samples: Sequence[Sample], what: str) -> int:
    return int(statistics.median(getattr(sample, what) for sample in samples))


def left_behind(samples: Sequence[Sample]) -> list[str]:
    """Hold what the process holds at the end against what it held after the warm-up."""
    problems = [
        f"{number} {what} left with every client closed, after {epoch} epochs"
        for epoch, sample in enumerate(samples, 1)
        for what, number in (("tasks", sample.tasks), ("timers", sample.timers))
        if number
    ]
    first, last = stretches(samples)
    rss = _median(first, "rss")
    for what, limit in (
        ("rss", max(rss * RSS, rss + RSS_AT_LEAST)),
        ("objects", _median(first, "objects") * OBJECTS),
        ("fds", _median(first, "fds")),
    ):
        if _median(last, what) > limit:
            problems.append(f"{what} grew from {_median(first, what)} to {_median(last, what)}")
    return problems


async def epoch(service: Handle, draw: Random, tally: Tally, until: float) -> None:
    """Play rounds for a while, close every client, and hold both sides against each other."""
    plan = service.ask("epoch")
    book = Book()
    clients = Clients(service.url, draw)
    rounds = Rounds(book, plan, clients, draw)
    end = min(until, time.monotonic() + EPOCH)

    async def work() -> None:
        await rounds.play()  # however late it has become
        while time.monotonic() < end:
            if draw.random() < REPLACED:
                await clients.replace()
            await rounds.play()

    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(work())
    await clients.close()
    truth = service.ask("truth")
    tally.add(book, truth)
    tally.counts["clients"] += clients.made
    tally.counts["requests"] = truth["requests"]
    tally.faults = Counter(truth["faults"])
    tally.moods[plan["mood"]] += 1


def fill_caches() -> None:
    """Make the converters of whole, partial and odd batches, of which a short run may need none.

    They are some hundred objects, and are made at the first lost or garbled answer.
    """
    for model in (Batch, Source):
        with suppress(DecodeError):
            model.from_dict({})


async def soak(seconds: float, seed: int) -> Tally:
    fill_caches()
    draw = Random(seed)
    tally = Tally()
    with soaked(seed) as service:
        until = time.monotonic() + seconds
        while not tally.samples or time.monotonic() < until:
            await epoch(service, draw, tally, until)
            tally.samples.append(await Sample.take())
    tally.problems += left_behind(tally.samples)
    return tally


def shown(report: dict[str, Any]) -> str:
    """The report as lines of text."""
    return "\n".join(
        f"{name}: "
        + (
            ", ".join(f"{key} {n}" for key, n in value.items())
            if isinstance(value, dict)
            else str(value)
        )
        for name, value in report.items()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None, help="of faults and callers; else drawn")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    seed = Random().randrange(2**32) if options.seed is None else options.seed

    tally = asyncio.run(soak(options.minutes * 60, seed))
    report = tally.report({**machine("aiohttp"), "minutes": options.minutes, "seed": seed})
    print(json.dumps(report, indent=1) if options.json else shown(report))
    if tally.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
