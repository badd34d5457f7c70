"""Factors of return series, point in time: row t of every result reads rows up to t of its own series alone.

Series stand in flat arrays, one after the other; `offsets` (series + 1) says where each begins. Returns are simple and
physical (not oriented, 0.02 = 2 %). Where the sign matters, the short side is that of -min(r, 1): a short cannot lose
more than its stake. NaN means that a factor is not defined there, because there are fewer rows than it needs or because
nothing moves; it never stands for zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError
from quantmill.frames import frozen, require_finite

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# The factor set `daily_252`: rows that the factors read, and rows below which a factor is not defined.
HISTORY = 252
SPECTRAL = 120
COMPOUNDED = 60
LEAST_EFFICIENCY = 10
LEAST_TAIL = 20
LEAST_HURST = 32
# Thirty order-3 patterns: five times as many as there are kinds of them.
LEAST_ENTROPY = 32
LJUNG_BOX_LAGS, LEAST_LJUNG_BOX = 5, 32
DIRECTIONAL_LENGTH = 14
SPREAD_WINDOW, LEAST_SPREADS = 30, 20
CHANGE_LENGTH = 9
LIQUIDITY_WINDOW = 30


def require_offsets(values: Floats, offsets: Integers, *, name: str) -> None:
    """Raise `DataContractError` unless `offsets` ascend from 0 to the length of `values`, and values are finite."""
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(values) or np.any(np.diff(offsets) < 0):
        raise DataContractError(
            f"{name}: offsets do not ascend from 0 to the {len(values)} values they divide",
            remedy="order the rows by series and count each series once",
        )
    require_finite(values, name=name)


def series_offsets(*keys: NDArray[np.generic]) -> Integers:
    """Return where each run of equal keys begins, and the number of rows at the end; keys are arrays of one length."""
    length = len(keys[0])
    if not length:
        return np.zeros(1, dtype=np.int64)
    is_new = np.zeros(length, dtype=bool)
    is_new[0] = True
    for key in keys:
        is_new[1:] |= key[1:] != key[:-1]
    return np.append(np.flatnonzero(is_new), length).astype(np.int64)


def expected_rescaled_range(lag: int) -> float:
    """Return E[R/S] of `lag` independent normal rows (Anis and Lloyd 1976).

    Gamma((n - 1) / 2) / (sqrt(pi) Gamma(n / 2)) * sum over i = 1 .. n - 1 of sqrt((n - i) / i).
    """
    steps = np.arange(1, lag)
    scale = math.exp(math.lgamma((lag - 1) / 2) - math.lgamma(lag / 2)) / math.sqrt(math.pi)
    return float(scale * np.sqrt((lag - steps) / steps).sum())


def hurst_exponents(returns: Floats, offsets: Integers, *, window: int = HISTORY) -> Floats:
    """Return the Hurst exponent by rescaled range, corrected for short samples, of the last `window` rows, in [0, 1].

    H = 0.5 + slope of ln(R/S) - ln(E[R/S]) on ln(lag), lags 8, 16, ... 512 up to half the rows, R/S the mean over
    disjoint blocks counted from the newest row, with population deviations. NaN below 32 rows; 0.5 for a constant
    series; blocks in which nothing moves are left out (Hurst 1951; Anis and Lloyd 1976).
    """
    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns")
    lags = np.array([2**power for power in range(3, 10)], dtype=np.int64)
    expected = np.array([expected_rescaled_range(int(lag)) for lag in lags])
    result = np.empty(len(returns))
    _kernels.hurst(frozen(returns), frozen(offsets), window, LEAST_HURST, frozen(lags), frozen(expected), result)
    return result


def permutation_entropies(
    returns: Floats, offsets: Integers, *, window: int = SPECTRAL, least: int = LEAST_ENTROPY
) -> Floats:
    """Return the order-3 permutation entropy of the last `window` rows over ln 6, in [0, 1] (Bandt and Pompe 2002).

    Of equal values the earlier counts as the smaller, so that a constant or monotone series has entropy 0. NaN below
    `least` rows.
    """
    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns")
    result = np.empty(len(returns))
    _kernels.permutation_entropy(frozen(returns), frozen(offsets), window, max(least, 3), result)
    return result


def ljung_box_probabilities(
    returns: Floats, offsets: Integers, *, window: int = HISTORY, wanted: NDArray[np.bool_] | None = None
) -> Floats:
    """Return the p-value of five autocorrelations of the last `window` rows, in [0, 1] (Ljung and Box 1978).

    It is the chance that independent rows have autocorrelations as large as these; the statistic is compared with chi
    squared of five degrees of freedom. NaN below 32 rows or where nothing moves, and in rows that are not `wanted`.
    """
    from scipy.special import chdtrc

    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns")
    statistic = np.empty(len(returns))
    asked = frozen(np.ones(len(returns), dtype=bool) if wanted is None else wanted)
    _kernels.ljung_box_statistic(frozen(returns), frozen(offsets), asked, window, LEAST_LJUNG_BOX, statistic)
    return np.asarray(chdtrc(LJUNG_BOX_LAGS, statistic), dtype=np.float64)


def return_factors(returns: Floats, offsets: Integers, wanted: NDArray[np.bool_] | None = None) -> dict[str, Floats]:
    """Return the factors of `returns` by name, each with one value per row; nothing is annualised here.

    Of rows that are not `wanted` the values mean nothing.

    `mean_return`, `mean_return_short`, `deviation` (n - 1; NaN for one row), `skew`, `skew_short` and `excess_kurtosis`
    (population moments; NaN where nothing moves), `largest_absolute_return`, `absolute_autocorrelation` (lag 1, of |r|,
    at least 0; 0 where nothing moves, NaN below 3 rows) and `observation_count` over 252 rows;
    `cvar`, `cvar_short` (expected shortfall 95 %: weighted mean of the worst n / 20 returns, Rockafellar and Uryasev
    2002) and `tail_gain`, `tail_gain_short` (mean of the returns above their own 95 % quantile, by linear
    interpolation) over 252 rows, NaN below 20; `compounded_60`, `compounded_60_short` over 60; `efficiency` (Kaufman's
    ratio, |sum r| over sum |r|, NaN below 10 rows, 0 without a path) and `entropy` over 120; `hurst` and
    `ljung_box_p` over 252.
    """
    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns")
    count = len(returns)
    flat, places = frozen(returns), frozen(offsets)
    asked = frozen(np.ones(count, dtype=bool) if wanted is None else wanted)
    moments, tails = np.empty((count, 9)), np.empty((count, 4))
    compounded, efficiency = np.empty((count, 2)), np.empty(count)
    _kernels.moments(flat, places, asked, HISTORY, moments)
    _kernels.tails(flat, places, asked, HISTORY, LEAST_TAIL, tails)
    _kernels.compounded(flat, places, asked, COMPOUNDED, compounded)
    _kernels.efficiency(flat, places, asked, SPECTRAL, LEAST_EFFICIENCY, efficiency)
    return {
        "mean_return": moments[:, 0],
        "mean_return_short": moments[:, 4],
        "deviation": moments[:, 1],
        "compounded_60": compounded[:, 0],
        "compounded_60_short": compounded[:, 1],
        "efficiency": efficiency,
        "entropy": permutation_entropies(returns, offsets),
        "hurst": hurst_exponents(returns, offsets),
        "ljung_box_p": ljung_box_probabilities(returns, offsets, wanted=wanted),
        "skew": moments[:, 2],
        "skew_short": moments[:, 5],
        "excess_kurtosis": moments[:, 3],
        "cvar": tails[:, 0],
        "cvar_short": tails[:, 1],
        "tail_gain": tails[:, 2],
        "tail_gain_short": tails[:, 3],
        "largest_absolute_return": moments[:, 6],
        "absolute_autocorrelation": moments[:, 7],
        "observation_count": moments[:, 8],
    }


def bar_factors(high: Floats, low: Floats, close: Floats, offsets: Integers) -> dict[str, Floats]:
    """Return `adx`, `spread` and `roc` per bar; NaN in `high` and `low` where the source has closes only, and in the
    first two of what follows.

    `adx` is Wilder's average directional index of 14 bars, 0 to 100, each smoothing starting from the plain mean of its
    first 14 values (Wilder 1978); a bar without high or low ends its run. `spread` is the mean of the spreads of
    two-bar pairs over the last 30 bars, as a fraction of the price, overnight gaps taken out and negative ones set to 0
    (Corwin and Schultz 2012); NaN with fewer than 20 pairs. `roc` is the rate of change over nine bars, in percent, NaN
    where there are fewer.
    """
    from quantmill.features import _kernels

    require_offsets(close, offsets, name="closes")
    adx, spread = np.empty(len(close)), np.empty(len(close))
    arrays = (frozen(high), frozen(low), frozen(close), frozen(offsets))
    _kernels.average_directional_index(*arrays, DIRECTIONAL_LENGTH, adx)
    _kernels.high_low_spread(*arrays, SPREAD_WINDOW, LEAST_SPREADS, spread)
    roc = np.full(len(close), np.nan)
    roc[CHANGE_LENGTH:] = 100 * (close[CHANGE_LENGTH:] / close[:-CHANGE_LENGTH] - 1)
    for place in range(CHANGE_LENGTH):
        early = offsets[:-1] + place
        roc[early[early < offsets[1:]]] = np.nan
    return {"adx": adx, "spread": spread, "roc": roc}


def trading_facts(close: Floats, turnover: Floats, offsets: Integers) -> tuple[Floats, Integers]:
    """Return the median `turnover` (NaN for none) of the last 30 bars, in its unit, and how many closes in a row, the
    last one among them, are equal.
    """
    from quantmill.features import _kernels

    require_offsets(close, offsets, name="closes")
    median, runs = np.empty(len(close)), np.empty(len(close), dtype=np.int64)
    _kernels.trailing_median(frozen(turnover), frozen(offsets), LIQUIDITY_WINDOW, 0, median)
    _kernels.equal_runs(frozen(close), frozen(offsets), runs)
    return median, runs


def missing_shares(numbers: Integers, is_row: NDArray[np.bool_], offsets: Integers, *, window: int = HISTORY) -> Floats:
    """Return the share of sessions without a bar from the first to the last of the last `window` rows.

    `numbers` are the session numbers of all bars, ascending in each series; `is_row` says which bars are rows. The
    others have NaN.
    """
    result = np.full(len(numbers), np.nan)
    rows = np.flatnonzero(is_row)
    if len(rows):
        series = np.searchsorted(offsets, rows, side="right")
        begins = np.searchsorted(series, series, side="left")
        first = rows[np.maximum(begins, np.arange(len(rows)) - window + 1)]
        expected = numbers[rows] - numbers[first] + 1
        result[rows] = (expected - (rows - first + 1)) / expected
    return result
