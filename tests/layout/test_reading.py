"""The service's JSON is read and written again as it came, whatever the rules say."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async import Batch, DecodeError
from prolific_async import layout as ui
from prolific_async.layout.items import ITEMS
from tests import samples
from tests.fuzz.strategies import json_values, texts, wire_objects
from tests.layout import wire_examples
from tests.layout.wire_examples import BEYOND_THE_RULES, PAGES, page

CLASSES = {attrs.fields(cls).type.default: cls for cls in ITEMS}


def same(first: Any, second: Any) -> bool:
    """Compare JSON exactly: 1, 1.0 and True differ."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


@pytest.mark.parametrize("wire", PAGES, ids=range(len(PAGES)))
def test_a_page_is_written_as_it_was_read(wire: dict[str, Any]) -> None:
    given_wire = copy.deepcopy(wire)
    read = ui.Page.from_dict(given_wire)
    assert same(read.to_dict(), wire)
    assert ui.Page.from_dict(read.to_dict()) == read
    assert hash(ui.Page.from_dict(read.to_dict())) == hash(read)
    assert same(pickle.loads(pickle.dumps(read)).to_dict(), wire)
    assert same(given_wire, wire)


@pytest.mark.parametrize("wire", wire_examples.WITH_IDS, ids=lambda wire: f"{wire['id']}")
def test_each_item_is_read_as_its_class(wire: dict[str, Any]) -> None:
    (item,) = ui.Page.from_dict(page(wire)).rows[0].columns[0].items
    assert type(item) is CLASSES.get(wire["type"], ui.UnknownItem)
    assert (item.id, item.type, item.extra["new"]) == (wire["id"], wire["type"], {"key": [None]})
    assert type(item).from_dict(wire) == item
    known = {one.name for one in attrs.fields(type(item))} - {"extra"}
    for key, value in wire.items():
        if key not in known:
            assert item.extra[key] == value
        elif not isinstance(value, dict | list):
            assert getattr(item, key) == value


@pytest.mark.parametrize("wire", BEYOND_THE_RULES, ids=range(len(BEYOND_THE_RULES)))
def test_no_rule_refuses_what_the_service_sends(wire: dict[str, Any]) -> None:
    if wire.get("type") == ["image"]:
        with pytest.raises(DecodeError, match=r"items\[0\]\.type: a string is needed, not an arra"):
            ui.Page.from_dict(page(wire))
        return
    read = ui.Page.from_dict(page(wire))
    assert same(read.to_dict(), page(wire))


def test_nulls_and_absent_keys_of_a_choice_stay_what_they_are() -> None:
    options = [{"label": "A", "value": "a"}]
    for limit in ({}, {"answer_limit": None}, {"answer_limit": 1}):
        wire = {"type": "multiple_choice", "description": "?", "options": options, **limit}
        read = ui.MultipleChoice.from_dict(wire)
        assert read.answer_limit == limit.get("answer_limit")
        assert read.to_dict() == wire
    assert attrs.evolve(read, description="!").answer_limit == 1


def test_an_item_knows_its_type_without_being_told() -> None:
    assert ui.RichText.from_dict({"content": "a"}).to_dict() == {
        "type": "rich_text",
        "content": "a",
    }
    with pytest.raises(DecodeError, match=r"\$\.type: "):
        ui.RichText.from_dict({"type": "image", "content": "a"})


def test_every_fault_of_the_shape_has_its_path_and_no_rule_is_told() -> None:
    text: Any = "text"
    wire = page(
        {"type": "image", "url": "http://no-https"},
        {"type": "multiple_choice", "description": 1, "options": [{"label": None, "value": []}]},
        {"type": "free_text", "validation": {"type": "number", "min": "1"}},
        {"type": "free_text_with_unit", "description": "", "unit_position": "", "unit_options": 3},
        {"type": "free_text", "description": "", "validation": {"type": "odd"}},
        text,
        *BEYOND_THE_RULES[:-1],
    )
    with pytest.raises(DecodeError) as caught:
        ui.Page.from_dict(wire)
    at = "$.rows[0].columns[0].items"
    assert caught.value.problems == (
        f"{at}[0].alt_text: it is missing",
        f"{at}[1].description: a string is needed, not an integer",
        f"{at}[1].options[0].label: a string is needed, not null",
        f"{at}[1].options[0].value: a string, a number or a boolean is needed, not an array",
        f"{at}[2].validation.min: a number is needed, not a string",
        f"{at}[3].unit_options: an array is needed, not an integer",
        f"{at}[5]: an object is needed, not a string",
    )


# --- batch.layout ------------------------------------------------------------------------------


def test_a_batch_gives_its_pages() -> None:
    batch = samples.batch(batch_items=PAGES)
    pages = batch.layout
    assert isinstance(pages, tuple)
    assert [one.id for one in pages] == ["p-1", None, None, None, "p-3", None, "p-4"]
    assert same([one.to_dict() for one in pages], PAGES)
    assert same(batch.to_dict()["batch_items"], PAGES)
    assert isinstance(batch.batch_items, tuple)
    assert batch.batch_items[0]["id"] == "p-1"


@pytest.mark.parametrize("more", [{}, {"batch_items": None}])
def test_a_batch_without_a_layout_has_none(more: dict[str, Any]) -> None:
    assert samples.batch(**more).layout is None
    assert samples.batch(batch_items=[]).layout == ()


def test_a_batch_with_an_unreadable_layout_can_be_read() -> None:
    batch = samples.batch(batch_items=[{"rows": []}, {"rows": [{}]}, {}])
    with pytest.raises(DecodeError) as caught:
        _ = batch.layout
    assert caught.value.problems == (
        "$.batch_items[1].rows[0].columns: it is missing",
        "$.batch_items[2].rows: it is missing",
    )


def test_pages_do_not_share_their_unknown_keys_with_the_batch() -> None:
    batch = samples.batch(batch_items=[{"rows": [], "new": [1]}])
    assert batch.layout is not None
    batch.layout[0].extra["new"].append(2)
    assert batch.to_dict()["batch_items"] == [{"rows": [], "new": [1]}]


def test_a_layout_that_is_nested_too_deep_is_a_decode_error() -> None:
    news: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        news = [news]
    batch = attrs.evolve(samples.batch(), batch_items=({"rows": [], "new": news},))
    with pytest.raises(DecodeError, match="nested too deep"):
        _ = batch.layout


# --- Any layout --------------------------------------------------------------------------------

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = texts | numbers | st.booleans()
ids = {"id": texts}
validations = wire_objects({"type": texts}, ids | {"min": numbers, "max": numbers})
options = wire_objects(
    {"label": texts, "value": scalars}, ids | {"heading": texts, "exclusive": st.booleans()}
)
units = wire_objects({"label": texts, "value": scalars}, ids | {"validation": validations})
typing = ids | {"helper_text": texts, "placeholder_text_input": texts}
choice = (
    {"description": texts, "options": st.lists(options, max_size=3) | st.none()},
    typing | {"answer_limit": st.integers(), "disable_dropdown": st.booleans()},
)
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dataset_field": ({"field": texts}, ids),
    "image": ({"url": texts, "alt_text": texts}, ids | {"caption": texts}),
    "rich_text": ({"content": texts}, ids | {"content_format": texts}),
    "free_text": ({}, typing | {"description": texts, "validation": validations}),
    "free_text_with_unit": (
        {"description": texts, "unit_options": st.lists(units), "unit_position": texts},
        typing | {"default_unit": scalars},
    ),
    "multiple_choice": choice,
    "multiple_choice_with_free_text": choice,
    "file_upload": (
        {"description": texts},
        ids
        | {
            "accepted_file_types": st.lists(texts, max_size=3),
            "max_file_size_mb": numbers,
            "min_file_count": st.integers(),
            "max_file_count": st.integers(),
        },
    ),
    "star_rating": ({"description": texts}, ids | {"max_stars": st.integers()}),
}
unknown = texts.filter(lambda kind: kind not in SHAPES)
items = st.one_of(
    *(
        wire_objects({"type": st.just(kind)} | needed, more)
        for kind, (needed, more) in SHAPES.items()
    ),
    wire_objects({}, ids | {"type": unknown, "label": json_values}),
)
columns = wire_objects({"items": st.lists(items, max_size=3)}, ids)
rows = wire_objects({"columns": st.lists(columns, max_size=2)}, ids)
pages = wire_objects({"rows": st.lists(rows, max_size=2)}, ids | {"display_position": texts})


@given(st.lists(pages, max_size=2))
def test_any_layout_is_written_as_it_was_read(wire: list[dict[str, Any]]) -> None:
    batch = Batch.from_dict(samples.batch(batch_items=copy.deepcopy(wire)).to_dict())
    read = batch.layout
    assert read is not None
    assert same([one.to_dict() for one in read], wire)
    assert tuple(ui.Page.from_dict(one.to_dict()) for one in read) == read


def test_the_shapes_are_those_of_the_classes() -> None:
    for kind, (needed, more) in SHAPES.items():
        found = {one.name for one in attrs.fields(CLASSES[kind]) if one.init} - {"extra", "type"}
        assert found == needed.keys() | more.keys()
