"""The scanner over HTTP: filters, sorting, pages, columns, errors, as of any moment."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from market import CLOCK_HEADER, Venue
from market.clients import CLOCK, COLUMNS, get, rows, scan
from market.fields import known_fields, parse_field
from market.market import epoch
from market.scanner import MARKETS, OPERATIONS

SYMBOL = re.compile(r"^[A-Z0-9_]+:[A-Z0-9!._&-]+$")


def test_an_answer_has_a_count_and_rows_by_position(venue: Venue) -> None:
    answer = scan(venue).json()
    assert set(answer) == {"totalCount", "data"} and answer["totalCount"] == len(answer["data"]) > 30
    assert all(set(row) == {"s", "d"} and SYMBOL.match(row["s"]) for row in answer["data"])
    assert all(len(row["d"]) == len(COLUMNS) and row["d"][0] == row["s"].split(":")[1] for row in answer["data"])


@pytest.mark.parametrize("name", ["scan_america_2019_2rows.json", "scan_america_2026_5rows.json"])
def test_the_shape_is_that_of_real_answers(venue: Venue, shared_data: Path, name: str) -> None:
    real = json.loads((shared_data / "tradingview" / name).read_text(encoding="utf-8"))
    wanted = []
    for column in real["request_columns"]:
        try:
            parse_field(column)
            wanted.append(column)
        except ValueError:
            # figures from balance sheets, which the simulated companies do not have
            continue
    assert len(wanted) >= 16 and (len(wanted) == len(real["request_columns"]) or "2026" in name)
    answer = scan(venue, "america", columns=wanted).json()
    assert set(real["response"]) - {"totalCount"} <= set(answer)
    row = real["response"]["data"][0]
    values = dict(zip(real["request_columns"], row["d"], strict=True))
    mine = next(one for one in answer["data"] if one["s"] == "NYSE:BRK.B")
    for column, value in zip(wanted, mine["d"], strict=True):
        assert isinstance(value, str) == isinstance(values[column], str), column


def test_a_range_is_half_open_and_pages_join(venue: Venue) -> None:
    sort = {"sortBy": "Value.Traded", "sortOrder": "desc"}
    whole = list(rows(scan(venue, sort=sort)))
    parts = [list(rows(scan(venue, sort=sort, range=[start, start + 10]))) for start in range(0, 60, 10)]
    assert [len(part) for part in parts[:3]] == [10, 10, 10] and [symbol for part in parts for symbol in part] == whole
    assert rows(scan(venue, range=[1000, 1010])) == {}
    assert scan(venue, range=[1000, 1010]).json()["totalCount"] == len(whole)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_rows_are_sorted_with_missing_values_last(venue: Venue, order: str) -> None:
    sort = {"sortBy": "Perf.Y", "sortOrder": order}
    found = [row[0] for row in rows(scan(venue, columns=["Perf.Y"], sort=sort)).values()]
    there = [value for value in found if value is not None]
    assert len(there) < len(found) and found[: len(there)] == sorted(there, reverse=order == "desc")


def test_floors_types_and_currencies_filter(venue: Venue) -> None:
    columns = ("type", "currency", "Value.Traded", "close")
    conditions = [
        ("type", "equal", "spot"),
        ("currency", "in_range", ["USDT", "USDC"]),
        ("Value.Traded", "greater", 5e7),
    ]
    found = rows(scan(venue, filters=conditions, columns=columns))
    assert found and all(t == "spot" and q in ("USDT", "USDC") and v > 5e7 for t, q, v, _ in found.values())
    every = rows(scan(venue, columns=columns))
    expected = {s for s, (t, q, v, _) in every.items() if t == "spot" and q in ("USDT", "USDC") and v > 5e7}
    assert set(found) == expected and len(expected) < len(every)


def _holds(operation: str, left: float, right: float | list[float]) -> bool:
    return {
        "greater": lambda: left > right, "egreater": lambda: left >= right, "less": lambda: left < right,
        "eless": lambda: left <= right, "equal": lambda: left == right, "nequal": lambda: left != right,
        "above": lambda: left > right, "below": lambda: left < right, "in_range": lambda: right[0] <= left <= right[1],
        "not_in_range": lambda: not right[0] <= left <= right[1],
    }[operation]()  # fmt: skip


@pytest.mark.parametrize("operation", [*OPERATIONS[:8], "above", "below"])
def test_numbers_compare(venue: Venue, operation: str) -> None:
    every = {s: row[0] for s, row in rows(scan(venue, columns=["ADX"])).items()}
    middle = sorted(value for value in every.values() if value is not None)[len(every) // 3]
    right = [middle, middle * 1.5] if operation.endswith("in_range") else middle
    found = rows(scan(venue, columns=["ADX"], filters=[("ADX", operation, right)]))
    assert set(found) == {s for s, value in every.items() if value is not None and _holds(operation, value, right)}
    # a missing value never passes
    assert None not in {row[0] for row in found.values()} and None in set(every.values())


def test_a_field_compares_with_another_field(venue: Venue) -> None:
    found = rows(scan(venue, columns=["EMA20", "EMA50"], filters=[("EMA20", "greater", "EMA50")]))
    assert found and all(fast > slow for fast, slow in found.values())


def test_codes_are_a_set_and_no_range(venue: Venue) -> None:
    found = rows(scan(venue, "america", columns=["category"], filters=[("category", "in_range", [8, 58])]))
    assert set(found) == {"AMEX:GLD", "NASDAQ:TLT"}


def test_the_other_operations_hold(venue: Venue) -> None:
    def symbols(*condition: object, market: str = "crypto") -> set[str]:
        return set(rows(scan(venue, market, filters=[condition])))

    every = set(rows(scan(venue)))
    assert symbols("typespecs", "has", ["perpetual"]) == {s for s in every if s.endswith(".P")}
    assert symbols("typespecs", "has_none_of", ["perpetual"]) == {s for s in every if not s.endswith(".P")}
    assert symbols("name", "match", "pepe") == {"BINANCE:PEPEUSDT", "BINANCE:1000PEPEUSDT.P"}
    assert symbols("name", "nmatch", "pepe") == every - symbols("name", "match", "pepe")
    young = symbols("Perf.Y", "empty")
    assert "BINANCE:FOGOUSDT" in young and symbols("Perf.Y", "nempty") == every - young
    crossed = symbols("close", "crosses", "EMA20")
    assert crossed == symbols("close", "crosses_above", "EMA20") | symbols("close", "crosses_below", "EMA20")
    assert symbols("type", "not_in_range", ["spot"]) == {s for s in every if s.endswith(".P")}
    assert symbols("indexes", "has", ["SP:SPX"], market="america") == {"NASDAQ:NVDA", "NASDAQ:PLTR", "NYSE:BRK.B"}


def test_a_nested_condition_holds(venue: Venue) -> None:
    either = {
        "operator": "or",
        "operands": [
            {"expression": {"left": "name", "operation": "equal", "right": "BTCUSDT"}},
            {"expression": {"left": "name", "operation": "equal", "right": "ETHUSDT"}},
        ],
    }
    assert set(rows(scan(venue, filter2=either))) == {"BINANCE:BTCUSDT", "BINANCE:ETHUSDT"}


def test_exact_tickers_are_looked_up_in_their_order(venue: Venue) -> None:
    asked = ["AMEX:SPY", "AMEX:NOPE", "AMEX:GLD"]
    found = rows(scan(venue, "america", symbols={"query": {"types": []}, "tickers": asked}))
    assert list(found) == ["AMEX:SPY", "AMEX:GLD"]
    assert set(rows(scan(venue, "america", symbols={"query": {"types": ["stock"]}}))) == {
        "NASDAQ:NVDA",
        "NASDAQ:PLTR",
        "NYSE:BRK.B",
    }
    inside = {"symbolset": ["SYML:SP;SPX"]}
    assert set(rows(scan(venue, "america", symbols=inside, clock="2024-08-15T00:10:00Z"))) == {
        "NASDAQ:NVDA",
        "NYSE:BRK.B",
    }


def test_an_unknown_column_is_named(venue: Venue) -> None:
    for answer in (
        scan(venue, columns=["name", "Recommend.Everything"]),
        scan(venue, filters=[("Recommend.Everything", "greater", 0)]),
        scan(venue, sort={"sortBy": "Recommend.Everything", "sortOrder": "asc"}),
        get(venue, "/symbol", symbol="AMEX:SPY", fields="name,Recommend.Everything"),
    ):
        assert answer.status_code == 400 and "Recommend.Everything" in answer.json()["error"]
    assert scan(venue, columns=["sector|240"]).status_code == 400
    assert scan(venue, columns=["ADX|720"]).status_code == 400


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", '{"columns": 3}', '{"filter": {"a": 1}}', '{"range": [0]}', '{"range": [0, -5]}',
     '{"sort": {"sortBy": "name", "sortOrder": "up"}}',
     '{"filter": [{"left": "ADX", "operation": "near", "right": 1}]}',
     '{"filter": [{"left": "ADX", "operation": "greater", "right": null}]}', '{"symbols": {"tickers": "AMEX:SPY"}}'],
)  # fmt: skip
def test_a_malformed_body_is_refused(venue: Venue, body: str) -> None:
    answer = requests.post(f"{venue.http_url}/crypto/scan", data=body, headers={CLOCK_HEADER: CLOCK}, timeout=10)
    if body:
        assert answer.status_code == 400 and answer.json()["data"] is None
    else:
        assert answer.status_code == 200


def test_unknown_markets_do_not_exist_and_known_ones_may_be_empty(venue: Venue) -> None:
    assert scan(venue, "atlantis").status_code == 404
    for market in MARKETS:
        assert scan(venue, market).status_code == 200
    assert scan(venue, "futures").json() == {"totalCount": 0, "data": []}
    everywhere = rows(scan(venue, "global", columns=["name"]))
    assert {"AMEX:SPY", "BINANCE:BTCUSDT", "FX_IDC:EURUSD"} <= set(everywhere)
    assert get(venue, "/crypto/scan").status_code == 405


def test_one_symbol_is_a_flat_object(venue: Venue) -> None:
    fields = "name,close,Recommend.All|240,category,timezone,session,pricescale,minmov,base_currency"
    found = get(venue, "/symbol", symbol="AMEX:GLD", fields=fields, no_404="false").json()
    assert list(found) == fields.split(",") and found["category"] == 8 and found["base_currency"] is None
    assert (found["timezone"], found["session"], found["pricescale"], found["minmov"]) == (
        "America/New_York",
        "0930-1600",
        100,
        1,
    )
    assert get(venue, "/symbol", symbol="AMEX:NOPE", fields="name").status_code == 404
    assert get(venue, "/symbol", symbol="AMEX:NOPE", fields="name", no_404="true").json() == {}
    # a fund under another exchange's name leads to the real listing
    assert get(venue, "/symbol", symbol="AMEX:TLT", fields="name,exchange").json() == {
        "name": "TLT",
        "exchange": "NASDAQ",
    }


def test_what_is_listed_is_what_traded_at_the_moment(venue: Venue) -> None:
    early, late = (set(rows(scan(venue, clock=clock))) for clock in ("2024-09-01T00:10:00Z", "2026-01-29T00:10:00Z"))
    assert "BINANCE:MATICUSDT" in early - late and "BINANCE:FOGOUSDT" in late - early
    assert "BINANCE:FLMUSDT" in early - late


def test_the_scanner_is_a_quarter_of_an_hour_late_and_the_bars_are_not(venue: Venue) -> None:
    """Ten minutes after midnight it still shows the day that ended."""
    close, volume, mode = rows(scan(venue, columns=["close", "volume", "update_mode"]))["BINANCE:BTCUSDT"]
    moment = epoch(datetime(2026, 1, 28, 23, 55, tzinfo=UTC))
    bar = venue.market.bars("BINANCE:BTCUSDT", "1D", moment)[-1:]
    assert (close, volume) == (bar.close[0], pytest.approx(bar.volume[0])) and not bar.is_complete[0]
    assert mode == "delayed_streaming_900"


def test_fields_of_other_resolutions_are_those_of_their_bars(venue: Venue) -> None:
    columns = ["close|1W", "open|1W", "high|1M", "close|240", "open|60", "volume|1W", "close[1]", "close[1]|1W"]
    found = rows(scan(venue, columns=columns))["BINANCE:ETHUSDT"]
    moment = epoch(datetime(2026, 1, 28, 23, 55, tzinfo=UTC))
    weeks, months, fours, hours, days = (
        venue.market.bars("BINANCE:ETHUSDT", timeframe, moment) for timeframe in ("1W", "1M", "240", "60", "1D")
    )
    expected = [
        weeks.close[-1], weeks.open[-1], months.high[-1], fours.close[-1], hours.open[-1], weeks.volume[-1],
        days.close[-2], weeks.close[-2],
    ]  # fmt: skip
    assert found == pytest.approx(expected)


def test_performance_looks_back_by_calendar_days(venue: Venue) -> None:
    columns = ["Perf.W", "Perf.1M", "Perf.Y", "Perf.YTD", "change"]
    found = rows(scan(venue, columns=columns, clock="2026-01-29T00:14:00Z"))["BINANCE:ETHUSDT"]
    bars = venue.market.bars("BINANCE:ETHUSDT", "1D", epoch(datetime(2026, 1, 28, 23, 59, tzinfo=UTC)))

    def against(year: int, month: int, day: int) -> float:
        then = bars.close[bars.opened == epoch(datetime(year, month, day, tzinfo=UTC))][0]
        return 100 * (bars.close[-1] / then - 1)

    expected = [against(2026, 1, 21), against(2025, 12, 28), against(2025, 1, 28), against(2025, 12, 31)]
    assert found == pytest.approx([*expected, 100 * (bars.close[-1] / bars.close[-2] - 1)])


def test_a_price_of_the_past_is_the_one_that_was_seen(venue: Venue) -> None:
    before, after = (
        rows(scan(venue, "america", columns=["close", "EMA20", "volume"], clock=clock))["NASDAQ:NVDA"]
        for clock in ("2024-06-08T00:10:00Z", "2024-06-11T00:10:00Z")
    )
    assert 8 < before[0] / after[0] < 12 and 8 < before[1] / after[1] < 12


def test_every_field_answers_in_every_market(venue: Venue) -> None:
    """Each field of each kind gives a value or null, never an error."""
    columns = known_fields() + [f"Recommend.All|{tf}" for tf in ("1", "5", "15", "30", "60", "120", "240", "1W", "1M")]
    for market in ("crypto", "america", "forex"):
        found = rows(scan(venue, market, columns=columns))
        assert all(len(row) == len(columns) for row in found.values())
    filled = dict(zip(columns, rows(scan(venue, "america", columns=columns))["AMEX:GLD"], strict=True))
    empty = {name for name, value in filled.items() if value is None}
    assert empty <= {
        "base_currency", "base_currency_id", "dividend_yield_recent", "market_cap_calc", "market_cap_basic",
        "expiration",
        "root", "Pivot.M.Demark.R2", "Pivot.M.Demark.R3", "Pivot.M.Demark.S2", "Pivot.M.Demark.S3",
    }  # fmt: skip


def test_bounds_of_indicators_hold(venue: Venue) -> None:
    columns = [
        "Recommend.All",
        "Recommend.MA|1W",
        "Recommend.Other|240",
        "RSI",
        "ADX",
        "Stoch.K",
        "UO",
        "W.R",
        "Volatility.D",
    ]
    found = [row for market in ("crypto", "america") for row in rows(scan(venue, market, columns=columns)).values()]
    limits = [(-1, 1)] * 3 + [(0, 100)] * 4 + [(-100, 0), (0, 1000)]
    for at, (low, high) in enumerate(limits):
        there = [row[at] for row in found if row[at] is not None]
        assert len(there) > 20 and all(low <= value <= high for value in there), columns[at]


def test_volume_first_finds_what_performance_first_buries(venue: Venue) -> None:
    """The best month belongs to the leveraged twin; sorted by turnover both it and its plain neighbours are found."""
    columns = ["Perf.1M", "Value.Traded", "category"]
    found = rows(scan(venue, "america", columns=columns, clock="2026-01-30T00:10:00Z"))
    assert found["CBOE:ASTX"][0] > 150 and found["AMEX:SHLD"][0] > 5 and found["AMEX:SHLD"][2] == 27
    pumped = rows(scan(venue, columns=["ROC", "Recommend.All"]))["BINANCE:FHEUSDT.P"]
    assert pumped[0] > 100 and pumped[1] > 0


def test_the_clock_has_to_be_a_moment(venue: Venue) -> None:
    answer = scan(venue, clock="yesterday")
    assert answer.status_code == 400 and CLOCK_HEADER in answer.json()["error"]
    # without a clock the venue's own holds
    plain = requests.post(f"{venue.http_url}/crypto/scan", json={"columns": ["close"]}, timeout=10)
    assert plain.status_code == 200 and venue.requests_log[-1].moment == venue.clock


def test_values_move_with_the_clock(venue: Venue) -> None:
    clocks = [f"2026-01-28T{hour:02d}:30:00Z" for hour in (6, 12, 18)]
    volumes = [rows(scan(venue, columns=["volume"], clock=clock))["BINANCE:BTCUSDT"][0] for clock in clocks]
    assert all(first < second for first, second in pairwise(volumes))
