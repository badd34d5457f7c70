"""The allocation stage: what was selected becomes weights, one row per configuration and window."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.frames import require_sorted_unique
from quantmill.ledger import decimal_text, frame_hash
from quantmill.ledger_file import Outcome
from quantmill.stages.context import RunContext, fetch, read_context
from quantmill.stages.matrices import return_matrix
from quantmill.stages.nesting import flatten_groups, nested
from quantmill.stages.plan import plan_configs
from quantmill.stages.sealing import table_digest
from quantmill.synthesis.streams import require_directions

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.allocation.windows import Allocation

SIGNS = {"LONG": 1, "SHORT": -1}
BASELINE_STEP = "equal_weight_baseline"


@dataclass(frozen=True)
class Solved:
    """The rows of one configuration and window. Lists hold tuples in the order of the schema below."""

    config_id: str
    window_set: str
    window_index: int
    status: str
    fallback_reason: str | None
    cash: float
    cluster_count: int
    estimation_count: int
    dropped_count: int
    weights: list[tuple[Any, ...]] = field(default_factory=list)
    targets: list[tuple[Any, ...]] = field(default_factory=list)
    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    constraints: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)


def allocate_run(
    *,
    current_run: Any,
    settings: Any,
    windows: Any,
    grid: Any,
    candidates: Any,
    decisions: Any,
    streams: Any,
    returns: Any,
) -> pa.Table:
    """Return a row per config and window: status, cash, weights, targets, attempts, constraints, events.

    The arguments are DuckDB relations of the models of the same names. No rows for a sealed run.
    """
    import pyarrow as pa

    context = read_context(current_run, settings)
    if context.is_sealed:
        return _table(context.run_id, [])
    ledger = context.ledger()
    window_rows = fetch(windows, context.run_id, "window_set, window_index").to_pylist()
    pool = fetch(candidates, context.run_id, "window_set, window_index, atom_id").to_pylist()
    chosen = fetch(decisions, context.run_id, "window_set, window_index, selection_engine, atom_id").to_pylist()
    _record_selection(ledger, context, candidates, decisions, chosen)
    panel = _Panel.read(context, grid, streams, returns)
    market = _market_symbols(context, returns)
    tables = [_table(context.run_id, [])]
    estimates: dict[tuple[str, str], Any] = {}
    for config in plan_configs(context.settings):
        own_windows = [row for row in window_rows if row["window_set"] == config["window_set"]]
        contexts = ledger.intents(
            "backtest_optimize",
            [
                {
                    "selection": config["selection_engine"],
                    "window_set": config["window_set"],
                    "rebalance": config["rebalance_mode"],
                    "engine": config["engine"],
                    "profile": config["risk_profile"],
                    "window_index": row["window_index"],
                    "decision_date": row["decision_date"].isoformat(),
                }
                for row in own_windows
            ],
            input_hashes=[{} if config["is_baseline"] else panel.train_hash(row) for row in own_windows],
        )

        def solve(config: dict[str, Any] = config, own: list[dict[str, Any]] = own_windows) -> pa.Table:
            if config["is_baseline"]:
                return _table(context.run_id, _baseline(context, config, own, pool, chosen, market))
            return _table(context.run_id, _optimized(context, config, own, chosen, panel, estimates))

        table, is_reused = context.cells.finished("allocate", config, solve)
        ledger.outcomes(
            "backtest_optimize",
            [_outcome(row, intent, is_reused) for row, intent in zip(table.to_pylist(), contexts, strict=True)],
        )
        tables.append(table)
    return pa.concat_tables(tables)


def _record_selection(
    ledger: Any, context: RunContext, candidates: Any, decisions: Any, chosen: list[dict[str, Any]]
) -> None:
    """Answer the intents that were written when the run was opened: SQL has selected by now."""
    hashes = {
        name.split(".")[1]: table_digest(name, relation, context.run_id)[1]
        for name, relation in (("selection.candidates", candidates), ("selection.decisions", decisions))
    }
    outcomes = []
    for intent in ledger.open_contexts("backtest_select"):
        own = [
            row
            for row in chosen
            if (row["selection_engine"], row["window_set"]) == (intent["selection"], intent["window_set"])
        ]
        winners = [row for row in own if row["outcome"] == "WINNER"]
        outcomes.append(
            Outcome(
                context=intent,
                status="success" if winners else "empty",
                outcome={"decision_count": len(own), "winner_count": len(winners)},
                output_hashes=hashes,
            )
        )
    ledger.outcomes("backtest_select", outcomes)


@dataclass(frozen=True)
class _Panel:
    """The streams of a run as one matrix: rows of the grid by atoms in order, NaN where no return is."""

    atom_ids: list[str]
    values: np.ndarray[Any, Any]
    first_rows: np.ndarray[Any, Any]

    @classmethod
    def read(cls, context: RunContext, grid: Any, streams: Any, returns: Any) -> _Panel:
        """Read the streams, and raise `DirectionError` unless each is that of its atom's direction (AL-15)."""
        sessions = fetch(grid, context.run_id, "grid_row")["session_date"].to_numpy()
        rows = fetch(streams, context.run_id, "atom_id, session_date")
        require_sorted_unique(rows, by=("atom_id", "session_date"), name="atom_returns")
        atoms = rows["atom_id"].combine_chunks().dictionary_encode()
        names = atoms.dictionary.to_pylist()
        values = np.full((len(sessions), len(names)), np.nan)
        places = np.searchsorted(sessions, rows["session_date"].to_numpy())
        values[places, atoms.indices.to_numpy()] = rows["synthetic_return"].to_numpy()
        starts = np.unique(atoms.indices.to_numpy(), return_index=True)[1]
        own = rows.select(["symbol", "direction"]).take(starts)
        symbols = sorted(set(own["symbol"].to_pylist()))
        physical = return_matrix(returns, symbols, sessions)
        columns = np.searchsorted(np.array(symbols), np.array(own["symbol"].to_pylist()))
        require_directions(physical[:, columns], values, own["direction"].to_pylist(), names)
        first = np.where(np.isfinite(values).any(axis=0), np.isfinite(values).argmax(axis=0), len(sessions))
        return cls(atom_ids=names, values=values, first_rows=first.astype(np.int64))

    def train_hash(self, window: dict[str, Any]) -> dict[str, str]:
        """Return the SHA-256 over the atoms and the estimation rows of a window, as little-endian doubles."""
        rows = np.ascontiguousarray(self.values[window["estimation_row"] : window["test_row"]], dtype="<f8")
        return {"train_hash": hashlib.sha256("\n".join(self.atom_ids).encode() + rows.tobytes()).hexdigest()}


def _market_symbols(context: RunContext, returns: Any) -> dict[str, Any]:
    """Return the first session with a return of each benchmark symbol; a symbol without bars is not in it."""
    names = ", ".join(f"'{symbol}'" for symbol in context.settings.benchmarks)
    rows = returns.filter(f"symbol in ({names})").aggregate("symbol, min(session_date) as first", "symbol").fetchall()
    return dict(rows)


def _winners(chosen: list[dict[str, Any]], config: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """Return the winners of the configuration's selection engine by window, in order of atom_id."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in chosen:
        if row["outcome"] == "WINNER" and (row["selection_engine"], row["window_set"]) == (
            config["selection_engine"],
            config["window_set"],
        ):
            found.setdefault(row["window_index"], []).append(row)
    return found


def _baseline(
    context: RunContext,
    config: dict[str, Any],
    windows: list[dict[str, Any]],
    pool: list[dict[str, Any]],
    chosen: list[dict[str, Any]],
    market: dict[str, Any],
) -> list[Solved]:
    """Return the equal weights of a baseline: of the benchmark symbols, the winners, or the whole pool."""
    winners = _winners(chosen, config)
    solved = []
    for window in windows:
        index = window["window_index"]
        events: list[tuple[Any, ...]] = []
        atoms: list[dict[str, Any]] = []
        if config["risk_profile"] == "market":
            symbols = [s for s in context.settings.benchmarks if s in market and market[s] <= window["decision_date"]]
            absent = [s for s in context.settings.benchmarks if s not in symbols]
            if absent:
                events.append((1, "BENCHMARK_MISSING", "WARN", f"no return of {', '.join(absent)} by the decision"))
            signed = [(symbol, 1.0) for symbol in symbols]
        else:
            if config["risk_profile"] == "benchmark":
                atoms = winners.get(index, [])
            else:
                atoms = [
                    row
                    for row in pool
                    if row["is_kept"]
                    and (row["window_set"], row["window_index"]) == (config["window_set"], index)
                    and row["symbol"] not in context.settings.benchmarks
                ]
            signed = [(row["symbol"], float(SIGNS[row["direction"]])) for row in atoms]
        share = 1.0 / len(signed) if signed else 0.0
        net: dict[str, float] = {}
        gross: dict[str, float] = {}
        for symbol, sign in signed:
            net[symbol] = net.get(symbol, 0.0) + sign * share
            gross[symbol] = gross.get(symbol, 0.0) + share
        reason = None if signed else "nothing to hold: no member of the baseline has data at the decision"
        solved.append(
            Solved(
                config_id=config["config_id"],
                window_set=config["window_set"],
                window_index=index,
                status="native" if signed else "infeasible",
                fallback_reason=reason,
                cash=0.0 if signed else 1.0,
                cluster_count=0,
                estimation_count=0,
                dropped_count=0,
                weights=[(row["atom_id"], row["symbol"], row["direction"], None, None, None, share) for row in atoms],
                targets=[(symbol, net[symbol], gross[symbol]) for symbol in sorted(net)],
                attempts=[(1, BASELINE_STEP, None, "optimal" if signed else "rejected", reason, None, None)],
                events=events,
            )
        )
    return solved


def _optimized(
    context: RunContext,
    config: dict[str, Any],
    windows: list[dict[str, Any]],
    chosen: list[dict[str, Any]],
    panel: _Panel,
    estimates: dict[tuple[str, str], Any],
) -> list[Solved]:
    """Return the allocations of one engine and risk profile; a selection's profiles share their estimates."""
    from quantmill.allocation.estimators import WindowInput, estimate_windows
    from quantmill.allocation.windows import turnover_price, walk

    settings = context.settings
    winners = _winners(chosen, config)
    column = {atom_id: place for place, atom_id in enumerate(panel.atom_ids)}
    symbols = sorted({row["symbol"] for rows in winners.values() for row in rows})
    key = (config["selection_engine"], config["window_set"])
    if key not in estimates:
        inputs = []
        for window in windows:
            own = winners.get(window["window_index"], [])
            places = [column[row["atom_id"]] for row in own]
            first, end = window["estimation_row"], window["test_row"]
            inputs.append(
                WindowInput(
                    window_index=window["window_index"],
                    returns=panel.values[first:end, places],
                    atom_ids=tuple(row["atom_id"] for row in own),
                    symbols=np.array([symbols.index(row["symbol"]) for row in own], dtype=np.int64),
                    signs=np.array([SIGNS[row["direction"]] for row in own], dtype=np.int64),
                    is_young=panel.first_rows[places] > first,
                    regime=window["regime"],
                    quadrant=window["quadrant"],
                )
            )
        estimates[key] = estimate_windows(inputs, settings.allocation, periods_per_year=settings.periods_per_year)
    step = windows[0]["step_count"] if windows else 1
    rate = settings.cost_models[settings.allocation.turnover_cost_model].rate
    price = turnover_price(rate, settings.periods_per_year, step)
    found = walk(estimates[key], config["risk_profile"], settings.allocation, turnover_price=price)
    return [
        _solved(config, allocation, estimate, winners.get(allocation.window_index, []))
        for allocation, estimate in zip(found, estimates[key], strict=True)
    ]


def _solved(config: dict[str, Any], allocation: Allocation, estimate: Any, atoms: Sequence[dict[str, Any]]) -> Solved:
    """Return one allocation of the core as rows."""
    net: dict[str, float] = {}
    gross: dict[str, float] = {}
    weights: list[tuple[Any, ...]] = []
    for row, cluster, share, weight in zip(
        atoms,
        allocation.cluster_ids.tolist(),
        allocation.shares.tolist(),
        allocation.atom_weights.tolist(),
        strict=True,
    ):
        is_kept = cluster > 0
        weights.append(
            (
                row["atom_id"],
                row["symbol"],
                row["direction"],
                cluster if is_kept else None,
                float(allocation.cluster_weights[cluster - 1]) if is_kept else None,
                share if is_kept else None,
                weight,
            )
        )
        if weight > 0:
            net[row["symbol"]] = net.get(row["symbol"], 0.0) + SIGNS[row["direction"]] * weight
            gross[row["symbol"]] = gross.get(row["symbol"], 0.0) + weight
    return Solved(
        config_id=config["config_id"],
        window_set=config["window_set"],
        window_index=allocation.window_index,
        status=allocation.status,
        fallback_reason=allocation.fallback_reason or None,
        cash=allocation.cash,
        cluster_count=len(allocation.cluster_weights),
        estimation_count=estimate.session_count,
        dropped_count=len(estimate.removals),
        weights=weights,
        targets=[(symbol, net[symbol], gross[symbol]) for symbol in sorted(net)],
        attempts=[
            (
                a.attempt,
                a.step,
                a.solver or None,
                a.status,
                a.reason or None,
                _number(a.condition_number),
                _number(a.shrinkage),
            )
            for a in allocation.attempts
        ],
        constraints=[(c.constraint_name, c.bound, c.value, c.is_binding, c.is_relaxed) for c in allocation.constraints],
        events=[(i, e.code, e.severity, e.detail) for i, e in enumerate(allocation.events, start=1)],
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _outcome(row: dict[str, Any], intent: dict[str, Any], is_reused: bool) -> Outcome:
    """Return the ledger's answer for one row of the table; a reused one was solved before an interruption."""
    import pyarrow as pa

    targets = row["targets"]
    weights = pa.table(
        {
            "symbol": pa.array([target["symbol"] for target in targets], pa.string()),
            "net_weight": pa.array([target["net_weight"] for target in targets], pa.float64()),
        }
    )
    return Outcome(
        context=intent,
        status={"infeasible": "empty", "error": "error"}.get(row["status"], "success"),
        outcome={
            "status": row["status"],
            "reason": row["fallback_reason"],
            "cash": decimal_text(row["cash"]),
            "is_reused": is_reused,
        },
        output_hashes={"weights": frame_hash(weights, {"symbol": "VARCHAR", "net_weight": "DOUBLE"}, ["symbol"])},
        data={
            "weights": {target["symbol"]: decimal_text(target["net_weight"]) for target in targets},
            "solvers": [{name: tried[name] for name in ("step", "solver", "status")} for tried in row["attempts"]],
        },
    )


def _table(run_id: str, solved: Sequence[Solved]) -> pa.Table:
    import pyarrow as pa

    text, number, whole, flag = pa.string(), pa.float64(), pa.int32(), pa.bool_()
    lists: dict[str, dict[str, Any]] = {
        "weights": {
            "atom_id": text,
            "symbol": text,
            "direction": text,
            "cluster_id": whole,
            "cluster_weight": number,
            "share_in_cluster": number,
            "weight": number,
        },
        "targets": {"symbol": text, "net_weight": number, "gross_weight": number},
        "attempts": {
            "attempt": whole,
            "step": text,
            "solver": text,
            "status": text,
            "reason": text,
            "condition_number": number,
            "shrinkage": number,
        },
        "constraints": {
            "constraint_name": text,
            "bound": number,
            "value": number,
            "is_binding": flag,
            "is_relaxed": flag,
        },
        "events": {"position": whole, "code": text, "severity": text, "detail": text},
    }
    scalars = {
        "config_id": text,
        "window_set": text,
        "window_index": whole,
        "status": text,
        "fallback_reason": text,
        "cash": number,
        "cluster_count": whole,
        "estimation_count": whole,
        "dropped_count": whole,
    }
    columns: dict[str, Any] = {"run_id": pa.array([run_id] * len(solved), text)}
    for name, kind in scalars.items():
        columns[name] = pa.array([getattr(row, name) for row in solved], kind)
    for name, types in lists.items():
        columns[name] = nested(*flatten_groups([getattr(row, name) for row in solved], list(types)), types)
    return pa.table(columns)
