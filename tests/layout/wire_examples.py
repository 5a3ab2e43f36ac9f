"""Layouts as the service sends them: each item with its required keys only, and with all keys.

Source: https://docs.prolific.com/api-reference/ai-task-builder (Configurable Layout).
"""

from __future__ import annotations

from typing import Any

VALIDATION = {"type": "number", "min": 0, "max": 9.5}
LENGTH = {"type": "string", "min": 10, "max": None}
OPTIONS = [{"label": "Yes", "value": True}, {"label": "No", "value": 0}]
REASONS = [
    {"label": "A", "value": "a", "heading": "Why A?"},
    {"label": "Neither", "value": 1.5, "heading": "Why?", "exclusive": True},
]
UNITS = [{"label": "cm", "value": "cm"}, {"label": "in", "value": 2, "validation": VALIDATION}]
TYPING = {"helper_text": "In short.", "placeholder_text_input": "Type here"}

SMALLEST: dict[str, dict[str, Any]] = {
    "dataset_field": {"field": "prompt"},
    "image": {"url": "https://example.com/a.png", "alt_text": "A map"},
    "rich_text": {"content": "<p>Hello</p>"},
    "free_text": {},  # stands so in an example of the service's
    "free_text_with_unit": {
        "description": "How long?",
        "unit_options": UNITS,
        "unit_position": "suffix",
    },
    "multiple_choice": {"description": "Good?", "answer_limit": 1, "options": OPTIONS},
    "multiple_choice_with_free_text": {
        "description": "Better?",
        "answer_limit": -1,
        "options": REASONS,
    },
    "file_upload": {"description": "A photo"},
    "star_rating": {"description": "How good?"},
    "video_narration": {"prompt": {"text": "Tell", "seconds": [30, None]}},
}
LARGEST: dict[str, dict[str, Any]] = {
    "dataset_field": SMALLEST["dataset_field"],
    "image": SMALLEST["image"] | {"caption": "Where we are"},
    "rich_text": SMALLEST["rich_text"] | {"content_format": "markdown"},
    "free_text": TYPING | {"description": "Why?", "validation": LENGTH},
    "free_text_with_unit": SMALLEST["free_text_with_unit"] | TYPING | {"default_unit": 2},
    "multiple_choice": SMALLEST["multiple_choice"] | TYPING | {"disable_dropdown": True},
    "multiple_choice_with_free_text": SMALLEST["multiple_choice_with_free_text"]
    | TYPING
    | {"disable_dropdown": False},
    "file_upload": {
        "description": "Photos",
        "accepted_file_types": [".jpg", ".png"],
        "max_file_size_mb": 2.5,
        "min_file_count": 0,
        "max_file_count": 3,
    },
    "star_rating": SMALLEST["star_rating"] | {"max_stars": 10},
    "video_narration": SMALLEST["video_narration"],
}
ITEMS = [
    {"type": kind} | item for examples in (SMALLEST, LARGEST) for kind, item in examples.items()
]
WITH_IDS = [{"id": f"i-{index}", "new": {"key": [None]}} | item for index, item in enumerate(ITEMS)]

# What the service may send although no caller may make it: newer values, looser bounds, nulls.
BEYOND_THE_RULES: list[dict[str, Any]] = [
    {"type": "dataset_field", "field": ""},
    {"type": "image", "url": "http://example.com/a", "alt_text": "", "caption": None},
    {"type": "rich_text", "content": "", "content_format": "asciidoc"},
    {"type": "free_text", "description": None, "validation": {"type": "date", "min": -1}},
    {"type": "free_text", "validation": {"type": "number", "min": 5, "max": 1, "step": 2}},
    {
        "type": "free_text_with_unit",
        "description": "",
        "unit_options": [],
        "unit_position": "above",
        "default_unit": False,
    },
    {"type": "multiple_choice", "description": "No limit", "options": OPTIONS},
    {"type": "multiple_choice", "description": "", "answer_limit": None, "options": None},
    {"type": "multiple_choice", "description": "", "answer_limit": 99, "options": []},
    {
        "type": "multiple_choice_with_free_text",
        "description": "",
        "answer_limit": 1,
        "options": [{"label": "", "value": "", "exclusive": True, "heading": None}],
    },
    {
        "type": "file_upload",
        "description": "",
        "accepted_file_types": ["jpg"],
        "max_file_size_mb": 0,
        "min_file_count": 9,
        "max_file_count": -1,
    },
    {"type": "file_upload", "description": "", "accepted_file_types": None},
    {"type": "star_rating", "description": "", "max_stars": 100},
    {"type": None},
    {},
    {"type": ["image"]} | {"url": 3},
]


def page(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a page with all items in one column."""
    return {"rows": [{"columns": [{"items": list(items)}]}]} | more


PAGES: list[dict[str, Any]] = [
    page(*WITH_IDS, id="p-1"),
    page(*BEYOND_THE_RULES[:-1], id=None),
    page({"type": "rich_text", "content": "Hi"}, display_position="intro"),
    page({"type": "free_text"}, display_position="middle"),
    {"id": "p-3", "rows": [], "display_position": None},
    {"rows": None, "title": "New"},
    {
        "id": "p-4",
        "rows": [
            {"id": "r-1", "columns": [], "height": 1},
            {"id": "r-2", "columns": [{"id": "c-1", "items": [], "width": 0.5}] * 3},
            {"columns": None},
            {"columns": [{"items": None}]},
            {"columns": [{"items": [{"type": "dataset_field", "field": "a"}] * 2}]},
        ],
    },
]
