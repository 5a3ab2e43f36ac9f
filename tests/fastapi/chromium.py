"""A headless Chromium, driven by its own protocol over a WebSocket.

https://chromedevtools.github.io/devtools-protocol/ has its methods.
"""

import asyncio
import base64
import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.fastapi.serving import PATIENCE


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count()
        self.complaints: list[str] = []
        """Exceptions that nothing in the page caught."""

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=PATIENCE)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))

    async def open(self, url: str, *, scheme: str = "light", width: int = 1100) -> None:
        await self.call("Runtime.enable")
        scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.call("Emulation.setEmulatedMedia", features=[scheme_feature])
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        await self.call("Page.navigate", url=url)
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    async def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Return once a JavaScript expression is true."""
        async with asyncio.timeout(PATIENCE):
            while not await self.value(expression):
                await asyncio.sleep(0.02)

    async def save(self, path: Path) -> None:
        """Save a screenshot of the page."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """Start a browser with an empty page.

    Args:
        profile: An empty folder for what it writes.

    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "there is no Chromium: apt-get update && apt-get install -y chromium, as root"
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
            port = await _port(profile)
            url = await _page(session, f"http://127.0.0.1:{port}/json/list")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, max_msg_size=0) as socket,
        ):
            yield Page(socket)
    finally:
        process.terminate()
        await process.wait()


async def _port(profile: Path) -> str:
    """Return the port that the browser writes down when it has started."""
    told = profile / "DevToolsActivePort"
    while not (told.exists() and len(lines := told.read_text().split()) > 1):
        await asyncio.sleep(0.02)
    return lines[0]


async def _page(session: aiohttp.ClientSession, pages: str) -> str:
    """Return the address of the first page, which exists a little later than the port."""
    while True:
        async with session.get(pages) as answer:
            for one in await answer.json():
                if one["type"] == "page":
                    return str(one["webSocketDebuggerUrl"])
        await asyncio.sleep(0.02)
