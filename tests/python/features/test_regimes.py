"""The regime of a market: its proxy, its score, what noise scores, and a second implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from python.features import plain
from quantmill.errors import BadValue
from quantmill.features.regimes import (
    RegimeWeights,
    proxy_returns,
    regime_rows,
    volatility_states,
    window_weightings,
)

Floats = NDArray[np.float64]

SERIES = 4000


def last_rows(rows: Floats, periods: float = 252.0) -> dict[str, NDArray[np.generic]]:
    """The regime at the last row of each series of `rows` (series, length)."""
    count, length = rows.shape
    offsets = np.arange(count + 1) * length
    found = regime_rows(np.ascontiguousarray(rows).ravel(), offsets, np.full(rows.size, periods))
    return {name: column[offsets[1:] - 1] for name, column in found.items()}


@pytest.fixture(scope="module")
def noise() -> Floats:
    return np.random.default_rng(20260102).normal(0, 0.01, (SERIES, 252))


@pytest.fixture(scope="module")
def of_noise(noise: Floats) -> dict[str, NDArray[np.generic]]:
    return last_rows(noise)


def error(share: float) -> float:
    """Four times the Monte-Carlo error of the difference between this share and a stated one of as many series."""
    return 4 * math.sqrt(share * (1 - share) * 2 / SERIES)


def test_noise_is_quiet_as_often_as_stated(of_noise: dict[str, NDArray[np.generic]]) -> None:
    assert (of_noise["label"] == "QUIET").mean() == pytest.approx(0.607, abs=error(0.607))
    assert (of_noise["score"] <= 0.677).mean() == pytest.approx(0.5, abs=error(0.5))
    assert (of_noise["label"] == "CRISIS").sum() == 0


def test_the_turbulence_of_noise_is_seven_eighths_and_rarely_above_its_trigger(
    of_noise: dict[str, NDArray[np.generic]],
) -> None:
    turbulence = of_noise["turbulence"]
    assert turbulence.mean() == pytest.approx(7 / 8, abs=4 * turbulence.std() / math.sqrt(SERIES))
    assert (turbulence <= 0.954).mean() == pytest.approx(0.95, abs=error(0.95))
    assert (turbulence > 0.7).mean() > 0.98


def test_the_stress_of_noise_is_rarely_above_its_threshold(of_noise: dict[str, NDArray[np.generic]]) -> None:
    assert (of_noise["stress"] <= 1.490).mean() == pytest.approx(0.95, abs=error(0.95))
    assert (of_noise["stress"] > 1.1).mean() == pytest.approx(0.73, abs=error(0.73))


def test_a_larger_shock_scores_higher_and_the_largest_is_usually_a_crisis(noise: Floats) -> None:
    found = []
    for size in (1, 2, 4, 8):
        shocked = noise[:1000].copy()
        shocked[:, -10:] *= size
        found.append(last_rows(shocked))
    means = [float(one["score"].mean()) for one in found]
    assert means == sorted(means)
    assert np.median(found[2]["score"]) == pytest.approx(1.55, abs=0.03)
    assert np.median(found[3]["score"]) == pytest.approx(2.03, abs=0.04)
    assert (found[3]["label"] == "CRISIS").mean() > 0.85


@given(st.integers(0, 10_000), st.sampled_from([0.0001, 0.01, 0.3]), st.integers(1, 300))
def test_scores_and_shares_stay_within_their_bounds(seed: int, scale: float, length: int) -> None:
    values = np.random.default_rng(seed).standard_t(2, length) * scale
    found = regime_rows(values, np.array([0, length]), np.full(length, 252.0))
    known = found["observation_count"] >= 20
    assert ((found["score"] >= 0) & (found["score"] <= 2.5)).all()
    assert ((found["turbulence"] >= 0) & (found["turbulence"] <= 1))[known].all()
    limit = np.sqrt((found["observation_count"] - 1) / 9)
    assert (found["volatility_ratio"] <= limit + 1e-9)[known].all()


@pytest.mark.parametrize("level", [0.0, 0.001, -0.02])
def test_a_flat_market_is_quiet(level: float) -> None:
    found = last_rows(np.full((1, 252), level))
    assert (found["label"][0], found["hurst"][0], found["entropy"][0]) == ("QUIET", 0.5, 0.0)
    assert found["score"][0] < 0.7


def test_a_market_that_has_just_stopped_moving_is_quiet() -> None:
    values = np.random.default_rng(1).normal(0, 0.03, (1, 252))
    values[:, -10:] *= 0.1
    found = last_rows(values)
    assert found["volatility_ratio"][0] < 0.5
    assert found["score"][0] <= 0.6
    assert found["label"][0] == "QUIET"


def test_below_twenty_rows_nothing_is_judged() -> None:
    values = np.random.default_rng(1).normal(0.01, 0.05, 30)
    found = regime_rows(values, np.array([0, 30]), np.full(30, 252.0))
    short = [(found[name][:19] == value).all() for name, value in (("score", 1.0), ("growth", 0.0), ("stress", 0.0))]
    assert all(short)
    assert set(found["label"][:19]) == {"NORMAL"}
    assert set(found["quadrant"][:19]) == {"STAGNATION"}
    assert np.isnan(found["volatility_ratio"][:19]).all()
    assert not np.isnan(found["volatility_ratio"][19:]).any()
    assert np.isnan(found["hurst"][:31]).all()


def test_the_quadrant_of_a_fall_under_stress_is_crisis_and_confirms_the_label() -> None:
    values = np.random.default_rng(4).normal(0.0, 0.008, (400, 252))
    values[:, -10:] = values[:, -10:] * 3.7 - 0.02
    found = last_rows(values)
    confirmed = (found["score"] > 1.5) & (found["score"] < 1.8)
    falling = found["quadrant"] == "CRISIS"
    assert (confirmed & falling).sum() > 20
    assert set(found["label"][confirmed & falling]) == {"CRISIS"}
    mirror = {"CRISIS": "INFLATIONARY_TREND", "STAGNATION": "EXPANSION", "NORMAL": "NORMAL"}
    mirror |= {other: name for name, other in mirror.items()}
    assert list(last_rows(-values)["quadrant"]) == [mirror[str(name)] for name in found["quadrant"]]


def test_growth_is_annualised_by_the_periods_of_the_class() -> None:
    values = np.full((1, 252), 0.001) + np.tile([0.02, -0.02], 126)
    assert last_rows(values, 252.0)["growth"][0] == pytest.approx(0.252)
    assert last_rows(values, 365.0)["growth"][0] == pytest.approx(0.365)


def test_rows_do_not_see_what_follows_and_series_do_not_see_each_other() -> None:
    rng = np.random.default_rng(9)
    first, second = rng.normal(0, 0.01, 300), rng.normal(0, 0.02, 280)
    together = regime_rows(np.concatenate([first, second]), np.array([0, 300, 580]), np.full(580, 252.0))
    alone = regime_rows(second[:260], np.array([0, 260]), np.full(260, 252.0))
    for name, column in together.items():
        np.testing.assert_array_equal(column[300:560], alone[name], err_msg=name)


def test_the_regime_agrees_with_its_second_implementation() -> None:
    rng = np.random.default_rng(12)
    volatility = 0.01 * np.exp(np.cumsum(rng.normal(0, 0.06, 700)))
    values = rng.standard_t(4, 700) * volatility
    found = regime_rows(values, np.array([0, 700]), np.full(700, 252.0))
    for t in range(31, 700):
        expected = plain.regime(values[: t + 1], 252.0)
        for name in ("score", "growth", "stress"):
            assert found[name][t] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), (name, t)
        assert (found["label"][t], found["quadrant"][t]) == (expected["label"], expected["quadrant"]), t
    assert set(found["label"]) == {"QUIET", "NORMAL", "TURBULENT", "CRISIS"}
    assert len(set(found["quadrant"])) == 5


def test_weights_that_are_negative_or_do_not_sum_to_one_are_an_error() -> None:
    with pytest.raises(BadValue, match=r"sum to 1\.15"):
        RegimeWeights(turbulence=0.40)
    with pytest.raises(BadValue, match="non-negative"):
        RegimeWeights(turbulence=-0.25, volatility_ratio=0.85)


@given(st.integers(0, 10_000), st.integers(5, 40))
def test_the_proxy_weighs_by_liquidity_up_to_its_cap(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    returns, liquidity = rng.normal(0, 0.02, count), rng.lognormal(0, 2, count)
    found, weighting = proxy_returns(returns, liquidity, np.array([0, count]))
    assert found[0] == pytest.approx(plain.capped_weights(liquidity) @ returns, abs=1e-9)
    assert weighting[0] == "liquidity"


def test_a_proxy_without_volume_is_a_plain_mean_and_one_of_four_names_is_none() -> None:
    returns = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.5, 0.5, 0.5, 0.5])
    found, weighting = proxy_returns(returns, np.full(9, np.nan), np.array([0, 5, 9]))
    assert found[0] == pytest.approx(0.03)
    assert math.isnan(found[1])
    assert list(weighting) == ["equal", "none"]


def test_names_without_liquidity_get_no_weight_where_enough_have_it() -> None:
    returns, liquidity = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 9.0]), np.array([1.0, 1, 1, 1, 1, np.nan])
    found, weighting = proxy_returns(returns, liquidity, np.array([0, 6]))
    assert (found[0], weighting[0]) == (pytest.approx(0.03), "liquidity")
    liquidity[0] = 0.0
    found, weighting = proxy_returns(returns, liquidity, np.array([0, 6]))
    assert (found[0], weighting[0]) == (pytest.approx(returns.mean()), "equal")


def test_a_window_that_changes_its_weighting_says_so() -> None:
    found = window_weightings(
        np.array(["equal", "equal", "liquidity", "liquidity", "liquidity", "equal"]), np.array([0, 5, 6]), window=3
    )
    assert list(found) == ["equal", "equal", "mixed", "mixed", "liquidity", "equal"]


def turning(seed: int, length: int = 600) -> Floats:
    """Returns whose deviation is 1 % and 4 % for a hundred rows in turn."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.01, length) * np.where(np.arange(length) // 100 % 2 == 0, 1.0, 4.0)


def test_states_of_volatility_agree_with_their_second_implementation() -> None:
    values = turning(3)
    probability, state = volatility_states(values, np.array([0, 600]))
    assert np.isnan(probability[:39]).all()
    assert set(state[:39]) == {""}
    for t in range(39, 600, 7):
        expected, ratio = plain.high_volatility(values[: t + 1])
        assert probability[t] == pytest.approx(expected, abs=1e-6), t
        assert (state[t] == "HIGH_VOL") == (expected > 0.5 and ratio >= 2), t


def test_a_market_that_has_turned_violent_is_in_the_state_of_high_volatility() -> None:
    states = np.array([volatility_states(turning(seed)[:330], np.array([0, 330]))[1] for seed in range(40)])
    assert (states[:, 305:330] == "HIGH_VOL").mean() > 0.85
    assert (states[:, 285:300] == "HIGH_VOL").mean() < 0.1


def test_what_does_not_move_has_no_state() -> None:
    probability, state = volatility_states(np.full(100, 0.01), np.array([0, 100]))
    assert np.isnan(probability).all()
    assert set(state) == {""}


def test_states_do_not_see_what_follows_and_series_do_not_see_each_other() -> None:
    first, second = turning(1, 300), turning(2, 280)
    together = volatility_states(np.concatenate([first, second]), np.array([0, 300, 580]))
    alone = volatility_states(second[:260], np.array([0, 260]))
    np.testing.assert_array_equal(together[0][300:560], alone[0])
    np.testing.assert_array_equal(together[1][300:560], alone[1])


def test_a_state_of_high_volatility_confirms_a_crisis_and_makes_none(noise: Floats) -> None:
    shocked = noise[:1000].copy()
    shocked[:, -10:] *= 4
    offsets = np.arange(1001) * 252
    flat, periods = shocked.ravel(), np.full(shocked.size, 252.0)
    without = {name: column[offsets[1:] - 1] for name, column in regime_rows(flat, offsets, periods).items()}
    states = np.full(flat.size, "HIGH_VOL")
    found = {
        name: column[offsets[1:] - 1] for name, column in regime_rows(flat, offsets, periods, states=states).items()
    }
    changed = found["label"] != without["label"]
    assert changed.sum() > 100
    assert set(found["label"][changed]) == {"CRISIS"}
    assert (found["score"][changed] > 1.5).all()
    assert (found["label"][found["score"] <= 1.5] != "CRISIS").all()


def test_quantile_limits_are_those_of_the_scores_so_far() -> None:
    values = turning(5, 700)
    found = regime_rows(values, np.array([0, 700]), np.full(700, 252.0))
    first = 19 + 252 - 1
    assert np.isnan(found["crisis_limit"][:first]).all()
    assert (found["quantile_label"][:first] == found["label"][:first]).all()
    for t in (first, 400, 699):
        scores = found["score"][19 : t + 1]
        limits = [found[name][t] for name in ("quiet_limit", "turbulent_limit", "crisis_limit")]
        assert limits == pytest.approx(np.quantile(scores, [0.20, 0.80, 0.95]), rel=1e-12)
    late = np.arange(700) >= first
    assert (found["quantile_label"][late & (found["score"] >= found["crisis_limit"])] == "CRISIS").all()
    assert (found["quantile_label"] != found["label"]).any()


def test_weights_of_one_series_change_no_other() -> None:
    values = np.concatenate([turning(7, 300), turning(8, 300)])
    offsets, periods = np.array([0, 300, 600]), np.full(600, 252.0)
    heavy = RegimeWeights(volatility_ratio=0.60, turbulence=0.0)
    plain_rows = regime_rows(values, offsets, periods)
    found = regime_rows(values, offsets, periods, weights=[RegimeWeights(), heavy])
    np.testing.assert_array_equal(found["score"][:300], plain_rows["score"][:300])
    assert (found["score"][320:] != plain_rows["score"][320:]).any()
