"""A service of many batches, in a process of its own, that does hardly anything to answer.

It knows when each batch is READY, by the monotonic clock, which all processes of a machine share;
so what waits for a batch can tell how late it heard of it. A status is one of two byte strings, a
list is joined again only when a batch of its workspace has changed. It may refuse what exceeds a
rate, as a token bucket of one second's worth does.
"""

import asyncio
import gc
import json
import math
import pickle
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

import attrs

from benchmarks.canned import Connection, Served, head_and_body, server_process

ROOT = "/api/v1/data-collection/batches"
REFUSED = "refused"
STATUSES = ("PROCESSING", "READY")

_STATUS_ANSWERS = tuple(
    head_and_body(200, json.dumps({"status": status}).encode()) for status in STATUSES
)
_NOT_FOUND = head_and_body(404, b'{"error": {"status": 404, "detail": "Not found"}}')
_TOO_MANY = head_and_body(429, b'{"error": {"status": 429, "detail": "Too many requests"}}')


@attrs.frozen
class BatchPlan:
    """One batch: where it is, and how many seconds after the beginning it is READY."""

    id: str
    workspace_id: str
    ready_after: float


@attrs.frozen
class Plan:
    """What the service holds, the size of a batch in JSON, and the requests a second it allows."""

    batches: tuple[BatchPlan, ...]
    batch_bytes: int = 400
    limit: float = math.inf


def _item(number: int) -> dict[str, str]:
    return {
        "id": f"018f2b7e-9a00-7000-8000-{number:012x}",
        "type": "free_text",
        "description": "<p>Which of the two summaries is better, and why?</p>" * 2,
    }


def batch_halves(batch_id: str, workspace_id: str, size: int) -> tuple[bytes, bytes]:
    """Return a batch in JSON up to its status and from there on, grown to the size.

    It grows by items of a layout, as real ones do, and by an introduction for the rest.
    """
    details = {"task_name": "Compare two summaries", "task_introduction": ""}
    batch = {
        "id": batch_id,
        "created_at": "2026-03-11T09:24:17.482000Z",
        "created_by": "5f2d4c8a9b1e7a0012ab34cd",
        "datasets": [],
        "name": "Round 2 (Copy)",
        "status": "",
        "total_task_count": 200,
        "total_instruction_count": 3,
        "workspace_id": workspace_id,
        "task_details": details,
        "batch_items": [],
    }
    count = (size - len(json.dumps(batch))) // (len(json.dumps(_item(0))) + 2)
    if count > 0:
        batch["batch_items"] = [{"items": [_item(number) for number in range(count)]}]
    details["task_introduction"] = "." * (size - len(json.dumps(batch)) - len(STATUSES[0]))
    front, mark, back = json.dumps(batch).partition('"status": "')
    return (front + mark).encode(), back.encode()


class Bucket:
    """Lets through so many a second, and one second's worth at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = max(rate, 1.0)
        self._at = -math.inf

    def take(self, now: float) -> bool:
        if math.isinf(self._rate):
            return True
        self._left = min(max(self._rate, 1.0), self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Workspace:
    """The list of one workspace, joined when it is asked for and out of date."""

    def __init__(self, batches: list[BatchPlan], size: int) -> None:
        # All batches of a workspace are alike but for id and status: the second half joins them.
        front, back = batch_halves(batches[0].id, batches[0].workspace_id, size)
        after_id = front.removeprefix(b'{"id": "' + batches[0].id.encode())
        self._halves = [b'{"id": "' + batch.id.encode() + after_id for batch in batches]
        self._joint = back + b", "
        self._ready_after = [batch.ready_after for batch in batches]
        self._shown: list[bool] | None = None
        self._answer = b""

    def answer(self, elapsed: float) -> bytes:
        shown = [ready_after <= elapsed for ready_after in self._ready_after]
        if shown != self._shown:
            self._shown = shown
            joint = self._joint
            results = joint.join(
                half + STATUSES[ready].encode()
                for half, ready in zip(self._halves, shown, strict=True)
            )
            meta = b'{"count": %d}' % len(shown)
            body = b'{"results": [%s%s], "meta": %s}' % (results, joint[:-2], meta)
            self._answer = head_and_body(200, body)
        return self._answer


class Service:
    """Answers request lines by the plan, and counts them by kind."""

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._batches = {batch.id.encode(): batch for batch in plan.batches}
        members: dict[str, list[BatchPlan]] = defaultdict(list)
        for batch in plan.batches:
            members[batch.workspace_id].append(batch)
        self._workspaces = {
            workspace_id: Workspace(batches, plan.batch_bytes)
            for workspace_id, batches in members.items()
        }
        self._size = plan.batch_bytes
        self._bucket = Bucket(plan.limit)
        self.began = math.inf
        self.counts: Counter[str] = Counter()

    def answer(self, request_line: bytes) -> bytes:
        now = self._clock()
        if not self._bucket.take(now):
            self.counts[REFUSED] += 1
            return _TOO_MANY
        method, target, _ = request_line.split(b" ")
        path, _, query = target.partition(b"?")
        rest = path.rstrip(b"/").removeprefix(ROOT.encode())
        kind, answer = self._find(rest, query, now - self.began)
        self.counts[kind if method == b"GET" else "other"] += 1
        return answer if method == b"GET" else _NOT_FOUND

    def _find(self, rest: bytes, query: bytes, elapsed: float) -> tuple[str, bytes]:
        if not rest:
            workspace = self._workspaces.get(parse_qs(query.decode())["workspace_id"][0])
            return "list", workspace.answer(elapsed) if workspace else _NOT_FOUND
        _, batch_id, *verb = rest.split(b"/")
        batch = self._batches.get(batch_id)
        if batch is None or verb not in ([], [b"status"]):
            return "other", _NOT_FOUND
        ready = batch.ready_after <= elapsed
        if verb:
            return "status", _STATUS_ANSWERS[ready]
        front, back = batch_halves(batch.id, batch.workspace_id, self._size)
        return "get", head_and_body(200, front + STATUSES[ready].encode() + back)


class Handle:
    """The service in its process, as the measuring process sees it."""

    def __init__(self, served: Served) -> None:
        self.url = served.url
        self._served = served

    def begin(self, at: float = math.inf) -> None:
        """Say when the seconds of the plan begin; by default never, so that nothing is READY."""
        self._ask(str(at))

    def counts(self) -> Counter[str]:
        """The requests so far: "status", "get", "list", "refused" and "other"."""
        return Counter(self._ask("counts"))

    def _ask(self, line: str) -> dict[str, int]:
        self._served.to.write(f"{line}\n".encode())
        self._served.to.flush()
        counts: dict[str, int] = json.loads(self._served.back.readline())
        return counts


@contextmanager
def serving_waits(plan: Plan) -> Iterator[Handle]:
    with server_process("benchmarks.waits_server", plan) as served:
        yield Handle(served)


async def main() -> None:
    service = Service(pickle.load(sys.stdin.buffer))
    loop = asyncio.get_running_loop()
    async with await loop.create_server(
        lambda: Connection(service.answer), "127.0.0.1", 0, backlog=1024
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        # Whoever started this holds the other end: it ends with them, however they end.
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            if line != b"counts\n":
                service.began = float(line)
            print(json.dumps(service.counts), flush=True)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
