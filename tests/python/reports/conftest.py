"""Homes for reports: each test writes its pages beside a link to, or a copy of, the built snapshot."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from quantmill.manifest.home import Home


class Page:
    """A written page, read as a reader's browser would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.name
        self.run_id = path.parent.name
        self.html = path.read_text(encoding="utf-8")

    @property
    def text(self) -> str:
        """The words of the page, as shown."""
        body = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", self.html, flags=re.DOTALL)
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', self.html)
        assert found is not None
        return dict(json.loads(found[1]))

    @property
    def statuses(self) -> dict[str, str]:
        return dict(re.findall(r'<section id="([^"]+)" data-status="([^"]+)">', self.html))

    def section(self, identity: str) -> str:
        """The HTML of one section."""
        found = re.search(rf'<section id="{identity}".*?</section>', self.html, flags=re.DOTALL)
        assert found is not None
        return found[0]

    def queries(self, identity: str | None = None) -> dict[str, str]:
        """The SQL shown on the page or in one section, by name."""
        found = re.findall(
            r'<code class="sql" data-query="([^"]+)">(.*?)</code>',
            self.section(identity) if identity else self.html,
            flags=re.DOTALL,
        )
        return {name: html.unescape(query) for name, query in found}


class Report:
    """All pages of a run; a section is named by its page and its id, as in a link: index.html#run."""

    def __init__(self, index: Path) -> None:
        self.folder = index.parent
        self.run_id = index.parent.name
        self.pages = {path.name: Page(path) for path in sorted(self.folder.glob("*.html"))}

    def __getitem__(self, file: str) -> Page:
        return self.pages[file]

    @property
    def statuses(self) -> dict[str, str]:
        """The status of every section of every page."""
        return {
            f"{file}#{identity}": status
            for file, page in self.pages.items()
            for identity, status in page.statuses.items()
        }

    def section(self, name: str) -> str:
        """The HTML of one section."""
        file, identity = name.split("#")
        return self.pages[file].section(identity)

    def queries(self, name: str) -> dict[str, str]:
        """The SQL shown in one section, by name."""
        file, identity = name.split("#")
        return self.pages[file].queries(identity)


@pytest.fixture
def report_home(sample_home: Home, tmp_path: Path) -> Home:
    """A home with the built snapshot and no pages."""
    (tmp_path / "warehouse.duckdb").symlink_to(sample_home.snapshot)
    return Home(root=sample_home.root, state=tmp_path)


@pytest.fixture
def altered_home(sample_home: Home, tmp_path: Path) -> Callable[..., Home]:
    """A function that returns a home whose snapshot was changed by the given statements."""

    def alter(*statements: str) -> Home:
        snapshot = tmp_path / "warehouse.duckdb"
        shutil.copyfile(sample_home.snapshot, snapshot)
        with duckdb.connect(str(snapshot)) as connection:
            for statement in statements:
                connection.execute(statement)
        return Home(root=sample_home.root, state=tmp_path)

    return alter


@pytest.fixture(scope="session")
def report(sample_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The pages of the built sample; tests only read them."""
    from quantmill.reports.build import write_report

    folder = tmp_path_factory.mktemp("report")
    (folder / "warehouse.duckdb").symlink_to(sample_home.snapshot)
    home = Home(root=sample_home.root, state=folder)
    return Report(write_report(home, run_id=None, profile="sample", force=False))


@pytest.fixture
def read_report() -> Callable[[Path], Report]:
    """A function that reads the pages beside an index that was written."""
    return Report
