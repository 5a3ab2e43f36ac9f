"""What is asked of a session that the caller lends, before the token is given to it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from prolific_async.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp


def check(session: aiohttp.ClientSession, base_url: str) -> None:
    """Raise ConfigurationError if the token cannot, or must not, be sent over a session."""
    if session.auth is not None:
        raise ConfigurationError(
            "the aiohttp session given to this ProlificClient has an auth of its own, "
            "which cannot stand beside the token; give one without"
        )
    if base_url.startswith("https:") and not _verifies(session.connector):
        raise ConfigurationError(
            "the aiohttp session given to this ProlificClient does not verify whom it talks to, "
            "so anybody could take the token; for an authority of your own, give it "
            "TCPConnector(ssl=ssl.create_default_context(cafile=…)) instead"
        )


def _verifies(connector: aiohttp.BaseConnector | None) -> bool:
    # aiohttp has no public way to ask. A Fingerprint is checked before anything is sent.
    setting = getattr(connector, "_ssl", True)
    if isinstance(setting, ssl.SSLContext):
        return setting.verify_mode is ssl.CERT_REQUIRED and setting.check_hostname
    return setting is not False
