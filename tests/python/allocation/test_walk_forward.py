"""Long-only min variance on real stocks equals a direct solver and the walk of a library."""

from __future__ import annotations

import clarabel
import numpy as np
import pandas as pd
import pytest
from quantmill.allocation.windows import WindowRequest, allocate_windows
from scipy import sparse

TRAIN, TEST = 252, 20


@pytest.fixture(scope="module")
def requests(stocks):
    names, returns = stocks
    starts = range(0, len(returns) - TRAIN - TEST + 1, TEST)
    return [
        WindowRequest(index, start, start + TRAIN - 1, tuple(range(len(names))), "NORMAL")
        for index, start in enumerate(starts)
    ]


@pytest.fixture
def weights(stocks, requests, make_settings, plain):
    names, returns = stocks
    count = len(names)
    found = allocate_windows(
        returns,
        names,
        np.arange(count),
        np.ones(count, dtype=np.int64),
        requests,
        make_settings(**plain),
        profiles=("min_variance",),
        periods_per_year=252,
        step=TEST,
    )["min_variance"]
    assert {window.status for window in found} == {"native"}
    assert {attempt.solver for window in found for attempt in window.attempts} == {"DAQP"}
    return np.stack([window.atom_weights for window in found])


def direct_solution(covariance):
    count = len(covariance)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix(np.triu(2 * covariance / np.trace(covariance) * count)),
        np.zeros(count),
        sparse.csc_matrix(np.vstack([np.ones(count), -np.eye(count)])),
        np.r_[1.0, np.zeros(count)],
        [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(count)],
        settings,
    ).solve()
    return np.array(solution.x)


def test_the_walk_has_the_windows_of_the_sample(stocks, requests):
    names, returns = stocks
    assert (len(names), returns.shape, len(requests)) == (20, (1511, 20), 62)


def test_every_window_equals_a_direct_solve(stocks, requests, weights):
    _, returns = stocks
    expected = np.stack([direct_solution(np.cov(returns[r.first_row : r.decision_row + 1].T)) for r in requests])
    np.testing.assert_allclose(weights, expected, atol=1e-5)


# The tolerance that the comparison needs is beyond what the library calls accurate in a few windows.
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_the_walk_equals_the_walk_forward_of_skfolio(stocks, requests, weights):
    from skfolio import RiskMeasure
    from skfolio.model_selection import WalkForward, cross_val_predict
    from skfolio.moments import EmpiricalCovariance
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    names, returns = stocks
    frame = pd.DataFrame(returns, columns=list(names), index=pd.bdate_range("2017-01-02", periods=len(returns)))
    model = MeanRisk(
        risk_measure=RiskMeasure.VARIANCE,
        prior_estimator=EmpiricalPrior(covariance_estimator=EmpiricalCovariance()),
        solver_params={"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    )
    walked = cross_val_predict(model, frame, cv=WalkForward(train_size=TRAIN, test_size=TEST))
    expected = np.stack([portfolio.weights for portfolio in walked])
    assert expected.shape == weights.shape
    np.testing.assert_allclose(weights, expected, atol=1e-5)

    # Weights are held fixed within a test window, as the library does.
    daily = np.concatenate(
        [returns[r.decision_row + 1 : r.decision_row + 1 + TEST] @ w for r, w in zip(requests, weights, strict=True)]
    )
    volatility = daily.std(ddof=1) * np.sqrt(252)
    library = np.asarray(walked.returns).std(ddof=1) * np.sqrt(252)
    assert volatility == pytest.approx(library, abs=1e-6)
