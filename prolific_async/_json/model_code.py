"""Generated code that reads JSON into a model, as attrs generates ``__init__``.

A loop over the fields takes half as long again; calling attrs' ``__init__``, and a hook for each
plain value, takes more than twice as long.
"""

from __future__ import annotations

from textwrap import indent
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from attrs import NOTHING

from prolific_async._json import scalars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Hook: TypeAlias = "Callable[[Any, Any], Any]"


class Slot(NamedTuple):
    """A field of a model that is a key of the wire form.

    Attributes:
        name: Name of the field and of the key.
        default: Value if the key is absent, NOTHING if the key is required. With None, the key may
            also be null.
        is_array: Whether the field is an array for which null is read as an empty array.
        plain: Values of exactly this type need no hook; None if all need it.
        read: Hook that reads all other values.
        kind: Type of the field, for the hook.

    """

    name: str
    default: Any
    is_array: bool
    plain: type[Any] | None
    read: Hook
    kind: Any


_BEGIN = """
def hook(value, _):
    if type(value) is not dict:
        mapping(value, dict)
    model = new(unfrozen)
    nulls = ()
    found = {required}
"""
_DEFAULT = """
    model.{name} = default_{name}
"""
_REQUIRED = """
    one = value["{name}"]
    model.{name} = one if type(one) is {plain} else read_{name}(one, kind_{name})
"""
_ARRAY = """
    one = value["{name}"]
    if one is None:
        model.{name} = ()
        nulls += ("{name}",)
    else:
        model.{name} = read_{name}(one, kind_{name})
"""
_OPTIONAL = """
    one = None
    if "{name}" in value:
        found += 1
        one = value["{name}"]
        if one is None:
            nulls += ("{name}",)
        elif type(one) is not {plain}:
            one = read_{name}(one, kind_{name})
    model.{name} = one
"""
_IF_PRESENT = """
    if "{name}" in value:
        found += 1"""
_ELSE = """
    else:
        model.{name} = default_{name}
"""
_END = """
    if found != len(value):
        model.extra = others(value, known)
    if nulls:
        model._nulls = frozenset(nulls)
    model.__class__ = cls
    return model
"""


def _unknown_keys(value: dict[str, Any], known: frozenset[str]) -> Mapping[str, Any]:
    # A comprehension in the hook would turn `value` into a closure cell, which is slower to read.
    return MappingProxyType({key: value[key] for key in value if key not in known})


def model_hook(cls: type[Any], slots: Iterable[Slot], others: Mapping[str, Any]) -> Hook:
    """Make the hook that reads a model from JSON.

    The hook sets the fields itself; it calls neither ``__init__`` nor validators nor converters.

    Args:
        cls: The model, with the fields ``extra`` and ``_nulls``.
        slots: The fields that are keys of the wire form.
        others: Defaults of all other fields, by name.

    """
    slots = list(slots)
    # A frozen model cannot be written to, so it has an unfrozen class until it is complete.
    free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__, "__slots__": ()}
    names: dict[str, Any] = {
        "cls": cls,
        "known": frozenset(slot.name for slot in slots),
        "mapping": scalars.mapping,
        "new": object.__new__,
        "unfrozen": type(cls.__name__, (cls,), free),
        "others": _unknown_keys,
    }
    # Counting the known keys in a response is faster than comparing two sets of keys.
    code = [_BEGIN.format(required=sum(slot.default is NOTHING for slot in slots))]
    for name, default in others.items():
        code.append(_DEFAULT.format(name=name))
        names[f"default_{name}"] = default
    for slot in slots:
        template = _ARRAY if slot.is_array else _OPTIONAL if slot.default is None else _REQUIRED
        if slot.default not in (None, NOTHING):
            template = _IF_PRESENT + indent(template, "    ") + _ELSE
            names[f"default_{slot.name}"] = slot.default
        plain = slot.plain and slot.plain.__name__  # the name "None" never matches a type
        code.append(template.format(name=slot.name, plain=plain))
        names |= {f"read_{slot.name}": slot.read, f"kind_{slot.name}": slot.kind}
    exec("".join([*code, _END]), names)  # noqa: S102 - made of the names of fields only
    hook: Hook = names["hook"]
    return hook
