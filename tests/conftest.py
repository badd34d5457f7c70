"""What all tests share: the shared market data, and homes in which whole builds run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from quantmill.manifest.home import Home
from support import ROOT, SHORT, copy_of_home, dbt_build, ingest, land_newest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the built sample as such."""
    for item in items:
        if {"sample_home", "short_home"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.build)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data for tests; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("QUANTMILL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared market data at {folder}; set QUANTMILL_SHARED_DATA")
    return folder


@pytest.fixture
def new_home(tmp_path: Path) -> Home:
    """A home with nothing in it."""
    return Home(root=ROOT, state=tmp_path)


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Home]:
    """A function that returns a new, empty home that lives as long as the session."""

    def make(name: str) -> Home:
        return Home(root=ROOT, state=tmp_path_factory.mktemp(name))

    return make


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Home], None]) -> Home:
    """Return the home of that name, which whoever of the workers comes first has made; the others wait and find it."""
    shared = factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    home, done = Home(root=ROOT, state=shared / name), shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            # what a failure left behind would not be a new home
            shutil.rmtree(home.state, ignore_errors=True)
            make(home)
            done.touch()
    return home


@pytest.fixture(scope="session")
def landed_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the newest 800 sessions of the embedded prices are landed; nobody builds in it.

    A tenth of the history has all that the short grid reads, and its features cost a tenth.
    """
    return once(tmp_path_factory, "landed", land_newest)


@pytest.fixture(scope="session")
def short_home(tmp_path_factory: pytest.TempPathFactory, landed_home: Home) -> Home:
    """A home with one sealed and published run of profile `sample` on the short grid; nobody writes to it."""

    def make(home: Home) -> None:
        built = dbt_build(copy_of_home(landed_home, home.state), **SHORT)
        assert built.code == 0, built.output
        assert "quality:" not in built.output

    return once(tmp_path_factory, "short", make)


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which profile `sample` was landed, built and published; nobody writes to it.

    With QUANTMILL_TEST_HOME set, the home at that path is used as it is: quicker while writing tests.
    """
    ready = os.environ.get("QUANTMILL_TEST_HOME")
    if ready:
        return Home(root=ROOT, state=Path(ready))

    def make(home: Home) -> None:
        home.state.mkdir()
        landed = ingest(home, "sample")
        assert landed.code == 0, landed.output
        built = dbt_build(home, has_unit_tests=True)
        assert built.code == 0, built.output

    return once(tmp_path_factory, "sample", make)
