"""Runs beside runs: settings, interruptions, failures, publication, rebuilding, tampering."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from quantmill.manifest.home import Home
from quantmill.stages.context import ledger_path
from support import ROOT, SHORT, ask, copy_of_home, copy_of_project, dbt_build, ingest, run, variables

# What a second run of the same grid is set to; it fails first and is resumed then.
CHANGED = {"seed": 77, "allocation__cluster_cap": 0.2}

pytestmark = pytest.mark.build


@pytest.fixture(scope="session")
def home(short_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one sealed run of the short grid."""
    return copy_of_home(short_home, tmp_path_factory.mktemp("runs") / "home")


def sealed(home: Home) -> list[str]:
    return [row[0] for row in ask(home, "select run_id from selection.runs where status = 'sealed' order by run_id")]


def test_a_setting_from_the_environment_stands_below_the_command_line(home: Home) -> None:
    shown = run(
        home, "-m", "quantmill", "show-settings", "sample", "--set", "seed=9", "--json",
        environment={"QUANTMILL_SET_SEED": "8", "QUANTMILL_SET_ALLOCATION__CLUSTER_CAP": "0.2"},
    )  # fmt: skip
    settings = json.loads(shown.output)
    assert settings["seed"] == [9, "command_line"]
    assert settings["allocation.cluster_cap"] == [0.2, "environment"]


def test_a_partial_build_does_not_publish(home: Home) -> None:
    before = home.snapshot.stat()
    built = dbt_build(home, "--selector", "data_cycle", **SHORT)
    assert built.code == 0, built.output
    assert "publish: skipped, only a part was built" in built.output
    assert home.snapshot.stat() == before


def test_a_failing_test_leaves_the_published_snapshot_and_the_run_unsealed(home: Home, tmp_path: Path) -> None:
    before = home.snapshot.stat()
    project = copy_of_project(tmp_path)
    (project / "tests" / "dbt" / "planted.sql").write_text("select 1 as planted", encoding="utf-8")
    built = dbt_build(home, cwd=project, **SHORT, **CHANGED)
    assert built.code != 0
    assert "publish: skipped" in built.output
    assert home.snapshot.stat().st_ino == before.st_ino
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        states = connection.execute("select status, count(*) from selection.runs group by status").fetchall()
    assert ("failed", 1) in states


@dataclass(frozen=True)
class Resumed:
    """The run that failed and was resumed, and what was sealed and decided before that."""

    run_id: str
    sealed_before: set[str]
    rows_before: set[tuple[object, ...]]


WEIGHTS = "select run_id, count(*) from tournaments.atom_weights group by run_id order by run_id"


@pytest.fixture(scope="module")
def resumed(home: Home) -> Resumed:
    """The failed run, resumed in a workbench that holds rows of another run which failed and is forgotten."""
    sealed_before, rows_before = set(sealed(home)), set(ask(home, WEIGHTS))
    with duckdb.connect(str(home.workbench)) as connection:
        [(run_id,)] = connection.execute("select run_id from selection.runs where status = 'failed'").fetchall()
        connection.execute(
            """
            insert into tournaments.window_allocations by name
            select * replace ('sample-20221228-deadbeef' as run_id, 0.5 as cash)
            from tournaments.window_allocations limit 3
            """
        )
        connection.execute(
            """
            insert into selection.runs by name
            select * replace ('sample-20221228-deadbeef' as run_id, 'failed' as status) from selection.runs limit 1
            """
        )
    built = dbt_build(home, **SHORT, **CHANGED)
    assert built.code == 0, built.output
    return Resumed(run_id, sealed_before, rows_before)


def test_a_run_that_failed_is_resumed_and_its_ledger_says_so(home: Home, resumed: Resumed) -> None:
    run_id = resumed.run_id
    assert run_id in sealed(home)
    actions = ask(home, "select action from tournaments.audit_ledger where run_id = ? order by sequence", run_id)
    assert ("RESUME",) in actions
    assert actions[-1] == ("SEAL",)
    assert run(home, "-m", "quantmill", "ledger-verify", run_id).code == 0


def test_a_changed_setting_gives_a_second_run_beside_the_first(home: Home, resumed: Resumed) -> None:
    assert set(sealed(home)) - resumed.sealed_before == {resumed.run_id}
    assert len(sealed(home)) == len(resumed.sealed_before) + 1
    assert resumed.rows_before < set(ask(home, WEIGHTS))
    largest = ask(
        home,
        """
        select max(value) from tournaments.constraint_rows
        where constraint_name = 'cluster_cap' and run_id = ?
        """,
        resumed.run_id,
    )[0][0]
    assert largest <= 0.2 + 1e-6


@pytest.mark.usefixtures("resumed")
def test_rows_of_a_failed_run_neither_trip_nor_reach_the_next_one(home: Home) -> None:
    assert ask(home, "select count(*) from selection.runs where run_id like '%deadbeef'") == [(0,)]
    assert ask(home, "select count(*) from tournaments.window_allocations where run_id like '%deadbeef'") == [(0,)]


def test_dbt_run_tests_nothing_and_so_seals_and_publishes_nothing(home: Home) -> None:
    before = home.snapshot.stat()
    ran = run(home, "dbt", "--no-use-colors", "run", "--vars", variables({**SHORT, "seed": 80}))
    assert ran.code == 0, ran.output
    assert "publish: skipped, dbt run tests nothing" in ran.output
    assert home.snapshot.stat() == before
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        states = connection.execute("select status from selection.runs where settings like '%\"seed\":80%'").fetchall()
    assert states == [("building",)]


def test_a_short_universe_is_built_with_negative_net_weights_and_cash_above_one(home: Home) -> None:
    built = dbt_build(home, **SHORT, universe__direction="SHORT")
    assert built.code == 0, built.output
    found = ask(
        home,
        """
        select distinct round(a.cash, 9), round(a.net_cash, 9) from tournaments.window_allocations as a
        join tournaments.configs as c using (run_id, config_id)
        join selection.run_settings as s on s.run_id = a.run_id and s.key = 'universe.direction'
        where s.value = '"SHORT"' and c.risk_profile <> 'market' and c.selection_engine = 'baseline'
        """,
    )
    assert found == [(0.0, 2.0)]
    worst = ask(
        home,
        """
        select max(p.net_exposure) < 0, min(p.borrow_cost) >= 0, max(p.borrow_cost) > 0
        from tournaments.portfolio_returns as p join tournaments.cells as c using (run_id, cell_id)
        join selection.run_settings as s on s.run_id = p.run_id and s.key = 'universe.direction'
        where s.value = '"SHORT"' and c.risk_profile = 'min_variance' and c.cost_model = 'std_6bp'
            and c.selection_engine = 'baseline'
        """,
    )
    assert worst == [(True, True, True)]


def test_the_latest_run_of_a_profile_is_one_without_overrides(home: Home) -> None:
    assert ask(home, "select count(*) from selection.runs where not is_overridden") == [(0,)]
    assert ask(home, "select is_overridden, count(*) from selection.runs_latest group by all") == [(True, 1)]


def test_a_build_that_was_killed_is_resumed_with_the_id_and_the_rows_of_an_uninterrupted_one(
    landed_home: Home, short_home: Home, tmp_path: Path
) -> None:
    home = copy_of_home(landed_home, tmp_path / "killed")
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("dbt")), "build", "--vars", variables(SHORT),
            "--exclude-resource-type", "unit_test",
        ],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    started = wait_for_ledger(home, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    built = dbt_build(home, **SHORT)
    assert built.code == 0, built.output
    assert started.name in sealed(home)
    actions = [
        row[0]
        for row in ask(
            home,
            "select action from tournaments.audit_ledger where run_id = ? order by sequence",
            started.name,
        )
    ]
    assert actions[0] == "GENESIS"
    assert "RESUME" in actions
    assert actions[-1] == "SEAL"
    assert run(home, "-m", "quantmill", "ledger-verify", started.name).code == 0
    assert not (started / "cells").exists()
    assert sealed(short_home) == [started.name]

    def hashes(of: Home) -> dict[str, object]:
        data = ask(of, "select data from tournaments.audit_ledger where run_id = ? and action = 'SEAL'", started.name)
        return json.loads(data[-1][0])["tables"]

    assert hashes(home) == hashes(short_home)


def wait_for_ledger(home: Home, process: subprocess.Popen[bytes]) -> Path:
    """Return the folder of the run that `process` opens, once its ledger has announced an optimization."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the build ended before it could be killed"
        for folder in home.runs.glob("*"):
            ledger = folder / "audit.jsonl"
            if ledger.is_file() and b"backtest_optimize" in ledger.read_bytes():
                return folder
        time.sleep(0.01)
    raise AssertionError("no run was opened within two minutes")


def test_an_altered_value_in_the_warehouse_is_found(home: Home) -> None:
    copy = published_copy(home, "altered")
    with duckdb.connect(str(copy.snapshot)) as connection:
        connection.execute(
            "update tournaments.target_weights set net_weight = net_weight + 1e-12 where window_index = 3"
        )
    verified = run(copy, "-m", "quantmill", "ledger-verify")
    assert verified.code == 6
    assert "tournaments.target_weights" in verified.output


def test_a_dropped_record_and_a_cut_tail_of_the_file_are_found(home: Home) -> None:
    copy = published_copy(home, "dropped")
    run_id = sealed(home)[0]
    path = ledger_path(copy, run_id)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5] + lines[6:]))
    assert run(copy, "-m", "quantmill", "ledger-verify", run_id).code == 3
    path.write_bytes(b"".join(lines[:-1]))
    assert run(copy, "-m", "quantmill", "ledger-verify", run_id).code == 4
    path.write_bytes(b"".join(lines))
    assert run(copy, "-m", "quantmill", "ledger-verify", run_id).code == 0


def test_a_lost_ledger_file_is_exported_byte_for_byte(home: Home) -> None:
    copy = published_copy(home, "exported")
    run_id = sealed(home)[0]
    path = ledger_path(copy, run_id)
    content = path.read_bytes()
    path.unlink()
    assert run(copy, "-m", "quantmill", "ledger-verify", run_id).code == 4
    assert run(copy, "-m", "quantmill", "ledger-export", run_id).code == 0
    assert path.read_bytes() == content


def test_a_sealed_run_whose_rows_were_changed_stops_the_next_build(home: Home, tmp_path: Path) -> None:
    with duckdb.connect(str(home.workbench)) as connection:
        # of the runs that differ from the plain one in cap and seed alone
        run_id = connection.execute(
            "select max(run_id) from selection.runs "
            "where status = 'sealed' and (settings ->> '$.universe.direction') = 'LONG'"
        ).fetchall()[0][0]
        settings = json.loads(
            connection.execute("select settings from selection.runs where run_id = ?", [run_id]).fetchall()[0][0]
        )
        connection.execute(
            "update tournaments.portfolio_returns set nav = nav * 2 where run_id = ? and window_index = 1",
            [run_id],
        )
    changed = {"allocation__cluster_cap": settings["allocation"]["cluster_cap"], "seed": settings["seed"]}
    built = dbt_build(home, **SHORT, **changed)
    assert built.code != 0
    assert "tournaments.portfolio_returns" in built.output
    rebuilt = ingest(home, "rebuild")
    assert rebuilt.code == 0, rebuilt.output
    healed = dbt_build(home, **SHORT, **changed)
    assert healed.code == 0, healed.output
    assert f"UP_TO_DATE: run {run_id}" in healed.output


def test_rebuilding_a_corrupt_workbench_keeps_raw_rows_and_history(home: Home) -> None:
    # a sum of floats would depend on the order of the rows; this does not
    content = "select count(*), bit_xor(hash(bars)) from raw.bars as bars"
    bars = ask(home, content)
    runs = sealed(home)
    home.workbench.write_bytes(b"this is no database" * 1000)
    refused = dbt_build(home, **SHORT)
    assert refused.code != 0
    assert "make rebuild" in refused.output
    rebuilt = ingest(home, "rebuild")
    assert rebuilt.code == 0, rebuilt.output
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        assert connection.execute(content).fetchall() == bars
        kept = connection.execute("select run_id from selection.runs where status = 'sealed' order by 1").fetchall()
    assert [row[0] for row in kept] == runs
    built = dbt_build(home, **SHORT)
    assert built.code == 0, built.output
    assert "UP_TO_DATE" in built.output


def environment(home: Home) -> dict[str, str]:
    return {
        **os.environ,
        "QUANTMILL_HOME": str(home.state),
        "DBT_TARGET_PATH": str(home.state / "target"),
        "DBT_LOG_PATH": str(home.state / "logs"),
        "NO_COLOR": "1",
    }


def published_copy(home: Home, name: str) -> Home:
    """Return a home with a copy of the published snapshot and of the ledgers, to be tampered with."""
    copy = Home(root=ROOT, state=home.state / name)
    copy.state.mkdir()
    copy.snapshot.write_bytes(home.snapshot.read_bytes())
    for folder in home.runs.iterdir():
        target = copy.runs / folder.name
        target.mkdir(parents=True)
        (target / "audit.jsonl").write_bytes((folder / "audit.jsonl").read_bytes())
    return copy
