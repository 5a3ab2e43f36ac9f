"""The problem document that each error becomes."""

import logging
from typing import Annotated, Any
from uuid import uuid4

import aiohttp
import pytest
from fastapi import Body, FastAPI, WebSocket
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import JSONResponse

from prolific_async import ProlificClient, ProlificError, errors
from prolific_async.durable import (
    DatabaseUnavailableError,
    OrderCancelledError,
    OrderNotFoundError,
)
from prolific_async.fastapi import exception_handlers, responses
from prolific_async.fastapi.problem_documents import problem_of
from prolific_async.simulator import Fault, Simulator
from tests.fastapi.conftest import Make
from tests.fastapi.example.app import create_app
from tests.fastapi.serving import serving

PATH = "/api/v1/data-collection/batches/b%2F1/status"
WAIT = ("b/1", None, 1.0, 1, ())


def api(kind: type[errors.APIStatusError], status: int) -> errors.APIStatusError:
    return kind(status, "GET", PATH, None, None, None, "", None, {})


def because(error: ProlificError, cause: ProlificError) -> ProlificError:
    error.__cause__ = cause
    return error


def pooled(error: ProlificError) -> ProlificError:
    """Return an error as a process pool returns it: with another cause."""
    error.__cause__ = RuntimeError("a traceback")
    return error


LOST = errors.ConnectionLostError("POST", PATH, "r")
LATE = errors.RequestTimeoutError("POST", PATH, "r")

PROBLEMS: list[tuple[ProlificError, int, str]] = [
    (errors.ConfigurationError("x"), 500, "misconfigured"),
    (errors.ConnectError("GET", PATH, "r"), 502, "unreachable"),
    (LOST, 502, "unreachable"),
    (LATE, 504, "no_answer_in_time"),
    (api(errors.APIStatusError, 302), 502, "unusable_answer"),
    (api(errors.BadRequestError, 400), 400, "refused"),
    (api(errors.AuthenticationError, 401), 500, "misconfigured"),
    (api(errors.PermissionDeniedError, 403), 500, "misconfigured"),
    (api(errors.NotFoundError, 404), 404, "no_such_batch"),
    (api(errors.ConflictError, 409), 409, "conflict"),
    (api(errors.ValidationError, 422), 400, "refused"),
    (api(errors.RateLimitedError, 429), 503, "busy"),
    (api(errors.ServerError, 503), 502, "unusable_answer"),
    (errors.DecodeError(("p",), None), 502, "unusable_answer"),
    (because(errors.OutcomeUnknownError("POST", PATH), LOST), 502, "outcome_unknown"),
    (because(errors.OutcomeUnknownError("POST", PATH), LATE), 504, "outcome_unknown"),
    (errors.BatchFailedError(*WAIT), 409, "batch_failed"),
    (errors.BatchNotSetUpError(*WAIT), 409, "not_set_up"),
    (errors.NothingUploadedError(*WAIT), 409, "nothing_uploaded"),
    (errors.SchemaNeededError(*WAIT), 409, "schema_needed"),
    (errors.JobFailedError(*WAIT), 409, "job_failed"),
    (errors.PartialImportError(*WAIT), 409, "partial_import"),
    (errors.PartialMigrationError(*WAIT), 409, "partial_migration"),
    (because(errors.WaitTimeoutError(*WAIT), LOST), 504, "not_ready_in_time"),
    (because(errors.WaitFailedError(*WAIT), LOST), 502, "unreachable"),
    (because(errors.WaitFailedError(*WAIT), api(errors.NotFoundError, 404)), 404, "no_such_batch"),
    (because(errors.WaitFailedError(*WAIT), errors.ConfigurationError("x")), 503, "restarting"),
    (pooled(errors.OutcomeUnknownError("POST", PATH, failure=LATE)), 504, "outcome_unknown"),
    (pooled(errors.WaitFailedError(*WAIT, LOST)), 502, "unreachable"),
    (pooled(errors.WaitFailedError(*WAIT, errors.ConfigurationError("x"))), 503, "restarting"),
]


def asked(path: dict[str, Any], query: bytes = b"") -> HTTPConnection:
    return HTTPConnection({"type": "http", "path_params": path, "query_string": query})


def answering(error: ProlificError) -> FastAPI:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.get("/{path:path}")
    async def route(path: str) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "code"), PROBLEMS, ids=lambda one: getattr(type(one), "__name__", str(one))
)
def test_each_error_has_its_problem(error: ProlificError, status: int, code: str) -> None:
    problem = problem_of(error, asked({"batch_id": "b/1"}))
    assert (problem.status, problem.code) == (status, code)
    documented = responses[status]["content"]["application/problem+json"]["schema"]["properties"]
    assert documented["status"]["const"] == status
    assert code in documented["code"]["enum"]
    assert documented.keys() == problem.document().keys()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OrderNotFoundError("x"), 404, "no_such_order"),
        (OrderCancelledError("x"), 409, "order_cancelled"),
        (DatabaseUnavailableError("x"), 503, "database_unavailable"),
    ],
)
def test_errors_of_durable_orders_have_problems(
    error: ProlificError, status: int, code: str
) -> None:
    problem = problem_of(error, asked({}))
    assert (problem.status, problem.code) == (status, code)


def test_every_error_has_a_problem() -> None:
    answered = {type(error) for error, _, _ in PROBLEMS}
    raised = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ProlificError)
    }
    roots = {errors.ProlificError, errors.TransportError, errors.WaitError}
    assert answered == raised - roots


def test_the_openapi_document_has_the_problems(make_client: Make) -> None:
    operation = create_app(client=make_client).openapi()["paths"]["/copies/{batch_id}"]["get"]
    told = operation["responses"]
    assert told.keys() == {"200", "400", "404", "409", "422", "500", "502", "503", "504"}
    # What FastAPI says of a request by itself keeps its own status and its own form.
    assert list(told["422"]["content"]) == ["application/json"]
    assert list(told["404"]["content"]) == ["application/problem+json"]
    assert told["404"]["description"].splitlines() == [
        "- `no_such_batch`: There is no such batch.",
        "- `no_such_dataset`: There is no such dataset.",
        "- `no_such_job`: There is no such import, migration, sync or export.",
    ]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ({"batch_id": "b/1"}, b"", 404),
        ({}, b"batch=other&batch=b%2F1&x=1", 404),
        ({}, b"batch=b%2F1&batch=other", 404),
        ({}, b"", 500),
        ({"batch_id": "b"}, b"batch=1", 500),
        ({"number": 1}, b"", 500),
        ({"poll": "status"}, b"of=batches&version=v1", 500),
    ],
)
def test_a_404_is_passed_on_only_for_a_batch_that_the_request_names(
    path: dict[str, Any], query: bytes, status: int
) -> None:
    assert problem_of(api(errors.NotFoundError, 404), asked(path, query)).status == status


@pytest.mark.parametrize(
    ("path", "named", "code"),
    [
        ("/batches/b1", "b1", "no_such_batch"),
        ("/batches/b1/task-groups", "b1", "no_such_batch"),
        ("/batches/b1/syncs/s1", "s1", "no_such_job"),
        ("/batches/b1/syncs/s1", "b1", "no_such_job"),
        ("/batches/b1/syncs/s1", "syncs", "misconfigured"),
        ("/batches/b1/export/e1", "e1", "no_such_job"),
        ("/batches/b1/export", "b1", "no_such_batch"),
        ("/datasets/d1", "d1", "no_such_dataset"),
        ("/datasets/d1/status", "d1", "no_such_dataset"),
        ("/datasets/d1/upload-url/rows.csv", "d1", "no_such_dataset"),
        ("/datasets/d1/upload-url/rows.csv", "rows.csv", "misconfigured"),
        ("/datasets/d1/imports/i%2F1", "i/1", "no_such_job"),
        ("/datasets/d1/schema-migrations/m1", "m1", "no_such_job"),
        ("/datasets/d1/imports/i1", "d2", "misconfigured"),
        ("/datasets", "datasets", "misconfigured"),
        ("/studies/d1", "d1", "misconfigured"),
    ],
)
def test_a_404_names_what_was_not_found(path: str, named: str, code: str) -> None:
    path = f"/api/v1/data-collection{path}"
    error = errors.NotFoundError(404, "GET", path, None, None, None, "", None, {})
    assert problem_of(error, asked({"given": named})).code == code


@pytest.mark.parametrize(("sent", "status"), [("nobody's", 404), ("original", 500)])
async def test_a_batch_may_be_named_in_the_body(
    client: ProlificClient, session: aiohttp.ClientSession, sent: str, status: int
) -> None:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.post("/rounds")
    async def start(source: Annotated[str, Body(embed=True)]) -> None:
        await client.batches.duplicate("nobody's", name=f"copy of {source}")

    async with serving(app) as url, session.post(f"{url}/rounds", json={"source": sent}) as answer:
        assert answer.status == status


async def test_a_404_of_a_list_is_a_misconfiguration(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    sim.inject("GET", "/batches", Fault(404))
    async with session.get(f"{backend}/copies") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (
            500,
            "misconfigured",
        )


async def test_a_handler_of_the_application_takes_precedence(
    session: aiohttp.ClientSession,
) -> None:
    app = answering(errors.OutcomeUnknownError("POST", PATH))

    @app.exception_handler(errors.OutcomeUnknownError)
    async def own(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse("own", 500)

    async with serving(app) as url, session.get(url) as answer:
        assert await answer.json() == "own"


async def test_a_path_is_logged_as_one_printable_line(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    app = answering(errors.ConfigurationError("x"))
    async with serving(app) as url, session.get(f"{url}/a%E2%80%A8b%1B%5B31m") as answer:
        assert answer.status == 500
    [record] = [record for record in caplog.records if record.name == "prolific_async"]
    assert (
        record.getMessage()
        == "/a b [31m got the problem 'misconfigured' because of ConfigurationError: x"
    )


async def test_a_response_holds_a_fixed_sentence_and_the_log_the_error(
    sim: Simulator,
    backend: str,
    session: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = {"error": {"title": "t", "detail": f"secret {sim.token}", "error_code": 7}}
    sim.inject("GET", "/batches", Fault(403, body=secret))
    async with session.get(f"{backend}/copies") as answer:
        assert answer.status == 500
        assert answer.content_type == "application/problem+json"
        assert await answer.json(content_type=None) == {
            "status": 500,
            "code": "misconfigured",
            "detail": "This service is not set up right for Prolific.",
        }
        assert "Retry-After" not in answer.headers
    [record] = [record for record in caplog.records if record.name == "prolific_async"]
    assert (record.levelno, record.exc_info is None) == (logging.ERROR, False)
    assert "PermissionDeniedError: GET /api/v1/data-collection/batches" in record.getMessage()
    assert sim.token not in caplog.text


async def test_a_time_out_is_logged_as_a_warning(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    app = answering(errors.WaitTimeoutError(*WAIT))
    async with serving(app) as url, session.get(url) as answer:
        assert answer.status == 504
    [record] = [record for record in caplog.records if record.name == "prolific_async"]
    assert record.levelno == logging.WARNING


async def test_an_unknown_batch_is_logged_as_info(
    backend: str, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "prolific_async")
    async with session.get(f"{backend}/copies/nobody's") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (
            404,
            "no_such_batch",
        )
    [record] = [record for record in caplog.records if record.name == "prolific_async"]
    assert (record.levelno, record.exc_info) == (logging.INFO, None)


@pytest.mark.usefixtures("raised_by_the_log")
async def test_a_log_that_raises_changes_no_answer(session: aiohttp.ClientSession) -> None:
    app = answering(errors.WaitTimeoutError(*WAIT))
    async with serving(app) as url, session.get(url) as answer:
        assert answer.status == 504
        assert (await answer.json(content_type=None))["code"] == "not_ready_in_time"


async def test_an_invalid_id_is_answered_with_422(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{backend}/copies/%01") as answer:
        assert answer.status == 422
    assert not sim.requests


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "told"),
    [({"Retry-After": "60.5"}, "61"), ({}, "30"), ({"Retry-After": "9" * 30}, "3600")],
)
async def test_a_429_of_the_service_becomes_503_with_retry_after(
    sim: Simulator,
    backend: str,
    session: aiohttp.ClientSession,
    headers: dict[str, str],
    told: str,
) -> None:
    sim.inject("GET", "/batches", Fault(429, headers=headers), times=None)
    async with session.get(f"{backend}/copies") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, told)


@pytest.mark.parametrize(("headers", "told"), [({"Retry-After": "120"}, "120"), ({}, None)])
async def test_retry_after_of_a_failing_service_is_passed_on(
    sim: Simulator,
    backend: str,
    session: aiohttp.ClientSession,
    headers: dict[str, str],
    told: str | None,
) -> None:
    sim.inject("GET", "/batches", Fault(503, headers=headers), times=None)
    async with session.get(f"{backend}/copies") as answer:
        assert (answer.status, answer.headers.get("Retry-After")) == (502, told)


async def test_a_wait_that_was_rate_limited_has_retry_after(
    session: aiohttp.ClientSession,
) -> None:
    refused = errors.RateLimitedError(429, "GET", PATH, None, None, None, "", 7.0, {})
    app = answering(because(errors.WaitFailedError(*WAIT), refused))
    async with serving(app) as url, session.get(url) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")


async def test_a_duplicate_of_unknown_outcome_is_answered_with_502(
    sim: Simulator, source: str, backend: str, session: aiohttp.ClientSession
) -> None:
    sim.inject("POST", "/duplicate", Fault(reset="before"))
    new = {"name": f"Round {uuid4()}"}
    async with session.post(f"{backend}/batches/{source}/copies", json=new) as answer:
        assert answer.status == 502
        assert (await answer.json(content_type=None))["code"] == "outcome_unknown"


async def test_a_websocket_is_closed_with_the_reason(
    sim: Simulator, backend: str, session: aiohttp.ClientSession
) -> None:
    async with session.ws_connect(f"{backend}/copies/nobody's/status") as socket:
        told = await socket.receive()
        while told.type is aiohttp.WSMsgType.TEXT:
            told = await socket.receive()
    assert (told.data, told.extra) == (1011, "There is no such batch.")


def busy(*, accepts: bool) -> FastAPI:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        if accepts:
            await websocket.accept()
        raise api(errors.RateLimitedError, 429)

    return app


async def test_a_websocket_is_closed_when_prolific_is_busy(
    session: aiohttp.ClientSession,
) -> None:
    async with serving(busy(accepts=True)) as url, session.ws_connect(url) as socket:
        assert (await socket.receive()).data == 1013


async def test_a_websocket_is_refused_when_prolific_is_busy(
    session: aiohttp.ClientSession,
) -> None:
    async with serving(busy(accepts=False)) as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)
    assert refused.value.status == 503
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "30"


async def test_a_closed_websocket_is_not_closed_again(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        raise errors.ConfigurationError("too late")

    async with serving(app) as url, session.ws_connect(url) as socket:
        assert (await socket.receive()).data == 1000
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == [
        "prolific_async"
    ]
