"""Equal risk contributions: closed forms, caps inside the program, and an independent solver."""

from __future__ import annotations

import clarabel
import cvxpy
import numpy as np
import pytest
from quantmill.allocation import budgeting
from quantmill.allocation.budgeting import solve_risk_budget
from quantmill.allocation.quadratic import Polytope


def box(count, cap=1.0, *, total=1.0, rows=None, limits=None):
    return Polytope(total=total, lower=np.zeros(count), upper=np.full(count, cap), rows=rows, limits=limits)


def covariance_of(volatility, correlation):
    return np.asarray(correlation) * np.outer(volatility, volatility)


def solved(covariance, allowed):
    covariance = np.asarray(covariance)
    found = solve_risk_budget(covariance * len(covariance) / np.trace(covariance), allowed)
    assert [(one.solver, one.status) for one in found.tries] == [("NEWTON", "optimal")]
    return found.weights


def contributions(weights, covariance):
    return weights * (covariance @ weights) / (weights @ covariance @ weights)


def random_covariance(count, seed, sessions=80):
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(sessions, count)) * rng.uniform(0.05, 0.5, count) + rng.normal(0, 0.2, (sessions, 1))
    return np.cov(returns.T) + 1e-6 * np.eye(count)


def reference(covariance, cap, rows=None, limits=None):
    """The program of the specification in a modelling language."""
    count = len(covariance)
    y = cvxpy.Variable(count)
    scaled = cvxpy.psd_wrap(covariance * count / np.trace(covariance))
    constraints = [y <= cap * cvxpy.sum(y)]
    if rows is not None:
        constraints.append(rows @ y <= limits * cvxpy.sum(y))
    objective = 0.5 * cvxpy.quad_form(y, scaled) - cvxpy.sum(cvxpy.log(y)) / count
    problem = cvxpy.Problem(cvxpy.Minimize(objective), constraints)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return y.value / y.value.sum()


def test_equal_correlations_give_inverse_volatilities():
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    found = solved(covariance_of((0.1, 0.2, 0.3), correlation), box(3))
    np.testing.assert_allclose(found, (0.54545, 0.27273, 0.18182), atol=5e-6)
    np.testing.assert_allclose(found, np.array([6, 3, 2]) / 11, atol=1e-10)


def test_the_three_assets_of_the_example_contribute_a_third_each():
    covariance = covariance_of((0.1, 0.2, 0.3), [[1, 0.8, 0], [0.8, 1, -0.2], [0, -0.2, 1]])
    found = solved(covariance, box(3))
    np.testing.assert_allclose(found, (0.47971, 0.27880, 0.24150), atol=1e-5)
    np.testing.assert_allclose(contributions(found, covariance), 1 / 3, atol=1e-10)
    assert np.sqrt(found @ covariance @ found) == pytest.approx(0.115425, abs=5e-7)


def test_uncorrelated_assets_give_inverse_volatilities():
    volatility = np.array([0.05, 0.1, 0.4, 0.8])
    raw = 1 / volatility
    np.testing.assert_allclose(solved(np.diag(volatility**2), box(4)), raw / raw.sum(), atol=1e-10)


@pytest.mark.parametrize("count", [2, 5, 12, 25])
def test_without_a_binding_cap_all_contribute_the_same(count):
    covariance = random_covariance(count, count)
    found = solved(covariance, box(count))
    np.testing.assert_allclose(contributions(found, covariance), 1 / count, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("count", "cap"), [(5, 0.25), (8, 0.15), (12, 0.1), (20, 0.055)])
def test_capped_weights_are_those_of_a_modelling_language(seed, count, cap):
    covariance = random_covariance(count, 100 * seed + count)
    found = solved(covariance, box(count, cap))
    assert found.max() <= cap + 1e-12
    np.testing.assert_allclose(found, reference(covariance, cap), atol=5e-6)


@pytest.mark.parametrize("seed", range(6))
def test_weights_under_a_row_are_those_of_a_modelling_language(seed):
    covariance = random_covariance(8, seed)
    rows, limits = np.array([[1.0, 1, 0.5, 0, 0, 0, 0, 0]]), np.array([0.12])
    found = solved(covariance, box(8, 0.3, rows=rows, limits=limits))
    assert (rows @ found)[0] == pytest.approx(0.12, abs=1e-9)
    np.testing.assert_allclose(found, reference(covariance, 0.3, rows, limits), atol=5e-6)


def test_below_the_cap_contributions_rise_with_the_weight_alone():
    covariance = random_covariance(7, 9)
    cap = 0.9 * np.sort(solved(covariance, box(7)))[-2]
    found = solved(covariance, box(7, cap))
    free = found < cap - 1e-9
    assert 2 < free.sum() < 7
    # Stationarity: y (Sy) = 1/n + c * y for free units, with one c for all, the price of the caps.
    risk, weights = contributions(found, covariance)[free], found[free]
    slope, level = np.polyfit(weights, risk, 1)
    np.testing.assert_allclose(risk, level + slope * weights, atol=1e-9)
    assert slope > 0


def test_a_smaller_budget_scales_the_weights_and_their_caps():
    covariance = random_covariance(6, 1)
    whole = solved(covariance, box(6, 0.3))
    part = solved(covariance, box(6, 0.15, total=0.5))
    np.testing.assert_allclose(part, 0.5 * whole, atol=1e-9)


def test_scale_and_order_change_nothing():
    covariance = random_covariance(9, 2)
    base = solved(covariance, box(9, 0.15))
    np.testing.assert_allclose(solved(9.0 * covariance, box(9, 0.15)), base, atol=1e-9)
    order = np.random.default_rng(0).permutation(9)
    moved = solved(covariance[np.ix_(order, order)], box(9, 0.15))
    np.testing.assert_allclose(moved, base[order], atol=1e-9)


@pytest.mark.parametrize("answer", ["raises", "nan", "stalls"])
def test_when_the_own_method_fails_the_second_solver_answers(monkeypatch, answer):
    covariance = random_covariance(6, 4)
    expected = solved(covariance, box(6, 0.2))

    def broken(*_):
        if answer == "raises":
            raise np.linalg.LinAlgError("singular")
        return (np.full(6, np.nan), np.nan) if answer == "nan" else (np.ones(6), 1e-3)

    monkeypatch.setattr(budgeting, "_free_budget", broken)
    monkeypatch.setattr(budgeting, "_bounded_budget", broken)
    found = solve_risk_budget(covariance * 6 / np.trace(covariance), box(6, 0.2))
    assert found.solver == "CLARABEL"
    assert found.tries[0].status == ("error" if answer == "raises" else "rejected")
    assert found.tries[0].reason
    np.testing.assert_allclose(found.weights, expected, atol=1e-5)


def test_when_both_fail_there_are_no_weights(monkeypatch):
    def broken(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(budgeting, "_free_budget", broken)
    monkeypatch.setattr(clarabel, "DefaultSolver", broken)
    found = solve_risk_budget(np.eye(3), box(3))
    assert found.weights is None
    assert [one.status for one in found.tries] == ["error", "error"]
