"""Runs the cells of the fault matrix with the real client, and describes each outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from prolific_async import (
    AppendResult,
    Batch,
    Dataset,
    DatasetSchema,
    DatasetStatus,
    Export,
    ProlificError,
    StatusEvent,
    TaskDetails,
    Upload,
)
from tests.faults.answer_cells import seen_answers, seen_file
from tests.faults.columns import (
    DEADLINE,
    GAP,
    NEVER,
    SET_UP,
    Answers,
    Call,
    File,
    Position,
    Sharing,
)
from tests.faults.faults import FAULTS, Way
from tests.faults.stage import staged
from tests.faults.streams import STREAM_FAULTS
from tests.virtual_time import LoopbackLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from prolific_async.simulator import Fault
    from tests.faults.columns import Column
    from tests.faults.faults import Row
    from tests.faults.stage import Stage

T = TypeVar("T")

_TASK = TaskDetails("Rate", "Read both.", "Choose one.")
_SCHEMA = DatasetSchema.of(a="text")
_EVERY = range(1, 1_000_000)
_TOLD = 5.0  # seconds from which on a wait's end counts as early or late
_POLLED = {Sharing.GROUP: "batches", Sharing.IMPORT: "imports", Sharing.EXPORT: "export"}
_WAITS = {
    Sharing.ALONE: (1, 1),
    Sharing.TEN: (1, 10),
    Sharing.GROUP: (8, 1),
    Sharing.IMPORT: (0, 1),
    Sharing.EXPORT: (0, 1),
}  # batches, waits each
_LONGER = 10 * SET_UP  # than anything here takes


def seen(name: str, column: Column) -> str:
    """Run a cell and return its outcome in a few words."""
    row = FAULTS.get(name) or STREAM_FAULTS[name]
    match column:
        case Call.ONCE | Call.ALWAYS:
            return run(_get_status(row, column), LoopbackLoop)
        case Call():
            fault = row.applied if column.is_applied else row.lost
            is_upload = column in (Call.UPLOAD_LOST, Call.UPLOAD_APPLIED)
            if fault is None or (is_upload and row.way is not Way.THROUGH):
                return NEVER
            return run(_CALLS[column.name.partition("_")[0]](row, fault), LoopbackLoop)
        case Answers():
            return run(seen_answers(row, column), LoopbackLoop)
        case File():
            return run(seen_file(row, column), LoopbackLoop)
        case (position, sharing):
            return run(_wait(row, position, sharing), LoopbackLoop)


async def _get_status(row: Row, column: Call) -> str:
    async with staged(row, row.fault, seconds=_LONGER) as stage:
        (batch,) = await _batches(stage, 1)
        stage.hit({1} if column is Call.ONCE else _EVERY)
        outcome = await _outcome(batch.get_status())
        return f"{_name(outcome)} ({len(stage.requests)})"


async def _duplicate(row: Row, fault: Fault) -> str:
    async with staged(row, fault, seconds=_LONGER) as stage:
        source = stage.sim.add_batch()
        stage.hit({1})
        outcome = await _outcome(stage.client.batches.duplicate(source, name="Round 2"))
        made = set(stage.sim.batches) - {source}
        told = f"{_name(outcome)} ({_posts(stage)})"
        if isinstance(outcome, Batch):
            return told if made == {outcome.id} else f"{told}, but {len(made)} copies"
        return f"{told}, but a copy" if made else told


async def _setup(row: Row, fault: Fault) -> str:
    async with staged(row, fault, seconds=_LONGER) as stage:
        batch = await stage.client.batches.get(stage.sim.add_batch())
        stage.hit({1})
        outcome = await _outcome(batch.setup())
        status = stage.sim.batches[batch.id].status
        told = f"{_name(outcome) if outcome else 'accepted'} ({_posts(stage)})"
        return told if (outcome is None) == (status == "PROCESSING") else f"{told}, but {status}"


async def _create(row: Row, fault: Fault) -> str:
    async with staged(row, fault, seconds=_LONGER) as stage:
        stage.hit({1})
        call = stage.client.batches.create(stage.sim.workspace_id, name="Round 2", task=_TASK)
        outcome = await _outcome(call)
        told = f"{'the batch' if isinstance(outcome, Batch) else _name(outcome)} ({_posts(stage)})"
        made = set(stage.sim.batches)
        if isinstance(outcome, Batch):
            return told if made == {outcome.id} else f"{told}, but {len(made)} batches"
        return f"{told}, but a batch" if made else told


async def _dataset(row: Row, fault: Fault) -> str:
    async with staged(row, fault, seconds=_LONGER) as stage:
        stage.hit({1})
        call = stage.client.datasets.create(stage.sim.workspace_id, name="Rows")
        outcome = await _outcome(call)
        return (
            f"{'the dataset' if isinstance(outcome, Dataset) else _name(outcome)} ({_posts(stage)})"
        )


async def _append(row: Row, fault: Fault) -> str:
    async with staged(row, fault, seconds=_LONGER) as stage:
        datasets = stage.client.datasets
        rows = await datasets.create(stage.sim.workspace_id, name="Rows", schema=_SCHEMA)
        stage.hit({1})
        outcome = await _outcome(rows.append([{"a": "1"}, {"a": "2"}]))
        there = (await rows.refresh()).total_datapoint_count
        if isinstance(outcome, AppendResult):
            told = f"{outcome.accepted} taken ({_posts(stage)})"
            return told if outcome.accepted == there else f"{told}, but {there}"
        return f"{_name(outcome)} ({_posts(stage)})" + (f", {there} taken" if there else "")


async def _upload(row: Row, fault: Fault) -> str:
    async with staged(row, fault, seconds=_LONGER, storage=True) as stage:
        rows = await stage.client.datasets.create(stage.sim.workspace_id, name="Rows")
        stage.hit_storage("PUT", "rows.csv")
        outcome = await _outcome(rows.upload([{"a": "1"}, {"a": "2"}]))
        puts = sum(seen.method == "PUT" for seen in stage.sim.requests)
        is_stored = await rows.get_status() != DatasetStatus.UNINITIALISED
        told = "stored" if isinstance(outcome, Upload) else _name(outcome)
        if isinstance(outcome, Upload) and not is_stored:
            told += " by its word"
        elif is_stored and not isinstance(outcome, Upload):
            told += ", stored"
        return f"{told} ({puts})"


async def _wait(row: Row, position: Position, sharing: Sharing) -> str:
    last = position is Position.LAST
    seconds = _LONGER if last else SET_UP
    async with staged(row, row.fault, seconds=seconds) as stage:
        batches, waits = _WAITS[sharing]
        is_job = sharing in _JOBS
        waited: list[Batch | Upload | Export] = [
            *([await _JOBS[sharing](stage)] if is_job else await _batches(stage, batches))
        ]
        calls = [one.wait_until_ready if isinstance(one, Batch) else one.wait for one in waited]
        stage.hit({position.value})
        loop = asyncio.get_running_loop()
        began = loop.time()
        events: list[StatusEvent] = []
        outcomes = await asyncio.gather(
            *(
                _outcome(call(timeout=DEADLINE if last else _LONGER, on_event=events.append))
                for call in calls * waits
            )
        )
        _method, path = stage.requests[position.value - 1]
        assert path.rsplit("/", 2)[-2 if is_job else -1] == _POLLED.get(sharing, "status")
        late = loop.time() - began - (DEADLINE if last else 3 * GAP)
        when = "" if last and abs(late) < _TOLD else _when(late)
        told = " / ".join(sorted({_end(outcome, when, events) for outcome in outcomes}))
        if sharing is Sharing.GROUP:
            singly = any(path.endswith("/status") for _, path in stage.requests)
            return f"{told}, {'singly' if singly else 'by the list'}"
        return f"{told} ({len(stage.requests)})"


async def _batches(stage: Stage, count: int) -> list[Batch]:
    """Return batches in PROCESSING, one of them a copy that this client made."""
    source, *others = (
        stage.sim.add_batch(status="PROCESSING" if number else "READY") for number in range(count)
    )
    copy = await stage.client.batches.duplicate(source)
    await copy.setup()
    going = {copy.id, *others}
    listed = await stage.client.batches.list(stage.sim.workspace_id)
    return [batch for batch in listed if batch.id in going]


async def _import(stage: Stage) -> Upload:
    """Return an upload whose rows are being taken in."""
    datasets = stage.client.datasets
    rows = await datasets.create(stage.sim.workspace_id, name="Rows", schema=_SCHEMA)
    return await rows.upload([{"a": "1"}])


async def _export(stage: Stage) -> Export:
    """Return an export that is being made."""
    batch_id = stage.sim.add_batch(status="READY")
    return await stage.client.batches.export(batch_id)


async def _outcome(call: Awaitable[T]) -> T | ProlificError:
    try:
        return await call
    except ProlificError as error:
        return error


def _when(late: float) -> str:
    if abs(late) < _TOLD:
        return " on time"
    return f" {abs(late):.0f} s {'late' if late > 0 else 'early'}"


def _end(outcome: object, when: str, events: list[StatusEvent]) -> str:
    """Describe how a wait ended."""
    if isinstance(outcome, ProlificError):
        cause = outcome.__cause__
        return _name(outcome) + (f" from {_name(cause)}" if cause else "")
    survived = sorted({_name(event.error) for event in events if event.error})
    status = outcome.status if isinstance(outcome, Batch) else "complete"
    return status + when + "".join(f" after {name}" for name in survived)


def _name(outcome: object) -> str:
    match outcome:
        case BaseException():
            return type(outcome).__name__
        case Batch():
            return "the copy"
        case _:
            return str(outcome)


def _posts(stage: Stage) -> int:
    return sum(method == "POST" for method, _ in stage.requests)


_CALLS: dict[str, Callable[[Row, Fault], Coroutine[Any, Any, str]]] = {
    "DUPLICATE": _duplicate,
    "SETUP": _setup,
    "CREATE": _create,
    "DATASET": _dataset,
    "APPEND": _append,
    "UPLOAD": _upload,
}
"""The calls by the first word of their columns' names."""

_JOBS: dict[Sharing, Callable[[Stage], Coroutine[Any, Any, Upload | Export]]] = {
    Sharing.IMPORT: _import,
    Sharing.EXPORT: _export,
}
