"""What a wait has to tell: its polls so far, to its callback, in its errors, and in the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from prolific_async._logging import log as _log
from prolific_async._messages import brief
from prolific_async._polling.kept_errors import summary
from prolific_async.models import StatusEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from prolific_async.errors import ProlificError
    from prolific_async.models import BatchStatus

_KEPT_EVENTS = 20

# A StatusEvent without its batch: a plain tuple costs a tenth of one, and mostly nobody asks.
_Event: TypeAlias = tuple[
    "BatchStatus | None", "BatchStatus | None", int, float, "float | None", "ProlificError | None"
]
Told: TypeAlias = tuple["BatchStatus | None", float]  # of a poll: previous and elapsed


class History:
    """The polls of one wait, of which it tells as they are made.

    Attributes:
        key: The batch that is polled.

    """

    # Thousands of waits have one at once, so each holds only what it needs.
    __slots__ = ("_events", "_on_event", "_polls", "_started", "_status", "_warned", "key")

    def __init__(
        self, key: str, on_event: Callable[[StatusEvent], object] | None, now: float
    ) -> None:
        self.key = key
        self._on_event = on_event
        self._started = now
        self._status: BatchStatus | None = None
        self._polls = 0
        self._warned: set[BatchStatus | None] | None = None
        self._events: list[_Event] | None = None

    def _count(self, status: BatchStatus | None, now: float) -> Told:
        self._polls += 1
        previous = self._status
        if status is not None:
            self._status = status
        return previous, now - self._started

    def _tell(self, told: Told, next_in: float | None, error: ProlificError | None = None) -> None:
        self._call(self._note(told, next_in, error))

    def _note(self, told: Told, next_in: float | None, error: ProlificError | None) -> _Event:
        event = (self._status, told[0], self._polls, told[1], next_in, error)
        if self._events is None:
            self._events = []  # a bounded deque would take 700 bytes at once
        else:
            newest = self._events[-1]
            if newest[-1] is not None:  # it gets older
                self._events[-1] = (*newest[:-1], summary(newest[-1]))
            if len(self._events) == _KEPT_EVENTS:
                del self._events[0]
        self._events.append(event)
        return event

    def _call(self, event: _Event) -> None:
        if self._on_event is not None:
            self._inform("on_event", self._on_event, StatusEvent(self.key, *event))

    def _inform(self, who: str, told: Callable[[Any], object], news: Any) -> None:
        """Call who is told; whatever that raises is logged."""
        try:
            _call_outside_of_tasks(told, news)
        except (KeyboardInterrupt, SystemExit):
            raise
        # A CancelledError, as of a future that it asks, would end a poll that serves others, too.
        except BaseException:  # noqa: BLE001
            _log.exception("%s raised for batch %s; the wait goes on", who, self.key)

    def _kept_events(self) -> tuple[StatusEvent, ...]:
        return tuple(StatusEvent(self.key, *event) for event in self._events or ())

    def _newest_error(self) -> ProlificError | None:
        return self._events[-1][-1] if self._events else None

    def _story(self, now: float) -> tuple[str, BatchStatus | None, float, int, tuple[()]]:
        """Return what every WaitError tells; the events are added when it is settled."""
        return self.key, self._status, now - self._started, self._polls, ()

    def _warn(self, status: BatchStatus | None) -> None:
        self._warned = self._warned or set()
        if status not in self._warned:
            self._warned.add(status)
            shown = "no status" if status is None else f"the unseen status {brief(status)!r}"
            _log.warning("batch %s shows %s, which counts as pending", self.key, shown)


def _call_outside_of_tasks(told: Callable[[Any], object], news: Any) -> None:
    """Call a function for which there is no current task that it could cancel.

    The one that runs here is anybody's: it makes a poll for others, too, or closes the client.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        task = None
    if task is None:
        told(news)
        return
    loop = task.get_loop()
    # Public, for those who write tasks of their own ("Extending" in asyncio's documentation).
    asyncio._leave_task(loop, task)  # noqa: SLF001
    try:
        told(news)
    finally:
        asyncio._enter_task(loop, task)  # noqa: SLF001
