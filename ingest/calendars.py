"""Sessions of exchanges inside the workbench: a temporary table, filled for the calendars that are needed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.exchanges import EXCHANGES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
# No source of ours reaches further back.
FIRST_BAR = datetime(1990, 1, 1)

# What a listing prefix says, as a table: time zone, calendar and class of a symbol whose metadata say nothing else.
_PREFIXES = """
create or replace temp table prefixes (prefix varchar, timezone varchar, calendar_id varchar, asset_class varchar)
"""


@cache
def _sessions(calendar_id: str) -> pa.Table:
    """Return the sessions of one calendar, as the models have them, with their numbers, in order."""
    import pyarrow as pa
    from quantmill.manifest.calendars import calendar_sessions, read_corrections

    found = calendar_sessions([calendar_id], FIRST_BAR, read_corrections(ROOT))
    numbers = pa.array(range(1, len(found) + 1), pa.int64())
    return found.drop_columns(["is_half_day"]).add_column(1, "session_number", numbers)


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
