"""The quality gate in whole builds: a fault in the data stops before selection, and readers keep what they had."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime

import duckdb
import pytest
from quantmill.manifest.home import Home
from support import SMALL, ask, dbt_build, ingest, run

pytestmark = pytest.mark.build

SHORT = {**SMALL, "lookback_sessions": 420}
RULES = "select expectation, status, is_stopping from features.quality_results where not is_success order by 1"


@pytest.fixture(scope="session")
def faulty(make_home: Callable[[str], Home]) -> Home:
    """A home with a published run, in whose landing one close was then superseded by one nine times as high."""
    home = make_home("faulty")
    assert ingest(home, "sample").code == 0
    built = dbt_build(home, **SHORT)
    assert built.code == 0, built.output
    assert "quality:" not in built.output
    close = ask(
        home, "select close from features.session_bars where symbol = 'NYSE:JPM' and session_date = '2022-11-01'"
    )
    path = home.state / "fault.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["symbol", "date", "close"], ["NYSE:JPM", "2022-11-01", 9 * close[0][0]]])
    landed = ingest(
        home, "import", str(path), "--source", "test", "--received-at", datetime.now(UTC).isoformat(),
        "--symbol-column", "symbol", "--date-column", "date", "--adjustment", "total_return",
    )  # fmt: skip
    assert landed.code == 0, landed.output
    return home


@pytest.fixture(scope="session")
def refused(faulty: Home) -> tuple[str, int]:
    """What a strict build over the fault printed, and the published file before it."""
    before = faulty.snapshot.stat().st_ino
    built = dbt_build(faulty, **SHORT)
    assert built.code != 0
    return built.output, before


def workbench(home: Home, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_a_strict_build_stops_with_a_table_of_offenders(refused: tuple[str, int]) -> None:
    output, _ = refused
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if "| NYSE:JPM" in line]
    assert ["returns", "no_return_beyond_500_percent", "NYSE:JPM", "2022-11-01", "at most 500 %"] in [
        row[:5] for row in rows
    ]
    assert {row[0] for row in rows} == {"returns", "spikes", "health"}
    assert all("python -m ingest import" in row[6] for row in rows)


def test_the_published_snapshot_stays_and_no_run_was_opened(refused: tuple[str, int], faulty: Home) -> None:
    output, before = refused
    assert "publish: skipped" in output
    assert faulty.snapshot.stat().st_ino == before
    assert workbench(faulty, "select status, count(*) from selection.runs group by status") == [("sealed", 1)]
    assert ask(faulty, "select count(*) from features.quality_results where not is_success") == [(0,)]


def test_the_failing_rows_stay_in_the_workbench_although_the_build_failed(
    refused: tuple[str, int], faulty: Home
) -> None:
    failing = [(row[0], row[2]) for row in workbench(faulty, RULES)]
    assert failing == [
        ("no_open_spike", True),
        ("no_return_beyond_500_percent", True),
        ("no_symbol_is_missing_or_toxic", True),
    ]
    assert workbench(
        faulty,
        "select symbol, session_date::varchar from features.quality_failures"
        " where expectation = 'no_return_beyond_500_percent'",
    ) == [("NYSE:JPM", "2022-11-01")]
    assert (faulty.quality / "index.html").is_file()


def test_the_commands_end_with_four(refused: tuple[str, int], faulty: Home) -> None:
    for command in (("quality",), ("build",)):
        ended = run(faulty, "-m", "quantmill", *command, "--set", "lookback_sessions=420")
        assert ended.code == 4, ended.output
        assert "no_return_beyond_500_percent" in ended.output
    assert run(faulty, "-m", "quantmill", "quality", "--last").code == 0


def test_a_gate_that_only_reports_lets_the_run_pass_and_says_what_failed(
    refused: tuple[str, int], faulty: Home
) -> None:
    built = dbt_build(faulty, **SHORT, quality__gate="report")
    assert built.code == 0, built.output
    assert "quality: 3 of 23 rules do not hold and were let pass by the gate report" in built.output
    assert ask(
        faulty,
        """
        select r.profile, q.gate, count(*) filter (where not q.is_success) from selection.runs as r
        join features.quality_results as q using (judgement_id) where q.gate = 'report' group by all
        """,
    ) == [("sample", "report", 3)]
    assert ask(faulty, "select count(distinct judgement_id) from features.quality_results") == [(3,)]
