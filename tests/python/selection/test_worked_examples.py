"""The worked examples of scores, vetoes and seats, asked of the SQL models themselves over small tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from python.selection.rendering import answer
from quantmill.features.factors import return_factors

KEYS = {"run_id": "r", "window_set": "w", "window_index": 0}
ROBUST = {"momentum": 1.7469, "stability": 0.0458, "liquidity": 0.2946}
EVEN = {"momentum": 1.0, "stability": 1.0, "liquidity": 1.0}
# M4: probabilities of momentum, stability and liquidity
THREE = {"A": (0.90, 0.50, 0.80), "B": (0.60, 0.90, 0.95), "C": (0.99, 0.01, 0.30)}


def rows(**values: list[Any]) -> list[dict[str, Any]]:
    """One row per atom A, B, C, ...: the columns are lists over the atoms."""
    count = max(len(column) for column in values.values())
    return [
        {**KEYS, "atom_id": chr(65 + i), **{name: column[i] for name, column in values.items()}} for i in range(count)
    ]


def measured(direction: str, facts: Mapping[str, float]) -> tuple[Any, ...]:
    """The oriented facts of one atom of that direction whose symbol has these facts."""
    known = datetime(2024, 1, 3, 21)
    found = answer(
        "atom_measures",
        {
            "windows": [
                {**KEYS, "decision_date": known.date(), "decision_close_utc": known, "step_count": 20,
                 "regime": "NORMAL", "quadrant": "NORMAL"}
            ],
            "candidates": [
                {**KEYS, "atom_id": "A", "symbol": "X", "logic": "x", "direction": direction, "is_kept": True,
                 "drop_reason": "", "return_count": 252, "scanner_id": "s"}
            ],
            "factor_history": [
                {"symbol": "X", "factor_set": "daily_252", "known_at_utc": known, "equal_close_count": 0,
                 "average_daily_value": 1.0, "spread": 0.0, "gap_fraction": 0.0, "survival": 1.0, "adx": 20.0,
                 "roc": 0.0, **facts}
            ],
            "symbols": [
                {"symbol": "X", "economic_id": "X", "asset_class": "equity", "tick_size": 0.01, "price_precision": 2,
                 "valid_from": datetime(2020, 1, 1), "valid_to": datetime(2030, 1, 1)}
            ],
            "execution_limits": [
                {"symbol": "none", "source": "exchange", "tick_size": 0.1, "lot_size": 1.0, "price_precision": 1,
                 "valid_from": datetime(2020, 1, 1), "valid_to": datetime(2030, 1, 1)}
            ],
            "bar_spikes": [{"symbol": "none", "session_date": known.date(), "code": "none"}],
        },
        "momentum, compounded_60, skew, cvar, tail_gain, volatility_annual, efficiency, excess_kurtosis, hurst, "
        "entropy",
    )  # fmt: skip
    assert len(found) == 1
    return found[0]


def test_mirrored_returns_in_the_other_direction_have_the_same_facts() -> None:
    returns = np.random.default_rng(15).normal(0.001, 0.02, 400)
    facts = []
    for series in (returns, -returns):
        rolled = return_factors(series, np.array([0, len(series)]))
        last = {name: float(values[-1]) for name, values in rolled.items()}
        last |= {"momentum": 252 * last["mean_return"], "momentum_short": 252 * last["mean_return_short"]}
        facts.append(last | {"volatility_annual": last["deviation"] * math.sqrt(252)})
    short, long = measured("SHORT", facts[1]), measured("LONG", facts[0])
    assert short == pytest.approx(long, rel=1e-12)
    assert short[-1] == long[-1], "entropy is ranked: its last bit counts"
    assert measured("SHORT", facts[0]) != pytest.approx(measured("LONG", facts[0]), rel=1e-3)


def probabilities(factor: str, values: list[float | None], **overrides: Any) -> list[tuple[float, bool]]:
    """Probability and flag of each atom for the factor whose raw values are given."""
    column = {"skew": "downside_skew"}.get(factor, factor)
    found = answer(
        "factor_probabilities",
        {"atom_factors": rows(**{column: values})},
        "atom_id, factor, probability, is_imputed",
        **{"bars.volume": "present", **overrides},
    )
    return [(row[2], row[3]) for row in found if row[1] == factor]


def scores(
    placed: Mapping[str, tuple[float, ...]],
    weights: Mapping[str, float],
    *,
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    **overrides: Any,
) -> dict[str, tuple[float, int, float, float]]:
    """Log score, rank, fit multiplier and penalty by atom, from probabilities in the order of the weights."""
    given = [
        {**KEYS, "atom_id": atom, "factor": factor, "probability": value}
        for atom, values in placed.items()
        for factor, value in zip(weights, values, strict=True)
    ]
    engine = [{"selection_engine": "v3.2", "factor": factor, "weight": weight} for factor, weight in weights.items()]
    wanted = "run_id, window_set, window_index, selection_engine, atom_id, factor, weight, probability, contribution"
    parts = answer("score_contributions", {"factor_probabilities": given, "engine_weights": engine}, wanted)
    factors = [
        {**KEYS, "atom_id": atom, "penalty": 0.0, "observation_count": 252, **((facts or {}).get(atom, {}))}
        for atom in placed
    ]
    found = answer(
        "alpha_scores",
        {
            "score_contributions": [dict(zip(wanted.split(", "), part, strict=True)) for part in parts],
            "atom_factors": factors,
        },
        "atom_id, log_score, rank, fit_multiplier, penalty, score",
        **overrides,
    )
    assert all(score == pytest.approx(math.exp(log_score), rel=1e-12) for _, log_score, _, _, _, score in found)
    return {row[0]: row[1:5] for row in found}


def test_values_become_probabilities_by_average_rank() -> None:
    """M3."""
    found = [value for value, _ in probabilities("momentum", [0.10, 0.30, 0.30, -0.05])]
    assert found == pytest.approx([0.34, 0.835, 0.835, 0.01], abs=1e-12)
    found = [value for value, _ in probabilities("entropy", [0.10, 0.30, 0.30, -0.05])]
    assert found == pytest.approx([0.67, 0.175, 0.175, 1.0], abs=1e-12)


def test_values_become_probabilities_by_the_normal_distribution() -> None:
    """M3: what the standardised values -.3673, .8080, .8080 and -1.2487 have below them; no other curve is used."""
    found = [value for value, _ in probabilities("adx", [0.10, 0.30, 0.30, -0.05])]
    assert found == pytest.approx([0.3567, 0.7905, 0.7905, 0.1059], abs=5e-5)
    standardised = [NormalDist().inv_cdf(value) for value in found]
    assert standardised == pytest.approx([-0.3673, 0.8080, 0.8080, -1.2487], abs=5e-5)


def test_a_declared_identity_is_clipped_and_not_inferred() -> None:
    found = [value for value, _ in probabilities("efficiency", [0.0, 0.4, 7.0])]
    assert found == [0.001, 0.4, 1.0]


@pytest.mark.parametrize("factor", ["momentum", "entropy", "adx"])
@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3]])
def test_one_atom_or_equal_atoms_stand_in_the_middle(factor: str, values: list[float | None]) -> None:
    middle = 0.5 if factor == "adx" else 0.505
    assert probabilities(factor, values) == [(pytest.approx(middle), False)] * len(values)


def test_a_missing_value_counts_against_the_atom_where_it_is_vital_and_is_not_ranked() -> None:
    assert probabilities("momentum", [0.1, None, 0.3]) == [(0.01, False), (0.01, True), (1.0, False)]
    assert probabilities("entropy", [0.1, None, 0.3]) == [(1.0, False), (0.5, True), (0.01, False)]
    assert probabilities("momentum", [0.1, math.inf, 0.3])[1] == (0.01, True)


def test_what_the_profile_declares_absent_says_nothing_about_anyone() -> None:
    found = probabilities("liquidity", [None, None], **{"bars.volume": "absent"})
    assert found == [(0.5, True), (0.5, True)]
    assert probabilities("liquidity", [None, 0.2]) == [(0.01, True), (0.2, False)]


def test_the_robust_weights_and_even_weights_order_the_worked_example_differently() -> None:
    robust = scores(THREE, ROBUST)
    assert [robust[name][0] for name in "ABC"] == pytest.approx([-0.281539, -0.912298, -0.583164], abs=5e-7)
    assert [robust[name][1] for name in "ABC"] == [1, 3, 2]
    even = scores(THREE, EVEN)
    assert [math.exp(even[name][0]) for name in "ABC"] == pytest.approx([0.36, 0.513, 0.00297])
    assert [even[name][1] for name in "ABC"] == [2, 1, 3]


def test_a_twofold_fund_wins_the_momentum_rank_and_only_the_leverage_rule_stops_it() -> None:
    pair = {"X": (0.01, 1.0, 1.0), "XX": (1.0, 0.01, 0.16)}
    robust = scores(pair, ROBUST)
    assert math.exp(robust["X"][0]) == pytest.approx(0.00032, abs=5e-6)
    assert math.exp(robust["XX"][0]) == pytest.approx(0.47199, abs=5e-6)
    even = scores(pair, EVEN)
    assert [math.exp(even[name][0]) for name in pair] == pytest.approx([0.01, 0.0016])


def test_the_score_is_the_product_of_weighted_probabilities_for_any_row() -> None:
    generator = np.random.default_rng(14)
    names = [f"factor{i:02d}" for i in range(14)]
    placed = {f"atom{i:03d}": tuple(generator.uniform(0.001, 1.0, 14)) for i in range(200)}
    weights = dict(zip(names, generator.uniform(0.0, 2.0, 14), strict=True))
    found = scores(placed, weights)
    for atom, values in placed.items():
        product = math.prod(value**weight for value, weight in zip(values, weights.values(), strict=True))
        assert math.exp(found[atom][0]) == pytest.approx(product, rel=1e-12)


def test_a_better_factor_never_lowers_the_score_and_one_without_weight_leaves_it() -> None:
    weights = {"momentum": 1.7, "skew": 0.0}
    before = scores({"A": (0.3, 0.3)}, weights)["A"][0]
    assert scores({"A": (0.4, 0.3)}, weights)["A"][0] > before
    assert scores({"A": (0.3, 0.9)}, weights)["A"][0] == before


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_weights_of_another_size_rank_alike(scale: float) -> None:
    generator = np.random.default_rng(3)
    placed = {f"atom{i:02d}": tuple(generator.uniform(0.01, 1.0, 3)) for i in range(30)}
    ranks = {name: row[1] for name, row in scores(placed, ROBUST).items()}
    scaled = {factor: weight * scale for factor, weight in ROBUST.items()}
    assert {name: row[1] for name, row in scores(placed, scaled).items()} == ranks


def test_equal_scores_are_ordered_by_traded_value_and_then_by_name() -> None:
    placed = dict.fromkeys("ABCD", (0.5,))
    facts = {"A": {"average_daily_value": None}, "B": {"average_daily_value": 5.0}, "C": {"average_daily_value": 9.0}}
    facts["D"] = {"average_daily_value": 5.0}
    found = scores(placed, {"momentum": 1.0}, facts=facts)
    assert sorted(placed, key=lambda name: found[name][1]) == ["C", "B", "D", "A"]


def test_weights_that_are_all_zero_leave_every_score_at_one() -> None:
    found = scores(THREE, dict.fromkeys(EVEN, 0.0))
    assert [row[0] for row in found.values()] == [0.0, 0.0, 0.0]


def test_the_fit_multiplier_of_the_worked_example() -> None:
    facts = {
        "A": {"quadrant": "EXPANSION", "hurst": 0.65, "absolute_autocorrelation": 0.6},
        "B": {"quadrant": "STAGNATION", "hurst": 0.44, "absolute_autocorrelation": 0.0},
        "C": {"quadrant": "CRISIS", "hurst": 0.5, "absolute_autocorrelation": 0.5},
        "D": {"quadrant": "EXPANSION", "hurst": 0.65, "absolute_autocorrelation": 0.6, "observation_count": 63},
        "E": {"quadrant": "NORMAL", "hurst": 0.95, "absolute_autocorrelation": 0.0},
        "F": {"quadrant": None, "hurst": None, "absolute_autocorrelation": None},
    }
    placed = dict.fromkeys(facts, (0.5,))
    found = scores(placed, {"momentum": 1.0}, facts=facts)
    assert [found[name][2] for name in facts] == pytest.approx([1.9, 0.3, 1.2, 1.0, 1.4, 1.0])
    assert found["A"][0] == pytest.approx(math.log(0.5) + math.log(1.9))
    off = scores(placed, {"momentum": 1.0}, facts=facts, selection__regime_fit=False)
    assert [off[name][2] for name in facts] == [1.0] * 6
    reversion = scores(placed, {"momentum": 1.0}, facts=facts, selection__strategy="mean_reversion")
    assert [reversion[name][2] for name in facts] == pytest.approx([0.6, 1.62, 1.4, 1.0, 1.2, 1.0])


def fragilities(**columns: list[Any]) -> list[tuple[float, ...]]:
    """Antifragility, fragility and penalty by atom."""
    count = len(next(iter(columns.values())))
    found = answer(
        "atom_factors",
        {
            "atom_measures": [
                {**row, "is_kept": True, "direction": "LONG", "symbol": row["atom_id"]} for row in rows(**columns)
            ],
            "atom_checks": [
                {
                    **KEYS,
                    "atom_id": "none",
                    "is_data_check": True,
                    "is_fired": True,
                }
            ],
        },
        "atom_id, antifragility, fragility, penalty",
    )
    assert len(found) == count
    return [row[1:] for row in found]


def test_antifragility_fragility_and_penalty_of_the_worked_example() -> None:
    """M7."""
    found = fragilities(
        skew=[0.5, -0.2, 1.0],
        tail_gain=[0.04, 0.03, 0.05],
        observation_count=[252, 126, 300],
        cvar=[-0.03, -0.06, -0.02],
        survival=[1.0, 0.5, 1.0],
        gap_fraction=[0.0, 0.02, 0.0],
    )
    assert [row[0] for row in found] == pytest.approx([1.0833, 0.0, 2.0], abs=5e-5)
    assert [row[1] for row in found] == pytest.approx([0.9583, 3.1, 0.3333], abs=5e-5)
    assert [row[2] for row in found] == pytest.approx([0.1546, 0.5, 0.0538], abs=5e-5)


def test_a_more_fragile_twin_pays_more() -> None:
    same = {"skew": [0.1, 0.1], "tail_gain": [0.02, 0.02], "observation_count": [252, 252], "survival": [1.0, 1.0]}
    found = fragilities(**same, cvar=[-0.02, -0.05], gap_fraction=[0.0, 0.0])
    assert found[0][2] < found[1][2] == 0.5


def checks(code: str, measure: Mapping[str, Any], **overrides: Any) -> tuple[float | None, float | None, bool]:
    """Metric, limit and verdict of one check on one atom."""
    found = answer(
        "atom_checks",
        {
            "atom_measures": [{**KEYS, "atom_id": "A", "direction": "LONG", "is_benchmark": False, **measure}],
            "metadata_defaults": [
                {"asset_class": "equity", "tick_size": 0.01, "lot_size": 1.0, "price_precision": 2.0}
            ],
            "active_vetoes": [{"code": code, "severity": "soft", "is_data_check": False, "is_active": True}],
        },
        "metric_value, limit_value, is_fired",
        **overrides,
    )
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("volatility", "value", "cost"), [(0.60, 1e7, 0.18974), (0.60, 1e9, 0.01897), (0.20, 5e8, 0.00894)]
)
def test_the_cost_of_holding_of_the_worked_example(volatility: float, value: float, cost: float) -> None:
    measure = {"momentum": 0.3, "volatility_annual": volatility, "average_daily_value": value}
    metric, _, _ = checks("ECI_HIGH", measure)
    assert 0.3 - metric == pytest.approx(cost, abs=5e-6)


def test_the_cost_of_a_year_of_rebalances_of_the_worked_example() -> None:
    measure = {"momentum": 0.3, "volatility_annual": 0.60, "average_daily_value": 1e7, "step_count": 20}
    metric, _, _ = checks("ECI_HIGH", measure, selection__eci_mode="annual")
    assert 0.3 - metric == pytest.approx(0.06402, abs=5e-6)


def test_the_hurdle_of_costs_lies_below_the_gate_of_momentum_and_strong_momentum_gets_relief() -> None:
    measure = {"momentum": 0.0, "volatility_annual": 0.2, "average_daily_value": 1e9}
    assert checks("ECI_HIGH", measure, selection__min_momentum=0.0)[1] == 0.005
    assert checks("ECI_HIGH", measure, selection__min_momentum=-0.2)[1] == pytest.approx(-0.25)
    strong = {"momentum": 1.2, "volatility_annual": 0.8, "average_daily_value": 1e6}
    kept = checks("ECI_HIGH", strong, selection__min_momentum=0.0, selection__eci_hurdle=0.5)
    assert kept[0] == pytest.approx(0.4) and not kept[2]
    assert checks("ECI_HIGH", strong, selection__min_momentum=0.0, selection__eci_hurdle=0.6)[2]


def test_a_long_needs_more_momentum_in_a_stressed_market() -> None:
    for regime, direction, floor in (("NORMAL", "LONG", 0.0), ("CRISIS", "LONG", 0.05), ("CRISIS", "SHORT", 0.0)):
        measure = {"compounded_60": 0.02, "regime": regime, "direction": direction}
        metric, limit, is_fired = checks("MOMENTUM_GATE", measure, selection__min_momentum=0.0)
        assert (metric, limit, is_fired) == (0.02, floor, floor > 0.02)


def test_a_limit_is_breached_beyond_it_and_a_metric_that_is_not_known_breaches_nothing() -> None:
    assert checks("KURTOSIS_HIGH", {"excess_kurtosis": 20.0, "observation_count": 25})[2] is False
    assert checks("KURTOSIS_HIGH", {"excess_kurtosis": 20.1, "observation_count": 25})[2] is True
    assert checks("KURTOSIS_HIGH", {"excess_kurtosis": 20.1, "observation_count": 24}) == (None, 20.0, False)
    assert checks("ROC_EXTREME", {"roc": -80.5}) == (-80.5, -80.0, True)
    assert checks("ROC_EXTREME", {"roc": 100.0}) == (100.0, 100.0, False)
    assert checks("ADV_MISSING", {"average_daily_value": None})[2] is True
    assert checks("ENTROPY_TOXIC", {"entropy": None}) == (None, 0.999, False)
    assert checks("TOXIC_PERSISTENCE", {"hurst": 0.6, "momentum": -0.1})[2] is True
    assert checks("TOXIC_PERSISTENCE", {"hurst": 0.6, "momentum": 0.0})[2] is False


def test_a_surge_that_discovery_let_through_is_vetoed_in_selection() -> None:
    """F-12: FHEUSDT.P, which the scanner keeps."""
    assert checks("ROC_EXTREME", {"roc": 153.0}) == (153.0, 100.0, True)


def test_metadata_come_from_the_instrument_or_from_its_class() -> None:
    assert checks("METADATA_MISSING", {"asset_class": "equity"})[2] is False
    assert checks("METADATA_MISSING", {"asset_class": "equity", "tick_size": 0.0}) == (1.0, 0.0, True)
    assert checks("METADATA_MISSING", {"asset_class": "futures", "tick_size": 0.25}) == (2.0, 0.0, True)
    # a class without defaults has what its venue stated
    stated = {"asset_class": "crypto", "tick_size": 0.01, "lot_size": 0.001, "price_precision": 2.0}
    assert checks("METADATA_MISSING", stated)[2] is False
    assert checks("METADATA_MISSING", {**stated, "lot_size": None}) == (1.0, 0.0, True)


@pytest.mark.parametrize(
    ("most", "correlation", "seats"), [(3, 0.8, 1), (3, 0.5, 2), (2, 0.5, 1), (5, -0.2, 5), (3, 0.0, 3)]
)
def test_a_cluster_that_moves_as_one_gets_fewer_seats(most: int, correlation: float, seats: int) -> None:
    # INVERSE moves against all of them, is paired with them for that, and stands in a cluster of its own
    names = ["A", "B", "C", "INVERSE"]
    own = {**KEYS, "selection_engine": "v3.2"}
    found = answer(
        "recruits",
        {
            "vetoes": [{**own, "atom_id": "none", "is_fired": False, "overridden_by": "none"}],
            "alpha_scores": [{**own, "atom_id": name, "rank": i} for i, name in enumerate(names, start=1)],
            "atom_factors": [
                {**KEYS, "atom_id": name, "symbol": name, "logic": "x", "direction": "LONG", "identity": name}
                for name in names
            ],
            "atom_clusters": [{**own, "symbol": name, "cluster_id": 1 + (name == "INVERSE")} for name in names],
            "calc_clusters": [
                {
                    **KEYS,
                    "selection_engines": ["v3.2"],
                    "pairs": [
                        *(
                            {"symbol_a": a, "symbol_b": b, "correlation": correlation}
                            for a, b in (("A", "B"), ("A", "C"), ("B", "C"))
                        ),
                        *({"symbol_a": name, "symbol_b": "INVERSE", "correlation": -0.99} for name in names[:3]),
                    ],
                }
            ],
        },
        "cluster_id, seat_count, count(*) filter (where is_winner) over (partition by cluster_id)",
        selection__recruitment="dynamic",
        selection__top_n=most,
    )
    assert found == [(1, seats, min(seats, 3))] * 3 + [(2, 1, 1)]
