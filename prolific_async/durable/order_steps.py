"""The steps of one order: find its copy or duplicate the batch, set the copy up, await READY.

Each step can be repeated, whatever point it had reached. Nothing here depends on DBOS.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from prolific_async.errors import (
    AuthenticationError,
    OutcomeUnknownError,
    ProlificError,
    WaitFailedError,
    WaitTimeoutError,
)
from prolific_async.extensions import log as _log
from prolific_async.extensions import may_poll_again, named_copy, set_up_once
from prolific_async.policies import PollPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prolific_async.batches import Batches
    from prolific_async.durable.order_spec import OrderSpec
    from prolific_async.models import Batch


def is_temporary(error: BaseException | None) -> bool:
    """Return whether an error is temporary, so that the order goes on after it.

    A refused token counts as temporary, as it is the worker's fault, not the order's.
    """
    return isinstance(error, AuthenticationError) or (
        isinstance(error, ProlificError) and may_poll_again(error)
    )


async def wait_until_ready(
    batches: Batches,
    copy_id: str,
    spec: OrderSpec,
    *,
    pauses: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
) -> Batch:
    """Return an order's copy once it is READY; outages do not end the wait before its time is over.

    Raises:
        WaitError: As in ``Batches.wait_until_ready``.

    """
    while True:
        left = spec.seconds_left()
        try:
            return await batches.wait_until_ready(copy_id, timeout=left)
        except WaitFailedError as error:
            if not is_temporary(error.failure) or left == 0:
                raise
            _log.warning("%s; it is polled again", error)
        left = spec.seconds_left()
        await asyncio.sleep(pauses.maximum if left is None else min(pauses.maximum, left))


class OrderSteps:
    """Finds or makes the one copy of an order and sets it up, also after a crash.

    The caller calls ``find_and_set_up`` and, while that returns None, ``duplicate`` in turn. It
    records each None before it calls ``duplicate``, so that it knows after a crash that a duplicate
    may have been sent. It then calls ``duplicate`` of a new instance first, which sends nothing and
    only starts ``settle_seconds``.

    Args:
        batches: The client's ``batches``.
        spec: The order.
        settle_seconds: Seconds in which a duplicate that may have been sent must show in the list,
            from when its response was lost or its sender was found dead.
        pauses: The pauses between tries, and between searches for a copy that may still appear.

    """

    def __init__(
        self,
        batches: Batches,
        spec: OrderSpec,
        *,
        settle_seconds: float,
        pauses: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self._batches = batches
        self._spec = spec
        self._copy = named_copy(batches, spec.source_id, spec.name, settle_seconds=settle_seconds)
        self._pauses = pauses
        self._next_pause = pauses.initial
        self._tries = 0
        self._failure: ProlificError | None = None
        self._copy_id: str | None = None
        self._may_be_set_up = False

    async def find_and_set_up(self) -> str | None:
        """Return the copy's id once its setup was accepted; None if a duplicate is to be sent.

        Temporary errors are logged, and the call is repeated until the order's time is over.

        Raises:
            OutcomeUnknownError: More than one batch bears the name; they are the candidates.
            WaitTimeoutError: The order's time is over; ``batch_id`` is the source's if no copy
                is known, and ``failure`` an OutcomeUnknownError if there may be one.
            ProlificError: The service refuses a request.

        """
        async with self._time_limit():
            while True:
                self._tries += 1
                try:
                    if self._copy_id is None:
                        self._copy_id = await self._copy.find()
                        self._may_be_set_up = self._copy.made is None
                    if self._copy.may_send:
                        return None
                    if self._copy_id is not None and await self._set_up(self._copy_id):
                        return self._copy_id
                except ProlificError as error:
                    self._raise_unless_temporary(error)
                await self._pause()

    async def duplicate(self) -> None:
        """Send the duplicate, unless an earlier process was about to send it.

        Raises:
            WaitTimeoutError: As ``find_and_set_up``.
            ProlificError: The service refuses the request.

        """
        if not self._copy.may_send:
            self._copy.assume_sent()
            return
        async with self._time_limit():
            try:
                if not await self._copy.send():
                    _log.warning("%s; it is searched for", self._copy.lost)
            except ProlificError as error:
                self._raise_unless_temporary(error)
                await self._pause()

    @asynccontextmanager
    async def _time_limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._spec.seconds_left()):
                await asyncio.sleep(0)  # raises if the time is over, before anything is begun
                yield
        except TimeoutError:
            elapsed = time.time() - self._spec.began
            made = self._copy.made
            batch_id = self._copy_id or (self._spec.source_id if made is None else made.id)
            failure = self._copy.lost or self._failure
            raise WaitTimeoutError(batch_id, None, elapsed, self._tries, (), failure) from failure

    def _raise_unless_temporary(self, error: ProlificError) -> None:
        if not is_temporary(error):
            raise error
        self._failure = error
        _log.warning("%r of %s: %s", self._spec.name, self._spec.source_id, error)

    async def _pause(self) -> None:
        await asyncio.sleep(self._next_pause)
        self._next_pause = self._pauses.next_gap(self._next_pause)

    async def _set_up(self, copy_id: str) -> bool:
        """Set the copy up unless its status shows a setup; False if the outcome is unknown."""
        is_new, self._may_be_set_up = not self._may_be_set_up, True
        spec = self._spec
        send = partial(
            self._batches.setup,
            copy_id,
            dataset_id=spec.dataset_id,
            tasks_per_group=spec.tasks_per_group,
        )
        try:
            await set_up_once(send, partial(self._batches.get_status, copy_id), is_new=is_new)
        except OutcomeUnknownError as error:
            _log.warning("%s; its status is polled", error)
            return False
        return True
