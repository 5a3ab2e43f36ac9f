"""The rules of a batch's layout."""

from typing import Any

import pytest

from prolific_async.simulator.layout_rules import instruction_count, layout_issues

Item = dict[str, Any]

OPTIONS: list[Item] = [{"label": "A", "value": "a"}, {"label": "B", "value": 2}]
CHOICE: Item = {
    "type": "multiple_choice",
    "description": "?",
    "answer_limit": 1,
    "options": OPTIONS,
}
HEADED: list[Item] = [{**option, "heading": "Why?"} for option in OPTIONS]
UNITS: Item = {
    "type": "free_text_with_unit",
    "description": "?",
    "unit_options": OPTIONS,
    "unit_position": "suffix",
}
STARS: Item = {"type": "star_rating", "description": "?"}
FILES: Item = {"type": "file_upload", "description": "?"}
TEXT: Item = {"type": "free_text", "description": "?"}
RICH: Item = {"type": "rich_text", "content": "x"}
IMAGE: Item = {"type": "image", "url": "https://x/y.png", "alt_text": "x"}


def page(*items: Any, **more: Any) -> Item:
    return {"rows": [{"columns": [{"items": list(items)}]}], **more}


def field(key: str) -> Item:
    return {"type": "dataset_field", "field": key}


GOOD = [
    field("q"),
    IMAGE,
    {**IMAGE, "caption": None},
    RICH,
    {**RICH, "content_format": "markdown"},
    TEXT,
    {"type": "free_text"},
    {**TEXT, "validation": {"type": "number", "min": 1, "max": None}},
    UNITS,
    {**UNITS, "default_unit": 2},
    CHOICE,
    {**CHOICE, "answer_limit": -1},
    {**CHOICE, "answer_limit": 2, "options": [*OPTIONS, {**OPTIONS[0], "exclusive": True}]},
    {**CHOICE, "options": [{"label": "No", "value": False}]},
    {**CHOICE, "type": "multiple_choice_with_free_text", "options": HEADED},
    FILES,
    {**FILES, "accepted_file_types": [".jpg"], "min_file_count": 1, "max_file_count": 1},
    STARS,
    {**STARS, "max_stars": 10},
    {"type": "video_narration", "anything": 1},
]


def test_a_good_layout_has_no_issues() -> None:
    layout = [page(item) for item in GOOD]
    layout += [page(RICH, display_position="intro"), page(IMAGE, display_position="outro")]
    assert layout_issues(layout, {"q"}) == []
    assert layout_issues([], None) == []
    assert instruction_count(layout) == len(GOOD) - 5
    assert instruction_count(None) == 0


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (1, "type"),
        ({}, "type"),
        ({"type": ""}, "type"),
        ({"type": "dataset_field"}, "field"),
        (field("secret"), "field"),
        ({"type": "image", "alt_text": "x"}, "url"),
        ({**IMAGE, "url": "http://x"}, "url"),
        ({"type": "image", "url": "https://x"}, "alt_text"),
        ({"type": "rich_text"}, "content"),
        ({**RICH, "content_format": "rtf"}, "content_format"),
        ({**TEXT, "validation": {"type": "date"}}, "validation"),
        ({**TEXT, "validation": {"type": "string", "min": "1"}}, "validation"),
        ({**TEXT, "validation": {"type": "string", "min": 2, "max": 1}}, "validation"),
        ({**UNITS, "unit_options": OPTIONS[:1]}, "unit_options"),
        ({**UNITS, "unit_options": [*OPTIONS, "x"]}, "unit_options"),
        ({**UNITS, "unit_position": "above"}, "unit_position"),
        ({**UNITS, "default_unit": "c"}, "default_unit"),
        ({**UNITS, "unit_options": [OPTIONS[0], {**OPTIONS[1], "validation": 1}]}, "validation"),
        ({**CHOICE, "answer_limit": None}, "answer_limit"),
        ({**CHOICE, "answer_limit": 0}, "answer_limit"),
        ({**CHOICE, "answer_limit": 3}, "answer_limit"),
        ({**CHOICE, "answer_limit": True}, "answer_limit"),
        ({**CHOICE, "options": []}, "options"),
        ({**CHOICE, "options": [{"label": "A"}]}, "options"),
        ({**CHOICE, "options": [OPTIONS[0], {**OPTIONS[1], "exclusive": True}]}, "options"),
        (
            {
                **CHOICE,
                "answer_limit": -1,
                "options": [{**option, "exclusive": True} for option in OPTIONS],
            },
            "options",
        ),
        ({**CHOICE, "type": "multiple_choice_with_free_text"}, "options"),
        ({"type": "file_upload"}, "description"),
        ({**FILES, "accepted_file_types": ["jpg"]}, "accepted_file_types"),
        ({**FILES, "min_file_count": 3, "max_file_count": 2}, "max_file_count"),
        ({**STARS, "max_stars": 11}, "max_stars"),
        ({**STARS, "max_stars": 0}, "max_stars"),
    ],
)
def test_an_item_that_breaks_a_rule_is_told_with_its_place(item: Any, wrong: str) -> None:
    layout = [page(RICH), page(RICH, item)]
    (issue,) = layout_issues(layout, {"q"})
    place = {key: issue[key] for key in ("page", "row", "column", "item")}
    assert place == {"page": 1, "row": 0, "column": 0, "item": 1}
    assert issue["field"] == wrong
    assert issue["type"]
    assert issue["message"]


@pytest.mark.parametrize(
    ("pages", "wrong"),
    [
        ({}, None),
        ([None], "rows"),
        ([{"rows": []}], "rows"),
        ([{"rows": {}}], "rows"),
        ([{"rows": [{}]}], "columns"),
        ([{"rows": [{"columns": [{"items": []}]}]}], "items"),
        ([{"rows": [{"columns": [{"items": [RICH]}] * 3}]}], "columns"),
        ([page(RICH, display_position="middle")], "display_position"),
        ([page(TEXT, display_position="intro")], "type"),
        ([page(field("q"), display_position="outro")], "type"),
        ([page(field("q"), field("q"))], "field"),
    ],
)
def test_pages_that_break_a_rule(pages: Any, wrong: str | None) -> None:
    (issue,) = layout_issues(pages, {"q"})
    assert issue.get("field") == wrong


def test_all_issues_are_told_at_once() -> None:
    layout = [page(field("q"), {"type": "image"}), page(field("q"))]
    issues = layout_issues(layout, None)
    told = [(issue["page"], issue["item"], issue["field"]) for issue in issues]
    assert told == [(0, 0, "field"), (0, 1, "url"), (0, 1, "alt_text"), (1, 0, "field")]
