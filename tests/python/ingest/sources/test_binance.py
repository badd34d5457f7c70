"""Binance over REST: which ticker is asked for, how pages follow each other, what errors mean, what rows become."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Asked, Given, closed_port, given_json, web_service
from quantmill.errors import UsageError

from ingest.answers import BAR_COLUMNS, ROW_COLUMNS, Answer
from ingest.readers import read, refusal
from ingest.sources.binance import Interface, Market, binance_ticker, fetch_klines, fetch_limits, read_klines
from ingest.sources.common import BarRequest, pages_payload
from ingest.transport import Pacing, Transport

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
PAGE_ROWS: dict[Market, int] = {"spot": 1000, "usdm": 1500, "coinm": 1500}
DAY = 86_400_000


def kline(opened: int, close: float = 1.5) -> list[Any]:
    return [opened, "1.0", "2.0", "0.5", str(close), "10.0", opened + DAY - 1, "15.0", 7, "5.0", "7.5", "0"]


def klines(first: int, last: int, limit: int) -> list[list[Any]]:
    """Return the daily klines of a market that never closes."""
    start = -(-first // DAY) * DAY
    return [kline(opened) for opened in range(start, last + 1, DAY)][:limit]


def venue(asked: Asked) -> Given:
    query = asked.query
    return given_json(klines(int(query["startTime"]), int(query["endTime"]), int(query["limit"])))


def client(address: str) -> Transport:
    return Transport("binance", address, clock=lambda: NOW, sleep=lambda _: None, pacing=Pacing(1e6))


def fetch(answer: Any, symbol: str = "BINANCE:BTCUSDT", count: int = 10, **options: Any) -> tuple[Answer, list[Asked]]:
    with web_service(answer) as service:
        one = client(service.address)
        (found,) = fetch_klines(
            [BarRequest(symbol, count, NOW, **options)],
            {name: Interface(one, rows) for name, rows in PAGE_ROWS.items()},
        )
    return found, service.asked


def rows(answer: Answer) -> list[dict[str, Any]]:
    assert answer.payload is not None
    found = read("bars", "binance", answer.payload, answer.request)
    assert tuple(found.column_names) == BAR_COLUMNS
    return found.to_pylist()


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BINANCE:BTCUSDT", ("spot", "BTCUSDT")),
        ("BINANCE:BTCUSDT.P", ("usdm", "BTCUSDT")),
        ("BINANCE:1000PEPEUSDT.P", ("usdm", "1000PEPEUSDT")),
        ("BINANCE:ETHUSDC.P", ("usdm", "ETHUSDC")),
        ("BINANCE:BTCUSD.P", ("coinm", "BTCUSD_PERP")),
        ("BINANCE:BNBUSD.P", ("coinm", "BNBUSD_PERP")),
        ("OKX:BTCUSDT", None),
        ("BINANCE:BTC1!", None),
    ],
)
def test_symbols_map_to_markets_and_tickers(symbol: str, expected: tuple[str, str] | None) -> None:
    assert binance_ticker(symbol) == expected


@pytest.mark.parametrize(
    ("symbol", "path", "ticker", "limit"),
    [
        ("BINANCE:BTCUSDT", "/api/v3/klines", "BTCUSDT", "1000"),
        ("BINANCE:BTCUSDT.P", "/fapi/v1/klines", "BTCUSDT", "1500"),
        ("BINANCE:BTCUSD.P", "/dapi/v1/klines", "BTCUSD_PERP", "1500"),
    ],
)
def test_each_market_is_asked_at_its_own_path(symbol: str, path: str, ticker: str, limit: str) -> None:
    answer, (asked,) = fetch(venue, symbol)
    assert (asked.path, asked.query["symbol"], asked.query["limit"]) == (path, ticker, limit)
    assert asked.query["interval"] == "1d"
    assert int(asked.query["endTime"]) == NOW.timestamp() * 1000
    assert (answer.state, answer.request["adjustment"], answer.request["since"]) == ("complete", "none", "2025-02-19")


def test_the_last_bars_asked_for_arrive_as_text() -> None:
    answer, _ = fetch(venue, count=3)
    found = rows(answer)
    assert [int(one["opened_at"]) for one in found] == [1_740_614_400_000 + n * DAY for n in range(3)]
    assert {name: found[0][name] for name in BAR_COLUMNS[3:9]} == {
        "open": "1.0", "high": "2.0", "low": "0.5", "close": "1.5", "volume": "10.0", "quote_volume": "15.0",
    }  # fmt: skip
    assert json.loads(found[0]["row"]) == kline(1_740_614_400_000)


def test_coin_margined_volume_is_that_of_the_base_and_has_no_quote() -> None:
    answer, _ = fetch(venue, "BINANCE:BTCUSD.P", count=1)
    assert [(one["volume"], one["quote_volume"]) for one in rows(answer)] == [("15.0", None)]


def test_pages_follow_the_newest_bar_until_the_end() -> None:
    answer, asked = fetch(venue, count=2_600)
    assert [int(one.query["limit"]) for one in asked] == [1000] * 3
    found = [int(one["opened_at"]) for one in rows(answer)]
    assert len(found) == answer.counters["rows"] == 2_600
    assert found == sorted(set(found)) and found[-1] == 1_740_787_200_000


def test_a_page_that_is_short_because_of_a_halt_does_not_end_the_request() -> None:
    halted = range(4, 9)

    def answer(asked: Asked) -> Given:
        found = klines(int(asked.query["startTime"]), int(asked.query["endTime"]), 1000)
        first = int((NOW - timedelta(days=20)).timestamp() * 1000) // DAY + 1
        kept = [one for one in found if one[0] // DAY - first not in halted]
        return given_json(kept[:3])

    found, asked = fetch(answer, count=20)
    assert len(rows(found)) == 20 - len(halted) and len(asked) > 3


def test_a_delisted_symbol_ends_with_an_empty_page() -> None:
    def answer(asked: Asked) -> Given:
        last = int((NOW - timedelta(days=5)).timestamp() * 1000)
        return given_json(klines(int(asked.query["startTime"]), last, 1000))

    found, asked = fetch(answer, count=10)
    assert (found.state, len(rows(found)), len(asked)) == ("complete", 5, 2)


def test_a_page_that_never_advances_ends_the_request() -> None:
    found, asked = fetch([given_json([kline(DAY)])] * 9, count=10)
    assert len(asked) == 1 and len(rows(found)) == 1


def test_no_bars_are_empty() -> None:
    answer, _ = fetch([given_json([])])
    assert (answer.state, answer.code, rows(answer)) == ("empty", None, [])


def test_an_unknown_symbol_is_told_from_other_errors() -> None:
    answer, _ = fetch([given_json({"code": -1121, "msg": "Invalid symbol."}, 400)])
    assert (answer.state, answer.code) == ("unknown_symbol", "UNKNOWN_SYMBOL")
    answer, _ = fetch([given_json({"code": -1100, "msg": "Illegal characters"}, 400)])
    assert (answer.state, answer.code) == ("failed", "HTTP_ERROR")
    answer, _ = fetch([given_json({"code": 0})])
    assert (answer.state, answer.code) == ("failed", "SCHEMA_DRIFT")


def test_what_arrived_before_a_failure_is_kept_as_partial() -> None:
    def answer(asked: Asked) -> Given:
        return venue(asked) if int(asked.query["startTime"]) < 1_690_000_000_000 else Given(500)

    found, _ = fetch(answer, count=1_500)
    assert (found.state, found.code, len(rows(found))) == ("partial", "SERVER_ERROR", 1_000)


def test_a_block_is_the_fault_of_the_source_and_not_of_a_symbol() -> None:
    with web_service([Given(451)]) as service:
        one = client(service.address)
        requests = [BarRequest(f"BINANCE:C{n}USDT", 5, NOW) for n in range(4)]
        answers = list(fetch_klines(requests, {"spot": Interface(one, 1000)}, workers=1))
    assert sorted(str(one.code) for one in answers) == [*["CIRCUIT_OPEN"] * 3, "GEO_BLOCKED"]
    assert len(service.asked) == 1


def test_a_closed_port_fails_as_a_value() -> None:
    with closed_port() as port:
        (answer,) = fetch_klines(
            [BarRequest("BINANCE:BTCUSDT", 5, NOW)], {"spot": Interface(client(f"http://127.0.0.1:{port}"), 1000)}
        )
    assert (answer.state, answer.code, answer.payload) == ("failed", "CONNECTION", None)


@pytest.mark.parametrize(
    ("symbol", "options"),
    [
        ("NASDAQ:AAPL", {}),
        ("BINANCE:BTCUSDT", {"interval": "45m"}),
        ("BINANCE:BTCUSDT", {"adjustment": "total_return"}),
    ],
)
def test_what_binance_cannot_have_is_refused(symbol: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"Binance has no .* bars of {symbol}"):
        list(fetch_klines([BarRequest(symbol, 5, NOW, **options)], {}))


# limits -------------------------------------------------------------------------------------------------------------


def limits_of(market: Any, symbols: list[Any]) -> Answer:
    with web_service([given_json({"symbols": symbols})]) as service:
        (answer,) = fetch_limits({market: client(service.address)})
    assert service.asked[0].path.endswith("/exchangeInfo")
    return answer


def test_limits_have_one_row_per_symbol_written_as_tradingview_does() -> None:
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}]
    spot = limits_of("spot", [{"symbol": "BTCUSDT", "status": "TRADING", "filters": filters}])
    perp = limits_of("usdm", [{"symbol": "BTCUSDT", "contractType": "PERPETUAL"}, {"symbol": "BTCUSDT_250328"}])
    coin = limits_of("coinm", [{"symbol": "BTCUSD_PERP", "contractType": "PERPETUAL"}])
    found = [read(one.kind, one.source, one.payload or b"", one.request) for one in (spot, perp, coin)]
    assert [tuple(one.column_names) for one in found] == [ROW_COLUMNS] * 3
    assert [one.column("symbol").to_pylist() for one in found] == [
        ["BINANCE:BTCUSDT"],
        ["BINANCE:BTCUSDT.P", "BINANCE:BTCUSDT_250328"],
        ["BINANCE:BTCUSD.P"],
    ]
    assert json.loads(found[0].column("row")[0].as_py())["filters"] == filters


def test_a_symbol_that_is_no_ticker_gets_a_code() -> None:
    names = [{"symbol": f"C{n}USDT"} for n in range(40)]
    answer = limits_of("spot", [*names, {"symbol": "币安人生USDT"}, {"name": "X"}])
    found = read(answer.kind, answer.source, answer.payload or b"", answer.request)
    assert found.column("code").to_pylist() == [None] * 40 + ["BAD_SYMBOL", "LIMITS_SHAPE"]
    assert refusal(found) is None


def test_limits_without_symbols_are_schema_drift() -> None:
    with web_service([given_json({"timezone": "UTC"})]) as service:
        (answer,) = fetch_limits({"spot": client(service.address)})
    assert (answer.state, answer.code) == ("failed", "SCHEMA_DRIFT")


# whatever arrives ---------------------------------------------------------------------------------------------------

_scalars = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=6))
_junk = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))
_mutate: Callable[[list[Any], int, Any], list[Any]] = lambda row, place, value: [  # noqa: E731
    *row[: place % 12], value, *row[place % 12 + 1 :]
]  # fmt: skip
_klines = st.one_of(
    st.builds(_mutate, st.just(kline(DAY)), st.integers(0, 11), _junk), st.lists(_junk, max_size=14), _junk
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_klines, max_size=6))
def test_every_received_kline_becomes_one_row_of_its_symbol(received: list[Any]) -> None:
    payload = pages_payload([({}, json.dumps(received).encode())])
    found = read_klines(payload, {"symbol": "BINANCE:BTCUSDT", "market": "spot"})
    assert found.num_rows == len(received)
    assert set(found.column("symbol").to_pylist()) <= {"BINANCE:BTCUSDT"}
    for text in found.column("row").to_pylist():
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
