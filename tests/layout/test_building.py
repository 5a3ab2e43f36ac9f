"""``Page.of``, and the JSON of pages that are made by hand."""

from __future__ import annotations

from typing import Any

from prolific_async import layout as ui
from tests.layout import wire_examples

LEFT, RIGHT = ui.DatasetField("answer_a"), ui.DatasetField("answer_b")


def test_a_page_reads_as_it_looks() -> None:
    page = ui.Page.of(
        ui.RichText("Compare"),
        [LEFT, RIGHT],
        (ui.Column([LEFT_IMAGE, ui.RichText("left")]), ui.RichText("right")),
        ui.Column([ui.RichText("one"), ui.RichText("two")], id="c"),
        ui.Row([ui.RichText("row")], id="r"),
        ui.MultipleChoice("Which is better?", ["A", "B"]),
    )
    assert page.to_dict() == {
        "rows": [
            {"columns": [{"items": [text("Compare")]}]},
            {
                "columns": [
                    {"items": [{"type": "dataset_field", "field": "answer_a"}]},
                    {"items": [{"type": "dataset_field", "field": "answer_b"}]},
                ]
            },
            {
                "columns": [
                    {"items": [LEFT_IMAGE.to_dict(), text("left")]},
                    {"items": [text("right")]},
                ]
            },
            {"columns": [{"id": "c", "items": [text("one"), text("two")]}]},
            {"id": "r", "columns": [{"items": [text("row")]}]},
            {
                "columns": [
                    {
                        "items": [
                            {
                                "type": "multiple_choice",
                                "description": "Which is better?",
                                "options": [
                                    {"label": "A", "value": "A"},
                                    {"label": "B", "value": "B"},
                                ],
                                "answer_limit": 1,
                            }
                        ]
                    }
                ]
            },
        ]
    }
    assert ui.Page.from_dict(page.to_dict()) == page


LEFT_IMAGE = ui.Image("https://example.com/a.png", "A map")


def text(content: str) -> dict[str, str]:
    return {"type": "rich_text", "content": content}


def test_the_position_is_the_pages() -> None:
    page = ui.Page.of(ui.RichText("Welcome"), position="intro")
    assert page.display_position == "intro"
    assert page.to_dict()["display_position"] == "intro"
    assert "display_position" not in ui.Page.of(ui.RichText("Hello")).to_dict()


def test_each_item_of_the_facts_can_be_made() -> None:
    validation = ui.Validation("number", min=0, max=9.5)
    units = [ui.UnitOption("cm", "cm"), ui.UnitOption("in", 2, validation=validation)]
    reasons = [
        ui.Option("A", "a", heading="Why A?"),
        ui.Option("Neither", 1.5, heading="Why?", exclusive=True),
    ]
    typing: Any = wire_examples.TYPING
    made: list[ui.Item] = [
        ui.DatasetField("prompt"),
        ui.Image("https://example.com/a.png", "A map", caption="Where we are"),
        ui.RichText("<p>Hello</p>", content_format="markdown"),
        ui.FreeText("Why?", validation=ui.Validation("string", min=10), **typing),
        ui.FreeTextWithUnit("How long?", units, "suffix", default_unit=2, **typing),
        ui.MultipleChoice(
            "Good?",
            [ui.Option("Yes", True), ui.Option("No", 0)],  # noqa: FBT003 - the value of an answer
            disable_dropdown=True,
            **typing,
        ),
        ui.MultipleChoiceWithFreeText(
            "Better?", reasons, answer_limit=-1, disable_dropdown=False, **typing
        ),
        ui.FileUpload(
            "Photos",
            accepted_file_types=[".jpg", ".png"],
            max_file_size_mb=2.5,
            min_file_count=0,
            max_file_count=3,
        ),
        ui.StarRating("How good?", max_stars=10),
        ui.UnknownItem("video_narration", extra=wire_examples.LARGEST["video_narration"]),
    ]
    expected = [{"type": kind} | item for kind, item in wire_examples.LARGEST.items()]
    expected[3]["validation"] = {"type": "string", "min": 10}  # what is None is left out
    assert [item.to_dict() for item in made] == expected


def test_what_is_not_given_is_not_sent_but_for_the_answer_limit() -> None:
    assert ui.FreeText("?").to_dict() == {"type": "free_text", "description": "?"}
    assert ui.FreeText().to_dict() == {"type": "free_text"}
    assert ui.FileUpload("?").to_dict() == {"type": "file_upload", "description": "?"}
    assert ui.StarRating("?").to_dict() == {"type": "star_rating", "description": "?"}
    for question in (
        ui.MultipleChoice("?", ["A"]),
        ui.MultipleChoice("?", ["A"], answer_limit=None),
        ui.MultipleChoiceWithFreeText("?", [ui.Option("A", "A", heading="Why?")]),
    ):
        assert question.answer_limit == 1
        assert question.to_dict()["answer_limit"] == 1


def test_any_iterable_is_taken_once() -> None:
    def texts() -> Any:
        yield from ("A", "B")

    question = ui.MultipleChoice("?", texts())
    page = ui.Page(ui.Row(iter([item])) for item in (question, ui.RichText("a")))
    assert [row.columns[0].items for row in page.rows] == [(question,), (ui.RichText("a"),)]
