"""``Option``, ``UnitOption`` and ``Validation``: parts of the questions of a layout.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (Configurable Layout).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

from prolific_async._json.scalars import (
    JsonObject,  # noqa: F401 - named by the generated __init__
    Number,
    Scalar,
)
from prolific_async.layout import values
from prolific_async.layout.part import Part, as_list

_OPTIONAL_TEXT = values.optional(values.text)


@frozen(repr=False)
class Validation(Part):
    """The bounds of the text or number that participants enter.

    Attributes:
        type: "number", or "string", whose bounds are numbers of characters.
        min: The lower bound, None for none.
        max: The upper bound, None for none.

    Raises:
        ValueError: The type is another, a bound is no finite number, or no whole number from 0 for
            "string", or ``min`` is above ``max``.

    """

    type: str = field(validator=values.one_of("number", "string"))
    min: Number | None = field(default=None, kw_only=True, validator=values.optional(values.finite))
    max: Number | None = field(default=None, kw_only=True, validator=values.optional(values.finite))

    def _check(self) -> None:
        for name, bound in (("min", self.min), ("max", self.max)):
            if self.type == "string" and bound is not None and not _is_count(bound):
                raise ValueError(
                    f"Validation.{name} must be a whole number from 0 for 'string': {bound!r}"
                )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(
                f"Validation.min must not be above max: min={self.min!r}, max={self.max!r}"
            )


def _is_count(bound: float) -> bool:
    return isinstance(bound, int) and bound >= 0


@frozen(repr=False)
class Option(Part):
    """A choice of a question. A plain text stands for an option with that label and value.

    Attributes:
        label: The text that participants see.
        value: The value in their answers: text, a number or a boolean.
        heading: The heading of the option's own text field, which
            ``MultipleChoiceWithFreeText`` needs.
        exclusive: Whether choosing it excludes the others.

    Raises:
        ValueError: A field is of a wrong type, or the value is no finite number.

    """

    label: str = field(validator=values.text)
    value: Scalar = field(validator=values.scalar)
    heading: str | None = field(default=None, kw_only=True, validator=_OPTIONAL_TEXT)
    exclusive: bool | None = field(
        default=None, kw_only=True, validator=values.optional(values.flag)
    )


@frozen(repr=False)
class UnitOption(Part):
    """A unit of a ``FreeTextWithUnit``. A plain text stands for a unit with that label and value.

    Attributes:
        label: The text that participants see.
        value: The value in their answers.
        validation: The bounds of answers in this unit, None for none.

    Raises:
        ValueError: A field is of a wrong type, or the value is no finite number.

    """

    label: str = field(validator=values.text)
    value: Scalar = field(validator=values.scalar)
    validation: Validation | None = field(
        default=None, kw_only=True, validator=values.optional(values.instance_of(Validation))
    )


def options(given: Iterable[Option | str]) -> tuple[Option, ...]:
    """Return options, each of which may be given as text."""
    made: tuple[Option, ...] = _from_texts(Option, given)
    return made


def unit_options(given: Iterable[UnitOption | str]) -> tuple[UnitOption, ...]:
    """Return units, each of which may be given as text."""
    made: tuple[UnitOption, ...] = _from_texts(UnitOption, given)
    return made


def _from_texts(kind: type[Option | UnitOption], given: Any) -> Any:
    """Turn texts in a list of options into options; leave other values to the field's check."""
    found = values.entries(given)
    if not isinstance(found, tuple):
        return found
    named = ((one, values.plain(one)) for one in found)
    return tuple(kind(name, name) if isinstance(name, str) else one for one, name in named)


def as_options(made: Iterable[Option | UnitOption]) -> str:
    """Return the repr of options as a list, with a text for each whose label is its value."""
    return as_list(made, _shown)


def _shown(option: Option | UnitOption) -> str:
    is_text = option == type(option)(option.label, option.label)
    return repr(option.label if is_text else option)
