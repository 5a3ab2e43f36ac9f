"""How often to try and how often to poll: frozen, validated, and pure."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import Attribute, Converter, field, frozen

from prolific_async._json.converter import JsonModel
from prolific_async._numbers import number, whole
from prolific_async._pydantic import JSON_SCHEMA


def _number(default: float, *, least: float = 0, positive: bool = False) -> Any:
    """Return a field for a finite number of any type, which becomes a plain ``float``."""
    told: dict[str, float] = {"exclusiveMinimum": 0} if positive else {"minimum": least}

    def plain(value: float, attribute: Attribute[float]) -> float:
        return number(attribute.name, value, least=least, positive=positive)

    return _field(default, plain, told)


def _number_or_none(default: float) -> Any:
    def plain(value: float | None, attribute: Attribute[float | None]) -> float | None:
        return None if value is None else number(attribute.name, value, or_none=True)

    return _field(default, plain, {"minimum": 0})


def _whole(default: int, *, least: int) -> Any:
    def plain(value: int, attribute: Attribute[int]) -> int:
        return whole(attribute.name, value, least=least)

    return _field(default, plain, {"minimum": least})


def _field(default: float, plain: Any, told: dict[str, float]) -> Any:
    converter = Converter(plain, takes_field=True)
    return field(default=default, converter=converter, metadata={JSON_SCHEMA: told})


def _maximum_not_below_initial(policy: RetryPolicy | PollPolicy) -> None:
    if policy.initial > policy.maximum:
        raise ValueError(
            f"{type(policy).__name__}(initial={policy.initial!r}, maximum={policy.maximum!r}): "
            "initial must not be above maximum"
        )


@frozen(kw_only=True)
class RetryPolicy(JsonModel):
    """How a single call is tried again, where that is safe.

    Before attempt n + 1 comes a random pause of up to ``initial * 2 ** (n - 1)`` seconds ("full
    jitter"), never above ``maximum``, and never less than what the service asked for.

    Args:
        max_attempts: Attempts in all, the first one included; 1 for none but the first.
        initial: Upper bound of the first pause, in seconds.
        maximum: Upper bound of every pause, in seconds.
        retry_after_cap: The longest ``Retry-After`` that is obeyed, in seconds. A single call that
            is asked to wait longer raises at once; a wait polls again after this long.

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
    """How a wait polls its batch. The service gives no hint and no bound for a setup.

    Args:
        initial: Gap after the first poll, in seconds.
        factor: What each gap is multiplied by to give the next.
        maximum: The longest gap, in seconds, before jitter.
        jitter: Share of a gap that is added at most, at random, so that waits drift apart;
            never taken away.
        timeout: Seconds that a wait may last, None for no limit.
        uninitialised_grace: Seconds that a batch may stay UNINITIALISED before the wait ends
            with BatchNotSetUpError: a poll right after setup may still show it.
        not_found_grace: Seconds after this client made a batch in which a 404 means "not yet".
        max_consecutive_failures: Failed polls in a row that a wait survives. Those that other
            waits for the same batch asked for, before its own was due, do not count.

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
        """Return a gap with a share, from 0 to 1, of the jitter added."""
        return gap * (1 + self.jitter * share)

    def following(self, gap: float) -> float:
        """Return the gap, before jitter, that comes after one."""
        return min(gap * self.factor, self.maximum)
