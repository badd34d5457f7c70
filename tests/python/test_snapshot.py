"""The workbench answers questions while nobody writes to it, and says so while somebody does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from quantmill.cli import main
from quantmill.errors import MissingLanding, UsageError, WarehouseError, WarehouseLocked
from quantmill.listing import answer
from quantmill.manifest.home import Home, writer_lock
from quantmill.udf import register
from support import ROOT

QUERY = "select status, count(*) as loads from raw.loads group by status"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(root=ROOT, state=tmp_path)
    found.workbench.parent.mkdir()
    with duckdb.connect(str(found.workbench)) as connection:
        connection.execute("create schema raw; create table raw.loads as select 'a' as load_id, 'OK' as status")
    return found


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("QUANTMILL_LOCK_WAIT", "0.2")
    return []


def test_the_workbench_answers_before_anything_is_published(home: Home, said: list[str]) -> None:
    with pytest.raises(WarehouseError, match="nothing has been published yet"):
        answer(home, QUERY, "csv")
    assert answer(home, QUERY, "csv", workbench_say=said.append) == "status,loads\nOK,1"
    assert said == []


def test_the_workbench_is_only_read(home: Home, said: list[str]) -> None:
    with pytest.raises(UsageError, match="read-only"):
        answer(home, "delete from raw.loads", "csv", workbench_say=said.append)
    assert answer(home, QUERY, "csv", workbench_say=said.append) == "status,loads\nOK,1"


def test_who_writes_to_the_workbench_is_named(home: Home, said: list[str]) -> None:
    with (
        writer_lock(home, holder="quantmill build"),
        pytest.raises(WarehouseLocked, match="written by quantmill build"),
    ):
        answer(home, QUERY, "csv", workbench_say=said.append)
    assert len(said) == 1
    assert "is being written by quantmill build (process " in said[0]


def test_both_files_answer_with_the_functions_that_sql_lacks(home: Home, said: list[str]) -> None:
    shutil.copyfile(home.workbench, home.snapshot)
    returns = "[0.01 * sin(n * n) for n in range(64)]"
    query = (
        f"select permutation_entropy({returns}) between 0.5 and 1 as entropy, hurst_exponent({returns}) between 0 and 1"
        f" as hurst, haar_energy({returns}) between 0.5 and 1 as haar, normal_cdf(0.0) as half"
    )
    expected = "entropy,hurst,haar,half\nTrue,True,True,0.5"
    assert answer(home, query, "csv") == expected
    assert answer(home, query, "csv", workbench_say=said.append) == expected


def test_every_registered_function_is_named_where_people_look(home: Home) -> None:
    with duckdb.connect(":memory:") as connection:
        names = "select function_name from duckdb_functions()"
        before = set(connection.execute(names).fetchall())
        register(connection)
        registered = {name for (name,) in set(connection.execute(names).fetchall()) - before}
    told = CliRunner().invoke(main, ["sql", "--help"]).output
    assert registered and all(name in told for name in registered), (registered, told)


def test_a_writer_that_took_no_lock_is_named_by_duckdb(home: Home, said: list[str]) -> None:
    holding = (
        f"import duckdb, sys; c = duckdb.connect({str(home.workbench)!r}); print('open', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(WarehouseError, match=rf"does not open: .*PID {writer.pid}"):
            answer(home, QUERY, "csv", workbench_say=said.append)
    finally:
        writer.communicate()


def test_a_workbench_that_is_not_there_is_said(tmp_path: Path, said: list[str]) -> None:
    empty = Home(root=ROOT, state=tmp_path)
    with pytest.raises(MissingLanding, match="nothing was landed yet"):
        answer(empty, QUERY, "csv", workbench_say=said.append)
    assert list(tmp_path.iterdir()) == []
