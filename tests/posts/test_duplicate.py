"""A duplicate: it is sent once, and its copy looked for when its answer got lost."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from prolific_async._http.protocol import Answer, Request
from prolific_async._http.retry import did_not_run, retrying
from prolific_async._posts.duplicate import duplicate_once
from prolific_async.errors import DecodeError, OutcomeUnknownError, ProlificError
from tests.posts.failures import (
    AMBIGUOUS,
    AT_ONCE,
    DUPLICATE,
    GARBLED,
    LOST,
    REFUSED,
    UNRUN,
    UNSENT,
    answered,
    each,
    outcome_of,
)
from tests.posts.service import THEIR_START, Service, a_batch, given_back, their_now, unknown
from tests.virtual_time import run


def in_virtual_time(
    test: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    def sync() -> None:
        run(test(Service()))

    sync.__name__ = test.__name__
    return sync


@in_virtual_time
async def test_an_answer_is_given_back_without_a_look(service: Service) -> None:
    assert given_back(await service.duplicate("Round 2", service.answering("Round 2"))) == "c-1"
    assert given_back(await service.duplicate(None, service.answering("Original (Copy)"))) == "c-2"
    assert service.seen == []


@each(AMBIGUOUS)
def test_a_lost_copy_with_a_name_is_found(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        service.make("Other")
        work = service.duplicate("Round 2", service.losing("Round 2", error=failure))
        assert given_back(await work) == "c-2"
        assert service.seen == ["source", "w-1"]

    run(main())


@each(AMBIGUOUS)
def test_a_lost_copy_with_the_default_name_is_a_candidate(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        work = service.duplicate(None, service.losing("Original (Copy)", error=failure))
        unknown(await outcome_of(work), "c-1", cause=failure)

    run(main())


@each(AMBIGUOUS)
def test_two_that_may_be_the_copy_are_both_candidates(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        work = service.duplicate("Round 2", service.losing("Round 2", "Round 2", error=failure))
        unknown(await outcome_of(work), "c-1", "c-2", cause=failure)

    run(main())


@each(AMBIGUOUS)
@pytest.mark.parametrize("name", [None, "Round 2"])
def test_none_that_may_be_the_copy(failure: ProlificError, name: str | None) -> None:
    async def main() -> None:
        service = Service()
        work = service.duplicate(name, service.losing("round 2", "Original", error=failure))
        unknown(await outcome_of(work), cause=failure)

    run(main())


@each(REFUSED | UNRUN)
def test_what_did_not_run_is_raised_without_a_look(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        work = service.duplicate("Round 2", service.losing("Round 2", error=failure))
        assert await outcome_of(work) is failure
        assert service.seen == []

    run(main())


@pytest.mark.parametrize("unread", ["source", "list"])
@pytest.mark.parametrize(
    "error", [LOST, UNSENT, GARBLED, answered(404), answered(401), answered(500)], ids=repr
)
def test_when_the_look_fails_there_are_no_candidates(unread: str, error: ProlificError) -> None:
    async def main() -> None:
        service = Service(unread={unread: error})
        unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))))

    run(main())


@pytest.mark.parametrize(
    "data", [None, [], {}, "x", {"id": "c-1"}, {"id": 1}, {"id": "c-1", "name": "Round 2"}]
)
def test_an_answer_that_is_no_batch_is_a_lost_one(data: Any) -> None:
    async def main() -> None:
        service = Service()

        async def post(request: Request) -> Answer:
            service.make("Round 2")
            return Answer({}, data)

        assert given_back(await service.duplicate("Round 2", post)) == "c-1"

        async def other_post(request: Request) -> Answer:
            return Answer({}, data)

        outcome = await outcome_of(service.duplicate("Round 3", other_post))
        assert isinstance(outcome, OutcomeUnknownError)
        cause = outcome.__cause__
        assert isinstance(cause, DecodeError)
        assert (cause.method, cause.path) == ("POST", DUPLICATE.path)

    run(main())


@in_virtual_time
async def test_the_source_is_no_candidate_whatever_its_name(service: Service) -> None:
    service.batches[0] = a_batch("b-1", "Round 2", their_now() + timedelta(seconds=1))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing())))


@in_virtual_time
async def test_the_default_name_is_the_sources_with_copy(service: Service) -> None:
    service.batches[0] = a_batch("b-1", "Original (Copy)", THEIR_START)
    outcome = await outcome_of(
        service.duplicate(None, service.losing("Original (Copy)", "Original (Copy) (Copy)"))
    )
    unknown(outcome, "c-2")


@in_virtual_time
async def test_what_is_older_than_the_call_is_not_given_back(service: Service) -> None:
    service.make("Round 2", age=3600)
    service.make("Round 2", age=65)
    unknown(await outcome_of(service.duplicate("Round 2", service.losing(takes=30))))
    assert given_back(await service.duplicate("Round 3", service.losing("Round 3"))) == "c-3"


@pytest.mark.parametrize("skew", [2.5, 30.0, 58.0])
@pytest.mark.parametrize("name", ["Round 2", None])
def test_a_copy_that_looks_a_little_older_than_the_call_is_named(
    skew: float, name: str | None
) -> None:
    # Who dates answers need not be who dates batches, and their clocks may differ.
    async def main() -> None:
        service = Service(ahead=skew)
        work = service.duplicate(name, service.losing(name or "Original (Copy)"))
        unknown(await outcome_of(work), "c-1")

    run(main())


@in_virtual_time
async def test_a_little_older_namesake_does_not_hide_the_copy(service: Service) -> None:
    service.make("Round 2", age=5)
    service.hides = 2
    assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-2"


@pytest.mark.parametrize(("hides", "looks"), [(1, 2), (3, 4), (4, 4)])
@pytest.mark.parametrize("name", ["Round 2", None])
def test_a_copy_that_the_list_shows_late_is_looked_for_again(
    hides: int, looks: int, name: str | None
) -> None:
    async def main() -> None:
        service = Service(hides=hides)
        outcome = await outcome_of(
            service.duplicate(name, service.losing(name or "Original (Copy)"))
        )
        assert service.seen == ["source", "w-1"] * looks
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
def test_a_look_that_could_not_be_read_is_made_again(
    failures: list[ProlificError],
    found: bool,  # noqa: FBT001 - a case
) -> None:
    async def main() -> None:
        service = Service(failures=failures)
        outcome = await outcome_of(service.duplicate("Round 2", service.losing("Round 2")))
        if found:
            assert given_back(outcome) == "c-1"
        else:
            unknown(outcome)

    run(main())


@in_virtual_time
async def test_a_copy_that_is_listed_twice_is_one(service: Service) -> None:
    # Pages shift when a batch is made between two of them.
    async def post(request: Request) -> Answer:
        copy = service.make("Round 2")
        service.batches.append(copy)
        raise LOST

    assert given_back(await service.duplicate("Round 2", post)) == "c-1"


@pytest.mark.parametrize("name", ["Round 2 ", "\tRound 2", " Round 2\u00a0"])
def test_a_name_may_lose_the_space_around_it(name: str) -> None:
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
def test_the_own_copy_is_found_however_long_all_takes(
    takes: float, slowness: float, fraction: float
) -> None:
    async def main() -> None:
        await asyncio.sleep(fraction)
        service = Service(slowness=slowness)
        work = service.duplicate("Round 2", service.losing("Round 2", takes=takes))
        assert given_back(await work) == "c-1"

    run(main())


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.7, 0.75, 0.999])
def test_a_copy_whose_time_has_no_fraction_is_not_overlooked(fraction: float) -> None:
    # The service may leave the fraction of created_at out, so that a copy looks up to a second
    # older than it is. One that is overlooked is a copy that nobody is told of.
    async def main() -> None:
        await asyncio.sleep(fraction)
        service = Service()

        async def post(request: Request) -> Answer:
            created = their_now().replace(microsecond=0)
            service.batches.append(a_batch("c-1", "Round 2", created))
            await asyncio.sleep(0.8)
            raise LOST

        assert given_back(await service.duplicate("Round 2", post)) == "c-1"

    run(main())


@in_virtual_time
async def test_without_the_services_time_nothing_is_sure(service: Service) -> None:
    service.dated = False
    unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))), "c-1")


@in_virtual_time
async def test_a_copy_that_was_given_to_another_call_is_none_of_this_one(service: Service) -> None:
    async def post(request: Request) -> Answer:
        # While this call is under way, another one gets its answer.
        other = await service.duplicate("Round 2", service.answering("Round 2"))
        assert other.id == "c-1"
        service.make("Round 2")
        raise LOST

    assert given_back(await service.duplicate("Round 2", post)) == "c-2"


@in_virtual_time
async def test_a_copy_that_was_found_is_given_only_once(service: Service) -> None:
    first = await service.duplicate("Round 2", service.losing("Round 2"))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing())))
    assert first.id == "c-1"


@pytest.mark.parametrize(
    ("rival", "is_rival"), [("Round 2 (Copy)", True), (None, True), ("Round 3", False)]
)
def test_a_rival_in_flight_leaves_the_call_in_doubt(
    rival: str | None,
    is_rival: bool,  # noqa: FBT001 - a case
) -> None:
    async def main() -> None:
        service = Service(source_name="Round 2")

        async def slow(request: Request) -> Answer:
            await asyncio.sleep(10)
            return Answer({}, service.make(rival or "Round 2 (Copy)").to_dict())

        other = asyncio.ensure_future(service.duplicate(rival, slow))
        await asyncio.sleep(1)
        outcome = await outcome_of(
            service.duplicate("Round 2 (Copy)", service.losing("Round 2 (Copy)"))
        )
        if is_rival:
            unknown(outcome, "c-1")
        else:
            assert given_back(outcome) == "c-1"
        assert (await other).id == "c-2"

    run(main())


@each(AMBIGUOUS)
@pytest.mark.parametrize("rival", ["Round 2 (Copy)", None])
def test_a_rival_that_was_lost_leaves_the_call_in_doubt(
    failure: ProlificError, rival: str | None
) -> None:
    async def main() -> None:
        service = Service(source_name="Round 2")
        lost = await outcome_of(service.duplicate(rival, service.losing(error=failure)))
        unknown(lost, cause=failure)
        outcome = await outcome_of(
            service.duplicate("Round 2 (Copy)", service.losing("Round 2 (Copy)"))
        )
        unknown(outcome, "c-1")

    run(main())


@each(REFUSED | UNRUN)
def test_a_rival_that_did_not_run_leaves_no_doubt(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        await outcome_of(service.duplicate("Round 2", service.losing(error=failure)))
        assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-1"

    run(main())


@pytest.mark.parametrize("where", ["post", "source", "list"])
def test_a_call_that_was_cancelled_counts_as_lost(where: str) -> None:
    async def main() -> None:
        service = Service()

        async def hang(*_: object) -> Any:
            await asyncio.sleep(1000)

        task = asyncio.ensure_future(
            duplicate_once(
                DUPLICATE,
                "Round 2",
                post=hang if where == "post" else service.losing("Round 2"),
                claims=service.claims,
                retry=AT_ONCE,
                get_source=hang if where == "source" else service.get_source,
                list_batches=hang if where == "list" else service.list_batches,
            )
        )
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(100)
        copy = service.make("Round 2").id
        service.batches.pop()
        work = service.duplicate("Round 2", service.losing("Round 2"))
        unknown(await outcome_of(work), copy)
        assert given_back(await service.duplicate("Round 3", service.losing("Round 3")))

    run(main())


@pytest.mark.parametrize(
    ("script", "sends"),
    [
        ([LOST], 1),
        ([answered(503)], 1),
        ([answered(408)], 1),
        ([GARBLED], 1),
        ([answered(400)], 1),
        ([UNSENT, LOST], 2),
        ([answered(429), answered(503)], 2),
        ([UNSENT, answered(429), UNSENT, LOST], 4),
        ([UNSENT] * 4, 4),
        ([answered(429)] * 4, 4),
        ([answered(429, "61")], 1),
    ],
)
def test_a_duplicate_is_sent_again_only_when_it_surely_did_not_run(
    script: list[ProlificError], sends: int
) -> None:
    async def main() -> None:
        service = Service()
        outcomes = iter([*script, None, None])
        sent: list[Request] = []

        async def send(request: Request) -> Answer:
            sent.append(request)
            outcome = next(outcomes)
            if outcome is not None:
                raise outcome
            return Answer({}, service.make("Round 2").to_dict())

        outcome = await outcome_of(
            service.duplicate("Round 2", retrying(send, AT_ONCE, did_not_run))
        )
        assert isinstance(outcome, ProlificError)
        assert outcome is script[-1] or outcome.__cause__ is script[-1]
        assert sent == [DUPLICATE] * sends

    run(main())
