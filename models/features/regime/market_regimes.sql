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

        -- what the score rests on
        volatility_ratio,
        turbulence,
        clustering,
        entropy,
        hurst,
        stationarity,
        fat_tail,

        -- the axes of the quadrant
        growth,
        stress,

        -- the proxy
        proxy_return,
        member_count,
        observation_count,
        cast(weighting as varchar) as weighting,
        known_at_utc

    from regimes

)

select * from final
order by asset_class, session_date
