"""The smallest servers for tests of clients: what they answer is written in the test, the wire is real."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Given:
    """One answer: `is_dropped` closes the connection without a word, `stated_length` lies about the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stated_length: int | None = None
    is_dropped: bool = False
    seconds: float = 0.0


def given_json(value: Any, status: int = 200, **headers: str) -> Given:
    """Return a JSON answer."""
    return Given(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


@dataclass
class WebService:
    """A running server: its address and everything it was asked, in order."""

    address: str
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def web_service(answer: Callable[[Asked], Given] | Sequence[Given]) -> Iterator[WebService]:
    """Serve HTTP on loopback: `answer` gives the answer to each request, or the answers in their order."""
    script = None if callable(answer) else iter(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, query, self.rfile.read(length), headers)
            with lock:
                service.asked.append(asked)
                given = next(script, Given(599)) if script is not None else None
            if given is None:
                given = answer(asked)  # type: ignore[operator]
            if given.seconds:
                threading.Event().wait(given.seconds)
            if given.is_dropped:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            self.send_response(given.status)
            stated = len(given.body) if given.stated_length is None else given.stated_length
            for name, value in ({"Content-Length": str(stated)} | given.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)
            self.close_connection = stated != len(given.body)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is part of some tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        service = WebService(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def closed_port() -> Iterator[int]:
    """Give a port of loopback where nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@dataclass
class SocketService:
    """A running WebSocket server: its address, every socket's handshake headers, and every message in order."""

    address: str
    handshakes: list[dict[str, str]] = field(default_factory=list)
    said: list[tuple[int, str]] = field(default_factory=list)


@contextmanager
def socket_service(
    converse: Callable[[ServerConnection, int], None], *, refuse: Sequence[tuple[int, dict[str, str]]] = ()
) -> Iterator[SocketService]:
    """Serve WebSockets on loopback: `converse(socket, number)` talks on each; the first handshakes are refused."""
    refusals = iter(refuse)

    def process_request(connection: ServerConnection, request: Any) -> Any:
        service.handshakes.append({name.lower(): value for name, value in request.headers.raw_items()})
        refusal = next(refusals, None)
        if refusal is None:
            return None
        response = connection.respond(refusal[0], "no\n")
        for name, value in refusal[1].items():
            response.headers[name] = value
        return response

    numbers = iter(range(1, 1_000_000))

    def handler(connection: ServerConnection) -> None:
        try:
            converse(connection, next(numbers))
        except ConnectionClosed:
            """The client has what it wanted."""

    with serve(handler, "127.0.0.1", 0, process_request=process_request, max_size=None, compression=None) as server:
        service = SocketService(f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield service
        server.shutdown()
        thread.join()
