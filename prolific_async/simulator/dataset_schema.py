"""The rules of a dataset's schema.

Source: "Defining a Dataset Schema" of docs.prolific.com.
"""

from typing import Any

from prolific_async.simulator.responses import RefusedError

__all__ = ["SHOWN_TYPES", "checked_schema", "schema_problem"]

SHOWN_TYPES = frozenset({"text", "image_url", "audio_url", "video_url"})
_TYPES = SHOWN_TYPES | {"metadata", "task_group_id"}
_MAX_FIELDS, _MAX_KEY, _MAX_LABEL = 200, 128, 255


def checked_schema(schema: Any) -> dict[str, Any]:
    """Return a schema that follows the rules. Raises RefusedError with the first one broken."""
    if problem := schema_problem(schema):
        raise RefusedError(400, {"schema": [problem]})
    checked: dict[str, Any] = schema
    return checked


def schema_problem(schema: Any) -> str | None:
    """Return the first rule that a schema breaks, or None."""
    if not isinstance(schema, dict) or type(schema.get("strict")) is not bool:
        return "strict must be true or false."
    fields = schema.get("fields")
    if not isinstance(fields, dict) or not 1 <= len(fields) <= _MAX_FIELDS:
        return f"fields must have 1 to {_MAX_FIELDS} fields."
    for key, field in fields.items():
        if problem := _field_problem(key, field):
            return problem
    if sum(field["type"] == "task_group_id" for field in fields.values()) > 1:
        return "At most one field may be a task_group_id."
    return None


def _field_problem(key: str, field: Any) -> str | None:
    if not 1 <= len(key) <= _MAX_KEY:
        return f"A key must have 1 to {_MAX_KEY} characters."
    if not isinstance(field, dict) or str(field.get("type")) not in _TYPES:
        return f"{key}: type must be one of {', '.join(sorted(_TYPES))}."
    label = field.get("label")
    if label is not None and not (isinstance(label, str) and len(label) <= _MAX_LABEL):
        return f"{key}: label must be text of at most {_MAX_LABEL} characters."
    return None
