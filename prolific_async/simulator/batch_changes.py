"""Changes to a batch by the JSON body of a create or an update."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
from aiohttp import web

from prolific_async.simulator.dataset_models import Dataset
from prolific_async.simulator.dataset_schema import SHOWN_TYPES
from prolific_async.simulator.layout_rules import (
    instruction_count,
    layout_issues,
    node_ids,
    with_ids,
)
from prolific_async.simulator.models import Batch
from prolific_async.simulator.responses import RefusedError, json_response
from prolific_async.simulator.state import State

__all__ = ["InvalidLayoutError", "change_batch"]

_TASK_DETAILS = ("task_name", "task_introduction", "task_steps")


@attrs.define
class InvalidLayoutError(RefusedError):
    """A layout is refused; the response lists its issues, in a form of its own."""

    issues: list[dict[str, Any]]

    def response(self) -> web.Response:
        """Make the error response."""
        document = {
            "type": "INVALID_BATCH_ITEMS",
            "message": self.detail,
            "issues": self.issues,
        }
        return json_response(self.status, json.dumps(document).encode())


def change_batch(state: State, batch: Batch, fields: Mapping[str, Any]) -> None:
    """Set all fields of a body, or none if one is invalid; unknown keys are ignored.

    Null removes the layout, and the dataset [?: undocumented]; for the others it is refused. All
    of it may change after the setup, too [?: the sources disagree].

    Raises:
        RefusedError: A field has a wrong type, or there is no such dataset.
        InvalidLayoutError: The layout has issues.
    """
    changed = _independent_fields(fields)
    dataset = batch.dataset
    if "dataset_id" in fields:
        dataset = changed["dataset"] = _dataset(state, batch, fields["dataset_id"])
    if "batch_items" in fields:
        pages = fields["batch_items"]
        if pages is not None:
            if issues := layout_issues(pages, _shown_fields(dataset)):
                raise InvalidLayoutError(422, "The layout is not valid.", issues)
            pages = with_ids(pages, node_ids(batch.batch_items))
        changed |= {"batch_items": pages, "instructions": instruction_count(pages)}
    for key, value in changed.items():
        setattr(batch, key, value)
    batch.encoded = None


def _independent_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Check the fields that depend on no other data, and return them."""
    plain: dict[str, Any] = {}
    for key, kind, words in (("name", str, "text"), ("auto_sync_enabled", bool, "true or false")):
        if key in fields:
            if type(fields[key]) is not kind:
                raise RefusedError(400, {key: [f"This must be {words}."]})
            plain[key] = fields[key]
    if "task_details" in fields:
        details = fields["task_details"]
        if not isinstance(details, dict) or not all(
            isinstance(details.get(key), str) for key in _TASK_DETAILS
        ):
            raise RefusedError(400, {"task_details": [f"It needs {', '.join(_TASK_DETAILS)}."]})
        plain["task_details"] = {key: details[key] for key in _TASK_DETAILS}
    return plain


def _dataset(state: State, batch: Batch, dataset_id: Any) -> Dataset | None:
    if dataset_id is None:
        return None
    dataset = state.datasets.get(dataset_id) if isinstance(dataset_id, str) else None
    if dataset is None or dataset.workspace_id != batch.workspace_id:
        raise RefusedError(400, {"dataset_id": ["There is no such dataset in the workspace."]})
    return dataset


def _shown_fields(dataset: Dataset | None) -> set[str] | None:
    if dataset is None or dataset.schema is None:
        return None
    fields = dataset.schema["fields"].items()
    return {key for key, field in fields if field["type"] in SHOWN_TYPES}
