"""Hooks that read one JSON value, and raise TypeError for a value of another type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from prolific_async._json.decoding import json_type_name
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

IntOrDigits = Annotated[int, "a string of digits is read too"]
"""An int that the service sends both as a number and as a string."""

Number = Annotated[float, "an integer stays one"]
"""A number that stays an int or a float, as it came."""

Scalar = str | int | float | bool
"""A text, a number or a boolean."""

JsonObject = Mapping[str, Any]
"""An object whose content no model describes."""


def _exactly(kind: type[T]) -> Callable[[Any, Any], T]:
    wanted = {bool: "a boolean", dict: "an object", int: "an integer", list: "an array"}[kind]

    def hook(value: Any, _: Any) -> T:
        if type(value) is kind:
            return value
        raise TypeError(f"{wanted} is needed, not {json_type_name(value)}")

    return hook


array = _exactly(list)
boolean = _exactly(bool)
integer = _exactly(int)
mapping = _exactly(dict)


def string(value: Any, _: Any) -> str:
    """Read text."""
    if isinstance(value, str):
        return value
    raise TypeError(f"a string is needed, not {json_type_name(value)}")


def number(value: Any, _: Any) -> float:
    """Read a number as a float."""
    if type(value) in (int, float):
        return float(value)
    raise TypeError(f"a number is needed, not {json_type_name(value)}")


def any_number(value: Any, _: Any) -> float:
    """Read a ``Number``."""
    number(value, float)
    return value  # type: ignore[no-any-return] # an int or a float, as number() has checked


def scalar(value: Any, kind: Any) -> Any:
    """Read a ``Scalar``, or None where its type allows for it."""
    if type(value) in _SCALARS or (value is None and NoneType in get_args(kind)):
        return value
    raise TypeError(f"a string, a number or a boolean is needed, not {json_type_name(value)}")


_SCALARS = get_args(Scalar)


def int_or_digits(value: Any, _: Any) -> int:
    """Read an ``IntOrDigits``."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return integer(value, int)


def read_only(value: Any, _: Any) -> JsonObject:
    """Read a ``JsonObject``."""
    return MappingProxyType(mapping(value, dict))


def error(value: Any, _: Any) -> ProlificError:
    """Read an error from its text, the only part of it in the wire form."""
    return ProlificError(string(value, str))
