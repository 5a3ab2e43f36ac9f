"""Poll history of a wait: its events, for callbacks, for its error, and for the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from prolific_async._logging import log as _log
from prolific_async._messages import brief
from prolific_async._polling.kept_errors import summary
from prolific_async.models import StatusEvent

if TYPE_CHECKING:
    from prolific_async.errors import ProlificError, WaitError
    from prolific_async.models import Batch, BatchStatus

_KEPT_EVENTS = 20

# A StatusEvent without its batch: a plain tuple costs a tenth of one, and mostly nobody asks.
Event: TypeAlias = tuple[
    "BatchStatus | None", "BatchStatus | None", int, float, "float | None", "ProlificError | None"
]
Listener: TypeAlias = "Callable[[StatusEvent | Batch | WaitError | None], object]"
Observer: TypeAlias = "Callable[[str], Listener | None]"


@define(eq=False, repr=False)
class WaitObservation:
    """Reports one wait to observers, in the context in which the wait was made.

    Attributes:
        key: The batch that is polled.
        observers: Called with the batch's id at the start; each may return a listener.

    """

    key: str
    observers: tuple[Observer, ...]
    _context: Context = field(factory=copy_context, init=False)
    _listeners: list[Listener] = field(factory=list, init=False)

    def begin(self) -> None:
        """Report the start, and keep the listeners that the observers return."""
        for observer in self.observers:
            self._call(self._add_listener, observer)

    def report(self, news: StatusEvent | Batch | WaitError | None) -> None:
        """Call the listeners with an event, or with the outcome."""
        for listener in self._listeners:
            self._call(listener, news)

    def _add_listener(self, observer: Observer) -> None:
        if (listener := observer(self.key)) is not None:
            self._listeners.append(listener)

    def _call(self, function: Callable[[Any], object], value: Any) -> None:
        call_safely(
            "a wait observer", self.key, lambda one: self._context.run(function, one), value
        )


@define(eq=False, repr=False, weakref_slot=False)
class PollHistory:
    """Newest events of one wait, and the callbacks that get each.

    Attributes:
        key: The batch that is polled.
        on_event: The caller's callback, None for none.
        observation: Gets each event before the callback, and the outcome at the end; None without
            observers.

    """

    key: str
    on_event: Callable[[StatusEvent], object] | None = None
    observation: WaitObservation | None = None
    _events: list[Event] | None = field(default=None, init=False)
    _warned: set[BatchStatus | None] | None = field(default=None, init=False)

    def add(self, event: Event, *, call: bool = True) -> None:
        """Keep an event, and call the callbacks with it, unless ``call`` is False."""
        events = self._events
        if events is None:
            self._events = [event]  # a bounded deque would take 700 bytes at once
        else:
            newest = events[-1]
            if newest[-1] is not None:  # an older event keeps less of its error
                events[-1] = (*newest[:-1], summary(newest[-1]))
            if len(events) == _KEPT_EVENTS:
                del events[0]
            events.append(event)
        if call and (self.on_event is not None or self.observation is not None):
            self.call(event)

    def call(self, event: Event) -> None:
        """Call the callbacks with an event."""
        if self.on_event is None and self.observation is None:
            return
        told = StatusEvent(self.key, *event)
        if self.observation is not None:
            self.observation.report(told)
        if self.on_event is not None:
            call_safely("on_event", self.key, self.on_event, told)

    def end(self, outcome: Batch | WaitError | None) -> None:
        """Report the outcome to observers, None if the wait was given up; only once."""
        if self.observation is not None:
            observation, self.observation = self.observation, None
            observation.report(outcome)

    def events(self) -> tuple[StatusEvent, ...]:
        """Return the newest events, the oldest first."""
        return tuple(StatusEvent(self.key, *event) for event in self._events or ())

    def newest_error(self) -> ProlificError | None:
        """Return the error of the newest event, None if it has none."""
        return self._events[-1][-1] if self._events else None

    def warn_once(self, status: BatchStatus | None) -> None:
        """Log a status that has no meaning for a wait, once for each."""
        self._warned = self._warned or set()
        if status not in self._warned:
            self._warned.add(status)
            shown = "no status" if status is None else f"the unseen status {brief(status)!r}"
            _log.warning("batch %s shows %s, which counts as pending", self.key, shown)


def call_safely(name: str, key: str, function: Callable[[Any], object], value: object) -> None:
    """Call a function of the caller's for one wait; log what it raises."""
    try:
        _call_outside_of_tasks(function, value)
    except (KeyboardInterrupt, SystemExit):
        raise
    # A CancelledError, as of a future that it asks, would end a poll that serves others, too.
    except BaseException:  # noqa: BLE001
        _log.exception("%s raised for batch %s; the wait goes on", name, key)


def _call_outside_of_tasks(function: Callable[[Any], object], value: object) -> None:
    """Call a function that must not find a current task to cancel.

    The task that runs here is anybody's: it makes a poll for others, or closes the client.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        task = None
    if task is None:
        function(value)
        return
    loop = task.get_loop()
    # Public, for those who write tasks of their own ("Extending" in asyncio's documentation).
    asyncio._leave_task(loop, task)  # noqa: SLF001
    try:
        function(value)
    finally:
        asyncio._enter_task(loop, task)  # noqa: SLF001
