"""``UNSET``: the default of arguments for which None has a meaning of its own."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias


class _Unset(Enum):
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return self.value


Unset: TypeAlias = Literal[_Unset.UNSET]
"""The type of ``UNSET``, for the signatures of your own helpers."""

UNSET: Final = _Unset.UNSET
"""As an argument: leave that part of the batch as it is."""
