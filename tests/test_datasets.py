"""The calls on datasets, over a real connection to scripted answers."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from prolific_async import (
    AppendResult,
    BadRequestError,
    ConflictError,
    ConnectionLostError,
    DatasetSchema,
    DatasetStatus,
    DecodeError,
    JobStatus,
    OutcomeUnknownError,
    PollPolicy,
    Progress,
    RejectedRow,
    RequestTimeoutError,
    RetryPolicy,
    SchemaMigration,
    ServerError,
)
from prolific_async._validation import default_limit
from tests import samples
from tests.scripted import scripted
from tests.test_cycles import left_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SCHEMA = DatasetSchema.of(prompt="text")
KEYED = DatasetSchema.of(prompt="text", META_ROW_KEY="metadata")
V3 = samples.dataset("UNINITIALISED").to_dict()
V4 = samples.dataset(None, schema_version=4, schema=SCHEMA.to_dict(), imports=[]).to_dict()
WITH_KEY = V4 | {"schema": KEYED.to_dict()}
TAKEN = {"accepted": 1, "rejected": 0, "errors": []}


async def test_create_sends_what_was_given() -> None:
    async with scripted((201, V3), (201, V4)) as (client, service):
        dataset = await client.datasets.create("w1", name="Rows")
        assert (dataset.generation, dataset.status) == (3, DatasetStatus.UNINITIALISED)
        dataset = await client.datasets.create("w1", name="Rows", schema=SCHEMA)
        assert (dataset.generation, dataset.schema) == (4, SCHEMA)
    assert service.calls == [("POST", "/datasets")] * 2
    first, second = (one.json for one in service.received)
    assert first == {"workspace_id": "w1", "name": "Rows"}
    assert second == first | {"schema": SCHEMA.to_dict()}


async def test_a_dataset_is_read_by_id_and_by_itself() -> None:
    text = "6f0c1d2e-0000-4000-8000-0000000000ff"
    answers = [(200, V3), (200, V3), (200, {"status": "READY"}), (200, {})]
    async with scripted(*answers) as (client, service):
        dataset = await client.datasets.get(UUID(text))
        assert (await dataset.refresh()) == dataset
        assert await dataset.get_status() is DatasetStatus.READY
        assert await client.datasets.get_status("d2") is None
    assert service.calls == [
        ("GET", f"/datasets/{text}"),
        ("GET", "/datasets/d1"),
        ("GET", "/datasets/d1/status"),
        ("GET", "/datasets/d2/status"),
    ]


async def test_a_changed_schema_has_a_migration() -> None:
    answers = [(200, V4), (200, V4 | {"migration_job_id": "j-1"})]
    async with scripted(*answers) as (client, service):
        assert await client.datasets.update_schema("d1", SCHEMA) is None
        dataset = samples.dataset().bind(client.datasets)
        migration = await dataset.update_schema(SCHEMA)
        assert migration == SchemaMigration("j-1", "d1", JobStatus.PROCESSING)
    assert service.calls == [("PATCH", "/datasets/d1")] * 2
    assert [one.json for one in service.received] == [{"schema": SCHEMA.to_dict()}] * 2


@pytest.mark.parametrize(
    ("verb", "given", "options", "message"),
    [
        ("create", ["w 1"], {"name": "R"}, "cannot be an id"),
        ("create", ["w1"], {"name": " "}, "name must not be blank"),
        ("create", ["w1"], {"name": 5}, "name must be text"),
        ("create", ["w1"], {"name": "R", "schema": {"a": "text"}}, "must be a DatasetSchema"),
        ("get", [samples.batch()], {}, "an id must be text or a UUID, not Batch"),
        ("get_status", [".."], {}, "cannot be an id"),
        ("update_schema", ["d1", None], {}, "schema must be a DatasetSchema, not NoneType"),
        ("update_schema", ["", SCHEMA], {}, "cannot be an id"),
        ("append", ["", []], {}, "cannot be an id"),
        ("append", ["d1", []], {"key": 5}, "key must be the name of a column"),
        ("append", ["d1", []], {"timeout": 0}, "timeout must be above 0"),
        ("append", ["d1", []], {"timeout": -1}, "timeout must be a number"),
        ("append", ["d1", []], {"on_progress": 5}, "on_progress must be a plain function"),
        ("append", [samples.dataset(), [{}]], {}, "has no schema.*call upload"),
    ],
)
async def test_invalid_arguments_are_refused_before_anything_is_sent(
    verb: str, given: list[Any], options: dict[str, Any], message: str
) -> None:
    async with scripted() as (client, service):
        with pytest.raises(ValueError, match=message):
            await getattr(client.datasets, verb)(*given, **options)
    assert service.received == []


@pytest.mark.parametrize("records", [5, "text", b"bytes", {"prompt": "x"}])
async def test_what_is_no_iterable_of_records_is_refused(records: Any) -> None:
    async with scripted() as (client, service):
        with pytest.raises(TypeError):
            await client.datasets.append("d1", records)
    assert service.received == []


async def test_a_view_has_datasets_of_its_own() -> None:
    async with scripted((200, V3), (200, V3)) as (client, _):
        assert client.datasets is client.datasets
        view = client.with_options(retry=RetryPolicy(max_attempts=1))
        assert view.datasets is not client.datasets
        ours, theirs = await client.datasets.get("d1"), await view.datasets.get("d1")
        assert (ours._resource, theirs._resource) == (client.datasets, view.datasets)


# --- What is repeated -----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [None, (503, ""), (408, ""), (201, b"<html>")])
async def test_the_outcome_of_a_lost_call_is_unknown_at_once(lost: Any) -> None:
    async with scripted(lost, lost) as (client, service):
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.datasets.create("w1", name="Rows")
        assert str(caught.value) == (
            "POST /api/v1/data-collection/datasets may or may not have run; make another dataset: "
            "none can be listed, and one without rows costs nothing"
        )
        assert caught.value.failure is caught.value.__cause__
        with pytest.raises(OutcomeUnknownError, match="look at the dataset's schema before"):
            await client.datasets.update_schema("d1", SCHEMA)
    assert len(service.received) == 2


async def test_what_did_not_run_is_sent_again() -> None:
    async with scripted((429, ""), (201, V3), (429, ""), (200, V4)) as (client, service):
        await client.datasets.create("w1", name="Rows")
        await client.datasets.update_schema("d1", SCHEMA)
    assert [method for method, _ in service.calls] == ["POST", "POST", "PATCH", "PATCH"]


async def test_what_is_refused_is_raised() -> None:
    async with scripted((400, {}), (400, {})) as (client, _):
        with pytest.raises(BadRequestError):
            await client.datasets.create("w1", name="Rows")
        with pytest.raises(BadRequestError):
            await client.datasets.update_schema("d1", SCHEMA)


# --- append ---------------------------------------------------------------------------------------


def rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"prompt": str(number)} for number in range(count))


async def test_records_are_sent_in_slices_of_a_thousand() -> None:
    errors = [{"record_index": 7, "field": "prompt", "reason": "odd"}]
    told: list[Progress] = []
    answers = [
        (200, {"accepted": 1000, "rejected": 0, "errors": []}),
        (200, {"accepted": 999, "rejected": 1, "errors": errors}),
        (200, {"accepted": 1, "rejected": 0, "errors": []}),
    ]
    async with scripted(*answers) as (client, service):
        result = await client.datasets.append("d1", list(rows(2001)), on_progress=told.append)
    assert result == AppendResult(2000, 1, (RejectedRow(1006, "prompt", "odd"),))
    assert service.calls == [("POST", "/datasets/d1/datapoints")] * 3
    assert {one.headers["content-type"] for one in service.received} == {"application/x-ndjson"}
    lines = [one.body.decode().splitlines() for one in service.received]
    assert [len(one) for one in lines] == [1000, 1000, 1]
    assert json.loads(lines[2][0]) == {"prompt": "2000"}
    progress = [(one.step, one.done, one.total, one.unit) for one in told]
    assert progress == [("append", done, 2001, "records") for done in (1000, 2000, 2001)]
    assert all(one.elapsed >= 0 for one in told)


async def test_records_may_come_as_they_are_made() -> None:
    async def stream() -> AsyncIterator[dict[str, Any]]:
        for row in rows(2):
            await asyncio.sleep(0)
            yield row

    told: list[Progress] = []
    async with scripted((200, TAKEN), (200, TAKEN)) as (client, service):
        await client.datasets.append("d1", stream(), on_progress=told.append)
        dataset = samples.dataset(None, schema_version=4).bind(client.datasets)
        await dataset.append(rows(1))
    assert [one.body for one in service.received] == [
        b'{"prompt":"0"}\n{"prompt":"1"}\n',
        b'{"prompt":"0"}\n',
    ]
    assert [one.total for one in told] == [None]


async def test_no_records_are_no_request() -> None:
    async with scripted() as (client, _):
        assert await client.datasets.append("d1", []) == AppendResult(0, 0)


async def test_a_key_is_sent_a_second_time() -> None:
    async with scripted((200, WITH_KEY), (200, TAKEN), (200, TAKEN)) as (client, service):
        await client.datasets.append("d1", rows(1), key="prompt")
        dataset = samples.dataset(None, schema_version=4, schema=KEYED.to_dict())
        await client.datasets.append(dataset, rows(1), key="prompt")
    assert [method for method, _ in service.calls] == ["GET", "POST", "POST"]
    assert service.received[1].json == {"prompt": "0", "META_ROW_KEY": "0"}


async def test_a_key_needs_its_field_in_the_schema() -> None:
    dataset = samples.dataset(None, schema_version=4, schema=SCHEMA.to_dict())
    async with scripted((200, V4), (200, V4)) as (client, service):
        for given in ("d1", dataset):
            with pytest.raises(ValueError, match="must have the field 'META_ROW_KEY'"):
                await client.datasets.append(given, rows(1), key="prompt")
    assert [method for method, _ in service.calls] == ["GET", "GET"]


async def test_a_schema_that_was_changed_since_is_read_again() -> None:
    old = samples.dataset(None, schema_version=4, schema=SCHEMA.to_dict())
    async with scripted((200, WITH_KEY), (200, TAKEN)) as (client, service):
        assert (await client.datasets.append(old, rows(1), key="prompt")).accepted == 1
    assert [method for method, _ in service.calls] == ["GET", "POST"]


@pytest.mark.parametrize("lost", [None, (503, ""), (429, "")])
async def test_a_lost_slice_is_sent_again(lost: Any) -> None:
    async with scripted(lost, lost, (200, TAKEN)) as (client, service):
        assert (await client.datasets.append("d1", rows(1))).accepted == 1
    assert len({one.body for one in service.received}) == 1


async def test_a_busy_dataset_is_waited_for() -> None:
    busy: tuple[int, Any] = (409, {"detail": "an import runs"})
    async with scripted(busy, busy, busy, (200, TAKEN)) as (client, service):
        assert (await client.datasets.append("d1", rows(1))).accepted == 1
    assert len(service.received) == 4


async def test_a_dataset_that_stays_busy_is_given_up_at_the_end_of_the_timeout() -> None:
    poll = PollPolicy(initial=0.01, factor=100_000, maximum=1000)
    taken: tuple[int, Any] = (200, {"accepted": 999, "rejected": 1, "errors": []})
    busy: tuple[int, Any] = (409, {"detail": "an import runs"})
    async with scripted(taken, busy, busy, poll=poll) as (client, _):
        with pytest.raises(RequestTimeoutError) as caught:
            await client.datasets.append("d1", rows(1001), timeout=0.05)
    error = caught.value
    assert error.result == AppendResult(999, 1)
    assert isinstance(error.failure, ConflictError)
    assert "0.05 s were allowed for all records" in str(error)
    assert "refused the newest ones, as an import or a migration runs" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.result, str(again)) == (error.result, str(error))


async def test_an_error_in_the_middle_has_the_result_so_far() -> None:
    taken: tuple[int, Any] = (200, {"accepted": 1000, "rejected": 0, "errors": []})
    async with scripted(taken, (400, {}), taken, *[(500, "")] * 4, taken) as (client, _):
        with pytest.raises(BadRequestError) as refused:
            await client.datasets.append("d1", rows(1001))
        assert refused.value.result == AppendResult(1000, 0)
        with pytest.raises(ServerError) as failed:
            await client.datasets.append("d1", rows(1001))
        assert failed.value.result == AppendResult(1000, 0)
        assert failed.value.attempts == 4
        assert str(failed.value).count("try again") == 1

        records: list[dict[str, Any]] = [*rows(1500), {"prompt": float("nan")}]
        with pytest.raises(ValueError, match="row 1500") as wrong:
            await client.datasets.append("d1", records)
        result: Any = vars(wrong.value)["result"]
        assert result == AppendResult(1000, 0)


async def test_a_timeout_of_the_records_own_is_not_the_appends() -> None:
    def slow() -> Iterator[dict[str, Any]]:
        yield {"prompt": "x"}
        raise TimeoutError("of the database")

    async with scripted() as (client, _):
        with pytest.raises(TimeoutError, match="of the database") as caught:
            await client.datasets.append("d1", slow())
    assert not isinstance(caught.value, RequestTimeoutError)


async def test_the_first_ten_thousand_errors_are_kept() -> None:
    errors = [{"record_index": number, "field": None, "reason": "odd"} for number in range(1, 1001)]
    answer: tuple[int, Any] = (200, {"accepted": 0, "rejected": 1000, "errors": errors})
    async with scripted(*[answer] * 11) as (client, _):
        result = await client.datasets.append("d1", rows(11_000))
    assert result.rejected == 11_000
    assert [one.record_index for one in result.errors] == list(range(10_000))


async def test_what_on_progress_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    async with scripted((200, TAKEN)) as (client, _):
        with caplog.at_level(logging.ERROR, "prolific_async"):
            await client.datasets.append("d1", rows(1), on_progress=fail)
    assert [record.getMessage() for record in caplog.records] == ["on_progress raised"]


async def test_a_lost_connection_says_that_it_may_be_tried_again() -> None:
    async with scripted(*[None] * 4) as (client, _):
        with pytest.raises(ConnectionLostError, match=r"; try again"):
            await client.datasets.append("d1", rows(1))


@pytest.mark.parametrize(
    ("timeout", "records", "seconds"),
    [
        (1800.0, 1, 1800.0),
        (10.0, 100, 70.0),
        (10.0, None, 10.0),
        (None, 1, None),
    ],
)
def test_the_limit_grows_with_the_records(
    timeout: float | None, records: int | None, seconds: float | None
) -> None:
    assert default_limit(PollPolicy(timeout=timeout), records) == seconds


# --- What calls leave behind ----------------------------------------------------------------------


async def test_a_link_is_in_no_frame_of_an_error() -> None:
    link = "https://bucket.example/key?X-Amz-Signature=s3cret"
    async with scripted((201, {"upload_url": link, "http_method": 5})) as (client, _):
        with pytest.raises(DecodeError) as caught:
            await client.datasets._api.upload_url("d1", "rows.csv")
    in_package = [
        frame
        for frame, _ in traceback.walk_tb(caught.value.__traceback__)
        if "prolific_async/" in frame.f_code.co_filename
    ]
    assert in_package
    assert not [frame for frame in in_package if "s3cret" in repr(frame.f_locals)]


async def test_the_link_of_an_upload_expires_by_the_services_clock() -> None:
    """A minute after the ``Date`` of its response, whatever this machine's date is."""
    said = {"upload_url": "https://bucket.example/key", "expires_at": "2026-03-04T05:07:07Z"}
    now = asyncio.get_running_loop().time
    async with scripted((201, said)) as (client, _):
        before = now()
        link = (await client.datasets._api.upload_url("d1", "rows.csv")).presigned_url
        assert link.expires is not None
        assert before - 0.01 <= link.expires - 60 <= now() + 0.01  # as exact as floats are


async def test_an_upload_url_is_a_get_with_201() -> None:
    answer: tuple[int, Any] = (201, {"upload_url": "https://bucket.example/key"})
    async with scripted(answer, None, answer) as (client, service):
        for name in ("my rows.csv", "rows.zip"):
            url = await client.datasets._api.upload_url("d1", name)
            assert str(url.presigned_url.reveal()) == "https://bucket.example/key"
    assert service.calls == [
        ("GET", "/datasets/d1/upload-url/my%20rows.csv"),
        *[("GET", "/datasets/d1/upload-url/rows.zip")] * 2,
    ]


@pytest.mark.parametrize(
    "answers",
    [
        [(200, TAKEN)],
        [(400, {})],
        [(409, {}), (409, {})],
        [(409, {}), (200, TAKEN)],
        [None] * 4,
    ],
    ids=repr,
)
async def test_an_append_leaves_no_reference_cycle(answers: list[Any]) -> None:
    poll = PollPolicy(initial=0.001, factor=100_000, maximum=1000)
    async with scripted(*answers, poll=poll) as (client, _):

        async def call() -> None:
            await client.datasets.append("d1", [{"prompt": "x"}], timeout=0.05)

        assert await left_by(call) == []


@pytest.mark.parametrize("step", range(1, 30))
async def test_a_cancelled_append_closes_the_records(step: int) -> None:
    told: list[str] = []

    async def stream() -> AsyncIterator[dict[str, Any]]:
        told.append("begun")
        try:
            for row in rows(3):
                await asyncio.sleep(0)
                yield row
        finally:
            told.append("closed")

    async with scripted((409, {}), (200, TAKEN)) as (client, service):
        task = asyncio.ensure_future(client.datasets.append("d1", stream()))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            assert (await task).accepted == 1
        assert told in ([], ["begun", "closed"])
        await asyncio.sleep(0.01)
        service.answers.clear()
