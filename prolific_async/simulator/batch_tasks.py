"""The tasks of a batch: their ids, the datapoints that they show, and the groups that they form."""

import functools
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from prolific_async.simulator.layout_rules import instruction_items
from prolific_async.simulator.models import Batch, BuiltDatapoints
from prolific_async.simulator.row_import import GROUP_COLUMN, group_field

__all__ = ["BatchTasks", "Task", "group_id", "task_id"]


@attrs.frozen(kw_only=True)
class Task:
    """A task that a participant answers: one datapoint with one instruction.

    Args:
        id: Its id, as the service lists it.
        datapoint_id: Id of the datapoint in reports and exports.
        group_id: Id of its task group.
        datapoint: Number of the datapoint in its dataset, from 0.
        data: The row that was uploaded or appended: the columns of a CSV as text, the fields of a
            record as JSON has them. Datapoints that a test has added without rows get made-up ones.
        participant_id: The participant who answers.
    """

    id: str
    datapoint_id: str
    group_id: str
    datapoint: int
    data: Mapping[str, Any] = attrs.field(repr=False)
    participant_id: str


def task_id(batch: Batch, index: int) -> str:
    """Return the id of a task, by its number."""
    return _id(f"{batch.id} task", index)


def group_id(batch: Batch, index: int) -> str:
    """Return the id of a task group, by its number."""
    return _id(f"{batch.id} group", index)


class BatchTasks:
    """The tasks of a READY batch, as its last setup or sync has built them.

    The tasks are numbered: those of the first datapoint, one for each instruction, then those of
    the second one.

    Args:
        batch: A batch with a dataset.

    Attributes:
        instructions: The items that ask the participant for something, each with an id.
    """

    def __init__(self, batch: Batch) -> None:
        assert batch.dataset is not None  # noqa: S101 - a batch without one is never READY
        self._batch, self._dataset = batch, batch.dataset
        self._built = batch.built or BuiltDatapoints.of(batch.dataset)
        self.instructions = _instructions(batch)

    def shown_in(self, task: int) -> tuple[int, Mapping[str, Any]]:
        """Return the number of the datapoint that a task shows, and the item to answer."""
        datapoint, instruction = divmod(task, len(self.instructions))
        return datapoint, self.instructions[instruction]

    def datapoint_id(self, datapoint: int) -> str:
        """Return the id of a datapoint, by its number."""
        return _id(f"{self._dataset.id} datapoint", datapoint)

    def row(self, datapoint: int) -> dict[str, Any]:
        """Return the row of a datapoint, made up where none was uploaded."""
        stored, rows = datapoint - self._built.without_row, self._built.records
        if rows is not None and 0 <= stored < len(rows):
            return rows[stored]
        keys = self._dataset.schema["fields"] if self._dataset.schema else ("prompt",)
        return {key: f"{key} {datapoint + 1}" for key in keys}

    def hidden(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a row that participants do not see."""
        if self._dataset.schema is None:
            return {key: value for key, value in data.items() if key.startswith("META_")}
        fields = self._dataset.schema["fields"]
        return {
            key: data[key] for key in fields if fields[key]["type"] == "metadata" and key in data
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """The dataset's own columns, in the order of the file or of the schema."""
        if self._dataset.schema is not None:
            return tuple(self._dataset.schema["fields"])
        stored = self._built.records
        return tuple(stored.columns if stored else self.row(0) if self._built.datapoints else ())

    def groups(self) -> list[Sequence[int]]:
        """Return the numbers of the tasks of each group."""
        count = self._built.datapoints * len(self.instructions)
        if self._built.groups is None:
            size = self._batch.tasks_per_group or 1
            return [range(start, min(start + size, count)) for start in range(0, count, size)]
        schema = self._dataset.schema
        grouping = GROUP_COLUMN if schema is None else group_field(schema)
        numbers = {name: index for index, name in enumerate(self._built.groups)}
        groups: list[list[int]] = [[] for _ in numbers]
        for datapoint in range(self._built.datapoints):
            # A row without a group joins the first one [?].
            name = str(self.row(datapoint).get(grouping or ""))
            first = datapoint * len(self.instructions)
            groups[numbers.get(name, 0)] += range(first, first + len(self.instructions))
        return list(groups)


def _instructions(batch: Batch) -> list[Mapping[str, Any]]:
    """Return as many instructions as the batch has, made up where the layout has fewer."""
    items = instruction_items(batch.batch_items)[: batch.instructions]
    missing = range(len(items), batch.instructions)
    items += [{"type": "free_text", "description": f"Question {index + 1}"} for index in missing]
    return [
        MappingProxyType({"id": _id(f"{batch.id} instruction", index), **item})
        for index, item in enumerate(items)
    ]


def _id(space: str, index: int) -> str:
    # Computed, so that they stay the same and take no memory.
    return str(uuid.uuid5(_namespace(space), str(index)))


@functools.lru_cache(maxsize=64)
def _namespace(space: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, space)
