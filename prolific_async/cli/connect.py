"""The client that the commands use."""

import os

from prolific_async._http.credentials import VARIABLE, no_token
from prolific_async.client import ProlificClient
from prolific_async.errors import ConfigurationError

__all__ = ["connect"]


def connect(url: str | None) -> ProlificClient:
    """Return a client whose token comes from the environment.

    The token is no option: other users of the machine can read the arguments of a process.

    Args:
        url: The ``--url`` that was given, if any.

    Raises:
        ConfigurationError: It says what can be done on the command line.

    """
    if not os.environ.get(VARIABLE, "").strip():
        raise ConfigurationError(no_token())
    return ProlificClient(base_url=url)
