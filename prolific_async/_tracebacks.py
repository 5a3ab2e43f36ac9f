"""Tracebacks of errors without their frames, or without the local variables of these."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Return an error without its traceback, nor those of the errors that led to it.

    Each wait keeps the errors of twenty polls, and with their frames they would be 250 KB. Worse, a
    frame that holds the wait which keeps the error makes a cycle.
    """
    for link in _chain(error):
        link.__traceback__ = None
    return error


def clear_locals(error: BaseException, outer: BaseException | None) -> None:
    """Drop the local variables of every frame that an error, and what led to it, has passed so far.

    They hold the request's headers and bytes, and so the token, which loggers would print.

    Args:
        error: The error, whose traceback keeps its lines.
        outer: What the caller was handling before, which is the caller's own.

    """
    for link in _chain(error, outer):
        traceback.clear_frames(link.__traceback__)


def _chain(error: BaseException, end: BaseException | None = None) -> Iterator[BaseException]:
    """Yield an error, its causes and its contexts; stop at ``end``."""
    seen = {id(None), id(end)}
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            links += (link.__cause__, link.__context__)
