"""The judgement stage: paths become metrics, computed twice and published only where both agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.ledger_file import Outcome
from quantmill.stages.context import RunContext, fetch, read_context
from quantmill.stages.nesting import flatten_groups, nested
from quantmill.stages.plan import cell_context

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.judgement.metrics import CellCounts, CellSeries, WindowWeights

# A delegated window was solved, if elsewhere; a configuration that delegates is never ranked.
ACCEPTED = ("native", "composed", "delegated", "retried")
FAILED = ("infeasible", "error")

SIGN_TOLERANCE = 1e-12

# What stress is measured against, the first that the run has.
STRESS_REFERENCES = ("market", "raw_pool_ew", "benchmark")


@dataclass(frozen=True)
class _Judged:
    cell: dict[str, Any]
    cell_rows: list[tuple[Any, ...]]
    window_rows: list[tuple[Any, ...]]


def judge_run(
    *,
    current_run: Any,
    settings: Any,
    cells: Any,
    windows: Any,
    days: Any,
    events: Any,
    weights: Any,
    targets: Any,
    allocations: Any,
    symbols: Any,
) -> pa.Table:
    """Return one row per cell with its metrics over the whole span and per window as lists.

    The arguments are DuckDB relations of the models of the same names. Raises `MetricDisagreement` where two
    computations of a number differ, so that neither is published. No rows for a sealed run.
    """
    context = read_context(current_run, settings)
    if context.is_sealed:
        return _table(context.run_id, [])
    from quantmill.judgement.independent import published_metrics

    ledger = context.ledger()
    run_id = context.run_id
    # a cell needs the cagr of its zero-cost twin, so the twins come first
    planned = sorted(fetch(cells, run_id, "cell_id").to_pylist(), key=lambda cell: cell["cost_model"] != "gross")
    series = _read_series(context, days)
    target_rows = fetch(targets, context.run_id, "config_id, window_index, symbol").to_pylist()
    # ascending weights: where two atoms share a symbol, the cluster of the heavier one stands
    atom_rows = fetch(weights, context.run_id, "config_id, window_index, weight, atom_id").to_pylist()
    errors = sign_errors_by_config(target_rows, atom_rows)
    counts = _read_counts(context, allocations, events, planned, errors)
    books = _read_books(context, target_rows, atom_rows, windows, _read_kinds(context, symbols))
    intents = ledger.intents(
        "backtest_summary",
        [cell_context(cell) for cell in planned],
    )
    twins: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    judged, outcomes = [], []
    for cell, intent in zip(planned, intents, strict=True):
        own = series.get(cell["cell_id"], _no_series(context))
        market = _reference(cell, "market", planned, series, own)
        stress = next(
            (
                found
                for name in STRESS_REFERENCES
                if (found := _reference(cell, name, planned, series, own)) is not None
            ),
            None,
        )
        twin = (cell["config_id"], cell["simulator"])
        twin_cagr, twin_sharpe = twins.get(twin, (None, None))
        published = published_metrics(
            own,
            periods_per_year=context.settings.periods_per_year,
            market=market,
            stress_reference=stress,
            weights=books.get(cell["config_id"]),
            counts=counts[cell["cell_id"]],
            twin_cagr=twin_cagr,
            twin_sharpe=twin_sharpe,
        )
        values = {row.metric: row.value for row in published.cell_rows}
        if cell["cost_model"] == "gross":
            twins[twin] = values["cagr"], values["sharpe"]
        judged.append(
            _Judged(
                cell,
                [(*row[:4], row.reason or None) for row in published.cell_rows],
                [(*row[:5], row.reason or None) for row in published.window_rows],
            )
        )
        outcomes.append(
            Outcome(
                context=intent,
                status="success" if own.net_return.size else "empty",
                outcome={name: values[name] for name in ("total_return", "cagr", "sharpe", "max_drawdown")},
            )
        )
    ledger.outcomes("backtest_summary", outcomes)
    return _table(run_id, judged)


def _no_series(context: RunContext) -> CellSeries:
    """Return the series of a cell without days."""
    from quantmill.judgement.metrics import CellSeries

    none = np.zeros(0)
    return CellSeries(
        session_date=np.array([], dtype="datetime64[D]"),
        net_return=none,
        gross_return=none,
        nav=none,
        starting_nav=context.settings.simulation.starting_nav,
        window_index=np.zeros(0, dtype=np.int64),
        turnover=none,
        is_rebalance=np.zeros(0, dtype=np.bool_),
    )


def _read_series(context: RunContext, days: Any) -> dict[str, CellSeries]:
    from quantmill.judgement.metrics import CellSeries

    rows = fetch(days, context.run_id, "cell_id, session_date")
    ids = rows["cell_id"].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy()
    starts: list[int] = np.flatnonzero(np.diff(codes, prepend=-1)).tolist() if len(codes) else []
    columns = {
        name: rows[name].to_numpy()
        for name in (
            "session_date",
            "net_return",
            "gross_return",
            "nav",
            "window_index",
            "turnover",
            "is_rebalance",
        )
    }
    found = {}
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        part = {name: np.ascontiguousarray(values[start:end]) for name, values in columns.items()}
        part["window_index"] = part["window_index"].astype(np.int64)
        found[ids.dictionary[int(codes[start])].as_py()] = CellSeries(
            starting_nav=context.settings.simulation.starting_nav, **part
        )
    return found


def _reference(
    cell: dict[str, Any],
    name: str,
    planned: list[dict[str, Any]],
    series: dict[str, CellSeries],
    own: CellSeries,
) -> np.ndarray[Any, Any] | None:
    """Return the returns of a baseline under the cell's own simulator and costs, on the cell's sessions."""
    shared = ("selection_engine", "window_set", "rebalance_mode", "simulator", "cost_model")
    for other in planned:
        if other["is_baseline"] and other["risk_profile"] == name and all(other[key] == cell[key] for key in shared):
            reference = series.get(other["cell_id"])
            if reference is None or not reference.net_return.size:
                return None
            found = np.full(own.session_date.size, np.nan)
            _, mine, theirs = np.intersect1d(own.session_date, reference.session_date, return_indices=True)
            found[mine] = reference.net_return[theirs]
            return found
    return None


def _read_counts(
    context: RunContext,
    allocations: Any,
    events: Any,
    planned: list[dict[str, Any]],
    sign_errors: dict[str, int],
) -> dict[str, CellCounts]:
    from quantmill.judgement.metrics import CellCounts

    statuses: dict[str, list[str]] = {}
    solved = fetch(allocations, context.run_id, "config_id, window_index")
    for config_id, status in zip(solved["config_id"].to_pylist(), solved["status"].to_pylist(), strict=True):
        statuses.setdefault(config_id, []).append(status)
    happened: dict[str, dict[str, int]] = {}
    found = fetch(events, context.run_id, "cell_id, position")
    for cell_id, code in zip(found["cell_id"].to_pylist(), found["code"].to_pylist(), strict=True):
        own = happened.setdefault(cell_id, {})
        own[code] = own.get(code, 0) + 1
    counts = {}
    for cell in planned:
        own_statuses = statuses.get(cell["config_id"], [])
        counts[cell["cell_id"]] = CellCounts(
            window_count=len(own_statuses),
            failed_window_count=sum(status in FAILED for status in own_statuses),
            fallback_count=sum(status.startswith("fallback") for status in own_statuses),
            solve_count=len(own_statuses),
            accepted_solve_count=sum(status in ACCEPTED for status in own_statuses),
            sign_error_count=sign_errors.get(cell["config_id"], 0),
            event_counts=happened.get(cell["cell_id"], {}),
        )
    return counts


def sign_errors_by_config(targets: list[dict[str, Any]], atoms: list[dict[str, Any]]) -> dict[str, int]:
    """Count by configuration the weights that contradict their direction (T6.6): an atom below zero, a net
    short of a symbol that is only held LONG, a net long of one only held SHORT."""
    directions: dict[tuple[str, int, str], set[str]] = {}
    errors: dict[str, int] = {}
    for row in atoms:
        directions.setdefault((row["config_id"], row["window_index"], row["symbol"]), set()).add(row["direction"])
        if row["weight"] < -SIGN_TOLERANCE:
            errors[row["config_id"]] = errors.get(row["config_id"], 0) + 1
    wrong_side = {frozenset({"LONG"}): -1.0, frozenset({"SHORT"}): 1.0}
    for row in targets:
        own = frozenset(directions.get((row["config_id"], row["window_index"], row["symbol"]), ()))
        if wrong_side.get(own, 0.0) * row["net_weight"] > SIGN_TOLERANCE:
            errors[row["config_id"]] = errors.get(row["config_id"], 0) + 1
    return errors


def _read_kinds(context: RunContext, symbols: Any) -> dict[str, tuple[bool, bool]]:
    """Return whether each symbol is a share and whether it is a commodity, by its metadata as of the run."""
    as_of = context.settings.as_of.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    rows = symbols.filter(
        f"valid_from <= timestamp '{as_of}' and coalesce(valid_to > timestamp '{as_of}', true)"
    ).project("symbol, asset_class = 'equity', 'commodity' in (asset_type, subclass)")
    return {symbol: (bool(equity), bool(commodity)) for symbol, equity, commodity in rows.fetchall()}


def _read_books(
    context: RunContext,
    rows: list[dict[str, Any]],
    atoms: list[dict[str, Any]],
    windows: Any,
    kinds: dict[str, tuple[bool, bool]],
) -> dict[str, WindowWeights]:
    """Return each configuration's target weights, windows by symbols, with the cluster of each symbol."""
    from quantmill.judgement.metrics import WindowWeights

    window_counts: dict[str, int] = {}
    for name in fetch(windows, context.run_id, "window_set, window_index")["window_set"].to_pylist():
        window_counts[name] = window_counts.get(name, 0) + 1
    symbols = sorted({row["symbol"] for row in rows} | {row["symbol"] for row in atoms})
    column = {symbol: place for place, symbol in enumerate(symbols)}
    sets = {row["config_id"]: row["window_set"] for row in rows}
    shape = {config_id: (window_counts[name], len(symbols)) for config_id, name in sets.items()}
    net = {config_id: np.zeros(size) for config_id, size in shape.items()}
    gross = {config_id: np.zeros(size) for config_id, size in shape.items()}
    cluster = {config_id: np.full(size, -1, dtype=np.int64) for config_id, size in shape.items()}
    for row in rows:
        place = row["window_index"], column[row["symbol"]]
        net[row["config_id"]][place] = row["net_weight"]
        gross[row["config_id"]][place] = row["gross_weight"]
    for row in atoms:
        if row["config_id"] in cluster and row["cluster_id"] is not None:
            cluster[row["config_id"]][row["window_index"], column[row["symbol"]]] = row["cluster_id"]
    what = np.array([kinds.get(symbol, (False, False)) for symbol in symbols], dtype=np.bool_).reshape(-1, 2)
    return {
        config_id: WindowWeights(
            net_weight=net[config_id],
            gross_weight=gross[config_id],
            cluster_id=cluster[config_id],
            is_equity=what[:, 0],
            is_commodity=what[:, 1],
        )
        for config_id in shape
    }


def _table(run_id: str, judged: list[_Judged]) -> pa.Table:
    import pyarrow as pa

    kinds = {
        "metric": pa.string(),
        "value": pa.float64(),
        "observation_count": pa.int32(),
        "status": pa.string(),
        "reason": pa.string(),
    }
    window_kinds = {"window_index": pa.int32(), **kinds}
    return pa.table(
        {
            "run_id": pa.array([run_id] * len(judged), pa.string()),
            "cell_id": pa.array([row.cell["cell_id"] for row in judged], pa.string()),
            "cell_metrics": nested(*flatten_groups([row.cell_rows for row in judged], list(kinds)), kinds),
            "window_metrics": nested(
                *flatten_groups([row.window_rows for row in judged], list(window_kinds)), window_kinds
            ),
        }
    )
