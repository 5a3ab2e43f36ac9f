"""The code that reads a model, generated for each model, as attrs generates ``__init__``.

A loop over the fields takes half as long again; the ``__init__`` of attrs and a hook for each plain
value take more than twice as long.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from prolific_async._json import scalars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Hook: TypeAlias = "Callable[[Any, Any], Any]"


class Slot(NamedTuple):
    """A field of a model that is a key of the wire form.

    Attributes:
        name: Its name.
        is_required: Whether its key must be there; else it may also be null.
        is_array: Whether it is an array that must be there; a null is read as an empty one.
        default: What stands for a key that is not there, if it need not be. If it is not None, the
            key may not be null either.
        plain: The type whose values need no hook, None if there is none.
        read: The hook of all other values.
        kind: The field's type, for the hook.

    """

    name: str
    is_required: bool
    is_array: bool
    default: Any
    plain: type[Any] | None
    read: Hook
    kind: Any


_BEGIN = """
def hook(value, _):
    if type(value) is not dict:
        mapping(value, dict)
    model = new(unfrozen)
    nulls = []
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
        nulls.append("{name}")
    else:
        model.{name} = read_{name}(one, kind_{name})
"""
_OPTIONAL = """
    one = value.get("{name}")
    if one is None:
        if "{name}" in value:
            nulls.append("{name}")
    elif type(one) is not {plain}:
        one = read_{name}(one, kind_{name})
    model.{name} = one
"""
_DEFAULTED = """
    one = value.get("{name}", absent_{name})
    model.{name} = one if type(one) is {plain} else read_{name}(one, kind_{name})
"""
_END = """
    if not known.issuperset(value):
        model.extra = MappingProxyType({key: value[key] for key in value if key not in known})
    if nulls:
        model._nulls = frozenset(nulls)
    model.__class__ = cls
    return model
"""


def model_hook(cls: type[Any], slots: Iterable[Slot], others: Mapping[str, Any]) -> Hook:
    """Make the hook of a model, which sets its slots itself.

    So a model's validators and converters check only what is made by hand, and what the service
    sends may be more than they allow. That of ``extra`` is not called either.

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
        "MappingProxyType": MappingProxyType,
    }
    code = [_BEGIN]
    for name, default in others.items():
        code.append(_DEFAULT.format(name=name))
        names[f"default_{name}"] = default
    for slot in slots:
        plain = slot.plain and slot.plain.__name__  # no value is of the type None
        code.append(_template(slot).format(name=slot.name, plain=plain))
        names |= {
            f"absent_{slot.name}": slot.default,
            f"read_{slot.name}": slot.read,
            f"kind_{slot.name}": slot.kind,
        }
    exec("".join([*code, _END]), names)  # noqa: S102 - made of the names of fields only
    hook: Hook = names["hook"]
    return hook


def _template(slot: Slot) -> str:
    if slot.is_required:
        return _ARRAY if slot.is_array else _REQUIRED
    return _OPTIONAL if slot.default is None else _DEFAULTED
