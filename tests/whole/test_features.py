"""Factors, survival and regimes of the real prices: checked by a second implementation and by cutting history."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from python.features import plain
from quantmill.features.regimes import RegimeWeights
from quantmill.manifest.home import Home
from quantmill.stages.features import factor_table, proxy_table, regime_table
from support import ask, copy_of_home, dbt_build

SYMBOLS = ("NASDAQ:AAPL", "NYSE:RRC", "SP:SPX", "CBOE:USMV")


def arrow(home: Home, query: str) -> pa.Table:
    with duckdb.connect(str(home.snapshot), read_only=True) as connection:
        return connection.execute(query).to_arrow_table()


@pytest.fixture(scope="module")
def bars(sample_home: Home) -> pa.Table:
    """The bars and returns of the build, as its model of factors gets them."""
    return arrow(
        sample_home,
        """
        select bars.*, bars.calendar_id = '24/7' as is_continuous, returns.simple_return
        from features.session_bars as bars
        left join features.daily_returns as returns using (symbol, session_date)
        order by symbol, session_date
        """,
    )


@pytest.fixture(scope="module")
def returns(bars: pa.Table) -> pa.Table:
    """The rows of `bars` that have a return."""
    return bars.filter(bars["simple_return"].is_valid())


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_factor_of_a_real_symbol_agrees_with_its_second_implementation(
    symbol: str, sample_home: Home, returns: pa.Table
) -> None:
    own = np.array(returns["symbol"].to_pylist()) == symbol
    values = returns["simple_return"].to_numpy()[own]
    rows = arrow(
        sample_home,
        f"select * replace (momentum / 252 as momentum, momentum_short / 252 as momentum_short,"
        f" volatility_annual / sqrt(252) as volatility_annual) from features.factor_history"
        f" where symbol = '{symbol}' order by session_date",
    ).rename_columns(
        {"momentum": "mean_return", "momentum_short": "mean_return_short", "volatility_annual": "deviation"}
    )
    places = [*range(3, 260, 9), *range(260, len(values), 61), len(values) - 1]
    for name, (window, function) in plain.FACTORS.items():
        found = rows[name].to_pylist()
        for t in places:
            expected = function(values[max(0, t - window + 1) : t + 1])
            value = np.nan if found[t] is None else found[t]
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), (name, t)


@pytest.mark.parametrize("cut", [date(1993, 7, 1), date(2008, 10, 10), date(2020, 3, 16)])
def test_factors_and_regimes_up_to_a_cut_are_those_of_the_whole_history(
    cut: date, sample_home: Home, bars: pa.Table
) -> None:
    import pyarrow.compute as pc

    whole = factor_table(bars)
    before = pc.field("session_date") <= pa.scalar(cut)
    assert factor_table(bars.filter(before)).equals(whole.filter(before))
    members = arrow(
        sample_home,
        """
        select asset_class, session_date, symbol, simple_return, cast(null as double) as liquidity,
            252.0::double as periods_per_year, known_at_utc
        from features.daily_returns join features.symbols using (symbol)
        where asset_type = 'stock' order by asset_class, session_date, symbol
        """,
    )
    untuned = {"asset_class": "other", **vars(RegimeWeights()), "tuned_from": None, "tuned_to": None}
    weights = pa.Table.from_pylist([untuned])
    regimes = regime_table(proxy_table(members), weights)
    assert regime_table(proxy_table(members.filter(before)), weights).equals(regimes.filter(before))
    published = arrow(
        sample_home,
        "select score, label from features.market_regimes where asset_class = 'equity' order by session_date",
    )
    assert regimes.select(["score", "label"]).equals(published)


def test_the_regime_of_the_real_market_agrees_with_its_second_implementation(sample_home: Home) -> None:
    rows = ask(
        sample_home,
        """
        select proxy_return, score, label, quadrant, growth, stress
        from features.market_regimes where asset_class = 'equity' order by session_date
        """,
    )
    proxy = np.array([row[0] for row in rows])
    for t in (*range(31, 400, 7), *range(400, len(rows), 23)):
        expected = plain.regime(proxy[: t + 1], 252.0)
        _, score, label, quadrant, growth, stress = rows[t]
        assert (label, quadrant) == (expected["label"], expected["quadrant"]), t
        assert (score, growth, stress) == pytest.approx(
            (expected["score"], expected["growth"], expected["stress"]), rel=1e-9, abs=1e-12
        )


def test_the_proxy_of_the_sample_is_the_plain_mean_of_its_stocks(sample_home: Home) -> None:
    found = ask(
        sample_home,
        """
        select
            count(*), max(abs(proxy_return - mean)), min(weighting), max(weighting),
            min(member_count), max(member_count)
        from features.market_regimes
        join (
            select session_date, avg(simple_return) as mean
            from features.daily_returns join features.symbols using (symbol)
            where asset_type = 'stock' group by session_date
        ) using (session_date)
        where asset_class = 'equity'
        """,
    )[0]
    assert found[0] == 8312
    assert found[1] < 1e-15
    assert found[2:] == ("equal", "equal", 20, 20)


def test_the_great_crashes_are_crises_and_calm_years_are_quiet(sample_home: Home) -> None:
    found = dict(
        ask(
            sample_home,
            """
            select session_date, label from features.market_regimes where asset_class = 'equity'
            and session_date in ('2008-10-15', '2020-03-16', '2017-06-30')
            """,
        )
    )
    assert found == {date(2008, 10, 15): "CRISIS", date(2020, 3, 16): "CRISIS", date(2017, 6, 30): "QUIET"}


def test_the_only_event_within_the_sample_is_known_from_the_session_after_it(sample_home: Home) -> None:
    tested = ask(
        sample_home, "select event_id, count(*) from features.survival_tests where is_tested group by event_id"
    )
    assert tested == [("CRISIS_2022_Q2", 26)]
    assert ask(sample_home, "select count(*) from features.survival_tests where is_volume_judged") == [(0,)]
    found = ask(
        sample_home,
        """
        select survival, survival_tested_count, min(session_date), max(session_date), count(distinct symbol)
        from features.factor_history group by 1, 2 order by 1
        """,
    )
    assert found == [
        (0.5, 0, date(1990, 1, 3), date(2022, 6, 30), 26),
        (1.0, 1, date(2022, 7, 1), date(2022, 12, 28), 26),
    ]


def test_a_window_carries_the_regime_of_its_decision(sample_home: Home) -> None:
    found = ask(
        sample_home,
        """
        select count(*), count(*) filter (where windows.regime = regimes.label and windows.regime_score = regimes.score
            and windows.quadrant = regimes.quadrant and windows.regime_date = windows.decision_date
            and windows.regime_basis = 'measured'), count(distinct windows.regime)
        from selection.windows
        join selection.runs_latest using (run_id)
        join features.market_regimes as regimes
            on regimes.asset_class = 'equity' and windows.decision_date = regimes.session_date
        """,
    )[0]
    assert found[0] == found[1] >= 62
    assert found[2] == 4


@pytest.mark.build
def test_a_market_that_is_not_measured_is_an_error_that_names_it(landed_home: Home, tmp_path: Path) -> None:
    home = copy_of_home(landed_home, tmp_path / "unmeasured")
    built = dbt_build(home, "--select", "+windows", regime__asset_class="crypto")
    assert built.code != 0
    assert "unmeasured_regime" in built.output
    assert "rests on 0 sessions of asset class crypto at the decision of" in built.output
