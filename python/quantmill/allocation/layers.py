"""Layer 2 (weights inside a cluster), the way from atoms to symbols, and the guards on that way."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantmill.errors import DataContractError, WeightLeak

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
IntraMode = Literal["blend", "inverse_variance", "inverse_vol", "equal"]

LEAK_TOLERANCE = 1e-6
CAP_TOLERANCE = 1e-6
VOLATILITY_FLOOR = 1e-6


def layer_two_shares(
    clusters: IntArray, volatility: FloatArray, momentum: FloatArray, *, mode: IntraMode, alpha: float
) -> FloatArray:
    """Return each atom's share u of its cluster, shape (..., atoms); the shares of a cluster sum to one.

    `blend` is alpha * IV + (1 - alpha) * MR: IV is proportional to 1 / volatility^2, MR to the rank (1 is
    lowest, ties share their mean) of `momentum`, the compounded return. Volatilities are floored at 1e-6 of
    the median of the window.
    """
    same = clusters[..., :, None] == clusters[..., None, :]
    size = same.sum(axis=-1)
    if mode == "equal":
        return np.asarray(1.0 / size)
    floored = np.maximum(volatility, VOLATILITY_FLOOR * np.median(volatility, axis=-1, keepdims=True))
    raw = 1.0 / floored if mode == "inverse_vol" else floored**-2.0
    inverse: FloatArray = raw / (same @ raw[..., None])[..., 0]
    if mode != "blend":
        return inverse
    mine, others = momentum[..., :, None], momentum[..., None, :]
    rank = (same & (others < mine)).sum(axis=-1) + 0.5 * ((same & (others == mine)).sum(axis=-1) + 1)
    return np.asarray(alpha * inverse + (1.0 - alpha) * rank / (0.5 * size * (size + 1)))


def membership(clusters: IntArray, shares: FloatArray, count: int) -> FloatArray:
    """Return U with U[c, i] = u_i where atom i belongs to cluster c, shape (..., count, atoms); r_c = U r."""
    return np.where(clusters[..., None, :] == np.arange(count)[:, None], shares[..., None, :], 0.0)


def symbol_exposure(
    clusters: IntArray, shares: FloatArray, symbols: IntArray, signs: IntArray, count: int
) -> FloatArray:
    """Return A with x = A W: the net weight of each symbol per unit of each cluster, shape (max symbol + 1,
    count).
    """
    exposure = np.zeros((int(symbols.max(initial=-1)) + 1, count))
    np.add.at(exposure, (symbols, clusters), shares * signs)
    return exposure


def flatten(atom_weights: FloatArray, symbols: IntArray, signs: IntArray, symbol_count: int) -> FloatArray:
    """Return the net physical weight of each symbol, x_j = sum of w_i s_i over the atoms of j, shape
    (symbol_count).
    """
    return np.bincount(symbols, weights=atom_weights * signs, minlength=symbol_count).astype(np.float64)


def netting_ratio(atom_weights: FloatArray, net_weights: FloatArray) -> float:
    """Return gross exposure after netting over gross before it; NaN for an empty book."""
    gross = float(np.abs(atom_weights).sum())
    return float(np.abs(net_weights).sum()) / gross if gross > 0 else float("nan")


def require_no_leak(atom_weights: FloatArray, signs: IntArray, net_weights: FloatArray, cash: float) -> None:
    """Raise `WeightLeak` unless nothing was lost on the way: net is conserved and weights plus cash are one,
    to 1e-6.
    """
    gap = abs(float(net_weights.sum()) - float(atom_weights @ signs))
    if not gap <= LEAK_TOLERANCE:
        raise WeightLeak(
            f"WEIGHT_LEAK: the net weight of symbols is {gap:.3g} away from that of their atoms; "
            f"{LEAK_TOLERANCE:g} was allowed",
            remedy="check the mapping from atoms to symbols",
            gap=gap,
        )
    total = float(atom_weights.sum()) + cash
    if not abs(total - 1.0) <= LEAK_TOLERANCE:
        raise WeightLeak(
            f"WEIGHT_LEAK: weights and cash sum to {total:.9g}; 1 was needed",
            remedy="report this window: its solver passed a check that it should have failed",
            total=total,
        )
    gross_before, gross_after = float(np.abs(atom_weights).sum()), float(np.abs(net_weights).sum())
    if not gross_after <= gross_before + LEAK_TOLERANCE:
        raise WeightLeak(
            f"WEIGHT_LEAK: gross grew from {gross_before:.9g} to {gross_after:.9g} on the way to symbols",
            remedy="check the mapping from atoms to symbols",
            gross_before=gross_before,
            gross_after=gross_after,
        )


def require_caps(cluster_weights: FloatArray, cluster_cap: float, net_weights: FloatArray, asset_cap: float) -> None:
    """Raise `DataContractError` if a cluster or a symbol stands above its cap by more than 1e-6, or a weight
    is negative.
    """
    lowest = float(cluster_weights.min(initial=0.0))
    if not lowest >= -1e-9:
        raise DataContractError(
            f"a cluster weight is {lowest:.3g}; solver weights are never negative",
            remedy="report this window: its solver passed a check that it should have failed",
            weight=lowest,
        )
    for name, found, cap in (
        ("cluster_cap", float(cluster_weights.max(initial=0.0)), cluster_cap),
        ("asset_cap", float(np.abs(net_weights).max(initial=0.0)), asset_cap),
    ):
        if not found <= cap + CAP_TOLERANCE:
            raise DataContractError(
                f"{name} is {cap:.6g} and a weight is {found:.6g}",
                remedy="solve the window again with the cap as a linear row",
                constraint=name,
                cap=cap,
                found=found,
            )
