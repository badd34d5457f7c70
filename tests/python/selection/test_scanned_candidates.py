"""Candidates of a profile with scanners: dated scans, health, one atom once, one listing of a thing, and the pool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import pytest
from python.features.landed import coin, describe, scan, scanner, without_bars
from python.features.pipeline import Pipeline
from quantmill.manifest.scanners import Scanner

FIRST, SECOND = datetime(2025, 2, 2, 0, 10), datetime(2025, 2, 9, 0, 10)
# closes of the sessions before the first scan, between the two, and after both
CLOSES = (datetime(2025, 2, 1), datetime(2025, 2, 5), datetime(2025, 2, 12))
FULL = {"Value__Traded": 90e6, "Recommend__All": 0.3}


def market(scans: Sequence[tuple[Scanner, datetime, list[dict[str, Any]]]], **changes: Any) -> Pipeline:
    """Candidates over three windows after the scans given; every symbol has 100 returns and is OK."""
    pipeline = Pipeline()
    without_bars(pipeline, "symbol_identity", "symbol_tags")
    scanners: dict[str, Scanner] = {}
    symbols: set[str] = set()
    for number, (of, at, rows) in enumerate(scans):
        scanners[of.scanner_id] = of
        for row in rows:
            if row["s"] not in symbols:
                described = {"type": row["type"], "base_currency": row["base_currency"], "currency": row["currency"]}
                describe(pipeline, row["s"], **described, at=datetime(2025, 1, 1))
            symbols.add(row["s"])
        scan(pipeline, of, rows, at=at, load_id=f"load{number}")
    stated = changes.pop("logics", {})
    references = [
        {"scanner_id": one.scanner_id, "config_hash": one.config_hash, "direction": one.direction,
         "logic": stated.get(one.scanner_id, one.logic)}
        for one in changes.pop("named", scanners.values())
    ]  # fmt: skip
    settings = {
        "universe.scanners": references,
        "universe.symbols": [],
        "universe.scanner_id": None,
        "universe.logic": None,
        "universe.direction": None,
        "universe.basis": "pit",
        "universe.raw_pool_limit": 200,
        "selection.history_floor": 90,
        "quality.gate": "raw_pool",
        "simulation.delist_after": 5,
        **changes.pop("settings", {}),
    }
    pipeline.connection.execute("create table calc_settings (key varchar, value varchar)")
    pipeline.connection.executemany(
        "insert into calc_settings values (?, ?)", [[key, json.dumps(value)] for key, value in settings.items()]
    )
    pipeline.built.add("calc_settings")
    pipeline.give("current_run", "select 'r' as run_id, false as is_sealed")
    windows = " union all ".join(
        f"select 'r' as run_id, 'w' as window_set, {index} as window_index, timestamp '{close}' as decision_close_utc,"
        f" cast(timestamp '{close}' - interval 1 day as date) as decision_date"
        for index, close in enumerate(CLOSES)
    )
    pipeline.give("windows", windows)
    listed = ", ".join(f"'{symbol}'" for symbol in sorted(symbols))
    days = "unnest(generate_series(date '2024-10-01', date '2025-03-01', interval 1 day))"
    held = f"from (select unnest([{listed}]) as symbol), (select cast({days} as date) as day)"
    known = "cast(day + interval 1 day as timestamp) as known_at_utc"
    returns = f"symbol, day as session_date, 0.0 as simple_return, 1 as session_count, {known}"
    pipeline.give("daily_returns", f"select {returns} {held}")
    pipeline.give("symbol_health", f"select symbol, day as as_of_date, 'OK' as verdict {held}")
    pipeline.give("bar_gaps", "select '' as symbol, date '2000-01-01' as session_date, 0 as run_length limit 0")
    pipeline.give(
        "factor_history",
        "select '' as symbol, '' as factor_set, timestamp '2000-01-01' as known_at_utc, 0.0 as compounded_60 limit 0",
    )
    for statement in changes.pop("statements", ()):
        pipeline.connection.execute(statement)
    return pipeline.build("candidates")


def by_window(pipeline: Pipeline, where: str = "is_kept") -> dict[int, list[str]]:
    found = pipeline.ask(
        f"select window_index, list(atom_id order by atom_id) from candidates where {where} group by window_index"
    )
    return dict(found)


AA = coin("BINANCE:AAUSDT", "AA", "USDT", **FULL)
BB = coin("BINANCE:BBUSDT", "BB", "USDT", **FULL)
OF = scanner("one")


def test_a_decision_reads_the_newest_scan_known_to_it_and_none_before_the_first() -> None:
    pipeline = market([(OF, FIRST, [AA]), (OF, SECOND, [BB])])
    assert by_window(pipeline) == {1: ["BINANCE:AAUSDT_rating_all_LONG"], 2: ["BINANCE:BBUSDT_rating_all_LONG"]}


def test_a_scan_after_the_close_is_not_known_at_it() -> None:
    at_close = market([(OF, CLOSES[1], [AA])])
    after = market([(OF, datetime(2025, 2, 5, 0, 0, 1), [AA])])
    assert (sorted(by_window(at_close)), sorted(by_window(after))) == ([1, 2], [2])


def test_a_static_universe_has_todays_scan_in_every_window() -> None:
    pipeline = market([(OF, FIRST, [AA]), (OF, SECOND, [BB])], settings={"universe.basis": "static"})
    assert by_window(pipeline) == {index: ["BINANCE:BBUSDT_rating_all_LONG"] for index in range(3)}


def test_an_empty_scan_empties_the_pool() -> None:
    pipeline = market([(OF, FIRST, [AA]), (OF, SECOND, [])])
    # the second answer is the same request's, and without rows
    assert by_window(pipeline) == {1: ["BINANCE:AAUSDT_rating_all_LONG"], 2: ["BINANCE:AAUSDT_rating_all_LONG"]}
    empty = market(
        [(OF, FIRST, [AA]), (OF, SECOND, [])],
        statements=["update raw.loads set status = 'OK_EMPTY' where load_id = 'load1'"],
    )
    assert by_window(empty) == {1: ["BINANCE:AAUSDT_rating_all_LONG"]}


def test_scanners_that_never_scanned_stop_the_build_with_their_names() -> None:
    with pytest.raises(duckdb.Error, match="no_scan: no complete scan of other has landed"):
        market([(OF, FIRST, [AA])], named=[scanner("other")])


def test_a_scan_under_another_configuration_is_not_the_profiles_scan() -> None:
    with pytest.raises(duckdb.Error, match="no_scan"):
        market([(OF, FIRST, [AA])], named=[scanner("one", limit=7)])


def test_a_profile_may_give_what_a_scanner_finds_a_logic_of_its_own() -> None:
    pipeline = market([(OF, FIRST, [AA])], logics={"one": "trend"})
    assert by_window(pipeline)[1] == ["BINANCE:AAUSDT_trend_LONG"]


def test_an_atom_that_two_scanners_found_is_one_candidate_of_the_first() -> None:
    pipeline = market([(OF, FIRST, [AA]), (scanner("two"), FIRST, [AA, BB])])
    found = pipeline.ask("select scanner_id, symbol, drop_stage, drop_reason from candidates where window_index = 1")
    assert sorted(found, key=str) == sorted(
        [
            ("one", "BINANCE:AAUSDT", None, None),
            ("two", "BINANCE:AAUSDT", "dedupe", "DUPLICATE_ATOM"),
            ("two", "BINANCE:BBUSDT", None, None),
        ],
        key=str,
    )


def test_two_listings_of_one_thing_from_two_scanners_are_one_candidate_in_each_direction() -> None:
    variant = coin("BINANCE:AAUSDC", "AA", "USDC", **FULL)
    bearish = scanner("bear", direction="SHORT")
    pipeline = market([(OF, FIRST, [AA]), (scanner("two"), FIRST, [variant]), (bearish, FIRST, [variant])])
    assert by_window(pipeline)[1] == ["BINANCE:AAUSDC_rating_all_SHORT", "BINANCE:AAUSDT_rating_all_LONG"]
    assert by_window(pipeline, "drop_reason = 'IDENTITY_DUPLICATE'")[1] == ["BINANCE:AAUSDC_rating_all_LONG"]


def test_a_listing_with_bad_data_stands_for_nobody() -> None:
    variant = coin("BINANCE:AAUSDC", "AA", "USDC", **FULL)
    pipeline = market(
        [(OF, FIRST, [AA]), (scanner("two"), FIRST, [variant])],
        statements=["update symbol_health set verdict = 'TOXIC' where symbol = 'BINANCE:AAUSDT'"],
    )
    found = pipeline.ask(
        "select symbol, drop_stage, drop_reason from candidates where window_index = 1 order by symbol"
    )
    assert found == [("BINANCE:AAUSDC", None, None), ("BINANCE:AAUSDT", "data", "TOXIC")]


def test_the_pool_keeps_what_is_traded_most_and_every_anchor() -> None:
    rows = [coin(f"BINANCE:C{n}XUSDT", f"C{n}X", "USDT", Value__Traded=(10 + n) * 1e6, Recommend__All=0.9 - n / 10)
            for n in range(4)]  # fmt: skip
    anchor = scanner("anchors", logic="anchor")
    thin = coin("BINANCE:ZZUSDT", "ZZ", "USDT", Value__Traded=6e6, Recommend__All=0.1)
    pipeline = market([(OF, FIRST, rows), (anchor, FIRST, [thin])], settings={"universe.raw_pool_limit": 3})
    assert by_window(pipeline)[1] == [
        "BINANCE:C2XUSDT_rating_all_LONG",
        "BINANCE:C3XUSDT_rating_all_LONG",
        "BINANCE:ZZUSDT_anchor_LONG",
    ]
    assert by_window(pipeline, "drop_stage = 'pool' and drop_reason = 'POOL_LIMIT'")[1] == [
        "BINANCE:C0XUSDT_rating_all_LONG",
        "BINANCE:C1XUSDT_rating_all_LONG",
    ]


def test_a_candidate_faces_health_history_and_delisting_as_a_listed_one_does() -> None:
    rows = [coin(f"BINANCE:{base}USDT", base, "USDT", **FULL) for base in ("AA", "BB", "CC", "DD")]
    pipeline = market(
        [(OF, FIRST, rows)],
        statements=[
            "delete from daily_returns where symbol = 'BINANCE:BBUSDT' and session_date < date '2025-01-20'",
            "delete from symbol_health where symbol = 'BINANCE:CCUSDT'",
            "insert into raw.execution_limits values ('l', 1, 'BINANCE:DDUSDT', '{\"status\": \"BREAK\"}',"
            " timestamp '2025-02-04')",
        ],
    )
    passes = ", ".join(f"passes ->> '{gate}'" for gate in ("liquidity", "health", "history", "all"))
    found = pipeline.ask(f"select symbol, drop_reason, {passes} from candidates where window_index = 1 order by symbol")
    assert found == [
        ("BINANCE:AAUSDT", None, "true", "true", "true", "true"),
        ("BINANCE:BBUSDT", "SHORT_HISTORY", "true", "true", "false", "false"),
        ("BINANCE:CCUSDT", "MISSING", "true", "false", "true", "false"),
        ("BINANCE:DDUSDT", "DELISTED", "true", "true", "true", "true"),
    ]
