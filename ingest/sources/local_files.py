"""Files of the user: long CSV or Parquet bars under a column mapping."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quantmill.errors import BadValue, DataContractError, UsageError

from ingest.bars import (
    ADJUSTMENTS,
    DECIMALS,
    FIELDS,
    INTERVALS,
    clear,
    quoted,
    read_payload,
    require_decimal,
    sql_path,
)
from ingest.exchanges import EXCHANGES, SYMBOL
from ingest.loads import Session, land_bars, land_metadata
from ingest.sources.files import FileFormat, check_names, csv_header, format_of, require_column
from ingest.storing import Outcome, symbols_without_metadata

ASSET_TYPES = {"equity": "stock", "etf": "fund", "index": "index", "forex": "forex", "futures": "futures"}
ASSET_CLASSES = ("equity", "etf", "index", "crypto", "forex", "futures")


@dataclass(frozen=True)
class Description:
    """What the user says about symbols that have no metadata yet; None takes the default of the exchange."""

    asset_class: str | None = None
    calendar_id: str | None = None
    region: str | None = None
    sector: str | None = None
    base: str | None = None
    quote: str | None = None
    tick_size: float | None = None


@dataclass(frozen=True)
class ImportOptions:
    """How a file is to be read: by one of `symbol`, `symbol_column` and one of the two time columns."""

    source: str
    received_at: datetime
    symbol: str | None = None
    symbol_column: str | None = None
    date_column: str | None = None
    time_column: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    symbol_map: Mapping[str, str] = field(default_factory=dict)
    symbol_form: str | None = None
    interval: str = "1d"
    adjustment: str = "none"
    timezone: str | None = None
    delimiter: str = ","
    decimal: str | None = None
    description: Description = field(default_factory=Description)


def parse_moment(text: str, *, option: str) -> datetime:
    """Return an ISO time with a zone as an aware moment in UTC. Raises `BadValue` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadValue(
            f"{option} is {text!r}, which is no ISO time", remedy="write it like 2024-03-28T21:00:00Z"
        ) from error
    if moment.tzinfo is None:
        whole = text if len(text) > len("2024-03-28") else f"{moment:%Y-%m-%dT%H:%M:%S}"
        raise BadValue(f"{option} is {text!r}, which has no zone", remedy=f"write it like {whole}Z for UTC")
    return moment.astimezone(UTC)


def parse_mapping(text: str) -> dict[str, str]:
    """Return `close=adj_close,volume=vol` as a mapping from field to column. Raises `BadValue`."""
    pairs: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or name not in FIELDS or name in pairs:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.0)[0]
            raise BadValue(
                f"--map has {part!r}; needs FIELD=COLUMN once for each FIELD of {', '.join(FIELDS)}",
                remedy=f"did you mean {near}={column or 'COLUMN'}?",
            )
        pairs[name] = column
    return pairs


def read_symbol_map(path: Path) -> dict[str, str]:
    """Return the two columns `name,symbol` of a CSV as a mapping. Raises `BadValue` naming the line."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist", remedy="correct --symbol-map", path=str(path))
    names: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as handle:
        for number, row in enumerate(csv.reader(handle), start=1):
            if number == 1 and [cell.strip() for cell in row] == ["name", "symbol"]:
                continue
            if len(row) != 2 or not SYMBOL.match(row[1].strip()) or row[0] in names:
                raise BadValue(
                    f"{path} line {number} is {','.join(row)!r}; needs NAME,EXCHANGE:TICKER, each name once",
                    remedy="correct the line",
                    path=str(path),
                )
            names[row[0]] = row[1].strip()
    return names


def check_options(options: ImportOptions, *, now: datetime) -> None:
    """Raise `BadValue` or `UsageError` for options that cannot be carried out, before any file is read."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", options.source):
        raise BadValue(f"--source is {options.source!r}", remedy="use lower-case letters, digits and underscores")
    if options.received_at > now:
        raise BadValue(
            f"--received-at is {options.received_at:%Y-%m-%dT%H:%M:%SZ}, which lies ahead of the clock",
            remedy="give the time at which the file was obtained",
        )
    if (options.symbol is None) == (options.symbol_column is None):
        raise UsageError("exactly one of --symbol and --symbol-column is needed", remedy="give one of them")
    if (options.date_column is None) == (options.time_column is None):
        raise UsageError("exactly one of --date-column and --time-column is needed", remedy="give one of them")
    if options.symbol_form is not None:
        if options.symbol_column is None:
            raise UsageError("--symbol-form needs a column of names", remedy="give --symbol-column")
        if options.symbol_form.count("{}") != 1 or not SYMBOL.match(options.symbol_form.replace("{}", "X")):
            raise BadValue(
                f"--symbol-form is {options.symbol_form!r}; needs EXCHANGE:TICKER with {{}} for the name in the file",
                remedy="write it like BINANCE:{}.P",
            )
    if options.symbol is not None and not SYMBOL.match(options.symbol):
        raise BadValue(
            f"--symbol is {options.symbol!r}; needs EXCHANGE:TICKER in capitals",
            remedy="write it like NASDAQ:AAPL",
        )
    for name, value, valid in (
        ("--interval", options.interval, tuple(INTERVALS)),
        ("--adjustment", options.adjustment, ADJUSTMENTS),
        ("--asset-class", options.description.asset_class, ASSET_CLASSES),
    ):
        if value is not None and value not in valid:
            near = difflib.get_close_matches(value, valid, n=1, cutoff=0.0)[0]
            raise BadValue(f"{name} is {value!r}; needs one of {', '.join(valid)}", remedy=f"did you mean {near!r}?")
    if options.date_column is not None and options.interval not in ("1d", "1W", "1M"):
        raise UsageError(
            f"--interval {options.interval} needs times of day, but --date-column gives dates",
            remedy="use --time-column",
        )
    if options.decimal not in (None, *DECIMALS):
        raise BadValue(f"--decimal is {options.decimal!r}; needs point or comma", remedy="give one of them")
    if len(options.delimiter) != 1:
        raise BadValue(f"--delimiter is {options.delimiter!r}; needs one character", remedy="give one character")
    tick_size = options.description.tick_size
    if tick_size is not None and not 0 < tick_size < float("inf"):
        raise BadValue(f"--tick-size is {tick_size}; needs a number above 0", remedy="give the smallest price step")
    _check_zone(options.timezone)
    _check_calendar(options.description.calendar_id)


def _check_zone(name: str | None) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadValue(
            f"--timezone is {name!r}, which is no IANA zone", remedy="write it like America/New_York"
        ) from error


def _check_calendar(name: str | None) -> None:
    if name is None:
        return
    from exchange_calendars import get_calendar_names

    known = get_calendar_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise BadValue(
            f"--calendar is {name!r}, which exchange_calendars does not know",
            remedy=f"did you mean {near!r}?",
        )


def import_file(session: Session, path: Path, options: ImportOptions) -> list[Outcome]:
    """Land one file of bars and, for symbols that nothing describes yet, their metadata; the bars come last.

    Raises `UsageError` and `DataContractError` when the file cannot be read as the options say; nothing is
    landed then.
    """
    check_options(options, now=session.clock())
    if not path.is_file():
        raise UsageError(f"{path} does not exist or is no file", remedy="correct the path", path=str(path))
    kind = format_of(path)
    data = path.read_bytes()
    if not data:
        raise DataContractError(
            f"{path} is empty; at least one row was needed", remedy="look at the file; nothing was landed"
        )
    if kind.format == "csv":
        columns = csv_header(data, compression=kind.compression, delimiter=options.delimiter, origin=str(path))
    else:
        columns = _parquet_columns(session, data, str(path))
    request = _request(options, kind, columns, str(path))
    if options.symbol_form is not None:
        names = _names(session, data, request)
        request["symbol_map"] = dict(sorted({**_formed(names, options.symbol_form), **options.symbol_map}.items()))
    outcomes: list[Outcome] = []

    def describe_new(symbols: Sequence[str]) -> None:
        require_decimal(session.workbench.connection, request, options.decimal, origin=str(path))
        _require_mapped(symbols, options)
        unknown = symbols_without_metadata(session.workbench.connection, symbols)
        if unknown:
            rows = [_description(symbol, options) for symbol in unknown]
            outcomes.append(
                land_metadata(
                    session,
                    source=options.source,
                    origin=path.name,
                    rows=rows,
                    received_at=options.received_at,
                )
            )

    bars = land_bars(
        session,
        source=options.source,
        origin=path.name,
        data=data,
        extension=kind.extension,
        request=request,
        received_at=options.received_at,
        before=describe_new,
    )
    return [*outcomes, bars]


def _names(session: Session, data: bytes, request: Mapping[str, Any]) -> list[str]:
    """Return the distinct names in the column of symbols, sorted."""
    connection = session.workbench.connection
    with session.landing.incoming(data) as file:
        read_payload(connection, file, request)
    found = connection.execute(
        f"select distinct {quoted(request['symbol_column'])}::varchar as name from temp.file_rows "
        "where name is not null order by name"
    ).fetchall()
    clear(connection)
    return [name for (name,) in found]


def _formed(names: Sequence[str], form: str) -> dict[str, str]:
    """Return the symbols that a form makes of names; a name with an exchange, or of no symbol, is left as it is."""
    formed = {name: form.replace("{}", name) for name in names if ":" not in name}
    return {name: symbol for name, symbol in formed.items() if SYMBOL.fullmatch(symbol)}


def _parquet_columns(session: Session, data: bytes, origin: str) -> list[str]:
    import duckdb

    with session.landing.incoming(data) as file:
        try:
            rows = session.workbench.connection.execute(
                f"describe select * from read_parquet({sql_path(file)})"
            ).fetchall()
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            raise DataContractError(
                f"{origin} is not a whole Parquet file: {str(error).splitlines()[0]}",
                remedy="fetch it again; nothing was landed",
            ) from error
    columns = [row[0] for row in rows]
    check_names(columns, origin=origin)
    return columns


def _request(options: ImportOptions, kind: FileFormat, columns: Sequence[str], origin: str) -> dict[str, Any]:
    lower = {column.lower(): column for column in columns}
    fields = {name: lower[name] for name in FIELDS if name in lower}
    for name, column in options.mapping.items():
        if column:
            fields[name] = require_column(columns, column, origin=origin, option="--map")
        else:
            fields.pop(name, None)
    if "close" not in fields:
        require_column(columns, "close", origin=origin, option="--map close=COLUMN")
    time = options.date_column or options.time_column
    assert time is not None
    option = "--date-column" if options.date_column else "--time-column"
    if options.symbol_column is not None:
        require_column(columns, options.symbol_column, origin=origin, option="--symbol-column")
    return {
        **({"decimal": "comma"} if options.decimal == "comma" else {}),
        "layout": "long",
        "format": kind.format,
        "compression": kind.compression,
        "delimiter": options.delimiter,
        "columns": list(columns),
        "time_column": require_column(columns, time, origin=origin, option=option),
        "time_kind": "date" if options.date_column else "utc",
        "timezone": options.timezone,
        "timezones": {prefix: exchange.timezone for prefix, exchange in sorted(EXCHANGES.items())},
        "symbol": options.symbol,
        "symbol_column": options.symbol_column,
        "symbol_map": dict(sorted(options.symbol_map.items())),
        "fields": {name: fields[name] for name in FIELDS if name in fields},
        "interval": options.interval,
        "adjustment": options.adjustment,
    }


def _require_mapped(symbols: Sequence[str], options: ImportOptions) -> None:
    """Raise `UsageError` for exchanges whose zone nobody states: there is no silent default."""
    unmapped = sorted({symbol.split(":")[0] for symbol in symbols} - set(EXCHANGES))
    if unmapped and options.timezone is None:
        raise UsageError(
            f"the exchange {unmapped[0]} has no default time zone (known: {', '.join(sorted(EXCHANGES))})",
            remedy="give --timezone, --calendar and --asset-class; nothing was landed",
            exchanges=unmapped,
        )


def _description(symbol: str, options: ImportOptions) -> dict[str, Any]:
    """Return the metadata of one symbol from the options and the defaults of its exchange."""
    prefix, ticker = symbol.split(":", 1)
    exchange, given = EXCHANGES.get(prefix), options.description
    if exchange is None and (given.calendar_id is None or given.asset_class is None):
        raise UsageError(
            f"the exchange {prefix} of {symbol} has no default calendar and asset class",
            remedy="give --calendar and --asset-class; nothing was landed",
            symbol=symbol,
        )
    asset_class = given.asset_class or (exchange.asset_class if exchange else None)
    is_perpetual = asset_class == "crypto" and ticker.endswith(".P")
    crypto_type = "swap" if is_perpetual else "spot"
    is_listed = asset_class in ("equity", "etf", "index")
    return {
        "symbol": symbol,
        "asset_class": asset_class,
        "asset_type": crypto_type if asset_class == "crypto" else ASSET_TYPES[str(asset_class)],
        "region": given.region or (exchange.region if exchange else None),
        "subclass": None,
        "venue_class": ("perp" if is_perpetual else "spot") if asset_class == "crypto" else "listed",
        "sector": given.sector,
        "base": given.base,
        "quote": given.quote or ("USD" if exchange and exchange.country == "US" else None),
        "economic_id": f"{ticker}.{exchange.country}" if is_listed and exchange and exchange.country else None,
        "calendar_id": given.calendar_id or (exchange.calendar_id if exchange else None),
        "timezone": options.timezone or (exchange.timezone if exchange else None),
        "tick_size": given.tick_size,
        "adjustment": options.adjustment,
        "source_note": f"imported from {options.source}",
    }
