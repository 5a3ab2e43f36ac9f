"""``RetryPolicy`` and ``PollPolicy``: how calls are repeated, and how waits poll their batches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from attrs import Attribute, Converter, field, frozen

from prolific_async._json.converter import JsonModel
from prolific_async._numbers import number, whole
from prolific_async._pydantic import JSON_SCHEMA


# pragma: no mutate start - runs before a mutant can be chosen, see tests/MUTATIONS.md
def _number(default: float, *, least: float = 0, positive: bool = False) -> Any:
    """Return a field for a finite number of any type, which becomes a plain ``float``."""
    bound = {"exclusiveMinimum": 0} if positive else {"minimum": least}
    return _field(default, _to_number(least, positive), bound)


@cache  # the fields share converters, as attrs takes long to make one: it reads the signature
def _to_number(least: float, positive: bool) -> Any:  # noqa: FBT001 - a key of the cache
    def plain(value: float, attribute: Attribute[float]) -> float:
        return number(attribute.name, value, least=least, positive=positive)

    return Converter(plain, takes_field=True)


def _number_or_none(default: float) -> Any:
    def plain(value: float | None, attribute: Attribute[float | None]) -> float | None:
        return None if value is None else number(attribute.name, value, or_none=True)

    return _field(default, Converter(plain, takes_field=True), {"minimum": 0})


def _whole(default: int, *, least: int) -> Any:
    def plain(value: int, attribute: Attribute[int]) -> int:
        return whole(attribute.name, value, least=least)

    return _field(default, Converter(plain, takes_field=True), {"minimum": least})


def _field(default: float, converter: Any, bound: Mapping[str, float]) -> Any:
    return field(default=default, converter=converter, metadata={JSON_SCHEMA: bound})


# pragma: no mutate end


def _maximum_not_below_initial(policy: RetryPolicy | PollPolicy) -> None:
    if policy.initial > policy.maximum:
        raise ValueError(
            f"{type(policy).__name__}(initial={policy.initial!r}, maximum={policy.maximum!r}): "
            "initial must not be above maximum"
        )


@frozen(kw_only=True)
class RetryPolicy(JsonModel):
    """How often a failed call is repeated, if that is safe, and after which pauses.

    The pause after attempt n is random, up to ``initial * 2 ** (n - 1)`` seconds ("full jitter").
    It is never longer than ``maximum`` and never shorter than the service asked for.

    Args:
        max_attempts: Attempts in all, the first one included; 1 repeats nothing.
        initial: Upper bound of the first pause, in seconds.
        maximum: Upper bound of every pause, in seconds.
        retry_after_cap: The longest ``Retry-After`` that is obeyed, in seconds. If the service asks
            for more, a single call raises at once, and a wait polls again after this long.

    Raises:
        ValueError: A value is out of range, or ``initial`` is above ``maximum``.

    """

    _refuses_unknown_keys: ClassVar[bool] = True

    max_attempts: int = _whole(4, least=1)
    initial: float = _number(0.5)
    maximum: float = _number(8.0)
    retry_after_cap: float = _number(60.0)

    def __attrs_post_init__(self) -> None:
        _maximum_not_below_initial(self)


@frozen(kw_only=True)
class PollPolicy(JsonModel):
    """How often a wait polls its batch, how long, and what it tolerates.

    The service says neither when to poll again nor how long a setup takes.

    Args:
        initial: Gap after the first poll, in seconds.
        factor: Growth of the gap from one poll to the next.
        maximum: The longest gap, in seconds, before jitter.
        jitter: Largest share of a gap that is added to it at random, so that waits drift apart.
        timeout: Seconds that a wait may last, None for no limit.
        uninitialised_grace: Seconds that a batch may stay UNINITIALISED before the wait ends with
            BatchNotSetUpError. A poll right after setup may still show that status.
        not_found_grace: Seconds for which a 404 means "not yet", after this client made a batch.
        max_consecutive_failures: Failed polls in a row that a wait survives. Polls that were made
            for other waits, before this one's was due, do not count.

    Raises:
        ValueError: A value is out of range, or ``initial`` is above ``maximum``.

    """

    _refuses_unknown_keys: ClassVar[bool] = True

    initial: float = _number(1.0, positive=True)
    factor: float = _number(1.25, least=1)
    maximum: float = _number(10.0, positive=True)
    jitter: float = _number(0.1)
    timeout: float | None = _number_or_none(1800.0)
    uninitialised_grace: float = _number(60.0)
    not_found_grace: float = _number(5.0)
    max_consecutive_failures: int = _whole(20, least=0)

    def __attrs_post_init__(self) -> None:
        _maximum_not_below_initial(self)

    def jittered(self, gap: float, share: float) -> float:
        """Return a gap plus a share, from 0 to 1, of the largest jitter."""
        return gap * (1 + self.jitter * share)

    def next_gap(self, gap: float) -> float:
        """Return the next gap: ``factor`` times this gap, at most ``maximum``; without jitter."""
        return min(gap * self.factor, self.maximum)
