"""Spans of calls, streams and waits: their events, their status and their end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial

from opentelemetry import trace

from prolific_async import StatusEvent, WaitError
from prolific_async.extensions import log


def record(span: trace.Span, event: object) -> None:
    """Record a wait's poll as an event of its span, or end the span with the wait's outcome."""
    match event:
        case StatusEvent():
            _add_poll(span, event)
        case WaitError():
            _end_failed(span, event)
        case None:
            _end_left(span)
        case _:
            _end_ok(span)


def _add_poll(span: trace.Span, event: StatusEvent) -> None:
    attributes: dict[str, str | int | float] = {"prolific.wait.polls": event.polls}
    if event.status is not None:
        attributes[f"prolific.{event.kind}.status"] = str(event.status)
    span.set_attributes(attributes)
    attributes["prolific.wait.elapsed"] = event.elapsed
    if event.next_in is not None:
        attributes["prolific.wait.next_in"] = event.next_in
    if event.error is not None:
        attributes["error.type"] = type(event.error).__qualname__
    span.add_event("poll", attributes)


_END = object()


async def read(
    start: Callable[[], trace.Span], records: AsyncGenerator[object]
) -> AsyncGenerator[object]:
    """Yield the records of a stream; its span is the current one only while a record is read."""
    span = start()
    with ending(span):
        async with aclosing(records):
            while True:
                with within(span):
                    record = await anext(records, _END)
                if record is _END:
                    break
                yield record


within = partial(trace.use_span, record_exception=False, set_status_on_exception=False)


@contextmanager
def ending(span: trace.Span) -> Iterator[None]:
    """End a span with its ``with`` block: as OK, with the error, or with the event "left"."""
    try:
        yield
    except Exception as error:
        with log_errors():
            _end_failed(span, error)
        raise
    except BaseException:
        with log_errors():
            _end_left(span)
        raise
    with log_errors():
        _end_ok(span)


def _end_ok(span: trace.Span) -> None:
    span.set_status(trace.StatusCode.OK)
    span.end()


def _end_failed(span: trace.Span, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.record_exception(error)
    span.set_status(trace.StatusCode.ERROR, str(error))
    span.end()


def _end_left(span: trace.Span) -> None:
    span.add_event("left")
    span.end()


@contextmanager
def log_errors() -> Iterator[None]:
    """Log every exception, also a CancelledError, so that tracing does not end the traced call."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a bug in tracing is not the call's
        log.exception("tracing raised; the call goes on")
