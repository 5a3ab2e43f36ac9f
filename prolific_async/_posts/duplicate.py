"""One duplicate, and how to find its copy when the answer was lost."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from prolific_async._converter import load
from prolific_async._http.protocol import http_date
from prolific_async._http.retry import may_have_run
from prolific_async._posts.claims import default_name
from prolific_async.errors import OutcomeUnknownError, ProlificError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._http.protocol import Answer, Request
    from prolific_async._posts.claims import Claim, Claims

_log = logging.getLogger("prolific_async")


async def duplicate_once(
    request: Request,
    name: str | None,
    *,
    post: Callable[[Request], Awaitable[Answer]],
    claims: Claims,
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
            answer = await post(request)
            copy = load(Batch, answer.data, request.method, request.path)
        except ProlificError as failure:
            claim.may_have_run = may_have_run(failure)
            if not claim.may_have_run:
                raise
            candidates, surely = await _look_for(claim, claims, get_source, list_batches)
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
    get_source: Callable[[], Awaitable[tuple[Batch, Answer]]],
    list_batches: Callable[[str], Awaitable[list[Batch]]],
) -> tuple[tuple[Batch, ...], bool]:
    """Return what may be a call's copy, and whether it surely is."""
    try:
        source, answer = await get_source()
        age = asyncio.get_running_loop().time() - claim.began
        batches = await list_batches(source.workspace_id)
    except ProlificError:
        return (), False
    # Both times are the service's, so that its clock and ours need not agree. Either may be
    # given in whole seconds.
    date = http_date(answer.headers.get("Date", ""))
    name = default_name(source.name) if claim.name is None else claim.name
    candidates = tuple(
        batch
        for batch in batches
        if batch.id != source.id
        and batch.name == name
        and (date is None or batch.created_at.timestamp() >= math.floor(date - age))
        and not claims.is_taken(batch.id)
    )
    return candidates, len(candidates) == 1 and date is not None and claims.is_alone(claim)
