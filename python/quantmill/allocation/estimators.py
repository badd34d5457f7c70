"""What may enter an estimate, and the estimates that all engines share.

Streams are simple returns per session; arrays named `streams` are (..., units, sessions) with the latest
session last. Leading axes are windows, so that many windows are estimated in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.clusters import average_correlation, condensed_distances, flat_clusters
from quantmill.allocation.layers import layer_two_shares, membership
from quantmill.errors import BadValue, DataContractError

if TYPE_CHECKING:
    from quantmill.manifest.settings import AllocationSettings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEAST_VOLATILITY_ANNUAL = 1e-9
SPARSE_BELOW = 15
# Windows estimated in one call: enough to spread the overhead, few enough to stay in the cache.
BATCH = 8


@dataclass(frozen=True, slots=True)
class Event:
    """Something a reader of the window should know: a code, INFO, WARN or ERROR, and its numbers."""

    code: str
    severity: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class WindowInput:
    """What one decision may see.

    `returns` (T, n) are synthetic returns of the estimation rows, the last row being the decision; NaN means
    no return. Its columns stand in the order of `atom_ids`, which ascend. `symbols` (n) numbers the physical
    symbol of each atom, `signs` (n) its position at the decision (+1 or -1), `is_young` (n) marks atoms
    listed inside the rows.
    """

    window_index: int
    atom_ids: tuple[str, ...]
    returns: FloatArray
    symbols: IntArray
    signs: IntArray
    regime: str
    quadrant: str | None = None
    is_young: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Annual moments of K cluster streams, the covariance before the correlation is shrunk further.

    `covariance` (K, K) and its mean variance; `mean` (K) over the last rows; `tail_loss` (K) is CVaR per
    session; `fragility` (K) is the tail loss over its mean, NaN where that is no loss; `smallest_eigenvalue`
    and `largest_eigenvalue` are those of the correlation; `intensity` is what Ledoit-Wolf chose, NaN for a
    sample covariance.
    """

    covariance: FloatArray
    mean_variance: float
    mean: FloatArray
    tail_loss: FloatArray
    fragility: FloatArray
    smallest_eigenvalue: float
    largest_eigenvalue: float
    intensity: float


@dataclass(frozen=True, slots=True, eq=False)
class WindowEstimate:
    """What all profiles and configurations of one window share.

    `positions` (m) are the atoms kept; `clusters` (m) number their clusters 0..K-1, `shares` (m) are Layer 2.
    `streams` (K, T) are the returns of the clusters per session. `moments` is None where nothing could be
    estimated, and `failure` says why; every atom is then a cluster of its own.
    """

    window: WindowInput
    positions: IntArray
    clusters: IntArray
    shares: FloatArray
    cluster_count: int
    session_count: int
    periods_per_year: int
    streams: FloatArray
    moments: Moments | None
    failure: str
    removals: tuple[Removal, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """One atom that does not enter an estimate: its position among the atoms of the window, and why."""

    position: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class CleanWindow:
    """The streams of one window that can be estimated.

    `positions` (m) are the atoms kept, ascending; `streams` (m, T) holds no NaN; `momentum_rows` (m, T') are
    the raw rows from which compounded returns are taken where a young atom's stream was completed, else None.
    """

    positions: IntArray
    streams: FloatArray
    removals: tuple[Removal, ...]
    rows_dropped: int
    young: tuple[int, ...]
    momentum_rows: FloatArray | None


def clean_window(
    returns: FloatArray,
    symbols: IntArray,
    is_young: BoolArray | None,
    settings: AllocationSettings,
    periods_per_year: int,
) -> CleanWindow:
    """Return the streams of a window that can be estimated, and a removal for each atom that cannot.

    `returns` is (T, n) in the order of the atoms; NaN means no return on that row. Removed are, in this
    order: NON_FINITE (an infinity), TOXIC (|r| above `toxic_return`, with every atom of the same symbol),
    LIQUIDATED (a return of -1), LOW_COVERAGE (against the rows on which any atom has a return), ZERO_VARIANCE
    (annual volatility below 1e-9). Rows on which a remaining atom has a gap are dropped for all (nothing is
    padded), except for gaps of young atoms.

    A young atom keeps its own variance: its missing rows take its own mean and its deviations are scaled by
    sqrt(T / rows it has), so that every later estimator sees its variance in full and its correlations shrunk
    by sqrt(rows it has / T), with a positive semidefinite covariance by construction.
    """
    present = np.isfinite(returns)
    size = np.where(present, np.abs(returns), 0.0)
    young_flags = np.zeros(returns.shape[1], dtype=bool) if is_young is None else is_young
    removals: dict[int, Removal] = {}

    def remove(positions: Any, code: str, detail: str) -> None:
        for position in positions:
            removals.setdefault(int(position), Removal(int(position), code, detail.format(*_facts(position))))

    def _facts(position: int) -> tuple[float, int]:
        return float(size[:, position].max(initial=0.0)), int(present[:, position].sum())

    remove(np.flatnonzero(np.isinf(returns).any(axis=0)), "NON_FINITE", "an infinite return")
    toxic = np.unique(symbols[(size > settings.toxic_return).any(axis=0)])
    remove(
        np.flatnonzero(np.isin(symbols, toxic)),
        "TOXIC",
        f"a return beyond {settings.toxic_return:g} in its symbol; largest of the atom {{0:.6g}}",
    )
    remove(
        np.flatnonzero((np.where(present, returns, 0.0) <= -1.0).any(axis=0)),
        "LIQUIDATED",
        "lost everything in one session",
    )
    union = int(present.any(axis=1).sum())
    count = present.sum(axis=0)
    # A share that equals its limit passes; the small term keeps 0.1 * 250 from failing on its last bit.
    enough = (count >= settings.min_coverage * len(returns) - 1e-9) & (
        union - count <= settings.max_missing * union + 1e-9
    )
    enough = np.where(young_flags, count >= settings.min_rows, enough)
    remove(
        np.flatnonzero(~enough | (count < min(2, len(returns)))),
        "LOW_COVERAGE",
        f"{{1}} returns in {len(returns)} rows",
    )

    while True:
        kept = np.array([i for i in range(returns.shape[1]) if i not in removals], dtype=np.int64)
        young = kept[young_flags[kept]]
        mature = kept[~young_flags[kept]]
        anchor = mature if mature.size else kept
        rows = present[:, anchor].all(axis=1) if anchor.size else np.zeros(len(returns), dtype=bool)
        matrix = returns[np.ix_(rows, kept)]
        if not kept.size:
            break
        constant = [
            int(position)
            for column, position in enumerate(kept)
            if not _volatility(matrix[:, column], periods_per_year) >= LEAST_VOLATILITY_ANNUAL
        ]
        # Below two rows nothing has a variance: that is a property of the window, not of its atoms.
        if len(matrix) < 2 or not constant:
            break
        remove(constant, "ZERO_VARIANCE", f"annual volatility below {LEAST_VOLATILITY_ANNUAL:g}")

    streams = np.ascontiguousarray(matrix.T)
    gaps = ~np.isfinite(streams)
    incomplete = np.flatnonzero(gaps.any(axis=1))
    momentum_rows = None
    if incomplete.size:
        momentum_rows = streams.copy()
        for row in incomplete:
            own = ~gaps[row]
            mean = streams[row, own].mean()
            scale = np.sqrt(streams.shape[1] / own.sum())
            streams[row] = np.where(own, mean + scale * (streams[row] - mean), mean)
    return CleanWindow(
        positions=kept,
        streams=streams,
        removals=tuple(removals[position] for position in sorted(removals)),
        rows_dropped=int(len(returns) - rows.sum()) if kept.size else 0,
        young=tuple(int(position) for position in young),
        momentum_rows=momentum_rows,
    )


def _volatility(column: FloatArray, periods_per_year: int) -> float:
    own = column[np.isfinite(column)]
    return float(np.std(own, ddof=1) * np.sqrt(periods_per_year)) if len(own) > 1 else 0.0


def compounded_returns(streams: FloatArray, window: int) -> FloatArray:
    """Return the compounded return over the last min(window, T) sessions, shape (..., units); NaN rows count
    as 0.
    """
    tail = streams[..., -min(window, streams.shape[-1]) :]
    return np.asarray(np.nanprod(1.0 + tail, axis=-1) - 1.0)


def sample_covariance(centred: FloatArray) -> FloatArray:
    """Return the covariance per session of centred streams (..., units, T), divided by T - 1."""
    product: FloatArray = centred @ centred.swapaxes(-1, -2)
    covariance: FloatArray = product / (centred.shape[-1] - 1)
    return covariance


def ledoit_wolf(centred: FloatArray, counts: IntArray | int | None = None) -> tuple[FloatArray, FloatArray]:
    """Return the covariance shrunk toward the scaled identity, and the shrinkage intensity (Ledoit and Wolf
    2004).

    `centred` is (..., units, T), each stream with mean zero; the result is per session and equals
    scikit-learn's `ledoit_wolf`, which divides by T. `counts` says how many leading units of each window are
    real where windows with fewer units were padded with streams of zeros; the padding comes back as zeros.
    """
    units, sessions = centred.shape[-2:]
    real = np.broadcast_to(np.asarray(units if counts is None else counts), centred.shape[:-2])
    product: FloatArray = centred @ centred.swapaxes(-1, -2)
    squares = np.einsum("...kt,...kt->...t", centred, centred)
    target = np.trace(product, axis1=-2, axis2=-1) / sessions / real
    # sum over i, j of sum_t x_it^2 x_jt^2 is sum_t (sum_i x_it^2)^2, so the fourth moments need no second
    # product.
    fourth = np.square(squares).sum(axis=-1)
    spread = np.square(product).sum(axis=(-2, -1)) / sessions**2
    noise = (fourth / sessions - spread) / (real * sessions)
    distance = (spread - 2.0 * target * np.trace(product, axis1=-2, axis2=-1) / sessions + real * target**2) / real
    noise = np.minimum(noise, distance)
    # One unit is its own target: what is left of the distance is rounding.
    intensity = np.divide(noise, distance, out=np.zeros_like(distance), where=(noise != 0) & (real > 1))
    covariance = (1.0 - intensity)[..., None, None] * (product / sessions)
    diagonal = np.arange(units)
    covariance[..., diagonal, diagonal] += (intensity * target)[..., None] * (diagonal < real[..., None])
    return covariance, intensity


def correlation_of(covariance: FloatArray) -> FloatArray:
    """Return the correlation of a covariance (..., units, units); a unit without variance is uncorrelated
    with all.
    """
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    outer = scale[..., :, None] * scale[..., None, :]
    correlation: FloatArray = np.divide(covariance, outer, out=np.zeros_like(covariance), where=outer > 0)
    diagonal = np.arange(covariance.shape[-1])
    correlation[..., diagonal, diagonal] = 1.0
    return correlation


def shrink_correlation(covariance: FloatArray, epsilon: float) -> FloatArray:
    """Return the covariance whose correlation is (1 - epsilon) C + epsilon I, with the volatilities kept."""
    shrunk = (1.0 - epsilon) * covariance
    diagonal = np.arange(covariance.shape[-1])
    shrunk[..., diagonal, diagonal] = covariance[..., diagonal, diagonal]
    return shrunk


def shrunk_condition(smallest: float, largest: float, epsilon: float) -> float:
    """Return the condition number of (1 - epsilon) C + epsilon I from the outer eigenvalues of C; infinite if
    singular.
    """
    low = (1.0 - epsilon) * max(smallest, 0.0) + epsilon
    # An eigenvalue at the rounding of the largest one is zero.
    if low <= largest * 1e-16:
        return float("inf")
    return ((1.0 - epsilon) * largest + epsilon) / low


def conditional_value_at_risk(streams: FloatArray, beta: float) -> FloatArray:
    """Return the mean loss in the worst (1 - beta) share of sessions, shape (..., units); positive means a
    loss.

    Rockafellar and Uryasev 2000: min over z of z + sum (-r - z)+ / ((1 - beta) T), which for a history is the
    mean of the worst returns with the last of them taken in the fraction that (1 - beta) T leaves.
    """
    sessions = streams.shape[-1]
    tail = (1.0 - beta) * sessions
    whole = int(np.floor(tail))
    if whole >= sessions:
        return -np.asarray(streams.mean(axis=-1))
    ordered = np.partition(streams, whole, axis=-1)
    losses = -(ordered[..., :whole].sum(axis=-1) + (tail - whole) * ordered[..., whole])
    return np.asarray(losses / tail)


def relative_fragility(tail_losses: FloatArray, counts: IntArray | int | None = None) -> FloatArray:
    """Return each unit's tail loss over the mean of its window, shape (..., units); NaN where that is no
    loss.

    `counts` says how many units of each window are real where the others are zeros.
    """
    mean = tail_losses.sum(axis=-1) / (tail_losses.shape[-1] if counts is None else counts)
    return tail_losses / np.where(mean > 0, mean, np.nan)[..., None]


def estimate_windows(
    windows: Sequence[WindowInput], settings: AllocationSettings, *, periods_per_year: int
) -> list[WindowEstimate]:
    """Return the estimate of each window, in order. Windows of one shape are estimated together.

    Raises `DataContractError` for a window whose arrays do not fit each other and `BadValue` for a regime
    without a cluster cut. Whatever goes wrong inside an estimate is the `failure` of that window.
    """
    for window in windows:
        _require_window(window, settings)
    estimates: dict[int, WindowEstimate] = {}
    for members in _by_shape([window.returns.shape for window in windows]):
        shape = windows[members[0]].returns.shape
        if 0 in shape:
            cleaned = [_clean(windows[member], settings, periods_per_year) for member in members]
        else:
            stack = np.stack([windows[member].returns.T for member in members])
            cleaned = _clean_stack([windows[member] for member in members], stack, settings, periods_per_year)
        for group in _by_shape([clean.streams.shape for clean in cleaned]):
            places = [members[place] for place in group]
            found = _estimate_group(
                [windows[place] for place in places],
                [cleaned[place] for place in group],
                settings,
                periods_per_year,
            )
            estimates.update(zip(places, found, strict=True))
    return [estimates[place] for place in range(len(windows))]


def _require_window(window: WindowInput, settings: AllocationSettings) -> None:
    if window.regime not in settings.cluster_cut:
        raise BadValue(
            f"allocation.cluster_cut has no regime {window.regime!r}; it has {', '.join(settings.cluster_cut)}",
            remedy="add the regime to allocation.cluster_cut",
            regime=window.regime,
        )
    count = len(window.atom_ids)
    if window.atom_ids != tuple(sorted(set(window.atom_ids))):
        raise DataContractError(
            f"window {window.window_index}: atom ids are not ascending and unique",
            remedy="order the columns by atom_id and keep one per atom",
        )
    shapes = (window.returns.shape[1:], window.symbols.shape, window.signs.shape)
    if shapes != ((count,),) * 3 or (window.is_young is not None and window.is_young.shape != (count,)):
        raise DataContractError(
            f"window {window.window_index}: {count} atoms, but returns {window.returns.shape}, "
            f"symbols {window.symbols.shape}, signs {window.signs.shape}",
            remedy="pass one column, one symbol and one sign per atom",
        )
    if not (np.abs(window.signs) == 1).all():
        raise DataContractError(
            f"window {window.window_index}: signs hold {sorted(set(window.signs.tolist()))}; +1 or -1 was needed",
            remedy="take the sign from the direction of the atom",
        )


def _by_shape(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(place)
    return [places[start : start + BATCH] for places in groups.values() for start in range(0, len(places), BATCH)]


def _clean(window: WindowInput, settings: AllocationSettings, periods_per_year: int) -> CleanWindow:
    return clean_window(window.returns, window.symbols, window.is_young, settings, periods_per_year)


def _clean_stack(
    windows: Sequence[WindowInput], stack: FloatArray, settings: AllocationSettings, periods_per_year: int
) -> list[CleanWindow]:
    """Clean windows of one shape; one without any defect is taken from `stack` (windows, n, T)."""
    highest, lowest = stack.max(axis=-1), stack.min(axis=-1)
    finite_and_alive = np.isfinite(highest) & (highest <= settings.toxic_return) & (lowest > -1.0)
    # A spread above this leaves the volatility above its floor whatever the other rows are.
    moving = highest > lowest + LEAST_VOLATILITY_ANNUAL * 2.0 * np.sqrt(stack.shape[-1] / periods_per_year)
    plain = (finite_and_alive & moving).all(axis=-1)
    everyone = np.arange(stack.shape[1])
    return [
        CleanWindow(everyone, streams, (), 0, (), None) if ok else _clean(window, settings, periods_per_year)
        for window, streams, ok in zip(windows, stack, plain.tolist(), strict=True)
    ]


def _estimate_group(
    windows: Sequence[WindowInput],
    cleaned: Sequence[CleanWindow],
    settings: AllocationSettings,
    periods_per_year: int,
) -> list[WindowEstimate]:
    units, sessions = cleaned[0].streams.shape
    if units == 0 or sessions < 2:
        reason = "NO_ATOMS: no atom is left" if units == 0 else f"NO_ESTIMATE: {sessions} rows are left of 2 needed"
        return [
            _without_moments(*pair, reason, settings, periods_per_year) for pair in zip(windows, cleaned, strict=True)
        ]
    try:
        return _estimate_stack(windows, cleaned, settings, periods_per_year)
    except Exception as error:  # one bad window must not take the others of its shape with it
        if len(windows) > 1:
            return [
                _estimate_group([window], [clean], settings, periods_per_year)[0]
                for window, clean in zip(windows, cleaned, strict=True)
            ]
        reason = f"ESTIMATE_FAILED: {type(error).__name__}: {error}"
        return [_without_moments(windows[0], cleaned[0], reason, settings, periods_per_year)]


def _without_moments(
    window: WindowInput, clean: CleanWindow, reason: str, settings: AllocationSettings, periods_per_year: int
) -> WindowEstimate:
    count = len(clean.positions)
    return WindowEstimate(
        window=window,
        positions=clean.positions,
        clusters=np.arange(count),
        shares=np.ones(count),
        cluster_count=count,
        session_count=clean.streams.shape[1],
        periods_per_year=periods_per_year,
        streams=clean.streams,
        moments=None,
        failure=reason,
        removals=clean.removals,
        events=_events(window, clean, settings, None),
    )


def _estimate_stack(
    windows: Sequence[WindowInput],
    cleaned: Sequence[CleanWindow],
    settings: AllocationSettings,
    periods_per_year: int,
) -> list[WindowEstimate]:
    # One memory layout, so that the order of summation does not depend on how the caller stores the matrix.
    streams = np.ascontiguousarray(np.stack([clean.streams for clean in cleaned]))
    count, units, sessions = streams.shape
    centred = streams - streams.mean(axis=-1, keepdims=True)
    if settings.cluster_mode == "none":
        clusters = np.broadcast_to(np.arange(units), (count, units))
        shares = np.ones((count, units))
        rows, rows_centred = streams, centred
    else:
        distances = condensed_distances(average_correlation(centred, settings.cluster_lookbacks))
        clusters = np.stack(
            [
                flat_clusters(
                    distances[place],
                    units,
                    cut=settings.cluster_cut[window.regime],  # type: ignore[index]
                    max_clusters=settings.max_clusters,
                )
                for place, window in enumerate(windows)
            ]
        )
        volatility = np.sqrt(np.einsum("wnt,wnt->wn", centred, centred) / (sessions - 1))
        momentum = compounded_returns(streams, settings.momentum_window)
        for place, clean in enumerate(cleaned):
            if clean.momentum_rows is not None:
                momentum[place] = compounded_returns(clean.momentum_rows, settings.momentum_window)
        shares = layer_two_shares(clusters, volatility, momentum, mode=settings.intra_mode, alpha=settings.intra_alpha)
        # one shape whatever the other windows of the stack hold, so that they cannot move the last bit of this one
        groups = membership(clusters, shares, units)
        rows = groups @ streams
        rows_centred = rows - rows.mean(axis=-1, keepdims=True)
    sizes = clusters.max(axis=-1) + 1
    if settings.covariance == "ledoit_wolf":
        covariance, intensity = ledoit_wolf(rows_centred, sizes)
    else:
        covariance, intensity = sample_covariance(rows_centred), np.full(count, np.nan)
    covariance *= periods_per_year
    # Windows with fewer clusters are padded. A padded unit adds the eigenvalue 1 to the correlation, which
    # lies between the outer two because their mean is 1.
    eigenvalues = np.linalg.eigvalsh(correlation_of(covariance))
    mean = rows[..., -min(settings.mean_window, sessions) :].mean(axis=-1) * periods_per_year
    tail_loss = conditional_value_at_risk(rows, settings.cvar_beta)
    fragility = relative_fragility(tail_loss, sizes)
    mean_variance = np.trace(covariance, axis1=-2, axis2=-1) / sizes

    estimates = []
    for place, (window, clean) in enumerate(zip(windows, cleaned, strict=True)):
        size = int(sizes[place])
        if not mean_variance[place] > 0:
            reason = "ZERO_VARIANCE: no cluster moves"
            estimates.append(_without_moments(window, clean, reason, settings, periods_per_year))
            continue
        moments = Moments(
            covariance=covariance[place, :size, :size],
            mean_variance=float(mean_variance[place]),
            mean=mean[place, :size],
            tail_loss=tail_loss[place, :size],
            fragility=fragility[place, :size],
            smallest_eigenvalue=float(eigenvalues[place, 0]),
            largest_eigenvalue=float(eigenvalues[place, -1]),
            intensity=float(intensity[place]),
        )
        estimates.append(
            WindowEstimate(
                window=window,
                positions=clean.positions,
                clusters=clusters[place],
                shares=shares[place],
                cluster_count=size,
                session_count=sessions,
                periods_per_year=periods_per_year,
                streams=rows[place, :size],
                moments=moments,
                failure="",
                removals=clean.removals,
                events=_events(window, clean, settings, moments),
            )
        )
    return estimates


def _events(
    window: WindowInput, clean: CleanWindow, settings: AllocationSettings, moments: Moments | None
) -> tuple[Event, ...]:
    events = [
        Event(removal.code, "WARN", f"{window.atom_ids[removal.position]}: {removal.detail}")
        for removal in clean.removals
    ]
    atoms, sessions = clean.streams.shape
    if clean.rows_dropped:
        events.append(Event("ROWS_DROPPED", "INFO", f"{clean.rows_dropped} of {len(window.returns)} rows had a gap"))
    if clean.momentum_rows is not None:
        for position in clean.young:
            events.append(
                Event("YOUNG_ASSET", "INFO", f"{window.atom_ids[position]}: own variance, shrunk correlation")
            )
    if atoms < SPARSE_BELOW:
        events.append(Event("SPARSE_UNIVERSE", "WARN", f"{atoms} atoms; {SPARSE_BELOW} were wanted"))
    if sessions < atoms:
        events.append(Event("T_LT_N", "WARN", f"{sessions} rows for {atoms} atoms"))
    if sessions < settings.min_rows:
        events.append(Event("SHORT_ESTIMATE", "WARN", f"{sessions} rows; {settings.min_rows} were wanted"))
    if moments is not None and np.isnan(moments.fragility[0]):
        events.append(Event("FRAGILITY_UNDEFINED", "WARN", "the mean tail loss of the clusters is not a loss"))
    return tuple(events)
