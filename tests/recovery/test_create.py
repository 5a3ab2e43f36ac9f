"""A create: it is sent once, and its batch is searched for by the rules of a duplicate."""

import asyncio

import pytest

from prolific_async import RetryPolicy
from prolific_async._http.request import Request
from prolific_async._http.responses import Response
from prolific_async.errors import ProlificError
from tests.recovery.failures import (
    AMBIGUOUS,
    GARBLED,
    LOST,
    REFUSED,
    UNRUN,
    UNSENT,
    answered,
    each,
    outcome_of,
)
from tests.recovery.service import Service, given_back, in_virtual_time, unknown
from tests.virtual_time import run


@in_virtual_time
async def test_a_create_with_a_response_needs_no_search(service: Service) -> None:
    batch = await service.create("Round 2", service.answering("Round 2"))
    assert service.seen == []
    assert service.pending_duplicates.is_taken(batch.id)


@each(AMBIGUOUS)
def test_a_lost_batch_is_found_by_its_name(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        service.make("Other")
        work = service.create("Round 2", service.losing("Round 2", error=failure))
        assert given_back(await work) == "c-2"
        assert service.seen == ["w-1"]

    run(main())


@each(AMBIGUOUS)
def test_two_possible_batches_are_both_candidates(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        work = service.create("Round 2", service.losing("Round 2", "Round 2", error=failure))
        unknown(await outcome_of(work), "c-1", "c-2", cause=failure)

    run(main())


@in_virtual_time
async def test_without_a_possible_batch_the_list_is_read_again(service: Service) -> None:
    unknown(await outcome_of(service.create("Round 2", service.losing("Round 3"))))
    assert service.seen == ["w-1"] * RetryPolicy().max_attempts


@in_virtual_time
async def test_a_list_that_lags_is_read_again(service: Service) -> None:
    service.hides = 2
    assert given_back(await service.create("Round 2", service.losing("Round 2"))) == "c-1"
    assert service.seen == ["w-1"] * 3


@each(REFUSED | UNRUN)
def test_a_create_that_did_not_run_raises_without_a_search(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        work = service.create("Round 2", service.losing("Round 2", error=failure))
        assert await outcome_of(work) is failure
        assert service.seen == []

    run(main())


@pytest.mark.parametrize("age", [2.0, 30.0, 1e6])
def test_a_batch_that_was_made_before_is_not_taken_for_the_new_one(age: float) -> None:
    async def main() -> None:
        service = Service()
        service.make("Round 2", age=age)
        assert given_back(await service.create("Round 2", service.losing("Round 2"))) == "c-2"
        work = service.create("Round 2", service.losing())
        outcome = await outcome_of(work)
        # Its clock may be behind, so a young one is a candidate.
        unknown(outcome, *["c-1"][: age < 60])

    run(main())


@pytest.mark.parametrize("slowness", [0.0, 90.0])
def test_the_time_of_the_list_counts_from_when_it_began(slowness: float) -> None:
    async def main() -> None:
        service = Service(slowness=slowness)
        service.make("Round 2", age=5)
        assert given_back(await service.create("Round 2", service.losing("Round 2"))) == "c-2"

    run(main())


@pytest.mark.parametrize("ours_ahead", [0.0, -1e8])
def test_without_a_date_this_machine_tells_the_time(ours_ahead: float) -> None:
    async def main() -> None:
        service = Service(date="", ours_ahead=ours_ahead)
        outcome = await outcome_of(service.create("Round 2", service.losing("Round 2")))
        if ours_ahead == 0:
            assert given_back(outcome) == "c-1"
        else:
            unknown(outcome, "c-1")

    run(main())


@pytest.mark.parametrize(
    "error", [LOST, UNSENT, GARBLED, answered(404), answered(401), answered(500)], ids=repr
)
def test_when_the_search_fails_there_are_no_candidates(error: ProlificError) -> None:
    async def main() -> None:
        service = Service(unread={"list": error})
        unknown(await outcome_of(service.create("Round 2", service.losing("Round 2"))))

    run(main())


@in_virtual_time
async def test_a_batch_is_returned_only_once(service: Service) -> None:
    first = await service.create("Round 2", service.losing("Round 2"))
    unknown(await outcome_of(service.create("Round 2", service.losing())))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing())))
    assert first.id == "c-1"


@pytest.mark.parametrize("rival", ["Round 2 (Copy)", None])
def test_a_duplicate_in_flight_leaves_the_outcome_unknown(rival: str | None) -> None:
    async def main() -> None:
        service = Service(source_name="Round 2")

        async def slow(request: Request) -> Response:
            await asyncio.sleep(10)
            return Response({}, service.make("Round 2 (Copy)").to_dict())

        other = asyncio.ensure_future(service.duplicate(rival, slow))
        await asyncio.sleep(1)
        name = "Round 2 (Copy)"
        unknown(await outcome_of(service.create(name, service.losing(name))), "c-1")
        assert (await other).id == "c-2"

    run(main())


@in_virtual_time
async def test_a_create_in_flight_leaves_the_outcome_of_a_duplicate_unknown(
    service: Service,
) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(10)
        return Response({}, service.make("Round 2").to_dict())

    other = asyncio.ensure_future(service.create("Round 2", slow))
    await asyncio.sleep(1)
    unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))), "c-1")
    assert (await other).id == "c-2"


@in_virtual_time
async def test_a_cancelled_create_leaves_the_outcome_of_the_next_one_unknown(
    service: Service,
) -> None:
    task = asyncio.ensure_future(service.create("Round 2", service.losing(takes=100)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    unknown(await outcome_of(service.create("Round 2", service.losing("Round 2"))), "c-1")
    assert given_back(await service.create("Round 3", service.losing("Round 3"))) == "c-2"
