"""The feature stage: tables in, tables out, NULL where a factor does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from quantmill.errors import DataContractError
from quantmill.features.regimes import RegimeWeights
from quantmill.stages.features import (
    factor_table,
    proxy_table,
    regime_table,
    session_count_table,
    suspect_move_table,
    technical_rating_table,
)

START = date(2020, 1, 1)
# the weights of every class, as the specification has them
WEIGHTS_SCHEMA = pa.schema(
    [
        ("asset_class", pa.string()),
        *((name, pa.float64()) for name in vars(RegimeWeights())),
        ("tuned_from", pa.date32()),
        ("tuned_to", pa.date32()),
    ]
)
WEIGHTS = pa.Table.from_pylist([{"asset_class": "other", **vars(RegimeWeights())}], WEIGHTS_SCHEMA)


def days(count: int) -> list[date]:
    return [START + timedelta(days=i) for i in range(count)]


def bars(symbol: str, closes: Sequence[float], **columns: Sequence[object]) -> pa.Table:
    """Bars on consecutive days with a return from the second on; `columns` replace what they hold."""
    count = len(closes)
    close = np.asarray(closes, dtype=float)
    table = {
        "symbol": [symbol] * count,
        "session_date": days(count),
        "session_number": np.arange(1, count + 1),
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "close_adjustment": ["none"] * count,
        "turnover": np.full(count, np.nan),
        "volume": np.full(count, np.nan),
        "known_at_utc": [datetime(2020, 1, 1, 20) + timedelta(days=i) for i in range(count)],
        "is_continuous": [False] * count,
        "simple_return": [None, *(close[1:] / close[:-1] - 1).tolist()],
    }
    return pa.table({**table, **columns})


def since(table: pa.Table, first: date) -> np.ndarray:
    return np.full(table.num_rows, np.datetime64(first, "D"))


def members(asset_class: str, names: int, count: int, *, liquidity: float | None = None) -> list[dict[str, object]]:
    rng = np.random.default_rng(names)
    returns = rng.normal(0, 0.01, (count, names))
    return [
        {
            "asset_class": asset_class,
            "session_date": day,
            "symbol": f"X:{name}",
            "simple_return": float(returns[i, name]),
            "liquidity": liquidity,
            "periods_per_year": 252.0,
            "known_at_utc": datetime(2020, 1, 1, 20 + name % 2) + timedelta(days=i),
        }
        for i, day in enumerate(days(count))
        for name in range(names)
    ]


SCHEMA = pa.schema(
    [
        ("asset_class", pa.string()), ("session_date", pa.date32()), ("symbol", pa.string()),
        ("simple_return", pa.float64()), ("liquidity", pa.float64()), ("periods_per_year", pa.float64()),
        ("known_at_utc", pa.timestamp("us")),
    ]
)  # fmt: skip


def test_factors_keep_the_keys_of_their_returns_and_are_null_below_their_least_rows() -> None:
    walk = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 47)))
    table = pa.concat_tables([bars("A", walk[:41]), bars("B", walk[41:])])
    found = factor_table(table)
    assert found["symbol"].to_pylist() == ["A"] * 40 + ["B"] * 5
    assert found["session_date"].to_pylist() == days(41)[1:] + days(6)[1:]
    assert found["observation_count"].to_pylist() == [*range(1, 41), *range(1, 6)]
    assert found["hurst"].null_count == 31 + 5
    assert found["deviation"].null_count == 2


def test_bars_out_of_order_are_an_error() -> None:
    table = pa.concat_tables([bars("B", [1.0, 1.1]), bars("A", [1.0, 1.1])])
    with pytest.raises(DataContractError, match="out of order"):
        factor_table(table)


def test_prices_of_two_adjustments_are_never_compared() -> None:
    close = np.linspace(100, 130, 80)
    close[40:] /= 2
    returns = [None, *(close[1:] / close[:-1] - 1).tolist()]
    returns[40] = None
    table = bars("A", close, close_adjustment=["none"] * 40 + ["splits"] * 40, simple_return=returns)
    found = factor_table(table)
    adx = np.array(found["adx"].to_pylist(), dtype=float)
    np.testing.assert_array_equal(np.isnan(adx), [*[True] * 26, *[False] * 13, *[True] * 26, *[False] * 13])
    assert [place for place, value in enumerate(found["roc"].to_pylist()) if value is None] == [
        *range(8), *range(39, 47),
    ]  # fmt: skip
    again = factor_table(bars("A", close[40:]))
    for name in ("adx", "spread", "roc"):
        assert found[name].to_pylist()[39:] == again[name].to_pylist(), name


def test_trading_is_measured_over_thirty_bars_and_the_row_before_knows_the_one_before() -> None:
    turnover = np.arange(32.0)
    turnover[31] = np.nan
    found = factor_table(bars("A", [10.0, 10.0, *range(11, 41)], turnover=turnover))
    value = dict(zip(found["session_date"].to_pylist(), found["average_daily_value"].to_pylist(), strict=True))
    assert [value[days(32)[i]] for i in (1, 9, 29, 30, 31)] == [0.5, 4.5, 14.5, 15.5, 16.0]
    assert found["earlier_daily_value"].to_pylist() == [None, *found["average_daily_value"].to_pylist()[:-1]]
    assert found["equal_close_count"].to_pylist()[:3] == [2, 1, 1]
    assert set(found["periods_per_year"].to_pylist()) == {252.0}


def test_sessions_without_a_bar_are_a_share_of_those_of_the_window() -> None:
    numbers = np.array([1, 2, 4, 7])
    assert factor_table(bars("A", [10, 10, 11, 11], session_number=numbers))["gap_fraction"].to_pylist() == [
        0.0, 1 / 3, 0.5,
    ]  # fmt: skip
    many = np.arange(1, 301)
    many[100:] += 6
    shares = factor_table(bars("A", np.linspace(50, 60, 300), session_number=many))["gap_fraction"].to_pylist()
    # the first row is that of the second bar; the last 252 rows are those from session 49 to session 306
    assert (shares[98], shares[99], shares[298]) == (0.0, 6 / 106, 6 / 258)


def test_rows_from_a_session_on_are_those_of_the_whole_history() -> None:
    random = np.random.default_rng(5)
    tables = [bars(name, 50 * np.exp(np.cumsum(random.normal(0, 0.02, 700)))) for name in ("A", "B", "C")]
    table = pa.concat_tables(tables)
    whole = factor_table(table)
    first = np.repeat(np.array([days(650)[-1], days(1)[0], date(2030, 1, 1)], dtype="datetime64[D]"), 700)
    kept = [
        row for row in whole.to_pylist()
        if row["symbol"] == "B" or (row["symbol"] == "A" and row["session_date"] >= days(650)[-1])
    ]  # fmt: skip
    assert factor_table(table, first).to_pylist() == kept


def test_ratings_from_a_session_on_are_those_of_the_whole_history() -> None:
    random = np.random.default_rng(7)
    tables = []
    for name in ("A", "B", "C"):
        walk = 50 * np.exp(np.cumsum(random.normal(0, 0.02, 700)))
        tables.append(bars(name, walk, volume=random.uniform(1, 2, 700), high=walk * random.uniform(1, 1.02, 700)))
    table = pa.concat_tables(tables)
    first = np.repeat(np.array([days(690)[-1], days(1)[0], date(2030, 1, 1)], dtype="datetime64[D]"), 700)
    whole = technical_rating_table(table)
    kept = np.repeat([True, True, False], 700)
    kept[:689] = False
    assert technical_rating_table(table, first).equals(whole.filter(pa.array(kept)))


def test_suspect_moves_are_named_by_their_size() -> None:
    closes = [1.0, 2.5, 17.5, 0.0625, 0.0625]
    returns = [None, 1.5, 6.0, -0.996, None]
    found = suspect_move_table(bars("X", closes, simple_return=returns), since(bars("X", closes), START)).to_pylist()
    assert [(row["session_date"], row["code"]) for row in found] == [
        (days(6)[1], "EXTREME"), (days(6)[2], "SUSPECT_DROP"), (days(6)[2], "TOXIC_RETURN"),
        (days(6)[3], "SUSPECT_DROP"), (days(6)[4], "ADJUSTMENT_CHANGE"), (days(6)[4], "SUSPECT_DROP"),
    ]  # fmt: skip
    # the median of the closes before is 1.75 both times
    assert [row["value"] for row in found if row["code"] != "ADJUSTMENT_CHANGE"] == pytest.approx(
        [1.5, np.log(17.5 / 1.75), 6.0, -0.996, np.log(0.0625 / 1.75)]
    )
    assert found[4]["value"] is None


def test_a_volume_is_a_spike_beyond_ten_deviations_of_the_twenty_before() -> None:
    volume = np.array([100.0, 110.0] * 15)
    volume[20], volume[25], volume[29] = 400.0, 100000.0, 160.0
    table = bars("X", np.linspace(10, 11, 30), volume=volume)
    found = suspect_move_table(table, since(table, START)).to_pylist()
    assert [(row["session_date"], row["code"]) for row in found] == [
        (days(30)[20], "VOLUME_SPIKE"), (days(30)[25], "VOLUME_SPIKE"),
    ]  # fmt: skip
    assert found[0]["value"] == pytest.approx(400 / 105)
    # nothing is judged before twenty volumes, nor where one of them is missing
    volume[3] = np.nan
    assert [row["session_date"] for row in suspect_move_table(
        bars("X", np.linspace(10, 11, 30), volume=volume), since(table, START)
    ).to_pylist()] == [days(30)[25]]  # fmt: skip


def sessions(closes: Sequence[float | None], suspect: Sequence[int] = ()) -> pa.Table:
    count = len(closes)
    return pa.table(
        {
            "symbol": ["X"] * count,
            "session_date": days(count),
            "session_number": np.arange(1, count + 1),
            "calendar_id": ["XNYS"] * count,
            "close": pa.array(closes, pa.float64()),
            "is_suspect": [place in suspect for place in range(count)],
        }
    )


def test_sessions_are_counted_as_of_each_close() -> None:
    table = sessions([1.0, None, None, 2.0, 2.0, None, 2.0, 3.0], suspect=[3])
    found = session_count_table(table, since(table, START))
    expected = {
        "sessions_behind": [0, 1, 2, 0, 0, 1, 0, 0],
        "expected_sessions": [1, 2, 3, 4, 5, 6, 7, 8],
        "missing_sessions": [0, 1, 2, 2, 2, 3, 3, 3],
        "repeated_sessions": [0, 0, 1, 1, 1, 1, 1, 1],
        "suspect_sessions": [0, 0, 0, 1, 1, 1, 1, 1],
        # a missing session does not end a run of closes that stand still
        "longest_stall": [0, 0, 0, 0, 1, 1, 2, 2],
    }
    assert {name: found[name].to_pylist() for name in expected} == expected
    assert session_count_table(table, since(table, days(6)[5])).equals(found.slice(5))


def test_what_lies_500_sessions_back_is_forgotten() -> None:
    closes: list[float | None] = [float(i) for i in range(1200)]
    closes[100] = closes[101] = None
    closes[203:206] = [202.0] * 3
    table = sessions(closes, suspect=[150])
    found = session_count_table(table, since(table, START))
    assert found["expected_sessions"].to_pylist()[498:502] == [499, 500, 500, 500]
    assert found["missing_sessions"].to_pylist()[599:603] == [2, 1, 0, 0]
    assert found["repeated_sessions"].to_pylist()[599:603] == [1, 1, 0, 0]
    assert found["suspect_sessions"].to_pylist()[648:652] == [1, 1, 0, 0]
    assert found["longest_stall"].to_pylist()[702:708] == [3, 3, 3, 0, 0, 0]


def test_a_class_has_a_regime_on_each_session_with_five_members() -> None:
    rows = members("crypto", 6, 70) + members("equity", 4, 70) + members("etf", 5, 30)
    table = pa.Table.from_pylist(
        [row for row in rows if row["symbol"] != "X:5" or row["session_date"] > days(10)[-1]], SCHEMA
    )
    found = regime_table(proxy_table(table), WEIGHTS).to_pylist()
    assert {row["asset_class"] for row in found} == {"crypto", "etf"}
    crypto = [row for row in found if row["asset_class"] == "crypto"]
    assert [row["session_date"] for row in crypto] == days(70)
    assert [row["member_count"] for row in crypto] == [5] * 10 + [6] * 60
    assert [row["observation_count"] for row in crypto] == list(range(1, 71))
    assert crypto[0]["known_at_utc"] == datetime(2020, 1, 1, 21)
    assert {row["weighting"] for row in found} == {"equal"}
    expected = np.mean([row["simple_return"] for row in rows[-5:]])
    assert found[-1]["proxy_return"] == pytest.approx(expected)
    assert (crypto[18]["label"], crypto[18]["quadrant"], crypto[18]["volatility_ratio"]) == (
        "NORMAL",
        "STAGNATION",
        None,
    )
    assert crypto[19]["volatility_ratio"] is not None


def test_liquidity_makes_the_weighting() -> None:
    found = regime_table(proxy_table(pa.Table.from_pylist(members("equity", 5, 3, liquidity=7.0), SCHEMA)), WEIGHTS)
    assert found["weighting"].to_pylist() == ["liquidity"] * 3


def test_no_class_with_five_members_has_no_regimes() -> None:
    for rows in ([], members("index", 1, 30)):
        found = regime_table(proxy_table(pa.Table.from_pylist(rows, SCHEMA)), WEIGHTS)
        assert found.num_rows == 0
        assert "label" in found.column_names
        assert not [field.name for field in found.schema if pa.types.is_null(field.type)]


def test_a_class_has_its_own_weights_and_says_what_they_were_tuned_on() -> None:
    table = pa.Table.from_pylist(members("equity", 5, 70) + members("etf", 5, 70), SCHEMA)
    tuned = vars(RegimeWeights(volatility_ratio=0.60, turbulence=0.0))
    span = {"tuned_from": date(2015, 1, 2), "tuned_to": date(2019, 12, 31)}
    rows = pa.Table.from_pylist([*WEIGHTS.to_pylist(), {"asset_class": "etf", **tuned, **span}], WEIGHTS_SCHEMA)
    proxies = proxy_table(table)
    found, before = regime_table(proxies, rows).to_pylist(), regime_table(proxies, WEIGHTS).to_pylist()
    assert [row["score"] for row in found[:70]] == [row["score"] for row in before[:70]]
    assert all(row["score"] != old["score"] for row, old in zip(found[100:], before[100:], strict=True))
    assert {(row["asset_class"], row["tuned_to"]) for row in found} == {("equity", None), ("etf", date(2019, 12, 31))}
