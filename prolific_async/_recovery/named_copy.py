"""The copy of a batch that has a unique name: one search or one duplicate at a time.

The caller decides when to search again, and for how long. It may start again at any point, also
after a crash, and then finds a copy that was made before.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from prolific_async._recovery.unknown_outcome import unknown_copy, unsearched_copy
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Batch, Copies


class Duplicates(Protocol):
    """Searches for copies of a batch, and duplicates it."""

    async def find_copies(self, batch: str, /, *, name: str) -> Copies:
        """Return the batches of the source's workspace that have a name, without the source."""

    async def duplicate(self, batch: str, /, *, name: str) -> Batch:
        """Duplicate the batch and return the copy."""


class NamedCopy:
    """Finds the copy of a batch by its unique name, or sends the duplicate that makes it.

    A duplicate whose response was lost has ``settle_seconds`` to appear in the workspace's list.
    Another one may be sent only when a search that begins after that finds no copy.

    ``find`` is called after a successful ``send``, too: if two processes send at the same time, the
    later one then sees both copies. If the list does not show the copy within ``settle_seconds``,
    the list is taken to lag, and the copy is returned.

    Args:
        duplicates: Searches for the copy and sends the duplicate.
        source_id: The batch to copy.
        name: Name of the copy. A batch with this name is taken for the copy.
        path: Path of the duplicate, for errors.
        settle_seconds: Seconds after which a lost duplicate that is not in the list counts as not
            run.

    Attributes:
        may_send: Whether a duplicate may be sent now.
        made: The copy that ``send`` made, None if there is none.
        name: Name of the copy.
        path: Path of the duplicate.
        settle_seconds: As given.
        lost: The error to raise if the caller gives up now: the latest duplicate may have run, or
            it made a copy that ``find`` has not returned yet. None otherwise.

    """

    def __init__(
        self,
        duplicates: Duplicates,
        source_id: str,
        name: str,
        *,
        path: str,
        settle_seconds: float,
    ) -> None:
        self._duplicates = duplicates
        self._source_id = source_id
        self.name = name
        self.path = path
        self.settle_seconds = settle_seconds
        self._settled_at = -math.inf
        self._found = Copies()
        self.may_send = False
        self.made: Batch | None = None
        self.lost: OutcomeUnknownError | None = None

    @property
    def copy(self) -> Batch | None:
        """The copy that ``find`` found, None if there is none or it cannot be read."""
        return self._found.batches[0] if len(self._found) == len(self._found.batches) == 1 else None

    @property
    def settles_in(self) -> float:
        """Seconds until the latest duplicate has settled, 0 if it has or none was sent."""
        return max(0.0, self._settled_at - _now())

    async def find(self) -> str | None:
        """Return the id of the only batch that has the name, or None.

        After None, call ``send`` if ``may_send``, else ``find`` again later.

        Raises:
            OutcomeUnknownError: More than one batch has the name; they are the candidates.
            ProlificError: The search failed.

        """
        # Checked first, as only a search that begins after settling can rule a copy out.
        has_settled = _now() >= self._settled_at
        self.may_send = False
        found = await self._duplicates.find_copies(self._source_id, name=self.name)
        shows_made = self.made is None or self.made.id in found.ids
        self._found = found if self.made is None else _joined(self.made, found)
        if len(self._found) > 1:
            raise unknown_copy(self.path, self.name, self._found)
        if not self._found:
            self.may_send = has_settled
        elif shows_made or has_settled:
            self.lost = None
            return self._found.ids[0]
        return None

    async def send(self) -> bool:
        """Send the duplicate; return whether it surely made a copy.

        In both cases, call ``find`` next.

        Raises:
            ProlificError: The duplicate failed and made no copy.

        """
        self.may_send = False
        self.lost = OutcomeUnknownError("POST", self.path)  # kept if this is cancelled
        try:
            self.made = await self._duplicates.duplicate(self._source_id, name=self.name)
        except OutcomeUnknownError as error:
            self.lost = error
            return False
        except ProlificError:
            self.lost = None
            raise
        else:
            self.lost = unknown_copy(self.path, self.name, Copies((self.made,)))
            return True
        finally:
            self._settle()

    def assume_sent(self, until: float | None = None) -> None:
        """Assume that a duplicate may have been sent before, as by a process that has died.

        Args:
            until: The latest loop time at which it may have been sent; None for now.

        """
        self.may_send = False
        self.lost = self.lost or OutcomeUnknownError("POST", self.path)
        self._settle(until)

    def search_failed_error(self, failure: ProlificError) -> OutcomeUnknownError:
        """Return the error for a duplicate that may have run when the search for its copy fails."""
        if self.made is not None:
            return unknown_copy(self.path, self.name, Copies((self.made,)), failure)
        lost = self.lost or OutcomeUnknownError("POST", self.path)
        return unsearched_copy(lost, self.name, failure)

    def _settle(self, since: float | None = None) -> None:
        if self.lost is not None:
            self._settled_at = (_now() if since is None else since) + self.settle_seconds


def _joined(made: Batch, found: Copies) -> Copies:
    """Return the copy that was made and the batches that a search found, without repetition."""
    batches = {one.id: one for one in (made, *found.batches)}
    return Copies(tuple(batches.values()), tuple(one for one in found.unreadable if one != made.id))


def _now() -> float:
    return asyncio.get_running_loop().time()
