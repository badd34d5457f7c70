"""The shipped profiles with scanners: what each states, what reaches what, and what cannot be changed from outside."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from quantmill.errors import BadValue, LockedKey, UnknownKey, UnknownProfile, UsageError
from quantmill.manifest.compose import ResolvedSettings, json_schema, list_profiles, resolve, settings_from_rows
from quantmill.manifest.composition import Library
from support import ROOT

MANIFEST = ROOT / "manifest"
NINE = [
    "index_etf_trend", "sector_etf_trend", "bond_trend", "commodity_etf_trend", "etf_equity_momentum",
    "etf_bond_yield_trend", "etf_commodity_supercycle", "etf_thematic_momentum", "etf_yield_alpha",
]  # fmt: skip
SLEEVES = [
    f"binance_{venue}_rating_{rating}_{direction}"
    for venue in ("spot", "perp")
    for rating in ("all", "ma", "osc")
    for direction in ("long", "short")
]
COMPOSITES = [f"crypto_rating_{name}" for name in ("all", "ma", "osc", "alpha")]
CRYPTO = [*SLEEVES, *COMPOSITES, "crypto_production", "development", "simulated_crypto"]
FUNDS = ["institutional_etf", "production", "production_2026_q1", "canary", "simulated_etf"]
PROFILES = [*CRYPTO, *FUNDS]


@pytest.fixture(scope="module")
def profiles() -> dict[str, ResolvedSettings]:
    return {name: resolve(MANIFEST, name, overrides={}, environment={}) for name in PROFILES}


def scanner_ids(resolved: ResolvedSettings) -> list[str]:
    return [one.scanner_id for one in resolved.settings.universe.scanners]


def changed(profile: str, **overrides: Any) -> ResolvedSettings:
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    return resolve(MANIFEST, profile, overrides=settings, environment={})


def test_these_are_all_profiles_with_scanners() -> None:
    assert sorted([*PROFILES, "sample"]) == list_profiles(MANIFEST)


def test_each_profile_has_its_scanners(profiles: dict[str, ResolvedSettings]) -> None:
    for name in SLEEVES:
        assert scanner_ids(profiles[name]) == [name]
    for rating in ("all", "ma", "osc"):
        assert scanner_ids(profiles[f"crypto_rating_{rating}"]) == [one for one in SLEEVES if f"_{rating}_" in one]
    assert sorted(scanner_ids(profiles["crypto_rating_alpha"])) == sorted(SLEEVES)
    for name in ("institutional_etf", "production", "production_2026_q1", "simulated_etf"):
        assert scanner_ids(profiles[name]) == NINE
    assert scanner_ids(profiles["canary"]) == ["index_etf_trend", "sector_etf_trend", "commodity_proxy_etfs"]


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_states_what_a_run_needs(name: str, profiles: dict[str, ResolvedSettings]) -> None:
    settings = profiles[name].settings
    assert settings.max_winners == (60 if name in ("institutional_etf", "simulated_etf") else 25)
    assert settings.anchors and set(settings.anchors) <= set(settings.matrix.risk_profiles)
    assert settings.required_simulators == ("custom",)
    assert settings.universe.raw_pool_limit == 200
    assert settings.universe.basis == ("static" if name == "development" else "pit")
    assert settings.regime.basis == ("declared" if name == "development" else "measured")
    stated = {row.key for row in profiles[name].rows if row.source_layer == "profile"}
    assert stated >= {
        "universe.scanners", "matrix.window_sets", "selection.history_floor", "max_winners", "matrix.engines",
        "matrix.risk_profiles", "matrix.simulators", "headline.engine", "headline.risk_profile", "anchors",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "windows", "floor"),
    [
        *((name, ("golden", "secular"), 252) for name in SLEEVES),
        *((name, ("golden", "secular"), 90) for name in ("crypto_rating_all", "crypto_rating_ma", "crypto_rating_osc")),
        ("crypto_rating_alpha", ("golden", "secular", "quarterly_sharpe"), 90),
        ("crypto_production", ("golden", "secular"), 90),
        ("simulated_crypto", ("golden", "secular"), 90),
        ("development", ("development",), 30),
        ("institutional_etf", ("secular",), 252),
        ("simulated_etf", ("secular",), 252),
        ("canary", ("secular",), 252),
        ("production_2026_q1", ("production_tactical", "secular"), 252),
    ],
)
def test_window_sets_and_history_floors(
    name: str, windows: tuple[str, ...], floor: int, profiles: dict[str, ResolvedSettings]
) -> None:
    settings = profiles[name].settings
    assert settings.matrix.window_sets == windows
    assert settings.selection.history_floor == floor
    lengths = settings.windows
    assert [(lengths[one].train, lengths[one].test, lengths[one].step) for one in windows] == [
        {"golden": (20, 10, 10), "secular": (252, 20, 20), "quarterly_sharpe": (60, 20, 20),
         "development": (30, 10, 10), "production_tactical": (252, 5, 5)}[one]
        for one in windows
    ]  # fmt: skip


def test_calendars_benchmarks_and_anchor_symbols(profiles: dict[str, ResolvedSettings]) -> None:
    for name in CRYPTO:
        settings = profiles[name].settings
        assert (settings.calendar_id, settings.periods_per_year) == ("24/7", 365)
        assert settings.universe.anchor_symbols == ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT")
        assert settings.simulation.short_isolation and settings.selection.allow_short
    for name in FUNDS:
        settings = profiles[name].settings
        assert (settings.calendar_id, settings.benchmarks) == ("XNYS", ("AMEX:SPY",))
        assert settings.universe.anchor_symbols == ("AMEX:SPY",)
        assert not settings.selection.allow_short


def test_production_is_strict_and_an_alias_of_the_quarter(profiles: dict[str, ResolvedSettings]) -> None:
    alias, quarter = profiles["production"].settings, profiles["production_2026_q1"].settings
    assert alias.model_copy(update={"profile": quarter.profile}) == quarter
    assert alias.profile == "production"
    for name in ("production", "crypto_production"):
        settings = profiles[name].settings
        assert (settings.tier, settings.quality.gate, settings.allocation.cap_policy) == (
            "promotable",
            "strict",
            "cash",
        )
        assert settings.selection.kappa_max == 5000
    assert (quarter.headline.engine, quarter.selection.efficiency_min, quarter.selection.top_n) == ("skfolio", 0.05, 2)


def test_the_limits_that_crypto_scanners_hand_over_are_those_of_their_profiles(
    profiles: dict[str, ResolvedSettings],
) -> None:
    with pytest.raises(
        UsageError, match=r"selection\.entropy_max is 1, but scanner 'binance_spot_rating_all_long' hands"
    ):
        changed("crypto_rating_all", selection__entropy_max=1.0)
    with pytest.raises(UsageError, match=r"selection\.efficiency_min is 0\.005, but scanner"):
        changed("crypto_rating_all", selection__efficiency_min=0.005)
    assert changed("crypto_rating_all", selection__entropy_max=0.99).settings.selection.entropy_max == 0.99


def test_every_block_and_scanner_is_reached_by_a_profile_or_says_why_not(
    library: Library, profiles: dict[str, ResolvedSettings]
) -> None:
    used = {name for resolved in profiles.values() for name in scanner_ids(resolved)}
    unreached = [name for name in set(library.blocks) - library.reach(used) if library.blocks[name].status == "active"]
    assert sorted(unreached) == [], "reach it from a profile, or mark it 'status: experimental'"
    idle = [name for name in set(library.scanners) - used if library.scanners[name].status == "active"]
    assert sorted(idle) == [], "name it in a profile, or mark it experimental, research or disabled"
    hidden = [name for name in library.reach(used) if library.blocks[name].status != "active"]
    assert sorted(hidden) == [], "a profile reaches it, so it is no experiment"


def test_the_rows_of_a_run_give_its_scanners_back(profiles: dict[str, ResolvedSettings]) -> None:
    for resolved in profiles.values():
        assert settings_from_rows({row.key: row.value for row in resolved.rows}) == resolved.settings


def test_sql_reads_the_scanners_of_a_run_as_items(profiles: dict[str, ResolvedSettings]) -> None:
    rows = {row.key: row.value for row in profiles["crypto_rating_alpha"].rows}
    found = duckdb.execute(
        "select item ->> 'scanner_id', item ->> 'strategy', item ->> 'logic', item ->> 'direction',"
        " item ->> 'config_hash' from (select unnest(from_json(?, '[\"VARCHAR\"]')) as item)",
        [rows["universe.scanners"]],
    ).fetchall()
    assert len(found) == 12
    by_id = {one.scanner.scanner_id: one.scanner for one in profiles["crypto_rating_alpha"].scanners}
    for scanner_id, strategy, logic, direction, config_hash in found:
        scanner = by_id[scanner_id]
        assert (logic, direction) == (scanner.logic, scanner.direction)
        assert config_hash == hashlib.sha256(scanner.canonical.encode()).hexdigest()
        assert strategy == {"rating_all": "all", "rating_ma": "averages", "rating_osc": "oscillators"}[logic]
    assert json.loads(rows["universe.forced_symbols"]) == []
    assert {key: rows[key] for key in ("universe.direction", "universe.logic", "universe.symbols")} == {
        "universe.direction": "null", "universe.logic": "null", "universe.symbols": "[]",
    }  # fmt: skip


def test_a_changed_scanner_changes_the_settings_of_the_run(
    manifest: Path, profiles: dict[str, ResolvedSettings]
) -> None:
    path = manifest / "blocks" / "strategies" / "ratings.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("Recommend.All, neutral_band: 0.0", "Recommend.All, neutral_band: 0.1"), encoding="utf-8"
    )
    now = resolve(manifest, "crypto_rating_all", overrides={}, environment={}).canonical
    before = profiles["crypto_rating_all"].canonical
    assert now != before
    hashes = [[one.pop("config_hash") for one in each["universe"]["scanners"]] for each in (now, before)]
    assert len({*hashes[0], *hashes[1]}) == 8
    assert now == before


def test_how_data_are_fetched_changes_no_settings_of_a_run() -> None:
    plain = resolve(MANIFEST, "crypto_rating_all", overrides={}, environment={})
    other = resolve(
        MANIFEST,
        "crypto_rating_all",
        overrides={"acquisition.clock": "request", "acquisition.bar_sources": ["binance"]},
        environment={"QUANTMILL_ADDRESS_YAHOO": "http://127.0.0.1:1"},
    )
    assert other.canonical == plain.canonical
    assert other.acquisition.clock == "request"


# --- what a profile may not do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["production", "production_2026_q1", "crypto_production"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUANTMILL_SET_QUALITY__GATE", "report"),
        ("QUANTMILL_SET_QUALITY__GATE", "raw_pool"),
        ("QUANTMILL_SET_QUALITY", "{gate: report}"),
        ("QUANTMILL_SET_TIER", "smoke"),
        ("QUANTMILL_SET_UNIVERSE__BASIS", "static"),
        ("QUANTMILL_SET_UNIVERSE__SCANNERS", "[index_etf_trend]"),
        ("QUANTMILL_SET_UNIVERSE", "us_large_caps"),
        ("QUANTMILL_SET_SELECTION__HISTORY_FLOOR", "1"),
        ("QUANTMILL_SET_SELECTION__LIMITS__TOXIC_RETURN", "100"),
        ("QUANTMILL_SET_SELECTION__INERT_VETOES", "[DATA_TOXIC]"),
        ("QUANTMILL_SET_GATES__TURNOVER", "9"),
        ("QUANTMILL_SET_ALLOCATION__CAP_POLICY", "relax"),
        ("QUANTMILL_SET_ACQUISITION__CLOCK", "request"),
        ("QUANTMILL_SET_LOCKED", "[]"),
    ],
)
def test_no_environment_and_no_override_lowers_what_production_locks(profile: str, variable: str, value: str) -> None:
    with pytest.raises(LockedKey, match=r"the environment sets .* but the profile locks it"):
        resolve(MANIFEST, profile, overrides={}, environment={variable: value})
    import yaml

    key = variable.removeprefix("QUANTMILL_SET_").lower().replace("__", ".")
    with pytest.raises(LockedKey, match="the command line sets") as caught:
        resolve(MANIFEST, profile, overrides={key: yaml.safe_load(value)}, environment={})
    assert caught.value.exit_code == 2


def test_production_may_be_given_its_day_and_what_it_already_says() -> None:
    resolved = changed("production", as_of="2026-02-02T00:10:00Z", quality__gate="strict")
    assert resolved.settings.as_of.day == 2


def test_a_lock_on_no_setting_is_an_error(manifest: Path) -> None:
    (manifest / "profiles" / "odd.yml").write_text("extends: production_2026_q1\nlocked: [quality.gat]\n")
    with pytest.raises(UnknownKey, match=r"locked names 'quality\.gat', .*; did you mean 'quality\.gate'"):
        resolve(manifest, "odd", overrides={}, environment={})


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("universe: {scanners: [binance_pairs_spread_long]}", BadValue, "is registered and disabled"),
        ("universe: {scanners: [etf_bond_yeld_trend]}", UnknownProfile, "did you mean 'etf_bond_yield_trend'?"),
        ("universe: {scanners: [index_etf_trend]}", UsageError, "finds symbols of XNYS"),
        ("universe: {scanners: [global_crypto_mtf_trend]}\ntier: promotable", UsageError, "is research; what may be"),
        ("universe: {scanners: []}", BadValue, "names no scanner"),
        ("universe: {scaners: []}", UnknownKey, "did you mean 'universe.scanners'?"),
        ("universe: {basis: never}", BadValue, "one of 'pit', 'static' was needed"),
        (
            "universe: {strategies: {a: {logic: momentum, scanners: [binance_perp_long_trend]}}}",
            BadValue,
            "scanner 'binance_perp_long_trend' has the logic trend, but a strategy injects momentum",
        ),
        ("universe: {strategies: {a: {scanners: [binance_perp_long_trend]}}}", BadValue, "universe.strategies.a.logic"),
        (
            "universe: {strategies: {a: {logic: rating_all, scanners: [binance_spot_rating_all_long]}}}",
            BadValue,
            "names binance_spot_rating_all_long more than once",
        ),
        ("max_winners: null", BadValue, "max_winners is not set"),
        ("anchors: [barbell]", BadValue, "'anchors.0' is 'barbell'"),
        ("matrix: {risk_profiles: [hrp]}", BadValue, "anchors names 'risk_parity', which is not in matrix"),
        ("acquisition: {clok: wall}", UnknownKey, "did you mean 'acquisition.clock'?"),
        ("acquisition: {clock: sun}", BadValue, "one of 'wall', 'request' was needed"),
        ("acquisition: {bar_sources: [bloomberg]}", BadValue, "'acquisition.bar_sources.0' is 'bloomberg'"),
        ("acquisition: {feature_timeframes: [45m]}", BadValue, "'acquisition.feature_timeframes.0' is '45m'"),
    ],
)
def test_a_bad_profile_is_an_error_that_names_file_and_key(
    manifest: Path, text: str, error: type[Exception], words: str
) -> None:
    (manifest / "profiles" / "odd.yml").write_text(f"extends: crypto_rating_all\n{text}\n", encoding="utf-8")
    with pytest.raises(error) as caught:
        resolve(manifest, "odd", overrides={}, environment={})
    assert words in str(caught.value)
    if not words.startswith(("max_winners", "scanner 'binance_perp", "did you mean 'etf", "anchors names")):
        assert "manifest/profiles/odd.yml" in str(caught.value)


def test_a_scanner_without_logic_can_be_used_under_a_strategy_and_not_alone(manifest: Path) -> None:
    (manifest / "scanners" / "open.yml").write_text(
        "scanners: {open_pool: {extends: [binance_spot_base], direction: LONG, limit: 9}}"
    )
    profile = manifest / "profiles" / "odd.yml"
    profile.write_text(
        "extends: crypto_rating_all\nuniverse: {scanners: [], strategies: {a: {logic: trend, scanners: [open_pool]}}}"
    )
    found = resolve(manifest, "odd", overrides={}, environment={}).settings.universe
    assert [(one.scanner_id, one.strategy, one.logic) for one in found.scanners] == [("open_pool", "a", "trend")]
    assert found.id == "odd"
    profile.write_text("extends: crypto_rating_all\nuniverse: {scanners: [open_pool]}")
    with pytest.raises(BadValue, match="scanner 'open_pool' does not state 'logic'"):
        resolve(manifest, "odd", overrides={}, environment={})


def test_symbols_that_a_scanner_ensures_are_forced(manifest: Path) -> None:
    path = manifest / "universes" / "binance.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("ensure_symbols: []", 'ensure_symbols: ["BINANCE:BTCUSDT.P"]'), encoding="utf-8")
    found = resolve(manifest, "crypto_production", overrides={}, environment={}).settings.universe
    assert found.forced_symbols == ("BINANCE:BTCUSDT.P",)


def test_a_static_list_with_a_key_of_scanners_is_an_error() -> None:
    with pytest.raises(BadValue, match=r"need universe\.scanners"):
        changed("sample", universe__raw_pool_limit=3)


def test_editors_know_both_kinds_of_universe_and_the_acquisition() -> None:
    schema = json_schema()
    kinds = schema["properties"]["universe"]["anyOf"]
    assert [kind.get("type") or kind["$ref"] for kind in kinds] == ["string", "#/$defs/ScannedUniverse"]
    assert set(schema["$defs"]) >= {"ScannedUniverse", "Strategy", "AcquisitionSettings"}


def test_the_scanner_and_the_profile_that_the_documents_show_resolve(manifest: Path) -> None:
    page = (ROOT / "docs" / "scanners.md").read_text(encoding="utf-8")
    scanner, profile = re.findall(r"```yaml\n(.+?)```", page, re.S)
    (manifest / "scanners" / "mine.yml").write_text(scanner, encoding="utf-8")
    (manifest / "profiles" / "mine.yml").write_text(profile, encoding="utf-8")
    resolved = resolve(manifest, "mine", overrides={}, environment={})
    assert [(one.scanner_id, one.logic) for one in resolved.settings.universe.scanners] == [("strong_pairs", "trend")]
    assert [(gate.gate, gate.threshold) for gate in resolved.scanners[0].scanner.gates] == [
        ("volatility", 0.1),
        ("liquidity", 1e6),
        ("trend_adx", 30.0),
        ("trend_momentum", 5.0),
    ]
