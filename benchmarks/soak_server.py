"""The simulator in a process of its own, where a good part of the requests meets a drawn fault.

It is told what to do by lines on its standard input: "epoch" empties it, draws how rough the next
stretch is going to be, and tells of new sources; "truth" tells what has become of them.
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

from benchmarks.canned import Served, server_process
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
"""The header of the answers that are whole, in time and true."""
REQUEST_TIMEOUT = 0.3
"""Seconds that an answer may take; some take longer."""

REFUSED, MAY_HAVE_RUN = "-", "+"
DEFAULT_NAME = "the default name"

_CROWDED, _ALONE = 2, 400  # sources that many calls copy, and that one call copies
_REMEMBERED = 20_000  # requests: more than an epoch has, less than a long run has
_REFUSALS = (400, 401, 403, 404, 409, 422)
_GATEWAY = (500, 502, 503, 504)


def key_of(source_id: str, name: str | None) -> str:
    """What tells a call and its copy from others, as far as anything does."""
    return f"{source_id} {DEFAULT_NAME if name is None or name.endswith(' (Copy)') else name}"


def _garbled(draw: Random) -> Fault:
    # What says 2xx and is JSON has done what it was asked for: nobody could tell otherwise.
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
class Mood:
    """How rough a stretch of requests is: the share that meets a fault, and whether 429 is one."""

    name: str
    share: float
    slows: bool = False

    def draw(self, draw: Random) -> str | None:
        if draw.random() >= self.share:
            return None
        slowing = self.slows and draw.random() < 0.5
        return draw.choice([kind for kind in KINDS if (kind in _SLOWING) == slowing])


MOODS = (
    Mood("calm", 0.01),
    Mood("rough", 0.1),
    Mood("rougher", 0.25),
    # A client halves its rate at each 429, so that a storm of them makes little of a run.
    Mood("storm", 0.06, slows=True),
    Mood("outage", 0.6),
)
_WEIGHTS = (3, 4, 2, 1, 1)


class DrawnFaults(FaultQueue):
    """Gives each request the fault that is drawn for it, and counts them by kind."""

    def __init__(self, draw: Random) -> None:
        super().__init__()
        self._draw = draw
        self._unspoilt = Fault(headers={UNSPOILT: "yes"})
        self.mood = MOODS[0]
        self.counts: Counter[str] = Counter()
        self.requests = 0

    def take(self, method: str, path: str) -> Fault:  # noqa: ARG002 - all are alike
        self.requests += 1
        kind = self.mood.draw(self._draw)
        if kind is None:
            return self._unspoilt
        self.counts[kind] += 1
        return KINDS[kind](self._draw)


class Soaked:
    """The service, its faults, and what it can tell of a stretch of requests."""

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
        """Forget every batch, so that lists don't grow with the run, and begin anew."""
        for batch_id in self._contents.batches:
            self._contents.remove(batch_id)
        self._setups.clear()
        self._began = asyncio.get_running_loop().time()
        self.faults.mood = self._draw.choices(MOODS, _WEIGHTS)[0]
        workspace_id = self._contents.add_workspace()
        dataset_id = self._contents.add_dataset(workspace_id=workspace_id)
        sources = [
            self._contents.add_batch(
                f"Original {number}", workspace_id=workspace_id, dataset_id=dataset_id
            )
            for number in range(_CROWDED + _ALONE)
        ]
        return {
            "mood": self.faults.mood.name,
            "slows": self.faults.mood.slows,
            "crowded": sources[:_CROWDED],
            "alone": sources[_CROWDED:],
        }

    def truth(self) -> dict[str, Any]:
        """Tell of every copy, and of the POSTs by source and name."""
        seen = self._log.finished()
        if len(seen) == _REMEMBERED and seen[0].at > self._began:
            raise RuntimeError("an epoch has more requests than are remembered")
        posts: dict[str, str] = defaultdict(str)
        for request in seen:
            batch_id, verb = request.path.rsplit("/", 2)[1:]
            # What broke off before its body was whole cannot have run.
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
    """The service in its process, as the soaking process sees it."""

    def __init__(self, served: Served) -> None:
        self.url = served.url
        self._served = served

    def ask(self, what: str) -> dict[str, Any]:
        self._served.to.write(f"{what}\n".encode())
        self._served.to.flush()
        answer: dict[str, Any] = json.loads(self._served.back.readline())
        return answer


@contextmanager
def soaked(seed: int) -> Iterator[Handle]:
    with server_process("benchmarks.soak_server", seed) as served:
        yield Handle(served)


async def main() -> None:
    service = Soaked(pickle.load(sys.stdin.buffer))
    print(await service.server.start(0), flush=True)
    # Whoever started this holds the other end: it ends with them, however they end.
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        print(json.dumps(service.epoch() if line == b"epoch\n" else service.truth()), flush=True)
    await service.server.close()


if __name__ == "__main__":
    asyncio.run(main())
