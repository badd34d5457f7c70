"""Faults on request: each does what it says, where and as often as asked, and is over after that."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus

from market import ALL_FAULTS, CONTAMINATED, Venue
from market.clients import CLOCK, Listener, bars, get, rows, scan, values
from market.faults import ADA_DONOR, DATA_FAULTS, HTTP_FAULTS, NAMED_MOVES, SCAN_FAULTS, SOCKET_FAULTS, make_fault
from market.market import DAY, epoch_of_day

BTC, ETH, ADA = "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:ADAUSDT"


def day_at(second: float) -> date:
    """Return the UTC day of epoch seconds."""
    return datetime.fromtimestamp(second, UTC).date()


def closes(venue: Venue, symbol: str, *, count: int = 60, clock: str = CLOCK) -> dict[date, float]:
    """Return the closes by day as the stream gives them."""
    return {day_at(row[0]): row[4] for row in bars(venue, symbol, count=count, clock=clock)}


def klines(venue: Venue, name: str, *, limit: int = 60, clock: str = CLOCK) -> list[list[Any]]:
    answer = get(venue, "/api/v3/klines", symbol=name, interval="1d", limit=limit, clock=clock)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_fault_is_over_after_its_count(venue: Venue) -> None:
    venue.fault("too_many_requests", count=2, retry_after=7)
    answers = [scan(venue) for _ in range(3)]
    assert [one.status_code for one in answers] == [429, 429, 200] and answers[0].headers["Retry-After"] == "7"
    assert [entry.faults for entry in venue.requests_log] == [("too_many_requests",), ("too_many_requests",), ()]


def test_a_fault_may_spare_the_first_requests(venue: Venue) -> None:
    venue.fault("server_error", skip=1, count=1, status=503)
    assert [scan(venue).status_code for _ in range(3)] == [200, 503, 200]


def test_a_fault_reaches_its_sources_symbols_and_moments_alone(venue: Venue) -> None:
    venue.fault(
        "server_error", sources="binance", symbols=[BTC], since="2026-01-20T00:00:00Z", until="2026-01-29T00:00:00Z"
    )
    inside, outside = "2026-01-25T00:10:00Z", "2026-01-29T00:10:00Z"

    def status(name: str, clock: str) -> int:
        return get(venue, "/api/v3/klines", symbol=name, interval="1d", limit=1, clock=clock).status_code

    assert status("BTCUSDT", inside) == 500
    assert status("BTCUSDT", outside) == status("ETHUSDT", inside) == 200
    assert scan(venue, clock=inside).status_code == 200 and len(bars(venue, BTC, count=2, clock=inside)) == 2


def test_every_wire_fault_of_http_shows(venue: Venue) -> None:
    expected = {"server_error": 500, "too_many_requests": 429, "blocked": 451, "banned": 418, "html": 200, "slow": 200}
    for name, status in expected.items():
        venue.heal()
        venue.fault(name, count=1, **({"seconds": 0.2} if name == "slow" else {}))
        started = time.monotonic()
        answer = scan(venue)
        assert answer.status_code == status, name
        assert (time.monotonic() - started >= 0.2) or name != "slow"
        assert answer.text.startswith("<!DOCTYPE html>") == (name == "html")
    assert set(HTTP_FAULTS) == {*expected, "drop", "truncated", "cut_json"}


def test_a_dropped_and_a_truncated_answer_break_the_line(venue: Venue) -> None:
    for name in ("drop", "truncated"):
        venue.fault(name, count=1)
        with pytest.raises(requests.exceptions.RequestException):
            scan(venue)
        assert scan(venue).status_code == 200
    venue.fault("cut_json", count=1)
    cut = scan(venue)
    assert len(cut.content) == int(cut.headers["Content-Length"])
    with pytest.raises(ValueError):
        cut.json()


def test_a_column_may_vanish_or_change_its_type(venue: Venue) -> None:
    venue.fault("unknown_column", columns=["Recommend.All"], count=1)
    gone = scan(venue)
    assert gone.status_code == 400 and "Recommend.All" in gone.json()["error"]
    venue.fault("retyped_column", columns=["close"], count=1)
    assert all(isinstance(row[1], str) and isinstance(row[2], float) for row in rows(scan(venue)).values())
    assert scan(venue).json()["totalCount"] > 30


@pytest.mark.parametrize(("share", "bad"), [(0.02, 1), (0.2, 7)])
def test_rows_may_be_malformed(venue: Venue, share: float, bad: int) -> None:
    clean = scan(venue).json()["data"]
    venue.fault("malformed_rows", share=share, count=1)
    spoiled = scan(venue).json()["data"]
    wrong = [one for one, right in zip(spoiled, clean, strict=True) if one != right]
    assert len(wrong) == bad == max(1, round(len(clean) * share))
    assert len(wrong[0]["d"]) != len(clean[0]["d"])


def test_pages_may_overlap_move_shrink_and_lose_rows(venue: Venue) -> None:
    sort = {"sortBy": "Value.Traded", "sortOrder": "desc"}

    def pages() -> list[list[str]]:
        return [list(rows(scan(venue, sort=sort, range=[start, start + 10]))) for start in (0, 10)]

    first, second = pages()
    venue.fault("repeated_rows", rows=3)
    assert pages() == [first, first[-3:] + second]
    venue.heal()
    venue.fault("moved_rows", rows=3)
    assert pages() == [first, first[-3:] + second[:-3]]
    venue.heal()
    venue.fault("short_page", missing=4)
    assert pages() == [first[:-4], second[:-4]]
    venue.heal()
    total = scan(venue).json()["totalCount"]
    venue.fault("lost_rows", rows=5)
    answer = scan(venue).json()
    assert answer["totalCount"] == total + 5 and len(answer["data"]) == total
    venue.heal()
    venue.fault("wrong_venue_rows")
    assert "OKX:BTCUSDT" in rows(scan(venue))
    venue.heal()
    venue.fault("empty_scan")
    assert scan(venue).json() == {"totalCount": 0, "data": None}
    assert len(SCAN_FAULTS) == 9


def test_the_handshake_may_be_refused(venue: Venue) -> None:
    venue.fault("socket_refused", count=1)
    with pytest.raises(InvalidStatus) as refused:
        Listener(venue)
    assert refused.value.response.status_code == 429
    assert len(bars(venue, BTC, count=2)) == 2


def test_the_socket_may_drop_in_the_middle(venue: Venue) -> None:
    venue.fault("socket_drop", symbols=[BTC], count=1, after_bars=250)
    with Listener(venue) as listener:
        found = values(listener.series(BTC, count=500))
        assert listener.is_closed and len(found) == 250
    assert len(bars(venue, BTC, count=500)) == 500


def test_foreign_packets_stand_between_those_asked_for(venue: Venue) -> None:
    """Series, session and turnaround differ; whoever reads by them alone gets the right bars."""
    clean = bars(venue, BTC, count=500)
    venue.fault("foreign_packets", symbols=[BTC], donor=ETH)
    with Listener(venue) as listener:
        messages = listener.series(BTC, count=500)
    updates = [one for one in messages if one.get("m") == "timescale_update"]
    assert len(updates) == 12 and values(messages) == clean
    careless = {bar["v"][0]: bar["v"][4] for one in updates for part in one["p"][1].values() for bar in part["s"]}
    assert sum(careless[row[0]] != row[4] for row in clean if row[0] in careless) > 100
    ways = {(one["p"][0], name, part["t"]) for one in updates for name, part in one["p"][1].items()}
    own = "cs_abcdefghijkl"
    foreign = {(own, "sds_9001", "s1"), ("cs_foreignseries", "sds_1", "s1"), (own, "sds_1", "s9001")}
    assert ways == {(own, "sds_1", "s1"), *foreign}


def test_completion_series_and_symbol_may_fail(venue: Venue) -> None:
    def functions(name: str, **options: Any) -> list[str]:
        venue.heal()
        venue.fault(name, count=1, **options)
        with Listener(venue) as listener:
            listener.send("chart_create_session", "cs_abcdefghijkl", "")
            listener.send("resolve_symbol", "cs_abcdefghijkl", "sds_sym_1", json.dumps({"symbol": BTC}).join(["=", ""]))
            listener.send("create_series", "cs_abcdefghijkl", "sds_1", "s1", "sds_sym_1", "1D", 10, "")
            listener.listen("series_completed", "series_error", "symbol_error", seconds=0.4)
            return [one["m"] for one in listener.received if "m" in one]

    assert functions("no_completion") == ["symbol_resolved", "series_loading", "timescale_update", "du"]
    assert functions("silence") == ["symbol_resolved"]
    assert functions("series_error") == ["symbol_resolved", "series_loading", "series_error"]
    assert functions("critical_error") == ["symbol_resolved", "series_loading", "critical_error"]
    assert functions("symbol_error")[0] == "symbol_error"
    venue.heal()
    venue.fault("wrong_symbol", donor=ETH, count=1)
    with Listener(venue) as listener:
        resolved = next(one for one in listener.series(BTC) if one.get("m") == "symbol_resolved")
    assert resolved["p"][2]["pro_name"] == ETH
    tested = {"no_completion", "silence", "series_error", "critical_error", "symbol_error", "wrong_symbol"}
    assert set(SOCKET_FAULTS) == tested | {"socket_refused", "socket_drop", "foreign_packets"}


def test_an_archive_may_be_broken(venue: Venue) -> None:
    path = "/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2025-12.zip"
    whole, digest = get(venue, path).content, get(venue, path + ".CHECKSUM").text
    venue.fault("broken_archive", count=1)
    assert len(get(venue, path).content) == len(whole) // 2 and get(venue, path).content == whole
    venue.fault("wrong_checksum", count=2)
    # the fault is taken by the archive and by its checksum
    get(venue, path)
    assert get(venue, path + ".CHECKSUM").text != digest and get(venue, path + ".CHECKSUM").text == digest


def test_a_gap_is_missing_at_one_source_and_heals(venue: Venue) -> None:
    venue.fault("gap", symbols=[BTC], sources="tradingview", first="2026-01-10", last="2026-01-14", count=1)
    gone = {date(2026, 1, day) for day in range(10, 15)}
    assert len(klines(venue, "BTCUSDT")) == 60
    holed = closes(venue, BTC)
    assert not gone & set(holed) and gone <= set(closes(venue, BTC))
    venue.fault("gap", symbols=[BTC], first="2026-01-10", last="2026-01-14", every=2)
    assert set(closes(venue, BTC)) & gone == {date(2026, 1, 11), date(2026, 1, 13)}


def test_a_symbol_may_stand_still_or_have_nothing(venue: Venue) -> None:
    """ETHUSDT on 2026-01-28: the last bar is of 2026-01-16, and no new ones come."""
    clock = "2026-01-28T12:00:00Z"
    venue.fault("stale", symbols=[ETH], last="2026-01-16")
    assert max(closes(venue, ETH, clock=clock)) == date(2026, 1, 16)
    assert (
        get(
            venue, "/api/v3/klines", symbol="ETHUSDT", interval="1d", startTime=epoch_of_day(date(2026, 1, 17)) * 1000
        ).json()
        == []
    )
    venue.heal()
    venue.fault("no_new_bars", symbols=[ETH], sessions=2)
    assert max(closes(venue, ETH, clock=clock)) == date(2026, 1, 25)
    venue.heal()
    venue.fault("empty", symbols=[ETH], count=1)
    assert bars(venue, ETH) == [] and len(bars(venue, ETH)) == 10


def test_the_spike_of_ada_is_the_level_of_another_coin(venue: Venue) -> None:
    venue.fault("spike", symbols=[ADA], day="2026-01-01", donor=ADA_DONOR, sources="tradingview")
    found = closes(venue, ADA)
    before, day = date(2025, 12, 31), date(2026, 1, 1)
    assert (found[before], found[day]) == (0.3335, 526.06)
    assert round(100 * (found[day] / found[before] - 1)) == 157_639
    assert found[date(2026, 1, 2)] < 1 and closes(venue, ADA_DONOR)[day] == 526.06
    clean = {row[0]: float(row[4]) for row in klines(venue, "ADAUSDT")}
    assert clean[epoch_of_day(day) * 1000] < 1


def test_twenty_two_symbols_are_contaminated(venue: Venue) -> None:
    venue.fault("contamination")
    assert len(CONTAMINATED) == 22
    day, moves = date(2026, 1, 1), {}
    for symbol in CONTAMINATED:
        found = closes(venue, symbol, count=40)
        moves[symbol] = found[day] / found[date(2025, 12, 31)] - 1
        rest = [
            found[d] / found[date.fromordinal(d.toordinal() - 1)] - 1
            for d in sorted(found)[1:]
            if abs((d - day).days) > 1
        ]
        assert max(abs(one) for one in rest) < 1
    assert min(moves.values()) > 5
    assert [round(100 * moves[symbol]) for symbol in NAMED_MOVES] == [157_639, 107_277, 6_280, 235_194_585, 1_059]
    assert abs(closes(venue, BTC)[day] / closes(venue, BTC)[date(2025, 12, 31)] - 1) < 0.2


def test_two_symbols_may_carry_the_same_rows(venue: Venue) -> None:
    venue.fault("identical_rows", symbols=[ADA], donor=ETH, first="2026-01-20")
    mine, other = bars(venue, ADA, count=30), bars(venue, ETH, count=30)
    same = [one == two for one, two in zip(mine, other, strict=True)]
    # the ten sessions from 2026-01-20 on, the running one included
    assert same == [False] * 20 + [True] * 10


def test_old_bars_may_differ_from_what_was_said(venue: Venue) -> None:
    clean = bars(venue, BTC, count=100)
    venue.fault("shifted_overlap", symbols=[BTC], share=0.3, count=2)
    one, two = bars(venue, BTC, count=100), bars(venue, BTC, count=100)
    assert one == two and 15 < sum(a != b for a, b in zip(one, clean, strict=True)) < 45
    venue.fault("constant_ratio", symbols=[BTC], ratio=0.5, count=1)
    assert {round(a[4] / b[4], 4) for a, b in zip(bars(venue, BTC, count=100), clean, strict=True)} == {0.5}
    venue.fault("split", symbols=[BTC], day="2026-01-15", ratio=2.0, count=1)
    ratios = [round(a[4] / b[4], 4) for a, b in zip(bars(venue, BTC, count=100), clean, strict=True)]
    assert ratios == [2.0] * 85 + [1.0] * 15


def test_stray_bars_stand_alone_before_the_start(venue: Venue) -> None:
    symbol = "BINANCE:POLUSDT"
    clean = bars(venue, symbol, count=3050)
    venue.fault("stray_bars", symbols=[symbol], bars=2, sessions_before=60)
    found = bars(venue, symbol, count=3050)
    assert found[2:] == clean and found[2][0] - found[1][0] == 59 * DAY
    assert found[0][4] == pytest.approx(3 * clean[0][4], rel=1e-3) and found[0][5] == 37


def test_single_bars_may_be_impossible(venue: Venue) -> None:
    day = {"day": "2026-01-20", "symbols": [BTC], "count": 1}
    at = epoch_of_day(date(2026, 1, 20))
    clean = {row[0]: row for row in bars(venue, BTC, count=20)}

    def found(name: str, **options: Any) -> list[list[Any]]:
        venue.fault(name, **{**day, **options})
        return bars(venue, BTC, count=20)

    def on_the_day(name: str, **options: Any) -> list[Any]:
        return next(row for row in found(name, **options) if row[0] == at)

    row = on_the_day("ohlc_inconsistent")
    assert row[2] < row[3]
    assert on_the_day("zero_price")[3] == 0
    assert on_the_day("negative_volume")[5] < 0
    assert on_the_day("volume_spike", factor=50)[5] == pytest.approx(50 * clean[at][5])
    row = on_the_day("not_finite", values={"close": "NaN", "open": "abc", "high": None})
    assert row[1] == "abc" and row[2] is None and row[4] == "NaN"
    assert [float(value) for value in on_the_day("numbers_as_text")[1:5]] == clean[at][1:5]
    assert on_the_day("collapse")[4] == pytest.approx(0.005 * clean[at][4], abs=0.01)
    assert at not in {row[0] for row in found("off_grid")}
    venue.fault("future_bar", symbols=[BTC], count=1)
    assert bars(venue, BTC, count=20)[-1][0] == epoch_of_day(date(2026, 1, 31))
    venue.fault("stall", symbols=[BTC], first="2026-01-20", last="2026-01-24", count=1)
    still = {row[4] for row in bars(venue, BTC, count=20) if at - DAY <= row[0] <= at + 4 * DAY}
    assert len(still) == 1


def test_rows_may_come_twice_backwards_or_in_another_unit(venue: Venue) -> None:
    clean = klines(venue, "BTCUSDT", limit=1000)
    venue.fault("duplicate_timestamps", symbols=[BTC], day="2026-01-20", count=1)
    twice = klines(venue, "BTCUSDT", limit=1000)
    times = [row[0] for row in twice]
    assert len(set(times)) == 999 and times == sorted(times)
    venue.fault("duplicate_timestamps", symbols=[BTC], day="2026-01-20", count=1, is_conflicting=True)
    conflicting = [row[4] for row in klines(venue, "BTCUSDT") if row[0] == epoch_of_day(date(2026, 1, 20)) * 1000]
    assert len(conflicting) == len(set(conflicting)) == 2
    venue.fault("unordered", symbols=[BTC], count=1)
    assert [row[0] for row in klines(venue, "BTCUSDT", limit=5000)] != times
    venue.fault("wrong_unit", symbols=[BTC], factor=1000, count=1)
    assert klines(venue, "BTCUSDT")[-1][0] == clean[-1][0] * 1000
    venue.fault("off_calendar", symbols=["AMEX:SPY"], day="2026-01-24", count=1)
    days = {day_at(row[0]).weekday() for row in bars(venue, "AMEX:SPY", count=20)}
    assert 5 in days


def test_the_portal_and_the_archives_carry_faults_of_their_own(venue: Venue) -> None:
    venue.fault("gap", symbols=["AMEX:SPY"], sources="yahoo", first="2026-01-12", last="2026-01-13")
    found = get(venue, "/v8/finance/chart/SPY", range="1mo").json()["chart"]["result"][0]
    assert len(found["timestamp"]) == len(found["indicators"]["adjclose"][0]["adjclose"])
    days = {day_at(second) for second in found["timestamp"]}
    assert date(2026, 1, 12) not in days and date(2026, 1, 14) in days
    assert date(2026, 1, 12) in closes(venue, "AMEX:SPY")


def test_faults_are_asked_for_over_http_too(venue: Venue) -> None:
    address = f"{venue.http_url}/control/faults"
    made = requests.post(address, json={"name": "stale", "symbols": [BTC], "last": "2026-01-16"}, timeout=10)
    assert made.status_code == 201 and made.json()["name"] == "stale"
    assert max(closes(venue, BTC)) == date(2026, 1, 16)
    assert [one["hits"] for one in requests.get(address, timeout=10).json()] == [1]
    assert requests.delete(address, params={"name": "stale"}, timeout=10).json() == {"healed": 1}
    assert max(closes(venue, BTC)) == date(2026, 1, 29)
    wrong = requests.post(address, json={"name": "stael"}, timeout=10)
    assert wrong.status_code == 400 and "stale" in wrong.json()["error"]
    assert requests.get(f"{venue.http_url}/control/health", timeout=10).json()["ws_url"] == venue.ws_url
    log = requests.get(f"{venue.http_url}/control/log", timeout=10).json()
    assert log and {"number", "source", "path", "body_digest", "symbols", "faults"} <= set(log[0])


def test_a_wrong_fault_is_refused_by_name() -> None:
    for name, given, text in (
        ("nothing", {}, "unknown fault 'nothing'"),
        ("gap", {"colour": 1}, "unknown option 'colour'"),
        ("gap", {"sources": "newspaper"}, "unknown source 'newspaper'"),
        ("spike", {}, "needs a day"),
        ("stale", {"last": "yesterday"}, "yesterday"),
    ):
        with pytest.raises(ValueError, match=text):
            make_fault(1, name, **given)


def test_every_fault_says_what_it_does() -> None:
    assert all(meaning and isinstance(options, dict) for meaning, options in ALL_FAULTS.values())
    assert len(DATA_FAULTS) == 25
