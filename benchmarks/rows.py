"""Measures the CPU time of turning rows into CSV and JSON lines, beside the csv and json modules.

The modules do nothing but encode: they check no cell, keep everything in memory and block the event
loop. "csv.writer" gets the cells already in their columns' order, "csv.DictWriter" the rows, as it
is used for rows. "json.dumps" is called once a row. Two are listed a second time, which shows the
noise. "lag" is the longest turn of the event loop, of its thread's CPU time.
"""

import argparse
import asyncio
import csv
import gc
import io
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter
from typing import Any

from benchmarks.comparison import Comparison, report
from benchmarks.tables import machine
from prolific_async._sources.source import Source
from prolific_async.dataset_schema import V3, V4

Row = dict[str, Any]
OURS = "prolific_async"
WRITER, DICT_WRITER, DUMPS = "csv.writer", "csv.DictWriter", "json.dumps"


def made(count: int) -> list[Row]:
    """Return rows of eight columns: texts of several lengths, numbers, booleans and None."""
    return [
        {
            "id": number,
            "prompt": f"Which of the {number} summaries is better, and why?",
            "a": f"https://example.org/images/{number}.png",
            "b": f"https://example.org/images/{number}-b.png",
            "model": "a model",
            "score": number / 7,
            "checked": number % 2 == 0,
            "note": None if number % 3 else 'They said "no", and\nleft: déjà vu',
        }
        for number in range(count)
    ]


async def ours(rows: list[Row], generation: int) -> bytes:
    async with Source(rows) as source:
        payload = await source.payload(generation)
        return b"".join([chunk async for chunk in payload.chunks()])


async def csv_writer(rows: list[Row]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    columns = list(rows[0])
    writer.writerow(columns)
    writer.writerows(map(itemgetter(*columns), rows))
    return buffer.getvalue().encode()


async def dict_writer(rows: list[Row]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


async def dumps(rows: list[Row]) -> bytes:
    return "".join([f"{json.dumps(row)}\n" for row in rows]).encode()


Encode = Callable[[list[Row]], Awaitable[bytes]]
CSV: dict[str, Encode] = {
    OURS: lambda rows: ours(rows, V3),
    WRITER: csv_writer,
    f"{WRITER}, again": csv_writer,
    DICT_WRITER: dict_writer,
}
JSON_LINES: dict[str, Encode] = {
    OURS: lambda rows: ours(rows, V4),
    DUMPS: dumps,
    f"{DUMPS}, again": dumps,
}


def read_csv(data: bytes) -> object:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def read_json(data: bytes) -> object:
    return [json.loads(line) for line in data.splitlines()]


async def timed(encode: Encode, rows: list[Row]) -> tuple[bytes, dict[str, float]]:
    """Return the encoded rows, the CPU seconds, and the longest iteration of the loop."""
    gc.collect()
    began = time.process_time()
    task = asyncio.ensure_future(encode(rows))
    lag = 0.0
    while not task.done():
        turn = time.thread_time()
        await asyncio.sleep(0)
        lag = max(lag, time.thread_time() - turn)
    cpu = time.process_time() - began
    return task.result(), {"cpu": cpu, "lag": lag}


async def compare(
    title: str,
    subjects: dict[str, Encode],
    read: Callable[[bytes], object],
    rows: list[Row],
    rounds: int,
) -> Comparison:
    """Compare all subjects, whose results must read the same."""
    bases = [name for name in subjects if name != OURS and not name.endswith("again")]
    comparison = Comparison(title, tuple(subjects), [("cpu", base) for base in bases])
    data, _ = await timed(subjects[bases[0]], rows)
    expected = read(data)
    for subject, encode in subjects.items():
        data, _ = await timed(encode, rows)
        if read(data) != expected:
            raise RuntimeError(f"{subject} gave other rows")
    for subject in comparison.turns(rounds):
        _, figures = await timed(subjects[subject], rows)
        comparison.add(subject, **figures)
    return comparison


async def measured(count: int, rounds: int) -> list[Comparison]:
    rows = made(count)
    return [
        await compare(f"{count:,} rows to CSV", CSV, read_csv, rows, rounds),
        await compare(f"{count:,} rows to JSON lines", JSON_LINES, read_json, rows, rounds),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.rows", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    count, rounds = (2000, 2) if options.quick else (options.rows, options.rounds)
    comparisons = asyncio.run(measured(count, rounds))
    report(comparisons, machine(), as_json=options.json, unit=("ms", 1e3))


if __name__ == "__main__":
    main()
