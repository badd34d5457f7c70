"""Writing the pages of a run, HTML files beside one chart library, made when what they show has changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import QuantmillError, WarehouseError
from quantmill.manifest.home import Home
from quantmill.reports.page import FAIL, Chart, Page, Section, Tiles
from quantmill.reports.pages import FILES, build_pages, description_of, standing_notes
from quantmill.reports.queries import LATER_TABLES, NEWEST_JUDGEMENT, NEWEST_LOAD, TABLES, Answers
from quantmill.snapshot import find_run, read_snapshot

if TYPE_CHECKING:
    import duckdb
    import jinja2

SOURCES = Path(__file__).parent
SOURCE_SUFFIXES = (".py", ".j2")
STAMP_NAME = "quantmill-report-stamp"
STAMP = re.compile(rf'<meta name="{STAMP_NAME}" content="([^"]*)">')
# The stamp stands in the first lines of a page.
STAMP_WITHIN = 4096
LIBRARY_NAME = "plotly.min.js"
# Reasons of failed sections that the command line repeats, and the sections that only gather what others found.
REASONS = 3
GATHERING = ("guards", "warnings")


class ReportIncomplete(QuantmillError):
    """Pages that were written with sections that lack data or contradict themselves."""

    exit_code = 1


def write_report(home: Home, *, run_id: str | None, profile: str, force: bool) -> Path:
    """Write the pages `reports/<run_id>/*.html` from the published snapshot and return the path of the first.

    The run is `run_id`, or the one of `profile` that was sealed last. Pages that are there already are kept
    when all of them were made by the same code from the same ledger head, landed and judged data, unless
    `force` is set.

    Raises `UsageError` when there is no such run, `WarehouseError` when there is no readable snapshot, and
    `ReportIncomplete`, after the pages were written, when a section has the status FAIL.
    """
    import duckdb

    began = time.perf_counter()
    with read_snapshot(home) as connection:
        try:
            found = find_run(connection, run_id=run_id, profile=profile)
            stamp = _stamp(connection, found)
        except duckdb.Error as error:
            raise WarehouseError(
                f"the published snapshot {home.snapshot} cannot name its runs: {str(error).splitlines()[0]}",
                remedy="build and publish again",
            ) from None
        folder = (home.reports / found).absolute()
        index = folder / FILES[0]
        if not force and (folder / LIBRARY_NAME).is_file() and all(_stamp_of(folder / file) == stamp for file in FILES):
            print(f"UP_TO_DATE: the pages of run {found} show this run as it is; {index.as_uri()}")
            return index
        # sums of floats over threads differ in their last digits from call to call
        connection.execute("set threads = 1")
        answers = Answers(connection, found)
        pages = build_pages(answers)
        description = description_of(answers)
        notes = standing_notes(answers)
    _write_library(folder / LIBRARY_NAME)
    # the first page is written last: where it is new, so are the others
    for page in reversed(pages):
        # an incomplete page carries no stamp, so that the next call tries again
        own_stamp = "" if page.status == FAIL else stamp
        _write(folder / page.file, render(found, description, notes, page, pages, stamp=own_stamp))
    print(f"report: {index.as_uri()}")
    print(f"        {headline_sentence(found, pages[0].sections)}")
    seconds = time.perf_counter() - began
    print(f"        {len(pages)} pages in {seconds:.1f} s; {', '.join(page.file for page in pages)}")
    failed = [(page, section) for page in pages for section in page.sections if section.status == FAIL]
    if failed:
        total = sum(len(page.sections) for page in pages)
        raise ReportIncomplete(
            f"{len(failed)} of {total} sections of {folder} failed: {_reasons(failed)}",
            remedy="the pages were written; 'Warnings' on the first of them lists everything",
            sections=[f"{page.file}#{section.id}" for page, section in failed],
        )
    return index


def _reasons(failed: Sequence[tuple[Page, Section]]) -> str:
    """Return the reasons of failed sections, the most frequent first, each with the first section that gave it.

    What the gathering sections repeat of others is left out where there is anything else.
    """
    own = [pair for pair in failed if pair[1].id not in GATHERING] or failed
    places: dict[str, list[str]] = {}
    for page, section in own:
        for reason in section.failures:
            places.setdefault(reason.rstrip("."), []).append(f"{page.file} {section.title}")
    ranked = sorted(places.items(), key=lambda entry: -len(entry[1]))
    shown = [
        f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {reason}"
        for reason, found in ranked[:REASONS]
    ]
    if len(ranked) > REASONS:
        shown.append(f"and {len(ranked) - REASONS} more reason{'s' if len(ranked) > REASONS + 1 else ''}")
    return "; ".join(shown)


def profile_of(run_id: str) -> str:
    """Return the profile in a run id, `<profile>-<YYYYMMDD>-<8 hex>`, for titles."""
    return run_id.rsplit("-", 2)[0]


def render(
    run_id: str, description: str, notes: Sequence[str], page: Page, pages: Sequence[Page], *, stamp: str
) -> str:
    """Return one of the pages as HTML. The same sections give the same bytes."""
    from markupsafe import Markup

    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run_id=run_id,
            profile=profile_of(run_id),
            description=description,
            standing=notes,
            page=page,
            pages=pages,
            has_charts=bool(_charts(page.sections)),
            plotly_name=LIBRARY_NAME,
            stamp_name=STAMP_NAME,
            stamp=stamp,
            figures=Markup(_json({block.id: block.figures for block in _charts(page.sections)})),
            status_class=lambda status: status.lower().replace("/", ""),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCES / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
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
    """Return the digest of what the pages are made from.

    That is this package, the ledger head, the newest load and judgement, and which of the later tables exist.
    """
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in SOURCE_SUFFIXES:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(SOURCES).as_posix()} {content}\n".encode())
    head = connection.execute("select chain_head from selection.runs where run_id = ?", [run_id]).fetchone()
    tables = {row[0] for row in connection.execute(TABLES).fetchall()}
    # a table that is missing has its section say so; one that has come since makes other pages
    newest = [
        connection.execute(query).fetchone() if table in tables else None
        for table, query in (("raw.loads", NEWEST_LOAD), ("features.quality_results", NEWEST_JUDGEMENT))
    ]
    digest.update(f"{run_id} {head} {newest} {sorted(LATER_TABLES & tables)}".encode())
    return digest.hexdigest()


def _stamp_of(path: Path) -> str | None:
    """Return the stamp of the page at `path`; None where there is no page or no stamp in it."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as page:
        found = STAMP.search(page.read(STAMP_WITHIN))
    return found[1] if found and found[1] else None


def _write_library(path: Path) -> None:
    """Put the chart library beside the pages, once for all of them."""
    from plotly.offline import get_plotlyjs

    library = get_plotlyjs()
    if not path.is_file() or path.stat().st_size != len(library.encode()):
        _write(path, library)


def _write(path: Path, content: str) -> None:
    """Write a file beside its place and rename it, so that a reader sees a whole one or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        staged.write_text(content, encoding="utf-8")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
