"""The regime of a market, point in time: how unquiet its proxy is, and which way it goes.

Row t of every result reads rows up to t of its own series alone. NaN means: not defined there; it adds nothing to the
score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
STATE_ROWS, STATE_ITERATIONS, STATE_TOLERANCE = 40, 100, 1e-4
STATE_PROBABILITY, STATE_RATIO = 0.5, 2.0
QUANTILE_ROWS = 252
QUIET_QUANTILE, TURBULENT_QUANTILE, CRISIS_QUANTILE = 0.20, 0.80, 0.95

# Thresholds of labels and quadrants; they follow from what pure noise scores, and are never fitted to a history.
CRISIS_SCORE, CONFIRMED_CRISIS_SCORE, TURBULENT_SCORE, QUIET_SCORE = 1.8, 1.5, 1.4, 0.7
TURBULENT_SHARE, TURBULENT_HURST = 0.95, 0.65
STRESS_LIMIT = 1.49
CONFIRMED_SHARE = (CONFIRMED_CRISIS_SCORE - TURBULENT_SCORE) / (CRISIS_SCORE - TURBULENT_SCORE)

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


@dataclass(frozen=True)
class RegimeParts:
    """What a score is made of, one value per row of the proxy's returns; NaN where not defined.

    `scored` holds the sub-scores by the names of `RegimeWeights`; `mean` and `deviation` are those of the last 252
    rows, `recent_deviation` that of the last 10, `observations` how many rows were read.
    """

    scored: dict[str, Floats]
    hurst: Floats
    mean: Floats
    deviation: Floats
    recent_deviation: Floats
    observations: Floats


def regime_parts(returns: Floats, offsets: Integers) -> RegimeParts:
    """Return the sub-scores of every row of the proxy's `returns`; `offsets` (series + 1): where each series begins.

    Read are the last 252 rows, or all there are:

    - `volatility_ratio` deviation of the last 10 over that of all, at most sqrt((n - 1) / 9);
    - `turbulence` share of the energy of the last 64 in three Haar details, 0.5 where degenerate;
    - `clustering` lag-1 autocorrelation of |r|, at least 0; `entropy` order-3 permutation entropy of the last 64;
    - `hurst` 2 |H - 0.5| of the corrected Hurst exponent (NaN below 32 rows);
    - `stationarity` min(1, |VR(5) - 1|), the variance ratio of Lo and MacKinlay (1988);
    - `fat_tail` min(1, |excess kurtosis| / 10).
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
    hurst = hurst_exponents(returns, offsets, window=HISTORY)
    deviation, recent_deviation = whole[:, 1], recent[:, 1]

    # a market in which nothing moves is as quiet as its past
    volatility_ratio = np.ones(count)
    is_moving = deviation > _kernels.ROUNDING * whole[:, 6]
    np.divide(recent_deviation, deviation, out=volatility_ratio, where=is_moving)
    return RegimeParts(
        scored={
            "volatility_ratio": volatility_ratio,
            "turbulence": turbulence,
            "clustering": whole[:, 7],
            "entropy": permutation_entropies(returns, offsets, window=SPECTRAL, least=LEAST_ROWS),
            "hurst": 2.0 * np.abs(hurst - 0.5),
            "stationarity": np.minimum(1.0, np.abs(ratio - 1.0)),
            "fat_tail": np.minimum(1.0, np.abs(whole[:, 3]) / 10.0),
        },
        hurst=hurst,
        mean=whole[:, 0],
        deviation=deviation,
        recent_deviation=recent_deviation,
        observations=whole[:, 8],
    )


def regime_scores(parts: RegimeParts, weights: Mapping[str, Floats | float]) -> Floats:
    """Return the score of every row: the weighted sum of its sub-scores, damped and capped.

    `weights` has one number, or one per row, by sub-score. Halved where the volatility ratio is below 0.2, a hundredth
    of it where the last 10 rows deviate by less than 0.001, at most 2.5, at most 0.6 where the ratio is below 0.5. A
    sub-score that is NaN adds nothing.
    """
    score = np.zeros(len(parts.mean))
    for name, part in parts.scored.items():
        score += weights[name] * np.nan_to_num(part, nan=0.0)
    volatility_ratio = parts.scored["volatility_ratio"]
    score = np.where(volatility_ratio < 0.2, score * 0.5, score)
    score = np.where(parts.recent_deviation < 0.001, score * 0.01, score)
    score = np.minimum(score, LARGEST_SCORE)
    return np.where(volatility_ratio < 0.5, np.minimum(score, 0.6), score)


def volatility_states(returns: Floats, offsets: Integers) -> tuple[Floats, NDArray[np.str_]]:
    """Return the filtered probability of high volatility of every row, and its state: HIGH_VOL, LOW_VOL, or an empty
    text where there is none.

    A hidden Markov model with two Gaussian states is fitted to the standardised size of the last 252 returns (at least
    40) by expectation maximisation from their quartiles, until the mean log-likelihood changes by less than 1e-4, or
    100 times. HIGH_VOL needs a probability above 0.5 and moves at least twice as large as in the other state. NaN where
    too few rows stand, nothing moves, or a state holds less than one row. Half of pure noise is HIGH_VOL at some time:
    a state confirms a crisis and never makes one.
    """
    from quantmill.features import _hidden_states

    require_offsets(returns, offsets, name="returns of the proxy")
    probability, ratio = np.empty(len(returns)), np.empty(len(returns))
    firsts = np.repeat(offsets[:-1], np.diff(offsets)).astype(np.int64)
    _hidden_states.high_volatility(
        frozen(returns), frozen(firsts), HISTORY, STATE_ROWS, STATE_ITERATIONS, STATE_TOLERANCE, probability, ratio
    )
    is_high = (probability > STATE_PROBABILITY) & (ratio >= STATE_RATIO)
    return probability, np.select([np.isnan(probability), is_high], ["", "HIGH_VOL"], "LOW_VOL")


def regime_rows(
    returns: Floats,
    offsets: Integers,
    periods_per_year: Floats,
    *,
    states: NDArray[np.str_] | None = None,
    weights: Sequence[RegimeWeights] | None = None,
) -> dict[str, NDArray[np.generic]]:
    """Return label, quadrant, score and everything they rest on, by name, one value per row of the proxy's `returns`.

    `offsets` (series + 1) says where each class begins, `periods_per_year` (rows) what its means and volatilities are
    annualised with, `states` (rows) the states of `volatility_states` (None: none is known), `weights` (series) how the
    sub-scores count (None: as `RegimeWeights` has them).

    The sub-scores are those of `regime_parts`, `hurst` the exponent itself, `score` that of `regime_scores`, `growth`
    the annual mean, `stress` 0.7 volatility ratio + 0.6 turbulence. `label` compares the score with fixed limits,
    `quantile_label` with `quiet_limit`, `turbulent_limit` and `crisis_limit`: the 20 %, 80 % and 95 % quantiles of the
    scores of its series up to the row, NaN before there are 252 of them, when both labels are one. A high volatility or
    a quadrant of crisis confirms a score a quarter of the way from turbulent to crisis. Below 20 rows nothing is
    judged: NORMAL, score 1, STAGNATION with growth and stress 0, and the score is no part of any quantile.
    `observation_count` says how many rows were read.
    """
    from quantmill.features import _kernels

    parts = regime_parts(returns, offsets)
    series_weights = weights or [RegimeWeights()] * (len(offsets) - 1)
    lengths = np.diff(offsets)
    score = regime_scores(
        parts,
        {name: np.repeat([getattr(one, name) for one in series_weights], lengths) for name in parts.scored},
    )
    volatility_ratio, turbulence = parts.scored["volatility_ratio"], parts.scored["turbulence"]
    growth = periods_per_year * parts.mean
    stress = 0.7 * volatility_ratio + 0.6 * turbulence
    is_short = parts.observations < LEAST_ROWS
    quadrant = _quadrants(growth, stress, parts.deviation * np.sqrt(periods_per_year))

    limits = np.empty((len(score), 3))
    shares = frozen(np.array([QUIET_QUANTILE, TURBULENT_QUANTILE, CRISIS_QUANTILE]))
    _kernels.expanding_quantiles(
        frozen(np.where(is_short, np.nan, score)), frozen(offsets), QUANTILE_ROWS, shares, limits
    )
    is_unquiet = (turbulence > TURBULENT_SHARE) | (parts.hurst > TURBULENT_HURST)
    is_confirmed = quadrant == "CRISIS"
    if states is not None:
        is_confirmed |= states == "HIGH_VOL"

    def labels(quiet: Floats | float, turbulent: Floats | float, confirmed: Floats | float, crisis: Floats | float):  # type: ignore[no-untyped-def]
        return np.select(
            [
                is_short,
                (score >= crisis) | (is_confirmed & (score > confirmed)),
                score < quiet,
                (score >= turbulent) | is_unquiet,
            ],
            ["NORMAL", "CRISIS", "QUIET", "TURBULENT"],
            "NORMAL",
        )

    label = labels(QUIET_SCORE, TURBULENT_SCORE, CONFIRMED_CRISIS_SCORE, CRISIS_SCORE)
    quiet, turbulent, crisis = limits.T
    by_quantile = labels(quiet, turbulent, turbulent + CONFIRMED_SHARE * (crisis - turbulent), crisis)
    measured = {name: np.where(is_short, np.nan, part) for name, part in parts.scored.items()}
    return {
        "score": np.where(is_short, 1.0, score),
        "label": label,
        "quantile_label": np.where(np.isnan(crisis), label, by_quantile),
        "quadrant": np.where(is_short, "STAGNATION", quadrant),
        **measured,
        "entropy": parts.scored["entropy"],
        "hurst": parts.hurst,
        "quiet_limit": quiet,
        "turbulent_limit": turbulent,
        "crisis_limit": crisis,
        "growth": np.where(is_short, 0.0, growth),
        "stress": np.where(is_short, 0.0, stress),
        "observation_count": parts.observations,
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
