"""Health as the models see it: what ingest did not accept still speaks against its symbol."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from python.features.landed import bars, describe
from python.features.pipeline import Pipeline

ADA, DONOR = "BINANCE:ADAUSDT", "BINANCE:BCHUSDT"
LAST = datetime(2025, 2, 28)


def market(*, ada_until: datetime) -> Pipeline:
    """Two coins, one of which has bars up to a day alone."""
    pipeline = Pipeline()
    for symbol, base, until in ((ADA, "ADA", ada_until), (DONOR, "BCH", LAST)):
        describe(pipeline, symbol, type="spot", base_currency=base, currency="USDT")
        bars(pipeline, symbol, until=until, wiggle=0.01)
    return pipeline


def find(pipeline: Pipeline, code: str, severity: str = "reject", **changes: Any) -> None:
    """Land one finding about the bar of the last day."""
    row = {
        "load_id": "late", "symbol": ADA, "code": code, "severity": severity, "opened_at_utc": LAST, "close": 526.06,
        "value": 1576.39, "donor_symbol": None, "detail": "found", "detected_at_utc": datetime(2025, 3, 1, 0, 10),
    }  # fmt: skip
    pipeline.land("raw.findings", [{**row, **changes}])


def verdicts(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """ADA's last two verdicts."""
    pipeline.build("symbol_health")
    return pipeline.ask(
        "select verdict, reasons from symbol_health where symbol = ? order by as_of_date desc limit 2", ADA
    )


def test_a_rejected_spike_makes_its_symbol_toxic_on_that_session_and_not_before() -> None:
    """F-1: no contaminated bar is accepted, so nothing but the finding tells of it."""
    pipeline = market(ada_until=datetime(2025, 2, 27))
    find(pipeline, "TOXIC_RETURN")
    find(pipeline, "CROSS_LEVEL", donor_symbol=DONOR, value=0.001)
    (last, before) = verdicts(pipeline)
    assert (last[0], before) == ("TOXIC", ("OK", ""))
    assert pipeline.ask("select code, donor_symbol, is_resolved from bar_spikes where symbol = ? order by 1", ADA) == [
        ("CROSS_LEVEL", DONOR, False),
        ("TOXIC_RETURN", None, False),
    ]


@pytest.mark.parametrize(("code", "severity"), [("SUSPECT_DROP", "quarantine"), ("IMPOSSIBLE", "quarantine")])
def test_a_bar_that_waits_in_quarantine_makes_its_symbol_toxic(code: str, severity: str) -> None:
    pipeline = market(ada_until=datetime(2025, 2, 27))
    find(pipeline, code, severity)
    assert verdicts(pipeline)[0][0] == "TOXIC"


def test_an_accepted_bar_of_the_session_settles_what_was_found_there() -> None:
    pipeline = market(ada_until=LAST)
    find(pipeline, "TOXIC_RETURN")
    assert [verdict for verdict, _ in verdicts(pipeline)] == ["OK", "OK"]
    assert pipeline.ask("select code, is_resolved from bar_spikes where symbol = ?", ADA) == [("TOXIC_RETURN", True)]


@pytest.mark.parametrize(("status", "verdict"), [("TOXIC", "TOXIC"), ("STABLE", "OK")])
def test_a_stored_twin_is_toxic_until_its_symbol_was_verified(status: str, verdict: str) -> None:
    pipeline = market(ada_until=LAST)
    find(pipeline, "DUPLICATE_ROW", "warning", donor_symbol=DONOR)
    row = {"symbol": ADA, "status": status, "last_attempt_utc": LAST, "consecutive_failures": 0}
    pipeline.land("ops.symbol_registry", [row])
    assert verdicts(pipeline)[0][0] == verdict


@pytest.mark.parametrize(("code", "severity"), [("EXTREME", "warning"), ("VOLUME_SPIKE", "info")])
def test_information_is_no_verdict(code: str, severity: str) -> None:
    pipeline = market(ada_until=datetime(2025, 2, 27))
    find(pipeline, code, severity)
    assert verdicts(pipeline)[0][0] == "STALE"


def test_a_close_that_stands_still_degrades_a_coin_and_not_a_dollar() -> None:
    pipeline = Pipeline()
    for base, close in (("USDC", 1.0), ("ADA", 0.5)):
        describe(pipeline, f"BINANCE:{base}USDT", type="spot", base_currency=base, currency="USDT")
        bars(pipeline, f"BINANCE:{base}USDT", until=LAST, close=close)
    pipeline.build("symbol_health")
    assert pipeline.ask("select symbol, verdict, reasons from symbol_health where as_of_date = ? order by 1", LAST) == [
        ("BINANCE:ADAUSDT", "DEGRADED", "STALL:39"),
        ("BINANCE:USDCUSDT", "OK", "STALL:39"),
    ]


SHARE, PEER = "NYSE:KO", "NYSE:PEP"


def exchange(skipped: set[date], *, first: date = date(2024, 6, 3), last: date = date(2025, 2, 28)) -> Pipeline:
    """Two shares with a bar on every weekday that is no holiday; one of them lacks those of `skipped`."""
    pipeline = Pipeline()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for symbol in (SHARE, PEER):
        describe(pipeline, symbol, type="stock", currency="USD")
        kept = [day for day in days if day.weekday() < 5 and (symbol == PEER or day not in skipped)]
        pipeline.land("raw.bars", [daily(symbol, day, 50 + n % 7) for n, day in enumerate(kept)])
    return pipeline.build("symbol_health", "bar_gaps")


def daily(symbol: str, day: date, close: float, **changes: Any) -> dict[str, Any]:
    """One landed bar of an American exchange, opened at its bell."""
    opened = datetime(day.year, day.month, day.day, 15)
    row = {
        "load_id": "bars", "source": "desk", "symbol": symbol, "interval": "1d", "adjustment": "splits",
        "opened_at_utc": opened, "open": close, "high": close, "low": close, "close": close, "volume": 1000.0,
        "is_final": True, "received_at_utc": datetime(2025, 3, 1),
    }  # fmt: skip
    return {**row, **changes}


def said_of(pipeline: Pipeline, symbol: str, day: date) -> tuple[Any, ...]:
    query = "select verdict, label, reasons from symbol_health where symbol = ? and as_of_date = ?"
    (found,) = pipeline.ask(query, symbol, day)
    return found


def test_a_share_that_lacks_every_second_session_is_degraded_though_each_hole_is_one_session() -> None:
    """F-20."""
    first, last = date(2024, 9, 3), date(2024, 11, 27)
    sessions = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    sessions = [day for day in sessions if day.weekday() < 5]
    pipeline = exchange(set(sessions[1::2]), first=first, last=sessions[-2])
    holes = pipeline.ask("select count(*), max(run_length), bool_and(is_excused) from bar_gaps where symbol = ?", SHARE)
    assert holes == [(30, 1, True)]
    assert said_of(pipeline, SHARE, sessions[-2]) == ("DEGRADED", "DEGRADED", "MISSING:30")


def test_a_single_hole_of_a_share_is_excused_and_closed_days_are_no_holes() -> None:
    pipeline = exchange({date(2024, 11, 6)})
    assert said_of(pipeline, SHARE, date(2025, 2, 28)) == ("OK", "OK", "MISSING:1")
    # weekends, and a Thursday of mourning on which no exchange opened
    assert said_of(pipeline, PEER, date(2025, 2, 28)) == ("OK", "OK (MARKET CLOSED)", "")
    assert said_of(pipeline, SHARE, date(2024, 11, 5)) == ("OK", "OK (MARKET CLOSED)", "")
    # no day without a session lies within the first week
    assert said_of(pipeline, PEER, date(2024, 6, 7)) == ("OK", "OK", "")


def test_a_coin_has_no_closed_days() -> None:
    pipeline = market(ada_until=LAST).build("symbol_health")
    assert pipeline.ask("select distinct verdict, label from symbol_health") == [("OK", "OK")]


def test_the_bar_that_opens_on_sunday_evening_is_that_of_monday_in_winter_and_in_summer() -> None:
    """F-18; Monday is a session of the exchange, Sunday is none."""
    sunday, monday = date(2024, 7, 7), date(2024, 7, 8)
    expected = [
        # the futures open at 17:00 in Chicago, 23:00 UTC in winter; money trades from 17:00 in New York, an hour before
        ("CME:ES1!", "futures", datetime(2024, 1, 7, 23), date(2024, 1, 8), "ACCEPTED"),
        ("CME:ES1!", "futures", datetime(2024, 7, 7, 22), monday, "ACCEPTED"),
        ("CME:ES1!", "futures", datetime(2024, 7, 11, 22), date(2024, 7, 12), "ACCEPTED"),
        ("FX_IDC:EURUSD", "forex", datetime(2024, 1, 7, 22), date(2024, 1, 8), "ACCEPTED"),
        ("FX_IDC:EURUSD", "forex", datetime(2024, 7, 7, 21), monday, "ACCEPTED"),
        ("FX_IDC:GBPUSD", "forex", datetime(2024, 7, 7, 19, 59, 59), sunday, "OFF_CALENDAR"),
        ("FX_IDC:GBPUSD", "forex", datetime(2024, 7, 7, 20), monday, "ACCEPTED"),
        ("BINANCE:BTCUSDT", "spot", datetime(2024, 7, 7, 22), sunday, "ACCEPTED"),
    ]
    pipeline = Pipeline()
    for symbol, kind in {row[0]: row[1] for row in expected}.items():
        describe(pipeline, symbol, type=kind)
    pipeline.land("raw.bars", [daily(row[0], row[3], 100.0, opened_at_utc=row[2]) for row in expected])
    pipeline.build("bar_verdicts")
    found = pipeline.ask("select symbol, opened_at_utc, session_date, verdict from bar_verdicts order by 1, 2")
    assert found == sorted((symbol, opened, day, verdict) for symbol, _, opened, day, verdict in expected)
