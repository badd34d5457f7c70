"""Clusters of physical returns: correlations per look-back, ridge, root mean square of distances, Ward linkage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError
from quantmill.frames import frozen

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Below this share of its squared length a centred column stands still: rounding alone leaves as much.
STILL = 1e-12
# A smallest eigenvalue below this share of the largest is rounding: the matrix is singular.
SINGULAR = 1e-14
PERSISTENT_LOOKBACKS = 2


@dataclass(frozen=True)
class ClusteringRules:
    """How a pool is clustered. Lengths are sessions, `cut` is a Ward height, `kappa_max` a condition number."""

    lookbacks: tuple[int, ...]
    min_periods: int
    shrinkage: tuple[float, ...]
    kappa_max: float
    cut: float
    max_clusters: int


@dataclass(frozen=True)
class Correlation:
    """A correlation matrix of n assets, shape (n, n); `is_imputed` marks pairs without one, which count as 0.

    `kappa` is its condition number after `shrinkage`, infinite where it stayed singular.
    """

    values: FloatArray
    shrunk: FloatArray
    is_imputed: BoolArray
    kappa: float
    shrinkage: float


@dataclass(frozen=True)
class Clustering:
    """The clusters of n assets, and what they rest on.

    `labels` is (n,), 1..K by size descending, then by smallest position. `correlation` is (n, n), the mean over
    look-backs before shrinkage; `beta` is (n, n), row on column over the longest look-back, NaN where the
    column stands still or the pair has too few sessions; `leverage_correlation` is the correlation over the same
    sessions. `co_members` is (n, n): the look-backs which, clustered alone, put a pair together. `volatility` is (K,)
    per session, of equal weights in the members over the longest look-back, NaN with fewer than two sessions.
    `kappa` and `shrinkage` are the largest of the look-backs; NaN for an empty pool.
    """

    labels: IntArray
    correlation: FloatArray
    leverage_correlation: FloatArray
    beta: FloatArray
    co_members: IntArray
    volatility: FloatArray
    lookbacks: tuple[int, ...]
    imputed_pair_count: int
    kappa: float
    shrinkage: float

    @property
    def cluster_count(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max(initial=0))


def regime_cut(threshold: float, regime_cuts: dict[str, float], regime: str, mode: str) -> float:
    """Return the height of the cut: `threshold` itself if `mode` is fixed, else the regime's, scaled by it.

    At the base threshold 0.5 the cut is that of the regime.
    """
    return threshold if mode == "fixed" else regime_cuts[regime] * threshold / 0.5


def pair_moments(returns: FloatArray, min_periods: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return correlation, beta of row on column and the shared sessions of each pair, shape (n, n) each.

    `returns` is (T, n), NaN where no return is; a pair is measured over the sessions that both have. Correlation
    and beta are NaN with fewer than `min_periods` of them, or where one of the pair stands still over them.
    """
    is_there = np.isfinite(returns)
    mask = is_there.astype(np.float64)
    counts = mask.T @ mask
    totals = np.where(is_there, returns, 0.0).sum(axis=0)
    # Less its own mean a column keeps its digits in the squares below; what a pair shares is centred there again.
    centred = np.where(is_there, returns - totals / np.maximum(mask.sum(axis=0), 1.0), 0.0)
    squares = (centred**2).T @ mask
    sums = centred.T @ mask
    with np.errstate(divide="ignore", invalid="ignore"):
        products = centred.T @ centred - sums * sums.T / counts
        variance = squares - sums**2 / counts
        moves = variance > STILL * (squares + (totals / np.maximum(mask.sum(axis=0), 1.0))[:, None] ** 2 * counts)
        is_measured = (counts >= min_periods) & moves & moves.T
        correlation = np.where(is_measured, products / np.sqrt(variance * variance.T), np.nan)
        beta = np.where(is_measured, products / variance.T, np.nan)
    return np.clip(correlation, -1.0, 1.0), beta, counts.astype(np.int64)


def condition_number(matrix: FloatArray) -> float:
    """Return the largest over the smallest eigenvalue of a symmetric matrix; infinite unless all are positive."""
    eigenvalues = np.linalg.eigvalsh(matrix)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    return largest / smallest if smallest > SINGULAR * largest else float("inf")


def shrink(correlation: FloatArray, ladder: Sequence[float], kappa_max: float) -> tuple[FloatArray, float, float]:
    """Return (1 - lambda) R + lambda I for the first lambda of `ladder` under `kappa_max`, its kappa, and lambda.

    The last of the ladder is taken where none is.
    """
    identity = np.eye(len(correlation))
    shrunk, kappa, used = correlation, float("inf"), 0.0
    for used in ladder:
        shrunk = (1.0 - used) * correlation + used * identity
        kappa = condition_number(shrunk)
        if kappa <= kappa_max:
            break
    return shrunk, kappa, used


def correlate(returns: FloatArray, rules: ClusteringRules) -> Correlation:
    """Return the shrunk correlation of `returns`, shape (T, n), NaN where no return is."""
    measured, _, _ = pair_moments(returns, rules.min_periods)
    is_imputed = ~np.isfinite(measured)
    np.fill_diagonal(is_imputed, val=False)
    values = np.where(is_imputed, 0.0, measured)
    np.fill_diagonal(values, 1.0)
    shrunk, kappa, used = shrink(values, rules.shrinkage, rules.kappa_max)
    return Correlation(values, shrunk, is_imputed, kappa, used)


def correlation_distance(correlation: FloatArray) -> FloatArray:
    """Return sqrt((1 - rho) / 2), in [0, 1] (Mantegna 1999)."""
    return np.sqrt(0.5 * (1.0 - np.clip(correlation, -1.0, 1.0)))


def average_distance(distances: Sequence[FloatArray]) -> FloatArray:
    """Return the root mean square of distances, which is the distance of the mean correlation."""
    squared: FloatArray = np.mean([distance**2 for distance in distances], axis=0)
    return np.sqrt(squared)


def ward_clusters(distance: FloatArray, cut: float, max_clusters: int) -> IntArray:
    """Return the cluster of each of n assets, 1..K by size descending, then by smallest position.

    `distance` is (n, n). The tree of Ward's linkage is cut at height `cut`, and where that leaves more than
    `max_clusters`, higher, so that they are no more than that. Raises `DataContractError` for a distance that is
    not finite.
    """
    count = len(distance)
    if count < 2:
        return np.ones(count, dtype=np.int64)
    rows, columns = np.triu_indices(count, 1)
    condensed = distance[rows, columns]
    if not np.isfinite(condensed).all():
        raise DataContractError(
            f"{int((~np.isfinite(condensed)).sum())} of {len(condensed)} distances between assets are not finite",
            remedy="give pairs without a correlation the correlation 0 before clustering",
        )
    from scipy.cluster.hierarchy import fcluster, ward

    tree = ward(condensed)
    found = fcluster(tree, t=cut, criterion="distance")
    if found.max() > max_clusters:
        found = fcluster(tree, t=max_clusters, criterion="maxclust")
    return _renumbered(found)


def cluster_pool(returns: FloatArray, rules: ClusteringRules) -> Clustering:
    """Cluster the n assets whose simple physical returns `returns` holds, shape (T, n), latest session last.

    The columns stand in the order of their symbols; NaN is a session without a return. Look-backs longer than T
    are left out, and all T sessions are taken if none fits. An empty pool has no cluster, one asset has one.
    """
    length, count = returns.shape
    fitting = tuple(sorted(lookback for lookback in rules.lookbacks if lookback <= length)) or (length,)
    if not count:
        nothing = np.zeros((0, 0))
        return Clustering(
            labels=np.zeros(0, dtype=np.int64),
            correlation=nothing,
            leverage_correlation=nothing,
            beta=nothing,
            co_members=np.zeros((0, 0), dtype=np.int64),
            volatility=np.zeros(0),
            lookbacks=fitting,
            imputed_pair_count=0,
            kappa=float("nan"),
            shrinkage=float("nan"),
        )
    found = [correlate(returns[length - lookback :], rules) for lookback in fitting]
    distances = [correlation_distance(one.shrunk) for one in found]
    labels = ward_clusters(average_distance(distances), rules.cut, rules.max_clusters)
    alone = [ward_clusters(distance, rules.cut, rules.max_clusters) for distance in distances]
    together = np.sum([part[:, None] == part[None, :] for part in alone], axis=0)
    longest = returns[length - fitting[-1] :]
    leverage_correlation, beta, _ = pair_moments(longest, rules.min_periods)
    return Clustering(
        labels=frozen(labels),
        correlation=frozen(np.mean([one.values for one in found], axis=0)),
        leverage_correlation=frozen(leverage_correlation),
        beta=frozen(beta),
        co_members=frozen(together.astype(np.int64)),
        volatility=frozen(_volatilities(longest, labels)),
        lookbacks=fitting,
        imputed_pair_count=int(sum(one.is_imputed.sum() for one in found)) // 2,
        kappa=max(one.kappa for one in found),
        shrinkage=max(one.shrinkage for one in found),
    )


def companions(clustering: Clustering) -> tuple[IntArray, IntArray]:
    """Return, per asset, in how many look-backs it is with a companion, and its persistent companions.

    Companions are the other members of its cluster. One is persistent when two look-backs or more, clustered
    alone, keep the pair together.
    """
    same = clustering.labels[:, None] == clustering.labels[None, :]
    np.fill_diagonal(same, val=False)
    shared = np.where(same, clustering.co_members, 0)
    return shared.max(axis=1, initial=0), (shared >= PERSISTENT_LOOKBACKS).sum(axis=1)


def _renumbered(found: NDArray[np.int32]) -> IntArray:
    """Return labels 1..K by size descending, then by the first place a cluster is seen at."""
    names, first, inverse, sizes = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    places = np.empty(len(names), dtype=np.int64)
    places[order] = np.arange(1, len(names) + 1)
    return places[inverse]


def _volatilities(returns: FloatArray, labels: IntArray) -> FloatArray:
    """Return the standard deviation per session of each cluster's mean return over sessions that have one."""
    found = np.full(int(labels.max(initial=0)), np.nan)
    for label in range(1, len(found) + 1):
        own = returns[:, labels == label]
        is_there = np.isfinite(own)
        seen = is_there.any(axis=1)
        if seen.sum() >= 2:
            means = np.where(is_there, own, 0.0)[seen].sum(axis=1) / is_there[seen].sum(axis=1)
            found[label - 1] = means.std(ddof=1)
    return found
