"""Follows responses: reads all of them again and again, and yields the new ones."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from prolific_async.answer_models import TaskResponse
from prolific_async.errors import APIStatusError, ProlificError
from prolific_async.extensions import may_poll_again
from prolific_async.policies import PollPolicy, RetryPolicy

__all__ = ["follow"]

_RETRY_AFTER_CAP = RetryPolicy().retry_after_cap


async def follow(
    read: Callable[[], AsyncGenerator[TaskResponse]],
    poll: PollPolicy,
    on_error: Callable[[ProlificError], object],
) -> AsyncGenerator[TaskResponse]:
    """Yield each response once: first the existing ones, then new ones as they arrive.

    This never ends. The id of each response stays in memory.

    Args:
        read: Reads all responses.
        poll: The gaps between two reads, which start again from ``initial`` after a new response,
            and how many reads may fail in a row. A gap is at least as long as the read before it.
        on_error: Called with each error after which reading goes on.

    Raises:
        ProlificError: Too many reads failed in a row, or the error is not temporary.

    """
    loop, known = asyncio.get_running_loop(), set[str]()
    gap, failures = poll.initial, 0
    while True:
        began, before, asked = loop.time(), len(known), 0.0
        try:
            async with aclosing(read()) as responses:
                async for response in responses:
                    if response.id not in known:
                        known.add(response.id)
                        yield response
            failures = 0
        except ProlificError as error:
            failures += 1
            if failures > poll.max_consecutive_failures or not may_poll_again(error):
                raise
            if isinstance(error, APIStatusError):
                asked = min(error.retry_after or 0.0, _RETRY_AFTER_CAP)
            on_error(error)
        if len(known) > before:
            gap = poll.initial
        took = loop.time() - began
        await asyncio.sleep(max(poll.jittered(gap, random.random()), took, asked))  # noqa: S311 - no secret
        gap = poll.next_gap(gap)
