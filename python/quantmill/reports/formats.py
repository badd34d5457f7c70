"""Numbers as people read them; the exact value stands beside, in the title and the sort key of the cell."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

from quantmill.reports.page import Cell, Column

MINUS = "−"

# name: (label, kind, what it is). Kinds: percent (1 decimal), fine (percent with 2), ratio, count, days.
METRICS: dict[str, tuple[str, str, str]] = {
    "total_return": ("Total return", "percent", "compounded net return over all windows"),
    "cagr": ("CAGR", "percent", "compounded return per year"),
    "annualized_vol": ("Volatility", "percent", "standard deviation of daily returns per year"),
    "sharpe": (
        "Sharpe",
        "ratio",
        "mean over standard deviation of daily returns, per year; risk-free rate 0",
    ),
    "sortino": ("Sortino", "ratio", "mean over downside deviation, per year"),
    "max_drawdown": ("Max drawdown", "percent", "deepest fall from a peak, the starting worth included"),
    "calmar": ("Calmar", "ratio", "CAGR over the size of the deepest drawdown"),
    "ann_turnover": ("Turnover p.a.", "percent", "one-way turnover per year; 100 % replaces the book once"),
    "cost_drag": ("Cost drag p.a.", "fine", "CAGR of the zero-cost twin minus CAGR"),
    "beta": ("Beta", "ratio", "against the market baseline, over all sessions"),
    "alpha_ann": ("Alpha p.a.", "percent", "mean return not explained by beta, per year"),
    "ir": (
        "Information ratio",
        "ratio",
        "mean over standard deviation of the difference to the market, per year",
    ),
    "te": ("Tracking error", "percent", "standard deviation of the difference to the market, per year"),
    "corr": ("Correlation", "ratio", "with the market baseline"),
    "cvar_95": ("CVaR 95 %", "fine", "mean of the worst 5 % of days"),
    "n_eff": ("Effective assets", "tenth", "1 / HHI of the weights, mean over windows"),
    "max_weight": ("Largest weight", "percent", "mean over windows"),
    "n_fallback": ("Fallbacks", "count", "windows solved by a fallback"),
    "win_rate": ("Days up", "percent", "share of sessions with a positive return"),
    "win_rate_active": ("Active days up", "percent", "share of sessions with a return that is positive"),
    "beta_recent": ("Beta, recent", "ratio", "against the market baseline, over its last sessions"),
    "arith_ann_return": ("Mean return p.a.", "percent", "arithmetic mean per year; a diagnostic"),
    "avg_turnover": (
        "Turnover a trade",
        "percent",
        "mean one-way turnover of rebalances after the first buy-in",
    ),
    "window_turnover": (
        "Turnover a window",
        "percent",
        "mean one-way turnover of a decision and all trades until the next, after the first buy-in",
    ),
    "cost_total": ("Costs, sum", "fine", "sum of daily costs over the book"),
    "var_95": ("VaR 95 %", "fine", "5 % quantile of daily returns"),
    "var_95_param": ("VaR 95 %, normal", "fine", "under a normal distribution"),
    "cvar_95_param": ("CVaR 95 %, normal", "fine", "under a normal distribution"),
    "omega": ("Omega", "ratio", "gains over losses, threshold 0"),
    "tail_ratio": ("Tail ratio", "ratio", "95 % quantile over the size of the 5 % quantile"),
    "skew": ("Skew", "ratio", "of daily returns, bias-corrected"),
    "kurtosis": ("Excess kurtosis", "ratio", "of daily returns, bias-corrected"),
    "af_dist": ("Antifragility", "ratio", "skew plus the log ratio of gains to losses in the tails"),
    "stress_alpha": ("Stress alpha", "fine", "mean daily excess on the reference's worst 10 % of days"),
    "stress_delta": ("Stress delta", "fine", "stress alpha minus the mean excess on the other days"),
    "stress_hit": ("Stress hits", "percent", "share of the reference's worst days on which it did better"),
    "temporal_fragility": (
        "Fragility in time",
        "ratio",
        "spread of window ratios over the size of their mean",
    ),
    "selection_jaccard": ("Overlap of books", "percent", "mean Jaccard index of consecutive books"),
    "solver_success": ("Solver health", "percent", "share of windows solved without a fallback"),
    "hhi": ("HHI", "ratio", "sum of squared weights, mean over windows"),
    "max_cluster": ("Largest cluster", "percent", "largest weight of a cluster, mean over windows"),
    "n_assets": ("Assets", "tenth", "mean over windows"),
    "dd_days": ("Drawdown length", "days", "sessions of the deepest drawdown, from peak to recovery or end"),
    "recovery_days": ("Recovery", "days", "sessions of the deepest drawdown from its trough on"),
    "n_obs": ("Sessions", "count", "sessions of the series"),
    "n_windows": ("Windows", "count", "windows planned"),
    "gross_sharpe": ("Sharpe, gross", "ratio", "of the zero-cost twin"),
    "friction_decay": ("Sharpe lost to costs", "percent", "one less Sharpe over Sharpe of the zero-cost twin"),
    "cvar_mult": ("CVaR to market", "ratio", "CVaR 95 % over that of the market baseline"),
    "mdd_mult": ("Drawdown to market", "ratio", "max drawdown over that of the market baseline"),
    "max_cluster_peak": ("Largest cluster ever", "percent", "largest weight of a cluster in any window"),
    "n_clusters_least": ("Fewest clusters", "count", "in a window with positions"),
    "short_share": ("Short share", "percent", "share of gross weight held short, mean over windows"),
    "equity_share": ("Share in equities", "percent", "share of gross weight, mean over windows"),
    "commodity_share": ("Share in commodities", "percent", "share of gross weight, mean over windows"),
    "window_coverage": ("Windows covered", "percent", "windows with sessions over windows planned"),
    "nav_low": ("Lowest NAV", "ratio", "lowest worth of the book over its start"),
    "n_sign_errors": ("Sign errors", "count", "weights whose sign contradicts their direction"),
    "n_windows_failed": ("Windows failed", "count", "windows without weights"),
    "n_empty_windows": ("Windows empty", "count", "windows that held cash alone"),
    "n_stale_marks": ("Stale marks", "count", "holdings marked at an older price"),
    "n_missing_in_test": ("Bars missing", "count", "holdings without a bar for two sessions or more"),
    "n_delisted": ("Delisted", "count", "holdings closed after more than five sessions without a bar"),
    "n_stranded_holdings": ("Stranded", "count", "holdings that could not be sold"),
    "n_dropped_targets": ("Targets dropped", "count", "targets without a bar at the decision"),
    "n_isolation": ("Shorts isolated", "count", "shorts closed at the loss of their collateral"),
    "n_margin_breaches": ("Margin breaches", "count", "sessions with NAV below half of the gross exposure"),
}

# Shown at once; the other metrics of the table are a click away.
MAIN_METRICS = (
    "total_return", "cagr", "annualized_vol", "sharpe", "sortino", "max_drawdown", "calmar", "ann_turnover",
    "cost_drag", "beta", "alpha_ann", "ir", "cvar_95", "n_eff",
)  # fmt: skip
KEY_FIGURES = (
    "total_return", "cagr", "annualized_vol", "sharpe", "sortino", "max_drawdown", "calmar", "ann_turnover",
    "cost_drag", "beta", "alpha_ann", "cvar_95", "n_eff",
)  # fmt: skip
TILE_METRICS = ("total_return", "cagr", "annualized_vol", "sharpe", "max_drawdown", "ann_turnover")

_PERCENT_DECIMALS = {"percent": 1, "fine": 2}
_DECIMALS = {"ratio": 2, "tenth": 1}


def readable(value: float, kind: str) -> str:
    """Return a finite number as text: percent 12.3%, fine 0.12%, ratio 0.77, tenth 7.2, count and days 1,240.

    Any other kind gets four significant digits.
    """
    if kind in _PERCENT_DECIMALS:
        text = f"{value * 100:,.{_PERCENT_DECIMALS[kind]}f}%"
    elif kind in _DECIMALS:
        text = f"{value:,.{_DECIMALS[kind]}f}"
    elif kind in ("count", "days"):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.4g}"
    # a value that rounds to nothing has no sign
    negative = text.startswith("-") and any(digit in text for digit in "123456789")
    return (MINUS if negative else "") + text.removeprefix("-")


def number(value: float | None, kind: str, *, reason: str = "") -> Cell:
    """Return the cell of a number; where it is missing or not finite it reads n/a and hovering tells why."""
    if value is None or not math.isfinite(value):
        return Cell("n/a", title=reason or "no value", tone="missing")
    return Cell(readable(value, kind), sort=repr(value), title=repr(value))


def text(value: Any, *, tone: str = "", title: str = "") -> Cell:
    """Return the cell of a text, a date or a count; nothing reads as a dash."""
    if value is None or value == "":
        return Cell("–", tone="missing")
    if isinstance(value, datetime):
        return Cell(f"{value:%Y-%m-%d %H:%M}", sort=value.isoformat(), title=f"{value.isoformat()} UTC", tone=tone)
    if isinstance(value, date):
        return Cell(value.isoformat(), sort=value.isoformat(), tone=tone)
    if isinstance(value, int) and not isinstance(value, bool):
        return Cell(readable(value, "count"), sort=str(value), tone=tone)
    return Cell(str(value), sort=str(value), title=title, tone=tone)


def short_hash(value: str | None) -> Cell:
    """Return the first 12 digits of a hash; hovering shows all of it."""
    return Cell(f"{value[:12]}…", sort=value, title=value) if value else Cell("–", tone="missing")


def metric_label(name: str) -> str:
    """Return the words for a metric; one that is not known keeps its name."""
    return METRICS[name][0] if name in METRICS else name


def metric_kind(name: str) -> str:
    """Return how a metric is written; `n_` counts, anything unknown gets four digits."""
    if name in METRICS:
        return METRICS[name][1]
    return "count" if name.startswith("n_") else "plain"


def metric_column(name: str, *, is_extra: bool) -> Column:
    """Return the column of a metric; hovering tells its name in the tables and what it is."""
    meaning = METRICS[name][2] if name in METRICS else ""
    title = f"{name}: {meaning}" if meaning else name
    return Column(metric_label(name), is_number=True, title=title, is_extra=is_extra)


def metric_cell(row: dict[str, Any] | None, name: str) -> Cell:
    """Return the cell of a metric row; an undefined or insufficient one reads n/a with its reason."""
    if row is None:
        return Cell("n/a", title=f"{name} was not computed for this cell", tone="missing")
    return number(row["value"], metric_kind(name), reason=f"{row['status']}: {row['reason'] or 'no reason given'}")
