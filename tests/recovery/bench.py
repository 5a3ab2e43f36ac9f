"""A simulator behind a proxy that breaks exchanges, with a check that no copy is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from prolific_async import Batch, ProlificClient, RetryPolicy
from prolific_async.errors import OutcomeUnknownError
from tests.conftest import QUICK_RETRY
from tests.recovery.failures import outcome_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from prolific_async.simulator import Simulator
    from tests.recovery.breaking import Proxy

GIVEN, NAMED, UNKNOWN = "given back", "named", "unknown, and not made"


@define
class Bench:
    """One source batch, a simulator and a proxy; checks that no copy is lost."""

    sim: Simulator
    proxy: Proxy
    source: str

    def client(
        self, retry: RetryPolicy = QUICK_RETRY, *, request_timeout: float = 2.0
    ) -> ProlificClient:
        return ProlificClient(
            self.sim.token, base_url=self.proxy.url, retry=retry, request_timeout=request_timeout
        )

    async def outcome(self, call: Awaitable[Batch]) -> str:
        """Return the outcome of a call in a word; check that every copy is returned or named."""
        outcome = await outcome_of(call)
        copies = self.copies()
        if isinstance(outcome, Batch):
            assert copies == {outcome.id}
            word = GIVEN
        elif isinstance(outcome, OutcomeUnknownError):
            assert copies == {batch.id for batch in outcome.candidates}
            word = NAMED if copies else UNKNOWN
        else:
            assert copies == set()
            word = type(outcome).__name__
        for batch_id in copies:
            self.sim.remove(batch_id)
        return word

    def copies(self) -> set[str]:
        return set(self.sim.batches) - {self.source}

    async def sizes(self, client: ProlificClient, name: str | None) -> dict[str, int]:
        """Return the sizes of request and response in bytes when nothing breaks."""
        assert await self.outcome(client.batches.duplicate(self.source, name=name)) == GIVEN
        request, response = self.proxy.posts.pop()
        return {"request": len(request), "answer": len(response)}
