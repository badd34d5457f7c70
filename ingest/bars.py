"""From the bytes of a bar payload to judged rows, in DuckDB: no row passes through Python.

A payload is `long` (one row per bar, CSV or Parquet) or `wide` (CSV with one row per session and one column
of closes per symbol, whose empty cells are no rows).

A row gets at most one code, the first that applies:

| code         | the row |
|---|---|
| BODY_PARSE   | is a line that cannot be split into the columns of the file |
| BAD_SYMBOL   | names no `EXCHANGE:TICKER` |
| TS_UNIT      | has a time that is none, in another unit than the file, off the whole minute, or absurd |
| NOT_FINITE   | lacks a price, or has one that is no finite number |
| OHLC_INVALID | has a price <= 0, a high below or a low above the others, or a negative volume |
| FUTURE_BAR   | opens after it was received |
| DUP_CONFLICT | contradicts another row of the same payload; of bars that are not final the last one stays |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import DataContractError

from ingest.exchanges import SYMBOL_PATTERN

if TYPE_CHECKING:
    import duckdb

FIELDS = ("open", "high", "low", "close", "volume", "quote_volume")
PRICES = ("open", "high", "low", "close")
ADJUSTMENTS = ("none", "splits", "total_return")
INTERVALS: dict[str, str] = {
    **{f"{n}m": f"{n} minutes" for n in (1, 3, 5, 15, 30, 45)},
    **{f"{n}h": f"{n} hours" for n in (1, 2, 3, 4)},
    "1d": "1 day",
    "1W": "7 days",
    "1M": "1 month",
}
EARLIEST = datetime(1900, 1, 1)
# A time further ahead than this is a wrong unit, not a bar from the future.
LATEST_AHEAD = timedelta(days=3650)
# Below 1e8 s (March 1973) a number is more likely a day count or a truncated millisecond than an epoch
# second.
_UNITS = (("s", 1e8, 1e12, 1_000_000), ("ms", 1e12, 1e15, 1_000), ("us", 1e15, 1e17, 1))
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
_DATE_TEXT = r"\d{4}-\d{1,2}-\d{1,2}([ T]00:00(:00(\.0+)?)?)?"
_TEMPORARY = ("file_rows", "judged", "fated", "zones", "symbol_names", "torn_lines", "torn_scans")


@dataclass(frozen=True)
class Judged:
    """Counts of one judged payload."""

    received: int
    notes: tuple[str, ...]


def quoted(name: str) -> str:
    """Return a column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def sql_path(path: Path) -> str:
    """Return `path` as an SQL string in which the characters of a file pattern stand for themselves."""
    name = str(path)
    for character in "[*?":
        name = name.replace(character, f"[{character}]")
    return _text(name)


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the temporary tables of an earlier payload."""
    for name in _TEMPORARY:
        connection.execute(f"drop table if exists temp.{name}")


def read_payload(connection: duckdb.DuckDBPyConnection, path: Path, request: Mapping[str, Any]) -> None:
    """Read the bytes at `path` into `temp.file_rows`, cells of a CSV as text; torn lines go to
    `temp.torn_lines`.

    Raises `DataContractError` when the file as a whole cannot be read.
    """
    import duckdb

    clear(connection)
    try:
        if request["format"] == "parquet":
            connection.execute(f"create temp table file_rows as select * from read_parquet({sql_path(path)})")
            connection.execute("create temp table torn_lines (line bigint, error_message varchar, csv_line varchar)")
            return
        columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in request["columns"])
        connection.execute(f"""
            create temp table file_rows as select * from read_csv({sql_path(path)}, columns = {{{columns}}},
                auto_detect = false, header = true, delim = {_text(request["delimiter"])}, quote = '"',
                escape = '"', compression = {_text(request["compression"])},
                store_rejects = true, rejects_table = 'torn_lines', rejects_scan = 'torn_scans')
        """)
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise DataContractError(
            f"the payload cannot be read as {request['format']}: {str(error).splitlines()[0]}",
            remedy="look at the file and its options; nothing was landed",
        ) from error


def symbols_named(connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> list[str]:
    """Return the valid symbols that `temp.file_rows` names, sorted."""
    if request["layout"] == "wide":
        return sorted(request["symbols"].values())
    if request["symbol"] is not None:
        return [request["symbol"]]
    _fill_names(connection, request)
    rows = connection.execute(
        f"""
        select distinct symbol from ({_texts(connection, request)})
        where regexp_full_match(symbol, ?) order by symbol
        """,
        [SYMBOL_PATTERN],
    ).fetchall()
    return [symbol for (symbol,) in rows]


def _fill_names(connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> None:
    names = request.get("symbol_map") or {}
    connection.execute("create or replace temp table symbol_names (name varchar, symbol varchar)")
    connection.execute(
        "insert into symbol_names select unnest(?::varchar[]), unnest(?::varchar[])",
        [list(names.keys()), list(names.values())],
    )


def _column_types(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute("describe temp.file_rows").fetchall()}


def _texts(connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> str:
    """Return a query over the rows as they arrived: row_number, name, symbol, moment, fields."""
    time = quoted(request["time_column"])
    if request["layout"] == "wide":
        columns = ", ".join(quoted(column) for column in request["symbols"])
        return f"""
            select row_number, name, names.symbol, moment, value as close{_nulls(("close",))}
            from (
                unpivot (select rowid + 1 as row_number, {time} as moment, {columns} from temp.file_rows)
                on {columns} into name name value value
            )
            join temp.symbol_names as names using (name)
        """
    fields = request["fields"]
    mapped = "".join(f", rows.{quoted(column)} as {field}" for field, column in fields.items())
    time = f"rows.{time}"
    if request["symbol"] is not None:
        name, symbol, join = "null::varchar", _text(request["symbol"]), ""
    else:
        name = f"rows.{quoted(request['symbol_column'])}::varchar"
        symbol = f"coalesce(names.symbol, {name})"
        join = f"left join temp.symbol_names as names on names.name = {name}"
    return f"""
        select rows.rowid + 1 as row_number, {name} as name, {symbol} as symbol, {time} as moment
            {mapped}{_nulls(tuple(fields))}
        from temp.file_rows as rows {join}
    """


def _nulls(present: tuple[str, ...]) -> str:
    return "".join(f", null::double as {field}" for field in FIELDS if field not in present)


def _epoch(expression: str) -> str:
    return f"try_cast({expression}::varchar as double)"


def _unit(expression: str) -> str:
    cases = " ".join(
        f"when {expression} >= {low} and {expression} < {high} then '{name}'" for name, low, high, _ in _UNITS
    )
    return f"case {cases} end"


def _file_unit(connection: duckdb.DuckDBPyConnection, texts: str) -> str | None:
    """Return the unit that most epoch numbers of the file are in, or None when it has no numbers."""
    found = connection.execute(f"""
        select unit, count(*) as n from (select {_unit(_epoch("moment"))} as unit from ({texts}))
        where unit is not null group by unit order by n desc, unit limit 1
    """).fetchone()
    return found[0] if found else None


def _opened_expression(request: Mapping[str, Any], column_type: str, unit: str | None) -> str:
    """Return the SQL of a bar's opening in UTC, NULL where the text gives none."""
    if request["time_kind"] == "date":
        if column_type == "DATE":
            date = "moment"
        elif column_type.startswith("TIMESTAMP"):
            date = "case when moment::timestamp = date_trunc('day', moment::timestamp) then moment::date end"
        else:
            date = f"""case
                when regexp_full_match(trim(moment::varchar), '{_DATE_TEXT}')
                    then try_cast(regexp_extract(trim(moment::varchar), '^[0-9-]+') as date)
                when regexp_full_match(trim(moment::varchar), '\\d{{8}}')
                    then try_strptime(trim(moment::varchar), '%Y%m%d')::date end"""
        zone = _text(request["timezone"]) if request["timezone"] else "zones.timezone"
        return f"((({date})::timestamp at time zone {zone}) at time zone 'UTC')"
    if column_type.startswith("TIMESTAMP WITH TIME ZONE"):
        return "(moment at time zone 'UTC')"
    if column_type.startswith("TIMESTAMP") or column_type == "DATE":
        return "moment::timestamp"
    clock = "(try_cast(moment::varchar as timestamptz) at time zone 'UTC')"
    if unit is None:
        return clock
    factor = next(factor for name, _, _, factor in _UNITS if name == unit)
    number = _epoch("moment")
    return f"""case
        when {_unit(number)} = '{unit}' then make_timestamp((round({number} * {factor}))::bigint)
        when {number} is null then {clock} end"""


def _number(field: str, column_type: str) -> str:
    # DuckDB reads 1_000 as a number; nobody quotes prices like that.
    if column_type != "VARCHAR":
        return f"try_cast({field} as double)"
    return f"case when contains({field}, '_') then null else try_cast({field} as double) end"


def judge(connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any], received_at: datetime) -> Judged:
    """Judge `temp.file_rows` into `temp.judged`: one row per row as received, with its values, code and
    detail.

    `fate` is set for rows settled by the payload alone (`quarantined`; `identical` for repeats) and NULL for
    rows that are to be compared with the stored ones. `received_at` is aware. A wide payload has one row per
    filled cell.
    """
    _fill_zones(connection, request)
    if request["layout"] == "wide":
        _fill_names(connection, {"symbol_map": request["symbols"]})
    else:
        _fill_names(connection, request)
    texts = _texts(connection, request)
    types = _column_types(connection)
    time_type = types[request["time_column"]]
    is_epoch = request["time_kind"] == "utc" and not time_type.startswith(("TIMESTAMP", "DATE"))
    unit = _file_unit(connection, texts) if is_epoch else None
    if request["layout"] == "wide":
        source_types = {"close": "VARCHAR"}
    else:
        source_types = {field: types[column] for field, column in request["fields"].items()}
    numbers = ", ".join(f"{_number(field, source_types.get(field, 'DOUBLE'))} as {field}" for field in FIELDS)
    mapped = [field for field in FIELDS if field in source_types]
    needed = [field for field in mapped if field in PRICES]
    missing = " ".join(
        f"when {field} is null or not isfinite({field}) then '{field} is ' || coalesce({field}_text, 'empty')"
        for field in needed
    ) + " ".join(
        f" when {field}_text is not null and ({field} is null or not isfinite({field})) "
        f"then '{field} is ' || {field}_text"
        for field in mapped
        if field not in PRICES
    )
    kept_texts = ", ".join(f"{field}::varchar as {field}_text" for field in mapped)
    now = received_at.astimezone(UTC).replace(tzinfo=None)
    connection.execute(
        f"""
        create or replace temp table judged as
        with texts as ({texts}),
        parsed as (
            select row_number, name, texts.symbol, moment::varchar as moment_text, {kept_texts},
                {_opened_expression(request, time_type, unit)} as opened_at_utc, {numbers}
            from texts left join temp.zones as zones on zones.prefix = split_part(texts.symbol, ':', 1)
        ),
        described as (
            select row_number, name, symbol, opened_at_utc, open, high, low, close, volume, quote_volume, case
                when symbol is null or not regexp_full_match(symbol, $pattern)
                    then ['BAD_SYMBOL', 'symbol is ' || coalesce(name, symbol, 'empty')
                        || '; needs EXCHANGE:TICKER']
                when opened_at_utc is null
                    then ['TS_UNIT', 'time is ' || coalesce(moment_text, 'empty') || '; needs ' || $needs]
                when opened_at_utc < $earliest or opened_at_utc > $latest
                        or opened_at_utc != date_trunc('minute', opened_at_utc)
                    then ['TS_UNIT', 'time ' || moment_text || ' was read as ' || opened_at_utc::varchar
                        || ' UTC']
                when coalesce(case {missing} end, '') != ''
                    then ['NOT_FINITE', case {missing} end]
                when least(open, high, low, close) <= 0
                    then ['OHLC_INVALID', 'a price is ' || least(open, high, low, close)::varchar]
                when high < greatest(open, low, close)
                    then ['OHLC_INVALID', 'high ' || high::varchar || ' is below '
                        || greatest(open, low, close)::varchar]
                when low > least(open, close)
                    then ['OHLC_INVALID', 'low ' || low::varchar || ' is above '
                        || least(open, close)::varchar]
                when least(volume, quote_volume) < 0
                    then ['OHLC_INVALID', 'a volume is ' || least(volume, quote_volume)::varchar]
                when opened_at_utc > $now
                    then ['FUTURE_BAR', 'opens at ' || opened_at_utc::varchar || ' UTC, received at '
                        || $now_text]
                end as finding
            from parsed
        )
        select * exclude (finding), finding[1] as code, finding[2] as detail,
            case when finding is not null then 'error' end as severity,
            case when finding is not null then 'quarantined' end as fate,
            coalesce(opened_at_utc + interval '{INTERVALS[request["interval"]]}' <= $now, false) as is_final
        from described
        """,
        {
            "pattern": SYMBOL_PATTERN,
            "needs": _needs(request, unit),
            "earliest": EARLIEST,
            "latest": now + LATEST_AHEAD,
            "now": now,
            "now_text": f"{now} UTC",
        },
    )
    _judge_repeats(connection)
    notes = _notes(connection, unit)
    return Judged(received=received_count(connection, request), notes=notes)


def received_count(connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> int:
    """Return how many rows the payload has, counted where it was read, torn lines included."""
    table = "file_rows" if request["layout"] == "long" else "judged"
    return _scalar(connection, f"select count(*) from temp.{table}") + torn_count(connection)


def torn_count(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many lines of the payload could not be split into columns."""
    return _scalar(connection, "select count(distinct line) from temp.torn_lines")


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _needs(request: Mapping[str, Any], unit: str | None) -> str:
    if request["time_kind"] == "date":
        return "a date like 2024-03-28"
    if unit is not None:
        return f"epoch {_UNIT_NAMES[unit]} like most of the file"
    return "a UTC time like 2024-03-28T00:00:00Z, or epoch seconds, milliseconds or microseconds"


def _fill_zones(connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> None:
    zones = request["timezones"]
    connection.execute("create or replace temp table zones (prefix varchar, timezone varchar)")
    connection.execute(
        "insert into zones select unnest(?::varchar[]), unnest(?::varchar[])",
        [list(zones.keys()), list(zones.values())],
    )


def _judge_repeats(connection: duckdb.DuckDBPyConnection) -> None:
    """Settle rows of one payload that claim the same bar: collapse equal ones, quarantine contradictions."""
    connection.execute("""
        create or replace temp table fated as
        with keys as (
            select symbol, opened_at_utc from temp.judged where fate is null group by all having count(*) > 1
        ),
        repeats as (
            select judged.*, row(open, high, low, close, volume, quote_volume) as bar
            from temp.judged join keys using (symbol, opened_at_utc) where fate is null
        )
        select symbol, row_number, is_final,
            min(bar) over same = max(bar) over same as is_equal,
            row_number = min(row_number) over same as is_first,
            row_number = max(row_number) over same as is_last
        from repeats window same as (partition by symbol, opened_at_utc)
    """)
    connection.execute("""
        update temp.judged set fate = 'identical' from temp.fated
        where judged.row_number = fated.row_number and judged.symbol = fated.symbol
            and is_equal and not is_first
    """)
    connection.execute("""
        update temp.judged set fate = 'quarantined', code = 'DUP_CONFLICT',
            severity = case when fated.is_final then 'error' else 'warning' end,
            detail = case when fated.is_final then 'contradicts another row for the same bar'
                else 'replaced by a later row for the same bar, which is not final' end
        from temp.fated
        where judged.row_number = fated.row_number and judged.symbol = fated.symbol
            and not is_equal and (fated.is_final or not is_last)
    """)


def _notes(connection: duckdb.DuckDBPyConnection, unit: str | None) -> tuple[str, ...]:
    notes = []
    if unit is not None:
        notes.append(f"times were read as epoch {_UNIT_NAMES[unit]}")
    unsorted = _scalar(
        connection,
        """
        select count(*) from (
            select opened_at_utc < lag(opened_at_utc) over (partition by symbol order by row_number)
                as is_back
            from temp.judged where opened_at_utc is not null
        ) where is_back
        """,
    )
    if unsorted:
        notes.append(f"{unsorted} rows were out of order and have been sorted")
    return tuple(notes)


def compare_with_stored(
    connection: duckdb.DuckDBPyConnection, source: str, request: Mapping[str, Any], received_at: datetime
) -> None:
    """Give every row of `temp.judged` its fate in `temp.fated`: new, identical, superseding or quarantined.

    A row is compared with the value known when it was received, so that landing an older file again changes
    nothing. An equal bar that has become final since is superseding: only final bars enter returns.
    """
    connection.execute(
        """
        create or replace temp table fated as
        with stored as (
            select symbol, opened_at_utc, open, high, low, close, volume, quote_volume, is_final,
                received_at_utc <= $now as is_known
            from raw.bars
            where source = $source and "interval" = $interval and adjustment = $adjustment
                and symbol in (select distinct symbol from temp.judged where fate is null)
            qualify row_number() over (
                partition by symbol, opened_at_utc order by is_known desc, received_at_utc desc, load_id desc
            ) = 1
        )
        select judged.* exclude (fate), coalesce(judged.fate, case
            when stored.symbol is null then 'new'
            when stored.is_known and (stored.is_final or not judged.is_final)
                and judged.open is not distinct from stored.open
                and judged.high is not distinct from stored.high
                and judged.low is not distinct from stored.low
                and judged.close is not distinct from stored.close
                and judged.volume is not distinct from stored.volume
                and judged.quote_volume is not distinct from stored.quote_volume then 'identical'
            else 'superseding' end) as fate
        from temp.judged
        left join stored on judged.symbol = stored.symbol and judged.opened_at_utc = stored.opened_at_utc
        """,
        {
            "source": source,
            "interval": request["interval"],
            "adjustment": request["adjustment"],
            "now": received_at.astimezone(UTC).replace(tzinfo=None),
        },
    )


def insert_bars(
    connection: duckdb.DuckDBPyConnection,
    load_id: str,
    source: str,
    request: Mapping[str, Any],
    received_at: datetime,
) -> None:
    """Store the new and superseding rows of `temp.fated`, by symbol and time."""
    connection.execute(
        """
        insert into raw.bars
        select $load_id, $source, symbol, $interval, $adjustment, opened_at_utc, open, high, low, close,
            volume, quote_volume, is_final, $now
        from temp.fated where fate in ('new', 'superseding') order by symbol, opened_at_utc
        """,
        {
            "load_id": load_id,
            "source": source,
            "interval": request["interval"],
            "adjustment": request["adjustment"],
            "now": received_at.astimezone(UTC).replace(tzinfo=None),
        },
    )


def insert_quarantine(
    connection: duckdb.DuckDBPyConnection, load_id: str, request: Mapping[str, Any], detected_at: datetime
) -> None:
    """Keep the quarantined rows of `temp.fated` and the torn lines, each with the row as it arrived."""
    now = detected_at.astimezone(UTC).replace(tzinfo=None)
    if request["layout"] == "wide":
        time = quoted(request["time_column"])
        cells = " ".join(f"when {_text(column)} then rows.{quoted(column)}::varchar" for column in request["symbols"])
        payload = f'to_json({{"row": fated.row_number, {time}: rows.{time}::varchar, '
        payload += f'"column": fated.name, "value": case fated.name {cells} end}})'
        rows = "temp.file_rows"
        identity = "rows.rowid + 1"
    else:
        payload = "rows.payload"
        rows = """(
            select "#row" as place, to_json(entry) as payload from (
                select rowid + 1 as "#row", columns(*)::varchar from temp.file_rows
                where rowid + 1 in (select row_number from temp.fated where fate = 'quarantined')
            ) as entry
        )"""
        identity = "rows.place"
    connection.execute(
        f"""
        insert into raw.quarantine
        select $load_id, 'bars', code, severity, case when code != 'BAD_SYMBOL' then symbol end, {payload},
            detail, $now, null
        from temp.fated join {rows} as rows on {identity} = fated.row_number
        where fate = 'quarantined' order by fated.row_number, fated.symbol
        """,
        {"load_id": load_id, "now": now},
    )
    connection.execute(
        """
        insert into raw.quarantine
        select $load_id, 'bars', 'BODY_PARSE', 'error', null,
            to_json({"line": line, "text": trim(any_value(csv_line), chr(10) || chr(13))}),
            'line ' || line || ': ' || min(error_message), $now, null
        from temp.torn_lines group by line order by line
        """,
        {"load_id": load_id, "now": now},
    )
