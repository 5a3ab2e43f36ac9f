"""Encoding of ids for URL paths."""

from __future__ import annotations

import re
from urllib.parse import quote

from prolific_async._validation import identifier

PLAIN = re.compile(r"[0-9A-Za-z_-]+")
"""Ids that need no encoding, such as the service's own: UUIDs and hexadecimal strings."""


def path_segment(given: object) -> str:
    """Encode an id as one path segment, so that no id can lead to another path.

    Raises:
        ValueError: As ``identifier``.

    """
    if type(given) is str and PLAIN.fullmatch(given):
        return given
    return quote(identifier(given), safe="")
