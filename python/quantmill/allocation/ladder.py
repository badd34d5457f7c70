"""The ladder of fallbacks: one profile on one estimate by one engine, whatever happens on the way.

Rungs: (1) to (4) the engine at growing shrinkage of the correlation, (5) the engine `custom`, (6) another
profile, (7) capped equal weights. Every step is an attempt with a status and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.engines import find_engine
from quantmill.allocation.engines.contract import (
    MEAN_PROFILES,
    Engine,
    Request,
    RiskProfile,
    best_excess,
    shared_covariance,
)
from quantmill.allocation.estimators import Event, WindowEstimate, shrunk_condition
from quantmill.allocation.feasible import (
    DEGENERATE_BELOW,
    FeasibleSet,
    equal_weights,
    feasible_set,
    inverse_volatility_weights,
)
from quantmill.allocation.layers import flatten, require_caps, require_no_leak, symbol_exposure
from quantmill.allocation.quadratic import SOLVER_ORDER
from quantmill.errors import BadValue, DataContractError

if TYPE_CHECKING:
    from quantmill.manifest.settings import AllocationSettings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
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

BINDING_SLACK = 1e-6
HOUSE_ENGINE = "custom"
INVERSE_VOLATILITY: Literal["inverse_volatility"] = "inverse_volatility"
# Rung (6): what stands in for a profile that no shrinkage and no engine could solve.
FALLBACK_PROFILES: Mapping[RiskProfile, RiskProfile | Literal["inverse_volatility"]] = {
    "max_sharpe": "min_variance",
    "hrp": "risk_parity",
    "risk_parity": INVERSE_VOLATILITY,
    "min_variance": INVERSE_VOLATILITY,
}
EMPTY_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True)
class Attempt:
    """One step of the ladder, or one call of a solver within it.

    `status` is `optimal`, `inaccurate`, `rejected`, `error` or `not_applicable`; `reason` is empty only for
    `optimal`. `engine_used` and `profile_used` are what was tried. `condition_number` is that of the shrunk
    correlation, `shrinkage` its epsilon; both NaN where none was estimated.
    """

    attempt: int
    step: str
    solver: str
    status: str
    reason: str
    condition_number: float
    shrinkage: float
    engine_used: str
    profile_used: str


@dataclass(frozen=True, slots=True)
class ConstraintRow:
    """One constraint of a solved window: the bound in force, the value against it, and whether it was relaxed.

    Each type has a row with its largest value and no unit, and each unit that reaches its bound a row of its
    own, named `type:unit`. A unit is a cluster from 1 for `cluster_cap`, a number of `WindowInput.symbols` for
    `asset_cap`.
    """

    constraint_name: str
    bound: float
    value: float
    is_binding: bool
    is_relaxed: bool
    constraint_type: str
    unit: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """The weights of one profile in one window, and how they came about.

    Arrays over atoms stand in the order of `atom_ids`, removed atoms included: `cluster_ids` counts from 1
    and is -1 for a removed atom, `shares` is Layer 2 (0 if removed), `atom_weights` are fractions of the
    book, never negative. `cluster_weights` (K) belong to clusters 1..K. `cash` is 1 - sum of the weights.
    `ex_ante_volatility` and `ex_ante_return` are annual, by the shared covariance on the first rung and the
    mean; NaN where nothing was estimated. `fallback_reason` is empty only for `native` and `composed`. A
    status of `infeasible` or `error` comes with zero weights and all cash.
    """

    window_index: int
    engine: str
    profile: RiskProfile
    status: Status
    fallback_reason: str
    atom_ids: tuple[str, ...]
    cluster_ids: IntArray
    shares: FloatArray
    cluster_weights: FloatArray
    atom_weights: FloatArray
    cash: float
    ex_ante_volatility: float
    ex_ante_return: float
    attempts: tuple[Attempt, ...]
    constraints: tuple[ConstraintRow, ...]
    events: tuple[Event, ...]

    def weights_by_atom(self) -> dict[str, float]:
        """Weight of each atom by its id."""
        return dict(zip(self.atom_ids, self.atom_weights.tolist(), strict=True))


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
    engine: str = HOUSE_ENGINE,
    turnover_price: float = 0.0,
    previous_weights: Mapping[str, float] | None = None,
    solvers: Sequence[str] = SOLVER_ORDER,
) -> Allocation:
    """Return the allocation of one profile on one estimate by one engine, through the ladder of fallbacks.

    `turnover_price` is kappa_c per year and `previous_weights` the weights by atom before the trade (None or
    empty: all cash); both are read only where `settings.turnover_penalty` is on. `solvers` are those of the
    engine `custom`. What the engine delegates is solved by `custom` and comes back as `delegated`, weight for
    weight. An unknown engine or profile and settings that cannot be used raise `BadValue`; anything else that
    goes wrong is a status and a reason.
    """
    asked = find_engine(engine)
    if profile not in asked.capabilities:
        raise BadValue(
            f"the engine {engine} has no profile {profile!r}; it has {', '.join(asked.capabilities)}",
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
    is_delegated = asked.capabilities[profile] == "delegated"
    solving = _Solving(
        estimate,
        find_engine(HOUSE_ENGINE) if is_delegated else asked,
        profile,
        settings,
        gamma,
        turnover_price,
        previous_weights or {},
        solvers,
    )
    try:
        found = solving.run()
    except Exception as error:  # the window becomes an error row; the run goes on
        reason = f"{type(error).__name__}: {error}"
        solving.note("guards", "none", "error", reason)
        found = solving.empty("error", reason)
    if not is_delegated:
        return found
    if found.status in ("native", "composed", "retried"):
        found = replace(found, status="delegated", fallback_reason=asked.delegated_because[profile])
    return replace(found, engine=engine)


def unavailable(estimate: WindowEstimate, engine: str, profile: RiskProfile, reason: str) -> Allocation:
    """Return the record of a window whose engine is not there: an error in cash, and nothing in its place."""
    window = estimate.window
    atoms = len(window.atom_ids)
    return Allocation(
        window_index=window.window_index,
        engine=engine,
        profile=profile,
        status="error",
        fallback_reason=reason,
        atom_ids=window.atom_ids,
        cluster_ids=np.full(atoms, -1, dtype=np.int64),
        shares=np.zeros(atoms),
        cluster_weights=np.zeros(0),
        atom_weights=np.zeros(atoms),
        cash=1.0,
        ex_ante_volatility=float("nan"),
        ex_ante_return=float("nan"),
        attempts=(Attempt(1, "engine", "none", "rejected", reason, float("nan"), float("nan"), engine, profile),),
        constraints=(),
        events=(Event("ENGINE_UNAVAILABLE", "ERROR", reason),),
    )


class _Solving:
    """The state of one solve: what was tried, and what happened."""

    def __init__(
        self,
        estimate: WindowEstimate,
        engine: Engine,
        profile: RiskProfile,
        settings: AllocationSettings,
        gamma: float,
        price: float,
        previous: Mapping[str, float],
        solvers: Sequence[str],
    ) -> None:
        self.estimate = estimate
        self.engine = engine
        self.profile: RiskProfile = profile
        self.settings = settings
        self.gamma = gamma
        self.price = price if settings.turnover_penalty else 0.0
        self.previous = previous
        self.solvers = tuple(solvers)
        self.attempts: list[Attempt] = []
        self.events: list[Event] = list(estimate.events)

    def note(
        self,
        step: str,
        solver: str,
        status: str,
        reason: str,
        epsilon: float = float("nan"),
        *,
        engine: str = "",
        profile: str = "",
    ) -> None:
        moments = self.estimate.moments
        condition = (
            shrunk_condition(moments.smallest_eigenvalue, moments.largest_eigenvalue, epsilon)
            if moments is not None and not np.isnan(epsilon)
            else float("nan")
        )
        self.attempts.append(
            Attempt(
                len(self.attempts) + 1,
                step,
                solver,
                status,
                reason,
                condition,
                epsilon,
                engine or self.engine.name,
                profile or self.profile,
            )
        )

    def run(self) -> Allocation:
        count = self.estimate.cluster_count
        if count == 0:
            return self.empty("infeasible", self.estimate.failure)
        feasible = self._feasible(count)
        if feasible.refusal:
            return self.empty("infeasible", feasible.refusal)
        weights, status, reason = (
            self._equal_weight(feasible, count) if self.profile == "equal_weight" else self._climb(feasible, count)
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
        return weights, self._own_status(), ""

    def _equal_step(self, step: str, feasible: FeasibleSet, count: int) -> FloatArray | None:
        try:
            weights = equal_weights(feasible, count)
        except Exception as error:  # the last rung: its failure is the status of the window
            self.note(
                step,
                "projection",
                "error",
                f"{type(error).__name__}: {error}",
                engine=HOUSE_ENGINE,
                profile="equal_weight",
            )
            return None
        self.note(step, "projection", "optimal", "", engine=HOUSE_ENGINE, profile="equal_weight")
        return weights

    def _own_status(self) -> Status:
        return self.engine.capabilities[self.profile]

    def _climb(self, feasible: FeasibleSet, count: int) -> tuple[FloatArray | None, Status, str]:
        if feasible.point is not None:
            self.note("only feasible point", "closed_form", "optimal", "")
            if self.estimate.failure:
                return feasible.point, "fallback_equal_weight", self.estimate.failure
            return feasible.point, self._own_status(), ""

        blocked = self._blocked(feasible, count)
        if not blocked:
            weights = self._rungs("", self.engine, self.profile, feasible, count)
            if weights is not None:
                if len(self.attempts) == 1:
                    return weights, self._own_status(), ""
                return weights, "retried", self._first_failure()
            if self.engine.name == HOUSE_ENGINE:
                self.note("engine custom", "none", "not_applicable", "the cell already runs on the engine custom")
            else:
                house = find_engine(HOUSE_ENGINE)
                weights = self._rungs("engine custom, ", house, self.profile, feasible, count)
                if weights is not None:
                    return weights, "fallback_engine", self._first_failure()
        reason = self._first_failure()
        weights = self._other_profile(feasible, count)
        if weights is not None:
            return weights, "fallback_profile", blocked or reason
        weights = self._equal_step("capped equal_weight", feasible, count)
        if weights is None:
            return None, "error", self.attempts[-1].reason
        return weights, "fallback_equal_weight", blocked or reason

    def _first_failure(self) -> str:
        """Return what first stood in the way: what a solver found may have been refused after it."""
        refused = [one for one in self.attempts if one.status in ("rejected", "error")]
        first = (refused or [one for one in self.attempts if one.status != "optimal"] or self.attempts)[0]
        return f"{first.step}, {first.solver} {first.status}: {first.reason}"

    def _blocked(self, feasible: FeasibleSet, count: int) -> str:
        """Return why the means cannot carry the profile, empty where they can or it does not read them."""
        if self.profile not in MEAN_PROFILES or self.estimate.moments is None:
            return ""
        rows, needed = self.estimate.session_count, self.settings.mean_rows_min
        reason = ""
        if rows < needed:
            code, reason = "MEAN_ROWS_SHORT", f"{rows} rows; a mean needs {needed}"
        else:
            request = self._request(self.profile, self.settings.correlation_shrinkage[0], feasible, count)
            best = best_excess(request)
            # NaN is no positive return either.
            if not (request.excess.max() > 0 and best > 0):
                code = "ALL_NEGATIVE_MEAN"
                single = float(request.excess.max())
                reason = f"the best allowed excess return is {best:.6g} a year, of a single cluster {single:.6g}"
        if not reason:
            return ""
        self.events.append(Event(code, "WARN", reason))
        self.note("precheck", "none", "rejected", f"{code}: {reason}")
        return f"{code}: {reason}"

    def _other_profile(self, feasible: FeasibleSet, count: int) -> FloatArray | None:
        other = FALLBACK_PROFILES[self.profile]
        if other != INVERSE_VOLATILITY:
            return self._rungs(f"profile {other}, ", find_engine(HOUSE_ENGINE), other, feasible, count)
        step, moments = f"profile {INVERSE_VOLATILITY}", self.estimate.moments
        try:
            if moments is None:
                raise DataContractError(self.estimate.failure)
            weights = inverse_volatility_weights(feasible, moments)
        except Exception as error:  # a rung of the ladder: the next one follows
            reason = f"{type(error).__name__}: {error}"
            self.note(step, "projection", "error", reason, engine=HOUSE_ENGINE, profile=other)
            return None
        self.note(step, "projection", "optimal", "", engine=HOUSE_ENGINE, profile=other)
        return weights

    def _rungs(
        self, prefix: str, engine: Engine, profile: RiskProfile, feasible: FeasibleSet, count: int
    ) -> FloatArray | None:
        for epsilon in self.settings.correlation_shrinkage:
            weights = self._rung(f"{prefix}shrinkage {epsilon:g}", engine, profile, epsilon, feasible, count)
            if weights is not None:
                return weights
        return None

    def _rung(
        self, step: str, engine: Engine, profile: RiskProfile, epsilon: float, feasible: FeasibleSet, count: int
    ) -> FloatArray | None:
        def note(solver: str, status: str, reason: str, shrinkage: float = epsilon) -> None:
            self.note(step, solver, status, reason, shrinkage, engine=engine.name, profile=profile)

        moments = self.estimate.moments
        if moments is None:
            note("none", "rejected", self.estimate.failure, float("nan"))
            return None
        condition = shrunk_condition(moments.smallest_eigenvalue, moments.largest_eigenvalue, epsilon)
        if not condition <= self.settings.kappa_max:
            note(
                "none",
                "rejected",
                f"KAPPA: condition number {condition:.6g} is above {self.settings.kappa_max:g}",
            )
            return None
        try:
            request = self._request(profile, epsilon, feasible, count)
            solution = engine.solve(request)
            tries, weights = solution.tries, solution.weights
        except Exception as error:  # a rung of the ladder: the next one follows
            note("none", "error", f"{type(error).__name__}: {error}")
            return None
        for tried in tries:
            note(tried.solver, tried.status, tried.reason)
        if weights is None:
            return None
        if not weights.sum() > EMPTY_WEIGHT:
            note("none", "rejected", f"EMPTY_WEIGHTS: the weights sum to {weights.sum():.3g}")
            return None
        if profile in MEAN_PROFILES:
            sharpe = _sharpe(request, weights)
            if not sharpe <= self.settings.sharpe_max:
                reason = f"SHARPE_HIGH: in-sample Sharpe ratio {sharpe:.6g} is above {self.settings.sharpe_max:g}"
                note("none", "rejected", reason)
                return None
        # Of several tries the accepted one is the last.
        if tries[-1].status == "inaccurate":
            detail = f"{step}, {tries[-1].solver}: {tries[-1].reason}"
            self.events.append(Event("SOLVER_INACCURATE", "INFO", detail))
        return weights

    def _request(self, profile: RiskProfile, epsilon: float, feasible: FeasibleSet, count: int) -> Request:
        settings, moments = self.settings, self.estimate.moments
        if moments is None:
            raise DataContractError(self.estimate.failure)
        gamma = max(self.gamma, settings.l2_floor_max_sharpe) if profile == "max_sharpe" else self.gamma
        # Where the mean tail loss is no loss the term is undefined and left out; the estimate carries an
        # event for it.
        defined = settings.fragility > 0 and not np.isnan(moments.fragility[0])
        return Request(
            profile=profile,
            covariance=shared_covariance(moments, epsilon, settings.variance_floor),
            mean_variance=moments.mean_variance,
            mean=moments.mean,
            streams=self.estimate.streams,
            fragility=moments.fragility if defined else np.zeros(count),
            feasible=feasible,
            periods_per_year=self.estimate.periods_per_year,
            gamma=gamma,
            fragility_weight=settings.fragility,
            risk_free_annual=settings.risk_free_annual,
            turnover_price=self.price,
            previous=self._previous_by_cluster(count) if self.price > 0 else None,
            hrp_variant=settings.hrp_variant,
            solvers=self.solvers,
        )

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
            ConstraintRow("budget", feasible.budget, invested, True, False, "budget"),
            _upper("cluster_cap", feasible.cap, largest_cluster, feasible.is_cap_relaxed),
            *_reached("cluster_cap", feasible.cap, cluster_weights, feasible.is_cap_relaxed, 1),
            _upper("asset_cap", feasible.asset_cap, largest_symbol, feasible.is_asset_cap_relaxed),
            *_reached("asset_cap", feasible.asset_cap, np.abs(net), feasible.is_asset_cap_relaxed, 0),
            _upper("gross", 1.0, gross, False),
        )
        volatility, mean = self._ex_ante(cluster_weights)
        return Allocation(
            window_index=window.window_index,
            engine=self.engine.name,
            profile=self.profile,
            status=status,
            fallback_reason=reason,
            atom_ids=window.atom_ids,
            cluster_ids=cluster_ids,
            shares=shares,
            cluster_weights=cluster_weights,
            atom_weights=atom_weights,
            cash=cash,
            ex_ante_volatility=volatility,
            ex_ante_return=mean,
            attempts=tuple(self.attempts),
            constraints=constraints,
            events=tuple(self.events),
        )

    def _ex_ante(self, weights: FloatArray) -> tuple[float, float]:
        """Annual volatility and return of cluster weights; an event where the volatility leaves its band."""
        moments, settings = self.estimate.moments, self.settings
        if moments is None:
            return float("nan"), float("nan")
        covariance = shared_covariance(moments, settings.correlation_shrinkage[0], settings.variance_floor)
        volatility = float(np.sqrt(weights @ covariance @ weights))
        band = settings.volatility_bands.get(self.profile)
        if band is not None and volatility > band:
            detail = f"ex-ante volatility {volatility:.6g} a year is above the band {band:g} of {self.profile}"
            self.events.append(Event("VOL_BAND_EXCEEDED", "WARN", detail))
        return volatility, float(moments.mean @ weights)

    def empty(self, status: Status, reason: str) -> Allocation:
        estimate, window = self.estimate, self.estimate.window
        atoms = len(window.atom_ids)
        cluster_ids, shares = np.full(atoms, -1, dtype=np.int64), np.zeros(atoms)
        cluster_ids[estimate.positions] = estimate.clusters + 1
        shares[estimate.positions] = estimate.shares
        return Allocation(
            window_index=window.window_index,
            engine=self.engine.name,
            profile=self.profile,
            status=status,
            fallback_reason=reason,
            atom_ids=window.atom_ids,
            cluster_ids=cluster_ids,
            shares=shares,
            cluster_weights=np.zeros(estimate.cluster_count),
            atom_weights=np.zeros(atoms),
            cash=1.0,
            ex_ante_volatility=float("nan"),
            ex_ante_return=float("nan"),
            attempts=tuple(self.attempts),
            constraints=(),
            events=(*self.events, Event(status.upper(), "ERROR", reason)),
        )


def _sharpe(request: Request, weights: FloatArray) -> float:
    """Annual Sharpe ratio of cluster weights in the rows that they were estimated on."""
    excess = float((request.mean - request.risk_free_annual) @ weights)
    return excess / float(np.sqrt(weights @ request.covariance @ weights))


def _upper(name: str, bound: float, value: float, is_relaxed: bool) -> ConstraintRow:
    return ConstraintRow(name, bound, value, bound - value <= BINDING_SLACK, is_relaxed, name)


def _reached(name: str, bound: float, values: FloatArray, is_relaxed: bool, first: int) -> list[ConstraintRow]:
    """A row for each unit whose value reaches the bound; units count from `first`."""
    return [
        ConstraintRow(f"{name}:{place + first}", bound, float(values[place]), True, is_relaxed, name, place + first)
        for place in np.flatnonzero(values >= bound - BINDING_SLACK).tolist()
    ]
