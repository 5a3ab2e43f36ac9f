"""The two POSTs of one order and its wait, which can be begun again at any point.

Nothing here knows of DBOS, nor of the lives of a process but for the turns that ``OrderSteps`` takes.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prolific_async._api import requests
from prolific_async._http.retry import may_poll_again
from prolific_async._logging import log as _log
from prolific_async._recovery.copy_search import split
from prolific_async.errors import (
    AuthenticationError,
    BadRequestError,
    OutcomeUnknownError,
    ProlificError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.models import BatchStatus
from prolific_async.policies import PollPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async.batches import Batches
    from prolific_async.durable.order_spec import OrderSpec
    from prolific_async.models import Batch


def passes(error: BaseException | None) -> bool:
    """Tell whether an order survives a failure; a refused token is its worker's, not its own."""
    return isinstance(error, AuthenticationError) or (
        isinstance(error, ProlificError) and may_poll_again(error)
    )


async def wait(
    batches: Batches,
    copy_id: str,
    terms: OrderSpec,
    *,
    pauses: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
) -> Batch:
    """Return an order's copy once it is READY; an outage lasts as long as the order's time.

    Raises:
        WaitError: As in ``wait_until_ready``.

    """
    while True:
        left = terms.seconds_left()
        try:
            return await batches.wait_until_ready(copy_id, timeout=left)
        except WaitFailedError as error:
            if not passes(error.failure) or left == 0:
                raise
            _log.warning("%s; it is polled again", error)
        left = terms.seconds_left()
        await asyncio.sleep(pauses.maximum if left is None else min(pauses.maximum, left))


class OrderSteps:
    """Brings about the one copy of an order, set up; whatever was done before is found.

    ``make`` and ``duplicate`` take turns. What ``make`` returns is recorded before ``duplicate`` is
    called, so that a later life, in which it is not called but its result is read, knows that a
    duplicate may be under way.

    Args:
        batches: The client's.
        terms: What to bring about.
        settle_seconds: Seconds after which a duplicate that may be under way and does not show did not
            run, from when its answer was lost or from when its sender was found to be gone.
        pauses: The gaps between tries, and between searches for a copy that may still appear.

    """

    def __init__(
        self,
        batches: Batches,
        terms: OrderSpec,
        *,
        settle_seconds: float,
        pauses: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self._batches = batches
        self._search = batches._search  # noqa: SLF001 - of this package, and for none else
        self._prefix = batches._prefix  # noqa: SLF001 - as above
        self._terms = terms
        self._settle_seconds = settle_seconds
        self._settled_at = -math.inf
        self._pauses = pauses
        self._gap = pauses.initial
        self._tries = 0
        self._failure: ProlificError | None = None
        self._lost: OutcomeUnknownError | None = None
        self._may_send = False
        self._copy_id: str | None = None
        self._setup_may_be_sent = False

    async def make(self) -> str | None:
        """Return the copy's id once its setup was accepted, or None when there is no copy.

        Failures that pass are survived until the order's time is over.

        Raises:
            OutcomeUnknownError: More than one batch bears the name; they are the candidates.
            WaitTimeoutError: The order's time is over; ``batch_id`` is the source's when no copy
                is known, and ``failure`` an OutcomeUnknownError when there may be one.
            ProlificError: The service refuses.

        """
        async with self._within_its_time():
            while True:
                self._tries += 1
                # Asked before the poll, which must see what has settled.
                settled = self._copy_id is not None or _now() >= self._settled_at
                try:
                    if self._copy_id is None:
                        self._copy_id = await self._found()
                    if self._copy_id is None and settled:
                        self._may_send = True
                        return None
                    if self._copy_id is not None and await self._set_up(self._copy_id):
                        return self._copy_id
                except ProlificError as error:
                    self._survive(error)
                await self._pause()

    async def duplicate(self) -> None:
        """Send the duplicate, unless it was an earlier life that was about to.

        Raises:
            WaitTimeoutError: As ``make``.
            ProlificError: The service refuses.

        """
        if not self._may_send:
            self._lose(OutcomeUnknownError("POST", self._path))
            return
        self._may_send = False
        terms = self._terms
        async with self._within_its_time():
            self._lost = OutcomeUnknownError("POST", self._path)  # until it is answered
            try:
                copy = await self._batches.duplicate(terms.source_id, name=terms.name)
            except OutcomeUnknownError as error:
                _log.warning("%s; it is searched for", error)
                self._lose(error)
            except ProlificError as error:
                self._lost = None
                self._survive(error)
                await self._pause()
            else:
                self._copy_id = copy.id

    def _lose(self, error: OutcomeUnknownError) -> None:
        self._lost = error
        self._settled_at = _now() + self._settle_seconds

    @asynccontextmanager
    async def _within_its_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._terms.seconds_left()):
                await asyncio.sleep(0)  # so that nothing is begun when it is over
                yield
        except TimeoutError:
            elapsed = time.time() - self._terms.began
            batch_id = self._copy_id or self._terms.source_id
            failure = self._failure if self._copy_id else self._lost or self._failure
            raise WaitTimeoutError(batch_id, None, elapsed, self._tries, (), failure) from failure

    def _survive(self, error: ProlificError) -> None:
        if not passes(error):
            raise error
        self._failure = error
        _log.warning("%r of %s: %s", self._terms.name, self._terms.source_id, error)

    async def _pause(self) -> None:
        await asyncio.sleep(self._gap)
        self._gap = self._pauses.following(self._gap)

    async def _found(self) -> str | None:
        """Return the id of the batch that bears the name, None if there is none."""
        source, _ = await self._search.source(self._terms.source_id)
        copies = await self._search.named(source, self._terms.name)
        if len(copies) > 1:
            raise OutcomeUnknownError("POST", self._path, *split(copies))
        if not copies:
            return None
        self._setup_may_be_sent = True
        return next(iter(copies))

    @property
    def _path(self) -> str:
        return requests.duplicate_batch(self._terms.source_id, prefix=self._prefix).path

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
            _log.warning("%s; its status is polled", error)
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


def _now() -> float:
    return asyncio.get_running_loop().time()
