"""The scoreboard: every cell against every gate, who is a candidate, and in which order they are shown.

Gates read published metrics and add no number of their own but a limit and a margin. Thresholds are settings.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from quantmill.errors import DataContractError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantmill.judgement.metrics import MetricRow
    from quantmill.manifest.settings import GateSettings

GateStatus = Literal["ok", "missing", "insufficient", "undefined", "not_applicable"]
Tier = Literal["smoke", "strict", "promotable"]

ZERO_COST = "gross"
# Best first: the row of a configuration that is ranked is the one of its best simulator.
FIDELITY = ("nautilus", "cvxportfolio", "vectorbt", "custom")
RANKED_CONFIGS = ("native", "composed")
INSOLVENT = ("liquidated", "bankrupt")
# Statuses of a cell that its simulator finished, however it ended.
FINISHED = ("ok", "empty", *INSOLVENT)
# What the tier `promotable` asks beyond `strict` and no stage computes yet (T5.2).
NOT_COMPUTED = ("dsr", "pbo", "ci", "lag1", "cost_stress", "sub_period", "regime")
# Sharpe ratios and limits such as 0.3 are not exact in binary: on the limit means within this.
ON_THE_LIMIT = 1e-12
# Two ways to the same portfolio differ in the last bits, which must not decide who is first.
RANKED_DECIMALS = 9

# The gates in the order in which they are judged and their vetoes listed, each with what passes (T5.1).
GATES = {
    "friction_decay": "1 - net Sharpe / gross Sharpe at or below the limit; a gross Sharpe not above 0 fails",
    "temporal_fragility": "variation of window ratios at or below the limit, which widens for short windows",
    "selection_jaccard": "mean overlap of consecutive holdings, with sign, at or above the limit",
    "af_dist": "skew + log tail ratio at or above the limit",
    "stress_alpha": "mean excess over the reference in its worst tenth at or above the limit",
    "turnover": "mean one-way turnover of a window, its decision and what mode daily trades after it, within the limit",
    "cvar_mult": "tail loss over the market's at or below the limit",
    "mdd_mult": "drawdown over the market's at or below the limit",
    "sim_parity": "annual return gap between simulators below the limit, and the Sharpe gap within its own",
    "beta": "recent beta of min_variance, size of that of market_neutral, at or below the limit",
    "concentration": "largest cluster of any window at or below the limit",
    "coverage": "every planned window simulated, and the share of accepted solves at or above the limit",
    "solvency": "neither liquidated nor bankrupt",
    "integrity": "no weight against its direction; metrics that disagree or a broken ledger stop the build instead",
}


@dataclass(frozen=True, slots=True)
class ParityGaps:
    """How far simulators of a configuration are apart: cagr and Sharpe ratio, both as sizes."""

    annual_return: float
    sharpe: float


@dataclass(frozen=True, slots=True)
class Entrant:
    """One cell as the scoreboard sees it.

    `status` is the cell's, `config_status` the configuration's. `metrics`: its rows of `cell_metrics` by name; a
    metric that is not there is missing. `parity` is None where no second simulator ran.
    """

    cell_id: str
    config_id: str
    window_set: str
    engine: str
    risk_profile: str
    simulator: str
    cost_model: str
    execution: str
    mode: str
    is_baseline: bool
    status: str
    config_status: str
    metrics: Mapping[str, MetricRow]
    parity: ParityGaps | None = None

    @property
    def is_zero_cost(self) -> bool:
        """Whether this is the zero-cost twin: evidence for another cell, never a candidate itself."""
        return self.cost_model == ZERO_COST

    def value(self, metric: str) -> float | None:
        """Return the value of a metric, None where it cannot be had."""
        found = self.metrics.get(metric)
        return None if found is None else found.value


class GateRow(NamedTuple):
    """A cell at a gate. Without a verdict `is_passed` is None, and `status` says what was missing.

    `margin`: distance to the limit, negative on the failing side. `is_informational`: shown and never a veto.
    `veto_code`: what stands against the cell; `is_veto`: whether it counts under the tier.
    """

    gate: str
    value: float | None
    limit: float | None
    margin: float | None
    is_passed: bool | None
    status: GateStatus
    is_informational: bool
    is_veto: bool
    veto_code: str | None
    reason: str | None


class ScoreRow(NamedTuple):
    """The verdict on a cell.

    `veto_reasons`: codes that count, in order of the gates, then those of other simulators. `missing_inputs`:
    codes of inputs that are not there and, under the tier smoke, do not count. `not_candidate_reason`: vetoed,
    baseline, zero_cost_twin or tier_smoke, None for a candidate. `promotion_blockers`: never empty. `rank`: from
    1 within the window set, None with an `unranked_reason`. `duplicate_of`: the configuration whose rank this one
    shares, where the reason is `duplicate`. `warnings`: codes.
    """

    cell_id: str
    gates: tuple[GateRow, ...]
    veto_reasons: tuple[str, ...]
    missing_inputs: tuple[str, ...]
    is_strict_candidate: bool
    not_candidate_reason: str | None
    is_promotable: bool
    promotion_blockers: tuple[str, ...]
    rank: int | None
    unranked_reason: str | None
    duplicate_of: str | None
    warnings: tuple[str, ...]


def judge_gates(
    entrant: Entrant, *, gates: GateSettings, tier: Tier, test_sessions: int, bankrupt_below: float
) -> tuple[GateRow, ...]:
    """Return the cell at every gate, in the order of `GATES`.

    `test_sessions`: length of the test of the cell's window set. `bankrupt_below`: share of the start below which the
    simulator closes a book. An input that is missing, insufficient or
    undefined gives no verdict and vetoes, except under the tier smoke.
    """
    judge = _Judge(entrant, gates, tier)
    is_market = entrant.is_baseline and entrant.risk_profile == "market"
    commodity_share = entrant.value("commodity_share")
    is_commodity = commodity_share is not None and commodity_share >= gates.commodity_share
    multiple = gates.commodity_mult if is_commodity else None
    patience = max(1.0, math.sqrt(gates.fragility_sessions / test_sessions))
    return (
        _friction_decay(judge),
        judge.at_most("temporal_fragility", "temporal_fragility", gates.temporal_fragility * patience),
        judge.exempt("selection_jaccard", "the market baseline selects nothing")
        if is_market
        else judge.at_least("selection_jaccard", "selection_jaccard", gates.selection_jaccard),
        judge.at_least("af_dist", "af_dist", gates.af_dist),
        judge.at_least("stress_alpha", "stress_alpha", gates.stress_alpha),
        judge.at_most("turnover", "window_turnover", gates.turnover),
        judge.at_most("cvar_mult", "cvar_mult", gates.cvar_mult if multiple is None else multiple),
        judge.at_most("mdd_mult", "mdd_mult", gates.mdd_mult if multiple is None else multiple),
        _sim_parity(judge, is_commodity),
        _beta(judge),
        _concentration(judge),
        _coverage(judge),
        _solvency(judge, bankrupt_below),
        _integrity(judge),
    )


def score(
    entrants: Sequence[Entrant],
    *,
    gates: GateSettings,
    tier: Tier,
    test_sessions: Mapping[str, int],
    bankrupt_below: float,
    required_simulators: Sequence[str],
    cost_models: Sequence[str],
    engines: Sequence[str],
    net_returns: Mapping[str, NDArray[np.float64]],
    universe_basis: Literal["pit", "static"],
    in_sample_window_sets: Collection[str] = (),
) -> list[ScoreRow]:
    """Return the verdict on every cell, in the order of `entrants`.

    A configuration is a candidate only if the rows of all its simulators pass and all `required_simulators` have
    one, so the failure of one stands against the others too. Ranked, within each window set because spans differ,
    are the configurations that are neither baselines nor solved by somebody else, at the first of `cost_models`
    that has costs, in their best simulator: by Sharpe ratio, then lower turnover a year, both to 9 decimals, then the
    place of their engine in `engines`, then `config_id`. One whose net returns have a correlation above
    `gates.duplicate_correlation` with those of a ranked one counts as the same portfolio and shares its rank (T5.4).

    `net_returns`: by cell_id, (m,) returns on one grid of sessions for all cells, NaN where a cell has no session; a
    cell that is not there resembles none. `in_sample_window_sets`: those with a decision whose regime was weighed by
    weights tuned on what came at or after it; none of their cells is promotable.

    Raises `DataContractError` for a cell that appears twice.
    """
    ids = [entrant.cell_id for entrant in entrants]
    if len(set(ids)) != len(ids):
        repeated = next(cell_id for cell_id in ids if ids.count(cell_id) > 1)
        raise DataContractError(f"cell {repeated} enters twice", remedy="pass each cell once", cell_id=repeated)
    judged = {
        entrant.cell_id: judge_gates(
            entrant,
            gates=gates,
            tier=tier,
            test_sessions=test_sessions[entrant.window_set],
            bankrupt_below=bankrupt_below,
        )
        for entrant in entrants
    }
    siblings: dict[tuple[str, str, str, str], list[Entrant]] = {}
    for entrant in entrants:
        siblings.setdefault(_twin_key(entrant), []).append(entrant)
    ranked, unranked = _ranks(entrants, cost_models, engines)
    ranks, copies = _count_once(ranked, net_returns, gates.duplicate_correlation)
    rows = []
    for entrant in entrants:
        own = judged[entrant.cell_id]
        others = [other for other in siblings[_twin_key(entrant)] if other.simulator != entrant.simulator]
        present = {other.simulator for other in (entrant, *others) if other.status in FINISHED}
        absent = [f"missing:simulator:{name}" for name in required_simulators if name not in present]
        vetoes = [row.veto_code for row in own if row.is_veto and row.veto_code is not None]
        vetoes += [
            f"simulator:{other.simulator}"
            for other in sorted(others, key=lambda other: other.simulator)
            if any(row.is_veto for row in judged[other.cell_id])
        ]
        inputs = [row.veto_code for row in own if not row.is_veto and row.is_passed is None and row.veto_code]
        (inputs if tier == "smoke" else vetoes).extend(absent)
        reason = _not_candidate(entrant, vetoes, tier)
        is_market = entrant.is_baseline and entrant.risk_profile == "market" and not entrant.is_zero_cost
        rows.append(
            ScoreRow(
                cell_id=entrant.cell_id,
                gates=own,
                veto_reasons=tuple(vetoes),
                missing_inputs=tuple(inputs),
                is_strict_candidate=reason is None,
                not_candidate_reason=reason,
                is_promotable=False,
                promotion_blockers=_promotion_blockers(
                    entrant, reason, gates, universe_basis, entrant.window_set in in_sample_window_sets
                ),
                rank=ranks.get(entrant.cell_id),
                unranked_reason="duplicate" if entrant.cell_id in copies else unranked.get(entrant.cell_id),
                duplicate_of=copies.get(entrant.cell_id),
                warnings=("MARKET_PASSES_ALL_GATES",) if is_market and _passes_all(own) else (),
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Judge:
    """Turns a value and a limit into a row, with the rules that all gates share."""

    entrant: Entrant
    gates: GateSettings
    tier: Tier

    def exempt(self, gate: str, reason: str) -> GateRow:
        return GateRow(gate, None, None, None, None, "not_applicable", False, False, None, reason)

    def without(self, gate: str, status: GateStatus, reason: str, limit: float | None) -> GateRow:
        return GateRow(gate, None, limit, None, None, status, False, self.tier != "smoke", f"{status}:{gate}", reason)

    def input_of(self, gate: str, metric: str, limit: float | None) -> float | GateRow:
        """Return the value of `metric`, or the row that says why it cannot be had."""
        found = self.entrant.metrics.get(metric)
        if found is None:
            return self.without(gate, "missing", f"{metric} was not measured", limit)
        if found.value is not None:
            return found.value
        is_absent = found.status == "undefined" and found.observation_count == 0
        status: GateStatus = "missing" if is_absent else "undefined" if found.status == "undefined" else "insufficient"
        return self.without(gate, status, f"{metric}: {found.reason}", limit)

    def at_most(self, gate: str, metric: str, limit: float, *, is_informational: bool = False) -> GateRow:
        found = self.input_of(gate, metric, limit)
        if isinstance(found, GateRow):
            return found
        return self.verdict(gate, found, limit, limit - found, is_informational=is_informational)

    def at_least(self, gate: str, metric: str, limit: float) -> GateRow:
        found = self.input_of(gate, metric, limit)
        return found if isinstance(found, GateRow) else self.verdict(gate, found, limit, found - limit)

    def verdict(
        self,
        gate: str,
        value: float,
        limit: float,
        margin: float,
        *,
        is_passed: bool | None = None,
        is_informational: bool = False,
        reason: str | None = None,
    ) -> GateRow:
        passed = margin >= -ON_THE_LIMIT if is_passed is None else is_passed
        is_veto = not passed and not is_informational
        return GateRow(
            gate, value, limit, margin, passed, "ok", is_informational, is_veto, gate if is_veto else None, reason
        )


def _friction_decay(judge: _Judge) -> GateRow:
    gate, limit = "friction_decay", judge.gates.friction_decay
    if judge.entrant.is_zero_cost:
        return judge.exempt(gate, "the zero-cost twin has no costs")
    before_costs = judge.entrant.value("gross_sharpe")
    if before_costs is not None and before_costs <= 0.0:
        # There is nothing that costs could take a share of, which is worse than losing a share.
        reason = f"the Sharpe ratio before costs is {before_costs:.6g}"
        return GateRow(gate, None, limit, None, False, "undefined", False, True, "gross_nonpositive", reason)
    return judge.at_most(gate, gate, limit)


def _sim_parity(judge: _Judge, is_commodity: bool) -> GateRow:
    gates, gaps, gate = judge.gates, judge.entrant.parity, "sim_parity"
    limit = gates.parity_return_gap_commodity if is_commodity else gates.parity_return_gap
    if gaps is None:
        return judge.without(gate, "missing", "no second simulator ran this configuration", limit)
    sharpe_limit = max(gates.parity_sharpe_gap, gates.parity_sharpe_share * abs(judge.entrant.value("sharpe") or 0.0))
    if gaps.annual_return < limit and gaps.sharpe > sharpe_limit + ON_THE_LIMIT:
        return judge.verdict(
            gate, gaps.sharpe, sharpe_limit, sharpe_limit - gaps.sharpe, reason="the gap of Sharpe ratios binds"
        )
    margin = limit - gaps.annual_return
    return judge.verdict(gate, gaps.annual_return, limit, margin, is_passed=gaps.annual_return < limit)


def _beta(judge: _Judge) -> GateRow:
    gates, profile = judge.gates, judge.entrant.risk_profile
    if judge.entrant.is_baseline or profile not in ("min_variance", "market_neutral"):
        return judge.exempt("beta", "a beta is asked of min_variance and market_neutral alone")
    if profile == "market_neutral":
        found = judge.input_of("beta", "beta_recent", gates.beta_market_neutral)
        if isinstance(found, GateRow):
            return found
        limit = gates.beta_market_neutral
        return judge.verdict("beta", found, limit, limit - abs(found))
    equity, short = judge.entrant.value("equity_share"), judge.entrant.value("short_share")
    is_long_equity = equity is not None and equity >= 1.0 - 1e-9 and short is not None and short <= 0.0
    return judge.at_most("beta", "beta_recent", gates.beta_min_variance, is_informational=is_long_equity)


def _concentration(judge: _Judge) -> GateRow:
    gates, gate = judge.gates, "concentration"
    if judge.entrant.is_baseline:
        return judge.exempt(gate, "baselines have no clusters")
    row = judge.at_most(gate, "max_cluster_peak", gates.concentration + gates.concentration_tolerance)
    least = judge.entrant.value("n_clusters_least")
    if row.is_passed is False and least is not None and least * gates.concentration < 1.0 - ON_THE_LIMIT:
        reason = f"cap_infeasible: {least:.0f} clusters cannot hold the book at {gates.concentration:g} each"
        return row._replace(reason=reason)
    return row


def _coverage(judge: _Judge) -> GateRow:
    gate, limit = "coverage", judge.gates.solver_success
    simulated = judge.input_of(gate, "window_coverage", 1.0)
    if isinstance(simulated, GateRow):
        return simulated
    if simulated < 1.0:
        planned = judge.entrant.value("n_windows") or 0.0
        reason = f"{simulated * planned:.0f} of {planned:.0f} planned windows were simulated"
        return judge.verdict(gate, simulated, 1.0, simulated - 1.0, is_passed=False, reason=reason)
    return judge.at_least(gate, "solver_success", limit)


def _solvency(judge: _Judge, bankrupt_below: float) -> GateRow:
    gate, status = "solvency", judge.entrant.status
    found = judge.input_of(gate, "nav_low", bankrupt_below)
    if isinstance(found, GateRow):
        return found
    # Whether the book ended is the simulator's to say; the lowest worth shows how near it came.
    is_solvent = status not in INSOLVENT
    margin = found - bankrupt_below
    return judge.verdict(
        gate, found, bankrupt_below, margin, is_passed=is_solvent, reason=None if is_solvent else status
    )


def _integrity(judge: _Judge) -> GateRow:
    gate = "integrity"
    if not judge.entrant.value("n_obs"):
        return judge.without(gate, "missing", "the cell has no sessions, so nothing was recomputed", 0.0)
    return judge.at_most(gate, "n_sign_errors", 0.0)


def _twin_key(entrant: Entrant) -> tuple[str, str, str, str]:
    return entrant.config_id, entrant.cost_model, entrant.execution, entrant.mode


def _passes_all(rows: Iterable[GateRow]) -> bool:
    """Whether the gates that gave a verdict were all passed, and at least one did."""
    verdicts = [row.is_passed for row in rows if row.is_passed is not None]
    return bool(verdicts) and all(verdicts)


def _not_candidate(entrant: Entrant, vetoes: Sequence[str], tier: Tier) -> str | None:
    if entrant.is_baseline:
        return "baseline"
    if entrant.is_zero_cost:
        return "zero_cost_twin"
    if tier == "smoke":
        return "tier_smoke"
    return "vetoed" if vetoes else None


def _promotion_blockers(
    entrant: Entrant, not_candidate: str | None, gates: GateSettings, universe_basis: str, is_in_sample: bool
) -> tuple[str, ...]:
    """Return what stands between a cell and promotion (T5.2). What is not computed yet is missing, so no list is
    empty."""
    found = [] if not_candidate is None else [f"not_candidate:{not_candidate}"]
    if universe_basis != "pit":
        found.append(f"universe_basis:{universe_basis}")
    if is_in_sample:
        found.append("weights_in_sample")
    sessions, windows = entrant.value("n_obs") or 0.0, entrant.value("n_windows") or 0.0
    if sessions < gates.promotable_sessions or windows < gates.promotable_windows:
        found.append("sample")
    return (*found, *(f"missing:{name}" for name in NOT_COMPUTED))


def _ranks(
    entrants: Sequence[Entrant], cost_models: Sequence[str], engines: Sequence[str]
) -> tuple[list[list[Entrant]], dict[str, str]]:
    """Return the cells that may be ranked, best first, for each window set, and why every other one may not."""
    headline = next((name for name in cost_models if name != ZERO_COST), None)
    best: dict[tuple[str, str, str], int] = {}
    fidelity = {name: place for place, name in enumerate(reversed(FIDELITY))}
    preference = {name: place for place, name in enumerate(engines)}
    for entrant in entrants:
        if entrant.cost_model == headline and entrant.status == "ok":
            key = (entrant.config_id, entrant.execution, entrant.mode)
            best[key] = max(best.get(key, -1), fidelity.get(entrant.simulator, -1))
    unranked: dict[str, str] = {}
    groups: dict[str, list[Entrant]] = {}
    for entrant in entrants:
        key = (entrant.config_id, entrant.execution, entrant.mode)
        if entrant.is_baseline:
            why = "baseline"
        elif entrant.is_zero_cost:
            why = "zero_cost_twin"
        elif entrant.cost_model != headline:
            why = "other_cost_model"
        elif (entrant.execution, entrant.mode) != ("close", "parity"):
            why = "other_execution"
        elif entrant.config_status not in RANKED_CONFIGS:
            why = f"config_{entrant.config_status}"
        elif entrant.status != "ok":
            why = f"cell_{entrant.status}"
        elif fidelity.get(entrant.simulator, -1) < best[key]:
            why = "other_simulator"
        elif entrant.value("sharpe") is None:
            why = "sharpe_undefined"
        else:
            groups.setdefault(entrant.window_set, []).append(entrant)
            continue
        unranked[entrant.cell_id] = why

    def place(entrant: Entrant) -> tuple[float, float, int, str, str]:
        sharpe, turnover = entrant.value("sharpe") or 0.0, entrant.value("ann_turnover")
        return (
            -round(sharpe, RANKED_DECIMALS),
            math.inf if turnover is None else round(turnover, RANKED_DECIMALS),
            preference.get(entrant.engine, len(preference)),
            entrant.config_id,
            entrant.cell_id,
        )

    return [sorted(group, key=place) for group in groups.values()], unranked


def _count_once(
    groups: Sequence[Sequence[Entrant]], net_returns: Mapping[str, NDArray[np.float64]], limit: float
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the rank of each cell that keeps one, and of the others the configuration that they resemble.

    Resemblance is measured against the ranked alone: a row of pairs, each alike, does not make its ends alike.
    """
    ranks: dict[str, int] = {}
    copies: dict[str, str] = {}
    for group in groups:
        kept: list[Entrant] = []
        for entrant in group:
            own = net_returns.get(entrant.cell_id)
            alike = (other for other in kept if _correlation(own, net_returns.get(other.cell_id)) > limit)
            original = next(alike, None)
            if original is not None:
                copies[entrant.cell_id] = original.config_id
                continue
            kept.append(entrant)
            ranks[entrant.cell_id] = len(kept)
    return ranks, copies


def _correlation(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> float:
    """Return the correlation on shared sessions, NaN where there are fewer than two or a side does not move."""
    if one is None or other is None:
        return math.nan
    shared = np.isfinite(one) & np.isfinite(other)
    if shared.sum() < 2:
        return math.nan
    x, y = one[shared] - one[shared].mean(), other[shared] - other[shared].mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0.0 else math.nan
