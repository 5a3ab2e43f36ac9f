"""Segments of paths: an id is always one."""

from __future__ import annotations

import re
from urllib.parse import quote

from prolific_async._validation import identifier

PLAIN = re.compile(r"[0-9A-Za-z_-]+")
"""The service's own ids, UUIDs and hexadecimal strings, which need no encoding."""


def path_segment(given: object) -> str:
    """Encode an id as one path segment, so that none can reach another path.

    Raises:
        ValueError: As ``identifier``.

    """
    if type(given) is str and PLAIN.fullmatch(given):
        return given
    return quote(identifier(given), safe="")
