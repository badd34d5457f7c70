"""The bar stream: frames by length, sessions, series, heartbeats, depth, adjustments."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from market import CLOCK_HEADER, Venue
from market.clients import CLOCK, Listener, bars, values
from market.market import epoch
from market.stream import frame, session_names, unframe

NOW = epoch(datetime(2026, 1, 29, 0, 10, tzinfo=UTC))


@given(st.lists(st.text()))
def test_frames_are_read_by_length_whatever_they_hold(payloads: list[str]) -> None:
    assert list(unframe("".join(frame(payload) for payload in payloads))) == payloads


def test_a_frame_may_hold_the_marker_itself() -> None:
    inner = frame("~m~3~m~abc") + frame("~h~1")
    assert list(unframe(inner)) == ["~m~3~m~abc", "~h~1"]


@pytest.mark.parametrize("broken", ["~m~5~m~abc", "abc", "~m~x~m~abc", "~m~3~m~abc~m~"])
def test_a_cut_frame_is_an_error(broken: str) -> None:
    with pytest.raises(ValueError, match="frame"):
        list(unframe(broken))


def test_frames_recorded_from_the_service_are_read(shared_data: Path) -> None:
    text = (shared_data / "tradingview" / "ws_frames_genuine.txt").read_text(encoding="utf-8")
    found = [json.loads(payload) for payload in unframe(text.replace("\n", ""))]
    assert [one["m"] for one in found] == ["du", "symbol_resolved", "series_loading", "series_completed"]


def _keys(value: object, path: str = "") -> set[str]:
    """Return the paths of all keys of a JSON value, lists by their first item."""
    if isinstance(value, dict):
        return {p for key, inner in value.items() for p in {f"{path}.{key}", *_keys(inner, f"{path}.{key}")}}
    if isinstance(value, list):
        return {p for at, inner in enumerate(value[:3]) for p in _keys(inner, f"{path}[{at}]")}
    return set()


def test_messages_have_the_shape_of_recorded_ones(venue: Venue, shared_data: Path) -> None:
    folder = shared_data / "tradingview"
    text = (folder / "ws_frames_genuine.txt").read_text(encoding="utf-8").replace("\n", "")
    recorded = {one["m"]: one for one in map(json.loads, unframe(text))}
    recorded["timescale_update"] = json.loads((folder / "ws_timescale_update_retyped.json").read_text(encoding="utf-8"))
    hello = json.loads((folder / "ws_quote_capture_20251220.json").read_text(encoding="utf-8"))[0]
    with Listener(venue) as listener:
        mine = {one.get("m", "hello"): one for one in listener.series("BINANCE:BTCUSDT", count=5)}
    assert set(mine["hello"]) == set(hello) and mine["hello"]["protocol"] == "json"
    for name, message in recorded.items():
        same = json.loads(json.dumps(mine[name]).replace("sds_1", "X"))
        real = json.loads(json.dumps(message).replace("sds_1", "X").replace('{"s1"', '{"X"'))
        if name == "du":
            # the recorded one names its series s1
            real["p"][1] = {"X": real["p"][1].pop("s1", real["p"][1].get("X"))}
        missing = _keys(real) - _keys(same)
        assert not {path for path in missing if path not in (".t", ".t_ms", ".p[2].source2.session_id")}, name


def test_a_series_goes_from_loading_to_completed(venue: Venue) -> None:
    with Listener(venue) as listener:
        found = [one.get("m", "hello") for one in listener.series("BINANCE:BTCUSDT", count=450)]
    assert found[:3] == ["hello", "symbol_resolved", "series_loading"]
    # several frames of at most 200 bars, and the running bar once more
    assert found[3:] == ["timescale_update"] * 3 + ["du", "series_completed"]


@pytest.mark.parametrize("timeframe", ["1D", "1W", "1M", "240", "45", "1"])
@pytest.mark.parametrize("symbol", ["BINANCE:ADAUSDT", "AMEX:GLD", "OANDA:USDJPY"])
def test_bars_are_those_of_the_market(venue: Venue, symbol: str, timeframe: str) -> None:
    found = bars(venue, symbol, timeframe, 50)
    expected = venue.market.bars(symbol, timeframe, NOW)[-50:]
    assert len(found) == 50 and [row[0] for row in found] == expected.opened.tolist()
    assert [row[4] for row in found] == pytest.approx(expected.close, abs=2e-6)
    assert [row[5] for row in found] == pytest.approx(expected.volume)


def test_a_pair_without_volume_has_bars_of_five_values(venue: Venue) -> None:
    assert {len(row) for row in bars(venue, "FX_IDC:EURUSD")} == {5}
    assert {len(row) for row in bars(venue, "OANDA:EURUSD")} == {6}


def test_depth_is_limited(venue: Venue) -> None:
    clock = "2026-01-30T12:00:00Z"
    assert len(bars(venue, "BINANCE:BTCUSDT", "1D", 10_000, clock=clock)) == 3050
    genesis = bars(venue, "BINANCE:BTCUSDT", "1D", 10_000, clock="2025-12-20T12:00:00Z")
    assert (
        len(genesis) == 3048 and datetime.fromtimestamp(genesis[0][0], UTC).isoformat() == "2017-08-17T00:00:00+00:00"
    )
    assert len(bars(venue, "BINANCE:BTCUSDT", "60", 20_000)) == 8500


def test_more_data_reaches_further_back_until_there_is_none(venue: Venue) -> None:
    with Listener(venue) as listener:
        listener.series("BINANCE:FOGOUSDT", count=5)
        counts = [len(values(listener.received))]
        for _ in range(3):
            listener.send("request_more_data", "cs_abcdefghijkl", "sds_1", 8)
            listener.listen("series_completed")
            counts.append(len(values(listener.received)))
    # fifteen days since the listing, the running one included
    assert counts == [5, 13, 15, 15]


def test_adjustments_are_those_asked_for(venue: Venue) -> None:
    found = {}
    for adjustment in ("splits", "dividends", "none"):
        with Listener(venue) as listener:
            found[adjustment] = values(listener.series("NASDAQ:TLT", count=800, adjustment=adjustment))
    closes = {name: rows[0][4] for name, rows in found.items()}
    assert closes["splits"] == closes["none"] and closes["dividends"] < 0.95 * closes["splits"]


def test_an_unknown_symbol_is_an_error_and_an_alias_leads_to_the_listing(venue: Venue) -> None:
    with Listener(venue) as listener:
        found = listener.series("BINANCE:NOPEUSDT")
    assert found[-1]["m"] == "symbol_error" and found[-1]["p"][2] == "invalid symbol"
    with Listener(venue) as listener:
        found = listener.series("AMEX:TLT", count=3)
    assert next(one for one in found if one.get("m") == "symbol_resolved")["p"][2]["pro_name"] == "NASDAQ:TLT"
    # listed later, and gone for more than thirty days
    assert bars(venue, "BINANCE:FOGOUSDT", clock="2026-01-10T00:10:00Z") == []
    assert len(bars(venue, "BINANCE:FLMUSDT", count=3)) == 3 and bars(venue, "BINANCE:MATICUSDT") == []


@pytest.mark.parametrize("timeframe", ["2", "1S", "720"])
def test_an_unsupported_resolution_is_met_with_silence(venue: Venue, timeframe: str) -> None:
    with Listener(venue) as listener:
        listener.send("chart_create_session", "cs_abcdefghijkl", "")
        listener.send("resolve_symbol", "cs_abcdefghijkl", "sds_sym_1", '={"symbol":"BINANCE:BTCUSDT"}')
        listener.listen("symbol_resolved")
        listener.send("create_series", "cs_abcdefghijkl", "sds_1", "s1", "sds_sym_1", timeframe, 10, "")
        assert listener.listen("series_completed", seconds=0.5) == [] and listener.beats


def test_heartbeats_have_to_be_echoed(venue: Venue) -> None:
    with Listener(venue) as patient:
        patient.listen(seconds=1.0)
        assert patient.beats[:3] == ["~h~1", "~h~2", "~h~3"] and not patient.is_closed
    with Listener(venue, does_echo=False) as rude:
        rude.listen(seconds=2.0)
        assert rude.is_closed and len(rude.beats) == 3


def test_two_series_on_one_socket_keep_their_names(venue: Venue) -> None:
    with Listener(venue) as listener:
        listener.series("BINANCE:BTCUSDT", count=3, number=1)
        listener.series("BINANCE:ETHUSDT", count=3, number=2)
        first, second = values(listener.received), values(listener.received, "sds_2", "s2")
    assert len(first) == len(second) == 3 and first[0][4] > 10 * second[0][4]


def test_quotes_are_given_once_and_completed(venue: Venue, shared_data: Path) -> None:
    capture = json.loads((shared_data / "tradingview" / "ws_quote_capture_20251220.json").read_text(encoding="utf-8"))
    real = next(one for one in capture if one.get("m") == "qsd")["p"][1]["v"]
    with Listener(venue) as listener:
        listener.send("quote_create_session", "qs_a")
        listener.send("quote_add_symbols", "qs_a", "FX_IDC:EURUSD", "BINANCE:NOPE")
        found = [*listener.listen("quote_completed"), *listener.listen("qsd", seconds=0.2)]
    quotes = [one["p"][1] for one in found if one.get("m") == "qsd"]
    assert [quote["s"] for quote in quotes] == ["ok", "error"]
    assert set(real) - {"local_description"} <= set(quotes[0]["v"])


def test_nonsense_is_answered_with_an_error(venue: Venue) -> None:
    with Listener(venue) as listener:
        listener.send("make_coffee", "cs_x")
        assert listener.listen("critical_error")[-1]["p"][1] == "unknown_method"
        listener.send("create_series", "cs_x", "sds_1")
        assert listener.listen("critical_error")[-1]["m"] == "critical_error"
        listener.socket.send(frame("{not json"))
        assert listener.listen("protocol_error")[-1]["m"] == "protocol_error"


def test_the_handshake_needs_an_origin_a_path_and_a_moment(venue: Venue) -> None:
    def status(path: str, origin: str | None, clock: str = CLOCK) -> int:
        headers = {CLOCK_HEADER: clock}
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(venue.ws_url + path, origin=origin, additional_headers=headers),  # type: ignore[arg-type]
        ):
            pass
        return refused.value.response.status_code

    assert status("/socket.io/websocket", None) == 403
    assert status("/elsewhere", "https://www.tradingview.com") == 404
    assert status("/socket.io/websocket", "https://www.tradingview.com", "yesterday") == 400


def test_the_log_names_what_was_asked_in_order(venue: Venue) -> None:
    bars(venue, "BINANCE:BTCUSDT", count=3)
    log = venue.requests(source="tradingview_socket")
    assert [entry.path for entry in log] == ["connect", "resolve_symbol", "create_series"]
    assert log[2].symbols == ("BINANCE:BTCUSDT",) and log[2].detail == "1D 3"
    assert [entry.number for entry in log] == sorted(entry.number for entry in log)


def test_names_of_sessions_are_twelve_letters() -> None:
    names = session_names(1)
    one, two = next(names), next(names)
    assert one != two and one == next(session_names(1)) and len(one) == 12 and one.isalpha() and one.islower()
