"""The plan of a run: ids are digests of dimensions."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from quantmill.errors import BadValue, UnknownKey
from quantmill.manifest.compose import resolve, settings_from_rows
from quantmill.manifest.settings import Settings
from quantmill.stages.plan import excluded_cells, plan_cells, plan_configs
from support import ROOT

SETTINGS = resolve(ROOT / "manifest", "sample", overrides={}, environment={}).settings


def settings_with(**overrides: Any) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    engines = dotted.get("matrix.selection_engines")
    if engines:
        dotted["headline.selection_engine"] = engines[0]
    return resolve(ROOT / "manifest", "sample", overrides=dotted, environment={}).settings


SMALL = settings_with(matrix__selection_engines=["baseline"], matrix__exclude=[])


def test_a_configuration_id_is_the_digest_of_its_dimensions() -> None:
    found = {
        config["rebalance_mode"]: config["config_id"]
        for config in plan_configs(SETTINGS)
        if (config["engine"], config["risk_profile"], config["selection_engine"])
        == ("custom", "min_variance", "baseline")
    }
    assert found
    for mode, config_id in found.items():
        text = (
            f'{{"engine":"custom","profile":"min_variance","rebalance":"{mode}","selection":"baseline",'
            '"variant":"shared","window_set":"secular"}'
        )
        assert config_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_ids_are_unique_and_every_configuration_has_each_simulator_and_cost_model() -> None:
    configs, cells = plan_configs(SMALL), plan_cells(SMALL)
    matrix = SMALL.matrix
    kinds = len(matrix.baselines) + len(matrix.engines) * len(matrix.risk_profiles)
    assert len({config["config_id"] for config in configs}) == len(configs) == 2 * kinds
    assert len({cell["cell_id"] for cell in cells}) == len(cells) == 4 * kinds
    assert {(cell["config_id"], cell["cost_model"]) for cell in cells} == {
        (config["config_id"], cost) for config in configs for cost in ("std_6bp", "gross")
    }


def test_baselines_are_marked_with_their_roles() -> None:
    roles = {config["risk_profile"]: config["baseline_role"] for config in plan_configs(SETTINGS)}
    named = {"market": "baseline", "benchmark": "anchor", "raw_pool_ew": "calibration"}
    assert roles == named | dict.fromkeys(SETTINGS.matrix.risk_profiles)


def test_ids_do_not_depend_on_settings_outside_their_dimensions() -> None:
    other = resolve(ROOT / "manifest", "sample", overrides={"allocation.cluster_cap": 0.1}, environment={}).settings
    assert plan_cells(other) == plan_cells(SETTINGS)


def test_an_exclusion_leaves_out_what_has_all_its_dimensions_and_nothing_else() -> None:
    excluded = settings_with(
        matrix__selection_engines=["baseline"],
        matrix__exclude=[{"rebalance_mode": "daily", "risk_profile": "min_variance"}],
    )
    everything = {cell["cell_id"]: cell for cell in plan_cells(SMALL)}
    left = {cell["cell_id"] for cell in plan_cells(excluded)}
    gone = [cell for cell_id, cell in everything.items() if cell_id not in left]
    assert left < set(everything)
    assert {(cell["rebalance_mode"], cell["risk_profile"]) for cell in gone} == {("daily", "min_variance")}
    assert len(gone) == len(SMALL.matrix.cost_models) * len(SMALL.matrix.simulators) * len(SMALL.matrix.engines)
    assert len(plan_configs(SMALL)) - len(plan_configs(excluded)) == len(SMALL.matrix.engines)
    assert [cell["cell_id"] for cell, _ in excluded_cells(excluded)] == [cell["cell_id"] for cell in gone]
    assert {exclusion.matches(cell) for cell, exclusion in excluded_cells(excluded)} == {True}
    assert excluded_cells(SMALL) == []


def test_excluding_one_mode_of_a_selection_engine_takes_its_baselines_along() -> None:
    left = plan_cells(
        settings_with(
            matrix__selection_engines=["baseline"],
            matrix__exclude=[{"selection_engine": "baseline", "rebalance_mode": "daily"}],
        )
    )
    assert {cell["rebalance_mode"] for cell in left} == {"window"}
    assert len(left) * 2 == len(plan_cells(SMALL))


def test_excluding_a_cost_model_leaves_the_configuration() -> None:
    left = settings_with(
        matrix__selection_engines=["baseline"], matrix__exclude=[{"cost_model": "gross", "rebalance_mode": "daily"}]
    )
    assert plan_configs(left) == plan_configs(SMALL)
    assert len(plan_cells(left)) == len(plan_cells(SMALL)) * 3 // 4


@pytest.mark.parametrize(
    ("exclude", "error", "named"),
    [
        ([{"engine": "market", "risk_profile": "min_variance"}], BadValue, "matches no combination"),
        ([{"window_set": "golden"}], BadValue, "{'window_set': 'golden'} matches no combination"),
        ([{}], BadValue, "state at least one"),
        ([{"enigne": "custom"}], UnknownKey, "did you mean 'matrix.exclude.0.engine'"),
        ([{"rebalance_mode": "window"}, {"rebalance_mode": "daily"}], BadValue, "leave no combination"),
        ([{"engine": "custom", "risk_profile": "min_variance"}], BadValue, "no cell of the headline"),
        ([{"cost_model": "gross"}, {"cost_model": "gross"}], BadValue, "more than once"),
    ],
)
def test_an_exclusion_that_cannot_be_meant_is_an_error_that_names_it(
    exclude: list[dict[str, str]], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match="exclude") as caught:
        settings_with(matrix__exclude=exclude, headline={"engine": "custom", "risk_profile": "min_variance"})
    assert named in str(caught.value)


def test_exclusions_survive_the_rows_of_the_settings() -> None:
    resolved = resolve(
        ROOT / "manifest", "sample", overrides={"matrix.exclude": [{"cost_model": "gross"}]}, environment={}
    )
    rows = {row.key: row.value for row in resolved.rows}
    assert rows["matrix.exclude"] == '[{"cost_model": "gross"}]'
    assert settings_from_rows(rows) == resolved.settings
