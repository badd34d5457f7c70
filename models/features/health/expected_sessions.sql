-- One row per symbol and session from its first bar to the newest session that any symbol of its calendar has.
with bars as (

    select
        symbol,
        calendar_id,
        min(session_number) as first_session_number
    from {{ ref('session_bars') }}
    group by symbol, calendar_id

),

newest as (

    select
        calendar_id,
        max(session_number) as last_session_number
    from {{ ref('session_bars') }}
    group by calendar_id

),

expected as (

    select
        bars.symbol,
        calendar.calendar_id,
        calendar.session_date,
        calendar.session_number
    from bars
    inner join newest on bars.calendar_id = newest.calendar_id
    inner join {{ ref('market_calendar') }} as calendar
        on
            bars.calendar_id = calendar.calendar_id
            and calendar.session_number between bars.first_session_number and newest.last_session_number
    {% if is_incremental() %}
        inner join {{ pending('expected_sessions') }} as changes
            on bars.symbol = changes.symbol and calendar.session_date >= changes.first_changed_date
    {% endif %}

),

attended as (

    select
        expected.*,
        session_bars.symbol is null as is_missing,
        session_bars.close,
        session_bars.session_number as own_session_number
    from expected
    left join {{ ref('session_bars') }} as session_bars
        on expected.symbol = session_bars.symbol and expected.session_date = session_bars.session_date

),

-- few sessions are missing: only they look back for the last bar
looking_back as (

    select
        missing.symbol,
        missing.session_number,
        session_bars.session_number as last_session_number
    from (
        select
            symbol,
            session_number
        from attended
        where is_missing
    ) as missing
    asof inner join {{ ref('session_bars') }} as session_bars
        on missing.symbol = session_bars.symbol and missing.session_number >= session_bars.session_number

),

final as (

    select
        attended.symbol,
        attended.calendar_id,
        attended.session_date,
        attended.session_number,
        attended.is_missing,
        attended.close,
        coalesce(attended.own_session_number, looking_back.last_session_number) as last_session_number
    from attended
    left join looking_back
        on attended.symbol = looking_back.symbol and attended.session_number = looking_back.session_number

)

select * from final
order by symbol, session_number
