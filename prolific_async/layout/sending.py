"""Conversion of a call's layout to the JSON to send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from prolific_async._json.decoding import TOO_DEEP
from prolific_async.layout import values
from prolific_async.layout.pages import Page
from prolific_async.layout.part import Part

LayoutLike: TypeAlias = Iterable[Page | Mapping[str, Any]] | Mapping[str, Any]
"""A layout, as calls take it: pages, their JSON, or ``{"batch_items": […]}``."""

_KEY = "batch_items"
_WANTED = f'pages, a list of mappings, or {{"{_KEY}": [...]}}'


def batch_items(items: LayoutLike) -> list[dict[str, Any]]:
    """Return the JSON of a layout, as new lists and dicts of plain values.

    Pages were checked when they were made. Mappings are sent as they are: only the service judges
    them.

    Args:
        items: Pages, mappings in wire form, or both, in their order; or a mapping of
            ``batch_items`` to them.

    Raises:
        TypeError: It is something else, or an element is neither a page nor a mapping.
        ValueError: A mapping holds a value that is not JSON, or a key besides ``batch_items``.

    """
    given: Any = items
    path = "items"
    if isinstance(given, Mapping):
        if set(given) != {_KEY}:
            raise ValueError(
                f"items must be {_WANTED}; this mapping has the keys {values.shown(list(given))}"
            )
        given, path = given[_KEY], f"items[{_KEY!r}]"
    if not isinstance(pages := values.entries(given), tuple):
        kind = type(given).__name__
        hint = ": put it in a list of pages" if isinstance(given, Part) else ""
        raise TypeError(f"{path} must be {_WANTED}, not {kind}{hint}")
    return [_page(one, f"{path}[{index}]") for index, one in enumerate(pages)]


def _page(given: Any, path: str) -> dict[str, Any]:
    if not isinstance(given, Page | Mapping):
        raise TypeError(f"{path} must be a Page or a mapping, not {type(given).__name__}")
    try:
        page: dict[str, Any] = _plain(given, path)
    except RecursionError:
        raise ValueError(f"{path} is {TOO_DEEP}") from None
    return page


def _plain(value: Any, path: str) -> Any:
    """Return JSON, or a part of a layout, with plain values only."""
    if isinstance(value, Part):
        return _plain(value.to_dict(), path)
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(one, f"{path}[{key!r}]") for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, f"{path}[{index}]") for index, one in enumerate(value)]
    one = values.plain(value)
    if one is None or type(one) in (str, bool) or values.is_number(one):
        return one
    raise ValueError(f"{path} is not JSON: {values.shown(value)}")


def _key(key: object, path: str) -> str:
    if isinstance(text := values.plain(key), str):
        return text
    raise ValueError(f"{path} is not JSON: its key {values.shown(key)} is no text")
