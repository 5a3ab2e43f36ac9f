"""Which hosts are this machine, and which proxy leads to the others."""

from __future__ import annotations

import urllib.request
from ipaddress import ip_address

from yarl import URL

from prolific_async.errors import ConfigurationError


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address is this machine."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def proxy_for(base_url: str) -> str | None:
    """Read from the environment which proxy leads to the service; none ever does to loopback.

    Raises:
        ConfigurationError: It names one that aiohttp cannot use.

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
    try:
        fits = URL(proxy).scheme in ("http", "https") and URL(proxy).host
    except ValueError:
        fits = False
    if not fits:
        # Its text is not shown: it may hold a password.
        raise ConfigurationError(
            f"{url.scheme}_proxy names no http or https proxy; "
            "mend it, unset it, or put the host into no_proxy"
        )
    return proxy
