"""Where weights that should differ agree, and where weights that should agree differ."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

CONVERGED_WITHIN = 1e-6
DRIFTED_BEYOND = 1e-3


def converged_pairs(weights: Mapping[str, FloatArray]) -> list[tuple[str, str]]:
    """Return the pairs of names whose weights agree to 1e-6, each in the order of the mapping.

    `weights` holds vectors over the same atoms, one per risk profile. Empty books agree with nothing: a
    profile that holds only cash is left out. Equal weights of two profiles say that the feasible set, and not
    the profiles, decided.
    """
    held = [name for name, vector in weights.items() if vector.any()]
    return [
        (first, second)
        for first, second in combinations(held, 2)
        if float(np.abs(weights[first] - weights[second]).max()) <= CONVERGED_WITHIN
    ]


def solver_drift(weights: FloatArray, others: FloatArray) -> float:
    """Return the largest difference between two solvers' weights over the same atoms, 0.0 up to 1e-3."""
    gap = float(np.abs(weights - others).max(initial=0.0))
    return gap if gap > DRIFTED_BEYOND else 0.0
