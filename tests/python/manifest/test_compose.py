"""The manifest is composed by layers and validated strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quantmill.errors import BadValue, QuantmillError, UnknownKey, UnknownProfile, UsageError
from quantmill.manifest.compose import list_profiles, resolve, settings_from_rows
from support import ROOT

MANIFEST = ROOT / "manifest"


def sample(**overrides: Any) -> Any:
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    return resolve(MANIFEST, "sample", overrides=settings, environment={})


def test_sample_is_what_its_specification_says() -> None:
    settings = sample().settings
    assert settings.as_of.isoformat() == "2022-12-28T22:00:00+00:00"
    assert settings.lookback_sessions == 1511
    assert settings.matrix.window_sets == ("secular",)
    assert (settings.windows["secular"].train, settings.windows["secular"].test, settings.windows["secular"].step) == (
        252, 20, 20,
    )  # fmt: skip
    assert (settings.bars.kind, settings.bars.volume) == ("close_only", "absent")
    assert settings.universe.basis == "static"
    assert len(settings.universe.symbols) == 20
    assert {settings.universe.logic, settings.universe.direction} == {"buy_hold", "LONG"}
    assert len(settings.universe.landed_only) == 5
    assert settings.benchmarks == ("SP:SPX",)
    assert "price index" in settings.benchmark_note
    assert settings.selection.history_floor == 252
    assert (settings.selection.top_n, settings.selection.entropy_max) == (3, 0.999)
    assert (settings.selection.efficiency_min, settings.selection.min_momentum) == (0.01, -0.20)
    assert set(settings.selection.inert_vetoes) == {"ADV_MISSING", "ECI_HIGH", "SPREAD_WIDE", "RANDOM_WALK"}
    assert settings.required_simulators == ("custom",)
    assert settings.tier == "smoke"
    assert settings.allocation.cap_policy == "relax"
    assert settings.matrix.cost_models == ("std_6bp", "gross")
    assert settings.cost_models["std_6bp"].rate == pytest.approx(0.0006)
    assert settings.cost_models["gross"].rate == settings.cost_models["gross"].borrow_annual == 0


def test_the_rows_of_a_run_give_its_settings_back() -> None:
    resolved = sample()
    assert settings_from_rows({row.key: row.value for row in resolved.rows}) == resolved.settings


def test_the_command_line_stands_above_the_environment_and_that_above_the_profile() -> None:
    environment = {"QUANTMILL_SET_ALLOCATION__CLUSTER_CAP": "0.2", "QUANTMILL_SET_SEED": "3", "QUANTMILL_HOME": "x"}
    resolved = resolve(MANIFEST, "sample", overrides={"seed": 4}, environment=environment)
    layers = {row.key: (row.value, row.source_layer) for row in resolved.rows}
    assert layers["seed"] == ("4", "command_line")
    assert layers["allocation.cluster_cap"] == ("0.2", "environment")
    assert layers["allocation.cap_policy"] == ('"relax"', "profile")
    assert layers["universe.basis"] == ('"static"', "universe")
    assert layers["allocation.asset_cap"] == ("0.25", "defaults")


def test_a_profile_extends_another_and_an_alias_stands_for_one(manifest: Path) -> None:
    (manifest / "profiles" / "tight.yml").write_text("extends: sample\nallocation: {cluster_cap: 0.1}\n")
    (manifest / "profiles" / "other.yml").write_text("alias: tight\n")
    settings = resolve(manifest, "other", overrides={}, environment={}).settings
    assert settings.profile == "other"
    assert settings.allocation.cluster_cap == 0.1
    assert settings.lookback_sessions == 1511


def test_an_alias_that_states_anything_else_is_an_error(manifest: Path) -> None:
    (manifest / "profiles" / "other.yml").write_text("alias: sample\nquality: {gate: report}\n")
    with pytest.raises(BadValue, match=r"other\.yml: 'alias' stands beside quality.*'extends'"):
        resolve(manifest, "other", overrides={}, environment={})


def test_a_key_that_stands_twice_in_a_file_is_an_error(manifest: Path) -> None:
    (manifest / "profiles" / "twice.yml").write_text("extends: sample\nseed: 1\nseed: 2\n")
    with pytest.raises(BadValue, match=r"profiles/twice\.yml is not valid YAML: the key 'seed' stands there twice"):
        resolve(manifest, "twice", overrides={}, environment={})


def test_the_settings_of_a_static_list_have_no_keys_of_scanners() -> None:
    keys = {row.key for row in sample().rows}
    assert not keys & {"max_winners", "anchors", "locked", "universe.scanners", "universe.raw_pool_limit"}
    assert not any(key.startswith("acquisition") for key in keys)


def test_profiles_that_extend_each_other_in_a_circle_are_named(manifest: Path) -> None:
    (manifest / "profiles" / "a.yml").write_text("extends: b\n")
    (manifest / "profiles" / "b.yml").write_text("extends: a\n")
    with pytest.raises(UsageError, match="a → b → a"):
        resolve(manifest, "a", overrides={}, environment={})


def test_an_unknown_key_in_a_file_names_file_key_and_nearest_key(manifest: Path) -> None:
    (manifest / "profiles" / "odd.yml").write_text("extends: sample\nallocation: {clustr_cap: 0.1}\n")
    with pytest.raises(UnknownKey) as caught:
        resolve(manifest, "odd", overrides={}, environment={})
    message = str(caught.value)
    assert "manifest/profiles/odd.yml" in message
    assert "'allocation.clustr_cap'" in message
    assert "did you mean 'allocation.cluster_cap'?" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [
        ("alocation.cluster_cap", 0.1, UnknownKey, "did you mean 'allocation'?"),
        ("windows.secular.tain", 9, UnknownKey, "did you mean 'windows.secular.train'?"),
        ("allocation.cluster_cap", "much", BadValue, "'allocation.cluster_cap' is 'much'"),
        ("allocation.cluster_cap", 1.5, BadValue, "less than or equal to 1"),
        ("lookback_sessions", 0, BadValue, "greater than or equal to 1"),
        ("matrix.engines", ["magic"], BadValue, "one of 'custom', 'skfolio'"),
        ("matrix.risk_profiles", ["magic"], BadValue, "'max_sharpe'"),
        ("allocation.volatility_bands.magic", 0.3, BadValue, "'max_sharpe'"),
        ("matrix.window_sets", ["weekly"], BadValue, "but windows has secular"),
        ("matrix.cost_models", ["free"], BadValue, "but cost_models has gross"),
        ("headline.risk_profile", "barbell", BadValue, "not in matrix.risk_profiles"),
        ("universe.symbols", ["AAPL'; drop table x"], BadValue, "pattern"),
        ("universe.symbols", [], BadValue, "at least 1 item"),
        ("as_of", "2022-12-28T22:00:00", BadValue, "no time zone"),
        ("lookback_sessions", 271, BadValue, "needs 272: train 252 + test 20"),
        ("windows.secular.step", 30, BadValue, "would belong to no window"),
        ("seed.deeper", 1, QuantmillError, "seed"),
        ("allocation.l2_gamma.NORMAAL", 0.3, BadValue, "'EXPANSION'"),
        ("allocation.cluster_cut.NORMAL", -1, BadValue, "greater than or equal to 0"),
        ("allocation.cluster_cap", 0, BadValue, "greater than 0"),
        ("allocation.turnover_cost_model", "free", BadValue, "cost_models has gross"),
        ("periods_per_year", 365, BadValue, "calendar XNYS has 252"),
        ("calendar_id", "24/7", BadValue, "calendar 24/7 has 365"),
        ("matrix.risk_profiles", ["min_variance", "min_variance"], BadValue, "more than once"),
        ("universe.symbols", ["NYSE:KO", "NYSE:KO"], BadValue, "more than once"),
        ("required_simulators", ["nonsense"], BadValue, "'custom'"),
        ("selection.inert_vetoes", ["TYPO"], BadValue, "'ADV_MISSING'"),
        (
            "selection.cluster_shrinkage",
            [0.2, 0.1],
            BadValue,
            "cluster_shrinkage' is [0.2, 0.1]: values that",
        ),
        ("allocation.correlation_shrinkage", [0.5, 0.15], BadValue, "[0.5, 0.15]: values that ascend"),
        ("allocation.correlation_shrinkage", [0.5, 0.5], BadValue, "values that ascend"),
        ("selection.max_winners", 25, UnknownKey, "unknown key 'selection.max_winners'"),
        ("matrix.window_sets", ["stability"], BadValue, "windows that overlap are not judged yet"),
    ],
)
def test_a_bad_override_is_an_error_that_names_it(key: str, value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        resolve(MANIFEST, "sample", overrides={key: value}, environment={})
    assert words in str(caught.value)


def test_an_error_across_fields_names_them_and_leaves_the_rest_of_the_settings_out() -> None:
    with pytest.raises(BadValue) as caught:
        resolve(MANIFEST, "sample", overrides={"selection.hurst_min": 0.45}, environment={})
    text = str(caught.value)
    assert "'selection': selection.hurst_min and selection.hurst_max are set together" in text
    assert "factor_weights" not in text


@pytest.mark.parametrize("name", ["sampel", "../sample", "../profiles/sample", "sample.yml", "Sample", ""])
def test_an_unknown_profile_names_those_that_are_there(name: str) -> None:
    with pytest.raises(UnknownProfile, match="sample"):
        resolve(MANIFEST, name, overrides={}, environment={})


def test_broken_yaml_is_an_error_that_names_the_file(manifest: Path) -> None:
    (manifest / "profiles" / "broken.yml").write_text("a: [1\n")
    with pytest.raises(BadValue, match=r"profiles/broken\.yml is not valid YAML"):
        resolve(manifest, "broken", overrides={}, environment={})
    assert "broken" in list_profiles(manifest)
