"""Sets batches up; if the response is lost, the batch's status tells if the setup was accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from prolific_async._http.retry import did_not_run, may_have_run, retrying
from prolific_async._logging import log as _log
from prolific_async._recovery.unknown_outcome import call_of, unknown_outcome
from prolific_async.errors import BadRequestError, ProlificError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from prolific_async._api.batches import BatchesAPI
    from prolific_async.policies import RetryPolicy

_ACCEPTED = (BatchStatus.PROCESSING, BatchStatus.READY)


async def set_up(
    api: BatchesAPI,
    batch_id: str,
    *,
    dataset_id: str | None = None,
    tasks_per_group: int | None = None,
    retry: RetryPolicy,
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    """Set a batch up; repeat the POST as the retry policy allows until it is accepted.

    Args:
        api: Sends the requests.
        batch_id: The batch.
        dataset_id: The dataset to make tasks from, None to leave it out.
        tasks_per_group: Number of tasks in a group, None to leave it out.
        retry: How often the POST is sent, and the pauses between attempts.
        sleep: Sleeps for the given seconds, or until the client is closed.

    Raises:
        OutcomeUnknownError: The POST may have run, and the status does not tell whether it did.
        ProlificError: The POST failed, and the setup was not accepted.

    """
    not_accepted: ProlificError | None = None

    async def attempt(batch_id: str) -> None:
        nonlocal not_accepted
        try:
            await api.set_up(batch_id, dataset_id=dataset_id, tasks_per_group=tasks_per_group)
        except ProlificError as failure:
            # A repeat gets a 400 if the service accepted the attempt before it after all.
            refused_repeat = not_accepted is not None and isinstance(failure, BadRequestError)
            if not (may_have_run(failure) or refused_repeat):
                raise
            if await _was_accepted(api, batch_id, failure):
                return
            not_accepted = failure
            raise

    def again(failure: Any) -> bool:
        return failure is not_accepted or did_not_run(failure)

    try:
        await retrying(attempt, retry, again, sleep=sleep)(batch_id)
    finally:
        not_accepted = None  # breaks a reference cycle: the error's traceback holds this frame


async def _was_accepted(api: BatchesAPI, batch_id: str, failure: ProlificError) -> bool:
    try:
        status = await api.get_status(batch_id)
    except Exception:  # noqa: BLE001 - a callback of the application can raise anything
        raise unknown_outcome(failure) from failure
    if status in _ACCEPTED:
        lost = type(failure).__name__
        _log.info("%s %s: %s, but accepted: %s", *call_of(failure), lost, status)
        return True
    if status is BatchStatus.UNINITIALISED:
        return False
    raise unknown_outcome(failure) from failure


async def set_up_once(
    send: Callable[[], Awaitable[object]],
    get_status: Callable[[], Awaitable[BatchStatus | None]],
    *,
    is_new: bool = False,
) -> None:
    """Set a batch up unless an earlier call or another process has done so.

    Args:
        send: Sends the setup.
        get_status: Reads the batch's status.
        is_new: Whether the batch was made just now, so that its status need not be read first.

    Raises:
        Exception: As raised by ``send`` or ``get_status``.

    """
    if not is_new and await _is_set_up(get_status):
        return
    try:
        await send()
    except BadRequestError:
        # Another process's setup may have been accepted since the status was read.
        if not await _is_set_up(get_status):
            raise


async def _is_set_up(get_status: Callable[[], Awaitable[BatchStatus | None]]) -> bool:
    # ERROR counts: the setup was accepted, and the wait will raise.
    return await get_status() not in (None, BatchStatus.UNINITIALISED)
