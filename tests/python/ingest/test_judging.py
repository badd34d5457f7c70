"""What is judged beyond the single row: each code has a load that earns it, and its neighbours stay untouched."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ingest.answers import Answer
from ingest.loads import land_answers, land_metadata
from ingest.releases import land_resolution
from ingest.storing import Outcome
from tests.python.ingest.venue_answers import DAY, RECEIVED, closes, klines, lookup, steady

EXPECTED = "2024-03-27"
# F-1 and F-2 as they were stated: close before, and the rise in percent that the wrong close makes of it.
STATED = {
    "BINANCE:ADAUSDT": (0.3335, 157_639),
    "BINANCE:BNBUSDT": (600.0, 107_277),
    "BINANCE:LTCUSDT": (80.0, 6_280),
    "BINANCE:PAXGUSDT": (2_100.0, 235_194_585),
    "BINANCE:UNIUSDT": (6.0, 1_059),
}


def land(warehouse: Any, *answers: Answer, expected: str | None = EXPECTED, **context: Any) -> dict[str, Outcome]:
    """Land answers with bars and return the outcomes by symbol."""
    with warehouse.session() as session:
        landed = land_answers(session, answers, context=_context(expected, **context))
        return {load.context["symbol"]: outcome for load, outcome in landed}


def _context(expected: str | None, **context: Any) -> Any:
    return lambda answer: {
        "symbol": answer.request["symbol"],
        "interval": "1d",
        "adjustment": answer.request["adjustment"],
        "expected_session": expected,
        **context,
    }


def codes(warehouse: Any) -> dict[str, int]:
    return dict(warehouse.rows("select code, count(*) from raw.quarantine group by code order by code"))


def statuses(warehouse: Any) -> dict[str, str]:
    return dict(warehouse.rows("select symbol, status from ops.symbol_registry order by symbol"))


def test_the_spike_of_ada_is_rejected_with_its_donor_and_the_neighbours_are_accepted(warehouse: Any) -> None:
    last = datetime(2026, 1, 1, tzinfo=UTC)
    received = datetime(2026, 1, 2, 0, 10, tzinfo=UTC)
    ada = klines("BINANCE:ADAUSDT", closes([*steady(0.30, 59)[:-1], 0.3335, 526.06], last=last), received_at=received)
    donor = klines(
        "BINANCE:BCHUSDT", closes(steady(526.06 / 1.001**59, 60), last=last, volume=77), received_at=received
    )
    other = klines("BINANCE:XLMUSDT", closes(steady(0.25), last=last, volume=31), received_at=received)
    outcomes = land(warehouse, ada, donor, other, expected="2026-01-01")
    assert {symbol: outcome.status for symbol, outcome in outcomes.items()} == {
        "BINANCE:ADAUSDT": "REJECTED",
        "BINANCE:BCHUSDT": "OK",
        "BINANCE:XLMUSDT": "OK",
    }
    found = dict(
        warehouse.rows(
            "select code, (round(value, 2), donor_symbol) from raw.findings "
            "where symbol = 'BINANCE:ADAUSDT' and severity = 'reject' and opened_at_utc = ?",
            datetime(2026, 1, 1),
        )
    )
    assert found["TOXIC_RETURN"][0] == 1576.39
    assert found["CROSS_LEVEL"][1] == "BINANCE:BCHUSDT"
    assert codes(warehouse) == {"CROSS_LEVEL": 60}
    assert warehouse.rows("select count(*) from raw.bars where symbol = 'BINANCE:ADAUSDT'") == [(0,)]
    assert statuses(warehouse) == {
        "BINANCE:ADAUSDT": "TOXIC",
        "BINANCE:BCHUSDT": "STABLE",
        "BINANCE:XLMUSDT": "STABLE",
    }


def test_twenty_two_contaminated_symbols_make_twenty_two_rejected_loads_and_a_clean_history_heals_them(
    warehouse: Any,
) -> None:
    bases = {**STATED, **{f"BINANCE:T{n:02}USDT": (10.0 + n, 700 + n) for n in range(17)}}
    clean = {
        symbol: klines(symbol, closes([*steady(base / 1.001**58, 59), base * 1.001], volume=40 + n))
        for n, (symbol, (base, _)) in enumerate(bases.items())
    }
    bad = [
        klines(symbol, closes([*steady(base / 1.001**58, 59), base * (1 + rise / 100)], volume=40 + n))
        for n, (symbol, (base, rise)) in enumerate(bases.items())
    ]
    rest = [klines(f"BINANCE:R{n:02}USDT", closes(steady(0.5 + n * 0.01), volume=400 + n)) for n in range(20)]
    outcomes = land(warehouse, *bad, *rest)
    assert sum(outcome.status == "REJECTED" for outcome in outcomes.values()) == 22
    assert {outcomes[one.request["symbol"]].status for one in rest} == {"OK"}
    returns = dict(
        warehouse.rows("select symbol, round(100 * value)::bigint from raw.findings where code = 'TOXIC_RETURN'")
    )
    for symbol, (_, rise) in STATED.items():
        assert returns[symbol] == pytest.approx(rise, rel=1e-6)
    later = land(warehouse, *clean.values(), is_forced=True)
    assert {outcome.status for outcome in later.values()} == {"OK"}
    assert set(statuses(warehouse).values()) == {"STABLE"}
    # The suite that looks at stored bars has nothing to find: no move beyond 500 % among them.
    assert warehouse.rows(
        "select count(*) from (select close / lag(close) over (partition by symbol order by opened_at_utc) - 1 as r "
        "from raw.bars) where abs(r) > 5"
    ) == [(0,)]


def test_a_return_of_exactly_500_percent_is_kept_and_listed(warehouse: Any) -> None:
    flat = [1.0] * 5
    # the level test looks at six times the median: 6.0 is not beyond it
    assert land(warehouse, klines("BINANCE:AUSDT", closes([*flat, 6.0])))["BINANCE:AUSDT"].status == "OK"
    assert warehouse.rows("select severity, value from raw.findings where code = 'EXTREME'") == [("warning", 5.0)]
    assert land(warehouse, klines("BINANCE:BUSDT", closes([*flat, 6.0001])))["BINANCE:BUSDT"].status == "REJECTED"


def test_a_drop_waits_in_quarantine_until_a_second_source_confirms_it(warehouse: Any) -> None:
    fallen = [*steady(50.0, 40), 0.40]
    first = land(warehouse, klines("BINANCE:LUNAUSDT", closes(fallen)))["BINANCE:LUNAUSDT"]
    assert (first.status, first.rows_quarantined, codes(warehouse)) == ("PARTIAL", 1, {"SUSPECT_DROP": 1})
    assert statuses(warehouse) == {"BINANCE:LUNAUSDT": "DEGRADED"}
    # another venue's source saw the same level that day
    other = klines("BINANCE:LUNAUSDT", closes(fallen), source="binance_bulk", received_at=RECEIVED)
    with warehouse.session() as session:
        session.readers = {("bars", "binance_bulk"): _klines_reader(), ("bars", "binance"): _klines_reader()}
        land_answers(
            session, [other], context=lambda a: {"symbol": a.request["symbol"], "interval": "1d", "adjustment": "none"}
        )
    assert warehouse.rows("select source, close from raw.bars where close < 1") == [("binance_bulk", 0.4)]
    again = land(warehouse, klines("BINANCE:LUNAUSDT", closes(fallen), count=501))["BINANCE:LUNAUSDT"]
    assert again.status == "OK"
    assert warehouse.rows("select count(*) from raw.findings where code = 'CORROBORATED'") == [(2,)]


def _klines_reader() -> Any:
    from ingest.sources.binance import read_klines

    return read_klines


def test_a_recorded_resolution_releases_a_drop(warehouse: Any) -> None:
    fallen = [*steady(50.0, 40), 0.40]
    land(warehouse, klines("BINANCE:LUNAUSDT", closes(fallen)))
    with warehouse.session() as session:
        land_resolution(
            session,
            symbol="BINANCE:LUNAUSDT",
            session_date=date(2024, 3, 27),
            code="SUSPECT_DROP",
            reason="it fell",
            by="desk",
        )
    outcome = land(warehouse, klines("BINANCE:LUNAUSDT", closes(fallen), count=501))["BINANCE:LUNAUSDT"]
    assert (outcome.status, outcome.rows_new) == ("OK", 1)


def test_bars_equal_to_those_of_another_symbol_reject_both_loads_but_listings_of_one_ticker_are_one_thing(
    warehouse: Any,
) -> None:
    rows = closes(steady(7.0), volume=123)
    outcomes = land(warehouse, klines("BINANCE:AUSDT", rows), klines("BINANCE:BUSDT", rows))
    assert {outcome.status for outcome in outcomes.values()} == {"REJECTED"}
    assert codes(warehouse) == {"DUPLICATE_ROW": 120}
    later = land(
        warehouse,
        klines("AMEX:SPY", closes(steady(400.0), volume=9)),
        klines("NYSE:SPY", closes(steady(400.0), volume=9)),
        expected=None,
    )
    assert {outcome.status for outcome in later.values()} == {"OK"}


def test_a_symbol_whose_stored_bars_come_again_under_another_name_is_toxic_too_and_both_can_be_healed(
    warehouse: Any,
) -> None:
    coin, ada = closes(steady(60_000.0), volume=77), closes(steady(0.4), volume=31)
    land(warehouse, klines("BINANCE:ADAUSDT", coin))
    late = land(warehouse, klines("BINANCE:BTCUSDT", coin))["BINANCE:BTCUSDT"]
    assert late.status == "REJECTED"
    assert statuses(warehouse) == {"BINANCE:ADAUSDT": "TOXIC", "BINANCE:BTCUSDT": "TOXIC"}
    assert warehouse.rows(
        "select symbol, donor_symbol, severity, count(*) from raw.findings group by all order by 1"
    ) == [
        ("BINANCE:ADAUSDT", "BINANCE:BTCUSDT", "warning", 60),
        ("BINANCE:BTCUSDT", "BINANCE:ADAUSDT", "reject", 60),
    ]
    # a part of the history contradicts what is stored; the whole of it takes its place, and frees the other
    part = land(warehouse, klines("BINANCE:ADAUSDT", ada[-20:], count=20), is_forced=True)["BINANCE:ADAUSDT"]
    whole = land(warehouse, klines("BINANCE:ADAUSDT", ada, count=2000), is_forced=True)["BINANCE:ADAUSDT"]
    again = land(warehouse, klines("BINANCE:BTCUSDT", coin, count=2000), is_forced=True)["BINANCE:BTCUSDT"]
    assert (part.status, whole.status, whole.rows_superseding, again.status) == ("REJECTED", "OK", 60, "OK")
    assert statuses(warehouse) == {"BINANCE:ADAUSDT": "STABLE", "BINANCE:BTCUSDT": "STABLE"}


def test_one_equal_flat_bar_is_a_coincidence_and_three_are_not(warehouse: Any) -> None:
    def flat(symbol: str, count: int) -> Answer:
        is_first = symbol.endswith(":AUSDT")
        rows = closes(steady(5.0 if is_first else 8.0, 30), volume=50 if is_first else 90)
        for row in rows[5 : 5 + count]:
            row[1:6] = ["6", "6", "6", "6", "100"]
        return klines(symbol, rows)

    assert {one.status for one in land(warehouse, flat("BINANCE:AUSDT", 1), flat("BINANCE:BUSDT", 1)).values()} == {
        "OK"
    }
    assert {one.status for one in land(warehouse, flat("OKX:AUSDT", 3), flat("OKX:BUSDT", 3)).values()} == {"REJECTED"}


def test_an_overlap_that_does_not_match_is_rejected_and_the_stored_bars_stay(warehouse: Any) -> None:
    land(warehouse, klines("BINANCE:AUSDT", closes(steady(10.0))))
    before = warehouse.rows("select * from raw.bars order by all")
    shuffled = [value * (1 + 0.02 * (n % 3)) for n, value in enumerate(steady(10.0))]
    outcome = land(warehouse, klines("BINANCE:AUSDT", closes(shuffled), count=60))["BINANCE:AUSDT"]
    assert (outcome.status, outcome.rows_quarantined) == ("REJECTED", 60)
    assert codes(warehouse) == {"OVERLAP_MISMATCH": 60}
    assert warehouse.rows("select * from raw.bars order by all") == before
    assert statuses(warehouse) == {"BINANCE:AUSDT": "DEGRADED"}


def test_one_constant_ratio_is_a_corporate_action_that_only_a_whole_history_may_bring(warehouse: Any) -> None:
    land(warehouse, klines("NASDAQ:AAPL", closes(steady(400.0))), expected=None)
    split = [value / 4 for value in steady(400.0, 61)]
    last = datetime(2024, 3, 28, tzinfo=UTC)
    received = datetime(2024, 3, 29, 0, 10, tzinfo=UTC)
    part = klines("NASDAQ:AAPL", closes(split, last=last)[-51:], received_at=received, count=51)
    outcome = land(warehouse, part, expected=None)["NASDAQ:AAPL"]
    assert (outcome.status, codes(warehouse)) == ("REJECTED", {"CORPORATE_ACTION": 51})
    assert statuses(warehouse) == {"NASDAQ:AAPL": "DEGRADED"}
    whole = klines("NASDAQ:AAPL", closes(split, last=last), received_at=received, count=2000)
    outcome = land(warehouse, whole, expected=None, is_forced=True)["NASDAQ:AAPL"]
    assert (outcome.status, outcome.rows_superseding, outcome.rows_new) == ("OK", 60, 1)
    assert statuses(warehouse) == {"NASDAQ:AAPL": "STABLE"}


def test_a_few_revised_bars_are_revisions_and_no_mismatch(warehouse: Any) -> None:
    land(warehouse, klines("BINANCE:AUSDT", closes(steady(10.0))))
    revised = steady(10.0)
    revised[20] *= 1.001
    outcome = land(warehouse, klines("BINANCE:AUSDT", closes(revised), count=60))["BINANCE:AUSDT"]
    assert (outcome.rows_superseding, outcome.rows_identical, outcome.rows_quarantined) == (1, 59, 0)


@pytest.mark.parametrize(("gap_days", "strays"), [(20, 0), (21, 0), (22, 1)])
def test_a_lonely_bar_before_a_gap_of_more_than_twenty_sessions_is_left_out(
    warehouse: Any, gap_days: int, strays: int
) -> None:
    last = datetime(2024, 3, 27, tzinfo=UTC)
    real = closes(steady(46.27, 30))
    lonely = closes([149.43], last=last - DAY * (29 + gap_days))
    outcome = land(warehouse, klines("BINANCE:XOPUSDT", [*lonely, *real]))["BINANCE:XOPUSDT"]
    assert (outcome.rows_quarantined, codes(warehouse).get("STRAY_BAR", 0)) == (strays, strays)
    assert outcome.status == "OK"
    # what is measured against the stray alone is no move of the market
    assert warehouse.rows("select count(*) from raw.findings where code = 'SPLIT_SUSPECT'") == [(0,)]


def test_a_move_by_a_common_split_is_listed_unless_the_action_is_known(warehouse: Any) -> None:
    halved = [*steady(40.0, 30), *steady(20.6, 30)]
    with warehouse.session() as session:
        (_, landed), *_ = land_answers(session, [_actions("NASDAQ:KNOWN", date(2024, 2, 27))])
        assert (landed.status, landed.rows_new) == ("OK", 1), landed.error
    outcomes = land(
        warehouse,
        klines("NASDAQ:KNOWN", closes(halved, volume=1)),
        klines("NASDAQ:SVXY", closes(halved, volume=2)),
        expected=None,
    )
    assert {one.status for one in outcomes.values()} == {"OK"}
    found = warehouse.rows("select symbol, severity, detail from raw.findings where code = 'SPLIT_SUSPECT'")
    assert [(symbol, severity) for symbol, severity, _ in found] == [("NASDAQ:SVXY", "warning")]
    assert "2:1 split" in found[0][2]


def _actions(symbol: str, day: date) -> Answer:
    from ingest.sources.common import pages_payload

    stamp = int(datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC).timestamp())
    event = {"date": stamp, "numerator": 2, "denominator": 1, "splitRatio": "2:1"}
    chart = {
        "chart": {
            "result": [
                {
                    "meta": {"symbol": symbol.split(":")[1]},
                    "timestamp": [stamp],
                    "indicators": {"quote": [{name: [20.0] for name in ("open", "high", "low", "close", "volume")}]},
                    "events": {"splits": {str(stamp): event}},
                }
            ],
            "error": None,
        }
    }
    return lookup(
        "corporate_actions",
        {},
        source="yahoo",
        request={"symbol": symbol, "interval": "1d", "adjustment": "splits"},
        payload=pages_payload([({"symbol": symbol}, json.dumps(chart).encode())]),
        state="complete",
    )


def test_a_volume_far_above_its_past_is_information_alone(warehouse: Any) -> None:
    rows = closes(steady(10.0, 40))
    rows[-1][5] = "100000"
    outcome = land(warehouse, klines("BINANCE:AUSDT", rows))["BINANCE:AUSDT"]
    assert (outcome.status, outcome.rows_quarantined) == ("OK", 0)
    assert warehouse.rows("select code, severity from raw.findings") == [("VOLUME_SPIKE", "info")]


def test_a_close_at_zero_makes_its_symbol_toxic(warehouse: Any) -> None:
    rows = closes(steady(10.0, 40))
    rows[30][1:5] = ["0", "0", "0", "0"]
    outcome = land(warehouse, klines("BINANCE:AUSDT", rows))["BINANCE:AUSDT"]
    assert (outcome.status, codes(warehouse)) == ("PARTIAL", {"OHLC_INVALID": 1})
    assert warehouse.rows("select code from raw.findings") == [("IMPOSSIBLE",)]
    assert statuses(warehouse) == {"BINANCE:AUSDT": "TOXIC"}


def test_a_row_of_another_symbol_is_never_stored(warehouse: Any) -> None:
    def foreign(payload: bytes, request: Any) -> Any:
        table = _klines_reader()(payload, request)
        named = ["BINANCE:OTHERUSDT", *table.column("symbol").to_pylist()[1:]]
        import pyarrow as pa

        return table.set_column(table.schema.get_field_index("symbol"), "symbol", pa.array(named))

    with warehouse.session() as session:
        session.readers = {("bars", "binance"): foreign}
        land_answers(session, [klines("BINANCE:AUSDT", closes(steady(10.0)))])
    assert warehouse.rows("select distinct symbol from raw.bars") == [("BINANCE:AUSDT",)]
    assert codes(warehouse) == {"FOREIGN_ROW": 1}


def test_the_thresholds_are_those_of_the_model_that_looks_at_stored_bars() -> None:
    from quantmill.features import health

    from ingest import thresholds

    assert (thresholds.TOXIC_RETURN, thresholds.EXTREME_RETURN, thresholds.SUSPECT_RETURN) == (
        health.TOXIC_RETURN, health.EXTREME_RETURN, health.COLLAPSE,
    )  # fmt: skip
    assert math.log(thresholds.SUSPECT_LEVEL) == health.LARGEST_JUMP
    assert thresholds.BARS_BEFORE == health.BEFORE
    assert (thresholds.VOLUME_DEVIATIONS, thresholds.VOLUME_MEANS) == (health.SPIKE_DEVIATIONS, health.SPIKE_MULTIPLE)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_batch_is_stored_as_its_loads_would_be_one_by_one(warehouse: Any, tmp_path: Any, seed: int) -> None:
    from quantmill.manifest.home import Home

    from tests.python.ingest.conftest import REPOSITORY, Warehouse

    draw = random.Random(seed)
    answers = []
    for n in range(12):
        values = [value * draw.uniform(0.9, 1.1) for value in steady(1.0 + n, draw.randint(30, 60))]
        rows = closes(values, volume=draw.uniform(5, 50))
        if n % 5 == 0:
            rows[draw.randint(5, 20)][4] = "nan"
        if n % 7 == 0:
            rows.append(rows[3])
        answers.append(klines(f"BINANCE:S{n:02}USDT", rows))
        answers.append(klines(f"BINANCE:S{n:02}USDT", rows[-20:], count=20, received_at=RECEIVED + timedelta(hours=1)))
    alone = Warehouse(Home(root=REPOSITORY, state=tmp_path / "alone"))
    land(warehouse, *answers)
    order = [row[0] for row in warehouse.rows("select request_hash from raw.loads order by load_id")]
    from ingest.landing import request_hash

    by_hash = {request_hash("bars", "binance", answer.request): answer for answer in answers}
    with alone.session() as session:
        for hashed in order:
            land_answers(session, [by_hash[hashed]], context=_context(EXPECTED))
    for query in (
        "select symbol, opened_at_utc, open, high, low, close, volume, is_final, received_at_utc from raw.bars",
        "select kind, code, severity, symbol, payload, detail from raw.quarantine",
        "select symbol, code, severity, value, detail from raw.findings",
        "select request_hash, status, rows_received, rows_new, rows_identical, rows_superseding, rows_quarantined, "
        "error from raw.loads",
        "select symbol, status, reason, last_final_session, consecutive_failures from ops.symbol_registry",
    ):
        assert warehouse.rows(f"{query} order by all") == alone.rows(f"{query} order by all")


@pytest.mark.parametrize(("off", "status"), [(0.0099, "OK"), (0.021, "REJECTED")])
@pytest.mark.parametrize("source", ["binance", "tradingview"])
def test_one_tick_is_no_difference_where_a_tick_is_known(warehouse: Any, off: float, status: str, source: str) -> None:
    """At a price of 2 a tick of 0.01 is half a percent: far beyond the relative tolerances."""
    symbol = "BINANCE:AUSDT"
    with warehouse.session() as session:
        session.readers = {("bars", name): _klines_reader() for name in ("binance", "tradingview")}
        rows = [{"symbol": symbol, "tick_size": 0.01}]
        land_metadata(session, source="desk", origin="test", rows=rows, received_at=RECEIVED)
        values = [round(value, 2) for value in steady(2.0)]
        land_answers(session, [klines(symbol, closes(values))], context=_context(EXPECTED))
        other = klines(
            symbol, closes([round(v + off * (-1) ** n, 4) for n, v in enumerate(values)]), count=60, source=source
        )
        context = _context(EXPECTED, **({"pass": "alternate"} if source == "tradingview" else {}))
        ((_, outcome),) = land_answers(session, [other], context=context)
    found = {name for (name,) in warehouse.rows("select distinct code from raw.findings where severity = 'reject'")}
    assert ("REJECTED" if outcome.status == "REJECTED" else "OK", found) == (
        status, {"OVERLAP_MISMATCH"} if status == "REJECTED" else set()
    )  # fmt: skip


def test_a_dividend_of_less_than_a_tick_is_still_a_corporate_action_of_the_total_return(warehouse: Any) -> None:
    """Total returns are computed: 0.9 % of 1 dollar is no tick of 0.01, and the whole history carries it."""
    symbol = "AMEX:CHEAP"
    with warehouse.session() as session:
        rows = [{"symbol": symbol, "pricescale": 100, "minmov": 1}]
        land_metadata(session, source="desk", origin="test", rows=rows, received_at=RECEIVED)
    land(warehouse, klines(symbol, closes(steady(1.0)), adjustment="total_return"), expected=None)
    paid = closes([value * 0.991 for value in steady(1.0)])[-50:]
    part = klines(symbol, paid, count=51, adjustment="total_return")
    outcome = land(warehouse, part, expected=None)[symbol]
    assert (outcome.status, codes(warehouse)) == ("REJECTED", {"CORPORATE_ACTION": 50})


def test_a_series_without_a_calendar_says_so_and_is_not_measured_by_another_one(warehouse: Any) -> None:
    last = datetime(2024, 3, 27, tzinfo=UTC)
    rows = [*closes([20.0], last=last - DAY * 90), *closes(steady(20.0, 30))]
    outcome = land(warehouse, klines("FOO:BAR", rows), expected=None)["FOO:BAR"]
    assert (outcome.rows_new, outcome.rows_quarantined) == (31, 0)
    ((code, severity, detail),) = warehouse.rows("select code, severity, detail from raw.findings")
    assert (code, severity, "calendar of FOO" in detail) == ("EXCHANGE_WITHOUT_CALENDAR", "warning", True)
