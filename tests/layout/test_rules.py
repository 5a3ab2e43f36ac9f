"""Layouts are checked when they are made: each rule, and the error that says where."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import attrs
import numpy as np
import pytest

from prolific_async import layout as ui
from prolific_async.layout.items import ITEMS
from prolific_async.layout.part import Part

Make = Callable[[], object]

TEXT = ui.RichText("Hello")
A, B = ui.Option("A", "a"), ui.Option("B", "b")
ALONE = ui.Option("None", "none", exclusive=True)
WHY = ui.Option("A", "a", heading="Why?")


def column(*items: Any) -> ui.Column:
    return ui.Column(items)


def page(*items: Any, position: str | None = None) -> ui.Page:
    return ui.Page([ui.Row([item]) for item in items], display_position=position)


def choice(*options: Any, **more: Any) -> ui.MultipleChoice:
    return ui.MultipleChoice("?", options, **more)


def units(*options: Any, **more: Any) -> ui.FreeTextWithUnit:
    return ui.FreeTextWithUnit("?", options, **({"unit_position": "prefix"} | more))


def upload(**more: Any) -> ui.FileUpload:
    return ui.FileUpload("?", **more)


wrong: Any = 3

REFUSED: list[tuple[Make, str]] = [
    # Values of a wrong type
    (lambda: ui.RichText(wrong), "RichText.content must be text: 3"),
    (lambda: ui.RichText("a", id=wrong), "RichText.id must be text: 3"),
    (lambda: ui.Image("https://a.b", wrong), "Image.alt_text must be text: 3"),
    (lambda: ui.FreeText(wrong), "FreeText.description must be text: 3"),
    (lambda: ui.FreeText("?", helper_text=wrong), "FreeText.helper_text must be text: 3"),
    (
        lambda: ui.FreeText("?", placeholder_text_input=wrong),
        "FreeText.placeholder_text_input must be text: 3",
    ),
    (
        lambda: ui.FreeText("?", validation=wrong),
        "FreeText.validation must be of the class Validation: 3",
    ),
    (lambda: ui.Option(wrong, "a"), "Option.label must be text: 3"),
    (lambda: ui.Option("A", "a", heading=wrong), "Option.heading must be text: 3"),
    (lambda: ui.Option("A", "a", exclusive=wrong), "Option.exclusive must be True or False: 3"),
    (
        lambda: ui.Option("A", None),  # type: ignore[arg-type] # it is the point
        "Option.value must be text, a finite number, True or False: None",
    ),
    (
        lambda: ui.Option("A", float("nan")),
        "Option.value must be text, a finite number, True or False: nan",
    ),
    (
        lambda: choice("A", disable_dropdown=wrong),
        "MultipleChoice.disable_dropdown must be True or False: 3",
    ),
    (
        lambda: ui.RichText("a", type="image"),  # type: ignore[arg-type] # as above
        "RichText.type must be 'rich_text': 'image'",
    ),
    (
        lambda: ui.RichText("a", extra={"content": "b"}),
        "RichText.extra must not hold the field 'content'",
    ),
    # dataset_field, image and rich_text
    (lambda: ui.DatasetField(""), "DatasetField.field must be text of 1 to 128 characters: ''"),
    (lambda: ui.DatasetField("x" * 129), "DatasetField.field must be text of 1 to 128 characters"),
    (lambda: ui.DatasetField(wrong), "DatasetField.field must be text of 1 to 128 characters: 3"),
    (lambda: ui.Image("http://a.b/c", ""), "Image.url must be an https address: 'http://a.b/c'"),
    (lambda: ui.Image("https://", ""), "Image.url must be an https address: 'https://'"),
    (lambda: ui.Image("https://[", ""), "Image.url must be an https address: 'https://['"),
    (lambda: ui.Image(wrong, ""), "Image.url must be an https address: 3"),
    (
        lambda: ui.RichText("a", content_format="md"),
        "RichText.content_format must be 'html' or 'markdown': 'md'",
    ),
    # Validation
    (lambda: ui.Validation("int"), "Validation.type must be 'number' or 'string': 'int'"),
    (
        lambda: ui.Validation("number", min=float("inf")),
        "Validation.min must be a finite number: inf",
    ),
    (
        lambda: ui.Validation("number", max=True),
        "Validation.max must be a finite number: True",
    ),
    (
        lambda: ui.Validation("string", min=1.5),
        "Validation.min must be a whole number from 0 for 'string': 1.5",
    ),
    (
        lambda: ui.Validation("string", max=-1),
        "Validation.max must be a whole number from 0 for 'string': -1",
    ),
    (
        lambda: ui.Validation("number", min=2, max=1),
        "Validation.min must not be above max: min=2, max=1",
    ),
    # free_text_with_unit
    (lambda: units("cm"), "FreeTextWithUnit.unit_options must have at least 2 elements, not 1"),
    (
        lambda: units("cm", 3),
        "FreeTextWithUnit.unit_options[1] must be a UnitOption or text: 3",
    ),
    (
        lambda: ui.FreeTextWithUnit("?", "cm", "prefix"),
        "FreeTextWithUnit.unit_options must be a list, each element a UnitOption or text: 'cm'",
    ),
    (
        lambda: units("cm", "in", unit_position="left"),
        "FreeTextWithUnit.unit_position must be 'prefix' or 'suffix': 'left'",
    ),
    (
        lambda: units("cm", "in", default_unit="m"),
        "FreeTextWithUnit.default_unit must be the value of a unit, one of ['cm', 'in']: 'm'",
    ),
    (
        lambda: ui.UnitOption("cm", "cm", validation=wrong),
        "UnitOption.validation must be of the class Validation: 3",
    ),
    # multiple_choice
    (choice, "MultipleChoice.options must have at least 1 element, not 0"),
    (lambda: choice("A", 3), "MultipleChoice.options[1] must be an Option or text: 3"),
    (
        lambda: ui.MultipleChoice("?", "AB"),
        "MultipleChoice.options must be a list, each element an Option or text: 'AB'",
    ),
    (
        lambda: ui.MultipleChoice("?", {"A", "B"} - {"B"}),
        "MultipleChoice.options must be a list, each element an Option or text: {'A'}",
    ),
    (
        lambda: choice(A, B, answer_limit=3),
        "MultipleChoice.answer_limit must be -1, or from 1 to the number of options: 3 of 2",
    ),
    (
        lambda: choice(A, B, answer_limit=0),
        "MultipleChoice.answer_limit must be -1, or from 1 to the number of options: 0 of 2",
    ),
    (
        lambda: choice(A, answer_limit=-2),
        "MultipleChoice.answer_limit must be a whole number from -1: -2",
    ),
    (
        lambda: choice(A, answer_limit=1.0),
        "MultipleChoice.answer_limit must be a whole number from -1: 1.0",
    ),
    (
        lambda: choice(A, answer_limit=True),
        "MultipleChoice.answer_limit must be a whole number from -1: True",
    ),
    (
        lambda: choice(A, ALONE),
        "MultipleChoice.options[1] must not be exclusive: answer_limit is 1",
    ),
    (
        lambda: choice(ALONE, ALONE, answer_limit=2),
        "MultipleChoice.options must have one that is not exclusive",
    ),
    # multiple_choice_with_free_text
    (
        lambda: ui.MultipleChoiceWithFreeText("?", [WHY, B]),
        "MultipleChoiceWithFreeText.options[1] must have a heading: Option('B', 'b', heading=...)",
    ),
    (
        lambda: ui.MultipleChoiceWithFreeText("?", ["A"]),
        "MultipleChoiceWithFreeText.options[0] must have a heading: Option('A', 'A', heading=...)",
    ),
    (
        lambda: ui.MultipleChoiceWithFreeText("?", [WHY], answer_limit=2),
        "MultipleChoiceWithFreeText.answer_limit must be -1, or from 1 to the number of options",
    ),
    # file_upload
    (
        lambda: upload(accepted_file_types=["png"]),
        "FileUpload.accepted_file_types[0] must begin with a dot: 'png'",
    ),
    (
        lambda: upload(accepted_file_types=[".png", "."]),
        "FileUpload.accepted_file_types[1] must begin with a dot: '.'",
    ),
    (
        lambda: upload(accepted_file_types=".png"),
        "FileUpload.accepted_file_types must be a list, each element text: '.png'",
    ),
    (
        lambda: upload(accepted_file_types=[3]),
        "FileUpload.accepted_file_types[0] must be text: 3",
    ),
    (
        lambda: upload(accepted_file_types=[]),
        "FileUpload.accepted_file_types must have at least 1 element, not 0",
    ),
    (
        lambda: upload(max_file_size_mb=0),
        "FileUpload.max_file_size_mb must be a finite number above 0: 0",
    ),
    (
        lambda: upload(min_file_count=-1),
        "FileUpload.min_file_count must be a whole number from 0: -1",
    ),
    (
        lambda: upload(max_file_count=0),
        "FileUpload.max_file_count must be a whole number from 1: 0",
    ),
    (
        lambda: upload(min_file_count=3, max_file_count=2),
        "FileUpload.min_file_count must not be above max_file_count: 3 > 2",
    ),
    # star_rating
    (
        lambda: ui.StarRating("?", max_stars=0),
        "StarRating.max_stars must be a whole number from 1 to 10: 0",
    ),
    (
        lambda: ui.StarRating("?", max_stars=11),
        "StarRating.max_stars must be a whole number from 1 to 10: 11",
    ),
    # UnknownItem
    (ui.UnknownItem, "UnknownItem.type must be text: None"),
    (lambda: ui.UnknownItem(wrong), "UnknownItem.type must be text: 3"),
    (lambda: ui.UnknownItem("image"), "UnknownItem.type must be unknown: use Image"),
    # Columns, rows and pages
    (lambda: ui.Column([]), "Column.items must have at least 1 element, not 0"),
    (lambda: column(TEXT, "text"), "Column.items[1] must be an item: 'text'"),
    (
        lambda: ui.Column(TEXT),  # type: ignore[arg-type] # as above
        "Column.items must be a list, each element an item: RichText(content='Hello')",
    ),
    (lambda: ui.Row([]), "Row.columns must have 1 to 2 elements, not 0"),
    (lambda: ui.Row([TEXT] * 3), "Row.columns must have 1 to 2 elements, not 3"),
    (lambda: ui.Row(wrong), "Row.columns must be a list, each element a Column or an item: 3"),
    (lambda: ui.Row([wrong]), "Row.columns[0] must be a Column or an item: 3"),
    (
        lambda: ui.Page([TEXT]),  # type: ignore[list-item] # as above
        "Page.rows[0] must be a Row: RichText(content='Hello')",
    ),
    (lambda: ui.Page(wrong), "Page.rows must be a list, each element a Row: 3"),
    (
        lambda: page(TEXT, position="first"),
        "Page.display_position must be 'intro' or 'outro': 'first'",
    ),
    (
        lambda: page(TEXT, column(TEXT, ui.DatasetField("a")), position="intro"),
        (
            "Page.rows[1].columns[0].items[1] must be an Image or RichText on a page "
            "with the position 'intro': DatasetField(field='a')"
        ),
    ),
    (
        lambda: page(ui.FreeText("?"), position="outro"),
        (
            "Page.rows[0].columns[0].items[0] must be an Image or RichText on a page "
            "with the position 'outro': FreeText(description='?')"
        ),
    ),
    (
        lambda: page(
            ui.DatasetField("a"), ui.DatasetField("b"), column(TEXT, ui.DatasetField("a"))
        ),
        (
            "Page.rows[2].columns[0].items[1] must not show the field 'a' again: "
            "Page.rows[0].columns[0].items[0] does"
        ),
    ),
    # The builder
    (
        lambda: ui.Page.of(TEXT, [TEXT]),
        "row 1 of Page.of must be a list of two columns, not of 1",
    ),
    (
        lambda: ui.Page.of([TEXT] * 3),
        "row 0 of Page.of must be a list of two columns, not of 3",
    ),
    (
        lambda: ui.Page.of("text"),  # type: ignore[arg-type] # as above
        "row 0 of Page.of must be an item, a Column, a Row, or a list of two columns: 'text'",
    ),
    (
        lambda: ui.Page.of(A),  # type: ignore[arg-type] # as above
        "row 0 of Page.of must be an item, a Column, a Row, or a list of two columns: Option(",
    ),
    (
        lambda: ui.Page.of(TEXT, [TEXT, [TEXT]]),  # type: ignore[list-item] # as above
        "row 1 of Page.of: Row.columns[1] must be a Column or an item: [RichText(",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[text[:70] for _, text in REFUSED])
def test_each_rule_says_what_is_wrong_and_where(make: Make, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


ALLOWED: list[Make] = [
    lambda: ui.DatasetField("x" * 128),
    lambda: ui.Image("HTTPS://a.b/c?d#e", "", caption=""),
    lambda: ui.RichText("", content_format="html"),
    ui.FreeText,
    lambda: ui.Validation("string", min=0, max=0),
    lambda: ui.Validation("number", min=-1.5, max=-1.5),
    lambda: units("cm", "in", unit_position="suffix", default_unit="in"),
    lambda: choice(A, B, answer_limit=2),
    lambda: choice(A, B, answer_limit=-1),
    lambda: choice(A, B, ALONE, answer_limit=-1),
    lambda: choice(A, ui.Option("B", "b", exclusive=False)),
    lambda: ui.MultipleChoiceWithFreeText("?", [WHY]),
    lambda: upload(min_file_count=0),
    lambda: upload(min_file_count=2, max_file_count=2, max_file_size_mb=0.5),
    lambda: upload(accepted_file_types=[".tar.gz"]),
    lambda: ui.StarRating("?", max_stars=1),
    lambda: ui.StarRating("?", max_stars=10),
    lambda: ui.UnknownItem("video_narration", extra={"seconds": 30}),
    lambda: page(TEXT, ui.Image("https://a.b", ""), ui.UnknownItem("film"), position="intro"),
    lambda: page(ui.DatasetField("a"), ui.DatasetField("b")),
    lambda: ui.Page([]),
]


@pytest.mark.parametrize("make", ALLOWED, ids=range(len(ALLOWED)))
def test_what_the_rules_allow_can_be_made_and_read_again(make: Callable[[], Part]) -> None:
    part = make()
    again = type(part).from_dict(part.to_dict())
    assert again == part
    assert attrs.evolve(again) == part


# --- Plain values ------------------------------------------------------------------------------


class Fields(StrEnum):
    PROMPT = "prompt"


class Answers(str, Enum):  # noqa: UP042 - how enums of text are written for older Pythons
    YES = "yes"
    NO = "no"


class Stars(IntEnum):
    FEW = 3


class Anything(Enum):
    TEXT = "text"
    NUMBER = np.int64(4)


class Text(str):
    __slots__ = ()


PLAIN: list[tuple[Make, str, Any]] = [
    (lambda: ui.DatasetField(Fields.PROMPT), "field", "prompt"),
    (lambda: ui.DatasetField(Answers.YES), "field", "yes"),
    (lambda: ui.DatasetField(Anything.TEXT), "field", "text"),  # type: ignore[arg-type]
    (lambda: ui.RichText(Text("a")), "content", "a"),
    (lambda: ui.RichText(np.str_("a"), id=Text("i")), "id", "i"),
    (lambda: ui.StarRating("?", max_stars=Stars.FEW), "max_stars", 3),
    (lambda: ui.StarRating("?", max_stars=np.uint8(4)), "max_stars", 4),  # type: ignore[arg-type]
    (lambda: ui.Option("A", np.int32(5)), "value", 5),  # type: ignore[arg-type]
    (lambda: ui.Option("A", np.float32(0.5)), "value", 0.5),  # type: ignore[arg-type]
    (lambda: ui.Option("A", np.True_), "value", True),  # type: ignore[arg-type]
    (lambda: ui.Option("A", Decimal("2.5")), "value", 2.5),  # type: ignore[arg-type]
    (lambda: ui.Option("A", Anything.NUMBER), "value", 4),  # type: ignore[arg-type]
    (lambda: ui.Option("A", 2**70), "value", 2**70),
    (lambda: ui.Option("A", "a", exclusive=np.False_), "exclusive", False),  # type: ignore[arg-type]
    (lambda: ui.Validation("number", min=np.float64(1)), "min", 1.0),
    (lambda: choice("A", "B", answer_limit=np.int64(2)), "answer_limit", 2),
    (lambda: upload(accepted_file_types=[Text(".a")]), "accepted_file_types", (".a",)),
]


@pytest.mark.parametrize(("make", "name", "expected"), PLAIN)
def test_values_become_plain_where_they_enter(make: Make, name: str, expected: Any) -> None:
    value = getattr(make(), name)
    assert value == expected
    assert type(value) is type(expected)
    if isinstance(value, tuple):
        assert [type(one) for one in value] == [str]


@pytest.mark.parametrize(
    "value",
    [np.array([True]), np.timedelta64(1, "s"), 1j, np.datetime64("2026-01-01"), b"a", float("inf")],
)
def test_a_value_that_is_no_json_scalar_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"Option\.value must be text, a finite number, True or"):
        ui.Option("A", value)


def test_an_enum_of_texts_gives_options() -> None:
    question = ui.MultipleChoice("?", Answers)
    assert [(type(one.label), one.label, one.value) for one in question.options] == [
        (str, "yes", "yes"),
        (str, "no", "no"),
    ]


# --- The classes -------------------------------------------------------------------------------


def test_parts_are_frozen_values() -> None:
    assert choice("A") == choice(ui.Option("A", "A"))
    assert choice("A") != choice("B")
    assert len({choice("A"), choice("A"), ui.RichText("a", id="i"), ui.RichText("a")}) == 3
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        TEXT.content = "b"  # type: ignore[misc] # it is the point


def test_the_repr_shows_what_is_given() -> None:
    assert repr(ui.RichText("a", id="i", extra={"x": 1})) == (
        "RichText(id='i', content='a', extra={'x': 1})"
    )
    assert eval(repr(choice("A")), vars(ui)) == choice("A")


FIELD = ui.DatasetField("a")
IMAGE = ui.Image("https://a.example/b.png", "B")


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (ui.Page.of(), "Page.of()"),
        (
            ui.Page.of(ui.RichText("…"), [FIELD, ui.DatasetField("b")], position=None),
            "Page.of(RichText(content='…'), [DatasetField(field='a'), DatasetField(field='b')])",
        ),
        (ui.Page.of(TEXT, position="intro"), f"Page.of({TEXT!r}, position='intro')"),
        (
            ui.Page.of(ui.Column([TEXT, FIELD], id="c"), [TEXT, ui.Column([IMAGE, TEXT])]),
            (
                f"Page.of(Column(id='c', items=[{TEXT!r}, {FIELD!r}]), "
                f"[{TEXT!r}, Column(items=[{IMAGE!r}, {TEXT!r}])])"
            ),
        ),
        (
            ui.Page([ui.Row([TEXT], id="r"), ui.Row([FIELD])], id="p", extra={"x": 1}),
            (
                f"Page(id='p', rows=[Row(id='r', columns=[{TEXT!r}]), Row(columns=[{FIELD!r}])], "
                "extra={'x': 1})"
            ),
        ),
        (
            ui.MultipleChoice("Which?", ["A", ui.Option("B", 2), ui.Option("C", "C", id="o")]),
            (
                "MultipleChoice(description='Which?', options=['A', Option(label='B', value=2), "
                "Option(id='o', label='C', value='C')], answer_limit=1)"
            ),
        ),
        (
            ui.FreeTextWithUnit("How much?", ["kg", "g"], unit_position="suffix"),
            (
                "FreeTextWithUnit(description='How much?', unit_options=['kg', 'g'], "
                "unit_position='suffix')"
            ),
        ),
    ],
)
def test_parts_are_shown_as_people_write_them(part: Part, shown: str) -> None:
    assert repr(part) == shown
    assert eval(shown, vars(ui)) == part


@pytest.mark.parametrize(
    "cls", [*ITEMS, ui.Page, ui.Row, ui.Column, ui.Option, ui.UnitOption, ui.Validation]
)
def test_each_class_is_documented_and_has_an_id(cls: type[Part]) -> None:
    assert "Attributes:" in (cls.__doc__ or "")
    assert attrs.fields_dict(cls)["id"].default is None
    assert cls.__name__ in ui.__all__
