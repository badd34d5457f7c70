"""Sets of real bars land as files, and their documented defects come out under their codes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from python.features.pipeline import Pipeline

COINS = {
    "date_column": None,
    "time_column": "ts_utc",
    "mapping": {"volume": "volume_base", "quote_volume": "volume_quote"},
}


def test_stray_bars_a_zero_low_and_a_missed_split_of_us_series_are_named(warehouse: Any, shared_data: Path) -> None:
    warehouse.now = datetime(2025, 6, 1, tzinfo=UTC)
    outcome = warehouse.import_path(
        shared_data / "us_iex_1d" / "us_iex_1d.parquet",
        symbol_form="NYSE:{}",
        mapping={"volume": "volume_iex"},
        adjustment="total_return",
        received_at=datetime(2025, 4, 10, tzinfo=UTC),
    )[-1]
    assert (outcome.status, outcome.rows_received, outcome.rows_quarantined) == ("PARTIAL", 395_315, 11)
    quarantined = warehouse.rows("select code, symbol from raw.quarantine order by 1, 2")
    strays = ["CMCSA", "CSCO", "DIS", "MDLZ", "MPWR", "SNPS", "SPY", "TSCO", "USO", "XOP"]
    assert quarantined == [("OHLC_INVALID", "NYSE:T"), *(("STRAY_BAR", f"NYSE:{name}") for name in strays)]
    assert warehouse.rows(
        "select symbol, opened_at_utc::date::varchar from raw.findings where code = 'SPLIT_SUSPECT'"
    ) == [("NYSE:SVXY", "2024-04-11")]
    # the false jumps of 2020-07-27 that the strays would have made are no finding
    assert warehouse.rows("select count(*) from raw.findings where code in ('EXTREME', 'TOXIC_RETURN')") == [(0,)]


def test_real_moves_of_coins_are_kept_or_wait_and_the_last_bar_is_not_final(warehouse: Any, shared_data: Path) -> None:
    warehouse.now = datetime(2026, 6, 1, tzinfo=UTC)
    outcome = warehouse.import_path(
        shared_data / "binance_spot_usdt_1d" / "binance_spot_usdt_1d.parquet",
        symbol_form="BINANCE:{}",
        received_at=datetime(2026, 1, 2, 12, tzinfo=UTC),
        **COINS,
    )[-1]
    assert (outcome.rows_received, outcome.rows_quarantined) == (75_084, 3)
    assert warehouse.rows("select distinct code, symbol from raw.quarantine") == [("SUSPECT_DROP", "BINANCE:DOGEUSDT")]
    assert warehouse.rows("select distinct opened_at_utc::date::varchar from raw.bars where not is_final") == [
        ("2026-01-02",)
    ]
    assert warehouse.rows("select status, count(*) from ops.symbol_registry group by 1 order by 1") == [
        ("DEGRADED", 1),
        ("STABLE", 49),
    ]


def test_a_series_of_dividends_and_splits_lands_with_its_crash(warehouse: Any, shared_data: Path) -> None:
    warehouse.now = datetime(2025, 6, 1, tzinfo=UTC)
    outcome = warehouse.import_path(
        shared_data / "us_yahoo_actions_1d" / "us_yahoo_actions_1d.parquet",
        symbol_form="NYSE:{}",
        adjustment="total_return",
        received_at=datetime(2024, 12, 10, tzinfo=UTC),
    )[-1]
    assert outcome.rows_received == 104_030
    assert dict(warehouse.rows("select code, count(distinct symbol) from raw.quarantine group by 1")) == {
        "SUSPECT_DROP": 1,  # BRZU in March 2020, which is real
    }
    # prices rounded in their adjustment, a high in its last bit below the close: equal, and kept as they came
    assert warehouse.rows(
        "select count(*) from raw.bars where high < greatest(open, close) or low > least(open, close)"
    )[0] == (68,)


def test_a_few_of_two_whole_markets_have_the_codes_and_labels_that_the_page_about_them_tells(
    warehouse: Any, shared_data: Path, tmp_path: Path
) -> None:
    """What docs/markets.md says of all 11,252 symbols, on one or two for each of its rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = {
        "us_full_market_2025q1_1d": ("AAPL", "SPY", "VRTL", "AMZE", "AACT.U", "EHLD", "FORLU", "CLEU", "ATCH",
                                     "IIPR.PRA", "NYMTM"),
        "binance_usdm_perp_1d": ("BTCUSDT", "ZKJUSDT", "BULLAUSDT", "BLESSUSDT"),
    }  # fmt: skip
    given = {
        "us_full_market_2025q1_1d": {
            "source": "iex", "symbol_form": "NYSE:{}", "mapping": {"volume": "volume_iex"},
            "adjustment": "total_return", "received_at": datetime(2025, 4, 7, tzinfo=UTC),
        },
        "binance_usdm_perp_1d": {
            **COINS, "source": "binance", "symbol_form": "BINANCE:{}.P",
            "received_at": datetime(2026, 3, 19, 19, 49, tzinfo=UTC),
        },
    }  # fmt: skip
    warehouse.now = datetime(2026, 6, 1, tzinfo=UTC)
    for name, symbols in names.items():
        rows = pq.read_table(shared_data / name / f"{name}.parquet")
        few = rows.filter(pc.is_in(rows["symbol"], pa.array(symbols)))
        pq.write_table(few, tmp_path / "few.parquet")
        warehouse.import_path(tmp_path / "few.parquet", **given[name])
    assert set(warehouse.rows("select code, symbol from raw.quarantine where code <> 'SUSPECT_DROP'")) == {
        ("DUPLICATE_ROW", "NYSE:IIPR.PRA"), ("DUPLICATE_ROW", "NYSE:NYMTM"),
        ("TOXIC_RETURN", "NYSE:ATCH"), ("TOXIC_RETURN", "BINANCE:BLESSUSDT.P"),
    }  # fmt: skip
    waiting = warehouse.rows("select distinct symbol from raw.quarantine where code = 'SUSPECT_DROP' order by 1")
    assert waiting == [("BINANCE:BULLAUSDT.P",), ("BINANCE:ZKJUSDT.P",), ("NYSE:CLEU",)]

    pipeline = Pipeline()
    pipeline.connection.execute(f"attach '{warehouse.home.workbench}' as landed (read_only)")
    for table in ("raw.bars", "raw.symbol_metadata", "raw.findings", "raw.loads", "ops.symbol_registry"):
        pipeline.connection.execute(f"insert into {table} by name select * from landed.{table}")
    pipeline.build("symbol_health")
    found = pipeline.ask(
        "select symbol, label, reasons from symbol_health"
        " qualify row_number() over (partition by symbol order by as_of_date desc) = 1 order by 1"
    )
    assert {symbol: (label, reasons) for symbol, label, reasons in found} == {
        "BINANCE:BTCUSDT.P": ("OK", ""),
        "BINANCE:BULLAUSDT.P": ("TOXIC", "SPIKES:1,MISSING:1"),
        "BINANCE:ZKJUSDT.P": ("TOXIC", "SPIKES:13,MISSING_RUN,MISSING:6"),
        "NYSE:AACT.U": ("DEGRADED", "SESSIONS_BEHIND:1,MISSING:1,STALL:32"),
        "NYSE:AAPL": ("OK (MARKET CLOSED)", ""),
        "NYSE:AMZE": ("OK", "MISSING:1"),
        "NYSE:CLEU": ("TOXIC", "SPIKES:22,MISSING_RUN,MISSING:11"),
        "NYSE:EHLD": ("DEGRADED", "MISSING_RUN,MISSING:2"),
        "NYSE:FORLU": ("STALE", "SESSIONS_BEHIND:10,MISSING_RUN,MISSING:10,STALL:53"),
        "NYSE:SPY": ("OK (MARKET CLOSED)", ""),
        "NYSE:VRTL": ("OK", ""),
    }
