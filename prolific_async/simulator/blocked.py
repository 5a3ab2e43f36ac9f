"""Notices that a test blocks the event loop in which its simulator runs.

A request that comes from another thread or process then waits for the loop, and the loop for the
request: without a word they would wait until one of them gives up.
"""

import contextlib
import selectors
import socket
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from prolific_async.simulator.answers import error_answer

__all__ = ["LoopWatch"]

_EVERY = 0.25  # seconds
_OFTEN = 4  # times in a row that somebody waits to be let in, which a loop that runs does at once
_PATIENCE = 1.0  # seconds for a request that is refused
# The modules whose calls surely wait for an answer, and what people know them by. A debugger, or
# hard work, may hold a loop for long as well, and so may what an asynchronous client calls.
_BLOCKING: Mapping[str, str] = MappingProxyType(
    {
        "starlette.testclient": "starlette.testclient",
        "requests.sessions": "requests",
        "httpcore2._backends.sync": "httpx2",
        "httpcore._backends.sync": "httpx",
        "urllib.request": "urllib.request",
        "http.client": "http.client",
        "subprocess": "subprocess",
    }
)


class LoopWatch:
    """Refuses requests, from a thread of its own, while the loop of the present thread is blocked.

    Args:
        listener: Where the simulator's loop lets clients in. It is closed at the end.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.complaint: str | None = None
        """What was found, None as long as there is nothing."""
        self._listener = listener
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="prolific-loop-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            waiting = 0
            while not self._over.wait(_EVERY):
                waiting = waiting + 1 if selector.select(0) else 0
                if waiting >= _OFTEN and (culprit := self._culprit()):
                    self.complaint = (
                        "the test blocks the event loop in which its simulator runs, with "
                        f"{culprit}, so that no request is answered: make it a plain def test, for "
                        "which prolific_simulator runs in a thread of its own, or await an "
                        "asynchronous client instead"
                    )
                    self._refuse(self.complaint)

    def _culprit(self) -> str | None:
        """Name what holds the loop's thread, if it is something that waits for an answer."""
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - public for debuggers
        modules = set()
        while frame is not None:
            modules.add(frame.f_globals.get("__name__"))
            frame = frame.f_back
        return next((name for module, name in _BLOCKING.items() if module in modules), None)

    def _refuse(self, complaint: str) -> None:
        answer = error_answer(400, complaint)
        head = (
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(answer.body)}\r\n\r\n"
        )
        with contextlib.suppress(OSError):  # the loop or the client may have gone on after all
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(_PATIENCE)
                connection.recv(2**16)
                connection.sendall(head.encode() + answer.body)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(2**16):
                    pass
