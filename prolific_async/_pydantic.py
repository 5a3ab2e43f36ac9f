"""Support for pydantic, and so FastAPI: how pydantic reads, writes and describes the models.

pydantic reads a model by ``from_dict`` and writes it by ``to_dict``, so that the results are the
same; the schema of the model's fields only describes it. Unlike ``to_dict``, pydantic's JSON has
U+FFFD for lone surrogates, as it is UTF-8, and null for inf and nan. The core never imports
pydantic: the functions here that import it are called only by pydantic.

Protocol: https://docs.pydantic.dev/latest/concepts/types/#customizing-validation-with-__get_pydantic_core_schema__
"""

from __future__ import annotations

import json
import re
from ast import literal_eval
from datetime import datetime
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, Union, get_args, get_origin

from attrs import NOTHING, Factory, fields, resolve_types

from prolific_async import _docstrings
from prolific_async.errors import DecodeError, ProlificError

JSON_SCHEMA = "json_schema"
"""Key in an attrs field's metadata for keywords to add to the field's JSON Schema."""

_SERIALIZER = "__pydantic_serializer__"
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_UNKNOWN_KEYS = "extra"  # the field for keys without a field of their own
# One step of a path such as $.datasets[1].id or $.fields['a'].type.
_STEP = re.compile(r"""\.(\w+)|\[(\d+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]""")
_PATH = re.compile(rf"\$(?:{_STEP.pattern})*")


class _Model(Protocol):
    @classmethod
    def from_dict(cls, data: Any) -> Self: ...
    def to_dict(self) -> dict[str, Any]: ...


class _Serializer:
    """pydantic's serializer of models where no annotation names their class, as with ``Any``."""

    def __init__(self) -> None:
        self._made: dict[type, Any] = {}

    def __get__(self, model: _Model | None, cls: type[_Model]) -> Any:
        if model is None:
            raise AttributeError(_SERIALIZER)
        if cls not in self._made:
            try:
                from pydantic_core import SchemaSerializer, core_schema  # noqa: PLC0415 - an extra's
            except ModuleNotFoundError:  # so the caller is not pydantic
                raise AttributeError(_SERIALIZER) from None
            written = core_schema.plain_serializer_function_ser_schema(_write, info_arg=True)
            self._made[cls] = SchemaSerializer(core_schema.any_schema(serialization=written))
        return self._made[cls]


class PydanticModel:
    """Base of the models that lets pydantic read, write and describe them."""

    __slots__ = ()

    _refuses_unknown_keys: ClassVar[bool] = False

    __pydantic_serializer__ = _Serializer()

    @classmethod
    def __get_pydantic_core_schema__(cls: type[_Model], _source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415 - an extra's

        def read(value: Any, _: Any) -> Any:
            return value if isinstance(value, cls) else _read(cls, value)

        read.__name__ = cls.__name__  # shown in pydantic's messages

        def write(value: Any, as_described: Any, info: Any) -> Any:
            if not isinstance(value, cls):
                return as_described(value)  # the JSON of a nested model, or a wrong type
            wire = _write(value, info)
            parts = info.include is not None or info.exclude is not None
            parts = parts or info.exclude_none or info.exclude_defaults
            return as_described(wire) if parts else wire

        return core_schema.no_info_wrap_validator_function(
            read,
            _described(cls, handler),
            ref=_reference(cls),
            serialization=core_schema.wrap_serializer_function_ser_schema(write, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        described = handler(schema)
        inside = handler.resolve_ref_schema(described)
        inside |= _titled(cls)
        properties = inside.get("properties", {})
        for name, words in _docstrings.fields(cls).items():
            if name in properties:
                properties[name]["description"] = words
        for field in _fields(cls):
            properties[field.name] |= field.metadata.get(JSON_SCHEMA, {})
        if (unknown := _unknown_keys(cls)) != "ignore":  # some versions of pydantic leave it out
            inside["additionalProperties"] = unknown == "allow"
        return described


class PydanticEnum:
    """Base of the string enums with unknown members that lets pydantic read and describe them."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415 - an extra's

        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), ref=_reference(cls)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls: Any, schema: Any, handler: Any) -> Any:
        described = handler(schema)
        inside = handler.resolve_ref_schema(described)
        del inside["type"]
        known = {"type": "string", "enum": [member.value for member in cls]}
        shown = {"anyOf": [known, {"type": "string"}]} if len(cls) else {"type": "string"}
        inside |= _titled(cls) | shown
        return described


def _read(cls: type[_Model], value: Any) -> _Model:
    """Read a model; raise pydantic's own ValidationError with the path of each fault."""
    from pydantic_core import PydanticCustomError, ValidationError  # noqa: PLC0415 - an extra's

    try:
        return cls.from_dict(value)
    except DecodeError as error:
        faults: list[Any] = []
        for problem in error.problems:
            path = match[0] if (match := _PATH.match(problem)) else ""
            reason = problem.removeprefix(f"{path}: ")
            steps = [literal_eval(key) if key else name for name, key in _STEP.findall(path)]
            is_missing = reason == "it is missing"
            # Without values to fill in, the template is the text.
            told = PydanticCustomError("decode_error", reason)
            kind = "missing" if is_missing else told
            at = _value_at(value, steps[:-1] if is_missing else steps)
            faults.append({"type": kind, "loc": tuple(steps), "input": at})
        raise ValidationError.from_exception_data(cls.__name__, faults) from None


def _write(model: _Model, info: Any) -> Any:
    """Return a model's ``to_dict``; for JSON, with U+FFFD for what UTF-8 cannot encode."""
    wire = model.to_dict()
    if info.mode == "json":
        try:
            _ENCODER.encode(wire).encode()
        except UnicodeEncodeError:  # the JSON of a response may have halves of surrogate pairs
            return _without_surrogates(wire)
    return wire


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return value


def _value_at(value: Any, steps: list[int | str]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _described(cls: type[Any], handler: Any) -> Any:
    """Return pydantic's schema for a JSON object with the fields of an attrs class."""
    from pydantic_core import core_schema  # noqa: PLC0415 - an extra's

    described = {}
    for field in _fields(cls):
        inner = handler.generate_schema(_json_type(field.type))
        if _is_shown(field.default):
            inner = core_schema.with_default_schema(inner, default=field.default)
        is_required = field.default is NOTHING
        described[field.name] = core_schema.typed_dict_field(inner, required=is_required)
    return core_schema.typed_dict_schema(described, extra_behavior=_unknown_keys(cls))


def _unknown_keys(cls: type[Any]) -> Literal["allow", "forbid", "ignore"]:
    if any(field.name == _UNKNOWN_KEYS for field in fields(cls)):
        return "allow"
    return "forbid" if cls._refuses_unknown_keys else "ignore"


def _is_shown(default: Any) -> bool:
    """Return whether the schema shows a default; None is not shown, as it means an absent key."""
    is_factory = isinstance(default, Factory)  # type: ignore[arg-type] # a class, but not in stubs
    return default not in (NOTHING, None) and not is_factory


class _Text:
    """An annotation for a field whose JSON is text: pydantic writes that text unchanged."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(source) | {"serialization": {"type": "str"}}


def _json_type(hint: Any) -> Any:
    """Return the type of a field's JSON, as pydantic describes it."""
    if hint is datetime:
        return Annotated[datetime, _Text]
    if isinstance(hint, type) and issubclass(hint, ProlificError):
        return str
    if get_origin(hint) is tuple:
        return list[_json_type(get_args(hint)[0])]  # type: ignore[misc] # a type of run time
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, map(_json_type, get_args(hint)))
    return hint


def _fields(cls: type[Any]) -> list[Any]:
    resolve_types(cls)
    return [field for field in fields(cls) if field.init and field.name != _UNKNOWN_KEYS]


def _reference(cls: type) -> str:
    """Return pydantic's key for a class's schema, which makes it a component in OpenAPI."""
    return f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"


def _titled(cls: type) -> dict[str, str]:
    words = _docstrings.summary(cls)
    return {"title": cls.__name__} | ({"description": words} if words else {})
