"""The ZIP of an export.

Source: "Exporting Batch Data" of docs.prolific.com for its files; the form of the records in them
is not documented [?].
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prolific_async.simulator.batch_json import batch_json, timestamp
from prolific_async.simulator.batch_tasks import BatchTasks, group_id, task_id
from prolific_async.simulator.models import Batch, GivenAnswer, Submission

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
    # The fastest level, as it delays the response to a poll.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("responses-by-submission.jsonl", b"".join(_by_submission(submissions)))
        archive.writestr("responses-by-task.jsonl", b"".join(_by_task(batch, submissions)))
        archive.writestr("batch.json", batch_json(batch))
        archive.writestr("README.md", _README)
        # A test may give several files the same key.
        for key in dict.fromkeys(key for submission in submissions for key in submission.files):
            archive.writestr(f"files/{key}", _FILE)
    return content.getvalue()


def _by_submission(submissions: Sequence[Submission]) -> Iterator[bytes]:
    for submission in submissions:
        record = {
            "submission_id": submission.id,
            "participant_id": submission.participant_id,
            "study_id": submission.study_id,
            "created_at": timestamp(submission.at),
        }
        yield _line(record, (answer.response for answer in submission.answers))


def _by_task(batch: Batch, submissions: Sequence[Submission]) -> Iterator[bytes]:
    given: dict[int, list[tuple[Submission, GivenAnswer]]] = {}
    for submission in submissions:
        for answer in submission.answers:
            if answer.response is not None:
                given.setdefault(answer.task, []).append((submission, answer))
    if not given:
        return
    tasks = BatchTasks(batch)
    for task in sorted(given):
        submission, answer = given[task][0]
        record = {
            "task_id": task_id(batch, task),
            "task_group_id": group_id(batch, submission.group),
            "datapoint_id": tasks.datapoint_id(answer.datapoint),
            "data": tasks.row(answer.datapoint),
        }
        yield _line(record, (answer.response for _, answer in given[task]))


def _line(record: dict[str, Any], responses: Iterable[bytes | None]) -> bytes:
    # Joined from responses that are encoded already, as there may be many.
    head = json.dumps(record, ensure_ascii=False).removesuffix("}")
    joined = b", ".join(filter(None, responses))
    # Half a surrogate pair has no UTF-8, so that it is escaped.
    return head.encode(errors="backslashreplace") + b', "responses": [' + joined + b"]}\n"
