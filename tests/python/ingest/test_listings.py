"""Where written symbols really list, by words that come one after another."""

from __future__ import annotations

from typing import Any

from ingest.judging import RENAMED
from ingest.listings import LISTING, known_listings, listed
from ingest.loads import land_words


def say(session: Any, symbol: str, new_symbol: str, code: str = LISTING) -> None:
    row = {
        "symbol": symbol, "new_symbol": new_symbol, "code": code, "adjustments": [],
        "verdict": "LISTED_AS" if code == LISTING else "JOINED", "is_renamed": code == "ALIAS_OVERLAP",
        "detail": f"see load {session.landing.last_load_id()}",
    }  # fmt: skip
    land_words(session, "symbol_aliases", source="tradingview", origin="symbol lookup", rows=[row])


def test_a_listing_that_moves_on_is_followed_and_one_that_moves_back_is_where_it_was(warehouse: Any) -> None:
    with warehouse.session() as session:
        say(session, "AMEX:AAA", "NASDAQ:AAA")
        say(session, "AMEX:BBB", "NASDAQ:BBB")
        assert listed(["AMEX:AAA", "AMEX:BBB"], known_listings(session.connection)) == ["NASDAQ:AAA", "NASDAQ:BBB"]
        say(session, "NASDAQ:AAA", "AMEX:AAA")
        say(session, "NASDAQ:BBB", "CBOE:BBB")
        known = known_listings(session.connection)
        assert listed(["AMEX:AAA", "NASDAQ:AAA"], known) == ["AMEX:AAA"], "the older word does not lead back"
        assert listed(["AMEX:BBB", "NASDAQ:BBB"], known) == ["CBOE:BBB"]
        say(session, "AMEX:AAA", "NASDAQ:AAA")
        known = known_listings(session.connection)
        assert listed(["AMEX:AAA", "NASDAQ:AAA"], known) == ["NASDAQ:AAA"]


def test_a_word_on_a_renamed_symbol_is_no_listing_and_hides_none(warehouse: Any) -> None:
    with warehouse.session() as session:
        say(session, "NASDAQ:OLD", "NASDAQ:NEW", code="ALIAS_OVERLAP")
        assert known_listings(session.connection) == {}
        say(session, "AMEX:AAA", "NASDAQ:AAA")
        say(session, "AMEX:AAA", "AMEX:CCC", code="ALIAS_GAP")
        assert known_listings(session.connection) == {"AMEX:AAA": "NASDAQ:AAA"}
        say(session, "NASDAQ:OLD", "AMEX:OLD")
        renamed = session.connection.execute(RENAMED).fetchall()
        assert [row[:2] for row in renamed] == [("NASDAQ:OLD", "NASDAQ:NEW")], "nor does a listing hide a renaming"
