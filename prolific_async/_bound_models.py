"""``BoundModel`` and ``BoundJob``: the bases of values that a client binds, for their methods."""

from __future__ import annotations

from typing import Any, Self

from attrs import field, frozen

from prolific_async._json.converter import WireModel
from prolific_async._json.scalars import JsonObject  # noqa: F401 - named by the generated __init__
from prolific_async.errors import ConfigurationError


@frozen(eq=False, repr=False)
class BoundModel(WireModel):
    """A value of the wire that a client may bind, for its methods.

    Comparing, pickling and ``to_dict`` ignore the client.
    """

    # Any, as cattrs resolves every annotation and the resources are not to be imported here.
    _resource: Any = field(default=None, init=False, eq=False, repr=False, kw_only=True)

    def bind(self, resource: Any) -> Self:
        """Return this value with verbs of a client; the client does this with what it returns.

        It is a copy if another client, or another view of it, has bound this one.
        """
        is_free = self._resource is None or self._resource is resource
        bound = self if is_free else type(self).from_dict(self.to_dict())
        object.__setattr__(bound, "_resource", resource)
        return bound


@frozen(eq=False, repr=False)
class BoundJob(BoundModel):
    """A job that can be awaited once it is bound to ``client.datasets`` or ``client.batches``."""

    def _owner(self, name: str) -> Any:
        """Return the resource of a client that this is bound to."""
        if self._resource is None:
            raise ConfigurationError(
                f"{type(self).__name__} {getattr(self, 'id', '')} came from no client: "
                f"bind({name}) makes it one that can be awaited"
            )
        return self._resource
