"""Ends of syncs, computed when a batch is read.

Source: "Syncing a batch" of docs.prolific.com.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from prolific_async.simulator.models import READY, Batch, BuiltDatapoints
from prolific_async.simulator.setup_durations import has_ended

__all__ = ["end_syncs"]


def end_syncs(batch: Batch, now: float, utc_now: Callable[[], datetime]) -> None:
    """End the syncs that are due, one after the other: those of a batch are serialised."""
    for job in batch.syncs.values():
        run = job.run
        if run is None:
            continue
        job.status = "processing" if run.polls else "queued"
        if not has_ended(run.ending, elapsed=now - run.started, polls=run.polls):
            return
        job.run, job.updated_at = None, utc_now()
        if batch.dataset is None or batch.status != READY:
            job.status, job.shown = "failed", {"reason": "The batch is not READY."}
        else:
            job.status, job.shown = "complete", _build(batch, BuiltDatapoints.of(batch.dataset))


def _build(batch: Batch, built: BuiltDatapoints) -> dict[str, Any]:
    """Make tasks of the datapoints since the last setup or sync; return the keys for the JSON."""
    tasks, groups, was = batch.total_task_count, batch.total_task_groups, batch.built
    batch.built = built
    made = batch.total_task_count - tasks
    if built.groups is not None:
        before: Mapping[str, int] = (was and was.groups) or {}
        expanded = sum(count > before.get(key, count) for key, count in built.groups.items())
    else:
        # An open last group is filled up first.
        expanded = int(made > 0 and tasks % (batch.tasks_per_group or 1) > 0)
    return {
        "tasks_created": made,
        "datapoints_processed": built.datapoints - (was.datapoints if was else 0),
        "groups_created": batch.total_task_groups - groups,
        "groups_expanded": expanded,
    }
