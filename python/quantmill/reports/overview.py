"""The sections of the first page that gather what all pages found: guards, warnings, the best, where things are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantmill.reports.formats import metric_cell, metric_column, text
from quantmill.reports.page import FAIL, NA, OK, SEVERITY, WARN, Cell, Column, Finding, Page, Section, Table
from quantmill.reports.queries import LATER_TABLES
from quantmill.reports.reader import Reader, view_sentence

Fill = Callable[[Reader, Section], None]
TOP = 5

# What a run promises, in reading order: when it holds, and where it is looked at. The status of each is that of
# the findings which carry its name; without one it is that of the section which should have had it.
GUARDS = {
    "Sealed run": ("the ledger is closed and the tables are hashed", "index.html", "run"),
    "Ledger chain": (
        "every record names the one before it, and the last is the one the run names",
        "index.html",
        "ledger",
    ),
    "No foresight": ("a decision rests on sessions up to its close and is tested on later ones", "index.html", "run"),
    "Universe": ("candidates are those that were listed at each decision", "index.html", "run"),
    "Quality rules": ("the expectations of the data hold", "quality.html", "rules"),
    "Data health": ("every symbol of the run is complete and fresh at the as-of date", "quality.html", "health"),
    "Late revisions": ("no value was replaced after its session had closed", "quality.html", "health"),
    "Spikes": ("every suspicious jump of the run's span is resolved", "quality.html", "health"),
    "Winners": ("no window is scarce or without a winner", "selection.html", "funnel"),
    "Solver": ("weights come from the optimiser that was asked, not from a fallback", "risk.html", "solver"),
    "Caps": ("no cap was relaxed to find weights", "risk.html", "solver"),
    "Weights": ("weights and cash of each book add up to one", "tearsheet_headline.html", "weights"),
    "Costs": ("gross return, costs and borrow make the net return", "index.html", "nav"),
    "NAV": ("net returns compound to the worth of the book", "index.html", "nav"),
    "Metrics": ("published metrics are those of the drawn paths", "comparison.html", "metrics"),
    "Contributions": (
        "what each symbol added, less costs, is the return of the book",
        "tearsheet_headline.html",
        "holdings",
    ),
    "Common dates": ("all cells are measured on the same sessions", "comparison.html", "dates"),
    "Many windows": ("no single window makes a quarter of the growth", "index.html", "key-figures"),
    "Gates": ("the headline passes every gate, and the tier has candidates", "scoreboard.html", "scoreboard"),
}
TOP_METRICS = (
    "total_return", "cagr", "annualized_vol", "sharpe", "max_drawdown", "cvar_95", "ann_turnover", "cost_drag", "beta",
    "n_eff",
)  # fmt: skip
TONES = {OK: "good", WARN: "warn", FAIL: "fail", NA: "missing"}
# What else a run leaves behind, relative to the folder of the pages, and what it is.
FILES_BESIDE = (
    ("../../warehouse.duckdb", "warehouse.duckdb", "the published snapshot: every table behind these pages"),
    ("../../runs/{run_id}/audit.jsonl", "runs/{run_id}/audit.jsonl", "the ledger, byte for byte as it was sealed"),
)


def guards_of(pages: Sequence[Page]) -> Fill:
    """Return what fills the section on guards from the findings of `pages`."""

    def fill(reader: Reader, section: Section) -> None:
        reader.run()
        found: dict[str, list[tuple[Page, Section, Finding]]] = {name: [] for name in GUARDS}
        for page in pages:
            for one in page.sections:
                for finding in one.findings:
                    if finding.guard:
                        found[finding.guard].append((page, one, finding))
        rows = []
        counts = dict.fromkeys(reversed(SEVERITY), 0)
        for name, (promise, file, identity) in GUARDS.items():
            # of several the worst, of these the first
            ranked = sorted(found[name], key=lambda entry: -SEVERITY.index(entry[2].status))
            page, one, finding = ranked[0] if ranked else _instead(pages, file, identity)
            counts[finding.status] += 1
            rows.append(
                [
                    Cell(name, sort=name, tone="strong"),
                    Cell(finding.status, sort=finding.status, tone=TONES[finding.status]),
                    Cell(promise, tone="wide"),
                    Cell(finding.text, tone="wide"),
                    Cell(f"{page.title}: {one.title}", href=f"{page.file}#{one.id}"),
                ]
            )
        counted = ", ".join(f"{status} {number}" for status, number in counts.items() if number)
        worst = max((status for status, number in counts.items() if number), key=SEVERITY.index)
        section.find(worst, f"{len(rows)} guards: {counted}.")
        columns = [Column("Guard"), Column("Status"), Column("Holds where"), Column("Found"), Column("Seen in")]
        section.blocks.append(
            Table(
                "guards", columns, rows, caption="Each status is computed from the tables of this run as it is shown."
            )
        )

    return fill


def _instead(pages: Sequence[Page], file: str, identity: str) -> tuple[Page, Section, Finding]:
    """Return the worst finding of the section that should have told of a guard and did not get to it."""
    page = next(page for page in pages if page.file == file)
    section = next(section for section in page.sections if section.id == identity)
    worst = max(section.findings, key=lambda finding: SEVERITY.index(finding.status), default=None)
    if worst is None or worst.status not in (FAIL, NA):
        return page, section, Finding(FAIL, "The section found nothing out about it.")
    return page, section, worst


def warnings_of(pages: Sequence[Page]) -> Fill:
    """Return what fills the section on warnings with every finding of `pages` that is not OK."""

    def fill(reader: Reader, section: Section) -> None:
        reader.run()
        rows = []
        seen: set[tuple[str, str]] = set()
        for page in pages:
            for one in page.sections:
                for finding in one.findings:
                    # both tearsheets may say the same of the same configuration
                    if finding.status == OK or (one.id, finding.text) in seen:
                        continue
                    seen.add((one.id, finding.text))
                    rows.append(
                        [
                            Cell(finding.status, sort=str(SEVERITY.index(finding.status)), tone=TONES[finding.status]),
                            Cell(f"{page.title}: {one.title}", sort=one.title, href=f"{page.file}#{one.id}"),
                            Cell(finding.text, sort=finding.text, tone="wide"),
                        ]
                    )
        rows.sort(key=lambda row: -SEVERITY.index(row[0].text))
        worst = max((row[0].text for row in rows), key=SEVERITY.index, default=OK)
        section.find(worst, f"Findings on these pages that are not OK: {len(rows)}.")
        if rows:
            section.blocks.append(
                Table(
                    "warnings",
                    [Column("Status"), Column("Where"), Column("What")],
                    rows,
                    is_sortable=True,
                    is_tall=len(rows) > 14,
                )
            )

    return fill


def artifacts_of(pages: Sequence[Page]) -> Fill:
    """Return what fills the section that tells where everything of the run is."""

    def fill(reader: Reader, section: Section) -> None:
        run_id = reader.run()["run_id"]
        there = reader.ask.tables
        absent = sorted(LATER_TABLES - there)
        section.find(OK, f"{len(pages)} pages, {len(FILES_BESIDE)} files.")
        if absent:
            section.find(NA, f"Tables that the snapshot does not have: {', '.join(absent)}.")
        rows = [
            [Cell(page.file, href=page.file), Cell(page.lead, tone="wide"), Cell(page.status, tone=TONES[page.status])]
            for page in pages
        ]
        rows += [
            [Cell(label.format(run_id=run_id), href=path.format(run_id=run_id)), Cell(what, tone="wide"), text("")]
            for path, label, what in FILES_BESIDE
        ]
        section.blocks.append(Table("artifacts", [Column("File"), Column("What it is"), Column("Status")], rows))

    return fill


def top_section(reader: Reader, section: Section) -> None:
    """Fill the section with the configurations of the highest net Sharpe, the headline and its baselines."""
    ranked, labels, metrics, drawn = reader.ranked(), reader.labels(), reader.metrics(), reader.drawn_cells()
    headline = reader.headline()
    if not ranked:
        section.find(FAIL, f"No configuration has a Sharpe: {view_sentence(reader)}.")
        return
    duplicates = reader.duplicates()
    place = {config_id: number + 1 for number, config_id in enumerate(ranked)}
    place |= {config_id: place[other] for config_id, other in duplicates.items() if other in place}
    own, original = place.get(headline["config_id"]), duplicates.get(headline["config_id"])
    section.find(
        OK if own else WARN,
        f"The headline {labels[headline['config_id']]} is number {own} of {len(ranked)} distinct configurations by net"
        f" Sharpe{f', a place it shares with {labels[original]}' if original else ''}."
        if own
        else f"The headline {labels[headline['config_id']]} is not ranked: the scoreboard says why.",
    )
    if duplicates:
        section.find(
            OK,
            f"{len(duplicates)} more configurations have nearly the returns of a better one and count once with it.",
        )
    if headline["config_id"] != ranked[0]:
        section.find(
            OK,
            f"The best, {labels[ranked[0]]}, is picked after the fact: of {len(ranked)} distinct configurations"
            " one is highest by luck alone.",
        )
    shown = ranked[:TOP]
    shown += [headline["config_id"]] * (headline["config_id"] not in shown and headline["config_id"] in drawn)
    anchors = [row["config_id"] for row in reader.anchors_of(headline) if row["config_id"] in drawn]
    shown += [config_id for config_id in anchors if config_id not in shown]
    shown += [row["config_id"] for row in reader.baselines_of(headline) if row["config_id"] in drawn]
    rows = []
    for config_id in shown:
        config = reader.config(config_id)
        is_headline = config_id == headline["config_id"]
        page = "tearsheet_headline.html" if is_headline else "tearsheet_best.html" if config_id == ranked[0] else ""
        line = [
            Cell(
                labels[config_id] + (" (headline)" if is_headline else " (anchor)" if config_id in anchors else ""),
                sort=labels[config_id],
                tone="quiet" if config["is_baseline"] else "strong" if is_headline else "",
                href=page,
            ),
            text(place.get(config_id)),
        ]
        line += [metric_cell(metrics.get((drawn[config_id]["cell_id"], name)), name) for name in TOP_METRICS]
        rows.append(line)
    columns = [Column("Configuration"), Column("Place", is_number=True)]
    columns += [metric_column(name, is_extra=False) for name in TOP_METRICS]
    section.blocks.append(
        Table(
            "top",
            columns,
            rows,
            is_sortable=True,
            caption=f"Net of costs: {view_sentence(reader)}. Baselines are never ranked. All cells stand in the"
            " comparison.",
        )
    )
