"""Submissions of participants, each with the answers to one task group.

Sources: "get-task-builder-batch-task-responses" under
https://docs.prolific.com/api-reference/task-builder for a response; answers are stored when a whole
group is handed in, and nobody gets a group twice.
"""

import heapq
import json
import secrets
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prolific_async.simulator.answer_values import answer_entries, answer_text, default_answer
from prolific_async.simulator.batch_json import timestamp
from prolific_async.simulator.batch_tasks import BatchTasks, Task, group_id, task_id
from prolific_async.simulator.models import READY, Batch, GivenAnswer, Submission

__all__ = ["make_submissions"]


def make_submissions(
    batch: Batch, participants: int, answer: Any, study_id: str, at: datetime
) -> list[Submission]:
    """Return the submissions of new participants, each to the group with the fewest submissions.

    Args:
        batch: The batch, updated.
        participants: Their number.
        answer: As in `AnswerContents.answer`.
        study_id: The study that they take part in.
        at: When they hand in.

    Raises:
        ValueError: The batch has no tasks.
    """
    count = batch.total_task_count
    if batch.status != READY or not count:
        raise ValueError(
            f"answer: the batch must be READY with tasks; it is {batch.status} with {count} tasks"
        )
    tasks = BatchTasks(batch)
    groups = tasks.groups()
    taken = Counter(submission.group for submission in batch.submissions)
    queue = [(taken[index], index) for index in range(len(groups))]
    heapq.heapify(queue)
    made = []
    for number in range(participants):
        before, index = queue[0]
        heapq.heapreplace(queue, (before + 1, index))
        submission = _SubmissionBuilder(batch, tasks, index, study_id, at)
        for task in groups[index]:
            submission.add(task, answer, len(batch.submissions) + number + 1)
        made.append(submission.build())
    return made


class _SubmissionBuilder:
    """Collects the answers of one participant to one task group."""

    def __init__(
        self, batch: Batch, tasks: BatchTasks, group: int, study_id: str, at: datetime
    ) -> None:
        self._batch, self._tasks = batch, tasks
        self._group, self._group_id = group, group_id(batch, group)
        self._study_id, self._at = study_id, at
        self._id, self._participant_id = secrets.token_hex(12), secrets.token_hex(12)
        self._correlation_id = str(uuid.uuid4())
        self._answers: list[GivenAnswer] = []
        self._files: list[str] = []

    def add(self, task: int, answer: Any, participant: int) -> None:
        """Add the answer to a task; `participant` numbers the participants of the batch from 1."""
        datapoint, item = self._tasks.shown_in(task)
        shown = Task(
            id=task_id(self._batch, task),
            datapoint_id=self._tasks.datapoint_id(datapoint),
            group_id=self._group_id,
            datapoint=datapoint,
            data=self._tasks.row(datapoint),
            participant_id=self._participant_id,
        )
        if answer is None:
            given = default_answer(item, participant, datapoint + 1)
        else:
            given = answer(shown, item) if callable(answer) else answer
        entries = answer_entries(item, given, f"{self._id}/{task}")
        self._files += [str(entry["file_key"]) for entry in entries if "file_key" in entry]
        self._answers.append(
            GivenAnswer(
                task=task,
                datapoint=datapoint,
                item=item,
                response=self._response(shown, item, entries) if entries else None,
                text=answer_text(item, entries),
            )
        )

    def build(self) -> Submission:
        return Submission(
            id=self._id,
            participant_id=self._participant_id,
            study_id=self._study_id,
            group=self._group,
            at=self._at,
            answers=tuple(self._answers),
            files=tuple(self._files),
        )

    def _response(
        self, task: Task, item: Mapping[str, Any], entries: list[dict[str, Any]]
    ) -> bytes:
        document = {
            "id": str(uuid.uuid4()),
            "created_at": timestamp(self._at),
            "batch_id": self._batch.id,
            "participant_id": self._participant_id,
            "task_id": task.id,
            "submission_id": self._id,
            "correlation_id": self._correlation_id,
            "response": {"instruction_id": item["id"], "type": item["type"], "answer": entries},
            "schema_version": 1,
            "no_submission": False,
        }
        # What is in `metadata` is not documented [?].
        if hidden := self._tasks.hidden(task.data):
            document["metadata"] = hidden
        return json.dumps(document, allow_nan=False).encode()
