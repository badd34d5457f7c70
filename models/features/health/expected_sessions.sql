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

final as (

    select
        bars.symbol,
        calendar.calendar_id,
        calendar.session_date,
        calendar.session_number,
        session_bars.symbol is null as is_missing,
        session_bars.close,
        max(case when session_bars.symbol is not null then calendar.session_number end) over (
            partition by bars.symbol order by calendar.session_number
        ) as last_session_number
    from bars
    inner join newest on bars.calendar_id = newest.calendar_id
    inner join {{ ref('market_calendar') }} as calendar
        on
            bars.calendar_id = calendar.calendar_id
            and calendar.session_number between bars.first_session_number and newest.last_session_number
    left join {{ ref('session_bars') }} as session_bars
        on bars.symbol = session_bars.symbol and calendar.session_date = session_bars.session_date

)

select * from final
