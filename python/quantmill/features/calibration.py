"""How the sub-scores of a regime should be weighed, judged by the volatility that followed; never by a strategy.

A weighting is good where its score foretells in which third of its training history the volatility of the next sessions
will lie. It is judged by the logarithmic score (Good, 1952), a proper scoring rule: the mean logarithm of the
probability that was given to what came. Weights are chosen inside each training span and judged on the span after it,
so the reported figures are out of sample (nested walk-forward).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError
from quantmill.features.factors import Floats
from quantmill.features.regimes import LEAST_ROWS, RegimeParts, RegimeWeights, regime_parts, regime_scores

LARGEST_FAT_TAIL = 0.30


@dataclass(frozen=True)
class CalibrationRules:
    """Lengths in sessions: the volatility of the next `horizon`, at least `first_train` before the first test, tests of
    `test`, `inner_tests` of them inside each training span; `bins` of the score, `buckets` of volatility, `points`
    weightings tried beside the ones in force, drawn with `seed`.
    """

    horizon: int = 20
    first_train: int = 756
    test: int = 252
    inner_tests: int = 3
    bins: int = 5
    buckets: int = 3
    points: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Fold:
    """One outer span: rows [train_start, train_end) chose `weights`, rows [test_start, test_end) judged them.

    The three scores are mean logarithms of probabilities over the test rows, in nats; 0 is perfect, -ln 3 says
    nothing. `climate_score` gives every row the frequencies of the training span. `best_inner_score` and
    `inner_error` are the best mean over the inner tests and its standard error.
    """

    train_start: int
    train_end: int
    test_start: int
    test_end: int
    weights: RegimeWeights
    best_inner_score: float
    inner_error: float
    chosen_score: float
    present_score: float
    climate_score: float


@dataclass(frozen=True)
class Study:
    """The nested study: its `folds`, and the `proposal` of the same choice over all rows up to `rows`."""

    folds: tuple[Fold, ...]
    proposal: RegimeWeights
    rows: int
    present: RegimeWeights

    def mean_score(self, name: str) -> float:
        """Return the mean over all test rows of the score `name` of the folds; every fold tests as many."""
        return float(np.mean([getattr(fold, name) for fold in self.folds]))

    @property
    def is_better(self) -> bool:
        """Whether the chosen weights foretold better than those in force, over all test rows together."""
        return self.mean_score("chosen_score") > self.mean_score("present_score")


def candidate_weights(present: RegimeWeights, *, points: int, seed: int) -> list[RegimeWeights]:
    """Return `present` and `points` quasi-random weightings (scrambled Halton points, spread evenly over the simplex).

    The adder for fat tails is even between 0 and 0.3.
    """
    from scipy.stats import qmc

    names = [one.name for one in fields(RegimeWeights)]
    shared = [name for name in names if name != "fat_tail"]
    draws = qmc.Halton(len(shared) + 1, seed=np.random.default_rng(seed)).random(points)
    # exponentials over their sum are uniform on the simplex (Devroye, 1986)
    sizes = -np.log(np.clip(draws[:, :-1], 1e-12, 1 - 1e-12))
    simplex = sizes / sizes.sum(axis=1, keepdims=True)
    found = [present]
    for row, adder in zip(simplex, draws[:, -1] * LARGEST_FAT_TAIL, strict=True):
        values = dict(zip(shared, (float(value) for value in row), strict=True))
        found.append(RegimeWeights(**values, fat_tail=float(adder)))
    return found


def calibrate(returns: Floats, *, present: RegimeWeights, rules: CalibrationRules) -> Study:
    """Return the nested walk-forward study of the weights of one market, from the `returns` (n,) of its proxy.

    Every choice takes, among the weightings whose mean score over the inner tests is within one standard error of the
    best, the one nearest to `present`. A row is trained on only if the volatility that followed it was known when its
    span ended; rows at whose end no `horizon` sessions follow are not used.

    Raises `DataContractError` where `returns` are not finite or too few for one test span.
    """
    if not np.isfinite(returns).all():
        raise DataContractError(
            "the returns of the proxy hold a value that is not finite", remedy="rebuild features.market_regimes"
        )
    usable = len(returns) - rules.horizon
    needed = rules.first_train + rules.horizon + rules.test
    if usable < needed:
        raise DataContractError(
            f"the proxy has {len(returns)} returns; a nested study needs {needed + rules.horizon}: {rules.first_train}"
            f" to train on first, {rules.test} to test on, {rules.horizon} after each",
            remedy="land more history, or choose another asset class",
        )
    parts = regime_parts(returns, np.array([0, len(returns)]))
    tried = candidate_weights(present, points=rules.points, seed=rules.seed)
    scores = np.array([_scores(parts, weights) for weights in tried])
    following = _following_volatility(returns, rules.horizon)
    folds = []
    for start in range(rules.first_train + rules.horizon, usable - rules.test + 1, rules.test):
        train = slice(LEAST_ROWS - 1, start - rules.horizon)
        test = slice(start, start + rules.test)
        choice, best, error = _choose(scores, following, train, tried, rules)
        folds.append(
            Fold(
                train_start=train.start,
                train_end=train.stop,
                test_start=test.start,
                test_end=test.stop,
                weights=tried[choice],
                best_inner_score=best,
                inner_error=error,
                chosen_score=_log_score(scores[choice], following, train, test, rules),
                present_score=_log_score(scores[0], following, train, test, rules),
                climate_score=_log_score(np.zeros(len(returns)), following, train, test, rules),
            )
        )
    choice, _, _ = _choose(scores, following, slice(LEAST_ROWS - 1, usable), tried, rules)
    return Study(folds=tuple(folds), proposal=tried[choice], rows=usable, present=present)


def _scores(parts: RegimeParts, weights: RegimeWeights) -> Floats:
    return regime_scores(parts, vars(weights))


def _following_volatility(returns: Floats, horizon: int) -> Floats:
    """Deviation of the `horizon` returns after each row; NaN where fewer follow."""
    found = np.full(len(returns), np.nan)
    after = np.lib.stride_tricks.sliding_window_view(returns[1:], horizon)
    found[: len(after)] = after.std(axis=1, ddof=1)
    return found


def _choose(
    scores: Floats, following: Floats, train: slice, tried: Sequence[RegimeWeights], rules: CalibrationRules
) -> tuple[int, float, float]:
    """Return which weighting the rows of `train` choose, the best mean of its inner tests, and its standard error."""
    spans = _inner_spans(train, rules)
    found = np.array([[_log_score(one, following, *span, rules) for span in spans] for one in scores])
    means = found.mean(axis=1)
    best = int(means.argmax())
    error = float(found[best].std(ddof=1) / math.sqrt(len(spans)))
    distance = np.array([_distance(one, tried[0]) for one in tried])
    close = np.flatnonzero(means >= means[best] - error)
    return int(close[distance[close].argmin()]), float(means[best]), error


def _inner_spans(train: slice, rules: CalibrationRules) -> list[tuple[slice, slice]]:
    """Return training and test rows of each inner test; the second half of `train` is tested in equal parts."""
    middle = (train.start + train.stop) // 2
    edges = np.linspace(middle, train.stop, rules.inner_tests + 1).astype(int)
    return [
        (slice(train.start, int(first) - rules.horizon), slice(int(first), int(last)))
        for first, last in pairwise(edges)
    ]


def _log_score(score: Floats, following: Floats, train: slice, test: slice, rules: CalibrationRules) -> float:
    """Mean logarithm of the probability given to the bucket of volatility that followed each row of `test`.

    Bins of the score and buckets of volatility are quantiles of the rows of `train`; a probability is the frequency of
    the bucket in the bin, with one row added to each.
    """
    bins = np.quantile(score[train], np.arange(1, rules.bins) / rules.bins)
    edges = np.quantile(following[train], np.arange(1, rules.buckets) / rules.buckets)
    counts: NDArray[np.float64] = np.ones((rules.bins, rules.buckets))
    np.add.at(counts, (np.searchsorted(bins, score[train]), np.searchsorted(edges, following[train])), 1.0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    given = shares[np.searchsorted(bins, score[test]), np.searchsorted(edges, following[test])]
    return float(np.log(given).mean())


def _distance(one: RegimeWeights, other: RegimeWeights) -> float:
    return math.dist(tuple(vars(one).values()), tuple(vars(other).values()))
