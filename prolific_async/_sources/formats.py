"""Names of uploaded files, whose endings tell the service how to read them."""

from __future__ import annotations

from enum import StrEnum

from prolific_async._message_parts import brief
from prolific_async.dataset_schema import V3, V4


class Format(StrEnum):
    """The format of a file; its value is the ending of the file's name."""

    CSV = ".csv"
    JSONL = ".jsonl"
    ZIP = ".zip"


FORMATS = {V3: (Format.CSV, Format.ZIP), V4: (Format.CSV, Format.JSONL)}
ROWS = {V3: Format.CSV, V4: Format.JSONL}
"""Format in which rows are sent, by generation of the dataset."""


def format_of(name: object) -> Format:
    """Return the format of a file by the ending of its name, in upper or lower case.

    Raises:
        ValueError: No dataset takes files with this ending, or the name cannot be sent.

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
    """Return the format of a file, and check that datasets of a generation take it.

    Raises:
        ValueError: As ``format_of``, or datasets of this generation do not take the format.

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
