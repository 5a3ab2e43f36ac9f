"""Groups of poll targets in the same workspace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prolific_async._polling.list_checks import ListCheck
from prolific_async._polling.targets import PollTarget, WorkspaceGroup

if TYPE_CHECKING:
    from prolific_async._polling.known_workspaces import KnownWorkspaces
    from prolific_async._polling.targets import Pollable


class Groups:
    """Puts poll targets into one group for each workspace.

    Attributes:
        by_workspace: Groups by workspace id. A target that is alone in its workspace has no group
            and is itself the value. The key None is for batches whose workspace is not known.
        ended: Groups that lost their last target since this list was emptied.
        have_checks: Whether lists are checked against single polls.

    """

    def __init__(self, workspaces: KnownWorkspaces, list_threshold: float) -> None:
        self.by_workspace: dict[str | None, Pollable] = {}
        self.ended: list[WorkspaceGroup] = []
        self.have_checks = True
        self._workspaces = workspaces
        self._list_threshold = list_threshold
        self._lagging: set[str | None] = set()  # names of groups whose lists lag

    def of(self, target: PollTarget) -> WorkspaceGroup | None:
        """Return a target's group; add the target first if it is new or its workspace changed.

        None for datasets and jobs, and for a target alone in its workspace unless
        ``list_threshold`` is 1.
        """
        if not isinstance(target.key, str):
            return None
        name = target.workspace_id or self._workspaces.of(target.key)
        if target.is_registered and name == target.workspace_id:
            return target.group
        self.remove(target)
        target.workspace_id, target.is_registered = name, True
        if name is not None:
            self._workspaces.awaited.discard(target.key)
        there = self.by_workspace.get(name)
        if there is None and self._list_threshold > 1:
            self.by_workspace[name] = target
            return None
        group = there if isinstance(there, WorkspaceGroup) else self._new(name)
        if isinstance(there, PollTarget):
            group.add(there)
        group.add(target)
        return group

    def remove(self, target: PollTarget) -> None:
        """Take a target out of its group; a group ends when its last target leaves."""
        if not target.is_registered:
            return
        target.is_registered = False
        group, target.group = target.group, None
        if group is None:
            del self.by_workspace[target.workspace_id]
            return
        del group.targets[target]
        if not group.targets:
            del self.by_workspace[group.name]
            self.ended.append(group)

    def poll_singly_for_good(self, group: WorkspaceGroup) -> None:
        """Never poll a group's list again, even if the group ends and is created anew."""
        self._lagging.add(group.name)
        group.singly_until = math.inf

    def _new(self, name: str | None) -> WorkspaceGroup:
        check = None if name is None or not self.have_checks else ListCheck()
        group = self.by_workspace[name] = WorkspaceGroup(name, self._list_threshold, check)
        if name in self._lagging:
            group.singly_until = math.inf
        return group
