"""The sections of a report page, in reading order."""

from __future__ import annotations

from collections.abc import Callable

from quantmill.reports import evidence, results
from quantmill.reports.page import FAIL, Section
from quantmill.reports.queries import SHARED, Answers, MissingData
from quantmill.reports.reader import Reader

SECTIONS: tuple[tuple[str, str, Callable[[Reader, Section], None]], ...] = (
    ("run", "The run", results.run_section),
    ("key-figures", "Key figures of the headline", results.key_figures_section),
    ("nav", "Net asset value", results.nav_section),
    ("drawdown", "Drawdown", results.drawdown_section),
    ("metrics", "Metrics of all cells", results.metrics_section),
    ("weights", "Weights over time", results.weights_section),
    ("windows", "Windows", results.windows_section),
    ("health", "Data health", evidence.health_section),
    ("funnel", "Selection funnel", evidence.funnel_section),
    ("solver", "Solver and fallbacks", evidence.solver_section),
    ("ledger", "Ledger", evidence.ledger_section),
    ("settings", "Settings", evidence.settings_section),
)


def build_sections(answers: Answers) -> list[Section]:
    """Return all sections of the page, each with the queries it asked.

    A section whose table is missing or empty is there with status FAIL and the reason; what it had filled
    until then stays.
    """
    reader = Reader(answers)
    sections = []
    for identity, title, fill in SECTIONS:
        section = Section(identity, title)
        answers.forget()
        try:
            fill(reader, section)
        except MissingData as error:
            section.find(FAIL, str(error))
        section.queries = dict(sorted(answers.asked.items(), key=lambda item: item[0] in SHARED))
        sections.append(section)
    return sections


def description_of(answers: Answers) -> str:
    """Return the profile's description of itself; nothing without settings, which a section tells."""
    try:
        return str(Reader(answers).settings().get("description", ""))
    except MissingData:
        return ""
