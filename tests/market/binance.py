"""The interfaces of the crypto exchange: klines, exchangeInfo, funding rates, and the bulk archives with checksums.

Spot is /api/v3, USD-margined futures /fapi/v1, coin-margined ones /dapi/v1. A listing that has ended is still answered
for thirty days, with status BREAK or SETTLING; its archives stay.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from .faults import BULK_FAULTS, Damage, Faults, Tape
from .listings import Listing
from .market import DAY, Bars, Market, epoch_of_day
from .replies import Reply, Request, as_json, number_text

INTERVALS = {
    "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120", "4h": "240", "1d": "1D",
    "1w": "1W", "1M": "1M",
}  # fmt: skip
_LIMITS = {"api": (500, 1000), "fapi": (500, 1500), "dapi": (500, 1500)}
_CLASS = {"api": "spot", "fapi": "um", "dapi": "cm"}
_NEVER = 4_133_404_800_000
# archives of a month are there on the second day of the next, those of a day six hours after its end
MONTHLY_DELAY, DAILY_DELAY = DAY, 6 * 3600
_ARCHIVE = re.compile(
    r"^/data/(?P<kind>spot|futures/um|futures/cm)/(?P<span>monthly|daily)/klines/(?P<symbol>[A-Z0-9_]+)/"
    r"(?P<interval>\w+)/(?P<name>[A-Z0-9_]+-\w+-(?P<period>\d{4}-\d{2}(?:-\d{2})?)\.zip)(?P<checksum>\.CHECKSUM)?$"
)
_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def digits_of(scale: float) -> int:
    """Return how many digits stand behind the point for a price scale."""
    return max(0, len(str(int(scale))) - 1)


class Binance:
    """Answers as the exchange does."""

    def __init__(self, market: Market, faults: Faults, damage: Damage) -> None:
        self.market, self.faults, self.damage = market, faults, damage

    @cached_property
    def by_class(self) -> dict[str, dict[str, Listing]]:
        """The listings by class (spot, um, cm) and the exchange's own name."""
        found: dict[str, dict[str, Listing]] = {"spot": {}, "um": {}, "cm": {}}
        for one in self.market.listings.values():
            if one.exchange == "BINANCE" and one.type in ("spot", "swap"):
                kind = "spot" if one.type == "spot" else "cm" if one.is_coin_margined else "um"
                found[kind][one.venue_name] = one
        return found

    def symbols_of(self, request: Request) -> tuple[str, ...] | None:
        """Return the listings a request is about, None where it names none."""
        if match := _ARCHIVE.match(request.path):
            kind = match["kind"].removeprefix("futures/")
            one = self.by_class[kind].get(match["symbol"])
            return (one.symbol,) if one else (match["symbol"],)
        name = request.query.get("symbol")
        if not name:
            return None
        one = self.by_class[_CLASS.get(request.path.split("/")[1], "spot")].get(name)
        return (one.symbol,) if one else (name,)

    def answer(self, request: Request) -> Reply:
        """Answer a request below /api/, /fapi/, /dapi/ or /data/."""
        if request.path.startswith("/data/"):
            return self._archive(request)
        family, _, rest = request.path[1:].partition("/")
        calls: dict[str, Callable[[Request, str], Reply]] = {
            "klines": self._klines,
            "exchangeInfo": self._exchange_info,
            "fundingRate": self._funding,
            "time": lambda r, f: as_json({"serverTime": r.moment * 1000}),
            "ping": lambda r, f: as_json({}),
        }
        version, _, name = rest.partition("/")
        if version != {"api": "v3", "fapi": "v1", "dapi": "v1"}.get(family) or name not in calls:
            return Reply(404, b"<html><head><title>404 Not Found</title></head></html>", "text/html")
        if request.method != "GET":
            return as_json({"code": -1100, "msg": "Illegal method."}, 405)
        reply = calls[name](request, family)
        reply.headers["X-MBX-USED-WEIGHT-1M"] = str({"klines": 2, "exchangeInfo": 20}.get(name, 1))
        return reply

    def _find(self, request: Request, family: str) -> Listing | Reply:
        name = request.query.get("symbol")
        if not name:
            text = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            return as_json({"code": -1102, "msg": text}, 400)
        one = self.by_class[_CLASS[family]].get(name)
        if one is None or not self.market.is_known(one.symbol, request.moment):
            return as_json({"code": -1121, "msg": "Invalid symbol."}, 400)
        return one

    def _integer(self, request: Request, name: str) -> int | Reply | None:
        text = request.query.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,16}", text):
            return as_json({"code": -1100, "msg": f"Illegal characters found in parameter '{name}'."}, 400)
        return int(text)

    def _klines(self, request: Request, family: str) -> Reply:
        one = self._find(request, family)
        if isinstance(one, Reply):
            return one
        interval = request.query.get("interval", "")
        if interval not in INTERVALS:
            return as_json({"code": -1120, "msg": "Invalid interval."}, 400)
        bounds = []
        for name in ("startTime", "endTime", "limit"):
            value = self._integer(request, name)
            if isinstance(value, Reply):
                return value
            bounds.append(value)
        start, end, limit = bounds
        usual, most = _LIMITS[family]
        limit = min(limit or usual, most)
        tape = self._tape("binance", one, INTERVALS[interval], request.moment)
        opened = tape.bars.opened * 1000
        kept = np.ones(len(tape), dtype=bool)
        if start is not None:
            kept &= opened >= start
        if end is not None:
            kept &= opened <= end
        places = np.flatnonzero(kept)
        places = places[:limit] if start is not None else places[-limit:]
        return as_json(self._rows(one, tape.select(places), unit=1000))

    def _tape(self, source: str, one: Listing, timeframe: str, moment: int) -> Tape:
        def ask(symbol: str) -> Bars:
            return self.market.bars(symbol, timeframe, moment)

        return self.damage.tape(source, one.symbol, timeframe, moment, ask(one.symbol), ask)

    def _rows(self, one: Listing, tape: Tape, *, unit: int) -> list[list[Any]]:
        """Return the rows as the exchange writes them: numbers as text, times in units of a second."""
        panel = self.market.panel_of(one.symbol)
        digits = digits_of(panel.pricescale[panel.column[one.symbol]])
        bars, rows = tape.bars, []
        factor = unit * tape.time_factor
        volumes = [number_text(x, 0 if one.is_coin_margined else 5) for x in bars.volume.tolist()]
        if one.is_coin_margined:
            turnover = bars.volume * (100.0 if one.base == "BTC" else 10.0) / bars.close
        else:
            turnover = bars.turnover
        prices = [[number_text(x, digits) for x in getattr(bars, n).tolist()] for n in ("open", "high", "low", "close")]
        quotes = turnover.tolist()
        taken = ((bars.opened // DAY * 2654435761) % 97 / 97 * 0.2 + 0.4).tolist()
        counts = np.maximum(1, np.nan_to_num(turnover) / 900).astype(np.int64).tolist()
        for at, (opened, closed) in enumerate(zip(bars.opened.tolist(), bars.closed.tolist(), strict=True)):
            row: list[Any] = [
                opened * factor, prices[0][at], prices[1][at], prices[2][at], prices[3][at], volumes[at],
                closed * factor - 1, number_text(quotes[at], 8), counts[at],
                number_text(float(bars.volume[at]) * taken[at], 5), number_text(quotes[at] * taken[at], 8), "0",
            ]  # fmt: skip
            for name, value in tape.odd.get(at, {}).items():
                row[{"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}[name]] = value
            rows.append(row)
        return rows

    def _exchange_info(self, request: Request, family: str) -> Reply:
        kind = _CLASS[family]
        wanted: set[str] | None = None
        if "symbol" in request.query:
            wanted = {request.query["symbol"]}
        elif "symbols" in request.query:
            try:
                wanted = set(json.loads(request.query["symbols"]))
            except (ValueError, TypeError):
                return as_json({"code": -1100, "msg": "Illegal characters found in parameter 'symbols'."}, 400)
        known = {n: one for n, one in self.by_class[kind].items() if self.market.is_known(one.symbol, request.moment)}
        if wanted is not None and not wanted <= set(known):
            return as_json({"code": -1121, "msg": "Invalid symbol."}, 400)
        chosen = [known[name] for name in sorted(known) if wanted is None or name in wanted]
        describe = self._spot_symbol if kind == "spot" else self._future_symbol
        return as_json(
            {
                "timezone": "UTC",
                "serverTime": request.moment * 1000,
                "rateLimits": [
                    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
                ],
                "exchangeFilters": [],
                "symbols": [describe(one, request.moment) for one in chosen],
            }
        )

    def _steps(self, one: Listing) -> tuple[str, str, str]:
        """Return tick size, step of the quantity and least value of an order as text."""
        panel = self.market.panel_of(one.symbol)
        digits = digits_of(panel.pricescale[panel.column[one.symbol]])
        size = 0 if one.is_coin_margined else int(np.clip(np.round(np.log10(max(one.level, 1e-9))) + 1, 0, 5))
        least = {"spot": "5.00000000", "swap": "5"}[one.type]
        if one.quote == "BTC":
            least = "0.00010000"
        if one.type == "swap" and one.base in ("BTC", "ETH"):
            least = "100" if one.base == "BTC" else "20"
        return number_text(10.0**-digits, digits), number_text(10.0**-size, size), least

    def _spot_symbol(self, one: Listing, moment: int) -> dict[str, Any]:
        tick, step, least = self._steps(one)
        return {
            "symbol": one.venue_name,
            "status": "TRADING" if self.market.is_listed(one.symbol, moment) else "BREAK",
            "baseAsset": one.base,
            "baseAssetPrecision": 8,
            "quoteAsset": one.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": one.turnover > 5e6,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
                {
                    "filterType": "MARKET_LOT_SIZE",
                    "minQty": "0.00000000",
                    "maxQty": "900000.0",
                    "stepSize": "0.00000000",
                },
                {"filterType": "NOTIONAL", "minNotional": least, "applyMinToMarket": True, "maxNotional": "9000000.0"},
            ],
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }

    def _future_symbol(self, one: Listing, moment: int) -> dict[str, Any]:
        tick, step, least = self._steps(one)
        listed = self.market.panel_of(one.symbol)
        first = int(listed.opens[listed.first[listed.column[one.symbol]]]) * 1000
        is_coin = one.is_coin_margined
        described: dict[str, Any] = {
            "symbol": one.venue_name,
            "pair": one.venue_name.removesuffix("_PERP"),
            "contractType": "PERPETUAL",
            "deliveryDate": _NEVER,
            "onboardDate": first,
            ("contractStatus" if is_coin else "status"): (
                "TRADING" if self.market.is_listed(one.symbol, moment) else "SETTLING"
            ),
            "baseAsset": one.base,
            "quoteAsset": one.quote,
            "marginAsset": one.base if is_coin else one.quote,
            "pricePrecision": digits_of(1 / float(tick)) if float(tick) < 1 else 0,
            "quantityPrecision": len(step.partition(".")[2]),
            "underlyingType": "COIN",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "10000000", "stepSize": step},
                {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": "1000000", "stepSize": step},
                {"filterType": "MIN_NOTIONAL", "notional": least},
            ],
        }
        if is_coin:
            described["contractSize"] = 100 if one.base == "BTC" else 10
            described["filters"] = described["filters"][:3]
        return described

    def _funding(self, request: Request, family: str) -> Reply:
        if family == "api":
            return Reply(404, b"<html></html>", "text/html")
        one = self._find(request, family)
        if isinstance(one, Reply):
            return one
        bounds = []
        for name in ("startTime", "endTime", "limit"):
            value = self._integer(request, name)
            if isinstance(value, Reply):
                return value
            bounds.append(value)
        start, end, limit = bounds
        times, rates = self.market.funding(one.symbol, request.moment)
        kept = np.ones(len(times), dtype=bool)
        if start is not None:
            kept &= times * 1000 >= start
        if end is not None:
            kept &= times * 1000 <= end
        places = np.flatnonzero(kept)
        limit = min(limit or 100, 1000)
        places = places[:limit] if start is not None else places[-limit:]
        panel = self.market.panel_of(one.symbol)
        closes = panel.close[:, panel.column[one.symbol]]
        rows = np.clip(np.searchsorted(panel.opens, times[places], side="right") - 2, 0, len(closes) - 1)
        return as_json(
            [
                {
                    "symbol": one.venue_name,
                    "fundingTime": int(times[at]) * 1000,
                    "fundingRate": number_text(float(rates[at]), 8),
                    "markPrice": number_text(float(mark), 8) if np.isfinite(mark) else "",
                }
                for at, mark in zip(places, closes[rows], strict=True)
            ]
        )

    def _archive(self, request: Request) -> Reply:
        """Return the archive of a month or a day, or its checksum; 404 where there is none (yet)."""
        match = _ARCHIVE.match(request.path)
        missing = Reply(
            404, b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code></Error>', "application/xml"
        )
        if not match or match["interval"] not in INTERVALS or match["span"] != _span(match["period"]):
            return missing
        kind = match["kind"].removeprefix("futures/")
        one = self.by_class[kind].get(match["symbol"])
        if one is None or match["name"] != f"{match['symbol']}-{match['interval']}-{match['period']}.zip":
            return missing
        try:
            first, after = _period(match["period"])
        except ValueError:
            return missing
        delay = MONTHLY_DELAY if match["span"] == "monthly" else DAILY_DELAY
        if request.moment < epoch_of_day(after) + delay:
            return missing
        tape = self._tape("binance_bulk", one, INTERVALS[match["interval"]], request.moment)
        inside = (tape.bars.opened >= epoch_of_day(first)) & (tape.bars.opened < epoch_of_day(after))
        tape = tape.select(np.flatnonzero(inside))
        if not len(tape):
            return missing
        whole = archive_of(one, self._rows, tape, match["name"], first)
        digest = hashlib.sha256(whole).hexdigest()
        met = {f.name for f in self.faults.take(BULK_FAULTS, "binance_bulk", (one.symbol,), request.moment)}
        if match["checksum"]:
            if "wrong_checksum" in met:
                digest = hashlib.sha256(whole + b"another").hexdigest()
            return Reply(200, f"{digest}  {match['name']}\n".encode(), "text/plain")
        if "broken_archive" in met:
            whole = whole[: len(whole) // 2]
        return Reply(200, whole, "application/zip")


def archive_of(one: Listing, rows_of: Callable[..., list[list[Any]]], tape: Tape, name: str, first: date) -> bytes:
    """Return the bytes of an archive.

    Spot times are microseconds from 2025 on; futures of every other month have a header.
    """
    unit = 1_000_000 if one.type == "spot" and first.year >= 2025 else 1000
    lines = [",".join(str(value) for value in row) for row in rows_of(one, tape, unit=unit)]
    if one.type != "spot" and first.month % 2 == 0:
        lines.insert(0, _HEADER)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo(name.removesuffix(".zip") + ".csv", date_time=(2026, 2, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, "\n".join(lines) + "\n")
    return file.getvalue()


def _span(period: str) -> str:
    return "monthly" if period.count("-") == 1 else "daily"


def _period(text: str) -> tuple[date, date]:
    """Return the first day of a period and the day after its last."""
    if _span(text) == "daily":
        day = date.fromisoformat(text)
        return day, day + timedelta(days=1)
    first = date.fromisoformat(f"{text}-01")
    return first, date(first.year + first.month // 12, first.month % 12 + 1, 1)


def described_sources() -> Mapping[str, str]:
    """Return what each path gives, for the list of interfaces."""
    return {
        "GET /api/v3/{klines,exchangeInfo,time}": "spot",
        "GET /fapi/v1/{klines,exchangeInfo,fundingRate,time}": "futures in USD",
        "GET /dapi/v1/{klines,exchangeInfo,fundingRate,time}": "futures in coins",
        "GET /data/{spot,futures/um,futures/cm}/{monthly,daily}/klines/...": "archives and .CHECKSUM",
    }


def utc(moment: int) -> datetime:
    """Return epoch seconds as a moment."""
    return datetime.fromtimestamp(moment, UTC)
