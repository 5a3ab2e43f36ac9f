"""A loopback server for an aiohttp application."""

import asyncio
from typing import cast

from aiohttp import web

__all__ = ["HOST", "Server"]

HOST = "127.0.0.1"
_BACKLOG = 4096  # a thousand clients may connect at once
_SHUTDOWN = 0.01  # seconds that requests in flight get when the server closes


class Server:
    """Serves an application on a port of this machine.

    Args:
        app: The application.
        decompresses: Whether bodies with a `Content-Encoding` are decompressed for handlers; else
            handlers get them as they were sent.
    """

    def __init__(self, app: web.Application, *, decompresses: bool = True) -> None:
        # A handler is cancelled when its client disconnects: its request is over at that moment.
        # Bodies are read to their end, except broken ones, after which nothing can be read.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=decompresses,
            handler_cancellation=True,
            lingering_time=0,
            shutdown_timeout=_SHUTDOWN,
        )
        self._listener: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        """Listen and return the port, a free one for 0. Raises OSError if it is taken."""
        await self._runner.setup()
        # Not aiohttp's TCPSite, which leaks the socket if its start is cancelled.
        listener = await asyncio.get_running_loop().create_server(
            cast("web.Server", self._runner.server),
            HOST,
            port,
            backlog=_BACKLOG,
            start_serving=False,
        )
        try:
            await listener.start_serving()
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        return int(listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._listener is not None:
            self._listener.close()
            await self._runner.cleanup()
            # Transports close their sockets in the next iteration of the loop, perhaps the last.
            await asyncio.sleep(0)
