"""A thread with an event loop of its own for a server."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

__all__ = ["ServingThread"]


class ServingThread:
    """Runs a server for callers that have no event loop, or that block it.

    Args:
        start: Starts the server, in the thread's loop.
        close: Closes the server, in the same loop.
    """

    def __init__(
        self, start: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]
    ) -> None:
        self._start_serving = start
        self._close = close
        # asyncio's own loop, whatever policy the application sets.
        self._loop = asyncio.SelectorEventLoop()
        self._stop_requested = asyncio.Event()
        self._started: Future[None] = Future()
        # A daemon, so that an interrupted `start` does not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="prolific-simulator", daemon=True)

    def start(self) -> None:
        """Start the thread and return once it serves. Raises the exceptions of `start`."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close the server and end the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the start has failed
            self._loop.call_soon_threadsafe(self._stop_requested.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self._start_serving()
        except Exception as error:  # noqa: BLE001 - for the thread that waits
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        await self._stop_requested.wait()
        await self._close()
