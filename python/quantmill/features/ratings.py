"""Technical ratings of daily bars: 15 votes of moving averages, 11 of oscillators, and their means, point in time.

Bars stand in flat arrays, run after run; `offsets` (runs + 1) says where each begins. A run is the bars of one symbol
in one adjustment of its prices. Row t of every result reads rows up to t of its own run alone.

NaN means: an input is missing, too few bars precede, or a range is flat (0 / 0). A component without inputs leaves the
denominator of its rating; it is not a vote of zero. So bars without highs and lows are rated by what reads closes
alone, and bars without volumes by all but the volume-weighted average.

TA-Lib is not called: where it defines the same, the results are the same (tested), but it answers 0 on flat ranges,
lets one NaN spoil the rest of a series, and seeds MACD and ADX in another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.features.factors import require_offsets
from quantmill.frames import frozen

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Votes = NDArray[np.int8]

# Two numbers nearer than this share of their scale are equal. The scale of whatever is in units of the price is the
# close of the bar that votes, that of indicators between 0 and 100 is 100.
TIE = 1e-12
PERCENT = 100.0
# A component that cannot vote.
ABSENT = np.int8(-128)
# A smoothing has forgotten its start after five times its length.
WARM_LENGTHS = 5
# Rows that are worked on at once: small enough to stay in the processor's cache.
BLOCK = 1 << 15
# Bars before a bar that anything but a smoothing reads; the cloud of Ichimoku reads 77.
REACH = 200


@dataclass(frozen=True)
class Component:
    """One voter: its rating (ma or other), and the longest length in bars that it reads."""

    name: str
    rating: Literal["ma", "other"]
    length: int


COMPONENTS = (
    *(Component(f"sma_{length}", "ma", length) for length in (10, 20, 30, 50, 100, 200)),
    *(Component(f"ema_{length}", "ma", length) for length in (10, 20, 30, 50, 100, 200)),
    Component("vwma_20", "ma", 20),
    Component("hma_9", "ma", 9),
    Component("ichimoku", "ma", 52),
    Component("rsi", "other", 14),
    Component("stochastic", "other", 14),
    Component("cci", "other", 20),
    Component("adx", "other", 14),
    Component("awesome", "other", 34),
    Component("momentum", "other", 10),
    Component("macd", "other", 26),
    Component("stochastic_rsi", "other", 50),
    Component("williams", "other", 14),
    Component("bull_bear", "other", 50),
    Component("ultimate", "other", 28),
)
AVERAGE_LENGTHS = tuple(component.length for component in COMPONENTS if component.name.startswith("sma_"))
MEASURES = (
    "rating_all", "rating_ma", "rating_other", "adx", "rsi", "atr", "roc", "volatility_daily", "volume_change",
)  # fmt: skip
COUNTS = ("ma_vote_count", "other_vote_count", "bar_count")
WARM_BARS = WARM_LENGTHS * max(component.length for component in COMPONENTS)


@dataclass(frozen=True)
class Ratings:
    """What bars are rated: `votes` by component (-1, 0, 1, or `ABSENT`) and `columns` by name, one value per bar.

    `rating_ma` and `rating_other` are the means of the votes that there are, from -1 to 1, `rating_all` is the mean of
    those two, or the one that there is; `ma_vote_count` and `other_vote_count` say how many voted. `rsi` and `adx` go
    from 0 to 100, `atr` is in units of the price, `roc` (nine bars), `volatility_daily` (true range over the low) and
    `volume_change` are percent. `bar_count` counts the bars of the run up to this one, and `is_warm` says whether five
    times the longest length precede it.
    """

    votes: Mapping[str, Votes]
    columns: Mapping[str, NDArray[np.generic]]


def technical_ratings(
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    offsets: Integers,
    *,
    wanted: Flags | None = None,
    threads: int = 1,
) -> Ratings:
    """Return votes, ratings and indicators of every bar, or of those that are `wanted`: the last ones of their runs.

    Arrays have one value per bar; NaN in `high`, `low` or `volume` means that the source has none. Such a bar makes
    the windows that hold it NaN, and smoothings go on with the next. Smoothings start from the mean of their first
    values; those of Wilder have the share 1 / n, the exponential ones 2 / (n + 1). Neither the number of `threads` nor
    what is wanted changes a bit of the result. Raises `DataContractError` where `offsets` do not divide the bars or a
    close is not finite.
    """
    require_offsets(close, offsets, name="closes")
    wanted = np.ones(len(close), dtype=bool) if wanted is None else wanted
    places = np.concatenate([[0], np.cumsum(wanted)])
    count = int(places[-1])
    columns: dict[str, NDArray[np.generic]] = {name: np.empty(count) for name in MEASURES}
    columns |= {name: np.empty(count, dtype=np.int32) for name in COUNTS}
    columns["is_warm"] = np.empty(count, dtype=bool)
    votes = {component.name: np.empty(count, dtype=np.int8) for component in COMPONENTS}

    def rate(runs: slice) -> None:
        first = offsets[runs.start]
        rows = slice(int(first), int(offsets[runs.stop]))
        filled = slice(int(places[rows.start]), int(places[rows.stop]))
        if filled.start == filled.stop:
            return
        bars = _Bars(high[rows], low[rows], close[rows], volume[rows], offsets[runs.start : runs.stop + 1] - first)
        is_read, is_wanted = _reached(bars.offsets, wanted[rows]), wanted[rows]
        # 0 / 0 is wanted where a range is flat
        with np.errstate(invalid="ignore", divide="ignore"):
            cast, measured = _rate(bars.of(is_read), _smooth(bars).of(is_read), bars.ages[is_read])
        for name, values in cast.items():
            votes[name][filled] = values[is_wanted[is_read]]
        for name, numbers in measured.items():
            columns[name][filled] = numbers[is_wanted[is_read]]

    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(rate, _blocks(offsets)))
    return Ratings(votes=votes, columns=columns)


def _blocks(offsets: Integers) -> list[slice]:
    """Return slices of whole runs, of about `BLOCK` rows each."""
    kinds = offsets[:-1] // BLOCK
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1), len(kinds)] if len(kinds) else []
    return [slice(int(start), int(stop)) for start, stop in pairwise(edges)]


def _reached(offsets: Integers, wanted: Flags) -> Flags:
    """Return which bars are wanted, or stand at most `REACH` bars before a wanted one of their run."""
    found = np.flatnonzero(wanted)
    places = np.arange(len(wanted))
    following = np.append(found, 2 * len(wanted) + REACH)[np.searchsorted(found, places)]
    ends = np.repeat(offsets[1:], np.diff(offsets))
    is_reached: Flags = (following < ends) & (following - places <= REACH)
    return is_reached


class _Bars:
    """Bars of some runs, and the windows over them."""

    def __init__(self, high: Floats, low: Floats, close: Floats, volume: Floats, offsets: Integers) -> None:
        self.high, self.low, self.close, self.volume = high, low, close, volume
        self.offsets = frozen(offsets)

    @cached_property
    def before(self) -> Floats:
        """The close before each."""
        return self.lag(self.close)

    @cached_property
    def true_range(self) -> Floats:
        """max(h, c[1]) - min(l, c[1]); NaN on the first bar, which has no close before it."""
        return np.maximum(self.high, self.before) - np.minimum(self.low, self.before)

    @cached_property
    def ages(self) -> Integers:
        """How many bars of its run stand before each."""
        ages: Integers = np.arange(len(self.close)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return ages

    def of(self, rows: Flags) -> _Bars:
        """These bars alone, in their runs."""
        if rows.all():
            return self
        ends = np.concatenate([[0], np.cumsum(rows)])[self.offsets]
        return _Bars(self.high[rows], self.low[rows], self.close[rows], self.volume[rows], ends.astype(np.int64))

    def lag(self, values: Floats, count: int = 1) -> Floats:
        """The values `count` bars earlier."""
        shifted = np.empty_like(values)
        shifted[count:] = values[:-count]
        starts, ends = self.offsets[:-1], self.offsets[1:]
        for place in range(count):
            rows = starts + place
            shifted[rows[rows < ends]] = np.nan
        return shifted

    def means(self, values: Floats, *lengths: int) -> Floats:
        """Plain means of the last bars, one row per length."""
        from quantmill.features import _windows

        result = np.empty((len(lengths), len(values)))
        _windows.means(frozen(values), self.offsets, frozen(np.array(lengths, dtype=np.int64)), result)
        return result

    def mean(self, values: Floats, length: int) -> Floats:
        """Plain mean of the last bars."""
        mean: Floats = self.means(values, length)[0]
        return mean

    def extremes(self, upper: Floats, lower: Floats, *lengths: int) -> tuple[Floats, Floats]:
        """Largest of `upper` and smallest of `lower` in the last bars, one row per length each."""
        from quantmill.features import _windows

        highest, lowest = np.empty((len(lengths), len(upper))), np.empty((len(lengths), len(upper)))
        _windows.extremes(
            frozen(upper), frozen(lower), self.offsets, frozen(np.array(lengths, dtype=np.int64)), highest, lowest
        )
        return highest, lowest

    def weighted(self, values: Floats, length: int) -> Floats:
        """Mean of the last bars under the weights 1 to `length`."""
        from quantmill.features import _windows

        result = np.empty(len(values))
        _windows.weighted_means(frozen(values), self.offsets, length, result)
        return result

    def deviation(self, values: Floats, centres: Floats, length: int) -> Floats:
        """Mean distance of the last bars from the newest centre."""
        from quantmill.features import _windows

        result = np.empty(len(values))
        _windows.mean_deviations(frozen(values), frozen(centres), self.offsets, length, result)
        return result

    def exponential(self, values: Floats, length: int) -> Floats:
        """EMA: a share of 2 / (length + 1) of each new value."""
        return self._smoothed(values, length, 2.0 / (length + 1))

    def wilder(self, values: Floats, length: int) -> Floats:
        """Wilder's smoothing: a share of 1 / length of each new value."""
        return self._smoothed(values, length, 1.0 / length)

    def _smoothed(self, values: Floats, length: int, share: float) -> Floats:
        from quantmill.features import _windows

        result = np.empty(len(values))
        _windows.smoothed(frozen(values), self.offsets, length, share, result)
        return result


@dataclass(frozen=True)
class _Smoothings:
    """What remembers every bar of its run: the EMAs of the closes by their length, the line of MACD and its signal, the
    RSI, the average true range, and both directions and the average index of directional movement; all of 14 bars.
    """

    trends: Mapping[int, Floats]
    line: Floats
    signal: Floats
    rsi: Floats
    atr: Floats
    up: Floats
    down: Floats
    adx: Floats

    def of(self, rows: Flags) -> _Smoothings:
        """Their values at these bars."""
        if rows.all():
            return self
        trends = {length: values[rows] for length, values in self.trends.items()}
        others = {name: values[rows] for name, values in vars(self).items() if name != "trends"}
        return _Smoothings(trends=trends, **others)


def _smooth(bars: _Bars) -> _Smoothings:
    """Return the smoothings at every bar. Directional movement is that of Wilder (1978)."""
    close = bars.close
    trends = {length: bars.exponential(close, length) for length in (*AVERAGE_LENGTHS, 12, 13, 26)}
    line = trends[12] - trends[26]
    step = close - bars.before
    gain, loss = bars.wilder(np.maximum(step, 0.0), 14), bars.wilder(np.maximum(-step, 0.0), 14)
    rise, fall = bars.high - bars.lag(bars.high), bars.lag(bars.low) - bars.low
    missing = np.where(np.isnan(rise + fall), np.nan, 0.0)
    plus = np.where((rise > fall) & (rise > 0.0), rise, missing)
    minus = np.where((fall > rise) & (fall > 0.0), fall, missing)
    reach = bars.wilder(bars.true_range, 14)
    up = PERCENT * _ratio(bars.wilder(plus, 14), reach)
    down = PERCENT * _ratio(bars.wilder(minus, 14), reach)
    return _Smoothings(
        trends=trends,
        line=line,
        signal=bars.exponential(line, 9),
        rsi=PERCENT * _ratio(gain, gain + loss),
        atr=reach,
        up=up,
        down=down,
        # a bar without direction is passed over
        adx=bars.wilder(PERCENT * _ratio(np.abs(up - down), up + down), 14),
    )


def _rate(bars: _Bars, smooth: _Smoothings, ages: Integers) -> tuple[dict[str, Votes], dict[str, NDArray[np.generic]]]:
    """Return the votes by component, and the columns by name."""
    averages, oscillators = _average_votes(bars, smooth), _oscillator_votes(bars, smooth)
    rating_ma, ma_count = _mean_vote(averages)
    rating_other, other_count = _mean_vote(oscillators)
    both = (rating_ma + rating_other) / 2.0
    rating_all = np.where(np.isnan(rating_ma), rating_other, np.where(np.isnan(rating_other), rating_ma, both))
    return averages | oscillators, {
        "rating_all": rating_all,
        "rating_ma": rating_ma,
        "rating_other": rating_other,
        "rsi": smooth.rsi,
        "adx": smooth.adx,
        "atr": smooth.atr,
        "roc": 100.0 * (bars.close / bars.lag(bars.close, 9) - 1.0),
        "volatility_daily": 100.0 * _ratio(bars.true_range, np.abs(bars.low)),
        "volume_change": 100.0 * (_ratio(bars.volume, bars.lag(bars.volume)) - 1.0),
        "ma_vote_count": ma_count,
        "other_vote_count": other_count,
        "bar_count": ages + 1,
        "is_warm": ages >= WARM_BARS,
    }


def _average_votes(bars: _Bars, smooth: _Smoothings) -> dict[str, Votes]:
    """Return the votes of 15 moving averages: 1 where the average is below the close, -1 where it is above."""
    close = bars.close
    found = {}
    for length, average in zip(AVERAGE_LENGTHS, bars.means(close, *AVERAGE_LENGTHS), strict=True):
        found[f"sma_{length}"] = _against(close, average)
    for length in AVERAGE_LENGTHS:
        found[f"ema_{length}"] = _against(close, smooth.trends[length])
    by_volume = _ratio(bars.mean(close * bars.volume, 20), bars.mean(bars.volume, 20))
    found["vwma_20"] = _against(close, by_volume)
    hull = bars.weighted(2.0 * bars.weighted(close, 4) - bars.weighted(close, 9), 3)
    found["hma_9"] = _against(close, hull)

    highest, lowest = bars.extremes(bars.high, bars.low, 9, 26, 52)
    conversion, base, slow = (highest + lowest) / 2.0
    # the spans stand under the current bar as they were drawn 25 bars earlier
    span_a, span_b = bars.lag((conversion + base) / 2.0, 25), bars.lag(slow, 25)
    found["ichimoku"] = _vote(
        _above(span_a, span_b, close)
        & _above(base, span_a, close)
        & _above(conversion, base, close)
        & _above(close, conversion, close),
        _above(span_b, span_a, close)
        & _above(span_a, base, close)
        & _above(base, conversion, close)
        & _above(conversion, close, close),
        span_a, span_b, base, conversion,
    )  # fmt: skip
    return found


def _oscillator_votes(bars: _Bars, smooth: _Smoothings) -> dict[str, Votes]:
    """Return the votes of 11 oscillators.

    Rising and falling compare with the previous bar. A level alone is no vote, except for the ultimate oscillator.
    """
    high, low, close, before = bars.high, bars.low, bars.close, bars.before
    trend, rsi = smooth.trends[50], smooth.rsi
    found = {}

    found["rsi"] = _turning(rsi, bars.lag(rsi), 30.0, 70.0)

    [highest], [lowest] = bars.extremes(high, low, 14)
    fast = bars.mean(PERCENT * _ratio(close - lowest, highest - lowest), 3)
    found["stochastic"] = _crossing(bars, fast)

    typical = (high + low + close) / 3.0
    centre = bars.mean(typical, 20)
    spread = bars.deviation(typical, centre, 20)
    spread[spread <= TIE * close] = np.nan
    cci = (typical - centre) / (0.015 * spread)
    found["cci"] = _turning(cci, bars.lag(cci), -100.0, 100.0)

    last_up, last_down = bars.lag(smooth.up), bars.lag(smooth.down)
    strong = _above(smooth.adx, 20.0, PERCENT)
    found["adx"] = _vote(
        strong & _above(smooth.up, smooth.down, PERCENT) & _above(last_down, last_up, PERCENT),
        strong & _above(smooth.down, smooth.up, PERCENT) & _above(last_up, last_down, PERCENT),
        smooth.adx, last_up, last_down, smooth.up, smooth.down,
    )  # fmt: skip

    middle = (high + low) / 2.0
    short, long = bars.means(middle, 5, 34)
    awesome = short - long
    last, second = bars.lag(awesome), bars.lag(awesome, 2)
    found["awesome"] = _vote(
        _above(awesome, 0.0, close)
        & (~_above(last, 0.0, close) | (_above(awesome, last, close) & _above(second, last, close))),
        _above(0.0, awesome, close)
        & (~_above(0.0, last, close) | (_above(last, awesome, close) & _above(last, second, close))),
        awesome, last, second,
    )  # fmt: skip

    momentum = close - bars.lag(close, 10)
    last = bars.lag(momentum)
    found["momentum"] = _vote(_above(momentum, last, close), _above(last, momentum, close), last)

    found["macd"] = _vote(
        _above(smooth.line, smooth.signal, close), _above(smooth.signal, smooth.line, close), smooth.signal
    )

    [most], [least] = bars.extremes(rsi, rsi, 14)
    reach = most - least
    # an RSI that stands still moves by rounding
    reach[reach <= TIE * PERCENT] = np.nan
    fast = bars.mean(PERCENT * (rsi - least) / reach, 3)
    found["stochastic_rsi"] = _crossing(bars, fast, trend=trend)

    williams = -PERCENT * _ratio(highest - close, highest - lowest)
    found["williams"] = _turning(williams, bars.lag(williams), -80.0, -20.0)

    average = smooth.trends[13]
    bull, bear = high - average, low - average
    last_bull, last_bear = bars.lag(bull), bars.lag(bear)
    found["bull_bear"] = _vote(
        _above(close, trend, close) & _above(0.0, bear, close) & _above(bear, last_bear, close),
        _above(trend, close, close) & _above(bull, 0.0, close) & _above(last_bull, bull, close),
        trend, last_bull, last_bear, bull, bear,
    )  # fmt: skip

    pressure = bars.means(close - np.minimum(low, before), 7, 14, 28)
    reach = bars.means(bars.true_range, 7, 14, 28)
    shares = _ratio(pressure, reach)
    ultimate = PERCENT * (4.0 * shares[0] + 2.0 * shares[1] + shares[2]) / 7.0
    found["ultimate"] = _vote(_above(ultimate, 70.0, PERCENT), _above(30.0, ultimate, PERCENT), ultimate)
    return found


def _turning(values: Floats, last: Floats, low: float, high: float) -> Votes:
    """Vote 1 below `low` and rising, -1 above `high` and falling; levels and values are percentages."""
    return _vote(
        _above(low, values, PERCENT) & _above(values, last, PERCENT),
        _above(values, high, PERCENT) & _above(last, values, PERCENT),
        values, last,
    )  # fmt: skip


def _crossing(bars: _Bars, fast: Floats, *, trend: Floats | None = None) -> Votes:
    """Vote 1 where K crosses above D with both below 20, -1 where it crosses below with both above 80.

    K is `fast`, D its mean of three bars. With a `trend`, only against it: 1 below the trend, -1 above it.
    """
    slow = bars.mean(fast, 3)
    last_fast, last_slow = bars.lag(fast), bars.lag(slow)
    up = (
        _above(20.0, fast, PERCENT)
        & _above(20.0, slow, PERCENT)
        & _above(fast, slow, PERCENT)
        & _above(last_slow, last_fast, PERCENT)
    )
    down = (
        _above(fast, 80.0, PERCENT)
        & _above(slow, 80.0, PERCENT)
        & _above(slow, fast, PERCENT)
        & _above(last_fast, last_slow, PERCENT)
    )
    if trend is None:
        return _vote(up, down, slow, last_slow)
    return _vote(
        up & _above(trend, bars.close, bars.close), down & _above(bars.close, trend, bars.close), slow, last_slow, trend
    )


def _against(close: Floats, average: Floats) -> Votes:
    return _vote(_above(close, average, close), _above(average, close, close), average)


def _above(a: Floats | float, b: Floats | float, scale: Floats | float) -> Flags:
    """Return whether `a` exceeds `b` by more than rounding on this scale; false where one is NaN."""
    above: Flags = np.subtract(a, b) > np.multiply(TIE, scale)
    return above


def _vote(up: Flags, down: Flags, *inputs: Floats) -> Votes:
    """Return 1, -1 or 0, and `ABSENT` where an input is NaN."""
    vote = up.astype(np.int8) - down.astype(np.int8)
    for values in inputs:
        vote[np.isnan(values)] = ABSENT
    return vote


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Return the quotient, NaN over 0."""
    quotient: Floats = np.where(bottom == 0.0, np.nan, top / bottom)
    return quotient


def _mean_vote(votes: Mapping[str, Votes]) -> tuple[Floats, NDArray[np.int32]]:
    """Return the mean of the votes that there are, NaN without any, and their number."""
    rows = len(next(iter(votes.values())))
    total, count = np.zeros(rows, dtype=np.int32), np.zeros(rows, dtype=np.int32)
    for vote in votes.values():
        is_there = vote != ABSENT
        total += np.where(is_there, vote, 0)
        count += is_there
    return total / np.where(count > 0, count, np.nan), count
