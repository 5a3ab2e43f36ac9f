"""Validation of arguments: what a caller gives is checked, and made plain, before any I/O.

Each fault has one message, whichever call it is given to. Numbers are in ``_numbers``.
"""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Iterable
from contextvars import copy_context
from types import EllipsisType
from typing import TypeVar
from uuid import UUID

from prolific_async._numbers import number, whole
from prolific_async.models import Batch, StatusEvent
from prolific_async.policies import PollPolicy

T = TypeVar("T")

_SHOWN = 100  # characters of an invalid id


def identifier(given: object) -> str:
    """Return an id as text.

    Raises:
        ValueError: It is neither text nor a UUID, or is empty, "." or "..", or holds white space or
            an invisible character, which the message names.

    """
    text = str(given) if isinstance(given, UUID) else given
    if not isinstance(text, str):
        raise ValueError(f"an id must be text or a UUID, not {type(given).__name__}")
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be an id: one is not empty, '.' or '..'")
    # Invisible characters come with copying, and the service would only say 404. The space is the
    # one white space that counts as printable.
    if " " in text or not text.isprintable():
        at, bad = next(
            (at, one) for at, one in enumerate(text, 1) if one == " " or not one.isprintable()
        )
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise ValueError(f"{shown!r} cannot be an id: it holds {_named(bad)} at position {at}")
    return text


def optional_identifier(given: object) -> str | None:
    """Return an id as text, None for None.

    Raises:
        ValueError: As ``identifier``.

    """
    return None if given is None else identifier(given)


def batch_id(batch: object) -> str:
    """Return the id of a ``Batch``, or an id as text.

    Raises:
        ValueError: As ``identifier``.

    """
    return identifier(batch.id if isinstance(batch, Batch) else batch)


def batches(given: Iterable[T]) -> Iterable[T]:
    """Return an iterable of batches.

    Raises:
        ValueError: It is one batch or one id, or cannot be iterated.

    """
    if isinstance(given, Batch | UUID | str):
        one = given.id if isinstance(given, Batch) else given
        raise ValueError(f"an iterable of batches is needed, not one id: {one!r}")
    if not isinstance(given, Iterable):
        raise ValueError(f"an iterable of batches is needed, not {type(given).__name__}")
    return given


def name(given: str | None) -> str | None:
    """Return the name of a copy, None for the default.

    Raises:
        ValueError: It is no text.

    """
    if given is not None and not isinstance(given, str):
        raise ValueError(f"name must be text: {given!r}")
    return given


def flag(argument: str, given: bool) -> bool:  # noqa: FBT001 - what is checked is a bool
    """Return a bool.

    Raises:
        ValueError: It is none.

    """
    if not isinstance(given, bool):
        raise ValueError(f"{argument} must be a bool: {given!r}")
    return given


def tasks_per_group(given: int | None) -> int | None:
    """Return a number of tasks as a plain ``int``, None for None.

    Raises:
        ValueError: It is no whole number from 1.

    """
    return None if given is None else whole("tasks_per_group", given, least=1)


def timeout(given: float | None) -> float | None:
    """Return seconds as a plain ``float``, None for no limit.

    Raises:
        ValueError: It is no number from 0; infinity is one.

    """
    return None if given is None else number("timeout", given, infinite=True, or_none=True)


def poll_rules(
    given_timeout: float | EllipsisType | None, poll: PollPolicy | None, default: PollPolicy
) -> tuple[PollPolicy, float | None]:
    """Return a wait's policy and its time-out in seconds, each by default the client's.

    Raises:
        ValueError: One of them makes no sense.

    """
    policy = default if poll is None else poll
    if not isinstance(policy, PollPolicy):
        raise ValueError(f"poll must be a PollPolicy: {poll!r}")
    return policy, timeout(policy.timeout if given_timeout is ... else given_timeout)


def on_event(
    given: Callable[[StatusEvent], object] | None,
) -> Callable[[StatusEvent], object] | None:
    """Return a callback that runs in the context in which it was given, None for None.

    Raises:
        ValueError: It is no plain function.

    """
    if given is None:
        return None
    is_awaited = inspect.iscoroutinefunction
    # An object may be called as a coroutine function is.
    if not callable(given) or is_awaited(given) or is_awaited(type(given).__call__):
        raise ValueError(f"on_event must be a plain function, not a coroutine's: {given!r}")
    # What it logs or traces belongs to whoever waits, not to the poll.
    context = copy_context()
    return lambda event: context.run(given, event)


def _named(character: str) -> str:
    """Name a character; invisible ones may have no name."""
    kinds = {"Cc": "a control character", "Cs": "half a surrogate pair"}
    unnamed = kinds.get(unicodedata.category(character), "an unknown character")
    return f"U+{ord(character):04X} {unicodedata.name(character, unnamed)}"
