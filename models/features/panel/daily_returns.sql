-- One row per symbol and session that has an earlier one: the simple close-to-close return, never padded.
{% if is_incremental() %}
with changes as (

    select * from {{ pending('daily_returns') }}

),

-- the first return that changes reads the close before it
earlier as (

    select
        changes.symbol,
        max(session_bars.session_date) as session_date
    from changes
    inner join {{ ref('session_bars') }} as session_bars
        on changes.symbol = session_bars.symbol and changes.first_changed_date > session_bars.session_date
    group by changes.symbol

),

bars as (

    select session_bars.*
    from {{ ref('session_bars') }} as session_bars
    inner join changes on session_bars.symbol = changes.symbol
    left join earlier on session_bars.symbol = earlier.symbol
    where session_bars.session_date >= coalesce(earlier.session_date, changes.first_changed_date)

),
{% else %}
with bars as (

    select * from {{ ref('session_bars') }}

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
    {% if is_incremental() %}
        semi join changes
            on formed.symbol = changes.symbol and formed.session_date >= changes.first_changed_date
    {% endif %}
    where closes_ratio is not null

)

select * from final
order by symbol, session_date
