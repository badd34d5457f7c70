"""The metrics that quantstats computes, computed again from their definitions; nothing is published before
both agree.

The definitions are written out here on purpose and share no code with `metrics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from quantmill.errors import MetricDisagreement
from quantmill.judgement.metrics import (
    CellCounts,
    CellSeries,
    MetricRow,
    WindowMetricRow,
    WindowWeights,
    cell_metrics,
    window_metrics,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class PublishedMetrics:
    """Rows of `tournaments.window_metrics` and `tournaments.cell_metrics` of one cell."""

    window_rows: list[WindowMetricRow]
    cell_rows: list[MetricRow]


def published_metrics(
    series: CellSeries,
    *,
    periods_per_year: int,
    market: NDArray[np.float64] | None,
    stress_reference: NDArray[np.float64] | None,
    weights: WindowWeights | None,
    counts: CellCounts,
    twin_cagr: float | None,
    twin_sharpe: float | None,
) -> PublishedMetrics:
    """Return the window and cell metrics of a cell after checking them; the arguments are those of
    `cell_metrics`.

    Raises `MetricDisagreement` if a metric differs from its recomputation by more than 1e-9, absolute below 1
    and relative above, if one of the two is undefined, or if the windows' returns do not compound to the
    total. Raises `DataContractError` as `cell_metrics` does.
    """
    window_rows = window_metrics(series, weights)
    cell_rows = cell_metrics(
        series,
        periods_per_year=periods_per_year,
        market=market,
        stress_reference=stress_reference,
        weights=weights,
        counts=counts,
        twin_cagr=twin_cagr,
        twin_sharpe=twin_sharpe,
    )
    published = {row.metric: row.value for row in cell_rows}
    require_agreement(published, recompute(series.net_return, market, periods_per_year))
    parts = [row.value for row in window_rows if row.metric == "period_return" and row.value is not None]
    if parts:
        require_agreement(published, {"total_return": math.prod(1.0 + part for part in parts) - 1.0})
    return PublishedMetrics(window_rows=window_rows, cell_rows=cell_rows)


def require_agreement(published: dict[str, float | None], expected: dict[str, float | None]) -> None:
    """Raise `MetricDisagreement` for the first of `expected` that `published` has differently."""
    for metric, second in expected.items():
        first = published[metric]
        if first is None and second is None:
            continue
        if first is None or second is None or not abs(first - second) <= TOLERANCE * max(1.0, abs(first), abs(second)):
            raise MetricDisagreement(
                f"{metric} is {first!r}, but its independent computation gives {second!r}",
                remedy="do not publish this cell; compare the two computations on its net returns",
                metric=metric,
                published=first,
                expected=second,
            )


def recompute(
    net_return: NDArray[np.float64], market: NDArray[np.float64] | None, periods_per_year: int
) -> dict[str, float | None]:
    """Return the checked metrics from their definitions, None where undefined or too short.

    `net_return`: (n,) simple returns, no NaN, none below -1. `market`: (n,), NaN where there is none, or
        None.
    """
    with np.errstate(all="ignore"):
        found = _from_returns(net_return, periods_per_year) | _from_pairs(net_return, market, periods_per_year)
    return {
        metric: float(value) if value is not None and math.isfinite(value) else None for metric, value in found.items()
    }


def _from_returns(r: NDArray[np.float64], ann: int) -> dict[str, float | None]:
    n = r.size
    names = (
        *("total_return", "cagr", "max_drawdown", "annualized_vol", "sharpe", "sortino", "calmar", "omega"),
        *("tail_ratio", "var_95_param", "cvar_95", "cvar_95_param", "skew", "kurtosis", "win_rate_active"),
    )
    out: dict[str, float | None] = dict.fromkeys(names)
    if n == 0:
        return out
    log_wealth = np.cumsum(np.log1p(r))
    peak = np.maximum(np.maximum.accumulate(log_wealth), 0.0)
    drawdown = float(np.expm1(log_wealth - peak).min())
    growth = float(np.expm1(log_wealth[-1] * (ann / n)))
    out |= {"total_return": float(np.expm1(log_wealth[-1])), "cagr": growth, "max_drawdown": drawdown}
    gains, losses = float(r[r > 0].sum()), -float(r[r < 0].sum())
    if gains or losses:
        out["win_rate_active"] = np.count_nonzero(r > 0) / np.count_nonzero(r)
    if n < 2:
        return out

    mean = float(r.sum()) / n
    centred = r - mean
    square = float(centred @ centred)
    deviation = math.sqrt(square / (n - 1))
    downside = math.sqrt(float((r * r)[r < 0].sum()) / n)
    out["annualized_vol"] = deviation * math.sqrt(ann)
    if downside >= 1e-12:
        out |= {"sortino": mean / downside * math.sqrt(ann), "omega": gains / losses}
    if drawdown <= -1e-5:
        out["calmar"] = growth / -drawdown
    ordered = np.sort(r)
    low, high = _interpolated(ordered, 0.05), _interpolated(ordered, 0.95)
    out["cvar_95"] = float(ordered[ordered <= low].mean())
    if low != 0.0:
        out["tail_ratio"] = abs(high / low)
    if deviation < 1e-12:
        return out

    normal = NormalDist()
    quantile = normal.inv_cdf(0.05)
    out["sharpe"] = mean / deviation * math.sqrt(ann)
    out["var_95_param"] = mean + deviation * quantile
    out["cvar_95_param"] = mean - deviation * normal.pdf(quantile) / 0.05
    unit = centred / math.sqrt(square / n)
    if n >= 3:
        out["skew"] = math.sqrt(n * (n - 1)) / (n - 2) * float((unit**3).mean())
    if n >= 4:
        fourth = float((unit**4).mean())
        out["kurtosis"] = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * fourth - 3 * (n - 1))
    return out


def _interpolated(ordered: NDArray[np.float64], share: float) -> float:
    place = share * (ordered.size - 1)
    # A place meant to be whole may come out a rounding below it, which would lose one value of the tail.
    below = min(math.floor(place + 1e-9), ordered.size - 2)
    return float(ordered[below] + max(place - below, 0.0) * (ordered[below + 1] - ordered[below]))


def _from_pairs(r: NDArray[np.float64], market: NDArray[np.float64] | None, ann: int) -> dict[str, float | None]:
    out: dict[str, float | None] = dict.fromkeys(("beta", "alpha_ann", "beta_recent"))
    if market is None:
        return out
    shared = ~np.isnan(market)
    for metric, last, needed in (("beta", r.size, 10), ("beta_recent", 252, 60)):
        x, y = market[shared][-last:], r[shared][-last:]
        if x.size < needed:
            continue
        mean_x, mean_y = float(x.sum()) / x.size, float(y.sum()) / y.size
        spread = float((x - mean_x) @ (x - mean_x))
        if math.sqrt(spread / (x.size - 1)) < 1e-12:
            continue
        slope = float((x - mean_x) @ (y - mean_y)) / spread
        out[metric] = slope
        if metric == "beta":
            out["alpha_ann"] = (mean_y - slope * mean_x) * ann
    return out
