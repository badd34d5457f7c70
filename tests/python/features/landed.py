"""Landed rows for tests of the models over them: scans, metadata, limits, features and bars, as ingest writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from python.features.pipeline import Pipeline
from quantmill.manifest.composition import load_library, resolve_scanner
from quantmill.manifest.scanners import Exclusions, Gate, Rank, Scanner
from support import ROOT

NOW = datetime(2025, 3, 1, 0, 10)


@cache
def shipped(scanner_id: str) -> Scanner:
    """A scanner as the manifest of the project resolves it."""
    return resolve_scanner(load_library(ROOT / "manifest"), scanner_id).scanner


def scanner(scanner_id: str = "test", **changes: Any) -> Scanner:
    """A spot scanner of one gate on turnover, ranked by rating; `changes` replace fields."""
    return Scanner.model_validate(
        {
            "scanner_id": scanner_id,
            "direction": "LONG",
            "logic": "rating_all",
            "market": "crypto",
            "calendar_id": "24/7",
            "venue_class": "spot",
            "filters": ({"left": "type", "operation": "equal", "right": "spot"},),
            "columns": ("name",),
            "prefilter_limit": 300,
            "gates": (
                Gate(gate="liquidity", field="Value.Traded", operation="greater", threshold=5_000_000.0).model_dump(),
            ),
            "exclusions": Exclusions().model_dump(),
            "ranks": (Rank(field="Recommend.All", order="desc").model_dump(),),
            "limit": 100,
            **changes,
        }
    )


def coin(symbol: str, base: str, quote: str, **fields: Any) -> dict[str, Any]:
    """A row of a crypto scan: its symbol under `s`, the other columns by their names (`__` for a dot)."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    kind = "swap" if symbol.endswith(".P") else "spot"
    return {"s": symbol, "type": kind, "base_currency": base, "currency": quote, **named}


def scan(
    pipeline: Pipeline,
    of: Scanner,
    rows: Iterable[Mapping[str, Any]],
    *,
    at: datetime = NOW,
    load_id: str = "",
    status: str = "OK",
    total: int | None = None,
) -> str:
    """Land one scan of a scanner and return its load id; each row has its symbol under `s`, `total` counts them all."""
    rows = list(rows)
    load_id = load_id or f"{at:%Y%m%dT%H%M%S}-{of.config_hash[:8]}"
    known = {name for (name,) in pipeline.ask("select config_hash from raw.scanner_configs")}
    if of.config_hash not in known:
        pipeline.land(
            "raw.scanner_configs",
            [
                {
                    "config_hash": of.config_hash,
                    "scanner_id": of.scanner_id,
                    "resolved": of.canonical,
                    "first_seen_utc": at,
                }
            ],
        )
    pipeline.land(
        "raw.loads",
        [
            {
                "load_id": load_id, "kind": "scan", "source": "tradingview", "status": status,
                "request_hash": of.config_hash, "rows_received": len(rows), "rows_new": len(rows), "rows_identical": 0,
                "rows_superseding": 0, "rows_quarantined": 0, "started_at_utc": at, "finished_at_utc": at,
                "config_hash": of.config_hash, "counters": None if total is None else {"total_count": total},
            }
        ],
    )  # fmt: skip
    pipeline.land(
        "raw.scan_rows",
        [
            {
                "load_id": load_id,
                "row_number": number,
                "scanner_id": of.scanner_id,
                "symbol": row["s"],
                "payload": {name: value for name, value in row.items() if name != "s"},
                "scanned_at_utc": at,
                "config_hash": of.config_hash,
            }
            for number, row in enumerate(rows, start=1)
        ],
    )
    return load_id


def describe(pipeline: Pipeline, symbol: str, *, at: datetime = NOW, load_id: str = "meta", **payload: Any) -> None:
    """Land one metadata record of a symbol."""
    pipeline.land(
        "raw.symbol_metadata",
        [{"load_id": load_id, "row_number": 1, "symbol": symbol, "payload": payload, "received_at_utc": at}],
    )


def limit(pipeline: Pipeline, symbol: str, *, at: datetime = NOW, load_id: str = "limits", **payload: Any) -> None:
    """Land one answer of a venue about the limits of a symbol."""
    pipeline.land(
        "raw.execution_limits",
        [{"load_id": load_id, "row_number": 1, "symbol": symbol, "payload": payload, "received_at_utc": at}],
    )


def bars(
    pipeline: Pipeline,
    symbol: str,
    *,
    until: datetime = datetime(2025, 2, 28),
    count: int = 40,
    close: float = 10.0,
    turnover: float | None = 50_000_000.0,
    wiggle: float = 0.0,
) -> None:
    """Land daily bars that end with the one opened at `until`; closes swing by the fraction `wiggle` around `close`."""
    pipeline.connection.execute(
        """
        insert into raw.bars
        select 'bars', 'binance', $symbol, '1d', 'none', $first + to_days(cast(day as integer)),
            price, price, price, price, $turnover / price, $turnover, true, $received
        from (
            select day, $close * (1 + case when day % 2 = 0 then 1 else -1 end * $wiggle) as price
            from range($count) as days (day)
        )
        """,
        {
            "symbol": symbol, "first": until - timedelta(days=count - 1), "turnover": turnover, "close": close,
            "wiggle": wiggle, "count": count, "received": until + timedelta(days=1, minutes=10),
        },
    )  # fmt: skip


def without_bars(pipeline: Pipeline, *models: str) -> None:
    """Put into a pipeline what the models over bars and metadata make of none of them: quicker than building them."""
    for name in models:
        pipeline.give(name, _empty_tables()[name])


@cache
def _empty_tables() -> dict[str, str]:
    names = ("symbols", "symbol_identity", "symbol_tags")
    pipeline = Pipeline().build(*names)
    columns = "select string_agg('cast(null as ' || data_type || ') as ' || column_name, ', ' order by column_index)"
    return {
        name: "select " + pipeline.ask(f"{columns} from duckdb_columns() where table_name = ?", name)[0][0] + " limit 0"
        for name in names
    }
