"""The regime of a market, point in time: how unquiet its proxy is, and which way it goes.

Row t of every result reads rows up to t of its own series alone. NaN means: not defined there; it adds nothing to the
score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import BadValue
from quantmill.features.factors import (
    Floats,
    Integers,
    hurst_exponents,
    permutation_entropies,
    require_offsets,
)
from quantmill.frames import frozen

HISTORY = 252
RECENT = 10
SPECTRAL = 64
LEAST_ROWS = 20
LEAST_NAMES = 5
WEIGHT_CAP = 0.10
RATIO_LENGTH = 5
LARGEST_SCORE = 2.5

# Thresholds of labels and quadrants; they follow from what pure noise scores, and are never fitted to a history.
CRISIS_SCORE, CONFIRMED_CRISIS_SCORE, TURBULENT_SCORE, QUIET_SCORE = 1.8, 1.5, 1.4, 0.7
TURBULENT_SHARE, TURBULENT_HURST = 0.95, 0.65
STRESS_LIMIT = 1.49

WEIGHTINGS = np.array(["none", "equal", "liquidity"])


@dataclass(frozen=True)
class RegimeWeights:
    """Weights of the sub-scores. Non-negative; without `fat_tail`, which is added on top, they sum to 1."""

    volatility_ratio: float = 0.35
    turbulence: float = 0.25
    clustering: float = 0.15
    entropy: float = 0.10
    hurst: float = 0.10
    stationarity: float = 0.05
    fat_tail: float = 0.15

    def __post_init__(self) -> None:
        """Raise `BadValue` for a negative weight or a sum other than 1."""
        values = vars(self)
        total = sum(value for name, value in values.items() if name != "fat_tail")
        if min(values.values()) < 0 or abs(total - 1.0) > 1e-9:
            raise BadValue(
                f"regime weights {values} sum to {total:g} without fat_tail; non-negative ones with sum 1 were needed",
                remedy="scale them",
            )


def proxy_returns(returns: Floats, liquidity: Floats, offsets: Integers) -> tuple[Floats, NDArray[np.str_]]:
    """Return the return of the market proxy per group (class and session) and its weighting.

    `returns` and `liquidity` (any unit, NaN for none) hold the members of one group after the other, `offsets`
    (groups + 1) where each begins. The mean is weighted by liquidity with at most max(0.10, 1 / n) a member, the excess
    shared out in proportion; members without liquidity are left out then. Fewer than five members with liquidity make
    it the plain mean of all (`equal`), fewer than five members NaN (`none`).
    """
    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns of the proxy's members")
    means = np.empty(len(offsets) - 1)
    basis = np.empty(len(offsets) - 1, dtype=np.int64)
    _kernels.capped_means(frozen(returns), frozen(liquidity), frozen(offsets), LEAST_NAMES, WEIGHT_CAP, means, basis)
    return means, WEIGHTINGS[basis]


def haar_shares(returns: Floats, offsets: Integers, *, window: int = SPECTRAL) -> Floats:
    """Return the share of the energy of the last `window` rows in the details of three Haar steps, in [0, 1].

    Fewer rows are cut to a multiple of eight, the oldest left out; 0.5 without eight rows or without energy.
    """
    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns")
    result = np.empty(len(returns))
    _kernels.haar_turbulence(frozen(returns), frozen(offsets), window, result)
    return result


def regime_rows(
    returns: Floats,
    offsets: Integers,
    periods_per_year: Floats,
    *,
    weights: RegimeWeights = RegimeWeights(),
) -> dict[str, NDArray[np.generic]]:
    """Return label, quadrant, score and everything they rest on, by name, one value per row of the proxy's `returns`.

    `offsets` (series + 1) says where each class begins, `periods_per_year` (rows) what its means and volatilities are
    annualised with. Read are the last 252 rows, or all there are:

    - `volatility_ratio` deviation of the last 10 over that of all, at most sqrt((n - 1) / 9);
    - `turbulence` share of the energy of the last 64 in three Haar details, 0.5 where degenerate;
    - `clustering` lag-1 autocorrelation of |r|, at least 0; `entropy` order-3 permutation entropy of the last 64;
    - `hurst` corrected Hurst exponent (NaN below 32 rows), scored as 2 |H - 0.5|;
    - `stationarity` min(1, |VR(5) - 1|), the variance ratio of Lo and MacKinlay (1988);
    - `fat_tail` min(1, |excess kurtosis| / 10).

    `score` is their weighted sum, halved where the volatility ratio is below 0.2, a hundredth of it where the last 10
    deviate by less than 0.001, at most 2.5, and at most 0.6 where the ratio is below 0.5. `growth` is the annual mean,
    `stress` 0.7 volatility ratio + 0.6 turbulence. Below 20 rows nothing is judged: NORMAL, score 1, STAGNATION with
    growth and stress 0. `observation_count` says how many rows were read.
    """
    from quantmill.features import _kernels

    require_offsets(returns, offsets, name="returns of the proxy")
    count = len(returns)
    flat, places = frozen(returns), frozen(offsets)
    whole, recent = np.empty((count, 9)), np.empty((count, 9))
    turbulence, ratio = haar_shares(returns, offsets), np.empty(count)
    everything = frozen(np.ones(count, dtype=bool))
    _kernels.moments(flat, places, everything, HISTORY, whole)
    _kernels.moments(flat, places, everything, RECENT, recent)
    _kernels.variance_ratio(flat, places, HISTORY, RATIO_LENGTH, ratio)
    entropy = permutation_entropies(returns, offsets, window=SPECTRAL, least=LEAST_ROWS)
    hurst = hurst_exponents(returns, offsets, window=HISTORY)
    deviation, recent_deviation = whole[:, 1], recent[:, 1]

    # a market in which nothing moves is as quiet as its past
    volatility_ratio = np.ones(count)
    is_moving = deviation > _kernels.ROUNDING * whole[:, 6]
    np.divide(recent_deviation, deviation, out=volatility_ratio, where=is_moving)
    clustering = whole[:, 7]
    stationarity = np.minimum(1.0, np.abs(ratio - 1.0))
    fat_tail = np.minimum(1.0, np.abs(whole[:, 3]) / 10.0)
    parts = {
        "volatility_ratio": volatility_ratio,
        "turbulence": turbulence,
        "clustering": clustering,
        "entropy": entropy,
        "hurst": 2.0 * np.abs(hurst - 0.5),
        "stationarity": stationarity,
        "fat_tail": fat_tail,
    }
    score = np.zeros(count)
    for name, part in parts.items():
        score += getattr(weights, name) * np.nan_to_num(part, nan=0.0)
    score = np.where(volatility_ratio < 0.2, score * 0.5, score)
    score = np.where(recent_deviation < 0.001, score * 0.01, score)
    score = np.minimum(score, LARGEST_SCORE)
    score = np.where(volatility_ratio < 0.5, np.minimum(score, 0.6), score)

    growth = periods_per_year * whole[:, 0]
    stress = 0.7 * volatility_ratio + 0.6 * turbulence
    observations = whole[:, 8]
    is_short = observations < LEAST_ROWS
    quadrant = _quadrants(growth, stress, deviation * np.sqrt(periods_per_year))
    label = np.select(
        [
            (score >= CRISIS_SCORE) | ((quadrant == "CRISIS") & (score > CONFIRMED_CRISIS_SCORE)),
            score < QUIET_SCORE,
            (score >= TURBULENT_SCORE) | (turbulence > TURBULENT_SHARE) | (hurst > TURBULENT_HURST),
        ],
        ["CRISIS", "QUIET", "TURBULENT"],
        "NORMAL",
    )
    return {
        "score": np.where(is_short, 1.0, score),
        "label": np.where(is_short, "NORMAL", label),
        "quadrant": np.where(is_short, "STAGNATION", quadrant),
        "volatility_ratio": np.where(is_short, np.nan, volatility_ratio),
        "turbulence": np.where(is_short, np.nan, turbulence),
        "clustering": np.where(is_short, np.nan, clustering),
        "entropy": entropy,
        "hurst": hurst,
        "stationarity": np.where(is_short, np.nan, stationarity),
        "fat_tail": np.where(is_short, np.nan, fat_tail),
        "growth": np.where(is_short, 0.0, growth),
        "stress": np.where(is_short, 0.0, stress),
        "observation_count": observations,
    }


def _quadrants(growth: Floats, stress: Floats, volatility: Floats) -> NDArray[np.str_]:
    """Growth beyond max(0.05, a quarter of the annual volatility) up or down, under stress above 1.49 or not."""
    limit = np.maximum(0.05, 0.25 * volatility)
    is_high = stress > STRESS_LIMIT
    return np.select(
        [
            (growth > limit) & ~is_high,
            (growth > limit) & is_high,
            (growth < -limit) & ~is_high,
            (growth < -limit) & is_high,
        ],
        ["EXPANSION", "INFLATIONARY_TREND", "STAGNATION", "CRISIS"],
        "NORMAL",
    )


def window_weightings(weighting: NDArray[np.str_], offsets: Integers, *, window: int = HISTORY) -> NDArray[np.str_]:
    """Return how the rows that each row reads were weighted: `equal`, `liquidity`, or `mixed` where both occur."""
    total = np.concatenate([[0], np.cumsum(weighting == "liquidity")])
    places = np.arange(len(weighting))
    first = np.repeat(offsets[:-1], np.diff(offsets))
    start = np.maximum(first, places - window + 1)
    liquid = total[places + 1] - total[start]
    return np.select([liquid == 0, liquid == places + 1 - start], ["equal", "liquidity"], "mixed")
