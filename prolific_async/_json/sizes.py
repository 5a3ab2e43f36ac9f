"""How much memory decoded JSON takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def fits(value: Any, most: int) -> bool:
    """Return whether a value takes at most ``most`` bytes; stop counting once it takes more."""
    values = [value]
    while values:
        one = values.pop()
        most -= sys.getsizeof(one)
        if most < 0:
            return False
        if isinstance(one, Mapping):
            values += one.keys()
            values += one.values()
        elif isinstance(one, list | tuple):
            values += one
    return True
