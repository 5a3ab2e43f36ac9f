"""``Stall``: ends an upload in which no byte moves any more."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from prolific_async._http.attempt import Timed

if sys.platform != "win32":
    import fcntl
    import termios

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from prolific_async._http.session import LoopSession

_CHECKS = 8  # checks of a transfer within request_timeout


class Stall(Timed):
    """Context manager that raises TimeoutError in its task when a transfer stalls.

    A transfer may take any time, but no longer than ``request_timeout`` in which no byte moves. The
    task is also interrupted when the client is closed.

    Attributes:
        moved: Number of bytes moved so far; the code that moves them adds to it.
        transport: The connection, whose buffers show what moves; None before there is one.

    """

    __slots__ = (
        "_is_over",
        "_last",
        "_runs",
        "_session",
        "_since",
        "_timer",
        "moved",
        "transport",
    )

    def __init__(self, session: LoopSession) -> None:
        super().__init__(session.time_limit)
        self._session = session
        self._runs = False
        self._timer: asyncio.TimerHandle | None = None
        self._last: tuple[int, ...] = ()
        self._since = 0.0
        self._is_over = False
        self.moved = 0
        self.transport: asyncio.WriteTransport | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        self._session.transfers.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        self._session.transfers.discard(self)
        super().__exit__(kind, error, traceback)

    def interrupt(self) -> None:
        """Interrupt the task, once."""
        if not self._expired:
            self._end()
            super().interrupt()

    def pause(self) -> None:
        """Stop the clock, while something other than the connection is awaited."""
        self._runs = False

    def resume(self) -> None:
        """Start the clock anew, at the next check; cheap, as it is called for each chunk."""
        if not self._is_over:
            self._runs, self._last = True, ()
            if self._timer is None:
                self._arm()

    def _end(self) -> None:
        self._is_over = True  # a body that is still being written must not restart the clock
        self._runs = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._timer = self._limit.loop.call_later(self._limit.seconds / _CHECKS, self._check)

    def _check(self) -> None:
        self._timer = None
        if not self._runs:
            return
        now, state = self._limit.loop.time(), self._state()
        if state != self._last:
            self._last, self._since = state, now
        if now - self._since < self._limit.seconds:
            self._arm()
        else:
            self.interrupt()

    def _state(self) -> tuple[int, ...]:
        """Return numbers, at least one of which changes when a byte moves."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return (self.moved,)
        return self.moved, transport.get_write_buffer_size(), _unsent(transport)


def _unsent(transport: asyncio.WriteTransport) -> int:
    """Return the number of bytes that the system still has to send, 0 if it cannot tell.

    On a slow connection, to send them may take longer than ``request_timeout``.
    """
    socket = transport.get_extra_info("socket")
    if sys.platform == "win32" or socket is None:
        return 0
    with suppress(OSError, ValueError):
        told = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(told, sys.byteorder)
    return 0
