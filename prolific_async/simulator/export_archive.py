"""The ZIP of an export.

Source: "Exporting Batch Data" of docs.prolific.com for its files; the form of the records in them
is not documented [?].
"""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from prolific_async.simulator.batch_json import batch_json, timestamp
from prolific_async.simulator.batch_tasks import BatchTasks, group_id, task_id
from prolific_async.simulator.models import Batch, Submission

__all__ = ["export_archive"]

_README = """\
# Export of a batch

- `responses-by-submission.jsonl`: a line for each submission
- `responses-by-task.jsonl`: a line for each task
- `batch.json`: the batch
- `files/`: what participants uploaded, by the `file_key` of the answer
"""
_FILE = b"A file that a participant uploaded to the simulator.\n"


def export_archive(batch: Batch, submissions: Sequence[Submission]) -> bytes:
    """Return the ZIP of some submissions to a batch."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("responses-by-submission.jsonl", _lines(_by_submission(submissions)))
        archive.writestr("responses-by-task.jsonl", _lines(_by_task(batch, submissions)))
        archive.writestr("batch.json", batch_json(batch))
        archive.writestr("README.md", _README)
        # A test may give several files the same key.
        for key in dict.fromkeys(key for submission in submissions for key in submission.files):
            archive.writestr(f"files/{key}", _FILE)
    return content.getvalue()


def _lines(records: Iterator[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def _by_submission(submissions: Sequence[Submission]) -> Iterator[dict[str, Any]]:
    for submission in submissions:
        yield {
            "submission_id": submission.id,
            "participant_id": submission.participant_id,
            "study_id": submission.study_id,
            "created_at": timestamp(submission.at),
            "responses": [
                json.loads(answer.response) for answer in submission.answers if answer.response
            ],
        }


def _by_task(batch: Batch, submissions: Sequence[Submission]) -> Iterator[dict[str, Any]]:
    responses: dict[int, list[Any]] = {}
    groups: dict[int, int] = {}
    for submission in submissions:
        for answer in submission.answers:
            if answer.response is not None:
                responses.setdefault(answer.task, []).append(json.loads(answer.response))
                groups[answer.task] = submission.group
    tasks = BatchTasks(batch) if responses else None
    for task in sorted(responses):
        assert tasks is not None  # noqa: S101 - there are responses
        yield {
            "task_id": task_id(batch, task),
            "task_group_id": group_id(batch, groups[task]),
            "datapoint_id": tasks.datapoint_id(task),
            "data": tasks.data(task),
            "responses": responses[task],
        }
