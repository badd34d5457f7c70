"""Binance over REST: klines and trading limits of spot, USD-M and COIN-M. Unconfirmed: known from public notes alone.

A kline is `[openTime ms, open, high, low, close, volume, closeTime ms, quoteVolume, trades, takerBase, takerQuote,
ignore]`, prices as text. COIN-M counts `volume` in contracts and gives the volume of the base where the others give
that of the quote. Prices are as traded: the adjustment of every answer is `none`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from quantmill.errors import UsageError

from ingest.answers import Answer
from ingest.exchanges import SYMBOL
from ingest.sources.common import (
    BarRequest,
    answer,
    bar_table,
    failed,
    interval_seconds,
    pages_payload,
    read_pages,
    row_table,
    row_text,
    value_text,
)
from ingest.transport import Progress, Reply, Transport, gathered

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "binance"
Market = Literal["spot", "usdm", "coinm"]
INTERVALS = {"1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "1h", "2h": "2h", "4h": "4h"} | {
    "1d": "1d",
    "1W": "1w",
    "1M": "1M",
}
UNKNOWN_SYMBOL = -1121


@dataclass(frozen=True)
class Interface:
    """The client of one market of Binance, and how many klines one request of it may bring."""

    transport: Transport
    page_rows: int


PREFIXES: Mapping[Market, str] = {"spot": "/api/v3", "usdm": "/fapi/v1", "coinm": "/dapi/v1"}


def binance_ticker(symbol: str) -> tuple[Market, str] | None:
    """Return market and ticker of `BINANCE:...`, None for another exchange or a continuous future.

    XUSDT is spot, XUSDT.P is USD-M, and XUSD.P is COIN-M XUSD_PERP: every perpetual whose ticker ends with USD.P. (The
    former BUSD perpetuals end so too; BNBUSD.P shows that the two cannot be told apart by name.)
    """
    exchange, _, ticker = symbol.partition(":")
    if exchange != "BINANCE" or not ticker.removesuffix(".P").isalnum():
        return None
    if not ticker.endswith(".P"):
        return "spot", ticker
    name = ticker.removesuffix(".P")
    return ("coinm", f"{name}_PERP") if name.endswith("USD") else ("usdm", name)


def tradingview_symbol(market: Market, entry: Mapping[str, Any]) -> str:
    """Return how TradingView writes a symbol of `exchangeInfo`; dated contracts keep Binance's name."""
    name = str(entry["symbol"])
    if market == "spot" or entry.get("contractType") != "PERPETUAL":
        return f"BINANCE:{name}"
    return f"BINANCE:{name.removesuffix('_PERP')}.P"


def fetch_klines(
    requests: Sequence[BarRequest],
    interfaces: Mapping[Market, Interface],
    *,
    workers: int = 5,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Yield the klines of each request, in the order in which they arrive.

    Raises `UsageError` for a symbol or an interval that Binance cannot have.
    """
    for one in requests:
        if binance_ticker(one.symbol) is None or one.interval not in INTERVALS or one.adjustment == "total_return":
            raise UsageError(
                f"Binance has no {one.interval} bars of {one.symbol} adjusted by {one.adjustment}",
                remedy=f"ask for BINANCE:..., one of {', '.join(INTERVALS)}, as traded",
            )
    stop = next(iter(interfaces.values())).transport.stop
    work = gathered(requests, lambda one: _klines(one, interfaces), workers=workers, stop=stop)
    for done, found in enumerate(work, start=1):
        if progress is not None:
            progress(done, len(requests), found.request["symbol"])
        yield found


def _klines(asked: BarRequest, interfaces: Mapping[Market, Interface]) -> Answer:
    found = binance_ticker(asked.symbol)
    assert found is not None
    market, ticker = found
    transport, page_rows = interfaces[market].transport, interfaces[market].page_rows
    path, started_at = f"{PREFIXES[market]}/klines", transport.clock()
    length = interval_seconds(asked.interval) * 1000
    first, last = _milliseconds(asked.since), _milliseconds(asked.until)
    request = {
        "symbol": asked.symbol,
        "interval": asked.interval,
        "adjustment": "none",
        "market": market,
        "count": asked.count,
        "since": asked.since.date().isoformat(),
    }
    replies: list[Reply] = []
    pages: list[tuple[Mapping[str, Any], bytes]] = []
    rows = 0
    while first <= last:
        params = {
            "symbol": ticker,
            "interval": INTERVALS[asked.interval],
            "startTime": str(first),
            "endTime": str(last),
            "limit": str(page_rows),
        }
        reply = transport.get(path, params)
        replies.append(reply)
        code, error = reply.code, reply.error
        if code is None and not isinstance(reply.value, list):
            code, error = "SCHEMA_DRIFT", f"klines are a {type(reply.value).__name__}; needs a list"
        if code is not None:
            if _venue_code(reply) == UNKNOWN_SYMBOL:
                code, error = "UNKNOWN_SYMBOL", f"{ticker} is unknown to Binance {market}"
            if rows == 0:
                return failed(
                    transport, "bars", request, path=path, started_at=started_at, replies=replies, code=code,
                    error=error, state="unknown_symbol" if code == "UNKNOWN_SYMBOL" else "failed",
                )  # fmt: skip
            return answer(
                transport, "bars", request, path=path, state="partial", started_at=started_at, replies=replies,
                payload=pages_payload(pages), code=code, error=error, counters={"rows": rows, "pages": len(pages)},
            )  # fmt: skip
        if not reply.value:
            break
        pages.append(({"page": len(pages) + 1}, reply.body))
        rows += len(reply.value)
        newest = _newest(reply.value)
        # A page shorter than its limit may end before a stretch without trading: only the newest bar tells the end.
        if newest is None or newest < first or newest + length > last:
            break
        first = newest + 1
    return answer(
        transport,
        "bars",
        request,
        path=path,
        state="complete" if rows else "empty",
        started_at=started_at,
        replies=replies,
        payload=pages_payload(pages),
        counters={"rows": rows, "pages": len(pages)},
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _newest(rows: list[Any]) -> int | None:
    """Return the latest opening of a page, or None where no row has one."""
    openings = [
        row[0] for row in rows if isinstance(row, list) and row and isinstance(row[0], int) and 0 < row[0] < 1e15
    ]
    return max(openings, default=None)


def _venue_code(reply: Reply) -> int | None:
    """Return the code of Binance's own error body, or None."""
    if reply.status is None or reply.status == 200:
        return None
    from ingest.transport import parse_json

    try:
        value = parse_json(reply.body)
    except ValueError:
        return None
    code = value.get("code") if isinstance(value, dict) else None
    return code if isinstance(code, int) else None


def fetch_limits(transports: Mapping[Market, Transport], *, progress: Progress | None = None) -> Iterator[Answer]:
    """Yield the trading limits (`exchangeInfo`) of each market, one answer each."""
    for done, market in enumerate(sorted(transports), start=1):
        one = _limits(market, transports[market])
        if progress is not None:
            progress(done, len(transports), f"limits of {market}")
        yield one


def _limits(market: Market, transport: Transport) -> Answer:
    path, started_at = f"{PREFIXES[market]}/exchangeInfo", transport.clock()
    request = {"market": market}
    reply = transport.get(path)
    code, error = reply.code, reply.error
    if code is None and not (isinstance(reply.value, dict) and isinstance(reply.value.get("symbols"), list)):
        code, error = "SCHEMA_DRIFT", "exchangeInfo has no list of symbols"
    if code is not None:
        return failed(
            transport, "execution_limits", request, path=path, started_at=started_at, replies=[reply], code=code,
            error=error,
        )  # fmt: skip
    symbols = reply.value["symbols"]
    return answer(
        transport,
        "execution_limits",
        request,
        path=path,
        state="complete" if symbols else "empty",
        started_at=started_at,
        replies=[reply],
        payload=pages_payload([({"market": market}, reply.body)]),
        counters={"rows": len(symbols)},
    )


def read_klines(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return klines as `BAR_COLUMNS`, one row per kline received, in order of arrival."""
    rows: list[Any] = []
    for _, value in read_pages(payload):
        rows.extend(value if isinstance(value, list) else [value])
    return kline_table(rows, request)


def kline_table(rows: Sequence[Any], request: Mapping[str, Any]) -> pa.Table:
    """Return rows of klines as `BAR_COLUMNS`; a row that is no list of 8 values and more has NULLs only."""
    whole = [row if isinstance(row, list) and len(row) >= 8 else [None] * 8 for row in rows]
    is_coinm = request["market"] == "coinm"
    places = {"opened_at": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 7 if is_coinm else 5}
    if not is_coinm:
        places["quote_volume"] = 7
    columns = {name: [value_text(row[place]) for row in whole] for name, place in places.items()}
    return bar_table(request["symbol"], columns, [row_text(row) for row in rows])


def read_limits(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return `exchangeInfo` as `ROW_COLUMNS`, one row per symbol, which is written as TradingView writes it.

    Codes: LIMITS_SHAPE (no object with a symbol), BAD_SYMBOL (its name is no ticker).
    """
    rows: list[tuple[str | None, Any, str | None, str | None]] = []
    for _, value in read_pages(payload):
        for entry in value["symbols"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("symbol"), str):
                rows.append((None, entry, "LIMITS_SHAPE", "needs an object with a symbol"))
                continue
            symbol = tradingview_symbol(request["market"], entry)
            if SYMBOL.fullmatch(symbol):
                rows.append((symbol, entry, None, None))
            else:
                rows.append((None, entry, "BAD_SYMBOL", f"{entry['symbol']!r:.60} is no ticker"))
    return row_table(rows)
