"""The subjects of benchmarks.answers, and a single run of one of them in a fresh process."""

import asyncio
import csv
import gc
import html
import io
import json
import os
import tempfile
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import aiohttp
import attrs

from benchmarks.answers_server import ANNOTATORS, BATCH, SMALL
from benchmarks.costs import Cost, Meter, measured
from benchmarks.uploads_run import AGAIN, OURS, PEER, TOKEN
from prolific_async import ProlificClient, ReportRow, TaskResponse

T = TypeVar("T")

LOADS, READER, DICT_READER = "json.loads", "csv.reader", "csv.DictReader"
FSYNC, THREADS = "aiohttp, fsync", "aiohttp, fsync, threads"
MSGSPEC, PYDANTIC = "aiohttp, msgspec", "aiohttp, pydantic"
CHUNK = 256 * 1024  # bytes that aiohttp alone is asked for at once


@attrs.frozen
class Case:
    """One run: its subject, the kind of answers that it reads, and the server's URL."""

    kind: str
    subject: str
    url: str
    batch: str = BATCH
    keep: bool = False
    "Whether what was read is returned, to be compared, and not only its amount."
    directory: str = "."
    "Where exports are saved. It is removed later: that takes time, which is not a download's."


@attrs.frozen
class Seen:
    """The amount that a subject has read, and the records themselves if the case keeps them."""

    amount: int
    kept: Any = None


Subject = Callable[[Case, Meter], Awaitable[Seen]]


async def streamed(
    records: AsyncGenerator[T], case: Case, meter: Meter, plain: Callable[[T], Any]
) -> Seen:
    first = await anext(records)
    meter.first()
    if case.keep:
        return seen([first, *[record async for record in records]], case, plain)
    count = 1
    async for _ in records:
        count += 1
    return Seen(count)


def seen(records: Sequence[T], case: Case, plain: Callable[[T], Any]) -> Seen:
    return Seen(len(records), list(map(plain, records)) if case.keep else None)


async def read(case: Case, path: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(f"{case.url}{path}") as response:
        response.raise_for_status()
        return await response.read()


def responses_path(case: Case) -> str:
    return f"/api/v1/data-collection/batches/{case.batch}/responses"


async def our_responses(case: Case, meter: Meter) -> Seen:
    async with ProlificClient(TOKEN, base_url=case.url) as client:
        records = client.batches.responses(case.batch)
        return await streamed(records, case, meter, TaskResponse.to_dict)


def json_alone(*, collector: bool = True) -> Subject:
    """Return a subject that decodes a body in memory, with or without the garbage collector."""

    async def subject(case: Case, meter: Meter) -> Seen:
        body = await read(case, responses_path(case))
        await meter.start()
        if not collector:
            gc.disable()
        try:
            return seen(json.loads(body)["results"], case, dict)
        finally:
            gc.enable()

    return subject


def decoded(module: str) -> Subject:
    """Return a subject that reads a whole body and decodes it with a module."""

    async def subject(case: Case, _: Meter) -> Seen:
        decoder = import_module(f"benchmarks.{module}")
        body = await read(case, responses_path(case))
        return seen(decoder.decode(body), case, lambda one: without_none(decoder.plain(one)))

    return subject


def without_none(value: Any) -> Any:
    """Return a value without its None fields, which the service has not sent."""
    if isinstance(value, dict):
        return {key: without_none(each) for key, each in value.items() if each is not None}
    return [without_none(each) for each in value] if isinstance(value, list | tuple) else value


async def our_report(case: Case, meter: Meter) -> Seen:
    async with ProlificClient(TOKEN, base_url=case.url) as client:
        return await streamed(client.batches.report(case.batch).rows(), case, meter, cells)


def cells(row: ReportRow) -> list[str]:
    """Return the cells of a row as they stand in the report."""
    texts = (row.task_type, row.question, *row.data.values())
    slots = [
        (one.participant_id, html.escape(one.response), one.at_text) for one in row.annotations
    ]
    if len(slots) != ANNOTATORS:
        raise RuntimeError(f"{len(slots)} annotators in {row}")
    return [row.datapoint_id, row.task_group_id, *map(html.escape, texts), *chain(*slots)]


async def csv_alone(case: Case, meter: Meter) -> Seen:
    body = await read(case, f"/storage/{case.batch}.csv")
    await meter.start()
    records = csv.reader(io.StringIO(body.decode(), newline=""))
    next(records)
    return counted(records, case, list)


async def csv_dicts(case: Case, meter: Meter) -> Seen:
    body = await read(case, f"/storage/{case.batch}.csv")
    await meter.start()
    records = csv.DictReader(io.StringIO(body.decode(), newline=""))
    return counted(records, case, lambda row: list(row.values()))


def counted(records: Any, case: Case, plain: Callable[[Any], Any]) -> Seen:
    if case.keep:
        return seen(list(records), case, plain)
    count = 0
    for _ in records:
        count += 1
    return Seen(count)


async def our_export(case: Case, _: Meter) -> Seen:
    path = Path(case.directory, f"{case.batch}.zip")
    async with ProlificClient(TOKEN, base_url=case.url) as client:
        export = await client.batches.export(case.batch)
        return saved(await export.download(path, overwrite=True), case)


def bare_export(save: Callable[[aiohttp.ClientResponse, Path], Awaitable[None]]) -> Subject:
    """Return a subject that saves an archive with aiohttp alone."""

    async def subject(case: Case, _: Meter) -> Seen:
        path = Path(case.directory, f"{case.batch}.zip")
        url = f"{case.url}/storage/{case.batch}.zip"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            response.raise_for_status()
            await save(response, path)
        return saved(path, case)

    return subject


def saver(*, fsync: bool) -> Callable[[aiohttp.ClientResponse, Path], Awaitable[None]]:
    """Return a function that saves a body in the event loop, as aiohttp's documentation shows."""

    async def save(response: aiohttp.ClientResponse, path: Path) -> None:
        with path.open("wb") as file:
            async for chunk in response.content.iter_chunked(CHUNK):
                file.write(chunk)
            if fsync:
                put_on_disk(file)

    return save


async def save_in_threads(response: aiohttp.ClientResponse, path: Path) -> None:
    """Save a body without blocking the event loop, a chunk at a time."""
    with path.open("wb") as file:
        async for chunk in response.content.iter_chunked(CHUNK):
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(put_on_disk, file)


def put_on_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def saved(path: Path, case: Case) -> Seen:
    return Seen(path.stat().st_size, zlib.crc32(path.read_bytes()) if case.keep else None)


RESPONSES: dict[str, Subject] = {
    OURS: our_responses,
    LOADS: json_alone(),
    f"{LOADS}, again": json_alone(),
    f"{LOADS}, no collector": json_alone(collector=False),
    MSGSPEC: decoded("msgspec_responses"),
    PYDANTIC: decoded("pydantic_responses"),
}
REPORT: dict[str, Subject] = {
    OURS: our_report,
    READER: csv_alone,
    f"{READER}, again": csv_alone,
    DICT_READER: csv_dicts,
}
EXPORT: dict[str, Subject] = {
    OURS: our_export,
    PEER: bare_export(saver(fsync=False)),
    AGAIN: bare_export(saver(fsync=False)),
    FSYNC: bare_export(saver(fsync=True)),
    THREADS: bare_export(save_in_threads),
}
KINDS = {"responses": RESPONSES, "report": REPORT, "escaped": REPORT, "export": EXPORT}


def run(case: Case) -> tuple[Seen, Cost]:
    """Run one case after a small one, which imports what is needed; called in a fresh process."""
    subject = KINDS[case.kind][case.subject]

    async def both(case: Case) -> tuple[Seen, Cost]:
        small = attrs.evolve(case, batch=SMALL, keep=False)
        await measured(lambda meter: subject(small, meter))
        return await measured(lambda meter: subject(case, meter))

    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(both(attrs.evolve(case, directory=directory)))
