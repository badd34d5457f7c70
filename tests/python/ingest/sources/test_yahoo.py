"""Yahoo's chart: names, the three answers of one body, nulls, the running session, and stated errors."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Asked, Given, closed_port, given_json, web_service
from quantmill.errors import DataContractError, UsageError

from ingest.answers import BAR_COLUMNS, ROW_COLUMNS, Answer
from ingest.readers import read
from ingest.sources.common import BarRequest, pages_payload
from ingest.sources.yahoo import fetch_charts, read_actions, read_chart, yahoo_ticker
from ingest.transport import Pacing, Transport

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
OPENINGS = [1_740_580_200, 1_740_666_600, 1_740_753_000]
CHART: dict[str, Any] = {
    "chart": {
        "result": [
            {
                "meta": {"symbol": "AAPL", "currency": "USD", "regularMarketTime": 1_740_776_400},
                "timestamp": OPENINGS,
                "events": {
                    "dividends": {"1740666600": {"amount": 0.25, "date": 1_740_666_600}},
                    "splits": {
                        "1740753000": {"date": 1_740_753_000, "numerator": 4, "denominator": 1, "splitRatio": "4:1"}
                    },
                },
                "indicators": {
                    "quote": [
                        {
                            "open": [10.0, None, 12.0],
                            "high": [10.5, None, 12.5],
                            "low": [9.5, None, 11.5],
                            "close": [10.25, None, 12.25],
                            "volume": [1000, None, 1200],
                        }
                    ],
                    "adjclose": [{"adjclose": [9.75, None, 12.25]}],
                },
            }
        ],
        "error": None,
    }
}


def fetch(given_answer: Given | list[Given], symbol: str = "NASDAQ:AAPL") -> tuple[list[Answer], list[Asked]]:
    script = given_answer if isinstance(given_answer, list) else [given_answer]
    with web_service(script) as service:
        transport = Transport("yahoo", service.address, clock=lambda: NOW, sleep=lambda _: None, pacing=Pacing(1e6))
        answers = list(fetch_charts([BarRequest(symbol, 10, NOW)], transport))
    return answers, service.asked


def rows(answer: Answer) -> list[dict[str, Any]]:
    found = read(answer.kind, "yahoo", answer.payload or b"", answer.request)
    assert tuple(found.column_names) == (BAR_COLUMNS if answer.kind == "bars" else ROW_COLUMNS)
    return found.to_pylist()


@pytest.mark.parametrize(
    ("symbol", "ticker"),
    [
        ("NASDAQ:AAPL", "AAPL"),
        ("NYSE:BRK.B", "BRK-B"),
        ("AMEX:SPY", "SPY"),
        ("FX_IDC:EURUSD", "EURUSD=X"),
        ("COMEX:GC1!", "GC=F"),
        ("COMEX:GCZ2025", None),
        ("BINANCE:BTCUSDT", None),
    ],
)
def test_symbols_are_written_as_yahoo_does(symbol: str, ticker: str | None) -> None:
    assert yahoo_ticker(symbol) == ticker


def test_one_body_gives_bars_total_returns_and_actions() -> None:
    answers, (asked,) = fetch(given_json(CHART))
    assert asked.path == "/v8/finance/chart/AAPL"
    assert asked.query["events"] == "div,splits" and asked.query["includeAdjustedClose"] == "true"
    assert int(asked.query["period2"]) == NOW.timestamp()
    assert datetime.fromtimestamp(int(asked.query["period1"]), UTC).date().isoformat() == "2025-02-07"
    bars, total, actions = answers
    assert (bars.kind, total.kind, actions.kind) == ("bars", "bars", "corporate_actions")
    assert bars.payload == total.payload == actions.payload
    assert [one.request.get("adjustment") for one in answers] == ["splits", "total_return", None]
    # a place without any price is no bar
    assert [(one["opened_at"], one["close"], one["volume"]) for one in rows(bars)] == [
        (str(OPENINGS[0]), "10.25", "1000"),
        (str(OPENINGS[2]), "12.25", "1200"),
    ]
    assert [(one["close"], one["open"], one["volume"]) for one in rows(total)] == [
        ("9.75", None, None),
        ("12.25", None, None),
    ]
    found = [json.loads(one["row"]) for one in rows(actions)]
    assert [(one["action"], one.get("amount"), one.get("numerator")) for one in found] == [
        ("dividend", 0.25, None),
        ("split", None, 4),
    ]


def test_a_bar_with_some_prices_missing_is_kept_for_the_judge() -> None:
    chart = copy.deepcopy(CHART)
    chart["chart"]["result"][0]["indicators"]["quote"][0]["close"][0] = None
    chart["chart"]["result"][0]["indicators"]["quote"][0]["high"] = [10.5]
    answers, _ = fetch(given_json(chart))
    assert [(one["close"], one["high"]) for one in rows(answers[0])] == [(None, "10.5"), ("12.25", None)]


def test_the_bar_of_the_running_session_opens_when_the_session_did() -> None:
    chart = copy.deepcopy(CHART)
    result = chart["chart"]["result"][0]
    result["timestamp"][2] = result["meta"]["regularMarketTime"] = 1_740_770_001
    result["meta"]["currentTradingPeriod"] = {"regular": {"start": OPENINGS[2], "end": OPENINGS[2] + 23_400}}
    answers, _ = fetch(given_json(chart))
    assert rows(answers[0])[-1]["opened_at"] == str(OPENINGS[2])
    # without a stated period the time stays as it is
    del result["meta"]["currentTradingPeriod"]
    answers, _ = fetch(given_json(chart))
    assert rows(answers[0])[-1]["opened_at"] == "1740770001"


@pytest.mark.parametrize(
    ("status", "error", "state", "code"),
    [
        (
            404,
            {"code": "Not Found", "description": "No data found, symbol may be delisted"},
            "unknown_symbol",
            "UNKNOWN_SYMBOL",
        ),
        (400, {"code": "Bad Request", "description": "Data doesn't exist for startDate = 1"}, "empty", "EMPTY"),
        (422, {"code": "Unprocessable Entity", "description": "invalid interval"}, "failed", "HTTP_ERROR"),
        (200, {"code": "Not Found", "description": "gone"}, "unknown_symbol", "UNKNOWN_SYMBOL"),
    ],
)
def test_a_stated_error_is_read(status: int, error: dict[str, str], state: str, code: str) -> None:
    (answer,), _ = fetch(given_json({"chart": {"result": None, "error": error}}, status))
    assert (answer.state, answer.code) == (state, code)
    assert error["description"] in str(answer.error)


def test_a_chart_of_another_symbol_gives_no_row() -> None:
    chart = copy.deepcopy(CHART)
    chart["chart"]["result"][0]["meta"]["symbol"] = "MSFT"
    (answer,), _ = fetch(given_json(chart))
    assert (answer.state, answer.code) == ("failed", "FOREIGN_SYMBOL")


def test_a_chart_without_bars_is_empty() -> None:
    chart = copy.deepcopy(CHART)
    result = chart["chart"]["result"][0]
    result.pop("timestamp")
    result.pop("events")
    result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    answers, _ = fetch(given_json(chart))
    assert answers[0].state == "empty"
    assert [rows(one) for one in answers] == [[], [], []]


@pytest.mark.parametrize("body", [{}, {"chart": {"result": [], "error": None}}, {"chart": {"result": [{}]}}, [], 7])
def test_another_shape_is_schema_drift(body: Any) -> None:
    (answer,), _ = fetch(given_json(body))
    assert (answer.state, answer.code) == ("failed", "SCHEMA_DRIFT")


def test_a_limit_and_a_closed_port_fail_as_values() -> None:
    (answer,), asked = fetch([Given(429, b"Too Many Requests")] * 5)
    assert (answer.state, answer.code, len(asked)) == ("failed", "RATE_LIMITED", 5)
    with closed_port() as port:
        transport = Transport("yahoo", f"http://127.0.0.1:{port}", clock=lambda: NOW, sleep=lambda _: None)
        (answer,) = fetch_charts([BarRequest("NASDAQ:AAPL", 10, NOW)], transport)
    assert (answer.state, answer.code) == ("failed", "CONNECTION")


def test_an_action_without_its_numbers_gets_a_code() -> None:
    chart = copy.deepcopy(CHART)
    chart["chart"]["result"][0]["events"]["splits"]["1740753000"]["numerator"] = "4"
    answers, _ = fetch(given_json(chart))
    assert [one["code"] for one in rows(answers[2])] == [None, "ACTION_SHAPE"]


def test_what_yahoo_cannot_have_is_refused() -> None:
    transport = Transport("yahoo", "http://127.0.0.1:9", clock=lambda: NOW)
    with pytest.raises(UsageError, match="Yahoo has no 1d bars of BINANCE:BTCUSDT"):
        list(fetch_charts([BarRequest("BINANCE:BTCUSDT", 10, NOW)], transport))


_scalars = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=6))
_junk = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_whatever_a_chart_holds_it_is_an_error_or_rows_of_its_symbol(data: st.DataObject) -> None:
    chart = copy.deepcopy(CHART)
    place: Any = chart
    for _ in range(data.draw(st.integers(1, 7))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(_junk)
            break
        place = place[key]
    payload = pages_payload([({}, json.dumps(chart).encode())])
    for reader, request in (
        (read_chart, {"symbol": "NASDAQ:AAPL", "adjustment": "splits"}),
        (read_chart, {"symbol": "NASDAQ:AAPL", "adjustment": "total_return"}),
        (read_actions, {"symbol": "NASDAQ:AAPL"}),
    ):
        try:
            found = reader(payload, request)
        except DataContractError:
            continue
        assert set(found.column("symbol").to_pylist()) <= {"NASDAQ:AAPL"}
        for text in found.column("row").to_pylist():
            json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
