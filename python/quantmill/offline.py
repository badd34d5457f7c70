"""A build opens no connection: what it knows was landed before. Whoever asks the network in it is stopped and named."""

from __future__ import annotations

import socket
import sys
from typing import Any

from quantmill.errors import NetworkIngestionForbidden

# What Python says before it resolves a name or reaches an address, with the place of the address in what it says.
_ADDRESS = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}
_is_installed = False


def forbid_network() -> None:
    """Refuse every connection of this process from now on, also to this machine; there is no way back.

    Sockets between processes of one machine (AF_UNIX) and pipes stay open. Code that is not Python asks without being
    seen: DuckDB fetches no extension because its settings say so.
    """
    global _is_installed  # noqa: PLW0603 - a hook cannot be taken back, so one is enough
    if not _is_installed:
        sys.addaudithook(_refuse)
        _is_installed = True


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    place = _ADDRESS.get(event)
    if place is None:
        return
    asked = arguments[0]
    if isinstance(asked, socket.socket) and asked.family not in (socket.AF_INET, socket.AF_INET6):
        return
    raise NetworkIngestionForbidden(
        f"a build opens no connection, and {arguments[place]!r} was asked for ({event})",
        remedy="fetch in the data cycle, 'make flow-data PROFILE=...', and build what was landed",
    )
