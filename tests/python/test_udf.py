"""The functions that SQL lacks give what the models compute, NULL for NULL."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from quantmill.features.factors import hurst_exponents, permutation_entropies
from quantmill.features.regimes import haar_shares
from quantmill.udf import register

RETURNS = np.random.default_rng(3).normal(0, 0.02, 252)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect(":memory:")
    register(opened)
    opened.execute("create table series (name varchar, returns double[])")
    opened.executemany(
        "insert into series values (?, ?)",
        [
            ("whole", RETURNS.tolist()),
            ("holed", [None, *RETURNS[:100].tolist(), None, *RETURNS[100:].tolist()]),
            ("short", RETURNS[:31].tolist()),
            ("still", [0.01] * 60),
            ("empty", []),
            ("blank", [None, None]),
            ("none", None),
        ],
    )
    return opened


@pytest.mark.parametrize(
    ("function", "expected", "short", "still"),
    [
        ("permutation_entropy", permutation_entropies, None, 0.0),
        ("hurst_exponent", hurst_exponents, None, 0.5),
        ("haar_energy", haar_shares, haar_shares, 0.0),
    ],
)
def test_a_function_of_a_list_is_the_factor_of_its_last_row(
    connection: duckdb.DuckDBPyConnection, function: str, expected: object, short: object, still: float
) -> None:
    def last(values: np.ndarray) -> float:
        return float(expected(values, np.array([0, len(values)]), window=len(values))[-1])  # type: ignore[operator]

    found = dict(connection.execute(f"select name, {function}(returns) from series").fetchall())
    assert found["whole"] == found["holed"] == last(RETURNS)
    assert found["short"] == (last(RETURNS[:31]) if short else None)
    assert found["still"] == pytest.approx(still, abs=1e-12)
    assert (found["empty"], found["blank"], found["none"]) == (None, None, None)


def test_the_shipped_functions_work_in_a_window_of_sql(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create table daily as select i, 0.01 * sin(i * i) as r from range(300) as days(i)")
    found = connection.execute(
        """
        select hurst_exponent(list(r) over (order by i rows between 251 preceding and current row)) from daily
        order by i desc limit 1
        """
    ).fetchall()[0][0]
    values = 0.01 * np.sin(np.arange(300.0) ** 2)
    assert found == pytest.approx(hurst_exponents(values, np.array([0, 300]))[-1], rel=1e-9)
