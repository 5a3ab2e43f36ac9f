"""What a test may do behind the service's back: fill it, poll inside, change it."""

import functools
import json
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from prolific_async.simulator.numbers import whole
from prolific_async.simulator.records import READY, UNINITIALISED, Batch, BatchSnapshot, Dataset
from prolific_async.simulator.state import State

__all__ = ["TASK_DETAILS", "Backstage"]

TASK_DETAILS: Mapping[str, str] = MappingProxyType(
    {
        "task_name": "Rate the answers",
        "task_introduction": "<p>You will see answers of an assistant.</p>",
        "task_steps": "<ol><li>Read the answer.</li><li>Rate it.</li></ol>",
    }
)


_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def _alone(
    method: Callable[Concatenate["Backstage", _Args], _Result],
) -> Callable[Concatenate["Backstage", _Args], _Result]:
    """Let neither a request nor another thread come between."""

    @functools.wraps(method)
    def alone(self: "Backstage", /, *args: _Args.args, **options: _Args.kwargs) -> _Result:
        with self._state.lock:
            return method(self, *args, **options)

    return alone


class _Batches(Mapping[str, BatchSnapshot]):
    """The batches by id, each copied when it is asked for: polling one up costs one."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getitem__(self, batch_id: str) -> BatchSnapshot:
        with self._state.lock:
            return self._state.settle(self._state.batches[batch_id]).snapshot()

    def __iter__(self) -> Iterator[str]:
        with self._state.lock:
            return iter(tuple(self._state.batches))

    def __len__(self) -> int:
        return len(self._state.batches)


class Backstage:
    """Fills, shows and changes what the simulated service holds. None of it is a request.

    All of it may be called from any thread.
    """

    def __init__(self, state: State, workspace_id: str | None = None) -> None:
        self._state = state
        self._user_id = secrets.token_hex(12)
        self.workspace_id = state.add_workspace(workspace_id)
        """A workspace that is there from the start, and the default of what is added."""

    @property
    def batches(self) -> Mapping[str, BatchSnapshot]:
        """The batches by id, oldest first, as they stand now. Reading them is no poll."""
        return _Batches(self._state)

    @_alone
    def add_workspace(self, workspace_id: str | None = None) -> str:
        """Add an empty workspace; returns its id.

        Args:
            workspace_id: Any id that is not empty; made up if left out.

        Raises:
            ValueError: The id is empty or in use.
        """
        return self._state.add_workspace(workspace_id)

    @_alone
    def add_dataset(
        self,
        *,
        datapoints: int = 200,
        status: str = READY,
        filename: str = "datapoints.csv",
        workspace_id: str | None = None,
    ) -> str:
        """Add a dataset that no batch refers to yet.

        Args:
            datapoints: How many it holds, 0 or more.
            status: UNINITIALISED, PROCESSING, READY or ERROR; only READY can be set up.
            filename: Shown by get and list.
            workspace_id: Where to put it; the default workspace if left out.

        Returns:
            Its id, a UUID string.

        Raises:
            KeyError: There is no such workspace.
            ValueError: `datapoints` is no whole number from 0 on.
        """
        return self._add_dataset(workspace_id, datapoints, status, filename).id

    @_alone
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
            datapoints: How many its own dataset holds; None for a batch without a dataset.
            instructions: Per datapoint. Datapoints times instructions are the tasks of the set-up.
            status: Any. PROCESSING ends as a set-up does; None is shown as null.
            tasks_per_group: Of the set-up that it has had; none if left out.
            dataset_id: Share this dataset instead of having one of its own.
            dataset_status: Of its own dataset; only READY can be set up.
            workspace_id: Where to put it; the default workspace if left out.
            batch_id: Any id that is not empty; a new UUID if left out.
            created_at: Aware; now if left out.
            task_details: As the service shows them; None is shown as null.
            batch_items: The layout, as heavy as you like; None as on batches of old.
            auto_sync_enabled: Shown by get and list.
            **extra: Further keys for get and list, which win over the computed ones. Copies don't
                inherit them.

        Returns:
            The batch's id.

        Raises:
            KeyError: There is no such workspace or dataset.
            ValueError: The id is empty or in use, a count is no whole number from 0 on (in a group
                from 1), a time has no zone.
            TypeError: Something cannot be sent as JSON.
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
            created_by=self._user_id,
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

    @_alone
    def fail(self, batch_id: str) -> None:
        """Let this batch's set-up end in ERROR: the one that is running, and all later ones.

        A set-up that has ended already keeps its end.

        Raises:
            KeyError: There is no such batch.
        """
        self._batch(batch_id).fails = True

    @_alone
    def set_status(self, batch_id: str, status: str | None) -> None:
        """Show this status from now on, until a set-up is accepted. Ends a running set-up.

        Args:
            batch_id: The batch.
            status: Any, one that the service has never sent too; None is shown as null.

        Raises:
            KeyError: There is no such batch.
        """
        batch = self._batch(batch_id)
        batch.status, batch.run = status, None

    @_alone
    def set_dataset_status(self, dataset_id: str, status: str) -> None:
        """Change a dataset, for every batch that shares it. Raises KeyError if there is none."""
        self._dataset(dataset_id).status = status

    @_alone
    def remove(self, batch_id: str) -> None:
        """Delete a batch: it is 404 from now on. Raises KeyError when there is none."""
        self._state.remove(self._batch(batch_id))

    def _batch(self, batch_id: str) -> Batch:
        if batch_id not in self._state.batches:
            raise KeyError(f"there is no batch {batch_id!r}")
        return self._state.settle(self._state.batches[batch_id])

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
    """Copy a value by way of JSON, so that what cannot be sent fails here, in the test."""
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value))
