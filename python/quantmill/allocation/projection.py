"""Projections onto {sum w = total, lower <= w <= upper, rows w <= limits}."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError

FloatArray = NDArray[np.float64]

SUM_TOLERANCE = 1e-12
ROW_TOLERANCE = 1e-10
MAX_SWEEPS = 400
MAX_DOUBLINGS = 24


def water_fill(prior: FloatArray, lower: FloatArray, upper: FloatArray, total: float) -> FloatArray:
    """Return the entropy projection of `prior` onto the box with a sum: w = clip(lambda * prior, lower,
    upper).

    Minimises sum w ln(w / prior) (Kullback-Leibler); ratios between units inside their bounds are preserved.
    The sum is piecewise linear in lambda, so lambda is found exactly between two of its break points. A unit
    whose prior is zero stays at its lower bound. Raises `DataContractError` if no such vector exists.
    """
    if not (np.isfinite(prior).all() and (prior >= 0).all() and prior.max(initial=0.0) > 0):
        raise DataContractError(
            "the prior of a projection holds NaN, a negative number or only zeros",
            remedy="pass non-negative weights with a positive sum",
        )
    scaled = prior / prior.max()
    movable = scaled > 0
    least = float(lower.sum())
    most = float(upper[movable].sum() + lower[~movable].sum())
    _require_reachable(least, most, total)
    steps = np.sort(np.concatenate((lower[movable] / scaled[movable], upper[movable] / scaled[movable])))
    sums = np.clip(steps[:, None] * scaled, lower, upper).sum(axis=1)
    return np.asarray(np.clip(_crossing(steps, sums, total) * scaled, lower, upper))


def project_capped_simplex(
    point: FloatArray, lower: FloatArray, upper: FloatArray, total: float
) -> FloatArray:
    """Return the Euclidean projection of `point` onto the box with a sum: w = clip(point + tau, lower,
    upper).

    Used for the noise of a solver, where it moves nothing but the violation. Raises `DataContractError` if
    the box cannot hold the sum.
    """
    _require_reachable(float(lower.sum()), float(upper.sum()), total)
    steps = np.sort(np.concatenate((lower - point, upper - point)))
    sums = np.clip(point + steps[:, None], lower, upper).sum(axis=1)
    return np.clip(point + _crossing(steps, sums, total), lower, upper)


def entropy_projection(
    prior: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    total: float,
    rows: FloatArray,
    limits: FloatArray,
) -> FloatArray:
    """Return the entropy projection of `prior` under linear rows as well: `rows` (R, K) times w <= `limits`
    (R).

    w = clip(lambda * prior * exp(-rows' y), lower, upper) with multipliers y >= 0, found by coordinate ascent
    of the dual (Bregman 1967): each step makes one row hold with equality or frees it. Raises
    `DataContractError` if it does not converge to 1e-10, which an empty set makes it do.
    """
    multipliers = np.zeros(len(limits))

    def weights(y: FloatArray) -> FloatArray:
        exponent = -(rows.T @ y)
        return water_fill(prior * np.exp(exponent - exponent.max()), lower, upper, total)

    current = weights(multipliers)
    for _ in range(MAX_SWEEPS):
        before = multipliers.copy()
        for row in range(len(limits)):
            multipliers[row] = _row_multiplier(weights, multipliers, row, rows[row], float(limits[row]))
        current = weights(multipliers)
        excess = rows @ current - limits
        settled = np.abs(multipliers - before).max() <= 1e-9 * (1.0 + np.abs(multipliers).max())
        if excess.max() <= ROW_TOLERANCE and settled:
            return current
    raise DataContractError(
        f"the entropy projection left a row {float((rows @ current - limits).max()):.3g} above its limit "
        f"after {MAX_SWEEPS} sweeps; {ROW_TOLERANCE:g} was needed",
        remedy="check that the linear rows leave a point inside the bounds",
    )


def _row_multiplier(
    weights: Callable[[FloatArray], FloatArray],
    multipliers: FloatArray,
    row: int,
    coefficients: FloatArray,
    limit: float,
) -> float:
    def excess(value: float) -> float:
        trial = multipliers.copy()
        trial[row] = value
        return float(coefficients @ weights(trial)) - limit

    if excess(0.0) <= 0.0:
        return 0.0
    high = 1.0
    for _ in range(MAX_DOUBLINGS):
        if excess(high) <= 0.0:
            break
        high *= 2.0
    else:
        raise DataContractError(
            f"row {row} of a projection stays above its limit {limit:.6g} whatever its multiplier",
            remedy="check that the linear rows leave a point inside the bounds",
            row=row,
        )
    low = 0.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if excess(middle) > 0.0:
            low = middle
        else:
            high = middle
    return high


def _crossing(steps: FloatArray, sums: FloatArray, total: float) -> float:
    position = int(np.searchsorted(sums, total))
    if position == 0:
        return float(steps[0])
    if position == len(steps):
        return float(steps[-1])
    rise = sums[position] - sums[position - 1]
    share = (total - sums[position - 1]) / rise
    return float(steps[position - 1] + share * (steps[position] - steps[position - 1]))


def _require_reachable(least: float, most: float, total: float) -> None:
    if not (least <= total + SUM_TOLERANCE and total <= most + SUM_TOLERANCE):
        raise DataContractError(
            f"bounds allow sums from {least:.12g} to {most:.12g}; {total:.12g} was needed",
            remedy="widen the bounds or lower the sum",
            least=least,
            most=most,
            total=total,
        )
