"""The quality gate in whole builds: a fault in the data stops before selection, and readers keep what they had."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime

import duckdb
import pytest
from quantmill.manifest.home import Home
from quantmill.quality.rules import load_rules
from support import ROOT, SHORT, ask, copy_of_home, dbt_build, ingest, run

pytestmark = pytest.mark.build

RULES = "select expectation, status, is_stopping from features.quality_results where not is_success order by 1"


@pytest.fixture(scope="session")
def faulty(short_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a published run, in whose landing one close was then superseded by one nine times as high."""
    home = copy_of_home(short_home, tmp_path_factory.mktemp("faulty") / "home")
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
    # the bar is of another source, so it meets no other total return: its level says what is wrong
    assert ["spikes", "no_open_spike", "NYSE:JPM", "2022-11-01"] in [row[:4] for row in rows]
    assert {row[0] for row in rows} == {"spikes", "health"}
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
        ("no_symbol_is_missing_or_toxic", True),
    ]
    assert workbench(
        faulty,
        "select symbol, session_date::varchar from features.quality_failures where expectation = 'no_open_spike'",
    ) == [("NYSE:JPM", "2022-11-01")]
    assert (faulty.quality / "index.html").is_file()


def test_the_commands_end_with_four(refused: tuple[str, int], faulty: Home) -> None:
    for command in (("quality",), ("build",)):
        ended = run(faulty, "-m", "quantmill", *command, "--set", "lookback_sessions=420")
        assert ended.code == 4, ended.output
        assert "no_open_spike" in ended.output
    assert run(faulty, "-m", "quantmill", "quality", "--last").code == 0


def test_a_gate_that_only_reports_lets_the_run_pass_and_says_what_failed(
    refused: tuple[str, int], faulty: Home
) -> None:
    built = dbt_build(faulty, **SHORT, quality__gate="report")
    assert built.code == 0, built.output
    assert (
        f"quality: 2 of {len(load_rules(ROOT / 'manifest'))} rules do not hold and were let pass by the gate report"
        in built.output
    )
    assert ask(
        faulty,
        """
        select r.profile, q.gate, count(*) filter (where not q.is_success) from selection.runs as r
        join features.quality_results as q using (judgement_id) where q.gate = 'report' group by all
        """,
    ) == [("sample", "report", 2)]
    assert ask(faulty, "select count(distinct judgement_id) from features.quality_results") == [(3,)]


@pytest.fixture(scope="session")
def raw_pool(landed_home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[date]]:
    """A raw-pool build, and the sessions of its grid: JPM jumps ninefold, KO ends, XOM lacks three sessions up to the
    decision of window 3, and PG falls to a seventh, which is then resolved.
    """
    home = copy_of_home(landed_home, tmp_path_factory.mktemp("raw-pool") / "home")
    with duckdb.connect(str(home.workbench)) as connection:
        rows = connection.execute(
            "select distinct cast(opened_at_utc as date) from raw.bars where symbol = 'SP:SPX' order by 1"
        ).fetchall()
        grid = [row[0] for row in rows][-420:]
        where = "symbol = ? and cast(opened_at_utc as date)"
        connection.execute(f"update raw.bars set close = 9 * close where {where} = ?", ["NYSE:JPM", grid[305]])
        connection.execute(f"delete from raw.bars where {where} >= ?", ["NYSE:KO", grid[300]])
        connection.execute(f"delete from raw.bars where {where} between ? and ?", ["NYSE:XOM", grid[309], grid[311]])
        connection.execute(f"update raw.bars set close = close / 7 where {where} >= ?", ["NYSE:PG", grid[306]])
    fallen = [str(session) for session in grid[306:330]]
    resolved = ingest(home, "resolve", "NYSE:PG", *fallen, "--code", "SUSPECT_DROP", "--reason", "a spin-off")
    assert resolved.code == 0, resolved.output
    scored = {**SHORT, "matrix__selection_engines": ["v3.2", "baseline"]}
    built = dbt_build(home, **scored, quality__gate="raw_pool")
    assert built.code == 0, built.output
    assert "let pass by the gate raw_pool" in built.output
    return home, grid


def test_a_raw_pool_leaves_out_toxic_and_delisted_symbols_and_tags_stale_ones(
    raw_pool: tuple[Home, list[date]],
) -> None:
    home, grid = raw_pool
    found = ask(
        home,
        """
        select symbol, verdict, failed_gates, drop_reason from selection.candidates
        join selection.windows using (run_id, window_set, window_index)
        where decision_date = ? and symbol in ('NYSE:JPM', 'NYSE:KO', 'NYSE:XOM', 'NYSE:PG') order by symbol
        """,
        grid[311],
    )
    assert found == [
        ("NYSE:JPM", "TOXIC", "HEALTH:TOXIC", "TOXIC"),
        ("NYSE:KO", "STALE", "HEALTH:STALE,DELISTED:12", "DELISTED"),
        ("NYSE:PG", "OK", "", None),
        ("NYSE:XOM", "STALE", "HEALTH:STALE", None),
    ]
    winners = "select count(*) from selection.winners where symbol = ? and window_index >= 3"
    assert [ask(home, winners, symbol)[0][0] for symbol in ("NYSE:JPM", "NYSE:KO")] == [0, 0]


def test_each_candidate_that_stays_with_a_tag_is_a_warning_of_its_window_and_engine(
    raw_pool: tuple[Home, list[date]],
) -> None:
    home, _ = raw_pool
    tagged = ask(
        home,
        """
        select window_index, verdict || '_CANDIDATE', atom_id from selection.candidates
        where is_kept and verdict <> 'OK' order by all
        """,
    )
    assert {code for _, code, _ in tagged} == {"STALE_CANDIDATE", "DEGRADED_CANDIDATE"}
    for engine in ("v3.2", "baseline"):
        told = ask(
            home,
            """
            select window_index, code, atom_id from selection.selection_warnings
            where selection_engine = ? and code like '%_CANDIDATE' order by all
            """,
            engine,
        )
        assert told == tagged


def test_a_resolved_fall_is_no_open_spike_and_carries_its_reason(raw_pool: tuple[Home, list[date]]) -> None:
    home, grid = raw_pool
    spikes = ask(
        home,
        """
        select is_resolved, resolution, round(min(abs(value)), 2) >= 1.79, count(*) > 5 from features.bar_spikes
        where symbol = 'NYSE:PG' and code = 'SUSPECT_DROP' and session_date >= ? group by all
        """,
        grid[300],
    )
    assert spikes == [(True, "a spin-off", True, True)]
    assert ask(home, "select count(*) from raw.resolutions") == [(24,)]
