"""Whether anything of a request went out; what did not may be sent again."""

from __future__ import annotations

import asyncio
import select
import sys
import traceback
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

# Turns of the loop in which it takes in what has come: TLS takes a few to end a connection.
_TURNS = 10


class Body(aiohttp.BytesPayload):
    """A request's body, which aiohttp asks to write itself, and its headers in the same breath.

    Attributes:
        begun: Whether a byte of the request may have gone out.

    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self.begun = False

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Write headers and body, unless the other side has closed the connection meanwhile."""
        if await _is_over(writer):
            raise ConnectionError("the connection was closed before anything was sent")
        self.begun = True
        await super().write_with_length(writer, content_length)


async def _is_over(writer: Any) -> bool:
    """Tell whether a connection that nothing was sent on yet has ended, or holds an answer already.

    A loop that was blocked or did not run may not know, so the socket is asked. It may also hold
    records of TLS's own, which the loop reads in a few turns.
    """
    protocol = writer.protocol
    for _ in range(_TURNS):
        transport = protocol.transport
        if transport is None or transport.is_closing() or protocol.should_close:
            return True
        socket = transport.get_extra_info("socket")
        if socket is None or not _is_readable(socket):
            return False
        await asyncio.sleep(0)
    return True


def _is_readable(socket: Any) -> bool:
    # Windows has no `poll`; elsewhere `select` takes no number above 1023.
    return bool(
        select.select([socket], (), (), 0)[0] if sys.platform == "win32" else _polled(socket)
    )


def _polled(socket: Any) -> list[tuple[int, int]]:
    poll = select.poll()  # a tenth of what a selector costs
    poll.register(socket, select.POLLIN)
    return poll.poll(0)


async def others_to_end() -> None:
    """Let the loop notice which other idle connections have ended, before one of them is used."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def while_connecting(error: BaseException) -> bool:
    """Tell whether an error of aiohttp comes from making the connection, through a proxy or not."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):  # raised by connect's caller
        return True
    connect = aiohttp.BaseConnector.connect.__code__
    # The limit of the whole attempt, where it comes first, cancels what was under way.
    cancelled = error.__cause__ if isinstance(error, TimeoutError) else None
    return any(
        frame.f_code is connect
        for one in (error, cancelled)
        if one is not None
        for frame, _ in traceback.walk_tb(one.__traceback__)
    )
