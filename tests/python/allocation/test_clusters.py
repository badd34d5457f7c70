"""Ward clusters of synthetic streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantmill.allocation.clusters import average_correlation, condensed_distances, flat_clusters
from quantmill.errors import DataContractError
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform


def centred(returns):
    return (returns - returns.mean(axis=0)).T


def test_the_average_distance_is_the_root_mean_square_over_lookbacks(simulate):
    returns = simulate(252, 8)
    squares = [0.5 * (1 - np.corrcoef(returns[-length:].T)) for length in (60, 120, 200)]
    expected = squareform(np.sqrt(np.mean(squares, axis=0)), checks=False)
    found = condensed_distances(average_correlation(centred(returns), (60, 120, 200)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_lookbacks_longer_than_the_window_are_left_out(simulate):
    returns = simulate(100, 5)
    found = average_correlation(centred(returns), (60, 120, 200))
    np.testing.assert_allclose(found, np.corrcoef(returns[-60:].T), atol=1e-12)


def test_all_rows_are_used_where_no_lookback_fits(simulate):
    returns = simulate(40, 5)
    found = average_correlation(centred(returns), (60, 120))
    np.testing.assert_allclose(found, np.corrcoef(returns.T), atol=1e-12)


def test_a_stream_that_stood_still_over_a_lookback_counts_as_uncorrelated_there(simulate):
    returns = simulate(100, 3)
    returns[-60:, 1] = 0.0021
    found = average_correlation(centred(returns), (60, 100))
    whole = np.corrcoef(returns.T)
    np.testing.assert_allclose(found[0, 1], 0.5 * whole[0, 1], atol=1e-9)


def test_identical_streams_share_a_cluster(simulate):
    returns = simulate(252, 6)
    returns[:, 4] = returns[:, 1]
    distances = condensed_distances(average_correlation(centred(returns), (60, 120, 200)))
    labels = flat_clusters(distances, 6, cut=0.3, max_clusters=25)
    assert labels[1] == labels[4]
    assert len(set(labels.tolist())) == 5


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.floats(0.05, 1.2), st.integers(0, 2**32 - 1))
def test_the_flat_cut_equals_that_of_scipy(count, cut, seed):
    distances = np.random.default_rng(seed).uniform(0, 1, count * (count - 1) // 2)
    labels = flat_clusters(distances, count, cut=cut, max_clusters=count)
    expected = fcluster(linkage(distances, "ward"), cut, "distance")
    same = labels[:, None] == labels
    np.testing.assert_array_equal(same, expected[:, None] == expected)
    # Labels count up in the order of the smallest position of each cluster.
    first_seen = list(dict.fromkeys(labels.tolist()))
    assert first_seen == list(range(len(first_seen)))


@pytest.mark.parametrize("most", [1, 3, 7, 12])
def test_no_more_clusters_than_the_maximum(most):
    distances = np.random.default_rng(0).uniform(0.5, 1, 66)
    labels = flat_clusters(distances, 12, cut=0.0, max_clusters=most)
    assert labels.max() + 1 == most
    expected = fcluster(linkage(distances, "ward"), most, "maxclust")
    np.testing.assert_array_equal(labels[:, None] == labels, expected[:, None] == expected)


def test_a_distance_that_is_not_finite_is_an_error():
    with pytest.raises(DataContractError, match="1 of 3 distances"):
        flat_clusters(np.array([0.1, np.nan, 0.3]), 3, cut=0.4, max_clusters=25)


def test_one_stream_is_one_cluster():
    assert flat_clusters(np.empty(0), 1, cut=0.4, max_clusters=25).tolist() == [0]
