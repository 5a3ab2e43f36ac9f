"""``BoundModel`` and ``BoundJob``: base classes of models whose methods use a client."""

from __future__ import annotations

from typing import Any, Self

from attrs import field, frozen

from prolific_async._json.converter import WireModel
from prolific_async._json.scalars import JsonObject  # noqa: F401 - named by the generated __init__
from prolific_async.errors import ConfigurationError


@frozen(eq=False, repr=False)
class BoundModel(WireModel):
    """A model whose methods use the client that it is bound to.

    Comparing, pickling and ``to_dict`` ignore the client.
    """

    # Any, as cattrs resolves every annotation and the resources are not to be imported here.
    _resource: Any = field(default=None, init=False, eq=False, repr=False, kw_only=True)

    def bind(self, resource: Any) -> Self:
        """Bind this value to a resource of a client, such as ``client.batches``, and return it.

        A value that is bound to another client or view stays so, and a bound copy is returned.
        Values that a client returns are bound already.
        """
        is_free = self._resource is None or self._resource is resource
        bound = self if is_free else type(self).from_dict(self.to_dict())
        object.__setattr__(bound, "_resource", resource)
        return bound


@frozen(eq=False, repr=False)
class BoundJob(BoundModel):
    """A job that can be awaited once it is bound to ``client.datasets`` or ``client.batches``."""

    def _owner(self, name: str) -> Any:
        """Return the resource that this job is bound to; ``name`` is its name in the error."""
        if self._resource is None:
            raise ConfigurationError(
                f"{type(self).__name__} {getattr(self, 'id', '')} came from no client: "
                f"bind({name}) makes it one that can be awaited"
            )
        return self._resource
