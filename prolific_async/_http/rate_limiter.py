"""Rate limiter and connection slots, shared by all requests of a client."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from typing import TypeAlias

from prolific_async._logging import log as _log

# Requests a second that a 429 does not go below, unless the limit is that low. A service that
# refuses these, too, is asked less often.
_LEAST = 5.0
_LEAST_OF_ALL = 0.5  # so that the next request is at most two seconds away, and growth is soon felt
_DECREASE = 0.5  # of the rate there was, at each 429
_PROBING = 15.0  # seconds from the last 429 until the rate that was refused is tried again
_RECOVERY = 30.0  # seconds from the last 429 until the rate from before the first one is back
_DOUBLING = 30.0  # seconds in which the rate doubles once that is back
_DOUBLINGS = 60  # after which no rate holds anything up; more would overflow
_SPARE = 4.0  # times the rate there is use for: a limit that high holds nothing up
_BURST = 0.2  # of a second's worth may go at once, so that no second carries more than 1.2 of it

_Queue: TypeAlias = "OrderedDict[asyncio.Future[None], None]"


class RateLimiter:
    """Starts requests when a connection slot is free and the rate allows it.

    Requests start in the order in which they came, polls and plain calls alternately where both
    wait. A pause holds back polls alone; they take no slot meanwhile.

    Without a limit and without a 429 it only counts. After a 429 the rate that there was is halved.
    It grows back as in TCP's CUBIC (RFC 9438): fast to just below the rate that was refused, slowly
    past it, and fast again when that is not refused, until it no longer holds anything up. However
    many 429s there were, the rate from before the first is back 30 s after the last.

    Args:
        limit: Requests a second, None for no limit.
        connections: Requests that may be under way at once.

    Attributes:
        slows: Whether there is a rate now.
        is_closed: Whether it holds nothing back any more.

    """

    # Rates, set at a 429:
    _slowed_to: float
    _refused: float  # at the newest 429
    _former: float  # before the first 429 of those that came in a row

    def __init__(self, limit: float | None = None, connections: float = math.inf) -> None:
        self._limit = math.inf if limit is None else limit
        self._free_slots = connections
        self.slows = limit is not None
        self.is_closed = False
        self._slowed_at: float | None = None
        self._second = -math.inf  # when the second that is being counted began
        self._count = 0
        self._last_count = 0
        self._used = 0  # in the last second in which there was any
        self._starts = _LeakyBucket()
        self._departures = _LeakyBucket()
        self._polls_from = -math.inf
        # A cancelled future leaves without a search, and unlike in a dict, the first is found
        # without going through those that were before it.
        self._calls: _Queue = OrderedDict()
        self._polls: _Queue = OrderedDict()
        self._connected: _Queue = OrderedDict()
        self._last_was_poll = False
        self._timer: asyncio.TimerHandle | None = None

    def start_now(self, now: float, *, poll: bool) -> bool:
        """Start a request if nothing holds it back, and return whether it was started."""
        if not self._free_slots or self._calls or self._polls or (poll and now < self._polls_from):
            return False
        if self.slows:
            if not self._take(now):
                return False
        elif now - self._second < 1:
            self._count += 1
        else:
            self._note(now)
        self._free_slots -= 1
        return True

    async def start(self, *, poll: bool) -> None:
        """Wait until a request may start; ``finish`` must follow."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            await self._wait_in(self._polls if poll else self._calls, turn)
        except BaseException:
            # Cancelled, but perhaps in the moment in which it was started.
            if turn.done() and not turn.cancelled():
                self.finish()
            raise

    def finish(self) -> None:
        """Give the connection slot of a request back."""
        self._free_slots += 1
        if waiting := self._calls or self._polls:
            # The garbage collector may finish a request of a loop that has ended, in any other one.
            loop = next(iter(waiting)).get_loop()
            if not loop.is_closed():
                self._serve(loop)

    def may_depart(self, now: float) -> bool:
        """Return whether a request that was started may be sent, now that it has a connection.

        Mostly it may. But many that had to wait for their connections could get them at once.
        """
        return not self.slows or (
            not self._connected and self._departures.take(now, self._rate(now))
        )

    async def wait_to_depart(self) -> None:
        """Wait until a request that has its connection may be sent."""
        await self._wait_in(self._connected, asyncio.get_running_loop().create_future())

    async def _wait_in(self, queue: _Queue, turn: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        queue[turn] = None
        self._serve(loop)
        try:
            await turn
        finally:
            if turn in queue:  # cancelled before its turn
                del queue[turn]
                self._serve(loop)

    def slow_down(self, sent_at: float, now: float) -> None:
        """Slow down after a 429, unless its request was sent before the last slow-down."""
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
            self._former = self._refused
        self._former = max(self._former, self._refused)
        self._slowed_at = now
        self.slows = True
        self._starts.hold_until(now + 1 / self._slowed_to)

    def pause_polls(self, until: float) -> None:
        """Hold all polls back until a time, also those that wait already."""
        self._polls_from = max(self._polls_from, until)
        if self._polls:
            self._serve(asyncio.get_running_loop())

    def close(self) -> None:
        """Hold nothing back any more: each waiting request is to find out that all is over."""
        self._limit = self._free_slots = math.inf
        self._slowed_at = None
        self.slows = False
        self._polls_from = -math.inf
        self.is_closed = True
        for queue in (self._connected, self._calls, self._polls):
            for turn in queue:
                if not turn.done():
                    turn.set_result(None)
            queue.clear()
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rate(self, now: float) -> float:
        """Return the requests a second that are allowed now."""
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
        if not self._starts.take(now, self._rate(now)):
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
        """Let the requests go on that may, and arm a timer for the next one.

        Args:
            loop: The loop of the timer.
            due: The time of the timer that calls this; the loop may call a little early.

        """
        now = max(loop.time(), due)
        if now >= self._polls_from:
            self._polls_from = -math.inf  # also for a clock that is a little behind
        self._serve_connected(now)
        while self._free_slots and (queue := self._next_queue(now)):
            turn = next(iter(queue))
            if not turn.done():  # else it was cancelled, and takes nothing
                if not self._take(now):
                    break
                self._free_slots -= 1
                turn.set_result(None)
                self._last_was_poll = queue is self._polls
            del queue[turn]
        self._disarm()
        due = max(self._next_due(now), now + 1e-4)
        if due != math.inf:
            self._timer = loop.call_at(due, self._serve, loop, due)

    def _serve_connected(self, now: float) -> None:
        while self._connected:
            turn = next(iter(self._connected))
            if not turn.done():
                if not self._departures.take(now, self._rate(now)):
                    return
                turn.set_result(None)
            del self._connected[turn]

    def _next_due(self, now: float) -> float:
        """Return when time alone lets the next request go on."""
        due = self._polls_from if self._polls and self._polls_from > now else math.inf
        if self._free_slots and self._next_queue(now):
            due = min(due, self._starts.free_at(self._rate(now)))
        if self._connected:
            due = min(due, self._departures.free_at(self._rate(now)))
        return due

    def _next_queue(self, now: float) -> _Queue | None:
        """Return the queue whose first request is next, None or an empty one if none waits."""
        polls = self._polls if now >= self._polls_from else None
        if self._calls and (not polls or self._last_was_poll):
            return self._calls
        return polls


class _LeakyBucket:
    """Spreads what is taken over time, at a rate that may change."""

    def __init__(self) -> None:
        self._next_at = -math.inf

    def take(self, now: float, rate: float) -> bool:
        """Take one if there is one at this time, and return whether there was."""
        if rate != math.inf:
            if self.free_at(rate) > now + 1e-9:
                return False
            self._next_at = max(self._next_at, now) + 1 / rate
        return True

    def free_at(self, rate: float) -> float:
        """Return when there is one."""
        return self._next_at - max(_BURST - 1 / rate, 0.0)

    def hold_until(self, moment: float) -> None:
        """Let there be none until a time, except for a burst."""
        self._next_at = max(self._next_at, moment)
