"""The error of a POST of which nothing tells whether it ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prolific_async.errors import (
    APIStatusError,
    DecodeError,
    OutcomeUnknownError,
    ProlificError,
    TransportError,
)

if TYPE_CHECKING:
    from prolific_async.models import Batch


def unknown_outcome(
    failure: ProlificError,
    candidates: tuple[Batch, ...] = (),
    unreadable: tuple[str, ...] = (),
) -> OutcomeUnknownError:
    """Return the error of a POST that failed so, with the batches that may be its copy."""
    method, path = call_of(failure)
    return OutcomeUnknownError(method, path, candidates, unreadable, failure=failure)


def call_of(failure: BaseException | None) -> tuple[str, str]:
    """Return method and path of the call that failed; both are empty for an error of no call."""
    if isinstance(failure, TransportError | APIStatusError | DecodeError):
        return failure.method or "", failure.path or ""
    return "", ""
