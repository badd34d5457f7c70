"""Loads under violence: crashes, kills, retries, a second writer, a commit that fails after it succeeded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from quantmill.errors import DataContractError, WarehouseError, WarehouseLocked
from quantmill.manifest.home import writer_lock

import ingest.storing
from ingest.landing import Landing, next_load_id
from ingest.schema import TABLES
from ingest.workbench import Workbench

TEXT = "symbol,date,close\nNASDAQ:AAPL,2024-03-01,10\nNASDAQ:AAPL,2024-03-04,nan\n"


def test_every_table_and_column_reaches_duckdb_with_a_comment(warehouse: Any) -> None:
    with warehouse.session():
        pass
    columns = warehouse.rows(
        "select schema_name || '.' || table_name, column_name, comment from duckdb_columns() "
        "where schema_name in ('raw', 'ops') order by table_oid, column_index"
    )
    assert {table for table, _, _ in columns} == {table.name for table in TABLES}
    assert [row for row in columns if not row[2]] == []
    assert warehouse.rows(
        "select count(*) from duckdb_tables() where schema_name in ('raw', 'ops') and comment is null"
    ) == [(0,)]
    assert warehouse.rows("select count(*) from duckdb_constraints() where constraint_type = 'FOREIGN KEY'") == [(0,)]


def test_load_ids_ascend_even_when_the_clock_runs_back() -> None:
    now = datetime(2024, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    first = next_load_id(now, None, "a")
    second = next_load_id(now - timedelta(hours=1), first, "a")
    assert first.startswith("20240301T120000000005Z-")
    assert second.startswith("20240301T120000000006Z-")


def test_payloads_are_named_by_their_hash_and_reused(warehouse: Any) -> None:
    landing = Landing(warehouse.home.landing)
    name, sha256 = landing.keep_payload(b"abc", "csv")
    assert sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = landing.payloads / name
    stamp = path.stat().st_mtime_ns
    assert landing.keep_payload(b"abc", "csv") == (name, sha256)
    assert path.stat().st_mtime_ns == stamp
    path.chmod(0o644)
    path.write_bytes(b"abd")
    with pytest.raises(WarehouseError, match=name):
        landing.keep_payload(b"abc", "csv")


def test_a_later_load_changes_no_stored_row(warehouse: Any) -> None:
    warehouse.import_text(TEXT)
    before = warehouse.raw_tables()
    warehouse.import_text(TEXT.replace("10", "11").replace("nan", "12"), received_at=datetime(2024, 4, 2, tzinfo=UTC))
    after = warehouse.raw_tables()
    for name in before:
        if name != "ops.symbol_registry":
            assert set(before[name]) <= set(after[name]), name
    assert len(after["raw.bars"]) == len(before["raw.bars"]) + 2


def test_a_crash_between_landing_and_transaction_is_replayed_by_the_next_command(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest.storing, "_insert_file", crash)
        with pytest.raises(KeyboardInterrupt):
            warehouse.import_text(TEXT)
    assert warehouse.rows("select count(*) from raw.bars") == [(0,)]
    assert len(list((warehouse.home.landing / "loads").iterdir())) == 2
    with warehouse.session():
        pass
    assert warehouse.rows("select close from raw.bars") == [(10.0,)]
    assert warehouse.rows("select code from raw.quarantine") == [("NOT_FINITE",)]
    assert any(line.startswith("replayed load") and "bars.csv" in line for line in warehouse.said)
    assert warehouse.rows("select count(*) from ops.snapshots") == [(1,)]


def test_a_load_is_stored_once_however_often_it_is_tried(warehouse: Any) -> None:
    outcome = warehouse.import_text(TEXT)
    before = warehouse.raw_tables()
    landing = Landing(warehouse.home.landing)
    with Workbench(warehouse.home.workbench) as workbench:
        assert ingest.storing.store(workbench, landing, landing.read_load(outcome.load_id)) == outcome
    assert warehouse.raw_tables() == before


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_failed_commit_is_looked_up_before_it_is_tried_again(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch, is_durable: bool
) -> None:
    class Failing:
        """A connection whose first COMMIT of bars reports a full disk, done or not."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self.connection = connection
            self.has_bars = False

        def execute(self, query: str, *parameters: Any) -> Any:
            self.has_bars = self.has_bars or "insert into raw.bars" in query
            if query == "commit" and self.has_bars:
                failed.append(query)
                if is_durable:
                    self.connection.execute("commit")
                raise duckdb.FatalException("COMMIT succeeded or not: No space left on device")
            return self.connection.execute(query, *parameters)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.connection, name)

    failed: list[str] = []
    connect = Workbench._connect

    def connect_failing_once(self: Workbench) -> Any:
        connection = connect(self)
        return connection if failed else Failing(connection)

    monkeypatch.setattr(Workbench, "_connect", connect_failing_once)
    outcome = warehouse.import_text(TEXT)
    assert failed == ["commit"]
    assert outcome.status == "PARTIAL"
    assert warehouse.rows("select count(*) from raw.bars") == [(1,)]
    assert warehouse.rows("select count(*) from raw.loads where kind = 'bars'") == [(1,)]


def test_a_load_that_does_not_account_for_every_row_is_rolled_back(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ingest.bars.torn_count", lambda connection: 1)
        with pytest.raises(DataContractError, match="received 3 rows, accounts for 2"):
            warehouse.import_text(TEXT)
    assert warehouse.rows("select count(*) from raw.bars") == [(0,)]


def test_a_second_writer_waits_says_for_whom_and_fails(warehouse: Any) -> None:
    with (
        writer_lock(warehouse.home, holder="dbt build"),
        pytest.raises(WarehouseLocked, match="dbt build"),
        warehouse.session(),
    ):
        pass
    assert any("dbt build" in line for line in warehouse.said)


def test_a_file_held_by_duckdb_elsewhere_is_locked_and_not_corrupt(warehouse: Any) -> None:
    warehouse.home.workbench.parent.mkdir(parents=True)
    path = str(warehouse.home.workbench)
    code = f"import duckdb; held = duckdb.connect({path!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            with pytest.raises(WarehouseLocked), warehouse.session():
                pass
        finally:
            other.kill()
    warehouse.home.workbench.unlink()


def test_a_file_that_is_no_database_names_the_rebuild(warehouse: Any) -> None:
    warehouse.home.workbench.parent.mkdir(parents=True)
    warehouse.home.workbench.write_bytes(b"not a database " * 2000)
    with pytest.raises(WarehouseError, match="make rebuild"), warehouse.session():
        pass
    warehouse.home.workbench.unlink()


def test_snapshots_are_written_only_when_data_changed(warehouse: Any) -> None:
    first = warehouse.import_text(TEXT)
    warehouse.import_text(TEXT)
    assert warehouse.rows("select max_load_id from ops.snapshots") == [(first.load_id,)]
    second = warehouse.import_text(TEXT.replace("10", "11"), received_at=datetime(2024, 4, 2, tzinfo=UTC))
    snapshots = warehouse.rows("select max_load_id, content_hash from ops.snapshots order by 1")
    assert [load_id for load_id, _ in snapshots] == [first.load_id, second.load_id]
    assert snapshots[0][1] != snapshots[1][1]


def test_a_changed_load_record_is_refused_by_name(warehouse: Any) -> None:
    outcome = warehouse.import_text(TEXT)
    path = warehouse.home.landing / "loads" / f"{outcome.load_id}.json"
    body = json.loads(path.read_text())
    body["received_at"] = "2020-01-01T00:00:00.000000Z"
    path.chmod(0o644)
    path.write_text(json.dumps(body))
    with pytest.raises(WarehouseError, match=outcome.load_id):
        Landing(warehouse.home.landing).read_load(outcome.load_id)


def test_a_killed_writer_loses_nothing_and_doubles_nothing(warehouse: Any, repository: Path) -> None:
    environment = {**os.environ, "QUANTMILL_HOME": str(warehouse.home.state)}
    command = [sys.executable, "-m", "ingest", "sample"]
    loads = warehouse.home.landing / "loads"
    for landed in (1, 2, 3):
        with subprocess.Popen(command, cwd=repository, env=environment, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and (not loads.is_dir() or len(list(loads.glob("*.json"))) < landed):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert warehouse.rows("select count(*), count(distinct (symbol, opened_at_utc)) from raw.bars") == [
        (185_893, 185_893)
    ]
    assert sorted(path.stem for path in loads.iterdir()) == [
        row[0] for row in warehouse.rows("select load_id from raw.loads order by 1")
    ]
    assert not list(warehouse.home.landing.rglob("*.part"))
