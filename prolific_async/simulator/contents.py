"""The batches of the simulated service, for tests to add, read and change without a request."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from prolific_async.simulator.dataset_contents import DatasetContents
from prolific_async.simulator.layout_rules import instruction_items
from prolific_async.simulator.models import READY, UNINITIALISED, Batch, BatchSnapshot, Dataset
from prolific_async.simulator.workspace_contents import Snapshots, as_json, count, locked

__all__ = ["TASK_DETAILS", "Contents"]

TASK_DETAILS: Mapping[str, str] = MappingProxyType(
    {
        "task_name": "Rate the answers",
        "task_introduction": "<p>You will see answers of an assistant.</p>",
        "task_steps": "<ol><li>Read the answer.</li><li>Rate it.</li></ol>",
    }
)


class Contents(DatasetContents):
    """Adds, shows and changes batches, datasets and workspaces, without requests.

    Every method may be called from any thread.
    """

    @property
    def batches(self) -> Mapping[str, BatchSnapshot]:
        """The batches by id, oldest first. Reading them does not count as a poll."""
        state = self._state
        return Snapshots(state, state.batches, lambda batch: state.update(batch).snapshot())

    @locked
    def add_batch(
        self,
        /,
        name: str = "Original",
        *,
        datapoints: int | None = 200,
        instructions: int | None = None,
        status: str | None = UNINITIALISED,
        tasks_per_group: int | None = None,
        dataset_id: str | None = None,
        dataset_status: str = READY,
        workspace_id: str | None = None,
        batch_id: str | None = None,
        created_at: datetime | None = None,
        task_details: Mapping[str, Any] | None = TASK_DETAILS,
        batch_items: list[Any] | None = None,
        auto_sync_enabled: bool = False,
        **extra: Any,
    ) -> str:
        """Add a batch.

        Args:
            name: As the service shows it.
            datapoints: Number of datapoints in its own dataset; None for a batch without one.
            instructions: Number per datapoint; by default the questions of `batch_items`, or 1. The
                setup makes datapoints times instructions tasks.
            status: Any text. PROCESSING ends as after a setup; None is shown as null.
            tasks_per_group: Of an earlier setup; none if left out.
            dataset_id: An existing dataset to use instead of one of its own.
            dataset_status: Status of its own dataset; only READY can be set up.
            workspace_id: The default workspace if left out.
            batch_id: Any id that is not empty; a new UUID if left out.
            created_at: Aware; now if left out.
            task_details: Shown by all endpoints; None is shown as null.
            batch_items: The layout, of any size; None as on old batches.
            auto_sync_enabled: Shown by get and list.
            **extra: Further keys for get and list, which override the computed ones. Copies of the
                batch do not have them.

        Returns:
            The batch's id.

        Raises:
            KeyError: There is no such workspace or dataset.
            ValueError: The id is empty or in use, a count is not a whole number from 0 on
                (`tasks_per_group`: from 1), or `created_at` has no time zone.
            TypeError: A value cannot be encoded as JSON.
        """
        if batch_id == "" or "id" in extra:
            raise ValueError("add_batch: give an id that is not empty as batch_id")
        layout = as_json(batch_items)
        if instructions is None:
            instructions = len(instruction_items(layout)) or 1
        instructions = count("instructions", instructions)
        if tasks_per_group is not None:
            tasks_per_group = count("tasks_per_group", tasks_per_group, least=1)
        if created_at is not None and created_at.tzinfo is None:
            raise ValueError("add_batch: created_at needs a time zone")
        workspace_id = self.workspace_id if workspace_id is None else workspace_id
        if dataset_id is not None:
            dataset: Dataset | None = self._dataset(dataset_id)
        elif datapoints is not None:
            dataset = self._add_dataset(workspace_id, datapoints, dataset_status, "datapoints.csv")
        else:
            dataset = None
        batch = Batch(
            id=str(uuid.uuid4()) if batch_id is None else batch_id,
            name=name,
            workspace_id=workspace_id,
            created_at=(created_at or self._state.utc_now()).astimezone(UTC),
            created_by=self._state.user_id,
            dataset=dataset,
            instructions=instructions,
            task_details=as_json(task_details),
            batch_items=layout,
            auto_sync_enabled=auto_sync_enabled,
            extra=as_json(extra),
            status=status,
            tasks_per_group=tasks_per_group,
        )
        self._state.add(batch)
        return batch.id

    @locked
    def fail(self, batch_id: str) -> None:
        """Make the running setup of a batch, and all later ones, end in ERROR.

        A setup that has ended is not changed.

        Raises:
            KeyError: There is no such batch.
        """
        self._batch(batch_id).fails = True

    @locked
    def set_status(self, batch_id: str, status: str | None) -> None:
        """Set a status that lasts until the next setup. Ends a running setup.

        Args:
            batch_id: The batch.
            status: Any text, also one that the service never sends; None is shown as null.

        Raises:
            KeyError: There is no such batch.
        """
        batch = self._batch(batch_id)
        batch.status, batch.running_setup = status, None

    @locked
    def set_sync(self, sync_id: str, status: str, /, **shown: Any) -> None:
        """Set the status of a sync, which no longer changes by itself: see `set_import`."""
        for batch in self._state.batches.values():
            if sync_id in batch.syncs:
                job = batch.syncs[sync_id]
                job.shown, job.status, job.run = as_json(shown), status, None
                return
        raise KeyError(f"there is no sync {sync_id!r}")

    @locked
    def remove(self, batch_id: str) -> None:
        """Delete a batch, so that it is 404. Raises KeyError if there is no such batch."""
        self._state.remove(self._batch(batch_id))

    def _batch(self, batch_id: str) -> Batch:
        if batch_id not in self._state.batches:
            raise KeyError(f"there is no batch {batch_id!r}")
        return self._state.update(self._state.batches[batch_id])
