"""Duplicate of a batch, made once: when its response is lost, the copy is searched for."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import chain, islice
from typing import TYPE_CHECKING

from prolific_async._http.retry import get_again, may_have_run, may_poll_again, pauses
from prolific_async._logging import log as _log
from prolific_async._recovery.copy_search import split
from prolific_async._recovery.pending_duplicates import default_name
from prolific_async._recovery.unknown_outcome import call_of, unknown_outcome
from prolific_async.errors import ProlificError
from prolific_async.models import Batch, BatchStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.batches import BatchesAPI
    from prolific_async._recovery.copy_search import CopySearch, Found
    from prolific_async._recovery.pending_duplicates import PendingDuplicate, PendingDuplicates
    from prolific_async.policies import RetryPolicy

_SKEW = 60.0  # seconds that the clock of batches may be behind the one of responses
_ROUNDED = 1.0  # seconds by which the time of a batch may have been rounded up


class Duplicator:
    """Duplicates batches. Two calls of one client are never given the same copy.

    Args:
        api: Sends the requests.
        search: Finds copies whose response was lost.
        pending: The duplicates of this client whose copy is not known yet.
        retry: Pauses between searches, and their number.
        sleep: Waits so many seconds, or until the client is closed.
        utc_now: This machine's clock, in seconds since 1970.

    """

    def __init__(
        self,
        api: BatchesAPI,
        search: CopySearch,
        pending: PendingDuplicates,
        *,
        retry: RetryPolicy,
        sleep: Callable[[float], Awaitable[object]],
        utc_now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._search = search
        self._pending = pending
        self._retry = retry
        self._sleep = sleep
        self._utc_now = utc_now

    async def duplicate(
        self, batch_id: str, *, name: str | None = None, upload_new_dataset: bool = False
    ) -> Batch:
        """Send a duplicate and return its copy, which is searched for when the response is lost.

        Raises:
            OutcomeUnknownError: It may have run, and no batch is surely its copy.
            ProlificError: It failed and made no copy.

        """
        now = asyncio.get_running_loop().time
        pending = self._pending.open(name, now())
        try:
            try:
                copy = await self._api.duplicate(
                    batch_id, name=name, upload_new_dataset=upload_new_dataset
                )
            except ProlificError as failure:
                pending.may_have_run = may_have_run(failure)
                if not pending.may_have_run:
                    raise
                candidates, unreadable, surely = await self._find(batch_id, pending)
                if not surely:
                    raise unknown_outcome(failure, candidates, unreadable) from failure
                (copy,) = candidates
                lost = type(failure).__name__
                _log.info("%s %s: %s, but found: %s", *call_of(failure), lost, copy.id)
            pending.copy = copy.id
            return copy
        finally:
            self._pending.close(pending, now())

    async def _find(
        self, source_id: str, pending: PendingDuplicate
    ) -> tuple[tuple[Batch, ...], tuple[str, ...], bool]:
        """Return the candidates, the ids of unreadable ones, and whether the copy is certain.

        Searches again while there is no candidate: the POST may still be running, or the list lag.
        """
        candidates: dict[str, Found] = {}
        for pause in islice(chain((0.0,), pauses(self._retry)), self._retry.max_attempts):
            try:
                await self._sleep(pause)
                source, date = await self._search.source(source_id)
                age = asyncio.get_running_loop().time() - pending.began
                times = _Times(date, age, self._utc_now)
                name = pending.name
                if name is None:
                    name = default_name(source.name).strip()
                named = await self._search.named(source, name, times.since)
            except ProlificError as failure:
                # An error that a GET is repeated for was repeated by then.
                if may_poll_again(failure) and not get_again(failure):
                    continue
                break
            # A workspace's id may be no id at all, and a callback of the application can raise
            # anything: that the POST may have run must be told all the same.
            except Exception as failure:  # noqa: BLE001
                _log.error("the search for a lost copy is broken", exc_info=failure)
                break
            candidates = {
                batch_id: batch
                for batch_id, batch in named.items()
                if times.may_follow(batch) and not self._pending.is_taken(batch_id)
            }
            new = {key: batch for key, batch in candidates.items() if times.follows(batch)}
            readable, unreadable = split(new)
            only = readable[0] if len(readable) == 1 and not unreadable else None
            if only is not None and self._pending.is_alone(pending) and times.prove(only):
                return readable, (), True
            if readable:  # an unreadable one may be only half written yet
                break
        return *split(candidates), False


class _Times:
    """When a call began, by the service's clock, or by ours where its responses carry no ``Date``.

    The service's tells whole seconds, as the times of batches may, and need not agree with ours.
    Ours may be wrong, so by it no batch of the name is ruled out, and one is proven to be new only
    if it is not set up and was made between the beginning of the call and now: if our clock is
    behind the service's, what was made a moment ago lies in the future.
    """

    def __init__(self, date: float | None, age: float, utc_now: Callable[[], float]) -> None:
        self._utc_now = utc_now if date is None else None
        self._began = math.floor((utc_now() if date is None else date) - age)

    @property
    def since(self) -> float:
        """When the oldest batch that may follow was made, in seconds since 1970."""
        return -math.inf if self._utc_now is not None else self._began - _SKEW

    def may_follow(self, batch: Found) -> bool:
        """Tell whether a batch may have been made since the call began."""
        return _is_since(batch, self.since)

    def follows(self, batch: Found) -> bool:
        """Tell whether a batch was made since the call began, or its time cannot be read."""
        return _is_since(batch, self._began)

    def prove(self, batch: Batch) -> bool:
        """Tell whether a batch that follows is surely new."""
        return self._utc_now is None or (
            batch.status is BatchStatus.UNINITIALISED
            and batch.created_at.timestamp() <= self._utc_now() + _ROUNDED
        )


def _is_since(batch: Found, moment: float) -> bool:
    return batch.created_at is None or batch.created_at.timestamp() >= moment
