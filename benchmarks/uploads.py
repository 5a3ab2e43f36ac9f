"""Measures an upload from a path and from rows, beside bare aiohttp that sends the same bytes.

The file is a CSV of about a GiB. From rows, the peer writes them with csv.writer to a temporary
file first, in the event loop. Each upload is made in a process of its own; the server is another
one that reads the body and drops it. "aiohttp, again" is the same as "aiohttp": its ratios show the
noise.
"""

import argparse
import json
import multiprocessing
import tempfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.comparison import Comparison
from benchmarks.costs import Cost, add, table
from benchmarks.tables import machine, one_line
from benchmarks.uploads_run import PATH, PEER, ROWS, SUBJECTS, Case, run, write_file
from benchmarks.uploads_server import Handle, Stored, serving_uploads

MIB = 1 << 20
CHECKED = MIB  # bytes of the uploads that are compared with the file
SOURCES = (PATH, ROWS)
ROUNDS = {PATH: 15, ROWS: 3}

Run = Callable[[Case], Cost]


def compared(source: str, size: int, rounds: int, server: Handle, run_case: Run) -> Comparison:
    """Compare all subjects; each has to send the whole file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "rows.csv")

        def cases(about: int) -> dict[str, Case]:
            rows = write_file(path, about)
            return {
                subject: Case(subject, server.url, str(path), rows, source) for subject in SUBJECTS
            }

        for subject, case in cases(min(size, CHECKED)).items():
            server.stored(checks=True)
            run_case(case)
            data = path.read_bytes()
            if server.stored() != Stored(len(data), zlib.crc32(data)):
                raise RuntimeError(f"{subject} sent other bytes")
        now = cases(size)
        comparison = Comparison(
            f"{size // MIB:,} MiB from {'a path' if source == PATH else source}",
            tuple(SUBJECTS),
            [("wall", PEER), ("cpu", PEER)],
        )
        for subject in comparison.turns(rounds):
            cost = run_case(now[subject])
            if (sent := server.stored().size) != path.stat().st_size:
                raise RuntimeError(f"{subject} sent {sent} bytes")
            add(comparison, subject, cost)
    return comparison


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (1024)")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--rounds", type=int, help="15 from a path, 3 from rows")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    spawn = multiprocessing.get_context("spawn")
    fresh = None if options.quick else 1
    size = 2 * MIB if options.quick else options.size * MIB
    with serving_uploads() as server, ProcessPoolExecutor(1, spawn, max_tasks_per_child=fresh) as p:
        comparisons = [
            compared(
                source,
                size,
                1 if options.quick else options.rounds or ROUNDS[source],
                server,
                lambda case: p.submit(run, case).result(),
            )
            for source in options.sources
        ]
    about = machine("aiohttp")
    if options.json:
        summaries = [comparison.summary() for comparison in comparisons]
        print(json.dumps({"machine": about, "comparisons": summaries}, indent=1))
        return
    print(one_line(about))
    for comparison in comparisons:
        print(f"\n{table(comparison)}")


if __name__ == "__main__":
    main()
