"""Arrays of JSON to tuples: only arrays, and with a bound on how many faults are told of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from cattrs.errors import IterableValidationError, IterableValidationNote

from prolific_async._json.decoding import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter

MAX_PROBLEMS = 100
"""Faults in an array after which the rest of it is not read: each takes 0.1 ms to tell."""


def tuple_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Make the hook of a ``tuple[X, ...]``, where cattrs' own takes whatever can be iterated."""
    kind, _ = get_args(cls)
    item = converter.get_structure_hook(kind)

    def hook(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise TypeError(f"an array is needed, not {named(value)}")
        return tuple([item(one, kind) for one in value])

    def thorough(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            return hook(value, cls)
        items: list[Any] = []
        errors: list[Exception] = []
        found = 0
        for index, one in enumerate(value):
            try:
                items.append(item(one, kind))
            except Exception as error:  # noqa: BLE001 - whatever a hook raises
                error.add_note(IterableValidationNote("", index, kind))
                errors.append(error)
                found += _weight(error)
                if found >= MAX_PROBLEMS:
                    break
        if errors:
            raise IterableValidationError("", errors, cls)
        return tuple(items)

    return thorough if converter.detailed_validation else hook


def _weight(error: BaseException) -> int:
    """Count the faults that an error holds."""
    if isinstance(error, BaseExceptionGroup):
        return sum(map(_weight, error.exceptions))
    return 1
