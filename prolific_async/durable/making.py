"""The two POSTs of one order and its wait, which can be begun again at any point.

Nothing here knows of DBOS: what is remembered between two lives of a process comes in as
``sent_at``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from attrs import frozen

from prolific_async._http import endpoints
from prolific_async._http.retry import look_again
from prolific_async.errors import (
    BadRequestError,
    OutcomeUnknownError,
    ProlificError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.models import BatchStatus
from prolific_async.policies import PollPolicy

if TYPE_CHECKING:
    from prolific_async.batches import Batches
    from prolific_async.durable.lists import Lists
    from prolific_async.models import Batch

_log = logging.getLogger("prolific_async")


@frozen
class Terms:
    """What an order is to bring about.

    Attributes:
        source_id: The batch to copy.
        name: Name of the copy, unique in its workspace.
        dataset_id: As for ``setup``.
        tasks_per_group: As for ``setup``.
        began: When it was ordered, in seconds since the epoch.
        timeout: Seconds from then on that everything may take, None for no limit.

    """

    source_id: str
    name: str
    dataset_id: str | None
    tasks_per_group: int | None
    began: float
    timeout: float | None

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, 0 when there are none, None for no limit."""
        if self.timeout is None:
            return None
        return max(0.0, self.began + self.timeout - time.time())


async def wait(batches: Batches, copy_id: str, terms: Terms) -> Batch:
    """Return an order's copy once it is READY; an outage lasts as long as the order's time.

    Raises:
        WaitError: As in ``wait_until_ready``.

    """
    while True:
        try:
            return await batches.wait_until_ready(copy_id, timeout=terms.seconds_left())
        except WaitFailedError as error:
            if not (isinstance(error.__cause__, ProlificError) and look_again(error.__cause__)):
                raise
            _log.warning("%s; it is looked at again", error)


class Making:
    """Brings about the one copy of an order, set up; whatever was done before is found.

    Args:
        batches: The client's.
        lists: Of the same client, shared with others.
        terms: What to bring about.
        sent_at: When a process that died may have sent the duplicate, in seconds since the epoch;
            None when none can have been sent.
        settling: Seconds after which a duplicate that was sent and does not show did not run.
        pauses: The gaps between tries, and between looks for a copy that may still appear.

    """

    def __init__(
        self,
        batches: Batches,
        lists: Lists,
        terms: Terms,
        *,
        sent_at: float | None,
        settling: float,
        pauses: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self._batches = batches
        self._lists = lists
        self._terms = terms
        self._sent_at = sent_at
        self._settling = settling
        self._pauses = pauses
        self._copy_id: str | None = None
        self._setup_may_be_sent = False

    async def make(self) -> str:
        """Return the copy's id once its setup was accepted.

        Failures that pass are survived until the order's time is over.

        Raises:
            OutcomeUnknownError: More than one batch bears the name; they are the candidates.
            WaitTimeoutError: The order's time is over; ``batch_id`` is the source's when no copy
                is known.
            ProlificError: The service refuses.

        """
        tries = 0
        failure: ProlificError | None = None
        try:
            async with asyncio.timeout(self._terms.seconds_left()):
                gap = self._pauses.initial
                while True:
                    tries += 1
                    try:
                        if await self._got_on():
                            break
                    except ProlificError as error:
                        if not look_again(error):
                            raise
                        failure = error
                        _log.warning("%r of %s: %s", self._terms.name, self._terms.source_id, error)
                    await asyncio.sleep(gap)
                    gap = self._pauses.following(gap)
        except TimeoutError:
            elapsed = time.time() - self._terms.began
            batch_id = self._copy_id or self._terms.source_id
            raise WaitTimeoutError(batch_id, None, elapsed, tries, ()) from failure
        assert self._copy_id is not None  # noqa: S101 - _got_on returned true
        return self._copy_id

    async def _got_on(self) -> bool:
        """Go as far as is possible now, and tell whether that is the end."""
        if self._copy_id is None:
            self._copy_id = await self._found() or await self._duplicated()
        return self._copy_id is not None and await self._set_up(self._copy_id)

    async def _found(self) -> str | None:
        """Return the id of the batch that bears the name, None if there is none."""
        terms = self._terms
        source = await self._batches.get(terms.source_id)
        copies = tuple(
            batch
            for batch in await self._lists.of(source.workspace_id)
            if batch.name == terms.name and batch.id != source.id
        )
        if len(copies) > 1:
            path = endpoints.change(terms.source_id, "duplicate").path
            raise OutcomeUnknownError("POST", path, copies)
        if not copies:
            return None
        self._setup_may_be_sent = True
        return copies[0].id

    async def _duplicated(self) -> str | None:
        """Send the duplicate unless one may be under way; return its copy's id if that is known."""
        before = self._sent_at
        if before is not None and time.time() < before + self._settling:
            return None
        self._sent_at = time.time()
        try:
            copy = await self._batches.duplicate(self._terms.source_id, name=self._terms.name)
        except OutcomeUnknownError as error:
            _log.warning("%s; it is looked for", error)
            return None
        except ProlificError:
            self._sent_at = before
            raise
        return copy.id

    async def _set_up(self, copy_id: str) -> bool:
        """Send the setup unless the status shows that one was accepted; tell whether one was."""
        if self._setup_may_be_sent and await self._is_set_up(copy_id):
            return True
        repeated, self._setup_may_be_sent = self._setup_may_be_sent, True
        terms = self._terms
        try:
            await self._batches.setup(
                copy_id, dataset_id=terms.dataset_id, tasks_per_group=terms.tasks_per_group
            )
        except OutcomeUnknownError as error:
            _log.warning("%s; its status is looked at", error)
            return False
        except BadRequestError:
            # The one before it was under way, and has been accepted meanwhile.
            if not (repeated and await self._is_set_up(copy_id)):
                raise
        return True

    async def _is_set_up(self, copy_id: str) -> bool:
        # One that ended in ERROR was accepted, too: the wait says so.
        status = await self._batches.get_status(copy_id)
        return status not in (None, BatchStatus.UNINITIALISED)
