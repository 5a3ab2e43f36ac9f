"""Output of datasets and of rows that the service did not take."""

from collections.abc import Sequence

from prolific_async.cli.output import print_error
from prolific_async.dataset_models import Dataset
from prolific_async.job_models import ImportJob, JobStatus, RejectedRow

__all__ = ["dataset_line", "dataset_status", "print_rejected", "rejected_lines"]

_RUNNING = (JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.PENDING_SCHEMA)
_SHOWN = 20  # rejected rows; a file that does not fit its schema has as many as rows


def dataset_status(dataset: Dataset) -> str | None:
    """Return a dataset's status: of V4 that of the newest import, of those that run if one does."""
    job = _newest_import(dataset)
    return dataset.status if job is None else job.status


def dataset_line(dataset: Dataset) -> tuple[object, ...]:
    """Return the cells of a dataset's line."""
    rows = dataset.total_datapoint_count
    line = dataset.id, dataset_status(dataset) or "-", "-" if rows is None else rows
    job = _newest_import(dataset)
    if job is not None and job.reason:
        return *line, job.reason
    if job is not None and job.rejected_count:
        return *line, f"{job.rejected_count} rows were not taken"
    return line


def rejected_lines(rows: Sequence[RejectedRow], count: int | None) -> list[str]:
    """Return which rows the service did not take, the first twenty a line each."""
    lines = []
    for row in rows[:_SHOWN]:
        place = "a row" if row.record_index is None else f"row {row.record_index} (counted from 0)"
        field = "" if row.field in (None, "_raw") else f", field '{row.field}'"
        lines.append(f"not taken: {place}{field}: {row.reason or 'no reason was given'}")
    more = (len(rows) if count is None else count) - len(lines)
    return [*lines, f"not taken: {more} more"] if lines and more > 0 else lines


def print_rejected(rows: Sequence[RejectedRow], count: int | None) -> None:
    """Print to stderr which rows the service did not take."""
    for line in rejected_lines(rows, count):
        print_error(line)


def _newest_import(dataset: Dataset) -> ImportJob | None:
    # One whose file never came stays as it is for ever.
    imports = [job for job in dataset.imports or () if job.status != JobStatus.UNINITIALISED]
    running = (job for job in imports if job.status in _RUNNING)
    return next(running, imports[0] if imports else None)
