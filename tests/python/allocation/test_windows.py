"""The walk over windows: statuses, the ladder, the records and their invariants."""

from __future__ import annotations

import clarabel
import daqp
import numpy as np
import pytest
import scs
from hypothesis import Phase, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from quantmill.allocation import ladder as module
from quantmill.allocation import windows as walking
from quantmill.allocation.engines.contract import PROFILES
from quantmill.allocation.estimators import WindowInput, estimate_windows
from quantmill.allocation.ladder import ridge, solve_profile
from quantmill.allocation.windows import WindowRequest, allocate_windows, turnover_price, walk
from quantmill.errors import BadValue, DataContractError
from quantmill.manifest.settings import AllocationSettings

GOOD = {"native", "composed"}


@pytest.fixture
def allocate(make_window, make_settings):
    """Estimate one window and solve one profile of it."""

    def run(returns, profile="min_variance", *, solve=None, window=None, **changes):
        settings = make_settings(**changes)
        (estimate,) = estimate_windows([make_window(returns, **(window or {}))], settings, periods_per_year=252)
        return solve_profile(estimate, profile, settings, **(solve or {}))

    return run


def codes(allocation):
    return [event.code for event in allocation.events]


def constraint(allocation, name):
    (row,) = [row for row in allocation.constraints if row.constraint_name == name]
    return row


def check(allocation):
    """What holds for every record whatever its status."""
    weights = allocation.atom_weights
    assert abs(weights.sum() + allocation.cash - 1.0) <= 1e-6
    assert weights.min(initial=0.0) >= -1e-9
    assert weights.shape == allocation.shares.shape == allocation.cluster_ids.shape
    assert bool(allocation.fallback_reason) == (allocation.status not in GOOD)
    assert [a.attempt for a in allocation.attempts] == list(range(1, len(allocation.attempts) + 1))
    assert all(a.reason for a in allocation.attempts if a.status != "optimal")
    if allocation.status in {"infeasible", "error"}:
        assert allocation.cash == 1.0
        assert not weights.any()
        return
    kept = allocation.cluster_ids > 0
    np.testing.assert_allclose(
        weights[kept], allocation.cluster_weights[allocation.cluster_ids[kept] - 1] * allocation.shares[kept]
    )
    assert not weights[~kept].any()
    for name in ("cluster_cap", "asset_cap", "gross"):
        row = constraint(allocation, name)
        assert row.value <= row.bound + 1e-6
        if row.is_relaxed:
            assert "CAP_RELAXED" in codes(allocation)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("regime", ["QUIET", "NORMAL", "TURBULENT", "CRISIS"])
def test_an_ordinary_window_is_native_and_within_its_caps(simulate, allocate, profile, regime):
    found = allocate(simulate(), profile, window={"regime": regime})
    check(found)
    assert found.status == "native"
    assert found.cash == 0.0
    assert not found.events
    assert constraint(found, "cluster_cap").bound == {"TURBULENT": 0.20, "CRISIS": 0.15}.get(regime, 0.25)
    assert not any(row.is_relaxed for row in found.constraints)


def test_equal_weight_of_singleton_clusters_is_the_flat_benchmark_where_no_cap_binds(simulate, allocate):
    returns = simulate()
    count = returns.shape[1]
    found = allocate(returns, "equal_weight", cluster_mode="none", cap_policy="fail")
    assert not any(row.is_binding for row in found.constraints if "cap" in row.constraint_name)
    np.testing.assert_allclose(found.atom_weights, np.full(count, 1.0 / count), atol=1e-12)


def test_equal_weight_gives_clusters_the_same_and_atoms_their_share(simulate, allocate):
    returns = simulate()
    returns[:, 7] = returns[:, 3] + np.random.default_rng(0).normal(0, 1e-3, 252)
    found = allocate(returns, "equal_weight")
    assert found.cluster_ids[3] == found.cluster_ids[7]
    assert len(found.cluster_weights) == 19
    np.testing.assert_allclose(found.cluster_weights, 1 / 19)
    np.testing.assert_allclose(found.atom_weights[3] + found.atom_weights[7], 1 / 19)
    check(found)


def test_the_two_profiles_of_a_window_share_clusters_and_shares(simulate, make_window, make_settings):
    settings = make_settings()
    (estimate,) = estimate_windows([make_window(simulate())], settings, periods_per_year=252)
    first, second = (solve_profile(estimate, profile, settings) for profile in ("equal_weight", "min_variance"))
    np.testing.assert_array_equal(first.cluster_ids, second.cluster_ids)
    np.testing.assert_array_equal(first.shares, second.shares)
    covariance = estimate.moments.covariance
    risk = [w.cluster_weights @ covariance @ w.cluster_weights for w in (first, second)]
    assert risk[1] < risk[0]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_atom_is_infeasible_and_all_cash(allocate, profile):
    found = allocate(np.empty((252, 0)), profile)
    check(found)
    assert found.status == "infeasible"
    assert found.fallback_reason.startswith("NO_ATOMS")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("policy", "weight"), [("relax", 1.0), ("cash", 0.25), ("fail", 0.0)])
def test_one_atom_needs_no_solver_and_follows_the_cap_policy(simulate, allocate, monkeypatch, profile, policy, weight):
    def forbidden(*args, **kwargs):
        raise AssertionError("a library was called")

    monkeypatch.setattr(daqp, "solve", forbidden)
    found = allocate(simulate(count=1), profile, cap_policy=policy)
    check(found)
    np.testing.assert_allclose(found.atom_weights, [weight])
    assert found.cash == pytest.approx(1 - weight)
    assert found.status == ("infeasible" if policy == "fail" else "native")
    assert ("CAP_RELAXED" in codes(found)) == (policy == "relax")
    assert ("CASH_FROM_CAPS" in codes(found)) == (policy == "cash")
    if policy == "relax":
        assert constraint(found, "cluster_cap").is_relaxed
        assert constraint(found, "asset_cap").is_relaxed


def test_two_atoms_are_halves_under_a_cap_and_the_closed_form_without(simulate, allocate, plain):
    returns = simulate(count=2)
    capped = allocate(returns, cluster_cut=dict.fromkeys(("QUIET", "NORMAL", "TURBULENT", "CRISIS"), 0.0))
    np.testing.assert_allclose(capped.atom_weights, [0.5, 0.5])
    assert "CAP_RELAXED" in codes(capped)
    free = allocate(returns, **plain)
    sigma = np.cov(returns.T)
    first = np.clip((sigma[1, 1] - sigma[0, 1]) / (sigma[0, 0] + sigma[1, 1] - 2 * sigma[0, 1]), 0, 1)
    np.testing.assert_allclose(free.atom_weights, [first, 1 - first], atol=1e-10)
    check(capped)
    check(free)


def test_fewer_rows_than_atoms_is_solved_and_flagged(simulate, allocate):
    found = allocate(simulate(15, 20))
    check(found)
    assert found.status == "native"
    assert "T_LT_N" in codes(found)


@pytest.mark.parametrize("mode", ["ward", "none"])
def test_identical_atoms_get_equal_weights(simulate, allocate, mode):
    returns = simulate()
    returns[:, 11] = returns[:, 4]
    found = allocate(returns, cluster_mode=mode)
    check(found)
    assert found.status == "native"
    assert found.atom_weights[4] == pytest.approx(found.atom_weights[11], abs=1e-8)
    if mode == "ward":
        assert found.cluster_ids[4] == found.cluster_ids[11]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_corrupt_atom_gets_no_weight_and_an_event(simulate, allocate, profile):
    returns = simulate()
    returns[:, 0] = 0.0
    returns[5, 1] = 6.0
    returns[9, 2] = -1.0
    returns[:40, 3] = np.nan
    returns[7, 4] = np.inf
    found = allocate(returns, profile)
    check(found)
    assert found.status == "native"
    assert codes(found) == ["ZERO_VARIANCE", "TOXIC", "LIQUIDATED", "LOW_COVERAGE", "NON_FINITE"]
    np.testing.assert_array_equal(found.cluster_ids[:5], -1)
    assert (found.cluster_ids[5:] > 0).all()
    without = allocate(returns[:, 5:], profile)
    np.testing.assert_allclose(found.atom_weights[5:], without.atom_weights, atol=1e-12)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_window_of_dead_atoms_only_is_infeasible(allocate, profile):
    found = allocate(np.zeros((100, 4)), profile)
    check(found)
    assert found.status == "infeasible"
    assert codes(found)[:4] == ["ZERO_VARIANCE"] * 4


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("sessions", [1, 2])
def test_a_window_of_one_row_falls_to_equal_weights_and_one_of_two_is_solved(allocate, simulate, profile, sessions):
    found = allocate(simulate(sessions, 20), profile)
    check(found)
    if sessions == 1:
        assert found.status == "fallback_equal_weight"
        assert "NO_ESTIMATE" in found.fallback_reason
        np.testing.assert_allclose(found.atom_weights, 1 / 20)
        assert {"T_LT_N", "SHORT_ESTIMATE"} <= set(codes(found))
    else:
        assert found.status in {"native", "retried"}


def test_few_clusters_are_flagged_as_a_degenerate_set(simulate, allocate):
    assert "DEGENERATE_FEASIBLE_SET" in codes(allocate(simulate(count=4), cluster_mode="none"))
    five = allocate(simulate(count=5), cluster_mode="none")
    assert "DEGENERATE_FEASIBLE_SET" not in codes(five)


def test_a_singular_window_climbs_the_ladder_by_its_condition_number(simulate, allocate):
    returns = simulate(252, 20)
    changes = {"cluster_mode": "none", "covariance": "sample"}
    twins = np.concatenate((returns, returns), axis=1)
    found = allocate(twins, kappa_max=200.0, **changes)
    check(found)
    assert found.status == "retried"
    assert [a.status for a in found.attempts] == ["rejected", "optimal"]
    assert found.attempts[0].reason.startswith("KAPPA: condition number")
    assert found.attempts[0].condition_number > 200 > found.attempts[1].condition_number
    assert [a.shrinkage for a in found.attempts] == [0.01, 0.15]
    assert found.fallback_reason.startswith("shrinkage 0.01, none rejected: KAPPA")


def test_when_no_shrinkage_helps_the_profile_falls_to_inverse_volatility(simulate, allocate, no_cap):
    returns = simulate(252, 6)
    found = allocate(returns, kappa_max=1.0001, cluster_mode="none", **no_cap)
    check(found)
    assert found.status == "fallback_profile"
    assert [a.step for a in found.attempts] == [
        "shrinkage 0.01",
        "shrinkage 0.15",
        "shrinkage 0.5",
        "shrinkage 0.95",
        "engine custom",
        "profile inverse_volatility",
    ]
    assert found.attempts[4].status == "not_applicable"
    from sklearn.covariance import ledoit_wolf

    raw = 1 / np.sqrt(np.diag(ledoit_wolf(returns)[0]))
    np.testing.assert_allclose(found.atom_weights, raw / raw.sum(), rtol=1e-10)


def test_the_last_rung_is_capped_equal_weight(simulate, allocate, monkeypatch):
    def broken(*args):
        raise RuntimeError("no volatility today")

    monkeypatch.setattr(module, "inverse_volatility_weights", broken)
    found = allocate(simulate(), kappa_max=1.0001)
    check(found)
    assert found.status == "fallback_equal_weight"
    assert [a.step for a in found.attempts[-2:]] == ["profile inverse_volatility", "capped equal_weight"]
    assert found.attempts[-2].reason == "RuntimeError: no volatility today"
    np.testing.assert_allclose(found.cluster_weights, 1 / len(found.cluster_weights))


def test_when_even_equal_weights_fail_the_window_is_an_error_in_cash(simulate, allocate, monkeypatch):
    def broken(*args):
        raise RuntimeError("nothing works")

    monkeypatch.setattr(module, "inverse_volatility_weights", broken)
    monkeypatch.setattr(module, "equal_weights", broken)
    for profile in PROFILES:
        found = allocate(simulate(), profile, kappa_max=1.0001)
        check(found)
        assert found.status == "error"
        assert found.fallback_reason == "RuntimeError: nothing works"
        assert codes(found) == ["ERROR"]


@pytest.mark.parametrize("answer", ["none", "nan", "zeros", "failing", "raises"])
def test_a_silent_library_is_visible_in_the_status(simulate, allocate, monkeypatch, answer):
    good = allocate(simulate())
    count = len(good.cluster_weights)
    vectors = {"nan": np.full(count, np.nan), "zeros": np.zeros(count), "failing": np.full(count, 1 / count)}

    def fake(*args, **kwargs):
        if answer == "raises":
            raise RuntimeError("broken")
        flag = -1 if answer == "failing" else 1
        return None if answer == "none" else (vectors[answer], 0.0, flag, {"lam": np.zeros(count + 1)})

    monkeypatch.setattr(daqp, "solve", fake)
    second = allocate(simulate())
    check(second)
    assert second.status == "retried"
    assert second.fallback_reason.startswith("shrinkage 0.01, DAQP")
    assert [a.solver for a in second.attempts] == ["DAQP", "CLARABEL"]
    np.testing.assert_allclose(second.atom_weights, good.atom_weights, atol=1e-6)

    monkeypatch.setattr(clarabel, "DefaultSolver", fake)
    monkeypatch.setattr(scs, "SCS", fake)
    last = allocate(simulate())
    check(last)
    assert last.status == "fallback_profile"
    assert len(last.attempts) == 4 * 3 + 2


def test_a_leak_after_the_solver_becomes_an_error_row(simulate, allocate, monkeypatch):
    genuine = module.flatten
    monkeypatch.setattr(module, "flatten", lambda *args: genuine(*args) * 0.99)
    found = allocate(simulate())
    check(found)
    assert found.status == "error"
    assert "WEIGHT_LEAK" in found.fallback_reason
    assert found.attempts[-1].step == "guards"


def test_a_weight_above_its_cap_never_leaves(simulate, allocate, monkeypatch):
    monkeypatch.setattr(module, "equal_weights", lambda feasible, count: np.eye(count)[0])
    found = allocate(simulate(), "equal_weight")
    check(found)
    assert found.status == "error"
    assert "cluster_cap is 0.25 and a weight is 1" in found.fallback_reason


def test_a_symbol_with_several_atoms_is_capped_across_clusters(simulate, allocate):
    returns = simulate()
    returns[:, :3] *= 0.3
    symbols = np.r_[0, 0, 0, np.arange(1, 18)]
    for profile in PROFILES:
        loose = allocate(returns, profile, window={"symbols": symbols}, asset_cap=1.0)
        tight = allocate(returns, profile, window={"symbols": symbols}, asset_cap=0.12)
        check(tight)
        assert constraint(loose, "asset_cap").value > 0.13
        assert tight.status == "native"
        assert tight.atom_weights[:3].sum() == pytest.approx(0.12, abs=1e-6)
        assert constraint(tight, "asset_cap").is_binding


def test_long_and_short_of_one_symbol_net_to_nothing(simulate, allocate):
    returns = simulate(count=8)
    both = np.concatenate((returns, -returns), axis=1)
    found = allocate(
        both,
        "equal_weight",
        window={"symbols": np.r_[0:8, 0:8], "signs": np.repeat([1, -1], 8)},
        cluster_mode="none",
    )
    check(found)
    assert constraint(found, "gross").value == pytest.approx(0.0, abs=1e-12)
    assert constraint(found, "budget").value == pytest.approx(1.0)


def test_scaling_all_returns_changes_no_weight(simulate, allocate):
    returns = simulate()
    first, second = allocate(returns), allocate(3.0 * returns)
    np.testing.assert_allclose(first.cluster_weights, second.cluster_weights, atol=1e-4)
    np.testing.assert_array_equal(first.cluster_ids, second.cluster_ids)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_order_of_columns_changes_no_weight(simulate, allocate, profile):
    returns = simulate()
    returns[:, 7] = returns[:, 3] + np.random.default_rng(0).normal(0, 1e-3, 252)
    order = np.random.default_rng(4).permutation(20)
    base, moved = allocate(returns, profile), allocate(returns[:, order], profile)
    np.testing.assert_allclose(moved.atom_weights, base.atom_weights[order], atol=1e-6)


def test_annual_factor_does_not_change_the_weights(simulate, make_window, make_settings):
    settings = make_settings()
    weights = []
    for periods in (1, 252, 365):
        (estimate,) = estimate_windows([make_window(simulate())], settings, periods_per_year=periods)
        weights.append(solve_profile(estimate, "min_variance", settings).atom_weights)
    np.testing.assert_allclose(weights, [weights[0]] * 3, atol=1e-9)


@settings_of_hypothesis(max_examples=80, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 24),
    sessions=st.integers(1, 90),
    cap=st.sampled_from((0.05, 0.15, 0.25, 1.0)),
    asset_cap=st.sampled_from((0.03, 0.1, 0.25, 1.0)),
    policy=st.sampled_from(("relax", "cash", "fail")),
    mode=st.sampled_from(("ward", "none")),
    kappa_max=st.sampled_from((1.0001, 50.0, 5000.0)),
    price=st.sampled_from((0.0, 0.01)),
)
def test_every_window_becomes_a_balanced_record_with_a_known_status(
    default_values, seed, count, sessions, cap, asset_cap, policy, mode, kappa_max, price
):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.02, (sessions, count)) + rng.normal(0, 0.02, (sessions, 1))
    returns[rng.random(returns.shape) < 0.005] = np.nan
    returns[rng.random(returns.shape) < 0.001] = rng.choice((np.inf, 6.0, -1.0))
    returns[:, rng.random(count) < 0.05] = 0.0
    window = WindowInput(
        window_index=0,
        atom_ids=tuple(f"A{place:03d}" for place in range(count)),
        returns=returns,
        symbols=rng.integers(0, max(1, count - 2), count),
        signs=rng.choice((-1, 1), count),
        regime="NORMAL",
    )
    settings = AllocationSettings.model_validate(
        {
            **default_values,
            "cluster_cap": cap,
            "regime_caps": {"NORMAL": 1.0},
            "asset_cap": asset_cap,
            "cap_policy": policy,
            "cluster_mode": mode,
            "kappa_max": kappa_max,
            "turnover_penalty": price > 0,
        }
    )
    (estimate,) = estimate_windows([window], settings, periods_per_year=252)
    held = dict(zip(window.atom_ids, rng.dirichlet(np.ones(count)).tolist(), strict=True))
    for profile in PROFILES:
        found = solve_profile(estimate, profile, settings, turnover_price=price, previous_weights=held)
        check(found)
        assert found.status != "error", found.fallback_reason
        if policy == "relax" and found.status != "infeasible":
            assert found.cash == 0.0
        if policy != "relax":
            assert not any(row.is_relaxed for row in found.constraints)


def requests(rows, count, *, length=120, step=20, **extra):
    return [
        WindowRequest(index, start, start + length - 1, tuple(range(count)), "NORMAL", **extra)
        for index, start in enumerate(range(0, rows - length + 1, step))
    ]


def run(returns, settings, asked=None, **extra):
    count = returns.shape[1]
    return allocate_windows(
        returns,
        tuple(f"A{place:03d}" for place in range(count)),
        np.arange(count),
        np.ones(count, dtype=np.int64),
        requests(len(returns), count) if asked is None else asked,
        settings,
        periods_per_year=252,
        **extra,
    )


def test_nothing_after_a_decision_enters_its_weights(simulate, make_settings):
    settings = make_settings(turnover_penalty=True)
    returns = simulate(300, 10)
    asked = requests(300, 10)
    base = run(returns, settings, asked, cost_rate=6e-4, step=20)
    for place, request in enumerate(asked):
        future = returns.copy()
        known = request.decision_row + 1
        future[known:] = np.random.default_rng(9).normal(0, 0.5, (300 - known, 10))
        for matrix in (future, returns[:known]):
            found = run(matrix, settings, asked[: place + 1], cost_rate=6e-4, step=20)
            for profile in PROFILES:
                np.testing.assert_array_equal(found[profile][place].atom_weights, base[profile][place].atom_weights)
    # The decision row itself does enter.
    touched = returns.copy()
    touched[asked[0].decision_row] += np.random.default_rng(1).normal(0, 0.05, 10)
    first = run(touched, settings, asked[:1])["min_variance"][0]
    assert np.abs(first.atom_weights - base["min_variance"][0].atom_weights).max() > 1e-4


def test_a_window_sees_its_own_columns_and_rows_only(simulate, make_settings):
    returns = simulate(200, 10)
    request = WindowRequest(4, 30, 149, (1, 3, 4, 7, 8, 9), "NORMAL")
    found = run(returns, make_settings(), [request])["min_variance"][0]
    assert found.window_index == 4
    assert found.atom_ids == ("A001", "A003", "A004", "A007", "A008", "A009")
    other = np.full_like(returns, np.nan)
    other[30:150, [1, 3, 4, 7, 8, 9]] = returns[30:150, [1, 3, 4, 7, 8, 9]]
    np.testing.assert_array_equal(
        run(other, make_settings(), [request])["min_variance"][0].atom_weights, found.atom_weights
    )


def test_the_memory_layout_of_the_matrix_changes_no_bit(simulate, make_settings):
    returns = simulate(300, 10)
    one, other = (run(order(returns), make_settings()) for order in (np.ascontiguousarray, np.asfortranarray))
    for profile in PROFILES:
        for first, second in zip(one[profile], other[profile], strict=True):
            np.testing.assert_array_equal(first.atom_weights, second.atom_weights)


def test_an_atom_that_starts_inside_a_window_is_young_there(simulate, make_settings):
    returns = simulate(300, 20)
    returns[:60, 5] = np.nan
    starts = np.zeros(20, dtype=np.int64)
    starts[5] = 60
    found = run(returns, make_settings(), first_valid_rows=starts)["min_variance"]
    flagged = [place for place, window in enumerate(found) if "YOUNG_ASSET" in codes(window)]
    assert flagged == [0, 1, 2]
    assert all(window.cluster_ids[5] > 0 for window in found)
    assert {event.code for event in found[3].events} == set()


def test_a_window_outside_the_matrix_is_an_error(simulate, make_settings):
    with pytest.raises(DataContractError, match=r"rows 200 to 319; the matrix has 300"):
        run(simulate(300, 4), make_settings(), [WindowRequest(0, 200, 319, (0, 1), "NORMAL")])


def test_the_turnover_penalty_lowers_turnover_and_only_when_asked(simulate, make_settings):
    returns = simulate(400, 10)

    def turnover(**changes):
        walked = run(returns, make_settings(cluster_mode="none", **changes), cost_rate=6e-4, step=20)["min_variance"]
        assert {window.status for window in walked} == {"native"}
        weights = np.stack([window.atom_weights for window in walked])
        return np.abs(np.diff(weights, axis=0)).sum(), weights[0]

    free, first = turnover(turnover_penalty=False)
    priced, priced_first = turnover(turnover_penalty=True)
    assert priced < 0.9 * free
    # The first window starts from cash, where every fully invested book trades the same.
    np.testing.assert_allclose(first, priced_first, atol=1e-8)


def test_the_previous_weights_of_a_cluster_are_those_of_its_members(simulate, make_window, make_settings):
    returns = simulate(count=8)
    returns[:, 1] = returns[:, 0] + np.random.default_rng(1).normal(0, 1e-4, 252)
    settings = make_settings(turnover_penalty=True)
    (estimate,) = estimate_windows([make_window(returns)], settings, periods_per_year=252)
    ids = estimate.window.atom_ids
    held = dict.fromkeys(ids, 0.125)
    frozen = solve_profile(estimate, "min_variance", settings, turnover_price=100.0, previous_weights=held)
    np.testing.assert_allclose(frozen.cluster_weights, [0.25] + [0.125] * 6, atol=1e-8)


def test_the_price_of_turnover_is_that_of_the_specification():
    assert turnover_price(6e-4, 252, 20) == pytest.approx(0.00756)


def test_the_ridge_follows_quadrant_and_label(make_settings):
    settings = make_settings()
    assert ridge(settings, "NORMAL", None) == 0.05
    assert ridge(settings, "NORMAL", "STAGNATION") == 0.10
    assert ridge(settings, "CRISIS", None) == 0.20
    assert ridge(settings, "CRISIS", "EXPANSION") == 0.20
    assert ridge(settings, "TURBULENT", "EXPANSION") == 0.10
    assert ridge(settings, "TURBULENT", "CRISIS") == 0.20


def test_settings_that_miss_a_key_are_errors_and_not_statuses(simulate, allocate):
    with pytest.raises(BadValue, match="l2_gamma has no key 'BOOM'"):
        allocate(simulate(), window={"quadrant": "BOOM"})
    with pytest.raises(BadValue, match="regime_caps has no regime 'NORMAL'"):
        allocate(simulate(), regime_caps={"CRISIS": 0.15})
    with pytest.raises(BadValue, match="the engine custom has no profile 'barbell'"):
        allocate(simulate(), "barbell")
    with pytest.raises(BadValue, match="there is no engine 'abacus'; there are custom, skfolio"):
        allocate(simulate(), solve={"engine": "abacus"})


def test_the_walk_hands_its_weights_on(simulate, make_window, make_settings, monkeypatch):
    settings = make_settings(turnover_penalty=True)
    windows = [make_window(simulate(seed=seed), index=seed) for seed in range(3)]
    estimates = estimate_windows(windows, settings, periods_per_year=252)
    seen = []
    genuine = walking.solve_profile

    def spy(estimate, profile, settings, **kwargs):
        seen.append(dict(kwargs["previous_weights"]))
        return genuine(estimate, profile, settings, **kwargs)

    monkeypatch.setattr(walking, "solve_profile", spy)
    found = walk(estimates, "min_variance", settings, turnover_price=0.01)
    assert seen == [{}, found[0].weights_by_atom(), found[1].weights_by_atom()]
