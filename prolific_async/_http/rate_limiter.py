"""Rate limiter and connection slots, shared by all requests of a client."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from typing import TypeAlias

from prolific_async._logging import log as _log

# Requests per second: the lowest rate after a first 429, or half the limit if that is lower.
# Further 429s may go below it.
_FIRST_MIN_RATE = 5.0
_MIN_RATE = 0.5  # the lowest rate ever: the next request is at most two seconds away
_DECREASE = 0.5  # each 429 multiplies the rate by this
_PROBING = 15.0  # seconds from the last 429 until the refused rate is tried again
_RECOVERY = 30.0  # seconds from the last 429 until the rate before the first 429 is back
_DOUBLING = 30.0  # seconds in which the rate doubles after the recovery
_DOUBLINGS = 60  # bounds the exponent, which would overflow
_LIFT_FACTOR = 4.0  # a slowed rate above this many times the demand is no longer applied
_BURST = 0.2  # share of a second's requests that may start at once: 1.2 times the rate at most

_Queue: TypeAlias = "OrderedDict[asyncio.Future[None], None]"


class RateLimiter:
    """Starts requests when a connection slot is free and the rate allows it.

    Requests start in the order of their arrival, but polls and plain calls take turns if both wait.
    A pause holds back only polls, which take no slot meanwhile.

    Without a limit, requests are only counted until the first 429. A 429 halves the rate. The
    rate then grows as in TCP's CUBIC (RFC 9438): fast to just below the refused rate, slowly past
    it, and fast again unless another 429 comes, until the rate delays no request any more. 30 s
    after the last 429, the rate from before the first is back, however many there were.

    Args:
        limit: Requests per second, None for no limit.
        connections: Number of connection slots: the most requests under way at once.

    Attributes:
        slows: Whether a rate limits the requests now.
        is_closed: Whether ``close`` was called; no request is delayed any more.

    """

    # Requests per second, set at a 429:
    _slowed_to: float
    _refused: float  # rate at the newest 429
    _former: float  # rate before the first of several 429s in a row

    def __init__(self, limit: float | None = None, connections: float = math.inf) -> None:
        self._limit = math.inf if limit is None else limit
        self._free_slots = connections
        self.slows = limit is not None
        self.is_closed = False
        self._slowed_at: float | None = None
        self._second = -math.inf  # start of the second in which requests are counted
        self._count = 0
        self._last_count = 0
        self._demand = 0  # requests in the last second that had any
        self._starts = _LeakyBucket()
        self._departures = _LeakyBucket()
        self._polls_from = -math.inf
        # OrderedDict: removing a cancelled future and finding the first one are both O(1).
        self._calls: _Queue = OrderedDict()
        self._polls: _Queue = OrderedDict()
        self._connected: _Queue = OrderedDict()
        self._last_was_poll = False
        self._timer: asyncio.TimerHandle | None = None

    def start_now(self, now: float, *, poll: bool) -> bool:
        """Start a request if it need not wait, and return whether it was started."""
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
            # If it was cancelled just after its start, it has a slot to give back.
            if turn.done() and not turn.cancelled():
                self.finish()
            raise

    def finish(self) -> None:
        """Give the connection slot of a request back."""
        self._free_slots += 1
        if waiting := self._calls or self._polls:
            # The garbage collector may finish a request of a closed loop while another loop runs.
            loop = next(iter(waiting)).get_loop()
            if not loop.is_closed():
                self._serve(loop)

    def may_send(self, now: float) -> bool:
        """Return whether a started request that has its connection may be sent now.

        The rate is applied again here, as many started requests may get connections at once.
        """
        return not self.slows or (
            not self._connected and self._departures.take(now, self._rate(now))
        )

    async def wait_to_send(self) -> None:
        """Wait until a started request that has its connection may be sent."""
        await self._wait_in(self._connected, asyncio.get_running_loop().create_future())

    async def _wait_in(self, queue: _Queue, turn: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        queue[turn] = None
        self._serve(loop)
        try:
            await turn
        finally:
            if turn in queue:  # cancelled while it waited
                del queue[turn]
                self._serve(loop)

    def slow_down(self, sent_at: float, now: float) -> None:
        """Lower the rate after a 429, unless its request was sent before the last slow-down."""
        slowed_at = self._slowed_at
        if slowed_at is not None and sent_at <= slowed_at:
            return
        allowed = self._rate(now)
        rate = min(allowed, max(self._last_count, self._count))
        min_rate = min(_FIRST_MIN_RATE, self._limit * _DECREASE)
        if slowed_at is not None:
            min_rate = min(min_rate, max(allowed * _DECREASE, _MIN_RATE))
        self._slowed_to = max(rate * _DECREASE, min_rate)
        _log.log(
            logging.INFO if slowed_at is not None else logging.WARNING,
            "the service answered 429: at most %.3g requests a second from now, then more again",
            self._slowed_to,
        )
        self._refused = max(rate, self._slowed_to + min_rate * _DECREASE)
        if slowed_at is None or now - slowed_at > _RECOVERY:
            self._former = self._refused
        self._former = max(self._former, self._refused)
        self._slowed_at = now
        self.slows = True
        self._starts.hold_until(now + 1 / self._slowed_to)

    def pause_polls(self, until: float) -> None:
        """Hold back all polls until a loop time, even those that already wait."""
        self._polls_from = max(self._polls_from, until)
        if self._polls:
            self._serve(asyncio.get_running_loop())

    def close(self) -> None:
        """Release all waiting requests, which will see the closed client; delay none any more."""
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
        """Return the allowed requests per second."""
        if self._slowed_at is None:
            return self._limit
        age = now - self._slowed_at
        if age < _PROBING:
            rate = self._refused - (self._refused - self._slowed_to) * (1 - age / _PROBING) ** 3
        else:
            share = min((age - _PROBING) / (_RECOVERY - _PROBING), 1.0)
            rate = self._refused + (self._former - self._refused) * share**3
        # Grows gradually: else all waiting requests would start at once, and be refused together.
        rate *= 2 ** min(max(age - _RECOVERY, 0.0) / _DOUBLING, _DOUBLINGS)
        if rate >= self._limit or (age > 2 * _RECOVERY and rate > _LIFT_FACTOR * self._demand):
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
        """Count a request in the current second."""
        if now - self._second >= 1:
            self._demand = self._count
            self._last_count = self._count if now - self._second < 2 else 0  # noqa: PLR2004
            self._second, self._count = now, 0
        self._count += 1

    def _serve(self, loop: asyncio.AbstractEventLoop, due: float = -math.inf) -> None:
        """Start the waiting requests that may start, and set a timer for the next one.

        Args:
            loop: The event loop.
            due: Loop time for which the calling timer was set; it may fire a little early.

        """
        now = max(loop.time(), due)
        if now >= self._polls_from:
            self._polls_from = -math.inf  # the clock may still be before ``due``
        self._serve_connected(now)
        while self._free_slots and (queue := self._next_queue(now)):
            turn = next(iter(queue))
            if not turn.done():  # a cancelled request takes no slot
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
        """Return the loop time for which the timer must be set, inf if no timer is needed."""
        due = self._polls_from if self._polls and self._polls_from > now else math.inf
        if self._free_slots and self._next_queue(now):
            due = min(due, self._starts.free_at(self._rate(now)))
        if self._connected:
            due = min(due, self._departures.free_at(self._rate(now)))
        return due

    def _next_queue(self, now: float) -> _Queue | None:
        """Return the queue that has the next request; None or an empty one if no request waits."""
        polls = self._polls if now >= self._polls_from else None
        if self._calls and (not polls or self._last_was_poll):
            return self._calls
        return polls


class _LeakyBucket:
    """Spreads requests over time, at a rate that may change."""

    def __init__(self) -> None:
        self._next_at = -math.inf

    def take(self, now: float, rate: float) -> bool:
        """Let one request pass if the rate (per second) allows; return whether it passed."""
        if rate != math.inf:
            if self.free_at(rate) > now + 1e-9:
                return False
            self._next_at = max(self._next_at, now) + 1 / rate
        return True

    def free_at(self, rate: float) -> float:
        """Return the loop time from which the next request may pass."""
        return self._next_at - max(_BURST - 1 / rate, 0.0)

    def hold_until(self, moment: float) -> None:
        """Let at most one burst of requests pass before the given loop time."""
        self._next_at = max(self._next_at, moment)
