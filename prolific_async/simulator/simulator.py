"""The embedded service as one object: `Simulator`."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prolific_async.simulator.backstage import Backstage
from prolific_async.simulator.blocked import LoopWatch
from prolific_async.simulator.control import Control
from prolific_async.simulator.endings import AfterPolls, Ending
from prolific_async.simulator.faults import Fault, FaultScript
from prolific_async.simulator.log import RequestLog, SeenRequest
from prolific_async.simulator.records import BatchSnapshot
from prolific_async.simulator.server import HOST, Server
from prolific_async.simulator.service import Service
from prolific_async.simulator.state import State, checked_ending
from prolific_async.simulator.thread import ServingThread

__all__ = ["Simulator"]

_DEFAULT_SETUP = AfterPolls(1)
_LOG_SIZE = 100_000  # some 200 MB, which no test comes near


class Simulator(Backstage):
    """A stateful Prolific on a loopback port.

    `async with Simulator() as sim:` serves it in the running event loop. `with Simulator() as sim:`
    serves it in a thread of its own, for synchronous tests and for code that blocks the loop, such
    as FastAPI's `TestClient`. Whatever is not awaited may be called from any thread.

    It can be filled before it is started. Nothing of it can be reached from another machine.

    Args:
        setup: When a set-up ends: `Immediately()`, `AfterSeconds(s)`, `AfterPolls(n)`, or a
            function that is given the batch and returns one of them, in the thread that serves.
            One poll by default.
        token: What requests must carry as `Authorization: Token …`; made up if left out.
        workspace_id: Of the workspace that is there from the start; made up if left out.
        port: 0 for any free one.
        log_size: How many of the newest requests are remembered, 100,000 by default; None for
            all.

    Raises:
        TypeError: `setup` is neither an ending nor a function.
        ValueError: The token is empty, or no header can carry it; the workspace's id is empty.
    """

    def __init__(
        self,
        *,
        setup: Ending | Callable[[BatchSnapshot], Ending] = _DEFAULT_SETUP,
        token: str | None = None,
        workspace_id: str | None = None,
        port: int = 0,
        log_size: int | None = _LOG_SIZE,
    ) -> None:
        # A class can be called too: `setup=Immediately` must not pass for a function.
        if isinstance(setup, type) or not callable(setup):
            checked_ending(setup)
        self.token = f"simulated-{secrets.token_hex(16)}" if token is None else token
        if not re.fullmatch("[!-~]+", self.token):
            raise ValueError("Simulator: the token must be visible ASCII, and not empty")
        state = State(now=self._now, utc_now=_utc_now, setup=setup)
        super().__init__(state, workspace_id)
        self._script = FaultScript()
        self._log = RequestLog(log_size)
        self._server = Server(
            Service(state, self.token),
            self._script,
            self._log,
            state.utc_now,
            Control(self, self._script, self._log, self.token),
        )
        self._wanted_port = port
        self._port: int | None = None
        self._thread: ServingThread | None = None

    def __repr__(self) -> str:
        where = "not started" if self._port is None else self.url
        return f"<Simulator {where}, {len(self.batches)} batches>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        thread = ServingThread(self.start, self._server.close)
        thread.start()
        self._thread = thread
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.stop()

    async def start(self) -> None:
        """Start to serve in the running event loop.

        Raises:
            OSError: The port is taken.
            RuntimeError: It has been started before.
        """
        if self._port is not None:
            raise RuntimeError("a Simulator is started once: make another one")
        self._port = await self._server.start(self._wanted_port)

    async def close(self) -> None:
        """Stop to serve and drop every connection, at once; again is no error."""
        if self._thread is None:
            await self._server.close()
        else:
            await asyncio.to_thread(self._thread.stop)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end. Raises RuntimeError before the start."""
        if self._port is None:
            raise RuntimeError("the Simulator has no URL before it is started")
        return f"http://{HOST}:{self._port}"

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The requests answered, or broken off, in the order of their arrival."""
        return self._log.finished()

    @property
    def in_flight(self) -> tuple[SeenRequest, ...]:
        """The requests that are being read or answered at this moment, delayed ones too."""
        return self._log.in_flight()

    def inject(self, method: str, route: str, fault: Fault, *, times: int | None = 1) -> None:
        """Let the next requests to a route meet a fault.

        Faults are used first in first out: each request meets the oldest one that fits it. A
        request meets it before anything is checked, its token too.

        Args:
            method: Such as "POST".
            route: The end of the path as it is sent, starting with a slash: "/batches" is the list,
                "/status" every status, "/<batch id>" one batch. A slash at the end of either
                doesn't matter.
            fault: What goes wrong.
            times: With how many requests; None with all until `clear_faults`.

        Raises:
            ValueError: `route` is no end of a path, `fault` no Fault, or `times` is below 1.
        """
        self._script.add(method, route, fault, times)

    def clear_faults(self) -> None:
        """Forget every fault that has not met its request."""
        self._script.clear()

    def _watch_loop(self) -> LoopWatch:
        """Notice that the present thread blocks the loop; for the pytest fixtures."""
        return LoopWatch(self._server.listener())

    def _now(self) -> float:
        # A test may have a loop, too, whose clock is another one than that of the thread.
        return _loop_time() if self._thread is None else time.monotonic()


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        # Filled or read outside the loop. asyncio's and uvloop's clocks are this one.
        return time.monotonic()


def _utc_now() -> datetime:
    return datetime.now(UTC)
