"""``DatasetSchema``: the fields of a dataset's rows; a dataset that has them is of version 4.

Facts: https://docs.prolific.com/api-reference/ai-task-builder (defining a dataset schema).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from attrs import field, frozen

from prolific_async._json.converter import WireModel
from prolific_async._json.scalars import JsonObject
from prolific_async._message_parts import brief
from prolific_async._open_enum import OpenEnum

V3, V4 = 3, 4
"""Generations of datasets: without and with a schema."""

MAX_FIELDS = 200
MAX_KEY = 128  # characters
MAX_LABEL = 255  # characters


class FieldType(OpenEnum):
    """The type of a dataset's field.

    The enum is open: an unknown value is kept unchanged, and equals its string.

    Source: https://docs.prolific.com/api-reference/ai-task-builder (defining a dataset schema).
    """

    TEXT = "text"
    """Text that participants see."""
    IMAGE_URL = "image_url"
    """The address of an image."""
    AUDIO_URL = "audio_url"
    """The address of a recording."""
    VIDEO_URL = "video_url"
    """The address of a film."""
    METADATA = "metadata"
    """Data that participants do not see, and that comes back with their answers."""
    TASK_GROUP_ID = "task_group_id"
    """An id that the tasks of one group share; at most one field is of this type."""


_KNOWN = frozenset(FieldType)


@frozen(repr=False)
class SchemaField(WireModel):
    """A field of a dataset.

    Attributes:
        type: Its type.
        label: Its name for people, at most 255 characters; None if it has none.

    Raises:
        ValueError: The type is none of ``FieldType``, or the label is too long. ``from_dict`` reads
            newer types, too.

    """

    type: FieldType = field(converter=FieldType)
    label: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.type not in _KNOWN:
            known = ", ".join(map(repr, map(str, FieldType)))
            raise ValueError(f"{brief(repr(str(self.type)))} is no type of a field: {known}")
        if self.label is not None and not isinstance(self.label, str):
            raise ValueError(f"a field's label must be text, not {type(self.label).__name__}")
        if self.label is not None and len(self.label) > MAX_LABEL:
            raise ValueError(
                f"a field's label has at most {MAX_LABEL} characters, not {len(self.label)}"
            )


def _fields(given: JsonObject) -> Mapping[str, SchemaField]:
    """Return fields whose types may be given as text, or as in JSON, as a read-only mapping."""
    if not isinstance(given, Mapping):
        raise ValueError(f"fields must be a mapping of names to types, not {type(given).__name__}")
    return MappingProxyType({name: _field(name, one) for name, one in given.items()})


def _field(name: object, given: object) -> SchemaField:
    if not isinstance(name, str):
        raise ValueError(f"the name of a field must be text, not {type(name).__name__}")
    shown = f"the field {brief(repr(name))}"
    if not 1 <= len(name) <= MAX_KEY:
        raise ValueError(f"{shown}: a name has 1 to {MAX_KEY} characters, not {len(name)}")
    try:
        return given if isinstance(given, SchemaField) else _parsed_field(given)
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None


def _parsed_field(given: object) -> SchemaField:
    if isinstance(given, str):
        return SchemaField(given)
    if not isinstance(given, Mapping):
        raise ValueError(f"its type must be text, not {type(given).__name__}")
    if "type" not in given or given.keys() - {"type", "label"}:
        raise ValueError(f"a field has a 'type' and perhaps a 'label', not {brief(repr(given))}")
    return SchemaField(given["type"], given.get("label"))


@frozen(hash=False, repr=False)
class DatasetSchema(WireModel):
    """The fields of a dataset's rows. A dataset that is created with one is of version 4.

    It is read-only, compares by value and can be hashed.

    Attributes:
        fields: The fields by their names, which are the keys of rows and the columns of files; at
            most 200, with names of 1 to 128 characters. The constructor takes a type, such as
            "text", for a field, too.
        strict: Whether a row without one of the fields is rejected.

    Raises:
        ValueError: There are too many fields, a name or a label is too long, a type is unknown, or
            more than one field is a ``task_group_id``.

    Example:
        ```python
        DatasetSchema.of(prompt="text", picture="image_url", model="metadata")
        ```

    """

    fields: Mapping[str, SchemaField] = field(converter=_fields)
    strict: bool = True

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.strict, bool):
            raise ValueError(f"strict must be a bool: {brief(repr(self.strict))}")
        if len(self.fields) > MAX_FIELDS:
            raise ValueError(f"a schema has at most {MAX_FIELDS} fields, not {len(self.fields)}")
        groups = [name for name, one in self.fields.items() if one.type == FieldType.TASK_GROUP_ID]
        if len(groups) > 1:
            named = brief(", ".join(map(repr, groups)))
            raise ValueError(f"at most one field can be a task_group_id, not {named}")

    def __hash__(self) -> int:
        return hash((self.strict, frozenset(self.fields.items())))

    def __repr__(self) -> str:
        """Show the fields as the constructor takes them."""
        fields = {
            name: str(one.type) if list(wire) == ["type"] else wire
            for name, one in self.fields.items()
            for wire in [one.to_dict()]
        }
        strict = "" if self.strict else ", strict=False"
        extra = f", extra={dict(self.extra)!r}" if self.extra else ""
        return f"DatasetSchema({fields!r}{strict}{extra})"

    @classmethod
    def of(
        cls, mapping: JsonObject | None = None, /, *, strict: bool = True, **fields: Any
    ) -> Self:
        """Return a schema of fields that are named in a mapping, as arguments, or both.

        Args:
            mapping: Fields whose names are no Python names, or "strict".
            strict: Whether a row without one of the fields is rejected.
            **fields: A type for each name, such as ``prompt="text"``; or, for a label,
                ``prompt={"type": "text", "label": "Prompt"}``.

        Raises:
            ValueError: A name is given twice; or as the constructor.

        """
        first = {} if mapping is None else mapping
        if isinstance(first, Mapping) and (twice := sorted(first.keys() & fields.keys())):
            raise ValueError(f"the field {twice[0]!r} is given twice")
        return cls({**first, **fields} if isinstance(first, Mapping) else first, strict)
