"""Writing the page of a run: one HTML file with everything in it, made when what it shows has changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import QuantmillError, WarehouseError
from quantmill.manifest.home import Home
from quantmill.reports.page import FAIL, Chart, Section, Tiles
from quantmill.reports.queries import NEWEST_LOAD, Answers
from quantmill.reports.sections import build_sections, description_of
from quantmill.snapshot import find_run, read_snapshot

if TYPE_CHECKING:
    import duckdb

SOURCES = Path(__file__).parent
SOURCE_SUFFIXES = (".py", ".j2")
STAMP_NAME = "quantmill-report-stamp"
STAMP = re.compile(rf'<meta name="{STAMP_NAME}" content="([^"]*)">')
# The stamp stands in the first lines of the page, before plotly's five megabytes.
STAMP_WITHIN = 4096


class ReportIncomplete(QuantmillError):
    """A page that was written with sections that lack data or contradict themselves."""

    exit_code = 1


def write_report(home: Home, *, run_id: str | None, profile: str, force: bool) -> Path:
    """Write `reports/<run_id>/index.html` from the published snapshot and return its path.

    The run is `run_id`, or the one of `profile` that was sealed last. A page that is there already is kept
    when it was made by the same code from the same ledger head and landed data, unless `force` is set.

    Raises `UsageError` when there is no such run, `WarehouseError` when there is no readable snapshot, and
    `ReportIncomplete`, after the page was written, when a section has the status FAIL.
    """
    import duckdb

    with read_snapshot(home) as connection:
        try:
            found = find_run(connection, run_id=run_id, profile=profile)
            stamp = _stamp(connection, found)
        except duckdb.Error as error:
            raise WarehouseError(
                f"the published snapshot {home.snapshot} cannot name its runs: {str(error).splitlines()[0]}",
                remedy="build and publish again",
            ) from None
        path = (home.reports / found / "index.html").absolute()
        if not force and _stamp_of(path) == stamp:
            print(f"UP_TO_DATE: the page of run {found} shows this run as it is; {path.as_uri()}")
            return path
        answers = Answers(connection, found)
        sections = build_sections(answers)
        description = description_of(answers)
    failed = [section for section in sections if section.status == FAIL]
    # an incomplete page carries no stamp, so that the next call tries again
    page = render(found, description, sections, stamp="" if failed else stamp)
    _write(path, page)
    print(f"report: {path.as_uri()}")
    print(f"        {headline_sentence(found, sections)}")
    if failed:
        raise ReportIncomplete(
            f"{len(failed)} of {len(sections)} sections of {path} failed: "
            + " ".join(f"{section.title}: {' '.join(section.failures)}" for section in failed),
            remedy="the page was written and shows the same reasons",
            sections=[section.id for section in failed],
        )
    return path


def profile_of(run_id: str) -> str:
    """Return the profile in a run id, `<profile>-<YYYYMMDD>-<8 hex>`, for titles."""
    return run_id.rsplit("-", 2)[0]


def render(run_id: str, description: str, sections: list[Section], *, stamp: str) -> str:
    """Return the page as HTML. The same sections give the same bytes."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCES / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(
        run_id=run_id,
        profile=profile_of(run_id),
        description=description,
        sections=sections,
        stamp_name=STAMP_NAME,
        stamp=stamp,
        figures=Markup(_json({block.id: block.figures for block in _charts(sections)})),
        plotly=Markup(get_plotlyjs()),
    )


def headline_sentence(run_id: str, sections: list[Section]) -> str:
    """Return one line with the key figures of the headline, or why there are none."""
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Tiles):
                figures = ", ".join(
                    f"{tile.label} {tile.value.text}" + (f" ({', '.join(tile.beside)})" if tile.beside else "")
                    for tile in block.tiles
                    if tile.label in ("CAGR", "Sharpe", "Max drawdown")
                )
                return f"{run_id}, headline, net: {figures}"
    return f"{run_id}: no key figures"


def _charts(sections: list[Section]) -> list[Chart]:
    return [block for section in sections for block in section.blocks if isinstance(block, Chart)]


def _json(value: Any) -> str:
    """Return JSON that may stand inside a script element: `</` would end it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _stamp(connection: duckdb.DuckDBPyConnection, run_id: str) -> str:
    """Return the digest of what the page is made from: this package, the ledger head, the newest load."""
    import duckdb

    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in SOURCE_SUFFIXES:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(SOURCES).as_posix()} {content}\n".encode())
    head = connection.execute("select chain_head from selection.runs where run_id = ?", [run_id]).fetchone()
    try:
        newest = connection.execute(NEWEST_LOAD).fetchone()
    except duckdb.CatalogException:
        newest = None  # the section on data health fails for it
    digest.update(f"{run_id} {head} {newest}".encode())
    return digest.hexdigest()


def _stamp_of(path: Path) -> str | None:
    """Return the stamp of the page at `path`; None where there is no page or no stamp in it."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as page:
        found = STAMP.search(page.read(STAMP_WITHIN))
    return found[1] if found and found[1] else None


def _write(path: Path, page: str) -> None:
    """Write the page beside its place and rename it, so that a reader sees a whole page or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        staged.write_text(page, encoding="utf-8")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
