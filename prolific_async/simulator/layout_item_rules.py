"""The rules of one item of a batch's layout.

Source: "Configurable Layout (batch_items)" of docs.prolific.com. Items of other types are let
through: the service gets new ones, whose fields are not documented [?].
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["CONTENT", "item_problems"]

CONTENT = frozenset({"dataset_field", "image", "rich_text"})
"""The types of items that are shown only, and ask the participant for nothing."""

_Problem = tuple[str, str]  # the field at fault, and a sentence
_CHOICE = ("description", "answer_limit", "options")
# A `free_text` without description stands in an official example.
_REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dataset_field": ("field",),
        "image": ("url", "alt_text"),
        "rich_text": ("content",),
        "free_text_with_unit": ("description", "unit_options", "unit_position"),
        "multiple_choice": _CHOICE,
        "multiple_choice_with_free_text": _CHOICE,
        "file_upload": ("description",),
        "star_rating": ("description",),
    }
)
_MAX_STARS = 10


def item_problems(item: Mapping[str, Any]) -> Iterator[_Problem]:
    """Yield each field of an item that breaks a rule, and what is wrong with it."""
    missing = [key for key in _REQUIRED.get(item["type"], ()) if item.get(key) is None]
    for key in missing:
        yield key, f"The item {item['type']} needs {key}."
    if not missing and (rules := _RULES.get(item["type"])):
        yield from rules(item)


def _image(item: Mapping[str, Any]) -> Iterator[_Problem]:
    if not str(item["url"]).startswith("https://"):
        yield "url", "It must be https."


def _rich_text(item: Mapping[str, Any]) -> Iterator[_Problem]:
    if item.get("content_format") not in (None, "html", "markdown"):
        yield "content_format", "It must be html or markdown."


def _free_text(item: Mapping[str, Any]) -> Iterator[_Problem]:
    yield from _validation(item.get("validation"))


def _free_text_with_unit(item: Mapping[str, Any]) -> Iterator[_Problem]:
    if item["unit_position"] not in ("prefix", "suffix"):
        yield "unit_position", "It must be prefix or suffix."
    units = _options(item["unit_options"])
    if units is None or len(units) < 2:  # noqa: PLR2004 - one unit is no choice
        yield "unit_options", "It needs 2 or more, each with a label and a value."
        return
    if item.get("default_unit") not in (None, *(unit["value"] for unit in units)):
        yield "default_unit", "It must be the value of a unit."
    for unit in units:
        yield from _validation(unit.get("validation"))


def _multiple_choice(item: Mapping[str, Any]) -> Iterator[_Problem]:
    options, limit = _options(item["options"]), item["answer_limit"]
    if not options:
        yield "options", "It needs 1 or more, each with a label and a value."
        return
    if type(limit) is not int or not (limit == -1 or 1 <= limit <= len(options)):
        yield "answer_limit", "It must be -1, or from 1 to the number of options."
    exclusive = sum(bool(option.get("exclusive")) for option in options)
    if exclusive and limit == 1:
        yield "options", "No option can be exclusive if answer_limit is 1."
    elif exclusive == len(options):
        yield "options", "At least one option must not be exclusive."


def _multiple_choice_with_free_text(item: Mapping[str, Any]) -> Iterator[_Problem]:
    yield from _multiple_choice(item)
    if any(not option.get("heading") for option in _options(item["options"]) or ()):
        yield "options", "Each needs a heading."


def _file_upload(item: Mapping[str, Any]) -> Iterator[_Problem]:
    types = item.get("accepted_file_types") or []
    if not isinstance(types, list) or not all(str(each).startswith(".") for each in types):
        yield "accepted_file_types", "Each must start with a dot."
    least, most = item.get("min_file_count"), item.get("max_file_count")
    if type(least) is int and type(most) is int and least > most:
        yield "max_file_count", "It must not be below min_file_count."


def _star_rating(item: Mapping[str, Any]) -> Iterator[_Problem]:
    stars = item.get("max_stars", 5)
    if type(stars) is not int or not 1 <= stars <= _MAX_STARS:
        yield "max_stars", f"It must be from 1 to {_MAX_STARS}."


def _options(options: Any) -> list[Mapping[str, Any]] | None:
    """Return options of which each has a label and a value, or None."""
    if not isinstance(options, list):
        return None
    for option in options:
        if not isinstance(option, dict) or None in (option.get("label"), option.get("value")):
            return None
    return options


def _validation(rule: Any) -> Iterator[_Problem]:
    if rule is None:
        return
    if not isinstance(rule, dict) or rule.get("type") not in ("number", "string"):
        yield "validation", "Its type must be number or string."
        return
    least, most = rule.get("min"), rule.get("max")
    if any(isinstance(limit, str | list | dict | bool) for limit in (least, most)):
        yield "validation", "min and max must be numbers or null."
    elif least is not None and most is not None and least > most:
        yield "validation", "max must not be below min."


_RULES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[_Problem]]] = MappingProxyType(
    {
        "image": _image,
        "rich_text": _rich_text,
        "free_text": _free_text,
        "free_text_with_unit": _free_text_with_unit,
        "multiple_choice": _multiple_choice,
        "multiple_choice_with_free_text": _multiple_choice_with_free_text,
        "file_upload": _file_upload,
        "star_rating": _star_rating,
    }
)
