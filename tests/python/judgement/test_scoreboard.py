"""The scoreboard on made-up boards: each gate has a cell that fails exactly it, and no gate fails another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantmill.errors import DataContractError
from quantmill.judgement import (
    GATES,
    Entrant,
    GateRow,
    MetricRow,
    ParityGaps,
    ScoreRow,
    judge_gates,
    score,
    selection_jaccard,
    temporal_fragility,
)
from quantmill.judgement.scoreboard import NOT_COMPUTED
from quantmill.manifest.compose import resolve
from quantmill.manifest.settings import GateSettings
from support import ROOT

LIMITS = resolve(ROOT / "manifest", "sample", overrides={}, environment={}).settings.gates
BANKRUPT_BELOW = 0.01

GOOD = {
    "sharpe": 1.0,
    "gross_sharpe": 1.1,
    "friction_decay": 1.0 - 1.0 / 1.1,
    "temporal_fragility": 1.2,
    "selection_jaccard": 0.8,
    "af_dist": 0.1,
    "stress_alpha": 0.001,
    "window_turnover": 0.2,
    "ann_turnover": 2.0,
    "cvar_mult": 0.9,
    "mdd_mult": 0.8,
    "beta_recent": 0.4,
    "equity_share": 0.5,
    "short_share": 0.0,
    "commodity_share": 0.0,
    "max_cluster_peak": 0.25,
    "n_clusters_least": 6.0,
    "window_coverage": 1.0,
    "n_windows": 62.0,
    "n_obs": 1240.0,
    "solver_success": 1.0,
    "nav_low": 0.9,
    "n_sign_errors": 0.0,
}


def measured(**values: float | MetricRow | None) -> dict[str, MetricRow]:
    found = {}
    for name, value in (GOOD | values).items():
        if isinstance(value, MetricRow):
            found[name] = value
        elif value is not None:
            found[name] = MetricRow(name, value, 1240, "ok", "")
    return found


def entrant(cell_id: str = "a", metrics: Mapping[str, Any] | None = None, **changes: Any) -> Entrant:
    base: dict[str, Any] = {
        "cell_id": cell_id,
        "config_id": f"config-{cell_id}",
        "window_set": "secular",
        "engine": "custom",
        "risk_profile": "min_variance",
        "simulator": "custom",
        "cost_model": "std_6bp",
        "execution": "close",
        "mode": "parity",
        "is_baseline": False,
        "status": "ok",
        "config_status": "native",
        "metrics": measured(**(metrics or {})),
        "parity": ParityGaps(annual_return=0.001, sharpe=0.01),
    }
    return Entrant(**(base | changes))


def gates_of(
    one: Entrant, *, limits: GateSettings = LIMITS, tier: Any = "strict", test_sessions: int = 20
) -> dict[str, GateRow]:
    rows = judge_gates(one, gates=limits, tier=tier, test_sessions=test_sessions, bankrupt_below=BANKRUPT_BELOW)
    assert [row.gate for row in rows] == list(GATES)
    return {row.gate: row for row in rows}


def board(*entrants: Entrant, limits: GateSettings = LIMITS, **changes: Any) -> dict[str, ScoreRow]:
    base: dict[str, Any] = {
        "gates": limits,
        "tier": "strict",
        "test_sessions": {"secular": 20, "golden": 10},
        "bankrupt_below": BANKRUPT_BELOW,
        "required_simulators": ["custom"],
        "cost_models": ["std_6bp", "study_11bp", "gross"],
        "engines": ["custom", "skfolio"],
        "net_returns": {},
        "universe_basis": "static",
    }
    return {row.cell_id: row for row in score(list(entrants), **(base | changes))}


# --- each gate has a cell that fails exactly it

FAILING = {
    "friction_decay": entrant(metrics={"friction_decay": 0.31}),
    "temporal_fragility": entrant(metrics={"temporal_fragility": 2.13}),
    "selection_jaccard": entrant(metrics={"selection_jaccard": 0.29}),
    "af_dist": entrant(metrics={"af_dist": -0.21}),
    "stress_alpha": entrant(metrics={"stress_alpha": -1e-6}),
    "turnover": entrant(metrics={"window_turnover": 0.51}),
    "cvar_mult": entrant(metrics={"cvar_mult": 1.26}),
    "mdd_mult": entrant(metrics={"mdd_mult": 1.26}),
    "sim_parity": entrant(parity=ParityGaps(annual_return=0.015, sharpe=0.0)),
    "beta": entrant(metrics={"beta_recent": 0.51}),
    "concentration": entrant(metrics={"max_cluster_peak": 0.2511}),
    "coverage": entrant(metrics={"solver_success": 0.74}),
    "solvency": entrant(status="bankrupt", metrics={"nav_low": 0.009}),
    "integrity": entrant(metrics={"n_sign_errors": 1.0}),
}


def test_a_good_cell_passes_every_gate_and_is_a_candidate() -> None:
    rows = gates_of(entrant())
    assert {gate: row.is_passed for gate, row in rows.items()} == dict.fromkeys(GATES, True)
    verdict = board(entrant())["a"]
    assert verdict.veto_reasons == ()
    assert verdict.is_strict_candidate
    assert verdict.not_candidate_reason is None


def test_every_gate_has_a_cell_that_fails_it() -> None:
    assert list(FAILING) == list(GATES)


@pytest.mark.parametrize("gate", GATES)
def test_a_cell_made_to_fail_a_gate_fails_exactly_it(gate: str) -> None:
    rows = gates_of(FAILING[gate])
    assert [name for name, row in rows.items() if row.is_passed is False] == [gate]
    assert [row.veto_code for row in rows.values() if row.is_veto] == [gate]
    verdict = board(FAILING[gate])["a"]
    assert verdict.veto_reasons == (gate,)
    assert not verdict.is_strict_candidate
    assert verdict.not_candidate_reason == "vetoed"


METRIC_OF = {
    "friction_decay": "friction_decay",
    "temporal_fragility": "temporal_fragility",
    "selection_jaccard": "selection_jaccard",
    "af_dist": "af_dist",
    "stress_alpha": "stress_alpha",
    "turnover": "window_turnover",
    "cvar_mult": "cvar_mult",
    "mdd_mult": "mdd_mult",
    "beta": "beta_recent",
    "concentration": "max_cluster_peak",
    "coverage": "solver_success",
    "solvency": "nav_low",
    "integrity": "n_sign_errors",
}


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (None, "missing"),
        (MetricRow("m", None, 0, "undefined", "no market baseline was given"), "missing"),
        (MetricRow("m", None, 3, "insufficient", "3 sessions; 100 are needed"), "insufficient"),
        (MetricRow("m", None, 300, "undefined", "volatility is below 1e-12"), "undefined"),
    ],
)
@pytest.mark.parametrize("gate", METRIC_OF)
def test_an_absent_input_vetoes_under_its_own_code_and_only_above_smoke(
    gate: str, row: MetricRow | None, status: str
) -> None:
    metric = METRIC_OF[gate]
    one = entrant(metrics={metric: row._replace(metric=metric) if row else None})
    found = gates_of(one)[gate]
    assert (found.status, found.is_passed, found.value, found.is_veto) == (status, None, None, True)
    assert found.reason
    assert board(one)["a"].veto_reasons == (f"{status}:{gate}",)
    shown = board(one, tier="smoke")["a"]
    assert shown.veto_reasons == ()
    assert shown.missing_inputs == (f"{status}:{gate}",)
    assert not shown.is_strict_candidate


def test_parity_without_a_second_simulator_is_missing_and_never_zero() -> None:
    found = gates_of(entrant(parity=None))["sim_parity"]
    assert (found.status, found.value, found.veto_code) == ("missing", None, "missing:sim_parity")
    assert board(entrant(parity=None))["a"].veto_reasons == ("missing:sim_parity",)


# --- the limits


@pytest.mark.parametrize(("test_sessions", "limit"), [(40, 1.50), (63, 1.50), (20, 2.1213203436), (10, 3.00)])
def test_the_limit_of_fragility_widens_with_the_noise_of_short_windows(test_sessions: int, limit: float) -> None:
    found = gates_of(entrant(), test_sessions=test_sessions)["temporal_fragility"]
    assert found.limit == pytest.approx(limit, abs=5e-11)


def test_the_worked_window_ratios_and_overlap_pass_and_stand_on_their_limits() -> None:
    ratio = temporal_fragility_of([1, 2, -0.5, 1.5])
    found = gates_of(entrant(metrics={"temporal_fragility": ratio}), test_sessions=40)["temporal_fragility"]
    assert found.value == pytest.approx(0.9354143467, abs=5.1e-11)
    assert found.margin == pytest.approx(1.5 - 0.9354143467, abs=5.1e-11)
    overlap = jaccard_of([[0.5, 0.5, 0], [0.5, 0, 0.5]])
    assert gates_of(entrant(metrics={"selection_jaccard": overlap}))["selection_jaccard"].is_passed
    turned = jaccard_of([[0.5, 0.5, 0], [0.5, -0.5, 0]])
    assert turned == pytest.approx(1 / 3)


def temporal_fragility_of(ratios: list[float]) -> float:
    import numpy as np

    found = temporal_fragility(np.array(ratios, dtype=np.float64)).value
    assert found is not None
    return found


def jaccard_of(weights: list[list[float]]) -> float:
    import numpy as np

    found = selection_jaccard(np.array(weights, dtype=np.float64)).value
    assert found is not None
    return found


def test_a_cell_on_the_limit_passes_in_spite_of_rounding() -> None:
    assert 1 - 0.7 > 0.3  # why the comparison has a tolerance
    assert gates_of(entrant(metrics={"friction_decay": 1 - 0.7}))["friction_decay"].is_passed
    assert gates_of(entrant(metrics={"max_cluster_peak": 0.25 + 0.001}))["concentration"].is_passed
    assert gates_of(entrant(metrics={"friction_decay": 0.3 + 1e-9}))["friction_decay"].is_passed is False


def test_a_book_that_earns_nothing_before_costs_fails_friction_under_every_tier() -> None:
    losing = entrant(
        metrics={
            "gross_sharpe": -0.1,
            "friction_decay": MetricRow("friction_decay", None, 1240, "undefined", "not above 0"),
        }
    )
    for tier in ("smoke", "strict", "promotable"):
        found = gates_of(losing, tier=tier)["friction_decay"]
        assert (found.is_passed, found.is_veto, found.veto_code) == (False, True, "gross_nonpositive")


def test_a_commodity_sleeve_is_told_by_its_metadata_and_may_lose_more_than_the_market() -> None:
    wild = {"cvar_mult": 2.9, "mdd_mult": 2.9}
    gaps = ParityGaps(annual_return=0.04, sharpe=0.0)
    sleeve = gates_of(entrant(metrics=wild | {"commodity_share": 0.5}, parity=gaps))
    assert all(sleeve[gate].is_passed for gate in ("cvar_mult", "mdd_mult", "sim_parity"))
    other = gates_of(entrant(metrics=wild | {"commodity_share": 0.49}, parity=gaps))
    assert not any(other[gate].is_passed for gate in ("cvar_mult", "mdd_mult", "sim_parity"))


def test_the_sharpe_gap_may_be_a_share_of_the_sharpe_ratio() -> None:
    gaps = ParityGaps(annual_return=0.0, sharpe=0.05)
    low, high = (gates_of(entrant(metrics={"sharpe": s}, parity=gaps))["sim_parity"] for s in (2.4, -2.6))
    assert (low.is_passed, low.value, low.limit) == (False, 0.05, pytest.approx(0.048))
    assert high.is_passed


@pytest.mark.parametrize(
    ("profile", "beta", "passed"),
    [
        ("min_variance", 0.51, False),
        ("min_variance", -3.0, True),
        ("market_neutral", 0.15, True),
        ("market_neutral", -0.16, False),
        ("hrp", 2.0, None),
    ],
)
def test_beta_is_asked_of_two_profiles(profile: str, beta: float, passed: bool | None) -> None:
    found = gates_of(entrant(risk_profile=profile, metrics={"beta_recent": beta}))["beta"]
    assert found.is_passed is passed
    assert (found.status == "not_applicable") == (passed is None)


def test_the_beta_of_a_long_only_book_of_shares_is_shown_and_does_not_veto() -> None:
    shares = {"beta_recent": 0.68, "equity_share": 1.0}
    found = gates_of(entrant(metrics=shares))["beta"]
    assert (found.is_passed, found.is_informational, found.is_veto, found.veto_code) == (False, True, False, None)
    assert board(entrant(metrics=shares))["a"].is_strict_candidate
    assert gates_of(entrant(metrics=shares | {"short_share": 0.1}))["beta"].is_veto
    assert gates_of(entrant(metrics=shares | {"equity_share": 0.9}))["beta"].is_veto


def test_too_few_clusters_for_the_cap_are_the_reason_and_still_fail() -> None:
    found = gates_of(entrant(metrics={"max_cluster_peak": 0.34, "n_clusters_least": 3.0}))["concentration"]
    assert found.veto_code == "concentration"
    assert found.reason is not None
    assert found.reason.startswith("cap_infeasible")
    in_cash = gates_of(entrant(metrics={"max_cluster_peak": 0.25, "n_clusters_least": 3.0}))["concentration"]
    assert in_cash.is_passed


def test_coverage_shows_what_binds_the_windows_or_the_solves() -> None:
    found = gates_of(entrant(metrics={"window_coverage": 61 / 62}))["coverage"]
    assert (found.is_passed, found.limit) == (False, 1.0)
    assert found.reason == "61 of 62 planned windows were simulated"
    solved = gates_of(entrant(metrics={"solver_success": 0.75}))["coverage"]
    assert (solved.is_passed, solved.limit) == (True, 0.75)


@pytest.mark.parametrize("status", ["liquidated", "bankrupt"])
def test_a_book_that_ended_is_insolvent(status: str) -> None:
    found = gates_of(entrant(status=status, metrics={"nav_low": 0.0}))["solvency"]
    assert (found.is_passed, found.reason, found.margin) == (False, status, -BANKRUPT_BELOW)


def test_a_cell_that_could_not_be_simulated_is_vetoed_even_under_smoke() -> None:
    absent = {
        name: MetricRow(name, None, 0, "insufficient", "0 sessions; 1 are needed")
        for name in GOOD
        if name not in ("n_windows", "window_coverage", "n_obs", "n_sign_errors")
    }
    broken = entrant(status="error", metrics=absent | {"n_obs": 0.0, "window_coverage": 0.0}, parity=None)
    shown = board(broken, tier="smoke")["a"]
    assert shown.veto_reasons == ("coverage",)
    assert "missing:integrity" in shown.missing_inputs
    assert shown.unranked_reason == "cell_error"


# --- permissive limits, relations between rows

PERMISSIVE = {
    "friction_decay": 1e9,
    "temporal_fragility": 1e9,
    "selection_jaccard": -1e9,
    "af_dist": -1e9,
    "stress_alpha": -1e9,
    "turnover": 1e9,
    "cvar_mult": 1e9,
    "mdd_mult": 1e9,
    "commodity_mult": 1e9,
    "parity_return_gap": 1e9,
    "parity_return_gap_commodity": 1e9,
    "parity_sharpe_gap": 1e9,
    "beta_min_variance": 1e9,
    "beta_market_neutral": 1e9,
    "concentration": 1e9,
    "concentration_tolerance": 1e9,
    "solver_success": 0.0,
}
value = st.one_of(st.none(), st.floats(-3, 3, allow_nan=False))


@st.composite
def entrants(draw: st.DrawFn) -> list[Entrant]:
    found = []
    for place in range(draw(st.integers(1, 5))):
        metrics: dict[str, Any] = {
            name: draw(value) for name in draw(st.lists(st.sampled_from(list(GOOD)), unique=True, max_size=6))
        }
        gaps = draw(st.one_of(st.none(), st.tuples(st.floats(0, 0.1), st.floats(0, 1))))
        found.append(
            entrant(
                str(place),
                metrics,
                config_id=f"config-{place // 2}",
                simulator=("custom", "nautilus")[place % 2],
                risk_profile=draw(st.sampled_from(["min_variance", "market_neutral", "market"])),
                cost_model=draw(st.sampled_from(["std_6bp", "gross"])),
                is_baseline=draw(st.booleans()),
                status=draw(st.sampled_from(["ok", "ok", "bankrupt", "error"])),
                config_status=draw(st.sampled_from(["native", "composed", "delegated", "failed"])),
                parity=None if gaps is None else ParityGaps(*gaps),
            )
        )
    return found


@settings(max_examples=60, deadline=None)
@given(entrants(), st.sampled_from(list(PERMISSIVE)), st.sampled_from(["smoke", "strict"]))
def test_a_gate_moved_to_its_permissive_end_never_loses_a_pass_or_a_candidate(
    found: list[Entrant], limit: str, tier: str
) -> None:
    wide = LIMITS.model_copy(update={limit: PERMISSIVE[limit]})
    before, after = (board(*found, limits=limits, tier=tier) for limits in (LIMITS, wide))
    for cell_id, row in before.items():
        passed = {gate.gate for gate in row.gates if gate.is_passed}
        assert passed <= {gate.gate for gate in after[cell_id].gates if gate.is_passed}
        assert set(after[cell_id].veto_reasons) <= set(row.veto_reasons)
        assert after[cell_id].is_strict_candidate or not row.is_strict_candidate


@settings(max_examples=100, deadline=None)
@given(entrants(), st.sampled_from(["smoke", "strict", "promotable"]))
def test_no_veto_means_a_candidate_and_a_veto_means_none(found: list[Entrant], tier: str) -> None:
    for one, row in zip(found, board(*found, tier=tier).values(), strict=True):
        may_be = tier != "smoke" and not one.is_baseline and one.cost_model != "gross"
        assert row.is_strict_candidate == (may_be and row.veto_reasons == ())
        assert row.is_strict_candidate == (row.not_candidate_reason is None)
        assert (row.rank is None) == (row.unranked_reason is not None)
        assert row.is_promotable is False
        assert row.promotion_blockers
        for gate in row.gates:
            assert (gate.status == "ok") == (gate.value is not None)
            if gate.status == "ok" and gate.gate != "solvency":
                assert gate.margin is not None
                assert gate.is_passed == (gate.margin >= -1e-12) or gate.margin == 0.0
            if tier != "smoke":
                assert gate.is_veto == (gate.veto_code is not None)


@settings(max_examples=40, deadline=None)
@given(entrants())
def test_another_candidate_changes_no_row_but_those_of_its_own_configuration_and_the_ranks(
    found: list[Entrant],
) -> None:
    before = board(*found)
    after = board(*found, entrant("new"))
    for cell_id, row in before.items():
        assert after[cell_id]._replace(rank=None) == row._replace(rank=None)


def test_the_row_of_another_simulator_that_fails_stands_against_the_configuration() -> None:
    good = entrant("a", config_id="c", simulator="custom")
    bad = entrant("b", {"af_dist": -1.0}, config_id="c", simulator="nautilus")
    found = board(good, bad)
    assert found["a"].veto_reasons == ("simulator:nautilus",)
    assert found["b"].veto_reasons == ("af_dist",)
    apart = board(good, replace(bad, config_id="d"), required_simulators=["custom", "nautilus"])
    assert apart["a"].veto_reasons == ("missing:simulator:nautilus",)
    assert board(good, replace(bad, metrics=measured()))["a"].is_strict_candidate


def test_a_required_simulator_that_did_not_run_is_missing() -> None:
    unavailable = entrant("b", config_id="config-a", simulator="nautilus", status="simulator_unavailable")
    found = board(entrant("a"), unavailable, required_simulators=["custom", "nautilus"])
    assert "missing:simulator:nautilus" in found["a"].veto_reasons
    shown = board(entrant("a"), required_simulators=["nautilus"], tier="smoke")["a"]
    assert shown.missing_inputs == ("missing:simulator:nautilus",)
    assert shown.veto_reasons == ()


# --- baselines, ranks, warnings


def test_baselines_are_gated_without_clusters_and_the_market_without_selection_and_never_ranked() -> None:
    market = entrant("m", {"af_dist": -0.55, "max_cluster_peak": None}, risk_profile="market", is_baseline=True)
    pool = entrant("p", {"max_cluster_peak": None}, risk_profile="raw_pool_ew", is_baseline=True)
    found = board(market, pool, entrant("a"))
    exempt = {
        cell_id: [gate.gate for gate in row.gates if gate.status == "not_applicable"] for cell_id, row in found.items()
    }
    assert exempt == {"m": ["selection_jaccard", "beta", "concentration"], "p": ["beta", "concentration"], "a": []}
    assert found["m"].veto_reasons == ("af_dist",)
    assert (found["p"].veto_reasons, found["p"].is_strict_candidate) == ((), False)
    assert {cell_id: row.rank for cell_id, row in found.items()} == {"m": None, "p": None, "a": 1}


def test_a_market_that_passes_everything_is_a_warning_about_the_gates() -> None:
    market = entrant("m", risk_profile="market", is_baseline=True)
    assert board(market)["m"].warnings == ("MARKET_PASSES_ALL_GATES",)
    assert board(replace(market, parity=None), tier="smoke")["m"].warnings == ("MARKET_PASSES_ALL_GATES",)
    fallen = replace(market, metrics=measured(af_dist=-0.55))
    assert board(fallen)["m"].warnings == board(entrant())["a"].warnings == ()


def test_ranks_follow_sharpe_then_turnover_then_the_id_within_each_window_set() -> None:
    found = board(
        entrant("a", {"sharpe": 1.0, "ann_turnover": 3.0}),
        entrant("b", {"sharpe": 1.0, "ann_turnover": 2.0}),
        entrant("c", {"sharpe": 1.5}),
        entrant("e", {"sharpe": 1.0, "ann_turnover": 2.0}, config_id="config-a2"),
        entrant("d", {"sharpe": 0.1}, window_set="golden"),
    )
    assert {cell_id: row.rank for cell_id, row in found.items()} == {"a": 4, "b": 3, "c": 1, "e": 2, "d": 1}


def test_two_ways_to_one_portfolio_are_ordered_by_their_engine_and_not_by_the_last_bit() -> None:
    copy = {"sharpe": 1.0 + 4e-16, "ann_turnover": 2.0 - 4e-16}
    found = board(
        entrant("a", copy, engine="skfolio"),
        entrant("b", {"sharpe": 1.0, "ann_turnover": 2.0}),
        entrant("c", {"sharpe": 1.0 + 2e-9}, engine="skfolio"),
        entrant("d", copy, engine="unheard_of"),
    )
    assert {cell_id: row.rank for cell_id, row in found.items()} == {"c": 1, "b": 2, "a": 3, "d": 4}


def test_portfolios_of_the_same_returns_share_one_rank_and_keep_their_rows() -> None:
    first = np.random.default_rng(7).normal(size=(4, 300))
    alike = first[0] + 0.1 * first[1]  # a correlation near 0.995
    between = alike + 0.13 * first[1]  # near the second and not near the first
    returns = {"a": first[0], "b": alike, "c": between, "d": first[2], "g": first[0]}
    assert np.corrcoef(first[0], alike)[0, 1] > 0.99 > np.corrcoef(first[0], between)[0, 1]
    assert np.corrcoef(alike, between)[0, 1] > 0.99
    sharpes = {"a": 1.4, "b": 1.3, "c": 1.2, "d": 1.1}
    entrants = [entrant(name, {"sharpe": value}) for name, value in sharpes.items()]
    found = board(*entrants, entrant("g", {"sharpe": 1.0}, window_set="golden"), net_returns=returns)
    assert {cell_id: row.rank for cell_id, row in found.items()} == {"a": 1, "b": None, "c": 2, "d": 3, "g": 1}
    assert (found["b"].unranked_reason, found["b"].duplicate_of) == ("duplicate", "config-a")
    assert [row.duplicate_of for row in found.values()].count(None) == 4
    assert found["b"].gates == found["a"].gates
    apart = LIMITS.model_copy(update={"duplicate_correlation": 0.9999})
    assert board(*entrants, limits=apart, net_returns=returns)["b"].rank == 2


def test_returns_that_do_not_overlap_or_do_not_move_resemble_none() -> None:
    early, late = np.full(40, np.nan), np.full(40, np.nan)
    early[:20] = late[20:] = np.linspace(-1.0, 1.0, 20)
    returns = {"a": early, "b": late, "c": np.zeros(40), "d": np.zeros(40)}
    entrants = [entrant(name, {"sharpe": 1.0 - place / 10}) for place, name in enumerate(returns)]
    assert [row.rank for row in board(*entrants, net_returns=returns).values()] == [1, 2, 3, 4]


def test_what_is_not_ranked_says_why() -> None:
    found = board(
        entrant("twin", config_id="c", cost_model="gross"),
        entrant("study", config_id="c", cost_model="study_11bp"),
        entrant("custom", config_id="c"),
        entrant("nautilus", config_id="c", simulator="nautilus"),
        entrant("delegated", config_status="delegated"),
        entrant("failed", config_status="failed"),
        entrant("bankrupt", status="bankrupt"),
        entrant("flat", {"sharpe": None}),
    )
    assert {cell_id: row.unranked_reason for cell_id, row in found.items()} == {
        "twin": "zero_cost_twin",
        "study": "other_cost_model",
        "custom": "other_simulator",
        "nautilus": None,
        "delegated": "config_delegated",
        "failed": "config_failed",
        "bankrupt": "cell_bankrupt",
        "flat": "sharpe_undefined",
    }
    assert found["nautilus"].rank == 1


def test_a_simulator_that_failed_leaves_the_rank_to_the_next_best() -> None:
    found = board(
        entrant("custom", config_id="c"), entrant("nautilus", config_id="c", simulator="nautilus", status="error")
    )
    assert found["custom"].rank == 1
    assert found["nautilus"].unranked_reason == "cell_error"


def test_nothing_is_promotable_and_the_blockers_are_named() -> None:
    assert board(entrant())["a"].promotion_blockers == (
        "universe_basis:static",
        *(f"missing:{name}" for name in NOT_COMPUTED),
    )
    short = board(entrant(metrics={"n_obs": 239.0}), universe_basis="pit", tier="smoke")["a"]
    assert short.promotion_blockers[:2] == ("not_candidate:tier_smoke", "sample")
    tuned = board(entrant(), universe_basis="pit", in_sample_window_sets={"secular"})["a"]
    assert tuned.promotion_blockers[0] == "weights_in_sample"
    apart = board(entrant(), universe_basis="pit", in_sample_window_sets={"golden"})["a"]
    assert "weights_in_sample" not in apart.promotion_blockers


def test_a_cell_that_enters_twice_is_named() -> None:
    with pytest.raises(DataContractError, match="cell a enters twice"):
        board(entrant("a"), entrant("a"))


def test_limits_widen_by_the_root_of_the_length_of_windows() -> None:
    limits = LIMITS.model_copy(update={"fragility_sessions": 80, "temporal_fragility": 1.0})
    found = gates_of(entrant(), limits=limits, test_sessions=20)["temporal_fragility"]
    assert found.limit == math.sqrt(4.0)
