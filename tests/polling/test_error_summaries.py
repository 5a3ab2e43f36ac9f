"""Errors that waits keep: their text, and only a part of the response."""

from __future__ import annotations

import gc
import json
import pickle
import tracemalloc
from typing import Any

import pytest
from multidict import CIMultiDict

from prolific_async import (
    APIStatusError,
    ConnectionLostError,
    DecodeError,
    PollPolicy,
    ProlificClient,
    ProlificError,
    WaitFailedError,
)
from prolific_async._polling.error_summaries import NEWEST, OLDER, bounded, summary
from prolific_async.errors import ServerError, ValidationError
from prolific_async.simulator import Fault, Simulator

LONG = "words " * 40_000
HEADERS = CIMultiDict({"Retry-After": "3"})
MANY = {"issues": [{"page": 1, "field": "f", "message": LONG}] * 50}


def status_error(
    detail: Any = None, body: Any = None, title: str | None = None, code: Any = None
) -> APIStatusError:
    return ServerError(503, "GET", "/b", code, title, detail, body, 3.0, HEADERS)


ERRORS: dict[str, ProlificError] = {
    "a text": status_error(body=LONG),
    "a page": status_error(body=f"<html>{LONG}"),
    "free-form JSON": status_error(body={"a": LONG, "b": [1, {"c": LONG}]}, code="a code"),
    "a list": status_error(body=[LONG] * 3),
    "a long detail": status_error(LONG, {"error": {"detail": LONG}}),
    "a detail that is a mapping": status_error({"name": [LONG, "odd"]}, {"x": LONG}, "Title"),
    "issues": ValidationError(422, "GET", "/b", 7, "Title", None, MANY, None, HEADERS),
    "issues and a detail": ValidationError(422, "GET", "/b", 7, None, "Bad", MANY, None, HEADERS),
    "a long title and code": status_error("detail", None, LONG, LONG),
    "a wrong field": DecodeError(("$.id: missing",), {"items": [LONG]}, "GET", "/b"),
    "no JSON": DecodeError(("$: no JSON",), LONG, "GET", "/b"),
    "many problems": DecodeError(tuple(f"$.x[{n}]: {LONG}" for n in range(99)), None, "GET", "/b"),
    "an I'm a teapot": APIStatusError(418, "GET", "/b", None, None, None, [LONG], None, HEADERS),
}


@pytest.mark.parametrize("most", [OLDER, NEWEST])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_a_kept_error_has_its_text_and_no_large_body(error: ProlificError, most: int) -> None:
    kept = bounded(error, most)
    assert type(kept) is type(error)
    shown = str(error)
    if isinstance(kept, DecodeError) and kept.body is None:
        shown = shown.replace(".problems and .body", ".problems")
    assert str(kept)[:400] == shown[:400]
    assert str(kept)[-30:] == shown[-30:]
    assert len(pickle.dumps(kept)) < 2 * most + 3000
    assert bounded(kept, 4 * most) is kept


@pytest.mark.parametrize(
    "error", [status_error(body={"a": 1}), ConnectionLostError("GET", "/b", "reset")]
)
def test_small_errors_are_kept_as_they_are(error: ProlificError) -> None:
    assert summary(error) is error


def test_the_summary_of_an_error_is_made_once() -> None:
    error = ERRORS["a wrong field"]
    assert summary(error) is summary(error) is not error


def test_a_kept_error_has_its_other_attributes() -> None:
    error = status_error({"some": "detail"}, {"error": LONG * 9})
    kept = bounded(error, NEWEST)
    assert isinstance(kept, APIStatusError)
    assert kept.detail == {"some": "detail"}
    assert kept.headers is HEADERS
    assert (kept.status, kept.retry_after) == (503, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, pytest.param(503, marks=pytest.mark.slow)])
async def test_twenty_failed_polls_of_a_large_batch_take_little_memory(
    sim: Simulator, client: ProlificClient, status: int
) -> None:
    ids = [sim.add_batch(status="READY") for _ in range(3)]
    wrong = {"id": 5, "items": [{"n": n, "text": "x" * 20} for n in range(3000)]}
    size = len(json.dumps(wrong))
    poll = PollPolicy(initial=0.001, maximum=0.001, max_consecutive_failures=20, timeout=30)
    for one in ids:
        sim.inject("GET", f"/{one}", Fault(status, body=wrong), times=None)
    tracemalloc.start()
    try:
        errors = await client.batches.wait_all(ids, poll=poll, return_exceptions=True)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 8 * size
    for error in errors:
        assert isinstance(error, WaitFailedError)
        assert len(error.events) == 20
        assert [event.error is None for event in error.events].count(False) >= 19
        assert error.events[-1].error is error.failure


def test_of_a_body_that_does_not_decode_a_small_one_stays_and_a_text_is_cut() -> None:
    small = bounded(DecodeError((f"$.x: {LONG}",), {"id": 5}, "GET", "/b"), OLDER)
    assert isinstance(small, DecodeError)
    assert small.body == {"id": 5}
    large = bounded(ERRORS["no JSON"], OLDER)
    assert isinstance(large, DecodeError)
    assert large.body == LONG[:OLDER]
    assert large.problems == ("$: no JSON",)


def test_problems_that_fit_are_kept_as_they_are() -> None:
    problem = "$.x: " + "y" * 600  # longer than a message shows
    few = bounded(DecodeError((problem, LONG), {"id": LONG}, "GET", "/b"), OLDER)
    assert isinstance(few, DecodeError)
    assert few.problems == (problem,)
    many = bounded(DecodeError((problem,) * 9, {"id": LONG}, "GET", "/b"), OLDER)
    assert isinstance(many, DecodeError)
    assert many.problems == (problem,)


def test_headers_that_take_more_are_left_out() -> None:
    headers = CIMultiDict({"X-Long": LONG})
    kept = bounded(APIStatusError(503, "GET", "/b", None, None, None, None, None, headers), OLDER)
    assert isinstance(kept, APIStatusError)
    assert not kept.headers


def test_a_smaller_error_tells_request_id_and_attempts() -> None:
    headers = {"X-Request-Id": "r-1", "Padding": "x" * 10_000}
    refused = ServerError(503, "GET", "/p", None, None, None, "x" * 10_000, None, headers)
    garbled = DecodeError(("$: not JSON",), "x" * 10_000, "GET", "/p")
    garbled.request_id = "r-2"
    for error in (refused, garbled):
        error.attempts = 3
        small = summary(error)
        assert small is not error
        assert (small.request_id, small.attempts) == (error.request_id, 3)
        assert str(small) == str(error)
