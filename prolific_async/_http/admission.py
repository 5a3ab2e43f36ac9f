"""Who may send now: a place among the connections first, and then a turn of the rate_limiter."""

from __future__ import annotations

import asyncio

from prolific_async._http.connection_slots import ConnectionSlots
from prolific_async._http.rate_limiter import RateLimiter


class Admission:
    """Lets requests go out, each with a place that it holds until it leaves."""

    def __init__(self, connections: int, max_requests_per_second: float | None) -> None:
        """Take the requests that may be under way at once, and those that may begin in a second."""
        self.rate_limiter = RateLimiter(max_requests_per_second)
        self._places = ConnectionSlots(connections)

    def take_free(self, now: float, *, poll: bool) -> bool:
        """Enter if nothing is to be waited for, and tell whether it was so."""
        if not self._places.take_free():
            return False
        if self.rate_limiter.take_free(now, poll=poll):
            return True
        self._places.give_back()
        return False

    async def enter(self, *, poll: bool) -> None:
        """Wait for a place and then for a turn, so that whoever has that goes at once.

        A pause, which is for polls alone, may be long: who meets one leaves the place to others.
        """
        places, rate_limiter, loop = self._places, self.rate_limiter, asyncio.get_running_loop()
        entered = False
        while True:
            if not places.take_free():
                await places.wait(poll=poll)
            try:
                entered = rate_limiter.take_free(loop.time(), poll=poll) or await rate_limiter.wait(
                    poll=poll
                )
            finally:
                if not entered:
                    places.give_back()
            if entered:
                return
            await rate_limiter.unpaused()

    def leave(self) -> None:
        """Give the place back."""
        self._places.give_back()
