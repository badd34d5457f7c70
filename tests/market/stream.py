"""The bar stream: `~m~<length>~m~<payload>` frames over a WebSocket, sessions, series, heartbeats."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from .binance import digits_of
from .faults import Damage, Fault, Faults, Tape
from .fields import session_of, timezone_of
from .listings import ALIASES, Listing
from .market import INTRADAY, Bars, Market

SOURCE = "tradingview_socket"
TIMEFRAMES = {**{name: name for name in INTRADAY}, "1D": "1D", "D": "1D", "1W": "1W", "W": "1W", "1M": "1M", "M": "1M"}
# how far back a listener without an account can look
DAILY_DEPTH, INTRADAY_DEPTH = 3_050, 8_500
_HEADER = re.compile(r"~m~(\d+)~m~")


def frame(payload: str) -> str:
    """Return a payload with its header."""
    return f"~m~{len(payload)}~m~{payload}"


def unframe(message: str) -> Iterator[str]:
    """Yield the payloads of a message, by length. Raises ValueError where a header or a payload is cut."""
    place = 0
    while place < len(message):
        match = _HEADER.match(message, place)
        if not match:
            raise ValueError(f"no frame header at character {place}: {message[place : place + 20]!r}")
        start, length = match.end(), int(match[1])
        if start + length > len(message):
            raise ValueError(f"a frame of {length} characters has {len(message) - start}")
        yield message[start : start + length]
        place = start + length


@dataclass
class _Series:
    """An open series: what was asked and which bars were sent (places from `start` on)."""

    session: str
    name: str
    turnaround: str
    one: Listing
    timeframe: str
    adjustment: str
    start: int
    first: int


class Stream:
    """One connection. `note` writes the log, `clock` gives the moment, `pause` is the seconds between heartbeats."""

    def __init__(
        self,
        socket: ServerConnection,
        *,
        market: Market,
        faults: Faults,
        damage: Damage,
        moment: int,
        pause: float,
        bars_per_frame: int,
        note: Callable[..., None],
    ) -> None:
        self.socket, self.market, self.faults, self.damage = socket, market, faults, damage
        self.moment, self.pause, self.bars_per_frame, self.note = moment, pause, bars_per_frame, note
        self.charts: dict[str, dict[str, tuple[Listing, str]]] = {}
        self.series: dict[tuple[str, str], _Series] = {}
        self.quotes: dict[str, list[str]] = {}
        self.beats = itertools.count(1)
        self.unanswered: set[int] = set()

    async def run(self) -> None:
        """Speak with a client until it leaves."""
        await self._hello()
        beating = asyncio.create_task(self._beat())
        try:
            async for message in self.socket:
                for payload in unframe(str(message)):
                    await self._receive(payload)
        except (ConnectionClosed, ValueError):
            await self.socket.close()
        finally:
            beating.cancel()

    async def _send(self, *payloads: str) -> None:
        """Send payloads in one message."""
        await self.socket.send("".join(frame(payload) for payload in payloads))

    def _message(self, function: str, *parts: Any) -> str:
        return json.dumps(
            {"m": function, "p": list(parts), "t": self.moment, "t_ms": self.moment * 1000}, separators=(",", ":")
        )

    async def _hello(self) -> None:
        hello = {
            "session_id": f"0.{self.moment % 99991}.{self.moment % 4099}_simulated-charts-free-1",
            "timestamp": self.moment,
            "timestampMs": self.moment * 1000,
            "release": "release_208-91",
            "studies_metadata_hash": "9553d1ff336e1221067bebaa93c8b7a96b6f2153",
            "auth_scheme_vsn": 2,
            "protocol": "json",
            "via": "127.0.0.1:443",
            "javastudies": ["3.66"],
        }
        await self._send(json.dumps(hello, separators=(",", ":")))

    async def _beat(self) -> None:
        """Send heartbeats; a client that leaves three unanswered is cut off."""
        try:
            while True:
                number = next(self.beats)
                self.unanswered.add(number)
                await self._send(f"~h~{number}")
                await asyncio.sleep(self.pause)
                if len(self.unanswered) >= 3:
                    self.note(event="heartbeats_unanswered")
                    await self.socket.close(1001, "no heartbeat")
                    return
        except ConnectionClosed:
            return

    async def _receive(self, payload: str) -> None:
        if payload.startswith("~h~"):
            self.unanswered.discard(int(payload[3:]) if payload[3:].isdigit() else -1)
            return
        try:
            message = json.loads(payload)
            function, parts = message["m"], message["p"]
        except (ValueError, KeyError, TypeError):
            await self._send(self._message("protocol_error", "wrong data"))
            await self.socket.close()
            return
        call = getattr(self, f"_on_{function}", None)
        if call is None or not isinstance(parts, list):
            await self._send(self._message("critical_error", "", "unknown_method", f"method {function}"))
            return
        try:
            await call(*parts)
        except TypeError:
            await self._send(self._message("critical_error", "", "invalid_parameters", f"method {function}"))

    async def _on_set_auth_token(self, token: str) -> None:
        self.note(event="set_auth_token", detail="anonymous" if token == "unauthorized_user_token" else "token")

    async def _on_set_locale(self, *_: str) -> None:
        return None

    async def _on_set_data_quality(self, *_: str) -> None:
        return None

    async def _on_chart_create_session(self, session: str, *_: str) -> None:
        self.charts[session] = {}

    async def _on_chart_delete_session(self, session: str) -> None:
        self.charts.pop(session, None)
        self.series = {key: one for key, one in self.series.items() if key[0] != session}

    async def _on_switch_timezone(self, *_: str) -> None:
        return None

    async def _on_resolve_symbol(self, session: str, name: str, text: str) -> None:
        if session not in self.charts:
            await self._send(self._message("critical_error", session, "unknown_session", "resolve_symbol"))
            return
        symbol, adjustment = _asked_symbol(text)
        self.note(event="resolve_symbol", symbols=(symbol,))
        met = self._take(("symbol_error", "wrong_symbol"), symbol)
        real = ALIASES.get(symbol, symbol)
        if "symbol_error" in met or not self.market.is_known(real, self.moment):
            text = met["symbol_error"].options["text"] if "symbol_error" in met else "invalid symbol"
            await self._send(self._message("symbol_error", session, name, text))
            return
        one = self.market.listings[real]
        if "wrong_symbol" in met:
            one = self._donor(met["wrong_symbol"], one)
        self.charts[session][name] = (one, adjustment)
        await self._send(self._message("symbol_resolved", session, name, self._info(one)))

    def _take(self, names: tuple[str, ...], symbol: str) -> dict[str, Fault]:
        return {fault.name: fault for fault in self.faults.take(names, SOURCE, (symbol,), self.moment)}

    def _donor(self, fault: Fault, one: Listing) -> Listing:
        """Return the listing a fault mixes in: the one it names, or the next of the same market."""
        if fault.options["donor"]:
            return self.market.listings[fault.options["donor"]]
        symbols = [s for s in self.market.panels[one.market].symbols if self.market.is_known(s, self.moment)]
        others = [symbol for symbol in symbols if symbol > one.symbol] or symbols
        return self.market.listings[others[0]]

    def _info(self, one: Listing) -> dict[str, Any]:
        panel = self.market.panel_of(one.symbol)
        scale = int(panel.pricescale[panel.column[one.symbol]])
        exchange = one.exchange.capitalize() if one.market == "crypto" else one.exchange
        return {
            "source2": {
                "country": "US" if one.market == "america" else "", "description": exchange,
                "exchange-type": "exchange", "id": one.exchange, "name": exchange, "url": "",
            },
            "currency_code": one.quote,
            "source_id": one.exchange,
            "session_id": "regular",
            "subsession_id": "regular",
            "provider_id": one.exchange.lower(),
            "currency_id": one.quote,
            "base_currency": one.base,
            "base_currency_id": f"XTVC{one.base}" if one.market == "crypto" else one.base,
            "format": "price",
            "formatter": "price",
            "pro_perm": "",
            "volume_type": "base" if one.market == "crypto" else "tick" if one.market == "forex" else "share",
            "measure": "price",
            "allowed_adjustment": "any" if one.market == "america" else "none",
            "short_description": one.description,
            "variable_tick_size": "",
            "name": one.name,
            "full_name": one.symbol,
            "pro_name": one.symbol,
            "base_name": [one.symbol],
            "description": one.description,
            "exchange": exchange,
            "pricescale": scale,
            "pointvalue": 1.0,
            "minmov": 1,
            "session": session_of(one),
            "session_display": session_of(one),
            "subsessions": [
                {"description": "Regular Trading Hours", "id": "regular", "private": False, "session": session_of(one),
                 "session-display": session_of(one)}
            ],
            "type": one.type,
            "typespecs": list(one.typespecs),
            "has_intraday": True,
            "fractional": False,
            "listed_exchange": one.exchange,
            "legs": [one.symbol],
            "is_tradable": True,
            "minmove2": 10 if one.market == "forex" else 0,
            "timezone": timezone_of(one),
            "aliases": [],
            "alternatives": [],
            "is_replayable": True,
            "has_adjustment": one.market == "america",
            "has_extended_hours": False,
            "bar_source": "trade",
            "bar_transform": "none",
            "bar_fillgaps": False,
            "visible_plots_set": "ohlcv" if one.has_volume_in_bars else "ohlc",
            "is-tickbars-available": True,
            "exchange_listed_name": exchange,
        }  # fmt: skip

    async def _on_create_series(
        self, session: str, name: str, turnaround: str, symbol_name: str, timeframe: str, count: int, *_: Any
    ) -> None:
        resolved = self.charts.get(session, {}).get(symbol_name)
        if resolved is None:
            await self._send(self._message("critical_error", session, "invalid_parameters", "create_series"))
            return
        one, adjustment = resolved
        self.note(event="create_series", symbols=(one.symbol,), detail=f"{timeframe} {count}")
        if timeframe not in TIMEFRAMES or type(count) is not int or count < 1:
            # the service does not answer a resolution it does not serve
            return
        series = _Series(session, name, turnaround, one, TIMEFRAMES[timeframe], adjustment, 0, 0)
        self.series[session, name] = series
        tape = self._tape(series)
        depth = INTRADAY_DEPTH if series.timeframe in INTRADAY else DAILY_DEPTH
        series.first = max(0, len(tape) - depth)
        series.start = max(series.first, len(tape) - count)
        await self._deliver(series, tape, series.start, len(tape), is_first=True)

    async def _on_modify_series(
        self, session: str, name: str, turnaround: str, symbol_name: str, timeframe: str, *_: Any
    ) -> None:
        await self._on_create_series(session, name, turnaround, symbol_name, timeframe, 300)

    async def _on_request_more_data(self, session: str, name: str, count: int, *_: Any) -> None:
        series = self.series.get((session, name))
        if series is None:
            await self._send(self._message("critical_error", session, "unknown_series", "request_more_data"))
            return
        self.note(event="request_more_data", symbols=(series.one.symbol,), detail=str(count))
        tape = self._tape(series)
        stop = series.start
        series.start = max(series.first, stop - count)
        await self._deliver(series, tape, series.start, stop, is_first=False)

    async def _on_remove_series(self, session: str, name: str) -> None:
        self.series.pop((session, name), None)

    def _tape(self, series: _Series) -> Tape:
        def ask(symbol: str) -> Bars:
            return self.market.bars(symbol, series.timeframe, self.moment, adjust=series.adjustment)

        symbol = series.one.symbol
        return self.damage.tape(SOURCE, symbol, series.timeframe, self.moment, ask(symbol), ask)

    async def _deliver(self, series: _Series, tape: Tape, start: int, stop: int, *, is_first: bool) -> None:
        """Send the bars of the places [start, stop) and complete the series, with the faults there are."""
        names = ("silence", "series_error", "critical_error", "socket_drop", "foreign_packets", "no_completion")
        met = self._take(names, series.one.symbol)
        if "silence" in met:
            return
        await self._send(self._message("series_loading", series.session, series.name, series.turnaround))
        if "critical_error" in met:
            await self._send(self._message("critical_error", series.session, "internal_error", "create_series"))
            await self.socket.close(1011, "internal error")
            return
        if "series_error" in met:
            text = met["series_error"].options["text"]
            await self._send(self._message("series_error", series.session, series.name, series.turnaround, text))
            return
        sent = 0
        rows = self._rows(series.one, tape)
        for begin in range(start, stop, self.bars_per_frame) if stop > start else (start,):
            part = rows[begin : min(stop, begin + self.bars_per_frame)]
            if "socket_drop" in met and sent + len(part) > int(met["socket_drop"].options["after_bars"]):
                part = part[: int(met["socket_drop"].options["after_bars"]) - sent]
            payloads = [self._update(series, part, begin)]
            if "foreign_packets" in met:
                payloads += self._foreign(series, met["foreign_packets"], len(part))
            await self._send(*payloads)
            sent += len(part)
            if "socket_drop" in met and sent >= int(met["socket_drop"].options["after_bars"]):
                # what was sent arrives, then the line is dead: no closing frame
                self.socket.transport.close()
                return
        if is_first and stop > start and not tape.bars.is_complete[stop - 1]:
            # the running bar goes on: one live update, with what stands at this moment
            await self._send(self._update(series, rows[stop - 1 : stop], stop - 1, function="du"))
        if "no_completion" not in met:
            state = {"rt_update_period": 0, "data_completed": "limit" if start <= series.first else "partial"}
            await self._send(
                self._message("series_completed", series.session, series.name, "streaming", series.turnaround, state)
            )

    def _rows(self, one: Listing, tape: Tape) -> list[list[Any]]:
        """Return the values of the bars; without volume where the market has none."""
        bars = tape.bars
        panel = self.market.panel_of(one.symbol)
        digits = digits_of(panel.pricescale[panel.column[one.symbol]]) + (6 if one.splits or one.dividend_yield else 0)
        columns = [(bars.opened * float(tape.time_factor)).tolist()]
        columns += [np.round(getattr(bars, name), digits).tolist() for name in ("open", "high", "low", "close")]
        if one.has_volume_in_bars:
            columns.append(bars.volume.tolist())
        rows = [list(row) for row in zip(*columns, strict=True)]
        for place, values in tape.odd.items():
            for name, value in values.items():
                at = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}[name]
                if at < len(rows[place]):
                    rows[place][at] = value
        return rows

    def _update(self, series: _Series, rows: list[list[Any]], begin: int, *, function: str = "timescale_update") -> str:
        bars = [{"i": begin - series.first + at, "v": row} for at, row in enumerate(rows)]
        packet: dict[str, Any] = {"node": "simulated-charts-1"} if function == "timescale_update" else {}
        packet |= {
            "s": bars,
            "ns": {"d": "", "indexes": [] if function == "timescale_update" else "nochange"},
            "t": series.turnaround,
            "lbs": {"bar_close_time": _next_close(rows, series.timeframe)},
        }
        parts: list[Any] = [series.session, {series.name: packet}]
        if function == "timescale_update":
            parts.append(
                {
                    "index": begin - series.first,
                    "zoffset": 0,
                    "changes": [row[0] for row in rows],
                    "marks": [[40, row[0], at] for at, row in enumerate(rows)],
                    "index_diff": [],
                }
            )
        return self._message(function, *parts)

    def _foreign(self, series: _Series, fault: Fault, count: int) -> list[str]:
        """Return packets that belong to something else: one for each way."""
        donor = self._donor(fault, series.one)
        other = _Series(
            series.session, series.name, series.turnaround, donor, series.timeframe, series.adjustment, 0, 0
        )
        rows = self._rows(donor, Tape(self.market.bars(donor.symbol, series.timeframe, self.moment)))[-max(count, 1) :]
        found = []
        for way in fault.options["ways"]:
            changed = _Series(**{**vars(other)})
            if way == "session":
                changed.session = "cs_foreignseries"
            elif way == "series":
                changed.name = "sds_9001"
            else:
                changed.turnaround = "s9001"
            found.append(self._update(changed, rows, 0))
        return found

    async def _on_quote_create_session(self, session: str, *_: Any) -> None:
        self.quotes[session] = []

    async def _on_quote_delete_session(self, session: str) -> None:
        self.quotes.pop(session, None)

    async def _on_quote_set_fields(self, session: str, *fields: str) -> None:
        self.quotes[session] = list(fields)

    async def _on_quote_fast_symbols(self, *_: Any) -> None:
        return None

    async def _on_quote_remove_symbols(self, *_: Any) -> None:
        return None

    async def _on_quote_add_symbols(self, session: str, *symbols: Any) -> None:
        for text in symbols:
            if not isinstance(text, str):
                continue
            symbol, _ = _asked_symbol(text)
            self.note(event="quote_add_symbols", symbols=(symbol,))
            if not self.market.is_known(symbol, self.moment):
                failed = {"n": text, "s": "error", "errmsg": "invalid symbol"}
                await self._send(self._message("qsd", session, failed))
                continue
            values = self._quote(self.market.listings[symbol])
            wanted = self.quotes.get(session)
            shown = {name: value for name, value in values.items() if not wanted or name in wanted}
            await self._send(self._message("qsd", session, {"n": text, "s": "ok", "v": shown}))
            await self._send(self._message("quote_completed", session, text))

    def _quote(self, one: Listing) -> dict[str, Any]:
        bars = self.market.bars(one.symbol, "1D", self.moment)
        panel = self.market.panel_of(one.symbol)
        now, before = float(bars.close[-1]), float(bars.close[-2]) if len(bars) > 1 else float(bars.open[-1])
        info = self._info(one)
        return {
            "volume": float(bars.volume[-1]),
            "update_mode": "streaming",
            "type": one.type,
            "short_name": one.name,
            "rtc": None,
            "rchp": None,
            "pro_name": one.symbol,
            "pricescale": int(panel.pricescale[panel.column[one.symbol]]),
            "original_name": one.symbol,
            "minmove2": info["minmove2"],
            "minmov": 1,
            "lp_time": min(self.moment, int(bars.closed[-1])),
            "lp": now,
            "is_tradable": True,
            "fractional": False,
            "exchange": info["exchange"],
            "description": one.description,
            "current_session": "market" if not bars.is_complete[-1] else "out_of_session",
            "currency_code": one.quote,
            "chp": round(100 * (now / before - 1), 2),
            "ch": round(now - before, 8),
        }


def _asked_symbol(text: str) -> tuple[str, str]:
    """Return symbol and adjustment of `={"symbol":...,"adjustment":...}` or of a bare symbol."""
    if not text.startswith("="):
        return text, "splits"
    try:
        asked = json.loads(text[1:])
    except ValueError:
        return text, "splits"
    symbol = asked.get("symbol") if isinstance(asked, dict) else None
    return str(symbol), str(asked.get("adjustment", "splits")) if isinstance(asked, dict) else "splits"


def _next_close(rows: list[list[Any]], timeframe: str) -> int:
    seconds = {"1D": 86_400, "1W": 7 * 86_400, "1M": 30 * 86_400}.get(timeframe) or INTRADAY[timeframe] * 60
    return int(rows[-1][0]) + seconds if rows else 0


def session_names(seed: int) -> Iterator[str]:
    """Yield names of sessions as a browser makes them: twelve letters."""
    letters = random.Random(seed)
    while True:
        yield "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=12))
