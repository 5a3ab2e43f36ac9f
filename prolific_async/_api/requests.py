"""What requests are made of: paths, with each id in a segment of its own, and bodies of JSON."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from prolific_async._http.base_url import ROOT
from prolific_async._validation import identifier

# The service's own ids, UUIDs and hexadecimal strings, need no encoding.
_PLAIN = re.compile(r"[0-9A-Za-z_-]+")

_ENCODER = json.JSONEncoder()


def path_segment(given: object) -> str:
    """Encode an id as one path segment, so that none can reach another path.

    Raises:
        ValueError: As ``identifier``.

    """
    if type(given) is str and _PLAIN.fullmatch(given):
        return given
    return quote(identifier(given), safe="")


def batch_path(batch_id: object, prefix: str) -> str:
    """Return the path of a batch."""
    return f"{prefix}{ROOT}/batches/{path_segment(batch_id)}"


def dataset_path(dataset_id: object, prefix: str) -> str:
    """Return the path of a dataset."""
    return f"{prefix}{ROOT}/datasets/{path_segment(dataset_id)}"


def json_body(keys: dict[str, Any], *, nulls: bool = False) -> bytes:
    """Encode an object; a key whose value is None is left out, unless nulls are to be sent."""
    # Value by value: the encoder is quick for text, and sets itself up anew for each object.
    encode = _ENCODER.encode
    given = [
        f'"{key}": {encode(value)}' for key, value in keys.items() if nulls or value is not None
    ]
    return f"{{{', '.join(given)}}}".encode()
