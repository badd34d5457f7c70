"""The quadratic solvers: closed forms, agreement with each other, and what happens when one fails."""

from __future__ import annotations

import clarabel
import daqp
import numpy as np
import pytest
import scs
from hypothesis import given, settings
from hypothesis import strategies as st
from quantmill.allocation.quadratic import SOLVER_ORDER, QuadraticProgram, solve


def program(quadratic, *, linear=None, cap=1.0, total=1.0, **extra):
    quadratic = np.asarray(quadratic, dtype=float)
    count = len(quadratic)
    return QuadraticProgram(
        quadratic=quadratic,
        linear=np.zeros(count) if linear is None else np.asarray(linear, dtype=float),
        total=total,
        lower=np.zeros(count),
        upper=np.full(count, cap),
        **extra,
    )


def random_program(count, seed, *, turnover, rows):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(2 * count + 2, count)) * rng.uniform(0.3, 2.0, count)
    quadratic = factors.T @ factors
    quadratic *= count / np.trace(quadratic)
    cap = rng.uniform(1.2 / count, 1.0)
    extra = {}
    if rows:
        matrix = rng.uniform(0, 1, (2, count))
        extra = {"rows": matrix, "limits": matrix.mean(axis=1) + 0.02}
    if turnover:
        extra |= {"turnover": float(rng.uniform(0.01, 1)), "previous": rng.dirichlet(np.ones(count))}
    return program(quadratic, linear=0.2 * rng.uniform(0.5, 1.5, count), cap=cap, **extra)


@pytest.mark.parametrize("solver", SOLVER_ORDER)
@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (0.25, (0.25, 0.25, 0.25, 0.125, 0.125)),
        (1.0, (0.5806451613, 0.1451612903, 0.1451612903, 0.0645161290, 0.0645161290)),
    ],
)
def test_capped_min_variance_of_independent_assets(solver, cap, expected):
    found = solve(program(np.diag(np.square([0.1, 0.2, 0.2, 0.3, 0.3])) / 0.054, cap=cap), (solver,))
    assert [tried.status for tried in found.tries] == ["optimal"]
    assert found.solver == solver
    np.testing.assert_allclose(found.weights, expected, atol=1e-9 if solver == "DAQP" else 2e-5)


def test_two_assets_have_the_closed_form():
    sigma = np.array([[0.04, 0.012], [0.012, 0.09]])
    first = (0.09 - 0.012) / (0.04 + 0.09 - 2 * 0.012)
    np.testing.assert_allclose(solve(program(sigma)).weights, [first, 1 - first], atol=1e-12)


def test_one_asset_takes_the_whole_budget():
    np.testing.assert_allclose(solve(program([[1.0]], total=0.4)).weights, [0.4])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 20), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_solvers_agree(count, seed, turnover, rows):
    case = random_program(count, seed, turnover=turnover, rows=rows)
    exact = solve(case, ("DAQP",))
    interior = solve(case, ("CLARABEL",))
    splitting = solve(case, ("SCS",))
    assert exact.weights is not None, exact.tries
    assert interior.weights is not None, interior.tries
    np.testing.assert_allclose(exact.weights, interior.weights, atol=2e-6)
    assert case.objective(exact.weights) <= case.objective(interior.weights) + 1e-9
    assert case.residual(exact.weights) <= 1e-9
    # SCS stops at 1e-6 of its own scale, so now and then its constraints miss what is accepted.
    if splitting.weights is None:
        assert "constraints missed" in splitting.tries[0].reason
    else:
        np.testing.assert_allclose(exact.weights, splitting.weights, atol=2e-3)


def test_the_last_solver_answers_nearly_always():
    cases = [random_program(12, seed, turnover=seed % 2 == 0, rows=seed % 3 == 0) for seed in range(24)]
    found = [solve(case, ("SCS",)).weights for case in cases]
    assert sum(weights is not None for weights in found) >= 20


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_no_feasible_point_is_better(count, seed, turnover):
    from quantmill.allocation.projection import project_capped_simplex

    case = random_program(count, seed, turnover=turnover, rows=False)
    best = case.objective(solve(case).weights)
    rng = np.random.default_rng(seed)
    for _ in range(30):
        other = project_capped_simplex(rng.normal(0, 0.3, count), case.lower, case.upper, 1.0)
        assert best <= case.objective(other) + 1e-10


def test_a_dear_trade_is_not_made():
    previous = np.array([0.5, 0.3, 0.2])
    found = solve(program(np.diag([0.1, 1.0, 3.0]), turnover=100.0, previous=previous))
    np.testing.assert_allclose(found.weights, previous, atol=1e-9)


def test_a_binding_row_holds():
    case = program(np.diag([0.1, 1.0, 3.0]), rows=np.array([[1.0, 0, 0]]), limits=np.array([0.3]))
    np.testing.assert_allclose(solve(case).weights, [0.3, 0.525, 0.175], atol=1e-9)


def test_an_infeasible_program_fails_in_every_solver_with_a_reason():
    case = program(np.eye(3), cap=0.3)
    found = solve(case)
    assert found.weights is None
    assert [tried.solver for tried in found.tries] == list(SOLVER_ORDER)
    assert all(tried.status in {"rejected", "error"} and tried.reason for tried in found.tries)


CASE = random_program(6, 1, turnover=False, rows=False)
EQUAL = np.full(6, 1 / 6)


class _Stubbed:
    """A solver object whose answer is fixed."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *args, **kwargs):
        return self

    def solve(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class _Solution:
    def __init__(self, x, status):
        self.x, self.status = x, status


def break_solver(monkeypatch, solver, weights, *, failing_status):
    """Make one library return `weights` (or raise them)."""
    raised = isinstance(weights, Exception)
    if solver == "DAQP":
        flag = -1 if failing_status else 1
        answer = None if weights is None else (weights, 0.0, flag, {"lam": np.zeros(7)})

        def fake(*args, **kwargs):
            if raised:
                raise weights
            return answer

        monkeypatch.setattr(daqp, "solve", fake)
    elif solver == "CLARABEL":
        word = "MaxIterations" if failing_status else "Solved"
        answer = weights if weights is None or raised else _Solution(weights, word)
        monkeypatch.setattr(clarabel, "DefaultSolver", _Stubbed(answer))
    else:
        word = "infeasible" if failing_status else "solved"
        answer = weights if weights is None or raised else {"x": weights, "info": {"status": word}}
        monkeypatch.setattr(scs, "SCS", _Stubbed(answer))


FAULTS = {
    "nothing": (None, False),
    "NaN": (np.full(6, np.nan), False),
    "zeros": (np.zeros(6), False),
    "equal weights with a failing status": (EQUAL, True),
    "half a book": (EQUAL / 2, False),
    "too few weights": (np.array([0.5, 0.5]), False),
    "an exception": (RuntimeError("library broke"), False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_first_solver_is_seen_and_the_next_one_answers(monkeypatch, fault):
    good = solve(CASE).weights
    weights, failing = FAULTS[fault]
    break_solver(monkeypatch, "DAQP", weights, failing_status=failing)
    found = solve(CASE)
    assert found.tries[0].solver == "DAQP"
    assert found.tries[0].status in {"rejected", "error"}
    assert found.tries[0].reason
    assert found.solver == "CLARABEL"
    np.testing.assert_allclose(found.weights, good, atol=1e-6)


@pytest.mark.parametrize("fault", FAULTS)
def test_when_every_solver_is_broken_there_are_no_weights(monkeypatch, fault):
    weights, failing = FAULTS[fault]
    for solver in SOLVER_ORDER:
        break_solver(monkeypatch, solver, weights, failing_status=failing)
    found = solve(CASE)
    assert found.weights is None
    assert found.solver == "none"
    assert [tried.solver for tried in found.tries] == list(SOLVER_ORDER)
    assert all(tried.reason for tried in found.tries)


def test_equal_weights_called_optimal_do_not_pass_the_conditions_of_optimality(monkeypatch):
    break_solver(monkeypatch, "DAQP", EQUAL, failing_status=False)
    found = solve(CASE)
    assert found.tries[0].status == "rejected"
    assert "optimality conditions missed" in found.tries[0].reason


def test_an_inaccurate_answer_counts_only_if_its_constraints_hold(monkeypatch):
    monkeypatch.setattr(clarabel, "DefaultSolver", _Stubbed(_Solution(EQUAL, "AlmostSolved")))
    found = solve(CASE, ("CLARABEL",))
    assert found.tries[0].status == "inaccurate"
    assert found.tries[0].reason == "the solver reports AlmostSolved"
    np.testing.assert_allclose(found.weights, EQUAL)
    monkeypatch.setattr(clarabel, "DefaultSolver", _Stubbed(_Solution(EQUAL + 1e-6, "AlmostSolved")))
    assert solve(CASE, ("CLARABEL",)).weights is None


def test_solver_noise_is_cleaned(monkeypatch):
    noisy = np.array([0.5 + 2e-7, 0.5 - 1e-7, 5e-9, -5e-9, 0.0, 0.0])
    case = program(np.eye(6), cap=0.5)
    monkeypatch.setattr(clarabel, "DefaultSolver", _Stubbed(_Solution(noisy, "Solved")))
    found = solve(case, ("CLARABEL",)).weights
    assert found.max() <= 0.5
    assert found.min() >= 0
    assert abs(found.sum() - 1) <= 1e-12
    np.testing.assert_allclose(found, [0.5, 0.5, 0, 0, 0, 0], atol=1e-6)
