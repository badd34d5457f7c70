"""Who is asked for, how deep, from where, and what the passes of a repair heal: with a source that a test writes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from quantmill.errors import UsageError

from ingest import registry, thresholds
from ingest.answers import Answer
from ingest.loads import land_answers
from ingest.sources.common import BarRequest
from ingest.sync import Rules, Synchroniser
from tests.python.ingest.venue_answers import DAY, closes, klines

AS_OF = datetime(2024, 3, 28, 0, 10, tzinfo=UTC)
LAST = datetime(2024, 3, 27, tzinfo=UTC)
RULES = Rules(bar_sources=("binance_bulk", "binance", "tradingview"), lookback_sessions=500)


@dataclass
class Market:
    """Bars of symbols by source; what was asked for is remembered. `first` is the first session of a symbol."""

    first: dict[str, datetime] = field(default_factory=dict)
    last: dict[tuple[str, str], datetime] = field(default_factory=dict)
    holes: dict[tuple[str, str], set[datetime]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    spiked: set[tuple[str, str]] = field(default_factory=set)
    levels: dict[tuple[str, str], float] = field(default_factory=dict)
    asked: list[tuple[str, BarRequest, bool]] = field(default_factory=list)
    as_of: datetime = AS_OF

    def bars(
        self, source: str, requests: Sequence[BarRequest], *, is_slow: bool = False, progress: Any = None
    ) -> Iterator[Answer]:
        for request in requests:
            self.asked.append((source, request, is_slow))
            yield self._answer(source, request)

    def _answer(self, source: str, request: BarRequest) -> Answer:
        symbol, key = request.symbol, (source, request.symbol)
        if symbol in self.unknown:
            return klines(
                symbol, [], state="unknown_symbol", code="UNKNOWN_SYMBOL", received_at=self.as_of, source="binance"
            )
        end = min(self.last.get(key, self.as_of.replace(hour=0, minute=0) - DAY), request.until)
        first = max(self.first.get(symbol, datetime(2018, 1, 1, tzinfo=UTC)), end - DAY * (request.count - 1))
        days = [first.replace(hour=0, minute=0) + DAY * n for n in range((end - first).days + 1)]
        start = 50 + zlib.crc32(symbol.encode()) % 9973 / 100
        values = [start * 1.0003 ** (day - datetime(2018, 1, 1, tzinfo=UTC)).days for day in days]
        values = [value * self.levels.get(key, 1.0) for value in values]
        rows = closes(values, last=days[-1], volume=start)
        for row, day in zip(rows, days, strict=True):
            row[5] = str(start + day.toordinal() % 1000)
        if key in self.spiked:
            rows[-1][1:5] = [str(values[-1] * 700)] * 4
        rows = [row for row, day in zip(rows, days, strict=True) if day not in self.holes.get(key, ())]
        return klines(
            symbol,
            rows,
            received_at=self.as_of,
            source="binance" if source == "binance" else source,
            count=request.count,
        )


FUNDS = Rules(bar_sources=("tradingview",), lookback_sessions=30, has_total_return=True)


@dataclass
class Funds(Market):
    """A market of funds that are open on weekdays, with total returns beside their prices; each ex-date takes 1 %."""

    ex_dates: tuple[date, ...] = ()
    broken: str | None = None

    def _answer(self, source: str, request: BarRequest) -> Answer:
        stated = {"received_at": self.as_of, "source": source, "count": request.count, "adjustment": request.adjustment}
        if request.adjustment == self.broken:
            return klines(request.symbol, [], state="failed", code="TIMEOUT", error="no answer", **stated)
        newest = self.last.get((source, request.symbol), self.as_of.replace(hour=14, minute=30) - DAY)
        days = [day for day in (newest - DAY * n for n in range(2 * request.count)) if day.weekday() < 5]
        days = days[: request.count][::-1]
        rows = []
        for day in days:
            paid = sum(day.date() < one <= self.as_of.date() for one in self.ex_dates)
            close = 100 * 1.0003 ** (day.date() - date(2018, 1, 1)).days
            if request.adjustment == "total_return":
                close *= 0.99**paid
            volume = str(day.toordinal() % 1000 + zlib.crc32(f"{request.symbol}{request.adjustment}".encode()) % 9973)
            rows.append([int(day.timestamp() * 1000), *[str(round(close, 4))] * 4, volume, 0, "0"])
        return klines(request.symbol, rows, **stated)


@pytest.fixture
def make(warehouse: Any) -> Iterator[Callable[..., Synchroniser]]:
    """Give a maker of synchronisers over one session of the warehouse."""
    from ingest.sources.binance import read_klines

    @contextmanager
    def silent(label: str, total: int) -> Iterator[Any]:
        yield lambda *_: None

    with warehouse.session() as session:
        session.readers = {("bars", name): read_klines for name in ("binance", "binance_bulk", "tradingview", "yahoo")}

        def maker(market: Market, rules: Rules = RULES, as_of: datetime = AS_OF) -> Synchroniser:
            market.as_of = as_of
            session.clock = lambda: as_of
            return Synchroniser(
                session, market, rules, as_of=as_of, tell=silent, timer=lambda: 0.0,
                can_have=lambda source, symbol, interval, adjustment: (
                    adjustment != "total_return" or isinstance(market, Funds)
                ),
            )  # fmt: skip

        yield maker


def synchronise(one: Synchroniser, symbols: Sequence[str], **named: Any) -> Any:
    done = one.run("normal", one.plan(symbols, **named))
    one.settle(symbols)
    return done


def state(one: Synchroniser, symbol: str) -> dict[str, Any]:
    return registry.states(one.session.connection, [symbol])[symbol]


def test_a_first_load_reaches_back_over_the_look_back_and_the_next_asks_for_what_is_missing(make: Any) -> None:
    market = Market()
    one = make(market)
    synchronise(one, ["BINANCE:BTCUSDT"])
    assert [(source, asked.count) for source, asked, _ in market.asked] == [("binance", 800)]
    assert state(one, "BINANCE:BTCUSDT")["status"] == "STABLE"
    market.asked.clear()
    synchronise(make(market, as_of=AS_OF + 3 * DAY), ["BINANCE:BTCUSDT"])
    assert [asked.count for _, asked, _ in market.asked] == [3 + 50]


def test_ratings_need_sixteen_hundred_bars(make: Any) -> None:
    market = Market()
    rules = Rules(bar_sources=("binance",), lookback_sessions=500, has_rating_history=True)
    synchronise(make(market, rules), ["BINANCE:BTCUSDT"])
    assert [asked.count for _, asked, _ in market.asked] == [1600]


def test_who_is_up_to_date_is_not_asked_for_and_the_saved_requests_are_counted(make: Any, warehouse: Any) -> None:
    market = Market()
    symbols = [f"BINANCE:S{n:02}USDT" for n in range(50)]
    synchronise(make(market), symbols)
    late = make(market, as_of=AS_OF + timedelta(hours=3))
    done = synchronise(late, [*symbols, *(f"BINANCE:N{n}USDT" for n in range(5))])
    assert (len(done.plan.items), done.plan.skipped["UP_TO_DATE"]) == (5, 50)
    stored = late.session.connection.execute(
        "select request_count, saved_count, round(saved_share, 3) from ops.sync_runs order by all"
    ).fetchall()
    assert stored == [(5, 50, 0.909), (50, 0, 0.0)]


def test_one_symbol_in_several_atoms_is_asked_for_once_and_no_symbol_is_an_error(make: Any) -> None:
    market = Market()
    one = make(market)
    assert len(one.plan(["BINANCE:AUSDT", "BINANCE:AUSDT"]).items) == 1
    with pytest.raises(UsageError, match="no symbol is in scope"):
        one.plan([])
    with pytest.raises(UsageError, match="a repair needs a scope"):
        one.repair([], is_explicit=True)


@pytest.mark.parametrize(("minutes", "asked"), [(14, 0), (16, 1)])
def test_a_lock_of_another_command_ends_after_fifteen_minutes(make: Any, minutes: int, asked: int) -> None:
    market = Market()
    one = make(market)
    registry.register(one.session.connection, ["BINANCE:AUSDT"], AS_OF)
    registry.lock(one.session.connection, ["BINANCE:AUSDT"], "another", AS_OF)
    later = make(market, as_of=AS_OF + timedelta(minutes=minutes))
    assert len(later.plan(["BINANCE:AUSDT"]).items) == asked
    assert len(later.plan(["BINANCE:AUSDT"], is_forced=True).items) == 1


def test_a_toxic_symbol_is_left_alone_until_it_is_named_and_clean_again(make: Any) -> None:
    market = Market(spiked={("binance", "BINANCE:ADAUSDT")})
    one = make(market)
    synchronise(one, ["BINANCE:ADAUSDT"])
    assert state(one, "BINANCE:ADAUSDT")["status"] == "TOXIC"
    assert one.plan(["BINANCE:ADAUSDT"]).skipped["TOXIC"] == 1
    market.spiked.clear()
    assert one.repair(["BINANCE:ADAUSDT"], is_explicit=False)[0]["verdict"] == "MISSING"
    health = one.repair(["BINANCE:ADAUSDT"], is_explicit=True)
    assert health[0]["verdict"] == "OK"
    assert state(one, "BINANCE:ADAUSDT")["status"] == "STABLE"


def test_nine_stale_symbols_of_fifty_six_are_healed_in_several_passes(make: Any) -> None:
    """F-8: ZENUSDT and eight others stale; the primary source never recovers for three of them."""
    stale = ["BINANCE:ZENUSDT", *(f"BINANCE:X{n}USDT" for n in range(8))]
    symbols = [*stale, *(f"BINANCE:S{n:02}USDT" for n in range(47))]
    market = Market(last={("binance", symbol): LAST - 6 * DAY for symbol in stale})
    one = make(market)
    done = synchronise(one, symbols)
    assert done.statuses == {"OK": 47, "PARTIAL": 9}
    assert {row["symbol"] for row in one.failing(symbols)} == set(stale)
    for symbol in stale[3:]:
        del market.last["binance", symbol]
    health = one.repair(symbols, is_explicit=False)
    assert {row["verdict"] for row in health} == {"OK"} and len(health) == 56
    assert [row.name for row in one.passes] == ["normal", "force", "slow", "alternate"], [
        (row.name, row.statuses, row.plan.items[:1], [o.error for _, o in row.landed][:2]) for row in one.passes
    ]
    assert {asked.symbol for source, asked, _ in market.asked if source == "tradingview"} == set(stale[:3])
    assert {asked.count for source, asked, slow in market.asked if slow} == {2000}


@pytest.mark.parametrize(("level", "verdict"), [(1.00009, "OK"), (1.00011, "STALE"), (1 / 60, "STALE")])
def test_another_source_is_taken_only_where_it_agrees_with_what_is_stored(
    make: Any, level: float, verdict: str
) -> None:
    symbol = "BINANCE:ETHUSDT"
    market = Market(last={("binance", symbol): LAST - 11 * DAY}, levels={("tradingview", symbol): level})
    one = make(market)
    synchronise(one, [symbol])
    assert one.repair([symbol], is_explicit=False)[0]["verdict"] == verdict
    sources = one.session.connection.execute("select distinct source from raw.bars order by 1").fetchall()
    findings = one.session.connection.execute("select distinct code, detail from raw.findings").fetchall()
    if verdict == "OK":
        assert (sources, findings) == ([("binance",), ("tradingview",)], [])
    else:
        assert sources == [("binance",)]
        assert findings == [("OVERLAP_MISMATCH", "0 of the last 50 closes agree with those of binance")]


def test_a_symbol_of_an_exchange_that_nobody_knows_is_not_asked_for_and_says_why(make: Any) -> None:
    one = make(Market())
    plan = one.plan(["FOO:BAR"])
    assert (plan.items, plan.skipped) == ([], {"UNKNOWN_EXCHANGE": 1})
    (row,) = one.repair(["FOO:BAR"], is_explicit=True)
    assert (row["verdict"], row["reasons"]) == ("MISSING", "UNKNOWN_EXCHANGE")


def test_zero_new_bars_stay_a_failure_through_all_passes_and_at_most_two_cycles(make: Any) -> None:
    stuck = "BINANCE:ETHUSDT"
    market = Market(last={(source, stuck): LAST - 11 * DAY for source in ("binance", "tradingview")})
    one = make(market)
    synchronise(one, [stuck])
    health = one.repair([stuck], is_explicit=False)
    assert health[0]["verdict"] == "STALE"
    assert state(one, stuck)["status"] == "STALE"
    assert {status for row in one.passes[1:] for status in row.statuses} <= {"NO_PROGRESS", "PARTIAL"}
    assert len([row for row in one.passes if row.name == "force"]) <= 2


def test_a_gap_is_filled_newest_first_from_a_source_that_has_ranges(make: Any) -> None:
    symbol = "BINANCE:AUSDT"
    holes = {LAST - DAY * n for n in (5, 6, 30)}
    market = Market(holes={("binance", symbol): holes})
    one = make(market)
    synchronise(one, [symbol])
    (before,) = one.health([symbol])
    assert (before["verdict"], before["missing_count"]) == ("DEGRADED", 3)
    one.settle([symbol])
    assert one.health([symbol])[0]["reasons"] == before["reasons"] == "MISSING_RUN:2,MISSING:3"
    assert before["gaps"] == [date(2024, 3, 22), date(2024, 3, 21), date(2024, 2, 26)]
    items = one._gap_items(before, ["binance"])
    assert [(item.until.date(), item.count) for item in items if item.source == "binance"] == [
        (date(2024, 3, 22), 3),
        (date(2024, 2, 26), 2),
    ]
    assert [(item.until.date(), item.count) for item in items if item.source == "binance_bulk"] == [
        (date(2024, 3, 1), 29)
    ]
    market.holes.clear()
    assert one.repair([symbol], is_explicit=False)[0]["verdict"] == "OK"


def test_a_short_answer_is_genesis_when_a_second_one_agrees(make: Any) -> None:
    """F-13: the history of BTCUSDT begins on 2017-08-17 whatever is asked for."""
    market = Market(first={"BINANCE:BTCUSDT": datetime(2022, 8, 17, tzinfo=UTC)})
    one = make(market)
    synchronise(one, ["BINANCE:BTCUSDT"])
    assert state(one, "BINANCE:BTCUSDT")["genesis_utc"] is None
    one.repair(["BINANCE:BTCUSDT"], is_explicit=False)
    assert state(one, "BINANCE:BTCUSDT")["genesis_utc"] == datetime(2022, 8, 17)
    market.asked.clear()
    one.repair(["BINANCE:BTCUSDT"], is_explicit=False)
    assert market.asked == []


def test_ten_thousand_days_of_btcusdt_are_3048_and_begin_on_the_17th_of_august_2017(make: Any) -> None:
    """F-13 on the day on which it was seen."""
    market = Market(first={"BINANCE:BTCUSDT": datetime(2017, 8, 17, tzinfo=UTC)})
    rules = Rules(bar_sources=("binance",), lookback_sessions=10_000 - thresholds.DEPTH_BEYOND_LOOKBACK)
    one = make(market, rules, as_of=datetime(2025, 12, 21, 0, 10, tzinfo=UTC))
    done = synchronise(one, ["BINANCE:BTCUSDT"])
    assert [asked.count for _, asked, _ in market.asked] == [10_000]
    assert [outcome.rows_new for _, outcome in done.landed] == [3_048]
    one.repair(["BINANCE:BTCUSDT"], is_explicit=False)
    assert state(one, "BINANCE:BTCUSDT")["genesis_utc"] == datetime(2017, 8, 17)


def test_who_the_source_no_longer_knows_is_delisted_after_ten_sessions(make: Any) -> None:
    market = Market()
    symbol = "BINANCE:LUNAUSDT"
    synchronise(make(market), [symbol])
    market.unknown.add(symbol)
    one = make(market, as_of=AS_OF + 10 * DAY)
    synchronise(one, [symbol])
    assert state(one, symbol)["status"] == "STALE"
    one = make(market, as_of=AS_OF + 11 * DAY)
    synchronise(one, [symbol])
    assert state(one, symbol)["status"] == "DELISTED"
    assert one.plan([symbol], is_forced=True).skipped == {"DELISTED": 1}


def test_whom_a_scan_found_after_the_newest_list_of_its_venue_is_new_and_not_gone(make: Any) -> None:
    def said(kind: Any, symbols: Sequence[str], at: datetime) -> Answer:
        source = "binance" if kind == "execution_limits" else "tradingview"
        rows = json.dumps([{"symbol": symbol} for symbol in symbols]).encode()
        request = {"format": "json", "market": "spot", "scanner_id": "some"}
        return Answer(
            kind=kind, source=source, origin="http://127.0.0.1", request=request, state="complete", payload=rows,
            extension="json", started_at=at, received_at=at,
        )  # fmt: skip

    kept, new, gone = "BINANCE:AUSDT", "BINANCE:BUSDT", "BINANCE:CUSDT"
    one = make(Market())
    land_answers(one.session, [said("scan", [kept, gone], AS_OF - 3 * DAY)])
    land_answers(one.session, [said("execution_limits", [kept], AS_OF - 2 * DAY)])
    assert {item.symbol: item.source for item in one.plan([kept, new, gone]).items} == {
        kept: "binance", new: "binance_bulk", gone: "binance_bulk"
    }  # fmt: skip
    land_answers(one.session, [said("scan", [kept, new], AS_OF - DAY)])
    assert {item.symbol: item.source for item in one.plan([kept, new, gone]).items} == {
        kept: "binance", new: "binance", gone: "binance_bulk"
    }  # fmt: skip


def test_who_is_listed_again_keeps_the_time_in_which_he_was_not(make: Any, warehouse: Any) -> None:
    market = Market()
    symbol = "BINANCE:LUNAUSDT"
    synchronise(make(market), [symbol])
    market.unknown.add(symbol)
    synchronise(make(market, as_of=AS_OF + 11 * DAY), [symbol])
    market.unknown.clear()
    one = make(market, as_of=AS_OF + 30 * DAY)
    request = BarRequest(symbol, 600, one.as_of)
    market.as_of = one.as_of
    land_answers(one.session, market.bars("binance", [request]), context=lambda _: {"symbol": symbol})
    assert state(one, symbol)["status"] == "STABLE"
    listings = one.session.connection.execute(
        "select symbol, is_listed, since_utc from ops.symbol_listings order by place"
    ).fetchall()
    assert [(row[0], row[1]) for row in listings] == [(symbol, False), (symbol, True)]
    assert listings[0][2] < listings[1][2]


@pytest.mark.parametrize(("moment", "verdict"), [((28, 23, 59), "OK"), ((29, 0, 0), "DEGRADED"), ((29, 0, 1), "STALE")])
def test_a_daily_bar_that_closed_at_midnight_is_fresh_for_24_hours(make: Any, moment: Any, verdict: str) -> None:
    """F-22; at the very 24th hour the next session is complete, and missing."""
    market = Market()
    symbol = "BINANCE:BTCUSDT"
    synchronise(make(market), [symbol])
    day, hour, minute = moment
    later = make(market, as_of=datetime(2024, 3, day, hour, minute, tzinfo=UTC))
    assert (later.health([symbol])[0]["verdict"], later.health([symbol])[0]["label"]) == (verdict, verdict)


def test_a_total_return_makes_nobody_up_to_date_whose_prices_did_not_come(make: Any) -> None:
    symbol = "AMEX:TLT"
    market = Funds(broken="splits")
    one = make(market, FUNDS)
    assert synchronise(one, [symbol]).statuses == {"FAILED": 1, "OK": 1}
    assert state(one, symbol)["status"] == "MISSING"
    assert one.health([symbol])[0]["verdict"] == "MISSING"
    market.broken = None
    later = make(market, FUNDS, AS_OF + DAY)
    assert [(item.adjustment, item.count) for item in later.plan([symbol]).items] == [
        ("splits", 330),
        ("total_return", 330),
    ]
    synchronise(later, [symbol])
    assert (later.health([symbol])[0]["verdict"], state(later, symbol)["status"]) == ("OK", "STABLE")


def test_prices_without_their_total_return_are_degraded_where_the_profile_needs_it(make: Any) -> None:
    symbol = "AMEX:TLT"
    market = Funds(broken="total_return")
    one = make(market, FUNDS)
    synchronise(one, [symbol])
    (row,) = one.health([symbol])
    assert (row["verdict"], row["reasons"]) == ("DEGRADED", "TOTAL_RETURN_MISSING:316")
    assert state(one, symbol)["status"] == "DEGRADED"
    market.broken = None
    assert one.repair([symbol], is_explicit=False)[0]["verdict"] == "OK"
    plain = make(market, Rules(bar_sources=("tradingview",), lookback_sessions=30))
    assert plain.health([symbol])[0]["verdict"] == "OK"


def test_who_lacks_the_last_session_that_another_has_is_degraded(make: Any) -> None:
    late, market = "AMEX:TLT", Funds(last={("tradingview", "AMEX:TLT"): LAST.replace(hour=14, minute=30) - DAY})
    rules = Rules(bar_sources=("tradingview",), lookback_sessions=30)
    one = make(market, rules)
    synchronise(one, [late])
    assert [(row["verdict"], row["label"]) for row in one.health([late])] == [("OK", "OK")]
    synchronise(one, [late, "AMEX:IEF"])
    assert [(row["symbol"], row["label"]) for row in one.health([late, "AMEX:IEF"])] == [
        ("AMEX:IEF", "OK (MARKET CLOSED)"),
        (late, "DEGRADED"),
    ]


def test_a_dollar_coin_may_stand_still_and_no_other(make: Any) -> None:
    names = {"BINANCE:USDCUSDT": 1.0, "BINANCE:ZUSDT": 7.0}
    one = make(Market())
    with_closes = [
        klines(symbol, closes([level] * 40, last=LAST), received_at=AS_OF, source="binance", count=40)
        for symbol, level in names.items()
    ]
    land_answers(one.session, iter(with_closes))
    registry.register(one.session.connection, sorted(names), AS_OF)
    found = {row["symbol"]: (row["verdict"], row["reasons"]) for row in one.health(sorted(names))}
    assert found["BINANCE:USDCUSDT"][0] == "OK"
    assert found["BINANCE:ZUSDT"] == ("DEGRADED", "STALL:39")


def test_a_dividend_brings_the_whole_total_return_anew_and_it_goes_on(make: Any) -> None:
    symbol = "AMEX:TLT"
    market = Funds(ex_dates=(date(2024, 3, 28), date(2024, 4, 1)))
    synchronise(make(market, FUNDS), [symbol])
    for days in (1, 5, 6):
        one = make(market, FUNDS, AS_OF + DAY * days)
        synchronise(one, [symbol])
        assert [row["verdict"] for row in one.repair([symbol], is_explicit=False)] == ["OK"]
    reached = one.session.connection.execute(
        "select adjustment, max(opened_at_utc)::date from raw.bars group by all order by all"
    ).fetchall()
    assert reached == [("splits", date(2024, 4, 2)), ("total_return", date(2024, 4, 2))]
    # the price did not fall on the two ex-dates: each adds its 1 %, and no joint of two answers adds anything
    moves = one.session.connection.execute("""
        select round(close / lag(close) over (order by opened_at_utc) - 1, 3) from (
            select distinct on (opened_at_utc) * from raw.bars where adjustment = 'total_return'
            order by opened_at_utc, load_id desc
        ) order by opened_at_utc
    """).fetchall()
    assert [move for (move,) in moves[1:] if abs(move) > 0.002] == [0.01, 0.011]
    assert one.plan([symbol]).skipped == {"UP_TO_DATE": 1}


def test_whom_no_source_knows_is_asked_once_more_the_next_day_and_then_listed_for_review(make: Any) -> None:
    market = Market()
    symbol = "BINANCE:NOSUCHUSDT"
    market.unknown.add(symbol)
    one = make(market)
    synchronise(one, [symbol])
    assert (state(one, symbol)["status"], state(one, symbol)["unknown_since"]) == ("MISSING", AS_OF.date())
    later = make(market, as_of=AS_OF + timedelta(hours=20))
    assert later.plan([symbol]).skipped == {"UNKNOWN": 1}
    later.repair([symbol], is_explicit=False)
    sources = [source for source, _, _ in market.asked]
    assert sources == ["binance", "tradingview", "binance_bulk"], "another source may know it"
    market.asked.clear()
    synchronise(make(market, as_of=AS_OF + DAY), [symbol])
    assert len(market.asked) == 1
    reason = f"REVIEW: no source knows it, asked on {AS_OF.date()} and on {(AS_OF + DAY).date()}"
    assert (state(one, symbol)["status"], state(one, symbol)["reason"]) == ("MISSING", reason)
    much_later = make(market, as_of=AS_OF + 9 * DAY)
    assert much_later.plan([symbol]).skipped == {"REVIEW": 1}
    assert much_later.failing([symbol]) == []
    # named by a person it is asked for, and found it is like any other
    market.unknown.clear()
    assert much_later.repair([symbol], is_explicit=True)[0]["verdict"] == "OK"
    assert (state(one, symbol)["status"], state(one, symbol)["unknown_since"]) == ("STABLE", None)


def test_a_repair_ends_with_its_time_and_whom_it_did_not_come_to_is_first_in_the_next_one(
    make: Any, warehouse: Any
) -> None:
    symbols = [f"BINANCE:S{n:02}USDT" for n in range(10)]
    market = Market(last={("binance", symbol): LAST - 6 * DAY for symbol in symbols})
    rules = Rules(bar_sources=("binance",), repair_seconds=35)
    one = make(market, rules)
    synchronise(one, symbols)
    market.asked.clear()
    # every answer takes ten seconds
    one.timer = lambda: 10.0 * len(market.asked)
    one.repair(symbols, is_explicit=False)
    asked = [request.symbol for _, request, _ in market.asked]
    assert asked == symbols[:4]
    (stored,) = one.session.connection.execute(
        "select request_count, skipped ->> 'POSTPONED', saved_count from ops.sync_runs where pass = 'force'"
    ).fetchall()
    assert stored == (4, "6", 0), "what nobody came to is no saving"
    postponed = "select symbol from ops.symbol_registry where repair_postponed_utc is not null order by 1"
    assert [name for (name,) in one.session.connection.execute(postponed).fetchall()] == symbols[4:]
    assert any("6 symbols were not tried and come first next time" in line for line in warehouse.said)
    market.asked.clear()
    one.repair(symbols, is_explicit=False)
    assert [request.symbol for _, request, _ in market.asked] == symbols[4:8]
    market.last.clear()
    one.timer = lambda: 0.0
    assert {row["verdict"] for row in one.repair(symbols, is_explicit=False)} == {"OK"}
    assert one.session.connection.execute(postponed).fetchall() == []


def test_locks_of_a_process_that_has_ended_are_taken_over_at_once_and_others_hold(make: Any, warehouse: Any) -> None:
    one = make(Market())
    symbols = ["BINANCE:AUSDT", "BINANCE:BUSDT", "BINANCE:CUSDT"]
    registry.register(one.session.connection, symbols, AS_OF)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owners = [registry.lock_owner("alive"), f"killed process {ended.pid} on {socket.gethostname()}"]
    owners.append(f"elsewhere process {ended.pid} on another-host")
    for symbol, owner in zip(symbols, owners, strict=True):
        registry.lock(one.session.connection, [symbol], owner, AS_OF)
    plan = one.plan(symbols)
    assert ([item.symbol for item in plan.items], plan.skipped) == (["BINANCE:BUSDT"], {"LOCKED": 2})
    assert [line for line in warehouse.said if "taking over" in line] == [
        f"taking over 1 symbols that {owners[1]} had locked: the process has ended"
    ]
