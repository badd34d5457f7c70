"""The study of regime weights: nested, out of sample, judged by the volatility that followed."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from quantmill.errors import DataContractError
from quantmill.features.calibration import CalibrationRules, calibrate, candidate_weights
from quantmill.features.regimes import RegimeWeights, regime_parts, regime_scores

Floats = NDArray[np.float64]
RULES = CalibrationRules(points=24)
PRESENT = RegimeWeights()


def clustered(seed: int, length: int = 1900) -> Floats:
    """Returns whose volatility wanders slowly, so that its past foretells its future."""
    rng = np.random.default_rng(seed)
    level = np.zeros(length)
    for t in range(1, length):
        level[t] = 0.98 * level[t - 1] + rng.normal(0, 0.15)
    return rng.normal(0, 0.01, length) * np.exp(level)


def test_weightings_are_spread_over_the_simplex_and_begin_with_those_in_force() -> None:
    present = RegimeWeights()
    found = candidate_weights(present, points=100, seed=0)
    assert (len(found), found[0]) == (101, present)
    values = np.array([[getattr(one, field.name) for field in fields(RegimeWeights)] for one in found[1:]])
    assert values[:, :6].mean(axis=0) == pytest.approx(1 / 6, abs=0.03)
    assert 0.0 <= values[:, 6].min() < 0.03
    assert 0.27 < values[:, 6].max() <= 0.30
    assert found == candidate_weights(present, points=100, seed=0)
    assert found[1:] != candidate_weights(present, points=100, seed=1)[1:]


def test_choices_do_not_see_what_follows_their_training_span() -> None:
    returns = clustered(1)
    first = calibrate(returns, present=PRESENT, rules=RULES)
    changed = returns.copy()
    test_start = first.folds[1].test_start
    changed[test_start:] *= np.random.default_rng(2).uniform(0.1, 10, len(returns) - test_start)
    second = calibrate(changed, present=PRESENT, rules=RULES)
    assert [fold.weights for fold in first.folds[:2]] == [fold.weights for fold in second.folds[:2]]
    assert first.folds[0].best_inner_score == second.folds[0].best_inner_score
    assert first.folds[1].chosen_score != second.folds[1].chosen_score


def test_the_volatility_after_the_last_training_row_was_known_before_the_test() -> None:
    study = calibrate(clustered(1), present=PRESENT, rules=RULES)
    assert all(fold.test_start - (fold.train_end - 1) > RULES.horizon for fold in study.folds)
    spans = [(fold.test_start, fold.test_end) for fold in study.folds]
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_scores_are_those_of_a_second_reckoning() -> None:
    returns = clustered(3)
    fold = calibrate(returns, present=PRESENT, rules=RULES).folds[-1]
    parts = regime_parts(returns, np.array([0, len(returns)]))
    for weights, expected in ((fold.weights, fold.chosen_score), (RegimeWeights(), fold.present_score)):
        score = regime_scores(parts, vars(weights))
        rows = range(fold.train_start, fold.train_end)
        ahead = {t: returns[t + 1 : t + 21].std(ddof=1) for t in (*rows, *range(fold.test_start, fold.test_end))}
        bins = np.quantile([score[t] for t in rows], [0.2, 0.4, 0.6, 0.8])
        edges = np.quantile([ahead[t] for t in rows], [1 / 3, 2 / 3])
        seen: dict[tuple[int, int], int] = {}
        for t in rows:
            place = (int((score[t] > bins).sum()), int((ahead[t] > edges).sum()))
            seen[place] = seen.get(place, 0) + 1
        total = 0.0
        for t in range(fold.test_start, fold.test_end):
            own, came = int((score[t] > bins).sum()), int((ahead[t] > edges).sum())
            held = sum(seen.get((own, bucket), 0) for bucket in range(3))
            total += math.log((seen.get((own, came), 0) + 1) / (held + 3))
        assert expected == pytest.approx(total / (fold.test_end - fold.test_start), rel=1e-12)


def test_the_nearest_weights_within_one_standard_error_are_proposed() -> None:
    """On noise nothing foretells anything. The best alone would keep the weights in force in one market of 25."""
    kept = [
        calibrate(np.random.default_rng(seed).normal(0, 0.01, 1100), present=PRESENT, rules=RULES).proposal
        for seed in range(12)
    ]
    assert sum(one == RegimeWeights() for one in kept) >= 3


def test_a_market_without_enough_history_is_an_error() -> None:
    with pytest.raises(DataContractError, match="has 1000 returns; a nested study needs 1048"):
        calibrate(np.random.default_rng(0).normal(0, 0.01, 1000), present=PRESENT, rules=RULES)
    with pytest.raises(DataContractError, match="not finite"):
        calibrate(np.append(clustered(0), np.nan), present=PRESENT, rules=RULES)
