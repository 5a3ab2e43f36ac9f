"""When a set-up is over: what a test can choose from."""

import sys
from typing import Any

import attrs

from prolific_async.simulator.numbers import real, whole

__all__ = ["AfterPolls", "AfterSeconds", "Ending", "Immediately", "is_over"]


def _not_negative(_owner: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{attribute.name} must be 0 or more, not {value!r}")


@attrs.frozen
class Immediately:
    """A set-up is over as soon as it is accepted: PROCESSING is never seen."""


@attrs.frozen
class AfterSeconds:
    """A set-up is over after so many seconds of the loop's clock.

    Args:
        seconds: Zero or more.

    Raises:
        ValueError: `seconds` is negative or infinite.
        TypeError: It is no number.
    """

    seconds: float = attrs.field(
        converter=real,
        validator=[attrs.validators.instance_of((int, float)), _not_negative],
    )


@attrs.frozen
class AfterPolls:
    """So many polls show PROCESSING, the next one shows the end.

    A poll is any answer that shows the batch's status: its status, the batch itself, or the list
    that holds it. No clock is involved, so a test runs as fast as its client polls.

    Args:
        polls: Zero or more.

    Raises:
        ValueError: `polls` is negative.
        TypeError: It is no whole number.
    """

    polls: int = attrs.field(
        converter=whole, validator=[attrs.validators.instance_of(int), _not_negative]
    )


Ending = Immediately | AfterSeconds | AfterPolls


def is_over(ending: Ending, *, elapsed: float, polls: int) -> bool:
    """Tell whether a set-up has ended.

    Args:
        ending: When it ends.
        elapsed: Seconds since it was accepted.
        polls: Polls at the batch since then, the present one among them.
    """
    if isinstance(ending, AfterSeconds):
        return elapsed >= ending.seconds
    if isinstance(ending, AfterPolls):
        return polls > ending.polls
    return True
