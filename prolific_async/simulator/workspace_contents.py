"""Base of the simulator's contents: the state, its lock, and the workspaces."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from prolific_async.simulator.numbers import whole
from prolific_async.simulator.state import State

__all__ = ["Snapshots", "WorkspaceContents", "as_json", "count", "locked"]

_Self = TypeVar("_Self", bound="WorkspaceContents")
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")
_Stored = TypeVar("_Stored")
_Snapshot = TypeVar("_Snapshot")


def locked(
    method: Callable[Concatenate[_Self, _Args], _Result],
) -> Callable[Concatenate[_Self, _Args], _Result]:
    """Make a method hold the lock of the state while it runs."""

    @functools.wraps(method)
    def with_lock(self: _Self, /, *args: _Args.args, **options: _Args.kwargs) -> _Result:
        with self._state.lock:
            return method(self, *args, **options)

    return with_lock


class Snapshots(Mapping[str, _Snapshot]):
    """A read-only mapping of ids to snapshots of stored objects, each made when it is read.

    Args:
        state: The state, whose lock is held for each read.
        stored: The stored objects by id, oldest first.
        read: Returns the snapshot of one object.

    """

    def __init__(
        self, state: State, stored: Mapping[str, _Stored], read: Callable[[_Stored], _Snapshot]
    ) -> None:
        self._lock = state.lock
        self._stored: Mapping[str, Any] = stored
        self._read: Callable[[Any], _Snapshot] = read

    def __getitem__(self, stored_id: str) -> _Snapshot:
        with self._lock:
            return self._read(self._stored[stored_id])

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(tuple(self._stored))

    def __len__(self) -> int:
        return len(self._stored)

    def __repr__(self) -> str:
        return repr(dict(self))


class WorkspaceContents:
    """Adds workspaces."""

    def __init__(self, state: State, workspace_id: str | None = None) -> None:
        self._state = state
        self.workspace_id = state.add_workspace(workspace_id)
        """The workspace that exists from the start, used where none is given."""

    @locked
    def add_workspace(self, workspace_id: str | None = None, *, title: str | None = None) -> str:
        """Add an empty workspace and return its id.

        Args:
            workspace_id: Any id that is not empty; random if left out.
            title: As the service shows it; "Workspace" with a number if left out.

        Raises:
            ValueError: The id is empty or in use.
        """
        return self._state.add_workspace(workspace_id, title)


def count(name: str, value: int, *, least: int = 0) -> int:
    """Return a value as an `int`. Raises ValueError unless it is whole and at least `least`."""
    number = whole(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")
    return number


def as_json(value: Any) -> Any:
    """Copy a value through JSON, so that a value that cannot be sent fails here, in the test."""
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value))
