"""What `make bench` measures still runs, at a size that takes no time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from quantmill.manifest.home import Home

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def landing() -> Iterator[ModuleType]:
    """`benchmarks/landing.py`, on the path as long as it is needed: its child processes import it by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("landing")


def test_landing_a_file_is_measured(landing: ModuleType, tmp_path: Path) -> None:
    assert landing.bars(Home(root=ROOT, state=tmp_path), symbols=3, sessions=40)["bars"] == 120


def test_the_recheck_of_unchanged_symbols_is_measured(landing: ModuleType, tmp_path: Path) -> None:
    assert set(landing.recheck(Home(root=ROOT, state=tmp_path), symbols=3, first=60)) == {"first_seconds", "seconds"}


def test_loads_over_the_socket_are_measured(landing: ModuleType, tmp_path: Path) -> None:
    found = landing.socket(Home(root=ROOT, state=tmp_path), symbols=8, depth=60)
    assert (found["bars"], found["requests"], found["saved_percent"]) == (480, 1, 87.5)
