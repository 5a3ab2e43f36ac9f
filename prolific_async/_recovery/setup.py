"""One setup, and how to find out what became of it when its answer was lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prolific_async._http.retry import did_not_run, may_have_run, retrying
from prolific_async._logging import log as _log
from prolific_async.errors import BadRequestError, OutcomeUnknownError, ProlificError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prolific_async._api.requests import Request
    from prolific_async._http.responses import Response
    from prolific_async.policies import RetryPolicy

_ACCEPTED = (BatchStatus.PROCESSING, BatchStatus.READY)


async def set_up_once(
    request: Request,
    *,
    send: Callable[[Request], Awaitable[Response]],
    retry: RetryPolicy,
    get_status: Callable[[], Awaitable[BatchStatus | None]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
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

    try:
        await retrying(attempt, retry, again, sleep=sleep)(request)
    finally:
        not_accepted = None  # else it is in a cycle with its own traceback


async def _was_accepted(
    request: Request,
    failure: ProlificError,
    get_status: Callable[[], Awaitable[BatchStatus | None]],
) -> bool:
    try:
        status = await get_status()
    except Exception:  # noqa: BLE001 - a callback of the application can raise anything
        raise OutcomeUnknownError(request.method, request.path, failure=failure) from failure
    if status in _ACCEPTED:
        lost = type(failure).__name__
        _log.info("%s %s: %s, but accepted: %s", request.method, request.path, lost, status)
        return True
    if status is BatchStatus.UNINITIALISED:
        return False
    raise OutcomeUnknownError(request.method, request.path, failure=failure) from failure
