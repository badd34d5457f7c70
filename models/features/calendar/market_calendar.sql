-- One row per calendar and session.
with sessions as (

    select * from {{ ref('calc_market_calendar') }}

),

final as (

    select
        -- keys
        calendar_id,
        cast(session_date as date) as session_date,

        -- position among the calendar's sessions, so that distances in sessions are subtractions
        cast(row_number() over (partition by calendar_id order by session_date) as integer) as session_number,

        -- times
        cast(open_utc as timestamp) as open_utc,
        cast(close_utc as timestamp) as close_utc,
        cast(is_half_day as boolean) as is_half_day

    from sessions

)

select * from final
