import http.client
import json
import math
import time

import pytest

from benchmarks.waits_server import (
    ROOT,
    BatchPlan,
    Bucket,
    Plan,
    Service,
    batch_halves,
    serving_waits,
)
from prolific_async import Batch
from tests.conftest import HANGS

PLAN = Plan(
    (BatchPlan("a", "one", 1.0), BatchPlan("b", "one", 2.0), BatchPlan("c", "two", 3.0)), 600
)


def asked(service: Service, path: str) -> tuple[int, dict[str, object]]:
    head, _, body = service.respond(f"GET {ROOT}{path} HTTP/1.1".encode()).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("size", [0, 400, 2_000, 20_000])
def test_a_batch_can_be_read_and_has_about_the_size(size: int) -> None:
    front, back = batch_halves("a", "one", size)
    written = front + b"PROCESSING" + back
    batch = Batch.from_dict(json.loads(written))
    assert (batch.id, batch.workspace_id, batch.status) == ("a", "one", "PROCESSING")
    assert size <= len(written) <= max(size + 50, 400)


@pytest.mark.parametrize(("age", "ready"), [(0.5, ""), (1.5, "a"), (2.5, "ab"), (4, "abc")])
def test_every_response_shows_the_ready_batches(age: float, ready: str) -> None:
    service = Service(PLAN, clock=lambda: age)
    assert asked(service, "/a/status") == (200, {"status": "PROCESSING"})
    asked(service, "?workspace_id=one")
    service.began = 0.0
    for _ in range(2):
        for batch in PLAN.batches:
            expected = "READY" if batch.id in ready else "PROCESSING"
            assert asked(service, f"/{batch.id}/status") == (200, {"status": expected})
            status, whole = asked(service, f"/{batch.id}")
            assert (status, whole["id"], whole["status"]) == (200, batch.id, expected)
        status, listed = asked(service, "/?workspace_id=one")
        assert (status, listed["meta"]) == (200, {"count": 2})
        assert listed["results"] == [asked(service, f"/{each}")[1] for each in "ab"]
    counts = {"status": 7, "get": 10, "list": 3}
    assert service.counts == counts


@pytest.mark.parametrize("path", ["/x", "/x/status", "/a/setup", "?workspace_id=three"])
def test_unknown_paths_are_a_404(path: str) -> None:
    assert asked(Service(PLAN), path)[0] == 404


def test_a_bucket_allows_its_rate_after_a_burst_of_one_second() -> None:
    bucket = Bucket(10)
    assert sum(bucket.take(100.0) for _ in range(50)) == 10
    assert sum(bucket.take(100.0 + step / 100) for step in range(1, 501)) == 50
    assert sum(bucket.take(1000.0) for _ in range(50)) == 10
    assert all(Bucket(math.inf).take(0.0) for _ in range(50))


def test_requests_above_the_limit_are_refused_and_counted() -> None:
    service = Service(Plan(PLAN.batches, limit=2), clock=lambda: 7.0)
    assert [asked(service, "/a/status")[0] for _ in range(4)] == [200, 200, 429, 429]
    assert service.counts == {"status": 2, "refused": 2}


def test_the_service_counts_requests_in_another_process() -> None:
    with serving_waits(PLAN) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=HANGS)
        for begun, expected in (
            (math.inf, "PROCESSING"),
            (time.monotonic() - 1.5, "READY"),
            (math.inf, "PROCESSING"),
        ):
            server.begin(begun)
            connection.request("GET", f"{ROOT}/a/status")
            assert json.load(connection.getresponse()) == {"status": expected}
        assert server.counts() == {"status": 3}
        connection.close()
