"""A setup: how often it is sent, and its outcome when the response is lost."""

import asyncio
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, field

from prolific_async import BatchStatus, RetryPolicy
from prolific_async._http.request import Request
from prolific_async._http.responses import Response
from prolific_async._recovery.setup import set_up
from prolific_async._recovery.unknown_outcome import call_of
from prolific_async.errors import (
    DecodeError,
    NotFoundError,
    OutcomeUnknownError,
    ProlificError,
    RateLimitedError,
    ServerError,
)
from tests.recovery.failures import (
    ACCEPTED,
    AMBIGUOUS,
    AT_ONCE,
    LOST,
    REFUSED,
    SETUP,
    UNRUN,
    UNSENT,
    answered,
    each,
    outcome_of,
)
from tests.virtual_time import run

Status = BatchStatus | None | BaseException


@define
class SetUp:
    """A service that answers setups and status polls by a script."""

    sends: Sequence[Response | BaseException]
    statuses: list[Status] = field(factory=list)
    sent: list[Request] = field(factory=list)
    polls: int = 0
    at: list[float] = field(factory=list)
    slept: list[float] = field(factory=list)

    async def set_up(self, batch_id: str, **given: object) -> Response:
        assert batch_id == "b-1"
        assert given == {"dataset_id": "d-1", "tasks_per_group": 5}
        self.sent.append(SETUP)
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        outcome, *self.sends = self.sends
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def get_status(self, batch_id: str) -> BatchStatus | None:
        assert batch_id == "b-1"
        self.polls += 1
        await asyncio.sleep(0)
        status = self.statuses.pop(0)
        if isinstance(status, BaseException):
            raise status
        return status

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(seconds)

    def __call__(self, retry: RetryPolicy = AT_ONCE) -> ProlificError | None:
        """Run one setup and check that the script was used up."""
        api: Any = self
        work = set_up(
            api, "b-1", dataset_id="d-1", tasks_per_group=5, retry=retry, sleep=self.sleep
        )
        outcome = run(outcome_of(work))
        assert (self.sends, self.statuses) == ([], [])
        return outcome

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.sent), self.polls


def held(outcome: ProlificError | None, failure: ProlificError) -> None:
    assert isinstance(outcome, OutcomeUnknownError)
    assert outcome.__cause__ is failure
    outcome.__cause__ = None  # as others do to it
    assert outcome.failure is failure
    assert "look at the batch's status" in str(outcome)
    assert (outcome.method, outcome.path) == ("POST", SETUP.path)
    assert outcome.candidates == ()


U, P, R, E = BatchStatus
ODD: list[BatchStatus | None] = [E, None, BatchStatus("SYNCING"), BatchStatus("processing")]


def test_an_accepted_setup_is_sent_once() -> None:
    service = SetUp([ACCEPTED])
    assert service() is None
    assert service.counts == (1, 0)


@each(REFUSED)
def test_a_refused_setup_is_sent_once(failure: ProlificError) -> None:
    service = SetUp([failure])
    assert service() is failure
    assert service.counts == (1, 0)


@each(AMBIGUOUS)
@pytest.mark.parametrize("status", [P, R])
def test_a_lost_setup_counts_as_accepted_by_the_status(
    failure: ProlificError, status: BatchStatus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = SetUp([failure], [status])
    assert service() is None
    assert service.counts == (1, 1)
    assert f": {type(failure).__name__}, but accepted: {status}" in caplog.text


@each(AMBIGUOUS)
@pytest.mark.parametrize("status", ODD, ids=str)
def test_a_lost_setup_with_an_inconclusive_status_is_unknown(
    failure: ProlificError, status: BatchStatus | None
) -> None:
    service = SetUp([failure], [status])
    held(service(), failure)
    assert service.counts == (1, 1)


@each(AMBIGUOUS)
@pytest.mark.parametrize(
    "unread", [*AMBIGUOUS.values(), *UNRUN.values(), answered(404), answered(401)], ids=repr
)
def test_a_lost_setup_whose_status_cannot_be_read_is_unknown(
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


def test_the_status_is_read_after_the_last_attempt_too() -> None:
    service = SetUp([LOST] * 4, [U, U, U, P])
    assert service() is None
    service = SetUp([LOST] * 4, [U, U, U, E])
    held(service(), LOST)


@each(UNRUN)
def test_a_setup_that_surely_did_not_run_is_sent_again_at_once(
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
def test_a_400_to_a_repeat_with_an_inconclusive_status_is_unknown(status: Status) -> None:
    refused = answered(400)
    service = SetUp([LOST, refused], [U, status])
    held(service(), refused)
    assert service.counts == (2, 2)


def test_a_400_to_a_repeat_is_raised_if_nothing_was_accepted() -> None:
    refused = answered(400)
    service = SetUp([LOST, answered(400), answered(400), refused], [U, U, U, U])
    assert service() is refused
    assert service.counts == (4, 4)


@each(UNRUN)
def test_a_400_after_a_repeat_that_did_not_run_is_checked_too(failure: ProlificError) -> None:
    service = SetUp([LOST, failure, answered(400)], [U, P])
    assert service() is None
    assert service.counts == (3, 2)


@each(UNRUN)
def test_a_400_is_raised_if_no_attempt_before_it_can_have_run(failure: ProlificError) -> None:
    refused = answered(400)
    service = SetUp([failure, refused])
    assert service() is refused
    assert service.counts == (2, 0)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422])
def test_any_other_refusal_of_a_repeat_is_raised(status: int) -> None:
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


def test_a_setup_with_a_long_retry_after_is_not_sent_again() -> None:
    asked = answered(503, "61")
    service = SetUp([asked], [U])
    assert service() is asked
    asked = answered(429, "61")
    service = SetUp([asked])
    assert service() is asked
    assert service.counts == (1, 0)


def test_setups_are_sent_again_after_the_retry_after() -> None:
    service = SetUp([answered(503, "7"), answered(429, "60"), ACCEPTED], [U])
    assert service() is None
    assert [at - service.at[0] for at in service.at] == [0.0, 7.0, 67.0]
    assert service.slept == [7.0, 60.0]


@pytest.mark.parametrize("late", [False, True])
def test_cancelling_a_setup_sends_no_more(late: bool) -> None:  # noqa: FBT001 - a case
    async def main() -> None:
        service = SetUp([LOST, ACCEPTED], [U])
        stuck = asyncio.Event()

        async def hang() -> Any:
            stuck.set()
            await asyncio.sleep(1000)

        async def post(batch_id: str, **given: object) -> Response:
            return await (service.set_up(batch_id, **given) if late else hang())

        async def get_status(batch_id: str) -> BatchStatus | None:
            status: BatchStatus | None = await hang()
            return status

        api: Any = SimpleNamespace(set_up=post, get_status=get_status)
        task = asyncio.ensure_future(
            set_up(
                api, "b-1", dataset_id="d-1", tasks_per_group=5, retry=AT_ONCE, sleep=asyncio.sleep
            )
        )
        await stuck.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(service.sent) == (1 if late else 0)

    run(main())


@pytest.mark.parametrize("failure", [None, DecodeError(("$: not JSON",), ""), ProlificError("?")])
def test_an_error_of_no_call_has_neither_method_nor_path(failure: ProlificError | None) -> None:
    assert call_of(failure) == ("", "")


def test_the_failures_of_these_tests_are_of_the_right_classes() -> None:
    assert isinstance(answered(503), ServerError)
    assert isinstance(answered(429), RateLimitedError)
    assert isinstance(answered(404), NotFoundError)
