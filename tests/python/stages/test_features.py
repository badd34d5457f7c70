"""The feature stage: tables in, tables out, NULL where a factor does not exist."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from quantmill.errors import DataContractError
from quantmill.features.regimes import RegimeWeights
from quantmill.stages.features import bar_factor_table, regime_table, return_factor_table

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
    returns = pa.table(
        {
            "symbol": ["A"] * 40 + ["B"] * 5,
            "session_date": days(40) + days(5),
            "simple_return": np.random.default_rng(0).normal(0, 0.01, 45),
        }
    )
    found = return_factor_table(returns)
    assert found.select(["symbol", "session_date"]).equals(returns.select(["symbol", "session_date"]))
    assert found["observation_count"].to_pylist() == [*range(1, 41), *range(1, 6)]
    assert found["hurst"].null_count == 31 + 5
    assert found["deviation"].null_count == 2


def test_returns_out_of_order_are_an_error() -> None:
    returns = pa.table({"symbol": ["B", "A"], "session_date": days(2), "simple_return": [0.1, 0.1]})
    with pytest.raises(DataContractError, match="out of order"):
        return_factor_table(returns)


def test_prices_of_two_adjustments_are_never_compared() -> None:
    close = np.linspace(100, 130, 80)
    close[40:] /= 2
    bars = pa.table(
        {
            "symbol": ["A"] * 80,
            "session_date": days(80),
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "close_adjustment": ["none"] * 40 + ["splits"] * 40,
        }
    )
    found = bar_factor_table(bars)
    adx = np.array(found["adx"].to_pylist(), dtype=float)
    np.testing.assert_array_equal(np.isnan(adx), [*[True] * 27, *[False] * 13] * 2)
    again = bar_factor_table(bars.slice(40))
    assert found["adx"].to_pylist()[40:] == again["adx"].to_pylist()
    assert found["spread"].to_pylist()[40:] == again["spread"].to_pylist()


def test_a_class_has_a_regime_on_each_session_with_five_members() -> None:
    rows = members("crypto", 6, 70) + members("equity", 4, 70) + members("etf", 5, 30)
    table = pa.Table.from_pylist(
        [row for row in rows if row["symbol"] != "X:5" or row["session_date"] > days(10)[-1]], SCHEMA
    )
    found = regime_table(table, WEIGHTS).to_pylist()
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
    found = regime_table(pa.Table.from_pylist(members("equity", 5, 3, liquidity=7.0), SCHEMA), WEIGHTS)
    assert found["weighting"].to_pylist() == ["liquidity"] * 3


def test_no_class_with_five_members_has_no_regimes() -> None:
    for rows in ([], members("index", 1, 30)):
        found = regime_table(pa.Table.from_pylist(rows, SCHEMA), WEIGHTS)
        assert found.num_rows == 0
        assert "label" in found.column_names
        assert not [field.name for field in found.schema if pa.types.is_null(field.type)]


def test_a_class_has_its_own_weights_and_says_what_they_were_tuned_on() -> None:
    table = pa.Table.from_pylist(members("equity", 5, 70) + members("etf", 5, 70), SCHEMA)
    tuned = vars(RegimeWeights(volatility_ratio=0.60, turbulence=0.0))
    span = {"tuned_from": date(2015, 1, 2), "tuned_to": date(2019, 12, 31)}
    rows = pa.Table.from_pylist([*WEIGHTS.to_pylist(), {"asset_class": "etf", **tuned, **span}], WEIGHTS_SCHEMA)
    found, before = regime_table(table, rows).to_pylist(), regime_table(table, WEIGHTS).to_pylist()
    assert [row["score"] for row in found[:70]] == [row["score"] for row in before[:70]]
    assert all(row["score"] != old["score"] for row, old in zip(found[100:], before[100:], strict=True))
    assert {(row["asset_class"], row["tuned_to"]) for row in found} == {("equity", None), ("etf", date(2019, 12, 31))}
