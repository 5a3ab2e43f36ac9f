"""Log of the requests that the simulator has received, and the middleware that fills it."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from prolific_async.simulator.presigned_urls import hide_signature
from prolific_async.simulator.request_body import MAX_BODY, Body, OmittedBody, read_body
from prolific_async.simulator.responses import RefusedError

__all__ = ["LOG_ENTRY", "LogEntry", "RequestLog", "SeenRequest", "log_requests"]

# Left out whatever they hold: a real token may be sent here by mistake.
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie"})


@attrs.frozen(kw_only=True)
class SeenRequest:
    """A request that the simulator has received.

    Args:
        method: In capitals.
        path: As it was sent, percent-encoded, without the query.
        query: The decoded query parameters, the first one of each name, without the signature of a
            presigned URL.
        body: The decoded JSON, else the text, or None when it was empty. The newest 8 MiB of all
            bodies are kept; the others are an `OmittedBody`, which has the size. So is a file that
            is sent to a presigned URL, with the size so far.
        status: The status of the response; None when the connection ended before one was sent.
        at: When it arrived, on the loop's clock in seconds.
        headers: By lower-case name, without those that carry credentials.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None
    at: float
    headers: Mapping[str, str] = attrs.field(repr=False)


@attrs.define(eq=False)
class LogEntry:
    """A request in the log.

    Args:
        seen: The request, as far as it is known.
        finished: Whether it got its response or its connection ended.
        dropped: Whether newer requests have displaced it.
    """

    seen: SeenRequest
    finished: bool = False
    dropped: bool = False

    def update(self, **changes: Any) -> None:
        """Set attributes of the request."""
        self.seen = attrs.evolve(self.seen, **changes)


LOG_ENTRY = web.RequestKey("log entry", LogEntry)


class RequestLog:
    """The requests in the order of their arrival, written by one thread and read by any.

    Args:
        size: Number of the newest requests that are kept; None for all.
    """

    def __init__(self, size: int | None) -> None:
        self._entries: deque[LogEntry] = deque()
        self._size = size
        # Sizes of the kept bodies, oldest first.
        self._body_sizes: OrderedDict[LogEntry, int] = OrderedDict()
        self._total = 0

    def add(
        self,
        *,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        at: float,
    ) -> LogEntry:
        """Add a request that has just arrived."""
        shown = {name.lower(): value for name, value in headers.items()}
        entry = LogEntry(
            SeenRequest(
                method=method,
                path=path,
                query=MappingProxyType(dict(hide_signature(query))),
                body=None,
                status=None,
                at=at,
                headers=MappingProxyType(
                    {name: value for name, value in shown.items() if name not in _SECRET}
                ),
            )
        )
        self._entries.append(entry)
        if self._size is not None and len(self._entries) > self._size:
            dropped = self._entries.popleft()
            dropped.dropped = True
            self._total -= self._body_sizes.pop(dropped, 0)
        return entry

    def set_body(self, entry: LogEntry, body: Body) -> None:
        """Set the body of a request, and omit the oldest bodies beyond 8 MiB in all."""
        entry.update(body=body.content)
        if entry.dropped or not 0 < body.size <= MAX_BODY:
            return
        self._body_sizes[entry] = body.size
        self._total += body.size
        while self._total > MAX_BODY:
            oldest, size = self._body_sizes.popitem(last=False)
            oldest.update(body=OmittedBody(size))
            self._total -= size

    def finished(self) -> tuple[SeenRequest, ...]:
        """Return the requests that got their response or whose connection ended."""
        return tuple(entry.seen for entry in self._snapshot() if entry.finished)

    def in_flight(self) -> tuple[SeenRequest, ...]:
        """Return the requests whose response has not been sent yet."""
        return tuple(entry.seen for entry in self._snapshot() if not entry.finished)

    def _snapshot(self) -> deque[LogEntry]:
        # An atomic copy: a deque cannot be iterated over while another thread appends to it.
        return self._entries.copy()


def log_requests(log: RequestLog, *, with_bodies: bool = True) -> Middleware:
    """Return a middleware that logs each request and sets the status before a response is sent.

    A client that has its response therefore finds its request in the log.

    Args:
        log: The log.
        with_bodies: Whether bodies are read and logged, else that is left to the handler.
    """

    @web.middleware
    async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        entry = request[LOG_ENTRY] = log.add(
            method=request.method,
            path=request.rel_url.raw_path,
            query=request.query,
            headers=request.headers,
            at=asyncio.get_running_loop().time(),
        )
        try:
            if with_bodies:
                log.set_body(entry, await read_body(request))
            response = await handler(request)
            if request.transport is not None and not request.transport.is_closing():
                entry.update(status=response.status)
        except RefusedError as refused:
            entry.update(status=refused.status)
            return refused.response()
        except Exception:
            # A `setup=` function raised: aiohttp logs the traceback and responds with 500.
            entry.update(status=500)
            raise
        else:
            return response
        finally:
            entry.finished = True

    return log_request
