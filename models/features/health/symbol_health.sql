-- One row per symbol and session: what could be said of its data at that session's close, over the last 500 sessions.
with counted as (

    select counts.*
    from {{ ref('calc_session_counts') }} as counts
    {% if is_incremental() %}
        inner join {{ pending('symbol_health') }} as changes
            on counts.symbol = changes.symbol and counts.session_date >= changes.first_changed_date
    {% endif %}

),

-- sessions that any symbol of the calendar has
traded as (

    select distinct
        calendar_id,
        session_number
    from {{ ref('expected_sessions') }}
    where not is_missing

),

symbol_calendars as (

    select distinct
        symbol,
        calendar_id
    from counted

),

-- what stands at a peg may stand still: judged by the tags known at each close
pegged as (

    select distinct
        tags.symbol,
        calendar.calendar_id,
        calendar.session_number
    from {{ ref('symbol_tags') }} as tags
    inner join symbol_calendars as symbols on tags.symbol = symbols.symbol
    inner join {{ ref('market_calendar') }} as calendar
        on
            symbols.calendar_id = calendar.calendar_id
            and tags.valid_from <= calendar.close_utc
            and (tags.valid_to is null or tags.valid_to > calendar.close_utc)
    where tags.tag in ('STABLE', 'FIAT', 'PEGGED')

),

-- this session is missing while the symbol's calendar has it from another symbol
placed as (

    select
        counted.*,
        counted.sessions_behind > 0 and traded.session_number is not null as is_missing_alone,
        pegged.symbol is not null as is_pegged,
        last_session.session_date as last_session_date,
        -- days of the window on which the market was closed
        counted.session_date - first_session.session_date + 1 > counted.expected_sessions as has_closed_days
    from counted
    left join traded on counted.calendar_id = traded.calendar_id and counted.session_number = traded.session_number
    left join {{ ref('market_calendar') }} as last_session
        on
            counted.calendar_id = last_session.calendar_id
            and counted.session_number - counted.sessions_behind = last_session.session_number
    left join {{ ref('market_calendar') }} as first_session
        on
            counted.calendar_id = first_session.calendar_id
            and counted.session_number - counted.expected_sessions + 1 = first_session.session_number
    left join pegged
        on
            counted.symbol = pegged.symbol
            and counted.calendar_id = pegged.calendar_id
            and counted.session_number = pegged.session_number

),

judged as (

    select
        -- keys
        symbol,
        session_date as as_of_date,

        -- the verdict, first match
        case
            when suspect_sessions > 0 then 'TOXIC'
            when sessions_behind >= 2 or (calendar_id = '24/7' and sessions_behind >= 1) then 'STALE'
            when
                (calendar_id = '24/7' and missing_sessions > 0)
                or repeated_sessions > 0
                or missing_sessions > 0.02 * expected_sessions
                or is_missing_alone
                or (longest_stall > 3 and not is_pegged)
                then 'DEGRADED'
            else 'OK'
        end as verdict,
        case
            when suspect_sessions + sessions_behind + missing_sessions > 0 or longest_stall >= 3
                then array_to_string(list_filter([
                    case when suspect_sessions > 0 then 'SPIKES:' || suspect_sessions end,
                    case when sessions_behind > 0 then 'SESSIONS_BEHIND:' || sessions_behind end,
                    case when repeated_sessions > 0 then 'MISSING_RUN' end,
                    case when missing_sessions > 0 then 'MISSING:' || missing_sessions end,
                    case when longest_stall >= 3 then 'STALL:' || longest_stall end
                ], reason -> reason is not null), ',')
            else ''
        end as reasons,

        -- what it rests on
        cast(expected_sessions as integer) as expected_sessions,
        cast(missing_sessions as integer) as missing_sessions,
        last_session_date,
        coalesce(has_closed_days, false) as has_closed_days

    from placed

),

final as (

    select
        -- keys
        symbol,
        as_of_date,

        -- the verdict, and how it is shown
        verdict,
        case
            when verdict = 'OK' and missing_sessions = 0 and has_closed_days then 'OK (MARKET CLOSED)'
            else verdict
        end as label,
        reasons,

        -- what it rests on
        expected_sessions,
        missing_sessions,
        last_session_date

    from judged

)

select * from final
