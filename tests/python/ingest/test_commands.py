"""The data cycle from the command line against the simulated venue: no network code is replaced."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from quantmill.manifest.acquisition import load_acquisition
from quantmill.manifest.home import writer_lock

from ingest import cli
from ingest.operations import Cycle
from ingest.rebuild import rebuild
from ingest.scope import earlier_symbols, scope_symbols
from ingest.stopping import Stop
from tests.market.faults import CONTAMINATED
from tests.market.market import Market
from tests.market.venue import LogEntry, Venue

PROFILE = ("--profile", "simulated_crypto")
SYMBOLS = sorted(
    {*CONTAMINATED, "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:BCHUSDT", "BINANCE:BTCUSDT.P", "BINANCE:ETHUSDT.P",
     "BINANCE:SOLUSDT", "BINANCE:ZENUSDT", "BINANCE:XRPUSDT", "BINANCE:SOLUSDT.P", "BINANCE:BNBUSDT.P",
     "BINANCE:BNBUSD.P"}
)  # fmt: skip
BEFORE, AFTER, NEXT = "2026-01-01T00:10:00Z", "2026-01-02T00:10:00Z", "2026-01-03T00:10:00Z"


@pytest.fixture(scope="module")
def open_venue() -> Iterator[Venue]:
    with Venue(Market(symbols=SYMBOLS), port=0) as venue:
        yield venue


@pytest.fixture
def venue(open_venue: Venue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Venue]:
    open_venue.heal()
    open_venue.requests_log.clear()
    for name, address in open_venue.addresses().items():
        monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", address)
    yield open_venue
    open_venue.heal()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(warehouse: Any, repository: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    monkeypatch.setenv("QUANTMILL_HOME", str(warehouse.home.state))
    monkeypatch.chdir(repository)
    # pauses between attempts, which the venue does not need
    monkeypatch.setattr(Stop, "rest", lambda self, seconds: None)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def count(warehouse: Any, table: str) -> int:
    return int(warehouse.rows(f"select count(*) from {table}")[0][0])


def test_the_cycle_runs_from_empty_and_a_second_one_adds_nothing(venue: Venue, run: Run, warehouse: Any) -> None:
    code, out, err = run("flow", *PROFILE, "--as-of", AFTER)
    assert (code, err) == (0, ""), out
    assert "no metadata" not in out
    new = count(warehouse, "raw.bars")
    assert re.search(
        r"^flow took \d+ s: [\d,]+ new rows, [\d,]+ series need not be asked for \(\d+%\); next: (.*)$", out, re.M
    )
    assert out.splitlines()[-1].endswith(f"next: make build PROFILE=simulated_crypto AS_OF={AFTER}") and new
    filled = {
        name: count(warehouse, f"raw.{name}")
        for name in ("scan_rows", "scanner_configs", "symbol_metadata", "execution_limits", "bars", "vendor_features")
    }
    assert all(filled.values()), filled
    assert dict(warehouse.rows("select status, count(*) from ops.symbol_registry where last_final_session is not null "
                               "group by 1")).keys() == {"STABLE"}  # fmt: skip
    assert [name for (name,) in warehouse.rows("select command from ops.commands order by finished_at_utc, rowid")] == [
        "scan", "metadata", "bars", "repair", "features"
    ]  # fmt: skip
    assert warehouse.rows("select coverage, failed_symbols from ops.feature_coverage") == [(1.0, "[]")]
    venue.requests_log.clear()
    snapshots = warehouse.rows("select * from ops.snapshots order by all")
    code, out, err = run("flow", *PROFILE, "--as-of", AFTER)
    assert (code, err) == (0, "")
    assert {name: count(warehouse, f"raw.{name}") for name in filled} == filled
    assert warehouse.rows("select * from ops.snapshots order by all") == snapshots
    assert venue.requests(source="binance", path="/api/v3/klines") == []
    assert "saved (100%" in out
    # who asked and what the transport counted stand beside every load
    counted = "select count(*) from raw.loads where kind = 'scan' and config_hash in (select config_hash from "
    counted += "raw.scanner_configs) and (counters ->> 'total_count')::bigint >= rows_received"
    assert warehouse.rows(counted) == warehouse.rows("select count(*) from raw.loads where kind = 'scan'")
    before = warehouse.raw_tables()
    rebuild(warehouse.home, say=warehouse.said.append)
    assert warehouse.raw_tables() == before


def test_the_incident_rejects_twenty_two_loads_and_a_repair_heals_them(venue: Venue, run: Run, warehouse: Any) -> None:
    """F-1, F-2 and F-5 over the wire."""
    assert run("bars", *PROFILE, "--symbol", ",".join(SYMBOLS), "--as-of", BEFORE)[0] == 0
    venue.fault("contamination", day="2026-01-01")
    scope = ("--symbol", ",".join(SYMBOLS))
    code, out, _ = run("bars", *PROFILE, *scope, "--as-of", AFTER)
    assert code == 0
    told = f"no description and no scan says what {len(SYMBOLS)} symbols are, so their bars belong to no session"
    assert told in out, "only bars were asked for"
    assert warehouse.rows("select status, count(*) from raw.loads where rows_received < 100 group by 1 order by 1") == [
        ("OK", len(SYMBOLS) - 22),
        ("REJECTED", 22),
    ]
    toxic = warehouse.rows("select symbol from ops.symbol_registry where status = 'TOXIC' order by 1")
    assert [symbol for (symbol,) in toxic] == sorted(CONTAMINATED)
    ((donor,),) = warehouse.rows(
        "select donor_symbol from raw.findings where symbol = 'BINANCE:ADAUSDT' and code = 'CROSS_LEVEL'"
    )
    assert donor == "BINANCE:BCHUSDT"
    assert "BINANCE:ADAUSDT: TOXIC" in out
    assert f"to try again: make data-repair PROFILE=simulated_crypto AS_OF={AFTER} FORCE=1" in out, "TOXIC waits for it"
    venue.heal()
    venue.requests_log.clear()
    assert run("bars", *PROFILE, *scope, "--as-of", AFTER)[0] == 0
    assert venue.requests(source="binance") == [], "a toxic symbol is skipped unless forced"
    code, out, err = run("repair", *PROFILE, *scope, "--as-of", AFTER)
    assert (code, err) == (0, ""), out
    assert warehouse.rows("select distinct status from ops.symbol_registry") == [("STABLE",)]
    assert warehouse.rows(
        "select count(*) from (select close / lag(close) over (partition by symbol order by opened_at_utc) - 1 as r "
        "from raw.bars where is_final) where abs(r) > 5"
    ) == [(0,)]
    assert run("audit", *PROFILE, *scope, "--as-of", AFTER, "--strict")[0] == 0


def test_a_strict_audit_of_stale_symbols_ends_with_four_and_opens_no_connection(
    venue: Venue, run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-7 and F-21: nine stale or missing symbols."""
    scope = ("--symbol", ",".join(sorted(CONTAMINATED)[:20]))
    venue.fault("stale", symbols=sorted(CONTAMINATED)[:9], last="2025-12-20")
    assert run("bars", *PROFILE, *scope, "--as-of", AFTER)[0] == 0

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    code, out, err = run("audit", *PROFILE, *scope, "--as-of", AFTER, "--strict")
    assert (code, err.startswith("HealthGateError: audit: ")) == (4, True)
    assert "make data-repair PROFILE=simulated_crypto" in err
    assert out.count(": STALE") == 9
    assert "  STALE                    9 symbols, last sessions 2025-12-20 to 2025-12-20\n" in out
    assert run("audit", *PROFILE, *scope, "--as-of", AFTER)[0] == 0


def test_contracts_of_bnb_thirteen_and_four_days_old_stop_a_strict_run_whatever_the_environment_says(
    venue: Venue, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-7 with its symbols and its day."""
    old = {"BINANCE:BNBUSD.P": "2025-12-30", "BINANCE:BNBUSDT.P": "2026-01-08"}
    for symbol, last in old.items():
        venue.fault("stale", symbols=[symbol], last=last)
    scope = ("--symbol", ",".join([*old, "BINANCE:BTCUSDT", "BINANCE:ETHUSDT"]), "--as-of", "2026-01-12T00:10:00Z")
    assert run("bars", *PROFILE, *scope)[0] == 0
    strict = ("audit", "--profile", "crypto_production", *scope)
    code, out, err = run(*strict)
    assert (code, err.startswith("HealthGateError: audit: ")) == (4, True)
    for symbol, last in old.items():
        assert f"{symbol}: STALE" in out and f"last {last}, expected 2026-01-11" in out
    assert "BINANCE:BTCUSDT: " not in out and "BINANCE:ETHUSDT: " not in out
    for variable, value in (("QUANTMILL_SET_QUALITY__GATE", "report"), ("QUANTMILL_SET_QUALITY", "{gate: raw_pool}")):
        monkeypatch.setenv(variable, value)
        code, _, err = run(*strict)
        assert (code, "the profile locks it" in err) == (2, True)
        monkeypatch.delenv(variable)
    for variable in ("STRICT_HEALTH", "QUANTMILL_STRICT", "QUANTMILL_STRICT_HEALTH", "STRICT"):
        monkeypatch.setenv(variable, "0")
    assert run(*strict)[0] == 4


def test_an_anchor_that_is_not_ok_stops_even_a_lenient_profile(venue: Venue, run: Run) -> None:
    venue.fault("stale", symbols=["BINANCE:BTCUSDT"], last="2025-12-20")
    scope = ("--symbol", "BINANCE:BTCUSDT,BINANCE:ETHUSDT")
    assert run("bars", *PROFILE, *scope, "--as-of", AFTER)[0] == 4
    assert run("audit", *PROFILE, *scope, "--as-of", AFTER)[0] == 4


def test_a_stale_source_is_named_then_healed_by_the_other(venue: Venue, run: Run, warehouse: Any) -> None:
    scope = ("--symbol", "BINANCE:ZENUSDT,BINANCE:SOLUSDT")
    assert run("bars", *PROFILE, *scope, "--as-of", BEFORE)[0] == 0
    venue.fault("no_new_bars", symbols=["BINANCE:ZENUSDT"], sources=["binance"])
    code, out, _ = run("bars", *PROFILE, *scope, "--as-of", AFTER)
    assert "NO_PROGRESS 1" in out
    code, out, err = run("recover", *PROFILE, *scope, "--as-of", AFTER)
    assert (code, err) == (0, ""), out
    assert warehouse.rows("select distinct source from raw.bars where symbol = 'BINANCE:ZENUSDT' order by 1") == [
        ("binance",),
        ("tradingview",),
    ]
    said = run("recover", *PROFILE, *scope, "--as-of", AFTER)[1].splitlines()
    assert said[:2] == ["recover: nothing to do", "the last cycle left no failure behind"]
    assert said[2].startswith("recover took 0 s: 0 new rows, 0 series need not be asked for; next: make build")


def test_a_replay_scans_every_day_and_only_with_a_request_clock(venue: Venue, run: Run, warehouse: Any) -> None:
    code, _, err = run("scan", *PROFILE, "--from", "2025-12-01", "--to", "2025-12-03", "--as-of", AFTER)
    assert (code, err) == (0, "")
    assert warehouse.rows("select distinct scanned_at_utc::varchar from raw.scan_rows order by 1") == [
        ("2025-12-01 00:10:00",), ("2025-12-02 00:10:00",), ("2025-12-03 00:10:00",)
    ]  # fmt: skip
    code, _, err = run("scan", "--profile", "crypto_rating_all", "--from", "2025-12-01")
    assert (code, "request clock" in err) == (2, True)
    code, _, err = run("bars", "--profile", "crypto_rating_all", "--as-of", "2025-12-01T00:00:00Z")
    assert (code, "answer for now" in err) == (2, True)


def test_who_passed_an_earlier_scan_is_followed_so_that_past_pools_are_no_survivors(
    run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("BTC", "ETH", "SOL", "XRP", "ADA", "LTC", "UNI", "BNB", "DOGE", "LINK", "C98")
    symbols = [f"BINANCE:{name}USDT" for name in names]
    with Venue(Market(symbols=symbols), port=0) as venue:
        for name, address in venue.addresses().items():
            monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", address)
        assert run("scan", *PROFILE, "--as-of", "2025-11-15T00:10:00Z")[0] == 0
        assert run("scan", *PROFILE, "--as-of", "2026-01-29T00:10:00Z")[0] == 0
        found = "select distinct scanned_at_utc::date::varchar from raw.scan_rows where symbol = 'BINANCE:C98USDT'"
        assert warehouse.rows(found) == [("2025-11-15",)]
        code, out, err = run("bars", *PROFILE, "--strict", "--as-of", "2026-01-29T00:10:00Z")
        assert (code, err) == (0, ""), out
        newest = "select max(opened_at_utc)::date::varchar from raw.bars where symbol = 'BINANCE:C98USDT' and is_final"
        assert warehouse.rows(newest) == [("2026-01-28",)]
        # today's candidates are the strict ones: who is none of them is named and stops nothing
        venue.fault("stale", symbols=["BINANCE:C98USDT"], last="2026-01-28")
        code, out, err = run("bars", *PROFILE, "--strict", "--as-of", "2026-01-31T00:10:00Z")
        assert (code, err) == (0, ""), out
        assert "1 candidates of earlier scans are not OK: BINANCE:C98USDT STALE" in out


def test_whoever_was_a_candidate_before_is_fetched_too_from_archives_where_the_listing_is_gone(
    run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EOSUSDT ended on 2025-05-26: half a year later no live source knows it."""
    ended, alive = "BINANCE:EOSUSDT", ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:SOLUSDT"]
    with Venue(Market(symbols=[ended, *alive]), port=0) as venue:
        for name, address in venue.addresses().items():
            monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", address)
        code, _, err = run("scan", *PROFILE, "--from", "2025-05-19", "--to", "2025-05-20", "--as-of", AFTER)
        assert (code, err) == (0, "")
        described = "select min(received_at_utc)::date::varchar from raw.symbol_metadata where symbol = ?"
        assert warehouse.rows(described, ended) == [("2025-05-19",)], "it is described while a source knows it"
        code, out, err = run("flow", *PROFILE, "--as-of", AFTER)
        assert (code, err) == (0, ""), out
        assert "1 that were candidates before" in out
        normal = out.partition("pass normal: ")[0]
        assert "normal: binance_bulk: asking for 1" in normal, (
            "exchangeInfo does not list it: nobody live is asked first"
        )
        fetched = "select source, max(opened_at_utc)::date::varchar from raw.bars where symbol = ? group by 1"
        assert warehouse.rows(fetched, ended) == [("binance_bulk", "2025-05-26")]
        assert ended not in out.partition("repair: ")[2], "whoever has left is no failure of today's cycle"
        code, out, _ = run("flow", *PROFILE, "--as-of", AFTER)
        assert "pass normal: 0 requests" in out


def test_the_newest_scan_is_the_latest_and_not_the_one_that_landed_last(venue: Venue, run: Run, warehouse: Any) -> None:
    assert run("scan", *PROFILE, "--as-of", AFTER)[0] == 0
    planned = json.loads(run("bars", *PROFILE, "--as-of", AFTER, "--dry-run", "--json")[1])["asked"]
    assert run("scan", *PROFILE, "--from", "2025-11-30", "--to", "2025-12-01", "--as-of", AFTER)[0] == 0
    with warehouse.session() as session:
        acquisition = load_acquisition(warehouse.home.manifest, "simulated_crypto", overrides={}, environment={})
        current = scope_symbols(session.connection, acquisition)
        as_of = datetime.fromisoformat(AFTER)
        earlier = earlier_symbols(session.connection, acquisition, as_of, current)
        assert {one["subject"] for one in planned} == set(current)
        assert not set(earlier) & set(current)
        long_ago = replace(acquisition, lookback_sessions=10)
        assert earlier_symbols(session.connection, long_ago, as_of, current) == []


@pytest.mark.parametrize(
    ("fault", "scope", "status", "code"),
    [
        ("html", {"skip": 1, "count": 1}, "FAILED", 5),
        ("lost_rows", {"rows": 5}, "PARTIAL", 3),
        ("unknown_column", {"skip": 1, "count": 1}, "REJECTED", 3),
    ],
)
def test_a_strict_scan_of_which_some_fail_names_them_and_ends_with_their_code(
    venue: Venue, run: Run, warehouse: Any, fault: str, scope: dict[str, int], status: str, code: int
) -> None:
    venue.fault(fault, sources="tradingview_scanner", **scope)
    found, out, err = run("scan", *PROFILE, "--strict", "--as-of", AFTER)
    statuses = dict(warehouse.rows("select status, count(*) from raw.loads group by 1"))
    assert statuses.keys() == ({"OK", status} if "count" in scope else {status})
    assert (found, f": {status}: " in err) == (code, True), (out, err)
    venue.heal()
    venue.fault(fault, sources="tradingview_scanner", **scope)
    assert run("scan", *PROFILE, "--as-of", NEXT)[0] == (3 if status == "REJECTED" else 0)


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the digest and the time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_dry_run_prints_the_requests_that_the_command_makes_then(venue: Venue, run: Run, warehouse: Any) -> None:
    scope = (*PROFILE, "--symbol", "BINANCE:BTCUSDT,BINANCE:BTCUSDT.P", "--as-of", AFTER)
    code, out, err = run("bars", *scope, "--dry-run", "--json")
    assert (code, err) == (0, "")
    planned = json.loads(out)["asked"]
    assert [(one["subject"], one["interface"], one["reason"]) for one in planned] == [
        ("BINANCE:BTCUSDT", "binance_spot", "FIRST"),
        ("BINANCE:BTCUSDT.P", "binance_usdm", "FIRST"),
    ]
    assert (venue.requests_log, contents(warehouse.home.state)) == ([], {})
    assert run("bars", *scope)[0] == 0
    asked = [entry for entry in venue.requests(source="binance") if "klines" in entry.path]
    assert len(asked) == sum(one["requests"] for one in planned)
    with duckdb.connect(str(warehouse.home.workbench)) as workbench:
        workbench.execute(
            "update ops.symbol_registry set lock_owner = ?, lock_until_utc = '2100-01-01'",
            [f"killed process 999999999 on {socket.gethostname()}"],
        )
    again = json.loads(run("bars", *scope, "--dry-run", "--json")[1])
    assert (again["asked"], again["saved"]) == ([], {"UP_TO_DATE": 2}), "JSON, though a lock would be taken over"
    code, out, _ = run("scan", *PROFILE, "--as-of", AFTER, "--dry-run", "--json")
    bodies = [one["body"] for one in json.loads(out)["asked"]]
    venue.requests_log.clear()
    assert run("scan", *PROFILE, "--as-of", AFTER)[0] == 0
    sent = {entry.body_digest for entry in venue.requests(source="tradingview_scanner")}
    texts = [json.dumps(body, ensure_ascii=False, separators=(",", ":")) for body in bodies]
    assert {hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts} <= sent
    code, out, _ = run("flow", *PROFILE, "--as-of", AFTER, "--dry-run")
    assert (code, "POST /crypto/scan" in out, "whom the scan finds" in out) == (0, True, True)
    assert run("scan", *PROFILE, "--json")[0] == 2
    for arguments, said in ((("scan",), "a scan needs a profile"), (("features",), "need a profile that names them")):
        code, _, err = run(*arguments, "--symbol", "BINANCE:BTCUSDT", "--dry-run")
        assert (code, said in err) == (2, True), "it fails as the command would"


def test_a_dry_run_changes_no_byte_of_the_home_and_replays_nothing(venue: Venue, run: Run, warehouse: Any) -> None:
    scope = (*PROFILE, "--symbol", "BINANCE:BTCUSDT,BINANCE:ETHUSDT", "--as-of", AFTER)
    assert run("bars", *PROFILE, "--symbol", "BINANCE:BTCUSDT", "--as-of", BEFORE)[0] == 0
    # a load that reached the landing and not the workbench, as after a kill
    older = warehouse.home.workbench.read_bytes()
    assert run("bars", *PROFILE, "--symbol", "BINANCE:ETHUSDT", "--as-of", BEFORE)[0] == 0
    warehouse.home.workbench.write_bytes(older)
    before = contents(warehouse.home.state)
    for command in ("scan", "metadata", "bars", "features", "repair", "recover", "audit", "flow"):
        arguments = (*PROFILE, "--as-of", AFTER) if command == "scan" else scope
        code, out, err = run(command, *arguments, "--dry-run")
        assert (code, err) == (0, ""), command
        assert "1 landed loads wait to be replayed" in out
        assert "nobody was asked, nothing was written" in out
    assert contents(warehouse.home.state) == before
    with writer_lock(warehouse.home, holder="another"):
        assert run("bars", *scope, "--dry-run")[0] == 0, "it waits for nobody"


def test_a_network_that_is_down_ends_with_five_and_every_request_is_a_load(
    run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch, venue: Venue
) -> None:
    for name in venue.addresses():
        scheme = "ws" if name == "tradingview_socket" else "http"
        monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", f"{scheme}://127.0.0.1:9")
    code, _, err = run("bars", *PROFILE, "--symbol", "BINANCE:BTCUSDT,BINANCE:ETHUSDT", "--as-of", AFTER)
    assert (code, err.startswith("NetworkError: bars: ")) == (5, True)
    assert "open the simulated venue: 'python -m tests.market exec" in err
    assert warehouse.rows("select status, count(*) from raw.loads group by 1") == [("FAILED", 2)]


def test_a_source_that_is_not_asked_any_more_is_asked_for_features_once(venue: Venue, run: Run, warehouse: Any) -> None:
    venue.fault("html", sources="tradingview_scanner", skip=6)
    code, out, _ = run("flow", *PROFILE, "--symbol", "BINANCE:BTCUSDT", "--as-of", AFTER)
    assert (code, "features, attempt 2" in out) == (5, False)
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert len(lines) == len(set(lines)), "the steps of a cycle do not repeat one another's failures"
    assert "more as said above" in out


def test_features_are_asked_for_again_where_they_failed_and_a_waiver_is_recorded(
    venue: Venue, run: Run, warehouse: Any
) -> None:
    scope = ("--symbol", "BINANCE:BTCUSDT,BINANCE:NOSUCHUSDT", "--strict")
    code, _, err = run("features", *PROFILE, *scope, "--as-of", AFTER)
    assert (code, "BINANCE:NOSUCHUSDT" in err) == (4, True)
    ((attempts,),) = warehouse.rows("select attempts from ops.feature_coverage")
    assert [(one["fetched"], one["failed"]) for one in json.loads(attempts)] == [(1, 1), (0, 1), (0, 1)]
    assert run("features", *PROFILE, *scope, "--as-of", NEXT, "--waive", "not listed there")[0] == 0
    assert warehouse.rows("select waiver from ops.feature_coverage where waiver is not null") == [("not listed there",)]


@pytest.mark.parametrize(
    ("arguments", "code", "found"),
    [
        (["bars"], 2, "give --profile or --symbol"),
        (["bars", "--symbol", "btc'; drop table raw.bars --"], 2, "needs EXCHANGE:TICKER"),
        (["bars", "--symbol", "../../etc:PASSWD"], 2, "needs EXCHANGE:TICKER"),
        (["scan", "--profile", "no_such_profile"], 2, "no_such_profile"),
        (["scan", "--symbol", "BINANCE:BTCUSDT"], 2, "a scan needs a profile"),
        (["audit", "--symbol", "BINANCE:BTCUSDT", "--as-of", "yesterday"], 2, "no ISO time"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(run: Run, arguments: list[str], code: int, found: str) -> None:
    got, _, err = run(*arguments)
    assert (got, found in err) == (code, True), err


def limits_asked(venue: Venue) -> int:
    return len(venue.requests(source="binance", path="/api/v3/exchangeInfo"))


def test_metadata_below_coverage_are_asked_for_once_more_and_then_a_strict_command_fails(
    venue: Venue, run: Run, warehouse: Any
) -> None:
    scope = ("--symbol", ",".join(symbol for symbol in SYMBOLS if not symbol.endswith(".P")), "--strict")
    venue.fault("blocked", sources=["binance"])
    code, out, _ = run("metadata", *PROFILE, *scope, "--as-of", AFTER)
    assert code == 4, out
    assert "tick, lot and precision of" in out and "are defaults" in out
    assert warehouse.rows("select count(*) from raw.loads where kind = 'execution_limits'") == [(4,)]
    assert run("metadata", *PROFILE, "--symbol", "BINANCE:BTCUSDT", "--as-of", AFTER)[0] == 0, "lenient takes defaults"
    venue.heal()
    venue.requests_log.clear()
    assert run("metadata", *PROFILE, *scope, "--as-of", NEXT)[0] == 0
    assert limits_asked(venue) == 1
    venue.requests_log.clear()
    code, out, _ = run(
        "metadata", *PROFILE, "--symbol", "BINANCE:BTCUSDT,BINANCE:NOSUCHUSDT", "--strict", "--as-of", NEXT
    )
    assert (code, "1 of 2 active symbols are defaults: BINANCE:NOSUCHUSDT" in out) == (4, True), out


@contextmanager
def interrupted(
    venue: Venue, which: Callable[[LogEntry], bool], *, after: int, by: signal.Signals = signal.SIGINT
) -> Iterator[None]:
    """Send this process a signal once the venue has met `after` such requests."""

    def watch() -> None:
        while sum(map(which, list(venue.requests_log))) < after:
            time.sleep(0.01)
        os.kill(os.getpid(), by)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    thread.join(1)
    assert not thread.is_alive()


@pytest.mark.parametrize(("by", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_has_arrived_is_landed_when_a_command_is_interrupted_and_the_next_one_asks_for_the_rest(
    venue: Venue, run: Run, warehouse: Any, by: signal.Signals, expected: int
) -> None:
    some = SYMBOLS[:12]
    scope = (*PROFILE, "--symbol", ",".join(some), "--as-of", AFTER)
    # four answers come, nobody waits for the others
    venue.fault("slow", sources="binance", seconds=5.0, symbols=some[4:])
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    began = time.monotonic()
    with interrupted(venue, lambda entry: "slow" in entry.faults, after=5, by=by):
        code, out, _ = run("bars", *scope)
    assert time.monotonic() - began < 5, "the slow ones are not waited for"
    assert (code, "interrupted: 4 answers that had arrived are landed" in out) == (expected, True), out
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert warehouse.rows("select exit_code, counts ->> 'interrupted' from ops.commands") == [(expected, "1")]
    assert warehouse.rows("select request_count, saved_count, skipped ->> 'INTERRUPTED' from ops.sync_runs") == [
        (4, 0, str(len(some) - 4))
    ]
    landed = {name for (name,) in warehouse.rows("select distinct symbol from raw.bars")}
    assert landed == set(some[:4])
    assert count(warehouse, "ops.symbol_registry where lock_owner is not null") == 0
    venue.heal()
    venue.requests_log.clear()
    assert run("bars", *scope)[0] == 0
    asked = {symbol for entry in venue.requests(source="binance") for symbol in entry.symbols}
    assert asked == set(some) - landed
    before = warehouse.raw_tables()
    rebuild(warehouse.home, say=warehouse.said.append)
    assert warehouse.raw_tables() == before


def test_an_interrupted_socket_gives_what_it_has_and_a_flow_takes_no_further_step(
    venue: Venue, run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    funds = [f"AMEX:{name}" for name in ("SPY", "IWM", "DIA", "VTI", "EEM", "GLD")]
    with Venue(Market(symbols=funds), port=0) as other:
        for name, address in other.addresses().items():
            monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", address)
        other.fault("silence", skip=3)
        with interrupted(other, lambda entry: entry.path == "create_series", after=4):
            scope = ("--profile", "simulated_etf", "--symbol", ",".join(funds), "--as-of", AFTER)
            code, out, _ = run("bars", *scope)
        assert (code, "interrupted: 3 answers" in out) == (130, True), out
        assert warehouse.rows("select count(distinct (symbol, adjustment)) from raw.bars") == [(3,)]
        other.heal()
        other.requests_log.clear()
        with interrupted(other, lambda entry: entry.source == "tradingview_scanner", after=1):
            code, out, _ = run("flow", *scope)
        assert (code, "bars: " in out) == (130, False), "no further step is taken"


def test_a_replay_that_was_interrupted_takes_the_days_that_are_left(
    venue: Venue, run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = ("scan", *PROFILE, "--from", "2025-12-01", "--to", "2025-12-04", "--as-of", AFTER)
    with interrupted(venue, lambda entry: entry.path.endswith("/scan"), after=7):
        code, out, _ = run(*replay)
    assert (code, "interrupted" in out) == (130, True)
    scanned = "select count(*), count(distinct (config_hash, finished_at_utc)) from raw.loads where kind = 'scan'"
    ((begun, distinct),) = warehouse.rows(scanned)
    assert 0 < begun == distinct
    asked = json.loads(run(*replay, "--dry-run", "--json")[1])["asked"]
    whole = json.loads(run(*replay, "--dry-run", "--json", "--force")[1])["asked"]
    one_day = json.loads(run("scan", *PROFILE, "--as-of", AFTER, "--dry-run", "--json")[1])["asked"]
    planned = [sum(int(one["reason"].split()[-2]) for one in some) for some in (asked, whole)]
    assert [one["requests"] for one in whole] == [4 * one["requests"] for one in one_day]
    venue.requests_log.clear()
    assert run(*replay)[0] == 0
    ((loads, days_of_scanners),) = warehouse.rows(scanned)
    assert begun < loads == days_of_scanners, "no scanner is asked twice for a day"
    assert planned == [loads - begun, loads], "and a dry run had said so, of every day"
    assert run(*replay)[0] == 0
    assert warehouse.rows(scanned) == [(loads, loads)]
    with monkeypatch.context() as patch:
        patch.setattr(Cycle, "scanners_left", lambda self: self.stop.set() or [])
        assert run(*replay)[0] == 130, "also on a day that was scanned already"


def test_a_fund_under_the_wrong_prefix_is_looked_up_and_its_listing_is_fetched(
    run: Run, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OD-9: TLT is written as an AMEX fund and listed on NASDAQ."""
    with Venue(Market(symbols=["AMEX:SPY", "NASDAQ:TLT"]), port=0) as venue:
        for name, address in venue.addresses().items():
            monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", address)
        etf = ("--profile", "simulated_etf", "--as-of", AFTER)
        scope = (*etf, "--symbol", "AMEX:TLT,AMEX:SPY,AMEX:NOSUCH")
        out = run("metadata", *scope)[1]
        assert 'AMEX:TLT is listed as NASDAQ:TLT: add "AMEX:TLT": "NASDAQ:TLT" to manifest/listings.yml' in out
        assert "1 of 3 symbols have no metadata: AMEX:NOSUCH" in out
        assert [entry.query for entry in venue.requests(path="/symbol") if "SPY" in entry.query] == []
        ((payload,),) = warehouse.rows("select payload from raw.symbol_aliases")
        word = json.loads(payload)
        assert (word["symbol"], word["new_symbol"], word["code"]) == ("AMEX:TLT", "NASDAQ:TLT", "ALIAS_LISTING")
        proof = word["detail"].split()[-1]
        assert warehouse.rows("select symbol from raw.symbol_metadata where load_id = ?", proof) == [("AMEX:TLT",)]
        assert run("bars", *etf, "--symbol", "AMEX:TLT")[0] == 0
        assert warehouse.rows("select distinct symbol from raw.bars") == [("NASDAQ:TLT",)]
        assert run("aliases", "--as-of", AFTER)[0] == 0
        assert count(warehouse, "raw.symbol_aliases where symbol = 'AMEX:TLT'") == 1, (
            "the manifest of renamed symbols has no say in it"
        )
        venue.requests_log.clear()
        assert run("metadata", *etf, "--symbol", "AMEX:TLT")[0] == 0
        assert venue.requests(path="/symbol") == []
        before = warehouse.raw_tables()
        rebuild(warehouse.home, say=warehouse.said.append)
        assert warehouse.raw_tables() == before
