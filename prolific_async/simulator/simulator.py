"""`Simulator`: the simulated service as one object."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prolific_async.simulator.answer_contents import AnswerContents
from prolific_async.simulator.app import make_app
from prolific_async.simulator.control_routes import control_routes
from prolific_async.simulator.dataset_state import Datasets
from prolific_async.simulator.exports import Exports
from prolific_async.simulator.faults import Fault, FaultQueue
from prolific_async.simulator.models import BatchSnapshot
from prolific_async.simulator.presigned_urls import LIFETIME
from prolific_async.simulator.request_log import RequestLog, SeenRequest
from prolific_async.simulator.server import HOST, Server
from prolific_async.simulator.serving_thread import ServingThread
from prolific_async.simulator.setup_durations import (
    AfterPolls,
    Ending,
    RowsPerSecond,
    check_ending,
)
from prolific_async.simulator.state import State
from prolific_async.simulator.storage import Uploads
from prolific_async.simulator.storage_app import make_storage_app

__all__ = ["Simulator"]

_DEFAULT_SETUP = AfterPolls(1)
_LOG_SIZE = 100_000  # about 200 MB, more than a test needs


class Simulator(AnswerContents):
    """A stateful Prolific on a loopback port.

    `async with Simulator() as sim:` serves in the running event loop. `with Simulator() as sim:`
    serves in a thread of its own, for synchronous tests and for code that blocks the loop, such as
    FastAPI's `TestClient`. Methods that are not coroutines may be called from any thread.

    It can be filled before it is started, and cannot be reached from another machine.

    Args:
        setup: When a setup ends: `Immediately()`, `AfterSeconds(s)`, `AfterPolls(n)`, or a function
            that gets the batch and returns one of them, called in the thread that serves. One poll
            by default.
        imports: When imports of uploads, schema migrations and syncs end: as `setup`, or
            `RowsPerSecond(27)` after a time that grows with their rows. One poll by default.
        exports: When exports of answers end: as `setup`. One poll by default.
        token: The token that requests must carry as `Authorization: Token …`; random if left out.
        workspace_id: Id of the workspace that exists from the start; random if left out.
        port: The port of the service; 0 for any free one.
        storage_port: The port of the storage, to which presigned URLs lead; 0 for any free one.
        url_lifetime: Seconds until a presigned URL expires, on the loop's clock.
        log_size: Number of the newest requests that are kept, 100,000 by default; None for all.

    Raises:
        TypeError: `setup` is neither an `Ending` nor a function, or `imports` or `exports` is no
            `Ending` either.
        ValueError: The token cannot be sent in a header, the workspace's id is empty, or
            `url_lifetime` is negative or infinite.
    """

    def __init__(
        self,
        *,
        setup: Ending | Callable[[BatchSnapshot], Ending] = _DEFAULT_SETUP,
        imports: Ending | RowsPerSecond = _DEFAULT_SETUP,
        exports: Ending = _DEFAULT_SETUP,
        token: str | None = None,
        workspace_id: str | None = None,
        port: int = 0,
        storage_port: int = 0,
        url_lifetime: float = LIFETIME,
        log_size: int | None = _LOG_SIZE,
    ) -> None:
        # A class is callable, but `setup=Immediately` is a mistake.
        if isinstance(setup, type) or not callable(setup):
            check_ending(setup)
        if not isinstance(imports, RowsPerSecond):
            check_ending(imports, "imports")
        self.token = f"simulated-{secrets.token_hex(16)}" if token is None else token
        if not re.fullmatch("[!-~]+", self.token):
            raise ValueError("Simulator: the token must be visible ASCII, and not empty")
        state = State(now=self._now, utc_now=_utc_now, setup=setup)
        super().__init__(state, workspace_id)
        self._faults = FaultQueue()
        self._log = RequestLog(log_size)
        controls = control_routes(self, self._faults, self._log, self.expire_urls)
        self._uploads = Uploads(self._now, _utc_now, url_lifetime)
        self._datasets = datasets = Datasets(state, self._uploads, imports)
        self._uploads.stored = datasets.store
        self._server = Server(
            make_app(
                state,
                self.token,
                self._faults,
                self._log,
                controls,
                datasets,
                Exports(state, self._uploads, check_ending(exports, "exports")),
            )
        )
        self._storage = Server(
            make_storage_app(self._uploads, self.token, self._faults, self._log),
            decompresses=False,
        )
        self._requested_ports = port, storage_port
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
        thread = ServingThread(self.start, self._stop)
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
        """Start serving in the running event loop.

        Raises:
            OSError: A port is taken.
            RuntimeError: The simulator has been started before.
        """
        if self._port is not None:
            raise RuntimeError("a Simulator is started once: make another one")
        port, storage_port = self._requested_ports
        started = await self._server.start(port)
        try:
            storage_port = await self._storage.start(storage_port)
        except BaseException:
            await self._server.close()
            raise
        self._uploads.urls.base_url = f"http://{HOST}:{storage_port}"
        self._port = started

    async def close(self) -> None:
        """Stop serving and drop every connection at once. Idempotent."""
        if self._thread is None:
            await self._stop()
        else:
            await asyncio.to_thread(self._thread.stop)

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash. Raises RuntimeError before the start."""
        if self._port is None:
            raise RuntimeError("the Simulator has no URL before it is started")
        return f"http://{HOST}:{self._port}"

    @property
    def storage_url(self) -> str:
        """The base URL of the storage, on the second port; as `url`."""
        if self._port is None:
            raise RuntimeError("the Simulator has no URL before it is started")
        return self._uploads.urls.base_url

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The finished requests, also those that broke off, in the order of their arrival.

        Those to the storage are among them.
        """
        return self._log.finished()

    @property
    def in_flight(self) -> tuple[SeenRequest, ...]:
        """The requests whose response has not been sent yet, including delayed ones."""
        return self._log.in_flight()

    def inject(self, method: str, route: str, fault: Fault, *, times: int | None = 1) -> None:
        """Apply a fault to the next requests to a route.

        Each request meets the oldest fault that matches it, before anything else is checked.

        Args:
            method: Such as "POST".
            route: The end of the path as it is sent, starting with a slash: "/batches" is the list,
                "/status" every status, "/<batch id>" one batch, "/<filename>" a presigned URL. A
                trailing slash is ignored.
            fault: The fault.
            times: Number of requests; None for all until `clear_faults`.

        Raises:
            ValueError: `route` is not the end of a path, `fault` is not a Fault, or `times` is
                below 1.
        """
        self._faults.add(method, route, fault, times)

    def clear_faults(self) -> None:
        """Remove all faults, so that later requests get real responses."""
        self._faults.clear()

    def expire_urls(self) -> None:
        """Make all presigned URLs that were given out expire now; later ones are valid."""
        with self._state.lock:
            self._uploads.urls.expire()

    async def _stop(self) -> None:
        await self._storage.close()
        await self._server.close()
        self._datasets.close()

    def _now(self) -> float:
        # A test may call this in a loop of its own, with another clock than the serving thread's.
        return _loop_time() if self._thread is None else time.monotonic()


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        # No loop runs here; the loops of asyncio and uvloop use this clock.
        return time.monotonic()


def _utc_now() -> datetime:
    return datetime.now(UTC)
