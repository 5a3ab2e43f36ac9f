"""What is remembered of requests."""

from typing import Any

import pytest

from prolific_async.simulator.log import Arrival, RequestLog, shown_body


def arrive(log: RequestLog, path: str, **options: Any) -> Arrival:
    return log.arrive(
        **{"method": "GET", "path": path, "query": {}, "headers": {}, "at": 1.0, **options}
    )


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"", None),
        (b"{}", {}),
        (b'{"a": 1}', {"a": 1}),
        (b"{", "{"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"[" * 200_000, "[" * 200_000),
    ],
)
def test_a_body_is_shown_as_asserts_want_it(raw: bytes, shown: Any) -> None:
    assert shown_body(raw) == shown


def test_requests_stand_in_order_of_arrival_whichever_ends_first() -> None:
    log = RequestLog(None)
    first, second, third = arrive(log, "/1"), arrive(log, "/2"), arrive(log, "/3")
    third.note(status=200)
    third.over = first.over = True
    assert [(seen.path, seen.status) for seen in log.finished()] == [("/1", None), ("/3", 200)]
    assert log.in_flight() == (second.seen,)


def test_only_the_newest_are_kept_if_so_wished() -> None:
    log = RequestLog(2)
    for number in range(5):
        arrive(log, f"/{number}").over = True
    assert [seen.path for seen in log.finished()] == ["/3", "/4"]


def test_credentials_are_left_out_and_other_headers_shown_in_lower_case() -> None:
    headers = {
        "Authorization": "Token hush",
        "Proxy-Authorization": "Basic hush",
        "Cookie": "hush",
        "User-Agent": "me",
    }
    seen = arrive(RequestLog(None), "/", headers=headers).seen
    assert seen.headers == {"user-agent": "me"}
    assert "hush" not in repr(seen)
