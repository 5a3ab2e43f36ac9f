"""The requests that the simulator has seen."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from prolific_async.simulator.bodies import MAX_BODY, Body, OmittedBody

__all__ = ["Arrival", "RequestLog", "SeenRequest"]

# Left out whole, whatever the scheme: a real token sent here by mistake is no less secret.
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie"})


@attrs.frozen(kw_only=True)
class SeenRequest:
    """One request that the simulator has seen.

    Args:
        method: In capitals.
        path: As it was sent, percent-encoded, without the query.
        query: The decoded query parameters, the first of a name.
        body: The decoded JSON, the text when it is no JSON, None when there was none. Of all
            bodies the newest 8 MiB are kept; the others are an `OmittedBody`, which has the size.
        status: The status answered; None when the connection ended before an answer.
        at: When it arrived, on the loop's clock in seconds.
        headers: By lower-case name. What carries credentials is left out.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None
    at: float
    headers: Mapping[str, str] = attrs.field(repr=False)


@attrs.define(eq=False)
class Arrival:
    """A request's place in the log, filled in as it is worked on.

    Args:
        seen: What is known of it.
        over: Whether it was answered or its connection ended.
        dropped: Whether newer ones have taken its place.
    """

    seen: SeenRequest
    over: bool = False
    dropped: bool = False

    def note(self, **changes: Any) -> None:
        """Change what is known of the request."""
        self.seen = attrs.evolve(self.seen, **changes)


class RequestLog:
    """Requests in the order of their arrival.

    One thread writes it, others may read it meanwhile.

    Args:
        size: How many of the newest are kept; None for all.
    """

    def __init__(self, size: int | None) -> None:
        self._arrivals: deque[Arrival] = deque()
        self._size = size
        # The sizes of the bodies that are kept, oldest first.
        self._bodies: OrderedDict[Arrival, int] = OrderedDict()
        self._total = 0

    def arrive(
        self,
        *,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        at: float,
    ) -> Arrival:
        """Make room for a request that has just arrived."""
        shown = {name.lower(): value for name, value in headers.items()}
        arrival = Arrival(
            SeenRequest(
                method=method,
                path=path,
                query=MappingProxyType(dict(query)),
                body=None,
                status=None,
                at=at,
                headers=MappingProxyType(
                    {name: value for name, value in shown.items() if name not in _SECRET}
                ),
            )
        )
        self._arrivals.append(arrival)
        if self._size is not None and len(self._arrivals) > self._size:
            dropped = self._arrivals.popleft()
            dropped.dropped = True
            self._total -= self._bodies.pop(dropped, 0)
        return arrival

    def keep_body(self, arrival: Arrival, body: Body) -> None:
        """Note a request's body, and give up the oldest ones where they become too much."""
        arrival.note(body=body.content)
        if arrival.dropped or not 0 < body.size <= MAX_BODY:
            return
        self._bodies[arrival] = body.size
        self._total += body.size
        while self._total > MAX_BODY:
            oldest, size = self._bodies.popitem(last=False)
            oldest.note(body=OmittedBody(size))
            self._total -= size

    def finished(self) -> tuple[SeenRequest, ...]:
        """Return the requests that were answered or whose connection ended."""
        return tuple(arrival.seen for arrival in self._now() if arrival.over)

    def in_flight(self) -> tuple[SeenRequest, ...]:
        """Return the requests that are still being read or answered."""
        return tuple(arrival.seen for arrival in self._now() if not arrival.over)

    def _now(self) -> deque[Arrival]:
        # In one step, since a deque that grows meanwhile can't be iterated over.
        return self._arrivals.copy()
