-- One row per asset class and session: the regime of its market as it was known at that close.
with regimes as (

    select * from {{ ref('calc_market_regimes') }}

),

final as (

    select
        -- keys
        asset_class,
        cast(session_date as date) as session_date,

        -- the regime
        score,
        cast(label as varchar) as label,
        cast(quadrant as varchar) as quadrant,
        cast(quantile_label as varchar) as quantile_label,

        -- what the score rests on
        volatility_ratio,
        turbulence,
        clustering,
        entropy,
        hurst,
        stationarity,
        fat_tail,

        -- what may confirm a crisis
        cast(volatility_state as varchar) as volatility_state,
        high_volatility_probability,

        -- quantiles of the scores so far
        quiet_limit,
        turbulent_limit,
        crisis_limit,

        -- the axes of the quadrant
        growth,
        stress,

        -- the proxy
        proxy_return,
        member_count,
        observation_count,
        cast(weighting as varchar) as weighting,
        known_at_utc,

        -- the span that the weights of the sub-scores were tuned on
        cast(tuned_from as date) as tuned_from_date,
        cast(tuned_to as date) as tuned_to_date

    from regimes

)

select * from final
order by asset_class, session_date
