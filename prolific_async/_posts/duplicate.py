"""One duplicate, and how to find its copy when the answer was lost."""

from __future__ import annotations

import asyncio
import logging
import math
from itertools import islice
from typing import TYPE_CHECKING

from prolific_async._http.answers import http_date
from prolific_async._http.retry import get_again, look_again, may_have_run, pauses
from prolific_async._posts.claims import default_name
from prolific_async._wire.converter import load
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._http.answers import Answer
    from prolific_async._http.endpoints import Request
    from prolific_async._posts.claims import Claim, Claims
    from prolific_async.policies import RetryPolicy

_SKEW = 60.0  # seconds that the clock of batches may be behind the one of answers

_log = logging.getLogger("prolific_async")


async def duplicate_once(
    request: Request,
    name: str | None,
    *,
    post: Callable[[Request], Awaitable[Answer]],
    claims: Claims,
    retry: RetryPolicy,
    get_source: Callable[[], Awaitable[tuple[Batch, Answer]]],
    list_batches: Callable[[str], Awaitable[list[Batch]]],
) -> Batch:
    """Send a duplicate once and return its copy, which is looked for when the answer is lost.

    Raises:
        OutcomeUnknownError: It may have run, and no batch is surely its copy.
        ProlificError: It failed and made no copy.

    """
    now = asyncio.get_running_loop().time
    claim = claims.open(name, now())
    try:
        try:
            copy = load(Batch, (await post(request)).data, request.method, request.path)
        except ProlificError as failure:
            claim.may_have_run = may_have_run(failure)
            if not claim.may_have_run:
                raise
            candidates, surely = await _look_for(claim, claims, retry, get_source, list_batches)
            if not surely:
                raise OutcomeUnknownError(request.method, request.path, candidates) from failure
            (copy,) = candidates
            lost = type(failure).__name__
            _log.info("%s %s: %s, but found: %s", request.method, request.path, lost, copy.id)
        claim.copy = copy.id
        return copy
    finally:
        claims.close(claim, now())


async def _look_for(
    claim: Claim,
    claims: Claims,
    retry: RetryPolicy,
    get_source: Callable[[], Awaitable[tuple[Batch, Answer]]],
    list_batches: Callable[[str], Awaitable[list[Batch]]],
) -> tuple[tuple[Batch, ...], bool]:
    """Return what may be a call's copy, and whether it surely is.

    Looks again while there is none: the POST may still be running, or the list lag behind.
    """
    candidates: tuple[Batch, ...] = ()
    for pause in islice(pauses(retry), retry.max_attempts):
        await asyncio.sleep(pause)
        try:
            source, answer = await get_source()
            age = asyncio.get_running_loop().time() - claim.began
            batches = await list_batches(source.workspace_id)
        except ProlificError as failure:
            if look_again(failure) and not get_again(failure):  # else the GET itself was repeated
                continue
            break
        except ValueError:  # a workspace's id may be no id at all
            break
        began = _service_time(answer, age)
        name = default_name(source.name).strip() if claim.name is None else claim.name
        candidates = tuple(
            batch
            # By id: pages may overlap when a batch is made between two of them.
            for batch in {batch.id: batch for batch in batches if batch.id != source.id}.values()
            if batch.name.strip() == name
            and batch.created_at.timestamp() >= began - _SKEW
            and not claims.is_taken(batch.id)
        )
        new = tuple(batch for batch in candidates if batch.created_at.timestamp() >= began)
        if len(new) == 1 and began > -math.inf and claims.is_alone(claim):
            return new, True
        if new:
            break
    return candidates, False


def _service_time(answer: Answer, age: float) -> float:
    """Return when it was ``age`` seconds before an answer, by the service's clock.

    So its clock and ours need not agree. It is given in whole seconds, as times of batches may be.
    Without the service's time everything is later.
    """
    date = http_date(answer.headers.get("Date", ""))
    return -math.inf if date is None else math.floor(date - age)
