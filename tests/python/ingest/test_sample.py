"""The embedded prices, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from quantmill.errors import BadValue, UnknownKey

from ingest.sources.embedded import land_embedded, package_folder, read_manifest


def land(warehouse: Any, repository: Path, **options: Any) -> Any:
    source = read_manifest(repository / "manifest" / "sources" / "embedded.yml")
    with warehouse.session() as session:
        return land_embedded(
            session,
            source,
            package_folder(source),
            force=options.get("force", False),
            report=lambda name, outcome: warehouse.said.append(f"{name}: {outcome.status}"),
        )


def test_the_sample_lands_every_close_of_the_package_under_its_symbol(warehouse: Any, repository: Path) -> None:
    warehouse.now = warehouse.now.replace(year=2026)
    outcomes = land(warehouse, repository)
    assert [outcome.status for outcome in outcomes] == ["OK"] * 4
    assert sum(outcome.rows_new for outcome in outcomes if outcome.kind == "bars") == 185_893
    source = read_manifest(repository / "manifest" / "sources" / "embedded.yml")
    landed = 0
    for file in source.files:
        frame = pd.read_csv(package_folder(source) / file.file, index_col="Date", parse_dates=True)
        opened = frame.index.tz_localize("America/New_York").tz_convert("UTC").tz_localize(None)
        for column, entry in file.columns.items():
            closes = frame[column].dropna()
            landed += len(closes)
            rows = warehouse.rows(
                "select opened_at_utc, close from raw.bars where symbol = ? and adjustment = ? order by 1",
                entry.symbol,
                file.adjustment,
            )
            assert [row[0] for row in rows] == list(opened[frame[column].notna()])
            assert [row[1] for row in rows] == closes.tolist()
    assert landed == 185_893
    assert warehouse.rows(
        "select count(*) from raw.bars where open is not null or volume is not null or not is_final"
    ) == [(0,)]
    assert warehouse.rows(
        "select status, count(*), min(last_final_session)::varchar from ops.symbol_registry group by 1"
    ) == [("STABLE", 26, "2022-12-28")]


def test_a_second_run_adds_nothing_whether_it_reads_the_payloads_or_not(warehouse: Any, repository: Path) -> None:
    land(warehouse, repository)
    before = warehouse.raw_tables()
    for force in (False, True):
        outcomes = land(warehouse, repository, force=force)
        assert [outcome.status for outcome in outcomes] == ["UP_TO_DATE"] * 4
        assert [outcome.rows_identical for outcome in outcomes] == [26, 166_260, 8_313, 11_320]
    after = warehouse.raw_tables()
    for name in ("raw.bars", "raw.symbol_metadata", "raw.quarantine", "ops.snapshots"):
        assert after[name] == before[name]
    assert len(after["raw.loads"]) == 12
    assert len(list((warehouse.home.landing / "payloads").rglob("*.csv.gz"))) == 3


def test_payloads_are_the_exact_bytes_of_the_package(warehouse: Any, repository: Path) -> None:
    land(warehouse, repository)
    source = read_manifest(repository / "manifest" / "sources" / "embedded.yml")
    ours = sorted(path.read_bytes() for path in (warehouse.home.landing / "payloads").rglob("*.csv.gz"))
    assert ours == sorted((package_folder(source) / file.file).read_bytes() for file in source.files)


def test_metadata_say_what_the_profile_needs(warehouse: Any, repository: Path) -> None:
    land(warehouse, repository)
    rows = {
        symbol: json.loads(text) for symbol, text in warehouse.rows("select symbol, payload from raw.symbol_metadata")
    }
    assert len(rows) == 26
    assert {row["calendar_id"] for row in rows.values()} == {"XNYS"}
    assert {row["timezone"] for row in rows.values()} == {"America/New_York"}
    assert {row["tick_size"] for row in rows.values()} == {0.01}
    assert (rows["SP:SPX"]["asset_class"], rows["SP:SPX"]["adjustment"], rows["SP:SPX"]["sector"]) == (
        "index",
        "none",
        None,
    )
    assert (rows["NASDAQ:AAPL"]["economic_id"], rows["NASDAQ:AAPL"]["sector"]) == (
        "AAPL.US",
        "Information Technology",
    )
    assert (rows["AMEX:SIZE"]["asset_class"], rows["AMEX:SIZE"]["adjustment"]) == ("etf", "total_return")
    assert all(row["sector"] for row in rows.values() if row["asset_class"] == "equity")


@pytest.mark.parametrize(
    ("old", "new", "error", "found"),
    [
        ("folder: datasets/data", "foldre: datasets/data", UnknownKey, "did you mean 'folder'"),
        ("      tick_size: 0.01", "      tik_size: 0.01", UnknownKey, "did you mean 'tick_size'"),
        ("economic_id: GE.US,", "economic_ids: GE.US,", UnknownKey, "did you mean 'economic_id'"),
        ("    interval: 1d", "    intervall: 1d", UnknownKey, "did you mean 'interval'"),
        ("NYSE:GE", "NYSE-GE", BadValue, "columns.GE.symbol"),
        ("NYSE:GE", "NYSE:BAC", BadValue, "NYSE:BAC"),
        ("tick_size: 0.01", "tick_size: -1", BadValue, "tick_size"),
    ],
)
def test_a_wrong_manifest_is_refused_with_file_key_and_remedy(
    tmp_path: Path, repository: Path, old: str, new: str, error: type[Exception], found: str
) -> None:
    text = (repository / "manifest" / "sources" / "embedded.yml").read_text()
    assert old in text
    path = tmp_path / "embedded.yml"
    path.write_text(text.replace(old, new))
    with pytest.raises(error, match=found) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
