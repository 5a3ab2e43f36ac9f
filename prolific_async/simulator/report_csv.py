"""The report of a batch: one row for each task that has an answer, with its annotators.

Source: "get-task-builder-batch-report" under https://docs.prolific.com/api-reference/task-builder,
and reports that users have published, for the order, the quoting, the escaping and the annotators.
"""

import csv
import html
import io
import json
from collections.abc import Iterator
from typing import Any

from prolific_async.simulator.batch_json import timestamp
from prolific_async.simulator.batch_tasks import BatchTasks, group_id, task_id
from prolific_async.simulator.models import Batch, GivenAnswer, Submission

__all__ = ["report_csv"]

_FIXED = ("DataPoint_ID", "Task_Group_ID", "Task_Type", "Question")
_Slots = list[tuple[Submission, GivenAnswer]]


def report_csv(batch: Batch) -> bytes:
    """Return the report of a batch, without a line end after the last row."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(_rows(batch))
    # Half a surrogate pair, which JSON can carry, has no UTF-8.
    return text.getvalue().removesuffix("\r\n").encode(errors="replace")


def _rows(batch: Batch) -> Iterator[list[str]]:
    if batch.dataset is None:
        yield list(_FIXED)
        return
    tasks = BatchTasks(batch)
    slots = _slots(batch)
    columns = tasks.columns
    width = max(map(len, slots.values()), default=0)
    header = [*_FIXED, *map(_escape, columns)]
    for number in range(1, width + 1):
        header += [f"Annotator{number}_{what}" for what in ("ID", "Response", "Timestamp")]
    yield header
    # The service's order is neither that of the file nor that of the groups.
    for task in sorted(slots, key=lambda task: task_id(batch, task)):
        annotators = slots[task]
        answer = annotators[0][1]
        item, data = answer.item, tasks.row(answer.datapoint)
        row = [
            tasks.datapoint_id(answer.datapoint),
            group_id(batch, annotators[0][0].group),
            item["type"],
            _escape(item.get("description") or ""),
            *(_escape(data.get(column)) for column in columns),
        ]
        for slot in annotators:
            row += _annotator(*slot)
        yield row + [""] * (len(header) - len(row))


def _slots(batch: Batch) -> dict[int, _Slots]:
    """Return the annotators of each task that has an answer, in the order of their submissions."""
    slots: dict[int, _Slots] = {}
    for submission in batch.submissions:
        for answer in submission.answers:
            slots.setdefault(answer.task, []).append((submission, answer))
    return {
        task: annotators
        for task, annotators in slots.items()
        if any(answer.response is not None for _, answer in annotators)
    }


def _annotator(submission: Submission, answer: GivenAnswer) -> tuple[str, str, str]:
    # Participants who left the task out keep their slots; what stands there is not known [?].
    at = "" if answer.response is None else timestamp(submission.at)
    return submission.participant_id, _escape(answer.text), at


def _escape(value: Any) -> str:
    if value is None:
        return ""
    return html.escape(value if isinstance(value, str) else json.dumps(value))
