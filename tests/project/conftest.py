"""What the house rules share: the manifest that dbt makes of the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project.sources import DbtProject
from quantmill.manifest.home import Home
from support import ROOT, run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """The project, parsed into a folder of its own; no warehouse is opened."""
    home = Home(root=ROOT, state=tmp_path_factory.mktemp("parse"))
    parsed = run(home, "dbt", "--no-use-colors", "parse")
    path: Path = home.state / "target" / "manifest.json"
    assert parsed.code == 0 and path.is_file(), parsed.output
    return DbtProject(json.loads(path.read_text(encoding="utf-8")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share the parsed project on one worker, so that it is parsed once."""
    for item in items:
        if "project" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("project"))
