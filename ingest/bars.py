"""From the bytes of bar payloads to judged rows, in DuckDB: no row passes through Python.

Two ways lead to `temp.judged`: a file is read where it lies (`read_payload`, `judge`), thousands of answers of sources
are staged together (`stage_answers`). What is judged beyond the single row is in `ingest.judging`.

A payload is `long` (one row per bar, CSV or Parquet) or `wide` (CSV with one row per session and one column
of closes per symbol, whose empty cells are no rows).

A row gets at most one code, the first that applies:

| code         | the row |
|---|---|
| BODY_PARSE   | is a line that cannot be split into the columns of the file |
| BAD_SYMBOL   | names no `EXCHANGE:TICKER` |
| TS_UNIT      | has a time that is none, in another unit than the file, off the whole minute, or absurd; or one that is
                 no beginning of a bar of a market that never closes |
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
    import pyarrow as pa

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
# Seconds of one unit of an interval whose bars begin at multiples of their length since the epoch.
_GRID_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
# How the numbers of a text file may be written, and what such a number looks like with a comma: 1.234,56.
DECIMALS = ("point", "comma")
_WITH_COMMA = r"\s*[-+]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?([eE][-+]?\d+)?\s*"
_HAS_COMMA = r"\s*[-+]?[\d.]*\d,\d[\d.,]*\s*"
EARLIEST = datetime(1900, 1, 1)
# A time further ahead than this is a wrong unit, not a bar from the future.
LATEST_AHEAD = timedelta(days=3650)
# Below 1e8 s (March 1973) a number is more likely a day count or a truncated millisecond than an epoch
# second.
_UNITS = (("s", 1e8, 1e12, 1_000_000), ("ms", 1e12, 1e15, 1_000), ("us", 1e15, 1e17, 1))
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
_DATE_TEXT = r"\d{4}-\d{1,2}-\d{1,2}([ T]00:00(:00(\.0+)?)?)?"
_TEMPORARY = ("file_rows", "judged", "zones", "symbol_names", "torn_lines", "torn_scans", "staged")


# What a row with numbers and a time still has to obey, as the cases of one expression. Prices that an adjustment
# rounded in their last bit are equal: nobody trades a millionth of a millionth of a price.
_PRICE_RULES = """when least(open, high, low, close) <= 0
                    then ['OHLC_INVALID', 'a price is ' || least(open, high, low, close)::varchar]
                when high < greatest(open, low, close) * (1 - 1e-12)
                    then ['OHLC_INVALID', 'high ' || high::varchar || ' is below '
                        || greatest(open, low, close)::varchar]
                when low > least(open, close) * (1 + 1e-12)
                    then ['OHLC_INVALID', 'low ' || low::varchar || ' is above ' || least(open, close)::varchar]
                when least(volume, quote_volume) < 0
                    then ['OHLC_INVALID', 'a volume is ' || least(volume, quote_volume)::varchar]
                when opened_at_utc > $now
                    then ['FUTURE_BAR', 'opens at ' || opened_at_utc::varchar || ' UTC, received at ' || $now_text]"""


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


def require_decimal(
    connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any], stated: str | None, *, origin: str
) -> None:
    """Raise `DataContractError` where the numbers of `temp.file_rows` may mean two things, naming the option.

    Without a word a comma may be a decimal mark or part thousands; with `comma` a point has to part thousands.
    """
    if stated == "point":
        return
    types = _column_types(connection)
    shape, is_bad = (_WITH_COMMA, "not ") if stated == "comma" else (_HAS_COMMA, "")
    for field, column in request["fields"].items():
        if types[column] != "VARCHAR":
            continue
        # with a comma only what is a number in the other notation is ambiguous: any other text is no number at all
        is_number = f"and try_cast({quoted(column)} as double) is not null" if stated == "comma" else ""
        found = connection.execute(
            f"""
            select min({quoted(column)}) from temp.file_rows
            where {is_bad}regexp_full_match({quoted(column)}, ?) {is_number}
                and isfinite(coalesce(try_cast({quoted(column)} as double), 0))
            """,
            [shape],
        ).fetchone()
        if found is not None and found[0] is not None:
            said = "--decimal is comma" if stated == "comma" else "nothing says whether a comma is a decimal mark"
            raise DataContractError(
                f"{origin}: {said}, and {field} is {found[0]!r}",
                remedy="give --decimal comma or --decimal point, whichever the file is written with; "
                "nothing was landed",
            )


def _number(field: str, column_type: str, decimal: str = "point") -> str:
    # DuckDB reads 1_000 as a number; nobody quotes prices like that.
    if column_type != "VARCHAR":
        return f"try_cast({field} as double)"
    if decimal == "comma":
        plain = f"replace(replace({field}, '.', ''), ',', '.')"
        return f"case when regexp_full_match({field}, {_text(_WITH_COMMA)}) then try_cast({plain} as double) end"
    return f"case when contains({field}, '_') then null else try_cast({field} as double) end"


def judge(
    connection: duckdb.DuckDBPyConnection, request: Mapping[str, Any], received_at: datetime, load_id: str
) -> Judged:
    """Judge `temp.file_rows` into `temp.judged`: one row per row as received, with its values, code and
    detail, all of the load `load_id`.

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
    decimal = request.get("decimal", "point")
    numbers = ", ".join(f"{_number(field, source_types.get(field, 'DOUBLE'), decimal)} as {field}" for field in FIELDS)
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
                {_PRICE_RULES}
                end as finding
            from parsed
        )
        select $load_id as load_id, * exclude (finding), finding[1] as code, finding[2] as detail,
            case when finding is not null then 'error' end as severity,
            case when finding is not null then 'quarantined' end as fate,
            coalesce(opened_at_utc + interval '{INTERVALS[request["interval"]]}' <= $now, false) as is_final
        from described
        """,
        {
            "load_id": load_id,
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


def has_rows(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the file that was read last has a row, torn lines included."""
    found = _scalar(connection, "select count(*) from (select 1 from temp.file_rows limit 1)")
    return found + torn_count(connection) > 0


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
        create or replace temp table repeats as
        with keys as (
            select load_id, symbol, opened_at_utc from temp.judged where fate is null group by all having count(*) > 1
        ),
        repeats as (
            select judged.*, row(open, high, low, close, volume, quote_volume) as bar
            from temp.judged join keys using (load_id, symbol, opened_at_utc) where fate is null
        )
        select load_id, symbol, row_number, is_final,
            min(bar) over same = max(bar) over same as is_equal,
            row_number = min(row_number) over same as is_first,
            row_number = max(row_number) over same as is_last
        from repeats window same as (partition by load_id, symbol, opened_at_utc)
    """)
    if not _scalar(connection, "select count(*) from temp.repeats"):
        return
    connection.execute("""
        update temp.judged set fate = 'identical' from temp.repeats
        where judged.load_id = repeats.load_id and judged.row_number = repeats.row_number
            and judged.symbol = repeats.symbol and is_equal and not is_first
    """)
    connection.execute("""
        update temp.judged set fate = 'quarantined', code = 'DUP_CONFLICT',
            severity = case when repeats.is_final then 'error' else 'warning' end,
            detail = case when repeats.is_final then 'contradicts another row for the same bar'
                else 'replaced by a later row for the same bar, which is not final' end
        from temp.repeats
        where judged.load_id = repeats.load_id and judged.row_number = repeats.row_number
            and judged.symbol = repeats.symbol and not is_equal and (repeats.is_final or not is_last)
    """)


def stage_answers(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Judge the rows of many answers into `temp.judged`; their loads stand in `temp.batch`.

    `rows` has `BAR_COLUMNS` and `load_id`. Each load has the unit of most of its own times. A daily bar of an exchange
    is final at the close of its session, every other bar when its length has passed.
    """
    clear(connection)
    connection.register("answer_rows", rows)
    connection.execute("create temp table staged as select * from answer_rows")
    connection.unregister("answer_rows")
    number = _epoch("opened_at")
    units = " ".join(f"when '{name}' then make_timestamp((round({number} * {factor}))::bigint)"
                     for name, _, _, factor in _UNITS)  # fmt: skip
    lengths = " ".join(f"when '{name}' then interval '{length}'" for name, length in INTERVALS.items())
    parsed = ", ".join(f"{_number(field, 'VARCHAR')} as {field}" for field in FIELDS)
    texts = ", ".join(f"{field} as {field}_text" for field in FIELDS)
    missing = " ".join(
        f"when ({field} is null or not isfinite({field})) and not (is_close_only and {field}_text is null) "
        f"then '{field} is ' || coalesce({field}_text, 'empty')"
        for field in PRICES
    ) + " ".join(
        f" when {field}_text is not null and ({field} is null or not isfinite({field})) "
        f"then '{field} is ' || {field}_text"
        for field in FIELDS
        if field not in PRICES
    )
    connection.execute(
        f"""
        create or replace temp table judged as
        with units as (
            select load_id, mode(unit) as unit, bool_and(open is null and high is null and low is null) as is_close_only
            from (select load_id, open, high, low, {_unit(number)} as unit from temp.staged) group by load_id
        ),
        parsed as (
            select staged.load_id, row_number, staged.symbol, opened_at, batch.symbol as wanted, batch.received_at,
                units.unit, is_close_only, batch.interval, {texts}, {parsed}, case
                    when regexp_full_match(trim(opened_at), '{_DATE_TEXT}') and {number} is null
                        then timezone('UTC', timezone(coalesce(facts.timezone, 'UTC'),
                            try_cast(regexp_extract(trim(opened_at), '^[0-9-]+') as timestamp)))
                    when {_unit(number)} = units.unit then case units.unit {units} end
                    when {number} is null then timezone('UTC', try_cast(opened_at as timestamptz))
                end as opened_at_utc,
                facts.calendar_id, facts.asset_class, facts.timezone, case batch.interval {lengths} end as length
            from temp.staged as staged
            join temp.batch as batch using (load_id)
            join units using (load_id)
            left join temp.facts as facts on facts.symbol = staged.symbol
        ),
        -- NULL where no session's close decides: the join is one of two equalities, or it would compare all with all
        described as (
            select *, case when interval = '1d' and asset_class = 'equity' then calendar_id end as closing_calendar,
                case when interval = '1d' and asset_class = 'equity'
                    then cast(timezone(timezone, timezone('UTC', opened_at_utc)) as date) end as local_date,
                case
                when symbol is null or not regexp_full_match(symbol, $pattern)
                    then ['BAD_SYMBOL', 'symbol is ' || coalesce(symbol, 'empty') || '; needs EXCHANGE:TICKER']
                when symbol != wanted
                    then ['FOREIGN_ROW', 'symbol is ' || symbol || '; ' || wanted || ' was asked for']
                when opened_at_utc is null
                    then ['TS_UNIT', 'time is ' || coalesce(opened_at, 'empty') || '; needs epoch '
                        || coalesce(unit, 's, ms, us') || ' like most of the answer, or an ISO date']
                when opened_at_utc < $earliest or opened_at_utc > received_at + interval '3650 days'
                        or opened_at_utc != date_trunc('minute', opened_at_utc)
                    then ['TS_UNIT', 'time ' || opened_at || ' was read as ' || opened_at_utc::varchar || ' UTC']
                when coalesce(case {missing} end, '') != ''
                    then ['NOT_FINITE', case {missing} end]
                {_PRICE_RULES.replace("$now_text", "received_at::varchar || ' UTC'").replace("$now", "received_at")}
                end as finding
            from parsed
        )
        select described.load_id, row_number, symbol as name, symbol, opened_at_utc, open, high, low, close, volume,
            quote_volume, finding[1] as code, finding[2] as detail,
            case when finding is not null then 'error' end as severity,
            case when finding is not null then 'quarantined' end as fate,
            coalesce(sessions.close_utc, opened_at_utc + length) <= received_at as is_final
        from described
        left join temp.sessions as sessions
            on sessions.calendar_id = described.closing_calendar and sessions.session_date = described.local_date
        """,
        {"pattern": SYMBOL_PATTERN, "earliest": EARLIEST},
    )
    connection.execute("update temp.judged set is_final = false where is_final is null")
    _judge_repeats(connection)


def judge_grid(connection: duckdb.DuckDBPyConnection) -> None:
    """Quarantine bars of `temp.judged` that open between the openings of a market that never closes.

    There a day begins at 00:00 UTC: a bar from 16:00 to 16:00 would be known to its session before it is over. Such a
    calendar is 24/7 in `temp.facts`; other markets have sessions, and the models say OFF_CALENDAR.
    """
    lengths = " ".join(
        f"when '{name}' then {_GRID_SECONDS[name.lstrip('0123456789')] * int(name[:-1])}"
        for name in INTERVALS
        if name.lstrip("0123456789") in _GRID_SECONDS
    )
    connection.execute(f"""
        update temp.judged set fate = 'quarantined', code = 'TS_UNIT', severity = 'error',
            detail = 'opens at ' || opened_at_utc::varchar || ' UTC, where no ' || batch.interval || ' bar of a market '
                || 'that never closes begins'
        from temp.batch as batch, temp.facts as facts
        where batch.load_id = judged.load_id and facts.symbol = judged.symbol and facts.calendar_id = '24/7'
            and judged.fate is distinct from 'quarantined'
            and epoch(judged.opened_at_utc)::bigint % case batch.interval {lengths} else 1 end != 0
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


def quarantine_file_rows(
    connection: duckdb.DuckDBPyConnection, load_id: str, request: Mapping[str, Any], detected_at: datetime
) -> None:
    """Keep the quarantined rows of `temp.fated` and the torn lines of a file, each with the row as it arrived."""
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


def quarantine_answer_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the quarantined rows of `temp.fated` that answers brought, each with the row as it arrived."""
    connection.execute("""
        insert into raw.quarantine
        select fated.load_id, 'bars', fated.code, fated.severity,
            case when fated.code != 'BAD_SYMBOL' then fated.symbol end, staged."row", fated.detail,
            batch.detected_at, null
        from temp.fated as fated
        join temp.staged as staged on staged.load_id = fated.load_id and staged.row_number = fated.row_number
        join temp.batch as batch on batch.load_id = fated.load_id
        where fate = 'quarantined' order by fated.load_id, fated.row_number
    """)
