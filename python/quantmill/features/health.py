"""What makes the bars of a symbol suspect or unsound, point in time: row t of every result reads rows up to t alone.

Series stand in flat arrays, one after the other; `offsets` (series + 1) says where each begins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantmill.features.factors import Floats, Integers, require_offsets
from quantmill.frames import frozen

# Sessions that a verdict looks back over: a constant, independent of any profile.
HISTORY = 500
# Bars before a bar that its move is measured against.
BEFORE = 20
TOXIC_RETURN, EXTREME_RETURN, COLLAPSE = 5.0, 1.0, -0.99
LARGEST_JUMP = float(np.log(6))
SPIKE_DEVIATIONS, SPIKE_MULTIPLE = 10.0, 2.0
CODES = ("TOXIC_RETURN", "EXTREME", "SUSPECT_DROP", "ADJUSTMENT_CHANGE", "VOLUME_SPIKE")


def suspect_moves(
    closes: Floats, volumes: Floats, returns: Floats, offsets: Integers
) -> list[tuple[str, NDArray[np.intp], Floats]]:
    """Return code, rows and values of the moves that are suspect, by code; every row ascends.

    `closes` are finite; `volumes` are NaN where there is none, `returns` (fractions) NaN where a bar has none.
    TOXIC_RETURN: |r| > 5; EXTREME: 1 < |r| <= 5; SUSPECT_DROP: r < -0.99, else |ln(close / median of the 20 closes
    before)| > ln 6, whose value is that logarithm; ADJUSTMENT_CHANGE: no return though a bar stands before, NaN;
    VOLUME_SPIKE: volume beyond the mean of the 20 before by ten deviations (twice the mean where they are equal), as a
    multiple of that mean, judged where all 20 have a volume.
    """
    from quantmill.features import _kernels

    require_offsets(closes, offsets, name="closes")
    count = len(closes)
    median, before = np.empty(count), np.empty((count, 3))
    places = frozen(offsets)
    _kernels.trailing_median(frozen(closes), places, BEFORE, 1, median)
    _kernels.earlier_moments(frozen(volumes), places, BEFORE, before)
    size = np.abs(returns)
    jump = np.log(closes / median)
    is_collapse = returns < COLLAPSE
    is_first = np.zeros(count, dtype=bool)
    is_first[offsets[:-1][offsets[:-1] < count]] = True
    mean, deviation = before[:, 1], before[:, 2]
    limit = np.where(deviation > 0, mean + SPIKE_DEVIATIONS * deviation, SPIKE_MULTIPLE * mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        multiple = volumes / mean
    found = (
        (size > TOXIC_RETURN, returns),
        ((size > EXTREME_RETURN) & (size <= TOXIC_RETURN), returns),
        (is_collapse | (np.abs(jump) > LARGEST_JUMP), np.where(is_collapse, returns, jump)),
        (np.isnan(returns) & ~is_first, np.full(count, np.nan)),
        ((before[:, 0] == BEFORE) & (volumes > limit), multiple),
    )
    return [
        (code, np.flatnonzero(is_found), values[is_found])
        for code, (is_found, values) in zip(CODES, found, strict=True)
    ]


def session_counts(closes: Floats, is_suspect: NDArray[np.bool_], offsets: Integers) -> dict[str, Integers]:
    """Return what the verdict on a symbol rests on, per session from its first bar on; a NaN close is a missing one.

    `sessions_behind` since the last close; and of the last 500 sessions `expected_sessions`, `missing_sessions`,
    `repeated_sessions` (missing as the second or later in a row), `suspect_sessions` and `longest_stall`, the most
    closes in a row that equalled the one before: a missing session does not end such a run.
    """
    from quantmill.features import _kernels

    counts = np.empty((len(closes), 6), dtype=np.int64)
    _kernels.session_counts(frozen(closes), frozen(is_suspect), frozen(offsets), HISTORY, counts)
    names = (
        "sessions_behind", "expected_sessions", "missing_sessions", "repeated_sessions", "suspect_sessions",
        "longest_stall",
    )  # fmt: skip
    return {name: counts[:, place] for place, name in enumerate(names)}
