"""Ends of syncs, computed when a batch is read."""

from collections.abc import Callable
from datetime import datetime

from prolific_async.simulator.dataset_jobs import copy_ids
from prolific_async.simulator.models import READY, Batch, Built
from prolific_async.simulator.setup_durations import has_ended

__all__ = ["end_syncs"]


def end_syncs(batch: Batch, now: float, utc_now: Callable[[], datetime]) -> None:
    """End the syncs that are due, one after the other: those of a batch are serialised."""
    for job in batch.syncs.values():
        if job.status in ("complete", "failed"):
            continue
        job.status = "processing" if job.run.polls else "queued"
        elapsed = now - job.run.started
        if not has_ended(job.run.ending, elapsed=elapsed, polls=job.run.polls):
            return
        dataset = batch.dataset
        if dataset is None or batch.status != READY:
            job.status, job.shown = "failed", {"reason": "The batch is not READY."}
            continue
        tasks, groups = batch.total_task_count, batch.total_task_groups
        was = batch.built or Built(0, None)
        batch.built = Built(dataset.datapoints, copy_ids(dataset.group_ids))
        made = batch.total_task_count - tasks
        # Without group ids an open last group is filled up first.
        keyed = batch.built.group_ids is not None
        job.status, job.updated_at = "complete", utc_now()
        job.shown = {
            "tasks_created": made,
            "datapoints_processed": dataset.datapoints - was.datapoints,
            "groups_created": batch.total_task_groups - groups,
            "groups_expanded": int(
                not keyed and made > 0 and tasks % (batch.tasks_per_group or 1) > 0
            ),
        }
