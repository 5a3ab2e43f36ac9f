"""One HTTP request, before it is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from attrs import define

JSON = "application/json"


class Request(NamedTuple):
    """One HTTP request, before it is sent.

    Attributes:
        method: HTTP method.
        path: Percent-encoded path from the host's root.
        query: Percent-encoded query, empty for none.
        body: The body, None for none.
        read: Called with the response's JSON, the method and the path; returns what the call is
            for. None for the whole response.
        content_type: Media type of the body.
        hides_response: Whether the body of a success holds a secret, so that no error shows it.

    """

    method: str
    path: str
    query: str = ""
    body: bytes | None = None
    read: Callable[[Any, str, str], Any] | None = None
    content_type: str = JSON
    hides_response: bool = False

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


@define(eq=False, kw_only=True, repr=False, weakref_slot=False)
class Poll:
    """How the request of a poll is sent: once, with half of the connections, after pauses.

    Attributes:
        within: Seconds that it may take, where they are fewer than ``request_timeout``.
        sent_at: When its first request was sent, in loop time; None before. That may be long after
            the call: never while it waits for a connection slot, for the rate limit, or for the
            end of a pause.

    """

    within: float = math.inf
    sent_at: float | None = None
