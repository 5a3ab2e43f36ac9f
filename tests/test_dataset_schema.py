"""``DatasetSchema``: its fields, its limits, and its JSON."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from prolific_async import DatasetSchema, DecodeError, FieldType, SchemaField


def test_a_type_is_enough_for_a_field() -> None:
    made = DatasetSchema.of(prompt="text", a="image_url", model=FieldType.METADATA)
    assert made == DatasetSchema({"prompt": "text", "a": "image_url", "model": "metadata"})
    assert list(made.fields) == ["prompt", "a", "model"]
    assert made.fields["a"] == SchemaField(FieldType.IMAGE_URL)
    assert made.strict is True
    assert made.to_dict() == {
        "strict": True,
        "fields": {
            "prompt": {"type": "text"},
            "a": {"type": "image_url"},
            "model": {"type": "metadata"},
        },
    }


def test_names_that_are_no_python_names_come_in_a_mapping() -> None:
    made = DatasetSchema.of(
        MappingProxyType({"strict": "text", "a b": "text"}), strict=False, c="text"
    )
    assert list(made.fields) == ["strict", "a b", "c"]
    assert made.strict is False
    assert DatasetSchema.of() == DatasetSchema({})


@pytest.mark.parametrize(
    "field", [SchemaField("text", "Prompt"), {"type": "text", "label": "Prompt"}]
)
def test_a_field_can_have_a_label(field: Any) -> None:
    made = DatasetSchema.of(prompt=field)
    assert made.fields["prompt"].label == "Prompt"
    assert made.to_dict()["fields"] == {"prompt": {"type": "text", "label": "Prompt"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"k" * 128: "text"},
        {str(number): "text" for number in range(200)},
        {"a": {"type": "text", "label": "l" * 255}},
        {"a": "task_group_id", "b": "text"},
    ],
)
def test_the_limits_themselves_are_allowed(fields: dict[str, Any]) -> None:
    assert len(DatasetSchema(fields).fields) == len(fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"": "text"}, "1 to 128 characters, not 0"),
        ({"k" * 129: "text"}, "1 to 128 characters, not 129"),
        ({3: "text"}, "must be text, not int"),
        ({str(number): "text" for number in range(201)}, "at most 200 fields, not 201"),
        ({"a": {"type": "text", "label": "l" * 256}}, "'a': a field's label .* 255 .*, not 256"),
        ({"a": {"type": "text", "label": 3}}, "'a': a field's label must be text, not int"),
        ({"a": "task_group_id", "b": "task_group_id"}, "at most one .* not 'a', 'b'"),
        ({"a": "txt"}, "'a': 'txt' is no type of a field: 'text', 'image_url'"),
        ({"a": 3}, "'a': its type must be text, not int"),
        ({"a": {"type": 3}}, "'a': "),
        ({"a": {"label": "A"}}, "a field has a 'type'"),
        ({"a": {"type": "text", "lable": "A"}}, "a field has a 'type'"),
        (["a"], "fields must be a mapping"),
        ("a", "fields must be a mapping"),
    ],
)
def test_what_is_beyond_the_limits_is_refused(fields: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        DatasetSchema(fields)
    if fields:
        with pytest.raises(ValueError, match=reason):
            DatasetSchema.of(fields)


def test_strict_is_a_bool_and_no_name_is_given_twice() -> None:
    with pytest.raises(ValueError, match="strict must be a bool"):
        DatasetSchema({}, strict="no")  # type: ignore[arg-type] # as the test says
    with pytest.raises(ValueError, match="'a' is given twice"):
        DatasetSchema.of({"a": "text"}, a="metadata")


def test_it_is_a_value() -> None:
    made = DatasetSchema.of(a="text", b={"type": "metadata", "label": "B"}, strict=False)
    for again in (
        DatasetSchema.from_dict(made.to_dict()),
        pickle.loads(pickle.dumps(made)),
        copy.deepcopy(made),
        DatasetSchema.of(b=made.fields["b"], a="text", strict=False),
    ):
        assert again == made
        assert hash(again) == hash(made)
        assert again.fields["b"].label == "B"
        with pytest.raises(TypeError):
            again.fields["c"] = SchemaField("text")  # type: ignore[index] # that it is refused
    assert made != DatasetSchema(made.fields, strict=True)


def test_what_the_service_sends_is_read_whatever_the_limits_are() -> None:
    wire = {
        "fields": {"k" * 200: {"type": "smell", "unit": "sone"}, "g": {"type": "text"}},
        "version": 2,
    }
    read = DatasetSchema.from_dict(wire)
    assert read.strict is True
    assert read.fields["k" * 200].type == "smell"
    assert read.fields["k" * 200].extra == {"unit": "sone"}
    assert read.to_dict() == {**wire, "strict": True}
    assert pickle.loads(pickle.dumps(read)) == read


BAD = {"fields": {"a": {"type": 3}, "it's: b": {}}, "strict": None}


def test_faults_have_their_paths() -> None:
    with pytest.raises(DecodeError) as caught:
        DatasetSchema.from_dict(BAD)
    assert set(caught.value.problems) == {
        "$.fields['a'].type: a string is needed, not an integer",
        '$.fields["it\'s: b"].type: it is missing',
        "$.strict: a boolean is needed, not null",
    }
    with pytest.raises(ValidationError) as seen:
        TypeAdapter(DatasetSchema).validate_python(BAD)
    assert [error["loc"] for error in seen.value.errors()] == [
        ("fields", "a", "type"),
        ("fields", "it's: b", "type"),
        ("strict",),
    ]
