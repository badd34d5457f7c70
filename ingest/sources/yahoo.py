"""Yahoo's chart interface: bars adjusted for splits, the same with dividends, and the actions. Unconfirmed.

One body gives three answers: bars with the adjustment `splits` (`close`), bars with `total_return` (`adjclose`, closes
only), and the dividends and splits themselves. A place whose prices are all null is no bar. Yahoo corroborates and
gives total returns; it is not the first source of any price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from quantmill.errors import DataContractError, UsageError

from ingest.answers import Answer, AnswerState
from ingest.sources.common import (
    BarRequest,
    answer,
    bar_table,
    failed,
    pages_payload,
    read_pages,
    row_table,
    row_text,
    value_text,
)
from ingest.transport import Progress, Transport, gathered, parse_json

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "yahoo"
INTERVALS = {"1d": "1d", "1W": "1wk", "1M": "1mo"}
LISTED = frozenset({"NASDAQ", "NYSE", "AMEX", "ARCA", "CBOE", "BATS"})
FOREX = frozenset({"FX_IDC", "OANDA", "FOREX", "THINKMARKETS"})
FUTURES = frozenset({"CME", "CME_MINI", "CBOT", "COMEX", "NYMEX"})
# Sessions fill at least five of seven days, less the holidays: enough calendar days for a number of sessions.
_DAYS_PER_SESSION = 1.5
PRICES = ("open", "high", "low", "close", "volume")


def yahoo_ticker(symbol: str) -> str | None:
    """Return how Yahoo writes a symbol, None where it has none: BRK.B is BRK-B, EURUSD is EURUSD=X, GC1! is GC=F."""
    exchange, _, ticker = symbol.partition(":")
    if exchange in LISTED:
        return ticker.replace(".", "-")
    if exchange in FOREX and len(ticker) == 6:
        return f"{ticker}=X"
    if exchange in FUTURES and ticker.endswith("1!"):
        return f"{ticker.removesuffix('1!')}=F"
    return None


def fetch_charts(
    requests: Sequence[BarRequest], transport: Transport, *, workers: int = 5, progress: Progress | None = None
) -> Iterator[Answer]:
    """Yield the answers to each request, in the order in which they arrive.

    Three answers with one payload per symbol where the chart arrived, one answer where it did not. The adjustment of a
    request is not heeded. Raises `UsageError` for a symbol or an interval that Yahoo cannot have.
    """
    for one in requests:
        if yahoo_ticker(one.symbol) is None or one.interval not in INTERVALS:
            raise UsageError(
                f"Yahoo has no {one.interval} bars of {one.symbol}",
                remedy=f"ask for a listed share or fund, a currency pair or a future, and {', '.join(INTERVALS)}",
            )
    work = gathered(requests, lambda one: _chart(one, transport), workers=workers, stop=transport.stop)
    for done, answers in enumerate(work, start=1):
        if progress is not None:
            progress(done, len(requests), answers[0].request["symbol"])
        yield from answers


def _chart(asked: BarRequest, transport: Transport) -> list[Answer]:
    ticker = yahoo_ticker(asked.symbol)
    assert ticker is not None
    path, started_at = f"/v8/finance/chart/{quote(ticker, safe='')}", transport.clock()
    span = (asked.until - asked.since) * (_DAYS_PER_SESSION if asked.interval == "1d" else 1.0) + timedelta(days=7)
    since = asked.until - span
    request = {
        "symbol": asked.symbol,
        "interval": asked.interval,
        "adjustment": "splits",
        "count": asked.count,
        "since": since.date().isoformat(),
    }
    reply = transport.get(
        path,
        {
            "period1": str(int(since.timestamp())),
            "period2": str(int(asked.until.timestamp())),
            "interval": INTERVALS[asked.interval],
            "events": "div,splits",
            "includeAdjustedClose": "true",
        },
    )

    def fail(state: AnswerState = "failed", code: str | None = None, error: str | None = None) -> list[Answer]:
        return [
            failed(
                transport, "bars", request, path=path, started_at=started_at, replies=[reply], state=state, code=code,
                error=error,
            )
        ]  # fmt: skip

    stated = _stated_error(reply.value if reply.code is None else _value(reply.body))
    if stated is not None and reply.status in (200, 400, 404, 422):
        said = f"{asked.symbol} ({ticker}): {stated[0]}: {stated[1]}"
        if "doesn't exist" in stated[1]:
            return fail("empty", "EMPTY", said)
        is_unknown = stated[0] == "Not Found"
        return fail(*(("unknown_symbol", "UNKNOWN_SYMBOL") if is_unknown else ("failed", "HTTP_ERROR")), said)
    if reply.code is not None:
        return fail()
    try:
        result = _result(reply.value)
    except DataContractError as error:
        return fail(code="SCHEMA_DRIFT", error=error.message)
    named = result["meta"].get("symbol")
    if named != ticker:
        return fail(code="FOREIGN_SYMBOL", error=f"the chart is of {named!r:.40}; {ticker} was asked for")
    count = len(result.get("timestamp") or ())
    bars = answer(
        transport,
        "bars",
        request,
        path=path,
        state="complete" if count else "empty",
        started_at=started_at,
        replies=[reply],
        payload=pages_payload([({"symbol": asked.symbol}, reply.body)]),
        counters={"rows": count},
    )
    actions = {name: value for name, value in request.items() if name not in ("adjustment", "count")}
    return [
        bars,
        replace(bars, request=request | {"adjustment": "total_return"}, attempts=()),
        replace(bars, kind="corporate_actions", request=actions, state="complete", attempts=()),
    ]


def _value(body: bytes) -> Any:
    try:
        return parse_json(body)
    except ValueError:
        return None


def _stated_error(value: Any) -> tuple[str, str] | None:
    """Return code and description of the error that an answer states, or None."""
    chart = value.get("chart") if isinstance(value, dict) else None
    error = chart.get("error") if isinstance(chart, dict) else None
    if not isinstance(error, dict):
        return None
    return str(error.get("code"))[:80], str(error.get("description"))[:300]


def _result(value: Any) -> dict[str, Any]:
    """Return the result of a chart. Raises `DataContractError` when it has not the shape that is read here."""
    try:
        (result,) = value["chart"]["result"]
        quotes = (result.get("indicators") or {}).get("quote") or [{}]
        lists = [result.get("timestamp") or [], *(quotes[0].get(name) or [] for name in PRICES)]
        lists.append(((result["indicators"].get("adjclose") or [{}])[0] or {}).get("adjclose") or [])
        is_right = isinstance(result["meta"], dict) and all(isinstance(one, list) for one in lists)
        if is_right and lists[0] and not all(lists[1:5]):
            is_right = False
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        is_right = False
    if not is_right:
        raise DataContractError(
            "the chart has no meta, timestamp and indicators.quote of open, high, low and close",
            remedy="run 'python -m ingest check yahoo'",
        )
    found: dict[str, Any] = result
    return found


def read_chart(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return a chart as `BAR_COLUMNS`: with the adjustment `splits` all prices, with `total_return` the closes only.

    One row per timestamp with any price; arrays of different lengths give rows with NULLs. The bar of a running session
    is stamped with the last trade; it gets the opening that `meta.currentTradingPeriod` states.
    """
    (_, value), *_ = read_pages(payload)
    result = _result(value)
    quotes = (result["indicators"].get("quote") or [{}])[0]
    adjusted = ((result["indicators"].get("adjclose") or [{}])[0] or {}).get("adjclose") or []
    series = [result.get("timestamp") or [], *(quotes.get(name) or [] for name in PRICES), adjusted]
    names = ("timestamp", *PRICES, "adjclose")
    places = [dict(zip(names, place, strict=True)) for place in zip_longest(*series)]
    places = [place for place in places if any(place[name] is not None for name in names[1:])]
    openings = [_opening(place["timestamp"], result["meta"]) for place in places]
    if request["adjustment"] == "total_return":
        wanted = {"close": "adjclose"}
        kept = [n for n, place in enumerate(places) if place["adjclose"] is not None]
    else:
        wanted = {name: name for name in PRICES}
        kept = list(range(len(places)))
    columns = {name: [value_text(places[n][field]) for n in kept] for name, field in wanted.items()}
    columns["opened_at"] = [value_text(openings[n]) for n in kept]
    return bar_table(request["symbol"], columns, [row_text(places[n]) for n in kept])


def _opening(stamp: Any, meta: Mapping[str, Any]) -> Any:
    """Return the opening of a bar: its stamp, unless that is the last trade of the session that still runs."""
    period = meta.get("currentTradingPeriod")
    regular = period.get("regular") if isinstance(period, dict) else None
    if not isinstance(regular, dict) or not isinstance(stamp, int) or stamp != meta.get("regularMarketTime"):
        return stamp
    start, end = regular.get("start"), regular.get("end")
    return start if isinstance(start, int) and isinstance(end, int) and start <= stamp <= end else stamp


def read_actions(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return dividends and splits as `ROW_COLUMNS`, by kind and date.

    `row` is the event as received with `action` beside it: dividend (`date` epoch seconds, `amount`) or split (`date`,
    `numerator`, `denominator`). Code: ACTION_SHAPE, an event without these numbers.
    """
    (_, value), *_ = read_pages(payload)
    events = _result(value).get("events")
    rows: list[tuple[str | None, Any, str | None, str | None]] = []
    for action, group, needed in (
        ("dividend", "dividends", ("date", "amount")),
        ("split", "splits", ("date", "numerator", "denominator")),
    ):
        found = events.get(group) if isinstance(events, dict) else None
        for _, event in sorted(found.items()) if isinstance(found, dict) else ():
            row = {**event, "action": action} if isinstance(event, dict) else event
            is_whole = isinstance(event, dict) and all(
                isinstance(event.get(name), int | float) and not isinstance(event.get(name), bool) for name in needed
            )
            fault = None if is_whole else f"a {action} needs the numbers {', '.join(needed)}"
            rows.append((request["symbol"], row, None if is_whole else "ACTION_SHAPE", fault))
    return row_table(rows)
