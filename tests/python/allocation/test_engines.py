"""The engines on the same moments: agreement, units, injection, and what a silent library leads to."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import skfolio.optimization
from quantmill.allocation import engines
from quantmill.allocation.engines import ENGINES, absence, find_engine
from quantmill.allocation.engines.contract import PROFILES
from quantmill.allocation.estimators import estimate_windows
from quantmill.allocation.ladder import solve_profile
from quantmill.allocation.windows import WindowRequest, allocate_windows, walk
from quantmill.errors import BadValue

SOLVED = ("min_variance", "hrp", "risk_parity", "max_sharpe")
MODEL_OF = {
    "min_variance": "MeanRisk",
    "max_sharpe": "MeanRisk",
    "risk_parity": "RiskBudgeting",
    "hrp": "HierarchicalRiskParity",
}
# Largest difference in a weight that two solvers of one program may leave.
AGREEMENT = {"min_variance": 1e-3, "max_sharpe": 1e-3, "risk_parity": 1e-4, "hrp": 1e-8}
CASES = {
    "plain": {},
    "uncapped": {"cluster_cap": 1.0, "asset_cap": 1.0, "regime_caps": {"NORMAL": 1.0}},
    "tight cap": {"cluster_cap": 0.06},
    "ridge and fragility": {"l2_gamma": {"NORMAL": 0.05}, "l2_floor_max_sharpe": 0.10, "fragility": 0.20},
    "rate": {"risk_free_annual": 0.02},
}


@pytest.fixture
def parity(plain):
    """Changes of the comparison: shared shrunk moments on single stocks, caps of 0.25, no penalties."""
    return {
        **plain,
        "covariance": "ledoit_wolf",
        "correlation_shrinkage": (0.01,),
        "variance_floor": 1e-6,
        "cluster_cap": 0.25,
        "asset_cap": 0.25,
        "regime_caps": {"NORMAL": 0.25},
    }


@pytest.fixture
def both(stocks, make_settings, parity):
    """Weights of custom and of skfolio over a few windows of real prices, windows by stocks."""

    def run(profile, **changes):
        names, returns = stocks
        asked = [WindowRequest(i, s, s + 251, tuple(range(20)), "NORMAL") for i, s in enumerate((0, 400, 820, 1259))]
        found = [
            allocate_windows(
                returns,
                names,
                np.arange(20),
                np.ones(20, dtype=np.int64),
                asked,
                make_settings(**{**parity, **changes}),
                profiles=(profile,),
                periods_per_year=252,
                engine=engine,
            )[profile]
            for engine in ("custom", "skfolio")
        ]
        for allocation in (*found[0], *found[1]):
            assert allocation.status == "native", allocation.fallback_reason
        return [np.stack([allocation.atom_weights for allocation in walked]) for walked in found]

    return run


@pytest.fixture
def solve(simulate, make_window, make_settings):
    """Estimate one window of a simulated market and solve one profile on one engine."""

    def run(profile, engine="skfolio", *, returns=None, periods=252, **changes):
        settings = make_settings(**changes)
        window = make_window(simulate() if returns is None else returns)
        (estimate,) = estimate_windows([window], settings, periods_per_year=periods)
        return solve_profile(estimate, profile, settings, engine=engine)

    return run


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("profile", SOLVED)
def test_the_library_and_the_own_core_agree_on_real_prices(both, profile, case):
    custom, library = both(profile, **CASES[case])
    np.testing.assert_allclose(library, custom, atol=AGREEMENT[profile])
    if profile == "hrp":
        assert np.corrcoef(custom.ravel(), library.ravel())[0, 1] >= 0.999


@pytest.mark.parametrize("profile", SOLVED)
def test_the_cases_of_the_comparison_differ(both, profile):
    plain, tight = both(profile)[0], both(profile, **CASES["tight cap"])[0]
    assert np.abs(plain - tight).max() > 1e-3


def test_the_plain_variant_of_hrp_agrees_too(both):
    custom, library = both("hrp", hrp_variant="lopez_de_prado")
    np.testing.assert_allclose(library, custom, atol=1e-8)
    assert np.abs(custom - both("hrp")[0]).max() > 1e-2


@pytest.mark.parametrize("profile", SOLVED)
def test_rows_of_symbols_and_a_smaller_budget_reach_the_library(make_window, make_settings, simulate, profile):
    settings = make_settings(cluster_mode="none", asset_cap=0.03, cap_policy="cash", mean_rows_min=2)
    returns = simulate() + 0.001
    symbols = np.r_[0, 0, 0, np.arange(1, 18)]
    (estimate,) = estimate_windows([make_window(returns, symbols=symbols)], settings, periods_per_year=252)
    custom, library = (solve_profile(estimate, profile, settings, engine=name) for name in ENGINES)
    assert custom.status == library.status == "native"
    assert 0.4 < custom.cash < 0.6
    # The three atoms of one symbol share an exact total: the projection leaves solver noise in its split.
    tolerance = max(AGREEMENT[profile], 1e-6)
    np.testing.assert_allclose(library.atom_weights, custom.atom_weights, atol=tolerance)


@pytest.mark.parametrize("profile", ["min_variance", "max_sharpe"])
def test_the_price_of_turnover_reaches_the_library(make_window, make_settings, simulate, profile):
    settings = make_settings(cluster_mode="none", turnover_penalty=True)
    (estimate,) = estimate_windows([make_window(simulate() + 0.001)], settings, periods_per_year=252)
    held = dict.fromkeys(estimate.window.atom_ids, 0.05)
    found = {
        (name, price): solve_profile(
            estimate, profile, settings, engine=name, turnover_price=price, previous_weights=held
        )
        for name in ENGINES
        for price in (1e-9, 0.1)
    }
    assert {one.status for one in found.values()} == {"native"}
    dear = [found[name, 0.1].atom_weights for name in ENGINES]
    np.testing.assert_allclose(dear[1], dear[0], atol=1e-3)
    assert np.abs(dear[1] - 0.05).sum() < 0.9 * np.abs(found["skfolio", 1e-9].atom_weights - 0.05).sum()


def test_what_is_delegated_is_copied_weight_for_weight(solve):
    own, copied = solve("equal_weight", "custom"), solve("equal_weight", "skfolio")
    assert (copied.status, copied.fallback_reason) == ("delegated", "engine_independent")
    assert copied.engine == "skfolio"
    np.testing.assert_array_equal(copied.atom_weights, own.atom_weights)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("profile", SOLVED)
def test_annual_inputs_give_the_weights_of_daily_ones(solve, engine, profile):
    # The fragility of max_sharpe is an annual volatility against an annual mean, so it has a unit of its own.
    changes = {"fragility": 0.0} if profile == "max_sharpe" else {}
    annual, daily = (solve(profile, engine, periods=periods, **changes) for periods in (252, 1))
    np.testing.assert_allclose(daily.atom_weights, annual.atom_weights, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("profile", SOLVED)
def test_another_covariance_with_the_same_returns_gives_other_weights(simulate, make_request, engine, profile):
    returns = simulate()
    first, second = np.cov(returns.T) * 252, np.diag(np.linspace(0.01, 0.2, 20))
    mean = returns.mean(axis=0) * 252 + 0.1
    found = [
        find_engine(engine).solve(make_request(profile, matrix, mean=mean, streams=returns.T, cap=0.5))
        for matrix in (first, second)
    ]
    assert np.abs(found[0].weights - found[1].weights).max() > 1e-2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("profile", SOLVED)
def test_the_order_of_columns_changes_no_weight_of_any_engine(solve, simulate, engine, profile):
    returns = simulate() + 0.0005
    order = np.random.default_rng(4).permutation(20)
    base, moved = solve(profile, engine, returns=returns), solve(profile, engine, returns=returns[:, order])
    np.testing.assert_allclose(moved.atom_weights, base.atom_weights[order], atol=1e-6 if engine == "custom" else 1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("profile", SOLVED)
def test_scaling_the_returns_changes_no_weight_of_any_engine(solve, simulate, engine, profile):
    base, scaled = (solve(profile, engine, returns=c * (simulate() + 0.0005)) for c in (1.0, 3.0))
    np.testing.assert_allclose(scaled.atom_weights, base.atom_weights, atol=1e-4)


@pytest.mark.parametrize("answer", ["none", "nan", "zeros", "failing", "raises"])
@pytest.mark.parametrize("profile", SOLVED)
def test_a_silent_library_never_answers_under_its_own_name(solve, monkeypatch, profile, answer):
    own = solve(profile, "custom")

    class Stub:
        error_ = "no solution" if answer == "failing" else None

        def __init__(self, **_):
            pass

        def fit(self, returns):
            if answer == "raises":
                raise RuntimeError("broken")
            count = returns.shape[1]
            vectors = {"nan": np.full(count, np.nan), "zeros": np.zeros(count), "failing": np.full(count, 1 / count)}
            self.weights_ = vectors.get(answer)
            return self

    monkeypatch.setattr(skfolio.optimization, MODEL_OF[profile], Stub)
    found = solve(profile)
    assert found.status == "fallback_engine"
    assert found.fallback_reason.startswith("shrinkage 0.01, skfolio")
    assert len(found.attempts) == 5
    assert [one.engine_used for one in found.attempts] == ["skfolio"] * 4 + ["custom"]
    assert {one.status for one in found.attempts[:4]} == {"error" if answer == "raises" else "rejected"}
    assert all(one.reason for one in found.attempts[:4])
    assert found.attempts[4].step == "engine custom, shrinkage 0.01"
    np.testing.assert_array_equal(found.atom_weights, own.atom_weights)


def test_a_library_that_answers_later_is_retried_and_says_so(solve, monkeypatch):
    genuine, calls = skfolio.optimization.MeanRisk.fit, []

    def once(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("not now")
        return genuine(self, *args, **kwargs)

    monkeypatch.setattr(skfolio.optimization.MeanRisk, "fit", once)
    found = solve("min_variance")
    assert found.status == "retried"
    assert [one.shrinkage for one in found.attempts] == [0.01, 0.15]
    assert "RuntimeError: not now" in found.fallback_reason


@pytest.mark.parametrize("profile", PROFILES)
def test_a_missing_library_gives_errors_in_cash_and_no_substitute(
    simulate, make_window, make_settings, monkeypatch, profile
):
    monkeypatch.setitem(sys.modules, "skfolio", None)
    settings = make_settings()
    estimates = estimate_windows([make_window(simulate())], settings, periods_per_year=252)
    (found,) = walk(estimates, profile, settings, engine="skfolio")
    assert found.status == "error"
    assert found.fallback_reason.startswith("ENGINE_UNAVAILABLE: skfolio cannot be imported")
    assert found.cash == 1.0
    assert not found.atom_weights.any()
    assert [event.code for event in found.events] == ["ENGINE_UNAVAILABLE"]
    assert absence(find_engine("custom")) == ""


def test_every_engine_says_what_it_can_do_with_every_profile():
    for engine in ENGINES.values():
        assert set(engine.capabilities) == set(PROFILES)
        delegated = {profile for profile, kind in engine.capabilities.items() if kind == "delegated"}
        assert delegated == set(engine.delegated_because)
    assert set(engines.ENGINES) == {"custom", "skfolio"}


def test_an_unknown_engine_is_named_with_those_that_exist():
    with pytest.raises(BadValue, match="there is no engine 'abacus'; there are custom, skfolio"):
        find_engine("abacus")
