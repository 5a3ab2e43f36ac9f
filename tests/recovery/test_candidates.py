"""Candidates for a lost copy: by name and time, and how often the list is read."""

import asyncio
import logging
from datetime import timedelta

import pytest
from attrs import evolve

from prolific_async import BatchStatus
from prolific_async._api.partial_batches import PartialBatch
from prolific_async._http.request import Request
from prolific_async._http.responses import Response
from prolific_async.errors import ProlificError
from tests.recovery.failures import (
    GARBLED,
    LOST,
    answered,
    outcome_of,
)
from tests.recovery.service import (
    THEIR_START,
    Service,
    a_batch,
    given_back,
    in_virtual_time,
    their_now,
    unknown,
)
from tests.virtual_time import run


@in_virtual_time
async def test_the_source_is_never_a_candidate(service: Service) -> None:
    service.batches[0] = a_batch("b-1", "Round 2", their_now() + timedelta(seconds=1))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing())))


@in_virtual_time
async def test_the_default_name_is_the_name_of_the_source_with_copy(service: Service) -> None:
    service.batches[0] = a_batch("b-1", "Original (Copy)", THEIR_START)
    outcome = await outcome_of(
        service.duplicate(None, service.losing("Original (Copy)", "Original (Copy) (Copy)"))
    )
    unknown(outcome, "c-2")


@in_virtual_time
async def test_space_before_the_name_of_the_source_hides_no_copy(service: Service) -> None:
    service.batches[0] = a_batch("b-1", " Original", THEIR_START)
    unknown(await outcome_of(service.duplicate(None, service.losing(" Original (Copy)"))), "c-1")


@in_virtual_time
async def test_batches_older_than_the_call_are_not_returned(service: Service) -> None:
    service.make("Round 2", age=3600)
    service.make("Round 2", age=65)
    unknown(await outcome_of(service.duplicate("Round 2", service.losing(takes=30))))
    assert given_back(await service.duplicate("Round 3", service.losing("Round 3"))) == "c-3"


@pytest.mark.parametrize("skew", [2.5, 30.0, 58.0])
@pytest.mark.parametrize("name", ["Round 2", None])
def test_a_copy_with_a_slightly_older_time_is_named_as_a_candidate(
    skew: float, name: str | None
) -> None:
    # Responses and batches may be dated by different clocks.
    async def main() -> None:
        service = Service(ahead=skew)
        work = service.duplicate(name, service.losing(name or "Original (Copy)"))
        unknown(await outcome_of(work), "c-1")

    run(main())


@pytest.mark.parametrize(("age", "candidates"), [(60, ["c-1"]), (61, [])])
def test_batches_older_than_a_minute_before_the_call_are_no_candidates(
    age: float, candidates: list[str]
) -> None:
    async def main() -> None:
        service = Service()
        created = their_now().replace(microsecond=0) - timedelta(seconds=age)
        service.batches.append(a_batch("c-1", "Round 2", created))
        unknown(
            await outcome_of(service.duplicate("Round 2", service.losing(takes=0))), *candidates
        )

    run(main())


@in_virtual_time
async def test_an_invalid_workspace_id_leaves_the_outcome_unknown(service: Service) -> None:
    service.batches[0] = a_batch("b-1", "Original", THEIR_START, workspace_id="..")
    unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))))


@in_virtual_time
async def test_a_slightly_older_batch_of_the_name_does_not_hide_the_copy(service: Service) -> None:
    service.make("Round 2", age=5)
    service.hides = 2
    assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-2"


@pytest.mark.parametrize(("hides", "polls"), [(1, 2), (3, 4), (4, 4)])
@pytest.mark.parametrize("name", ["Round 2", None])
def test_a_copy_that_the_list_shows_late_is_searched_for_again(
    hides: int, polls: int, name: str | None
) -> None:
    async def main() -> None:
        service = Service(hides=hides)
        outcome = await outcome_of(
            service.duplicate(name, service.losing(name or "Original (Copy)"))
        )
        assert service.seen == ["source", "w-1"] * polls
        if hides == 4:
            unknown(outcome)
        elif name is None:
            unknown(outcome, "c-1")
        else:
            assert given_back(outcome) == "c-1"

    run(main())


@pytest.mark.parametrize(
    ("failures", "found"),
    [
        ([GARBLED], True),
        ([GARBLED] * 3, True),
        ([GARBLED] * 4, False),
        ([answered(408), GARBLED, answered(425)], True),
        # These were repeated by the GET itself, or repeating them is no use.
        ([LOST], False),
        ([answered(503)], False),
        ([answered(404)], False),
        ([answered(401)], False),
    ],
)
def test_a_failed_read_is_repeated(
    failures: list[ProlificError],
    found: bool,  # noqa: FBT001 - a case
) -> None:
    async def main() -> None:
        service = Service(failures=list(failures))
        outcome = await outcome_of(service.duplicate("Round 2", service.losing("Round 2")))
        if found:
            assert given_back(outcome) == "c-1"
        else:
            unknown(outcome)

    run(main())


def test_a_found_copy_is_logged_with_the_failure_of_its_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        service = Service()
        assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-1"

    run(main())
    assert type(LOST).__name__ in caplog.text
    assert "c-1" in caplog.text


@in_virtual_time
async def test_the_first_search_is_immediate(service: Service) -> None:
    began = their_now()
    await service.duplicate("Round 2", service.losing("Round 2", takes=0))
    assert their_now() == began


@in_virtual_time
async def test_a_copy_that_is_listed_twice_counts_once(service: Service) -> None:
    # Pages shift when a batch is made between two of them.
    async def post(request: Request) -> Response:
        copy = service.make("Round 2")
        service.batches.append(copy)
        raise LOST

    assert given_back(await service.duplicate("Round 2", post)) == "c-1"


@pytest.mark.parametrize("name", ["Round 2 ", "\tRound 2", " Round 2\u00a0"])
def test_white_space_around_a_name_is_ignored(name: str) -> None:
    async def main() -> None:
        service = Service()
        assert given_back(await service.duplicate(name, service.losing("Round 2"))) == "c-1"
        # So both may mean the same copy.
        lost = await outcome_of(service.duplicate(name, service.losing()))
        unknown(lost)
        unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))), "c-2")

    run(main())


@pytest.mark.parametrize("takes", [0.0, 0.01, 0.9, 1.0, 30.0, 120.0])
@pytest.mark.parametrize("slowness", [0.0, 0.01, 1.9, 120.0])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.7, 0.75, 0.999])
def test_the_copy_is_found_however_long_the_call_takes(
    takes: float, slowness: float, fraction: float
) -> None:
    async def main() -> None:
        await asyncio.sleep(fraction)
        service = Service(slowness=slowness)
        work = service.duplicate("Round 2", service.losing("Round 2", takes=takes))
        assert given_back(await work) == "c-1"

    run(main())


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.7, 0.75, 0.999])
def test_a_copy_whose_time_has_no_fraction_is_found(fraction: float) -> None:
    # The service may leave the fraction of created_at out, so that a copy polls up to a second
    # older than it is. One that is overlooked is a copy that nobody is told of.
    async def main() -> None:
        await asyncio.sleep(fraction)
        service = Service()

        async def post(request: Request) -> Response:
            created = their_now().replace(microsecond=0)
            service.batches.append(a_batch("c-1", "Round 2", created))
            await asyncio.sleep(0.8)
            raise LOST

        assert given_back(await service.duplicate("Round 2", post)) == "c-1"

    run(main())


@pytest.mark.parametrize("date", ["", "yesterday"])
@pytest.mark.parametrize("takes", [0.0, 0.1, 30.0])
@pytest.mark.parametrize("fraction", [0.0, 0.75, 0.999])
def test_without_the_services_clock_ours_tells_which_batches_are_new(
    date: str, takes: float, fraction: float
) -> None:
    async def main() -> None:
        await asyncio.sleep(fraction)
        service = Service(date=date, ours_ahead=0)
        service.make("Round 2", age=3600)
        work = service.duplicate("Round 2", service.losing("Round 2", takes=takes))
        assert given_back(await work) == "c-2"

    run(main())


@pytest.mark.parametrize("age", [2, 5, 60, 3600, 1e7])
@pytest.mark.parametrize("takes", [0.0, 30.0])
@pytest.mark.parametrize("ours_ahead", [-1e8, -0.5, 0, 0.5, 60, 1e8])
def test_without_the_services_clock_an_older_batch_is_never_returned(
    age: float, takes: float, ours_ahead: float
) -> None:
    async def main() -> None:
        service = Service(date="", ours_ahead=ours_ahead)
        service.make("Round 2", age=age)
        work = service.duplicate("Round 2", service.losing(takes=takes))
        # A clock that may be wrong rules out no candidate.
        unknown(await outcome_of(work), "c-1")

    run(main())


@pytest.mark.parametrize("ours_ahead", [-1e8, -3600, -60, -35, 5, 60, 3600, 1e8])
@pytest.mark.parametrize("takes", [0.1, 30.0])
def test_if_our_clock_is_wrong_a_copy_is_only_named_as_a_candidate(
    ours_ahead: float, takes: float
) -> None:
    async def main() -> None:
        service = Service(date="", ours_ahead=ours_ahead)

        async def post(request: Request) -> Response:
            await asyncio.sleep(takes)
            service.make("Round 2")
            raise LOST

        outcome = await outcome_of(service.duplicate("Round 2", post))
        if takes >= ours_ahead > 0:
            assert given_back(outcome) == "c-1"
        else:
            unknown(outcome, "c-1")

    run(main())


@pytest.mark.parametrize("status", ["PROCESSING", "READY", "ERROR", "NEW"])
def test_without_the_services_clock_a_batch_that_is_set_up_is_not_new(status: str) -> None:
    async def main() -> None:
        # Our clock is as far behind as the other one is old.
        service = Service(date="", ours_ahead=-60)
        service.make("Round 2", age=60)
        service.batches[1] = evolve(service.batches[1], status=BatchStatus(status))
        unknown(await outcome_of(service.duplicate("Round 2", service.losing())), "c-1")

    run(main())


# --- unreadable batches ----------------------------------------------------------------------


def odd(
    batch_id: str | None = "odd", name: str | None = "Round 2", *, age: float | None = None
) -> PartialBatch:
    made = None if age is None else their_now() - timedelta(seconds=age)
    return PartialBatch(batch_id, name, made)


@pytest.mark.parametrize("date", [None, ""])
def test_unreadable_batches_of_other_names_are_ignored(date: str | None) -> None:
    async def main() -> None:
        service = Service(date=date, ours_ahead=0)
        service.odd += [
            odd(name="Round 3"),
            odd(name=None),
            odd(None, None),
            odd(None, "Round 3", age=0),
            odd("b-1", name="Round 2"),  # the source
        ]
        assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-1"

    run(main())


@pytest.mark.parametrize("age", [None, -1])
def test_an_unreadable_batch_of_the_name_is_reported_by_its_id(age: float | None) -> None:
    async def main() -> None:
        service = Service()
        service.odd.append(odd(name=" Round 2 ", age=age))
        outcome = await outcome_of(service.duplicate("Round 2", service.losing()))
        unknown(outcome, unreadable=("odd",))
        assert service.seen == ["source", "w-1"] * 4
        outcome = await outcome_of(service.duplicate("Round 2", service.losing("Round 2")))
        unknown(outcome, "c-1", unreadable=("odd",))

    run(main())


@in_virtual_time
async def test_an_older_unreadable_batch_is_no_candidate(service: Service) -> None:
    service.odd.append(odd(age=120))
    assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-1"


@in_virtual_time
async def test_an_unreadable_batch_of_the_last_minute_is_reported_and_hides_no_copy(
    service: Service,
) -> None:
    service.odd.append(odd(age=30))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing())), unreadable=("odd",))
    service = Service(odd=[odd(age=30)])
    assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-1"


@in_virtual_time
async def test_an_unreadable_batch_that_another_call_returned_is_no_candidate(
    service: Service,
) -> None:
    given = await service.duplicate("Round 2", service.answering("Round 2"))
    service.batches[1] = a_batch("other", "Other", THEIR_START)
    service.odd.append(odd(given.id))
    assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-2"


@in_virtual_time
async def test_a_copy_that_is_unreadable_at_first_is_found(service: Service) -> None:
    async def post(request: Request) -> Response:
        service.odd.append(odd("c-1", age=0))
        asyncio.get_running_loop().call_later(1.5, mend)
        raise LOST

    def mend() -> None:
        service.odd.clear()
        service.make("Round 2")

    service.slowness = 1
    assert given_back(await service.duplicate("Round 2", post)) == "c-1"


@in_virtual_time
async def test_a_batch_of_the_name_without_an_id_leaves_the_outcome_unknown(
    service: Service,
) -> None:
    service.odd.append(odd(None))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))))
    assert service.seen == ["source", "w-1"] * 4
