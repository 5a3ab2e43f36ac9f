"""One duplicate, and how to find its copy when the answer was lost."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import islice
from typing import TYPE_CHECKING

from prolific_async._http.responses import http_date
from prolific_async._http.retry import get_again, may_have_run, may_poll_again, pauses
from prolific_async._json.converter import load
from prolific_async._logging import log as _log
from prolific_async._recovery.copy_search import candidates_of, namesakes
from prolific_async._recovery.pending_duplicates import default_name
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Batch, BatchStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.requests import Request
    from prolific_async._http.responses import Response
    from prolific_async._recovery.copy_search import Found, Source
    from prolific_async._recovery.pending_duplicates import PendingDuplicate, PendingDuplicates
    from prolific_async.policies import RetryPolicy

_SKEW = 60.0  # seconds that the clock of batches may be behind the one of answers
_ROUNDED = 1.0  # seconds by which the time of a batch may have been rounded up


async def duplicate_once(
    request: Request,
    name: str | None,
    *,
    post: Callable[[Request], Awaitable[Response]],
    pending_duplicates: PendingDuplicates,
    retry: RetryPolicy,
    get_source: Callable[[], Awaitable[tuple[Source, Response]]],
    batches_of: Callable[[str, str, float], Awaitable[list[Found]]],
    utc_now: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Batch:
    """Send a duplicate once and return its copy, which is searched for when the answer is lost.

    Raises:
        OutcomeUnknownError: It may have run, and no batch is surely its copy.
        ProlificError: It failed and made no copy.

    """
    now = asyncio.get_running_loop().time
    pending = pending_duplicates.open(name, now())
    try:
        try:
            copy = load(Batch, (await post(request)).data, request.method, request.path)
        except ProlificError as failure:
            pending.may_have_run = may_have_run(failure)
            if not pending.may_have_run:
                raise
            candidates, odd, surely = await _search_for(
                pending, pending_duplicates, retry, get_source, batches_of, utc_now, sleep
            )
            if not surely:
                raise OutcomeUnknownError(
                    request.method, request.path, candidates, odd, failure=failure
                ) from failure
            (copy,) = candidates
            lost = type(failure).__name__
            _log.info("%s %s: %s, but found: %s", request.method, request.path, lost, copy.id)
        pending.copy = copy.id
        return copy
    finally:
        pending_duplicates.close(pending, now())


async def _search_for(
    pending: PendingDuplicate,
    pending_duplicates: PendingDuplicates,
    retry: RetryPolicy,
    get_source: Callable[[], Awaitable[tuple[Source, Response]]],
    batches_of: Callable[[str, str, float], Awaitable[list[Found]]],
    utc_now: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]],
) -> tuple[tuple[Batch, ...], tuple[str, ...], bool]:
    """Return what may be a call's copy, the ids of odd batches that may be, and whether one is.

    Polls again while there is none: the POST may still be running, or the list lag behind.
    """
    candidates: dict[str, Found] = {}
    for pause in islice(pauses(retry), retry.max_attempts):
        try:
            await sleep(pause)
            source, answer = await get_source()
            times = _Times(answer, asyncio.get_running_loop().time() - pending.began, utc_now)
            name = default_name(source.name).strip() if pending.name is None else pending.name
            batches = await batches_of(source.workspace_id, name, times.since)
            named = namesakes(batches, name, source)
        except ProlificError as failure:
            if may_poll_again(failure) and not get_again(
                failure
            ):  # else the GET itself was repeated
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
            if times.may_follow(batch) and not pending_duplicates.is_taken(batch_id)
        }
        new = {key: batch for key, batch in candidates.items() if times.follows(batch)}
        readable, odd = candidates_of(new)
        if (
            len(readable) == 1
            and not odd
            and pending_duplicates.is_alone(pending)
            and times.prove(readable[0])
        ):
            return readable, (), True
        if readable:  # an odd one may be only half written yet
            break
    return *candidates_of(candidates), False


class _Times:
    """When a call began, by the service's clock, or by ours where its answers carry no ``Date``.

    The service's tells whole seconds, as the times of batches may, and need not agree with ours.
    Ours may be wrong, so by it no batch of the name is ruled out, and one is proven to be new only
    if it is not set up and was made between the beginning of the call and now: if our clock is
    behind the service's, what was made a moment ago lies in the future.
    """

    def __init__(self, answer: Response, age: float, utc_now: Callable[[], float]) -> None:
        date = http_date(answer.headers.get("Date", ""))
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
