"""The tables of the ratings: what they are means of, and how they stand beside what a vendor told."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from python.features.pipeline import Pipeline
from quantmill.features.ratings import COMPONENTS

from tests.market.indicators import Frame, nodes

COUNT = 1010
FIRST = date(2020, 1, 1)
SYMBOLS = tuple(f"X:S{number:02}" for number in range(12))
LAST = FIRST + timedelta(days=COUNT - 1)


@cache
def markets() -> pd.DataFrame:
    """Daily bars of twelve symbols; each is known at the midnight that ends it."""
    frames = []
    for number, symbol in enumerate(SYMBOLS):
        rng = np.random.default_rng(number)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, COUNT)))
        frames.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "session_date": [FIRST + timedelta(days=i) for i in range(COUNT)],
                    "high": close * (1 + rng.uniform(0, 0.02, COUNT)),
                    "low": close * (1 - rng.uniform(0, 0.02, COUNT)),
                    "close": close,
                    "volume": rng.uniform(1e3, 9e3, COUNT),
                    "close_adjustment": "none",
                }
            )
        )
    bars = pd.concat(frames, ignore_index=True)
    bars["known_at_utc"] = pd.to_datetime(bars["session_date"]) + timedelta(days=1)
    return bars


@cache
def told() -> dict[str, pd.DataFrame]:
    """What a venue with its own indicators says of each bar: frames of bars and symbols by field."""
    bars = markets()
    inputs = {
        name: bars.pivot(index="session_date", columns="symbol", values=name).to_numpy()
        for name in ("high", "low", "close", "volume")
    }
    frame = Frame({**inputs, "open": inputs["close"]})
    fields = ("Recommend.All", "Recommend.MA", "Recommend.Other", "RSI", "CCI20", "Stoch.K", "Stoch.D", "Mom")
    fields += (
        "MACD.macd",
        "MACD.signal",
        "close",
        *(f"{kind}{n}" for kind in ("SMA", "EMA") for n in (10, 20, 30, 50)),
    )
    fields += tuple(f"Rec.{name}" for name in ("Ichimoku", "VWMA", "HullMA9", "Stoch.RSI", "WR", "BBPower", "UO"))
    return {field: nodes()[field].full(frame) for field in fields}


def pipeline(*, symbols: int = 12, is_intrabar: bool = False, shift: float = 0.0, sessions: int = 3) -> Pipeline:
    """A workbench with bars of all symbols, and a vendor's answers about the last sessions of the first `symbols`.

    A running answer comes ten minutes after a close and speaks of the bar of the next session.
    """
    made = Pipeline()
    bars = markets()
    made.connection.register("bars", bars)
    made.give("session_bars", "select * replace (cast(session_date as date) as session_date) from bars")
    rows = []
    for row in range(COUNT - sessions, COUNT):
        day = FIRST + timedelta(days=row)
        observed = datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(minutes=10)
        for number in range(symbols):
            for field, values in told().items():
                value = float(values[row, number])
                if field.startswith("Recommend"):
                    value = min(1.0, max(-1.0, value + shift))
                rows.append(
                    (SYMBOLS[number], observed, "1d", field.lower().replace(".", "_"), value,
                     day + timedelta(days=1) if is_intrabar else day, is_intrabar, "load")
                )  # fmt: skip
    names = ("symbol", "observed_at_utc", "timeframe", "feature", "value", "session_date", "is_intrabar", "load_id")
    answers = pd.DataFrame(rows, columns=names)
    made.connection.register("answers", answers)
    kinds = ("varchar", "timestamp", "varchar", "varchar", "double", "date", "boolean", "varchar")
    cast = ", ".join(f"cast({name} as {kind}) as {name}" for name, kind in zip(names, kinds, strict=True))
    made.give("vendor_features", f"select {cast} from answers")
    return made


def test_the_tables_name_the_components_that_there_are() -> None:
    made = pipeline().build("technical_ratings", "rating_components")
    listed = made.ask("select component, rating, length from rating_components")
    assert listed == [(one.name, one.rating, one.length) for one in COMPONENTS]
    columns = made.ask("select column_name from duckdb_columns() where table_name = 'technical_ratings'")
    assert [name for (name,) in columns if name.startswith("vote_")] == [f"vote_{one.name}" for one in COMPONENTS]


def test_the_shares_of_the_votes_add_up_to_their_rating() -> None:
    made = pipeline().build("rating_votes")
    [(wrong, checked)] = made.ask(
        """
        select count(*) filter (where abs(summed - stated) > 1e-12), count(*) from (
            select sum(votes.share) as summed,
                any_value(case votes.rating when 'ma' then ratings.rating_ma else ratings.rating_other end) as stated
            from rating_votes as votes join technical_ratings as ratings using (symbol, session_date)
            group by votes.symbol, votes.session_date, votes.rating
        )
        """
    )
    assert (wrong, checked) == (0, len(SYMBOLS) * (COUNT - 9 + COUNT - 11))
    assert made.ask("select distinct vote, because is null from rating_votes order by all") == [
        (-1, False), (0, True), (1, False),
    ]  # fmt: skip


def test_a_vote_is_warm_when_five_times_its_length_precede_it() -> None:
    made = pipeline().build("rating_votes")
    found = dict(
        made.ask(
            "select component, count(*) from rating_votes where symbol = ? and is_warm group by component", SYMBOLS[0]
        )
    )
    assert found == {one.name: COUNT - 5 * one.length for one in COMPONENTS}


@pytest.mark.parametrize(
    ("rating", "label"),
    [
        (-0.51, "strong_sell"), (-0.5, "sell"), (-0.11, "sell"), (-0.1, "neutral"), (0.1, "neutral"),
        (0.1 + 1e-16, "neutral"), (0.11, "buy"), (0.5, "buy"), (0.51, "strong_buy"), (None, None),
    ],
)  # fmt: skip
def test_labels_follow_the_rating(rating: float | None, label: str | None) -> None:
    made = pipeline().build("calc_ratings")
    made.connection.execute("update calc_ratings set rating_all = ?", [rating])
    assert made.build("technical_ratings").ask("select distinct rating_label from technical_ratings") == [(label,)]


def test_a_vendor_with_the_same_rules_agrees_in_every_measure() -> None:
    made = pipeline().build("rating_parity_report")
    found = made.ask(
        """
        select measure, subject, status, value, symbol_count, observation_count
        from rating_parity_report where basis = 'closed'
        """
    )
    judged = {(measure, subject): rest for measure, subject, *rest in found if rest[0] != "insufficient"}
    for (measure, _), (status, value, symbols, _rows) in judged.items():
        assert (status, symbols) == ("ok", 12) or (measure == "sign_agreement" and status == "ok")
        assert value == pytest.approx(0.0 if measure == "mean_absolute_error" else 1.0, abs=1e-12)
    # the vendor tells neither the lines of ADX and AO, nor the averages of 100 and 200 here
    untold = {subject for measure, subject, status, *_ in found if status == "insufficient"}
    assert untold == {"adx", "awesome", "sma_100", "sma_200", "ema_100", "ema_200"}
    assert judged["vote_agreement", "macd"][3] == 36
    # of the bar before the first there is no answer, so changes are known of two sessions in three
    assert judged["vote_agreement", "momentum"][3] == 24


def test_a_vendor_that_differs_fails_and_is_named() -> None:
    made = pipeline(shift=0.2).build("rating_parity_report")
    [(status, reason, value)] = made.ask(
        """
        select status, reason, value from rating_parity_report
        where basis = 'closed' and subject = 'ma' and measure = 'mean_absolute_error'
        """
    )
    assert (status, reason) == ("failed", "beyond its limit")
    assert 0.1 < value <= 0.2


def test_fewer_than_ten_symbols_are_insufficient() -> None:
    made = pipeline(symbols=9).build("rating_parity_report")
    assert made.ask("select distinct status from rating_parity_report") == [("insufficient",)]
    assert made.ask("select distinct reason from rating_parity_report where symbol_count = 9") == [
        ("9 symbols with warm bars; 10 are needed",)
    ]


def test_no_answer_at_all_is_insufficient() -> None:
    made = pipeline(symbols=0).build("rating_parity_report")
    assert made.ask("select status, count(*) from rating_parity_report group by status") == [("insufficient", 76)]


def test_what_was_said_of_a_running_bar_stands_beside_the_last_known_one_and_is_not_judged() -> None:
    made = pipeline(is_intrabar=True).build("rating_parity_report")
    found = made.ask("select distinct session_date, is_intrabar, is_warm from rating_parity order by session_date")
    assert found == [(LAST - timedelta(days=back), True, True) for back in (2, 1, 0)]
    assert made.ask("select distinct basis, status from rating_parity_report order by all") == [
        ("closed", "insufficient"), ("running", "informational"), ("running", "insufficient"),
    ]  # fmt: skip


def test_a_closed_answer_counts_before_a_running_one_and_the_last_of_them_counts() -> None:
    made = pipeline(symbols=1, sessions=1)
    midnight = datetime.combine(LAST + timedelta(days=1), datetime.min.time())
    made.connection.execute(
        "insert into vendor_features values (?, ?, '1d', 'recommend_all', 0.9, ?, true, 'a')",
        [SYMBOLS[0], midnight + timedelta(minutes=1), LAST + timedelta(days=1)],
    )
    made.connection.execute(
        "insert into vendor_features values (?, ?, '1d', 'recommend_all', 0.7, ?, false, 'b')",
        [SYMBOLS[0], midnight + timedelta(minutes=20), LAST],
    )
    found = made.build("rating_parity").ask("select session_date, rating, vendor_value, is_intrabar from rating_parity")
    assert found == [(LAST, "all", 0.7, False)]


def test_an_answer_before_the_first_known_bar_is_compared_with_nothing() -> None:
    made = pipeline(symbols=0)
    early = datetime.combine(FIRST, datetime.min.time()) + timedelta(hours=3)
    for symbol, is_intrabar in ((SYMBOLS[0], True), ("X:GONE", False)):
        made.connection.execute(
            "insert into vendor_features values (?, ?, '1d', 'recommend_all', 0.9, ?, ?, 'a')",
            [symbol, early, FIRST, is_intrabar],
        )
    found = made.build("rating_parity").ask("select symbol, local_value, vendor_value, is_same_sign from rating_parity")
    assert found == [("X:GONE", None, 0.9, None)]


def test_prices_of_two_adjustments_are_rated_apart() -> None:
    made = pipeline()
    made.connection.execute(f"delete from session_bars where symbol <> '{SYMBOLS[0]}'")
    made.connection.execute("update session_bars set close_adjustment = 'splits' where session_date < '2021-01-01'")
    made.build("technical_ratings")
    found = made.ask("select session_date, bar_count from technical_ratings where rating_all is null or bar_count = 1")
    assert [day for day, count in found if count == 1] == [FIRST, date(2021, 1, 1)]
    assert len(found) == 2 * 9


def test_rows_from_a_session_on_are_those_of_a_rating_of_everything() -> None:
    from quantmill.stages.features import technical_rating_table

    made = pipeline().build("calc_ratings")
    bars = made.connection.sql("from session_bars order by symbol, session_date").to_arrow_table()
    first = np.where(bars["symbol"].to_numpy() == SYMBOLS[3], LAST - timedelta(days=2), date.max).astype(
        "datetime64[D]"
    )
    found = technical_rating_table(bars, first)
    made.connection.register("found", found)
    assert found.num_rows == 3
    assert made.ask("select count(*) from (select * from found intersect select * from calc_ratings)") == [(3,)]
