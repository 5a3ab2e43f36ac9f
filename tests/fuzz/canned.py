"""Calls whose responses are given as bytes, and checks of their results."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prolific_async import (
    APIStatusError,
    Batch,
    DecodeError,
    PollPolicy,
    ProlificError,
    RetryPolicy,
)
from prolific_async._http import responses
from prolific_async._http.credentials import Token
from prolific_async._json.decoding import decode
from prolific_async._resources.client_state import ClientState
from prolific_async.batches import Batches
from tests.streams import Stream
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping

    from prolific_async._http.request import Request
    from prolific_async._http.transport import Transport

T = TypeVar("T")

TOKEN = "t0ken-of/nobody"
AT_ONCE = RetryPolicy(max_attempts=2, initial=0, maximum=0)
NOW = "Wed, 04 Mar 2026 05:06:07 GMT"
BETWEEN = b"\x1e"  # the parts of an input: control characters are no JSON


def parts(data: bytes, default: bytes) -> Iterator[bytes]:
    yield from data.split(BETWEEN)
    while True:
        yield default


class Canned:
    """A transport with given responses, which keeps the requests."""

    polls_at_once = 1
    prefix = ""
    request_timeout = 30.0
    retry = AT_ONCE
    sleep = staticmethod(asyncio.sleep)

    def __init__(self, answers: Iterator[bytes], status: int = 200) -> None:
        self.asked: list[Request] = []
        self._answers = answers
        self._status = status

    def check_usable(self) -> None:
        """Do nothing: this transport is always usable."""

    async def send(self, request: Request, *_: Any, raw: bool = False, **__: Any) -> Any:
        self.asked.append(request)
        await asyncio.sleep(0)
        status = self._status if request.method == "POST" or len(self.asked) == 1 else 200
        return responses.decode(
            request, status, {"Date": NOW}, next(self._answers), secret=Token(TOKEN), raw=raw
        )

    @asynccontextmanager
    async def stream(self, request: Request, **_: Any) -> AsyncIterator[Stream]:
        self.asked.append(request)
        body = next(self._answers)
        size = len(body) // 3 + 1

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                await asyncio.sleep(0)
                yield body[start : start + size]

        yield Stream(chunks(), {"Date": NOW})


def verbs(canned: Canned) -> Batches:
    transport = cast("Transport", canned)
    state = ClientState.new(transport, AT_ONCE, list_threshold=math.inf)
    return Batches(transport, AT_ONCE, PollPolicy(), state)


_loop: list[VirtualLoop] = []


def run(work: Awaitable[T]) -> T | ProlificError:
    """Run a call in virtual time; return its result, or its error after a check of its text."""
    if not _loop:
        _loop.append(VirtualLoop())

    async def main() -> T | ProlificError:
        try:
            return await work
        except ProlificError as error:
            return error

    result = _loop[0].run_until_complete(main())
    if isinstance(result, ProlificError):
        check_told(result)
    return result


def check_told(error: ProlificError) -> None:
    text = str(error)
    assert text.isprintable(), text
    assert len(text) < 2000, len(text)
    assert TOKEN not in text
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == text
    if isinstance(error, APIStatusError):
        assert TOKEN not in repr(vars(error))
        assert error.retry_after is None or error.retry_after >= 0
    if isinstance(error, DecodeError):
        assert error.problems
        assert len(error.problems) <= 2 * 100


def check_whole(batch: Batch, sent: Mapping[str, Any]) -> None:
    wire = batch.to_dict()
    for key in wire.keys() | sent.keys():
        if key == "schema_version":
            assert str(wire[key]) == str(sent[key]).lstrip("0") or int(sent[key]) == wire[key]
        elif key != "created_at":
            assert wire[key] == sent[key]
    assert decode(json.dumps(wire, allow_nan=False)) == wire
    assert Batch.from_dict(wire) == batch
    assert pickle.loads(pickle.dumps(batch)).to_dict() == wire
