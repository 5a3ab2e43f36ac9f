"""Measures the cost and the delay of waiting for many batches, with this SDK and in other ways.

The subjects are this SDK (one task for each wait, and `wait_all`), a naive polling loop, the same
with backoff, and azure-core's AsyncLROPoller; "bare tasks" await one future each and show the cost
of the callers' own tasks. Every run has a process and a service of its own.
"""

import argparse
import json
import math
import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import attrs

from benchmarks.tables import machine, markdown, one_line
from benchmarks.waiting_methods import AZURE, BACKOFF, BARE, NAIVE, OURS, OURS_ALL, SUBJECTS
from benchmarks.waits_single_run import Case, Figures, run

SCENARIOS = ("crowds", "limit", "one-id")
# Above these sizes a subject is left out, since it takes long and shows nothing new: backoff and
# azure-core run one task and one request for each poll, as the naive loop does.
UP_TO = {AZURE: 1_000, BACKOFF: 1_000, OURS_ALL: 10_000}
WEIGHED_UP_TO = {NAIVE: 10_000}


class Sizes(NamedTuple):
    gap: float
    limited: int
    limit: float
    warm_up: float
    on_one_id: int


USUAL = Sizes(gap=3.0, limited=500, limit=100.0, warm_up=12.0, on_one_id=1_000)
QUICK = Sizes(gap=0.05, limited=40, limit=200.0, warm_up=0.3, on_one_id=50)


def crowd(batches: int, workspaces: Sequence[int], gap: float, batch_bytes: int) -> list[Case]:
    """Return the cases of a crowd; the number of workspaces matters to this SDK only."""
    pairs = [(OURS, number) for number in workspaces] + [(OURS_ALL, workspaces[0])]
    pairs += [(subject, workspaces[0]) for subject in (NAIVE, BACKOFF, AZURE, BARE)]
    return [
        Case(
            subject=subject,
            batches=batches,
            workspaces=number,
            gap=gap,
            settle=gap,
            window=3 * gap,
            spread=2 * gap,
            batch_bytes=batch_bytes,
            weigh=batches <= WEIGHED_UP_TO.get(subject, batches),
        )
        for subject, number in pairs
        if batches <= UP_TO.get(subject, batches)
    ]


def limited(sizes: Sizes) -> list[Case]:
    """Return cases with more waits than the service allows polls, each in its own workspace."""
    return [
        Case(
            subject=subject,
            batches=sizes.limited,
            workspaces=sizes.limited,
            gap=sizes.gap,
            settle=sizes.warm_up,
            window=sizes.gap,
            spread=2 * sizes.gap,
            limit=sizes.limit,
            weigh=False,
        )
        for subject in (OURS, NAIVE)
    ]


def one_id(sizes: Sizes) -> list[Case]:
    """Return cases of one wait and of many waits for one batch."""
    return [
        Case(
            subject=subject,
            batches=1,
            waits_each=waits,
            gap=sizes.gap,
            settle=sizes.gap,
            window=sizes.gap,
            spread=sizes.gap / 2,
            weigh=False,
        )
        for subject, waits in ((OURS, 1), (OURS, sizes.on_one_id), (NAIVE, sizes.on_one_id))
    ]


def measured(cases: Iterable[Case], runs_of_process: int | None) -> list[Figures]:
    """Run the cases one after the other, by default each in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=runs_of_process) as pool:
        return [pool.submit(run, announced(case)).result() for case in cases]


def announced(case: Case) -> Case:
    where = f"{case.batches:,} batches in {case.workspaces:,} workspaces"
    print(f"{case.subject}, {case.waits:,} waits, {where} ...", file=sys.stderr)
    return case


def shown(value: float | None, scale: float = 1.0, form: str = ",.0f") -> str:
    return "-" if value is None else format(value * scale, form)


def quantiles(values: dict[str, float], *names: str) -> str:
    """Return several percentiles in milliseconds for one cell."""
    return " / ".join(shown(values.get(name), 1e3) for name in names) if values else "-"


def delays(figures: Figures) -> str:
    if figures.case.subject == OURS_ALL:
        return f"{shown(figures.delays['max'], 1e3)} (the last)"
    return quantiles(figures.delays, "p50", "p95", "p99")


def ratio(base: float | None, value: float | None) -> str:
    return "-" if base is None or not value else f"{base / value:,.1f}"


def name(case: Case) -> str:
    """Name the subject, and the number of workspaces where that makes a difference."""
    if case.subject != OURS:
        return case.subject
    return f"{OURS}, {case.workspaces} workspace{'s' if case.workspaces > 1 else ''}"


def crowd_table(figures: Sequence[Figures]) -> str:
    waits = figures[0].case.waits
    cpu_of_naive = next((each.cpu for each in figures if each.case.subject == NAIVE), None)
    rows = [
        [
            f"{waits:,} waits",
            "start, µs",
            "memory, B",
            "peak RSS, MB",
            "requests/s",
            "CPU of a wait and minute, µs",
            "naive's CPU / this",
            "delay p50 / p95 / p99, ms",
            "lag p50 / p99, ms",
        ]
    ]
    rows += [
        [
            name(each.case),
            shown(each.start, 1e6, ".1f"),
            shown(each.memory),
            shown(each.peak, 1e-6),
            shown(each.rate, form=",.1f"),
            shown(each.cpu, 1e6),
            ratio(cpu_of_naive, each.cpu),
            delays(each),
            quantiles(each.lag, "p50", "p99"),
        ]
        for each in figures
    ]
    return markdown(rows)


def limited_table(figures: Sequence[Figures]) -> str:
    case = figures[0].case
    head = f"{case.waits:,} waits, {case.limit:.0f} requests/s allowed"
    rows = [[head, "429, %", "delay p50, ms", "slowest, ms", "slowest / p50"]]
    for each in figures:
        median, slowest = each.delays["p50"], each.delays["max"]
        rows.append(
            [
                each.case.subject,
                shown(each.refused, 100, ".1f"),
                shown(median, 1e3),
                shown(slowest, 1e3),
                ratio(slowest, median),
            ]
        )
    return markdown(rows)


def one_id_table(figures: Sequence[Figures]) -> str:
    rows = [["one batch", "requests in all", "delay p50 / p95 / p99, ms"]]
    for each in figures:
        name = f"{each.case.subject}, waits: {each.case.waits:,}"
        requests = shown(sum(each.requests.values()))
        rows.append([name, requests, delays(each)])
    return markdown(rows)


def as_dict(figures: Figures) -> dict[str, object]:
    """Return the figures for JSON, which has no infinity."""
    plain = attrs.asdict(figures)
    if math.isinf(figures.case.limit):
        plain["case"]["limit"] = None
    return plain


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.waits", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--workspaces", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--gap", type=float, help="seconds between two polls (3)")
    parser.add_argument("--limit", type=float, help="requests/s that the limited one allows (100)")
    parser.add_argument("--batch-bytes", type=int, default=400, help="of a batch in JSON (400)")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    sizes = QUICK if options.quick else USUAL
    sizes = sizes._replace(gap=options.gap or sizes.gap, limit=options.limit or sizes.limit)
    batches, workspaces = options.sizes, options.workspaces
    if options.quick:
        batches, workspaces = [50], workspaces[:1]
    cases = {
        "crowds": [
            case
            for size in batches
            for case in crowd(size, workspaces, sizes.gap, options.batch_bytes)
        ],
        "limit": limited(sizes),
        "one-id": one_id(sizes),
    }
    about = machine("aiohttp", "azure-core", "backoff")
    if not options.json:
        print(one_line(about))
    outcome = {}
    for name in options.scenarios:
        chosen = [case for case in cases[name] if case.subject in options.subjects]
        if options.quick:
            chosen = [attrs.evolve(case, weigh=case.subject == OURS) for case in chosen]
        outcome[name] = measured(chosen, None if options.quick else 1)
    if options.json:
        scenarios = {name: [as_dict(each) for each in ran] for name, ran in outcome.items()}
        print(json.dumps({"machine": about, **scenarios}, indent=1))
    else:
        tables(outcome, batches)


def tables(outcome: dict[str, list[Figures]], sizes: Sequence[int]) -> None:
    for size in sizes:
        if ran := [each for each in outcome.get("crowds", ()) if each.case.waits == size]:
            print(f"\n{crowd_table(ran)}")
    for name, table in (("limit", limited_table), ("one-id", one_id_table)):
        if outcome.get(name):
            print(f"\n{table(outcome[name])}")


if __name__ == "__main__":
    main()
