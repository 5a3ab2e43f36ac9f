"""TLS: the token is sent only to a server that proves to be the host of base_url."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme

from prolific_async import ConfigurationError, ConnectError, ProlificClient, ProlificError
from tests.conftest import QUICK_RETRY
from tests.http.raw import TOKEN, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


AUTHORITY = trustme.CA()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def trusting(authority: trustme.CA, **settings: Any) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@asynccontextmanager
async def serving_tls(certificate: trustme.LeafCert) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve over TLS; yield the URL and everything that was received."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    received: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(plain(b'{"status": "READY"}'))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", received
    finally:
        server.close()
        await asyncio.sleep(0)


async def outcome(url: str, session: aiohttp.ClientSession | None = None) -> Any:
    async with ProlificClient(TOKEN, base_url=url, session=session, retry=QUICK_RETRY) as client:
        try:
            return await client.batches.get_status("b1")
        except ProlificError as error:
            return error


async def test_a_certificate_of_an_unknown_authority_is_refused() -> None:
    async with serving_tls(AUTHORITY.issue_cert("127.0.0.1")) as (url, received):
        error = await outcome(url)
    assert isinstance(error, ConnectError)
    assert "certificate verify failed" in error.reason
    assert error.reason.startswith("127.0.0.1:")
    assert "ssl:" not in error.reason
    assert received == []


@pytest.mark.parametrize(
    ("certificate", "accepted"),
    [
        (lambda: AUTHORITY.issue_cert("127.0.0.1"), True),
        (lambda: AUTHORITY.issue_cert("api.prolific.com"), False),
        (lambda: AUTHORITY.issue_cert("127.0.0.1", not_after=YESTERDAY), False),
        (lambda: trustme.CA().issue_cert("127.0.0.1"), False),
    ],
    ids=["right", "another host's", "expired", "another authority's"],
)
async def test_a_session_with_its_own_authority_is_as_strict(
    certificate: Callable[[], trustme.LeafCert],
    accepted: bool,  # noqa: FBT001
) -> None:
    connector = aiohttp.TCPConnector(ssl=trusting(AUTHORITY))
    async with (
        serving_tls(certificate()) as (url, received),
        aiohttp.ClientSession(connector=connector) as session,
    ):
        result = await outcome(url, session)
    if accepted:
        assert result == "READY"
        assert f"Authorization: Token {TOKEN}".encode() in received[0]
    else:
        assert isinstance(result, ConnectError)
        assert received == []


LAX: dict[str, Any] = {
    "ssl=False": False,
    "no host names": trusting(AUTHORITY, check_hostname=False),
    "no certificates": trusting(AUTHORITY, check_hostname=False, verify_mode=ssl.CERT_NONE),
    "optional certificates": trusting(
        AUTHORITY, check_hostname=False, verify_mode=ssl.CERT_OPTIONAL
    ),
}


@pytest.mark.parametrize("setting", LAX.values(), ids=LAX)
async def test_a_session_that_does_not_verify_gets_no_token(setting: Any) -> None:
    async with (
        serving_tls(AUTHORITY.issue_cert("127.0.0.1")) as (url, received),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=setting)) as session,
    ):
        # The connection would succeed, so it is the setting that is refused.
        async with session.get(url) as answer:
            assert answer.status == 200
        error = await outcome(url, session)
    assert isinstance(error, ConfigurationError)
    assert len(received) == 1
    assert TOKEN.encode() not in received[0]


async def test_a_session_may_pin_the_certificate() -> None:
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    pem = certificate.cert_chain_pems[0].bytes().decode()
    async with serving_tls(certificate) as (url, received):
        results = []
        for pinned in (ssl.PEM_cert_to_DER_cert(pem), b"another"):
            fingerprint = aiohttp.Fingerprint(hashlib.sha256(pinned).digest())
            connector = aiohttp.TCPConnector(ssl=fingerprint)
            async with aiohttp.ClientSession(connector=connector) as session:
                results.append(await outcome(url, session))
    assert results[0] == "READY"
    assert isinstance(results[1], ConnectError)
    assert results[1].reason.endswith(": its certificate has another fingerprint")
    assert len(received) == 1


async def test_over_loopback_without_tls_its_settings_do_not_matter(sim: Any) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
        ProlificClient(sim.token, base_url=sim.url, session=session) as client,
    ):
        assert await client.batches.list(sim.workspace_id) == []
