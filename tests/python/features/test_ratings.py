"""Technical ratings: recorded answers, a second implementation, and what neither time nor holes may change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from python.features import plain_ratings as plain
from quantmill.errors import DataContractError
from quantmill.features.factors import bar_factors
from quantmill.features.ratings import ABSENT, COMPONENTS, WARM_BARS, Ratings, _Bars, technical_ratings

Floats = NDArray[np.float64]
KINDS = {component.name: component.rating for component in COMPONENTS}
FIELDS = ("high", "low", "close", "volume")


def rate(bars: pd.DataFrame, offsets: list[int] | None = None, threads: int = 1) -> Ratings:
    """Ratings of the bars of one symbol, or of several that stand one after the other."""
    columns = (bars[name].to_numpy(dtype=float) for name in FIELDS)
    return technical_ratings(*columns, np.array(offsets or [0, len(bars)]), threads=threads)


def market(seed: int, count: int, drift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(drift, 0.02, count)))
    return pd.DataFrame(
        {
            "high": close * (1 + rng.uniform(0, 0.02, count)),
            "low": close * (1 - rng.uniform(0, 0.02, count)),
            "close": close,
            "volume": rng.uniform(1, 9, count) * 1e3,
        }
    )


def votes_of(found: Ratings, name: str) -> Floats:
    votes = found.votes[name].astype(float)
    votes[votes == ABSENT] = np.nan
    return votes


def assert_agrees(found: Ratings, rows: slice, bars: pd.DataFrame, label: str) -> None:
    """Every vote, rating and indicator is that of the second implementation."""
    votes, indicators = plain.votes_and_indicators(bars.reset_index(drop=True))
    assert set(votes) == set(found.votes)
    for name in votes:
        np.testing.assert_array_equal(votes_of(found, name)[rows], votes[name], err_msg=f"{label} {name}")
    for name, values in {**plain.rated(votes, KINDS), **indicators}.items():
        np.testing.assert_allclose(found.columns[name][rows], values, 1e-9, 1e-12, err_msg=f"{label} {name}")


def differences(one: Ratings, rows: slice, other: Ratings) -> list[str]:
    """Names of what is not the same to the last bit."""
    pairs = [(name, one.columns[name], other.columns[name]) for name in one.columns]
    pairs += [(name, one.votes[name], other.votes[name]) for name in one.votes]
    return [name for name, a, b in pairs if not np.array_equal(a[rows], b, equal_nan=a.dtype.kind == "f")]


# The recorded bar of BTCUSDT of 2026-01-17 had 4 of 15 and 2 of 11; this made bar has the same votes.
RECORDED = market(7, 3000, 0.001).iloc[:292]


def test_four_of_fifteen_and_two_of_eleven_make_the_recorded_rating() -> None:
    """F-14."""
    found = {name: values[-1] for name, values in rate(RECORDED).columns.items()}
    assert (found["ma_vote_count"], found["other_vote_count"]) == (15, 11)
    assert found["rating_ma"] == 4 / 15 == pytest.approx(0.2667, abs=5e-5)
    assert found["rating_other"] == 2 / 11 == pytest.approx(0.1818, abs=5e-5)
    assert found["rating_all"] == pytest.approx(0.2242, abs=5e-5)


def test_a_weighting_that_fits_the_recorded_bar_alone_fails_on_the_next() -> None:
    """F-14."""
    columns = rate(RECORDED).columns
    blend = 0.574 * columns["rating_ma"] + 0.3914 * columns["rating_other"]
    assert blend[-1] == pytest.approx(columns["rating_all"][-1], abs=5e-5)
    assert abs(blend - columns["rating_all"])[-2] > 0.01


def test_rules_of_levels_alone_are_one_vote_off_on_the_recorded_bar() -> None:
    """F-14."""
    votes, _ = plain.votes_and_indicators(RECORDED)
    wrong = plain.rated(plain.level_only(votes, RECORDED), KINDS)
    assert wrong["rating_other"].iloc[-1] == pytest.approx(0.2727, abs=5e-5)
    assert rate(RECORDED).columns["rating_other"][-1] == pytest.approx(0.1818, abs=5e-5)


def test_every_component_of_fifty_real_symbols_agrees_with_the_second_implementation(shared_data: Path) -> None:
    bars = pd.read_parquet(shared_data / "binance_spot_usdt_1d" / "binance_spot_usdt_1d.parquet")
    bars = bars.rename(columns={"volume_base": "volume"}).sort_values(["symbol", "ts_utc"])
    groups = list(bars.groupby("symbol", sort=False))
    assert len(groups) == 50
    offsets = np.cumsum([0, *(len(rows) for _, rows in groups)])
    found = rate(bars, list(offsets), threads=2)
    for (symbol, rows), start, end in zip(groups, offsets[:-1], offsets[1:], strict=True):
        assert_agrees(found, slice(start, end), rows, symbol)
    # each vote is cast both ways somewhere, or the comparison says nothing of it
    assert [name for name, votes in found.votes.items() if not {-1, 1} <= set(votes)] == []


@pytest.mark.parametrize("seed", [21, 22])
def test_every_component_of_a_made_market_agrees_with_the_second_implementation(seed: int) -> None:
    bars = market(seed, 700)
    found = rate(bars)
    assert_agrees(found, slice(None), bars, f"seed {seed}")
    factors = bar_factors(*(bars[name].to_numpy() for name in ("high", "low", "close")), np.array([0, 700]))
    np.testing.assert_allclose(found.columns["adx"], factors["adx"], rtol=1e-9)


def test_series_that_hardly_trade_agree_with_the_second_implementation(shared_data: Path) -> None:
    bars = pd.read_parquet(shared_data / "us_full_market_2025q1_1d" / "us_full_market_2025q1_1d.parquet")
    bars = bars.rename(columns={"volume_iex": "volume"}).sort_values(["symbol", "date"])
    groups = bars.groupby("symbol")
    idle = (bars["volume"] == 0).groupby(bars["symbol"]).mean()
    for symbol in idle[idle.between(0.5, 0.97)].index[::150]:
        rows = groups.get_group(symbol)
        assert_agrees(rate(rows), slice(None), rows, symbol)


def recorded_answer(shared_data: Path, name: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((shared_data / "tradingview" / name).read_text(encoding="utf-8"))
    return found


def test_the_recorded_values_of_a_vendor_are_those_of_the_same_bars(shared_data: Path) -> None:
    """The answer was given on 2025-12-20, while its bar ran; the close of the moment follows from its SMA10."""
    said = recorded_answer(shared_data, "tv_alternative_fields_availability.json")["1d"]
    bars = pd.read_parquet(shared_data / "binance_spot_usdt_1d" / "binance_spot_usdt_1d.parquet")
    bars = bars[(bars["symbol"] == "BTCUSDT") & (bars["ts_utc"] <= "2025-12-20")].rename(
        columns={"volume_base": "volume"}
    )
    close = 10 * said["SMA10"] - bars["close"].iloc[-10:-1].sum()
    bars.iloc[-1, bars.columns.get_loc("close")] = close
    found = rate(bars)
    series = _Bars(*(bars[name].to_numpy(dtype=float) for name in FIELDS), np.array([0, len(bars)]))
    c = series.close
    line = series.exponential(c, 12) - series.exponential(c, 26)
    values = {
        "RSI": found.columns["rsi"],
        "ADX": found.columns["adx"],
        "MACD.macd": line,
        "MACD.signal": series.exponential(line, 9),
        "Mom": c - series.lag(c, 10),
        "HullMA9": series.weighted(2 * series.weighted(c, 4) - series.weighted(c, 9), 3),
        **{f"SMA{length}": series.mean(c, length) for length in (20, 30, 50, 100, 200)},
        **{f"EMA{length}": series.exponential(c, length) for length in (10, 20, 30, 50, 100, 200)},
    }
    assert {name: column[-1] for name, column in values.items()} == pytest.approx(
        {name: said[name] for name in values}, rel=1e-9
    )
    assert found.columns["rating_other"][-1] == pytest.approx(said["Recommend.Other"])
    # of the five known variants of the Ichimoku vote this answer speaks for one that abstains; the others agree
    assert found.votes["ichimoku"][-1] == -1
    assert round(15 * (found.columns["rating_ma"][-1] - said["Recommend.MA"])) == -1


def test_a_vendor_weighs_its_two_ratings_equally(shared_data: Path) -> None:
    said = recorded_answer(shared_data, "tv_alternative_fields_availability.json")
    for answer in said.values():
        assert answer["Recommend.All"] == pytest.approx((answer["Recommend.MA"] + answer["Recommend.Other"]) / 2)
        blend = 0.574 * answer["Recommend.MA"] + 0.3914 * answer["Recommend.Other"]
        assert abs(blend - answer["Recommend.All"]) > 0.01


def test_ta_lib_agrees_where_it_defines_the_same() -> None:
    import talib

    bars = market(1, 600)
    high, low, close, volume = (bars[name].to_numpy() for name in FIELDS)
    series = _Bars(high, low, close, volume, np.array([0, 600]))
    found = rate(bars).columns
    [highest], [lowest] = series.extremes(high, low, 14)
    pairs = {
        "sma": (series.mean(close, 200), talib.SMA(close, 200)),
        "ema": (series.exponential(close, 200), talib.EMA(close, 200)),
        "wma": (series.weighted(close, 9), talib.WMA(close, 9)),
        "max": (highest, talib.MAX(high, 14)),
        "min": (lowest, talib.MIN(low, 14)),
        "rsi": (found["rsi"], talib.RSI(close, 14)),
        "atr": (found["atr"], talib.ATR(high, low, close, 14)),
        "roc": (found["roc"], talib.ROC(close, 9)),
    }
    for name, (own, theirs) in pairs.items():
        np.testing.assert_allclose(own, theirs, rtol=1e-10, err_msg=name)
    # Wilder's sums are seeded with one value less there
    assert abs(found["adx"] / talib.ADX(high, low, close, 14) - 1)[30] > 0.001


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("sma_200", 199), ("ema_200", 199), ("vwma_20", 19), ("hma_9", 10), ("ichimoku", 76), ("rsi", 15),
        ("stochastic", 18), ("cci", 20), ("adx", 27), ("awesome", 35), ("momentum", 11), ("macd", 33),
        ("stochastic_rsi", 49), ("williams", 14), ("bull_bear", 49), ("ultimate", 28),
    ],
)  # fmt: skip
def test_a_component_votes_from_its_first_whole_window_on(name: str, first: int) -> None:
    is_there = rate(market(2, 260)).votes[name] != ABSENT
    np.testing.assert_array_equal(np.flatnonzero(is_there), np.arange(first, 260))


def test_a_rating_is_warm_when_a_thousand_bars_precede_it() -> None:
    found = rate(market(3, 1003)).columns
    assert WARM_BARS == 1000
    np.testing.assert_array_equal(np.flatnonzero(found["is_warm"]), [1000, 1001, 1002])
    np.testing.assert_array_equal(found["bar_count"], np.arange(1, 1004))


def test_later_bars_change_nothing_before_them_to_the_last_bit() -> None:
    bars = market(4, 400)
    whole = rate(bars)
    for length in (1, 17, 78, 233, 399):
        assert differences(whole, slice(length), rate(bars.iloc[:length])) == []


def test_symbols_do_not_see_each_other_and_threads_change_no_bit() -> None:
    one, other = market(5, 21_000), market(6, 30_000)
    together = rate(pd.concat([one, other, one]), [0, 21_000, 51_000, 72_000], threads=2)
    assert differences(together, slice(21_000), rate(one)) == []
    assert differences(together, slice(21_000, 51_000), rate(other)) == []
    assert differences(together, slice(51_000, 72_000), rate(one)) == []


def test_a_missing_volume_is_missed_by_the_windows_that_hold_it_alone() -> None:
    bars = market(8, 120)
    whole = rate(bars)
    bars.loc[60, "volume"] = np.nan
    found = rate(bars)
    changed = {name: list(np.flatnonzero(found.votes[name] != whole.votes[name])) for name in KINDS}
    assert {name: rows for name, rows in changed.items() if rows} == {"vwma_20": list(range(60, 80))}
    assert list(np.flatnonzero(np.isnan(found.columns["volume_change"]))) == [0, 60, 61]
    assert list(np.flatnonzero(found.columns["ma_vote_count"] < whole.columns["ma_vote_count"])) == list(range(60, 80))


def test_a_missing_high_is_missed_by_the_windows_that_hold_it_alone() -> None:
    bars = market(8, 200)
    bars.loc[120, ["high", "low"]] = np.nan
    found = rate(bars)
    gone = {name: list(np.flatnonzero(found.votes[name] == ABSENT)) for name in KINDS}
    held = {
        name: [row for row in rows if row >= 100] for name, rows in gone.items() if name not in ("sma_200", "ema_200")
    }
    reach = {
        # the lines of 52 bars, and as many again under the cloud 25 bars later
        "ichimoku": [*range(120, 197)],
        "stochastic": [*range(120, 139)],
        "cci": [*range(120, 141)],
        "adx": [120, 121, 122],
        "awesome": [*range(120, 156)],
        "williams": [*range(120, 135)],
        "bull_bear": [120, 121],
        "ultimate": [*range(120, 148)],
    }
    assert {name: rows for name, rows in held.items() if rows} == reach
    assert list(np.flatnonzero(np.isnan(found.columns["atr"]))) == [*range(14), 120]


def test_closes_alone_are_rated_by_what_reads_closes_alone() -> None:
    bars = market(9, 300)
    whole = rate(bars)
    bars[["high", "low", "volume"]] = np.nan
    found = rate(bars)
    voting = {name for name, votes in found.votes.items() if votes[-1] != ABSENT}
    averages = {f"{kind}_{length}" for kind in ("sma", "ema") for length in (10, 20, 30, 50, 100, 200)}
    assert voting == averages | {"hma_9", "rsi", "momentum", "macd", "stochastic_rsi"}
    assert (found.columns["ma_vote_count"][-1], found.columns["other_vote_count"][-1]) == (13, 4)
    for name in voting:
        np.testing.assert_array_equal(found.votes[name], whole.votes[name])
    assert np.isnan(found.columns["adx"]).all() and np.isnan(found.columns["atr"]).all()


def test_a_price_that_never_moves_is_level_with_its_averages_and_has_no_oscillators() -> None:
    # a third is no binary fraction: its sums are off by rounding
    bars = pd.DataFrame({"high": 1 / 3, "low": 1 / 3, "close": 1 / 3, "volume": 5.0}, index=range(300))
    found = rate(bars)
    assert {name: found.votes[name][-1] for name in KINDS if found.votes[name][-1] != ABSENT} == dict.fromkeys(
        [name for name, kind in KINDS.items() if kind == "ma"] + ["awesome", "momentum", "macd", "bull_bear"], 0
    )
    assert found.columns["rating_all"][-1] == 0.0
    assert np.isnan(found.columns["rsi"]).all() and np.isnan(found.columns["adx"]).all()


def test_a_price_that_has_stopped_moving_casts_no_votes_of_rounding() -> None:
    bars = market(10, 100)
    bars = pd.concat([bars, pd.concat([bars.iloc[[-1]]] * 300)], ignore_index=True)
    bars.loc[100:, ["high", "low"]] = bars["close"].iloc[-1]
    found = rate(bars)
    assert set(found.votes["stochastic_rsi"][140:]) == {ABSENT}
    assert set(found.votes["stochastic"][140:]) == {ABSENT}
    assert set(found.votes["cci"][140:]) == {ABSENT}
    for name in ("sma_200", "awesome", "momentum", "rsi", "hma_9", "ichimoku"):
        assert found.votes[name][-1] == 0, name
    assert not np.isnan(found.columns["rsi"][-1])


def test_ratings_without_any_vote_are_not_there_and_one_alone_is_the_whole() -> None:
    found = rate(market(11, 11)).columns
    assert np.isnan(found["rating_all"][:9]).all()
    # the averages of ten bars stand before any oscillator
    assert found["rating_all"][9] == found["rating_ma"][9]
    assert np.isnan(found["rating_other"][9])


def test_an_empty_volume_before_gives_no_change_of_volume() -> None:
    bars = market(12, 5)
    bars["volume"] = [10.0, 0.0, 0.0, 20.0, 30.0]
    np.testing.assert_allclose(rate(bars).columns["volume_change"], [np.nan, -100.0, np.nan, np.nan, 50.0])


coarse = st.lists(
    st.tuples(
        st.integers(2, 6), st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.0, 1.0, 3.0, np.nan]), st.booleans()
    ),
    min_size=60,
    max_size=140,
)


@settings(max_examples=25, deadline=None)
@given(coarse)
def test_ties_flat_ranges_and_holes_agree_with_the_second_implementation(
    steps: list[tuple[int, int, int, float, bool]],
) -> None:
    """Prices on a grid of a few ticks tie all the time; some bars have no highs and lows, and some no volume."""
    bars = pd.DataFrame(
        [(0.1 * (c + up), 0.1 * (c - min(down, c - 1)), 0.1 * c, volume) for c, up, down, volume, _ in steps],
        columns=FIELDS,
    )
    hidden = np.array([is_hidden and row % 37 == 0 for row, (*_, is_hidden) in enumerate(steps)])
    bars.loc[hidden, ["high", "low"]] = np.nan
    assert_agrees(rate(bars), slice(None), bars, "coarse")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(-20, 20))
def test_the_unit_of_the_price_changes_no_vote(seed: int, power: int) -> None:
    bars = market(seed, 120)
    scaled = bars.assign(**{name: bars[name] * 2.0**power for name in ("high", "low", "close")})
    one, other = rate(bars), rate(scaled)
    assert [name for name in KINDS if not np.array_equal(one.votes[name], other.votes[name])] == []
    ma, rest = one.columns["rating_ma"], one.columns["rating_other"]
    assert np.nanmax(np.abs([ma, rest])) <= 1


def test_bars_that_do_not_fit_are_an_error() -> None:
    bars = market(13, 3)
    with pytest.raises(DataContractError, match="offsets do not ascend from 0 to the 3 values"):
        rate(bars, [0, 2])
    bars.loc[1, "close"] = np.nan
    with pytest.raises(DataContractError, match="closes holds nan"):
        rate(bars)


def test_no_bars_have_no_ratings() -> None:
    empty = np.empty(0)
    found = technical_ratings(empty, empty, empty, empty, np.zeros(1, dtype=np.int64))
    assert {len(values) for values in [*found.columns.values(), *found.votes.values()]} == {0}
