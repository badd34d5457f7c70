"""Bases, groups and representatives: the identity table, price agreement, pegs, one algorithm whatever the order."""

from __future__ import annotations

import csv
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from market import Market
from python.features.landed import NOW, bars, coin, describe, limit, scan, scanner
from python.features.pipeline import ENVIRONMENT, MACROS, Pipeline

# ticker: exposure, base, quote; without metadata of its own, where T, PEPE and DOT are known from other listings
TICKERS = {
    "BINANCE:BTCUSDT": ("BTC", "BTC", "USDT"),
    "BINANCE:BTCFDUSD": ("BTC", "BTC", "FDUSD"),
    "BINANCE:BTCUSDC": ("BTC", "BTC", "USDC"),
    "BINANCE:BTCUSDT.P": ("BTC", "BTC", "USDT"),
    "BINANCE:BTCUSD.P": ("BTC", "BTC", "USD"),
    "BINANCE:TUSDUSDT": ("TUSD", "TUSD", "USDT"),
    "BINANCE:TUSDT": ("T", "T", "USDT"),
    "BINANCE:FDUSDUSDT": ("FDUSD", "FDUSD", "USDT"),
    "BINANCE:BUSDUSDT": ("BUSD", "BUSD", "USDT"),
    "BINANCE:XUSDUSDT": ("XUSD", "XUSD", "USDT"),
    "BINANCE:AEURUSDT": ("AEUR", "AEUR", "USDT"),
    "BINANCE:RLUSDUSDT": ("RLUSD", "RLUSD", "USDT"),
    "BINANCE:WIFUSDT": ("WIF", "WIF", "USDT"),
    "BINANCE:1000PEPEUSDT.P": ("PEPE", "PEPE", "USDT"),
    "BINANCE:1INCHUSDT": ("1INCH", "1INCH", "USDT"),
    "BINANCE:0GUSDT": ("0G", "0G", "USDT"),
    "BINANCE:C98USDT": ("C98", "C98", "USDT"),
    "BINANCE:SIGNUSDT": ("SIGN", "SIGN", "USDT"),
    "BINANCE:PAXGUSDT": ("PAXG", "PAXG", "USDT"),
    "BINANCE:PLUMEUSDT": ("PLUME", "PLUME", "USDT"),
    "BINANCE:DOTUSD": ("DOT", "DOT", "USD"),
    "BINANCE:XAUTUSD": ("XAUT", "XAUT", "USD"),
    "BINANCE:USDTUSD": ("USDT", "USDT", "USD"),
    "BINANCE:WBETHUSDT": ("WBETH", "WBETH", "USDT"),
    "BINANCE:ETHBTC": ("ETH", "ETH", "BTC"),
    "COMEX:GC1!": ("GC", None, None),
    "COMEX:GCZ2025": ("GC", None, None),
    "FX_IDC:EURUSD": ("EURUSD", "EUR", "USD"),
    "OANDA:EURUSD": ("EURUSD", "EUR", "USD"),
    "AMEX:SPY": ("SPY.US", None, None),
}
KNOWN = ("T", "PEPE", "DOT")
REPRESENTATIVES = ENVIRONMENT.from_string(
    MACROS + "{{ representatives('given', ['economic_id', 'venue_class']) }}"
).render()
BENCH = duckdb.connect(":memory:")
USD_RANKS = {"USDT": 1, "USDC": 2, "FDUSD": 3, "TRY": None}


@pytest.fixture(scope="module")
def names() -> Pipeline:
    """Names of the tickers of the table, none of them described."""
    pipeline = Pipeline()
    for base in KNOWN:
        describe(pipeline, f"OKX:{base}USDC", type="spot", base_currency=base, currency="USDC")
    for symbol in TICKERS:
        describe(pipeline, symbol)
    describe(pipeline, "BINANCE:BTCUSDH25", type="futures")
    describe(pipeline, "BINANCE:XUSDT")
    return pipeline.build("symbols")


@pytest.mark.parametrize("symbol", TICKERS)
def test_a_ticker_without_metadata_gives_the_base_of_the_table(symbol: str, names: Pipeline) -> None:
    found = names.ask("select economic_id, base, quote from symbols where symbol = ?", symbol)
    assert found == [TICKERS[symbol]]


def test_a_multiplier_is_kept_beside_the_base(names: Pipeline) -> None:
    found = names.ask("select symbol, unit_multiplier from symbols where unit_multiplier <> 1")
    assert found == [("BINANCE:1000PEPEUSDT.P", 1000.0)]


def test_an_expiry_is_stripped_from_what_is_known_to_expire_alone(names: Pipeline) -> None:
    found = names.ask("select venue_class, base, quote from symbols where symbol = 'BINANCE:BTCUSDH25'")
    assert found == [("dated", "BTC", "USD")]


def test_a_single_letter_that_nobody_knows_is_ambiguous_and_no_candidate() -> None:
    pipeline = Pipeline()
    of = scanner()
    scan(pipeline, of, [{"s": "BINANCE:XUSDT", "type": "spot", "Value.Traded": 1e9, "Recommend.All": 0.5}])
    pipeline.build("scan_candidates")
    assert pipeline.ask("select is_kept, drop_stage, drop_reason from scan_candidates") == [
        (False, "exclusion", "IDENTITY_AMBIGUOUS")
    ]


def test_a_contract_for_difference_is_its_underlying_and_no_candidate() -> None:
    pipeline = Pipeline()
    of = scanner()
    for ticker in ("XAUUSD", "SPX500USD", "NOBODYKNOWS"):
        describe(pipeline, f"OANDA:{ticker}", type="cfd")
    describe(pipeline, "COMEX:GC1!", type="futures")
    scan(pipeline, of, [{"s": "OANDA:SPX500USD", "type": "cfd", "Value.Traded": 1e9, "Recommend.All": 0.5}])
    pipeline.build("scan_candidates")
    assert pipeline.ask("select symbol, economic_id, venue_class from symbols order by 1") == [
        ("COMEX:GC1!", "GC", "futures"),
        ("OANDA:NOBODYKNOWS", "NOBODYKNOWS", "cfd"),
        ("OANDA:SPX500USD", "ES", "cfd"),
        ("OANDA:XAUUSD", "XAUUSD", "cfd"),
    ]
    found = pipeline.ask("select is_kept, drop_stage, drop_reason from scan_candidates")
    assert [(kept, stage, "CFD_RESEARCH_ONLY:ES" in reason) for kept, stage, reason in found] == [
        (False, "exclusion", True)
    ]


def test_metadata_decide_before_the_ticker() -> None:
    pipeline = Pipeline()
    describe(pipeline, "BINANCE:ARBUSD", type="spot", base_currency="ARB", currency="USD")
    describe(pipeline, "OKX:ARUSDT", type="spot", base_currency="AR", currency="USDT")
    pipeline.build("symbols")
    assert pipeline.ask("select base, quote from symbols where symbol = 'BINANCE:ARBUSD'") == [("ARB", "USD")]


def test_the_real_variants_of_2022_give_the_right_bases(shared_data: Path) -> None:
    path = shared_data / "quote_variants_spot_2022" / "symbols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pipeline = Pipeline()
    truth = {}
    # Binance describes its listings; of Coinbase's nothing is known but the ticker
    for row in rows:
        symbol = f"{row['venue']}:{row['symbol']}"
        truth[symbol] = (row["base"], row["quote"])
        stated = {"base_currency": row["base"], "currency": row["quote"]} if row["venue"] == "BINANCE" else {}
        describe(pipeline, symbol, type="spot", **stated)
    pipeline.build("symbols")
    found = {symbol: (base, quote) for symbol, base, quote in pipeline.ask("select symbol, base, quote from symbols")}
    assert len(found) == len(rows) == 391
    assert {symbol: pair for symbol, pair in found.items() if pair != truth[symbol]} == {}


def groups(*listings: dict[str, Any]) -> Pipeline:
    """Identities of crypto listings with 40 bars each; a listing is symbol, base, quote, close and turnover."""
    pipeline = Pipeline()
    for one in listings:
        kind = "swap" if one["symbol"].endswith(".P") else "spot"
        describe(pipeline, one["symbol"], type=kind, base_currency=one["base"], currency=one["quote"])
        bars(pipeline, one["symbol"], close=one.get("close", 10.0), turnover=one["turnover"])
    return pipeline.build("symbol_identity")


def last(pipeline: Pipeline, columns: str) -> list[tuple[Any, ...]]:
    return pipeline.ask(
        f"select symbol, {columns} from symbol_identity where as_of_date = date '2025-02-28' order by symbol"
    )


def test_the_best_quote_that_is_liquid_enough_stands_for_its_group() -> None:
    found = groups(
        {"symbol": "BINANCE:AAUSDT", "base": "AA", "quote": "USDT", "turnover": 31e6},
        {"symbol": "BINANCE:AAUSDC", "base": "AA", "quote": "USDC", "turnover": 100e6},
        {"symbol": "BINANCE:BBUSDT", "base": "BB", "quote": "USDT", "turnover": 29e6},
        {"symbol": "BINANCE:BBUSDC", "base": "BB", "quote": "USDC", "turnover": 100e6},
    )
    assert last(found, "is_representative, kept_because, vt_rep, vt_group") == [
        ("BINANCE:AAUSDC", False, None, 100e6, 131e6),
        ("BINANCE:AAUSDT", True, "QUOTE", 31e6, 131e6),
        ("BINANCE:BBUSDC", True, "QUOTE", 100e6, 129e6),
        ("BINANCE:BBUSDT", False, None, 29e6, 129e6),
    ]
    [(alternatives,)] = found.ask(
        "select alternatives from symbol_identity where symbol = 'BINANCE:AAUSDT' and as_of_date = date '2025-02-28'"
    )
    assert json.loads(alternatives) == [
        {"symbol": "BINANCE:AAUSDC", "venue": "BINANCE", "type": "spot", "liquidity": 100e6}
    ]


def test_the_best_exchange_counts_from_half_the_liquidity_of_the_best() -> None:
    found = groups(
        {"symbol": "BINANCE:AAUSDT", "base": "AA", "quote": "USDT", "turnover": 51e6},
        {"symbol": "OKX:AAUSDT", "base": "AA", "quote": "USDT", "turnover": 100e6},
        {"symbol": "BINANCE:BBUSDT", "base": "BB", "quote": "USDT", "turnover": 49e6},
        {"symbol": "OKX:BBUSDT", "base": "BB", "quote": "USDT", "turnover": 100e6},
    )
    assert last(found, "kept_because") == [
        ("BINANCE:AAUSDT", "EXCHANGE"),
        ("BINANCE:BBUSDT", None),
        ("OKX:AAUSDT", None),
        ("OKX:BBUSDT", "LIQUIDITY"),
    ]


def test_spot_and_perpetual_of_one_base_are_two_groups() -> None:
    found = groups(
        {"symbol": "BINANCE:AAUSDT", "base": "AA", "quote": "USDT", "turnover": 5e6},
        {"symbol": "BINANCE:AAUSDT.P", "base": "AA", "quote": "USDT", "turnover": 100e6},
    )
    assert last(found, "identity_group, is_representative") == [
        ("BINANCE:AAUSDT", "AA:spot", True),
        ("BINANCE:AAUSDT.P", "AA:perp", True),
    ]


def test_turnover_that_is_not_in_dollars_is_not_compared() -> None:
    found = groups(
        {"symbol": "BINANCE:AAUSDT", "base": "AA", "quote": "USDT", "turnover": 5e6},
        {"symbol": "BINANCE:AATRY", "base": "AA", "quote": "TRY", "turnover": 900e6},
        {"symbol": "BINANCE:BBUSD.P", "base": "BB", "quote": "USD", "turnover": 900e6},
    )
    assert last(found, "is_representative, median_turnover, vt_rep") == [
        ("BINANCE:AATRY", False, 900e6, None),
        ("BINANCE:AAUSDT", True, 5e6, 5e6),
        ("BINANCE:BBUSD.P", True, 900e6, None),
    ]


def test_a_multiple_merges_only_where_its_price_is_that_multiple() -> None:
    found = groups(
        {"symbol": "BINANCE:PEPEUSDC.P", "base": "PEPE", "quote": "USDC", "turnover": 5e6, "close": 0.01},
        {"symbol": "BINANCE:1000PEPEUSDT.P", "base": "1000PEPE", "quote": "USDT", "turnover": 90e6, "close": 10.1},
        {"symbol": "BINANCE:BOBUSDT.P", "base": "BOB", "quote": "USDT", "turnover": 5e6, "close": 0.02},
        {"symbol": "BINANCE:1000000BOBUSDT.P", "base": "1000000BOB", "quote": "USDT", "turnover": 9e6, "close": 0.07},
    )
    assert last(found, "economic_id, is_representative") == [
        ("BINANCE:1000000BOBUSDT.P", "1000000BOB", True),
        ("BINANCE:1000PEPEUSDT.P", "PEPE", True),
        ("BINANCE:BOBUSDT.P", "BOB", True),
        ("BINANCE:PEPEUSDC.P", "PEPE", False),
    ]


def test_what_came_later_changes_no_identity_before_it() -> None:
    def history(extra: bool) -> list[tuple[Any, ...]]:
        pipeline = Pipeline()
        for symbol, quote, turnover in (("BINANCE:AAUSDT", "USDT", 40e6), ("BINANCE:AAUSDC", "USDC", 100e6)):
            describe(pipeline, symbol, type="spot", base_currency="AA", currency=quote)
            bars(pipeline, symbol, turnover=turnover)
        if extra:
            bars(pipeline, "BINANCE:AAUSDC", until=datetime(2025, 3, 30), count=30, turnover=900e6)
        pipeline.build("symbol_identity")
        return pipeline.ask("select * from symbol_identity where as_of_date <= date '2025-02-28' order by all")

    before = history(extra=False)
    assert history(extra=True) == before
    assert len(before) == 80


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=st.lists(
        st.tuples(
            st.sampled_from([*USD_RANKS]),
            st.sampled_from(["BINANCE", "OKX", "KRAKEN"]),
            st.sampled_from([None, 0.0, 1.0, 3.0, 5.0, 10.0]),
        ),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 99),
)
def test_who_stands_for_a_group_does_not_depend_on_order_and_follows_the_rules(
    members: list[tuple[str, str, float | None]], seed: int
) -> None:
    exchange_ranks = {"BINANCE": 1, "OKX": 2, "KRAKEN": None}
    rows = [
        (f"{exchange}:A{number}{quote}", exchange, USD_RANKS[quote], exchange_ranks[exchange], liquidity)
        for number, (quote, exchange, liquidity) in enumerate(members)
    ]
    answers = []
    for order in (rows, random.Random(seed).sample(rows, len(rows))):
        BENCH.execute(
            "create or replace table given (symbol varchar, exchange varchar, quote_rank integer,"
            " exchange_rank integer, liquidity double, venue_class varchar, economic_id varchar)"
        )
        BENCH.executemany("insert into given values (?, ?, ?, ?, ?, 'spot', 'A')", order)
        answers.append(BENCH.execute(f"select * from ({REPRESENTATIVES}) order by place").fetchall())
    assert answers[0] == answers[1]
    assert answers[0][0][0] == expected_representative(rows)


def expected_representative(rows: list[tuple[Any, ...]]) -> str:
    """The rules once more, in plain Python."""
    own = {row[0]: row[4] or 0.0 for row in rows}
    large = [row for row in rows if own[row[0]] >= 0.3 * max(own.values())]
    quote = min(row[2] or 999 for row in large)
    best = [row for row in large if (row[2] or 999) == quote]
    near = [row for row in best if own[row[0]] >= 0.5 * max(own[one[0]] for one in best)]
    exchange = min(row[3] or 999 for row in near)
    chosen = [row for row in near if (row[3] or 999) == exchange]
    return str(min(chosen, key=lambda row: (-own[row[0]], row[0]))[0])


def test_a_coin_at_a_dollar_for_ninety_bars_is_tagged_from_then_on_and_until_it_leaves() -> None:
    pipeline = Pipeline()
    for symbol, base in (("BINANCE:NEWDUSDT", "NEWD"), ("BINANCE:LOOSEUSDT", "LOOSE"), ("BINANCE:BTCUSDT", "BTC")):
        describe(pipeline, symbol, type="spot", base_currency=base, currency="USDT")
    start = datetime(2024, 6, 1)
    bars(pipeline, "BINANCE:NEWDUSDT", until=start + timedelta(days=199), count=200, close=1.0, wiggle=0.0005)
    # back above a dollar and a half: the median leaves the peg when 46 of 90 bars have
    bars(pipeline, "BINANCE:NEWDUSDT", until=start + timedelta(days=299), count=100, close=1.5, wiggle=0.0005)
    bars(pipeline, "BINANCE:LOOSEUSDT", until=start + timedelta(days=299), count=300, close=1.0, wiggle=0.004)
    bars(pipeline, "BINANCE:BTCUSDT", until=start + timedelta(days=299), count=300, close=60_000.0)
    pipeline.build("symbol_tags")
    found = pipeline.ask("select symbol, tag, origin, valid_from, valid_to from symbol_tags")
    # 90 bars end with the 90th; the jump on the 201st bar ends it, because the volatility is no peg's any more
    assert found == [
        ("BINANCE:NEWDUSDT", "PEGGED", "detector", start + timedelta(days=90), start + timedelta(days=201)),
    ]


@pytest.fixture(scope="module")
def pegged_market() -> Pipeline:
    """Tags over bars of the simulated market: gold, euro and dollar tokens, other coins, spot gold and EURUSD."""
    of_tokens = {"PAXG": 500, "XAUT": 0, "EURI": 500, "AEUR": 300, "EUR": 300, "USDC": 300, "BTC": 300, "LTC": 300}
    symbols = {f"BINANCE:{base}USDT": count for base, count in of_tokens.items()}
    market = Market(symbols=[*symbols, "OANDA:XAUUSD", "FX_IDC:EURUSD"])
    pipeline = Pipeline()
    for symbol in market.listings:
        ticker = symbol.split(":")[1]
        is_token = symbol in symbols
        stated = {
            "base_currency": ticker[:-4] if is_token else ticker[:3],
            "currency": ticker[-4 if is_token else -3 :],
        }
        kind = "spot" if is_token else "cfd" if ticker == "XAUUSD" else "forex"
        describe(pipeline, symbol, type=kind, at=datetime(2026, 1, 29), **stated)
        found = market.bars(symbol, "1D", market.end)
        found = found[np.flatnonzero(found.is_complete)][-(symbols.get(symbol) or 500) :]
        pipeline.connection.executemany(
            "insert into raw.bars values ('bars', 'tradingview', ?, '1d', 'none', ?, ?, ?, ?, ?, ?, ?, true, ?)",
            [
                (symbol, datetime.fromtimestamp(opened, UTC).replace(tzinfo=None), *prices, 1e6, 1e6,
                 datetime(2026, 1, 29))
                for opened, *prices in zip(
                    found.opened.tolist(), found.open.tolist(), found.high.tolist(), found.low.tolist(),
                    found.close.tolist(), strict=True,
                )
            ],
        )  # fmt: skip
    return pipeline.build("symbol_tags")


def test_what_stands_at_gold_and_at_the_euro_of_the_simulated_market_is_detected(pegged_market: Pipeline) -> None:
    found = pegged_market.ask("select distinct symbol, peg from peg_sessions order by all")
    # a dollar stands at a dollar; XAUT has no ninety bars yet
    assert found == [
        ("BINANCE:AEURUSDT", "EUR"),
        ("BINANCE:EURIUSDT", "EUR"),
        ("BINANCE:EURUSDT", "EUR"),
        ("BINANCE:PAXGUSDT", "GOLD"),
        ("BINANCE:USDCUSDT", "USD"),
    ]


def test_a_weekend_on_which_gold_and_the_euro_do_not_trade_ends_no_peg(pegged_market: Pipeline) -> None:
    found = pegged_market.ask(
        "select symbol, valid_to, dayname(valid_from) from symbol_tags where tag = 'PEGGED' order by all"
    )
    # ninety bars of a week of five days: one interval each, which the last Saturday of the market does not end
    assert [(symbol, end) for symbol, end, _ in found] == [
        (f"BINANCE:{base}USDT", None) for base in ("AEUR", "EURI", "EUR", "PAXG", "USDC")
    ]
    weekend = "select count(*) from peg_sessions where symbol = ? and isodow(session_date) > 5"
    assert all(pegged_market.ask(weekend, f"BINANCE:{base}USDT")[0][0] > 30 for base in ("EURI", "PAXG"))


def test_a_peg_without_a_price_for_a_week_is_known_no_more(pegged_market: Pipeline) -> None:
    """Without the gold of the last ten days PAXG keeps its tag over six of them."""
    last = pegged_market.ask("select max(session_date) from session_bars where symbol = 'OANDA:XAUUSD'")[0][0]
    stopped = Pipeline()
    for table in ("symbols", "seed_quotes"):
        stopped.give(table, "select 1")
        stopped.connection.register("rows", pegged_market.connection.table(table).to_arrow_table())
        stopped.connection.execute(f"create or replace table {table} as select * from rows")
    rows = pegged_market.connection.sql(
        "select * from session_bars where symbol = 'BINANCE:PAXGUSDT' or symbol = 'OANDA:XAUUSD'"
        f" and session_date <= date '{last - timedelta(days=10)}'"
    )
    stopped.connection.register("rows", rows.to_arrow_table())
    stopped.give("session_bars", "select * from rows")
    stopped.build("peg_sessions")
    assert stopped.ask("select max(session_date) from peg_sessions") == [(last - timedelta(days=4),)]


def test_a_token_is_leveraged_where_its_name_and_its_venue_say_so() -> None:
    pipeline = Pipeline()
    for base in ("BTCUP", "JUP", "ETHBEAR"):
        describe(pipeline, f"BINANCE:{base}USDT", type="spot", base_currency=base, currency="USDT")
    describe(pipeline, "BINANCE:SYRUPUSDT", type="spot", base_currency="SYRUP", currency="USDT", description="Syrup")
    limit(pipeline, "BINANCE:BTCUPUSDT", baseAsset="BTCUP", permissions=["LEVERAGED"])
    limit(pipeline, "BINANCE:JUPUSDT", baseAsset="JUP", permissions=["SPOT"])
    describe(pipeline, "OKX:ETHBEARUSDT", type="spot", base_currency="ETHBEAR", currency="USDT", description="3x short")
    pipeline.build("symbol_tags")
    assert pipeline.ask("select symbol, tag from symbol_tags order by 1") == [
        ("BINANCE:BTCUPUSDT", "LEVERAGED"),
        ("OKX:ETHBEARUSDT", "LEVERAGED"),
    ]


def test_a_scan_gives_a_symbol_without_bars_its_identity_at_the_next_close() -> None:
    pipeline = Pipeline()
    describe(pipeline, "BINANCE:AAUSDT", type="spot", base_currency="AA", currency="USDT", at=datetime(2025, 2, 27))
    scan(pipeline, scanner(), [coin("BINANCE:AAUSDT", "AA", "USDT", Value__Traded=7e6, close=10.0)])
    pipeline.build("symbol_identity")
    assert pipeline.ask("select as_of_date::varchar, known_at_utc > ?, median_turnover, vt_rep from symbol_identity",
                        NOW) == [("2025-03-01", True, None, 7e6)]  # fmt: skip
