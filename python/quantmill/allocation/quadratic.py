"""Convex programs over the weights of units, solved without a modelling language.

    minimise    w'Qw + q'w + turnover * |w - previous|_1                  (`QuadraticProgram`)
    maximise    (excess'w - turnover * |w - previous|_1) / sqrt(w'Qw)     (`RatioProgram`)
    subject to  sum w = total,  lower <= w <= upper,  rows w <= limits

Solvers are tried in order. Each try leaves a record, and a result counts only if it passes its own check
here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.projection import project_capped_simplex

FloatArray = NDArray[np.float64]

SOLVER_ORDER = ("DAQP", "CLARABEL", "SCS")
OPTIMALITY_TOLERANCE = 1e-9
ACCEPT_RESIDUAL = 1e-6
NEGLIGIBLE_WEIGHT = 1e-8
ROUNDING = 1e-13
SCS_TOLERANCE = 1e-6
SCS_MAX_ITERATIONS = 20_000
CLARABEL_TOLERANCE = 1e-10
DAQP_TOLERANCE = 1e-11
UNBOUNDED = 1e30


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Polytope:
    """Weights (K) that are allowed: sum w = total, lower <= w <= upper, `rows` (R, K) times w <= `limits` (R)."""

    total: float
    lower: FloatArray
    upper: FloatArray
    rows: FloatArray | None = None
    limits: FloatArray | None = None

    def residual(self, weights: FloatArray) -> float:
        """Largest violation of the sum, the bounds and the rows at `weights`."""
        worst = max(
            abs(float(weights.sum()) - self.total),
            float((self.lower - weights).max()),
            float((weights - self.upper).max()),
        )
        if self.rows is not None and self.limits is not None:
            worst = max(worst, float((self.rows @ weights - self.limits).max()))
        return worst


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class QuadraticProgram(Polytope):
    """One program over K units; Q is symmetric and positive semidefinite, all terms in one unit of objective.

    `previous` (K) is read only where `turnover` is positive.
    """

    quadratic: FloatArray
    linear: FloatArray
    turnover: float = 0.0
    previous: FloatArray | None = None

    def objective(self, weights: FloatArray) -> float:
        """Value of the objective at `weights`."""
        value = float(weights @ self.quadratic @ weights + self.linear @ weights)
        if self.turnover > 0 and self.previous is not None:
            value += self.turnover * float(np.abs(weights - self.previous).sum())
        return value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RatioProgram(Polytope):
    """Largest ratio of excess return to risk over K units; lower bounds are zero and Q positive definite.

    `excess` (K), `turnover` and Q may each have any scale: the best weights do not depend on it. Some allowed
    weights must have a positive excess return after turnover.
    """

    quadratic: FloatArray
    excess: FloatArray
    turnover: float = 0.0
    previous: FloatArray | None = None

    def ratio(self, weights: FloatArray) -> float:
        """Excess return after turnover over sqrt(w'Qw)."""
        excess = float(self.excess @ weights)
        if self.turnover > 0 and self.previous is not None:
            excess -= self.turnover * float(np.abs(weights - self.previous).sum())
        return excess / float(np.sqrt(weights @ self.quadratic @ weights))


@dataclass(frozen=True, slots=True)
class SolverTry:
    """One call of one solver: status `optimal`, `inaccurate`, `rejected` or `error`, with a reason unless
    optimal.
    """

    solver: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Weights (K), or None where every solver failed; `solver` names the one whose weights these are."""

    weights: FloatArray | None
    solver: str
    tries: tuple[SolverTry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Standard:
    """minimise x'Hx/2 + f'x with lower <= x <= upper, the first row of `matrix` equal to `total`, the rest <=
    `limits`.

    x is w, or (w, t) with t >= |w - previous| where turnover has a price.
    """

    hessian: FloatArray
    gradient: FloatArray
    lower: FloatArray
    upper: FloatArray
    matrix: FloatArray
    total: float
    limits: FloatArray


def solve(program: QuadraticProgram, solvers: Sequence[str] = SOLVER_ORDER) -> Solution:
    """Solve `program` with the first solver whose result is accepted.

    DAQP (a dual active set) counts only if the optimality conditions hold to 1e-9 of the scale of the
    objective. CLARABEL and SCS count if they report an optimum, or an inaccurate one whose constraints hold
    to 1e-6. Accepted weights are cleaned: below 1e-8 becomes 0, the sum is restored, what is left above a
    bound is projected away. Never raises for a failing solver: that is a try with status `error` and the text
    of the exception.
    """
    return _first_accepted(program, _standard_form(program), solvers, lambda found: found[: len(program.linear)])


def solve_ratio(program: RatioProgram, solvers: Sequence[str] = SOLVER_ORDER) -> Solution:
    """Solve `program` as the quadratic program of Charnes and Cooper 1962, with the rules of `solve`.

    With w = total * y / 1'y the ratio is that of y, whose length is free: min y'Qy subject to
    excess'y - turnover * |y - k previous|_1 = 1, where k = 1'y / total, and the bounds and rows times k.
    """
    units = len(program.excess)

    def weights_of(found: FloatArray) -> FloatArray:
        point = found[:units]
        weights: FloatArray = point * (program.total / point.sum())
        return weights

    return _first_accepted(program, _ratio_form(program), solvers, weights_of)


def _first_accepted(
    allowed: Polytope,
    standard: _Standard,
    solvers: Sequence[str],
    weights_of: Callable[[FloatArray], FloatArray],
) -> Solution:
    tries: list[SolverTry] = []
    for solver in solvers:
        try:
            found, status, reason = _SOLVERS[solver](standard)
            weights = None if status == "rejected" else weights_of(found)
            weights, status, reason = accepted_weights(allowed, weights, status, reason)
        except Exception as error:  # whatever a solver does is a record, not a crash of the run
            weights, status, reason = None, "error", f"{type(error).__name__}: {error}"
        tries.append(SolverTry(solver, status, reason))
        if weights is not None:
            return Solution(weights, solver, tuple(tries))
    return Solution(None, "none", tuple(tries))


def _standard_form(program: QuadraticProgram) -> _Standard:
    units = len(program.linear)
    one = np.ones((1, units))
    limited = program.rows is not None and program.limits is not None
    rows = program.rows if program.rows is not None and limited else np.empty((0, units))
    limits = program.limits if program.limits is not None and limited else np.empty(0)
    if not (program.turnover > 0 and program.previous is not None):
        return _Standard(
            2.0 * program.quadratic,
            program.linear,
            program.lower,
            program.upper,
            np.concatenate((one, rows)) if limited else one,
            program.total,
            limits,
        )
    hessian = np.zeros((2 * units, 2 * units))
    hessian[:units, :units] = 2.0 * program.quadratic
    identity = np.eye(units)
    return _Standard(
        hessian,
        np.concatenate((program.linear, np.full(units, program.turnover))),
        np.concatenate((program.lower, np.zeros(units))),
        np.concatenate((program.upper, np.full(units, UNBOUNDED))),
        np.block(
            [
                [one, np.zeros((1, units))],
                [rows, np.zeros((len(rows), units))],
                [identity, -identity],
                [-identity, -identity],
            ]
        ),
        program.total,
        np.concatenate((limits, program.previous, -program.previous)),
    )


def _ratio_form(program: RatioProgram) -> _Standard:
    units, total = len(program.excess), program.total
    rows = [np.eye(units) - (program.upper / total)[:, None]]
    if program.rows is not None and program.limits is not None:
        rows.append(program.rows - (program.limits / total)[:, None])
    bounds = np.concatenate(rows)
    # Returns of about one keep y near the size of weights; their signs stay, or a loss would become a gain.
    size = float(np.abs(program.excess).max())
    if not (program.turnover > 0 and program.previous is not None):
        return _Standard(
            2.0 * program.quadratic,
            np.zeros(units),
            np.zeros(units),
            np.full(units, UNBOUNDED),
            np.concatenate((program.excess[None, :] / size, bounds)),
            1.0,
            np.zeros(len(bounds)),
        )
    hessian = np.zeros((2 * units, 2 * units))
    hessian[:units, :units] = 2.0 * program.quadratic
    traded = np.eye(units) - (program.previous / total)[:, None]
    identity = np.eye(units)
    return _Standard(
        hessian,
        np.zeros(2 * units),
        np.zeros(2 * units),
        np.full(2 * units, UNBOUNDED),
        np.block(
            [
                [program.excess[None, :] / size, np.full((1, units), -program.turnover / size)],
                [bounds, np.zeros((len(bounds), units))],
                [traded, -identity],
                [-traded, -identity],
            ]
        ),
        1.0,
        np.zeros(len(bounds) + 2 * units),
    )


def _solve_daqp(standard: _Standard) -> tuple[FloatArray, str, str]:
    import daqp

    from quantmill.allocation import _kernels

    units, rows = len(standard.gradient), len(standard.limits)
    upper = np.concatenate((standard.upper, [standard.total], standard.limits))
    lower = np.concatenate((standard.lower, [standard.total], np.full(rows, -UNBOUNDED)))
    sense = np.zeros(units + 1 + rows, dtype=np.int32)
    sense[units] = 5  # an equality
    found, _, flag, info = daqp.solve(
        standard.hessian,
        standard.gradient,
        standard.matrix,
        upper,
        lower,
        sense,
        primal_tol=DAQP_TOLERANCE,
        dual_tol=DAQP_TOLERANCE,
    )
    if flag != 1:
        return found, "rejected", f"exit flag {flag}"
    gap = _kernels.optimality_gap(
        standard.hessian, standard.gradient, standard.matrix, found, np.asarray(info["lam"]), lower, upper
    )
    # A gap that is NaN must fail too, so the test asks for what is wanted.
    if not gap <= OPTIMALITY_TOLERANCE:
        return (
            found,
            "rejected",
            f"optimality conditions missed by {gap:.3g}; {OPTIMALITY_TOLERANCE:g} was needed",
        )
    return found, "optimal", ""


def _stacked(standard: _Standard) -> tuple[FloatArray, FloatArray]:
    """All constraints as one equality row followed by rows <= right-hand side."""
    units = len(standard.gradient)
    bounded = standard.upper < UNBOUNDED
    identity = np.eye(units)
    matrix = np.concatenate((standard.matrix, identity[bounded], -identity))
    right = np.concatenate(([standard.total], standard.limits, standard.upper[bounded], -standard.lower))
    return matrix, right


def _solve_clarabel(standard: _Standard) -> tuple[FloatArray, str, str]:
    import clarabel
    from scipy import sparse

    matrix, right = _stacked(standard)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = CLARABEL_TOLERANCE
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(len(right) - 1)]
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix(np.triu(standard.hessian)),
        standard.gradient,
        sparse.csc_matrix(matrix),
        right,
        cones,
        settings,
    ).solve()
    return _worded(np.array(solution.x), str(solution.status), "Solved", "AlmostSolved")


def _solve_scs(standard: _Standard) -> tuple[FloatArray, str, str]:
    import scs
    from scipy import sparse

    matrix, right = _stacked(standard)
    data = {
        "P": sparse.csc_matrix(np.triu(standard.hessian)),
        "A": sparse.csc_matrix(matrix),
        "b": right,
        "c": standard.gradient,
    }
    solution = scs.SCS(
        data,
        {"z": 1, "l": len(right) - 1},
        eps_abs=SCS_TOLERANCE,
        eps_rel=SCS_TOLERANCE,
        max_iters=SCS_MAX_ITERATIONS,
        verbose=False,
    ).solve()
    return _worded(np.array(solution["x"]), str(solution["info"]["status"]), "solved", "solved (inaccurate")


def _worded(point: FloatArray, word: str, optimal: str, inaccurate: str) -> tuple[FloatArray, str, str]:
    if word == optimal:
        return point, "optimal", ""
    if word.startswith(inaccurate):
        return point, "inaccurate", f"the solver reports {word}"
    return point, "rejected", f"the solver reports {word}"


_SOLVERS: dict[str, Callable[[_Standard], tuple[FloatArray, str, str]]] = {
    "DAQP": _solve_daqp,
    "CLARABEL": _solve_clarabel,
    "SCS": _solve_scs,
}


def accepted_weights(
    allowed: Polytope, weights: FloatArray | None, status: str, reason: str
) -> tuple[FloatArray | None, str, str]:
    """Return cleaned weights with their status and reason, or None and why they are not accepted.

    Anything but finite weights (K) that keep to `allowed` within 1e-6 is rejected: no vector is normalised
    into an answer.
    """
    if status == "rejected" or weights is None:
        return None, "rejected", reason or "the solver returned no weights"
    if weights.shape != allowed.lower.shape or not np.isfinite(weights).all():
        return None, "rejected", "the solver returned weights that are missing or not finite"
    residual = allowed.residual(weights)
    if not residual <= ACCEPT_RESIDUAL:
        return None, "rejected", f"constraints missed by {residual:.3g}; {ACCEPT_RESIDUAL:g} was needed"
    weights = np.where(np.abs(weights) < NEGLIGIBLE_WEIGHT, 0.0, weights)
    weights *= allowed.total / weights.sum()
    if (weights > allowed.upper + ROUNDING).any() or (weights < allowed.lower - ROUNDING).any():
        weights = project_capped_simplex(weights, allowed.lower, allowed.upper, allowed.total)
        residual = allowed.residual(weights)
        if not residual <= ACCEPT_RESIDUAL:
            return None, "rejected", f"constraints missed by {residual:.3g} after cleaning"
    return np.minimum(np.maximum(weights, allowed.lower), allowed.upper), status, reason
