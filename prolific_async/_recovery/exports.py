"""Begins exports: one whose response is lost is looked for in the list of the batch."""

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

_MOST = 10  # exports of a batch
_FULL = "a batch has at most ten exports, so delete one of batches.exports()"
_CUT = 1.0  # seconds, of which the service may cut the fraction


class ExportStarter:
    """Begins exports.

    Args:
        api: Sends the requests.
        retry: Pauses between searches, and their number.
        sleep: Waits so many seconds, or until the client is closed.
        utc_now: This machine's clock, in seconds since 1970.

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
        """Begin an export and return it, searched for if the response is lost.

        Raises:
            OutcomeUnknownError: It may have begun, and none of the batch's exports is surely it.
            DecodeError: The service has a complete one, and none of the batch's exports can be it.
            ProlificError: It was refused.

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
                    or _is_made_since(one, self._by_service(listed, began))
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
        """Add advice to a refusal if the batch has ten exports already."""
        if not isinstance(failure, APIStatusError) or isinstance(failure, NotFoundError):
            return
        listed = await self._list(batch_id)
        if listed is not None and len(listed.exports) >= _MOST:
            vars(failure)["advice"] = _FULL

    async def _find(
        self,
        batch_id: str,
        wanted: dict[str, str],
        can_be_it: Callable[[Export, Exports], bool],
    ) -> Export | None:
        """Return the newest export with a filter that can be it, as the list shows it.

        Searches again while there is none: the POST may still be running, or the list lag.
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
        """Return the exports of a batch, None if that fails."""
        try:
            return await self._api.list(batch_id)
        except ProlificError as error:
            _log.info("the exports of a batch could not be listed: %s", error)
            return None

    def _by_service(self, listed: Exports, began: float) -> float:
        """Convert a loop time to the service's clock, in whole seconds since 1970.

        This machine's clock is used if the service does not tell its own.
        """
        date = listed.time.date
        now = self._utc_now() if date is None else date
        return math.floor(now - (listed.time.at - began))


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _is_made_since(export: Export, moment: float) -> bool:
    return export.created_at is not None and export.created_at.timestamp() >= moment


def _has_filter(export: Export, wanted: dict[str, str]) -> bool:
    """Return whether an export is of the same answers."""
    told = {key: value for key, value in (export.filter or {}).items() if value is not None}
    if told.keys() != wanted.keys() or told.get("study_id") != wanted.get("study_id"):
        return False
    moments = ((export.since, wanted.get("from")), (export.until, wanted.get("to")))
    return all(
        given is None or (found is not None and _is_same(found, given)) for found, given in moments
    )


def _is_same(found: datetime, given: str) -> bool:
    return abs((found - datetime.fromisoformat(given)).total_seconds()) < _CUT
