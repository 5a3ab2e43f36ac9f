"""Groups of poll targets by their workspace, as far as it is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prolific_async._polling.list_checks import ListCheck
from prolific_async._polling.targets import SHOWN, WorkspaceGroup

if TYPE_CHECKING:
    from prolific_async._polling.targets import PollTarget
    from prolific_async._polling.workspaces import Workspaces


class Groups:
    """Puts targets into groups.

    Attributes:
        by_name: All groups, by workspace id; None has the batches whose workspace is not known.
        ended: Groups that lost their last target since this was emptied.
        have_checks: Whether lists are checked against single polls.

    """

    def __init__(self, workspaces: Workspaces, few: float) -> None:
        self.by_name: dict[str | None, WorkspaceGroup] = {}
        self.ended: list[WorkspaceGroup] = []
        self.have_checks = True
        self._workspaces = workspaces
        self._few = few
        self._lagging: set[str | None] = set()  # groups whose lists lag

    def of(self, target: PollTarget) -> WorkspaceGroup:
        """Return a target's group, which changes once its workspace becomes known."""
        group = target.group
        if group is not None and group.name is not None:
            return group
        name = self._workspaces.of(target.key)
        if group is None or name is not None:
            self.remove(target)
            group = self.by_name.get(name)
            if group is None:
                check = None if name is None or not self.have_checks else ListCheck()
                group = self.by_name[name] = WorkspaceGroup(name, self._few, check)
                if name in self._lagging:
                    group.apart_until = math.inf
            group.targets[target] = None
            target.group = group
            if group.stage == SHOWN:  # it came too late for that
                group.missed = True
            if name is not None:
                self._workspaces.awaited.discard(target.key)
        return group

    def remove(self, target: PollTarget) -> None:
        """Take a target out of its group, which ends with its last target."""
        group, target.group = target.group, None
        if group is not None:
            del group.targets[target]
            if not group.targets:
                del self.by_name[group.name]
                self.ended.append(group)

    def distrust(self, group: WorkspaceGroup) -> None:
        """Never poll a group's list again, not even when it ends and begins anew."""
        self._lagging.add(group.name)
        group.apart_until = math.inf
