"""Where weights that should differ agree, and where weights that should agree differ."""

from __future__ import annotations

import numpy as np
from quantmill.allocation.agreement import converged_pairs, solver_drift


def test_weights_within_a_millionth_are_a_pair_and_others_are_not():
    base = np.array([0.25, 0.25, 0.5])
    weights = {
        "hrp": base,
        "risk_parity": base + np.array([5e-7, -5e-7, 0]),
        "max_sharpe": base + np.array([2e-6, -2e-6, 0]),
        "min_variance": base[::-1],
    }
    assert converged_pairs(weights) == [("hrp", "risk_parity")]


def test_books_of_cash_are_no_pair():
    assert converged_pairs({"hrp": np.zeros(3), "risk_parity": np.zeros(3)}) == []
    assert converged_pairs({"hrp": np.array([]), "risk_parity": np.array([])}) == []


def test_solvers_drift_beyond_a_thousandth():
    base = np.array([0.5, 0.5])
    drifted = base + np.array([2e-3, -2e-3])
    assert solver_drift(base, base + np.array([9e-4, -9e-4])) == 0.0
    assert solver_drift(base, drifted) == float(np.abs(drifted - base).max())
    assert solver_drift(np.array([]), np.array([])) == 0.0
