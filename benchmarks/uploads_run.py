"""A single upload of benchmarks.uploads, in a fresh process, and its cost."""

import asyncio
import csv
import io
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from itertools import cycle, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from benchmarks import rows
from benchmarks.costs import Cost, measured
from benchmarks.uploads_server import DATASET, STORAGE
from prolific_async import ProlificClient

OURS, PEER = "prolific_async", "aiohttp"
AGAIN = f"{PEER}, again"
PATH, ROWS = "path", "rows"
TOKEN = "benchmark-token"
DISTINCT = 1000  # rows that are made, and given again and again


@attrs.frozen
class Case:
    """One upload: its subject, the server's URL, and the same data as a file and as rows."""

    subject: str
    url: str
    path: str
    rows: int
    source: str
    "What it is sent from: path or rows."


def made(count: int) -> Iterator[rows.Row]:
    return islice(cycle(rows.made(DISTINCT)), count)


def write_csv(target: Any, some: Iterator[rows.Row]) -> None:
    """Write rows as CSV, with their columns first."""
    writer = csv.writer(target, quoting=csv.QUOTE_ALL)
    first = next(some)
    columns = list(first)
    writer.writerow(columns)
    writer.writerow(first.values())
    writer.writerows(map(itemgetter(*columns), some))


def write_file(path: Path, size: int) -> int:
    """Write a CSV of about `size` bytes, and return the number of its rows."""
    text = io.StringIO(newline="")
    write_csv(text, made(DISTINCT))
    head, _, block = text.getvalue().encode().partition(b"\r\n")
    blocks = max(1, size // len(block))
    with path.open("wb") as file:
        file.write(head + b"\r\n")
        for _ in range(blocks):
            file.write(block)
    return blocks * DISTINCT


async def ours(case: Case) -> None:
    async with ProlificClient(TOKEN, base_url=case.url) as client:
        source = made(case.rows) if case.source == ROWS else Path(case.path)
        await client.datasets.upload(DATASET, source, filename="rows.csv")


async def peer(case: Case) -> None:
    async with aiohttp.ClientSession() as session:
        if case.source == PATH:
            with Path(case.path).open("rb") as file:  # noqa: ASYNC230 - as its users do
                await _put(session, case, file)
            return
        with tempfile.TemporaryFile() as file:
            text = io.TextIOWrapper(file, "utf-8", newline="")
            write_csv(text, made(case.rows))
            text.detach()  # as aiohttp closes the file in a thread, which the wrapper does not bear
            file.seek(0)
            await _put(session, case, file)


async def _put(session: aiohttp.ClientSession, case: Case, file: Any) -> None:
    async with session.put(f"{case.url}{STORAGE}", data=file) as response:
        response.raise_for_status()
        await response.read()


SUBJECTS: dict[str, Callable[[Case], Coroutine[Any, Any, None]]] = {
    OURS: ours,
    PEER: peer,
    AGAIN: peer,
}


def run(case: Case) -> Cost:
    """Run one case after a small one, which imports what is needed; called in a fresh process."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "rows.csv")
        small = attrs.evolve(case, rows=write_file(path, 1), path=str(path))
        asyncio.run(SUBJECTS[case.subject](small))
    _, cost = asyncio.run(measured(lambda _: SUBJECTS[case.subject](case)))
    return cost
