"""The simulation stage: targets become paths, one row per cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.errors import DataContractError
from quantmill.ledger import decimal_text, frame_hash
from quantmill.ledger_file import Outcome
from quantmill.stages.context import RunContext, fetch, read_context
from quantmill.stages.matrices import return_matrix
from quantmill.stages.nesting import nested
from quantmill.stages.plan import cell_context

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.simulation import SimulatedPath


@dataclass(frozen=True)
class _Panel:
    """What every cell trades on: sessions of the grid, symbols, and their returns, NaN where no bar is."""

    sessions: np.ndarray[Any, Any]
    symbols: list[str]
    returns: np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Simulated:
    """The path of one cell, or why there is none."""

    cell: dict[str, Any]
    path: SimulatedPath | None
    status: str
    reason: str | None


def simulate_run(
    *, current_run: Any, settings: Any, plan: Any, windows: Any, grid: Any, targets: Any, returns: Any
) -> pa.Table:
    """Return one row per cell: status, reason, and its days, trades and events as lists.

    The arguments are DuckDB relations of the models of the same names. A cell that cannot be simulated is a
    row with status `error`; the others go on. No rows for a sealed run.
    """
    import pyarrow as pa

    context = read_context(current_run, settings)
    if context.is_sealed:
        return _table(context.run_id, [], _Panel(np.array([], dtype="datetime64[D]"), [], np.empty((0, 0))))
    ledger = context.ledger()
    cells = fetch(plan, context.run_id, "cell_id").to_pylist()
    window_rows = fetch(windows, context.run_id, "window_set, window_index").to_pylist()
    target_rows = fetch(targets, context.run_id, "config_id, window_index, symbol")
    panel = _read_panel(context, grid, returns, sorted(set(target_rows["symbol"].to_pylist())))
    weights = _target_matrices(target_rows, window_rows, cells, panel)
    intents = ledger.intents(
        "backtest_simulate",
        [cell_context(cell) for cell in cells],
    )
    tables = [_table(context.run_id, [], panel)]
    for cell, intent in zip(cells, intents, strict=True):

        def simulate_one(cell: dict[str, Any] = cell) -> pa.Table:
            result = _simulate_cell(context, cell, window_rows, weights[cell["config_id"]], panel)
            return _table(context.run_id, [result], panel)

        table, is_reused = context.cells.finished("simulate", cell, simulate_one)
        ledger.outcomes("backtest_simulate", [_outcome(table, intent, is_reused)])
        tables.append(table)
    return pa.concat_tables(tables)


def _read_panel(context: RunContext, grid: Any, returns: Any, symbols: list[str]) -> _Panel:
    sessions = fetch(grid, context.run_id, "grid_row")["session_date"].to_numpy()
    return _Panel(sessions=sessions, symbols=symbols, returns=return_matrix(returns, symbols, sessions))


def _target_matrices(
    rows: pa.Table, windows: list[dict[str, Any]], cells: list[dict[str, Any]], panel: _Panel
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the net weights of each configuration, windows by symbols; what is not in a row is cash."""
    counts = {cell["window_set"]: 0 for cell in cells}
    for window in windows:
        counts[window["window_set"]] += 1
    found = {cell["config_id"]: np.zeros((counts[cell["window_set"]], len(panel.symbols))) for cell in cells}
    column = {symbol: place for place, symbol in enumerate(panel.symbols)}
    for config_id, index, symbol, weight in zip(
        rows["config_id"].to_pylist(),
        rows["window_index"].to_pylist(),
        rows["symbol"].to_pylist(),
        rows["net_weight"].to_pylist(),
        strict=True,
    ):
        found[config_id][index, column[symbol]] = weight
    return found


def _simulate_cell(
    context: RunContext,
    cell: dict[str, Any],
    windows: list[dict[str, Any]],
    targets: np.ndarray[Any, Any],
    panel: _Panel,
) -> _Simulated:
    from quantmill.simulation import prepare_bars, simulate

    settings = context.settings
    own = [window for window in windows if window["window_set"] == cell["window_set"]]
    try:
        if not own:
            raise DataContractError(f"window set {cell['window_set']} has no windows", remedy="land more history")
        path = simulate(
            prepare_bars(panel.returns, symbols=panel.symbols, settings=settings.simulation),
            targets,
            np.array([window["test_row"] - 1 for window in own], dtype=np.int64),
            own[-1]["test_row"] + min(own[-1]["test_count"], own[-1]["step_count"]) - 1,
            mode="hold" if cell["baseline_role"] == "baseline" else cell["rebalance_mode"],
            cost_model=settings.cost_models[cell["cost_model"]],
            settings=settings.simulation,
            periods_per_year=settings.periods_per_year,
        )
    except Exception as error:  # the cell becomes an error row that says why; the others go on
        return _Simulated(cell, None, "error", f"{type(error).__name__}: {error}")
    return _Simulated(cell, path, path.status, path.reason or None)


def _outcome(table: pa.Table, intent: dict[str, Any], is_reused: bool) -> Outcome:
    """Return the ledger's answer for a cell's table of one row; a reused one is from before an interruption."""
    import pyarrow as pa

    status, reason = table["status"][0].as_py(), table["reason"][0].as_py()
    outcome = {"status": status, "reason": reason, "is_reused": is_reused}
    records = table["days"].combine_chunks().flatten()
    if not len(records):
        return Outcome(context=intent, status="error", outcome=outcome)
    types = {"session_date": "DATE", "net_return": "DOUBLE", "nav": "DOUBLE"}
    days = pa.table({name: records.field(name) for name in types})
    return Outcome(
        context=intent,
        status="empty" if status == "empty" else "success",
        outcome={
            **outcome,
            "session_count": days.num_rows,
            "trade_count": len(table["trades"].combine_chunks().flatten()),
            "nav_end": decimal_text(days["nav"][-1].as_py()),
        },
        output_hashes={"days": frame_hash(days, types, ["session_date"])},
    )


def _table(run_id: str, simulated: list[_Simulated], panel: _Panel) -> pa.Table:
    import pyarrow as pa

    paths = [result.path for result in simulated]
    empty = {"days": 0, "trades": 0, "events": 0}
    sizes = [
        {"days": path.row.size, "trades": path.trades.row.size, "events": path.events.row.size} if path else empty
        for path in paths
    ]
    whole = [path for path in paths if path is not None]
    number, count, text, day = pa.float64(), pa.int32(), pa.string(), pa.date32()
    symbols = pa.array([*panel.symbols, None], text)  # column -1 is the whole book

    def joined(parts: list[Any]) -> Any:
        return np.concatenate(parts) if parts else []

    def named(parts: list[Any]) -> Any:
        return symbols.take(pa.array(np.concatenate(parts) % len(symbols))) if parts else []

    day_types = {
        "session_date": day, "window_index": count, "gross_return": number, "cost": number,
        "borrow_cost": number, "net_return": number, "nav": number, "turnover": number,
        "is_rebalance": pa.bool_(),
        "gross_exposure": number, "net_exposure": number, "held_count": count,
    }  # fmt: skip
    days = {name: joined([getattr(path, name) for path in whole]) for name in day_types if name != "session_date"}
    days["session_date"] = joined([panel.sessions[path.row] for path in whole])
    trade_types = {
        "session_date": day,
        "symbol": text,
        "traded_weight": number,
        "cost": number,
        "reason": text,
    }
    trades = {name: joined([getattr(path.trades, name) for path in whole]) for name in ("traded_weight", "cost")}
    trades["session_date"] = joined([panel.sessions[path.trades.row] for path in whole])
    trades["symbol"] = named([path.trades.column for path in whole])
    trades["reason"] = joined([path.trades.reason for path in whole])
    event_types = {
        "position": count, "session_date": day, "window_index": count, "symbol": text, "code": text,
        "value": number,
    }  # fmt: skip
    events = {name: joined([getattr(path.events, name) for path in whole]) for name in ("window_index", "value")}
    events["position"] = joined([np.arange(1, path.events.row.size + 1) for path in whole])
    events["session_date"] = joined([panel.sessions[path.events.row] for path in whole])
    events["symbol"] = named([path.events.column for path in whole])
    events["code"] = joined([path.events.code for path in whole])
    return pa.table(
        {
            "run_id": pa.array([run_id] * len(simulated), text),
            "cell_id": pa.array([result.cell["cell_id"] for result in simulated], text),
            "status": pa.array([result.status for result in simulated], text),
            "reason": pa.array([result.reason for result in simulated], text),
            "days": nested([size["days"] for size in sizes], days, day_types),
            "trades": nested([size["trades"] for size in sizes], trades, trade_types),
            "events": nested([size["events"] for size in sizes], events, event_types),
        }
    )
