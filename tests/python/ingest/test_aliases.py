"""Renamed symbols: what the bars prove, what follows in the registry, and that every judgement is landed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from quantmill.manifest.aliases import Alias

from ingest.aliases import heed_aliases
from ingest.answers import Answer
from ingest.loads import land_answers
from ingest.rebuild import rebuild
from tests.python.ingest.venue_answers import DAY, RECEIVED, closes, klines, steady

OLD, NEW = "BINANCE:OLDUSDT", "BINANCE:NEWUSDT"
LAST = datetime(2024, 3, 27, tzinfo=UTC)
SEAM = LAST - 30 * DAY
ALIAS = Alias(old=OLD, new=NEW, renamed_on=SEAM.date(), note="a new name")


def series(symbol: str, start: float, count: int, *, last: datetime, **more: Any) -> Answer:
    return klines(symbol, closes(steady(start, count), last=last, volume=more.pop("volume", 10)), **more)


def land(session: Any, *answers: Answer) -> None:
    land_answers(
        session,
        answers,
        context=lambda one: {"symbol": one.request["symbol"], "interval": "1d", "adjustment": "none"},
    )


Heed = Callable[..., dict[str, Any] | None]


@pytest.fixture
def heed(warehouse: Any) -> Heed:
    """Land answers, judge an alias, and return the judgement that was landed, or None."""

    def call(*answers: Answer, aliases: tuple[Alias, ...] = (ALIAS,), as_of: datetime = RECEIVED) -> Any:
        with warehouse.session() as session:
            land(session, *answers)
            rows, _ = heed_aliases(session, aliases, as_of=as_of)
        return rows[0] if rows else None

    return call


def statuses(warehouse: Any) -> dict[str, tuple[str, str | None]]:
    return {one: (status, why) for one, status, why in warehouse.rows(
        "select symbol, status, reason from ops.symbol_registry"
    )}  # fmt: skip


def old(count: int = 60, *, last: datetime = SEAM - DAY, start: float = 2.0, **more: Any) -> Answer:
    return series(OLD, start, count, last=last, **more)


def new(start: float, count: int = 31, *, last: datetime = LAST, **more: Any) -> Answer:
    return series(NEW, start, count, last=last, volume=77, **more)


def test_a_series_that_goes_on_the_session_after_the_old_one_ended_is_joined(heed: Heed, warehouse: Any) -> None:
    found = heed(old(), new(2.0 * 1.001**60))
    assert found is not None
    assert (found["verdict"], found["code"], found["adjustments"]) == ("JOINED", "ALIAS_ADJACENT", ["none"])
    assert statuses(warehouse)[OLD] == ("DELISTED", f"renamed to {NEW} on {SEAM.date()}: ALIAS_ADJACENT")
    assert statuses(warehouse)[NEW][0] == "STABLE"


@pytest.mark.parametrize(
    ("factor", "code"),
    [(1.0, "ALIAS_OVERLAP"), (1.00009, "ALIAS_OVERLAP"), (1.0002, "ALIAS_STILL_TRADING")],
)
def test_shared_sessions_of_one_venue_have_to_agree_within_a_hundredth_of_a_percent(
    heed: Heed, factor: float, code: str
) -> None:
    # the first 20 sessions of the new one are the last 20 of the old one
    found = heed(old(80, last=SEAM + 19 * DAY), new(2.0 * 1.001**60 * factor, 50, last=SEAM + 49 * DAY))
    assert found is not None
    equal = 20 if code == "ALIAS_OVERLAP" else 0
    assert found["detail"] == f"none: {equal} of 20 shared sessions agree"
    # without a proof, 20 sessions after the day of the renaming are those of somebody else
    assert found["code"] == code and found["is_renamed"] is (code == "ALIAS_OVERLAP")


def test_one_shared_session_that_disagrees_separates_the_histories(heed: Heed) -> None:
    rows = closes(steady(2.0 * 1.001**60, 31), last=LAST, volume=77)
    rows[3][1:5] = [str(float(rows[3][4]) * 1.01)] * 4
    found = heed(old(65, last=SEAM + 4 * DAY), klines(NEW, rows))
    assert found is not None
    assert (found["verdict"], found["code"]) == ("SEPARATE", "ALIAS_MISMATCH")
    assert found["detail"] == "none: 4 of 5 shared sessions agree"
    assert found["is_renamed"]


def test_a_missing_session_between_them_is_no_proof(heed: Heed, warehouse: Any) -> None:
    found = heed(old(last=SEAM - 3 * DAY), new(2.0 * 1.001**60))
    assert found is not None
    assert (found["verdict"], found["code"], found["adjustments"]) == ("SEPARATE", "ALIAS_GAP", [])
    assert "2 sessions between" in found["detail"]
    # whatever the bars prove, the old symbol is not traded any more
    assert statuses(warehouse)[OLD] == ("DELISTED", f"renamed to {NEW} on {SEAM.date()}: ALIAS_GAP")


@pytest.mark.parametrize(("factor", "code"), [(5.9, "ALIAS_ADJACENT"), (6.1, "ALIAS_JUMP"), (1 / 6.1, "ALIAS_JUMP")])
def test_a_seam_that_would_be_a_suspect_move_is_no_proof(heed: Heed, factor: float, code: str) -> None:
    found = heed(old(), new(2.0 * 1.001**59 * factor))
    assert found is not None and found["code"] == code


def test_an_alias_of_who_still_trades_is_wrong_and_delists_nobody(heed: Heed, warehouse: Any) -> None:
    found = heed(old(90, last=LAST), aliases=(ALIAS,))
    assert found is not None
    assert (found["code"], found["is_renamed"]) == ("ALIAS_STILL_TRADING", False)
    assert statuses(warehouse)[OLD][0] == "STABLE"


def test_an_alias_of_tomorrow_or_of_symbols_that_nobody_has_is_left_alone(heed: Heed, warehouse: Any) -> None:
    assert heed(old(), aliases=(ALIAS.model_copy(update={"renamed_on": date(2024, 3, 29)}),)) is None
    assert heed(aliases=(Alias(old="BINANCE:AUSDT", new=NEW, renamed_on=SEAM.date(), note="x"),)) is None
    assert warehouse.rows("select count(*) from raw.symbol_aliases") == [(0,)]


def test_a_judgement_lands_once_until_it_changes_and_a_rebuild_repeats_them_all(heed: Heed, warehouse: Any) -> None:
    first = heed(old())
    assert first is not None and first["code"] == "ALIAS_NO_BARS"
    assert heed() is None
    second = heed(new(2.0 * 1.001**60))
    assert second is not None and second["code"] == "ALIAS_ADJACENT"
    assert heed(series(NEW, 2.0 * 1.001**60, 32, last=LAST + DAY, volume=77, received_at=RECEIVED + DAY)) is None
    withdrawn = heed(aliases=())
    assert withdrawn is not None and withdrawn["verdict"] == "WITHDRAWN"
    assert statuses(warehouse)[OLD] == ("STALE", "its alias does not hold any more")
    assert heed(aliases=()) is None
    assert warehouse.rows("select rows_new, rows_superseding from raw.loads where kind = 'symbol_aliases'") == [
        (1, 0), (0, 1), (0, 1)
    ]  # fmt: skip
    before = warehouse.raw_tables()
    rebuild(warehouse.home, say=warehouse.said.append)
    assert warehouse.raw_tables() == before


def test_old_bars_that_come_later_do_not_list_a_renamed_symbol_again(heed: Heed, warehouse: Any) -> None:
    heed(old(), new(2.0 * 1.001**60))
    heed(old(120, start=2.0 / 1.001**60, volume=5.0, received_at=RECEIVED + DAY))
    assert statuses(warehouse)[OLD] == ("DELISTED", f"renamed to {NEW} on {SEAM.date()}: ALIAS_ADJACENT")


@pytest.mark.parametrize(("first", "second"), [(OLD, NEW), (NEW, OLD)])
def test_the_two_names_of_one_thing_may_have_equal_bars_and_others_may_not(
    warehouse: Any, first: str, second: str
) -> None:
    same = closes(steady(2.0, 30), last=LAST)
    with warehouse.session() as session:
        land(session, klines(first, same))
        alias = ALIAS.model_copy(update={"renamed_on": LAST.date()})
        heed_aliases(session, (alias,), as_of=RECEIVED, is_complete=True)
        land(session, klines(second, same))
    assert warehouse.rows("select count(*) from raw.findings") == [(0,)]
    assert statuses(warehouse)[NEW][0] == "STABLE"
    with warehouse.session() as session:
        land(session, klines("BINANCE:OTHERUSDT", same))
    rejected = "select distinct symbol, code from raw.findings where severity = 'reject'"
    assert warehouse.rows(rejected) == [("BINANCE:OTHERUSDT", "DUPLICATE_ROW")]
