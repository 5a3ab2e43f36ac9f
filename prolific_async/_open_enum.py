"""``OpenEnum``: enums of the service's words, which also accept words that came later."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from prolific_async._pydantic import PydanticEnum


class OpenEnum(PydanticEnum, StrEnum):
    """A string enum that also accepts unknown strings and keeps them unchanged."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not registered with the enum: unseen values must not pile up in a long-lived process.
        unseen = str.__new__(cls, value)
        unseen._name_ = unseen._value_ = value
        return unseen
