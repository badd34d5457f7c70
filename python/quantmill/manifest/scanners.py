"""Scanners: what is asked of a market, what a candidate has to pass, and in which order candidates stand.

A resolved scanner is data: `canonical` is the JSON that is stored beside every scan, `config_hash` its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
Comparison = Literal["greater", "egreater", "less", "eless"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filter(_Record):
    """One condition of the request (layer 1), as the scanner's HTTP interface has it."""

    left: str = Field(description="field, with its timeframe: Recommend.All, ADX|1W")
    operation: str = Field(description="operation of the scanner's interface")
    right: Any = Field(default=None, description="number, text or list of them")


class Gate(_Record):
    """One condition on a fetched row (layer 2). A row whose field is missing fails with the reason `null:<field>`."""

    gate: str = Field(description="name under `passes`: liquidity, volatility, trend_adx, trend_screen_<name>, ...")
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
    status: Literal["active", "experimental", "research", "disabled"] = "active"
    market: str = Field(description="market of the HTTP interface: crypto, america, forex, futures, cfd, global")
    venue_class: Literal["spot", "perp", "listed", "forex", "futures", "cfd", "mixed"]
    exchanges: tuple[str, ...] = Field(default=(), description="exchanges that may answer; empty: any")
    symbols: tuple[str, ...] = Field(default=(), description="a static list; empty: the market is asked by filters")
    ensure_symbols: tuple[str, ...] = Field(default=(), description="added again after the gates, as forced")
    index_id: str | None = Field(default=None, description="the index whose members are the pool")
    filters: tuple[Filter, ...] = ()
    columns: tuple[str, ...]
    sort_by: str = "Value.Traded"
    sort_order: Literal["asc", "desc"] = "desc"
    prefilter_limit: int = Field(gt=0, description="rows that layer 1 fetches at most")
    base_limit: int | None = Field(default=None, gt=0, description="rows of the base universe by turnover")
    gates: tuple[Gate, ...] = ()
    gate_logic: Literal["and", "or"] = "and"
    exclusions: Exclusions = Exclusions()
    median_turnover_min: float | None = Field(
        default=None, description="least 30-day median quote turnover from own bars; None: not asked"
    )
    ranks: tuple[Rank, ...] = Field(min_length=1)
    limit: int = Field(gt=0, description="candidates at most")
    category: str | None = None
    export_name: str | None = None
    selection_limits: dict[str, float | tuple[float, float]] = Field(
        default_factory=dict, description="limits handed to selection, such as entropy_max"
    )

    @property
    def canonical(self) -> str:
        """The scanner as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def config_hash(self) -> str:
        """SHA-256 of `canonical`."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()
