"""Responses that are followed, in virtual time and without a service."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from prolific_async import (
    ConnectionLostError,
    PollPolicy,
    ProlificError,
    TaskResponse,
)
from prolific_async.cli.follow import follow
from tests import samples
from tests.virtual_time import run

POLL = PollPolicy(initial=1, factor=2, maximum=4, jitter=0, max_consecutive_failures=2)
LOST = ConnectionLostError("GET", "/responses", "reset")

Read = Sequence[str | ProlificError | float]


def followed(*reads: Read) -> list[tuple[float, Any]]:
    """Follow reads of ids, errors and seconds that pass; return what came, and when.

    The last read raises an error that ends it.
    """
    found: list[tuple[float, Any]] = []

    async def main() -> None:
        loop, rest = asyncio.get_running_loop(), iter(reads)
        began = loop.time()

        async def read() -> AsyncGenerator[TaskResponse]:
            for one in next(rest):
                if isinstance(one, str):
                    yield TaskResponse.from_dict(samples.task_response(id=one))
                elif isinstance(one, ProlificError):
                    raise one
                else:
                    await asyncio.sleep(one)

        def add(news: Any) -> None:
            found.append((loop.time() - began, news))

        async with aclosing(follow(read, POLL, add)) as following:
            try:
                async for response in following:
                    add(response.id)
            except ProlificError as error:
                add(f"ended by {type(error).__name__}")

    run(main())
    return found


END = [samples.status_error(401)]
ENDED = "ended by APIStatusError"


def test_each_response_comes_once_and_begins_the_gaps_anew() -> None:
    found = followed(["a", "b"], ["b", "a"], ["a", "b"], ["c", "a"], ["c", "a"], END)
    assert found == [(0, "a"), (0, "b"), (7, "c"), (10, ENDED)]


def test_a_gap_has_a_maximum() -> None:
    assert followed([], [], [], [], END) == [(1 + 2 + 4 + 4, ENDED)]


def test_a_gap_is_at_least_as_long_as_the_read_took() -> None:
    assert followed(["a", 30.0], END) == [(0, "a"), (60, ENDED)]


def test_a_read_that_breaks_is_told_and_survived() -> None:
    found = followed(["a", LOST], ["a", "b", LOST], ["a", "b", "c"], END)
    assert found == [(0, "a"), (0, LOST), (1, "b"), (1, LOST), (2, "c"), (3, ENDED)]


def test_too_many_broken_reads_in_a_row_end_it() -> None:
    lost = [LOST]
    found = followed(lost, lost, [], lost, lost, lost)
    assert [news for _, news in found] == [LOST] * 4 + ["ended by ConnectionLostError"]


def test_the_pause_that_the_service_asks_for_is_kept_within_a_minute() -> None:
    busy, for_an_hour = samples.status_error(429, 20.0), samples.status_error(503, 3600.0)
    assert followed([busy], [for_an_hour], END) == [(0, busy), (20, for_an_hour), (80, ENDED)]
