"""The factors written a second time, window by window in plain Python and numpy, unlike the kernels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def short(returns: Floats) -> Floats:
    return -np.minimum(returns, 1.0)


def skew(returns: Floats) -> float:
    d = returns - returns.mean()
    if np.ptp(returns) == 0:
        return math.nan
    return float((d**3).mean() / (d**2).mean() ** 1.5)


def excess_kurtosis(returns: Floats) -> float:
    d = returns - returns.mean()
    if np.ptp(returns) == 0:
        return math.nan
    return float((d**4).mean() / (d**2).mean() ** 2 - 3)


def expected_shortfall(returns: Floats) -> float:
    """The least value of -(z + mean(max(-r - z, 0)) / 0.05) over the thresholds z (Rockafellar and Uryasev 2002)."""
    if len(returns) < 20:
        return math.nan
    return -min(z + np.maximum(-returns - z, 0).mean() / 0.05 for z in -returns)


def tail_gain(returns: Floats) -> float:
    if len(returns) < 20:
        return math.nan
    quantile = np.quantile(returns, 0.95)
    above = returns[returns > quantile]
    return float(above.mean()) if len(above) else float(quantile)


def efficiency(returns: Floats) -> float:
    if len(returns) < 10:
        return math.nan
    path = np.abs(returns).sum()
    return float(abs(returns.sum()) / path) if path > 1e-12 else 0.0


def entropy(returns: Floats) -> float:
    if len(returns) < 32:
        return math.nan
    patterns = Counter(tuple(np.argsort(returns[i : i + 3], kind="stable")) for i in range(len(returns) - 2))
    shares = np.array(sorted(patterns.values())) / (len(returns) - 2)
    return float(-(shares * np.log(shares)).sum() / math.log(6))


def expected_range(lag: int) -> float:
    scale = math.gamma((lag - 1) / 2) / (math.sqrt(math.pi) * math.gamma(lag / 2))
    return scale * sum(math.sqrt((lag - i) / i) for i in range(1, lag))


def hurst(returns: Floats) -> float:
    n = len(returns)
    if n < 32:
        return math.nan
    x, y = [], []
    for lag in (8, 16, 32, 64, 128, 256, 512):
        if lag > n / 2:
            break
        blocks = returns[n % lag :].reshape(-1, lag)
        walks = np.cumsum(blocks - blocks.mean(axis=1, keepdims=True), axis=1)
        deviations = blocks.std(axis=1)
        moving = deviations > 1e-12 * np.abs(blocks).max(axis=1)
        if moving.any():
            ratios = (walks.max(axis=1) - walks.min(axis=1))[moving] / deviations[moving]
            x.append(math.log(lag))
            y.append(math.log(ratios.mean()) - math.log(expected_range(lag)))
    if len(x) < 2:
        return 0.5 if np.ptp(returns) == 0 else math.nan
    return float(np.clip(0.5 + np.polyfit(x, y, 1)[0], 0, 1))


def absolute_autocorrelation(returns: Floats) -> float:
    sizes = np.abs(returns)
    if len(sizes) < 3:
        return math.nan
    if np.ptp(sizes) == 0:
        return 0.0
    d = sizes - sizes.mean()
    return max(0.0, float((d[1:] * d[:-1]).sum() / (d**2).sum()))


def ljung_box_p(returns: Floats) -> float:
    from scipy.stats import chi2

    n = len(returns)
    if n < 32 or np.ptp(returns) == 0:
        return math.nan
    d = returns - returns.mean()
    shares = [(d[lag:] @ d[:-lag] / (d @ d)) ** 2 / (n - lag) for lag in range(1, 6)]
    return float(chi2.sf(n * (n + 2) * sum(shares), 5))


FACTORS: dict[str, tuple[int, Callable[[Floats], float]]] = {
    "mean_return": (252, lambda r: float(r.mean())),
    "mean_return_short": (252, lambda r: float(short(r).mean())),
    "deviation": (252, lambda r: float(r.std(ddof=1))),
    "compounded_60": (60, lambda r: float(np.prod(1 + r) - 1)),
    "compounded_60_short": (60, lambda r: float(np.prod(1 + short(r)) - 1)),
    "efficiency": (120, efficiency),
    "entropy": (120, entropy),
    "hurst": (252, hurst),
    "ljung_box_p": (252, ljung_box_p),
    "skew": (252, skew),
    "skew_short": (252, lambda r: skew(short(r))),
    "excess_kurtosis": (252, excess_kurtosis),
    "cvar": (252, expected_shortfall),
    "cvar_short": (252, lambda r: expected_shortfall(short(r))),
    "tail_gain": (252, tail_gain),
    "tail_gain_short": (252, lambda r: tail_gain(short(r))),
    "largest_absolute_return": (252, lambda r: float(np.abs(r).max())),
    "absolute_autocorrelation": (252, absolute_autocorrelation),
    "observation_count": (252, len),
}


def average_directional_index(high: Floats, low: Floats, close: Floats, length: int = 14) -> Floats:
    """Wilder's ADX of one series whose bars all have highs and lows; NaN before it exists."""
    result = np.full(len(close), np.nan)
    ranges, ups, downs, strengths = [], [], [], []
    smooth: list[float] = []
    index = math.nan
    for t in range(1, len(close)):
        ranges.append(max(high[t], close[t - 1]) - min(low[t], close[t - 1]))
        up, down = high[t] - high[t - 1], low[t - 1] - low[t]
        ups.append(up if up > max(down, 0) else 0.0)
        downs.append(down if down > max(up, 0) else 0.0)
        if len(ranges) == length:
            smooth = [float(np.mean(values)) for values in (ranges, ups, downs)]
        elif len(ranges) > length:
            newest = (ranges[-1], ups[-1], downs[-1])
            smooth = [(old * (length - 1) + new) / length for old, new in zip(smooth, newest, strict=True)]
        if smooth and smooth[0] > 0:
            plus, minus = 100 * smooth[1] / smooth[0], 100 * smooth[2] / smooth[0]
            if plus + minus > 0:
                strengths.append(100 * abs(plus - minus) / (plus + minus))
                if len(strengths) == length:
                    index = float(np.mean(strengths))
                elif len(strengths) > length:
                    index = (index * (length - 1) + strengths[-1]) / length
        result[t] = index
    return result


def high_low_spread(high: Floats, low: Floats, close: Floats) -> Floats:
    """The mean Corwin-Schultz spread of the pairs that end in the last 30 bars of one series."""
    found = np.full(len(close), np.nan)
    for t in range(1, len(close)):
        top, bottom = high[t], low[t]
        if bottom > close[t - 1]:
            top, bottom = top - (bottom - close[t - 1]), close[t - 1]
        elif top < close[t - 1]:
            top, bottom = close[t - 1], bottom + (close[t - 1] - top)
        beta = np.log(high[t - 1] / low[t - 1]) ** 2 + np.log(top / bottom) ** 2
        gamma = np.log(max(high[t - 1], top) / min(low[t - 1], bottom)) ** 2
        k = 3 - 2 * np.sqrt(2)
        alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
        found[t] = max(0.0, 2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)))
    result = np.full(len(close), np.nan)
    for t in range(len(close)):
        pairs = found[max(0, t - 29) : t + 1]
        pairs = pairs[~np.isnan(pairs)]
        if len(pairs) >= 20:
            result[t] = pairs.mean()
    return result


def turbulence(returns: Floats) -> float:
    """Detail energy share of three Haar steps, by the means of blocks: what is left of a block of 8 is its mean."""
    n = min(64, len(returns)) // 8 * 8
    blocks = returns[len(returns) - n :].reshape(-1, 8)
    energy = (blocks**2).sum()
    return float(1 - 8 * (blocks.mean(axis=1) ** 2).sum() / energy) if energy > 0 else 0.5


def variance_ratio(returns: Floats, length: int = 5) -> float:
    n, mean = len(returns), returns.mean()
    sums = np.convolve(returns, np.ones(length), "valid")
    scale = length * (n - length + 1) * (1 - length / n)
    return float(((sums - length * mean) ** 2).sum() / scale / returns.var(ddof=1))


def regime(returns: Floats, periods: float) -> dict[str, object]:
    """Score, label and quadrant of the last row of a proxy with at least 32 rows."""
    r = returns[-252:]
    ratio = r[-10:].std(ddof=1) / r.std(ddof=1)
    share = turbulence(r)
    exponent = hurst(r)
    patterns = Counter(tuple(np.argsort(r[-64:][i : i + 3], kind="stable")) for i in range(min(64, len(r)) - 2))
    shares = np.array(sorted(patterns.values())) / sum(patterns.values())
    score = (
        0.35 * ratio
        + 0.25 * share
        + 0.15 * absolute_autocorrelation(r)
        + 0.10 * -(shares * np.log(shares)).sum() / math.log(6)
        + 0.10 * 2 * abs(exponent - 0.5)
        + 0.05 * min(1, abs(variance_ratio(r) - 1))
        + 0.15 * min(1, abs(excess_kurtosis(r)) / 10)
    )
    score *= (0.5 if ratio < 0.2 else 1) * (0.01 if r[-10:].std(ddof=1) < 0.001 else 1)
    score = min(score, 2.5)
    score = min(score, 0.6) if ratio < 0.5 else score
    growth, stress = periods * r.mean(), 0.7 * ratio + 0.6 * share
    limit = max(0.05, 0.25 * r.std(ddof=1) * math.sqrt(periods))
    if abs(growth) <= limit:
        quadrant = "NORMAL"
    elif growth > 0:
        quadrant = "INFLATIONARY_TREND" if stress > 1.49 else "EXPANSION"
    else:
        quadrant = "CRISIS" if stress > 1.49 else "STAGNATION"
    if score >= 1.8 or (quadrant == "CRISIS" and score > 1.5):
        label = "CRISIS"
    elif score < 0.7:
        label = "QUIET"
    else:
        label = "TURBULENT" if score >= 1.4 or share > 0.95 or exponent > 0.65 else "NORMAL"
    return {"score": score, "label": label, "quadrant": quadrant, "growth": growth, "stress": stress}


def capped_weights(liquidity: Floats, cap: float = 0.10) -> Floats:
    """Weights in proportion to liquidity, none above max(cap, 1 / n): found by bisection on the scale."""
    limit = max(cap, 1 / len(liquidity))
    low, high = 0.0, 2.0 / liquidity.min()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(limit, middle * liquidity).sum() < 1 else (low, middle)
    return np.minimum(limit, high * liquidity)


def high_volatility(returns: Floats, iterations: int = 100, tolerance: float = 1e-4) -> tuple[float, float]:
    """Filtered probability of the state of large moves at the last row, and the ratio of the mean moves.

    Forward-backward in logarithms, as Rabiner (1989) writes it; at least 40 rows, none of them equal.
    """
    sizes = np.abs(returns[-252:])
    z = (sizes - sizes.mean()) / sizes.std()
    n = len(z)
    mean, variance = np.quantile(z, [0.25, 0.75]), np.ones(2)
    start, move = np.log([0.5, 0.5]), np.log([[0.9, 0.1], [0.1, 0.9]])

    def forward() -> tuple[Floats, Floats]:
        density = -0.5 * (np.log(2 * math.pi * variance) + (z[:, None] - mean) ** 2 / variance)
        alpha = np.empty((n, 2))
        alpha[0] = start + density[0]
        for i in range(1, n):
            alpha[i] = np.logaddexp.reduce(alpha[i - 1][:, None] + move, axis=0) + density[i]
        return density, alpha

    previous = -math.inf
    for _ in range(iterations):
        density, alpha = forward()
        likelihood = np.logaddexp.reduce(alpha[-1])
        if abs(likelihood - previous) < tolerance * n:
            break
        previous = likelihood
        beta = np.zeros((n, 2))
        for i in range(n - 2, -1, -1):
            beta[i] = np.logaddexp.reduce(move + density[i + 1] + beta[i + 1], axis=1)
        held = np.exp(alpha + beta - likelihood)
        pairs = np.exp(alpha[:-1, :, None] + move + (density + beta)[1:, None, :] - likelihood).sum(axis=0)
        mean = (held * z[:, None]).sum(axis=0) / held.sum(axis=0)
        variance = np.maximum((held * (z[:, None] - mean) ** 2).sum(axis=0) / held.sum(axis=0), 0.01)
        with np.errstate(divide="ignore"):
            start, move = np.log(held[0]), np.log(pairs / pairs.sum(axis=1, keepdims=True))
    alpha = forward()[1][-1]
    high = int(mean[1] >= mean[0])
    moves = sizes.mean() + sizes.std() * mean
    return float(np.exp(alpha - np.logaddexp.reduce(alpha))[high]), float(moves[high] / moves[1 - high])
