"""The items of a layout, which stand in its columns one below another.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (Configurable Layout). Defaults are
the service's: a field that is None is not sent.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from attrs import field, fields, frozen

from prolific_async._json.scalars import JsonObject  # noqa: F401 - named by the generated __init__
from prolific_async.layout import values
from prolific_async.layout.part import Part
from prolific_async.layout.questions import (
    FileUpload,
    FreeText,
    FreeTextWithUnit,
    MultipleChoice,
    MultipleChoiceWithFreeText,
    StarRating,
)


@frozen(repr=False)
class DatasetField(Part):
    """The value of one of the dataset's fields: text, an image, a recording or a video.

    The batch needs a dataset with a schema that has the field, and not as ``metadata``.

    Attributes:
        field: The field's name.
        type: Always "dataset_field".

    Raises:
        ValueError: The name is no text of 1 to 128 characters.

    """

    type: Literal["dataset_field"] = field(
        default="dataset_field", kw_only=True, repr=False, validator=values.equals_default
    )
    field: str = field(validator=values.name_of_field)


@frozen(repr=False)
class Image(Part):
    """A picture that is the same in all tasks.

    Attributes:
        url: Its https address.
        alt_text: Its description, for people who cannot see it.
        caption: The text below it.
        type: Always "image".

    Raises:
        ValueError: The address is not https, or another field is no text.

    """

    type: Literal["image"] = field(
        default="image", kw_only=True, repr=False, validator=values.equals_default
    )
    url: str = field(validator=values.https)
    alt_text: str = field(validator=values.text)
    caption: str | None = field(default=None, kw_only=True, validator=values.optional(values.text))


@frozen(repr=False)
class RichText(Part):
    """A formatted text.

    Attributes:
        content: The text.
        content_format: "html", the default, or "markdown".
        type: Always "rich_text".

    Raises:
        ValueError: The content is no text, or the format another.

    """

    type: Literal["rich_text"] = field(
        default="rich_text", kw_only=True, repr=False, validator=values.equals_default
    )
    content: str = field(validator=values.text)
    content_format: str | None = field(
        default=None, kw_only=True, validator=values.optional(values.one_of("html", "markdown"))
    )


@frozen(repr=False)
class UnknownItem(Part):
    """An item of a type that this release has no class for; its other keys are in ``extra``.

    Attributes:
        type: Its type, None if the service did not send one.

    Raises:
        ValueError: The type is no text, or one that has a class.

    """

    type: str | None = field(default=None)

    def _check(self) -> None:
        if not isinstance(self.type, str):
            raise ValueError(f"UnknownItem.type must be text: {values.shown(self.type)}")
        if self.type in _CLASSES:
            raise ValueError(f"UnknownItem.type must be unknown: use {_CLASSES[self.type]}")


Item: TypeAlias = (
    DatasetField
    | Image
    | RichText
    | FreeText
    | FreeTextWithUnit
    | MultipleChoice
    | MultipleChoiceWithFreeText
    | FileUpload
    | StarRating
    | UnknownItem
)
"""An item of a column."""

ITEMS: tuple[type[Item], ...] = get_args(Item)
"""The classes of items."""

_CLASSES = {fields(cls).type.default: cls.__name__ for cls in ITEMS}
