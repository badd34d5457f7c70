"""The largest ratio of excess return to risk: closed forms and an independent solver."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
from quantmill.allocation.engines.contract import best_excess
from quantmill.allocation.engines.custom import maximum_sharpe_program, solve_request
from quantmill.allocation.quadratic import RatioProgram, solve_ratio

TANGENCY = np.diag(np.square([0.2, 0.2, 0.1]))
MEANS = (0.10, 0.08, 0.05)


def random_case(seed, count=8):
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(60, count)) * rng.uniform(0.05, 0.4, count) + rng.normal(0, 0.1, (60, 1))
    return np.cov(returns.T), rng.normal(0.06, 0.1, count), rng.dirichlet(np.ones(count))


def program(covariance, mean, cap=1.0, **extra):
    count = len(covariance)
    bounds = {"total": 1.0, "lower": np.zeros(count), "upper": np.full(count, cap)}
    return RatioProgram(**{**bounds, "quadratic": covariance, "excess": np.asarray(mean), **extra})


def reference(covariance, mean, cap, turnover=0.0, previous=None, rows=None, limits=None):
    """The program of the specification in a modelling language."""
    y, k = cvxpy.Variable(len(covariance)), cvxpy.Variable()
    gain = mean @ y
    if turnover:
        gain = gain - turnover * cvxpy.norm1(y - k * previous)
    constraints = [gain >= 1, cvxpy.sum(y) == k, y >= 0, y <= cap * k]
    if rows is not None:
        constraints.append(rows @ y <= limits * k)
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.quad_form(y, cvxpy.psd_wrap(covariance))), constraints)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return y.value / k.value


def test_the_tangency_portfolio_of_the_example(make_request):
    found = solve_request(make_request("max_sharpe", TANGENCY, mean=MEANS))
    np.testing.assert_allclose(found.weights, (0.2632, 0.2105, 0.5263), atol=5e-5)
    expected = np.linalg.solve(TANGENCY, MEANS)
    np.testing.assert_allclose(found.weights, expected / expected.sum(), atol=1e-9)


def test_the_relative_ridge_of_the_example(make_request):
    found = solve_request(make_request("max_sharpe", TANGENCY, mean=MEANS, gamma=0.10))
    np.testing.assert_allclose(found.weights, (0.2895, 0.2316, 0.4788), atol=5e-5)


def test_the_risk_free_rate_is_taken_from_every_mean(make_request):
    with_rate = make_request("max_sharpe", TANGENCY, mean=np.add(MEANS, 0.03), risk_free_annual=0.03)
    without = make_request("max_sharpe", TANGENCY, mean=MEANS)
    np.testing.assert_allclose(solve_request(with_rate).weights, solve_request(without).weights, atol=1e-9)


def test_fragility_is_taken_from_the_mean_relative_to_its_own_mean(make_request):
    phi = np.array([0.5, 1.0, 1.5])
    request = make_request("max_sharpe", TANGENCY, mean=MEANS, fragility=phi, fragility_weight=0.2)
    np.testing.assert_allclose(request.adjusted_mean, MEANS - 0.2 * np.sqrt(0.03) * (phi - 1))
    expected = np.linalg.solve(TANGENCY, request.adjusted_mean)
    np.testing.assert_allclose(solve_request(request).weights, expected / expected.sum(), atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cap", [1.0, 0.25, 0.15])
def test_weights_are_those_of_a_modelling_language(seed, cap):
    covariance, mean, _ = random_case(seed)
    found = solve_ratio(program(covariance, mean, cap))
    assert found.solver == "DAQP"
    np.testing.assert_allclose(found.weights, reference(covariance, mean, cap), atol=2e-6)


@pytest.mark.parametrize("seed", range(6))
def test_with_a_price_of_turnover_too(seed):
    covariance, mean, previous = random_case(seed)
    case = program(covariance, mean, 0.3, turnover=0.02, previous=previous)
    found = solve_ratio(case)
    expected = reference(covariance, mean, 0.3, 0.02, previous)
    np.testing.assert_allclose(found.weights, expected, atol=5e-6)
    assert case.ratio(found.weights) >= case.ratio(solve_ratio(program(covariance, mean, 0.3)).weights) - 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_with_a_linear_row_too(seed):
    covariance, mean, _ = random_case(seed)
    best = solve_ratio(program(covariance, mean, 0.4)).weights
    rows, limits = (best > 0.2).astype(float)[None, :], np.array([0.2])
    found = solve_ratio(program(covariance, mean, 0.4, rows=rows, limits=limits))
    np.testing.assert_allclose(found.weights, reference(covariance, mean, 0.4, rows=rows, limits=limits), atol=5e-6)


def test_every_solver_finds_the_same():
    covariance, mean, _ = random_case(1)
    expected = solve_ratio(program(covariance, mean, 0.3)).weights
    for solver, tolerance in (("CLARABEL", 1e-6), ("SCS", 2e-3)):
        found = solve_ratio(program(covariance, mean, 0.3), (solver,))
        assert found.solver == solver
        np.testing.assert_allclose(found.weights, expected, atol=tolerance)


def test_no_other_weights_have_a_better_ratio():
    covariance, mean, _ = random_case(2)
    case = program(covariance, mean, 0.3)
    best = case.ratio(solve_ratio(case).weights)
    rng = np.random.default_rng(0)
    others = rng.dirichlet(np.full(8, 0.5), 4000)
    others = others[others.max(axis=1) <= 0.3]
    assert len(others) > 100
    assert max(case.ratio(weights) for weights in others) < best


def test_a_smaller_budget_scales_the_weights():
    covariance, mean, _ = random_case(3)
    whole = solve_ratio(program(covariance, mean, 0.3)).weights
    part = solve_ratio(program(covariance, mean, 0.3 * 0.6, total=0.6)).weights
    np.testing.assert_allclose(part, 0.6 * whole, atol=1e-9)


def test_returns_that_are_all_negative_have_no_solution_and_say_so():
    found = solve_ratio(program(np.eye(3), [-0.1, -0.2, -0.05]))
    assert found.weights is None
    assert [one.status for one in found.tries] == ["rejected"] * 3


def test_the_best_excess_fills_the_best_clusters_to_their_cap(make_request):
    request = make_request("max_sharpe", np.eye(4), mean=(0.1, -0.2, 0.3, 0.0), cap=0.4)
    assert best_excess(request) == pytest.approx(0.4 * 0.3 + 0.4 * 0.1 + 0.2 * 0.0)


def test_the_best_excess_pays_for_its_trades_and_keeps_to_rows(make_request):
    previous = np.array([0.0, 0.5, 0.5, 0.0])
    priced = make_request(
        "max_sharpe", np.eye(4), mean=(0.1, 0.0, 0.3, 0.0), cap=0.5, turnover_price=0.02, previous=previous
    )
    assert best_excess(priced) == pytest.approx(0.15 + 0.05 - 0.02 * 1.0)
    rows = np.array([[0.0, 0.0, 1.0, 0.0]])
    ruled = make_request("max_sharpe", np.eye(4), mean=(0.1, 0.0, 0.3, 0.0), cap=0.5, rows=rows, limits=np.array([0.2]))
    assert best_excess(ruled) == pytest.approx(0.2 * 0.3 + 0.5 * 0.1)


def test_the_program_divides_by_the_mean_variance(make_request):
    request = make_request("max_sharpe", TANGENCY, mean=MEANS, gamma=0.1)
    np.testing.assert_allclose(maximum_sharpe_program(request).quadratic, TANGENCY / 0.03 + 0.1 * np.eye(3))
