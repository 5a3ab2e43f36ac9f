"""``get_or_duplicate`` in virtual time: one copy of a name, whatever becomes of the duplicates."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from prolific_async import Batch, PollPolicy, ProlificError, RetryPolicy
from prolific_async._api.batches import duplicate_batch
from prolific_async._api.partial_batches import PartialBatch
from prolific_async._http.responses import Response
from prolific_async._recovery.duplicate import PendingDuplicates
from prolific_async._recovery.get_or_duplicate import NamedCopies
from prolific_async._recovery.single_flight import SingleFlight
from prolific_async.errors import (
    BadRequestError,
    ConfigurationError,
    ConnectError,
    OutcomeUnknownError,
    ServerError,
)
from tests.recovery.failures import AT_ONCE, DUPLICATE, GARBLED, LOST, UNSENT, answered, outcome_of
from tests.recovery.service import Service, in_virtual_time
from tests.virtual_time import run

if TYPE_CHECKING:
    from prolific_async._http.request import Request

NAME = "Round 2"
SETTLE = 30.0
POLL = PollPolicy(initial=1.0, maximum=5.0, jitter=0)
PREFIX = "/gateway"
PATH = duplicate_batch("b-1", prefix=PREFIX).path


@define
class Fate:
    """How the service handles one POST, and whether its response comes.

    Attributes:
        runs_after: Seconds until the service makes the copy; None if it never does.
        ends_after: Seconds until the client hears something.
        error: What it hears instead of the copy.

    """

    runs_after: float | None
    ends_after: float
    error: ProlificError | None = None


ANSWERED = Fate(0.1, 0.2)
LOST_AND_RAN = Fate(0.1, 0.2, LOST)
DID_NOT_RUN = Fate(None, 0.2, answered(503))


@define
class Process:
    """A client of its own."""

    service: Service
    fates: list[Fate] = field(factory=list)
    posts: int = 0
    retry: RetryPolicy = AT_ONCE
    calls: SingleFlight[tuple[str, str], Batch] = field(factory=SingleFlight)
    pending: PendingDuplicates = field(factory=PendingDuplicates)

    async def post(self, request: Request) -> Response:
        assert request is DUPLICATE
        self.posts += 1
        fate = self.fates.pop(0) if self.fates else ANSWERED
        made: list[Batch] = []
        if fate.runs_after is not None:
            # Whether or not anybody still waits for it.
            asyncio.get_running_loop().call_later(
                fate.runs_after, lambda: made.append(self.service.make(NAME))
            )
        await asyncio.sleep(fate.ends_after)
        if fate.error is not None:
            raise fate.error
        return Response({}, made[0].to_dict())

    async def read(self, batch_id: str) -> Batch:
        assert batch_id == "odd"
        raise GARBLED

    def get(self, settle_seconds: float = SETTLE, source: Batch | None = None) -> Any:
        duplicator = self.service.duplicator(self.post)
        duplicator._pending = self.pending
        copies = NamedCopies(
            _Api(self),  # type: ignore[arg-type]  # all that is needed of it
            self.service,  # type: ignore[arg-type]  # stands for the search
            duplicator,
            self.pending,
            retry=self.retry,
            poll=POLL,
            sleep=asyncio.sleep,
        )
        attempt = partial(copies.get, "b-1", NAME, settle_seconds=settle_seconds, source=source)
        return self.calls.run(("b-1", NAME), attempt)


@define
class _Api:
    process: Process
    prefix: str = PREFIX

    async def get(self, batch_id: str) -> Batch:
        return await self.process.read(batch_id)


def now() -> float:
    return asyncio.get_running_loop().time()


def copies_in(service: Service) -> set[str]:
    return {batch.id for batch in service.batches if batch.name == NAME}


def named_by(error: object) -> set[str]:
    assert isinstance(error, OutcomeUnknownError)
    return {one.id for one in error.candidates} | set(error.unreadable)


@in_virtual_time
async def test_one_that_exists_is_returned(service: Service) -> None:
    copy = service.make(NAME)
    process = Process(service)
    assert await process.get() == copy
    assert process.posts == 0


@in_virtual_time
async def test_one_is_made_where_there_is_none(service: Service) -> None:
    process = Process(service)
    assert {(await process.get()).id} == copies_in(service)
    assert await process.get() == await process.get()
    assert process.posts == 1


@in_virtual_time
async def test_the_source_is_read_once(service: Service) -> None:
    await Process(service).get()
    assert service.seen == ["source", "w-1", "w-1"]


@in_virtual_time
async def test_a_source_that_is_known_is_not_read(service: Service) -> None:
    await Process(service).get(source=service.batches[0])
    assert service.seen == ["w-1", "w-1"]


@in_virtual_time
async def test_a_copy_whose_response_was_lost_is_found(service: Service) -> None:
    process = Process(service, [LOST_AND_RAN])
    assert {(await process.get()).id} == copies_in(service)
    assert process.posts == 1


@in_virtual_time
async def test_a_duplicate_that_did_not_run_is_sent_again_after_settle_seconds(
    service: Service,
) -> None:
    process = Process(service, [DID_NOT_RUN])
    began = now()
    assert {(await process.get()).id} == copies_in(service)
    assert process.posts == 2
    assert SETTLE <= now() - began < SETTLE + 5


@pytest.mark.parametrize("settle_seconds", [0, 1, 100])
def test_settle_seconds_decides_when(settle_seconds: float) -> None:
    async def main() -> None:
        began = now()
        await Process(Service(), [DID_NOT_RUN]).get(settle_seconds)
        assert settle_seconds <= now() - began < settle_seconds + 5

    run(main())


@in_virtual_time
async def test_one_that_runs_late_is_found(service: Service) -> None:
    process = Process(service, [Fate(29.0, 0.2, LOST)])
    assert {(await process.get()).id} == copies_in(service)
    assert process.posts == 1


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_it_is_sent_as_often_as_the_policy_says(attempts: int) -> None:
    async def main() -> None:
        retry = RetryPolicy(max_attempts=attempts, initial=0)
        process = Process(Service(), [DID_NOT_RUN] * 9, retry=retry)
        began = now()
        with pytest.raises(OutcomeUnknownError) as caught:
            await process.get()
        assert process.posts == attempts
        assert isinstance(caught.value.failure, ServerError)
        assert caught.value.candidates == ()
        assert attempts * SETTLE <= now() - began < attempts * (SETTLE + 5)

    run(main())


@pytest.mark.parametrize("failure", [answered(400), answered(403), UNSENT, answered(429)], ids=str)
def test_a_refusal_is_raised_as_it_is(failure: ProlificError) -> None:
    async def main() -> None:
        process = Process(Service(), [Fate(None, 0.1, failure)])
        with pytest.raises(type(failure)):
            await process.get()
        assert process.posts == 1
        await process.get()
        assert process.posts == 2

    run(main())


@in_virtual_time
async def test_several_of_the_name_are_named_and_nothing_is_sent(service: Service) -> None:
    for _ in range(3):
        service.make(NAME)
    process = Process(service)
    error = await outcome_of(process.get())
    assert named_by(error) == copies_in(service)
    assert f"POST {PATH};" in str(error)
    assert process.posts == 0


@in_virtual_time
async def test_one_that_cannot_be_read_is_named(service: Service) -> None:
    service.odd.append(PartialBatch("odd", NAME, None))
    process = Process(service)
    error = await outcome_of(process.get())
    assert named_by(error) == {"odd"}
    assert isinstance(error, OutcomeUnknownError)
    assert (error.method, error.path) == ("POST", PATH)
    error.__cause__ = None  # as others do to it
    assert error.failure is GARBLED
    assert process.posts == 0


@in_virtual_time
async def test_a_copy_that_was_made_beside_another_is_not_returned(service: Service) -> None:
    process = Process(service, [Fate(0.1, 5.0)])
    call = asyncio.ensure_future(outcome_of(process.get()))
    await asyncio.sleep(2)
    service.make(NAME)
    assert named_by(await call) == copies_in(service)
    assert len(copies_in(service)) == 2


@in_virtual_time
async def test_a_list_that_lags_is_searched_until_it_shows_the_copy(service: Service) -> None:
    service.hides = 5
    process = Process(service)
    assert {(await process.get()).id} == copies_in(service)
    assert process.posts == 1
    assert service.hides == 0


@in_virtual_time
async def test_a_list_that_never_shows_the_copy_is_believed_no_longer(service: Service) -> None:
    service.hides = 10_000
    process = Process(service)
    began = now()
    assert {(await process.get()).id} == copies_in(service)
    assert SETTLE <= now() - began < SETTLE + 10


@in_virtual_time
async def test_a_copy_that_no_search_can_confirm_is_named(service: Service) -> None:
    process = Process(service, [Fate(0.1, 0.2)])
    call = asyncio.ensure_future(outcome_of(process.get()))
    await asyncio.sleep(0.1)
    service.unread["list"] = answered(403)
    error = await call
    assert named_by(error) == copies_in(service) != set()
    assert isinstance(error, OutcomeUnknownError)
    assert error.failure is service.unread["list"]
    del service.unread["list"]
    assert {(await process.get()).id} == copies_in(service)
    assert process.posts == 1


@in_virtual_time
async def test_a_search_that_fails_for_a_while_is_survived_after_a_duplicate(
    service: Service,
) -> None:
    for fate in (ANSWERED, LOST_AND_RAN):
        process = Process(service, [fate])
        call = asyncio.ensure_future(process.get())
        await asyncio.sleep(0.1)
        service.unread["list"] = answered(503)
        await asyncio.sleep(20)
        assert not call.done()
        del service.unread["list"]
        assert {(await call).id} == copies_in(service)
        service.batches.pop()


@in_virtual_time
async def test_a_search_that_fails_for_good_is_the_end(service: Service) -> None:
    for failure in (answered(503), answered(401), ConfigurationError("closed")):
        process = Process(service, [LOST_AND_RAN])
        call = asyncio.ensure_future(outcome_of(process.get()))
        await asyncio.sleep(0.1)
        service.unread["list"] = failure
        error = await call
        assert isinstance(error, OutcomeUnknownError)
        assert error.failure is LOST
        del service.unread["list"]
        service.batches.pop()


@in_virtual_time
async def test_a_first_search_that_fails_is_raised_and_nothing_is_sent(service: Service) -> None:
    for read in ("source", "list"):
        service.unread = {read: answered(503)}
        process = Process(service)
        assert isinstance(await outcome_of(process.get()), ServerError)
        assert process.posts == 0


@in_virtual_time
async def test_two_hundred_callers_make_one_copy_though_most_are_cancelled(
    service: Service,
) -> None:
    process = Process(service, [DID_NOT_RUN, LOST_AND_RAN])
    tasks = [asyncio.ensure_future(process.get()) for _ in range(200)]
    for task in tasks[:150]:
        await asyncio.sleep(0.2)
        task.cancel()
    outcomes = await asyncio.gather(*tasks[150:])
    assert {batch.id for batch in outcomes} == copies_in(service)
    assert (len(copies_in(service)), process.posts) == (1, 2)


@pytest.mark.parametrize("runs_after", [None, 0.5, 20.0])
@pytest.mark.parametrize("cancelled_after", [0.0, 0.1, 0.3, 3.0, 31.0])
def test_a_cancelled_call_leaves_the_next_one_to_find_its_copy(
    cancelled_after: float, runs_after: float | None
) -> None:
    async def main() -> None:
        service = Service(slowness=0.1)
        process = Process(service, [Fate(runs_after, 25.0, LOST)])
        with suppress(TimeoutError):
            async with asyncio.timeout(cancelled_after):
                await process.get()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert {(await process.get()).id} == copies_in(service)
        await asyncio.sleep(100)
        assert len(copies_in(service)) == 1

    run(main())


@in_virtual_time
async def test_calls_that_are_cancelled_again_and_again_come_to_an_end(service: Service) -> None:
    process = Process(service, [DID_NOT_RUN])
    began = now()
    for _ in range(10):
        try:
            async with asyncio.timeout(10):
                await process.get()
        except TimeoutError:
            continue
        break
    else:
        pytest.fail("it never sent another duplicate")
    assert len(copies_in(service)) == 1
    assert SETTLE <= now() - began < SETTLE + 5


@in_virtual_time
async def test_a_plain_duplicate_under_way_is_waited_for(service: Service) -> None:
    process = Process(service)
    duplicator = service.duplicator(process.post)
    duplicator._pending = process.pending
    process.fates = [Fate(20.0, 25.0, LOST)]
    plain = asyncio.ensure_future(outcome_of(duplicator.duplicate("b-1", name=f" {NAME} ")))
    await asyncio.sleep(1)
    assert {(await process.get()).id} == copies_in(service)
    assert process.posts == 1
    await plain


@pytest.mark.parametrize("begins", [-1, 1], ids=["before the search", "during it"])
@pytest.mark.parametrize("error", [None, LOST], ids=["answered", "lost"])
def test_a_plain_duplicate_is_waited_for_however_long_it_takes(
    begins: float, error: ProlificError | None
) -> None:
    async def main() -> None:
        service = Service(slowness=2)
        process = Process(service, [Fate(2.5 * SETTLE, 3 * SETTLE, error)])
        duplicator = service.duplicator(process.post)
        duplicator._pending = process.pending

        async def duplicate() -> None:
            await asyncio.sleep(begins + 1)
            await outcome_of(duplicator.duplicate("b-1", name=NAME))

        plain = asyncio.ensure_future(duplicate())
        await asyncio.sleep(1)
        assert {(await process.get()).id} == copies_in(service)
        assert process.posts == 1
        await plain

    run(main())


fates = st.builds(
    Fate,
    runs_after=st.floats(0, 25),
    ends_after=st.floats(25, 28),
    error=st.sampled_from([None, LOST, answered(503)]),
) | st.builds(
    Fate,
    runs_after=st.none(),
    ends_after=st.floats(0, 28),
    error=st.sampled_from([LOST, answered(504), answered(400), UNSENT]),
)
callers = st.lists(
    st.tuples(st.integers(0, 3), st.floats(0, 40), st.none() | st.floats(0, 40)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("processes", [1, 4])
@given(posts=st.lists(fates, max_size=8), plan=callers, slowness=st.floats(0, 3))
@settings(print_blob=True)
def test_no_two_callers_are_given_different_copies(
    processes: int, posts: list[Fate], plan: list[tuple[int, float, float | None]], slowness: float
) -> None:
    """Each caller has a process, when it begins, and after how long it is cancelled, if it is."""

    async def main() -> None:
        service = Service(slowness=slowness)
        all_of = [Process(service, posts) for _ in range(processes)]

        async def one(process: int, begins: float, leaves: float | None) -> object:
            await asyncio.sleep(begins)
            try:
                async with asyncio.timeout(leaves):
                    return await outcome_of(all_of[process % processes].get())
            except TimeoutError:
                return None

        outcomes = await asyncio.gather(*(one(*caller) for caller in plan))
        await asyncio.sleep(1000)
        there = copies_in(service)
        given_back = {outcome.id for outcome in outcomes if isinstance(outcome, Batch)}
        assert len(given_back) <= 1
        assert given_back <= there
        for outcome in outcomes:
            assert isinstance(
                outcome, Batch | OutcomeUnknownError | BadRequestError | ConnectError | None
            )
            if isinstance(outcome, OutcomeUnknownError):
                assert named_by(outcome) <= there
        if processes == 1:
            assert len(there) <= 1
        if there:
            last = await outcome_of(Process(service).get())
            assert there == ({last.id} if isinstance(last, Batch) else named_by(last))

    run(main())
