"""Names of uploaded files, whose endings tell the service how to read them."""

from __future__ import annotations

from enum import StrEnum

from prolific_async._messages import brief
from prolific_async.dataset_schema import V3, V4


class Format(StrEnum):
    """The format of a file, which is its ending, too."""

    CSV = ".csv"
    JSONL = ".jsonl"
    ZIP = ".zip"


FORMATS = {V3: (Format.CSV, Format.ZIP), V4: (Format.CSV, Format.JSONL)}
ROWS = {V3: Format.CSV, V4: Format.JSONL}
"""What rows are sent as."""


def format_of(name: object) -> Format:
    """Return the format of a file from the ending of its name, in any case.

    Raises:
        ValueError: No dataset takes files of that ending, or the name cannot be sent.

    """
    if not isinstance(name, str):
        raise ValueError(f"filename must be text: {brief(repr(name))}")
    shown = brief(repr(name))
    if not name.isprintable():  # half a surrogate pair is not printable either
        raise ValueError(f"filename must have printable characters only: {shown}")
    if "/" in name or "\\" in name:
        raise ValueError(f"filename must be a name, not a path: {shown}")
    for one in Format:
        if name.lower().endswith(one) and len(name) > len(one):
            return one
    raise ValueError(f"a file's name must end in .csv, .zip (V3) or .jsonl (V4): {shown}")


def check_generation(name: str, generation: int) -> Format:
    """Return the format of a file for a dataset of a generation.

    Raises:
        ValueError: Datasets of this generation do not take it.

    """
    found = format_of(name)
    if found not in (taken := FORMATS[generation]):
        endings = " or ".join(taken)
        with_schema = "with" if generation == V4 else "without"
        raise ValueError(
            f"a dataset {with_schema} a schema (V{generation}) takes files that end in {endings}, "
            f"not {brief(repr(name))}"
        )
    return found
