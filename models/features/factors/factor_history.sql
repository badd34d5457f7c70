-- One row per symbol, session and factor set: what was known at that close of the symbol's returns up to that session.
with factors as (

    select factors.*
    from {{ ref('calc_factors') }} as factors
    {% if is_incremental() %}
        inner join {{ pending('factor_history') }} as changes
            on factors.symbol = changes.symbol and factors.session_date >= changes.first_changed_date
    {% endif %}

),

survival as (

    select distinct
        symbol,
        tested_from_date,
        sum(cast(is_passed as integer)) over by_event as passed_count,
        count(*) over by_event as tested_count
    from {{ ref('survival_tests') }}
    where is_tested
    window by_event as (partition by symbol order by tested_from_date)

),

-- a symbol was tested by few events: the stretch between two of them has one state
survived as (

    select
        *,
        lead(tested_from_date, 1, date '9999-12-31') over (
            partition by symbol order by tested_from_date
        ) as until_date
    from survival

),

joined as (

    select
        factors.*,
        survived.passed_count,
        survived.tested_count
    from factors
    left join survived
        on
            factors.symbol = survived.symbol
            and factors.session_date >= survived.tested_from_date
            and factors.session_date < survived.until_date

),

final as (

    select
        -- keys
        symbol,
        session_date,
        'daily_252' as factor_set,

        -- how much it earned
        periods_per_year * mean_return as momentum,
        periods_per_year * mean_return_short as momentum_short,
        compounded_60,
        compounded_60_short,
        roc,

        -- how it moved
        sqrt(periods_per_year) * deviation as volatility_annual,
        efficiency,
        entropy,
        hurst,
        absolute_autocorrelation,
        ljung_box_p,
        adx,

        -- its tails
        skew,
        skew_short,
        excess_kurtosis,
        cvar,
        cvar_short,
        tail_gain,
        tail_gain_short,
        largest_absolute_return,

        -- what trading it costs
        average_daily_value,
        earlier_daily_value,
        spread,

        -- how sound its data are
        cast(equal_close_count as integer) as equal_close_count,
        gap_fraction,

        -- what it came through
        coalesce(passed_count / tested_count, 0.5) as survival,
        cast(coalesce(tested_count, 0) as integer) as survival_tested_count,

        -- what it rests on
        observation_count,
        known_at_utc

    from joined

)

select * from final
