"""Entropy and Euclidean projections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantmill.allocation.projection import entropy_projection, project_capped_simplex, water_fill
from quantmill.errors import DataContractError

PRIOR = np.array([0.60, 0.20, 0.10, 0.06, 0.04])


def bounds(count, cap):
    return np.zeros(count), np.full(count, cap)


def test_the_entropy_projection_keeps_the_ratio_of_uncapped_units():
    np.testing.assert_allclose(water_fill(PRIOR, *bounds(5, 0.25), 1.0), [0.25, 0.25, 0.25, 0.15, 0.10], atol=1e-12)


def test_the_euclidean_projection_keeps_the_difference_of_uncapped_units():
    np.testing.assert_allclose(
        project_capped_simplex(PRIOR, *bounds(5, 0.25), 1.0), [0.25, 0.25, 0.20, 0.16, 0.14], atol=1e-12
    )


boxes = st.integers(2, 25).flatmap(
    lambda count: st.tuples(
        st.lists(st.floats(1e-6, 1.0), min_size=count, max_size=count),
        st.floats(1.0 / count + 1e-9, 1.0),
        st.floats(0.0, 0.9 / count),
    )
)


@settings(max_examples=60, deadline=None)
@given(boxes)
def test_projections_hold_their_sum_and_bounds(case):
    values, cap, floor = case
    prior = np.array(values)
    lower, upper = np.full(len(prior), floor), np.full(len(prior), cap)
    for weights in (
        water_fill(prior, lower, upper, 1.0),
        project_capped_simplex(prior, lower, upper, 1.0),
    ):
        assert abs(weights.sum() - 1.0) <= 1e-12
        assert (weights >= lower).all()
        assert (weights <= upper).all()


@settings(max_examples=40, deadline=None)
@given(boxes, st.integers(0, 2**32 - 1))
def test_no_feasible_point_is_nearer_than_the_projection(case, seed):
    values, cap, _ = case
    prior = np.array(values)
    lower, upper = bounds(len(prior), cap)
    entropy = water_fill(prior, lower, upper, 1.0)
    euclid = project_capped_simplex(prior, lower, upper, 1.0)

    def divergence(w):
        return float(np.sum(np.where(w > 0, w * np.log(np.maximum(w, 1e-300) / prior), 0.0)))

    rng = np.random.default_rng(seed)
    for _ in range(20):
        other = water_fill(rng.dirichlet(np.ones(len(prior))) + 1e-9, lower, upper, 1.0)
        assert divergence(entropy) <= divergence(other) + 1e-9
        assert np.square(euclid - prior).sum() <= np.square(other - prior).sum() + 1e-12


def test_a_unit_without_prior_stays_at_its_lower_bound():
    weights = water_fill(np.array([1.0, 0.0, 1.0]), np.array([0.0, 0.1, 0.0]), np.ones(3), 1.0)
    np.testing.assert_allclose(weights, [0.45, 0.1, 0.45], atol=1e-12)


@pytest.mark.parametrize("project", [water_fill, project_capped_simplex])
def test_bounds_that_cannot_hold_the_sum_are_an_error(project):
    with pytest.raises(DataContractError, match=r"from 0 to 0\.75; 1 was needed"):
        project(np.ones(3), *bounds(3, 0.25), 1.0)


@pytest.mark.parametrize("prior", [[np.nan, 1.0], [-0.1, 1.0], [0.0, 0.0]])
def test_a_prior_that_is_no_weight_vector_is_an_error(prior):
    with pytest.raises(DataContractError, match="prior of a projection"):
        water_fill(np.array(prior), *bounds(2, 1.0), 1.0)


def test_a_linear_row_that_does_not_bind_changes_nothing():
    rows, limits = np.array([[0.0, 1.0, 1.0, 0.0, 0.0]]), np.array([0.9])
    found = entropy_projection(PRIOR, *bounds(5, 0.25), 1.0, rows, limits)
    np.testing.assert_allclose(found, water_fill(PRIOR, *bounds(5, 0.25), 1.0), atol=1e-12)


def test_a_binding_row_gives_the_closed_form_of_two_groups():
    # With room in every bound a limit fixes the sum of its group; ratios inside it are those of the prior.
    rows, limits = np.array([[1.0, 1.0, 0.0, 0.0, 0.0]]), np.array([0.5])
    found = entropy_projection(PRIOR, *bounds(5, 1.0), 1.0, rows, limits)
    np.testing.assert_allclose(found, [0.375, 0.125, 0.25, 0.15, 0.10], atol=1e-11)


def test_the_entropy_projection_under_rows_equals_a_conic_solver():
    import cvxpy as cp

    rng = np.random.default_rng(5)
    for _ in range(4):
        prior = rng.dirichlet(np.ones(8))
        rows = rng.uniform(0, 1, (3, 8)) * rng.integers(0, 2, (3, 8))
        limits = 0.9 * rows @ np.full(8, 1 / 8) + 0.02
        w = cp.Variable(8)
        problem = cp.Problem(
            cp.Minimize(cp.sum(cp.rel_entr(w, prior))),
            [cp.sum(w) == 1, w >= 0, w <= 0.4, rows @ w <= limits],
        )
        problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
        found = entropy_projection(prior, *bounds(8, 0.4), 1.0, rows, limits)
        np.testing.assert_allclose(found, w.value, atol=1e-5)


def test_rows_that_leave_no_point_are_an_error():
    with pytest.raises(DataContractError, match="ended with PrimalInfeasible"):
        entropy_projection(np.ones(3), *bounds(3, 0.5), 1.0, np.ones((1, 3)), np.array([0.5]))
