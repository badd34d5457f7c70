"""The scanner's interface: the body of a scan taken apart, filtered, sorted and cut, and its errors.

Rows where a filter's field has no value do not pass, whatever the operation (but `empty` and `has_none_of`). Rows
without a value in the sorting field come last; equal values stand in order of symbol.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fields import Snapshot, UnknownField, parse_field
from .listings import INDEX_NAMES

Mask = NDArray[np.bool_]

MARKETS = (
    "america", "australia", "canada", "germany", "india", "israel", "italy", "luxembourg", "mexico", "spain", "turkey",
    "uk", "crypto", "forex", "cfd", "futures", "bonds", "global",
)  # fmt: skip
# Numbers that name a kind: a list of two is a set of two and no range.
CODES = ("category", "pricescale", "minmov", "minmove2", "expiration")
OPERATIONS = (
    "greater", "less", "egreater", "eless", "equal", "nequal", "in_range", "not_in_range", "match", "nmatch", "above",
    "below", "crosses", "crosses_above", "crosses_below", "has", "has_none_of", "empty", "nempty",
)  # fmt: skip


class ScanError(Exception):
    """A request that the scanner refuses: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    @property
    def body(self) -> bytes:
        return json.dumps({"totalCount": 0, "error": self.text, "data": None}, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Scan:
    """A scan request taken apart. `stop` None means to the end."""

    columns: tuple[str, ...]
    filters: tuple[Mapping[str, Any], ...]
    filter_tree: Mapping[str, Any] | None
    sort_by: str | None
    is_descending: bool
    start: int
    stop: int | None
    tickers: tuple[str, ...]
    types: tuple[str, ...]
    indices: tuple[str, ...]
    markets: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The rows of an answer: their symbols and values, and how many rows there are in all."""

    total: int
    symbols: list[str]
    rows: list[list[Any]]


def parse_scan(body: bytes) -> Scan:
    """Take a body apart. Raises ScanError (400) for anything that is not a scan."""
    try:
        raw = json.loads(body or b"{}")
    except ValueError as wrong:
        raise ScanError(400, f"Body parse error: {wrong}") from wrong
    if not isinstance(raw, dict):
        raise ScanError(400, "Body parse error: object expected")
    columns = raw.get("columns", ["name", "close"])
    _require(isinstance(columns, list) and all(isinstance(x, str) for x in columns), "columns: list of text expected")
    filters = raw.get("filter") or []
    _require(
        isinstance(filters, list) and all(isinstance(x, dict) for x in filters), "filter: list of objects expected"
    )
    sort = raw.get("sort") or {}
    _require(isinstance(sort, dict) and sort.get("sortOrder", "asc") in ("asc", "desc"), "sort: asc or desc expected")
    bounds = raw.get("range")
    _require(
        bounds is None
        or (isinstance(bounds, list) and len(bounds) == 2 and all(type(x) is int and x >= 0 for x in bounds)),
        "range: two numbers expected",
    )
    symbols = raw.get("symbols") or {}
    _require(isinstance(symbols, dict), "symbols: object expected")
    tickers = symbols.get("tickers") or []
    types = (symbols.get("query") or {}).get("types") or []
    sets = [str(one).removeprefix("SYML:").replace(";", ":") for one in symbols.get("symbolset") or []]
    groups = [v for one in symbols.get("groups") or [] if one.get("type") == "index" for v in one.get("values", [])]
    _require(isinstance(tickers, list) and all(isinstance(x, str) for x in tickers), "tickers: list of text expected")
    tree = raw.get("filter2")
    _require(tree is None or isinstance(tree, dict), "filter2: object expected")
    return Scan(
        columns=tuple(columns),
        filters=tuple(filters),
        filter_tree=tree or None,
        sort_by=sort.get("sortBy"),
        is_descending=sort.get("sortOrder", "asc") == "desc",
        start=bounds[0] if bounds else 0,
        stop=bounds[1] if bounds else None,
        tickers=tuple(tickers),
        types=tuple(types),
        indices=(*sets, *groups),
        markets=tuple(raw.get("markets") or ()),
    )


def _require(is_right: bool, text: str) -> None:
    if not is_right:
        raise ScanError(400, f"Body parse error: {text}")


def check_columns(columns: Sequence[str], *, removed: Sequence[str] = ()) -> None:
    """Refuse columns that the scanner does not have, or that a fault took away."""
    for column in columns:
        try:
            field = parse_field(column)
        except UnknownField as unknown:
            raise ScanError(400, f'Unknown field "{unknown}"') from unknown
        if column in removed or field.name in removed:
            raise ScanError(400, f'Unknown field "{column}"')


def scan(request: Scan, snapshots: Sequence[Snapshot], *, removed: Sequence[str] = ()) -> Page:
    """Return the rows of a scan over the snapshots of the markets asked."""
    asked = [*request.columns, *(str(one.get("left", "")) for one in request.filters)]
    if request.sort_by:
        asked.append(request.sort_by)
    check_columns(asked, removed=removed)
    found: list[tuple[Any, str, Snapshot, int]] = []
    for snapshot in snapshots:
        kept = _selected(request, snapshot)
        keys = snapshot.column(request.sort_by) if request.sort_by else snapshot.symbols
        found += [(keys[at], snapshot.symbols[at], snapshot, int(at)) for at in np.flatnonzero(kept)]
    present = [one for one in found if one[0] is not None]
    absent = sorted((one for one in found if one[0] is None), key=lambda one: one[1])
    present.sort(key=lambda one: one[1])
    present.sort(key=lambda one: one[0] if not isinstance(one[0], list) else str(one[0]), reverse=request.is_descending)
    ordered = [*present, *absent]
    if request.tickers and not request.sort_by:
        rank = {ticker: at for at, ticker in enumerate(request.tickers)}
        ordered.sort(key=lambda one: rank[one[1]])
    page = ordered[request.start : request.stop]
    columns = [{id(s): s.column(name) for s in snapshots} for name in request.columns]
    rows = [[column[id(snapshot)][at] for column in columns] for _, _, snapshot, at in page]
    return Page(len(ordered), [symbol for _, symbol, _, _ in page], rows)


def _selected(request: Scan, snapshot: Snapshot) -> Mask:
    kept = np.ones(len(snapshot.symbols), dtype=bool)
    if request.tickers:
        wanted = set(request.tickers)
        kept &= np.array([symbol in wanted for symbol in snapshot.symbols], dtype=bool)
    if request.types:
        kept &= np.array([one.type in request.types for one in snapshot.listings], dtype=bool)
    for index in request.indices:
        if index not in INDEX_NAMES:
            raise ScanError(400, f'Unknown index "{index}"')
        members = snapshot.market.members(index, snapshot.moment)
        kept &= np.array([symbol in members for symbol in snapshot.symbols], dtype=bool)
    for one in request.filters:
        kept &= _holds(one, snapshot)
    if request.filter_tree:
        kept &= _tree_holds(request.filter_tree, snapshot)
    return kept


def _tree_holds(tree: Mapping[str, Any], snapshot: Snapshot) -> Mask:
    """Evaluate a nested condition: {operator, operands: [{expression} | {operation}]}."""
    if "expression" in tree:
        return _holds(tree["expression"], snapshot)
    inner = tree.get("operation", tree)
    operator, operands = inner.get("operator"), inner.get("operands")
    if operator not in ("and", "or") or not isinstance(operands, list):
        raise ScanError(400, "Body parse error: filter2 needs an operator and operands")
    parts = [_tree_holds(one, snapshot) for one in operands]
    combine = np.logical_and if operator == "and" else np.logical_or
    return combine.reduce(parts) if parts else np.ones(len(snapshot.symbols), dtype=bool)


def _holds(one: Mapping[str, Any], snapshot: Snapshot) -> Mask:
    left, operation, right = one.get("left"), one.get("operation"), one.get("right")
    if operation not in OPERATIONS:
        raise ScanError(400, f'Unknown operation "{operation}"')
    try:
        field = parse_field(str(left))
    except UnknownField as unknown:
        raise ScanError(400, f'Unknown field "{unknown}"') from unknown
    if operation in ("empty", "nempty"):
        empty = np.array([value is None or value == [] for value in snapshot.column(str(left))], dtype=bool)
        return empty if operation == "empty" else ~empty
    if field.is_number:
        return _number_holds(str(left), str(operation), right, snapshot)
    return _text_holds(str(left), str(operation), right, snapshot)


def _operand(right: Any, snapshot: Snapshot) -> Any:
    """Return the right side: a number, or the values of another field."""
    if isinstance(right, str):
        try:
            parse_field(right)
        except UnknownField as unknown:
            raise ScanError(400, f'Unknown field "{right}"') from unknown
        return snapshot.numbers(right)
    if isinstance(right, bool) or not isinstance(right, int | float):
        raise ScanError(400, f"Body parse error: a number expected, got {json.dumps(right)}")
    return float(right)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "greater": np.greater,
    "above": np.greater,
    "less": np.less,
    "below": np.less,
    "egreater": np.greater_equal,
    "eless": np.less_equal,
    "equal": np.equal,
    "nequal": np.not_equal,
}


def _number_holds(left: str, operation: str, right: Any, snapshot: Snapshot) -> Mask:
    values = snapshot.numbers(left)
    there = np.isfinite(values)
    if operation in _COMPARISONS:
        operand = _operand(right, snapshot)
        there = there & np.isfinite(operand)
        return there & _COMPARISONS[operation](values, operand)
    if operation in ("in_range", "not_in_range"):
        if not isinstance(right, list) or not right:
            raise ScanError(400, "Body parse error: a list expected")
        if len(right) == 2 and left not in CODES:
            low, high = (_operand(one, snapshot) for one in right)
            inside = (values >= low) & (values <= high)
        else:
            inside = np.isin(values, np.array([float(x) for x in right]))
        return there & (inside if operation == "in_range" else ~inside)
    if operation.startswith("crosses"):
        operand = _operand(right, snapshot)
        before = snapshot.numbers(_back(left))
        then = snapshot.numbers(_back(right)) if isinstance(right, str) else operand
        up, down = (before <= then) & (values > operand), (before >= then) & (values < operand)
        return there & {"crosses": up | down, "crosses_above": up, "crosses_below": down}[operation]
    raise ScanError(400, f'Operation "{operation}" does not fit field "{left}"')


def _back(text: str) -> str:
    """Return the field one bar earlier."""
    name, _, timeframe = text.partition("|")
    return f"{name}[1]" + (f"|{timeframe}" if timeframe else "")


def _text_holds(left: str, operation: str, right: Any, snapshot: Snapshot) -> Mask:
    values = snapshot.column(left)
    wanted = right if isinstance(right, list) else [right]

    def names(value: Any) -> list[str]:
        items = value if isinstance(value, list) else [value]
        return [item["proname"] if isinstance(item, dict) else item for item in items]

    if operation in ("has", "has_none_of"):
        any_of = np.array([value is not None and bool(set(names(value)) & set(wanted)) for value in values], dtype=bool)
        return any_of if operation == "has" else ~any_of
    there = np.array([value is not None for value in values], dtype=bool)
    if operation in ("equal", "in_range", "nequal", "not_in_range"):
        equal = np.array([value in wanted for value in values], dtype=bool)
        return there & (equal if operation in ("equal", "in_range") else ~equal)
    if operation in ("match", "nmatch"):
        text = str(right).lower()
        match = np.array([value is not None and text in str(value).lower() for value in values], dtype=bool)
        return there & (match if operation == "match" else ~match)
    raise ScanError(400, f'Operation "{operation}" does not fit field "{left}"')
