"""What is judged beyond the single row, before a bar is accepted: moves, levels, overlaps, strays, splits.

Everything works on `temp.judged`, the rows of one or of hundreds of loads, and `temp.batch`, their loads; a series is
one symbol in one load. Rows that differ from what is stored are looked at, together with the stored bars before them.

| code | what | what follows |
|---|---|---|
| TOXIC_RETURN     | a return beyond 500 % | the series is rejected, its symbol TOXIC |
| CROSS_LEVEL      | such a move, or a SUSPECT_DROP, at the level of another symbol fetched at that time | the same |
| DUPLICATE_ROW    | bars equal to those of another symbol | both series are rejected, a stored one's symbol is TOXIC |
| OVERLAP_MISMATCH | fewer than 90 % of the last 50 overlapping bars equal the stored ones; of an alternate source:
                     agree with those of the others | the series is rejected, unless it is all of a TOXIC symbol's |
| CORPORATE_ACTION | they all differ by one ratio | accepted if it covers all that is stored, else rejected |
| IMPOSSIBLE       | a close at or below zero | the row is OHLC_INVALID, its symbol TOXIC |
| SUSPECT_DROP     | a return below -99 %, or a level six times off the median of 20 | the row waits for corroboration |
| STRAY_BAR        | at most five bars before a gap of more than 20 sessions | the row is left out |
| EXCHANGE_WITHOUT_CALENDAR | nobody knows which sessions the symbol should have | kept; strays are not judged |
| SPLIT_SUSPECT    | a close ratio within 1 % of a common split, without an action | kept, listed |
| EXTREME, VOLUME_SPIKE | beyond 100 %; ten deviations above the mean volume | kept, listed |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from ingest import thresholds
from ingest.bars import INTERVALS
from ingest.calendars import fill_sessions, session_date_sql

if TYPE_CHECKING:
    import duckdb

CONTAMINATION = ("TOXIC_RETURN", "CROSS_LEVEL", "DUPLICATE_ROW")
# The first of these that a series has is the code of all its rows.
REJECTING = ("CROSS_LEVEL", "TOXIC_RETURN", "DUPLICATE_ROW", "OVERLAP_MISMATCH", "CORPORATE_ACTION")
VENUE_SOURCES = "('binance', 'binance_bulk', 'tradingview')"
# Who goes on under another symbol: old_symbol, new_symbol, renamed_on, code, by the newest word on each old symbol.
RENAMED = """
    select symbol as old_symbol, (payload ->> 'new_symbol') as new_symbol, (payload ->> 'renamed_on') as renamed_on,
        (payload ->> 'code') as code
    from (
        select * from raw.symbol_aliases where (payload ->> 'verdict') is distinct from 'LISTED_AS'
        qualify row_number() over (partition by symbol order by received_at_utc desc, load_id desc) = 1
    )
    where (payload ->> 'is_renamed') = 'true'
"""
_LENGTHS = " ".join(f"when '{name}' then interval '{length}'" for name, length in INTERVALS.items())


def fill_facts(connection: duckdb.DuckDBPyConnection, symbols: list[str]) -> None:
    """Make `temp.facts`: calendar_id, timezone and asset_class of each symbol, from its metadata, else its prefix.

    tick_size is the venue's, else that of the metadata; NULL where nobody has stated it.
    """
    connection.execute(
        """
        create or replace temp table facts as
        with wanted as (select distinct unnest($symbols::varchar[]) as symbol),
        described as (
            select meta.symbol,
                arg_max((payload ->> 'calendar_id'), (received_at_utc, load_id, row_number))
                    filter (where (payload ->> 'calendar_id') is not null) as calendar_id,
                arg_max((payload ->> 'timezone'), (received_at_utc, load_id, row_number))
                    filter (where (payload ->> 'calendar_id') is not null) as timezone,
                arg_max((payload ->> 'asset_class'), (received_at_utc, load_id, row_number))
                    filter (where (payload ->> 'asset_class') is not null) as asset_class,
                arg_max(coalesce(try_cast(payload ->> 'tick_size' as double),
                        try_cast(payload ->> 'minmov' as double)
                            / nullif(try_cast(payload ->> 'pricescale' as double), 0)),
                    (received_at_utc, load_id, row_number))
                    filter (where (payload ->> 'tick_size') is not null or (payload ->> 'pricescale') is not null)
                    as tick_size
            from raw.symbol_metadata as meta semi join wanted using (symbol) group by meta.symbol
        ),
        limited as (
            -- years of answers stand there: the texts of the newest alone are read
            select limits.symbol,
                max(try_cast(json_extract_string(payload, '$.filters[*].tickSize')[1] as double)) as tick_size
            from raw.execution_limits as limits
            join (
                select symbol, arg_max(load_id, (received_at_utc, load_id)) as load_id
                from raw.execution_limits semi join wanted using (symbol) group by symbol
            ) as newest on newest.symbol = limits.symbol and newest.load_id = limits.load_id
            group by limits.symbol
        )
        select wanted.symbol, coalesce(described.calendar_id, prefixes.calendar_id) as calendar_id,
            coalesce(described.timezone, prefixes.timezone) as timezone,
            case coalesce(described.asset_class, prefixes.asset_class)
                when 'etf' then 'equity' when 'index' then 'equity'
                else coalesce(described.asset_class, prefixes.asset_class) end as asset_class,
            coalesce(nullif(limited.tick_size, 0), nullif(described.tick_size, 0)) as tick_size
        from wanted
        left join described using (symbol)
        left join limited using (symbol)
        left join temp.prefixes as prefixes on prefixes.prefix = split_part(wanted.symbol, ':', 1)
        """,
        {"symbols": symbols},
    )


def fill_needed_sessions(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill `temp.sessions` for the calendars of `temp.facts`."""
    rows = connection.execute(
        "select distinct calendar_id from temp.facts where calendar_id is not null order by 1"
    ).fetchall()
    fill_sessions(connection, [row[0] for row in rows])


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def compare_with_stored(connection: duckdb.DuckDBPyConnection) -> None:
    """Give every row of `temp.judged` its fate in `temp.fated`: new, identical, superseding or quarantined.

    A row is compared with the value known when it was received, so that landing an older file again changes
    nothing. An equal bar that has become final since is superseding: only final bars enter returns. `temp.series` has
    one row per load and symbol, `temp.context` the stored bars around each.
    """
    connection.execute(f"""
        create or replace temp table series as
        select row_number() over (order by load_id, symbol) as series_id, *
        from (
            select judged.load_id, judged.symbol, batch.source, batch.interval, batch.adjustment, batch.received_at,
                batch.is_file, case batch.interval {_LENGTHS} end as length,
                min(opened_at_utc) as first_opened, max(opened_at_utc) as last_opened
            from temp.judged as judged join temp.batch as batch using (load_id)
            where fate is null group by all
        )
    """)
    connection.execute("""
        create or replace temp table context as
        select series.series_id, bars.opened_at_utc, bars.open, bars.high, bars.low, bars.close, bars.volume,
            bars.quote_volume, bars.is_final, bars.received_at_utc <= series.received_at as is_known
        from raw.bars as bars
        join temp.series as series
            on bars.symbol = series.symbol and bars.source = series.source and bars.interval = series.interval
            and bars.adjustment = series.adjustment
            and bars.opened_at_utc between series.first_opened - 120 * series.length and series.last_opened
        qualify row_number() over (
            partition by series.series_id, bars.opened_at_utc
            order by is_known desc, bars.received_at_utc desc, bars.load_id desc
        ) = 1
    """)
    connection.execute("""
        create or replace temp table fated as
        with placed as (
            -- NULL for a row that is settled already: a join on equalities alone stays a hash join
            select judged.*, series.series_id, case when judged.fate is null then series.series_id end as compared_id
            from temp.judged as judged
            left join temp.series as series on judged.load_id = series.load_id and judged.symbol = series.symbol
        )
        select placed.* exclude (fate, compared_id), placed.fate = 'identical' as is_repeat,
            stored.close as stored_close, coalesce(stored.is_final, false) as is_stored_final,
            coalesce(placed.fate, case
                when stored.opened_at_utc is null then 'new'
                when stored.is_known and (stored.is_final or not placed.is_final)
                    and placed.open is not distinct from stored.open
                    and placed.high is not distinct from stored.high
                    and placed.low is not distinct from stored.low
                    and placed.close is not distinct from stored.close
                    and placed.volume is not distinct from stored.volume
                    and placed.quote_volume is not distinct from stored.quote_volume then 'identical'
                else 'superseding' end) as fate
        from placed
        left join temp.context as stored
            on stored.series_id = placed.compared_id and stored.opened_at_utc = placed.opened_at_utc
    """)


def check(connection: duckdb.DuckDBPyConnection) -> None:
    """Find in `temp.offences` what speaks against rows and series of `temp.fated`, and quarantine what has to be."""
    connection.execute("""
        create or replace temp table offences (series_id bigint, load_id varchar, symbol varchar, row_number bigint,
            code varchar, severity varchar, opened_at_utc timestamp, close double, value double, donor_symbol varchar,
            detail varchar)
    """)
    if _count(connection, "select count(*) from temp.fated where code = 'OHLC_INVALID' and close <= 0"):
        connection.execute("""
            insert into temp.offences
            select series_id, load_id, symbol, row_number, 'IMPOSSIBLE', 'quarantine', opened_at_utc, close, null, null,
                'close is ' || close::varchar
            from temp.fated where code = 'OHLC_INVALID' and close <= 0
        """)
    if _count(connection, "select count(*) from temp.fated where fate in ('new', 'superseding')"):
        _merge(connection)
        # A stray is left out first, so that the first real bar is not measured against it.
        _find_calendarless(connection)
        _find_strays(connection)
        _find_moves(connection)
        _find_duplicates(connection)
        _find_overlaps(connection)
        _find_contradictions(connection)
        _quarantine(connection)


def _merge(connection: duckdb.DuckDBPyConnection) -> None:
    """Put the rows of each series and the stored final bars around them in one line of time."""
    connection.execute("""
        create or replace temp table merged as
        select series_id, opened_at_utc, close, volume, row_number, fate != 'identical' as is_judged, is_final
        from temp.fated where fate in ('new', 'identical', 'superseding') and not coalesce(is_repeat, false)
        union all
        select context.series_id, context.opened_at_utc, context.close, context.volume, null, false, true
        from temp.context as context
        anti join (
            select series_id, opened_at_utc from temp.fated where fate in ('new', 'identical', 'superseding')
        ) as given on given.series_id = context.series_id and given.opened_at_utc = context.opened_at_utc
        where context.is_final
    """)


def _find_moves(connection: duckdb.DuckDBPyConnection) -> None:
    """Find moves between neighbouring bars, and volumes; donors of moves are looked for in the same breath."""
    factors = ", ".join(f"{factor}.0" for factor in thresholds.SPLIT_FACTORS)
    level, before = thresholds.SUSPECT_LEVEL, thresholds.BARS_BEFORE
    # The least and the most of the bars before bound their median: only where they allow a jump is it worked out.
    connection.execute(f"""
        create or replace temp table moves as
        select *, close / previous - 1 as simple_return, null::double as level_jump, case
            when factor_near is not null and abs(closes_ratio / factor_near - 1) <= {thresholds.SPLIT_TOLERANCE}
                then factor_near end as split_factor
        from (
            select *, greatest(close, previous) / least(close, previous) as closes_ratio,
                list_filter([{factors}], factor -> abs(greatest(close, previous) / least(close, previous) / factor - 1)
                    <= {thresholds.SPLIT_TOLERANCE})[1] as factor_near
            from (
                select *, lag(close) over by_time as previous, min(close) over earlier as least_close,
                    max(close) over earlier as most_close, is_final and count(volume) over earlier = {before}
                        and volume > case when stddev_samp(volume) over earlier > 0
                            then avg(volume) over earlier
                                + {thresholds.VOLUME_DEVIATIONS} * stddev_samp(volume) over earlier
                            else {thresholds.VOLUME_MEANS} * avg(volume) over earlier end as is_volume_spike,
                    avg(volume) over earlier as mean_volume
                from temp.merged
                window by_time as (partition by series_id order by opened_at_utc),
                    earlier as (partition by series_id order by opened_at_utc
                        rows between {before} preceding and 1 preceding)
            )
            where is_judged and (is_volume_spike or close > {2 * (1 - thresholds.SPLIT_TOLERANCE)} * previous
                or close * {2 * (1 - thresholds.SPLIT_TOLERANCE)} < previous
                or close > {level} * least_close or close * {level} < most_close)
        )
    """)
    if not _count(connection, "select count(*) from temp.moves"):
        return
    if _count(
        connection,
        f"select count(*) from temp.moves where close > {level} * least_close or close * {level} < most_close",
    ):
        connection.execute(f"""
            update temp.moves set level_jump = ln(moves.close / levels.middle)
            from (
                select series_id, opened_at_utc, median(close) over (
                    partition by series_id order by opened_at_utc rows between {before} preceding and 1 preceding
                ) as middle
                from temp.merged
                where series_id in (select series_id from temp.moves
                    where close > {level} * least_close or close * {level} < most_close)
            ) as levels
            where levels.series_id = moves.series_id and levels.opened_at_utc = moves.opened_at_utc
                and abs(ln(moves.close / levels.middle)) > ln({level})
        """)
    at_series = "from temp.moves as moves join temp.series as series using (series_id)"
    connection.execute(f"""
        insert into temp.offences
        select series_id, load_id, symbol, row_number, 'TOXIC_RETURN', 'reject', opened_at_utc, close, simple_return,
            null, 'return of ' || round(100 * simple_return, 2) || ' % from ' || previous || ' to ' || close
        {at_series} where abs(simple_return) > {thresholds.TOXIC_RETURN}
        union all
        select series_id, load_id, symbol, row_number, 'EXTREME', 'warning', opened_at_utc, close, simple_return, null,
            'return of ' || round(100 * simple_return, 2) || ' %'
        {at_series}
        where abs(simple_return) > {thresholds.EXTREME_RETURN} and abs(simple_return) <= {thresholds.TOXIC_RETURN}
        union all
        select series_id, load_id, symbol, row_number, 'VOLUME_SPIKE', 'info', opened_at_utc, close,
            volume / mean_volume, null, 'volume ' || volume || ' after a mean of ' || round(mean_volume, 2)
        {at_series} where is_volume_spike
    """)
    _find_suspects(connection)
    _find_splits(connection)
    _find_donors(connection)


def _agreement(asset_class: str, source: str, other: str, *, tick: str, close: str) -> str:
    """Return the SQL of the share of `close` up to which final closes of two sources agree; one tick on one venue."""
    return f"""case
        when {asset_class} != 'crypto' then {thresholds.LISTED_SHARE}
        when {source} in {VENUE_SOURCES} and {other} in {VENUE_SOURCES}
            then greatest({thresholds.SAME_VENUE_SHARE}, {tick_share(tick, close)})
        else {thresholds.CROSS_VENUE_SHARE} end"""


def tick_share(tick: str, close: str) -> str:
    """Return the SQL of one tick as a share of a close, rounded up by what a double cannot hold; 0 for none known."""
    return f"(coalesce({tick}, 0) / {close} * (1 + 1e-6) + 1e-12 * ({tick} is not null)::int)"


def _find_suspects(connection: duckdb.DuckDBPyConnection) -> None:
    """Find drops and jumps of level; a second source or a recorded resolution releases them."""
    connection.execute(f"""
        create or replace temp table suspects as
        select moves.series_id, series.load_id, series.symbol, moves.row_number, moves.opened_at_utc, moves.close,
            moves.simple_return, moves.level_jump, series.source, series.interval,
            {session_date_sql("moves.opened_at_utc", "facts.asset_class", "coalesce(facts.timezone, 'UTC')")}
                as session_date,
            facts.asset_class, facts.tick_size
        from temp.moves as moves
        join temp.series as series using (series_id)
        left join temp.facts as facts on facts.symbol = series.symbol
        where moves.simple_return < {thresholds.SUSPECT_RETURN} or moves.level_jump is not null
    """)
    if not _count(connection, "select count(*) from temp.suspects"):
        return
    other_session = session_date_sql("bars.opened_at_utc", "suspects.asset_class", "coalesce(facts.timezone, 'UTC')")
    tolerance = _agreement(
        "suspects.asset_class",
        "suspects.source",
        "other.source",
        tick="suspects.tick_size",
        close="suspects.close",
    )
    # A row that two sources quarantined for the same level is no row of a wrong symbol.
    connection.execute(f"""
        create or replace temp table releases as
        with other as (
            select suspects.series_id, suspects.row_number, bars.source, bars.close
            from temp.suspects as suspects
            join raw.bars as bars on bars.symbol = suspects.symbol and bars.interval = suspects.interval
                and bars.source != suspects.source and bars.is_final
                and bars.opened_at_utc between suspects.opened_at_utc - interval 1 day
                    and suspects.opened_at_utc + interval 1 day
            left join temp.facts as facts on facts.symbol = suspects.symbol
            where {other_session} = suspects.session_date
            union all
            select suspects.series_id, suspects.row_number, loads.source, findings.close
            from temp.suspects as suspects
            join raw.findings as findings on findings.symbol = suspects.symbol and findings.code = 'SUSPECT_DROP'
                and findings.opened_at_utc between suspects.opened_at_utc - interval 1 day
                    and suspects.opened_at_utc + interval 1 day
            join raw.loads as loads on loads.load_id = findings.load_id and loads.source != suspects.source
        )
        select suspects.series_id, suspects.row_number, min(other.source) as by_whom
        from temp.suspects as suspects
        join other using (series_id, row_number)
        where abs(other.close / suspects.close - 1) <= {tolerance}
        group by all
        union
        select suspects.series_id, suspects.row_number, 'a recorded resolution'
        from temp.suspects as suspects
        join raw.resolutions as resolutions on resolutions.symbol = suspects.symbol
            and (resolutions.payload ->> 'code') = 'SUSPECT_DROP'
            and cast((resolutions.payload ->> 'session_date') as date) = suspects.session_date
    """)
    connection.execute("""
        insert into temp.offences
        select series_id, load_id, symbol, row_number,
            case when by_whom is null then 'SUSPECT_DROP' else 'CORROBORATED' end,
            case when by_whom is null then 'quarantine' else 'info' end, opened_at_utc, close,
            coalesce(level_jump, simple_return), null, case when level_jump is null
                then 'return of ' || round(100 * simple_return, 4) || ' %'
                else 'level e^' || round(level_jump, 3) || ' times the median of 20 bars' end
                || coalesce('; confirmed by ' || by_whom, '; waits for a second source')
        from temp.suspects left join (
            select series_id, row_number, min(by_whom) as by_whom from temp.releases group by all
        ) using (series_id, row_number)
    """)


def _find_splits(connection: duckdb.DuckDBPyConnection) -> None:
    """List moves by the factor of a common split that no landed action explains."""
    connection.execute("""
        insert into temp.offences
        select moves.series_id, series.load_id, series.symbol, row_number, 'SPLIT_SUSPECT', 'warning', opened_at_utc,
            close, close / previous, null, 'close ' || close || ' after ' || previous || ', as after a '
                || case when close < previous then split_factor::integer || ':1 split'
                    else '1:' || split_factor::integer || ' reverse split' end || ', and no action is known'
        from temp.moves as moves join temp.series as series using (series_id)
        where split_factor is not null and is_final and not exists (
            select 1 from raw.corporate_actions as actions
            where actions.symbol = series.symbol and (actions.payload ->> 'action') = 'split'
                and abs(date_diff('day',
                    make_timestamp((try_cast((actions.payload ->> 'date') as double) * 1e6)::bigint),
                    opened_at_utc)) <= 3)
    """)


def _find_donors(connection: duckdb.DuckDBPyConnection) -> None:
    """Find whose level a jumping close has: the same time, within 0.5 %, fetched from the same source just then."""
    connection.execute("""
        create or replace temp table jumps as
        select distinct offences.series_id, offences.row_number, offences.opened_at_utc, offences.close, series.load_id,
            series.symbol, series.source, series.interval, series.received_at
        from temp.offences as offences join temp.series as series using (series_id)
        where offences.code in ('TOXIC_RETURN', 'SUSPECT_DROP') and not series.is_file
    """)
    if not _count(connection, "select count(*) from temp.jumps"):
        return
    share, minutes = thresholds.DONOR_SHARE, thresholds.DONOR_MINUTES
    connection.execute(f"""
        insert into temp.offences
        with donors as (
            select jumps.series_id, jumps.row_number, series.symbol as donor, abs(fated.close / jumps.close - 1) as off
            from temp.jumps as jumps
            join temp.series as series on series.source = jumps.source and series.interval = jumps.interval
                and series.symbol != jumps.symbol and not series.is_file
                and abs(date_diff('second', series.received_at, jumps.received_at)) <= {60 * minutes}
            join temp.fated as fated on fated.series_id = series.series_id
                and fated.opened_at_utc = jumps.opened_at_utc and fated.fate != 'quarantined'
            where abs(fated.close / jumps.close - 1) <= {share} and not exists (
                select 1 from temp.jumps as others
                where others.series_id = series.series_id and others.opened_at_utc = jumps.opened_at_utc)
            union all
            select jumps.series_id, jumps.row_number, bars.symbol, abs(bars.close / jumps.close - 1)
            from temp.jumps as jumps
            join raw.bars as bars on bars.opened_at_utc = jumps.opened_at_utc and bars.source = jumps.source
                and bars.interval = jumps.interval and bars.symbol != jumps.symbol
                and bars.received_at_utc between jumps.received_at - interval {minutes} minute
                    and jumps.received_at + interval {minutes} minute
            where abs(bars.close / jumps.close - 1) <= {share}
        ),
        nearest as (
            select series_id, row_number, arg_min(donor, (off, donor)) as donor, min(off) as off
            from donors group by all
        )
        select jumps.series_id, jumps.load_id, jumps.symbol, jumps.row_number, 'CROSS_LEVEL', 'reject',
            jumps.opened_at_utc, jumps.close, nearest.off, nearest.donor,
            'close ' || jumps.close || ' is the level of ' || nearest.donor || ', fetched at the same time'
        from temp.jumps as jumps join nearest using (series_id, row_number)
    """)


def _find_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    """Find equal bars with a volume of two symbols that are no listings of one ticker."""
    key = "hash(opened_at_utc, open, high, low, close, volume)"
    is_asked = "fate in ('new', 'superseding') and volume > 0 and open is not null"
    # Millions of bars are reduced to those whose hash another bar shares before anything is joined.
    connection.execute(f"""
        create or replace temp table doubled as
        select print from (
            select {key} as print, hash(symbol) as owner from temp.fated where {is_asked}
            union all
            select {key} as print, hash(symbol) as owner from raw.bars
            where volume > 0 and open is not null
                and opened_at_utc between (select min(opened_at_utc) from temp.fated where {is_asked})
                    and (select max(opened_at_utc) from temp.fated where {is_asked})
        )
        group by print having min(owner) != max(owner)
    """)
    if not _count(connection, "select count(*) from temp.doubled"):
        return
    session = session_date_sql("beside.opened_at_utc", "facts.asset_class", "coalesce(facts.timezone, 'UTC')")
    connection.execute(f"""
        create or replace temp table twins as
        with prints as (
            select fated.series_id, fated.symbol, series.interval, fated.opened_at_utc, fated.row_number,
                fated.high > fated.low as has_moved, fated.close, {key} as print
            from temp.fated as fated join temp.series as series using (series_id)
            where {is_asked} and {key} in (select print from temp.doubled)
        ),
        -- what another value has taken the place of, or takes it now, is nobody's history any more
        stored as (
            select symbol, interval, opened_at_utc, {key} as print from raw.bars as bars
            where volume > 0 and open is not null and {key} in (select print from temp.doubled)
                and not exists (
                    select 1 from raw.bars as newer
                    where newer.symbol = bars.symbol and newer.source = bars.source
                        and newer.interval = bars.interval and newer.adjustment = bars.adjustment
                        and newer.opened_at_utc = bars.opened_at_utc
                        and (newer.received_at_utc, newer.load_id) > (bars.received_at_utc, bars.load_id))
                and not exists (
                    select 1 from temp.fated as fated join temp.series as series using (series_id)
                    where fated.fate = 'superseding' and fated.symbol = bars.symbol and series.source = bars.source
                        and series.interval = bars.interval and series.adjustment = bars.adjustment
                        and fated.opened_at_utc = bars.opened_at_utc)
        ),
        beside as (
            select prints.*, false as is_stored, others.symbol as twin from prints
            join prints as others on others.print = prints.print and others.symbol != prints.symbol
                and others.interval = prints.interval and others.opened_at_utc = prints.opened_at_utc
            union all
            select prints.*, true as is_stored, stored.symbol from prints
            join stored on stored.print = prints.print and stored.symbol != prints.symbol
                and stored.interval = prints.interval and stored.opened_at_utc = prints.opened_at_utc
        )
        select distinct beside.* from beside
        left join temp.facts as facts on facts.symbol = beside.symbol
        where not (split_part(beside.symbol, ':', 2) = split_part(beside.twin, ':', 2)
                and facts.asset_class is distinct from 'crypto')
            -- a renamed symbol is the same thing
            and not exists (
                select 1 from ({RENAMED}) as renamed
                where (renamed.old_symbol = beside.symbol and renamed.new_symbol = beside.twin)
                    or (renamed.old_symbol = beside.twin and renamed.new_symbol = beside.symbol))
            -- a person has looked at the bars of that session: equal by chance
            and not exists (
                select 1 from raw.resolutions as words
                where words.symbol in (beside.symbol, beside.twin) and (words.payload ->> 'code') = 'DUPLICATE_ROW'
                    and cast((words.payload ->> 'session_date') as date) = {session})
    """)
    connection.execute(f"""
        insert into temp.offences
        with pairs as (
            select series_id, twin, bool_or(has_moved)
                or count(distinct opened_at_utc) >= {thresholds.EQUAL_FLAT_BARS} as is_pair
            from temp.twins group by series_id, twin
        ),
        paired as (
            select twins.*, series.load_id from temp.twins as twins
            join pairs on pairs.series_id = twins.series_id and pairs.twin = twins.twin and pairs.is_pair
            join temp.series as series on series.series_id = twins.series_id
        )
        select series_id, load_id, symbol, row_number, 'DUPLICATE_ROW', 'reject', opened_at_utc, close, null, min(twin),
            'the bar equals that of ' || min(twin)
        from paired group by all
        union all
        -- of two that share their bars nobody knows whose they are: what was stored first is no better
        select null, load_id, twin, null, 'DUPLICATE_ROW', 'warning', opened_at_utc, any_value(close), null,
            min(symbol), 'the stored bar came again as one of ' || min(symbol)
        from paired where is_stored group by load_id, twin, opened_at_utc
    """)


def _find_overlaps(connection: duckdb.DuckDBPyConnection) -> None:
    """Compare the last overlapping final bars with the stored ones.

    A tick is no difference of prices; total returns are computed, and a dividend of less than a tick moves them all.
    """
    near = " and ".join(
        f"(fated.{field} is null or context.{field} is null "
        f"or abs(fated.{field} - context.{field}) <= abs(context.{field}) * greatest({thresholds.OVERLAP_TOLERANCE}, "
        f"case when series.adjustment = 'total_return' then 0 "
        f"else {tick_share('facts.tick_size', f'context.{field}')} end))"
        for field in ("open", "high", "low", "close")
    )
    connection.execute(f"""
        create or replace temp table overlapping as
        select fated.series_id, fated.opened_at_utc, {near} as is_equal, fated.close / context.close as ratio
        from temp.fated as fated
        join temp.context as context
            on context.series_id = fated.series_id and context.opened_at_utc = fated.opened_at_utc
        join temp.series as series on series.series_id = fated.series_id
        left join temp.facts as facts on facts.symbol = fated.symbol
        where fated.fate in ('identical', 'superseding') and not coalesce(fated.is_repeat, false)
            and fated.is_final and context.is_final
            and fated.series_id in (select series_id from temp.fated where fate = 'superseding')
        qualify row_number() over (partition by fated.series_id order by fated.opened_at_utc desc)
            <= {thresholds.OVERLAP_BARS}
    """)
    if not _count(connection, "select count(*) from temp.overlapping where not is_equal"):
        return
    connection.execute(f"""
        insert into temp.offences
        with counted as (
            select series_id, count(*) as n, count(*) filter (where is_equal) as equal_count,
                min(ratio) filter (where not is_equal) as least, max(ratio) filter (where not is_equal) as most,
                max(opened_at_utc) filter (where not is_equal) < coalesce(
                    min(opened_at_utc) filter (where is_equal), timestamp '9999-01-01') as is_before
            from temp.overlapping group by series_id
        ),
        failing as (
            select counted.*, series.load_id, series.symbol, series.first_opened, exists (
                    select 1 from ops.symbol_registry as known
                    where known.symbol = series.symbol and known.status = 'TOXIC') as is_toxic,
                most / least - 1 <= {thresholds.RATIO_SPREAD} and is_before
                    and abs(least - 1) > {thresholds.OVERLAP_TOLERANCE} as is_action,
                (select min(bars.opened_at_utc) from raw.bars as bars
                    where bars.symbol = series.symbol and bars.source = series.source
                        and bars.interval = series.interval and bars.adjustment = series.adjustment) as first_stored,
                (select max(words.payload ->> 'by') from raw.resolutions as words
                    where words.symbol = series.symbol
                        and (words.payload ->> 'code') in ('OVERLAP_MISMATCH', 'CORPORATE_ACTION')
                        and date_diff('day', cast((words.payload ->> 'session_date') as date), series.received_at)
                            between 0 and {thresholds.RELEASE_DAYS}) as released_by
            from counted join temp.series as series using (series_id)
            where n >= {thresholds.OVERLAP_LEAST} and equal_count < {thresholds.OVERLAP_SHARE} * n
        )
        select series_id, load_id, symbol, null, case
                when released_by is not null then 'CORROBORATED'
                when is_action then 'CORPORATE_ACTION' else 'OVERLAP_MISMATCH' end, case
                when released_by is not null then 'info'
                when (is_action or is_toxic) and first_opened <= first_stored then 'warning' else 'reject' end,
            null, null,
            case when is_action then (least + most) / 2 else equal_count / n end, null,
            case when is_action then 'all values changed by the ratio ' || round((least + most) / 2, 6)
                    || case when first_opened <= first_stored then ': the whole history was taken anew'
                        else ': the whole history has to be fetched again' end
                else equal_count || ' of the last ' || n || ' overlapping bars equal the stored ones'
                    || case when is_toxic and first_opened <= first_stored
                        then ': the whole history of a TOXIC symbol was taken anew' else '' end end
                || coalesce('; released by ' || released_by, '')
        from failing
    """)


def _find_contradictions(connection: duckdb.DuckDBPyConnection) -> None:
    """Compare the closes of an alternate source with what the others have of the last sessions that both have.

    Prices are compared with prices of the same adjustment (a coin has none), total returns with total returns. Without
    a shared session there is nothing to compare with.
    """
    if not _count(connection, "select count(*) from temp.batch where is_alternate"):
        return
    session = session_date_sql("{}.opened_at_utc", "series.asset_class", "series.timezone")
    connection.execute(f"""
        insert into temp.offences
        with asked as (
            select series.*, facts.asset_class, facts.tick_size,
                coalesce(facts.timezone, 'UTC') as timezone from temp.series as series
            join temp.batch as batch on batch.load_id = series.load_id and batch.is_alternate
            left join temp.facts as facts on facts.symbol = series.symbol
        ),
        given as (
            select series.series_id, fated.close, {session.format("fated", "fated", "fated", "fated")} as session_date
            from asked as series join temp.fated as fated using (series_id)
            where fated.fate in ('new', 'identical', 'superseding') and not coalesce(fated.is_repeat, false)
                and fated.is_final
        ),
        others as (
            select series.series_id, bars.source, bars.close,
                {session.format("bars", "bars", "bars", "bars")} as session_date
            from asked as series join raw.bars as bars
                on bars.symbol = series.symbol and bars.interval = series.interval and bars.source != series.source
                and bars.is_final and bars.opened_at_utc between series.first_opened - interval 1 day
                    and series.last_opened + interval 1 day
            where bars.adjustment = series.adjustment or (series.asset_class = 'crypto'
                and bars.adjustment in ('none', 'splits') and series.adjustment in ('none', 'splits'))
            qualify row_number() over (
                partition by series.series_id, session_date order by bars.received_at_utc desc, bars.load_id desc) = 1
        ),
        shared as (
            select given.series_id, others.source, abs(given.close / others.close - 1) <= {
        _agreement(
            "series.asset_class", "series.source", "others.source", tick="series.tick_size", close="others.close"
        )
    } as is_equal
            from given join others using (series_id, session_date) join asked as series using (series_id)
            qualify row_number() over (partition by given.series_id order by given.session_date desc)
                <= {thresholds.OVERLAP_BARS}
        ),
        counted as (
            select series_id, count(*) as n, count(*) filter (where is_equal) as equal_count, min(source) as by_whom
            from shared group by series_id
        )
        select series_id, series.load_id, series.symbol, null, 'OVERLAP_MISMATCH', 'reject', null, null,
            equal_count / n, null,
            equal_count || ' of the last ' || n || ' closes agree with those of ' || by_whom
        from counted join temp.series as series using (series_id)
        where equal_count < {thresholds.OVERLAP_SHARE} * n
    """)


def _find_calendarless(connection: duckdb.DuckDBPyConnection) -> None:
    """Name daily series of which no calendar says which sessions they should have: gaps cannot be counted there."""
    connection.execute("""
        insert into temp.offences
        select series_id, load_id, series.symbol, null, 'EXCHANGE_WITHOUT_CALENDAR', 'warning', null, null, null, null,
            'nobody knows the calendar of ' || split_part(series.symbol, ':', 1)
                || ': whether bars stand alone before a gap was not judged'
        from temp.series as series
        left join temp.facts as facts on facts.symbol = series.symbol
        where series.interval = '1d' and facts.calendar_id is null
    """)


def _find_strays(connection: duckdb.DuckDBPyConnection) -> None:
    """Find the few bars before a long gap at the very beginning of a series."""
    gap, most = thresholds.STRAY_GAP, thresholds.STRAY_BARS
    connection.execute(f"""
        create or replace temp table heads as
        with firsts as (
            select series_id, opened_at_utc, row_number, close, is_judged,
                row_number() over by_time as place, lead(opened_at_utc) over by_time as following
            from temp.merged where series_id in (select series_id from temp.series where interval = '1d')
            window by_time as (partition by series_id order by opened_at_utc)
            qualify place <= {most}
        )
        select firsts.*, series.symbol, series.load_id, facts.calendar_id
        from firsts join temp.series as series using (series_id)
        join temp.facts as facts on facts.symbol = series.symbol and facts.calendar_id is not null
        where series_id in (
            select series_id from firsts where date_diff('day', opened_at_utc, following) > {gap})
    """)
    if not _count(connection, "select count(*) from temp.heads"):
        return
    fill_needed_sessions(connection)
    connection.execute(f"""
        insert into temp.offences
        with gaps as (
            select heads.*, (select count(*) from temp.sessions as sessions
                where sessions.calendar_id = heads.calendar_id
                    and sessions.session_date > cast(opened_at_utc as date)
                    and sessions.session_date < cast(following as date)) as missing
            from temp.heads as heads
        ),
        ends as (
            select series_id, max(place) as last_stray from gaps where missing > {gap} group by series_id
        )
        select gaps.series_id, gaps.load_id, gaps.symbol, gaps.row_number, 'STRAY_BAR', 'quarantine',
            gaps.opened_at_utc, gaps.close, missing, null,
            'stands alone before a gap of ' || max(missing) over (partition by gaps.series_id) || ' sessions'
        from gaps join ends on ends.series_id = gaps.series_id and gaps.place <= ends.last_stray
        where gaps.is_judged and not exists (
            select 1 from raw.bars as bars join temp.series as series on series.series_id = gaps.series_id
            where bars.symbol = series.symbol and bars.source = series.source and bars.interval = series.interval
                and bars.adjustment = series.adjustment and bars.opened_at_utc < gaps.opened_at_utc)
    """)
    connection.execute("""
        delete from temp.merged using temp.offences as offences
        where offences.code = 'STRAY_BAR' and merged.series_id = offences.series_id
            and merged.opened_at_utc = offences.opened_at_utc
    """)


def _quarantine(connection: duckdb.DuckDBPyConnection) -> None:
    """Quarantine the rows of rejected series, and single rows."""
    if not _count(connection, "select count(*) from temp.offences where severity in ('reject', 'quarantine')"):
        return
    order = ", ".join(f"'{code}'" for code in REJECTING)
    connection.execute(f"""
        create or replace temp table verdicts as
        with rejected as (
            select series_id,
                arg_min(code, (list_position([{order}], code), opened_at_utc, row_number)) as code,
                arg_min(detail, (list_position([{order}], code), opened_at_utc, row_number)) as detail
            from temp.offences where severity = 'reject' group by series_id
        ),
        singled as (
            select series_id, row_number, min(code) as code, min(detail) as detail
            from temp.offences where severity = 'quarantine' and code != 'IMPOSSIBLE' group by all
        )
        select fated.load_id, fated.symbol, fated.row_number, rejected.code is not null as is_rejected,
            coalesce(rejected.code, singled.code) as code,
            coalesce(case when own.detail is not null then own.detail
                else 'rejected with its load: ' || rejected.detail end, singled.detail) as detail
        from temp.fated as fated
        left join rejected using (series_id)
        left join singled on singled.series_id = fated.series_id and singled.row_number = fated.row_number
        left join (
            select series_id, row_number, code, min(detail) as detail from temp.offences
            where severity = 'reject' and row_number is not null group by all
        ) as own on own.series_id = fated.series_id and own.row_number = fated.row_number and own.code = rejected.code
        where fated.fate in ('new', 'identical', 'superseding') and not coalesce(fated.is_repeat, false)
            and coalesce(rejected.code, singled.code) is not null
    """)
    connection.execute("""
        update temp.fated set fate = 'quarantined', code = verdicts.code, detail = verdicts.detail,
            severity = case when verdicts.code = 'STRAY_BAR' then 'warning' else 'error' end
        from temp.verdicts as verdicts
        where fated.load_id = verdicts.load_id and fated.row_number = verdicts.row_number
            and fated.symbol = verdicts.symbol
    """)


@dataclass(frozen=True)
class Counts:
    """What became of the rows of one load; `last_final` is the newest session of its series that is stored final."""

    received: int = 0
    new: int = 0
    identical: int = 0
    superseding: int = 0
    quarantined: int = 0
    errors: int = 0
    codes: str = ""
    new_final: int = 0
    is_rejected: bool = False
    last_final: date | None = None


def count_loads(connection: duckdb.DuckDBPyConnection) -> dict[str, Counts]:
    """Return the counts of each load of `temp.fated` by load id, after its bars were stored."""
    session = session_date_sql("lasts.last_opened", "facts.asset_class", "coalesce(facts.timezone, 'UTC')")
    found = connection.execute(f"""
        with counted as (
            select load_id, count(*) as received, count(*) filter (where fate = 'new') as new,
                count(*) filter (where fate = 'identical') as identical,
                count(*) filter (where fate = 'superseding') as superseding,
                count(*) filter (where fate = 'quarantined') as quarantined,
                count(*) filter (where fate = 'quarantined' and severity = 'error') as errors,
                count(*) filter (where fate in ('new', 'superseding') and is_final) as new_final
            from temp.fated group by load_id
        ),
        coded as (
            select load_id, string_agg(code || ' ' || n, ', ' order by code) as codes
            from (select load_id, code, count(*) as n from temp.fated where fate = 'quarantined' group by all)
            group by load_id
        ),
        rejected as (
            select distinct load_id from temp.offences where severity = 'reject'
        ),
        lasts as (
            select batch.load_id, batch.symbol, max(bars.opened_at_utc) as last_opened
            from temp.batch as batch
            join raw.bars as bars on bars.symbol = batch.symbol and bars.source = batch.source
                and bars.interval = batch.interval and bars.adjustment = batch.adjustment and bars.is_final
            where batch.expected_session is not null
            group by all
        )
        select counted.load_id, received, new, identical, superseding, quarantined, errors, coalesce(codes, ''),
            new_final, rejected.load_id is not null, {session}
        from counted
        left join coded using (load_id)
        left join rejected using (load_id)
        left join lasts using (load_id)
        left join temp.facts as facts on facts.symbol = lasts.symbol
    """).fetchall()
    return {row[0]: Counts(*row[1:]) for row in found}


def insert_bars(connection: duckdb.DuckDBPyConnection) -> None:
    """Store the new and superseding rows of `temp.fated`, by load, symbol and time, and all findings."""
    connection.execute("""
        insert into raw.bars
        select fated.load_id, batch.source, fated.symbol, batch.interval, batch.adjustment, opened_at_utc, open, high,
            low, close, volume, quote_volume, is_final, batch.received_at
        from temp.fated as fated join temp.batch as batch using (load_id)
        where fate in ('new', 'superseding') order by fated.load_id, fated.symbol, opened_at_utc
    """)
    connection.execute("""
        insert into raw.findings
        select offences.load_id, offences.symbol, code, severity, opened_at_utc, close, value, donor_symbol, detail,
            batch.detected_at
        from temp.offences as offences join temp.batch as batch using (load_id)
        where offences.symbol is not null
        order by offences.load_id, offences.symbol, opened_at_utc, code
    """)
