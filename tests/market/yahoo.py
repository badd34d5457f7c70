"""The chart interface of the finance portal: daily, weekly and monthly bars, adjusted closes, dividends and splits.

Closes are adjusted for splits, also for those that no other source announced; `adjclose` for dividends as well.
Volume of currency pairs is 0. A client without a browser's User-Agent is turned away with 429.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import numpy as np

from .faults import Damage
from .listings import FIRST_DAY, Listing
from .market import DAY, Bars, Market, epoch_of_day
from .paths import day_number
from .replies import Reply, Request, as_json

PATH = "/v8/finance/chart/"
_INTERVALS = {"1d": "1D", "1wk": "1W", "1mo": "1M"}
_RANGES = {"5d": 5, "1mo": 31, "3mo": 92, "6mo": 183, "1y": 366, "2y": 731, "5y": 1827, "10y": 3653, "max": 40_000}


def portal_name(one: Listing) -> str | None:
    """Return the portal's name of a listing: SPY, BRK-B, EURUSD=X, BTC-USD; None where it has none."""
    if one.market == "america":
        return one.name.replace(".", "-")
    if one.market == "forex":
        return f"{one.name}=X" if one.exchange == "FX_IDC" else None
    if one.type == "spot" and one.quote == "USDT" and one.base:
        return f"{one.base}-USD"
    return None


class Yahoo:
    """Answers as the chart interface does."""

    def __init__(self, market: Market, damage: Damage) -> None:
        self.market, self.damage = market, damage
        named = ((portal_name(one), one) for one in market.listings.values())
        self.by_name = {name: one for name, one in named if name}

    def symbols_of(self, request: Request) -> tuple[str, ...]:
        """Return the listing a request is about, or the name as it came."""
        name = unquote(request.path.removeprefix(PATH))
        one = self.by_name.get(name)
        return (one.symbol,) if one else (name,)

    def answer(self, request: Request) -> Reply:
        """Answer a request below /v8/finance/chart/."""
        agent = request.headers.get("user-agent", "")
        if not agent or agent.startswith(("python-requests", "python-urllib", "Python-urllib", "curl")):
            return Reply(429, b"Too Many Requests\r\n", "text/plain")
        name = unquote(request.path.removeprefix(PATH))
        one = self.by_name.get(name)
        if one is None or not self.market.is_known(one.symbol, request.moment):
            return _error(404, "Not Found", "No data found, symbol may be delisted")
        interval = request.query.get("interval", "1d")
        if interval not in _INTERVALS:
            return _error(422, "Unprocessable Entity", f"Invalid input - interval={interval} is not supported.")
        try:
            start, end = _bounds(request)
        except ValueError as wrong:
            return _error(400, "Bad Request", str(wrong))
        return self._chart(request, one, name, _INTERVALS[interval], start, end)

    def _chart(self, request: Request, one: Listing, name: str, timeframe: str, start: int, end: int) -> Reply:
        def ask(symbol: str) -> Bars:
            return self.market.bars(symbol, timeframe, request.moment, knows_all=True)

        tape = self.damage.tape("yahoo", one.symbol, timeframe, request.moment, ask(one.symbol), ask)
        tape = tape.select(np.flatnonzero((tape.bars.opened >= start) & (tape.bars.opened < end)))
        bars = tape.bars
        whole = self.market.bars(one.symbol, timeframe, request.moment, adjust="dividends", knows_all=True)
        clean = self.market.bars(one.symbol, timeframe, request.moment, knows_all=True)
        at = np.searchsorted(clean.opened, bars.opened)
        at = np.minimum(at, max(0, len(clean) - 1))
        adjusted = bars.close * (whole.close[at] / clean.close[at]) if len(clean) else bars.close
        quote: dict[str, list[Any]] = {
            n: [float(x) for x in getattr(bars, n)] for n in ("open", "high", "low", "close")
        }
        quote["volume"] = [0 if one.market == "forex" or np.isnan(x) else int(x) for x in bars.volume]
        for place, values in tape.odd.items():
            for column, value in values.items():
                quote[column][place] = value
        unit = self.market.panel_of(one.symbol)
        meta = {
            "currency": one.quote if one.market != "america" else "USD",
            "symbol": name,
            "exchangeName": {"america": "PCX", "forex": "CCY", "crypto": "CCC"}[one.market],
            "instrumentType": {"fund": "ETF", "stock": "EQUITY", "forex": "CURRENCY"}.get(one.type, "CRYPTOCURRENCY"),
            "firstTradeDate": int(unit.opens[unit.first[unit.column[one.symbol]]]),
            "regularMarketTime": request.moment,
            "gmtoffset": -18000 if one.market == "america" else 0,
            "timezone": "EST" if one.market == "america" else "UTC",
            "exchangeTimezoneName": "America/New_York" if one.market == "america" else "UTC",
            "regularMarketPrice": float(bars.close[-1]) if len(bars) else None,
            "priceHint": 2,
            "dataGranularity": request.query.get("interval", "1d"),
            "range": request.query.get("range", ""),
        }
        result: dict[str, Any] = {"meta": meta}
        if len(bars):
            result["timestamp"] = (bars.opened * tape.time_factor).tolist()
        if events := self._events(request, one, start, end):
            result["events"] = events
        result["indicators"] = {"quote": [quote if len(bars) else {}]}
        if request.query.get("includeAdjustedClose", "true") == "true":
            result["indicators"]["adjclose"] = [{"adjclose": [float(x) for x in adjusted]} if len(bars) else {}]
        return as_json({"chart": {"result": [result], "error": None}})

    def _events(self, request: Request, one: Listing, start: int, end: int) -> dict[str, Any]:
        """Return the dividends and splits up to the moment, where they were asked for."""
        asked = request.query.get("events", "")
        found: dict[str, Any] = {}
        opens = self.market.panel_of(one.symbol)

        def opening(day: int) -> int:
            row = int(np.searchsorted(opens.days, day))
            return int(opens.opens[min(row, len(opens.opens) - 1)])

        if "div" in asked:
            later = [s for s in one.splits if epoch_of_day(s.day) > request.moment]
            dividends = {}
            for day, amount, _ in self.market.dividends(one.symbol):
                moment = opening(day)
                if start <= moment < min(end, request.moment):
                    # splits still to come have not yet divided what was paid
                    scale = float(np.prod([s.ratio for s in later])) if later else 1.0
                    dividends[str(moment)] = {"amount": amount * scale, "date": moment}
            if dividends:
                found["dividends"] = dividends
        if "split" in asked:
            splits = {}
            for split in one.splits:
                moment = opening(day_number(split.day))
                if start <= moment < min(end, request.moment):
                    top, bottom = (split.ratio, 1) if split.ratio >= 1 else (1, round(1 / split.ratio))
                    text = f"{top:g}:{bottom:g}"
                    splits[str(moment)] = {
                        "date": moment, "numerator": float(top), "denominator": float(bottom), "splitRatio": text,
                    }  # fmt: skip
            if splits:
                found["splits"] = splits
        return found


def _bounds(request: Request) -> tuple[int, int]:
    if "range" in request.query and "period1" not in request.query:
        if request.query["range"] not in _RANGES:
            raise ValueError(f"Invalid input - range={request.query['range']} is not supported.")
        return request.moment - _RANGES[request.query["range"]] * DAY, request.moment + 1
    first = request.query.get("period1", str(epoch_of_day(FIRST_DAY)))
    last = request.query.get("period2", str(request.moment + 1))
    if not (first.lstrip("-").isdigit() and last.lstrip("-").isdigit()):
        raise ValueError("Invalid input - period1 and period2 must be numbers.")
    if int(first) >= int(last):
        raise ValueError("Invalid input - start date cannot be after end date.")
    return int(first), int(last)


def _error(status: int, code: str, text: str) -> Reply:
    return as_json({"chart": {"result": None, "error": {"code": code, "description": text}}}, status)
