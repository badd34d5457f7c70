"""The reference simulator: self-financing trades at the close, drift between them, costs charged once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quantmill.errors import BadValue, DataContractError
from quantmill.frames import frozen, require_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantmill.manifest.settings import CostModel, SimulationSettings
    from quantmill.simulation.bars import EffectiveBars

RebalanceMode = Literal["window", "daily", "hold"]
PathStatus = Literal["ok", "empty", "liquidated", "bankrupt", "error"]

TOXIC_RETURN = 5.0
MARGIN_FLOOR = 0.50
_MODES = ("window", "daily", "hold")
_REASONS = np.array(["", "window", "daily", "isolation", "liquidation", "delist"])
_ROW_CODES = ("stale_mark", "missing_in_test", "short_isolated", "delisted")
_CLOSE_CODES = ("target_dropped", "holding_stranded")


@dataclass(frozen=True, slots=True)
class Trades:
    """One entry per asset traded at a close, by row and column.

    `row`: grid row at whose close the trade was made. `column`: place of the symbol in the bars.
    `traded_weight`: signed traded value over the NAV before the trade. `cost`: its cost over that same NAV.
    `reason`: window, daily, isolation, liquidation or delist.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    traded_weight: NDArray[np.float64]
    cost: NDArray[np.float64]
    reason: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Events:
    """What the simulator had to decide for itself, by row, code and column.

    `row`: grid row. `column`: place of the symbol, -1 for the whole book. `window_index`: window it counts
    for. A liquidation or bankruptcy comes last on its row.
    `code` and its `value`:
        stale_mark, missing_in_test   held without a bar (from the second session on both); weight held
        delisted                      closed out after too many of them; weight held
        short_isolated                a short's return capped at +100 % and the position closed; the return
                                      uncapped
        target_dropped                not tradable at this close, left in cash; the target weight
        holding_stranded              held but not tradable at this close, so kept; weight held over the row
                                      before
        margin_breach                 NAV below half the gross exposure; the ratio
        empty_window                  a target row without positions; 0
        liquidated, bankrupt          the book ended on this row; its NAV over the starting NAV
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    window_index: NDArray[np.int64]
    code: NDArray[np.str_]
    value: NDArray[np.float64]

    def count(self, code: str) -> int:
        """How many events carry `code`."""
        return int(np.count_nonzero(self.code == code))

    def counts_by_window(self, code: str, window_count: int) -> NDArray[np.int64]:
        """How many events carry `code` in each of `window_count` windows."""
        return np.bincount(self.window_index[self.code == code], minlength=window_count)


@dataclass(frozen=True, slots=True)
class SimulatedPath:
    """The path of one cell: m rows, from the one after the first decision close to the last.

    `status`, `reason`: ok, empty (every target row is zero), liquidated, bankrupt or error; an aborted cell
        has no rows and no trades. Every status but ok comes with a reason.
    `starting_nav`: NAV before the first trade.
    `row`: (m,) grid rows. `window_index`: window whose decision is in force over the row.
    `nav`: before any trade at the close of the row; the first row grows from `starting_nav`.
    `gross_return`: post-trade holdings times returns; `cost`: the trade at the close before; `borrow_cost`:
        the borrow over the row; all three over the NAV of the row before, and net_return = gross_return -
        cost - borrow_cost. On the row of a liquidation net_return is -1 and gross_return the remainder.
    `turnover`: one-way, (sum |u| + |sum u|) / 2 over NAV, of the trade at the close before; `is_rebalance`:
        that close was one on the schedule.
    `gross_exposure`, `net_exposure`, `held_count`: of the holdings over the row, exposures over the NAV of
        the row before. `weights_held`: (m, n) those holdings, so that (weights_held * effective returns) sums
        to gross_return.
    `decision_turnover`: (k,) one-way turnover at each decision close.
    """

    status: PathStatus
    reason: str
    starting_nav: float
    row: NDArray[np.int64]
    window_index: NDArray[np.int64]
    nav: NDArray[np.float64]
    gross_return: NDArray[np.float64]
    cost: NDArray[np.float64]
    borrow_cost: NDArray[np.float64]
    net_return: NDArray[np.float64]
    turnover: NDArray[np.float64]
    is_rebalance: NDArray[np.bool_]
    gross_exposure: NDArray[np.float64]
    net_exposure: NDArray[np.float64]
    held_count: NDArray[np.int64]
    weights_held: NDArray[np.float64]
    decision_turnover: NDArray[np.float64]
    trades: Trades
    events: Events


def simulate(
    bars: EffectiveBars,
    targets: NDArray[np.float64],
    decision_rows: NDArray[np.int64],
    last_row: int,
    *,
    mode: RebalanceMode,
    cost_model: CostModel,
    settings: SimulationSettings,
    periods_per_year: int,
) -> SimulatedPath:
    """Simulate one cell over its whole span, starting in cash.

    `targets`: (k, n) net weights of NAV, no NaN; the rest of a row is cash, a row of zeros is all cash.
    `decision_rows`: (k,) ascending grid rows. Decision i is traded at the close of its row, earns from the
    next row on, and is in force until decision i + 1 is traded. `last_row`: last row simulated, after the
    last decision.

    `mode` says at which closes the book is brought to its target: `window` at each decision, `daily` at every
    close (that of a decision belongs to the new decision; the last close trades nothing), `hold` at a
    decision only where the signed set of symbols to hold differs from the one held.

    A trade solves V+ = V - c * sum |w V+ - h| by fixed point, c being the cost per unit traded. Holdings then
    drift with their returns; the borrow of a row is `borrow_annual` / `periods_per_year` of the short value
    after the trade at the close before. An asset without a bar at a close is not tradable there: its target
    goes to cash, and what is held of it stays held, even where that leaves the others without enough cash. A
    delisted holding is closed. With `short_isolation` a held short whose return is 100 % or more is capped at
    that and closed until the next window. A NAV of zero or less (or of less than 1e-12 of the row before,
    which is rounding) ends the book at -1; one below `bankrupt_below` of the start sends it to cash for good.
    A held |return| above 5 aborts the cell with status `error`. What would be traded at the last close is
    not: no row is left to bear its cost.

    The NAV starts at 1 inside, so that `starting_nav` scales the NAV column and changes nothing else.

    Raises `DataContractError` for wrong shapes, rows or non-finite targets, and `BadValue` for an unknown
    mode or for costs of half the book and more, where the fixed point is no longer safe.
    """
    wanted, rows = _checked(bars, targets, decision_rows, last_row, mode, cost_model.rate)
    from quantmill.simulation import _kernel

    n = wanted.shape[1]
    m = last_row - int(rows[0])
    nav, gross_return, cost, borrow_cost, net_return = (np.zeros(m) for _ in range(5))
    turnover, gross_exposure, net_exposure = (np.zeros(m) for _ in range(3))
    is_rebalance = np.zeros(m, dtype=np.uint8)
    held_count, window_index = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    margin_ratio = np.full(m, np.inf)
    weights_held, traded = np.zeros((m, n)), np.zeros((m, n))
    reasons, flags = np.zeros((m, n), dtype=np.uint8), np.zeros((m + 1, n), dtype=np.uint8)
    code, bad_row, bad_column = _kernel.run(
        *(bars.returns, bars.missing_run, wanted, rows, last_row, _MODES.index(mode)),
        *(cost_model.rate, cost_model.borrow_annual / periods_per_year, settings.short_isolation),
        *(settings.delist_after, settings.bankrupt_below, TOXIC_RETURN),
        *(nav, gross_return, cost, borrow_cost, net_return, turnover, is_rebalance),
        *(gross_exposure, net_exposure, held_count, window_index, margin_ratio),
        *(weights_held, traded, reasons, flags),
    )

    first = int(rows[0])
    status: PathStatus = "ok"
    reason, end = "", None
    if code == _kernel.TOXIC:
        status, m = "error", 0
        reason = (
            f"{bars.symbols[bad_column]} returned {bars.returns[bad_row, bad_column]:.6g} on row {bad_row} "
            f"while held; a return beyond {TOXIC_RETURN:g} in size must be resolved before simulation"
        )
    elif code == _kernel.LIQUIDATED:
        status, end = "liquidated", int(np.argmax(nav <= 0.0))
        reason = f"the NAV fell to zero or below on row {first + 1 + end}"
    elif code == _kernel.BANKRUPT:
        status, end = "bankrupt", int(np.argmax(nav < settings.bankrupt_below))
        reason = f"the NAV fell below {settings.bankrupt_below:g} of its start on row {first + 1 + end}"
    elif not wanted.any():
        status, reason = "empty", "no window has a position"
    events = _events(bars, wanted, rows, window_index, weights_held, margin_ratio, flags)
    if end is not None:
        events = _with_end(events, first + 1 + end, int(window_index[end]), status, float(nav[end]))
    trade_places, trade_columns = np.nonzero(traded[:m])
    moved = traded[trade_places, trade_columns]
    trades = Trades(
        row=frozen(trade_places + first),
        column=frozen(trade_columns),
        traded_weight=frozen(moved),
        cost=frozen(cost_model.rate * np.abs(moved)),
        reason=frozen(_REASONS[reasons[trade_places, trade_columns]]),
    )
    return SimulatedPath(
        status=status,
        reason=reason,
        starting_nav=settings.starting_nav,
        row=frozen(np.arange(first + 1, first + 1 + m)),
        window_index=frozen(window_index[:m]),
        nav=frozen(nav[:m] * settings.starting_nav),
        gross_return=frozen(gross_return[:m]),
        cost=frozen(cost[:m]),
        borrow_cost=frozen(borrow_cost[:m]),
        net_return=frozen(net_return[:m]),
        turnover=frozen(turnover[:m]),
        is_rebalance=frozen(is_rebalance[:m].astype(np.bool_)),
        gross_exposure=frozen(gross_exposure[:m]),
        net_exposure=frozen(net_exposure[:m]),
        held_count=frozen(held_count[:m]),
        weights_held=frozen(weights_held[:m]),
        decision_turnover=frozen(turnover[rows - first] if m else np.zeros(0)),
        trades=trades,
        events=events,
    )


def _checked(
    bars: EffectiveBars, targets: Any, decision_rows: Any, last_row: int, mode: str, cost_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if mode not in _MODES:
        remedy = f"use one of {', '.join(_MODES)}"
        raise BadValue(f"rebalance mode '{mode}' is unknown", remedy=remedy, mode=mode)
    wanted = frozen(np.asarray(targets, dtype=np.float64))
    rows = frozen(np.asarray(decision_rows, dtype=np.int64))
    n = len(bars.symbols)
    if rows.ndim != 1 or rows.size == 0 or wanted.shape != (rows.size, n):
        raise DataContractError(
            f"targets have shape {wanted.shape} for {rows.size} decisions and {n} symbols",
            remedy="pass one row of targets per decision, one column per symbol, at least one decision",
            shape=wanted.shape,
        )
    if rows[0] < 0 or np.any(np.diff(rows) <= 0) or not rows[-1] < last_row < bars.row_count:
        raise DataContractError(
            f"decision rows {rows[0]}..{rows[-1]} and last row {last_row} do not ascend inside a grid of "
            f"{bars.row_count} rows",
            remedy="pass strictly ascending decision rows, and a last row after them that the grid has",
            decision_rows=rows.tolist(),
            last_row=last_row,
        )
    require_finite(wanted, name="target weights")
    gross = float(np.abs(wanted).sum(axis=1).max())
    if cost_rate * max(gross, 1.0) >= 0.5:
        raise BadValue(
            f"costs of {cost_rate} per unit traded at a gross exposure of {gross} take half the book or more",
            remedy="state costs in basis points and targets as fractions of NAV",
            cost_rate=cost_rate,
            gross_exposure=gross,
        )
    return wanted, rows


def _events(
    bars: EffectiveBars,
    targets: NDArray[np.float64],
    decision_rows: NDArray[np.int64],
    window_index: NDArray[np.int64],
    weights_held: NDArray[np.float64],
    margin_ratio: NDArray[np.float64],
    flags: NDArray[np.uint8],
) -> Events:
    from quantmill.simulation import _kernel

    first = int(decision_rows[0])
    found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any], str, NDArray[Any]]] = []

    def add(places: Any, columns: Any, windows: Any, code: str, value: Any) -> None:
        if places.size:
            columns, values = (np.broadcast_to(part, places.shape) for part in (columns, value))
            found.append((places + first, columns, windows, code, values))

    if flags.any():
        for code in _ROW_CODES:
            places, columns = np.nonzero(flags & getattr(_kernel, code.upper()))
            is_capped = code == "short_isolated"
            value = bars.returns[places + first, columns] if is_capped else weights_held[places - 1, columns]
            add(places, columns, window_index[places - 1], code, value)
        for code in _CLOSE_CODES:
            places, columns = np.nonzero(flags & getattr(_kernel, code.upper()))
            windows = window_index[places]
            is_target = code == "target_dropped"
            value = targets[windows, columns] if is_target else weights_held[places - 1, columns]
            add(places, columns, windows, code, value)

    breaches = np.flatnonzero(margin_ratio < MARGIN_FLOOR)
    add(breaches + 1, -1, window_index[breaches], "margin_breach", margin_ratio[breaches])
    empty = np.flatnonzero(~targets.any(axis=1))
    add(decision_rows[empty] - first, -1, empty, "empty_window", 0.0)

    if not found:
        none = frozen(np.zeros(0, dtype=np.int64))
        return Events(none, none, none, frozen(np.zeros(0, dtype="U1")), frozen(np.zeros(0)))
    row, column, window, value = (np.concatenate([entry[i] for entry in found]) for i in (0, 1, 2, 4))
    code_names = np.concatenate([np.full(entry[0].size, entry[3]) for entry in found])
    order = np.lexsort((column, code_names, row))
    return Events(*(frozen(part[order]) for part in (row, column, window, code_names, value)))


def _with_end(events: Events, row: int, window: int, code: str, value: float) -> Events:
    at = int(np.searchsorted(events.row, row, side="right"))
    return Events(
        row=frozen(np.insert(events.row, at, row)),
        column=frozen(np.insert(events.column, at, -1)),
        window_index=frozen(np.insert(events.window_index, at, window)),
        code=frozen(np.concatenate([events.code[:at], np.array([code]), events.code[at:]])),
        value=frozen(np.insert(events.value, at, value)),
    )
