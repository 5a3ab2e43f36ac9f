"""The rules of a batch's layout (`batch_items`), and the ids that the service gives its nodes."""

import uuid
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["instruction_count", "layout_issues", "node_ids", "with_ids"]

_CONTENT = frozenset({"dataset_field", "image", "rich_text"})
# Other types are let through: the service gets new ones, whose fields are not documented [?].
_REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dataset_field": ("field",),
        "image": ("url", "alt_text"),
        "rich_text": ("content",),
        "free_text_with_unit": ("description", "unit_options", "unit_position"),
        "multiple_choice": ("description", "answer_limit", "options"),
        "multiple_choice_with_free_text": ("description", "answer_limit", "options"),
        "file_upload": ("description",),
        "star_rating": ("description",),
    }
)
_CHILDREN: Mapping[str, str] = MappingProxyType(
    {"page": "rows", "row": "columns", "column": "items"}
)
_MAX_COLUMNS = 2


def layout_issues(pages: Any, fields: Collection[str] | None) -> list[dict[str, Any]]:
    """Return the issues of a layout, as the service lists them; empty if it is good.

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
    """Return a copy of a good layout with an id on every node.

    Known ids stay; nodes without an id, or with one that is unknown [?], get a new one.
    """
    return [_with_ids(page, "page", set(known)) for page in pages]


def node_ids(pages: Any) -> set[str]:
    """Return the ids of a layout's nodes."""
    if isinstance(pages, list):
        return set().union(*map(node_ids, pages))
    if not isinstance(pages, dict):
        return set()
    found = {pages["id"]} if isinstance(pages.get("id"), str) else set()
    return found.union(*(node_ids(pages.get(children)) for children in _CHILDREN.values()))


def instruction_count(pages: list[Any] | None) -> int:
    """Return the number of items that ask the participant for something."""
    return sum(
        item["type"] not in _CONTENT
        for page in pages or ()
        for row in page["rows"]
        for column in row["columns"]
        for item in column["items"]
    )


def _with_ids(node: dict[str, Any], kind: str, known: set[str]) -> dict[str, Any]:
    given = node.get("id")
    keeps = isinstance(given, str) and given in known
    if keeps:
        known.discard(given)  # an id belongs to one node
    node = {**node, "id": given if keeps else str(uuid.uuid4())}
    children = _CHILDREN.get(kind)
    if children is not None:
        below = {"page": "row", "row": "column", "column": "item"}[kind]
        node[children] = [_with_ids(child, below, known) for child in node[children]]
    return node


def _page_issues(page: Any, index: int, fields: Collection[str] | None) -> Iterator[dict[str, Any]]:
    shown: set[str] = set()
    position = page.get("display_position") if isinstance(page, dict) else None
    if position not in (None, "intro", "outro"):
        yield _issue([index], "invalid", "It must be intro or outro.", "display_position")
    for row, row_at in _children(page, "rows", [index]):
        if isinstance(row, dict) and isinstance(row.get("columns"), list):
            count = len(row["columns"])
            if count > _MAX_COLUMNS:
                yield _issue(row_at, "too_many", "A row has 1 or 2 columns.", "columns")
        if row is None:
            yield _issue(row_at, "required", "A page needs rows.", "rows")
            continue
        for column, column_at in _children(row, "columns", row_at):
            if column is None:
                yield _issue(column_at, "required", "A row needs columns.", "columns")
                continue
            for item, at in _children(column, "items", column_at):
                if item is None:
                    yield _issue(at, "required", "A column needs items.", "items")
                    continue
                yield from _item_issues(item, at, fields, shown)
                kind = item.get("type") if isinstance(item, dict) else None
                if position is not None and kind not in ("image", "rich_text"):
                    yield _issue(at, "invalid", f"No {kind} on an {position} page.", "type")


def _children(node: Any, key: str, at: list[int]) -> Iterator[tuple[Any, list[int]]]:
    """Yield the nodes below one, each with its place; None where there are none."""
    nodes = node.get(key) if isinstance(node, dict) else None
    if not isinstance(nodes, list) or not nodes:
        yield None, at
        return
    for index, child in enumerate(nodes):
        yield ({} if child is None else child), [*at, index]


def _item_issues(
    item: Any, at: list[int], fields: Collection[str] | None, shown: set[str]
) -> Iterator[dict[str, Any]]:
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(kind, str) or not kind:
        yield _issue(at, "required", "An item needs a type.", "type")
        return
    for key in _REQUIRED.get(kind, ()):
        if item.get(key) is None:
            yield _issue(at, "required", f"A {kind} needs {key}.", key)
    if kind == "dataset_field" and isinstance(field := item.get("field"), str):
        if fields is None:
            yield _issue(at, "invalid", "The batch has no dataset with a schema.", "field")
        elif field not in fields:
            yield _issue(at, "invalid", f"The dataset shows no field {field}.", "field")
        if field in shown:
            yield _issue(at, "duplicate", f"{field} is on the page already.", "field")
        shown.add(field)


def _issue(at: list[int], kind: str, message: str, field: str | None = None) -> dict[str, Any]:
    place = dict(zip(("page", "row", "column", "item"), [*at, 0, 0, 0, 0], strict=False))
    issue = {**place, "type": kind, "message": message}
    return issue if field is None else {**issue, "field": field}
