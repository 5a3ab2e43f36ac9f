"""Validation of arguments, before any I/O. A fault has the same message in every call.

Numbers are in ``_numbers``, which the policies need, too.
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


def duplicate(
    batch: object,
    name: object,
    upload_new_dataset: object,
) -> tuple[str, str | None]:
    """Return the source's id and the name of a copy, None for the default name.

    Raises:
        ValueError: As ``identifier``, or the name is no text, or the flag no bool.

    """
    if not isinstance(upload_new_dataset, bool):
        raise ValueError(f"upload_new_dataset must be a bool: {upload_new_dataset!r}")
    return batch_id(batch), None if name is None else _name(name)


def unique_name(given: object) -> str:
    """Return a name that batches are searched for by, without the space around it.

    Raises:
        ValueError: It is no text, or blank.

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
    """Return a number of tasks as a plain ``int``, None for None.

    Raises:
        ValueError: It is no whole number from 1.

    """
    return None if given is None else whole("tasks_per_group", given, least=1)


def timeout(given: float | None) -> float | None:
    """Return seconds as a plain ``float``, None for no limit.

    Raises:
        ValueError: It is no number from 0 to infinity.

    """
    return None if given is None else number("timeout", given, infinite=True, or_none=True)


def poll_rules(
    given_timeout: float | EllipsisType | None, poll: PollPolicy | None, default: PollPolicy
) -> tuple[PollPolicy, float | None]:
    """Return a wait's policy and its timeout in seconds; both default to the client's.

    Raises:
        ValueError: One of them is invalid.

    """
    policy = default if poll is None else poll
    if not isinstance(policy, PollPolicy):
        raise ValueError(f"poll must be a PollPolicy: {poll!r}")
    return policy, timeout(policy.timeout if given_timeout is ... else given_timeout)


def on_event(
    given: Callable[[StatusEvent], object] | None,
) -> Callable[[StatusEvent], object] | None:
    """Return a callback bound to the caller's context, None for None.

    Raises:
        ValueError: It is no plain function.

    """
    if given is None:
        return None
    is_awaited = inspect.iscoroutinefunction
    # Calling an object may make a coroutine, too.
    if not callable(given) or is_awaited(given) or is_awaited(type(given).__call__):
        raise ValueError(f"on_event must be a plain function, not a coroutine's: {given!r}")
    # Its log records and spans belong to the caller, not to the poll.
    context = copy_context()
    return lambda event: context.run(given, event)


def _name(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"name must be text: {given!r}")
    return given


def _named(character: str) -> str:
    """Name a character; invisible ones may have no name."""
    kinds = {"Cc": "a control character", "Cs": "half a surrogate pair"}
    unnamed = kinds.get(unicodedata.category(character), "an unknown character")
    return f"U+{ord(character):04X} {unicodedata.name(character, unnamed)}"
