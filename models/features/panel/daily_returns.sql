-- One row per symbol and session that has an earlier one: the simple close-to-close return, never padded.
with known as (

    select * from {{ ref('session_bars') }}

),

{% if is_incremental() %}

    -- the first return that changes reads the close before it
    reach as (

        select
            changes.symbol,
            changes.first_changed_date,
            max(known.session_date) as last_unchanged_date
        from {{ pending('daily_returns') }} as changes
        left join known on changes.symbol = known.symbol and changes.first_changed_date > known.session_date
        group by changes.symbol, changes.first_changed_date

    ),

    bars as (

        select
            known.*,
            reach.first_changed_date
        from known
        inner join reach
            on
                known.symbol = reach.symbol
                and known.session_date >= coalesce(reach.last_unchanged_date, reach.first_changed_date)

    ),

{% else %}

    bars as (

        select
            *,
            session_date as first_changed_date
        from known

    ),

{% endif %}

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
    where closes_ratio is not null and session_date >= first_changed_date

)

select * from final
order by symbol, session_date
