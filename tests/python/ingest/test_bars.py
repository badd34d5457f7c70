"""Judging rows: each code has a planted row, and what is not planted is accepted."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HEADER = "symbol,date,open,high,low,close,volume\n"
GOOD = "NASDAQ:AAPL,2024-03-01,10,11,9,10.5,100\n"


@pytest.mark.parametrize(
    ("row", "code", "symbol", "found"),
    [
        ("aapl,2024-03-04,10,11,9,10.5,100", "BAD_SYMBOL", None, "aapl"),
        ("NASDAQ:A'; drop table raw.bars --,2024-03-04,10,11,9,10.5,1", "BAD_SYMBOL", None, "drop table"),
        ("../../etc:AAPL,2024-03-04,10,11,9,10.5,1", "BAD_SYMBOL", None, "etc"),
        (",2024-03-04,10,11,9,10.5,100", "BAD_SYMBOL", None, "empty"),
        ("NASDAQ:AAPL,2024-03-40,10,11,9,10.5,100", "TS_UNIT", "NASDAQ:AAPL", "2024-03-40"),
        ("NASDAQ:AAPL,1709510400,10,11,9,10.5,100", "TS_UNIT", "NASDAQ:AAPL", "1709510400"),
        ("NASDAQ:AAPL,2024-03-04 15:30:00,10,11,9,10.5,100", "TS_UNIT", "NASDAQ:AAPL", "15:30"),
        ("NASDAQ:AAPL,1024-03-04,10,11,9,10.5,100", "TS_UNIT", "NASDAQ:AAPL", "1024"),
        ("NASDAQ:AAPL,,10,11,9,10.5,100", "TS_UNIT", "NASDAQ:AAPL", "empty"),
        ("NASDAQ:AAPL,2024-03-04,10,11,9,nan,100", "NOT_FINITE", "NASDAQ:AAPL", "close is nan"),
        ("NASDAQ:AAPL,2024-03-04,10,inf,9,10.5,100", "NOT_FINITE", "NASDAQ:AAPL", "high is inf"),
        ("NASDAQ:AAPL,2024-03-04,10,11,9,ten,100", "NOT_FINITE", "NASDAQ:AAPL", "close is ten"),
        ("NASDAQ:AAPL,2024-03-04,1_0,11,9,10.5,100", "NOT_FINITE", "NASDAQ:AAPL", "open is 1_0"),
        ("NASDAQ:AAPL,2024-03-04,,11,9,10.5,100", "NOT_FINITE", "NASDAQ:AAPL", "open is empty"),
        ("NASDAQ:AAPL,2024-03-04,10,11,9,10.5,many", "NOT_FINITE", "NASDAQ:AAPL", "volume is many"),
        ("NASDAQ:AAPL,2024-03-04,10,11,0,10.5,100", "OHLC_INVALID", "NASDAQ:AAPL", "a price is 0"),
        ("NASDAQ:AAPL,2024-03-04,10,11,9,-10.5,100", "OHLC_INVALID", "NASDAQ:AAPL", "-10.5"),
        ("NASDAQ:AAPL,2024-03-04,10,10.2,9,10.5,100", "OHLC_INVALID", "NASDAQ:AAPL", "high 10.2"),
        ("NASDAQ:AAPL,2024-03-04,10,11,10.1,10.5,100", "OHLC_INVALID", "NASDAQ:AAPL", "low 10.1"),
        ("NASDAQ:AAPL,2024-03-04,10,11,9,10.5,-1", "OHLC_INVALID", "NASDAQ:AAPL", "volume is -1"),
        ("NASDAQ:AAPL,2024-03-29,10,11,9,10.5,100", "FUTURE_BAR", "NASDAQ:AAPL", "2024-03-29"),
        ("NASDAQ:AAPL,2024-03-04,10,11,9", "BODY_PARSE", None, "line 3"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_code_and_the_good_row_stays(
    warehouse: Any, row: str, code: str, symbol: str | None, found: str
) -> None:
    outcome = warehouse.import_text(HEADER + GOOD + row + "\n")
    assert (outcome.status, outcome.rows_received, outcome.rows_new, outcome.rows_quarantined) == (
        "PARTIAL",
        2,
        1,
        1,
    )
    (kept,) = warehouse.rows("select kind, code, severity, symbol, detail, payload, resolution from raw.quarantine")
    assert kept[:4] == ("bars", code, "error", symbol)
    assert found in kept[4]
    assert kept[6] is None
    payload = json.loads(kept[5])
    values = (
        payload["text"].split(",") if code == "BODY_PARSE" else [payload[name] for name in HEADER.strip().split(",")]
    )
    assert [value or "" for value in values] == row.split(",")
    assert outcome.error == f"1 of 2 rows are in quarantine: {code} 1"


def test_numeric_text_is_parsed_and_absent_volume_is_null(warehouse: Any) -> None:
    warehouse.import_text(HEADER + 'NASDAQ:AAPL,2024-03-01," 1e1",11.0,9,10.50,\n')
    assert warehouse.rows("select open, high, low, close, volume from raw.bars") == [(10.0, 11.0, 9.0, 10.5, None)]


def test_closes_alone_make_bars_without_open_high_low(warehouse: Any) -> None:
    warehouse.import_text("symbol,date,close\nNASDAQ:AAPL,2024-03-01,10.5\n")
    assert warehouse.rows("select open, high, low, close, volume, quote_volume from raw.bars") == [
        (None, None, None, 10.5, None, None)
    ]


def test_a_dated_bar_opens_at_local_midnight_on_both_sides_of_the_clock_change(warehouse: Any) -> None:
    warehouse.import_text(HEADER + GOOD + "NASDAQ:AAPL,2024-03-11,10,11,9,10.5,100\n")
    assert warehouse.rows("select opened_at_utc from raw.bars order by 1") == [
        (datetime(2024, 3, 1, 5),),
        (datetime(2024, 3, 11, 4),),
    ]
    assert warehouse.rows("select status, last_final_session from ops.symbol_registry") == [
        ("STABLE", date(2024, 3, 11))
    ]


@pytest.mark.parametrize(("factor", "unit"), [(1, "seconds"), (1_000, "milliseconds"), (1_000_000, "microseconds")])
def test_the_unit_of_epoch_times_is_told_by_magnitude(warehouse: Any, factor: int, unit: str) -> None:
    opened = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp())
    rows = "".join(f"{(opened + 86_400 * day) * factor},{10 + day}\n" for day in range(3))
    stray = f"{opened * 86},11\n"
    outcome = warehouse.import_text(
        "t,close\n" + rows + stray,
        symbol="BINANCE:BTCUSDT",
        symbol_column=None,
        date_column=None,
        time_column="t",
    )
    assert outcome.rows_quarantined == 1
    assert warehouse.rows("select code from raw.quarantine") == [("TS_UNIT",)]
    assert [row[0].day for row in warehouse.rows("select opened_at_utc from raw.bars order by 1")] == [
        1,
        2,
        3,
    ]
    assert any(unit in line for line in warehouse.said)


def test_a_row_in_another_unit_than_its_file_is_ts_unit(warehouse: Any) -> None:
    text = "t,close\n1709251200000,10\n1709337600000,11\n1709424000,12\n"
    options = {"symbol": "BINANCE:BTCUSDT", "symbol_column": None, "date_column": None, "time_column": "t"}
    warehouse.import_text(text, **options)
    assert warehouse.rows("select code, payload from raw.quarantine") == [
        ("TS_UNIT", '{"#row":3,"t":"1709424000","close":"12"}')
    ]


def test_times_off_the_whole_minute_are_ts_unit(warehouse: Any) -> None:
    text = "t,close\n2024-03-01T00:00:00Z,10\n2024-03-02T00:00:07Z,11\n2024-03-03T01:00:00+01:00,12\n"
    options = {"symbol": "BINANCE:BTCUSDT", "symbol_column": None, "date_column": None, "time_column": "t"}
    warehouse.import_text(text, **options)
    assert [row[0].day for row in warehouse.rows("select opened_at_utc from raw.bars order by 1")] == [1, 3]
    assert warehouse.rows("select code from raw.quarantine") == [("TS_UNIT",)]


def test_equal_repeats_collapse_and_count_as_identical(warehouse: Any) -> None:
    outcome = warehouse.import_text(HEADER + GOOD + GOOD + GOOD.replace("100", "100.0"))
    assert (outcome.status, outcome.rows_new, outcome.rows_identical) == ("OK", 1, 2)


def test_repeats_without_volume_are_equal(warehouse: Any) -> None:
    row = "NASDAQ:AAPL,2024-03-01,10,11,9,10.5,\n"
    assert warehouse.import_text(HEADER + row + row).rows_identical == 1


def test_conflicting_final_rows_are_all_quarantined(warehouse: Any) -> None:
    other = GOOD.replace("10.5", "10.6")
    outcome = warehouse.import_text(HEADER + GOOD + other + GOOD + GOOD.replace("03-01", "03-04"))
    assert (outcome.rows_new, outcome.rows_quarantined) == (1, 3)
    assert warehouse.rows("select distinct code, severity from raw.quarantine") == [("DUP_CONFLICT", "error")]


def test_of_conflicting_rows_that_are_not_final_the_last_wins(warehouse: Any) -> None:
    today = "NASDAQ:AAPL,2024-03-28,10,11,9,10.{},100\n"
    outcome = warehouse.import_text(HEADER + today.format(7) + today.format(6) + GOOD)
    assert (outcome.status, outcome.rows_new, outcome.rows_quarantined) == ("OK", 2, 1)
    assert warehouse.rows("select close, is_final from raw.bars order by opened_at_utc") == [
        (10.5, True),
        (10.6, False),
    ]
    assert warehouse.rows("select code, severity from raw.quarantine") == [("DUP_CONFLICT", "warning")]


def test_a_bar_is_final_when_its_interval_ended_by_the_time_it_was_received(warehouse: Any) -> None:
    text = "t,close\n2024-03-28T19:00:00Z,1\n2024-03-28T20:00:00Z,2\n2024-03-28T21:00:00Z,3\n"
    options = {"symbol": "BINANCE:BTCUSDT", "symbol_column": None, "date_column": None, "time_column": "t"}
    warehouse.import_text(text, interval="1h", **options)
    assert warehouse.rows("select is_final from raw.bars order by opened_at_utc") == [
        (True,),
        (True,),
        (False,),
    ]


def test_an_equal_bar_that_became_final_is_stored_again(warehouse: Any) -> None:
    today = HEADER + "NASDAQ:AAPL,2024-03-28,10,11,9,10.5,100\n"
    warehouse.import_text(today)
    later = warehouse.import_text(today, received_at=datetime(2024, 4, 2, tzinfo=UTC))
    assert (later.status, later.rows_superseding, later.rows_identical) == ("OK", 1, 0)
    again = warehouse.import_text(today, received_at=datetime(2024, 4, 3, tzinfo=UTC))
    assert (again.status, again.rows_superseding, again.rows_identical) == ("UP_TO_DATE", 0, 1)


def test_a_revision_is_a_new_row_and_the_old_one_stays(warehouse: Any) -> None:
    warehouse.import_text(HEADER + GOOD)
    before = warehouse.rows("select * from raw.bars")
    revised = warehouse.import_text(HEADER + GOOD.replace("10.5", "10.7"), received_at=datetime(2024, 4, 2, tzinfo=UTC))
    assert (revised.status, revised.rows_superseding) == ("OK", 1)
    assert warehouse.rows("select * from raw.bars where close = 10.5") == before
    back = warehouse.import_text(HEADER + GOOD, received_at=datetime(2024, 4, 3, tzinfo=UTC))
    assert back.rows_superseding == 1, "the value went back, which is a revision too"


def test_an_older_file_landed_late_is_compared_with_what_was_known_then(warehouse: Any) -> None:
    warehouse.import_text(HEADER + GOOD, received_at=datetime(2024, 4, 2, tzinfo=UTC))
    older = HEADER + GOOD.replace("10.5", "10.4")
    assert warehouse.import_text(older).rows_superseding == 1
    assert warehouse.import_text(older).rows_identical == 1


def test_sources_and_adjustments_do_not_meet(warehouse: Any) -> None:
    assert warehouse.import_text(HEADER + GOOD).rows_new == 1
    assert warehouse.import_text(HEADER + GOOD, source="other").rows_new == 1
    assert warehouse.import_text(HEADER + GOOD, adjustment="splits").rows_new == 1


def test_rows_out_of_order_are_sorted_and_noted(warehouse: Any) -> None:
    warehouse.import_text(HEADER + GOOD.replace("03-01", "03-04") + GOOD)
    days = [row[0].day for row in warehouse.rows("select opened_at_utc from raw.bars")]
    assert days == [1, 4]
    assert "bars.csv: 1 rows were out of order and have been sorted" in warehouse.said
    (path,) = ((warehouse.home.landing / "loads").glob("*-*.json"),)
    notes = [note for file in path for note in json.loads(file.read_text())["notes"]]
    assert notes == ["1 rows were out of order and have been sorted"]


def test_parquet_with_typed_columns_lands_like_csv(warehouse: Any) -> None:
    path = warehouse.home.state / "bars.parquet"
    table = pa.table(
        {
            "symbol": ["NASDAQ:AAPL", "NASDAQ:AAPL", "NASDAQ:MSFT"],
            "name": ["a", "b", "c"],
            "date": pa.array([date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 1)]),
            "Close": [10.5, float("nan"), 20.0],
            "Volume": pa.array([100, None, 7], pa.int64()),
        }
    )
    pq.write_table(table, path)
    outcome = warehouse.import_path(path)[-1]
    assert (outcome.rows_new, outcome.rows_quarantined) == (2, 1)
    assert warehouse.rows("select symbol, opened_at_utc, close, volume from raw.bars order by 1") == [
        ("NASDAQ:AAPL", datetime(2024, 3, 1, 5), 10.5, 100.0),
        ("NASDAQ:MSFT", datetime(2024, 3, 1, 5), 20.0, 7.0),
    ]
    assert warehouse.rows("select code from raw.quarantine") == [("NOT_FINITE",)]


def test_a_symbol_map_names_the_symbols_of_a_file(warehouse: Any) -> None:
    text = "symbol,date,close\nApple Inc,2024-03-01,10\nNASDAQ:MSFT,2024-03-01,20\n"
    warehouse.import_text(text, symbol_map={"Apple Inc": "NASDAQ:AAPL"})
    assert warehouse.rows("select symbol, close from raw.bars order by 1") == [
        ("NASDAQ:AAPL", 10.0),
        ("NASDAQ:MSFT", 20.0),
    ]


def test_a_file_without_one_good_row_is_landed_and_rejected(warehouse: Any) -> None:
    outcome = warehouse.import_text(HEADER + GOOD.replace("10.5", "nan"))
    assert (outcome.status, outcome.rows_quarantined) == ("REJECTED", 1)
    assert warehouse.rows("select status from raw.loads where kind = 'bars'") == [("REJECTED",)]
    assert warehouse.rows("select status, last_final_session, consecutive_failures from ops.symbol_registry") == [
        ("MISSING", None, 1)
    ]
    warehouse.import_text(HEADER + GOOD)
    assert warehouse.rows("select status, consecutive_failures from ops.symbol_registry") == [("STABLE", 0)]
    warehouse.import_text(HEADER + GOOD.replace("10.5", "nan").replace("03-01", "03-04"))
    assert warehouse.rows("select status, consecutive_failures from ops.symbol_registry") == [("DEGRADED", 1)]


def test_only_symbols_nobody_described_get_metadata(warehouse: Any) -> None:
    warehouse.import_text(HEADER + GOOD)
    warehouse.import_text(HEADER + GOOD + GOOD.replace("NASDAQ:AAPL", "BINANCE:ETHUSDT.P"), source="other")
    rows = warehouse.rows("select symbol, payload from raw.symbol_metadata order by symbol")
    assert [symbol for symbol, _ in rows] == ["BINANCE:ETHUSDT.P", "NASDAQ:AAPL"]
    perpetual, stock = (json.loads(payload) for _, payload in rows)
    assert (perpetual["calendar_id"], perpetual["timezone"], perpetual["venue_class"]) == (
        "24/7",
        "UTC",
        "perp",
    )
    assert (stock["calendar_id"], stock["economic_id"], stock["quote"]) == ("XNYS", "AAPL.US", "USD")


@pytest.mark.parametrize(
    ("interval", "first", "is_accepted"),
    [
        ("1d", "2024-01-01T00:00:00Z", True),
        ("1d", "2024-01-01T16:00:00Z", False),
        ("4h", "2024-01-01T20:00:00Z", True),
        ("4h", "2024-01-01T21:00:00Z", False),
        ("15m", "2024-01-01T21:45:00Z", True),
        ("15m", "2024-01-01T21:50:00Z", False),
        ("1M", "2024-01-01T00:00:00Z", True),
    ],
)
def test_a_bar_of_a_market_that_never_closes_begins_where_its_bars_begin(
    warehouse: Any, interval: str, first: str, is_accepted: bool
) -> None:
    text = f"symbol,t,open,high,low,close,volume\nBINANCE:XUSDT,{first},10,11,9,10.5,5\n"
    outcome = warehouse.import_text(text, time_column="t", date_column=None, interval=interval)
    assert (outcome.rows_new, outcome.rows_quarantined) == ((1, 0) if is_accepted else (0, 1))
    assert warehouse.rows("select code from raw.quarantine") == ([] if is_accepted else [("TS_UNIT",)])
    # a listed share opens when its exchange does
    text = f"symbol,t,open,high,low,close,volume\nNASDAQ:AAPL,{first},10,11,9,10.5,7\n"
    assert warehouse.import_text(text, time_column="t", date_column=None, interval=interval).rows_new == 1


def test_bars_of_another_length_make_nobody_up_to_date(warehouse: Any) -> None:
    warehouse.import_text("symbol,date,open,high,low,close,volume\nBINANCE:XUSDT,2024-01-01,10,11,9,10.5,5\n")
    hours = "symbol,t,open,high,low,close,volume\nBINANCE:XUSDT,2024-03-27T05:00:00Z,10,11,9,10.5,5\n"
    assert warehouse.import_text(hours, time_column="t", date_column=None, interval="1h").status == "OK"
    assert warehouse.rows("select status, last_final_session from ops.symbol_registry") == [
        ("STABLE", date(2024, 1, 1))
    ]
