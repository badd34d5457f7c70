"""Who a data command is about: today's candidates, and those whose bars go on because a past decision read of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from quantmill.manifest.acquisition import load_acquisition

from ingest.schema import create_tables
from ingest.scope import passing_symbols

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_newest_complete_scan_says_who_is_in_scope_and_earlier_ones_who_is_followed() -> None:
    [scanner] = load_acquisition(
        REPOSITORY / "manifest", "binance_spot_rating_all_long", overrides={}, environment={}
    ).scanners
    payload = json.dumps({"Value.Traded": 9e6, "Volatility.D": 2.0, "base_currency": "X", "currency": "USDT"})
    connection = duckdb.connect(":memory:")
    create_tables(connection)
    for number, (symbol, status) in enumerate((("A:OLD", "OK"), ("A:WHOLE", "OK"), ("A:HALF", "PARTIAL"))):
        at = f"2026-01-0{number + 1} 00:10"
        connection.execute(
            "insert into raw.loads by name select ? as load_id, 'scan' as kind, 'tradingview' as source, ? as status,"
            " 'r' as request_hash, 1 as rows_received, 1 as rows_new, 0 as rows_identical, 0 as rows_superseding,"
            " 0 as rows_quarantined, ?::timestamp as started_at_utc, ?::timestamp as finished_at_utc,"
            " ? as config_hash",
            [str(number), status, at, at, scanner.config_hash],
        )
        connection.execute(
            "insert into raw.scan_rows values (?, 1, ?, ?, ?, ?, ?)",
            [str(number), scanner.scanner_id, symbol, payload, at, scanner.config_hash],
        )
    assert passing_symbols(connection, [scanner]) == ["A:WHOLE"]
    since = datetime(2026, 1, 2, tzinfo=UTC)
    assert passing_symbols(connection, [scanner], since=since) == ["A:HALF", "A:WHOLE"]
    # a complete scan that found nobody is the newest one too
    connection.execute(
        "insert into raw.loads by name select * replace ('3' as load_id, 'OK_EMPTY' as status, 0 as rows_received,"
        " 0 as rows_new, finished_at_utc + interval 2 day as finished_at_utc) from raw.loads where load_id = '1'"
    )
    assert passing_symbols(connection, [scanner]) == []
    assert passing_symbols(connection, [scanner], since=since) == ["A:HALF", "A:WHOLE"]
