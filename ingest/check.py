"""Ask each interface of a source one small question, and compare the answer with what its reader expects.

What is known from public notes alone becomes known by this, for whoever has a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from quantmill.errors import DataContractError, UsageError
from quantmill.manifest.scanners import Filter, Rank, Scanner

from ingest.answers import Answer
from ingest.network import Network
from ingest.readers import read
from ingest.sources import tradingview_scanner
from ingest.sources.common import BarRequest
from ingest.transport import UNREACHED_CODES

COIN, FUND, SHARE = "BINANCE:BTCUSDT", "AMEX:SPY", "NASDAQ:AAPL"
UNKNOWN = "NASDAQ:QQZZQQZZ"
FIELDS = ("name", "description", "type", "exchange", "close", "volume", "Value.Traded", "Recommend.All", "ADX|1W")


@dataclass(frozen=True)
class Finding:
    """What one interface said: confirmed, differs (`detail` says how) or unreachable (`detail` says why)."""

    interface: str
    status: Literal["confirmed", "differs", "unreachable"]
    detail: str


def check(source: str, network: Network, *, now: datetime) -> Iterator[Finding]:
    """Yield one finding per interface of a source. Raises `UsageError` for a source that has none."""
    questions = QUESTIONS.get(source)
    if questions is None:
        raise UsageError(f"{source!r} has no interface to check", remedy=f"one of {', '.join(sorted(QUESTIONS))}")
    for name, question in questions.items():
        yield _finding(name, question, network, now)


def _finding(name: str, question: Callable[[Network, datetime], str], network: Network, now: datetime) -> Finding:
    try:
        return Finding(name, "confirmed", question(network, now))
    except _UnreachedError as error:
        return Finding(name, "unreachable", error.message)
    except DataContractError as error:
        return Finding(name, "differs", error.message)


class _UnreachedError(DataContractError):
    """An interface that could not be asked."""


def _require(is_right: bool, found: str) -> None:
    if not is_right:
        raise DataContractError(found)


def _arrived(answers: Sequence[Answer], *, state: str = "complete") -> Answer:
    """Return the first answer. Raises for one that did not arrive, or that is in another state than expected."""
    answer = answers[0]
    if answer.code in UNREACHED_CODES:
        raise _UnreachedError(f"{answer.code}: {answer.error}")
    if answer.state != state:
        raise DataContractError(f"the answer is {answer.state} ({answer.code}: {answer.error}); {state} was expected")
    return answer


def _rows(answer: Answer, *, least: int) -> list[dict[str, str | None]]:
    """Return the rows that the reader finds. Raises when they are too few or have codes."""
    assert answer.payload is not None
    rows: list[dict[str, str | None]] = read(answer.kind, answer.source, answer.payload, answer.request).to_pylist()
    faults = [f"{row['code']}: {row['detail']}" for row in rows if row.get("code") is not None]
    _require(not faults, f"{len(faults)} of {len(rows)} rows are faulty, the first: {faults[0] if faults else ''}")
    _require(len(rows) >= least, f"{len(rows)} rows; at least {least} were expected")
    return rows


def _bars(answer: Answer, *, least: int, fields: Sequence[str]) -> str:
    rows = _rows(answer, least=least)
    for field in fields:
        for row in rows:
            try:
                float(row[field] or "")
            except ValueError:
                raise DataContractError(f"{field} is {row[field]}; a number was expected") from None
    return f"{len(rows)} bars of {answer.request['symbol']}"


PRICES = ("opened_at", "open", "high", "low", "close")


def _scanner(columns: Sequence[str]) -> Scanner:
    return Scanner(
        scanner_id="check",
        direction="LONG",
        logic="trend",
        market="america",
        venue_class="listed",
        calendar_id="XNYS",
        filters=(Filter(left="type", operation="equal", right="stock"),),
        columns=tuple(columns),
        prefilter_limit=5,
        ranks=(Rank(field="Value.Traded", order="desc"),),
        limit=5,
    )


def _scan(network: Network, now: datetime) -> str:
    rows = _rows(_arrived(list(network.scans([_scanner(FIELDS)]))), least=5)
    return f"{len(rows)} rows with {len(FIELDS)} columns"


def _unknown_field(network: Network, now: datetime) -> str:
    answer = network.scan(_scanner([*FIELDS, "no_such_field"]))
    if answer.code in UNREACHED_CODES:
        raise _UnreachedError(f"{answer.code}: {answer.error}")
    is_named = answer.code == "SCHEMA_DRIFT" and "no_such_field" in str(answer.error)
    _require(is_named, f"an unknown field gives {answer.code}: {answer.error}; HTTP 400 naming it was expected")
    return "an unknown field is HTTP 400 with its name"


def _lookup(network: Network, now: datetime) -> str:
    answer = _arrived(list(network.fields([COIN, FUND], FIELDS, kind="symbol_metadata")))
    found = {row["symbol"] for row in _rows(answer, least=2)}
    _require(found == {COIN, FUND}, f"the symbols are {', '.join(sorted(map(str, found)))}")
    return "exact symbols of two markets in one request"


def _symbol(network: Network, now: datetime) -> str:
    transport = network.transport("tradingview_scanner")
    _rows(_arrived(list(tradingview_scanner.symbol_fields([FUND], FIELDS, transport))), least=1)
    _arrived(list(tradingview_scanner.symbol_fields([UNKNOWN], FIELDS, transport)), state="unknown_symbol")
    return f"the fields of {FUND}; an unknown symbol is a 404"


def _hello(network: Network, now: datetime) -> str:
    greeting, attempt = network.socket().hello()
    if attempt.code in UNREACHED_CODES:
        raise _UnreachedError(f"{attempt.code}: {attempt.detail}")
    _require(greeting is not None, f"{attempt.code}: {attempt.detail}")
    assert greeting is not None
    _require("session_id" in greeting, f"the hello holds {', '.join(sorted(greeting))}; session_id was expected")
    return f"hello with {', '.join(sorted(greeting))}"


def _socket_bars(adjustment: str, symbol: str) -> Callable[[Network, datetime], str]:
    def question(network: Network, now: datetime) -> str:
        request = BarRequest(symbol, 10, now, adjustment=adjustment)
        return _bars(_arrived(list(network.bars("tradingview", [request]))), least=10, fields=PRICES)

    return question


def _klines(symbol: str) -> Callable[[Network, datetime], str]:
    def question(network: Network, now: datetime) -> str:
        answer = _arrived(list(network.bars("binance", [BarRequest(symbol, 10, now)])))
        return _bars(answer, least=10, fields=(*PRICES, "volume"))

    return question


def _unknown_ticker(network: Network, now: datetime) -> str:
    request = BarRequest("BINANCE:QQZZQQZZUSDT", 10, now)
    _arrived(list(network.bars("binance", [request])), state="unknown_symbol")
    return "an unknown symbol is the code -1121"


def _limits(market: Literal["spot", "usdm", "coinm"]) -> Callable[[Network, datetime], str]:
    def question(network: Network, now: datetime) -> str:
        import json

        answer = _arrived(list(network.limits([market])))
        assert answer.payload is not None
        table = read(answer.kind, answer.source, answer.payload, answer.request).to_pylist()
        wanted = {"spot": COIN, "usdm": f"{COIN}.P", "coinm": "BINANCE:BTCUSD.P"}[market]
        rows = [row for row in table if row["symbol"] == wanted]
        _require(len(rows) == 1, f"{len(rows)} rows of {wanted} among {len(table)} symbols")
        filters = {one.get("filterType") for one in json.loads(rows[0]["row"]).get("filters", ())}
        missing = {"PRICE_FILTER", "LOT_SIZE"} - filters
        _require(not missing, f"{wanted} has no filter {', '.join(sorted(missing))}")
        return f"{len(table)} symbols; {wanted} with {', '.join(sorted(map(str, filters)))}"

    return question


def _archive(span: Literal["month", "day"]) -> Callable[[Network, datetime], str]:
    def question(network: Network, now: datetime) -> str:
        from ingest.sources.binance_bulk import Archive, fetch_archives

        # The archive of a month appears some days after its end.
        moment = now - timedelta(days=45) if span == "month" else now - timedelta(days=4)
        file = Archive(COIN, "1d", f"{moment:%Y-%m}" if span == "month" else f"{moment:%Y-%m-%d}")
        answer = _arrived(list(fetch_archives([file], network.transport("binance_bulk"))))
        return _bars(answer, least=28 if span == "month" else 1, fields=(*PRICES, "volume", "quote_volume"))

    return question


def _chart(network: Network, now: datetime) -> str:
    answers = list(network.bars("yahoo", [BarRequest(SHARE, 250, now)]))
    bars = _bars(_arrived(answers), least=200, fields=PRICES)
    total, actions = _arrived(answers[1:]), _arrived(answers[2:])
    _bars(total, least=200, fields=("opened_at", "close"))
    return f"{bars}, closes with dividends, {len(_rows(actions, least=1))} actions"


def _unknown_chart(network: Network, now: datetime) -> str:
    _arrived(list(network.bars("yahoo", [BarRequest(UNKNOWN, 10, now)])), state="unknown_symbol")
    return "an unknown symbol is stated as Not Found"


QUESTIONS: Mapping[str, Mapping[str, Callable[[Network, datetime], str]]] = {
    "tradingview": {
        "scan": _scan,
        "scan, unknown field": _unknown_field,
        "scan by symbols": _lookup,
        "symbol": _symbol,
        "socket hello": _hello,
        "socket bars": _socket_bars("splits", COIN),
        "socket bars with dividends": _socket_bars("total_return", FUND),
    },
    "binance": {
        "spot klines": _klines(COIN),
        "spot klines, unknown symbol": _unknown_ticker,
        "spot exchangeInfo": _limits("spot"),
        "usdm klines": _klines(f"{COIN}.P"),
        "usdm exchangeInfo": _limits("usdm"),
        "coinm klines": _klines("BINANCE:BTCUSD.P"),
        "coinm exchangeInfo": _limits("coinm"),
    },
    "binance_bulk": {"monthly archive": _archive("month"), "daily archive": _archive("day")},
    "yahoo": {"chart": _chart, "chart, unknown symbol": _unknown_chart},
}
