"""Every error class: its place in the tree, its attributes, its text, and pickle."""

import copy
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from prolific_async import (
    Batch,
    BatchStatus,
    DatasetRef,
    RejectedRow,
    StatusEvent,
    UnmigratedDatapoint,
    errors,
)
from prolific_async.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BatchFailedError,
    BatchNotSetUpError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    JobFailedError,
    NotFoundError,
    NothingUploadedError,
    OutcomeUnknownError,
    PartialImportError,
    PartialMigrationError,
    PermissionDeniedError,
    ProlificError,
    RateLimitedError,
    RequestTimeoutError,
    SchemaNeededError,
    ServerError,
    TransportError,
    ValidationError,
    WaitError,
    WaitFailedError,
    WaitTimeoutError,
)
from tests import pools, samples
from tests.conftest import HANGS

PATH = "/api/v1/data-collection/batches/b-1/setup"
DUPLICATE = "/api/v1/data-collection/batches/b-1/duplicate"

CLASSES = sorted(
    (
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, ProlificError)
    ),
    key=lambda cls: cls.__name__,
)

PARENTS: dict[type[ProlificError], tuple[type[BaseException], ...]] = {
    ProlificError: (Exception,),
    ConfigurationError: (ProlificError,),
    TransportError: (ProlificError,),
    ConnectError: (TransportError, ConnectionError),
    ConnectionLostError: (TransportError, ConnectionError),
    RequestTimeoutError: (TransportError, TimeoutError),
    APIStatusError: (ProlificError,),
    BadRequestError: (APIStatusError,),
    AuthenticationError: (APIStatusError,),
    PermissionDeniedError: (APIStatusError,),
    NotFoundError: (APIStatusError,),
    ConflictError: (APIStatusError,),
    ValidationError: (APIStatusError,),
    RateLimitedError: (APIStatusError,),
    ServerError: (APIStatusError,),
    DecodeError: (ProlificError,),
    OutcomeUnknownError: (ProlificError,),
    WaitError: (ProlificError,),
    BatchFailedError: (WaitError,),
    BatchNotSetUpError: (WaitError,),
    NothingUploadedError: (WaitError,),
    SchemaNeededError: (WaitError,),
    JobFailedError: (WaitError,),
    PartialImportError: (JobFailedError,),
    PartialMigrationError: (JobFailedError,),
    WaitFailedError: (WaitError,),
    WaitTimeoutError: (WaitError, TimeoutError),
}

ATTRIBUTES: dict[type[ProlificError], tuple[str, ...]] = {
    APIStatusError: (
        "status",
        "method",
        "path",
        "error_code",
        "title",
        "detail",
        "body",
        "retry_after",
        "headers",
    ),
    DecodeError: ("problems", "body"),
    OutcomeUnknownError: ("candidates",),
    WaitError: ("kind", "id", "batch_id", "last_status", "elapsed", "polls", "events"),
    BatchFailedError: ("batch",),
    JobFailedError: ("job", "reason"),
    PartialImportError: ("accepted_count", "rejected_count", "errors"),
    PartialMigrationError: ("accepted_count", "rejected_count", "errors"),
}


DERIVED = {"batch_id", "reason", "accepted_count", "rejected_count", "errors"}
"""Attributes that follow from others."""


def a_batch() -> Batch:
    made = Batch(
        id="b-1",
        created_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        created_by="user",
        datasets=(DatasetRef(id="d-1", total_datapoint_count=2, extra={"new": [1]}),),
        name="Round 2",
        status=BatchStatus("SYNCING"),
        total_task_count=0,
        total_instruction_count=1,
        workspace_id="w-1",
        extra={"unknown": {"deep": [None]}},
    )
    return made.bind(Unpicklable())  # type: ignore[arg-type]  # stands for a client's session


class Unpicklable(Exception):  # noqa: N818 - a foreign thing that no process can send away
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def status_error(cls: type[APIStatusError], status: int) -> APIStatusError:
    return cls(
        status,
        "POST",
        PATH,
        140003,
        "Bad thing",
        {"name": ["too long", "too odd"]},
        {"error": {"title": "Bad thing", "detail": {"name": ["too long", "too odd"]}}},
        1.5,
        CIMultiDict({"Retry-After": "1.5", "X-Request-Id": "r-1"}),
    )


def events() -> tuple[StatusEvent, ...]:
    lost = ConnectionLostError("GET", PATH, "reset by peer")
    return (
        StatusEvent("b-1", None, None, 1, 0.1, 1.0, lost),
        StatusEvent("b-1", BatchStatus("SYNCING"), None, 2, 1.2, None, None),
    )


STORY = ("b-1", BatchStatus("SYNCING"), 12.34, 2, events())

JOB = SimpleNamespace(
    reason="row 7 has no text",
    accepted_count=5,
    rejected_count=2,
    reprocessed_count=6,
    failed_count=1,
    errors=(SimpleNamespace(record_index=3, field=None, reason="too long"),),
)

SAMPLES: dict[type[ProlificError], ProlificError] = {
    ProlificError: ProlificError("something is wrong"),
    ConfigurationError: ConfigurationError("no token: set PROLIFIC_TOKEN, or pass token="),
    TransportError: TransportError("POST", PATH, "no route to host"),
    ConnectError: ConnectError("POST", PATH, "no route to host"),
    ConnectionLostError: ConnectionLostError("POST", PATH, "reset by peer"),
    RequestTimeoutError: RequestTimeoutError("POST", PATH, "request_timeout is 30 s"),
    APIStatusError: status_error(APIStatusError, 302),
    BadRequestError: status_error(BadRequestError, 400),
    AuthenticationError: status_error(AuthenticationError, 401),
    PermissionDeniedError: status_error(PermissionDeniedError, 403),
    NotFoundError: status_error(NotFoundError, 404),
    ConflictError: status_error(ConflictError, 409),
    ValidationError: status_error(ValidationError, 422),
    RateLimitedError: status_error(RateLimitedError, 429),
    ServerError: status_error(ServerError, 503),
    DecodeError: DecodeError(("$.id: it is missing",), {"name": "x"}, "POST", PATH),
    OutcomeUnknownError: OutcomeUnknownError("POST", PATH, (a_batch(), a_batch())),
    WaitError: WaitError(*STORY),
    BatchFailedError: BatchFailedError(*STORY, a_batch()),
    BatchNotSetUpError: BatchNotSetUpError(*STORY),
    NothingUploadedError: NothingUploadedError(*STORY, kind="dataset"),
    SchemaNeededError: SchemaNeededError(*STORY, kind="import"),
    JobFailedError: JobFailedError(*STORY, JOB, kind="import"),
    PartialImportError: PartialImportError(*STORY, JOB, kind="import"),
    PartialMigrationError: PartialMigrationError(*STORY, JOB, kind="migration"),
    WaitFailedError: WaitFailedError(*STORY),
    WaitTimeoutError: WaitTimeoutError(*STORY),
}

every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def fresh(cls: type[ProlificError]) -> ProlificError:
    """Return a copy of a sample, whose cause may be set."""
    return copy.copy(SAMPLES[cls])


def contents(thing: Any) -> Any:
    """Return a value that is equal for errors with the same contents at any depth."""
    if isinstance(thing, BaseException):
        own = {key: contents(one) for key, one in vars(thing).items() if key != "_failure"}
        failure = contents(thing.failure) if isinstance(thing, ProlificError) else None
        return type(thing), str(thing), thing.args and len(thing.args), own, failure
    if isinstance(thing, StatusEvent):
        names = ("batch_id", "status", "previous", "polls", "elapsed", "next_in")
        return [getattr(thing, name) for name in names], contents(thing.error)
    if isinstance(thing, tuple):
        return tuple(contents(item) for item in thing)
    return type(thing), thing


def named_attributes(cls: type[ProlificError]) -> Iterator[str]:
    for base in cls.__mro__:
        yield from ATTRIBUTES.get(base, ())


def test_every_class_has_a_sample_and_its_place_in_the_tree() -> None:
    assert set(CLASSES) == set(SAMPLES) == set(PARENTS)
    assert [type(sample) for sample in SAMPLES.values()] == list(SAMPLES)


@every_class
def test_parents_are_those_of_the_tree_and_no_others(cls: type[ProlificError]) -> None:
    assert issubclass(cls, PARENTS[cls])
    own = {base for base in cls.__mro__ if base in CLASSES} - {cls}
    named = {base for parent in PARENTS[cls] for base in parent.__mro__ if base in CLASSES}
    assert own == named
    for builtin in (ConnectionError, TimeoutError, OSError, ValueError):
        expected = any(issubclass(parent, builtin) for parent in PARENTS[cls])
        assert issubclass(cls, builtin) is expected


@every_class
def test_every_class_has_a_docstring_and_is_named_error(cls: type[ProlificError]) -> None:
    assert cls.__doc__
    assert cls.__name__.endswith("Error")


@every_class
def test_pickle_keeps_type_text_and_attributes(cls: type[ProlificError]) -> None:
    error = SAMPLES[cls]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert contents(again) == contents(error)
        assert repr(again) == repr(error)
        for name in named_attributes(cls):
            assert contents(getattr(again, name)) == contents(getattr(error, name))
        # What came out can be sent on.
        assert contents(pickle.loads(pickle.dumps(again, protocol))) == contents(error)


@every_class
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_hold_the_same(cls: type[ProlificError], copied: Any) -> None:
    again = copied(SAMPLES[cls])
    assert again is not SAMPLES[cls]
    assert contents(again) == contents(SAMPLES[cls])


@every_class
def test_pickle_keeps_a_cause_of_this_package(cls: type[ProlificError]) -> None:
    for cause_cls in CLASSES:
        error, cause, root = fresh(cls), fresh(cause_cls), fresh(ConnectError)
        error.__cause__, cause.__cause__ = cause, root
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert contents(again) == contents(error)
            assert contents(again.__cause__) == contents(cause)
            assert again.__suppress_context__
            assert isinstance(again.__cause__, ProlificError)
            assert contents(again.__cause__.__cause__) == contents(root)


@every_class
def test_a_foreign_cause_does_not_hinder_pickle(cls: type[ProlificError]) -> None:
    error = fresh(cls)
    error.__cause__ = Unpicklable()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    for name in named_attributes(cls):
        assert contents(getattr(again, name)) == contents(getattr(error, name))


@every_class
def test_attributes_set_later_survive_too(cls: type[ProlificError]) -> None:
    error = fresh(cls)
    names = [name for name in named_attributes(cls) if name not in DERIVED]
    for name in names:
        setattr(error, name, ())
    again = pickle.loads(pickle.dumps(error))
    assert [getattr(again, name) for name in names] == [() for _ in names]


@every_class
def test_the_text_is_one_sentence_that_names_the_call(cls: type[ProlificError]) -> None:
    error = SAMPLES[cls]
    text = str(error)
    assert text
    assert len(text.splitlines()) == 1
    assert text == text.strip()
    assert not text.endswith(".")
    assert cls.__name__ in repr(error)
    assert len(repr(error).splitlines()) == 1
    if isinstance(error, WaitError):
        assert "b-1" in text
    elif cls not in (ProlificError, ConfigurationError):
        assert f"POST {PATH}" in text


@every_class
def test_an_error_can_be_raised_caught_and_kept_in_a_set(cls: type[ProlificError]) -> None:
    error = fresh(cls)
    with pytest.raises(PARENTS[cls][-1]) as caught:
        raise error from ValueError("below")
    assert caught.value is error
    assert {error: 1}[error] == 1


def test_a_status_error_shows_status_code_title_and_detail() -> None:
    text = str(SAMPLES[BadRequestError])
    for part in ("400", "140003", "Bad thing", "too long", "too odd"):
        assert part in text


def test_header_lookups_ignore_case_after_pickle_too() -> None:
    error = SAMPLES[RateLimitedError]
    assert isinstance(error, RateLimitedError)
    again: RateLimitedError = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert one.headers["x-request-id"] == one.headers["X-REQUEST-ID"] == "r-1"


@pytest.mark.parametrize(
    ("cls", "advice"),
    [
        (ConnectError, "check the network"),
        (TransportError, "look at the batch's status before you send it again"),
        (ConnectionLostError, "look at the batch's status before you send it again"),
        (RequestTimeoutError, "request_timeout"),
        (BadRequestError, "correct"),
        (AuthenticationError, "token"),
        (PermissionDeniedError, "account"),
        (NotFoundError, "check the id"),
        (ConflictError, "try again"),
        (ValidationError, "correct"),
        (RateLimitedError, "1.5 s"),
        (DecodeError, ".problems"),
        (OutcomeUnknownError, "look at the batch's status before"),
        (BatchFailedError, "fix its dataset or upload another one, and set up a duplicate"),
        (BatchNotSetUpError, "call setup, which needs a READY dataset"),
        (BatchNotSetUpError, "a longer uninitialised_grace"),
        (WaitTimeoutError, "longer"),
    ],
)
def test_the_text_says_what_to_do(cls: type[ProlificError], advice: str) -> None:
    assert advice in str(SAMPLES[cls])


def test_a_429_without_a_hint_says_what_to_do_as_well() -> None:
    error = fresh(RateLimitedError)
    assert isinstance(error, RateLimitedError)
    error.retry_after = None
    assert "try again" in str(error)
    assert "None" not in str(error)


# --- Failures ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_errors_keep_text_and_failure_through_process_pools() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.pools", "fork", "spawn"],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    made = pools.errors()
    made[-1].__cause__ = pools.REFUSED
    expected = [
        (type(error).__name__, str(error), error.failure and str(error.failure))
        for error in (*made, made[0], made[0])
    ]
    assert [(line["type"], line["text"], line["failure"]) for line in lines] == expected * 2
    assert all(line["notes"] == ["a note"] for line in lines)
    # Else this test would show nothing.
    replaced = ["_RemoteTraceback"] * len(made) + ["AuthenticationError", "RemoteTraceback"]
    assert [line["cause"] for line in lines] == replaced * 2


FAILURE = status_error(AuthenticationError, 401)
FAILED = [
    OutcomeUnknownError("POST", PATH, failure=FAILURE),
    WaitError(*STORY, FAILURE),
    WaitFailedError(*STORY, FAILURE),
    WaitTimeoutError(*STORY, FAILURE),
]


@pytest.mark.parametrize("sample", FAILED, ids=lambda error: type(error).__name__)
def test_the_failure_is_the_cause_and_outlives_it(sample: ProlificError) -> None:
    assert sample.__cause__ is sample.failure is FAILURE
    replaced, dropped, noted = copy.copy(sample), copy.copy(sample), copy.copy(sample)
    replaced.__cause__ = OSError("a pool's traceback,\nof many lines")
    with pytest.raises(type(sample)):
        raise dropped from None
    noted.add_note("a note")
    for error in (replaced, dropped, noted):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            sent = pickle.loads(pickle.dumps(ExceptionGroup("several", [error]), protocol))
            for again in (error, sent.exceptions[0], copy.copy(error), copy.deepcopy(error)):
                assert str(again) == str(sample)
                assert contents(again.failure) == contents(FAILURE)
        assert contents(pickle.loads(pickle.dumps(error)).__cause__) == contents(FAILURE)


@every_class
def test_a_cause_of_this_package_is_the_failure_of_an_error_without_one(
    cls: type[ProlificError],
) -> None:
    error, failure = fresh(cls), fresh(ConnectError)
    assert error.failure is None
    error.__cause__ = ValueError("not ours")
    assert error.failure is None
    error.__cause__ = failure
    assert error.failure is failure
    # As a second process pool would find it.
    again = pickle.loads(pickle.dumps(error))
    again.__cause__ = None
    assert contents(again.failure) == contents(failure)


def test_a_failure_that_is_set_becomes_the_cause() -> None:
    error = fresh(WaitFailedError)
    assert "None" not in str(error)
    error.failure = FAILURE
    assert error.__cause__ is error.failure is FAILURE
    assert "401" in str(error)


class Garbled(Exception):  # noqa: N818 - a foreign thing that pickle takes and does not give back
    def __init__(self, *, text: str) -> None:
        super().__init__(text)


@pytest.mark.parametrize(
    ("failure", "told", "sent"),
    [
        (ValueError("'..' cannot be an id"), "'..' cannot be an id", ValueError),
        (ValueError("one\ntwo"), "one two", ValueError),
        (ZeroDivisionError(), "ZeroDivisionError", ZeroDivisionError),
        (Unpicklable("odd"), "odd", ProlificError),
        (Unpicklable(), "Unpicklable", ProlificError),
        (Garbled(text="x" * 1000), "x" * 500 + "…", ProlificError),
    ],
)
@pytest.mark.parametrize("cls", [WaitFailedError, WaitTimeoutError])
def test_a_failure_may_be_any_exception(
    cls: type[WaitError], failure: Exception, told: str, sent: type[Exception]
) -> None:
    error = cls(*STORY, failure)
    assert error.failure is error.__cause__ is failure
    for one in (error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert f": {told} (" in str(one)
        assert str(one).isprintable()
    again = pickle.loads(pickle.dumps(error))
    assert type(again.failure) is type(again.__cause__) is sent
    assert str(again) == str(pickle.loads(pickle.dumps(again)))


def test_a_failed_wait_shows_its_reason() -> None:
    error = fresh(WaitFailedError)
    error.__cause__ = fresh(AuthenticationError)
    assert "401" in str(error)
    assert "token" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_wait_that_never_saw_a_status_says_so() -> None:
    text = str(WaitTimeoutError("b-1", None, 0.5, 1, ()))
    assert "None" not in text
    assert "1 poll " in text


def test_errors_of_other_waits_name_their_kind_and_what_the_service_said() -> None:
    failed = JobFailedError("i-1", None, 2.0, 3, (), JOB, kind="import")
    assert (failed.kind, failed.id, failed.batch_id) == ("import", "i-1", None)
    assert failed.reason == "row 7 has no text"
    assert "waiting for import i-1 found that it failed: row 7 has no text; correct" in str(failed)
    partial = PartialImportError("i-1", None, 2.0, 3, (), JOB, kind="import")
    assert (partial.accepted_count, partial.rejected_count) == (5, 2)
    assert partial.errors == JOB.errors
    assert "5 accepted, 2 rejected; row 3 (counted from 0): too long; see .errors" in str(partial)
    migrated = PartialMigrationError("m-1", None, 2.0, 3, (), JOB, kind="migration")
    assert (migrated.accepted_count, migrated.rejected_count) == (6, 1)
    assert "waiting for migration m-1 found only a part migrated: 6 accepted, 1" in str(migrated)
    assert not isinstance(migrated, PartialImportError)


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (RejectedRow(0, "b", "missing"), "row 0 (counted from 0), field 'b': missing; see"),
        (RejectedRow(7, "_raw", "not JSON"), "row 7 (counted from 0): not JSON; see"),
        (RejectedRow(None, "b", "missing"), "field 'b': missing; see"),
        (RejectedRow(4), "row 4 (counted from 0); see"),
        (UnmigratedDatapoint("p-1", "b", "missing"), "datapoint p-1, field 'b': missing; see"),
    ],
)
def test_a_partial_job_tells_where_its_first_fault_is(first: Any, told: str) -> None:
    job = SimpleNamespace(accepted_count=1, rejected_count=2, errors=(first, RejectedRow(9)))
    assert f"1 accepted, 2 rejected; {told}" in str(
        PartialImportError("i-1", None, 2.0, 3, (), job, kind="import")
    )


def test_errors_of_jobs_of_which_nothing_is_known_are_sentences() -> None:
    for kind in ("dataset", "import", "migration", "sync", "export", "job"):
        error = JobFailedError("j-1", None, 2.0, 3, (), kind=kind)
        assert str(error).startswith(f"waiting for {kind} j-1 found that it failed; ")
        assert "None" not in str(error)
    bare = PartialImportError("i-1", None, 2.0, 3, ())
    assert (bare.accepted_count, bare.rejected_count, bare.errors) == (None, None, ())
    assert "rejected: see .errors, and" in str(bare)
    odd = JobFailedError("i-1", None, 2.0, 3, (), SimpleNamespace(reason=7))
    assert odd.reason is None


def test_what_to_do_after_a_time_out_depends_on_the_kind() -> None:
    seen = BatchStatus.UNINITIALISED
    advice = {
        kind: str(WaitTimeoutError("x-1", seen, 0.5, 1, (), kind=kind))
        for kind in ("batch", "dataset", "import")
    }
    assert "call setup, or" in advice["batch"]
    assert "upload its rows, or" in advice["dataset"]
    assert "timed out: wait again, or longer" in advice["import"]


def test_a_lost_duplicate_names_its_candidates() -> None:
    assert "candidates: b-1, b-1" in str(OutcomeUnknownError("POST", DUPLICATE, (a_batch(),) * 2))
    assert "none was seen" in str(OutcomeUnknownError("POST", DUPLICATE))
    crowd = str(OutcomeUnknownError("POST", DUPLICATE, (a_batch(),) * 12))
    assert (crowd.count("b-1,"), "and 2 more" in crowd) == (9, True)
    odd = OutcomeUnknownError("POST", PATH, (a_batch(),), ("b-2", "b-3"))
    assert "(candidates: b-1, b-2 (unreadable), b-3 (unreadable))" in str(odd)
    many = OutcomeUnknownError("POST", PATH, (), tuple(f"b-{number}" for number in range(12)))
    assert "b-9 (unreadable) and 2 more)" in str(many)
    assert pickle.loads(pickle.dumps(odd)).unreadable == ("b-2", "b-3")


def test_a_decode_error_without_a_call_names_none() -> None:
    text = str(DecodeError(("$.id: it is missing",), None))
    assert "None" not in text
    assert "$.id" in text


def test_texts_are_short_however_much_an_error_holds() -> None:
    many = tuple(f"$.results[{index}].id: it is missing" for index in range(10_000))
    assert len(str(DecodeError(many, None, "GET", PATH))) < 900
    wait = WaitFailedError(*STORY)
    wait.__cause__ = DecodeError(many, None, "GET", PATH)
    assert len(str(wait)) < 1_200


def test_names_from_the_service_are_brief_and_printable() -> None:
    long = "x\n\ud800" * 100_000
    wait = WaitTimeoutError("b-1", BatchStatus(long), 1.0, 1, ())
    unknown = OutcomeUnknownError("POST", PATH, (samples.batch(batch_id=long),))
    for error in (wait, unknown):
        assert len(str(error)) < 900
        assert str(error).isprintable()


def api_error(status: int, *, method: str = "GET", **values: Any) -> APIStatusError:
    given = {"detail": None, "body": "", "retry_after": None} | values
    return APIStatusError(
        status, method, PATH, None, None, given["detail"], given["body"], given["retry_after"], {}
    )


def test_only_redirects_are_called_redirects() -> None:
    told = {
        status: "redirects" in str(api_error(status))
        for status in (0, 101, 300, 301, 302, 303, 304, 307, 308, 418)
    }
    assert [status for status, is_told in told.items() if is_told] == [301, 302, 303, 307, 308]
    assert "cache" in str(api_error(304))


@pytest.mark.parametrize(
    ("status", "method", "advice"),
    [
        (408, "GET", "; try again"),
        (408, "POST", "; it may have run, so look at the batch's status before you send it again"),
        (425, "POST", "; try again"),
        (405, "GET", "; check base_url"),
    ],
)
def test_a_status_without_a_class_says_what_to_do_too(
    status: int, method: str, advice: str
) -> None:
    text = str(api_error(status, method=method))
    assert text.endswith(f"with {status}{advice}")
    # Nothing is to be seen in a body that is not there.
    assert ".body" not in text


def test_a_body_is_mentioned_only_if_there_is_one() -> None:
    assert ".body" in str(api_error(418, body={"teapot": True}))
    assert "see .problems and .body" in str(DecodeError(("$: odd",), "x", "GET", PATH))
    assert str(DecodeError(("$: too large",), None, "GET", PATH)).endswith("see .problems")


@pytest.mark.parametrize(
    ("asked", "told"),
    [(3600.0, "3600 s"), (1.5, "1.5 s"), (86_400_000.0, "86400000 s"), (1e300, "1e+300 s")],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("cls", [APIStatusError, ConflictError, RateLimitedError, ServerError])
def test_the_text_has_the_seconds_of_retry_after(
    cls: type[APIStatusError], method: str, asked: float, told: str
) -> None:
    def text_of(retry_after: float | None) -> str:
        return str(cls(503, method, PATH, None, None, None, "", retry_after, {}))

    assert told in text_of(asked)
    for nothing in (None, 0.0):
        text = text_of(nothing)
        assert "None" not in text
        assert not re.search(r"\d s\b", text)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "/api/v1/data-collection/batches/b-1/setup",
            "correct the setup, which needs a READY dataset, or leave it out if",
        ),
        ("/api/v1/data-collection/batches/b-1/duplicate", "correct the request"),
    ],
)
def test_a_refusal_says_what_the_call_needs(path: str, told: str) -> None:
    error = BadRequestError(400, "POST", path, None, None, None, "", None, {})
    assert told in str(error)
    assert str(error).endswith("will be refused again")


@pytest.mark.parametrize(
    ("status", "failure", "told"),
    [
        (None, None, "timed out: wait again, or longer"),
        ("PROCESSING", None, "timed out: wait again, or longer"),
        ("UNINITIALISED", None, "timed out: call setup, or if that was done wait longer"),
        ("PROCESSING", FAILURE, f"timed out: {FAILURE}"),
        ("UNINITIALISED", FAILURE, f"wait longer; {FAILURE}"),
    ],
)
def test_a_time_out_gives_advice_for_the_last_status(
    status: str | None, failure: ProlificError | None, told: str
) -> None:
    seen = None if status is None else BatchStatus(status)
    error = WaitTimeoutError("b-1", seen, 9.0, 3, (), failure)
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert told in str(one)
        assert ("wait again" in str(one)) == ("wait again" in told)


@pytest.mark.parametrize(
    ("path", "poll"),
    [
        (PATH, "at the batch's status"),
        (DUPLICATE, "for the copy in the workspace"),
        ("/api/v1/data-collection/datasets/d-1", "at the dataset's schema"),
        ("/api/v1/data-collection/odd", "for what it may have made or changed"),
    ],
)
def test_an_unknown_outcome_says_where_to_look(path: str, poll: str) -> None:
    text = str(OutcomeUnknownError("POST", path))
    assert f"look {poll} before you send it again" in text
    assert f"look {poll} before you send it again" in str(ConnectionLostError("POST", path, "?"))
    assert ("candidates" in text) == (path is DUPLICATE)
    assert not hasattr(OutcomeUnknownError("POST", path, reason="it is known"), "reason")
    assert str(OutcomeUnknownError("POST", PATH, reason="it is known")) == "it is known"
    assert "b-1" in str(OutcomeUnknownError("POST", path, (a_batch(),)))


@pytest.mark.parametrize("depth", [50, 150, 500, 900])
def test_an_error_with_a_deep_body_can_be_pickled(depth: int) -> None:
    body = json.loads('{"a":' * depth + "1" + "}" * depth)
    for error in (
        DecodeError(("$.a: bad",), body, "GET", "/x"),
        ServerError(500, "GET", "/x", None, None, body, body, None, {}),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert str(copy) == str(error)
        assert (copy.body == body) is (depth < 100)


def refused(headers: dict[str, str]) -> APIStatusError:
    return ServerError(503, "GET", PATH, None, None, None, None, None, CIMultiDict(headers))


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({}, None),
        ({"X-Request-Id": ""}, None),
        ({"x-request-id": "r-1"}, "r-1"),
        ({"CF-Ray": "ray", "X-Request-Id": "r-1"}, "r-1"),
        ({"X-Request-Id": " \x00", "CF-Ray": "ray-LHR"}, "ray-LHR"),
        ({"X-Amzn-Trace-Id": "Root=1-67891233-abcdef"}, "Root=1-67891233-abcdef"),
        ({"X-Correlation-Id": "c\x1b[2J\u202e1"}, "c [2J 1"),
        ({"Request-Id": "x" * 1000}, "x" * 128),
    ],
)
def test_the_request_id_is_shown(headers: dict[str, str], shown: str | None) -> None:
    error = refused(headers)
    assert error.request_id == shown
    assert str(error).endswith(f"(request id {shown})") == (shown is not None)
    again = pickle.loads(pickle.dumps(error))
    assert (again.request_id, str(again)) == (shown, str(error))


def test_an_error_about_no_response_has_the_request_id_of_its_failure() -> None:
    failure = refused({"X-Request-Id": "r-1"})
    unknown = OutcomeUnknownError("POST", DUPLICATE, failure=failure)
    waited = WaitFailedError("b-1", None, 1.0, 1, (), failure)
    for error in (unknown, waited, pickle.loads(pickle.dumps(unknown))):
        assert error.request_id == "r-1"
        assert str(error).count("r-1") == 1
    assert OutcomeUnknownError("POST", DUPLICATE).request_id is None


def test_attempts_are_told_when_there_was_more_than_one() -> None:
    error = refused({"X-Request-Id": "r-1"})
    assert error.attempts == 1
    assert "attempt" not in str(error)
    error.attempts = 3
    assert str(error).endswith("(after 3 attempts, request id r-1)")
    assert pickle.loads(pickle.dumps(error)).attempts == 3


B = "/gateway/api/v1/data-collection/batches"
D = "/gateway/api/v1/data-collection/datasets"


@pytest.mark.parametrize(
    ("method", "path", "advice"),
    [
        ("GET", D, None),
        ("DELETE", f"{B}/b-1/export/e-1", None),
        ("PATCH", f"{B}/b-1", None),
        ("POST", f"{B}/b-1/sync", None),
        ("POST", f"{D}/d-1/datapoints", None),
        ("POST", B, "look for the batch in the workspace"),
        ("POST", f"{B}/b-1/duplicate", "look for the copy in the workspace"),
        ("POST", f"{B}/b-1/setup", "look at the batch's status"),
        ("POST", D, "make another dataset: none can be listed, and one without rows costs nothing"),
        ("PATCH", f"{D}/d-1", "look at the dataset's schema"),
    ],
)
def test_what_was_lost_is_tried_again_only_if_that_does_no_harm(
    method: str, path: str, advice: str | None
) -> None:
    lost = ConnectionLostError(method, path, "reset")
    failed = ServerError(503, method, path, None, None, None, "", None, {})
    if advice is None:
        assert str(lost).endswith("; try again")
        assert str(failed).endswith("; the service failed, so try again later")
    else:
        then = "" if path == D else " before you send it again"
        repeat = f"it may have run, so {advice}{then}"
        assert str(lost).endswith(f"; {repeat}")
        assert str(failed).endswith(f"; the service failed, but {repeat}")
