"""Which copies this client has handed out, and which calls still have none to show.

A duplicate whose answer was lost is searched for by its name, and must never be taken for the copy of
another call. What other clients do cannot be known here, hence the advice to use unique names.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

_REMEMBERED = 3600.0  # seconds before the oldest open call began: no POST runs for that long
_FEW = 1000  # copies given out, which may be remembered for longer

_DEFAULT_SUFFIX = " (Copy)"


def default_name(source_name: str) -> str:
    """Return the name that the service gives a copy when the caller gave none.

    Source: https://beta-docs.prolific.com/api-reference/ai-task-builder/duplicate-task-builder-batch
    """
    return source_name + _DEFAULT_SUFFIX


class PendingDuplicate:
    """One call of ``duplicate``.

    Attributes:
        name: The name that its copy is to have, without space around it, which a service may
            take away; None for the default.
        began: When it began.
        copy: The id of its copy; it ends as soon as that is known.
        may_have_run: Whether there may be a copy although none is known; a call that was
            cancelled says so too.

    """

    __slots__ = ("began", "copy", "may_have_run", "name")

    def __init__(self, name: str | None, began: float) -> None:
        self.name = None if name is None else name.strip()
        self.began = began
        self.copy: str | None = None
        self.may_have_run = True


class PendingDuplicates:
    """The ledger. Times are those of the event loop."""

    def __init__(self) -> None:
        # Their first entries are asked for: a dict would go through all that were before it.
        self._open: OrderedDict[PendingDuplicate, None] = OrderedDict()
        self._lost: OrderedDict[PendingDuplicate, float] = OrderedDict()
        self._given: OrderedDict[str, float] = OrderedDict()
        self._names: Counter[str | None] = Counter()  # of those that are open or lost

    def open(self, name: str | None, now: float) -> PendingDuplicate:
        """Note that a call begins; it must be closed."""
        pending = PendingDuplicate(name, now)
        self._open[pending] = None
        self._names[pending.name] += 1
        if self._lost or len(self._given) > _FEW:
            horizon = next(iter(self._open)).began - _REMEMBERED
            _forget(self._given, horizon)
            for lost in _forget(self._lost, horizon):
                self._drop_name(lost)
        return pending

    def close(self, pending: PendingDuplicate, now: float) -> None:
        """Note that a call ended, and remember its copy, or that one may be about."""
        del self._open[pending]
        if pending.copy is None and pending.may_have_run:
            self._lost[pending] = now
            return
        self._drop_name(pending)
        if pending.copy is not None:
            self._given[pending.copy] = now

    def given_at(self, batch_id: str) -> float | None:
        """Return when a batch was given out as a copy, None if it was not, or long ago."""
        return self._given.get(batch_id)

    def is_taken(self, batch_id: str) -> bool:
        """Tell whether a batch was given out as a call's copy, and not long ago."""
        return batch_id in self._given

    def is_alone(self, pending: PendingDuplicate) -> bool:
        """Tell whether a new copy with the pending's name can be no other call's of this client.

        It never is so with the default name, which anybody's copy bears.
        """
        if pending.name is None or self._names[pending.name] > 1:
            return False
        return not (pending.name.endswith(_DEFAULT_SUFFIX) and self._names[None])

    def _drop_name(self, pending: PendingDuplicate) -> None:
        self._names[pending.name] -= 1
        if not self._names[pending.name]:
            del self._names[pending.name]


def _forget(entries: OrderedDict[Any, float], horizon: float) -> list[Any]:
    """Drop what lies before the horizon from the front, where the oldest entries are."""
    forgotten = []
    while entries and next(iter(entries.values())) < horizon:
        forgotten.append(entries.popitem(last=False)[0])
    return forgotten
