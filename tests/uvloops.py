"""uvloop's loop, where there is one, and the timers that a loop has armed."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

Ts = TypeVarTuple("Ts")
UVLoop: Any = None

try:
    import uvloop
except ImportError:  # as on Windows and PyPy
    pass
else:

    class _UVLoop(uvloop.Loop):
        """uvloop's own loop, which can tell its timers."""

        def __init__(self) -> None:
            super().__init__()
            self._armed: dict[object, tuple[asyncio.Handle, Callable[..., object]]] = {}

        # ``call_at`` calls this.
        def call_later(
            self,
            delay: float,
            callback: Callable[[*Ts], object],
            *args: *Ts,
            context: Context | None = None,
        ) -> Any:
            """Arm a timer. Its handle is uvloop's own."""
            timer = object()

            def ring(*args: *Ts) -> None:
                del self._armed[timer]
                callback(*args)

            handle = super().call_later(delay, ring, *args, context=context)
            self._armed[timer] = handle, callback
            return handle

        def armed(self) -> list[Callable[..., object]]:
            """Return what the timers call that are neither over nor cancelled."""
            for timer, (handle, _) in list(self._armed.items()):
                if handle.cancelled():
                    del self._armed[timer]
            return [callback for _, callback in self._armed.values()]

    UVLoop = _UVLoop


def install_uvloop() -> None:
    """Have this process make uvloop's loops wherever it makes one without saying which.

    So commands get them, simulators in threads and DBOS, as in an application that installs uvloop.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of policies, from Python 3.14 on
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def runs_on_uvloop() -> bool:
    """Tell whether the running loop is uvloop's."""
    return UVLoop is not None and isinstance(asyncio.get_running_loop(), UVLoop)


def timers(*, but: tuple[str, ...] = ()) -> list[str]:
    """Name the modules whose timers are armed in the running loop, but for some."""
    loop: Any = asyncio.get_running_loop()
    if UVLoop is not None and isinstance(loop, UVLoop):
        armed = loop.armed()
    else:
        armed = [timer._callback for timer in loop._scheduled if not timer.cancelled()]
    modules = [inspect.unwrap(getattr(one, "func", one)).__module__ for one in armed]
    return [module for module in modules if not module.startswith(but or ("-",))]
