"""Many duplicates at once, whose responses come in time, late or never."""

import asyncio
from collections.abc import Sequence

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from prolific_async import Batch
from prolific_async._http.request import Request
from prolific_async._http.responses import Response
from prolific_async.errors import BadRequestError, ConnectError, OutcomeUnknownError
from tests.recovery.failures import LOST, UNSENT, answered
from tests.recovery.service import Post, Service
from tests.virtual_time import run


@define
class Plan:
    """One call: when it begins, and how its POST ends."""

    name: str | None
    begins: float
    outward: float  # seconds until the service has it
    back: float  # seconds until its response, or the end of the connection
    fate: str
    copy: str | None = None
    made_at: float = 0.0

    async def __call__(self, service: Service) -> Batch | BaseException:
        await asyncio.sleep(self.begins)
        task = asyncio.ensure_future(service.duplicate(self.name, self.post_to(service)))
        if self.fate == "cancelled":
            asyncio.get_running_loop().call_later(self.back, task.cancel)
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return outcome

    def runs(self, service: Service) -> None:
        self.copy = service.make(self.name or "Original (Copy)").id
        self.made_at = asyncio.get_running_loop().time()

    def post_to(self, service: Service) -> Post:
        async def post(request: Request) -> Response:
            loop = asyncio.get_running_loop()
            if self.fate in ("refused", "unsent"):
                await asyncio.sleep(self.outward)
                raise answered(400) if self.fate == "refused" else UNSENT
            if self.fate != "never runs":
                # Whether or not anybody still waits for it.
                loop.call_later(self.outward, self.runs, service)
            if self.fate == "runs late":
                await asyncio.sleep(self.outward / 2)
                raise LOST
            await asyncio.sleep(self.outward + self.back)
            if self.fate != "answered":
                raise LOST
            copy = next(batch for batch in service.batches if batch.id == self.copy)
            return Response({}, copy.to_dict())

        return post


FATES = [
    "answered",
    "answer lost",
    "answer lost",
    "runs late",
    "never runs",
    "refused",
    "unsent",
    "cancelled",
]
SECONDS = st.sampled_from([0.0, 0.1, 0.4, 1.0, 2.5])
DELAYS = st.sampled_from([0.1, 0.4, 1.0, 2.5])


def plans(names: st.SearchStrategy[str | None]) -> st.SearchStrategy[list[Plan]]:
    plan = st.builds(
        Plan,
        name=names,
        begins=SECONDS,
        outward=DELAYS,
        back=DELAYS,
        fate=st.sampled_from(FATES),
    )
    return st.lists(plan, min_size=1, max_size=6)


def carry_out(
    service: Service, calls: list[Plan], strangers: Sequence[tuple[float, str]] = ()
) -> list[Batch | BaseException]:
    async def main() -> list[Batch | BaseException]:
        loop = asyncio.get_running_loop()
        for at, name in strangers:
            loop.call_later(at, service.make, name)
        return await asyncio.gather(*(plan(service) for plan in calls))

    return run(main())


@given(calls=plans(st.sampled_from([None, "Round 2", "Original (Copy)"])), slowness=SECONDS)
@settings(max_examples=100)
def test_every_returned_copy_is_the_calls_own(calls: list[Plan], slowness: float) -> None:
    service = Service(slowness=slowness)
    outcomes = carry_out(service, calls)
    for plan, outcome in zip(calls, outcomes, strict=True):
        if isinstance(outcome, Batch):
            assert outcome.id == plan.copy
        elif plan.fate == "cancelled":
            assert isinstance(outcome, asyncio.CancelledError | OutcomeUnknownError)
        elif plan.fate in ("refused", "unsent"):
            assert isinstance(outcome, BadRequestError | ConnectError)
        else:
            assert isinstance(outcome, OutcomeUnknownError)
            # No copy is left unnamed.
            if plan.fate == "answer lost":
                assert plan.copy in [batch.id for batch in outcome.candidates]
    assert all(
        isinstance(outcome, Batch)
        for plan, outcome in zip(calls, outcomes, strict=True)
        if plan.fate == "answered"
    )


@given(
    calls=plans(st.sampled_from([None, "Round 2", "Original (Copy)"])),
    slowness=SECONDS,
    strangers=st.lists(
        st.tuples(SECONDS, st.sampled_from(["Round 2", "Original (Copy)"])), max_size=4
    ),
)
@settings(max_examples=100)
def test_no_copy_is_returned_twice_whatever_strangers_do(
    calls: list[Plan], slowness: float, strangers: list[tuple[float, str]]
) -> None:
    outcomes = carry_out(Service(slowness=slowness), calls, strangers)
    given_out = [outcome.id for outcome in outcomes if isinstance(outcome, Batch)]
    assert len(given_out) == len(set(given_out))


@given(calls=plans(st.just("unique")), slowness=SECONDS)
@settings(max_examples=60)
def test_with_unique_names_every_copy_is_found(calls: list[Plan], slowness: float) -> None:
    for number, plan in enumerate(calls):
        plan.name = f"Round {number}"
    outcomes = carry_out(Service(slowness=slowness), calls)
    for plan, outcome in zip(calls, outcomes, strict=True):
        if plan.fate in ("answered", "answer lost"):
            assert isinstance(outcome, Batch)
            assert outcome.id == plan.copy
