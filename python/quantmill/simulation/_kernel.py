"""The loop over closes, compiled once. Import it only inside a function: numba takes most of a second."""

from __future__ import annotations

import numpy as np
from numba import njit, types

WINDOW_MODE, DAILY_MODE, HOLD_MODE = 0, 1, 2

# Why an asset was traded at a close.
NOT_TRADED, WINDOW, DAILY, ISOLATION, LIQUIDATION, DELIST = 0, 1, 2, 3, 4, 5

# What happened to an asset on a row; bits, because several can happen at once.
STALE_MARK, MISSING_IN_TEST, SHORT_ISOLATED, DELISTED, TARGET_DROPPED, HOLDING_STRANDED = 1, 2, 4, 8, 16, 32

OK, LIQUIDATED, BANKRUPT, TOXIC = 0, 1, 2, 3

SMALLEST_SURVIVAL = 1e-12

# One signature for every caller: arrays that may be read-only come first, the outputs after them.
_READ_F2 = types.Array(types.float64, 2, "C", readonly=True)
_READ_I2 = types.Array(types.int32, 2, "C", readonly=True)
_READ_I1 = types.Array(types.int64, 1, "C", readonly=True)
_F1, _F2 = types.float64[::1], types.float64[:, ::1]
_I1, _U1, _U2 = types.int64[::1], types.uint8[::1], types.uint8[:, ::1]
_SIGNATURE = types.UniTuple(types.int64, 3)(
    *(_READ_F2, _READ_I2, _READ_F2, _READ_I1, types.int64, types.int64),
    *(types.float64, types.float64, types.boolean, types.int64, types.float64, types.float64),
    *(_F1, _F1, _F1, _F1, _F1, _F1, _U1, _F1, _F1, _I1, _I1, _F1),
    *(_F2, _F2, _U2, _U2),
)


@njit(_SIGNATURE, cache=True, nogil=True)
def run(  # type: ignore[no-untyped-def]
    returns,
    missing_run,
    targets,
    decision_rows,
    last_row,
    mode,
    cost_rate,
    borrow_rate,
    isolate_shorts,
    delist_after,
    bankrupt_below,
    toxic_return,
    nav,
    gross_return,
    cost,
    borrow_cost,
    net_return,
    turnover,
    is_rebalance,
    gross_exposure,
    net_exposure,
    held_count,
    window_index,
    margin_ratio,
    weights_held,
    traded,
    reasons,
    flags,
):
    """Walk from the first decision close to `last_row` with a NAV of 1 at the start; fill the outputs in
    place.

    Outputs of length m = last_row - decision_rows[0] hold row first + 1 + j at place j; `traded` and
    `reasons` (m, n) hold the trade at the close before it; `flags` (m + 1, n) hold row first + j. Returns
    (status, row, column), the place only for a toxic return.
    """
    n = returns.shape[1]
    first = decision_rows[0]
    decision_count = decision_rows.shape[0]
    status = OK
    value = 1.0
    holdings = np.zeros(n)
    closing = np.zeros(n, dtype=np.uint8)
    blocked = np.zeros(n, dtype=np.bool_)
    is_acting = np.zeros(n, dtype=np.bool_)
    wanted = np.zeros(n)
    window = -1

    for j in range(last_row - first):
        close = first + j
        is_decision = window + 1 < decision_count and decision_rows[window + 1] == close
        if is_decision:
            window += 1
            blocked[:] = False

        is_scheduled = False
        if status == OK:
            if mode == DAILY_MODE or (is_decision and mode == WINDOW_MODE):
                is_scheduled = True
            elif is_decision:
                for a in range(n):
                    if missing_run[close, a] == 0:
                        held = 0.0 if closing[a] else np.sign(holdings[a])
                        if held != np.sign(targets[window, a]):
                            is_scheduled = True
        is_rebalance[j] = is_scheduled

        any_acting = False
        for a in range(n):
            is_acting[a] = False
            wanted[a] = 0.0
            if status != OK:
                if holdings[a] != 0.0:
                    is_acting[a] = True
                    reasons[j, a] = LIQUIDATION
            else:
                if is_scheduled:
                    weight = 0.0 if blocked[a] else targets[window, a]
                    if missing_run[close, a] == 0:
                        is_acting[a] = True
                        wanted[a] = weight
                        reasons[j, a] = WINDOW if is_decision else DAILY
                    else:
                        if weight != 0.0:
                            flags[j, a] |= TARGET_DROPPED
                        if holdings[a] != 0.0 and closing[a] == 0:
                            flags[j, a] |= HOLDING_STRANDED
                if closing[a] != 0 and (not is_acting[a] or not is_decision):
                    is_acting[a] = True
                    wanted[a] = 0.0
                    reasons[j, a] = closing[a]
            closing[a] = 0
            any_acting = any_acting or is_acting[a]

        paid = 0.0
        if any_acting and value > 0.0:
            after = value
            for _ in range(200):
                moved = 0.0
                for a in range(n):
                    if is_acting[a]:
                        moved += abs(wanted[a] * after - holdings[a])
                previous = after
                after = value - cost_rate * moved
                if abs(after - previous) <= 1e-15 * max(1.0, value):
                    break
            # A book so levered that its costs eat it whole is lost at the next close.
            is_lost = after <= 0.0
            if is_lost:
                after = 0.0
            absolute = 0.0
            signed = 0.0
            for a in range(n):
                if is_acting[a] or is_lost:
                    moved = wanted[a] * after - holdings[a]
                    holdings[a] = wanted[a] * after
                    traded[j, a] = moved / value
                    absolute += abs(moved)
                    signed += moved
                    if is_lost and moved != 0.0:
                        reasons[j, a] = LIQUIDATION
            turnover[j] = 0.5 * (absolute + abs(signed)) / value
            paid = (value - after) / value
        cost[j] = paid

        row = close + 1
        window_index[j] = window
        gain = 0.0
        short_value = 0.0
        for a in range(n):
            held = holdings[a]
            if held == 0.0:
                continue
            earned = returns[row, a]
            if abs(earned) > toxic_return:
                return TOXIC, row, a
            if missing_run[row, a] > 0:
                flags[j + 1, a] |= STALE_MARK
                if missing_run[row, a] >= 2:
                    flags[j + 1, a] |= MISSING_IN_TEST
                if missing_run[row, a] > delist_after:
                    flags[j + 1, a] |= DELISTED
                    closing[a] = DELIST
            elif isolate_shorts and held < 0.0 and earned >= 1.0:
                earned = 1.0
                flags[j + 1, a] |= SHORT_ISOLATED
                closing[a] = ISOLATION
                blocked[a] = True
            if held < 0.0:
                short_value -= held
            weights_held[j, a] = held / value
            gross_exposure[j] += abs(held) / value
            net_exposure[j] += held / value
            held_count[j] += 1
            gain += held * earned
            holdings[a] = held * (1.0 + earned)

        if value > 0.0:
            gross_return[j] = gain / value
            borrow_cost[j] = borrow_rate * short_value / value
            net_return[j] = gross_return[j] - paid - borrow_cost[j]
            value *= 1.0 + net_return[j]
            # A loss of everything comes out as zero or as its rounding, which must not live on as a book.
            if 1.0 + net_return[j] <= SMALLEST_SURVIVAL:
                # Nobody loses more than there is: the loss beyond it is taken out of the gross return.
                net_return[j] = -1.0
                gross_return[j] = paid + borrow_cost[j] - 1.0
                value = 0.0
                holdings[:] = 0.0
                closing[:] = 0
                status = LIQUIDATED
            elif value < bankrupt_below and status == OK:
                status = BANKRUPT
        nav[j] = value
        gross_value = 0.0
        for a in range(n):
            gross_value += abs(holdings[a])
        if gross_value > 0.0:
            margin_ratio[j] = value / gross_value

    return status, -1, -1
