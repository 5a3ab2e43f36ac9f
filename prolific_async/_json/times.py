"""Times as the service writes them.

Without a rule of its own, ``datetime`` would read week dates and any separator, and more of that
with each release of Python.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

# RFC 3339, and what ISO 8601 and databases add: no seconds, a short offset, or none.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d"
    r"(?::(?:[0-5]\d|((?<=:59:)60))(?:\.\d+)?)?"  # the group is a leap second
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?",
    re.ASCII,
)
_NEEDED = "an RFC 3339 time is needed"


def read_time(text: str) -> datetime:
    """Return a time in UTC, cut to microseconds; one without an offset is in UTC.

    A leap second is read as the second after it, as datetime knows none.

    Raises:
        ValueError: The text is not a time, or out of datetime's range.

    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(_NEEDED)
    leaps = found[1] is not None
    if leaps:
        start, end = found.span(1)
        text = f"{text[:start]}59{text[end:]}"
    try:
        moment = datetime.fromisoformat(text.upper())
        if leaps:
            moment += timedelta(seconds=1)
        if moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(_NEEDED) from None
