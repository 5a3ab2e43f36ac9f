"""Runs the cells of the fault matrix that are about answers.

Beside the outcome they check what holds under each fault: no connection stays open, no file but a
whole one is left, what is yielded is right, and no error and no log record shows a secret.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import traceback
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from prolific_async import Batch, Export, ProlificError
from tests.faults.columns import NEVER, Answers, File
from tests.faults.faults import Way
from tests.faults.stage import staged

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from prolific_async.simulator import Fault
    from tests.faults.faults import Row
    from tests.faults.stage import Stage

RECORDS = 4
_LONGER = 1e5  # seconds, than anything here takes
_WRITES = {Answers.EXPORT_LOST, Answers.EXPORT_APPLIED, Answers.DELETE_LOST, Answers.DELETE_APPLIED}
_ROWS = (File.ROWS_LINK, File.ROWS)
_STORED = {File.ROWS: "report.csv", File.REPORT: "report.csv", File.ARCHIVE: "export.zip"}
_LOG = logging.getLogger("prolific_async")


async def seen_answers(row: Row, column: Answers) -> str:
    """Run a cell of a call about answers, and return its outcome in a few words."""
    fault = row.applied if column.is_applied else row.lost
    if column not in _WRITES:
        fault = _of_reads(row)
    if fault is None or row.is_of_files:
        return NEVER
    async with staged(row, fault, seconds=_LONGER) as stage, _checked(stage) as cell:
        batch = await _answered(stage)
        return await _ANSWERS[column](cell, batch)


async def seen_file(row: Row, column: File) -> str:
    """Run a cell of a download, and return its outcome in a few words."""
    is_endless = row.is_endless and column not in _ROWS  # and a file may be of any size
    if is_endless or (row.is_of_files if column.is_link else row.way is Way.UNRESOLVED):
        return NEVER
    async with (
        staged(row, _of_reads(row), seconds=0.0, storage=not column.is_link) as stage,
        _checked(stage) as cell,
    ):
        batch = await _answered(stage)
        export = await batch.export()
        wanted = [one.to_dict() async for one in batch.report().rows()]
        stage.hit({1} if column.is_link else ())
        before = len(stage.sim.requests)
        if not column.is_link:
            stage.hit_storage("GET", _STORED[column])
        told = await (
            cell.all_of(batch.report().rows(), wanted)
            if column in _ROWS
            else _file(cell, batch, export, column)
        )
        if column.is_link:
            return f"{told} ({len(stage.requests)})"
        gets = sum(one.path.endswith(_STORED[column]) for one in stage.sim.requests[before:])
        return f"{told} ({gets or cell.attempts})"


def _of_reads(row: Row) -> Fault:
    """Return the fault of a request that changes nothing, so that its own response is spoilt."""
    return row.applied or row.fault


@define(eq=False)
class _Cell:
    """A running cell.

    Attributes:
        stage: Its stage.
        errors: What was raised.

    """

    stage: Stage
    errors: list[ProlificError] = field(factory=list)

    @property
    def attempts(self) -> int | None:
        """The number of failed requests that the last error states."""
        return self.errors[-1].attempts

    async def outcome(self, call: Awaitable[Any], told: str) -> str:
        """Describe the outcome of a call; a success by the words given."""
        try:
            await call
        except ProlificError as error:
            self.errors.append(error)
            return type(error).__name__
        return told

    async def all_of(self, records: AsyncGenerator[Any], wanted: list[Any]) -> str:
        """Describe how a stream of records ends."""
        found: list[Any] = []

        async def read() -> None:
            async for one in records:
                found.append(one.to_dict())  # noqa: PERF401 - those before an error count

        told = await self.outcome(read(), "all")
        assert found == (wanted if told == "all" else wanted[: len(found)])
        return f"{told} after {len(found)}" if found and told != "all" else told


@asynccontextmanager
async def _checked(stage: Stage) -> AsyncIterator[_Cell]:
    """Check in the end that nothing is left open, and no secret was shown."""
    cell = _Cell(stage)
    with _logged() as told:
        yield cell
    await asyncio.sleep(1.0)  # virtual seconds, in which what was closed is gone
    connector, storage = stage.session.connector, stage.sim._storage._runner.server
    assert connector is not None
    assert storage is not None
    assert not connector._acquired
    assert not stage.relayed
    assert not storage.connections
    told += ["".join(traceback.format_exception(one)) + repr(one) for one in cell.errors]
    links = [link.url for link in stage.sim._uploads.urls._by_path.values()]
    for secret in (stage.sim.token, *(link.rpartition("=")[2] for link in links)):
        assert not any(secret in text for text in told)


@contextmanager
def _logged() -> Iterator[list[str]]:
    told: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(self.format(record))

    handler, level = Handler(), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.DEBUG)
    try:
        yield told
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)


async def _answered(stage: Stage) -> Batch:
    batch_id = stage.sim.add_batch(status="READY", datapoints=RECORDS)
    stage.sim.answer(batch_id, participants=RECORDS)
    return await stage.client.batches.get(batch_id)


async def _responses(cell: _Cell, batch: Batch) -> str:
    wanted = [one.to_dict() async for one in batch.responses()]
    cell.stage.hit({1})
    told = await cell.all_of(batch.responses(), wanted)
    return f"{told} ({len(cell.stage.requests)})"


async def _exports(cell: _Cell, batch: Batch) -> str:
    wanted = []
    for number in range(RECORDS):
        export = await batch.export(study_id=f"s{number}")
        cell.stage.sim.set_export(export.id, "complete")
        wanted.append(export.id)
    found: list[Export] = []

    async def read() -> None:
        found.extend(await batch.exports())

    cell.stage.hit({1})
    told = await cell.outcome(read(), "all")
    assert [one.id for one in reversed(found)] == (wanted if told == "all" else [])
    return f"{told} ({len(cell.stage.requests)})"


async def _export(cell: _Cell, batch: Batch) -> str:
    cell.stage.hit({1})
    found: list[Export] = []

    async def start() -> None:
        found.append(await batch.export())

    told = await cell.outcome(start(), "the export")
    told = f"{told} ({_count(cell.stage, 'POST')})"
    made = [one.id for one in await batch.exports()]
    if found:
        return told if made == [found[0].id] else f"{told}, but {len(made)} exports"
    return f"{told}, but an export" if made else told


async def _delete(cell: _Cell, batch: Batch) -> str:
    export = await batch.export()
    cell.stage.sim.set_export(export.id, "complete")
    cell.stage.hit({1})
    told = await cell.outcome(export.delete(), "deleted")
    is_gone = not await batch.exports()
    if is_gone != (told == "deleted"):
        told += ", deleted" if is_gone else ", but it is there"
    return f"{told} ({_count(cell.stage, 'DELETE')})"


def _count(stage: Stage, method: str) -> int:
    return sum(one == method for one, _ in stage.requests)


async def _file(cell: _Cell, batch: Batch, export: Export, column: File) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers"
        is_archive = column in (File.ARCHIVE, File.ARCHIVE_LINK)
        download = (export if is_archive else batch.report()).download
        told = await cell.outcome(download(path), "whole")
        left = _contents(path.parent)
    assert left.keys() == ({"answers"} if told == "whole" else set())
    if told == "whole":
        kept = next(iter(cell.stage.sim._state.batches.values()))
        file = next(iter(kept.exports.values())).file if is_archive else kept.report
        assert file is not None
        return told if left["answers"] == file.content else "as it came"
    return told


def _contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


_ANSWERS: dict[Answers, Callable[[_Cell, Batch], Awaitable[str]]] = {
    Answers.RESPONSES: _responses,
    Answers.EXPORTS: _exports,
    Answers.EXPORT_LOST: _export,
    Answers.EXPORT_APPLIED: _export,
    Answers.DELETE_LOST: _delete,
    Answers.DELETE_APPLIED: _delete,
}
