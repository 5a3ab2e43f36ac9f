import asyncio
import time

from benchmarks import costs
from benchmarks.comparison import Comparison
from benchmarks.costs import Cost, Meter

SUBJECT, BASE = "this one", "the other"
# So much comes from the system and goes back to it at once, whatever the process held before.
MEMORY, SPREAD = 64_000_000, 10_000_000


def cost_of(subject: str) -> Cost:
    seconds = 1.0 if subject == SUBJECT else 2.0
    return Cost(seconds, seconds / 2, 0.004, 3_000_000, seconds if subject == BASE else 0.05)


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_figures_as_a_table() -> None:
    comparison = Comparison("1 MiB", (SUBJECT, BASE), [("wall", BASE), ("cpu", BASE)])
    for subject in comparison.turns(2):
        costs.add(comparison, subject, cost_of(subject))
    half, one = "0.50 (0.50 to 0.50)", "1.00 (1.00 to 1.00)"
    head, _, ours, base = cells(costs.table(comparison))
    assert head[-2:] == ["lag p99, ms", "memory, MB"]
    assert ours == [SUBJECT, "1.00", "0.50", half, half, "4.0", "3.0"]
    assert base[3:5] == [one, one]
    head, _, ours, base = cells(costs.table(comparison, first=True))
    assert (head[5], ours[5], base[5]) == ("first / last", "0.050", "1.000")


async def test_what_is_measured_begins_with_the_newest_start() -> None:
    async def work(meter: Meter) -> str:
        began = time.process_time()
        while time.process_time() - began < 0.04:
            pass
        taken = bytearray(b"a") * MEMORY
        del taken
        await meter.start()
        await asyncio.sleep(0.02)
        meter.first()
        await asyncio.sleep(0.02)
        return "done"

    result, cost = await costs.measured(work)
    assert result == "done"
    assert cost.cpu < 0.04
    assert cost.memory < MEMORY - SPREAD
    assert 0.01 < cost.first < cost.wall - 0.01  # uvloop may wake it milliseconds too early


async def test_without_a_first_record_all_come_at_the_end() -> None:
    async def work(_: Meter) -> None:
        taken = bytearray(b"a") * MEMORY
        time.sleep(0.03)  # noqa: ASYNC251 - the loop is late, which is what is measured
        del taken

    _, cost = await costs.measured(work)
    assert cost.first == cost.wall
    assert cost.memory > MEMORY - SPREAD
    assert cost.lag > 0.015
