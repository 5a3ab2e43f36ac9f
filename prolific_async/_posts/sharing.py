"""One request for many who ask for the same thing at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable

K = TypeVar("K", bound="Hashable")
W = TypeVar("W")
T = TypeVar("T")


class Shared(Generic[K, W, T]):
    """Makes one request at a time for each key, however many ask.

    Who asks while one is under way is given the next one, since the one under way may show how
    things were before.

    Args:
        make: Makes the request for a key, and for what all want who will be given its outcome.

    """

    def __init__(self, make: Callable[[K, Collection[W]], Awaitable[T]]) -> None:
        self._make = make
        self._asked: dict[K, _Asked[W, T]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def of(self, key: K, wanted: W) -> T:
        """Return the outcome of a request that began after this call.

        Raises:
            Exception: What the request raised, for all who share it.

        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a request of a loop that has closed never ends
            self._loop, self._asked = loop, {}
        asked = self._asked.setdefault(key, _Asked())
        begun_before = asked.begun
        caller = object()
        asked.wanted[caller] = wanted
        try:
            async with asked.lock:
                # Without an outcome, whoever began the request was cancelled.
                if asked.begun == begun_before or asked.outcome is None:
                    asked.outcome = None
                    await asyncio.sleep(0)  # whoever asks in this turn shares it
                    asked.begun += 1
                    asked.outcome = await self._outcome(key, list(asked.wanted.values()))
                outcome = asked.outcome
        finally:
            del asked.wanted[caller]
            if not asked.wanted and self._asked.get(key) is asked:
                del self._asked[key]
        if isinstance(outcome, Exception):
            # Not with the frames of those to whom it was raised before.
            raise outcome.with_traceback(None)
        return outcome[0]

    async def _outcome(self, key: K, wanted: Collection[W]) -> tuple[T] | Exception:
        try:
            return (await self._make(key, wanted),)
        # A trace callback of the application may raise anything, and would do so for each again.
        except Exception as error:  # noqa: BLE001 - raised by all who share it
            return error


class _Asked(Generic[W, T]):
    """Who asks for a key, and what became of the newest request."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.begun = 0
        self.wanted: dict[object, W] = {}
        self.outcome: tuple[T] | Exception | None = None
