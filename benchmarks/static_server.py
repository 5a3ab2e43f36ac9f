"""A server that sends prepared responses, in a process of its own.

The CPU time of the measuring process is then the client's alone, and the server is too fast to slow
it down. Unlike the simulator it has no state.
"""

import asyncio
import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import IO, NamedTuple, cast

Routes = Mapping[tuple[str, str], tuple[int, bytes]]
"""From a method and the end of a path, without its query, to the status and the JSON body."""

HEAD_END = b"\r\n\r\n"


def whole_response(status: int, body: bytes) -> bytes:
    """Return a response with the headers that a service behind a gateway sends."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Server: benchmark\r\n"
        "\r\n"
    )
    return head.encode() + body


class Responses:
    """Finds the response to a request line by method and end of path, and caches it."""

    def __init__(self, routes: Routes) -> None:
        self._routes = {
            (method.encode(), suffix.encode()): whole_response(*response)
            for (method, suffix), response in routes.items()
        }
        self._known: dict[bytes, bytes] = {}

    def find(self, request_line: bytes) -> bytes:
        try:
            return self._known[request_line]
        except KeyError:
            response = self._known[request_line] = self._find(request_line)
            return response

    def _find(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        for (route_method, suffix), response in self._routes.items():
            if method == route_method and path.endswith(suffix):
                return response
        return whole_response(404, b'{"detail": "No such route"}')


class RequestParser:
    """Splits a stream of bytes into requests."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes and return the request lines of the requests that are now complete."""
        buffer = self._buffer + data
        lines = []
        while (head_end := buffer.find(HEAD_END)) >= 0:
            end = head_end + len(HEAD_END) + content_length(buffer[:head_end])
            if len(buffer) < end:
                break
            lines.append(buffer[: buffer.index(b"\r\n")])
            buffer = buffer[end:]
        self._buffer = buffer
        return lines


def content_length(head: bytes) -> int:
    """Return the Content-Length of a request, 0 without one; chunked bodies are not supported."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class Connection(asyncio.Protocol):
    """Writes `respond(request_line)` for each request, in order."""

    def __init__(self, respond: Callable[[bytes], bytes]) -> None:
        self._respond = respond
        self._parser = RequestParser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if lines := self._parser.feed(data):
            self._transport.write(b"".join(map(self._respond, lines)))


class ServerProcess(NamedTuple):
    """A server in another process: its URL, and the pipes to and from it."""

    url: str
    stdin: IO[bytes]
    stdout: IO[bytes]


@contextmanager
def server_process(module: str, given: object) -> Iterator[ServerProcess]:
    """Run a module that reads `given` as a pickle and prints the loopback port it serves on."""
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump(given, process.stdin)
        process.stdin.flush()
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield ServerProcess(url, process.stdin, process.stdout)


@contextmanager
def serving(routes: Routes) -> Iterator[str]:
    """Serve `routes` from another process on a free loopback port; yield the base URL."""
    with server_process("benchmarks.static_server", dict(routes)) as server:
        yield server.url


async def main() -> None:
    responses = Responses(pickle.load(sys.stdin.buffer))
    loop = asyncio.get_running_loop()
    async with await loop.create_server(
        lambda: Connection(responses.find), "127.0.0.1", 0
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        # The parent holds the other end of the pipe, so this ends with it, however it ends.
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
