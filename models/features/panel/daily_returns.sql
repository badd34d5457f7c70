-- One row per symbol and session that has an earlier one: the simple close-to-close return, never padded.
with bars as (

    select * from {{ ref('session_bars') }}

),

pairs as (

    select
        *,
        lag(close) over by_session as previous_close,
        lag(close_adjustment) over by_session as previous_adjustment,
        lag(total_return_close) over by_session as previous_total_return_close,
        lag(session_number) over by_session as previous_session_number
    from bars
    window by_session as (partition by symbol order by session_date)

),

-- closes of two adjustments make no return: the session is named in bar_spikes
formed as (

    select
        *,
        case
            when total_return_close is not null and previous_total_return_close is not null
                then total_return_close / previous_total_return_close
            when close_adjustment = previous_adjustment then close / previous_close
        end as closes_ratio
    from pairs

),

final as (

    select
        -- keys
        symbol,
        session_date,

        -- dividends are in it where both closes carry them
        closes_ratio - 1 as simple_return,
        total_return_close is not null and previous_total_return_close is not null as is_total_return,

        -- more than one after missing sessions
        cast(session_number - previous_session_number as integer) as session_count,

        known_at_utc

    from formed
    where closes_ratio is not null

)

select * from final
order by symbol, session_date
