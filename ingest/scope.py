"""Which symbols a data command is about: what the newest scans let pass, and what a profile names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from quantmill.errors import BadValue, UsageError

from ingest.exchanges import SYMBOL

if TYPE_CHECKING:
    import duckdb
    from quantmill.manifest.acquisition import Acquisition
    from quantmill.manifest.scanners import Scanner

_OPERATIONS = {"greater": ">", "egreater": ">=", "less": "<", "eless": "<="}


def check_symbols(symbols: Sequence[str]) -> list[str]:
    """Return symbols sorted and once each. Raises `BadValue` for one that is not EXCHANGE:TICKER."""
    for symbol in symbols:
        if not SYMBOL.fullmatch(symbol):
            raise BadValue(
                f"--symbol is {symbol!r}; needs EXCHANGE:TICKER in capitals", remedy="write it like BINANCE:BTCUSDT"
            )
    return sorted(set(symbols))


def scope_symbols(connection: duckdb.DuckDBPyConnection, acquisition: Acquisition) -> list[str]:
    """Return the distinct physical symbols of a profile: those it names and those that pass layer 2 of its scanners.

    Raises `UsageError` when there is none: a data cycle about nothing is no success.
    """
    symbols = {*acquisition.symbols, *passing_symbols(connection, acquisition.scanners)}
    if not symbols:
        raise UsageError(
            f"the profile {acquisition.profile} has no symbol: it names none and no scan of its scanners has landed",
            remedy=f"run 'make scan-run PROFILE={acquisition.profile}' first",
        )
    return sorted(symbols)


def earlier_symbols(
    connection: duckdb.DuckDBPyConnection, acquisition: Acquisition, as_of: datetime, current: Sequence[str]
) -> list[str]:
    """Return the symbols that passed a scan within the look-back up to `as_of` (aware) and are not `current`, sorted.

    A decision of that time may have chosen them, so their bars are needed on: without them whoever falls, leaves the
    scan or the market would be missing from the past.
    """
    # a look-back is counted in sessions; five of seven days are sessions of an exchange, less its holidays
    days = acquisition.lookback_sessions * (1.0 if acquisition.calendar_id == "24/7" else 1.5)
    since = (as_of.astimezone(UTC) - timedelta(days=days)).replace(tzinfo=None)
    return sorted(set(passing_symbols(connection, acquisition.scanners, since=since)) - set(current))


def passing_symbols(
    connection: duckdb.DuckDBPyConnection, scanners: Sequence[Scanner], *, since: datetime | None = None
) -> list[str]:
    """Return the symbols that pass the gates of a scanner in its newest usable scan, sorted; with forced ones.

    With `since` (UTC, no zone) every scan from that moment on counts, not the newest alone.
    A missing field fails its gate. Exclusions by what rows say of base and quote are applied; those that need the
    identity of a symbol are left to the models, so that this is never less than what can become a candidate.
    """
    if not scanners:
        return []
    gates: list[tuple[str, str, str, float]] = [
        (scanner.config_hash, gate.field, _OPERATIONS[gate.operation], gate.threshold)
        for scanner in scanners
        for gate in scanner.gates
    ]
    connection.execute(
        """
        create or replace temp table asked_gates as
        select unnest(?::varchar[]) as config_hash, unnest(?::varchar[]) as field, unnest(?::varchar[]) as operation,
            unnest(?::double[]) as threshold
        """,
        [list(column) for column in zip(*gates, strict=True)] if gates else [[], [], [], []],
    )
    rules: list[tuple[Any, ...]] = [
        (
            scanner.config_hash,
            scanner.gate_logic,
            list(scanner.exclusions.bases),
            list(scanner.exclusions.quotes),
            list(scanner.exclusions.symbols),
            list(scanner.ensure_symbols),
        )
        for scanner in scanners
    ]
    connection.execute(
        """
        create or replace temp table asked_scanners as
        select rule ->> '$[0]' as config_hash, rule ->> '$[1]' as gate_logic,
            from_json(rule -> '$[2]', '["VARCHAR"]') as bases, from_json(rule -> '$[3]', '["VARCHAR"]') as quotes,
            from_json(rule -> '$[4]', '["VARCHAR"]') as symbols, from_json(rule -> '$[5]', '["VARCHAR"]') as ensured
        from (select unnest(?::varchar[])::json as rule)
        """,
        [[json.dumps(rule) for rule in rules]],
    )
    found = connection.execute(
        """
        with newest as (
            select config_hash, load_id
            from raw.scan_rows semi join temp.asked_scanners as asked using (config_hash)
            where $since is null or scanned_at_utc >= $since
            group by config_hash, load_id
            -- a replay lands the past after the present, so the order of loads is not that of scans
            qualify $since is not null
                or row_number() over (partition by config_hash order by max(scanned_at_utc) desc, load_id desc) = 1
        ),
        rows as (
            select rows.config_hash, rows.symbol, rows.payload, rows.load_id
            from raw.scan_rows as rows join newest using (config_hash, load_id)
        ),
        gated as (
            select rows.config_hash, rows.load_id, rows.symbol, bool_and(is_ok) as all_pass,
                bool_or(is_ok) as one_passes
            from (
                select rows.config_hash, rows.load_id, rows.symbol, coalesce(case operation
                        when '>' then value > threshold when '>=' then value >= threshold
                        when '<' then value < threshold else value <= threshold end, false) as is_ok
                from (
                    select rows.*, gates.operation, gates.threshold,
                        try_cast(json_extract_string(rows.payload, '$."' || gates.field || '"') as double) as value
                    from rows join temp.asked_gates as gates using (config_hash)
                ) as rows
            ) as rows
            group by all
        ),
        -- what a symbol is does not change from scan to scan
        described as (
            select config_hash, rows.symbol, any_value(rows.payload) as payload,
                bool_or(gated.symbol is null or case asked.gate_logic when 'or' then one_passes else all_pass end)
                    as is_passing
            from rows
            join temp.asked_scanners as asked using (config_hash)
            left join gated using (config_hash, load_id, symbol)
            group by all
        )
        select distinct rows.symbol
        from described as rows
        join temp.asked_scanners as asked using (config_hash)
        where list_contains(asked.ensured, rows.symbol) or (
            is_passing
            and not list_contains(asked.symbols, rows.symbol)
            and not coalesce(list_contains(asked.bases, (rows.payload ->> 'base_currency')), false)
            and (len(asked.quotes) = 0 or (rows.payload ->> 'currency') is null
                or list_contains(asked.quotes, (rows.payload ->> 'currency'))))
        order by 1
        """,
        {"since": since},
    ).fetchall()
    return [row[0] for row in found]
