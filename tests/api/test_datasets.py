"""Requests of datasets and how their responses are read, without any I/O."""

import json
import pickle
from typing import Any
from urllib.parse import unquote

import pytest

from prolific_async import (
    AppendResult,
    DatasetSchema,
    DatasetStatus,
    DecodeError,
    ImportJob,
    JobStatus,
    RejectedRow,
    SchemaMigration,
)
from prolific_async._api import datasets as api
from prolific_async._api.upload_urls import UploadUrl, read_upload_url
from prolific_async._http import responses
from prolific_async._http.request import Request

DATASETS = "/api/v1/data-collection/datasets"
DATE = "Wed, 04 Mar 2026 05:06:07 GMT"
LINK = "https://bucket.example/key?X-Amz-Signature=s3cret"
URL = {
    "dataset_id": "d-1",
    "upload_url": LINK,
    "http_method": "PUT",
    "content_type": "text/plain",
    "expires_at": "2026-03-04T05:07:07Z",
    "import_id": "i-1",
}


def read(request: Request, data: Any) -> Any:
    assert request.read is not None
    return request.read(data, request.method, request.path)


def test_requests_of_the_endpoints() -> None:
    create = api.create_dataset("w-1", name="Rows")
    assert (create.method, create.target) == ("POST", DATASETS)
    assert json.loads(create.body or b"") == {"name": "Rows", "workspace_id": "w-1"}
    schema = DatasetSchema.of(prompt="text").to_dict()
    create = api.create_dataset("w-1", name="Rows", schema=schema)
    assert json.loads(create.body or b"")["schema"] == {
        "strict": True,
        "fields": {"prompt": {"type": "text"}},
    }
    update = api.update_dataset_schema("d/1", schema)
    assert (update.method, update.target) == ("PATCH", f"{DATASETS}/d%2F1")
    assert json.loads(update.body or b"") == {"schema": schema}
    append = api.append_datapoints("d/1", b'{"a": 1}\n', first=0)
    assert (append.method, append.target) == ("POST", f"{DATASETS}/d%2F1/datapoints")
    assert (append.body, append.content_type) == (b'{"a": 1}\n', "application/x-ndjson")
    gets = {
        "": api.get_dataset("d/1"),
        "/status": api.get_dataset_status("d/1"),
        "/imports/i%2F1": api.get_import("d/1", "i/1"),
        "/schema-migrations/j%2F1": api.get_schema_migration("d/1", "j/1"),
        "/upload-url/rows.csv": api.get_upload_url("d/1", "rows.csv"),
    }
    for end, request in gets.items():
        assert (request.method, request.body) == ("GET", None)
        assert request.target == f"{DATASETS}/d%2F1{end}"


def test_every_path_begins_with_the_path_of_the_gateway() -> None:
    assert api.create_dataset("w-1", name="R", prefix="/g").path == f"/g{DATASETS}"
    of_dataset = f"/g{DATASETS}/d-1"
    paths = {
        "": [
            api.get_dataset("d-1", prefix="/g"),
            api.update_dataset_schema("d-1", {}, prefix="/g"),
        ],
        "/status": [api.get_dataset_status("d-1", prefix="/g")],
        "/upload-url/a.csv": [api.get_upload_url("d-1", "a.csv", prefix="/g")],
        "/imports/i-1": [api.get_import("d-1", "i-1", prefix="/g")],
        "/datapoints": [api.append_datapoints("d-1", b"", first=0, prefix="/g")],
        "/schema-migrations/j-1": [api.get_schema_migration("d-1", "j-1", prefix="/g")],
    }
    for end, requests in paths.items():
        assert {request.path for request in requests} == {of_dataset + end}


@pytest.mark.parametrize("name", ["a b.csv", "ü?#%.csv", "..csv", "+&=.jsonl", "日本.zip"])
def test_a_filename_is_one_segment_that_decodes_to_it(name: str) -> None:
    segment = api.get_upload_url("d-1", name).path.rpartition("/")[2]
    assert segment.isascii()
    assert unquote(segment) == name
    assert not set(segment) & set("/?# ")


@pytest.mark.parametrize("name", ["", "..", "a/b.csv", "a.txt", "\ud800.csv"])
def test_what_is_no_filename_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        api.get_upload_url("d-1", name)


# --- Readers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [({}, None), ({"status": None}, None), ({"status": "READY"}, DatasetStatus.READY)],
)
def test_a_status_may_be_missing(data: Any, status: DatasetStatus | None) -> None:
    assert read(api.get_dataset_status("d-1"), data) is status


def test_an_unseen_status_is_kept() -> None:
    assert read(api.get_dataset_status("d-1"), {"status": "PARKED"}) == "PARKED"
    with pytest.raises(DecodeError) as caught:
        read(api.get_dataset_status("d-1"), {"status": 5})
    assert caught.value.problems == ("$.status: a string is needed, not an integer",)


def test_an_import_is_read() -> None:
    wire = {
        "dataset_id": "d-1",
        "import_id": "i-1",
        "type": "file_upload",
        "created_at": "2026-03-04T05:06:07Z",
        "updated_at": "2026-03-04T05:06:08Z",
        "status": "partial",
        "accepted_count": 1,
        "rejected_count": 2,
        "errors": [{"record_index": None, "field": "_raw", "reason": "bad"}, {"record_index": 3}],
        "written_count": 1,
    }
    job = read(api.get_import("d-1", "i-1"), wire)
    assert isinstance(job, ImportJob)
    assert (job.id, job.status) == ("i-1", JobStatus.PARTIAL)
    assert job.errors == (RejectedRow(None, "_raw", "bad"), RejectedRow(3))
    assert job.extra == {"written_count": 1}
    assert job.to_dict() == wire
    assert read(api.get_import("d-1", "i-1"), {"import_id": "i", "status": "new"}).errors is None


def test_a_migration_is_read() -> None:
    wire = {
        "dataset_id": "d-1",
        "job_id": "j-1",
        "schema_version": "2",
        "created_at": "2026-03-04T05:06:07Z",
        "updated_at": "2026-03-04T05:06:08Z",
        "status": "partial",
        "failed_count": 1,
        "errors": [{"datapoint_id": "p-1", "field": "a", "reason": "missing"}],
    }
    migration = read(api.get_schema_migration("d-1", "j-1"), wire)
    assert isinstance(migration, SchemaMigration)
    assert (migration.id, migration.schema_version) == ("j-1", 2)
    assert migration.to_dict() == wire | {"schema_version": 2}


def test_places_of_rejected_records_are_counted_over_the_whole_stream() -> None:
    request = api.append_datapoints("d-1", b"", first=2000)
    errors = [{"record_index": one, "field": "a", "reason": "r"} for one in (1, 1000, None)]
    result = read(request, {"accepted": 998, "rejected": 3, "errors": errors, "more": 1})
    assert isinstance(result, AppendResult)
    assert [error.record_index for error in result.errors] == [2000, 2999, None]
    assert (result.accepted, result.rejected, result.extra) == (998, 3, {"more": 1})
    nothing: list[dict[str, Any]] = [{}, {"errors": None}, {"errors": []}]
    for none in nothing:
        assert read(request, {"accepted": 1, "rejected": 0} | none).errors == ()
    unreadable: list[Any] = [{"accepted": 1}, {"accepted": 1, "rejected": 0, "errors": 5}, [], None]
    for bad in unreadable:
        with pytest.raises(DecodeError):
            read(request, bad)


# --- Links are secrets --------------------------------------------------------------------------


def read_url(data: Any, filename: str = "rows.csv") -> UploadUrl:
    request = api.get_upload_url("d-1", filename)
    assert (request.read, request.hides_response) == (None, True)
    return read_upload_url(
        data, {"Date": DATE}, 1000.0, filename=filename, call=(request.method, request.path)
    )


def test_an_upload_url_is_read() -> None:
    link, import_id = read_url(URL)
    assert str(link.reveal()) == LINK
    assert (link.method, link.content_type, import_id) == ("PUT", "text/plain", "i-1")
    assert link.expires == 1000 + 60
    older = read_url({"upload_url": LINK}, "rows.jsonl")
    assert (older.presigned_url.method, older.presigned_url.content_type) == (
        "PUT",
        "application/x-ndjson",
    )
    assert (older.presigned_url.expires, older.import_id) == (None, None)


def test_a_link_is_in_no_repr_and_no_pickle() -> None:
    url = read_url(URL)
    assert "s3cret" not in repr(url)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(url)


@pytest.mark.parametrize("bad", [URL | {"expires_at": "soon"}, URL | {"http_method": 5}, [URL]])
def test_a_link_is_in_no_error_about_the_form_of_a_response(bad: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        read_url(bad)
    check_hidden(caught.value)


@pytest.mark.parametrize("body", [json.dumps(URL).encode()[:-1], LINK.encode()])
def test_a_link_is_in_no_error_about_what_is_no_json(body: bytes) -> None:
    request = api.get_upload_url("d-1", "rows.csv")
    with pytest.raises(DecodeError) as caught:
        responses.decode(request, 201, {"Content-Type": "application/json"}, body)
    check_hidden(caught.value)


def check_hidden(error: DecodeError) -> None:
    assert error.body is None
    assert error.problems
    told = [str(error), repr(vars(error)), repr(error.args), repr(error.__context__)]
    assert "s3cret" not in "".join(told)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), error.problems)
