"""Which cluster weights are allowed, and the weights among them that need no solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.estimators import Moments
from quantmill.allocation.projection import entropy_projection, water_fill
from quantmill.allocation.quadratic import Polytope
from quantmill.errors import DataContractError

FloatArray = NDArray[np.float64]
CapPolicy = Literal["relax", "cash", "fail"]

FULL = 1e-12
ROW_SLACK = 1e-9
DEGENERATE_BELOW = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class FeasibleSet:
    """Cluster weights that are allowed: 0 <= W <= cap, sum W = budget, |exposure W| <= asset_cap.

    Caps are those in force, relaxed or not. `rows` (R, K) and `limits` (R) are the exposures that can bind,
    None if none can. `point` (K) is the only member where the set is a point. `refusal` is a reason where the
    policy `fail` forbids what the caps make necessary.
    """

    budget: float
    cap: float
    asset_cap: float
    is_cap_relaxed: bool
    is_asset_cap_relaxed: bool
    rows: FloatArray | None
    limits: FloatArray | None
    point: FloatArray | None
    refusal: str

    def polytope(self, count: int) -> Polytope:
        """The set as bounds, a sum and rows over `count` clusters."""
        return Polytope(
            total=self.budget,
            lower=np.zeros(count),
            upper=np.full(count, self.cap),
            rows=self.rows,
            limits=self.limits,
        )


def feasible_set(
    count: int, *, cap: float, asset_cap: float, policy: CapPolicy, exposure: FloatArray | None
) -> FeasibleSet:
    """Return the allowed weights of `count` clusters.

    `exposure` (symbols, count) maps cluster weights to net symbol weights; None says that no symbol can
    exceed its cap. Where the caps cannot hold the whole budget: `relax` raises them to the smallest values
    that can (1 / count for clusters, a linear program for symbols), `cash` keeps them and lowers the budget,
    `fail` refuses.
    """
    budget, is_cap_relaxed, refusal = 1.0, False, ""
    point: FloatArray | None = None
    room = count * cap
    if room < 1.0 - FULL:
        if policy == "relax":
            cap, is_cap_relaxed = 1.0 / count, True
        elif policy == "cash":
            budget = room
        else:
            refusal = f"CAP_INFEASIBLE: {count} clusters of at most {cap:g} hold {room:.6g} of 1"
    if room <= 1.0 + FULL:
        point = np.full(count, budget / count)

    rows = exposure if exposure is not None and _could_exceed(exposure, cap, budget, asset_cap) else None
    is_asset_cap_relaxed = False
    limits: FloatArray | None = None
    if rows is not None and not refusal:
        needed = float(np.abs(rows @ point).max()) if point is not None else _least_exposure(rows, cap, budget)
        if needed > asset_cap + FULL:
            if policy == "relax":
                asset_cap, is_asset_cap_relaxed = needed, True
            elif policy == "cash":
                budget, point = _largest_budget(rows, cap, budget, asset_cap), None
            else:
                refusal = f"CAP_INFEASIBLE: a symbol needs {needed:.6g} where {asset_cap:g} is allowed"
        both = np.concatenate((rows, -rows))
        both = both[np.maximum(both, 0.0).sum(axis=1) * cap > asset_cap]
        rows = both if len(both) else None
        # A cap at the edge of what is possible leaves no room for rounding.
        limits = np.full(len(both), asset_cap + ROW_SLACK) if len(both) else None
    return FeasibleSet(
        budget=budget,
        cap=cap,
        asset_cap=asset_cap,
        is_cap_relaxed=is_cap_relaxed,
        is_asset_cap_relaxed=is_asset_cap_relaxed,
        rows=rows,
        limits=limits,
        point=point,
        refusal=refusal,
    )


def _could_exceed(rows: FloatArray, cap: float, budget: float, asset_cap: float) -> bool:
    size = np.abs(rows)
    reach = np.minimum(size.sum(axis=1) * cap, size.max(axis=1, initial=0.0) * budget)
    return bool((reach > asset_cap + FULL).any())


def _least_exposure(rows: FloatArray, cap: float, budget: float) -> float:
    """Smallest possible largest |exposure| of a symbol, by linear programming over (W, t)."""
    from scipy.optimize import linprog

    symbols, count = rows.shape
    bound = -np.ones((2 * symbols, 1))
    found = linprog(
        np.r_[np.zeros(count), 1.0],
        A_ub=np.hstack((np.concatenate((rows, -rows)), bound)),
        b_ub=np.zeros(2 * symbols),
        A_eq=np.r_[np.ones(count), 0.0][None, :],
        b_eq=[budget],
        bounds=[(0.0, cap)] * count + [(0.0, None)],
        method="highs",
    )
    if found.status != 0:
        raise DataContractError(
            f"the smallest asset cap could not be found: {found.message}",
            remedy="check cluster_cap and asset_cap",
        )
    return float(found.fun)


def _largest_budget(rows: FloatArray, cap: float, budget: float, asset_cap: float) -> float:
    """Largest invested share that keeps every symbol within its cap."""
    from scipy.optimize import linprog

    symbols, count = rows.shape
    both = np.concatenate((rows, -rows, np.ones((1, count))))
    found = linprog(
        -np.ones(count),
        A_ub=both,
        b_ub=np.r_[np.full(2 * symbols, asset_cap), budget],
        bounds=[(0.0, cap)] * count,
        method="highs",
    )
    if found.status != 0:
        raise DataContractError(
            f"the largest invested share could not be found: {found.message}",
            remedy="check cluster_cap and asset_cap",
        )
    return -float(found.fun)


def equal_weights(feasible: FeasibleSet, count: int) -> FloatArray:
    """Return budget / K per cluster, or the nearest in relative entropy where a symbol's cap binds."""
    return project_prior(np.full(count, 1.0 / count), feasible)


def inverse_volatility_weights(feasible: FeasibleSet, moments: Moments) -> FloatArray:
    """Return cluster weights proportional to 1 / volatility, capped by the entropy projection.

    Raises `DataContractError` if a cluster has no volatility.
    """
    volatility = np.sqrt(np.diagonal(moments.covariance))
    if not (np.isfinite(volatility).all() and (volatility > 0).all()):
        raise DataContractError(
            "a cluster has no finite positive volatility; inverse volatility needs one for each",
            remedy="remove constant streams before the estimate",
        )
    return project_prior(1.0 / volatility, feasible)


def project_prior(prior: FloatArray, feasible: FeasibleSet) -> FloatArray:
    """Return the entropy projection of positive `prior` (K) onto the feasible set."""
    if feasible.point is not None:
        return feasible.point
    lower, upper = np.zeros(len(prior)), np.full(len(prior), feasible.cap)
    if feasible.rows is None or feasible.limits is None:
        return water_fill(prior, lower, upper, feasible.budget)
    return entropy_projection(prior, lower, upper, feasible.budget, feasible.rows, feasible.limits)
