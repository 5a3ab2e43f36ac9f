"""Exports of the answers to a batch: jobs that end, and the submissions that they hold.

Sources: "request-batch-export", "get-batch-export-status", "list-batch-export-jobs" and
"delete-batch-export" under https://docs.prolific.com/api-reference/task-builder.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from prolific_async.simulator.batch_json import timestamp
from prolific_async.simulator.export_archive import export_archive
from prolific_async.simulator.models import Batch, ExportFilter, ExportJob, Run, Submission
from prolific_async.simulator.responses import RefusedError
from prolific_async.simulator.setup_durations import Ending, has_ended
from prolific_async.simulator.state import State
from prolific_async.simulator.storage import StoredFile, Uploads

__all__ = ["Exports"]

_MAX_JOBS = 10  # of a batch, with any filter and in any state


@attrs.define(eq=False)
class Exports:
    """The exports of the batches of a state.

    Args:
        state: The state that is read and changed.
        storage: Keeps the archives.
        ending: When exports end.
    """

    state: State
    storage: Uploads
    ending: Ending

    def start(self, batch: Batch, query: Mapping[str, str]) -> ExportJob:
        """Return a new job, or the one that is generating with the same filter.

        Raises RefusedError for a filter that cannot be read, and at the cap of ten jobs.
        """
        wanted = _filter(query)
        for job in self.all(batch):
            if job.status == "generating" and job.filter == wanted:
                return job
        if len(batch.exports) >= _MAX_JOBS:
            # The service's status and text are not documented [?].
            raise RefusedError(400, f"A batch has at most {_MAX_JOBS} exports: delete one first.")
        job = ExportJob(
            id=str(uuid.uuid4()),
            filter=wanted,
            created_at=self.state.utc_now(),
            submissions=[each for each in batch.submissions if _matches(each, wanted)],
            run=Run(self.ending, started=self.state.now()),
        )
        batch.exports[job.id] = job
        return job

    def all(self, batch: Batch) -> list[ExportJob]:
        """End the jobs of a batch that are due, and return all of its jobs, oldest first."""
        for job in batch.exports.values():
            run = job.run
            if run and has_ended(
                run.ending, elapsed=self.state.now() - run.started, polls=run.polls
            ):
                job.run, job.status = None, "failed" if batch.exports_fail else "complete"
        return list(batch.exports.values())

    def poll(self, batch: Batch, *jobs: ExportJob) -> None:
        """Count a poll of jobs, and end those of the batch that are due."""
        for job in jobs:
            if job.run:
                job.run.polls += 1
        self.all(batch)

    def document(self, batch: Batch, job: ExportJob) -> dict[str, Any]:
        """Return the JSON of a job, with a new link to its archive when it is complete."""
        if job.status == "generating":
            return {"status": job.status, "export_id": job.id, **job.shown}
        if job.status != "complete" or "url" in job.shown:
            return {"status": job.status, **job.shown}
        if job.file is None:
            content = export_archive(batch, job.submissions)
            job.file = StoredFile("export.zip", "application/zip", content)
        link = self.storage.new_download(job.file)
        return {
            "status": job.status,
            "url": link.url,
            "expires_at": timestamp(link.expires_at),
            **job.shown,
        }

    def delete(self, batch: Batch, job: ExportJob) -> None:
        """Delete a job. Raises RefusedError while it is generating."""
        self.all(batch)
        if job.status == "generating":
            raise RefusedError(409, "The export is being generated.")
        del batch.exports[job.id]


def _filter(query: Mapping[str, str]) -> ExportFilter | None:
    # The service may ignore unknown filters; here that would hide a mistake.
    if unknown := query.keys() - {"study_id", "from", "to"}:
        raise RefusedError(400, {name: ["There is no such filter."] for name in sorted(unknown)})
    if not query:
        return None
    return ExportFilter(query.get("study_id"), _moment(query, "from"), _moment(query, "to"))


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
    except ValueError:
        raise RefusedError(400, {name: ["This must be a time in ISO 8601."]}) from None
    # A time without an offset is in UTC, and a date is its midnight [?].
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _matches(submission: Submission, wanted: ExportFilter | None) -> bool:
    if wanted is None:
        return True
    # Both bounds are inclusive [?].
    return (
        wanted.study_id in (None, submission.study_id)
        and (wanted.since is None or wanted.since <= submission.at)
        and (wanted.until is None or submission.at <= wanted.until)
    )
