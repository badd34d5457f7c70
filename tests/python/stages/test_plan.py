"""The plan of a run: ids are digests of dimensions."""

from __future__ import annotations

import hashlib

from quantmill.manifest.compose import resolve
from quantmill.stages.plan import plan_cells, plan_configs
from support import ROOT

SETTINGS = resolve(ROOT / "manifest", "sample", overrides={}, environment={}).settings


def test_a_configuration_id_is_the_digest_of_its_dimensions() -> None:
    [config] = [
        config
        for config in plan_configs(SETTINGS)
        if (config["engine"], config["risk_profile"]) == ("custom", "min_variance")
    ]
    text = (
        '{"engine":"custom","profile":"min_variance","rebalance":"window","selection":"baseline",'
        '"variant":"shared","window_set":"secular"}'
    )
    assert config["config_id"] == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_ids_are_unique_and_every_configuration_has_each_simulator_and_cost_model() -> None:
    configs, cells = plan_configs(SETTINGS), plan_cells(SETTINGS)
    assert len({config["config_id"] for config in configs}) == len(configs) == 13
    assert len({cell["cell_id"] for cell in cells}) == len(cells) == 26
    assert {(cell["config_id"], cell["cost_model"]) for cell in cells} == {
        (config["config_id"], cost) for config in configs for cost in ("std_6bp", "gross")
    }


def test_baselines_are_marked_with_their_roles() -> None:
    roles = {config["risk_profile"]: config["baseline_role"] for config in plan_configs(SETTINGS)}
    assert roles == {
        "market": "baseline",
        "benchmark": "anchor",
        "raw_pool_ew": "calibration",
        "equal_weight": None,
        "min_variance": None,
        "hrp": None,
        "risk_parity": None,
        "max_sharpe": None,
    }


def test_ids_do_not_depend_on_settings_outside_their_dimensions() -> None:
    other = resolve(ROOT / "manifest", "sample", overrides={"allocation.cluster_cap": 0.1}, environment={}).settings
    assert plan_cells(other) == plan_cells(SETTINGS)
