"""The questions of a layout: the items that participants answer.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (Configurable Layout). Defaults are
the service's unless a field says otherwise: a field that is None is not sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from attrs import field, frozen

from prolific_async._json.scalars import (
    JsonObject,  # noqa: F401 - named by the generated __init__
    Number,
    Scalar,
)
from prolific_async.layout import values
from prolific_async.layout.options import (
    Option,
    UnitOption,
    Validation,
    as_options,
    options,
    unit_options,
)
from prolific_async.layout.part import Part

_OPTIONAL_TEXT = values.optional(values.text)
_OPTIONAL_COUNT = values.optional(values.whole_number(0))
_OPTIONS = values.each(Option, "an Option or text", least=1)
_UNITS = values.each(UnitOption, "a UnitOption or text", least=2)
_UNLIMITED = -1


@frozen(eq=False, repr=False)  # each question defines its own equality
class TypedAnswer(Part):
    """Base class of the questions with a field to type into.

    Attributes:
        helper_text: A hint beside the question.
        placeholder_text_input: The text that the empty field shows.

    """

    helper_text: str | None = field(default=None, kw_only=True, validator=_OPTIONAL_TEXT)
    placeholder_text_input: str | None = field(default=None, kw_only=True, validator=_OPTIONAL_TEXT)


@frozen(repr=False)
class FreeText(TypedAnswer):
    """A question that is answered in words.

    Attributes:
        description: The question.
        validation: The bounds of the answer.
        type: Always "free_text".

    Raises:
        ValueError: A field is of a wrong type.

    """

    type: Literal["free_text"] = field(
        default="free_text", kw_only=True, repr=False, validator=values.equals_default
    )
    # Optional, as an example of the service's has none.
    description: str | None = field(default=None, validator=_OPTIONAL_TEXT)
    validation: Validation | None = field(
        default=None, kw_only=True, validator=values.optional(values.instance_of(Validation))
    )


@frozen(repr=False)
class FreeTextWithUnit(TypedAnswer):
    """A question that is answered in words or figures and with a unit.

    Attributes:
        description: The question.
        unit_options: The units, at least two; a text is both label and value.
        unit_position: Where they stand: "prefix" or "suffix".
        default_unit: The value of the unit that is chosen at first.
        type: Always "free_text_with_unit".

    Raises:
        ValueError: There are fewer than two units, the position is another, the default is the
            value of none of them, or a field is of a wrong type.

    """

    type: Literal["free_text_with_unit"] = field(
        default="free_text_with_unit", kw_only=True, repr=False, validator=values.equals_default
    )
    description: str = field(validator=values.text)
    unit_options: tuple[UnitOption, ...] = field(
        converter=unit_options, validator=_UNITS, repr=as_options
    )
    unit_position: str = field(validator=values.one_of("prefix", "suffix"))
    default_unit: Scalar | None = field(
        default=None, kw_only=True, validator=values.optional(values.scalar)
    )

    def _check(self) -> None:
        units = [one.value for one in self.unit_options]
        if self.default_unit is not None and self.default_unit not in units:
            raise ValueError(
                "FreeTextWithUnit.default_unit must be the value of a unit, one of "
                f"{values.shown(units)}: {values.shown(self.default_unit)}"
            )


@frozen(eq=False, repr=False)  # each of the two defines its own equality
class Choice(TypedAnswer):
    """Base class of the two kinds of multiple choice.

    Attributes:
        description: The question.
        options: The choices; a text is both label and value.
        answer_limit: How many of them may be chosen, -1 for any number. It is always sent: None
            becomes 1. When read it is None if the service did not send it.
        disable_dropdown: Whether five options and more are shown as a list, too.

    """

    description: str = field(validator=values.text)
    options: tuple[Option, ...] = field(converter=options, validator=_OPTIONS, repr=as_options)
    answer_limit: int | None = field(
        default=None, kw_only=True, validator=values.optional(values.whole_number(_UNLIMITED))
    )
    disable_dropdown: bool | None = field(
        default=None, kw_only=True, validator=values.optional(values.flag)
    )

    def _check(self) -> None:
        name, count = type(self).__name__, len(self.options)
        if self.answer_limit is None:
            object.__setattr__(self, "answer_limit", 1)
        limit = self.answer_limit
        if limit == 0 or (limit is not None and limit > count):
            raise ValueError(
                f"{name}.answer_limit must be -1, or from 1 to the number of options: "
                f"{limit} of {count}"
            )
        exclusive = [index for index, one in enumerate(self.options) if one.exclusive]
        if exclusive and limit == 1:
            raise ValueError(
                f"{name}.options[{exclusive[0]}] must not be exclusive: answer_limit is 1"
            )
        if len(exclusive) == count:
            raise ValueError(f"{name}.options must have one that is not exclusive")


@frozen(repr=False)
class MultipleChoice(Choice):
    """A question with given answers, one or more of which are chosen.

    Attributes:
        type: Always "multiple_choice".

    Raises:
        ValueError: There is no option, ``answer_limit`` is not -1 or from 1 to their number, an
            option is exclusive though only one may be chosen, all options are exclusive, or a field
            is of a wrong type.

    """

    type: Literal["multiple_choice"] = field(
        default="multiple_choice", kw_only=True, repr=False, validator=values.equals_default
    )


@frozen(repr=False)
class MultipleChoiceWithFreeText(Choice):
    """A question with given answers, each with a field for the reason.

    Attributes:
        type: Always "multiple_choice_with_free_text".

    Raises:
        ValueError: An option has no heading; or as ``MultipleChoice``.

    """

    type: Literal["multiple_choice_with_free_text"] = field(
        default="multiple_choice_with_free_text",
        kw_only=True,
        repr=False,
        validator=values.equals_default,
    )

    def _check(self) -> None:
        super()._check()
        for index, one in enumerate(self.options):
            if one.heading is None:
                raise ValueError(
                    f"MultipleChoiceWithFreeText.options[{index}] must have a heading: "
                    f"Option({one.label!r}, {one.value!r}, heading=...)"
                )


def _endings(given: Iterable[str] | None) -> tuple[str, ...] | None:
    found: Any = values.entries(given)
    return tuple(map(values.plain, found)) if isinstance(found, tuple) else found


@frozen(repr=False)
class FileUpload(Part):
    """A question that is answered with files.

    Attributes:
        description: The question.
        accepted_file_types: Endings, each with its dot, such as ".png".
        max_file_size_mb: The largest size of a file, in megabytes; 25 by default.
        min_file_count: The fewest files; 1 by default.
        max_file_count: The most files; 10 by default.
        type: Always "file_upload".

    Raises:
        ValueError: An ending has no dot, a number is out of range, ``min_file_count`` is above
            ``max_file_count``, or a field is of a wrong type.

    """

    type: Literal["file_upload"] = field(
        default="file_upload", kw_only=True, repr=False, validator=values.equals_default
    )
    description: str = field(validator=values.text)
    accepted_file_types: tuple[str, ...] | None = field(
        default=None,
        kw_only=True,
        converter=_endings,
        validator=values.optional(values.each(str, "text", least=1)),
    )
    max_file_size_mb: Number | None = field(
        default=None, kw_only=True, validator=values.optional(values.above_zero)
    )
    min_file_count: int | None = field(default=None, kw_only=True, validator=_OPTIONAL_COUNT)
    max_file_count: int | None = field(
        default=None, kw_only=True, validator=values.optional(values.whole_number(1))
    )

    def _check(self) -> None:
        for index, one in enumerate(self.accepted_file_types or ()):
            if not one.startswith(".") or len(one) == 1:
                raise ValueError(
                    f"FileUpload.accepted_file_types[{index}] must begin with a dot: "
                    f"{values.shown(one)}"
                )
        least, most = self.min_file_count, self.max_file_count
        if least is not None and most is not None and least > most:
            raise ValueError(
                f"FileUpload.min_file_count must not be above max_file_count: {least} > {most}"
            )


@frozen(repr=False)
class StarRating(Part):
    """A question that is answered with a number of stars.

    Attributes:
        description: The question.
        max_stars: The number of stars to choose from, 1 to 10; 5 by default.
        type: Always "star_rating".

    Raises:
        ValueError: There are too few or too many stars, or the question is no text.

    """

    type: Literal["star_rating"] = field(
        default="star_rating", kw_only=True, repr=False, validator=values.equals_default
    )
    description: str = field(validator=values.text)
    max_stars: int | None = field(
        default=None, kw_only=True, validator=values.optional(values.whole_number(1, 10))
    )
