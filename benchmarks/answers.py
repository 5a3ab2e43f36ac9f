"""Compares reading responses, two reports and an export with plain decoding and plain saving.

"json.loads" and "csv.reader" are given the whole body, so its transfer is not counted; the first
keeps all that it decodes, the second counts the records. msgspec and pydantic, if they are
installed, decode a whole body that aiohttp has read. Each run has a process of its own, and the
server another one. What is listed "again" shows the noise.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec

import attrs

from benchmarks.answers_run import (
    FSYNC,
    KINDS,
    LOADS,
    MSGSPEC,
    PYDANTIC,
    READER,
    Case,
    Seen,
    run,
)
from benchmarks.answers_server import ESCAPED, FEW, MIB, SMALL, Amounts, serving_answers
from benchmarks.comparison import Comparison
from benchmarks.costs import Cost, add, table
from benchmarks.tables import machine, one_line
from benchmarks.uploads_run import PEER

NEEDS = {MSGSPEC: "msgspec", PYDANTIC: "pydantic"}
RATIOS = {
    "responses": [("cpu", LOADS)],
    "report": [("cpu", READER)],
    "escaped": [("cpu", READER)],
    "export": [("wall", PEER), ("wall", FSYNC), ("cpu", PEER)],
}
ROUNDS = {"responses": 7, "report": 15, "escaped": 15, "export": 9}
PREFIXES = {"escaped": ESCAPED}

Run = Callable[[Case], tuple[Seen, Cost]]


def missing() -> dict[str, str]:
    """Return the subjects that cannot run here, and the packages that they need."""
    return {subject: package for subject, package in NEEDS.items() if find_spec(package) is None}


def title(kind: str, amounts: Amounts) -> str:
    return {
        "responses": f"{amounts.responses:,} responses",
        "report": f"{amounts.rows:,} rows of a report",
        "escaped": f"{amounts.rows:,} rows with entities",
        "export": f"an export of {amounts.export // MIB:,} MiB",
    }[kind]


def amount(kind: str, amounts: Amounts) -> int:
    return {"responses": amounts.responses, "export": amounts.export}.get(kind, amounts.rows)


def compared(kind: str, amounts: Amounts, rounds: int, url: str, run_case: Run) -> Comparison:
    """Compare all subjects that can run; they have to read the same."""
    subjects = [subject for subject in KINDS[kind] if subject not in missing()]
    url += PREFIXES.get(kind, "")
    ratios = RATIOS[kind]
    comparison = Comparison(title(kind, amounts), subjects, ratios)
    base = ratios[0][1]
    expected, _ = run_case(Case(kind, base, url, SMALL, keep=True))
    if expected.amount != amount(kind, FEW):
        raise RuntimeError(f"{base} read {expected.amount}")
    for subject in subjects:
        seen, _ = run_case(Case(kind, subject, url, SMALL, keep=True))
        if seen != expected:
            raise RuntimeError(f"{subject} read something else than {base}")
    for subject in comparison.turns(rounds):
        seen, cost = run_case(Case(kind, subject, url))
        if seen != Seen(amount(kind, amounts)):
            raise RuntimeError(f"{subject} read {seen.amount}")
        add(comparison, subject, cost)
    return comparison


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--responses", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=50_000, help="of each report (50,000)")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the export (1024)")
    parser.add_argument("--rounds", type=int, help="seven of responses, 15 of rows, nine of bytes")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    amounts = Amounts(options.responses, options.rows, options.size * MIB)
    if options.quick:
        amounts = attrs.evolve(FEW, responses=2000, rows=2000)
    spawn = multiprocessing.get_context("spawn")
    fresh = None if options.quick else 1
    with (
        serving_answers(amounts) as url,
        ProcessPoolExecutor(1, spawn, max_tasks_per_child=fresh) as p,
    ):
        comparisons = {
            kind: compared(
                kind,
                amounts,
                1 if options.quick else options.rounds or ROUNDS[kind],
                url,
                lambda case: p.submit(run, case).result(),
            )
            for kind in options.kinds
        }
    left_out = missing()
    about = machine("aiohttp", *(name for name in NEEDS.values() if name not in left_out.values()))
    if options.json:
        summaries = [comparison.summary() for comparison in comparisons.values()]
        report = {"machine": about, "missing": sorted(left_out.values()), "comparisons": summaries}
        print(json.dumps(report, indent=1))
        return
    print(one_line(about))
    for subject, package in left_out.items():
        print(f'"{subject}" is left out: {package} is not installed')
    for kind, comparison in comparisons.items():
        print(f"\n{table(comparison, first=kind != 'export')}")


if __name__ == "__main__":
    main()
