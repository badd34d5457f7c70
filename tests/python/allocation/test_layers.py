"""Layer 2, flattening and the guards."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.allocation.layers import (
    flatten,
    layer_two_shares,
    membership,
    netting_ratio,
    require_caps,
    require_no_leak,
    symbol_exposure,
)
from quantmill.errors import DataContractError, WeightLeak

ONE = np.zeros(3, dtype=np.int64)
VOLATILITY = np.array([0.2, 0.4, 0.5])
MOMENTUM = np.array([0.05, 0.30, 0.12])


@pytest.mark.parametrize(
    ("mode", "alpha", "expected"),
    [
        ("inverse_variance", 0.5, (0.7092, 0.1773, 0.1135)),
        ("blend", 0.0, (1 / 6, 0.5, 1 / 3)),
        ("blend", 0.5, (0.4379, 0.3387, 0.2234)),
        ("inverse_vol", 0.5, (0.5263, 0.2632, 0.2105)),
        ("equal", 0.5, (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_shares_inside_a_cluster(mode, alpha, expected):
    found = layer_two_shares(ONE, VOLATILITY, MOMENTUM, mode=mode, alpha=alpha)
    np.testing.assert_allclose(found, expected, atol=5e-5)


def test_shares_sum_to_one_in_every_cluster_and_do_not_see_the_others():
    rng = np.random.default_rng(0)
    clusters = np.array([0, 1, 0, 2, 1, 0])
    volatility, momentum = rng.uniform(0.1, 0.5, 6), rng.normal(size=6)
    shares = layer_two_shares(clusters, volatility, momentum, mode="blend", alpha=0.5)
    np.testing.assert_allclose(np.bincount(clusters, weights=shares), 1.0, rtol=1e-14)
    members = clusters == 0
    alone = layer_two_shares(
        np.zeros(3, dtype=np.int64), volatility[members], momentum[members], mode="blend", alpha=0.5
    )
    np.testing.assert_allclose(shares[members], alone, rtol=1e-14)
    stacked = layer_two_shares(
        np.stack([clusters, clusters]),
        np.stack([volatility] * 2),
        np.stack([momentum] * 2),
        mode="blend",
        alpha=0.5,
    )
    np.testing.assert_allclose(stacked, [shares, shares], rtol=1e-14)


def test_tied_momentum_shares_its_rank():
    found = layer_two_shares(ONE, VOLATILITY, np.array([0.1, 0.1, 0.2]), mode="blend", alpha=0.0)
    np.testing.assert_allclose(found, [0.25, 0.25, 0.5])


def test_a_volatility_near_zero_is_floored():
    found = layer_two_shares(ONE, np.array([0.0, 0.4, 0.5]), MOMENTUM, mode="inverse_vol", alpha=0.5)
    floored = 1 / np.array([0.4e-6, 0.4, 0.5])
    np.testing.assert_allclose(found, floored / floored.sum(), rtol=1e-12)


def test_the_membership_matrix_makes_cluster_streams():
    clusters, shares = np.array([0, 1, 0]), np.array([0.25, 1.0, 0.75])
    np.testing.assert_array_equal(membership(clusters, shares, 2), [[0.25, 0, 0.75], [0, 1.0, 0]])


WEIGHTS = np.array([0.20, 0.15, 0.25, 0.40])
SYMBOLS = np.array([0, 0, 1, 2])
SIGNS = np.array([1, -1, 1, -1])


def test_flattening_nets_the_atoms_of_a_symbol():
    net = flatten(WEIGHTS, SYMBOLS, SIGNS, 3)
    np.testing.assert_allclose(net, [0.05, 0.25, -0.40], atol=1e-15)
    np.testing.assert_allclose([net.sum(), np.abs(WEIGHTS).sum(), np.abs(net).sum()], [-0.10, 1.0, 0.70])
    np.testing.assert_allclose(netting_ratio(WEIGHTS, net), 0.70)
    require_no_leak(WEIGHTS, SIGNS, net, 0.0)


def test_a_symbol_above_its_cap_is_rejected_short_or_long():
    net = flatten(WEIGHTS, SYMBOLS, SIGNS, 3)
    with pytest.raises(DataContractError, match=r"asset_cap is 0\.25 and a weight is 0\.4"):
        require_caps(WEIGHTS, 0.5, net, 0.25)
    require_caps(WEIGHTS, 0.4, net, 0.4)
    with pytest.raises(DataContractError, match="cluster_cap"):
        require_caps(WEIGHTS, 0.39, net, 0.4)
    with pytest.raises(DataContractError, match="never negative"):
        require_caps(np.array([-0.1, 0.2]), 0.5, net, 0.5)
    with pytest.raises(DataContractError, match="nan"):
        require_caps(np.array([np.nan, 0.2]), 0.5, net, 0.5)


def test_equal_long_and_short_of_a_symbol_flatten_to_nothing():
    net = flatten(np.array([0.5, 0.5]), np.zeros(2, dtype=np.int64), np.array([1, -1]), 1)
    assert net.tolist() == [0.0]
    assert np.isnan(netting_ratio(np.zeros(2), net))


@pytest.mark.parametrize(
    ("weights", "net", "cash", "message"),
    [
        (WEIGHTS, [0.05, 0.25, -0.39], 0.0, "net weight of symbols"),
        (WEIGHTS, [0.05, 0.25, -0.40], 0.01, "sum to 1.01"),
        (WEIGHTS * np.nan, [0.05, 0.25, -0.40], 0.0, "net weight"),
        (WEIGHTS, [0.50, 0.25, -0.85], 0.0, "gross grew"),
    ],
    ids=["a lost path", "cash too much", "NaN", "gross"],
)
def test_a_weight_lost_or_gained_on_the_way_is_a_leak(weights, net, cash, message):
    with pytest.raises(WeightLeak, match=message):
        require_no_leak(weights, SIGNS, np.array(net), cash)


def test_exposures_map_cluster_weights_to_the_flattened_book():
    clusters, shares = np.array([0, 1, 1, 0]), np.array([0.3, 0.6, 0.4, 0.7])
    cluster_weights = np.array([0.55, 0.45])
    exposure = symbol_exposure(clusters, shares, SYMBOLS, SIGNS, 2)
    expected = flatten(cluster_weights[clusters] * shares, SYMBOLS, SIGNS, 3)
    np.testing.assert_allclose(exposure @ cluster_weights, expected, atol=1e-15)
