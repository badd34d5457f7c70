"""TradingView's scanner: candidates of a market, and fields of given symbols, over HTTP.

`POST /{market}/scan` gives `{"totalCount": n, "data": [{"s": "EX:TICKER", "d": [...]}]}` where `d` is positional
against the requested columns; `data` may be null. `GET /symbol` gives the fields of one symbol as a flat object, 404
for an unknown one.

Codes of rows: SCAN_SHAPE (no object with `s` and `d`), SCAN_WIDTH (another number of values than of columns),
SCAN_SYMBOL (`s` is no EXCHANGE:TICKER), SCAN_TYPE (a value of another type than its field has), SCAN_VENUE (a symbol
outside what was asked), REPEATED (the symbol came before in the same answer: the ranking moved between two pages).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from quantmill.errors import UsageError

from ingest.answers import Answer
from ingest.exchanges import SYMBOL
from ingest.sources.common import (
    REPEATED,
    answer,
    failed,
    pages_payload,
    read_pages,
    require_symbol,
    row_table,
)
from ingest.transport import Progress, Reply, Transport, gathered

if TYPE_CHECKING:
    import pyarrow as pa
    from quantmill.manifest.scanners import Scanner

SOURCE = "tradingview"
HEADERS = {"Origin": "https://www.tradingview.com", "Referer": "https://www.tradingview.com/"}
# How often all pages of a scan are asked for again while rows are missing that the service counts.
EXTRA_SWEEPS = 2
SYMBOL_WORKERS = 3

LookupKind = Literal["symbol_metadata", "vendor_features"]

# Fields whose value is text; the name stands before a timeframe (`|240`) and a bar offset (`[1]`).
TEXT_FIELDS = frozenset(
    {
        *("name", "description", "type", "subtype", "exchange", "currency", "base_currency", "update_mode", "sector"),
        *("industry", "country", "brand", "issuer", "timezone", "session", "root", "expiration", "current_session"),
        *("listed_exchange", "logoid", "short_name", "pro_name"),
    }
)
# Fields whose value is a number. A field of neither kind may hold any scalar or a list of them.
_NUMBER_FIELD = re.compile(
    r"(Recommend|Rec|Perf|Volatility|EMA|SMA|RSI|ADX|AO|CCI|Stoch|MACD|Mom|W\.R|UO|BB|BBPower|Ichimoku|Pivot|ATR|ROC|P\.SAR)"
    r"([\w.+-]*)|Value\.Traded|VWMA|HullMA9|close|open|high|low|volume|volume_change|change|change_abs|gap|aum|"
    r"expense_ratio|dividend_yield_recent|market_cap_\w+|relative_volume\w*|beta_\w+|pricescale|minmov|minmove2"
)
_TYPES_OF_VENUE = {"spot": frozenset({"spot"}), "perp": frozenset({"swap"})}


def scan(
    scanner: Scanner,
    transport: Transport,
    *,
    page_rows: int,
    symbols_per_request: int,
    pool: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Answer:
    """Ask for the rows of a scanner's layer 1: `prefilter_limit` of them, in pages, and those of its symbols.

    A ranking moves while its pages are read: a row comes twice and another one never. Rows are merged by symbol, the
    first one holds, and while fewer came than the service counts all pages are asked for again, twice at most; such
    another sweep may bring a few symbols beyond the limit.

    A page has at most `page_rows` rows, a request at most `symbols_per_request` symbols.

    A scanner with a static list, or with `pool` (the members of its index as of the scan), is asked for exactly these
    symbols. `ensure_symbols` that the pages did not bring are asked for once more, without filters.

    The answer is complete, empty, partial (fewer rows than the service counted) or failed: an error on any page makes
    the whole answer one, whose code is SCHEMA_DRIFT when a field is unknown to the service.

    Raises `UsageError` for a scanner of an index without its members.
    """
    if scanner.index_id is not None and pool is None:
        raise UsageError(
            f"the scanner {scanner.scanner_id} is of the index {scanner.index_id}, whose members are not given",
            remedy="fill the table of index members for this day",
        )
    static = tuple(scanner.symbols) or (tuple(pool) if pool is not None else ())
    request = scan_request(scanner, static)
    path = f"/{scanner.market}/scan"
    started_at = transport.clock()
    if not static and scanner.index_id is not None:
        return answer(
            transport, "scan", request, path=path, state="empty", started_at=started_at, replies=(),
            payload=None, code="NO_MEMBERS", error=f"the index {scanner.index_id} has no members on this day",
        )  # fmt: skip
    replies: list[Reply] = []
    pages: list[tuple[Mapping[str, Any], bytes]] = []
    seen: set[str] = set()
    counters = {"repeated_rows": 0, "total_count": 0, "rows_due": 0, "ensured_rows": 0, "extra_sweeps": 0}
    chunks = _chunks(static, symbols_per_request) or [()]
    rows_due = total = 0
    fault: tuple[str | None, str | None] | None = None

    def ask(asked: dict[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        nonlocal fault
        reply = transport.post(path, body)
        replies.append(reply)
        fault = _page_fault(reply, scanner.columns, scanner)
        if fault is not None:
            return None
        pages.append((asked, reply.body))
        for row in reply.value["data"] or ():
            symbol = row.get("s") if isinstance(row, dict) else None
            if isinstance(symbol, str):
                counters["repeated_rows"] += symbol in seen
                seen.add(symbol)
        value: Mapping[str, Any] = reply.value
        return value

    for chunk in chunks:
        target = len(chunk) if static else scanner.prefilter_limit
        due, left, before, read = 0, 4 * -(-target // page_rows), len(seen), len(pages)
        for sweep in range(1 + EXTRA_SWEEPS):
            first = 0
            counters["extra_sweeps"] += sweep > 0
            while left and (first < min(due, target) or first == 0):
                last = min(first + page_rows, target)
                body = scan_body(scanner, first, last, chunk)
                value = ask({"range": [first, last], **({"tickers": list(chunk)} if chunk else {})}, body)
                if value is None:
                    break
                due, left = value["totalCount"], left - 1
                # What a short page lacks stands at the beginning of the next one; an empty page is passed over.
                received = len(value["data"] or ())
                first = first + received if 0 < received < last - first else last
                if progress is not None:
                    progress(min(first, due), min(due, target), scanner.scanner_id)
                if sweep and len(seen) - before >= min(due, target):
                    break
            # Who moved to a page that was read already is found in another sweep; within one page nobody moves.
            if fault is not None or not left or len(pages) - read == 1 or len(seen) - before >= min(due, target):
                break
        if fault is not None:
            break
        total += due
        rows_due += min(due, target)
    ordered = len(seen)
    missing = [symbol for symbol in scanner.ensure_symbols if symbol not in seen]
    if fault is None and missing:
        body = scan_body(scanner, 0, len(missing), missing) | {"filter": []}
        if ask({"range": [0, len(missing)], "tickers": missing, "ensured": True}, body) is not None:
            counters["ensured_rows"] = len(seen) - ordered
    counters |= {"rows": len(seen), "total_count": total, "rows_due": rows_due}
    if static:
        counters["missing_symbols"] = len(set(static) - seen)
    if fault is not None:
        return failed(
            transport, "scan", request, path=path, started_at=started_at, replies=replies,
            code=fault[0], error=fault[1], counters=counters,
        )  # fmt: skip
    is_short = ordered < rows_due
    return answer(
        transport,
        "scan",
        request,
        path=path,
        state="partial" if is_short else "complete" if seen else "empty",
        started_at=started_at,
        replies=replies,
        payload=pages_payload(pages),
        code="SCAN_SHORT" if is_short else None,
        error=f"{ordered} rows arrived of the {rows_due} that the service counts" if is_short else None,
        counters=counters,
    )


def scan_request(scanner: Scanner, static: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a scan asks, as plain JSON values; its reader needs nothing else."""
    return {
        "scanner_id": scanner.scanner_id,
        "config_hash": scanner.config_hash,
        "market": scanner.market,
        "columns": list(scanner.columns),
        "filters": [one.model_dump(mode="json") for one in scanner.filters],
        "sort": [scanner.sort_by, scanner.sort_order],
        "limit": scanner.prefilter_limit,
        "tickers": list(static),
        "ensure_symbols": list(scanner.ensure_symbols),
        "exchanges": list(scanner.exchanges),
        "venue_class": scanner.venue_class,
    }


def scan_body(scanner: Scanner, first: int, last: int, tickers: Sequence[str]) -> dict[str, Any]:
    """Return the body that asks a scanner for its rows from `first` on and before `last`."""
    return {
        "filter": [one.model_dump(mode="json", exclude_none=True) for one in scanner.filters],
        "options": {"lang": "en"},
        "columns": list(scanner.columns),
        "sort": {"sortBy": scanner.sort_by, "sortOrder": scanner.sort_order},
        "range": [first, last],
        "symbols": {"query": {"types": []}, "tickers": list(tickers)},
        "markets": _markets(scanner.market),
    }


def _markets(market: str) -> list[str]:
    """Return what a body says of its market: `global` is the path of all markets, and the name of none."""
    return [] if market == "global" else [market]


def _page_fault(
    reply: Reply, columns: Sequence[str], scanner: Scanner | None = None
) -> tuple[str | None, str | None] | None:
    """Return code and error of a page that cannot be used, or None."""
    if reply.code is not None:
        if reply.status == 400:
            text = reply.body.decode("utf-8", "replace")
            asked = {*columns, *(one.left for one in scanner.filters), scanner.sort_by} if scanner else set(columns)
            plain = text.replace('\\"', '"').replace("'", '"')
            named = sorted(name for name in asked if f'"{name}"' in plain)
            if named or re.search(r"unknown\s+(field|column)", text, re.I):
                which = f"the service does not know the field {', '.join(named)}; " if named else ""
                return "SCHEMA_DRIFT", f"{which}it answered HTTP 400 with {text[:300]}"
            return reply.code, f"{reply.error}: {text[:300]}"
        return reply.code, reply.error
    value = reply.value
    if not isinstance(value, dict) or not {"totalCount", "data"} <= set(value):
        found = ", ".join(sorted(map(str, value))) if isinstance(value, dict) else type(value).__name__
        return "SCHEMA_DRIFT", f"the answer holds {found or 'nothing'}; needs totalCount and data"
    if value.get("error"):
        return "SCAN_ERROR", f"the service says {str(value['error'])[:300]}"
    total, data = value["totalCount"], value["data"]
    if isinstance(total, bool) or not isinstance(total, int) or total < 0 or not isinstance(data, list | None):
        return (
            "SCHEMA_DRIFT",
            f"totalCount is {total!r:.40} and data is a {type(data).__name__}; needs a count and a list",
        )
    return None


def lookup(
    symbols: Sequence[str],
    fields: Sequence[str],
    transport: Transport,
    *,
    symbols_per_request: int,
    kind: LookupKind = "symbol_metadata",
    market: str = "global",
    workers: int = 5,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Ask for fields of exact symbols, `symbols_per_request` of them in one request at most; yield an answer for each.

    An answer is complete when every symbol has a row, partial with the code MISSING_SYMBOLS when some have none, empty
    when none has one.
    """
    asked = sorted({require_symbol(symbol) for symbol in symbols})
    chunks = _chunks(asked, symbols_per_request)
    done = 0

    def ask(chunk: Sequence[str]) -> Answer:
        return _lookup_chunk(chunk, fields, transport, kind, market)

    for one in gathered(chunks, ask, workers=workers, stop=transport.stop):
        done += len(one.request["tickers"])
        if progress is not None:
            progress(done, len(asked), f"{kind} of {len(one.request['tickers'])} symbols")
        yield one


def _chunks(symbols: Sequence[str], size: int) -> list[Sequence[str]]:
    return [symbols[first : first + size] for first in range(0, len(symbols), size)]


def _lookup_chunk(
    symbols: Sequence[str], fields: Sequence[str], transport: Transport, kind: LookupKind, market: str
) -> Answer:
    path, started_at = f"/{market}/scan", transport.clock()
    request = {"market": market, "columns": list(fields), "tickers": list(symbols)}
    reply = transport.post(path, lookup_body(symbols, fields, market))
    fault = _page_fault(reply, fields)
    if fault is not None:
        return failed(
            transport, kind, request, path=path, started_at=started_at, replies=[reply], code=fault[0], error=fault[1]
        )
    rows = reply.value["data"] or ()
    found = {row["s"] for row in rows if isinstance(row, dict) and isinstance(row.get("s"), str)}
    missing = sorted(set(symbols) - found)
    named = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
    return answer(
        transport,
        kind,
        request,
        path=path,
        state="complete" if not missing else "partial" if len(missing) < len(symbols) else "empty",
        started_at=started_at,
        replies=[reply],
        payload=pages_payload([({"range": [0, len(symbols)], "tickers": list(symbols)}, reply.body)]),
        code="MISSING_SYMBOLS" if missing else None,
        error=f"{len(missing)} of {len(symbols)} symbols have no row: {named}" if missing else None,
        counters={"rows": len(rows), "missing_symbols": len(missing)},
    )


def lookup_body(symbols: Sequence[str], fields: Sequence[str], market: str) -> dict[str, Any]:
    """Return the body that asks for fields of exact symbols."""
    return {
        "filter": [],
        "options": {"lang": "en"},
        "columns": list(fields),
        "range": [0, len(symbols)],
        "symbols": {"query": {"types": []}, "tickers": list(symbols)},
        "markets": _markets(market),
    }


def symbol_fields(
    symbols: Sequence[str],
    fields: Sequence[str],
    transport: Transport,
    *,
    kind: LookupKind = "symbol_metadata",
    workers: int = SYMBOL_WORKERS,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Ask for fields of symbols one by one; yield one answer per symbol, `unknown_symbol` for a 404."""
    asked = sorted({require_symbol(symbol) for symbol in symbols})
    count = min(workers, SYMBOL_WORKERS)
    work = gathered(asked, lambda one: _one_symbol(one, fields, transport, kind), workers=count, stop=transport.stop)
    for done, one in enumerate(work, start=1):
        if progress is not None:
            progress(done, len(asked), one.request["symbol"])
        yield one


def _one_symbol(symbol: str, fields: Sequence[str], transport: Transport, kind: LookupKind) -> Answer:
    path, started_at = "/symbol", transport.clock()
    request = {"symbol": symbol, "columns": list(fields)}
    reply = transport.get(path, {"symbol": symbol, "fields": ",".join(fields), "no_404": "false"})
    if reply.status == 404:
        return failed(
            transport, kind, request, path=path, started_at=started_at, replies=[reply],
            state="unknown_symbol", code="UNKNOWN_SYMBOL", error=f"{symbol} is unknown to the service",
        )  # fmt: skip
    if reply.code is not None:
        return failed(transport, kind, request, path=path, started_at=started_at, replies=[reply])
    if not isinstance(reply.value, dict):
        return failed(
            transport, kind, request, path=path, started_at=started_at, replies=[reply], code="SCHEMA_DRIFT",
            error=f"the answer is a {type(reply.value).__name__}; needs an object of fields",
        )  # fmt: skip
    return answer(
        transport,
        kind,
        request,
        path=path,
        state="complete",
        started_at=started_at,
        replies=[reply],
        payload=pages_payload([({"symbol": symbol}, reply.body)]),
        counters={"rows": 1},
    )


def read_scan(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return the rows of a scan or a lookup as `ROW_COLUMNS`: one per row received, in order of arrival.

    `row` is an object column -> value; of a row that cannot be split it is the row as received. NaN counts as null.
    Raises `DataContractError` when the payload is no envelope of scanner answers.
    """
    columns = list(request["columns"])
    allowed = set(request.get("tickers") or ())
    ensured = set(request.get("ensure_symbols") or ())
    exchanges = frozenset(request.get("exchanges") or ())
    venue = request.get("venue_class")
    kinds = [_kind_of(name) for name in columns]
    rows: list[tuple[str | None, Any, str | None, str | None]] = []
    first_of: dict[str, int] = {}
    for _, value in read_pages(payload):
        if not isinstance(value, dict) or not isinstance(value.get("data"), list):
            continue
        for entry in value["data"]:
            row = _read_row(entry, columns, kinds)
            symbol, content, code, detail = row
            if symbol is not None and symbol in first_of:
                code, detail = REPEATED, f"came before as row {first_of[symbol]}"
            elif symbol is not None and code is None:
                stray = _stray(symbol, content, allowed, ensured, exchanges, venue)
                if stray is None:
                    first_of[symbol] = len(rows) + 1
                else:
                    code, detail = "SCAN_VENUE", stray
            rows.append((symbol, content, code, detail))
    return row_table(rows)


def read_symbol(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return the fields of one symbol as a table of one row; see `read_scan`."""
    (_, value), *_ = read_pages(payload)
    if not isinstance(value, dict):
        return row_table([(None, value, "SCAN_SHAPE", "the answer is no object of fields")])
    wrong = _wrong_types(list(value), [_kind_of(name) for name in value], list(value.values()))
    return row_table([(request["symbol"], value, "SCAN_TYPE" if wrong else None, wrong)])


def read_fields(payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return the rows of `lookup` or of `symbol_fields`, told apart by their request."""
    return read_symbol(payload, request) if "symbol" in request else read_scan(payload, request)


def _read_row(entry: Any, columns: list[str], kinds: list[str]) -> tuple[str | None, Any, str | None, str | None]:
    if not isinstance(entry, dict) or not isinstance(entry.get("d"), list) or "s" not in entry:
        return None, entry, "SCAN_SHAPE", "needs an object with s and d"
    name, values = entry["s"], entry["d"]
    if not isinstance(name, str) or not SYMBOL.fullmatch(name):
        return None, entry, "SCAN_SYMBOL", f"the symbol is {name!r:.80}; needs EXCHANGE:TICKER"
    if len(values) != len(columns):
        return name, entry, "SCAN_WIDTH", f"{len(values)} values for {len(columns)} columns"
    wrong = _wrong_types(columns, kinds, values)
    if wrong is not None:
        return name, entry, "SCAN_TYPE", wrong
    return name, dict(zip(columns, map(_finite, values), strict=True)), None, None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _kind_of(field: str) -> str:
    name = field.partition("|")[0].partition("[")[0]
    if name in TEXT_FIELDS:
        return "text"
    return "number" if _NUMBER_FIELD.fullmatch(name) else "any"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | None)


def _wrong_types(columns: list[str], kinds: list[str], values: list[Any]) -> str | None:
    for name, kind, value in zip(columns, kinds, values, strict=True):
        if value is None:
            continue
        if kind == "number":
            # Infinity is no value of any field; NaN is a missing one.
            is_right = (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and not (isinstance(value, float) and math.isinf(value))
            )
        elif kind == "text":
            is_right = isinstance(value, str)
        else:
            is_right = _is_scalar(value) or (isinstance(value, list) and all(map(_is_scalar, value)))
        if not is_right:
            needs = {"number": "a number", "text": "text"}.get(kind, "a scalar")
            return f"{name} is {value!r:.60}; needs {needs}"
    return None


def _stray(
    symbol: str,
    row: Mapping[str, Any],
    allowed: set[str],
    ensured: set[str],
    exchanges: frozenset[str],
    venue: str | None,
) -> str | None:
    """Return why a symbol is none of those asked for, or None."""
    if allowed and symbol not in allowed and symbol not in ensured:
        return f"{symbol} was not asked for"
    exchange, _, ticker = symbol.partition(":")
    if exchanges and exchange not in exchanges:
        return f"{exchange} is none of the exchanges {', '.join(sorted(exchanges))}"
    if venue in _TYPES_OF_VENUE:
        if ticker.endswith(".P") != (venue == "perp"):
            return f"{ticker} {'has no' if venue == 'perp' else 'has the'} ending .P in a {venue} scan"
        kind = row.get("type")
        if kind is not None and kind not in _TYPES_OF_VENUE[venue]:
            return f"type is {kind} in a {venue} scan"
    return None
