"""Public annotations resolve at run time, as cattrs and dependency injection need."""

import importlib
import inspect
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import attrs
import cattrs
import pytest

from prolific_async import (
    Batch,
    BatchStatus,
    ConnectError,
    PollPolicy,
    ProlificClient,
    StatusEvent,
    WaitTimeoutError,
)
from prolific_async.batches import Batches
from prolific_async.durable import Order
from prolific_async.models import WaitStatus
from prolific_async.simulator import Simulator
from tests import samples

MODULES = (
    "",
    ".batches",
    ".cli",
    ".client",
    ".dataset_models",
    ".datasets",
    ".dataset_schema",
    ".extensions",
    ".job_models",
    ".layout",
    ".workspaces",
    ".simulator",
    ".fastapi",
    ".durable",
    ".otel",
    ".errors",
    ".models",
    ".policies",
)


def public(module: str) -> Iterator[Any]:
    """Return the public objects of a module: those in ``__all__``, else those it defines."""
    imported = importlib.import_module(f"prolific_async{module}")
    for name, thing in vars(imported).items():
        if name in getattr(imported, "__all__", ()) or (
            not name.startswith("_") and getattr(thing, "__module__", None) == imported.__name__
        ):
            yield thing


def mentioned(hint: Any) -> Iterator[Any]:
    """Return the classes in a hint, at any depth."""
    yield hint
    for argument in hint if isinstance(hint, list) else typing.get_args(hint):
        yield from mentioned(argument)


def is_ours(thing: Any) -> bool:
    return isinstance(thing, type) and thing.__module__.split(".")[0] == "prolific_async"


def functions(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return the public and special methods and the properties of a class."""
    for base in filter(is_ours, cls.__mro__):
        for name, member in vars(base).items():
            if name.startswith("_") and not name.endswith("__"):
                continue
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            # Not the methods that attrs and enum generate.
            if inspect.isfunction(function) and function.__module__.startswith("prolific_async"):
                yield f"{base.__qualname__}.{name}", function


def resolved(thing: Any) -> dict[str, Any]:
    """Return the hints of a class or function."""
    if isinstance(thing, type):
        if attrs.has(thing):
            attrs.resolve_types(thing)
    else:
        inspect.signature(thing, eval_str=True)
        for overload in typing.get_overloads(thing):
            typing.get_type_hints(overload)
    return typing.get_type_hints(thing, include_extras=True)


@cache
def walk() -> tuple[set[str], list[str]]:
    """Return everything public that has hints, and the hints that do not resolve."""
    names: set[str] = set()
    failures: list[str] = []

    def read(name: str, thing: Any) -> dict[str, Any]:
        names.add(name)
        try:
            return resolved(thing)
        except NameError as error:
            failures.append(f"{name}: {error}")
            return {}

    waiting = [thing for module in MODULES for thing in public(module)]
    seen: list[Any] = []
    while waiting:
        thing = waiting.pop()
        if any(thing is one for one in seen):
            continue
        seen.append(thing)
        if inspect.isfunction(thing):
            got = [read(thing.__qualname__, thing).get("return")]
        elif is_ours(thing):
            got = list(read(thing.__qualname__, thing).values())
            got += [read(name, function).get("return") for name, function in functions(thing)]
        else:
            got = [thing]  # such as an Annotated, which has no hints but is one
        waiting += [one for hint in got for one in mentioned(hint) if is_ours(one)]
    return names, failures


def test_every_public_annotation_resolves() -> None:
    assert walk()[1] == []


def test_every_kind_of_annotation_is_found() -> None:
    names = walk()[0]
    assert {"Batches.wait_all", "Batch.bind", "Order.result", "WaitTimeoutError"} <= names
    assert {"Simulator.inject", "Fault", "SeenRequest", "_WaitEvents.__call__"} <= names
    assert {"WaitError.__init__", "ProlificClient.__init__", "ProlificError.failure"} <= names
    assert {"instrument", "lifespan", "get_client", "PollPolicy.jittered"} <= names


EXTRAS = ("", ".simulator", ".fastapi", ".durable", ".otel", ".cli", ".extensions")


@pytest.mark.parametrize("module", EXTRAS)
def test_containers_can_read_what_all_takes(module: str) -> None:
    imported = importlib.import_module(f"prolific_async{module}")
    read = 0
    for name in imported.__all__:
        thing = getattr(imported, name)
        # A class's "__init__", also one that attrs has written, says what it is made from.
        for one in (thing, vars(thing).get("__init__")) if isinstance(thing, type) else (thing,):
            if isinstance(one, type) or inspect.isfunction(one):
                typing.get_type_hints(one)
                inspect.signature(one, eval_str=True)
                read += 1
    assert read


@pytest.mark.parametrize("cls", [ProlificClient, Batches, Batch, Order, Simulator, PollPolicy])
def test_signatures_can_be_read(cls: type) -> None:
    assert inspect.signature(cls, eval_str=True).parameters
    assert dict(functions(cls))


def test_hints_are_the_classes_themselves() -> None:
    hints = typing.get_type_hints(WaitTimeoutError.__init__)
    assert hints["last_status"] == WaitStatus | None
    assert hints["events"] == tuple[StatusEvent, ...]
    assert typing.get_type_hints(ProlificClient)["batches"] is Batches
    assert typing.get_type_hints(Batch.bind)["batches"] is Batches


def test_values_can_be_unstructured_by_any_converter() -> None:
    error = ConnectError("GET", "/status", "refused")
    event = StatusEvent("b-1", BatchStatus.READY, None, 3, 1.5, None, error)
    plain = cattrs.unstructure(event)
    assert plain["status"] == "READY"
    assert plain["error"] is error
    assert cattrs.unstructure(PollPolicy())["maximum"] == 10.0
    assert cattrs.unstructure(samples.batch())["status"] == "READY"
