"""Models of the rows of a report.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (get the report of a batch), and
reports that people have published.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from attrs import Factory, field, frozen

from prolific_async._json.converter import JsonModel


def _read_only(mapping: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(mapping))


def _text_of(annotation: Annotation) -> str:
    return "" if annotation.at is None else annotation.at.isoformat().replace("+00:00", "Z")


@frozen
class Annotation(JsonModel):
    """The answer of one participant to a row of a report.

    Attributes:
        slot: The number of the participant's columns, from 1. A participant who was rejected keeps
            the slot, and a replacement gets the next one.
        participant_id: The participant.
        response: The answer as text; of a choice it is the option's label, not its value. Empty if
            the participant has left the task out.
        at: When it was given, in UTC; None if that cannot be read.
        at_text: That time as it stands in the report.

    Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-report

    """

    slot: int
    participant_id: str
    response: str
    at: datetime | None = None
    at_text: str = Factory(_text_of, takes_self=True)


@frozen
class ReportRow(JsonModel):
    """A row of a report: one datapoint and one instruction, with all answers to it.

    Text is as it was uploaded: what the service escapes as HTML is undone.

    Attributes:
        datapoint_id: The datapoint, which was made from one row of the dataset.
        task_group_id: The group of its task.
        task_type: The type of the instruction, such as "free_text" or "multiple_choice".
        question: The text of the instruction.
        data: The dataset's own columns by their names, read-only, ``META_`` columns included. If
            several columns have the same name, the last one counts.
        annotations: The answers, by slot; empty slots are left out.
        key: The key that the row was uploaded with, None if it has none.

    Source: https://docs.prolific.com/api-reference/ai-task-builder/get-task-builder-batch-report

    """

    datapoint_id: str
    task_group_id: str
    task_type: str
    question: str
    data: Mapping[str, str] = field(converter=_read_only, hash=False)
    annotations: tuple[Annotation, ...]
    key: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def flat(self) -> list[dict[str, Any]]:
        """Return a mapping for each annotation, to make a DataFrame of, for example.

        Its keys are the fields of this row and of the annotation. The keys of the dataset's columns
        begin with "data.", so that a column called ``question`` does not replace the row's own.

        Example:
            ```python
            pandas.DataFrame([one async for row in report.rows() for one in row.flat()])
            ```

        """
        own = {
            "datapoint_id": self.datapoint_id,
            "task_group_id": self.task_group_id,
            "task_type": self.task_type,
            "question": self.question,
            "key": self.key,
        }
        data = {f"data.{name}": text for name, text in self.data.items()}
        return [
            {
                **own,
                "slot": one.slot,
                "participant_id": one.participant_id,
                "response": one.response,
                "at": one.at,
                "at_text": one.at_text,
                **data,
            }
            for one in self.annotations
        ]
