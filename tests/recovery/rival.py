"""A process that gets or duplicates under many names at once, with many callers of each.

    python -m tests.recovery.rival URL TOKEN BATCH_ID CALLERS NAME...

It says "ready", begins at a line of input, and prints the results of each name's callers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from prolific_async import Batch, OutcomeUnknownError, ProlificClient
from tests.conftest import QUICK_POLL, QUICK_RETRY
from tests.recovery.failures import outcome_of

SETTLE = 0.3


def told(outcome: object) -> Any:
    """Return a copy's id, the candidates of an unknown outcome, or the name of another error."""
    if isinstance(outcome, Batch):
        return outcome.id
    if isinstance(outcome, OutcomeUnknownError):
        return sorted([*(one.id for one in outcome.candidates), *outcome.unreadable])
    return {"error": type(outcome).__name__}


async def main(url: str, token: str, source: str, callers: int, names: list[str]) -> None:
    async with ProlificClient(
        token, base_url=url, retry=QUICK_RETRY, poll=QUICK_POLL, request_timeout=5
    ) as client:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()

        async def outcomes(name: str) -> list[Any]:
            calls = (
                client.batches.get_or_duplicate(source, name=name, settle_seconds=SETTLE)
                for _ in range(callers)
            )
            return [told(one) for one in await asyncio.gather(*map(outcome_of, calls))]

        found = await asyncio.gather(*map(outcomes, names))
    sys.stdout.write(json.dumps(dict(zip(names, found, strict=True))))


if __name__ == "__main__":
    given_url, given_token, given_source, given_callers, *given_names = sys.argv[1:]
    asyncio.run(main(given_url, given_token, given_source, int(given_callers), given_names))
