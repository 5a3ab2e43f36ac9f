"""The two POSTs: what is sent how often, and what is made of an answer that got lost."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from prolific_async import Batch, BatchStatus, RetryPolicy, errors
from prolific_async._http import protocol
from prolific_async._http.protocol import Answer, Request
from prolific_async._http.retry import did_not_run, retrying
from prolific_async._posts.claims import Claims
from prolific_async._posts.duplicate import duplicate_once
from prolific_async._posts.setup import set_up_once
from prolific_async.errors import (
    APIStatusError,
    BadRequestError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    NotFoundError,
    OutcomeUnknownError,
    ProlificError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)
from tests.virtual_time import run

T = TypeVar("T")

BATCH = "/api/v1/data-collection/batches/b-1"
SETUP = Request("POST", f"{BATCH}/setup", "", b'{"tasks_per_group": 5}')
DUPLICATE = Request("POST", f"{BATCH}/duplicate", "", b'{"name": "Round 2"}')
AT_ONCE = RetryPolicy(initial=0, maximum=0)
ACCEPTED = Answer({}, {})


def answered(status: int, retry_after: str | None = None) -> APIStatusError:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with pytest.raises(APIStatusError) as caught:
        protocol.decode(SETUP, status, headers, b"")
    return caught.value


LOST = ConnectionLostError("POST", SETUP.path, "reset")
UNSENT = ConnectError("POST", SETUP.path, "refused")
GARBLED = DecodeError(("$: not JSON",), "<html>", "POST", SETUP.path)

# A POST that failed so may have run.
AMBIGUOUS: dict[str, ProlificError] = {
    "lost": LOST,
    "timed out": RequestTimeoutError("POST", SETUP.path, "30 s"),
    "garbled": GARBLED,
    **{str(status): answered(status) for status in (408, 500, 501, 502, 503, 504, 599)},
}
# A POST that failed so did not run, and would fail again.
REFUSED: dict[str, ProlificError] = {
    **{
        str(status): answered(status)
        for status in (300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413)
    },
    **{str(status): answered(status) for status in (418, 422, 423, 425, 428, 451, 499)},
    "misconfigured": errors.ConfigurationError("closed"),
}
# A POST that failed so did not run, and may be sent again.
UNRUN: dict[str, ProlificError] = {"unsent": UNSENT, "429": answered(429)}


def each(table: dict[str, ProlificError]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("failure", table.values(), ids=table)


async def outcome_of(work: Awaitable[T]) -> T | ProlificError:
    try:
        return await work
    except ProlificError as error:
        return error


# --- setup ------------------------------------------------------------------------------------


Status = BatchStatus | None | BaseException


@define
class SetUp:
    """A service that answers setups and status looks by a script."""

    sends: Sequence[Answer | BaseException]
    statuses: list[Status] = field(factory=list)
    sent: list[Request] = field(factory=list)
    looks: int = 0
    at: list[float] = field(factory=list)

    async def send(self, request: Request) -> Answer:
        assert request is SETUP
        self.sent.append(request)
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        outcome, *self.sends = self.sends
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def get_status(self) -> BatchStatus | None:
        self.looks += 1
        await asyncio.sleep(0)
        status = self.statuses.pop(0)
        if isinstance(status, BaseException):
            raise status
        return status

    def __call__(self, retry: RetryPolicy = AT_ONCE) -> ProlificError | None:
        """Run one setup, and hold that the script was used up."""
        work = set_up_once(SETUP, send=self.send, retry=retry, get_status=self.get_status)
        outcome = run(outcome_of(work))
        assert (self.sends, self.statuses) == ([], [])
        return outcome

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.sent), self.looks


def held(outcome: ProlificError | None, failure: ProlificError) -> None:
    assert isinstance(outcome, OutcomeUnknownError)
    assert outcome.__cause__ is failure
    assert (outcome.method, outcome.path) == ("POST", SETUP.path)
    assert outcome.candidates == ()


U, P, R, E = BatchStatus
ODD: list[BatchStatus | None] = [E, None, BatchStatus("SYNCING"), BatchStatus("processing")]


def test_a_setup_that_is_accepted_is_sent_once() -> None:
    service = SetUp([ACCEPTED])
    assert service() is None
    assert service.counts == (1, 0)


@each(REFUSED)
def test_a_setup_that_is_refused_is_sent_once(failure: ProlificError) -> None:
    service = SetUp([failure])
    assert service() is failure
    assert service.counts == (1, 0)


@each(AMBIGUOUS)
@pytest.mark.parametrize("status", [P, R])
def test_a_lost_setup_that_shows_was_accepted(failure: ProlificError, status: BatchStatus) -> None:
    service = SetUp([failure], [status])
    assert service() is None
    assert service.counts == (1, 1)


@each(AMBIGUOUS)
@pytest.mark.parametrize("status", ODD, ids=str)
def test_a_lost_setup_of_which_the_status_tells_nothing(
    failure: ProlificError, status: BatchStatus | None
) -> None:
    service = SetUp([failure], [status])
    held(service(), failure)
    assert service.counts == (1, 1)


@each(AMBIGUOUS)
@pytest.mark.parametrize(
    "unread", [*AMBIGUOUS.values(), *UNRUN.values(), answered(404), answered(401)], ids=repr
)
def test_a_lost_setup_whose_status_cannot_be_read(
    failure: ProlificError, unread: ProlificError
) -> None:
    service = SetUp([failure], [unread])
    held(service(), failure)
    assert service.counts == (1, 1)


@each(AMBIGUOUS)
def test_a_lost_setup_that_did_not_run_is_sent_again(failure: ProlificError) -> None:
    service = SetUp([failure, ACCEPTED], [U])
    assert service() is None
    assert service.counts == (2, 1)


@each(AMBIGUOUS)
@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_after_the_last_attempt_its_own_failure_is_raised(
    failure: ProlificError, attempts: int
) -> None:
    last = answered(500)
    service = SetUp([*[failure] * (attempts - 1), last], [U] * attempts)
    assert service(RetryPolicy(initial=0, max_attempts=attempts)) is last
    assert service.counts == (attempts, attempts)


def test_a_status_is_asked_after_the_last_attempt_too() -> None:
    service = SetUp([LOST] * 4, [U, U, U, P])
    assert service() is None
    service = SetUp([LOST] * 4, [U, U, U, E])
    held(service(), LOST)


@each(UNRUN)
def test_a_setup_that_surely_did_not_run_is_sent_again_without_a_look(
    failure: ProlificError,
) -> None:
    service = SetUp([failure] * 3 + [ACCEPTED])
    assert service() is None
    assert service.counts == (4, 0)
    service = SetUp([failure] * 4)
    assert service() is failure
    assert service.counts == (4, 0)


@each(AMBIGUOUS)
@pytest.mark.parametrize("status", [P, R])
def test_a_400_to_a_repeat_may_mean_that_the_first_was_accepted(
    failure: ProlificError, status: BatchStatus
) -> None:
    service = SetUp([failure, answered(400)], [U, status])
    assert service() is None
    assert service.counts == (2, 2)


@pytest.mark.parametrize("status", [*ODD, LOST, answered(404)], ids=str)
def test_a_400_to_a_repeat_of_which_the_status_tells_nothing(status: Status) -> None:
    refused = answered(400)
    service = SetUp([LOST, refused], [U, status])
    held(service(), refused)
    assert service.counts == (2, 2)


def test_a_400_to_a_repeat_while_nothing_was_accepted() -> None:
    refused = answered(400)
    service = SetUp([LOST, answered(400), answered(400), refused], [U, U, U, U])
    assert service() is refused
    assert service.counts == (4, 4)


@each(UNRUN)
def test_a_400_after_a_repeat_that_did_not_run_is_judged_too(failure: ProlificError) -> None:
    service = SetUp([LOST, failure, answered(400)], [U, P])
    assert service() is None
    assert service.counts == (3, 2)


@each(UNRUN)
def test_a_400_when_nothing_before_it_can_have_run_is_plain(failure: ProlificError) -> None:
    refused = answered(400)
    service = SetUp([failure, refused])
    assert service() is refused
    assert service.counts == (2, 0)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422])
def test_any_other_refusal_of_a_repeat_is_plain(status: int) -> None:
    refused = answered(status)
    service = SetUp([LOST, refused], [U])
    assert service() is refused
    assert service.counts == (2, 1)


def test_all_kinds_of_failure_share_the_attempts() -> None:
    service = SetUp([UNSENT, LOST, answered(429), ACCEPTED], [U])
    assert service() is None
    last = answered(429)
    service = SetUp([UNSENT, LOST, UNSENT, last], [U])
    assert service() is last
    assert service.counts == (4, 1)


def test_a_setup_that_is_asked_to_wait_too_long_is_not_sent_again() -> None:
    asked = answered(503, "61")
    service = SetUp([asked], [U])
    assert service() is asked
    asked = answered(429, "61")
    service = SetUp([asked])
    assert service() is asked
    assert service.counts == (1, 0)


def test_setups_are_sent_again_after_the_pause_that_was_asked_for() -> None:
    service = SetUp([answered(503, "7"), answered(429, "60"), ACCEPTED], [U])
    assert service() is None
    assert [at - service.at[0] for at in service.at] == [0.0, 7.0, 67.0]


@pytest.mark.parametrize("late", [False, True])
def test_cancelling_a_setup_sends_no_more(late: bool) -> None:  # noqa: FBT001 - a case
    async def main() -> None:
        service = SetUp([LOST, ACCEPTED], [U])
        stuck = asyncio.Event()

        async def hang() -> Any:
            stuck.set()
            await asyncio.sleep(1000)

        async def send(request: Request) -> Answer:
            return await (service.send(request) if late else hang())

        async def get_status() -> BatchStatus | None:
            status: BatchStatus | None = await hang()
            return status

        task = asyncio.ensure_future(
            set_up_once(SETUP, send=send, retry=AT_ONCE, get_status=get_status)
        )
        await stuck.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(service.sent) == (1 if late else 0)

    run(main())


# --- duplicate --------------------------------------------------------------------------------

# The service's clock, which is years ahead of ours.
THEIR_START = datetime(2031, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)

Post = Callable[[Request], Awaitable[Answer]]


def their_now() -> datetime:
    return THEIR_START + timedelta(seconds=asyncio.get_running_loop().time())


def a_batch(batch_id: str, name: str, created_at: datetime, workspace_id: str = "w-1") -> Batch:
    return Batch(
        id=batch_id,
        created_at=created_at,
        created_by="u-1",
        datasets=(),
        name=name,
        status=BatchStatus.UNINITIALISED,
        total_task_count=0,
        total_instruction_count=1,
        workspace_id=workspace_id,
    )


@define
class Service:
    """One workspace, with the batch b-1 that is duplicated, and one client's ledger."""

    source_name: str = "Original"
    claims: Claims = field(factory=Claims)
    batches: list[Batch] = field(factory=list)
    unread: dict[str, ProlificError] = field(factory=dict)
    dated: bool = True
    slowness: float = 0.0
    seen: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.batches.append(a_batch("b-1", self.source_name, THEIR_START - timedelta(days=9)))

    def make(self, name: str, *, age: float = 0.0) -> Batch:
        created = their_now() - timedelta(seconds=age)
        batch = a_batch(f"c-{len(self.batches)}", name, created)
        self.batches.append(batch)
        return batch

    async def get_source(self) -> tuple[Batch, Answer]:
        self.seen.append("source")
        await asyncio.sleep(self.slowness)
        if "source" in self.unread:
            raise self.unread["source"]
        headers = CIMultiDict[str]()
        if self.dated:
            # HTTP knows whole seconds, and cuts off the rest.
            headers["date"] = format_datetime(their_now().replace(microsecond=0), usegmt=True)
        return self.batches[0], Answer(headers, None)

    async def list_batches(self, workspace_id: str) -> list[Batch]:
        self.seen.append(workspace_id)
        await asyncio.sleep(self.slowness / 2)
        if "list" in self.unread:
            raise self.unread["list"]
        batches = list(self.batches)
        await asyncio.sleep(self.slowness / 2)
        return batches

    async def duplicate(self, name: str | None, post: Post) -> Batch:
        return await duplicate_once(
            DUPLICATE,
            name,
            post=post,
            claims=self.claims,
            get_source=self.get_source,
            list_batches=self.list_batches,
        )

    def answering(self, name: str) -> Post:
        async def post(request: Request) -> Answer:
            assert request is DUPLICATE
            await asyncio.sleep(0.1)
            return Answer({}, self.make(name).to_dict())

        return post

    def losing(self, *names: str, error: ProlificError = LOST, takes: float = 0.1) -> Post:
        """A POST whose answer is lost, after so many batches of these names came to be."""

        async def post(request: Request) -> Answer:
            assert request is DUPLICATE
            await asyncio.sleep(takes / 2)
            for name in names:
                self.make(name)
            await asyncio.sleep(takes / 2)
            raise error

        return post


def unknown(outcome: Batch | ProlificError, *candidates: str, cause: Any = LOST) -> None:
    assert isinstance(outcome, OutcomeUnknownError)
    assert [batch.id for batch in outcome.candidates] == list(candidates)
    assert isinstance(outcome.candidates, tuple)
    assert outcome.__cause__ is cause
    assert (outcome.method, outcome.path) == ("POST", DUPLICATE.path)
    for batch_id in candidates:
        assert batch_id in str(outcome)


def given_back(outcome: Batch | ProlificError) -> str:
    assert isinstance(outcome, Batch), repr(outcome)
    return outcome.id


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
async def test_what_is_older_than_the_call_is_no_candidate(service: Service) -> None:
    service.make("Round 2", age=3600)
    service.make("Round 2", age=5)
    unknown(await outcome_of(service.duplicate("Round 2", service.losing(takes=30))))
    assert given_back(await service.duplicate("Round 3", service.losing("Round 3"))) == "c-3"


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

        outcome = await outcome_of(service.duplicate("Round 2", post))
        if isinstance(outcome, Batch):
            assert outcome.id == "c-1"
        else:
            unknown(outcome, "c-1")

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
                get_source=hang if where == "source" else service.get_source,
                list_batches=hang if where == "list" else service.list_batches,
            )
        )
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(10)
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


# --- Many duplicates at once ------------------------------------------------------------------


@define
class Plan:
    """One call: when it begins, and what becomes of its POST."""

    name: str | None
    begins: float
    outward: float  # seconds until the service has it
    back: float  # seconds until its answer, or the end of the connection
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
        async def post(request: Request) -> Answer:
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
            return Answer({}, copy.to_dict())

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
@settings(deadline=None, max_examples=100)
def test_every_copy_given_back_is_the_calls_own(calls: list[Plan], slowness: float) -> None:
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
            # Never a copy that nobody is told of.
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
@settings(deadline=None, max_examples=100)
def test_no_copy_is_given_twice_whatever_strangers_do(
    calls: list[Plan], slowness: float, strangers: list[tuple[float, str]]
) -> None:
    outcomes = carry_out(Service(slowness=slowness), calls, strangers)
    given_out = [outcome.id for outcome in outcomes if isinstance(outcome, Batch)]
    assert len(given_out) == len(set(given_out))


@given(calls=plans(st.just("unique")), slowness=SECONDS)
@settings(deadline=None, max_examples=60)
def test_with_unique_names_every_copy_is_found(calls: list[Plan], slowness: float) -> None:
    for number, plan in enumerate(calls):
        plan.name = f"Round {number}"
    outcomes = carry_out(Service(slowness=slowness), calls)
    for plan, outcome in zip(calls, outcomes, strict=True):
        if plan.fate in ("answered", "answer lost"):
            assert isinstance(outcome, Batch)
            assert outcome.id == plan.copy


def test_the_failures_above_are_of_the_classes_meant() -> None:
    assert isinstance(answered(503), ServerError)
    assert isinstance(answered(429), RateLimitedError)
    assert isinstance(answered(404), NotFoundError)
