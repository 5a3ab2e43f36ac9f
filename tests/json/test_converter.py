"""Conversion between JSON and models: what is accepted, kept and refused."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from attrs import NOTHING, evolve, fields
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from prolific_async import (
    Batch,
    BatchStatus,
    DatasetRef,
    DatasetSchema,
    DecodeError,
    SchemaField,
    TaskDetails,
)
from prolific_async._json.converter import WireModel, load
from tests.costs import cost_of
from tests.fuzz.strategies import batches, counts, json_values, texts, unknown_keys

FULL: dict[str, Any] = {
    "id": "6f0c1d2e-0000-4000-8000-000000000001",
    "created_at": "2026-05-04T03:02:01.123456Z",
    "created_by": "5f0000000000000000000001",
    "datasets": [
        {"id": "d-1", "total_datapoint_count": 12, "filename": "a.csv", "later": {"x": [1, None]}},
        {"id": "d-2", "total_datapoint_count": 0, "filename": None},
        {"id": "d-3", "total_datapoint_count": 7},
    ],
    "name": "Round 2",
    "status": "PROCESSING",
    "total_task_count": 3,
    "total_instruction_count": 2,
    "workspace_id": "6f0000000000000000000002",
    "task_details": {
        "task_name": "Poll",
        "task_introduction": "<p>Hello</p>",
        "task_steps": "<ol></ol>",
        "colour": None,
    },
    "schema_version": 4,
    "total_task_groups": 5,
    "batch_items": [{"id": "p-1", "rows": [{"columns": []}]}, {}],
    "auto_sync_enabled": False,
    "tasks_per_group": 1,
    "news": {"of": ["tomorrow", 1.5, True, None]},
}

SEED = (
    "id",
    "created_at",
    "created_by",
    "datasets",
    "name",
    "status",
    "total_task_count",
    "total_instruction_count",
    "workspace_id",
)
OPTIONAL = (
    "task_details",
    "schema_version",
    "total_task_groups",
    "batch_items",
    "auto_sync_enabled",
    "tasks_per_group",
)

# One value of each JSON type; the keys are the names used below.
JSON_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "integer": 7,
    "fraction": 1.5,
    "whole fraction": 7.0,
    "string": "words",
    "digits": "7",
    "empty string": "",
    "array": ["x"],
    "empty array": [],
    "object": {"x": 1},
    "empty object": {},
}
STRINGS = {"string", "digits", "empty string"}
NONE: set[str] = set()

Keys = tuple[str | int, ...]

# Places in FULL, with the JSON_VALUES that are valid there.
PLACES: dict[Keys, set[str]] = {
    ("id",): STRINGS,
    ("created_at",): NONE,
    ("created_by",): STRINGS,
    ("datasets",): {"empty array", "null"},
    ("datasets", 0): NONE,
    ("datasets", 0, "id"): STRINGS,
    ("datasets", 1, "total_datapoint_count"): {"integer"},
    ("datasets", 2): NONE,
    ("datasets", 0, "filename"): STRINGS | {"null"},
    ("name",): STRINGS,
    ("status",): STRINGS,
    ("total_task_count",): {"integer"},
    ("total_instruction_count",): {"integer"},
    ("workspace_id",): STRINGS,
    ("task_details",): {"null"},
    ("task_details", "task_name"): STRINGS,
    ("task_details", "task_introduction"): STRINGS | {"null"},
    ("task_details", "task_steps"): STRINGS | {"null"},
    ("schema_version",): {"integer", "digits", "null"},
    ("total_task_groups",): {"integer", "null"},
    ("batch_items",): {"empty array", "null"},
    ("batch_items", 1): {"object", "empty object"},
    ("auto_sync_enabled",): {"true", "false", "null"},
    ("tasks_per_group",): {"integer", "null"},
    ("news",): set(JSON_VALUES),
    ("datasets", 0, "later"): set(JSON_VALUES),
    ("task_details", "colour"): set(JSON_VALUES),
}

WRONG = [
    (keys, name)
    for keys, allowed in PLACES.items()
    for name in JSON_VALUES
    # Arrays and objects have faults inside; see below.
    if name not in allowed
    and not (name == "array" and keys in {("datasets",), ("batch_items",)})
    and not (
        name in {"object", "empty object"}
        and keys in {("datasets", 0), ("datasets", 2), ("task_details",)}
    )
]

tried_often = settings(max_examples=50)


def with_value(keys: Keys, value: Any) -> dict[str, Any]:
    """Return FULL with another value at one place."""
    wire = copy.deepcopy(FULL)
    put(wire, keys, value)
    return wire


def put(wire: Any, keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        wire = wire[key]
    wire[keys[-1]] = value


def path_of(keys: Keys) -> str:
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


def faults(read: Callable[[], object]) -> dict[str, str]:
    """Return the reason of each problem of a DecodeError, by path."""
    with pytest.raises(DecodeError) as caught:
        read()
    problems = caught.value.problems
    assert isinstance(problems, tuple)
    assert len(problems) == len({problem.partition(": ")[0] for problem in problems})
    return {path: reason for path, _, reason in (problem.partition(": ") for problem in problems)}


def faults_of(wire: Any) -> dict[str, str]:
    return faults(lambda: Batch.from_dict(wire))


def only_json(thing: Any) -> bool:
    if type(thing) is dict:
        return all(type(key) is str and only_json(value) for key, value in thing.items())
    if type(thing) is list:
        return all(only_json(item) for item in thing)
    return thing is None or type(thing) in (str, int, float, bool)


@given(wire=batches)
@tried_often
def test_a_batch_keeps_its_wire_form(wire: dict[str, Any]) -> None:
    before = copy.deepcopy(wire)
    batch = Batch.from_dict(wire)
    again = batch.to_dict()
    assert again == wire == before
    assert json.loads(json.dumps(again)) == wire
    assert Batch.from_dict(again) == batch
    assert Batch.from_dict(again).to_dict() == wire
    assert pickle.loads(pickle.dumps(batch)).to_dict() == wire
    assert copy.deepcopy(batch).to_dict() == wire


@given(wire=batches)
@tried_often
def test_exactly_the_unknown_keys_are_extra(wire: dict[str, Any]) -> None:
    batch = Batch.from_dict(wire)
    assert dict(batch.extra) == {
        key: value for key, value in wire.items() if key not in {*SEED, *OPTIONAL}
    }
    for key in SEED[4:]:
        assert getattr(batch, key) == wire[key]
    for key in ("schema_version", "total_task_groups", "auto_sync_enabled", "tasks_per_group"):
        assert getattr(batch, key) == wire.get(key)


def moments_of(zone: Any) -> st.SearchStrategy[datetime]:
    low, high = datetime(1, 1, 3), datetime(9999, 12, 28)  # noqa: DTZ001 - bounds of all zones
    return st.datetimes(low, high, timezones=zone)


@given(
    batch=st.builds(
        Batch,
        id=texts,
        created_at=moments_of(st.just(UTC)),
        created_by=texts,
        datasets=st.lists(
            st.builds(
                DatasetRef,
                id=texts,
                total_datapoint_count=counts,
                filename=st.none() | texts,
                extra=unknown_keys({"id", "total_datapoint_count", "filename"}),
            ),
            max_size=2,
        ).map(tuple),
        name=texts,
        status=texts.map(BatchStatus),
        total_task_count=counts,
        total_instruction_count=counts,
        workspace_id=texts,
        task_details=st.none() | st.builds(TaskDetails, task_name=texts),
        batch_items=st.none()
        | st.lists(st.dictionaries(texts, json_values, max_size=2), max_size=2).map(tuple),
        extra=unknown_keys({*SEED, *OPTIONAL}),
    )
)
@tried_often
def test_a_batch_built_by_hand_comes_back_equal(batch: Batch) -> None:
    wire = batch.to_dict()
    assert json.loads(json.dumps(wire)) == wire
    assert Batch.from_dict(wire) == batch
    assert pickle.loads(pickle.dumps(batch)) == batch


def test_the_wire_form_is_of_plain_json_types() -> None:
    for status in ("READY", "SYNCING"):
        wire = Batch.from_dict({**FULL, "status": status}).to_dict()
        assert {key for key, value in wire.items() if not only_json(value)} == set()


@pytest.mark.parametrize("absent", [*OPTIONAL, "news"])
def test_absent_and_null_keys_stay_different(absent: str) -> None:
    without = {key: value for key, value in FULL.items() if key != absent}
    null = {**FULL, absent: None}
    assert Batch.from_dict(without).to_dict() == without
    assert Batch.from_dict(null).to_dict() == null


def test_null_datasets_are_an_empty_tuple() -> None:
    null = {**FULL, "datasets": None}
    batch = Batch.from_dict(null)
    assert batch.datasets == ()
    assert batch == Batch.from_dict({**FULL, "datasets": []})
    assert null["datasets"] is None
    for again in (Batch.from_dict(batch.to_dict()), pickle.loads(pickle.dumps(batch))):
        assert again == batch
        assert again.to_dict() == null
    given = evolve(batch, datasets=(DatasetRef("d", 1),))
    assert given.to_dict()["datasets"] == [{"id": "d", "total_datapoint_count": 1}]


def test_a_model_that_was_read_is_of_its_class_and_frozen() -> None:
    batch = Batch.from_dict(FULL)
    assert batch.task_details is not None
    for model in (batch, batch.datasets[0], batch.task_details):
        assert type(model) in (Batch, DatasetRef, TaskDetails)
        with pytest.raises(FrozenInstanceError):
            model.extra = {}  # type: ignore[misc]  # what the test is about
        with pytest.raises(FrozenInstanceError):
            del model.extra  # as above


def test_every_field_has_its_type() -> None:
    batch = Batch.from_dict(FULL)
    assert batch.created_at == datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
    assert batch.created_at.tzinfo is UTC
    assert batch.status is BatchStatus.PROCESSING
    assert isinstance(batch.datasets, tuple)
    assert [dataset.filename for dataset in batch.datasets] == ["a.csv", None, None]
    assert isinstance(batch.batch_items, tuple)
    assert batch.task_details is not None
    assert dict(batch.task_details.extra) == {"colour": None}
    assert dict(batch.datasets[0].extra) == {"later": {"x": [1, None]}}
    assert dict(batch.extra) == {"news": FULL["news"]}


def test_the_ten_fields_of_the_seeds_are_enough() -> None:
    wire = {key: FULL[key] for key in (*SEED, "task_details")}
    batch = Batch.from_dict(wire)
    assert [getattr(batch, key) for key in OPTIONAL[1:]] == [None] * 5
    assert batch.to_dict() == wire


# These check what is made by hand, and read what the service sends.
CHECKED = {DatasetSchema, SchemaField}


@pytest.mark.parametrize(
    "model",
    [model for model in WireModel.__subclasses__() if model not in CHECKED],
    ids=lambda model: model.__name__,
)
def test_reading_can_skip_the_init_of_every_model(model: type[WireModel]) -> None:
    assert not hasattr(model, "__attrs_post_init__")
    for one in fields(model):
        assert one.validator is None
        assert one.converter is None or one.name == "extra"
        assert one.default in (NOTHING, None) or one.name in ("extra", "_nulls")


def test_extra_is_read_only_and_independent_of_the_given_mapping() -> None:
    wire = copy.deepcopy(FULL)
    batch = Batch.from_dict(wire)
    assert batch.task_details is not None
    for mapping in (batch.extra, batch.task_details.extra, batch.datasets[1].extra):
        with pytest.raises(TypeError):
            mapping["more"] = 1  # type: ignore[index]  # that it is refused is the point
    assert batch.batch_items is not None
    with pytest.raises(TypeError):
        batch.batch_items[0]["more"] = 1  # type: ignore[index]  # as above
    wire["news"]["of"].append("changed")
    wire["batch_items"][0]["rows"].append("changed")
    wire["datasets"][0]["later"]["x"].append("changed")
    assert batch.to_dict() == FULL


def test_extra_given_by_hand_is_a_copy() -> None:
    given = {"new": 1}
    details = TaskDetails("x", extra=given)
    given["new"] = 2
    assert details.extra == {"new": 1}
    with pytest.raises(TypeError):
        details.extra["new"] = 3  # type: ignore[index]  # that it is refused is the point


def test_the_result_of_to_dict_can_be_changed() -> None:
    batch = Batch.from_dict(FULL)
    wire = batch.to_dict()
    wire["news"]["of"].clear()
    wire["datasets"][0]["later"]["x"].clear()
    wire["batch_items"][0]["rows"][0]["columns"].append(1)
    wire["task_details"]["task_name"] = "changed"
    assert batch.to_dict() == FULL


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-04T03:02:01Z", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04T03:02:01.5Z", datetime(2026, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC)),
        ("2026-05-04T03:02:01.123456789Z", datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)),
        ("2026-05-04T03:02:01+00:00", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04T05:02:01+02:00", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-03T22:32:01-04:30", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04T03:02:01", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04T03:02:01z", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04t03:02:01z", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04t03:02:01.5+00:00", datetime(2026, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC)),
        ("2026-05-04 03:02:01Z", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04T03:02:01.1234567z", datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)),
        ("2026-05-04T03:02:01.9999999Z", datetime(2026, 5, 4, 3, 2, 1, 999999, tzinfo=UTC)),
        (f"2026-05-04T03:02:01.{'1' * 99}Z", datetime(2026, 5, 4, 3, 2, 1, 111111, tzinfo=UTC)),
        ("2026-05-04T03:02Z", datetime(2026, 5, 4, 3, 2, tzinfo=UTC)),
        ("2026-05-04T03:02:01-00:00", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04T05:02:01+0200", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2026-05-04 05:02:01.5+02", datetime(2026, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC)),
        ("2026-05-05T03:01:01+23:59", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)),
        ("2028-02-29T23:59:59Z", datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31t23:59:60.25z", datetime(2017, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2016-12-31T18:59:60-05:00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_aware_and_utc(text: str, moment: datetime) -> None:
    read = Batch.from_dict({**FULL, "created_at": text}).created_at
    assert read == moment
    assert read.utcoffset() == timedelta(0)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-04T03:02:01Z",
        "2026-05-04T25:02:01Z",
        "2026-05-04",
        "20260504",
        "20260504T030201Z",
        "2026-05-04T030201Z",
        "2026-05-04T03Z",
        "2026-W19",
        "2026-W19-1",
        "2026-W19-1T03:02:01Z",
        "2026-124T03:02:01Z",
        "2026-05-04x03:02:01Z",
        "2026-05-04T03:02:01,5Z",
        "2026-05-04T03:02:01.Z",
        "2026-05-04T03:02:01 Z",
        " 2026-05-04T03:02:01Z",
        "2026-05-04T03:02:01Z\n",
        "2026-05-04T24:00:00Z",
        "2026-05-04T03:02:60Z",
        "2026-05-04T03:02:61Z",
        "2026-05-04T03:60:00Z",
        "2027-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "2026-05-04T03:02:01+24:00",
        "2026-05-04T03:02:01+01:60",
        "2026-05-04T03:02:01+01:30:15",
        "2026-05-04T03:02:01+1:30",
        "2026-05-04T03:02:01GMT",
        "\uff12026-05-04T03:02:01Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2026-05-04T03:02:01Z" * 1000,
        "a @ b",
        "$.id: x",
        "1777777777",
        "\ud800",
    ],
)
def test_invalid_times_are_faults(text: str) -> None:
    reasons = faults_of({**FULL, "created_at": text})
    assert list(reasons) == ["$.created_at"]
    assert "needed" in reasons["$.created_at"]
    assert len(reasons["$.created_at"]) < 200


@given(text=st.text(alphabet=st.sampled_from("0123456789-:TZtz.+ W\uff12")) | st.text())
@tried_often
def test_any_text_is_read_as_a_time_or_refused(text: str) -> None:
    try:
        batch = Batch.from_dict({**FULL, "created_at": text})
    except DecodeError as error:
        (problem,) = error.problems
        told = problem.startswith("$.created_at: ")
    else:
        told = batch.created_at.tzinfo is UTC and Batch.from_dict(batch.to_dict()) == batch
    assert told


@pytest.mark.parametrize(
    ("sent", "version"), [(4, 4), ("4", 4), (0, 0), ("0", 0), ("12", 12), (None, None)]
)
def test_the_schema_version_comes_as_a_number_or_as_digits(sent: Any, version: int | None) -> None:
    batch = Batch.from_dict({**FULL, "schema_version": sent})
    assert batch.schema_version == version
    assert type(batch.schema_version) is type(version)
    assert batch.to_dict()["schema_version"] == version


@pytest.mark.parametrize(
    "sent",
    ["", " 4", "4 ", "v4", "4.0", "+4", "4_0", "\u0664", "²", "9" * 5000, 4.0, True, [4], {"v": 4}],
)
def test_other_schema_versions_are_faults(sent: Any) -> None:
    assert list(faults_of({**FULL, "schema_version": sent})) == ["$.schema_version"]


@pytest.mark.parametrize("keys", PLACES, ids=path_of)
def test_a_wrong_type_is_a_fault_at_exactly_its_path(keys: Keys) -> None:
    for wrong in (name for place, name in WRONG if place == keys):
        reasons = faults_of(with_value(keys, JSON_VALUES[wrong]))
        assert list(reasons) == [path_of(keys)], wrong
        assert reasons[path_of(keys)]
        assert "prolific_async" not in reasons[path_of(keys)]


@pytest.mark.parametrize("keys", PLACES, ids=path_of)
def test_values_of_the_right_type_are_unchanged(keys: Keys) -> None:
    for right in PLACES[keys]:
        wire = with_value(keys, JSON_VALUES[right])
        again = Batch.from_dict(wire).to_dict()
        if (keys, right) == (("schema_version",), "digits"):
            wire["schema_version"] = 7
        # As JSON text, for which 1, 1.0 and true are not the same.
        assert json.dumps(again, sort_keys=True) == json.dumps(wire, sort_keys=True)


@pytest.mark.parametrize(
    ("keys", "value", "paths"),
    [
        (("datasets",), ["x", {}], {"$.datasets[0]", "$.datasets[1].id"}),
        (("datasets", 2), {}, {"$.datasets[2].id", "$.datasets[2].total_datapoint_count"}),
        (("batch_items",), ["x", {}, 1], {"$.batch_items[0]", "$.batch_items[2]"}),
        (("task_details",), {}, {"$.task_details.task_name"}),
        (("task_details",), {"task_name": None, "task_steps": 1}, {"$.task_details.task_steps"}),
    ],
)
def test_nested_faults_have_their_path(keys: Keys, value: Any, paths: set[str]) -> None:
    assert set(faults_of(with_value(keys, value))) >= paths


def independent(keys: Keys, others: list[Keys]) -> bool:
    return not any(keys[: len(other)] == other or other[: len(keys)] == keys for other in others)


@given(picked=st.lists(st.sampled_from(WRONG), min_size=1, max_size=10))
@tried_often
def test_all_faults_are_reported_and_no_others(picked: list[tuple[Keys, str]]) -> None:
    wire = copy.deepcopy(FULL)
    spoilt: list[Keys] = []
    for keys, name in picked:
        if independent(keys, spoilt):
            put(wire, keys, JSON_VALUES[name])
            spoilt.append(keys)
    assert set(faults_of(wire)) == {path_of(keys) for keys in spoilt}


@given(missing=st.sets(st.sampled_from(SEED), min_size=1))
@tried_often
def test_every_missing_key_is_reported(missing: set[str]) -> None:
    wire = {key: value for key, value in FULL.items() if key not in missing}
    reasons = faults_of(wire)
    assert set(reasons) == {f"$.{key}" for key in missing}
    assert all("missing" in reason for reason in reasons.values())


def test_an_empty_mapping_misses_everything() -> None:
    assert set(faults_of({})) == {f"$.{key}" for key in SEED}


@pytest.mark.parametrize("data", [None, [], [FULL], "x", "", 5, 1.5, True, b"{}", object()])
@pytest.mark.parametrize("cls", [Batch, DatasetRef, TaskDetails])
def test_a_document_that_is_not_an_object_is_one_fault_at_the_root(cls: Any, data: Any) -> None:
    reasons = faults(lambda: load(cls, data))
    assert list(reasons) == ["$"]
    assert reasons["$"].startswith("an object is needed, not ")
    assert list(faults(lambda: cls.from_dict(data))) == ["$"]


def test_any_kind_of_mapping_is_read() -> None:
    assert Batch.from_dict(MappingProxyType(FULL)) == Batch.from_dict(FULL)


def test_the_reason_says_what_is_needed_and_what_came() -> None:
    assert faults_of({**FULL, "id": None})["$.id"] == "a string is needed, not null"
    assert faults_of({**FULL, "total_task_count": "3"})["$.total_task_count"] == (
        "an integer is needed, not a string"
    )
    assert faults_of({**FULL, "task_details": ["x"]})["$.task_details"] == (
        "an object is needed, not an array"
    )


def test_a_fault_of_a_response_names_its_call() -> None:
    wire = {**FULL, "id": 5}
    with pytest.raises(DecodeError) as caught:
        load(Batch, wire, "GET", "/api/v1/data-collection/batches/b-1")
    error = caught.value
    assert (error.method, error.path) == ("GET", "/api/v1/data-collection/batches/b-1")
    assert error.body == wire
    assert error.problems == ("$.id: a string is needed, not an integer",)
    assert "GET /api/v1/data-collection/batches/b-1" in str(error)
    assert "$.id" in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_paths_of_faults_start_at_the_root_of_the_response() -> None:
    wire = [FULL, {**FULL, "id": 5, "datasets": [{}]}, None]
    paths = faults(lambda: load(tuple[Batch, ...], wire, "GET", "/x", at="$.results"))
    assert set(paths) == {
        "$.results[1].id",
        "$.results[1].datasets[0].id",
        "$.results[1].datasets[0].total_datapoint_count",
        "$.results[2]",
    }
    assert set(faults(lambda: load(tuple[Batch, ...], {}, at="$.results"))) == {"$.results"}
    assert set(faults(lambda: load(BatchStatus, 5, at="$.status"))) == {"$.status"}


def test_a_fault_of_a_mapping_names_no_call() -> None:
    with pytest.raises(DecodeError) as caught:
        Batch.from_dict({})
    assert (caught.value.method, caught.value.path) == (None, None)
    assert "None" not in str(caught.value)


@pytest.mark.parametrize(
    "news",
    [
        MappingProxyType({"a": 1}),
        [MappingProxyType({"a": 1})],
        (part for part in [1]),
        json.loads("[" * 700 + "]" * 700),
    ],
    ids=["proxy", "proxy inside", "generator", "deep"],
)
def test_any_nested_value_is_read_or_a_fault(news: Any) -> None:
    # The same for parts of another batch, whose mappings are read-only.
    for changed in ({"news": news}, {"batch_items": [{"a": news}]}, {"batch_items": [news]}):
        wire = {**FULL, **changed}
        try:
            batch = Batch.from_dict(wire)
        except DecodeError:
            continue
        assert Batch.from_dict(batch.to_dict()) == batch


def nested(depth: int) -> Iterator[Any]:
    yield json.loads("[" * depth + "]" * depth)
    yield json.loads('{"a":' * depth + "1" + "}" * depth)


def test_deeply_nested_unknown_values_are_kept() -> None:
    for deep in nested(100):
        wire = {**FULL, "news": deep}
        batch = Batch.from_dict(wire)
        assert batch.to_dict() == wire
        assert pickle.loads(pickle.dumps(batch)) == batch


def test_a_value_nested_too_deep_to_be_copied_is_one_fault() -> None:
    for deep in nested(900):
        wire = {**FULL, "news": deep}
        assert faults_of(wire) == {"$": "nested too deep"}
        batch = load(Batch, wire)
        assert batch == load(Batch, wire)
        copies: tuple[Callable[[], object], ...] = (batch.to_dict, lambda: pickle.dumps(batch))  # noqa: B023
        for copied in copies:
            with pytest.raises(DecodeError, match="nested too deep"):
                copied()


@pytest.mark.parametrize("bad", [5, {}, {"id": 5, "total_datapoint_count": None}], ids=str)
def test_at_most_a_hundred_faults_of_an_array_are_reported(bad: Any) -> None:
    told: list[str] = []

    def read() -> None:
        with pytest.raises(DecodeError) as caught:
            Batch.from_dict({**FULL, "datasets": [bad] * 1_000_000, "batch_items": [5] * 1000})
        told[:] = caught.value.problems

    good = {**FULL, "datasets": FULL["datasets"][:1] * 10_000}
    # Hardly more than good ones cost; dozens of times as much, and gigabytes, if all were.
    limit = 5 * 100 * cost_of(lambda: Batch.from_dict(good))
    assert cost_of(read, limit) < limit
    first = [one for one in told if one.startswith("$.datasets[")]
    assert len(first) in (100, 200)
    assert first[0].startswith("$.datasets[0]")
    assert "$.batch_items[0]: an object is needed, not an integer" in told


def test_nested_faults_count_towards_the_limit() -> None:
    batches = [{**FULL, "datasets": [5] * 60}, FULL, *[{**FULL, "datasets": [5] * 60}] * 1000]
    paths = faults(lambda: load(tuple[Batch, ...], batches))
    assert len(paths) == 120
    assert {"$[0].datasets[59]", "$[2].datasets[59]"} <= set(paths)
