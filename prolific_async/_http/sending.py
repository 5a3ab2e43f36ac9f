"""When a request goes out, and whether anything of it did; what did not may be sent again."""

from __future__ import annotations

import asyncio
import select
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

    from prolific_async._http.budget import Budget
    from prolific_async._http.time_limit import Attempt

# Turns of the loop in which it takes in what has come: TLS takes a few to end a connection.
_TURNS = 10
# After the last two aiohttp sends a GET again by itself; it makes one of them of the first.
_LOST = (ConnectionError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


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
        await _check_alive(writer.protocol)  # type: ignore[attr-defined]  # of each writer there is
        self.begun = True
        await super().write_with_length(writer, content_length)


class Lost(aiohttp.ClientConnectionError):
    """A lost connection, of a kind after which aiohttp does not send a GET again by itself."""


class Sending:
    """One attempt as an aiohttp middleware, the one next to the connection.

    aiohttp sends a GET again by itself when a kept-alive connection breaks, however much of it had
    gone out. That would pass by the rate limit and the retry policy, so it is kept from it.

    Args:
        budget: Tells when a request that has its connection may go.
        body: Bytes of JSON, None for none.

    Attributes:
        attempt: The time that it has; stands still while it waits for the rate limit.
        body: As aiohttp takes it.
        is_answered: Whether the session has handed the answer over, after its callbacks.

    """

    __slots__ = (
        "_begun",
        "_budget",
        "_found_dead",
        "_is_connected",
        "attempt",
        "body",
        "is_answered",
    )

    attempt: Attempt

    def __init__(self, budget: Budget, body: bytes | None) -> None:
        self._budget = budget
        self.body = None if body is None else Body(body)
        self._is_connected = False
        self._found_dead = False
        self._begun = False
        self.is_answered = False

    @property
    def begun(self) -> bool:
        """Whether a byte of the request may have gone out to the service."""
        return self._begun if self.body is None else self.body.begun

    async def send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send over a connection of the session's, in this turn.

        And once more over another one if the first had ended before anything went out.
        """
        sends = request.send
        self._is_connected = False

        async def send(connection: Connection) -> aiohttp.ClientResponse:
            self._is_connected = True
            budget = self._budget
            if budget.slows and not budget.may_go(asyncio.get_running_loop().time()):
                await self._wait_to_go()
            if self.body is None:  # else that looks itself, in a later turn of the loop
                if not _is_quiet(connection.protocol):
                    await _check_alive(connection.protocol)
                self._begun = True
            return await sends(connection)

        # Nothing else that aiohttp offers lies between having a connection and writing to it.
        own = vars(request)
        own["send"] = send
        try:
            response = await handler(request)
            if self.begun:
                return response
            response.close()  # said on an idle connection, such as a 408 before it is closed
            raise aiohttp.ServerDisconnectedError
        except _LOST as error:
            is_dead = self._is_connected and not self.begun
            if self._found_dead or not is_dead or self._budget.is_closed:
                raise Lost(*error.args) from error
            self._found_dead = True
        finally:
            del own["send"]  # else they are in a cycle
        await _others_to_end()
        return await self.send(request, handler)

    async def _wait_to_go(self) -> None:
        self.attempt.pause()
        await self._budget.wait_to_go()
        self.attempt.resume()
        if self._budget.is_closed:
            raise ConnectionError("closed")


async def _check_alive(protocol: Any) -> None:
    """Raise ConnectionError if a connection has ended, or was answered on before it was used.

    A loop that was blocked or did not run may not know, so the socket is asked. It may also hold
    records of TLS's own, which the loop reads in a few turns.
    """
    for _ in range(_TURNS):
        if _is_quiet(protocol):
            return
        await asyncio.sleep(0)
    raise ConnectionError("the connection was closed before anything was sent")


def _is_quiet(protocol: Any) -> bool:
    """Tell whether a connection is open, and nothing has come over it."""
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


async def _others_to_end() -> None:
    """Let the loop notice which other idle connections have ended, before one of them is used."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
