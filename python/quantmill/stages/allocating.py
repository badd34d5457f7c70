"""The allocation stage: what was selected becomes weights, one row per configuration and window."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.frames import require_sorted_unique
from quantmill.ledger import canonical_json, decimal_text, frame_hash
from quantmill.ledger_file import Outcome
from quantmill.stages.context import RunContext, fetch, read_context
from quantmill.stages.matrices import return_matrix
from quantmill.stages.nesting import flatten_groups, nested
from quantmill.stages.plan import plan_configs
from quantmill.stages.sealing import table_digest
from quantmill.synthesis.streams import require_directions

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.allocation.ladder import Allocation, ConstraintRow

SIGNS = {"LONG": 1, "SHORT": -1}
BASELINE_STEP = "equal_weight_baseline"
HOUSE_ENGINE = "custom"


@dataclass(frozen=True)
class Solved:
    """The rows of one configuration and window. Lists hold tuples in the order of the schema below.

    `capability` is what the engine can do for the profile: native, composed, delegated or not_installed, with
    `capability_reason` for the last two.
    """

    capability: str
    capability_reason: str | None
    window_set: str
    window_index: int
    status: str
    fallback_reason: str | None
    cash: float
    cluster_count: int
    estimation_count: int
    dropped_count: int
    ex_ante_volatility: float | None = None
    ex_ante_return: float | None = None
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
        return _rows_table(context.run_id, "", [])
    ledger = context.ledger()
    window_rows = fetch(windows, context.run_id, "window_set, window_index").to_pylist()
    pool = fetch(candidates, context.run_id, "window_set, window_index, atom_id").to_pylist()
    chosen = fetch(decisions, context.run_id, "window_set, window_index, selection_engine, atom_id").to_pylist()
    _record_selection(ledger, context, candidates, decisions, chosen)
    panel = _Panel.read(context, grid, streams, returns)
    market = _market_symbols(context, returns)
    estimates: dict[tuple[str, str], Any] = {}
    configs = plan_configs(context.settings)
    found: dict[str, tuple[list[dict[str, Any]], bool]] = {}
    for config in configs:
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
                return _table(_baseline(context, config, own, pool, chosen, market))
            return _table(_optimized(context, config, own, chosen, panel, estimates))

        name = canonical_json(_piece(config))
        if name not in found:
            piece = {**_piece(config), "library": _library_version(config["engine"])}
            table, is_reused = context.cells.finished("allocate", piece, solve)
            found[name] = table.to_pylist(), is_reused
        rows, is_reused = found[name]
        ledger.outcomes(
            "backtest_optimize",
            [_outcome(row, intent, is_reused) for row, intent in zip(rows, contexts, strict=True)],
        )
    solved = {name: rows for name, (rows, _) in found.items()}
    _add_agreements(configs, solved)
    return pa.concat_tables(
        [
            _rows_table(context.run_id, "", []),
            *(
                _rows_table(context.run_id, config["config_id"], solved[canonical_json(_piece(config))])
                for config in configs
            ),
        ]
    )


def _piece(config: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the weights of a configuration: all of it but the mode in which they are traded."""
    names = ("selection_engine", "window_set", "engine", "risk_profile", "variant", "is_baseline")
    return {name: config[name] for name in names}


def _library_version(engine: str) -> str:
    """Return the version of the engine's library, empty for one without or one that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    from quantmill.allocation.engines import ENGINES

    package = ENGINES[engine].package if engine in ENGINES else ""
    try:
        return version(package) if package else ""
    except PackageNotFoundError:
        return ""


def _add_agreements(configs: Sequence[dict[str, Any]], found: dict[str, list[dict[str, Any]]]) -> None:
    """Add to the windows' events what only a comparison shows.

    CONVERGED_PAIR says that two profiles of one engine and selection hold the same weights, SOLVER_DRIFT that
    an engine's own solution differs from that of `custom`.
    """
    pieces = {canonical_json(_piece(config)): config for config in configs if not config["is_baseline"]}
    groups: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, config in pieces.items():
        group = (config["selection_engine"], config["window_set"], config["engine"])
        groups.setdefault(group, {})[config["risk_profile"]] = name
    for (selection, window_set, engine), profiles in groups.items():
        rows = {profile: found[name] for profile, name in profiles.items()}
        house = groups.get((selection, window_set, HOUSE_ENGINE), {})
        for windows in zip(*rows.values(), strict=True):
            _note_converged(dict(zip(rows, windows, strict=True)))
        if engine == HOUSE_ENGINE:
            continue
        for profile, name in profiles.items():
            if profile in house:
                for row, other in zip(found[name], found[house[profile]], strict=True):
                    _note_drift(row, other, engine)


def _vector(row: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array([weight["weight"] for weight in row["weights"]], dtype=float)


def _note_converged(rows: dict[str, dict[str, Any]]) -> None:
    from quantmill.allocation.agreement import converged_pairs

    for first, second in converged_pairs({profile: _vector(row) for profile, row in rows.items()}):
        for mine, other in ((first, second), (second, first)):
            row = rows[mine]
            (cap,) = [bound["bound"] for bound in row["constraints"] if bound["constraint_name"] == "cluster_cap"]
            room = row["cluster_count"] * cap
            _add_event(row, "CONVERGED_PAIR", f"the weights are those of {other}; clusters * cap = {room:.6g}")


def _note_drift(row: dict[str, Any], other: dict[str, Any], engine: str) -> None:
    from quantmill.allocation.agreement import solver_drift

    # Fallbacks may differ by their nature; what is compared are two solutions of one program.
    if {row["status"], other["status"]} <= {"native", "composed"}:
        gap = solver_drift(_vector(row), _vector(other))
        if gap:
            _add_event(row, "SOLVER_DRIFT", f"{engine} and {HOUSE_ENGINE} differ by {gap:.6g} in a weight")


def _add_event(row: dict[str, Any], code: str, detail: str) -> None:
    row["events"].append({"position": len(row["events"]) + 1, "code": code, "severity": "WARN", "detail": detail})


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
                capability="native",
                capability_reason=None,
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
                attempts=[
                    (
                        1,
                        BASELINE_STEP,
                        None,
                        "optimal" if signed else "rejected",
                        reason,
                        None,
                        None,
                        config["engine"],
                        config["risk_profile"],
                    )
                ],
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
    from quantmill.allocation.engines import absence, find_engine
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
    engine, profile = find_engine(config["engine"]), config["risk_profile"]
    missing = absence(engine)
    capability = "not_installed" if missing else engine.capabilities[profile]
    reason = missing or engine.delegated_because.get(profile)
    found = walk(estimates[key], profile, settings.allocation, engine=engine.name, turnover_price=price)
    return [
        _solved(
            (capability, reason, config["window_set"]),
            allocation,
            estimate,
            winners.get(allocation.window_index, []),
        )
        for allocation, estimate in zip(found, estimates[key], strict=True)
    ]


def _solved(
    origin: tuple[str, str | None, str], allocation: Allocation, estimate: Any, atoms: Sequence[dict[str, Any]]
) -> Solved:
    """Return one allocation of the core as rows; `origin` is capability, its reason and the window set."""
    capability, capability_reason, window_set = origin
    names = dict(zip(estimate.window.symbols.tolist(), [row["symbol"] for row in atoms], strict=True))
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
        capability=capability,
        capability_reason=capability_reason,
        window_set=window_set,
        window_index=allocation.window_index,
        status=allocation.status,
        fallback_reason=allocation.fallback_reason or None,
        cash=allocation.cash,
        cluster_count=len(allocation.cluster_weights),
        estimation_count=estimate.session_count,
        dropped_count=len(estimate.removals),
        ex_ante_volatility=_number(allocation.ex_ante_volatility),
        ex_ante_return=_number(allocation.ex_ante_return),
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
                a.engine_used,
                a.profile_used,
            )
            for a in allocation.attempts
        ],
        constraints=[_constraint(row, names) for row in allocation.constraints],
        events=[(i, e.code, e.severity, e.detail) for i, e in enumerate(allocation.events, start=1)],
    )


def _constraint(row: ConstraintRow, names: dict[int, str]) -> tuple[Any, ...]:
    """Return a constraint as a row, its unit by the name that people know it by."""
    unit = None if row.unit is None else names[row.unit] if row.constraint_type == "asset_cap" else str(row.unit)
    name = row.constraint_type if unit is None else f"{row.constraint_type}:{unit}"
    return (name, row.bound, row.value, row.is_binding, row.is_relaxed, row.constraint_type, unit)


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


def _schema() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the types of the scalar columns, and of the fields of the list columns, by name and in order."""
    import pyarrow as pa

    text, number, whole, flag = pa.string(), pa.float64(), pa.int32(), pa.bool_()
    scalars = {
        "capability": text,
        "capability_reason": text,
        "window_set": text,
        "window_index": whole,
        "status": text,
        "fallback_reason": text,
        "cash": number,
        "ex_ante_volatility": number,
        "ex_ante_return": number,
        "cluster_count": whole,
        "estimation_count": whole,
        "dropped_count": whole,
    }
    lists = {
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
            "engine_used": text,
            "profile_used": text,
        },
        "constraints": {
            "constraint_name": text,
            "bound": number,
            "value": number,
            "is_binding": flag,
            "is_relaxed": flag,
            "constraint_type": text,
            "unit": text,
        },
        "events": {"position": whole, "code": text, "severity": text, "detail": text},
    }
    return scalars, lists


def _table(solved: Sequence[Solved]) -> pa.Table:
    """Return solved windows as a table: what is kept of a piece of work, without run and configuration."""
    import pyarrow as pa

    scalars, lists = _schema()
    columns: dict[str, Any] = {
        name: pa.array([getattr(row, name) for row in solved], kind) for name, kind in scalars.items()
    }
    for name, types in lists.items():
        columns[name] = nested(*flatten_groups([getattr(row, name) for row in solved], list(types)), types)
    return pa.table(columns)


def _rows_table(run_id: str, config_id: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return the rows of a configuration as the stage hands them out, under its run and its id."""
    import pyarrow as pa

    scalars, lists = _schema()
    columns: dict[str, Any] = {
        "run_id": pa.array([run_id] * len(rows), pa.string()),
        "config_id": pa.array([config_id] * len(rows), pa.string()),
    }
    columns |= {name: pa.array([row[name] for row in rows], kind) for name, kind in scalars.items()}
    for name, types in lists.items():
        groups = [[tuple(item.values()) for item in row[name]] for row in rows]
        columns[name] = nested(*flatten_groups(groups, list(types)), types)
    return pa.table(columns)
