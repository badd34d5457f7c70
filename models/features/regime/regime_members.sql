-- One row per asset class, session and symbol whose return is part of the class's market proxy.
with symbols as (

    select *
    from {{ ref('symbols') }}
    where valid_to is null

),

-- single names and funds or indices that hold them are never in one proxy
members as (

    select
        symbol,
        asset_class,
        calendar_id,
        coalesce(economic_id, symbol) as exposure
    from symbols
    where
        asset_type is null
        or asset_class in ('etf', 'index')
        or asset_type not in ('fund', 'index')

),

classes as (

    select
        asset_class,
        case when bool_and(calendar_id = '24/7') then 365 else 252 end as periods_per_year
    from members
    group by asset_class

),

-- what a weight reads was known the session before
returns as (

    select
        returns.symbol,
        returns.session_date,
        returns.simple_return,
        returns.known_at_utc,
        factors.earlier_daily_value as liquidity
    from {{ ref('daily_returns') }} as returns
    inner join {{ ref('factor_history') }} as factors
        on returns.symbol = factors.symbol and returns.session_date = factors.session_date

),

-- a toxic series is no part of a market
judged as (

    select
        members.asset_class,
        members.exposure,
        returns.*
    from returns
    inner join members on returns.symbol = members.symbol
    inner join {{ ref('symbol_health') }} as health
        on returns.symbol = health.symbol and returns.session_date = health.as_of_date
    where health.verdict <> 'TOXIC'

),

final as (

    select
        -- keys
        judged.asset_class,
        judged.session_date,
        judged.symbol,

        -- what the proxy is made of
        judged.simple_return,
        judged.liquidity,
        cast(classes.periods_per_year as double) as periods_per_year,
        judged.known_at_utc

    from judged
    inner join classes on judged.asset_class = classes.asset_class
    -- two listings of one exposure count once, by the more liquid
    qualify row_number() over (
        partition by judged.asset_class, judged.session_date, judged.exposure
        order by judged.liquidity desc nulls last, judged.symbol asc
    ) = 1

)

select * from final
