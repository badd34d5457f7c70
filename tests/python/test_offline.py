"""That a build cannot reach the network, tried in processes of their own: the hook cannot be taken back."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

GUARDED = "from quantmill.offline import forbid_network; forbid_network(); forbid_network()\n"


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """A server on this machine: its port, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], paths
    server.shutdown()
    server.server_close()


def tried(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


WAYS = {
    "requests": "import requests; requests.get('http://127.0.0.1:{port}/x', timeout=5)",
    "urllib": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/x', timeout=5).read()",
    "socket": "import socket; socket.socket().connect(('127.0.0.1', {port}))",
    "datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "name": "import socket; socket.getaddrinfo('example.org', 443)",
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_way_to_the_network_is_open(way: str, asked: tuple[int, list[str]]) -> None:
    port, paths = asked
    done = tried(GUARDED + WAYS[way].format(port=port))
    assert done.returncode != 0
    assert "NetworkIngestionForbidden: a build opens no connection, and " in done.stderr
    assert "make flow-data" in done.stderr
    assert not paths


@pytest.mark.parametrize("way", ["requests", "urllib"])
def test_without_the_guard_the_same_request_arrives(way: str, asked: tuple[int, list[str]]) -> None:
    port, paths = asked
    assert tried(WAYS[way].format(port=port)).returncode == 0
    assert paths == ["/x"]


def test_the_network_is_closed_before_dbt_opens_the_workbench(
    asked: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUANTMILL_HOME", str(tmp_path))
    port, paths = asked
    done = tried(
        "from dbt_common.exceptions import DbtRuntimeError\n"
        "from quantmill.dbt_plugin import Plugin\n"
        "try:\n    Plugin('x', {})\n"
        "except DbtRuntimeError as error:\n    assert 'nothing has been landed' in str(error)\n"
        + WAYS["requests"].format(port=port)
    )
    assert "NetworkIngestionForbidden" in done.stderr, done.stderr
    assert not paths


def test_processes_of_one_machine_still_talk_to_each_other() -> None:
    done = tried(
        GUARDED + "import socket\na, b = socket.socketpair()\na.sendall(b'x')\nassert b.recv(1) == b'x'\n"
        "from joblib import Parallel, delayed\nassert Parallel(n_jobs=2)(delayed(abs)(n) for n in (-1, 2)) == [1, 2]\n"
    )
    assert done.returncode == 0, done.stderr
