"""Batches and datasets as the simulator stores them, and as tests see them."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from prolific_async.simulator.dataset_models import Dataset, Run
from prolific_async.simulator.storage import StoredFile
from prolific_async.simulator.stored_rows import StoredRows
from prolific_async.simulator.uploaded_rows import task_group_count

__all__ = [
    "ERROR",
    "PROCESSING",
    "READY",
    "UNINITIALISED",
    "Batch",
    "BatchSnapshot",
    "BuiltDatapoints",
    "Dataset",
    "ExportFilter",
    "ExportJob",
    "GivenAnswer",
    "Run",
    "Submission",
    "SyncJob",
]

UNINITIALISED, PROCESSING, READY, ERROR = "UNINITIALISED", "PROCESSING", "READY", "ERROR"


@attrs.frozen(kw_only=True)
class BatchSnapshot:
    """The state of a batch at one moment, for asserts and for a `setup=` function.

    Args:
        id: A UUID string, or the id that the test chose.
        name: As the service shows it.
        status: UNINITIALISED, PROCESSING, READY, ERROR, or whatever a test has set; None is null.
        workspace_id: The workspace that holds it.
        created_at: Aware, UTC.
        dataset_id: None when no dataset is attached.
        tasks_per_group: Of the last setup that was accepted; None before.
        total_instruction_count: Instructions per datapoint.
        total_task_count: Datapoints times instructions once READY, else 0.
        total_task_groups: The tasks in groups of `tasks_per_group`, rounded up.
        source_id: The batch that it is a copy of; None for an original.
    """

    id: str
    name: str
    status: str | None
    workspace_id: str
    created_at: datetime
    dataset_id: str | None
    tasks_per_group: int | None
    total_instruction_count: int
    total_task_count: int
    total_task_groups: int
    source_id: str | None


@attrs.frozen
class BuiltDatapoints:
    """The datapoints from which a setup or sync has made tasks; `groups` counts them by group id.

    The last ones have a row in `records`; those before it, which a test has added, have none.
    """

    datapoints: int
    groups: Counter[str] | None
    records: StoredRows | None
    without_row: int

    @classmethod
    def of(cls, dataset: Dataset) -> "BuiltDatapoints":
        """Return a dataset's datapoints as a setup or sync that ends now uses them."""
        # Copied: later rows add to it.
        groups = None if dataset.groups is None else dataset.groups.copy()
        records = dataset.records
        without_row = dataset.datapoints - (len(records) if records else 0)
        return cls(dataset.datapoints, groups, records, without_row)


@attrs.define(kw_only=True, eq=False)
class SyncJob:
    """A sync of a batch. `shown` has the keys that the JSON gets when the sync has ended."""

    id: str
    dataset_id: str
    created_at: datetime
    updated_at: datetime
    run: Run | None
    status: str = "queued"
    shown: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class GivenAnswer:
    """The answer of a participant to one task.

    Args:
        task: The number of the task in its batch.
        datapoint: The number of the datapoint that the task shows.
        item: The item of the layout that it asked, which may change later.
        response: The encoded response, as the service lists it; None for a task left out.
        text: The text in the report.
    """

    task: int
    datapoint: int
    item: Mapping[str, Any]
    response: bytes | None
    text: str


@attrs.frozen(kw_only=True)
class Submission:
    """A participant's answers to one task group, and the keys of the files among them."""

    id: str
    participant_id: str
    study_id: str
    group: int
    at: datetime
    answers: tuple[GivenAnswer, ...]
    files: tuple[str, ...]


@attrs.frozen
class ExportFilter:
    """Which submissions an export holds: those of a study, of a period, or of both."""

    study_id: str | None
    since: datetime | None
    until: datetime | None


@attrs.define(kw_only=True, eq=False)
class ExportJob:
    """An export of the submissions that there were when it was started.

    `file` is its archive, which is made when a poll shows the export complete.
    """

    id: str
    filter: ExportFilter | None
    created_at: datetime
    submissions: list[Submission]
    run: Run | None
    status: str = "generating"
    file: StoredFile | None = None
    shown: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True, eq=False)
class Batch:
    """A batch in the state. `extra` holds further keys for get and list."""

    id: str
    name: str
    workspace_id: str
    created_at: datetime
    created_by: str
    dataset: Dataset | None
    instructions: int
    task_details: Any
    batch_items: Any
    auto_sync_enabled: bool
    extra: Mapping[str, Any]
    status: str | None = UNINITIALISED
    tasks_per_group: int | None = None
    source_id: str | None = None
    fails: bool = False
    running_setup: Run | None = None
    built: "BuiltDatapoints | None" = None
    syncs: dict[str, "SyncJob"] = attrs.field(factory=dict)
    submissions: list[Submission] = attrs.field(factory=list)
    report: StoredFile | None = None  # the newest one
    exports: dict[str, ExportJob] = attrs.field(factory=dict)
    exports_fail: bool = False
    # The encoded document, and the values that it depends on.
    encoded: tuple[tuple[object, ...], bytes] | None = None

    @property
    def total_task_count(self) -> int:
        """Datapoints times instructions once the setup has succeeded, 0 before."""
        if self.status != READY or self.dataset is None:
            return 0
        datapoints = self.built.datapoints if self.built else self.dataset.datapoints
        return datapoints * self.instructions

    @property
    def total_task_groups(self) -> int:
        """The number of task groups; the last group may be smaller."""
        groups = self.built.groups if self.built and self.total_task_count else None
        return task_group_count(self.total_task_count, self.tasks_per_group or 1, groups)

    def snapshot(self) -> BatchSnapshot:
        """Return the present state as an immutable value."""
        return BatchSnapshot(
            id=self.id,
            name=self.name,
            status=self.status,
            workspace_id=self.workspace_id,
            created_at=self.created_at,
            dataset_id=self.dataset.id if self.dataset else None,
            tasks_per_group=self.tasks_per_group,
            total_instruction_count=self.instructions,
            total_task_count=self.total_task_count,
            total_task_groups=self.total_task_groups,
            source_id=self.source_id,
        )
