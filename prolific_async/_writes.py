"""The two POSTs, and how to find out what became of one whose answer was lost.

Neither is sent again while it may have run: the service knows no idempotency key.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from prolific_async import _protocol
from prolific_async._claims import default_name
from prolific_async._converter import load
from prolific_async._retry import did_not_run, may_have_run, retrying
from prolific_async.errors import BadRequestError, OutcomeUnknownError, ProlificError
from prolific_async.models import Batch, BatchStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._claims import Claim, Claims
    from prolific_async._protocol import Answer, Request
    from prolific_async.policies import RetryPolicy

    Send = Callable[[Request], Awaitable[Answer]]

_ACCEPTED = (BatchStatus.PROCESSING, BatchStatus.READY)


async def set_up(
    request: Request,
    *,
    send: Send,
    retry: RetryPolicy,
    get_status: Callable[[], Awaitable[BatchStatus | None]],
) -> None:
    """Send a setup until the service has accepted it once.

    Raises:
        OutcomeUnknownError: It may have run, and the status does not tell whether it did.
        ProlificError: It failed and was not accepted.

    """
    not_accepted: ProlificError | None = None

    async def attempt(request: Request) -> None:
        nonlocal not_accepted
        try:
            await send(request)
        except ProlificError as failure:
            # A repeat is refused when the one before it was accepted after all.
            refused_repeat = not_accepted is not None and isinstance(failure, BadRequestError)
            if not (may_have_run(failure) or refused_repeat):
                raise
            if await _was_accepted(request, failure, get_status):
                return
            not_accepted = failure
            raise

    def again(failure: Any) -> bool:
        return failure is not_accepted or did_not_run(failure)

    await retrying(attempt, retry, again)(request)


async def _was_accepted(
    request: Request,
    failure: ProlificError,
    get_status: Callable[[], Awaitable[BatchStatus | None]],
) -> bool:
    unknown = OutcomeUnknownError(request.method, request.path)
    try:
        status = await get_status()
    except ProlificError:
        raise unknown from failure
    if status in _ACCEPTED:
        return True
    if status is BatchStatus.UNINITIALISED:
        return False
    raise unknown from failure


async def duplicate(
    request: Request,
    name: str | None,
    *,
    post: Send,
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
    date = _protocol.http_date(answer.headers.get("Date", ""))
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
