"""Typed API call that yields the responses to a batch's tasks as they arrive.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (get the responses of a batch). It
documents a ``meta.count`` but no pages.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from prolific_async._api.batches import batch_path
from prolific_async._api.pagination import Pagination, check_page
from prolific_async._http.error_translation import add_yielded
from prolific_async._http.request import Request
from prolific_async._http.responses import undecodable
from prolific_async._http.retry import Failures, may_get_again
from prolific_async._json.converter import load
from prolific_async._json.pages import RESULTS, add_member, parts_of_stream
from prolific_async._json.text_buffer import TruncatedJson
from prolific_async._time_slices import TimeSlices
from prolific_async._tracebacks import without_frames
from prolific_async.answer_models import TaskResponse
from prolific_async.errors import ConnectionLostError, ProlificError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from prolific_async._http.transport import Transport
    from prolific_async._json.pages import Part

MAX_RECORD = 4 * 1024 * 1024
"""Maximum characters of one response; the number of responses is not limited."""


def list_responses(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of all responses to a batch's tasks."""
    return Request("GET", batch_path(batch_id, prefix) + "/responses")


async def stream_responses(transport: Transport, batch_id: str) -> AsyncGenerator[TaskResponse]:
    """Yield every response to a batch's tasks, each as soon as it has arrived.

    Args:
        transport: Sends the requests. A body may take any time, but something must arrive every
            ``request_timeout`` seconds.
        batch_id: The batch.

    Raises:
        ProlificError: As ``Transport.stream``. A request is sent again as the retry policy says,
            unless some of its responses were yielded; then the error tells how many.

    """
    before = count = 0  # responses on the pages before this one, and on this one
    failures = Failures(transport.retry, lambda error: not count and may_get_again(error))
    slices = TimeSlices()
    pagination = Pagination(list_responses(batch_id, prefix=transport.prefix), "responses")
    while (request := pagination.next_request) is not None:
        count = 0
        while True:
            page: dict[str, Any] = {}
            try:
                async with _parts(transport, request) as parts:
                    async for key, _, _, value in parts:
                        if key is not None:
                            add_member(page, key, value)
                            continue
                        response = load(
                            TaskResponse,
                            value,
                            request.method,
                            request.path,
                            at=f"$.{RESULTS}[{count}]",
                        )
                        count += 1
                        yield response
                        await slices.yield_if_due()
                    check_page(request, page)
            except ProlificError as error:
                pause = failures.pause_after(error)
                if pause is None:
                    if isinstance(error, TransportError):
                        add_yielded(error, before + count, "response")
                    raise
            else:
                break
            await transport.sleep(pause)
        pagination.follow(page, count)
        before += count


@asynccontextmanager
async def _parts(transport: Transport, request: Request) -> AsyncGenerator[AsyncGenerator[Part]]:
    """Send a request, and give an iterator of the parts of its page as they arrive."""
    async with transport.stream(request, idle_timeout_only=True) as chunks:
        try:
            async with aclosing(parts_of_stream(chunks, MAX_RECORD)) as parts:
                yield parts
        except TruncatedJson as error:
            reason = str(without_frames(error))  # no reference cycle (Python 3.12 on)
        except ValueError as error:
            problem = f"not a readable list of JSON ({without_frames(error)})"
            raise undecodable(request, problem) from None
        else:
            return
        raise ConnectionLostError(request.method, request.path, reason)
