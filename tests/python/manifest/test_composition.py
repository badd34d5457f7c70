"""Blocks are composed by layers: who wins, what is added, what is removed, and what is an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quantmill.errors import BadValue, QuantmillError, UnknownKey, UnknownProfile, UsageError
from quantmill.manifest.composition import ResolvedScanner, load_library, resolve_scanner
from quantmill.manifest.scanners import Scanner
from support import ROOT

Writer = Callable[..., Path]

POOL = 'pool: {market: crypto, venue_class: spot, calendar_id: 24/7, symbols: ["BINANCE:BTCUSDT"]}'
ONE = "one: {extends: [%s], direction: LONG, logic: trend, limit: 5}"


def resolved(manifest: Path, name: str = "one", **options: Any) -> ResolvedScanner:
    return resolve_scanner(load_library(manifest), name, **options)


def scanner(manifest: Path, name: str = "one") -> Scanner:
    return resolved(manifest, name).scanner


def asked(found: Scanner) -> list[tuple[str, str, Any]]:
    return [(one.left, one.operation, one.right) for one in found.filters]


def judged(found: Scanner) -> list[tuple[str, str, str, float]]:
    return [(one.gate, one.field, one.operation, one.threshold) for one in found.gates]


def test_a_higher_layer_replaces_a_scalar_whatever_the_order_of_extends(small: Writer) -> None:
    layers = {
        "universes": f"{POOL[:-1]}, prefilter_limit: 20}}",
        "hygiene": "floor: {prefilter_limit: 21}",
        "templates": "kind: {prefilter_limit: 22}",
        "strategies": "gates: {prefilter_limit: 23}",
    }
    everyone = scanner(small(**layers, scanners=ONE % "gates, kind, floor, pool"))
    assert everyone.prefilter_limit == 23
    without_strategy = scanner(small(**layers, scanners=ONE % "kind, floor, pool"))
    assert without_strategy.prefilter_limit == 22
    assert scanner(small(**layers, scanners=ONE % "floor, pool")).prefilter_limit == 21
    assert scanner(small(**layers, scanners=ONE % "pool")).prefilter_limit == 20


def test_within_a_layer_the_later_one_wins_and_the_scanner_wins_over_all(small: Writer) -> None:
    hygiene = "a: {base_limit: 1}\nb: {base_limit: 2}"
    assert scanner(small(universes=POOL, hygiene=hygiene, scanners=ONE % "pool, a, b")).base_limit == 2
    assert scanner(small(universes=POOL, hygiene=hygiene, scanners=ONE % "pool, b, a")).base_limit == 1
    own = (ONE % "pool, b, a").replace("limit: 5", "limit: 5, base_limit: 9")
    assert scanner(small(universes=POOL, hygiene=hygiene, scanners=own)).base_limit == 9


def test_a_block_stands_above_what_it_extends_even_from_a_higher_layer(small: Writer) -> None:
    """A niche pool replaces the floor of the hygiene block that it is built on."""
    universes = (
        f"{POOL[:-1]}, extends: [floor], filters: [{{left: Value.Traded, operation: greater, right: 2000000}}]}}"
    )
    hygiene = "floor: {filters: [{left: Value.Traded, operation: egreater, right: 10000000}]}"
    found = scanner(small(universes=universes, hygiene=hygiene, scanners=ONE % "pool"))
    assert asked(found) == [("Value.Traded", "greater", 2000000)]


def test_mappings_are_merged_key_by_key(small: Writer) -> None:
    strategies = 'a: {gates: {trend_adx: {ADX: ">= 10"}, trend_momentum: {Perf.W: "> 0"}}}'
    own = (ONE % "pool, a").replace("limit: 5", 'limit: 5, gates: {trend_momentum: {Perf.1M: "> 2"}}')
    assert judged(scanner(small(universes=POOL, strategies=strategies, scanners=own))) == [
        ("trend_adx", "ADX", "egreater", 10.0),
        ("trend_momentum", "Perf.W", "greater", 0.0),
        ("trend_momentum", "Perf.1M", "greater", 2.0),
    ]


def test_filters_are_keyed_by_field_and_class_of_operation(small: Writer) -> None:
    universes = f"""\
{POOL[:-1]}, filters: [
  {{left: Value.Traded, operation: greater, right: 1}}, {{left: ROC, operation: less, right: 100}},
  {{left: currency, operation: in_range, right: [USDT]}}, {{left: type, operation: equal, right: spot}},
  {{left: name, operation: match, right: BTC}}]}}"""
    strategies = """\
a: {filters: [
  {left: Value.Traded, operation: egreater, right: 5}, {left: Value.Traded, operation: less, right: 9},
  {left: ROC, operation: eless, right: 50}, {left: ROC, operation: above, right: 3},
  {left: currency, operation: not_in_range, right: [EUR]}, {left: type, operation: nequal, right: swap},
  {left: name, operation: nmatch, right: ETH}, {left: RSI, operation: nempty}]}"""
    found = scanner(small(universes=universes, strategies=strategies, scanners=ONE % "pool, a"))
    assert asked(found) == [
        ("Value.Traded", "egreater", 5),
        ("ROC", "eless", 50),
        ("currency", "not_in_range", ["EUR"]),
        ("type", "nequal", "swap"),
        ("name", "nmatch", "ETH"),
        ("Value.Traded", "less", 9),
        ("ROC", "above", 3),
        ("RSI", "nempty", None),
    ]


def test_columns_are_the_ordered_union_without_repeats(small: Writer) -> None:
    universes = f"{POOL[:-1]}, columns: [close, name, close]}}"
    own = (ONE % "pool").replace("limit: 5", "limit: 5, columns: [volume, name, ADX]")
    found = scanner(small(root="{columns: [name, close], ranks: [{field: name, order: asc}], prefilter_limit: 9}",
                          universes=universes, scanners=own))  # fmt: skip
    assert found.columns == ("name", "close", "volume", "ADX", "Value.Traded")


def test_any_other_list_is_replaced(small: Writer) -> None:
    own = (ONE % "pool").replace(
        "limit: 5", 'limit: 5, symbols: ["BINANCE:ETHUSDT"], ranks: [{field: ADX, order: asc}]'
    )
    found = scanner(small(universes=POOL, scanners=own))
    assert found.symbols == ("BINANCE:ETHUSDT",)
    assert [(rank.field, rank.order) for rank in found.ranks] == [("ADX", "asc")]


@pytest.mark.parametrize("layer", ["the scanner", "a block beside the pool"])
def test_replace_takes_the_place_of_columns_and_filters_below(small: Writer, layer: str) -> None:
    universes = f"{POOL[:-1]}, columns: [close], filters: [{{left: Value.Traded, operation: greater, right: 1}}]}}"
    words = "columns: {replace: [ADX]}, filters: {replace: [{left: ROC, operation: less, right: 4}]}"
    own, strategies = ONE % "pool, a", f"a: {{{words}}}"
    if layer == "the scanner":
        own, strategies = own.replace("limit: 5", f"limit: 5, {words}"), "a: {base_limit: 3}"
    found = scanner(small(universes=universes, strategies=strategies, scanners=own))
    assert asked(found) == [("ROC", "less", 4)]
    assert found.columns == ("ADX", "ROC", "name", "Value.Traded")
    assert judged(found) == []


def test_null_removes_a_key_a_gate_and_a_filter(small: Writer) -> None:
    universes = f"""\
{POOL[:-1]}, base_limit: 7, gates: {{trend_adx: {{ADX: ">= 1"}}, trend_momentum: {{Perf.W: "> 0", Perf.1M: "> 0"}}}},
  filters: [{{left: Value.Traded, operation: greater, right: 1}}, {{left: ROC, operation: less, right: 4}}]}}"""
    strategies = """\
a: {base_limit: null, gates: {trend_adx: null, trend_momentum: {Perf.W: null}},
  filters: [{left: Value.Traded, operation: greater, right: null}]}"""
    found = scanner(small(universes=universes, strategies=strategies, scanners=ONE % "pool, a"))
    assert found.base_limit is None
    assert judged(found) == [("trend_momentum", "Perf.1M", "greater", 0.0)]
    assert asked(found) == [("ROC", "less", 4)]


def test_what_a_lower_block_removes_a_higher_one_can_say_again(small: Writer) -> None:
    hygiene = 'floor: {gates: {trend_adx: {ADX: ">= 10"}}}'
    universes = f"{POOL[:-1]}, extends: [floor], gates: {{trend_adx: null}}}}"
    strategies = 'a: {gates: {trend_adx: {ADX: ">= 30"}}}'
    layers = {"hygiene": hygiene, "universes": universes, "strategies": strategies}
    assert judged(scanner(small(**layers, scanners=ONE % "pool"))) == []
    assert judged(scanner(small(**layers, scanners=ONE % "pool, a"))) == [("trend_adx", "ADX", "egreater", 30.0)]


def test_a_floor_of_the_request_is_judged_again_on_the_row(small: Writer) -> None:
    universes = f"{POOL[:-1]}, filters: [{{left: Value.Traded, operation: greater, right: 5000000}}]}}"
    found = resolved(small(universes=universes, scanners=ONE % "pool"))
    assert judged(found.scanner) == [("liquidity", "Value.Traded", "greater", 5e6)]
    row = next(row for row in found.rows if row.key == "gates liquidity")
    assert (row.layer, row.block_id) == ("derived", "pool")


@pytest.mark.parametrize(
    ("direction", "band", "request_", "order"),
    [
        ("LONG", 0.0, ("Recommend.MA", "greater", 0.0), "desc"),
        ("SHORT", 0.0, ("Recommend.MA", "less", 0.0), "asc"),
        ("LONG", 0.1, ("Recommend.MA", "greater", 0.1), "desc"),
        ("SHORT", 0.1, ("Recommend.MA", "less", -0.1), "asc"),
    ],
)
def test_a_rating_gives_filter_and_order_by_the_direction(
    small: Writer, direction: str, band: float, request_: tuple[Any, ...], order: str
) -> None:
    strategies = f"a: {{rating: {{field: Recommend.MA, neutral_band: {band}}}}}"
    own = (ONE % "pool, a").replace("LONG", direction)
    found = scanner(small(universes=POOL, strategies=strategies, scanners=own))
    assert asked(found) == [request_]
    assert [(rank.field, rank.order) for rank in found.ranks] == [
        ("Recommend.MA", order), ("Recommend.All|240", order), ("Value.Traded", "desc"),
    ]  # fmt: skip
    assert {"Recommend.MA", "Recommend.All|240"} <= set(found.columns)


def test_a_market_capitalisation_is_a_gate_like_the_others_and_comes_first(small: Writer) -> None:
    gates = '{volatility: {Volatility.D: "<= 9"}, market_cap: {market_cap_calc: ">= 50_000_000"}}'
    found = scanner(small(universes=POOL, scanners=(ONE % "pool").replace("limit: 5", f"limit: 5, gates: {gates}")))
    assert judged(found) == [
        ("market_cap", "market_cap_calc", "egreater", 50_000_000.0),
        ("volatility", "Volatility.D", "eless", 9.0),
    ]
    assert "market_cap_calc" in found.columns


def test_ranks_that_a_scanner_states_stand_above_those_of_its_rating(small: Writer) -> None:
    strategies = "a: {rating: {field: Recommend.MA}}"
    own = (ONE % "pool, a").replace("limit: 5", "limit: 5, ranks: [{field: close, order: asc}]")
    found = scanner(small(universes=POOL, strategies=strategies, scanners=own))
    assert [(rank.field, rank.order) for rank in found.ranks] == [("close", "asc")]


def test_each_value_remembers_its_layer_block_and_file(small: Writer) -> None:
    manifest = small(
        universes=f"{POOL[:-1]}, columns: [close]}}",
        hygiene='floor: {gates: {trend_adx: {ADX: ">= 10"}}, columns: [close, RSI]}',
        scanners=(ONE % "pool, floor").replace("limit: 5", "limit: 5, columns: [RSI, AO]"),
    )
    rows = {(row.key, str(row.value)): row for row in resolved(manifest).rows}
    where = {key: (row.layer, row.block_id) for key, row in rows.items()}
    assert where["market", "crypto"] == ("L0", "pool")
    assert where["limit", "5"] == ("L4", "one")
    assert where["gates trend_adx", "ADX >= 10"] == ("L1", "floor")
    assert where["prefilter_limit", "10"] == ("L1", "every_scanner")
    # a column keeps who asked for it first
    assert where["columns", "close"] == ("L0", "pool")
    assert where["columns", "RSI"] == ("L1", "floor")
    assert where["columns", "AO"] == ("L4", "one")
    assert where["columns", "ADX"] == ("derived", "")
    assert where["gate_logic", "and"] == ("default", "")
    assert rows["market", "crypto"].place == "manifest/universes/test.yml"


def test_blocks_that_extend_each_other_in_a_circle_are_named_even_where_no_scanner_reaches_them(small: Writer) -> None:
    manifest = small(hygiene="a: {extends: [b]}\nb: {extends: [c]}\nc: {extends: [a]}")
    with pytest.raises(UsageError, match="a → b → c → a"):
        load_library(manifest)


def test_a_block_that_two_parents_share_is_no_circle(small: Writer) -> None:
    manifest = small(universes=POOL, hygiene="a: {extends: [d]}\nb: {extends: [d]}\nd: {base_limit: 4}",
                     scanners=ONE % "pool, a, b")  # fmt: skip
    assert scanner(manifest).base_limit == 4


@pytest.mark.parametrize("key", ["direction", "logic", "limit"])
def test_a_scanner_states_direction_logic_and_limit_itself(small: Writer, key: str) -> None:
    words = {"direction": "direction: LONG, ", "logic": "logic: trend, ", "limit": "limit: 5"}
    manifest = small(universes=POOL, scanners=(ONE % "pool").replace(words[key], "").replace(", }", "}"))
    with pytest.raises(BadValue, match=rf"manifest/scanners/test\.yml: scanner 'one' does not state '{key}'"):
        scanner(manifest)


@pytest.mark.parametrize(
    ("layer", "text", "error", "words"),
    [
        ("hygiene", "a: {min_d: 3}", UnknownKey, "unknown key 'a.min_d'"),
        ("hygiene", "a: {min_d: null}", UnknownKey, "unknown key 'a.min_d'"),
        ("hygiene", "a: {recommendation: {max: 0}}", UnknownKey, "unknown key 'a.recommendation'"),
        ("hygiene", "a: {prefilter_limt: 3}", UnknownKey, "did you mean 'a.prefilter_limit'?"),
        ("hygiene", "a: {exclusions: {set: [stable]}}", UnknownKey, "did you mean 'a.exclusions.sets'?"),
        ("hygiene", "a: {exclusions: {sets: [stabel]}}", BadValue, "did you mean 'stable'?"),
        ("hygiene", "a: {filters: [{left: ROC, op: less}]}", UnknownKey, "unknown key 'a.filters.0.op'"),
        ("hygiene", "a: {filters: [{left: ROC, operation: lesser, right: 1}]}", BadValue, "did you mean 'less'?"),
        ("hygiene", "a: {filters: [{left: ROC, operation: less}]}", BadValue, "ROC less of 'a' needs a 'right'"),
        ("hygiene", "a: {filters: [{left: ROC, operation: empty, right: 1}]}", BadValue, "needs no 'right'"),
        ("hygiene", "a: {filters: [{left: ROCC, operation: less, right: 1}]}", UnknownKey, "did you mean 'ROC'?"),
        ("hygiene", "a: {columns: [Perf.2M]}", UnknownKey, "'Perf.2M': it is not in manifest/fields.yml"),
        ("hygiene", "a: {columns: ['ADX|7']}", UnknownKey, "its suffix is no timeframe"),
        ("hygiene", "a: {columns: ['Perf.W|1W']}", UnknownKey, "Perf.W has no timeframe 1W"),
        ("hygiene", 'a: {gates: {trend_adx: {max: ">= 1"}}}', UnknownKey, "the field 'max'"),
        ("hygiene", 'a: {gates: {trend_axd: {ADX: ">= 1"}}}', BadValue, "did you mean 'trend_adx'?"),
        ("hygiene", "a: {gates: {trend_adx: {ADX: 20}}}", BadValue, "a.gates.trend_adx.ADX"),
        ("hygiene", 'a: {gates: {trend_adx: {ADX: "=> 20"}}}', BadValue, "a comparison such as '>= 20'"),
        ("hygiene", "a: {direction: LONG}", BadValue, "only a scanner may state"),
        ("hygiene", "a: {extends: [bb]}\nb: {}", UnknownProfile, "did you mean 'b'?"),
        ("hygiene", "a: {extends: [one]}", BadValue, "extends the scanner 'one'"),
        ("hygiene", "pool: {}", BadValue, "the name 'pool' is taken by manifest/universes/test.yml"),
        ("hygiene", "A: {}", BadValue, "lower-case letters"),
        ("hygiene", "a: 3", BadValue, "a mapping was needed"),
        ("hygiene", "a: {market: krypto}", BadValue, "did you mean 'crypto'?"),
        ("hygiene", "a: {symbols: [BTC]}", BadValue, "pattern"),
        ("hygiene", "a: {prefilter_limit: 0}", BadValue, "greater than 0"),
        ("scanners", "two: {logic: trendy}", BadValue, "did you mean 'trend'?"),
        ("scanners", "two: {logic: ''}", BadValue, "'two.logic' is ''"),
        ("scanners", "two: {direction: UP}", BadValue, "one of 'LONG', 'SHORT' was needed"),
    ],
)
def test_a_bad_block_is_an_error_that_names_file_key_and_what_is_valid(
    small: Writer, layer: str, text: str, error: type[Exception], words: str
) -> None:
    texts = {"universes": POOL, "scanners": ONE % "pool", layer: text}
    if layer == "scanners":
        texts["scanners"] = f"{ONE % 'pool'}\n{text}"
    with pytest.raises(error) as caught:
        load_library(small(**texts))
    assert words in str(caught.value)
    assert "test.yml: " in str(caught.value)
    assert isinstance(caught.value, QuantmillError) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("sort_by: Perf.1M", "sort_by is Perf.1M, a performance"),
        ("sort_by: Recommend.All", "a performance"),
        ('gates: {trend_momentum: {Perf.W: "< 0"}}', "a LONG scanner needs a lower bound in trend_momentum"),
        ('gates: {trend_recommendation: {Recommend.All: "<= 0"}}', "a LONG scanner needs a lower bound"),
        ('gates: {confirm_screen_momentum: {Perf.1M: "< 0"}}', "a LONG scanner needs a lower bound"),
        ('gates: {trend_adx: {ADX: "<= 20"}}', "needs a lower bound in trend_adx"),
        ("symbols: null", "it asks for nothing"),
        ("market: null", "'one.market' is not set"),
    ],
)
def test_a_scanner_that_contradicts_itself_is_an_error(small: Writer, own: str, words: str) -> None:
    manifest = small(universes=POOL, scanners=(ONE % "pool").replace("limit: 5", f"limit: 5, {own}"))
    with pytest.raises(BadValue) as caught:
        scanner(manifest)
    assert words in str(caught.value)


def test_gates_that_lean_long_are_an_error_under_a_short_scanner(small: Writer) -> None:
    strategies = 'up: {gates: {trend_momentum: {Perf.W: "> 0"}}}'
    own = (ONE % "pool, up").replace("LONG", "SHORT")
    with pytest.raises(BadValue, match=r"a SHORT scanner needs an? upper bound in trend_momentum, which has Perf.W"):
        scanner(small(universes=POOL, strategies=strategies, scanners=own))


def test_a_disabled_logic_needs_a_status_that_says_so(small: Writer) -> None:
    own = (ONE % "pool").replace("trend", "pair_spread")
    with pytest.raises(BadValue, match="pair_spread is registered and disabled"):
        scanner(small(universes=POOL, scanners=own))
    assert scanner(small(universes=POOL, scanners=own.replace("limit: 5", "limit: 5, status: disabled"))).limit == 5


def test_an_unknown_scanner_names_the_nearest() -> None:
    library = load_library(ROOT / "manifest")
    with pytest.raises(UnknownProfile, match="did you mean 'index_etf_trend'"):
        resolve_scanner(library, "index_etf_tend")
    with pytest.raises(UnknownProfile, match="a block, no scanner"):
        resolve_scanner(library, "binance_spot_base")


def test_a_scanner_without_logic_takes_the_one_that_is_injected(small: Writer) -> None:
    manifest = small(universes=POOL, scanners=(ONE % "pool").replace("logic: trend, ", ""))
    found = resolved(manifest, logic="momentum")
    assert found.scanner.logic == "momentum"
    assert next(row for row in found.rows if row.key == "logic").layer == "injected"


def test_an_injected_logic_that_contradicts_the_scanner_is_an_error(small: Writer) -> None:
    manifest = small(universes=POOL, scanners=ONE % "pool")
    assert resolved(manifest, logic="trend").scanner.logic == "trend"
    with pytest.raises(BadValue, match="scanner 'one' has the logic trend, but a strategy injects momentum"):
        resolved(manifest, logic="momentum")


def test_symbols_are_read_under_the_exchange_where_they_list(small: Writer) -> None:
    own = (ONE % "pool").replace("limit: 5", 'limit: 5, symbols: ["AMEX:MBB", "AMEX:AGG", "NASDAQ:MBB"]')
    assert scanner(small(universes=POOL, scanners=own)).symbols == ("NASDAQ:MBB", "AMEX:AGG")


def test_the_hash_of_a_scanner_follows_its_values_and_nothing_else(small: Writer) -> None:
    first = scanner(small(universes=POOL, scanners=ONE % "pool"))
    again = scanner(small(universes=POOL, scanners="one: {limit: 5, logic: trend, direction: LONG, extends: [pool]}"))
    other = scanner(small(universes=POOL, scanners=(ONE % "pool").replace("limit: 5", "limit: 6")))
    assert first.config_hash == again.config_hash != other.config_hash
    assert Scanner.model_validate(json.loads(first.canonical)) == first
    assert Scanner.model_validate(json.loads(first.canonical)).config_hash == first.config_hash
