"""One door to all sources: addresses, pace, lanes, and what each source can have."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loopback import Asked, Given, closed_port, given_json, web_service
from quantmill.errors import BadValue, UsageError
from quantmill.manifest.acquisition import load_interfaces
from quantmill.manifest.scanners import Filter, Rank, Scanner
from support import ROOT

from ingest.network import BAR_SOURCES, Network, Ways, can_have
from ingest.readers import READERS, read, refusal
from ingest.sources.common import BarRequest
from ingest.transport import RetryRules

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
SCANNER = Scanner(
    scanner_id="one", direction="LONG", logic="trend", market="crypto", venue_class="spot", calendar_id="24/7",
    filters=(Filter(left="type", operation="equal", right="spot"),), columns=("close",),
    prefilter_limit=10, ranks=(Rank(field="close", order="desc"),), limit=5,
)  # fmt: skip


SHIPPED = {str(name): one for name, one in load_interfaces(ROOT / "manifest").items()}


def network(**options: Any) -> tuple[Network, list[float]]:
    slept: list[float] = []
    return Network(Ways(clock=lambda: NOW, sleep=slept.append), **{"interfaces": SHIPPED, **options}), slept


def everywhere(address: str) -> dict[str, str]:
    return {name: address for name in SHIPPED if name != "tradingview_socket"}


def test_every_source_of_bars_has_a_reader_and_an_address() -> None:
    assert {source for kind, source in READERS if kind == "bars"} == set(BAR_SOURCES)
    assert {one.source for one in SHIPPED.values()} == set(BAR_SOURCES)


@pytest.mark.parametrize("rows", [40, 100])
def test_a_page_of_a_scan_has_the_rows_that_the_manifest_states(rows: int) -> None:
    def answer(asked: Asked) -> Given:
        first, last = asked.json["range"]
        found = [{"s": f"BINANCE:A{n}USDT", "d": [1.5]} for n in range(first, last)]
        return given_json({"totalCount": 200, "data": found})

    stated = {**SHIPPED, "tradingview_scanner": SHIPPED["tradingview_scanner"].model_copy(update={"page_rows": rows})}
    with web_service(answer) as service:
        one, _ = network(addresses=everywhere(service.address), interfaces=stated)
        one.scan(SCANNER.model_copy(update={"prefilter_limit": 200}))
    assert [asked.json["range"] for asked in service.asked] == [[n, n + rows] for n in range(0, 200, rows)]


def test_symbols_and_klines_of_one_request_and_the_depth_of_a_socket_are_those_of_the_manifest() -> None:
    def answer(asked: Asked) -> Given:
        return given_json([] if asked.path.endswith("klines") else {"totalCount": 0, "data": []})

    def changed(name: str, **values: int) -> Any:
        return SHIPPED[name].model_copy(update=values)

    stated = {
        **SHIPPED,
        "tradingview_scanner": changed("tradingview_scanner", symbols_per_request=2),
        "tradingview_socket": changed(
            "tradingview_socket", symbols_per_connection=7, depth_daily=11, depth_intraday=13
        ),
        "binance_usdm": changed("binance_usdm", page_rows=17),
    }
    with web_service(answer) as service:
        one, _ = network(addresses=everywhere(service.address), interfaces=stated)
        list(one.fields(["NYSE:A", "NYSE:B", "NYSE:C"], ["close"], kind="symbol_metadata"))
        list(one.bars("binance", [BarRequest("BINANCE:AUSDT.P", 5, NOW)]))
    looked_up = [asked.json["symbols"]["tickers"] for asked in service.asked if asked.path.endswith("/scan")]
    assert sorted(map(len, looked_up)) == [1, 2]
    assert [asked.query["limit"] for asked in service.asked if asked.path.endswith("klines")] == ["17"]
    rules = one.socket().rules
    assert (rules.symbols_per_socket, rules.depth("1W"), rules.depth("1h")) == (7, 11, 13)


def test_a_limit_that_the_manifest_does_not_state_is_an_error_that_names_it() -> None:
    stated = {**SHIPPED, "yahoo": SHIPPED["yahoo"], "binance_spot": SHIPPED["yahoo"]}
    with pytest.raises(BadValue, match="says nothing of page_rows of the interface binance_spot"):
        network(interfaces=stated)[0].bars("binance", [])


def test_an_unknown_interface_source_or_reader_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="no interface 'binance'"):
        network(addresses={"binance": "http://127.0.0.1"})
    with pytest.raises(UsageError, match="'stooq' is no source of bars"):
        network()[0].bars("stooq", [])
    with pytest.raises(UsageError, match="nothing reads bars of stooq"):
        read("bars", "stooq", b"", {})


@pytest.mark.parametrize(
    ("source", "symbol", "interval", "adjustment", "expected"),
    [
        ("tradingview", "AMEX:SPY", "1d", "total_return", True),
        ("tradingview", "AMEX:SPY", "1d", "none", False),
        ("binance", "BINANCE:BTCUSDT.P", "1d", "splits", True),
        ("binance", "AMEX:SPY", "1d", "splits", False),
        ("binance_bulk", "BINANCE:BTCUSDT", "45m", "none", False),
        ("yahoo", "AMEX:SPY", "1d", "splits", True),
        ("yahoo", "BINANCE:BTCUSDT", "1d", "splits", False),
        ("yahoo", "AMEX:SPY", "1h", "splits", False),
    ],
)
def test_what_a_source_can_have_is_known_without_asking(
    source: str, symbol: str, interval: str, adjustment: str, expected: bool
) -> None:
    assert can_have(source, symbol, interval, adjustment) is expected


def test_every_request_carries_the_market_clock_and_goes_to_its_own_address() -> None:
    with web_service(lambda asked: given_json({"symbols": [{"symbol": "BTCUSDT"}]})) as service:
        one, _ = network(addresses=everywhere(service.address), market_clock=NOW)
        answers = list(one.limits(["spot", "usdm"]))
    assert sorted(asked.path for asked in service.asked) == ["/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo"]
    assert {asked.headers["x-market-clock"] for asked in service.asked} == {"2025-03-01T00:10:00Z"}
    assert [one.source for one in answers] == ["binance", "binance"]


def test_scanners_share_a_client_and_each_gives_one_answer() -> None:
    def answer(asked: Asked) -> Given:
        return given_json({"totalCount": 1, "data": [{"s": "BINANCE:AUSDT", "d": [1.5]}]})

    progress: list[str] = []
    with web_service(answer) as service:
        one, slept = network(addresses=everywhere(service.address))
        scanners = [SCANNER.model_copy(update={"scanner_id": name}) for name in ("a", "b", "c")]
        answers = list(
            one.scans(scanners, progress=lambda done, total, name: progress.append(f"{done}/{total} {name}"))
        )
    assert sorted(one.request["scanner_id"] for one in answers) == ["a", "b", "c"]
    assert [text[:3] for text in progress] == ["1/3", "2/3", "3/3"]
    # a venue on this machine is not paced
    assert all(seconds < 0.01 for seconds in slept)


def test_stated_retries_hold_and_the_slow_lane_shares_the_breaker() -> None:
    rules = RetryRules(attempts=2, base_seconds=0.5)
    retry = SHIPPED["yahoo"].retry.model_copy(update={"attempts": rules.attempts, "base_seconds": rules.base_seconds})
    stated = {**SHIPPED, "yahoo": SHIPPED["yahoo"].model_copy(update={"retry": retry})}
    with closed_port() as port:
        one, _ = network(addresses=everywhere(f"http://127.0.0.1:{port}"), interfaces=stated)
        requests = [BarRequest("NASDAQ:AAPL", 5, NOW)] * 5
        answers = list(one.bars("yahoo", requests))
        slow = list(one.bars("yahoo", requests[:1], is_slow=True))
    assert {len(answer.attempts) for answer in answers} == {2}
    assert [answer.code for answer in slow] == ["CIRCUIT_OPEN"]


def test_a_request_for_archives_is_split_into_its_months(tmp_path: Path) -> None:
    with web_service(lambda asked: Given(404)) as service:
        one, _ = network(addresses=everywhere(service.address), downloads=tmp_path)
        answers = list(one.bars("binance_bulk", [BarRequest("BINANCE:BTCUSDT", 59, NOW)]))
    assert {answer.request["period"] for answer in answers} == {"2025-01", "2025-02"}
    assert {answer.state for answer in answers} == {"empty"}


def test_no_rows_at_all_are_not_refused() -> None:
    payload = json.dumps({"format": 1, "pages": []}).encode()
    assert refusal(read("scan", "tradingview", payload, {"columns": ["close"]})) is None
