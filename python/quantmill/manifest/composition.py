"""Scanners are composed of blocks in five layers, and remember which block each of their values came from.

Layers: L0 universes, L1 hygiene, L2 templates, L3 strategies, L4 scanners. A block extends others; they are resolved
depth-first and merged lowest layer first (within a layer in the order written), then its own values come on top.

- a scalar replaces, a mapping is merged key by key;
- `filters` are keyed by field and class of operation (lower bound, upper bound, set, equality, pattern): the same key
  replaces, another one is added;
- `columns` are the ordered union; any other list replaces;
- `{replace: [...]}` replaces columns and filters too; `null` (for a filter: `right: null`) removes what is below.

Every scanner stands on the block `every_scanner`. Fields that filters, gates and ranks read are added to its columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quantmill.errors import BadValue, UnknownKey, UnknownProfile, UsageError
from quantmill.manifest.explaining import explain, nearest
from quantmill.manifest.fields import Dictionary, load_dictionary, split_field
from quantmill.manifest.files import NAME, read_mapping, short
from quantmill.manifest.scanners import (
    SYMBOL_PATTERN,
    Comparison,
    Exclusions,
    Filter,
    Gate,
    Logic,
    Market,
    Operation,
    Rank,
    Scanner,
    Status,
    VenueClass,
)

# The lowest block of every scanner.
ROOT = "every_scanner"
LAYERS = {
    "universes": "L0",
    "blocks/hygiene": "L1",
    "blocks/templates": "L2",
    "blocks/strategies": "L3",
    "scanners": "L4",
}
# What only a scanner may say, and has to say itself.
STATED = ("direction", "logic", "limit")
OF_SCANNERS = (*STATED, "category", "export_name")
# What describes a block and is not handed on to those that extend it.
OWN = ("description", "status", "extends")
GATE = re.compile(
    r"market_cap|volatility|liquidity|recent_perf|trend_recommendation|trend_adx|trend_momentum|trend_confirmation_momentum"
    r"|(?:trend|confirm|execute)_screen_[a-z][a-z0-9_]*"
)
GATES = (
    "market_cap",
    "volatility",
    "liquidity",
    "recent_perf",
    "trend_recommendation",
    "trend_adx",
    "trend_momentum",
    "trend_confirmation_momentum",
)
CONDITION = re.compile(r"(>=|<=|>|<)\s*([-+]?\d+(?:_\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?)")
COMPARISONS: dict[str, Comparison] = {">": "greater", ">=": "egreater", "<": "less", "<=": "eless"}
CLASSES = {
    **dict.fromkeys(("greater", "egreater", "above", "crosses_above"), "lower bound"),
    **dict.fromkeys(("less", "eless", "below", "crosses_below"), "upper bound"),
    **dict.fromkeys(("in_range", "not_in_range", "has", "has_none_of"), "set"),
    **dict.fromkeys(("equal", "nequal"), "equality"),
    **dict.fromkeys(("match", "nmatch"), "pattern"),
    "crosses": "crossing",
    **dict.fromkeys(("empty", "nempty"), "presence"),
}
WITHOUT_OPERAND = ("empty", "nempty")
# A floor on one of these is asked of the interface and judged again on the row, as the gate `liquidity`.
LIQUIDITY_FIELDS = ("Value.Traded",)
FINER_RATING = "Recommend.All|240"

SymbolText = Annotated[str, Field(pattern=SYMBOL_PATTERN)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FilterRule(_Record):
    """A filter as a file has it; without `right` it removes the one of its field and class below."""

    left: str
    operation: Operation
    right: Any = None


class RankRule(_Record):
    """One key of the order of layer 3."""

    field: str
    order: Literal["asc", "desc"]


class RatingRule(_Record):
    """Which rating a scanner goes by: filter and ranks follow from it and from the direction."""

    field: str
    neutral_band: float = Field(default=0.0, ge=0, le=1, description="ratings within it, ends included, are neutral")


class ExclusionRule(_Record):
    """Who is left out: sets of manifest/exclusions.yml, quotes, symbols, classes of instruments."""

    sets: tuple[str, ...] = ()
    quotes: tuple[str, ...] = Field(default=(), description="the only quotes allowed, best first; empty: any")
    symbols: tuple[SymbolText, ...] = ()
    leveraged: bool = False
    pegged: bool = False
    only_pegged: bool = False


class Block(_Record):
    """What a file may say of one block. Nothing is required but what a scanner has to state."""

    description: str = ""
    status: Status = "active"
    extends: tuple[str, ...] = ()

    direction: Literal["LONG", "SHORT"] | None = None
    logic: Logic | None = None
    limit: Annotated[int, Field(gt=0)] | None = None
    category: str | None = None
    export_name: str | None = None

    market: Market | None = None
    venue_class: VenueClass | None = None
    calendar_id: str | None = None
    exchanges: tuple[str, ...] = ()
    symbols: tuple[SymbolText, ...] = ()
    ensure_symbols: tuple[SymbolText, ...] = ()
    index_id: str | None = None

    filters: tuple[FilterRule, ...] = ()
    columns: tuple[str, ...] = ()
    sort_by: str | None = None
    sort_order: Literal["asc", "desc"] | None = None
    prefilter_limit: Annotated[int, Field(gt=0)] | None = None
    top_bases: Annotated[int, Field(gt=0)] | None = None
    base_limit: Annotated[int, Field(gt=0)] | None = None

    gates: dict[str, dict[str, str | tuple[str, ...]]] = {}
    gate_logic: Literal["and", "or"] | None = None
    exclusions: ExclusionRule | None = None
    median_turnover_min: Annotated[float, Field(gt=0)] | None = None
    rating: RatingRule | None = None
    ranks: tuple[RankRule, ...] = ()
    selection_limits: dict[Literal["entropy_max", "efficiency_min", "hurst_min", "hurst_max"], float] = {}

    @field_validator("gates")
    @classmethod
    def _conditions_can_be_read(cls, gates: dict[str, Any]) -> dict[str, Any]:
        for gate, conditions in gates.items():
            if not GATE.fullmatch(gate):
                raise ValueError(
                    f"there is no gate '{gate}': {nearest(gate, GATES)}; or trend_screen_NAME, confirm_screen_NAME,"
                    " execute_screen_NAME"
                )
            for name, written in conditions.items():
                for text in [written] if isinstance(written, str) else written:
                    if not CONDITION.fullmatch(text.strip()):
                        raise ValueError(f"{gate} has {name}: {text!r}; a comparison such as '>= 20' was needed")
        return gates


@dataclass(frozen=True)
class Entry:
    """One block of the manifest: its layer (L0 to L4), its file, and its content as written."""

    block_id: str
    layer: str
    place: str
    content: Mapping[str, Any]
    status: str
    extends: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Library:
    """All blocks and scanners of a manifest, and what they refer to."""

    blocks: Mapping[str, Entry]
    scanners: Mapping[str, Entry]
    exclusion_sets: Mapping[str, tuple[str, ...]]
    denied_symbols: tuple[str, ...]
    listings: Mapping[str, str]
    dictionary: Dictionary

    @property
    def scanner_ids(self) -> list[str]:
        """The names of all scanners, in order."""
        return sorted(self.scanners)

    def reach(self, scanner_ids: Iterable[str]) -> set[str]:
        """Return the names of the blocks that these scanners extend, directly or not."""
        reached: set[str] = set()
        waiting = [ROOT, *(parent for name in scanner_ids for parent in self.scanners[name].extends)]
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += self.blocks[name].extends
        return reached


@dataclass(frozen=True)
class ScannerRow:
    """One value of a resolved scanner and the block that it came from; layer `derived` where a rule made it."""

    key: str
    value: Any
    layer: str
    block_id: str
    place: str


@dataclass(frozen=True)
class ResolvedScanner:
    """A scanner with all layers merged, and where each of its values came from."""

    scanner: Scanner
    rows: tuple[ScannerRow, ...]


@dataclass
class _Replaced:
    """A list that takes the place of whatever is below it."""

    items: Any


@dataclass
class _Merged:
    """Values merged so far, and the block that each dotted key came from. A None stands for a removal."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Entry] = field(default_factory=dict)


def load_library(manifest: Path) -> Library:
    """Return the blocks and scanners of a manifest, each validated by itself.

    Raises `UnknownKey` or `BadValue` naming file, key, what was found and the nearest valid word.
    """
    blocks: dict[str, Entry] = {}
    scanners: dict[str, Entry] = {}
    for folder, layer in LAYERS.items():
        for path in sorted((manifest / folder).glob("*.yml")):
            for entry in _read_entries(path, layer):
                taken = scanners if entry.layer == "L4" else blocks
                if entry.block_id in taken:
                    raise BadValue(
                        f"{entry.place}: the name '{entry.block_id}' is taken by {taken[entry.block_id].place}",
                        remedy="two blocks, or two scanners, cannot share a name; rename one of them",
                        key=entry.block_id,
                    )
                taken[entry.block_id] = entry
    if ROOT not in blocks:
        raise UsageError(
            f"manifest/blocks has no block '{ROOT}', which every scanner stands on",
            remedy="restore it from version control",
        )
    sets, denied = _read_exclusions(manifest / "exclusions.yml")
    library = Library(
        blocks=blocks,
        scanners=scanners,
        exclusion_sets=sets,
        denied_symbols=denied,
        listings=_read_listings(manifest / "listings.yml"),
        dictionary=load_dictionary(manifest),
    )
    for entry in (*blocks.values(), *scanners.values()):
        _require_known_parents(entry, library)
        _require_known_fields(entry, library)
    for entry in blocks.values():
        _resolve(library, entry, ())  # a circle is an error even where no scanner reaches it
    return library


def resolve_scanner(library: Library, scanner_id: str, *, logic: str | None = None) -> ResolvedScanner:
    """Return a scanner with its layers merged.

    `logic` is the logic that a profile's strategy injects: it stands in for a scanner that states none, and has to
    agree with one that does. Raises `UnknownProfile` for an unknown scanner, `BadValue` for a contradiction or a
    missing value.
    """
    entry = library.scanners.get(scanner_id)
    if entry is None:
        found = "a block, no scanner" if scanner_id in library.blocks else "not in the manifest"
        raise UnknownProfile(
            f"scanner '{scanner_id}' is {found}", remedy=nearest(scanner_id, library.scanner_ids), found=scanner_id
        )
    own = entry.content.get("logic")
    if logic is not None and own is not None and own != logic:
        raise BadValue(
            f"{entry.place}: scanner '{scanner_id}' has the logic {own}, but a strategy injects {logic}",
            remedy="put the scanner under a strategy of its logic, or leave 'logic' to one of the two",
            key=f"{scanner_id}.logic",
        )
    for key in STATED:
        if entry.content.get(key) is None and not (key == "logic" and logic):
            raise BadValue(
                f"{entry.place}: scanner '{scanner_id}' does not state '{key}'",
                remedy=f"every scanner states {', '.join(STATED)} itself",
                key=f"{scanner_id}.{key}",
                file=entry.place,
            )
    merged = _Merged()
    _merge(merged, _resolve(library, library.blocks[ROOT], ()))
    _merge(merged, _resolve(library, entry, ()))
    if logic is not None and own is None:
        merged.values["logic"] = logic
        merged.origins["logic"] = Entry(scanner_id, "injected", "the strategy of the profile", {}, "", (), "")
    return _finish(library, entry, merged)


# --- reading -------------------------------------------------------------------------------------------------------


def _read_entries(path: Path, layer: str) -> Iterator[Entry]:
    content = read_mapping(path)
    container = "scanners" if layer == "L4" else "blocks"
    if layer == "L0" and container not in content:
        return  # a static list with one logic and direction, which a profile names directly
    unknown = sorted(set(content) - {container})
    if unknown or not isinstance(content.get(container), dict):
        raise UnknownKey(
            f"{short(path)}: unknown key '{unknown[0]}'" if unknown else f"{short(path)}: '{container}' is no mapping",
            remedy=f"the file holds one key, '{container}', a mapping of names",
            file=short(path),
        )
    for block_id, block in content[container].items():
        if not isinstance(block_id, str) or not NAME.fullmatch(block_id):
            raise BadValue(
                f"{short(path)}: {block_id!r} is no name: lower-case letters, digits and underscores were needed",
                remedy="rename it",
                key=str(block_id),
            )
        if not isinstance(block, dict):
            raise BadValue(
                f"{short(path)}: '{block_id}' holds {type(block).__name__}; a mapping was needed",
                remedy="write its keys below its name",
                key=block_id,
            )
        _require_known_keys(block, block_id, path)
        try:
            checked = Block.model_validate(_plain(block))
        except ValidationError as error:
            raise explain(error, Block, lambda _: short(path), prefix=f"{block_id}.") from None
        said = sorted(key for key in OF_SCANNERS if key in block and layer != "L4")
        if said:
            raise BadValue(
                f"{short(path)}: block '{block_id}' states '{said[0]}', which only a scanner may state",
                remedy=f"state it in manifest/scanners; only scanners have {', '.join(OF_SCANNERS)}",
                key=f"{block_id}.{said[0]}",
            )
        for rule in checked.filters:
            _require_operand(rule, block_id, block, path)
        yield Entry(
            block_id=block_id,
            layer=layer,
            place=short(path),
            content={key: value for key, value in block.items() if key not in OWN},
            status=checked.status,
            extends=checked.extends,
            description=checked.description,
        )


def _require_known_keys(block: Mapping[str, Any], block_id: str, path: Path) -> None:
    """Hold keys against the record by themselves: one whose value is null is not seen by the validation."""
    records: list[tuple[str, Any, type[BaseModel]]] = [
        ("", block, Block),
        ("exclusions.", block.get("exclusions"), ExclusionRule),
        ("rating.", block.get("rating"), RatingRule),
    ]
    for prefix, content, record in records:
        for key in content if isinstance(content, dict) else ():
            if key not in record.model_fields:
                raise UnknownKey(
                    f"{short(path)}: unknown key '{block_id}.{prefix}{key}'",
                    remedy=nearest(str(key), record.model_fields, f"{block_id}.{prefix}"),
                    key=f"{block_id}.{prefix}{key}",
                    file=short(path),
                )


def _require_operand(rule: FilterRule, block_id: str, block: Mapping[str, Any], path: Path) -> None:
    written = block["filters"]
    items = written["replace"] if isinstance(written, dict) else written
    as_written = next(item for item in items if item["left"] == rule.left and item["operation"] == rule.operation)
    if (rule.operation in WITHOUT_OPERAND) == (as_written.get("right") is not None):
        needed = "no 'right'" if rule.operation in WITHOUT_OPERAND else "a 'right'"
        if "right" in as_written and rule.operation not in WITHOUT_OPERAND:
            return  # right: null removes the filter
        raise BadValue(
            f"{short(path)}: the filter {rule.left} {rule.operation} of '{block_id}' needs {needed}",
            remedy="correct the filter",
            key=f"{block_id}.filters",
        )


def _plain(value: Any) -> Any:
    """Return what was written without removals and wrappers: what a record can validate."""
    if isinstance(value, dict):
        if set(value) == {"replace"}:
            return _plain(value["replace"])
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _require_known_parents(entry: Entry, library: Library) -> None:
    for parent in entry.extends:
        if parent in library.blocks:
            continue
        if parent in library.scanners:
            raise BadValue(
                f"{entry.place}: '{entry.block_id}' extends the scanner '{parent}'; a block was needed",
                remedy="move what the two share into a block under manifest/blocks",
                key=f"{entry.block_id}.extends",
            )
        raise UnknownProfile(
            f"{entry.place}: '{entry.block_id}' extends '{parent}', which is not in the manifest",
            remedy=nearest(parent, library.blocks),
            found=parent,
        )


def fields_of(entry: Entry, dictionary: Dictionary) -> Iterator[tuple[str, str]]:
    """Yield key and field, as written, of every field that a block names itself; a filter may compare two fields."""
    content = _plain(entry.content)
    for rule in content.get("filters", ()):
        yield "filters", rule["left"]
        if isinstance(rule.get("right"), str) and split_field(rule["right"])[0] in dictionary.fields:
            yield "filters", rule["right"]
    for name in content.get("columns", ()):
        yield "columns", name
    for gate, conditions in content.get("gates", {}).items():
        for name in conditions:
            yield f"gates.{gate}", name
    for rank in content.get("ranks", ()):
        yield "ranks", rank["field"]
    if content.get("sort_by"):
        yield "sort_by", content["sort_by"]
    if content.get("rating", {}).get("field"):
        yield "rating.field", content["rating"]["field"]


def _require_known_fields(entry: Entry, library: Library) -> None:
    """Hold every field of the block against the data dictionary: a misspelt one would make its gate fail for all."""
    content = _plain(entry.content)
    for key, name in fields_of(entry, library.dictionary):
        problem = library.dictionary.problem_of(name)
        if problem:
            raise UnknownKey(
                f"{entry.place}: '{entry.block_id}.{key}' has the field '{name}': {problem[0]}",
                remedy=problem[1],
                key=f"{entry.block_id}.{key}",
                file=entry.place,
            )
    for name in content.get("exclusions", {}).get("sets", ()):
        if name not in library.exclusion_sets:
            raise BadValue(
                f"{entry.place}: '{entry.block_id}.exclusions.sets' has the set '{name}', which is not in"
                " manifest/exclusions.yml",
                remedy=nearest(name, library.exclusion_sets),
                key=f"{entry.block_id}.exclusions.sets",
            )


class _ExclusionFile(_Record):
    sets: dict[str, tuple[str, ...]]
    denied_symbols: tuple[SymbolText, ...]


class _ListingFile(_Record):
    listings: dict[SymbolText, SymbolText]


def _read_exclusions(path: Path) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    try:
        found = _ExclusionFile.model_validate(read_mapping(path))
    except ValidationError as error:
        raise explain(error, _ExclusionFile, lambda _: short(path)) from None
    return found.sets, found.denied_symbols


def _read_listings(path: Path) -> dict[str, str]:
    try:
        return _ListingFile.model_validate(read_mapping(path)).listings
    except ValidationError as error:
        raise explain(error, _ListingFile, lambda _: short(path)) from None


# --- merging -------------------------------------------------------------------------------------------------------


def _resolve(library: Library, entry: Entry, stack: tuple[str, ...]) -> _Merged:
    if entry.block_id in stack:
        circle = " → ".join([*stack[stack.index(entry.block_id) :], entry.block_id])
        raise UsageError(
            f"{entry.place}: blocks extend each other in a circle: {circle}",
            remedy="remove one of the 'extends'",
            circle=circle,
        )
    # a scanner may have the name of a block that it extends
    inside = stack if entry.layer == "L4" else (*stack, entry.block_id)
    merged = _Merged()
    parents = (library.blocks[name] for name in entry.extends)
    for parent in sorted(parents, key=lambda one: one.layer):
        _merge(merged, _resolve(library, parent, inside))
    _merge(merged, _own(entry))
    return merged


def _own(entry: Entry) -> _Merged:
    """Return what a block says itself in the shape that blocks are merged in."""
    own = _Merged()
    for key, value in entry.content.items():
        own.values[key] = _shaped(key, value)
        _originate(own.origins, (key,), own.values[key], entry)
    return own


def _shaped(key: str, value: Any) -> Any:
    is_replacing = isinstance(value, dict) and set(value) == {"replace"}
    items = value["replace"] if is_replacing else value
    if key == "filters" and items is not None:
        items = {f"{rule['left']} {CLASSES[rule['operation']]}": _filter(rule) for rule in items}
    elif key == "columns" and items is not None:
        items = list(dict.fromkeys(items))
    else:
        # any other list replaces what is below it with or without the word
        return _unwrapped(value)
    return _Replaced(items) if is_replacing else items


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"replace"}:
            return value["replace"]
        return {key: _unwrapped(item) for key, item in value.items()}
    return value


def _filter(rule: Mapping[str, Any]) -> Filter | None:
    if rule["operation"] not in WITHOUT_OPERAND and rule.get("right") is None:
        return None
    return Filter(left=rule["left"], operation=rule["operation"], right=rule.get("right"))


def _originate(origins: dict[str, Entry], path: tuple[str, ...], value: Any, entry: Entry) -> None:
    origins["\0".join(path)] = entry
    inside = value.items if isinstance(value, _Replaced) else value
    if isinstance(inside, dict):
        for key, item in inside.items():
            _originate(origins, (*path, key), item, entry)
    elif path == ("columns",) and inside:
        for name in inside:
            origins["\0".join((*path, name))] = entry


def _merge(below: _Merged, above: _Merged) -> None:
    _merge_values(below.values, above.values)
    for key, origin in above.origins.items():
        path = key.split("\0")
        # a column keeps the block that asked for it first
        is_united = isinstance(above.values.get("columns"), list)
        if path[0] == "columns" and len(path) > 1 and key in below.origins and is_united:
            continue
        below.origins[key] = origin


def _merge_values(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        lower = below.get(key)
        if isinstance(value, dict):
            # a mapping that replaces stays one that replaces for whoever comes below it later
            inner = lower.items if isinstance(lower, _Replaced) else lower
            target = dict(inner) if isinstance(inner, dict) else {}
            _merge_values(target, value)
            below[key] = _Replaced(target) if isinstance(lower, _Replaced) else target
        elif key == "columns" and isinstance(value, list):
            inner = lower.items if isinstance(lower, _Replaced) else lower
            union = list(dict.fromkeys([*(inner or []), *value]))
            below[key] = _Replaced(union) if isinstance(lower, _Replaced) else union
        else:
            below[key] = value


# --- finishing -----------------------------------------------------------------------------------------------------


def _without_removals(value: Any) -> Any:
    inner = value.items if isinstance(value, _Replaced) else value
    if isinstance(inner, dict):
        return {key: _without_removals(item) for key, item in inner.items() if item is not None}
    return inner


def _finish(library: Library, entry: Entry, merged: _Merged) -> ResolvedScanner:
    values = _without_removals({key: value for key, value in merged.values.items() if value is not None})
    derived: dict[str, tuple[Any, str]] = {}

    filters: dict[str, Filter] = values.pop("filters", {})
    rating = values.pop("rating", None)
    if rating:
        rule = RatingRule.model_validate(rating)
        is_long = values["direction"] == "LONG"
        made = Filter(
            left=rule.field,
            operation="greater" if is_long else "less",
            right=rule.neutral_band if is_long else -rule.neutral_band or 0.0,
        )
        key = f"{rule.field} {CLASSES[made.operation]}"
        filters[key] = made
        derived[f"filters\0{key}"] = (made, "rating")
        order: Literal["asc", "desc"] = "desc" if is_long else "asc"
        if not _is_above(merged, "ranks", "rating"):
            values["ranks"] = [
                {"field": rule.field, "order": order},
                *([{"field": FINER_RATING, "order": order}] if rule.field != FINER_RATING else []),
                {"field": "Value.Traded", "order": "desc"},
            ]
            derived["ranks"] = (values["ranks"], "rating")

    gates = values.pop("gates", {})
    for name in LIQUIDITY_FIELDS:
        floor = filters.get(f"{name} lower bound")
        if floor and name not in gates.get("liquidity", {}):
            sign = next(text for text, operation in COMPARISONS.items() if operation == floor.operation)
            gates.setdefault("liquidity", {})[name] = f"{sign} {floor.right!r}"
            derived[f"gates\0liquidity\0{name}"] = (gates["liquidity"][name], f"filters\0{name} lower bound")
    gate_rows = tuple(_gates(gates))

    exclusions = ExclusionRule.model_validate(values.pop("exclusions", {}))
    columns = values.pop("columns", [])
    asked = [
        *(one.left for one in filters.values()),
        *(one.field for one in gate_rows),
        *(rank["field"] for rank in values.get("ranks", ())),
        values.get("sort_by", Scanner.model_fields["sort_by"].default),
    ]
    added = [name for name in dict.fromkeys(asked) if name not in columns]
    for name in added:
        derived[f"columns\0{name}"] = (name, "a filter, a gate or a rank reads it")

    content: dict[str, Any] = {
        **values,
        "scanner_id": entry.block_id,
        "description": entry.description,
        "status": entry.status,
        "filters": tuple(filters.values()),
        "gates": gate_rows,
        "columns": (*columns, *added),
        "ranks": tuple(Rank.model_validate(rank) for rank in values.get("ranks", ())),
        "exclusions": Exclusions(
            bases=tuple(sorted({base for name in exclusions.sets for base in library.exclusion_sets[name]})),
            quotes=exclusions.quotes,
            symbols=tuple(sorted({*exclusions.symbols, *library.denied_symbols})),
            is_leveraged_out=exclusions.leveraged,
            is_pegged_out=exclusions.pegged,
            only_pegged=exclusions.only_pegged,
        ),
        "symbols": _listed(library, values.get("symbols", ())),
        "ensure_symbols": _listed(library, values.get("ensure_symbols", ())),
    }
    try:
        scanner = Scanner.model_validate(content)
    except ValidationError as error:
        raise explain(error, Scanner, lambda path: _place(merged, path, entry), prefix=f"{entry.block_id}.") from None
    return ResolvedScanner(scanner, tuple(_rows(scanner, filters, gates, merged, derived, entry)))


def _is_above(merged: _Merged, key: str, other: str) -> bool:
    """Whether `key` was stated in a higher layer than `other`, so that it stands against what follows from it."""
    one, two = merged.origins.get(key), merged.origins[other]
    return one is not None and one.block_id != ROOT and one.layer >= two.layer


def _listed(library: Library, symbols: list[str]) -> tuple[str, ...]:
    """Return symbols under the listing where they trade."""
    return tuple(dict.fromkeys(library.listings.get(symbol, symbol) for symbol in symbols))


def _gates(gates: Mapping[str, Mapping[str, Any]]) -> Iterator[Gate]:
    """Yield the conditions: hygiene first, then the gates of the strategy; within a gate as written."""
    order = {gate: n for n, gate in enumerate(GATES)}
    for gate in sorted(gates, key=lambda name: (order.get(name, len(order)), name)):
        for name, written in gates[gate].items():
            for text in [written] if isinstance(written, str) else written:
                match = CONDITION.fullmatch(text.strip())
                assert match is not None
                yield Gate(gate=gate, field=name, operation=COMPARISONS[match[1]], threshold=float(match[2]))


def _place(merged: _Merged, path: list[str], entry: Entry) -> str:
    found = merged.origins.get(path[0]) if path else None
    return (found or entry).place


def _rows(
    scanner: Scanner,
    filters: Mapping[str, Filter],
    gates: Mapping[str, Mapping[str, Any]],
    merged: _Merged,
    derived: Mapping[str, tuple[Any, str]],
    entry: Entry,
) -> Iterator[ScannerRow]:
    def row(key: str, value: Any, path: tuple[str, ...]) -> ScannerRow:
        name = "\0".join(path)
        if name in derived:
            because = derived[name][1]
            origin = merged.origins.get(because)
            return ScannerRow(
                key, value, "derived", origin.block_id if origin else "", origin.place if origin else because
            )
        known = ("\0".join(path[:n]) for n in range(len(path), 0, -1))
        origin = next((merged.origins[one] for one in known if one in merged.origins), None)
        if origin is None:
            return ScannerRow(key, value, "default", "", "")
        return ScannerRow(key, value, origin.layer, origin.block_id, origin.place)

    for name, value in scanner:
        if name in ("scanner_id", "description", "status"):
            yield ScannerRow(name, value, entry.layer, entry.block_id, entry.place)
        elif name == "filters":
            for key, one in filters.items():
                yield row(f"filters {one.left}", f"{one.operation} {one.right!r}", ("filters", key))
        elif name == "gates":
            for gate, conditions in gates.items():
                for field_name, text in conditions.items():
                    yield row(f"gates {gate}", f"{field_name} {text}", ("gates", gate, field_name))
        elif name == "columns":
            for column in value:
                yield row("columns", column, ("columns", column))
        elif name == "exclusions":
            for key, one in value:
                if one:
                    source = {"bases": "sets", "is_leveraged_out": "leveraged", "is_pegged_out": "pegged"}.get(key, key)
                    yield row(f"exclusions {key}", one, ("exclusions", source))
        elif name == "ranks":
            yield row("ranks", ", ".join(f"{rank.field} {rank.order}" for rank in value), ("ranks",))
        elif name == "selection_limits":
            for key, one in value.items():
                yield row(f"selection_limits {key}", one, ("selection_limits", key))
        else:
            yield row(name, value, (name,))
