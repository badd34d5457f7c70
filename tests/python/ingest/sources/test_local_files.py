"""Bringing one's own history: names in the desk's own spelling, volumes, several symbols in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from quantmill.errors import BadValue, UsageError

TEXT = """name,date,open,high,low,close,base_volume,turnover
BTCUSDT,2024-03-01,1,3,0.5,2,10,20
ETHUSDT,2024-03-01,2,4,1,3,5,15
BINANCE:XRPUSDT,2024-03-01,1,1,1,1,1,1
SOL/USDT,2024-03-01,1,1,1,1,1,1
1000PEPEUSDT,2024-03-01,1,1,1,1,1,1
"""
COLUMNS: dict[str, Any] = {
    "symbol_column": "name",
    "mapping": {"volume": "base_volume", "quote_volume": "turnover"},
}


def test_a_form_makes_symbols_of_the_names_of_a_file(warehouse: Any) -> None:
    outcome = warehouse.import_text(
        TEXT,
        symbol_form="BINANCE:{}.P",
        symbol_map={"1000PEPEUSDT": "BINANCE:PEPEUSDT.P"},
        adjustment="splits",
        **COLUMNS,
    )
    assert (outcome.rows_received, outcome.rows_new, outcome.rows_quarantined) == (5, 4, 1)
    assert warehouse.rows("select symbol, close, volume, quote_volume, adjustment from raw.bars order by symbol") == [
        ("BINANCE:BTCUSDT.P", 2.0, 10.0, 20.0, "splits"),
        ("BINANCE:ETHUSDT.P", 3.0, 5.0, 15.0, "splits"),
        ("BINANCE:PEPEUSDT.P", 1.0, 1.0, 1.0, "splits"),
        ("BINANCE:XRPUSDT", 1.0, 1.0, 1.0, "splits"),
    ]
    assert warehouse.rows("select code, detail from raw.quarantine") == [
        ("BAD_SYMBOL", "symbol is SOL/USDT; needs EXCHANGE:TICKER")
    ]


def test_the_same_file_with_the_same_form_is_the_same_request(warehouse: Any) -> None:
    first = warehouse.import_text(TEXT, symbol_form="BINANCE:{}.P", **COLUMNS)
    again = warehouse.import_text(TEXT, symbol_form="BINANCE:{}.P", **COLUMNS)
    assert (first.rows_new, again.rows_new) == (4, 0)


@pytest.mark.parametrize("form", ["BINANCE", "BINANCE:X", "BINANCE:{}{}", "binance:{}", "BINANCE:{}'"])
def test_a_form_that_is_none_is_a_clear_error(warehouse: Any, form: str) -> None:
    with pytest.raises(BadValue, match="write it like BINANCE"):
        warehouse.import_text(TEXT, symbol_form=form, **COLUMNS)


def test_a_form_without_a_column_of_names_is_a_usage_error(warehouse: Any) -> None:
    with pytest.raises(UsageError, match="--symbol-form needs a column of names"):
        warehouse.import_text(TEXT, symbol_column=None, symbol="A:X", symbol_form="A:{}")


def test_a_real_parquet_of_perpetuals_lands_with_one_command(warehouse: Any, shared_data: Path) -> None:
    warehouse.now = datetime(2026, 4, 1, tzinfo=UTC)
    outcomes = warehouse.import_path(
        shared_data / "binance_usdm_perp_1d" / "binance_usdm_perp_1d.parquet",
        symbol_column="symbol",
        symbol_form="BINANCE:{}.P",
        date_column=None,
        time_column="ts_utc",
        mapping={"volume": "volume_base", "quote_volume": "volume_quote"},
        received_at=datetime(2026, 3, 19, 19, 49, tzinfo=UTC),
    )
    assert outcomes[-1].rows_received == 205_541
    (found,) = warehouse.rows("""
        select count(distinct symbol), count(*), count(*) filter (where quote_volume > 0),
            count(*) filter (where not is_final and opened_at_utc = timestamp '2026-03-19')
        from raw.bars
    """)
    # the last bar of every symbol that was alive is not over, given the time of its receipt; two series with a
    # return beyond 500 % are rejected
    assert found[0] == 404 and found[1] == 205_541 - outcomes[-1].rows_quarantined
    assert found[2] > 204_500 and found[3] == 404
