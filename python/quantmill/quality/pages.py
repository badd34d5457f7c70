"""Data Docs that read well without a network: the pages of Great Expectations, made ours, under an index of our own.

Their own index fills its tables by scripts from servers of others; the pages of suites and validations do without.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from quantmill.quality.gate import is_stopping
from quantmill.quality.subjects import Subject

if TYPE_CHECKING:
    from quantmill.quality.runner import Outcome

TEMPLATES = Path(__file__).parent / "templates"
# Whatever a page would fetch from a server of others, the styles made for it, and what only scripts could work.
REMOVED = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>|\sonclick=\"[^\"]*\"",
    re.S | re.I,
)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Give a new folder beside `folder` to write pages into; at the end they are styled and take its place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    for leftover in (staged, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    staged.mkdir()
    try:
        yield staged
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    staged.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def finish(folder: Path, subject: Subject, outcomes: Sequence[Outcome]) -> None:
    """Style the pages of Great Expectations in `folder` and write an index over them and the outcomes."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, keep_trailing_newline=True)
    sheet = environment.get_template("style.css.j2").render()
    # pictures and fonts that no page of ours shows
    shutil.rmtree(folder / "static", ignore_errors=True)
    for path in sorted(folder.rglob("*.html")):
        path.write_text(_styled(path.read_text(encoding="utf-8"), sheet), encoding="utf-8")
    suites = [(suite, list(members)) for suite, members in groupby(outcomes, key=lambda outcome: outcome.rule.suite)]
    is_judged = any(outcome.status != "error" for outcome in outcomes)
    (folder / "index.html").write_text(
        environment.get_template("index.html.j2").render(
            # ours, and no text of anybody else: it may stand in the page as it is
            sheet=_Markup(sheet),
            subject=subject,
            outcomes=outcomes,
            suites=suites,
            links={suite: _links(folder, suite) for suite, _ in suites},
            failed=sum(outcome.status != "pass" for outcome in outcomes),
            stopping=sum(
                is_stopping(subject.gate, outcome.rule.severity, outcome.status, is_judged=is_judged)
                for outcome in outcomes
            ),
        ),
        encoding="utf-8",
    )


class _Markup(str):
    """Text that a template takes as it is."""

    def __html__(self) -> str:
        return str(self)


def _links(folder: Path, suite: str) -> list[tuple[str, str]]:
    """Return label and address of the pages about a suite: its rules, and what came of them."""
    found = []
    for kind, label in (("validations", "validation"), ("expectations", "rules")):
        for path in sorted((folder / kind).rglob("*.html")):
            # one page per suite of query rules, one per relation whose columns are judged: `bars`, `bars_session_bars`
            name = path.relative_to(folder / kind).parts[0].removesuffix(".html")
            if name == suite or name.startswith(f"{suite}_"):
                relation = name[len(suite) + 1 :]
                address = quote(path.relative_to(folder).as_posix())
                found.append((f"{label} of columns of {relation}" if relation else label, address))
    return found


def _styled(page: str, sheet: str) -> str:
    bare = REMOVED.sub("", page)
    return bare.replace("</head>", f"<style>\n{sheet}</style>\n</head>", 1)
