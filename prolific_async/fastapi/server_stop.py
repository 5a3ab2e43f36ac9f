"""Tells open streams that the server begins to stop, so that they can end.

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
    def call_on_stop(self, function: Callable[[], object]) -> Iterator[None]:
        """Call a function when the server begins to stop, if the ``with`` block has not ended.

        If it has begun already, the function is called at once.
        """
        if self.has_begun:
            function()
        self._functions.add(function)
        try:
            yield
        finally:
            self._functions.discard(function)

    async def watch(self, server: Any) -> None:
        """Wait until uvicorn's server begins to stop, then call the functions."""
        while not _is_stopping(server):  # noqa: ASYNC110 - uvicorn has no event of it
            await asyncio.sleep(_CHECK_EVERY)
        self.has_begun = True
        for function in list(self._functions):
            function()


@asynccontextmanager
async def server_stop() -> AsyncGenerator[ServerStop]:
    """Yield a ``ServerStop`` for the uvicorn server that runs this application.

    The stop of any other server is not noticed.
    """
    stop = ServerStop()
    server = _uvicorn_server()
    if server is None:
        yield stop
        return
    watching = asyncio.create_task(stop.watch(server))
    try:
        yield stop
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _uvicorn_server() -> Any:
    """Return uvicorn's server, found by its signal handler; None if there is none."""
    kind = getattr(sys.modules.get("uvicorn"), "Server", None)
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if kind is not None and isinstance(server, kind) else None


def _is_stopping(server: Any) -> bool:
    # It has no listening sockets before the application has started.
    listening = getattr(server, "servers", ())
    return server.should_exit or not all(socket.is_serving() for socket in listening)
