"""Metrics of one cell, from its stitched net series. quantstats computes what it offers, behind guards.

quantstats reads a series without a negative value whose maximum passes 1 as prices and differences it,
returns 0 or NaN where a number is undefined, defaults to 252 periods and to a normal CVaR, and aligns a
benchmark by filling. Hence the guards, the explicit arguments and the equal indices below.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from quantmill.errors import DataContractError
from quantmill.frames import frozen, require_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantmill.simulation import SimulatedPath

MetricStatus = Literal["ok", "insufficient", "undefined"]

SMALLEST_VOLATILITY = 1e-12
SMALLEST_WEIGHT = 1e-6
# A NAV resolves about 1e-15 of itself, so a shallower drawdown is too blurred to divide by at 1e-9.
SMALLEST_DRAWDOWN = 1e-5
MIN_SHARED_SESSIONS = 10
RECENT_SESSIONS, MIN_RECENT_SESSIONS = 252, 60
MIN_TAIL_SESSIONS = 100
MIN_STRESS_SESSIONS = 10
MIN_FRAGILITY_WINDOWS = 4

# Metric of a count, and the code of the simulator's events that it counts.
EVENT_COUNTS = {
    "n_stale_marks": "stale_mark",
    "n_missing_in_test": "missing_in_test",
    "n_delisted": "delisted",
    "n_isolation": "short_isolated",
    "n_dropped_targets": "target_dropped",
    "n_stranded_holdings": "holding_stranded",
    "n_margin_breaches": "margin_breach",
    "n_empty_windows": "empty_window",
}


class MetricRow(NamedTuple):
    """One metric of a cell. `value` is None unless `status` is ok; then `reason` says why.

    A metric that is undefined because something was not given rests on no observation: its count is 0.
    """

    metric: str
    value: float | None
    observation_count: int
    status: MetricStatus
    reason: str


class WindowMetricRow(NamedTuple):
    """One metric of a cell in one window. `value` is None unless `status` is ok; then `reason` says why."""

    window_index: int
    metric: str
    value: float | None
    observation_count: int
    status: MetricStatus
    reason: str


@dataclass(frozen=True, slots=True)
class CellSeries:
    """The stitched out-of-sample path of one cell: m sessions in order, all arrays (m,), no NaN.

    `session_date`: datetime64[D], ascending. `net_return`, `gross_return`: fractions; net is what the NAV
    earned, gross the same before costs and borrow. `nav`: at the close, before any trade there.
    `starting_nav`: before the first session. `window_index`: window whose decision was in force,
    non-decreasing. `turnover`: one-way, of the trade at the close before; `is_rebalance`: that close was on
    the schedule.
    """

    session_date: NDArray[np.datetime64]
    net_return: NDArray[np.float64]
    gross_return: NDArray[np.float64]
    nav: NDArray[np.float64]
    starting_nav: float
    window_index: NDArray[np.int64]
    turnover: NDArray[np.float64]
    is_rebalance: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WindowWeights:
    """Target weights of k windows and n symbols, all arrays (k, n), no NaN.

    `net_weight`: signed, fractions of NAV. `gross_weight`: non-negative, before opposite atoms of a symbol
        are netted.
    `cluster_id`: allocation cluster of the window; -1 where there is none.
    `is_equity`, `is_commodity`: (n,) what a symbol is, by its metadata.
    """

    net_weight: NDArray[np.float64]
    gross_weight: NDArray[np.float64]
    cluster_id: NDArray[np.int64]
    is_equity: NDArray[np.bool_]
    is_commodity: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CellCounts:
    """What happened on the way: windows planned, failed and solved by a fallback; solves tried and accepted;
    weights whose sign contradicts their direction; events.

    `event_counts`: how often each event code of the simulator occurred; a code that is not there did not
        occur.
    """

    window_count: int
    failed_window_count: int
    fallback_count: int
    solve_count: int
    accepted_solve_count: int
    sign_error_count: int
    event_counts: Mapping[str, int]


def series_of(path: SimulatedPath, session_dates: NDArray[np.datetime64]) -> CellSeries:
    """Return the series of a simulated path; `session_dates`: (T,) datetime64[D], those of the whole grid."""
    return CellSeries(
        session_date=frozen(session_dates[path.row]),
        net_return=path.net_return,
        gross_return=path.gross_return,
        nav=path.nav,
        starting_nav=path.starting_nav,
        window_index=path.window_index,
        turnover=path.turnover,
        is_rebalance=path.is_rebalance,
    )


def cell_metrics(
    series: CellSeries,
    *,
    periods_per_year: int,
    market: NDArray[np.float64] | None,
    stress_reference: NDArray[np.float64] | None,
    weights: WindowWeights | None,
    counts: CellCounts,
    twin_cagr: float | None,
    twin_sharpe: float | None,
) -> list[MetricRow]:
    """Return every metric of a cell, one row each, always the same metrics in the same order.

    Numbers come from the stitched net series: aggregated first, annualised with `periods_per_year`
    afterwards, never clipped. Returns are simple, variances divide by n - 1, the risk-free rate is 0;
    drawdowns start at the starting NAV; tail quantiles keep the sign of the return, so that cvar_95 <=
    var_95.

    `market`, `stress_reference`: (m,) returns of the `market` baseline and of the series that defines stress,
    on the cell's sessions, NaN where they have none; None makes their metrics undefined. `beta` reads all
    shared sessions (10 at least), `beta_recent`, the one for gates, the last 252 (60 at least). `twin_cagr`,
    `twin_sharpe`: cagr and Sharpe ratio of the zero-cost twin, None where it has none.

    Window averages (concentration) take each window once. hhi and n_eff leave out windows in cash, where they
    do not exist; n_assets, max_weight and max_cluster count those as 0. max_cluster_peak is the largest of all windows.
    avg_turnover is that of a rebalance, so of a close in mode daily; window_turnover, the one for gates, that of a
    decision with all that was traded until the next. Both leave out the first buy-in, the latter by its window. The
    multiples of the market's tail loss and drawdown take both over the sessions that the two share.

    Raises `DataContractError` where the series contradicts itself: lengths, order of dates, a return below
    -1, a NAV that did not grow by its net returns, a net return above the gross one.
    """
    _check(series, market, stress_reference, weights)
    returns = series.net_return
    n = returns.size
    rows = _return_metrics(series, periods_per_year)
    rows += _turnover_metrics(series, periods_per_year)
    rows += _twin_metrics(rows, twin_cagr, twin_sharpe, n)
    rows += _market_metrics(series, market, periods_per_year)
    rows += _market_multiples(series, market)
    rows += _stress_metrics(returns, stress_reference)
    rows += _weight_metrics(weights)
    rows.append(temporal_fragility(_window_ratios(series)))
    rows.append(selection_jaccard(None if weights is None else weights.net_weight))
    rows += _count_metrics(counts, series)
    return rows


def window_metrics(series: CellSeries, weights: WindowWeights | None) -> list[WindowMetricRow]:
    """Return the metrics of each window of a cell: six rows a window, by window.

    period_return: product of (1 + r) less 1. period_vol: standard deviation times the root of the session
    count. return_ratio: daily mean over daily standard deviation. max_drawdown: from the NAV at the window's
    start. turnover: one-way, summed over the trades the window caused. max_cluster: largest sum of gross target
    weights of one cluster. Nothing is annualised: a window is too short for that.

    Raises `DataContractError` where the series contradicts itself.
    """
    _check(series, None, None, weights)
    if series.net_return.size == 0:
        return []
    clusters = None if weights is None else _cluster_weights(weights)
    starts, lengths, means, deviations = _window_moments(series)
    growth = np.multiply.reduceat(1.0 + series.net_return, starts)
    turnover = np.add.reduceat(series.turnover, starts)
    rows = []
    for i, start in enumerate(starts.tolist()):
        n, deviation = int(lengths[i]), float(deviations[i])
        ratio = means[i] / deviation if deviation > 0.0 else math.nan
        deepest = drawdown_of(series.net_return[start : start + n]).min()
        window = int(series.window_index[start])
        for row in (
            _judged("period_return", n, 1, "", growth[i] - 1.0),
            _judged("period_vol", n, 2, "", deviation * math.sqrt(n)),
            _judged("return_ratio", n, 2, _flatness(deviation), ratio),
            _judged("max_drawdown", n, 1, "", deepest),
            _judged("turnover", n, 1, "", turnover[i]),
            _window_cluster(clusters, window),
        ):
            rows.append(WindowMetricRow(window, *row))
    return rows


def _window_cluster(
    clusters: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]] | None, window: int
) -> MetricRow:
    if clusters is None or window >= clusters[1].size:
        return _undefined("max_cluster", 0, "no target weights were given")
    weight, is_homeless, held = clusters
    problem = "some positions have no cluster" if is_homeless[window] else ""
    n = int(held[window])
    return _guarded("max_cluster", n, 0, problem, weight[window].max, "positions")


def _window_moments(
    series: CellSeries,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """First session, length, mean and standard deviation of each window; that of one session is NaN."""
    r = series.net_return
    starts = np.flatnonzero(np.diff(series.window_index, prepend=series.window_index[0] - 1))
    lengths = np.diff(starts, append=r.size)
    means = np.add.reduceat(r, starts) / lengths
    squares = np.add.reduceat(np.square(r - np.repeat(means, lengths)), starts)
    divisors = np.where(lengths > 1, lengths - 1.0, math.nan)
    return starts, lengths, means, np.sqrt(squares / divisors)


def _window_ratios(series: CellSeries) -> NDArray[np.float64]:
    if series.net_return.size == 0:
        return np.zeros(0)
    _, _, means, deviations = _window_moments(series)
    is_flat = ~(deviations >= SMALLEST_VOLATILITY)
    return np.where(is_flat, math.nan, means / np.where(is_flat, 1.0, deviations))


def temporal_fragility(window_ratios: NDArray[np.float64]) -> MetricRow:
    """Coefficient of variation of the windows' return ratios: population deviation over |mean|.

    `window_ratios`: one daily mean / standard deviation per window, NaN where undefined (left out, not
        counted).
    """
    ratios = window_ratios[np.isfinite(window_ratios)]
    n = ratios.size
    mean = abs(float(ratios.mean())) if n else 0.0
    problem = "the mean window ratio is 0" if mean < 1e-9 else ""
    needed = MIN_FRAGILITY_WINDOWS
    return _guarded("temporal_fragility", n, needed, problem, lambda: ratios.std(ddof=0) / mean, "windows")


def selection_jaccard(net_weight: NDArray[np.float64] | None) -> MetricRow:
    """Mean overlap |A and B| / |A or B| of consecutive windows' holdings, a holding being a symbol with its
    sign.

    `net_weight`: (k, n) target weights; at most 1e-6 in size is no holding. Two windows in cash have no
    overlap to measure and are left out. `observation_count` is the number of pairs.
    """
    if net_weight is None:
        return _undefined("selection_jaccard", 0, "no target weights were given")
    held = np.where(np.abs(net_weight) > SMALLEST_WEIGHT, np.sign(net_weight), 0.0)
    before, after = held[:-1], held[1:]
    shared = ((before == after) & (before != 0)).sum(axis=1)
    union = (before != 0).sum(axis=1) + (after != 0).sum(axis=1) - shared
    overlap = shared[union > 0] / union[union > 0]
    return _guarded("selection_jaccard", overlap.size, 1, "", overlap.mean, "pairs of windows")


def drawdown_of(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (m,) NAV over its highest value so far, less 1; the starting NAV counts as a height."""
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return (wealth / np.maximum.accumulate(wealth) - 1.0)[1:]


def stats_library() -> Any:
    """Return `quantstats.stats`, imported on first use. Importing it restyles matplotlib, which is undone."""
    if "quantstats" not in sys.modules:
        import matplotlib

        with matplotlib.rc_context():
            import quantstats  # noqa: F401
    from quantstats import stats

    return stats


def _guarded(
    metric: str, n: int, needed: int, problem: str, compute: Callable[[], Any], unit: str = "sessions"
) -> MetricRow:
    if n < needed or problem:
        return _judged(metric, n, needed, problem, math.nan, unit)
    # What overflows or divides by zero in here becomes a status, so the warning would say it twice.
    with np.errstate(all="ignore"):
        value = compute()
    return _judged(metric, n, needed, problem, value, unit)


def _judged(metric: str, n: int, needed: int, problem: str, value: Any, unit: str = "sessions") -> MetricRow:
    if n < needed:
        return MetricRow(metric, None, n, "insufficient", f"{n} {unit}; {needed} are needed")
    if problem:
        return _undefined(metric, n, problem)
    value = float(value)
    if not math.isfinite(value):
        return _undefined(metric, n, f"the computation gave {value}")
    return MetricRow(metric, value, n, "ok", "")


def _undefined(metric: str, n: int, reason: str) -> MetricRow:
    return MetricRow(metric, None, n, "undefined", reason)


def _flatness(deviation: float) -> str:
    # A NaN deviation is a sample too short, which is said elsewhere.
    return f"volatility is below {SMALLEST_VOLATILITY:g}" if deviation < SMALLEST_VOLATILITY else ""


def _reads_as_prices(returns: NDArray[np.float64]) -> bool:
    return returns.size > 0 and bool(returns.min() >= 0.0 and returns.max() >= 1.0)


def _unmistakable(returns: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the returns over a number that keeps them below 1, and the number: 1 where none is needed."""
    # A power of two, because dividing by it is exact.
    scale = 2.0 ** (math.frexp(float(returns.max()))[1] + 1) if _reads_as_prices(returns) else 1.0
    return returns / scale, scale


def _dated(index: Any, values: NDArray[np.float64]) -> Any:
    """Return a series of its own for the library, which may write into what it gets; an index cannot be written to."""
    import pandas as pd

    return pd.Series(values.copy(), index=index)


def _index_of(dates: NDArray[np.datetime64]) -> Any:
    import pandas as pd

    return pd.DatetimeIndex(dates)


def _return_metrics(series: CellSeries, ann: int) -> list[MetricRow]:
    stats = stats_library()
    r, n = series.net_return, series.net_return.size
    deviation = float(r.std(ddof=1)) if n > 1 else math.nan
    flat = _flatness(deviation)
    downside = math.sqrt(float(np.square(np.minimum(r, 0.0)).sum()) / n) if n else math.nan
    no_loss = "no session lost" if downside < SMALLEST_VOLATILITY else ""
    drawdown = drawdown_of(r)
    deepest = float(drawdown.min()) if n else 0.0
    is_unhurt = deepest >= 0.0
    shallow = f"the deepest drawdown is below {SMALLEST_DRAWDOWN:g}" if deepest > -SMALLEST_DRAWDOWN else ""
    as_prices = _reads_as_prices(r)
    index = _index_of(series.session_date)
    # quantstats takes 1 off the growth and adds it again, which blurs the little that is left of a lost book.
    is_native = as_prices or float(np.prod(1.0 + r)) < 1e-3

    def fresh() -> Any:
        return _dated(index, r)

    def unmistakable() -> Any:
        return _dated(index, _unmistakable(r)[0])

    def standardised() -> Any:
        # pandas sets third and fourth moments below 1e-14 to 0, which a quiet series reaches.
        # Shape has no scale, so a series of deviation 1 has the same.
        return _dated(index, (r - r.mean()) / deviation)

    def growth() -> Any:
        if is_native:
            return np.prod(1.0 + r) ** (ann / n) - 1.0
        return stats.cagr(fresh(), periods=ann)

    def calmar() -> Any:
        return growth() / abs(deepest) if is_native else stats.calmar(fresh(), False, periods=ann)

    def tail_loss(method: str) -> Any:
        return stats.cvar(fresh(), prepare_returns=False, method=method)

    low, high = (np.quantile(r, q) if n else math.nan for q in (0.05, 0.95))
    no_low = "the 5 % quantile is 0" if low == 0.0 else ""
    return [
        _guarded("total_return", n, 1, "", lambda: stats.comp(fresh())),
        _guarded("cagr", n, 1, "", growth),
        _guarded("arith_ann_return", n, 1, "", lambda: r.mean() * ann),
        _guarded("annualized_vol", n, 2, "", lambda: stats.volatility(fresh(), ann, prepare_returns=False)),
        _guarded("sharpe", n, 2, flat, lambda: stats.sharpe(unmistakable(), periods=ann)),
        _guarded("sortino", n, 2, no_loss, lambda: stats.sortino(fresh(), periods=ann)),
        _guarded("max_drawdown", n, 1, "", lambda: 0.0 if as_prices else stats.max_drawdown(fresh())),
        *_drawdown_lengths(r, drawdown, is_unhurt),
        _guarded("calmar", n, 2, shallow, calmar),
        _guarded("omega", n, 2, no_loss, lambda: stats.omega(fresh(), periods=ann)),
        _guarded("tail_ratio", n, 2, no_low, lambda: stats.tail_ratio(fresh(), prepare_returns=False)),
        _guarded("var_95", n, 2, "", lambda: low),
        _guarded("var_95_param", n, 2, flat, lambda: stats.value_at_risk(fresh(), prepare_returns=False)),
        _guarded("cvar_95", n, 2, "", lambda: tail_loss("historical")),
        _guarded("cvar_95_param", n, 2, flat, lambda: tail_loss("parametric")),
        _guarded("skew", n, 3, flat, lambda: stats.skew(standardised(), prepare_returns=False)),
        _guarded("kurtosis", n, 4, flat, lambda: stats.kurtosis(standardised(), prepare_returns=False)),
        _guarded("win_rate", n, 1, "", lambda: np.count_nonzero(r > 0.0) / n),
        _guarded(
            "win_rate_active",
            int(np.count_nonzero(r)),
            1,
            "",
            lambda: stats.win_rate(fresh(), prepare_returns=False),
            "sessions with a return other than 0",
        ),
        _antifragility(series, low, high, flat),
    ]


def _drawdown_lengths(returns: NDArray[np.float64], drawdown: NDArray[np.float64], is_unhurt: bool) -> list[MetricRow]:
    """Sessions under water in the deepest drawdown, and from its valley back to the old peak.

    quantstats' drawdown_details is not asked: it misses a drawdown that begins on the first day and never
    ends.
    """
    n = returns.size
    if n == 0 or is_unhurt:
        problem = "the NAV was never below its peak"
        return [
            _guarded("dd_days", n, 1, "", lambda: 0),
            _guarded("recovery_days", n, 1, problem, lambda: 0),
        ]
    valley = int(np.argmin(drawdown))
    at_peak = np.flatnonzero(drawdown >= 0.0)
    place = int(np.searchsorted(at_peak, valley))
    start = int(at_peak[place - 1]) + 1 if place > 0 else 0
    is_back = place < at_peak.size
    end = int(at_peak[place]) if is_back else n
    problem = "" if is_back else "the NAV had not recovered by the last session"
    return [
        _guarded("dd_days", n, 1, "", lambda: end - start),
        _guarded("recovery_days", n, 1, problem, lambda: end - valley),
    ]


def _antifragility(series: CellSeries, low: float, high: float, flat: str) -> MetricRow:
    """Skew plus the log ratio of the mean best to the mean worst twentieth."""
    r, n = series.net_return, series.net_return.size
    if n < MIN_TAIL_SESSIONS or flat:
        return _guarded("af_dist", n, MIN_TAIL_SESSIONS, flat, lambda: 0)
    best, worst = r[r >= high], r[r <= low]
    smaller = min(best.size, worst.size)
    needed = min(10, max(1, math.floor(0.05 * n)))
    if smaller < needed:
        reason = f"{smaller} sessions in a tail; {needed} are needed"
        return MetricRow("af_dist", None, n, "insufficient", reason)
    gain, loss = float(best.mean()), float(worst.mean())
    if gain <= 0.0:
        return _undefined("af_dist", n, "the best twentieth of sessions did not gain")
    if loss >= 0.0:
        return _undefined("af_dist", n, "the worst twentieth of sessions did not lose")
    shape = _dated(_index_of(series.session_date), (r - r.mean()) / r.std(ddof=1))
    skew = float(stats_library().skew(shape, prepare_returns=False))
    return _guarded("af_dist", n, 1, "", lambda: skew + math.log(gain / abs(loss) + 1e-12))


def _turnover_metrics(series: CellSeries, ann: int) -> list[MetricRow]:
    n = series.net_return.size
    rebalances = series.turnover[series.is_rebalance]
    bought = np.flatnonzero(rebalances > 0.0)
    later = np.delete(rebalances, bought[:1])
    unit = "rebalances after the first buy-in"
    return [
        _guarded("avg_turnover", later.size, 1, "", later.mean, unit),
        _window_turnover(series),
        _guarded("ann_turnover", n, 1, "", lambda: series.turnover.sum() * ann / n),
        _guarded("cost_total", n, 1, "", (series.gross_return - series.net_return).sum),
    ]


def _window_turnover(series: CellSeries) -> MetricRow:
    """Turnover of a window, mean over all but that of the first buy-in."""
    starts = _window_moments(series)[0] if series.turnover.size else np.zeros(0, dtype=np.int64)
    sums = np.add.reduceat(series.turnover, starts) if starts.size else np.zeros(0)
    later = np.delete(sums, np.flatnonzero(sums > 0.0)[:1])
    return _guarded("window_turnover", later.size, 1, "", later.mean, "windows after the first buy-in")


def _twin_metrics(rows: list[MetricRow], twin_cagr: float | None, twin_sharpe: float | None, n: int) -> list[MetricRow]:
    """What trading cost, against the zero-cost twin: a year of growth, and the share of the Sharpe ratio."""
    own = {row.metric: row.value for row in rows if row.metric in ("cagr", "sharpe")}
    cagr, sharpe = own["cagr"], own["sharpe"]
    if twin_cagr is None or cagr is None:
        drag = _undefined("cost_drag", n, "cagr is undefined" if cagr is None else "no zero-cost twin was given")
    else:
        drag = _guarded("cost_drag", n, 1, "", lambda: twin_cagr - cagr)
    if twin_sharpe is None:
        absent = "no zero-cost twin with a Sharpe ratio was given"
        return [drag, _undefined("gross_sharpe", 0, absent), _undefined("friction_decay", 0, absent)]
    gross = _guarded("gross_sharpe", n, 1, "", lambda: twin_sharpe)
    if sharpe is None or twin_sharpe <= 0.0:
        problem = "sharpe is undefined" if sharpe is None else "the Sharpe ratio before costs is not above 0"
        return [drag, gross, _undefined("friction_decay", n, problem)]
    return [drag, gross, _guarded("friction_decay", n, 1, "", lambda: 1.0 - sharpe / twin_sharpe)]


def _market_multiples(series: CellSeries, market: NDArray[np.float64] | None) -> list[MetricRow]:
    """Tail loss and deepest drawdown as multiples of the market's, on the sessions that both have."""
    if market is None:
        return [_undefined(name, 0, "no market baseline was given") for name in ("cvar_mult", "mdd_mult")]
    shared = np.isfinite(market)
    r, b = series.net_return[shared], market[shared]
    unit = "sessions shared with the market"

    def multiple(metric: str, measure: Callable[[NDArray[np.float64]], float], what: str) -> MetricRow:
        reference = abs(measure(b)) if b.size >= MIN_SHARED_SESSIONS else math.nan
        problem = f"the {what} of the market is 0" if reference == 0.0 else ""
        return _guarded(metric, r.size, MIN_SHARED_SESSIONS, problem, lambda: abs(measure(r)) / reference, unit)

    return [
        multiple("cvar_mult", lambda x: float(x[x <= np.quantile(x, 0.05)].mean()), "tail loss"),
        multiple("mdd_mult", lambda x: float(drawdown_of(x).min()), "drawdown"),
    ]


def _market_metrics(series: CellSeries, market: NDArray[np.float64] | None, ann: int) -> list[MetricRow]:
    names = ("beta", "corr", "alpha_ann", "te", "ir", "beta_recent")
    if market is None:
        return [_undefined(name, 0, "no market baseline was given") for name in names]
    shared = np.isfinite(market)
    index, r, b = _index_of(series.session_date[shared]), series.net_return[shared], market[shared]
    n = r.size
    deviation, market_deviation, active_deviation = (float(x.std(ddof=1)) if n > 1 else math.nan for x in (r, b, r - b))
    flat, flat_active = _flatness(deviation), _flatness(active_deviation)
    flat_market = f"market {_flatness(market_deviation)}" if _flatness(market_deviation) else ""
    recent = slice(-RECENT_SESSIONS, None)
    recent_deviation = float(b[recent].std(ddof=1)) if n > 1 else math.nan
    flat_recent = f"market {_flatness(recent_deviation)}" if _flatness(recent_deviation) else ""
    needed = MIN_SHARED_SESSIONS

    @cache
    def greeks(first: int) -> tuple[float, float]:
        """Return slope and intercept over the shared sessions from `first` on."""
        reference, scale = _unmistakable(b[first:])
        found = stats_library().greeks(
            _dated(index[first:], r[first:]), _dated(index[first:], reference), periods=ann, prepare_returns=False
        )
        return float(found["beta"]) / scale, float(found["alpha"])

    unit = "sessions shared with the market"
    return [
        _guarded("beta", n, needed, flat_market, lambda: greeks(0)[0], unit),
        _guarded("corr", n, needed, flat_market or flat, lambda: np.corrcoef(r, b)[0, 1], unit),
        _guarded("alpha_ann", n, needed, flat_market, lambda: greeks(0)[1], unit),
        _guarded("te", n, needed, "", lambda: active_deviation * math.sqrt(ann), unit),
        _guarded("ir", n, needed, flat_active, lambda: (r - b).mean() / active_deviation * math.sqrt(ann), unit),
        _guarded(
            "beta_recent",
            min(n, RECENT_SESSIONS),
            MIN_RECENT_SESSIONS,
            flat_recent,
            lambda: greeks(max(n - RECENT_SESSIONS, 0))[0],
            unit,
        ),
    ]


def _stress_metrics(returns: NDArray[np.float64], reference: NDArray[np.float64] | None) -> list[MetricRow]:
    names = ("stress_alpha", "stress_delta", "stress_hit")
    if reference is None:
        return [_undefined(name, 0, "no stress reference was given") for name in names]
    shared = np.isfinite(reference)
    active, b = (returns - reference)[shared], reference[shared]
    n = b.size
    if n < MIN_TAIL_SESSIONS:
        return [
            _guarded(name, n, MIN_TAIL_SESSIONS, "", lambda: 0, "sessions shared with the reference") for name in names
        ]
    stress = b <= np.quantile(b, 0.10)
    size, hit = int(stress.sum()), active[stress]
    no_calm = "every session is a stress session" if size == n else ""
    needed, unit = MIN_STRESS_SESSIONS, "stress sessions"
    return [
        _guarded("stress_alpha", size, needed, "", hit.mean, unit),
        _guarded("stress_delta", size, needed, no_calm, lambda: hit.mean() - active[~stress].mean(), unit),
        _guarded("stress_hit", size, needed, "", lambda: np.count_nonzero(hit > 0.0) / size, unit),
    ]


def _cluster_weights(
    weights: WindowWeights,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return per window the gross weight of each cluster (k, width), whether a position has none, positions held."""
    gross = np.abs(weights.gross_weight)
    clustered = weights.cluster_id >= 0
    is_held = gross > SMALLEST_WEIGHT
    width = int(weights.cluster_id.max(initial=-1)) + 1
    found = np.zeros((gross.shape[0], max(width, 1)))
    window, column = np.nonzero(clustered)
    np.add.at(found, (window, weights.cluster_id[window, column]), gross[window, column])
    return found, np.any(is_held & ~clustered, axis=1), is_held.sum(axis=1)


def _weight_metrics(weights: WindowWeights | None) -> list[MetricRow]:
    names = (
        *("hhi", "n_eff", "max_weight", "max_cluster", "max_cluster_peak", "n_clusters_least", "n_assets"),
        *("short_share", "equity_share", "commodity_share"),
    )
    if weights is None:
        return [_undefined(name, 0, "no target weights were given") for name in names]
    gross = np.abs(weights.gross_weight)
    k = gross.shape[0]
    total = gross.sum(axis=1)
    invested = total > SMALLEST_WEIGHT
    shares = gross[invested] / total[invested, None]
    concentration = np.square(shares).sum(axis=1)
    k_invested, unit, invested_unit = concentration.size, "windows", "windows with positions"
    cluster_weight, is_homeless, _ = _cluster_weights(weights)
    problem = "some positions have no cluster" if is_homeless.any() else ""
    held_clusters = (cluster_weight[invested] > SMALLEST_WEIGHT).sum(axis=1)
    short = np.where(weights.net_weight < -SMALLEST_WEIGHT, gross, 0.0)[invested].sum(axis=1) / total[invested]
    return [
        _guarded("hhi", k_invested, 1, "", concentration.mean, invested_unit),
        _guarded("n_eff", k_invested, 1, "", (1.0 / concentration).mean, invested_unit),
        _guarded("max_weight", k, 1, "", lambda: gross.max(axis=1, initial=0.0).mean(), unit),
        _guarded("max_cluster", k, 1, problem, lambda: cluster_weight.max(axis=1).mean(), unit),
        _guarded("max_cluster_peak", k, 1, problem, cluster_weight.max, unit),
        _guarded("n_clusters_least", k_invested, 1, problem, held_clusters.min, invested_unit),
        _guarded("n_assets", k, 1, "", lambda: (gross > SMALLEST_WEIGHT).sum(axis=1).mean(), unit),
        _guarded("short_share", k_invested, 1, "", short.mean, invested_unit),
        _guarded("equity_share", k_invested, 1, "", (shares @ weights.is_equity).mean, invested_unit),
        _guarded("commodity_share", k_invested, 1, "", (shares @ weights.is_commodity).mean, invested_unit),
    ]


def _count_metrics(counts: CellCounts, series: CellSeries) -> list[MetricRow]:
    n = series.net_return.size
    solves = counts.solve_count
    numbers = {
        "n_obs": n,
        "n_windows": counts.window_count,
        "n_windows_failed": counts.failed_window_count,
        "n_fallback": counts.fallback_count,
        "n_sign_errors": counts.sign_error_count,
        **{metric: counts.event_counts.get(code, 0) for metric, code in EVENT_COUNTS.items()},
    }
    no_solve = "" if solves else "nothing was solved"
    no_window = "" if counts.window_count else "no window was planned"
    simulated = np.unique(series.window_index).size
    return [
        *(MetricRow(metric, float(number), n, "ok", "") for metric, number in numbers.items()),
        _guarded("solver_success", solves, 0, no_solve, lambda: counts.accepted_solve_count / solves),
        _guarded("window_coverage", n, 0, no_window, lambda: simulated / counts.window_count),
        _guarded("nav_low", n, 1, "", lambda: series.nav.min() / series.starting_nav),
    ]


def _check(
    series: CellSeries,
    market: NDArray[np.float64] | None,
    stress_reference: NDArray[np.float64] | None,
    weights: WindowWeights | None,
) -> None:
    r = series.net_return
    n = r.size
    given = {
        "session_date": series.session_date,
        "net_return": r,
        "gross_return": series.gross_return,
        "nav": series.nav,
        "window_index": series.window_index,
        "turnover": series.turnover,
        "is_rebalance": series.is_rebalance,
        "market": market,
        "stress_reference": stress_reference,
    }
    for name, array in given.items():
        if array is not None and array.shape != (n,):
            _reject(f"{name} has shape {array.shape}; net_return has {n} sessions", "align it with the cell")
    for name in ("net_return", "gross_return", "nav", "turnover"):
        require_finite(given[name], name=name)  # type: ignore[arg-type]
    if weights is not None:
        shape = weights.net_weight.shape
        if len(shape) != 2 or {weights.gross_weight.shape, weights.cluster_id.shape} != {shape}:
            _reject(f"window weights have shapes {shape}, ...", "pass three arrays of windows by symbols")
        if {weights.is_equity.shape, weights.is_commodity.shape} != {shape[1:]}:
            _reject(f"what {shape[1]} symbols are has another length", "pass one flag per symbol")
        require_finite(weights.net_weight, name="net_weight")
        require_finite(weights.gross_weight, name="gross_weight")
    if n == 0:
        return
    if np.any(np.diff(series.session_date) <= np.timedelta64(0, "D")):
        _reject("session_date does not ascend", "order the sessions and keep one row of each")
    if np.any(np.diff(series.window_index) < 0):
        _reject("window_index falls", "order the sessions; a window is one stretch of them")
    if r.min() < -1.0:
        row = int(np.argmin(r))
        _reject(f"net_return is {r[row]} on session {row}", "a book cannot lose more than all of its NAV")
    before = np.concatenate([[series.starting_nav], series.nav[:-1]])
    grown = before * (1.0 + r)
    wrong = np.flatnonzero(np.abs(grown - series.nav) > 1e-9 * np.maximum(np.abs(before), np.abs(grown)))
    if wrong.size:
        row = int(wrong[0])
        _reject(
            f"nav is {series.nav[row]} on session {row}, but its net return makes it {grown[row]}",
            "pass the NAV and the net returns of one path",
        )
    wrong = np.flatnonzero(r > series.gross_return + 1e-12)
    if wrong.size:
        row = int(wrong[0])
        _reject(
            f"net_return {r[row]} is above gross_return {series.gross_return[row]} on session {row}",
            "costs and borrow are never negative; check which series is which",
        )


def _reject(message: str, remedy: str) -> None:
    raise DataContractError(message, remedy=remedy)
