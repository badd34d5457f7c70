"""The pages of a report and their sections, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantmill.reports import (
    comparison,
    data_quality,
    evidence,
    narrative,
    overview,
    results,
    risk,
    scoreboard,
    tearsheet,
)
from quantmill.reports.page import FAIL, NA, Page, Section
from quantmill.reports.queries import SHARED, Answers, MissingData, OlderSnapshot
from quantmill.reports.reader import Reader

Fill = Callable[[Reader, Section], None]
Plan = tuple[str, str, Fill]

OVERVIEW: Sequence[Plan] = (
    ("run", "The run", results.run_section),
    ("key-figures", "Key figures of the headline", results.key_figures_section),
    ("nav", "Net asset value", results.nav_section),
    ("top", "Top configurations", overview.top_section),
    ("ledger", "Ledger", evidence.ledger_section),
    ("settings", "The profile as resolved", evidence.settings_section),
)
COMPARISON: Sequence[Plan] = (
    ("metrics", "Metrics of all cells", results.metrics_section),
    ("sharpe-map", "Sharpe by engine and profile", comparison.sharpe_map_section),
    ("risk-return", "Risk and return", comparison.risk_return_section),
    ("costs", "Gross against net", comparison.costs_section),
    ("dates", "Common dates", comparison.dates_section),
)
SCOREBOARD: Sequence[Plan] = (
    ("scoreboard", "Scoreboard", scoreboard.scoreboard_section),
    ("gates", "Gates", scoreboard.gates_section),
)
RISK: Sequence[Plan] = (
    ("risk-matrix", "Risk matrix", risk.matrix_section),
    ("bands", "Volatility bands", risk.bands_section),
    ("drawdown", "Drawdown", results.drawdown_section),
    ("caps", "Cap utilisation", risk.caps_section),
    ("solver", "Solver and fallbacks", evidence.solver_section),
)
SELECTION: Sequence[Plan] = (
    ("scans", "Newest scans", narrative.scans_section),
    ("funnel", "Selection funnel", narrative.funnel_section),
    ("vetoes", "Vetoes", narrative.vetoes_section),
    ("battles", "Cluster battles", narrative.battles_section),
    ("overlap", "Overlap of winners", narrative.overlap_section),
    ("regimes", "Regimes", narrative.regimes_section),
    ("selection-warnings", "Warnings of selection", narrative.warnings_section),
)
QUALITY: Sequence[Plan] = (
    ("rules", "Rules", data_quality.rules_section),
    ("failures", "Failing rows", data_quality.failures_section),
    ("health", "Data health", evidence.health_section),
    ("coverage", "Coverage", data_quality.coverage_section),
    ("gaps", "Gaps and spikes", data_quality.gaps_section),
)

Subject = Callable[[Reader], tearsheet.Subject]


def _tearsheet_plan(subject: Subject) -> Sequence[Plan]:
    def of(fill: Callable[[Reader, Section, tearsheet.Subject], None]) -> Fill:
        return lambda reader, section: fill(reader, section, subject(reader))

    return (
        ("all-metrics", "All metrics", of(tearsheet.figures_section)),
        ("equity", "Growth and drawdown", of(tearsheet.equity_section)),
        ("months", "Monthly returns", of(tearsheet.months_section)),
        ("falls", "Five worst drawdowns", of(tearsheet.falls_section)),
        ("rolling", "Rolling figures", of(tearsheet.rolling_section)),
        ("returns", "Distribution of returns", of(tearsheet.histogram_section)),
        ("weights", "Weights over time", of(tearsheet.weights_section)),
        ("holdings", "Holdings and contributions", of(tearsheet.holdings_section)),
        ("charges", "Costs", of(tearsheet.charges_section)),
        ("windows", "Windows", of(tearsheet.windows_section)),
    )


PAGES: Sequence[tuple[str, str, str, Sequence[Plan]]] = (
    ("index.html", "Overview", "What was run, what it came to, and what may be believed of it.", OVERVIEW),
    ("comparison.html", "Comparison", "All cells of the tournament side by side, on the same dates.", COMPARISON),
    ("scoreboard.html", "Scoreboard", "Every cell against every gate, and what vetoes it.", SCOREBOARD),
    ("risk.html", "Risk", "What each configuration risks, and how close it comes to its limits.", RISK),
    (
        "tearsheet_headline.html",
        "Headline",
        "The configuration that the profile states as its own.",
        _tearsheet_plan(tearsheet.headline_subject),
    ),
    (
        "tearsheet_best.html",
        "Best",
        "The cell with the highest net Sharpe, picked after the fact.",
        _tearsheet_plan(tearsheet.best_subject),
    ),
    ("selection.html", "Selection", "How candidates became winners, decision by decision.", SELECTION),
    ("quality.html", "Data quality", "What the numbers rest on: rules, failing rows, health and coverage.", QUALITY),
)
FILES = tuple(page[0] for page in PAGES)


def build_pages(answers: Answers) -> list[Page]:
    """Return all pages, each section with the queries it asked.

    A section whose table is missing or empty is there with status FAIL and the reason, or N/A where the table
    is younger than the snapshot; what it had filled until then stays.
    """
    reader = Reader(answers)
    pages = [
        Page(file, title, lead, [_built(reader, answers, *plan) for plan in plans])
        for file, title, lead, plans in PAGES
    ]
    first = pages[0]
    # these read what the other sections found, so they are filled last and stand first
    guards = _built(reader, answers, "guards", "What is guarded", overview.guards_of(pages))
    warnings = _built(reader, answers, "warnings", "Warnings", overview.warnings_of(pages))
    artifacts = _built(reader, answers, "artifacts", "Where everything is", overview.artifacts_of(pages))
    run, figures, nav, top, *rest = first.sections
    first.sections = [run, figures, nav, top, guards, warnings, artifacts, *rest]
    return pages


def _built(reader: Reader, answers: Answers, identity: str, title: str, fill: Fill) -> Section:
    section = Section(identity, title)
    answers.forget()
    try:
        fill(reader, section)
    except OlderSnapshot as error:
        section.find(NA, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    except MissingData as error:
        section.find(FAIL, str(error))
    section.queries = dict(sorted(answers.asked.items(), key=lambda item: item[0] in SHARED))
    return section


def description_of(answers: Answers) -> str:
    """Return the profile's description of itself; nothing without settings, which a section tells."""
    try:
        return str(Reader(answers).settings().get("description", ""))
    except MissingData:
        return ""


def standing_notes(answers: Answers) -> list[str]:
    """Return what every page must say of the run: its benchmark's note, and a universe that is not of its time."""
    try:
        reader = Reader(answers)
        note = str(reader.settings().get("benchmark_note", ""))
        basis = reader.run()["universe_basis"]
    except MissingData:
        return []
    notes = [note] if note else []
    if basis != "pit":
        notes.append(
            f"The universe is {basis}: today's list of symbols is applied to all of history, which flatters every"
            " absolute figure. Read relative statements only."
        )
    return notes
