"""The shipped blocks and scanners, row by row, against what the desk asked for."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from quantmill.errors import UnknownKey
from quantmill.manifest.composition import Library, load_library, resolve_scanner
from quantmill.manifest.fields import load_dictionary, split_field
from quantmill.manifest.scanners import Scanner
from support import ROOT

STABLE = (
    "USDT USDC USD BUSD FDUSD TUSD DAI PAX USDP UST USTC USDS ZUSD USDM FUSD FUSDT USD1 XUSD USDE USDD RLUSD PYUSD GUSD"
)
FIAT = "EUR GBP AUD CAD NZD CHF JPY TRY BRL MXN ZAR ARS COP IDR BIDR UAH VND THB PHP AEUR EURI"
GOLD = "PAXG XAUT XAU"
QUOTES = ["USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USD"]
REQUIRED = (
    "name description type subtype exchange currency base_currency close volume change Recommend.All Recommend.MA"
    " Recommend.Other Recommend.All|240 Value.Traded ADX ATR Volatility.D volume_change ROC Perf.W Perf.1M Perf.3M"
    " update_mode"
)
FUNDS = "category aum expense_ratio brand issuer"
CONTEXT = "Perf.Y Perf.YTD Volatility.M change_abs"
SIGNS = {"greater": ">", "egreater": ">=", "less": "<", "eless": "<="}


@pytest.fixture(scope="module")
def scanners(library: Library) -> dict[str, Scanner]:
    return {name: resolve_scanner(library, name).scanner for name in library.scanner_ids}


@pytest.fixture(scope="module")
def pools(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Resolve a block as a scanner that adds nothing to it."""
    import shutil

    manifest = tmp_path_factory.mktemp("pools") / "manifest"
    shutil.copytree(ROOT / "manifest", manifest)
    lines = ["scanners:"]
    for name, entry in library.blocks.items():
        if entry.layer in ("L0", "L2"):
            lines.append(f"  of_{name}: {{extends: [{name}], direction: LONG, logic: anchor, limit: 1}}")
    (manifest / "scanners" / "of_blocks.yml").write_text("\n".join(lines), encoding="utf-8")
    extended = load_library(manifest)
    return lambda name: resolve_scanner(extended, f"of_{name}").scanner


def conditions(scanner: Scanner, *, without: tuple[str, ...] = ()) -> str:
    """The gates of a scanner as one line: ADX>=20 Perf.W>0."""
    return " ".join(
        f"{gate.field}{SIGNS[gate.operation]}{gate.threshold:g}" for gate in scanner.gates if gate.gate not in without
    )


def ranks(scanner: Scanner) -> str:
    return " ".join(f"{rank.field}:{rank.order}" for rank in scanner.ranks)


def asked(scanner: Scanner) -> dict[str, tuple[str, Any]]:
    return {one.left: (one.operation, one.right) for one in scanner.filters}


# --- exclusions ----------------------------------------------------------------------------------------------------


def test_the_sets_of_exclusions_are_complete(library: Library) -> None:
    """A revision that drops one of them fails here, and in every pool below."""
    assert {name: " ".join(members) for name, members in library.exclusion_sets.items()} == {
        "stable": STABLE,
        "fiat": FIAT,
        "gold": GOLD,
    }
    assert library.denied_symbols == ("BINANCE:PAXGUSDT.P",)


def test_the_sets_that_the_models_tag_are_those_that_the_scanners_leave_out(library: Library) -> None:
    with (ROOT / "models" / "features" / "identity" / "seed_asset_sets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    tagged: dict[str, list[str]] = {}
    for row in rows:
        tagged.setdefault(row["tag"].lower(), []).append(row["asset"])
    assert {name: tuple(assets) for name, assets in tagged.items()} == dict(library.exclusion_sets)
    # money that is no coin: nobody is paid out in what is written with such a code
    codes = {row["asset"] for row in rows if row["is_currency_code"] == "true"}
    coins = {"BIDR", "AEUR", "EURI"}
    assert codes == {"USD", "XAU", *FIAT.split()} - coins


def test_every_directional_crypto_scanner_leaves_out_all_sets_leveraged_and_pegged(
    scanners: dict[str, Scanner],
) -> None:
    everyone = set(f"{STABLE} {FIAT} {GOLD}".split())
    crypto = [one for one in scanners.values() if one.market == "crypto" and not one.exclusions.only_pegged]
    assert len(crypto) == 23
    for one in crypto:
        assert set(one.exclusions.bases) == everyone, one.scanner_id
        assert one.exclusions.is_leveraged_out and one.exclusions.is_pegged_out, one.scanner_id
        assert one.exclusions.quotes[:3] == ("USDT", "USDC", "FDUSD"), one.scanner_id
        assert "BINANCE:PAXGUSDT.P" in one.exclusions.symbols, one.scanner_id


@pytest.mark.parametrize("base", ["PAXG", "XUSD", "USD1"])
def test_gold_and_stable_bases_are_out_of_directional_pools_and_home_in_the_pairs(
    base: str, scanners: dict[str, Scanner]
) -> None:
    for name in ("binance_spot_rating_all_long", "binance_perp_rating_all_short", "binance_spot_liquidity"):
        assert base in scanners[name].exclusions.bases
    pairs = scanners["binance_pairs_mean_reversion_long"]
    assert pairs.exclusions.only_pegged and base not in pairs.exclusions.bases


# --- hygiene, templates, strategies --------------------------------------------------------------------------------


def block(library: Library, name: str) -> dict[str, Any]:
    return dict(library.blocks[name].content)


@pytest.mark.parametrize(
    ("name", "floor", "gates"),
    [
        ("institutional", 10_000_000,
         {"trend_adx": {"ADX": ">= 20"}, "trend_recommendation": {"Recommend.All": ">= 0.1"}}),
        ("institutional_crypto", 500_000,
         {"trend_adx": {"ADX": ">= 10"}, "trend_recommendation": {"Recommend.All": ">= 0.0"}}),
    ],
)  # fmt: skip
def test_hygiene_blocks_have_their_floors(library: Library, name: str, floor: int, gates: Any) -> None:
    content = block(library, name)
    assert content["filters"] == [{"left": "Value.Traded", "operation": "egreater", "right": floor}]
    assert content["gates"] == gates
    assert library.blocks[name].layer == "L1"


def test_hygiene_blocks_have_their_columns_and_limits(library: Library) -> None:
    assert " ".join(block(library, "institutional")["columns"]) == (
        "name description close volume Value.Traded ADX ATR Recommend.All Perf.W Perf.1M Perf.3M Volatility.D"
        " volume_change ROC"
    )
    crypto = block(library, "institutional_crypto")
    columns = "Recommend.All|240 Recommend.MA Recommend.Other change Volatility.W market_cap_calc"
    assert crypto["columns"] == columns.split()
    assert crypto["selection_limits"] == {"entropy_max": 0.999, "efficiency_min": 0.01}


@pytest.mark.parametrize(
    ("name", "logic", "gates"),
    [
        ("trend_long", "and", {"trend_momentum": {"Perf.W": "> 0", "Perf.1M": "> 0.5", "Perf.3M": "> 1.0"},
                               "trend_confirmation_momentum": {"Perf.1M": "> 1.0"}}),
        ("aggressive_trend", None, {"trend_adx": {"ADX": ">= 25"}, "trend_recommendation": {"Recommend.All": ">= 0.5"},
                                    "trend_momentum": {"Perf.W": "> 1", "Perf.1M": "> 3", "Perf.3M": "> 5"}}),
        ("xs_momentum", None, {"trend_recommendation": {"Recommend.All": ">= 0.5"},
                               "trend_momentum": {"Perf.W": "> 2", "Perf.1M": "> 5", "Perf.3M": "> 10"}}),
        ("mtf_alignment", None, {
            "trend_screen_adx": {"ADX|1M": ">= 20"}, "trend_screen_recommendation": {"Recommend.All|1M": ">= 0.1"},
            "confirm_screen_adx": {"ADX|1W": ">= 20"}, "confirm_screen_recommendation": {"Recommend.All|1W": ">= 0.1"},
            "execute_screen_adx": {"ADX": ">= 20"}, "execute_screen_recommendation": {"Recommend.All": ">= 0.1"}}),
        ("mean_reversion", "or", {"trend_recommendation": {"Recommend.All": ">= -0.5"},
                                  "trend_screen_volatility": {"Volatility.D": ">= 2.0"}}),
        ("volatility_breakout", None, {"trend_screen_volatility": {"Volatility.D": ">= 3.0"},
                                       "trend_screen_change": {"change": "> 2.0"}}),
    ],
)  # fmt: skip
def test_strategy_blocks_have_their_gates(library: Library, name: str, logic: str | None, gates: Any) -> None:
    content = block(library, name)
    assert (content.get("gate_logic"), content["gates"]) == (logic, gates)
    assert library.blocks[name].layer == "L3"


def test_strategy_blocks_have_their_columns_and_ranks(library: Library) -> None:
    assert block(library, "mean_reversion")["columns"] == ["RSI", "BB.lower", "BB.upper"]
    assert block(library, "volatility_breakout")["columns"] == ["ATR", "high", "low"]
    assert block(library, "xs_momentum")["ranks"] == [{"field": "Perf.1M", "order": "desc"}]


def test_templates_say_market_calendar_and_priority_of_quotes(pools: Any) -> None:
    spot, perp, forex = pools("crypto_spot"), pools("crypto_perp"), pools("forex")
    assert spot.exclusions.quotes == ("USDT", "USDC", "FDUSD", "BUSD", "DAI", "USD")
    # coin-margined contracts count turnover in contracts
    assert perp.exclusions.quotes == ("USDT", "USDC", "FDUSD", "BUSD", "DAI")
    assert {(one.market, one.calendar_id) for one in (spot, perp)} == {("crypto", "24/7")}
    assert (forex.market, forex.calendar_id, forex.venue_class) == ("forex", "24/5", "forex")
    assert asked(forex)["base_currency"] == ("in_range", ["USD", "EUR", "JPY", "GBP", "CHF", "CAD", "AUD", "NZD"])
    pairs = {symbol.split(":")[1] for symbol in forex.ensure_symbols}
    assert pairs == {"EURUSD", "USDJPY", "GBPUSD", "USDCHF", "USDCAD", "AUDUSD"}
    assert asked(pools("futures_metals"))["exchange"] == ("in_range", ["COMEX", "NYMEX"])


# --- pools ---------------------------------------------------------------------------------------------------------

# name, type, floor, gate of volatility, rows of the request, bases, rows kept
POOLS = [
    ("binance_spot_base", "spot", (">", 1_000_000), "Volatility.D>0.1", 300, None, 500),
    ("binance_perp_base", "swap", (">", 50_000_000), "Volatility.D>1", 300, None, 500),
    ("binance_liquid_base", ["spot", "swap"], (">", 1_000_000), "", 1000, None, 500),
    ("binance_spot_midcap_base", "spot", (">", 10_000_000), "Volatility.D>0.1", 300, None, 500),
    ("binance_spot_top100", "spot", (">", 500_000), "", 5000, 100, 50),
    ("binance_perp_top100", "swap", (">", 1_000_000), "", 5000, 100, 50),
    ("binance_perp_vol_top50", "swap", (">", 500_000), "", 5000, 200, 50),
    ("global_perp_top50", "swap", (">", 10_000_000), "", 500, None, 50),
    ("binance_pairs_base", "spot", (">", 1_000_000), "Volatility.D<0.5", 300, None, None),
    ("dynamic_etf_discovery", "fund", (">", 10_000_000), "Recommend.All>=0.1 ADX>=20", 300, None, None),
    ("dynamic_etf_discovery_niche", "fund", (">", 2_000_000), "Recommend.All>=0.1 ADX>=20", 300, None, None),
    ("sp500", None, (">=", 10_000_000), "", 300, None, 500),
    ("nasdaq100", None, (">=", 10_000_000), "", 300, None, 100),
    ("dw30", None, (">=", 10_000_000), "", 300, None, 30),
    *((f"venue_{venue}_{kind}", kind.replace("perp", "swap"), (">", 10_000_000), "Volatility.D<=35", 300, None, None)
      for venue in ("binance", "okx", "bybit", "bitget") for kind in ("spot", "perp")),
    ("venue_us_etf", "fund", (">", 500_000_000), "Volatility.D<=25", 300, None, None),
    ("venue_us_stocks", "stock", (">", 500_000_000), "Volatility.D<=30", 300, None, None),
    ("venue_cfd", None, (">", 50_000_000), "Volatility.D<=30", 300, None, None),
    ("venue_forex", None, (">", 100_000_000), "Volatility.D<=15", 300, None, None),
    ("venue_futures", None, (">", 50_000_000), "Volatility.D<=40", 300, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "floor", "gates", "fetched", "bases", "kept"), POOLS)
def test_pools_have_their_floors_and_limits(
    pools: Any, name: str, kind: Any, floor: tuple[str, int], gates: str, fetched: int, bases: int | None,
    kept: int | None,
) -> None:  # fmt: skip
    pool = pools(name)
    operation, value = asked(pool)["Value.Traded"]
    assert (SIGNS[operation], value) == floor
    # the floor is asked of the interface, and judged again on the row
    assert [
        f"{one.field}{SIGNS[one.operation]}{one.threshold:.0f}" for one in pool.gates if one.gate == "liquidity"
    ] == [f"Value.Traded{floor[0]}{floor[1]}"]
    assert conditions(pool, without=("liquidity",)) == gates
    assert (pool.prefilter_limit, pool.top_bases, pool.base_limit) == (fetched, bases, kept)
    expected = None if kind is None else ("in_range" if isinstance(kind, list) else "equal", kind)
    assert asked(pool).get("type") == expected


def test_whoever_takes_answers_of_some_exchanges_alone_asks_those_alone(pools: Any, library: Library) -> None:
    """Rows of others would be bad ones, and 5 % of bad rows reject a scan."""
    checked = 0
    for name, entry in library.blocks.items():
        # a template that asks for nothing by itself cannot be resolved alone
        if entry.layer == "L0" or name in ("forex", "futures_metals"):
            pool = pools(name)
            if pool.exchanges and not pool.symbols:
                _, value = asked(pool)["exchange"]
                assert sorted([value] if isinstance(value, str) else value) == sorted(pool.exchanges), name
                checked += 1
    assert checked >= 19


def test_the_spot_pool_has_two_floors_and_all_of_its_quotes(pools: Any) -> None:
    pool = pools("binance_spot_base")
    assert pool.median_turnover_min == 5_000_000
    assert asked(pool)["currency"] == ("in_range", QUOTES)
    assert sorted(pool.exclusions.quotes) == sorted(QUOTES)
    assert pool.exclusions.quotes[:6] == ("USDT", "USDC", "FDUSD", "BUSD", "DAI", "USD")


def test_pools_of_contracts_allow_stable_quotes_alone(pools: Any) -> None:
    assert asked(pools("binance_perp_base"))["currency"] == ("in_range", QUOTES[:-1])
    for name in ("binance_perp_base", "binance_perp_top100", "binance_perp_vol_top50", "global_perp_top50"):
        assert pools(name).venue_class == "perp"
        assert "USD" not in pools(name).exclusions.quotes


def test_pools_are_sorted_by_turnover_but_for_two(library: Library, pools: Any) -> None:
    others = {"binance_liquid_base": ("name", "asc"), "global_perp_top50": ("market_cap_calc", "desc")}
    for name, entry in library.blocks.items():
        if entry.layer == "L0":
            pool = pools(name)
            assert (pool.sort_by, pool.sort_order) == others.get(name, ("Value.Traded", "desc")), name


@pytest.mark.parametrize(
    ("name", "tickers"),
    [
        ("index_etfs", "AMEX:SPY NASDAQ:QQQ AMEX:IWM AMEX:DIA AMEX:VTI AMEX:VEU AMEX:EEM"),
        ("sector_etfs", "XLK XLF XLV XLY XLI XLP XLE XLU XLB XLRE XLC ITA"),
        ("bond_etfs", "AGG BND TLT LQD HYG IEF SHY TIP MBB BIV EMLC IBDV"),
        ("commodity_etfs", "DBC GSG GLD IAU SLV USO BNO UNG DBB CPER DBA PALL PPLT URA LIT MOO"),
        ("commodity_proxy_etfs", "DBC GLD SLV USO DBB CPER DBA"),
        ("commodity_majors", "COMEX:GC1! COMEX:SI1! COMEX:HG1! NYMEX:CL1! NYMEX:NG1! CBOT:ZC1! CBOT:ZW1! CBOT:ZS1!"
         " CME:6E1! CME:6J1!"),
    ],
)  # fmt: skip
def test_baskets_have_their_members_in_order(pools: Any, name: str, tickers: str) -> None:
    found = [symbol if ":" in tickers else symbol.split(":")[1] for symbol in pools(name).symbols]
    assert found == tickers.split()


def test_baskets_have_no_gate_but_for_contracts(pools: Any) -> None:
    for name in ("index_etfs", "sector_etfs", "bond_etfs", "commodity_etfs", "commodity_proxy_etfs"):
        assert (pools(name).gates, pools(name).filters) == ((), ())
    assert conditions(pools("commodity_majors")) == "volume>=10000"
    assert all(symbol.startswith("AMEX:") for symbol in pools("sector_etfs").symbols)


# --- funds ---------------------------------------------------------------------------------------------------------

# name, pool, categories, gates beside liquidity and recommendation, rank, limit, logic
FUND_SCANNERS = [
    ("index_etf_trend", "index_etfs", None, "", "Value.Traded", 10, "anchor"),
    ("sector_etf_trend", "sector_etfs", None, "", "Value.Traded", 15, "anchor"),
    ("bond_trend", "bond_etfs", None, "", "Value.Traded", 15, "anchor"),
    ("commodity_etf_trend", "commodity_etfs", None, "", "Value.Traded", 25, "anchor"),
    ("etf_equity_momentum", 10_000_000, [26, 27, 44], "ADX>=20 Perf.W>0 Perf.1M>1.5", "Perf.1M", 20, "momentum"),
    ("etf_bond_yield_trend", 10_000_000, [61, 70, 68, 59, 58, 63, 62, 69, 64, 56, 57], "ADX>=15 Perf.W>0", "ADX", 15,
     "yield"),
    ("etf_commodity_supercycle", 10_000_000, [8, 6, 4, 7, 5], "ADX>=20 Perf.W>0 Perf.1M>1", "Perf.3M", 15,
     "supercycle"),
    ("etf_thematic_momentum", 2_000_000, [27, 26, 71, 35], "ADX>=15 Perf.W>0 Perf.1M>0", "Perf.1M", 20, "momentum"),
    ("etf_yield_alpha", 2_000_000, [44, 68, 69, 59, 61, 70], "ADX>=10 Perf.W>0 Perf.1M>-1", "Perf.3M", 20, "yield"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pool", "categories", "gates", "rank", "limit", "logic"), FUND_SCANNERS)
def test_the_nine_fund_scanners_are_those_of_the_table(
    library: Library, scanners: dict[str, Scanner], name: str, pool: Any, categories: list[int] | None, gates: str,
    rank: str, limit: int, logic: str,
) -> None:  # fmt: skip
    one = scanners[name]
    assert (one.market, one.direction, one.status) == ("america", "LONG", "active")
    assert (one.limit, one.logic, ranks(one)) == (limit, logic, f"{rank}:desc")
    assert (one.sort_by, one.sort_order, one.prefilter_limit) == ("Value.Traded", "desc", 300)
    if categories is None:
        assert pool in library.scanners[name].extends
        assert (one.filters, one.gates, bool(one.symbols)) == ((), (), True)
    else:
        assert asked(one) == {
            "Value.Traded": ("greater", pool),
            "type": ("equal", "fund"),
            "category": ("in_range", categories),
        }
        assert conditions(one, without=("liquidity", "trend_recommendation")) == gates
        assert conditions(one, without=("liquidity", "trend_adx", "trend_momentum")) == "Recommend.All>=0.1"
        assert {*REQUIRED.split(), *FUNDS.split(), *CONTEXT.split()} <= set(one.columns)
        assert ("dividend_yield_recent" in one.columns) == (logic == "yield")


def test_the_basket_outside_the_nine_and_the_census(scanners: dict[str, Scanner]) -> None:
    basket, census = scanners["commodity_proxy_etfs"], scanners["etf_category_census"]
    assert (len(basket.symbols), basket.limit, basket.gates) == (7, 25, ())
    assert asked(census) == {"type": ("equal", "fund")}
    assert (census.limit, census.prefilter_limit, census.status) == (500, 500, "research")


def test_optional_gates_of_funds_are_off_unless_a_scanner_extends_them(scanners: dict[str, Scanner]) -> None:
    for name, *_ in FUND_SCANNERS:
        assert not {"EMA20", "aum"} & {one.left for one in scanners[name].filters}
        assert "trend_screen_size" not in {gate.gate for gate in scanners[name].gates}


def test_the_strict_gates_of_funds_can_be_switched_on(tmp_path: Any) -> None:
    import shutil

    manifest = tmp_path / "manifest"
    shutil.copytree(ROOT / "manifest", manifest)
    (manifest / "scanners" / "strict.yml").write_text(
        "scanners:\n"
        "  strict: {extends: [dynamic_etf_discovery, strict_funds], direction: LONG, logic: momentum, limit: 5}\n"
    )
    one = resolve_scanner(load_library(manifest), "strict").scanner
    assert asked(one)["EMA20"] == ("greater", "EMA50")
    assert conditions(one, without=("liquidity", "trend_adx", "trend_recommendation")) == (
        "Volatility.D<4 Perf.3M>3 aum>=5e+08"
    )


# --- crypto and the rest -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["spot", "perp"])
@pytest.mark.parametrize(
    ("rating", "field"), [("all", "Recommend.All"), ("ma", "Recommend.MA"), ("osc", "Recommend.Other")]
)
@pytest.mark.parametrize("direction", ["long", "short"])
def test_the_twelve_rating_scanners_are_those_of_the_table(
    library: Library, scanners: dict[str, Scanner], venue: str, rating: str, field: str, direction: str
) -> None:
    one = scanners[f"binance_{venue}_rating_{rating}_{direction}"]
    is_long = direction == "long"
    assert (one.direction, one.logic, one.limit, one.status) == (
        direction.upper(), f"rating_{rating}", 100, "active",
    )  # fmt: skip
    assert f"binance_{venue}_base" in library.scanners[one.scanner_id].extends
    assert one.venue_class == venue
    # each carries the filter of its own rating, strictly off zero, and of no other rating
    assert {left: rule for left, rule in asked(one).items() if left.startswith("Recommend")} == {
        field: ("greater" if is_long else "less", 0.0)
    }
    # no gate beside the hygiene of its pool
    assert {gate.gate for gate in one.gates} == {"liquidity", "volatility"}
    order = "desc" if is_long else "asc"
    assert ranks(one) == f"{field}:{order} Recommend.All|240:{order} Value.Traded:desc"
    assert (one.sort_by, one.sort_order, one.prefilter_limit) == ("Value.Traded", "desc", 300)
    assert (one.category, one.export_name) == ("strategy_alpha", f"{venue}_rating_{rating}_{direction}")


def test_short_rating_scanners_take_the_most_negative_ratings_first(scanners: dict[str, Scanner]) -> None:
    short = [one for one in scanners.values() if one.logic.startswith("rating") and one.direction == "SHORT"]
    assert len(short) == 6
    for one in short:
        assert one.ranks[0].order == one.ranks[1].order == "asc", one.scanner_id
        assert any(rule.left == one.ranks[0].field and rule.operation == "less" for rule in one.filters)


LONG_MTF = "Recommend.All>=0 ADX>=10 Perf.W>0 ADX|1W>=10 Perf.1M>0 Recommend.All|1W>=0"
SHORT_MTF = "Recommend.All<=0 ADX>=10 Perf.W<0 ADX|1W>=10 Perf.1M<0 Recommend.All|1W<=0"
# name, pool, direction, gates beside liquidity and volatility, limit, logic, status
OTHER_SCANNERS = [
    ("binance_spot_liquidity", "binance_spot_base", "LONG", "", 200, "trend", "active"),
    ("binance_spot_liquidity_short", "binance_spot_base", "SHORT", "", 200, "trend", "active"),
    ("binance_spot_long_trend", "binance_spot_base", "LONG", "", 200, "trend", "active"),
    ("binance_spot_short_trend", "binance_spot_base", "SHORT", "", 200, "trend", "active"),
    ("binance_perp_long_trend", "binance_perp_top100", "LONG", "Recommend.All>=0 ADX>=10 Perf.W>0", 50, "trend",
     "active"),
    ("binance_perp_short_trend", "binance_perp_top100", "SHORT", "Recommend.All<=0 ADX>=10 Perf.W<0", 50, "trend",
     "active"),
    ("binance_perp_secular_short", "binance_perp_top100", "SHORT", "Recommend.All<=-0.1 ADX>=15 Perf.1M<0", 50,
     "secular_short", "active"),
    ("binance_perp_long_mtf", "binance_perp_top100", "LONG", LONG_MTF, 50, "mtf_trend", "active"),
    ("binance_perp_short_mtf", "binance_perp_top100", "SHORT", SHORT_MTF, 50, "mtf_trend", "active"),
    ("crypto_vol_breakout", "binance_perp_top100", "LONG", "change>5 Volatility.D>=5", 50, "vol_breakout", "active"),
    ("global_crypto_mtf_trend", "global_perp_top50", "LONG",
     "Recommend.All>=0 ADX>=10 Perf.W>0 Perf.1M>0 ADX|1W>=10 Perf.1M>0 Recommend.All|1W>=0", 50, "mtf_trend",
     "research"),
    ("forex_trend", "forex", "LONG", "ADX>=20 Perf.W>0.5 Perf.1M>1", 50, "trend", "research"),
    ("metals_trend", "futures_metals", "LONG", "ADX>=25 Perf.W>1 Perf.1M>3", 20, "trend", "research"),
    ("global_macro", "commodity_majors", "LONG", "Recommend.All>=0.5 Perf.W>1 Perf.1M>3", 20, "xs_momentum",
     "research"),
    ("sp500_trend", "sp500", "LONG", "", 50, "trend", "research"),
    ("nasdaq100_trend", "nasdaq100", "LONG", "Perf.W>0 Perf.1M>0.5 Perf.3M>1", 100, "trend", "research"),
    ("dw30_trend", "dw30", "LONG", "Perf.W>0 Perf.1M>0.5 Perf.3M>1", 30, "trend", "research"),
    ("binance_pairs_mean_reversion_long", "binance_pairs_base", "LONG", "", 50, "mean_reversion", "disabled"),
    ("binance_pairs_mean_reversion_short", "binance_pairs_base", "SHORT", "", 50, "mean_reversion", "disabled"),
    ("binance_pairs_spread_long", "binance_pairs_base", "LONG", "", 50, "pair_spread", "disabled"),
    ("binance_pairs_spread_short", "binance_pairs_base", "SHORT", "", 50, "pair_spread", "disabled"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pool", "direction", "gates", "limit", "logic", "status"), OTHER_SCANNERS)
def test_the_other_scanners_are_those_of_the_table(
    library: Library, scanners: dict[str, Scanner], name: str, pool: str, direction: str, gates: str, limit: int,
    logic: str, status: str,
) -> None:  # fmt: skip
    one = scanners[name]
    assert pool in library.scanners[name].extends
    assert (one.direction, one.limit, one.logic, one.status) == (direction, limit, logic, status)
    assert conditions(one, without=("liquidity", "volatility")) == gates


def test_there_are_no_scanners_beside_those_of_the_tables(scanners: dict[str, Scanner]) -> None:
    ratings = {
        f"binance_{venue}_rating_{rating}_{direction}"
        for venue in ("spot", "perp")
        for rating in ("all", "ma", "osc")
        for direction in ("long", "short")
    }
    named = {row[0] for row in (*FUND_SCANNERS, *OTHER_SCANNERS)} | {"commodity_proxy_etfs", "etf_category_census"}
    assert set(scanners) == ratings | named


def test_no_scanner_vetoes_what_selection_vetoes(scanners: dict[str, Scanner]) -> None:
    """A contract that rose 116 % in nine days is discovered; whether it is too extreme is selection's to say."""
    for one in scanners.values():
        assert "ROC" in one.columns
        assert "ROC" not in {gate.field for gate in one.gates} | {rule.left for rule in one.filters}, one.scanner_id


def test_the_floor_that_decides_on_spot_is_a_value_and_not_code(scanners: dict[str, Scanner]) -> None:
    """Five million, not twenty: the higher one left nine long candidates where about fifteen were to be had."""
    for name in ("binance_spot_rating_all_long", "binance_spot_rating_all_short", "binance_spot_long_trend"):
        assert scanners[name].median_turnover_min == 5_000_000
        assert asked(scanners[name])["Value.Traded"] == ("greater", 1_000_000)


def test_every_scan_asks_for_the_required_columns_and_all_that_it_judges_by(scanners: dict[str, Scanner]) -> None:
    for one in scanners.values():
        assert one.columns[: len(REQUIRED.split())] == tuple(REQUIRED.split()), one.scanner_id
        read = {gate.field for gate in one.gates} | {rank.field for rank in one.ranks} | {one.sort_by}
        assert read <= set(one.columns), one.scanner_id
        assert len(set(one.columns)) == len(one.columns)


def test_venues_are_isolated(scanners: dict[str, Scanner]) -> None:
    for one in scanners.values():
        if one.market == "crypto":
            wanted = {"spot": ("equal", "spot"), "perp": ("equal", "swap")}[one.venue_class]
            assert asked(one)["type"] == wanted, one.scanner_id


# --- the dictionary ------------------------------------------------------------------------------------------------


def test_every_field_that_is_asked_for_has_an_entry_and_every_entry_is_asked_for(
    library: Library, scanners: dict[str, Scanner]
) -> None:
    from quantmill.manifest.field_page import field_uses

    for one in scanners.values():
        assert [name for name in one.columns if library.dictionary.problem_of(name)] == []
    unused = [name for name, uses in field_uses(library, list(scanners.values())).items() if not uses]
    assert unused == []


def test_a_scanner_cannot_ask_for_a_field_without_an_entry(manifest: Any) -> None:
    path = manifest / "fields.yml"
    text = path.read_text(encoding="utf-8")
    start = text.index("  expense_ratio:")
    path.write_text(text[:start] + text[text.index("  brand:") :], encoding="utf-8")
    with pytest.raises(UnknownKey, match=r"'us_funds\.columns' has the field 'expense_ratio'"):
        load_library(manifest)


def test_the_vendor_features_are_those_of_the_list() -> None:
    dictionary = load_dictionary(ROOT / "manifest")
    many = (
        "Recommend.All Recommend.MA Recommend.Other RSI ADX AO CCI20 Stoch.K Stoch.D MACD.macd MACD.signal change"
        " change_abs close volume gap high low open"
    )
    daily = (
        "Volatility.D Volatility.W Volatility.M Perf.W Perf.1M Perf.3M Perf.6M Perf.Y Perf.3Y Perf.5Y Perf.All Perf.YTD"
        " ROC volume_change ATR Mom W.R UO BBPower Ichimoku.BLine beta_1_year"
        " Rec.Ichimoku Rec.VWMA Rec.HullMA9 Rec.Stoch.RSI Rec.WR Rec.BBPower Rec.UO"
    )
    assert set(dictionary.features(["1d"])) == {*many.split(), *daily.split()}
    assert set(dictionary.features(["4h", "1W"])) == {
        f"{name}|{suffix}" for name in many.split() for suffix in ("240", "1W")
    }
    suffixes = {split_field(name)[1] for name in dictionary.features(dictionary.fields["close"].timeframes)}
    assert suffixes == {"1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1W", "1M"}


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [("Recommend.All", -1, 1), ("Recommend.MA", -1, 1), ("RSI", 0, 100), ("ADX", 0, 100), ("Stoch.K", 0, 100),
     ("UO", 0, 100), ("W.R", -100, 0), ("Volatility.D", 0, None)],
)  # fmt: skip
def test_bounds_of_fields(library: Library, field: str, low: float, high: float | None) -> None:
    assert library.dictionary.fields[field].range == (low, high)


def test_the_page_of_fields_is_what_the_generator_makes() -> None:
    from quantmill.manifest.field_page import field_page

    written = (ROOT / "docs" / "fields.md").read_text(encoding="utf-8")
    assert written == field_page(ROOT / "manifest"), "run 'python -m quantmill fields' and keep docs/fields.md"
