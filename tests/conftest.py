"""What all tests share: the shared market data, and homes in which whole builds run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from quantmill.manifest.home import Home
from support import ROOT, dbt_build, ingest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the built sample as such."""
    for item in items:
        if "sample_home" in getattr(item, "fixturenames", ()):
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


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which profile `sample` was landed, built and published; nobody writes to it.

    With QUANTMILL_TEST_HOME set, the home at that path is used as it is: quicker while writing tests.
    """
    ready = os.environ.get("QUANTMILL_TEST_HOME")
    if ready:
        return Home(root=ROOT, state=Path(ready))
    # one home for all workers: whoever comes first makes it, the others wait and find it
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    home = Home(root=ROOT, state=shared / "sample")
    with (shared / "sample.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "sample.built").exists():
            home.state.mkdir()
            landed = ingest(home, "sample")
            assert landed.code == 0, landed.output
            built = dbt_build(home, has_unit_tests=True)
            assert built.code == 0, built.output
            (shared / "sample.built").touch()
    return home
