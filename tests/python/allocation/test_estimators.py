"""Covariances, tails and what may enter an estimate."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.allocation.estimators import (
    clean_window,
    compounded_returns,
    conditional_value_at_risk,
    correlation_of,
    estimate_windows,
    ledoit_wolf,
    relative_fragility,
    sample_covariance,
    shrink_correlation,
    shrunk_condition,
)
from quantmill.errors import BadValue, DataContractError
from sklearn.covariance import ledoit_wolf as reference_ledoit_wolf


def codes(clean):
    return {removal.position: removal.code for removal in clean.removals}


def event_codes(estimate):
    return [event.code for event in estimate.events]


@pytest.mark.parametrize(("sessions", "count"), [(252, 20), (15, 20), (2, 3), (60, 1), (40, 60)])
def test_ledoit_wolf_equals_scikit_learn(simulate, sessions, count):
    returns = simulate(sessions, count, seed=sessions)
    expected, intensity = reference_ledoit_wolf(returns)
    found, found_intensity = ledoit_wolf((returns - returns.mean(axis=0)).T)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(found_intensity, intensity, atol=1e-12)


def test_padding_a_window_with_empty_units_changes_nothing(simulate):
    streams = (simulate(120, 5) - simulate(120, 5).mean(axis=0)).T
    padded = np.concatenate((streams, np.zeros((3, 120))))
    alone, intensity = ledoit_wolf(streams)
    found, found_intensity = ledoit_wolf(np.stack([padded, padded]), np.array([5, 5]))
    np.testing.assert_allclose(found[1][:5, :5], alone, rtol=1e-13)
    np.testing.assert_allclose(found_intensity, [intensity] * 2, rtol=1e-12)
    assert not found[:, 5:].any()
    inner, outer = np.linalg.eigvalsh(correlation_of(alone)), np.linalg.eigvalsh(correlation_of(found[0]))
    np.testing.assert_allclose(outer[[0, -1]], inner[[0, -1]], rtol=1e-12)


def test_the_sample_covariance_divides_by_one_less(simulate):
    returns = simulate(50, 4)
    found = sample_covariance((returns - returns.mean(axis=0)).T)
    np.testing.assert_allclose(found, np.cov(returns.T), rtol=1e-12)


def test_shrinking_the_correlation_keeps_the_volatilities():
    covariance = np.array([[0.04, 0.018], [0.018, 0.09]])
    np.testing.assert_allclose(shrink_correlation(covariance, 0.5), [[0.04, 0.009], [0.009, 0.09]], rtol=1e-15)
    np.testing.assert_allclose(shrink_correlation(covariance, 1.0), np.diag([0.04, 0.09]))


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.15, 0.95])
def test_the_condition_number_is_that_of_the_shrunk_correlation(simulate, epsilon):
    correlation = np.corrcoef(simulate(100, 12).T)
    values = np.linalg.eigvalsh(correlation)
    expected = np.linalg.cond((1 - epsilon) * correlation + epsilon * np.eye(12))
    np.testing.assert_allclose(shrunk_condition(values[0], values[-1], epsilon), expected, rtol=1e-9)


def test_a_singular_correlation_has_an_infinite_condition_number():
    assert shrunk_condition(-1e-18, 2.0, 0.0) == np.inf
    assert shrunk_condition(0.0, 2.0, 0.01) == pytest.approx((0.99 * 2 + 0.01) / 0.01)


@pytest.mark.parametrize(("beta", "expected"), [(0.95, 0.08), (0.90, 0.065), (0.85, 0.16 / 3), (0.88, 0.142 / 2.4)])
def test_the_tail_takes_its_last_return_in_a_fraction(beta, expected):
    returns = np.concatenate(([0.01] * 17, [-0.03, -0.08, -0.05]))
    # At 0.88 the tail is 2.4 returns: .08 + .05 + 0.4 * .03 = .142.
    np.testing.assert_allclose(conditional_value_at_risk(returns, beta), expected, rtol=1e-12)


def test_the_tail_equals_the_linear_programme_of_rockafellar_and_uryasev(simulate):
    streams = simulate(101, 6).T
    for beta in (0.9, 0.95, 0.975):
        best = [min(z + np.maximum(-row - z, 0).sum() / ((1 - beta) * len(row)) for z in -row) for row in streams]
        np.testing.assert_allclose(conditional_value_at_risk(streams, beta), best, rtol=1e-10)


def test_relative_fragility_has_mean_one_and_is_undefined_without_losses():
    np.testing.assert_allclose(relative_fragility(np.array([0.02, 0.04])), [2 / 3, 4 / 3])
    np.testing.assert_allclose(relative_fragility(np.array([[0.02, 0.04, 0.0]]), np.array([2]))[0, :2], [2 / 3, 4 / 3])
    assert np.isnan(relative_fragility(np.array([-0.01, 0.005]))).all()


def test_compounding_reads_the_last_rows_only():
    streams = np.array([[9.0, 0.1, 0.1], [9.0, np.nan, 0.2]])
    np.testing.assert_allclose(compounded_returns(streams, 2), [0.21, 0.2])
    np.testing.assert_allclose(compounded_returns(streams[:1], 10), [10 * 1.21 - 1])


def test_each_reason_removes_exactly_its_atom(simulate, make_settings):
    returns = simulate(100, 9)
    returns[3, 0] = np.inf
    returns[4, 1] = 6.0
    returns[:, 3] = 0.001
    returns[5, 4] = -1.0
    returns[:11, 5] = np.nan
    returns[:10, 6] = np.nan
    symbols = np.array([0, 1, 1, 3, 4, 5, 6, 7, 8])
    clean = clean_window(returns, symbols, None, make_settings(), 252)
    assert codes(clean) == {
        0: "NON_FINITE",
        1: "TOXIC",
        2: "TOXIC",
        3: "ZERO_VARIANCE",
        4: "LIQUIDATED",
        5: "LOW_COVERAGE",
    }
    assert clean.positions.tolist() == [6, 7, 8]
    assert clean.streams.shape == (3, 90)
    assert clean.rows_dropped == 10
    np.testing.assert_array_equal(clean.streams, returns[10:, 6:].T)


def test_a_return_at_the_toxic_limit_stays(simulate, make_settings):
    returns = simulate(100, 3)
    returns[4, 1] = 5.0
    assert not clean_window(returns, np.arange(3), None, make_settings(), 252).removals


def test_missing_rows_are_counted_against_the_rows_that_anyone_has(simulate, make_settings):
    returns = simulate(100, 3)
    returns[:8] = np.nan
    returns[8:18, 0] = np.nan
    # 10 of 92 rows are missing, which is more than 10 %; of 100 rows it would be exactly 10 %.
    assert codes(clean_window(returns, np.arange(3), None, make_settings(), 252)) == {0: "LOW_COVERAGE"}
    # 9 of 92 are within 10 %, though 17 of all 100 rows have no return.
    returns[17, 0] = 0.01
    assert not clean_window(returns, np.arange(3), None, make_settings(), 252).removals


def test_coverage_is_counted_against_the_whole_window(simulate, make_settings):
    returns = simulate(100, 3)
    returns[:31] = np.nan
    clean = clean_window(returns, np.arange(3), None, make_settings(), 252)
    assert set(codes(clean).values()) == {"LOW_COVERAGE"}
    assert not clean.positions.size


def test_a_constant_that_appears_only_on_the_shared_rows_is_removed(simulate, make_settings):
    returns = simulate(100, 3)
    returns[:, 0] = 0.001
    returns[:5, 0] = 0.02
    returns[:5, 1] = np.nan
    clean = clean_window(returns, np.arange(3), None, make_settings(), 252)
    assert codes(clean) == {0: "ZERO_VARIANCE"}


def test_a_young_atom_keeps_its_own_variance_and_shrinks_its_correlations(simulate, make_settings):
    returns = simulate(200, 3)
    returns[:, 2] = 0.8 * returns[:, 0] + 0.6 * returns[:, 2]
    returns[:150, 2] = np.nan
    young = np.array([False, False, True])
    clean = clean_window(returns, np.arange(3), young, make_settings(), 252)
    assert clean.rows_dropped == 0
    assert clean.young == (2,)
    own = returns[150:, 2]
    found = np.cov(clean.streams, ddof=0)
    np.testing.assert_allclose(found[2, 2], own.var(), rtol=1e-12)
    np.testing.assert_allclose(clean.streams[2].mean(), own.mean(), rtol=1e-12)
    shared = np.mean((own - own.mean()) * (returns[150:, 0] - returns[:, 0].mean()))
    np.testing.assert_allclose(found[0, 2], shared * np.sqrt(50 / 200), rtol=1e-10)
    assert np.linalg.eigvalsh(found)[0] > 0
    without_flag = clean_window(returns, np.arange(3), None, make_settings(), 252)
    assert codes(without_flag) == {2: "LOW_COVERAGE"}


def test_a_young_atom_below_the_least_rows_is_removed(simulate, make_settings):
    returns = simulate(100, 3)
    returns[:71, 2] = np.nan
    young = np.array([False, False, True])
    assert codes(clean_window(returns, np.arange(3), young, make_settings(), 252)) == {2: "LOW_COVERAGE"}
    assert not clean_window(returns, np.arange(3), young, make_settings(min_rows=29), 252).removals


def test_moments_are_annual_and_of_the_cluster_streams(simulate, make_settings, make_window):
    returns = simulate(252, 6)
    returns[:, 1] = returns[:, 0] + np.random.default_rng(1).normal(0, 1e-4, 252)
    (estimate,) = estimate_windows([make_window(returns)], make_settings(), periods_per_year=252)
    assert estimate.clusters.tolist() == [0, 0, 1, 2, 3, 4]
    streams = np.column_stack([returns[:, :2] @ estimate.shares[:2], returns[:, 2:]])
    expected = reference_ledoit_wolf(streams)[0] * 252
    moments = estimate.moments
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-11)
    np.testing.assert_allclose(moments.mean_variance, np.trace(expected) / 5, rtol=1e-12)
    np.testing.assert_allclose(moments.mean, streams[-200:].mean(axis=0) * 252, rtol=1e-10)
    tails = conditional_value_at_risk(streams.T, 0.95)
    np.testing.assert_allclose(moments.fragility, tails / tails.mean(), rtol=1e-12)
    values = np.linalg.eigvalsh(correlation_of(expected))
    np.testing.assert_allclose([moments.smallest_eigenvalue, moments.largest_eigenvalue], values[[0, -1]], rtol=1e-9)


def test_a_window_is_estimated_the_same_alone_and_among_others(simulate, make_settings, make_window):
    settings = make_settings()
    windows = [make_window(simulate(252, 12, seed=seed), index=seed) for seed in range(20)]
    # Some windows have twins, so that windows of one shape differ in their number of clusters.
    for window in windows[::3]:
        window.returns[:, 1:4] = window.returns[:, :1] + 0.01 * window.returns[:, 1:4]
    windows[7] = make_window(simulate(100, 9, seed=7), index=7)
    windows[8].returns[5, 2] = np.nan
    together = estimate_windows(windows, settings, periods_per_year=252)
    for window, estimate in zip(windows, together, strict=True):
        (alone,) = estimate_windows([window], settings, periods_per_year=252)
        assert estimate.window is window
        np.testing.assert_array_equal(alone.clusters, estimate.clusters)
        np.testing.assert_allclose(alone.moments.covariance, estimate.moments.covariance, rtol=1e-11)
        np.testing.assert_allclose(alone.shares, estimate.shares, rtol=1e-12)
        for name in ("mean_variance", "fragility", "smallest_eigenvalue", "largest_eigenvalue", "intensity"):
            one, other = getattr(alone.moments, name), getattr(estimate.moments, name)
            np.testing.assert_allclose(one, other, rtol=1e-10)
        assert alone.events == estimate.events


@pytest.mark.parametrize(
    ("sessions", "count", "expected"),
    [
        (252, 15, []),
        (252, 14, ["SPARSE_UNIVERSE"]),
        (15, 20, ["T_LT_N", "SHORT_ESTIMATE"]),
        (29, 20, ["SHORT_ESTIMATE"]),
        (30, 30, []),
    ],
)
def test_scarce_windows_are_flagged(simulate, make_settings, make_window, sessions, count, expected):
    window = make_window(simulate(sessions, count))
    (estimate,) = estimate_windows([window], make_settings(), periods_per_year=252)
    assert event_codes(estimate) == expected
    assert estimate.moments is not None


def test_ledoit_wolf_makes_a_short_window_regular(simulate, make_settings, make_window):
    window = make_window(simulate(15, 20))
    conditions = {}
    for kind in ("sample", "ledoit_wolf"):
        settings = make_settings(cluster_mode="none", covariance=kind)
        (estimate,) = estimate_windows([window], settings, periods_per_year=252)
        moments = estimate.moments
        conditions[kind] = shrunk_condition(moments.smallest_eigenvalue, moments.largest_eigenvalue, 0.0)
    assert conditions["sample"] > 1e12
    assert conditions["ledoit_wolf"] < 1000


def test_dropped_rows_removed_atoms_and_young_atoms_are_events(simulate, make_settings, make_window):
    returns = simulate(100, 20)
    returns[4, 0] = np.nan
    returns[:, 1] = 0.0
    returns[:40, 2] = np.nan
    young = np.arange(20) == 2
    (estimate,) = estimate_windows([make_window(returns, is_young=young)], make_settings(), periods_per_year=252)
    assert event_codes(estimate) == ["ZERO_VARIANCE", "ROWS_DROPPED", "YOUNG_ASSET"]
    assert "X:A001" in estimate.events[0].detail
    assert estimate.events[1].detail == "1 of 100 rows had a gap"


def test_a_tail_that_is_no_loss_is_an_event(make_settings, make_window):
    returns = np.random.default_rng(0).uniform(0.001, 0.02, (60, 16))
    (estimate,) = estimate_windows([make_window(returns)], make_settings(), periods_per_year=252)
    assert event_codes(estimate) == ["FRAGILITY_UNDEFINED"]


@pytest.mark.parametrize("sessions", [0, 1])
def test_a_window_without_two_rows_has_no_estimate_and_says_so(make_settings, make_window, sessions):
    (estimate,) = estimate_windows([make_window(np.full((sessions, 4), 0.01))], make_settings(), periods_per_year=252)
    assert estimate.moments is None
    assert estimate.failure


def test_an_estimate_that_fails_takes_no_other_window_with_it(simulate, make_settings, make_window, monkeypatch):
    from quantmill.allocation import estimators

    genuine = estimators.flat_clusters
    windows = [make_window(simulate(100, 6, seed=seed), index=seed) for seed in range(3)]
    marked = estimators.condensed_distances(
        estimators.average_correlation(
            (windows[1].returns - windows[1].returns.mean(axis=0)).T, make_settings().cluster_lookbacks
        )
    )

    def failing(distances, *args, **kwargs):
        if np.allclose(distances, marked):
            raise RuntimeError("no tree")
        return genuine(distances, *args, **kwargs)

    monkeypatch.setattr(estimators, "flat_clusters", failing)
    first, second, third = estimate_windows(windows, make_settings(), periods_per_year=252)
    assert first.moments is not None
    assert third.moments is not None
    assert second.moments is None
    assert second.failure == "ESTIMATE_FAILED: RuntimeError: no tree"


def test_windows_that_do_not_fit_together_are_errors(simulate, make_settings, make_window):
    import dataclasses

    good = make_window(simulate(50, 3))
    for change, message in (
        ({"atom_ids": ("b", "a", "c")}, "ascending"),
        ({"atom_ids": ("a", "a", "c")}, "unique"),
        ({"symbols": np.arange(2)}, "symbols"),
        ({"signs": np.array([1, 0, 1])}, "signs hold"),
    ):
        with pytest.raises(DataContractError, match=message):
            estimate_windows([dataclasses.replace(good, **change)], make_settings(), periods_per_year=252)
    with pytest.raises(BadValue, match="PANIC"):
        estimate_windows([dataclasses.replace(good, regime="PANIC")], make_settings(), periods_per_year=252)
