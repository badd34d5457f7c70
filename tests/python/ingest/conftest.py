"""A home in a temporary folder, a clock that ticks, and short ways to land text and to ask the workbench."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from quantmill.manifest.home import Home

from ingest.loads import open_session
from ingest.sources.local_files import ImportOptions, import_file
from ingest.storing import Outcome

REPOSITORY = Path(__file__).resolve().parents[3]
RECEIVED = datetime(2024, 3, 28, 21, tzinfo=UTC)
OPTIONS = ImportOptions(source="vendor", received_at=RECEIVED, symbol_column="symbol", date_column="date")


@dataclass
class Warehouse:
    """One home under test."""

    home: Home
    said: list[str] = field(default_factory=list)
    now: datetime = datetime(2024, 6, 1, tzinfo=UTC)

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def session(self) -> Any:
        return open_session(self.home, holder="test", clock=self.clock, say=self.said.append, wait_seconds=0.2)

    def import_path(self, path: Path, **options: Any) -> list[Outcome]:
        with self.session() as session:
            return import_file(session, path, replace(OPTIONS, **options))

    def import_text(self, text: str, name: str = "bars.csv", **options: Any) -> Outcome:
        """Land CSV text and return the outcome of its bars."""
        path = self.home.state / name
        path.write_text(text, encoding="utf-8")
        return self.import_path(path, **options)[-1]

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home.workbench), read_only=True) as connection:
            return connection.execute(query, list(parameters)).fetchall()

    def raw_tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every raw and ops table, in a total order."""
        names = [
            name
            for (name,) in self.rows(
                "select schema_name || '.' || table_name from duckdb_tables() "
                "where schema_name in ('raw', 'ops') order by 1"
            )
        ]
        assert len(names) == 18
        return {name: self.rows(f"select * from {name} order by all") for name in names}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """Give an empty home; afterwards the tables must account for every row of every load."""
    warehouse = Warehouse(Home(root=REPOSITORY, state=tmp_path))
    yield warehouse
    if not warehouse.home.workbench.is_file():
        return
    broken = warehouse.rows("""
        select loads.load_id from raw.loads as loads
        left join (select load_id, count(*) as n from raw.quarantine group by load_id) as bad using (load_id)
        left join (
            select load_id, count(*) as n from (
                select load_id from raw.bars union all select load_id from raw.symbol_metadata
                union all select load_id from raw.resolutions union all select load_id from raw.scan_rows
                union all select load_id from raw.execution_limits union all select load_id from raw.vendor_features
                union all select load_id from raw.corporate_actions union all select load_id from raw.symbol_aliases
            ) group by load_id
        ) as stored using (load_id)
        where rows_received != rows_new + rows_identical + rows_superseding + rows_quarantined
            or rows_quarantined != coalesce(bad.n, 0) or rows_new + rows_superseding != coalesce(stored.n, 0)
    """)
    assert broken == []


@pytest.fixture
def repository() -> Path:
    return REPOSITORY
