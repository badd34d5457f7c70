"""What sources answered becomes loads: each status, each crash, the accounting, and the same again at a rebuild."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quantmill.errors import WarehouseError
from quantmill.manifest.home import Home

import ingest.storing
from ingest.answers import Answer, Attempt
from ingest.landing import Landing
from ingest.loads import land_answers
from ingest.rebuild import rebuild
from ingest.storing import Outcome
from tests.python.ingest.conftest import REPOSITORY, Warehouse
from tests.python.ingest.venue_answers import RECEIVED, closes, klines, lookup, steady

EXPECTED = "2024-03-27"


def land(warehouse: Any, *answers: Answer, **context: Any) -> list[Outcome]:
    """Land answers and return the outcomes in the order of the load ids."""

    def of(answer: Answer) -> dict[str, Any]:
        if answer.kind != "bars":
            return context
        named = {"symbol": answer.request["symbol"], "interval": "1d", "adjustment": answer.request["adjustment"]}
        return {**named, "expected_session": EXPECTED, **context}

    with warehouse.session() as session:
        return [outcome for _, outcome in land_answers(session, answers, context=of)]


def status(warehouse: Any, *answers: Answer, **context: Any) -> str:
    (outcome,) = land(warehouse, *answers, **context)
    return outcome.status


def scan(rows: dict[str, dict[str, Any]], **changes: Any) -> Answer:
    found = lookup("scan", rows)
    request = {**found.request, "scanner_id": "trend", "config_hash": "c" * 64, "exchanges": [], "venue_class": "mixed"}
    return lookup("scan", rows, **{"request": request, **changes})


def test_every_status_of_bars_is_earned_by_what_arrived_and_by_the_calendar(warehouse: Any) -> None:
    symbol = "BINANCE:ETHUSDT"
    assert status(warehouse, klines(symbol, closes(steady(100.0)))) == "OK"
    assert status(warehouse, klines(symbol, closes(steady(100.0))[-51:], count=51)) == "UP_TO_DATE"
    assert status(warehouse, klines(symbol, closes(steady(100.0))[-51:], count=51)) == "DUPLICATE"
    behind = {"expected_session": "2024-03-28"}
    assert status(warehouse, klines(symbol, closes(steady(100.0))[-40:], count=40), **behind) == "NO_PROGRESS"
    assert status(warehouse, klines("BINANCE:AUSDT", closes(steady(3.0))), **behind) == "PARTIAL"
    half = klines("BINANCE:BUSDT", closes(steady(4.0)), state="partial", code="WS_DROP", error="the socket closed")
    assert status(warehouse, half) == "PARTIAL"
    assert status(warehouse, klines("BINANCE:CUSDT", [], state="empty")) == "EMPTY"
    unknown = klines("BINANCE:DUSDT", [], state="unknown_symbol", code="UNKNOWN_SYMBOL")
    assert status(warehouse, unknown) == "EMPTY"
    failed = klines("BINANCE:FUSDT", [], state="failed", code="SERVER_ERROR", error="503 five times")
    assert status(warehouse, failed) == "FAILED"
    assert status(warehouse, klines("BINANCE:GUSDT", [[0] * 8])) == "REJECTED"
    assert dict(warehouse.rows("select symbol, status from ops.symbol_registry")) == {
        "BINANCE:ETHUSDT": "STALE",
        "BINANCE:AUSDT": "DEGRADED",
        "BINANCE:BUSDT": "DEGRADED",
        **dict.fromkeys(("BINANCE:CUSDT", "BINANCE:DUSDT", "BINANCE:FUSDT", "BINANCE:GUSDT"), "MISSING"),
    }
    errors = dict(warehouse.rows("select status, error from raw.loads where status in ('FAILED', 'NO_PROGRESS')"))
    assert errors["FAILED"] == "SERVER_ERROR: 503 five times"
    assert "2024-03-27" in errors["NO_PROGRESS"] and "2024-03-28" in errors["NO_PROGRESS"]


def test_zero_new_bars_of_a_stale_symbol_are_no_success(warehouse: Any) -> None:
    """F-6: on 2026-01-28 the last bar of ETHUSDT is of 2026-01-16 and nothing new arrives."""
    last = datetime(2026, 1, 16, tzinfo=UTC)
    first = klines(
        "BINANCE:ETHUSDT", closes(steady(3_000.0), last=last), received_at=datetime(2026, 1, 17, 0, 10, tzinfo=UTC)
    )
    assert status(warehouse, first, expected_session="2026-01-16") == "OK"
    again = klines(
        "BINANCE:ETHUSDT", closes(steady(3_000.0), last=last), received_at=datetime(2026, 1, 28, 0, 10, tzinfo=UTC)
    )
    assert status(warehouse, again, expected_session="2026-01-27") == "NO_PROGRESS"
    assert warehouse.rows(
        "select status, consecutive_failures, last_final_session::varchar from ops.symbol_registry"
    ) == [("STALE", 1, "2026-01-16")]


def test_bytes_that_cannot_be_read_are_a_failed_load_whose_payload_is_kept(warehouse: Any) -> None:
    torn = klines("BINANCE:AUSDT", [])
    torn = Answer(**{**torn.__dict__, "payload": b'{"pages":[{"asked":{},"bo'})
    (outcome,) = land(warehouse, torn)
    assert (outcome.status, outcome.rows_received) == ("FAILED", 0)
    assert outcome.error is not None and outcome.error.startswith("BODY_PARSE")
    landing = Landing(warehouse.home.landing)
    (load,) = landing.all_loads()
    assert landing.payload(load) == torn.payload


def test_attempts_counters_and_errors_of_an_answer_are_kept_in_the_landing(warehouse: Any) -> None:
    attempt = Attempt(RECEIVED, 1.5, 503, "SERVER_ERROR", "try again")
    base = klines("BINANCE:AUSDT", [], state="failed", code="SERVER_ERROR", error="503")
    land(warehouse, Answer(**{**base.__dict__, "attempts": (attempt,), "counters": {"ws_foreign_packets": 3}}))
    (load,) = Landing(warehouse.home.landing).all_loads()
    assert (load.payload, load.state, load.code, load.counters) == (
        None,
        "failed",
        "SERVER_ERROR",
        {"ws_foreign_packets": 3},
    )
    assert load.attempts[0]["status"] == 503


def test_a_scan_stores_its_rows_under_its_scanner_and_registers_new_symbols(warehouse: Any) -> None:
    context = {"scanner_id": "trend", "config_hash": "c" * 64, "resolved": '{"scanner_id":"trend"}'}
    rows = {f"BINANCE:S{n:02}USDT": {"close": 1.0 + n, "name": f"S{n:02}"} for n in range(30)}
    (outcome,) = land(warehouse, scan(rows), **context)
    assert (outcome.status, outcome.rows_new) == ("OK", 30)
    assert warehouse.rows("select distinct scanner_id, config_hash from raw.scan_rows") == [("trend", "c" * 64)]
    assert warehouse.rows("select scanner_id, resolved from raw.scanner_configs") == [
        ("trend", '{"scanner_id":"trend"}')
    ]
    assert warehouse.rows("select status, count(*) from ops.symbol_registry group by 1") == [("REGISTERED", 30)]
    payload = json.loads(warehouse.rows("select payload from raw.scan_rows order by row_number limit 1")[0][0])
    assert payload == {"close": 1.0, "name": "S00"}
    assert [one.status for one in land(warehouse, scan(rows), **context)] == ["DUPLICATE"]
    assert [one.status for one in land(warehouse, scan({}), **context)] == ["OK_EMPTY"]


@pytest.mark.parametrize(("bad", "expected"), [(1, "OK"), (2, "REJECTED")])
def test_a_scan_with_more_than_five_percent_bad_rows_is_rejected_whole(warehouse: Any, bad: int, expected: str) -> None:
    rows: dict[str, dict[str, Any]] = {f"BINANCE:S{n:02}USDT": {"close": 1.0} for n in range(20 - bad)}
    rows |= {f"bad symbol {n}": {"close": 1.0} for n in range(bad)}
    (outcome,) = land(warehouse, scan(rows))
    assert outcome.status == expected
    assert warehouse.rows("select count(*) from raw.scan_rows") == [(0 if expected == "REJECTED" else 19,)]
    assert outcome.rows_quarantined == (20 if expected == "REJECTED" else 1)


def test_an_unknown_field_is_a_broken_contract_and_a_silent_server_is_not(warehouse: Any) -> None:
    drift = scan({}, state="failed", code="SCHEMA_DRIFT", error="unknown field ADXX", payload=None)
    silent = scan({}, state="failed", code="TIMEOUT", error="no answer", payload=None)
    assert [one.status for one in land(warehouse, drift)] == ["REJECTED"]
    assert [one.status for one in land(warehouse, silent)] == ["FAILED"]


def test_descriptions_are_stored_when_they_change_and_observations_always(warehouse: Any) -> None:
    described = {"BINANCE:BTCUSDT": {"name": "BTCUSDT", "pricescale": 100}}
    changed = {"BINANCE:BTCUSDT": {"name": "BTCUSDT", "pricescale": 1000}}
    later, latest = RECEIVED + timedelta(days=1), RECEIVED + timedelta(days=2)
    for kind in ("symbol_metadata", "vendor_features"):
        land(warehouse, lookup(kind, described))  # type: ignore[arg-type]
        land(warehouse, lookup(kind, described, received_at=later))  # type: ignore[arg-type]
        land(warehouse, lookup(kind, changed, received_at=latest))  # type: ignore[arg-type]
    assert warehouse.rows("select count(*) from raw.symbol_metadata") == [(2,)]
    assert warehouse.rows("select count(*) from raw.vendor_features") == [(3,)]
    assert warehouse.rows("select status from raw.loads where kind = 'symbol_metadata' order by load_id") == [
        ("OK",),
        ("UP_TO_DATE",),
        ("OK",),
    ]


def everything() -> list[Answer]:
    """Answers of every kind, some of them bad."""
    rows = closes(steady(100.0))
    bad = closes(steady(9.0))
    bad[3][4] = "nan"
    return [
        klines("BINANCE:ETHUSDT", rows),
        klines("BINANCE:ETHUSDT", rows[-51:], count=51, received_at=RECEIVED + timedelta(hours=1)),
        klines("BINANCE:ADAUSDT", closes([*steady(0.3), 526.06])),
        klines("BINANCE:AUSDT", bad),
        klines("BINANCE:BUSDT", [], state="failed", code="TIMEOUT", error="no answer"),
        scan({f"BINANCE:S{n}USDT": {"close": 1.0} for n in range(5)}),
        lookup("symbol_metadata", {"BINANCE:ETHUSDT": {"name": "ETHUSDT"}}),
        lookup("vendor_features", {"BINANCE:ETHUSDT": {"RSI": 55.5}, "bad": {"RSI": 1.0}}),
    ]


def test_a_rebuild_equals_the_workbench_row_for_row_journals_included(warehouse: Any) -> None:
    land(warehouse, *everything())
    with warehouse.session() as session:
        session.record("ops.feature_coverage", {
            "command_id": session.name_command("x"), "observed_at_utc": "2024-03-28", "symbol_count": 2,
            "covered_count": 1, "coverage": 0.5, "attempts": "[]", "failed_symbols": "[]",
        })  # fmt: skip
        session.connection.execute(
            "update ops.symbol_registry set genesis_utc = '2020-01-01' where symbol like '%ETH%'"
        )
        session.keep_journal(["BINANCE:ETHUSDT"])
    before = warehouse.raw_tables()
    assert len(before["raw.loads"]) == 8 and before["ops.feature_coverage"]
    rebuild(warehouse.home, say=warehouse.said.append)
    assert warehouse.raw_tables() == before


def test_history_is_never_touched_by_what_lands_later(warehouse: Any) -> None:
    land(warehouse, *everything())
    tables = [name for name in warehouse.raw_tables() if name.startswith("raw.")]
    hashed = "select count(*), bit_xor(hash(t)) from {table} as t where load_id <= '{last}'"
    last = warehouse.rows("select max(load_id) from raw.loads")[0][0]
    keyed = [name for name in tables if name != "raw.scanner_configs"]
    before = {name: warehouse.rows(hashed.format(table=name, last=last)) for name in keyed}
    later = RECEIVED + timedelta(days=2)
    land(
        warehouse,
        klines("BINANCE:ETHUSDT", closes(steady(100.0, 61, 0.0011)), received_at=later),
        expected_session=None,
    )
    land(warehouse, klines("BINANCE:ADAUSDT", closes(steady(0.3)), received_at=later), is_forced=True)
    assert {name: warehouse.rows(hashed.format(table=name, last=last)) for name in keyed} == before


def test_a_crash_between_the_landing_and_the_commit_is_replayed(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest.storing, "_insert_loads", crash)
        with pytest.raises(KeyboardInterrupt):
            land(warehouse, *everything())
    assert warehouse.rows("select count(*) from raw.loads") == [(0,)]
    assert warehouse.rows("select count(*) from raw.bars") == [(0,)]
    with warehouse.session():
        pass
    assert warehouse.rows("select count(*) from raw.loads") == [(8,)]
    assert any(line.startswith("replayed load") for line in warehouse.said)


def test_a_batch_whose_commit_fails_is_stored_load_by_load_and_once(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = {"left": 1}
    store = ingest.storing._store_wave

    def failing(connection: Any, landing: Any, wave: Any, *rest: Any, **named: Any) -> Any:
        if len(wave) > 1 and fails["left"]:
            fails["left"] -= 1
            raise duckdb.FatalException("no space left on device")
        return store(connection, landing, wave, *rest, **named)

    monkeypatch.setattr(ingest.storing, "_store_wave", failing)
    outcomes = land(warehouse, *everything())
    assert fails["left"] == 0 and len(outcomes) == 8
    assert warehouse.rows("select count(*), count(distinct load_id) from raw.loads") == [(8, 8)]


def test_a_damaged_archive_is_refused_by_name(warehouse: Any) -> None:
    land(warehouse, *everything())
    (archive,) = (warehouse.home.landing / "batches").iterdir()
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 0xFF
    archive.chmod(0o644)
    archive.write_bytes(data)
    with pytest.raises(WarehouseError, match=archive.name):
        rebuild(warehouse.home, say=warehouse.said.append)


def test_the_same_answers_at_the_same_clock_get_the_same_ids_whatever_their_order(tmp_path: Path) -> None:
    ids = []
    for n, order in enumerate((1, -1)):
        one = Warehouse(Home(root=REPOSITORY, state=tmp_path / str(n)))
        land(one, *everything()[::order])
        ids.append(one.rows("select load_id, kind, status from raw.loads order by 1"))
    assert ids[0] == ids[1]


VALUE = st.sampled_from(["1", "2.5", "-3", "0", "nan", "inf", "ten", "", "1e400", "7", "1577"])
STAMP = st.sampled_from([1711324800000, 1711411200000, 1711497600000, 1711584000000, 1711324800, 5, "x", None, 9e17])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(STAMP, VALUE, VALUE, VALUE, VALUE, VALUE), max_size=6), min_size=1, max_size=4))
def test_every_received_row_is_new_identical_superseding_or_quarantined(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[list[tuple[Any, ...]]]
) -> None:
    warehouse = Warehouse(Home(root=REPOSITORY, state=tmp_path_factory.mktemp("fuzz")))
    answers = [klines(f"BINANCE:S{n % 2}USDT", [list(row) for row in rows], count=n) for n, rows in enumerate(payloads)]
    outcomes = land(warehouse, *answers)
    assert len(outcomes) == len(answers)
    assert sum(outcome.rows_received for outcome in outcomes) == sum(map(len, payloads))
    for outcome in outcomes:
        assert outcome.rows_received == (
            outcome.rows_new + outcome.rows_identical + outcome.rows_superseding + outcome.rows_quarantined
        )
    stored = warehouse.rows("select count(*) from raw.bars")[0][0]
    assert stored == sum(outcome.rows_new + outcome.rows_superseding for outcome in outcomes)
    kept = warehouse.rows("select count(*) from raw.quarantine")[0][0]
    assert kept == sum(outcome.rows_quarantined for outcome in outcomes)
