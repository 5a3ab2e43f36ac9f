"""Validation of arguments before any I/O; every function raises ValueError for an invalid one.

Numbers are validated in ``_numbers``, which the policies also need.
"""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Iterable
from contextvars import copy_context
from types import EllipsisType
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from prolific_async._message_parts import brief
from prolific_async._numbers import number, whole
from prolific_async.models import Batch, StatusEvent, TaskDetails
from prolific_async.policies import PollPolicy

T = TypeVar("T")

_SHOWN = 100  # characters of an invalid id
_BEFORE_ROWS = 60.0  # seconds that a job may take, without the time for its rows
_ROWS_A_SECOND = 10  # about a third of the measured speed


def identifier(given: object) -> str:
    """Check an id and return it as text.

    Raises:
        ValueError: The id is neither text nor a UUID, or is empty, "." or "..", or contains white
            space or an invisible character, which the message names.

    """
    text = str(given) if isinstance(given, UUID) else given
    if not isinstance(text, str):
        raise ValueError(f"an id must be text or a UUID, not {type(given).__name__}")
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} cannot be an id: an id is not empty, '.' or '..'")
    # Invisible characters are often copied along, and the service would answer with a mere 404. The
    # space is the only white space that isprintable() accepts.
    if " " in text or not text.isprintable():
        at, bad = next(
            (at, one) for at, one in enumerate(text, 1) if one == " " or not one.isprintable()
        )
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise ValueError(f"{shown!r} cannot be an id: it holds {_named(bad)} at position {at}")
    return text


def optional_identifier(given: object) -> str | None:
    """Check an id and return it as text, None for None."""
    return None if given is None else identifier(given)


def batch_id(batch: object) -> str:
    """Check a ``Batch`` or its id, and return the id as text."""
    return identifier(batch.id if isinstance(batch, Batch) else batch)


def dataset_id(dataset: object) -> str:
    """Check a ``Dataset`` or its id, and return the id as text."""
    if not isinstance(dataset, str | UUID):
        from prolific_async.dataset_models import Dataset  # noqa: PLC0415 - on its first use

        if isinstance(dataset, Dataset):
            return identifier(dataset.id)
    return identifier(dataset)


def optional_dataset_id(dataset: object) -> str | None:
    """Check a ``Dataset`` or its id, and return the id as text, None for None."""
    return None if dataset is None else dataset_id(dataset)


def batches(given: Iterable[T]) -> Iterable[T]:
    """Check that a value is an iterable of batches, and return it unread.

    Raises:
        ValueError: The value is one batch or one id, or is not iterable.

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
        ValueError: As ``identifier``; or the name is not text, or the flag is not a bool.

    """
    if not isinstance(upload_new_dataset, bool):
        raise ValueError(f"upload_new_dataset must be a bool: {upload_new_dataset!r}")
    return batch_id(batch), None if name is None else _name(name)


def unique_name(given: object) -> str:
    """Check a name by which batches are searched, and return it without white space around it.

    Raises:
        ValueError: The name is not text, or is blank.

    """
    if not (name := _name(given).strip()):
        raise ValueError(f"name must not be blank: {given!r}")
    return name


def new_name(given: object) -> str:
    """Check the name of a new batch or dataset, and return it unchanged.

    Raises:
        ValueError: The name is not text, or is blank.

    """
    unique_name(given)
    return _name(given)


def task_details(given: object) -> dict[str, Any]:
    """Check that a value is a TaskDetails, and return its JSON."""
    if not isinstance(given, TaskDetails):
        raise ValueError(f"task must be a TaskDetails, not {type(given).__name__}")
    return given.to_dict()


def auto_sync(given: object) -> bool:
    """Check that ``auto_sync`` is a bool, and return it."""
    if not isinstance(given, bool):
        raise ValueError(f"auto_sync must be a bool: {brief(repr(given))}")
    return given


def dataset_schema(given: object) -> dict[str, Any]:
    """Check that a value is a DatasetSchema, and return its JSON."""
    from prolific_async.dataset_schema import DatasetSchema  # noqa: PLC0415 - on its first use

    if not isinstance(given, DatasetSchema):
        raise ValueError(f"schema must be a DatasetSchema, not {type(given).__name__}")
    return given.to_dict()


def unique_names(given: Iterable[str]) -> list[str]:
    """Check many names, and return each as ``unique_name`` does.

    Raises:
        ValueError: The value is one name, or is not iterable; or as ``unique_name``.

    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"an iterable of names is needed: {given!r}")
    return [unique_name(name) for name in given]


def tasks_per_group(given: int | None) -> int | None:
    """Check a number of tasks and return it as a plain ``int``, None for None.

    Raises:
        ValueError: The value is not a whole number from 1.

    """
    return None if given is None else whole("tasks_per_group", given, least=1)


def timeout(given: float | None) -> float | None:
    """Check a timeout and return its seconds as a plain ``float``, None for no limit.

    Raises:
        ValueError: The value is not a number from 0 to infinity.

    """
    return None if given is None else number("timeout", given, infinite=True, or_none=True)


def default_limit(policy: PollPolicy, rows: int | None) -> float | None:
    """Return the default time limit of a wait or an append in seconds, None for no limit.

    Args:
        policy: The policy; the limit is its ``timeout``, or longer for many rows.
        rows: How many rows the service has to write, None if that is not known or there are none.
            The limit is at least 60 s plus one second for every ten rows, as the service wrote 27
            rows a second.

    """
    if policy.timeout is None or rows is None:
        return policy.timeout
    return max(policy.timeout, _BEFORE_ROWS + rows / _ROWS_A_SECOND)


class WaitRules(NamedTuple):
    """The checked settings of one wait.

    Attributes:
        policy: How often to poll and which failures to tolerate.
        timeout: Seconds, None for no limit.
        on_event: A callback that runs in the caller's context, None for none.

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
    """Check the arguments of a wait, and return its rules.

    Args:
        given_timeout: Seconds, None for no limit, ... for ``default_limit``.
        poll: The policy, None for the default.
        on_event: The caller's callback, None for none.
        default: The client's policy.
        rows: How many rows the service has to write, as in ``default_limit``.

    Raises:
        ValueError: The timeout is no number from 0 to infinity, ``poll`` no PollPolicy, or
            ``on_event`` no plain function.

    """
    policy = default if poll is None else poll
    if not isinstance(policy, PollPolicy):
        raise ValueError(f"poll must be a PollPolicy: {poll!r}")
    seconds = default_limit(policy, rows) if given_timeout is ... else timeout(given_timeout)
    on_event = plain_function("on_event", on_event)
    return WaitRules(policy, seconds, None if on_event is None else _in_context(on_event))


def plain_function(name: str, given: Callable[[T], object] | None) -> Callable[[T], object] | None:
    """Check a callback and return it, None for none.

    Raises:
        ValueError: The callback is not callable, or is a coroutine function.

    """
    if given is None:
        return None
    is_awaited = inspect.iscoroutinefunction
    if not callable(given):
        raise ValueError(f"{name} must be a plain function, but this is not callable: {given!r}")
    # An object's __call__ may be a coroutine function, too.
    if is_awaited(given) or is_awaited(type(given).__call__):
        raise ValueError(f"{name} must be a plain function, not a coroutine function: {given!r}")
    return given


def _in_context(on_event: Callable[[StatusEvent], object]) -> Callable[[StatusEvent], object]:
    """Return a callback that runs in a copy of the current context."""
    # Log records and spans of the callback then belong to the caller, not to the poll.
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
