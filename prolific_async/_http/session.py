"""The aiohttp session of a client: made at the first request and closed, or borrowed."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import aiohttp
from aiohttp import hdrs
from attrs import Factory, define, field
from multidict import CIMultiDict
from yarl import URL

from prolific_async import errors
from prolific_async._http import caller_session
from prolific_async._http.base_url import proxy_for
from prolific_async._http.rate_limiter import RateLimiter
from prolific_async._http.time_limit import Interruptible, TimeLimit
from prolific_async._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prolific_async._http.credentials import Token
    from prolific_async.policies import RetryPolicy


@define(eq=False, repr=False)
class LoopSession:
    """An aiohttp session in its event loop, with the limits on its requests.

    Attributes:
        loop: The event loop.
        http: The aiohttp session.
        headers: Headers to send with each request; empty where ``http`` adds them itself.
        rate_limiter: Decides when each request starts.
        time_limit: Time limit of each attempt.
        streams: Limits the bodies that callers read at their own pace to half of the connections,
            so that polls and plain calls find a free one.
        closing: Set when the client is closed.
        time_limits: Time limits of views, by their seconds; each lives as long as a view or a
            request uses it.
        transfers: Uploads, downloads and streams under way, to interrupt when the client is closed.
        middlewares: The session's own middlewares, which those of a request would replace.
        changes_bodies: Whether ``http`` may send another body than it is given, as a subclass of
            ``ClientSession`` or ``ClientRequest`` that signs requests.

    """

    loop: asyncio.AbstractEventLoop
    http: aiohttp.ClientSession
    headers: CIMultiDict[str]  # a CIMultiDict saves a conversion per request
    rate_limiter: RateLimiter
    time_limit: TimeLimit
    streams: asyncio.Semaphore
    closing: asyncio.Event = Factory(asyncio.Event)
    time_limits: WeakValueDictionary[float, TimeLimit] = Factory(WeakValueDictionary)
    transfers: set[Interruptible] = Factory(set)
    middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = field(init=False)
    changes_bodies: bool = field(init=False)

    @middlewares.default
    def _middlewares_of_session(self) -> tuple[aiohttp.ClientMiddlewareType, ...]:
        return tuple(getattr(self.http, "_middlewares", None) or ())  # no public name

    @changes_bodies.default
    def _has_classes_of_its_own(self) -> bool:
        request_class = getattr(self.http, "_request_class", None)  # no public name
        return (type(self.http), request_class) != (aiohttp.ClientSession, aiohttp.ClientRequest)

    def interrupt(self) -> None:
        """End all pauses, release queued requests, and interrupt requests and transfers."""
        self.closing.set()
        self.rate_limiter.close()
        self.streams.release()  # the next waiter sees the closed client, and releases the one after
        self.time_limit.close()
        for time_limit in list(self.time_limits.values()):
            time_limit.close()
        for transfer in list(self.transfers):
            transfer.interrupt()


class SessionOwner:
    """Holds one session at a time, made or borrowed, for the event loop that uses it.

    Args:
        token: Sent with each request.
        base_url: Base URL of the service, to which requests are sent.
        session: The session to borrow, None to make one.
        request_timeout: Time limit of one attempt, in seconds.
        max_connections: The most requests under way at once.
        max_requests_per_second: Rate limit of all requests, None for no limit.
        retry: Says how often a request is sent again, and how long a Retry-After is obeyed.
        trace_configs: aiohttp's trace configs, for the session that is made.

    Attributes:
        prefix: Path of a gateway before the service's own paths, "" for none.

    """

    def __init__(
        self,
        token: Token,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None,
        request_timeout: float,
        max_connections: int,
        max_requests_per_second: float | None,
        retry: RetryPolicy,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self._token = token
        self._base_url = base_url
        url = URL(base_url)
        self._origin = url.origin()
        self.prefix = url.raw_path.rstrip("/")
        self._retry = retry
        self._borrowed = session
        self.request_timeout = request_timeout
        self._max_connections = max_connections
        self._max_requests_per_second = max_requests_per_second
        self._trace_configs = caller_session.checked_trace_configs(session, trace_configs)
        self._session: LoopSession | None = None
        self._closed = False

    @property
    def polls_at_once(self) -> int:
        """The most polls under way at once: half of the connections, to leave some for calls."""
        return max(1, self._connection_limit() // 2)

    def _connection_limit(self) -> int:
        connector = self._borrowed.connector if self._borrowed is not None else None
        limits = [self._max_connections]
        if connector is not None:
            limits += [connector.limit, connector.limit_per_host]
        return min(limit for limit in limits if limit)  # aiohttp's 0 means no limit

    @property
    def origin(self) -> URL:
        """Scheme, host and port of the service."""
        return self._origin

    @property
    def retry(self) -> RetryPolicy:
        """How often a request is sent again, and after which pauses."""
        return self._retry

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    def check_usable(self) -> None:
        """Raise ConfigurationError if the client or its session is closed, or the loop is wrong."""
        if self._closed:
            raise errors.ConfigurationError("this ProlificClient is closed; make a new one")
        self.check_loop()
        if self._borrowed is not None and self._borrowed.closed:
            raise errors.ConfigurationError(
                "the aiohttp session given to this ProlificClient is closed; give an open one"
            )

    def check_loop(self) -> None:
        """Raise ConfigurationError if no loop runs here, or another open loop has the session."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise errors.ConfigurationError(
                "no asyncio event loop runs here; from another thread, use the client through "
                "loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe"
            ) from None
        session = self._session
        if session is not None and session.loop is not loop and not session.loop.is_closed():
            raise errors.ConfigurationError(
                "this ProlificClient is in use by another event loop that still runs; "
                "make one client for each loop"
            )

    async def close(self) -> None:
        """Interrupt all requests, and close the session if it was made here. Idempotent."""
        if self._closed:
            return
        self.check_loop()
        self._closed = True
        await self._end_session(self._session)

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts, for the given seconds or until the client is closed."""
        session = self._session or await self._open()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await session.closing.wait()

    async def session_here(self) -> LoopSession:
        """Return the session of the running loop; open it if there is none."""
        session = self._session
        if session is None or session.loop is not asyncio.get_running_loop():
            session = await self._open()
        return session

    async def _open(self) -> LoopSession:
        """Make or borrow the session for the running loop; drop that of a closed loop."""
        self.check_usable()
        previous = self._session
        limit = self._connection_limit()
        headers = _headers(self._token)
        if self._borrowed is None:
            http, headers = self._make(headers)
        else:
            caller_session.check(self._borrowed, self._base_url)
            http = self._borrowed
        loop = asyncio.get_running_loop()
        rate_limiter = RateLimiter(self._max_requests_per_second, limit)
        time_limit = TimeLimit(self.request_timeout, loop)
        streams = asyncio.Semaphore(max(1, limit // 2))
        session = LoopSession(loop, http, headers, rate_limiter, time_limit, streams)
        self._session = session
        await self._end_session(previous)
        return session

    def _make(self, headers: CIMultiDict[str]) -> tuple[aiohttp.ClientSession, CIMultiDict[str]]:
        """Make a session; return it with the headers that must be given to each request."""
        proxy = proxy_for(self._base_url)
        # Headers of a session are quicker than those of each request, but a proxy would see them.
        by_session = proxy is None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # limited by the rate limiter's slots
            # A load balancer's cookie must not tie a thousand waits to one machine.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers if by_session else None,
            proxy=proxy,
            trace_configs=self._trace_configs,
        )
        return session, CIMultiDict() if by_session else headers

    async def _end_session(self, session: LoopSession | None) -> None:
        if session is not None:
            if not session.loop.is_closed():  # a closed loop wakes nobody
                session.interrupt()
            if self._borrowed is None:
                await session.http.close()


def _headers(token: Token) -> CIMultiDict[str]:
    """Return the headers of every request.

    The names are aiohttp's constants, which need no conversion for each request.
    """
    return CIMultiDict(
        {
            hdrs.AUTHORIZATION: token.authorization(),
            hdrs.USER_AGENT: (
                f"prolific-async/{__version__} "
                f"python/{sys.version_info[0]}.{sys.version_info[1]} "
                f"aiohttp/{aiohttp.__version__}"
            ),
            # Libraries shall name themselves here: https://docs.prolific.com/api-reference
            hdrs.REFERER: f"https://prolific-async/{__version__}/",
            hdrs.ACCEPT: "application/json",
            # Else a cache, of a session or on the way, might return an old response to a poll.
            hdrs.CACHE_CONTROL: "no-cache",
        }
    )
