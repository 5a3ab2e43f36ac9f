"""The requests that the simulator has seen."""

import json
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

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
        body: The decoded JSON, the text when it is no JSON, None when there was none.
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
    """A request's place in the log, filled in as it is worked on."""

    seen: SeenRequest
    over: bool = False

    def note(self, **changes: Any) -> None:
        """Change what is known of the request."""
        self.seen = attrs.evolve(self.seen, **changes)


class RequestLog:
    """Requests in the order of their arrival.

    Args:
        size: How many of the newest are kept; None for all.
    """

    def __init__(self, size: int | None) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=size)

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
        return arrival

    def finished(self) -> tuple[SeenRequest, ...]:
        """Return the requests that were answered or whose connection ended."""
        return tuple(arrival.seen for arrival in self._arrivals if arrival.over)

    def in_flight(self) -> tuple[SeenRequest, ...]:
        """Return the requests that are still being read or answered."""
        return tuple(arrival.seen for arrival in self._arrivals if not arrival.over)


def shown_body(raw: bytes) -> Any:
    """Return a request's body in the form that asserts are written in."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode(errors="replace")
