"""Removes frames, or their local variables, from the tracebacks of errors."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, TypeVar

from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from collections.abc import Iterator

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Remove the tracebacks of an error, its causes, contexts and group members; return the error.

    Each wait keeps the errors of twenty polls, which would take 250 KB with their frames, and a
    frame that refers to the wait would make a reference cycle.
    """
    for link in _chain(error):
        link.__traceback__ = None
    return error


def for_one_caller(error: E) -> E:
    """Return a shared error to raise to one caller, without frames of the other callers.

    The error has no frames of callers to which it was raised before. A ProlificError is copied, as
    callers may set attributes on it, such as ``step``.
    """
    error = error.with_traceback(None)
    if not isinstance(error, ProlificError):
        return error
    kind = type(error)
    own = kind.__new__(kind)
    own.args = error.args
    vars(own).update(vars(error))
    own.__context__, own.__cause__ = error.__context__, error.__cause__
    own.__suppress_context__ = error.__suppress_context__
    return own


def clear_locals(error: BaseException, outer: BaseException | None) -> None:
    """Clear the local variables in the tracebacks of an error, its causes, contexts and parts.

    The variables include the request's headers, and so the token, which some loggers would print.

    Args:
        error: The error; its traceback keeps its lines.
        outer: The exception that the caller was handling before, which is not changed.

    """
    for link in _chain(error, outer):
        traceback.clear_frames(link.__traceback__)


def _chain(error: BaseException, end: BaseException | None = None) -> Iterator[BaseException]:
    """Yield an error, its causes, its contexts and the errors in groups.

    ``end`` and the errors behind it are left out.
    """
    seen = {id(None), id(end)}
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            links += (link.__cause__, link.__context__)
            if isinstance(link, BaseExceptionGroup):
                links += link.exceptions
