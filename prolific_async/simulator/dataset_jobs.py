"""Ends of imports and schema migrations, computed when a dataset is read.

Sources: "get-dataset-import-status" and "get-schema-migration-status" under
https://docs.prolific.com/api-reference/task-builder.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from prolific_async.simulator.dataset_models import Dataset, ImportedRows, ImportJob, Migration
from prolific_async.simulator.row_import import missing_field
from prolific_async.simulator.setup_durations import has_ended

__all__ = ["add_rows", "end_due"]

_MAX_ERRORS = 100


def end_due(
    dataset: Dataset,
    now: float,
    utc_now: Callable[[], datetime],
    jobs: Iterable[ImportJob | Migration] | None = None,
) -> None:
    """End the imports and migrations of a dataset that are due, by default of all that run."""
    for job in tuple(dataset.running) if jobs is None else jobs:
        run = job.run
        if run and has_ended(run.ending, elapsed=now - run.started, polls=run.polls):
            job.updated_at, job.run = utc_now(), None
            dataset.running.remove(job)
            if isinstance(job, Migration):
                _end_migration(dataset, job)
            else:
                _end_import(dataset, job)


def add_rows(dataset: Dataset, rows: ImportedRows) -> None:
    """Add accepted rows: in version 3 in place of the old ones, in version 4 those that are new."""
    if dataset.has_status:
        dataset.datapoints, dataset.groups = rows.accepted, rows.groups
        dataset.records = rows.records
        return
    if dataset.records is None:
        # Not copied: they may be many.
        dataset.records, dataset.digests = rows.records, rows.digests
        dataset.datapoints += len(rows.records)
    else:
        known = dataset.digests
        new = [index for index, digest in enumerate(rows.digests) if digest not in known]
        new += range(len(rows.digests), len(rows.records))
        dataset.records.extend(rows.records, new)
        known |= rows.digests
        dataset.datapoints += len(new)
    dataset.keys += rows.keys
    if rows.groups is not None:
        dataset.groups = Counter() if dataset.groups is None else dataset.groups
        dataset.groups.update(rows.groups)


def _end_import(dataset: Dataset, job: ImportJob) -> None:
    rows, job.rows = job.rows or ImportedRows(), None
    failure = dataset.import_failure or rows.failure
    dataset.status = "ERROR" if failure else "READY"
    if failure:
        job.status, job.shown = "failed", {"reason": failure}
        return
    add_rows(dataset, rows)
    job.status, job.shown = "complete", {"accepted_count": rows.accepted}
    if rows.rejected:
        job.status = "partial"
        job.shown |= {"rejected_count": rows.rejected, "errors": rows.errors}


def _end_migration(dataset: Dataset, job: Migration) -> None:
    schema = dataset.schema or {"strict": False, "fields": {}}
    errors = []
    for keys, count in dataset.keys.items():
        if field := missing_field(schema, keys):
            errors += [(field, "missing")] * count
    failed = min(len(errors), dataset.datapoints)
    job.status, job.shown = "complete", {"reprocessed_count": dataset.datapoints - failed}
    if failed:
        job.status = "partial"
        job.shown |= {
            "failed_count": failed,
            "errors": [
                {"datapoint_id": str(uuid.uuid4()), "field": field, "reason": reason}
                for field, reason in errors[: min(failed, _MAX_ERRORS)]
            ],
        }
