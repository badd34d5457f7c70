"""Factors of return series: worked numbers, closed forms, known facts of noise, and a second implementation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from python.features import plain
from quantmill.errors import DataContractError
from quantmill.features.factors import (
    bar_factors,
    expected_rescaled_range,
    hurst_exponents,
    ljung_box_probabilities,
    permutation_entropies,
    return_factors,
    series_offsets,
)

Floats = NDArray[np.float64]


def last(values: list[float] | Floats) -> dict[str, float]:
    """The factors at the last row of one series."""
    array = np.array(values, dtype=float)
    return {name: float(column[-1]) for name, column in return_factors(array, np.array([0, len(array)])).items()}


def last_rows(rows: Floats, function: object, **arguments: object) -> Floats:
    """What `function` gives at the last row of each series of `rows` (series, length)."""
    count, length = rows.shape
    offsets = np.arange(count + 1) * length
    return function(np.ascontiguousarray(rows).ravel(), offsets, **arguments)[offsets[1:] - 1]  # type: ignore[operator]


def test_the_entropy_of_seven_values_is_the_worked_one() -> None:
    """M1."""
    found = permutation_entropies(np.array([4.0, 7, 9, 10, 6, 11, 3]), np.array([0, 7]), least=7)[-1]
    assert found == pytest.approx(0.588762, abs=5e-7)


def test_an_alternating_series_has_the_entropy_of_two_patterns() -> None:
    """M1, by the stable rule."""
    assert last([1.0, -1.0] * 30)["entropy"] == pytest.approx(0.386853, abs=5e-7)


def test_the_efficiency_of_ten_returns_is_the_worked_one() -> None:
    """M2."""
    returns = [0.02, -0.01, 0.03, -0.01, 0.02, 0.01, -0.02, 0.02, 0.01, -0.01]
    assert last(returns)["efficiency"] == pytest.approx(0.375)
    assert math.isnan(last(returns[:9])["efficiency"])


def test_the_shortfall_of_twenty_and_of_twenty_five_returns_are_the_worked_ones() -> None:
    """M16."""
    twenty = [-0.06, *[0.01] * 18, -0.10]
    assert last(twenty)["cvar"] == pytest.approx(-0.10)
    assert last([*twenty, *[0.01] * 5])["cvar"] == pytest.approx(-0.092)
    assert math.isnan(last(twenty[:19])["cvar"])


def test_a_short_gains_what_the_long_loses_and_loses_no_more_than_its_stake() -> None:
    found = [last([value])["mean_return_short"] for value in (0.10, -0.20, 1.5)]
    assert found == pytest.approx([-0.10, 0.20, -1.0])
    assert last([0.1, 1.5])["compounded_60_short"] == -1.0


def test_the_expected_rescaled_range_is_that_of_anis_and_lloyd() -> None:
    """M20."""
    found = [expected_rescaled_range(lag) for lag in (8, 16, 32, 64)]
    assert found == pytest.approx([2.6246, 4.0355, 6.0655, 8.9656], abs=5e-5)


def test_the_tail_gain_is_the_mean_above_the_interpolated_quantile() -> None:
    # the quantile of 40 returns stands at place 37.05 from 0: two returns are above it
    assert last([*[0.0] * 37, 0.01, 0.02, 0.06])["tail_gain"] == pytest.approx(0.04)
    assert last([*[0.01] * 30, *[0.05] * 10])["tail_gain"] == 0.05
    assert math.isnan(last([0.01] * 19)["tail_gain"])


@pytest.mark.parametrize("level", [0.0, 0.01, -0.003])
def test_a_constant_series_has_the_stated_values(level: float) -> None:
    found = last([level] * 252)
    assert (found["hurst"], found["entropy"]) == (0.5, 0.0)
    assert found["efficiency"] == pytest.approx(0.0 if level == 0 else 1.0)
    assert found["absolute_autocorrelation"] == 0.0
    assert found["deviation"] < 1e-12
    assert all(math.isnan(found[name]) for name in ("skew", "skew_short", "excess_kurtosis", "ljung_box_p"))
    assert found["cvar"] == pytest.approx(level)
    assert found["tail_gain"] == pytest.approx(level)


def test_a_monotone_series_has_no_entropy_and_its_path_is_straight() -> None:
    found = last(np.linspace(0.001, 0.02, 120))
    assert found["entropy"] == 0.0
    assert found["efficiency"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "needed"),
    [("hurst", 32), ("entropy", 32), ("ljung_box_p", 32), ("efficiency", 10), ("cvar", 20)],
)
def test_a_factor_exists_from_its_least_rows_on(name: str, needed: int) -> None:
    values = np.random.default_rng(1).normal(0, 0.01, 60)
    column = return_factors(values, np.array([0, 60]))[name]
    assert np.flatnonzero(~np.isnan(column))[0] == needed - 1


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_scaling_a_series_leaves_its_shape_factors_alone(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).standard_t(3, 260) * 0.01
    plain_factors, scaled = last(values), last(values * scale)
    for name in ("hurst", "entropy", "efficiency", "skew", "excess_kurtosis", "absolute_autocorrelation"):
        assert scaled[name] == pytest.approx(plain_factors[name], rel=1e-9, abs=1e-9)
    assert 0 <= plain_factors["entropy"] <= 1
    assert 0 <= plain_factors["efficiency"] <= 1


@given(st.integers(0, 10_000))
def test_entropy_is_the_same_under_every_increasing_map(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, 150)
    assert last(values)["entropy"] == last(np.exp(3 * values))["entropy"]


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_entropy_does_not_depend_on_which_pattern_came_how_often(sign: float) -> None:
    # series, their mirrors and their reverses have the same counts under other patterns
    rows = np.random.default_rng(12).normal(0, 0.01, (400, 120))
    found = last_rows(rows, permutation_entropies)
    np.testing.assert_array_equal(last_rows(-rows, permutation_entropies), found)
    np.testing.assert_array_equal(last_rows(sign * rows[:, ::-1], permutation_entropies), found)


def test_negating_returns_swaps_the_sides() -> None:
    values = np.clip(np.random.default_rng(5).standard_t(3, 300) * 0.05, -1, 1)
    long, mirrored = last(values), last(-values)
    for name in ("mean_return", "cvar", "tail_gain", "skew", "compounded_60"):
        assert mirrored[f"{name}_short"] == pytest.approx(long[name], abs=1e-12)


# Facts of noise, each with four times its Monte-Carlo error; the stated figures were simulated too.
SERIES = 6000


@pytest.fixture(scope="module")
def noise() -> Floats:
    return np.random.default_rng(20260101).normal(0, 0.01, (SERIES, 252))


def test_the_corrected_hurst_exponent_of_noise_is_a_half(noise: Floats) -> None:
    """First stated as 0.497 for 252 returns; simulated with more series it is 0.4964."""
    found = last_rows(noise, hurst_exponents)
    assert found.mean() == pytest.approx(0.497, abs=4 * 0.0633 / math.sqrt(SERIES))
    assert found.mean() == pytest.approx(0.4964, abs=4 * 0.0633 / math.sqrt(SERIES))
    assert found.std() == pytest.approx(0.0633, abs=4 * 0.0633 / math.sqrt(2 * SERIES))


def test_noise_is_told_from_what_remembers_as_often_as_the_level_says(noise: Floats) -> None:
    # the statistic of 252 rows is close to chi squared: independent rows stay at or above 0.05 in 95 % of series
    share = (last_rows(noise, ljung_box_probabilities) >= 0.05).mean()
    assert share == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / SERIES) + 0.003)
    remembering = noise.copy()
    for t in range(1, remembering.shape[1]):
        remembering[:, t] += 0.4 * remembering[:, t - 1]
    assert (last_rows(remembering, ljung_box_probabilities) < 0.05).mean() > 0.99


def test_persistence_raises_the_hurst_exponent_and_reversal_lowers_it(noise: Floats) -> None:
    found = {}
    for coefficient in (0.3, -0.3):
        rows = noise.copy()
        for t in range(1, rows.shape[1]):
            rows[:, t] += coefficient * rows[:, t - 1]
        found[coefficient] = last_rows(rows, hurst_exponents)
    assert found[0.3].mean() == pytest.approx(0.570, abs=4 * found[0.3].std() / math.sqrt(SERIES) + 5e-4)
    assert found[-0.3].mean() == pytest.approx(0.426, abs=4 * found[-0.3].std() / math.sqrt(SERIES) + 5e-4)


@pytest.mark.parametrize(("limit", "share"), [(0.95, 0.9991), (0.999, 0.0345), (0.995, 0.39)])
def test_the_entropy_of_noise_is_above_a_ceiling_as_often_as_stated(noise: Floats, limit: float, share: float) -> None:
    found = (last_rows(noise, permutation_entropies) > limit).mean()
    assert found == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) * 2 / SERIES) + 0.0005)


def test_series_do_not_see_each_other_and_rows_do_not_see_what_follows() -> None:
    rng = np.random.default_rng(11)
    first, second = rng.standard_t(3, 400) * 0.02, rng.standard_t(3, 333) * 0.02
    together = return_factors(np.concatenate([first, second]), np.array([0, 400, 733]))
    alone = return_factors(second[:300], np.array([0, 300]))
    for name, column in together.items():
        np.testing.assert_array_equal(column[400:700], alone[name], err_msg=name)


def test_every_factor_agrees_with_its_second_implementation_on_a_rough_series() -> None:
    rng = np.random.default_rng(3)
    values = np.where(rng.random(320) < 0.1, 0.0, rng.standard_t(2, 320) * 0.05)
    values[200] = 2.5
    values = np.maximum(values, -0.9)
    columns = return_factors(values, np.array([0, 320]))
    assert set(columns) == set(plain.FACTORS)
    for name, (window, function) in plain.FACTORS.items():
        # moments of one or two rows are 0 / 0 in the plain form
        for t in range(3, 320):
            expected = function(values[max(0, t - window + 1) : t + 1])
            assert columns[name][t] == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), (name, t)


@pytest.fixture(scope="module")
def real_bars(shared_data: Path) -> list[tuple[Floats, Floats, Floats]]:
    import pyarrow.parquet as pq

    table = pq.read_table(shared_data / "us_yahoo_actions_1d" / "us_yahoo_actions_1d.parquet").sort_by(
        [("symbol", "ascending"), ("date", "ascending")]
    )
    symbols = np.array(table["symbol"].to_pylist())
    return [
        tuple(table[name].to_numpy()[symbols == symbol][:600] for name in ("high", "low", "close"))
        for symbol in sorted(set(symbols))[:6]
    ]


def test_the_directional_index_and_the_spread_agree_with_their_second_implementation(
    real_bars: list[tuple[Floats, Floats, Floats]],
) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(bars[0]) for bars in real_bars])])
    found = bar_factors(*(np.concatenate(columns) for columns in zip(*real_bars, strict=True)), offsets)
    for i, bars in enumerate(real_bars):
        own = slice(offsets[i], offsets[i + 1])
        np.testing.assert_allclose(found["adx"][own], plain.average_directional_index(*bars), rtol=1e-9)
        np.testing.assert_allclose(found["spread"][own], plain.high_low_spread(*bars), rtol=1e-9, atol=1e-15)
    assert 0 < np.nanmedian(found["spread"]) < 0.02
    assert np.isfinite(found["adx"]).sum() == len(found["adx"]) - 27 * len(real_bars)


def test_a_bar_without_high_and_low_ends_the_run_of_the_directional_index() -> None:
    rng = np.random.default_rng(2)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 120)))
    high, low = close * 1.01, close * 0.99
    broken = high.copy()
    broken[60] = np.nan
    whole = bar_factors(high, low, close, np.array([0, 120]))["adx"]
    found = bar_factors(broken, low, close, np.array([0, 120]))["adx"]
    np.testing.assert_array_equal(found[:60], whole[:60])
    assert np.isnan(found[60 : 61 + 27]).all()
    np.testing.assert_array_equal(found[61:], bar_factors(high[61:], low[61:], close[61:], np.array([0, 59]))["adx"])


def test_closes_alone_have_neither_directional_index_nor_spread() -> None:
    nothing = np.full(90, np.nan)
    found = bar_factors(nothing, nothing, np.linspace(1, 2, 90), np.array([0, 90]))
    assert np.isnan(found["adx"]).all()
    assert np.isnan(found["spread"]).all()


def test_a_spread_of_quotes_around_a_standing_price_is_found() -> None:
    """Every bar trades at bid and ask of one price: the estimate is the spread itself."""
    high, low = np.full(60, 100.5), np.full(60, 99.5)
    found = bar_factors(high, low, np.full(60, 100.0), np.array([0, 60]))["spread"]
    assert found[-1] == pytest.approx(0.01, rel=1e-4)
    assert np.isnan(found[19])
    assert not np.isnan(found[20])


def test_offsets_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(DataContractError, match="offsets do not ascend from 0 to the 3 values"):
        return_factors(np.zeros(3), np.array([0, 2]))
    with pytest.raises(DataContractError, match="returns holds nan"):
        return_factors(np.array([0.1, np.nan]), np.array([0, 2]))


def test_no_rows_give_no_factors() -> None:
    empty = np.empty(0)
    assert list(series_offsets(empty)) == [0]
    assert all(len(column) == 0 for column in return_factors(empty, np.zeros(1, dtype=np.int64)).values())


def test_offsets_mark_where_any_key_changes() -> None:
    assert list(series_offsets(np.array([1, 1, 2, 2]), np.array([5, 6, 6, 6]))) == [0, 1, 2, 4]
