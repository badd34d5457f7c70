"""Clusters of physical returns: the worked examples, the edge cases, and what must not depend on order or scale."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantmill.errors import DataContractError
from quantmill.selection.clustering import (
    ClusteringRules,
    average_distance,
    cluster_pool,
    companions,
    condition_number,
    correlation_distance,
    pair_moments,
    regime_cut,
    shrink,
    ward_clusters,
)
from scipy.cluster.hierarchy import ward

RULES = ClusteringRules(
    lookbacks=(60, 120, 200),
    min_periods=20,
    shrinkage=tuple(round(0.01 * step, 2) for step in range(1, 11)),
    kappa_max=15_000.0,
    cut=0.4,
    max_clusters=25,
)
# M11: two pairs, the second apart from the first
FOUR = np.array([[1, 0.95, 0.30, 0.10], [0.95, 1, 0.25, 0.05], [0.30, 0.25, 1, 0.60], [0.10, 0.05, 0.60, 1]])
CUTS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def blocks(count: int, size: int, within: float, across: float) -> np.ndarray:
    """A correlation matrix of `count` blocks of `size` assets."""
    owner = np.repeat(np.arange(count), size)
    matrix = np.where(owner[:, None] == owner[None, :], within, across)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def market(seed: int, sessions: int = 220, assets: int = 9, groups: int = 3) -> np.ndarray:
    """Returns of assets that share the factors of their groups, shape (sessions, assets)."""
    generator = np.random.default_rng(seed)
    factors = generator.normal(0.0, 0.01, (sessions, groups))
    return factors[:, np.arange(assets) % groups] + generator.normal(0.0, 0.003, (sessions, assets))


def merge_heights(correlation: np.ndarray) -> list[float]:
    """The heights at which Ward's linkage merges, ascending."""
    rows, columns = np.triu_indices(len(correlation), 1)
    return [float(height) for height in ward(correlation_distance(correlation)[rows, columns])[:, 2]]


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    """The clusters as sets of positions."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def test_distances_of_the_worked_example() -> None:
    found = correlation_distance(np.array([0.95, 0.60, 0.25, 0.05]))
    assert found == pytest.approx([0.1581, 0.4472, 0.6124, 0.6892], abs=5e-5)


def test_the_distance_is_nothing_for_one_movement_and_one_for_the_opposite() -> None:
    found = correlation_distance(np.array([1.0, -1.0, 0.0]))
    assert found == pytest.approx([0.0, 1.0, math.sqrt(0.5)], abs=1e-15)


def test_ward_heights_and_cluster_counts_of_two_pairs() -> None:
    assert merge_heights(FOUR) == pytest.approx([0.1581, 0.4472, 0.8441], abs=5e-5)
    distance = correlation_distance(FOUR)
    counts = [int(ward_clusters(distance, cut, 25).max()) for cut in CUTS]
    assert counts == [4, 3, 3, 3, 2, 2, 2, 2, 1]


def test_ward_heights_and_cluster_counts_of_three_blocks() -> None:
    matrix = blocks(3, 5, within=0.7, across=0.1)
    assert merge_heights(matrix) == pytest.approx([0.3873] * 12 + [1.2845] * 2, abs=5e-5)
    distance = correlation_distance(matrix)
    assert [int(ward_clusters(distance, cut, 25).max()) for cut in CUTS] == [15, 15, 15, 3, 3, 3, 3, 3, 3]


def test_look_backs_are_averaged_as_root_mean_square() -> None:
    distances = [correlation_distance(np.array([[rho]])) for rho in (0.9, 0.5, 0.1)]
    assert average_distance(distances)[0, 0] == pytest.approx(0.5, abs=1e-15)
    assert np.mean(distances) == pytest.approx(0.4648, abs=5e-5)
    assert average_distance(distances)[0, 0] == pytest.approx(math.sqrt(0.5 * (1 - np.mean([0.9, 0.5, 0.1]))))


def test_the_condition_number_falls_with_shrinkage_as_in_the_worked_example() -> None:
    matrix = blocks(1, 5, within=0.9999, across=0.0)
    assert condition_number(matrix) == pytest.approx(49_996, rel=1e-6)
    for used, kappa in ((0.01, 491.1), (0.05, 95.8), (0.10, 46.0)):
        shrunk, found, shrinkage = shrink(matrix, (used,), 15_000)
        assert (found, shrinkage) == (pytest.approx(kappa, abs=0.05), used)
        assert np.diag(shrunk) == pytest.approx(np.ones(5))


def test_shrinkage_goes_up_the_ladder_until_the_limit_holds_and_stops_at_its_end() -> None:
    matrix = blocks(1, 60, within=0.9999, across=0.0)
    _, kappa, used = shrink(matrix, RULES.shrinkage, 2_000.0)
    assert used == 0.03 and kappa <= 2_000.0
    assert shrink(matrix, RULES.shrinkage[:2], 2_000.0)[1] > 2_000.0
    _, kappa, used = shrink(matrix, RULES.shrinkage, 2.0)
    assert used == 0.10 and kappa > 2.0


def test_a_singular_matrix_has_an_infinite_condition_number() -> None:
    assert condition_number(np.ones((3, 3))) == math.inf


def test_clusters_never_grow_in_number_as_the_cut_rises() -> None:
    distance = correlation_distance(np.corrcoef(market(3, assets=30, groups=5).T))
    counts = [int(ward_clusters(distance, cut, 1_000).max()) for cut in np.linspace(0.05, 2.0, 40)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 5 > counts[-1]


def test_no_more_clusters_than_allowed() -> None:
    distance = correlation_distance(np.corrcoef(np.random.default_rng(1).normal(size=(200, 40)).T))
    assert int(ward_clusters(distance, 0.01, 1_000).max()) == 40
    assert int(ward_clusters(distance, 0.01, 25).max()) == 25


def test_clusters_are_numbered_by_size_and_then_by_their_first_member() -> None:
    owner = np.array([0, 1, 1, 2, 2, 2, 3])
    distance = np.where(owner[:, None] == owner[None, :], 0.0, 1.0)
    assert ward_clusters(distance, 0.4, 25).tolist() == [3, 2, 2, 1, 1, 1, 4]


def test_an_empty_pool_has_no_cluster_and_one_asset_has_one() -> None:
    nothing = cluster_pool(np.zeros((200, 0)), RULES)
    assert nothing.cluster_count == 0 and math.isnan(nothing.kappa)
    alone = cluster_pool(market(1)[:, :1], RULES)
    assert alone.labels.tolist() == [1]
    assert companions(alone)[0].tolist() == [0]


def test_equal_columns_are_one_cluster_and_the_ridge_bounds_their_condition_number() -> None:
    one = market(4)[:, [0]]
    found = cluster_pool(np.hstack([one, one, one]), RULES)
    assert found.labels.tolist() == [1, 1, 1]
    assert found.correlation == pytest.approx(np.ones((3, 3)))
    assert found.kappa == pytest.approx((1 + 2 * 0.99) / 0.01)


def test_groups_that_share_a_factor_are_found() -> None:
    assert partition(cluster_pool(market(2), RULES).labels) == {
        frozenset({0, 3, 6}), frozenset({1, 4, 7}), frozenset({2, 5, 8}),
    }  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_columns_changes_no_cluster(seed: int) -> None:
    returns = market(seed)
    order = np.random.default_rng(seed + 1).permutation(returns.shape[1])
    found, shuffled = cluster_pool(returns, RULES), cluster_pool(returns[:, order], RULES)
    assert {frozenset(order[sorted(one)].tolist()) for one in partition(shuffled.labels)} == partition(found.labels)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e3))
def test_clusters_and_correlations_do_not_depend_on_the_size_of_moves(scale: float) -> None:
    returns = market(5)
    scaled = returns.copy()
    scaled[:, 2] *= scale
    found, other = cluster_pool(returns, RULES), cluster_pool(scaled, RULES)
    assert other.correlation == pytest.approx(found.correlation, abs=1e-9)
    assert other.labels.tolist() == found.labels.tolist()


def test_correlation_and_beta_are_those_of_numpy_over_the_shared_sessions() -> None:
    returns = market(6, assets=4)
    returns[:50, 1] = np.nan
    returns[30:90:2, 2] = np.nan
    correlation, beta, counts = pair_moments(returns, 20)
    shared = np.isfinite(returns[:, 1]) & np.isfinite(returns[:, 2])
    covariance = np.cov(returns[shared][:, 1:3].T)
    assert counts[1, 2] == shared.sum()
    assert correlation[1, 2] == pytest.approx(
        covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]), abs=1e-12
    )
    assert beta[1, 2] == pytest.approx(covariance[0, 1] / covariance[1, 1], abs=1e-12)


def test_a_pair_with_too_few_shared_sessions_counts_as_uncorrelated_and_is_told() -> None:
    returns = market(7, assets=3, groups=1)
    returns[: len(returns) - 19, 2] = np.nan
    found = cluster_pool(returns, RULES)
    assert found.correlation[0, 2] == 0.0
    assert found.imputed_pair_count == 2 * len(found.lookbacks)
    assert found.labels.tolist() == [1, 1, 2]


def test_a_column_that_stands_still_is_uncorrelated() -> None:
    returns = market(8, assets=3, groups=1)
    returns[:, 1] = 0.001
    found = cluster_pool(returns, RULES)
    assert found.correlation[1].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(found.beta[0, 1])


def test_a_leveraged_copy_has_its_leverage_as_beta() -> None:
    one = market(9)[:, [0]]
    found = cluster_pool(np.hstack([one, 2.0 * one, -1.5 * one]), RULES)
    assert found.beta[1, 0] == pytest.approx(2.0)
    assert found.beta[2, 0] == pytest.approx(-1.5)
    assert found.labels[0] == found.labels[1] != found.labels[2]


def test_look_backs_longer_than_the_history_are_left_out_and_all_of_it_is_taken_if_none_fits() -> None:
    returns = market(10)
    assert cluster_pool(returns[-130:], RULES).lookbacks == (60, 120)
    assert cluster_pool(returns[-45:], RULES).lookbacks == (45,)


def test_a_pair_that_came_together_lately_is_not_persistent() -> None:
    generator = np.random.default_rng(11)
    returns = generator.normal(0.0, 0.01, (200, 2))
    returns[-60:, 1] = returns[-60:, 0]
    returns[-120:-60, 1] = -returns[-120:-60, 0]
    wide = replace(RULES, cut=0.62)
    found = cluster_pool(returns, wide)
    assert found.labels.tolist() == [1, 1]
    assert found.co_members[0, 1] == 1
    assert companions(found)[0].tolist() == [1, 1]
    assert companions(found)[1].tolist() == [0, 0]


def test_the_volatility_of_a_cluster_is_that_of_equal_weights() -> None:
    returns = market(12, assets=3, groups=1)
    found = cluster_pool(returns, RULES)
    assert found.labels.tolist() == [1, 1, 1]
    assert found.volatility[0] == pytest.approx(returns[-200:].mean(axis=1).std(ddof=1))


def test_the_cut_is_that_of_the_regime_scaled_by_the_threshold_unless_it_is_fixed() -> None:
    cuts = {"QUIET": 0.5, "NORMAL": 0.4, "TURBULENT": 0.35, "CRISIS": 0.3}
    assert [regime_cut(0.5, cuts, regime, "regime") for regime in cuts] == [0.5, 0.4, 0.35, 0.3]
    assert regime_cut(0.45, cuts, "CRISIS", "regime") == pytest.approx(0.27)
    assert regime_cut(0.45, cuts, "CRISIS", "fixed") == 0.45


def test_a_distance_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataContractError, match="3 of 3 distances between assets are not finite"):
        ward_clusters(np.full((3, 3), np.nan), 0.4, 25)
