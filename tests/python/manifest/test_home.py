"""A project is found from inside, and written to by one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from quantmill.errors import WarehouseLocked, WrongDirectory
from quantmill.manifest.home import Home, find_home, writer_lock
from support import ROOT


def test_the_home_is_found_from_a_folder_inside_the_project() -> None:
    home = find_home(ROOT / "models" / "staging", {})
    assert home.root == home.state == ROOT
    assert home.snapshot == ROOT / "warehouse.duckdb"
    assert home.workbench == ROOT / "data" / "warehouse.duckdb"


def test_the_environment_moves_the_state_and_not_the_code(tmp_path: Path) -> None:
    home = find_home(ROOT, {"QUANTMILL_HOME": str(tmp_path)})
    assert (home.root, home.state) == (ROOT, tmp_path)


def test_a_folder_outside_any_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WrongDirectory, match="is not inside a quantmill project"):
        find_home(tmp_path, {})
    (tmp_path / "dbt_project.yml").write_text("name: jaffle_shop\n")
    with pytest.raises(WrongDirectory):
        find_home(tmp_path, {})


def test_a_second_writer_is_told_who_holds_the_lock_and_then_refused(tmp_path: Path) -> None:
    home = Home(root=ROOT, state=tmp_path)
    said: list[str] = []
    with (
        writer_lock(home, holder="the first"),
        pytest.raises(WarehouseLocked, match="being written by the first"),
        writer_lock(home, holder="the second", wait_seconds=0.2, say=said.append),
    ):
        pass
    assert len(said) == 1
    with writer_lock(home, holder="the third", wait_seconds=0.0, say=said.append):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    home = Home(root=ROOT, state=tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from quantmill.manifest.home import Home, writer_lock\n"
        f"with writer_lock(Home(Path({str(ROOT)!r}), Path({str(tmp_path)!r})), holder='victim'):\n"
        "    print('held', flush=True); os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.stdout.strip() == "held"
    with writer_lock(home, holder="the next", wait_seconds=0.0):
        pass
