"""What a client has in one event loop: its session, what each request says, and its limits."""

from __future__ import annotations

import asyncio
import sys
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict

from prolific_async._http.addresses import proxy_for
from prolific_async._http.admission import Admission
from prolific_async._http.time_limit import TimeLimit
from prolific_async._version import __version__

if TYPE_CHECKING:
    from yarl import URL

    from prolific_async._http.credentials import Token


def headers_with(token: Token) -> CIMultiDict[str]:
    """Return the headers of every request."""
    return CIMultiDict(
        {
            "Authorization": token.authorization(),
            "User-Agent": (
                f"prolific-async/{__version__} "
                f"python/{sys.version_info[0]}.{sys.version_info[1]} "
                f"aiohttp/{aiohttp.__version__}"
            ),
            # Libraries are asked to name themselves so: https://docs.prolific.com/api-reference
            "Referer": f"https://prolific-async/{__version__}/",
            "Accept": "application/json",
            # Else a cache, of a session or on the way, answers a poll with the one before.
            "Cache-Control": "no-cache",
        }
    )


class _NoCookies(aiohttp.DummyCookieJar):
    """A jar that is always empty, and does not make an empty one for each request."""

    def __init__(self) -> None:
        super().__init__()
        self._none: SimpleCookie = SimpleCookie()

    def filter_cookies(self, request_url: URL) -> SimpleCookie:  # noqa: ARG002 - aiohttp's
        """Return no cookies."""
        return self._none


def own_session(
    token: Token, base_url: str, limit: int, trace_configs: list[aiohttp.TraceConfig]
) -> tuple[aiohttp.ClientSession, CIMultiDict[str]]:
    """Make a session, and return it with the headers that each request must bring to it."""
    proxy = proxy_for(base_url)
    # Quicker than with each request, but aiohttp would show them to a proxy, too.
    by_session = proxy is None
    headers = headers_with(token)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit),
        # A load balancer's cookie must not tie a thousand waits to one machine.
        cookie_jar=_NoCookies(),
        headers=headers if by_session else None,
        proxy=proxy,
        trace_configs=trace_configs,
    )
    return session, CIMultiDict() if by_session else headers


class Connected:
    """What belongs to one event loop.

    Args:
        loop: The loop.
        session: Sends the requests.
        headers: Of each request; empty where the session sends them itself.
        connections: Requests that may be under way at once.
        request_timeout: Seconds for one attempt.
        max_requests_per_second: None for no limit.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: aiohttp.ClientSession,
        headers: CIMultiDict[str],
        *,
        connections: int,
        request_timeout: float,
        max_requests_per_second: float | None,
    ) -> None:
        self.loop = loop
        self.closing = asyncio.Event()
        self.session = session
        # A CIMultiDict saves a conversion for each request.
        self.headers = headers
        self.headers_with_body = headers.copy()
        self.headers_with_body["Content-Type"] = "application/json"
        # A request's take the place of the session's, for which aiohttp has no public name.
        self.middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = tuple(
            getattr(session, "_middlewares", None) or ()
        )
        self.admission = Admission(connections, max_requests_per_second)
        self.limit = TimeLimit(request_timeout, loop)
