"""Kinds of poll targets other than batches: datasets, imports, migrations, syncs and exports.

Facts about the statuses: https://docs.prolific.com/api-reference/ai-task-builder (dataset status,
import status, schema migration status, batch sync status, export status).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prolific_async._api.batch_editing import get_batch_sync
from prolific_async._api.datasets import get_dataset, get_import, get_schema_migration
from prolific_async._api.exports import get_export
from prolific_async._polling.kinds import Kind, Verdict
from prolific_async.dataset_models import Dataset
from prolific_async.dataset_schema import V3
from prolific_async.errors import (
    JobFailedError,
    NothingUploadedError,
    PartialImportError,
    PartialMigrationError,
    SchemaNeededError,
    WaitError,
)
from prolific_async.job_models import ImportJob
from prolific_async.statuses import DatasetStatus, JobStatus

if TYPE_CHECKING:
    from prolific_async._polling.kinds import ErrorArgs
    from prolific_async.models import WaitStatus

_PENDING = (JobStatus.UNINITIALISED, JobStatus.QUEUED, JobStatus.PROCESSING)
_TAKEN = (JobStatus.COMPLETE, JobStatus.PARTIAL)
_WITHOUT_ROWS = (JobStatus.UNINITIALISED, JobStatus.PENDING_SCHEMA, JobStatus.FAILED)


def status_of_dataset(dataset: Dataset) -> WaitStatus | None:
    """Return the status of a V3 dataset, or derive the status of a V4 dataset from its imports.

    The first that applies, of several imports the newest: an import that is running; an import
    that has accepted rows; COMPLETE if the dataset has datapoints; any import that is not
    uninitialised; UNINITIALISED.
    """
    if dataset.generation == V3:
        return dataset.status
    statuses = [one.status for one in dataset.imports or ()]
    for status in statuses:
        if status not in _TAKEN and status not in _WITHOUT_ROWS:
            return status
    for status in statuses:
        if status in _TAKEN:
            return status
    if dataset.total_datapoint_count:
        return JobStatus.COMPLETE
    # An upload URL that was requested and never used leaves an uninitialised import behind.
    ended = (status for status in statuses if status != JobStatus.UNINITIALISED)
    return next(ended, JobStatus.UNINITIALISED)


def _status_of_import(found: ImportJob | Dataset) -> JobStatus | None:
    return found.status if isinstance(found, ImportJob) else None


def _import_error(args: ErrorArgs, job: Any) -> WaitError:
    match args[1]:
        case JobStatus.PARTIAL:
            return PartialImportError(*args, job)
        case JobStatus.PENDING_SCHEMA:
            return SchemaNeededError(*args)
    return JobFailedError(*args, job)


def _migration_error(args: ErrorArgs, job: Any) -> WaitError:
    if args[1] == JobStatus.PARTIAL:
        return PartialMigrationError(*args, job)
    return JobFailedError(*args, job)


# Each poll reads the whole dataset, as its status depends on its generation and its imports.
DATASET = Kind(
    name="dataset",
    get_status=lambda key, prefix: get_dataset(key.id, prefix=prefix),
    status_of=status_of_dataset,
    verdict=Verdict(
        ready=(DatasetStatus.READY, *_TAKEN),
        failed=(DatasetStatus.ERROR,),
        pending=(DatasetStatus.UNINITIALISED, DatasetStatus.PROCESSING, *_PENDING, *_WITHOUT_ROWS),
        failure=lambda args, dataset: JobFailedError(*args, dataset),
        # Only statuses of V4: a V3 dataset stays UNINITIALISED for a while even after its upload.
        unstarted=_WITHOUT_ROWS,
        not_started=NothingUploadedError,
    ),
)

IMPORT = Kind(
    name="import",
    get_status=lambda key, prefix: get_import(key.parent_id, key.id, prefix=prefix),
    get=lambda key, prefix: get_dataset(key.parent_id, prefix=prefix),
    status_of=_status_of_import,
    verdict=Verdict(
        ready=(JobStatus.COMPLETE,),
        failed=(JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.PENDING_SCHEMA),
        pending=_PENDING,
        failure=_import_error,
    ),
)
PARTIAL_ACCEPTED = Verdict(
    ready=_TAKEN,
    failed=(JobStatus.FAILED, JobStatus.PENDING_SCHEMA),
    pending=_PENDING,
    failure=_import_error,
)
"""Verdict of a wait for an import that accepts PARTIAL as success."""

MIGRATION = Kind(
    name="migration",
    get_status=lambda key, prefix: get_schema_migration(key.parent_id, key.id, prefix=prefix),
    status_of=lambda migration: migration.status,
    verdict=Verdict(
        ready=(JobStatus.COMPLETE,),
        failed=(JobStatus.PARTIAL, JobStatus.FAILED),
        pending=_PENDING,
        failure=_migration_error,
    ),
)

SYNC = Kind(
    name="sync",
    get_status=lambda key, prefix: get_batch_sync(key.parent_id, key.id, prefix=prefix),
    status_of=lambda sync: sync.status,
    verdict=Verdict(
        ready=(JobStatus.COMPLETE,),
        failed=(JobStatus.FAILED,),
        pending=_PENDING,
        failure=lambda args, sync: JobFailedError(*args, sync),
    ),
)

EXPORT = Kind(
    name="export",
    get_status=lambda key, prefix: get_export(key.parent_id, key.id, prefix=prefix),
    status_of=lambda export: export.status,
    verdict=Verdict(
        ready=(JobStatus.COMPLETE,),
        failed=(JobStatus.FAILED,),
        pending=(JobStatus.GENERATING, *_PENDING),
        failure=lambda args, export: JobFailedError(*args, export),
    ),
)
