"""Problem documents (RFC 9457) as responses for the client's errors."""

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

__all__ = ["NO_SOURCE", "Problem", "exception_handlers", "log_problem", "problem_of", "responses"]

_log = logging.getLogger("prolific_async")

_MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER = 30
"""Seconds in which a client recovers from a 429; the default where Prolific names none."""
_LONGEST_RETRY_AFTER = 3600
_PATH = re.compile(
    r"/(?P<kind>batches|datasets)/(?P<id>[^/]+)"
    r"(?:/(?:imports|schema-migrations|syncs|export)/(?P<job_id>[^/]+)|/[\w-]+|/upload-url/[^/]+)?$"
)
_LOGGED_PATH = 500  # characters
_WS_INTERNAL_ERROR, _WS_TRY_AGAIN_LATER = 1011, 1013


@frozen
class Problem:
    """A problem document (RFC 9457) of the type "about:blank", with a code for programs."""

    status: int
    code: str
    detail: str

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"status": self.status, "code": self.code, "detail": self.detail}


_MISCONFIGURED = Problem(500, "misconfigured", "This service is not set up right for Prolific.")
_UNUSABLE = Problem(502, "unusable_answer", "Prolific gave no answer that can be used.")
_UNREACHABLE = Problem(502, "unreachable", "Prolific could not be reached.")
_REFUSED = Problem(400, "refused", "Prolific refuses this request as it stands.")
_RESTARTING = Problem(503, "restarting", "This service is being restarted: try again.")
NO_SOURCE = Problem(500, "source_failed", "This service could not list the batches to wait for.")
"""For an event stream whose iterable of batches raised an error that is not the client's."""
_UNKNOWN = Problem(
    502, "outcome_unknown", "It may or may not have been done: check before you send it again."
)
_UNKNOWN_IN_TIME = evolve(_UNKNOWN, status=504)
_NO_SUCH_BATCH = Problem(404, "no_such_batch", "There is no such batch.")
_NO_SUCH_DATASET = Problem(404, "no_such_dataset", "There is no such dataset.")
_NO_SUCH_JOB = Problem(404, "no_such_job", "There is no such import, migration, sync or export.")

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
    errors.NotFoundError: _NO_SUCH_BATCH,
    errors.ConflictError: Problem(409, "conflict", "Something else is at work on it: try later."),
    errors.RateLimitedError: Problem(503, "busy", "Prolific is busy: try again later."),
    errors.OutcomeUnknownError: _UNKNOWN,
    errors.BatchFailedError: Problem(
        409,
        "batch_failed",
        "Prolific could not build this batch's tasks: fix its dataset or upload another one, and "
        "set up a duplicate.",
    ),
    errors.BatchNotSetUpError: Problem(
        409, "not_set_up", "This batch has not been set up, which needs a READY dataset."
    ),
    errors.NothingUploadedError: Problem(
        409, "nothing_uploaded", "Nothing has been uploaded to this dataset."
    ),
    errors.SchemaNeededError: Problem(409, "schema_needed", "This dataset needs a schema first."),
    errors.JobFailedError: Problem(
        409, "job_failed", "Prolific could not do this: correct the data, and begin again."
    ),
    errors.PartialImportError: Problem(
        409, "partial_import", "Prolific took a part of the rows only: correct the others."
    ),
    errors.PartialMigrationError: Problem(
        409, "partial_migration", "Some datapoints do not fit the new schema: correct it."
    ),
    errors.WaitTimeoutError: Problem(504, "not_ready_in_time", "This was not ready in time."),
}

_PROBLEMS_OF_ORDERS = {
    "OrderNotFoundError": Problem(404, "no_such_order", "There is no such order."),
    "OrderCancelledError": Problem(409, "order_cancelled", "This order was cancelled."),
    "DatabaseUnavailableError": Problem(
        503, "database_unavailable", "The database of the orders is not available: try again."
    ),
}
"""By name, since the errors of ``prolific_async.durable`` need an extra of their own."""


def problem_of(error: errors.ProlificError, connection: HTTPConnection) -> Problem:
    """Return the problem document for an error; that of a 404 depends on the request."""
    failure = error.failure
    if isinstance(error, errors.WaitFailedError) and isinstance(failure, errors.ProlificError):
        if isinstance(failure, errors.ConfigurationError):
            return _RESTARTING
        return problem_of(failure, connection)
    if isinstance(failure, ValueError):  # an iterable yielded an invalid id
        return _NO_SUCH_BATCH
    if isinstance(error, errors.NotFoundError):
        return _not_found_problem(connection, error.path)
    if isinstance(error, errors.OutcomeUnknownError):
        return _UNKNOWN_IN_TIME if isinstance(failure, errors.RequestTimeoutError) else _UNKNOWN
    return _order_problem(error) or next(
        _PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS
    )


def _order_problem(error: errors.ProlificError) -> Problem | None:
    kind = type(error)
    is_of_orders = kind.__module__.startswith("prolific_async.durable.")
    return _PROBLEMS_OF_ORDERS.get(kind.__name__) if is_of_orders else None


def _not_found_problem(connection: HTTPConnection, path: str) -> Problem:
    """Return a 404 problem if the request itself has the id that was not found, else a 500."""
    match = _PATH.search(path)
    if match is None or not any(_request_names(connection, match[one]) for one in ("id", "job_id")):
        return _MISCONFIGURED
    if match["job_id"] is not None:
        return _NO_SUCH_JOB
    return _NO_SUCH_BATCH if match["kind"] == "batches" else _NO_SUCH_DATASET


def _request_names(connection: HTTPConnection, quoted_id: str | None) -> bool:
    """Return whether an id from one of Prolific's paths is in a request's path, query or body."""
    if quoted_id is None:
        return False
    sought = unquote(quoted_id)
    queried = (value for _, value in connection.query_params.multi_items())
    given = {*map(str, connection.path_params.values()), *queried}
    # The part of the body that FastAPI has read; reading more could wait for ever.
    body: bytes = getattr(connection, "_body", b"")
    return sought in given or sought.encode() in body


def log_problem(error: errors.ProlificError, connection: HTTPConnection) -> Problem:
    """Log an error, and return its problem document."""
    problem = problem_of(error, connection)
    level = logging.INFO
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        level = logging.ERROR if problem is _MISCONFIGURED else logging.WARNING
    path = connection.url.path[:_LOGGED_PATH]
    try:
        _log.log(
            level,
            "%s got the problem %r because of %s: %s",
            "".join(char if char.isprintable() else " " for char in path),
            problem.code,
            type(error).__name__,
            error,
            exc_info=error if level > logging.INFO else None,
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001, S110 - a bug in a log handler changes no response
        pass
    return problem


async def _answer(connection: HTTPConnection, error: errors.ProlificError) -> Response | None:
    problem = log_problem(error, connection)
    is_busy = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(connection, WebSocket) and connection.application_state is not (
        WebSocketState.CONNECTING
    ):
        if connection.application_state is WebSocketState.CONNECTED:
            code = _WS_TRY_AGAIN_LATER if is_busy else _WS_INTERNAL_ERROR
            await connection.close(code, problem.detail)
        return None
    headers = _retry_after_header(error, is_busy=is_busy)
    return JSONResponse(problem.document(), problem.status, headers, _MEDIA_TYPE)


def _retry_after_header(error: BaseException, *, is_busy: bool) -> dict[str, str]:
    if isinstance(error, errors.WaitFailedError) and error.failure is not None:
        error = error.failure
    seconds = getattr(error, "retry_after", None)
    if seconds is None and is_busy:
        seconds = _RETRY_AFTER
    if seconds is None:
        return {}
    return {"Retry-After": str(min(math.ceil(seconds), _LONGEST_RETRY_AFTER))}


exception_handlers: dict[
    int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]
] = {errors.ProlificError: _answer}  # type: ignore[dict-item] # a WebSocket may get no Response
"""Handlers for ``FastAPI(exception_handlers=…)``; see the table in ``prolific_async.fastapi``."""


def _openapi_response(status: int, problems: list[Problem]) -> dict[str, Any]:
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
    more = (_NO_SUCH_DATASET, _NO_SUCH_JOB, _RESTARTING, _UNKNOWN_IN_TIME)
    for problem in dict.fromkeys([*_PROBLEMS.values(), *more]):
        by_status.setdefault(problem.status, []).append(problem)
    return {status: _openapi_response(status, by_status[status]) for status in sorted(by_status)}


responses = _responses()
"""Responses of ``exception_handlers`` for the OpenAPI document: ``responses=`` of an application, a
router or a route."""
