"""Equal risk contributions under caps: a convex program without a budget equation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.quadratic import (
    CLARABEL_TOLERANCE,
    Polytope,
    Solution,
    SolverTry,
    accepted_weights,
)

FloatArray = NDArray[np.float64]

RISK_TOLERANCE = 1e-11
ACCEPTED_GAP = 1e-8
MAX_STEPS = 100
NEAR_BOUNDARY = 0.995
CENTRE_PER_STEEPNESS = 0.1
SOLVERS = ("NEWTON", "CLARABEL")


def solve_risk_budget(scaled: FloatArray, allowed: Polytope, solvers: tuple[str, ...] = SOLVERS) -> Solution:
    """Return weights (K) whose contributions to risk are equal as far as `allowed` lets them be.

    Maillard, Roncalli and Teiletche 2010, Spinu 2013: min y'Sy/2 - (1/n) sum ln y subject to
    y <= (upper / total) * 1'y and rows y <= (limits / total) * 1'y, and w = total * y / 1'y. S is `scaled`
    (K, K), the covariance over its mean variance. The bounds are homogeneous, so the program stays convex and
    no equation for the budget distorts the contributions. NEWTON takes the program without bounds first and
    an interior point method where its answer breaks them; CLARABEL solves it over exponential cones. Every
    try is a record; a result counts only if it keeps to `allowed` within 1e-6.
    """
    tries: list[SolverTry] = []
    for solver in solvers:
        try:
            found, status, reason = _SOLVERS[solver](scaled, allowed)
            weights = found * (allowed.total / found.sum())
            kept, status, reason = accepted_weights(allowed, weights, status, reason)
        except Exception as error:  # whatever a solver does is a record, not a crash of the run
            kept, status, reason = None, "error", f"{type(error).__name__}: {error}"
        tries.append(SolverTry(solver, status, reason))
        if kept is not None:
            return Solution(kept, solver, tuple(tries))
    return Solution(None, "none", tuple(tries))


def _cone(allowed: Polytope) -> FloatArray:
    """Rows G of the bounds as G y <= 0."""
    rows = [np.eye(len(allowed.upper)) - (allowed.upper / allowed.total)[:, None]]
    if allowed.rows is not None and allowed.limits is not None:
        rows.append(allowed.rows - (allowed.limits / allowed.total)[:, None])
    return np.ascontiguousarray(np.concatenate(rows))


def _newton(scaled: FloatArray, allowed: Polytope) -> tuple[FloatArray, str, str]:
    point, gap = _free_budget(scaled)
    cone = _cone(allowed)
    if (cone @ point).max() > 0:
        point, gap = _bounded_budget(scaled, cone, point)
    # A gap that is NaN must fail too, so the test asks for what is wanted.
    if not gap <= ACCEPTED_GAP:
        return point, "rejected", f"optimality conditions missed by {gap:.3g}; {ACCEPTED_GAP:g} was needed"
    return point, "optimal", ""


def _free_budget(scaled: FloatArray) -> tuple[FloatArray, float]:
    """Minimise y'Sy/2 - (1/n) sum ln y by damped Newton steps; return y and the largest share of risk missed.

    n times the function is self-concordant, so a step of 1 / (1 + decrement) stays in the domain and the last
    steps converge quadratically.
    """
    count = len(scaled)
    diagonal = np.arange(count)
    point = 1.0 / np.sqrt(scaled[diagonal, diagonal])
    point /= np.sqrt(point @ scaled @ point)
    gap = np.inf
    for _ in range(MAX_STEPS):
        slope = scaled @ point - 1.0 / (count * point)
        gap = float(np.abs(slope * point).max()) * count
        if not gap > RISK_TOLERANCE:
            break
        hessian = scaled.copy()
        hessian[diagonal, diagonal] += 1.0 / (count * point * point)
        step: FloatArray = np.asarray(np.linalg.solve(hessian, -slope), dtype=np.float64)
        decrement = float(np.sqrt(max(-count * float(slope @ step), 0.0)))
        length = 1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement)
        point = point + min(length, _longest(point, step)) * step
    return point, gap


def _bounded_budget(scaled: FloatArray, cone: FloatArray, start: FloatArray) -> tuple[FloatArray, float]:
    """Minimise the same subject to `cone` (m, n) times y <= 0; return y and the largest residual.

    A primal-dual interior point method from an infeasible start (Boyd and Vandenberghe 2004, 11.7) with the
    predictor and corrector of Mehrotra 1992. The residual is that of stationarity, feasibility and
    complementarity, each on its own scale.
    """
    count, rows = len(scaled), len(cone)
    diagonal = np.arange(count)
    point = start
    scale = float(point.mean())
    slack = np.maximum(-(cone @ point), 0.1 * scale)
    multiplier = 0.1 / (count * slack)
    best, best_residual = point, np.inf
    for _ in range(MAX_STEPS):
        dual = scaled @ point - 1.0 / (count * point) + multiplier @ cone
        primal = cone @ point + slack
        centre = float(slack @ multiplier) / rows
        steepness = float(np.abs(dual * point).max())
        residual = max(steepness * count, float(np.abs(primal).max()) / scale, centre * rows * count)
        stalled = best_residual <= ACCEPTED_GAP and residual > 0.5 * best_residual
        if residual < best_residual:
            best, best_residual = point, residual
        # What is left of the residual may be rounding: a step that no longer halves it ends the search.
        if not residual > RISK_TOLERANCE or stalled:
            break
        ratio = multiplier / slack
        hessian = scaled + (cone.T * ratio) @ cone
        hessian[diagonal, diagonal] += 1.0 / (count * point * point)
        target: FloatArray | float = 0.0
        # First straight at the answer, to see how far that goes; then with centring and with the curvature met.
        for is_corrector in (False, True):
            complement = slack * multiplier - target
            right = -dual - (ratio * primal - complement / slack) @ cone
            move = np.asarray(np.linalg.solve(hessian, right), dtype=np.float64)
            move_slack = -primal - cone @ move
            move_multiplier = -(complement + multiplier * move_slack) / slack
            length = min(_longest(point, move), _longest(slack, move_slack), _longest(multiplier, move_multiplier))
            if not is_corrector:
                ahead = float((slack + length * move_slack) @ (multiplier + length * move_multiplier)) / rows
                aim = min(1.0, max(1e-4, (ahead / centre) ** 3)) * centre
                # Complementarity must not run ahead of stationarity, or the steps become too short to heal it.
                aim = max(aim, min(centre, CENTRE_PER_STEEPNESS * steepness / rows))
                target = aim - move_slack * move_multiplier
        point = point + length * move
        slack = slack + length * move_slack
        multiplier = multiplier + length * move_multiplier
    return best, best_residual


def _longest(values: FloatArray, move: FloatArray) -> float:
    """Largest step up to one that keeps positive values positive."""
    falling = move < 0
    return min(1.0, NEAR_BOUNDARY * float((values[falling] / -move[falling]).min(initial=np.inf)))


def _clarabel(scaled: FloatArray, allowed: Polytope) -> tuple[FloatArray, str, str]:
    """Variables are (y, t) with t_i <= ln y_i, which says that (t_i, 1, y_i) is in the exponential cone."""
    import clarabel
    from scipy import sparse

    count = len(scaled)
    cone = _cone(allowed)
    hessian = np.zeros((2 * count, 2 * count))
    hessian[:count, :count] = scaled
    logarithms = np.zeros((3 * count, 2 * count))
    logarithms[0::3, count:] = -np.eye(count)
    logarithms[2::3, :count] = -np.eye(count)
    right = np.zeros(3 * count)
    right[1::3] = 1.0
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = CLARABEL_TOLERANCE
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix(np.triu(hessian)),
        np.concatenate((np.zeros(count), np.full(count, -1.0 / count))),
        sparse.csc_matrix(np.concatenate((np.hstack((cone, np.zeros_like(cone))), logarithms))),
        np.concatenate((np.zeros(len(cone)), right)),
        [clarabel.NonnegativeConeT(len(cone)), *[clarabel.ExponentialConeT() for _ in range(count)]],
        settings,
    ).solve()
    word = str(solution.status)
    point = np.array(solution.x)[:count]
    if word == "Solved":
        return point, "optimal", ""
    return point, "inaccurate" if word == "AlmostSolved" else "rejected", f"the solver reports {word}"


_SOLVERS = {"NEWTON": _newton, "CLARABEL": _clarabel}
