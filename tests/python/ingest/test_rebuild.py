"""The workbench can be made again from the landing, row for row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest
from quantmill.errors import MissingLanding, WarehouseError

from ingest.rebuild import rebuild
from ingest.releases import land_resolution

TEXT = "symbol,date,close\nNASDAQ:AAPL,2024-03-01,10\nNASDAQ:AAPL,2024-03-04,nan\nNASDAQ:AAPL,2024-03-28,12\n"


@pytest.fixture
def landed(warehouse: Any) -> Any:
    """A warehouse with new, identical, superseding, repeated, backdated and rejected loads."""
    april = datetime(2024, 4, 2, tzinfo=UTC)
    warehouse.import_text(TEXT)
    warehouse.import_text(TEXT)
    warehouse.import_text(TEXT.replace("nan", "11"), received_at=april)
    warehouse.import_text(TEXT.replace("nan", "11"), received_at=april)
    warehouse.import_text(TEXT.replace("10", "9"))
    warehouse.import_text("symbol,date,close\nNYSE:XOM,2024-03-01,-1\n")
    for reason in ("it fell", "it fell", "it fell for a reason"):
        with warehouse.session() as session:
            land_resolution(
                session,
                symbol="NASDAQ:AAPL",
                session_date=date(2024, 3, 4),
                code="SUSPECT_DROP",
                reason=reason,
                by="desk",
            )
    return warehouse


def test_a_rebuild_equals_the_workbench_row_for_row(landed: Any) -> None:
    before = landed.raw_tables()
    assert all(before[name] for name in ("raw.bars", "raw.quarantine", "raw.resolutions", "raw.loads", "ops.snapshots"))
    assert "UP_TO_DATE" in {row[3] for row in before["raw.loads"]}
    rebuild(landed.home, say=landed.said.append)
    assert landed.raw_tables() == before
    kept = landed.home.workbench.with_name("warehouse.before-rebuild.duckdb")
    with duckdb.connect(str(kept), read_only=True) as old:
        assert old.execute("select count(*) from raw.loads").fetchone() == (len(before["raw.loads"]),)


@pytest.mark.parametrize("damage", ["missing", "noise", "flipped"])
def test_a_rebuild_needs_no_readable_workbench(landed: Any, damage: str) -> None:
    before = landed.raw_tables()
    workbench = landed.home.workbench
    if damage == "missing":
        workbench.unlink()
    elif damage == "noise":
        workbench.write_bytes(b"noise" * 5000)
    else:
        data = bytearray(workbench.read_bytes())
        for place in range(12_300, len(data), 4_096):
            data[place] ^= 1
        workbench.write_bytes(data)
    rebuild(landed.home, say=landed.said.append)
    assert landed.raw_tables() == before


def test_a_damaged_payload_stops_the_rebuild_by_name_and_changes_nothing(landed: Any) -> None:
    before = landed.raw_tables()
    payload = next((landed.home.landing / "payloads").rglob("*.csv"))
    payload.chmod(0o644)
    payload.write_bytes(payload.read_bytes() + b"x")
    with pytest.raises(WarehouseError, match=payload.name):
        rebuild(landed.home, say=landed.said.append)
    assert landed.raw_tables() == before


def test_a_rebuild_refuses_to_lose_a_load_without_landing_file(landed: Any) -> None:
    before = landed.raw_tables()
    record = max((landed.home.landing / "loads").iterdir())
    record.unlink()
    with pytest.raises(WarehouseError, match=record.stem):
        rebuild(landed.home, say=landed.said.append)
    assert landed.raw_tables() == before


def test_nothing_landed_is_an_error(warehouse: Any) -> None:
    with pytest.raises(MissingLanding, match="ingest sample"):
        rebuild(warehouse.home, say=warehouse.said.append)


def test_history_comes_back_from_the_published_snapshot_and_the_rest_does_not(landed: Any) -> None:
    with duckdb.connect(str(landed.home.snapshot)) as published:
        published.execute("""
            create schema selection; create schema tournaments; create schema features;
            create table selection.runs (run_id varchar primary key, profile varchar not null);
            comment on table selection.runs is 'One row per run.';
            comment on column selection.runs.run_id is 'the run''s id';
            insert into selection.runs values ('a', 'sample'), ('b', 'sample');
            create table selection.scratch (x integer);
            create table tournaments.cells as select 'a' as run_id, 1 as x;
            create view tournaments.cells_latest as select * from tournaments.cells;
            create table features.quality_results (snapshot_id varchar);
            insert into features.quality_results values ('s');
            create table features.daily_returns (symbol varchar);
            create schema raw; create table raw.bars as select 1 as x;
        """)
    rebuild(landed.home, say=landed.said.append)
    assert landed.rows("select * from selection.runs order by 1") == [("a", "sample"), ("b", "sample")]
    tables = landed.rows(
        "select schema_name || '.' || table_name from duckdb_tables() "
        "where schema_name not in ('raw', 'ops') order by 1"
    )
    assert [name for (name,) in tables] == ["features.quality_results", "selection.runs", "tournaments.cells"]
    assert landed.rows("select comment from duckdb_tables() where table_name = 'runs'") == [("One row per run.",)]
    assert landed.rows("select comment from duckdb_columns() where table_name = 'runs' and column_name = 'run_id'") == [
        ("the run's id",)
    ]
    assert "restored selection.runs: 2 rows from warehouse.duckdb" in landed.said
    with duckdb.connect(str(landed.home.workbench)) as workbench, pytest.raises(duckdb.ConstraintException):
        workbench.execute("insert into selection.runs values ('a', 'sample')")


def test_a_snapshot_that_cannot_be_read_stops_the_rebuild(landed: Any) -> None:
    before = landed.raw_tables()
    landed.home.snapshot.write_bytes(b"noise" * 5000)
    with pytest.raises(WarehouseError, match="holds the history"):
        rebuild(landed.home, say=landed.said.append)
    assert landed.raw_tables() == before
