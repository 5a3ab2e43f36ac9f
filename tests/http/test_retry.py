"""Retries: which failures are repeated, after which pauses, and how often."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prolific_async import RetryPolicy, errors
from prolific_async._api import batches as api
from prolific_async._http import responses
from prolific_async._http.request import Request
from prolific_async._http.retry import (
    capped_retry_after,
    did_not_run,
    may_get_again,
    may_have_run,
    may_poll_again,
    pauses,
    retrying,
)
from prolific_async.errors import (
    APIStatusError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    OutcomeUnknownError,
    ProlificError,
    RequestTimeoutError,
    TransportError,
    WaitError,
)
from tests.virtual_time import run

BATCH = "/api/v1/data-collection/batches/b-1"
REQUEST = Request("POST", f"{BATCH}/duplicate", "", b'{"name": "a-name-of-the-caller"}')
AT_ONCE = RetryPolicy(initial=0, maximum=0)


def answered(status: int, retry_after: str | None = None, body: bytes = b"") -> APIStatusError:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with pytest.raises(APIStatusError) as caught:
        responses.decode(REQUEST, status, headers, body)
    return caught.value


# What the contract says of each failure, in this order: whether a GET is tried again, whether a
# wait goes on, whether a POST surely did not run, and whether a POST may have run.
PLAIN = (False, False, False, False)
STATUSES: dict[int, tuple[bool, bool, bool, bool]] = {
    **dict.fromkeys(range(300, 500), PLAIN),
    408: (False, True, False, True),
    425: (False, True, False, False),
    429: (True, True, True, False),
    **dict.fromkeys(range(500, 600), (False, True, False, True)),
    **dict.fromkeys((500, 502, 503, 504), (True, True, False, True)),
}
CLASSES: dict[type[ProlificError], tuple[bool, bool, bool, bool]] = {
    ConnectError: (True, True, True, False),
    ConnectionLostError: (True, True, False, True),
    RequestTimeoutError: (True, True, False, True),
    DecodeError: (False, True, False, True),
    ConfigurationError: PLAIN,
    OutcomeUnknownError: PLAIN,
    WaitError: PLAIN,
    errors.BatchFailedError: PLAIN,
    errors.BatchNotSetUpError: PLAIN,
    errors.JobFailedError: PLAIN,
    errors.NothingUploadedError: PLAIN,
    errors.PartialImportError: PLAIN,
    errors.PartialMigrationError: PLAIN,
    errors.SchemaNeededError: PLAIN,
    errors.WaitFailedError: PLAIN,
    errors.WaitTimeoutError: PLAIN,
}
# Never raised themselves, or covered by their status.
ABSTRACT = {ProlificError, TransportError}

SAMPLES: dict[type[ProlificError], ProlificError] = {
    ConnectError: ConnectError("GET", "/x", "refused"),
    ConnectionLostError: ConnectionLostError("GET", "/x", "reset"),
    RequestTimeoutError: RequestTimeoutError("GET", "/x", "30 s"),
    DecodeError: DecodeError(("$: no JSON",), "", "GET", "/x"),
    ConfigurationError: ConfigurationError("closed"),
    OutcomeUnknownError: OutcomeUnknownError("POST", "/x"),
    WaitError: WaitError("b-1", None, 1.0, 1, ()),
    errors.BatchFailedError: errors.BatchFailedError("b-1", None, 1.0, 1, ()),
    errors.BatchNotSetUpError: errors.BatchNotSetUpError("b-1", None, 1.0, 1, ()),
    errors.JobFailedError: errors.JobFailedError("j-1", None, 1.0, 1, ()),
    errors.NothingUploadedError: errors.NothingUploadedError("d-1", None, 1.0, 1, ()),
    errors.PartialImportError: errors.PartialImportError("i-1", None, 1.0, 1, ()),
    errors.PartialMigrationError: errors.PartialMigrationError("m-1", None, 1.0, 1, ()),
    errors.SchemaNeededError: errors.SchemaNeededError("i-1", None, 1.0, 1, ()),
    errors.WaitFailedError: errors.WaitFailedError("b-1", None, 1.0, 1, ()),
    errors.WaitTimeoutError: errors.WaitTimeoutError("b-1", None, 1.0, 1, ()),
}


def judged(error: ProlificError) -> tuple[bool, bool, bool, bool]:
    return may_get_again(error), may_poll_again(error), did_not_run(error), may_have_run(error)


def test_each_status_is_repeated_or_not_by_the_table() -> None:
    assert {status: judged(answered(status)) for status in range(300, 600)} == STATUSES


@pytest.mark.parametrize("cls", SAMPLES, ids=lambda cls: cls.__name__)
def test_each_error_class_is_repeated_or_not_by_the_table(cls: type[ProlificError]) -> None:
    assert judged(SAMPLES[cls]) == CLASSES[cls]


def test_the_tables_have_every_error_class() -> None:
    known = {
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, ProlificError)
    }
    by_status = {cls for cls in known if issubclass(cls, APIStatusError)}
    assert known - by_status - ABSTRACT == set(CLASSES) == set(SAMPLES)
    assert by_status - {APIStatusError} == {type(answered(status)) for status in STATUSES} - {
        APIStatusError
    }


def test_no_post_both_did_and_did_not_run() -> None:
    for error in (*map(answered, range(300, 600)), *SAMPLES.values()):
        assert not (did_not_run(error) and may_have_run(error))


# --- Pauses -----------------------------------------------------------------------------------


def drawn(policy: RetryPolicy, count: int) -> list[float]:
    return list(islice(pauses(policy), count))


policies = st.builds(
    lambda initial, room, cap: RetryPolicy(
        initial=initial, maximum=initial + room, retry_after_cap=cap
    ),
    st.just(0.0) | st.floats(1e-3, 1e3),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)


@given(policy=policies)
@settings(max_examples=60)
def test_a_pause_lies_below_the_bound(policy: RetryPolicy) -> None:
    for step, pause in enumerate(drawn(policy, 40)):
        assert 0 <= pause <= min(policy.initial * 2.0**step, policy.maximum)


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 0.0), ("0", 0.0), ("5", 5.0), ("7", 7.0), ("9" * 30, 7.0)]
)
def test_a_hint_is_capped_by_the_policy(asked: str | None, seconds: float) -> None:
    assert capped_retry_after(answered(503, asked), RetryPolicy(retry_after_cap=7)) == seconds
    assert capped_retry_after(SAMPLES[DecodeError], RetryPolicy()) == 0


def test_pauses_are_drawn_from_the_whole_of_the_bound() -> None:
    policy = RetryPolicy(initial=1, maximum=4)
    columns = list(zip(*(drawn(policy, 5) for _ in range(400)), strict=True))
    for column, bound in zip(columns, [1, 2, 4, 4, 4], strict=True):
        assert 0 <= min(column) < bound * 0.1
        assert bound * 0.9 < max(column) <= bound


def test_pauses_of_zero_stay_zero() -> None:
    for initial in (0, 0.0):
        for maximum in (0, 8.0):
            policy = RetryPolicy(initial=initial, maximum=maximum)
            assert set(drawn(policy, 5_000)) == {0}


@pytest.mark.parametrize(
    ("initial", "maximum"), [(0.5, 8.0), (8.0, 8.0), (1e-9, 60.0), (5e-324, 8.0), (1.0, 1.7e308)]
)
def test_no_policy_overflows_in_thousands_of_attempts(initial: float, maximum: float) -> None:
    policy = RetryPolicy(initial=initial, maximum=maximum)
    assert all(0 <= pause <= maximum for pause in drawn(policy, 5_000))


def test_the_bound_stays_at_the_maximum_for_thousands_of_attempts() -> None:
    for initial in (0.5, 5e-324):
        assert max(drawn(RetryPolicy(initial=initial), 5_000)[-1_000:]) > 7


# --- Trying again -----------------------------------------------------------------------------


class Call:
    """A call with scripted outcomes, of which the last one is repeated."""

    def __init__(self, *outcomes: BaseException | str) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> str:
        self.requests.append(request)
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def wrapped(
    call: Call,
    policy: RetryPolicy = AT_ONCE,
    again: Callable[[ProlificError], bool] = may_get_again,
) -> Callable[[Request], Awaitable[str]]:
    return retrying(call, policy, again)


@pytest.mark.parametrize("attempts", [1, 2, 4, 10])
async def test_at_most_max_attempts_are_made_and_the_last_failure_is_raised(attempts: int) -> None:
    failures = [answered(500 + number % 2 * 2) for number in range(attempts)]
    call = Call(*failures, "too late")
    with pytest.raises(errors.ServerError) as caught:
        await wrapped(call, RetryPolicy(max_attempts=attempts, initial=0))(REQUEST)
    assert caught.value is failures[-1]
    assert call.requests == [REQUEST] * attempts


@pytest.mark.parametrize("failed", range(4))
async def test_success_ends_the_attempts(failed: int) -> None:
    call = Call(*[answered(503)] * failed, "done")
    assert await wrapped(call)(REQUEST) == "done"
    assert len(call.requests) == failed + 1


@pytest.mark.parametrize("failed", range(3))
async def test_a_failure_that_is_not_to_be_repeated_is_raised(failed: int) -> None:
    refused = answered(404)
    call = Call(*[answered(503)] * failed, refused, "too late")
    with pytest.raises(errors.NotFoundError) as caught:
        await wrapped(call)(REQUEST)
    assert caught.value is refused
    assert len(call.requests) == failed + 1


@pytest.mark.parametrize(
    "foreign", [ValueError("no"), RuntimeError("no"), TimeoutError(), asyncio.CancelledError()]
)
@pytest.mark.parametrize("failed", range(3))
async def test_foreign_exceptions_are_raised_at_once(foreign: BaseException, failed: int) -> None:
    call = Call(*[answered(503)] * failed, foreign, "too late")
    with pytest.raises(type(foreign)) as caught:
        await wrapped(call, again=lambda _: True)(REQUEST)
    assert caught.value is foreign
    assert len(call.requests) == failed + 1


async def test_the_predicate_is_called_with_each_failure() -> None:
    failures = [answered(503), SAMPLES[ConnectError], answered(404)]
    judged: list[ProlificError] = []

    def again(error: ProlificError) -> bool:
        judged.append(error)
        return True

    assert await wrapped(Call(*failures, "done"), again=again)(REQUEST) == "done"
    assert judged == failures


@pytest.mark.parametrize("first", [True, False])
async def test_a_hint_above_the_cap_raises_at_once(first: bool) -> None:  # noqa: FBT001 - a case
    asked = answered(429, "61")
    call = Call(*[] if first else [answered(503)], asked, "too late")
    with pytest.raises(errors.RateLimitedError) as caught:
        await asyncio.wait_for(wrapped(call)(REQUEST), 1)
    assert caught.value is asked
    assert caught.value.retry_after == 61.0
    assert len(call.requests) == (1 if first else 2)


@pytest.mark.parametrize("asked", ["0.5", "59", "60"])
def test_a_hint_is_waited_for_up_to_the_cap(asked: str) -> None:
    async def main() -> float:
        began = asyncio.get_running_loop().time()
        assert await wrapped(Call(answered(503, asked), "done"))(REQUEST) == "done"
        return asyncio.get_running_loop().time() - began

    assert run(main()) == float(asked)


def test_a_hint_of_one_failure_does_not_slow_the_next() -> None:
    async def main() -> float:
        began = asyncio.get_running_loop().time()
        await wrapped(Call(answered(503, "20"), answered(503), answered(503), "done"))(REQUEST)
        return asyncio.get_running_loop().time() - began

    assert run(main()) == 20.0


def test_cancelling_a_pause_makes_no_more_attempts() -> None:
    async def main() -> int:
        call = Call(answered(503, "60"), "too late")
        task = asyncio.ensure_future(wrapped(call)(REQUEST))
        await asyncio.sleep(30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(100)
        return len(call.requests)

    assert run(main()) == 1


async def test_calls_at_the_same_time_do_not_share_their_attempts() -> None:
    seen: dict[str, int] = {}

    async def call(request: Request) -> str:
        count = seen[request.path] = seen.get(request.path, 0) + 1
        await asyncio.sleep(0)
        if count < 4:
            raise answered(503)
        return request.path

    send = retrying(call, AT_ONCE, may_get_again)
    polls = [api.get_batch_status(f"b-{number}") for number in range(50)]
    assert await asyncio.gather(*map(send, polls)) == [request.path for request in polls]
    assert set(seen.values()) == {4}


async def test_a_wrapped_call_starts_afresh_each_time() -> None:
    send = wrapped(Call(*[answered(503)] * 3, "one", *[answered(503)] * 3, "two"))
    assert [await send(REQUEST), await send(REQUEST)] == ["one", "two"]


async def test_each_pause_is_logged_and_no_body_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sent = b'{"detail": "sorry", "secret": "a-body-of-the-service"}'
    call = Call(*[answered(503, body=sent)] * 4)
    with pytest.raises(errors.ServerError):
        await wrapped(call)(REQUEST)
    records = [record for record in caplog.records if record.name != "asyncio"]
    assert [(record.name, record.levelname) for record in records] == [
        ("prolific_async", "INFO")
    ] * 3
    for number, record in enumerate(records, 1):
        text = logging.Formatter().format(record)
        assert text.startswith(f"attempt {number} of 4: ")
        assert "503" in text
        assert "duplicate" in text
        assert "a-body-of-the-service" not in text
        assert "a-name-of-the-caller" not in text


async def test_success_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await wrapped(Call("done"))(REQUEST)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


async def test_a_raised_error_has_no_circle_of_contexts() -> None:
    failures = [answered(503) for _ in range(4)]
    with pytest.raises(errors.ServerError) as caught:
        await wrapped(Call(*failures))(REQUEST)
    seen: list[Any] = []
    error: BaseException | None = caught.value
    while error is not None:
        assert error not in seen
        seen.append(error)
        error = error.__cause__ or error.__context__
    assert all(isinstance(error, ProlificError) for error in seen)
