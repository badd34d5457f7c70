"""The tables that ingest owns, with the comments that reach DuckDB.

No foreign keys: they break the copy that publishes the warehouse. Relations are tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
                "bars, symbol_metadata, scan, execution_limits, vendor_features, resolutions",
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
            Column("config_hash", "VARCHAR NOT NULL", "SHA-256 of the scanner's resolved configuration"),
        ),
    ),
    Table(
        "raw.scanner_configs",
        "One row per resolved scanner configuration that was ever used. Append-only.",
        (
            Column("config_hash", "VARCHAR NOT NULL", "SHA-256 of resolved"),
            Column("scanner_id", "VARCHAR NOT NULL", "scanner that it configures"),
            Column("resolved", "VARCHAR NOT NULL", "configuration with all its layers merged, canonical JSON"),
            Column("first_seen_utc", "TIMESTAMP NOT NULL", "when it was first used, UTC"),
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
        "raw.resolutions",
        "One row per recorded resolution of a suspect move: what happened that session, by symbol and code. "
        "Append-only.",
        _as_received("resolution"),
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
                "BODY_PARSE, BAD_SYMBOL, TS_UNIT, NOT_FINITE, OHLC_INVALID, FUTURE_BAR, DUP_CONFLICT or a later check",
            ),
            Column(
                "severity",
                "VARCHAR NOT NULL",
                "error: the bar is missing now; warning: another row took its place",
            ),
            Column("symbol", "VARCHAR", "physical symbol; NULL where the row names none that is valid"),
            Column("payload", "VARCHAR NOT NULL", "row as received, JSON text"),
            Column("detail", "VARCHAR NOT NULL", "what was found"),
            Column("detected_at_utc", "TIMESTAMP NOT NULL", "when the load was judged, UTC"),
            Column("resolution", "VARCHAR", "how it was settled; NULL while open"),
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
        ),
        ("symbol",),
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


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas `raw` and `ops` with all their tables, filled or not; leave existing ones alone."""
    existing = {
        f"{schema}.{name}"
        for schema, name in connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database()"
        ).fetchall()
    }
    if all(table.name in existing for table in TABLES):
        return
    connection.execute("begin")
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
