"""The cattrs converters of models.

No value is coerced; cattrs by default would read ``null`` as the text "None".
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from cattrs import Converter, ForbiddenExtraKeysError, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from prolific_async._json import scalars, structure_hooks
from prolific_async._json.scalars import IntOrDigits, JsonObject, Number, Scalar
from prolific_async._tracebacks import without_frames
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from collections.abc import Callable


def problems(converter: Converter, cls: type[Any], data: Any, at: str) -> tuple[str, ...]:
    """Return why data does not fit a model, as one "path: reason" for each fault.

    Args:
        converter: A converter that was made with ``detailed=True``.
        cls: The model.
        data: The decoded JSON that does not fit.
        at: JSON path of the data, the start of each path that is returned.

    """
    try:
        converter.structure(data, cls)
    except Exception as error:  # noqa: BLE001 - cattrs lets through what a hook raises
        found = transform_error(error, at, _reason)
        # Hooks keep the errors in local variables: errors and frames would be reference cycles.
        without_frames(error)
        return tuple(f"{path}: {reason}" for reason, path in (f.rsplit(" @ ", 1) for f in found))
    return (f"{at}: unreadable",)


def _reason(error: BaseException, _type: object) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        names = sorted(map(repr, error.extra_fields))
        return f"unknown key{'s' if len(names) > 1 else ''} {', '.join(names)}"
    return "it is missing" if isinstance(error, KeyError) else str(error)


def _plain_model_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    refuses = cls._refuses_unknown_keys
    inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=refuses)
    return lambda value, _: inner(scalars.mapping(value, dict), cls)


def _model_to_dict_hook(cls: type[Any], converter: Converter) -> Callable[[Any], dict[str, Any]]:
    inner = make_dict_unstructure_fn(cls, converter, extra=override(omit=True))
    arrays = structure_hooks.arrays_of(cls)
    nullable = [one.name for one in structure_hooks.wire_fields(cls) if one.default is None]

    def unhook(model: Any) -> dict[str, Any]:
        wire: dict[str, Any] = inner(model)
        nulls = model._nulls  # noqa: SLF001 - of the models
        for key in nullable:
            if wire[key] is None and key not in nulls:
                del wire[key]
        for key in nulls & arrays:
            wire[key] = wire[key] or None
        return wire | copy.deepcopy(dict(model.extra))

    return unhook


def new_converter(plain_model: type[Any], wire_model: type[Any], *, detailed: bool) -> Converter:
    """Return a converter of models.

    Args:
        plain_model: The base of all models.
        wire_model: The base of the models that keep unknown keys.
        detailed: Whether the converter finds every fault, not only the first.

    """

    def is_plain_model(cls: Any) -> bool:
        return isinstance(cls, type) and issubclass(cls, plain_model)

    def is_wire_model(cls: Any) -> bool:
        return isinstance(cls, type) and issubclass(cls, wire_model)

    def is_union_of_models(cls: Any) -> bool:
        return get_origin(cls) in (Union, UnionType) and all(map(is_wire_model, get_args(cls)))

    converter = Converter(detailed_validation=detailed, unstruct_collection_overrides={tuple: list})
    converter.register_structure_hook(str, scalars.string)
    converter.register_structure_hook(int, scalars.integer)
    converter.register_structure_hook(float, scalars.number)
    converter.register_structure_hook(bool, scalars.boolean)
    converter.register_structure_hook(dict, scalars.mapping)
    converter.register_structure_hook(list, scalars.array)
    converter.register_structure_hook(datetime, structure_hooks.time)
    converter.register_structure_hook_func(lambda kind: kind == IntOrDigits, scalars.int_or_digits)
    converter.register_structure_hook_func(lambda kind: kind == Number, scalars.any_number)
    converter.register_structure_hook_func(
        lambda kind: kind in (Scalar, Scalar | None), scalars.scalar
    )
    converter.register_structure_hook(StrEnum, structure_hooks.enum)
    converter.register_structure_hook_func(
        structure_hooks.is_union_of_enums, structure_hooks.enum_of_union
    )
    converter.register_structure_hook_func(lambda kind: kind == JsonObject, scalars.read_only)
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) is tuple, structure_hooks.tuple_hook
    )
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) is Mapping and kind != JsonObject,
        structure_hooks.mapping_hook,
    )
    converter.register_structure_hook(ProlificError, scalars.error)
    converter.register_structure_hook_factory(is_plain_model, _plain_model_hook)
    converter.register_structure_hook_factory(is_wire_model, structure_hooks.model_hook)
    converter.register_structure_hook_factory(is_union_of_models, structure_hooks.union_hook)
    converter.register_unstructure_hook(ProlificError, str)
    converter.register_unstructure_hook(StrEnum, str)
    converter.register_unstructure_hook(
        datetime, lambda moment: moment.isoformat().replace("+00:00", "Z")
    )
    converter.register_unstructure_hook_func(
        lambda kind: kind == JsonObject, lambda value: copy.deepcopy(dict(value))
    )
    converter.register_unstructure_hook_factory(is_wire_model, _model_to_dict_hook)
    return converter
