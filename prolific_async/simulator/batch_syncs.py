"""Starts of syncs, which build tasks for records that came after a setup."""

import uuid

from prolific_async.simulator.dataset_models import Dataset, Run
from prolific_async.simulator.models import READY, Batch, SyncJob
from prolific_async.simulator.setup_durations import Ending
from prolific_async.simulator.state import SetupRefusedError, State

__all__ = ["start_auto_syncs", "start_sync"]


def start_sync(state: State, batch: Batch, ending: Ending) -> SyncJob:
    """Start a sync of a READY batch.

    Raises:
        SetupRefusedError: The batch is not READY, or has no dataset with a schema.
    """
    if state.update(batch).status != READY:
        raise SetupRefusedError("status", f"The batch is {batch.status}, not READY.")
    if batch.dataset is None or batch.dataset.has_status:
        raise SetupRefusedError("dataset_id", "The batch has no dataset with a schema.")
    now = state.utc_now()
    job = SyncJob(
        id=str(uuid.uuid4()),
        dataset_id=batch.dataset.id,
        created_at=now,
        updated_at=now,
        run=Run(ending, started=state.now()),
    )
    batch.syncs[job.id] = job
    return job


def start_auto_syncs(state: State, dataset: Dataset, ending: Ending) -> None:
    """Start a sync of each READY batch that uses a dataset and syncs by itself."""
    for batch in state.workspaces[dataset.workspace_id].values():
        uses = batch.dataset is dataset and batch.auto_sync_enabled
        if uses and state.update(batch).status == READY:
            start_sync(state, batch, ending)
