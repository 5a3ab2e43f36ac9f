"""One copy of a batch under a unique name, however often the attempt to make it was begun."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from prolific_async._recovery.unknown_outcome import unknown_copy
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Batch, Copies


class Duplicates(Protocol):
    """Searches for copies, and duplicates batches."""

    async def find_copies(self, batch: str, /, *, name: str) -> Copies:
        """Return the batches of the source's workspace that bear a name."""

    async def duplicate(self, batch: str, /, *, name: str) -> Batch:
        """Send a duplicate and return its copy."""


class NamedCopy:
    """Finds the copy of a batch by its unique name, or sends the duplicate that makes it.

    A duplicate whose response was lost has ``settle_seconds`` to show in the workspace's list.
    Another one may be sent when a search that begins later finds none.

    Args:
        duplicates: Searches and sends.
        source_id: The batch to copy.
        name: Name of the copy. A batch that bears it is taken for the copy.
        path: Path of the duplicate, for errors.
        settle_seconds: Seconds after which a lost duplicate that does not show did not run.

    Attributes:
        may_send: Whether a duplicate may be sent now.
        found: What the latest search found, or the copy that was sent after it.
        name: Name of the copy.
        path: Path of the duplicate.
        lost: Says that the latest duplicate may have run; None if its outcome is known.

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
        self._settle_seconds = settle_seconds
        self._settled_at = -math.inf
        self.may_send = False
        self.found = Copies()
        self.lost: OutcomeUnknownError | None = None

    @property
    def copy(self) -> Batch | None:
        """The copy that was found or sent; None if there is none, or if it cannot be read."""
        return self.found.batches[0] if len(self.found) == len(self.found.batches) == 1 else None

    @property
    def settles_in(self) -> float:
        """Seconds until what may have been sent has settled, 0 if it has."""
        return max(0.0, self._settled_at - _now())

    async def find(self) -> str | None:
        """Return the copy's id, None if no batch bears the name; then see ``may_send``.

        Raises:
            OutcomeUnknownError: More than one batch bears the name; they are the candidates.
            ProlificError: The search failed.

        """
        # Checked before the search, which must see what has settled.
        has_settled = _now() >= self._settled_at
        self.may_send = False
        self.found = copies = await self._duplicates.find_copies(self._source_id, name=self.name)
        if len(copies) > 1:
            raise unknown_copy(self.path, self.name, copies)
        if copies:
            self.lost = None
            return copies.ids[0]
        self.may_send = has_settled
        return None

    async def send(self) -> str | None:
        """Send the duplicate; return the copy's id, None if it is lost.

        Raises:
            ProlificError: It failed and made no copy.

        """
        self.may_send = False
        self.lost = OutcomeUnknownError("POST", self.path)  # until there is a response
        try:
            copy = await self._duplicates.duplicate(self._source_id, name=self.name)
        except OutcomeUnknownError as error:
            self.lost = error
            return None
        except ProlificError:
            self.lost = None
            raise
        else:
            self.lost = None
            self.found = Copies((copy,))
            return copy.id
        finally:
            self._settle()

    def may_be_sent(self, until: float | None = None) -> None:
        """Note that somebody else may have sent a duplicate, such as a dead process.

        Args:
            until: The latest that it may have been sent, in loop time; None for now.

        """
        self.may_send = False
        self.lost = OutcomeUnknownError("POST", self.path)
        self._settle(until)

    def _settle(self, since: float | None = None) -> None:
        if self.lost is not None:
            self._settled_at = (_now() if since is None else since) + self._settle_seconds


def _now() -> float:
    return asyncio.get_running_loop().time()
