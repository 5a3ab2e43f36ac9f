"""How long setups and imports take: the values that `Simulator(setup=…, imports=…)` accepts.

They apply in the same way to imports, schema migrations, syncs and exports.
"""

import sys
from typing import Any

import attrs

from prolific_async.simulator.numbers import real, whole

__all__ = [
    "AfterPolls",
    "AfterSeconds",
    "Ending",
    "Immediately",
    "RowsPerSecond",
    "check_ending",
    "has_ended",
]


def _not_negative(_owner: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{attribute.name} must be 0 or more, not {value!r}")


@attrs.frozen
class Immediately:
    """End a setup as soon as it is accepted: PROCESSING is never shown."""


@attrs.frozen
class AfterSeconds:
    """End a setup after some seconds of the loop's clock.

    Args:
        seconds: Zero or more.

    Raises:
        ValueError: `seconds` is negative or infinite.
        TypeError: `seconds` is not a number.
    """

    seconds: float = attrs.field(
        converter=real,
        validator=[attrs.validators.instance_of((int, float)), _not_negative],
    )


@attrs.frozen
class AfterPolls:
    """End a setup after some polls, which show PROCESSING; the next poll shows the end.

    A poll is any response that shows the batch's status: its status, the batch itself, or the list
    that holds it. A poll of an import shows the import or its dataset, a poll of an export shows it
    or the list of exports, and a poll of a migration or a sync shows that. No clock is involved, so
    a test runs as fast as its client polls.

    Args:
        polls: Zero or more.

    Raises:
        ValueError: `polls` is negative.
        TypeError: `polls` is not a whole number.
    """

    polls: int = attrs.field(
        converter=whole, validator=[attrs.validators.instance_of(int), _not_negative]
    )


@attrs.frozen
class RowsPerSecond:
    """End an import after a time that grows with its rows, on the loop's clock.

    Args:
        rows: Rows in a second, above 0. Imports of version 3 wrote about 27 in reports of users;
            the speed of version 4 is unknown.

    Raises:
        ValueError: `rows` is not above 0, or infinite.
        TypeError: `rows` is not a number.
    """

    rows: float = attrs.field(
        converter=real,
        validator=[attrs.validators.instance_of((int, float)), _not_negative],
    )

    def __attrs_post_init__(self) -> None:
        if not self.rows:
            raise ValueError("rows must be above 0")

    def ending(self, rows: int) -> AfterSeconds:
        """Return when an import of a number of rows ends."""
        return AfterSeconds(rows / self.rows)


Ending = Immediately | AfterSeconds | AfterPolls


def check_ending(ending: object, name: str = "setup") -> Ending:
    """Return `ending` unchanged. Raises TypeError if it is not an `Ending`."""
    if not isinstance(ending, Ending):
        raise TypeError(
            f"{name}: {ending!r} is neither Immediately(), AfterSeconds(…) nor AfterPolls(…)"
        )
    return ending


def has_ended(ending: Ending | None, *, elapsed: float, polls: int) -> bool:
    """Return whether a setup or a job has ended.

    Args:
        ending: When it ends; None if that is not known yet.
        elapsed: Seconds since the setup was accepted, or the file had arrived.
        polls: Polls since then, the present one included.
    """
    if isinstance(ending, AfterSeconds):
        return elapsed >= ending.seconds
    if isinstance(ending, AfterPolls):
        return polls > ending.polls
    return ending is not None
