"""The rules of a batch's layout (`batch_items`), and the ids that the service gives its nodes.

Source: "Configurable Layout (batch_items)" of docs.prolific.com. The form of the issues is that of
the errors of "create" and "update" under https://docs.prolific.com/api-reference/task-builder;
their `type` texts are not documented [?].
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from prolific_async.simulator.layout_item_rules import CONTENT, item_problems

__all__ = ["instruction_count", "instruction_items", "layout_issues", "node_ids", "with_ids"]

# For each kind of node, the key and the kind of the nodes in it.
_NESTING: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"page": ("rows", "row"), "row": ("columns", "column"), "column": ("items", "item")}
)
_MAX_COLUMNS = 2
# A page at the beginning or end of a task group, which shows no datapoint.
_FIXED_PAGES = ("intro", "outro")
_ON_FIXED_PAGES = ("image", "rich_text")

_Issue = dict[str, Any]


def layout_issues(pages: Any, fields: Collection[str] | None) -> list[_Issue]:
    """Return the issues of a layout, as the service lists them; empty if it is valid.

    Args:
        pages: The value of `batch_items`, not null.
        fields: The keys of the dataset's fields that can be shown; None without a dataset that
            has a schema.
    """
    if not isinstance(pages, list):
        return [_issue([], "not_a_list", "batch_items must be a list of pages.")]
    return [
        issue for index, page in enumerate(pages) for issue in _page_issues(page, index, fields)
    ]


def with_ids(pages: list[Any], known: Collection[str] = ()) -> list[Any]:
    """Return a copy of a valid layout with an id on every node.

    Known ids stay; nodes without an id, or with one that is unknown [?], get a new one.
    """
    left = set(known)
    return [_with_ids(page, "page", left) for page in pages]


def node_ids(pages: Any) -> set[str]:
    """Return the ids of a layout's nodes."""
    if isinstance(pages, list):
        return set().union(*map(node_ids, pages))
    if not isinstance(pages, dict):
        return set()
    found = {pages["id"]} if isinstance(pages.get("id"), str) else set()
    return found.union(*(node_ids(pages.get(key)) for key, _ in _NESTING.values()))


def instruction_count(pages: list[Any] | None) -> int:
    """Return the number of items that ask the participant for something."""
    return len(instruction_items(pages))


def instruction_items(pages: Any) -> list[dict[str, Any]]:
    """Return the items that ask the participant for something; the layout may be invalid."""
    items = [item for page in _children({"": pages}, "") for item, _ in _items(page, "page", [])]
    return [
        item
        for item in items
        if isinstance(item, dict)
        and isinstance(item.get("type"), str)
        and item["type"] not in CONTENT
    ]


def _with_ids(node: Mapping[str, Any], kind: str, left: set[str]) -> dict[str, Any]:
    given = node.get("id")
    keeps = isinstance(given, str) and given in left
    left.discard(str(given))  # an id belongs to one node
    node = {**node, "id": given if keeps else str(uuid.uuid4())}
    if kind in _NESTING:
        key, below = _NESTING[kind]
        node[key] = [_with_ids(child, below, left) for child in node[key]]
    return node


def _page_issues(page: Any, index: int, fields: Collection[str] | None) -> Iterator[_Issue]:
    position = page.get("display_position") if isinstance(page, dict) else None
    if position not in (None, *_FIXED_PAGES):
        yield _issue([index], "invalid", "It must be intro or outro.", "display_position")
    yield from _nesting_issues(page, "page", [index])
    shown: set[str] = set()
    for item, at in _items(page, "page", [index]):
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(kind, str) or not kind:
            yield _issue(at, "required", "An item needs a type.", "type")
            continue
        if position is not None and kind not in _ON_FIXED_PAGES:
            yield _issue(at, "invalid", f"No {kind} on an {position} page.", "type")
        for field, message in item_problems(item):
            missing = item.get(field) is None
            yield _issue(at, "required" if missing else "invalid", message, field)
        if kind == "dataset_field" and isinstance(item.get("field"), str):
            yield from _shown_field_issues(item["field"], at, fields, shown)


def _nesting_issues(node: Any, kind: str, at: list[int]) -> Iterator[_Issue]:
    """Yield an issue for each page, row or column that is empty or has too many parts."""
    if kind not in _NESTING:
        return
    key, below = _NESTING[kind]
    children = _children(node, key)
    if not children:
        yield _issue(at, "required", f"A {kind} needs {key}.", key)
    elif kind == "row" and len(children) > _MAX_COLUMNS:
        yield _issue(at, "too_many", f"A row has 1 to {_MAX_COLUMNS} columns.", key)
    for index, child in enumerate(children):
        yield from _nesting_issues(child, below, [*at, index])


def _items(node: Any, kind: str, at: list[int]) -> Iterator[tuple[Any, list[int]]]:
    """Yield the items in a node, each with its place."""
    if kind not in _NESTING:
        yield node, at
        return
    key, below = _NESTING[kind]
    for index, child in enumerate(_children(node, key)):
        yield from _items(child, below, [*at, index])


def _children(node: Any, key: str) -> list[Any]:
    children = node.get(key) if isinstance(node, dict) else None
    return children if isinstance(children, list) else []


def _shown_field_issues(
    field: str, at: list[int], fields: Collection[str] | None, shown: set[str]
) -> Iterator[_Issue]:
    if fields is None:
        yield _issue(at, "invalid", "The batch has no dataset with a schema.", "field")
    elif field not in fields:
        yield _issue(at, "invalid", f"The dataset shows no field {field}.", "field")
    if field in shown:
        yield _issue(at, "duplicate", f"{field} is on the page already.", "field")
    shown.add(field)


def _issue(at: list[int], kind: str, message: str, field: str | None = None) -> _Issue:
    place = dict(zip(("page", "row", "column", "item"), [*at, 0, 0, 0, 0], strict=False))
    issue = {**place, "type": kind, "message": message}
    return issue if field is None else {**issue, "field": field}
