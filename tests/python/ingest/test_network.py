"""One door to all sources: addresses, pace, lanes, and what each source can have."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loopback import Asked, Given, closed_port, given_json, web_service
from quantmill.errors import UsageError
from quantmill.manifest.scanners import Filter, Rank, Scanner

from ingest.network import ADDRESSES, BAR_SOURCES, Network, Ways, can_have
from ingest.readers import READERS, read, refusal
from ingest.sources.common import BarRequest
from ingest.transport import Pacing, RetryRules

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
SCANNER = Scanner(
    scanner_id="one", direction="LONG", logic="trend", market="crypto", venue_class="spot", calendar_id="24/7",
    columns=("close",), filters=(Filter(left="close", operation="greater", right=0),),
    prefilter_limit=10, ranks=(Rank(field="close", order="desc"),), limit=5,
)  # fmt: skip


@dataclass(frozen=True)
class Stated:
    """An interface as the manifest states it."""

    pacing: Pacing
    retry: RetryRules


def network(**options: Any) -> tuple[Network, list[float]]:
    slept: list[float] = []
    return Network(Ways(clock=lambda: NOW, sleep=slept.append), **options), slept


def everywhere(address: str) -> dict[str, str]:
    return {name: address for name in ADDRESSES if name != "tradingview_socket"}


def test_every_source_of_bars_has_a_reader_and_an_address() -> None:
    assert {source for kind, source in READERS if kind == "bars"} == set(BAR_SOURCES)
    assert set(ADDRESSES) == {
        "tradingview_scanner", "tradingview_socket", "binance_spot", "binance_usdm", "binance_coinm", "binance_bulk",
        "yahoo",
    }  # fmt: skip


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
    stated = {"yahoo": Stated(Pacing(), replace(rules, attempts=2))}
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
