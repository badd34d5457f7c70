"""What an engine is asked and what it answers.

An engine is decision-naive: it sees moments, streams and a feasible set, never a regime, a direction or a
price. All engines see the same arrays, so that what differs between them is the library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.estimators import Moments, shrink_correlation
from quantmill.allocation.feasible import FeasibleSet
from quantmill.allocation.hierarchy import HrpVariant
from quantmill.allocation.quadratic import SOLVER_ORDER, Solution, SolverTry

FloatArray = NDArray[np.float64]
RiskProfile = Literal["equal_weight", "min_variance", "hrp", "risk_parity", "max_sharpe"]
Capability = Literal["native", "composed", "delegated"]

PROFILES: tuple[RiskProfile, ...] = ("equal_weight", "min_variance", "hrp", "risk_parity", "max_sharpe")
MEAN_PROFILES: tuple[RiskProfile, ...] = ("max_sharpe",)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One profile of one window at one rung of shrinkage, over K cluster streams.

    `covariance` (K, K) is annual, its correlation shrunk and its diagonal floored, without any ridge;
    `mean_variance` is the mean of the estimated diagonal. `mean` (K) is annual. `streams` (K, T) are simple
    returns per session. `fragility` (K) is the relative tail loss, zeros where it is undefined. `gamma` is
    the relative ridge, `turnover_price` kappa_c per year, `previous` (K) the weights before the trade or
    None. `solvers` are those of the engine `custom`.
    """

    profile: RiskProfile
    covariance: FloatArray
    mean_variance: float
    mean: FloatArray
    streams: FloatArray
    fragility: FloatArray
    feasible: FeasibleSet
    periods_per_year: int
    gamma: float
    fragility_weight: float
    risk_free_annual: float
    turnover_price: float
    previous: FloatArray | None
    hrp_variant: HrpVariant
    solvers: tuple[str, ...] = SOLVER_ORDER

    @property
    def count(self) -> int:
        """Number of clusters K."""
        return len(self.mean)

    @property
    def penalty(self) -> FloatArray:
        """Linear cost of fragility in risk objectives, lambda_f * s * phi, annual, shape (K)."""
        return np.asarray(self.fragility_weight * self.mean_variance * self.fragility)

    @property
    def adjusted_mean(self) -> FloatArray:
        """Mean less its fragility, mu - lambda_f * sqrt(s) * (phi - 1), annual, shape (K)."""
        if not self.fragility.any():
            return self.mean
        drop: FloatArray = self.fragility_weight * np.sqrt(self.mean_variance) * (self.fragility - 1.0)
        return self.mean - drop

    @property
    def excess(self) -> FloatArray:
        """Adjusted mean over the risk-free rate, annual, shape (K)."""
        return self.adjusted_mean - self.risk_free_annual


@dataclass(frozen=True, slots=True)
class Engine:
    """A way to solve profiles: what it can do itself, and how to ask it.

    `package` is the module that must be importable, empty for none. `capabilities` says for each profile
    whether the engine solves it natively, composes it from parts of its own, or delegates it to `custom`;
    `delegated_because` gives the reason of each delegated one. `solve` never raises: what goes wrong is a try
    with a status.
    """

    name: str
    package: str
    capabilities: Mapping[RiskProfile, Capability]
    delegated_because: Mapping[RiskProfile, str]
    solve: Callable[[Request], Solution]


def shared_covariance(moments: Moments, epsilon: float, variance_floor: float) -> FloatArray:
    """Return the annual covariance that every engine gets, shape (K, K).

    Its correlation is shrunk by `epsilon` toward the identity; `variance_floor` times the mean variance is
    added to its diagonal.
    """
    covariance = shrink_correlation(moments.covariance, epsilon)
    diagonal = np.arange(len(covariance))
    covariance[diagonal, diagonal] += variance_floor * moments.mean_variance
    return covariance


def best_excess(request: Request) -> float:
    """Return the largest excess return per year, after turnover, of any allowed weights.

    Not above zero means that no portfolio with a positive ratio exists. Without rows and turnover the best
    clusters are filled to their cap; otherwise a linear program over (W, t) with t >= |W - previous| decides,
    and NaN comes back where it has no answer.
    """
    feasible, excess, count = request.feasible, request.excess, request.count
    priced = request.turnover_price > 0 and request.previous is not None
    if feasible.rows is None and not priced:
        filled = np.clip(feasible.budget - feasible.cap * np.arange(count), 0.0, feasible.cap)
        return float(np.sort(excess)[::-1] @ filled)

    from scipy.optimize import linprog

    allowed = feasible.polytope(count)
    nothing, identity = np.zeros((count, count)), np.eye(count)
    blocks, limits = [np.empty((0, 2 * count))], [np.empty(0)]
    if allowed.rows is not None and allowed.limits is not None:
        blocks.append(np.hstack((allowed.rows, np.zeros_like(allowed.rows))))
        limits.append(allowed.limits)
    price = 0.0
    if priced and request.previous is not None:
        price = request.turnover_price
        blocks.append(np.block([[identity, -identity], [-identity, -identity]]))
        limits.append(np.concatenate((request.previous, -request.previous)))
    found = linprog(
        np.concatenate((-excess, np.full(count, price))),
        A_ub=np.concatenate(blocks),
        b_ub=np.concatenate(limits),
        A_eq=np.concatenate((np.ones((1, count)), nothing[:1]), axis=1),
        b_eq=[feasible.budget],
        bounds=[(0.0, feasible.cap)] * count + [(0.0, None)] * count,
        method="highs",
    )
    return -float(found.fun) if found.status == 0 else float("nan")


def failed(solver: str, status: str, reason: str) -> Solution:
    """Return the answer of an engine that has no weights."""
    return Solution(None, "none", (SolverTry(solver, status, reason),))
