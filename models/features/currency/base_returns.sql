-- One row per daily return: the same return in US dollars, and how it was converted.
with dollars as (

    select asset
    from {{ ref('seed_asset_sets') }}
    where tag = 'STABLE'

),

symbols as (

    select
        symbols.symbol,
        case
            when symbols.quote = 'USD' then 'none'
            when symbols.quote is null then 'assumed'
            when dollars.asset is not null then 'par'
            else 'rate'
        end as conversion,
        symbols.quote
    from {{ ref('symbols') }} as symbols
    left join dollars on symbols.quote = dollars.asset
    where symbols.valid_to is null

),

rates as (

    select * from {{ ref('currency_rates') }}
    where not is_coin

),

-- the close before, whatever sessions lie between
closes as (

    select
        bars.symbol,
        bars.session_date,
        lag(bars.session_date) over (partition by bars.symbol order by bars.session_date) as previous_date
    from {{ ref('session_bars') }} as bars
    inner join symbols on bars.symbol = symbols.symbol and symbols.conversion = 'rate'

),

-- a rate holds over closed days of its market, and no longer
rated as (

    select
        closes.symbol,
        closes.session_date,
        case when closes.session_date - ends.session_date <= 5 then ends.rate end as rate,
        case when closes.previous_date - starts.session_date <= 5 then starts.rate end as previous_rate
    from closes
    inner join symbols on closes.symbol = symbols.symbol
    asof left join rates as ends on symbols.quote = ends.currency and closes.session_date >= ends.session_date
    asof left join rates as starts on symbols.quote = starts.currency and closes.previous_date >= starts.session_date

),

final as (

    select
        -- keys
        returns.symbol,
        returns.session_date,

        -- in the currency of the quote, in the rate, and in dollars
        returns.simple_return as local_return,
        rated.rate / rated.previous_rate - 1 as rate_return,
        case symbols.conversion
            when 'rate' then (1 + returns.simple_return) * rated.rate / rated.previous_rate - 1
            else returns.simple_return
        end as base_return,
        symbols.quote as currency,
        case
            when symbols.conversion = 'rate' and (rated.rate is null or rated.previous_rate is null) then 'unconverted'
            else symbols.conversion
        end as conversion,
        returns.session_count,
        returns.known_at_utc

    from {{ ref('daily_returns') }} as returns
    inner join symbols on returns.symbol = symbols.symbol
    left join rated on returns.symbol = rated.symbol and returns.session_date = rated.session_date

)

select * from final
