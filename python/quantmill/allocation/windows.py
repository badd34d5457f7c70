"""The walk over windows: each profile of each window becomes a record, whatever happens on the way.

A window is estimated once (`estimate_windows`) and solved per engine and profile (`ladder.solve_profile`);
`allocate_windows` does both from the full matrix, of which each window sees only its own rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.engines import absence, find_engine
from quantmill.allocation.engines.contract import PROFILES, RiskProfile
from quantmill.allocation.estimators import WindowEstimate, WindowInput, estimate_windows
from quantmill.allocation.ladder import HOUSE_ENGINE, Allocation, solve_profile, unavailable
from quantmill.errors import DataContractError

if TYPE_CHECKING:
    from quantmill.manifest.settings import AllocationSettings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """One window of a matrix: rows `first_row` to `decision_row` (both included) and its winners' columns,
    ascending.
    """

    window_index: int
    first_row: int
    decision_row: int
    columns: tuple[int, ...]
    regime: str
    quadrant: str | None = None


def allocate_windows(
    returns: FloatArray,
    atom_ids: Sequence[str],
    symbols: IntArray,
    signs: IntArray,
    requests: Sequence[WindowRequest],
    settings: AllocationSettings,
    *,
    profiles: Sequence[RiskProfile] = PROFILES,
    engine: str = HOUSE_ENGINE,
    periods_per_year: int,
    cost_rate: float = 0.0,
    step: int = 1,
    first_valid_rows: IntArray | None = None,
) -> dict[RiskProfile, list[Allocation]]:
    """Allocate every requested window with every profile of one engine; windows come back in their order.

    `returns` (rows, atoms) are synthetic returns, NaN for none, columns in the order of `atom_ids`
    (ascending); `symbols` and `signs` are as in `WindowInput`. A window reads its own rows and nothing after
    its decision row. `first_valid_rows` (atoms) is the row of each atom's first possible return: an atom that
    starts inside a window is young there. `cost_rate` is the cost of one side as a fraction and `step` the
    sessions between two decisions; they price turnover where the settings ask for it. Raises
    `DataContractError` for a window outside the matrix.
    """
    windows = [_window(returns, atom_ids, symbols, signs, request, first_valid_rows) for request in requests]
    estimates = estimate_windows(windows, settings, periods_per_year=periods_per_year)
    price = turnover_price(cost_rate, periods_per_year, step)
    return {profile: walk(estimates, profile, settings, engine=engine, turnover_price=price) for profile in profiles}


def walk(
    estimates: Sequence[WindowEstimate],
    profile: RiskProfile,
    settings: AllocationSettings,
    *,
    engine: str = HOUSE_ENGINE,
    turnover_price: float = 0.0,
) -> list[Allocation]:
    """Solve the windows in order; the weights of one are the previous weights of the next, the first starts
    in cash. An engine whose library is missing gives error records in cash, and nothing in their place.
    """
    missing = absence(find_engine(engine))
    if missing:
        return [unavailable(estimate, engine, profile, missing) for estimate in estimates]
    allocations: list[Allocation] = []
    previous: Mapping[str, float] = {}
    for estimate in estimates:
        allocation = solve_profile(
            estimate, profile, settings, engine=engine, turnover_price=turnover_price, previous_weights=previous
        )
        allocations.append(allocation)
        if settings.turnover_penalty:
            previous = allocation.weights_by_atom()
    return allocations


def turnover_price(cost_rate: float, periods_per_year: int, step: int) -> float:
    """Return kappa_c, the annual price of a unit of traded weight: cost * periods per year / step."""
    return cost_rate * periods_per_year / step


def _window(
    returns: FloatArray,
    atom_ids: Sequence[str],
    symbols: IntArray,
    signs: IntArray,
    request: WindowRequest,
    first_valid_rows: IntArray | None,
) -> WindowInput:
    if not 0 <= request.first_row <= request.decision_row < len(returns):
        raise DataContractError(
            f"window {request.window_index} asks for rows {request.first_row} to {request.decision_row}; "
            f"the matrix has {len(returns)}",
            remedy="build the windows on the sessions of the same run",
        )
    columns = np.asarray(request.columns, dtype=np.int64)
    # Rows after the decision are cut off here, before anything is computed.
    rows = returns[request.first_row : request.decision_row + 1]
    return WindowInput(
        window_index=request.window_index,
        atom_ids=tuple(atom_ids[column] for column in request.columns),
        returns=rows if len(columns) == rows.shape[1] else rows[:, columns],
        symbols=symbols[columns],
        signs=signs[columns],
        regime=request.regime,
        quadrant=request.quadrant,
        is_young=None if first_valid_rows is None else first_valid_rows[columns] > request.first_row,
    )
