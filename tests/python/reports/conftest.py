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
        self.run_id = path.parent.name
        self.html = path.read_text(encoding="utf-8")

    @property
    def own(self) -> str:
        """The page without the chart library."""
        scripts = list(re.finditer(r"<script[^>]*>.*?</script>", self.html, flags=re.DOTALL))
        library = max(scripts, key=lambda found: len(found[0]))
        return self.html[: library.start()] + self.html[library.end() :]

    @property
    def text(self) -> str:
        """The words of the page, as shown."""
        body = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", self.own, flags=re.DOTALL)
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
def page(sample_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the built sample; tests only read it."""
    from quantmill.reports.build import write_report

    folder = tmp_path_factory.mktemp("page")
    (folder / "warehouse.duckdb").symlink_to(sample_home.snapshot)
    home = Home(root=sample_home.root, state=folder)
    return Page(write_report(home, run_id=None, profile="sample", force=False))


@pytest.fixture
def read_page() -> Callable[[Path], Page]:
    """A function that reads a page that was written."""
    return Page
