"""Sessions of exchanges inside the workbench: a temporary table, filled for the calendars that are needed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING

from quantmill.errors import DataContractError

from ingest.exchanges import EXCHANGES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FIRST_SESSION = date(1990, 1, 1)
LAST_SESSION = date(2035, 12, 31)

# What a listing prefix says, as a table: time zone, calendar and class of a symbol whose metadata say nothing else.
_PREFIXES = """
create or replace temp table prefixes (prefix varchar, timezone varchar, calendar_id varchar, asset_class varchar)
"""


@cache
def _sessions(calendar_id: str) -> pa.Table:
    """Return the sessions of one calendar: session_date, open_utc and close_utc without a zone, in order."""
    import exchange_calendars
    import pyarrow as pa

    try:
        calendar = exchange_calendars.get_calendar(calendar_id, start=str(FIRST_SESSION), end=str(LAST_SESSION))
    except exchange_calendars.errors.InvalidCalendarName:
        raise DataContractError(
            f"symbols name the calendar {calendar_id!r}, which exchange_calendars does not have",
            remedy="land metadata with one of its names, such as XNYS or 24/7",
            calendar_id=calendar_id,
        ) from None
    except ValueError:
        # A calendar may not reach back as far: its own beginning then.
        calendar = exchange_calendars.get_calendar(calendar_id, end=str(LAST_SESSION))
    schedule = calendar.schedule
    count = len(schedule)
    return pa.table(
        {
            "calendar_id": pa.array([calendar_id] * count),
            "session_number": pa.array(range(1, count + 1), pa.int64()),
            "session_date": pa.array(schedule.index.to_numpy().astype("datetime64[D]")),
            "open_utc": pa.array(schedule["open"].dt.tz_convert(None).to_numpy().astype("datetime64[us]")),
            "close_utc": pa.array(schedule["close"].dt.tz_convert(None).to_numpy().astype("datetime64[us]")),
        }
    )


def fill_sessions(connection: duckdb.DuckDBPyConnection, calendar_ids: Iterable[str]) -> None:
    """Make `temp.sessions` hold the sessions of `calendar_ids`: calendar_id, session_number, session_date, open_utc,
    close_utc (UTC).

    What it holds already stays. Raises `DataContractError` for a calendar that the library does not have.
    """
    connection.execute("""
        create temp table if not exists sessions (calendar_id varchar, session_number bigint, session_date date,
            open_utc timestamp, close_utc timestamp)
    """)
    there = {row[0] for row in connection.execute("select distinct calendar_id from temp.sessions").fetchall()}
    for calendar_id in sorted(set(calendar_ids) - there):
        connection.register("calendar_rows", _sessions(calendar_id))
        connection.execute("insert into temp.sessions select * from calendar_rows")
        connection.unregister("calendar_rows")


def fill_prefixes(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `temp.prefixes`: what each known listing prefix says of a symbol."""
    connection.execute(_PREFIXES)
    rows = [(name, one.timezone, one.calendar_id, one.asset_class) for name, one in sorted(EXCHANGES.items())]
    connection.execute(
        "insert into prefixes select unnest(?::varchar[]), unnest(?::varchar[]), unnest(?::varchar[]), "
        "unnest(?::varchar[])",
        [list(column) for column in zip(*rows, strict=True)],
    )


def expected_sessions(
    connection: duckdb.DuckDBPyConnection, calendar_ids: Iterable[str], as_of: datetime
) -> dict[str, date]:
    """Return the last complete session of each calendar at `as_of` (aware): the newest that has closed by then."""
    wanted = sorted(set(calendar_ids))
    fill_sessions(connection, wanted)
    rows = connection.execute(
        """
        select calendar_id, max(session_date) from temp.sessions
        where close_utc <= ? and list_contains(?::varchar[], calendar_id) group by calendar_id
        """,
        [as_of.astimezone(UTC).replace(tzinfo=None), wanted],
    ).fetchall()
    return dict(rows)


def session_date_sql(opened: str, asset_class: str, timezone: str) -> str:
    """Return the SQL of the session that a bar belongs to, as the macro `session_date` of the models has it."""
    return f"""case
        when {asset_class} in ('forex', 'futures') and hour({opened}) >= 20
            then cast({opened} + interval 4 hour as date)
        when {asset_class} in ('forex', 'futures', 'crypto') then cast({opened} as date)
        else cast(timezone({timezone}, timezone('UTC', {opened})) as date) end"""
