"""What the allocation stage adds to the work of the core: pieces shared by modes, and comparisons."""

from __future__ import annotations

from typing import Any

from quantmill.ledger import canonical_json
from quantmill.manifest.compose import resolve
from quantmill.stages.allocating import _add_agreements, _library_version, _piece
from quantmill.stages.plan import plan_configs
from support import ROOT

SETTINGS = resolve(ROOT / "manifest", "sample", overrides={}, environment={}).settings
# One selection engine traded once a window: what is shared between modes is asked of copies below.
CONFIGS = [
    config
    for config in plan_configs(SETTINGS)
    if (config["selection_engine"], config["rebalance_mode"]) == ("v3.2", "window")
]


def row(weights: list[float], status: str = "native") -> dict[str, Any]:
    """A solved window with four clusters under a cap of 0.3."""
    return {
        "status": status,
        "cluster_count": 4,
        "weights": [{"weight": weight} for weight in weights],
        "constraints": [
            {"constraint_name": "cluster_cap", "bound": 0.3},
            {"constraint_name": "cluster_cap:1", "bound": 0.3},
        ],
        "events": [],
    }


def solved(changes: dict[tuple[str, str], dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """One window of every configuration: distinct weights by profile, the same for every engine."""
    profiles = list(SETTINGS.matrix.risk_profiles)
    found = {}
    for config in CONFIGS:
        if not config["is_baseline"]:
            key = (config["engine"], config["risk_profile"])
            shift = 0.01 * profiles.index(config["risk_profile"])
            found[canonical_json(_piece(config))] = [changes.get(key, row([0.25 + shift, 0.25 - shift]))]
    return found


def noted(found: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Codes and details of the events by engine and profile, where there are any."""
    return {
        (config["engine"], config["risk_profile"]): [(e["code"], e["detail"]) for e in rows[0]["events"]]
        for config in CONFIGS
        if not config["is_baseline"] and (rows := found[canonical_json(_piece(config))])[0]["events"]
    }


def test_the_mode_of_trading_is_no_part_of_a_piece_of_work() -> None:
    daily = [{**config, "rebalance_mode": "daily", "config_id": "other"} for config in CONFIGS]
    assert [_piece(config) for config in daily] == [_piece(config) for config in CONFIGS]
    assert len({canonical_json(_piece(config)) for config in CONFIGS}) == len(CONFIGS)


def test_profiles_that_differ_and_engines_that_agree_are_not_worth_an_event() -> None:
    found = solved({})
    _add_agreements(CONFIGS, found)
    assert noted(found) == {}


def test_two_profiles_with_the_same_weights_name_each_other_and_the_room_they_had() -> None:
    twin = [0.21, 0.29]
    found = solved({("custom", "hrp"): row(twin), ("custom", "max_sharpe"): row(twin)})
    _add_agreements(CONFIGS, found)
    events = noted(found)
    text = "the weights are those of {}; clusters * cap = 1.2"
    assert ("CONVERGED_PAIR", text.format("max_sharpe")) in events["custom", "hrp"]
    assert ("CONVERGED_PAIR", text.format("hrp")) in events["custom", "max_sharpe"]
    assert not [key for key in events if key[1] not in ("hrp", "max_sharpe")]


def test_an_engine_that_drifts_from_custom_is_told_by_how_much_unless_it_fell_back() -> None:
    found = solved({("skfolio", "hrp"): row([0.275, 0.225]), ("skfolio", "min_variance"): row([0.3, 0.2], "retried")})
    _add_agreements(CONFIGS, found)
    assert noted(found) == {("skfolio", "hrp"): [("SOLVER_DRIFT", "skfolio and custom differ by 0.005 in a weight")]}


def test_a_piece_of_a_library_carries_its_version() -> None:
    assert _library_version("custom") == _library_version("market") == ""
    assert _library_version("skfolio")[0].isdigit()
