"""The tables that ingest owns, with the comments that reach DuckDB.

No foreign keys: they break the copy that publishes the warehouse. Relations are tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quantmill.errors import WarehouseError

if TYPE_CHECKING:
    import duckdb


class Column(NamedTuple):
    """A column of a landing table: name, DuckDB type and comment."""

    name: str
    type: str
    comment: str


class Table(NamedTuple):
    """A landing table: name, comment, columns and key."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()


def _as_received(what: str) -> tuple[Column, ...]:
    return (
        Column("load_id", "VARCHAR NOT NULL", "load that brought the row"),
        Column("row_number", "BIGINT NOT NULL", "place of the row in the payload, from 1"),
        Column("symbol", "VARCHAR NOT NULL", "physical symbol, EXCHANGE:TICKER"),
        Column("payload", "VARCHAR NOT NULL", f"{what} as received, JSON text"),
        Column("received_at_utc", "TIMESTAMP NOT NULL", "when the payload was received, UTC"),
    )


TABLES: tuple[Table, ...] = (
    Table(
        "raw.loads",
        "One row per attempt to obtain one payload. Append-only. "
        "rows_received = rows_new + rows_identical + rows_superseding + rows_quarantined.",
        (
            Column("load_id", "VARCHAR NOT NULL", "time-ordered id: UTC stamp and 8 hex digits"),
            Column(
                "kind",
                "VARCHAR NOT NULL",
                "bars, symbol_metadata, scan, execution_limits, vendor_features, corporate_actions, resolutions, "
                "symbol_aliases",
            ),
            Column("source", "VARCHAR NOT NULL", "who the payload came from"),
            Column(
                "status",
                "VARCHAR NOT NULL",
                "OK, UP_TO_DATE, OK_EMPTY, PARTIAL, NO_PROGRESS, EMPTY, DUPLICATE, REJECTED or FAILED",
            ),
            Column("request_hash", "VARCHAR NOT NULL", "SHA-256 of the request as canonical JSON"),
            Column("payload_sha256", "VARCHAR", "SHA-256 of the payload bytes; NULL when none arrived"),
            Column("rows_received", "BIGINT NOT NULL", "rows in the payload"),
            Column("rows_new", "BIGINT NOT NULL", "rows stored whose key was not stored before"),
            Column(
                "rows_identical",
                "BIGINT NOT NULL",
                "rows equal to the stored value, or repeated in the payload",
            ),
            Column("rows_superseding", "BIGINT NOT NULL", "rows stored beside an older value of the same key"),
            Column("rows_quarantined", "BIGINT NOT NULL", "rows kept in raw.quarantine only"),
            Column("started_at_utc", "TIMESTAMP NOT NULL", "start of the attempt, UTC"),
            Column("finished_at_utc", "TIMESTAMP NOT NULL", "when the payload was safe in the landing, UTC"),
            Column("error", "VARCHAR", "why the load is not clean; NULL when it is"),
            Column("config_hash", "VARCHAR", "scanner that asked, see raw.scanner_configs; NULL for other kinds"),
            Column("counters", "VARCHAR", "facts of the transport as JSON, such as total_count; NULL for none"),
        ),
        ("load_id",),
    ),
    Table(
        "raw.scan_rows",
        "One row per row of a scanner answer. Append-only.",
        (
            Column("load_id", "VARCHAR NOT NULL", "load that brought the row"),
            Column("row_number", "BIGINT NOT NULL", "place of the row in the payload, from 1"),
            Column("scanner_id", "VARCHAR NOT NULL", "scanner that asked"),
            Column("symbol", "VARCHAR NOT NULL", "physical symbol, EXCHANGE:TICKER"),
            Column("payload", "VARCHAR NOT NULL", "row as received, JSON text"),
            Column("scanned_at_utc", "TIMESTAMP NOT NULL", "when the scanner answered, UTC"),
            Column("config_hash", "VARCHAR", "SHA-256 of the resolved scanner that asked, see raw.scanner_configs"),
        ),
    ),
    Table(
        "raw.scanner_configs",
        "One row per resolved scanner that was ever asked. Append-only.",
        (
            Column("config_hash", "VARCHAR NOT NULL", "SHA-256 of the resolved scanner as canonical JSON"),
            Column("scanner_id", "VARCHAR NOT NULL", "scanner"),
            Column("resolved", "VARCHAR NOT NULL", "the scanner with all its layers merged, canonical JSON"),
            Column("first_seen_utc", "TIMESTAMP NOT NULL", "when it was asked first, UTC"),
        ),
        ("config_hash",),
    ),
    Table(
        "raw.bars",
        "One row per distinct bar value received. Append-only: a revision is a new row, nothing is updated.",
        (
            Column("load_id", "VARCHAR NOT NULL", "load that brought the bar"),
            Column("source", "VARCHAR NOT NULL", "who the bar came from; sources are never averaged"),
            Column("symbol", "VARCHAR NOT NULL", "physical symbol, EXCHANGE:TICKER"),
            Column("interval", "VARCHAR NOT NULL", "length of the bar: 1m to 1M"),
            Column("adjustment", "VARCHAR NOT NULL", "none, splits or total_return"),
            Column(
                "opened_at_utc",
                "TIMESTAMP NOT NULL",
                "opening of the bar, UTC; a dated bar opens at local midnight",
            ),
            Column("open", "DOUBLE", "first price; NULL where the source has closes only"),
            Column("high", "DOUBLE", "highest price; NULL where the source has closes only"),
            Column("low", "DOUBLE", "lowest price; NULL where the source has closes only"),
            Column("close", "DOUBLE NOT NULL", "last price"),
            Column("volume", "DOUBLE", "traded units of the base; NULL where the source has none"),
            Column("quote_volume", "DOUBLE", "traded value in the quote currency; NULL where the source has none"),
            Column("is_final", "BOOLEAN NOT NULL", "the bar was over when it was received"),
            Column("received_at_utc", "TIMESTAMP NOT NULL", "when the payload was received, UTC"),
        ),
    ),
    Table(
        "raw.symbol_metadata",
        "One row per distinct description of a symbol received. Append-only.",
        _as_received("description of the symbol"),
    ),
    Table(
        "raw.execution_limits",
        "One row per symbol and answer of a venue about its trading limits. Append-only.",
        _as_received("limits"),
    ),
    Table(
        "raw.vendor_features",
        "One row per symbol and answer of a vendor about its features. Append-only.",
        _as_received("features"),
    ),
    Table(
        "raw.corporate_actions",
        "One row per distinct dividend or split received. Append-only.",
        _as_received("dividend or split"),
    ),
    Table(
        "raw.resolutions",
        "One row per recorded word on a finding, by symbol, session and code: what happened, who says so. Append-only.",
        _as_received("resolution"),
    ),
    Table(
        "raw.symbol_aliases",
        "One row per renamed symbol and judgement of it: under which symbol it goes on since when, and whether the two "
        "histories were proven to be one; or per symbol written under another exchange than lists it. The newest of a "
        "symbol counts. Append-only.",
        _as_received("alias"),
    ),
    Table(
        "raw.quarantine",
        "One row per rejected row or load, with the row as it arrived. Append-only.",
        (
            Column("load_id", "VARCHAR NOT NULL", "load that brought the row"),
            Column("kind", "VARCHAR NOT NULL", "kind of the load"),
            Column(
                "code",
                "VARCHAR NOT NULL",
                "of a row: BODY_PARSE, BAD_SYMBOL, TS_UNIT, NOT_FINITE, OHLC_INVALID, FUTURE_BAR, DUP_CONFLICT, "
                "SCAN_..., SUSPECT_DROP, STRAY_BAR; of all rows of a series: TOXIC_RETURN, CROSS_LEVEL, DUPLICATE_ROW, "
                "OVERLAP_MISMATCH, CORPORATE_ACTION, SCAN_REJECTED",
            ),
            Column(
                "severity",
                "VARCHAR NOT NULL",
                "error: the row is missing now; warning: nothing is missed for its absence",
            ),
            Column("symbol", "VARCHAR", "physical symbol; NULL where the row names none that is valid"),
            Column("payload", "VARCHAR NOT NULL", "row as received, JSON text"),
            Column("detail", "VARCHAR NOT NULL", "what was found"),
            Column("detected_at_utc", "TIMESTAMP NOT NULL", "when the load was judged, UTC"),
            Column("resolution", "VARCHAR", "how it was settled; NULL while open"),
        ),
    ),
    Table(
        "raw.findings",
        "One row per suspicion that a check had about a bar or a load, kept or not. Append-only.",
        (
            Column("load_id", "VARCHAR NOT NULL", "load that was judged"),
            Column("symbol", "VARCHAR NOT NULL", "physical symbol, EXCHANGE:TICKER"),
            Column(
                "code",
                "VARCHAR NOT NULL",
                "TOXIC_RETURN, IMPOSSIBLE, SUSPECT_DROP, CROSS_LEVEL, DUPLICATE_ROW, OVERLAP_MISMATCH, "
                "CORPORATE_ACTION, STRAY_BAR, SPLIT_SUSPECT, EXTREME, VOLUME_SPIKE, EXCHANGE_WITHOUT_CALENDAR or "
                "CORROBORATED",
            ),
            Column(
                "severity",
                "VARCHAR NOT NULL",
                "reject: all rows of the symbol in this load; quarantine: this row; warning or info: nothing",
            ),
            Column("opened_at_utc", "TIMESTAMP", "opening of the bar, UTC; NULL where the whole load is meant"),
            Column("close", "DOUBLE", "close of the bar as received"),
            Column("value", "DOUBLE", "what tripped the rule: return, logarithm, share or ratio, see detail"),
            Column("donor_symbol", "VARCHAR", "whose bar it looks like; NULL where none was found"),
            Column("detail", "VARCHAR NOT NULL", "what was found, in words"),
            Column("detected_at_utc", "TIMESTAMP NOT NULL", "when the load was judged, UTC"),
        ),
    ),
    Table(
        "ops.symbol_registry",
        "One row per symbol: how its last load went. A state, not a history.",
        (
            Column("symbol", "VARCHAR NOT NULL", "physical symbol, EXCHANGE:TICKER"),
            Column(
                "status",
                "VARCHAR NOT NULL",
                "REGISTERED, STABLE, STALE, DEGRADED, MISSING, TOXIC or DELISTED",
            ),
            Column("reason", "VARCHAR", "why the status is not STABLE"),
            Column("last_final_session", "DATE", "date, in the exchange's zone, of the newest final bar"),
            Column("last_attempt_utc", "TIMESTAMP NOT NULL", "end of the last load that named the symbol, UTC"),
            Column("consecutive_failures", "BIGINT NOT NULL", "loads in a row that failed for the symbol"),
            Column("last_final_utc", "TIMESTAMP", "opening of the newest final daily bar, UTC"),
            Column("last_success_load_id", "VARCHAR", "newest load that succeeded for the symbol"),
            Column("last_success_utc", "TIMESTAMP", "end of that load, UTC"),
            Column("genesis_utc", "TIMESTAMP", "opening of the first bar there is, UTC; NULL until confirmed"),
            Column("gap_count", "BIGINT", "unexcused missing sessions when it was counted last"),
            Column("health_hash", "VARCHAR", "16 hex digits over status, reason, last session and gaps"),
            Column("lock_owner", "VARCHAR", "command that is fetching the symbol; NULL when none is"),
            Column("lock_until_utc", "TIMESTAMP", "when the lock ends by itself, UTC"),
            Column("unknown_since", "DATE", "UTC day on which a source first did not know it; NULL since one does"),
            Column(
                "repair_postponed_utc",
                "TIMESTAMP",
                "moment of a repair whose time was over before it came to the symbol, UTC; NULL since one did",
            ),
        ),
        ("symbol",),
    ),
    Table(
        "ops.symbol_listings",
        "One row per symbol and change between listed and delisted, as ops.symbol_registry learned of it. Append-only; "
        "who was never delisted has none.",
        (
            Column("place", "BIGINT NOT NULL", "place in the order of writing, from 1"),
            Column("symbol", "VARCHAR NOT NULL", "physical symbol, EXCHANGE:TICKER"),
            Column("is_listed", "BOOLEAN NOT NULL", "false: delisted; true: listed again"),
            Column("since_utc", "TIMESTAMP NOT NULL", "end of the load that said so, UTC"),
            Column("reason", "VARCHAR", "reason that the registry gave; NULL where a good load listed it again"),
            Column("command_id", "VARCHAR NOT NULL", "command that made the load"),
        ),
        ("place",),
    ),
    Table(
        "ops.sync_runs",
        "One row per pass of a synchronisation. Append-only.",
        (
            Column("command_id", "VARCHAR NOT NULL", "command that ran the pass"),
            Column("profile", "VARCHAR", "profile whose symbols were in scope; NULL for an explicit list"),
            Column("cycle", "BIGINT NOT NULL", "cycle within the command, from 1"),
            Column("pass", "VARCHAR NOT NULL", "normal, force, slow, alternate, genesis or gaps"),
            Column("as_of_utc", "TIMESTAMP NOT NULL", "moment the pass was planned for, UTC"),
            Column("symbol_count", "BIGINT NOT NULL", "distinct physical symbols in scope"),
            Column("request_count", "BIGINT NOT NULL", "series that were asked for"),
            Column("saved_count", "BIGINT NOT NULL", "series of the scope that need not be asked for"),
            Column("saved_share", "DOUBLE NOT NULL", "saved_count over both"),
            Column("skipped", "VARCHAR NOT NULL", "JSON object: reason to number of series not asked for"),
            Column("statuses", "VARCHAR NOT NULL", "JSON object: load status to number of loads"),
            Column("started_at_utc", "TIMESTAMP NOT NULL", "start, UTC"),
            Column("finished_at_utc", "TIMESTAMP NOT NULL", "end, UTC"),
        ),
    ),
    Table(
        "ops.commands",
        "One row per finished data command. Append-only.",
        (
            Column("command_id", "VARCHAR NOT NULL", "first load id the command made, or its own stamp"),
            Column("command", "VARCHAR NOT NULL", "scan, bars, metadata, features, repair, recover, audit or flow"),
            Column("profile", "VARCHAR", "profile it ran for; NULL for an explicit list"),
            Column("scope", "VARCHAR NOT NULL", "JSON object: what was asked"),
            Column("as_of_utc", "TIMESTAMP NOT NULL", "moment it ran for, UTC"),
            Column("inputs_hash", "VARCHAR NOT NULL", "SHA-256 over what was asked and the requests made"),
            Column("outputs_hash", "VARCHAR NOT NULL", "SHA-256 over the loads it made, by load_id"),
            Column("counts", "VARCHAR NOT NULL", "JSON object: counts by status and of rows"),
            Column("exit_code", "BIGINT NOT NULL", "0 done, 3 data, 4 health, 5 network, 130 or 143 interrupted"),
            Column("duration_seconds", "DOUBLE NOT NULL", "seconds by the command's clock"),
            Column("finished_at_utc", "TIMESTAMP NOT NULL", "end, UTC"),
        ),
    ),
    Table(
        "ops.feature_coverage",
        "One row per fetch of vendor features. Append-only.",
        (
            Column("command_id", "VARCHAR NOT NULL", "command that fetched"),
            Column("profile", "VARCHAR", "profile whose symbols were asked for; NULL for an explicit list"),
            Column("observed_at_utc", "TIMESTAMP NOT NULL", "moment of the fetch, UTC"),
            Column("symbol_count", "BIGINT NOT NULL", "symbols asked for"),
            Column("covered_count", "BIGINT NOT NULL", "symbols with a landed row"),
            Column("coverage", "DOUBLE NOT NULL", "covered_count over symbol_count"),
            Column("attempts", "VARCHAR NOT NULL", "JSON list of {idx, fetched, failed, duration_s}"),
            Column("failed_symbols", "VARCHAR NOT NULL", "JSON list of symbols without a row"),
            Column("waiver", "VARCHAR", "why an incomplete coverage was let through; NULL when it was not"),
        ),
    ),
    Table(
        "ops.snapshots",
        "One row per command that changed the landed data. Append-only.",
        (
            Column("snapshot_id", "VARCHAR NOT NULL", "stamp of max_load_id and 8 digits of content_hash"),
            Column("max_load_id", "VARCHAR NOT NULL", "last load that added rows"),
            Column(
                "content_hash",
                "VARCHAR NOT NULL",
                "SHA-256 over the payload hashes that added rows, by load_id",
            ),
            Column("created_at_utc", "TIMESTAMP NOT NULL", "end of the load max_load_id, UTC"),
        ),
        ("snapshot_id",),
    ),
)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _present(connection: duckdb.DuckDBPyConnection) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the tables that a workbench has, and their columns."""
    columns = {
        (f"{schema}.{name}", column)
        for schema, name, column in connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where database_name = current_database()"
        ).fetchall()
    }
    return {table for table, _ in columns}, columns


def require_tables(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise `WarehouseError` where a workbench lacks a table or a column of this version."""
    _, columns = _present(connection)
    missing = [
        f"{table.name}.{column.name}"
        for table in TABLES
        for column in table.columns
        if (table.name, column.name) not in columns
    ]
    if missing:
        raise WarehouseError(
            f"{path} is of an earlier version: it lacks {missing[0]}, and {len(missing) - 1} columns more",
            remedy="run the command without --dry-run, or 'make rebuild': either brings it up to date",
        )


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas `raw` and `ops` with all their tables, filled or not; existing ones get missing columns."""
    existing, columns = _present(connection)
    late = [
        (table.name, column)
        for table in TABLES
        for column in table.columns
        if table.name in existing and (table.name, column.name) not in columns
    ]
    if not late and all(table.name in existing for table in TABLES):
        return
    connection.execute("begin")
    for name, column in late:
        # A workbench of an earlier version: what it lacks is unknown for the rows it has.
        connection.execute(f'alter table {name} add column "{column.name}" {column.type.removesuffix(" NOT NULL")}')
        connection.execute(f'comment on column {name}."{column.name}" is {_text(column.comment)}')
    for schema in ("raw", "ops"):
        connection.execute(f"create schema if not exists {schema}")
    for table in TABLES:
        if table.name in existing:
            continue
        lines = [f'"{column.name}" {column.type}' for column in table.columns]
        if table.key:
            lines.append(f"primary key ({', '.join(table.key)})")
        connection.execute(f"create table {table.name} ({', '.join(lines)})")
        connection.execute(f"comment on table {table.name} is {_text(table.comment)}")
        for column in table.columns:
            connection.execute(f'comment on column {table.name}."{column.name}" is {_text(column.comment)}')
    connection.execute("commit")
