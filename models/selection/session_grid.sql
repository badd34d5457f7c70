-- One row per session of the run's grid: sessions up to as_of for which a return of its market exists, numbered from 0.
with members as (

    select item as symbol from {{ setting_list('universe.symbols') }}
    union
    select item as symbol from {{ setting_list('benchmarks') }}

),

-- the look-back is counted on the calendar, so that data missing at the end moves no window
sessions as (

    select
        session_date,
        close_utc
    from {{ ref('market_calendar') }}
    where
        calendar_id = {{ setting('calendar_id') }}
        and close_utc <= {{ setting('as_of', 'timestamptz') }} at time zone 'UTC'
    qualify row_number() over (order by session_date desc) <= {{ setting('lookback_sessions', 'integer') }}

),

traded as (

    select distinct daily_returns.session_date
    from {{ ref('daily_returns') }} as daily_returns
    inner join members on daily_returns.symbol = members.symbol

),

final as (

    select
        current_run.run_id,
        cast(row_number() over (order by sessions.session_date) - 1 as integer) as grid_row,
        sessions.session_date,
        sessions.close_utc
    from sessions
    inner join traded on sessions.session_date = traded.session_date
    cross join {{ current_unsealed_run() }} as current_run

)

select * from final
order by grid_row
