"""What a person may let pass, and that the word is all that is written: no stored row changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from ingest.answers import Answer
from ingest.loads import land_answers
from ingest.rebuild import rebuild
from ingest.releases import land_resolution
from tests.python.ingest.venue_answers import DAY, RECEIVED, closes, klines, steady

A, B = "BINANCE:AUSDT", "BINANCE:BUSDT"
NOON = datetime(2024, 3, 28, 12, tzinfo=UTC)


def land(warehouse: Any, *answers: Answer) -> dict[str, str]:
    with warehouse.session() as session:
        landed = land_answers(
            session,
            answers,
            context=lambda one: {"symbol": one.request["symbol"], "interval": "1d", "adjustment": "none"},
        )
        return {load.context["symbol"]: outcome.status for load, outcome in landed}


def release(warehouse: Any, symbol: str, code: str, day: date | None = None) -> None:
    with warehouse.session() as session:
        session.clock = lambda: NOON
        land_resolution(session, symbol=symbol, session_date=day, code=code, reason="looked at it", by="Ann B.")


def status(warehouse: Any, symbol: str) -> tuple[str, str | None]:
    found: tuple[str, str | None] = warehouse.rows(
        "select status, reason from ops.symbol_registry where symbol = ?", symbol
    )[0]
    return found


def test_equal_bars_of_a_session_pass_once_somebody_has_said_that_it_was_chance(warehouse: Any) -> None:
    one, two = closes(steady(5.0), volume=50), closes(steady(8.0), volume=90)
    two[20][1:6] = one[20][1:6]
    assert land(warehouse, klines(A, one), klines(B, two)) == {A: "REJECTED", B: "REJECTED"}
    assert status(warehouse, A)[0] == "TOXIC"
    day = date(2024, 3, 27) - (len(one) - 21) * DAY
    release(warehouse, B, "DUPLICATE_ROW", day)
    quarantined = warehouse.rows("select * from raw.quarantine order by all")
    assert land(warehouse, klines(A, one, count=501), klines(B, two, count=501)) == {A: "OK", B: "OK"}
    assert status(warehouse, A) == status(warehouse, B) == ("STABLE", None)
    assert warehouse.rows("select * from raw.quarantine order by all") == quarantined
    before = warehouse.raw_tables()
    rebuild(warehouse.home, say=warehouse.said.append)
    assert warehouse.raw_tables() == before


def test_a_word_on_another_session_lets_nothing_pass(warehouse: Any) -> None:
    one, two = closes(steady(5.0), volume=50), closes(steady(8.0), volume=90)
    two[20][1:6], two[22][1:6] = one[20][1:6], one[22][1:6]
    land(warehouse, klines(A, one), klines(B, two))
    release(warehouse, B, "DUPLICATE_ROW", date(2024, 3, 27) - (len(one) - 21) * DAY)
    assert set(land(warehouse, klines(A, one, count=501), klines(B, two, count=501)).values()) == {"REJECTED"}


def test_a_restated_series_passes_for_seven_days_and_the_stored_rows_stay(warehouse: Any) -> None:
    land(warehouse, klines(A, closes(steady(10.0))))
    restated = [value * (1 + 0.02 * (n % 3)) for n, value in enumerate(steady(10.0))]

    def again(days: int, count: int) -> str:
        more = klines(A, closes(restated), count=count, received_at=NOON + days * DAY)
        return land(warehouse, more)[A]

    assert again(0, 60) == "REJECTED"
    stored = warehouse.rows("select * from raw.bars order by all")
    release(warehouse, A, "OVERLAP_MISMATCH")
    assert again(8, 61) == "REJECTED"
    assert again(7, 62) == "OK"
    assert set(stored) < set(warehouse.rows("select * from raw.bars"))
    ((detail,),) = warehouse.rows("select detail from raw.findings where code = 'CORROBORATED'")
    assert detail.endswith("; released by Ann B.")


def test_a_toxic_symbol_that_was_released_is_fetched_and_judged_like_any_other(warehouse: Any) -> None:
    land(warehouse, klines(A, closes(steady(1.0))))
    spiked = [*steady(1.0), 700.0]
    assert land(warehouse, klines(A, closes(spiked, last=RECEIVED.replace(minute=0)), received_at=NOON + DAY)) == {
        A: "REJECTED"
    }
    stored = warehouse.rows("select * from raw.bars order by all")
    assert status(warehouse, A)[0] == "TOXIC"
    release(warehouse, A, "TOXIC")
    assert status(warehouse, A) == ("DEGRADED", "released by Ann B., see raw.resolutions")
    assert warehouse.rows("select * from raw.bars order by all") == stored
    assert warehouse.rows(
        "select payload ->> 'by', payload ->> 'reason', payload ->> 'session_date' from raw.resolutions"
    ) == [("Ann B.", "looked at it", "2024-03-28")]
    # what is still contaminated is TOXIC again with its next load
    again = klines(A, closes(spiked, last=RECEIVED.replace(minute=0)), received_at=NOON + DAY, count=502)
    assert land(warehouse, again) == {A: "REJECTED"}
    assert status(warehouse, A)[0] == "TOXIC"
