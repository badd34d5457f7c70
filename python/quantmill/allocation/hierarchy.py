"""Hierarchical risk parity: a tree of streams, its leaves in order, and the budget split along them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.allocation.clusters import condensed_distances
from quantmill.errors import DataContractError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
HrpVariant = Literal["product", "lopez_de_prado"]


def leaf_order(streams: FloatArray, variant: HrpVariant = "product") -> IntArray:
    """Return the units in the order of the leaves of their tree, shape (K).

    `streams` (K, T) are simple returns per session. Distances are sqrt((1 - rho) / 2) of the sample Pearson
    correlation. `product` joins by Ward linkage and orders the leaves optimally (Bar-Joseph and others 2001),
    which no renaming of the units changes; `lopez_de_prado` joins by single linkage and keeps the leaves as
    they come (Lopez de Prado 2016). Raises `DataContractError` for a stream that does not move.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(streams) < 2:
        return np.arange(len(streams))
    centred = streams - streams.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("kt,kt->k", centred, centred))
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise DataContractError(
            f"{int((~(length > 0)).sum())} of {len(streams)} streams have no correlation with the others",
            remedy="remove constant and unfinished streams before the tree is built",
        )
    unit = centred / length[:, None]
    distances = condensed_distances(np.clip(unit @ unit.T, -1.0, 1.0))
    is_product = variant == "product"
    tree = linkage(distances, method="ward" if is_product else "single", optimal_ordering=is_product)
    return np.asarray(leaves_list(tree), dtype=np.int64)


def hierarchical_risk_parity(
    covariance: FloatArray, streams: FloatArray, variant: HrpVariant = "product"
) -> FloatArray:
    """Return the weights of hierarchical risk parity before any cap, shape (K); they sum to one.

    Lopez de Prado 2016: the leaf order of `streams` (K, T) is halved again and again, the left half having
    the floor of half of the leaves; a half gets the share 1 - V / (V + V of the other), where V = w'Sw for
    w proportional to 1 / diag(S). S is `covariance` (K, K), annual or per session: the scale does not matter.
    Raises `DataContractError` for a stream that does not move.
    """
    return bisected_weights(covariance, leaf_order(streams, variant))


def bisected_weights(covariance: FloatArray, order: IntArray) -> FloatArray:
    """Return the budget of one split along the halves of `order` (K), shape (K) in the order of `covariance`."""
    ordered = covariance[np.ix_(order, order)]
    inverse = 1.0 / np.diagonal(ordered)
    # A half's variance is the sum of its block of this matrix over the square of its sum of inverses.
    weighted = ordered * inverse[:, None] * inverse
    shares = np.ones(len(order))
    open_parts = [(0, len(order))]
    while open_parts:
        begin, end = open_parts.pop()
        if end - begin < 2:
            continue
        middle = begin + (end - begin) // 2
        left = weighted[begin:middle, begin:middle].sum() / inverse[begin:middle].sum() ** 2
        right = weighted[middle:end, middle:end].sum() / inverse[middle:end].sum() ** 2
        shares[begin:middle] *= 1.0 - left / (left + right)
        shares[middle:end] *= left / (left + right)
        open_parts += [(begin, middle), (middle, end)]
    weights = np.empty(len(order))
    weights[order] = shares
    return weights
