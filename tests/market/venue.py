"""The simulated venue: the market on loopback over the real protocols, as of any moment, with faults on request.

with Venue(Market(), port=0) as venue:
    requests.post(f"{venue.http_url}/crypto/scan", json=..., headers={"X-Market-Clock": "2025-03-01T00:10:00Z"})
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request as Handshake
from websockets.http11 import Response

from . import scanner
from .binance import Binance
from .faults import HTTP_FAULTS, SCAN_FAULTS, Damage, Fault, Faults
from .fields import Snapshots
from .listings import ALIASES
from .market import Market, epoch
from .replies import Reply, Request, as_json
from .stream import SOURCE as SOCKET_SOURCE
from .stream import Stream
from .yahoo import PATH as YAHOO_PATH
from .yahoo import Yahoo

CLOCK_HEADER = "X-Market-Clock"
# A listener without an account sees the scanner a quarter of an hour late, so that a scan just after midnight shows the
# day that ended and not ten minutes of the new one.
SCANNER_DELAY = 900
SOCKET_PATHS = ("/", "/socket.io/websocket")
_HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>captcha</body></html>"
_PARTS = {"/api/": "binance", "/fapi/": "binance", "/dapi/": "binance", "/data/": "binance_bulk", YAHOO_PATH: "yahoo"}


@dataclass(frozen=True)
class LogEntry:
    """One request as it came: order, source, what was asked, the moment of its clock and the faults it met.

    Entries of the stream have the method WS and the event (connect, resolve_symbol, create_series, ...) as path.
    """

    number: int
    source: str
    method: str
    path: str
    query: str
    body_digest: str
    moment: datetime
    symbols: tuple[str, ...]
    status: int
    faults: tuple[str, ...]
    detail: str = ""


def parse_moment(text: str) -> int:
    """Return the epoch second of an ISO time with a zone. Raises ValueError for anything else."""
    return epoch(datetime.fromisoformat(text.strip().replace("Z", "+00:00")))


class Venue:
    """A market on two ports of loopback: HTTP at `port`, the bar stream at `port + 1`; port 0 takes any two.

    `clock` is the moment at which a request without a clock of its own is answered (default: the market's end).
    `scanner_delay` are the seconds by which the scanner is late; `heartbeat_seconds` and `bars_per_frame` belong to the
    stream.
    """

    def __init__(
        self,
        market: Market | None = None,
        *,
        port: int = 47800,
        clock: datetime | None = None,
        scanner_delay: int = SCANNER_DELAY,
        heartbeat_seconds: float = 5.0,
        bars_per_frame: int = 1000,
        host: str = "127.0.0.1",
    ) -> None:
        self.market = market or Market()
        self.host, self._port = host, port
        self.clock = clock or datetime.fromtimestamp(self.market.end, UTC)
        self.scanner_delay, self.heartbeat_seconds = scanner_delay, heartbeat_seconds
        self.bars_per_frame = bars_per_frame
        self.faults = Faults()
        self.damage = Damage(self.market, self.faults)
        self.snapshots = Snapshots(self.market)
        self.binance = Binance(self.market, self.faults, self.damage)
        self.yahoo = Yahoo(self.market, self.damage)
        self.requests_log: list[LogEntry] = []
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._http: ThreadingHTTPServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket_server: Server | None = None
        self._threads: list[threading.Thread] = []
        self._ws_port = 0

    # -- life

    def __enter__(self) -> Venue:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Venue:
        """Open both ports; OSError names the port that is taken."""
        handler = type("Handler", (_Handler,), {"venue": self})
        self._http = _Server((self.host, self._port), handler)
        ready = threading.Event()
        wrong: list[BaseException] = []

        def stream() -> None:
            loop = asyncio.new_event_loop()
            self._loop = loop
            try:
                loop.run_until_complete(self._open_stream())
            except BaseException as error:
                wrong.append(error)
                ready.set()
                return
            ready.set()
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        self._threads = [
            threading.Thread(target=stream, name="venue-stream", daemon=True),
            threading.Thread(target=self._http.serve_forever, args=(0.05,), name="venue-http", daemon=True),
        ]
        self._threads[0].start()
        ready.wait()
        if wrong:
            self._http.server_close()
            raise wrong[0]
        self._threads[1].start()
        return self

    async def _open_stream(self) -> None:
        port = self._port + 1 if self._port else 0
        self._socket_server = await serve(
            self._converse, self.host, port, process_request=self._greet, compression=None, max_size=2**22
        )
        self._ws_port = next(iter(self._socket_server.sockets)).getsockname()[1]

    def warm(self) -> None:
        """Compute the ratings of every market once, so that no client has to wait for them at its first scan."""
        for name in self.market.panels:
            snapshot = self.snapshots.at(name, epoch(self.clock), self.scanner_delay)
            if snapshot is not None:
                for suffix in ("", "|1W", "|1M"):
                    snapshot.column(f"Recommend.All{suffix}")

    def stop(self) -> None:
        """Close both ports and every connection."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
        loop, server = self._loop, self._socket_server
        if loop and server and loop.is_running():

            async def close() -> None:
                server.close(close_connections=True)
                await server.wait_closed()

            asyncio.run_coroutine_threadsafe(close(), loop).result(timeout=5)
            loop.call_soon_threadsafe(loop.stop)
        for thread in self._threads:
            thread.join(timeout=5)

    @property
    def http_url(self) -> str:
        assert self._http is not None, "the venue is not open"
        return f"http://{self.host}:{self._http.server_address[1]}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}:{self._ws_port}"

    def addresses(self) -> dict[str, str]:
        """Return the base address of each interface by its name."""
        http = (
            "tradingview_scanner", "binance_spot", "binance_usdm", "binance_coinm", "binance_bulk", "yahoo",
        )  # fmt: skip
        return {**dict.fromkeys(http, self.http_url), "tradingview_socket": self.ws_url}

    # -- faults and log

    def fault(self, name: str, **given: Any) -> Fault:
        """Ask for a fault by name, with scope (`symbols`, `sources`, `count`, `skip`, `since`, `until`) and options."""
        return self.faults.add(name, **given)

    def heal(self, name: str | None = None) -> int:
        """Take all faults of a name away, or all there are; returns how many."""
        return self.faults.heal(name=name)

    def requests(self, *, source: str | None = None, path: str | None = None) -> list[LogEntry]:
        """Return the log, of one source and of paths that begin so."""
        with self._lock:
            return [
                entry
                for entry in self.requests_log
                if (source is None or entry.source == source) and (path is None or entry.path.startswith(path))
            ]

    def _note(self, **given: Any) -> None:
        with self._lock:
            self.requests_log.append(LogEntry(number=next(self._numbers), **given))

    def moment_of(self, headers: Mapping[str, str]) -> int:
        """Return the moment of a request's clock in epoch seconds, at most the market's end."""
        text = headers.get(CLOCK_HEADER.lower())
        return min(parse_moment(text) if text else epoch(self.clock), self.market.end)

    # -- HTTP

    def answer(self, request: Request) -> tuple[Reply | None, list[Fault]]:
        """Answer a request; None where the connection is to be dropped, with the wire's faults it met."""
        if request.path.startswith("/control/"):
            return self._control(request), []
        source = next(
            (name for prefix, name in _PARTS.items() if request.path.startswith(prefix)), "tradingview_scanner"
        )
        try:
            scan = scanner.parse_scan(request.body) if request.path.endswith("/scan") else None
        except scanner.ScanError:
            scan = None
        symbols = self._symbols_of(request, source, scan)
        met = self.faults.take(HTTP_FAULTS, source, symbols, request.moment)
        names = {fault.name for fault in met}
        reply = self._wrong(met)
        inner: list[Fault] = []
        if reply is None and "drop" not in names:
            with self._lock:
                if source in ("binance", "binance_bulk"):
                    reply = self.binance.answer(request)
                elif source == "yahoo":
                    reply = self.yahoo.answer(request)
                else:
                    reply, inner = self._scanner(request, scan)
        self._note(
            source=source,
            method=request.method,
            path=request.path,
            query="&".join(f"{k}={v}" for k, v in sorted(request.query.items())),
            body_digest=hashlib.sha256(request.body).hexdigest()[:16] if request.body else "",
            moment=datetime.fromtimestamp(request.moment, UTC),
            symbols=tuple(symbols or ()),
            status=reply.status if reply else 0,
            faults=tuple(sorted({*names, *(f.name for f in inner)})),
        )
        return reply, met

    def _symbols_of(self, request: Request, source: str, scan: scanner.Scan | None) -> tuple[str, ...] | None:
        if source in ("binance", "binance_bulk"):
            return self.binance.symbols_of(request)
        if source == "yahoo":
            return self.yahoo.symbols_of(request)
        if scan is not None and scan.tickers:
            return scan.tickers
        return (request.query["symbol"],) if "symbol" in request.query else None

    def _wrong(self, met: list[Fault]) -> Reply | None:
        """Return the answer that a fault of the wire gives in place of the right one."""
        for fault in met:
            options = fault.options
            if fault.name == "too_many_requests":
                retry = {"Retry-After": str(options["retry_after"])} if options["retry_after"] is not None else {}
                return Reply(429, b'{"code":-1003,"msg":"Too many requests."}', headers=retry)
            if fault.name == "server_error":
                return Reply(int(options["status"]), b"<html><body>error of the server</body></html>", "text/html")
            if fault.name == "html":
                return Reply(200, _HTML, "text/html; charset=utf-8")
            if fault.name == "blocked":
                return Reply(451, b'{"code":0,"msg":"Service unavailable from a restricted location."}')
            if fault.name == "banned":
                text = b'{"code":-1003,"msg":"Way too many requests; IP banned."}'
                return Reply(418, text, headers={"Retry-After": str(options["retry_after"])})
        return None

    def _scanner(self, request: Request, asked: scanner.Scan | None) -> tuple[Reply, list[Fault]]:
        parts = request.path.strip("/").split("/")
        try:
            if parts == ["symbol"]:
                return self._symbol(request), []
            if len(parts) != 2 or parts[1] != "scan" or parts[0] not in scanner.MARKETS:
                return Reply(404, b"404 page not found\n", "text/plain; charset=utf-8"), []
            if request.method != "POST":
                return as_json({"totalCount": 0, "error": "POST expected", "data": None}, 405), []
            asked = asked or scanner.parse_scan(request.body)
            met = self.faults.take(SCAN_FAULTS, "tradingview_scanner", asked.tickers or None, request.moment)
            return self._scan(request, parts[0], asked, met), met
        except scanner.ScanError as error:
            return Reply(error.status, error.body), []

    def _scan(self, request: Request, name: str, asked: scanner.Scan, met: list[Fault]) -> Reply:
        markets = [name] if name != "global" else list(asked.markets or self.market.panels)
        unknown = [one for one in (*markets, *asked.markets) if one not in scanner.MARKETS]
        if unknown:
            raise scanner.ScanError(400, f'Unknown market "{unknown[0]}"')
        found = [self.snapshots.at(one, request.moment, self.scanner_delay) for one in markets]
        removed = tuple(c for fault in met if fault.name == "unknown_column" for c in fault.options["columns"])
        page = scanner.scan(_moved(asked, met), [one for one in found if one is not None], removed=removed)
        rows: list[dict[str, Any]] = [{"s": s, "d": d} for s, d in zip(page.symbols, page.rows, strict=True)]
        total = page.total
        for fault in met:
            rows, total = _spoiled(fault, rows, total, asked)
        if any(fault.name == "empty_scan" for fault in met):
            return as_json({"totalCount": 0, "data": None})
        return as_json({"totalCount": total, "data": rows})

    def _symbol(self, request: Request) -> Reply:
        symbol = request.query.get("symbol", "")
        symbol = ALIASES.get(symbol, symbol)
        names = [name for name in unquote(request.query.get("fields", "")).split(",") if name]
        scanner.check_columns(names)
        one = self.market.listings.get(symbol)
        if one is not None:
            snapshot = self.snapshots.at(one.market, request.moment, self.scanner_delay)
            if snapshot is not None and symbol in snapshot.place:
                at = snapshot.place[symbol]
                return as_json({name: snapshot.column(name)[at] for name in names})
        if request.query.get("no_404") == "true":
            return as_json({})
        return as_json({"error": "symbol not found"}, 404)

    # -- control

    def _control(self, request: Request) -> Reply:
        what = request.path.removeprefix("/control/")
        try:
            if what == "faults" and request.method == "POST":
                given = json.loads(request.body)
                return as_json(self.fault(given.pop("name"), **given).described(), 201)
            if what == "faults" and request.method == "DELETE":
                return as_json({"healed": self.heal(request.query.get("name"))})
            if what == "faults":
                return as_json(self.faults.described())
            if what == "clock" and request.method == "POST":
                self.clock = datetime.fromtimestamp(parse_moment(json.loads(request.body)["clock"]), UTC)
                return as_json({"clock": self.clock.isoformat()})
            if what == "log":
                with self._lock:
                    entries = [{**vars(e), "moment": e.moment.isoformat()} for e in self.requests_log]
                return as_json(entries)
            if what == "health":
                listed = len(self.market.listings)
                return as_json(
                    {"status": "ok", "listings": listed, "clock": self.clock.isoformat(), "ws_url": self.ws_url}
                )
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            return as_json({"error": str(wrong)}, 400)
        return as_json({"error": "there are /control/faults, /control/clock, /control/log, /control/health"}, 404)

    # -- the stream

    def _greet(self, connection: ServerConnection, request: Handshake) -> Response | None:
        """Refuse a handshake that the service would refuse: another path, no origin, too many."""
        path = urlsplit(request.path).path
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        try:
            moment = self.moment_of(headers)
        except ValueError as wrong:
            return connection.respond(HTTPStatus.BAD_REQUEST, f"{CLOCK_HEADER}: {wrong}\n")
        refused = self.faults.take(("socket_refused",), SOCKET_SOURCE, None, moment)
        status = 101
        if path not in SOCKET_PATHS:
            status = 404
        elif not headers.get("origin", "").endswith("tradingview.com"):
            status = 403
        elif refused:
            status = int(refused[0].options["status"])
        self._socket_note(moment, status=status, event="connect", faults=tuple(f.name for f in refused))
        return None if status == 101 else connection.respond(HTTPStatus(status), f"{HTTPStatus(status).phrase}\n")

    def _socket_note(
        self, moment: int, *, event: str, symbols: tuple[str, ...] = (), detail: str = "", status: int = 200,
        faults: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._note(
            source=SOCKET_SOURCE, method="WS", path=event, query="", body_digest="",
            moment=datetime.fromtimestamp(moment, UTC), symbols=symbols, status=status, faults=faults, detail=detail,
        )  # fmt: skip

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        moment = self.moment_of(headers)
        stream = Stream(
            connection,
            market=self.market,
            faults=self.faults,
            damage=self.damage,
            moment=moment,
            pause=self.heartbeat_seconds,
            bars_per_frame=self.bars_per_frame,
            note=lambda **given: self._socket_note(moment, **given),
        )
        await stream.run()


def _moved(asked: scanner.Scan, met: list[Fault]) -> scanner.Scan:
    """Return the page a scan gets when the ranking moved, the page is short or rows come again."""
    start, stop = asked.start, asked.stop
    for fault in met:
        rows = int(fault.options.get("rows", 0)) if isinstance(fault.options.get("rows"), int) else 0
        if fault.name in ("moved_rows", "repeated_rows") and start > 0:
            start = max(0, start - rows)
            stop = None if stop is None or fault.name == "repeated_rows" else stop - rows
        if fault.name == "short_page" and stop is not None:
            stop = max(start, stop - int(fault.options["missing"]))
    if fault_stop := [f for f in met if f.name == "repeated_rows"]:
        stop = asked.stop if fault_stop else stop
    return scanner.Scan(**{**vars(asked), "start": start, "stop": stop})


def _spoiled(
    fault: Fault, rows: list[dict[str, Any]], total: int, asked: scanner.Scan
) -> tuple[list[dict[str, Any]], int]:
    """Return rows and their number as a fault leaves them."""
    options = fault.options
    if fault.name == "malformed_rows" and rows:
        wanted = max(1, round(len(rows) * float(options["share"])))
        for n, at in enumerate(range(0, len(rows), max(1, len(rows) // wanted))):
            if n == wanted:
                break
            way = options["ways"][n % len(options["ways"])]
            if way == "width":
                rows[at] = {"s": rows[at]["s"], "d": rows[at]["d"][:-1]}
            elif way == "symbol":
                rows[at] = {"s": f"no symbol {n}", "d": rows[at]["d"]}
            else:
                rows[at] = {"s": rows[at]["s"], "d": [_other_type(value) for value in rows[at]["d"]]}
    elif fault.name == "retyped_column":
        places = [at for at, column in enumerate(asked.columns) if column in options["columns"]]
        for row in rows:
            for at in places:
                row["d"][at] = None if row["d"][at] is None else str(row["d"][at])
    elif fault.name == "wrong_venue_rows" and rows:
        rows += [{"s": symbol, "d": list(rows[-1]["d"])} for symbol in options["rows"]]
        total += len(options["rows"])
    elif fault.name == "lost_rows":
        total += int(options["rows"])
    return rows, total


def _other_type(value: Any) -> Any:
    """Return a value of another kind: text for a number, a list for a text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"value": value}
    return [value] if value is not None else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    """One connection of the HTTP server."""

    venue: Venue
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "simulated"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the venue has a log."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else b""
        try:
            moment = self.venue.moment_of(headers)
        except ValueError as wrong:
            self._send(as_json({"error": f"{CLOCK_HEADER}: {wrong}"}, 400), [])
            return
        query: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, value)
        reply, met = self.venue.answer(Request(self.command, parts.path, query, headers, body, moment))
        slow = [float(fault.options["seconds"]) for fault in met if fault.name == "slow"]
        if slow:
            time.sleep(max(slow))
        if reply is None:
            self._cut()
            return
        self._send(reply, met)

    def _send(self, reply: Reply, met: Iterable[Fault]) -> None:
        body = reply.body
        shares = {fault.name: float(fault.options["share"]) for fault in met if "share" in fault.options}
        if "cut_json" in shares:
            body = body[: int(len(body) * shares["cut_json"])]
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        # header and body leave together
        self._headers_buffer.append(b"\r\n")
        head, self._headers_buffer = b"".join(self._headers_buffer), []
        sent = body if "truncated" not in shares else body[: int(len(body) * shares["truncated"])]
        self.wfile.write(head + sent)
        if "truncated" in shares:
            self._cut()

    def _cut(self) -> None:
        """Close the connection as if the line broke."""
        self.close_connection = True
        self.wfile.flush()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            # the client was quicker
            return
