"""Datasets of both generations, their imports and migrations, as the simulator stores them."""

from collections import Counter
from datetime import datetime
from typing import Any, BinaryIO

import attrs

from prolific_async.simulator.setup_durations import Ending
from prolific_async.simulator.stored_rows import StoredRows

__all__ = ["Dataset", "DatasetSnapshot", "ImportJob", "ImportedRows", "Migration", "Run"]


@attrs.frozen(kw_only=True)
class DatasetSnapshot:
    """The state of a dataset at one moment, for asserts.

    Args:
        id: A UUID string.
        name: As the service shows it.
        workspace_id: The workspace that holds it.
        schema_version: 3, or 4 for one with a schema.
        status: UNINITIALISED, PROCESSING, READY, ERROR, or whatever a test has set; None with
            version 4, which has none.
        filename: Of the newest upload; None before.
        total_datapoint_count: Datapoints that imports and appends have added.
        imports: Id and status of each import of version 4, oldest first.
    """

    id: str
    name: str
    workspace_id: str
    schema_version: int
    status: str | None
    filename: str | None
    total_datapoint_count: int
    imports: tuple[tuple[str, str], ...]


@attrs.define
class Run:
    """Work in progress: when it ends, when it started, and how often it was polled.

    `ending` is None as long as that is not known, as the rows of a file are still being counted.
    """

    ending: Ending | None
    started: float
    polls: int = 0


@attrs.define(kw_only=True, eq=False)
class ImportedRows:
    """The rows of a parsed file or append, which are not in the dataset yet.

    `records` are the accepted ones, and `digests` identify the first of them, in their order; the
    later ones are not compared. `keys` counts records by the fields that they have, and `groups` by
    their group ids, None without a column or field of them. `failure` is the reason why the file as
    a whole is refused.
    """

    accepted: int = 0
    rejected: int = 0
    records: StoredRows = attrs.field(factory=StoredRows)
    digests: dict[bytes, None] = attrs.field(factory=dict)
    keys: Counter[frozenset[str]] = attrs.field(factory=Counter)
    groups: Counter[str] | None = None
    errors: list[dict[str, Any]] = attrs.field(factory=list)
    failure: str | None = None


@attrs.define(kw_only=True, eq=False)
class ImportJob:
    """The import of one upload. Version 3 has them too, but shows only the dataset's status."""

    id: str
    filename: str
    created_at: datetime
    updated_at: datetime
    status: str = "uninitialised"
    rows: ImportedRows | None = None
    run: Run | None = None
    parked: BinaryIO | None = None  # a file that waits for a schema
    shown: dict[str, Any] = attrs.field(factory=dict)  # keys that its end adds to the JSON


@attrs.define(kw_only=True, eq=False)
class Migration:
    """A migration of the stored records to a new schema."""

    id: str
    schema_version: int
    created_at: datetime
    updated_at: datetime
    run: Run | None
    status: str = "processing"
    shown: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True, eq=False)
class Dataset:
    """A dataset, which batches may share.

    Of version 3, with a status of its own, or of version 4, with a schema and imports.
    """

    id: str
    workspace_id: str
    datapoints: int
    filename: str | None
    status: str
    name: str = "Dataset"
    created_at: datetime | None = None
    created_by: str = ""
    version: int = 3
    schema: dict[str, Any] | None = None
    schema_number: int = 0  # versions of the schema so far
    imports: dict[str, ImportJob] = attrs.field(factory=dict)
    migrations: dict[str, Migration] = attrs.field(factory=dict)
    running: list[ImportJob | Migration] = attrs.field(factory=list)
    records: StoredRows | None = None  # rows of the last datapoints; earlier ones have none
    digests: dict[bytes, None] = attrs.field(factory=dict)
    keys: Counter[frozenset[str]] = attrs.field(factory=Counter)
    groups: Counter[str] | None = None
    import_failure: str | None = None  # the reason with which all imports fail

    def snapshot(self) -> DatasetSnapshot:
        """Return the present state as an immutable value."""
        return DatasetSnapshot(
            id=self.id,
            name=self.name,
            workspace_id=self.workspace_id,
            schema_version=self.version,
            status=self.status if self.has_status else None,
            filename=self.filename,
            total_datapoint_count=self.datapoints,
            imports=()
            if self.has_status
            else tuple((job.id, job.status) for job in self.imports.values()),
        )

    @property
    def has_status(self) -> bool:
        """Whether the dataset has a status of its own, as version 3 does."""
        return self.version == 3  # noqa: PLR2004 - the generations are numbered

    @property
    def not_ready(self) -> str | None:
        """The reason why no batch can be set up with this dataset, None if one can.

        Version 4 needs an import that is complete, or partial with accepted rows [?: one text of
        the service demands `complete`, another calls accepted rows usable]. Appending is not
        enough.
        """
        if self.has_status:
            return None if self.status == "READY" else f"The dataset is {self.status}, not READY."
        if any(
            job.status == "complete" or (job.status == "partial" and self.datapoints)
            for job in self.imports.values()
        ):
            return None
        return "The dataset has no complete import."
