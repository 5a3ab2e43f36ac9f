"""Faults and their queue."""

import json
import math
from typing import Any

import pytest
from aiohttp import web

from prolific_async.simulator.faults import Fault, FaultQueue


@pytest.mark.parametrize(
    "options",
    [
        {"status": 99},
        {"status": 199},
        {"status": 600},
        {"status": True},
        {"status": "500"},
        {"delay": -0.1},
        {"delay": math.inf},
        {"delay": math.nan},
        {"delay": "1"},
        {"delay": True},
        {"delay": 10**400},
        {"drip": -1},
        {"drip": []},
        {"cut": -1},
        {"cut": 1.5},
        {"reset": "during"},
        {"reset": "before", "status": 500},
        {"reset": "after", "body": {}},
        {"reset": "after", "cut": 0},
        {"reset": "after", "drip": 0},
        {"reset": "after", "headers": {"A": "b"}},
        {"reset": "after", "applied": True},
        {"applied": True},
        {"applied": True, "cut": 3},
        {"applied": "no", "status": 500},
        {"headers": "A: b"},
        {"headers": [1]},
        {"headers": {"Content-Length": "3"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"headers": {"A": "b\r\nC: d"}},
        {"headers": {"A b": "c"}},
        {"headers": {"": "c"}},
        {"headers": {"Retry-After": 1}},
    ],
)
def test_invalid_faults_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^Fault: "):
        Fault(**options)


def test_a_body_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError):
        Fault(body=object())


@pytest.mark.parametrize(
    "options", [{}, {"delay": 1}, {"cut": 0}, {"drip": 0}, {"headers": {"A": "b"}}]
)
def test_without_status_and_body_there_is_no_scripted_response(options: dict[str, Any]) -> None:
    assert not Fault(**options).is_scripted


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        (b"{", b"{", "application/json"),
        (b"", b"", "application/json"),
        ("é", "é".encode(), "text/plain; charset=utf-8"),
        ({"a": [1]}, b'{"a": [1]}', "application/json"),
        (0, b"0", "application/json"),
        (False, b"false", "application/json"),
    ],
)
def test_a_body_is_encoded_by_its_type(body: Any, sent: bytes, content_type: str) -> None:
    response = Fault(body=body).scripted_response()
    assert (response.status, response.body) == (200, sent)
    assert response.headers == {"Content-Type": content_type}


def test_a_header_in_any_case_replaces_the_computed_one() -> None:
    response = Fault(502, body="<h1>", headers={"content-type": "text/html"}).scripted_response()
    assert response.headers == {"content-type": "text/html"}


def body_of(response: web.Response) -> bytes:
    assert isinstance(response.body, bytes)
    return response.body


def test_an_error_status_alone_has_the_services_error_body() -> None:
    response = Fault(429, headers={"Retry-After": "1"}).scripted_response()
    error = json.loads(body_of(response))["error"]
    assert (error["status"], error["title"]) == (429, "Too Many Requests")
    assert response.headers == {"Content-Type": "application/json", "Retry-After": "1"}


@pytest.mark.parametrize("status", [200, 204, 302])
def test_another_status_alone_has_no_body(status: int) -> None:
    response = Fault(status).scripted_response()
    assert response.body == b""


def test_an_unassigned_status_has_a_title_too() -> None:
    response = Fault(599).scripted_response()
    assert json.loads(body_of(response))["error"]["title"] == "Error"


def test_a_fault_keeps_its_own_headers() -> None:
    headers = {"A": "b"}
    fault = Fault(headers=headers)
    headers["C"] = "d"
    assert fault.headers == {"A": "b"}
    assert fault == Fault(headers={"A": "b"})


ONE, TWO, THREE = Fault(501), Fault(502), Fault(503)


def test_faults_are_used_first_in_first_out_and_counted() -> None:
    faults = FaultQueue()
    faults.add("GET", "/status", ONE, 1)
    faults.add("GET", "/status", TWO, 2)
    taken = [faults.take("GET", "/batches/x/status") for _ in range(4)]
    assert taken == [ONE, TWO, TWO, None]


def test_the_oldest_matching_fault_is_used() -> None:
    faults = FaultQueue()
    faults.add("GET", "/a/status", ONE, 1)
    faults.add("GET", "/status", TWO, 1)
    faults.add("GET", "/a/status", THREE, 1)
    assert [faults.take("GET", f"/batches/{name}/status") for name in "baa"] == [TWO, ONE, THREE]


def test_a_fault_without_a_limit_lasts_until_it_is_cleared() -> None:
    faults = FaultQueue()
    faults.add("GET", "/status", ONE, None)
    assert [faults.take("GET", "/x/status") for _ in range(50)] == [ONE] * 50
    faults.clear()
    assert faults.take("GET", "/x/status") is None


def test_the_method_must_match_in_any_case() -> None:
    faults = FaultQueue()
    faults.add("post", "/setup", ONE, 1)
    assert faults.take("GET", "/x/setup") is None
    assert faults.take("POST", "/x/setup") is ONE


@pytest.mark.parametrize(("route", "path"), [("/batches", "/v1/batches/"), ("/x/", "/batches/x")])
def test_a_trailing_slash_is_ignored(route: str, path: str) -> None:
    faults = FaultQueue()
    faults.add("GET", route, ONE, 1)
    assert faults.take("GET", path) is ONE


@pytest.mark.parametrize("path", ["/batches/x", "/my-batches", "/batches/batches2"])
def test_a_route_matches_whole_segments_at_the_end(path: str) -> None:
    faults = FaultQueue()
    faults.add("GET", "/batches", ONE, 1)
    assert faults.take("GET", path) is None


@pytest.mark.parametrize("route", ["", "/", "//", "status", "*"])
def test_an_empty_route_is_refused(route: str) -> None:
    with pytest.raises(ValueError, match="inject"):
        FaultQueue().add("GET", route, ONE, 1)


@pytest.mark.parametrize(("method", "route"), [(None, "/status"), ("GET", 5)])
def test_method_and_route_must_be_text(method: Any, route: Any) -> None:
    with pytest.raises(ValueError, match="method and route must be text"):
        FaultQueue().add(method, route, ONE, 1)


@pytest.mark.parametrize("times", [0, -1, True, 1.5])
def test_times_must_be_a_number_from_one_on(times: Any) -> None:
    with pytest.raises(ValueError, match="times"):
        FaultQueue().add("GET", "/status", ONE, times)


@pytest.mark.parametrize("wrong", [503, None, Fault])
def test_only_faults_can_be_injected(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a Fault is needed"):
        FaultQueue().add("GET", "/status", wrong, 1)
