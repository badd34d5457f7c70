"""Universes that scanners make: what a profile writes of them, and what a run keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from quantmill.errors import BadValue, UsageError
from quantmill.manifest.composition import ResolvedScanner, load_library, resolve_scanner
from quantmill.manifest.explaining import explain
from quantmill.manifest.scanners import Logic
from quantmill.manifest.settings import Distinct, Record, Sessions, Settings, Symbol

Names = Annotated[tuple[str, ...], Distinct]


class Strategy(Record):
    """Scanners of one logic under a name. The logic is injected where a scanner leaves it out."""

    logic: Logic
    scanners: Names = Field(min_length=1)


class ScannedUniverse(Record):
    """The universe of a profile with scanners, as its file has it."""

    id: str | None = Field(default=None, description="name of the universe; that of the profile where it is not stated")
    basis: Literal["pit", "static"] = Field(
        description="pit: the newest scan known at each decision; static: the newest scan applied to all history"
    )
    scanners: Names = Field(default=(), description="scanners of manifest/scanners that stand by themselves")
    strategies: dict[str, Strategy] = Field(default={}, description="scanners grouped under a name and one logic")
    landed_only: Annotated[tuple[Symbol, ...], Distinct] = Field(
        default=(), description="landed and judged, never candidates"
    )
    anchor_symbols: Annotated[tuple[Symbol, ...], Distinct] = Field(
        default=(), description="symbols whose data have to be OK, or the run stops"
    )
    raw_pool_limit: Sessions = Field(default=200, description="candidates after consolidation at most")

    @model_validator(mode="after")
    def _names_each_scanner_once(self) -> ScannedUniverse:
        names = [*self.scanners, *(name for strategy in self.strategies.values() for name in strategy.scanners)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if not names:
            raise ValueError("universe names no scanner; universe.scanners or universe.strategies were needed")
        if repeated:
            raise ValueError(f"universe names {', '.join(repeated)} more than once")
        return self


@dataclass(frozen=True)
class Scanned:
    """Resolved scanners by id, and the universe as `UniverseSettings` takes it."""

    scanners: Mapping[str, ResolvedScanner]
    universe: dict[str, Any]


def is_scanned(universe: Any) -> bool:
    """Whether a universe as written names scanners."""
    return isinstance(universe, dict) and bool({"scanners", "strategies"} & set(universe))


def expand(manifest: Path, content: Mapping[str, Any], *, profile: str, place_of: Callable[[str], str]) -> Scanned:
    """Resolve the scanners that a profile names.

    `profile` names the universe where it does not say how it is called; `place_of` gives the file of a dotted key.
    Raises `UnknownProfile` for an unknown scanner, `BadValue` for one that is disabled or contradicts its strategy.
    """
    try:
        wanted = ScannedUniverse.model_validate(dict(content))
    except ValidationError as error:
        raise explain(
            error, ScannedUniverse, lambda path: place_of(".".join(["universe", *path])), prefix="universe."
        ) from None
    library = load_library(manifest)
    asked: list[tuple[str, str | None, str | None]] = [(name, None, None) for name in wanted.scanners]
    for group, strategy in sorted(wanted.strategies.items()):
        asked += [(name, group, strategy.logic) for name in strategy.scanners]
    resolved: dict[str, ResolvedScanner] = {}
    references = []
    for name, strategy_name, logic in asked:
        found = resolve_scanner(library, name, logic=logic)
        if found.scanner.status == "disabled":
            raise BadValue(
                f"{place_of('universe.scanners')}: scanner '{name}' is registered and disabled",
                remedy="leave it out; its file says why",
                key="universe.scanners",
            )
        resolved[name] = found
        references.append(
            {
                "scanner_id": name,
                "strategy": strategy_name,
                "logic": found.scanner.logic,
                "direction": found.scanner.direction,
                "config_hash": found.scanner.config_hash,
            }
        )
    return Scanned(
        scanners=resolved,
        universe={
            "id": wanted.id or profile,
            "basis": wanted.basis,
            "landed_only": wanted.landed_only,
            "anchor_symbols": wanted.anchor_symbols,
            "raw_pool_limit": wanted.raw_pool_limit,
            "scanners": references,
            "forced_symbols": sorted({symbol for one in resolved.values() for symbol in one.scanner.ensure_symbols}),
        },
    )


def require_agreement(scanned: Scanned, settings: Settings, place: str) -> None:
    """Hold the scanners against the settings of the run that they are for.

    Raises `UsageError` where they keep another calendar, where a promotable profile uses one that is not active, and
    where selection is laxer than a limit that a scanner hands to it.
    """
    for name, found in scanned.scanners.items():
        scanner = found.scanner
        if scanner.calendar_id != settings.calendar_id:
            raise UsageError(
                f"{place}: the run keeps the sessions of calendar {settings.calendar_id}, but scanner '{name}' finds"
                f" symbols of {scanner.calendar_id}",
                remedy="leave it out, or set calendar_id and periods_per_year to its calendar",
                scanner=name,
            )
        if settings.tier == "promotable" and scanner.status != "active":
            raise UsageError(
                f"{place}: scanner '{name}' is {scanner.status}; what may be promoted needs active scanners",
                remedy="leave it out, or set tier to strict",
                scanner=name,
            )
        for key, limit in scanner.selection_limits.items():
            have = getattr(settings.selection, key, None)
            if have is None:
                continue
            if have > limit if key.endswith("_max") else have < limit:
                raise UsageError(
                    f"{place}: selection.{key} is {have:g}, but scanner '{name}' hands {limit:g} to selection",
                    remedy=f"set selection.{key} to {limit:g} or stricter",
                    scanner=name,
                )
