"""Metrics against closed forms and worked numbers, the traps of quantstats, the second computation."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantmill.errors import DataContractError, MetricDisagreement
from quantmill.judgement import (
    CellCounts,
    CellSeries,
    WindowWeights,
    cell_metrics,
    published_metrics,
    series_of,
    window_metrics,
)
from quantmill.judgement import independent as independent_module
from quantmill.judgement import metrics as metrics_module
from quantmill.judgement.independent import recompute, require_agreement
from quantmill.judgement.metrics import drawdown_of, selection_jaccard, stats_library, temporal_fragility
from quantmill.manifest.settings import CostModel, SimulationSettings
from quantmill.simulation import prepare_bars, simulate

Array = NDArray[np.float64]
COUNTS = CellCounts(
    window_count=3,
    failed_window_count=1,
    fallback_count=2,
    solve_count=4,
    accepted_solve_count=3,
    sign_error_count=2,
    event_counts={"stale_mark": 5, "short_isolated": 1},
)


def dates_of(n: int, start: str = "2021-01-01") -> Any:
    return np.datetime64(start, "D") + np.arange(n)


def series_from(returns: Any, *, window: int = 10, cost: float = 0.0, **changes: Any) -> CellSeries:
    r = np.asarray(returns, dtype=np.float64)
    rebalanced = np.arange(r.size) % window == 0
    base: dict[str, Any] = {
        "session_date": dates_of(r.size),
        "net_return": r,
        "gross_return": r + cost,
        "nav": np.cumprod(1 + r) if r.size else r,
        "starting_nav": 1.0,
        "window_index": np.arange(r.size) // window,
        "turnover": np.where(rebalanced, 0.5, 0.0),
        "is_rebalance": rebalanced,
    }
    return CellSeries(**(base | changes))


def judge(returns: Any, *, periods: int = 252, publish: bool = True, **given_: Any) -> dict[str, Any]:
    series = returns if isinstance(returns, CellSeries) else series_from(returns)
    arguments: dict[str, Any] = {
        "market": None,
        "stress_reference": None,
        "weights": None,
        "counts": COUNTS,
        "twin_cagr": None,
        "twin_sharpe": None,
    }
    arguments |= given_
    rows = (
        published_metrics(series, periods_per_year=periods, **arguments).cell_rows
        if publish
        else cell_metrics(series, periods_per_year=periods, **arguments)
    )
    return {row.metric: row for row in rows}


def book(
    net: Array, clusters: NDArray[np.int64], *, equity: tuple[int, ...] = (), commodity: tuple[int, ...] = ()
) -> WindowWeights:
    columns = np.arange(net.shape[1])
    return WindowWeights(
        net_weight=net,
        gross_weight=np.abs(net),
        cluster_id=clusters,
        is_equity=np.isin(columns, equity),
        is_commodity=np.isin(columns, commodity),
    )


def noise(n: int, seed: int = 0, scale: float = 0.01) -> Array:
    return np.random.default_rng(seed).normal(0.0004, scale, n)


# --- worked numbers


def worked_path(bps: float) -> CellSeries:
    returns = np.array([[0, 0], [0.02, -0.01], [-0.01, 0.02], [0.03, -0.02], [0.0, 0.01], [0.01, 0.0], [-0.02, 0.01]])
    rules = SimulationSettings(
        short_isolation=False, delist_after=5, delist_haircut=0.0, starting_nav=1e6, bankrupt_below=0.01
    )
    path = simulate(
        prepare_bars(returns, symbols=["X:A", "X:B"], settings=rules),
        np.array([[0.6, 0.4], [0.3, 0.7]]),
        np.array([0, 3]),
        6,
        mode="window",
        cost_model=CostModel(slippage_bps=bps, commission_bps=0.0, borrow_annual=0.0),
        settings=rules,
        periods_per_year=252,
    )
    return series_of(path, dates_of(7))


def test_the_two_asset_example_gives_the_worked_metrics() -> None:
    series = worked_path(6.0)
    twin = judge(worked_path(0.0))["cagr"].value
    found = judge(series, twin_cagr=twin)
    assert series.net_return.mean() == pytest.approx(0.0049639394, abs=5.1e-11)
    assert series.net_return.std(ddof=1) == pytest.approx(0.0035715885, abs=5.1e-11)
    assert found["sharpe"].value == pytest.approx(22.0630382730, abs=5.1e-11)
    assert found["max_drawdown"].value == 0.0
    assert found["total_return"].value == pytest.approx(0.030123188697, abs=5e-13)
    assert found["avg_turnover"].value == pytest.approx(0.31199344, abs=5e-9)
    assert found["ann_turnover"].value == pytest.approx((0.99940036 + 0.31199344) * 252 / 6, abs=1e-6)
    assert found["cost_drag"].value == pytest.approx(1.03112707698**42 - 1.030123188697**42, abs=1e-9)
    assert found["n_obs"].value == 6


def test_ten_days_at_minus_forty_percent_annualise_to_almost_everything_and_windows_do_not_annualise() -> None:
    returns = np.full(10, 0.6**0.1 - 1)
    assert judge(returns, periods=365)["cagr"].value == pytest.approx(-0.999999992, abs=5e-10)
    rows = {row.metric: row.value for row in window_metrics(series_from(returns), None)}
    assert rows["period_return"] == pytest.approx(-0.4)
    assert set(rows) == {"period_return", "period_vol", "return_ratio", "max_drawdown", "turnover", "max_cluster"}


def test_window_ratios_vary_as_worked() -> None:
    assert temporal_fragility(np.array([1, 2, -0.5, 1.5])).value == pytest.approx(0.9354143467, abs=5.1e-11)
    assert temporal_fragility(np.array([1, 2, np.nan, 1.5])).status == "insufficient"
    assert temporal_fragility(np.array([1.0, -1, 1, -1])).status == "undefined"


def test_selections_overlap_as_worked() -> None:
    assert selection_jaccard(np.array([[0.5, 0.5, 0], [0.5, 0, 0.5]])).value == pytest.approx(1 / 3)
    assert selection_jaccard(np.array([[0.5, 0.5], [0.5, -0.5]])).value == pytest.approx(1 / 3)
    assert selection_jaccard(np.array([[0.5, 1e-7], [0.4, 0.0]])).value == 1.0
    assert selection_jaccard(np.array([[0.5, 0.5]])).status == "insufficient"
    assert selection_jaccard(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])).value == 0.0


def test_the_share_of_sharpe_that_costs_take_is_measured_against_the_zero_cost_twin() -> None:
    series, twin = worked_path(6.0), judge(worked_path(0.0))
    found = judge(series, twin_cagr=twin["cagr"].value, twin_sharpe=twin["sharpe"].value)
    assert found["gross_sharpe"].value == twin["sharpe"].value
    assert found["friction_decay"].value == pytest.approx(1 - 22.0630382730 / twin["sharpe"].value, abs=1e-11)
    losing = judge(series, twin_cagr=0.0, twin_sharpe=-0.1)["friction_decay"]
    assert (losing.status, losing.value) == ("undefined", None)
    assert "not above 0" in losing.reason


# --- closed forms


def test_tail_loss_and_drawdown_are_multiples_of_the_market_on_shared_sessions() -> None:
    market = noise(300, 1)
    found = judge(1.5 * market, market=market)
    assert found["cvar_mult"].value == pytest.approx(1.5)
    assert found["mdd_mult"].value == pytest.approx(drawdown_of(1.5 * market).min() / drawdown_of(market).min())
    holes = np.where(np.arange(300) < 40, np.nan, market)
    own = np.where(np.arange(300) < 40, -0.5 / 40, market)
    assert judge(own, market=holes)["mdd_mult"].value == pytest.approx(1.0)
    assert judge(own, market=holes)["cvar_mult"].value == pytest.approx(1.0)
    assert judge(market, market=np.abs(market))["mdd_mult"].status == "undefined"
    assert judge(market, market=None)["cvar_mult"].status == "undefined"
    assert judge(market[:9], market=market[:9])["cvar_mult"].status == "insufficient"


def test_the_largest_cluster_of_any_window_is_not_averaged_away() -> None:
    net = np.array([[0.2, 0.2, 0.2], [0.1, -0.3, 0.1], [0.0, 0.0, 0.0]])
    clusters = np.array([[0, 0, 1], [0, 1, 1], [-1, -1, -1]])
    weights = book(net, clusters, equity=(0, 1), commodity=(2,))
    found = judge(series_from(noise(30)), weights=weights)
    assert found["max_cluster_peak"].value == pytest.approx(0.4)
    assert found["max_cluster"].value == pytest.approx((0.4 + 0.4 + 0.0) / 3)
    assert found["n_clusters_least"].value == 2
    assert found["short_share"].value == pytest.approx((0 + 0.6) / 2)
    assert found["equity_share"].value == pytest.approx((2 / 3 + 0.8) / 2)
    assert found["commodity_share"].value == pytest.approx((1 / 3 + 0.2) / 2)
    by_window = {
        row.window_index: row for row in window_metrics(series_from(noise(30)), weights) if row[1] == "max_cluster"
    }
    assert [by_window[i].value for i in range(3)] == pytest.approx([0.4, 0.4, 0.0])
    homeless = book(net, np.where(clusters == 1, -1, clusters))
    assert judge(series_from(noise(30)), weights=homeless)["max_cluster_peak"].status == "undefined"


def test_coverage_and_the_lowest_worth_are_rows() -> None:
    found = judge(series_from([0.1, -0.5, 0.2], window=2, starting_nav=2.0, nav=2 * np.cumprod([1.1, 0.5, 1.2])))
    assert found["nav_low"].value == pytest.approx(0.55)
    assert found["window_coverage"].value == pytest.approx(2 / 3)
    assert found["n_sign_errors"].value == 2


def test_metrics_follow_their_definitions() -> None:
    r = noise(300)
    found = {name: row.value for name, row in judge(r, periods=365).items()}
    deviation = r.std(ddof=1)
    assert found["arith_ann_return"] == pytest.approx(r.mean() * 365)
    assert found["annualized_vol"] == pytest.approx(deviation * np.sqrt(365))
    assert found["sharpe"] == pytest.approx(r.mean() / deviation * np.sqrt(365))
    assert found["cagr"] == pytest.approx(np.prod(1 + r) ** (365 / 300) - 1)
    assert found["calmar"] == pytest.approx(found["cagr"] / abs(found["max_drawdown"]))
    assert found["max_drawdown"] == pytest.approx(drawdown_of(r).min())
    assert found["omega"] == pytest.approx(r[r > 0].sum() / -r[r < 0].sum())
    assert found["var_95"] == pytest.approx(np.quantile(r, 0.05))
    assert found["cvar_95"] == pytest.approx(r[r <= np.quantile(r, 0.05)].mean())
    assert found["win_rate"] == np.mean(r > 0)
    gain, loss = r[r >= np.quantile(r, 0.95)].mean(), r[r <= np.quantile(r, 0.05)].mean()
    assert found["af_dist"] == pytest.approx(found["skew"] + np.log(gain / abs(loss) + 1e-12))


def test_a_drawdown_from_the_first_day_counts_from_the_starting_nav() -> None:
    found = judge([-0.10, -0.10, 0.05, 0.05])
    assert found["max_drawdown"].value == pytest.approx(-0.19)
    assert found["dd_days"].value == 4
    assert found["recovery_days"].status == "undefined"
    assert "not recovered" in found["recovery_days"].reason


def test_the_deepest_drawdown_is_timed_in_sessions() -> None:
    found = judge([0.1, -0.05, 0.2, -0.1, -0.1, 0.1, 0.3, -0.02])
    assert found["dd_days"].value == 3
    assert found["recovery_days"].value == 2


def test_drawdown_lengths_agree_with_quantstats_where_it_sees_the_drawdown() -> None:
    import pandas as pd

    stats = stats_library()
    for seed in range(20):
        r = np.concatenate([[0.01], noise(200, seed), [0.9]])
        details = stats.drawdown_details(stats.to_drawdown_series(pd.Series(r, dates_of(202))))
        deepest = details.loc[details["max drawdown"].idxmin()]
        assert judge(r, publish=False)["dd_days"].value == deepest["days"]


def test_quantstats_misses_a_drawdown_from_the_first_day_to_the_last() -> None:
    import pandas as pd

    stats = stats_library()
    underwater = stats.to_drawdown_series(pd.Series([-0.1, 0.01, -0.02], dates_of(3)))
    assert stats.drawdown_details(underwater).empty


def test_market_metrics_follow_their_definitions() -> None:
    market = noise(300, 1)
    r = 0.5 * market + noise(300, 2, 0.004)
    found = {name: row.value for name, row in judge(r, market=market, periods=365).items()}
    beta = np.cov(r, market)[0, 1] / market.var(ddof=1)
    assert found["beta"] == pytest.approx(beta)
    assert found["corr"] == pytest.approx(np.corrcoef(r, market)[0, 1])
    assert found["alpha_ann"] == pytest.approx((r.mean() - beta * market.mean()) * 365)
    assert found["te"] == pytest.approx((r - market).std(ddof=1) * np.sqrt(365))
    assert found["ir"] == pytest.approx((r - market).mean() / (r - market).std(ddof=1) * np.sqrt(365))
    recent = np.cov(r[-252:], market[-252:])
    assert found["beta_recent"] == pytest.approx(recent[0, 1] / recent[1, 1])


def test_market_metrics_read_only_shared_sessions() -> None:
    market = noise(100, 1)
    market[::3] = np.nan
    r = noise(100, 2)
    shared = ~np.isnan(market)
    found = judge(r, market=market)
    expected = np.cov(r[shared], market[shared])
    assert found["beta"].value == pytest.approx(expected[0, 1] / expected[1, 1])
    assert found["beta"].observation_count == shared.sum()


def test_market_metrics_that_cannot_be_had_say_why() -> None:
    r = noise(50)
    assert {judge(r)[name].status for name in ("beta", "corr", "ir", "te", "beta_recent")} == {"undefined"}
    assert "no market" in judge(r)["beta"].reason
    flat = judge(r, market=np.zeros(50))
    assert flat["beta"].status == flat["corr"].status == flat["alpha_ann"].status == "undefined"
    assert flat["te"].status == "ok"
    assert judge(r[:9], market=noise(9, 1))["beta"].status == "insufficient"
    assert judge(r, market=noise(50, 1))["beta_recent"].status == "insufficient"
    itself = judge(r, market=r)
    assert itself["beta"].value == pytest.approx(1.0)
    assert itself["te"].value == 0.0
    assert itself["ir"].status == "undefined"


def test_stress_is_measured_on_the_worst_tenth_of_the_reference() -> None:
    b, r = noise(200, 1), noise(200, 2)
    bad = b <= np.quantile(b, 0.1)
    found = judge(r, stress_reference=b)
    assert found["stress_alpha"].value == pytest.approx((r - b)[bad].mean())
    assert found["stress_delta"].value == pytest.approx((r - b)[bad].mean() - (r - b)[~bad].mean())
    assert found["stress_hit"].value == pytest.approx((r > b)[bad].mean())
    assert found["stress_hit"].observation_count == 20
    assert judge(r[:99], stress_reference=b[:99])["stress_alpha"].status == "insufficient"
    assert judge(r)["stress_alpha"].status == "undefined"
    assert judge(r, stress_reference=np.zeros(200))["stress_delta"].status == "undefined"


def test_concentration_is_averaged_over_windows() -> None:
    gross = np.array([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0]])
    clusters = np.array([[0, 0, 1, -1], [0, 1, 1, -1], [0, 1, 2, 3]])
    weights = book(gross, clusters)
    found = {name: row.value for name, row in judge(noise(30), weights=weights).items()}
    assert found["hhi"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found["n_eff"] == pytest.approx(2.5)
    assert found["max_weight"] == pytest.approx(0.25)
    assert found["max_cluster"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert found["n_assets"] == pytest.approx(5 / 3)


def test_positions_without_a_cluster_leave_the_cluster_maximum_undefined() -> None:
    ones = np.ones((1, 1))
    found = judge(noise(30), weights=book(ones, np.full((1, 1), -1)))
    assert found["max_cluster"].status == "undefined"
    assert found["max_weight"].value == 1.0


def test_counts_are_rows_too() -> None:
    found = {name: row.value for name, row in judge(noise(30)).items()}
    assert (found["n_windows"], found["n_windows_failed"], found["n_fallback"]) == (3, 1, 2)
    assert (found["n_stale_marks"], found["n_isolation"], found["n_delisted"]) == (5, 1, 0)
    assert found["solver_success"] == 0.75
    unsolved = judge(noise(30), counts=replace(COUNTS, solve_count=0, accepted_solve_count=0))
    assert unsolved["solver_success"].status == "undefined"


def test_turnover_leaves_out_the_first_buy_in_only_from_the_average() -> None:
    turnover, rebalanced = np.zeros(6), np.array([True, False, True, False, True, False])
    turnover[[2, 4, 5]] = 1.0, 0.2, 0.1
    found = judge(series_from(noise(6), turnover=turnover, is_rebalance=rebalanced))
    assert found["avg_turnover"].value == pytest.approx(0.1)
    assert found["ann_turnover"].value == pytest.approx(1.3 * 252 / 6)
    once = judge(series_from(noise(6), turnover=turnover, is_rebalance=np.arange(6) == 2))
    assert once["avg_turnover"].status == "insufficient"


def test_the_turnover_of_a_window_is_all_that_its_decision_caused() -> None:
    """Three windows of two sessions: the first is bought into and left out, whatever was traded after it."""
    drifting, daily = np.zeros(6), np.full(6, 0.05)
    drifting[[0, 2, 4]] = daily[[0, 2, 4]] = 1.0, 0.4, 0.6
    every, decided = np.ones(6, dtype=bool), np.array([True, False] * 3)
    windows = np.array([0, 0, 1, 1, 2, 2])

    def measure(turnover: Any, is_rebalance: Any, **changes: Any) -> dict[str, Any]:
        path = series_from(noise(6), turnover=turnover, is_rebalance=is_rebalance)
        return judge(replace(path, window_index=windows, **changes))

    found = measure(drifting, decided)
    assert found["window_turnover"].value == found["avg_turnover"].value == 0.5
    found = measure(daily, every)
    assert found["window_turnover"].value == pytest.approx(0.55)
    assert found["avg_turnover"].value == pytest.approx((1.0 + 3 * 0.05) / 5)
    late = np.where(np.arange(6) < 2, 0.0, daily)
    assert measure(late, every)["window_turnover"].value == pytest.approx((0.0 + 0.65) / 2)
    alone = judge(series_from(noise(6), turnover=daily, is_rebalance=every))
    assert (alone["window_turnover"].status, alone["window_turnover"].observation_count) == ("insufficient", 0)
    assert judge(series_from(np.zeros(0)))["window_turnover"].status == "insufficient"


def test_costs_add_up_and_the_drag_needs_a_twin() -> None:
    found = judge(series_from(noise(30), cost=0.001))
    assert found["cost_total"].value == pytest.approx(0.03)
    assert found["cost_drag"].status == "undefined"
    assert "twin" in found["cost_drag"].reason


# --- undefined, insufficient, never silent


METRICS = set(judge(noise(5), publish=False))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 20, 120])
def test_a_cell_always_has_the_same_metrics_and_every_gap_has_a_reason(n: int) -> None:
    rows = judge(noise(n))
    assert set(rows) == METRICS
    for row in rows.values():
        assert (row.value is None) == (row.status != "ok") == bool(row.reason), row


def test_a_flat_cell_has_no_ratio() -> None:
    found = judge(np.zeros(150), market=noise(150, 1))
    assert found["annualized_vol"].value == 0.0
    for name in ("sharpe", "sortino", "calmar", "omega", "skew", "kurtosis", "corr", "af_dist", "tail_ratio"):
        assert found[name].status == "undefined", name
    assert found["win_rate"].value == 0.0
    assert found["win_rate_active"].status == "insufficient"


def test_a_liquidated_cell_reports_minus_one() -> None:
    r = np.concatenate([noise(120), [-1.0], np.zeros(30)])
    found = judge(series_from(r, nav=np.cumprod(1 + r)))
    assert found["cagr"].value == found["total_return"].value == found["max_drawdown"].value == -1.0


def test_reported_values_are_not_clipped() -> None:
    found = judge(np.tile([0.5, 0.6], 20))
    assert found["sharpe"].value > 100
    assert found["cagr"].value > 1e40


def test_a_number_too_large_to_hold_is_undefined() -> None:
    assert judge([1e3, 1.1e3, 1e3])["cagr"].status == "undefined"


def test_an_anti_fragile_tail_needs_sessions_gains_and_losses() -> None:
    assert judge(noise(99))["af_dist"].status == "insufficient"
    assert judge(-np.abs(noise(150)))["af_dist"].status == "undefined"
    assert judge(np.abs(noise(150)))["af_dist"].status == "undefined"


def test_window_rows_cover_each_window_and_compound_to_the_total() -> None:
    r = noise(35)
    rows = window_metrics(series_from(r), None)
    returns = [row.value or 0.0 for row in rows if row.metric == "period_return"]
    assert [row.window_index for row in rows[::6]] == [0, 1, 2, 3]
    assert np.prod(1 + np.array(returns)) == pytest.approx(np.prod(1 + r))
    second = {row.metric: row for row in rows[6:12]}
    part = r[10:20]
    assert second["period_vol"].value == pytest.approx(part.std(ddof=1) * np.sqrt(10))
    assert second["return_ratio"].value == pytest.approx(part.mean() / part.std(ddof=1))
    assert second["max_drawdown"].value == pytest.approx(drawdown_of(part).min())
    assert second["turnover"].value == 0.5
    single = {row.metric: row.status for row in window_metrics(series_from([0.01]), None)}
    assert single["period_vol"] == single["return_ratio"] == "insufficient"
    flat = {row.metric: row.status for row in window_metrics(series_from([0.0, 0.0]), None)}
    assert flat["return_ratio"] == "undefined"


# --- the traps of quantstats


def test_large_gains_without_a_loss_are_not_read_as_prices() -> None:
    import pandas as pd

    r = np.array([0.5, 1.2, 0.0, 0.3, 2.0, 0.1])
    trapped = stats_library().sharpe(pd.Series(r, dates_of(6)), periods=252)
    right = r.mean() / r.std(ddof=1) * np.sqrt(252)
    assert abs(trapped - right) > 1
    found = judge(r, market=noise(6))
    assert found["sharpe"].value == pytest.approx(right)
    assert found["cagr"].value == pytest.approx(np.prod(1 + r) ** (252 / 6) - 1)
    assert found["max_drawdown"].value == 0.0
    assert found["total_return"].value == pytest.approx(np.prod(1 + r) - 1)
    assert judge(np.array([0.0, 1.0, 0.5, 0.2]))["max_drawdown"].value == 0.0


def test_a_market_of_large_gains_is_not_read_as_prices() -> None:
    market = np.random.default_rng(0).uniform(0, 2, 80)
    r = 0.3 * market + noise(80)
    expected = np.cov(r, market)
    found = judge(r, market=market)
    assert found["beta"].value == pytest.approx(expected[0, 1] / expected[1, 1])
    assert found["beta_recent"].value == pytest.approx(expected[0, 1] / expected[1, 1])


def test_the_tail_loss_is_historical_and_the_normal_one_stands_aside() -> None:
    r = np.random.default_rng(3).standard_t(3, 500) * 0.01
    found = judge(r)
    assert found["cvar_95"].value == pytest.approx(r[r <= np.quantile(r, 0.05)].mean())
    assert abs(found["cvar_95"].value - found["cvar_95_param"].value) > 1e-4


def test_days_without_a_return_count_in_one_win_rate_and_not_in_the_other() -> None:
    found = judge([0.01, 0.0, 0.0, -0.01])
    assert found["win_rate"].value == 0.25
    assert found["win_rate_active"].value == 0.5


def test_changing_the_numbers_in_place_changes_the_metrics() -> None:
    r = noise(100)
    before = judge(r)["sharpe"].value
    r[50] += 0.05
    assert judge(r)["sharpe"].value != before


def test_the_dates_do_not_matter_to_the_numbers_and_days_of_other_units_are_fine() -> None:
    r = noise(100)
    weekly = series_from(r, session_date=dates_of(700, "1995-01-02")[::7])
    fine = series_from(r, session_date=dates_of(100).astype("datetime64[s]"))
    for other in (weekly, fine):
        assert [row.value for row in judge(other).values()] == [row.value for row in judge(r).values()]


def test_the_number_of_periods_is_the_one_given() -> None:
    r = noise(100)
    ratio = judge(r, periods=365)["sharpe"].value / judge(r, periods=252)["sharpe"].value
    assert ratio == pytest.approx(np.sqrt(365 / 252))
    assert judge(r, periods=365)["calmar"].value != judge(r, periods=252)["calmar"].value


def test_what_is_left_of_a_lost_book_is_still_measured() -> None:
    import pandas as pd

    r = np.concatenate([noise(251), [-1 + 1e-14]])
    wealth = float(np.prod(1 + r))
    assert abs(stats_library().cagr(pd.Series(r, dates_of(252)), periods=25) + 1 - wealth ** (25 / 252)) > 1e-7
    assert judge(r, periods=25)["cagr"].value == pytest.approx(wealth ** (25 / 252) - 1, abs=1e-12)
    assert judge(r, periods=25)["calmar"].status == "ok"


def test_a_quiet_series_keeps_its_shape() -> None:
    import pandas as pd

    r = noise(200)
    quiet = r * 1e-5
    assert stats_library().skew(pd.Series(quiet, dates_of(200)), prepare_returns=False) == 0.0
    for name in ("skew", "kurtosis"):
        assert judge(quiet)[name].value == pytest.approx(judge(r)[name].value, rel=1e-9)


def test_metrics_open_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert judge(noise(200), market=noise(200, 1))["beta"].status == "ok"


IMPORT_CHECK = """
import socket, sys
def refuse(*a, **k): raise AssertionError("a connection was opened")
socket.socket.connect = refuse; socket.getaddrinfo = refuse
import quantmill.judgement, quantmill.simulation
heavy = {"quantstats", "pandas", "numba", "matplotlib", "scipy", "duckdb"} & set(sys.modules)
assert not heavy, heavy
import matplotlib
before = dict(matplotlib.rcParams)
from quantmill.judgement.metrics import stats_library
stats_library()
changed = [k for k in before if k != "backend" and matplotlib.rcParams[k] != before[k]]
assert not changed, changed
"""


def test_importing_loads_nothing_heavy_and_quantstats_leaves_no_trace() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- two implementations


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 400),
    scale=st.sampled_from([1e-9, 1e-6, 1e-4, 0.01, 0.3, 3.0]),
    zeros=st.sampled_from([0.0, 0.5]),
    kind=st.sampled_from(["normal", "gains", "losses", "rounded"]),
    periods=st.sampled_from([252, 365]),
)
def test_quantstats_and_the_recomputation_agree_on_any_path(
    seed: int, n: int, scale: float, zeros: float, kind: str, periods: int
) -> None:
    rng = np.random.default_rng(seed)
    r = rng.normal(0.02 * scale, scale, n)
    r = {"normal": r, "gains": np.abs(r), "losses": -np.abs(r), "rounded": np.round(r, 2)}[kind]
    r = np.clip(np.where(rng.random(n) < zeros, 0.0, r), -1.0, None)
    market = rng.normal(0, scale, n)
    market[rng.random(n) < 0.2] = np.nan
    found = judge(series_from(r), market=market, stress_reference=market, periods=periods)

    def value(name: str) -> float:
        return float(found[name].value)

    assert found["n_obs"].value == n
    assert -1 <= value("max_drawdown") <= 0
    if n > 1:
        assert value("cvar_95") <= value("var_95") + 1e-15


def test_a_metric_that_differs_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    library = stats_library()
    monkeypatch.setattr(library, "sharpe", lambda *_, **__: 1.2345)
    with pytest.raises(MetricDisagreement, match=r"sharpe is 1\.2345") as caught:
        judge(noise(100))
    assert caught.value.facts["metric"] == "sharpe"


def test_windows_that_do_not_compound_to_the_total_are_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(independent_module, "window_metrics", lambda *given_: window_metrics(*given_)[:-6])
    with pytest.raises(MetricDisagreement, match="total_return"):
        judge(noise(100))


def test_agreement_is_absolute_below_one_and_relative_above() -> None:
    require_agreement({"a": 0.5, "b": None}, {"a": 0.5 + 9e-10, "b": None})
    require_agreement({"a": 1e6}, {"a": 1e6 + 9e-4})
    for first, second in ((0.5, 0.5 + 2e-9), (1e6, 1e6 + 2e-3), (None, 0.0), (0.0, None)):
        with pytest.raises(MetricDisagreement):
            require_agreement({"a": first}, {"a": second})


def test_every_number_of_quantstats_is_computed_twice() -> None:
    checked = set(recompute(noise(100), noise(100, 1), 252))
    by_library = {
        *("total_return", "cagr", "annualized_vol", "sharpe", "sortino", "max_drawdown", "calmar", "omega"),
        *("tail_ratio", "var_95_param", "cvar_95", "cvar_95_param", "skew", "kurtosis", "win_rate_active"),
        *("beta", "alpha_ann", "beta_recent"),
    }
    assert checked == by_library


# --- the border


def test_a_series_that_contradicts_itself_is_named() -> None:
    r = noise(30)
    good = series_from(r)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("turnover has shape", {"turnover": np.zeros(3)}),
        ("net_return holds nan", {"net_return": np.where(np.arange(30) == 3, np.nan, r)}),
        ("session_date does not ascend", {"session_date": dates_of(30)[::-1]}),
        ("window_index falls", {"window_index": np.arange(30)[::-1]}),
        ("nav is 9", {"nav": np.where(np.arange(30) == 4, 9.0, good.nav)}),
        ("nav is", {"starting_nav": 2.0}),
        ("above gross_return", {"gross_return": r - 1e-6}),
        ("lose more than all", {"net_return": np.where(np.arange(30) == 3, -1.5, r)}),
    ]
    for message, change in wrong:
        with pytest.raises(DataContractError, match=message):
            judge(replace(good, **change))
    with pytest.raises(DataContractError, match="market has shape"):
        judge(good, market=np.zeros(3))
    with pytest.raises(DataContractError, match="window weights have shapes"):
        judge(good, weights=book(np.zeros((2, 2)), np.zeros((2, 3), int)))


def test_the_counts_of_the_simulator_have_a_metric_each() -> None:
    from quantmill.simulation import simulator

    codes = {*simulator._ROW_CODES, *simulator._CLOSE_CODES, "margin_breach", "empty_window"}
    assert set(metrics_module.EVENT_COUNTS.values()) == codes
