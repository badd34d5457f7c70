"""The engine `skfolio`: the library's own optimisers on the shared moments, in its units per session.

Every coefficient of the library acts on returns per session, so annual ones are divided by the periods of a
year. The library's own cap of hierarchical weights is not used: it works inside the recursion, and the shared
projection caps every engine alike.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.engines.contract import Engine, Request, failed
from quantmill.allocation.feasible import project_prior
from quantmill.allocation.quadratic import Polytope, Solution, SolverTry, accepted_weights

FloatArray = NDArray[np.float64]

SOLVER = "CLARABEL"
# Tighter than the library's own, which leaves up to 1e-4 in a weight.
TOLERANCES = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}


def solve_request(request: Request) -> Solution:
    """Return the library's weights for the request's profile; what goes wrong is a try with a status.

    The weights count only if the library reports no failure and they keep to the feasible set within 1e-6.
    """
    solver = "skfolio" if request.profile == "hrp" else f"skfolio {SOLVER}"
    try:
        model = _MODELS[request.profile](request)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(np.ascontiguousarray(request.streams.T))
        inaccurate = [str(one.message) for one in caught if "inaccurate" in str(one.message)]
        error = getattr(model, "error_", None)
        if error:
            return failed(solver, "rejected", f"the library reports a failure: {error}")
        found = None if model.weights_ is None else np.asarray(model.weights_, dtype=float)
        status, reason = ("inaccurate", inaccurate[0]) if inaccurate else ("optimal", "")
        if request.profile == "hrp":
            weights, status, reason = _capped(request, found, status, reason)
        else:
            allowed = request.feasible.polytope(request.count)
            if request.profile == "risk_parity" and found is not None:
                found = found * allowed.total  # the library invests all
            weights, status, reason = accepted_weights(allowed, found, status, reason)
    except Exception as error:  # an engine answers whatever happens inside it
        return failed(solver, "error", f"{type(error).__name__}: {error}")
    return Solution(weights, solver if weights is not None else "none", (SolverTry(solver, status, reason),))


def _capped(request: Request, found: FloatArray | None, status: str, reason: str) -> tuple[FloatArray | None, str, str]:
    """Check the library's uncapped weights for what they must be, then cap them by the shared projection."""
    whole = Polytope(total=1.0, lower=np.zeros(request.count), upper=np.ones(request.count))
    weights, status, reason = accepted_weights(whole, found, status, reason)
    return (None if weights is None else project_prior(weights, request.feasible)), status, reason


def _prior(request: Request) -> Any:
    """The shared moments as a prior of the library, per session."""
    from skfolio.moments import BaseCovariance, BaseMu
    from skfolio.prior import EmpiricalPrior

    covariance = request.covariance / request.periods_per_year
    mean = request.adjusted_mean / request.periods_per_year

    class SharedCovariance(BaseCovariance):  # type: ignore[misc]
        def fit(self, X: Any, y: Any = None, **_: Any) -> SharedCovariance:
            self._set_covariance(covariance)
            return self

    class SharedMean(BaseMu):  # type: ignore[misc]
        def __init__(self) -> None:
            """The library's base class leaves this to its subclasses."""

        def fit(self, X: Any, y: Any = None, **_: Any) -> SharedMean:
            self.mu_ = mean
            return self

    return EmpiricalPrior(mu_estimator=SharedMean(), covariance_estimator=SharedCovariance())


def _bounds(request: Request) -> dict[str, Any]:
    feasible = request.feasible
    return {"left_inequality": feasible.rows, "right_inequality": feasible.limits}


def _mean_risk(request: Request, objective: Any, **extra: Any) -> Any:
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk

    return MeanRisk(
        risk_measure=RiskMeasure.VARIANCE,
        objective_function=objective,
        prior_estimator=_prior(request),
        budget=request.feasible.budget,
        min_weights=0.0,
        max_weights=request.feasible.cap,
        l2_coef=request.gamma * request.mean_variance / request.periods_per_year,
        solver=SOLVER,
        solver_params=TOLERANCES,
        **_bounds(request),
        **extra,
    )


def _min_variance(request: Request) -> Any:
    from cvxpy import norm1  # type: ignore[attr-defined]
    from skfolio.optimization import ObjectiveFunction

    linear = request.penalty / request.periods_per_year
    price = request.turnover_price / request.periods_per_year

    def penalties(weights: Any) -> Any:
        cost = linear @ weights
        if price > 0 and request.previous is not None:
            cost = cost + price * norm1(weights - request.previous)
        return cost

    return _mean_risk(request, ObjectiveFunction.MINIMIZE_RISK, add_objective=penalties)


def _max_sharpe(request: Request) -> Any:
    from skfolio.optimization import ObjectiveFunction

    extra: dict[str, Any] = {}
    if request.turnover_price > 0 and request.previous is not None:
        extra = {
            "transaction_costs": request.turnover_price / request.periods_per_year,
            "previous_weights": request.previous,
        }
    return _mean_risk(
        request,
        ObjectiveFunction.MAXIMIZE_RATIO,
        risk_free_rate=request.risk_free_annual / request.periods_per_year,
        **extra,
    )


def _risk_parity(request: Request) -> Any:
    from skfolio import RiskMeasure
    from skfolio.optimization import RiskBudgeting

    feasible = request.feasible
    bounds = _bounds(request)
    if feasible.limits is not None:
        bounds["right_inequality"] = feasible.limits / feasible.budget
    return RiskBudgeting(
        risk_measure=RiskMeasure.VARIANCE,
        prior_estimator=_prior(request),
        min_weights=0.0,
        max_weights=min(1.0, feasible.cap / feasible.budget),
        solver=SOLVER,
        solver_params=TOLERANCES,
        **bounds,
    )


def _hrp(request: Request) -> Any:
    from skfolio import RiskMeasure
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.distance import PearsonDistance
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    is_product = request.hrp_variant == "product"
    return HierarchicalRiskParity(
        risk_measure=RiskMeasure.VARIANCE,
        prior_estimator=_prior(request),
        distance_estimator=PearsonDistance(),
        seriation_estimator=HierarchicalSeriation(
            hierarchical_clustering_estimator=HierarchicalClustering(
                linkage_method=LinkageMethod.WARD if is_product else LinkageMethod.SINGLE
            ),
            optimal_ordering=is_product,
        ),
    )


_MODELS = {"min_variance": _min_variance, "max_sharpe": _max_sharpe, "risk_parity": _risk_parity, "hrp": _hrp}

ENGINE = Engine(
    name="skfolio",
    package="skfolio",
    capabilities={
        "equal_weight": "delegated",
        "min_variance": "native",
        "hrp": "native",
        "risk_parity": "native",
        "max_sharpe": "native",
    },
    delegated_because={"equal_weight": "engine_independent"},
    solve=solve_request,
)
