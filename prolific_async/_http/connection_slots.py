"""A bounded number of places, one for each request under way."""

from __future__ import annotations

import asyncio
from collections import deque


class ConnectionSlots:
    """A semaphore whose free places are taken without a coroutine, which most of them are.

    ``asyncio.Semaphore`` would cost 2 % of a whole request. Who has to wait is served in turn,
    polls before calls: polls are at most half as many as places, while calls are any number, and
    could hold all places for as long as they wait for a slow rate_limiter.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._polls: deque[asyncio.Future[None]] = deque()
        self._calls: deque[asyncio.Future[None]] = deque()

    def take_free(self) -> bool:
        """Take a place if one is free, and tell whether it was."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def wait(self, *, poll: bool) -> None:
        """Wait for a place, and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._polls if poll else self._calls).append(turn)
        taken = False
        try:
            await turn
            taken = True
        finally:
            # Cancelled, but perhaps in the moment in which a place was handed over.
            if not taken and turn.done() and not turn.cancelled():
                self.give_back()

    def give_back(self) -> None:
        """Hand a place to whoever is next, else make it free."""
        while queue := self._polls or self._calls:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
