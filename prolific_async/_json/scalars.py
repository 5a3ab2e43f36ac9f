"""Hooks that read one value of JSON, and refuse all of another type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from prolific_async._json.decoding import named
from prolific_async.errors import ProlificError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

IntOrDigits = Annotated[int, "a string of digits is read too"]
"""An int that the service sends both as a number and as a string."""

JsonObject = Mapping[str, Any]
"""An object whose inside nobody here reads."""


# Without a rule of its own, ``datetime`` would read week dates and any separator, and more of that
# with each release of Python. RFC 3339, and what ISO 8601 and databases add: no seconds, a short
# offset, or none.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d"
    r"(?::(?:[0-5]\d|((?<=:59:)60))(?:\.\d+)?)?"  # the group is a leap second
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?",
    re.ASCII,
)
_NEEDED = "an RFC 3339 time is needed"


def _exactly(kind: type[T]) -> Callable[[Any, Any], T]:
    wanted = {bool: "a boolean", dict: "an object", int: "an integer", list: "an array"}[kind]

    def hook(value: Any, _: Any) -> T:
        if type(value) is kind:
            return value
        raise TypeError(f"{wanted} is needed, not {named(value)}")

    return hook


array = _exactly(list)
boolean = _exactly(bool)
integer = _exactly(int)
mapping = _exactly(dict)


def string(value: Any, _: Any) -> str:
    """Read text."""
    if isinstance(value, str):
        return value
    raise TypeError(f"a string is needed, not {named(value)}")


def number(value: Any, _: Any) -> float:
    """Read a number with or without a fraction."""
    if type(value) in (int, float):
        return float(value)
    raise TypeError(f"a number is needed, not {named(value)}")


def int_or_digits(value: Any, _: Any) -> int:
    """Read an ``IntOrDigits``."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return integer(value, int)


def time(value: Any, _: Any) -> datetime:
    """Read a time."""
    return read_time(string(value, str))


def read_time(text: str) -> datetime:
    """Return a time in UTC, cut to microseconds; one without an offset is in UTC.

    A leap second is read as the second after it, as datetime knows none.

    Raises:
        ValueError: The text is not a time, or out of datetime's range.

    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(_NEEDED)
    leaps = found[1] is not None
    if leaps:
        start, end = found.span(1)
        text = f"{text[:start]}59{text[end:]}"
    try:
        moment = datetime.fromisoformat(text.upper())
        if leaps:
            moment += timedelta(seconds=1)
        if moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(_NEEDED) from None


def enum(value: Any, kind: Any) -> Any:
    """Read a member of an enum of texts."""
    return kind(value if type(value) is str else string(value, str))


def read_only(value: Any, _: Any) -> JsonObject:
    """Read a ``JsonObject``."""
    return MappingProxyType(mapping(value, dict))


def error(value: Any, _: Any) -> ProlificError:
    """Read an error from its text, which is all of it that is on the wire."""
    return ProlificError(string(value, str))
