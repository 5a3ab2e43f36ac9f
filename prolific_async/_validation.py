"""Validation of arguments before any I/O, with one message for one fault.

Numbers are validated in ``_numbers``, which the policies also need.
"""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Iterable
from contextvars import copy_context
from types import EllipsisType
from typing import NamedTuple, TypeVar
from uuid import UUID

from prolific_async._numbers import number, whole
from prolific_async.models import Batch, StatusEvent
from prolific_async.policies import PollPolicy

T = TypeVar("T")

_SHOWN = 100  # characters of an invalid id
_BEFORE_ROWS = 60.0  # seconds that a job may take beside its rows
_ROWS_A_SECOND = 10  # a third of what was measured


def identifier(given: object) -> str:
    """Check an id and return it as text.

    Raises:
        ValueError: It is neither text nor a UUID, or is empty, "." or "..", or contains white space
            or an invisible character, which the message names.

    """
    text = str(given) if isinstance(given, UUID) else given
    if not isinstance(text, str):
        raise ValueError(f"an id must be text or a UUID, not {type(given).__name__}")
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} cannot be an id: an id is not empty, '.' or '..'")
    # Invisible characters get in by copying, and the service would only say 404. Of all white space
    # only the space itself counts as printable.
    if " " in text or not text.isprintable():
        at, bad = next(
            (at, one) for at, one in enumerate(text, 1) if one == " " or not one.isprintable()
        )
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise ValueError(f"{shown!r} cannot be an id: it holds {_named(bad)} at position {at}")
    return text


def optional_identifier(given: object) -> str | None:
    """Check an id and return it as text, None for None.

    Raises:
        ValueError: As ``identifier``.

    """
    return None if given is None else identifier(given)


def batch_id(batch: object) -> str:
    """Check the id of a ``Batch``, or an id, and return it as text.

    Raises:
        ValueError: As ``identifier``.

    """
    return identifier(batch.id if isinstance(batch, Batch) else batch)


def batches(given: Iterable[T]) -> Iterable[T]:
    """Check that a value is an iterable of batches, and return it unread.

    Raises:
        ValueError: It is one batch or one id, or is not iterable.

    """
    if isinstance(given, Batch | UUID | str):
        one = given.id if isinstance(given, Batch) else given
        raise ValueError(f"an iterable of batches is needed, not one id: {one!r}")
    if not isinstance(given, Iterable):
        raise ValueError(f"an iterable of batches is needed, not {type(given).__name__}")
    return given


def duplicate(
    batch: object,
    name: object,
    upload_new_dataset: object,
) -> tuple[str, str | None]:
    """Check the arguments of ``duplicate``; return the source's id and the copy's name or None.

    Raises:
        ValueError: As ``identifier``, or the name is not text, or the flag not a bool.

    """
    if not isinstance(upload_new_dataset, bool):
        raise ValueError(f"upload_new_dataset must be a bool: {upload_new_dataset!r}")
    return batch_id(batch), None if name is None else _name(name)


def unique_name(given: object) -> str:
    """Check a name to search batches by, and return it without white space around it.

    Raises:
        ValueError: It is not text, or blank.

    """
    if not (name := _name(given).strip()):
        raise ValueError(f"name must not be blank: {given!r}")
    return name


def unique_names(given: Iterable[str]) -> list[str]:
    """Return many names, each as ``unique_name`` does.

    Raises:
        ValueError: It is one name, or cannot be iterated; or as ``unique_name``.

    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"an iterable of names is needed: {given!r}")
    return [unique_name(name) for name in given]


def tasks_per_group(given: int | None) -> int | None:
    """Check a number of tasks and return it as a plain ``int``, None for None.

    Raises:
        ValueError: It is not a whole number from 1.

    """
    return None if given is None else whole("tasks_per_group", given, least=1)


def timeout(given: float | None) -> float | None:
    """Check a timeout and return its seconds as a plain ``float``, None for no limit.

    Raises:
        ValueError: It is not a number from 0 to infinity.

    """
    return None if given is None else number("timeout", given, infinite=True, or_none=True)


class WaitRules(NamedTuple):
    """What a wait's caller decides.

    Attributes:
        policy: How it is polled.
        timeout: Seconds, None for no limit.
        on_event: A callback bound to the caller's context, None for none.

    """

    policy: PollPolicy
    timeout: float | None
    on_event: Callable[[StatusEvent], object] | None


def wait_rules(
    given_timeout: float | EllipsisType | None,
    poll: PollPolicy | None,
    on_event: Callable[[StatusEvent], object] | None,
    *,
    default: PollPolicy,
    rows: int | None = None,
) -> WaitRules:
    """Return a wait's rules.

    Args:
        given_timeout: Seconds, None for no limit, ... for the default: the policy's.
        poll: The policy, None for the default.
        on_event: The caller's callback, None for none.
        default: The client's policy.
        rows: How many rows the service has to write, None if that is not known or there are none.
            It wrote 27 a second, so the default timeout is at least 60 seconds and one for ten.

    Raises:
        ValueError: The timeout is no number from 0 to infinity, ``poll`` no PollPolicy, or
            ``on_event`` no plain function.

    """
    policy = default if poll is None else poll
    if not isinstance(policy, PollPolicy):
        raise ValueError(f"poll must be a PollPolicy: {poll!r}")
    seconds = policy.timeout if given_timeout is ... else timeout(given_timeout)
    if given_timeout is ... and seconds is not None and rows is not None:
        seconds = max(seconds, _BEFORE_ROWS + rows / _ROWS_A_SECOND)
    return WaitRules(policy, seconds, None if on_event is None else _in_context(on_event))


def _in_context(on_event: Callable[[StatusEvent], object]) -> Callable[[StatusEvent], object]:
    """Return a callback that runs in the context of this call."""
    is_awaited = inspect.iscoroutinefunction
    # An object's __call__ may be a coroutine function, too.
    if not callable(on_event) or is_awaited(on_event) or is_awaited(type(on_event).__call__):
        raise ValueError(
            f"on_event must be a plain function, not a coroutine function: {on_event!r}"
        )
    # Its log records and spans belong to the caller, not to the poll.
    context = copy_context()
    return lambda event: context.run(on_event, event)


def _name(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"name must be text: {given!r}")
    return given


def _named(character: str) -> str:
    """Return a character's code point and name, or its kind if it has no name."""
    kinds = {"Cc": "a control character", "Cs": "half a surrogate pair"}
    unnamed = kinds.get(unicodedata.category(character), "an unknown character")
    return f"U+{ord(character):04X} {unicodedata.name(character, unnamed)}"
