"""Clusters of synthetic streams: Ward linkage on correlation distances, cut flat by regime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError

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
    shape = (*centred.shape[:-1], centred.shape[-2])
    total, raw, sums = np.zeros(shape), np.zeros(shape), np.zeros(centred.shape[:-1])
    diagonal = np.arange(centred.shape[-2])
    seen = 0
    for lookback in fitting:
        # A longer look-back holds the shorter one: only the sessions before it are added.
        block = centred[..., length - lookback : length - seen]
        raw += block @ block.swapaxes(-1, -2)
        sums += block.sum(axis=-1)
        seen = lookback
        product = raw - sums[..., :, None] * (sums / lookback)[..., None, :]
        squares = raw[..., diagonal, diagonal]
        variance = squares - sums * sums / lookback
        # A stream that stood still over a short look-back has no correlation there; it counts as
        # uncorrelated.
        scale = np.sqrt(np.where(variance > STILL * squares, variance, np.inf))
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
    merges; more of them are kept where the cut would leave more than `max_clusters`. Raises
    `DataContractError` for a distance that is not finite.
    """
    from quantmill.allocation import _kernels

    if not np.isfinite(distances).all():
        raise DataContractError(
            f"{int((~np.isfinite(distances)).sum())} of {len(distances)} distances between streams are not finite",
            remedy="remove the streams without a correlation before clustering",
        )
    labels: IntArray = _kernels.ward_labels(np.ascontiguousarray(distances), count, cut, max_clusters)
    return labels
