"""Oriented streams and the sign test."""

from __future__ import annotations

import numpy as np
import pytest
from quantmill.errors import DataContractError, DirectionError
from quantmill.synthesis.streams import (
    direction_sign,
    equity_curve,
    require_directions,
    synthetic_stream,
)

RETURNS = np.array([-0.10, 0.05, 0.40, 1.5])


def test_a_short_stream_is_floored_at_the_loss_of_its_stake():
    stream = synthetic_stream(RETURNS, "SHORT")
    np.testing.assert_allclose(stream, [0.10, -0.05, -0.40, -1.0], atol=1e-15)
    np.testing.assert_allclose(equity_curve(stream), [1.1, 1.045, 0.627, 0.0], atol=1e-12)
    np.testing.assert_allclose(equity_curve(-RETURNS)[-1], -0.3135, atol=1e-12)


def test_a_long_stream_is_its_return_floored_at_minus_one():
    np.testing.assert_array_equal(synthetic_stream(np.array([-1.2, 0.1, np.nan]), "LONG"), [-1.0, 0.1, np.nan])


def test_borrow_is_charged_to_short_streams_only():
    np.testing.assert_allclose(synthetic_stream(RETURNS, "SHORT", borrow_daily=1e-4)[0], 0.0999)
    np.testing.assert_array_equal(synthetic_stream(RETURNS, "LONG", borrow_daily=1e-4), RETURNS)


def test_long_and_short_of_one_symbol_have_correlation_minus_one():
    returns = np.random.default_rng(3).normal(0, 0.02, 200)
    both = np.corrcoef(synthetic_stream(returns, "LONG"), synthetic_stream(returns, "SHORT"))
    np.testing.assert_allclose(both[0, 1], -1.0, atol=1e-12)


@pytest.mark.parametrize("direction", ["", "long", "FLAT"])
def test_an_unknown_direction_is_an_error(direction):
    with pytest.raises(DirectionError, match="LONG or SHORT was needed"):
        direction_sign(direction)


def test_signs_of_directions():
    assert (direction_sign("LONG"), direction_sign("SHORT")) == (1, -1)


def test_the_sign_test_passes_streams_built_from_their_direction():
    returns = np.column_stack([RETURNS, RETURNS, [np.nan, 0.1, 0.2, -0.3]])
    directions = ("LONG", "SHORT", "SHORT")
    streams = np.column_stack([synthetic_stream(returns[:, i], d, borrow_daily=1e-4) for i, d in enumerate(directions)])
    require_directions(returns, streams, directions, ("a", "b", "c"), borrow_daily=1e-4)


@pytest.mark.parametrize(
    ("column", "stream"),
    [
        (0, -RETURNS),
        (1, RETURNS),
        (1, -RETURNS),
        (0, RETURNS + 1e-11),
        (0, np.array([np.nan, 0.05, 0.40, 1.5])),
    ],
    ids=["inverted long", "long named short", "short without its floor", "off by 1e-11", "a lost return"],
)
def test_the_sign_test_rejects_a_stream_that_is_not_of_its_direction(column, stream):
    returns = np.column_stack([RETURNS, RETURNS])
    streams = np.column_stack([synthetic_stream(RETURNS, "LONG"), synthetic_stream(RETURNS, "SHORT")])
    streams[:, column] = stream
    with pytest.raises(DirectionError) as caught:
        require_directions(returns, streams, ("LONG", "SHORT"), ("first", "second"))
    assert caught.value.facts["atom_id"] == ("first", "second")[column]


def test_a_gap_filled_with_zero_fails_the_sign_test():
    returns = np.array([[0.1], [np.nan]])
    with pytest.raises(DirectionError, match="row 1"):
        require_directions(returns, np.array([[0.1], [0.0]]), ("LONG",), ("atom",))


def test_an_equity_curve_of_a_stream_with_gaps_is_an_error():
    with pytest.raises(DataContractError, match="stream holds nan"):
        equity_curve(np.array([0.1, np.nan]))
