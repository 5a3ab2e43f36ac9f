"""Soak test: rounds of duplicate, setup and wait for a long time, under random faults.

A simulated service in another process spoils many of the requests, callers cancel their calls, and
clients are closed while in use. After each epoch (a second or two with one rate of faults) what the
callers were told is compared with what the service did. With all clients closed, tasks, timers,
file descriptors and memory are compared with those after the warm-up. Exits with 1 on any finding.
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

from benchmarks.soak_rounds import CallerRecord, Clients, Rounds
from benchmarks.soak_server import MAY_HAVE_RUN, Handle, serving_soak
from benchmarks.tables import machine
from prolific_async import Batch, DecodeError
from prolific_async._api.partial_batches import SourceBatch
from prolific_async.simulator.models import UNINITIALISED

WORKERS = 16
EPOCH = 1.5  # seconds in which new rounds begin
REPLACED = 0.02  # share of rounds after which a client is replaced
WARM_UP = 0.25  # share of the epochs, at the beginning, in which caches fill
# Growth from the warm-up to the end that is tolerated.
OBJECTS = 1.01
OBJECTS_AT_LEAST = 500  # that caches may keep, however few there are
RSS = 1.05
RSS_AT_LEAST = 8 * 2**20  # bytes that the allocator may keep, however short the run


@attrs.frozen
class Sample:
    """The resources of the process while no client is open."""

    rss: int
    objects: int
    fds: int
    tasks: int
    timers: int

    @classmethod
    async def take(cls) -> "Sample":
        await asyncio.sleep(0.01)  # transports close their sockets one loop iteration later
        gc.collect()
        loop: Any = asyncio.get_running_loop()
        return cls(
            rss=_resident(),
            # Without the samples themselves, whose number grows.
            objects=sum(type(one) is not cls for one in gc.get_objects()),
            fds=_descriptors(),
            tasks=len(asyncio.all_tasks()) - 1,
            timers=sum(not timer.cancelled() for timer in loop._scheduled),  # noqa: SLF001 - asyncio does not tell otherwise
        )


def _resident() -> int:
    """Return the resident memory of this process in bytes; Linux only."""
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
    fault_rates: Counter[str] = attrs.field(factory=Counter)
    samples: list[Sample] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)

    def add(self, record: CallerRecord, history: dict[str, Any]) -> None:
        """Add an epoch: the results of its calls, and the history of the service."""
        returned = set(record.returned)
        untold = Counter(_untold(record, history).values())
        self.counts.update(
            {
                "rounds": record.rounds,
                "copies made": len(history["copies"]),
                "returned": len(returned),
                "named as candidates": len(record.candidates - returned),
                "of cancelled calls": (untold & record.cancelled).total(),
                "of calls that saw no list": (untold - record.cancelled).total(),
            }
        )
        self.outcomes += record.outcomes
        self.problems += record.problems + audit(record, history)

    def report(self, about: dict[str, object]) -> dict[str, Any]:
        first, last = stretches(self.samples)
        return {
            "machine": about,
            **self.counts,
            "fault_rates": dict(self.fault_rates),
            "faults": dict(sorted(self.faults.items())),
            "outcomes": dict(sorted(self.outcomes.items())),
            "rss, MB": [round(_median(some, "rss") / 2**20, 1) for some in (first, last)],
            "objects": [_median(some, "objects") for some in (first, last)],
            "file descriptors": [_median(some, "fds") for some in (first, last)],
            "problems": self.problems,
        }


def _untold(record: CallerRecord, history: dict[str, Any]) -> dict[str, str]:
    """Return the copies that no call returned or named, each with the key of its call."""
    told = record.returned.keys() | record.candidates
    return {copy: key for copy, (key, _) in history["copies"].items() if copy not in told}


def audit(record: CallerRecord, history: dict[str, Any]) -> list[str]:
    """Compare the results of the calls with the service's history; return the problems."""
    statuses = {copy: status for copy, (_, status) in history["copies"].items()}
    told = record.returned.keys() | record.candidates
    problems = [f"{copy} was returned {n} times" for copy, n in record.returned.items() if n > 1]
    problems += [f"{copy} is no copy" for copy in told - statuses.keys()]
    secret = Counter(_untold(record, history).values()) - (record.cancelled + record.unlisted)
    problems += [f"copies of {key} that nobody was told of: {n}" for key, n in secret.items()]
    for key, posts in history["posts"].items():
        # A call ends with the first of its POSTs that may have run.
        calls = record.calls[key]
        if any(posts.split(MAY_HAVE_RUN, calls)[calls:]):
            problems.append(f"{calls} duplicates of {key} sent {posts}")
    problems += [f"{batch} was set up {n} times" for batch, n in history["setups"].items() if n > 1]
    problems += [
        f"the setup of {batch} was not accepted"
        for batch in record.accepted
        if statuses.get(batch) == UNINITIALISED
    ]
    problems += [
        f"{batch} was told to be {end}, but is {statuses.get(batch)}"
        for batch, end in record.ends.items()
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
    """Compare the resources at the end with those after the warm-up; return the problems."""
    problems = [
        f"{number} {what} left with every client closed, after {epoch} epochs"
        for epoch, sample in enumerate(samples, 1)
        for what, number in (("tasks", sample.tasks), ("timers", sample.timers))
        if number
    ]
    first, last = stretches(samples)
    rss, objects = _median(first, "rss"), _median(first, "objects")
    for what, limit in (
        ("rss", max(rss * RSS, rss + RSS_AT_LEAST)),
        ("objects", max(objects * OBJECTS, objects + OBJECTS_AT_LEAST)),
        ("fds", _median(first, "fds")),
    ):
        if _median(last, what) > limit:
            problems.append(f"{what} grew from {_median(first, what)} to {_median(last, what)}")
    return problems


async def epoch(service: Handle, draw: Random, tally: Tally, until: float) -> None:
    """Run rounds for a while, close every client, and compare callers with service."""
    plan = service.ask("epoch")
    record = CallerRecord()
    clients = Clients(service.url, draw)
    rounds = Rounds(record, plan, clients, draw)
    end = min(until, time.monotonic() + EPOCH)

    async def work() -> None:
        await rounds.play()  # one round even when the time is over
        while time.monotonic() < end:
            if draw.random() < REPLACED:
                await clients.replace()
            await rounds.play()

    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(work())
    await clients.close()
    history = service.ask("history")
    tally.add(record, history)
    tally.counts["clients"] += clients.made
    tally.counts["requests"] = history["requests"]
    tally.faults = Counter(history["faults"])
    tally.fault_rates[plan["fault_rate"]] += 1


def fill_caches() -> None:
    """Make the converters of whole, partial and unreadable batches: a short run may need none.

    They are some hundred objects, and are made at the first lost or garbled response.
    """
    for model in (Batch, SourceBatch):
        with suppress(DecodeError):
            model.from_dict({})


async def soak(seconds: float, seed: int) -> Tally:
    fill_caches()
    draw = Random(seed)
    tally = Tally()
    with serving_soak(seed) as service:
        until = time.monotonic() + seconds
        while not tally.samples or time.monotonic() < until:
            await epoch(service, draw, tally, until)
            tally.samples.append(await Sample.take())
    tally.problems += left_behind(tally.samples)
    return tally


def shown(report: dict[str, Any]) -> str:
    """Return the report as lines of text."""
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
