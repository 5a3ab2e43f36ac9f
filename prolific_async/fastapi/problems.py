"""What a caller of the application is told of an error: one table, and nothing from elsewhere."""

import logging
import math
import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from attrs import evolve, frozen
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import JSONResponse, Response
from fastapi.websockets import WebSocket, WebSocketState

from prolific_async import errors
from prolific_async._logging import log as _log
from prolific_async._messages import brief

__all__ = ["Problem", "exception_handlers", "problem_of", "responses", "told"]

_MEDIA_TYPE = "application/problem+json"
_SLOW_DOWN = 30
"""Seconds within which a client has recovered from a 429; the wait when Prolific names none."""
_LONGEST = 3600
"""Seconds that a caller is sent away for at most."""
_BATCH = re.compile(r"/batches/([^/]+)(?:/\w+)?$")
"""The batch of a path that Prolific was asked."""
_WS_INTERNAL_ERROR, _WS_TRY_AGAIN_LATER = 1011, 1013


@frozen
class Problem:
    """A problem document (RFC 9457) of the type "about:blank", with a code for programs."""

    status: int
    code: str
    detail: str

    def document(self) -> dict[str, Any]:
        """Return it as what is encoded as JSON."""
        return {"status": self.status, "code": self.code, "detail": self.detail}


_MISCONFIGURED = Problem(500, "misconfigured", "This service is not set up right for Prolific.")
_UNUSABLE = Problem(502, "unusable_answer", "Prolific gave no answer that can be used.")
_UNREACHABLE = Problem(502, "unreachable", "Prolific could not be reached.")
_REFUSED = Problem(400, "refused", "Prolific refuses this request as it stands.")
_RESTARTING = Problem(503, "restarting", "This service is being restarted: try again.")
_UNKNOWN = Problem(
    502, "outcome_unknown", "It may or may not have been done: look before you send it again."
)
_UNKNOWN_IN_TIME = evolve(_UNKNOWN, status=504)

_PROBLEMS: dict[type[errors.ProlificError], Problem] = {
    errors.ProlificError: _UNUSABLE,
    errors.ConfigurationError: _MISCONFIGURED,
    errors.TransportError: _UNREACHABLE,
    errors.RequestTimeoutError: Problem(
        504, "no_answer_in_time", "Prolific did not answer in time."
    ),
    errors.BadRequestError: _REFUSED,
    errors.ValidationError: _REFUSED,
    errors.AuthenticationError: _MISCONFIGURED,
    errors.PermissionDeniedError: _MISCONFIGURED,
    errors.NotFoundError: Problem(404, "no_such_batch", "There is no such batch."),
    errors.ConflictError: Problem(409, "conflict", "Something else is at work on this batch."),
    errors.RateLimitedError: Problem(503, "busy", "Prolific is busy: try again later."),
    errors.OutcomeUnknownError: _UNKNOWN,
    errors.BatchFailedError: Problem(
        409, "batch_failed", "Prolific could not build this batch's tasks."
    ),
    errors.BatchNotSetUpError: Problem(409, "not_set_up", "This batch has not been set up."),
    errors.WaitTimeoutError: Problem(504, "not_ready_in_time", "This batch was not ready in time."),
}


def problem_of(error: errors.ProlificError, connection: HTTPConnection) -> Problem:
    """Return what may be told of an error to whoever made a request."""
    failure = error.failure
    if isinstance(error, errors.WaitFailedError) and isinstance(failure, errors.ProlificError):
        if isinstance(failure, errors.ConfigurationError):
            return _RESTARTING
        return problem_of(failure, connection)
    if isinstance(error, errors.NotFoundError) and not _names(connection, error.path):
        return _MISCONFIGURED
    if isinstance(error, errors.OutcomeUnknownError):
        return _UNKNOWN_IN_TIME if isinstance(failure, errors.RequestTimeoutError) else _UNKNOWN
    return next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)


def _names(connection: HTTPConnection, path: str) -> bool:
    """Tell whether a request names the batch that Prolific was asked for."""
    asked = _BATCH.search(path)
    if asked is None:
        return False
    batch_id = unquote(asked[1])
    queried = (value for _, value in connection.query_params.multi_items())
    given = {*map(str, connection.path_params.values()), *queried}
    # What FastAPI has read of a body; reading it here could wait for ever.
    body: bytes = getattr(connection, "_body", b"")
    return batch_id in given or batch_id.encode() in body


def told(error: errors.ProlificError, connection: HTTPConnection) -> Problem:
    """Return what may be told of an error, and log the error itself."""
    problem = problem_of(error, connection)
    level = logging.INFO
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        level = logging.ERROR if problem is _MISCONFIGURED else logging.WARNING
    _log.log(
        level,
        "%s was told %r, as %s: %s",
        brief(connection.url.path),
        problem.code,
        type(error).__name__,
        error,
        exc_info=error if level > logging.INFO else None,
    )
    return problem


async def _answer(connection: HTTPConnection, error: errors.ProlificError) -> Response | None:
    problem = told(error, connection)
    is_busy = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(connection, WebSocket) and connection.application_state is not (
        WebSocketState.CONNECTING
    ):
        if connection.application_state is WebSocketState.CONNECTED:
            code = _WS_TRY_AGAIN_LATER if is_busy else _WS_INTERNAL_ERROR
            await connection.close(code, problem.detail)
        return None
    return JSONResponse(
        problem.document(), problem.status, _when(error, is_busy=is_busy), _MEDIA_TYPE
    )


def _when(error: BaseException, *, is_busy: bool) -> dict[str, str]:
    """Return the header that says when to come back, where that is known."""
    if isinstance(error, errors.WaitFailedError) and error.failure is not None:
        error = error.failure
    asked = getattr(error, "retry_after", None)
    if asked is None and is_busy:
        asked = _SLOW_DOWN
    return {} if asked is None else {"Retry-After": str(min(math.ceil(asked), _LONGEST))}


exception_handlers: dict[
    int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]
] = {errors.ProlificError: _answer}  # type: ignore[dict-item] # a WebSocket may get no Response
"""What ``FastAPI(exception_handlers=…)`` takes; see the package for the answers."""


def _documented(status: int, problems: list[Problem]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["status", "code", "detail"],
        "properties": {
            "status": {"type": "integer", "const": status},
            "code": {"type": "string", "enum": [problem.code for problem in problems]},
            "detail": {"type": "string"},
        },
    }
    return {
        "description": "\n".join(f"- `{one.code}`: {one.detail}" for one in problems),
        "content": {_MEDIA_TYPE: {"schema": schema}},
    }


def _responses() -> dict[int | str, dict[str, Any]]:
    by_status: dict[int, list[Problem]] = {}
    for problem in dict.fromkeys([*_PROBLEMS.values(), _RESTARTING, _UNKNOWN_IN_TIME]):
        by_status.setdefault(problem.status, []).append(problem)
    return {status: _documented(status, by_status[status]) for status in sorted(by_status)}


responses = _responses()
"""What ``responses=`` of an application, a router or a route takes, so that its OpenAPI document
tells what ``exception_handlers`` answers."""
