"""How fast a client may send: one limit for everything, and a slow-down after 429 for all."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict

from prolific_async._logs import log as _log

# Requests a second that a 429 does not go below, unless the limit is that low. A service that
# refuses these, too, is asked less often.
_LEAST = 5.0
_LEAST_OF_ALL = 0.5  # so that no turn is more than two seconds away, and growth is soon felt
_DECREASE = 0.5  # of the rate it had, at each 429
_PROBING = 15.0  # seconds from the last 429 until the rate that was refused is tried again
_RECOVERY = 30.0  # seconds from the last 429 until the rate from before the first one is back
_DOUBLING = 30.0  # seconds in which the rate doubles once that is back
_DOUBLINGS = 60  # after which no rate holds anything up; more would overflow
_SPARE = 4.0  # times the rate there is use for: a limit that high holds nobody up
_BURST = 0.2  # of a second's worth may go at once, so that no second carries more than 1.2 of it


class Budget:
    """Lets requests go in turn, looks and plain calls alternately where both wait.

    Without a limit and without a 429 it only counts. After a 429 the rate that there was is halved.
    It grows back as in TCP's CUBIC (RFC 9438): fast to just below the rate that was refused, slowly
    past it, and fast again when that is not refused, until it no longer holds anything up. However
    many 429s there were, the rate from before the first is back 30 s after the last.

    Attributes:
        slows: Whether there is a rate now.

    """

    def __init__(self, limit: float | None = None) -> None:
        """Take the requests a second that are allowed, None for no limit."""
        self._limit = math.inf if limit is None else limit
        self.slows = limit is not None
        self._slowed_at: float | None = None
        self._slowed_to = math.inf
        self._refused = math.inf  # the rate at the newest 429
        self._former = 0.0  # the rate before the first 429 of those that came in a row
        self._second = -math.inf  # when the second that is being counted began
        self._count = 0
        self._last_count = 0
        self._used = 0  # in the last second in which there was any
        self._turns = _Pace()
        self._departures = _Pace()
        self.is_closed = False
        self._looks_from = -math.inf
        # In order of arrival; one that is cancelled costs no search, and unlike in a dict, the
        # first is found without going through those that were before it.
        self._calls: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self._looks: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self._paused: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self._ready: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self._looked = False  # whether the last turn was a look's
        self._timer: asyncio.TimerHandle | None = None

    def take_free(self, now: float, *, look: bool) -> bool:
        """Take a turn if one is free, and tell whether it was."""
        if self._calls or self._looks or (look and now < self._looks_from):
            return False
        if self.slows:
            return self._take(now)
        if now - self._second < 1:
            self._count += 1
        else:
            self._note(now)
        return True

    async def wait(self, *, look: bool) -> bool:
        """Wait for a turn, take it, and tell whether it was: a look that is paused gets none."""
        if look and asyncio.get_running_loop().time() < self._looks_from:
            return False
        return await self._wait_in(self._looks if look else self._calls)

    def may_go(self, now: float) -> bool:
        """Tell whether a request that took its turn may go, now that it has a connection.

        Mostly it may. But many that had to wait for their connections could get them at once.
        """
        return not self.slows or (not self._ready and self._departures.take(now, self._rate(now)))

    async def wait_to_go(self) -> None:
        """Wait until it may."""
        await self._wait_in(self._ready)

    async def unpaused(self) -> None:
        """Wait until looks are not paused."""
        await self._wait_in(self._paused)

    async def _wait_in(self, queue: OrderedDict[asyncio.Future[bool], None]) -> bool:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        queue[turn] = None
        self._serve(loop)
        try:
            return await turn
        finally:
            if queue.pop(turn, turn) is None:  # cancelled before its turn
                self._serve(loop)

    def slow_down(self, sent_at: float, now: float) -> None:
        """Take in a 429. One to a request from before the last slow-down is no news."""
        slowed_at = self._slowed_at
        if slowed_at is not None and sent_at <= slowed_at:
            return
        allowed = self._rate(now)
        rate = min(allowed, max(self._last_count, self._count))
        least = min(_LEAST, self._limit * _DECREASE)
        if slowed_at is not None:
            least = min(least, max(allowed * _DECREASE, _LEAST_OF_ALL))
        self._slowed_to = max(rate * _DECREASE, least)
        _log.log(
            logging.INFO if slowed_at is not None else logging.WARNING,
            "the service answered 429: at most %.3g requests a second from now, then more again",
            self._slowed_to,
        )
        self._refused = max(rate, self._slowed_to + least * _DECREASE)
        if slowed_at is None or now - slowed_at > _RECOVERY:
            self._former = 0.0
        self._former = max(self._former, self._refused)
        self._slowed_at = now
        self.slows = True
        self._turns.hold_until(now + 1 / self._slowed_to)

    def pause_looks(self, until: float) -> None:
        """Hold all looks back until a time, those that wait for their turn, too."""
        self._looks_from = max(self._looks_from, until)
        if self._looks:
            _answer(self._looks, turn_taken=False)
            self._serve(asyncio.get_running_loop())

    def close(self) -> None:
        """Hold nobody up any more: who waits is to find out that all is over."""
        self._limit = math.inf
        self._slowed_at = None
        self.slows = False
        self._looks_from = -math.inf
        self.is_closed = True
        for queue in (self._ready, self._calls, self._looks, self._paused):
            _answer(queue, turn_taken=True)
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rate(self, now: float) -> float:
        """Return the requests a second that may go now."""
        if self._slowed_at is None:
            return self._limit
        age = now - self._slowed_at
        if age < _PROBING:
            rate = self._refused - (self._refused - self._slowed_to) * (1 - age / _PROBING) ** 3
        else:
            share = min((age - _PROBING) / (_RECOVERY - _PROBING), 1.0)
            rate = self._refused + (self._former - self._refused) * share**3
        # Never by a leap: waits that were held back would go at once, and be refused together.
        rate *= 2 ** min(max(age - _RECOVERY, 0.0) / _DOUBLING, _DOUBLINGS)
        if rate >= self._limit or (age > 2 * _RECOVERY and rate > _SPARE * self._used):
            self._slowed_at = None
            self.slows = self._limit != math.inf
            return self._limit
        return rate

    def _take(self, now: float) -> bool:
        if not self._turns.take(now, self._rate(now)):
            return False
        self._note(now)
        return True

    def _note(self, now: float) -> None:
        """Count a request, second by second."""
        if now - self._second >= 1:
            self._used = self._count
            self._last_count = self._count if now - self._second < 2 else 0  # noqa: PLR2004
            self._second, self._count = now, 0
        self._count += 1

    def _serve(self, loop: asyncio.AbstractEventLoop, due: float = -math.inf) -> None:
        """Give turns to those who wait, and arm a timer for the next one.

        Args:
            loop: Whose timer it is.
            due: The time of the timer that calls this; the loop may call a little early.

        """
        now = max(loop.time(), due)
        if now >= self._looks_from:
            self._looks_from = -math.inf  # also for those whose clock is a little behind
            _answer(self._paused, turn_taken=False)
        self._let_ready_go(now)
        while queue := self._next_queue():
            turn = next(iter(queue))
            if not turn.done():  # else it was cancelled, and takes no turn
                if not self._take(now):
                    break
                turn.set_result(True)
                self._looked = queue is self._looks
            del queue[turn]
        self._disarm()
        due = self._looks_from if self._paused else math.inf
        if self._calls or self._looks:
            due = min(due, self._turns.free_at(self._rate(now)))
        if self._ready:
            due = min(due, self._departures.free_at(self._rate(now)))
        if due != math.inf:
            due = max(due, now + 1e-4)
            self._timer = loop.call_at(due, self._serve, loop, due)

    def _let_ready_go(self, now: float) -> None:
        while self._ready:
            ready = next(iter(self._ready))
            if not ready.done():
                if not self._departures.take(now, self._rate(now)):
                    break
                ready.set_result(True)
            del self._ready[ready]

    def _next_queue(self) -> OrderedDict[asyncio.Future[bool], None]:
        if self._calls and (not self._looks or self._looked):
            return self._calls
        return self._looks


class _Pace:
    """Spreads what is taken over time, at a rate that may change: a leaky bucket."""

    def __init__(self) -> None:
        self._next_at = -math.inf

    def take(self, now: float, rate: float) -> bool:
        """Take one if there is one at this time, and tell whether there was."""
        if rate != math.inf:
            if self.free_at(rate) > now + 1e-9:
                return False
            self._next_at = max(self._next_at, now) + 1 / rate
        return True

    def free_at(self, rate: float) -> float:
        """Return when there is one."""
        return self._next_at - max(_BURST - 1 / rate, 0.0)

    def hold_until(self, moment: float) -> None:
        """Let there be none until a time, but for a burst."""
        self._next_at = max(self._next_at, moment)


def _answer(queue: OrderedDict[asyncio.Future[bool], None], *, turn_taken: bool) -> None:
    """Let all go on who wait in a queue."""
    for turn in queue:
        if not turn.done():
            turn.set_result(turn_taken)
    queue.clear()
