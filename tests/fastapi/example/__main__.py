"""The backend on a simulated Prolific: needs no token, and touches nothing but this machine."""

import asyncio
import contextlib
import os
import random
import socket
import sys

import uvicorn

from prolific_async import PollPolicy
from prolific_async.simulator import AfterSeconds, BatchSnapshot, Simulator
from tests.fastapi.example.app import create_app

_POLL = PollPolicy(initial=0.5, maximum=2.0, timeout=20.0)
_NEVER = 1e6


def _setup(batch: BatchSnapshot) -> AfterSeconds:
    if "slow" in batch.name.lower():
        return AfterSeconds(_NEVER)
    return AfterSeconds(random.uniform(2, 12))


async def main(port: int) -> None:
    async with Simulator(setup=_setup, log_size=0) as sim:
        os.environ |= {
            "PROLIFIC_URL": sim.url,
            "PROLIFIC_TOKEN": sim.token,
            "WORKSPACE_ID": sim.workspace_id,
            "BATCH_ID": sim.add_batch("Original", status="READY"),
        }
        sim.add_batch("Round 1", status="READY", tasks_per_group=1)
        for name in ("Round 2", "Round 3 (will fail)", "Round 4 (slow: times out)"):
            batch_id = sim.add_batch(name, status="PROCESSING")
            if "fail" in name:
                sim.fail(batch_id)
        # Streams that are open at the end are cut, of which uvicorn would tell at length.
        config = uvicorn.Config(
            create_app(_POLL), timeout_graceful_shutdown=1, log_level="critical"
        )
        with socket.create_server(("127.0.0.1", port)) as listening:
            sys.stdout.write(f"http://127.0.0.1:{port} shows copies of a batch; Ctrl+C ends it.\n")
            sys.stdout.flush()
            await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
