"""Reads pages of batch lists, either while they arrive or as a whole."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from prolific_async._api.pagination import check_page
from prolific_async._api.partial_batches import read_partial
from prolific_async._http.responses import MAX_BODY, http_date, undecodable
from prolific_async._json.converter import load
from prolific_async._json.decoding import MAX_PROBLEMS
from prolific_async._json.pages import RESULTS, add_member, parts_of_stream
from prolific_async._message_parts import brief
from prolific_async._time_slices import TimeSlices
from prolific_async.errors import DecodeError
from prolific_async.models import Batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from prolific_async._http.request import Request
    from prolific_async._http.response_body import Chunks

T = TypeVar("T")


class ServiceTime(NamedTuple):
    """A time on the service's clock, and the loop time to which it belongs.

    Attributes:
        date: Seconds since 1970, None without a readable ``Date`` header.
        at: When the response began to arrive, in loop time.

    """

    date: float | None
    at: float


class PickedPage(NamedTuple, Generic[T]):
    """What was kept of a page's elements.

    Attributes:
        page: The page's JSON without its elements.
        elements: Number of the page's elements.
        picked: What ``pick`` returned for the elements, without None.
        time: The service's clock.

    """

    page: dict[str, Any]
    elements: int
    picked: list[T]
    time: ServiceTime


async def pick_from_page(
    stream: Callable[[Request], AbstractAsyncContextManager[Chunks]],
    request: Request,
    pick: Callable[[Any], T | None],
) -> PickedPage[T]:
    """Read a page as it arrives, and return what ``pick`` keeps of its elements."""
    page: dict[str, Any] = {}
    picked: list[T] = []
    elements = 0
    slices = TimeSlices()
    async with stream(request) as chunks:  # adds the request id to a DecodeError
        time = ServiceTime(
            http_date(chunks.headers.get("Date", "")), asyncio.get_running_loop().time()
        )
        try:
            async with aclosing(parts_of_stream(chunks, MAX_BODY)) as parts:
                async for key, _, _, value in parts:
                    if key is not None:
                        add_member(page, key, value)
                        continue
                    elements += 1
                    if (kept := pick(value)) is not None:
                        picked.append(kept)
                    await slices.yield_if_due()
        except ValueError as error:
            raise undecodable(request, f"not a readable list of JSON ({error})") from None
        check_page(request, page)
    return PickedPage(page, elements, picked, time)


async def read_batches(request: Request, page: dict[str, Any]) -> list[Batch]:
    """Decode the batches of a page, in slices, so that a long page does not block the loop."""
    call = (request.method, request.path)
    found: list[Batch] = []
    problems: list[str] = []
    slices = TimeSlices()
    for index, data in enumerate(page.get(RESULTS) or ()):
        try:
            found.append(load(Batch, data, *call, at=f"$.{RESULTS}[{index}]"))
        except DecodeError as error:
            batch_id = read_partial(data).id
            whose = "" if batch_id is None else f" (batch {brief(batch_id)})"
            problems += [problem + whose for problem in error.problems]
        if len(problems) >= MAX_PROBLEMS:
            break
        await slices.yield_if_due()
    if problems:
        raise DecodeError(tuple(problems), page, *call)
    return found
