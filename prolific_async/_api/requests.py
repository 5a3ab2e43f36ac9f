"""What the request of each call says, without any I/O.

``prefix`` is the path of a gateway before the service's own paths, "" for none.

Facts: https://docs.prolific.com/api-reference and the pages of the single endpoints.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from prolific_async._http.base_url import ROOT
from prolific_async._http.request import Request
from prolific_async._validation import identifier

# The service's own ids, UUIDs and hexadecimal strings, need no encoding.
_PLAIN = re.compile(r"[0-9A-Za-z_-]+")

_ENCODER = json.JSONEncoder()


def list_batches(workspace_id: object, *, prefix: str = "") -> Request:
    """Build the GET of all batches of a workspace."""
    query = f"workspace_id={path_segment(workspace_id)}"
    return Request("GET", f"{prefix}{ROOT}/batches", query)


def get_batch(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a whole batch."""
    return Request("GET", _batch_path(batch_id, prefix))


def get_batch_status(batch_id: object, *, prefix: str = "") -> Request:
    """Build the GET of a batch's status."""
    return Request("GET", _batch_path(batch_id, prefix) + "/status")


def duplicate_batch(
    batch_id: object,
    *,
    name: str | None = None,
    upload_new_dataset: bool | None = None,
    prefix: str = "",
) -> Request:
    """Build the POST that copies a batch; None leaves a key out."""
    path = _batch_path(batch_id, prefix) + "/duplicate"
    return _post(path, name=name, upload_new_dataset=upload_new_dataset)


def set_up_batch(
    batch_id: object,
    *,
    dataset_id: str | None = None,
    tasks_per_group: int | None = None,
    prefix: str = "",
) -> Request:
    """Build the POST that sets a batch up; None leaves a key out."""
    path = _batch_path(batch_id, prefix) + "/setup"
    return _post(path, dataset_id=dataset_id, tasks_per_group=tasks_per_group)


def path_segment(given: object) -> str:
    """Encode an id as one path segment, so that none can reach another path.

    Raises:
        ValueError: As ``identifier``.

    """
    if type(given) is str and _PLAIN.fullmatch(given):
        return given
    return quote(identifier(given), safe="")


def _batch_path(batch_id: object, prefix: str) -> str:
    return f"{prefix}{ROOT}/batches/{path_segment(batch_id)}"


def _post(path: str, **body: Any) -> Request:
    given = {key: value for key, value in body.items() if value is not None}
    return Request("POST", path, "", _ENCODER.encode(given).encode())
