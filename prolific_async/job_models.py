"""Models of the service's background jobs: imports, schema migrations and syncs of batches.

Facts about the fields: https://docs.prolific.com/api-reference/ai-task-builder (import status,
schema migration status, batch sync status).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import EllipsisType

from attrs import frozen

# For annotations: a job refers to its resource, and the resource to jobs.
import prolific_async
from prolific_async._bound_models import BoundJob
from prolific_async._json.converter import JsonModel, WireModel
from prolific_async._json.scalars import IntOrDigits, JsonObject  # noqa: F401 - of extra
from prolific_async._message_parts import brief
from prolific_async.models import StatusEvent
from prolific_async.policies import PollPolicy
from prolific_async.statuses import JobStatus


@frozen(repr=False)
class Progress(JsonModel):
    """The progress of a call, which ``on_progress`` is called with.

    Attributes:
        step: The call's work: "append", "download" or "upload".
        done: Records or bytes that are done.
        total: All records or bytes, None if their number is not known.
        unit: The unit of both: "records" or "bytes".
        elapsed: Seconds since the step began.

    """

    step: str
    done: int
    total: int | None
    unit: str
    elapsed: float

    def __repr__(self) -> str:
        """Show all of it, in one line."""
        of = "" if self.total is None else f" of {self.total}"
        return f"<Progress {self.step} {self.done}{of} {self.unit} in {self.elapsed:.1f} s>"


@frozen(repr=False)
class RejectedRow(WireModel):
    """A row that the service did not take.

    Attributes:
        record_index: Its place, counted from 0, without a CSV's header; None if it is unknown.
        field: The field that is wrong, "_raw" for a row that cannot be read, None if no single one.
        reason: Why it was rejected.

    """

    record_index: int | None = None
    field: str | None = None
    reason: str | None = None


@frozen(repr=False)
class ImportJob(WireModel):
    """The import of a file into a dataset with a schema (V4).

    Attributes:
        import_id: Its id; a UUID, as text.
        status: Its status when this was read.
        dataset_id: The dataset.
        type: How the rows came; "file_upload".
        created_at: When its upload was asked for, in UTC.
        updated_at: When it changed last, in UTC.
        filename: Name of the file.
        accepted_count: Rows that were accepted, also those that were there before; None before
            the end.
        rejected_count: Rows that were rejected, None if the import is not partial.
        errors: The rows that were rejected, perhaps fewer than ``rejected_count``; None if the
            import is not partial.
        reason: Why it failed, None if it did not.
        extra: Unknown keys of the response, read-only.

    """

    import_id: str
    status: JobStatus
    dataset_id: str | None = None
    type: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    filename: str | None = None
    accepted_count: int | None = None
    rejected_count: int | None = None
    errors: tuple[RejectedRow, ...] | None = None
    reason: str | None = None

    @property
    def id(self) -> str:
        """The import's id, under the attribute name that all jobs share."""
        return self.import_id

    def __repr__(self) -> str:
        """Show its id, status and numbers, in one line; ``to_dict`` shows all of it."""
        counts = {"accepted": self.accepted_count, "rejected": self.rejected_count}
        return _one_line(self, counts)


@frozen(repr=False)
class AppendResult(WireModel):
    """The result of an ``append``: how many records were accepted, and which were rejected.

    Attributes:
        accepted: Number of records that were accepted, including identical ones that were there
            before.
        rejected: Number of records that were rejected.
        errors: The first 10,000 rejected records, with their positions among all records of the
            call, counted from 0.
        extra: Unknown keys of the response, read-only.

    """

    accepted: int
    rejected: int
    errors: tuple[RejectedRow, ...] = ()

    def __repr__(self) -> str:
        """Show the numbers, in one line; ``errors`` can be many."""
        return f"<AppendResult {self.accepted} accepted, {self.rejected} rejected>"


@frozen(repr=False)
class UnmigratedDatapoint(WireModel):
    """A datapoint that does not fit the new schema of its dataset.

    Attributes:
        datapoint_id: Its id.
        field: The field that does not fit, None if no single one.
        reason: Why it does not fit.

    """

    datapoint_id: str | None = None
    field: str | None = None
    reason: str | None = None


@frozen(repr=False)
class SchemaMigration(BoundJob):
    """The work of fitting a dataset's datapoints to a new schema.

    Attributes:
        job_id: Its id; a UUID, as text.
        dataset_id: The dataset.
        status: Its status when this was read.
        schema_version: The version of the schema, None if that is not known.
        created_at: When it began, in UTC.
        updated_at: When it changed last, in UTC.
        reprocessed_count: Datapoints that fit; None before the end.
        failed_count: Datapoints that do not fit, None if the migration is not partial.
        errors: Some of the datapoints that do not fit, None if the migration is not partial.
        reason: Why it failed, None if it did not.
        extra: Unknown keys of the response, read-only.

    """

    job_id: str
    dataset_id: str
    status: JobStatus
    schema_version: IntOrDigits | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    reprocessed_count: int | None = None
    failed_count: int | None = None
    errors: tuple[UnmigratedDatapoint, ...] | None = None
    reason: str | None = None

    @property
    def id(self) -> str:
        """The migration's id, under the attribute name that all jobs share."""
        return self.job_id

    def __repr__(self) -> str:
        """Show its id, status and numbers, in one line; ``to_dict`` shows all of it."""
        counts = {"reprocessed": self.reprocessed_count, "failed": self.failed_count}
        return _one_line(self, counts)

    async def wait(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> SchemaMigration:
        """Wait until all datapoints fit the new schema, and return the migration as it is then.

        Args:
            timeout: Seconds for everything, None for no limit. By default the policy's, or a minute
                and a second for ten datapoints if that is longer and this client began it.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll; what it raises is logged.

        Raises:
            PartialMigrationError: Some datapoints do not fit.
            JobFailedError: The migration failed; ``reason`` tells why.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The timeout is over.

        """
        datasets: prolific_async.Datasets = self._owner("client.datasets")
        return await datasets.job_waits.migration(
            self, datasets, timeout=timeout, poll=poll, on_event=on_event
        )


@frozen(repr=False)
class BatchSync(BoundJob):
    """The building of tasks for datapoints that a batch's dataset got after its setup.

    Attributes:
        sync_id: Its id; a UUID, as text.
        batch_id: The batch.
        status: Its status when this was read.
        dataset_id: The dataset.
        created_at: When it was asked for, in UTC.
        updated_at: When it changed last, in UTC.
        tasks_created: New tasks; None before the end, as the next three.
        datapoints_processed: Datapoints that the new tasks are made from.
        groups_created: New groups of tasks.
        groups_expanded: Groups that got more tasks.
        reason: Why it failed, None if it did not.
        extra: Unknown keys of the response, read-only.

    """

    sync_id: str
    batch_id: str
    status: JobStatus
    dataset_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    tasks_created: int | None = None
    datapoints_processed: int | None = None
    groups_created: int | None = None
    groups_expanded: int | None = None
    reason: str | None = None

    @property
    def id(self) -> str:
        """The sync's id, under the attribute name that all jobs share."""
        return self.sync_id

    def __repr__(self) -> str:
        """Show its id, status and numbers, in one line; ``to_dict`` shows all of it."""
        return _one_line(self, {"tasks created": self.tasks_created})

    async def wait(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> BatchSync:
        """Wait until the tasks are built, and return the sync as it is then.

        Args:
            timeout: Seconds for everything, None for no limit; by default the policy's.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll; what it raises is logged.

        Raises:
            JobFailedError: The sync failed; ``reason`` tells why.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The timeout is over.

        """
        batches: prolific_async.Batches = self._owner("client.batches")
        return await batches.job_waits.sync(
            self, batches, timeout=timeout, poll=poll, on_event=on_event
        )


def _one_line(job: ImportJob | SchemaMigration | BatchSync, counts: dict[str, int | None]) -> str:
    known = "".join(f", {count} {what}" for what, count in counts.items() if count is not None)
    reason = f": {brief(job.reason)}" if job.reason else ""
    return f"<{type(job).__name__} {job.id} {job.status}{known}{reason}>"
