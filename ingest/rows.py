"""Answers that are no bars: scans, metadata, limits, features, actions. Rows are kept as received, judged set-wise.

A scan, a venue's limits and a vendor's features are observations: each answer's rows are stored. Descriptions and
corporate actions are stored where they say something new.

| code | the row |
|---|---|
| BAD_SYMBOL, SCAN_... | cannot be used, as its reader says |
| SCAN_REJECTED | was good, in a scan with more than 5 % of bad rows |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quantmill.errors import DataContractError

from ingest.answers import BAR_COLUMNS, ROW_COLUMNS
from ingest.exchanges import SYMBOL_PATTERN
from ingest.landing import Load, canonical_json

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# A scan with a larger share of bad rows than this is no scan.
BAD_SCAN_SHARE = 0.05
REPEATED = "REPEATED"

Counted = tuple[str, int, int, int, int, int, str | None]


def no_bars() -> pa.Table:
    """Return a table without rows that has the columns of answers with bars."""
    import pyarrow as pa

    types = {name: pa.int64() if name == "row_number" else pa.string() for name in (*BAR_COLUMNS, "load_id")}
    return pa.table({name: pa.array([], kind) for name, kind in types.items()})


def read_json(data: bytes) -> pa.Table:
    """Return the mappings of a JSON list, each with a key `symbol`, as a table of `ROW_COLUMNS`.

    Raises `DataContractError` when the payload is no such list.
    """
    import pyarrow as pa

    try:
        given = json.loads(data)
        symbols = [str(row.get("symbol", "")) for row in given]
    except (ValueError, AttributeError, TypeError) as error:
        raise DataContractError(
            f"the payload is no JSON list of mappings: {error}", remedy="land it again from its source"
        ) from error
    count = len(given)
    return pa.table(
        {
            "row_number": pa.array(range(1, count + 1), pa.int64()),
            "symbol": pa.array(symbols, pa.string()),
            "row": pa.array([canonical_json(row) for row in given], pa.string()),
            "code": pa.nulls(count, pa.string()),
            "detail": pa.nulls(count, pa.string()),
        }
    )


def stage(connection: duckdb.DuckDBPyConnection, table: pa.Table | None) -> None:
    """Put the rows of many answers into `temp.staged_rows`; their loads stand in `temp.batch`."""
    import pyarrow as pa

    if table is None:
        types = {name: pa.int64() if name == "row_number" else pa.string() for name in (*ROW_COLUMNS, "load_id")}
        table = pa.table({name: pa.array([], kind) for name, kind in types.items()})
    connection.register("answer_rows", table.select([*ROW_COLUMNS, "load_id"]))
    connection.execute("create or replace temp table staged_rows as select * from answer_rows")
    connection.unregister("answer_rows")


def _judge(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    """Give every staged row its fate in `temp.fated_rows`."""
    stored = {
        # the newest description of the same source that was known when this one was received
        "symbol_metadata": """
            select distinct on (wanted.load_id, meta.symbol) wanted.load_id, meta.symbol, meta.payload
            from (select distinct load_id, symbol from temp.staged_rows) as wanted
            join temp.batch as batch using (load_id)
            join raw.symbol_metadata as meta on meta.symbol = wanted.symbol
            join raw.loads as loads on loads.load_id = meta.load_id and loads.source = batch.source
            where meta.received_at_utc <= batch.received_at
            order by wanted.load_id, meta.symbol, meta.received_at_utc desc, meta.load_id desc, meta.row_number desc
        """,
        "corporate_actions": """
            select distinct wanted.load_id, actions.symbol, actions.payload
            from (select distinct load_id, symbol, "row" from temp.staged_rows) as wanted
            join temp.batch as batch using (load_id)
            join raw.corporate_actions as actions
                on actions.symbol = wanted.symbol and actions.payload = wanted."row"
            join raw.loads as loads on loads.load_id = actions.load_id and loads.source = batch.source
        """,
    }.get(kind, "select null::varchar as load_id, null::varchar as symbol, null::varchar as payload where false")
    by_payload = "and stored.payload = rows.payload" if kind == "corporate_actions" else ""
    connection.execute(
        f"""
        create or replace temp table fated_rows as
        with stored as ({stored}),
        rows as (
            select load_id, row_number, symbol, "row" as payload,
                case when code = '{REPEATED}' then null when code is not null then code
                    when symbol is null or not regexp_full_match(symbol, '{SYMBOL_PATTERN}') then 'BAD_SYMBOL'
                end as code,
                coalesce(detail, 'symbol is ' || coalesce(symbol, 'empty') || '; needs EXCHANGE:TICKER') as detail,
                coalesce(code = '{REPEATED}', false) or row_number() over (
                    partition by load_id, symbol, "row" order by row_number) > 1 as is_repeat
            from temp.staged_rows
        )
        select rows.load_id, rows.row_number, rows.symbol, rows.payload, rows.code, rows.detail, case
            when rows.code is not null then 'quarantined'
            when rows.is_repeat then 'identical'
            when stored.symbol is null then 'new'
            when stored.payload = rows.payload then 'identical'
            else 'superseding' end as fate
        from rows
        left join stored on stored.load_id = rows.load_id and stored.symbol = rows.symbol {by_payload}
        """
    )
    if kind == "scan":
        connection.execute(f"""
            update temp.fated_rows set fate = 'quarantined', code = 'SCAN_REJECTED',
                detail = 'more than {BAD_SCAN_SHARE:.0%} of the rows of its scan are bad'
            where code is null and load_id in (
                select load_id from temp.fated_rows group by load_id
                having count(*) filter (where fate = 'quarantined') > {BAD_SCAN_SHARE} * count(*))
        """)


def store(
    connection: duckdb.DuckDBPyConnection, wave: Sequence[Load], repeated: Set[str], faults: Mapping[str, str]
) -> list[Counted]:
    """Store the staged rows of loads of one kind, inside the open transaction.

    Returns for each load its status, the rows received, new, identical, superseding and quarantined, and its error.
    """
    kind = wave[0].kind
    _judge(connection, kind)
    if kind == "scan":
        _insert_scans(connection, [load for load in wave if load.load_id not in repeated])
    else:
        connection.execute(f"""
            insert into raw.{kind}
            select fated.load_id, row_number, fated.symbol, payload, batch.received_at
            from temp.fated_rows as fated join temp.batch as batch using (load_id)
            where fate in ('new', 'superseding') order by fated.load_id, row_number
        """)
    connection.execute(
        """
        insert into raw.quarantine
        select fated.load_id, batch.kind, code, 'error', case when code != 'BAD_SYMBOL' and
            regexp_full_match(fated.symbol, '"""
        + SYMBOL_PATTERN
        + """') then fated.symbol end, payload, detail,
            batch.detected_at, null
        from temp.fated_rows as fated join temp.batch as batch using (load_id)
        where fate = 'quarantined' order by fated.load_id, row_number
    """
    )
    _register(connection, kind)
    counts = {
        row[0]: row[1:]
        for row in connection.execute("""
            select load_id, count(*), count(*) filter (where fate = 'new'),
                count(*) filter (where fate = 'identical'), count(*) filter (where fate = 'superseding'),
                count(*) filter (where fate = 'quarantined'),
                (select string_agg(code || ' ' || n, ', ' order by code) from (
                    select code, count(*) as n from temp.fated_rows as bad
                    where bad.load_id = fated.load_id and fate = 'quarantined' group by code))
            from temp.fated_rows as fated group by load_id
        """).fetchall()
    }
    return [_counted(load, counts.get(load.load_id, (0, 0, 0, 0, 0, None)), faults.get(load.load_id)) for load in wave]


def _counted(load: Load, counts: Sequence[Any], fault: str | None) -> Counted:
    received, new, identical, superseding, quarantined, codes = counts
    said = load.error or load.code
    reason = f"{load.code}: {said}" if load.code and load.code not in (said or "") else said
    status: str
    error: str | None
    lost = f"{quarantined} of {received} rows are in quarantine: {codes}" if quarantined else None
    if fault is not None:
        status, error = "FAILED", f"BODY_PARSE: {fault}"
    elif load.state == "failed":
        # A field that the interface no longer has breaks the contract; anything else is the network's.
        status, error = ("REJECTED" if load.code == "SCHEMA_DRIFT" else "FAILED"), reason or "nothing usable arrived"
    elif load.state == "unknown_symbol":
        status, error = "EMPTY", reason or "UNKNOWN_SYMBOL: the source does not know the symbol"
    elif received == 0:
        status, error = ("OK_EMPTY" if load.kind in ("scan", "corporate_actions") else "EMPTY"), reason
    elif quarantined == received:
        status, error = "REJECTED", lost
    elif load.state == "partial":
        status, error = "PARTIAL", "; ".join(filter(None, (reason or "PARTIAL: the answer is incomplete", lost)))
    elif quarantined and load.kind != "scan":
        status, error = "PARTIAL", lost
    else:
        status, error = ("OK" if new + superseding else "UP_TO_DATE"), lost
    return status, received, new, identical, superseding, quarantined, error


def _naive(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _insert_scans(connection: duckdb.DuckDBPyConnection, wave: Sequence[Load]) -> None:
    """Store scan rows under the scanner that asked, and scanners that were never asked before."""
    if not wave:
        return
    connection.execute(
        """
        create or replace temp table scans as
        select unnest(?::varchar[]) as load_id, unnest(?::varchar[]) as scanner_id, unnest(?::varchar[]) as config_hash,
            unnest(?::varchar[]) as resolved, unnest(?::timestamp[]) as scanned_at
        """,
        [
            [load.load_id for load in wave],
            [str(load.context.get("scanner_id") or load.request.get("scanner_id") or "unnamed") for load in wave],
            [load.context.get("config_hash") for load in wave],
            [load.context.get("resolved") for load in wave],
            [_naive(load.received_at) for load in wave],
        ],
    )
    connection.execute("""
        insert into raw.scanner_configs
        select config_hash, any_value(scanner_id), any_value(resolved), min(scanned_at) from temp.scans
        where config_hash is not null and resolved is not null
        group by config_hash order by config_hash on conflict do nothing
    """)
    connection.execute("""
        insert into raw.scan_rows
        select scans.load_id, row_number, scans.scanner_id, symbol, payload, scans.scanned_at, scans.config_hash
        from temp.fated_rows as fated join temp.scans as scans using (load_id)
        where fate = 'new' order by scans.load_id, row_number
    """)


def _register(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    """Register symbols seen for the first time; note what the exchange says of the others."""
    if kind in ("symbol_metadata", "scan"):
        connection.execute("""
            insert into ops.symbol_registry (symbol, status, reason, last_attempt_utc, consecutive_failures)
            select fated.symbol, 'REGISTERED', 'no bar was landed yet', max(batch.detected_at), 0
            from temp.fated_rows as fated join temp.batch as batch using (load_id)
            where fate != 'quarantined' group by fated.symbol order by fated.symbol on conflict (symbol) do nothing
        """)
    if kind == "execution_limits":
        connection.execute("""
            update ops.symbol_registry as known set
                status = case when is_trading then 'REGISTERED' else 'DELISTED' end,
                reason = case when is_trading then 'listed again' else 'the exchange says ' || said end,
                last_attempt_utc = detected_at
            from (
                select fated.symbol, max(payload ->> 'status') as said, max(batch.detected_at) as detected_at,
                    coalesce(max(payload ->> 'status') = 'TRADING', true) as is_trading
                from temp.fated_rows as fated join temp.batch as batch using (load_id)
                where fate != 'quarantined' group by fated.symbol
            ) as given
            where given.symbol = known.symbol and (
                (not is_trading and known.status != 'DELISTED')
                or (is_trading and known.status = 'DELISTED' and known.reason like 'the exchange says%'))
        """)
