"""The ladder of every profile, its prechecks and alarms, and the relations between profiles."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.allocation import ladder
from quantmill.allocation.engines.contract import PROFILES
from quantmill.allocation.estimators import estimate_windows
from quantmill.allocation.ladder import solve_profile
from quantmill.allocation.quadratic import Solution, SolverTry

SOLVED = ("min_variance", "hrp", "risk_parity", "max_sharpe")


@pytest.fixture
def solve(make_window, make_settings):
    """Estimate one window of given returns and solve one profile by the engine custom."""

    def run(returns, profile, *, window=None, solving=None, **changes):
        settings = make_settings(**changes)
        (estimate,) = estimate_windows([make_window(returns, **(window or {}))], settings, periods_per_year=252)
        return solve_profile(estimate, profile, settings, **(solving or {}))

    return run


@pytest.fixture
def rising(simulate):
    """A simulated market in which most means are positive."""
    return simulate() + 0.001


@pytest.fixture
def sample_window(stocks, plain):
    """The last 252 returns of the stocks, and the changes under which the published figures were made."""
    changes = {
        **plain,
        "covariance": "ledoit_wolf",
        "correlation_shrinkage": (0.01,),
        "variance_floor": 1e-6,
        "cluster_cap": 0.25,
        "asset_cap": 0.25,
        "regime_caps": {"NORMAL": 0.25},
    }
    return stocks[1][-252:], changes


def codes(allocation):
    return [event.code for event in allocation.events]


def steps(allocation):
    return [(one.step, one.engine_used, one.profile_used, one.status) for one in allocation.attempts]


SHRINKAGES = ("0.01", "0.15", "0.5", "0.95")
BEYOND = {
    "min_variance": [],
    "risk_parity": [],
    "hrp": [f"profile risk_parity, shrinkage {value}" for value in SHRINKAGES],
    "max_sharpe": [f"profile min_variance, shrinkage {value}" for value in SHRINKAGES],
}


@pytest.mark.parametrize("profile", SOLVED)
def test_each_rung_of_the_ladder_is_a_row_and_the_profile_falls_to_its_own_stand_in(rising, solve, profile):
    found = solve(rising, profile, kappa_max=1.0001)
    own = [f"shrinkage {value}" for value in SHRINKAGES]
    last = "profile inverse_volatility" if profile in ("min_variance", "risk_parity") else "capped equal_weight"
    assert [step for step, *_ in steps(found)] == [*own, "engine custom", *BEYOND[profile], last]
    assert found.status == ("fallback_profile" if last.startswith("profile") else "fallback_equal_weight")
    assert found.fallback_reason.startswith("shrinkage 0.01, none rejected: KAPPA")
    assert {used for _, used, _, _ in steps(found)} == {"custom"}


@pytest.mark.parametrize(("profile", "stand_in"), [("hrp", "risk_parity"), ("max_sharpe", "min_variance")])
def test_a_profile_that_cannot_be_solved_has_the_weights_of_its_stand_in(rising, solve, monkeypatch, profile, stand_in):
    expected = solve(rising, stand_in)
    house = ladder.find_engine("custom")

    def failing(request):
        if request.profile == profile:
            return Solution(None, "none", (SolverTry("TEST", "rejected", "not today"),))
        return house.solve(request)

    broken = ladder.replace(house, solve=failing)
    monkeypatch.setattr(ladder, "find_engine", lambda name: broken)
    found = solve(rising, profile)
    assert found.status == "fallback_profile"
    assert found.fallback_reason == "shrinkage 0.01, TEST rejected: not today"
    assert steps(found)[-1] == (f"profile {stand_in}, shrinkage 0.01", "custom", stand_in, "optimal")
    np.testing.assert_array_equal(found.atom_weights, expected.atom_weights)


def test_an_inaccurate_answer_that_is_accepted_is_an_event_and_one_that_is_not_is_none(rising, solve, monkeypatch):
    house = ladder.find_engine("custom")

    def inaccurate(request):
        solution = house.solve(request)
        tries = (SolverTry("FIRST", "rejected", "no"), SolverTry("SECOND", "inaccurate", "almost"))
        return Solution(solution.weights, "SECOND", tries)

    exact = solve(rising, "min_variance")
    monkeypatch.setattr(ladder, "find_engine", lambda name: ladder.replace(house, solve=inaccurate))
    found = solve(rising, "min_variance")
    [event] = [one for one in found.events if one.code == "SOLVER_INACCURATE"]
    assert (event.severity, event.detail) == ("INFO", "shrinkage 0.01, SECOND: almost")
    np.testing.assert_array_equal(found.atom_weights, exact.atom_weights)
    assert "SOLVER_INACCURATE" not in codes(exact)
    refused = solve(rising, "max_sharpe", sharpe_max=1e-9)
    told = [one.detail for one in refused.events if one.code == "SOLVER_INACCURATE"]
    assert told == ["profile min_variance, shrinkage 0.01, SECOND: almost"]


def test_all_negative_means_fall_to_minimum_variance(simulate, solve):
    returns = simulate() - 0.01
    found = solve(returns, "max_sharpe")
    assert found.status == "fallback_profile"
    assert found.fallback_reason.startswith("ALL_NEGATIVE_MEAN: the best allowed excess return is -")
    assert "ALL_NEGATIVE_MEAN" in codes(found)
    assert [step for step, *_ in steps(found)] == ["precheck", "profile min_variance, shrinkage 0.01"]
    np.testing.assert_array_equal(found.atom_weights, solve(returns, "min_variance").atom_weights)


def test_one_good_mean_is_not_enough_where_the_cap_forbids_to_hold_it_alone(simulate, solve):
    returns = simulate(count=10) * 0.2 - 0.002
    returns[:, 4] += 0.0045
    plenty = {"cluster_cap": 1.0, "asset_cap": 1.0, "regime_caps": {"NORMAL": 1.0}, "sharpe_max": 1e3}
    capped = solve(returns, "max_sharpe", cluster_mode="none")
    free = solve(returns, "max_sharpe", cluster_mode="none", **plenty)
    assert capped.fallback_reason.startswith("ALL_NEGATIVE_MEAN")
    assert free.status == "native"
    assert free.atom_weights[4] > 0.9


def test_a_rate_above_every_mean_leaves_no_excess(rising, solve):
    found = solve(rising, "max_sharpe", risk_free_annual=5.0)
    assert found.fallback_reason.startswith("ALL_NEGATIVE_MEAN")


@pytest.mark.parametrize(("rows", "status"), [(59, "fallback_profile"), (60, "native")])
def test_a_mean_needs_sixty_rows(simulate, solve, rows, status):
    found = solve(simulate(rows, 10) + 0.001, "max_sharpe")
    assert found.status == status
    assert ("MEAN_ROWS_SHORT" in codes(found)) == (rows == 59)
    if rows == 59:
        assert found.fallback_reason == "MEAN_ROWS_SHORT: 59 rows; a mean needs 60"
        assert solve(simulate(rows, 10), "hrp").status == "native"


def test_an_in_sample_sharpe_ratio_beyond_its_limit_climbs_the_ladder(rising, solve):
    plain = solve(rising, "max_sharpe")
    sharpe = plain.ex_ante_return / plain.ex_ante_volatility
    assert plain.status == "native"
    above = solve(rising, "max_sharpe", sharpe_max=sharpe * 0.999)
    assert above.attempts[1].reason.startswith("SHARPE_HIGH: in-sample Sharpe ratio")
    assert above.status in {"retried", "fallback_profile"}
    assert above.fallback_reason.startswith("shrinkage 0.01, none rejected: SHARPE_HIGH"), "the solver did not fail"
    never = solve(rising, "max_sharpe", sharpe_max=0.01)
    assert never.status == "fallback_profile"
    assert [one.status for one in never.attempts[:8]] == ["optimal", "rejected"] * 4
    np.testing.assert_array_equal(never.atom_weights, solve(rising, "min_variance").atom_weights)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_volatility_above_its_band_is_flagged_and_changes_nothing(rising, solve, profile):
    quiet = solve(rising, profile)
    assert "VOL_BAND_EXCEEDED" not in codes(quiet)
    bands = dict.fromkeys(PROFILES, 9.0) | {profile: 0.99 * quiet.ex_ante_volatility}
    loud = solve(rising, profile, volatility_bands=bands)
    (event,) = [event for event in loud.events if event.code == "VOL_BAND_EXCEEDED"]
    assert event.detail == (
        f"ex-ante volatility {quiet.ex_ante_volatility:.6g} a year is above the band {bands[profile]:g} of {profile}"
    )
    np.testing.assert_array_equal(loud.atom_weights, quiet.atom_weights)


def test_max_sharpe_has_a_floor_under_its_ridge_and_the_others_none(rising, solve):
    base = solve(rising, "max_sharpe", l2_floor_max_sharpe=0.0, l2_gamma={"NORMAL": 0.10})
    floor = solve(rising, "max_sharpe", l2_floor_max_sharpe=0.10, l2_gamma={"NORMAL": 0.0})
    np.testing.assert_array_equal(base.atom_weights, floor.atom_weights)
    none = solve(rising, "max_sharpe", l2_floor_max_sharpe=0.0, l2_gamma={"NORMAL": 0.0})
    assert np.abs(none.atom_weights - base.atom_weights).max() > 1e-3
    for profile in ("hrp", "risk_parity"):
        ridged = solve(rising, profile, l2_gamma={"NORMAL": 5.0})
        np.testing.assert_array_equal(ridged.atom_weights, solve(rising, profile).atom_weights)


def test_ex_ante_volatilities_of_the_sample_are_those_of_the_specification(sample_window, solve):
    returns, changes = sample_window
    found = {profile: solve(returns, profile, **changes) for profile in PROFILES}
    expected = {
        "min_variance": 0.1479,
        "hrp": 0.1650,
        "risk_parity": 0.1766,
        "max_sharpe": 0.1766,
        "equal_weight": 0.1996,
    }
    assert {name: round(one.ex_ante_volatility, 4) for name, one in found.items()} == expected
    # Least risk and the best ratio are where they belong.
    assert min(found, key=lambda name: found[name].ex_ante_volatility) == "min_variance"
    ratio = {name: one.ex_ante_return / one.ex_ante_volatility for name, one in found.items()}
    assert max(ratio, key=ratio.__getitem__) == "max_sharpe"


def test_uncapped_risk_parity_contributes_equally_on_real_prices(sample_window, solve):
    returns, changes = sample_window
    changes |= {"cluster_cap": 1.0, "asset_cap": 1.0, "regime_caps": {"NORMAL": 1.0}}
    found = solve(returns, "risk_parity", **changes)
    from sklearn.covariance import ledoit_wolf

    sigma = ledoit_wolf(returns)[0]
    sigma = 0.99 * sigma + 0.01 * np.diag(np.diag(sigma)) + 1e-6 * np.trace(sigma) / 20 * np.eye(20)
    share = found.atom_weights * (sigma @ found.atom_weights) / (found.atom_weights @ sigma @ found.atom_weights)
    np.testing.assert_allclose(share, 1 / 20, atol=1e-6)


@pytest.mark.parametrize("profile", PROFILES)
def test_caps_hold_and_every_unit_at_its_cap_has_a_row(rising, solve, profile):
    symbols = np.r_[0, 0, 0, np.arange(1, 18)]
    returns = rising.copy()
    returns[:, :3] *= 0.3
    found = solve(returns, profile, window={"symbols": symbols}, cluster_cap=0.09, asset_cap=0.12, cluster_mode="none")
    assert found.status == "native"
    at_cap = np.flatnonzero(found.cluster_weights >= 0.09 - 1e-6) + 1
    rows = [row for row in found.constraints if row.unit is not None]
    assert [row.unit for row in rows if row.constraint_type == "cluster_cap"] == at_cap.tolist()
    assert [row.unit for row in rows if row.constraint_type == "asset_cap"] == [0]
    assert all(row.is_binding for row in rows)
    assert len({row.constraint_name for row in found.constraints}) == len(found.constraints)
    assert [row.constraint_name for row in found.constraints if row.unit is None] == [
        "budget",
        "cluster_cap",
        "asset_cap",
        "gross",
    ]


@pytest.mark.parametrize("profile", SOLVED)
def test_fewer_clusters_than_the_cap_needs_are_equal_and_flagged(simulate, solve, profile):
    found = solve(simulate(count=3) + 0.001, profile, cluster_mode="none")
    assert found.status == "native"
    np.testing.assert_allclose(found.cluster_weights, 1 / 3)
    assert {"CAP_RELAXED", "DEGENERATE_FEASIBLE_SET"} <= set(codes(found))
    assert [row.is_relaxed for row in found.constraints if row.constraint_name == "cluster_cap"] == [True]


@pytest.mark.parametrize("profile", SOLVED)
def test_two_free_atoms_have_their_closed_form(simulate, solve, plain, profile):
    returns = simulate(count=2) + 0.001
    found = solve(returns, profile, **plain)
    sigma, mean = np.cov(returns.T) * 252, returns[-200:].mean(axis=0) * 252
    inverse = {
        "min_variance": np.linalg.solve(sigma, np.ones(2)),
        "max_sharpe": np.linalg.solve(sigma, mean),
        "hrp": 1 / np.diag(sigma),
        "risk_parity": 1 / np.sqrt(np.diag(sigma)),
    }[profile]
    np.testing.assert_allclose(found.atom_weights, inverse / inverse.sum(), atol=1e-8)


@pytest.mark.parametrize("profile", SOLVED)
def test_fewer_rows_than_atoms_is_solved_and_flagged(simulate, solve, profile):
    found = solve(simulate(15, 20) + 0.002, profile, mean_rows_min=2, sharpe_max=1e3)
    assert found.status in {"native", "retried"}
    assert "T_LT_N" in codes(found)


@pytest.mark.parametrize("profile", SOLVED)
@pytest.mark.parametrize("mode", ["ward", "none"])
def test_identical_atoms_leave_no_gap_in_the_weights(rising, solve, profile, mode):
    returns = rising.copy()
    returns[:, 11] = returns[:, 4]
    found = solve(returns, profile, cluster_mode=mode)
    assert found.status == "native"
    assert np.isfinite(found.atom_weights).all()
    if mode == "ward" or profile != "hrp":
        assert found.atom_weights[4] == pytest.approx(found.atom_weights[11], abs=1e-7)


@pytest.mark.parametrize("profile", SOLVED)
def test_an_estimate_that_failed_ends_in_equal_weights_with_the_reason(simulate, solve, profile):
    found = solve(simulate(1, 10), profile)
    assert found.status == "fallback_equal_weight"
    assert "NO_ESTIMATE" in found.fallback_reason
    assert np.isnan(found.ex_ante_volatility)


def test_a_tighter_cap_never_lowers_the_risk_of_risk_parity_below_that_of_minimum_variance(rising, solve):
    for cap in (1.0, 0.25, 0.1):
        caps = {"cluster_cap": cap, "asset_cap": cap, "regime_caps": {"NORMAL": cap}, "cluster_mode": "none"}
        free = {"l2_gamma": {"NORMAL": 0.0}, "fragility": 0.0, "l2_floor_max_sharpe": 0.0}
        risk = {profile: solve(rising, profile, **caps, **free).ex_ante_volatility for profile in PROFILES}
        assert min(risk, key=risk.__getitem__) == "min_variance"
