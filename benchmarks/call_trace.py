"""Counts how often control moves between modules of prolific_async in one wait and one duplicate.

A step is a function call, or a coroutine or generator that is resumed, in a module of the package
(the simulator excluded). A move is a step in another module than the step before. Few moves mean
that a reader can follow a call without jumping from file to file.

Both calls are traced in the steady state: the same call was made once before, with the same client.
The simulator runs in the same event loop, but its steps are left out.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from types import FrameType
from typing import Any

import attrs

from prolific_async import Batch, PollPolicy, ProlificClient, simulator
from prolific_async.simulator import Ending, Simulator

MOST_MOVES_WAIT = 70
MOST_MOVES_DUPLICATE = 20
PACKAGE = "prolific_async"
SIMULATOR = f"{PACKAGE}.simulator"
POLL = PollPolicy(initial=0.02)  # seconds between polls: long enough for the timer to take part

# benchmarks.must_hold also traces checkouts in which AfterPolls still has its older name.
AFTER_POLLS = next(
    vars(simulator)[name] for name in ("AfterPolls", "AfterLooks") if name in vars(simulator)
)


@attrs.frozen
class Step:
    """A function that was entered or resumed."""

    module: str
    function: str


@attrs.define
class Trace:
    """The steps of one call, in order. As a profile function it records those of its thread."""

    steps: list[Step] = attrs.field(factory=list)

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and _is_traced(module):
            self.steps.append(Step(module, frame.f_code.co_qualname))

    @property
    def moves(self) -> int:
        modules = [step.module for step in self.steps]
        return sum(one != other for one, other in pairwise(modules))

    @property
    def modules(self) -> set[str]:
        return {step.module for step in self.steps}

    def lines(self) -> list[str]:
        """Return a line for each step; the module is named where control moves to it."""
        shown, module = [], ""
        for step in self.steps:
            name = "" if step.module == module else step.module.removeprefix(f"{PACKAGE}.")
            module = step.module
            shown.append(f"  {name:<32} {step.function}")
        return shown


def _is_traced(module: str) -> bool:
    return f"{module}.".startswith(f"{PACKAGE}.") and not f"{module}.".startswith(f"{SIMULATOR}.")


async def traced(call: Coroutine[Any, Any, Any]) -> Trace:
    """Await a call in a task and return the trace of this thread until it ended."""
    trace = Trace()
    task = asyncio.create_task(call)
    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        await task
    finally:
        sys.setprofile(before)
    return trace


async def trace_calls(ending: Ending) -> tuple[Trace, Trace]:
    """Trace one ``wait_until_ready`` of three requests and one ``duplicate`` of one request."""
    async with (
        Simulator(setup=ending) as sim,
        ProlificClient(sim.token, base_url=sim.url, poll=POLL) as client,
    ):
        source = await client.batches.get(sim.add_batch())

        async def copy_set_up(name: str) -> Batch:
            copy = await source.duplicate(name=name)
            await copy.setup()
            return copy

        await (await copy_set_up("Round 1")).wait_until_ready()
        copy = await copy_set_up("Round 2")
        wait = await _traced(copy.wait_until_ready(), sim, ["/status", "/status", f"/{copy.id}"])
        duplicate = await _traced(source.duplicate(name="Round 3"), sim, ["/duplicate"])
    return wait, duplicate


async def _traced(call: Coroutine[Any, Any, Any], sim: Simulator, paths: Sequence[str]) -> Trace:
    """Trace a call, and check that it sends one request for each of these ends of paths."""
    before = len(sim.requests)
    trace = await traced(call)
    sent = [request.path for request in sim.requests[before:]]
    if len(sent) != len(paths) or not all(map(str.endswith, sent, paths)):
        raise RuntimeError(f"the call sent {sent} instead of {list(paths)}")
    return trace


def report(name: str, trace: Trace, most: int) -> str:
    verdict = "within" if trace.moves <= most else "above"
    return (
        f"{name}: {trace.moves} moves between {len(trace.modules)} modules, "
        f"{verdict} the target of {most}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.call_trace", description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="print every step")
    parser.add_argument("--json", action="store_true", help="print JSON: the numbers of moves")
    options = parser.parse_args(arguments)
    wait, duplicate = asyncio.run(trace_calls(AFTER_POLLS(1)))
    if options.json:
        print(json.dumps({"wait_until_ready": wait.moves, "duplicate": duplicate.moves}))
        return
    for name, trace, most in (
        ("wait_until_ready, three requests", wait, MOST_MOVES_WAIT),
        ("duplicate, one request", duplicate, MOST_MOVES_DUPLICATE),
    ):
        print(report(name, trace, most))
        if options.verbose:
            print("\n".join(trace.lines()))


if __name__ == "__main__":
    main()
