"""Projections onto {sum w = total, lower <= w <= upper, rows w <= limits}."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError

FloatArray = NDArray[np.float64]

SUM_TOLERANCE = 1e-12
ROW_TOLERANCE = 1e-6
CONE_TOLERANCE = 1e-10
POLISH_DISTANCE = 1e-4
ACTIVE_DUAL = 1e-6
MAX_NEWTON_STEPS = 20
LARGEST_EXPONENT = 500.0


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


def project_capped_simplex(point: FloatArray, lower: FloatArray, upper: FloatArray, total: float) -> FloatArray:
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

    The water-fill is the answer wherever it keeps to the rows. Elsewhere sum w ln(w / prior) is minimised
    over exponential cones by CLARABEL, and what is left of its noise in the sum and the bounds is projected
    away. Raises `DataContractError` if the rows leave no point or the result misses them by more than 1e-6.
    """
    plain = water_fill(prior, lower, upper, total)
    if (rows @ plain <= limits + SUM_TOLERANCE).all():
        return plain

    import clarabel
    from scipy import sparse

    count = len(prior)
    # Variables are (w, t) with t_i >= w_i ln(w_i / prior_i), which says that (-t_i, w_i, prior_i) is in the
    # cone.
    nothing = np.zeros((count, count))
    identity = np.eye(count)
    cone = np.zeros((3 * count, 2 * count))
    cone[0::3, count:] = identity
    cone[1::3, :count] = -identity
    cone_right = np.zeros(3 * count)
    cone_right[2::3] = prior / prior.max()
    inequalities = np.block([[identity, nothing], [-identity, nothing], [rows, np.zeros((len(rows), count))]])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = CONE_TOLERANCE
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((2 * count, 2 * count)),
        np.concatenate((np.zeros(count), np.ones(count))),
        sparse.csc_matrix(
            np.concatenate((np.concatenate((np.ones(count), np.zeros(count)))[None, :], inequalities, cone))
        ),
        np.concatenate(([total], upper, -lower, limits, cone_right)),
        [
            clarabel.ZeroConeT(1),
            clarabel.NonnegativeConeT(len(inequalities)),
            *[clarabel.ExponentialConeT() for _ in range(count)],
        ],
        settings,
    ).solve()
    weights = np.array(solution.x)[:count]
    first_row = 1 + 2 * count
    duals = np.array(solution.z)[first_row : first_row + len(rows)]
    if str(solution.status) not in {"Solved", "AlmostSolved"} or not np.isfinite(weights).all():
        raise DataContractError(
            f"the entropy projection under {len(rows)} rows ended with {solution.status}",
            remedy="check that the linear rows leave a point inside the bounds",
        )
    weights = project_capped_simplex(weights, lower, upper, total)
    polished = _polished(prior, lower, upper, total, rows, limits, duals)
    if polished is not None and np.abs(polished - weights).max() <= POLISH_DISTANCE:
        return polished
    excess = float((rows @ weights - limits).max())
    if not excess <= ROW_TOLERANCE:
        raise DataContractError(
            f"the entropy projection left a row {excess:.3g} above its limit; {ROW_TOLERANCE:g} was allowed",
            remedy="check that the linear rows leave a point inside the bounds",
            excess=excess,
        )
    return weights


def _polished(
    prior: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    total: float,
    rows: FloatArray,
    limits: FloatArray,
    duals: FloatArray,
) -> FloatArray | None:
    """Return the exact projection by Newton steps on the multipliers of the binding rows; None if they do not
    settle.

    The projection is a water-fill of prior * exp(-rows' y) with y >= 0, zero on rows that do not bind.
    """
    active = duals > ACTIVE_DUAL * max(1.0, float(duals.max()))
    matrix, multipliers = rows[active], duals[active]
    for _ in range(MAX_NEWTON_STEPS):
        exponent = -(multipliers @ matrix)
        # At the edge of what the rows allow the multipliers run off and the prior would vanish.
        if not np.ptp(exponent) <= LARGEST_EXPONENT:
            return None
        weights = water_fill(prior * np.exp(exponent - exponent.max(initial=-np.inf)), lower, upper, total)
        excess = matrix @ weights - limits[active]
        if np.abs(excess).max(initial=0.0) <= SUM_TOLERANCE:
            settled = (multipliers >= 0).all() and (rows @ weights <= limits + SUM_TOLERANCE).all()
            return weights if settled else None
        free = np.where((weights > lower) & (weights < upper), weights, 0.0)
        if not free.any():
            return None
        through = matrix @ free
        slope = (matrix * free) @ matrix.T - np.outer(through, through) / free.sum()
        multipliers = multipliers + np.linalg.lstsq(slope, excess, rcond=1e-12)[0]
    return None


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
