"""The models in pydantic: read, written and described as their wire form is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import attrs
import pytest
from hypothesis import given
from pydantic import BaseModel, TypeAdapter, ValidationError

import prolific_async
from prolific_async import (
    Annotation,
    Answer,
    AppendResult,
    Batch,
    BatchStatus,
    BatchSync,
    ConnectError,
    Copies,
    DatasetRef,
    DatasetSchema,
    DecodeError,
    Export,
    ImportJob,
    JobStatus,
    PollPolicy,
    Progress,
    ProlificClient,
    ProlificError,
    RejectedRow,
    ReportRow,
    RetryPolicy,
    SchemaMigration,
    StatusEvent,
    TaskResponse,
    UnmigratedDatapoint,
    Upload,
    Workspace,
)
from prolific_async.extensions import JsonModel
from tests import samples
from tests.conftest import HANGS
from tests.costs import cost_of
from tests.fuzz.strategies import batches

MODELS = [
    thing
    for name in prolific_async.__all__
    if attrs.has(thing := getattr(prolific_async, name)) and isinstance(thing, type)
]
REFUSED = ConnectError("GET", "/x", "refused")
EVENT = StatusEvent("b1", BatchStatus.READY, None, 3, 1.5, None)
BATCH = samples.batch(
    "QUEUED",
    datasets=[{"id": "d1", "total_datapoint_count": 3, "filename": None, "rows": 3}],
    batch_items=[{"rows": []}],
    auto_sync_enabled=None,
    news={"of": [1, None]},
)
EVENT_OF_JOB = StatusEvent(
    None, JobStatus.COMPLETE, BatchStatus.PROCESSING, 3, 1.5, None, kind="import", id="i1"
)
VALUES: list[Any] = [BATCH, BATCH.datasets[0], BATCH.task_details, EVENT, EVENT_OF_JOB]
VALUES += [Copies((BATCH,), ("b2",)), PollPolicy(timeout=None), RetryPolicy(maximum=3)]
VALUES += [Workspace("w1", "Research", owner="u1", extra={"users": [{"name": "Ann"}]})]
SCHEMA = DatasetSchema.of(a={"type": "text", "label": "A"}, b="metadata", strict=False)
VALUES += [SCHEMA, SCHEMA.fields["a"]]
ROW, DATAPOINT = RejectedRow(0, "a", "missing"), UnmigratedDatapoint("p1", "a", "missing")
VALUES += [ROW, DATAPOINT, AppendResult(2, 1, (ROW,)), Progress("append", 1, None, "records", 0.5)]
IMPORT = ImportJob("i1", JobStatus.PARTIAL, accepted_count=1, rejected_count=1, errors=(ROW,))
DATASET = samples.dataset(None, schema_version=4, schema=SCHEMA.to_dict())
VALUES += [attrs.evolve(DATASET, imports=(IMPORT,)), IMPORT]
VALUES += [SchemaMigration("j1", "d1", JobStatus.PARTIAL, errors=(DATAPOINT,))]
VALUES += [BatchSync("s1", "b1", JobStatus.QUEUED), Upload("i1", "d1", "rows.csv", 9)]
FILTER = {"study_id": "s1", "from": "2026-03-04T05:06:07Z", "to": None}
VALUES += [Export("e1", "b1", JobStatus.GENERATING, FILTER)]
ANNOTATION = Annotation(2, "p1", "Yes", None, "yesterday")
VALUES += [ANNOTATION, ReportRow("d1", "g1", "free_text", "Why?", {"a": "1"}, (ANNOTATION,), "k1")]
RESPONSE = TaskResponse.from_dict(
    samples.task_response(
        "free_text_with_unit",
        [{"value": 1.5, "unit": "kg"}, {"value": "x", "explanation": None}, {"value": True}],
        metadata={"META_ROW_KEY": "row-1"},
        schema_version=4,
    )
)
VALUES += [RESPONSE, RESPONSE.response, Answer(file_key="k", file_size_mb=2)]
# What is wrong for the models that need no key.
WITHOUT_NEEDS = {
    Answer: {"value": []},
    Copies: {"batches": 3},
    RejectedRow: {"field": 3},
    UnmigratedDatapoint: {"field": 3},
}
BATCHES = TypeAdapter(Batch)


class Order(BaseModel):
    """A model of an application's own."""

    batch: Batch
    status: BatchStatus = BatchStatus.READY
    anything: Any = None


# --- Every model -------------------------------------------------------------------------------


def test_every_public_model_is_known_to_pydantic() -> None:
    assert {Batch, StatusEvent, Copies, DatasetRef, PollPolicy} <= set(MODELS)
    assert all(issubclass(cls, JsonModel) for cls in MODELS)
    assert {type(value) for value in VALUES} == set(MODELS)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_the_round_trip_is_that_of_the_wire_form(value: Any) -> None:
    adapter = TypeAdapter(type(value))
    wire = value.to_dict()
    assert type(value).from_dict(wire) == value
    for written in (
        adapter.dump_python(value),
        adapter.dump_python(value, mode="json"),
        json.loads(adapter.dump_json(value)),
    ):
        assert written == wire
        assert adapter.validate_python(written) == value
        assert adapter.validate_python(written).to_dict() == wire
    assert adapter.validate_json(json.dumps(wire)) == value
    assert adapter.validate_python(value) is value


@given(batches)
def test_any_batch_is_read_and_written_as_by_from_dict_and_to_dict(wire: dict[str, Any]) -> None:
    batch = BATCHES.validate_python(wire)
    assert batch == Batch.from_dict(wire)
    assert BATCHES.dump_python(batch) == batch.to_dict()
    assert BATCHES.validate_json(BATCHES.dump_json(batch)) == batch


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_every_field_is_described_and_nothing_else_is(cls: type[Any], mode: Any) -> None:
    schema = TypeAdapter(cls).json_schema(mode=mode)
    shown = [field for field in attrs.fields(cls) if field.init and field.name != "extra"]
    assert list(schema["properties"]) == [field.name for field in shown]
    assert schema["title"] == cls.__name__
    assert schema["description"] == (cls.__doc__ or "").partition("\n\n")[0].replace("``", "`")
    for field in shown:
        assert schema["properties"][field.name]["description"].endswith(".")
        assert (field.name in schema.get("required", ())) is (field.default is attrs.NOTHING)
    keeps = any(field.name == "extra" for field in attrs.fields(cls))
    refuses = issubclass(cls, PollPolicy | RetryPolicy)
    assert schema.get("additionalProperties") == (True if keeps else False if refuses else None)


def test_a_batch_is_described_by_the_types_of_its_fields() -> None:
    schema = BATCHES.json_schema()
    told = {name: one.get("type") or one.get("$ref") for name, one in schema["properties"].items()}
    assert told["id"] == "string"
    assert told["total_task_count"] == "integer"
    assert told["status"] == "#/$defs/BatchStatus"
    assert schema["properties"]["created_at"]["format"] == "date-time"
    assert schema["properties"]["datasets"]["items"] == {"$ref": "#/$defs/DatasetRef"}
    assert schema["properties"]["auto_sync_enabled"]["anyOf"] == [
        {"type": "boolean"},
        {"type": "null"},
    ]
    assert schema["properties"]["created_at"]["description"] == "When it was made, in UTC."
    assert set(schema["$defs"]) == {"BatchStatus", "DatasetRef", "TaskDetails"}


def test_descriptions_are_for_readers_of_json() -> None:
    schema = TypeAdapter(list[StatusEvent | RetryPolicy | Batch]).json_schema()
    described = json.dumps(schema)
    assert "``" not in described
    assert "None" not in described
    assert "null when this was the last" in described


# --- Reading -----------------------------------------------------------------------------------


def test_faults_have_their_places() -> None:
    good = BATCH.to_dict()
    bad = good | {"datasets": [{"id": None}], "name": 3, "created_at": "yesterday"}
    del bad["workspace_id"]
    adapter = TypeAdapter(dict[str, list[Batch]])

    def from_json(data: Any) -> Any:
        return adapter.validate_json(json.dumps(data))

    for validate in (adapter.validate_python, from_json):
        with pytest.raises(ValidationError) as caught:
            validate({"all": [good, bad]})
        found = {
            ".".join(map(str, one["loc"])): (one["type"], one["msg"], one["input"])
            for one in caught.value.errors()
        }
        assert found == {
            "all.1.created_at": ("decode_error", "an RFC 3339 time is needed", "yesterday"),
            "all.1.datasets.0.id": ("decode_error", "a string is needed, not null", None),
            "all.1.datasets.0.total_datapoint_count": ("missing", "Field required", {"id": None}),
            "all.1.name": ("decode_error", "a string is needed, not an integer", 3),
            "all.1.workspace_id": ("missing", "Field required", bad),
        }


@pytest.mark.parametrize("data", [[1], "b1", None, 3, {"x": object()}, {1, 2}], ids=range(6))
@pytest.mark.parametrize("cls", MODELS)
def test_what_is_no_model_is_a_validation_error(cls: type[Any], data: Any) -> None:
    if isinstance(data, dict):
        data = WITHOUT_NEEDS.get(cls, data)
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(cls).validate_python(data)
    assert not isinstance(caught.value.__cause__, DecodeError)


def test_what_was_read_does_not_change_with_what_was_given() -> None:
    given_data = samples.batch(news=[1]).to_dict()
    batch = BATCHES.validate_python(given_data)
    given_data["news"].append(2)
    assert batch.extra == {"news": [1]}


def test_braces_in_a_reason_are_no_places_to_fill() -> None:
    with pytest.raises(ValidationError, match=re.escape("unknown keys '{input}', '{x}'")):
        TypeAdapter(PollPolicy).validate_python({"{x}": 1, "{input}": 2})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"initial": 0}, "initial must be a finite number above 0: 0.0"),
        ({"initial": 20, "maximum": 3}, "initial must not be above maximum"),
        ({"max_consecutive_failures": -1}, "must be a whole number from 0: -1"),
        ({"intial": 3}, "unknown key 'intial'"),
    ],
)
def test_a_policy_is_checked_as_it_always_is(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(PollPolicy).validate_python(data)
    with pytest.raises(DecodeError, match=message):
        PollPolicy.from_dict(data)


def test_the_bounds_and_defaults_of_a_policy_are_described() -> None:
    properties = TypeAdapter(PollPolicy).json_schema()["properties"]
    assert properties["initial"]["exclusiveMinimum"] == 0
    assert properties["timeout"]["minimum"] == 0
    assert properties["factor"]["minimum"] == 1
    assert properties["max_consecutive_failures"]["type"] == "integer"
    defaults = {name: one["default"] for name, one in properties.items()}
    assert defaults == PollPolicy().to_dict()
    assert TypeAdapter(RetryPolicy).json_schema()["properties"]["max_attempts"]["minimum"] == 1


# --- Writing -----------------------------------------------------------------------------------


async def test_a_bound_batch_is_written_without_its_client() -> None:
    client = ProlificClient("secret")
    batch = samples.batch().bind(client.batches)
    order = Order(batch=batch)
    assert order.batch is batch
    assert order.model_dump_json() == Order(batch=samples.batch()).model_dump_json()
    assert "_batches" not in json.dumps(Order.model_json_schema())
    assert "secret" not in order.model_dump_json()


def test_a_model_is_written_where_no_annotation_names_it() -> None:
    order = Order(batch=BATCH, anything=[{"it": BATCH}, EVENT, BATCH.status])
    wire = BATCH.to_dict()
    assert json.loads(order.model_dump_json())["anything"] == [
        {"it": wire},
        EVENT.to_dict(),
        "QUEUED",
    ]
    assert order.model_dump()["anything"][0] == {"it": wire}
    assert json.loads(TypeAdapter(object).dump_json(BATCH)) == wire


@pytest.mark.parametrize("mode", ["python", "json"])
def test_parts_can_be_left_out(mode: Any) -> None:
    wire = BATCH.to_dict()

    def dump(**options: Any) -> Any:
        return BATCHES.dump_python(BATCH, mode=mode, **options)

    assert dump(include={"id", "created_at"}) == {"id": "b1", "created_at": wire["created_at"]}
    assert dump(exclude={"news"}) == {key: wire[key] for key in wire if key != "news"}
    assert dump(include={"datasets": {"__all__": {"rows"}}}) == {"datasets": [{"rows": 3}]}
    without = dump(exclude_none=True)
    assert "auto_sync_enabled" not in without
    assert without["datasets"] == [{"id": "d1", "total_datapoint_count": 3, "rows": 3}]
    assert without["news"] == wire["news"]
    assert dump(exclude_unset=True) == wire  # what was absent is left out in any case
    assert TypeAdapter(PollPolicy).dump_python(
        PollPolicy(initial=2), mode=mode, exclude_defaults=True
    ) == {"initial": 2.0}


def test_the_error_of_an_event_is_its_text() -> None:
    event = attrs.evolve(EVENT, error=REFUSED)
    adapter = TypeAdapter(StatusEvent)
    assert json.loads(adapter.dump_json(event))["error"] == str(REFUSED)
    again = adapter.validate_json(adapter.dump_json(event))
    assert type(again.error) is ProlificError
    assert again.to_dict() == event.to_dict()
    assert again == event == StatusEvent.from_dict(event.to_dict())
    assert hash(again) == hash(event)
    assert event != EVENT
    assert event != attrs.evolve(event, error=ConnectError("GET", "/x", "other"))


def test_an_event_names_the_kind_and_id_of_what_was_polled() -> None:
    assert EVENT.to_dict() | {"kind": "batch", "id": "b1"} == EVENT.to_dict()
    old = {key: one for key, one in EVENT.to_dict().items() if key not in ("kind", "id")}
    assert StatusEvent.from_dict(old) == EVENT
    written = EVENT_OF_JOB.to_dict()
    assert (written["batch_id"], written["kind"], written["id"]) == (None, "import", "i1")
    again = StatusEvent.from_dict(written)
    assert again == EVENT_OF_JOB
    assert hash(again) == hash(EVENT_OF_JOB)
    assert again.status == "complete"
    assert again.previous is BatchStatus.PROCESSING
    with pytest.raises(DecodeError) as caught:
        StatusEvent.from_dict(written | {"status": 5, "previous": []})
    assert [one.partition(":")[0] for one in caught.value.problems] == ["$.status", "$.previous"]


LONE = "a\ud800b"


@pytest.mark.parametrize(
    "value",
    [
        samples.batch(name=LONE, news={LONE: [LONE, {"deep": LONE}]}),
        attrs.evolve(EVENT, error=ProlificError(LONE)),
        Workspace("w1", LONE),
        Copies((samples.batch(name=LONE),), (LONE,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text_that_utf_8_cannot_hold_is_replaced_in_json_alone(value: Any) -> None:
    adapter = TypeAdapter(type(value))
    assert adapter.dump_python(value) == value.to_dict()
    wire = json.loads(adapter.dump_json(value))
    assert wire == adapter.dump_python(value, mode="json")
    assert wire == json.loads(Order(batch=BATCH, anything=value).model_dump_json())["anything"]
    assert wire == json.loads(json.dumps(value.to_dict()).replace("\\ud800", "\\ufffd"))
    assert "a\ufffdb" in adapter.dump_json(value).decode()
    assert adapter.validate_python(wire).to_dict() == wire


def test_surrogates_of_one_character_become_it() -> None:
    batch = samples.batch(name="\ud83d\ude00 \ude00")
    assert BATCHES.dump_python(batch, mode="json")["name"] == "\U0001f600 \ufffd"


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_json_does_not_have_are_null(number: float) -> None:
    event = attrs.evolve(EVENT, elapsed=number, next_in=number)
    adapter = TypeAdapter(StatusEvent)
    for written in (
        json.loads(adapter.dump_json(event)),
        adapter.dump_python(event, mode="json"),
        json.loads(Order(batch=BATCH, anything=event).model_dump_json())["anything"],
    ):
        assert written == event.to_dict() | {"elapsed": None, "next_in": None}
    with pytest.raises(ValidationError, match="a number is needed, not null"):
        adapter.validate_json(adapter.dump_json(event))


def test_pydantic_adds_little_to_what_to_dict_costs() -> None:
    def many(call: Any) -> Any:
        return lambda: [call() for _ in range(1000)]

    limit = 2 * cost_of(many(lambda: json.dumps(BATCH.to_dict())))
    assert cost_of(many(lambda: BATCHES.dump_json(BATCH)), limit) < limit


# --- Statuses ----------------------------------------------------------------------------------


def test_a_status_is_one_of_the_known_or_any_other_text() -> None:
    adapter = TypeAdapter(BatchStatus)
    assert adapter.validate_python("READY") is BatchStatus.READY
    assert adapter.validate_json('"QUEUED"') == BatchStatus("QUEUED")
    assert adapter.dump_json(BatchStatus("QUEUED")) == b'"QUEUED"'
    assert adapter.dump_python(BatchStatus.READY) is BatchStatus.READY
    schema = adapter.json_schema()
    assert schema["anyOf"] == [
        {"type": "string", "enum": ["UNINITIALISED", "PROCESSING", "READY", "ERROR"]},
        {"type": "string"},
    ]
    assert "type" not in schema
    with pytest.raises(ValidationError, match="string"):
        adapter.validate_python(3)


# --- Without pydantic --------------------------------------------------------------------------


def test_without_pydantic_its_attribute_is_missing() -> None:
    script = (
        "import sys; sys.modules['pydantic_core'] = None\n"
        "from tests import samples\n"
        "assert not hasattr(samples.batch(), '__pydantic_serializer__')"
    )
    assert ran("-c", script) == ""


def test_reading_and_writing_do_not_import_pydantic() -> None:
    script = (
        "import sys\nfrom tests import samples\nfrom prolific_async import Batch\n"
        "assert Batch.from_dict(samples.batch().to_dict()) == samples.batch()\n"
        "assert 'pydantic_core' not in sys.modules"
    )
    assert ran("-c", script) == ""


def test_without_docstrings_nothing_is_described() -> None:
    script = (
        "from prolific_async import Batch\nfrom pydantic import TypeAdapter\n"
        "schema = TypeAdapter(Batch).json_schema()\n"
        "print('description' in schema, schema['properties']['id'])"
    )
    assert ran("-OO", "-c", script) == "False {'title': 'Id', 'type': 'string'}\n"


def ran(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
