import http.client

import pytest

from benchmarks.static_server import RequestParser, Responses, serving
from tests.conftest import HANGS

GET = b"GET /api/batches/1/status?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b'POST /api/batches/1/duplicate HTTP/1.1\r\ncontent-length:  9\r\nHost: a\r\n\r\n{"a": 1}\n'
LINES = [GET.partition(b"\r\n")[0], POST.partition(b"\r\n")[0]] * 2
ROUTES = {("GET", "/status"): (200, b'{"status": "READY"}'), ("POST", "/duplicate"): (201, b"{}")}


@pytest.mark.parametrize("size", [1, 2, 7, 50, 1000])
def test_requests_are_found_however_the_stream_is_cut(size: int) -> None:
    stream = (GET + POST) * 2
    parser = RequestParser()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [line for piece in pieces for line in parser.feed(piece)] == LINES


def test_a_request_waits_for_its_whole_body() -> None:
    parser = RequestParser()
    assert parser.feed(POST[:-1]) == []
    assert parser.feed(POST[-1:]) == [LINES[1]]


def test_a_route_is_a_method_and_the_end_of_a_path() -> None:
    responses = Responses(ROUTES)
    assert responses.find(LINES[0]).startswith(b"HTTP/1.1 200 OK\r\n")
    assert responses.find(LINES[1]).startswith(b"HTTP/1.1 201 Created\r\n")
    assert responses.find(b"GET /duplicate HTTP/1.1").startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert responses.find(b"GET /?to=/status HTTP/1.1").startswith(b"HTTP/1.1 404 Not Found\r\n")


def test_the_server_runs_in_another_process_and_ends_with_the_block() -> None:
    with serving(ROUTES) as url:
        host = url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=HANGS)
        for _ in range(2):
            connection.request("GET", "/batches/1/status")
            with connection.getresponse() as response:
                assert response.headers["Content-Type"] == "application/json"
                assert response.read() == b'{"status": "READY"}'
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(host, timeout=HANGS).connect()
