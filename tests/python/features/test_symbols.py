"""Metadata in one vocabulary, trading limits by interval, coverage, and what a vendor said of features."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from python.features.landed import NOW, bars, coin, describe, limit, scan, scanner
from python.features.pipeline import SEEDS, Pipeline

from ingest.exchanges import EXCHANGES

FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
    {"filterType": "LOT_SIZE", "minQty": "0.00010000", "stepSize": "0.00001000"},
    {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
]


def test_the_seed_of_exchanges_is_what_ingest_knows_of_them() -> None:
    with SEEDS["seed_exchanges"].open(encoding="utf-8", newline="") as file:
        seeded = {row.pop("exchange"): row for row in csv.DictReader(file)}
    assert {
        name: {
            "timezone": one.timezone, "calendar_id": one.calendar_id, "asset_class": one.asset_class,
            "region": one.region, "country": one.country or "",
        }
        for name, one in EXCHANGES.items()
    } == {name: {key: row[key] for key in row if key != "priority"} for name, row in seeded.items()}  # fmt: skip


SPOT = {"type": "spot", "base_currency": "BTC", "currency": "USDT", "pricescale": 100, "minmov": 1}
# symbol, payload: profile, asset class, kind of venue, calendar, time zone, session, tick, decimals
DESCRIBED: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("BINANCE:BTCUSDT", {**SPOT, "timezone": "Etc/UTC", "session": "24x7"},
     ("CRYPTO", "crypto", "spot", "24/7", "UTC", "24x7", 0.01, 2)),
    ("BINANCE:BTCUSDT.P", {**SPOT, "type": "swap"}, ("CRYPTO", "crypto", "perp", "24/7", "UTC", "24x7", 0.01, 2)),
    ("BINANCE:BTCUSDT_250328", {**SPOT, "type": "futures"},
     ("CRYPTO", "crypto", "dated", "24/7", "UTC", "24x7", 0.01, 2)),
    ("COINBASE:BTCUSD", {"type": "spot"}, ("CRYPTO", "crypto", "spot", "24/7", "UTC", "24x7", None, None)),
    ("AMEX:SPY", {"type": "fund", "subtype": "etf", "pricescale": 100, "minmov": 1, "timezone": "America/New_York",
                  "session": "0930-1600"},
     ("EQUITY", "etf", "listed", "XNYS", "America/New_York", "0930-1600", 0.01, 2)),
    ("NYSE:JPM", {"type": "stock", "timezone": "Nowhere/City", "session": "24x7"},
     ("EQUITY", "equity", "listed", "XNYS", "America/New_York", "0930-1600", None, None)),
    ("NSE:NIFTY", {"type": "index"}, ("EQUITY", "index", "listed", "XBOM", "Asia/Kolkata", "Unknown", None, None)),
    ("CBOT:ZC1!", {"type": "futures", "pricescale": 4, "minmov": 1},
     ("FUTURES", "futures", "futures", "CMES", "America/Chicago", "Unknown", 0.25, None)),
    ("FX_IDC:USDJPY", {"type": "forex", "pricescale": 1000, "minmov": 5},
     ("FOREX", "forex", "forex", "24/5", "America/New_York", "1700-1700", 0.005, 3)),
    ("OANDA:XAUUSD", {"type": "cfd"}, ("FOREX", "forex", "cfd", "24/5", "America/New_York", "1700-1700", None, None)),
]  # fmt: skip


@pytest.fixture(scope="module")
def described() -> Pipeline:
    pipeline = Pipeline()
    for symbol, payload, _ in DESCRIBED:
        describe(pipeline, symbol, **payload)
    describe(pipeline, "MOON:X", type="stock")
    return pipeline.build("execution_limits")


@pytest.mark.parametrize(("symbol", "expected"), [(symbol, expected) for symbol, _, expected in DESCRIBED])
def test_a_vendor_record_becomes_a_description(symbol: str, expected: tuple[Any, ...], described: Pipeline) -> None:
    columns = "profile, asset_class, venue_class, calendar_id, timezone, session, tick_size, price_precision"
    assert described.ask(f"select {columns} from symbols where symbol = ?", symbol) == [expected]


def test_an_exchange_that_nobody_knows_gets_no_calendar_of_another(described: Pipeline) -> None:
    assert described.ask("select calendar_id from symbol_descriptions where symbol = 'MOON:X'") == [(None,)]
    assert described.ask("select count(*) from symbols where symbol = 'MOON:X'") == [(0,)]


def test_a_record_of_our_own_keeps_its_words() -> None:
    pipeline = Pipeline()
    own = {"asset_class": "etf", "asset_type": "fund", "venue_class": "exchange", "quote": "USD", "region": "US",
           "calendar_id": "XNYS", "timezone": "America/New_York", "economic_id": "MTUM.US",
           "tick_size": 0.01}  # fmt: skip
    describe(pipeline, "CBOE:MTUM", **own)
    pipeline.build("symbols")
    columns = ", ".join(own)
    assert pipeline.ask(f"select {columns} from symbols") == [tuple(own.values())]


def test_intervals_of_a_symbol_leave_no_hole_and_end_in_one_open_row() -> None:
    pipeline = Pipeline()
    bars(pipeline, "BINANCE:BTCUSDT", count=5)
    for day, description in ((1, "Bitcoin"), (2, "Bitcoin"), (3, "BTC"), (5, "Bitcoin")):
        describe(pipeline, "BINANCE:BTCUSDT", **SPOT, description=description, at=datetime(2025, 3, day))
    limit(pipeline, "BINANCE:BTCUSDT", status="BREAK", at=datetime(2025, 3, 4))
    pipeline.build("symbols")
    found = pipeline.ask("select valid_from, valid_to, description, is_active from symbols order by valid_from")
    assert found == [
        (datetime(2025, 2, 24), datetime(2025, 3, 3), "Bitcoin", True),
        (datetime(2025, 3, 3), datetime(2025, 3, 4), "BTC", True),
        (datetime(2025, 3, 4), datetime(2025, 3, 5), "BTC", False),
        (datetime(2025, 3, 5), None, "Bitcoin", False),
    ]


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BINANCE:BTCUSDT", (1e-8, 0.001, 0.001, 5.0, 0.001, 0.001, 8)),
        ("BINANCE:BTCUSDT.P", (0.01, 0.001, 0.001, 5.0, 0.0002, 0.0005, 2)),
        ("FX_IDC:USDJPY", (1e-3, 1000.0, 1000.0, 0.0, 0.0, 0.0, 3)),
        ("AMEX:SPY", (0.01, 1.0, 1.0, 0.0, 0.0, 0.0, 2)),
        ("CBOT:ZC1!", (0.01, 1.0, 1.0, 0.0, 0.0, 0.0, 2)),
    ],
)
def test_without_a_word_of_the_venue_limits_are_the_flagged_defaults(
    symbol: str, expected: tuple[float, ...], described: Pipeline
) -> None:
    columns = "tick_size, lot_size, step_size, min_notional, maker_fee, taker_fee, price_precision, source"
    assert described.ask(f"select {columns} from execution_limits where symbol = ?", symbol) == [(*expected, "default")]


def test_an_index_is_not_traded_and_has_no_limits(described: Pipeline) -> None:
    assert described.ask("select count(*) from execution_limits where symbol = 'NSE:NIFTY'") == [(0,)]


def test_limits_of_a_venue_are_versions_and_confirmed_by_equal_answers() -> None:
    pipeline = Pipeline()
    bars(pipeline, "BINANCE:BTCUSDT", count=5)
    describe(pipeline, "BINANCE:BTCUSDT", **SPOT, at=datetime(2025, 2, 26))
    finer = [{**FILTERS[0], "tickSize": "0.00100000"}, *FILTERS[1:]]
    for day, filters in ((1, FILTERS), (2, FILTERS), (3, finer), (4, None)):
        answer = {"status": "TRADING", "filters": filters} if filters else {"status": "BREAK"}
        limit(pipeline, "BINANCE:BTCUSDT", **answer, at=datetime(2025, 3, day), load_id=f"l{day}")
    pipeline.build("execution_limits")
    columns = (
        "tick_size, lot_size, step_size, min_notional, price_precision, source, observed_at_utc, valid_from, valid_to"
    )
    assert pipeline.ask(f"select {columns} from execution_limits order by valid_from") == [
        (0.01, 1e-4, 1e-5, 5.0, 2, "exchange", datetime(2025, 3, 2), datetime(2025, 2, 24), datetime(2025, 3, 3)),
        (0.001, 1e-4, 1e-5, 5.0, 3, "exchange", datetime(2025, 3, 3), datetime(2025, 3, 3), None),
    ]


def test_the_least_order_of_a_perpetual_is_its_notional() -> None:
    pipeline = Pipeline()
    describe(pipeline, "BINANCE:BTCUSDT.P", **{**SPOT, "type": "swap"})
    filters = [*FILTERS[:2], {"filterType": "MIN_NOTIONAL", "notional": "100"}]
    limit(pipeline, "BINANCE:BTCUSDT.P", filters=filters, contractType="PERPETUAL")
    pipeline.build("execution_limits")
    assert pipeline.ask("select min_notional, source from execution_limits") == [(100.0, "exchange")]


@pytest.mark.parametrize(("silent", "expected"), [(1, (20, 0.95, True)), (2, (20, 0.9, False))])
def test_coverage_is_the_share_of_candidates_whose_venue_has_spoken(silent: int, expected: tuple[Any, ...]) -> None:
    pipeline = Pipeline()
    bases = [f"C{chr(65 + number)}" for number in range(20)]
    for base in bases:
        described = {"type": "spot", "base_currency": base, "currency": "USDT", "at": datetime(2025, 2, 1)}
        describe(pipeline, f"BINANCE:{base}USDT", **described)
    for base in bases[silent:]:
        limit(pipeline, f"BINANCE:{base}USDT", filters=FILTERS)
    rows = [coin(f"BINANCE:{base}USDT", base, "USDT", Value__Traded=9e6, Recommend__All=0.1) for base in bases]
    # an older scan, and a reject of the newest one, count for nothing
    reject = coin("BINANCE:ZZUSDT", "ZZ", "USDT", Value__Traded=1.0, Recommend__All=0.1)
    scan(pipeline, scanner(), [coin("BINANCE:OLDUSDT", "OLD", "USDT", Value__Traded=9e6)], at=datetime(2025, 2, 1))
    scan(pipeline, scanner(), [*rows, reject])
    pipeline.build("metadata_coverage")
    columns = "candidate_count, coverage, is_coverage_met"
    assert pipeline.ask(f"select distinct {columns} from metadata_coverage") == [expected]
    assert pipeline.ask("select count(*) from metadata_coverage where not is_covered") == [(silent,)]


def say(
    pipeline: Pipeline,
    load_id: str,
    at: datetime,
    symbols: Sequence[str] = ("NYSE:JPM", "BINANCE:BTCUSDT"),
    **values: float,
) -> None:
    """Land an answer of the vendor about these symbols."""
    pipeline.land(
        "raw.vendor_features",
        [
            {"load_id": load_id, "row_number": number, "symbol": symbol, "payload": values, "received_at_utc": at}
            for number, symbol in enumerate(symbols, start=1)
        ],
    )


def another_day(pipeline: Pipeline) -> None:
    say(pipeline, "c", datetime(2025, 3, 3, 22), RSI=51.0, ADX=9.0)


def a_second_answer(pipeline: Pipeline) -> None:
    say(pipeline, "d", datetime(2025, 2, 27, 21, 30), RSI=77.0)


def another_calendar(pipeline: Pipeline) -> None:
    describe(pipeline, "NYSE:JPM", type="stock", calendar_id="24/7", at=NOW + timedelta(days=1))


def another_symbol_is_described(pipeline: Pipeline) -> None:
    describe(pipeline, "NYSE:LATE", type="stock", at=NOW + timedelta(days=1))


@pytest.mark.parametrize("later", [another_day, a_second_answer, another_calendar, another_symbol_is_described])
def test_features_that_are_added_give_the_rows_of_a_rebuild(later: Callable[[Pipeline], None]) -> None:
    def first(pipeline: Pipeline) -> None:
        describe(pipeline, "NYSE:JPM", type="stock")
        describe(pipeline, "BINANCE:BTCUSDT", **SPOT)
        say(pipeline, "a", datetime(2025, 2, 27, 21, 30), RSI=44.0, ADX=20.0)
        say(pipeline, "b", datetime(2025, 2, 28, 21, 30), RSI=45.0)
        say(pipeline, "l", datetime(2025, 2, 28, 21, 30), ["NYSE:LATE"], RSI=46.0)

    def rows(pipeline: Pipeline) -> list[tuple[Any, ...]]:
        return pipeline.ask("select * from vendor_features order by all")

    grown, rebuilt = Pipeline(), Pipeline()
    first(grown)
    grown.build("vendor_features")
    before = rows(grown)
    later(grown)
    grown.build_again("vendor_features")
    for land in (first, later):
        land(rebuilt)
    rebuilt.build("vendor_features")
    assert rows(grown) == rows(rebuilt)
    assert rows(grown) != before


def test_features_of_symbols_that_nobody_describes_are_kept_and_say_so() -> None:
    pipeline = Pipeline()
    describe(pipeline, "NYSE:JPM", type="stock")
    # known to nobody, on an exchange without a calendar, and asked for before there was a session
    describe(pipeline, "MOON:X", type="stock")
    say(pipeline, "a", datetime(2025, 2, 27, 21, 30), ["NYSE:JPM", "NYSE:WHO", "MOON:X"], RSI=44.0, ADX=20.0)
    say(pipeline, "b", datetime(1971, 1, 1), ["NYSE:JPM"], RSI=44.0)
    pipeline.build("vendor_features")
    columns = "symbol, status, session_date::varchar, is_intrabar, count(*), sum(value)"
    assert pipeline.ask(f"select {columns} from vendor_features group by all order by all") == [
        ("MOON:X", "NOT_DESCRIBED", None, None, 2, 64.0),
        ("NYSE:JPM", "BEFORE_CALENDAR", None, None, 1, 44.0),
        ("NYSE:JPM", "OK", "2025-02-27", False, 2, 64.0),
        ("NYSE:WHO", "NOT_DESCRIBED", None, None, 2, 64.0),
    ]


def test_features_that_were_read_are_not_read_again() -> None:
    pipeline = Pipeline()
    describe(pipeline, "BINANCE:BTCUSDT", **SPOT)
    say(pipeline, "a", datetime(2025, 2, 27, 21, 30), RSI=44.0)
    pipeline.build("vendor_features")
    # a mark that only reading takes away
    pipeline.connection.execute("alter table vendor_features add column mark varchar")
    pipeline.connection.execute("update vendor_features set mark = 'old'")
    another_day(pipeline)
    pipeline.build_again("vendor_features")
    marks = "select distinct observed_at_utc::date::varchar, mark from vendor_features order by all"
    assert pipeline.ask(marks) == [("2025-02-27", "old"), ("2025-03-03", None)]
    pipeline.code = "another version"
    pipeline.build_again("vendor_features")
    assert pipeline.ask(marks) == [("2025-02-27", None), ("2025-03-03", None)]


def test_features_are_long_named_and_marked_while_their_bar_is_open() -> None:
    pipeline = Pipeline()
    describe(pipeline, "NYSE:JPM", type="stock")
    describe(pipeline, "BINANCE:BTCUSDT", **SPOT)
    payload = {"Recommend.All": 0.2, "Recommend.All|240": -0.1, "RSI|1W": 55, "ADX|1M": 20.5, "name": "X", "ROC": None}
    # a Thursday after the close of New York, and the Friday that ends a week and a month there
    for at in (datetime(2025, 2, 27, 21, 30), datetime(2025, 2, 28, 22, 0)):
        pipeline.land(
            "raw.vendor_features",
            [
                {
                    "load_id": f"{at:%d}",
                    "row_number": number,
                    "symbol": symbol,
                    "payload": payload,
                    "received_at_utc": at,
                }
                for number, symbol in enumerate(("NYSE:JPM", "BINANCE:BTCUSDT"), start=1)
            ],
        )
    pipeline.build("vendor_features")
    found = pipeline.ask(
        "select timeframe, feature, value, is_intrabar from vendor_features where symbol = 'NYSE:JPM'"
        " and observed_at_utc = timestamp '2025-02-27 21:30' order by feature, timeframe"
    )
    assert found == [
        ("1M", "adx", 20.5, True),
        ("1d", "recommend_all", 0.2, False),
        ("4h", "recommend_all", -0.1, False),
        ("1W", "rsi", 55.0, True),
    ]
    open_bars = "select symbol, list(timeframe order by timeframe) from vendor_features where is_intrabar"
    friday = f"{open_bars} and observed_at_utc = timestamp '2025-02-28 22:00' group by symbol"
    assert pipeline.ask(friday) == [("BINANCE:BTCUSDT", ["1M", "1W", "1d", "4h"])]
    dates = "select distinct session_date::varchar from vendor_features where symbol = 'NYSE:JPM' order by 1"
    assert pipeline.ask(dates) == [("2025-02-27",), ("2025-02-28",)]
