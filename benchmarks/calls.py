"""What a call costs: client CPU and wall time of get_status and duplicate, typed results included.

The subjects are this SDK, aiohttp as it is (giving dicts), httpx with pydantic models, and a client
that openapi-python-client generates. "raw aiohttp, again" runs the same code as "raw aiohttp": how
far its ratio is from 1.00 is how far the others may be off.
"""

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any
from uuid import UUID

from benchmarks import peers
from benchmarks.canned import serving
from benchmarks.generated import generating
from benchmarks.harness import Race, machine, report

Subjects = Mapping[str, Callable[[str], AbstractAsyncContextManager[peers.Calls]]]

OURS = "prolific_async"
RAW = "raw aiohttp"
SLOW = ("httpx, pydantic", "httpx, generated")
RATIOS = (("cpu", RAW), ("wall", RAW), ("cpu", OURS))

COPY_ID = "018f2b7e-7d3c-7a10-9c55-2f1b6f0c9a41"
COPY = {
    "id": COPY_ID,
    "created_at": "2026-03-11T09:24:17.482000Z",
    "created_by": "5f2d4c8a9b1e7a0012ab34cd",
    "datasets": [{"id": "018f2b70-11aa-7b02-8d3e-6a5c4b3a2910", "total_datapoint_count": 200}],
    "name": peers.NAME,
    "status": "UNINITIALISED",
    "total_task_count": 0,
    "total_instruction_count": 3,
    "workspace_id": "6061a2b3c4d5e6f708192a3b",
    "task_details": {
        "task_name": "Compare two summaries",
        "task_introduction": "<p>You will read a short article and two summaries of it.</p>",
        "task_steps": "<ol><li>Read the article.</li><li>Choose the better summary.</li></ol>",
    },
}
ROUTES = {
    ("GET", "/status"): (200, json.dumps({"status": "PROCESSING"}).encode()),
    ("POST", "/duplicate"): (201, json.dumps(COPY).encode()),
}
# The call, the field of its result that is polled, and what must be there.
CALLS = (("get_status", "status", "PROCESSING"), ("duplicate", "id", COPY_ID))


def field(result: Any, name: str) -> str:
    """A field of a dict or of a model as text, or the result itself when that is the field."""
    return str(result[name] if isinstance(result, dict) else getattr(result, name, result))


async def several(call: peers.Call, batch_id: str, times: int) -> Any:
    for _ in range(times):
        result = await call(batch_id)
    return result


async def timed(call: peers.Call, calls: int, in_flight: int) -> tuple[list[Any], float, float]:
    """The last result of each worker, and the CPU and wall seconds of a call."""
    each = calls // in_flight
    workers = [several(call, str(UUID(int=number)), each) for number in range(in_flight)]
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    results = await asyncio.gather(*workers)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return results, cpu / (each * in_flight), wall / (each * in_flight)


async def race(
    subjects: Subjects, url: str, call: tuple[str, str, str], in_flight: int, sizes: tuple[int, int]
) -> Race:
    """One call by all subjects, each with a client of its own that has made no other calls."""
    verb, name, expected = call
    rounds, calls = sizes
    outcome = Race(f"{verb}, {in_flight} in flight", tuple(subjects), RATIOS, SLOW)

    async def take_turn(subject: str) -> tuple[float, float]:
        results, cpu, wall = await timed(entered[subject], max(calls, in_flight), in_flight)
        if wrong := [result for result in results if field(result, name) != expected]:
            raise RuntimeError(f"{subject} gave {wrong[0]!r} for {verb}")
        return cpu, wall

    async with AsyncExitStack() as stack:
        entered: dict[str, peers.Call] = {}
        for subject, peer in subjects.items():
            entered[subject] = getattr(await stack.enter_async_context(peer(url)), verb)
            await take_turn(subject)  # connects and warms up
        for subject in outcome.turns(rounds):
            cpu, wall = await take_turn(subject)
            outcome.add(subject, cpu=cpu, wall=wall)
    return outcome


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--calls", type=int, default=100, help="of a subject in a round")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    sizes = (2, 50) if options.quick else (options.rounds, options.calls)

    with generating() as generated, serving(ROUTES) as url:
        subjects: Subjects = {
            OURS: peers.prolific,
            RAW: peers.raw_aiohttp,
            f"{RAW}, again": peers.raw_aiohttp,
            "httpx, pydantic": peers.httpx_pydantic,
            "httpx, generated": partial(peers.generated_httpx, generated=generated),
        }
        races = [
            asyncio.run(race(subjects, url, call, in_flight, sizes))
            for call in CALLS
            for in_flight in (1, 50)
        ]
    about = machine("aiohttp", "httpx", "pydantic", "openapi-python-client")
    report(races, about, as_json=options.json, unit=("µs", 1e6))


if __name__ == "__main__":
    main()
