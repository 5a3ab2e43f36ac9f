"""What a request says: the service's endpoints, without any I/O.

``prefix`` is the path of a gateway that the service is behind, "" for none.

Facts: https://docs.prolific.com/api-reference and the pages of the single endpoints.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

ROOT = "/api/v1/data-collection"
"""Where the Task Builder is, from the host's root or from a gateway's path."""

# The service's own ids, UUIDs and hexadecimal strings, need no encoding.
_PLAIN = re.compile(r"[0-9A-Za-z_-]+")
_SHOWN = 100  # characters of what is no id

_ENCODER = json.JSONEncoder()


class Request(NamedTuple):
    """One call, before it is sent.

    Attributes:
        method: HTTP method.
        path: Percent-encoded path from the host's root.
        query: Percent-encoded query, empty for none.
        body: JSON, None for no body.

    """

    method: str
    path: str
    query: str = ""
    body: bytes | None = None

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


def list_batches(workspace_id: object, *, prefix: str = "") -> Request:
    """Build the GET of all batches of a workspace."""
    query = f"workspace_id={quote(checked_id(workspace_id), safe='')}"
    return Request("GET", f"{prefix}{ROOT}/batches", query)


def change(batch_id: object, verb: str, *, prefix: str = "", **body: Any) -> Request:
    """Build the POST of a verb; keys whose value is None are left out, as nobody gave them."""
    given = {key: value for key, value in body.items() if value is not None}
    path = f"{prefix}{ROOT}/batches/{segment(batch_id)}/{verb}"
    return Request("POST", path, "", _ENCODER.encode(given).encode())


def poll(batch_id: object, *, whole: bool, prefix: str = "") -> Request:
    """Build the GET of a batch's status, or of the whole batch."""
    path = f"{prefix}{ROOT}/batches/{segment(batch_id)}"
    return Request("GET", path if whole else path + "/status")


def segment(identifier: object) -> str:
    """Encode an id as one path segment, so that none can reach another path.

    Raises:
        ValueError: It is neither text nor a UUID, or is empty, "." or "..", or holds white space or
            a character that cannot be seen, which the message names.

    """
    if type(identifier) is str and _PLAIN.fullmatch(identifier):
        return identifier
    return quote(checked_id(identifier), safe="")


def checked_id(identifier: object) -> str:
    """Return an id as text.

    Raises:
        ValueError: As ``segment``.

    """
    text = str(identifier) if isinstance(identifier, UUID) else identifier
    if not isinstance(text, str):
        raise ValueError(f"an id must be text or a UUID, not {type(identifier).__name__}")  # noqa: TRY004 - by design
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be an id: one is not empty, '.' or '..'")
    # What cannot be seen comes with copying, and the service would only say 404. The space is the
    # one white space that counts as printable.
    if " " in text or not text.isprintable():
        at, bad = next(
            (at, one) for at, one in enumerate(text, 1) if one == " " or not one.isprintable()
        )
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise ValueError(f"{shown!r} cannot be an id: it holds {_named(bad)} at position {at}")
    return text


def _named(character: str) -> str:
    """Name a character, of which those that cannot be seen may have no name."""
    kinds = {"Cc": "a control character", "Cs": "half a surrogate pair"}
    unnamed = kinds.get(unicodedata.category(character), "an unknown character")
    return f"U+{ord(character):04X} {unicodedata.name(character, unnamed)}"
