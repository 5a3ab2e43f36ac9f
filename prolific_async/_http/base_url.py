"""The base URL of the service, and the proxy to reach it."""

from __future__ import annotations

import os
import re
import urllib.request
from ipaddress import ip_address

from yarl import URL

from prolific_async._http.credentials import Token
from prolific_async.errors import ConfigurationError

ROOT = "/api/v1/data-collection"
"""Path of the Task Builder API, after the host or a gateway's path."""
VERSION = ROOT.rpartition("/")[0]
"""Path of the whole API, ``/api/v1``."""

_DEFAULT_BASE_URL = "https://api.prolific.com"


def read_base_url(given: str | None, token: Token) -> tuple[str, str]:
    """Return the base URL, as given or from PROLIFIC_URL, and an error message, "" if it is valid.

    A final ``/api/v1`` or ``/api/v1/data-collection`` is removed: scripts often have it there, and
    each request adds its own path. The message quotes nothing of a bad URL, which may hold a
    password or the token. Raises nothing, so that the caller can drop its own reference to the
    text before raising.
    """
    text = os.environ.get("PROLIFIC_URL", "") if given is None else given
    if given is None and not text.strip():
        text = _DEFAULT_BASE_URL
    try:
        url = URL(text) if isinstance(text, str) else None
    except ValueError:
        url = None
    if url is None:
        return "", "base_url (PROLIFIC_URL) is no URL"
    path = url.raw_path.rstrip("/")
    for known in (ROOT, VERSION):
        path = path.removesuffix(known).rstrip("/")
    if problem := _problem(url, text, path, token):
        return "", f"base_url (PROLIFIC_URL) {problem}"
    return f"{url.origin()}{path}", ""


def _problem(url: URL, text: str, path: str, token: Token) -> str:
    """Return what is wrong with a base URL, "" if nothing is."""
    if url.user is not None or url.password is not None:
        return "must hold no user and password: the token is the only credential"
    if url.query_string or url.fragment or re.search(r"[\s\x00-\x1f\x7f]", text):
        return "must be a plain address: no query, fragment or white space"
    if not (
        url.host and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host)))
    ):
        return (
            "must start with https://, or with http:// and name a loopback host, to keep the token "
            f"safe; the service itself is {_DEFAULT_BASE_URL}"
        )
    # Errors name the host, and so would show the token. A token must be text: see read_token.
    if url.host.lower() == str(token.reveal()).lower():
        return f"has the token as its host; the service itself is {_DEFAULT_BASE_URL}"
    if ROOT in path:
        return (
            f"must end before {ROOT}, which each request adds; "
            f"the service itself is {_DEFAULT_BASE_URL}"
        )
    return ""


def is_loopback(host: str | None) -> bool:
    """Return whether a host is ``localhost`` or a loopback address."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def proxy_for(base_url: str) -> str | None:
    """Return the environment's proxy for a base URL; None for no proxy, as always for loopback.

    Raises:
        ConfigurationError: aiohttp cannot use that proxy.

    """
    url = URL(base_url)
    host = url.host or ""
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{url.port}"):
        return None
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy is None:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if _is_http_url(proxy):
        return proxy
    del proxy  # it may hold a password, and loggers may print local variables
    raise ConfigurationError(
        f"{url.scheme}_proxy names no http or https proxy; "
        "correct it, unset it, or put the host into no_proxy"
    )


def _is_http_url(proxy: str) -> bool:
    try:
        return URL(proxy).scheme in ("http", "https") and bool(URL(proxy).host)
    except ValueError:
        return False
