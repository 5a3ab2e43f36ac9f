"""Output of datasets and of rows that the service did not take."""

from collections.abc import Sequence

from prolific_async.cli.output import print_error
from prolific_async.dataset_models import Dataset
from prolific_async.extensions import dataset_status
from prolific_async.job_models import ImportJob, RejectedRow
from prolific_async.statuses import JobStatus

__all__ = ["dataset_line", "print_rejected"]

_SHOWN = 20  # rejected rows; if a file does not fit its schema, all its rows are rejected


def dataset_line(dataset: Dataset) -> tuple[object, ...]:
    """Return id, status, number of rows and any fault of the newest import, for one line."""
    rows = dataset.total_datapoint_count
    line = dataset.id, dataset_status(dataset) or "-", "-" if rows is None else rows
    job = _newest_import(dataset)
    if job is not None and job.reason:
        return *line, job.reason
    if job is not None and job.rejected_count:
        return *line, f"rejected: {job.rejected_count}"
    return line


def print_rejected(rows: Sequence[RejectedRow], count: int | None) -> None:
    """Print the rows that the service did not take to stderr, the first twenty one per line."""
    for row in rows[:_SHOWN]:
        place = "a row" if row.record_index is None else f"row {row.record_index} (counted from 0)"
        field = "" if row.field in (None, "_raw") else f", field '{row.field}'"
        print_error(f"rejected: {place}{field}: {row.reason or 'no reason was given'}")
    more = (len(rows) if count is None else count) - min(len(rows), _SHOWN)
    if more > 0:
        print_error(f"rejected: {more} more")


def _newest_import(dataset: Dataset) -> ImportJob | None:
    # An import whose file was never uploaded stays uninitialised for ever.
    uploaded = (job for job in dataset.imports or () if job.status != JobStatus.UNINITIALISED)
    return next(uploaded, None)
