"""How often to try and how often to look: frozen, validated, and pure."""

from __future__ import annotations

import sys
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import ge, gt


def is_number(value: object) -> bool:
    """Tell a finite number from everything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def is_whole(value: object) -> bool:
    """Tell a whole number from everything else, booleans included."""
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(_owner: object, attribute: Attribute[Any], value: object) -> None:
    if not is_number(value):
        raise ValueError(f"'{attribute.name}' must be a finite number: {value!r}")


def _finite_or_none(owner: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None:
        if not is_number(value):
            raise ValueError(f"'{attribute.name}' must be a finite number, or None: {value!r}")
        ge(0)(owner, attribute, value)


def _whole(_owner: object, attribute: Attribute[Any], value: object) -> None:
    if not is_whole(value):
        raise ValueError(f"'{attribute.name}' must be a whole number: {value!r}")


def _maximum_not_below_initial(policy: RetryPolicy | PollPolicy) -> None:
    if policy.initial > policy.maximum:
        raise ValueError(
            f"{type(policy).__name__}(initial={policy.initial!r}, maximum={policy.maximum!r}): "
            "initial must not be above maximum"
        )


@frozen(kw_only=True)
class RetryPolicy:
    """How a single call is tried again, where that is safe.

    Before attempt n + 1 comes a random pause of up to ``initial * 2 ** (n - 1)`` seconds ("full
    jitter"), never above ``maximum``, and never less than what the service asked for.

    Args:
        max_attempts: Attempts in all, the first one included; 1 for none but the first.
        initial: Upper bound of the first pause, in seconds.
        maximum: Upper bound of every pause, in seconds.
        retry_after_cap: The longest ``Retry-After`` that is obeyed, in seconds. A single call that
            is asked to wait longer raises at once; a wait looks again after this long.

    Raises:
        ValueError: A value is out of range, or ``initial`` is above ``maximum``.

    """

    max_attempts: int = field(default=4, validator=[_whole, ge(1)])
    initial: float = field(default=0.5, validator=[_finite, ge(0)])
    maximum: float = field(default=8.0, validator=[_finite, ge(0)])
    retry_after_cap: float = field(default=60.0, validator=[_finite, ge(0)])

    def __attrs_post_init__(self) -> None:
        _maximum_not_below_initial(self)


@frozen(kw_only=True)
class PollPolicy:
    """How a wait looks at its batch. The service gives no hint and no bound for a setup.

    Args:
        initial: Gap after the first look, in seconds.
        factor: What each gap is multiplied by to give the next.
        maximum: The longest gap, in seconds, before jitter.
        jitter: Share of a gap that is added at most, at random, so that waits drift apart;
            never taken away.
        timeout: Seconds that a wait may last, None for no limit.
        uninitialised_grace: Seconds that a batch may stay UNINITIALISED before the wait ends
            with BatchNotSetUpError: a look right after setup may still show it.
        not_found_grace: Seconds after this client made a batch in which a 404 means "not yet".
        max_consecutive_failures: Failed looks in a row that a wait survives.

    Raises:
        ValueError: A value is out of range, or ``initial`` is above ``maximum``.

    """

    initial: float = field(default=1.0, validator=[_finite, gt(0)])
    factor: float = field(default=1.25, validator=[_finite, ge(1)])
    maximum: float = field(default=10.0, validator=[_finite, gt(0)])
    jitter: float = field(default=0.1, validator=[_finite, ge(0)])
    timeout: float | None = field(default=1800.0, validator=_finite_or_none)
    uninitialised_grace: float = field(default=60.0, validator=[_finite, ge(0)])
    not_found_grace: float = field(default=5.0, validator=[_finite, ge(0)])
    max_consecutive_failures: int = field(default=20, validator=[_whole, ge(0)])

    def __attrs_post_init__(self) -> None:
        _maximum_not_below_initial(self)

    def jittered(self, gap: float, share: float) -> float:
        """Return a gap with a share, from 0 to 1, of the jitter added."""
        return gap * (1 + self.jitter * share)

    def following(self, gap: float) -> float:
        """Return the gap, before jitter, that comes after one."""
        return min(gap * self.factor, self.maximum)
