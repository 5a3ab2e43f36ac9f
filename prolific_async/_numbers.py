"""Conversion of numbers from outside (numpy's, ``Decimal``, ``Fraction``) to ``float`` and ``int``.

Arithmetic with the originals would fail far from the cause: a ``Decimal``, for example, cannot be
added to a ``float``.
"""

from __future__ import annotations

import math
import operator
from datetime import timedelta
from typing import Any, SupportsFloat, SupportsIndex

from prolific_async._message_parts import brief


def number(
    name: str,
    value: object,
    *,
    least: float = 0.0,
    positive: bool = False,
    infinite: bool = False,
    or_none: bool = False,
) -> float:
    """Check a number and return it as a plain ``float``.

    Args:
        name: Name of the argument, for the message.
        value: Anything with ``__float__`` or ``__index__``, but no boolean and no text.
        least: The smallest value that is allowed.
        positive: Whether the value must be above 0; ``least`` is then ignored.
        infinite: Whether infinity is allowed.
        or_none: Whether the message says that None is allowed; the caller must handle None itself.

    Raises:
        ValueError: The value is no number, or is out of range.

    """
    if isinstance(value, timedelta) or "timedelta" in _dtype(value):
        raise ValueError(f"{name} must be a number, not a timedelta: give its total_seconds()")
    kind = "a number" if infinite else "a finite number"
    kind = f"{kind} above 0" if positive else f"{kind} from {least:g}"
    problem = f"{name} must be {kind}{', or None' if or_none else ''}"
    try:
        plain = value if type(value) is float else _as_float(value)
    except Exception as error:
        raise ValueError(f"{problem}: {_shown(value)}") from error
    if not (plain > 0 if positive else plain >= least) or (math.isinf(plain) and not infinite):
        raise ValueError(f"{problem}: {_shown(value)}")
    return plain


def whole(name: str, value: object, *, least: int) -> int:
    """Check a whole number and return it as a plain ``int``.

    Args:
        name: Name of the argument, for the message.
        value: Anything with ``__index__``, but no boolean.
        least: The smallest value that is allowed.

    Raises:
        ValueError: The value is no whole number, or is less than ``least``.

    """
    problem = f"{name} must be a whole number from {least}"
    try:
        plain = operator.index(_numeric(value))
    except Exception as error:
        raise ValueError(f"{problem}: {_shown(value)}") from error
    if plain < least:
        raise ValueError(f"{problem}: {_shown(value)}")
    return plain


def plain(value: object) -> int | float:
    """Return a real number of any type as a plain ``int`` or ``float``, which may be infinite.

    Raises:
        TypeError: The value is no number.
        OverflowError: The value is finite, but too large for a float.

    """
    numeric = _numeric(value)
    return operator.index(numeric) if hasattr(value, "__index__") else _as_float(numeric)


def _as_float(value: object) -> float:
    plain = float(_numeric(value))
    if math.isinf(plain) and value != plain:
        raise OverflowError("it is finite, but beyond every float")
    return plain


def _numeric(value: object) -> Any:
    """Return a number unchanged, or raise TypeError; float() would also accept text and bool."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat | SupportsIndex):
        raise TypeError("it is no number")
    dtype = _dtype(value)
    if dtype and not ("int" in dtype or "float" in dtype):
        raise TypeError(f"it is of the type {dtype}")
    return value


def _dtype(value: object) -> str:
    """Return the name of a value's numpy type, empty if it has none."""
    return str(getattr(value, "dtype", ""))


def _shown(value: object) -> str:
    try:
        return brief(repr(value))
    except Exception:  # noqa: BLE001 - the fault is the number; and repr refuses huge ints
        return f"<{type(value).__name__}>"
