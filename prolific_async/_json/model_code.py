"""The code that reads a model, generated for each model, as attrs generates ``__init__``.

A loop over the fields takes half as long again; the ``__init__`` of attrs and a hook for each plain
value take more than twice as long.
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
        name: Its name.
        default: Its value if the key is absent, NOTHING if the key must be there; if it is None,
            the key may also be null.
        is_array: Whether it is an array of which a null is read as an empty one.
        plain: The type whose values need no hook, None if there is none.
        read: The hook of all other values.
        kind: The field's type, for the hook.

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
_IF_THERE = """
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


def _others(value: dict[str, Any], known: frozenset[str]) -> Mapping[str, Any]:
    # A comprehension in the hook would make a cell of `value`, which is slower to read.
    return MappingProxyType({key: value[key] for key in value if key not in known})


def model_hook(cls: type[Any], slots: Iterable[Slot], others: Mapping[str, Any]) -> Hook:
    """Make the hook of a model, which sets its slots itself.

    It calls no validator and no converter.

    Args:
        cls: The model, with the fields ``extra`` and ``_nulls``.
        slots: The fields that are keys of the wire form.
        others: The defaults of the others.

    """
    slots = list(slots)
    # A frozen model refuses to be written to, so it is of another class until it is complete.
    free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__, "__slots__": ()}
    names: dict[str, Any] = {
        "cls": cls,
        "known": frozenset(slot.name for slot in slots),
        "mapping": scalars.mapping,
        "new": object.__new__,
        "unfrozen": type(cls.__name__, (cls,), free),
        "others": _others,
    }
    # To count the keys that are known takes less than to compare them with the keys that came.
    code = [_BEGIN.format(required=sum(slot.default is NOTHING for slot in slots))]
    for name, default in others.items():
        code.append(_DEFAULT.format(name=name))
        names[f"default_{name}"] = default
    for slot in slots:
        template = _ARRAY if slot.is_array else _OPTIONAL if slot.default is None else _REQUIRED
        if slot.default not in (None, NOTHING):
            template = _IF_THERE + indent(template, "    ") + _ELSE
            names[f"default_{slot.name}"] = slot.default
        plain = slot.plain and slot.plain.__name__  # no value is of the type None
        code.append(template.format(name=slot.name, plain=plain))
        names |= {f"read_{slot.name}": slot.read, f"kind_{slot.name}": slot.kind}
    exec("".join([*code, _END]), names)  # noqa: S102 - made of the names of fields only
    hook: Hook = names["hook"]
    return hook
