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
        query: Percent-encoded query string, empty for none.
        body: The body, None for none.
        read: Turns the response's JSON into the result of the call; called with the JSON, and
            with method and path for errors. None to return the ``Response``.
        content_type: Media type of the body.
        hides_response: Whether the body of a success holds a secret, which no error may show.

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
        """Path and query, as in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path


@define(eq=False, kw_only=True, repr=False, weakref_slot=False)
class PollTiming:
    """A poll: the time limit of its requests, and when the first of them was sent.

    Attributes:
        time_limit: Time limit of a request in seconds, if shorter than ``request_timeout``.
        sent_at: Loop time at which the first request was allowed to start, None before. It may
            first wait long for a connection slot, the rate limit, or the end of a pause.

    """

    time_limit: float = math.inf
    sent_at: float | None = None
