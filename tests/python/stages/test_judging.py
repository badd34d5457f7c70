"""Weights that contradict their direction are counted before anything is judged."""

from __future__ import annotations

from typing import Any

import pytest
from quantmill.stages.judging import sign_errors_by_config


def atom(symbol: str, direction: str, weight: float) -> dict[str, Any]:
    return {"config_id": "c", "window_index": 0, "symbol": symbol, "direction": direction, "weight": weight}


def target(symbol: str, net_weight: float) -> dict[str, Any]:
    return {"config_id": "c", "window_index": 0, "symbol": symbol, "net_weight": net_weight}


LONG_AND_SHORT = [atom("A", "LONG", 0.5), atom("B", "SHORT", 0.3), atom("C", "LONG", 0.1), atom("C", "SHORT", 0.1)]


def test_weights_on_the_side_of_their_direction_are_no_error() -> None:
    assert sign_errors_by_config([target("A", 0.5), target("B", -0.3), target("C", -0.05)], LONG_AND_SHORT) == {}


@pytest.mark.parametrize("wrong", [target("A", -1e-9), target("B", 1e-9)])
def test_a_net_weight_on_the_other_side_of_its_only_direction_is_an_error(wrong: dict[str, Any]) -> None:
    assert sign_errors_by_config([wrong], LONG_AND_SHORT) == {"c": 1}


def test_an_atom_below_zero_is_an_error_beside_its_net_weight() -> None:
    assert sign_errors_by_config([target("A", -0.1)], [atom("A", "LONG", -0.1)]) == {"c": 2}


def test_baselines_without_atoms_have_no_direction_to_contradict() -> None:
    assert sign_errors_by_config([target("SPX", 1.0)], []) == {}


def test_windows_and_configurations_are_judged_apart() -> None:
    other = target("A", -0.5) | {"window_index": 1}
    assert sign_errors_by_config([other], LONG_AND_SHORT) == {}
    assert sign_errors_by_config([target("A", -0.5) | {"config_id": "d"}], LONG_AND_SHORT) == {}
