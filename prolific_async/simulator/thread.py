"""A thread with an event loop of its own, in which something is served."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

__all__ = ["ServingThread"]


class ServingThread:
    """Serves in a thread of its own, for callers that have no event loop, or that block it.

    Args:
        start: Starts to serve; called in the thread's loop.
        close: Ends it, in the same loop.
    """

    def __init__(
        self, start: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]
    ) -> None:
        self._start_serving = start
        self._close = close
        # Of asyncio's own kind, whatever the application sets as its policy.
        self._loop = asyncio.SelectorEventLoop()
        self._told_to_stop = asyncio.Event()
        self._started: Future[None] = Future()
        # A daemon, so that an interrupted `start` can't keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="prolific-simulator", daemon=True)

    def start(self) -> None:
        """Return once it serves. What the start raises is raised here, and no thread is left."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and its thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: the start has failed
            self._loop.call_soon_threadsafe(self._told_to_stop.set)
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
        await self._told_to_stop.wait()
        await self._close()
