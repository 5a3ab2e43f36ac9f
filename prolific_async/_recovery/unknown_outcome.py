"""The error of a POST that may or may not have run."""

from __future__ import annotations

from prolific_async.errors import (
    APIStatusError,
    DecodeError,
    OutcomeUnknownError,
    ProlificError,
    TransportError,
)
from prolific_async.models import Copies


def unknown_outcome(failure: ProlificError, candidates: Copies = Copies()) -> OutcomeUnknownError:  # noqa: B008 - frozen
    """Return the error of a POST that failed so, with the batches that may be its copy."""
    method, path = call_of(failure)
    return OutcomeUnknownError(
        method, path, candidates.batches, candidates.unreadable, failure=failure
    )


def call_of(failure: BaseException | None) -> tuple[str, str]:
    """Return method and path of the call that failed; both are empty for an error of no call."""
    if isinstance(failure, TransportError | APIStatusError | DecodeError):
        return failure.method or "", failure.path or ""
    return "", ""
