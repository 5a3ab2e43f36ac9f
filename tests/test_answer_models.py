"""Models of responses: what is read, what is flat, and what is kept for ``to_dict``."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from prolific_async import Answer, DecodeError, InstructionResponse, TaskResponse
from tests.samples import task_response

FILE: dict[str, Any] = {
    "file_key": "uploads/1.png",
    "file_name": "photo é.png",
    "file_size_mb": 1.5,
    "content_type": "image/png",
}
# What each type of instruction sends, as the service's own command line reads it.
ANSWERS: dict[str, tuple[list[dict[str, Any]], tuple[Answer, ...]]] = {
    "free_text": ([{"value": "good\r\n<b>&amp;"}], (Answer("good\r\n<b>&amp;"),)),
    "multiple_choice": ([{"value": "A"}, {"value": "B"}], (Answer("A"), Answer("B"))),
    "star_rating": ([{"value": 4}], (Answer(4),)),
    "free_text_with_unit": (
        [{"value": 1.5, "unit": "kg"}],
        (Answer(1.5, unit="kg"),),
    ),
    "multiple_choice_with_free_text": (
        [{"value": False, "explanation": "why not"}],
        (Answer(value=False, explanation="why not"),),
    ),
    "file_upload": ([FILE, FILE], (Answer(**FILE), Answer(**FILE))),
    "video_narration": ([{"url": "…", "parts": [1]}], (Answer(extra={"url": "…", "parts": [1]}),)),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_of_each_type(kind: str) -> None:
    wire, answers = ANSWERS[kind]
    read = TaskResponse.from_dict(task_response(kind, wire))
    assert read.answers == answers
    assert read.type == kind
    assert read.to_dict()["response"]["answer"] == wire


@pytest.mark.parametrize("value", ["", "4", 4, 4.0, True, False, 0, -1.5e300])
def test_a_value_stays_as_it_came(value: object) -> None:
    read = TaskResponse.from_dict(task_response(answer=[{"value": value}]))
    found = read.answers[0].value
    assert (type(found), found) == (type(value), value)


def test_the_flat_names_are_what_is_nested() -> None:
    read = TaskResponse.from_dict(task_response(answer=[{"value": "good"}]))
    assert read.response == InstructionResponse("i1", "free_text", (Answer("good"),))
    assert (read.instruction_id, read.type) == ("i1", "free_text")
    assert read.answers is read.response.answer
    assert read.created_at == datetime(2026, 3, 4, 5, 6, 7, 500_000, tzinfo=UTC)
    assert (read.id, read.batch_id) == ("r1", "b1")
    assert (read.participant_id, read.task_id) == ("p1", "t1")


OPTIONAL: dict[str, Any] = {
    "submission_id": "s1",
    "correlation_id": "c1",
    "metadata": {"META_ROW_KEY": "row-1", "META_x": [1, {}]},
    "schema_version": 4,
    "no_submission": True,
}


@pytest.mark.parametrize(
    "wire",
    [
        task_response(),
        task_response(**OPTIONAL),
        task_response() | dict.fromkeys(OPTIONAL),
        task_response(answer=[]),
        task_response(answer=[{"value": None}, {}]),
        task_response(response={"instruction_id": "i1", "type": "new", "answer": None, "x": 1}),
        task_response(news={"x": [1, 2.5, None]}),
    ],
    ids=["least", "all", "nulls", "no answer", "empty answers", "null answers", "unknown keys"],
)
def test_to_dict_keeps_the_shape_of_the_wire(wire: dict[str, Any]) -> None:
    read = TaskResponse.from_dict(copy.deepcopy(wire))
    wire["created_at"] = "2026-03-04T05:06:07.500000Z"
    assert read.to_dict() == wire
    assert TaskResponse.from_dict(read.to_dict()) == read
    assert pickle.loads(pickle.dumps(read)).to_dict() == wire


def test_what_is_absent_is_none() -> None:
    read = TaskResponse.from_dict(task_response())
    assert {name: getattr(read, name) for name in OPTIONAL} == dict.fromkeys(OPTIONAL)
    assert read.key is None
    assert attrs.asdict(Answer(), filter=lambda field, _: field.init) == {
        "extra": {},
        "value": None,
        "unit": None,
        "explanation": None,
    } | dict.fromkeys(FILE)


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        (None, None),
        ({}, None),
        ({"META_row_key": "x"}, None),
        ({"META_ROW_KEY": None}, None),
        ({"META_ROW_KEY": ["x"]}, None),
        ({"META_ROW_KEY": True}, None),
        ({"META_ROW_KEY": ""}, None),
        ({"META_ROW_KEY": 'a,"b"\r\n&amp; é'}, 'a,"b"\r\n&amp; é'),
        ({"META_ROW_KEY": "007"}, "007"),
        ({"META_ROW_KEY": 7}, "7"),
        ({"META_ROW_KEY": 2**60 + 1}, str(2**60 + 1)),
        ({"META_ROW_KEY": 1.25}, "1.25"),
    ],
)
def test_the_key_is_text(metadata: dict[str, Any] | None, key: str | None) -> None:
    assert TaskResponse.from_dict(task_response(metadata=metadata)).key == key


def test_every_bad_path_is_told() -> None:
    wire = task_response(
        id=5,
        created_at="yesterday",
        metadata=[],
        no_submission="yes",
        answer=[{"value": []}, {"value": "x", "unit": 1}, "text"],
    )
    del wire["task_id"]
    with pytest.raises(DecodeError) as caught:
        TaskResponse.from_dict(wire)
    assert set(caught.value.problems) == {
        "$.id: a string is needed, not an integer",
        "$.created_at: an RFC 3339 time is needed",
        "$.task_id: it is missing",
        "$.metadata: an object is needed, not an array",
        "$.no_submission: a boolean is needed, not a string",
        "$.response.answer[0].value: a string, a number or a boolean is needed, not an array",
        "$.response.answer[1].unit: a string is needed, not an integer",
        "$.response.answer[2]: an object is needed, not a string",
    }


def test_a_response_compares_by_value_and_hashes_by_id() -> None:
    one, same = (TaskResponse.from_dict(task_response(**OPTIONAL)) for _ in range(2))
    assert one == same
    assert len({one, same}) == 1
    assert one != TaskResponse.from_dict(task_response())
    assert hash(Answer("x")) == hash(Answer("x"))


def test_a_repr_is_one_line_without_the_answers() -> None:
    one = TaskResponse.from_dict(task_response(answer=[{"value": "private"}]))
    assert repr(one) == "<TaskResponse r1 free_text by p1, 1 answer>"
    two = TaskResponse.from_dict(task_response(answer=[{"value": 1}] * 2))
    assert repr(two) == "<TaskResponse r1 free_text by p1, 2 answers>"


def test_the_metadata_is_read_only() -> None:
    read = TaskResponse.from_dict(task_response(metadata={"x": 1}))
    with pytest.raises(TypeError):
        read.metadata["x"] = 2  # type: ignore[index] # it must not be possible
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        read.id = "r2"  # type: ignore[misc] # it must not be possible
