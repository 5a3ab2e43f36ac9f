"""Checks of one value of a layout, and its conversion to a plain value of JSON.

The checks are validators of attrs. They run when a caller makes a part of a layout, and not when
the service's JSON is read.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias
from urllib.parse import urlsplit

from attrs import Attribute
from attrs import validators as attrs_validators

from prolific_async._json.converter import JsonModel
from prolific_async._message_parts import brief
from prolific_async._numbers import number

Check: TypeAlias = "Callable[[Any, Attribute[Any], Any], None]"

_MAX_NAME = 128  # characters of the name of a dataset's field
_PLAIN = (str, int, float, bool)

optional = attrs_validators.optional


def plain(value: Any) -> Any:
    """Return a value of JSON as a plain ``str``, ``int``, ``float`` or ``bool``.

    It may be a member of an enum, of a subclass of ``str``, or a number or boolean of numpy. Any
    other value is returned as it is.
    """
    if isinstance(value, Enum):
        value = value.value
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if getattr(value, "dtype", None) == "bool" and getattr(value, "shape", None) == ():
        return bool(value)
    if not isinstance(value, SupportsFloat | SupportsIndex):
        return value
    try:
        as_float = number("it", value, least=-math.inf)
    except ValueError:  # JSON has no such number
        return value
    return operator.index(value) if isinstance(value, SupportsIndex) else as_float


def entries(given: Any) -> Any:
    """Return an iterable as a tuple; text, a mapping, a set or any other value as it is."""
    is_single = isinstance(given, str | bytes | Mapping | AbstractSet | JsonModel)
    return given if is_single or not isinstance(given, Iterable) else tuple(given)


def shown(value: object) -> str:
    """Return a value as it is shown at the end of a message."""
    return brief(repr(value))


def text(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is text."""
    if not isinstance(plain(value), str):
        raise _refusal(part, attribute, "text", value)


def equals_default(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is the field's default, the only valid value."""
    if plain(value) != attribute.default:
        raise _refusal(part, attribute, repr(attribute.default), value)


def name_of_field(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value can be the name of a dataset's field."""
    if not (isinstance(name := plain(value), str) and 1 <= len(name) <= _MAX_NAME):
        raise _refusal(part, attribute, f"text of 1 to {_MAX_NAME} characters", value)


def https(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is an https address."""
    try:
        address = urlsplit(plain(value))
        is_https = address.scheme == "https" and bool(address.hostname)
    except (AttributeError, TypeError, ValueError):
        is_https = False
    if not is_https:
        raise _refusal(part, attribute, "an https address", value)


def flag(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is True or False."""
    if not isinstance(plain(value), bool):
        raise _refusal(part, attribute, "True or False", value)


def scalar(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is text, a boolean or a finite number."""
    one = plain(value)
    if not (isinstance(one, str | bool) or is_number(one)):
        raise _refusal(part, attribute, "text, a finite number, True or False", value)


def finite(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is a finite number."""
    if not is_number(plain(value)):
        raise _refusal(part, attribute, "a finite number", value)


def above_zero(part: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that a value is a finite number above 0."""
    if not (is_number(one := plain(value)) and one > 0):
        raise _refusal(part, attribute, "a finite number above 0", value)


def is_number(value: object) -> bool:
    """Return whether a plain value is a finite number."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def whole_number(least: int, most: int | None = None) -> Check:
    """Return a check that a value is a whole number within bounds."""
    words = f"a whole number from {least}" + ("" if most is None else f" to {most}")

    def check(part: Any, attribute: Attribute[Any], value: Any) -> None:
        one = plain(value)
        if type(one) is not int or one < least or (most is not None and one > most):
            raise _refusal(part, attribute, words, value)

    return check


def one_of(*choices: str) -> Check:
    """Return a check that a value is one of some texts."""
    words = " or ".join(map(repr, choices))

    def check(part: Any, attribute: Attribute[Any], value: Any) -> None:
        if plain(value) not in choices:
            raise _refusal(part, attribute, words, value)

    return check


def instance_of(kind: type[Any]) -> Check:
    """Return a check that a value is of a class."""

    def check(part: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise _refusal(part, attribute, f"of the class {kind.__name__}", value)

    return check


def each(
    kind: type[Any] | tuple[type[Any], ...], words: str, *, least: int = 0, most: int | None = None
) -> Check:
    """Return a check that a value is a tuple of instances of a class, and of their number.

    Args:
        kind: The class, or several of them.
        words: What each element must be, for the messages, such as "a Row".
        least: The smallest valid number of them.
        most: The largest valid number of them, None for no limit.

    """
    counted = f"at least {least}" if most is None else f"{least} to {most}"
    noun = "element" if (most or least) == 1 else "elements"

    def check(part: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, tuple):
            raise _refusal(part, attribute, f"a list, each element {words}", value)
        where = f"{type(part).__name__}.{attribute.name}"
        for index, one in enumerate(value):
            if not isinstance(one, kind):
                raise ValueError(f"{where}[{index}] must be {words}: {shown(one)}")
        if len(value) < least or (most is not None and len(value) > most):
            raise ValueError(f"{where} must have {counted} {noun}, not {len(value)}")

    return check


def _refusal(part: Any, attribute: Attribute[Any], words: str, value: object) -> ValueError:
    return ValueError(f"{type(part).__name__}.{attribute.name} must be {words}: {shown(value)}")
