"""What is known of each symbol: the status machine, and who has to be fetched.

REGISTERED: seen, no load yet. STABLE. STALE: behind the calendar. DEGRADED: gaps, a part of an answer, a suspect move.
MISSING: no accepted bar; whom no source knows is asked for once more on another day, and then listed for review. TOXIC:
contaminated; leaves it by a forced load of the whole history that is clean, or by a recorded release. DELISTED: the
exchange says so, the source does not know it and its last bar is older than 10 sessions, or it was renamed.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ingest.calendars import fill_prefixes, fill_sessions, session_date_sql
from ingest.judging import CONTAMINATION, RENAMED, fill_facts
from ingest.landing import Load, utc_moment
from ingest.thresholds import DELISTED_SESSIONS, HEALTH_SESSIONS, LOCK_MINUTES, PEG_SHARE

if TYPE_CHECKING:
    import duckdb

    from ingest.storing import Outcome


_OWNER = re.compile(r".* process (?P<process>\d+) on (?P<host>.+)")
# How the reason of a symbol begins that nobody asks for any more until a person has looked.
REVIEW = "REVIEW: "


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def note_bars(connection: duckdb.DuckDBPyConnection, statuses: Mapping[str, str], *, zone: str | None = None) -> None:
    """Note how the loads of `temp.fated` went for each symbol that they name; `statuses` are those of the loads.

    A session is the date of a bar as `session_date` has it; `zone` is that of a file's dates. Daily prices say where a
    symbol stands: bars of another length, or a source's total-return series beside them, can make it DEGRADED or TOXIC,
    never up to date.
    """
    contamination = ", ".join(f"'{code}'" for code in CONTAMINATION)
    session = session_date_sql("last_opened", "facts.asset_class", "coalesce($zone, facts.timezone, 'UTC')")
    connection.execute(
        f"""
        insert into ops.symbol_registry by name
        with statuses as (
            select unnest($loads::varchar[]) as load_id, unnest($statuses::varchar[]) as load_status
        ),
        codes as (
            select load_id, symbol, string_agg(distinct code, ', ' order by code) as found,
                bool_or(code in ({contamination}, 'IMPOSSIBLE')) as is_toxic,
                bool_or(code = 'SUSPECT_DROP'
                    or (code in ('OVERLAP_MISMATCH', 'CORPORATE_ACTION') and severity = 'reject')) as is_suspect
            from temp.offences
            where code not in ('EXTREME', 'VOLUME_SPIKE', 'CORROBORATED', 'STRAY_BAR', 'SPLIT_SUSPECT',
                'EXCHANGE_WITHOUT_CALENDAR')
            group by all
        ),
        seen as (
            select load_id, symbol, count(*) filter (where fate != 'quarantined') as accepted,
                count(*) filter (where severity = 'error') as errors,
                string_agg(distinct code, ', ' order by code) filter (where severity = 'error') as row_codes,
                min(opened_at_utc) filter (where fate != 'quarantined') as first_opened,
                max(opened_at_utc) filter (where fate != 'quarantined' and is_final) as last_opened
            from temp.fated where code is distinct from 'BAD_SYMBOL' and code is distinct from 'FOREIGN_ROW'
            group by load_id, symbol
        ),
        joined as (
            select seen.*, statuses.load_status, batch.detected_at, batch.is_file, codes.found, codes.is_toxic,
                codes.is_suspect,
                known.status as old_status, known.reason as old_reason, known.consecutive_failures as old_failures,
                known.last_success_load_id as old_success, known.last_success_utc as old_success_utc,
                known.genesis_utc, known.gap_count, known.health_hash, renamed.old_symbol is not null as is_renamed,
                'renamed to ' || renamed.new_symbol || ' on ' || renamed.renamed_on || ': ' || renamed.code as rename,
                case when accepted = 0 then known.unknown_since end as unknown_since,
                (batch.adjustment = 'total_return' and not batch.is_file) or batch.interval != '1d' as is_beside,
                case when is_beside then known.last_final_session else greatest(known.last_final_session, {session}) end
                    as last_final,
                case when is_beside then known.last_final_utc else greatest(known.last_final_utc, last_opened) end
                    as last_final_opened,
                -- whether the load reaches back to the first bar that is stored, so that it shows the history anew
                first_opened <= coalesce((select min(bars.opened_at_utc) from raw.bars as bars
                    where known.status = 'TOXIC' and bars.symbol = seen.symbol and bars.source = batch.source
                        and bars.interval = batch.interval and bars.adjustment = batch.adjustment), first_opened)
                    as is_whole
            from seen
            join statuses using (load_id)
            join temp.batch as batch using (load_id)
            left join codes on codes.load_id = seen.load_id and codes.symbol = seen.symbol
            left join temp.facts as facts on facts.symbol = seen.symbol
            left join ops.symbol_registry as known on known.symbol = seen.symbol
            left join ({RENAMED}) as renamed on renamed.old_symbol = seen.symbol
        ),
        judged as (
            select *, errors = 0 and (is_file or load_status in ('OK', 'UP_TO_DATE')) as is_success, case
                when is_toxic then 'TOXIC'
                when is_renamed then 'DELISTED'
                when old_status = 'DELISTED' and (is_beside or accepted = 0 or load_status != 'OK') then 'DELISTED'
                when old_status = 'TOXIC' and (is_beside or not (is_whole and errors = 0 and accepted > 0
                    and load_status in ('OK', 'UP_TO_DATE'))) then 'TOXIC'
                when is_beside and (is_success or old_status not in ('STABLE', 'DEGRADED'))
                    then coalesce(old_status, 'REGISTERED')
                when is_suspect then 'DEGRADED'
                when is_file and errors = 0 then 'STABLE'
                when accepted = 0 and last_final is null then 'MISSING'
                when load_status in ('OK', 'UP_TO_DATE') and errors = 0 then 'STABLE'
                when load_status = 'NO_PROGRESS' then 'STALE'
                else 'DEGRADED' end as new_status
            from joined
        )
        select symbol, new_status as status, case
                when is_toxic or (is_suspect and not is_renamed) then found
                when is_renamed then rename
                when new_status in ('TOXIC', 'DELISTED') or (is_beside and is_success) then old_reason
                when errors > 0 then errors || ' rows in quarantine: ' || row_codes
                when new_status = 'STABLE' then null
                else load_status end as reason,
            last_final as last_final_session, detected_at as last_attempt_utc,
            case when not is_success then coalesce(old_failures, 0) + 1 when is_beside then coalesce(old_failures, 0)
                else 0 end as consecutive_failures,
            last_final_opened as last_final_utc,
            case when is_success and not is_beside then load_id else old_success end as last_success_load_id,
            case when is_success and not is_beside then detected_at else old_success_utc end as last_success_utc,
            genesis_utc, gap_count, health_hash, unknown_since
        from judged order by symbol
        on conflict (symbol) do update set status = excluded.status, reason = excluded.reason,
            last_final_session = excluded.last_final_session, last_attempt_utc = excluded.last_attempt_utc,
            consecutive_failures = excluded.consecutive_failures, last_final_utc = excluded.last_final_utc,
            last_success_load_id = excluded.last_success_load_id, last_success_utc = excluded.last_success_utc,
            unknown_since = excluded.unknown_since, lock_owner = null, lock_until_utc = null
        """,
        {"zone": zone, "loads": list(statuses), "statuses": list(statuses.values())},
    )


def note_stored_twins(connection: duckdb.DuckDBPyConnection) -> None:
    """Note as TOXIC whose stored bars came again under another name: whose they are, nobody knows."""
    connection.execute("""
        update ops.symbol_registry as known set status = 'TOXIC', reason = 'DUPLICATE_ROW'
        where known.status != 'DELISTED' and known.symbol in (
            select symbol from temp.offences where code = 'DUPLICATE_ROW' and series_id is null)
    """)


def note_answers(connection: duckdb.DuckDBPyConnection, loads: Sequence[Load], outcomes: Sequence[Outcome]) -> None:
    """Note loads that brought no row at all: the symbol keeps what it has, and a failure is counted."""
    by_id = {outcome.load_id: outcome for outcome in outcomes}
    # A month that a source has no archive of says nothing about the symbol.
    empty = [
        load
        for load in loads
        if by_id[load.load_id].rows_received == 0
        and not (load.state == "empty" and _has_no_aim(load))
        and not is_beside_prices(load)
    ]
    if not empty:
        return
    connection.execute(
        f"""
        insert into ops.symbol_registry by name
        with given as (
            select unnest($symbols::varchar[]) as symbol, unnest($reasons::varchar[]) as reason,
                unnest($unknown::boolean[]) as is_unknown, unnest($at::timestamp[]) as at
        ),
        behind as (
            select given.symbol, (select count(*) from temp.sessions as sessions
                where sessions.calendar_id = facts.calendar_id and sessions.session_date > known.last_final_session
                    and sessions.close_utc <= given.at) as sessions_behind
            from given left join ops.symbol_registry as known using (symbol)
            left join temp.facts as facts using (symbol)
        )
        select given.symbol, case
                when known.status in ('TOXIC', 'DELISTED') then known.status
                when known.last_final_session is null then 'MISSING'
                when is_unknown and sessions_behind > {DELISTED_SESSIONS} then 'DELISTED'
                when sessions_behind > 0 then 'STALE'
                else known.status end as status,
            -- unknown on two days, without a bar from anybody: a person has to look
            case
                when known.status in ('TOXIC', 'DELISTED') then known.reason
                when is_unknown and known.last_final_session is null and known.unknown_since < given.at::date
                    then '{REVIEW}no source knows it, asked on ' || known.unknown_since || ' and on ' || given.at::date
                else given.reason end as reason,
            known.last_final_session, given.at as last_attempt_utc,
            coalesce(known.consecutive_failures, 0) + 1 as consecutive_failures,
            case when is_unknown then coalesce(known.unknown_since, given.at::date) else known.unknown_since end
                as unknown_since
        from given left join ops.symbol_registry as known using (symbol) left join behind using (symbol)
        order by given.symbol
        on conflict (symbol) do update set status = excluded.status, reason = excluded.reason,
            last_attempt_utc = excluded.last_attempt_utc, consecutive_failures = excluded.consecutive_failures,
            unknown_since = excluded.unknown_since
        """,
        {
            "symbols": [load.context.get("symbol") or load.request.get("symbol") for load in empty],
            "reasons": [by_id[load.load_id].error or by_id[load.load_id].status for load in empty],
            "unknown": [load.state == "unknown_symbol" for load in empty],
            "at": [_naive(utc_moment(load.finished_at)) for load in empty],
        },
    )


def note_listings(connection: duckdb.DuckDBPyConnection, command_id: str) -> None:
    """Write who was delisted or listed again since the last call, as the loads of one command left the registry."""
    connection.execute(
        """
        insert into ops.symbol_listings
        with last_words as (
            select symbol, arg_max(is_listed, place) as is_listed, max(max(place)) over () as last_place
            from ops.symbol_listings group by symbol
        )
        select coalesce((select any_value(last_place) from last_words), 0) + row_number() over (order by known.symbol),
            known.symbol, known.status != 'DELISTED', known.last_attempt_utc, known.reason, $command_id
        from ops.symbol_registry as known
        left join last_words on last_words.symbol = known.symbol
        where (known.status != 'DELISTED') != coalesce(last_words.is_listed, true)
        order by known.symbol
        """,
        {"command_id": command_id},
    )


def is_beside_prices(load: Load) -> bool:
    """Return whether a load brings a source's total-return series, which stands beside the prices of its symbol."""
    return load.request.get("adjustment") == "total_return" and "layout" not in load.request


def _has_no_aim(load: Load) -> bool:
    return load.context.get("expected_session") is None


def note_repeat(connection: duckdb.DuckDBPyConnection, load: Load) -> None:
    """Note a load whose bytes were landed before: it succeeded, and nothing else changed."""
    if load.kind != "bars" or is_beside_prices(load):
        return
    connection.execute(
        """
        update ops.symbol_registry set last_attempt_utc = $at, consecutive_failures = 0,
            last_success_load_id = $load_id, last_success_utc = $at,
            reason = case when status in ('TOXIC', 'DELISTED', 'DEGRADED') then reason end,
            status = case when status in ('TOXIC', 'DELISTED', 'DEGRADED') then status else 'STABLE' end
        where list_contains($symbols::varchar[], symbol)
        """,
        {"at": _naive(utc_moment(load.finished_at)), "load_id": load.load_id, "symbols": list(load.symbols)},
    )


def note_renamed(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str], at: datetime) -> None:
    """Note what was said of renamed symbols: who goes on under another is DELISTED, STALE whose alias was withdrawn.

    A symbol that nobody has seen yet gets no row.
    """
    connection.execute(
        f"""
        update ops.symbol_registry as known set last_attempt_utc = $at,
            status = case when renamed.old_symbol is not null then 'DELISTED' else 'STALE' end,
            reason = case when renamed.old_symbol is not null
                then 'renamed to ' || renamed.new_symbol || ' on ' || renamed.renamed_on || ': ' || renamed.code
                else 'its alias does not hold any more' end
        from (select unnest($symbols::varchar[]) as symbol) as given
        left join ({RENAMED}) as renamed on renamed.old_symbol = given.symbol
        where known.symbol = given.symbol and known.status != 'TOXIC'
            and (renamed.old_symbol is not null
                or (known.status = 'DELISTED' and starts_with(known.reason, 'renamed to ')))
        """,
        {"symbols": list(symbols), "at": _naive(at)},
    )


def note_released(connection: duckdb.DuckDBPyConnection, released: Mapping[str, str], at: datetime) -> None:
    """Note who (`released` by symbol) let TOXIC symbols go: they are judged and fetched like any other again."""
    connection.execute(
        """
        update ops.symbol_registry as known set last_attempt_utc = $at,
            status = case when last_final_session is null then 'MISSING' else 'DEGRADED' end,
            reason = 'released by ' || given.by_whom || ', see raw.resolutions'
        from (select unnest($symbols::varchar[]) as symbol, unnest($people::varchar[]) as by_whom) as given
        where known.symbol = given.symbol and known.status = 'TOXIC'
        """,
        {"symbols": list(released), "people": list(released.values()), "at": _naive(at)},
    )


def rows_of(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str]) -> list[dict[str, Any]]:
    """Return the registry rows of `symbols`, by symbol, as JSON values by column."""
    cursor = connection.execute(
        """
        select * replace (last_final_session::varchar as last_final_session,
            last_attempt_utc::varchar as last_attempt_utc, last_final_utc::varchar as last_final_utc,
            last_success_utc::varchar as last_success_utc,
            repair_postponed_utc::varchar as repair_postponed_utc,
            genesis_utc::varchar as genesis_utc, unknown_since::varchar as unknown_since,
            lock_until_utc::varchar as lock_until_utc)
        from ops.symbol_registry semi join (select unnest(?::varchar[]) as symbol) using (symbol) order by symbol
        """,
        [list(symbols)],
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def register(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str], at: datetime) -> None:
    """Register symbols that nobody has seen yet."""
    connection.execute(
        """
        insert into ops.symbol_registry (symbol, status, reason, last_attempt_utc, consecutive_failures)
        select unnest(?::varchar[]), 'REGISTERED', 'no bar was landed yet', ?, 0 on conflict (symbol) do nothing
        """,
        [sorted(set(symbols)), _naive(at)],
    )


def lock(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str], owner: str, at: datetime) -> None:
    """Lock symbols for `owner`; a lock ends by itself after 15 minutes."""
    connection.execute(
        """
        update ops.symbol_registry set lock_owner = ?, lock_until_utc = ? where list_contains(?::varchar[], symbol)
        """,
        [owner, _naive(at + timedelta(minutes=LOCK_MINUTES)), list(symbols)],
    )


def lock_owner(command_id: str) -> str:
    """Return the name under which this process locks symbols: command, process and host."""
    return f"{command_id} process {os.getpid()} on {socket.gethostname()}"


def is_ended(owner: str) -> bool:
    """Return whether the process that a lock names is one of this host and has ended; False where nobody can tell."""
    found = _OWNER.fullmatch(owner)
    if found is None or found["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def postpone(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str], at: datetime | None) -> None:
    """Note that a repair did not come to `symbols` in its time; with None that it did."""
    connection.execute(
        "update ops.symbol_registry set repair_postponed_utc = ? where list_contains(?::varchar[], symbol)",
        [None if at is None else _naive(at), list(symbols)],
    )


def unlock(connection: duckdb.DuckDBPyConnection, owner: str) -> None:
    """Give back all locks of `owner`."""
    connection.execute(
        "update ops.symbol_registry set lock_owner = null, lock_until_utc = null where lock_owner = ?", [owner]
    )


def describe_health(
    connection: duckdb.DuckDBPyConnection, symbols: Sequence[str], as_of: datetime, *, adjusted: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the health of each symbol at `as_of` by its stored final daily bars, by symbol.

    Keys: symbol, verdict (OK, MISSING, TOXIC, STALE, DEGRADED), label (the verdict as it is shown: OK (MARKET CLOSED)
    where dates have holes and no session is among them), reasons, last_session, expected_session,
    expected_count, missing_count, adjusted_missing_count, gaps (missing sessions that nothing excuses, newest first),
    registry status and reason, unknown_since (the day since which a source does not know it). The window is the last
    500 sessions up to the last complete one. Prices are judged; the total-return series alone is, where a symbol has no
    other and is not one of `adjusted`, which need both: each of their priced sessions has to have a total return too,
    but for one in fifty before the last.
    """
    fill_prefixes(connection)
    fill_facts(connection, sorted(set(symbols)))
    calendars = [
        row[0]
        for row in connection.execute(
            "select distinct calendar_id from temp.facts where calendar_id is not null order by 1"
        ).fetchall()
    ]
    fill_sessions(connection, calendars)
    session = session_date_sql("bars.opened_at_utc", "facts.asset_class", "coalesce(facts.timezone, 'UTC')")
    cursor = connection.execute(
        f"""
        with finals as (
            select bars.symbol, {session} as session_date, bars.adjustment = 'total_return' as is_adjusted,
                max(bars.opened_at_utc) as opened_at_utc,
                arg_max(bars.close, (bars.received_at_utc, bars.load_id)) as close
            from raw.bars as bars join temp.facts as facts on facts.symbol = bars.symbol
            where bars.interval = '1d' and bars.is_final and bars.received_at_utc <= $as_of
            group by all
        ),
        kinds as (
            select symbol, bool_and(is_adjusted) and not list_contains($adjusted::varchar[], symbol) as is_adjusted
            from finals group by symbol
        ),
        observed as (
            select finals.* exclude (is_adjusted) from finals semi join kinds using (symbol, is_adjusted)
        ),
        reach as (
            select symbol, min(session_date) as first_session, max(session_date) as last_session,
                max(opened_at_utc) as last_opened
            from observed group by symbol
        ),
        complete as (
            select calendar_id, max(session_number) as last_number, max(session_date) as expected_session
            from temp.sessions where close_utc <= $as_of group by calendar_id
        ),
        expected as (
            select facts.symbol, facts.calendar_id, sessions.session_date, sessions.session_number,
                observed.close, observed.session_date is null as is_missing,
                list_contains($adjusted::varchar[], facts.symbol) and observed.session_date is not null
                    and returned.session_date is null as is_unadjusted
            from temp.facts as facts
            join reach using (symbol)
            join complete on complete.calendar_id = facts.calendar_id
            join temp.sessions as sessions on sessions.calendar_id = facts.calendar_id
                and sessions.session_number between complete.last_number - {HEALTH_SESSIONS - 1}
                    and complete.last_number
                and sessions.session_date >= reach.first_session
            left join observed on observed.symbol = facts.symbol and observed.session_date = sessions.session_date
            left join finals as returned on returned.symbol = facts.symbol
                and returned.session_date = sessions.session_date and returned.is_adjusted
        ),
        runs as (
            select *, session_number - row_number() over (
                    partition by symbol, is_missing order by session_number) as run_id,
                coalesce(close = lag(close ignore nulls) over (partition by symbol order by session_number), false)
                    as is_unchanged
            from expected
        ),
        marked as (
            select *, count(*) over (partition by symbol, is_missing, run_id) as run_length,
                sum(case when is_unchanged or is_missing then 0 else 1 end) over (
                    partition by symbol order by session_number) as stall_group
            from runs
        ),
        stalled as (
            select *, sum(is_unchanged::int) over (partition by symbol, stall_group order by session_number) as stall
            from marked
        ),
        summed as (
            select symbol, any_value(calendar_id) as calendar_id, count(*) as expected_count,
                date_diff('day', min(session_date), max(session_date)) + 1 > count(*) as has_closed_days,
                count(*) filter (where is_missing) as missing_count, max(stall) as longest_stall,
                -- a dollar coin may close at one dollar day after day
                any_value(calendar_id) = '24/7' and median(abs(close - 1)) < {PEG_SHARE} as is_pegged,
                count(*) filter (where is_unadjusted) as adjusted_missing_count,
                arg_max(is_unadjusted, session_number) filter (where not is_missing) as is_last_unadjusted,
                max(run_length) filter (where is_missing) as longest_run,
                list(session_date order by session_date desc) filter (where is_missing) as missing_sessions,
                list(session_date order by session_date desc) filter (where is_missing and (
                    calendar_id = '24/7' or run_length >= 2)) as gaps
            from stalled group by symbol
        ),
        behind as (
            select reach.symbol, complete.expected_session, (
                select count(*) from temp.sessions as sessions
                where sessions.calendar_id = facts.calendar_id and sessions.session_date > reach.last_session
                    and sessions.session_number <= complete.last_number) as sessions_behind
            from reach join temp.facts as facts using (symbol)
            join complete on complete.calendar_id = facts.calendar_id
        ),
        -- calendars whose last complete session has come, for somebody
        arrived as (
            select distinct facts.calendar_id
            from reach join temp.facts as facts using (symbol) join complete using (calendar_id)
            where reach.last_session >= complete.expected_session
        ),
        judged as (
            select facts.symbol, known.status as registry_status, known.reason as registry_reason, known.unknown_since,
                known.repair_postponed_utc,
                reach.last_session, coalesce(behind.expected_session, complete.expected_session) as expected_session,
                coalesce(behind.sessions_behind, 0) as sessions_behind, coalesce(expected_count, 0) as expected_count,
                coalesce(missing_count, 0) as missing_count, coalesce(longest_stall, 0) as longest_stall,
                coalesce(adjusted_missing_count, 0) as adjusted_missing_count,
                coalesce(has_closed_days, false) as has_closed_days,
                coalesce(longest_run, 0) as longest_run, gaps, missing_sessions, facts.calendar_id, case
                    when reach.symbol is null then 'MISSING'
                    when known.status = 'TOXIC' then 'TOXIC'
                    when facts.calendar_id = '24/7'
                        and $as_of > last_opened + interval 1 day + interval 24 hour then 'STALE'
                    when facts.calendar_id is not null and facts.calendar_id != '24/7' and sessions_behind >= 2
                        then 'STALE'
                    when facts.calendar_id is null and date_diff('day', reach.last_session, $as_of::date) > 5
                        then 'STALE'
                    when (facts.calendar_id = '24/7' and missing_count > 0) or longest_run >= 2
                        or missing_count > 0.02 * expected_count or (longest_stall > 3 and not is_pegged)
                        or (sessions_behind = 1 and arrived.calendar_id is not null)
                        or is_last_unadjusted or adjusted_missing_count > 0.02 * expected_count
                        or coalesce(known.status = 'DEGRADED'
                            and known.reason similar to '.*(SUSPECT|OVERLAP|ACTION).*', false)
                        then 'DEGRADED'
                    else 'OK' end as verdict
            from temp.facts as facts
            left join reach using (symbol)
            left join summed using (symbol)
            left join behind using (symbol)
            left join complete on complete.calendar_id = facts.calendar_id
            left join arrived on arrived.calendar_id = facts.calendar_id
            left join ops.symbol_registry as known on known.symbol = facts.symbol
        )
        select symbol, verdict,
            case when verdict = 'OK' and missing_count = 0 and has_closed_days then 'OK (MARKET CLOSED)'
                else verdict end as label,
            array_to_string(list_filter([
                case when verdict = 'TOXIC' then registry_reason end,
                case when calendar_id is null then 'UNKNOWN_EXCHANGE' end,
                case when sessions_behind > 0 then 'SESSIONS_BEHIND:' || sessions_behind end,
                case when longest_run >= 2 then 'MISSING_RUN:' || longest_run end,
                case when missing_count > 0 then 'MISSING:' || missing_count end,
                case when longest_stall >= 3 then 'STALL:' || longest_stall end,
                case when adjusted_missing_count > 0 then 'TOTAL_RETURN_MISSING:' || adjusted_missing_count end,
                -- what the registry took over from here is said once
                case when verdict = 'DEGRADED' and registry_status = 'DEGRADED' then nullif(array_to_string(
                    list_filter(string_split(registry_reason, ','), part -> not regexp_matches(part, '^[A-Z_]+:\\d+$')),
                    ','), '')
                    when registry_status = 'DELISTED' then registry_reason end
            ], reason -> reason is not null), ',') as reasons,
            last_session, expected_session, expected_count, missing_count, adjusted_missing_count, sessions_behind,
            longest_stall,
            coalesce(case when calendar_id != '24/7' and missing_count > 0.02 * expected_count then missing_sessions
                else gaps end, []) as gaps,
            registry_status, registry_reason, unknown_since, repair_postponed_utc
        from judged order by symbol
        """,
        {"as_of": _naive(as_of), "adjusted": list(adjusted)},
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def refresh(connection: duckdb.DuckDBPyConnection, health: Sequence[Mapping[str, Any]], *, is_final: bool) -> None:
    """Bring the registry to what `health` says: statuses, gaps and the hash over them.

    DELISTED stays. TOXIC stays. `is_final` ends a run of repairs: a suspect move that nobody confirmed is TOXIC now.
    """
    rows = [row for row in health if row["registry_status"] is not None]
    if not rows:
        return
    connection.execute(
        """
        update ops.symbol_registry as known set
            status = case
                when known.status in ('DELISTED', 'TOXIC') then known.status
                when $is_final and known.status = 'DEGRADED' and known.reason like '%SUSPECT_DROP%' then 'TOXIC'
                when given.verdict = 'OK' then 'STABLE'
                when given.verdict = 'MISSING' and known.status = 'REGISTERED' then 'REGISTERED'
                else given.verdict end,
            reason = case
                when known.status in ('DELISTED', 'TOXIC') then known.reason
                when known.reason like '%SUSPECT_DROP%' then known.reason
                when given.verdict = 'OK' then null
                when given.verdict in ('STALE', 'DEGRADED') then coalesce(nullif(given.reasons, ''), known.reason)
                else known.reason end,
            gap_count = given.gap_count
        from (
            select unnest($symbols::varchar[]) as symbol, unnest($verdicts::varchar[]) as verdict,
                unnest($reasons::varchar[]) as reasons, unnest($gaps::bigint[]) as gap_count
        ) as given
        where given.symbol = known.symbol
        """,
        {
            "is_final": is_final,
            "symbols": [row["symbol"] for row in rows],
            "verdicts": [row["verdict"] for row in rows],
            "reasons": [row["reasons"] for row in rows],
            "gaps": [len(row["gaps"]) for row in rows],
        },
    )
    connection.execute(
        """
        update ops.symbol_registry set health_hash = left(sha256(concat_ws('|', status, coalesce(reason, ''),
            coalesce(last_final_session::varchar, ''), coalesce(gap_count, 0)::varchar)), 16)
        where list_contains(?::varchar[], symbol)
        """,
        [[row["symbol"] for row in rows]],
    )


def confirm_genesis(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str]) -> None:
    """Take the first stored daily bar of each symbol for the first there is."""
    connection.execute(
        """
        update ops.symbol_registry as known set genesis_utc = firsts.first_opened
        from (
            select symbol, min(opened_at_utc) as first_opened from raw.bars
            where "interval" = '1d' and list_contains(?::varchar[], symbol) group by symbol
        ) as firsts
        where firsts.symbol = known.symbol
        """,
        [list(symbols)],
    )


def states(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the registry rows of `symbols` by symbol, typed."""
    cursor = connection.execute(
        "select * from ops.symbol_registry semi join (select unnest(?::varchar[]) as symbol) using (symbol)",
        [list(symbols)],
    )
    names = [column[0] for column in cursor.description]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def last_adjusted(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str]) -> dict[str, date]:
    """Return the UTC date of the newest final daily total-return bar of those of `symbols` that have one."""
    return dict(
        connection.execute(
            """
            select symbol, max(opened_at_utc)::date from raw.bars
            where list_contains(?::varchar[], symbol) and "interval" = '1d' and adjustment = 'total_return' and is_final
            group by symbol
            """,
            [list(symbols)],
        ).fetchall()
    )


def unlisted(connection: duckdb.DuckDBPyConnection, markets: Mapping[str, str], as_of: datetime) -> set[str]:
    """Return those symbols of Binance (market by symbol: spot or usdm) that its newest whole answer does not list.

    Without an answer of the market by `as_of` nobody is known to be gone, nor is whom a scan after it found, who may be
    new. A listing that is still named, though it does not trade any more, is one that the live interface still answers
    for.
    """
    rows = connection.execute(
        """
        with wanted as (
            select unnest($symbols::varchar[]) as symbol, unnest($markets::varchar[]) as market
        ),
        answers as (
            select limits.load_id, max(limits.received_at_utc) as received_at_utc,
                case when bool_or(limits.symbol like '%.P') then 'usdm' else 'spot' end as market
            from raw.execution_limits as limits
            join raw.loads as loads on loads.load_id = limits.load_id and loads.status in ('OK', 'UP_TO_DATE')
                and loads.source = 'binance'
            where limits.received_at_utc <= $as_of
            group by limits.load_id
        ),
        newest as (
            select market, max(received_at_utc) as received_at_utc,
                arg_max(load_id, (received_at_utc, load_id)) as load_id
            from answers group by market
        ),
        scanned as (
            select symbol, max(scanned_at_utc) as scanned_at_utc
            from raw.scan_rows semi join wanted using (symbol) where scanned_at_utc <= $as_of group by symbol
        )
        select wanted.symbol from wanted join newest using (market)
        anti join raw.execution_limits as listed
            on listed.symbol = wanted.symbol and listed.load_id = newest.load_id
        anti join scanned
            on scanned.symbol = wanted.symbol and scanned.scanned_at_utc > newest.received_at_utc
        """,
        {"symbols": list(markets), "markets": list(markets.values()), "as_of": _naive(as_of)},
    ).fetchall()
    return {row[0] for row in rows}


def sessions_between(connection: duckdb.DuckDBPyConnection, calendar_id: str, after: date, until: date) -> int:
    """Return how many sessions of a calendar lie after one date and up to another."""
    row = connection.execute(
        "select count(*) from temp.sessions where calendar_id = ? and session_date > ? and session_date <= ?",
        [calendar_id, after, until],
    ).fetchone()
    return int(row[0]) if row else 0
