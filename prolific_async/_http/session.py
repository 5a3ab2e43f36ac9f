"""The aiohttp session of a client in its event loop, with what its requests have in common."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import Factory, define, field

if TYPE_CHECKING:
    import aiohttp
    from multidict import CIMultiDict
    from yarl import URL

    from prolific_async._http.credentials import Token
    from prolific_async._http.rate_limiter import RateLimiter
    from prolific_async._http.time_limit import TimeLimit


@define(eq=False)
class LoopSession:
    """A session in its event loop, with the limits of the requests that it sends.

    Attributes:
        loop: The event loop.
        http: Sends the requests.
        origin: Where they are sent.
        token: The token, which no error may show.
        headers: Headers of each request; empty where the session sends them itself.
        rate_limiter: Starts the requests.
        time_limit: Bounds each attempt.
        retry_after_cap: The most seconds for which a Retry-After holds polls back.
        closing: Set when the client is closed.
        time_limits: Those of views, by their seconds; each lives as long as a view or a request.
        middlewares: Those of the session, whose place a request's own would take.

    """

    loop: asyncio.AbstractEventLoop
    http: aiohttp.ClientSession
    origin: URL
    token: Token
    headers: CIMultiDict[str]  # saves a conversion for each request
    rate_limiter: RateLimiter
    time_limit: TimeLimit
    retry_after_cap: float
    closing: asyncio.Event = Factory(asyncio.Event)
    time_limits: WeakValueDictionary[float, TimeLimit] = Factory(WeakValueDictionary)
    middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = field(init=False)

    @middlewares.default
    def _middlewares_of_session(self) -> tuple[aiohttp.ClientMiddlewareType, ...]:
        return tuple(getattr(self.http, "_middlewares", None) or ())  # it has no public name

    def interrupt(self) -> None:
        """End everything that waits, and all requests under way."""
        self.closing.set()
        self.rate_limiter.close()
        self.time_limit.close()
        for time_limit in list(self.time_limits.values()):
            time_limit.close()
