"""The columns of the simulated scanner: what each field says about every listing of a market at a moment.

A snapshot answers one column after the other and keeps it. A value is a number, a text, a list or None; a number that
is not defined (too short a history, a field the instrument does not have) is None, as the service writes it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .indicators import PRICE_FIELDS, SHARE_FIELDS, Frame, Moment, nodes
from .listings import FIRST_DAY, INDEX_NAMES, Listing
from .market import INTRADAY, Market, Panel

Array = NDArray[np.float64]
_INPUTS = ("open", "high", "low", "close", "volume")
_FIELD = re.compile(r"^(?P<name>[A-Za-z][A-Za-z0-9_.+-]*?)(?:\[(?P<back>[12])\])?(?:\|(?P<timeframe>\w+))?$")
# How many bars inside the day stand behind an indicator of such a timeframe.
INTRADAY_BARS = 400
_PERIODS = ("1W", "1M")
_BACK = {
    "Perf.W": 7, "Perf.1M": -1, "Perf.3M": -3, "Perf.6M": -6, "Perf.Y": -12, "Perf.3Y": -36, "Perf.5Y": -60,
}  # fmt: skip
_PIVOT = re.compile(r"^Pivot\.M\.(Classic|Fibonacci|Camarilla|Woodie|Demark)\.(Middle|[RS][123])$")


def timezone_of(one: Listing) -> str:
    return "Etc/UTC" if one.market == "crypto" else "America/New_York"


def session_of(one: Listing) -> str:
    return {"crypto": "24x7", "america": "0930-1600", "forex": "1700-1700"}[one.market]


_TEXT: dict[str, Any] = {
    "name": lambda one: one.name,
    "description": lambda one: one.description,
    "type": lambda one: one.type,
    "subtype": lambda one: one.subtype,
    "typespecs": lambda one: list(one.typespecs),
    "exchange": lambda one: one.exchange,
    "listed_exchange": lambda one: one.exchange,
    "currency": lambda one: one.quote,
    "base_currency": lambda one: one.base,
    "base_currency_id": lambda one: f"XTVC{one.base}" if one.market == "crypto" else one.base,
    "sector": lambda one: one.sector,
    "industry": lambda one: one.industry,
    "country": lambda one: one.country,
    "timezone": timezone_of,
    "session": session_of,
    "brand": lambda one: one.brand,
    "issuer": lambda one: one.issuer,
    "format": lambda one: "price",
    "is_primary": lambda one: True,
}
_NUMBERS: dict[str, Any] = {
    "minmov": lambda one: 1,
    "minmove2": lambda one: 10 if one.market == "forex" else 0,
    "fractional": lambda one: False,
    "pointvalue": lambda one: 1,
    "category": lambda one: one.category,
    "aum": lambda one: one.aum,
    "expense_ratio": lambda one: one.expense_ratio,
    "dividend_yield_recent": lambda one: round(one.dividend_yield * 100, 4) if one.dividend_yield else None,
}
_SPECIAL = ("update_mode", "pricescale", "indexes", "market_cap_calc", "market_cap_basic", "expiration", "root")
_DAILY = ("Perf.All", "Perf.YTD", "beta_1_year", "price_52_week_high", "price_52_week_low", "High.1M", "Low.1M")


class UnknownField(ValueError):
    """A column that the scanner does not have."""


@dataclass(frozen=True)
class Field:
    """A column's name taken apart: `ADX[1]|240`."""

    name: str
    back: int
    timeframe: str | None

    @property
    def is_number(self) -> bool:
        return self.name not in _TEXT and self.name not in ("update_mode", "indexes", "root")


def parse_field(text: str) -> Field:
    """Take a column apart. Raises UnknownField for one that the scanner does not have."""
    match = _FIELD.match(text) if isinstance(text, str) else None
    if match:
        name, back, timeframe = match["name"], int(match["back"] or 0), match["timeframe"]
        is_bar = name in nodes()
        if timeframe in (*INTRADAY, *_PERIODS) and is_bar:
            return Field(name, back, timeframe)
        is_daily = name in _BACK or name in _DAILY or _PIVOT.match(name)
        if timeframe is None and (is_bar or (back == 0 and (is_daily or name in _TEXT or name in _NUMBERS))):
            return Field(name, back, None)
        if timeframe is None and back == 0 and name in _SPECIAL:
            return Field(name, 0, None)
    raise UnknownField(str(text))


def known_fields() -> list[str]:
    """Return every field without its timeframe."""
    kinds = ("Classic", "Fibonacci", "Camarilla", "Woodie", "Demark")
    levels = ("Middle", "R1", "R2", "R3", "S1", "S2", "S3")
    pivots = [f"Pivot.M.{kind}.{level}" for kind in kinds for level in levels]
    return sorted({*nodes(), *_BACK, *_DAILY, *_TEXT, *_NUMBERS, *_SPECIAL, *pivots})


class Histories:
    """The histories of a panel at the resolutions whose bars are kept whole: days, weeks, months."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self._frames: dict[str, tuple[Frame, NDArray[np.int64]]] = {}

    def frame(self, timeframe: str) -> tuple[Frame, NDArray[np.int64]]:
        """Return the history, and the first session of each of its rows."""
        if timeframe not in self._frames:
            panel, periods = self.panel, self.panel.periods(timeframe)
            starts = np.flatnonzero(np.diff(periods, prepend=-1))
            self._frames[timeframe] = (Frame(_aggregate(panel, starts)), starts)
        return self._frames[timeframe]


def _aggregate(panel: Panel, starts: NDArray[np.int64]) -> dict[str, Array]:
    """Return the bars of periods that begin at the sessions `starts`; sessions before a listing do not count."""
    if len(starts) == len(panel.days):
        return {name: getattr(panel, name) for name in _INPUTS}
    traded = ~np.isnan(panel.close)
    rows = np.arange(len(panel.days))[:, None]
    first = np.minimum.reduceat(np.where(traded, rows, len(rows) - 1), starts, axis=0)
    last = np.maximum.reduceat(np.where(traded, rows, 0), starts, axis=0)
    none = ~np.logical_or.reduceat(traded, starts, axis=0)
    bars = {
        "open": np.take_along_axis(panel.open, first, axis=0),
        "high": np.fmax.reduceat(panel.high, starts, axis=0),
        "low": np.fmin.reduceat(panel.low, starts, axis=0),
        "close": np.take_along_axis(panel.close, last, axis=0),
        "volume": np.add.reduceat(np.nan_to_num(panel.volume), starts, axis=0),
    }
    return {name: np.where(none, np.nan, values) for name, values in bars.items()}


class Snapshot:
    """All listings of one market that trade at a moment (epoch seconds), in order of symbol."""

    def __init__(self, market: Market, panel: Panel, histories: Histories, moment: int, delay: int) -> None:
        self.market, self.panel, self.histories, self.moment, self.delay = market, panel, histories, moment, delay
        self.chosen = np.flatnonzero(panel.is_listed(moment))
        self.listings = [panel.listings[at] for at in self.chosen]
        self.symbols = [one.symbol for one in self.listings]
        self.place = {symbol: at for at, symbol in enumerate(self.symbols)}
        self._live = panel.live(moment)
        self._scale = panel.scale_at(moment)
        self._moments: dict[str | None, Moment] = {}
        self._numbers: dict[str, Array] = {}
        self._columns: dict[str, list[Any]] = {}

    def numbers(self, text: str) -> Array:
        """Return a numeric column, NaN where there is none."""
        if text not in self._numbers:
            field = parse_field(text)
            with np.errstate(all="ignore"):
                self._numbers[text] = np.asarray(self._number(field), dtype=np.float64)
        return self._numbers[text]

    def column(self, text: str) -> list[Any]:
        """Return a column as JSON values."""
        if text not in self._columns:
            field = parse_field(text)
            if field.is_number:
                values = self.numbers(text)
                whole = field.name in ("pricescale", "minmov", "minmove2", "category", "pointvalue")
                made: list[Any] = [
                    None if not np.isfinite(x) else int(x) if whole else float(x) for x in values.tolist()
                ]
                if field.name == "fractional":
                    made = [False] * len(made)
            else:
                made = self._text(field)
            self._columns[text] = made
        return self._columns[text]

    def _text(self, field: Field) -> list[Any]:
        if field.name == "update_mode":
            mode = f"delayed_streaming_{self.delay}" if self.delay else "streaming"
            return [mode] * len(self.listings)
        if field.name == "indexes":
            inside = {index: self.market.members(index, self.moment) for index in INDEX_NAMES}
            return [
                [{"name": INDEX_NAMES[index], "proname": index} for index in inside if one.symbol in inside[index]]
                for one in self.listings
            ]
        if field.name == "root":
            return [one.base if one.type == "futures" else None for one in self.listings]
        return [_TEXT[field.name](one) for one in self.listings]

    def _number(self, field: Field) -> Array | list[float]:
        name = field.name
        if name in _NUMBERS:
            return [np.nan if (value := _NUMBERS[name](one)) is None else float(value) for one in self.listings]
        if name == "pricescale":
            return self.panel.pricescale[self.chosen]
        if name == "expiration":
            return [20260327.0 if one.type == "futures" else np.nan for one in self.listings]
        if name in ("market_cap_calc", "market_cap_basic"):
            return self._market_cap(name)
        if name in _BACK or name in ("Perf.All", "Perf.YTD"):
            return self._performance(name)
        if name == "beta_1_year":
            return self._beta()
        if name in ("price_52_week_high", "price_52_week_low", "High.1M", "Low.1M"):
            return self._extreme(name)
        if match := _PIVOT.match(name):
            return self._pivot(match[1], match[2])
        node = nodes()[name]
        moment = self._moment(field.timeframe)
        values = node.live(moment) if field.back == 0 else node.before(moment, field.back)
        values = np.broadcast_to(values, (len(self.panel.symbols),))[self.chosen]
        scale = self._scale[self.chosen]
        if name in PRICE_FIELDS:
            return values * scale
        return np.round(values / scale) if name in SHARE_FIELDS and self.panel.name == "america" else values

    def _moment(self, timeframe: str | None) -> Moment:
        if timeframe not in self._moments:
            if timeframe in INTRADAY:
                self._moments[timeframe] = self._inside_the_day(timeframe)
            else:
                self._moments[timeframe] = self._whole_bars(timeframe or "1D")
        return self._moments[timeframe]

    def _whole_bars(self, timeframe: str) -> Moment:
        frame, starts = self.histories.frame(timeframe)
        row, live = self._live.row, self._live
        values = {name: getattr(live, name) for name in _INPUTS}
        if timeframe == "1D":
            return Moment(frame, row, values)
        place = int(np.searchsorted(starts, row, side="right")) - 1
        past = slice(int(starts[place]), row)
        earlier = {name: getattr(self.panel, name)[past] for name in _INPUTS}
        if past.stop > past.start:
            # sessions before the listing are NaN and do not count
            traded = ~np.isnan(earlier["open"])
            first = np.argmax(traded, axis=0)
            opened = earlier["open"][first, np.arange(traded.shape[1])]
            values["open"] = np.where(traded.any(axis=0), opened, values["open"])
            values["high"] = np.fmax(values["high"], np.fmax.reduce(earlier["high"], axis=0))
            values["low"] = np.fmin(values["low"], np.fmin.reduce(earlier["low"], axis=0))
            values["volume"] = values["volume"] + np.nan_to_num(earlier["volume"]).sum(axis=0)
        return Moment(frame, place, values)

    def _inside_the_day(self, timeframe: str) -> Moment:
        bars = self.panel.intraday(timeframe, self.moment, INTRADAY_BARS)
        frame = Frame({name: bars[name][:-1] for name in _INPUTS})
        return Moment(frame, len(bars["opened"]) - 1, {name: bars[name][-1] for name in _INPUTS})

    def _today(self) -> date:
        return FIRST_DAY + timedelta(days=int(self.panel.days[self._live.row]))

    def _close_on(self, day: date) -> Array:
        """Return the close of the last session at or before a day, NaN where there was none."""
        row = int(np.searchsorted(self.panel.days, (day - FIRST_DAY).days, side="right")) - 1
        return self.panel.close[row] if row >= 0 else np.full(len(self.panel.symbols), np.nan)

    def _performance(self, name: str) -> Array:
        today, now = self._today(), self._live.close
        if name == "Perf.All":
            first = np.clip(self.panel.first, 0, len(self.panel.days) - 1)
            then = self.panel.open[first, np.arange(len(first))]
        elif name == "Perf.YTD":
            then = self._close_on(date(today.year - 1, 12, 31))
        elif name == "Perf.W":
            then = self._close_on(today - timedelta(days=7))
        else:
            then = self._close_on(_months_before(today, -_BACK[name]))
        return (100 * (now / then - 1))[self.chosen]

    def _extreme(self, name: str) -> Array:
        sessions = {"crypto": (365, 30)}.get(self.panel.name, (252, 21))[name.endswith("1M")]
        start = max(0, self._live.row - sessions + 1)
        is_high = "high" in name.lower()
        past = (self.panel.high if is_high else self.panel.low)[start : self._live.row]
        now = self._live.high if is_high else self._live.low
        pick = np.fmax if is_high else np.fmin
        return (pick(now, pick.reduce(past, axis=0)) * self._scale)[self.chosen] if len(past) else now[self.chosen]

    def _beta(self) -> Array:
        anchor = {"crypto": "BINANCE:BTCUSDT", "america": "AMEX:SPY"}.get(self.panel.name)
        if anchor not in self.panel.column:
            return np.full(len(self.chosen), np.nan)
        sessions = 365 if self.panel.name == "crypto" else 252
        start = self._live.row - sessions
        if start < 0:
            return np.full(len(self.chosen), np.nan)
        closes = np.concatenate([self.panel.close[start : self._live.row], self._live.close[None, :]])
        returns = closes[1:] / closes[:-1] - 1
        market = returns[:, self.panel.column[anchor]]
        market = market - market.mean()
        return ((market @ (returns - returns.mean(axis=0))) / (market @ market))[self.chosen]

    def _market_cap(self, name: str) -> Array:
        # a coin's or company's size is a fixed number of units at the price; funds and pairs have none
        units = np.full(len(self.listings), np.nan)
        for at, one in enumerate(self.listings):
            if self.panel.name == "crypto" and one.type in ("spot", "swap") and name == "market_cap_calc":
                units[at] = 90 * one.turnover / one.level
            if one.type == "stock" and name == "market_cap_basic":
                units[at] = 160 * one.turnover / one.level
        return units * self._live.close[self.chosen]

    def _pivot(self, kind: str, level: str) -> Array:
        months = self.panel.months
        first = int(np.searchsorted(months, months[self._live.row]))
        start = int(np.searchsorted(months, months[first - 1])) if first else 0
        nothing = np.full(len(self.chosen), np.nan)
        if not first:
            return nothing
        high = np.fmax.reduce(self.panel.high[start:first], axis=0)
        low = np.fmin.reduce(self.panel.low[start:first], axis=0)
        close, opened, now = self.panel.close[first - 1], self.panel.open[start], self.panel.open[first]
        spread, middle = high - low, (high + low + close) / 3
        sign = 1 if level[0] == "R" else -1
        size = int(level[1]) if level[1:].isdigit() else 0
        if kind == "Woodie":
            middle = (high + low + 2 * now) / 4
        if kind == "Demark":
            x = np.where(
                close < opened,
                high + 2 * low + close,
                np.where(close > opened, 2 * high + low + close, high + low + 2 * close),
            )
            middle = x / 4
            value = middle if not size else x / 2 - (low if sign > 0 else high) if size == 1 else middle * np.nan
        elif not size:
            value = middle
        elif kind == "Fibonacci":
            value = middle + sign * spread * (0.382, 0.618, 1.0)[size - 1]
        elif kind == "Camarilla":
            value = close + sign * spread * (1.1 / 12, 1.1 / 6, 1.1 / 4)[size - 1]
        elif size == 1:
            value = 2 * middle - (low if sign > 0 else high)
        elif size == 2:
            value = middle + sign * spread
        else:
            value = (high + 2 * (middle - low)) if sign > 0 else (low - 2 * (high - middle))
        return (value * self._scale)[self.chosen]


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    month += 1
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    raise AssertionError("a month has 28 days")


class Snapshots:
    """Snapshots by market and moment; the last few are kept."""

    def __init__(self, market: Market, *, keep: int = 6) -> None:
        self.market, self.keep = market, keep
        self._histories = {name: Histories(panel) for name, panel in market.panels.items()}
        self._kept: OrderedDict[tuple[str, int, int], Snapshot] = OrderedDict()

    def at(self, name: str, moment: int, delay: int) -> Snapshot | None:
        """Return the market as a scanner shows it at the moment: `delay` seconds late. None for an empty market."""
        if name not in self.market.panels:
            return None
        place = (name, moment, delay)
        if place not in self._kept:
            panel = self.market.panels[name]
            self._kept[place] = Snapshot(
                self.market, panel, self._histories[name], min(moment, self.market.end) - delay, delay
            )
            while len(self._kept) > self.keep:
                self._kept.popitem(last=False)
        self._kept.move_to_end(place)
        return self._kept[place]

    def history(self, name: str) -> Histories:
        """Return the histories behind a market's indicators."""
        return self._histories[name]
