"""How the tests of the venue speak with it: plain clients that share nothing with the product's."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from market import CLOCK_HEADER, Venue
from market.stream import frame, unframe

CLOCK = "2026-01-29T00:10:00Z"
COLUMNS = ("name", "close", "Value.Traded", "Recommend.All")


def get(venue: Venue, path: str, *, clock: str = CLOCK, **query: Any) -> requests.Response:
    """Return the answer to a GET as of a moment."""
    headers = {CLOCK_HEADER: clock, "User-Agent": "Mozilla/5.0"}
    return requests.get(venue.http_url + path, params=query, headers=headers, timeout=10)


def scan(
    venue: Venue,
    market: str = "crypto",
    *,
    filters: Sequence[Sequence[Any]] = (),
    columns: Sequence[str] = COLUMNS,
    clock: str = CLOCK,
    **body: Any,
) -> requests.Response:
    """Return the answer to a scan; filters are (left, operation, right)."""
    conditions = [dict(zip(("left", "operation", "right"), one, strict=False)) for one in filters]
    asked = {"filter": conditions, "columns": list(columns), "options": {"lang": "en"}, **body}
    headers = {CLOCK_HEADER: clock, "User-Agent": "Mozilla/5.0"}
    return requests.post(f"{venue.http_url}/{market}/scan", json=asked, headers=headers, timeout=10)


def rows(answer: requests.Response) -> dict[str, list[Any]]:
    """Return the values of a scan's rows by symbol."""
    assert answer.status_code == 200, answer.text
    return {row["s"]: row["d"] for row in answer.json()["data"]}


class Listener:
    """A client of the bar stream: sends messages, answers heartbeats, keeps what it received."""

    def __init__(self, venue: Venue, *, clock: str = CLOCK, does_echo: bool = True) -> None:
        self._stack = ExitStack()
        line = connect(
            f"{venue.ws_url}/socket.io/websocket?from=chart%2F&type=chart",
            origin="https://www.tradingview.com",  # type: ignore[arg-type]
            additional_headers={CLOCK_HEADER: clock},
            compression=None,
        )
        self.socket = self._stack.enter_context(line)
        self.does_echo = does_echo
        self.beats: list[str] = []
        self.received: list[dict[str, Any]] = []
        self.is_closed = False

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, function: str, *parts: Any) -> None:
        self.socket.send(frame(json.dumps({"m": function, "p": list(parts)})))

    def listen(self, *until: str, seconds: float = 2.0) -> list[dict[str, Any]]:
        """Return the messages up to the first of a function named, or the end of the line.

        Or up to silence: `seconds` with nothing but heartbeats.
        """
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = self.socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return found
            except ConnectionClosed:
                self.is_closed = True
                return found
            for payload in unframe(str(message)):
                if payload.startswith("~h~"):
                    self.beats.append(payload)
                    if self.does_echo:
                        self._echo(payload)
                    continue
                found.append(json.loads(payload))
                self.received.append(found[-1])
                deadline = time.monotonic() + seconds
            if any(one.get("m") in until for one in found):
                return found

    def _echo(self, payload: str) -> None:
        with suppress(ConnectionClosed):
            # a line that broke is noticed by the next message
            self.socket.send(frame(payload))

    def series(
        self, symbol: str, timeframe: str = "1D", count: int = 10, *, number: int = 1, adjustment: str = "splits"
    ) -> list[dict[str, Any]]:
        """Ask for a series and return every message up to its completion or an error."""
        self.send("chart_create_session", "cs_abcdefghijkl", "")
        asked = "=" + json.dumps({"adjustment": adjustment, "symbol": symbol})
        self.send("resolve_symbol", "cs_abcdefghijkl", f"sds_sym_{number}", asked)
        series = (f"sds_{number}", f"s{number}", f"sds_sym_{number}", timeframe, count, "")
        self.send("create_series", "cs_abcdefghijkl", *series)
        errors = ("symbol_error", "series_error", "critical_error", "protocol_error")
        return self.listen("series_completed", *errors)


def values(messages: Sequence[dict[str, Any]], name: str = "sds_1", turnaround: str = "s1") -> list[list[Any]]:
    """Return the bars of one series in order of time, later ones replacing earlier ones."""
    found: dict[float, list[Any]] = {}
    for message in messages:
        if message.get("m") in ("timescale_update", "du") and message["p"][0] == "cs_abcdefghijkl":
            part = message["p"][1].get(name)
            if part and part["t"] == turnaround:
                found.update({bar["v"][0]: bar["v"] for bar in part["s"]})
    return [found[moment] for moment in sorted(found)]


def bars(venue: Venue, symbol: str, timeframe: str = "1D", count: int = 10, *, clock: str = CLOCK) -> list[list[Any]]:
    """Return the bars of a symbol as the stream gives them."""
    with Listener(venue, clock=clock) as listener:
        return values(listener.series(symbol, timeframe, count))
