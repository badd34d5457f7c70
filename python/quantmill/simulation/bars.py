"""The simulator's working copy of the bars: gaps marked at the last price, long gaps closed as delistings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantmill.errors import DataContractError
from quantmill.frames import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantmill.manifest.settings import SimulationSettings


@dataclass(frozen=True, slots=True)
class EffectiveBars:
    """What a holding earns on each row of the session grid; nothing here is NaN.

    `symbols`: n names, one per column.
    `returns`: (T, n) simple returns as fractions. 0 where the asset has no bar (it is marked at its last
        price); on the row of a delisting, minus the haircut.
    `missing_run`: (T, n) consecutive sessions without a bar up to and including the row; 0 means there is a
        bar.
    """

    symbols: tuple[str, ...]
    returns: NDArray[np.float64]
    missing_run: NDArray[np.int32]

    @property
    def row_count(self) -> int:
        """Rows of the session grid."""
        return int(self.returns.shape[0])


def prepare_bars(
    returns: NDArray[np.float64], *, symbols: Sequence[str], settings: SimulationSettings
) -> EffectiveBars:
    """Mark the gaps of `returns` for the simulator.

    `returns` is (T, n): simple return of each symbol over each row of the grid, as a fraction; NaN means no
    bar on that row. The return after a gap spans the gap and stands on the row of the next bar. A gap becomes
    a delisting on its session number `settings.delist_after` + 1: that row earns minus
    `settings.delist_haircut`, and whoever holds the asset is closed out at that close. The haircut lowers the
    price, so it hurts longs and pays shorts.

    What depends on the position (a toxic return, the isolation of a short) is judged by the simulator.

    Raises `DataContractError` for a wrong shape, a repeated symbol or an infinite return.
    """
    values = np.asarray(returns, dtype=np.float64)
    names = tuple(symbols)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise DataContractError(
            f"returns have shape {values.shape} for {len(names)} symbols; (rows, {len(names)}) was needed",
            remedy="pass one column of returns per symbol",
            shape=values.shape,
        )
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise DataContractError(
            f"symbols repeat: {', '.join(repeated)}; one column per symbol was needed",
            remedy="merge the positions of a symbol before they are simulated",
            repeated=repeated,
        )
    infinite = np.argwhere(np.isinf(values))
    if infinite.size:
        row, column = (int(i) for i in infinite[0])
        raise DataContractError(
            f"the return of {names[column]} on row {row} is {values[row, column]}; it must be finite or NaN",
            remedy=f"repair the bars of {names[column]} around that session",
            symbol=names[column],
            row=row,
        )

    has_bar = ~np.isnan(values)
    rows = np.arange(values.shape[0], dtype=np.int32)[:, None]
    last_bar = np.maximum.accumulate(np.where(has_bar, rows, np.int32(-1)), axis=0)
    missing_run = (rows - last_bar).astype(np.int32)
    effective = np.where(has_bar, values, 0.0)
    effective[missing_run == settings.delist_after + 1] = -settings.delist_haircut
    return EffectiveBars(symbols=names, returns=frozen(effective), missing_run=frozen(missing_run))
