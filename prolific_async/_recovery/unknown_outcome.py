"""Builds the error of a POST that may or may not have run."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from prolific_async._http.retry import may_have_run
from prolific_async._message_parts import brief
from prolific_async.errors import (
    APIStatusError,
    DecodeError,
    OutcomeUnknownError,
    ProlificError,
    TransportError,
)
from prolific_async.models import Copies

T = TypeVar("T")


def unknown_outcome(failure: ProlificError, candidates: Copies = Copies()) -> OutcomeUnknownError:  # noqa: B008 - frozen
    """Return the error of a POST that may have run.

    Args:
        failure: How the POST failed.
        candidates: The batches that may be the one that it made.

    """
    method, path = call_of(failure)
    return OutcomeUnknownError(
        method, path, candidates.batches, candidates.unreadable, failure=failure
    )


async def sent_once(work: Awaitable[T]) -> T:
    """Await a POST that must not run twice and whose effect cannot be searched for.

    Raises:
        OutcomeUnknownError: The POST failed, and may have run.
        ProlificError: The POST failed, and did not run.

    """
    try:
        return await work
    except ProlificError as failure:
        if not may_have_run(failure):
            raise
        raise unknown_outcome(failure) from failure


def unknown_copy(
    path: str, name: str, candidates: Copies, failure: ProlificError | None = None
) -> OutcomeUnknownError:
    """Return the error of a copy whose name other batches have, or may have.

    Args:
        path: Path of the duplicate.
        name: Name of the copy.
        candidates: The batches with this name; a single one if a search is still to be made.
        failure: How the search failed, if it did.

    """
    shown = repr(brief(name))
    if len(candidates) > 1:
        reason = (
            f"several batches bear the name {shown}, so none is surely the copy of POST {path}; "
            "use one of them by its id, or give the copy another name"
        )
    else:
        reason = (
            f"POST {path} made a copy, but it is not known whether another batch bears the name "
            f"{shown}; try again"
        )
    return OutcomeUnknownError(
        "POST", path, candidates.batches, candidates.unreadable, failure=failure, reason=reason
    )


def unsearched_copy(
    lost: OutcomeUnknownError, name: str, search: ProlificError
) -> OutcomeUnknownError:
    """Return the error of a lost duplicate whose copy could not be searched for by its name.

    Args:
        lost: The error of the duplicate.
        name: Name of the copy.
        search: How the search failed.

    """
    error = OutcomeUnknownError(
        lost.method,
        lost.path,
        lost.candidates,
        lost.unreadable,
        failure=lost.failure or search,
        reason=(
            f"{lost.method} {lost.path} may or may not have run, and the search for its copy "
            f"{brief(name)!r} failed: {search}; to try again, give the same name, which is "
            "searched for first"
        ),
    )
    error.attempts = lost.attempts
    return error


def call_of(failure: BaseException | None) -> tuple[str, str]:
    """Return the method and path in a failure; both are empty if it belongs to no request."""
    if isinstance(failure, TransportError | APIStatusError | DecodeError):
        return failure.method or "", failure.path or ""
    return "", ""
