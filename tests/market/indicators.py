"""Indicators and ratings of the simulated scanner, written from their definitions and independently of the product.

A formula is a tree of nodes. Each node knows its values over a whole history (rows are bars, columns symbols) and its
value on a running bar that follows row `row - 1`, so one definition serves both. Nothing after the running bar is read.
NaN means that an input is missing or that too few bars precede.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Votes compare with this relative tolerance: smaller differences are ties.
TIE = 1e-12


@dataclass
class Frame:
    """A history of bars: arrays of shape (bars, symbols) by input name, and what was computed from them."""

    inputs: dict[str, Array]
    known: dict[str, Array] = field(default_factory=dict)


@dataclass
class Moment:
    """A running bar after the rows [0, row) of a frame: arrays of shape (symbols,) by input name."""

    frame: Frame
    row: int
    inputs: dict[str, Array]
    known: dict[str, Array] = field(default_factory=dict)


class Node:
    """A value per bar and symbol. `name` tells equal formulas from different ones."""

    name: str

    def full(self, frame: Frame) -> Array:
        """Return the values over the whole history."""
        if self.name not in frame.known:
            with np.errstate(all="ignore"):
                frame.known[self.name] = self._full(frame)
        return frame.known[self.name]

    def live(self, moment: Moment) -> Array:
        """Return the values on the running bar."""
        if self.name not in moment.known:
            with np.errstate(all="ignore"):
                moment.known[self.name] = self._live(moment)
        return moment.known[self.name]

    def before(self, moment: Moment, count: int = 1) -> Array:
        """Return the values `count` bars before the running one."""
        row = moment.row - count
        return self.full(moment.frame)[row] if row >= 0 else np.full_like(self.live(moment), np.nan)

    def _full(self, frame: Frame) -> Array:
        raise NotImplementedError

    def _live(self, moment: Moment) -> Array:
        raise NotImplementedError

    def __add__(self, other: Node | float) -> Node:
        return join("+", np.add, self, other)

    def __sub__(self, other: Node | float) -> Node:
        return join("-", np.subtract, self, other)

    def __mul__(self, other: Node | float) -> Node:
        return join("*", np.multiply, self, other)

    def __truediv__(self, other: Node | float) -> Node:
        return join("/", np.divide, self, other)


class Input(Node):
    def __init__(self, name: str) -> None:
        self.name = name

    def _full(self, frame: Frame) -> Array:
        return frame.inputs[self.name]

    def _live(self, moment: Moment) -> Array:
        return moment.inputs[self.name]


class Constant(Node):
    def __init__(self, value: float) -> None:
        self.value, self.name = value, repr(value)

    def _full(self, frame: Frame) -> Array:
        return np.array(self.value)

    def _live(self, moment: Moment) -> Array:
        return np.array(self.value)


class Combined(Node):
    """A function of other nodes, bar by bar."""

    def __init__(self, name: str, function: Callable[..., Array], *parts: Node) -> None:
        self.name = f"{name}({','.join(part.name for part in parts)})"
        self.function, self.parts = function, parts

    def _full(self, frame: Frame) -> Array:
        return self.function(*(part.full(frame) for part in self.parts))

    def _live(self, moment: Moment) -> Array:
        return self.function(*(part.live(moment) for part in self.parts))


def join(name: str, function: Callable[..., Array], *parts: Node | float) -> Node:
    """Return a function of nodes and numbers."""
    return Combined(name, function, *(part if isinstance(part, Node) else Constant(part) for part in parts))


class Lag(Node):
    """The value `count` bars earlier."""

    def __init__(self, of: Node, count: int = 1) -> None:
        self.name, self.of, self.count = f"{of.name}[{count}]", of, count

    def _full(self, frame: Frame) -> Array:
        values = self.of.full(frame)
        shifted = np.full_like(values, np.nan)
        shifted[self.count :] = values[: -self.count]
        return shifted

    def _live(self, moment: Moment) -> Array:
        return self.of.before(moment, self.count)


class Rolling(Node):
    """A statistic of the last `count` bars: mean, sum, max, min, deviation (mean absolute) or spread (population)."""

    def __init__(self, kind: str, of: Node, count: int) -> None:
        self.name, self.kind, self.of, self.count = f"{kind}{count}({of.name})", kind, of, count

    def _statistic(self, windows: Array) -> Array:
        """Return the statistic over the last axis."""
        if self.kind == "mean":
            return windows.mean(axis=-1)
        if self.kind == "sum":
            return windows.sum(axis=-1)
        if self.kind == "max":
            return windows.max(axis=-1)
        if self.kind == "min":
            return windows.min(axis=-1)
        if self.kind == "spread":
            return windows.std(axis=-1)
        if self.kind == "deviation":
            return np.abs(windows - windows.mean(axis=-1, keepdims=True)).mean(axis=-1)
        weights = np.arange(1, self.count + 1)
        return windows @ (weights / weights.sum())

    def _full(self, frame: Frame) -> Array:
        values = self.of.full(frame)
        result = np.full_like(values, np.nan)
        if len(values) < self.count:
            return result
        if self.kind in ("mean", "sum"):
            # running sums; a missing value spoils the windows that hold it and no other
            missing = np.isnan(values)
            total = np.cumsum(np.where(missing, 0.0, values), axis=0)
            holes = np.cumsum(missing, axis=0)
            window, gaps = total[self.count - 1 :].copy(), holes[self.count - 1 :].copy()
            window[1:] -= total[: -self.count]
            gaps[1:] -= holes[: -self.count]
            result[self.count - 1 :] = np.where(gaps == 0, window, np.nan) / (self.count if self.kind == "mean" else 1)
            return result
        if self.kind in ("max", "min"):
            best = np.maximum if self.kind == "max" else np.minimum
            window = values[self.count - 1 :].copy()
            for back in range(1, self.count):
                best(window, values[self.count - 1 - back : len(values) - back], out=window)
            result[self.count - 1 :] = window
            return result
        windows = np.lib.stride_tricks.sliding_window_view(values, self.count, axis=0)
        for start in range(0, len(windows), 512):
            result[self.count - 1 + start : self.count - 1 + start + 512] = self._statistic(
                windows[start : start + 512]
            )
        return result

    def _live(self, moment: Moment) -> Array:
        now = self.of.live(moment)
        start = moment.row - self.count + 1
        if start < 0:
            return np.full_like(now, np.nan)
        past = self.of.full(moment.frame)[start : moment.row]
        return self._statistic(np.concatenate([past, now[None, :]]).T)


class Smooth(Node):
    """x̄_t = x̄_{t-1} + α (x_t − x̄_{t-1}), from the mean of the first `count` values on; missing values are skipped."""

    def __init__(self, of: Node, count: int, alpha: float) -> None:
        self.name, self.of, self.count, self.alpha = f"smooth{count}/{alpha:.6f}({of.name})", of, count, alpha

    def _full(self, frame: Frame) -> Array:
        values = self.of.full(frame)
        result = np.full_like(values, np.nan)
        state, total, seen = (np.full(values.shape[1], start) for start in (np.nan, 0.0, 0.0))
        for row in range(len(values)):
            x = values[row]
            here = ~np.isnan(x)
            seen += here
            total += np.where(here & (seen <= self.count), x, 0.0)
            moved = state + self.alpha * (x - state)
            state = np.where(here & (seen > self.count), moved, state)
            state = np.where(here & (seen == self.count), total / self.count, state)
            result[row] = np.where(here, state, np.nan)
        frame.known[f"{self.name}.state"] = _carried(result)
        return result

    def _live(self, moment: Moment) -> Array:
        now = self.of.live(moment)
        self.full(moment.frame)
        if moment.row == 0:
            return np.full_like(now, np.nan)
        before = moment.frame.known[f"{self.name}.state"][moment.row - 1]
        result = before + self.alpha * (now - before)
        starting = np.flatnonzero(np.isnan(before) & ~np.isnan(now))
        if len(starting):
            past = self.of.full(moment.frame)[: moment.row, starting]
            first = (~np.isnan(past)).sum(axis=0) == self.count - 1
            mean = (np.nansum(past, axis=0) + now[starting]) / self.count
            result[starting] = np.where(first, mean, np.nan)
        return result


def _carried(values: Array) -> Array:
    """Return the last value that is not NaN, row by row."""
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    return np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)


def sma(of: Node, count: int) -> Node:
    return Rolling("mean", of, count)


def ema(of: Node, count: int) -> Node:
    return Smooth(of, count, 2 / (count + 1))


def wilder(of: Node, count: int) -> Node:
    return Smooth(of, count, 1 / count)


def _ratio(top: Array, bottom: Array) -> Array:
    """Return the quotient; 0/0 is no number."""
    return np.where(bottom != 0, top / np.where(bottom != 0, bottom, 1.0), np.nan)


def over(top: Node, bottom: Node) -> Node:
    return join("ratio", _ratio, top, bottom)


def _above(a: Array, b: Array) -> NDArray[np.bool_]:
    return a - b > TIE * np.maximum(np.abs(a), np.abs(b))


def _vote(up: NDArray[np.bool_], down: NDArray[np.bool_], *inputs: Array) -> Array:
    """Return +1, -1 or 0; NaN where any input is missing."""
    missing = np.isnan(inputs[0])
    for one in inputs[1:]:
        missing = missing | np.isnan(one)
    return np.where(missing, np.nan, np.where(up, 1.0, np.where(down, -1.0, 0.0)))


def vote(name: str, rule: Callable[..., tuple[NDArray[np.bool_], NDArray[np.bool_]]], *parts: Node) -> Node:
    """Return a vote by a rule that says where it is up and where down."""
    return join(f"vote-{name}", lambda *x: _vote(*rule(*x), *x), *parts)


def _mean_of_votes(*votes: Array) -> Array:
    stacked = np.stack(np.broadcast_arrays(*votes))
    there = ~np.isnan(stacked)
    return _ratio(np.where(there, stacked, 0.0).sum(axis=0), there.sum(axis=0).astype(float))


OPEN, HIGH, LOW, CLOSE, VOLUME = (Input(name) for name in ("open", "high", "low", "close", "volume"))


@cache
def nodes() -> dict[str, Node]:
    """Return every indicator by its field name."""
    c, h, low, o, v = CLOSE, HIGH, LOW, OPEN, VOLUME
    before = Lag(c)
    found: dict[str, Node] = {"open": o, "high": h, "low": low, "close": c, "volume": v}
    for count in (5, 10, 20, 30, 50, 100, 200):
        found[f"SMA{count}"], found[f"EMA{count}"] = sma(c, count), ema(c, count)
    found["change"] = (over(c, before) - 1) * 100
    found["change_abs"] = c - before
    found["gap"] = (over(o, before) - 1) * 100
    found["Value.Traded"] = c * v
    found["volume_change"] = (over(v, Lag(v)) - 1) * 100
    found["ROC"] = (over(c, Lag(c, 9)) - 1) * 100
    found["Mom"] = c - Lag(c, 10)
    found["AO"] = sma((h + low) * 0.5, 5) - sma((h + low) * 0.5, 34)
    true_range = join("tr", lambda a, b, p: np.maximum(a, p) - np.minimum(b, p), h, low, before)
    found["ATR"] = wilder(true_range, 14)
    daily = over(true_range, join("abs", np.abs, low)) * 100
    found["Volatility.D"], found["Volatility.W"], found["Volatility.M"] = daily, sma(daily, 7), sma(daily, 30)
    for days in (10, 30, 60, 90):
        found[f"average_volume_{days}d_calc"] = sma(v, days)
    found["relative_volume_10d_calc"] = over(v, Lag(sma(v, 10)))
    basis, spread = sma(c, 20), Rolling("spread", c, 20)
    found["BB.basis"], found["BB.upper"], found["BB.lower"] = basis, basis + spread * 2, basis - spread * 2
    _oscillators(found, true_range)
    _averages(found)
    return found


def _oscillators(found: dict[str, Node], true_range: Node) -> None:
    c, h, low = CLOSE, HIGH, LOW
    before = Lag(c)
    step = c - before
    gain = wilder(join("max0", lambda x: np.maximum(x, 0.0), step), 14)
    loss = wilder(join("min0", lambda x: np.maximum(-x, 0.0), step), 14)
    rsi = over(gain, gain + loss) * 100
    found["RSI"] = rsi
    found["RSI7"] = _rsi(7)
    votes = {"RSI": vote("rsi", lambda x, p: ((x < 30) & _above(x, p), (x > 70) & _above(p, x)), rsi, Lag(rsi))}
    highest, lowest = Rolling("max", h, 14), Rolling("min", low, 14)
    raw = over(c - lowest, highest - lowest) * 100
    k = sma(raw, 3)
    d = sma(k, 3)
    found["Stoch.K"], found["Stoch.D"] = k, d
    votes["Stoch"] = vote(
        "stoch",
        lambda k, d, p, q: (
            (k < 20) & (d < 20) & _above(k, d) & _above(q, p),
            (k > 80) & (d > 80) & _above(d, k) & _above(p, q),
        ),
        k, d, Lag(k), Lag(d),
    )  # fmt: skip
    typical = (h + low + c) / 3.0
    cci = over(typical - sma(typical, 20), Rolling("deviation", typical, 20) * 0.015)
    found["CCI20"] = cci
    votes["CCI"] = vote("cci", lambda x, p: ((x < -100) & _above(x, p), (x > 100) & _above(p, x)), cci, Lag(cci))
    up, down = h - Lag(h), Lag(low) - low
    plus = join("+dm", lambda a, b: np.where(np.isnan(a + b), np.nan, np.where((a > b) & (a > 0), a, 0.0)), up, down)
    minus = join("-dm", lambda a, b: np.where(np.isnan(a + b), np.nan, np.where((b > a) & (b > 0), b, 0.0)), up, down)
    smooth_range = wilder(true_range, 14)
    di_plus = over(wilder(plus, 14), smooth_range) * 100
    di_minus = over(wilder(minus, 14), smooth_range) * 100
    dx = over(join("abs", np.abs, di_plus - di_minus), di_plus + di_minus) * 100
    adx = wilder(dx, 14)
    found["ADX"], found["ADX+DI"], found["ADX-DI"] = adx, di_plus, di_minus
    votes["ADX"] = vote(
        "adx",
        lambda x, p, m, p1, m1: (
            (x > 20) & _above(p, m) & _above(m1, p1),
            (x > 20) & _above(m, p) & _above(p1, m1),
        ),
        adx, di_plus, di_minus, Lag(di_plus), Lag(di_minus),
    )  # fmt: skip
    ao = found["AO"]
    votes["AO"] = vote(
        "ao",
        lambda x, p, q: (
            ((x > 0) & (p <= 0)) | ((x > 0) & (p > 0) & _above(x, p) & _above(q, p)),
            ((x < 0) & (p >= 0)) | ((x < 0) & (p < 0) & _above(p, x) & _above(p, q)),
        ),
        ao, Lag(ao), Lag(ao, 2),
    )  # fmt: skip
    momentum = found["Mom"]
    votes["Mom"] = vote("mom", lambda x, p: (_above(x, p), _above(p, x)), momentum, Lag(momentum))
    line = ema(c, 12) - ema(c, 26)
    signal = ema(line, 9)
    found["MACD.macd"], found["MACD.signal"], found["MACD.hist"] = line, signal, line - signal
    votes["MACD"] = vote("macd", lambda x, s: (_above(x, s), _above(s, x)), line, signal)
    raw = over(rsi - Rolling("min", rsi, 14), Rolling("max", rsi, 14) - Rolling("min", rsi, 14)) * 100
    fast = sma(raw, 3)
    slow = sma(fast, 3)
    found["Stoch.RSI.K"], found["Stoch.RSI.D"] = fast, slow
    trend = ema(c, 50)
    votes["Stoch.RSI"] = vote(
        "stochrsi",
        lambda c, e, k, d, p, q: (
            _above(e, c) & (k < 20) & (d < 20) & _above(k, d) & _above(q, p),
            _above(c, e) & (k > 80) & (d > 80) & _above(d, k) & _above(p, q),
        ),
        c, trend, fast, slow, Lag(fast), Lag(slow),
    )  # fmt: skip
    percent = over(highest - c, highest - lowest) * -100
    found["W.R"] = percent
    votes["WR"] = vote("wr", lambda x, p: ((x < -80) & _above(x, p), (x > -20) & _above(p, x)), percent, Lag(percent))
    bull, bear = h - ema(c, 13), low - ema(c, 13)
    found["BBPower"] = bull + bear
    votes["BBPower"] = vote(
        "power",
        lambda c, e, u, b, p, q: (
            _above(c, e) & (b < 0) & _above(b, q),
            _above(e, c) & (u > 0) & _above(p, u),
        ),
        c, trend, bull, bear, Lag(bull), Lag(bear),
    )  # fmt: skip
    buying = join("bp", lambda c, low, p: c - np.minimum(low, p), c, low, before)
    parts = [over(Rolling("sum", buying, n), Rolling("sum", true_range, n)) for n in (7, 14, 28)]
    ultimate = (parts[0] * 4 + parts[1] * 2 + parts[2]) / 7 * 100
    found["UO"] = ultimate
    votes["UO"] = vote("uo", lambda x: (x > 70, x < 30), ultimate)
    for name in ("Stoch.RSI", "WR", "BBPower", "UO"):
        found[f"Rec.{name}"] = votes[name]
    found["Recommend.Other"] = join("mean-votes", _mean_of_votes, *votes.values())


def _rsi(count: int) -> Node:
    step = CLOSE - Lag(CLOSE)
    gain = wilder(join("max0", lambda x: np.maximum(x, 0.0), step), count)
    loss = wilder(join("min0", lambda x: np.maximum(-x, 0.0), step), count)
    return over(gain, gain + loss) * 100


def _averages(found: dict[str, Node]) -> None:
    c, h, low, v = CLOSE, HIGH, LOW, VOLUME

    def against(average: Node) -> Node:
        return vote("ma", lambda x, m: (_above(x, m), _above(m, x)), c, average)

    votes = [against(found[f"{kind}{n}"]) for kind in ("SMA", "EMA") for n in (10, 20, 30, 50, 100, 200)]
    found["VWMA"] = over(Rolling("sum", c * v, 20), Rolling("sum", v, 20))
    found["HullMA9"] = Rolling("weighted", Rolling("weighted", c, 4) * 2 - Rolling("weighted", c, 9), 3)
    found["Rec.VWMA"], found["Rec.HullMA9"] = against(found["VWMA"]), against(found["HullMA9"])

    def middle(count: int) -> Node:
        return (Rolling("max", h, count) + Rolling("min", low, count)) * 0.5

    conversion, base = middle(9), middle(26)
    ahead = Lag((conversion + base) * 0.5, 25)
    cloud = Lag(middle(52), 25)
    found["Ichimoku.CLine"], found["Ichimoku.BLine"] = conversion, base
    found["Ichimoku.Lead1"], found["Ichimoku.Lead2"] = ahead, cloud
    found["Rec.Ichimoku"] = vote(
        "ichimoku",
        lambda a, b, base, conversion, c: (
            _above(a, b) & _above(base, a) & _above(conversion, base) & _above(c, conversion),
            _above(b, a) & _above(a, base) & _above(base, conversion) & _above(conversion, c),
        ),
        ahead, cloud, base, conversion, c,
    )  # fmt: skip
    votes += [found["Rec.VWMA"], found["Rec.HullMA9"], found["Rec.Ichimoku"]]
    found["Recommend.MA"] = join("mean-votes", _mean_of_votes, *votes)
    found["Recommend.All"] = join("mean-votes", _mean_of_votes, found["Recommend.MA"], found["Recommend.Other"])


# Fields in units of the price: what was seen at a moment is scaled by the splits that came later.
PRICE_FIELDS = frozenset(
    {
        "open", "high", "low", "close", "change_abs", "Mom", "AO", "ATR", "MACD.macd", "MACD.signal", "MACD.hist",
        "BBPower", "BB.basis", "BB.upper", "BB.lower", "VWMA", "HullMA9", "Ichimoku.CLine", "Ichimoku.BLine",
        "Ichimoku.Lead1", "Ichimoku.Lead2",
        *(f"{kind}{n}" for kind in ("SMA", "EMA") for n in (5, 10, 20, 30, 50, 100, 200)),
    }
)  # fmt: skip
SHARE_FIELDS = frozenset({"volume", *(f"average_volume_{n}d_calc" for n in (10, 30, 60, 90))})
