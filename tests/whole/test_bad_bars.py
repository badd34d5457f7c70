"""Bars as they should not be, through import and build: a verdict or an error as specified, no crash, nothing lost."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from python.features.landed import describe
from python.features.pipeline import Pipeline
from quantmill.manifest.home import Home
from support import Build, dbt_build, ingest

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)
HOLIDAYS = {date(2024, 1, 15), date(2024, 2, 19), date(2024, 3, 29), date(2024, 5, 27), date(2024, 6, 19)}
SESSIONS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
SESSIONS = [day for day in SESSIONS if day.weekday() < 5 and day not in HOLIDAYS]
TOMORROW, SATURDAY = date(2024, 7, 1), date(2024, 4, 6)
GOOD, ONCE, NEW, FLAT, HOLES, TWICE, EARLY, CLOSED = (
    f"NYSE:{name}" for name in ("GOOD", "ONCE", "NEW", "FLAT", "HOLES", "TWICE", "EARLY", "CLOSED")
)
LANDED: dict[str, list[date]] = {
    GOOD: SESSIONS, ONCE: SESSIONS[:1], NEW: SESSIONS[-1:], FLAT: SESSIONS, HOLES: SESSIONS[::-2], TWICE: SESSIONS,
    EARLY: [*SESSIONS, TOMORROW], CLOSED: [*SESSIONS, SATURDAY],
}  # fmt: skip
TABLES = ("symbol_health", "bar_gaps", "daily_returns", "base_returns", "factor_history", "technical_ratings")


def bring(home: Home, source: str, received: str, days: dict[str, list[date]], *arguments: str) -> Build:
    """Import one bar per symbol and day; a close swings by the day and differs by the source, but for that of FLAT."""
    path = home.state / f"{source}.csv"
    home.state.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "date", "open", "high", "low", "close", "volume"])
        for symbol, sessions in days.items():
            for day in sessions:
                # two symbols with the same bars would be one under two names
                close = 50.0 + 3 * list(days).index(symbol)
                close += 0 if symbol == FLAT else day.toordinal() % 7 + (source == "second")
                writer.writerow([symbol, day, close, close + 0.5, close - 0.5, close, 1000])
    return ingest(
        home, "import", str(path), "--source", source, "--received-at", received, "--symbol-column", "symbol",
        "--date-column", "date", *arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(make_home: Callable[[str], Home]) -> Home:
    """A home into which two sources brought bad bars, built."""
    made = make_home("bad-bars")
    landed = bring(made, "first", "2024-06-30T00:00:00Z", LANDED)
    assert landed.code == 0, landed.output
    landed = bring(made, "second", "2024-06-30T06:00:00Z", {TWICE: SESSIONS})
    assert landed.code == 0, landed.output
    chosen = [f"+{name}" for name in TABLES]
    built = dbt_build(made, "--select", *chosen, "--exclude-resource-type", "test")
    assert built.code == 0, built.output
    return made


def ask(home: Home, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        return connection.execute(query, list(parameters)).fetchall()


def verdict(home: Home, symbol: str, day: date) -> tuple[Any, ...]:
    found = ask(
        home,
        "select verdict, reasons, expected_sessions from features.symbol_health where symbol = ? and as_of_date = ?",
        symbol,
        day,
    )
    assert len(found) == 1, (symbol, day, found)
    return found[0]


@pytest.mark.build
def test_every_received_bar_is_accepted_superseded_or_quarantined(home: Home) -> None:
    received = sum(map(len, LANDED.values())) + len(SESSIONS)
    judged = dict(ask(home, "select verdict, count(*) from features.bar_verdicts group by all"))
    quarantined = ask(home, "select code, symbol, count(*) from raw.quarantine group by all")
    assert quarantined == [("FUTURE_BAR", EARLY, 1)]
    assert judged == {"ACCEPTED": received - len(SESSIONS) - 2, "SUPERSEDED": len(SESSIONS), "OFF_CALENDAR": 1}
    assert ask(home, "select symbol, session_date from features.bar_verdicts where verdict = 'OFF_CALENDAR'") == [
        (CLOSED, SATURDAY)
    ]


@pytest.mark.build
@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (GOOD, ("OK", "", 124)),
        (ONCE, ("STALE", "SESSIONS_BEHIND:123,MISSING_RUN,MISSING:123", 124)),
        (NEW, ("OK", "", 1)),
        (FLAT, ("DEGRADED", "STALL:123", 124)),
        (HOLES, ("DEGRADED", "MISSING:61", 123)),
        (TWICE, ("OK", "", 124)),
        (EARLY, ("OK", "", 124)),
        (CLOSED, ("OK", "", 124)),
    ],
)
def test_a_symbol_has_the_verdict_of_its_bars(home: Home, symbol: str, expected: tuple[Any, ...]) -> None:
    assert verdict(home, symbol, LAST) == expected


@pytest.mark.build
def test_one_bar_is_sound_on_its_own_day_and_makes_no_return(home: Home) -> None:
    assert verdict(home, ONCE, FIRST) == ("OK", "", 1)
    for table in ("daily_returns", "base_returns", "factor_history"):
        assert ask(home, f"select count(*) from features.{table} where symbol in (?, ?)", ONCE, NEW) == [(0,)], table
    rated = ask(home, "select rating_all, is_warm from features.technical_ratings where symbol in (?, ?)", ONCE, NEW)
    assert rated == [(None, False)] * 2


@pytest.mark.build
def test_constant_prices_have_the_factors_of_a_series_that_does_not_move(home: Home) -> None:
    query = """
        select momentum, volatility_annual, efficiency, entropy, hurst, skew, ljung_box_p, equal_close_count
        from features.factor_history where symbol = ? and session_date = ?
    """
    assert ask(home, query, FLAT, LAST) == [(0.0, 0.0, 0.0, 0.0, 0.5, None, None, 124)]


@pytest.mark.build
def test_holes_are_named_excused_and_make_returns_of_two_sessions(home: Home) -> None:
    gaps = "select count(*), max(run_length), bool_and(is_excused) from features.bar_gaps where symbol = ?"
    assert ask(home, gaps, HOLES) == [(61, 1, True)]
    assert ask(home, "select distinct session_count from features.daily_returns where symbol = ?", HOLES) == [(2,)]


@pytest.mark.build
def test_of_two_sources_the_newer_word_stands_and_no_session_counts_twice(home: Home) -> None:
    found = ask(home, "select count(*), min(source), max(source) from features.session_bars where symbol = ?", TWICE)
    assert found == [(len(SESSIONS), "second", "second")]


@pytest.mark.build
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the exchange LSE has no default time zone"),
        (("--timezone", "Europe/London", "--asset-class", "equity", "--calendar", "XXXX"), "XXXX"),
    ],
)
def test_an_exchange_without_a_calendar_is_an_error_that_says_what_to_give(
    new_home: Home, arguments: Iterable[str], said: str
) -> None:
    refused = bring(new_home, "first", "2024-06-30T00:00:00Z", {"LSE:VOD": SESSIONS[:3]}, *arguments)
    assert refused.code == 2, refused.output
    assert said in refused.output
    assert "--calendar" in refused.output


def test_bars_beyond_the_end_of_a_calendar_are_off_it_and_the_verdict_stays_that_of_its_last_session() -> None:
    """The sessions of Bombay are known up to the end of 2026: what trades later is kept, named and no session."""
    symbol, received = "NSE:TCS", datetime(2027, 2, 1)
    known, later = [date(2026, 12, day) for day in (28, 29, 30, 31)], [date(2027, 1, day) for day in (4, 5, 6)]
    pipeline = Pipeline()
    describe(pipeline, symbol, type="stock", currency="INR")
    pipeline.land(
        "raw.bars",
        [
            {
                "load_id": "bars", "source": "desk", "symbol": symbol, "interval": "1d", "adjustment": "splits",
                "opened_at_utc": datetime(day.year, day.month, day.day, 4), "open": 10.0, "high": 11.0, "low": 9.0,
                "close": 10.0 + day.day % 3, "volume": 1.0, "is_final": True, "received_at_utc": received,
            }
            for day in (*known, *later)
        ],
    )  # fmt: skip
    pipeline.build("symbol_health", "daily_returns")
    judged = pipeline.ask("select verdict, list(session_date order by session_date) from bar_verdicts group by 1")
    assert dict(judged) == {"ACCEPTED": known, "OFF_CALENDAR": later}
    health = pipeline.ask("select as_of_date, verdict, missing_sessions from symbol_health order by 1")
    assert health == [(day, "OK", 0) for day in known]


def test_a_bar_of_a_symbol_that_nobody_described_is_kept_under_its_verdict() -> None:
    pipeline = Pipeline()
    describe(pipeline, "NYSE:KO", type="stock")
    bar = {
        "load_id": "bars", "source": "desk", "interval": "1d", "adjustment": "splits", "close": 10.0, "is_final": True,
        "opened_at_utc": datetime(2024, 1, 3, 15), "received_at_utc": datetime(2024, 2, 1),
    }  # fmt: skip
    pipeline.land("raw.bars", [bar | {"symbol": "NYSE:KO"}, bar | {"symbol": "XLON:VOD"}])
    pipeline.build("symbol_health")
    assert pipeline.ask("select symbol, session_date, verdict from bar_verdicts order by 1") == [
        ("NYSE:KO", date(2024, 1, 3), "ACCEPTED"),
        ("XLON:VOD", None, "UNKNOWN_SYMBOL"),
    ]
    assert pipeline.ask("select distinct symbol from symbol_health") == [("NYSE:KO",)]
