"""``prolific-async demo``: waits for copies of a batch, one of which fails, on a simulator."""

import asyncio
import random
import time
from collections.abc import Mapping
from string import Template
from typing import Annotated

import typer

from prolific_async.batches import Batches
from prolific_async.cli.command_runner import run_command
from prolific_async.cli.exit_codes import ExitCode
from prolific_async.cli.options import number
from prolific_async.cli.output import is_terminal, print_line
from prolific_async.cli.table_display import TableDisplay
from prolific_async.cli.text_display import TextDisplay
from prolific_async.cli.wait_display import WaitDisplay
from prolific_async.client import ProlificClient
from prolific_async.errors import BatchFailedError, WaitError
from prolific_async.models import Batch
from prolific_async.policies import PollPolicy
from prolific_async.simulator import AfterSeconds, BatchSnapshot, Simulator

__all__ = ["demo"]

_CODE = Template("""
import asyncio
from prolific_async import Batch, ProlificClient
from prolific_async.simulator import AfterSeconds, Simulator

async def main():
    async with (
        Simulator(setup=AfterSeconds(3)) as sim,
        ProlificClient(sim.token, base_url=sim.url) as client,
    ):
        source = sim.add_batch("Original", status="READY")
        names = [f"Round {n}" for n in range(1, $end)]
        copies = [await client.batches.duplicate(source, name=n) for n in names]
        sim.fail(copies[$doomed].id)
        for copy in copies:
            await copy.setup(tasks_per_group=5)
        ends = await client.batches.wait_all(copies, return_exceptions=True)
        for name, end in zip(names, ends):
            print(f"{name}: {end.status if isinstance(end, Batch) else end}")

asyncio.run(main())
""")
_POLL = PollPolicy(initial=0.25, maximum=1.0, timeout=60.0)
_SETUP_SECONDS = (1.0, 5.0)  # the shortest and the longest


def demo(
    copies: Annotated[
        int,
        typer.Option(
            "--copies",
            parser=number(int, 2, 1000, words="a whole number from 2 to 1000"),
            metavar="N",
            help="How many copies are made, 2 to 1000.",
        ),
    ] = 20,
) -> None:
    """Watch a batch being duplicated and its copies become READY, on a simulated Prolific.

    One of them is made to fail. It needs no token and touches nothing but this machine.

    Example:
      prolific-async demo --copies 50
    """
    run_command(_demo(copies))


async def _demo(count: int) -> ExitCode:
    chance = random.Random(count)  # noqa: S311 - seeded, so that each run is the same

    def setup(_batch: BatchSnapshot) -> AfterSeconds:
        return AfterSeconds(chance.uniform(*_SETUP_SECONDS))

    began = time.monotonic()
    async with (
        Simulator(setup=setup) as sim,
        ProlificClient(sim.token, base_url=sim.url, poll=_POLL) as client,
    ):
        source = sim.add_batch("Original", status="READY")
        names = [f"Round {n}" for n in range(1, count + 1)]
        copies = await asyncio.gather(
            *(client.batches.duplicate(source, name=name) for name in names)
        )
        print_line(f"A simulated Prolific: {count} copies of one batch, and one of them will fail.")

        doomed = chance.randrange(count)
        sim.fail(copies[doomed].id)
        display = _display(copies)
        outcomes = await display.show_during(_set_up_and_wait(client.batches, copies, display))
        requests = len(sim.requests)
    effort = f"{time.monotonic() - began:.1f} s and {requests} requests"
    code = _print_summary(dict(zip(names, outcomes, strict=True)), names[doomed], effort)
    print_line("What it did, as a program of your own:")
    for line in _CODE.substitute(end=count + 1, doomed=doomed).splitlines():
        print_line(line)
    return code


async def _set_up_and_wait(
    batches: Batches, copies: list[Batch], display: WaitDisplay
) -> list[Batch | WaitError]:
    for copy in copies:
        await copy.setup(tasks_per_group=5)
    outcomes = await batches.wait_all(copies, on_event=display.add_event, return_exceptions=True)
    for copy, outcome in zip(copies, outcomes, strict=True):
        display.add_end(copy.id, outcome)
    return outcomes


def _display(copies: list[Batch]) -> WaitDisplay:
    names = {copy.id: copy.name for copy in copies}
    if not is_terminal():
        return TextDisplay(names)
    return TableDisplay(names, heading="copy", describe=_raised)


def _raised(error: WaitError) -> str:
    return f"raises {type(error).__name__}"


def _print_summary(outcomes: Mapping[str, Batch | WaitError], doomed: str, effort: str) -> ExitCode:
    ready = [name for name, outcome in outcomes.items() if isinstance(outcome, Batch)]
    failed = {
        name: outcome for name, outcome in outcomes.items() if isinstance(outcome, BatchFailedError)
    }
    for name, error in failed.items():
        print_line(f"{name} {_raised(error)}: {error}")
    is_as_planned = len(ready) == len(outcomes) - 1 and list(failed) == [doomed]
    verdict = "As expected" if is_as_planned else "Not as expected"
    print_line(f"{verdict}: {len(ready)} READY, {len(failed)} failed, in {effort}.")
    return ExitCode.OK if is_as_planned else ExitCode.FAILED
