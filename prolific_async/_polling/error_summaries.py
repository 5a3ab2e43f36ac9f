"""Limits the memory of the errors that a wait keeps: removes large bodies, keeps the message.

A wait keeps the errors of twenty polls. With the decoded bodies, a batch of a megabyte that cannot
be read would cost each wait hundreds of megabytes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from multidict import CIMultiDict

from prolific_async._json.sizes import fits
from prolific_async._message_parts import brief, issues, plain
from prolific_async.errors import APIStatusError, DecodeError, ProlificError

NEWEST = 64 * 1024
"""Bytes of the response that the error of the newest poll may keep."""
OLDER = 1024
"""Bytes of the response that the error of an older poll may keep."""

_NO_HEADERS: Mapping[str, str] = CIMultiDict()

# By the original error: all waits that saw the poll share one small copy.
_summaries: WeakKeyDictionary[ProlificError, ProlificError] = WeakKeyDictionary()


def summary(error: ProlificError) -> ProlificError:
    """Return a small copy of an error, which all waits share, or the error itself if small."""
    kept = _summaries.get(error)
    if kept is None:
        kept = bounded(error, OLDER)
        if kept is not error:
            _summaries[error] = kept
    return kept


def bounded(error: ProlificError, most: int) -> ProlificError:
    """Return an error, or a copy with its message and about ``most`` bytes of the response."""
    if not isinstance(error, APIStatusError | DecodeError) or fits(error.args, most):
        return error
    smaller = _smaller(error, most)
    smaller.request_id = error.request_id
    smaller.attempts = error.attempts
    return smaller


def _smaller(error: APIStatusError | DecodeError, most: int) -> ProlificError:
    body = error.body if fits(error.body, most) else None
    if isinstance(error, DecodeError):
        if body is None and isinstance(error.body, str):
            body = error.body[:most]
        return type(error)(_first(error.problems, most), body, error.method, error.path)
    detail = error.detail if fits(error.detail, most) else brief(plain(error.detail))
    if body is None and error.body is not None:
        if found := issues(error.body):
            detail = ": ".join(filter(None, (brief(plain(detail)), brief(found))))
        body = _words(error, most)
    return type(error)(
        error.status,
        error.method,
        error.path,
        error.error_code if fits(error.error_code, most) else brief(str(error.error_code)),
        error.title if fits(error.title, most) else brief(str(error.title)),
        detail,
        body,
        error.retry_after,
        error.headers if fits(error.headers, most) else _NO_HEADERS,
    )


def _words(error: APIStatusError, most: int) -> str:
    body = error.body
    if isinstance(body, str):
        return body[:most]
    if isinstance(body, dict):
        body = {key: one for key, one in body.items() if one != error.error_code}
    return brief(plain(body))


def _first(problems: tuple[str, ...], most: int) -> tuple[str, ...]:
    """Return the first problems, as many as fit into ``most`` bytes; long ones are shortened."""
    kept: list[str] = []
    for problem in problems:
        short = problem if len(problem) <= most else brief(problem)
        if kept and sys.getsizeof(short) > most:
            break
        most -= sys.getsizeof(short)
        kept.append(short)
    return tuple(kept)
