"""A day's scans are added to those of the days before, and every row is that of a rebuild."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from python.features.landed import bars, coin, describe, limit, scan, scanner
from python.features.pipeline import Pipeline

TABLES = ("scan_rows", "scan_rows_identified", "scan_rows_judged", "scan_candidates", "scan_funnel")
START = datetime(2025, 2, 20, 0, 10)
FULL = {"Value__Traded": 90e6, "Recommend__All": 0.3}
OPEN = scanner("open", exclusions={"is_leveraged_out": True, "is_pegged_out": True}, base_limit=4)
SHORT = scanner("short", direction="SHORT", median_turnover_min=5e6, ensure_symbols=("BINANCE:DDUSDT",))
INDEX = scanner("index", index_id="dw30", venue_class="listed", market="america", calendar_id="XNYS")
Landing = Callable[[Pipeline], None]


def scans_of(day: int) -> Landing:
    """Land the three scanners' answers of one day."""

    def land(pipeline: Pipeline) -> None:
        at = START + timedelta(days=day)
        rows = [
            coin(f"BINANCE:{base}{quote}", base, quote, **FULL | {"Value__Traded": (90 - 7 * number + day) * 1e6})
            for number, (base, quote) in enumerate(
                [("AA", "USDT"), ("AA", "USDC"), ("BB", "USDT"), ("PG", "USDT"), ("XUP", "USDT"), ("CC", "USDT")]
            )
        ]
        # without a base of its own a ticker is read by what is known of assets at the build
        rows.append({"s": "BINANCE:DOTUSD", "type": "spot", "Value.Traded": 8e6, "Recommend.All": 0.2})
        scan(pipeline, OPEN, rows, at=at)
        scan(pipeline, SHORT, rows[:4], at=at + timedelta(seconds=1))
        shares = [
            {"s": f"NYSE:{name}", "type": "stock", "Value.Traded": 9e6, "Recommend.All": 0.1} for name in ("IBM", "GE")
        ]
        scan(pipeline, INDEX, shares, at=at + timedelta(seconds=2))

    return land


def first_days(pipeline: Pipeline) -> None:
    """Land what is known at the beginning: descriptions and bars of two coins, scans of two days."""
    for base, quote in (("AA", "USDT"), ("AA", "USDC"), ("BB", "USDT")):
        describe(pipeline, f"BINANCE:{base}{quote}", type="spot", base_currency=base, currency=quote, at=START)
        bars(pipeline, f"BINANCE:{base}{quote}", until=datetime(2025, 2, 21), turnover=6e6)
    scans_of(0)(pipeline)
    scans_of(1)(pipeline)


def members(pipeline: Pipeline) -> None:
    pipeline.give(
        "calc_index_members",
        "select 'dw30' as index_id, 'NYSE:IBM' as symbol, date '2025-02-21' as valid_from, null::date as valid_to",
    )


def late_bars(pipeline: Pipeline) -> None:
    """Land bars of days that were scanned already: a turnover below the floor, and a coin that stood at a dollar."""
    bars(pipeline, "BINANCE:BBUSDT", until=datetime(2025, 2, 22), count=38, turnover=1e6)
    describe(pipeline, "BINANCE:PGUSDT", type="spot", base_currency="PG", currency="USDT", at=START)
    bars(pipeline, "BINANCE:PGUSDT", until=datetime(2025, 2, 20), count=95, close=1.0, wiggle=0.0003)


def said_late(pipeline: Pipeline) -> None:
    """Land words that change what a symbol was: a leveraged token, a known asset."""
    limit(pipeline, "BINANCE:XUPUSDT", baseAsset="XUP", permissions=["LEVERAGED"], at=START + timedelta(days=3))
    describe(pipeline, "OKX:DOTUSDC", type="spot", base_currency="DOT", currency="USDC", at=START)


def rows_of(pipeline: Pipeline) -> dict[str, list[tuple[object, ...]]]:
    return {name: pipeline.ask(f"select * from {name} order by all") for name in TABLES}


@pytest.mark.parametrize("later", [scans_of(2), members, late_bars, said_late], ids=["scans", "index", "bars", "words"])
def test_what_is_added_gives_the_rows_of_a_rebuild(later: Landing) -> None:
    grown, rebuilt = Pipeline(), Pipeline()
    first_days(grown)
    grown.build("scan_funnel")
    before = rows_of(grown)
    later(grown)
    grown.build_again("scan_funnel")
    first_days(rebuilt)
    later(rebuilt)
    rebuilt.build("scan_funnel")
    found, expected = rows_of(grown), rows_of(rebuilt)
    assert found == expected
    assert found["scan_candidates"] != before["scan_candidates"]


def test_what_came_late_changes_the_verdicts_of_scans_before_it() -> None:
    pipeline = Pipeline()
    first_days(pipeline)
    pipeline.build("scan_funnel")
    query = """
        select scanner_id, split_part(symbol, ':', 2), drop_reason from scan_candidates
        where scanned_at_utc::date = date '2025-02-21' and symbol in (
            'BINANCE:PGUSDT', 'BINANCE:XUPUSDT', 'BINANCE:BBUSDT', 'NYSE:IBM', 'NYSE:GE') order by all
    """
    assert pipeline.ask(query) == [
        ("index", "GE", "NO_MEMBERSHIP_KNOWN:dw30"),
        ("index", "IBM", "NO_MEMBERSHIP_KNOWN:dw30"),
        ("open", "BBUSDT", None),
        ("open", "PGUSDT", None),
        ("open", "XUPUSDT", "BASE_LIMIT"),
        ("short", "BBUSDT", None),
        ("short", "PGUSDT", "null:median_turnover"),
    ]
    for later in (members, late_bars, said_late):
        later(pipeline)
    pipeline.build_again("scan_funnel")
    assert pipeline.ask(query) == [
        ("index", "GE", "NOT_A_MEMBER:dw30"),
        ("index", "IBM", None),
        ("open", "BBUSDT", None),
        ("open", "PGUSDT", "PEGGED"),
        ("open", "XUPUSDT", "LEVERAGED"),
        ("short", "BBUSDT", "median_turnover 1000000.0 is below 5000000.0"),
        ("short", "PGUSDT", None),
    ]


def test_a_scan_that_nothing_speaks_of_is_not_judged_again_until_the_code_is_another() -> None:
    pipeline = Pipeline()
    first_days(pipeline)
    pipeline.build("scan_funnel")
    # a mark that only a new judgement takes away
    for name in ("scan_rows", "scan_rows_identified", "scan_rows_judged", "scan_candidates"):
        pipeline.connection.execute(f"alter table {name} add column mark varchar")
        pipeline.connection.execute(f"update {name} set mark = 'old'")
    marks = " union all ".join(
        f"select '{name}', count(*) filter (where mark = 'old'), count(*) filter (where mark is null) from {name}"
        for name in ("scan_rows", "scan_rows_identified", "scan_rows_judged", "scan_candidates")
    )
    scans_of(2)(pipeline)
    pipeline.build_again("scan_funnel")
    # seven rows of the first scanner, four and a forced one of the second, two of the third; on each of two days
    assert pipeline.ask(marks) == [
        ("scan_rows", 26, 13),
        ("scan_rows_identified", 28, 14),
        ("scan_rows_judged", 28, 14),
        ("scan_candidates", 28, 14),
    ]
    pipeline.code = "another version"
    pipeline.build_again("scan_funnel")
    assert [old for _, old, _ in pipeline.ask(marks)] == [0, 0, 0, 0]


def test_a_table_of_a_version_that_knew_no_inputs_is_made_anew() -> None:
    pipeline = Pipeline()
    first_days(pipeline)
    pipeline.build("scan_funnel")
    before = rows_of(pipeline)
    for name in ("scan_rows_identified", "scan_rows_judged", "scan_candidates"):
        pipeline.connection.execute(f"alter table {name} drop column inputs_digest")
        pipeline.connection.execute(f"update {name} set config_hash = 'of an older version'")
    pipeline.build_again("scan_funnel")
    assert rows_of(pipeline) == before
