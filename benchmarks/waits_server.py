"""A service with many batches, in a process of its own, whose responses cost hardly any CPU.

Each batch gets READY at a planned moment of the monotonic clock, which all processes of a machine
share, so a client can tell how late it saw the change. A status is one of two byte strings, and a
list is built again only when a batch of its workspace has changed. A token bucket of one second's
worth may limit the rate.
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

from benchmarks.static_server import Connection, ServerProcess, server_process, whole_response

ROOT = "/api/v1/data-collection/batches"
REFUSED = "refused"
STATUSES = ("PROCESSING", "READY")

_IMPORT_RESPONSE = whole_response(
    200,
    json.dumps(
        {
            "import_id": "018f2b7e-9a00-7000-8000-000000000000",
            "dataset_id": "018f2b7e-7d3c-7a10-9c55-000000000000",
            "type": "file_upload",
            "status": "processing",
            "filename": "rows.jsonl",
            "created_at": "2026-03-11T09:24:17.482000Z",
            "updated_at": "2026-03-11T09:24:19.005000Z",
        }
    ).encode(),
)
_STATUS_RESPONSES = tuple(
    whole_response(200, json.dumps({"status": status}).encode()) for status in STATUSES
)
_NOT_FOUND = whole_response(404, b'{"error": {"status": 404, "detail": "Not found"}}')
_TOO_MANY = whole_response(429, b'{"error": {"status": 429, "detail": "Too many requests"}}')


@attrs.frozen
class BatchPlan:
    """One batch: its workspace, and how many seconds after the beginning it is READY."""

    id: str
    workspace_id: str
    ready_after: float


@attrs.frozen
class Plan:
    """The batches of the service, the size of each in JSON, and the requests a second it allows."""

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
    """Return a batch in JSON as the parts before and behind its status, `size` bytes in all.

    Items of a layout fill it up, as in real batches, and an introduction fills the rest.
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
    """A token bucket that holds one second's worth of requests."""

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
    """The list of one workspace, built when it is requested and out of date."""

    def __init__(self, batches: list[BatchPlan], size: int) -> None:
        # The batches of a workspace differ in id and status only, so all share the second half.
        front, back = batch_halves(batches[0].id, batches[0].workspace_id, size)
        after_id = front.removeprefix(b'{"id": "' + batches[0].id.encode())
        self._halves = [b'{"id": "' + batch.id.encode() + after_id for batch in batches]
        self._joint = back + b", "
        self._ready_after = [batch.ready_after for batch in batches]
        self._shown: list[bool] | None = None
        self._response = b""

    def response(self, elapsed: float) -> bytes:
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
            self._response = whole_response(200, body)
        return self._response


class Service:
    """Responds to request lines by the plan, and counts them by kind."""

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

    def respond(self, request_line: bytes) -> bytes:
        now = self._clock()
        if not self._bucket.take(now):
            self.counts[REFUSED] += 1
            return _TOO_MANY
        method, target, _ = request_line.split(b" ")
        path, _, query = target.partition(b"?")
        rest = path.rstrip(b"/").removeprefix(ROOT.encode())
        kind, response = self._find(rest, query, now - self.began)
        self.counts[kind if method == b"GET" else "other"] += 1
        return response if method == b"GET" else _NOT_FOUND

    def _find(self, rest: bytes, query: bytes, elapsed: float) -> tuple[str, bytes]:
        if b"/imports/" in rest:
            return "import", _IMPORT_RESPONSE  # of any dataset; it never ends
        if not rest:
            workspace = self._workspaces.get(parse_qs(query.decode())["workspace_id"][0])
            return "list", workspace.response(elapsed) if workspace else _NOT_FOUND
        _, batch_id, *verb = rest.split(b"/")
        batch = self._batches.get(batch_id)
        if batch is None or verb not in ([], [b"status"]):
            return "other", _NOT_FOUND
        ready = batch.ready_after <= elapsed
        if verb:
            return "status", _STATUS_RESPONSES[ready]
        front, back = batch_halves(batch.id, batch.workspace_id, self._size)
        return "get", whole_response(200, front + STATUSES[ready].encode() + back)


class Handle:
    """Controls the service from the measuring process."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url
        self._server = server

    def begin(self, at: float = math.inf) -> None:
        """Set when the plan begins, on the monotonic clock; by default nothing ever gets READY."""
        self._ask(str(at))

    def counts(self) -> Counter[str]:
        """Return the requests so far, by kind.

        Those are "status", "get", "list", "import", "refused" and "other".
        """
        return Counter(self._ask("counts"))

    def _ask(self, line: str) -> dict[str, int]:
        self._server.stdin.write(f"{line}\n".encode())
        self._server.stdin.flush()
        counts: dict[str, int] = json.loads(self._server.stdout.readline())
        return counts


@contextmanager
def serving_waits(plan: Plan) -> Iterator[Handle]:
    with server_process("benchmarks.waits_server", plan) as server:
        yield Handle(server)


async def main() -> None:
    service = Service(pickle.load(sys.stdin.buffer))
    loop = asyncio.get_running_loop()
    async with await loop.create_server(
        lambda: Connection(service.respond), "127.0.0.1", 0, backlog=1024
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        # The parent holds the other end of the pipe, so this ends with it, however it ends.
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            if line != b"counts\n":
                service.began = float(line)
            print(json.dumps(service.counts), flush=True)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
