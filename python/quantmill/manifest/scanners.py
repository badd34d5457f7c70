"""Scanners: what is asked of a market, what a candidate has to pass, and in which order candidates stand.

A resolved scanner is data: `canonical` is the JSON that is stored beside every scan, `config_hash` its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Logic = Literal[
    "rating_all",
    "rating_ma",
    "rating_osc",
    "trend",
    "mtf_trend",
    "secular_short",
    "vol_breakout",
    "xs_momentum",
    "mean_reversion",
    "momentum",
    "yield",
    "supercycle",
    "anchor",
    "buy_hold",
    "pair_spread",
]
# Registered, so that data and documents can name them, and not to be run: a profile that uses one is an error.
DISABLED_LOGICS = ("mean_reversion", "pair_spread")
Comparison = Literal["greater", "egreater", "less", "eless"]
Market = Literal[
    "america",
    "australia",
    "canada",
    "germany",
    "india",
    "israel",
    "italy",
    "luxembourg",
    "mexico",
    "spain",
    "turkey",
    "uk",
    "crypto",
    "forex",
    "cfd",
    "futures",
    "bonds",
    "global",
]
Operation = Literal[
    "greater",
    "less",
    "egreater",
    "eless",
    "equal",
    "nequal",
    "in_range",
    "not_in_range",
    "match",
    "nmatch",
    "above",
    "below",
    "crosses",
    "crosses_above",
    "crosses_below",
    "has",
    "has_none_of",
    "empty",
    "nempty",
]
Status = Literal["active", "experimental", "research", "disabled"]
VenueClass = Literal["spot", "perp", "listed", "forex", "futures", "cfd", "mixed"]
SYMBOL_PATTERN = r"^[A-Z0-9_]+:[A-Z0-9!._&-]+$"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filter(_Record):
    """One condition of the request (layer 1), as the scanner's HTTP interface has it."""

    left: str = Field(description="field, with its timeframe: Recommend.All, ADX|1W")
    operation: Operation = Field(description="operation of the scanner's interface")
    right: Any = Field(default=None, description="number, text, list of them, or another field; None: no operand")


class Gate(_Record):
    """One condition on a fetched row (layer 2). A row whose field is missing fails with the reason `null:<field>`.

    Conditions that share the name of a gate are one gate, such as the horizons of `trend_momentum`: all have to hold.
    """

    gate: str = Field(
        description="name under `passes`: market_cap, liquidity, volatility, trend_adx, trend_screen_<name>, ..."
    )
    field: str = Field(description="field, with its timeframe")
    operation: Comparison
    threshold: float


class Rank(_Record):
    """One key of the order of layer 3."""

    field: str
    order: Literal["asc", "desc"]


class Exclusions(_Record):
    """Who is left out before any gate, by extracted base and quote and by metadata, never by the name's beginning."""

    bases: tuple[str, ...] = Field(default=(), description="bases that may not be candidates")
    quotes: tuple[str, ...] = Field(default=(), description="the only quotes allowed, best first; empty: any")
    symbols: tuple[str, ...] = Field(default=(), description="symbols that may not be candidates")
    is_leveraged_out: bool = Field(default=False, description="leveraged tokens may not be candidates")
    is_pegged_out: bool = Field(default=False, description="what a peg detector tagged may not be a candidate")
    only_pegged: bool = Field(default=False, description="only stable, fiat or gold bases may be candidates")


class Scanner(_Record):
    """A runnable scanner with all its layers merged."""

    scanner_id: str
    description: str = ""
    direction: Literal["LONG", "SHORT"]
    logic: Logic
    status: Status = "active"
    market: Market = Field(description="market of the HTTP interface")
    venue_class: VenueClass
    calendar_id: str = Field(description="name of exchange_calendars whose sessions its symbols keep")
    exchanges: tuple[str, ...] = Field(default=(), description="exchanges that may answer; empty: any")
    symbols: tuple[str, ...] = Field(default=(), description="a static list; empty: the market is asked by filters")
    ensure_symbols: tuple[str, ...] = Field(default=(), description="added again after the gates, as forced")
    index_id: str | None = Field(default=None, description="the index whose members are the pool")
    filters: tuple[Filter, ...] = ()
    columns: tuple[str, ...]
    sort_by: str = "Value.Traded"
    sort_order: Literal["asc", "desc"] = "desc"
    prefilter_limit: int = Field(gt=0, description="rows that layer 1 fetches at most")
    top_bases: int | None = Field(
        default=None,
        gt=0,
        description="bases by turnover that the fetched rows are cut to, before exclusions and gates",
    )
    base_limit: int | None = Field(
        default=None, gt=0, description="rows of the base universe by turnover, after exclusions and before gates"
    )
    gates: tuple[Gate, ...] = ()
    gate_logic: Literal["and", "or"] = Field(
        default="and",
        description="of the gates trend_* and *_screen_*; market_cap, volatility, liquidity, recent_perf always hold",
    )
    exclusions: Exclusions = Exclusions()
    median_turnover_min: float | None = Field(
        default=None, description="least 30-day median quote turnover from own bars; None: not asked"
    )
    ranks: tuple[Rank, ...] = Field(min_length=1)
    limit: int = Field(gt=0, description="candidates at most")
    category: str | None = None
    export_name: str | None = None
    selection_limits: dict[str, float] = Field(
        default_factory=dict, description="limits handed to selection, such as entropy_max: no profile may be laxer"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Scanner:
        """Gates that point the way of the direction, an order of layer 1 that is no performance, a pool to ask."""
        if not (self.symbols or self.index_id or self.filters):
            raise ValueError("it asks for nothing: symbols, index_id or filters were needed")
        if _names_performance(self.sort_by):
            raise ValueError(
                f"sort_by is {self.sort_by}, a performance: the interface would return illiquid winners and starve the"
                " pool; rank by it in 'ranks' and sort by Value.Traded"
            )
        for gate in self.gates:
            wanted = _wanted_side(gate.gate, self.direction)
            if wanted and not gate.operation.endswith(wanted):
                raise ValueError(
                    f"a {self.direction} scanner needs a {'lower' if wanted == 'greater' else 'upper'} bound in"
                    f" {gate.gate}, which has {gate.field} {gate.operation} {gate.threshold:g}"
                )
        if self.logic in DISABLED_LOGICS and self.status == "active":
            raise ValueError(
                f"logic {self.logic} is registered and disabled; status experimental or disabled was needed"
            )
        return self

    @property
    def canonical(self) -> str:
        """The scanner as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def config_hash(self) -> str:
        """SHA-256 of `canonical`."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


def _names_performance(field: str) -> bool:
    name = field.split("|", maxsplit=1)[0]
    return name.startswith(("Perf.", "Recommend.", "change")) or name in ("ROC", "Mom")


def _wanted_side(gate: str, direction: str) -> str | None:
    """Return which comparison the gate has in a direction; None where either may stand."""
    kind = gate.removeprefix("trend_screen_").removeprefix("confirm_screen_").removeprefix("execute_screen_")
    kind = kind.removeprefix("trend_").removeprefix("confirmation_")
    if kind == "adx":
        return "greater"
    if kind in ("recommendation", "momentum"):
        return "greater" if direction == "LONG" else "less"
    return None
