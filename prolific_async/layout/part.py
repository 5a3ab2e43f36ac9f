"""``Part``: the base class of the pages of a layout, and of everything on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import field, fields, frozen

from prolific_async._json.converter import WireModel
from prolific_async._json.scalars import JsonObject  # noqa: F401 - named by the generated __init__
from prolific_async._json.structure_hooks import wire_fields
from prolific_async.layout import values


@frozen(eq=False, repr=False)  # each part defines its own equality
class Part(WireModel):
    """A part of a layout.

    Attributes:
        id: The service's id for it, None for a new one.
        extra: Keys that this release has no name for, read-only. They are sent, too.

    """

    id: str | None = field(default=None, kw_only=True, validator=values.optional(values.text))

    def __attrs_post_init__(self) -> None:
        names = [one.name for one in wire_fields(type(self))]
        if taken := [name for name in names if name in self.extra]:
            raise ValueError(
                f"{type(self).__name__}.extra must not hold the field {values.shown(taken[0])}"
            )
        for name in names:
            object.__setattr__(self, name, values.plain(getattr(self, name)))
        self._check()

    def _check(self) -> None:
        """Check the rules that concern several fields; a subclass overrides this."""

    def __repr__(self) -> str:
        """Show the fields that are given, and ``extra`` last, if there is any."""
        shown = {
            one.name: (one.repr if callable(one.repr) else repr)(value)
            for one in fields(type(self))
            if one.repr and one.name != "extra" and (value := getattr(self, one.name)) is not None
        }
        said = [f"{name}={value}" for name, value in shown.items()]
        if self.extra:
            said.append(f"extra={dict(self.extra)!r}")
        return f"{type(self).__name__}({', '.join(said)})"


def is_bare(part: Part) -> bool:
    """Return whether a part is new, and has no keys that this release does not know."""
    return part.id is None and not part.extra


def as_list(parts: Iterable[Part], show: Callable[[Any], str] = repr) -> str:
    """Show parts as the list that the constructor takes."""
    return f"[{', '.join(map(show, parts))}]"
