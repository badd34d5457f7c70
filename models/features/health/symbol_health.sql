-- One row per symbol and session: what could be said of its data at that session's close, over the last 500 sessions.
with expected as (

    select * from {{ ref('expected_sessions') }}

),

spikes as (

    select
        symbol,
        session_date,
        string_agg(code, ',' order by code) as codes
    from {{ ref('bar_spikes') }}
    where not is_resolved
    group by symbol, session_date

),

flagged as (

    select
        expected.*,
        spikes.codes as spike_codes,
        expected.session_number - expected.last_session_number as sessions_behind,

        -- how many closes in a row have not moved; a missing session does not end a run
        expected.close is not null
        and expected.close = lag(expected.close ignore nulls) over by_session as is_unchanged,

        -- this session is missing while the symbol's calendar has it from another symbol
        expected.is_missing and bool_or(not expected.is_missing) over (
            partition by expected.calendar_id, expected.session_date
        ) as is_missing_alone
    from expected
    left join spikes on expected.symbol = spikes.symbol and expected.session_date = spikes.session_date
    window by_session as (partition by expected.symbol order by expected.session_number)

),

stalls as (

    select
        *,
        sum(case when is_unchanged or is_missing then 0 else 1 end) over (
            partition by symbol order by session_number
        ) as stall_group
    from flagged

),

counted as (

    select
        *,
        sum(cast(is_unchanged as integer)) over (
            partition by symbol, stall_group order by session_number
        ) as unchanged_count,
        count(*) over last_500 as expected_sessions,
        sum(cast(is_missing as integer)) over last_500 as missing_sessions,
        sum(cast(is_missing and sessions_behind >= 2 as integer)) over last_500 as run_sessions,
        count(spike_codes) over last_500 as spike_count
    from stalls
    window last_500 as (
        partition by symbol order by session_number rows between 499 preceding and current row
    )

),

symbol_calendars as (

    select distinct
        symbol,
        calendar_id
    from expected

),

-- what stands at a peg may stand still: judged by the tags known at each close
pegged as (

    select distinct
        tags.symbol,
        calendar.calendar_id,
        calendar.session_date
    from {{ ref('symbol_tags') }} as tags
    inner join symbol_calendars as symbols on tags.symbol = symbols.symbol
    inner join {{ ref('market_calendar') }} as calendar
        on
            symbols.calendar_id = calendar.calendar_id
            and tags.valid_from <= calendar.close_utc
            and (tags.valid_to is null or tags.valid_to > calendar.close_utc)
    where tags.tag in ('STABLE', 'FIAT', 'PEGGED')

),

worst as (

    select
        *,
        max(unchanged_count) over (
            partition by symbol order by session_number rows between 499 preceding and current row
        ) as longest_stall
    from counted

),

final as (

    select
        -- keys
        worst.symbol,
        worst.session_date as as_of_date,

        -- the verdict, first match
        case
            when worst.spike_count > 0 then 'TOXIC'
            when worst.sessions_behind >= 2 or (worst.calendar_id = '24/7' and worst.sessions_behind >= 1) then 'STALE'
            when
                (worst.calendar_id = '24/7' and worst.missing_sessions > 0)
                or worst.run_sessions > 0
                or worst.missing_sessions > 0.02 * worst.expected_sessions
                or worst.is_missing_alone
                or (worst.longest_stall > 3 and pegged.symbol is null)
                then 'DEGRADED'
            else 'OK'
        end as verdict,
        array_to_string(list_filter([
            case when worst.spike_count > 0 then 'SPIKES:' || worst.spike_count end,
            case when worst.sessions_behind > 0 then 'SESSIONS_BEHIND:' || worst.sessions_behind end,
            case when worst.run_sessions > 0 then 'MISSING_RUN' end,
            case when worst.missing_sessions > 0 then 'MISSING:' || worst.missing_sessions end,
            case when worst.longest_stall >= 3 then 'STALL:' || worst.longest_stall end
        ], reason -> reason is not null), ',') as reasons,

        -- what it rests on
        cast(worst.expected_sessions as integer) as expected_sessions,
        cast(worst.missing_sessions as integer) as missing_sessions,
        last_session.session_date as last_session_date

    from worst
    left join {{ ref('market_calendar') }} as last_session
        on
            worst.calendar_id = last_session.calendar_id
            and worst.last_session_number = last_session.session_number
    left join pegged on worst.symbol = pegged.symbol and worst.session_date = pegged.session_date

)

select * from final
order by symbol, as_of_date
