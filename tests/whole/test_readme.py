"""The README and the other documents tell the truth: their queries run, and their answers are the real ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import pytest
from quantmill.listing import answer
from quantmill.manifest.compose import resolve
from quantmill.manifest.home import Home
from quantmill.reports.formats import METRICS
from quantmill.udf import register
from support import ROOT

BLOCK = re.compile(
    r"\*\*\d+\. (?P<question>[^\n]+)\*\*\n\n```sql\n(?P<query>.+?)\n```\n\n(?P<answer>(?:\|[^\n]*\n?)+)", re.S
)
FIVE = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
TEN = BLOCK.findall((ROOT / "docs" / "questions.md").read_text(encoding="utf-8"))
EXAMPLES = FIVE + TEN
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


def test_the_readme_has_five_questions_and_the_page_of_questions_ten() -> None:
    assert (len(FIVE), len(TEN)) == (5, 10)


def test_every_analysis_is_shown_with_its_answer() -> None:
    assert len(list((ROOT / "analyses").glob("*.sql"))) == len(EXAMPLES)


@pytest.mark.parametrize(("question", "query", "shown"), EXAMPLES, ids=[example[0][:40] for example in EXAMPLES])
def test_a_question_has_the_answer_that_its_page_shows(
    question: str, query: str, shown: str, sample_home: Home
) -> None:
    assert answer(sample_home, query, "table").strip() == shown.strip()


@pytest.mark.parametrize(("question", "query"), [example[:2] for example in EXAMPLES], ids=lambda text: text[:40])
def test_a_question_is_a_file_in_analyses(question: str, query: str) -> None:
    files = {path.read_text(encoding="utf-8").strip() for path in (ROOT / "analyses").glob("*.sql")}
    assert f"-- {question}\n{query}" in files


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_queries_of_a_document_run(path: Path, sample_home: Home) -> None:
    blocks = re.findall(r"```sql\n(.+?)\n```", path.read_text(encoding="utf-8"), re.S)
    with duckdb.connect(str(sample_home.snapshot), read_only=True) as connection:
        register(connection)
        # a block is what a reader pastes: statements with semicolons between them
        for block in blocks:
            connection.execute(block).fetchall()


def test_every_metric_of_the_sample_is_defined(sample_home: Home) -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    defined = {name for row in re.findall(r"^\| ([a-z0-9_, ]+) \|", text, re.M) for name in row.split(", ")}
    with duckdb.connect(str(sample_home.snapshot), read_only=True) as connection:
        published = connection.execute(
            "select metric from tournaments.cell_metrics union select metric from tournaments.window_metrics"
        ).fetchall()
    assert {row[0] for row in published} == defined


def test_every_metric_of_a_cell_has_words_in_the_report(sample_home: Home) -> None:
    with duckdb.connect(str(sample_home.snapshot), read_only=True) as connection:
        published = connection.execute("select distinct metric from tournaments.cell_metrics").fetchall()
    assert {row[0] for row in published} - set(METRICS) == set()


def test_the_profile_that_the_documents_show_resolves(tmp_path: Path) -> None:
    manifest = Path(shutil.copytree(ROOT / "manifest", tmp_path / "manifest"))
    universe, profile = re.findall(r"```yaml\n(.+?)```", (ROOT / "docs" / "runs.md").read_text(encoding="utf-8"), re.S)
    (manifest / "universes" / "banks.yml").write_text(universe, encoding="utf-8")
    (manifest / "profiles" / "banks.yml").write_text(profile, encoding="utf-8")
    settings = resolve(manifest, "banks", overrides={}, environment={}).settings
    assert settings.allocation.cluster_cap == 0.20
    assert len(settings.universe.symbols) == 5


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for path in (ROOT / "README.md", *DOCUMENTS):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_commands_that_the_readme_names_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for path in (ROOT / "README.md", *DOCUMENTS):
        for named in re.findall(r"`?make ([a-z-]+)", path.read_text(encoding="utf-8")):
            assert named in targets or named in ("the", "again"), f"{path.name} names make {named}"
