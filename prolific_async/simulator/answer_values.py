"""Conversion of the answers that a test gives to the service's JSON, and to text for its report.

Sources: "get-task-builder-batch-task-responses" under
https://docs.prolific.com/api-reference/task-builder for `value`; the keys beside it are those that
github.com/prolific-oss/cli reads.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from prolific_async.simulator.numbers import real

__all__ = ["answer_entries", "answer_text", "default_answer"]

_Item = Mapping[str, Any]
_CHOICES = ("multiple_choice", "multiple_choice_with_free_text")


def default_answer(item: _Item, participant: int, datapoint: int) -> Any:
    """Return an answer that suits an item's type and varies with participant and datapoint."""
    # A checksum, as the sum of the two could be even for all.
    kind, number = item["type"], zlib.crc32(f"{participant} {datapoint}".encode())
    if kind in _CHOICES and (options := _options(item, "options")):
        return options[number % len(options)]["value"]
    if kind == "star_rating":
        return number % item.get("max_stars", 5) + 1
    if kind == "free_text_with_unit":
        return number % 100
    if kind == "file_upload":
        return f"file-{participant}-{datapoint}{(item.get('accepted_file_types') or ['.jpg'])[0]}"
    return f"Answer {participant} to datapoint {datapoint}"


def answer_entries(item: _Item, given: Any, folder: str) -> list[dict[str, Any]]:
    """Return the answer to an item as the service lists it.

    Args:
        item: The item of the layout.
        given: A value, a mapping of an entry's keys, or a list of these; None for no answer.
        folder: The folder of the participant's files, with which their keys begin.

    Raises:
        TypeError: A value is not text, a number, true or false.
        ValueError: It is the value of no option.
    """
    if given is None:
        return []
    entries = given if isinstance(given, list | tuple) else [given]
    return [_entry(item, each, folder) for each in entries]


def answer_text(item: _Item, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return an answer as the report shows it: a choice by the label of its option.

    How the report joins several choices, or a value and its unit, is not known [?].
    """
    return ", ".join(_text(item, entry) for entry in entries)


def _entry(item: _Item, given: Any, folder: str) -> dict[str, Any]:
    kind = item["type"]
    entry = dict(given) if isinstance(given, Mapping) else {}
    if kind == "file_upload":
        name = str(entry.setdefault("file_name", "file.jpg" if entry else given))
        _, dot, end = name.rpartition(".")
        made = {
            "file_key": f"{folder}/{name}",
            "file_size_mb": 0.1,
            "content_type": f"image/{end}" if dot else "application/octet-stream",
        }
        return {**made, **entry}
    value = entry.setdefault("value", None if isinstance(given, Mapping) else real(given))
    if not isinstance(value, str | int | float):
        raise TypeError(f"answer: text, a number, true or false is needed, not {value!r}")
    if kind in _CHOICES and _options(item, "options") and _option(item, "options", value) is None:
        known = [option["value"] for option in _options(item, "options")]
        raise ValueError(f"answer: {value!r} is the value of no option: {known!r}")
    if kind == "multiple_choice_with_free_text":
        entry.setdefault("explanation", "")
    if kind == "free_text_with_unit":
        units = _options(item, "unit_options")
        first = units[0]["value"] if units else ""
        entry.setdefault("unit", item.get("default_unit") or first)
    return entry


def _text(item: _Item, entry: Mapping[str, Any]) -> str:
    if "value" not in entry:
        return str(entry.get("file_name", ""))
    value = entry["value"]
    text = _label(item, "options", value) if item["type"] in _CHOICES else _plain(value)
    if "unit" in entry:
        unit = _label(item, "unit_options", entry["unit"])
        return f"{unit} {text}" if item.get("unit_position") == "prefix" else f"{text} {unit}"
    return f"{text}: {entry['explanation']}" if entry.get("explanation") else text


def _label(item: _Item, options: str, value: Any) -> str:
    option = _option(item, options, value)
    return _plain(value) if option is None else str(option["label"])


def _option(item: _Item, options: str, value: Any) -> Mapping[str, Any] | None:
    # JSON tells true from 1, but not 1 from 1.0.
    kind = isinstance(value, bool)
    for option in _options(item, options):
        if option["value"] == value and isinstance(option["value"], bool) is kind:
            return option
    return None


def _options(item: _Item, options: str) -> list[Mapping[str, Any]]:
    found = item.get(options)
    return found if isinstance(found, list) else []


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
