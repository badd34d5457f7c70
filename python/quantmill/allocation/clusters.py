"""Clusters of synthetic streams: Ward linkage on correlation distances, cut flat by regime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def average_correlation(streams: FloatArray, lookbacks: Sequence[int]) -> FloatArray:
    """Return the Pearson correlation averaged over the look-backs that fit, shape (..., n, n).

    `streams` is (..., n, T) without NaN, latest session last; each look-back takes that many last columns. If
    none fits, all columns are used. The root mean square of the distances sqrt((1 - rho) / 2) is the distance
    of the mean rho.
    """
    length = streams.shape[-1]
    fitting = sorted({lookback for lookback in lookbacks if lookback <= length}) or [length]
    total: FloatArray | float = 0.0
    for lookback in fitting:
        tail = streams[..., length - lookback :]
        tail = tail - tail.mean(axis=-1, keepdims=True)
        product = tail @ tail.swapaxes(-1, -2)
        scale = np.sqrt(np.diagonal(product, axis1=-2, axis2=-1))
        outer = scale[..., :, None] * scale[..., None, :]
        # A stream that stood still over a short look-back has no correlation there; it counts as
        # uncorrelated.
        total = total + np.divide(product, outer, out=np.zeros_like(product), where=outer > 0)
    return np.clip(np.asarray(total) / len(fitting), -1.0, 1.0)


def condensed_distances(correlation: FloatArray) -> FloatArray:
    """Return sqrt((1 - rho) / 2) of the upper triangle in scipy's condensed order, shape (..., n (n - 1) /
    2).
    """
    rows, columns = np.triu_indices(correlation.shape[-1], 1)
    return np.sqrt(0.5 * (1.0 - correlation[..., rows, columns]))


def flat_clusters(distances: FloatArray, count: int, *, cut: float, max_clusters: int) -> IntArray:
    """Return the cluster of each of `count` streams, numbered 0..K-1 by the smallest position among its
    members.

    `distances` is condensed. Ward merge heights never fall, so the flat cut at `cut` keeps a prefix of the
    merges; more of them are kept where the cut would leave more than `max_clusters`.
    """
    from scipy.cluster.hierarchy import linkage

    if count == 1:
        return np.zeros(1, dtype=np.int64)
    merges = linkage(distances, "ward")
    kept = max(int(np.searchsorted(merges[:, 2], cut, side="right")), count - max_clusters)
    group = list(range(count + kept))
    for step, (left, right) in enumerate(merges[:kept, :2].astype(np.int64).tolist()):
        group[left] = group[right] = count + step
    for node in range(count + kept - 1, -1, -1):
        group[node] = group[group[node]]
    names: dict[int, int] = {}
    return np.array([names.setdefault(group[leaf], len(names)) for leaf in range(count)], dtype=np.int64)
