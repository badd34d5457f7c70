"""Oriented streams of pass-through logics and the test of their direction.

Every stream is a synthetic long: a solver that holds a positive weight of it holds the atom, long or short.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DirectionError
from quantmill.frames import require_finite

SIGNS = {"LONG": 1, "SHORT": -1}
TOLERANCE = 1e-12


def direction_sign(direction: str) -> int:
    """Position of one unit of the atom in its symbol: +1 for LONG, -1 for SHORT.

    Raises `DirectionError` for anything else: a direction is never defaulted.
    """
    if direction not in SIGNS:
        raise DirectionError(
            f"direction is {direction!r}; LONG or SHORT was needed",
            remedy="state the direction of every atom in the universe",
            direction=direction,
        )
    return SIGNS[direction]


def synthetic_stream(returns: NDArray[np.float64], direction: str, *, borrow_daily: float = 0.0) -> NDArray[np.float64]:
    """Return the stream of a pass-through atom: max(r, -1) if LONG, -min(r, 1) - borrow if SHORT.

    `returns` are simple physical returns per session (fractions, any shape); NaN (no return) stays NaN.
    The floor is the bankruptcy guard of an isolated margin: one bar cannot lose more than the stake.
    `borrow_daily` is a fraction per session and charged to SHORT only.
    """
    if direction_sign(direction) > 0:
        return np.maximum(returns, -1.0)
    return -np.minimum(returns, 1.0) - borrow_daily


def require_directions(
    returns: NDArray[np.float64],
    synthetic: NDArray[np.float64],
    directions: Sequence[str],
    atom_ids: Sequence[str],
    *,
    borrow_daily: float = 0.0,
) -> None:
    """Raise `DirectionError` unless every stream is the pass-through stream of its direction to 1e-12.

    `returns` and `synthetic` are (sessions, atoms) in the order of `atom_ids`. A NaN must stand in both or in
    neither: a gap that the stream filled is an error too.
    """
    for column, (direction, atom_id) in enumerate(zip(directions, atom_ids, strict=True)):
        expected = synthetic_stream(returns[:, column], direction, borrow_daily=borrow_daily)
        found = synthetic[:, column]
        agrees = np.abs(found - expected) <= TOLERANCE
        agrees |= np.isnan(found) & np.isnan(expected)
        wrong = np.flatnonzero(~agrees)
        if wrong.size:
            row = int(wrong[0])
            raise DirectionError(
                f"{atom_id}: row {row} of its {direction} stream is {found[row]}; {expected[row]} was needed",
                remedy="build the stream from the physical return and the direction of the atom",
                atom_id=atom_id,
                row=row,
            )


def equity_curve(stream: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the growth of 1 along a stream without gaps; after a return of -1 it stays at 0.

    Raises `DataContractError` if the stream holds NaN.
    """
    require_finite(stream, name="stream")
    return np.asarray(np.cumprod(1.0 + stream, axis=0), dtype=np.float64)
