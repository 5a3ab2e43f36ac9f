"""Use of uvloop, and the timers that a loop has set."""

from __future__ import annotations

import asyncio
import inspect
import warnings
import weakref
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

_Ts = TypeVarTuple("_Ts")

try:
    import uvloop
except ImportError:  # as on Windows and PyPy
    UVLoop: type[asyncio.AbstractEventLoop] | None = None
else:

    class _Loop(uvloop.Loop):
        """uvloop's own loop, which can tell its timers."""

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
            """Name the modules of what the timers call that are neither over nor cancelled."""
            for timer, (handle, _) in list(self._armed.items()):
                if (there := handle()) is None or there.cancelled():
                    del self._armed[timer]
            return [module for _, module in self._armed.values()]

    UVLoop = _Loop


def install_uvloop() -> None:
    """Make uvloop's loop the default of this process.

    So commands get them, simulators in threads and DBOS, as in an application that installs uvloop.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of policies, from Python 3.14 on
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def runs_on_uvloop() -> bool:
    """Return whether the running loop is uvloop's."""
    return UVLoop is not None and isinstance(asyncio.get_running_loop(), UVLoop)


def timers(*, but: tuple[str, ...] = ()) -> list[str]:
    """Return the modules whose timers are set in the running loop, without some."""
    loop: Any = asyncio.get_running_loop()
    if runs_on_uvloop():
        modules = loop.armed()
    else:
        armed = [timer for timer in loop._scheduled if not timer.cancelled()]
        modules = [_module_of(timer._callback) for timer in armed]
    return [module for module in modules if not module.startswith(but or ("-",))]


def _module_of(callback: Any) -> str:
    module: str = inspect.unwrap(getattr(callback, "func", callback)).__module__
    return module
