"""A duplicate: how often it is sent, and its outcome when the response is lost."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from prolific_async import RetryPolicy
from prolific_async._http.request import Request
from prolific_async._http.responses import Response
from prolific_async._http.retry import did_not_run, retrying
from prolific_async.errors import DecodeError, OutcomeUnknownError, ProlificError
from tests.recovery.failures import (
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
from tests.recovery.service import (
    Service,
    given_back,
    in_virtual_time,
    unknown,
)
from tests.virtual_time import run


@in_virtual_time
async def test_a_duplicate_with_a_response_needs_no_search(service: Service) -> None:
    assert given_back(await service.duplicate("Round 2", service.answering("Round 2"))) == "c-1"
    assert given_back(await service.duplicate(None, service.answering("Original (Copy)"))) == "c-2"
    assert service.seen == []


@in_virtual_time
async def test_the_arguments_of_a_duplicate_are_sent(service: Service) -> None:
    duplicator = service.duplicator(service.answering("Round 2"))
    await duplicator.duplicate("b-1")
    await duplicator.duplicate("b-1", name="Round 2", upload_new_dataset=True)
    assert service.given == [
        {"name": None, "upload_new_dataset": False},
        {"name": "Round 2", "upload_new_dataset": True},
    ]


@in_virtual_time
async def test_a_lost_copy_is_searched_for_at_once(service: Service) -> None:
    duplicator = service.duplicator(service.losing("Round 2", takes=1), retry=RetryPolicy())
    began = asyncio.get_running_loop().time()
    assert given_back(await duplicator.duplicate("b-1", name="Round 2")) == "c-1"
    assert asyncio.get_running_loop().time() == began + 1


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
def test_two_possible_copies_are_both_candidates(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        work = service.duplicate("Round 2", service.losing("Round 2", "Round 2", error=failure))
        unknown(await outcome_of(work), "c-1", "c-2", cause=failure)

    run(main())


@each(AMBIGUOUS)
@pytest.mark.parametrize("name", [None, "Round 2"])
def test_without_a_possible_copy_there_are_no_candidates(
    failure: ProlificError, name: str | None
) -> None:
    async def main() -> None:
        service = Service()
        work = service.duplicate(name, service.losing("round 2", "Original", error=failure))
        unknown(await outcome_of(work), cause=failure)

    run(main())


@each(REFUSED | UNRUN)
def test_a_duplicate_that_did_not_run_raises_without_a_search(failure: ProlificError) -> None:
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
def test_when_the_search_fails_there_are_no_candidates(unread: str, error: ProlificError) -> None:
    async def main() -> None:
        service = Service(unread={unread: error})
        unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))))

    run(main())


def test_a_bug_in_the_search_is_logged_with_the_call(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        unread: Any = {"list": ZeroDivisionError("a callback's bug")}
        service = Service(unread=unread)
        unknown(await outcome_of(service.duplicate("Round 2", service.losing("Round 2"))))

    run(main())
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{LOST.method} {LOST.path}: the search for the batch")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize(
    "data", [None, [], {}, "x", {"id": "c-1"}, {"id": 1}, {"id": "c-1", "name": "Round 2"}]
)
def test_a_response_that_is_not_a_batch_counts_as_lost(data: Any) -> None:
    async def main() -> None:
        service = Service()

        async def post(request: Request) -> Response:
            service.make("Round 2")
            return Response({}, data)

        assert given_back(await service.duplicate("Round 2", post)) == "c-1"

        async def other_post(request: Request) -> Response:
            return Response({}, data)

        outcome = await outcome_of(service.duplicate("Round 3", other_post))
        assert isinstance(outcome, OutcomeUnknownError)
        cause = outcome.__cause__
        assert isinstance(cause, DecodeError)
        assert (cause.method, cause.path) == ("POST", DUPLICATE.path)

    run(main())


@in_virtual_time
async def test_a_copy_that_another_call_returned_is_no_candidate(service: Service) -> None:
    async def post(request: Request) -> Response:
        # During this call another one gets its response.
        other = await service.duplicate("Round 2", service.answering("Round 2"))
        assert other.id == "c-1"
        service.make("Round 2")
        raise LOST

    assert given_back(await service.duplicate("Round 2", post)) == "c-2"


@in_virtual_time
async def test_a_found_copy_is_returned_only_once(service: Service) -> None:
    first = await service.duplicate("Round 2", service.losing("Round 2"))
    unknown(await outcome_of(service.duplicate("Round 2", service.losing())))
    assert first.id == "c-1"


@pytest.mark.parametrize(
    ("rival", "is_rival"), [("Round 2 (Copy)", True), (None, True), ("Round 3", False)]
)
def test_another_call_in_flight_leaves_the_outcome_unknown(
    rival: str | None,
    is_rival: bool,  # noqa: FBT001 - a case
) -> None:
    async def main() -> None:
        service = Service(source_name="Round 2")

        async def slow(request: Request) -> Response:
            await asyncio.sleep(10)
            return Response({}, service.make(rival or "Round 2 (Copy)").to_dict())

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
def test_another_lost_call_leaves_the_outcome_unknown(
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
def test_another_call_that_did_not_run_leaves_no_doubt(failure: ProlificError) -> None:
    async def main() -> None:
        service = Service()
        await outcome_of(service.duplicate("Round 2", service.losing(error=failure)))
        assert given_back(await service.duplicate("Round 2", service.losing("Round 2"))) == "c-1"

    run(main())


@pytest.mark.parametrize("where", ["post", "source", "list"])
def test_a_cancelled_call_counts_as_lost(where: str) -> None:
    async def main() -> None:
        service = Service()

        async def hang(*_: object) -> Any:
            await asyncio.sleep(1000)

        task = asyncio.ensure_future(
            service.duplicator(
                hang if where == "post" else service.losing("Round 2"),
                SimpleNamespace(
                    source=hang if where == "source" else service.source,
                    named=hang if where == "list" else service.named,
                ),
            ).duplicate("b-1", name="Round 2")
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
def test_a_duplicate_is_sent_again_only_if_it_surely_did_not_run(
    script: list[ProlificError], sends: int
) -> None:
    async def main() -> None:
        service = Service()
        outcomes = iter([*script, None, None])
        sent: list[Request] = []

        async def send(request: Request) -> Response:
            sent.append(request)
            outcome = next(outcomes)
            if outcome is not None:
                raise outcome
            return Response({}, service.make("Round 2").to_dict())

        outcome = await outcome_of(
            service.duplicate("Round 2", retrying(send, AT_ONCE, did_not_run))
        )
        assert isinstance(outcome, ProlificError)
        assert outcome is script[-1] or outcome.__cause__ is script[-1]
        assert sent == [DUPLICATE] * sends

    run(main())
