"""What the caps allow, and the weights of the profiles among it."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.allocation.engines.contract import Request, shared_covariance
from quantmill.allocation.engines.custom import minimum_variance_program
from quantmill.allocation.estimators import Moments
from quantmill.allocation.feasible import equal_weights, feasible_set, inverse_volatility_weights
from quantmill.allocation.quadratic import solve
from quantmill.errors import DataContractError


def moments(covariance, fragility=None):
    covariance = np.asarray(covariance, dtype=float)
    count = len(covariance)
    return Moments(
        covariance=covariance,
        mean_variance=float(np.trace(covariance)) / count,
        mean=np.zeros(count),
        tail_loss=np.full(count, 0.02),
        fragility=np.ones(count) if fragility is None else np.asarray(fragility),
        smallest_eigenvalue=0.1,
        largest_eigenvalue=2.0,
        intensity=0.0,
    )


def caps(count, cap, *, policy="relax", asset_cap=1.0, exposure=None):
    return feasible_set(count, cap=cap, asset_cap=asset_cap, policy=policy, exposure=exposure)


def min_variance(which, feasible, *, epsilon=0.0, variance_floor=0.0, gamma=0.0, **terms):
    request = Request(
        profile="min_variance",
        covariance=shared_covariance(which, epsilon, variance_floor),
        mean_variance=which.mean_variance,
        mean=which.mean,
        streams=np.empty((len(which.mean), 0)),
        fragility=which.fragility,
        feasible=feasible,
        periods_per_year=252,
        gamma=gamma,
        fragility_weight=terms.get("fragility_weight", 0.0),
        risk_free_annual=0.0,
        turnover_price=terms.get("turnover_price", 0.0),
        previous=terms.get("previous"),
        hrp_variant="product",
    )
    found = solve(minimum_variance_program(request))
    assert found.weights is not None
    return found.weights


DIAGONAL = moments(np.diag(np.square([0.1, 0.2, 0.2, 0.3, 0.3])))


def random_moments(count=8, seed=0):
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(60, count)) * rng.uniform(0.05, 0.4, count) + rng.normal(0, 0.1, (60, 1))
    return moments(np.cov(returns.T), rng.uniform(0.5, 1.5, count))


def test_a_cap_that_holds_the_budget_is_kept():
    found = caps(5, 0.25)
    assert (found.budget, found.cap, found.is_cap_relaxed, found.point) == (1.0, 0.25, False, None)


@pytest.mark.parametrize(
    ("policy", "budget", "cap", "relaxed"), [("relax", 1.0, 1 / 3, True), ("cash", 0.75, 0.25, False)]
)
def test_a_cap_that_cannot_hold_the_budget_follows_its_policy(policy, budget, cap, relaxed):
    found = caps(3, 0.25, policy=policy)
    assert (found.budget, found.cap, found.is_cap_relaxed) == (budget, cap, relaxed)
    np.testing.assert_allclose(found.point, [budget / 3] * 3)
    np.testing.assert_array_equal(equal_weights(found, 3), found.point)


def test_the_policy_fail_refuses_with_the_numbers():
    assert caps(3, 0.25, policy="fail").refusal == "CAP_INFEASIBLE: 3 clusters of at most 0.25 hold 0.75 of 1"
    assert caps(4, 0.25, policy="fail").refusal == ""


def test_caps_that_sum_to_one_leave_one_point_and_relax_nothing():
    found = caps(4, 0.25)
    assert not found.is_cap_relaxed
    np.testing.assert_array_equal(found.point, [0.25] * 4)


@pytest.mark.parametrize(
    ("count", "policy", "expected"), [(1, "relax", [1.0]), (1, "cash", [0.25]), (2, "relax", [0.5, 0.5])]
)
def test_one_and_two_clusters(count, policy, expected):
    np.testing.assert_array_equal(caps(count, 0.25, policy=policy).point, expected)


# Clusters 0 and 1 hold the same symbol; each of the others has its own.
SHARED = np.vstack([[1.0, 1, 0, 0, 0, 0], np.eye(6)[2:]])


def test_a_symbol_in_two_clusters_is_capped_across_them():
    found = caps(6, 0.25, asset_cap=0.25, exposure=SHARED)
    weights = equal_weights(found, 6)
    np.testing.assert_allclose(weights, [0.125, 0.125, 0.1875, 0.1875, 0.1875, 0.1875], atol=1e-8)
    which = moments(np.diag(np.square([0.1, 0.1, 0.3, 0.3, 0.3, 0.3])))
    solved = min_variance(which, found)
    np.testing.assert_allclose(solved[:2].sum(), 0.25, atol=2e-9)
    np.testing.assert_allclose(solved[2:], 0.1875, atol=1e-8)


def test_netting_of_long_and_short_leaves_room_for_both():
    exposure = np.array([[1.0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    found = caps(4, 0.5, asset_cap=0.5, exposure=exposure)
    assert not found.is_asset_cap_relaxed
    assert found.rows is None


def test_an_asset_cap_that_cannot_hold_is_relaxed_to_the_smallest_that_can():
    # Two symbols in four clusters of at most 0.3: one symbol must carry half of the book.
    exposure = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1.0]])
    relaxed = caps(4, 0.3, asset_cap=0.25, exposure=exposure)
    assert relaxed.is_asset_cap_relaxed
    np.testing.assert_allclose(relaxed.asset_cap, 0.5, atol=1e-9)
    np.testing.assert_allclose(equal_weights(relaxed, 4), 0.25, atol=1e-8)
    cash = caps(4, 0.3, asset_cap=0.25, exposure=exposure, policy="cash")
    np.testing.assert_allclose(cash.budget, 0.5, atol=1e-9)
    np.testing.assert_allclose(equal_weights(cash, 4).sum(), 0.5, atol=1e-9)
    assert "a symbol needs 0.5 where 0.25" in caps(4, 0.3, asset_cap=0.25, exposure=exposure, policy="fail").refusal


def test_where_the_caps_leave_one_point_the_asset_cap_follows_it():
    exposure = np.array([[1.0, 1.0]])
    relaxed = caps(2, 0.25, asset_cap=0.25, exposure=exposure)
    assert relaxed.is_cap_relaxed
    assert relaxed.asset_cap == 1.0
    cash = caps(2, 0.25, asset_cap=0.25, exposure=exposure, policy="cash")
    np.testing.assert_allclose(cash.budget, 0.25, atol=1e-12)
    np.testing.assert_allclose(equal_weights(cash, 2), 0.125, atol=1e-8)


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (0.25, (0.25, 0.25, 0.25, 0.125, 0.125)),
        (1.0, (0.5806451613, 0.1451612903, 0.1451612903, 0.0645161290, 0.0645161290)),
    ],
)
def test_min_variance_of_independent_clusters(cap, expected):
    np.testing.assert_allclose(min_variance(DIAGONAL, caps(5, cap)), expected, atol=1e-9)


def test_the_ridge_adds_a_share_of_the_mean_variance():
    variances = np.square([0.1, 0.2, 0.2, 0.3, 0.3])
    loaded = 1 / (variances + 0.1 * variances.mean())
    found = min_variance(DIAGONAL, caps(5, 1.0), gamma=0.06, variance_floor=0.04)
    np.testing.assert_allclose(found, loaded / loaded.sum(), atol=1e-9)


def test_inverse_volatility_is_capped_by_relative_entropy():
    raw = 1 / np.array([0.1, 0.2, 0.2, 0.3, 0.3])
    np.testing.assert_allclose(inverse_volatility_weights(caps(5, 1.0), DIAGONAL), raw / raw.sum(), rtol=1e-12)
    expected = np.r_[0.25, 0.75 * raw[1:] / raw[1:].sum()]
    np.testing.assert_allclose(inverse_volatility_weights(caps(5, 0.25), DIAGONAL), expected, rtol=1e-12)
    with pytest.raises(DataContractError, match="no finite positive volatility"):
        inverse_volatility_weights(caps(5, 0.25), moments(np.diag([0.0, 1, 1, 1, 1])))


def test_scaling_returns_changes_no_weight():
    which = random_moments()
    scaled = moments(9.0 * which.covariance, which.fragility)
    terms = {"gamma": 0.05, "fragility_weight": 0.2, "epsilon": 0.01, "variance_floor": 1e-6}
    np.testing.assert_allclose(
        min_variance(which, caps(8, 0.25), **terms), min_variance(scaled, caps(8, 0.25), **terms), atol=1e-9
    )


def test_a_constant_added_to_the_fragility_changes_nothing_and_a_varying_one_does():
    which = random_moments()
    shifted = moments(which.covariance, which.fragility + 3.0)
    flat = moments(which.covariance, np.ones(8))
    base = min_variance(which, caps(8, 0.25), fragility_weight=0.2)
    np.testing.assert_allclose(base, min_variance(shifted, caps(8, 0.25), fragility_weight=0.2), atol=1e-9)
    none = min_variance(which, caps(8, 0.25))
    np.testing.assert_allclose(none, min_variance(flat, caps(8, 0.25), fragility_weight=0.2), atol=1e-9)
    assert np.abs(base - none).max() > 1e-3


def test_more_ridge_never_concentrates():
    effective = [
        1 / np.square(min_variance(random_moments(), caps(8, 1.0), gamma=g)).sum() for g in (0, 0.05, 0.2, 1, 5)
    ]
    assert (np.diff(effective) > 0).all()


def test_more_weight_on_fragility_never_holds_more_of_it():
    which = random_moments()
    held = [
        which.fragility @ min_variance(which, caps(8, 1.0), fragility_weight=value) for value in (0, 0.1, 0.2, 0.5, 1)
    ]
    assert (np.diff(held) <= 1e-9).all()
    assert held[-1] < held[0] - 0.05


def test_a_dearer_trade_is_never_larger():
    which, previous = random_moments(), np.full(8, 1 / 8)
    traded = [
        np.abs(min_variance(which, caps(8, 1.0), turnover_price=price, previous=previous) - previous).sum()
        for price in (0.0, 0.002, 0.01, 0.05, 10.0)
    ]
    assert (np.diff(traded) <= 1e-9).all()
    assert traded[0] > 0.1
    assert traded[-1] <= 1e-8


def test_a_tighter_cap_never_lowers_the_risk():
    which = random_moments()
    solved = [min_variance(which, caps(8, cap)) for cap in (1.0, 0.5, 0.25, 0.15, 0.126)]
    risk = [weights @ which.covariance @ weights for weights in solved]
    assert (np.diff(risk) >= -1e-12).all()
    assert risk[-1] > risk[0]


def test_a_permutation_of_clusters_permutes_the_weights():
    which = random_moments()
    order = np.random.default_rng(2).permutation(8)
    permuted = moments(which.covariance[np.ix_(order, order)], which.fragility[order])
    terms = {"gamma": 0.05, "fragility_weight": 0.2}
    np.testing.assert_allclose(
        min_variance(which, caps(8, 0.25), **terms)[order],
        min_variance(permuted, caps(8, 0.25), **terms),
        atol=1e-9,
    )
