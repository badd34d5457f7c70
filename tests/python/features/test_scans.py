"""Layers 2 and 3 over landed scans: gates, exclusions, identity, ranks, lists, the funnel, and the acceptance facts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from python.features.landed import NOW, bars, coin, describe, scan, scanner, shipped, without_bars
from python.features.pipeline import Pipeline
from quantmill.manifest.scanners import Scanner

FULL = {"Value__Traded": 90e6, "Volatility__D": 5.0, "Recommend__All": 0.3, "Recommend__All|240": 0.1}
ADX = {"gate": "trend_adx", "field": "ADX", "operation": "egreater", "threshold": 20.0}
WEEK = {"gate": "trend_momentum", "field": "Perf.W", "operation": "greater", "threshold": 0.0}
MONTH = {"gate": "trend_momentum", "field": "Perf.1M", "operation": "greater", "threshold": 1.0}
LIQUID = {"gate": "liquidity", "field": "Value.Traded", "operation": "greater", "threshold": 5e6}


def judged(of: Scanner, *rows: dict[str, Any], **options: Any) -> Pipeline:
    """The candidates of one scan of symbols of which neither bars nor metadata are landed."""
    pipeline = Pipeline()
    without_bars(pipeline, "symbols", "symbol_identity", "symbol_tags")
    scan(pipeline, of, rows, **options)
    return pipeline.build("scan_funnel")


def outcomes(pipeline: Pipeline, columns: str = "drop_stage, drop_reason") -> dict[str, Any]:
    found = pipeline.ask(f"select split_part(symbol, ':', 2), {columns} from scan_candidates")
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in found}


def kept(pipeline: Pipeline, scanner_id: str | None = None) -> list[str]:
    """Candidates by rank."""
    return [
        symbol
        for (symbol,) in pipeline.ask(
            "select split_part(symbol, ':', 2) from scan_candidates"
            " where is_kept and scanner_id = coalesce(?, scanner_id) order by scanner_id, rank",
            scanner_id,
        )
    ]


def test_a_market_capitalisation_is_judged_before_the_rest_and_a_missing_one_fails() -> None:
    cap = {"gate": "market_cap", "field": "market_cap_calc", "operation": "egreater", "threshold": 50e6}
    of = scanner(gates=(LIQUID, cap, ADX), gate_logic="or")
    fields = {"Value__Traded": 9e6, "ADX": 30.0}
    pipeline = judged(
        of,
        coin("BINANCE:AAUSDT", "AA", "USDT", market_cap_calc=50e6, **fields),
        coin("BINANCE:BBUSDT", "BB", "USDT", market_cap_calc=49e6, **fields | {"Value__Traded": 1.0}),
        coin("BINANCE:CCUSDT", "CC", "USDT", **fields),
    )
    assert outcomes(pipeline) == {
        "AAUSDT": (None, None),
        "BBUSDT": ("market_cap", "market_cap_calc 49000000.0 is not >= 50000000.0"),
        "CCUSDT": ("market_cap", "null:market_cap_calc"),
    }


def test_every_gate_that_is_on_has_an_entry_and_no_other() -> None:
    of = scanner(gates=(LIQUID, ADX, WEEK, MONTH))
    row = coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=9e6, ADX=19.16, Perf__W=1.0, Perf__1M=0.5)
    pipeline = judged(of, row)
    [(passes, detail, failed)] = pipeline.ask("select passes, passes_detail, failed_gates from scan_candidates")
    assert json.loads(passes) == {
        "exclusion": True, "liquidity": True, "trend_adx": False, "trend_momentum": False, "trend_combined": False,
        "all": False,
    }  # fmt: skip
    assert failed == "trend_adx,trend_momentum"
    assert [(one["field"], one["ok"], one["reason"]) for one in json.loads(detail)] == [
        ("Value.Traded", True, None),
        ("ADX", False, "ADX 19.16 is not >= 20.0"),
        ("Perf.W", True, None),
        ("Perf.1M", False, "Perf.1M 0.5 is not > 1.0"),
    ]


@pytest.mark.parametrize("value", [None, "NaN", "n/a", "Infinity"])
def test_a_value_that_is_missing_or_no_number_fails_its_gate(value: Any) -> None:
    pipeline = judged(scanner(), coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=value))
    assert outcomes(pipeline) == {"AAUSDT": ("liquidity", "null:Value.Traded")}


def test_a_weekly_field_never_falls_back_to_the_daily_one() -> None:
    gate = {"gate": "trend_screen_weekly", "field": "ADX|1W", "operation": "egreater", "threshold": 10.0}
    pipeline = judged(scanner(gates=(gate,)), coin("BINANCE:AAUSDT", "AA", "USDT", ADX=50.0))
    assert outcomes(pipeline) == {"AAUSDT": ("trend_screen_weekly", "null:ADX|1W")}


def test_a_bound_is_met_on_itself_only_where_it_says_so() -> None:
    rows = [coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=5e6, ADX=20.0)]
    strict = judged(scanner(gates=(LIQUID,)), *rows)
    loose = judged(scanner(gates=(ADX,)), *rows)
    assert (kept(strict), kept(loose)) == ([], ["AAUSDT"])


def test_under_or_one_strategy_gate_is_enough_and_hygiene_still_holds() -> None:
    of = scanner(gates=(LIQUID, ADX, WEEK), gate_logic="or")
    pipeline = judged(
        of,
        coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=9e6, ADX=10.0, Perf__W=2.0),
        coin("BINANCE:BBUSDT", "BB", "USDT", Value__Traded=1e6, ADX=30.0, Perf__W=2.0),
        coin("BINANCE:CCUSDT", "CC", "USDT", Value__Traded=9e6, ADX=10.0, Perf__W=-2.0),
    )
    assert outcomes(pipeline) == {
        "AAUSDT": (None, None),
        "BBUSDT": ("liquidity", "Value.Traded 1000000.0 is not > 5000000.0"),
        "CCUSDT": ("trend_combined", "ADX 10.0 is not >= 20.0 or Perf.W -2.0 is not > 0.0"),
    }


def test_a_candidate_of_an_index_was_a_member_on_the_day_of_the_scan() -> None:
    of = scanner(index_id="dw30", venue_class="listed", market="america", calendar_id="XNYS")
    pipeline = Pipeline()
    without_bars(pipeline, "symbols", "symbol_identity", "symbol_tags")
    pipeline.give(
        "calc_index_members",
        """
        select 'dw30' as index_id, symbol, first::date as valid_from, last::date as valid_to from (values
            ('NASDAQ:WBA', '2018-06-26', '2024-02-26'), ('NASDAQ:AMZN', '2024-02-26', null),
            ('NYSE:GE', '1907-11-07', '2018-06-26')) as members (symbol, first, last)
        union all select 'sp500', 'NYSE:GE', date '1957-03-04', null
        """,
    )
    shares = [
        {"s": symbol, "type": "stock", "Value.Traded": 9e6, "Recommend.All": 0.1}
        for symbol in ("NASDAQ:WBA", "NASDAQ:AMZN", "NYSE:GE")
    ]
    for day in (datetime(1900, 1, 1), datetime(2024, 2, 25, 23, 59), datetime(2024, 2, 26)):
        scan(pipeline, of, shares, at=day)
    pipeline.build("scan_candidates")
    found = pipeline.ask("select scanned_at_utc::date::varchar, symbol, drop_reason from scan_candidates order by all")
    assert found == [
        ("1900-01-01", "NASDAQ:AMZN", "NO_MEMBERSHIP_KNOWN:dw30"),
        ("1900-01-01", "NASDAQ:WBA", "NO_MEMBERSHIP_KNOWN:dw30"),
        ("1900-01-01", "NYSE:GE", "NO_MEMBERSHIP_KNOWN:dw30"),
        ("2024-02-25", "NASDAQ:AMZN", "NOT_A_MEMBER:dw30"),
        ("2024-02-25", "NASDAQ:WBA", None),
        ("2024-02-25", "NYSE:GE", "NOT_A_MEMBER:dw30"),
        ("2024-02-26", "NASDAQ:AMZN", None),
        ("2024-02-26", "NASDAQ:WBA", "NOT_A_MEMBER:dw30"),
        ("2024-02-26", "NYSE:GE", "NOT_A_MEMBER:dw30"),
    ]


def test_the_first_stage_in_the_order_of_the_layer_is_the_one_that_drops() -> None:
    volatility = {"gate": "volatility", "field": "Volatility.D", "operation": "greater", "threshold": 1.0}
    of = scanner(gates=(ADX, LIQUID, volatility), exclusions={"bases": ("CC",)})
    pipeline = judged(
        of,
        coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=1.0, ADX=1.0, Volatility__D=0.5),
        coin("BINANCE:BBUSDT", "BB", "USDT", Value__Traded=1.0, ADX=1.0, Volatility__D=2.0),
        coin("BINANCE:CCUSDT", "CC", "USDT", Value__Traded=1.0, ADX=1.0, Volatility__D=0.5),
    )
    assert {name: stage for name, (stage, _) in outcomes(pipeline).items()} == {
        "AAUSDT": "volatility",
        "BBUSDT": "liquidity",
        "CCUSDT": "exclusion",
    }


def test_what_breaks_its_venue_class_is_excluded_and_a_dated_contract_belongs_to_neither() -> None:
    rows = [
        coin("BINANCE:AAUSDT", "AA", "USDT", **FULL),
        coin("BINANCE:AAUSDT.P", "AA", "USDT", **FULL),
        coin("BINANCE:BBUSDT_250328", "BB", "USDT", **FULL) | {"type": "futures"},
        coin("OKX:CCUSDT", "CC", "USDT", **FULL),
    ]
    spot = judged(scanner(exchanges=("BINANCE",)), *rows)
    perp = judged(scanner(venue_class="perp", exchanges=("BINANCE",)), *rows)
    assert outcomes(spot, "drop_reason") == {
        "AAUSDT": None, "AAUSDT.P": "SCAN_VENUE:perp", "BBUSDT_250328": "SCAN_VENUE:dated", "CCUSDT": "SCAN_VENUE:OKX",
    }  # fmt: skip
    assert kept(perp) == ["AAUSDT.P"]


def test_the_base_universe_keeps_the_most_traded() -> None:
    rows = [
        coin(f"BINANCE:{name}USDT", name, "USDT", Value__Traded=traded * 1e6, Recommend__All=0.1)
        for name, traded in (("AA", 40), ("BB", 30), ("CC", 20), ("DD", 10))
    ]
    rows.append(coin("BINANCE:AAUSDC", "AA", "USDC", Value__Traded=15e6, Recommend__All=0.1))
    few = judged(scanner(base_limit=2, exclusions={"bases": ("AA",)}), *rows)
    assert outcomes(few, "drop_reason") == {
        "AAUSDC": "BASE:AA", "AAUSDT": "BASE:AA", "BBUSDT": None, "CCUSDT": None, "DDUSDT": "BASE_LIMIT",
    }  # fmt: skip
    bases = judged(scanner(top_bases=2), *rows)
    assert outcomes(bases, "drop_reason") == {
        "AAUSDC": "IDENTITY_DUPLICATE", "AAUSDT": None, "BBUSDT": None, "CCUSDT": "TOP_BASES", "DDUSDT": "TOP_BASES",
    }  # fmt: skip


def test_bases_are_compared_by_turnover_in_dollars_alone() -> None:
    def row(symbol: str, base: str, quote: str, traded: float) -> dict[str, Any]:
        return coin(symbol, base, quote, Value__Traded=traded * 1e6, Recommend__All=0.1)

    contracts = judged(
        scanner(venue_class="perp", top_bases=1, exclusions={"quotes": ("USDT",)}),
        row("BINANCE:AAUSDT.P", "AA", "USDT", 10),
        row("BINANCE:BBUSDT.P", "BB", "USDT", 5),
        # counted in contracts
        row("BINANCE:BBUSD.P", "BB", "USD", 900),
    )
    assert outcomes(contracts, "drop_reason") == {
        "AAUSDT.P": None, "BBUSDT.P": "TOP_BASES", "BBUSD.P": "TOP_BASES",
    }  # fmt: skip
    pairs = judged(
        scanner(top_bases=1, exclusions={"quotes": ("USDT",)}),
        row("BINANCE:AAUSDT", "AA", "USDT", 10),
        row("BINANCE:BBUSDT", "BB", "USDT", 5),
        row("BINANCE:BBIDR", "BB", "IDR", 80_000),
    )
    assert kept(pairs) == ["AAUSDT"]


def test_twenty_six_quote_variants_are_fifteen_candidates_and_nothing_else_is_dropped() -> None:
    assert len(quote_variants()) == 26
    pipeline = judged(scanner(), *quote_variants())
    assert len(kept(pipeline)) == 15
    assert pipeline.ask("select drop_reason, count(*) from scan_candidates where not is_kept group by all") == [
        ("IDENTITY_DUPLICATE", 11)
    ]
    assert pipeline.ask("select stage, dropped_count, remaining_count from scan_funnel order by stage_number") == [
        ("fetched", 0, 26),
        ("identity", 11, 15),
        ("selected", 0, 15),
    ]


def quote_variants() -> list[dict[str, Any]]:
    """26 rows of 15 bases: nine are traded above 20 million, all above 5; ten of them are bearish by another rating."""
    rows = []
    for number in range(15):
        base = f"C{chr(65 + number)}"
        traded = (60 - 3 * number if number < 9 else 14 - 0.5 * number) * 1e6
        rating = {"Recommend__All": 0.1 + number / 100, "Recommend__MA": -0.5 + number * 0.05}
        rows.append(coin(f"BINANCE:{base}USDT", base, "USDT", Value__Traded=traded, **rating))
        if number < 7:
            rows.append(coin(f"BINANCE:{base}FDUSD", base, "FDUSD", Value__Traded=traded * 0.4, **rating))
        if number < 4:
            rows.append(coin(f"BINANCE:{base}USDC", base, "USDC", Value__Traded=traded * 0.5, **rating))
    return rows


def test_a_floor_of_twenty_million_leaves_nine_and_one_of_five_leaves_fifteen_long_and_ten_short() -> None:
    def count(floor: float, **changes: Any) -> int:
        gates = [{**LIQUID, "threshold": floor}, *changes.pop("gates", ())]
        return len(kept(judged(scanner(gates=gates, **changes), *quote_variants())))

    bearish = {"gate": "trend_recommendation", "field": "Recommend.MA", "operation": "less", "threshold": 0.0}
    assert (count(20e6), count(5e6)) == (9, 15)
    assert count(5e6, gates=(bearish,), direction="SHORT") == 10


def test_seventeen_listings_of_twelve_coins_are_twelve_candidates_by_dedupe_alone() -> None:
    """F-7: the contracts of BNB stand for one; what selection makes of the twelve is a unit test of its funnel."""
    symbols = [f"BINANCE:{base}USDT.P" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK")]
    symbols += [f"BINANCE:{base}USDT.P" for base in ("AVAX", "DOT", "UNI")]
    symbols += [f"BINANCE:{base}USDC.P" for base in ("BTC", "ETH", "SOL", "XRP")] + ["BINANCE:BNBUSD.P"]
    assert len(symbols) == 17
    rows = []
    for number, symbol in enumerate(symbols):
        base, quote = symbol.split(":")[1].removesuffix(".P").replace("USD", " USD").split()
        rows.append(coin(symbol, base, quote, **FULL | {"Value__Traded": (200 - number) * 1e6}))
    pipeline = judged(scanner(venue_class="perp"), *rows)
    assert pipeline.ask("select stage, dropped_count, remaining_count from scan_funnel order by stage_number") == [
        ("fetched", 0, 17),
        ("identity", 5, 12),
        ("selected", 0, 12),
    ]
    assert "BNBUSDT.P" in kept(pipeline) and "BNBUSD.P" not in kept(pipeline)


def test_pegged_assets_are_in_no_directional_pool_and_in_the_pairs_universe() -> None:
    pegged = [("PAXG", "PAXGUSDT"), ("XUSD", "XUSDUSDT"), ("USD1", "USD1USDT")]
    coins = [(f"C{chr(65 + number)}", f"C{chr(65 + number)}USDT") for number in range(18)]
    of, pairs = shipped("binance_spot_rating_all_long"), shipped("binance_pairs_mean_reversion_long")
    pipeline = Pipeline()
    for _base, ticker in (*pegged, *coins):
        bars(pipeline, f"BINANCE:{ticker}")
        describe(pipeline, f"BINANCE:{ticker}", type="spot", at=datetime(2025, 1, 1))
    rows = [coin(f"BINANCE:{ticker}", base, "USDT", **FULL) for base, ticker in (*pegged, *coins)]
    scan(pipeline, of, rows)
    scan(pipeline, pairs, [row | {"Volatility.D": 0.2} for row in rows], load_id="pairs")
    pipeline.build("scan_candidates")
    assert sorted(kept(pipeline, of.scanner_id)) == sorted(ticker for _, ticker in coins)
    assert len(kept(pipeline, of.scanner_id)) == 18
    assert sorted(kept(pipeline, pairs.scanner_id)) == sorted(ticker for _, ticker in pegged)


def test_a_surge_is_a_candidate_of_discovery() -> None:
    of = shipped("binance_perp_rating_all_long")
    pipeline = judged(of, coin("BINANCE:FHEUSDT.P", "FHE", "USDT", ROC=153.0, **FULL))
    assert kept(pipeline) == ["FHEUSDT.P"]


def fund(symbol: str, **fields: Any) -> dict[str, Any]:
    """A row of the fund scanner as it was seen at the end of January 2026."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return {"s": symbol, "type": "fund", "subtype": "etf", "currency": "USD", "Recommend.All": 0.3, **named}


FUNDS = (
    fund("AMEX:SHLD", close=71.94, Value__Traded=33_149_664, Perf__W=1.0, Perf__1M=13.43, ADX=19.16, category=27),
    fund("AMEX:ASTX", close=40.0, Value__Traded=60e6, Perf__W=1.0, Perf__1M=300.0, ADX=27.0, category=27),
    fund("NASDAQ:RKLX", close=30.0, Value__Traded=33e6, Perf__W=1.0, Perf__1M=127.0, ADX=25.0, category=27),
)


def test_the_thematic_scanner_takes_a_trend_that_the_equity_scanner_finds_too_weak() -> None:
    thematic = judged(shipped("etf_thematic_momentum"), *FUNDS)
    equity = judged(shipped("etf_equity_momentum"), *FUNDS)
    assert kept(thematic) == ["ASTX", "RKLX", "SHLD"]
    assert kept(equity) == ["ASTX", "RKLX"]
    assert outcomes(equity)["SHLD"] == ("trend_adx", "ADX 19.16 is not >= 20.0")


def test_a_hundred_funds_that_trade_more_keep_no_riser_from_its_gates() -> None:
    """F-15 in a market of its size: the request brings 300 funds by turnover, and only gates and ranks cut them."""
    giants = [
        fund(f"AMEX:G{n:03}", close=10.0, Value__Traded=1e9 - n, Perf__W=-1.0, Perf__1M=-1.0, ADX=30.0, category=27)
        for n in range(150)
    ]
    assert kept(judged(shipped("etf_thematic_momentum"), *giants, *FUNDS)) == ["ASTX", "RKLX", "SHLD"]


def test_a_request_sorted_by_performance_would_have_missed_the_liquid_winners() -> None:
    """F-15: three hundred rows of a universe in which whoever rose most is hardly traded."""
    of = shipped("etf_thematic_momentum")
    quiet = [
        fund(f"AMEX:Q{number:03}", close=9.0, Value__Traded=3e5, Perf__W=9.0, Perf__1M=301.0 + number, ADX=40.0)
        for number in range(of.prefilter_limit)
    ]

    def answered(field: str) -> list[dict[str, Any]]:
        return sorted([*quiet, *FUNDS], key=lambda row: -row[field])[: of.prefilter_limit]

    assert (of.sort_by, of.sort_order, of.prefilter_limit) == ("Value.Traded", "desc", 300)
    assert kept(judged(of, *answered("Value.Traded"))) == ["ASTX", "RKLX", "SHLD"]
    assert kept(judged(of, *answered("Perf.1M"))) == []


def test_a_short_scanner_returns_the_most_negative_ratings_first() -> None:
    of = shipped("binance_perp_rating_ma_short")
    ratings = {"AA": -0.2, "BB": -0.9, "CC": -0.5, "DD": -0.9}
    rows = [
        coin(f"BINANCE:{base}USDT.P", base, "USDT", **FULL, Recommend__MA=rating) for base, rating in ratings.items()
    ]
    rows[3]["Value.Traded"] = 91e6
    pipeline = judged(of, *rows)
    assert kept(pipeline) == ["DDUSDT.P", "BBUSDT.P", "CCUSDT.P", "AAUSDT.P"]
    assert pipeline.ask("select distinct direction from scan_candidates") == [("SHORT",)]


def test_beyond_the_limit_nothing_is_a_candidate() -> None:
    rows = [coin(f"BINANCE:C{n}XUSDT", f"C{n}X", "USDT", Value__Traded=9e6, Recommend__All=n / 10) for n in range(5)]
    pipeline = judged(scanner(limit=3), *rows)
    assert kept(pipeline) == ["C4XUSDT", "C3XUSDT", "C2XUSDT"]
    assert outcomes(pipeline, "drop_stage, layer, rank")["C0XUSDT"] == ("limit", 3, None)


def test_eligibility_asks_for_the_turnover_of_own_bars_and_passes_do_not_wait_for_it() -> None:
    of = scanner(median_turnover_min=5e6)
    pipeline = Pipeline()
    for base, turnover in (("AA", 6e6), ("BB", 4e6)):
        describe(pipeline, f"BINANCE:{base}USDT", type="spot", base_currency=base, currency="USDT")
        bars(pipeline, f"BINANCE:{base}USDT", turnover=turnover)
    scan(pipeline, of, [coin(f"BINANCE:{base}USDT", base, "USDT", **FULL) for base in ("AA", "BB", "CC")])
    pipeline.build("scan_candidates")
    assert outcomes(pipeline, "drop_stage, drop_reason, passes ->> 'all'") == {
        "AAUSDT": (None, None, "true"),
        "BBUSDT": ("eligibility", "median_turnover 4000000.0 is below 5000000.0", "true"),
        "CCUSDT": ("eligibility", "null:median_turnover", "true"),
    }
    assert outcomes(pipeline, "vt_rep")["AAUSDT"] == 6e6


def test_a_forced_symbol_comes_back_with_the_gates_it_failed() -> None:
    of = scanner(ensure_symbols=("BINANCE:AAUSDT", "BINANCE:BBUSDT"))
    pipeline = judged(
        of,
        coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=1.0, Recommend__All=0.1),
        coin("BINANCE:CCUSDT", "CC", "USDT"),
    )
    assert outcomes(pipeline, "is_kept, is_forced, passes ->> 'forced', passes ->> 'all', metadata_status") == {
        "AAUSDT": (True, True, "true", "false", "OK"),
        "BBUSDT": (True, True, "true", "false", "MISSING"),
        "CCUSDT": (False, False, None, "false", "OK"),
    }


def test_a_list_stands_without_an_answer_and_a_symbol_that_nobody_describes_says_so() -> None:
    of = shipped("index_etf_trend")
    pipeline = Pipeline()
    scan(pipeline, of, [], status="FAILED")
    describe(pipeline, "AMEX:SPY", type="fund", at=NOW - timedelta(days=1))
    pipeline.build("scan_candidates")
    found = pipeline.ask("select load_id[:5], symbol, is_kept, metadata_status from scan_candidates order by symbol")
    assert {row[1] for row in found} == set(of.symbols)
    assert {symbol for load, symbol, is_kept, _ in found if load == "list-" and is_kept} == set(of.symbols)
    assert {symbol: status for _, symbol, _, status in found}["AMEX:SPY"] == "OK"
    assert {symbol: status for _, symbol, _, status in found}["NASDAQ:QQQ"] == "MISSING"
    # the scan that failed is told beside the list, and keeps nobody
    assert pipeline.ask("select distinct drop_reason from scan_candidates where not is_kept") == [("SCAN_FAILED",)]


def test_a_scan_that_is_not_whole_publishes_nobody() -> None:
    pipeline = judged(scanner(), coin("BINANCE:AAUSDT", "AA", "USDT", **FULL), status="PARTIAL")
    assert outcomes(pipeline, "drop_stage, drop_reason, layer") == {"AAUSDT": ("scan", "SCAN_PARTIAL", 1)}


def test_a_scanner_that_never_found_anybody_has_a_funnel_and_one_that_failed_too() -> None:
    pipeline = Pipeline()
    of = scanner()
    scan(pipeline, of, [], status="OK_EMPTY", total=0)
    scan(pipeline, of, [], at=NOW + timedelta(days=1), status="FAILED")
    pipeline.build("scan_funnel")
    assert pipeline.ask("select scanner_id, stage, status, universe_count, fetched_count from scan_funnel") == [
        ("test", "fetched", "OK_EMPTY", 0, 0),
        ("test", "fetched", "FAILED", None, 0),
    ]


def test_a_funnel_begins_with_what_the_service_counts() -> None:
    pipeline = judged(scanner(), coin("BINANCE:AAUSDT", "AA", "USDT", **FULL), total=812)
    assert pipeline.ask("select stage, universe_count, fetched_count from scan_funnel") == [
        ("fetched", 812, 1),
        ("selected", 812, 1),
    ]


def test_an_empty_answer_is_a_scan_of_the_scanner_that_asks_so() -> None:
    pipeline = Pipeline()
    of = scanner()
    scan(pipeline, of, [coin("BINANCE:AAUSDT", "AA", "USDT", **FULL)])
    scan(pipeline, of, [], at=NOW + timedelta(days=1), status="OK_EMPTY")
    pipeline.build("scan_funnel")
    found = pipeline.ask(
        "select scanned_at_utc, stage, status, fetched_count, remaining_count from scan_funnel order by 1, stage_number"
    )
    assert found == [
        (NOW, "fetched", "OK", 1, 1),
        (NOW, "selected", "OK", 1, 1),
        (NOW + timedelta(days=1), "fetched", "OK_EMPTY", 0, 0),
    ]


def test_the_order_of_the_answer_changes_nothing() -> None:
    rows = quote_variants()
    forward, backward = judged(scanner(), *rows), judged(scanner(), *reversed(rows))
    query = "select * from scan_candidates order by symbol"
    assert forward.ask(query) == backward.ask(query)


def test_a_funnel_adds_up() -> None:
    of = scanner(gates=(LIQUID, ADX), exclusions={"bases": ("CA",)}, limit=2)
    rows = [row | {"ADX": 15.0 + number} for number, row in enumerate(quote_variants())]
    pipeline = judged(of, *rows)
    stages = pipeline.ask("select stage, dropped_count, remaining_count from scan_funnel order by stage_number")
    remaining = len(rows)
    for _, dropped, left in stages:
        remaining -= dropped
        assert left == remaining
    assert [name for name, _, _ in stages] == ["fetched", "exclusion", "trend_adx", "identity", "limit", "selected"]
    assert remaining == len(kept(pipeline)) == 2


def test_an_exclusion_that_a_peg_detector_found_holds_from_the_day_it_was_found() -> None:
    of = scanner(exclusions={"is_pegged_out": True})
    pipeline = Pipeline()
    describe(pipeline, "BINANCE:NEWDUSDT", type="spot", base_currency="NEWD", currency="USDT")
    bars(pipeline, "BINANCE:NEWDUSDT", until=datetime(2025, 2, 27), count=90, close=1.0, wiggle=0.0005)
    for day in (27, 28):
        scan(pipeline, of, [coin("BINANCE:NEWDUSDT", "NEWD", "USDT", **FULL)], at=datetime(2025, 2, day, 0, 10))
    pipeline.build("scan_candidates")
    assert pipeline.ask("select scanned_at_utc::date::varchar, drop_reason from scan_candidates order by 1") == [
        ("2025-02-27", None),
        ("2025-02-28", "PEGGED"),
    ]
