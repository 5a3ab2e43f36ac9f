"""Listeners of a wait: callbacks that get its events, and observers that get its outcome, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from prolific_async._logging import log as _log
from prolific_async._polling.kinds import named, status_event

if TYPE_CHECKING:
    from prolific_async._polling.kinds import Event, Key
    from prolific_async.models import StatusEvent

Listener: TypeAlias = Callable[[Any], object]
"""Called with each StatusEvent, then the outcome: result, WaitError, or None if given up."""
Observer: TypeAlias = Callable[[Any], Listener | None]
"""Called with the key of a wait that begins; may return a listener for this wait."""


@define(eq=False, repr=False)
class WaitListeners:
    """Calls the observers' listeners of one wait, then the caller's callback.

    Attributes:
        key: Key of the wait's target.
        on_event: The caller's callback, None for none.
        observers: Called with the key at the start; each may return a listener. Observers and
            listeners run in the context in which the wait was made.

    """

    key: Key
    on_event: Callable[[StatusEvent], object] | None = None
    observers: tuple[Observer, ...] = ()
    _context: Context = field(factory=copy_context, init=False)
    _listeners: list[Listener] = field(factory=list, init=False)

    def begin(self) -> None:
        """Call the observers with the key, and keep the listeners that they return."""
        for observer in self.observers:
            self._observe(self._add_listener, observer)

    def tell(self, event: Event) -> None:
        """Call the listeners and ``on_event`` with an event."""
        told = status_event(self.key, event)
        for listener in self._listeners:
            self._observe(listener, told)
        if self.on_event is not None:
            call_safely("on_event", self.key, self.on_event, told)

    def end(self, outcome: object) -> None:
        """Call the listeners with the outcome, None if the wait was given up; only once."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._observe(listener, outcome)

    def _add_listener(self, observer: Observer) -> None:
        if (listener := observer(self.key)) is not None:
            self._listeners.append(listener)

    def _observe(self, function: Callable[[Any], object], value: Any) -> None:
        call_safely(
            "a wait observer", self.key, lambda one: self._context.run(function, one), value
        )


def call_safely(name: str, key: Key, function: Callable[[Any], object], value: object) -> None:
    """Call a callback or observer of the application for a wait; log what it raises."""
    try:
        _call_outside_of_tasks(function, value)
    except (KeyboardInterrupt, SystemExit):
        raise
    # A CancelledError, as from a cancelled future, would end a poll that serves other waits, too.
    except BaseException:  # noqa: BLE001
        _log.exception("%s raised for %s; the wait goes on", name, named(key))


def _call_outside_of_tasks(function: Callable[[Any], object], value: object) -> None:
    """Call a function while no task is the current one, so that the function cannot cancel it.

    The current task may belong to others: it makes a poll for other waits, or closes the client.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        task = None
    if task is None:
        function(value)
        return
    loop = task.get_loop()
    # Public functions, meant for custom task classes ("Extending" in asyncio's documentation).
    asyncio._leave_task(loop, task)  # noqa: SLF001
    try:
        function(value)
    finally:
        asyncio._enter_task(loop, task)  # noqa: SLF001
