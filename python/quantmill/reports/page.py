"""What report pages are made of: sections with a computed status, holding tables, tiles and charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

OK, WARN, FAIL, NA = "OK", "WARN", "FAIL", "N/A"
# N/A is what a run by its nature has not, so anything that was found out outweighs it.
SEVERITY = (NA, OK, WARN, FAIL)
# How many of a group a finding names.
NAMED = 4


@dataclass(frozen=True)
class Cell:
    """One value of a table: what is shown, what it sorts by, what hovering tells, and where a click leads.

    `href` is relative to the folder of the pages.
    """

    text: str
    sort: str = ""
    title: str = ""
    tone: str = ""
    href: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table. `is_extra` columns are hidden until asked for."""

    label: str
    is_number: bool = False
    title: str = ""
    is_extra: bool = False
    is_strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `is_sortable` gives it headers that sort, `is_tall` a box of its own that scrolls."""

    id: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    is_sortable: bool = False
    is_tall: bool = False
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Tile:
    """One key figure with what it is compared to."""

    label: str
    value: Cell
    beside: Sequence[str]


@dataclass(frozen=True)
class Tiles:
    """A row of key figures."""

    tiles: Sequence[Tile]
    kind: str = field(default="tiles", init=False)


@dataclass(frozen=True)
class Chart:
    """A chart: figures by key, of which `first` is drawn; several give a selector with their labels.

    `choice` names what the selector chooses; `is_log_first` draws the logarithmic axis to begin with.
    """

    id: str
    label: str
    figures: dict[str, dict[str, Any]]
    first: str
    labels: dict[str, str] = field(default_factory=dict)
    caption: str = ""
    height: int = 420
    has_log_axis: bool = False
    is_log_first: bool = False
    choice: str = "Configuration"
    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class Facts:
    """Pairs of a term and what it is."""

    pairs: Sequence[tuple[str, Cell]]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True)
class Note:
    """A paragraph the reader must not miss; `tone` is plain, warn or code."""

    text: str
    tone: str = "plain"
    lead: str = ""
    kind: str = field(default="note", init=False)


@dataclass(frozen=True)
class Folded:
    """A table behind a line that opens it."""

    label: str
    table: Table
    kind: str = field(default="folded", init=False)


Block = Table | Tiles | Chart | Facts | Note | Folded


@dataclass(frozen=True)
class Finding:
    """One sentence about what was checked, and how it came out; `guard` names the promise it belongs to."""

    status: str
    text: str
    guard: str = ""


@dataclass
class Section:
    """A section of the page. Its status is the worst of its findings, never set by hand."""

    id: str
    title: str
    findings: list[Finding] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    queries: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """OK, WARN, FAIL or N/A; a section that found nothing out is FAIL."""
        return max((finding.status for finding in self.findings), key=SEVERITY.index, default=FAIL)

    @property
    def failures(self) -> list[str]:
        """What is wrong, where the section is FAIL."""
        return [finding.text for finding in self.findings if finding.status == FAIL]

    def find(self, status: str, finding: str, *, guard: str = "") -> None:
        """Keep a finding."""
        self.findings.append(Finding(status, finding, guard))

    def find_each(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Keep (status, what, of whom) as one finding per status and what, naming the first of whom."""
        groups: dict[tuple[str, str], list[str]] = {}
        for status, what, whom in found:
            groups.setdefault((status, what), []).append(whom)
        for (status, what), named in groups.items():
            more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
            self.find(status, f"{what}: {', '.join(named[:NAMED])}{more}.")


@dataclass
class Page:
    """One file of the report: what it is about and its sections. Its status is that of its worst section."""

    file: str
    title: str
    lead: str
    sections: list[Section] = field(default_factory=list)

    @property
    def status(self) -> str:
        """OK, WARN, FAIL or N/A; a page without sections is FAIL."""
        return max((section.status for section in self.sections), key=SEVERITY.index, default=FAIL)
