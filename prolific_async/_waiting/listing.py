"""Reads a list of batches for a few of them: in slices, and no more of each than is needed.

A list holds whole batches, so it can be megabytes; decoding it at once would block the loop.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

from prolific_async._waiting.wait import Look
from prolific_async.errors import DecodeError
from prolific_async.models import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from prolific_async.models import Batch

_SLICE = 0.005  # seconds of decoding after which the loop gets its turn
_REMEMBERED = 1 << 20  # bytes of a list up to which it is held against the next one

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_TERMINAL = (BatchStatus.READY, BatchStatus.ERROR)


class Listing:
    """What a list showed.

    Attributes:
        body: Its bytes, empty when they were too many to be remembered.
        looks: What it shows, by id, with the batch itself where it was wanted at its end.
        unread: Ids of batches at their end that nobody wanted, so that they were not read.

    """

    def __init__(self, body: bytes, looks: dict[str, Look], unread: frozenset[str]) -> None:
        self.body = body
        self.looks = looks
        self.unread = unread


async def read(
    body: bytes,
    wanted: Callable[[str], bool],
    read_batch: Callable[[Any], Batch],
    before: Listing | None = None,
) -> Listing:
    """Read a list's body.

    Most of the time nothing has changed since the last look: the same bytes are not decoded again.
    A malformed batch is left out, as one that the list does not show.

    Raises:
        ValueError: It is no list of batches.

    """
    if before is not None and before.body == body and not any(map(wanted, before.unread)):
        return before
    looks: dict[str, Look] = {}
    unread: list[str] = []
    pending: dict[str | None, Look] = {}
    pause = time.perf_counter() + _SLICE
    for element in elements(body.decode()):
        if time.perf_counter() > pause:
            await asyncio.sleep(0)
            pause = time.perf_counter() + _SLICE
        batch_id, status = _glance(element)
        if batch_id is None:
            continue
        if status not in _TERMINAL:
            # One look for all that show the same.
            looks[batch_id] = pending.get(status) or pending.setdefault(
                status, Look(None if status is None else BatchStatus(status))
            )
        elif not wanted(batch_id):
            unread.append(batch_id)
        else:
            try:
                batch = read_batch(element)
            except DecodeError:
                continue
            looks[batch_id] = Look(batch.status, batch)
    return Listing(body if len(body) <= _REMEMBERED else b"", looks, frozenset(unread))


def _glance(element: Any) -> tuple[str | None, str | None]:
    """Return id and status of an element, the id None when the element is malformed."""
    if not isinstance(element, dict):
        return None, None
    batch_id, status = element.get("id"), element.get("status")
    if not isinstance(batch_id, str) or not isinstance(status, str | None):
        return None, None
    return batch_id, status


def elements(text: str) -> Iterator[Any]:
    """Yield the elements of ``results``, each decoded when it is asked for.

    Raises:
        ValueError: The text is not an object of JSON, or ``results`` no array.

    """
    at = _expect(text, 0, "{")
    if _peek(text, at) == "}":
        return
    while True:
        key, at = _value(text, at)
        if not isinstance(key, str):
            raise ValueError(f"a key is missing at {at}")  # noqa: TRY004 - as for all that is no JSON
        at = _expect(text, at, ":")
        if key == "results" and _peek(text, at) == "[":
            at = yield from _array(text, at)
        else:
            value, at = _value(text, at)
            if key == "results" and value is not None:
                raise ValueError("results is no array")
        if _peek(text, at) != ",":
            break
        at = _expect(text, at, ",")
    at = _expect(text, at, "}")
    if _skip(text, at) != len(text):
        raise ValueError("more than one value")


def _array(text: str, at: int) -> Generator[Any, None, int]:
    """Yield the elements of an array, and return where it ends."""
    at = _expect(text, at, "[")
    if _peek(text, at) == "]":
        return _expect(text, at, "]")
    while True:
        element, at = _value(text, at)
        yield element
        if _peek(text, at) != ",":
            return _expect(text, at, "]")
        at = _expect(text, at, ",")


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _peek(text: str, at: int) -> str:
    at = _skip(text, at)
    return text[at : at + 1]


def _expect(text: str, at: int, what: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != what:
        raise ValueError(f"{what} is missing at {at}")
    return at + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    return _DECODER.raw_decode(text, _skip(text, at))
