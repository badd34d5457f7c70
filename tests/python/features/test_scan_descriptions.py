"""Who left the market before anybody described it is what the scans say that named it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from python.features.landed import bars, coin, describe, limit, scan, scanner
from python.features.pipeline import Pipeline

GONE = "BINANCE:FLMUSDT"
FIRST_BAR = datetime(2025, 1, 20)
FIRST_SCAN = datetime(2025, 2, 10, 0, 10)
FULL = {"Value__Traded": 9e6, "Recommend__All": 0.3, "description": "Flamingo"}
SAID = ("asset_class", "asset_type", "description", "venue_class", "base", "quote", "economic_id", "calendar_id")
Landing = Callable[[Pipeline], None]


def named(pipeline: Pipeline, day: int = 10, **changes: Any) -> None:
    """Land a scan of a day in February that names the symbol, of a scanner that wants to see its bars' turnover."""
    scan(
        pipeline,
        scanner(median_turnover_min=5e6),
        [coin(GONE, "FLM", "USDT", **FULL) | changes],
        at=datetime(2025, 2, day, 0, 10),
    )


def start(pipeline: Pipeline) -> None:
    """Land a scan that names a coin, its bars, and nothing else that says what it is."""
    bars(pipeline, GONE, wiggle=0.01)
    named(pipeline)


def versions(pipeline: Pipeline, *columns: str) -> list[tuple[Any, ...]]:
    query = f"select {', '.join((*columns, 'metadata_source', 'valid_from', 'valid_to'))} from symbols"
    return pipeline.ask(f"{query} where symbol = ? order by valid_from", GONE)


def test_bars_of_whom_only_scans_named_belong_to_sessions() -> None:
    pipeline = Pipeline()
    start(pipeline)
    # a list names it too, and nobody says what this one is
    bars(pipeline, "BINANCE:NOBODYUSDT")
    pipeline.build("symbol_health", "scan_candidates")
    assert versions(pipeline, *SAID, "timezone", "tick_size", "is_active") == [
        ("crypto", "spot", "Flamingo", "spot", "FLM", "USDT", "FLM", "24/7", "UTC", None, True, "scan", FIRST_BAR, None)
    ]
    verdicts = "select symbol, verdict, count(*) from bar_verdicts group by all order by all"
    assert pipeline.ask(verdicts) == [(GONE, "ACCEPTED", 40), ("BINANCE:NOBODYUSDT", "UNKNOWN_SYMBOL", 40)]
    health = "select distinct verdict from symbol_health where symbol = ? and as_of_date <= '2025-02-28'"
    assert pipeline.ask(health, GONE) == [("OK",)]
    assert pipeline.ask("select symbol, is_kept, drop_reason from scan_candidates") == [(GONE, True, None)]


def test_limits_of_whom_only_scans_named_are_flagged_defaults_and_count_as_not_covered() -> None:
    pipeline = Pipeline()
    start(pipeline)
    pipeline.build("execution_limits", "metadata_coverage")
    assert pipeline.ask("select source, lot_size from execution_limits") == [("default", 0.001)]
    assert pipeline.ask("select symbol, is_covered, coverage from metadata_coverage") == [(GONE, False, 0.0)]


def test_a_row_of_a_scan_that_does_not_say_what_it_is_describes_nobody() -> None:
    pipeline = Pipeline()
    bars(pipeline, GONE)
    named(pipeline, type=None)
    # a ticker that no base is known for stays in doubt
    scan(pipeline, scanner("doubt"), [{"s": "BINANCE:UUSDT", "type": "spot", "Value.Traded": 9e6}], at=FIRST_SCAN)
    pipeline.build("symbols", "scan_rows_identified")
    assert pipeline.ask("select count(*) from symbols") == [(0,)]
    doubt = "select exclusions from scan_rows_identified where symbol = 'BINANCE:UUSDT'"
    assert pipeline.ask(doubt) == [(["IDENTITY_AMBIGUOUS"],)]


def test_a_scan_says_nothing_of_whom_somebody_had_described() -> None:
    pipeline = Pipeline()
    bars(pipeline, GONE)
    described = {"type": "spot", "base_currency": "FLM", "currency": "USDT", "description": "FLM / Tether"}
    describe(pipeline, GONE, **described, at=datetime(2025, 2, 1))
    named(pipeline, description="Another name")
    pipeline.build("symbols")
    assert versions(pipeline, "description") == [("FLM / Tether", "metadata", FIRST_BAR, None)]


def test_an_equal_description_is_no_new_version_and_another_one_is() -> None:
    described = {"type": "spot", "base_currency": "FLM", "currency": "USDT", "pricescale": 10_000, "minmov": 1}
    received = datetime(2025, 2, 20)
    equal, other = Pipeline(), Pipeline()
    for pipeline, words in ((equal, "Flamingo"), (other, "Flamingo Finance")):
        start(pipeline)
        describe(pipeline, GONE, **described, description=words, at=received)
        pipeline.build("symbols")
    assert versions(equal, "description", "tick_size", "load_id") == [
        ("Flamingo", 0.0001, "meta", "metadata", FIRST_BAR, None)
    ]
    # what no scan says reaches back from the first description, as it does for any symbol
    assert versions(other, "description", "tick_size") == [
        ("Flamingo", 0.0001, "scan", FIRST_BAR, received),
        ("Flamingo Finance", 0.0001, "metadata", received, None),
    ]


def test_who_the_venue_halted_is_retired_from_then_on() -> None:
    pipeline = Pipeline()
    start(pipeline)
    limit(pipeline, GONE, status="BREAK", at=datetime(2025, 2, 27))
    pipeline.build("symbols")
    assert versions(pipeline, "is_active") == [
        (True, "scan", FIRST_BAR, datetime(2025, 2, 27)),
        (False, "scan", datetime(2025, 2, 27), None),
    ]


def another_scan(pipeline: Pipeline) -> None:
    named(pipeline, day=20)


def a_scan_with_other_words(pipeline: Pipeline) -> None:
    named(pipeline, day=20, description="Flamingo Finance")


def a_description(pipeline: Pipeline) -> None:
    described = {"type": "spot", "base_currency": "FLM", "currency": "USDC", "description": "Flamingo Finance"}
    describe(pipeline, GONE, **described, at=datetime(2025, 2, 20))


@pytest.mark.parametrize("later", [another_scan, a_scan_with_other_words, a_description])
def test_what_is_said_later_changes_nothing_that_was_known_before(later: Landing) -> None:
    before, after = Pipeline(), Pipeline()
    start(before)
    before.build("session_bars", "scan_candidates")
    start(after)
    later(after)
    after.build("session_bars", "scan_candidates")
    # as known on the day before the later words; when a version ends is learned with the next one
    known = f"select {', '.join(SAID)}, is_active, timezone, valid_from from symbols where valid_from < '2025-02-19'"
    candidates = "select * from scan_candidates where scanned_at_utc < '2025-02-19' order by all"
    sessions = "select * from session_bars order by all"
    for query in (known, candidates.replace("*", "* exclude (inputs_digest)"), sessions):
        assert before.ask(query) == after.ask(query) != []


@pytest.mark.parametrize("later", [another_scan, a_scan_with_other_words, a_description])
def test_scans_judged_before_the_words_came_are_those_of_a_rebuild(later: Landing) -> None:
    grown, rebuilt = Pipeline(), Pipeline()
    bars(grown, GONE)
    grown.build("scan_candidates")
    named(grown)
    grown.build_again("scan_candidates")
    later(grown)
    grown.build_again("scan_candidates")
    start(rebuilt)
    later(rebuilt)
    rebuilt.build("scan_candidates")
    rows = "select * from scan_candidates order by all"
    assert grown.ask(rows) == rebuilt.ask(rows) != []
