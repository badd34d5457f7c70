"""`python -m ingest check`: confirmed, differs or unreachable, interface by interface, and its exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from loopback import Asked, Given, closed_port, given_json, socket_service, web_service
from quantmill.errors import UsageError
from quantmill.manifest.acquisition import load_interfaces
from support import ROOT
from websockets.sync.server import ServerConnection

from ingest import cli
from ingest.check import FIELDS, QUESTIONS, check
from ingest.network import Network, Ways
from ingest.sources.tradingview_socket import frame, message, parse_frames

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
DAY = 86_400
SHIPPED = {str(name): one for name, one in load_interfaces(ROOT / "manifest").items()}


def chart(asked: Asked) -> Given:
    """Answer as Yahoo does, with a bar each day."""
    ticker = asked.path.rpartition("/")[2]
    if ticker != "AAPL":
        error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
        return given_json({"chart": {"result": None, "error": error}}, 404)
    times = list(range(int(asked.query["period1"]), int(asked.query["period2"]), DAY))
    prices = [float(n) for n, _ in enumerate(times, start=1)]
    quotes = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    events = {"dividends": {"1": {"amount": 0.25, "date": times[3]}}}
    result = {
        "meta": {"symbol": ticker},
        "timestamp": times,
        "events": events,
        "indicators": {"quote": [quotes], "adjclose": [{"adjclose": prices}]},
    }
    return given_json({"chart": {"result": [result], "error": None}})


def run(*arguments: str, capsys: Any) -> tuple[int, list[str], str]:
    code = cli.run(["check", *arguments])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_a_service_that_says_what_is_expected_is_confirmed(capsys: Any) -> None:
    with web_service(chart) as service:
        code, lines, error = run(
            "yahoo", "--address", f"yahoo={service.address}", "--market-clock", "2025-03-01T00:10:00Z", capsys=capsys
        )
    assert (code, error) == (0, "")
    assert [line.split(":")[0] for line in lines] == ["confirmed    chart", "confirmed    chart, unknown symbol"]
    assert {asked.headers["x-market-clock"] for asked in service.asked} == {"2025-03-01T00:10:00Z"}


def test_a_service_that_says_something_else_differs_and_exits_with_3(capsys: Any) -> None:
    def answer(asked: Asked) -> Given:
        found = json.loads(chart(asked).body)
        for result in found["chart"]["result"] or ():
            del result["indicators"]["quote"][0]["close"]
        return given_json(found)

    with web_service(answer) as service:
        code, lines, error = run("yahoo", "--address", f"yahoo={service.address}", capsys=capsys)
    assert code == 3
    assert lines[0].startswith("differs      chart: the answer is failed (SCHEMA_DRIFT: the chart has no meta")
    assert error.startswith("DataContractError: 1 of 2 interfaces of yahoo: differs")


@pytest.mark.parametrize("source", sorted(QUESTIONS))
def test_a_closed_port_is_unreachable_for_every_interface_and_exits_with_5(source: str, capsys: Any) -> None:
    with closed_port() as port:
        names = ["tradingview_scanner", "binance_spot", "binance_usdm", "binance_coinm", "binance_bulk", "yahoo"]
        addresses = [f"{name}=http://127.0.0.1:{port}" for name in names]
        addresses.append(f"tradingview_socket=ws://127.0.0.1:{port}")
        slept: list[float] = []
        stated = dict(one.split("=") for one in addresses)
        network = Network(Ways(clock=lambda: NOW, sleep=slept.append), interfaces=SHIPPED, addresses=stated)
        findings = list(check(source, network, now=NOW))
        assert [one.status for one in findings] == ["unreachable"] * len(QUESTIONS[source])
        assert {one.interface for one in findings} == set(QUESTIONS[source])
        if source == "yahoo":
            options = [part for one in addresses for part in ("--address", one)]
            code, _, error = run(source, *options, capsys=capsys)
            assert code == 5 and error.startswith("NetworkError: 2 of 2 interfaces of yahoo: unreachable; see whether")


def test_an_address_without_a_name_and_an_unknown_source_are_usage_errors(capsys: Any) -> None:
    code, _, error = run("yahoo", "--address", "http://127.0.0.1:1", capsys=capsys)
    assert code == 2 and "--address needs INTERFACE=URL" in error
    code, _, error = run("stooq", capsys=capsys)
    assert code == 2 and "stooq" in error
    with pytest.raises(UsageError, match="no interface to check"):
        next(check("stooq", Network(Ways(clock=lambda: NOW), interfaces=SHIPPED), now=NOW))


def test_every_interface_of_tradingview_is_confirmed_by_a_service_like_it() -> None:
    values = ["X", "X", "fund", "AMEX", 1.5, 7, 2e6, 0.25, None]

    def answer(asked: Asked) -> Given:
        if asked.path == "/symbol":
            is_known = asked.query["symbol"] == "AMEX:SPY"
            return given_json(dict(zip(FIELDS, values, strict=True)) if is_known else {}, 200 if is_known else 404)
        body = asked.json
        if "no_such_field" in body["columns"]:
            return given_json({"totalCount": 0, "error": 'Unknown field "no_such_field"', "data": None}, 400)
        symbols = body["symbols"]["tickers"] or [f"NASDAQ:X{n}" for n in range(5)]
        return given_json({"totalCount": len(symbols), "data": [{"s": symbol, "d": values} for symbol in symbols]})

    def converse(socket: ServerConnection, number: int) -> None:
        socket.send(frame('{"session_id":"x","protocol":"json"}'))
        symbol = ""
        for text in socket:
            for payload in parse_frames(str(text)):
                value = json.loads(payload)
                if value["m"] == "resolve_symbol":
                    symbol = json.loads(value["p"][2][1:])["symbol"]
                if value["m"] == "create_series":
                    session, series, turnaround, symbol_id = value["p"][:4]
                    bars = [{"i": n, "v": [NOW.timestamp() - n * DAY, 1.0, 2.0, 0.5, 1.5]} for n in range(10)]
                    socket.send(message("symbol_resolved", session, symbol_id, {"pro_name": symbol}))
                    socket.send(message("timescale_update", session, {series: {"s": bars, "t": turnaround}}))
                    socket.send(message("series_completed", session, series, "streaming", turnaround))

    with web_service(answer) as service, socket_service(converse) as sockets:
        addresses = {"tradingview_scanner": service.address, "tradingview_socket": sockets.address}
        findings = list(
            check("tradingview", Network(Ways(clock=lambda: NOW), interfaces=SHIPPED, addresses=addresses), now=NOW)
        )
    assert [(one.interface, one.status) for one in findings] == [
        (name, "confirmed") for name in QUESTIONS["tradingview"]
    ]
