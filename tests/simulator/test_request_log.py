"""The log of requests."""

import sys
import threading
from typing import Any

from prolific_async.simulator import OmittedBody
from prolific_async.simulator.request_body import MAX_BODY, Body
from prolific_async.simulator.request_log import LogEntry, RequestLog


def arrive(log: RequestLog, path: str, **options: Any) -> LogEntry:
    return log.add(
        **{"method": "GET", "path": path, "query": {}, "headers": {}, "at": 1.0, **options}
    )


def test_requests_are_in_order_of_arrival() -> None:
    log = RequestLog(None)
    first, second, third = arrive(log, "/1"), arrive(log, "/2"), arrive(log, "/3")
    third.update(status=200)
    third.finished = first.finished = True
    assert [(seen.path, seen.status) for seen in log.finished()] == [("/1", None), ("/3", 200)]
    assert log.in_flight() == (second.seen,)


def test_the_number_of_requests_can_be_limited() -> None:
    log = RequestLog(2)
    for number in range(5):
        arrive(log, f"/{number}").finished = True
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


def body(size: int) -> Body:
    return Body(size, is_json=True, content=f"a body of {size}")


def bodies(log: RequestLog) -> list[Any]:
    return [seen.body for seen in log.in_flight()]


def test_the_newest_bodies_are_kept_up_to_a_limit() -> None:
    log, third = RequestLog(None), MAX_BODY // 3
    arrivals = [arrive(log, f"/{number}") for number in range(4)]
    for arrival in arrivals[:3]:
        log.set_body(arrival, body(third))
    assert bodies(log) == [f"a body of {third}"] * 3 + [None]
    log.set_body(arrivals[3], body(3))  # displaces the first one only
    assert bodies(log) == [OmittedBody(third), *[f"a body of {third}"] * 2, "a body of 3"]
    log.set_body(arrive(log, "/4"), body(MAX_BODY))
    assert bodies(log)[:4] == [*[OmittedBody(third)] * 3, OmittedBody(3)]
    assert bodies(log)[4] == f"a body of {MAX_BODY}"


def test_a_refused_body_displaces_no_other() -> None:
    log = RequestLog(None)
    log.set_body(arrive(log, "/1"), body(MAX_BODY))
    log.set_body(arrive(log, "/2"), Body.omit(MAX_BODY + 1))
    log.set_body(arrive(log, "/3"), Body.decode(b""))
    assert bodies(log) == [f"a body of {MAX_BODY}", OmittedBody(MAX_BODY + 1), None]


def test_a_dropped_request_frees_the_room_of_its_body() -> None:
    log = RequestLog(2)
    for number in range(10):
        log.set_body(arrive(log, f"/{number}"), body(MAX_BODY // 2))
        assert OmittedBody not in map(type, bodies(log))
    assert len(log._body_sizes) == 2


def test_a_log_of_nothing_holds_nothing() -> None:
    log = RequestLog(0)
    for number in range(10):
        log.set_body(arrive(log, f"/{number}"), body(2))
    assert (log.in_flight(), len(log._body_sizes), log._total) == ((), 0, 0)


def test_another_thread_may_read_it_while_it_grows() -> None:
    log = RequestLog(50)

    def grow() -> None:
        for number in range(5000):
            arrive(log, f"/{number}").finished = True

    growing, interval = threading.Thread(target=grow), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        growing.start()
        while growing.is_alive():
            assert len(log.finished()) <= 51
        growing.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(log.finished()) == 50
