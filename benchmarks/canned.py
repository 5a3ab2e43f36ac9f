"""A server that answers known bytes, in a process of its own.

It does so little that the client is what costs; and since it is another process, the CPU time of
the measuring process is the client's alone. It is not the simulator: nothing has a state here.
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
"""Method and the end of the path (the query left out), to the status and the JSON body."""

HEAD_END = b"\r\n\r\n"


def head_and_body(status: int, body: bytes) -> bytes:
    """A whole answer, with the headers that a service behind a gateway sends."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Server: canned\r\n"
        "\r\n"
    )
    return head.encode() + body


class Answers:
    """The answer to each request line, looked up by method and path end once, then remembered."""

    def __init__(self, routes: Routes) -> None:
        self._routes = {
            (method.encode(), suffix.encode()): head_and_body(*answer)
            for (method, suffix), answer in routes.items()
        }
        self._known: dict[bytes, bytes] = {}

    def to(self, request_line: bytes) -> bytes:
        try:
            return self._known[request_line]
        except KeyError:
            answer = self._known[request_line] = self._find(request_line)
            return answer

    def _find(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        for (route_method, suffix), answer in self._routes.items():
            if method == route_method and path.endswith(suffix):
                return answer
        return head_and_body(404, b'{"detail": "No such route"}')


class Requests:
    """Cuts a stream into requests, however it was segmented or pipelined."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The request lines of the requests that are complete now, their bodies dropped."""
        buffer = self._buffer + data
        lines = []
        while (head_end := buffer.find(HEAD_END)) >= 0:
            end = head_end + len(HEAD_END) + _content_length(buffer[:head_end])
            if len(buffer) < end:
                break
            lines.append(buffer[: buffer.index(b"\r\n")])
            buffer = buffer[end:]
        self._buffer = buffer
        return lines


def _content_length(head: bytes) -> int:
    """The Content-Length of a request; none is sent with a GET. Chunked bodies aren't read."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class Connection(asyncio.Protocol):
    """Answers each request line as `answer_to` says, in order."""

    def __init__(self, answer_to: Callable[[bytes], bytes]) -> None:
        self._answer_to = answer_to
        self._requests = Requests()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if lines := self._requests.feed(data):
            self._transport.write(b"".join(map(self._answer_to, lines)))


class Served(NamedTuple):
    """A server in another process: where it is, and the pipes to and from it."""

    url: str
    to: IO[bytes]
    back: IO[bytes]


@contextmanager
def server_process(module: str, given: object) -> Iterator[Served]:
    """Run a module that reads `given` as a pickle and prints the loopback port that it serves."""
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
        yield Served(url, process.stdin, process.stdout)


@contextmanager
def serving(routes: Routes) -> Iterator[str]:
    """Serve `routes` from another process on a free loopback port; gives the base URL."""
    with server_process("benchmarks.canned", dict(routes)) as served:
        yield served.url


async def main() -> None:
    answers = Answers(pickle.load(sys.stdin.buffer))
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Connection(answers.to), "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        # Whoever started this holds the other end: it ends with them, however they end.
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
