"""Base classes of models, and the conversion of JSON to models and back.

Keys that a model does not know are kept in its ``extra``. The fast converter reads responses; the
detailed one finds every fault, and runs only after the fast one has failed.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import field, fields, frozen

from prolific_async._json.decoding import TOO_DEEP
from prolific_async._json.scalars import JsonObject
from prolific_async._pydantic import PydanticModel
from prolific_async.errors import DecodeError

if TYPE_CHECKING:
    from cattrs import Converter

    from prolific_async._json.model_code import Hook

T = TypeVar("T")

_NOTHING: JsonObject = MappingProxyType({})


def _read_only(mapping: JsonObject) -> JsonObject:
    # The reading hook sets ``extra`` itself, so this runs for models that are built by hand.
    return MappingProxyType(dict(mapping))


class JsonModel(PydanticModel):
    """A value that can be turned into JSON and read again; an attrs class."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read a mapping in wire form, such as one from ``to_dict``.

        Raises:
            DecodeError: A key is missing or has a wrong type; ``.problems`` lists every such path,
                but stops at about a hundred in one array.

        """
        return load_copy(cls, data)

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form: JSON values only, ``extra`` included, absent keys left out.

        Raises:
            DecodeError: ``extra`` is nested too deep to be copied.

        """
        try:
            wire: dict[str, Any] = _converter(detailed=False).unstructure(self)
        except RecursionError:
            raise DecodeError((f"$: {TOO_DEEP}",), None) from None
        return wire


@frozen(eq=False, repr=False)  # each model defines its own equality
class WireModel(JsonModel):
    """A value that the service sends; it keeps unknown keys, and can be sent back."""

    extra: JsonObject = field(default=_NOTHING, converter=_read_only, hash=False, kw_only=True)
    """Unknown keys of the response, read-only."""

    _nulls: frozenset[str] = field(
        default=frozenset(), init=False, eq=False, repr=False, kw_only=True
    )
    """Keys that were null, so that ``to_dict`` can write null, not leave them out or write []."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        """Show the fields in their order, and ``extra`` last, if there is any."""
        shown = [one.name for one in fields(type(self)) if one.repr and one.name != "extra"]
        said = [f"{name}={getattr(self, name)!r}" for name in shown]
        if self.extra:
            said.append(f"extra={dict(self.extra)!r}")
        return f"{type(self).__name__}({', '.join(said)})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def load_copy(cls: type[T], data: Any, *, at: str = "$") -> T:
    """Turn a copy of a caller's JSON into a model, so that later changes do not reach the model.

    Raises:
        DecodeError: As ``load``, or the data cannot be copied.

    """
    try:
        own = copy.deepcopy(dict(data) if isinstance(data, Mapping) else data)
    except RecursionError:
        raise DecodeError((f"{at}: {TOO_DEEP}",), data) from None
    except Exception as error:  # noqa: BLE001 - JSON values can all be copied
        raise DecodeError((f"{at}: not JSON ({type(error).__name__})",), data) from None
    return load(cls, own, at=at)


def load(
    cls: type[T],
    data: Any,
    method: str | None = None,
    path: str | None = None,
    *,
    at: str = "$",
    within: Any = None,
) -> T:
    """Turn decoded JSON into a model.

    Args:
        cls: The model.
        data: A decoded response, or a part of one.
        method: Method of the request, for the error.
        path: Path of the request, for the error.
        at: JSON path of ``data`` in the response, for the error.
        within: The whole response, for the error; None if ``data`` is the whole.

    Raises:
        DecodeError: The data does not fit the model; ``.problems`` lists every bad path.

    """
    hook = _HOOKS.get(cls) or _hook(cls)
    try:
        model: T = hook(data, cls)
    except Exception:  # noqa: BLE001 - cattrs lets through what a hook or a constructor raises
        problems = _problems(cls, data, at)
    else:
        return model
    raise DecodeError(problems, data if within is None else within, method, path)


def prepare() -> None:
    """Import cattrs now: an import must not fail between a request and its response."""
    _converter(detailed=False)


_HOOKS: dict[Any, Hook] = {}


def _hook(cls: Any) -> Hook:
    """Return the hook of a class, cached: cattrs' lookup takes a tenth of the time of a batch."""
    hook = _HOOKS[cls] = _converter(detailed=False).get_structure_hook(cls)
    return hook


def _problems(cls: type[Any], data: Any, at: str) -> tuple[str, ...]:
    from prolific_async._json.cattrs_converter import problems  # noqa: PLC0415 - as below

    return problems(_converter(detailed=True), cls, data, at)


@functools.cache
def _converter(*, detailed: bool) -> Converter:
    # Imported with the first client: code that only uses the classes does not need cattrs.
    from prolific_async._json.cattrs_converter import new_converter  # noqa: PLC0415

    return new_converter(JsonModel, WireModel, detailed=detailed)
