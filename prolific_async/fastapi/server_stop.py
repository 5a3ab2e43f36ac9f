"""Notices that the server begins to stop, so that open streams can end.

ASGI tells an application only when all responses are over, and a server waits for these first.
uvicorn, alone or as gunicorn's worker, handles SIGTERM by a method of its ``Server``, whose public
attributes tell whether it has begun to stop: by a signal, a reload or a limit of requests.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from attrs import define, field

__all__ = ["ServerStop", "server_stop"]

_CHECK_EVERY = 0.1
"""Seconds between checks; uvicorn itself checks as often."""


@define(eq=False)
class ServerStop:
    """Calls functions when the server begins to stop.

    Attributes:
        has_begun: Whether the server has begun to stop.

    """

    has_begun: bool = field(default=False, init=False)
    _functions: set[Callable[[], object]] = field(factory=set, init=False)

    @contextmanager
    def calling(self, function: Callable[[], object]) -> Iterator[None]:
        """Have a function called when the server begins to stop, at once if it has begun."""
        if self.has_begun:
            function()
        self._functions.add(function)
        try:
            yield
        finally:
            self._functions.discard(function)

    async def watch(self, server: Any) -> None:
        """Return once uvicorn's server has begun to stop and the functions are called."""
        while not _stops(server):  # noqa: ASYNC110 - uvicorn has no event of it
            await asyncio.sleep(_CHECK_EVERY)
        self.has_begun = True
        for function in list(self._functions):
            function()


@asynccontextmanager
async def server_stop() -> AsyncGenerator[ServerStop]:
    """Watch the server that runs this application; without a known one it is never stopped."""
    stop = ServerStop()
    server = _server()
    if server is None:
        yield stop
        return
    watching = asyncio.create_task(stop.watch(server))
    try:
        yield stop
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _server() -> Any:
    """Return uvicorn's server, which has installed its signal handlers before it starts us."""
    kind = getattr(sys.modules.get("uvicorn"), "Server", None)
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if kind is not None and isinstance(server, kind) else None


def _stops(server: Any) -> bool:
    # It has no listening sockets before the application has started.
    listening = getattr(server, "servers", ())
    return server.should_exit or not all(socket.is_serving() for socket in listening)
