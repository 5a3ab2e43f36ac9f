"""Requests shared by callers that ask for the same key at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define, field

from prolific_async._tracebacks import for_one_caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable

K = TypeVar("K", bound="Hashable")
W = TypeVar("W")
T = TypeVar("T")


@define(eq=False, repr=False)
class _Shared(Generic[W, T]):
    """The callers that ask for one key, and the latest request for it.

    Attributes:
        wanted: The argument ``wanted`` of each caller.
        begun: Number of requests that have begun.
        running: Set when the request under way ends; None if there is none.
        ended: Number of the latest request that has an outcome, counted from 1.
        outcome: Result of that request in a tuple, or its error.

    """

    wanted: dict[object, W] = field(factory=dict)
    begun: int = 0
    running: asyncio.Event | None = None
    ended: int = 0
    outcome: tuple[T] | Exception = field(init=False)


class CoalescedRequests(Generic[K, W, T]):
    """Makes one request at a time for each key, however many callers ask.

    A caller that comes during a request gets the outcome of the next one, as the response under way
    may show an earlier state.

    Args:
        make: Makes the request for a key, given the ``wanted`` of each of its callers.

    """

    _shared: dict[K, _Shared[W, T]]  # for the loop in _loop

    def __init__(self, make: Callable[[K, Collection[W]], Awaitable[T]]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, key: K, wanted: W) -> T:
        """Return the result of a request that began after this call.

        Args:
            key: Identifies the request.
            wanted: What this caller needs of the response, for ``make``.

        Raises:
            Exception: As raised by the request, for all callers that share it.

        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a request of a closed loop never ends
            self._loop, self._shared = loop, {}
        shared = self._shared.setdefault(key, _Shared())
        begun_before = shared.begun
        caller = object()
        shared.wanted[caller] = wanted
        try:
            # Again if the caller that was making the request is cancelled.
            while shared.ended <= begun_before:
                if shared.running is None:
                    await self._request(key, shared)
                else:
                    await shared.running.wait()
            outcome = shared.outcome
        finally:
            del shared.wanted[caller]
            if not shared.wanted and self._shared.get(key) is shared:
                del self._shared[key]
        if isinstance(outcome, Exception):
            raise for_one_caller(outcome)
        return outcome[0]

    async def _request(self, key: K, shared: _Shared[W, T]) -> None:
        shared.running = running = asyncio.Event()
        try:
            await asyncio.sleep(0)  # lets other callers of this loop iteration join the request
            shared.begun = number = shared.begun + 1
            outcome = await self._outcome(key, list(shared.wanted.values()))
            shared.ended, shared.outcome = number, outcome
        finally:
            shared.running = None
            running.set()

    async def _outcome(self, key: K, wanted: Collection[W]) -> tuple[T] | Exception:
        try:
            return (await self._make(key, wanted),)
        # A trace callback can raise anything; else each caller in turn would repeat the request.
        except Exception as error:  # noqa: BLE001 - raised to all callers
            return error
