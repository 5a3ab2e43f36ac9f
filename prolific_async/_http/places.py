"""A bounded number of places, one for each request under way."""

from __future__ import annotations

import asyncio
from collections import deque


class Places:
    """A semaphore whose free places are taken without a coroutine, which most of them are.

    ``asyncio.Semaphore`` would cost 2 % of a whole request. Who has to wait is served in turn.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()

    def take_free(self) -> bool:
        """Take a place if one is free, and tell whether it was."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Wait for a place, and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        taken = False
        try:
            await turn
            taken = True
        finally:
            # Cancelled, but perhaps in the moment in which a place was handed over.
            if not taken and turn.done() and not turn.cancelled():
                self.give_back()

    def give_back(self) -> None:
        """Hand a place to whoever waits longest, else make it free."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
