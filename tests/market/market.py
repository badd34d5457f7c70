"""The simulated market: every bar of every listing over seven years, at every resolution, as of any moment.

Daily bars are made once from the price paths; what happens inside a session is made when it is asked for, from random
numbers by address, so that minutes add up to hours and hours to the day, and a running bar is a prefix of the whole
one. Prices are kept as if all splits had always been in force ("end units"); what was seen at a moment is scaled
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from .listings import FIRST_DAY, LAST_DAY, US_FIRST_DAY, Listing, Membership, all_listings, memberships
from .noise import bell, key, uniform
from .paths import DAYS, FLASH_CRASHES, Paths, day_number, us_sessions

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

DAY = 86_400
# A market whose breadth stays between one tenth and nine tenths, so that long and short scanners find something.
DEFAULT_SEED = 3
# minutes of a timeframe inside a day
INTRADAY = {"1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "45": 45, "60": 60, "120": 120, "180": 180, "240": 240}
_NAMES = ("open", "high", "low", "close", "volume")


def epoch(moment: datetime) -> int:
    """Return whole epoch seconds of an aware moment."""
    if moment.tzinfo is None:
        raise ValueError(f"a moment needs a time zone, got {moment.isoformat()}")
    return int(moment.timestamp())


def epoch_of_day(day: date) -> int:
    """Return the epoch second at which a UTC day begins."""
    return int(datetime.combine(day, time(), UTC).timestamp())


@dataclass(frozen=True)
class Bars:
    """Bars of one symbol in order of time: epoch seconds of opening and closing, prices, volume and turnover.

    `is_complete` says whether the bar had ended at the moment of asking; `volume` is NaN where the market has none.
    """

    opened: Integers
    closed: Integers
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    turnover: Array
    is_complete: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.opened)

    def __getitem__(self, where: slice | NDArray[np.bool_] | Integers) -> Bars:
        return Bars(*(getattr(self, name)[where] for name in self.__dataclass_fields__))


def _join(parts: Sequence[Bars]) -> Bars:
    return Bars(*(np.concatenate([getattr(part, name) for part in parts]) for name in Bars.__dataclass_fields__))


@dataclass(frozen=True)
class Live:
    """What stands at a moment: `row` is the session of the last bar that has begun, the arrays hold that bar so far."""

    row: int
    is_complete: bool
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array


def _inside(
    o: Array, h: Array, low: Array, c: Array, volume: Array, keys: Integers, index: Integers, steps: int, digits: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Split bars of shape (n, m) into `steps` bars each: arrays of shape (n, steps, m) that add up to the bar exactly.

    `index` has shape (n,), the address of the bar, `digits` (n, m), the parts of a unit of price. The path is a
    Brownian bridge from open to close, kept inside the range, which it touches where it comes nearest.
    """
    place = index[:, None, None] * 64 + np.arange(steps)[None, :, None]
    names = keys.astype(np.uint64)
    draws = bell(names[None, None, :], place * 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last, top, bottom = (np.log(x)[:, None, :] for x in (o, c, h, low))
    walk = np.cumsum(draws, axis=1)
    part = (np.arange(1, steps + 1) / steps)[None, :, None]
    scale = (top - bottom) * 0.62 / np.sqrt(steps)
    ends = first + (last - first) * part + scale * (walk - part * walk[:, -1:, :])
    ends = np.clip(ends, bottom, top)
    ends[:, -1, :] = last[:, 0, :]
    starts = np.concatenate([first, ends[:, :-1, :]], axis=1)
    reach = uniform(names[None, None, :], place * 4 + 1) * scale * 0.7
    sink = uniform(names[None, None, :], place * 4 + 2) * scale * 0.7
    highs = np.minimum(np.maximum(starts, ends) + reach, top)
    lows = np.maximum(np.minimum(starts, ends) - sink, bottom)
    unit = digits[:, None, :]
    out = [np.round(np.exp(x) * unit) / unit for x in (starts, highs, lows, ends)]
    out[0][:, 0, :], out[3][:, -1, :] = o, c
    np.clip(out[1], low[:, None, :], h[:, None, :], out=out[1])
    np.clip(out[2], low[:, None, :], h[:, None, :], out=out[2])
    touch = np.argmax(np.where(np.isnan(highs), -np.inf, highs), axis=1)[:, None, :]
    np.put_along_axis(out[1], touch, h[:, None, :], axis=1)
    touch = np.argmin(np.where(np.isnan(lows), np.inf, lows), axis=1)[:, None, :]
    np.put_along_axis(out[2], touch, low[:, None, :], axis=1)
    np.maximum(out[1], np.maximum(out[0], out[3]), out=out[1])
    np.minimum(out[2], np.minimum(out[0], out[3]), out=out[2])
    share = 0.4 + uniform(names[None, None, :], place * 4 + 3)
    running = np.cumsum(share, axis=1)
    total = np.round(volume[:, None, :] * running / running[:, -1:, :], 5)
    total[:, -1, :] = volume
    return out[0], out[1], out[2], out[3], np.diff(total, axis=1, prepend=0.0)


class Panel:
    """All listings that trade on one calendar, as matrices of sessions by symbols.

    `days` are day numbers on the market's time line, `opens` and `closes` epoch seconds. Values before the listing and
    after its end are NaN.
    """

    def __init__(self, name: str, listings: Sequence[Listing], paths: Paths) -> None:
        self.name = name
        self.listings = tuple(listings)
        self.symbols = tuple(one.symbol for one in listings)
        self.column = {symbol: at for at, symbol in enumerate(self.symbols)}
        self.days, self.opens, self.closes = _calendar(name)
        self.step_minutes = 30 if name == "america" else 60
        self.keys = np.array([key(paths.seed, "bars", symbol) for symbol in self.symbols], dtype=np.uint64)
        self.pricescale = np.array([_pricescale(one) for one in listings], dtype=np.float64)
        self._fill(paths)

    def _fill(self, paths: Paths) -> None:
        count = len(self.listings)
        levels = np.empty((len(self.days), count))
        usual = np.empty(count)
        first, last = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        for at, one in enumerate(self.listings):
            path = paths.level(one.path)
            anchor = _anchor_day(one)
            levels[:, at] = (path - path[day_number(anchor)] + np.log(one.level))[self.days]
            usual[at] = paths.volatility(one.path)
            first[at] = np.searchsorted(self.days, day_number(one.listed))
            end = day_number(one.delisted) if one.delisted else DAYS
            last[at] = np.searchsorted(self.days, end, side="right") - 1
        self.first, self.last = first, last
        place = self.days[:, None] * 8
        # a variant of the same asset is off by a few basis points, the leading pair is not
        lead = np.array([_is_lead(one) for one in self.listings])
        levels += np.where(lead, 0.0, 0.00025) * lfilter([0.7], [1, -0.7], bell(self.keys[None, :], place), axis=0)
        returns = np.diff(levels, axis=0, prepend=levels[:1])
        size = 0.45 * np.abs(returns) + 0.55 * usual
        gap = {"america": 0.3, "forex": 0.02, "crypto": 0.002}[self.name] * size
        opens = np.concatenate([levels[:1] - returns[1:2], levels[:-1]]) + gap * bell(self.keys[None, :], place + 1)
        top = np.maximum(opens, levels) + size * 0.55 * np.abs(bell(self.keys[None, :], place + 2))
        bottom = np.minimum(opens, levels) - size * 0.55 * np.abs(bell(self.keys[None, :], place + 3))
        for start, _ in FLASH_CRASHES:
            at = np.searchsorted(self.days, day_number(start))
            if self.name == "crypto" and at < len(self.days):
                bottom[at] -= 4.0 * usual
        rows = np.arange(len(self.days))[:, None]
        alive = (rows >= first) & (rows <= last)
        self.ratio = np.ones_like(levels)
        for at, one in enumerate(self.listings):
            for split in one.splits:
                self.ratio[self.days < day_number(split.day), at] *= split.ratio
        unit = self.pricescale * self.ratio
        # one share of today was one part of an older one: ticks are those of the price that was seen
        seen = np.round(np.exp(np.stack([opens, top, bottom, levels])) * unit) / unit
        seen[1] = np.maximum(seen[1], np.maximum(seen[0], seen[3]))
        seen[2] = np.minimum(seen[2], np.minimum(seen[0], seen[3]))
        seen = np.where(alive, np.maximum(seen, 1.0 / unit), np.nan)
        self.open, self.high, self.low, self.close = seen
        wave = 0.45 * lfilter([np.sqrt(1 - 0.81)], [1, -0.9], bell(self.keys[None, :], place + 4), axis=0)
        turnover = np.array([one.turnover for one in self.listings])
        busy = turnover * np.exp(wave) * (0.6 + 0.6 * np.abs(returns) / usual)
        if self.name == "crypto":
            coin = np.array([one.is_coin_margined for one in self.listings])
            contract = np.array([100.0 if one.base == "BTC" else 10.0 for one in self.listings])
            volume = np.where(coin, np.round(busy / contract), np.round(busy / self.close, 5))
        elif self.name == "forex":
            volume = np.round(busy / np.array([one.level for one in self.listings]))
        else:
            volume = np.round(busy / self.close)
        self.volume = np.where(alive, np.maximum(volume, 1.0), np.nan)
        for matrix in (self.open, self.high, self.low, self.close, self.volume, self.ratio):
            matrix.setflags(write=False)

    def row_at(self, moment: int) -> int:
        """Return the row of the last session of which at least a minute has passed; -1 before the first."""
        return int(np.searchsorted(self.opens + 60, moment, side="right")) - 1

    def is_listed(self, moment: int) -> NDArray[np.bool_]:
        """Return which listings had begun and not yet ended."""
        row = self.row_at(moment)
        ended = np.where(
            self.last < len(self.closes) - 1, self.closes[np.minimum(self.last, len(self.closes) - 1)], 2**62
        )
        return (self.first <= row) & (moment < ended)

    def scale_at(self, moment: int) -> Array:
        """Return what a price in end units is multiplied with to be the price seen at the moment."""
        day = moment // DAY + day_number(date(1970, 1, 1))
        row = min(int(np.searchsorted(self.days, day, side="right")) - 1, len(self.days) - 1)
        return self.ratio[row] if row >= 0 else self.ratio[0]

    def live(self, moment: int) -> Live:
        """Return the last bar so far, over all columns."""
        row = self.row_at(moment)
        if row < 0:
            nothing = np.full(len(self.symbols), np.nan)
            return Live(0, False, *(nothing for _ in _NAMES))
        if moment >= self.closes[row]:
            return Live(row, True, *(getattr(self, name)[row] for name in _NAMES))
        part = self.inside(np.array([row]), moment=moment)
        values = [part[name] for name in _NAMES]
        # a listing whose last session lies behind keeps NaN
        return Live(
            row,
            False,
            values[0][0],
            values[1].max(axis=0),
            values[2].min(axis=0),
            values[3][-1],
            values[4].sum(axis=0),
        )

    def inside(
        self, rows: Integers, *, columns: Integers | None = None, minutes: bool = False, moment: int | None = None
    ) -> dict[str, Array]:
        """Return the bars inside the sessions `rows` by time: hours (half hours of US sessions), or minutes.

        Arrays have shape (bars,) for `opened` (epoch seconds) and `row`, (bars, columns) for the rest. With `moment`
        only what had been traded by then is given: the running hour is made of its minutes.
        """
        at = np.arange(len(self.symbols)) if columns is None else columns
        keys, digits = self.keys[at], self.pricescale[at]
        found: dict[str, list[Array]] = {name: [] for name in ("opened", "row", *_NAMES)}
        lengths = (self.closes[rows] - self.opens[rows]) // 60
        for length in np.unique(lengths):
            chosen = rows[lengths == length]
            steps = int(length) // self.step_minutes
            pick = np.ix_(chosen, at)
            # inside a day the tick of the price that was seen on it holds
            unit = digits[None, :] * self.ratio[pick]
            day = (getattr(self, name)[pick] for name in _NAMES)
            hours = _inside(*day, keys, self.days[chosen] * 64, steps, unit)
            opened = self.opens[chosen][:, None] + np.arange(steps)[None, :] * self.step_minutes * 60
            if minutes:
                flat = [x.reshape(-1, len(at)) for x in hours]
                address = (self.days[chosen][:, None] * 64 + 1 + np.arange(steps)[None, :]).reshape(-1)
                fine = _inside(*flat, keys, address, self.step_minutes, np.repeat(unit, steps, axis=0))
                opened = (opened.reshape(-1)[:, None] + np.arange(self.step_minutes)[None, :] * 60).reshape(-1)
                values = [x.reshape(-1, len(at)) for x in fine]
                row = np.repeat(chosen, steps * self.step_minutes)
            else:
                opened, row = opened.reshape(-1), np.repeat(chosen, steps)
                values = [x.reshape(-1, len(at)) for x in hours]
            found["opened"].append(opened)
            found["row"].append(row)
            for name, value in zip(_NAMES, values, strict=True):
                found[name].append(value)
        merged = {name: np.concatenate(parts) for name, parts in found.items()}
        order = np.argsort(merged["opened"], kind="stable")
        merged = {name: value[order] for name, value in merged.items()}
        if moment is None:
            return merged
        seconds = 60 if minutes else self.step_minutes * 60
        whole = merged["opened"] + seconds <= moment
        result = {name: value[whole] for name, value in merged.items()}
        if not minutes:
            running = (merged["opened"] + 60 <= moment) & ~whole
            if running.any():
                fine = self._running_hour(int(np.flatnonzero(running)[0]), merged, at, moment)
                result = {name: np.concatenate([value, fine[name]]) for name, value in result.items()}
        return result

    def _running_hour(self, place: int, hours: dict[str, Array], at: Integers, moment: int) -> dict[str, Array]:
        row = int(hours["row"][place])
        step = int((hours["opened"][place] - self.opens[row]) // (self.step_minutes * 60))
        unit = (self.pricescale[at] * self.ratio[row, at])[None, :]
        bar = [hours[name][place][None, :] for name in _NAMES]
        address = np.array([self.days[row] * 64 + 1 + step])
        o, h, low, c, v = (x[0] for x in _inside(*bar, self.keys[at], address, self.step_minutes, unit))
        gone = max(1, int((moment - hours["opened"][place]) // 60))
        return {
            "opened": hours["opened"][place : place + 1],
            "row": hours["row"][place : place + 1],
            "open": o[:1],
            "high": h[:gone].max(axis=0)[None, :],
            "low": low[:gone].min(axis=0)[None, :],
            "close": c[gone - 1][None, :],
            "volume": v[:gone].sum(axis=0)[None, :],
        }

    def intraday(self, timeframe: str, moment: int, count: int, *, columns: Integers | None = None) -> dict[str, Array]:
        """Return the last `count` bars of a timeframe inside the day, over columns, the running one included.

        Bars are counted from the opening of the session: four-hour bars of a US session are two, the second short.
        """
        size = INTRADAY[timeframe]
        row = self.row_at(moment)
        usual = (self.closes[max(row, 0)] - self.opens[max(row, 0)]) // 60
        per_session = max(1, -(-int(usual) // size))
        sessions = -(-count // per_session) + 2
        rows = np.arange(max(0, row - sessions + 1), row + 1)
        if not len(rows):
            at = len(self.symbols) if columns is None else len(columns)
            empty = {name: np.empty((0, at)) for name in _NAMES}
            return {"opened": np.empty(0, np.int64), "closed": np.empty(0, np.int64), **empty}
        fine = size % self.step_minutes != 0
        parts = self.inside(rows, columns=columns, minutes=fine, moment=moment)
        if fine and not len(parts["opened"]):
            return {"closed": parts["opened"], **parts}
        bucket = parts["row"] * 2000 + (parts["opened"] - self.opens[parts["row"]]) // (size * 60)
        starts = np.flatnonzero(np.diff(bucket, prepend=-1))
        ends = np.append(starts[1:], len(bucket)) - 1
        opened = parts["opened"][starts]
        result = {
            "opened": opened,
            "closed": np.minimum(opened + size * 60, self.closes[parts["row"][starts]]),
            "open": parts["open"][starts],
            "high": np.maximum.reduceat(parts["high"], starts, axis=0),
            "low": np.minimum.reduceat(parts["low"], starts, axis=0),
            "close": parts["close"][ends],
            "volume": np.add.reduceat(parts["volume"], starts, axis=0),
        }
        return {name: value[-count:] for name, value in result.items()}

    @cached_property
    def weeks(self) -> Integers:
        """The week of each session, counted from Monday."""
        return (self.days + FIRST_DAY.weekday()) // 7

    @cached_property
    def months(self) -> Integers:
        """The month of each session, counted from year 0."""
        dates = np.datetime64(FIRST_DAY, "D") + self.days
        return dates.astype("datetime64[M]").astype(np.int64)

    def periods(self, timeframe: str) -> Integers:
        """Return the number of the period each session falls into: 1D, 1W or 1M."""
        return {"1D": np.arange(len(self.days)), "1W": self.weeks, "1M": self.months}[timeframe]


def _calendar(name: str) -> tuple[Integers, Integers, Integers]:
    if name == "america":
        return us_sessions()
    if name == "crypto":
        days = np.arange(DAYS)
        opens = epoch_of_day(FIRST_DAY) + days * DAY
        return days, opens, opens + DAY
    zone = ZoneInfo("America/New_York")
    days = np.array([n for n in range(day_number(US_FIRST_DAY), DAYS) if (n + FIRST_DAY.weekday()) % 7 < 5])
    opens = []
    for number in days:
        evening = datetime.combine(FIRST_DAY + timedelta(days=int(number) - 1), time(17), zone)
        opens.append(int(evening.timestamp()))
    return days, np.array(opens), np.array(opens) + DAY


def _pricescale(one: Listing) -> int:
    if one.market == "forex":
        return 1_000 if one.quote == "JPY" else 100_000
    if one.market == "america":
        return 100
    if one.path.startswith(("peg:", "euro:")):
        return 10_000
    return 10 ** int(np.clip(np.ceil(5 - np.log10(one.level)), 2, 10))


def _anchor_day(one: Listing) -> date:
    # the level of BCH is that of the day after, which is the donor of the contamination on that day
    return date(2026, 1, 1) if one.path.startswith("coin:BCH/") else one.anchor_day


def _is_lead(one: Listing) -> bool:
    return one.market == "america" or (one.type == "spot" and one.quote in ("USDT", "BTC")) or one.exchange == "FX_IDC"


class Market:
    """The simulated market of one seed; `symbols` restricts it to some listings, whose bars stay the same."""

    def __init__(self, *, seed: int = DEFAULT_SEED, symbols: Iterable[str] | None = None) -> None:
        chosen = all_listings()
        if symbols is not None:
            wanted = set(symbols)
            chosen = tuple(one for one in chosen if one.symbol in wanted)
            missing = wanted - {one.symbol for one in chosen}
            if missing:
                raise ValueError(f"no such listings: {', '.join(sorted(missing))}")
        self.seed = seed
        self.listings = {one.symbol: one for one in chosen}
        self.end = epoch_of_day(LAST_DAY) + DAY
        paths = Paths(seed)
        self.panels = {
            name: Panel(name, members, paths)
            for name in ("crypto", "america", "forex")
            if (members := [one for one in chosen if one.market == name])
        }

    def panel_of(self, symbol: str) -> Panel:
        """Return the panel of a listing."""
        return self.panels[self.listings[symbol].market]

    def is_listed(self, symbol: str, moment: int) -> bool:
        """Return whether the listing trades at the moment."""
        panel = self.panel_of(symbol)
        return bool(panel.is_listed(moment)[panel.column[symbol]])

    def is_known(self, symbol: str, moment: int, *, grace_days: int = 30) -> bool:
        """Return whether a source still answers for the listing: from its first bar to some days after its end."""
        if symbol not in self.listings:
            return False
        panel = self.panel_of(symbol)
        at = panel.column[symbol]
        if panel.first[at] > panel.row_at(moment):
            return False
        return self.listings[symbol].delisted is None or moment < panel.closes[panel.last[at]] + grace_days * DAY

    def members(self, index: str, moment: int) -> frozenset[str]:
        """Return who is in an index on the day of the moment."""
        day = datetime.fromtimestamp(moment, UTC).date()
        return frozenset(
            one.symbol
            for one in self.memberships
            if one.index == index and one.valid_from <= day and (one.valid_to is None or day < one.valid_to)
        )

    @cached_property
    def memberships(self) -> tuple[Membership, ...]:
        return tuple(one for one in memberships() if one.symbol in self.listings)

    def bars(
        self, symbol: str, timeframe: str, moment: int, *, adjust: str = "splits", knows_all: bool = False
    ) -> Bars:
        """Return every bar of a listing up to the moment: 1D, 1W, 1M, or minutes ("240") as far as a vendor keeps them.

        `adjust` is none, splits or dividends (splits and dividends). Only actions up to the moment count, and splits
        that were not announced only where the source `knows_all`.
        """
        panel = self.panel_of(symbol)
        at = panel.column[symbol]
        moment = min(moment, self.end)
        if timeframe in INTRADAY:
            keep = 9_000
            parts = panel.intraday(timeframe, moment, keep, columns=np.array([at]))
            found = self._bars_from(parts, moment)
        else:
            found = self._daily(panel, at, moment)
        if not len(found):
            return found
        found = self._adjusted(panel, at, found, moment, adjust, knows_all=knows_all)
        return found if timeframe in ("1D", *INTRADAY) else _grouped(panel, found, timeframe, moment)

    def _bars_from(self, parts: dict[str, Array], moment: int) -> Bars:
        values = [parts[name][:, 0] for name in _NAMES]
        alive = ~np.isnan(values[3])
        opened, closed = parts["opened"].astype(np.int64), parts["closed"].astype(np.int64)
        turnover = values[4] * (values[0] + values[3]) / 2
        return Bars(opened, closed, *values, turnover, closed <= moment)[alive]

    def _daily(self, panel: Panel, at: int, moment: int) -> Bars:
        row = panel.row_at(moment)
        first, last = int(panel.first[at]), min(int(panel.last[at]), row)
        if last < first:
            nothing = np.empty(0)
            whole = np.empty(0, dtype=np.int64)
            return Bars(whole, whole, *(nothing for _ in range(6)), np.empty(0, dtype=bool))
        values = [getattr(panel, name)[first : last + 1, at].copy() for name in _NAMES]
        if last == row and moment < panel.closes[row]:
            part = panel.inside(np.array([row]), columns=np.array([at]), moment=moment)
            values[0][-1] = part["open"][0, 0]
            values[1][-1] = part["high"].max()
            values[2][-1] = part["low"].min()
            values[3][-1] = part["close"][-1, 0]
            values[4][-1] = part["volume"].sum()
        opened, closed = panel.opens[first : last + 1], panel.closes[first : last + 1]
        turnover = values[4] * (values[0] + values[1] + values[2] + values[3]) / 4
        return Bars(opened, closed, *values, turnover, closed <= moment)

    def _adjusted(self, panel: Panel, at: int, bars: Bars, moment: int, adjust: str, *, knows_all: bool) -> Bars:
        one = panel.listings[at]
        today = _day_of(moment)
        days = (
            np.array([_day_of(int(second)) for second in bars.opened]) if one.splits or adjust == "dividends" else None
        )
        factor = np.ones(len(bars))
        for split in one.splits:
            day = day_number(split.day)
            applied = day <= today and adjust != "none" and (split.is_announced or knows_all)
            if not applied:
                factor[days < day] *= split.ratio
        cash = np.ones(len(bars))
        if adjust == "dividends":
            for ex_day, amount, before in self.dividends(one.symbol):
                if ex_day <= today:
                    cash[days < ex_day] *= 1 - amount / before
        price = factor * cash
        values = (x * price for x in (bars.open, bars.high, bars.low, bars.close))
        volume = np.round(bars.volume / factor) if one.market == "america" else bars.volume
        return Bars(bars.opened, bars.closed, *values, volume, bars.turnover, bars.is_complete)

    def dividends(self, symbol: str) -> list[tuple[int, float, float]]:
        """Return (ex-day number, amount, close before) of a listing's dividends, amounts in end units."""
        panel, one = self.panel_of(symbol), self.listings[symbol]
        if not one.dividends_per_year:
            return []
        at = panel.column[symbol]
        every = 12 // one.dividends_per_year
        found = []
        months = panel.months
        for row in range(max(1, int(panel.first[at]) + 1), min(int(panel.last[at]), len(panel.days) - 1) + 1):
            month = int(months[row])
            # the third session of a paying month
            if row < 3 or months[row - 3] == month or months[row - 2] != month:
                continue
            if (month + (len(symbol) % every if every > 1 else 0)) % every == 0:
                before = float(panel.close[row - 1, at])
                if np.isfinite(before):
                    amount = before * one.dividend_yield / one.dividends_per_year
                    found.append((int(panel.days[row]), float(np.round(amount, 4)), before))
        return found

    def funding(self, symbol: str, moment: int) -> tuple[Integers, Array]:
        """Return times (epoch seconds, every eight hours) and rates (fractions) of a perpetual's funding."""
        panel = self.panel_of(symbol)
        at = panel.column[symbol]
        row = min(panel.row_at(moment), int(panel.last[at]))
        rows = np.arange(int(panel.first[at]), row + 1)
        if not len(rows):
            return np.empty(0, dtype=np.int64), np.empty(0)
        times = (panel.opens[rows][:, None] + np.arange(3)[None, :] * 8 * 3600).reshape(-1)
        close = panel.close[:, at]
        # longs pay after a rise: the close of the day before against the one ten days earlier
        past = np.where(rows - 11 >= panel.first[at], np.log(close[rows - 1] / close[np.maximum(rows - 11, 0)]), 0.0)
        draws = bell(panel.keys[at : at + 1], (np.arange(len(times)) + panel.days[rows[0]] * 3) * 8 + 5)
        rates = np.clip(0.0001 + 0.0004 * np.repeat(np.nan_to_num(past), 3) + 0.00005 * draws, -0.0075, 0.0075)
        kept = times <= moment
        return times[kept], np.round(rates[kept], 8)


def _day_of(moment: int) -> int:
    return moment // DAY - (FIRST_DAY - date(1970, 1, 1)).days


def _grouped(panel: Panel, bars: Bars, timeframe: str, moment: int) -> Bars:
    """Return weekly or monthly bars of daily ones."""
    periods = panel.periods(timeframe)
    rows = np.searchsorted(panel.opens, bars.opened)
    number = periods[rows]
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    ends = np.append(starts[1:], len(number)) - 1
    # a period has ended when the market has opened the next one, or its last session is over
    last = np.searchsorted(periods, number[starts], side="right") - 1
    closed = panel.closes[np.minimum(last, len(panel.closes) - 1)]
    return Bars(
        bars.opened[starts],
        closed,
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[ends],
        np.add.reduceat(bars.volume, starts),
        np.add.reduceat(bars.turnover, starts),
        closed <= moment,
    )


__all__ = ["DAY", "DEFAULT_SEED", "INTRADAY", "Bars", "Live", "Market", "Panel", "epoch", "epoch_of_day"]
