"""Frees errors that are kept of their tracebacks, which hold all that was at hand."""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Return an error without its tracebacks, nor those of the errors that led to it.

    Each wait keeps the errors of twenty looks, and with their frames they would be 250 KB. Worse, a
    frame that holds the wait which keeps the error makes a cycle.
    """
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            links += (link.__cause__, link.__context__)
    return error
