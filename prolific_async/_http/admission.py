"""Who may send now: a place among the connections first, and then a turn of the budget."""

from __future__ import annotations

import asyncio

from prolific_async._http.budget import Budget
from prolific_async._http.places import Places


class Admission:
    """Lets requests go out, each with a place that it holds until it leaves."""

    def __init__(self, connections: int, max_requests_per_second: float | None) -> None:
        """Take the requests that may be under way at once, and those that may begin in a second."""
        self.budget = Budget(max_requests_per_second)
        self._places = Places(connections)

    def take_free(self, now: float, *, look: bool) -> bool:
        """Enter if nothing is to be waited for, and tell whether it was so."""
        if not self._places.take_free():
            return False
        if self.budget.take_free(now, look=look):
            return True
        self._places.give_back()
        return False

    async def enter(self, *, look: bool) -> None:
        """Wait for a place and then for a turn, so that whoever has that goes at once.

        A pause, which is for looks alone, may be long: who meets one leaves the place to others.
        """
        places, budget, loop = self._places, self.budget, asyncio.get_running_loop()
        entered = False
        while True:
            if not places.take_free():
                await places.wait(look=look)
            try:
                entered = budget.take_free(loop.time(), look=look) or await budget.wait(look=look)
            finally:
                if not entered:
                    places.give_back()
            if entered:
                return
            await budget.unpaused()

    def leave(self) -> None:
        """Give the place back."""
        self._places.give_back()
