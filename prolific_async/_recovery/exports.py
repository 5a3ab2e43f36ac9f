"""Starts exports; if the response is lost, the export is searched for among those of the batch."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING

from prolific_async._http.retry import may_have_run, pauses
from prolific_async._logging import log as _log
from prolific_async._recovery.unknown_outcome import call_of, unknown_outcome
from prolific_async.errors import APIStatusError, NotFoundError, ProlificError
from prolific_async.statuses import JobStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.exports import Exports, ExportsAPI
    from prolific_async.export_models import Export
    from prolific_async.policies import RetryPolicy

_MAX_EXPORTS = 10  # exports that a batch can have
_FULL = "a batch has at most ten exports, so delete one of batches.exports()"
_ROUNDING = 1.0  # seconds; the service may cut the fraction of a second from the filter's times


class ExportStarter:
    """Starts exports, and searches for those whose response is lost.

    Args:
        api: Sends the requests.
        retry: Number of searches, and the pauses between them.
        sleep: Sleeps for the given seconds, or until the client is closed.
        utc_now: Returns the time of this machine's clock, in seconds since 1970.

    """

    def __init__(
        self,
        api: ExportsAPI,
        *,
        retry: RetryPolicy,
        sleep: Callable[[float], Awaitable[object]],
        utc_now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._retry = retry
        self._sleep = sleep
        self._utc_now = utc_now

    async def start(self, batch_id: str, wanted: dict[str, str]) -> Export:
        """Start an export and return it; search for it if the response is lost.

        Args:
            batch_id: The batch.
            wanted: The filter, as in ``create_export``.

        Raises:
            OutcomeUnknownError: The POST may have run, and no export was found that can be the new
                one.
            DecodeError: The service returned a complete export without an id, and no complete
                export with this filter was found.
            ProlificError: The POST failed and started no export.

        """
        began = asyncio.get_running_loop().time()
        try:
            export = await self._api.create(batch_id, wanted)
        except ProlificError as failure:
            if not may_have_run(failure):
                await self._advise(failure, batch_id)
                raise
            found = await self._find(
                batch_id,
                wanted,
                lambda one, listed: (
                    one.status == JobStatus.GENERATING
                    or _is_made_since(one, self._to_service_clock(listed, began))
                ),
            )
            if found is None:
                raise unknown_outcome(failure) from failure
            _log.info(
                "%s %s: %s, but found: %s", *call_of(failure), type(failure).__name__, found.id
            )
            return found
        if export is None:
            export = await self._find(
                batch_id, wanted, lambda one, _: one.status == JobStatus.COMPLETE
            )
        if export is None:
            raise self._api.without_id(batch_id)
        return export

    async def _advise(self, failure: ProlificError, batch_id: str) -> None:
        """Add the advice to delete an export to a refusal, if the batch has ten exports already."""
        if not isinstance(failure, APIStatusError) or isinstance(failure, NotFoundError):
            return
        listed = await self._list(batch_id)
        if listed is not None and len(listed.exports) >= _MAX_EXPORTS:
            vars(failure)["advice"] = _FULL

    async def _find(
        self,
        batch_id: str,
        wanted: dict[str, str],
        can_be_it: Callable[[Export, Exports], bool],
    ) -> Export | None:
        """Return the newest export with the wanted filter for which ``can_be_it`` holds, or None.

        Searches again while there is none: the POST may still be running, or the list may lag.
        """
        for pause in islice(chain((0.0,), pauses(self._retry)), self._retry.max_attempts):
            await self._sleep(pause)
            listed = await self._list(batch_id)
            if listed is None:
                continue
            fitting = [
                one for one in listed.exports if _has_filter(one, wanted) and can_be_it(one, listed)
            ]
            if fitting:
                return max(fitting, key=lambda one: one.created_at or _LONG_AGO)
        return None

    async def _list(self, batch_id: str) -> Exports | None:
        """Return the exports of a batch, None if the request fails."""
        try:
            return await self._api.list(batch_id)
        except ProlificError as error:
            _log.info("the exports of batch %s could not be listed: %s", batch_id, error)
            return None

    def _to_service_clock(self, listed: Exports, began: float) -> float:
        """Convert a loop time to the service's clock, in whole seconds since 1970.

        Without a ``Date`` header, this machine's clock is used instead.
        """
        date = listed.time.date
        now = self._utc_now() if date is None else date
        return math.floor(now - (listed.time.at - began))


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _is_made_since(export: Export, moment: float) -> bool:
    return export.created_at is not None and export.created_at.timestamp() >= moment


def _has_filter(export: Export, wanted: dict[str, str]) -> bool:
    """Return whether an export has the wanted filter."""
    told = {key: value for key, value in (export.filter or {}).items() if value is not None}
    if told.keys() != wanted.keys() or told.get("study_id") != wanted.get("study_id"):
        return False
    moments = ((export.since, wanted.get("from")), (export.until, wanted.get("to")))
    return all(
        given is None or (found is not None and _is_same_moment(found, given))
        for found, given in moments
    )


def _is_same_moment(found: datetime, given: str) -> bool:
    return abs((found - datetime.fromisoformat(given)).total_seconds()) < _ROUNDING
