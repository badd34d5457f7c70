"""Hierarchical risk parity: closed forms, the worked examples and the order of the leaves."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.allocation.hierarchy import bisected_weights, hierarchical_risk_parity, leaf_order
from quantmill.allocation.projection import water_fill
from quantmill.errors import DataContractError
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform


def covariance_of(volatility, pairs, rest=0.0):
    volatility = np.asarray(volatility)
    correlation = np.full((len(volatility),) * 2, rest)
    np.fill_diagonal(correlation, 1.0)
    for (i, j), value in pairs.items():
        correlation[i - 1, j - 1] = correlation[j - 1, i - 1] = value
    return correlation * np.outer(volatility, volatility)


EXAMPLE = covariance_of((0.10, 0.20, 0.30, 0.40), {(1, 2): 0.6, (3, 4): 0.5}, rest=0.1)
SLEEVES = covariance_of(
    (0.25, 0.30, 0.28, 0.08),
    {(1, 2): -0.1, (1, 3): 0.6, (1, 4): 0.2, (2, 3): -0.05, (2, 4): -0.1, (3, 4): 0.2},
)


def random_streams(count, seed=0, sessions=200):
    rng = np.random.default_rng(seed)
    loading = rng.normal(size=(count, 3))
    return (loading @ rng.normal(size=(3, sessions)) + rng.normal(size=(count, sessions))) * rng.uniform(
        0.004, 0.03, (count, 1)
    )


@pytest.mark.parametrize("variant", ["product", "lopez_de_prado"])
def test_four_assets_in_two_pairs_get_the_weights_of_the_example(streams_of, variant):
    found = hierarchical_risk_parity(EXAMPLE, streams_of(EXAMPLE), variant)
    np.testing.assert_allclose(found, (0.702439, 0.175610, 0.078049, 0.043902), atol=1e-6)


def test_the_first_split_follows_the_branch_variances_of_the_example():
    found = bisected_weights(EXAMPLE, np.arange(4))
    assert found[:2].sum() == pytest.approx(0.085248 / (0.011840 + 0.085248), abs=1e-5)


def test_sleeves_get_the_raw_and_the_projected_weights_of_the_example(streams_of):
    raw = hierarchical_risk_parity(SLEEVES, streams_of(SLEEVES))
    np.testing.assert_allclose(raw, (0.0970, 0.0674, 0.0631, 0.7726), atol=1e-4)
    capped = water_fill(raw, np.full(4, 0.05), np.full(4, 0.5), 1.0)
    np.testing.assert_allclose(capped, (0.2133, 0.1481, 0.1386, 0.5), atol=1e-4)


def test_the_sleeves_need_optimal_leaf_order(streams_of):
    plain = hierarchical_risk_parity(SLEEVES, streams_of(SLEEVES), "lopez_de_prado")
    assert np.abs(plain - (0.0970, 0.0674, 0.0631, 0.7726)).max() > 1e-3


def test_two_streams_are_weighted_by_inverse_variance(streams_of):
    covariance = covariance_of((0.1, 0.3), {(1, 2): 0.4})
    np.testing.assert_allclose(hierarchical_risk_parity(covariance, streams_of(covariance)), (0.9, 0.1), atol=1e-12)


def test_uncorrelated_streams_split_by_the_inverse_variances_of_their_halves():
    variance = np.array([0.01, 0.04, 0.09, 0.02, 0.05])
    found = bisected_weights(np.diag(variance), np.arange(5))
    # The left half has the floor of half of the leaves, and inverse-variance parts make splits consistent.
    np.testing.assert_allclose(found, (1 / variance) / (1 / variance).sum(), rtol=1e-12)


def test_one_stream_gets_everything():
    np.testing.assert_array_equal(hierarchical_risk_parity(np.array([[0.04]]), np.ones((1, 5))), [1.0])


def test_the_variant_is_single_linkage_in_plain_order():
    streams = random_streams(12)
    distance = np.sqrt(np.clip(0.5 * (1 - np.corrcoef(streams)), 0, 1))
    tree = hierarchy.linkage(squareform(distance, checks=False), "single")
    np.testing.assert_array_equal(leaf_order(streams, "lopez_de_prado"), hierarchy.leaves_list(tree))
    assert leaf_order(streams, "lopez_de_prado").tolist() != leaf_order(streams).tolist()


def test_the_leaf_order_is_that_of_ward_with_the_nearest_neighbours():
    streams = random_streams(9, seed=3)
    distance = np.sqrt(np.clip(0.5 * (1 - np.corrcoef(streams)), 0, 1))
    tree = hierarchy.linkage(squareform(distance, checks=False), "ward", optimal_ordering=True)
    np.testing.assert_array_equal(leaf_order(streams), hierarchy.leaves_list(tree))


@pytest.mark.parametrize("count", [3, 5, 10, 20, 25])
def test_renaming_the_streams_moves_their_weights_with_them(count):
    streams = random_streams(count, seed=count)
    covariance = np.cov(streams)
    base = hierarchical_risk_parity(covariance, streams)
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(count)
        moved = hierarchical_risk_parity(covariance[np.ix_(order, order)], streams[order])
        np.testing.assert_allclose(moved, base[order], atol=1e-12)


def test_the_scale_of_the_covariance_does_not_matter_and_the_matrix_itself_does():
    streams = random_streams(8)
    covariance = np.cov(streams)
    base = hierarchical_risk_parity(covariance, streams)
    np.testing.assert_allclose(hierarchical_risk_parity(252 * covariance, streams), base, rtol=1e-12)
    assert np.abs(hierarchical_risk_parity(np.diag(np.diag(covariance)), streams) - base).max() > 1e-3


def test_a_stream_that_stands_still_has_no_place_in_a_tree():
    streams = random_streams(4)
    streams[2] = 0.0
    with pytest.raises(DataContractError, match="1 of 4 streams have no correlation"):
        hierarchical_risk_parity(np.eye(4), streams)


def test_of_three_leaves_the_left_half_has_one():
    covariance = covariance_of((0.1, 0.2, 0.3), {(1, 2): 0.5, (2, 3): 0.3})
    found = bisected_weights(covariance, np.array([0, 1, 2]))
    pair = covariance[1:, 1:]
    inside = (1 / np.diag(pair)) / (1 / np.diag(pair)).sum()
    right = inside @ pair @ inside
    assert found[0] == pytest.approx(1 - covariance[0, 0] / (covariance[0, 0] + right))
