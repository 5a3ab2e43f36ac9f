"""Measures the figures that have a target, for an older checkout and for this one, in one run.

The benchmark programs are always those of this checkout; only the package under them changes. The
checkouts take turns, so that both meet the same noise, and the medians over the rounds are printed
as the table of benchmarks/README.md.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.call_trace import MOST_MOVES_DUPLICATE, MOST_MOVES_WAIT
from benchmarks.tables import machine, markdown, one_line

Report = dict[str, Any]
"""The JSON that a benchmark program prints."""

ROOT = Path(__file__).parent.parent
BEFORE, NOW = "before", "now"
OURS, NAIVE = "prolific_async", "naive loop"

# In rounds of 100 calls, half of those of fifty workers begin at once, with cold caches.
CALLS = ("calls", "--without-httpx", "--calls", "1000", "--rounds", "30")
IMPORTS = ("imports",)
TRACE = ("call_trace",)
CROWDS = ("waits", "--scenarios", "crowds", "--sizes")
WAITS = (*CROWDS, "1000", "--subjects", OURS, NAIVE)
LARGE_CROWD = (*CROWDS, "10000", "--workspaces", "1", "--subjects", OURS)
PROGRAMS = (CALLS, IMPORTS, WAITS, LARGE_CROWD, TRACE)


@attrs.frozen
class Figure:
    """A figure, its target, and how it is read from the report of a program."""

    name: str
    target: str
    program: Sequence[str]
    read: Callable[[Report], float]
    form: str = ".2f"


def cpu_ratio(call: str, in_flight: int) -> Callable[[Report], float]:
    """Return a function that reads, from a report, a call's CPU divided by raw aiohttp's."""
    return lambda report: _ratio(report, f"{call}, {in_flight} in flight", "cpu / raw aiohttp")


def _ratio(report: Report, title: str, ratio: str) -> float:
    (figures,) = (each for each in report["comparisons"] if each["title"] == title)
    return float(figures["subjects"][OURS]["ratios"][ratio]["median"])


def _in_one_workspace(report: Report) -> Report:
    return min(_ours(report), key=lambda run: run["case"]["workspaces"])


def _in_most_workspaces(report: Report) -> Report:
    return max(_ours(report), key=lambda run: run["case"]["workspaces"])


def _ours(report: Report) -> list[Report]:
    return [run for run in report["crowds"] if run["case"]["subject"] == OURS]


def naive_by(run: Callable[[Report], Report]) -> Callable[[Report], float]:
    """Return a function that reads, from a report, the naive loop's CPU divided by our run's."""

    def read(report: Report) -> float:
        (naive,) = (each for each in report["crowds"] if each["case"]["subject"] == NAIVE)
        return float(naive["cpu"] / run(report)["cpu"])

    return read


FIGURES = (
    *(
        Figure(f"{call}, {in_flight} at a time: CPU / raw aiohttp's", f"≤ {most}", CALLS, read)
        for call, most in (("get_status", "1.05"), ("duplicate", "1.12"))
        for in_flight in (1, 50)
        for read in (cpu_ratio(call, in_flight),)
    ),
    Figure(
        "import: CPU / aiohttp's",
        "≤ 1.10",
        IMPORTS,
        lambda report: _ratio(report, "import", "import / aiohttp"),
    ),
    Figure(
        "1,000 waits, 1 workspace: naive loop's CPU / ours",
        "≥ 20",
        WAITS,
        naive_by(_in_one_workspace),
        ".1f",
    ),
    Figure(
        "1,000 waits, 100 workspaces: naive loop's CPU / ours",
        "≥ 2",
        WAITS,
        naive_by(_in_most_workspaces),
        ".1f",
    ),
    Figure(
        "1,000 waits, 1 workspace: memory of a wait, B",
        "≤ 2,400",
        WAITS,
        lambda report: float(_in_one_workspace(report)["memory"]),
        ",.0f",
    ),
    Figure(
        "10,000 waits, 1 workspace: lag p99, ms",
        "≤ 15",
        LARGE_CROWD,
        lambda report: float(_in_one_workspace(report)["lag"]["p99"] * 1e3),
        ".1f",
    ),
    Figure(
        "wait_until_ready, three requests: moves between modules",
        f"≤ {MOST_MOVES_WAIT}",
        TRACE,
        lambda report: float(report["wait_until_ready"]),
        ".0f",
    ),
    Figure(
        "duplicate: moves between modules",
        f"≤ {MOST_MOVES_DUPLICATE}",
        TRACE,
        lambda report: float(report["duplicate"]),
        ".0f",
    ),
)


def run(program: Sequence[str], checkout: Path, *options: str) -> Report:
    """Run a program of this checkout with the package of another one; return its report."""
    with tempfile.TemporaryDirectory() as directory:
        # The working directory comes first on the path of `python -m`, before what is installed.
        for package, source in (("benchmarks", ROOT), ("prolific_async", checkout)):
            Path(directory, package).symlink_to((source / package).resolve(strict=True))
        name, *arguments = program
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", *options]
        done = subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE)
    report: Report = json.loads(done.stdout)
    return report


def table(reports: dict[str, dict[Sequence[str], list[Report]]]) -> str:
    """Return the medians of all figures as a Markdown table."""
    rows = [["must hold", "target", BEFORE, NOW, "`python -m benchmarks.`…"]]
    for figure in FIGURES:
        medians = (
            statistics.median(map(figure.read, reports[checkout][figure.program]))
            for checkout in (BEFORE, NOW)
        )
        cells = (format(median, figure.form) for median in medians)
        rows.append([figure.name, figure.target, *cells, f"`{shlex.join(figure.program)}`"])
    return markdown(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.must_hold", description=__doc__)
    parser.add_argument("before", type=Path, help="directory of the older checkout")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program (3)")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    options = parser.parse_args(arguments)
    checkouts = {BEFORE: options.before, NOW: ROOT}
    reports: dict[str, dict[Sequence[str], list[Report]]] = {
        name: {program: [] for program in PROGRAMS} for name in checkouts
    }
    for _ in range(1 if options.quick else options.rounds):
        for program in PROGRAMS:
            quick = ["--quick"] if options.quick and program is not TRACE else []
            for name, checkout in checkouts.items():
                print(f"{name}: {shlex.join(program)} ...", file=sys.stderr)
                reports[name][program].append(run(program, checkout, *quick))
    print(one_line(machine("aiohttp")))
    if options.quick:
        print("Quick: a few calls and 50 waits, so the figures say nothing about the targets.")
    print(f"\n{table(reports)}")


if __name__ == "__main__":
    main()
