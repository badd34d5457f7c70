"""Clusters of synthetic streams: Ward linkage on correlation distances, cut flat by regime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STILL = 1e-12


def average_correlation(centred: FloatArray, lookbacks: Sequence[int]) -> FloatArray:
    """Return the Pearson correlation averaged over the look-backs that fit, shape (..., n, n).

    `centred` is (..., n, T), each stream less its mean, latest session last; each look-back takes that many
    last columns, all of them if none fits. The root mean square of the distances sqrt((1 - rho) / 2) over the
    look-backs is the distance of the mean rho, so averaging rho averages the distances.
    """
    length = centred.shape[-1]
    fitting = sorted({lookback for lookback in lookbacks if lookback <= length}) or [length]
    total = np.zeros((*centred.shape[:-1], centred.shape[-2]))
    diagonal = np.arange(centred.shape[-2])
    for lookback in fitting:
        tail = centred[..., length - lookback :]
        mean = tail.mean(axis=-1)
        raw = tail @ tail.swapaxes(-1, -2)
        product = raw - lookback * mean[..., :, None] * mean[..., None, :]
        variance = product[..., diagonal, diagonal]
        # A stream that stood still over a short look-back has no correlation there; it counts as
        # uncorrelated.
        moves = variance > STILL * raw[..., diagonal, diagonal]
        scale = np.sqrt(np.where(moves, variance, np.inf))
        total += product / (scale[..., :, None] * scale[..., None, :])
    return np.clip(total / len(fitting), -1.0, 1.0)


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
