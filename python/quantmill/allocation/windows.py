"""The walk over windows: each profile of each window becomes a record, whatever happens on the way.

A window is estimated once (`estimate_windows`) and solved per profile (`solve_profile`); `allocate_windows`
does both from the full matrix, of which each window sees only its own rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.custom import (
    DEGENERATE_BELOW,
    FeasibleSet,
    equal_weights,
    feasible_set,
    inverse_volatility_weights,
    minimum_variance_program,
)
from quantmill.allocation.estimators import (
    Event,
    WindowEstimate,
    WindowInput,
    estimate_windows,
    shrunk_condition,
)
from quantmill.allocation.layers import (
    flatten,
    require_caps,
    require_no_leak,
    symbol_exposure,
)
from quantmill.allocation.quadratic import SOLVER_ORDER, solve
from quantmill.errors import BadValue, DataContractError

if TYPE_CHECKING:
    from quantmill.manifest.settings import AllocationSettings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
RiskProfile = Literal["equal_weight", "min_variance"]
Status = Literal[
    "native",
    "composed",
    "delegated",
    "retried",
    "fallback_engine",
    "fallback_profile",
    "fallback_equal_weight",
    "infeasible",
    "disabled",
    "error",
]

PROFILES: tuple[RiskProfile, ...] = ("equal_weight", "min_variance")
BINDING_SLACK = 1e-6
EMPTY_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True)
class Attempt:
    """One step of the ladder, or one call of a solver within it.

    `status` is `optimal`, `inaccurate`, `rejected`, `error` or `not_applicable`; `reason` is empty only for
    `optimal`. `condition_number` is that of the shrunk correlation, `shrinkage` its epsilon; both NaN where
    none was estimated.
    """

    attempt: int
    step: str
    solver: str
    status: str
    reason: str
    condition_number: float
    shrinkage: float


@dataclass(frozen=True, slots=True)
class ConstraintRow:
    """One constraint of a solved window: the bound in force, the largest value against it, and whether it was
    relaxed.
    """

    constraint_name: str
    bound: float
    value: float
    is_binding: bool
    is_relaxed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """The weights of one profile in one window, and how they came about.

    Arrays over atoms stand in the order of `atom_ids`, removed atoms included: `cluster_ids` counts from 1
    and is -1 for a removed atom, `shares` is Layer 2 (0 if removed), `atom_weights` are fractions of the
    book, never negative. `cluster_weights` (K) belong to clusters 1..K. `cash` is 1 - sum of the weights.
    `fallback_reason` is empty only for `native`. A status of `infeasible` or `error` comes with zero weights
    and all cash.
    """

    window_index: int
    profile: RiskProfile
    status: Status
    fallback_reason: str
    atom_ids: tuple[str, ...]
    cluster_ids: IntArray
    shares: FloatArray
    cluster_weights: FloatArray
    atom_weights: FloatArray
    cash: float
    attempts: tuple[Attempt, ...]
    constraints: tuple[ConstraintRow, ...]
    events: tuple[Event, ...]

    def weights_by_atom(self) -> dict[str, float]:
        """Weight of each atom by its id."""
        return dict(zip(self.atom_ids, self.atom_weights.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """One window of a matrix: rows `first_row` to `decision_row` (both included) and its winners' columns,
    ascending.
    """

    window_index: int
    first_row: int
    decision_row: int
    columns: tuple[int, ...]
    regime: str
    quadrant: str | None = None


def allocate_windows(
    returns: FloatArray,
    atom_ids: Sequence[str],
    symbols: IntArray,
    signs: IntArray,
    requests: Sequence[WindowRequest],
    settings: AllocationSettings,
    *,
    profiles: Sequence[RiskProfile] = PROFILES,
    periods_per_year: int,
    cost_rate: float = 0.0,
    step: int = 1,
    first_valid_rows: IntArray | None = None,
) -> dict[RiskProfile, list[Allocation]]:
    """Allocate every requested window with every profile; the same window index order comes back per profile.

    `returns` (rows, atoms) are synthetic returns, NaN for none, columns in the order of `atom_ids`
    (ascending); `symbols` and `signs` are as in `WindowInput`. A window reads its own rows and nothing after
    its decision row. `first_valid_rows` (atoms) is the row of each atom's first possible return: an atom that
    starts inside a window is young there. `cost_rate` is the cost of one side as a fraction and `step` the
    sessions between two decisions; they price turnover where the settings ask for it. Raises
    `DataContractError` for a window outside the matrix.
    """
    windows = [_window(returns, atom_ids, symbols, signs, request, first_valid_rows) for request in requests]
    estimates = estimate_windows(windows, settings, periods_per_year=periods_per_year)
    price = turnover_price(cost_rate, periods_per_year, step)
    return {profile: walk(estimates, profile, settings, turnover_price=price) for profile in profiles}


def walk(
    estimates: Sequence[WindowEstimate],
    profile: RiskProfile,
    settings: AllocationSettings,
    *,
    turnover_price: float = 0.0,
) -> list[Allocation]:
    """Solve the windows in order; the weights of one are the previous weights of the next, the first starts
    in cash.
    """
    allocations: list[Allocation] = []
    previous: Mapping[str, float] = {}
    for estimate in estimates:
        allocation = solve_profile(
            estimate, profile, settings, turnover_price=turnover_price, previous_weights=previous
        )
        allocations.append(allocation)
        if settings.turnover_penalty:
            previous = allocation.weights_by_atom()
    return allocations


def turnover_price(cost_rate: float, periods_per_year: int, step: int) -> float:
    """Return kappa_c, the annual price of a unit of traded weight: cost * periods per year / step."""
    return cost_rate * periods_per_year / step


def ridge(settings: AllocationSettings, regime: str, quadrant: str | None) -> float:
    """Return the relative ridge gamma of a window: by quadrant where one is given, else by regime label.

    The label CRISIS has its own value whatever the quadrant, TURBULENT at least its own. Raises `BadValue`
    for a key that `l2_gamma` does not have.
    """

    def lookup(key: str) -> float:
        if key not in settings.l2_gamma:
            raise BadValue(
                f"allocation.l2_gamma has no key {key!r}; it has {', '.join(sorted(settings.l2_gamma))}",
                remedy=f"add {key} to allocation.l2_gamma",
                key=key,
            )
        return settings.l2_gamma[key]  # type: ignore[index]

    if quadrant is None or regime == "CRISIS":
        return lookup(regime)
    return max(lookup(quadrant), lookup(regime)) if regime == "TURBULENT" else lookup(quadrant)


def solve_profile(
    estimate: WindowEstimate,
    profile: RiskProfile,
    settings: AllocationSettings,
    *,
    turnover_price: float = 0.0,
    previous_weights: Mapping[str, float] | None = None,
    solvers: Sequence[str] = SOLVER_ORDER,
) -> Allocation:
    """Return the allocation of one profile on one estimate, through the ladder of fallbacks.

    `turnover_price` is kappa_c per year and `previous_weights` the weights by atom before the trade (None or
    empty: all cash); both are read only where `settings.turnover_penalty` is on. Settings that cannot be used
    raise `BadValue`; anything else that goes wrong is a status and a reason.
    """
    if profile not in PROFILES:
        raise BadValue(
            f"the engine custom has no profile {profile!r}; it has {', '.join(PROFILES)}",
            remedy="choose one of them in matrix.risk_profiles",
        )
    window = estimate.window
    if window.regime not in settings.regime_caps:
        raise BadValue(
            f"allocation.regime_caps has no regime {window.regime!r}; it has {', '.join(settings.regime_caps)}",
            remedy="add the regime to allocation.regime_caps",
            regime=window.regime,
        )
    gamma = ridge(settings, window.regime, window.quadrant)
    solving = _Solving(estimate, profile, settings, gamma, turnover_price, previous_weights or {}, solvers)
    try:
        return solving.run()
    except Exception as error:  # the window becomes an error row; the run goes on
        reason = f"{type(error).__name__}: {error}"
        solving.note("guards", "none", "error", reason)
        return solving.empty("error", reason)


class _Solving:
    """The state of one solve: what was tried, and what happened."""

    def __init__(
        self,
        estimate: WindowEstimate,
        profile: RiskProfile,
        settings: AllocationSettings,
        gamma: float,
        price: float,
        previous: Mapping[str, float],
        solvers: Sequence[str],
    ) -> None:
        self.estimate = estimate
        self.profile: RiskProfile = profile
        self.settings = settings
        self.gamma = gamma
        self.price = price if settings.turnover_penalty else 0.0
        self.previous = previous
        self.solvers = solvers
        self.attempts: list[Attempt] = []
        self.events: list[Event] = list(estimate.events)

    def note(self, step: str, solver: str, status: str, reason: str, epsilon: float = float("nan")) -> None:
        moments = self.estimate.moments
        condition = (
            shrunk_condition(moments.smallest_eigenvalue, moments.largest_eigenvalue, epsilon)
            if moments is not None and not np.isnan(epsilon)
            else float("nan")
        )
        self.attempts.append(Attempt(len(self.attempts) + 1, step, solver, status, reason, condition, epsilon))

    def run(self) -> Allocation:
        count = self.estimate.cluster_count
        if count == 0:
            return self.empty("infeasible", self.estimate.failure)
        feasible = self._feasible(count)
        if feasible.refusal:
            return self.empty("infeasible", feasible.refusal)
        weights, status, reason = (
            self._equal_weight(feasible, count)
            if self.profile == "equal_weight"
            else self._min_variance(feasible, count)
        )
        if weights is None:
            return self.empty(status, reason)
        return self._finished(weights, feasible, status, reason)

    def _feasible(self, count: int) -> FeasibleSet:
        estimate, settings = self.estimate, self.settings
        window = estimate.window
        cap = min(settings.cluster_cap, settings.regime_caps[window.regime])  # type: ignore[index]
        exposure = None
        # A symbol with one atom holds at most cap * u of the book, so most windows need no rows for symbols.
        symbols = window.symbols[estimate.positions]
        reach = max(cap, 1.0 / count) * float(estimate.shares.max())
        if len(set(symbols.tolist())) < len(symbols) or reach > settings.asset_cap:
            compact = np.unique(symbols, return_inverse=True)[1]
            signs = window.signs[estimate.positions]
            exposure = symbol_exposure(estimate.clusters, estimate.shares, compact, signs, count)
        feasible = feasible_set(
            count, cap=cap, asset_cap=settings.asset_cap, policy=settings.cap_policy, exposure=exposure
        )
        if feasible.is_cap_relaxed:
            self._relaxed("cluster_cap", cap, feasible.cap)
        if feasible.is_asset_cap_relaxed:
            self._relaxed("asset_cap", settings.asset_cap, feasible.asset_cap)
        if feasible.budget < 1.0 and not feasible.refusal:
            self.events.append(
                Event("CASH_FROM_CAPS", "INFO", f"the caps hold {feasible.budget:.6g}; the rest is cash")
            )
        if count * cap < DEGENERATE_BELOW:
            self.events.append(
                Event("DEGENERATE_FEASIBLE_SET", "WARN", f"{count} clusters * cap {cap:g} = {count * cap:g}")
            )
        return feasible

    def _relaxed(self, name: str, asked: float, given: float) -> None:
        self.events.append(Event("CAP_RELAXED", "WARN", f"{name} {asked:g} raised to {given:.6g}"))

    def _equal_weight(self, feasible: FeasibleSet, count: int) -> tuple[FloatArray | None, Status, str]:
        weights = self._equal_step("equal_weight", feasible, count)
        if weights is None:
            return None, "error", self.attempts[-1].reason
        if self.estimate.failure:
            return weights, "fallback_equal_weight", self.estimate.failure
        return weights, "native", ""

    def _equal_step(self, step: str, feasible: FeasibleSet, count: int) -> FloatArray | None:
        try:
            weights = equal_weights(feasible, count)
        except Exception as error:  # the last rung: its failure is the status of the window
            self.note(step, "projection", "error", f"{type(error).__name__}: {error}")
            return None
        self.note(step, "projection", "optimal", "")
        return weights

    def _min_variance(self, feasible: FeasibleSet, count: int) -> tuple[FloatArray | None, Status, str]:
        if feasible.point is not None:
            self.note("only feasible point", "closed_form", "optimal", "")
            if self.estimate.failure:
                return feasible.point, "fallback_equal_weight", self.estimate.failure
            return feasible.point, "native", ""

        for epsilon in self.settings.correlation_shrinkage:
            weights = self._min_variance_step(epsilon, feasible, count)
            if weights is None:
                continue
            first = self.attempts[0]
            if len(self.attempts) == 1:
                return weights, "native", ""
            return weights, "retried", f"{first.step}, {first.solver} {first.status}: {first.reason}"

        first = self.attempts[0]
        reason = f"{first.step}, {first.solver} {first.status}: {first.reason}"
        self.note("engine custom", "none", "not_applicable", "the cell already runs on the engine custom")
        moments = self.estimate.moments
        try:
            if moments is None:
                raise DataContractError(self.estimate.failure)
            weights = inverse_volatility_weights(feasible, moments)
        except Exception as error:  # a rung of the ladder: the next one follows
            self.note("profile inverse_volatility", "projection", "error", f"{type(error).__name__}: {error}")
        else:
            self.note("profile inverse_volatility", "projection", "optimal", "")
            return weights, "fallback_profile", reason
        weights = self._equal_step("capped equal_weight", feasible, count)
        if weights is None:
            return None, "error", self.attempts[-1].reason
        return weights, "fallback_equal_weight", reason

    def _min_variance_step(self, epsilon: float, feasible: FeasibleSet, count: int) -> FloatArray | None:
        step = f"shrinkage {epsilon:g}"
        moments = self.estimate.moments
        if moments is None:
            self.note(step, "none", "rejected", self.estimate.failure)
            return None
        condition = shrunk_condition(moments.smallest_eigenvalue, moments.largest_eigenvalue, epsilon)
        if not condition <= self.settings.kappa_max:
            reason = f"KAPPA: condition number {condition:.6g} is above {self.settings.kappa_max:g}"
            self.note(step, "none", "rejected", reason, epsilon)
            return None
        try:
            program = minimum_variance_program(
                moments,
                feasible,
                epsilon=epsilon,
                variance_floor=self.settings.variance_floor,
                gamma=self.gamma,
                fragility_weight=self.settings.fragility,
                turnover_price=self.price,
                previous=self._previous_by_cluster(count) if self.price > 0 else None,
            )
            solution = solve(program, self.solvers)
        except Exception as error:  # a rung of the ladder: the next one follows
            self.note(step, "none", "error", f"{type(error).__name__}: {error}", epsilon)
            return None
        for tried in solution.tries:
            self.note(step, tried.solver, tried.status, tried.reason, epsilon)
        return solution.weights

    def _previous_by_cluster(self, count: int) -> FloatArray:
        estimate = self.estimate
        held = [self.previous.get(estimate.window.atom_ids[position], 0.0) for position in estimate.positions]
        return np.bincount(estimate.clusters, weights=held, minlength=count).astype(np.float64)

    def _finished(self, cluster_weights: FloatArray, feasible: FeasibleSet, status: Status, reason: str) -> Allocation:
        estimate, window = self.estimate, self.estimate.window
        atoms = len(window.atom_ids)
        atom_weights, shares = np.zeros(atoms), np.zeros(atoms)
        cluster_ids = np.full(atoms, -1, dtype=np.int64)
        cluster_ids[estimate.positions] = estimate.clusters + 1
        shares[estimate.positions] = estimate.shares
        atom_weights[estimate.positions] = cluster_weights[estimate.clusters] * estimate.shares
        invested = float(atom_weights.sum())
        if not invested > EMPTY_WEIGHT:
            return self.empty("error", f"EMPTY_WEIGHTS: the weights sum to {invested:.3g}")
        # Cash is what the budget leaves; the guard then checks it against what was invested.
        cash = 1.0 - feasible.budget
        net = flatten(atom_weights, window.symbols, window.signs, int(window.symbols.max()) + 1)
        require_no_leak(atom_weights, window.signs, net, cash)
        require_caps(cluster_weights, feasible.cap, net, feasible.asset_cap)
        largest_cluster, largest_symbol = float(cluster_weights.max()), float(np.abs(net).max())
        gross = float(np.abs(net).sum())
        constraints = (
            ConstraintRow("budget", feasible.budget, invested, True, False),
            _upper("cluster_cap", feasible.cap, largest_cluster, feasible.is_cap_relaxed),
            _upper("asset_cap", feasible.asset_cap, largest_symbol, feasible.is_asset_cap_relaxed),
            _upper("gross", 1.0, gross, False),
        )
        return Allocation(
            window_index=window.window_index,
            profile=self.profile,
            status=status,
            fallback_reason=reason,
            atom_ids=window.atom_ids,
            cluster_ids=cluster_ids,
            shares=shares,
            cluster_weights=cluster_weights,
            atom_weights=atom_weights,
            cash=cash,
            attempts=tuple(self.attempts),
            constraints=constraints,
            events=tuple(self.events),
        )

    def empty(self, status: Status, reason: str) -> Allocation:
        estimate, window = self.estimate, self.estimate.window
        atoms = len(window.atom_ids)
        cluster_ids, shares = np.full(atoms, -1, dtype=np.int64), np.zeros(atoms)
        cluster_ids[estimate.positions] = estimate.clusters + 1
        shares[estimate.positions] = estimate.shares
        return Allocation(
            window_index=window.window_index,
            profile=self.profile,
            status=status,
            fallback_reason=reason,
            atom_ids=window.atom_ids,
            cluster_ids=cluster_ids,
            shares=shares,
            cluster_weights=np.zeros(estimate.cluster_count),
            atom_weights=np.zeros(atoms),
            cash=1.0,
            attempts=tuple(self.attempts),
            constraints=(),
            events=(*self.events, Event(status.upper(), "ERROR", reason)),
        )


def _upper(name: str, bound: float, value: float, is_relaxed: bool) -> ConstraintRow:
    return ConstraintRow(name, bound, value, bound - value <= BINDING_SLACK, is_relaxed)


def _window(
    returns: FloatArray,
    atom_ids: Sequence[str],
    symbols: IntArray,
    signs: IntArray,
    request: WindowRequest,
    first_valid_rows: IntArray | None,
) -> WindowInput:
    if not 0 <= request.first_row <= request.decision_row < len(returns):
        raise DataContractError(
            f"window {request.window_index} asks for rows {request.first_row} to {request.decision_row}; "
            f"the matrix has {len(returns)}",
            remedy="build the windows on the sessions of the same run",
        )
    columns = np.asarray(request.columns, dtype=np.int64)
    # Rows after the decision are cut off here, before anything is computed.
    rows = returns[request.first_row : request.decision_row + 1]
    return WindowInput(
        window_index=request.window_index,
        atom_ids=tuple(atom_ids[column] for column in request.columns),
        returns=rows if len(columns) == rows.shape[1] else rows[:, columns],
        symbols=symbols[columns],
        signs=signs[columns],
        regime=request.regime,
        quadrant=request.quadrant,
        is_young=None if first_valid_rows is None else first_valid_rows[columns] > request.first_row,
    )
