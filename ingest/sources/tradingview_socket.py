"""TradingView's bars over a WebSocket, with a rule that keeps every foreign bar out.

A packet is used only if its session, series and turnaround are those of the open request, and its bars only if
`symbol_resolved` of that request names the requested symbol. The rule is applied twice: to what is kept while fetching,
and to what is read from the kept bytes. One request is in flight per socket, no two requests share a series, and a
socket is never used again after an error or a timeout.

The payload is the conversation in its own framing: per try one frame that says what was asked (session, series, ...),
then every frame that belongs to it, as received. So a packet of a retry merges with those before it.

Codes: UNKNOWN_SYMBOL, SERIES_ERROR, FOREIGN_SYMBOL and FOREIGN_PACKETS (the bars that would complete the request belong
to another one: the load is to be rejected), TIMEOUT, IDLE (the series was never completed), DROPPED, FRAMING, PROTOCOL,
and those of `ingest.transport` for the handshake.
"""

from __future__ import annotations

import hashlib
import json
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from quantmill.errors import DataContractError, UsageError

from ingest.answers import Answer, AnswerState, Attempt
from ingest.exchanges import EXCHANGES
from ingest.sources.common import BarRequest, bar_table, row_text, value_text
from ingest.stopping import GRACE_SECONDS, POLL_SECONDS, Stop
from ingest.transport import (
    MARKET_CLOCK,
    OPENING_CODES,
    PREFIX_BYTES,
    REFUSED_STATUSES,
    USER_AGENT,
    Breaker,
    Clock,
    Progress,
    check_address,
    clean_address,
    failure_reason,
    is_loopback,
    market_clock_text,
    retry_after,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from websockets.sync.client import ClientConnection

SOURCE = "tradingview"
PATH = "/socket.io/websocket?from=chart%2F&type=chart"
ORIGIN = "https://www.tradingview.com"
ANONYMOUS = "unauthorized_user_token"
LARGEST_MESSAGE = 64 << 20

INTERVALS = {"1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "45m": "45"} | {
    "1h": "60",
    "2h": "120",
    "3h": "180",
    "4h": "240",
    "1d": "1D",
    "1W": "1W",
    "1M": "1M",
}
# The service has a name for its own total return that is public knowledge and unconfirmed.
ADJUSTMENTS = {"splits": "splits", "total_return": "dividends"}

_MARKER = re.compile(r"~m~(\d{1,9})~m~")
_HEARTBEAT = re.compile(r"~h~\d+")
_CONNECTION_ERRORS = ("critical_error", "protocol_error")


@dataclass(frozen=True)
class SocketRules:
    """How many sockets, how long a request may take, and how often it is tried again; times in seconds.

    A socket is opened anew after `symbols_per_socket`; the service gives an anonymous user `depth_daily` bars of a day
    or longer at most, and `depth_intraday` shorter ones.
    """

    symbols_per_socket: int
    depth_daily: int
    depth_intraday: int
    sockets: int = 5
    connect_seconds: float = 10.0
    read_seconds: float = 15.0
    total_seconds: float = 300.0
    idle_seconds: float = 5.0
    idle_packets: int = 3
    silent_heartbeats: int = 5
    silent_tries: int = 2
    tries: int = 5
    reconnect_seconds: float = 1.0
    cap_seconds: float = 60.0
    handshake_waits: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0)
    longest_wait_seconds: float = 300.0
    breaker_failures: int = 5
    has_deeper_requests: bool = True

    def slow_lane(self, waits: tuple[float, ...]) -> SocketRules:
        """Return the rules of a repair's slow lane: one symbol after the other, each with a socket of its own."""
        return replace(self, sockets=1, symbols_per_socket=1, handshake_waits=waits)

    def depth(self, interval: str) -> int:
        """Return how many bars of an interval the service gives at most."""
        return self.depth_daily if interval[-1] in "dWM" else self.depth_intraday


@dataclass(frozen=True)
class Series:
    """The names by which a packet is known to belong to one try of one request."""

    session: str
    series: str
    turnaround: str
    symbol_id: str
    symbol: str


def frame(payload: str) -> str:
    """Return a payload in its frame."""
    return f"~m~{len(payload)}~m~{payload}"


def message(function: str, *parameters: Any) -> str:
    """Return a message of the protocol in its frame."""
    return frame(json.dumps({"m": function, "p": list(parameters)}, separators=(",", ":")))


def parse_frames(text: str) -> list[str]:
    """Return the payloads of one socket message, split by their stated lengths.

    A length counts characters; where that does not lead to the next frame it is taken as UTF-16 units, which is what a
    browser counts. Raises `ValueError` where neither does.
    """
    payloads = []
    place = 0
    while place < len(text):
        header = _MARKER.match(text, place)
        if header is None:
            raise ValueError(f"no frame at character {place}: {text[place : place + 20]!r}")
        start, length = header.end(), int(header[1])
        end = start + length
        if not _is_boundary(text, end):
            end = _end_of_units(text, start, length)
            if not _is_boundary(text, end):
                raise ValueError(f"the frame at character {place} states {length} characters, which is not its length")
        payloads.append(text[start:end])
        place = end
    return payloads


def _is_boundary(text: str, end: int) -> bool:
    return end == len(text) or (end < len(text) and _MARKER.match(text, end) is not None)


def _end_of_units(text: str, start: int, units: int) -> int:
    """Return where `units` UTF-16 units from `start` end, or past the text."""
    place = start
    while units > 0 and place < len(text):
        units -= 2 if ord(text[place]) > 0xFFFF else 1
        place += 1
    return place if units == 0 else len(text) + 1


def parse_message(payload: str) -> dict[str, Any] | None:
    """Return a payload as a JSON object, None for anything else."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def own_bars(value: Mapping[str, Any], series: Series) -> list[Any] | None:
    """Return the bars of a `timescale_update` or `du` that belongs to a series, None for any other packet."""
    parameters = value.get("p")
    if value.get("m") not in ("timescale_update", "du") or not isinstance(parameters, list) or len(parameters) < 2:
        return None
    if parameters[0] != series.session or not isinstance(parameters[1], dict):
        return None
    entry = parameters[1].get(series.series)
    if not isinstance(entry, dict) or entry.get("t") != series.turnaround:
        return None
    bars = entry.get("s", [])
    return bars if isinstance(bars, list) else None


def is_own(value: Mapping[str, Any], series: Series) -> bool:
    """Whether a packet belongs to a series, by all the names it carries."""
    if own_bars(value, series) is not None:
        return True
    parameters = value.get("p")
    if not isinstance(parameters, list) or len(parameters) < 2 or parameters[0] != series.session:
        return False
    function = value.get("m")
    if function in ("symbol_resolved", "symbol_error"):
        return bool(parameters[1] == series.symbol_id)
    if parameters[1] != series.series:
        return False
    if function == "series_error":
        # The place of the turnaround is not confirmed, and an error never brings bars.
        return True
    place = {"series_loading": 2, "series_completed": 3}.get(str(function))
    return place is not None and len(parameters) > place and bool(parameters[place] == series.turnaround)


def resolved_names(value: Mapping[str, Any], series: Series) -> set[str] | None:
    """Return the names that `symbol_resolved` of a series gives its symbol, None for any other packet."""
    if value.get("m") != "symbol_resolved" or not is_own(value, series):
        return None
    parameters = value["p"]
    info = parameters[2] if len(parameters) > 2 and isinstance(parameters[2], dict) else {}
    return {name for name in (info.get("pro_name"), info.get("full_name")) if isinstance(name, str)}


@dataclass
class _Talk:
    """One try of one request: what has come so far."""

    series: Series
    frames: list[str] = field(default_factory=list)
    times: set[Any] = field(default_factory=set)
    bars: int = 0
    names: set[str] | None = None
    foreign: int = 0
    foreign_bars: int = 0
    late: int = 0
    broken: int = 0
    deeper: int = 0
    ended: Literal["completed", "idle", "silent", "timeout", "dropped", "error", "unknown", "refused"] = "dropped"
    status: int | None = None
    code: str | None = None
    detail: str | None = None

    @property
    def is_right_symbol(self) -> bool:
        return self.names is not None and self.series.symbol in self.names

    def take(self, payload: str, value: Mapping[str, Any]) -> bool:
        """Keep an own packet; return whether it brought a bar at a time not seen before."""
        self.frames.append(payload)
        names = resolved_names(value, self.series)
        if names is not None:
            self.names = names if self.names is None else self.names & names
        bars = own_bars(value, self.series) or ()
        self.bars += len(bars)
        before = len(self.times)
        self.times.update(map(_opening, bars))
        return len(self.times) > before


def _opening(bar: Any) -> Any:
    """Return the time of a bar, or something of its own for a bar that has none."""
    values = bar.get("v") if isinstance(bar, dict) else None
    if isinstance(values, list) and values and isinstance(values[0], int | float) and not isinstance(values[0], bool):
        return values[0]
    return f"row {row_text(bar)}"


class SocketBars:
    """Fetches bars over up to `rules.sockets` sockets at once.

    `token` is a user's own; it is sent and nowhere kept. `seed` fixes the session ids, `clock`, `timer`, `sleep` and
    `stop` are as in `ingest.transport.Transport`.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Clock,
        rules: SocketRules,
        breaker: Breaker | None = None,
        market_clock: datetime | None = None,
        token: str | None = None,
        seed: int = 0,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        stop: Stop | None = None,
    ) -> None:
        self.address = check_address(address, schemes=("ws", "wss"))
        self.origin = clean_address(self.address)
        self.rules = rules
        self.breaker = breaker or Breaker(self.rules.breaker_failures)
        self.clock = clock
        self.stop = stop or Stop()
        self._token = token or ANONYMOUS
        self._secret = token
        self._headers = {MARKET_CLOCK: market_clock_text(market_clock)} if market_clock is not None else {}
        self._seed = seed
        self._timer = timer
        self._sleep = sleep

    def without_secret(self, text: str) -> str:
        """Return what the service sent without the user's token: a service may repeat it, and what it says is kept."""
        return text.replace(self._secret, "***") if self._secret else text

    def fetch_bars(
        self, requests: Sequence[BarRequest], *, rules: SocketRules | None = None, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the answer to each request, in the order in which they arrive.

        Requests are dealt to sockets in their order, so that equal requests always meet the same session ids. Raises
        `UsageError` for an interval or an adjustment that the service does not have.
        """
        rules = rules or self.rules
        for one in requests:
            if one.interval not in INTERVALS or one.adjustment not in ADJUSTMENTS:
                raise UsageError(
                    f"TradingView has no {one.interval} bars of {one.symbol} adjusted by {one.adjustment}",
                    remedy=f"ask for one of {', '.join(INTERVALS)}, adjusted by {' or '.join(ADJUSTMENTS)}",
                )
        size = rules.symbols_per_socket
        groups = [requests[first : first + size] for first in range(0, len(requests), size)]
        results: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        stopped = threading.Event()

        def run(group: Sequence[BarRequest]) -> None:
            for one in _Worker(self, rules, stopped).answers(group):
                results.put(one)

        def ended(future: Future[None]) -> None:
            results.put(None)

        pool = ThreadPoolExecutor(max_workers=max(min(rules.sockets, len(groups)), 1))
        futures = [pool.submit(run, group) for group in groups]
        for future in futures:
            future.add_done_callback(ended)
        try:
            done, left, last_look = 0, len(groups), math.inf
            while left and time.monotonic() < last_look:
                if self.stop.is_set() and not stopped.is_set():
                    stopped.set()
                    last_look = time.monotonic() + GRACE_SECONDS
                    for future in futures:
                        future.cancel()
                try:
                    found = results.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                if found is None:
                    left -= 1
                    continue
                done += 1
                if progress is not None:
                    progress(done, len(requests), found.request["symbol"])
                yield found
            for future in futures:
                if not self.stop.is_set():
                    future.result()
        finally:
            stopped.set()
            for future in futures:
                future.cancel()
            pool.shutdown(wait=not self.stop.is_set())

    def hello(self) -> tuple[dict[str, Any] | None, Attempt]:
        """Open a socket, return what the service says first and how the attempt went, and close it."""
        worker = _Worker(self, self.rules, threading.Event())
        try:
            fault = worker.open("hello")
            return worker.greeting, fault or worker.last_attempt
        finally:
            worker.close()


class _Worker:
    """One socket after the other, for the requests of one group."""

    def __init__(self, source: SocketBars, rules: SocketRules, stopped: threading.Event) -> None:
        self.source = source
        self.rules = rules
        self.stopped = stopped
        self.socket: ClientConnection | None = None
        self.resources = ExitStack()
        self.session = ""
        self.opened = 0
        self.asked = 0
        self.greeting: dict[str, Any] | None = None
        self.last_attempt = Attempt(source.clock(), 0.0, None)

    def answers(self, group: Sequence[BarRequest]) -> Iterator[Answer]:
        """Yield the answer to each request of a group; the socket is closed at the end, come what may."""
        try:
            for request in group:
                if self.stopped.is_set():
                    return
                yield self._answer(request)
        finally:
            self.close()

    def close(self) -> None:
        if self.socket is not None:
            self.socket = None
            self.resources.close()

    def _answer(self, request: BarRequest) -> Answer:
        started_at = self.source.clock()
        attempts: list[Attempt] = []
        talks: list[_Talk] = []
        tries = silent = 0
        while True:
            if self.source.breaker.reason is not None:
                reason = f"{SOURCE} is not asked any more in this run: {self.source.breaker.reason}"
                talks.append(_Talk(_no_series(request), code="CIRCUIT_OPEN", detail=reason))
                break
            talk = self._try(request)
            talks.append(talk)
            attempts.append(self.last_attempt)
            is_over = talk.ended in ("completed", "idle", "unknown", "error")
            if talk.ended != "completed":
                self.close()
            if is_over or talk.ended == "refused":
                break
            tries += 1
            silent += talk.ended in ("silent", "timeout")
            if tries >= self.rules.tries or silent >= self.rules.silent_tries or self.stopped.is_set():
                break
            self.source._sleep(min(self.rules.cap_seconds, self.rules.reconnect_seconds * 2.0 ** (tries - 1)))
        last = talks[-1]
        if last.ended in ("completed", "idle", "unknown", "error") or any(talk.times for talk in talks):
            self.source.breaker.succeeded()
        elif last.code != "CIRCUIT_OPEN":
            self.source.breaker.failed(f"{last.code}: {last.detail}")
        return self._concluded(request, talks, attempts, started_at)

    def open(self, name: str) -> Attempt | None:
        """Open a socket and a chart session on it; return the failed attempt, None where it worked.

        A handshake answered with 429 is tried again after 2, 4, 6 and 8 s, or what the service asks if that is more;
        one that asks for longer than `longest_wait_seconds` is not waited for.
        """
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect
        from websockets.typing import Origin

        source, waits = self.source, list(self.rules.handshake_waits)
        while True:
            started_at, started = source.clock(), source._timer()
            status: int | None = None
            resources = ExitStack()
            try:
                has_path = source.address.count("/") > 2
                opening = connect(
                    source.address if has_path else source.address + PATH,
                    origin=Origin(ORIGIN),
                    additional_headers=source._headers,
                    user_agent_header=USER_AGENT,
                    open_timeout=self.rules.connect_seconds,
                    close_timeout=1,
                    # The protocol has heartbeats of its own.
                    ping_interval=None,
                    max_size=LARGEST_MESSAGE,
                    compression=None,
                    proxy=None if is_loopback(source.address) else True,
                )
                socket = resources.enter_context(opening)
            except InvalidStatus as error:
                status = error.response.status_code
                code, detail = _refusal(status)
                wait = retry_after(dict(error.response.headers.raw_items()), source.clock())
            except TimeoutError:
                code, detail, wait = "TIMEOUT", "the handshake took too long", 0.0
            except (OSError, WebSocketException, EOFError) as error:
                code, detail, wait = "CONNECTION", failure_reason(error), 0.0
            else:
                self.socket, self.resources = socket, resources
                self.last_attempt = Attempt(started_at, round(source._timer() - started, 3), 101)
                return self._greet(name, started_at, started)
            self.last_attempt = Attempt(started_at, round(source._timer() - started, 3), status, code, detail)
            if code in OPENING_CODES:
                source.breaker.open(f"{code}: {detail}")
            is_too_long = wait > self.rules.longest_wait_seconds
            if code != "RATE_LIMITED" or not waits or is_too_long or self.stopped.is_set():
                return self.last_attempt
            source._sleep(max(waits.pop(0), wait))

    def _greet(self, name: str, started_at: datetime, started: float) -> Attempt | None:
        """Wait for the hello and open the chart session; return the failed attempt, None where it worked."""
        from websockets.exceptions import WebSocketException

        assert self.socket is not None
        source = self.source
        deadline = source._timer() + self.rules.read_seconds
        self.opened += 1
        self.asked = 0
        digest = hashlib.sha256(f"{source._seed}|{name}|{self.opened}".encode()).digest()
        self.session = "cs_" + "".join("abcdefghijklmnopqrstuvwxyz"[byte % 26] for byte in digest[:12])
        self.greeting = None
        fault = None
        try:
            while self.greeting is None and fault is None:
                payloads = parse_frames(_text(self.socket.recv(timeout=max(deadline - source._timer(), 0.0))))
                for payload in map(source.without_secret, payloads):
                    if _HEARTBEAT.fullmatch(payload):
                        self.socket.send(frame(payload))
                        continue
                    value = parse_message(payload)
                    if value is not None and value.get("m") in _CONNECTION_ERRORS:
                        fault = ("PROTOCOL", f"{value['m']}: {row_text(value.get('p'))[:300]}")
                    elif value is not None and "m" not in value:
                        self.greeting = value
            if fault is None:
                for function, parameters in (
                    ("set_auth_token", [source._token]),
                    ("set_locale", ["en", "US"]),
                    ("chart_create_session", [self.session, ""]),
                ):
                    self.socket.send(message(function, *parameters))
        except TimeoutError:
            fault = ("TIMEOUT", "no hello in time")
        except ValueError as error:
            fault = ("FRAMING", str(error))
        except (OSError, EOFError, WebSocketException) as error:
            fault = ("DROPPED", failure_reason(error))
        if fault is None:
            return None
        self.close()
        self.last_attempt = Attempt(started_at, round(source._timer() - started, 3), 101, *fault)
        return self.last_attempt

    def _try(self, request: BarRequest) -> _Talk:
        """Ask once, over the open socket or a new one, and record the attempt."""
        from websockets.exceptions import WebSocketException

        source = self.source
        if self.socket is None:
            fault = self.open(f"{request.symbol}|{request.interval}|{request.adjustment}")
            if fault is not None:
                talk = _Talk(_no_series(request), code=fault.code, detail=fault.detail, status=fault.status)
                # A refusal, or a 429 that was waited out to the end, is not tried once more.
                is_refused = fault.code in OPENING_CODES or fault.code in ("RATE_LIMITED", "HTTP_ERROR")
                talk.ended = "refused" if is_refused else "dropped"
                return talk
        self.asked += 1
        k = self.asked
        series = Series(self.session, f"sds_{k}", f"s{k}", f"sds_sym_{k}", request.symbol)
        talk = _Talk(series)
        started_at, started = source.clock(), source._timer()
        try:
            self._converse(talk, request)
        except TimeoutError:
            talk.ended, talk.code, talk.detail = "silent", "TIMEOUT", "nothing arrived in time"
        except ValueError as error:
            talk.ended, talk.code, talk.detail = "dropped", "FRAMING", str(error)
        except (OSError, EOFError, WebSocketException) as error:
            talk.ended, talk.code, talk.detail = (
                "dropped",
                "DROPPED",
                f"the socket closed: {failure_reason(error)}",
            )
        self.last_attempt = Attempt(started_at, round(source._timer() - started, 3), 101, talk.code, talk.detail)
        return talk

    def _converse(self, talk: _Talk, request: BarRequest) -> None:
        """Ask for the bars and listen until the request has ended, in whichever way."""
        assert self.socket is not None
        series, rules, timer = talk.series, self.rules, self.source._timer
        wanted = min(request.count, rules.depth(request.interval))
        symbol = json.dumps(
            {"adjustment": ADJUSTMENTS[request.adjustment], "symbol": request.symbol}, separators=(",", ":")
        )
        self.socket.send(message("resolve_symbol", series.session, series.symbol_id, f"={symbol}"))
        self.socket.send(
            message(
                "create_series",
                series.session,
                series.series,
                series.turnaround,
                series.symbol_id,
                INTERVALS[request.interval],
                wanted,
                "",
            )
        )
        deadline = timer() + rules.total_seconds
        newest = timer()
        idle = heartbeats = empty = 0
        at_request = 0
        is_deeper = False
        while True:
            now = timer()
            if now >= deadline:
                talk.ended, talk.code, talk.detail = "timeout", "TIMEOUT", f"not over after {rules.total_seconds:g} s"
                return
            limit = min(rules.read_seconds, deadline - now)
            if talk.times:
                limit = min(limit, max(newest + rules.idle_seconds - now, 0.0))
            try:
                text = _text(self._recv(limit))
            except TimeoutError:
                if talk.times and timer() - newest >= rules.idle_seconds:
                    self._idle(talk, is_deeper, f"no new bar for {rules.idle_seconds:g} s")
                    return
                if timer() >= deadline:
                    continue
                raise
            for payload in map(self.source.without_secret, parse_frames(text)):
                if _HEARTBEAT.fullmatch(payload):
                    self.socket.send(frame(payload))
                    heartbeats += 1
                    if heartbeats >= rules.silent_heartbeats and not talk.times:
                        talk.ended, talk.code = "silent", "TIMEOUT"
                        talk.detail = f"{heartbeats} heartbeats and no data"
                        return
                    continue
                value = parse_message(payload)
                if value is None:
                    talk.broken += 1
                    continue
                function, parameters = value.get("m"), value.get("p")
                if function is None:
                    continue
                if function in _CONNECTION_ERRORS:
                    talk.code, talk.detail = "PROTOCOL", f"{function}: {row_text(parameters)[:300]}"
                    return
                if not is_own(value, series):
                    self._count_foreign(talk, value)
                    continue
                heartbeats = 0
                if talk.take(payload, value):
                    newest, idle = timer(), 0
                elif talk.times and function in ("timescale_update", "du"):
                    idle += 1
                if function == "symbol_error":
                    talk.ended, talk.code = "unknown", "UNKNOWN_SYMBOL"
                    talk.detail = f"{request.symbol}: {row_text(value['p'][2:])[:300]}"
                    return
                if function == "symbol_resolved" and not talk.is_right_symbol:
                    named = ", ".join(sorted(talk.names or ())) or "nothing"
                    talk.ended, talk.code = "error", "FOREIGN_SYMBOL"
                    talk.detail = f"the service resolved {request.symbol} as {named}"
                    return
                if function == "series_error":
                    talk.ended, talk.code = "error", "SERIES_ERROR"
                    talk.detail = f"{request.symbol} {request.interval}: {row_text(value['p'][2:])[:300]}"
                    return
                if function == "series_completed":
                    empty = empty + 1 if is_deeper and len(talk.times) == at_request else 0
                    if len(talk.times) >= wanted or empty >= 2 or not talk.times or not rules.has_deeper_requests:
                        talk.ended = "completed"
                        return
                    is_deeper, at_request, newest, idle = True, len(talk.times), timer(), 0
                    talk.deeper += 1
                    left = wanted - len(talk.times)
                    self.socket.send(message("request_more_data", series.session, series.series, left))
                elif idle >= rules.idle_packets:
                    self._idle(talk, is_deeper, f"{idle} packets without a new bar")
                    return

    def _recv(self, seconds: float) -> str | bytes:
        """Return the next message. Raises `TimeoutError` after `seconds`, `Interrupted` when the command is to end."""
        assert self.socket is not None
        left = seconds
        while True:
            try:
                return self.socket.recv(timeout=min(left, POLL_SECONDS))
            except TimeoutError:
                self.source.stop.check()
                left -= POLL_SECONDS
                if left <= 0:
                    raise

    def _idle(self, talk: _Talk, is_deeper: bool, detail: str) -> None:
        """End a request that brings nothing more: it was complete if only deeper history was still asked for."""
        if is_deeper:
            talk.ended = "completed"
        else:
            talk.ended, talk.code, talk.detail = "idle", "IDLE", f"the series was not completed: {detail}"

    def _count_foreign(self, talk: _Talk, value: Mapping[str, Any]) -> None:
        """Count a packet of another request; a late one belongs to an earlier request of this same socket."""
        for k in range(1, self.asked):
            earlier = Series(self.session, f"sds_{k}", f"s{k}", f"sds_sym_{k}", "")
            if is_own(value, earlier):
                talk.late += 1
                return
        talk.foreign += 1
        talk.foreign_bars += value.get("m") in ("timescale_update", "du")

    def _concluded(
        self, request: BarRequest, talks: Sequence[_Talk], attempts: Sequence[Attempt], started_at: datetime
    ) -> Answer:
        last = talks[-1]
        kept = [talk for talk in talks if talk.times and talk.is_right_symbol]
        code, error = last.code, last.detail
        state: AnswerState
        if last.ended == "unknown":
            state = "unknown_symbol"
        elif last.ended == "error":
            state = "failed"
        elif last.ended == "completed" and last.times and last.is_right_symbol:
            state = "complete"
        elif last.times and not last.is_right_symbol:
            state, code = "failed", "FOREIGN_SYMBOL"
            error = f"bars came, and nothing says that they are of {request.symbol}"
        elif kept:
            state = "partial"
            code, error = code or "DROPPED", error or "the last try brought nothing; the bars are of an earlier one"
        elif last.ended == "completed" and last.foreign_bars:
            state, code = "failed", "FOREIGN_PACKETS"
            error = f"{request.symbol} has no bar of its own, and {last.foreign_bars} packets of bars of others came"
        elif last.ended == "completed" or last.code == "TIMEOUT":
            state = "empty"
        else:
            state = "failed"
        if state in ("complete", "empty") and last.ended == "completed":
            code = error = None
        times = set().union(*(talk.times for talk in kept)) if kept else set()
        rows = sum(talk.bars for talk in kept)
        payload = _payload([talk for talk in talks if talk.frames])
        if state == "failed" and payload is not None:
            payload = payload[:PREFIX_BYTES]
        exchange = EXCHANGES.get(request.symbol.split(":")[0])
        is_coin = exchange is not None and exchange.asset_class == "crypto"
        asked = {
            "symbol": request.symbol,
            "interval": request.interval,
            # A coin is never split: its bars are as traded, and one series with those of its venue.
            "adjustment": "none" if is_coin and request.adjustment == "splits" else request.adjustment,
            "count": request.count,
        }
        return Answer(
            kind="bars",
            source=SOURCE,
            origin=f"{self.source.origin}/socket.io/websocket",
            request=asked,
            state=state,
            payload=payload,
            extension="txt" if state == "failed" else "frames",
            started_at=started_at,
            received_at=self.source.clock(),
            attempts=tuple(attempts),
            code=code,
            error=f"{error} ({len(attempts)} attempts)" if error and len(attempts) > 1 else error,
            counters={
                "bars": len(times),
                "merged_bars": rows - len(times),
                "deeper_requests": sum(talk.deeper for talk in talks),
                "ws_foreign_packets": sum(talk.foreign for talk in talks),
                "ws_late_packets": sum(talk.late for talk in talks),
                "ws_broken_packets": sum(talk.broken for talk in talks),
            },
        )


def _no_series(request: BarRequest) -> Series:
    return Series("", "", "", "", request.symbol)


def _text(data: str | bytes) -> str:
    """Return a socket message as text. Raises `ValueError` for bytes that are none."""
    return data if isinstance(data, str) else data.decode("utf-8")


def _refusal(status: int) -> tuple[str, str]:
    """Return code and detail of a handshake that was answered with an HTTP status."""
    if status == 429:
        return "RATE_LIMITED", "HTTP 429 at the handshake"
    if status in REFUSED_STATUSES:
        code, detail = REFUSED_STATUSES[status]
        return code, f"HTTP {status} at the handshake, {detail}"
    if status >= 500:
        return "SERVER_ERROR", f"HTTP {status} at the handshake"
    return "HTTP_ERROR", f"HTTP {status} at the handshake"


def _payload(talks: Sequence[_Talk]) -> bytes | None:
    """Return the tries of one request in the framing of the protocol; None where nothing came."""
    if not talks:
        return None
    parts = []
    for talk in talks:
        parts.append(frame(json.dumps({"asked": asdict(talk.series)}, separators=(",", ":"), sort_keys=True)))
        parts.extend(map(frame, talk.frames))
    return "".join(parts).encode("utf-8", "replace")


def read_bars(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return the bars of one request as `BAR_COLUMNS`, by time; the last of several frames wins at one time.

    Two rows for one time in the same frame both stay, for the landing to judge. A packet whose session, series,
    turnaround or resolved symbol is not the request's is no row. Volume is NULL where a bar has five values. Raises
    `DataContractError` when the payload is no conversation.
    """
    try:
        payloads = parse_frames(payload.decode("utf-8"))
    except ValueError as error:
        raise DataContractError(
            f"the payload is no sequence of frames: {error}", remedy="ask the source for these bars again"
        ) from error
    merged: dict[Any, list[Any]] = {}
    series: Series | None = None
    part: list[list[Any]] = []
    names: set[str] | None = None

    def settle() -> None:
        if series is not None and names is not None and series.symbol in names and series.symbol == request["symbol"]:
            for block in part:
                fresh: dict[Any, list[Any]] = {}
                for bar in block:
                    fresh.setdefault(_opening(bar), []).append(bar)
                merged.update(fresh)

    for text in payloads:
        value = parse_message(text)
        if value is None:
            continue
        if "m" not in value and isinstance(value.get("asked"), dict):
            settle()
            series, part, names = _series(value["asked"]), [], None
            continue
        if series is None:
            continue
        bars = own_bars(value, series)
        if bars is not None:
            part.append(bars)
            continue
        found = resolved_names(value, series)
        if found is not None:
            names = found if names is None else names & found
    settle()
    stamped = sorted(stamp for stamp in merged if not isinstance(stamp, str))
    rest = [stamp for stamp in merged if isinstance(stamp, str)]
    return _table(request["symbol"], [bar for stamp in [*stamped, *rest] for bar in merged[stamp]])


def _series(asked: Mapping[str, Any]) -> Series | None:
    try:
        return Series(**asked)
    except TypeError:
        return None


def _table(symbol: str, bars: list[Any]) -> pa.Table:
    """Return bars as a table, by columns; numbers never become Python text one by one."""
    values = [
        bar["v"] if isinstance(bar, dict) and isinstance(bar.get("v"), list) and len(bar["v"]) >= 5 else ()
        for bar in bars
    ]
    names = ("opened_at", "open", "high", "low", "close", "volume")
    columns = dict.fromkeys(names, [None] * len(bars)) | dict(zip(names, zip_longest(*values), strict=False))
    if len(bars) and not any(values):
        columns = dict.fromkeys(names, [None] * len(bars))
    return bar_table(
        symbol, {name: _texts(column) for name, column in columns.items()}, [row_text(bar) for bar in bars]
    )


def _texts(column: Sequence[Any]) -> Any:
    """Return a column of JSON values as text, an Arrow array where all of them are numbers or null."""
    import pyarrow as pa

    if set(map(type, column)) <= {float, int, type(None)}:
        try:
            return pa.array(column, pa.float64()).cast(pa.string())
        except (pa.ArrowInvalid, OverflowError):
            pass
    return [value_text(value) for value in column]
