"""Converter: JSON to models and back.

No value is coerced; cattrs by default would read ``null`` as the text "None". Keys that a model
does not know are kept in its ``extra``. The fast converter reads responses; the detailed one finds
every fault, and runs only after the fast one has failed.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Union, get_args, get_origin

from attrs import field, fields, frozen
from cattrs import Converter, ForbiddenExtraKeysError, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from prolific_async._json import model_code, reading, scalars
from prolific_async._json.decoding import TOO_DEEP
from prolific_async._json.scalars import IntOrDigits, JsonObject, Number, Scalar
from prolific_async._pydantic import PydanticModel
from prolific_async.errors import DecodeError, ProlificError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_NOTHING: JsonObject = MappingProxyType({})


def _read_only(mapping: JsonObject) -> JsonObject:
    # The reading hook sets ``extra`` itself, so this runs for models that are built by hand.
    return MappingProxyType(dict(mapping))


class JsonModel(PydanticModel):
    """A value that can be turned into JSON and read again; an attrs class."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read a mapping in wire form, such as one from ``to_dict``.

        Raises:
            DecodeError: A key is missing or has a wrong type; it lists every such path, of an
                array those of its first hundred faults.

        """
        return load_copy(cls, data)

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form: JSON values only, ``extra`` included, absent keys left out.

        Raises:
            DecodeError: What is in ``extra`` is nested too deep to be copied.

        """
        try:
            wire: dict[str, Any] = _converter(detailed=False).unstructure(self)
        except RecursionError:
            raise DecodeError((f"$: {TOO_DEEP}",), None) from None
        return wire


@frozen(eq=False, repr=False)  # each model defines its own equality
class WireModel(JsonModel):
    """A value that the service sends, keeps keys that it does not know, and can be sent back."""

    extra: JsonObject = field(default=_NOTHING, converter=_read_only, hash=False, kw_only=True)
    """Unknown keys of the response, read-only."""

    _nulls: frozenset[str] = field(
        default=frozenset(), init=False, eq=False, repr=False, kw_only=True
    )
    """Keys that were null: ``to_dict`` tells them from absent ones, and from empty arrays."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        """Show the fields in their order, and ``extra`` last, if there is any."""
        shown = [one.name for one in fields(type(self)) if one.repr and one.name != "extra"]
        said = [f"{name}={getattr(self, name)!r}" for name in shown]
        if self.extra:
            said.append(f"extra={dict(self.extra)!r}")
        return f"{type(self).__name__}({', '.join(said)})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def load_copy(cls: type[T], data: Any, *, at: str = "$") -> T:
    """Turn a caller's JSON into a model, which must not change with it.

    Raises:
        DecodeError: As ``load``, or it is not JSON.

    """
    try:
        own = copy.deepcopy(dict(data) if isinstance(data, Mapping) else data)
    except RecursionError:
        raise DecodeError((f"{at}: {TOO_DEEP}",), data) from None
    except Exception as error:  # noqa: BLE001 - whatever cannot be copied is not of JSON
        raise DecodeError((f"{at}: not JSON ({type(error).__name__})",), data) from None
    return load(cls, own, at=at)


def load(
    cls: type[T],
    data: Any,
    method: str | None = None,
    path: str | None = None,
    *,
    at: str = "$",
    within: Any = None,
) -> T:
    """Turn decoded JSON into a model: a whole response, or the part ``at`` a path ``within`` it.

    Raises:
        DecodeError: It does not fit; ``.problems`` has every bad path.

    """
    try:
        model: T = (_HOOKS.get(cls) or _hook(cls))(data, cls)
    except Exception:  # noqa: BLE001 - cattrs lets through what a hook or a constructor raises
        problems = _problems(cls, data, at)
    else:
        return model
    raise DecodeError(problems, data if within is None else within, method, path)


_HOOKS: dict[Any, model_code.Hook] = {}


def _hook(cls: Any) -> model_code.Hook:
    """Look up the hook of a class once: in cattrs, that takes a tenth of the time of a batch."""
    hook = _HOOKS[cls] = _converter(detailed=False).get_structure_hook(cls)
    return hook


def _problems(cls: type[Any], data: Any, at: str) -> tuple[str, ...]:
    try:
        _converter(detailed=True).structure(data, cls)
    except Exception as error:  # noqa: BLE001 - as above
        found = transform_error(error, at, _reason)
        return tuple(f"{path}: {reason}" for reason, path in (f.rsplit(" @ ", 1) for f in found))
    return (f"{at}: unreadable",)


def _reason(error: BaseException, _type: object) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        return f"there is no key {' or '.join(sorted(map(repr, error.extra_fields)))}"
    return "it is missing" if isinstance(error, KeyError) else str(error)


def _is_model(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, WireModel)


def _is_union_of_models(cls: Any) -> bool:
    return get_origin(cls) in (Union, UnionType) and all(map(_is_model, get_args(cls)))


def _is_plain_model(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, JsonModel)


def _plain_model_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    refuses = cls._refuses_unknown_keys
    inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=refuses)
    return lambda value, _: inner(scalars.mapping(value, dict), cls)


def _model_unhook(cls: type[Any], converter: Converter) -> Callable[[Any], dict[str, Any]]:
    inner = make_dict_unstructure_fn(cls, converter, extra=override(omit=True))
    arrays = reading.arrays_of(cls)
    nullable = [one.name for one in reading.wire_fields(cls) if one.default is None]

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


@functools.cache
def _converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed, unstruct_collection_overrides={tuple: list})
    converter.register_structure_hook(str, scalars.string)
    converter.register_structure_hook(int, scalars.integer)
    converter.register_structure_hook(float, scalars.number)
    converter.register_structure_hook(bool, scalars.boolean)
    converter.register_structure_hook(dict, scalars.mapping)
    converter.register_structure_hook(list, scalars.array)
    converter.register_structure_hook(datetime, reading.time)
    converter.register_structure_hook_func(lambda kind: kind == IntOrDigits, scalars.int_or_digits)
    converter.register_structure_hook_func(lambda kind: kind == Number, scalars.any_number)
    converter.register_structure_hook_func(
        lambda kind: kind in (Scalar, Scalar | None), scalars.scalar
    )
    converter.register_structure_hook(StrEnum, reading.enum)
    converter.register_structure_hook_func(reading.is_union_of_enums, reading.enum_of_union)
    converter.register_structure_hook_func(lambda kind: kind == JsonObject, scalars.read_only)
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) is tuple, reading.tuple_hook
    )
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) is Mapping and kind != JsonObject,
        reading.mapping_hook,
    )
    converter.register_structure_hook(ProlificError, scalars.error)
    converter.register_structure_hook_factory(_is_plain_model, _plain_model_hook)
    converter.register_structure_hook_factory(_is_model, reading.model_hook)
    converter.register_structure_hook_factory(_is_union_of_models, reading.union_hook)
    converter.register_unstructure_hook(ProlificError, str)
    converter.register_unstructure_hook(StrEnum, str)
    converter.register_unstructure_hook(
        datetime, lambda moment: moment.isoformat().replace("+00:00", "Z")
    )
    converter.register_unstructure_hook_func(
        lambda kind: kind == JsonObject, lambda value: copy.deepcopy(dict(value))
    )
    converter.register_unstructure_hook_factory(_is_model, _model_unhook)
    return converter
