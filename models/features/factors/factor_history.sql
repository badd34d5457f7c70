-- One row per symbol, session and factor set: what was known at that close of the symbol's returns up to that session.
with returns as (

    select * from {{ ref('daily_returns') }}

),

-- facts of prices and volumes; medians and counts do not depend on the order of a sum
bars as (

    select
        symbol,
        session_date,
        calendar_id,
        session_number,
        -- no rate of change between prices of two adjustments
        case
            when close_adjustment = lag(close_adjustment, 9) over by_session
                then 100 * (close / lag(close, 9) over by_session - 1)
        end as roc,
        median(turnover) over last_30 as average_daily_value,
        coalesce(close = lag(close) over by_session, false) as is_unchanged
    from {{ ref('session_bars') }}
    window
        by_session as (partition by symbol order by session_date),
        last_30 as (partition by symbol order by session_date rows between 29 preceding and current row)

),

stalls as (

    select
        *,
        sum(case when is_unchanged then 0 else 1 end) over (
            partition by symbol order by session_date
        ) as stall_group
    from bars

),

stalled as (

    select
        *,
        count(*) over (partition by symbol, stall_group order by session_date) as equal_close_count
    from stalls

),

-- how many sessions were missing up to each session
gaps as (

    select
        symbol,
        session_date,
        count(*) over (partition by symbol order by session_date) as gap_count
    from {{ ref('bar_gaps') }}

),

survival as (

    select
        symbol,
        tested_from_date,
        sum(cast(is_passed as integer)) over by_event as passed_count,
        count(*) over by_event as tested_count
    from {{ ref('survival_tests') }}
    where is_tested
    window by_event as (partition by symbol order by tested_from_date)

),

placed as (

    select
        returns.symbol,
        returns.session_date,
        returns.known_at_utc,
        stalled.calendar_id,
        stalled.session_number,
        stalled.roc,
        stalled.average_daily_value,
        stalled.equal_close_count,
        coalesce(gaps.gap_count, 0) as gap_count
    from returns
    inner join stalled on returns.symbol = stalled.symbol and returns.session_date = stalled.session_date
    asof left join gaps on returns.symbol = gaps.symbol and returns.session_date >= gaps.session_date

),

windowed as (

    select
        *,
        gap_count - first_value(gap_count) over last_252 as missing_count,
        session_number - first_value(session_number) over last_252 + 1 as expected_count
    from placed
    window last_252 as (partition by symbol order by session_date rows between 251 preceding and current row)

),

joined as (

    select
        windowed.*,
        survival.passed_count,
        survival.tested_count,
        case when windowed.calendar_id = '24/7' then 365 else 252 end as periods_per_year
    from windowed
    asof left join survival on windowed.symbol = survival.symbol and windowed.session_date >= survival.tested_from_date

),

final as (

    select
        -- keys
        factors.symbol,
        factors.session_date,
        'daily_252' as factor_set,

        -- how much it earned
        joined.periods_per_year * factors.mean_return as momentum,
        joined.periods_per_year * factors.mean_return_short as momentum_short,
        factors.compounded_60,
        factors.compounded_60_short,
        joined.roc,

        -- how it moved
        sqrt(joined.periods_per_year) * factors.deviation as volatility_annual,
        factors.efficiency,
        factors.entropy,
        factors.hurst,
        factors.absolute_autocorrelation,
        factors.ljung_box_p,
        bar_factors.adx,

        -- its tails
        factors.skew,
        factors.skew_short,
        factors.excess_kurtosis,
        factors.cvar,
        factors.cvar_short,
        factors.tail_gain,
        factors.tail_gain_short,
        factors.largest_absolute_return,

        -- what trading it costs
        joined.average_daily_value,
        bar_factors.spread,

        -- how sound its data are
        cast(joined.equal_close_count as integer) as equal_close_count,
        joined.missing_count / joined.expected_count as gap_fraction,

        -- what it came through
        coalesce(joined.passed_count / joined.tested_count, 0.5) as survival,
        cast(coalesce(joined.tested_count, 0) as integer) as survival_tested_count,

        -- what it rests on
        factors.observation_count,
        joined.known_at_utc

    from {{ ref('calc_return_factors') }} as factors
    inner join joined on factors.symbol = joined.symbol and factors.session_date = joined.session_date
    inner join {{ ref('calc_bar_factors') }} as bar_factors
        on factors.symbol = bar_factors.symbol and factors.session_date = bar_factors.session_date

)

select * from final
order by symbol, session_date
