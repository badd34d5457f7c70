"""The data dictionary as a page: docs/fields.md, made from manifest/fields.yml and from the scanners that ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quantmill.manifest.composition import Library, fields_of, load_library, resolve_scanner
from quantmill.manifest.fields import FieldEntry, split_field
from quantmill.manifest.scanners import Scanner

_HEAD = """# Fields of TradingView's scanner

Every field that scans, the vendor's features and metadata ask for. `python -m quantmill fields` writes this page from
`manifest/fields.yml` and from the scanners; a scanner cannot ask for a field that has no entry there.

A field without a suffix is of the day; `|240` is of bars of four hours, `|1W` of a week, `|1M` of a month. Percent are
percent (2.0 is 2 %), as the interface has them. During a session a value is that of its unfinished bar. *unconfirmed*:
known from public use, but in no recorded answer of the interface; `python -m ingest check tradingview` asks the live
one.

Use: *filter* is asked of the interface (layer 1), *gate* is judged on each row (layer 2), *rank* orders candidates
(layer 3), *sort* orders the request, *column* is kept beside the candidate, *feature* is kept as a vendor's feature,
*metadata* describes the symbol.
"""
_CATEGORIES = """
## Categories of funds

| Category | Funds |
|---|---|
| 26, 27 | equity: broad, thematic, leveraged and inverse |
| 35 | volatility |
| 44 | equity with dividends |
| 56-59, 61-64, 68, 70 | bonds: municipal, corporate, high yield, emerging markets |
| 69 | senior loans |
| 4-8 | commodities; 8 is precious metals |
| 71 | crypto and managed alternatives |
| 1, 3 | alternatives and balanced; not scanned |

The scanner `etf_category_census` asks for funds of all categories. The map is unconfirmed.
"""


def field_page(manifest: Path) -> str:
    """Return the page as Markdown. Raises what `load_library` and `resolve_scanner` raise."""
    library = load_library(manifest)
    scanners = [resolve_scanner(library, name).scanner for name in library.scanner_ids]
    uses = field_uses(library, scanners)
    lines = [
        "",
        "| Field | Meaning | Unit | Range | Timeframes | Use | Asked by | Status |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(name, entry, uses[name], scanners) for name, entry in library.dictionary.fields.items()),
    ]
    return _HEAD + "\n".join(lines) + "\n" + _CATEGORIES


def field_uses(library: Library, scanners: list[Scanner]) -> dict[str, list[str]]:
    """Return what each field of the dictionary is used for, by name without timeframe; empty: nobody asks for it."""
    uses: dict[str, set[str]] = {name: set() for name in library.dictionary.fields}
    for scanner in scanners:
        for written, use in _asked(scanner):
            uses[split_field(written)[0]].add(use)
    # blocks that no scanner is built on name fields too
    words = {"filters": "filter", "columns": "column", "ranks": "rank", "sort_by": "sort", "rating": "filter"}
    for entry in library.blocks.values():
        for key, written in fields_of(entry, library.dictionary):
            uses[split_field(written)[0]].add(words.get(key.split(".")[0], "gate"))
    for name, field in library.dictionary.fields.items():
        uses[name] |= {"feature"} if field.is_feature else set()
        uses[name] |= {"metadata"} if field.is_metadata else set()
        # a column is what is kept and not otherwise used by the scan
        if uses[name] & {"filter", "gate", "rank", "sort"}:
            uses[name] -= {"column"}
    order = ("filter", "gate", "rank", "sort", "column", "feature", "metadata")
    return {name: sorted(found, key=order.index) for name, found in uses.items()}


def _asked(scanner: Scanner) -> Iterator[tuple[str, str]]:
    yield scanner.sort_by, "sort"
    for condition in scanner.filters:
        yield condition.left, "filter"
    for gate in scanner.gates:
        yield gate.field, "gate"
    for rank in scanner.ranks:
        yield rank.field, "rank"
    for column in scanner.columns:
        yield column, "column"


def _line(name: str, entry: FieldEntry, uses: list[str], scanners: list[Scanner]) -> str:
    asking = sum(any(split_field(column)[0] == name for column in scanner.columns) for scanner in scanners)
    cells = (
        f"`{name}`",
        entry.meaning,
        entry.unit,
        _range(entry),
        " ".join(entry.timeframes),
        ", ".join(uses),
        f"{asking} of {len(scanners)} scanners" if asking else "",
        entry.status,
    )
    return "| " + " | ".join(cells) + " |"


def _range(entry: FieldEntry) -> str:
    if entry.range is None:
        return ""
    low, high = entry.range
    if high is None:
        return f"from {low:g}"
    return f"{low:g} to {high:g}"
