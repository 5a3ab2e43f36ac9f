"""Hooks that read objects and arrays of JSON: models, tuples, and whatever may be null.

cattrs' own would take for an array whatever can be iterated, and know no keys without a name.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin

from attrs import NOTHING, fields, resolve_types
from cattrs.errors import IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from prolific_async._json.decoding import named
from prolific_async._json.scalars import IntOrDigits, mapping

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


def is_or_none(cls: Any) -> bool:
    """Tell whether a type is ``X | None``."""
    arguments = get_args(cls)
    return len(arguments) == 2 and type(None) in arguments  # noqa: PLR2004 - X and None


def or_none_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Make the hook of ``X | None``; X's is looked up once, while cattrs does so at each value."""
    kind = _not_none(cls)
    inner = converter.get_structure_hook(kind)

    def hook(value: Any, _: Any) -> Any:
        return None if value is None else inner(value, kind)

    return hook


def _not_none(cls: Any) -> Any:
    return next(one for one in get_args(cls) if one is not type(None)) if is_or_none(cls) else cls


_ABSENT = object()
_PLAIN = {str: str, int: int, bool: bool, IntOrDigits: int}
"""By type of a field: the type of the values that need no hook."""


class _Step(NamedTuple):
    """How a model's field is read.

    Attributes:
        name: The field, and the key.
        plain: The type of the values that are taken as they are.
        hook: Reads all others.
        kind: What the hook is told of the type.
        default: What an absent key stands for, NOTHING if it must be there.
        null: What a null stands for, _ABSENT if the hook is to refuse it.

    """

    name: str
    plain: type | None
    hook: Callable[[Any, Any], Any]
    kind: Any
    default: Any
    null: Any


def model_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Make the hook of a model that keeps the keys that it has no name for.

    cattrs' own hook calls a function for each value, which takes twice as long. It reports every
    fault, so it reads again what the quick one has refused.
    """
    resolve_types(cls)
    if converter.detailed_validation:
        return _thorough(cls, converter)
    arrays = null_arrays(cls)
    steps = []
    for one in fields(cls):
        if not one.init or one.kw_only:
            continue
        kind = _not_none(one.type)
        null = () if one.name in arrays else _ABSENT if one.default is NOTHING else None
        hook = converter.get_structure_hook(kind)
        steps.append(_Step(one.name, _PLAIN.get(kind), hook, kind, one.default, null))
    return _quick(cls, tuple(steps))


def _thorough(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    arrays = null_arrays(cls)
    inner = make_dict_structure_fn(cls, converter, extra=override(omit=True))

    def hook(value: Any, _: Any) -> Any:
        wire = mapping(value, dict)
        return inner(wire | {key: [] for key in arrays if wire.get(key, key) is None}, cls)

    return hook


def _quick(cls: Any, steps: tuple[_Step, ...]) -> Callable[[Any, Any], Any]:
    names = frozenset(step.name for step in steps)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            mapping(value, dict)
        arguments = []
        nulls = []
        absent = 0
        for name, plain, of_kind, kind, default, null in steps:
            item = value.get(name, _ABSENT)
            if type(item) is plain:
                pass
            elif item is _ABSENT:
                if default is NOTHING:
                    raise KeyError(name)
                absent += 1
                item = default
            elif item is None and null is not _ABSENT:
                nulls.append(name)
                item = null
            else:
                item = of_kind(item, kind)
            arguments.append(item)
        model = cls(*arguments)
        if len(value) + absent != len(steps):
            extra = {key: value[key] for key in value if key not in names}
            object.__setattr__(model, "extra", MappingProxyType(extra))
        if nulls:
            object.__setattr__(model, "_nulls", frozenset(nulls))
        return model

    return hook


def null_arrays(cls: Any) -> frozenset[str]:
    """Return the fields of arrays that are never None: a null is read as an empty one."""
    return frozenset(
        one.name for one in fields(cls) if get_origin(one.type) is tuple and one.default is NOTHING
    )
