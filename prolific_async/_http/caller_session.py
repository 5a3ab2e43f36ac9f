"""Validates a borrowed session: it must keep the token safe, and be able to send the token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import aiohttp
from aiohttp import hdrs

from prolific_async.errors import ConfigurationError


def checked_trace_configs(
    session: aiohttp.ClientSession | None, trace_configs: Sequence[aiohttp.TraceConfig]
) -> list[aiohttp.TraceConfig]:
    """Return the trace configs; raise ValueError for arguments that aiohttp would refuse later."""
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        raise ValueError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
    if not isinstance(trace_configs, Sequence) or not all(
        isinstance(config, aiohttp.TraceConfig) for config in trace_configs
    ):
        raise ValueError("trace_configs must be a sequence of aiohttp.TraceConfig")
    if session is not None and trace_configs:
        raise ValueError("trace_configs belong to the session given: set them there")
    return list(trace_configs)


def check(session: aiohttp.ClientSession, base_url: str) -> None:
    """Raise ConfigurationError if the token cannot, or must not, be sent over a session."""
    # The public attribute, ``loop``, warns of its deprecation.
    if getattr(session, "_loop", None) not in (None, asyncio.get_running_loop()):
        raise ConfigurationError(
            "the aiohttp session given to this ProlificClient was made in another event loop; "
            "make session and client in the loop that uses them"
        )
    if session.auth is not None:
        raise ConfigurationError(
            "the aiohttp session given to this ProlificClient has an auth of its own, which "
            "conflicts with the token: aiohttp allows only one Authorization header; give one "
            "without"
        )
    if hdrs.EXPECT in session.headers:
        raise ConfigurationError(
            "the aiohttp session given to this ProlificClient has a default header Expect, so it "
            "would send headers before the connection is checked; give one without"
        )
    if base_url.startswith("https:") and not _verifies_certificate(session.connector):
        raise ConfigurationError(
            "the aiohttp session given to this ProlificClient does not verify the server's "
            "certificate and host name, so anybody could take the token; for an authority of your "
            "own, give it TCPConnector(ssl=ssl.create_default_context(cafile=…)) instead"
        )


def is_about_netrc(error: BaseException, session: aiohttp.ClientSession) -> bool:
    """Return whether aiohttp refused a request because netrc has a login for the host.

    aiohttp reads netrc before each request, so this cannot be checked earlier.
    """
    return session.trust_env and isinstance(error, ValueError) and "AUTHORIZATION" in str(error)


def netrc_error() -> ConfigurationError:
    """Return the error for a request that was refused because of netrc."""
    return ConfigurationError(
        "the aiohttp session given to this ProlificClient has trust_env=True, and netrc (the file "
        "that NETRC names, else ~/.netrc) holds a login for this host, which conflicts with the "
        "token: aiohttp allows only one Authorization header; give a session without trust_env, or "
        "take the login out of that file"
    )


def _verifies_certificate(connector: aiohttp.BaseConnector | None) -> bool:
    # The setting is not public. A Fingerprint is safe: it is checked before anything is sent.
    setting = getattr(connector, "_ssl", True)
    if isinstance(setting, ssl.SSLContext):
        return setting.verify_mode is ssl.CERT_REQUIRED and setting.check_hostname
    return setting is not False
