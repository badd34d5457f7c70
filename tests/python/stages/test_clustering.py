"""What the clustering stage hands on of one clustering: its members, its pairs and its clusters."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.selection.clustering import ClusteringRules, cluster_pool
from quantmill.stages.clustering import PAIRS, _records

RULES = ClusteringRules(
    lookbacks=(60, 120), min_periods=20, shrinkage=(0.01,), kappa_max=15_000.0, cut=0.4, max_clusters=25
)


def test_an_inverse_copy_is_a_pair_of_what_it_copies_though_it_is_in_another_cluster() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(0, 0.01, (2, 120))
    returns = np.column_stack([one, one + 0.1 * other, -2.0 * one, other])
    found = cluster_pool(returns, RULES)
    _, pairs, _ = _records(["A", "B", "INVERSE", "OTHER"], found, 1.0, -0.98)
    records = {(pair[0], pair[1]): dict(zip(PAIRS, pair, strict=True)) for pair in pairs}
    assert set(records) == {("A", "B"), ("A", "INVERSE"), ("B", "INVERSE")}
    assert records["A", "B"]["cluster_id"] == 1
    assert records["A", "INVERSE"]["cluster_id"] is None
    assert records["A", "INVERSE"]["beta_b_on_a"] == pytest.approx(-2.0)
    assert records["A", "INVERSE"]["leverage_correlation"] == pytest.approx(-1.0)
