"""The ratings written a second time, one symbol as pandas columns, formula by formula, unlike the kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

PRICE_TIE = 1e-12
PERCENT_TIE = 1e-10


def started(values: pd.Series, length: int, alpha: float) -> pd.Series:
    """A smoothing that begins with the mean of the first values that are there."""
    there = values.dropna()
    if len(there) < length:
        return values * np.nan
    seeded = there.iloc[length - 1 :].copy()
    seeded.iloc[0] = there.iloc[:length].mean()
    return seeded.ewm(alpha=alpha, adjust=False).mean().reindex(values.index)


def ema(values: pd.Series, length: int) -> pd.Series:
    return started(values, length, 2 / (length + 1))


def wilder(values: pd.Series, length: int) -> pd.Series:
    return started(values, length, 1 / length)


def windows(values: pd.Series, length: int) -> pd.DataFrame:
    """The values of 0, 1, ... length - 1 bars ago as columns."""
    return pd.concat([values.shift(i) for i in range(length)], axis=1, keys=range(length))


def sma(values: pd.Series, length: int) -> pd.Series:
    return windows(values, length).mean(axis=1, skipna=False)


def wma(values: pd.Series, length: int) -> pd.Series:
    weights = np.arange(length, 0, -1)
    return windows(values, length).mul(weights, axis=1).sum(axis=1, skipna=False) / weights.sum()


def highest(values: pd.Series, length: int) -> pd.Series:
    return windows(values, length).max(axis=1, skipna=False)


def lowest(values: pd.Series, length: int) -> pd.Series:
    return windows(values, length).min(axis=1, skipna=False)


def over(top: pd.Series, bottom: pd.Series) -> pd.Series:
    return top / bottom.where(bottom != 0)


def sign(a: pd.Series, b: pd.Series | float, tie: pd.Series | float) -> pd.Series:
    """1 where a is above b, -1 where it is below, 0 where nothing but rounding lies between, NaN without both."""
    difference = a - b
    return np.sign(difference).where(difference.abs() > tie, difference * 0)


def poll(up: pd.Series, down: pd.Series, *needed: pd.Series) -> pd.Series:
    """The vote where everything needed is there."""
    vote = up.astype(float) - down.astype(float)
    return vote.where(pd.concat(needed, axis=1).notna().all(axis=1))


def votes_and_indicators(bars: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Votes of all 26 components, NaN where there is none, and the indicators of the public table."""
    h, low, c, v = (bars[name].astype(float) for name in ("high", "low", "close", "volume"))
    tie = PRICE_TIE * c
    votes: dict[str, pd.Series] = {}
    for length in (10, 20, 30, 50, 100, 200):
        votes[f"sma_{length}"] = sign(c, sma(c, length), tie)
        votes[f"ema_{length}"] = sign(c, ema(c, length), tie)
    volumes = windows(v, 20).sum(axis=1, skipna=False)
    votes["vwma_20"] = sign(c, over(windows(c * v, 20).sum(axis=1, skipna=False), volumes), tie)
    votes["hma_9"] = sign(c, wma(2 * wma(c, 4) - wma(c, 9), 3), tie)
    conversion, base, slow = ((highest(h, n) + lowest(low, n)) / 2 for n in (9, 26, 52))
    a, b = ((conversion + base) / 2).shift(25), slow.shift(25)
    pairs = ((a, b), (base, a), (conversion, base), (c, conversion))
    order = pd.concat([sign(upper, lower, tie) for upper, lower in pairs], axis=1)
    votes["ichimoku"] = poll((order == 1).all(axis=1), (order == -1).all(axis=1), order)

    change = c.diff()
    gain, loss = wilder(change.clip(lower=0), 14), wilder((-change).clip(lower=0), 14)
    rsi = 100 * over(gain, gain + loss)
    votes["rsi"] = reversal(rsi, 30, 70)
    top, bottom = highest(h, 14), lowest(low, 14)
    k = sma(100 * over(c - bottom, top - bottom), 3)
    d = sma(k, 3)
    votes["stochastic"] = cross(k, d)
    typical = (h + low + c) / 3
    mean = sma(typical, 20)
    deviation = windows(typical, 20).sub(mean, axis=0).abs().mean(axis=1, skipna=False)
    cci = (typical - mean) / (0.015 * deviation.where(deviation > tie))
    votes["cci"] = reversal(cci, -100, 100)

    true_range = pd.concat([h, c.shift()], axis=1).max(axis=1, skipna=False) - pd.concat([low, c.shift()], axis=1).min(
        axis=1, skipna=False
    )
    up, down = h.diff(), -low.diff()
    moved = up.notna() & down.notna()
    plus = up.where((up > down) & (up > 0), 0.0).where(moved)
    minus = down.where((down > up) & (down > 0), 0.0).where(moved)
    reach = wilder(true_range, 14)
    di_plus, di_minus = 100 * over(wilder(plus, 14), reach), 100 * over(wilder(minus, 14), reach)
    adx = wilder(100 * over((di_plus - di_minus).abs(), di_plus + di_minus), 14)
    now, before = sign(di_plus, di_minus, PERCENT_TIE), sign(di_plus.shift(), di_minus.shift(), PERCENT_TIE)
    strong = sign(adx, 20, PERCENT_TIE) == 1
    votes["adx"] = poll(strong & (now == 1) & (before == -1), strong & (now == -1) & (before == 1), adx, now, before)

    ao = sma((h + low) / 2, 5) - sma((h + low) / 2, 34)
    side, side_before = sign(ao, 0, tie), sign(ao.shift(), 0, tie)
    turn, turn_before = sign(ao, ao.shift(), tie), sign(ao.shift(2), ao.shift(), tie)
    votes["awesome"] = poll(
        ((side == 1) & (side_before < 1)) | ((side == 1) & (side_before == 1) & (turn == 1) & (turn_before == 1)),
        ((side == -1) & (side_before > -1)) | ((side == -1) & (side_before == -1) & (turn == -1) & (turn_before == -1)),
        ao.shift(2), side, side_before,
    )  # fmt: skip
    momentum = c.diff(10)
    votes["momentum"] = sign(momentum, momentum.shift(), tie)
    line = ema(c, 12) - ema(c, 26)
    votes["macd"] = sign(line, ema(line, 9), tie)
    trend = sign(c, ema(c, 50), tie)
    rsi_range = highest(rsi, 14) - lowest(rsi, 14)
    k = sma(100 * (rsi - lowest(rsi, 14)) / rsi_range.where(rsi_range > PERCENT_TIE), 3)
    crossed = cross(k, sma(k, 3))
    votes["stochastic_rsi"] = poll((crossed == 1) & (trend == -1), (crossed == -1) & (trend == 1), crossed, trend)
    votes["williams"] = reversal(-100 * over(top - c, top - bottom), -80, -20)
    bull, bear = h - ema(c, 13), low - ema(c, 13)
    votes["bull_bear"] = poll(
        (trend == 1) & (sign(bear, 0, tie) == -1) & (sign(bear, bear.shift(), tie) == 1),
        (trend == -1) & (sign(bull, 0, tie) == 1) & (sign(bull, bull.shift(), tie) == -1),
        trend, bull.shift(), bear.shift(), bull, bear,
    )  # fmt: skip
    pressure = c - pd.concat([low, c.shift()], axis=1).min(axis=1, skipna=False)
    parts = [
        over(windows(pressure, n).sum(axis=1, skipna=False), windows(true_range, n).sum(axis=1, skipna=False))
        for n in (7, 14, 28)
    ]
    votes["ultimate"] = sign(100 * (4 * parts[0] + 2 * parts[1] + parts[2]) / 7, 50, 20 + PERCENT_TIE)
    indicators = pd.DataFrame(
        {
            "adx": adx,
            "rsi": rsi,
            "atr": reach,
            "roc": 100 * (c / c.shift(9) - 1),
            "volatility_daily": 100 * true_range / low.abs(),
            "volume_change": 100 * (over(v, v.shift()) - 1),
        }
    )
    return pd.DataFrame(votes), indicators


def reversal(values: pd.Series, low: float, high: float) -> pd.Series:
    step = sign(values, values.shift(), PERCENT_TIE)
    is_low, is_high = sign(values, low, PERCENT_TIE) == -1, sign(values, high, PERCENT_TIE) == 1
    return poll(is_low & (step == 1), is_high & (step == -1), step)


def cross(k: pd.Series, d: pd.Series) -> pd.Series:
    now, before = sign(k, d, PERCENT_TIE), sign(k.shift(), d.shift(), PERCENT_TIE)
    larger, smaller = pd.concat([k, d], axis=1).max(axis=1), pd.concat([k, d], axis=1).min(axis=1)
    return poll(
        (sign(larger, 20, PERCENT_TIE) == -1) & (now == 1) & (before == -1),
        (sign(smaller, 80, PERCENT_TIE) == 1) & (now == -1) & (before == 1),
        now, before,
    )  # fmt: skip


def rated(votes: pd.DataFrame, averages: Mapping[str, str]) -> pd.DataFrame:
    """The means of the votes that there are; `averages` says of each component whether it is of ma or other."""
    ma = votes[[name for name, kind in averages.items() if kind == "ma"]].mean(axis=1)
    other = votes[[name for name, kind in averages.items() if kind == "other"]].mean(axis=1)
    return pd.DataFrame(
        {"rating_all": pd.concat([ma, other], axis=1).mean(axis=1), "rating_ma": ma, "rating_other": other}
    )


def level_only(votes: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """The votes by the wrong rules: levels alone, without rising, falling and crossing."""
    h, low, c = (bars[name].astype(float) for name in ("high", "low", "close"))
    rsi = votes_and_indicators(bars)[1]["rsi"]
    top, bottom = highest(h, 14), lowest(low, 14)
    percent = -100 * over(top - c, top - bottom)
    middle = (h + low) / 2
    return votes.assign(
        rsi=poll(rsi < 30, rsi > 70, rsi),
        williams=poll(percent < -80, percent > -20, percent),
        awesome=np.sign(sma(middle, 5) - sma(middle, 34)),
        momentum=np.sign(c.diff(10)),
        ultimate=-votes["ultimate"],
    )
