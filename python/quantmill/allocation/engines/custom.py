"""The engine `custom`: every profile by its own numeric core, without a modelling language."""

from __future__ import annotations

import numpy as np

from quantmill.allocation.budgeting import solve_risk_budget
from quantmill.allocation.engines.contract import Engine, Request, failed
from quantmill.allocation.feasible import project_prior
from quantmill.allocation.hierarchy import hierarchical_risk_parity
from quantmill.allocation.quadratic import QuadraticProgram, RatioProgram, Solution, SolverTry, solve, solve_ratio

# Where the weights are a formula and not the result of a solver.
CLOSED_FORM = "BISECTION"


def minimum_variance_program(request: Request) -> QuadraticProgram:
    """Return min W'(S + gamma s I) W + lambda_f s phi'W + kappa_c |W - W_prev|_1, divided by s.

    S is the shared covariance and s its mean variance, which makes gamma and lambda_f free of scale.
    """
    scaled = request.covariance / request.mean_variance
    diagonal = np.arange(request.count)
    scaled[diagonal, diagonal] += request.gamma
    allowed = request.feasible.polytope(request.count)
    return QuadraticProgram(
        quadratic=scaled,
        linear=request.fragility_weight * request.fragility,
        total=allowed.total,
        lower=allowed.lower,
        upper=allowed.upper,
        rows=allowed.rows,
        limits=allowed.limits,
        turnover=request.turnover_price / request.mean_variance if request.previous is not None else 0.0,
        previous=request.previous,
    )


def maximum_sharpe_program(request: Request) -> RatioProgram:
    """Return max (excess'W - kappa_c |W - W_prev|_1) / sqrt(W'(S + gamma s I)W), the matrix divided by s."""
    scaled = request.covariance / request.mean_variance
    diagonal = np.arange(request.count)
    scaled[diagonal, diagonal] += request.gamma
    allowed = request.feasible.polytope(request.count)
    return RatioProgram(
        quadratic=scaled,
        excess=request.excess,
        total=allowed.total,
        lower=allowed.lower,
        upper=allowed.upper,
        rows=allowed.rows,
        limits=allowed.limits,
        turnover=request.turnover_price if request.previous is not None else 0.0,
        previous=request.previous,
    )


def solve_request(request: Request) -> Solution:
    """Return the weights of the request's profile; what goes wrong is a try with a status."""
    try:
        if request.profile == "min_variance":
            return solve(minimum_variance_program(request), request.solvers)
        if request.profile == "max_sharpe":
            return solve_ratio(maximum_sharpe_program(request), request.solvers)
        if request.profile == "risk_parity":
            return solve_risk_budget(
                request.covariance / request.mean_variance, request.feasible.polytope(request.count)
            )
        if request.profile == "hrp":
            raw = hierarchical_risk_parity(request.covariance, request.streams, request.hrp_variant)
            return Solution(project_prior(raw, request.feasible), CLOSED_FORM, (SolverTry(CLOSED_FORM, "optimal", ""),))
        weights = project_prior(np.full(request.count, 1.0 / request.count), request.feasible)
        return Solution(weights, "projection", (SolverTry("projection", "optimal", ""),))
    except Exception as error:  # an engine answers whatever happens inside it
        return failed(CLOSED_FORM, "error", f"{type(error).__name__}: {error}")


ENGINE = Engine(
    name="custom",
    package="",
    capabilities={
        "equal_weight": "native",
        "min_variance": "native",
        "hrp": "native",
        "risk_parity": "native",
        "max_sharpe": "native",
    },
    delegated_because={},
    solve=solve_request,
)
