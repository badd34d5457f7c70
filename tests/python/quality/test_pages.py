"""The Data Docs in a real browser without a network: styled, complete, and asking nobody for anything."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from quantmill.quality.rules import load_rules
from quantmill.quality.runner import judge
from quantmill.quality.subjects import content_of
from small_market import SUBJECT, small_market
from support import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
RULES = load_rules(ROOT / "manifest")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Data Docs of the small market with two faults."""
    connection = small_market()
    connection.execute("update features.session_bars set volume = -5 where session_date = date '2021-03-03'")
    connection.execute(
        "update features.daily_returns set simple_return = 1.5 where symbol = 'NYSE:A' and session_date = '2021-03-03'"
    )
    names = {name for rule in RULES for name in (*rule.reads, rule.relation)}
    counts = {name: count for name, (count, _) in content_of(connection, SUBJECT, names).items()}
    folder = tmp_path_factory.mktemp("docs") / "quality"
    folder.mkdir()
    (folder / "old.html").write_text("of an older judgement", encoding="utf-8")
    judge(connection, SUBJECT, RULES, counts, folder=folder)
    return folder


def test_pages_replace_those_of_the_judgement_before(pages: Path) -> None:
    assert not (pages / "old.html").exists()
    assert sorted(path.name for path in pages.parent.iterdir()) == ["quality"]


def test_the_index_has_every_rule_with_its_state_and_the_failing_rows(pages: Path) -> None:
    index = (pages / "index.html").read_text(encoding="utf-8")
    states = dict(re.findall(r'data-rule="([^"]+)" data-status="([^"]+)"', index))
    assert list(states) == [rule.name for rule in RULES]
    assert {name for name, state in states.items() if state != "pass"} == {
        "bars.volume_is_not_negative",
        "returns.extreme_returns",
    }
    assert f"2 of {len(RULES)} rules do not hold; 1 of them stops the run." in index
    assert "<td>NYSE:A</td><td>2021-03-03</td><td>volume at or above zero</td><td>volume -5.0</td>" in index


def test_nothing_on_any_page_comes_from_a_server_and_every_link_leads_somewhere(pages: Path) -> None:
    found = sorted(pages.rglob("*.html"))
    assert len(found) > 10
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|link|img|iframe)\b", text) == [], path
        assert text.count("<style>") == 1
        for target in re.findall(r'href="([^"#]+)"', text):
            assert (path.parent / target.replace("%20", " ")).exists(), f"{path.name} links to {target}"


@pytest.mark.browser
def test_pages_are_styled_and_fit_without_a_network(pages: Path) -> None:
    executable = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if executable is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        tab = browser.new_context(viewport={"width": 1100, "height": 800}, offline=True).new_page()
        asked: list[str] = []
        errors: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto((pages / "index.html").as_uri())
        assert tab.locator("table.rules tbody tr:visible").count() == len(RULES)
        assert tab.locator("table.failures tbody tr:visible").count() == 4
        for link in tab.locator("a", has_text="validation").all():
            page = browser.new_context(viewport={"width": 1100, "height": 800}, offline=True).new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(link.evaluate("(found) => found.href"))
            assert page.evaluate("getComputedStyle(document.body).maxWidth") == "1180px"
            assert page.evaluate("document.documentElement.scrollWidth") <= 1100
            assert page.locator("td:visible").count() > 5
        browser.close()
    assert errors == []
    assert [url for url in asked if not url.startswith("file:")] == []
