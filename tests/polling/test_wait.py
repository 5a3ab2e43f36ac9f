"""The rules of one wait, as pure functions of results and times."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async import (
    Batch,
    BatchFailedError,
    BatchNotSetUpError,
    BatchStatus,
    ConfigurationError,
    DecodeError,
    PollPolicy,
    ProlificError,
    RetryPolicy,
    StatusEvent,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
    errors,
)
from prolific_async._polling.poll_results import PollResult
from prolific_async._polling.wait import Wait
from tests.polling.fakes import real_wait
from tests.samples import batch, status_error
from tests.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSING, READY = PollResult(BatchStatus.PROCESSING), PollResult(BatchStatus.READY)
FAILED, UNINITIALISED = PollResult(BatchStatus.ERROR), PollResult(BatchStatus.UNINITIALISED)
NULL = PollResult()
CUT = errors.RequestTimeoutError("GET", "/x", "over")


class ReportingWait:
    """A wait that returns its events."""

    def __init__(self, key: str, **settings: Any) -> None:
        self.told: list[StatusEvent] = []
        self.wait = real_wait(key, on_event=self.told.append, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wait, name)

    def observe(self, result: PollResult, now: float, sent: float = math.inf) -> list[StatusEvent]:
        before = len(self.told)
        self.wait.observe(result, now, sent)
        return self.told[before:]

    def expire(
        self, now: float, *, cut: ProlificError | None = None, held: bool = False
    ) -> list[StatusEvent]:
        before = len(self.told)
        self.wait.expire(now, cut=cut, held=held)
        return self.told[before:]


def waiting(
    timeout: float | None = 100.0,
    *,
    now: float = 0.0,
    made_at: float | None = None,
    retry: RetryPolicy = RetryPolicy(initial=0, maximum=0),  # noqa: B008 - frozen
    **poll: float,
) -> ReportingWait:
    policy = PollPolicy(**({"jitter": 0.0} | poll))  # type: ignore[arg-type]
    return ReportingWait("b1", poll=policy, retry=retry, timeout=timeout, now=now, made_at=made_at)


def failing(error: ProlificError) -> PollResult:
    return PollResult(error=error)


def see(wait: ReportingWait, poll: PollResult, now: float, sent: float = math.inf) -> StatusEvent:
    (event,) = wait.observe(poll, now, sent)
    return event


def outcome(wait: ReportingWait) -> WaitError:
    assert isinstance(wait.outcome, WaitError)
    return wait.outcome


def test_first_poll_is_immediate() -> None:
    assert waiting(now=7.0).due == 7.0


def test_gaps_grow_and_begin_at_the_response() -> None:
    wait = waiting(initial=1, factor=2, maximum=3)
    gaps = []
    now = 0.0
    for _ in range(4):
        event = see(wait, PROCESSING, now)
        assert event.next_in == wait.due - now
        gaps.append(event.next_in)
        now = wait.due + 0.25
    assert gaps == [1, 2, 3, 3]


def test_ready_is_followed_by_a_get_that_is_part_of_the_poll() -> None:
    wait = waiting()
    see(wait, PROCESSING, 1)
    assert not wait.needs_object
    assert wait.observe(READY, 2) == []
    assert (wait.needs_object, wait.due, wait.outcome) == (True, 2, None)
    event = see(wait, PollResult(BatchStatus.READY, batch()), 3)
    assert event == StatusEvent("b1", BatchStatus.READY, BatchStatus.PROCESSING, 2, 2, None)
    assert wait.outcome == batch()
    assert wait.due == math.inf


def test_a_list_poll_that_shows_ready_needs_no_get() -> None:
    wait = waiting()
    assert see(wait, PollResult(BatchStatus.READY, batch()), 3).next_in is None
    assert wait.outcome == batch()


@pytest.mark.parametrize(
    "second", [PollResult(BatchStatus.PROCESSING, batch("PROCESSING")), failing(status_error(503))]
)
def test_a_get_that_contradicts_ready_is_the_newest_poll(second: PollResult) -> None:
    wait = waiting()
    wait.observe(READY, 2)
    ready, denied = wait.observe(second, 3)
    assert (ready.polls, ready.status, ready.next_in) == (1, BatchStatus.READY, 0.0)
    assert (denied.polls, denied.previous, denied.next_in) == (2, BatchStatus.READY, 1.0)
    assert denied.error is second.error
    assert wait.outcome is None
    assert wait.needs_object
    see(wait, PollResult(BatchStatus.READY, batch()), 4)
    assert wait.outcome == batch()


def test_error_is_followed_by_a_get_for_its_batch() -> None:
    wait = waiting()
    assert wait.observe(FAILED, 2) == []
    assert wait.needs_object
    event = see(wait, PollResult(BatchStatus.ERROR, batch("ERROR")), 3)
    assert (event.polls, event.status, event.next_in) == (1, BatchStatus.ERROR, None)
    error = outcome(wait)
    assert isinstance(error, BatchFailedError)
    assert error.batch == batch("ERROR")
    assert error.events == (event,)


def test_a_list_poll_that_shows_error_needs_no_get() -> None:
    wait = waiting()
    assert see(wait, PollResult(BatchStatus.ERROR, batch("ERROR")), 3).next_in is None
    error = outcome(wait)
    assert isinstance(error, BatchFailedError)
    assert error.batch == batch("ERROR")


def test_error_is_final_even_if_its_batch_cannot_be_read() -> None:
    wait = waiting()
    wait.observe(FAILED, 2)
    see(wait, failing(status_error(503)), 3)
    error = outcome(wait)
    assert isinstance(error, BatchFailedError)
    assert error.batch is None


def test_a_status_error_that_the_batch_does_not_confirm_is_ignored() -> None:
    wait = waiting()
    wait.observe(FAILED, 2)
    error, ready = wait.observe(PollResult(BatchStatus.READY, batch()), 3)
    assert (error.polls, error.status, error.next_in) == (1, BatchStatus.ERROR, 0.0)
    assert (ready.polls, ready.previous, ready.next_in) == (2, BatchStatus.ERROR, None)
    assert wait.outcome == batch()


@pytest.mark.parametrize("end", ["READY", "ERROR"])
@pytest.mark.parametrize("status", ["PROCESSING", "UNINITIALISED", "PAUSED"])
def test_a_wait_goes_on_by_get_after_an_unconfirmed_error(status: str, end: str) -> None:
    wait = waiting()
    wait.observe(FAILED, 2)
    error, denied = wait.observe(PollResult(BatchStatus(status), batch(status)), 3)
    assert (error.polls, error.status, error.next_in) == (1, BatchStatus.ERROR, 0.0)
    assert (denied.polls, denied.status, denied.next_in) == (2, status, 1.0)
    assert wait.outcome is None
    assert wait.needs_object
    see(wait, PollResult(BatchStatus(end), batch(end)), 4)
    ended = wait.outcome
    assert (ended.batch if isinstance(ended, BatchFailedError) else ended) == batch(end)


def test_error_whose_get_hangs_is_raised_at_the_deadline() -> None:
    wait = waiting(10)
    wait.observe(FAILED, 2)
    (event,) = wait.expire(10, cut=CUT)
    assert (event.status, event.elapsed) == (BatchStatus.ERROR, 2)
    error = outcome(wait)
    assert isinstance(error, BatchFailedError)
    assert (error.batch, error.polls) == (None, 1)


def test_ready_whose_get_hangs_times_out() -> None:
    wait = waiting(10)
    wait.observe(READY, 2)
    ready, cut = wait.expire(10, cut=CUT)
    assert (ready.polls, ready.next_in, ready.error) == (1, 0.0, None)
    assert (cut.polls, cut.next_in) == (2, None)
    assert cut.error is CUT
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.last_status is BatchStatus.READY


def test_ready_whose_get_was_never_sent_times_out_with_that_poll_as_last() -> None:
    wait = waiting(10)
    wait.observe(READY, 2)
    (ready,) = wait.expire(10, held=True)
    assert (ready.polls, ready.next_in, ready.error) == (1, None, None)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert (wait.outcome.polls, wait.outcome.__cause__) == (1, None)


def test_null_leaves_the_status_as_it_was_and_resets_the_failures() -> None:
    wait = waiting(max_consecutive_failures=1)
    see(wait, PROCESSING, 1)
    see(wait, failing(status_error(500)), 2)
    event = see(wait, NULL, 3)
    assert (event.status, event.previous) == (BatchStatus.PROCESSING, BatchStatus.PROCESSING)
    see(wait, failing(status_error(500)), 4)
    assert wait.outcome is None


def test_unseen_and_null_are_pending_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    wait = waiting()
    for now, status in enumerate(["SYNCING", None, "SYNCING", None, "PAUSED", "PROCESSING"]):
        assert (
            see(wait, PollResult(BatchStatus(status) if status else None), now).next_in is not None
        )
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 3
    assert ["SYNCING" in text for text in warned] == [True, False, False]
    assert warned[1] == "batch b1 shows no status, which counts as pending"
    see(waiting(), NULL, 0)
    assert len(caplog.records) == 4  # another wait says it once more


def test_uninitialised_is_pending_for_its_grace() -> None:
    wait = waiting(uninitialised_grace=60)
    see(wait, UNINITIALISED, 0)
    see(wait, failing(status_error(500)), 30)
    see(wait, NULL, 40)
    see(wait, UNINITIALISED, 59.9)
    assert wait.outcome is None
    assert see(wait, UNINITIALISED, 60).next_in is None
    assert isinstance(wait.outcome, BatchNotSetUpError)
    assert wait.outcome.last_status is BatchStatus.UNINITIALISED


def test_another_status_restarts_the_grace() -> None:
    wait = waiting(uninitialised_grace=60)
    see(wait, UNINITIALISED, 0)
    see(wait, PROCESSING, 50)
    see(wait, UNINITIALISED, 70)
    see(wait, UNINITIALISED, 129)
    assert wait.outcome is None


def test_null_statuses_do_not_extend_the_grace() -> None:
    wait = waiting(uninitialised_grace=60)
    see(wait, UNINITIALISED, 0)
    see(wait, NULL, 61)
    assert isinstance(wait.outcome, BatchNotSetUpError)


def test_a_grace_of_zero() -> None:
    wait = waiting(uninitialised_grace=0)
    see(wait, UNINITIALISED, 0)
    assert isinstance(wait.outcome, BatchNotSetUpError)


def test_early_404_is_pending_and_a_later_one_fatal() -> None:
    wait = waiting(now=103, made_at=100, not_found_grace=5, max_consecutive_failures=0)
    event = see(wait, failing(status_error(404)), 104.9)
    assert isinstance(event.error, errors.NotFoundError)
    assert event.next_in is not None
    assert see(wait, failing(status_error(404)), 105).next_in is None
    assert isinstance(wait.outcome, WaitFailedError)


def test_an_early_404_does_not_delay_the_next_poll() -> None:
    wait = waiting(made_at=0, initial=0.1)
    assert see(wait, failing(status_error(404)), 1).next_in == pytest.approx(0.1)


def test_404_of_a_batch_that_this_client_did_not_make_is_fatal_at_once() -> None:
    wait = waiting()
    see(wait, failing(status_error(404)), 0)
    assert isinstance(wait.outcome, WaitFailedError)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 409, 422])
def test_fatal_statuses_end_the_wait_at_once(status: int) -> None:
    wait = waiting()
    event = see(wait, failing(error := status_error(status)), 3)
    assert (event.error, event.next_in) == (error, None)
    assert isinstance(wait.outcome, WaitFailedError)
    assert wait.outcome.__cause__ is error
    wait.outcome.__cause__ = None  # as others do to it
    assert wait.outcome.failure is error
    assert str(error) in str(wait.outcome)
    assert wait.outcome.events == (event,)


@pytest.mark.parametrize(
    "error",
    [
        *map(status_error, (408, 425, 429, 500, 501, 502, 503, 504, 599)),
        errors.ConnectError("GET", "/x", "refused"),
        errors.ConnectionLostError("GET", "/x", "reset"),
        errors.RequestTimeoutError("GET", "/x", "30 s"),
        DecodeError(("$: not JSON",), ""),
    ],
)
def test_transient_failures_are_survived_up_to_the_limit(error: ProlificError) -> None:
    wait = waiting(max_consecutive_failures=2)
    for now in (1, 2):
        event = see(wait, failing(error), now)
        assert event.error is error
        assert event.next_in is not None
    assert see(wait, failing(error), 3).next_in is None
    assert isinstance(wait.outcome, WaitFailedError)
    assert wait.outcome.__cause__ is error


def test_after_a_failure_the_longer_of_gap_and_backoff_counts() -> None:
    retry = RetryPolicy(initial=1000, maximum=4000)
    pauses = [
        see(waiting(None, retry=retry), failing(status_error(500)), 0).next_in for _ in range(50)
    ]
    assert all(1 <= (pause or 0) <= 1000 for pause in pauses)
    assert max(pause or 0 for pause in pauses) > 10


def test_the_backoff_grows_with_consecutive_failures() -> None:
    wait = waiting(
        None,
        retry=RetryPolicy(initial=1, maximum=2**30),
        initial=0.001,
        maximum=0.001,
        max_consecutive_failures=30,
    )
    pauses = [see(wait, failing(status_error(500)), 0).next_in or 0.0 for _ in range(30)]
    assert all(pause <= 2**number for number, pause in enumerate(pauses))
    assert max(pauses) > 1000
    see(wait, PROCESSING, 0)
    assert (see(wait, failing(status_error(500)), 0).next_in or 0.0) <= 1


@pytest.mark.parametrize(("asked", "next_in"), [(0.5, 1.0), (7, 7), (86400 * 365, 60)])
def test_retry_after_is_a_capped_floor(asked: float, next_in: float) -> None:
    event = see(waiting(None), failing(status_error(429, asked)), 0)
    assert event.next_in == next_in


@pytest.mark.parametrize(("timeout", "before"), [(100, 1.0), (10, 0.5), (0.1, 0.005)])
def test_last_sleep_is_shortened_for_one_more_poll(timeout: float, before: float) -> None:
    wait = waiting(timeout, initial=90 * timeout / 100, maximum=1000, factor=1)
    see(wait, PROCESSING, timeout / 2)
    assert wait.due == pytest.approx(timeout - before)
    assert see(wait, PROCESSING, timeout - before).next_in is None
    assert wait.due == math.inf
    assert wait.outcome is None  # until the deadline


def test_no_poll_comes_before_the_floor_even_for_the_last_one() -> None:
    wait = waiting(10)
    event = see(wait, failing(status_error(429, 9.8)), 0)
    assert event.next_in == 9.8
    wait = waiting(10)
    event = see(wait, failing(status_error(429, 10)), 0)
    assert event.next_in is None
    assert wait.due == math.inf


def test_a_time_out_has_the_last_status() -> None:
    wait = waiting(10, now=5)
    assert see(wait, PROCESSING, 6).elapsed == 1
    see(wait, failing(error := status_error(503)), 14.9)
    assert wait.expire(15) == []
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.__cause__ is error
    wait.outcome.__cause__ = None  # as others do to it
    assert wait.outcome.failure is error
    assert (wait.outcome.last_status, wait.outcome.polls) == (BatchStatus.PROCESSING, 2)
    assert wait.outcome.elapsed == 10


def test_a_time_out_before_the_first_poll() -> None:
    wait = waiting(10)
    assert wait.expire(10, held=True) == []
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.__cause__ is None
    assert (wait.outcome.polls, wait.outcome.events) == (0, ())


def test_a_poll_cut_at_the_deadline_counts() -> None:
    wait = waiting(10)
    (event,) = wait.expire(10, cut=CUT)
    assert (event.polls, event.next_in) == (1, None)
    assert event.error is CUT
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.__cause__ is CUT


@pytest.mark.parametrize("poll", [PROCESSING, NULL, UNINITIALISED, failing(status_error(503))])
def test_timeout_0_is_one_poll(poll: PollResult) -> None:
    wait = waiting(0)
    assert wait.deadline == math.inf
    event = see(wait, poll, 5)
    assert (event.next_in, event.error) == (None, poll.error)
    assert isinstance(wait.outcome, WaitTimeoutError)
    assert wait.outcome.events == (event,)
    assert wait.outcome.__cause__ is poll.error


def test_timeout_0_takes_at_most_the_request_timeout() -> None:
    wait = real_wait(
        "b1", poll=PollPolicy(), retry=RetryPolicy(), timeout=0, request_timeout=30, now=5
    )
    assert (wait.due, wait.deadline) == (5, 35)
    wait.expire(35, cut=CUT)
    assert isinstance(wait.outcome, WaitTimeoutError)


def test_timeout_0_is_one_poll_with_its_get() -> None:
    wait = waiting(0)
    wait.observe(READY, 5)
    see(wait, PollResult(BatchStatus.READY, batch()), 6)
    assert wait.outcome == batch()
    wait = waiting(0)
    wait.observe(READY, 5)
    assert len(wait.observe(failing(status_error(503)), 6)) == 2
    assert isinstance(wait.outcome, WaitTimeoutError)


def test_a_wait_without_a_timeout() -> None:
    wait = waiting(None)
    assert wait.deadline == math.inf
    assert see(wait, PROCESSING, 1e9).next_in == 1


def calling(on_event: Callable[[StatusEvent], object], timeout: float | None = None) -> Wait:
    return real_wait(
        "b1",
        poll=PollPolicy(),
        retry=RetryPolicy(),
        timeout=timeout,
        request_timeout=5,
        now=0,
        on_event=on_event,
    )


def raising(raised: BaseException) -> Wait:
    def tell(_: object) -> None:
        raise raised

    return calling(tell)


@pytest.mark.parametrize("fails", [True, False])
def test_on_event_runs_in_no_task_that_it_could_cancel(*, fails: bool) -> None:
    tasks: list[object] = []

    def tell(_: StatusEvent) -> None:
        tasks.append(asyncio.current_task())
        if len(tasks) == 1:
            wait.observe(PROCESSING, 1)
        if fails:
            raise ValueError

    async def main() -> None:
        here = asyncio.current_task()
        wait.observe(PROCESSING, 0)
        assert asyncio.current_task() is here
        await asyncio.sleep(0)
        assert asyncio.current_task() is here

    wait = calling(tell)
    run(main())
    assert tasks == [None, None]


@pytest.mark.parametrize("raised", [ValueError("a bug"), asyncio.CancelledError()])
def test_what_on_event_raises_is_logged(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    wait = raising(raised)
    wait.observe(PROCESSING, 1)
    assert 2 <= wait.due < math.inf
    assert caplog.messages == ["on_event raised for batch b1; the wait goes on"]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit()])
def test_on_event_may_end_the_process(raised: BaseException) -> None:
    with pytest.raises(type(raised)):
        raising(raised).observe(PROCESSING, 1)


@pytest.mark.parametrize("timeout", [0, 100])
def test_an_outcome_set_by_on_event_stays(timeout: float) -> None:
    told: list[StatusEvent] = []

    def close(event: StatusEvent) -> None:
        told.append(event)
        if wait.outcome is None:
            wait.fail(ConfigurationError("closed"), 1)

    wait = calling(close, timeout)
    if timeout:
        wait.observe(PollResult(BatchStatus.READY), 1)
    wait.observe(PROCESSING, 1)  # at once, or as the get that denies READY
    assert isinstance(wait.outcome, WaitFailedError)
    assert len(told) == 1


def test_an_outcome_set_by_on_event_at_the_deadline_stays() -> None:
    told: list[StatusEvent] = []

    def close(event: StatusEvent) -> None:
        told.append(event)
        if len(told) == 1:
            wait.fail(ConfigurationError("closed"), 100)

    wait = calling(close, 100)
    wait.observe(READY, 1)
    wait.expire(100, cut=CUT)
    assert isinstance(wait.outcome, WaitFailedError)
    assert [event.error for event in told] == [None, CUT]


def test_fail_ends_the_wait() -> None:
    wait = waiting()
    see(wait, PROCESSING, 1)
    wait.fail(reason := ConfigurationError("closed"), 2)
    assert isinstance(wait.outcome, WaitFailedError)
    assert wait.outcome.__cause__ is reason
    assert len(wait.outcome.events) == 1


def test_fail_reports_the_poll_whose_get_it_ends() -> None:
    wait = waiting()
    wait.observe(READY, 2)
    wait.fail(ConfigurationError("closed"), 3)
    assert wait.told == [StatusEvent("b1", BatchStatus.READY, None, 1, 2, None)]
    assert outcome(wait).events == tuple(wait.told)


def test_the_last_20_events_are_kept() -> None:
    wait = waiting(None)
    for now in range(30):
        see(wait, PROCESSING, now)
    see(wait, failing(status_error(401)), 31)
    assert [event.polls for event in outcome(wait).events] == list(range(12, 32))


LOOKS = st.sampled_from(
    [
        PROCESSING,
        READY,
        FAILED,
        UNINITIALISED,
        NULL,
        PollResult(BatchStatus.READY, batch()),
        PollResult(BatchStatus.ERROR, batch("ERROR")),
        PollResult(BatchStatus.PROCESSING, batch("PROCESSING")),
        failing(status_error(503)),
        failing(status_error(429, 5.0)),
        failing(status_error(404)),
        failing(DecodeError(("$: ?",), "")),
    ]
)


@given(
    polls=st.lists(LOOKS, max_size=60),
    latency=st.floats(0, 3),
    timeout=st.none() | st.floats(0, 60),
    seed=st.integers(0, 100),
)
def test_a_wait_keeps_its_promises_for_any_results(
    polls: list[PollResult], latency: float, timeout: float | None, seed: int
) -> None:
    wait = ReportingWait(
        "b1",
        poll=PollPolicy(max_consecutive_failures=3, uninitialised_grace=20),
        retry=RetryPolicy(),
        timeout=timeout,
        now=0.0,
        made_at=0.0,
        random=random.Random(seed).random,
    )
    events: list[StatusEvent] = []
    now = 0.0
    for poll in polls:
        if wait.outcome is not None:
            break
        if wait.due >= wait.deadline:
            assert wait.deadline < math.inf
            events += wait.expire(wait.deadline)
            break
        now = max(now, wait.due)
        if now + latency >= wait.deadline:
            events += wait.expire(wait.deadline, cut=CUT)
            break
        now += latency
        # Only a poll that reads the whole batch shows one.
        whole = poll.value is not None or poll.error is not None
        if wait.needs_object and not whole:
            status = poll.status or BatchStatus.READY
            events += wait.observe(PollResult(status, batch(status)), now)
        else:
            events += wait.observe(poll, now)
        if wait.outcome is None and not wait.needs_object:
            assert wait.due >= now
    assert [event.polls for event in events] == list(range(1, len(events) + 1))
    for before, after in pairwise(events):
        assert after.previous == before.status
        assert before.next_in is not None or after.error is not None
        assert after.elapsed >= before.elapsed
    if wait.outcome is not None:
        assert wait.due == math.inf
        if events:
            assert events[-1].next_in is None
    if isinstance(wait.outcome, Batch):
        assert wait.outcome.status is BatchStatus.READY
        assert events[-1].status is BatchStatus.READY
    if isinstance(wait.outcome, WaitError):
        assert wait.outcome.events == tuple(events[-20:])
        assert wait.outcome.polls == len(events)
        if timeout:
            assert wait.outcome.elapsed <= timeout


# --- pauses for waits that join --------------------------------------------------------------


@pytest.mark.parametrize(("asked", "pause"), [(None, 3.0), (7.0, 7.0)])
@pytest.mark.parametrize("now", [1.0, 99.5])
def test_after_a_failure_nobody_polls_before_the_pause_is_over(
    now: float, asked: float | None, pause: float
) -> None:
    wait = waiting(initial=3)
    see(wait, failing(status_error(429, asked)), now)
    assert wait.pause_until == now + pause


def test_the_backoff_is_a_pause_too_when_the_wait_makes_no_other_poll() -> None:
    retry = RetryPolicy(initial=1000, maximum=4000)
    waits = [waiting(initial=3, retry=retry) for _ in range(50)]
    for wait in waits:
        see(wait, failing(status_error(500)), 99.5)
    pauses = [wait.pause_until - 99.5 for wait in waits]
    assert min(pauses) >= 3
    assert max(pauses) > 10


# --- polls after the deadline ----------------------------------------------------------------


def test_without_a_poll_on_its_way_the_last_one_is_made_late() -> None:
    wait = waiting(10).wait
    wait.expire(10)
    assert (wait.due, wait.deadline, wait.outcome) == (10, 11, None)


@pytest.mark.parametrize(("pause", "goes_on"), [(0.5, True), (0.75, False), (60, False)])
def test_the_last_but_one_late_poll_is_followed_by_another_after_its_pause(
    pause: float,
    goes_on: bool,  # noqa: FBT001
) -> None:
    wait = waiting(100)
    wait.expire(150, cut=CUT)
    assert wait.deadline == 151
    event = see(wait, failing(error := status_error(429, pause)), 150.25)
    assert event.error is error
    if goes_on:
        assert (event.next_in, wait.due, wait.pause_until) == (pause, 150.75, 150.75)
        event = see(wait, PROCESSING, 150.9)
        assert wait.outcome.__cause__ is None
    else:
        assert outcome(wait).__cause__ is error
    assert (event.next_in, wait.due, wait.pause_until) == (None, math.inf, math.inf)
    assert isinstance(wait.outcome, WaitTimeoutError)


# --- policies of the caller's ----------------------------------------------------------------


class Jittery(PollPolicy):
    """A policy whose gap is the jitter given by the test."""

    def jittered(self, gap: float, share: float) -> float:
        return self.jitter


def test_a_policy_may_ask_for_no_gap_but_not_for_a_negative_one() -> None:
    settings: Any = {"retry": RetryPolicy(), "timeout": None, "now": 0}
    wait = ReportingWait("b1", poll=Jittery(jitter=0), **settings)
    assert see(wait, PROCESSING, 1).next_in == 0
    policy = Jittery()
    object.__setattr__(policy, "jitter", math.nan)
    with pytest.raises(ValueError, match=r"^Jittery\.jittered must return 0 s or more: nan$"):
        ReportingWait("b1", poll=policy, **settings).observe(PROCESSING, 1)


# --- polls that others asked for -------------------------------------------------------------


@pytest.mark.parametrize("error", [status_error(503), DecodeError(("$: ?",), "")])
def test_failures_of_other_waits_polls_do_not_count(error: ProlificError) -> None:
    wait = waiting(max_consecutive_failures=2)
    see(wait, failing(status_error(503)), 0)
    due = wait.due
    assert due == 1
    for number in range(50):
        event = see(wait, failing(error), 0.5, sent=0.4)
        assert (event.error, event.polls, event.next_in) == (error, number + 2, 0.5)
    assert wait.due == due
    assert wait.pause_until >= 1.5
    see(wait, failing(error), 1.1, sent=1)
    see(wait, failing(error), 9, sent=8)
    assert outcome(wait).failure is error


def test_a_poll_sent_a_millisecond_early_is_the_waits_own() -> None:
    wait = waiting(max_consecutive_failures=0)
    see(wait, PROCESSING, 0)
    see(wait, failing(status_error(503)), 1, sent=0.99)
    assert wait.outcome is None
    see(wait, failing(status_error(503)), 1, sent=1 - 0.001)
    assert isinstance(wait.outcome, WaitFailedError)


def test_after_the_last_poll_a_failure_of_a_shared_poll_leads_to_no_further_poll() -> None:
    wait = waiting(initial=100, maximum=100)
    see(wait, PROCESSING, 99)
    assert wait.due == math.inf
    assert see(wait, failing(status_error(503)), 99.5, sent=99.4).next_in is None


def test_a_fatal_failure_of_another_waits_poll_is_fatal() -> None:
    wait = waiting()
    see(wait, PROCESSING, 0)
    see(wait, failing(status_error(401)), 0.5, sent=0.4)
    assert isinstance(wait.outcome, WaitFailedError)


def test_an_early_404_of_another_waits_poll_is_pending() -> None:
    wait = waiting(made_at=0)
    see(wait, failing(status_error(404)), 0.5, sent=-0.1)
    assert (wait.due, wait.outcome) == (0, None)


@pytest.mark.parametrize(
    ("timeout", "sent", "due"),
    [
        (100, 97.9, 99),
        (100, 98, None),
        (100, 98.9, None),
        (2, 1.39, 1.9),
        (2, 1.4, None),
    ],
)
def test_another_waits_poll_shortly_before_the_last_one_replaces_it(
    timeout: float, sent: float, due: float | None
) -> None:
    wait = waiting(timeout, initial=timeout, maximum=timeout)
    see(wait, PROCESSING, 0)
    see(wait, failing(status_error(503)), sent + 0.01, sent=sent)
    assert wait.due < math.inf  # a failed poll replaces no other
    event = see(wait, PROCESSING, sent + 0.01, sent=sent)
    assert wait.due == (math.inf if due is None else due)
    assert event.next_in == (None if due is None else pytest.approx(due - sent - 0.01))


def test_a_waits_own_poll_does_not_replace_its_last_one() -> None:
    wait = waiting(initial=10, maximum=10)
    see(wait, PROCESSING, 88.5)
    assert wait.due == 98.5
    see(wait, PROCESSING, 98.6, sent=98.5)
    assert wait.due == 99


def test_timeout_0_ignores_polls_that_were_sent_before() -> None:
    wait = waiting(0, now=5)
    assert wait.observe(PROCESSING, 5, -math.inf) == []
    assert wait.observe(failing(status_error(503)), 5.5, 4.9) == []
    assert (wait.due, wait.outcome) == (5, None)
    see(wait, PollResult(BatchStatus.READY, batch()), 6, sent=5.6)
    assert wait.outcome == batch()


def test_results_of_earlier_requests_do_not_replace_the_get() -> None:
    wait = waiting()
    wait.observe(FAILED, 1)
    assert wait.observe(failing(status_error(503)), 1.1, 0.9) == []
    assert wait.outcome is None
    see(wait, PollResult(BatchStatus.ERROR, batch("ERROR")), 1.3, sent=1.1)
    assert isinstance(wait.outcome, BatchFailedError)
    assert wait.outcome.batch == batch("ERROR")
