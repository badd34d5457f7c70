"""Bad input to a build: a clear message with what to do, a non-zero exit, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from quantmill.manifest.home import Home, writer_lock
from support import SHORT, Build, ask, copy_of_home, dbt_build, run

pytestmark = pytest.mark.build


@pytest.fixture(scope="session")
def landed(landed_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the embedded prices are landed and nothing is built."""
    return copy_of_home(landed_home, tmp_path_factory.mktemp("bad-input") / "home")


def test_a_build_without_landing_names_the_command_that_lands(new_home: Home) -> None:
    built = dbt_build(new_home)
    assert built.code != 0
    assert "python -m ingest sample" in built.output
    assert not new_home.snapshot.exists()
    assert not new_home.workbench.exists()


def test_an_unknown_profile_names_the_nearest_one(landed: Home) -> None:
    for built in (
        dbt_build(landed, profile="sampel"),
        run(landed, "-m", "quantmill", "build", "--profile", "sampel"),
    ):
        assert built.code != 0
        assert "did you mean 'sample'?" in built.output


def test_a_misspelt_key_names_the_place_the_key_and_the_nearest_one(landed: Home) -> None:
    built = dbt_build(landed, allocation__cluster_cop=0.2)
    assert built.code != 0
    assert "unknown key 'allocation.cluster_cop'; did you mean 'allocation.cluster_cap'?" in built.output
    shown = run(landed, "-m", "quantmill", "show-settings", "sample", "--set", "tier=glossy")
    assert shown.code == 2
    assert "tier" in shown.output


def test_a_window_longer_than_the_history_fails_with_the_numbers(landed: Home) -> None:
    built = dbt_build(landed, windows__secular__train=20000, lookback_sessions=30000)
    assert built.code != 0
    assert "insufficient_history: window set secular needs 20020 sessions (train 20000 + test 20), the grid has" in (
        built.output
    )


def test_a_universe_of_one_is_held_whole_and_its_relaxed_cap_is_a_row(landed: Home) -> None:
    built = dbt_build(landed, universe__symbols=["NYSE:JPM"], **SHORT)
    assert built.code == 0, built.output
    run_id = ask(
        landed,
        "select run_id from selection.run_settings where key = 'universe.symbols' and value = '[\"NYSE:JPM\"]'",
    )[0][0]
    weights = ask(landed, "select distinct weight from tournaments.atom_weights where run_id = ?", run_id)
    assert weights == [(1.0,)]
    codes = {
        row[0]
        for row in ask(landed, "select distinct code from tournaments.allocation_events where run_id = ?", run_id)
    }
    assert "CAP_RELAXED" in codes


@pytest.fixture(scope="module")
def hard_cap(landed: Home) -> tuple[Build, Home]:
    """A universe of one under a hard cap, built over a snapshot that was damaged; and how a reader had found that."""
    landed.snapshot.write_bytes(b"broken" * 4096)
    refused = run(landed, "-m", "quantmill", "sql", "select 1")
    built = dbt_build(landed, universe__symbols=["NYSE:JPM"], **SHORT, allocation__cap_policy="cash")
    assert built.code == 0, built.output
    return refused, landed


def test_a_universe_of_one_leaves_cash_where_the_cap_is_hard(hard_cap: tuple[Build, Home]) -> None:
    _, landed = hard_cap
    shares = ask(
        landed,
        """
        select distinct round(a.cash, 12), a.status from tournaments.window_allocations as a
        join tournaments.configs as c using (run_id, config_id)
        join selection.run_settings as s on s.run_id = a.run_id and s.key = 'allocation.cap_policy'
        where not c.is_baseline and s.value = '"cash"' and c.selection_engine = 'baseline'
        """,
    )
    assert shares == [(0.75, "native")]


def test_a_corrupt_snapshot_is_named_by_its_readers_and_replaced_by_the_next_build(
    hard_cap: tuple[Build, Home],
) -> None:
    refused, landed = hard_cap
    assert refused.code == 6
    assert "does not open" in refused.output
    assert ask(landed, "select count(*) > 0 from selection.runs") == [(True,)]


def test_a_universe_without_bars_is_all_cash_and_says_why(landed: Home) -> None:
    built = dbt_build(landed, universe__symbols=["NYSE:NOBARS"], **SHORT, quality__gate="raw_pool")
    assert built.code == 0, built.output
    found = ask(
        landed,
        "select distinct drop_reason from selection.candidates where symbol = 'NYSE:NOBARS'",
    )
    assert found == [("MISSING",)]
    status = ask(
        landed,
        """
        select distinct c.status, c.reason is not null from tournaments.cells as c
        join selection.run_settings as s on s.run_id = c.run_id and s.key = 'universe.symbols'
        where s.value like '%NOBARS%' and c.risk_profile = 'min_variance'
        """,
    )
    assert status == [("empty", True)]
    funnel = ask(
        landed,
        """
        select distinct f.universe_count, f.raw_pool_count, f.cluster_count, f.winner_count, f.is_scarce, w.code
        from selection.funnel as f
        join selection.run_settings as s on s.run_id = f.run_id and s.key = 'universe.symbols'
        join selection.selection_warnings as w
            on f.run_id = w.run_id and f.window_set = w.window_set and f.window_index = w.window_index
            and f.selection_engine = w.selection_engine
        where s.value like '%NOBARS%' and w.subject = 'window'
        """,
    )
    assert funnel == [(1, 0, 0, 0, True, "EMPTY_POOL")]


def test_a_second_writer_waits_and_then_names_the_holder(landed: Home) -> None:
    with writer_lock(landed, holder="a test"):
        refused = run(landed, "dbt", "build", environment={"QUANTMILL_LOCK_WAIT": "1"})
        assert refused.code != 0
        assert "is being written by a test" in refused.output


def test_a_command_outside_the_project_says_where_it_must_run(new_home: Home, tmp_path: Path) -> None:
    for command in (("-m", "quantmill", "list", "profiles"), ("-m", "ingest", "sample")):
        refused = run(new_home, *command, cwd=tmp_path)
        assert refused.code == 2
        assert "is not inside a quantmill project" in refused.output


def test_no_report_without_a_run(new_home: Home) -> None:
    refused = run(new_home, "-m", "quantmill", "report")
    assert refused.code == 6
    assert "make run" in refused.output
