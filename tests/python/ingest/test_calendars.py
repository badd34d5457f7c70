"""The data cycle expects the sessions that the models lay out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from quantmill.manifest import calendars

from ingest import calendars as sessions


def test_a_correction_moves_the_session_that_the_data_cycle_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / calendars.CORRECTIONS_FILE
    path.parent.mkdir(parents=True)
    header = "version,calendar_id,session_date,kind,open_utc,close_utc,reason\n"
    path.write_text(header + "1,XNYS,2026-01-28,closed,,,a storm\n", encoding="utf-8")
    as_of = datetime(2026, 1, 28, 23, tzinfo=UTC)
    found = {}
    for name, root in (("library", sessions.ROOT), ("corrected", tmp_path)):
        monkeypatch.setattr(sessions, "ROOT", root)
        sessions._sessions.cache_clear()
        with duckdb.connect() as connection:
            found[name] = sessions.expected_sessions(connection, ["XNYS", "24/7"], as_of)
    sessions._sessions.cache_clear()
    assert found["library"] == {"XNYS": date(2026, 1, 28), "24/7": date(2026, 1, 27)}
    assert found["corrected"] == {"XNYS": date(2026, 1, 27), "24/7": date(2026, 1, 27)}
