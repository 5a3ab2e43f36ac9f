"""Use of uvloop, and the timers that a loop has set."""

from __future__ import annotations

import asyncio
import heapq
import inspect
import warnings
import weakref
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable

_Ts = TypeVarTuple("_Ts")

_TICK = 0.001  # seconds, uvloop's smallest unit; a tick may last twice that
_TURN = 0.002  # seconds between two ticks that count at most, however many pass
_LONGEST = 1e9  # seconds of a timer

try:
    import uvloop
except ImportError:  # as on Windows and PyPy
    UVLoop: type[asyncio.AbstractEventLoop] | None = None
    SteadyUVLoop: type[asyncio.AbstractEventLoop] | None = None
else:

    class _Loop(uvloop.Loop):
        """uvloop's loop, with a record of its timers."""

        def __init__(self) -> None:
            super().__init__()
            self._armed: dict[object, tuple[weakref.ref[asyncio.Handle], str]] = {}

        # ``call_at`` calls this.
        def call_later(
            self,
            delay: float,
            callback: Callable[[Unpack[_Ts]], object],
            *args: *_Ts,
            context: Context | None = None,
        ) -> asyncio.TimerHandle:
            """Arm a timer. Its handle is uvloop's own."""
            timer = object()

            def ring(*args: *_Ts) -> None:
                del self._armed[timer]
                callback(*args)

            handle = super().call_later(delay, ring, *args, context=context)
            # A weak reference, so that a cancelled timer does not keep its callback alive.
            self._armed[timer] = weakref.ref(handle), _module_of(callback)
            return handle

        def armed(self) -> list[str]:
            """Return the modules of the callbacks of all timers that are still armed."""
            for timer, (handle, _) in list(self._armed.items()):
                if (there := handle()) is None or there.cancelled():
                    del self._armed[timer]
            return [module for _, module in self._armed.values()]

    class _SteadyLoop(uvloop.Loop):
        """uvloop's loop with a clock that does not count the time that the machine takes.

        It is to uvloop's loop what ``virtual_time.SteadyLoop`` is to asyncio's. As uvloop tells
        nobody when a turn begins, one of its timers ticks, and the clock counts two milliseconds at
        most from one tick to the next.
        """

        def __init__(self) -> None:
            super().__init__()
            self._scheduled: list[asyncio.TimerHandle] = []  # the name that asyncio's loops use
            self._now = self._ticked = super().time()
            self._set_tick()

        def time(self) -> float:
            return self._now + min(super().time() - self._ticked, _TURN)

        # ``call_at`` calls this.
        def call_later(
            self,
            delay: float,
            callback: Callable[[Unpack[_Ts]], object],
            *args: *_Ts,
            context: Context | None = None,
        ) -> Any:
            """Set a timer of whole milliseconds; as uvloop, use call_soon for less than one."""
            milliseconds = round(max(0.0, min(delay, _LONGEST)) * 1000)
            if milliseconds == 0:
                return self.call_soon(callback, *args, context=context)
            when = self.time() + milliseconds / 1000
            timer = asyncio.TimerHandle(when, callback, args, self, context)
            heapq.heappush(self._scheduled, timer)
            return timer

        def _set_tick(self) -> None:
            super().call_later(_TICK, self._tick, context=Context())

        def _tick(self) -> None:
            self._now, self._ticked = self.time(), super().time()
            try:
                while self._scheduled and self._scheduled[0].when() <= self._now:
                    timer = heapq.heappop(self._scheduled)
                    if not timer.cancelled():
                        timer._run()
            finally:
                self._set_tick()

        def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
            """Leave a cancelled timer, which holds its callback no more, where it is."""

    UVLoop = _Loop
    SteadyUVLoop = _SteadyLoop


def install_uvloop() -> None:
    """Make uvloop's loop the default of this process.

    So commands get them, simulators in threads and DBOS, as in an application that installs uvloop.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of policies, from Python 3.14 on
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def runs_on_uvloop() -> bool:
    """Return whether the running loop is uvloop's."""
    loop = asyncio.get_running_loop()
    return any(kind is not None and isinstance(loop, kind) for kind in (UVLoop, SteadyUVLoop))


def timers(*, but: tuple[str, ...] = ()) -> list[str]:
    """Return the modules whose timers are set in the running loop, without some."""
    loop: Any = asyncio.get_running_loop()
    if hasattr(loop, "armed"):
        modules = loop.armed()
    else:
        armed = [timer for timer in loop._scheduled if not timer.cancelled()]
        modules = [_module_of(timer._callback) for timer in armed]
    return [module for module in modules if not module.startswith(but or ("-",))]


def _module_of(callback: Any) -> str:
    module: str = inspect.unwrap(getattr(callback, "func", callback)).__module__
    return module
