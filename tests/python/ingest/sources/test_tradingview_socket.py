"""Bars over the socket: framing, attribution, merging, ends of all kinds, and the genuine frames of the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import SocketService, closed_port, socket_service
from quantmill.errors import BadValue, DataContractError, UsageError
from websockets.sync.server import ServerConnection

from ingest.answers import BAR_COLUMNS, Answer
from ingest.readers import read
from ingest.sources.common import BarRequest
from ingest.sources.tradingview_socket import (
    PREFIX_BYTES,
    Series,
    SocketBars,
    SocketRules,
    frame,
    message,
    own_bars,
    parse_frames,
    read_bars,
    resolved_names,
)

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
DAY = 86_400
START = 1_735_689_600
LIVE = SocketRules(symbols_per_socket=25, depth_daily=3_050, depth_intraday=8_500)
QUICK = replace(LIVE, read_seconds=0.4, idle_seconds=0.15, total_seconds=2.0, connect_seconds=1.0)
SERIES = Series("cs_abcdefghijkl", "sds_1", "s1", "sds_sym_1", "BINANCE:BTCUSDT")
Tell = Callable[["Chart"], None]


class Chart:
    """One open request as the service sees it, with the words to answer it."""

    def __init__(
        self, socket: ServerConnection, symbol: str, session: str, series: list[Any], asked: list[str]
    ) -> None:
        self.socket = socket
        self.symbol = symbol
        self.session = session
        self.series, self.turnaround, self.symbol_id, self.timeframe, self.count = series[1:6]
        self.asked = asked

    def send(self, *frames: str) -> None:
        self.socket.send("".join(frames))

    def resolved(self, name: str | None = None) -> str:
        return message(
            "symbol_resolved", self.session, self.symbol_id, {"pro_name": name or self.symbol, "type": "spot"}
        )

    def update(self, bars: Sequence[Any], function: str = "timescale_update", **changes: str) -> str:
        names = {"session": self.session, "series": self.series, "turnaround": self.turnaround} | changes
        entry = {"s": bars, "ns": {"d": "", "indexes": []}, "t": names["turnaround"], "lbs": {"bar_close_time": 0}}
        return message(function, names["session"], {names["series"]: entry}, {"index": 0})

    def completed(self) -> str:
        return message("series_completed", self.session, self.series, "streaming", self.turnaround)

    def whole(self, bars: Sequence[Any]) -> None:
        self.send(self.resolved(), message("series_loading", self.session, self.series, self.turnaround))
        self.send(self.update(bars), self.completed())


def bars_of(count: int, level: float = 100.0, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"i": n, "v": [float(START + n * DAY), level, level + 1.5, level - 1.0, level + 0.25, 10.0 + n]}
        for n in range(first, first + count)
    ]


def service(tell: Callable[[Chart, int], None]) -> Callable[[ServerConnection, int], None]:
    """Return a service that greets, minds the heartbeat, and lets `tell(chart, number)` answer each request."""

    def converse(socket: ServerConnection, number: int) -> None:
        socket.send(frame('{"session_id":"x","timestamp":1,"protocol":"json"}'))
        resolved: dict[str, str] = {}
        asked: list[str] = []
        for text in socket:
            for payload in parse_frames(str(text)):
                asked.append(payload)
                if payload.startswith("~h~"):
                    continue
                value = json.loads(payload)
                if value["m"] == "resolve_symbol":
                    resolved[value["p"][1]] = json.loads(value["p"][2][1:])["symbol"]
                elif value["m"] == "create_series":
                    session, series, turnaround, symbol_id, timeframe, count = value["p"][:6]
                    names = [None, series, turnaround, symbol_id, timeframe, count]
                    tell(Chart(socket, resolved[symbol_id], session, names, asked), number)
                elif value["m"] == "request_more_data":
                    session, series = value["p"][:2]
                    k = series.rpartition("_")[2]
                    socket.send(message("series_completed", session, series, "streaming", f"s{k}"))

    return converse


def fetch(
    tell: Callable[[Chart, int], None],
    *symbols: str,
    rules: SocketRules = QUICK,
    refuse: Sequence[tuple[int, dict[str, str]]] = (),
    count: int = 5,
    **options: Any,
) -> tuple[list[Answer], SocketService, list[float]]:
    slept: list[float] = []
    with socket_service(service(tell), refuse=refuse) as venue:
        source = SocketBars(venue.address, clock=lambda: NOW, rules=rules, sleep=slept.append, **options)
        requests = [BarRequest(symbol, count, NOW) for symbol in symbols or ("BINANCE:BTCUSDT",)]
        answers = sorted(source.fetch_bars(requests), key=lambda one: str(one.request["symbol"]))
    return answers, venue, slept


def rows(answer: Answer) -> list[tuple[Any, ...]]:
    """Return opening, close and volume of the rows that the reader finds in an answer."""
    assert answer.payload is not None
    table = read("bars", "tradingview", answer.payload, answer.request)
    assert tuple(table.column_names) == BAR_COLUMNS
    assert set(table.column("symbol").to_pylist()) <= {answer.request["symbol"]}
    return [
        (int(float(row["opened_at"])), float(row["close"]), row["volume"] and float(row["volume"]))
        for row in table.to_pylist()
    ]


def values(bars: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(int(bar["v"][0]), bar["v"][4], bar["v"][5]) for bar in bars]


# framing ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.text(), st.sampled_from(["~m~3~m~abc", "~h~7", "~m~", "", "~m~5~m~"])), max_size=8))
def test_frames_survive_any_text(payloads: list[str]) -> None:
    assert parse_frames("".join(map(frame, payloads))) == payloads


def test_a_length_in_browser_units_is_understood() -> None:
    payload = '{"d":"🙂🙂"}'
    units = len(payload.encode("utf-16-le")) // 2
    assert units == len(payload) + 2
    assert parse_frames(f"~m~{units}~m~{payload}{frame('~h~1')}") == [payload, "~h~1"]


@pytest.mark.parametrize("text", ["abc", "~m~5~m~abc", "~m~2~m~abc", "~m~x~m~abc", "~m~3~m~abc~m~", " ~m~3~m~abc"])
def test_text_that_is_no_sequence_of_frames_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="frame"):
        parse_frames(text)


@given(st.text())
def test_no_text_makes_the_parser_fail_in_another_way(text: str) -> None:
    try:
        found = parse_frames(text)
    except ValueError:
        return
    assert sum(map(len, found)) <= len(text)


# the genuine answers ------------------------------------------------------------------------------------------------


def test_the_genuine_frames_have_the_lengths_they_state(shared_data: Path) -> None:
    lines = (shared_data / "tradingview" / "ws_frames_genuine.txt").read_text(encoding="utf-8").splitlines()
    found = [parse_frames(line) for line in lines if line]
    assert [[len(payload) for payload in payloads] for payloads in found] == [[199], [1428], [95], [157]]
    update, resolved, loading, completed = [json.loads(payloads[0]) for payloads in found]
    series = Series("cs_saydeutqehrd", "s1", "s1", "", "")
    assert own_bars(update, series) == [{"i": 300, "v": [1663050540.0, 1721.18, 1721.75, 1721.17, 1721.74, 229.7826]}]
    assert own_bars(update, Series("cs_saydeutqehrd", "s1", "s2", "", "")) is None
    assert resolved_names(resolved, Series("cs_casjcotuguzl", "", "", "sds_sym_1", "")) == {"BITSTAMP:BTCUSD"}
    assert (loading["m"], completed["m"]) == ("series_loading", "series_completed")


def test_the_genuine_updates_parse_to_their_bars(shared_data: Path) -> None:
    folder = shared_data / "tradingview"
    update = json.loads((folder / "ws_timescale_update_retyped.json").read_text())
    live, quote = json.loads((folder / "ws_stream_samples_20241213.json").read_text())
    for value, symbol, expected in (
        (
            update,
            "CRYPTOCAP:TOTAL",
            [("1755043200", "999937522.01", None), ("1755129600", "1045646253.41", None)],
        ),
        (live, "BINANCE:BTCUSDT", [("1734082440", "100006.27", "1.3242")]),
    ):
        series = Series(value["p"][0], "sds_1", "s1", "sds_sym_1", symbol)
        info = message("symbol_resolved", series.session, series.symbol_id, {"pro_name": symbol})
        asked = frame(json.dumps({"asked": vars(series)}))
        payload = (asked + info + frame(json.dumps(value)) + frame(json.dumps(quote))).encode()
        table = read_bars(payload, {"symbol": symbol}).to_pylist()
        assert [(row["opened_at"], row["close"], row["volume"]) for row in table] == expected
        assert json.loads(table[0]["row"])["v"][0] == float(expected[0][0])


def test_a_genuine_capture_of_quotes_holds_no_bar_of_ours(shared_data: Path) -> None:
    captured = json.loads((shared_data / "tradingview" / "ws_quote_capture_20251220.json").read_text())

    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved(), *(frame(json.dumps(one)) for one in captured))
        chart.send(chart.update(bars_of(5)), chart.completed())

    (answer,), _, _ = fetch(tell)
    assert (answer.state, answer.counters["ws_foreign_packets"]) == ("complete", len(captured) - 1)
    assert rows(answer) == values(bars_of(5))


# a conversation -----------------------------------------------------------------------------------------------------


def test_a_request_says_what_the_protocol_asks_for() -> None:
    said: list[str] = []

    def tell(chart: Chart, number: int) -> None:
        said.extend(chart.asked)
        chart.whole(bars_of(5))

    (answer,), venue, _ = fetch(tell, market_clock=NOW, token="secret-token")
    session = json.loads(said[2])["p"][0]
    assert [json.loads(one) for one in said] == [
        {"m": "set_auth_token", "p": ["secret-token"]},
        {"m": "set_locale", "p": ["en", "US"]},
        {"m": "chart_create_session", "p": [session, ""]},
        {
            "m": "resolve_symbol",
            "p": [session, "sds_sym_1", '={"adjustment":"splits","symbol":"BINANCE:BTCUSDT"}'],
        },
        {"m": "create_series", "p": [session, "sds_1", "s1", "sds_sym_1", "1D", 5, ""]},
    ]
    assert len(session) == 15 and session.startswith("cs_") and session[3:].isalpha() and session.islower()
    assert venue.handshakes[0]["origin"] == "https://www.tradingview.com"
    assert venue.handshakes[0]["x-market-clock"] == "2025-03-01T00:10:00Z"
    assert "secret-token" not in repr(answer)


def test_a_whole_answer_is_complete_and_reads_back() -> None:
    (answer,), _, _ = fetch(lambda chart, number: chart.whole(bars_of(5)))
    assert (answer.state, answer.code, answer.kind, answer.source) == ("complete", None, "bars", "tradingview")
    # a coin is asked for as everything is, and lands as traded, as its venue's own bars do
    assert answer.request == {"symbol": "BINANCE:BTCUSDT", "interval": "1d", "adjustment": "none", "count": 5}
    assert answer.counters["bars"] == 5 and answer.extension == "frames"
    assert rows(answer) == values(bars_of(5))


def test_the_same_requests_give_the_same_bytes() -> None:
    symbols = [f"BINANCE:C{n}USDT" for n in range(12)]
    rules = replace(LIVE, symbols_per_socket=4)
    first, second = (fetch(lambda chart, number: chart.whole(bars_of(5)), *symbols, rules=rules)[0] for _ in range(2))
    assert [one.payload for one in first] == [one.payload for one in second]


def test_many_symbols_share_sockets_and_none_takes_more_than_its_share() -> None:
    symbols = [f"BINANCE:C{n:02}USDT" for n in range(23)]
    levels = {symbol: 100.0 + n for n, symbol in enumerate(symbols)}
    used: dict[int, int] = {}

    def tell(chart: Chart, number: int) -> None:
        used[number] = used.get(number, 0) + 1
        chart.whole(bars_of(5, levels[chart.symbol]))

    answers, venue, _ = fetch(tell, *symbols, rules=replace(LIVE, sockets=3, symbols_per_socket=5))
    assert [one.request["symbol"] for one in answers] == symbols
    assert [rows(one) for one in answers] == [values(bars_of(5, levels[symbol])) for symbol in symbols]
    assert sorted(used.values()) == [3, 5, 5, 5, 5]
    assert len(venue.handshakes) == 5


def test_the_slow_lane_opens_a_socket_for_each_symbol() -> None:
    answers, venue, _ = fetch(
        lambda chart, number: chart.whole(bars_of(5)), "A:X", "A:Y", "A:Z", rules=LIVE.slow_lane((30.0, 60.0))
    )
    assert len(venue.handshakes) == len(answers) == 3


def test_heartbeats_are_echoed_and_do_no_harm() -> None:
    echoed: list[str] = []

    def tell(chart: Chart, number: int) -> None:
        chart.send(frame("~h~1"), chart.resolved(), frame("~h~2"))
        chart.send(chart.update(bars_of(5)), frame("~h~3"), chart.completed())
        for _ in range(3):
            echoed.extend(parse_frames(str(chart.socket.recv())))

    (answer,), _, _ = fetch(tell)
    assert answer.state == "complete"
    assert echoed == ["~h~1", "~h~2", "~h~3"]


def test_several_frames_are_merged_by_time_and_the_last_one_wins() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved(), chart.update(bars_of(3, first=2)))
        chart.send(chart.update(bars_of(2)))
        chart.send(chart.update(bars_of(1, level=7.0, first=4), "du"), chart.completed())

    (answer,), _, _ = fetch(tell)
    assert rows(answer) == values([*bars_of(4), *bars_of(1, level=7.0, first=4)])
    assert (answer.counters["bars"], answer.counters["merged_bars"]) == (5, 1)


def test_two_rows_for_one_time_in_one_frame_both_reach_the_judge() -> None:
    doubled = [*bars_of(2), *bars_of(1, level=7.0)]
    (answer,), _, _ = fetch(lambda chart, number: chart.whole(doubled), count=2)
    assert [row[1] for row in rows(answer)] == [100.25, 7.25, 100.25]


# foreign packets (F-3) ----------------------------------------------------------------------------------------------


def test_interleaved_packets_of_two_symbols_never_give_a_foreign_bar() -> None:
    def tell(chart: Chart, number: int) -> None:
        alien = bars_of(5, level=9_999.0)
        chart.send(chart.update(alien, session="cs_zzzzzzzzzzzz"), chart.resolved())
        chart.send(chart.update(alien, series="sds_99"), chart.update(bars_of(3)))
        chart.send(chart.update(alien, turnaround="s99"), chart.update(alien, "du", session="cs_zzzzzzzzzzzz"))
        chart.send(message("symbol_resolved", "cs_zzzzzzzzzzzz", chart.symbol_id, {"pro_name": "A:ALIEN"}))
        chart.send(message("series_completed", "cs_zzzzzzzzzzzz", chart.series, "streaming", chart.turnaround))
        chart.send(chart.update(bars_of(2, first=3)), chart.completed())

    answers, _, _ = fetch(tell, "BINANCE:BTCUSDT", "BINANCE:ETHUSDT")
    for answer in answers:
        assert (answer.state, rows(answer)) == ("complete", values(bars_of(5)))
        assert answer.counters["ws_foreign_packets"] == 6


def test_packets_of_an_earlier_request_of_the_same_socket_are_late_and_not_foreign() -> None:
    earlier: list[str] = []

    def tell(chart: Chart, number: int) -> None:
        chart.send(*earlier, chart.resolved())
        chart.send(*earlier, chart.update(bars_of(5)), chart.completed())
        earlier.append(chart.update(bars_of(5, level=9_999.0), "du"))

    answers, _, _ = fetch(tell, "A:X", "A:Y")
    assert [rows(one) for one in answers] == [values(bars_of(5))] * 2
    assert [one.counters["ws_late_packets"] for one in answers] == [0, 2]
    assert [one.counters["ws_foreign_packets"] for one in answers] == [0, 0]


def test_a_symbol_resolved_as_another_one_is_a_failure_without_rows() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved("BINANCE:BNBUSDT" if number == 1 else None), chart.update(bars_of(5)))
        chart.send(chart.completed())

    answers, venue, _ = fetch(tell, "BINANCE:ADAUSDT", "BINANCE:ETHUSDT")
    assert [(one.state, one.code) for one in answers] == [("failed", "FOREIGN_SYMBOL"), ("complete", None)]
    assert answers[0].error == "the service resolved BINANCE:ADAUSDT as BINANCE:BNBUSDT"
    assert len(venue.handshakes) == 2


def test_bars_without_a_resolved_symbol_are_not_used() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.update(bars_of(5)), chart.completed())

    (answer,), _, _ = fetch(tell)
    assert (answer.state, answer.code) == ("failed", "FOREIGN_SYMBOL")


def test_a_symbol_may_be_resolved_after_its_bars() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.update(bars_of(5)), chart.resolved(), chart.completed())

    (answer,), _, _ = fetch(tell)
    assert (answer.state, rows(answer)) == ("complete", values(bars_of(5)))


def test_a_series_completed_by_foreign_bars_alone_is_no_answer() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved(), chart.update(bars_of(5), session="cs_zzzzzzzzzzzz"), chart.completed())

    (answer,), _, _ = fetch(tell)
    assert (answer.state, answer.code) == ("failed", "FOREIGN_PACKETS")


def test_the_reader_applies_the_rule_by_itself() -> None:
    chart = Chart(None, SERIES.symbol, SERIES.session, [None, "sds_1", "s1", "sds_sym_1", "1D", 5], [])  # type: ignore[arg-type]
    asked = frame(json.dumps({"asked": vars(SERIES)}))
    alien = bars_of(2, level=9_999.0)
    kept = [
        chart.update(alien, session="cs_z"),
        chart.update(alien, turnaround="s2"),
        chart.update(alien, series="sds_2"),
    ]
    request = {"symbol": SERIES.symbol}
    payload = asked + chart.resolved() + "".join(kept) + chart.update(bars_of(1))
    assert [row["close"] for row in read_bars(payload.encode(), request).to_pylist()] == ["100.25"]
    assert read_bars((asked + chart.resolved("A:ALIEN") + chart.update(alien)).encode(), request).num_rows == 0
    assert read_bars(payload.encode(), {"symbol": "A:OTHER"}).num_rows == 0
    assert read_bars("".join(kept).encode(), request).num_rows == 0


# ends ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["timescale_update", "du"])
def test_a_series_that_is_never_completed_ends_idle_after_three_packets_without_a_new_bar(function: str) -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved(), chart.update(bars_of(3)))
        for _ in range(3):
            chart.send(chart.update(bars_of(1), function))

    (answer,), _, _ = fetch(tell, rules=replace(LIVE, idle_seconds=30.0))
    assert (answer.state, answer.code, len(rows(answer))) == ("partial", "IDLE", 3)
    assert answer.error == "the series was not completed: 3 packets without a new bar"


def test_a_series_that_is_never_completed_ends_idle_after_a_while() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved(), chart.update(bars_of(3)))

    (answer,), _, _ = fetch(tell)
    assert (answer.state, answer.code, len(rows(answer))) == ("partial", "IDLE", 3)


def test_foreign_packets_do_not_make_a_request_idle() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(chart.resolved(), chart.update(bars_of(3)))
        for _ in range(9):
            chart.send(chart.update(bars_of(1), session="cs_zzzzzzzzzzzz"))
        chart.send(chart.update(bars_of(2, first=3)), chart.completed())

    (answer,), _, _ = fetch(tell)
    assert (answer.state, len(rows(answer))) == ("complete", 5)


def test_silence_is_asked_twice_and_then_counts_as_empty() -> None:
    answers, venue, slept = fetch(lambda chart, number: None)
    assert [(one.state, one.code, len(one.attempts)) for one in answers] == [("empty", "TIMEOUT", 2)]
    assert len(venue.handshakes) == 2 and slept == [1.0]


def test_five_heartbeats_without_data_are_silence() -> None:
    def tell(chart: Chart, number: int) -> None:
        if number == 1:
            chart.send(*(frame(f"~h~{n}") for n in range(5)))
        else:
            chart.whole(bars_of(5))

    (answer,), venue, _ = fetch(tell, rules=LIVE)
    assert (answer.state, len(venue.handshakes)) == ("complete", 2)
    assert [one.detail for one in answer.attempts] == ["5 heartbeats and no data", None]


def test_a_completed_series_without_bars_is_empty() -> None:
    (answer,), _, _ = fetch(lambda chart, number: chart.whole([]))
    assert (answer.state, answer.code) == ("empty", None)


def test_a_dropped_socket_is_opened_again_and_its_bars_are_merged() -> None:
    def tell(chart: Chart, number: int) -> None:
        if number == 1:
            chart.send(chart.resolved(), chart.update(bars_of(3)))
            chart.socket.close()
        else:
            chart.whole(bars_of(4, level=7.0, first=1))

    (answer,), venue, slept = fetch(tell)
    assert (answer.state, answer.code) == ("complete", None)
    assert rows(answer) == values([*bars_of(1), *bars_of(4, level=7.0, first=1)])
    assert [one.code for one in answer.attempts] == ["DROPPED", None]
    assert len(venue.handshakes) == 2 and slept == [1.0]


def test_what_came_before_the_last_drop_is_kept_as_partial() -> None:
    def tell(chart: Chart, number: int) -> None:
        if number == 2:
            chart.send(chart.resolved(), chart.update(bars_of(3)))
        chart.socket.close()

    (answer,), _, slept = fetch(tell)
    assert (answer.state, answer.code, len(answer.attempts)) == ("partial", "DROPPED", 5)
    assert rows(answer) == values(bars_of(3))
    assert slept == [1.0, 2.0, 4.0, 8.0]


def test_a_socket_that_always_drops_fails_after_five_tries_and_the_next_request_still_goes_on() -> None:
    def tell(chart: Chart, number: int) -> None:
        if chart.symbol == "A:X":
            chart.socket.close()
        else:
            chart.whole(bars_of(5))

    answers, _, _ = fetch(tell, "A:X", "A:Y")
    assert [(one.state, one.code) for one in answers] == [("failed", "DROPPED"), ("complete", None)]


@pytest.mark.parametrize("function", ["critical_error", "protocol_error"])
def test_an_error_of_the_connection_is_tried_again_on_a_new_socket(function: str) -> None:
    def tell(chart: Chart, number: int) -> None:
        if number == 1:
            chart.send(message(function, "wrong session"))
        else:
            chart.whole(bars_of(5))

    (answer,), venue, _ = fetch(tell)
    assert (answer.state, [one.code for one in answer.attempts]) == ("complete", ["PROTOCOL", None])
    assert len(venue.handshakes) == 2


def test_text_without_frames_is_tried_again_on_a_new_socket() -> None:
    def tell(chart: Chart, number: int) -> None:
        if number == 1:
            chart.send("~m~999~m~{}")
        else:
            chart.whole(bars_of(5))

    (answer,), _, _ = fetch(tell)
    assert (answer.state, [one.code for one in answer.attempts]) == ("complete", ["FRAMING", None])


def test_an_unknown_symbol_is_not_asked_twice_and_does_not_stop_the_others() -> None:
    def tell(chart: Chart, number: int) -> None:
        if chart.symbol == "A:GONE":
            chart.send(message("symbol_error", chart.session, chart.symbol_id, "invalid symbol"))
        else:
            chart.whole(bars_of(5))

    answers, venue, slept = fetch(tell, "A:GONE", "A:HERE")
    assert [(one.state, one.code) for one in answers] == [("unknown_symbol", "UNKNOWN_SYMBOL"), ("complete", None)]
    assert "invalid symbol" in str(answers[0].error)
    # a socket is never used again after an error
    assert len(venue.handshakes) == 2 and slept == []


def test_an_error_of_the_series_is_a_failure() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.send(
            chart.resolved(), message("series_error", chart.session, chart.series, chart.turnaround, "resolution")
        )

    (answer,), _, _ = fetch(tell)
    assert (answer.state, answer.code) == ("failed", "SERIES_ERROR")
    assert answer.payload is not None and len(answer.payload) <= PREFIX_BYTES


# depth (F-13) -------------------------------------------------------------------------------------------------------


def test_ten_thousand_daily_bars_are_asked_as_3050_and_give_the_3048_there_are() -> None:
    genesis = 1_502_928_000
    history = [{"i": n, "v": [float(genesis + n * DAY), 1.0, 2.0, 0.5, 1.5, 3.0]} for n in range(3_048)]
    counts: list[int] = []
    said: list[list[str]] = []

    def tell(chart: Chart, number: int) -> None:
        counts.append(chart.count)
        said.append(chart.asked)
        chart.whole(history)

    (answer,), _, _ = fetch(tell, count=10_000)
    assert (answer.state, counts, answer.counters["bars"]) == ("complete", [3_050], 3_048)
    found = rows(answer)
    assert len(found) == 3_048
    assert datetime.fromtimestamp(found[0][0], UTC).isoformat() == "2017-08-17T00:00:00+00:00"
    # two empty replies to a request for more end it
    more = [json.loads(one) for one in said[0] if "request_more_data" in one]
    assert [one["p"][2] for one in more] == [2, 2] and answer.counters["deeper_requests"] == 2


@pytest.mark.parametrize(("interval", "code", "count"), [("1h", "60", 8_500), ("1m", "1", 8_500), ("1W", "1W", 3_050)])
def test_depths_are_capped_by_interval(interval: str, code: str, count: int) -> None:
    asked: list[tuple[str, int]] = []

    def tell(chart: Chart, number: int) -> None:
        asked.append((chart.timeframe, chart.count))
        chart.whole([])

    with socket_service(service(tell)) as venue:
        source = SocketBars(venue.address, clock=lambda: NOW, rules=QUICK)
        list(source.fetch_bars([BarRequest("A:X", 20_000, NOW, interval)]))
    assert asked == [(code, count)]


@pytest.mark.parametrize(
    ("interval", "seconds", "kept", "landed"),
    [("1d", DAY, 3_048, 3_048), ("1h", 3_600, 8_495, 8_495), ("1m", 60, 8_580, 8_500)],
)
def test_the_depths_that_were_measured_of_btcusdt_arrive_whole_up_to_the_cap(
    interval: str, seconds: int, kept: int, landed: int
) -> None:
    """F-13: what a listener without an account was seen to get; nobody is asked for more than the cap."""
    last = int(NOW.timestamp()) // DAY * DAY
    history = [{"i": n, "v": [float(last - (kept - n) * seconds), 1.0, 2.0, 0.5, 1.5, 3.0]} for n in range(kept)]

    def tell(chart: Chart, number: int) -> None:
        chart.whole(history[-chart.count :])

    with socket_service(service(tell)) as venue:
        source = SocketBars(venue.address, clock=lambda: NOW, rules=QUICK)
        (answer,) = source.fetch_bars([BarRequest("BINANCE:BTCUSDT", 10_000, NOW, interval)])
    assert (answer.state, len(rows(answer))) == ("complete", landed)


def test_older_bars_that_a_deeper_request_brings_are_merged() -> None:
    def converse(socket: ServerConnection, number: int) -> None:
        socket.send(frame('{"session_id":"x"}'))
        charts: list[Chart] = []
        for text in socket:
            for payload in parse_frames(str(text)):
                value = json.loads(payload)
                if value["m"] == "create_series":
                    charts.append(Chart(socket, "A:X", value["p"][0], [None, *value["p"][1:6]], []))
                    charts[0].whole(bars_of(3, first=4))
                elif value["m"] == "request_more_data":
                    assert value["p"][1:] == ["sds_1", 4]
                    charts[0].send(charts[0].update(bars_of(4)), charts[0].completed())

    with socket_service(converse) as venue:
        source = SocketBars(venue.address, clock=lambda: NOW, rules=QUICK)
        (answer,) = source.fetch_bars([BarRequest("A:X", 7, NOW)])
    assert (answer.state, rows(answer)) == ("complete", values(bars_of(7)))


def test_a_deeper_request_that_nobody_answers_leaves_the_series_complete() -> None:
    def converse(socket: ServerConnection, number: int) -> None:
        socket.send(frame('{"session_id":"x"}'))
        for text in socket:
            for payload in parse_frames(str(text)):
                value = json.loads(payload)
                if value["m"] == "create_series":
                    Chart(socket, "A:X", value["p"][0], [None, *value["p"][1:6]], []).whole(bars_of(3))

    with socket_service(converse) as venue:
        source = SocketBars(venue.address, clock=lambda: NOW, rules=QUICK)
        (answer,) = source.fetch_bars([BarRequest("A:X", 7, NOW)])
    assert (answer.state, answer.code, answer.counters["bars"]) == ("complete", None, 3)


# handshakes ---------------------------------------------------------------------------------------------------------


def test_a_handshake_refused_with_429_waits_2_4_6_and_8_seconds() -> None:
    def tell(chart: Chart, number: int) -> None:
        chart.whole(bars_of(5))

    (answer,), _, slept = fetch(tell, refuse=[(429, {})] * 3 + [(429, {"Retry-After": "11"})])
    assert (answer.state, slept) == ("complete", [2.0, 4.0, 6.0, 11.0])
    answers, _, slept = fetch(tell, refuse=[(429, {})] * 5)
    assert [(one.state, one.code) for one in answers] == [("failed", "RATE_LIMITED")]
    assert slept == [2.0, 4.0, 6.0, 8.0]


def test_a_handshake_that_asks_for_a_day_is_not_waited_for() -> None:
    answers, venue, slept = fetch(lambda chart, number: None, refuse=[(429, {"Retry-After": "86400"})])
    assert [(one.state, one.code) for one in answers] == [("failed", "RATE_LIMITED")]
    assert (len(venue.handshakes), slept) == (1, [])


def test_a_token_that_the_service_repeats_is_kept_nowhere() -> None:
    def tell(chart: Chart, number: int) -> None:
        if number == 1:
            chart.send(message("protocol_error", "the token secret-of-a-user has expired"))
        else:
            chart.send(chart.resolved(), message("series_error", chart.session, chart.series, "secret-of-a-user"))

    (answer,), _, _ = fetch(tell, token="secret-of-a-user")
    assert [one.code for one in answer.attempts] == ["PROTOCOL", "SERIES_ERROR"]
    assert "the token *** has expired" in str(answer.attempts[0].detail)
    assert "secret-of-a-user" not in repr(answer)


@pytest.mark.parametrize(("status", "code"), [(451, "GEO_BLOCKED"), (418, "BANNED")])
def test_a_refused_handshake_opens_the_breaker_for_all(status: int, code: str) -> None:
    answers, venue, _ = fetch(lambda chart, number: None, "A:X", "A:Y", refuse=[(status, {})] * 2)
    assert [(one.state, one.code) for one in answers] == [("failed", code), ("failed", "CIRCUIT_OPEN")]
    assert len(venue.handshakes) == 1


def test_a_closed_port_fails_as_a_value_with_its_code() -> None:
    slept: list[float] = []
    with closed_port() as port:
        source = SocketBars(f"ws://127.0.0.1:{port}", clock=lambda: NOW, rules=QUICK, sleep=slept.append)
        answers = list(source.fetch_bars([BarRequest(f"A:X{n}", 5, NOW) for n in range(7)]))
    assert [one.state for one in answers] == ["failed"] * 7
    assert [one.code for one in answers] == ["CONNECTION"] * 5 + ["CIRCUIT_OPEN"] * 2
    assert answers[0].error == "connection refused (5 attempts)"
    assert slept[:4] == [1.0, 2.0, 4.0, 8.0]
    assert answers[0].payload is None


def test_a_service_that_never_greets_is_a_timeout() -> None:
    def converse(socket: ServerConnection, number: int) -> None:
        for _ in socket:
            """Say nothing."""

    with socket_service(converse) as venue:
        rules = replace(LIVE, read_seconds=0.05, tries=1)
        source = SocketBars(venue.address, clock=lambda: NOW, rules=rules)
        (answer,) = source.fetch_bars([BarRequest("A:X", 5, NOW)])
    assert (answer.state, answer.code, answer.error) == ("empty", "TIMEOUT", "no hello in time")


def test_a_consumer_that_stops_stops_the_sockets() -> None:
    asked: list[str] = []

    def tell(chart: Chart, number: int) -> None:
        asked.append(chart.symbol)
        chart.whole(bars_of(5))

    with socket_service(service(tell)) as venue:
        source = SocketBars(venue.address, clock=lambda: NOW, rules=replace(LIVE, sockets=1, symbols_per_socket=500))
        answers: Iterator[Answer] = source.fetch_bars([BarRequest(f"A:X{n}", 5, NOW) for n in range(500)])
        next(answers)
        answers.close()  # type: ignore[attr-defined]
    assert 1 <= len(asked) < 500


def test_what_the_service_cannot_have_is_refused_before_anybody_is_asked() -> None:
    source = SocketBars("ws://127.0.0.1:9", clock=lambda: NOW, rules=LIVE)
    with pytest.raises(UsageError, match="no 1d bars of A:X adjusted by none"):
        next(source.fetch_bars([BarRequest("A:X", 5, NOW, adjustment="none")]))
    for symbol in ("A:X'; drop table", "A", "a:x", "A:X\n", "../A:X"):
        with pytest.raises(BadValue, match="EXCHANGE:TICKER"):
            BarRequest(symbol, 5, NOW)
    with pytest.raises(BadValue, match="interval"):
        BarRequest("A:X", 5, NOW, interval="2m")
    with pytest.raises(BadValue, match="time with zone"):
        BarRequest("A:X", 5, datetime(2025, 1, 1))


# whatever arrives ---------------------------------------------------------------------------------------------------

_junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=7), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
_names = st.sampled_from(["cs_abcdefghijkl", "sds_1", "s1", "sds_sym_1", "cs_z", "sds_2", "s2"])
_bars = st.lists(st.one_of(_junk, st.fixed_dictionaries({"i": _junk, "v": st.lists(_junk, max_size=8)})), max_size=4)
_packets = st.one_of(
    _junk,
    st.fixed_dictionaries({"m": st.sampled_from(["symbol_resolved", "series_completed", "du", "x"]), "p": _junk}),
    st.builds(
        lambda function, session, series, turnaround, bars: {
            "m": function,
            "p": [session, {series: {"s": bars, "t": turnaround}}],
        },
        st.sampled_from(["timescale_update", "du"]),
        _names,
        _names,
        _names,
        _bars,
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_packets, max_size=6), st.booleans())
def test_every_own_row_is_read_and_no_foreign_one_whatever_the_packets_hold(packets: list[Any], is_ours: bool) -> None:
    name = SERIES.symbol if is_ours else "A:ALIEN"
    info = message("symbol_resolved", SERIES.session, SERIES.symbol_id, {"pro_name": name})
    asked = frame(json.dumps({"asked": vars(SERIES)}))
    payload = asked + info + "".join(frame(json.dumps(packet)) for packet in packets)
    table = read_bars(payload.encode(), {"symbol": SERIES.symbol})
    own = [own_bars(packet, SERIES) or [] for packet in packets if isinstance(packet, dict)]
    received = sum(map(len, own))
    assert tuple(table.column_names) == BAR_COLUMNS
    assert table.num_rows <= received
    if not is_ours:
        assert table.num_rows == 0
    elif len([block for block in own if block]) == 1:
        assert table.num_rows == received
    for row in table.column("row").to_pylist():
        json.loads(row)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_conversation_are_an_error_or_no_rows(payload: bytes) -> None:
    try:
        table = read_bars(payload, {"symbol": SERIES.symbol})
    except DataContractError:
        return
    assert table.num_rows == 0
