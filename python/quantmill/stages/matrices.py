"""Relations of returns as matrices over the grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def return_matrix(returns: Any, symbols: Sequence[str], sessions: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Return the simple returns of `symbols` (ascending) on `sessions`, shape (sessions, symbols); NaN for none.

    `returns` is the DuckDB relation of `aligned_returns`; returns of other sessions are left out.
    """
    values = np.full((len(sessions), len(symbols)), np.nan)
    if not len(symbols) or not len(sessions):
        return values
    names = ", ".join("'" + symbol.replace("'", "''") + "'" for symbol in symbols)
    rows = (
        returns.filter(f"symbol in ({names})")
        .filter(f"session_date between date '{sessions[0]}' and date '{sessions[-1]}'")
        .project("symbol, session_date, simple_return")
        .to_arrow_table()
    )
    dates = rows["session_date"].to_numpy()
    places = np.searchsorted(sessions, dates)
    on_grid = sessions[places] == dates
    columns = np.searchsorted(np.array(symbols), np.array(rows["symbol"].to_pylist()))
    values[places[on_grid], columns[on_grid]] = rows["simple_return"].to_numpy()[on_grid]
    return values
