"""What the simulated service holds, for tests to fill, read and change without a request."""

import functools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from prolific_async.simulator.dataset_models import ImportJob
from prolific_async.simulator.models import READY, UNINITIALISED, Batch, BatchSnapshot, Dataset
from prolific_async.simulator.numbers import whole
from prolific_async.simulator.state import State

__all__ = ["TASK_DETAILS", "Contents"]

TASK_DETAILS: Mapping[str, str] = MappingProxyType(
    {
        "task_name": "Rate the answers",
        "task_introduction": "<p>You will see answers of an assistant.</p>",
        "task_steps": "<ol><li>Read the answer.</li><li>Rate it.</li></ol>",
    }
)


_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def _locked(
    method: Callable[Concatenate["Contents", _Args], _Result],
) -> Callable[Concatenate["Contents", _Args], _Result]:
    """Hold the lock of the state during a method."""

    @functools.wraps(method)
    def locked(self: "Contents", /, *args: _Args.args, **options: _Args.kwargs) -> _Result:
        with self._state.lock:
            return method(self, *args, **options)

    return locked


class _Batches(Mapping[str, BatchSnapshot]):
    """A view of the batches by id, which copies a batch when it is read."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getitem__(self, batch_id: str) -> BatchSnapshot:
        with self._state.lock:
            return self._state.update(self._state.batches[batch_id]).snapshot()

    def __iter__(self) -> Iterator[str]:
        with self._state.lock:
            return iter(tuple(self._state.batches))

    def __len__(self) -> int:
        return len(self._state.batches)


class Contents:
    """Fills, shows and changes what the simulated service holds, without requests.

    Every method may be called from any thread.
    """

    def __init__(self, state: State, workspace_id: str | None = None) -> None:
        self._state = state
        self.workspace_id = state.add_workspace(workspace_id)
        """The workspace that exists from the start, used where none is given."""

    @property
    def batches(self) -> Mapping[str, BatchSnapshot]:
        """The batches by id, oldest first. Reading them does not count as a poll."""
        return _Batches(self._state)

    @_locked
    def add_workspace(self, workspace_id: str | None = None, *, title: str | None = None) -> str:
        """Add an empty workspace and return its id.

        Args:
            workspace_id: Any id that is not empty; random if left out.
            title: As the service shows it; "Workspace" with a number if left out.

        Raises:
            ValueError: The id is empty or in use.
        """
        return self._state.add_workspace(workspace_id, title)

    @_locked
    def add_dataset(
        self,
        *,
        datapoints: int = 200,
        status: str = READY,
        filename: str = "datapoints.csv",
        workspace_id: str | None = None,
        name: str = "Dataset",
        schema: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a dataset that no batch uses yet.

        Args:
            datapoints: Number of datapoints, 0 or more.
            status: UNINITIALISED, PROCESSING, READY or ERROR; only READY can be set up.
            filename: Shown by get and list.
            workspace_id: The default workspace if left out.
            name: As the service shows it.
            schema: Makes it one of version 4, which has no status. With datapoints, a batch can be
                set up with it, as after a complete import.

        Returns:
            Its id, a UUID string.

        Raises:
            KeyError: There is no such workspace.
            ValueError: `datapoints` is not a whole number from 0 on.
        """
        dataset = self._add_dataset(workspace_id, datapoints, status, filename)
        dataset.name = name
        if schema is not None:
            dataset.version, dataset.schema, dataset.schema_number = 4, _as_json(schema), 1
            if dataset.datapoints:
                now = self._state.utc_now()
                job = ImportJob(
                    id=str(uuid.uuid4()), filename=filename, created_at=now, updated_at=now
                )
                job.status, job.shown = "complete", {"accepted_count": dataset.datapoints}
                dataset.imports[job.id] = job
        return dataset.id

    @_locked
    def add_batch(
        self,
        /,
        name: str = "Original",
        *,
        datapoints: int | None = 200,
        instructions: int = 1,
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
            instructions: Number per datapoint. The setup makes datapoints times instructions tasks.
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
        instructions = _count("instructions", instructions)
        if tasks_per_group is not None:
            tasks_per_group = _count("tasks_per_group", tasks_per_group, least=1)
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
            task_details=_as_json(task_details),
            batch_items=_as_json(batch_items),
            auto_sync_enabled=auto_sync_enabled,
            extra=_as_json(extra),
            status=status,
            tasks_per_group=tasks_per_group,
        )
        self._state.add(batch)
        return batch.id

    @_locked
    def fail(self, batch_id: str) -> None:
        """Make the running setup of a batch, and all later ones, end in ERROR.

        A setup that has ended is not changed.

        Raises:
            KeyError: There is no such batch.
        """
        self._batch(batch_id).fails = True

    @_locked
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

    @_locked
    def set_dataset_status(self, dataset_id: str, status: str) -> None:
        """Set the status of a dataset. Raises KeyError if there is no such dataset."""
        self._dataset(dataset_id).status = status

    @_locked
    def set_import(self, /, import_id: str, status: str, **shown: Any) -> None:
        """Set the status of an import, which then lasts.

        Args:
            import_id: The import, of a dataset of version 4.
            status: Any text, also one that the service never sends.
            **shown: Further keys of its document, such as `accepted_count`, `rejected_count`,
                `errors` or `reason`, instead of those that it has.

        Raises:
            KeyError: There is no such import.
            TypeError: A value cannot be encoded as JSON.
        """
        for dataset in self._state.datasets.values():
            if import_id in dataset.imports:
                job = dataset.imports[import_id]
                job.shown, job.status, job.run = _as_json(shown), status, None
                if job in dataset.running:
                    dataset.running.remove(job)
                return
        raise KeyError(f"there is no import {import_id!r}")

    @_locked
    def fail_imports(self, dataset_id: str, reason: str | None = "The import failed.") -> None:
        """Make the running imports of a dataset, and all later ones, fail; None: no longer.

        Raises KeyError if there is no such dataset.
        """
        self._dataset(dataset_id).import_failure = reason

    @_locked
    def remove(self, batch_id: str) -> None:
        """Delete a batch, so that it is 404. Raises KeyError if there is no such batch."""
        self._state.remove(self._batch(batch_id))

    def _batch(self, batch_id: str) -> Batch:
        if batch_id not in self._state.batches:
            raise KeyError(f"there is no batch {batch_id!r}")
        return self._state.update(self._state.batches[batch_id])

    def _dataset(self, dataset_id: str) -> Dataset:
        if dataset_id not in self._state.datasets:
            raise KeyError(f"there is no dataset {dataset_id!r}")
        return self._state.datasets[dataset_id]

    def _add_dataset(
        self, workspace_id: str | None, datapoints: int, status: str, filename: str
    ) -> Dataset:
        datapoints = _count("datapoints", datapoints)
        return self._state.add_dataset(
            self.workspace_id if workspace_id is None else workspace_id,
            datapoints=datapoints,
            filename=filename,
            status=status,
        )


def _count(name: str, value: int, *, least: int = 0) -> int:
    count = whole(value)
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")
    return count


def _as_json(value: Any) -> Any:
    """Copy a value through JSON, so that what cannot be sent fails here, in the test."""
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value))
