"""Listeners of one wait: the reports each gets, their context, and errors that they raise."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest

from prolific_async import BatchStatus, StatusEvent
from prolific_async._polling.wait_listeners import WaitListeners, call_safely
from tests.samples import batch

WHOSE = ContextVar("WHOSE", default="nobody's")
NEWS: Any = (BatchStatus.PROCESSING, None, 1, 0.5, 1.0, None)
EVENT = StatusEvent("b1", *NEWS)


class Observer:
    """Observes all waits but those for some batches."""

    def __init__(self, *ignored: str) -> None:
        self.ignored = ignored
        self.told: list[tuple[str, object]] = []

    def __call__(self, batch_id: str) -> Any:
        self.note(batch_id)
        return None if batch_id in self.ignored else self.note

    def note(self, news: object) -> None:
        self.told.append((WHOSE.get(), news))


def test_observers_and_the_callback_are_told_of_each_event_and_observers_of_the_end() -> None:
    observer, other, called = Observer(), Observer(), Observer()
    listeners = WaitListeners("b1", called.note, (observer, other))
    listeners.begin()
    listeners.tell(NEWS)
    listeners.end(batch())
    mine = "nobody's"
    assert observer.told == other.told == [(mine, "b1"), (mine, EVENT), (mine, batch())]
    assert called.told == [(mine, EVENT)]


def test_a_wait_ends_once() -> None:
    observer = Observer()
    listeners = WaitListeners("b1", None, (observer,))
    listeners.begin()
    listeners.end(None)
    listeners.end(batch())
    listeners.tell(NEWS)
    assert [news for _, news in observer.told] == ["b1", None]


def test_an_observer_may_ignore_a_wait() -> None:
    observer = Observer("b1")
    listeners = WaitListeners("b1", None, (observer,))
    listeners.begin()
    listeners.tell(NEWS)
    listeners.end(None)
    assert [news for _, news in observer.told] == ["b1"]


def test_observers_run_in_the_context_in_which_the_wait_was_made() -> None:
    observer, called = Observer(), Observer()
    token = WHOSE.set("the maker's")
    listeners = WaitListeners("b1", called.note, (observer,))
    WHOSE.reset(token)
    listeners.begin()
    listeners.tell(NEWS)
    listeners.end(None)
    assert [whose for whose, _ in observer.told] == ["the maker's"] * 3
    assert [whose for whose, _ in called.told] == ["nobody's"]  # whose context the poller chooses


def test_an_observer_that_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bug = ZeroDivisionError()

    def broken(_: str) -> Any:
        raise bug

    observer = Observer()
    listeners = WaitListeners("b1", None, (broken, observer))
    listeners.begin()
    listeners.tell(NEWS)
    assert [news for _, news in observer.told] == ["b1", EVENT]
    assert caplog.messages == ["a wait observer raised for batch b1; the wait goes on"]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is bug


def test_a_function_is_called_with_its_value_where_no_loop_runs() -> None:
    told: list[object] = []
    call_safely("on_event", "b1", told.append, EVENT)
    assert told == [EVENT]
