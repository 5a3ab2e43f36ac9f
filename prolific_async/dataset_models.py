"""Models of datasets, and of the files that are uploaded to them.

Facts about the fields: https://docs.prolific.com/api-reference/ai-task-builder (get and create a
dataset). All but id and name are optional, as older responses lack them, and the two generations
have different fields.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import EllipsisType
from typing import Literal

from attrs import frozen

# For annotations: a dataset refers to its resource, and the resource to datasets.
import prolific_async
from prolific_async._bound_models import BoundJob, BoundModel
from prolific_async._json.scalars import IntOrDigits, JsonObject  # noqa: F401 - of extra
from prolific_async._sources.types import Records, SourceLike
from prolific_async.dataset_schema import V3, V4, DatasetSchema
from prolific_async.errors import ConfigurationError
from prolific_async.job_models import (
    AppendResult,
    ImportJob,
    Progress,
    SchemaMigration,
)
from prolific_async.models import StatusEvent
from prolific_async.policies import PollPolicy
from prolific_async.statuses import DatasetStatus


@frozen(hash=False, repr=False)
class Dataset(BoundModel):
    """A snapshot of one dataset: the rows that tasks are made from.

    There are two generations. V3 has no schema, takes one file, and has a ``status``. V4 was
    created with a schema, takes any number of files and records, and has ``imports``.

    It compares by value and hashes by ``id``. A dataset that a client returned is bound to it,
    which its methods use; comparing, pickling and ``to_dict`` ignore the client. The methods of a
    dataset that was built by hand or unpickled raise ConfigurationError.

    Attributes:
        id: The dataset's id, which every call takes; a UUID, as text.
        name: Its name; need not be unique.
        created_at: When it was made, in UTC.
        created_by: Id of the user who made it.
        workspace_id: The workspace that it belongs to.
        total_datapoint_count: The number of its rows.
        schema_version: 3 or 4, its generation; None if the service does not send it.
        status: Its status when this snapshot was taken; None for V4.
        filename: Name of the uploaded file (V3).
        has_predetermined_grouping_id: Whether a column groups the rows (V3).
        schema: The fields of its rows (V4), None if it has none yet.
        imports: The uploads (V4), newest first; None for V3.
        migration_job_id: The migration that a change of the schema began, None otherwise.
        extra: Unknown keys of the response, read-only.

    """

    id: str
    name: str
    created_at: datetime | None = None
    created_by: str | None = None
    workspace_id: str | None = None
    total_datapoint_count: int | None = None
    schema_version: IntOrDigits | None = None
    status: DatasetStatus | None = None
    filename: str | None = None
    has_predetermined_grouping_id: bool | None = None
    schema: DatasetSchema | None = None
    imports: tuple[ImportJob, ...] | None = None
    migration_job_id: str | None = None

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        """Show what tells datasets apart, in one line; ``to_dict`` shows all of it."""
        status = f" {self.status}" if self.status is not None else ""
        count = self.total_datapoint_count
        rows = f", {count} rows" if count is not None else ""
        return f"<Dataset {self.id} {self.name!r} V{self.generation}{status}{rows}>"

    @property
    def generation(self) -> int:
        """4 for a dataset that was created with a schema, else 3."""
        if self.schema_version is not None:
            return V3 if self.schema_version < V4 else V4
        return V3 if self.schema is None and self.imports is None else V4

    @property
    def _bound(self) -> prolific_async.datasets.Datasets:
        if self._resource is None:
            raise ConfigurationError(
                f"dataset {self.id} came from no client; call client.datasets with its id instead"
            )
        datasets: prolific_async.datasets.Datasets = self._resource
        return datasets

    async def refresh(self) -> Dataset:
        """Return this dataset as it is now: see ``Datasets.get``."""
        return await self._bound.get(self)

    async def get_status(self) -> DatasetStatus | None:
        """Return this dataset's status as it is now: see ``Datasets.get_status``."""
        return await self._bound.get_status(self)

    async def upload(
        self,
        source: SourceLike,
        *,
        filename: str | None = None,
        key: str | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Upload:
        """Upload a file or rows to this dataset: see ``Datasets.upload``."""
        return await self._bound.upload(
            self, source, filename=filename, key=key, on_progress=on_progress
        )

    async def append(
        self,
        records: Records,
        *,
        key: str | None = None,
        timeout: float | EllipsisType | None = ...,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> AppendResult:
        """Add records to this dataset: see ``Datasets.append``."""
        return await self._bound.append(
            self, records, key=key, timeout=timeout, on_progress=on_progress
        )

    async def update_schema(self, schema: DatasetSchema) -> SchemaMigration | None:
        """Change the fields of this dataset's rows: see ``Datasets.update_schema``."""
        return await self._bound.update_schema(self, schema)

    async def wait_until_ready(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Dataset:
        """Return this dataset once its rows are there: see ``Datasets.wait_until_ready``."""
        return await self._bound.wait_until_ready(
            self, timeout=timeout, poll=poll, on_event=on_event
        )


@frozen(repr=False)
class Upload(BoundJob):
    """A file that was uploaded to a dataset; the service then imports its rows.

    Attributes:
        id: The id of its import (V4) or of the dataset (V3).
        dataset_id: The dataset.
        filename: Its name.
        size: Bytes that were sent.
        rows: The number of its rows, None if that is not known; an estimate for a file that was
            sent unchanged.
        import_id: The id of its import (V4), None for V3.
        status: The status of the import (a ``JobStatus``) or of the dataset (a ``DatasetStatus``),
            as text; None if it is not known yet.
        extra: Unknown keys of the JSON that it was read from, read-only.

    """

    id: str
    dataset_id: str
    filename: str
    size: int
    rows: int | None = None
    import_id: str | None = None
    status: str | None = None

    def __repr__(self) -> str:
        """Show its id, file name and size, in one line; ``to_dict`` shows all of it."""
        rows = f", {self.rows} rows" if self.rows is not None else ""
        return f"<Upload {self.id} {self.filename!r}, {self.size} bytes{rows}>"

    async def wait(
        self,
        *,
        partial: Literal["raise", "accept"] = "raise",
        timeout: float | EllipsisType | None = ...,
        poll: PollPolicy | None = None,
        on_event: Callable[[StatusEvent], object] | None = None,
    ) -> Dataset:
        """Wait until the rows are imported, and return the dataset as it is then.

        With a schema (V4) it is this file's own import that counts, without one (V3) the status of
        the dataset, which shows UNINITIALISED for a while after an upload.

        Args:
            partial: Whether an import that took only a part of the rows raises ("raise") or returns
                the dataset all the same ("accept").
            timeout: Seconds for everything, None for no limit. By default the policy's, or a minute
                and a second for ten rows if that is longer and their number is known.
            poll: How often to poll and what to tolerate; by default the client's policy.
            on_event: A plain function that is called with every poll; what it raises is logged.

        Raises:
            PartialImportError: Some rows were rejected; ``errors`` tell which, and why.
            SchemaNeededError: The import waits until the dataset has a schema.
            JobFailedError: No row was accepted; ``reason`` tells why.
            WaitFailedError: Polling failed for good, or the client was closed.
            WaitTimeoutError: The timeout is over.

        """
        datasets: prolific_async.Datasets = self._owner("client.datasets")
        return await datasets.job_waits.upload(
            self,
            datasets,
            partial=partial,
            timeout=timeout,
            poll=poll,
            on_event=on_event,
        )
