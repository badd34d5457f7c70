"""The scanner: what is asked, how pages become one answer, which rows get which code, and the genuine answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Asked, Given, closed_port, given_json, web_service
from quantmill.errors import BadValue, DataContractError, UsageError
from quantmill.manifest.scanners import Filter, Rank, Scanner

from ingest.answers import ROW_COLUMNS, Answer
from ingest.readers import read, refusal
from ingest.sources.common import REPEATED, pages_payload
from ingest.sources.tradingview_scanner import HEADERS, lookup, read_scan, scan, scan_request, symbol_fields
from ingest.transport import Pacing, RetryRules, Transport

NOW = datetime(2025, 3, 1, 0, 10, tzinfo=UTC)
COLUMNS = ("name", "type", "close", "Value.Traded", "Recommend.All|240")


def scanner(**changes: Any) -> Scanner:
    values: dict[str, Any] = {
        "scanner_id": "test",
        "direction": "LONG",
        "logic": "trend",
        "calendar_id": "24/7",
        "market": "crypto",
        "venue_class": "spot",
        "exchanges": ("BINANCE",),
        "filters": (Filter(left="Value.Traded", operation="greater", right=1e6),),
        "columns": COLUMNS,
        "prefilter_limit": 300,
        "ranks": (Rank(field="close", order="desc"),),
        "limit": 50,
    }
    return Scanner(**(values | changes))


def row(symbol: str, *values: Any) -> dict[str, Any]:
    return {"s": symbol, "d": list(values or (symbol.partition(":")[2], "spot", 1.5, 2e6, 0.25))}


def market(count: int, *, shift: int = 0) -> list[dict[str, Any]]:
    return [row(f"BINANCE:C{n + shift:04}USDT") for n in range(count)]


def client(address: str, **options: Any) -> Transport:
    options = {"pacing": Pacing(1e6), **options}
    return Transport("tradingview", address, clock=lambda: NOW, sleep=lambda _: None, headers=HEADERS, **options)


def venue(rows: list[dict[str, Any]], total: int | None = None) -> Callable[[Asked], Given]:
    """Return a service that gives the rows of the range asked, or those of the tickers asked."""

    def answer(asked: Asked) -> Given:
        body = asked.json
        tickers = body["symbols"]["tickers"]
        found = [one for one in rows if one["s"] in tickers] if tickers else rows
        first, last = body["range"]
        return given_json({"totalCount": total or len(found), "data": found[first:last] or None})

    return answer


LIMITS: dict[str, Any] = {"page_rows": 100, "symbols_per_request": 500}


def ask(answer: Any, one: Scanner | None = None, **options: Any) -> tuple[Answer, list[Asked]]:
    with web_service(answer) as service:
        found = scan(one or scanner(), client(service.address), **{**LIMITS, **options})
    return found, service.asked


def table(answer: Answer) -> list[dict[str, Any]]:
    assert answer.payload is not None
    found = read(answer.kind, "tradingview", answer.payload, answer.request)
    assert tuple(found.column_names) == ROW_COLUMNS
    assert found.column("row_number").to_pylist() == list(range(1, found.num_rows + 1))
    return found.to_pylist()


def codes(answer: Answer) -> list[str | None]:
    return [one["code"] for one in table(answer)]


def test_the_body_is_the_one_of_the_interface() -> None:
    _, asked = ask(venue(market(3)))
    assert (asked[0].method, asked[0].path) == ("POST", "/crypto/scan")
    assert asked[0].headers["origin"] == "https://www.tradingview.com"
    assert asked[0].headers["content-type"] == "application/json"
    assert asked[0].json == {
        "filter": [{"left": "Value.Traded", "operation": "greater", "right": 1e6}],
        "options": {"lang": "en"},
        "columns": list(COLUMNS),
        "sort": {"sortBy": "Value.Traded", "sortOrder": "desc"},
        "range": [0, 100],
        "symbols": {"query": {"types": []}, "tickers": []},
        "markets": ["crypto"],
    }


@pytest.mark.parametrize(
    ("count", "limit", "ranges"),
    [
        (250, 300, [[0, 100], [100, 200], [200, 300]]),
        (1000, 250, [[0, 100], [100, 200], [200, 250]]),
        (7, 300, [[0, 100]]),
        (100, 300, [[0, 100]]),
        (101, 300, [[0, 100], [100, 200]]),
    ],
)
def test_pages_of_a_hundred_end_at_the_count_or_at_the_limit(count: int, limit: int, ranges: list[Any]) -> None:
    answer, asked = ask(venue(market(count)), scanner(prefilter_limit=limit))
    assert [one.json["range"] for one in asked] == ranges
    assert (answer.state, answer.code, len(table(answer))) == ("complete", None, min(count, limit))
    assert answer.counters["total_count"] == count


def test_a_short_page_does_not_end_a_scan_and_the_next_one_begins_where_it_ended() -> None:
    rows = market(250)

    def answer(asked: Asked) -> Given:
        first, last = asked.json["range"]
        return given_json({"totalCount": 250, "data": rows[first : last - 30 if first == 0 else last]})

    found, asked = ask(answer)
    assert [one.json["range"] for one in asked] == [[0, 100], [70, 170], [170, 270]]
    assert (found.state, found.counters["rows"], found.counters["repeated_rows"]) == ("complete", 250, 0)


def test_rows_that_never_come_make_a_scan_partial() -> None:
    found, asked = ask(venue(market(220), total=250))
    # Three sweeps of four pages each, the last of which is empty.
    assert len(asked) == 12
    assert (found.state, found.code, found.counters["extra_sweeps"]) == ("partial", "SCAN_SHORT", 2)
    assert found.error == "220 rows arrived of the 250 that the service counts"


def test_a_service_that_gives_one_row_at_a_time_is_not_asked_for_ever() -> None:
    def answer(asked: Asked) -> Given:
        return given_json({"totalCount": 9_999, "data": market(1, shift=asked.json["range"][0])})

    found, asked = ask(answer)
    assert (found.state, len(asked), len(table(found))) == ("partial", 12, 12)


def moving(shifts: list[int]) -> Callable[[Asked], Given]:
    """Return a service of 200 rows whose second page begins earlier by the shift of each sweep, then of the last."""
    rows, left = market(200), iter(shifts)

    def answer(asked: Asked) -> Given:
        first, last = asked.json["range"]
        shift = next(left, shifts[-1]) if first else 0
        return given_json({"totalCount": 200, "data": rows[first - shift : last - shift]})

    return answer


def test_a_row_that_moved_between_pages_is_found_by_another_sweep_and_every_row_is_kept_once() -> None:
    found, asked = ask(moving([2, 0]))
    assert [one.json["range"] for one in asked] == [[0, 100], [100, 200]] * 2
    assert (found.state, found.code, found.counters["rows"]) == ("complete", None, 200)
    # Two rows that moved, and the 198 of the second sweep that had come before.
    assert (found.counters["repeated_rows"], found.counters["extra_sweeps"]) == (2 + 198, 1)
    kept = [one["symbol"] for one in table(found) if one["code"] is None]
    assert kept == [one["s"] for one in market(200)]
    repeated = [one for one in table(found) if one["code"] == REPEATED]
    assert [one["symbol"] for one in repeated[:2]] == ["BINANCE:C0098USDT", "BINANCE:C0099USDT"]
    assert repeated[0]["detail"] == "came before as row 99"
    assert len(table(found)) == 400


def test_a_sweep_ends_with_the_page_that_brings_the_last_row() -> None:
    rows, answered = market(300), list[int]()

    def moved(asked: Asked) -> Given:
        # In the first sweep the first row of the second page is one of the first page.
        first, last = asked.json["range"]
        answered.append(first)
        data = rows[first:last] if answered.count(first) > 1 or first != 100 else [rows[0], *rows[101:200]]
        if answered.count(0) > 1 and first == 0:
            data = [rows[100], *rows[1:100]]
        return given_json({"totalCount": 300, "data": data})

    found, asked = ask(moved)
    assert [one.json["range"][0] for one in asked] == [0, 100, 200, 0]
    assert (found.state, found.counters["rows"]) == ("complete", 300)


def test_rows_that_no_sweep_brings_leave_a_scan_partial() -> None:
    found, asked = ask(moving([2]))
    assert len(asked) == 6
    assert (found.state, found.code, found.counters["rows"]) == ("partial", "SCAN_SHORT", 198)


def test_an_error_in_another_sweep_fails_the_scan() -> None:
    service = moving([2])
    count = 0

    def answer(asked: Asked) -> Given:
        nonlocal count
        count += 1
        return service(asked) if count <= 2 else Given(503, b"busy")

    found, _ = ask(answer)
    assert (found.state, found.code) == ("failed", "SERVER_ERROR")


def test_no_rows_are_empty_and_no_failure() -> None:
    answer, _ = ask([given_json({"totalCount": 0, "data": None})])
    assert (answer.state, answer.code, table(answer)) == ("empty", None, [])


def test_an_error_on_any_page_fails_the_scan_and_keeps_no_row() -> None:
    answer, asked = ask([given_json({"totalCount": 200, "data": market(100)}), *[Given(503, b"busy")] * 5])
    assert (answer.state, answer.code, answer.payload) == ("failed", "SERVER_ERROR", b"busy")
    assert len(answer.attempts) == len(asked) == 6


def test_a_closed_port_fails_as_a_value() -> None:
    with closed_port() as port:
        answer = scan(scanner(), client(f"http://127.0.0.1:{port}"), **LIMITS)
    assert (answer.state, answer.code, answer.payload, len(answer.attempts)) == ("failed", "CONNECTION", None, 5)


def test_an_unknown_field_is_schema_drift_that_names_it() -> None:
    given_body = {"totalCount": 0, "error": 'Unknown field "Recommend.All|240"', "data": None}
    answer, asked = ask([given_json(given_body, 400)])
    assert (answer.state, answer.code, len(asked)) == ("failed", "SCHEMA_DRIFT", 1)
    assert str(answer.error).startswith("the service does not know the field Recommend.All|240; it answered HTTP 400")
    assert answer.payload == json.dumps(given_body).encode()


def test_any_other_400_is_no_schema_drift() -> None:
    answer, _ = ask([given_json({"error": "range is too large"}, 400)])
    assert (answer.state, answer.code) == ("failed", "HTTP_ERROR")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "SCHEMA_DRIFT"),
        ({"data": []}, "SCHEMA_DRIFT"),
        ({"totalCount": "7", "data": []}, "SCHEMA_DRIFT"),
        ({"totalCount": True, "data": []}, "SCHEMA_DRIFT"),
        ({"totalCount": 1, "data": {"s": "A:B"}}, "SCHEMA_DRIFT"),
        ({"totalCount": 0, "data": None, "error": "overloaded"}, "SCAN_ERROR"),
    ],
)
def test_a_body_of_another_shape_is_a_failure_that_says_so(body: Any, code: str) -> None:
    answer, _ = ask([given_json(body)])
    assert (answer.state, answer.code) == ("failed", code)


def test_a_static_list_is_asked_for_exactly_and_names_what_is_missing() -> None:
    one = scanner(symbols=("AMEX:SPY", "NASDAQ:QQQ"), filters=(), exchanges=(), venue_class="listed")
    answer, asked = ask(venue([row("AMEX:SPY"), row("AMEX:IWM")]), one)
    assert asked[0].json["symbols"]["tickers"] == ["AMEX:SPY", "NASDAQ:QQQ"]
    assert (answer.state, answer.counters["missing_symbols"]) == ("complete", 1)
    assert [found["symbol"] for found in table(answer)] == ["AMEX:SPY"]


def test_members_of_an_index_are_the_pool_and_their_absence_is_an_error() -> None:
    one = scanner(index_id="dw30", exchanges=(), venue_class="listed")
    with web_service(venue([row("NASDAQ:AAPL"), row("NYSE:IBM")])) as service:
        answer = scan(one, client(service.address), pool=["NYSE:IBM"], **LIMITS)
        assert [found["symbol"] for found in table(answer)] == ["NYSE:IBM"]
        assert scan(one, client(service.address), pool=[], **LIMITS).code == "NO_MEMBERS"
        with pytest.raises(UsageError, match="index dw30, whose members are not given"):
            scan(one, client(service.address), **LIMITS)


def test_ensured_symbols_that_the_pages_lack_are_asked_for_without_filters() -> None:
    rows = [*market(3), row("BINANCE:ETHUSDT")]

    def answer(asked: Asked) -> Given:
        tickers = asked.json["symbols"]["tickers"]
        found = [one for one in rows if one["s"] in tickers] if tickers else rows[:3]
        return given_json({"totalCount": len(found), "data": found})

    one = scanner(ensure_symbols=("BINANCE:C0000USDT", "BINANCE:ETHUSDT"))
    found, asked = ask(answer, one)
    assert asked[1].json["symbols"]["tickers"] == ["BINANCE:ETHUSDT"] and asked[1].json["filter"] == []
    assert (found.state, found.counters["ensured_rows"]) == ("complete", 1)
    assert codes(found) == [None] * 4


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (row("BINANCE:XUSDT", "X", "spot", 1.5), "SCAN_WIDTH"),
        (row("BINANCE:XUSDT", "X", "spot", 1.5, 2e6, 0.1, 9), "SCAN_WIDTH"),
        (row("binance:xusdt"), "SCAN_SYMBOL"),
        (row("BINANCE:X' or 1=1"), "SCAN_SYMBOL"),
        (row("BINANCE:../X"), "SCAN_SYMBOL"),
        ({"s": 7, "d": [None] * 5}, "SCAN_SYMBOL"),
        (row("BINANCE:XUSDT", "X", "spot", "1.5", 2e6, 0.1), "SCAN_TYPE"),
        (row("BINANCE:XUSDT", "X", "spot", True, 2e6, 0.1), "SCAN_TYPE"),
        (row("BINANCE:XUSDT", "X", "spot", 1.5, {"v": 1}, 0.1), "SCAN_TYPE"),
        (row("BINANCE:XUSDT", 7, "spot", 1.5, 2e6, 0.1), "SCAN_TYPE"),
        (row("BINANCE:XUSDT.P"), "SCAN_VENUE"),
        (row("BINANCE:XUSDT", "X", "swap", 1.5, 2e6, 0.1), "SCAN_VENUE"),
        (row("OKX:XUSDT"), "SCAN_VENUE"),
        ("a text", "SCAN_SHAPE"),
        ({"s": "BINANCE:XUSDT"}, "SCAN_SHAPE"),
        (None, "SCAN_SHAPE"),
    ],
)
def test_a_bad_row_gets_its_code_and_the_others_go_on(bad: Any, code: str) -> None:
    answer, _ = ask([given_json({"totalCount": 41, "data": [*market(20), bad, *market(20, shift=20)]})])
    rows = table(answer)
    assert [one["code"] for one in rows] == [None] * 20 + [code] + [None] * 20
    assert json.loads(rows[20]["row"]) == bad or code == "SCAN_VENUE"
    assert rows[20]["detail"]
    assert refusal(read("scan", "tradingview", answer.payload or b"", answer.request)) is None


def test_a_perp_scan_takes_only_perpetuals() -> None:
    rows = [row("BINANCE:XUSDT.P", "X", "swap", 1.5, 2e6, 0.1), row("BINANCE:XUSDT", "X", "spot", 1.5, 2e6, 0.1)]
    answer, _ = ask([given_json({"totalCount": 2, "data": rows})], scanner(venue_class="perp"))
    assert codes(answer) == [None, "SCAN_VENUE"]


def test_nulls_and_nan_are_missing_values_and_no_faults() -> None:
    body = b'{"totalCount": 1, "data": [{"s": "BINANCE:XUSDT", "d": ["X", null, NaN, null, -0.0]}]}'
    answer, _ = ask([Given(200, body)])
    (found,) = table(answer)
    assert found["code"] is None
    assert json.loads(found["row"]) == dict.fromkeys(COLUMNS) | {"name": "X", "Recommend.All|240": -0.0}


def test_more_than_five_percent_of_bad_rows_reject_the_scan() -> None:
    def judged(bad: int) -> tuple[str, str] | None:
        rows = [*market(100 - bad), *(row(f"BINANCE:B{n}USDT", "X") for n in range(bad))]
        answer, _ = ask([given_json({"totalCount": 100, "data": rows})])
        return refusal(read("scan", "tradingview", answer.payload or b"", answer.request))

    assert judged(5) is None
    found = judged(6)
    assert found == ("TOO_MANY_BAD_ROWS", "6 of 100 rows are bad (SCAN_WIDTH 6); at most 5 % may be")


def test_a_field_that_was_retyped_everywhere_is_schema_drift() -> None:
    rows = [row(f"BINANCE:C{n}USDT", "X", "spot", "1.5", 2e6, 0.1) for n in range(30)]
    answer, _ = ask([given_json({"totalCount": 30, "data": rows})])
    found = refusal(read("scan", "tradingview", answer.payload or b"", answer.request))
    assert found is not None and found[0] == "SCHEMA_DRIFT" and "close is '1.5'; needs a number" in found[1]


def test_repeated_rows_never_reject_a_scan() -> None:
    answer, _ = ask([given_json({"totalCount": 60, "data": [*market(30), *market(30)]})])
    assert refusal(read("scan", "tradingview", answer.payload or b"", answer.request)) is None


def test_the_request_is_the_same_for_the_same_question_and_tells_others_apart() -> None:
    assert scan_request(scanner()) == scan_request(scanner())
    assert scan_request(scanner()) != scan_request(scanner(limit=51))


def test_a_good_row_after_a_bad_one_of_its_symbol_stands() -> None:
    answer, _ = ask([given_json({"totalCount": 2, "data": [row("BINANCE:XUSDT", "X"), row("BINANCE:XUSDT")]})])
    assert codes(answer) == ["SCAN_WIDTH", None]


# lookups ------------------------------------------------------------------------------------------------------------


def test_a_lookup_asks_for_at_most_500_symbols_at_once_and_names_the_missing() -> None:
    rows = [row(f"BINANCE:C{n:04}USDT") for n in range(1200) if n != 7]
    progress: list[tuple[int, int]] = []
    with web_service(venue(rows)) as service:
        symbols = [f"BINANCE:C{n:04}USDT" for n in range(1200)]
        answers = list(
            lookup(
                symbols,
                COLUMNS,
                client(service.address),
                symbols_per_request=500,
                progress=lambda *one: progress.append(one[:2]),
            )
        )
    assert sorted(len(one.json["symbols"]["tickers"]) for one in service.asked) == [200, 500, 500]
    assert {one.path for one in service.asked} == {"/global/scan"}
    assert sum(len(table(one)) for one in answers) == 1199
    (partial,) = [one for one in answers if one.state == "partial"]
    assert partial.code == "MISSING_SYMBOLS"
    assert partial.error == "1 of 500 symbols have no row: BINANCE:C0007USDT"
    assert progress[-1] == (1200, 1200)


def test_a_row_that_nobody_asked_for_is_a_stray_one() -> None:
    with web_service([given_json({"totalCount": 2, "data": [row("AMEX:SPY"), row("NASDAQ:SPY")]})]) as service:
        (answer,) = lookup(["AMEX:SPY"], COLUMNS, client(service.address), symbols_per_request=500)
    assert codes(answer) == [None, "SCAN_VENUE"]


def test_a_lookup_without_any_row_is_empty() -> None:
    with web_service([given_json({"totalCount": 0, "data": None})]) as service:
        (answer,) = lookup(
            ["AMEX:SPY"], COLUMNS, client(service.address), symbols_per_request=500, kind="vendor_features"
        )
    assert (answer.state, answer.kind) == ("empty", "vendor_features")


def test_the_fields_of_one_symbol_come_as_an_object() -> None:
    def answer(asked: Asked) -> Given:
        if asked.query["symbol"] == "NYSE:GONE":
            return given_json({}, 404)
        return given_json({"close": 1.5, "Recommend.All|240": None, "type": "stock"})

    with web_service(answer) as service:
        found = list(symbol_fields(["NYSE:BRK.B", "NYSE:GONE"], COLUMNS, client(service.address)))
    assert {one.path for one in service.asked} == {"/symbol"}
    assert service.asked[0].query["fields"] == ",".join(COLUMNS) and service.asked[0].query["no_404"] == "false"
    states = {one.request["symbol"]: one for one in found}
    assert (states["NYSE:GONE"].state, states["NYSE:GONE"].code) == ("unknown_symbol", "UNKNOWN_SYMBOL")
    (one,) = table(states["NYSE:BRK.B"])
    assert (one["symbol"], one["code"], json.loads(one["row"])["close"]) == ("NYSE:BRK.B", None, 1.5)


def test_a_symbol_is_checked_before_anybody_is_asked() -> None:
    transport = client("http://127.0.0.1:9", rules=RetryRules(attempts=1))
    with pytest.raises(BadValue, match="EXCHANGE:TICKER"):
        list(lookup(["AMEX:SPY", "spy"], COLUMNS, transport, symbols_per_request=500))
    with pytest.raises(BadValue, match="EXCHANGE:TICKER"):
        list(symbol_fields(["../../etc"], COLUMNS, transport))


# the genuine answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "symbols", "column", "values"),
    [
        ("scan_america_2019_2rows.json", ["NASDAQ:AAPL", "NYSE:CMP"], "Recommend.All", [0.44545454, 0.4030303]),
        (
            "scan_america_2026_5rows.json",
            ["NASDAQ:MDB", "NASDAQ:QURE", "NYSE:BRK.B", "NYSE:MCD"],
            "close",
            [351.73, 23.37, 500.5, 231.83],
        ),
    ],
)
def test_the_genuine_answers_parse_to_their_rows(
    shared_data: Path, name: str, symbols: list[str], column: str, values: list[float]
) -> None:
    recorded = json.loads((shared_data / "tradingview" / name).read_text(encoding="utf-8"))
    columns, response = recorded["request_columns"], recorded["response"]
    payload = pages_payload([({"range": [0, 100]}, json.dumps(response).encode())])
    rows = read_scan(payload, {"columns": columns}).to_pylist()
    assert [one["code"] for one in rows] == [None] * len(response["data"])
    assert [one["symbol"] for one in rows][: len(symbols)] == symbols
    assert [json.loads(one["row"])[column] for one in rows][: len(values)] == values
    for one, received in zip(rows, response["data"], strict=True):
        assert list(json.loads(one["row"]).values()) == received["d"]


def test_the_symbols_of_a_genuine_crypto_scan_are_all_symbols(shared_data: Path) -> None:
    recorded = json.loads((shared_data / "tradingview" / "scan_crypto_market_caps_multi_exchange.json").read_text())
    entries = recorded if isinstance(recorded, list) else recorded["rows"]
    body = {"totalCount": len(entries), "data": [{"s": one["symbol"], "d": [one["market_cap"]]} for one in entries]}
    payload = pages_payload([({}, json.dumps(body).encode())])
    found = read_scan(payload, {"columns": ["market_cap_calc"]})
    assert found.num_rows == 1000
    assert set(found.column("code").to_pylist()) <= {None, REPEATED}


# whatever arrives ---------------------------------------------------------------------------------------------------

_scalars = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=6))
_junk = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))
_symbols = st.one_of(st.sampled_from(["BINANCE:AUSDT", "BINANCE:BUSDT.P", "OKX:CUSDT", "A", "A:B\n"]), _junk)
_rows = st.one_of(
    _junk,
    st.fixed_dictionaries({"s": _symbols, "d": st.lists(_junk, max_size=7)}),
    st.builds(lambda symbol, values: row(symbol, *values), st.sampled_from(["BINANCE:AUSDT"]), st.lists(_scalars)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_rows, max_size=5), max_size=3))
def test_every_received_row_becomes_one_row_with_or_without_a_code(pages: list[list[Any]]) -> None:
    payload = pages_payload([({}, json.dumps({"totalCount": 1, "data": page}).encode()) for page in pages])
    found = read_scan(payload, scan_request(scanner()))
    assert found.num_rows == sum(map(len, pages))
    for one in found.to_pylist():
        json.loads(one["row"], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        if one["code"] is None:
            assert one["symbol"] == "BINANCE:AUSDT"
            assert set(json.loads(one["row"])) == set(COLUMNS)
        else:
            assert one["detail"]
    good = [one["symbol"] for one in found.to_pylist() if one["code"] is None]
    assert len(good) == len(set(good))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_envelope_are_an_error(payload: bytes) -> None:
    with pytest.raises(DataContractError, match="no envelope"):
        read_scan(payload, scan_request(scanner()))
