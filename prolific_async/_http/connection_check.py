"""Connection check: whether a kept-alive connection is still open before a request is sent over it.

A loop that was blocked or did not run may not know that the other side has closed it.
"""

from __future__ import annotations

import asyncio
import select
import sys
from typing import Any

# Rounds of the loop in which it takes in what has come: TLS takes a few to end a connection.
_ROUNDS = 10


async def check_alive(protocol: Any) -> None:
    """Raise ConnectionError if a connection has ended, or was answered on before it was used.

    The socket is asked. It may hold records of TLS's own, which the loop reads in a few rounds.
    """
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
        if is_quiet(protocol):
            return
    raise ConnectionError("the connection was closed before anything was sent")


def is_quiet(protocol: Any) -> bool:
    """Return whether a connection is open, and nothing has come over it."""
    transport = protocol.transport
    if transport is None or transport.is_closing() or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    if socket is None:
        return True
    # Windows has no `poll`; elsewhere `select` takes no number above 1023.
    if sys.platform == "win32":
        return not select.select([socket], (), (), 0)[0]
    poll = select.poll()  # a tenth of what a selector costs
    poll.register(socket, select.POLLIN)
    return not poll.poll(0)


async def read_ends() -> None:
    """Let the loop notice which other idle connections have ended, before one of them is used."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
