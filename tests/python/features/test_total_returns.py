"""Total returns made of landed prices, dividends and splits, where nobody landed a total-return series."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from python.features.landed import describe
from python.features.pipeline import Pipeline

SHARE = "NYSE:KO"
# a Monday to a Friday of two weeks without a holiday
DAYS = [date(2024, 10, 7) + timedelta(days=n) for n in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
LATER = datetime(2024, 11, 1)


def opened(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 14, 30)


def bar(day: date, close: float, **changes: Any) -> dict[str, Any]:
    row = {
        "load_id": "bars", "source": "desk", "symbol": SHARE, "interval": "1d", "adjustment": "splits",
        "opened_at_utc": opened(day), "open": close, "high": close, "low": close, "close": close, "volume": 1000.0,
        "is_final": True, "received_at_utc": LATER,
    }  # fmt: skip
    return {**row, **changes}


def action(day: date, *, received: datetime = LATER, load_id: str = "actions", **said: Any) -> dict[str, Any]:
    """One dividend (`amount`) or split (`numerator`, `denominator`) as it lands."""
    epoch = int(opened(day).replace(tzinfo=UTC).timestamp())
    kind = "dividend" if "amount" in said else "split"
    return {
        "load_id": load_id, "row_number": epoch, "symbol": said.pop("symbol", SHARE), "received_at_utc": received,
        "payload": {"action": kind, "date": epoch, **said},
    }  # fmt: skip


def market(bars: list[dict[str, Any]], actions: list[dict[str, Any]]) -> Pipeline:
    pipeline = Pipeline()
    describe(pipeline, SHARE, type="stock", currency="USD")
    pipeline.land("raw.bars", bars)
    pipeline.land("raw.corporate_actions", actions)
    return pipeline.build("daily_returns")


def returns(pipeline: Pipeline) -> dict[date, tuple[float, bool]]:
    found = pipeline.ask("select session_date, simple_return, is_total_return from daily_returns order by 1")
    return {day: (value, is_total) for day, value, is_total in found}


def effects(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.ask("select acts_on, action, status, round(amount, 12) from action_effects order by 1, 2")


def test_a_dividend_is_added_to_the_close_of_its_day_and_every_return_of_the_symbol_is_total() -> None:
    pipeline = market([bar(day, close) for day, close in zip(DAYS, (100, 101, 99, 102), strict=False)],
                      [action(DAYS[2], amount=2.0)])  # fmt: skip
    found = returns(pipeline)
    assert [value for value, _ in found.values()] == pytest.approx([0.01, (99 + 2) / 101 - 1, 102 / 99 - 1], abs=1e-15)
    assert all(is_total for _, is_total in found.values())
    assert pipeline.ask("select distinct total_return_source from session_bars") == [("dividends on splits",)]


def test_a_dividend_of_later_days_changes_no_level_before_it() -> None:
    bars = [bar(day, 100 + 3 * n % 7) for n, day in enumerate(DAYS)]
    levels = "select session_date, total_return_close from session_bars where session_date < ? order by 1"
    before = market(bars, [action(DAYS[2], amount=2.0)]).ask(levels, DAYS[7])
    after = market(bars, [action(DAYS[2], amount=2.0), action(DAYS[7], amount=5.0)]).ask(levels, DAYS[7])
    assert before == after
    assert before[-1][1] is not None


def test_a_landed_total_return_goes_before_one_that_is_made() -> None:
    bars = [bar(day, 100.0) for day in DAYS[:4]]
    bars += [bar(day, 90.0 + n, adjustment="total_return", source="yahoo") for n, day in enumerate(DAYS[1:4])]
    pipeline = market(bars, [action(DAYS[2], amount=2.0)])
    assert effects(pipeline) == [(DAYS[2], "dividend", "TOTAL_RETURN_LANDED", 2.0)]
    assert pipeline.ask("select total_return_close, total_return_source from session_bars order by session_date") == [
        (None, None), (90.0, "yahoo"), (91.0, "yahoo"), (92.0, "yahoo"),
    ]  # fmt: skip


def test_a_dividend_on_a_day_without_a_bar_is_in_the_return_that_reaches_over_it() -> None:
    pipeline = market([bar(day, 100.0) for day in (DAYS[0], DAYS[1], DAYS[3])],
                      [action(DAYS[2], amount=1.0), action(DAYS[8], amount=1.0)])  # fmt: skip
    assert [value for value, _ in returns(pipeline).values()] == pytest.approx([0.0, 0.01])
    assert effects(pipeline) == [(DAYS[2], "dividend", "COUNTED", 1.0), (DAYS[8], "dividend", "NO_BAR_YET", 1.0)]


def test_the_later_word_on_a_dividend_counts_and_one_that_pays_nothing_does_not() -> None:
    said = [action(DAYS[2], amount=9.0), action(DAYS[3], amount=0.0)]
    said += [action(DAYS[2], amount=2.0, received=LATER + timedelta(days=1), load_id="later")]
    pipeline = market([bar(day, 100.0) for day in DAYS[:4]], said)
    assert [value for value, _ in returns(pipeline).values()] == pytest.approx([0.0, 0.02, 0.0])
    assert effects(pipeline) == [(DAYS[2], "dividend", "COUNTED", 2.0), (DAYS[3], "dividend", "NOT_POSITIVE", 0.0)]


def test_prices_as_traded_and_prices_by_splits_have_the_same_total_returns() -> None:
    """4:1 on the fourth day; a dividend before it is stated by today's shares, prices as traded were of whole ones."""
    traded = [400.0, 404.0, 396.0, 102.0, 104.0]
    split, said = action(DAYS[3], numerator=4, denominator=1), action(DAYS[1], amount=0.5)
    as_traded = market([bar(day, close, adjustment="none") for day, close in zip(DAYS, traded, strict=False)],
                       [split, said])  # fmt: skip
    by_splits = market([bar(day, close / (4 if n < 3 else 1)) for n, (day, close) in
                        enumerate(zip(DAYS, traded, strict=False))], [split, said])  # fmt: skip
    expected = [(404 + 2) / 400 - 1, 396 / 404 - 1, 4 * 102 / 396 - 1, 104 / 102 - 1]
    assert [value for value, _ in returns(as_traded).values()] == pytest.approx(expected)
    assert [value for value, _ in returns(by_splits).values()] == pytest.approx(expected)
    assert effects(as_traded) == [(DAYS[1], "dividend", "COUNTED", 2.0), (DAYS[3], "split", "COUNTED", None)]
    assert effects(by_splits) == [(DAYS[1], "dividend", "COUNTED", 0.5), (DAYS[3], "split", "IN_THE_PRICE", None)]


def test_a_dividend_that_was_received_before_a_split_is_counted_by_the_shares_of_the_price() -> None:
    early = datetime(2024, 10, 9)
    said = [action(DAYS[1], amount=2.0, received=early), action(DAYS[3], numerator=4, denominator=1)]
    pipeline = market([bar(day, 100.0) for day in DAYS[:5]], said)
    assert effects(pipeline)[0] == (DAYS[1], "dividend", "COUNTED", 0.5)
    as_traded = market([bar(day, 100.0, adjustment="none", received_at_utc=early) for day in DAYS[:5]], said)
    assert effects(as_traded)[0] == (DAYS[1], "dividend", "COUNTED", 2.0)


def test_a_symbol_without_actions_has_prices_alone() -> None:
    other = [action(DAYS[1], amount=2.0, symbol="NYSE:PEP")]
    pipeline = market([bar(day, 100.0) for day in DAYS[:3]], other)
    assert pipeline.ask("select distinct total_return_close, total_return_source from session_bars") == [(None, None)]
    assert not any(is_total for _, is_total in returns(pipeline).values())


def test_total_returns_of_real_shares_are_those_of_a_vendor_but_for_where_a_dividend_is_reinvested(
    shared_data: Path,
) -> None:
    """The vendor takes a dividend off the close before it: P / (P' - d) where this says (P + d) / P'."""
    import pandas as pd

    data = pd.read_parquet(shared_data / "us_yahoo_actions_1d" / "us_yahoo_actions_1d.parquet")
    data = data[(data["dividend"] > 0).groupby(data["symbol"]).transform("sum") > 20].sort_values(["symbol", "date"])
    # price splits do not say what a spin-off was worth: shares that had one are left out
    odd = data[(data["split_ratio"] > 0) & (data["split_ratio"] % 1 != 0)]["symbol"].unique()
    names = [name for name in data["symbol"].unique() if name not in odd][:6]
    pipeline, expected = Pipeline(), {}
    for name in names:
        symbol, rows = f"NYSE:{name}", data[data["symbol"] == name]
        describe(pipeline, symbol, type="stock", currency="USD")
        days = [stamp.date() for stamp in pd.to_datetime(rows["date"])]
        adjusted, paid = rows["close"].to_numpy(), rows["dividend"].to_numpy()
        price, factor = adjusted.copy(), 1.0
        for t in range(len(price) - 1, 0, -1):
            price[t] = adjusted[t] / factor
            # what the vendor took off before t: 1 - d / P', where P' is the price that is looked for
            before = adjusted[t - 1] / factor + paid[t]
            factor *= 1 - paid[t] / before
        price[0] = adjusted[0] / factor
        pipeline.land("raw.bars", [bar(day, float(price[t]), symbol=symbol) for t, day in enumerate(days)])
        pipeline.land(
            "raw.corporate_actions",
            [action(days[t], amount=float(paid[t]), symbol=symbol) for t in range(len(days)) if paid[t] > 0],
        )
        for t in range(1, len(days)):
            expected[symbol, days[t]] = adjusted[t] / adjusted[t - 1] - 1, paid[t] / price[t - 1]
    pipeline.build("daily_returns")
    found = pipeline.ask("select symbol, session_date, simple_return from daily_returns where is_total_return")
    assert len(found) == len(expected) > 10_000
    paid_days = 0
    for symbol, day, value in found:
        vendor, share = expected[symbol, day]
        # with share = d / P' the two differ by share / (1 - share) times (the price's return plus share)
        assert value == pytest.approx(vendor, abs=1e-12 + 1.2 * share * (abs(vendor) + share)), (symbol, day)
        paid_days += share > 0
    assert paid_days > 120
