"""The service of the soak test: the simulator in a process of its own, with random faults.

It reads commands from its standard input, one on each line: "epoch" empties it, draws the rate of
faults and prints the sources to copy; "history" prints what it did since.
"""

import asyncio
import json
import pickle
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from random import Random
from typing import Any

import attrs

from benchmarks.static_server import ServerProcess, server_process
from prolific_async.simulator import (
    AfterPolls,
    AfterSeconds,
    BatchSnapshot,
    Ending,
    Fault,
    Immediately,
)
from prolific_async.simulator.app import make_app
from prolific_async.simulator.contents import Contents
from prolific_async.simulator.faults import FaultQueue
from prolific_async.simulator.request_log import RequestLog
from prolific_async.simulator.server import Server
from prolific_async.simulator.state import State

TOKEN = "soak-token"
UNSPOILT = "X-Unspoilt"
"""A header of the responses that met no fault."""
REQUEST_TIMEOUT = 0.3
"""Seconds that a response may take; some take longer."""

REFUSED, MAY_HAVE_RUN = "-", "+"
DEFAULT_NAME = "the default name"

_CROWDED, _ALONE = 2, 400  # sources that many calls copy, and that one call copies
_REMEMBERED = 20_000  # requests: more than an epoch has, less than a long run has
_REFUSALS = (400, 401, 403, 404, 409, 422)
_GATEWAY = (500, 502, 503, 504)


def key_of(source_id: str, name: str | None) -> str:
    """Return the key that matches a call to its copy, as far as source and name are known."""
    return f"{source_id} {DEFAULT_NAME if name is None or name.endswith(' (Copy)') else name}"


def _garbled(draw: Random) -> Fault:
    # A JSON body with 2xx must mean success, since no client could tell otherwise.
    body = draw.choice((b"", b"[]", b'{"id": "018f', b"\xff\xfe", "<html>Sorry</html>"))
    return Fault(body=body, applied=body in (b"", b"[]") or draw.random() < 0.5)


def _hint(draw: Random) -> str:
    return draw.choice(("0", "0.02", "1", formatdate(time.time() + 1, usegmt=True), "soon"))


KINDS: dict[str, Callable[[Random], Fault]] = {
    "reset before": lambda _: Fault(reset="before"),
    "reset after": lambda _: Fault(reset="after"),
    "reset late": lambda draw: Fault(reset="after", delay=draw.uniform(0, 0.05)),
    "cut": lambda draw: Fault(cut=draw.randrange(20)),
    "garbled": _garbled,
    "5xx": lambda draw: Fault(draw.choice(_GATEWAY), applied=draw.random() < 0.5),
    "408": lambda draw: Fault(408, applied=draw.random() < 0.5),
    "refusal": lambda draw: Fault(draw.choice(_REFUSALS)),
    "delay": lambda draw: Fault(delay=draw.uniform(0, 0.1)),
    "delay too long": lambda draw: Fault(delay=REQUEST_TIMEOUT + draw.uniform(0.01, 0.2)),
    "drip": lambda draw: Fault(drip=draw.uniform(0, 0.002)),
    "429": lambda _: Fault(429),
    "429, Retry-After": lambda draw: Fault(429, headers={"Retry-After": _hint(draw)}),
}
_SLOWING = ("429", "429, Retry-After")


@attrs.frozen
class FaultRate:
    """A rate of faults: the share of requests that meet one, and whether 429 is among them."""

    name: str
    share: float
    slows: bool = False

    def draw(self, draw: Random) -> str | None:
        if draw.random() >= self.share:
            return None
        slowing = self.slows and draw.random() < 0.5
        return draw.choice([kind for kind in KINDS if (kind in _SLOWING) == slowing])


FAULT_RATES = (
    FaultRate("calm", 0.01),
    FaultRate("rough", 0.1),
    FaultRate("rougher", 0.25),
    # A client halves its rate at each 429, so many of them would leave few requests.
    FaultRate("storm", 0.06, slows=True),
    FaultRate("outage", 0.6),
)
_WEIGHTS = (3, 4, 2, 1, 1)


class DrawnFaults(FaultQueue):
    """Draws a fault for each request, and counts the faults by kind."""

    def __init__(self, draw: Random) -> None:
        super().__init__()
        self._draw = draw
        self._unspoilt = Fault(headers={UNSPOILT: "yes"})
        self.fault_rate = FAULT_RATES[0]
        self.counts: Counter[str] = Counter()
        self.requests = 0

    def take(self, method: str, path: str) -> Fault:  # noqa: ARG002 - all are alike
        self.requests += 1
        kind = self.fault_rate.draw(self._draw)
        if kind is None:
            return self._unspoilt
        self.counts[kind] += 1
        return KINDS[kind](self._draw)


class SoakService:
    """The service with its faults, and its record of an epoch."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)
        state = State(now=time.monotonic, utc_now=lambda: datetime.now(UTC), setup=self._ending)
        self._contents = Contents(state)
        self.faults = DrawnFaults(self._draw)
        self._log = RequestLog(_REMEMBERED)
        self.server = Server(make_app(state, TOKEN, self.faults, self._log))
        self._began = -1.0
        self._setups: Counter[str] = Counter()

    def _ending(self, batch: BatchSnapshot) -> Ending:
        self._setups[batch.id] += 1
        if self._draw.random() < 0.1:
            self._contents.fail(batch.id)
        return self._draw.choice(
            (Immediately(), AfterPolls(self._draw.randrange(5)), AfterSeconds(0.1))
        )

    def epoch(self) -> dict[str, Any]:
        """Begin an epoch without batches, so that lists do not grow with the run."""
        for batch_id in self._contents.batches:
            self._contents.remove(batch_id)
        self._setups.clear()
        self._began = asyncio.get_running_loop().time()
        self.faults.fault_rate = self._draw.choices(FAULT_RATES, _WEIGHTS)[0]
        workspace_id = self._contents.add_workspace()
        dataset_id = self._contents.add_dataset(workspace_id=workspace_id)
        sources = [
            self._contents.add_batch(
                f"Original {number}", workspace_id=workspace_id, dataset_id=dataset_id
            )
            for number in range(_CROWDED + _ALONE)
        ]
        return {
            "fault_rate": self.faults.fault_rate.name,
            "slows": self.faults.fault_rate.slows,
            "crowded": sources[:_CROWDED],
            "alone": sources[_CROWDED:],
        }

    def history(self) -> dict[str, Any]:
        """Return every copy, and the POSTs by source and name."""
        seen = self._log.finished()
        if len(seen) == _REMEMBERED and seen[0].at > self._began:
            raise RuntimeError("an epoch has more requests than are remembered")
        posts: dict[str, str] = defaultdict(str)
        for request in seen:
            batch_id, verb = request.path.rsplit("/", 2)[1:]
            # A request that broke off before the end of its body cannot have run.
            if request.at < self._began or verb != "duplicate" or request.body is None:
                continue
            key = key_of(batch_id, request.body.get("name"))
            posts[key] += (
                REFUSED if request.status == HTTPStatus.TOO_MANY_REQUESTS else MAY_HAVE_RUN
            )
        return {
            "copies": {
                batch.id: [key_of(batch.source_id, batch.name), batch.status]
                for batch in self._contents.batches.values()
                if batch.source_id is not None
            },
            "posts": posts,
            "setups": self._setups,
            "faults": self.faults.counts,
            "requests": self.faults.requests,
        }


class Handle:
    """Controls the service from the process that runs the soak."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url
        self._server = server

    def ask(self, what: str) -> dict[str, Any]:
        self._server.stdin.write(f"{what}\n".encode())
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer


@contextmanager
def serving_soak(seed: int) -> Iterator[Handle]:
    with server_process("benchmarks.soak_server", seed) as server:
        yield Handle(server)


async def main() -> None:
    service = SoakService(pickle.load(sys.stdin.buffer))
    print(await service.server.start(0), flush=True)
    # The parent holds the other end of the pipe, so this ends with it, however it ends.
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        print(json.dumps(service.epoch() if line == b"epoch\n" else service.history()), flush=True)
    await service.server.close()


if __name__ == "__main__":
    asyncio.run(main())
